/* Goal: the checker's promises beside the verdict: what it takes and refuses, limits of steps and
 * memory that give up and lie to nobody, one allocation, the same report every time, stories. */
#include "tests/unit/lincheck_fixture.h"

#define KIB ((size_t)1024)

static struct lin *new_history(size_t memory, uint64_t steps)
{
    struct lin_limits limits = {.memory_max = memory, .steps_max = steps};
    struct lin *l = lin_new(&limits);
    assert_non_null(l);
    return l;
}

static struct ts_bytes bytes(const char *text)
{
    return (struct ts_bytes){(const uint8_t *)text, strlen(text)};
}

/* An operation on one key; an `end` of 0 means unknown. Results: see the callers. */
static void add(struct lin *l, enum lin_command command, const char *key, const char *value,
                uint64_t begin, uint64_t end, struct lin_result result)
{
    struct ts_bytes k = bytes(key);
    struct ts_bytes v = bytes(value == NULL ? "" : value);
    struct lin_op op = {.begin = begin,
                        .end = end == 0 ? LIN_NEVER : end,
                        .place = (uint32_t)lin_count(l) + 100,
                        .command = command,
                        .outcome = end == 0 ? LIN_UNKNOWN : LIN_ANSWERED,
                        .by = 1,
                        .key_count = 1,
                        .keys = &k,
                        .values = &v,
                        .result = result};
    assert_null(lin_op_wrong(&op));
    assert_int_equal(lin_add(l, &op), TS_OK);
}

static const struct lin_result none = {.kind = LIN_RESULT_NONE};
static const struct lin_result ok = {.kind = LIN_RESULT_OK};
static const struct lin_result nil = {.kind = LIN_RESULT_NIL};

static struct lin_result number(int64_t n)
{
    return (struct lin_result){.kind = LIN_RESULT_INTEGER, .integer = n};
}

static struct lin_result text(const char *t)
{
    return (struct lin_result){.kind = LIN_RESULT_BYTES, .bytes = bytes(t)};
}

static struct lin_report check(struct lin *l)
{
    struct lin_report report;
    lin_check(l, &report);
    return report;
}

/* ---- what is taken ---- */

static void test_op_wrong_senseless_operation_is_told(void **state)
{
    (void)state;
    struct ts_bytes key = bytes("k");
    struct ts_bytes keys[2] = {key, key};
    const struct lin_op good = {.begin = 1,
                                .end = 2,
                                .command = LIN_GET,
                                .key_count = 1,
                                .keys = &key,
                                .values = &key,
                                .result = {.kind = LIN_RESULT_NIL}};
    assert_null(lin_op_wrong(&good));
    struct lin_op op = good;
    op.end = 0;
    assert_non_null(lin_op_wrong(&op));
    op.end = LIN_NEVER;
    assert_non_null(lin_op_wrong(&op));
    op.outcome = LIN_UNKNOWN;
    assert_non_null(lin_op_wrong(&op)); /* it has a result */
    op.result.kind = LIN_RESULT_NONE;
    assert_null(lin_op_wrong(&op));
    op.begin = LIN_TIME_MAX + 1;
    assert_non_null(lin_op_wrong(&op));
    op = good;
    op.key_count = 2;
    op.keys = keys;
    assert_non_null(lin_op_wrong(&op));
    op = good;
    op.flags = LIN_SET_NX;
    assert_non_null(lin_op_wrong(&op));
    op.command = LIN_SET;
    assert_null(lin_op_wrong(&op)); /* refused by its condition */
    op.flags = LIN_SET_NX | LIN_SET_XX;
    assert_non_null(lin_op_wrong(&op));
    op = good;
    op.command = LIN_SET;
    assert_non_null(lin_op_wrong(&op)); /* nil without a condition */
    op = good;
    op.result.kind = LIN_RESULT_INTEGER;
    assert_non_null(lin_op_wrong(&op));
    op = good;
    op.command = LIN_FLUSHALL + 1;
    assert_non_null(lin_op_wrong(&op));
    struct lin *l = new_history(64 * KIB, 1000);
    assert_int_equal(lin_add(l, &op), TS_ERR_MALFORMED);
    assert_int_equal(lin_count(l), 0);
    lin_free(l);
}

