/* Small random histories of kv, with a model and a checker of their own: so slow and plain that
 * they can be believed. Shared by the tests of tests/lincheck. */
#ifndef TESTS_UNIT_LINCHECK_FIXTURE_H
#define TESTS_UNIT_LINCHECK_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/prng.h"
#include "tests/lincheck/lincheck.h"

#define TINY_KEYS 3
#define TINY_TEXT 160
#define TINY_OPS 10
#define TINY_ABSENT (-1)

struct tiny_value {
    int len; /* TINY_ABSENT */
    char text[TINY_TEXT];
};

struct tiny_state {
    struct tiny_value key[TINY_KEYS];
};

struct tiny_result {
    enum lin_result_kind kind;
    int64_t integer;
    struct tiny_value value; /* BYTES, NIL */
    struct tiny_value array[TINY_KEYS];
};

struct tiny_op {
    uint64_t begin;
    uint64_t end;
    enum lin_command command;
    enum lin_outcome outcome;
    unsigned flags;
    int64_t by;
    unsigned key_count;
    unsigned key[TINY_KEYS];
    struct tiny_value value[TINY_KEYS];
    struct tiny_result result;
};

struct tiny_history {
    struct tiny_op op[TINY_OPS];
    unsigned count;
};

/* ---- the model ---- */

static inline bool tiny_same(const struct tiny_value *a, const struct tiny_value *b)
{
    return a->len == b->len && (a->len <= 0 || memcmp(a->text, b->text, (size_t)a->len) == 0);
}

static inline void tiny_text(struct tiny_value *v, const char *text)
{
    v->len = snprintf(v->text, sizeof v->text, "%s", text);
}

static inline bool tiny_number(const struct tiny_value *v, int64_t *out)
{
    char again[32];
    if (v->len < 1 || v->len > 20) {
        return false;
    }
    char text[24];
    memcpy(text, v->text, (size_t)v->len);
    text[v->len] = '\0';
    *out = strtoll(text, NULL, 10);
    snprintf(again, sizeof again, "%lld", (long long)*out);
    return strcmp(again, text) == 0;
}

static inline struct tiny_result tiny_incrby(struct tiny_value *v, int64_t by)
{
    int64_t old = 0;
    if (v->len != TINY_ABSENT && !tiny_number(v, &old)) {
        return (struct tiny_result){.kind = LIN_RESULT_ERROR};
    }
    if ((by > 0 && old > INT64_MAX - by) || (by < 0 && old < INT64_MIN - by)) {
        return (struct tiny_result){.kind = LIN_RESULT_ERROR};
    }
    int64_t sum = old + by;
    v->len = snprintf(v->text, sizeof v->text, "%lld", (long long)sum);
    return (struct tiny_result){.kind = LIN_RESULT_INTEGER, .integer = sum};
}

static inline struct tiny_result tiny_set(struct tiny_value *v, const struct tiny_op *op)
{
    struct tiny_result r = {.kind = LIN_RESULT_OK};
    bool refused = ((op->flags & LIN_SET_NX) != 0 && v->len != TINY_ABSENT) ||
                   ((op->flags & LIN_SET_XX) != 0 && v->len == TINY_ABSENT);
    if ((op->flags & LIN_SET_GET) != 0) {
        r.kind = v->len == TINY_ABSENT ? LIN_RESULT_NIL : LIN_RESULT_BYTES;
        r.value = *v;
    } else if (refused) {
        r.kind = LIN_RESULT_NIL;
    }
    if (!refused) {
        *v = op->value[0];
    }
    return r;
}

static inline struct tiny_result tiny_many(struct tiny_state *s, const struct tiny_op *op)
{
    struct tiny_result r = {.kind = LIN_RESULT_INTEGER};
    for (unsigned i = 0; i < op->key_count; i++) {
        struct tiny_value *v = &s->key[op->key[i]];
        if (op->command == LIN_MGET) {
            r.kind = LIN_RESULT_ARRAY;
            r.array[i] = *v;
        } else if (op->command == LIN_MSET) {
            r.kind = LIN_RESULT_OK;
            *v = op->value[i];
        } else {
            r.integer += v->len != TINY_ABSENT;
            v->len = op->command == LIN_DEL ? TINY_ABSENT : v->len;
        }
    }
    return r;
}

