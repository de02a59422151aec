/* Units: what they read and give, and how one is made anew. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/memory.h"
#include "services/netctl/compile_inner.h"
#include "services/netctl/compile_unit.h"

#define OF NETCTL_OF
#define KEY_ROOM NETCTL_KEY_ROOM

static const struct ts_bytes NOTHING = {(const uint8_t *)"", 0};

static struct ts_bytes bytes_of(const char *text)
{
    return (struct ts_bytes){(const uint8_t *)text, strlen(text)};
}

/* ---- which units there are ---- */

struct kind {
    char letter;
    char level;
    netctl_unit_make *make;
};

static const struct kind KINDS[] = {
    {'N', '0', netctl_make_node},         {'R', '0', netctl_make_router},
    {'V', '1', netctl_make_vif},          {'A', '1', netctl_make_segment},
    {'E', '1', netctl_make_edge},         {'L', '1', netctl_make_rule},
    {'P', '2', netctl_make_port},         {'B', '3', netctl_make_segment_nodes},
    {'Z', '3', netctl_make_segment_node}, {'G', '3', netctl_make_group},
    {'D', '4', netctl_make_router_node},  {'Y', '4', netctl_make_port_node},
    {'K', '4', netctl_make_scope},        {'Q', '4', netctl_make_routes},
    {'T', '5', netctl_make_transit},      {'U', '5', netctl_make_group_span},
};

static const struct kind *kind_of(char letter)
{
    size_t i = 0;
    while (KINDS[i].letter != letter) {
        i++;
        ts_assert(i < sizeof(KINDS) / sizeof(KINDS[0]));
    }
    return &KINDS[i];
}

void netctl_compiler_soil(struct netctl_compiler *c, const char *unit)
{
    char key[KEY_ROOM + 8];
    (void)snprintf(key, sizeof(key), "%c%s", kind_of(unit[0])->level, unit);
    netctl_tree_put(&c->dirty, key, NOTHING);
}

/* The unit that is there because this fact is: of its first parts. */
static void soil_follower(struct netctl_compiler *c, const char *fact)
{
    static const struct {
        char fact;
        char unit;
        int parts;
    } FOLLOWERS[] = {{'h', 'V', 1}, {'p', 'B', 1}, {'p', 'Z', 2}, {'n', 'D', 2},
                     {'y', 'Y', 1}, {'j', 'K', 1}, {'w', 'U', 1}, {'e', 'T', 1}};
    for (size_t i = 0; i < sizeof(FOLLOWERS) / sizeof(FOLLOWERS[0]); i++) {
        if (FOLLOWERS[i].fact == fact[0]) {
            char unit[NETCTL_FACT_ROOM];
            const char *end = fact + 1 + strcspn(fact + 1, NETCTL_SEP);
            if (FOLLOWERS[i].parts == 2) {
                end += 1 + strcspn(end + 1, NETCTL_SEP);
            }
            (void)snprintf(unit, sizeof(unit), "%c%.*s", FOLLOWERS[i].unit, (int)(end - fact - 1),
                           fact + 1);
            netctl_compiler_soil(c, unit);
        }
    }
}

static void soil_readers(struct netctl_compiler *c, const char *key)
{
    char prefix[KEY_ROOM + 16];
    struct netctl_item item = {NULL, {NULL, 0}};
    (void)snprintf(prefix, sizeof(prefix), "%s" OF, key);
    while (netctl_tree_next(&c->readers, prefix, &item)) {
        netctl_compiler_soil(c, item.key + strlen(prefix));
    }
}

/* What this key stands for has changed. */
void netctl_compiler_notify(struct netctl_compiler *c, const char *key)
{
    char prefix[KEY_ROOM + 8];
    soil_readers(c, key);
    for (size_t i = 1; key[i] != '\0'; i++) {
        if (key[i] == '/' || key[i] == NETCTL_SEP[0]) {
            (void)snprintf(prefix, sizeof(prefix), "*%.*s", (int)i + 1, key);
            soil_readers(c, prefix);
        }
    }
}

/* ---- what a unit reads ---- */

static void reads(struct netctl_compiler *c, const char *what, const char *key)
{
    char text[KEY_ROOM];
    int n = snprintf(text, sizeof(text), "%s%s", what, key);
    ts_assert(n > 0 && (size_t)n < sizeof(text));
    netctl_tree_put(&c->now.reads, text, NOTHING);
}

