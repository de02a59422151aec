/* Goal: the checker of leases accepts what one holder at a time explains, and refuses each kind of
 * lie. Times are in milliseconds; each lease is for 1,000. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/ids.h"
#include "lab/check.h"

#define FOR_MS 1000

static struct lab_history history;

static int setup(void **state)
{
    (void)state;
    history = (struct lab_history){.lease_ns = FOR_MS * TS_NS_PER_MS};
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    lab_history_free(&history);
    return 0;
}

/* An `end` of 0 means ambiguous. */
static void op(uint32_t owner, enum lab_op_kind kind, uint64_t begin, uint64_t end, int64_t value,
               int64_t result)
{
    struct lab_op o = {.begin_ns = begin * TS_NS_PER_MS,
                       .end_ns = end == 0 ? LAB_NEVER : end * TS_NS_PER_MS,
                       .value = value,
                       .result = result,
                       .client = (uint16_t)owner,
                       .owner = owner,
                       .kind = (uint8_t)kind,
                       .outcome = end == 0 ? LAB_AMBIGUOUS : LAB_ACKED};
    lab_history_add(&history, &o);
}

static void grant(uint32_t owner, uint64_t begin, uint64_t end, int64_t epoch, int64_t seq)
{
    op(owner, LAB_OP_GRANT, begin, end, epoch, seq);
}

static void not_granted(uint32_t owner, uint64_t begin, uint64_t end)
{
    op(owner, LAB_OP_GRANT, begin, end, LAB_NIL, 0);
}

static void keep(uint32_t owner, uint64_t begin, uint64_t end, int64_t result)
{
    op(owner, LAB_OP_KEEP, begin, end, 0, result);
}

static void release(uint32_t owner, uint64_t begin, uint64_t end, int64_t result)
{
    op(owner, LAB_OP_RELEASE, begin, end, 0, result);
}

static struct lab_verdict judge(void)
{
    struct lab_verdict v;
    lab_check(&history, NULL, 0, &v);
    return v;
}

static void refused(const char *finding)
{
    struct lab_verdict v = judge();
    assert_false(lab_verdict_ok(&v));
    assert_true(v.lease_violations > 0);
    assert_true(v.finding_count > 0);
    if (strstr(v.findings[0], finding) == NULL) {
        fail_msg("\"%s\" is not in \"%s\"", finding, v.findings[0]);
    }
}

static void test_leases_one_after_the_other_accepted(void **state)
{
    (void)state;
    grant(1, 10, 20, 1, 5);
    not_granted(2, 30, 40);
    keep(1, 500, 510, 1);
    release(1, 900, 910, 1);
    grant(2, 920, 930, 1, 9);    /* given back: at once */
    grant(1, 2100, 2110, 1, 12); /* let go: after its time */
    keep(2, 2200, 2210, 0);
    grant(1, 2300, 2310, 1, 12); /* its own again: the same token */
    grant(2, 3400, 3410, 2, 3);  /* a later epoch, a lower place */
    struct lab_verdict v = judge();
    assert_true(lab_verdict_ok(&v));
    assert_int_equal(v.leases_granted, 4);
    assert_int_equal(v.leases_renewed, 2);
    assert_int_equal(v.leases_lost, 1);
    assert_int_equal(v.leases_expired, 2);
}

/* Goal: a request and its answer are uncertain by the time between them. */
static void test_leases_within_the_uncertainty_accepted(void **state)
{
    (void)state;
    grant(1, 10, 400, 1, 5);   /* may have begun at 10 */
    grant(2, 900, 1011, 1, 9); /* may have been granted at 1,011 */
    release(2, 1100, 1500, 1);
    grant(1, 1101, 1102, 1, 11); /* while it is being given back */
    struct lab_verdict v = judge();
    assert_true(lab_verdict_ok(&v));
}