static inline struct tiny_result tiny_apply(struct tiny_state *s, const struct tiny_op *op)
{
    struct tiny_value *v = &s->key[op->key[0]];
    switch (op->command) {
    case LIN_GET:
        return (struct tiny_result){
            .kind = v->len == TINY_ABSENT ? LIN_RESULT_NIL : LIN_RESULT_BYTES, .value = *v};
    case LIN_STRLEN:
        return (struct tiny_result){.kind = LIN_RESULT_INTEGER, .integer = v->len < 0 ? 0 : v->len};
    case LIN_SET:
        return tiny_set(v, op);
    case LIN_INCRBY:
        return tiny_incrby(v, op->by);
    case LIN_APPEND:
        v->len = v->len < 0 ? 0 : v->len;
        assert_true(v->len + op->value[0].len < TINY_TEXT);
        memcpy(v->text + v->len, op->value[0].text, (size_t)op->value[0].len);
        v->len += op->value[0].len;
        return (struct tiny_result){.kind = LIN_RESULT_INTEGER, .integer = v->len};
    case LIN_DEL:
    case LIN_EXISTS:
    case LIN_MGET:
    case LIN_MSET:
        return tiny_many(s, op);
    case LIN_FLUSHALL:
        for (unsigned k = 0; k < TINY_KEYS; k++) {
            s->key[k].len = TINY_ABSENT;
        }
        return (struct tiny_result){.kind = LIN_RESULT_OK};
    }
    fail();
    return (struct tiny_result){0};
}

static inline bool tiny_answers(const struct tiny_op *op, const struct tiny_result *r)
{
    const struct tiny_result *told = &op->result;
    if (told->kind != r->kind) {
        return false;
    }
    if (r->kind == LIN_RESULT_INTEGER) {
        return told->integer == r->integer;
    }
    if (r->kind == LIN_RESULT_BYTES) {
        return tiny_same(&told->value, &r->value);
    }
    for (unsigned i = 0; r->kind == LIN_RESULT_ARRAY && i < op->key_count; i++) {
        if (!tiny_same(&told->array[i], &r->array[i])) {
            return false;
        }
    }
    return true;
}

/* ---- the checker: every order ---- */

static inline bool tiny_order(const struct tiny_history *h, unsigned done, struct tiny_state state)
{
    bool all = true;
    for (unsigned i = 0; i < h->count; i++) {
        all = all && ((done >> i & 1) != 0 || h->op[i].outcome != LIN_ANSWERED);
    }
    for (unsigned i = 0; i < h->count && !all; i++) {
        const struct tiny_op *op = &h->op[i];
        bool may = (done >> i & 1) == 0 && op->outcome != LIN_FAILED;
        for (unsigned j = 0; j < h->count; j++) {
            may = may && ((done >> j & 1) != 0 || h->op[j].outcome != LIN_ANSWERED ||
                          h->op[j].end >= op->begin);
        }
        if (!may) {
            continue;
        }
        struct tiny_state next = state;
        struct tiny_result r = tiny_apply(&next, op);
        if (op->outcome != LIN_ANSWERED || tiny_answers(op, &r)) {
            all = tiny_order(h, done | 1u << i, next);
        }
    }
    return all;
}

static inline struct tiny_state tiny_start(void)
{
    struct tiny_state s;
    memset(&s, 0, sizeof s);
    for (unsigned k = 0; k < TINY_KEYS; k++) {
        s.key[k].len = TINY_ABSENT;
    }
    return s;
}

static inline bool tiny_linearizable(const struct tiny_history *h)
{
    return tiny_order(h, 0, tiny_start());
}

/* ---- making histories ---- */

/* What a history is made of. */
struct tiny_kind {
    const char *name;
    unsigned keys;
    unsigned command_count;
    enum lin_command command[10];
    bool unique;    /* values are written once, all of one length */
    unsigned flags; /* of SET */
    unsigned unknown_percent;
};

static inline struct tiny_op tiny_random_op(struct ts_prng *p, const struct tiny_kind *kind,
                                            unsigned number)
{
    static const char *const texts[] = {"", "a", "b", "ab", "1", "2", "-1", "9223372036854775807"};
    struct tiny_op op = {.key_count = 1,
                         .command = kind->command[ts_prng_below(p, kind->command_count)]};
    bool many = op.command >= LIN_MGET || op.command == LIN_DEL || op.command == LIN_EXISTS;
    if (many && kind->keys > 1) {
        op.key_count = 1 + (unsigned)ts_prng_below(p, TINY_KEYS);
    }
    op.key_count = op.command == LIN_FLUSHALL ? 0 : op.key_count;
    for (unsigned i = 0; i < op.key_count; i++) {
        op.key[i] = (unsigned)ts_prng_below(p, kind->keys);
        char text[TINY_TEXT];
        snprintf(text, sizeof text, "%c%c;", 'a' + (char)number, 'a' + (char)i);
        tiny_text(&op.value[i], kind->unique ? text : texts[ts_prng_below(p, 8)]);
    }
    op.by = kind->unique ? 1 : (int64_t)ts_prng_below(p, 4) - 1;
    if (op.command == LIN_SET && kind->flags != 0) {
        op.flags = (unsigned)ts_prng_below(p, 8) & kind->flags;
        op.flags &= (op.flags & 3) == 3 ? ~(unsigned)LIN_SET_XX : ~0u;
    }
    return op;
}

