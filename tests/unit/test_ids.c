/* Ids, positions and times: order, neighbours, and the ends of the range. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/ids.h"

/* Goal: an epoch is below its successor and nothing else is between. */
static void test_epoch_next_is_the_next_higher(void **state)
{
    (void)state;
    struct ts_epoch e = {41};
    assert_true(ts_epoch_lt(e, ts_epoch_next(e)));
    assert_false(ts_epoch_lt(ts_epoch_next(e), e));
    assert_false(ts_epoch_lt(e, e));
    assert_true(ts_epoch_eq(ts_epoch_next(e), (struct ts_epoch){42}));
    assert_false(ts_epoch_eq(e, ts_epoch_next(e)));
}

/* Goal: sequence helpers agree with each other. */
static void test_seq_helpers_agree_on_order(void **state)
{
    (void)state;
    struct ts_seq low = {5};
    struct ts_seq high = ts_seq_add(low, 3);
    assert_int_equal(high.v, 8);
    assert_true(ts_seq_lt(low, high));
    assert_false(ts_seq_lt(high, low));
    assert_true(ts_seq_eq(ts_seq_min(low, high), low));
    assert_true(ts_seq_eq(ts_seq_min(high, low), low));
    assert_true(ts_seq_eq(ts_seq_max(low, high), high));
    assert_true(ts_seq_eq(ts_seq_max(high, low), high));
}

/* Goal: identities compare by all their bits. */
static void test_identities_one_bit_apart_differ(void **state)
{
    (void)state;
    const uint64_t top = 1ULL << 63;
    assert_true(ts_nic_eq((struct ts_nic_id){3}, (struct ts_nic_id){3}));
    assert_false(ts_nic_eq((struct ts_nic_id){3}, (struct ts_nic_id){2}));
    assert_true(ts_incarnation_eq((struct ts_incarnation){top}, (struct ts_incarnation){top}));
    assert_false(ts_incarnation_eq((struct ts_incarnation){top}, (struct ts_incarnation){0}));
    assert_true(ts_instance_eq((struct ts_instance){9}, (struct ts_instance){9}));
    assert_false(ts_instance_eq((struct ts_instance){9}, (struct ts_instance){9 | top}));
    assert_true(ts_hash_eq((struct ts_hash){1, 2}, (struct ts_hash){1, 2}));
    assert_false(ts_hash_eq((struct ts_hash){1, 2}, (struct ts_hash){1, 2 | top}));
    assert_false(ts_hash_eq((struct ts_hash){1, 2}, (struct ts_hash){1 | top, 2}));
}

/* Goal: a clock that seems to go back gives a duration of 0, never a huge one. */
static void test_mono_since_earlier_time_is_zero(void **state)
{
    (void)state;
    struct ts_mono early = {10};
    struct ts_mono late = ts_mono_add(early, TS_NS_PER_MS);
    assert_true(ts_mono_lt(early, late));
    assert_int_equal(ts_mono_since(early, late), TS_NS_PER_MS);
    assert_int_equal(ts_mono_since(late, early), 0);
    assert_int_equal(ts_mono_since(early, early), 0);
}

/* Goal: "never" is behind every time there is. */
static void test_mono_never_is_after_every_time(void **state)
{
    (void)state;
    assert_true(ts_mono_lt((struct ts_mono){UINT64_MAX - 1}, TS_MONO_NEVER));
    assert_false(ts_mono_lt(TS_MONO_NEVER, (struct ts_mono){UINT64_MAX}));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_epoch_next_is_the_next_higher),
        cmocka_unit_test(test_seq_helpers_agree_on_order),
        cmocka_unit_test(test_identities_one_bit_apart_differ),
        cmocka_unit_test(test_mono_since_earlier_time_is_zero),
        cmocka_unit_test(test_mono_never_is_after_every_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
