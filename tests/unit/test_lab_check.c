/* Goal: the load oracle's checkers accept every history that some order of execution explains
 * and refuse each kind of lie. A checker that accepts all proves nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/prng.h"
#include "lab/check.h"

static struct lab_history history;
static uint8_t content[64 * LAB_TOKEN_BYTES];
static size_t tokens;

static int setup(void **state)
{
    (void)state;
    history = (struct lab_history){0};
    tokens = 0;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    lab_history_free(&history);
    return 0;
}

/* Adds an operation; an `end` of 0 means ambiguous. */
static void op(enum lab_op_kind kind, uint64_t begin, uint64_t end, int64_t value, int64_t result)
{
    struct lab_op o = {.begin_ns = begin,
                       .end_ns = end == 0 ? LAB_NEVER : end,
                       .value = value,
                       .result = result,
                       .kind = (uint8_t)kind,
                       .outcome = end == 0 ? LAB_AMBIGUOUS : LAB_ACKED};
    lab_history_add(&history, &o);
}

static void last_failed(void)
{
    history.ops[history.count - 1].outcome = LAB_FAILED;
}

static void set(uint64_t begin, uint64_t end, int64_t value)
{
    op(LAB_OP_SET, begin, end, value, 0);
}

static void get(uint64_t begin, uint64_t end, int64_t value)
{
    op(LAB_OP_GET, begin, end, value, 0);
}

static void incr(uint64_t begin, uint64_t end, int64_t result)
{
    op(LAB_OP_INCR, begin, end, 0, result);
}

static void count(uint64_t begin, uint64_t end, int64_t result)
{
    op(LAB_OP_COUNT, begin, end, 0, result);
}

static void append(uint64_t begin, uint64_t end, int64_t token, int64_t position)
{
    op(LAB_OP_APPEND, begin, end, token, position * LAB_TOKEN_BYTES);
}

static void length(uint64_t begin, uint64_t end, int64_t n)
{
    op(LAB_OP_LENGTH, begin, end, 0, n * LAB_TOKEN_BYTES);
}

static void final_token(uint32_t id)
{
    lab_token_encode(id, content + tokens++ * LAB_TOKEN_BYTES);
}

static struct lab_verdict judge(void)
{
    struct lab_final_list list = {.key = 0, .content = {content, tokens * LAB_TOKEN_BYTES}};
    struct lab_verdict v;
    lab_check(&history, &list, 1, &v);
    return v;
}

/* ---- registers ---- */

static void test_register_sequential_history_accepted(void **state)
{
    (void)state;
    get(1, 2, LAB_NIL);
    set(3, 4, 1);
    get(5, 6, 1);
    set(7, 8, 2);
    get(9, 10, 2);
    struct lab_verdict v = judge();
    assert_true(lab_verdict_ok(&v));
    assert_int_equal(v.acknowledged, 2);
    assert_int_equal(v.reads, 3);
}

static void test_register_concurrent_sets_in_either_order_accepted(void **state)
{
    (void)state;
    set(1, 10, 1);
    set(2, 9, 2);
    get(3, 4, 2); /* 2 first … */
    get(11, 12, 1);
    struct lab_verdict v = judge();
    assert_true(lab_verdict_ok(&v));
}

static void test_register_ambiguous_set_seen_or_not_accepted(void **state)
{
    (void)state;
    set(1, 2, 1);
    set(3, 0, 2);
    set(3, 0, 3);
    get(5, 6, 1);
    get(7, 8, 3); /* took effect late; 2 never did */
    struct lab_verdict v = judge();
    assert_true(lab_verdict_ok(&v));
    assert_int_equal(v.ambiguous, 2);
}

static void test_register_acknowledged_set_gone_is_lost(void **state)
{
    (void)state;
    set(1, 2, 1);
    set(3, 4, 2);
    get(5, 6, 1); /* the last read */
    struct lab_verdict v = judge();
    assert_int_equal(v.lost, 1);
    assert_false(lab_verdict_ok(&v));
    assert_true(v.finding_count > 0);
}

static void test_register_all_gone_is_lost(void **state)
{
    (void)state;
    set(1, 2, 1);
    set(3, 4, 2);
    get(5, 6, LAB_NIL);
    struct lab_verdict v = judge();
    assert_int_equal(v.lost, 2);
}

static void test_register_old_value_after_newer_acknowledged_is_stale(void **state)
{
    (void)state;
    set(1, 2, 1);
    set(3, 4, 2);
    get(5, 6, 1);
    get(7, 8, 2);
    struct lab_verdict v = judge();
    assert_int_equal(v.stale_reads, 1);
    assert_int_equal(v.lost, 0);
    assert_false(lab_verdict_ok(&v));
}

