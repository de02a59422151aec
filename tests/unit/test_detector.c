/* The failure detector: what each test learned stands in its name and its goal. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/prng.h"
#include "heartbeat/detector.h"

#define MS TS_NS_PER_MS
#define TIMEOUT (100 * MS)
#define TICK (10 * MS)

static struct ts_mono at(uint64_t ms)
{
    return (struct ts_mono){1000 * MS + ms * MS};
}

static struct hb_detector detector(void)
{
    struct hb_detector d;
    hb_detector_init(&d, TIMEOUT, TICK, at(0));
    return d;
}

/* Ticks punctually from `from` (not included) to `to` (included), milliseconds. */
static void tick_through(struct hb_detector *d, uint64_t from, uint64_t to)
{
    for (uint64_t t = from + 10; t <= to; t += 10) {
        (void)hb_detector_tick(d, at(t));
    }
}

/* Goal: silence is found exactly at the timeout, not a tick earlier or later. */
static void test_detector_silence_of_timeout_is_silent(void **state)
{
    (void)state;
    struct hb_detector d = detector();
    assert_false(hb_detector_heard(&d, at(5)));
    tick_through(&d, 0, 100);
    assert_int_equal(hb_detector_verdict(&d), HB_ALIVE);
    assert_true(hb_detector_deadline(&d).ns == at(105).ns);
    assert_int_equal(hb_detector_tick(&d, at(105)), 0);
    assert_int_equal(hb_detector_verdict(&d), HB_SILENT);
    assert_true(hb_detector_silence_ns(&d, at(107)) == 102 * MS);
}

/* Goal: one sign of life makes a silent peer alive, and says that this is news. */
static void test_detector_heard_after_silence_is_alive_again(void **state)
{
    (void)state;
    struct hb_detector d = detector();
    tick_through(&d, 0, 200);
    assert_int_equal(hb_detector_verdict(&d), HB_SILENT);
    assert_true(hb_detector_heard(&d, at(201)));
    assert_false(hb_detector_heard(&d, at(202)));
    assert_int_equal(hb_detector_verdict(&d), HB_ALIVE);
    assert_true(hb_detector_silence_ns(&d, at(202)) == 0);
}

/* Goal: a process that was stopped (SIGSTOP) for 5 s and wakes accuses nobody before the peer
 * had a fresh timeout, and does accuse a peer that uses none of it. */
static void test_detector_own_stop_of_5_s_gives_fresh_timeout(void **state)
{
    (void)state;
    struct hb_detector d = detector();
    tick_through(&d, 0, 90); /* the peer is already silent for 90 of 100 ms */
    assert_int_equal(hb_detector_verdict(&d), HB_ALIVE);
    assert_true(hb_detector_tick(&d, at(5090)) == 4990 * MS);
    assert_int_equal(hb_detector_verdict(&d), HB_ALIVE);
    tick_through(&d, 5090, 5180);
    assert_int_equal(hb_detector_verdict(&d), HB_ALIVE);
    tick_through(&d, 5180, 5190);
    assert_int_equal(hb_detector_verdict(&d), HB_SILENT);
}

/* Goal: a process that has to wait between reading its sockets and ticking judges by what it has
 * read: it does not count the time in which the peer's message lay in a socket. */
static void test_detector_tick_as_of_reading_counts_nothing_unread(void **state)
{
    (void)state;
    struct hb_detector d = detector();
    tick_through(&d, 0, 80);
    assert_int_equal(hb_detector_tick(&d, at(95)), 0); /* it is 110; a message came in at 96 */
    assert_int_equal(hb_detector_verdict(&d), HB_ALIVE);
    assert_false(hb_detector_heard(&d, at(111)));
    assert_int_equal(hb_detector_tick(&d, at(111)), 0); /* it is 130 */
    assert_int_equal(hb_detector_tick(&d, at(131)), 0);
    assert_int_equal(hb_detector_verdict(&d), HB_ALIVE);
    tick_through(&d, 131, 221);
    assert_int_equal(hb_detector_tick(&d, at(211)), 0); /* a time from before says nothing */
    assert_int_equal(hb_detector_verdict(&d), HB_SILENT);
}

/* Goal: asking between waking up and ticking gives no accusation either. */
static void test_detector_verdict_before_tick_is_the_old_one(void **state)
{
    (void)state;
    struct hb_detector d = detector();
    tick_through(&d, 0, 20);
    assert_true(hb_detector_silence_ns(&d, at(9000)) > TIMEOUT);
    assert_int_equal(hb_detector_verdict(&d), HB_ALIVE);
}

/* Goal: corosync#600, load broke a timeout of 1 s and people raised it to 3 s. Here each tick is
 * 30 ms late and the peer's heartbeats come in bursts of 120 ms, as late as everything: no
 * accusation, for most of that silence is our own lateness. */
