# Programs and tests that run a whole pair of processes, as twinstep starts them.
if(NOT TARGET twinstep)
    return()
endif()
add_library(integration_fixture STATIC fixture.c)
target_link_libraries(integration_fixture PUBLIC ${TS_TEST_LIBS} PkgConfig::CMOCKA)
target_compile_options(integration_fixture PRIVATE ${TS_WARNINGS})
# What a test in which nobody may fail over takes for a failure: longer than this machine's other
# work, and than the turns of a loop that instruments slow down tenfold.
if(TS_SANITIZE OR TS_COVERAGE)
    target_compile_definitions(integration_fixture PRIVATE FIXTURE_CALM_MS=2000)
else()
    target_compile_definitions(integration_fixture PRIVATE FIXTURE_CALM_MS=500)
endif()

# RUN_SERIAL: a pair on a machine that is busy with other tests fails over for good reasons.
# They run the programs of this build, of one directory.
function(ts_pair_program NAME)
    add_executable(${NAME} ${ARGN})
    target_link_libraries(${NAME} PRIVATE integration_fixture)
    target_compile_options(${NAME} PRIVATE ${TS_WARNINGS})
    set_target_properties(${NAME} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)
endfunction()

foreach(name pair_clients pair_large pair_snapshot pair_flip pair_hostile pair_operate pair_operator
        pair_replace pair_users replica_alone)
    ts_pair_program(${name} ${name}.c)
    add_test(NAME integration/${name} COMMAND ${name})
    set_tests_properties(integration/${name} PROPERTIES TIMEOUT 300 LABELS integration RUN_SERIAL TRUE)
endforeach()

# These are about commands and their words: the threads behind them run in the other tests, too, and
# ThreadSanitizer makes a minute of each.
set_tests_properties(integration/pair_operate integration/pair_operator integration/pair_replace
                     PROPERTIES LABELS "integration;no-tsan")
target_compile_definitions(pair_operate PRIVATE CLIENTS_DIR="${CMAKE_CURRENT_SOURCE_DIR}/clients")

# Redis' clients for Python, of Debian; 77 = they are not installed.
foreach(name pair_python pair_tls)
    ts_pair_program(${name} ${name}.c)
    target_compile_definitions(${name} PRIVATE CLIENTS_DIR="${CMAKE_CURRENT_SOURCE_DIR}/clients")
    add_test(NAME integration/${name} COMMAND ${name})
    set_tests_properties(integration/${name} PROPERTIES TIMEOUT 300 LABELS integration
                                                        RUN_SERIAL TRUE SKIP_RETURN_CODE 77)
endforeach()

ts_pair_program(pair_handoff pair_handoff.c)
if(TS_SANITIZE OR TS_COVERAGE)
    target_compile_definitions(pair_handoff PRIVATE HANDOFFS=8)
else()
    target_compile_definitions(pair_handoff PRIVATE HANDOFFS=30)
endif()
add_test(NAME integration/pair_handoff COMMAND pair_handoff)
set_tests_properties(integration/pair_handoff PROPERTIES TIMEOUT 300 LABELS integration
                                                         RUN_SERIAL TRUE)

ts_pair_program(soak soak.c soak_options.c soak_step.c soak_faults.c soak_disk.c soak_probe.c)
# What stands in front of all others is in ThreadSanitizer's way, and there 64 MiB of writes for a
# snapshot take minutes.
set(soak_disks damage-journal,handoff,blank-disk)
if(NOT TS_SANITIZE MATCHES "thread" AND NOT TS_COVERAGE)
    set(soak_disks hang-disk,fill-disk,fail-sync,damage-journal,kill-in-snapshot,handoff)
    target_compile_definitions(soak PRIVATE LABDISK_LIBRARY="$<TARGET_FILE:labdisk>")
    add_dependencies(soak labdisk)
endif()
set(soak_history ${CMAKE_CURRENT_BINARY_DIR}/soak.jsonl)
add_test(NAME integration/soak
    COMMAND soak --rounds 5 --history ${soak_history} --faults kill-primary,kill-secondary,kill-primary-nic
            --faults kill-secondary-nic,kill-arbiter,freeze-primary,freeze-secondary,freeze-primary-nic
            --faults freeze-arbiter,kill-both,drop-path-a,drop-path-b,cut-and-kill,handoff,handoff-and-kill)
set_tests_properties(integration/soak PROPERTIES TIMEOUT 300 LABELS integration RUN_SERIAL TRUE
                                                 FIXTURES_SETUP soak_history)
# What the soak's clients were told, by another judge than the soak's own.
add_test(NAME integration/soak-linearizable COMMAND lincheck ${soak_history})
set_tests_properties(integration/soak-linearizable PROPERTIES TIMEOUT 120 LABELS integration
                                                   FIXTURES_REQUIRED soak_history)

