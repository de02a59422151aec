/* The clients' history, judged by tests/lincheck: knows nothing of logs, epochs or replicas. */
#include <string.h>

#include "base/assert.h"
#include "services/kv/commands.h"
#include "tests/lincheck/lincheck.h"
#include "tests/sim/sim.h"

/* A RESP2 reply of one value; false for what kv never answers to these commands. */
static bool parse_reply(struct ts_bytes reply, struct lin_result *out)
{
    const uint8_t *end = memchr(reply.data, '\r', reply.len);
    int64_t number = 0;
    if (reply.len < 4 || end == NULL) {
        return false;
    }
    const uint8_t *at = reply.data + 1;
    bool negative = *at == '-';
    for (at += negative; at < end && *at >= '0' && *at <= '9'; at++) {
        number = number * 10 + (*at - '0');
    }
    number = negative ? -number : number;
    switch (reply.data[0]) {
    case '+':
        out->kind = LIN_RESULT_OK;
        return true;
    case ':':
        *out = (struct lin_result){.kind = LIN_RESULT_INTEGER, .integer = number};
        return true;
    case '$':
        if (number < 0) {
            out->kind = LIN_RESULT_NIL;
            return true;
        }
        *out = (struct lin_result){.kind = LIN_RESULT_BYTES, .bytes = {end + 2, (size_t)number}};
        return (size_t)(end + 2 - reply.data) + (size_t)number + 2 == reply.len;
    default:
        return false;
    }
}

static enum lin_command command_of(const struct sim_record *r)
{
    switch (r->command) {
    case KV_SET:
        return LIN_SET;
    case KV_DEL:
        return LIN_DEL;
    case KV_INCR:
        return LIN_INCRBY;
    case KV_APPEND:
        return LIN_APPEND;
    case KV_STRLEN:
        return LIN_STRLEN;
    default:
        ts_assert(r->command == KV_GET);
        return LIN_GET;
    }
}

/* Whether the operation says anything: keys that expire do not keep to the model of lincheck, and
 * what was refused, or only asked and not answered, leaves no trace. A write without an answer may
 * have been executed or not, at any time: that is for lincheck to find out. */
static bool speaks(const struct sim_record *r)
{
    bool command = r->op == 0 || r->op == SESSION_REQUEST;
    return command && r->key != SIM_KEY_EXPIRES && !r->refused && (r->answered || !r->read);
}

static void add(struct sim *s, const struct sim_record *r, uint32_t place)
{
    uint8_t value[SIM_VALUE_MAX];
    struct ts_bytes keys = sim_load_key(r);
    struct ts_bytes values = sim_load_value(r, value);
    struct lin_op op = {.begin = r->begun,
                        .end = r->answered ? r->ended : LIN_NEVER,
                        .client = r->client,
                        .place = place,
                        .command = command_of(r),
                        .outcome = r->answered ? LIN_ANSWERED : LIN_UNKNOWN,
                        .by = r->command == KV_INCR ? 1 : 0,
                        .key_count = 1,
                        .keys = &keys,
                        .values = &values};
    struct ts_bytes reply = {s->load.bytes + r->reply_at, r->reply_len};
    if (r->answered && !parse_reply(reply, &op.result)) {
        sim_fail(s, SIM_CHECK_LINEAR, "operation %u was answered with \"%.*s\"", place,
                 (int)(reply.len < 40 ? reply.len : 40), (const char *)reply.data);
        return;
    }
    enum ts_err err = lin_add(s->history, &op);
    if (err != TS_OK) {
        const char *wrong = lin_op_wrong(&op);
        sim_fail(s, SIM_CHECK_LINEAR, "operation %u cannot be judged: %s", place,
                 wrong == NULL ? ts_err_text(err) : wrong);
    }
}

void sim_history_open(struct sim *s)
{
    struct lin_limits limits = lin_limits_default();
    s->history = lin_new(&limits);
    ts_assert(s->history != NULL);
}

void sim_history_close(struct sim *s)
{
    lin_free(s->history);
    s->history = NULL;
}

static void tell(struct sim *s, size_t part_op)
{
    struct lin_story story;
    if (!s->options.trace || !lin_explain(s->history, part_op, &story)) {
        return;
    }
    for (size_t i = 0; i < story.count; i++) {
        struct lin_op op;
        if (lin_view(s->history, story.op[i], &op)) {
            const struct sim_record *r = &s->load.record[op.place];
            sim_note(s, 0, "  client %u: %s k%u %llu, from %.6f to %.6f s: %.*s", r->client,
                     lin_command_name(op.command), (unsigned)r->key, (unsigned long long)r->id,
                     (double)r->begun / 1e9, (double)r->ended / 1e9, (int)r->reply_len,
                     (const char *)s->load.bytes + r->reply_at);
        }
    }
}

void sim_history_check(struct sim *s)
{
    struct lin_report report;
    lin_clear(s->history);
    for (size_t i = 0; i < s->load.count; i++) {
        if (speaks(&s->load.record[i])) {
            add(s, &s->load.record[i], (uint32_t)i);
        }
    }
    lin_check(s->history, &report);
    s->stats.operations += report.operations;
    s->stats.lin_steps += report.steps;
    if (report.verdict == LIN_LINEARIZABLE) {
        return;
    }
    tell(s, report.part_op);
    struct lin_op op;
    bool named = lin_view(s->history, report.part_op, &op);
    sim_fail(s, SIM_CHECK_LINEAR, "the history of key k%u is %s: %zu operations, %zu unknown",
             named ? (unsigned)s->load.record[op.place].key : 0, lin_verdict_name(report.verdict),
             report.operations, report.unknown);
}
