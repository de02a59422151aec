#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/memory.h"
#include "services/agent/ruleset.h"

#define BOUNDARY_MASK 31U
#define RULE_PREFIX "rule/"

bool agent_is_boundary(const char *order)
{
    return (ts_hash_seeded(AGENT_PROTOCOL, order, strlen(order)) & BOUNDARY_MASK) == 0;
}

uint64_t agent_line_hash(const char *line, size_t len)
{
    return ts_hash_seeded(0, line, len);
}

uint64_t agent_chain_hash(const char *text, size_t len)
{
    uint64_t hash = 0;
    for (const char *at = text; at < text + len;) {
        const char *end = memchr(at, '\n', (size_t)(text + len - at));
        size_t line = end == NULL ? (size_t)(text + len - at) : (size_t)(end - at);
        uint64_t one = agent_line_hash(at, line);
        hash = ts_hash_seeded(hash, &one, sizeof(one));
        at += line + 1;
    }
    return hash;
}

void agent_ruleset_want_sets(struct netctl_tree *sets, const struct agent_sets *side)
{
    static const uint8_t nothing[1];
    for (size_t i = 0; i < side->count; i++) {
        netctl_tree_put(sets, side->name[i], (struct ts_bytes){nothing, 0});
    }
}

static void want_port_sets(struct netctl_tree *wanted, const struct agent_sets *s)
{
    static const uint8_t nothing[1];
    for (size_t i = 0; i < s->count; i++) {
        char key[AGENT_SET_NAME_MAX + 8];
        (void)snprintf(key, sizeof(key), AGENT_KEY_PORT_SET "%s", s->name[i]);
        if (netctl_tree_get(wanted, key).data == NULL) {
            netctl_tree_put(wanted, key, (struct ts_bytes){nothing, 0});
        }
    }
}

static void put_chain(struct netctl_tree *wanted, const char *direction, const char *first,
                      const struct agent_text *t)
{
    char key[64];
    (void)snprintf(key, sizeof(key), AGENT_KEY_INET "%s%s", direction, first);
    if (t->len > 0) {
        netctl_tree_put(wanted, key, agent_text_bytes(t));
    }
}

void agent_ruleset_block(const struct netctl_tree *table, const char *first, const char *end,
                         struct netctl_tree *wanted, struct netctl_tree *sets, agent_told *told,
                         void *arg)
{
    struct agent_text out = {0};
    struct agent_text in = {0};
    struct agent_item *item = malloc(sizeof(*item));
    ts_must(item);
    char key[sizeof(RULE_PREFIX) + AGENT_ORDER_DIGITS];
    (void)snprintf(key, sizeof(key), RULE_PREFIX "%s", first);
    struct netctl_item i = netctl_tree_seek(table, key, false);
    while (i.key != NULL && netctl_key_begins(i.key, RULE_PREFIX) &&
           (end == NULL || strcmp(i.key + strlen(RULE_PREFIX), end) < 0)) {
        struct agent_error error;
        enum ts_err err = agent_item_decode(item, i.key, i.value, &error);
        size_t len = out.len;
        if (err == TS_OK && item->rule.out) {
            err = agent_rule_lines(&item->rule, true, &out, &error);
        }
        if (err == TS_OK && item->rule.in) {
            err = agent_rule_lines(&item->rule, false, &in, &error);
        }
        if (err == TS_OK) {
            agent_ruleset_want_sets(sets, &item->rule.sources);
            agent_ruleset_want_sets(sets, &item->rule.destinations);
            want_port_sets(wanted, &item->rule.ports);
        } else {
            out.len = len; /* a rule is realized in both directions or not at all */
            told(arg, i.key, error.text);
        }
        i = netctl_tree_seek(table, i.key, true);
    }
    put_chain(wanted, AGENT_BLOCK_OUT, first, &out);
    put_chain(wanted, AGENT_BLOCK_IN, first, &in);
    agent_text_free(&out);
    agent_text_free(&in);
    free(item);
}

/* ---- address sets ---- */

static int by_prefix(const void *a, const void *b)
{
    const struct agent_address *x = a;
    const struct agent_address *y = b;
    int order = memcmp(x->bytes, y->bytes, sizeof(x->bytes));
    return order != 0 ? order : (int)x->bits - (int)y->bits;
}

struct agent_address *agent_set_cover(const struct netctl_tree *table, const char *set, int family,
                                      size_t *count)
{
    char prefix[AGENT_SET_NAME_MAX + 8];
    size_t room = 16;
    size_t found = 0;
    struct agent_address *list = malloc(room * sizeof(*list));
    ts_must(list);
    (void)snprintf(prefix, sizeof(prefix), "set/%s/", set);
    struct netctl_item i = {NULL, {NULL, 0}};
    while (netctl_tree_next(table, prefix, &i)) {
        struct agent_address a;
        bool good = agent_address_parse(&a, i.key + strlen(prefix), AGENT_ADDRESS_PREFIX) == TS_OK;
        bool is_true = i.value.len == 4 && memcmp(i.value.data, "true", 4) == 0;
        if (!good || !is_true || a.family != family) {
            continue;
        }
        if (found == room) {
            room *= 2;
            list = realloc(list, room * sizeof(*list));
            ts_must(list);
        }
        list[found++] = a;
    }
    qsort(list, found, sizeof(*list), by_prefix);
    *count = 0;
    for (size_t n = 0; n < found; n++) {
        if (*count == 0 || !agent_address_covers(&list[*count - 1], &list[n])) {
            list[(*count)++] = list[n];
        }
    }
    return list;
}
