/* What was deleted, and is still on nodes: the object that it was in is not realized until they
 * have let it go. Its span does not say so any more, for it follows from what is there. So it is
 * kept of nodes whose tables changed with a deletion: some more than need be, when other changes
 * were applied with it. */
#include <string.h>

#include "services/netctl/io/controller_internal.h"

/* Between node and path. */
#define SEPARATOR "\x01"
#define KEY_ROOM (SOUTH_NODE_MAX + 1 + NETCTL_PATH_ROOM)
/* Nodes by objects. What does not fit is told of as if nothing had been there. */
#define LEAVING_MAX (1U << 20)

/* The object that is still there, and that this one was in. */
static bool find_left(const struct controller *c, const char *path, char left[NETCTL_PATH_ROOM])
{
    const struct netctl_tree *objects = &c->config.state->intent.objects;
    char at[NETCTL_PATH_ROOM];
    (void)snprintf(at, sizeof(at), "%s", path);
    while (netctl_resource_parent(at, left)) {
        if (netctl_tree_get(objects, left).data != NULL) {
            return true;
        }
        memcpy(at, left, strlen(left) + 1);
    }
    return false;
}

void leaving_deleted(struct controller *c, const char *path)
{
    char left[NETCTL_PATH_ROOM];
    if (find_left(c, path, left)) {
        netctl_tree_put(&c->parting, left, (struct ts_bytes){(const uint8_t *)"", 0});
    }
}

void leaving_compiled(struct controller *c)
{
    uint8_t bytes[8];
    struct ts_writer w = ts_writer_init(bytes, sizeof(bytes));
    struct netctl_item i = {NULL, {NULL, 0}};
    ts_put_u64(&w, c->compiled.v);
    while (netctl_tree_next(&c->parting, "", &i)) {
        for (const char *n = netctl_compiler_changed(c->compiler, NULL);
             n != NULL && c->leaving.count < LEAVING_MAX;
             n = netctl_compiler_changed(c->compiler, n)) {
            char key[KEY_ROOM];
            (void)snprintf(key, sizeof(key), "%s" SEPARATOR "%s", n, i.key);
            netctl_tree_put(&c->leaving, key, (struct ts_bytes){bytes, w.len});
        }
    }
    netctl_tree_free(&c->parting);
    c->parting = netctl_tree_make(c->leaving.seed);
}

static uint64_t seq_of(struct ts_bytes value)
{
    struct ts_reader r = ts_reader_init(value.data, value.len);
    return ts_get_u64(&r);
}

void leaving_acked(struct controller *c, const char *node, struct ts_seq gen)
{
    char prefix[KEY_ROOM];
    struct netctl_item i = {NULL, {NULL, 0}};
    struct netctl_tree all = netctl_tree_copy(&c->leaving);
    (void)snprintf(prefix, sizeof(prefix), "%s" SEPARATOR, node);
    while (netctl_tree_next(&all, prefix, &i)) {
        if (seq_of(i.value) <= gen.v) {
            (void)netctl_tree_remove(&c->leaving, i.key);
        }
    }
    netctl_tree_free(&all);
}

/* Whether one of these keys is of a table that the node has not made true. */
static bool waits(const struct controller *c, const char *from, const char *prefix,
                  const struct south_node_state *node)
{
    struct netctl_item i = netctl_tree_seek(&c->leaving, from, false);
    bool found = false;
    while (!found && i.key != NULL && netctl_key_begins(i.key, prefix)) {
        found = seq_of(i.value) > node->acked.v;
        i = netctl_tree_seek(&c->leaving, i.key, true);
    }
    return found;
}

bool leaving_is_on(const struct controller *c, const char *node, const char *path)
{
    char key[KEY_ROOM + 1];
    struct south_node_state s;
    if (!south_node(south_server_core(c->server), node, &s) || !s.has_table) {
        return false; /* it is no transport node any more */
    }
    int n = snprintf(key, sizeof(key), "%s" SEPARATOR "%s", node, path);
    struct ts_bytes own = netctl_tree_get(&c->leaving, key);
    if (own.data != NULL && seq_of(own) > s.acked.v) {
        return true;
    }
    (void)snprintf(key + n, sizeof(key) - (size_t)n, "/");
    return waits(c, key, key, &s);
}

bool leaving_next(const struct controller *c, char node[SOUTH_NODE_MAX + 1])
{
    char key[KEY_ROOM];
    /* Behind all of this node's: the separator's next one. */
    (void)snprintf(key, sizeof(key), "%s%s", node, node[0] == '\0' ? "" : "\x02");
    struct netctl_item i = netctl_tree_seek(&c->leaving, key, false);
    if (i.key != NULL) {
        (void)snprintf(node, SOUTH_NODE_MAX + 1, "%.*s", (int)strcspn(i.key, SEPARATOR), i.key);
    }
    return i.key != NULL;
}
