#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "services/agent/ruleset.h"

void agent_ruleset_uplink(const struct netctl_tree *table, const struct agent_place *place,
                          uint32_t router, struct agent_item *item, char out[AGENT_NAME_MAX])
{
    struct agent_error error;
    char key[32];
    (void)snprintf(key, sizeof(key), "uplink/%u", router);
    struct ts_bytes value = netctl_tree_get(table, key);
    const struct agent_interface *f =
        value.data == NULL || agent_item_decode(item, key, value, &error) != TS_OK
            ? NULL
            : agent_place_find(place, "", item->uplink.interface);
    (void)snprintf(out, AGENT_NAME_MAX, "%s", f == NULL ? "" : f->name);
}

static void put_address(struct agent_text *t, const struct agent_address *a, const char *word)
{
    char text[AGENT_ADDRESS_TEXT];
    if (a->family != 0) {
        agent_text_put(t, "%s %s %s ", a->family == 4 ? "ip" : "ip6", word,
                       agent_address_text(a, true, text));
    }
}

static void put_translation(struct agent_text *t, const struct agent_nat *n, const char *uplink)
{
    bool source = n->action == AGENT_SNAT || n->action == AGENT_NO_SNAT;
    char text[AGENT_ADDRESS_TEXT];
    struct agent_text match = {0};
    agent_text_put(&match, "%u\t%s \"%s\" ", n->id, source ? "oifname" : "iifname", uplink);
    put_address(&match, &n->source, "saddr");
    put_address(&match, &n->destination, "daddr");
    if (n->has_service) {
        agent_service_words(&n->service, &match);
    }
    if (n->logged) {
        agent_text_put(t,
                       "%slimit rate 50/second burst 100 packets log prefix \"" AGENT_NFT_TABLE
                       " nat %u: \"\n",
                       match.data, n->id);
    }
    agent_text_put(t, "%s@C@ ", match.data);
    agent_text_free(&match);
    if (n->action == AGENT_NO_SNAT || n->action == AGENT_NO_DNAT) {
        agent_text_put(t, "accept\n");
        return;
    }
    const char *ip = n->translated.family == 4 ? "ip" : "ip6";
    (void)agent_address_text(&n->translated, false, text);
    agent_text_put(t, "%s %s to ", source ? "snat" : "dnat", ip);
    if (n->translated_port == 0) {
        agent_text_put(t, "%s\n", text);
    } else {
        agent_text_put(t, n->translated.family == 4 ? "%s:%u\n" : "[%s]:%u\n", text,
                       (unsigned)n->translated_port);
    }
}

void agent_ruleset_nat(const struct netctl_tree *table, const struct agent_place *place,
                       struct netctl_tree *wanted, agent_told *told, void *arg)
{
    struct agent_text snat = {0};
    struct agent_text dnat = {0};
    char uplink[AGENT_NAME_MAX] = "";
    struct agent_item *item = malloc(2 * sizeof(*item));
    ts_must(item);
    struct netctl_item i = {NULL, {NULL, 0}};
    uint32_t router = 0;
    while (netctl_tree_next(table, "nat/", &i)) {
        struct agent_error error;
        if (agent_item_decode(item, i.key, i.value, &error) != TS_OK) {
            continue; /* told by who decodes all items */
        }
        const struct agent_nat *n = &item->nat;
        if (n->router != router) {
            router = n->router;
            agent_ruleset_uplink(table, place, router, item + 1, uplink);
        }
        if (uplink[0] == '\0') {
            told(arg, i.key, "its router has no uplink here");
            continue;
        }
        bool source = n->action == AGENT_SNAT || n->action == AGENT_NO_SNAT;
        put_translation(source ? &snat : &dnat, n, uplink);
    }
    netctl_tree_put(wanted, AGENT_KEY_INET "nat_out", agent_text_bytes(&snat));
    netctl_tree_put(wanted, AGENT_KEY_INET "nat_in", agent_text_bytes(&dnat));
    agent_text_free(&snat);
    agent_text_free(&dnat);
    free(item);
}
