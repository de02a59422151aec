/* The stages of a primary's commands: each batch is counted once in each, at the right distance. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/replica_latency.h"

static struct replica_latency latency;

static int clear(void **state)
{
    (void)state;
    memset(&latency, 0, sizeof(latency));
    return 0;
}

static struct ts_seq seq(uint64_t v)
{
    return (struct ts_seq){v};
}

static struct ts_mono us(uint64_t v)
{
    return (struct ts_mono){v * TS_NS_PER_US};
}

static void order(uint64_t first, uint64_t n, uint64_t at_us)
{
    replica_latency_ordered(&latency, seq(first), n, 5 * TS_NS_PER_US, true, us(at_us));
}

/* As the shell does it: entry by entry. */
static void apply(uint64_t from, uint64_t to, uint64_t begin_us, uint64_t end_us)
{
    for (uint64_t s = from; s <= to; s++) {
        if (replica_latency_is_first(&latency, seq(s))) {
            replica_latency_committed(&latency, seq(s), us(begin_us));
        }
        if (replica_latency_is_last(&latency, seq(s))) {
            replica_latency_applied(&latency, us(end_us));
        }
    }
}

static void assert_stage(enum report_stage stage, uint64_t count, uint64_t sum_us)
{
    const struct ts_histogram *h = &latency.stage[stage];
    assert_int_equal(ts_histogram_total(h), count);
    assert_true(h->sum_ns == sum_us * TS_NS_PER_US);
}

/* Goal: one batch of three, the disk before the fabric: the last acknowledgement commits. */
static void test_batch_is_counted_in_each_stage(void **state)
{
    (void)state;
    order(10, 3, 1000);
    replica_latency_persisted(&latency, seq(12), us(1200));
    assert_true(replica_latency_wants_acks(&latency));
    apply(10, 12, 1300, 1310);
    replica_latency_acked(&latency, seq(12), us(1300));
    replica_latency_replied(&latency, us(1350));
    replica_latency_replied(&latency, us(9999));
    assert_stage(REPORT_STAGE_QUEUE, 3, 15);
    assert_stage(REPORT_STAGE_JOURNAL, 3, 600);
    assert_stage(REPORT_STAGE_FABRIC, 3, 900);
    assert_stage(REPORT_STAGE_COMMIT, 3, 900);
    assert_stage(REPORT_STAGE_APPLY, 3, 30);
    assert_stage(REPORT_STAGE_REPLY, 3, 120);
    assert_false(replica_latency_wants_acks(&latency));
}

/* Goal: the fabric before the disk; entries of nobody lie between the batches. */
static void test_fabric_before_disk_and_gaps(void **state)
{
    (void)state;
    order(5, 1, 100);
    order(7, 2, 110);
    replica_latency_acked(&latency, seq(6), us(150));
    replica_latency_acked(&latency, seq(8), us(160));
    replica_latency_persisted(&latency, seq(8), us(200));
    apply(4, 9, 200, 204);
    assert_stage(REPORT_STAGE_FABRIC, 3, 50 + 2 * 50);
    assert_stage(REPORT_STAGE_JOURNAL, 3, 100 + 2 * 90);
    assert_stage(REPORT_STAGE_COMMIT, 3, 100 + 2 * 90);
    assert_stage(REPORT_STAGE_APPLY, 3, 4 * 3);
}

/* Goal: alone nobody else acknowledges, and nothing is counted for it. */
static void test_alone_has_no_fabric(void **state)
{
    (void)state;
    replica_latency_ordered(&latency, seq(1), 1, 0, false, us(10));
    replica_latency_persisted(&latency, seq(1), us(20));
    apply(1, 1, 20, 21);
    assert_stage(REPORT_STAGE_FABRIC, 0, 0);
    assert_stage(REPORT_STAGE_COMMIT, 1, 10);
}

/* Goal: what another primary answers is forgotten, and what comes then is counted as ever. */
static void test_forgotten_batches_are_left_out(void **state)
{
    (void)state;
    order(1, 4, 10);
    replica_latency_forget(&latency);
    replica_latency_persisted(&latency, seq(4), us(20));
    apply(1, 4, 20, 21);
    assert_stage(REPORT_STAGE_JOURNAL, 0, 0);
    assert_stage(REPORT_STAGE_COMMIT, 0, 0);
    order(2, 1, 30); /* a later epoch may use the same positions */
    replica_latency_persisted(&latency, seq(2), us(40));
    apply(2, 2, 50, 51);
    assert_stage(REPORT_STAGE_JOURNAL, 1, 10);
    assert_stage(REPORT_STAGE_COMMIT, 1, 20);
}

/* Goal: a batch whose application nobody saw (it happened within the ordering) holds up none. */
static void test_passed_batch_is_skipped(void **state)
{
    (void)state;
    order(1, 1, 10);
    order(2, 2, 10);
    replica_latency_persisted(&latency, seq(3), us(20));
    apply(2, 3, 30, 31);
    assert_stage(REPORT_STAGE_COMMIT, 2, 40);
    assert_stage(REPORT_STAGE_APPLY, 2, 2);
}

/* Goal: more batches than are followed, and more in one turn than replies are kept for. */
static void test_bounds_are_kept(void **state)
{
    (void)state;
    const uint64_t many = REPLICA_LATENCY_BATCHES + 10;
    for (uint64_t s = 1; s <= many; s++) {
        order(s, 1, 100);
    }
    replica_latency_persisted(&latency, seq(many), us(110));
    apply(1, many, 120, 121);
    replica_latency_replied(&latency, us(122));
    assert_int_equal(ts_histogram_total(&latency.stage[REPORT_STAGE_QUEUE]), many);
    assert_int_equal(ts_histogram_total(&latency.stage[REPORT_STAGE_JOURNAL]),
                     REPLICA_LATENCY_BATCHES);
    assert_stage(REPORT_STAGE_REPLY, REPLICA_LATENCY_BATCHES, REPLICA_LATENCY_BATCHES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_batch_is_counted_in_each_stage, clear),
        cmocka_unit_test_setup(test_fabric_before_disk_and_gaps, clear),
        cmocka_unit_test_setup(test_alone_has_no_fabric, clear),
        cmocka_unit_test_setup(test_forgotten_batches_are_left_out, clear),
        cmocka_unit_test_setup(test_passed_batch_is_skipped, clear),
        cmocka_unit_test_setup(test_bounds_are_kept, clear),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