/* Goal: what became of an ambiguous request is not known, and nothing is concluded from it. */
static void test_leases_ambiguous_requests_accepted(void **state)
{
    (void)state;
    grant(1, 10, 20, 1, 5);
    release(1, 30, 0, 0);
    grant(2, 40, 50, 1, 9); /* it was given back */
    grant(3, 55, 0, 0, 0);
    keep(2, 60, 0, 0);
    grant(4, 1060, 1070, 1, 12); /* it was not kept */
    struct lab_verdict v = judge();
    assert_true(lab_verdict_ok(&v));
}

static void test_leases_granted_before_its_time_refused(void **state)
{
    (void)state;
    grant(1, 10, 20, 1, 5);
    grant(2, 900, 905, 1, 9);
    refused("owner 2 was granted it 85.0 ms before the time of owner 1 was over");
}

/* Goal: keeping begins the time anew. */
static void test_leases_granted_before_the_kept_time_refused(void **state)
{
    (void)state;
    grant(1, 10, 20, 1, 5);
    keep(1, 800, 810, 1);
    grant(2, 1500, 1510, 1, 9);
    refused("before the time of owner 1");
}

static void test_leases_two_holders_refused(void **state)
{
    (void)state;
    grant(1, 10, 20, 1, 5);
    grant(2, 1100, 1110, 1, 9);
    keep(1, 1200, 1210, 1);
    refused("keep of owner 1 succeeded after owner 2 had been granted it: two holders");
}

static void test_leases_given_back_by_a_former_holder_refused(void **state)
{
    (void)state;
    grant(1, 10, 20, 1, 5);
    grant(2, 1100, 1110, 1, 9);
    release(1, 1200, 1210, 1);
    refused("release of owner 1 succeeded after owner 2");
}

static void test_leases_lost_before_its_time_refused(void **state)
{
    (void)state;
    grant(1, 10, 20, 1, 5);
    keep(1, 500, 510, 0);
    refused("keep of owner 1 found it gone 480.0 ms before its time");
}

/* Goal: a holder that asks again within its time gets the same token, or it had lost its lease. */
static void test_leases_own_grant_with_another_token_refused(void **state)
{
    (void)state;
    grant(1, 10, 20, 1, 5);
    grant(1, 500, 510, 1, 9);
    refused("grant of owner 1 found it gone");
}

static void test_leases_token_that_falls_refused(void **state)
{
    (void)state;
    grant(1, 10, 20, 2, 5);
    release(1, 30, 40, 1);
    grant(2, 50, 60, 1, 9);
    refused("token 1 9 was given after 2 5");
}

static void test_leases_token_of_two_owners_refused(void **state)
{
    (void)state;
    grant(1, 10, 20, 1, 5);
    release(1, 30, 40, 1);
    grant(2, 50, 60, 1, 5);
    refused("two owners have the token 1 5");
}

/* Goal: a lease that was never granted, was given back, or was found gone is not kept. */
static void test_what_one_does_not_have_is_not_kept(void **state)
{
    (void)state;
    keep(1, 10, 20, 1);
    refused("keep of owner 1 succeeded, which did not have it");
    (void)teardown(state);
    (void)setup(state);
    grant(1, 10, 20, 1, 5);
    release(1, 30, 40, 1);
    release(1, 50, 60, 1);
    refused("release of owner 1 succeeded, which did not have it");
}

int main(void)
{
#define T(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_leases_one_after_the_other_accepted),
        T(test_leases_within_the_uncertainty_accepted),
        T(test_leases_ambiguous_requests_accepted),
        T(test_leases_granted_before_its_time_refused),
        T(test_leases_granted_before_the_kept_time_refused),
        T(test_leases_two_holders_refused),
        T(test_leases_given_back_by_a_former_holder_refused),
        T(test_leases_lost_before_its_time_refused),
        T(test_leases_own_grant_with_another_token_refused),
        T(test_leases_token_that_falls_refused),
        T(test_leases_token_of_two_owners_refused),
        T(test_what_one_does_not_have_is_not_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
