# Programs and tests that run a whole pair of processes, as twinstep starts them.
if(NOT TARGET twinstep)
    return()
endif()
add_library(integration_fixture STATIC fixture.c)
target_link_libraries(integration_fixture PUBLIC ${TS_TEST_LIBS} PkgConfig::CMOCKA)
target_compile_options(integration_fixture PRIVATE ${TS_WARNINGS})

# They run the programs of this build, of one directory.
function(ts_pair_program NAME)
    add_executable(${NAME} ${ARGN})
    target_link_libraries(${NAME} PRIVATE integration_fixture)
    target_compile_options(${NAME} PRIVATE ${TS_WARNINGS})
    set_target_properties(${NAME} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)
endfunction()

foreach(name pair_clients pair_flip pair_hostile)
    ts_pair_program(${name} ${name}.c)
    add_test(NAME integration/${name} COMMAND ${name})
    set_tests_properties(integration/${name} PROPERTIES TIMEOUT 300 LABELS integration)
endforeach()

ts_pair_program(soak soak.c soak_faults.c soak_probe.c)
add_test(NAME integration/soak COMMAND soak --rounds 5)
set_tests_properties(integration/soak PROPERTIES TIMEOUT 600 LABELS integration)