# The faults of disks, each once: with this seed damage comes while the journal is short and soon
# looked through, and the disk that is replaced, which uses up the cluster, comes last.
set(soak_disks_history ${CMAKE_CURRENT_BINARY_DIR}/soak-disks.jsonl)
add_test(NAME integration/soak-disks
    COMMAND soak --rounds 1 --seed 237 --clients 4 --history ${soak_disks_history}
            --faults ${soak_disks})
set_tests_properties(integration/soak-disks PROPERTIES TIMEOUT 300 LABELS integration RUN_SERIAL TRUE
                                                       FIXTURES_SETUP soak_disks_history)
add_test(NAME integration/soak-disks-linearizable COMMAND lincheck ${soak_disks_history})
set_tests_properties(integration/soak-disks-linearizable PROPERTIES TIMEOUT 120 LABELS integration
                                                         FIXTURES_REQUIRED soak_disks_history)

ts_pair_program(soak_ends soak_ends.c)
add_dependencies(soak_ends soak)
add_test(NAME integration/soak_ends COMMAND soak_ends)
set_tests_properties(integration/soak_ends PROPERTIES TIMEOUT 300 LABELS integration RUN_SERIAL TRUE)

add_test(NAME integration/soak-long COMMAND soak --long)
set_tests_properties(integration/soak-long PROPERTIES TIMEOUT 7200 LABELS "integration;long"
                                                      RUN_SERIAL TRUE)

# What follows judges the soak itself, with a library that stands in front of all others: a
# sanitizer wants to stand there too, and has nothing to add.
if(TS_SANITIZE OR TS_COVERAGE)
    return()
endif()

# ---- builds that are broken on purpose ----
#
# mutants/NAME.patch, or the simulator's of this name, is applied to a copy of its file, and a `replica`
# with it is linked in a directory of its own beside copies of the other programs. The soaks must find
# out what it does.
function(ts_mutant NAME FILE)
    set(dir ${CMAKE_BINARY_DIR}/mutants/${NAME})
    set(patch ${CMAKE_CURRENT_SOURCE_DIR}/mutants/${NAME}.patch)
    if(NOT EXISTS ${patch})
        set(patch ${CMAKE_SOURCE_DIR}/tests/sim/mutants/${NAME}.patch)
    endif()
    ts_patched_copy(copy ${FILE} ${patch} ${dir})
    # The patched file brings all symbols of the one in the library, which is then left out.
    get_target_property(sources replica SOURCES)
    list(TRANSFORM sources PREPEND ${CMAKE_SOURCE_DIR}/daemon/)
    get_target_property(libraries replica LINK_LIBRARIES)
    add_executable(replica-${NAME} ${sources} ${copy})
    target_link_libraries(replica-${NAME} PRIVATE ${libraries})
    set_target_properties(replica-${NAME} PROPERTIES OUTPUT_NAME replica
                                                     RUNTIME_OUTPUT_DIRECTORY ${dir}/bin
                                                     EXPORT_COMPILE_COMMANDS OFF)
    # nicd finds the programs beside itself, so a symbolic link would lead it back.
    set(links "")
    foreach(program nicd heartbeatd cluster-cfgd twinstep)
        list(APPEND links COMMAND ${CMAKE_COMMAND} -E copy_if_different
             $<TARGET_FILE:${program}> ${dir}/bin/${program})
    endforeach()
    add_custom_target(mutant-${NAME} ALL ${links}
        DEPENDS replica-${NAME} nicd heartbeatd cluster-cfgd twinstep)
endfunction()

ts_mutant(ack-before-commit replicator/primary.c)
add_test(NAME integration/soak-finds-ack-before-commit
    COMMAND soak --expect-loss --faults cut-and-kill --faults-a-round 1 --rounds 10
            --history ${CMAKE_CURRENT_BINARY_DIR}/lossy.jsonl
            --bin ${CMAKE_BINARY_DIR}/mutants/ack-before-commit/bin)
add_test(NAME integration/soak-not-linearizable
    COMMAND sh -c "$<TARGET_FILE:lincheck> ${CMAKE_CURRENT_BINARY_DIR}/lossy.jsonl; test $? -eq 1")

# No broken one, but one of a release to come.
ts_mutant(newer-release services/netctl/request.c)
add_test(NAME integration/netctl_release
    COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/netctl_release ${CMAKE_BINARY_DIR}/bin
            ${CMAKE_BINARY_DIR}/mutants/newer-release/bin)
set_tests_properties(integration/netctl_release PROPERTIES
    TIMEOUT 300 LABELS "integration;no-tsan" SKIP_RETURN_CODE 77)

