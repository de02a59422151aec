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

struct svc_walk *kv_walk_begin(void *state)
{
    struct kv_state *kv = state;
    struct kv_walk *walk = calloc(1, sizeof(*walk));
    if (walk == NULL) {
        return NULL;
    }
    const struct kv_store *s = &kv->store;
    walk->kv = kv;
    walk->head = (struct kv_head){
        .version = s->version,
        .time = kv->time,
        .expired = kv->expired,
        .hits = kv->hits,
        .misses = kv->misses,
        .next_serial = s->next_serial,
        .cursor = s->cursor != NULL ? s->cursor->serial : 0,
        .keys = s->keys,
        .memory = s->memory,
        .expiries = s->heap_len,
    };
    memcpy(walk->head.gone, s->gone, sizeof(walk->head.gone));
    kv_keep_begin(&kv->store);
    return (struct svc_walk *)walk;
}

bool kv_walk_next(struct svc_walk *opaque, struct svc_out *out)
{
    struct kv_walk *walk = (struct kv_walk *)opaque;
    struct kv_store *s = &walk->kv->store;
    size_t start = out->len;
    ts_assert(!walk->done);
    kv_piece_put_start(out, walk->pieces);
    if (walk->pieces == 0) {
        kv_piece_put_head(out, &walk->head);
    }
    walk->pieces++;
    const struct kv_entry *e = kv_keep_peek(s);
    for (bool first = true; e != NULL; first = false) {
        if (!first && out->len - start + kv_piece_entry_size(e) > SVC_PIECE_BYTES) {
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
    free(walk);
}
