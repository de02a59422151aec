/* From fragments and spans to the tables of nodes. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/memory.h"
#include "services/netctl/compile_inner.h"
#include "services/netctl/compile_unit.h"

#define OF NETCTL_OF
#define KEY_ROOM NETCTL_KEY_ROOM
#define POOL_SPARE 4096

static const struct ts_bytes NOTHING = {(const uint8_t *)"", 0};

static struct netctl_table *find_table(struct netctl_compiler *c, const char *node, bool needed)
{
    size_t lo = 0;
    size_t hi = c->count;
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        int order = strcmp(c->tables[mid].node, node);
        if (order == 0) {
            return &c->tables[mid];
        }
        lo = order < 0 ? mid + 1 : lo;
        hi = order < 0 ? hi : mid;
    }
    if (!needed) {
        return NULL;
    }
    if (c->count == c->cap) {
        c->cap = c->cap == 0 ? 16 : 2 * c->cap;
        c->tables = realloc(c->tables, c->cap * sizeof(*c->tables));
        ts_must(c->tables);
    }
    memmove(&c->tables[lo + 1], &c->tables[lo], (c->count - lo) * sizeof(*c->tables));
    c->count++;
    c->tables[lo] = (struct netctl_table){malloc(strlen(node) + 1), netctl_tree_make(c->seed)};
    ts_must(c->tables[lo].node);
    memcpy(c->tables[lo].node, node, strlen(node) + 1);
    return &c->tables[lo];
}

static bool is_same(struct ts_bytes a, struct ts_bytes b)
{
    if (a.data == NULL || b.data == NULL) {
        return a.data == b.data;
    }
    return a.len == b.len && memcmp(a.data, b.data, a.len) == 0;
}

/* data NULL: it goes. Tables share what is the same: `pool` has it once. */
static void set_item(struct netctl_compiler *c, const char *node, const char *key,
                     struct ts_bytes value)
{
    c->work += NETCTL_WORK_ITEM;
    struct netctl_table *t = find_table(c, node, value.data != NULL);
    struct ts_bytes is = t == NULL ? (struct ts_bytes){NULL, 0} : netctl_tree_get(&t->items, key);
    if (t == NULL || is_same(is, value)) {
        return;
    }
    netctl_tree_put(&c->changed, node, NOTHING);
    if (value.data == NULL) {
        (void)netctl_tree_remove(&t->items, key);
        if (!netctl_tree_is_shared(&c->pool, key)) {
            (void)netctl_tree_remove(&c->pool, key);
        }
        return;
    }
    if (!is_same(netctl_tree_get(&c->pool, key), value)) {
        netctl_tree_put(&c->pool, key, value);
    }
    netctl_tree_share(&t->items, &c->pool, key);
}

/* What a diff tells twice or thrice is done once: a node that comes to a span, or leaves it, gets
 * or loses all there (on_member); else a fragment with another span (on_span); else an item. */
struct linking {
    struct netctl_compiler *c;
    const struct netctl_linked *of;
    const struct netctl_linked *other; /* the one before, or behind */
    bool puts;                         /* or takes away */
};

/* One item on all nodes that its fragment's span has before and behind. */
static void set_on_span(const struct linking *l, struct ts_bytes span, const char *key,
                        struct ts_bytes value)
{
    char prefix[NETCTL_FACT_ROOM];
    char but[NETCTL_ID_MAX + 1];
    const char *end = memchr(span.data, OF[0], span.len);
    ts_assert(end != NULL);
    int len = (int)(end - (const char *)span.data);
    (void)snprintf(prefix, sizeof(prefix), "S%.*s" NETCTL_SEP, len, (const char *)span.data);
    (void)snprintf(but, sizeof(but), "%.*s", (int)span.len - len - 1, end + 1);
    struct netctl_item item = {NULL, {NULL, 0}};
    while (netctl_tree_next(&l->of->facts, prefix, &item)) {
        const char *node = item.key + strlen(prefix);
        if (strcmp(node, but) != 0 && netctl_tree_get(&l->other->facts, item.key).data != NULL) {
            set_item(l->c, node, key, l->puts ? value : (struct ts_bytes){NULL, 0});
        }
    }
}

