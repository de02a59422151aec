/* A load's history as lines of JSON, in the format that `lincheck` reads (tests/lincheck). */
#include <inttypes.h>
#include <stdio.h>

#include "lab/load_keys.h"
#include "lab/load_leases.h"

/* A JSON string; what is no plain text is spelled in hexadecimal. */
static void put_bytes(FILE *out, struct ts_bytes b)
{
    bool plain = true;
    for (size_t i = 0; i < b.len && plain; i++) {
        plain = b.data[i] >= ' ' && b.data[i] <= '~' && b.data[i] != '"' && b.data[i] != '\\';
    }
    if (plain) {
        (void)fprintf(out, "\"%.*s\"", (int)b.len, b.len > 0 ? (const char *)b.data : "");
        return;
    }
    (void)fputs("{\"hex\":\"", out);
    for (size_t i = 0; i < b.len; i++) {
        (void)fprintf(out, "%02x", b.data[i]);
    }
    (void)fputs("\"}", out);
}

static void put_head(FILE *out, unsigned client, const struct lab_request *request)
{
    (void)fprintf(out, "{\"client\":%u,\"op\":[", client);
    for (size_t i = 0; i < request->argc; i++) {
        (void)fputs(i == 0 ? "" : ",", out);
        put_bytes(out, request->argv[i]);
    }
    (void)fputs("]", out);
}

/* The answer to a GET of a register: the bytes of the value that was recognised. */
static void put_value(FILE *out, const struct lab_op *op, const struct lab_words *words)
{
    uint8_t value[LAB_VALUE_MAX];
    struct lab_request set;
    struct lab_op like = {.kind = LAB_OP_SET, .value = op->value};
    if (op->value == LAB_NIL) {
        (void)fputs("null", out);
    } else if (op->value == LAB_UNKNOWN_VALUE) {
        /* The bytes were not kept: any that no SET writes say the same. */
        (void)fputs("\"bytes that no SET of this load wrote\"", out);
    } else {
        lab_request_make(&set, words->tag, &like, words->value_bytes, value);
        put_bytes(out, set.argv[2]);
    }
}

static void put_result(FILE *out, const struct lab_op *op, const struct lab_words *words)
{
    switch ((enum lab_op_kind)op->kind) {
    case LAB_OP_SET:
        (void)fputs("\"OK\"", out);
        return;
    case LAB_OP_GET:
        put_value(out, op, words);
        return;
    case LAB_OP_COUNT:
        if (op->value == LAB_NIL) {
            (void)fputs("null", out);
        } else {
            (void)fprintf(out, "\"%" PRId64 "\"", op->result);
        }
        return;
    case LAB_OP_GRANT:
        if (op->value == LAB_NIL) {
            (void)fputs("null", out);
        } else {
            (void)fprintf(out, "[%" PRId64 ",%" PRId64 "]", op->value, op->result);
        }
        return;
    case LAB_OP_APPEND:
    case LAB_OP_LENGTH:
    case LAB_OP_INCR:
    case LAB_OP_KEEP:
    case LAB_OP_RELEASE:
    case LAB_OP_KINDS:
        (void)fprintf(out, "%" PRId64, op->result);
        return;
    }
}

static void write_op(FILE *out, const struct lab_op *op, const struct lab_words *words)
{
    uint8_t value[LAB_VALUE_MAX];
    struct lab_request request;
    if (lab_op_object(op->kind) == LAB_LEASE) {
        lab_lease_request(&request, words->tag, op, words->lease_ms);
    } else {
        lab_request_make(&request, words->tag, op, words->value_bytes, value);
    }
    put_head(out, op->client, &request);
    (void)fprintf(out, ",\"begin\":%" PRIu64, op->begin_ns);
    if (op->outcome == LAB_AMBIGUOUS) {
        (void)fputs(",\"end\":null,\"outcome\":\"unknown\"}\n", out);
        return;
    }
    (void)fprintf(out, ",\"end\":%" PRIu64, op->end_ns);
    if (op->outcome == LAB_ACKED) {
        (void)fputs(",\"result\":", out);
        put_result(out, op, words);
    }
    (void)fprintf(out, ",\"outcome\":\"%s\"}\n", op->outcome == LAB_ACKED ? "ok" : "failed");
}

static void write_content(FILE *out, const struct lab_content *c, const struct lab_words *words)
{
    uint8_t value[LAB_VALUE_MAX];
    struct lab_request request;
    struct lab_op like = {.kind = LAB_OP_LENGTH, .key = c->key};
    lab_request_make(&request, words->tag, &like, words->value_bytes, value);
    request.argv[0] = lab_bytes("GET");
    put_head(out, c->client, &request);
    (void)fprintf(out, ",\"begin\":%" PRIu64 ",\"end\":%" PRIu64 ",\"result\":", c->begin_ns,
                  c->end_ns);
    if (c->nil) {
        (void)fputs("null", out);
    } else {
        put_bytes(out, c->bytes);
    }
    (void)fputs(",\"outcome\":\"ok\"}\n", out);
}

enum ts_err lab_history_write(const struct lab_history *h, const struct lab_words *words, FILE *out)
{
    for (size_t i = 0; i < h->count; i++) {
        write_op(out, &h->ops[i], words);
    }
    for (size_t i = 0; i < h->content_count; i++) {
        write_content(out, &h->contents[i], words);
    }
    return fflush(out) == 0 && ferror(out) == 0 ? TS_OK : TS_ERR_IO;
}
