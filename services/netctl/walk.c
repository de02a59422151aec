#include "services/netctl/walk.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

struct svc_walk *netctl_walk_begin(void *state)
{
    struct netctl_state *s = state;
    struct svc_walk *w = malloc(sizeof(*w));
    if (w != NULL) {
        *w = (struct svc_walk){.of = s,
                               .tree = {netctl_tree_copy(&s->intent.objects),
                                        netctl_tree_copy(&s->inventory.nodes),
                                        netctl_tree_copy(&s->intent.numbers.given)},
                               .time = s->time,
                               .told = s->inventory.told,
                               .last_rule = s->intent.numbers.last_rule,
                               .last_nat = s->intent.numbers.last_nat};
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

/* The next item of all trees; key NULL: it was the last one. */
static struct netctl_item next_item(struct svc_walk *walk)
{
    struct netctl_item item = {NULL, {NULL, 0}};
    while (walk->which < NETCTL_WALK_TREES) {
        item = netctl_tree_seek(&walk->tree[walk->which], walk->at, true);
        if (item.key != NULL) {
            break;
        }
        walk->which++;
        walk->at[0] = '\0';
    }
    return item;
}

bool netctl_walk_next(struct svc_walk *walk, struct svc_out *out)
{
    size_t begin = out->len;
    put_number(out, NETCTL_WALK_FORMAT, 1);
    struct netctl_item item = next_item(walk);
    while (item.key != NULL && out->len - begin < SVC_PIECE_BYTES) {
        size_t len = strlen(item.key);
        put_number(out, walk->which + 1, 1);
        put_number(out, len, 2);
        put(out, item.key, len);
        put_number(out, item.value.len, 4);
        put(out, item.value.data, item.value.len);
        memcpy(walk->at, item.key, len + 1);
        item = next_item(walk);
    }
    if (item.key == NULL) {
        put_number(out, 0, 1);
        put_number(out, walk->time.ns, 8);
        put_number(out, walk->told, 8);
        put_number(out, walk->last_rule, 4);
        put_number(out, walk->last_nat, 4);
        for (size_t i = 0; i < NETCTL_WALK_TREES; i++) {
            put_number(out, walk->tree[i].digest.lo, 8);
            put_number(out, walk->tree[i].digest.hi, 8);
        }
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
    bool more = false;
    for (size_t i = 0; w != NULL && i < NETCTL_WALK_TREES && !more; i++) {
        more = netctl_tree_free_some(&w->tree[i], most);
    }
    if (w != NULL && !more) {
        s->ended = w->next;
        free(w);
    }
    return s->ended != NULL;
}

/* ---- the load ---- */

static bool load_item(struct netctl_state *s, const char *key, struct ts_bytes value)
{
    const struct netctl_tree *objects = &s->intent.objects;
    switch (s->which) {
    case NETCTL_WALK_OBJECTS:
        return netctl_intent_load(&s->intent, key, value);
    case NETCTL_WALK_NODES:
        return netctl_inventory_load(&s->inventory, objects, key, value);
    default:
        return netctl_numbers_load(&s->intent.numbers, objects, key, value);
    }
}

static enum ts_err load_part(struct netctl_state *s, struct ts_reader *r, unsigned which)
{
    char key[NETCTL_KEY_MAX + 1];
    size_t len = ts_get_u16(r);
    struct ts_bytes name = ts_get_bytes(r, len);
    struct ts_bytes text = ts_get_bytes(r, ts_get_u32(r));
    if (r->failed || len == 0 || len > NETCTL_PATH_MAX || memchr(name.data, 0, len) != NULL ||
        text.len > NETCTL_VALUE_MAX || which < s->which) {
        return TS_ERR_MALFORMED;
    }
    memcpy(key, name.data, len);
    key[len] = '\0';
    if (which > s->which) {
        s->which = which;
        s->last[0] = '\0';
    }
    if (strcmp(s->last, key) >= 0 || !load_item(s, key, text)) {
        return TS_ERR_MALFORMED;
    }
    memcpy(s->last, key, len + 1);
    return TS_OK;
}

static enum ts_err load_last(struct netctl_state *s, struct ts_reader *r)
{
    const struct netctl_tree *const trees[] = {&s->intent.objects, &s->inventory.nodes,
                                               &s->intent.numbers.given};
    s->time.ns = ts_get_u64(r);
    s->inventory.told = ts_get_u64(r);
    s->intent.numbers.last_rule = ts_get_u32(r);
    s->intent.numbers.last_nat = ts_get_u32(r);
    bool good = true;
    for (size_t i = 0; i < NETCTL_WALK_TREES; i++) {
        struct ts_hash digest = {.lo = ts_get_u64(r)};
        digest.hi = ts_get_u64(r);
        good = good && ts_hash_eq(digest, trees[i]->digest);
    }
    s->loaded = true;
    return ts_reader_finish(r) == TS_OK && good ? TS_OK : TS_ERR_MALFORMED;
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
        s->inventory.told = UINT64_MAX; /* until the last piece says it */
        s->loading = true;
    }
    if (piece.len > 0 && ts_get_u8(&r) != NETCTL_WALK_FORMAT) {
        return TS_ERR_VERSION;
    }
    enum ts_err err = piece.len == 0 || s->loaded ? TS_ERR_MALFORMED : TS_OK;
    while (err == TS_OK && r.pos < r.len) {
        unsigned which = ts_get_u8(&r);
        if (which == 0) {
            return load_last(s, &r);
        }
        err = which > NETCTL_WALK_TREES ? TS_ERR_MALFORMED : load_part(s, &r, which - 1);
    }
    return err;
}

enum ts_err netctl_load_end(void *state)
{
    struct netctl_state *s = state;
    if (!s->loaded) {
        return TS_ERR_SHORT;
    }
    bool good = netctl_intent_loaded(&s->intent) &&
                netctl_numbers_loaded(&s->intent.numbers, &s->intent.objects) &&
                netctl_inventory_loaded(&s->inventory);
    return good ? TS_OK : TS_ERR_MALFORMED;
}