static void test_detector_load_that_delays_both_is_not_silence(void **state)
{
    (void)state;
    struct hb_detector d = detector();
    for (uint64_t t = 40; t <= 40000; t += 40) {
        if (t % 120 == 0) {
            (void)hb_detector_heard(&d, at(t));
        }
        assert_true(hb_detector_tick(&d, at(t)) == 30 * MS);
        assert_int_equal(hb_detector_verdict(&d), HB_ALIVE);
    }
}

/* Goal: lateness within the slack is no stall: a normal machine's timers do not slow detection. */
static void test_detector_small_lateness_counts_as_silence(void **state)
{
    (void)state;
    struct hb_detector d = detector();
    uint64_t t = 0;
    while (hb_detector_verdict(&d) == HB_ALIVE) {
        t += 17;
        assert_int_equal(hb_detector_tick(&d, at(t)), 0);
    }
    assert_int_equal(t, 102);
}

/* Goal: an observer that stalls for ever still finds a dead peer, within the stated bound. */
static void test_detector_endless_stalls_still_find_the_dead(void **state)
{
    (void)state;
    struct hb_detector d = detector();
    unsigned ticks = 0;
    for (uint64_t t = 0; hb_detector_verdict(&d) == HB_ALIVE; ticks++) {
        t += 1000;
        (void)hb_detector_tick(&d, at(t));
        assert_in_range(ticks, 0, HB_FRESH_MAX + TIMEOUT / TICK);
    }
    assert_int_equal(ticks, HB_FRESH_MAX + TIMEOUT / TICK);
}

/* Goal: a stall does not revive a peer that was called silent. */
static void test_detector_stall_after_verdict_stays_silent(void **state)
{
    (void)state;
    struct hb_detector d = detector();
    tick_through(&d, 0, 100);
    assert_int_equal(hb_detector_verdict(&d), HB_SILENT);
    (void)hb_detector_tick(&d, at(9000));
    assert_int_equal(hb_detector_verdict(&d), HB_SILENT);
    assert_true(hb_detector_silence_ns(&d, at(9000)) >= TIMEOUT);
}

/* Goal: what was heard in the middle of a stall is not excused beyond itself. */
static void test_detector_heard_during_stall_counts_from_hearing(void **state)
{
    (void)state;
    struct hb_detector d = detector();
    tick_through(&d, 0, 10);
    (void)hb_detector_heard(&d, at(45));
    assert_true(hb_detector_tick(&d, at(50)) == 30 * MS);
    assert_true(hb_detector_silence_ns(&d, at(50)) == 0);
    assert_true(hb_detector_silence_ns(&d, at(60)) == 10 * MS);
}

/* Goal: under any order of ticks and signs of life, the peer is never called silent within a
 * timeout of a sign, and time that goes back does no harm. */
static void test_detector_random_schedule_never_accuses_early(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 200; seed++) {
        struct ts_prng p = ts_prng_init(seed);
        struct hb_detector d = detector();
        uint64_t t = 0;
        uint64_t heard = 0;
        for (int i = 0; i < 500; i++) {
            t += ts_prng_below(&p, 60);
            if (ts_prng_below(&p, 4) == 0) {
                (void)hb_detector_heard(&d, at(t));
                heard = t;
            }
            (void)hb_detector_tick(&d, at(t));
            if (ts_prng_below(&p, 50) == 0) {
                (void)hb_detector_tick(&d, at(t / 2));
            }
            if (t - heard < 100) {
                assert_int_equal(hb_detector_verdict(&d), HB_ALIVE);
            }
            assert_true(hb_detector_deadline(&d).ns > at(t).ns ||
                        hb_detector_verdict(&d) == HB_SILENT);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_detector_silence_of_timeout_is_silent),
        cmocka_unit_test(test_detector_heard_after_silence_is_alive_again),
        cmocka_unit_test(test_detector_own_stop_of_5_s_gives_fresh_timeout),
        cmocka_unit_test(test_detector_tick_as_of_reading_counts_nothing_unread),
        cmocka_unit_test(test_detector_verdict_before_tick_is_the_old_one),
        cmocka_unit_test(test_detector_load_that_delays_both_is_not_silence),
        cmocka_unit_test(test_detector_small_lateness_counts_as_silence),
        cmocka_unit_test(test_detector_endless_stalls_still_find_the_dead),
        cmocka_unit_test(test_detector_stall_after_verdict_stays_silent),
        cmocka_unit_test(test_detector_heard_during_stall_counts_from_hearing),
        cmocka_unit_test(test_detector_random_schedule_never_accuses_early),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
