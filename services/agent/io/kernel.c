#include "services/agent/io/kernel.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/memory.h"
#include "services/agent/io/kernel_inner.h"

#define VXLAN_PORT 4789
#define BRIDGE_RULES "/proc/sys/net/bridge/bridge-nf-call-iptables"

void agent_kernel_fail_item(void *arg, const char *key, const char *error)
{
    struct agent_call *c = arg;
    if (netctl_tree_get(&c->failed, key).data == NULL) {
        netctl_tree_put(&c->failed, key, (struct ts_bytes){(const uint8_t *)error, strlen(error)});
    }
    c->caller->result(c->caller->arg, key, error);
}

void agent_kernel_say(const struct agent_call *c, const char *line)
{
    if (c->caller->says != NULL) {
        c->caller->says(c->caller->arg, line);
    }
}

bool agent_kernel_may_commit(struct agent_call *c)
{
    if (!c->refused && c->caller->may_commit != NULL && !c->caller->may_commit(c->caller->arg)) {
        c->refused = true;
    }
    return !c->refused;
}

struct agent_place agent_kernel_place(const struct agent_kernel *k)
{
    return (struct agent_place){
        k->options.vtep, k->options.vxlan_port, k->state.interface,     k->state.interfaces,
        &k->table,       k->options.detects,    k->options.detect_group};
}

/* ---- objects ---- */

/* What an item of the table wants, added; told if it is not to be had. `tell`: it shall be, from
 * now on. */
static void want(struct agent_call *c, struct agent_objects *objects,
                 const struct netctl_tree *table, const char *key, bool tell)
{
    struct agent_kernel *k = c->k;
    struct agent_error error;
    struct agent_place place = agent_kernel_place(k);
    struct ts_bytes value = netctl_tree_get(table, key);
    if (value.data == NULL || netctl_key_begins(key, "rule/")) {
        return; /* those are decoded with their blocks */
    }
    place.table = table;
    enum ts_err err = agent_item_decode(&k->item, key, value, &error);
    if (err == TS_OK) {
        err = agent_objects_of_item(objects, &k->item, key, &place, &error);
    }
    if (err != TS_OK && tell) {
        agent_kernel_fail_item(c, key, error.text);
    }
}

/* Does those of the plan that `fits`, as long as the caller says so. */
static void perform(struct agent_call *c, const struct agent_op *ops, size_t count,
                    bool (*fits)(const struct agent_op *op))
{
    static const char *const VERBS[] = {"add", "change", "remove"};
    for (size_t i = 0; i < count; i++) {
        const struct agent_op *op = &ops[i];
        const struct agent_object *o = op->kind == AGENT_REMOVE ? op->was : op->is;
        struct agent_error error;
        char text[AGENT_OBJECT_TEXT];
        char line[AGENT_OBJECT_TEXT + 16];
        bool comes = op->kind != AGENT_REMOVE && o->key.kind == AGENT_O_MEMBER;
        if (!fits(op) || (comes && c->unguarded)) {
            continue;
        }
        (void)snprintf(line, sizeof(line), "%s %s", VERBS[op->kind], agent_object_text(o, text));
        agent_kernel_say(c, line);
        if (c->k->options.dry_run) {
            continue;
        }
        if (!agent_kernel_may_commit(c)) {
            return;
        }
        if (agent_rtnl_perform(&c->k->route, op, &error) != TS_OK) {
            if (o->item != NULL) {
                agent_kernel_fail_item(c, o->item, error.text);
            } else {
                agent_kernel_say(c, error.text);
            }
        }
    }
}

static bool is_link(const struct agent_op *op)
{
    return op->kind != AGENT_REMOVE && op->is->key.kind <= AGENT_O_LEG;
}

static bool is_leaving_member(const struct agent_op *op)
{
    return op->kind == AGENT_REMOVE && op->was->key.kind == AGENT_O_MEMBER;
}

static bool is_coming(const struct agent_op *op)
{
    return op->kind != AGENT_REMOVE && !is_link(op);
}

static bool is_going(const struct agent_op *op)
{
    return op->kind == AGENT_REMOVE && !is_leaving_member(op);
}

/* ---- all of it ---- */