static json_t *parse(struct ts_bytes text)
{
    json_t *v = text.data == NULL
                    ? NULL
                    : json_loadb((const char *)text.data, text.len, JSON_DECODE_ANY, NULL);
    ts_assert(text.data == NULL || v != NULL); /* it was JSON when it came in */
    return v;
}

json_t *netctl_unit_object(struct netctl_compiler *c, const char *path)
{
    reads(c, "o", path);
    return parse(netctl_tree_get(&c->source.objects, path));
}

bool netctl_unit_objects(struct netctl_compiler *c, const char *prefix, struct netctl_item *item)
{
    reads(c, "*o", prefix);
    return netctl_tree_next(&c->source.objects, prefix, item);
}

json_t *netctl_unit_node(struct netctl_compiler *c, const char *id)
{
    reads(c, "i", id);
    return parse(netctl_tree_get(&c->source.nodes, id));
}

uint64_t netctl_unit_number(struct netctl_compiler *c, const char *path)
{
    reads(c, "n", path);
    return netctl_number_of(&c->source.numbers, path);
}

uint64_t netctl_unit_second(struct netctl_compiler *c, const char *path)
{
    reads(c, "n", path);
    return netctl_number_second(&c->source.numbers, path);
}

bool netctl_unit_owner(struct netctl_compiler *c, enum netctl_number kind, const char *number,
                       char path[NETCTL_PATH_ROOM])
{
    return netctl_number_owner(&c->source.numbers, kind, strtoull(number, NULL, 10), path);
}

#define FORMAT(out, format) \
    do { \
        va_list args; \
        va_start(args, format); \
        int format_len = vsnprintf(out, sizeof(out), format, args); \
        va_end(args); \
        ts_assert(format_len > 0 && (size_t)format_len < sizeof(out)); \
    } while (0)

struct ts_bytes netctl_unit_fact(struct netctl_compiler *c, const char *format, ...)
{
    char key[NETCTL_FACT_ROOM];
    FORMAT(key, format);
    reads(c, "f", key);
    return netctl_tree_get(&c->is.facts, key);
}

json_t *netctl_unit_fact_json(struct netctl_compiler *c, const char *format, ...)
{
    char key[NETCTL_FACT_ROOM];
    FORMAT(key, format);
    reads(c, "f", key);
    return parse(netctl_tree_get(&c->is.facts, key));
}

bool netctl_unit_facts(struct netctl_compiler *c, const char *prefix, struct netctl_item *item)
{
    reads(c, "*f", prefix);
    return netctl_tree_next(&c->is.facts, prefix, item);
}

bool netctl_unit_parts(struct netctl_compiler *c, const char *prefix, char part[NETCTL_FACT_ROOM])
{
    char from[2 * NETCTL_FACT_ROOM];
    size_t len = strlen(prefix);
    reads(c, "*f", prefix);
    /* '\x02' is the character behind NETCTL_SEP: behind all that begin with this part. */
    (void)snprintf(from, sizeof(from), "%s%s%s", prefix, part, part[0] == '\0' ? "" : "\x02");
    struct netctl_item item = netctl_tree_seek(&c->is.facts, from, part[0] != '\0');
    if (item.key == NULL || !netctl_key_begins(item.key, prefix)) {
        return false;
    }
    (void)snprintf(part, NETCTL_FACT_ROOM, "%.*s", (int)strcspn(item.key + len, NETCTL_SEP),
                   item.key + len);
    return true;
}

/* ---- what a unit gives ---- */

static void give(struct netctl_compiler *c, char what, const char *key, struct ts_bytes value)
{
    char text[KEY_ROOM];
    int n = snprintf(text, sizeof(text), "%c%s", what, key);
    ts_assert(n > 0 && (size_t)n < sizeof(text));
    netctl_tree_put(&c->now.gives, text, value);
}

static void give_json(struct netctl_compiler *c, char what, const char *key, json_t *value)
{
    ts_must(value);
    char *text = json_dumps(value, JSON_COMPACT | JSON_SORT_KEYS | JSON_ENCODE_ANY);
    ts_must(text);
    give(c, what, key, bytes_of(text));
    free(text);
    json_decref(value);
}

void netctl_unit_put(struct netctl_compiler *c, const char *value, const char *format, ...)
{
    char key[NETCTL_FACT_ROOM];
    FORMAT(key, format);
    give(c, 'f', key, bytes_of(value));
}

void netctl_unit_put_json(struct netctl_compiler *c, json_t *value, const char *format, ...)
{
    char key[NETCTL_FACT_ROOM];
    FORMAT(key, format);
    give_json(c, 'f', key, value);
}