static void test_view_of_an_operation_is_what_was_added(void **state)
{
    (void)state;
    struct lin *l = new_history(256 * KIB, 1000);
    struct ts_bytes keys[2] = {bytes("a"), bytes("")};
    struct ts_bytes array[2] = {bytes(""), {0}};
    struct lin_op in = {.begin = 5,
                        .end = 9,
                        .client = 3,
                        .place = 77,
                        .command = LIN_MGET,
                        .key_count = 2,
                        .keys = keys,
                        .result = {.kind = LIN_RESULT_ARRAY, .array = array}};
    struct lin_op out;
    for (unsigned i = 0; i < 3000; i++) {
        add(l, LIN_SET, "k", i % 2 == 0 ? "x" : "y", 2 * i, 2 * i + 1, ok);
    }
    assert_int_equal(lin_add(l, &in), TS_OK);
    assert_true(lin_view(l, 3000, &out));
    assert_int_equal(out.begin, 5);
    assert_int_equal(out.end, 9);
    assert_int_equal(out.client, 3);
    assert_int_equal(out.place, 77);
    assert_int_equal(out.command, LIN_MGET);
    assert_int_equal(out.key_count, 2);
    assert_memory_equal(out.keys[0].data, "a", 1);
    assert_int_equal(out.keys[1].len, 0);
    assert_int_equal(out.result.kind, LIN_RESULT_ARRAY);
    assert_non_null(out.result.array[0].data);
    assert_int_equal(out.result.array[0].len, 0);
    assert_null(out.result.array[1].data);
    assert_true(lin_view(l, 2999, &out));
    assert_memory_equal(out.values[0].data, "y", 1);
    lin_free(l);
}

/* ---- limits ---- */

static void test_add_beyond_memory_is_full_until_cleared(void **state)
{
    (void)state;
    struct lin *l = new_history(64 * KIB, 100000);
    struct ts_bytes key = bytes("k");
    struct lin_op op = {.end = 1, .command = LIN_INCRBY, .by = 1, .key_count = 1, .keys = &key};
    op.result.kind = LIN_RESULT_INTEGER;
    enum ts_err err = TS_OK;
    size_t n = 0;
    for (; err == TS_OK && n < 100000; n++) {
        op.begin = 2 * n;
        op.end = 2 * n + 1;
        op.result.integer = (int64_t)n + 1;
        err = lin_add(l, &op);
    }
    assert_int_equal(err, TS_ERR_FULL);
    assert_int_equal(lin_add(l, &op), TS_ERR_FULL);
    size_t count = lin_count(l);
    assert_int_equal(count, n - 1);
    /* Nothing is left to judge it in: that is said, and is neither of the other verdicts. */
    struct lin_report report = check(l);
    assert_int_equal(report.verdict, LIN_GAVE_UP);
    assert_true(report.out_of_memory && !report.out_of_steps);
    assert_int_equal(lin_add(l, &op), TS_ERR_FULL);
    lin_clear(l);
    assert_int_equal(lin_count(l), 0);
    assert_int_equal(lin_add(l, &op), TS_OK);
    lin_free(l);
}

/* A question that takes long: which of many sums is it? The answer is no, but to find that out
 * every subset has to be tried. */
static void add_riddle(struct lin *l, const char *key, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        struct ts_bytes k = bytes(key);
        struct lin_op op = {.end = LIN_NEVER,
                            .command = LIN_INCRBY,
                            .outcome = LIN_UNKNOWN,
                            .by = (int64_t)(3u << i),
                            .key_count = 1,
                            .keys = &k};
        assert_int_equal(lin_add(l, &op), TS_OK);
    }
    add(l, LIN_GET, key, NULL, 10, 20, text("2"));
}

static void test_check_out_of_steps_gives_up(void **state)
{
    (void)state;
    struct lin *l = new_history(8192 * KIB, 5000);
    add_riddle(l, "riddle", 24);
    struct lin_report report = check(l);
    assert_int_equal(report.verdict, LIN_GAVE_UP);
    assert_true(report.out_of_steps && !report.out_of_memory);
    assert_int_equal(report.parts_given_up, 1);
    assert_int_equal(report.part_op, 0);
    assert_true(report.steps <= 5000);
    lin_free(l);
}

static void test_check_out_of_memory_gives_up(void **state)
{
    (void)state;
    struct lin *l = new_history(256 * KIB, 1000000000);
    add_riddle(l, "riddle", 24);
    struct lin_report report = check(l);
    assert_int_equal(report.verdict, LIN_GAVE_UP);
    assert_true(report.out_of_memory);
    assert_true(report.memory <= 256 * KIB);
    lin_free(l);
}

static void test_check_given_up_part_hides_no_wrong_one(void **state)
{
    (void)state;
    struct lin *l = new_history(8192 * KIB, 5000);
    add_riddle(l, "a", 24);
    add(l, LIN_INCRBY, "b", NULL, 0, 1, number(1));
    add(l, LIN_INCRBY, "b", NULL, 2, 3, number(1));
    add(l, LIN_GET, "c", NULL, 2, 3, text("x"));
    add_riddle(l, "z", 24);
    struct lin_report report = check(l);
    assert_int_equal(report.verdict, LIN_NOT_LINEARIZABLE);
    assert_int_equal(report.parts, 4);
    assert_int_equal(report.parts_wrong, 2);
    assert_int_equal(report.parts_given_up, 2);
    assert_int_equal(report.part_op,
                     25); /* the first wrong one, though the other was found first */
    struct lin_story story;
    assert_true(lin_explain(l, report.part_op, &story));
    assert_int_equal(story.count, 2);
    assert_false(lin_explain(l, 0, &story)); /* that part is not refuted */
    lin_free(l);
}