/* Replies go by the mark of what they answer: those of REJECT, and of a router that is pinged. */
static void set_reflection(const struct agent_call *c)
{
    static const char *const PATHS[] = {"/proc/sys/net/ipv4/fwmark_reflect",
                                        "/proc/sys/net/ipv6/fwmark_reflect"};
    for (size_t i = 0; i < 2 && !c->k->options.dry_run; i++) {
        int fd = open(PATHS[i], O_WRONLY | O_CLOEXEC);
        if (fd < 0 || write(fd, "1", 1) != 1) {
            agent_kernel_say(c, "cannot set fwmark_reflect: what REJECT answers is lost");
        }
        if (fd >= 0) {
            (void)close(fd);
        }
    }
}

static enum ts_err end_call(struct agent_call *c, const struct netctl_tree *concerned,
                            enum ts_err err)
{
    struct netctl_item i = {NULL, {NULL, 0}};
    while (err == TS_OK && !c->refused && netctl_tree_next(concerned, "", &i)) {
        if (netctl_tree_get(&c->failed, i.key).data == NULL) {
            c->caller->result(c->caller->arg, i.key, NULL);
        }
    }
    netctl_tree_free(&c->failed);
    if (err != TS_OK) {
        agent_kernel_say(c, c->why.text);
    }
    return err == TS_OK && c->refused ? TS_ERR_REFUSED : err;
}

/* The table and, if nothing may go, what there was in the last one besides. */
static struct netctl_tree with_orphans(const struct netctl_tree *table,
                                       const struct netctl_tree *last)
{
    struct netctl_tree all = netctl_tree_copy(table);
    struct netctl_item i = {NULL, {NULL, 0}};
    while (netctl_tree_next(last, "", &i)) {
        if (netctl_tree_get(table, i.key).data == NULL) {
            netctl_tree_put(&all, i.key, i.value);
        }
    }
    return all;
}

static enum ts_err kernel_reconcile(struct agent_driver *d, const struct netctl_tree *table,
                                    bool delete_orphans, const struct agent_caller *caller)
{
    struct agent_kernel *k = (struct agent_kernel *)d;
    struct agent_call c = {.k = k, .caller = caller};
    struct agent_objects wanted = {0};
    struct netctl_item i = {NULL, {NULL, 0}};
    size_t count = 0;
    struct netctl_tree all =
        delete_orphans ? netctl_tree_copy(table) : with_orphans(table, &k->table);
    netctl_tree_free(&k->table);
    k->table = all;
    enum ts_err err = agent_rtnl_read(&k->route, true, &k->state, &c.why);
    if (err != TS_OK) {
        return end_call(&c, table, err);
    }
    while (netctl_tree_next(&k->table, "", &i)) {
        want(&c, &wanted, &k->table, i.key, true);
    }
    agent_objects_sort(&wanted, agent_kernel_fail_item, &c);
    struct agent_objects has = k->state.objects;
    k->state.objects = (struct agent_objects){0};
    struct agent_op *ops = agent_objects_plan(&has, &wanted, &count);
    set_reflection(&c);
    perform(&c, ops, count, is_link);
    if (delete_orphans) {
        perform(&c, ops, count, is_leaving_member);
    }
    if (!c.refused) {
        err = agent_rtnl_read(&k->route, false, &k->state, &c.why);
    }
    if (err == TS_OK && !c.refused) {
        err = agent_kernel_rules_all(&c, &k->table, delete_orphans);
    }
    if (err == TS_OK && !c.refused) {
        perform(&c, ops, count, is_coming);
    }
    if (err == TS_OK && !c.refused && delete_orphans) {
        perform(&c, ops, count, is_going);
    }
    if (err == TS_OK && !c.refused) {
        agent_kernel_dhcp(&c, delete_orphans);
    }
    free(ops);
    agent_objects_free(&has);
    agent_objects_free(&wanted);
    return end_call(&c, &k->table, err);
}

/* ---- changes ---- */

static void take_changes(struct agent_kernel *k, const struct agent_change *changes, size_t count,
                         struct netctl_tree *changed)
{
    static const uint8_t nothing[1];
    for (size_t i = 0; i < count; i++) {
        netctl_tree_put(changed, changes[i].key, (struct ts_bytes){nothing, 0});
        if (changes[i].is.data == NULL) {
            (void)netctl_tree_remove(&k->table, changes[i].key);
        } else {
            netctl_tree_put(&k->table, changes[i].key, changes[i].is);
        }
    }
}