static void test_register_read_during_set_may_be_old(void **state)
{
    (void)state;
    set(1, 2, 1);
    set(3, 10, 2);
    get(5, 6, 1);
    get(11, 12, 2);
    struct lab_verdict v = judge();
    assert_true(lab_verdict_ok(&v));
}

static void test_register_new_then_old_during_one_set_is_disorder(void **state)
{
    (void)state;
    set(1, 2, 1);
    set(3, 20, 2);
    get(5, 6, 2); /* the new value was seen … */
    get(7, 8, 1); /* … and then the old one: no order explains it */
    get(21, 22, 2);
    struct lab_verdict v = judge();
    assert_true(v.disorder > 0);
    assert_int_equal(v.stale_reads, 0);
}

static void test_register_ambiguous_set_flickering_is_disorder(void **state)
{
    (void)state;
    set(1, 2, 1);
    set(3, 0, 2);
    get(5, 6, 2);
    get(7, 8, 1);
    get(9, 10, 2);
    struct lab_verdict v = judge();
    assert_true(v.disorder > 0);
}

static void test_register_set_within_reads_of_another_value_is_disorder(void **state)
{
    (void)state;
    set(1, 0, 1);
    get(2, 3, 1);
    set(4, 5, 2); /* acknowledged between two reads of 1, which is ambiguous: may come once only */
    get(6, 7, 1);
    struct lab_verdict v = judge();
    assert_true(v.disorder > 0);
}

static void test_register_failed_set_seen_is_phantom(void **state)
{
    (void)state;
    set(1, 2, 1);
    last_failed();
    get(3, 4, 1);
    struct lab_verdict v = judge();
    assert_int_equal(v.phantoms, 1);
    assert_int_equal(v.failed, 1);
}

static void test_register_unknown_bytes_are_phantom(void **state)
{
    (void)state;
    set(1, 2, 1);
    get(3, 4, LAB_UNKNOWN_VALUE);
    struct lab_verdict v = judge();
    assert_int_equal(v.phantoms, 1);
}

static void test_register_value_before_its_set_is_phantom(void **state)
{
    (void)state;
    get(1, 2, 1);
    set(3, 4, 1);
    struct lab_verdict v = judge();
    assert_int_equal(v.phantoms, 1);
}

/* ---- counters ---- */

static void test_counter_good_history_accepted(void **state)
{
    (void)state;
    incr(1, 4, 2);
    incr(1, 5, 1); /* concurrent: either order */
    incr(6, 0, 0); /* ambiguous, took effect */
    incr(7, 8, 4);
    count(9, 10, 4);
    struct lab_verdict v = judge();
    assert_true(lab_verdict_ok(&v));
}

static void test_counter_ambiguous_not_executed_accepted(void **state)
{
    (void)state;
    incr(1, 2, 1);
    incr(3, 0, 0);
    count(4, 5, 1);
    struct lab_verdict v = judge();
    assert_true(lab_verdict_ok(&v));
}

static void test_counter_missing_increment_is_lost(void **state)
{
    (void)state;
    incr(1, 2, 1);
    incr(3, 4, 2);
    count(5, 6, 1);
    struct lab_verdict v = judge();
    assert_int_equal(v.lost, 1);
}

static void test_counter_same_answer_twice_is_lost(void **state)
{
    (void)state;
    incr(1, 2, 1);
    incr(3, 5, 2);
    incr(3, 6, 2);
    count(7, 8, 3); /* an unasked third hides it from the totals */
    struct lab_verdict v = judge();
    assert_int_equal(v.lost, 1);
}

static void test_counter_too_high_is_executed_twice(void **state)
{
    (void)state;
    incr(1, 2, 1);
    incr(3, 0, 0);
    count(4, 5, 3);
    struct lab_verdict v = judge();
    assert_int_equal(v.executed_twice, 1);
}

static void test_counter_failed_increment_counted_is_executed(void **state)
{
    (void)state;
    incr(1, 2, 0);
    last_failed();
    count(4, 5, 1);
    struct lab_verdict v = judge();
    assert_false(lab_verdict_ok(&v));
}

static void test_counter_results_falling_in_time_is_disorder(void **state)
{
    (void)state;
    incr(1, 2, 2);
    incr(3, 4, 1);
    count(5, 6, 2);
    struct lab_verdict v = judge();
    assert_true(v.disorder > 0);
}

static void test_counter_old_read_is_stale(void **state)
{
    (void)state;
    incr(1, 2, 1);
    incr(3, 4, 2);
    count(5, 6, 1);
    count(7, 8, 2);
    struct lab_verdict v = judge();
    assert_int_equal(v.stale_reads, 1);
    assert_int_equal(v.lost, 0);
}

