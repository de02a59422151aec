/* The service contract of kv: one entry in, its reply out. */
#include "services/kv/kv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "services/kv/checkpoint.h"
#include "services/kv/state.h"
#include "services/kv/walk.h"

/* Due keys swept before a command, so that a busy log keeps up with expiry; and by a TICK. */
#define SWEEP_PER_COMMAND 8
#define SWEEP_PER_TICK 8192

static void kv_destroy(void *state)
{
    struct kv_state *kv = state;
    if (kv != NULL) {
        kv_store_free(&kv->store);
        kv_walk_free(kv->walk);
        free(kv->load);
        free(kv);
    }
}

static void *kv_create(const char *limits)
{
    struct kv_state *kv = calloc(1, sizeof(*kv));
    if (kv == NULL) {
        return NULL;
    }
    kv->walk = kv_walk_new();
    if (kv->walk == NULL || !kv_limits_parse(limits, &kv->limits) ||
        !kv_store_init(&kv->store, kv->limits.hash_seed)) {
        kv_destroy(kv);
        return NULL;
    }
    return kv;
}

static uint64_t now_ms(const struct kv_state *kv)
{
    return kv->time.ns / TS_NS_PER_MS;
}

void kv_sweep(struct kv_state *kv, size_t max)
{
    uint64_t now = now_ms(kv);
    for (size_t n = 0; n < max; n++) {
        struct kv_entry *e = kv_store_next_expiry(&kv->store);
        if (e == NULL || e->expire_ms > now) {
            return;
        }
        kv_store_remove(&kv->store, e);
        kv->expired++;
    }
}

/* Whether the command may run here and now; otherwise writes the error. */
static bool admit(struct kv_call *c, size_t payload_len)
{
    char text[128];
    bool composed = c->command->id == KV_EXEC; /* by the front-end: it checks its own words */
    if (!composed && !kv_command_arity_ok(c->command, (size_t)c->payload.words + 1)) {
        snprintf(text, sizeof(text), "ERR wrong number of arguments for '%s' command",
                 c->command->name);
        resp_put_error(&c->reply, text);
        return false;
    }
    if (c->mut == NULL && (c->command->flags & KV_CMD_WRITE) != 0) {
        resp_put_error(&c->reply, "ERR a write cannot be answered as a read");
        return false;
    }
    bool full = c->kv->store.memory + payload_len > c->kv->limits.memory_max;
    if (full && (c->command->flags & KV_CMD_DENYOOM) != 0) {
        resp_put_error(&c->reply, "OOM command not allowed when used memory > 'maxmemory'.");
        return false;
    }
    return true;
}

void kv_run_payload(struct kv_call *c, struct ts_bytes payload, struct svc_out *out,
                    size_t reply_max)
{
    enum ts_err err = kv_payload_decode(&c->payload, payload);
    c->reply = resp_writer_init(out, c->payload.version, reply_max);
    if (err != TS_OK) {
        c->reply.version = RESP_V2;
        kv_payload_error(c, err);
    } else {
        c->command = kv_command_by_id(c->payload.command);
        if (c->command == NULL || c->command->run == NULL) {
            kv_payload_error(c, TS_ERR_NOT_FOUND);
        } else if (admit(c, payload.len)) {
            c->command->run(c);
        }
    }
    if (resp_writer_finish(&c->reply) == TS_ERR_LIMIT) {
        /* Only commands that answer with several values come here, and they read. */
        char text[96];
        snprintf(text, sizeof(text), "ERR the reply exceeds the limit of %zu bytes", reply_max);
        struct resp_writer again = resp_writer_init(out, RESP_V2, sizeof(text) + 3);
        resp_put_error(&again, text);
        (void)!resp_writer_finish(&again);
    }
}

/* A transaction bounds its answers itself: what was executed must be answered. */
static size_t reply_max(const struct kv_state *kv, struct ts_bytes payload)
{
    bool several = kv_payload_command(payload) == KV_EXEC;
    return several ? SIZE_MAX / 4 : (size_t)kv->limits.reply_max;
}