static void put_keys(const struct netctl_tree *from, const char *prefix, struct netctl_tree *to)
{
    static const uint8_t nothing[1];
    struct netctl_item i = {NULL, {NULL, 0}};
    while (netctl_tree_next(from, prefix, &i)) {
        netctl_tree_put(to, i.key, (struct ts_bytes){nothing, 0});
    }
}

/* The changed keys, and those of items that look at changed ones. */
static struct netctl_tree concerned_by(const struct netctl_tree *before,
                                       const struct netctl_tree *table,
                                       const struct netctl_tree *changed)
{
    static const uint8_t nothing[1];
    struct netctl_tree all = netctl_tree_copy(changed);
    struct netctl_item i = {NULL, {NULL, 0}};
    while (netctl_tree_next(changed, "dhcp/", &i)) {
        char key[64];
        (void)snprintf(key, sizeof(key), "segment/%.40s", i.key + strlen("dhcp/"));
        if (netctl_tree_get(table, key).data != NULL || netctl_tree_get(before, key).data != NULL) {
            netctl_tree_put(&all, key, (struct ts_bytes){nothing, 0});
        }
    }
    i.key = NULL;
    while (netctl_tree_next(changed, "uplink/", &i)) {
        char prefix[64];
        (void)snprintf(prefix, sizeof(prefix), "route/%.40s/", i.key + strlen("uplink/"));
        put_keys(table, prefix, &all);
        put_keys(before, prefix, &all);
    }
    return all;
}

static bool touches_dhcp(const struct netctl_tree *changed)
{
    struct netctl_item i = {NULL, {NULL, 0}};
    bool touched = netctl_tree_next(changed, "dhcp/", &i);
    i.key = NULL;
    return touched || netctl_tree_next(changed, "segment/", &i);
}

static enum ts_err kernel_apply(struct agent_driver *d, const struct agent_change *changes,
                                size_t count, const struct agent_caller *caller)
{
    struct agent_kernel *k = (struct agent_kernel *)d;
    struct agent_call c = {.k = k, .caller = caller};
    struct agent_objects was = {0};
    struct agent_objects is = {0};
    struct netctl_tree before = netctl_tree_copy(&k->table);
    struct netctl_tree changed = netctl_tree_make(0);
    struct netctl_item i = {NULL, {NULL, 0}};
    size_t ops_count = 0;
    enum ts_err err = agent_rtnl_read(&k->route, false, &k->state, &c.why);
    take_changes(k, changes, count, &changed);
    struct netctl_tree concerned = concerned_by(&before, &k->table, &changed);
    while (netctl_tree_next(&concerned, "", &i)) {
        want(&c, &was, &before, i.key, false);
        want(&c, &is, &k->table, i.key, true);
    }
    agent_objects_sort(&was, NULL, NULL);
    agent_objects_sort(&is, agent_kernel_fail_item, &c);
    struct agent_op *ops = agent_objects_plan(&was, &is, &ops_count);
    if (err == TS_OK) {
        perform(&c, ops, ops_count, is_link);
        perform(&c, ops, ops_count, is_leaving_member);
        err = agent_rtnl_read(&k->route, false, &k->state, &c.why);
    }
    if (err == TS_OK && !c.refused) {
        err = k->record_holds ? agent_kernel_rules_changes(&c, &before, &changed)
                              : agent_kernel_rules_all(&c, &changed, true);
    }
    if (err == TS_OK && !c.refused) {
        perform(&c, ops, ops_count, is_coming);
        perform(&c, ops, ops_count, is_going);
    }
    if (err == TS_OK && !c.refused && touches_dhcp(&changed)) {
        agent_kernel_dhcp(&c, true);
    }
    k->record_holds = k->record_holds && err == TS_OK && !c.refused;
    free(ops);
    agent_objects_free(&was);
    agent_objects_free(&is);
    netctl_tree_free(&before);
    err = end_call(&c, &concerned, err);
    netctl_tree_free(&concerned);
    netctl_tree_free(&changed);
    return err;
}

/* ---- figures ---- */

static void tell_rules(const struct agent_nft_rules *rules, const struct agent_counts *counts)
{
    for (size_t i = 0; i < rules->count; i++) {
        const struct agent_nft_rule *r = &rules->rule[i];
        bool nat = strcmp(r->chain, AGENT_KEY_INET "nat_out") == 0 ||
                   strcmp(r->chain, AGENT_KEY_INET "nat_in") == 0;
        if (r->id != 0) {
            counts->rule(counts->arg, &(struct agent_rule_count){r->id, nat, r->packets, r->bytes});
        }
    }
}

