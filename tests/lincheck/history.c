#include "tests/lincheck/history.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

#define MEMORY_MIN ((size_t)64 * 1024)
#define CHUNK 1024

/* The references of CHUNK operations. */
struct chunk {
    uint32_t next;
    uint32_t record[CHUNK];
};

struct lin_limits lin_limits_default(void)
{
    return (struct lin_limits){.memory_max = (size_t)64 << 20, .steps_max = 20000000};
}

const char *lin_command_name(enum lin_command command)
{
    static const char *const names[] = {
#define LIN_COMMAND_NAME(sym, name) [sym] = name,
        LIN_COMMAND_LIST(LIN_COMMAND_NAME)
#undef LIN_COMMAND_NAME
    };
    return names[command];
}

const char *lin_verdict_name(enum lin_verdict v)
{
    static const char *const names[] = {
#define LIN_VERDICT_NAME(sym, name) [sym] = name,
        LIN_VERDICT_LIST(LIN_VERDICT_NAME)
#undef LIN_VERDICT_NAME
    };
    return names[v];
}

/* ---- life ---- */

struct lin *lin_new(const struct lin_limits *limits)
{
    size_t room = limits->memory_max;
    ts_assert(room >= MEMORY_MIN);
    room = room > LIN_ARENA_MAX ? LIN_ARENA_MAX : room;
    struct lin *l = malloc(sizeof *l + room);
    if (l == NULL) {
        return NULL;
    }
    *l = (struct lin){.limits = *limits};
    l->arena.base = (uint8_t *)(l + 1);
    l->arena.cap = room;
    lin_clear(l);
    return l;
}

void lin_free(struct lin *l)
{
    free(l);
}

void lin_clear(struct lin *l)
{
    l->arena.used = LIN_ARENA_ALIGN; /* reference 0 names nothing */
    l->arena.used_max = 0;
    l->arena.full = false;
    l->values = (struct lin_values){.arena = &l->arena};
    l->keys = 0;
    l->first = 0;
    l->last = 0;
    l->count = 0;
    l->scratch = 0;
    l->filled = false;
}

/* ---- what an operation may be ---- */

static bool takes_many_keys(enum lin_command c)
{
    return c == LIN_DEL || c == LIN_EXISTS || c == LIN_MGET || c == LIN_MSET;
}

static size_t value_count(const struct lin_op *op)
{
    bool one = op->command == LIN_SET || op->command == LIN_APPEND;
    return one ? 1 : op->command == LIN_MSET ? op->key_count : 0;
}

static bool result_fits_set(const struct lin_op *op)
{
    enum lin_result_kind kind = op->result.kind;
    if ((op->flags & LIN_SET_GET) != 0) {
        return kind == LIN_RESULT_NIL || kind == LIN_RESULT_BYTES;
    }
    bool conditional = (op->flags & (LIN_SET_NX | LIN_SET_XX)) != 0;
    return kind == LIN_RESULT_OK || (kind == LIN_RESULT_NIL && conditional);
}

static bool result_fits(const struct lin_op *op)
{
    enum lin_result_kind kind = op->result.kind;
    switch (op->command) {
    case LIN_GET:
        return kind == LIN_RESULT_NIL || kind == LIN_RESULT_BYTES;
    case LIN_SET:
        return result_fits_set(op);
    case LIN_INCRBY:
        return kind == LIN_RESULT_INTEGER || kind == LIN_RESULT_ERROR;
    case LIN_DEL:
    case LIN_EXISTS:
    case LIN_APPEND:
    case LIN_STRLEN:
        return kind == LIN_RESULT_INTEGER;
    case LIN_MGET:
        return kind == LIN_RESULT_ARRAY;
    case LIN_MSET:
    case LIN_FLUSHALL:
        return kind == LIN_RESULT_OK;
    }
    return false;
}

static const char *wrong_time(const struct lin_op *op)
{
    if (op->begin > LIN_TIME_MAX) {
        return "it begins too late: times have 63 bits";
    }
    if (op->outcome == LIN_UNKNOWN) {
        return op->end == LIN_NEVER ? NULL : "its outcome is unknown, so it has no end";
    }
    if (op->end > LIN_TIME_MAX) {
        return "it has no end, so its outcome is unknown";
    }
    return op->end < op->begin ? "it ends before it begins" : NULL;
}

const char *lin_op_wrong(const struct lin_op *op)
{
    if (op->command > LIN_FLUSHALL || op->outcome > LIN_FAILED) {
        return "there is no such command or outcome";
    }
    bool none = op->command == LIN_FLUSHALL;
    if ((op->key_count == 0) != none || (op->key_count > 1 && !takes_many_keys(op->command))) {
        return "it has too few or too many keys";
    }
    if ((op->flags != 0 && op->command != LIN_SET) ||
        op->flags > (LIN_SET_NX | LIN_SET_XX | LIN_SET_GET)) {
        return "it has an option that it does not take";
    }
    if ((op->flags & LIN_SET_NX) != 0 && (op->flags & LIN_SET_XX) != 0) {
        return "NX and XX exclude each other";
    }
    if (op->outcome == LIN_ANSWERED && !result_fits(op)) {
        return "this is no answer to this command";
    }
    if (op->outcome != LIN_ANSWERED && op->result.kind != LIN_RESULT_NONE) {
        return "it has a result without having been answered";
    }
    return wrong_time(op);
}

/* ---- adding ---- */