static void on_item(void *arg, const char *key, struct ts_bytes was, struct ts_bytes is)
{
    const struct linking *l = arg;
    netctl_compiler_at(l->c, key);
    (void)was;
    if ((is.data != NULL) != l->puts) {
        return;
    }
    char fragment[KEY_ROOM];
    const char *end = strrchr(key, OF[0]);
    (void)snprintf(fragment, sizeof(fragment), "%.*s", (int)(end - key), key);
    struct ts_bytes span = netctl_tree_get(&l->of->spans, fragment);
    if (span.data != NULL && is_same(span, netctl_tree_get(&l->other->spans, fragment))) {
        set_on_span(l, span, end + 1, is);
    }
}

/* A fragment is for another span. */
static void on_span(void *arg, const char *fragment, struct ts_bytes was, struct ts_bytes is)
{
    const struct linking *l = arg;
    netctl_compiler_at(l->c, fragment);
    struct ts_bytes span = l->puts ? is : was;
    char prefix[KEY_ROOM + 1];
    struct netctl_item item = {NULL, {NULL, 0}};
    (void)snprintf(prefix, sizeof(prefix), "%s" OF, fragment);
    while (span.data != NULL && netctl_tree_next(&l->of->items, prefix, &item)) {
        set_on_span(l, span, item.key + strlen(prefix), item.value);
    }
}

/* A node comes to a span, or leaves it: fragment after fragment, as far as the work goes. */
static void on_member(void *arg, const char *key, struct ts_bytes was, struct ts_bytes is)
{
    const struct linking *l = arg;
    struct netctl_compiler *c = l->c;
    const char *node = strchr(key, NETCTL_SEP[0]);
    char prefix[KEY_ROOM];
    char items[KEY_ROOM];
    struct netctl_item user = {c->inner[0] == '\0' ? NULL : c->inner, {NULL, 0}};
    if (key[0] != 'S' || node == NULL || (was.data != NULL && is.data != NULL) ||
        (is.data != NULL) != l->puts) {
        netctl_compiler_at(c, key);
        return;
    }
    node++;
    (void)snprintf(prefix, sizeof(prefix), "%.*s" OF, (int)(node - key) - 2, key + 1);
    while (netctl_tree_next(&l->of->users, prefix, &user)) {
        if (c->work >= c->limit) {
            return; /* c->at has not moved: it is told again */
        }
        memcpy(c->inner, user.key, strlen(user.key) + 1);
        const char *fragment = user.key + strlen(prefix);
        struct ts_bytes span = netctl_tree_get(&l->of->spans, fragment);
        ts_assert(span.data != NULL); /* it is what makes it a user */
        size_t but = span.len - strlen(prefix);
        if (but == strlen(node) && memcmp(span.data + span.len - but, node, but) == 0) {
            continue;
        }
        struct netctl_item item = {NULL, {NULL, 0}};
        (void)snprintf(items, sizeof(items), "%s" OF, fragment);
        while (netctl_tree_next(&l->of->items, items, &item)) {
            set_item(c, node, item.key + strlen(items),
                     l->puts ? item.value : (struct ts_bytes){NULL, 0});
        }
    }
    c->inner[0] = '\0';
    netctl_compiler_at(c, key);
}

static void drop_empty_tables(struct netctl_compiler *c)
{
    size_t kept = 0;
    for (size_t i = 0; i < c->count; i++) {
        if (c->tables[i].items.count > 0) {
            c->tables[kept++] = c->tables[i];
        } else {
            free(c->tables[i].node);
        }
    }
    c->count = kept;
}

bool netctl_compiler_link(struct netctl_compiler *c)
{
    bool puts = c->phase >= NETCTL_C_ITEMS_COME;
    struct linking l = {c, puts ? &c->is : &c->was, puts ? &c->was : &c->is, puts};
    switch (c->phase) {
    case NETCTL_C_ITEMS_GO:
    case NETCTL_C_ITEMS_COME:
        return netctl_tree_diff_next(&c->was.items, &c->is.items, c->at, on_item, &l);
    case NETCTL_C_SPANS_GO:
    case NETCTL_C_SPANS_COME:
        return netctl_tree_diff_next(&c->was.spans, &c->is.spans, c->at, on_span, &l);
    case NETCTL_C_MEMBERS_GO:
    case NETCTL_C_MEMBERS_COME:
        return netctl_tree_diff_next(&c->was.facts, &c->is.facts, c->at, on_member, &l);
    case NETCTL_C_IDLE:
    case NETCTL_C_OBJECTS:
    case NETCTL_C_NODES:
    case NETCTL_C_NUMBERS:
    case NETCTL_C_MAKE:
        break;
    }
    ts_unreachable();
}

void netctl_compiler_linked(struct netctl_compiler *c)
{
    drop_empty_tables(c);
    /* What older copies of tables have kept in it: tables do without, too. */
    if (c->pool.count > 2 * c->is.items.count + POOL_SPARE) {
        netctl_tree_free(&c->pool);
    }
}

