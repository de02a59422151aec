# Each library is the .c files of its folders: a new file joins by being there.

function(ts_collect OUT)
    set(sources "")
    foreach(dir IN LISTS ARGN)
        file(GLOB found CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/${dir}/*.c)
        list(APPEND sources ${found})
    endforeach()
    set(${OUT} ${sources} PARENT_SCOPE)
endfunction()

function(ts_library NAME)
    cmake_parse_arguments(ARG "" "" "DEPS" ${ARGN})
    ts_collect(sources ${ARG_UNPARSED_ARGUMENTS})
    if(NOT sources)
        add_library(${NAME} INTERFACE)
        target_link_libraries(${NAME} INTERFACE ${ARG_DEPS})
        target_include_directories(${NAME} INTERFACE ${CMAKE_SOURCE_DIR})
        return()
    endif()
    add_library(${NAME} STATIC ${sources})
    target_include_directories(${NAME} PUBLIC ${CMAKE_SOURCE_DIR})
    target_link_libraries(${NAME} PUBLIC ${ARG_DEPS})
    target_compile_options(${NAME} PRIVATE ${TS_WARNINGS})
endfunction()

function(ts_core_library NAME)
    ts_library(${NAME} ${ARGN})
    get_target_property(type ${NAME} TYPE)
    if(type STREQUAL "STATIC_LIBRARY")
        set_property(GLOBAL APPEND PROPERTY TS_CORE_LIBRARIES ${NAME})
    endif()
endfunction()

function(ts_io_library NAME)
    ts_library(${NAME} ${ARGN})
endfunction()

# The program is optimised as a whole, where the build does that (TwinstepOptions.cmake).
function(ts_optimise_whole NAME)
    if(TS_WHOLE)
        target_link_options(${NAME} PRIVATE -flto=auto -fuse-linker-plugin)
    endif()
endfunction()

# A program in build/bin.
function(ts_program NAME)
    cmake_parse_arguments(ARG "" "" "SOURCES;DEPS" ${ARGN})
    add_executable(${NAME} ${ARG_SOURCES})
    target_link_libraries(${NAME} PRIVATE ${ARG_DEPS})
    target_compile_options(${NAME} PRIVATE ${TS_WARNINGS})
    set_target_properties(${NAME} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)
endfunction()

# Copies of FILES (from the root, all of one folder) in DIR, with PATCH applied: a mutant's source. VAR
# gets their paths. They bring all symbols of the files in the library, which are then left out.
function(ts_patched_copy VAR FILES PATCH DIR)
    find_program(PATCH_PROGRAM patch REQUIRED)
    set(copies "")
    set(sources "")
    foreach(file IN LISTS FILES)
        get_filename_component(base ${file} NAME)
        list(APPEND copies ${DIR}/${base})
        list(APPEND sources ${CMAKE_SOURCE_DIR}/${file})
        string(REGEX MATCHALL "/" parts ${file})
    endforeach()
    list(LENGTH parts strip) # all of them are of one folder: their names are left, and what is before
    math(EXPR strip "${strip} + 1")
    add_custom_command(OUTPUT ${copies}
        COMMAND ${CMAKE_COMMAND} -E copy ${sources} ${DIR}
        COMMAND ${PATCH_PROGRAM} --quiet --fuzz=0 --no-backup-if-mismatch --strip=${strip}
                --directory=${DIR} --input=${PATCH}
        DEPENDS ${sources} ${PATCH}
        VERBATIM)
    set(${VAR} ${copies} PARENT_SCOPE)
endfunction()
