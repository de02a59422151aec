/* Goal: the checker's idea of kv is kv's. What the real service answers to random commands, one
 * after another, is linearizable; with one answer changed it is not. */
#include "tests/unit/kv_fixture.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/prng.h"
#include "tests/lincheck/io/command.h"
#include "tests/lincheck/lincheck.h"

#define ROUNDS 60
#define COMMANDS 400
#define WORDS_MAX 16

static const char *random_value(struct ts_prng *p)
{
    static const char *const values[] = {"''",
                                         "0",
                                         "7",
                                         "-1",
                                         "-0",
                                         "01",
                                         "+1",
                                         "1x",
                                         "x",
                                         "9223372036854775807",
                                         "9223372036854775808",
                                         "-9223372036854775808",
                                         "-9223372036854775809",
                                         "12345678901234567890123",
                                         "0123456789012345678901234567890123456789",
                                         "-"};
    return values[ts_prng_below(p, sizeof values / sizeof values[0])];
}

static void random_command(struct ts_prng *p, char *line, size_t cap)
{
    static const char *const options[] = {"",    " NX",     " XX",         " GET",
                                          " nx", " XX GET", " GET NX",     " KEEPTTL",
                                          " xx", " get",    " KEEPTTL NX", " NX NX"};
    unsigned a = (unsigned)ts_prng_below(p, 5);
    unsigned b = (unsigned)ts_prng_below(p, 5);
    const char *v = random_value(p);
    int64_t by = (int64_t)ts_prng_below(p, 7) - 3;
    by = ts_prng_below(p, 8) == 0 ? INT64_MAX : ts_prng_below(p, 8) == 0 ? INT64_MIN + 1 : by;
    switch (ts_prng_below(p, 18)) {
    case 0:
    case 1:
        snprintf(line, cap, "GET k%u", a);
        break;
    case 2:
    case 3:
    case 4:
        snprintf(line, cap, "SET k%u %s%s", a, v, options[ts_prng_below(p, 12)]);
        break;
    case 5:
        snprintf(line, cap, "DEL k%u", a);
        break;
    case 6:
        snprintf(line, cap, "DEL k%u k%u k%u", a, b, a);
        break;
    case 7:
        snprintf(line, cap, "EXISTS k%u k%u k%u", a, b, a);
        break;
    case 8:
        snprintf(line, cap, ts_prng_below(p, 2) == 0 ? "INCR k%u" : "DECR k%u", a);
        break;
    case 9:
        snprintf(line, cap, "INCRBY k%u %" PRId64, a, by);
        break;
    case 10:
        snprintf(line, cap, "DECRBY k%u %" PRId64, a, by);
        break;
    case 11:
    case 12:
        snprintf(line, cap, "APPEND k%u %s", a, v);
        break;
    case 13:
        snprintf(line, cap, "STRLEN k%u", a);
        break;
    case 14:
        snprintf(line, cap, "MGET k%u k%u k%u", a, b, a);
        break;
    case 15:
        snprintf(line, cap, "MSET k%u %s k%u y", a, v, b);
        break;
    case 16:
        snprintf(line, cap, ts_prng_below(p, 20) == 0 ? "FLUSHALL" : "EXISTS k%u", a);
        break;
    default:
        snprintf(line, cap, "GET k%u", b);
        break;
    }
}

/* The words of a command; "''" is an empty one. */
static size_t split(const char *line, struct ts_bytes words[WORDS_MAX])
{
    size_t n = 0;
    for (const char *at = line; *at != '\0';) {
        size_t len = strcspn(at, " ");
        bool empty = len == 2 && memcmp(at, "''", 2) == 0;
        words[n++] = (struct ts_bytes){(const uint8_t *)at, empty ? 0 : len};
        at += len + (at[len] == ' ' ? 1 : 0);
    }
    return n;
}

/* One RESP2 value. */
static struct ts_bytes take_bulk(const char **reply)
{
    assert_int_equal(**reply, '$');
    char *end;
    long n = strtol(*reply + 1, &end, 10);
    end += 2;
    if (n < 0) {
        *reply = end;
        return (struct ts_bytes){0};
    }
    *reply = end + n + 2;
    return (struct ts_bytes){(const uint8_t *)end, (size_t)n};
}

static struct lin_result take_reply(const char *reply, struct ts_bytes array[WORDS_MAX])
{
    struct lin_result r = {.array = array};
    switch (*reply) {
    case '+':
        r.kind = LIN_RESULT_OK;
        return r;
    case '-':
        r.kind = LIN_RESULT_ERROR;
        return r;
    case ':':
        r.kind = LIN_RESULT_INTEGER;
        r.integer = strtoll(reply + 1, NULL, 10);
        return r;
    case '$':
        r.bytes = take_bulk(&reply);
        r.kind = r.bytes.data == NULL ? LIN_RESULT_NIL : LIN_RESULT_BYTES;
        return r;
    default:
        break;
    }
    assert_int_equal(*reply, '*');
    size_t n = strtoul(reply + 1, NULL, 10);
    reply = strchr(reply, '\n') + 1;
    for (size_t i = 0; i < n; i++) {
        array[i] = take_bulk(&reply);
    }
    r.kind = LIN_RESULT_ARRAY;
    return r;
}

