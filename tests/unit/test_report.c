/* The codec of local reports: round trips, and refusal of everything out of range. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "cluster-cfg/report.h"
#include "replicator/repl.h"

static uint8_t buffer[REPORT_BYTES_MAX];

static struct ts_bytes written(const struct ts_writer *w)
{
    assert_int_equal(ts_writer_status(w), TS_OK);
    return (struct ts_bytes){w->data, w->len};
}

static struct report_procs sample_procs(void)
{
    struct report_procs r = {.nic = {2}, .count = 3};
    r.p[0] = (struct report_proc){.role = REPORT_PROC_NICD, .running = true, .pid = 7, .starts = 1};
    r.p[1] = (struct report_proc){
        .role = REPORT_PROC_HEARTBEATD, .pid = 8, .starts = 4, .last_status = 78};
    r.p[2] = (struct report_proc){.role = REPORT_PROC_REPLICA,
                                  .group = {63},
                                  .running = true,
                                  .pid = UINT32_MAX,
                                  .starts = 9,
                                  .last_status = -9};
    return r;
}

/* Goal: a wish comes back as it was; one without a group or an epoch is none. */
static void test_handoff_round_trip_is_same(void **state)
{
    (void)state;
    struct report_handoff in = {.group = {3}, .epoch = {17}, .target = {2}};
    struct report_handoff out = {0};
    struct ts_writer w = ts_writer_init(buffer, sizeof(buffer));
    assert_int_equal(report_handoff_encode(&in, &w), TS_OK);
    assert_int_equal(report_peek(written(&w)), REPORT_HANDOFF);
    assert_int_equal(report_handoff_decode(&out, written(&w)), TS_OK);
    assert_true(out.group.v == 3 && out.epoch.v == 17 && out.target.v == 2);
    struct report_handoff bad[] = {{.epoch = {17}}, {.group = {3}}};
    for (size_t i = 0; i < 2; i++) {
        w = ts_writer_init(buffer, sizeof(buffer));
        assert_int_equal(report_handoff_encode(&bad[i], &w), TS_OK);
        assert_int_not_equal(report_handoff_decode(&out, written(&w)), TS_OK);
    }
    assert_int_equal(out.epoch.v, 17);
}

/* Goal: that a replica serves comes back as it was; who serves has an epoch and a time, who does
 * not has none. */
static void test_serves_round_trip_is_same(void **state)
{
    (void)state;
    struct report_serves in = {.group = {3}, .serves = true, .epoch = {17}, .confirmed = {5}};
    struct report_serves out = {0};
    struct ts_writer w = ts_writer_init(buffer, sizeof(buffer));
    assert_int_equal(report_serves_encode(&in, &w), TS_OK);
    assert_int_equal(report_peek(written(&w)), REPORT_SERVES);
    assert_int_equal(report_serves_decode(&out, written(&w)), TS_OK);
    assert_true(out.group.v == 3 && out.serves && out.epoch.v == 17 && out.confirmed.ns == 5);
    struct report_serves bad[] = {{.group = {3}, .serves = true, .epoch = {17}},
                                  {.group = {3}, .serves = true, .confirmed = {5}},
                                  {.group = {3}, .epoch = {17}, .confirmed = {5}},
                                  {.epoch = {17}}};
    for (size_t i = 0; i < 4; i++) {
        w = ts_writer_init(buffer, sizeof(buffer));
        assert_int_equal(report_serves_encode(&bad[i], &w), TS_OK);
        assert_int_not_equal(report_serves_decode(&out, written(&w)), TS_OK);
    }
}

/* Goal: as many clients as a datagram may have come back as they were, of either family; one
 * without a port is refused. */