static void test_counter_read_of_the_future_is_disorder(void **state)
{
    (void)state;
    incr(1, 2, 1);
    count(3, 4, 2);
    incr(5, 6, 2);
    count(7, 8, 2);
    struct lab_verdict v = judge();
    assert_true(v.disorder > 0);
}

/* ---- lists ---- */

static void test_list_good_history_accepted(void **state)
{
    (void)state;
    append(1, 5, 1, 2);
    append(1, 4, 2, 1);
    append(6, 0, 3, 0); /* ambiguous, executed */
    append(6, 0, 4, 0); /* ambiguous, not executed */
    length(7, 8, 2);
    append(9, 10, 5, 4);
    length(11, 12, 4);
    final_token(2);
    final_token(1);
    final_token(3);
    final_token(5);
    struct lab_verdict v = judge();
    assert_true(lab_verdict_ok(&v));
    assert_int_equal(v.acknowledged, 3);
}

static void test_list_missing_token_is_lost(void **state)
{
    (void)state;
    append(1, 2, 1, 1);
    append(3, 4, 2, 2);
    final_token(1);
    struct lab_verdict v = judge();
    assert_int_equal(v.lost, 1);
}

static void test_list_missing_key_is_lost(void **state)
{
    (void)state;
    append(1, 2, 1, 1);
    struct lab_verdict v = judge();
    assert_int_equal(v.lost, 1);
}

static void test_list_double_token_is_executed_twice(void **state)
{
    (void)state;
    append(1, 0, 1, 0);
    append(3, 4, 2, 2);
    final_token(1);
    final_token(2);
    final_token(1);
    struct lab_verdict v = judge();
    assert_int_equal(v.executed_twice, 1);
}

static void test_list_failed_or_foreign_token_is_phantom(void **state)
{
    (void)state;
    append(1, 2, 1, 1);
    last_failed();
    final_token(1);
    final_token(77);
    struct lab_verdict v = judge();
    assert_int_equal(v.phantoms, 2);
}

static void test_list_half_token_is_phantom(void **state)
{
    (void)state;
    append(1, 2, 1, 1);
    final_token(1);
    struct lab_final_list list = {.key = 0, .content = {content, LAB_TOKEN_BYTES - 1}};
    struct lab_verdict v;
    lab_check(&history, &list, 1, &v);
    assert_int_equal(v.phantoms, 1);
    assert_int_equal(v.lost, 1);
}

static void test_list_order_against_time_is_disorder(void **state)
{
    (void)state;
    append(1, 0, 9, 0);
    append(2, 3, 1, 2);
    append(4, 5, 2, 1);
    final_token(2);
    final_token(1);
    struct lab_verdict v = judge();
    assert_true(v.disorder > 0);
}

static void test_list_length_other_than_replied_is_disorder(void **state)
{
    (void)state;
    append(1, 2, 1, 2);
    final_token(1);
    struct lab_verdict v = judge();
    assert_true(v.disorder > 0);
}

static void test_list_short_length_read_is_stale(void **state)
{
    (void)state;
    append(1, 2, 1, 1);
    append(3, 4, 2, 2);
    length(5, 6, 1);
    final_token(1);
    final_token(2);
    struct lab_verdict v = judge();
    assert_int_equal(v.stale_reads, 1);
}

static void test_list_length_read_before_it_was_is_disorder(void **state)
{
    (void)state;
    length(1, 2, 1);
    append(3, 4, 1, 1);
    final_token(1);
    struct lab_verdict v = judge();
    assert_true(v.disorder > 0);
}

static void test_list_not_read_back_is_disorder(void **state)
{
    (void)state;
    append(1, 2, 1, 1);
    struct lab_verdict v;
    struct lab_final_list other = {.key = 7};
    lab_check(&history, &other, 1, &v);
    assert_true(v.disorder > 0);
}

/* Goal: when nothing can be read back, answers are judged by each other. */
static void test_answers_without_any_reading_back(void **state)
{
    (void)state;
    append(1, 2, 1, 1);
    append(3, 4, 2, 2);
    struct lab_verdict v;
    lab_check(&history, NULL, 0, &v);
    assert_true(lab_verdict_ok(&v));
    length(5, 6, 1);
    lab_check(&history, NULL, 0, &v);
    assert_int_equal(v.stale_reads, 1);
    append(7, 8, 3, 2);
    lab_check(&history, NULL, 0, &v);
    assert_int_equal(v.disorder, 1);
}

/* ---- a machine's worth of random histories ---- */

/* A small sequential register, counter and list with random overlaps: always accepted. And
 * with one answer falsified: always refused. */