static uint64_t guarded_of(const struct agent_nft_rules *rules, uint32_t number)
{
    char chain[64];
    uint64_t sum = 0;
    (void)snprintf(chain, sizeof(chain), AGENT_KEY_BRIDGE "from_%u", number);
    for (size_t i = 0; i < rules->count; i++) {
        sum += strcmp(rules->rule[i].chain, chain) == 0 ? rules->rule[i].packets : 0;
    }
    return sum;
}

static enum ts_err kernel_statistics(struct agent_driver *d, const struct agent_counts *counts)
{
    struct agent_kernel *k = (struct agent_kernel *)d;
    struct agent_nft_rules rules = {0};
    struct ts_why why;
    struct netctl_item i = {NULL, {NULL, 0}};
    enum ts_err err = agent_rtnl_read(&k->route, false, &k->state, &why);
    if (err == TS_OK) {
        err = agent_nft_read_rules(&k->nft, NULL, &rules, &why);
    }
    struct agent_place place = agent_kernel_place(k);
    if (err == TS_OK) {
        tell_rules(&rules, counts);
    }
    while (err == TS_OK && netctl_tree_next(&k->table, "port/", &i)) {
        struct agent_error error;
        const struct agent_interface *f =
            agent_item_decode(&k->item, i.key, i.value, &error) != TS_OK
                ? NULL
                : agent_place_find(&place, AGENT_ALIAS_VIF, k->item.port.vif);
        if (f != NULL) {
            const struct agent_interface_counts *n = &k->state.figures[f - k->state.interface];
            uint32_t number = k->item.port.number;
            counts->port(counts->arg, &(struct agent_port_count){number, n->rx_packets, n->rx_bytes,
                                                                 n->tx_packets, n->tx_bytes,
                                                                 guarded_of(&rules, number)});
        }
    }
    free(rules.rule);
    return err;
}

/* ---- opening it ---- */

static bool kernel_lost(struct agent_driver *d)
{
    return agent_dhcp_servers_lost(&((struct agent_kernel *)d)->dhcp);
}

static void kernel_close(struct agent_driver *d)
{
    struct agent_kernel *k = (struct agent_kernel *)d;
    ts_netlink_close(&k->route);
    agent_nft_close(&k->nft);
    agent_kernel_state_free(&k->state);
    agent_dhcp_servers_close(&k->dhcp);
    netctl_tree_free(&k->table);
    netctl_tree_free(&k->record);
    netctl_tree_free(&k->starts);
    free(k);
}

enum ts_err agent_kernel_open(struct agent_driver **out, const struct agent_kernel_options *options,
                              struct ts_why *why)
{
    static const struct agent_driver_type TYPE = {
        "kernel", kernel_apply, kernel_reconcile, kernel_lost, kernel_statistics, kernel_close,
    };
    struct agent_kernel *k = calloc(1, sizeof(*k));
    if (k == NULL) {
        return ts_why(why, TS_ERR_NOMEM, "out of memory");
    }
    k->base.type = &TYPE;
    k->options = *options;
    k->options.vxlan_port = options->vxlan_port == 0 ? VXLAN_PORT : options->vxlan_port;
    /* Another than a former program's: what its rules allowed is judged anew. */
    k->generation = (uint32_t)ts_random_id() & AGENT_GENERATION_MAX;
    if (access(BRIDGE_RULES, F_OK) != 0) {
        free(k);
        return ts_why(
            why, TS_ERR_SYSTEM,
            "the kernel's br_netfilter is not loaded: no rule would be asked about what a "
            "bridge forwards; type modprobe br_netfilter");
    }
    agent_dhcp_servers_open(&k->dhcp, options->dhcp);
    k->options.dhcp = NULL;
    enum ts_err err = ts_netlink_open(&k->route, NETLINK_ROUTE, AGENT_RTNL_ANSWER_S, why);
    if (err == TS_OK) {
        err = agent_nft_open(&k->nft, why);
    }
    if (err != TS_OK) {
        kernel_close(&k->base);
        return err;
    }
    *out = &k->base;
    return TS_OK;
}