ts_mutant(skip-journal-sync replicator/io/journal_writer.c)
add_test(NAME integration/soak-finds-skip-journal-sync
    COMMAND soak --expect-loss --faults kill-both --faults-a-round 1 --rounds 5
            --lost-writes $<TARGET_FILE:labdisk>
            --bin ${CMAKE_BINARY_DIR}/mutants/skip-journal-sync/bin)
# The same disk, and a replica that waits for it.
add_test(NAME integration/soak-lost-writes
    COMMAND soak --faults kill-both,kill-primary,kill-primary-nic --faults-a-round 3 --rounds 1
            --lost-writes $<TARGET_FILE:labdisk>)
# A disk that fails on demand.
ts_pair_program(pair_disk pair_disk.c)
target_compile_definitions(pair_disk PRIVATE LABDISK_LIBRARY="$<TARGET_FILE:labdisk>")
add_dependencies(pair_disk labdisk)
add_test(NAME integration/pair_disk COMMAND pair_disk)
set_tests_properties(integration/pair_disk integration/soak-finds-ack-before-commit
    integration/soak-finds-skip-journal-sync integration/soak-lost-writes
    PROPERTIES TIMEOUT 300 LABELS "integration" RUN_SERIAL TRUE)
set_tests_properties(integration/soak-finds-ack-before-commit PROPERTIES FIXTURES_SETUP lossy_history)
set_tests_properties(integration/soak-not-linearizable
    PROPERTIES TIMEOUT 120 LABELS "integration" FIXTURES_REQUIRED lossy_history)

# A service address goes with the primary, in network namespaces; 77 = they cannot be made here.
foreach(version v4 v6)
    add_test(NAME integration/pair_address_${version}
             COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/pair_address ${CMAKE_BINARY_DIR}/bin ${version})
    set_tests_properties(integration/pair_address_${version} PROPERTIES TIMEOUT 300 LABELS integration
                                                                        RUN_SERIAL TRUE SKIP_RETURN_CODE 77)
endforeach()

# ThreadSanitizer gives each process a thread of its own, and a process with two enters no namespace.
foreach(name lab_netns lab_wire)
    add_test(NAME integration/${name}
             COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/${name} ${CMAKE_BINARY_DIR}/bin)
    set_tests_properties(integration/${name} PROPERTIES TIMEOUT 300 LABELS "integration;no-tsan"
                                                        RUN_SERIAL TRUE SKIP_RETURN_CODE 77)
endforeach()
if(NOT TS_SANITIZE AND NOT TS_COVERAGE) # the failing disk stands in front of all other libraries
    add_test(NAME integration/lab_engines COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/lab_engines ${CMAKE_BINARY_DIR}/bin)
    set_tests_properties(integration/lab_engines PROPERTIES TIMEOUT 300 LABELS integration RUN_SERIAL TRUE
                                                            SKIP_RETURN_CODE 77)
    add_test(NAME integration/drills
             COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/drills ${CMAKE_BINARY_DIR}/bin
                     ${CMAKE_BINARY_DIR}/mutants/skip-journal-sync/bin)
    set_tests_properties(integration/drills PROPERTIES TIMEOUT 300 LABELS integration RUN_SERIAL TRUE
                                                       SKIP_RETURN_CODE 77)
    add_test(NAME integration/drill-soak
             COMMAND ${CMAKE_BINARY_DIR}/bin/twinstep drill soak --minutes 10 --dir ${CMAKE_BINARY_DIR}/drill-soak)
    add_test(NAME integration/drill-soak-beyond
             COMMAND ${CMAKE_BINARY_DIR}/bin/twinstep drill soak --minutes 5 --beyond --dir ${CMAKE_BINARY_DIR}/drill-soak)
    set_tests_properties(integration/drill-soak integration/drill-soak-beyond PROPERTIES TIMEOUT 1500
                         LABELS "integration;long" RUN_SERIAL TRUE)
    # The soak of drills finds builds without R2.4, R4.2 and R4.
    ts_mutant(tail-dropped replicator/takeover.c)
    ts_mutant(stale-replica-takes-over replicator/takeover.c)
    foreach(name ack-before-commit tail-dropped stale-replica-takes-over)
        add_test(NAME integration/drill-soak-finds-${name}
                 COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/drill_soak_finds ${CMAKE_BINARY_DIR}/bin
                         ${CMAKE_BINARY_DIR}/mutants/${name}/bin)
        set_tests_properties(integration/drill-soak-finds-${name} PROPERTIES TIMEOUT 900
            LABELS "integration;long" RUN_SERIAL TRUE SKIP_RETURN_CODE 77)
    endforeach()
endif()
