#include "services/netctl/walk.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

struct svc_walk *netctl_walk_begin(void *state)
{
    struct netctl_state *s = state;
    struct svc_walk *w = malloc(sizeof(*w));
    if (w != NULL) {
        *w = (struct svc_walk){
            .of = s, .objects = netctl_tree_copy(&s->intent.objects), .time = s->time};
    }
    return w;
}

static void put(struct svc_out *out, const void *data, size_t n)
{
    enum ts_err err = svc_out_put(out, data, n);
    ts_assert(err == TS_OK); /* there is room for a piece */
}

static void put_number(struct svc_out *out, uint64_t v, size_t width)
{
    uint8_t bytes[8];
    struct ts_writer w = ts_writer_init(bytes, sizeof(bytes));
    ts_put_le(&w, v, width);
    put(out, bytes, width);
}

bool netctl_walk_next(struct svc_walk *walk, struct svc_out *out)
{
    size_t begin = out->len;
    put_number(out, NETCTL_WALK_FORMAT, 1);
    struct netctl_item item = netctl_tree_seek(&walk->objects, walk->at, true);
    while (item.key != NULL && out->len - begin < SVC_PIECE_BYTES) {
        size_t len = strlen(item.key);
        put_number(out, len, 2);
        put(out, item.key, len);
        put_number(out, item.value.len, 4);
        put(out, item.value.data, item.value.len);
        memcpy(walk->at, item.key, len + 1);
        item = netctl_tree_seek(&walk->objects, walk->at, true);
    }
    if (item.key == NULL) {
        put_number(out, 0, 2);
        put_number(out, walk->time.ns, 8);
        put_number(out, walk->objects.digest.lo, 8);
        put_number(out, walk->objects.digest.hi, 8);
    }
    return item.key != NULL;
}

void netctl_walk_end(struct svc_walk *walk)
{
    walk->next = walk->of->ended;
    walk->of->ended = walk;
}

bool netctl_walk_tidy(struct netctl_state *s, size_t most)
{
    struct svc_walk *w = s->ended;
    if (w != NULL && !netctl_tree_free_some(&w->objects, most)) {
        s->ended = w->next;
        free(w);
    }
    return s->ended != NULL;
}

/* ---- the load ---- */

static enum ts_err load_part(struct netctl_state *s, struct ts_reader *r, size_t len)
{
    char path[NETCTL_KEY_MAX + 1];
    struct ts_bytes name = ts_get_bytes(r, len);
    struct ts_bytes text = ts_get_bytes(r, ts_get_u32(r));
    if (r->failed || len > NETCTL_PATH_MAX || memchr(name.data, 0, len) != NULL) {
        return TS_ERR_MALFORMED;
    }
    memcpy(path, name.data, len);
    path[len] = '\0';
    if (strcmp(s->last, path) >= 0 || text.len > NETCTL_VALUE_MAX ||
        !netctl_intent_load(&s->intent, path, text)) {
        return TS_ERR_MALFORMED;
    }
    memcpy(s->last, path, len + 1);
    return TS_OK;
}

static enum ts_err load_last(struct netctl_state *s, struct ts_reader *r)
{
    s->time.ns = ts_get_u64(r);
    struct ts_hash digest = {.lo = ts_get_u64(r)};
    digest.hi = ts_get_u64(r);
    s->loaded = true;
    return ts_reader_finish(r) == TS_OK && ts_hash_eq(digest, s->intent.objects.digest)
               ? TS_OK
               : TS_ERR_MALFORMED;
}

enum ts_err netctl_load_piece(void *state, struct ts_bytes piece)
{
    struct netctl_state *s = state;
    struct ts_reader r = ts_reader_init(piece.data, piece.len);
    if (!s->loading) {
        uint64_t seed = s->intent.objects.seed;
        uint64_t bytes_max = s->intent.bytes_max;
        netctl_intent_free(&s->intent); /* what every new state begins with is in the walk */
        s->intent = netctl_intent_make(seed, bytes_max);
        s->loading = true;
    }
    if (piece.len > 0 && ts_get_u8(&r) != NETCTL_WALK_FORMAT) {
        return TS_ERR_VERSION;
    }
    enum ts_err err = piece.len == 0 || s->loaded ? TS_ERR_MALFORMED : TS_OK;
    while (err == TS_OK && r.pos < r.len) {
        size_t len = ts_get_u16(&r);
        if (r.failed) {
            return TS_ERR_MALFORMED;
        }
        if (len == 0) {
            return load_last(s, &r);
        }
        err = load_part(s, &r, len);
    }
    return err;
}

enum ts_err netctl_load_end(void *state)
{
    struct netctl_state *s = state;
    return !s->loaded ? TS_ERR_SHORT : netctl_intent_loaded(&s->intent) ? TS_OK : TS_ERR_MALFORMED;
}
