#include "tests/service/session_random.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "services/kv/sessions.h"
#include "services/session.h"
#include "tests/service/kv_random.h"

#define SLOTS_NAMED 65536

/* The payload as kv_with_sessions is to see it, in `copy`. */
static struct ts_bytes translate(const void *state, struct ts_bytes payload, uint8_t *copy)
{
    struct session_view v;
    if (!session_msg_is(payload) || payload.len < SESSION_HEAD_BYTES) {
        return payload;
    }
    struct ts_reader r = ts_reader_init(payload.data + 2, payload.len - 2);
    uint64_t slot = ts_get_u64(&r);
    uint64_t connection = ts_get_u64(&r);
    uint64_t number = ts_get_u64(&r);
    if (slot >= SLOTS_NAMED || slot == 0 || !session_view(state, (uint32_t)slot - 1, &v)) {
        return payload;
    }
    memcpy(copy, payload.data, payload.len);
    struct ts_writer w = ts_writer_init(copy + 2, SESSION_HEAD_BYTES - 2);
    ts_put_u64(&w, v.id);
    ts_put_u64(&w, connection == 1 ? v.connection : connection);
    ts_put_u64(&w, copy[1] == SESSION_CLOSE ? 0 : v.acked + number);
    return (struct ts_bytes){copy, payload.len};
}

static void apply(void *state, const struct svc_entry *entry, struct svc_out *out)
{
    struct svc_entry e = *entry;
    uint8_t *copy = malloc(entry->payload.len + 1);
    ts_assert(copy != NULL);
    if (entry->kind == SVC_ENTRY_COMMAND) {
        e.payload = translate(state, entry->payload, copy);
    }
    kv_with_sessions.apply(state, &e, out);
    free(copy);
}

static void *create(const char *limits)
{
    return kv_with_sessions.create(limits);
}

const struct svc session_random_service = {
    .name = "kv with sessions",
    .create = create,
    .destroy = session_destroy,
    .apply = apply,
    .read = session_read,
    .next_tick = session_next_tick,
    .walk_begin = session_walk_begin,
    .walk_next = session_walk_next,
    .walk_end = session_walk_end,
    .load_piece = session_load_piece,
    .load_end = session_load_end,
};

static size_t put_message(const struct session_msg *m, uint8_t *payload, size_t cap)
{
    struct ts_writer w = ts_writer_init(payload, cap);
    session_msg_encode(&w, m);
    ts_assert(!w.failed);
    return w.len;
}

size_t session_random_command(struct ts_prng *p, uint8_t *payload, size_t cap)
{
    static const char *const names[] = {"a\nuser", "b"};
    uint64_t dice = ts_prng_below(p, 100);
    struct session_msg m = {.op = SESSION_REQUEST,
                            .session = 1 + ts_prng_below(p, SESSION_RANDOM_SLOTS + 1)};
    const char *name = names[ts_prng_below(p, 2)];
    m.rest = (struct ts_bytes){(const uint8_t *)name, strlen(name)};
    m.number = ts_prng_below(p, 6);
    m.connection = ts_prng_below(p, 20) == 0 ? 1 + ts_prng_below(p, 4) : 1;
    if (dice < 30) {
        return kv_random_command(p, payload, cap);
    }
    if (dice < 34) {
        return put_message(&(struct session_msg){.op = SESSION_OPEN, .rest = m.rest}, payload, cap);
    }
    if (dice < 40) {
        m.op = SESSION_RESUME;
        m.connection = 0;
    } else if (dice < 44) {
        m.op = SESSION_ACK;
        m.rest.len = 0;
    } else if (dice == 44) {
        m.op = SESSION_CLOSE;
        m.rest.len = 0;
        m.number = 0;
    } else {
        size_t n = kv_random_command(p, payload, cap);
        if (n > cap - SESSION_HEAD_BYTES) {
            return n;
        }
        memmove(payload + SESSION_HEAD_BYTES, payload, n);
        m.rest.len = 0;
        (void)put_message(&m, payload, SESSION_HEAD_BYTES);
        return SESSION_HEAD_BYTES + n;
    }
    size_t len = put_message(&m, payload, cap);
    return ts_prng_below(p, 50) == 0 ? (size_t)ts_prng_below(p, len) : len;
}
