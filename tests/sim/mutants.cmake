# The simulator is checked: each mutant is the simulator with one rule of the shipped core code
# removed. mutants/NAME.patch is applied to a copy of its file; the copy brings all symbols of the
# one in the library, which is then left out. The patch's first line names the rule, and a second one
# says why it survives, when removing that alone changes nothing that anybody could see.
# mutants/rules.txt lists the rules. `sim_mutants` counts the seeds until each is caught.
set(sim_mutant_dir ${CMAKE_CURRENT_BINARY_DIR}/mutants)
add_custom_target(mutants)
add_custom_target(mutants-quick)

function(ts_sim_mutant NAME)
    set(dir ${sim_mutant_dir}/${NAME})
    ts_patched_copy(copies "${ARGN}" ${CMAKE_CURRENT_SOURCE_DIR}/mutants/${NAME}.patch ${dir})
    add_executable(sim-${NAME} EXCLUDE_FROM_ALL $<TARGET_OBJECTS:sim_objects> ${copies})
    target_link_libraries(sim-${NAME} PRIVATE ${sim_libraries})
    # Nobody checks the style of what is broken on purpose.
    set_target_properties(sim-${NAME} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${sim_mutant_dir}
                                                 EXPORT_COMPILE_COMMANDS OFF)
    add_dependencies(mutants sim-${NAME})
endfunction()

