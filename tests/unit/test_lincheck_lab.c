/* Goal: the load's own checkers (lab/check.h) and lincheck judge alike what the load writes:
 * whatever the former accuse the latter refutes, and where both are exact, the other way round as
 * well. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/prng.h"
#include "lab/check.h"
#include "lab/load_keys.h"
#include "tests/lincheck/io/json.h"
#include "tests/lincheck/io/story.h"

#define HISTORIES 6000
#define OPS_MAX 24

/* A load on one key of one kind, against a server that mostly tells the truth. */
struct load {
    struct ts_prng prng;
    struct lab_history history;
    enum lab_object object;
    int64_t value;   /* of the register */
    int64_t counter; /* of the counter */
    uint8_t list[(OPS_MAX + 2) * LAB_TOKEN_BYTES];
    size_t tokens;
    int64_t next;
};

static void execute(struct load *l, struct lab_op *op, bool answered)
{
    switch ((enum lab_op_kind)op->kind) {
    case LAB_OP_SET:
        l->value = op->value;
        break;
    case LAB_OP_GET:
        op->value = l->value;
        break;
    case LAB_OP_INCR:
        op->result = ++l->counter;
        break;
    case LAB_OP_COUNT:
        op->result = l->counter;
        op->value = l->counter == 0 ? LAB_NIL : 0;
        break;
    case LAB_OP_APPEND:
        lab_token_encode((uint32_t)op->value, l->list + l->tokens * LAB_TOKEN_BYTES);
        l->tokens++;
        op->result = (int64_t)(l->tokens * LAB_TOKEN_BYTES);
        break;
    case LAB_OP_LENGTH:
        op->result = (int64_t)(l->tokens * LAB_TOKEN_BYTES);
        break;
    case LAB_OP_GRANT:
    case LAB_OP_KEEP:
    case LAB_OP_RELEASE:
    case LAB_OP_KINDS:
        break;
    }
    if (!answered && lab_op_writes(op->kind)) {
        op->result = 0;
    }
}

static void run(struct load *l, unsigned ops)
{
    static const uint8_t writes[] = {
        [LAB_LIST] = LAB_OP_APPEND, [LAB_REGISTER] = LAB_OP_SET, [LAB_COUNTER] = LAB_OP_INCR};
    static const uint8_t reads[] = {
        [LAB_LIST] = LAB_OP_LENGTH, [LAB_REGISTER] = LAB_OP_GET, [LAB_COUNTER] = LAB_OP_COUNT};
    for (unsigned i = 0; i < ops; i++) {
        uint64_t at = 100 + 10 * (uint64_t)i;
        bool write = ts_prng_below(&l->prng, 3) > 0;
        struct lab_op op = {.begin_ns = at - ts_prng_below(&l->prng, 25),
                            .end_ns = at + ts_prng_below(&l->prng, 25),
                            .client = (uint16_t)i,
                            .kind = write ? writes[l->object] : reads[l->object],
                            .outcome = LAB_ACKED};
        op.value = write && l->object != LAB_COUNTER ? l->next++ : 0;
        uint64_t fate = ts_prng_below(&l->prng, 12);
        if (fate == 0) {
            op.outcome = LAB_FAILED;
        } else if (fate < 3) {
            op.outcome = LAB_AMBIGUOUS;
            op.end_ns = LAB_NEVER;
        }
        if (fate > 1) {
            execute(l, &op, op.outcome == LAB_ACKED);
        }
        lab_history_add(&l->history, &op);
    }
}

/* Moves an operation in time, or gives one the answer of another. */
static void lie(struct load *l)
{
    struct lab_op *a = &l->history.ops[ts_prng_below(&l->prng, l->history.count)];
    struct lab_op *b = &l->history.ops[ts_prng_below(&l->prng, l->history.count)];
    bool answers = a->outcome == LAB_ACKED && b->outcome == LAB_ACKED && a->kind == b->kind;
    if (ts_prng_below(&l->prng, 3) == 0 && a->outcome == LAB_ACKED) {
        uint64_t by = ts_prng_below(&l->prng, 40);
        a->begin_ns += by;
        a->end_ns += by;
    } else if (answers && a->kind == LAB_OP_GET) {
        a->value = b->value;
    } else if (answers) {
        a->result = b->result;
        a->value = a->kind == LAB_OP_COUNT ? b->value : a->value; /* whether it was there */
    } else if (ts_prng_below(&l->prng, 4) == 0 && l->tokens > 1) {
        memmove(l->list, l->list + LAB_TOKEN_BYTES, --l->tokens * LAB_TOKEN_BYTES);
    }
}

/* As the load reads back: last of all, when nothing else is under way. */
static void read_back(struct load *l)
{
    static const uint8_t reads[] = {
        [LAB_LIST] = LAB_OP_LENGTH, [LAB_REGISTER] = LAB_OP_GET, [LAB_COUNTER] = LAB_OP_COUNT};
    struct lab_op op = {.begin_ns = 1000, .end_ns = 1010, .client = 99, .kind = reads[l->object]};
    execute(l, &op, true);
    lab_history_add(&l->history, &op);
    struct lab_content content = {.begin_ns = 1020,
                                  .end_ns = 1030,
                                  .bytes = {l->list, l->tokens * LAB_TOKEN_BYTES},
                                  .client = 99,
                                  .nil = l->tokens == 0};
    if (l->object == LAB_LIST) {
        lab_history_add_content(&l->history, &content);
    }
}