static void test_reset_round_trip_is_same(void **state)
{
    (void)state;
    static struct report_reset in;
    static struct report_reset out;
    for (int v6 = 0; v6 < 2; v6++) {
        memset(&in, 0, sizeof(in));
        memset(&out, 0, sizeof(out));
        in.group.v = 3;
        in.v6 = v6 != 0;
        in.round = 2;
        in.count = REPORT_CLIENTS_MAX;
        for (uint16_t i = 0; i < in.count; i++) {
            in.c[i].port = (uint16_t)(i + 1);
            memset(in.c[i].bytes, i, v6 != 0 ? 16 : 4);
        }
        struct ts_writer w = ts_writer_init(buffer, sizeof(buffer));
        assert_int_equal(report_reset_encode(&in, &w), TS_OK);
        assert_int_equal(report_peek(written(&w)), REPORT_RESET);
        assert_int_equal(report_reset_decode(&out, written(&w)), TS_OK);
        assert_memory_equal(&in, &out, sizeof(in));
    }
    in.c[7].port = 0;
    struct ts_writer w = ts_writer_init(buffer, sizeof(buffer));
    assert_int_equal(report_reset_encode(&in, &w), TS_OK);
    assert_int_equal(report_reset_decode(&out, written(&w)), TS_ERR_MALFORMED);
}

/* Goal: who refuses a link comes back as it was, but for what is no printable text. */
static void test_refused_round_trip_is_same(void **state)
{
    (void)state;
    static const struct report_refused in = {
        .nic = {1}, .peer = {3}, .why = "TLS refused", .detail = "unknown \033ca"};
    struct report_refused out;
    struct ts_writer w = ts_writer_init(buffer, sizeof(buffer));
    assert_int_equal(report_refused_encode(&in, &w), TS_OK);
    assert_int_equal(report_peek(written(&w)), REPORT_REFUSED);
    assert_int_equal(report_refused_decode(&out, written(&w)), TS_OK);
    assert_int_equal(out.nic.v, 1);
    assert_int_equal(out.peer.v, 3);
    assert_string_equal(out.why, "TLS refused");
    assert_string_equal(out.detail, "unknown ?ca");
    buffer[4] = buffer[5] = 0; /* nobody */
    assert_int_equal(report_refused_decode(&out, written(&w)), TS_ERR_MALFORMED);
}

/* Goal: who has a service address comes back as it was; it is of a NIC and a group. */
static void test_address_round_trip_is_same(void **state)
{
    (void)state;
    struct report_address in = {.nic = {2}, .group = {3}, .interface = "eth0", .why = "no right"};
    struct report_address out = {.group = {0}};
    struct ts_writer w = ts_writer_init(buffer, sizeof(buffer));
    assert_int_equal(report_address_encode(&in, &w), TS_OK);
    assert_int_equal(report_peek(written(&w)), REPORT_ADDRESS);
    assert_int_equal(report_address_decode(&out, written(&w)), TS_OK);
    assert_true(out.nic.v == 2 && out.group.v == 3);
    assert_string_equal(out.interface, "eth0");
    assert_string_equal(out.why, "no right");
    in.group.v = 0;
    w = ts_writer_init(buffer, sizeof(buffer));
    assert_int_equal(report_address_encode(&in, &w), TS_OK);
    assert_int_equal(report_address_decode(&out, written(&w)), TS_ERR_MALFORMED);
}

