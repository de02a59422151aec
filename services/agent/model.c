#include "services/agent/model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "services/agent/ruleset.h"

#define VXLAN_PORT 4789

struct model {
    struct agent_driver base;
    struct agent_address vtep;
    struct netctl_tree table;
};

static enum ts_err realize(const struct agent_caller *caller, struct agent_item *item,
                           const char *key, struct ts_bytes value)
{
    struct agent_error error;
    struct agent_text lines = {0};
    enum ts_err err = agent_item_decode(item, key, value, &error);
    if (err == TS_OK && (item->kind == AGENT_RULE || item->kind == AGENT_GATEWAY_RULE)) {
        err = agent_rule_lines(&item->rule, true, &lines, &error);
    }
    agent_text_free(&lines);
    caller->result(caller->arg, key, err == TS_OK ? NULL : error.text);
    return err;
}

static enum ts_err model_apply(struct agent_driver *d, const struct agent_change *changes,
                               size_t count, const struct agent_caller *caller)
{
    struct model *m = (struct model *)d;
    struct agent_item *item = malloc(sizeof(*item));
    ts_must(item);
    enum ts_err err = TS_OK;
    for (size_t i = 0; err == TS_OK && i < count; i++) {
        const struct agent_change *c = &changes[i];
        if (caller->may_commit != NULL && !caller->may_commit(caller->arg)) {
            err = TS_ERR_REFUSED;
        } else if (c->is.data != NULL) {
            (void)realize(caller, item, c->key, c->is);
            netctl_tree_put(&m->table, c->key, c->is);
        } else {
            (void)netctl_tree_remove(&m->table, c->key);
            caller->result(caller->arg, c->key, NULL);
        }
    }
    free(item);
    return err;
}

static enum ts_err model_reconcile(struct agent_driver *d, const struct netctl_tree *table,
                                   bool delete_orphans, const struct agent_caller *caller)
{
    struct model *m = (struct model *)d;
    struct agent_item *item = malloc(sizeof(*item));
    struct netctl_tree last = m->table;
    struct netctl_item i = {NULL, {NULL, 0}};
    ts_must(item);
    if (caller->may_commit != NULL && !caller->may_commit(caller->arg)) {
        free(item);
        return TS_ERR_REFUSED;
    }
    m->table = netctl_tree_copy(table);
    while (netctl_tree_next(table, "", &i)) {
        (void)realize(caller, item, i.key, i.value);
    }
    i.key = NULL;
    while (!delete_orphans && netctl_tree_next(&last, "", &i)) {
        if (netctl_tree_get(table, i.key).data == NULL) {
            netctl_tree_put(&m->table, i.key, i.value);
        }
    }
    netctl_tree_free(&last);
    free(item);
    return TS_OK;
}

static enum ts_err model_statistics(struct agent_driver *d, const struct agent_counts *counts)
{
    struct model *m = (struct model *)d;
    struct agent_item *item = malloc(sizeof(*item));
    struct netctl_item i = {NULL, {NULL, 0}};
    ts_must(item);
    while (netctl_tree_next(&m->table, "", &i)) {
        struct agent_error error;
        if (agent_item_decode(item, i.key, i.value, &error) != TS_OK) {
            continue;
        }
        if (item->kind == AGENT_RULE || item->kind == AGENT_GATEWAY_RULE ||
            item->kind == AGENT_NAT) {
            bool nat = item->kind == AGENT_NAT;
            counts->rule(counts->arg,
                         &(struct agent_rule_count){nat ? item->nat.id : item->rule.id, nat, 0, 0});
        } else if (item->kind == AGENT_PORT) {
            counts->port(counts->arg, &(struct agent_port_count){.number = item->port.number});
        }
    }
    free(item);
    return TS_OK;
}

static bool model_lost(struct agent_driver *d)
{
    (void)d;
    return false;
}

static void model_close(struct agent_driver *d)
{
    struct model *m = (struct model *)d;
    netctl_tree_free(&m->table);
    free(m);
}

struct agent_driver *agent_model_new(const struct agent_address *vtep)
{
    static const struct agent_driver_type TYPE = {
        "model", model_apply, model_reconcile, model_lost, model_statistics, model_close,
    };
    struct model *m = calloc(1, sizeof(*m));
    ts_must(m);
    m->base.type = &TYPE;
    m->vtep = *vtep;
    return &m->base;
}