static enum lin_verdict judge_written(struct lin *lin, const struct load *l, char **text)
{
    struct lab_words words = {.tag = "t", .value_bytes = LAB_VALUE_MIN};
    char error[LIN_JSON_ERROR_MAX];
    struct lin_report report;
    size_t len;
    FILE *out = open_memstream(text, &len);
    assert_non_null(out);
    assert_int_equal(lab_history_write(&l->history, &words, out), TS_OK);
    assert_int_equal(fclose(out), 0);
    lin_clear(lin);
    if (lin_json_text(lin, "lab", (struct ts_bytes){(uint8_t *)*text, len}, error) != TS_OK) {
        fail_msg("%s", error);
    }
    lin_check(lin, &report);
    return report.verdict;
}

static void compare(enum lab_object object, bool both_exact)
{
    struct lin_limits limits = {.memory_max = (size_t)1 << 20, .steps_max = 1000000};
    struct lin *lin = lin_new(&limits);
    unsigned good = 0;
    unsigned bad = 0;
    unsigned sharper = 0;
    assert_non_null(lin);
    for (uint64_t seed = 0; seed < HISTORIES; seed++) {
        struct load l = {.object = object, .value = LAB_NIL, .next = 1};
        struct lab_verdict v;
        char *text;
        l.prng = ts_prng_init(seed);
        run(&l, 2 + (unsigned)ts_prng_below(&l.prng, OPS_MAX - 2));
        for (uint64_t lies = ts_prng_below(&l.prng, 7); lies > 0; lies--) {
            lie(&l);
        }
        read_back(&l);
        struct lab_final_list list = {.content = {l.list, l.tokens * LAB_TOKEN_BYTES}};
        lab_check(&l.history, &list, 1, &v);
        enum lin_verdict verdict = judge_written(lin, &l, &text);
        assert_int_not_equal(verdict, LIN_GAVE_UP);
        bool lincheck_ok = verdict == LIN_LINEARIZABLE;
        if ((lincheck_ok && !lab_verdict_ok(&v)) ||
            (both_exact && lincheck_ok != lab_verdict_ok(&v))) {
            fail_msg("seed %u: lincheck says \"%s\", the load's checker \"%s\":\n%s",
                     (unsigned)seed, lin_verdict_name(verdict),
                     v.finding_count > 0 ? v.findings[0] : "all well", text);
        }
        good += lincheck_ok;
        bad += !lincheck_ok;
        sharper += !lincheck_ok && lab_verdict_ok(&v);
        free(text);
        lab_history_free(&l.history);
    }
    print_message("%s: %u good, %u bad, of which lincheck alone found %u\n",
                  lab_object_name(object), good, bad, sharper);
    assert_true(good > HISTORIES / 20 && bad > HISTORIES / 20);
    lin_free(lin);
}

static void test_check_registers_of_the_lab_same_verdicts(void **state)
{
    (void)state;
    compare(LAB_REGISTER, true);
}

static void test_check_lists_of_the_lab_same_verdicts(void **state)
{
    (void)state;
    compare(LAB_LIST, true);
}

/* The load's checker knows no order of the increments of unknown outcome. */
static void test_check_counters_of_the_lab_no_less_sharp(void **state)
{
    (void)state;
    compare(LAB_COUNTER, false);
}

/* Bytes that no SET or APPEND of the load wrote are told as such, whatever they are. */
static void test_history_write_foreign_bytes_are_refuted(void **state)
{
    (void)state;
    static const uint8_t foreign[] = "t0000000\xff\"";
    struct lin_limits limits = {.memory_max = (size_t)1 << 20, .steps_max = 1000000};
    struct lin *lin = lin_new(&limits);
    struct lab_op get = {.begin_ns = 5, .end_ns = 6, .kind = LAB_OP_GET, .value = LAB_NIL};
    struct load l = {.object = LAB_REGISTER};
    char *text;
    assert_non_null(lin);
    lab_history_add(&l.history, &get);
    assert_int_equal(judge_written(lin, &l, &text), LIN_LINEARIZABLE);
    free(text);
    get.value = LAB_UNKNOWN_VALUE;
    lab_history_add(&l.history, &get);
    assert_int_equal(judge_written(lin, &l, &text), LIN_NOT_LINEARIZABLE);
    free(text);
    lab_history_free(&l.history);
    struct lab_op append = {
        .begin_ns = 1, .end_ns = 2, .kind = LAB_OP_APPEND, .value = 1, .result = LAB_TOKEN_BYTES};
    struct lab_content content = {.begin_ns = 7, .end_ns = 8, .bytes = {foreign, LAB_TOKEN_BYTES}};
    lab_history_add(&l.history, &append);
    assert_int_equal(judge_written(lin, &l, &text), LIN_LINEARIZABLE);
    free(text);
    lab_history_add_content(&l.history, &content);
    assert_int_equal(judge_written(lin, &l, &text), LIN_NOT_LINEARIZABLE);
    assert_non_null(strstr(text, "{\"hex\":\"7430303030303030ff22\"}"));
    free(text);
    lab_history_free(&l.history);
    lin_free(lin);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_check_registers_of_the_lab_same_verdicts),
        cmocka_unit_test(test_check_lists_of_the_lab_same_verdicts),
        cmocka_unit_test(test_check_counters_of_the_lab_no_less_sharp),
        cmocka_unit_test(test_history_write_foreign_bytes_are_refuted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