/* ---- the same every time ---- */

static void add_some(struct lin *l, uint64_t seed)
{
    static const struct tiny_kind kind = {"all",
                                          3,
                                          9,
                                          {LIN_GET, LIN_SET, LIN_DEL, LIN_EXISTS, LIN_INCRBY,
                                           LIN_APPEND, LIN_STRLEN, LIN_MGET, LIN_MSET},
                                          false,
                                          7,
                                          20};
    struct ts_prng p = ts_prng_init(seed);
    struct tiny_history h;
    tiny_make(&p, &kind, TINY_OPS, &h);
    tiny_lie(&p, &h);
    tiny_add_all(l, &h);
}

static void test_check_again_and_after_clear_gives_the_same_report(void **state)
{
    (void)state;
    struct lin *used = new_history(1024 * KIB, 100000);
    for (uint64_t seed = 0; seed < 300; seed++) {
        struct lin *fresh = new_history(1024 * KIB, 100000);
        struct lin_story story;
        add_some(fresh, seed);
        add_some(used, seed);
        struct lin_report a = check(fresh);
        struct lin_report b = check(used);
        struct lin_report c = check(used);
        assert_memory_equal(&a, &b, sizeof a);
        assert_memory_equal(&a, &c, sizeof a);
        if (a.verdict == LIN_NOT_LINEARIZABLE) {
            assert_true(lin_explain(used, a.part_op, &story));
            c = check(used);
            assert_int_equal(a.verdict, c.verdict);
            assert_int_equal(a.steps, c.steps);
        }
        lin_free(fresh);
    }
    lin_free(used);
}

static void test_check_operations_in_any_order_same_verdict(void **state)
{
    (void)state;
    struct lin *l = new_history(256 * KIB, 10000);
    add(l, LIN_GET, "k", NULL, 40, 50, text("a"));
    add(l, LIN_SET, "k", "b", 20, 30, ok);
    add(l, LIN_SET, "k", "a", 0, 10, ok);
    struct lin_report report = check(l);
    assert_int_equal(report.verdict, LIN_NOT_LINEARIZABLE);
    struct lin_story story;
    assert_true(lin_explain(l, report.part_op, &story));
    assert_int_equal(story.count, 3);
    assert_int_equal(story.op[0], 2); /* by their begin */
    assert_int_equal(story.last, 2);
    assert_true(story.held_known);
    assert_int_equal(story.held_count, 1);
    assert_memory_equal(story.held[0].data, "b", 1);
    lin_free(l);
}

/* ---- lists, long ones ---- */

static void test_check_long_list_by_search_needs_no_copies(void **state)
{
    (void)state;
    /* Elements of two lengths: not what place.c takes. Whole copies of each state would need
     * 2000 × 5 KB. */
    struct lin *l = new_history(2048 * KIB, 100000);
    int64_t len = 0;
    char all[32 * 1024] = "";
    for (unsigned i = 0; i < 2000; i++) {
        char element[16];
        snprintf(element, sizeof element, i % 2 == 0 ? "%05u;" : "%04u;", i);
        memcpy(all + len, element, strlen(element) + 1);
        len += (int64_t)strlen(element);
        add(l, LIN_APPEND, "l", element, 10 * i, 10 * i + 5, number(len));
    }
    add(l, LIN_GET, "l", NULL, 30000, 30001, text(all));
    struct lin_report report = check(l);
    assert_int_equal(report.verdict, LIN_LINEARIZABLE);
    assert_int_equal(report.method[LIN_BY_SEARCH], 1);
    all[5000] ^= 1;
    add(l, LIN_GET, "l", NULL, 30002, 30003, text(all));
    report = check(l);
    assert_int_equal(report.verdict, LIN_NOT_LINEARIZABLE);
    lin_free(l);
}

/* Two texts of two letters that every hash by powers of a 64-bit number takes for one. */
static void thue_morse(char *out, size_t n, unsigned first)
{
    for (size_t i = 0; i < n; i++) {
        out[i] = (char)('a' + ((unsigned)__builtin_popcountll(i) + first) % 2);
    }
    out[n] = '\0';
}

