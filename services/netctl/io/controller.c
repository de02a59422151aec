#include "services/netctl/io/controller.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/memory.h"
#include "services/netctl/address.h"
#include "services/netctl/io/controller_internal.h"
#include "services/netctl/south_msg.h"

/* Of all tables of all replicas. */
#define TABLE_SEED 1
#define TREE_SEED 1
/* Of a compile in one turn of the loop. */
#define TURN_US 2000

/* ---- tables ---- */

static void on_changed(void *arg, const char *key, struct ts_bytes was, struct ts_bytes is)
{
    struct controller *c = arg;
    uint8_t bytes[8];
    struct ts_writer w = ts_writer_init(bytes, sizeof(bytes));
    (void)was;
    if (is.data == NULL) {
        (void)netctl_tree_remove(&c->changed, key);
        leaving_deleted(c, key);
        return;
    }
    ts_put_u64(&w, c->compiled.v);
    netctl_tree_put(&c->changed, key, (struct ts_bytes){bytes, w.len});
}

static void note_changes(struct controller *c, struct ts_seq seq)
{
    const struct netctl_tree *objects = &c->config.state->intent.objects;
    bool is_first = c->compiled.v == 0;
    c->compiled = seq;
    if (is_first) {
        c->first = seq; /* nobody knows when these changed */
    } else {
        netctl_tree_diff(&c->objects, objects, on_changed, c);
    }
    netctl_tree_free(&c->objects);
    c->objects = netctl_tree_copy(objects);
}

static void give_table(struct controller *c, const char *node)
{
    const struct netctl_tree *table = netctl_compiler_table(c->compiler, node);
    struct south_event e = {.kind = table == NULL ? SOUTH_E_FORGET : SOUTH_E_TABLE,
                            .name = node,
                            .table = table,
                            .gen = c->compiled};
    if (table == NULL) {
        leaving_acked(c, node, (struct ts_seq){UINT64_MAX}); /* nobody waits for it */
    }
    south_server_step(c->server, &e);
}

static bool differs(const struct controller *c)
{
    const struct netctl_state *s = c->config.state;
    return c->compiled.v == 0 || !ts_hash_eq(c->objects.digest, s->intent.objects.digest) ||
           !ts_hash_eq(c->inventory, s->inventory.nodes.digest);
}

/* ---- inventories ---- */

static json_t *names_of(uint32_t count, struct ts_bytes list)
{
    struct ts_reader r = ts_reader_init(list.data, list.len);
    json_t *names = json_array();
    ts_must(names);
    for (uint32_t i = 0; i < count; i++) {
        struct ts_bytes name = south_name_get(&r);
        json_t *text = json_stringn((const char *)name.data, name.len);
        if (text != NULL) { /* no UTF-8: no port can name it */
            (void)json_array_append_new(names, text);
        }
    }
    return names;
}

/* NULL: the tunnel's end is no address. */
static char *inventory_text(const struct south_inventory *i)
{
    struct netctl_address vtep;
    char address[NETCTL_ADDRESS_TEXT_MAX] = "";
    if (i->vtep.len < sizeof(address)) {
        memcpy(address, i->vtep.data, i->vtep.len);
        address[i->vtep.len] = '\0';
    }
    if (!netctl_address_read(address, &vtep)) {
        return NULL;
    }
    netctl_address_write(&vtep, false, address);
    json_t *object = json_pack("{ss,so,so}", "vtep", address, "vifs", names_of(i->vifs, i->vif),
                               "uplinks", names_of(i->uplinks, i->uplink));
    ts_must(object);
    char *text = json_dumps(object, JSON_COMPACT | JSON_SORT_KEYS);
    ts_must(text);
    json_decref(object);
    return text;
}

/* Whether the state has what the node told. */
static bool is_settled(const struct controller *c, const char *node, struct ts_bytes told)
{
    struct ts_bytes kept = netctl_tree_get(&c->config.state->inventory.nodes, node);
    if (kept.data == NULL) {
        return false;
    }
    json_t *is = json_loadb((const char *)kept.data, kept.len, 0, NULL);
    json_t *wanted = json_loadb((const char *)told.data, told.len, 0, NULL);
    ts_must(is);
    ts_must(wanted);
    (void)json_object_del(is, "told");
    bool same = json_equal(is, wanted) == 1;
    json_decref(is);
    json_decref(wanted);
    return same;
}