/* Goal: all figures fit a datagram and come back as they were; they are of a group. */
static void test_figures_round_trip_is_same(void **state)
{
    (void)state;
    static struct report_figures in;
    static struct report_figures out;
    in.nic.v = 2;
    in.group.v = TS_GROUPS_MAX;
    in.instance.v = UINT64_MAX;
    for (size_t i = 0; i < REPORT_COUNTERS; i++) {
        in.counter[i] = UINT64_MAX - i;
    }
    for (size_t i = 0; i < REPORT_GAUGES; i++) {
        in.gauge[i] = UINT64_MAX / 2 - i;
    }
    for (size_t i = 0; i < REPORT_STAGES; i++) {
        ts_histogram_add(&in.stage[i], 1000 * (i + 1), i + 7);
        ts_histogram_add(&in.stage[i], UINT64_MAX / 16, 1);
    }
    struct ts_writer w = ts_writer_init(buffer, sizeof(buffer));
    assert_int_equal(report_figures_encode(&in, &w), TS_OK);
    assert_int_equal(report_peek(written(&w)), REPORT_FIGURES);
    assert_int_equal(report_figures_decode(&out, written(&w)), TS_OK);
    assert_memory_equal(&in, &out, sizeof(in));
    struct ts_bytes cut = {w.data, w.len - 1};
    assert_int_equal(report_figures_decode(&out, cut), TS_ERR_MALFORMED);
    in.group.v = 0;
    w = ts_writer_init(buffer, sizeof(buffer));
    assert_int_equal(report_figures_encode(&in, &w), TS_OK);
    assert_int_equal(report_figures_decode(&out, written(&w)), TS_ERR_MALFORMED);
    assert_int_equal(out.group.v, TS_GROUPS_MAX);
}

/* Goal: the wish for a snapshot comes back as it was; one without a group or an entry is none. */
static void test_snapshot_round_trip_is_same(void **state)
{
    (void)state;
    struct report_snapshot in = {.group = {3}, .seq = {17}};
    struct report_snapshot out = {0};
    struct ts_writer w = ts_writer_init(buffer, sizeof(buffer));
    assert_int_equal(report_snapshot_encode(&in, &w), TS_OK);
    assert_int_equal(report_peek(written(&w)), REPORT_SNAPSHOT);
    assert_int_equal(report_snapshot_decode(&out, written(&w)), TS_OK);
    assert_true(out.group.v == 3 && out.seq.v == 17);
    in.seq.v = 0;
    w = ts_writer_init(buffer, sizeof(buffer));
    assert_int_equal(report_snapshot_encode(&in, &w), TS_OK);
    assert_int_equal(report_snapshot_decode(&out, written(&w)), TS_ERR_MALFORMED);
}

static struct report_replica sample_replica(void)
{
    struct report_replica r = {.nic = {1}, .group = {1}, .role = REPORT_ROLE_PRIMARY};
    r.config.epoch.v = 5;
    r.config.primary.v = 1;
    r.config.min_version = 1;
    r.config.nonce = 99;
    r.config.proposer.v = 77;
    cfg_set_add(&r.config.members, (struct cfg_replica){{1}, {11}});
    cfg_set_add(&r.config.members, (struct cfg_replica){{2}, {22}});
    r.config.in_sync = r.config.members;
    r.required_mask = 6;
    r.instance.v = UINT64_MAX;
    r.incarnation.v = 11;
    r.last.v = 30;
    r.committed.v = 29;
    r.applied.v = 28;
    r.digest = (struct ts_hash){1, 2};
    r.alarms = 1U << REPORT_ALARM_VOTER_LOST;
    r.requests_waiting = 3;
    r.requests_total = 1000;
    r.rejected_total = 2;
    memcpy(r.why, "waits", sizeof("waits"));
    r.peer_count = 1;
    r.peers[0] =
        (struct report_replica_peer){.nic = {2}, .connected = true, .path = 1, .acked = {29}};
    return r;
}

/* Goal: what was encoded is decoded, for the list of processes. */
static void test_procs_round_trip_is_same(void **state)
{
    (void)state;
    struct report_procs in = sample_procs();
    struct report_procs out;
    memset(&out, 0, sizeof(out));
    struct ts_writer w = ts_writer_init(buffer, sizeof(buffer));
    assert_int_equal(report_procs_encode(&in, &w), TS_OK);
    assert_int_equal(report_peek(written(&w)), REPORT_PROCS);
    assert_int_equal(report_procs_decode(&out, written(&w)), TS_OK);
    assert_int_equal(out.count, 3);
    assert_int_equal(out.nic.v, 2);
    assert_int_equal(out.p[1].last_status, 78);
    assert_int_equal(out.p[2].last_status, -9);
    assert_int_equal(out.p[2].pid, UINT32_MAX);
    assert_int_equal(out.p[2].group.v, 63);
    assert_true(out.p[2].running);
}

