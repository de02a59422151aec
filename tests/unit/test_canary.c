/* The canary: what hangs, what is merely slow, and who only stood still himself. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "replicator/canary.h"

#define PATIENCE 800

static struct ts_mono at(uint64_t ns)
{
    return (struct ts_mono){ns};
}

/* Goal: whoever owes nothing never hangs, however long nothing happens. */
static void test_canary_hangs_owes_nothing_never(void **state)
{
    (void)state;
    struct canary k = {.patience = PATIENCE};
    canary_look(&k, at(10), false, 1, 1, 0);
    assert_true(canary_deadline(&k).ns == TS_MONO_NEVER.ns);
    canary_look(&k, at(1000000), false, 1, 1, 0);
    assert_false(canary_hangs(&k, at(1000000)));
}

/* Goal: the patience begins with the debt; then it is late, and hangs an eighth later. */
static void test_canary_hangs_no_progress_after_patience_and_grace(void **state)
{
    (void)state;
    struct canary k = {.patience = PATIENCE};
    canary_look(&k, at(5000), true, 1, 1, 0);
    assert_int_equal(canary_deadline(&k).ns, 5800);
    canary_look(&k, at(5799), true, 1, 1, 0);
    assert_int_equal(canary_deadline(&k).ns, 5800);
    canary_look(&k, at(5800), true, 1, 1, 0);
    assert_false(canary_hangs(&k, at(5800)));
    assert_int_equal(canary_deadline(&k).ns, 5900);
    canary_look(&k, at(5900), true, 1, 1, 0);
    assert_true(canary_hangs(&k, at(5900)));
}

/* Goal: who stood still himself hears first what was finished meanwhile. */
static void test_canary_hangs_own_stall_blames_nobody(void **state)
{
    (void)state;
    struct canary k = {.patience = PATIENCE};
    canary_look(&k, at(5000), true, 1, 1, 0);
    canary_look(&k, at(90000), true, 1, 1, 0);
    assert_false(canary_hangs(&k, at(90000)));
    canary_look(&k, at(90001), true, 2, 1, 0);
    canary_look(&k, at(90200), true, 2, 1, 0);
    assert_false(canary_hangs(&k, at(90200)));
    assert_int_equal(canary_deadline(&k).ns, 90801);
}

/* Goal: progress of either number begins anew, also when it comes late. */
static void test_canary_look_progress_begins_anew(void **state)
{
    (void)state;
    struct canary k = {.patience = PATIENCE};
    canary_look(&k, at(5000), true, 1, 1, 0);
    canary_look(&k, at(5700), true, 1, 2, 0);
    assert_int_equal(canary_deadline(&k).ns, 6500);
    canary_look(&k, at(6500), true, 1, 2, 0);
    canary_look(&k, at(6700), true, 1, 2, 0);
    assert_true(canary_hangs(&k, at(6700)));
    canary_look(&k, at(6701), true, 0, 2, 0); /* a cut goes back: that is progress, too */
    assert_false(canary_hangs(&k, at(6701)));
}

/* Goal: bytes that waited when it came further last lengthen the patience, later ones do not. */
static void test_canary_deadline_bytes_lengthen_the_patience(void **state)
{
    (void)state;
    struct canary k = {.patience = PATIENCE};
    canary_look(&k, at(5000), true, 1, 1, 1000);
    assert_int_equal(canary_deadline(&k).ns, 5800 + 1000 * CANARY_NS_PER_BYTE);
    canary_look(&k, at(5001), true, 1, 1, 9000);
    assert_int_equal(canary_deadline(&k).ns, 5800 + 1000 * CANARY_NS_PER_BYTE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_canary_hangs_owes_nothing_never),
        cmocka_unit_test(test_canary_hangs_no_progress_after_patience_and_grace),
        cmocka_unit_test(test_canary_hangs_own_stall_blames_nobody),
        cmocka_unit_test(test_canary_look_progress_begins_anew),
        cmocka_unit_test(test_canary_deadline_bytes_lengthen_the_patience),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
