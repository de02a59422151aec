# The simulator is checked: each mutant is the simulator with one rule of the shipped core code
# removed. mutants/NAME.patch is applied to a copy of its file; the copy brings all symbols of the
# one in the library, which is then left out. `sim_mutants` counts the seeds until each is caught.
# SURVIVES names the reason when removing that one rule changes nothing that anybody could see.
set(sim_mutant_dir ${CMAKE_CURRENT_BINARY_DIR}/mutants)
set(sim_survivors "")
add_custom_target(mutants)

function(ts_sim_mutant NAME FILE)
    cmake_parse_arguments(ARG "" "SURVIVES" "" ${ARGN})
    if(ARG_SURVIVES)
        set(sim_survivors ${sim_survivors} --survives "${NAME}=${ARG_SURVIVES}" PARENT_SCOPE)
    endif()
    set(dir ${sim_mutant_dir}/${NAME})
    ts_patched_copy(copy ${FILE} ${CMAKE_CURRENT_SOURCE_DIR}/mutants/${NAME}.patch ${dir})
    add_executable(sim-${NAME} EXCLUDE_FROM_ALL $<TARGET_OBJECTS:sim_objects> ${copy})
    target_link_libraries(sim-${NAME} PRIVATE ${sim_libraries})
    # Nobody checks the style of what is broken on purpose.
    set_target_properties(sim-${NAME} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${sim_mutant_dir}
                                                 EXPORT_COMPILE_COMMANDS OFF)
    add_dependencies(mutants sim-${NAME})
endfunction()

ts_sim_mutant(resume-old-epoch replicator/config.c)
ts_sim_mutant(ack-hash-ignored replicator/primary.c SURVIVES
    "a peer acknowledges only what it verified against this process's chain, in this epoch")
ts_sim_mutant(add-not-required replicator/primary.c)
ts_sim_mutant(read-at-once-by-in-sync replicator/reads.c)
ts_sim_mutant(sealed-accepts-append replicator/secondary.c SURVIVES
    "the winner's log end is read after the win, so it holds all that it acknowledged")
ts_sim_mutant(seal-not-awaited replicator/takeover.c SURVIVES
    "the winner's log end is read after the win, and the new epoch is durable before it counts")
ts_sim_mutant(log-end-before-seal replicator/takeover.c)
ts_sim_mutant(release-before-removal replicator/primary.c)
ts_sim_mutant(accepted-not-stored cluster-cfg/voter.c)
ts_sim_mutant(prepare-defeats cluster-cfg/proposer.c)
ts_sim_mutant(read-round-reused replicator/reads.c)
ts_sim_mutant(promise-not-stored cluster-cfg/voter.c)
ts_sim_mutant(prepare-not-greater cluster-cfg/voter.c)
ts_sim_mutant(accept-below-promise cluster-cfg/voter.c)
ts_sim_mutant(voter-answers-before-durable cluster-cfg/voter.c)
ts_sim_mutant(voter-goes-on-after-failed-sync cluster-cfg/voter.c)
ts_sim_mutant(blank-voter-answers cluster-cfg/voter.c SURVIVES
    "a proposer counts no promise without a value")
ts_sim_mutant(voter-votes-unconfirmed cluster-cfg/voter.c)
ts_sim_mutant(old-start-registered cluster-cfg/voter.c)
ts_sim_mutant(start-instance-ignored cluster-cfg/voter.c)
ts_sim_mutant(unready-voter-registers cluster-cfg/voter.c)
ts_sim_mutant(start-by-one-voter cluster-cfg/start.c)
ts_sim_mutant(register-without-majority cluster-cfg/proposer.c)
ts_sim_mutant(older-accepted-value-taken cluster-cfg/proposer.c)
ts_sim_mutant(swap-without-comparison cluster-cfg/proposer.c)
ts_sim_mutant(accepted-of-any-ballot cluster-cfg/proposer.c)
ts_sim_mutant(tail-restamped replicator/takeover.c)
ts_sim_mutant(ack-by-seq-only replicator/primary.c SURVIVES
    "a session ends with the process at its other end, and within it a log only grows: nothing older comes")
ts_sim_mutant(epoch-not-durable-before-ack replicator/secondary.c SURVIVES
    "a restarted replica follows only what the register decides after its start, which is not older")
ts_sim_mutant(ack-before-durable replicator/secondary.c)
ts_sim_mutant(conflict-kept replicator/secondary.c)
ts_sim_mutant(own-journal-not-awaited replicator/primary.c)
ts_sim_mutant(peers-not-awaited replicator/primary.c)
ts_sim_mutant(secondary-applies-uncommitted replicator/primary.c)
ts_sim_mutant(lost-proposal-not-required replicator/config.c)
ts_sim_mutant(read-without-round replicator/reads.c)
ts_sim_mutant(read-joins-running-round replicator/reads.c)
ts_sim_mutant(sealed-confirms replicator/secondary.c)
ts_sim_mutant(takeover-without-journal-sync replicator/takeover.c)
ts_sim_mutant(lost-peer-not-required replicator/primary.c)
ts_sim_mutant(stale-replica-takes-over replicator/takeover.c)
ts_sim_mutant(serves-before-tail replicator/takeover.c)
ts_sim_mutant(takeover-without-seal replicator/takeover.c)
ts_sim_mutant(joins-before-caught-up replicator/membership.c)
ts_sim_mutant(told-config-is-decided replicator/config.c)

if(NOT TS_SANITIZE AND NOT TS_COVERAGE AND NOT CMAKE_CROSSCOMPILING)
    add_test(NAME sim/build-mutants
             COMMAND ${CMAKE_COMMAND} --build ${CMAKE_BINARY_DIR} --target mutants)
    add_test(NAME sim/mutants COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/sim_mutants ${sim_mutant_dir}
             ${sim_survivors})
    set_tests_properties(sim/build-mutants PROPERTIES FIXTURES_SETUP mutants)
    set_tests_properties(sim/mutants PROPERTIES FIXTURES_REQUIRED mutants)
    set_tests_properties(sim/build-mutants sim/mutants PROPERTIES TIMEOUT 7200 LABELS "sim;long")
endif()
