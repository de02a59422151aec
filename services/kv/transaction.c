/* MULTI … EXEC as one log entry; WATCH.
 *
 * The front-end keeps a connection's commands until EXEC, and orders them as one payload: its first
 * word is what is watched, each further one a whole payload of a command:
 *
 *   watched: {u64 version, word key} for each key, as WATCH answered it.
 *
 * All or nothing: all words are checked before the first command runs, and nothing runs when a
 * watched key has another version now. */
#include <stdio.h>

#include "services/kv/state.h"

static uint64_t version_of(struct kv_call *c, struct ts_bytes key)
{
    return kv_store_version(&c->kv->store, kv_lookup(c, key), key);
}

/* KV_WATCH_MARK, which begins no reply, and one u64 a key: the front-end keeps them. */
void kv_run_watch(struct kv_call *c)
{
    static const uint8_t mark = KV_WATCH_MARK;
    resp_put_raw(&c->reply, &mark, 1);
    for (uint32_t i = 0; i < kv_words(c); i++) {
        uint8_t bytes[8];
        struct ts_writer w = ts_writer_init(bytes, sizeof(bytes));
        ts_put_u64(&w, version_of(c, kv_word(c)));
        resp_put_raw(&c->reply, bytes, w.len);
    }
}

/* What a local command answered when it was queued; nothing shorter is an answer. */
void kv_run_literal(struct kv_call *c)
{
    struct ts_bytes word = kv_word(c);
    if (!c->within || word.len < 3) {
        kv_payload_error(c, TS_ERR_MALFORMED);
    } else {
        resp_put_raw(&c->reply, word.data, word.len);
    }
}

/* Whether every watched key is as it was. False with *err: malformed. */
static bool unchanged(struct kv_call *c, struct ts_bytes watched, enum ts_err *err)
{
    bool same = true;
    struct ts_reader r = ts_reader_init(watched.data, watched.len);
    while (ts_reader_left(&r) > 0) {
        uint64_t version = ts_get_u64(&r);
        struct ts_bytes key = kv_payload_get_word(&r);
        *err = ts_reader_status(&r);
        if (*err != TS_OK) {
            return false;
        }
        same = version_of(c, key) == version && same;
    }
    return same;
}

/* Whether a transaction may hold this payload. */
static bool may_stand_within(struct ts_bytes payload)
{
    struct kv_payload p;
    const struct kv_command *command = kv_command_by_id(kv_payload_command(payload));
    return kv_payload_decode(&p, payload) == TS_OK && command != NULL && command->run != NULL &&
           command->id != KV_EXEC && command->id != KV_WATCH;
}

/* Counts what a command of `sent` bytes wrote: COPY, SETRANGE and EXPIRE make much of a few. */
static void count_bytes(struct kv_call *c, uint64_t wrote, size_t sent)
{
    uint64_t more = wrote > sent ? wrote - sent : 0;
    c->bytes = c->bytes > more ? c->bytes - more : 0;
}

/* One command; its answer must fit into what is left, short errors apart. A write is not begun when
 * it may not, or when those before have written all that they may. */
static void run_one(struct kv_call *c, struct ts_bytes payload)
{
    struct kv_call one = {.kv = c->kv,
                          .mut = c->mut,
                          .epoch = c->epoch,
                          .now_ms = c->now_ms,
                          .steps = c->steps,
                          .within = true};
    size_t used = c->reply.out->len - c->reply.start;
    size_t most = (size_t)c->kv->limits.reply_max;
    size_t left = used < most * KV_EXEC_REPLIES ? most * KV_EXEC_REPLIES - used : 0;
    const struct kv_command *command = kv_command_by_id(kv_payload_command(payload));
    if ((command->flags & KV_CMD_WRITE) != 0 && left < c->kv->limits.value_max + 64) {
        resp_put_error(&c->reply, "ERR not executed: the transaction's answers are too long");
        return;
    }
    if ((command->flags & KV_CMD_WRITE) != 0 && c->bytes == 0) {
        resp_put_error(&c->reply, "ERR not executed: copying so many bytes in one transaction "
                                  "would hold up everybody: use several");
        return;
    }
    uint64_t before = c->kv->store.written;
    kv_run_payload(&one, payload, c->reply.out, left < most ? left : most);
    c->steps = one.steps;
    count_bytes(c, c->kv->store.written - before, payload.len);
}

void kv_run_exec(struct kv_call *c)
{
    enum ts_err err = TS_OK;
    struct ts_bytes watched = kv_word(c);
    bool go = unchanged(c, watched, &err);
    struct kv_payload words = c->payload;
    uint32_t count = kv_words(c) > 0 ? kv_words(c) - 1 : 0;
    for (uint32_t i = 0; i < count && err == TS_OK; i++) {
        err = may_stand_within(kv_payload_next(&words)) ? TS_OK : TS_ERR_MALFORMED;
    }
    if (err != TS_OK) {
        kv_payload_error(c, err);
        return;
    }
    if (!go) {
        resp_put_null_array(&c->reply);
        return;
    }
    resp_put_array(&c->reply, count);
    for (uint32_t i = 0; i < count; i++) {
        run_one(c, kv_word(c));
    }
}
