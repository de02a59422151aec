#include "services/netctl/south.h"

#include <stdlib.h>

#include "base/memory.h"
#include "services/netctl/south_state.h"

/* ---- effects ---- */

struct ts_bytes south_effect_bytes(const struct south_effects *all, const struct south_effect *e)
{
    return (struct ts_bytes){all->bytes + e->at, e->len};
}

void south_effects_clear(struct south_effects *e)
{
    e->count = 0;
    e->len = 0;
}

void south_effects_free(struct south_effects *e)
{
    free(e->effect);
    free(e->bytes);
    *e = (struct south_effects){0};
}

static struct south_effect *add(struct south_effects *out, enum south_effect_kind kind)
{
    if (out->count == out->room) {
        out->room = 2 * out->room + 16;
        out->effect = realloc(out->effect, out->room * sizeof(*out->effect));
        ts_must(out->effect);
    }
    struct south_effect *e = &out->effect[out->count++];
    *e = (struct south_effect){.kind = kind, .at = out->len};
    return e;
}

/* Room for `n` more bytes; what is written is counted by the caller. */
static struct ts_writer room_for(struct south_effects *out, size_t n)
{
    if (out->cap - out->len < n) {
        out->cap = 2 * out->cap + n;
        out->bytes = realloc(out->bytes, out->cap);
        ts_must(out->bytes);
    }
    return ts_writer_init(out->bytes + out->len, n);
}

static struct south_effect *add_of(struct south_effects *out, enum south_effect_kind kind,
                                   const struct south_node *n)
{
    struct south_effect *e = add(out, kind);
    (void)snprintf(e->name, sizeof(e->name), "%s", n->name);
    return e;
}

static void add_bytes(struct south_effects *out, struct south_effect *e, struct ts_bytes bytes)
{
    struct ts_writer w = room_for(out, bytes.len + 1);
    ts_put_bytes(&w, bytes.data, bytes.len);
    e->len = w.len;
    out->len += w.len;
}

/* What is said in one frame without a list. */
#define SHORT_MAX 256

static void send(struct south *s, uint32_t connection, struct south_msg *m,
                 struct south_effects *out)
{
    struct ts_writer w = room_for(out, SHORT_MAX + m->item.len);
    m->epoch = s->epoch;
    south_msg_encode(&w, m);
    ts_assert(!w.failed);
    struct south_effect *e = add(out, SOUTH_SEND);
    e->connection = connection;
    e->len = w.len;
    out->len += w.len;
    s->connection[connection].queued += w.len;
}

/* To a node that has made another connection since it is told that this one does not serve. */
static void send_role(struct south *s, uint32_t connection, struct south_effects *out)
{
    bool serves = s->serves && s->connection[connection].node->connection == connection;
    struct ts_bytes primary = {(const uint8_t *)s->primary, strlen(s->primary)};
    send(s, connection, &(struct south_msg){SOUTH_ROLE, .serves = serves, .primary = primary}, out);
}

/* ---- nodes ---- */