ts_sim_mutant(resume-old-epoch replicator/config.c)
ts_sim_mutant(ack-hash-ignored replicator/primary.c)
ts_sim_mutant(add-not-required replicator/primary.c)
ts_sim_mutant(read-at-once-by-in-sync replicator/reads.c)
ts_sim_mutant(sealed-accepts-append replicator/secondary.c)
ts_sim_mutant(seal-not-awaited replicator/takeover.c)
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
ts_sim_mutant(blank-voter-answers cluster-cfg/voter.c)
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
ts_sim_mutant(ack-by-seq-only replicator/primary.c)
ts_sim_mutant(epoch-not-durable-before-ack replicator/secondary.c)
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
ts_sim_mutant(promise-of-any-ballot cluster-cfg/proposer.c)
ts_sim_mutant(ballot-without-instance cluster-cfg/proposer.c)
ts_sim_mutant(ballot-reused-for-other-value cluster-cfg/proposer.c)
ts_sim_mutant(own-nonce-not-recognised cluster-cfg/proposer.c)
ts_sim_mutant(time-not-taken-over replicator/secondary.c)
ts_sim_mutant(time-not-restored replicator/step.c)
ts_sim_mutant(time-stands-still replicator/step.c)
ts_sim_mutant(time-of-own-clock replicator/step.c)
ts_sim_mutant(expired-key-answered services/kv/call.c)
ts_sim_mutant(secondary-releases replicator/primary.c)
ts_sim_mutant(output-tagged-by-entry replicator/io/perform.c)
ts_sim_mutant(refused-after-ordering replicator/primary.c)
ts_sim_mutant(not-closed-when-replaced replicator/config.c)
ts_sim_mutant(not-closed-when-blocked replicator/primary.c)
ts_sim_mutant(shown-config-not-compared replicator/takeover.c)
ts_sim_mutant(takeover-keeps-in-sync replicator/takeover.c)
ts_sim_mutant(tail-dropped replicator/takeover.c)
ts_sim_mutant(closed-link-is-evidence replicator/step.c)
ts_sim_mutant(sealed-epoch-kept replicator/membership.c)
ts_sim_mutant(learner-not-required replicator/primary.c)
ts_sim_mutant(record-checksum-ignored replicator/io/journal_format.c)
ts_sim_mutant(record-chain-ignored replicator/io/journal_format.c)
ts_sim_mutant(leftover-not-wiped replicator/io/journal_recover.c)
ts_sim_mutant(time-by-ticks-alone services/kv/kv.c)
ts_sim_mutant(digest-not-compared replicator/primary.c)
ts_sim_mutant(suspect-takes-over replicator/takeover.c)
ts_sim_mutant(verified-kept-when-adopting replicator/config.c)
ts_sim_mutant(other-disk-stays-in-sync replicator/membership.c)
ts_sim_mutant(floor-not-compared replicator/takeover.c)
ts_sim_mutant(silence-not-noticed daemon/replica_evidence.c)
ts_sim_mutant(takeover-too-late replicator/takeover.c)
ts_sim_mutant(refused-while-register-runs replicator/primary.c)
ts_sim_mutant(removal-too-late replicator/membership.c)
ts_sim_mutant(entry-skipped replicator/io/perform.c)
ts_sim_mutant(entry-applied-twice replicator/io/perform.c)
ts_sim_mutant(removed-from-members replicator/membership.c)
ts_sim_mutant(jitter-not-from-seed replicator/state.c)
ts_sim_mutant(older-epoch-accepted replicator/secondary.c)
ts_sim_mutant(chain-not-followed replicator/secondary.c)
ts_sim_mutant(reads-before-the-tail replicator/reads.c)
ts_sim_mutant(sealed-once-for-all replicator/takeover.c)
ts_sim_mutant(joins-uncompared replicator/membership.c)
ts_sim_mutant(heartbeat-replayed heartbeat/heartbeat.c)
ts_sim_mutant(one-way-is-enough heartbeat/heartbeat.c)
ts_sim_mutant(own-stall-blames-the-peer heartbeat/detector.c)
ts_sim_mutant(tie-without-delay replicator/takeover.c)
ts_sim_mutant(slots-not-in-turn base/io/slot_file.c)
ts_sim_mutant(start-number-kept replicator/io/journal.c)
ts_sim_mutant(floor-not-restored replicator/step.c)
ts_sim_mutant(confirmed-by-other-process replicator/reads.c)
ts_sim_mutant(confirmed-in-other-epoch replicator/reads.c)
ts_sim_mutant(any-instance-answers replicator/takeover.c)
ts_sim_mutant(acks-kept-over-epochs replicator/config.c)
ts_sim_mutant(acks-kept-over-processes replicator/step.c)
ts_sim_mutant(required-forgets-own-proposal replicator/primary.c)
ts_sim_mutant(blocked-primary-orders replicator/primary.c)
ts_sim_mutant(orders-before-the-tail replicator/primary.c)
ts_sim_mutant(committed-is-not-persisted replicator/primary.c)
ts_sim_mutant(applies-unverified replicator/primary.c)
ts_sim_mutant(commit-of-other-epoch replicator/primary.c)
# Of the storage.
ts_sim_mutant(group-not-synced replicator/io/journal_writer.c)
ts_sim_mutant(note-claims-own-group replicator/io/journal_writer.c)
ts_sim_mutant(corrupt-taken-for-torn replicator/io/journal_recover.c)
ts_sim_mutant(end-record-not-vouched replicator/io/journal_recover.c)
ts_sim_mutant(slot-of-one-copy base/io/slot_file.c)
ts_sim_mutant(slot-not-synced base/io/slot_file.c)
ts_sim_mutant(found-slot-not-synced base/io/slot_file.c)
ts_sim_mutant(found-log-not-synced replicator/io/journal_recover.c)
ts_sim_mutant(segment-name-not-synced replicator/io/journal_segment.c)
ts_sim_mutant(segment-not-synced replicator/io/journal_segment.c)
ts_sim_mutant(cut-without-note replicator/io/journal_writer.c)
ts_sim_mutant(failed-sync-forgotten replicator/io/journal_writer.c)
ts_sim_mutant(failed-journal-goes-on replicator/io/journal.c replicator/io/journal_writer.c)
ts_sim_mutant(failed-journal-finishes replicator/io/journal_writer.c)
ts_sim_mutant(failed-spare-forgotten replicator/io/journal_segment.c)
ts_sim_mutant(found-spare-not-synced replicator/io/journal_recover.c)
ts_sim_mutant(voter-failed-sync-forgotten cluster-cfg/io/voter_store.c)
ts_sim_mutant(bad-copy-not-repaired base/io/slot_file.c)
ts_sim_mutant(marker-needs-space base/io/dirs.c)
ts_sim_mutant(cut-not-zeroed replicator/io/journal_writer.c)

# Of what is around the cores, and of liveness.
ts_sim_mutant(noop-not-applied replicator/io/perform_service.c)
ts_sim_mutant(stays-without-journal replicator/io/perform_replica.c)
ts_sim_mutant(position-not-asked replicator/config.c)
ts_sim_mutant(rewind-forgotten replicator/secondary.c)
ts_sim_mutant(damaged-journal-stays replicator/io/perform_disk.c)
ts_sim_mutant(acts-before-start-remembered replicator/io/perform_disk.c)
ts_sim_mutant(voter-ready-before-remembered cluster-cfg/io/voter_perform.c)

