/* Registration of a start: majorities, re-sends, and refusals at any time (R1.8). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "cluster-cfg/start.h"

#define RETRY (50 * TS_NS_PER_MS)

static const struct reg_start START = {{REG_OWNER_REPLICA, {1}, {1}}, {9}, 4, {5}};

static void begin(struct start *s, uint8_t voters, uint8_t self, struct start_effects *fx)
{
    struct start_config cfg = {.start = START, .voters = voters, .self = self, .retry_ns = RETRY};
    start_init(s, &cfg);
    for (uint8_t v = 0; v < voters; v++) {
        start_step(s, &(struct start_event){.kind = START_EVENT_VOTER_UP, .voter = v}, fx);
    }
    start_step(s, &(struct start_event){.kind = START_EVENT_BEGIN}, fx);
    start_check_invariants(s);
}

static void confirm(struct start *s, uint8_t voter, struct reg_start what, struct start_effects *fx)
{
    struct reg_msg m = {.type = REG_MSG_START_OK, .start_ok = what};
    struct start_event ev = {.kind = START_EVENT_MESSAGE, .voter = voter, .msg = &m};
    start_step(s, &ev, fx);
    start_check_invariants(s);
}

static void refuse(struct start *s, uint8_t voter, struct start_effects *fx)
{
    struct reg_msg m = {.type = REG_MSG_START_REFUSED, .refused = {START, 6, {8}}};
    struct start_event ev = {.kind = START_EVENT_MESSAGE, .voter = voter, .msg = &m};
    start_step(s, &ev, fx);
    start_check_invariants(s);
}

/* Goal: a replica needs a majority of voters, each counted once, for this very start. */
static void test_start_step_majority_registers_once(void **state)
{
    (void)state;
    struct start s;
    struct start_effects fx;
    begin(&s, 3, START_NO_SELF, &fx);
    assert_int_equal(fx.count, 3);
    confirm(&s, 0, START, &fx);
    confirm(&s, 0, START, &fx);
    struct reg_start older = START;
    older.start--;
    confirm(&s, 1, older, &fx);
    assert_int_equal(s.state, START_WAITING);
    confirm(&s, 1, START, &fx);
    assert_int_equal(s.state, START_REGISTERED);
    assert_int_equal(fx.e[0].kind, START_EFFECT_REGISTERED);
    confirm(&s, 2, START, &fx);
    assert_int_equal(fx.count, 0);
    assert_true(start_deadline(&s).ns == UINT64_MAX);
}

/* Goal: a voter counts itself and never asks itself; alone it is registered at once. */
static void test_start_step_voter_counts_itself(void **state)
{
    (void)state;
    struct start s;
    struct start_effects fx;
    begin(&s, 3, 1, &fx);
    assert_int_equal(fx.count, 2);
    assert_int_equal(start_confirmed(&s), 1);
    confirm(&s, 2, START, &fx);
    assert_int_equal(s.state, START_REGISTERED);
    begin(&s, 1, 0, &fx);
    assert_int_equal(s.state, START_REGISTERED);
    assert_int_equal(fx.e[0].kind, START_EFFECT_REGISTERED);
}

/* Goal: after the majority the rest is asked on, less and less often, until it confirms. */
static void test_start_step_tick_asks_the_rest(void **state)
{
    (void)state;
    struct start s;
    struct start_effects fx;
    begin(&s, 3, START_NO_SELF, &fx);
    confirm(&s, 0, START, &fx);
    confirm(&s, 1, START, &fx);
    uint64_t interval = 0;
    for (int i = 0; i < 8; i++) {
        struct ts_mono due = start_deadline(&s);
        start_step(&s, &(struct start_event){.kind = START_EVENT_TICK, .now = due}, &fx);
        assert_int_equal(fx.count, 1);
        assert_int_equal(fx.e[0].voter, 2);
        interval = start_deadline(&s).ns - due.ns;
    }
    assert_true(interval == START_RETRY_FACTOR_MAX * RETRY);
    start_step(&s, &(struct start_event){.kind = START_EVENT_VOTER_DOWN, .voter = 2}, &fx);
    struct start_event tick = {.kind = START_EVENT_TICK, .now = start_deadline(&s)};
    start_step(&s, &tick, &fx);
    assert_int_equal(fx.count, 0);
    start_step(&s, &(struct start_event){.kind = START_EVENT_VOTER_UP, .voter = 2}, &fx);
    assert_int_equal(fx.count, 1);
}

/* Goal: a refusal ends it, also after the majority, with both numbers; then nothing moves. */
static void test_start_step_refusal_after_majority_is_clone(void **state)
{
    (void)state;
    struct start s;
    struct start_effects fx;
    begin(&s, 3, START_NO_SELF, &fx);
    confirm(&s, 0, START, &fx);
    confirm(&s, 1, START, &fx);
    refuse(&s, 2, &fx);
    assert_int_equal(s.state, START_CLONE);
    assert_int_equal(fx.e[0].kind, START_EFFECT_CLONE);
    assert_int_equal(fx.e[0].voter, 2);
    assert_int_equal(fx.e[0].msg.refused.asked.start, 4);
    assert_int_equal(fx.e[0].msg.refused.registered_start, 6);
    refuse(&s, 0, &fx);
    assert_int_equal(fx.count, 0);
    assert_true(start_deadline(&s).ns == UINT64_MAX);
}

/* Goal: a refusal of another start (an earlier process's) is not ours. */
static void test_start_step_foreign_refusal_ignored(void **state)
{
    (void)state;
    struct start s;
    struct start_effects fx;
    begin(&s, 3, START_NO_SELF, &fx);
    struct reg_msg m = {.type = REG_MSG_START_REFUSED, .refused = {START, 6, {8}}};
    m.refused.asked.instance.v = 99;
    start_step(&s, &(struct start_event){.kind = START_EVENT_MESSAGE, .msg = &m}, &fx);
    assert_int_equal(fx.count, 0);
    assert_int_equal(s.state, START_WAITING);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_start_step_majority_registers_once),
        cmocka_unit_test(test_start_step_voter_counts_itself),
        cmocka_unit_test(test_start_step_tick_asks_the_rest),
        cmocka_unit_test(test_start_step_refusal_after_majority_is_clone),
        cmocka_unit_test(test_start_step_foreign_refusal_ignored),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