/* Where the node is, or belongs. */
static uint32_t place_of(const struct south *s, const char *name, bool *there)
{
    uint32_t low = 0;
    uint32_t high = s->nodes;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (strcmp(s->node[middle]->name, name) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    *there = low < s->nodes && strcmp(s->node[low]->name, name) == 0;
    return low;
}

static struct south_node *find(const struct south *s, const char *name)
{
    bool there;
    uint32_t at = place_of(s, name, &there);
    return there ? s->node[at] : NULL;
}

/* NULL: there are too many. */
static struct south_node *find_or_make(struct south *s, const char *name)
{
    bool there;
    uint32_t at = place_of(s, name, &there);
    if (there || s->nodes == s->limits.nodes_max) {
        return there ? s->node[at] : NULL;
    }
    struct south_node *n = calloc(1, sizeof(*n));
    ts_must(n);
    (void)snprintf(n->name, sizeof(n->name), "%s", name);
    n->connection = SOUTH_NOBODY;
    memmove(&s->node[at + 1], &s->node[at], (s->nodes - at) * sizeof(struct south_node *));
    s->node[at] = n;
    s->nodes++;
    return n;
}

static void free_node(struct south_node *n)
{
    south_send_abort(n);
    for (unsigned i = 0; i < SOUTH_KEPT; i++) {
        netctl_tree_free(&n->kept[i]);
    }
    netctl_tree_free(&n->table);
    netctl_tree_free(&n->errors);
    netctl_tree_free(&n->refused);
    free(n);
}

/* One that has neither a table nor a connection is forgotten. */
static void drop_if_nothing(struct south *s, struct south_node *n)
{
    bool there;
    uint32_t at = place_of(s, n->name, &there);
    if (n->has_table || n->connection != SOUTH_NOBODY) {
        return;
    }
    ts_assert(there);
    free_node(n);
    s->nodes--;
    memmove(&s->node[at], &s->node[at + 1], (s->nodes - at) * sizeof(struct south_node *));
}

/* ---- connections ---- */

/* Another connection of the node; SOUTH_NOBODY: there is none. */
static uint32_t other_of(const struct south *s, const struct south_node *n)
{
    uint32_t i = 0;
    while (i < s->limits.connections_max && s->connection[i].node != n) {
        i++;
    }
    return i < s->limits.connections_max ? i : SOUTH_NOBODY;
}

static void leave(struct south *s, uint32_t connection, struct south_effects *out)
{
    struct south_connection *c = &s->connection[connection];
    struct south_node *n = c->node;
    free(c->inventory);
    *c = (struct south_connection){.open = false};
    if (n != NULL && n->connection == connection) {
        south_send_abort(n);
        n->heard = false;
        n->connection = other_of(s, n);
        if (n->connection != SOUTH_NOBODY) {
            send_role(s, n->connection, out);
        }
        drop_if_nothing(s, n);
    }
}

static void end(struct south *s, uint32_t connection, const char *why, struct south_effects *out)
{
    struct south_effect *e = add(out, SOUTH_CLOSE);
    e->connection = connection;
    e->text = why;
    leave(s, connection, out);
}

/* What of a table has changed, and does not fit a message: left out, and told. */
struct fitting {
    struct netctl_tree *fits;
    struct netctl_tree *refused;
};

static void on_changed(void *arg, const char *key, struct ts_bytes was, struct ts_bytes is)
{
    static const char WHY[] = "the item is longer than a message of the controller may be";
    struct fitting *f = arg;
    (void)was;
    if (is.data != NULL && is.len > SOUTH_VALUE_MAX) {
        (void)netctl_tree_remove(f->fits, key);
        netctl_tree_put(f->refused, key, (struct ts_bytes){(const uint8_t *)WHY, strlen(WHY)});
    }
}

static void keep(struct south_node *n)
{
    n->kept_next = (n->kept_next + 1) % SOUTH_KEPT;
    netctl_tree_free(&n->kept[n->kept_next]);
    n->kept[n->kept_next] = n->table;
}

static void take_table(struct south *s, const struct south_event *e)
{
    struct south_node *n = find_or_make(s, e->name);
    if (n == NULL) {
        return; /* the limit of nodes is that of what intent can declare */
    }
    if (!n->has_table || n->table.seed != e->table->seed) {
        south_send_abort(n);
        for (unsigned i = 0; i < SOUTH_KEPT; i++) {
            netctl_tree_free(&n->kept[i]);
        }
        netctl_tree_free(&n->table);
        n->table = netctl_tree_make(e->table->seed);
    }
    struct netctl_tree next = netctl_tree_copy(e->table);
    struct netctl_tree was = netctl_tree_copy(e->table);
    struct fitting f = {&next, &n->refused};
    netctl_tree_free(&n->refused);
    netctl_tree_diff(&n->table, &was, on_changed, &f);
    netctl_tree_free(&was);
    if (n->has_table && ts_hash_eq(n->table.digest, next.digest)) {
        netctl_tree_free(&next);
        return;
    }
    keep(n);
    n->table = next;
    n->gen = e->gen;
    n->has_table = true;
}

static void forget(struct south *s, struct south_node *n)
{
    south_send_abort(n);
    for (unsigned i = 0; i < SOUTH_KEPT; i++) {
        netctl_tree_free(&n->kept[i]);
    }
    netctl_tree_free(&n->table);
    netctl_tree_free(&n->refused);
    n->has_table = false;
    n->gen = (struct ts_seq){0};
    drop_if_nothing(s, n);
}

/* ---- office ---- */

static void take_role(struct south *s, const struct south_event *e, struct south_effects *out)
{
    bool served = s->serves;
    const char *primary = e->primary == NULL ? "" : e->primary;
    if (ts_epoch_eq(s->epoch, e->epoch) && s->serves == e->serves &&
        strcmp(s->primary, primary) == 0) {
        return; /* an agent has answered this ROLE, and would not answer it again */
    }
    s->epoch = e->epoch;
    s->serves = e->serves;
    (void)snprintf(s->primary, sizeof(s->primary), "%s", primary);
    for (uint32_t i = 0; i < s->nodes && !served; i++) {
        struct south_node *n = s->node[i];
        n->acked = (struct ts_seq){0};
        n->acked_digest = (struct ts_hash){0, 0};
        netctl_tree_free(&n->errors);
        n->more = false;
    }
    for (uint32_t i = 0; i < s->limits.connections_max; i++) {
        struct south_connection *c = &s->connection[i];
        if (c->open && served && !s->serves) {
            end(s, i, "this controller is primary no longer", out);
        } else if (c->open && c->node != NULL) {
            bool is_newest = c->node->connection == i;
            south_send_abort(c->node);
            c->node->heard = false;
            send_role(s, i, out);
            if (s->serves && !served && is_newest) {
                struct south_effect *t = add_of(out, SOUTH_TELLS, c->node);
                add_bytes(out, t, (struct ts_bytes){c->inventory, c->inventory_len});
            }
        }
    }
}

/* ---- messages ---- */

static void take_inventory(struct south *s, struct south_connection *c, struct ts_bytes body,
                           struct south_effects *out)
{
    c->inventory = realloc(c->inventory, body.len);
    ts_must(c->inventory);
    memcpy(c->inventory, body.data, body.len);
    c->inventory_len = body.len;
    if (s->serves) {
        struct south_effect *e = add_of(out, SOUTH_TELLS, c->node);
        add_bytes(out, e, body);
    }
}

static void on_hello(struct south *s, const struct south_event *e, const struct south_msg *m,
                     struct south_effects *out)
{
    struct south_connection *c = &s->connection[e->connection];
    char name[SOUTH_NODE_MAX + 1];
    (void)snprintf(name, sizeof(name), "%.*s", (int)m->node.len, (const char *)m->node.data);
    if (c->node != NULL || (c->name[0] != '\0' && strcmp(c->name, name) != 0)) {
        end(s, e->connection, c->node != NULL ? "a second HELLO" : "another node's name", out);
        return;
    }
    struct south_node *n = find_or_make(s, name);
    if (n == NULL) {
        end(s, e->connection, "too many nodes", out);
        return;
    }
    /* Its agent may have started anew, or have two of this controller's addresses: the former
     * connection stays, and is not served. */
    uint32_t former = n->connection;
    south_send_abort(n);
    n->connection = e->connection;
    n->heard = false;
    c->node = n;
    if (former != SOUTH_NOBODY) {
        send_role(s, former, out);
    }
    if (m->epoch_lost) {
        (void)add_of(out, SOUTH_LOST_EPOCH, n);
    }
    if (s->serves && ts_epoch_lt(s->epoch, m->epoch)) {
        struct south_effect *o = add_of(out, SOUTH_OUTDATED, n);
        o->epoch = m->epoch;
    }
    take_inventory(s, c, e->body, out);
    send_role(s, e->connection, out);
}

/* The first ACK behind ROLE says what the node has. */
static void on_ack(struct south *s, const struct south_event *e, const struct south_msg *m,
                   struct south_effects *out)
{
    struct south_connection *c = &s->connection[e->connection];
    struct south_node *n = c->node;
    if (!s->serves || !ts_epoch_eq(m->epoch, s->epoch) || n->connection != e->connection) {
        return; /* said before it heard of the newest office */
    }
    if (!south_take_errors(n, m)) {
        end(s, e->connection, "more errors than may be told", out);
        return;
    }
    bool is_first = !n->heard;
    const char *wrong = m->last ? south_take_ack(n, m) : NULL;
    if (wrong != NULL) {
        end(s, e->connection, wrong, out);
    } else if (m->last && m->applied && !is_first) {
        struct south_effect *a = add_of(out, SOUTH_ACKED, n);
        a->gen = m->gen;
        a->digest = m->digest;
    }
}

static void take_message(struct south *s, const struct south_event *e, struct south_effects *out)
{
    struct south_connection *c = &s->connection[e->connection];
    struct south_msg m;
    enum ts_err err = south_msg_decode(&m, e->body);
    if (err != TS_OK) {
        end(s, e->connection, err == TS_ERR_VERSION ? "another version" : "malformed bytes", out);
    } else if (c->node == NULL && m.type != SOUTH_HELLO) {
        end(s, e->connection, "no HELLO", out);
    } else if (m.type == SOUTH_HELLO) {
        on_hello(s, e, &m, out);
    } else if (m.type == SOUTH_ACK) {
        on_ack(s, e, &m, out);
    } else if (m.type == SOUTH_INVENTORY) {
        take_inventory(s, c, e->body, out);
    } else if (m.type == SOUTH_STATS) {
        struct south_effect *t = add_of(out, SOUTH_COUNTS, c->node);
        t->number = m.number;
        add_bytes(out, t, e->body);
    } else if (m.type == SOUTH_PING) {
        send(s, e->connection, &(struct south_msg){SOUTH_PONG, .number = m.number}, out);
    } else if (m.type != SOUTH_PONG) {
        end(s, e->connection, "a controller's message", out);
    }
}

/* ---- the step ---- */

static void look_at_time(struct south *s, struct ts_mono now, struct south_effects *out)
{
    for (uint32_t i = 0; i < s->limits.connections_max; i++) {
        struct south_connection *c = &s->connection[i];
        uint64_t patience = c->node == NULL ? SOUTH_HELLO_NS : SOUTH_SILENCE_NS;
        if (c->open && ts_mono_since(c->heard, now) > patience) {
            end(s, i, c->node == NULL ? "no HELLO in time" : "silent for too long", out);
        }
    }
}

static void ask(struct south *s, const struct south_event *e, struct south_effects *out)
{
    const struct south_node *n = find(s, e->name);
    if (n != NULL && n->connection != SOUTH_NOBODY) {
        send(s, n->connection, &(struct south_msg){SOUTH_ASK, .number = e->number}, out);
    }
}

/* Says on what has to be said to this node, as far as the connection takes it. */
static void pump(struct south *s, struct south_node *n, struct south_effects *out)
{
    if (!s->serves || n->connection == SOUTH_NOBODY) {
        return;
    }
    struct south_msg m;
    uint32_t connection = n->connection;
    struct south_connection *c = &s->connection[connection];
    while (c->queued < SOUTH_WINDOW && south_send_next(n, s->part, sizeof(s->part), &m)) {
        send(s, connection, &m, out);
    }
}

static void pump_connection(struct south *s, uint32_t connection, struct south_effects *out)
{
    struct south_connection *c = &s->connection[connection];
    if (c->open && c->queued > SOUTH_QUEUE_MAX) {
        end(s, connection, "it does not take its bytes", out);
    } else if (c->open && c->node != NULL) {
        pump(s, c->node, out);
    }
}

void south_step(struct south *s, const struct south_event *e, struct south_effects *out)
{
    struct south_connection *c =
        e->connection < s->limits.connections_max ? &s->connection[e->connection] : NULL;
    struct south_node *n = NULL;
    switch (e->kind) {
    case SOUTH_E_ROLE:
        take_role(s, e, out);
        break;
    case SOUTH_E_OPENED:
        ts_assert(c != NULL && !c->open);
        *c = (struct south_connection){.open = true, .heard = e->now};
        (void)snprintf(c->name, sizeof(c->name), "%s", e->name == NULL ? "" : e->name);
        break;
    case SOUTH_E_CLOSED:
        ts_assert(c != NULL && c->open);
        leave(s, e->connection, out);
        break;
    case SOUTH_E_MESSAGE:
        ts_assert(c != NULL && c->open);
        c->heard = e->now;
        take_message(s, e, out);
        pump_connection(s, e->connection, out);
        break;
    case SOUTH_E_SENT:
        ts_assert(c != NULL && c->open && e->bytes <= c->queued);
        c->queued -= e->bytes;
        pump_connection(s, e->connection, out);
        break;
    case SOUTH_E_TABLE:
        take_table(s, e);
        n = find(s, e->name);
        if (n != NULL) {
            pump(s, n, out);
        }
        break;
    case SOUTH_E_FORGET:
        n = find(s, e->name);
        if (n != NULL) {
            forget(s, n);
        }
        break;
    case SOUTH_E_ASK:
        ask(s, e, out);
        break;
    case SOUTH_E_TIME:
        look_at_time(s, e->now, out);
        break;
    }
}

/* ---- making, asking ---- */

struct south *south_new(const struct south_limits *limits)
{
    struct south *s = calloc(1, sizeof(*s));
    struct south_connection *c = calloc(limits->connections_max, sizeof(*c));
    struct south_node **n = calloc((size_t)limits->nodes_max + 1, sizeof(struct south_node *));
    if (s == NULL || c == NULL || n == NULL) {
        free(s);
        free(c);
        free(n);
        return NULL;
    }
    *s = (struct south){.limits = *limits, .connection = c, .node = n};
    return s;
}

void south_free(struct south *s)
{
    if (s == NULL) {
        return;
    }
    for (uint32_t i = 0; i < s->nodes; i++) {
        free_node(s->node[i]);
    }
    for (uint32_t i = 0; i < s->limits.connections_max; i++) {
        free(s->connection[i].inventory);
    }
    free(s->node);
    free(s->connection);
    free(s);
}

bool south_node(const struct south *s, const char *name, struct south_node_state *out)
{
    const struct south_node *n = find(s, name);
    if (n == NULL) {
        return false;
    }
    *out = (struct south_node_state){
        .connected = n->connection != SOUTH_NOBODY,
        .has_table = n->has_table,
        .gen = n->gen,
        .digest = n->table.digest,
        .acked = n->acked,
        .acked_digest = n->acked_digest,
        .errors = n->errors.count + n->refused.count,
        .more = n->more,
        .under_way = n->sending.way != SOUTH_NOTHING,
        .syncs = n->syncs,
        .deltas = n->deltas,
    };
    return true;
}

const char *south_next_node(const struct south *s, const char *name)
{
    bool there;
    uint32_t at = place_of(s, name, &there) + (there ? 1 : 0);
    return at < s->nodes ? s->node[at]->name : NULL;
}

struct ts_bytes south_error(const struct south *s, const char *name, const char *key)
{
    const struct south_node *n = find(s, name);
    struct ts_bytes text = {NULL, 0};
    if (n != NULL) {
        text = netctl_tree_get(&n->refused, key);
        text = text.data == NULL ? netctl_tree_get(&n->errors, key) : text;
    }
    return text;
}

struct netctl_item south_next_error(const struct south *s, const char *name, const char *key)
{
    const struct south_node *n = find(s, name);
    struct netctl_item none = {NULL, {NULL, 0}};
    if (n == NULL) {
        return none;
    }
    struct netctl_item refused = netctl_tree_seek(&n->refused, key, true);
    struct netctl_item error = netctl_tree_seek(&n->errors, key, true);
    bool is_first =
        refused.key != NULL && (error.key == NULL || strcmp(refused.key, error.key) <= 0);
    return is_first ? refused : error;
}

size_t south_connected(const struct south *s)
{
    size_t count = 0;
    for (uint32_t i = 0; i < s->nodes; i++) {
        count += s->node[i]->connection != SOUTH_NOBODY;
    }
    return count;
}

void south_check_invariants(const struct south *s)
{
    for (uint32_t i = 0; i < s->nodes; i++) {
        const struct south_node *n = s->node[i];
        ts_assert(i == 0 || strcmp(s->node[i - 1]->name, n->name) < 0);
        ts_assert(n->has_table || n->connection != SOUTH_NOBODY);
        ts_assert(n->connection == SOUTH_NOBODY || s->connection[n->connection].node == n);
        ts_assert(n->sending.way == SOUTH_NOTHING || (s->serves && n->heard && n->has_table));
        ts_assert(!n->heard || n->connection != SOUTH_NOBODY);
    }
}
