#include "services/kv/walk.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "services/kv/piece.h"
#include "services/kv/state.h"

struct kv_walk {
    struct kv_state *kv; /* borrowed; its store keeps what the walk needs */
    struct kv_head head;
    uint32_t pieces; /* given so far */
    bool done;
};

struct kv_walk *kv_walk_new(void)
{
    return calloc(1, sizeof(struct kv_walk));
}

void kv_walk_free(struct kv_walk *walk)
{
    free(walk);
}

struct svc_walk *kv_walk_begin(void *state)
{
    struct kv_state *kv = state;
    struct kv_walk *walk = kv->walk;
    const struct kv_store *s = &kv->store;
    walk->kv = kv;
    walk->pieces = 0;
    walk->done = false;
    struct kv_head *head = &walk->head;
    head->version = s->version;
    head->time = kv->time;
    head->expired = kv->expired;
    head->hits = kv->hits;
    head->misses = kv->misses;
    head->next_serial = s->next_serial;
    head->cursor = s->cursor != NULL ? s->cursor->serial : 0;
    head->keys = s->keys;
    head->memory = s->memory;
    head->expiries = s->heap_len;
    memcpy(head->gone, s->gone, sizeof(head->gone));
    kv_keep_begin(&kv->store);
    return (struct svc_walk *)walk;
}

bool kv_walk_next(struct svc_walk *opaque, struct svc_out *out)
{
    struct kv_walk *walk = (struct kv_walk *)opaque;
    struct kv_store *s = &walk->kv->store;
    size_t start = out->len;
    size_t most = (size_t)walk->kv->limits.piece_bytes;
    ts_assert(!walk->done);
    kv_piece_put_start(out, walk->pieces);
    if (walk->pieces == 0) {
        kv_piece_put_head(out, &walk->head);
    }
    walk->pieces++;
    const struct kv_entry *e = kv_keep_peek(s);
    for (bool first = true; e != NULL; first = false) {
        if (!first && out->len - start + kv_piece_entry_size(e) > most) {
            return true;
        }
        kv_piece_put_entry(out, e);
        kv_keep_next(s);
        e = kv_keep_peek(s);
    }
    walk->done = true;
    kv_piece_mark_last(out, start);
    return false;
}

void kv_walk_end(struct svc_walk *opaque)
{
    struct kv_walk *walk = (struct kv_walk *)opaque;
    kv_keep_end(&walk->kv->store);
}
