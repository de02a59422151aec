#include <stdlib.h>

#include "base/memory.h"
#include "services/netctl/south_state.h"

void south_send_abort(struct south_node *n)
{
    struct south_sending *g = &n->sending;
    netctl_tree_free(&g->table);
    netctl_tree_free(&g->base);
    free(g->change);
    *g = (struct south_sending){.way = SOUTH_NOTHING};
}

static struct ts_bytes bytes_of(const char *key)
{
    return (struct ts_bytes){(const uint8_t *)key, strlen(key)};
}

static void on_differs(void *arg, const char *key, struct ts_bytes was, struct ts_bytes is)
{
    struct south_sending *g = arg;
    (void)was;
    if (g->changes == g->room) {
        g->room = 2 * g->room + 16;
        g->change = realloc(g->change, g->room * sizeof(*g->change));
        ts_must(g->change);
    }
    struct south_item item = {bytes_of(key), is};
    g->change[g->changes++] = item;
    g->change_bytes += item.key.len + item.value.len;
}

/* The table that the node has, if it is known; NULL: it is not. */
static const struct netctl_tree *base_of(const struct south_node *n)
{
    if (ts_hash_eq(n->table.digest, n->has_digest)) {
        return &n->table;
    }
    for (unsigned i = 0; i < SOUTH_KEPT; i++) {
        const struct netctl_tree *t = &n->kept[i];
        if (t->root != NULL && ts_hash_eq(t->digest, n->has_digest)) {
            return t;
        }
    }
    return NULL;
}

/* Whether a table has to be on its way to this node; then it is. */
static bool begin(struct south_node *n)
{
    struct south_sending *g = &n->sending;
    bool up_to_date =
        n->confirmed && ts_hash_eq(n->has_digest, n->table.digest) && ts_seq_eq(n->has_gen, n->gen);
    if (!n->heard || !n->has_table || up_to_date) {
        return false;
    }
    const struct netctl_tree *base = n->must_sync ? NULL : base_of(n);
    *g = (struct south_sending){
        .way = SOUTH_WHOLE,
        .table = netctl_tree_copy(&n->table),
        .gen = n->gen,
    };
    if (base != NULL) {
        g->base = netctl_tree_copy(base);
        netctl_tree_diff(&g->base, &g->table, on_differs, g);
        g->way = g->change_bytes <= g->table.bytes ? SOUTH_CHANGES : SOUTH_WHOLE;
    }
    g->whole = g->way == SOUTH_WHOLE;
    n->syncs += g->whole;
    n->deltas += !g->whole;
    return true;
}

/* Some changes, or the last of them. */
static void next_changes(struct south_node *n, struct ts_writer *w, struct south_msg *m)
{
    struct south_sending *g = &n->sending;
    *m = (struct south_msg){
        .type = SOUTH_DELTA,
        .base = n->has_gen,
        .gen = g->gen,
        .digest = g->table.digest,
        .part = g->part++,
    };
    while (g->next < g->changes && w->len < SOUTH_PART_BYTES) {
        south_item_put(w, &g->change[g->next++]);
        m->items++;
    }
    m->last = g->next == g->changes;
    g->way = m->last ? SOUTH_AWAITED : g->way;
}

/* SYNC_BEGIN, some items, or SYNC_END. */
static void next_items(struct south_node *n, struct ts_writer *w, struct south_msg *m)
{
    struct south_sending *g = &n->sending;
    *m = (struct south_msg){.type = SOUTH_SYNC_BEGIN, .gen = g->gen};
    if (!g->begun) {
        g->begun = true;
        return;
    }
    while (w->len < SOUTH_PART_BYTES) {
        struct netctl_item i = netctl_tree_seek(&g->table, g->at, true);
        if (i.key == NULL) {
            break;
        }
        south_item_put(w, &(struct south_item){bytes_of(i.key), i.value});
        m->items++;
        (void)snprintf(g->at, sizeof(g->at), "%s", i.key);
    }
    m->part = g->part;
    if (m->items > 0) {
        m->type = SOUTH_SYNC_PART;
        g->part++;
    } else {
        m->type = SOUTH_SYNC_END;
        m->digest = g->table.digest;
        g->way = SOUTH_AWAITED;
    }
}

bool south_send_next(struct south_node *n, uint8_t *room, size_t cap, struct south_msg *m)
{
    struct ts_writer w = ts_writer_init(room, cap);
    ts_assert(cap >= SOUTH_PART_ROOM);
    if (n->sending.way == SOUTH_NOTHING && !begin(n)) {
        return false;
    }
    if (n->sending.way == SOUTH_AWAITED) {
        return false;
    }
    if (n->sending.way == SOUTH_CHANGES) {
        next_changes(n, &w, m);
    } else {
        next_items(n, &w, m);
    }
    ts_assert(!w.failed);
    m->item = (struct ts_bytes){room, w.len};
    return true;
}

bool south_take_errors(struct south_node *n, const struct south_msg *ack)
{
    struct ts_reader r = ts_reader_init(ack->item.data, ack->item.len);
    if (!n->heard && !n->errors_begun) {
        netctl_tree_free(&n->errors); /* the first ACK tells all that there are */
    }
    n->errors_begun = !ack->last;
    for (uint32_t i = 0; i < ack->items; i++) {
        struct south_item item = south_item_get(&r);
        char key[SOUTH_KEY_MAX + 1];
        memcpy(key, item.key.data, item.key.len);
        key[item.key.len] = '\0';
        if (item.value.data == NULL) {
            (void)netctl_tree_remove(&n->errors, key);
        } else {
            netctl_tree_put(&n->errors, key, item.value);
        }
    }
    n->more = ack->more;
    return n->errors.count <= SOUTH_ERRORS_MAX;
}

const char *south_take_ack(struct south_node *n, const struct south_msg *ack)
{
    struct south_sending *g = &n->sending;
    if (!n->heard) {
        n->heard = true;
        n->confirmed = false;
        n->must_sync = ack->want_sync;
        n->has_gen = ack->gen;
        n->has_digest = ack->digest;
        return NULL;
    }
    if (ack->want_sync) {
        bool again = g->way == SOUTH_AWAITED && g->whole;
        south_send_abort(n);
        n->must_sync = true;
        n->has_gen = ack->gen;
        n->has_digest = ack->digest;
        return again ? "another digest behind a whole table" : NULL;
    }
    bool is_sent = g->way == SOUTH_AWAITED && ts_seq_eq(ack->gen, g->gen) &&
                   ts_hash_eq(ack->digest, g->table.digest);
    if (is_sent && ack->applied) {
        n->has_gen = n->acked = ack->gen;
        n->has_digest = n->acked_digest = ack->digest;
        n->confirmed = true;
        n->must_sync = false;
        south_send_abort(n);
        return NULL;
    }
    /* Errors that came or went, or a table that is stored and not yet done. */
    bool is_had = ts_seq_eq(ack->gen, n->has_gen) && ts_hash_eq(ack->digest, n->has_digest);
    return is_sent || is_had ? NULL : "an ACK of what was not sent";
}
