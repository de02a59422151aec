#include "services/netctl/compile.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/memory.h"
#include "services/netctl/compile_inner.h"

#define KEY_ROOM NETCTL_KEY_ROOM

static struct netctl_linked copy_linked(const struct netctl_linked *l)
{
    return (struct netctl_linked){netctl_tree_copy(&l->facts), netctl_tree_copy(&l->items),
                                  netctl_tree_copy(&l->spans), netctl_tree_copy(&l->users)};
}

static void free_linked(struct netctl_linked *l)
{
    netctl_tree_free(&l->facts);
    netctl_tree_free(&l->items);
    netctl_tree_free(&l->spans);
    netctl_tree_free(&l->users);
}

static struct netctl_source source_of(const struct netctl_state *s)
{
    struct netctl_source source = {.objects = netctl_tree_copy(&s->intent.objects),
                                   .nodes = netctl_tree_copy(&s->inventory.nodes)};
    source.numbers.given = netctl_tree_copy(&s->intent.numbers.given);
    source.numbers.owners = netctl_tree_copy(&s->intent.numbers.owners);
    return source;
}

static void free_source(struct netctl_source *source)
{
    netctl_tree_free(&source->objects);
    netctl_tree_free(&source->nodes);
    netctl_tree_free(&source->numbers.given);
    netctl_tree_free(&source->numbers.owners);
}

struct netctl_compiler *netctl_compiler_new(uint64_t seed)
{
    struct netctl_compiler *c = calloc(1, sizeof(*c));
    ts_must(c);
    struct netctl_tree empty = netctl_tree_make(seed);
    c->seed = seed;
    c->at = calloc(2, KEY_ROOM);
    ts_must(c->at);
    c->inner = c->at + KEY_ROOM;
    c->is = c->was = (struct netctl_linked){empty, empty, empty, empty};
    c->units = c->readers = c->dirty = c->changed = c->pool = empty;
    return c;
}

void netctl_compiler_free(struct netctl_compiler *c)
{
    if (c == NULL) {
        return;
    }
    netctl_compiler_free_units(c);
    netctl_compiler_free_tables(c);
    free_linked(&c->is);
    netctl_tree_free(&c->readers);
    netctl_tree_free(&c->dirty);
    netctl_tree_free(&c->changed);
    if (c->phase != NETCTL_C_IDLE) {
        free_linked(&c->was);
        free_source(&c->before);
    }
    free_source(&c->source);
    free(c->at);
    free(c);
}

static void on_object(void *arg, const char *path, struct ts_bytes was, struct ts_bytes is)
{
    char key[KEY_ROOM + 1];
    (void)was;
    (void)is;
    netctl_compiler_at(arg, path);
    (void)snprintf(key, sizeof(key), "o%s", path);
    netctl_compiler_notify(arg, key);
}

static void on_node(void *arg, const char *id, struct ts_bytes was, struct ts_bytes is)
{
    char key[KEY_ROOM + 1];
    (void)was;
    (void)is;
    netctl_compiler_at(arg, id);
    (void)snprintf(key, sizeof(key), "i%s", id);
    netctl_compiler_notify(arg, key);
    (void)snprintf(key, sizeof(key), "N%s", id);
    netctl_compiler_soil(arg, key);
}

static unsigned long long first_number(struct ts_bytes text)
{
    unsigned long long n = 0;
    for (size_t i = 0; i < text.len && text.data[i] != ' '; i++) {
        n = n * 10 + (unsigned)(text.data[i] - '0');
    }
    return n;
}

static void soil_number(struct netctl_compiler *c, const char *letters, unsigned long long number)
{
    char unit[32];
    for (const char *l = letters; *l != '\0' && number != 0; l++) {
        (void)snprintf(unit, sizeof(unit), "%c%llu", *l, number);
        netctl_compiler_soil(c, unit);
    }
}