/* Another answer that the command could give. */
static void change(struct ts_prng *p, struct lin_op *op)
{
    static const uint8_t other[] = "other";
    switch (op->result.kind) {
    case LIN_RESULT_INTEGER:
        op->result.integer ^= 1 + (int64_t)ts_prng_below(p, 3);
        break;
    case LIN_RESULT_BYTES:
        op->result.bytes = (struct ts_bytes){other, 5};
        break;
    case LIN_RESULT_NIL:
        op->result.kind = op->command == LIN_SET && (op->flags & LIN_SET_GET) == 0
                              ? LIN_RESULT_OK
                              : LIN_RESULT_BYTES;
        op->result.bytes = (struct ts_bytes){other, 5};
        break;
    case LIN_RESULT_ERROR:
        op->result = (struct lin_result){.kind = LIN_RESULT_INTEGER, .integer = 1};
        break;
    case LIN_RESULT_ARRAY:
        ((struct ts_bytes *)(uintptr_t)op->result.array)[0] = (struct ts_bytes){other, 5};
        break;
    case LIN_RESULT_OK:
    case LIN_RESULT_NONE:
        break;
    }
}

/* Runs random commands; lies at number `lie`. False when there was nothing to lie about. */
static bool run(struct lin *l, uint64_t seed, unsigned lie)
{
    struct ts_prng p = ts_prng_init(seed);
    struct kv_test kv;
    bool lied = lie == COMMANDS;
    kv_open(&kv, NULL);
    lin_clear(l);
    for (unsigned i = 0; i < COMMANDS; i++) {
        char line[256];
        char error[LIN_COMMAND_ERROR_MAX];
        struct ts_bytes words[WORDS_MAX];
        struct ts_bytes keys[WORDS_MAX];
        struct ts_bytes values[WORDS_MAX];
        struct ts_bytes array[WORDS_MAX];
        struct lin_op op = {.begin = 2 * (uint64_t)i, .end = 2 * (uint64_t)i + 1, .place = i};
        random_command(&p, line, sizeof line);
        size_t n = split(line, words);
        if (lin_command_read(words, n, keys, values, &op, error) != TS_OK) {
            fail_msg("%s: %s", line, error);
        }
        op.result = take_reply(kv_do(&kv, line), array);
        if (i == lie) {
            lied = op.result.kind != LIN_RESULT_OK;
            change(&p, &op);
        }
        if (lin_op_wrong(&op) != NULL) {
            fail_msg("%s: %s", line, lin_op_wrong(&op));
        }
        assert_int_equal(lin_add(l, &op), TS_OK);
    }
    kv_close(&kv);
    return lied;
}

static void test_check_of_the_real_service_agrees_with_it(void **state)
{
    (void)state;
    struct lin_limits limits = lin_limits_default();
    struct lin *l = lin_new(&limits);
    struct lin_report report;
    unsigned lies = 0;
    assert_non_null(l);
    for (unsigned round = 0; round < ROUNDS; round++) {
        assert_true(run(l, round, COMMANDS));
        lin_check(l, &report);
        if (report.verdict != LIN_LINEARIZABLE) {
            struct lin_story story;
            assert_true(lin_explain(l, report.part_op, &story));
            for (size_t i = 0; i < story.count; i++) {
                print_message("command %zu\n", story.op[i]);
            }
            fail_msg("round %u: the service is not its model", round);
        }
        for (unsigned lie = round; lie < COMMANDS; lie += 23) {
            if (run(l, round, lie)) {
                lin_check(l, &report);
                assert_int_equal(report.verdict, LIN_NOT_LINEARIZABLE);
                lies++;
            }
        }
    }
    print_message("%u commands agree, %u lies found\n", ROUNDS * COMMANDS, lies);
    assert_true(lies > ROUNDS * 5);
    lin_free(l);
}

/* A command that kv always refuses for its form is no operation that could be checked. */
static void test_command_read_refused_form_is_an_error(void **state)
{
    (void)state;
    static const char *const lines[] = {
        "SET k v NX XX X", "INCRBY k x",   "INCRBY k 01", "DECRBY k -9223372036854775808",
        "MSET a 1 b",      "FLUSHALL NOW", "GET a b",     "APPEND k",
        "SET k",           "DEL"};
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        struct ts_bytes words[WORDS_MAX];
        struct ts_bytes keys[WORDS_MAX];
        struct ts_bytes values[WORDS_MAX];
        char error[LIN_COMMAND_ERROR_MAX] = "";
        struct lin_op op = {0};
        size_t n = split(lines[i], words);
        assert_int_equal(lin_command_read(words, n, keys, values, &op, error), TS_ERR_MALFORMED);
        assert_true(strlen(error) > 10);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_check_of_the_real_service_agrees_with_it),
        cmocka_unit_test(test_command_read_refused_form_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