const struct netctl_tree *agent_model_table(const struct agent_driver *d)
{
    return &((const struct model *)d)->table;
}

/* ---- what it is like ---- */

struct places {
    struct agent_interface *interface;
    size_t count;
};

static void put_place(struct places *p, const char *name, const char *prefix, const char *alias)
{
    p->interface = realloc(p->interface, (p->count + 1) * sizeof(*p->interface));
    ts_must(p->interface);
    struct agent_interface *i = &p->interface[p->count++];
    memset(i, 0, sizeof(*i));
    (void)snprintf(i->name, sizeof(i->name), "%s", name);
    (void)snprintf(i->alias, sizeof(i->alias), "%s%s", prefix, alias);
    i->index = (uint32_t)p->count;
}

/* The interfaces that the items name, and those that they make. */
static void put_places(const struct model *m, struct agent_item *item, struct places *p)
{
    struct netctl_item i = {NULL, {NULL, 0}};
    while (netctl_tree_next(&m->table, "", &i)) {
        struct agent_error error;
        char name[AGENT_NAME_MAX];
        if (agent_item_decode(item, i.key, i.value, &error) != TS_OK) {
            continue;
        }
        if (item->kind == AGENT_SEGMENT) {
            agent_device_name(name, 'b', item->segment.vni);
            put_place(p, name, AGENT_ALIAS_OURS, "");
        } else if (item->kind == AGENT_PORT) {
            (void)snprintf(name, sizeof(name), "p%u", item->port.number);
            put_place(p, name, AGENT_ALIAS_VIF, item->port.vif);
        } else if (item->kind == AGENT_UPLINK) {
            (void)snprintf(name, sizeof(name), "u%u", item->uplink.router);
            put_place(p, name, "", item->uplink.interface);
        }
    }
}

static void hear_nothing(void *arg, const char *key, const char *error)
{
    (void)arg;
    (void)key;
    (void)error;
}

static void put_objects(const struct model *m, struct agent_item *item,
                        const struct agent_place *place, struct netctl_tree *state)
{
    struct agent_objects objects = {0};
    struct netctl_item i = {NULL, {NULL, 0}};
    while (netctl_tree_next(&m->table, "", &i)) {
        struct agent_error error;
        enum ts_err err = agent_item_decode(item, i.key, i.value, &error);
        if (err == TS_OK) { /* what is not to be had adds nothing */
            (void)!agent_objects_of_item(&objects, item, i.key, place, &error);
        }
    }
    agent_objects_sort(&objects, NULL, NULL);
    for (size_t n = 0; n < objects.count; n++) {
        char text[AGENT_OBJECT_TEXT];
        (void)agent_object_text(&objects.object[n], text);
        netctl_tree_put(state, text, (struct ts_bytes){(const uint8_t *)text, 0});
    }
    agent_objects_free(&objects);
}

static void put_rules(const struct model *m, const struct agent_place *place,
                      struct netctl_tree *state)
{
    char first[AGENT_ORDER_DIGITS + 1] = AGENT_FIRST;
    struct netctl_tree sets = netctl_tree_make(0);
    struct netctl_item i = {NULL, {NULL, 0}};
    while (netctl_tree_next(&m->table, "rule/", &i)) {
        const char *order = i.key + strlen("rule/");
        if (strlen(order) == AGENT_ORDER_DIGITS && agent_is_boundary(order)) {
            agent_ruleset_block(&m->table, first, order, state, &sets, hear_nothing, NULL);
            (void)snprintf(first, sizeof(first), "%s", order);
        }
    }
    agent_ruleset_block(&m->table, first, NULL, state, &sets, hear_nothing, NULL);
    agent_ruleset_gateways(&m->table, place, state, &sets, hear_nothing, NULL);
    netctl_tree_free(&sets);
}

struct netctl_tree agent_model_state(const struct agent_driver *d)
{
    const struct model *m = (const struct model *)d;
    struct agent_item *item = malloc(sizeof(*item));
    struct places p = {0};
    struct netctl_tree state = netctl_tree_make(0);
    ts_must(item);
    put_places(m, item, &p);
    const struct agent_place place = {m->vtep,   VXLAN_PORT, p.interface,   p.count,
                                      &m->table, true,       AGENT_PROTOCOL};
    put_objects(m, item, &place, &state);
    put_rules(m, &place, &state);
    agent_ruleset_heads(&m->table, &state, &place, &state, hear_nothing, NULL);
    free(p.interface);
    free(item);
    return state;
}