/* Copies what the operation points to. */
static void keep_words(struct lin *l, const struct lin_op *op, struct lin_record *r)
{
    size_t w = 0;
    for (size_t i = 0; i < op->key_count; i++) {
        uint32_t key = lin_value(&l->values, op->keys[i]);
        struct lin_value *name = lin_at(&l->arena, key);
        if (key != 0 && name->key == 0) {
            name->key = ++l->keys;
        }
        r->words[w++] = key;
    }
    for (size_t i = 0; i < r->values; i++) {
        r->words[w++] = lin_value(&l->values, op->values[i]);
    }
    if (op->result.kind == LIN_RESULT_BYTES) {
        r->result = lin_value(&l->values, op->result.bytes);
    }
    for (size_t i = 0; op->result.kind == LIN_RESULT_ARRAY && i < op->key_count; i++) {
        struct ts_bytes b = op->result.array[i];
        r->words[w++] = b.data == NULL ? 0 : lin_value(&l->values, b);
    }
}

static void enter_record(struct lin *l, uint32_t record)
{
    struct chunk *chunk = lin_at(&l->arena, l->last);
    if (l->count % CHUNK == 0) {
        struct chunk *more = lin_arena_take(&l->arena, sizeof *more);
        if (more == NULL) {
            return;
        }
        uint32_t ref = lin_ref(&l->arena, more);
        *(l->count == 0 ? &l->first : &chunk->next) = ref;
        l->last = ref;
        chunk = more;
    }
    chunk->record[l->count % CHUNK] = record;
}

enum ts_err lin_add(struct lin *l, const struct lin_op *op)
{
    if (lin_op_wrong(op) != NULL) {
        return TS_ERR_MALFORMED;
    }
    if (l->filled) {
        return TS_ERR_FULL;
    }
    lin_end_loan(l);
    size_t values = value_count(op);
    size_t words = op->key_count + values;
    words += op->result.kind == LIN_RESULT_ARRAY ? op->key_count : 0;
    struct lin_record *r = NULL;
    if (words <= l->arena.cap / sizeof r->words[0]) {
        r = lin_arena_take(&l->arena, sizeof *r + words * sizeof r->words[0]);
    }
    if (r == NULL) {
        l->filled = true;
        return TS_ERR_FULL;
    }
    *r = (struct lin_record){.begin = op->begin,
                             .end = op->end,
                             .by = op->by,
                             .result_integer = op->result.integer,
                             .client = op->client,
                             .place = op->place,
                             .key_count = (uint32_t)op->key_count,
                             .values = (uint32_t)values,
                             .command = (uint8_t)op->command,
                             .outcome = (uint8_t)op->outcome,
                             .flags = (uint8_t)op->flags,
                             .result_kind = (uint8_t)op->result.kind};
    keep_words(l, op, r);
    enter_record(l, lin_ref(&l->arena, r));
    l->filled = l->arena.full; /* then what was kept of it hangs nowhere */
    l->count += !l->filled;
    return l->filled ? TS_ERR_FULL : TS_OK;
}

/* ---- reading ---- */

size_t lin_count(const struct lin *l)
{
    return l->count;
}

const struct lin_record *lin_record_of(const struct lin *l, size_t index)
{
    ts_assert(index < l->count);
    const struct chunk *chunk = lin_at(&l->arena, l->first);
    for (size_t i = 0; i < index / CHUNK; i++) {
        chunk = lin_at(&l->arena, chunk->next);
    }
    return lin_at(&l->arena, chunk->record[index % CHUNK]);
}

void lin_all_records(const struct lin *l, struct lin_record **out)
{
    const struct chunk *chunk = NULL;
    uint32_t next = l->first;
    for (size_t i = 0; i < l->count; i++) {
        if (i % CHUNK == 0) {
            chunk = lin_at(&l->arena, next);
            next = chunk->next;
        }
        out[i] = lin_at(&l->arena, chunk->record[i % CHUNK]);
    }
}

void lin_end_loan(struct lin *l)
{
    if (l->scratch != 0) {
        lin_arena_return(&l->arena, l->scratch);
        l->scratch = 0;
    }
}

static const struct ts_bytes *lend(struct lin *l, const uint32_t *words, size_t n)
{
    struct ts_bytes *b = lin_arena_array(&l->arena, n, sizeof *b);
    for (size_t i = 0; b != NULL && i < n; i++) {
        if (words[i] != 0) {
            b[i] = lin_value_bytes(&l->values, words[i]);
        }
    }
    return b;
}

bool lin_view(struct lin *l, size_t index, struct lin_op *out)
{
    const struct lin_record *r = lin_record_of(l, index);
    if (l->scratch == 0) {
        l->scratch = l->arena.used;
    }
    *out = (struct lin_op){.begin = r->begin,
                           .end = r->end,
                           .client = r->client,
                           .place = r->place,
                           .command = r->command,
                           .outcome = r->outcome,
                           .flags = r->flags,
                           .by = r->by,
                           .key_count = r->key_count,
                           .keys = lend(l, r->words, r->key_count),
                           .values = lend(l, lin_record_values(r), r->values),
                           .result = {.kind = r->result_kind, .integer = r->result_integer}};
    bool whole = out->keys != NULL && out->values != NULL;
    if (r->result_kind == LIN_RESULT_BYTES) {
        out->result.bytes = lin_value_bytes(&l->values, r->result);
    }
    if (r->result_kind == LIN_RESULT_ARRAY) {
        out->result.array = lend(l, lin_record_array(r), r->key_count);
        whole = whole && out->result.array != NULL;
    }
    return whole;
}