void netctl_compiler_free_tables(struct netctl_compiler *c)
{
    for (size_t i = 0; i < c->count; i++) {
        netctl_tree_free(&c->tables[i].items);
        free(c->tables[i].node);
    }
    free(c->tables);
    netctl_tree_free(&c->pool);
}

/* ---- reads ---- */

const struct netctl_tree *netctl_compiler_table(const struct netctl_compiler *c, const char *node)
{
    const struct netctl_table *t = find_table((struct netctl_compiler *)c, node, false);
    return t == NULL ? NULL : &t->items;
}

const char *netctl_compiler_next(const struct netctl_compiler *c, const char *after)
{
    for (size_t i = 0; i < c->count; i++) {
        if (after == NULL || strcmp(c->tables[i].node, after) > 0) {
            return c->tables[i].node;
        }
    }
    return NULL;
}

const char *netctl_compiler_changed(const struct netctl_compiler *c, const char *after)
{
    return netctl_tree_seek(&c->changed, after == NULL ? "" : after, true).key;
}

/* ---- where something is ---- */

static json_t *parse(struct ts_bytes text)
{
    return text.data == NULL ? NULL
                             : json_loadb((const char *)text.data, text.len, JSON_DECODE_ANY, NULL);
}

/* Adds the nodes of all fragments of a unit. */
static void add_unit(const struct netctl_compiler *c, const char *unit, struct netctl_tree *out)
{
    char prefix[KEY_ROOM];
    struct netctl_item item = {NULL, {NULL, 0}};
    (void)snprintf(prefix, sizeof(prefix), "%s" OF, unit);
    while (netctl_tree_next(&c->is.spans, prefix, &item)) {
        const char *end = memchr(item.value.data, OF[0], item.value.len);
        char span[NETCTL_FACT_ROOM];
        struct netctl_item node = {NULL, {NULL, 0}};
        (void)snprintf(span, sizeof(span), "S%.*s" NETCTL_SEP,
                       (int)(end - (const char *)item.value.data), (const char *)item.value.data);
        size_t but = item.value.len - (size_t)(end + 1 - (const char *)item.value.data);
        while (netctl_tree_next(&c->is.facts, span, &node)) {
            const char *id = node.key + strlen(span);
            if (strlen(id) != but || memcmp(id, end + 1, but) != 0) {
                netctl_tree_put(out, id, NOTHING);
            }
        }
    }
}

static void add_object(const struct netctl_compiler *c, const struct netctl_state *s,
                       const char *path, struct netctl_tree *out)
{
    static const struct {
        enum netctl_number kind;
        const char *units;
    } UNITS[] = {{NETCTL_N_VNI, "A"},
                 {NETCTL_N_GROUP, "GU"},
                 {NETCTL_N_ROUTER, "RQET"},
                 {NETCTL_N_RULE, "L"}};
    enum netctl_number kind;
    char unit[64];
    unsigned long long number = netctl_number_of(&s->intent.numbers, path);
    if (number == 0 || !netctl_number_kind(path, &kind)) {
        return;
    }
    for (size_t i = 0; i < sizeof(UNITS) / sizeof(UNITS[0]); i++) {
        for (const char *l = UNITS[i].units; UNITS[i].kind == kind && *l != '\0'; l++) {
            (void)snprintf(unit, sizeof(unit), "%c%llu", *l, number);
            add_unit(c, unit, out);
        }
    }
    (void)snprintf(unit, sizeof(unit), "m%llu", number);
    struct ts_bytes port = netctl_tree_get(&c->is.facts, unit);
    json_t *is = kind == NETCTL_N_PORT ? parse(port) : NULL;
    const char *node = netctl_unit_text(is, "node");
    if (node != NULL) {
        netctl_tree_put(out, node, NOTHING);
    }
    json_decref(is);
}

struct netctl_tree netctl_compiler_span(const struct netctl_compiler *c,
                                        const struct netctl_state *s, const char *path)
{
    char prefix[NETCTL_PATH_ROOM + 1];
    struct netctl_tree out = netctl_tree_make(c->seed);
    struct netctl_item item = {NULL, {NULL, 0}};
    add_object(c, s, path, &out);
    (void)snprintf(prefix, sizeof(prefix), "%s/", path);
    while (netctl_tree_next(&s->intent.objects, prefix, &item)) {
        add_object(c, s, item.key, &out);
    }
    return out;
}