# Of hostile reviews.
ts_sim_mutant(pinned-config-ignored cluster-cfg/proposer.c)
ts_sim_mutant(start-repeat-not-awaited cluster-cfg/voter.c)
ts_sim_mutant(accept-promises-nothing cluster-cfg/voter.c)
ts_sim_mutant(cut-keeps-persisted replicator/secondary.c)
ts_sim_mutant(config-not-published replicator/primary.c)
ts_sim_mutant(outputs-before-messages replicator/io/perform.c)
ts_sim_mutant(told-before-applied replicator/io/perform.c)
ts_sim_mutant(sent-before-written replicator/io/perform.c)
ts_sim_mutant(voter-goes-on-after-refused-write cluster-cfg/io/voter_perform.c)
ts_sim_mutant(refused-voter-votes cluster-cfg/io/voter_perform.c)
ts_sim_mutant(refused-start-begins replicator/io/perform_disk.c)
ts_sim_mutant(position-of-sealed-epoch replicator/primary.c)
ts_sim_mutant(position-of-other-process replicator/primary.c)
ts_sim_mutant(word-upon-word replicator/config.c)
ts_sim_mutant(second-value-accepted cluster-cfg/voter.c)
ts_sim_mutant(start-of-other-owner cluster-cfg/voter.c)
ts_sim_mutant(refused-epoch-not-compared replicator/membership.c)
ts_sim_mutant(verified-log-cut replicator/secondary.c)
ts_sim_mutant(takeover-does-not-wait-for-read replicator/takeover.c)
ts_sim_mutant(evidence-waits-for-silence replicator/step.c)
ts_sim_mutant(exit-is-no-evidence daemon/replica_evidence.c)

# A checker that has gone blind is seen at once: each of these is caught soon by the one named, while
# no other one ends a seed. Every checker of SIM_CHECK_LIST is named, or sim/mutant-rules fails.
set(sim_quick
    accepted-not-stored=register-chain
    closed-link-is-evidence=no-needless-failover
    own-stall-blames-the-peer=no-needless-failover
    tie-without-delay=ties-are-the-primarys
    evidence-waits-for-silence=available
    config-not-published=one-primary-releases
    digest-not-compared=digests
    entry-applied-twice=executed-once
    entry-skipped=applied-in-order
    group-not-synced=durable-kept
    jitter-not-from-seed=deterministic
    not-closed-when-replaced=answered-or-closed
    own-journal-not-awaited=replicas-agree
    own-journal-not-awaited=acknowledged-kept
    read-without-round=linearizable
    read-without-round=not-stale
    refused-after-ordering=refused-not-executed
    removed-from-members=members
    secondary-releases=one-primary-releases
    silence-not-noticed=available
    start-repeat-not-awaited=said-is-durable
    start-by-one-voter=old-disks-refused
    takeover-keeps-in-sync=liveness
    time-by-ticks-alone=expiry
    time-stands-still=logical-time)
set(sim_quick_arguments "")
foreach(pair ${sim_quick})
    string(REGEX REPLACE "=.*" "" name ${pair})
    add_dependencies(mutants-quick sim-${name})
    list(APPEND sim_quick_arguments --by ${pair})
endforeach()

add_test(NAME sim/mutant-rules COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/sim_mutants --rules)
set_tests_properties(sim/mutant-rules PROPERTIES LABELS sim)
if(NOT TS_SANITIZE AND NOT TS_COVERAGE AND NOT CMAKE_CROSSCOMPILING)
    foreach(which mutants mutants-quick)
        add_test(NAME sim/build-${which}
                 COMMAND ${CMAKE_COMMAND} --build ${CMAKE_BINARY_DIR} --target ${which})
        set_tests_properties(sim/build-${which} PROPERTIES FIXTURES_SETUP ${which})
    endforeach()
    add_test(NAME sim/mutants COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/sim_mutants ${sim_mutant_dir}
             --jobs 2)
    add_test(NAME sim/mutants-quick COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/sim_mutants ${sim_mutant_dir}
             --seeds 2000 ${sim_quick_arguments})
    set_tests_properties(sim/mutants PROPERTIES FIXTURES_REQUIRED mutants PROCESSORS 2)
    set_tests_properties(sim/mutants-quick PROPERTIES FIXTURES_REQUIRED mutants-quick)
    set_tests_properties(sim/build-mutants sim/mutants PROPERTIES TIMEOUT 7200 LABELS "sim;long")
    set_tests_properties(sim/build-mutants-quick sim/mutants-quick PROPERTIES TIMEOUT 600 LABELS sim)
endif()