/* Goal: the largest list of peers fits into a datagram and comes back. */
static void test_peers_of_largest_cluster_fit(void **state)
{
    (void)state;
    struct report_peers in = {.nic = {1}, .own_stall_ms = 17, .count = TS_NODES_MAX};
    for (uint16_t i = 0; i < TS_NODES_MAX; i++) {
        in.p[i].nic.v = (uint16_t)(i + 1);
        in.p[i].alive = i % 2 == 0;
        in.p[i].path_up_mask = (uint8_t)(i & 0x0f);
        in.p[i].instance.v = i * 1000U;
        in.p[i].silent_ms = i;
        in.p[i].replica_running_mask = 1ULL << i;
        in.p[i].replica_known_mask = UINT64_MAX;
        memset(in.p[i].replica_starts, i, sizeof(in.p[i].replica_starts));
    }
    struct report_peers out;
    struct ts_writer w = ts_writer_init(buffer, sizeof(buffer));
    assert_int_equal(report_peers_encode(&in, &w), TS_OK);
    assert_int_equal(report_peers_decode(&out, written(&w)), TS_OK);
    assert_int_equal(out.own_stall_ms, 17);
    assert_int_equal(out.count, TS_NODES_MAX);
    for (size_t i = 0; i < TS_NODES_MAX; i++) {
        assert_int_equal(out.p[i].nic.v, in.p[i].nic.v);
        assert_int_equal(out.p[i].alive, in.p[i].alive);
        assert_int_equal(out.p[i].path_up_mask, in.p[i].path_up_mask);
        assert_true(out.p[i].replica_running_mask == in.p[i].replica_running_mask);
        assert_memory_equal(out.p[i].replica_starts, in.p[i].replica_starts,
                            sizeof(in.p[i].replica_starts));
    }
}

/* Goal: a replica's state with and without a known configuration. */
static void test_replica_round_trip_is_same(void **state)
{
    (void)state;
    struct report_replica in = sample_replica();
    struct report_replica out;
    struct ts_writer w = ts_writer_init(buffer, sizeof(buffer));
    assert_int_equal(report_replica_encode(&in, &w), TS_OK);
    assert_int_equal(report_replica_decode(&out, written(&w)), TS_OK);
    assert_true(cfg_config_eq(&in.config, &out.config));
    assert_true(ts_hash_eq(in.digest, out.digest));
    assert_int_equal(out.alarms, in.alarms);
    assert_string_equal(out.why, "waits");
    assert_int_equal(out.peers[0].acked.v, 29);
    assert_int_equal(out.requests_total, 1000);

    in.config = (struct cfg_config){0};
    in.role = REPORT_ROLE_STARTING;
    w = ts_writer_init(buffer, sizeof(buffer));
    assert_int_equal(report_replica_encode(&in, &w), TS_OK);
    assert_int_equal(report_replica_decode(&out, written(&w)), TS_OK);
    assert_int_equal(out.config.epoch.v, 0);
}

/* Goal: text that a terminal or JSON could not take never leaves the encoder. */
static void test_replica_why_with_control_bytes_is_cleaned(void **state)
{
    (void)state;
    struct report_replica in = sample_replica();
    struct report_replica out;
    memcpy(in.why, "a\x1b[31m\xff", sizeof("a\x1b[31m\xff"));
    struct ts_writer w = ts_writer_init(buffer, sizeof(buffer));
    assert_int_equal(report_replica_encode(&in, &w), TS_OK);
    assert_int_equal(report_replica_decode(&out, written(&w)), TS_OK);
    assert_string_equal(out.why, "a?[31m?");
    memset(in.why, 'x', sizeof(in.why)); /* without its NUL */
    w = ts_writer_init(buffer, sizeof(buffer));
    assert_int_equal(report_replica_encode(&in, &w), TS_OK);
    assert_int_equal(report_replica_decode(&out, written(&w)), TS_OK);
    assert_int_equal(strlen(out.why), sizeof(out.why) - 1);
}