static void test_check_values_of_equal_hash_are_told_apart(void **state)
{
    (void)state;
    struct lin *l = new_history(256 * KIB, 10000);
    char one[4097];
    char other[4097];
    thue_morse(one, 4096, 0);
    thue_morse(other, 4096, 1);
    add(l, LIN_SET, "k", one, 0, 1, ok);
    add(l, LIN_GET, "k", NULL, 2, 3, text(one));
    assert_int_equal(check(l).verdict, LIN_LINEARIZABLE);
    add(l, LIN_GET, "k", NULL, 4, 5, text(other));
    assert_int_equal(check(l).verdict, LIN_NOT_LINEARIZABLE);
    /* Also when they grew in the search. */
    lin_clear(l);
    for (int i = 0; i < 64; i++) {
        char piece[65];
        memcpy(piece, one + (ptrdiff_t)i * 64, 64);
        piece[64] = '\0';
        add(l, LIN_APPEND, "k", piece, (uint64_t)i * 10, (uint64_t)i * 10 + 5, number(i * 64 + 64));
    }
    add(l, LIN_GET, "k", NULL, 1000, 1001, text(one));
    assert_int_equal(check(l).verdict, LIN_LINEARIZABLE);
    assert_int_equal(check(l).method[LIN_BY_SEARCH], 1); /* pieces come again */
    add(l, LIN_GET, "k", NULL, 1002, 1003, text(other));
    assert_int_equal(check(l).verdict, LIN_NOT_LINEARIZABLE);
    lin_free(l);
}

static void test_check_methods_are_chosen_by_what_the_keys_saw(void **state)
{
    (void)state;
    struct lin *l = new_history(256 * KIB, 10000);
    add(l, LIN_SET, "register", "a", 0, 1, ok);
    add(l, LIN_SET, "register", "b", 2, 3, ok);
    add(l, LIN_GET, "register", NULL, 4, 5, text("b"));
    add(l, LIN_GET, "unwritten", NULL, 4, 5, nil);
    add(l, LIN_SET, "repeated", "a", 0, 1, ok);
    add(l, LIN_SET, "repeated", "a", 2, 3, ok);
    add(l, LIN_APPEND, "list", "a;", 0, 1, number(2));
    add(l, LIN_STRLEN, "list", NULL, 0, 1, number(0));
    add(l, LIN_APPEND, "twice", "a;", 0, 1, number(2));
    add(l, LIN_APPEND, "twice", "a;", 2, 3, number(4));
    add(l, LIN_APPEND, "unequal", "a", 0, 1, number(1));
    add(l, LIN_APPEND, "unequal", "bb", 2, 0, none);
    struct lin_report report = check(l);
    assert_int_equal(report.verdict, LIN_LINEARIZABLE);
    assert_int_equal(report.parts, 6);
    assert_int_equal(report.method[LIN_BY_ZONES], 2);
    assert_int_equal(report.method[LIN_BY_PLACES], 1);
    assert_int_equal(report.method[LIN_BY_SEARCH], 3);
    lin_free(l);
}

static void test_check_failed_and_unread_keys_have_no_part(void **state)
{
    (void)state;
    struct lin *l = new_history(256 * KIB, 10000);
    struct ts_bytes key = bytes("k");
    struct lin_op failed = {.end = 1,
                            .command = LIN_SET,
                            .outcome = LIN_FAILED,
                            .key_count = 1,
                            .keys = &key,
                            .values = &key};
    assert_int_equal(lin_add(l, &failed), TS_OK);
    add(l, LIN_GET, "other", NULL, 0, 0, none); /* nobody knows what it read */
    struct lin_report report = check(l);
    assert_int_equal(report.verdict, LIN_LINEARIZABLE);
    assert_int_equal(report.operations, 2);
    assert_int_equal(report.failed, 1);
    assert_int_equal(report.unknown, 1);
    assert_int_equal(report.parts, 0);
    assert_int_equal(report.part_op, LIN_NONE);
    lin_free(l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_op_wrong_senseless_operation_is_told),
        cmocka_unit_test(test_view_of_an_operation_is_what_was_added),
        cmocka_unit_test(test_add_beyond_memory_is_full_until_cleared),
        cmocka_unit_test(test_check_out_of_steps_gives_up),
        cmocka_unit_test(test_check_out_of_memory_gives_up),
        cmocka_unit_test(test_check_given_up_part_hides_no_wrong_one),
        cmocka_unit_test(test_check_again_and_after_clear_gives_the_same_report),
        cmocka_unit_test(test_check_operations_in_any_order_same_verdict),
        cmocka_unit_test(test_check_long_list_by_search_needs_no_copies),
        cmocka_unit_test(test_check_values_of_equal_hash_are_told_apart),
        cmocka_unit_test(test_check_methods_are_chosen_by_what_the_keys_saw),
        cmocka_unit_test(test_check_failed_and_unread_keys_have_no_part),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
