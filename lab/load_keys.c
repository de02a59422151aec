#include "lab/load_keys.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "lab/load_leases.h"
#include "lab/mem.h"

/* ---- the wire ---- */

/* A value is "v<16 hex digits>" and filling, so that a torn or mixed one is recognised. */
static void value_encode(int64_t id, unsigned bytes, uint8_t *out)
{
    char head[24];
    int n = snprintf(head, sizeof head, "v%016" PRIx64 ":", (uint64_t)id);
    memcpy(out, head, (size_t)n);
    for (unsigned i = (unsigned)n; i < bytes; i++) {
        out[i] = (uint8_t)('a' + (uint64_t)(id + i) % 26);
    }
}

static int64_t value_decode(struct ts_bytes in)
{
    if (in.len < LAB_VALUE_MIN || in.len > LAB_VALUE_MAX) {
        return LAB_UNKNOWN_VALUE;
    }
    char digits[17];
    memcpy(digits, in.data + 1, 16);
    digits[16] = '\0';
    char *end;
    unsigned long long id = strtoull(digits, &end, 16);
    if (*end != '\0' || id > INT64_MAX) {
        return LAB_UNKNOWN_VALUE;
    }
    uint8_t expected[LAB_VALUE_MAX];
    value_encode((int64_t)id, (unsigned)in.len, expected);
    return memcmp(expected, in.data, in.len) == 0 ? (int64_t)id : LAB_UNKNOWN_VALUE;
}

void lab_request_make(struct lab_request *r, const char *tag, const struct lab_op *op,
                      unsigned value_bytes, uint8_t *value)
{
    static const char *const verbs[LAB_OP_KINDS] = {
        [LAB_OP_APPEND] = "APPEND", [LAB_OP_LENGTH] = "STRLEN", [LAB_OP_SET] = "SET",
        [LAB_OP_GET] = "GET",       [LAB_OP_INCR] = "INCR",     [LAB_OP_COUNT] = "GET"};
    ts_assert(verbs[op->kind] != NULL);
    snprintf(r->key, sizeof r->key, "%s:%s:%" PRIu32, tag, lab_object_name(lab_op_object(op->kind)),
             op->key);
    r->argv[0] = lab_bytes(verbs[op->kind]);
    r->argv[1] = lab_bytes(r->key);
    r->argc = 2;
    if (op->kind == LAB_OP_APPEND) {
        lab_token_encode((uint32_t)op->value, value);
        r->argv[r->argc++] = (struct ts_bytes){value, LAB_TOKEN_BYTES};
    } else if (op->kind == LAB_OP_SET) {
        value_encode(op->value, value_bytes, value);
        r->argv[r->argc++] = (struct ts_bytes){value, value_bytes};
    }
}

static bool take_read(struct lab_op *op, const struct lab_reply *reply)
{
    if (reply->kind != LAB_REPLY_BULK && reply->kind != LAB_REPLY_NIL) {
        return false;
    }
    bool nil = reply->kind == LAB_REPLY_NIL;
    if (op->kind == LAB_OP_GET) {
        op->value = nil ? LAB_NIL : value_decode(reply->text);
        return true;
    }
    op->value = nil ? LAB_NIL : 0;
    op->result = 0;
    return nil || lab_parse_int(reply->text, &op->result) == TS_OK;
}

bool lab_take_answer(struct lab_op *op, const struct lab_reply *reply)
{
    switch ((enum lab_op_kind)op->kind) {
    case LAB_OP_SET:
        return reply->kind == LAB_REPLY_SIMPLE;
    case LAB_OP_APPEND:
    case LAB_OP_LENGTH:
    case LAB_OP_INCR:
        op->result = reply->integer;
        return reply->kind == LAB_REPLY_INTEGER;
    case LAB_OP_GET:
    case LAB_OP_COUNT:
        return take_read(op, reply);
    case LAB_OP_GRANT:
    case LAB_OP_KEEP:
    case LAB_OP_RELEASE:
        return lab_lease_take_answer(op, reply);
    case LAB_OP_KINDS:
        break;
    }
    ts_unreachable();
}

void lab_client_stats_add(struct lab_client_stats *sum, const struct lab_client_stats *more)
{
    sum->connects += more->connects;
    sum->connects_failed += more->connects_failed;
    sum->redirects += more->redirects;
    sum->refusals += more->refusals;
    sum->closed += more->closed;
    sum->timeouts += more->timeouts;
    sum->malformed += more->malformed;
}

/* ---- reading back ---- */