/* Goal: a full burst of traces fits and keeps its order. */
static void test_trace_full_burst_round_trip_is_same(void **state)
{
    (void)state;
    struct report_trace in = {.nic = {3},
                              .role = REPORT_PROC_REPLICA,
                              .group = {2},
                              .instance = {5},
                              .dropped = 12,
                              .count = REPORT_TRACES_MAX};
    for (unsigned i = 0; i < REPORT_TRACES_MAX; i++) {
        in.t[i] = (struct ts_trace){.kind = (enum ts_trace_kind)(i % TS_TRACE_KINDS),
                                    .at = {i},
                                    .epoch = {i + 1},
                                    .seq = {i + 2},
                                    .a = UINT64_MAX - i,
                                    .b = i};
    }
    struct report_trace out;
    struct ts_writer w = ts_writer_init(buffer, sizeof(buffer));
    assert_int_equal(report_trace_encode(&in, &w), TS_OK);
    assert_int_equal(report_trace_decode(&out, written(&w)), TS_OK);
    assert_int_equal(out.count, REPORT_TRACES_MAX);
    assert_int_equal(out.dropped, 12);
    for (size_t i = 0; i < REPORT_TRACES_MAX; i++) {
        assert_int_equal(out.t[i].kind, in.t[i].kind);
        assert_true(out.t[i].a == in.t[i].a);
        assert_int_equal(out.t[i].seq.v, in.t[i].seq.v);
    }
}

/* Goal: every shorter and every longer input is refused and leaves the result alone. */
static void test_decode_wrong_length_is_malformed(void **state)
{
    (void)state;
    struct report_procs in = sample_procs();
    struct ts_writer w = ts_writer_init(buffer, sizeof(buffer));
    assert_int_equal(report_procs_encode(&in, &w), TS_OK);
    struct report_procs out = {.count = 9};
    for (size_t n = 0; n < w.len; n++) {
        assert_int_equal(report_procs_decode(&out, (struct ts_bytes){buffer, n}), TS_ERR_MALFORMED);
    }
    assert_int_equal(report_procs_decode(&out, (struct ts_bytes){buffer, w.len + 1}),
                     TS_ERR_MALFORMED);
    assert_int_equal(out.count, 9);
}

/* Goal: kinds, versions, counts, enums and ids out of range are refused. */
static void test_decode_out_of_range_is_refused(void **state)
{
    (void)state;
    struct report_procs in = sample_procs();
    struct report_procs out;
    struct report_peers peers;
    struct ts_writer w = ts_writer_init(buffer, sizeof(buffer));
    assert_int_equal(report_procs_encode(&in, &w), TS_OK);
    struct ts_bytes b = written(&w);
    assert_int_equal(report_peers_decode(&peers, b), TS_ERR_MALFORMED);
    static const struct {
        size_t at;
        uint8_t value;
        enum ts_err err;
    } BAD[] = {
        {0, REPORT_VERSION + 1, TS_ERR_VERSION},
        {1, 9, TS_ERR_MALFORMED},
        {2, 0, TS_ERR_MALFORMED},  /* NIC 0 */
        {2, 64, TS_ERR_MALFORMED}, /* NIC 64 */
        {4, REPORT_PROCS_MAX + 1, TS_ERR_MALFORMED},
        {5, 4, TS_ERR_MALFORMED}, /* role */
        {6, 1, TS_ERR_MALFORMED}, /* nicd of a group */
        {8, 2, TS_ERR_MALFORMED}, /* bool */
    };
    for (size_t i = 0; i < sizeof(BAD) / sizeof(BAD[0]); i++) {
        uint8_t old = buffer[BAD[i].at];
        buffer[BAD[i].at] = BAD[i].value;
        assert_int_equal(report_procs_decode(&out, b), BAD[i].err);
        buffer[BAD[i].at] = old;
    }
    assert_int_equal(report_procs_decode(&out, b), TS_OK);
    assert_int_equal(report_peek((struct ts_bytes){buffer, 1}), REPORT_NONE);
    buffer[1] = REPORT_REFUSED + 1;
    assert_int_equal(report_peek(b), REPORT_NONE);
}

