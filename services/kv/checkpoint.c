#include "services/kv/checkpoint.h"

#include "base/assert.h"
#include "base/hash.h"

static struct ts_hash fold(struct ts_hash h, const struct kv_entry *e)
{
    uint8_t head[6 * 8];
    struct ts_writer w = ts_writer_init(head, sizeof(head));
    ts_put_u64(&w, e->serial);
    ts_put_u64(&w, e->expire_ms);
    ts_put_u64(&w, e->version);
    ts_put_u64(&w, e->space);
    ts_put_u64(&w, e->key_len);
    ts_put_u64(&w, e->value_len);
    ts_assert(ts_writer_status(&w) == TS_OK);
    h = ts_hash_chain(h, head, sizeof(head));
    h = ts_hash_chain(h, e->key, e->key_len);
    return ts_hash_chain(h, e->value, e->value_len);
}

void kv_checkpoint(struct kv_state *kv, struct svc_out *out)
{
    struct kv_store *s = &kv->store;
    struct ts_hash h = {0, 0};
    uint64_t keys = 0;
    uint64_t bytes = 0;
    struct kv_entry *e = s->cursor != NULL ? s->cursor : s->first;
    while (e != NULL && keys < KV_SLICE_KEYS && bytes < KV_SLICE_BYTES) {
        h = fold(h, e);
        bytes += (uint64_t)e->key_len + e->value_len;
        keys++;
        e = e->next;
    }
    s->cursor = e;

    uint8_t data[KV_CHECKPOINT_BYTES];
    struct ts_writer w = ts_writer_init(data, sizeof(data));
    ts_put_hash(&w, h);
    ts_put_u64(&w, s->keys);
    ts_put_u64(&w, s->memory);
    ts_put_u64(&w, s->heap_len);
    ts_put_u64(&w, keys);
    ts_put_u64(&w, kv->time.ns);
    ts_assert(ts_writer_status(&w) == TS_OK && w.len == sizeof(data));
    /* A sink without room for this is the caller's to notice: it finds nothing in it. */
    (void)!svc_out_put(out, data, sizeof(data));
}