static void random_history(uint64_t seed, int lie)
{
    struct {
        int64_t reg, counter;
    } now = {LAB_NIL, 0};
    uint64_t time = 10;
    int64_t next = 1;
    struct ts_prng prng = ts_prng_init(seed);
    for (int i = 0; i < 40; i++) {
        /* Executes at `time`; begins up to 9 earlier and ends up to 9 later: overlaps. */
        uint64_t begin = time - ts_prng_below(&prng, 10);
        uint64_t end = time + ts_prng_below(&prng, 10);
        bool ambiguous = ts_prng_below(&prng, 8) == 0;
        bool executed = !ambiguous || ts_prng_below(&prng, 2) == 0;
        uint64_t what = ts_prng_below(&prng, 5);
        if (what == 0) {
            now.reg = executed ? next : now.reg;
            set(begin, ambiguous ? 0 : end, next++);
        } else if (what == 1) {
            get(begin, end, now.reg);
        } else if (what == 2) {
            now.counter += executed;
            incr(begin, ambiguous ? 0 : end, now.counter);
        } else if (what == 3) {
            count(begin, end, now.counter);
        } else {
            if (executed) {
                final_token((uint32_t)next);
            }
            append(begin, ambiguous ? 0 : end, next++, (int64_t)tokens);
        }
        time += 5;
    }
    /* Each lie contradicts answers that came long before. */
    time += 100;
    incr(time, time + 1, ++now.counter);
    set(time + 2, time + 3, next);
    now.reg = next++;
    count(time + 5, time + 6, lie == 1 ? now.counter - 1 : now.counter);
    get(time + 5, time + 6, lie == 2 ? LAB_NIL : now.reg);
    final_token((uint32_t)next);
    append(time + 5, time + 6, next, (int64_t)tokens);
    if (lie == 3) {
        tokens--;
    } else if (lie == 4) {
        final_token((uint32_t)next);
    }
    count(time + 10, time + 11, now.counter);
    get(time + 10, time + 11, now.reg);
}

static void test_random_true_histories_accepted(void **state)
{
    for (uint64_t seed = 0; seed < 2000; seed++) {
        random_history(seed, 0);
        struct lab_verdict v = judge();
        if (!lab_verdict_ok(&v)) {
            print_error("seed %u: %s\n", (unsigned)seed, v.findings[0]);
        }
        assert_true(lab_verdict_ok(&v));
        teardown(state);
        setup(state);
    }
}

static void test_random_falsified_histories_refused(void **state)
{
    for (uint64_t seed = 0; seed < 2000; seed++) {
        for (int lie = 1; lie <= 4; lie++) {
            random_history(seed, lie);
            struct lab_verdict v = judge();
            if (lab_verdict_ok(&v)) {
                print_error("seed %u, lie %d was believed\n", (unsigned)seed, lie);
            }
            assert_false(lab_verdict_ok(&v));
            teardown(state);
            setup(state);
        }
    }
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_register_sequential_history_accepted),
        T(test_register_concurrent_sets_in_either_order_accepted),
        T(test_register_ambiguous_set_seen_or_not_accepted),
        T(test_register_acknowledged_set_gone_is_lost),
        T(test_register_all_gone_is_lost),
        T(test_register_old_value_after_newer_acknowledged_is_stale),
        T(test_register_read_during_set_may_be_old),
        T(test_register_new_then_old_during_one_set_is_disorder),
        T(test_register_ambiguous_set_flickering_is_disorder),
        T(test_register_set_within_reads_of_another_value_is_disorder),
        T(test_register_failed_set_seen_is_phantom),
        T(test_register_unknown_bytes_are_phantom),
        T(test_register_value_before_its_set_is_phantom),
        T(test_counter_good_history_accepted),
        T(test_counter_ambiguous_not_executed_accepted),
        T(test_counter_missing_increment_is_lost),
        T(test_counter_same_answer_twice_is_lost),
        T(test_counter_too_high_is_executed_twice),
        T(test_counter_failed_increment_counted_is_executed),
        T(test_counter_results_falling_in_time_is_disorder),
        T(test_counter_old_read_is_stale),
        T(test_counter_read_of_the_future_is_disorder),
        T(test_list_good_history_accepted),
        T(test_list_missing_token_is_lost),
        T(test_list_missing_key_is_lost),
        T(test_list_double_token_is_executed_twice),
        T(test_list_failed_or_foreign_token_is_phantom),
        T(test_list_half_token_is_phantom),
        T(test_list_order_against_time_is_disorder),
        T(test_list_length_other_than_replied_is_disorder),
        T(test_list_short_length_read_is_stale),
        T(test_list_length_read_before_it_was_is_disorder),
        T(test_list_not_read_back_is_disorder),
        T(test_answers_without_any_reading_back),
        T(test_random_true_histories_accepted),
        T(test_random_falsified_histories_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