struct walk {
    struct lab_readback *back;
    uv_loop_t loop;
    uv_timer_t bound;
    struct lab_client *client;
    unsigned step; /* 0 .. 4 × keys: list length, list content, register, counter of each key */
    struct lab_op op;
    bool content; /* this read is a list's content, not an operation of the history */
    enum ts_err err;
    uint8_t value[LAB_VALUE_MAX];
};

static void walk_next(struct walk *walk);

static void walk_end(struct walk *walk, enum ts_err err)
{
    walk->err = err;
    uv_timer_stop(&walk->bound);
    uv_close((uv_handle_t *)&walk->bound, NULL);
    lab_client_close(walk->client);
}

static void bound_cb(uv_timer_t *timer)
{
    walk_end(timer->data, TS_ERR_TIMEOUT);
}

static bool take_content(struct walk *walk, const struct lab_reply *reply)
{
    struct lab_final_list *list = &walk->back->lists[walk->op.key];
    if (reply->kind != LAB_REPLY_BULK && reply->kind != LAB_REPLY_NIL) {
        return false;
    }
    list->key = walk->op.key;
    if (reply->kind == LAB_REPLY_BULK && reply->text.len > 0) {
        uint8_t *copy = lab_realloc(NULL, reply->text.len, 1);
        memcpy(copy, reply->text.data, reply->text.len);
        list->content = (struct ts_bytes){copy, reply->text.len};
    }
    struct lab_content content = {.begin_ns = walk->op.begin_ns,
                                  .end_ns = uv_hrtime(),
                                  .bytes = list->content,
                                  .key = list->key,
                                  .client = walk->back->reader,
                                  .nil = reply->kind == LAB_REPLY_NIL};
    lab_history_add_content(walk->back->history, &content);
    return true;
}

static void walk_cb(void *arg, enum lab_outcome outcome, const struct lab_reply *reply)
{
    struct walk *walk = arg;
    if (outcome != LAB_ACKED) {
        walk_next(walk); /* reads change nothing: the same one again */
        return;
    }
    bool good = walk->content ? take_content(walk, reply) : lab_take_answer(&walk->op, reply);
    if (!good) {
        walk_end(walk, TS_ERR_MALFORMED);
        return;
    }
    if (!walk->content) {
        walk->op.end_ns = uv_hrtime();
        walk->op.outcome = LAB_ACKED;
        lab_history_add(walk->back->history, &walk->op);
    }
    walk->step++;
    walk_next(walk);
}

static void walk_next(struct walk *walk)
{
    struct lab_readback *back = walk->back;
    static const uint8_t kinds[] = {LAB_OP_LENGTH, LAB_OP_LENGTH, LAB_OP_GET, LAB_OP_COUNT};
    if (walk->step == 4 * back->keys) {
        walk_end(walk, TS_OK);
        return;
    }
    walk->op = (struct lab_op){.client = back->reader,
                               .kind = kinds[walk->step % 4],
                               .key = walk->step / 4,
                               .begin_ns = uv_hrtime()};
    walk->content = walk->step % 4 == 1;
    struct lab_request request;
    lab_request_make(&request, back->tag, &walk->op, LAB_VALUE_MIN, walk->value);
    if (walk->content) {
        request.argv[0] = lab_bytes("GET");
    }
    lab_client_send(walk->client, request.argv, request.argc, walk_cb, walk);
}

enum ts_err lab_read_back(struct lab_readback *back)
{
    struct lab_client_config client = {.addrs = back->addrs,
                                       .request_timeout_ms = back->request_timeout_ms,
                                       .give_up_ms = back->timeout_ms,
                                       .trust = back->trust,
                                       .user = back->user,
                                       .password = back->password};
    struct walk *walk = lab_calloc(1, sizeof *walk);
    walk->back = back;
    back->lists = lab_calloc(back->keys, sizeof *back->lists);
    if (uv_loop_init(&walk->loop) != 0) {
        free(walk);
        return TS_ERR_SYSTEM;
    }
    int rc = uv_timer_init(&walk->loop, &walk->bound);
    ts_assert(rc == 0);
    walk->bound.data = walk;
    uv_timer_start(&walk->bound, bound_cb, back->timeout_ms, 0);
    walk->client = lab_client_new(&walk->loop, &client);
    walk_next(walk);
    uv_run(&walk->loop, UV_RUN_DEFAULT);
    rc = uv_loop_close(&walk->loop);
    ts_assert(rc == 0);
    enum ts_err err = walk->err;
    free(walk);
    return err;
}

void lab_readback_free(struct lab_readback *back)
{
    for (unsigned i = 0; back->lists != NULL && i < back->keys; i++) {
        /* Copied by take_content: the only writable origin of these bytes. */
        free((void *)(uintptr_t)back->lists[i].content.data);
    }
    free(back->lists);
    back->lists = NULL;
}
