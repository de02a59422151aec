/* Goal: on thousands of random small histories the checker says what a checker says that tries
 * every order with a model of its own; and what it gives as an explanation refutes by itself. */
#include "tests/unit/lincheck_fixture.h"

#define HISTORIES 20000

static const struct tiny_kind kinds[] = {
    {"registers", 1, 2, {LIN_SET, LIN_GET}, true, 0, 15},
    {"lists", 1, 4, {LIN_APPEND, LIN_APPEND, LIN_GET, LIN_STRLEN}, true, 0, 20},
    {"counters", 1, 3, {LIN_INCRBY, LIN_INCRBY, LIN_GET}, false, 0, 20},
    {"counters by one", 1, 3, {LIN_INCRBY, LIN_INCRBY, LIN_GET}, true, 0, 25},
    {"registers with repeated values", 1, 3, {LIN_SET, LIN_GET, LIN_DEL}, false, 0, 15},
    {"every command on one key",
     1,
     10,
     {LIN_GET, LIN_SET, LIN_DEL, LIN_EXISTS, LIN_INCRBY, LIN_APPEND, LIN_STRLEN, LIN_SET,
      LIN_INCRBY, LIN_APPEND},
     false,
     7,
     20},
    {"every command on three keys",
     3,
     10,
     {LIN_GET, LIN_SET, LIN_DEL, LIN_EXISTS, LIN_INCRBY, LIN_APPEND, LIN_STRLEN, LIN_MGET, LIN_MSET,
      LIN_FLUSHALL},
     false,
     7,
     20},
    {"joined registers", 3, 4, {LIN_SET, LIN_GET, LIN_MGET, LIN_MSET}, true, 0, 15},
    {"much unknown",
     1,
     6,
     {LIN_SET, LIN_GET, LIN_INCRBY, LIN_APPEND, LIN_DEL, LIN_GET},
     false,
     7,
     50},
};

/* What by its own answer changed nothing. */
static bool changed_nothing(const struct tiny_op *op)
{
    bool nil = op->result.kind == LIN_RESULT_NIL;
    switch (op->command) {
    case LIN_SET:
        return (op->flags & LIN_SET_GET) == 0 ? nil
               : nil                          ? (op->flags & LIN_SET_XX) != 0
                                              : (op->flags & LIN_SET_NX) != 0;
    case LIN_DEL:
        return op->result.integer == 0;
    case LIN_INCRBY:
        return op->result.kind == LIN_RESULT_ERROR;
    case LIN_GET:
    case LIN_EXISTS:
    case LIN_STRLEN:
    case LIN_MGET:
        return true;
    case LIN_APPEND:
    case LIN_MSET:
    case LIN_FLUSHALL:
        return false;
    }
    return false;
}

/* As if nobody knew how it went; what changed nothing is as if it had not been. */
static void weaken(struct tiny_op *op)
{
    if (op->outcome == LIN_ANSWERED) {
        op->outcome = changed_nothing(op) ? LIN_FAILED : LIN_UNKNOWN;
        op->end = op->outcome == LIN_UNKNOWN ? LIN_NEVER : op->end;
        op->result = (struct tiny_result){.kind = LIN_RESULT_NONE};
    }
}

/* The story's operations as they were told, all others as if nobody knew their outcome. */
static struct tiny_history story_of(const struct tiny_history *h, const struct lin_story *story,
                                    size_t without)
{
    struct tiny_history weak = *h;
    for (unsigned i = 0; i < h->count; i++) {
        bool kept = false;
        for (size_t s = 0; s < story->count; s++) {
            kept = kept || (story->op[s] == i && s != without);
        }
        if (!kept) {
            weaken(&weak.op[i]);
        }
    }
    return weak;
}

static void check_story(struct lin *l, const struct tiny_history *h, size_t part_op)
{
    struct lin_story story;
    assert_true(lin_explain(l, part_op, &story));
    assert_true(story.count > 0 && story.minimal);
    struct tiny_history weak = story_of(h, &story, LIN_NONE);
    assert_false(tiny_linearizable(&weak));
    for (size_t s = 0; s < story.count; s++) {
        assert_true(h->op[story.op[s]].outcome == LIN_ANSWERED);
        weak = story_of(h, &story, s);
        /* A story of one key of several is minimal for that key; others may be wrong as well. */
        assert_true(story.projected || tiny_linearizable(&weak));
    }
}

static void check_kind(const struct tiny_kind *kind, uint64_t seed)
{
    struct lin_limits limits = {.memory_max = (size_t)4 << 20, .steps_max = 1000000};
    struct lin *l = lin_new(&limits);
    struct ts_prng p = ts_prng_init(seed);
    unsigned verdicts[2] = {0};
    unsigned methods[LIN_METHODS] = {0};
    uint64_t steps = 0;
    assert_non_null(l);
    for (unsigned n = 0; n < HISTORIES; n++) {
        struct tiny_history h;
        struct lin_report report;
        tiny_make(&p, kind, 1 + (unsigned)ts_prng_below(&p, 8), &h);
        for (uint64_t lies = ts_prng_below(&p, 5); lies > 0; lies--) {
            tiny_lie(&p, &h);
        }
        bool expected = tiny_linearizable(&h);
        tiny_add_all(l, &h);
        lin_check(l, &report);
        if (report.verdict != (expected ? LIN_LINEARIZABLE : LIN_NOT_LINEARIZABLE)) {
            tiny_print(&h);
            fail_msg("%s, seed %llu, history %u: found %s", kind->name, (unsigned long long)seed, n,
                     lin_verdict_name(report.verdict));
        }
        verdicts[expected]++;
        steps += report.steps;
        for (unsigned m = 0; m < LIN_METHODS; m++) {
            methods[m] += report.method[m] > 0;
        }
        if (!expected) {
            check_story(l, &h, report.part_op);
        }
    }
    print_message("%s: %u good, %u bad; by zones %u, by places %u, searched %u; %llu steps\n",
                  kind->name, verdicts[1], verdicts[0], methods[LIN_BY_ZONES],
                  methods[LIN_BY_PLACES], methods[LIN_BY_SEARCH], (unsigned long long)steps);
    assert_true(verdicts[0] > HISTORIES / 20 && verdicts[1] > HISTORIES / 20);
    lin_free(l);
}

static void test_check_random_histories_agrees_with_every_order(void **state)
{
    (void)state;
    for (size_t k = 0; k < sizeof kinds / sizeof kinds[0]; k++) {
        check_kind(&kinds[k], 1000 + k);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_check_random_histories_agrees_with_every_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