static bool is_declared(const struct controller *c, const char *node)
{
    char path[sizeof(NETCTL_NODES) + SOUTH_NODE_MAX];
    (void)snprintf(path, sizeof(path), NETCTL_NODES "%s", node);
    return netctl_tree_get(&c->config.state->intent.objects, path).data != NULL;
}

/* Orders what the state does not have, of nodes that are declared. */
static void settle(struct controller *c)
{
    const struct ts_bytes mark = {(const uint8_t *)"", 0};
    struct netctl_item i = {NULL, {NULL, 0}};
    struct netctl_tree nodes = netctl_tree_copy(&c->unsettled);
    while (c->serves && netctl_tree_next(&nodes, "", &i)) {
        struct ts_bytes told = netctl_tree_get(&c->told, i.key);
        if (netctl_tree_get(&c->ordered, i.key).data != NULL) {
            continue;
        }
        if (told.data == NULL || is_settled(c, i.key, told)) {
            (void)netctl_tree_remove(&c->unsettled, i.key);
        } else if (is_declared(c, i.key) && netctl_tree_get(&c->refused, i.key).data == NULL &&
                   c->config.tells(c->config.arg, i.key, told)) {
            netctl_tree_put(&c->ordered, i.key, mark);
        }
    }
    netctl_tree_free(&nodes);
}

static void take_inventory(struct controller *c, const char *node, struct ts_bytes body)
{
    struct south_msg m;
    if (south_msg_decode(&m, body) != TS_OK) {
        return; /* the core has looked at it */
    }
    char *text = inventory_text(&m.inventory);
    if (text == NULL) {
        return;
    }
    netctl_tree_put(&c->told, node, (struct ts_bytes){(const uint8_t *)text, strlen(text)});
    netctl_tree_put(&c->unsettled, node, (struct ts_bytes){(const uint8_t *)"", 0});
    (void)netctl_tree_remove(&c->refused, node);
    free(text);
}

void controller_ordered(struct controller *c, const char *node, bool done)
{
    (void)netctl_tree_remove(&c->ordered, node);
    if (!done) {
        netctl_tree_put(&c->refused, node, (struct ts_bytes){(const uint8_t *)"", 0});
    }
}

/* ---- the core's effects ---- */

static void tell_realized(struct controller *c, const struct south_effect *e)
{
    struct south_node_state node;
    if (!south_node(south_server_core(c->server), e->name, &node)) {
        return;
    }
    json_t *event =
        json_pack("{ss,sI,sb,sI}", "node", e->name, "generation", (json_int_t)e->gen.v, "realized",
                  node.acked.v >= node.gen.v && node.errors == 0 && !node.more, "errors",
                  (json_int_t)node.errors);
    ts_must(event);
    char *text = json_dumps(event, JSON_COMPACT | JSON_SORT_KEYS);
    ts_must(text);
    c->config.realized(c->config.arg, e->name,
                       (struct ts_bytes){(const uint8_t *)text, strlen(text)});
    free(text);
    json_decref(event);
}

/* What should not be, and mends itself: somebody should know why. */
static void warn(struct controller *c, const struct south_effect *e)
{
    char line[SOUTH_NODE_MAX + 384];
    if (e->kind == SOUTH_OUTDATED) {
        (void)snprintf(line, sizeof(line),
                       "transport node %s obeys epoch %" PRIu64 ", which is higher than this "
                       "primary's %" PRIu64 ": it takes nothing from here. If no other NIC is "
                       "the primary, this group is a new or a restored one: empty the state "
                       "directory of that node's agent",
                       e->name, e->epoch.v, c->epoch.v);
        c->config.warns(c->config.arg, "outdated", line);
        return;
    }
    (void)snprintf(line, sizeof(line),
                   "transport node %s has lost the highest epoch that it knew: until it has stored "
                   "one again it could obey a former primary. Look at its disk, and at its agent's "
                   "log",
                   e->name);
    c->config.warns(c->config.arg, "lost-epoch", line);
}

static void on_effect(void *arg, const struct south_effects *all, const struct south_effect *e)
{
    struct controller *c = arg;
    switch (e->kind) {
    case SOUTH_TELLS:
        take_inventory(c, e->name, south_effect_bytes(all, e));
        return;
    case SOUTH_ACKED:
        leaving_acked(c, e->name, e->gen);
        tell_realized(c, e);
        return;
    case SOUTH_SEND:
    case SOUTH_CLOSE:
    case SOUTH_COUNTS:
        return;
    case SOUTH_OUTDATED:
    case SOUTH_LOST_EPOCH:
        warn(c, e);
        return;
    }
    ts_unreachable();
}