static void on_number(void *arg, const char *path, struct ts_bytes was, struct ts_bytes is)
{
    static const struct {
        enum netctl_number kind;
        const char *units;
    } UNITS[] = {{NETCTL_N_VNI, "A"},
                 {NETCTL_N_PORT, "P"},
                 {NETCTL_N_GROUP, "GU"},
                 {NETCTL_N_ROUTER, "RQET"},
                 {NETCTL_N_RULE, "L"}};
    char key[KEY_ROOM + 1];
    enum netctl_number kind;
    netctl_compiler_at(arg, path);
    (void)snprintf(key, sizeof(key), "n%s", path);
    netctl_compiler_notify(arg, key);
    for (size_t i = 0; netctl_number_kind(path, &kind) && i < sizeof(UNITS) / sizeof(UNITS[0]);
         i++) {
        if (UNITS[i].kind == kind) {
            soil_number(arg, UNITS[i].units, first_number(was));
            soil_number(arg, UNITS[i].units, first_number(is));
        }
    }
}

/* ---- a compile, in parts ---- */

void netctl_compile_begin(struct netctl_compiler *c, const struct netctl_state *s)
{
    ts_assert(c->phase == NETCTL_C_IDLE);
    struct netctl_source now = source_of(s);
    if (!c->begun) {
        c->source.objects = netctl_tree_make(now.objects.seed);
        c->source.nodes = netctl_tree_make(now.nodes.seed);
        c->source.numbers.given = netctl_tree_make(now.numbers.given.seed);
        c->source.numbers.owners = netctl_tree_make(now.numbers.owners.seed);
    }
    c->begun = true;
    c->before = c->source;
    c->source = now;
    c->was = copy_linked(&c->is);
    c->made = 0;
    netctl_tree_free(&c->changed);
    c->phase = NETCTL_C_OBJECTS;
    c->at[0] = '\0';
}

static bool make_next(struct netctl_compiler *c)
{
    char name[KEY_ROOM];
    struct netctl_item next = netctl_tree_seek(&c->dirty, "", true);
    if (next.key == NULL) {
        return false;
    }
    (void)snprintf(name, sizeof(name), "%s", next.key);
    (void)netctl_tree_remove(&c->dirty, name);
    netctl_compiler_make(c, name + 1);
    return true;
}

/* One part of the phase; false: there is none left. */
static bool do_part(struct netctl_compiler *c)
{
    const struct netctl_source *was = &c->before;
    const struct netctl_source *is = &c->source;
    switch (c->phase) {
    case NETCTL_C_OBJECTS:
        return netctl_tree_diff_next(&was->objects, &is->objects, c->at, on_object, c);
    case NETCTL_C_NODES:
        return netctl_tree_diff_next(&was->nodes, &is->nodes, c->at, on_node, c);
    case NETCTL_C_NUMBERS:
        return netctl_tree_diff_next(&was->numbers.given, &is->numbers.given, c->at, on_number, c);
    case NETCTL_C_MAKE:
        return make_next(c);
    case NETCTL_C_ITEMS_GO:
    case NETCTL_C_SPANS_GO:
    case NETCTL_C_MEMBERS_GO:
    case NETCTL_C_ITEMS_COME:
    case NETCTL_C_SPANS_COME:
    case NETCTL_C_MEMBERS_COME:
        return netctl_compiler_link(c);
    case NETCTL_C_IDLE:
        break;
    }
    ts_unreachable();
}

bool netctl_compile_some(struct netctl_compiler *c, uint64_t us)
{
    c->work = 0;
    c->limit = us;
    while (c->phase != NETCTL_C_IDLE && c->work < c->limit) {
        if (do_part(c)) {
            c->work += c->phase == NETCTL_C_MAKE ? NETCTL_WORK_UNIT : NETCTL_WORK_DIFFERENCE;
        } else if (c->phase < NETCTL_C_MEMBERS_COME) {
            c->phase++;
            c->at[0] = '\0';
        } else {
            netctl_compiler_linked(c);
            free_linked(&c->was);
            free_source(&c->before);
            c->phase = NETCTL_C_IDLE;
        }
    }
    return c->phase == NETCTL_C_IDLE;
}

void netctl_compile(struct netctl_compiler *c, const struct netctl_state *s)
{
    netctl_compile_begin(c, s);
    bool done = netctl_compile_some(c, UINT64_MAX);
    ts_assert(done);
}

size_t netctl_compiler_units(const struct netctl_compiler *c)
{
    return c->made;
}