void netctl_unit_span(struct netctl_compiler *c, const char *slot, const char *span,
                      const char *but)
{
    char value[2 * NETCTL_FACT_ROOM];
    (void)snprintf(value, sizeof(value), "%s" OF "%s", span, but == NULL ? "" : but);
    give(c, 'c', slot, bytes_of(value));
}

void netctl_unit_item(struct netctl_compiler *c, const char *slot, json_t *value,
                      const char *format, ...)
{
    char item[NETCTL_FACT_ROOM];
    char key[2 * NETCTL_FACT_ROOM];
    FORMAT(item, format);
    (void)snprintf(key, sizeof(key), "%s" OF "%s", slot, item);
    give_json(c, 'd', key, value);
}

/* ---- to make a unit anew ---- */

struct making {
    struct netctl_compiler *c;
    const char *unit;
};

static void on_read(void *arg, const char *key, struct ts_bytes was, struct ts_bytes is)
{
    const struct making *m = arg;
    char reader[KEY_ROOM];
    (void)was;
    int n = snprintf(reader, sizeof(reader), "%s" OF "%s", key, m->unit);
    ts_assert(n > 0 && (size_t)n < sizeof(reader));
    if (is.data == NULL) {
        (void)netctl_tree_remove(&m->c->readers, reader);
    } else {
        netctl_tree_put(&m->c->readers, reader, NOTHING);
    }
}

static void use(struct netctl_compiler *c, const char *fragment, struct ts_bytes span, bool comes)
{
    char key[KEY_ROOM];
    if (span.data != NULL) {
        const char *end = memchr(span.data, OF[0], span.len);
        ts_assert(end != NULL);
        (void)snprintf(key, sizeof(key), "%.*s" OF "%s", (int)(end - (const char *)span.data),
                       (const char *)span.data, fragment);
        netctl_compiler_set(&c->is.users, key, comes ? NOTHING : (struct ts_bytes){NULL, 0});
    }
}

static void on_given(void *arg, const char *key, struct ts_bytes was, struct ts_bytes is)
{
    const struct making *m = arg;
    struct netctl_compiler *c = m->c;
    char full[KEY_ROOM];
    if (key[0] == 'f') {
        netctl_compiler_set(&c->is.facts, key + 1, is);
        netctl_compiler_notify(c, key);
        soil_follower(c, key + 1);
        return;
    }
    int n = snprintf(full, sizeof(full), "%s" OF "%s", m->unit, key + 1);
    ts_assert(n > 0 && (size_t)n < sizeof(full));
    if (key[0] == 'd') {
        netctl_compiler_set(&c->is.items, full, is);
    } else {
        netctl_compiler_set(&c->is.spans, full, is);
        use(c, full, was, false);
        use(c, full, is, true);
    }
}

static struct netctl_unit *find_unit(const struct netctl_compiler *c, const char *name)
{
    struct netctl_unit *u = NULL;
    struct ts_bytes at = netctl_tree_get(&c->units, name);
    if (at.data != NULL) {
        memcpy(&u, at.data, sizeof(u));
    }
    return u;
}

void netctl_compiler_make(struct netctl_compiler *c, const char *name)
{
    struct netctl_unit *u = find_unit(c, name);
    struct netctl_unit none = {netctl_tree_make(c->seed), netctl_tree_make(c->seed)};
    struct making m = {c, name};
    c->now = none;
    kind_of(name[0])->make(c, name + 1);
    c->made++;
    struct netctl_unit is = c->now;
    struct netctl_unit was = u == NULL ? none : *u;
    netctl_tree_diff(&was.reads, &is.reads, on_read, &m);
    netctl_tree_diff(&was.gives, &is.gives, on_given, &m);
    netctl_tree_free(&was.reads);
    netctl_tree_free(&was.gives);
    if (is.reads.count + is.gives.count == 0) {
        (void)netctl_tree_remove(&c->units, name);
        free(u);
        return;
    }
    if (u == NULL) {
        u = malloc(sizeof(*u));
        ts_must(u);
        netctl_tree_put(&c->units, name, (struct ts_bytes){(const uint8_t *)&u, sizeof(u)});
    }
    *u = is;
}

void netctl_compiler_free_units(struct netctl_compiler *c)
{
    struct netctl_item item = {NULL, {NULL, 0}};
    while (netctl_tree_next(&c->units, "", &item)) {
        struct netctl_unit *u = find_unit(c, item.key);
        netctl_tree_free(&u->reads);
        netctl_tree_free(&u->gives);
        free(u);
    }
    netctl_tree_free(&c->units);
}