static void kv_apply(void *state, const struct svc_entry *entry, struct svc_out *out)
{
    struct kv_state *kv = state;
    if (entry->time.ns > kv->time.ns) {
        kv->time = entry->time;
    }
    kv->store.version = entry->seq.v;
    kv_store_tidy(&kv->store);
    switch (entry->kind) {
    case SVC_ENTRY_NOOP:
        break;
    case SVC_ENTRY_COMMAND: {
        kv_sweep(kv, SWEEP_PER_COMMAND);
        struct kv_call c = {.kv = kv,
                            .mut = kv,
                            .epoch = entry->epoch,
                            .now_ms = now_ms(kv),
                            .steps = KV_STEPS_MAX,
                            .bytes = KV_EXEC_BYTES_MAX};
        kv_run_payload(&c, entry->payload, out, reply_max(kv, entry->payload));
        break;
    }
    case SVC_ENTRY_TICK:
        kv_sweep(kv, SWEEP_PER_TICK);
        break;
    case SVC_ENTRY_CHECKPOINT:
        kv_checkpoint(kv, out);
        break;
    }
}

/* The first key of each command: nearly all have no other. */
static void kv_expect(const void *state, const struct svc_entry *entries, size_t count)
{
    const struct kv_state *kv = state;
    struct ts_bytes keys[SVC_EXPECT_MAX];
    size_t known = 0;
    for (size_t i = 0; i < count; i++) {
        struct ts_bytes payload = entries[i].payload;
        const struct kv_command *command = kv_command_by_id(kv_payload_command(payload));
        if (entries[i].kind != SVC_ENTRY_COMMAND || command == NULL || command->first_key != 1) {
            continue;
        }
        struct ts_reader r =
            ts_reader_init(payload.data + KV_PAYLOAD_HEAD, payload.len - KV_PAYLOAD_HEAD);
        keys[known] = kv_payload_get_word(&r);
        known += !r.failed;
    }
    kv_store_expect(&kv->store, keys, known);
}

static void kv_read(const void *state, struct ts_bytes command, struct svc_out *out)
{
    const struct kv_state *kv = state;
    struct kv_call c = {.kv = kv, .mut = NULL, .now_ms = now_ms(kv), .steps = KV_STEPS_MAX};
    kv_run_payload(&c, command, out, (size_t)kv->limits.reply_max);
}

static struct ts_ltime kv_next_tick(const void *state)
{
    const struct kv_state *kv = state;
    const struct kv_entry *e = kv_store_next_expiry(&kv->store);
    if (e == NULL || e->expire_ms > UINT64_MAX / TS_NS_PER_MS) {
        return (struct ts_ltime){UINT64_MAX};
    }
    return (struct ts_ltime){e->expire_ms * TS_NS_PER_MS};
}

static bool kv_knows(const void *state, struct ts_bytes command)
{
    (void)state;
    return command.len < KV_PAYLOAD_HEAD || (command.data[0] == KV_PAYLOAD_FORMAT &&
                                             kv_command_by_id(kv_payload_command(command)) != NULL);
}

const struct svc kv_service = {
    .name = "kv",
    .create = kv_create,
    .destroy = kv_destroy,
    .knows = kv_knows,
    .apply = kv_apply,
    .expect = kv_expect,
    .read = kv_read,
    .next_tick = kv_next_tick,
    .walk_begin = kv_walk_begin,
    .walk_next = kv_walk_next,
    .walk_end = kv_walk_end,
    .load_piece = kv_load_piece,
    .load_end = kv_load_end,
};

void kv_stats(const void *state, struct kv_stats *out)
{
    const struct kv_state *kv = state;
    *out = (struct kv_stats){
        .keys = kv->store.keys - kv->store.leases,
        .expires = kv->store.heap_len - kv->store.leases,
        .leases = kv->store.leases,
        .memory = kv->store.memory,
        .memory_max = kv->limits.memory_max,
        .value_max = kv->limits.value_max,
        .expired = kv->expired,
        .hits = kv->hits,
        .misses = kv->misses,
        .time = kv->time,
        .kept = kv->store.keep.bytes,
    };
}

bool kv_flip_bit(void *state, uint64_t n)
{
    struct kv_state *kv = state;
    if (kv->store.keys == 0) {
        return false;
    }
    struct kv_entry *e = kv->store.first;
    for (uint64_t i = n % kv->store.keys; i > 0; i--) {
        e = e->next;
    }
    for (uint64_t i = 0; i < kv->store.keys; i++) {
        if (e->value_len > 0) {
            e->value[0] ^= 1;
            return true;
        }
        e = e->next != NULL ? e->next : kv->store.first;
    }
    return false;
}
