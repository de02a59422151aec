/* Operations and bytes as text and as JSON. */
#include "tests/lincheck/io/text.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* Bytes of one value that people are shown. */
#define SHOWN_MAX 48

struct text {
    char *out;
    size_t cap;
    size_t len;
};

__attribute__((format(printf, 2, 3))) static void put(struct text *t, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int n = vsnprintf(t->out + t->len, t->cap - t->len, format, args);
    va_end(args);
    t->len += (size_t)n < t->cap - t->len ? (size_t)n : t->cap - t->len - 1;
}

static void put_plain(struct text *t, struct ts_bytes b, size_t from, size_t to)
{
    for (size_t i = from; i < to; i++) {
        bool plain = b.data[i] >= ' ' && b.data[i] <= '~' && b.data[i] != '"' && b.data[i] != '\\';
        put(t, plain ? "%c" : "\\x%02x", b.data[i]);
    }
}

/* In quotes; the middle of a long one is left out, its length is told. */
static void put_bytes(struct text *t, struct ts_bytes b)
{
    put(t, "\"");
    if (b.len <= SHOWN_MAX) {
        put_plain(t, b, 0, b.len);
        put(t, "\"");
        return;
    }
    put_plain(t, b, 0, SHOWN_MAX / 2);
    put(t, "…");
    put_plain(t, b, b.len - SHOWN_MAX / 2, b.len);
    put(t, "\" (%zu bytes)", b.len);
}

/* A key: without quotes when none are needed. */
static void put_key(struct text *t, struct ts_bytes b)
{
    bool plain = b.len > 0 && b.len <= SHOWN_MAX;
    for (size_t i = 0; i < b.len && plain; i++) {
        plain = b.data[i] > ' ' && b.data[i] <= '~' && b.data[i] != '"' && b.data[i] != '\\';
    }
    if (plain) {
        put_plain(t, b, 0, b.len);
    } else {
        put_bytes(t, b);
    }
}

static const char *step_name(const struct lin_op *op)
{
    return op->by == 1 ? "INCR" : op->by == -1 ? "DECR" : "INCRBY";
}

void lin_op_text(const struct lin_op *op, char *out, size_t cap)
{
    struct text t = {.out = out, .cap = cap};
    bool values = op->command == LIN_SET || op->command == LIN_APPEND || op->command == LIN_MSET;
    put(&t, "%s", op->command == LIN_INCRBY ? step_name(op) : lin_command_name(op->command));
    for (size_t i = 0; i < op->key_count; i++) {
        put(&t, " ");
        put_key(&t, op->keys[i]);
        if (values) {
            put(&t, " ");
            put_bytes(&t, op->values[i]);
        }
    }
    if (op->command == LIN_INCRBY && op->by != 1 && op->by != -1) {
        put(&t, " %" PRId64, op->by);
    }
    put(&t, "%s%s%s", (op->flags & LIN_SET_NX) != 0 ? " NX" : "",
        (op->flags & LIN_SET_XX) != 0 ? " XX" : "", (op->flags & LIN_SET_GET) != 0 ? " GET" : "");
}

void lin_bytes_text(struct ts_bytes b, char *out, size_t cap)
{
    struct text t = {.out = out, .cap = cap};
    put_bytes(&t, b);
}

void lin_key_text(struct ts_bytes b, char *out, size_t cap)
{
    struct text t = {.out = out, .cap = cap};
    put_key(&t, b);
}

void lin_answer_text(const struct lin_op *op, char *out, size_t cap)
{
    struct text t = {.out = out, .cap = cap};
    if (op->outcome != LIN_ANSWERED) {
        put(&t, "%s", op->outcome == LIN_UNKNOWN ? "no answer" : "refused");
        return;
    }
    put(&t, "→ ");
    switch (op->result.kind) {
    case LIN_RESULT_NONE:
    case LIN_RESULT_OK:
        put(&t, "OK");
        break;
    case LIN_RESULT_NIL:
        put(&t, "nil");
        break;
    case LIN_RESULT_INTEGER:
        put(&t, "%" PRId64, op->result.integer);
        break;
    case LIN_RESULT_ERROR:
        put(&t, "error");
        break;
    case LIN_RESULT_BYTES:
        put_bytes(&t, op->result.bytes);
        break;
    case LIN_RESULT_ARRAY:
        for (size_t i = 0; i < op->key_count; i++) {
            put(&t, i == 0 ? "" : ", ");
            if (op->result.array[i].data == NULL) {
                put(&t, "nil");
            } else {
                put_bytes(&t, op->result.array[i]);
            }
        }
        break;
    }
}

/* ---- JSON ---- */

json_t *lin_bytes_json(struct ts_bytes b)
{
    json_t *text = json_stringn((const char *)b.data, b.len);
    if (text != NULL || b.len > SIZE_MAX / 4) {
        return text;
    }
    /* No UTF-8. */
    char *hex = malloc(2 * b.len + 1);
    for (size_t i = 0; i < b.len && hex != NULL; i++) {
        snprintf(hex + 2 * i, 3, "%02x", b.data[i]);
    }
    json_t *json = json_pack("{s:s%}", "hex", hex, 2 * b.len);
    free(hex);
    return json;
}

static json_t *words_json(const struct lin_op *op)
{
    json_t *words = json_array();
    bool values = op->command == LIN_SET || op->command == LIN_APPEND || op->command == LIN_MSET;
    json_array_append_new(words, json_string(lin_command_name(op->command)));
    for (size_t i = 0; i < op->key_count; i++) {
        json_array_append_new(words, lin_bytes_json(op->keys[i]));
        if (values) {
            json_array_append_new(words, lin_bytes_json(op->values[i]));
        }
    }
    if (op->command == LIN_INCRBY) {
        json_array_append_new(words, json_sprintf("%" PRId64, op->by));
    }
    static const char *const options[] = {"NX", "XX", "GET"};
    for (unsigned i = 0; i < 3; i++) {
        if ((op->flags >> i & 1) != 0) {
            json_array_append_new(words, json_string(options[i]));
        }
    }
    return words;
}

static json_t *result_json(const struct lin_op *op)
{
    switch (op->result.kind) {
    case LIN_RESULT_NONE:
    case LIN_RESULT_NIL:
        return json_null();
    case LIN_RESULT_OK:
        return json_string("OK");
    case LIN_RESULT_INTEGER:
        return json_integer((json_int_t)op->result.integer);
    case LIN_RESULT_ERROR:
        return json_pack("{s:s}", "error", "ERR");
    case LIN_RESULT_BYTES:
        return lin_bytes_json(op->result.bytes);
    case LIN_RESULT_ARRAY:
        break;
    }
    json_t *array = json_array();
    for (size_t i = 0; i < op->key_count; i++) {
        bool nil = op->result.array[i].data == NULL;
        json_array_append_new(array, nil ? json_null() : lin_bytes_json(op->result.array[i]));
    }
    return array;
}

json_t *lin_op_json(const struct lin_op *op)
{
    static const char *const outcomes[] = {"ok", "unknown", "failed"};
    json_t *json =
        json_pack("{s:I,s:I,s:o,s:I}", "line", (json_int_t)op->place, "client",
                  (json_int_t)op->client, "op", words_json(op), "begin", (json_int_t)op->begin);
    json_object_set_new(json, "end",
                        op->end == LIN_NEVER ? json_null() : json_integer((json_int_t)op->end));
    if (op->outcome == LIN_ANSWERED) {
        json_object_set_new(json, "result", result_json(op));
    }
    json_object_set_new(json, "outcome", json_string(outcomes[op->outcome]));
    return json;
}
