#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "services/agent/ruleset_heads.h"

/* ---- rules ---- */

/* One router's, in the order of its rules. */
struct lists {
    uint32_t router;
    bool here; /* its uplink is */
    struct agent_text out;
    struct agent_text in;
};

static void put_lists(struct lists *l, struct netctl_tree *wanted)
{
    char key[32];
    (void)snprintf(key, sizeof(key), AGENT_KEY_INET AGENT_GATEWAY_OUT "%u", l->router);
    if (l->out.len > 0) {
        netctl_tree_put(wanted, key, agent_text_bytes(&l->out));
    }
    (void)snprintf(key, sizeof(key), AGENT_KEY_INET AGENT_GATEWAY_IN "%u", l->router);
    if (l->in.len > 0) {
        netctl_tree_put(wanted, key, agent_text_bytes(&l->in));
    }
    agent_text_clear(&l->out);
    agent_text_clear(&l->in);
}

/* Both directions or none. */
static enum ts_err put_rule(struct lists *l, const struct agent_rule *r, struct agent_error *error)
{
    size_t len = l->out.len;
    enum ts_err err = r->out ? agent_rule_lines(r, true, &l->out, error) : TS_OK;
    if (err == TS_OK && r->in) {
        err = agent_rule_lines(r, false, &l->in, error);
    }
    if (err != TS_OK) {
        l->out.len = len;
    }
    return err;
}

void agent_ruleset_gateways(const struct netctl_tree *table, const struct agent_place *place,
                            struct netctl_tree *wanted, struct netctl_tree *sets, agent_told *told,
                            void *arg)
{
    struct lists l = {0};
    struct agent_error error;
    struct agent_item *item = malloc(2 * sizeof(*item));
    ts_must(item);
    struct netctl_item i = {NULL, {NULL, 0}};
    while (netctl_tree_next(table, "gateway-rule/", &i)) {
        if (agent_item_decode(item, i.key, i.value, &error) != TS_OK) {
            continue; /* told by who decodes all items */
        }
        const struct agent_rule *r = &item->rule;
        if (r->router != l.router) {
            char name[AGENT_NAME_MAX];
            put_lists(&l, wanted);
            l.router = r->router;
            agent_ruleset_uplink(table, place, l.router, item + 1, name);
            l.here = name[0] != '\0';
        }
        if (!l.here) {
            told(arg, i.key, "its router has no uplink here");
        } else if (put_rule(&l, r, &error) != TS_OK) {
            told(arg, i.key, error.text);
        } else {
            agent_ruleset_want_sets(sets, &r->sources);
            agent_ruleset_want_sets(sets, &r->destinations);
        }
    }
    put_lists(&l, wanted);
    agent_text_free(&l.out);
    agent_text_free(&l.in);
    free(item);
}

/* ---- base chains ---- */

static void put_jumps(struct agent_heads *h, const char *list, const char *word)
{
    for (size_t i = 0; i < h->uplinks; i++) {
        char key[32];
        (void)snprintf(key, sizeof(key), AGENT_KEY_INET "%s%u", list, h->uplink[i].router);
        if (netctl_tree_get(h->known, key).data != NULL) {
            agent_text_put(&h->text, "0\t%s \"%s\" jump %s%u\n", word, h->uplink[i].name, list,
                           h->uplink[i].router);
        }
    }
}

/* A packet that comes in by an uplink and leaves by one passes both. A mark that somebody else gave
 * it says nothing here, and the node's own packets are none of a router's. */
void agent_heads_gateways(struct agent_heads *h)
{
    struct agent_text uplinks = {0};
    struct agent_text ways = {0};
    for (size_t i = 0; i < h->uplinks; i++) {
        agent_text_put(&uplinks, "%s\"%s\"", i == 0 ? "" : ", ", h->uplink[i].name);
    }
    agent_heads_devices(h, &ways, 'r', true);
    bool some = uplinks.len > 0;
    if (some) {
        agent_text_put(&ways, "%s%s", ways.len == 0 ? "" : ", ", uplinks.data);
        agent_text_put(&h->text,
                       "0\tiifname != { %s } accept\n"
                       "0\tmeta mark set 0\n"
                       "0\tjump known_in\n",
                       uplinks.data);
        put_jumps(h, AGENT_GATEWAY_IN, "iifname");
    }
    agent_heads_chain(h, AGENT_KEY_INET "gw_in");
    if (some) {
        agent_text_put(&h->text,
                       "0\toifname != { %s } accept\n"
                       "0\tiifname != { %s } accept\n"
                       "0\tmeta mark set meta mark & 0x%x\n"
                       "0\tjump known_out\n",
                       uplinks.data, ways.data, AGENT_MARK_IN);
        put_jumps(h, AGENT_GATEWAY_OUT, "oifname");
    }
    agent_heads_chain(h, AGENT_KEY_INET "gw_out");
    if (some) {
        agent_text_put(&h->text,
                       "0\tiifname != { %s } oifname != { %s } accept\n"
                       "0\tiifname != { %s } accept\n" AGENT_KEEP_STATE "0\tmeta mark set 0\n",
                       uplinks.data, uplinks.data, ways.data, AGENT_KEEP_STATE_MARKS);
    }
    agent_heads_chain(h, AGENT_KEY_INET "gw_end");
    agent_text_free(&uplinks);
    agent_text_free(&ways);
}
