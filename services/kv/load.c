#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "services/kv/piece.h"
#include "services/kv/state.h"
#include "services/kv/walk.h"

/* What came so far, and what the pieces are to add up to. */
struct kv_load {
    struct kv_head head;
    uint32_t pieces;
    bool whole;      /* the last piece was taken */
    uint64_t serial; /* of the last entry */
    size_t len;      /* of the last piece */
};

/* One entry behind all others. What it does not fit to is not what a walk gives. */
static bool take_entry(struct kv_state *kv, const struct kv_piece_entry *in)
{
    struct kv_load *load = kv->load;
    struct kv_store *s = &kv->store;
    bool fits = in->serial > load->serial && in->serial < load->head.next_serial &&
                in->version <= load->head.version && s->keys < load->head.keys;
    if (!fits || kv_store_find_in(s, in->space, in->key) != NULL) {
        return false;
    }
    s->next_serial = in->serial;
    s->version = in->version;
    struct kv_entry *e = kv_store_add_in(s, in->space, in->key);
    kv_store_set_value(s, e, in->value);
    kv_store_set_expiry(s, e, in->expire_ms);
    kv_store_tidy(s);
    load->serial = in->serial;
    return true;
}

/* The entries of a piece, up to its end. A piece ends where a walk's does, so that nothing is taken
 * but what a walk of this state gives. */
static enum ts_err take_entries(struct kv_state *kv, struct ts_reader *r,
                                const struct kv_piece_start *start)
{
    struct kv_load *load = kv->load;
    size_t most = (size_t)kv->limits.piece_bytes;
    bool any = false;
    while (ts_reader_left(r) > 0) {
        size_t from = r->pos;
        struct kv_piece_entry in;
        enum ts_err err = kv_piece_get_entry(r, &in);
        if (err != TS_OK) {
            return err;
        }
        size_t len = r->pos - from;
        bool here = any ? r->pos <= most : start->number > 0 ? load->len + len > most : true;
        if (!here || !take_entry(kv, &in)) {
            return TS_ERR_MALFORMED;
        }
        any = true;
    }
    return any || (start->number == 0 && start->last) ? TS_OK : TS_ERR_MALFORMED;
}

enum ts_err kv_load_piece(void *state, struct ts_bytes piece)
{
    struct kv_state *kv = state;
    struct ts_reader r = ts_reader_init(piece.data, piece.len);
    if (kv->load == NULL) {
        ts_assert(kv->store.next_serial == 1 && kv->store.version == 0); /* fresh from create */
        kv->load = calloc(1, sizeof(*kv->load));
        if (kv->load == NULL) {
            return TS_ERR_NOMEM;
        }
    }
    struct kv_load *load = kv->load;
    struct kv_piece_start start;
    enum ts_err err = kv_piece_get_start(&r, &start);
    if (err == TS_OK && (load->whole || start.number != load->pieces)) {
        err = TS_ERR_MALFORMED;
    }
    if (err == TS_OK && start.number == 0) {
        err = kv_piece_get_head(&r, &load->head);
    }
    if (err == TS_OK) {
        err = take_entries(kv, &r, &start);
    }
    if (err == TS_OK) {
        load->pieces++;
        load->len = piece.len;
        load->whole = start.last;
    }
    return err;
}

/* The state apart from its entries; the checkpoint's cursor stands at an entry that is there. */
static bool take_head(struct kv_state *kv, const struct kv_head *head)
{
    struct kv_store *s = &kv->store;
    struct kv_entry *cursor = NULL;
    if (head->cursor > 0) {
        cursor = kv_order_after(&s->order, head->cursor - 1);
        if (cursor == NULL || cursor->serial != head->cursor) {
            return false;
        }
    }
    if (s->keys != head->keys || s->memory != head->memory || s->heap_len != head->expiries) {
        return false;
    }
    s->cursor = cursor;
    s->next_serial = head->next_serial;
    s->version = head->version;
    memcpy(s->gone, head->gone, sizeof(head->gone));
    kv->time = head->time;
    kv->expired = head->expired;
    kv->hits = head->hits;
    kv->misses = head->misses;
    return true;
}

enum ts_err kv_load_end(void *state)
{
    struct kv_state *kv = state;
    if (kv->load == NULL || !kv->load->whole) {
        return TS_ERR_SHORT;
    }
    if (!take_head(kv, &kv->load->head)) {
        return TS_ERR_MALFORMED;
    }
    free(kv->load);
    kv->load = NULL;
    return TS_OK;
}