/* Goal: the numbers that traces carry mean to people what they mean to the core. */
static void test_trace_numbers_equal_those_of_the_core(void **state)
{
    (void)state;
    assert_int_equal(REPORT_EVIDENCE_NONE, REPL_EVIDENCE_NONE);
    assert_int_equal(REPORT_EVIDENCE_SILENT, REPL_EVIDENCE_SILENT);
    assert_int_equal(REPORT_EVIDENCE_REFUSED, REPL_EVIDENCE_REFUSED);
    assert_int_equal(REPORT_EVIDENCE_EXITED, REPL_EVIDENCE_EXITED);
    assert_int_equal(REPORT_EVIDENCE_RESTARTED, REPL_EVIDENCE_RESTARTED);
    assert_int_equal(REPORT_EVIDENCE_SELF, REPL_EVIDENCE_SELF);
    assert_int_equal(REPORT_EVIDENCE_ABDICATED, REPL_EVIDENCE_ABDICATED);
    assert_int_equal(REPORT_EVIDENCE_STUCK, REPL_EVIDENCE_STUCK);
    assert_int_equal(REPORT_EVIDENCE_HANDED_OVER, REPL_EVIDENCE_HANDED_OVER);
    assert_int_equal(REPORT_TRACE_ROLE_STARTING, REPL_ROLE_STARTING);
    assert_int_equal(REPORT_TRACE_ROLE_SECONDARY, REPL_ROLE_SECONDARY);
    assert_int_equal(REPORT_TRACE_ROLE_TAKING_OVER, REPL_ROLE_TAKING_OVER);
    assert_int_equal(REPORT_TRACE_ROLE_PRIMARY, REPL_ROLE_PRIMARY);
    assert_int_equal(REPORT_TRACE_ROLE_HALTED, REPL_ROLE_HALTED);
    assert_int_equal(REPORT_WHY_TAKING_OVER, REPL_WHY_TAKING_OVER);
    assert_string_equal(report_why_text(REPL_WHY_NONE), "");
    assert_string_equal(report_why_text(REPL_WHY_DISK),
                        "the journal failed: free room on a full disk, replace a broken one");
    assert_string_equal(report_why_text(99), "?");
    assert_string_equal(report_evidence_text(99), "?");
    assert_string_equal(report_trace_role_text(99), "?");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_procs_round_trip_is_same),
        cmocka_unit_test(test_handoff_round_trip_is_same),
        cmocka_unit_test(test_serves_round_trip_is_same),
        cmocka_unit_test(test_reset_round_trip_is_same),
        cmocka_unit_test(test_refused_round_trip_is_same),
        cmocka_unit_test(test_address_round_trip_is_same),
        cmocka_unit_test(test_figures_round_trip_is_same),
        cmocka_unit_test(test_snapshot_round_trip_is_same),
        cmocka_unit_test(test_peers_of_largest_cluster_fit),
        cmocka_unit_test(test_replica_round_trip_is_same),
        cmocka_unit_test(test_replica_why_with_control_bytes_is_cleaned),
        cmocka_unit_test(test_trace_full_burst_round_trip_is_same),
        cmocka_unit_test(test_decode_wrong_length_is_malformed),
        cmocka_unit_test(test_decode_out_of_range_is_refused),
        cmocka_unit_test(test_trace_numbers_equal_those_of_the_core),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