/* ---- the owner ---- */

enum ts_err controller_open(struct controller **out, const struct controller_config *config,
                            struct ts_why *why)
{
    struct controller *c = calloc(1, sizeof(*c));
    ts_must(c);
    c->config = *config;
    const struct south_server_config server = {
        .loop = config->loop,
        .dir = config->dir,
        .limits = {.connections_max = CONTROLLER_NODES_MAX, .nodes_max = CONTROLLER_NODES_MAX},
        .on_effect = on_effect,
        .arg = c,
    };
    enum ts_err err = south_server_open(&c->server, &server, why);
    if (err != TS_OK) {
        free(c);
        return err;
    }
    c->compiler = netctl_compiler_new(TABLE_SEED);
    c->objects = netctl_tree_make(TREE_SEED);
    c->changed = netctl_tree_make(TREE_SEED);
    c->parting = netctl_tree_make(TREE_SEED);
    c->leaving = netctl_tree_make(TREE_SEED);
    c->told = netctl_tree_make(TREE_SEED);
    c->unsettled = netctl_tree_make(TREE_SEED);
    c->ordered = netctl_tree_make(TREE_SEED);
    c->refused = netctl_tree_make(TREE_SEED);
    *out = c;
    return TS_OK;
}

void controller_close(struct controller *c)
{
    south_server_close(c->server);
    controller_forget(c);
    free(c);
}

void controller_forget(struct controller *c)
{
    netctl_compiler_free(c->compiler);
    netctl_tree_free(&c->objects);
    netctl_tree_free(&c->changed);
    netctl_tree_free(&c->parting);
    netctl_tree_free(&c->leaving);
    netctl_tree_free(&c->told);
    netctl_tree_free(&c->unsettled);
    netctl_tree_free(&c->ordered);
    netctl_tree_free(&c->refused);
}

enum ts_err controller_listen(struct controller *c, const struct sockaddr_storage *address,
                              struct ts_why *why)
{
    return south_server_listen(c->server, address, why);
}

struct net_tls_server *controller_tls(const struct controller *c)
{
    return south_server_tls(c->server);
}

void controller_office(struct controller *c, struct ts_epoch epoch, bool serves,
                       const char *primary)
{
    struct south_event e = {
        .kind = SOUTH_E_ROLE, .epoch = epoch, .serves = serves, .primary = primary};
    if (!serves) { /* what was told was told to the primary */
        netctl_tree_free(&c->told);
        netctl_tree_free(&c->unsettled);
        netctl_tree_free(&c->ordered);
        netctl_tree_free(&c->refused);
        c->refused = netctl_tree_make(TREE_SEED);
        c->told = netctl_tree_make(TREE_SEED);
        c->unsettled = netctl_tree_make(TREE_SEED);
        c->ordered = netctl_tree_make(TREE_SEED);
    }
    c->epoch = epoch;
    c->serves = serves;
    south_server_step(c->server, &e);
}

static void begin_compile(struct controller *c, struct ts_seq seq)
{
    bool told_other = !ts_hash_eq(c->inventory, c->config.state->inventory.nodes.digest);
    note_changes(c, seq);
    netctl_tree_free(&c->refused);
    c->refused = netctl_tree_make(TREE_SEED);
    c->inventory = c->config.state->inventory.nodes.digest;
    if (told_other) { /* also when a node was deleted, and is declared again */
        netctl_tree_free(&c->unsettled);
        c->unsettled = netctl_tree_copy(&c->told);
    }
    netctl_compile_begin(c->compiler, c->config.state);
    c->compiles = true;
}

bool controller_applied(struct controller *c, struct ts_seq seq)
{
    if (!c->compiles && seq.v > c->compiled.v && differs(c)) {
        begin_compile(c, seq);
    }
    if (c->compiles && netctl_compile_some(c->compiler, TURN_US)) {
        c->compiles = false;
        leaving_compiled(c);
        for (const char *n = netctl_compiler_changed(c->compiler, NULL); n != NULL;
             n = netctl_compiler_changed(c->compiler, n)) {
            give_table(c, n);
        }
    }
    settle(c);
    return controller_is_behind(c);
}

bool controller_is_behind(const struct controller *c)
{
    return c->compiles || differs(c);
}