/* Histories that a correct service could give, and then a lie or two in most of them. */
static inline void tiny_make(struct ts_prng *p, const struct tiny_kind *kind, unsigned ops,
                             struct tiny_history *h)
{
    struct tiny_state state = tiny_start();
    memset(h, 0, sizeof *h);
    h->count = ops;
    uint64_t spread = 1 + ts_prng_below(p, 40);
    for (unsigned i = 0; i < ops; i++) {
        struct tiny_op op = tiny_random_op(p, kind, i);
        uint64_t at = 100 + 10 * (uint64_t)i;
        op.begin = at - ts_prng_below(p, spread);
        op.end = at + ts_prng_below(p, spread);
        bool unknown = ts_prng_below(p, 100) < kind->unknown_percent;
        bool failed = !unknown && ts_prng_below(p, 12) == 0;
        op.outcome = unknown ? LIN_UNKNOWN : failed ? LIN_FAILED : LIN_ANSWERED;
        if (op.outcome == LIN_ANSWERED || (unknown && ts_prng_below(p, 2) == 0)) {
            op.result = tiny_apply(&state, &op);
        }
        if (op.outcome != LIN_ANSWERED) {
            op.result = (struct tiny_result){.kind = LIN_RESULT_NONE};
            op.end = unknown ? LIN_NEVER : op.end;
        }
        h->op[i] = op;
    }
}

/* Tells one answer of another operation of the same command, or moves an operation in time. */
static inline void tiny_lie(struct ts_prng *p, struct tiny_history *h)
{
    struct tiny_op *a = &h->op[ts_prng_below(p, h->count)];
    struct tiny_op *b = &h->op[ts_prng_below(p, h->count)];
    if (ts_prng_below(p, 3) == 0 && a->outcome == LIN_ANSWERED) {
        uint64_t by = ts_prng_below(p, 60);
        a->begin += by;
        a->end += by;
    } else if (a->command == b->command && a->outcome == LIN_ANSWERED &&
               b->outcome == LIN_ANSWERED && a->key_count == b->key_count && a->flags == b->flags) {
        struct tiny_result swap = a->result;
        a->result = b->result;
        b->result = swap;
    } else if (a->result.kind == LIN_RESULT_INTEGER) {
        int64_t by = (int64_t)ts_prng_below(p, 5) - 2;
        (void)__builtin_add_overflow(a->result.integer, by, &a->result.integer);
    }
}

/* ---- to the checker under test ---- */

static inline struct ts_bytes tiny_bytes(const struct tiny_value *v)
{
    return v->len == TINY_ABSENT ? (struct ts_bytes){0}
                                 : (struct ts_bytes){(const uint8_t *)v->text, (size_t)v->len};
}

static inline void tiny_add(struct lin *l, const struct tiny_op *op, uint32_t place)
{
    static const char names[TINY_KEYS] = {'k', 'l', 'm'};
    struct ts_bytes keys[TINY_KEYS];
    struct ts_bytes values[TINY_KEYS];
    struct ts_bytes array[TINY_KEYS];
    for (unsigned i = 0; i < op->key_count; i++) {
        keys[i] = (struct ts_bytes){(const uint8_t *)&names[op->key[i]], 1};
        values[i] = tiny_bytes(&op->value[i]);
        array[i] = tiny_bytes(&op->result.array[i]);
    }
    struct lin_op out = {.begin = op->begin,
                         .end = op->end,
                         .client = place,
                         .place = place,
                         .command = op->command,
                         .outcome = op->outcome,
                         .flags = op->flags,
                         .by = op->by,
                         .key_count = op->key_count,
                         .keys = keys,
                         .values = values,
                         .result = {.kind = op->result.kind,
                                    .integer = op->result.integer,
                                    .bytes = tiny_bytes(&op->result.value),
                                    .array = array}};
    assert_null(lin_op_wrong(&out));
    assert_int_equal(lin_add(l, &out), TS_OK);
}

static inline void tiny_add_all(struct lin *l, const struct tiny_history *h)
{
    lin_clear(l);
    for (unsigned i = 0; i < h->count; i++) {
        tiny_add(l, &h->op[i], i);
    }
}

static inline void tiny_print(const struct tiny_history *h)
{
    for (unsigned i = 0; i < h->count; i++) {
        const struct tiny_op *op = &h->op[i];
        print_message("%2u  %6lld…%-6lld %s", i, (long long)op->begin, (long long)op->end,
                      lin_command_name(op->command));
        for (unsigned k = 0; k < op->key_count; k++) {
            print_message(" %c \"%.*s\"", "klm"[op->key[k]], op -> value[k].len, op->value[k].text);
        }
        print_message("  by %lld flags %u outcome %d → kind %d, %lld, \"%.*s\"\n",
                      (long long)op->by, op->flags, (int)op->outcome, (int)op->result.kind,
                      (long long)op->result.integer, op->result.value.len, op->result.value.text);
    }
}

#endif
