#include "services/agent/io/kernel.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/memory.h"
#include "services/agent/io/nft.h"

#define VXLAN_PORT 4789

struct kernel {
    struct agent_driver base;
    struct agent_kernel_options options;
    struct ts_netlink route;
    struct agent_nft nft;
    struct netctl_tree table;  /* what it was told to make true */
    struct netctl_tree record; /* the nft chains and sets that there are, with their hashes */
    struct netctl_tree starts; /* the orders that blocks of rules begin with */
    bool record_holds;         /* else it is read from the kernel first */
    uint32_t generation;
    struct agent_kernel_state state;
    struct agent_item item;
};

/* One call. */
struct call {
    struct kernel *k;
    const struct agent_caller *caller;
    struct netctl_tree failed; /* keys of items with an error */
    struct ts_why why;
    bool refused;   /* may_commit said no */
    bool unguarded; /* the rules are not as they shall be: no port comes to a bridge */
};

static void fail_item(void *arg, const char *key, const char *error)
{
    struct call *c = arg;
    if (netctl_tree_get(&c->failed, key).data == NULL) {
        netctl_tree_put(&c->failed, key, (struct ts_bytes){(const uint8_t *)error, strlen(error)});
    }
    c->caller->result(c->caller->arg, key, error);
}

static void say(const struct call *c, const char *line)
{
    if (c->caller->says != NULL) {
        c->caller->says(c->caller->arg, line);
    }
}

static bool may_commit(struct call *c)
{
    if (!c->refused && c->caller->may_commit != NULL && !c->caller->may_commit(c->caller->arg)) {
        c->refused = true;
    }
    return !c->refused;
}

static struct agent_place place_of(const struct kernel *k)
{
    return (struct agent_place){k->options.vtep, k->options.vxlan_port, k->state.interface,
                                k->state.interfaces};
}

/* ---- objects ---- */

/* What the item wants, added; told if it is not to be had. `tell`: it shall be, from now on. */
static void want(struct call *c, struct agent_objects *objects, const char *key,
                 struct ts_bytes value, bool tell)
{
    struct kernel *k = c->k;
    struct agent_error error;
    struct agent_place place = place_of(k);
    enum ts_err err = agent_item_decode(&k->item, key, value, &error);
    if (err == TS_OK) {
        err = agent_objects_of_item(objects, &k->item, key, &place, &error);
    }
    if (err != TS_OK && tell) {
        fail_item(c, key, error.text);
    }
}

/* Does those of the plan that `fits`, as long as the caller says so. */
static void perform(struct call *c, const struct agent_op *ops, size_t count,
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
        say(c, line);
        if (c->k->options.dry_run) {
            continue;
        }
        if (!may_commit(c)) {
            return;
        }
        if (agent_rtnl_perform(&c->k->route, op, &error) != TS_OK) {
            if (o->item != NULL) {
                fail_item(c, o->item, error.text);
            } else {
                say(c, error.text);
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

/* ---- rules ---- */

/* Regenerates the block that begins with `first`, a key of k->starts or AGENT_FIRST. */
static void make_block(struct call *c, const char *first, struct netctl_tree *wanted,
                       struct netctl_tree *sets, struct netctl_tree *gone)
{
    static const char *const DIRECTIONS[] = {AGENT_BLOCK_OUT, AGENT_BLOCK_IN};
    static const uint8_t nothing[1];
    struct netctl_item next = netctl_tree_seek(&c->k->starts, first, true);
    agent_ruleset_block(&c->k->table, first, next.key, wanted, sets, fail_item, c);
    for (size_t i = 0; i < 2; i++) {
        char key[64];
        (void)snprintf(key, sizeof(key), AGENT_KEY_INET "%s%s", DIRECTIONS[i], first);
        if (netctl_tree_get(wanted, key).data == NULL &&
            netctl_tree_get(&c->k->record, key).data != NULL) {
            netctl_tree_put(gone, key, (struct ts_bytes){nothing, 0});
        }
    }
}

/* The last boundary that is not behind `order`; of those before it, if `below`. */
static void floor_of(const struct netctl_tree *starts, const char *order, bool below, char *out)
{
    struct netctl_item i = {NULL, {NULL, 0}};
    (void)snprintf(out, AGENT_ORDER_DIGITS + 1, AGENT_FIRST);
    while (netctl_tree_next(starts, "", &i)) {
        int at = strcmp(i.key, order);
        if (at > 0 || (below && at == 0)) {
            return;
        }
        (void)snprintf(out, AGENT_ORDER_DIGITS + 1, "%s", i.key);
    }
}

static bool is_rule_key(const char *key)
{
    return netctl_key_begins(key, "rule/") && strlen(key) == 5 + AGENT_ORDER_DIGITS;
}

/* Keeps k->starts as the table's rules are. */
static void note_start(struct kernel *k, const char *key, bool is)
{
    static const uint8_t nothing[1];
    if (!is_rule_key(key) || !agent_is_boundary(key + 5)) {
        return;
    }
    if (is) {
        netctl_tree_put(&k->starts, key + 5, (struct ts_bytes){nothing, 0});
    } else {
        (void)netctl_tree_remove(&k->starts, key + 5);
    }
}

struct firewall {
    struct netctl_tree wanted;
    struct netctl_tree sets; /* address sets that must be there */
    struct netctl_tree gone;
    struct agent_nft_rules rules;
    struct agent_text elements;
};

static void firewall_free(struct firewall *f)
{
    netctl_tree_free(&f->wanted);
    netctl_tree_free(&f->sets);
    netctl_tree_free(&f->gone);
    free(f->rules.rule);
    agent_text_free(&f->elements);
}

static void make_heads(struct call *c, struct firewall *f)
{
    static const uint8_t nothing[1];
    struct agent_place place = place_of(c->k);
    struct netctl_tree known = netctl_tree_copy(&c->k->record);
    struct netctl_item i = {NULL, {NULL, 0}};
    while (netctl_tree_next(&f->wanted, AGENT_KEY_INET, &i)) {
        netctl_tree_put(&known, i.key, (struct ts_bytes){nothing, 0});
    }
    i.key = NULL;
    while (netctl_tree_next(&f->gone, "", &i)) {
        (void)netctl_tree_remove(&known, i.key);
    }
    agent_ruleset_heads(&c->k->table, &known, &place, &f->wanted, fail_item, c);
    netctl_tree_free(&known);
}

/* All that is concerned is not realized. */
static void fail_all(struct call *c, const struct netctl_tree *concerned, const char *error)
{
    struct netctl_item i = {NULL, {NULL, 0}};
    while (netctl_tree_next(concerned, "", &i)) {
        enum agent_kind kind = agent_kind_of(i.key);
        if (kind == AGENT_RULE || kind == AGENT_SET || kind == AGENT_PORT_SET ||
            kind == AGENT_NAT || kind == AGENT_PORT || kind == AGENT_SEGMENT) {
            fail_item(c, i.key, error);
        }
    }
}

/* Lines of the batch, as they will be. */
static void say_batch(const struct call *c, const struct agent_text *batch)
{
    char *copy = c->caller->says == NULL ? NULL : strdup(batch->data);
    char *save = NULL;
    for (char *line = copy == NULL ? NULL : strtok_r(copy, "\n", &save); line != NULL;
         line = strtok_r(NULL, "\n", &save)) {
        c->caller->says(c->caller->arg, line);
    }
    free(copy);
}

static void commit(struct call *c, struct firewall *f, const struct netctl_tree *concerned)
{
    struct kernel *k = c->k;
    struct agent_error error;
    struct agent_nft_batch b = {.table = &k->table,
                                .record = &k->record,
                                .wanted = &f->wanted,
                                .sets = &f->sets,
                                .gone = &f->gone,
                                .rules = &f->rules};
    k->generation = k->generation % AGENT_GENERATION_MAX + 1;
    b.generation = k->generation;
    agent_nft_batch_make(&b, &f->elements);
    bool done = !b.changes;
    if (b.changes) {
        say_batch(c, &b.text);
    }
    if (b.changes && !k->options.dry_run && may_commit(c)) {
        done = agent_nft_commit(&k->nft, b.text.data, &error) == TS_OK;
        if (!done) {
            k->record_holds = false;
            c->unguarded = true;
            fail_all(c, concerned, error.text);
        }
    }
    if (done) {
        netctl_tree_free(&k->record);
        k->record = b.after;
    } else {
        netctl_tree_free(&b.after);
    }
    agent_text_free(&b.text);
}

/* ---- all of it ---- */

static void make_all_rules(struct call *c, struct firewall *f, bool delete_orphans)
{
    static const uint8_t nothing[1];
    struct kernel *k = c->k;
    struct netctl_item i = {NULL, {NULL, 0}};
    netctl_tree_free(&k->starts);
    while (netctl_tree_next(&k->table, "rule/", &i)) {
        note_start(k, i.key, true);
    }
    make_block(c, AGENT_FIRST, &f->wanted, &f->sets, &f->gone);
    i.key = NULL;
    while (netctl_tree_next(&k->starts, "", &i)) {
        make_block(c, i.key, &f->wanted, &f->sets, &f->gone);
    }
    i.key = NULL;
    while (netctl_tree_next(&k->table, "set/", &i)) {
        struct agent_error error;
        if (agent_item_decode(&k->item, i.key, i.value, &error) == TS_OK) {
            netctl_tree_put(&f->sets, k->item.member.set, (struct ts_bytes){nothing, 0});
        }
    }
    /* Blocks that are not wanted are no part of the lists, orphans or not. */
    i.key = NULL;
    while (netctl_tree_next(&k->record, AGENT_KEY_INET, &i)) {
        bool block = netctl_key_begins(i.key, AGENT_KEY_INET AGENT_BLOCK_OUT) ||
                     netctl_key_begins(i.key, AGENT_KEY_INET AGENT_BLOCK_IN);
        if (block && netctl_tree_get(&f->wanted, i.key).data == NULL) {
            netctl_tree_put(&f->gone, i.key, (struct ts_bytes){nothing, 0});
        }
    }
    make_heads(c, f);
    i.key = NULL;
    while (delete_orphans && netctl_tree_next(&k->record, "", &i)) {
        bool address_set = netctl_key_begins(i.key, AGENT_KEY_SET);
        bool is = address_set ? netctl_tree_get(&f->sets, i.key + 2).data != NULL
                              : netctl_tree_get(&f->wanted, i.key).data != NULL;
        if (!is) {
            netctl_tree_put(&f->gone, i.key, (struct ts_bytes){nothing, 0});
        }
    }
}

static enum ts_err firewall_all(struct call *c, const struct netctl_tree *concerned,
                                bool delete_orphans)
{
    struct firewall f = {0};
    struct kernel *k = c->k;
    enum ts_err err = agent_nft_read(&k->nft, &f.rules, &k->record, &c->why);
    if (err == TS_OK) {
        k->record_holds = true;
        make_all_rules(c, &f, delete_orphans);
        commit(c, &f, concerned);
    }
    firewall_free(&f);
    return err;
}

/* Replies go by the mark of what they answer: those of REJECT, and of a router that is pinged. */
static void set_reflection(const struct call *c)
{
    static const char *const PATHS[] = {"/proc/sys/net/ipv4/fwmark_reflect",
                                        "/proc/sys/net/ipv6/fwmark_reflect"};
    for (size_t i = 0; i < 2 && !c->k->options.dry_run; i++) {
        int fd = open(PATHS[i], O_WRONLY | O_CLOEXEC);
        if (fd < 0 || write(fd, "1", 1) != 1) {
            say(c, "cannot set fwmark_reflect: what REJECT answers is lost");
        }
        if (fd >= 0) {
            (void)close(fd);
        }
    }
}

static enum ts_err end_call(struct call *c, const struct netctl_tree *concerned, enum ts_err err)
{
    struct netctl_item i = {NULL, {NULL, 0}};
    while (err == TS_OK && !c->refused && netctl_tree_next(concerned, "", &i)) {
        if (netctl_tree_get(&c->failed, i.key).data == NULL) {
            c->caller->result(c->caller->arg, i.key, NULL);
        }
    }
    netctl_tree_free(&c->failed);
    if (err != TS_OK) {
        say(c, c->why.text);
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
    struct kernel *k = (struct kernel *)d;
    struct call c = {.k = k, .caller = caller};
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
        if (!netctl_key_begins(i.key, "rule/")) { /* those are decoded with their blocks */
            want(&c, &wanted, i.key, i.value, true);
        }
    }
    agent_objects_sort(&wanted, fail_item, &c);
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
        err = firewall_all(&c, &k->table, delete_orphans);
    }
    if (err == TS_OK && !c.refused) {
        perform(&c, ops, count, is_coming);
    }
    if (err == TS_OK && !c.refused && delete_orphans) {
        perform(&c, ops, count, is_going);
    }
    free(ops);
    agent_objects_free(&has);
    agent_objects_free(&wanted);
    return end_call(&c, &k->table, err);
}

/* ---- changes ---- */

/* The blocks of rules that the changed keys touch. */
static void touch_blocks(struct call *c, const struct netctl_tree *changed, struct firewall *f)
{
    static const uint8_t nothing[1];
    struct kernel *k = c->k;
    struct netctl_tree blocks = netctl_tree_make(0);
    struct netctl_item i = {NULL, {NULL, 0}};
    char first[AGENT_ORDER_DIGITS + 1];
    while (netctl_tree_next(changed, "rule/", &i)) {
        if (is_rule_key(i.key)) {
            note_start(k, i.key, netctl_tree_get(&k->table, i.key).data != NULL);
        }
    }
    i.key = NULL;
    while (netctl_tree_next(changed, "rule/", &i)) {
        if (!is_rule_key(i.key)) {
            continue;
        }
        bool boundary = agent_is_boundary(i.key + 5);
        floor_of(&k->starts, i.key + 5, false, first);
        netctl_tree_put(&blocks, first, (struct ts_bytes){nothing, 0});
        if (boundary) { /* it begins a block, or did: the one before it has another end */
            netctl_tree_put(&blocks, i.key + 5, (struct ts_bytes){nothing, 0});
            floor_of(&k->starts, i.key + 5, true, first);
            netctl_tree_put(&blocks, first, (struct ts_bytes){nothing, 0});
        }
    }
    i.key = NULL;
    while (netctl_tree_next(&blocks, "", &i)) {
        bool there =
            strcmp(i.key, AGENT_FIRST) == 0 || netctl_tree_get(&k->starts, i.key).data != NULL;
        if (there) {
            make_block(c, i.key, &f->wanted, &f->sets, &f->gone);
            continue;
        }
        for (int in = 0; in < 2; in++) { /* a boundary that went */
            char key[64];
            (void)snprintf(key, sizeof(key), AGENT_KEY_INET "%s%s",
                           in ? AGENT_BLOCK_IN : AGENT_BLOCK_OUT, i.key);
            if (netctl_tree_get(&k->record, key).data != NULL) {
                netctl_tree_put(&f->gone, key, (struct ts_bytes){nothing, 0});
            }
        }
    }
    netctl_tree_free(&blocks);
}

/* What changes in the address sets that the changed keys are of. */
static void touch_sets(struct call *c, const struct netctl_tree *before,
                       const struct netctl_tree *changed, struct firewall *f)
{
    static const uint8_t nothing[1];
    struct kernel *k = c->k;
    struct netctl_tree sets = netctl_tree_make(0);
    struct netctl_item i = {NULL, {NULL, 0}};
    while (netctl_tree_next(changed, "set/", &i)) {
        char set[AGENT_SET_NAME_MAX + 1];
        const char *end = strchr(i.key + 4, '/');
        size_t len = end == NULL ? sizeof(set) : (size_t)(end - i.key - 4);
        if (len < sizeof(set)) {
            memcpy(set, i.key + 4, len);
            set[len] = '\0';
            if (agent_is_set_name(set)) {
                netctl_tree_put(&sets, set, (struct ts_bytes){nothing, 0});
            }
        }
    }
    i.key = NULL;
    while (netctl_tree_next(&sets, "", &i)) {
        char key[AGENT_CHAIN_KEY_MAX];
        (void)snprintf(key, sizeof(key), AGENT_KEY_SET "%s", i.key);
        if (netctl_tree_get(&k->record, key).data == NULL) {
            netctl_tree_put(&f->sets, i.key, (struct ts_bytes){nothing, 0});
        } else {
            agent_nft_set_changes(before, &k->table, i.key, &f->elements);
            agent_nft_record(&k->record, key, agent_nft_cover_hash(&k->table, i.key));
        }
    }
    netctl_tree_free(&sets);
}

/* The counters of the chains that change. */
static enum ts_err read_counters(struct call *c, struct firewall *f)
{
    struct netctl_item i = {NULL, {NULL, 0}};
    enum ts_err err = TS_OK;
    while (err == TS_OK && netctl_tree_next(&f->wanted, AGENT_KEY_INET, &i)) {
        uint64_t has;
        bool there = agent_nft_recorded(&c->k->record, i.key, &has);
        if (there && has != agent_chain_hash((const char *)i.value.data, i.value.len)) {
            err = agent_nft_read_rules(&c->k->nft, i.key, &f->rules, &c->why);
        }
    }
    return err;
}

static enum ts_err firewall_changes(struct call *c, const struct netctl_tree *before,
                                    const struct netctl_tree *changed)
{
    struct firewall f = {0};
    static const uint8_t nothing[1];
    struct netctl_item i = {NULL, {NULL, 0}};
    touch_blocks(c, changed, &f);
    touch_sets(c, before, changed, &f);
    make_heads(c, &f);
    while (netctl_tree_next(&c->k->record, AGENT_KEY_PORT_SET, &i)) {
        if (netctl_tree_get(&f.wanted, i.key).data == NULL) {
            netctl_tree_put(&f.wanted, i.key, (struct ts_bytes){nothing, 0});
        }
    }
    i.key = NULL;
    while (netctl_tree_next(changed, "port/", &i)) { /* its chains go with it */
        for (int to = 0; to < 2; to++) {
            char key[64];
            (void)snprintf(key, sizeof(key), AGENT_KEY_BRIDGE "%s_%.20s", to ? "to" : "from",
                           i.key + 5);
            if (netctl_tree_get(&f.wanted, key).data == NULL &&
                netctl_tree_get(&c->k->record, key).data != NULL) {
                netctl_tree_put(&f.gone, key, (struct ts_bytes){nothing, 0});
            }
        }
    }
    enum ts_err err = read_counters(c, &f);
    if (err == TS_OK) {
        commit(c, &f, changed);
    }
    firewall_free(&f);
    return err;
}

static enum ts_err kernel_apply(struct agent_driver *d, const struct agent_change *changes,
                                size_t count, const struct agent_caller *caller)
{
    struct kernel *k = (struct kernel *)d;
    struct call c = {.k = k, .caller = caller};
    struct agent_objects was = {0};
    struct agent_objects is = {0};
    struct netctl_tree before = netctl_tree_copy(&k->table);
    struct netctl_tree changed = netctl_tree_make(0);
    static const uint8_t nothing[1];
    size_t ops_count = 0;
    enum ts_err err = agent_rtnl_read(&k->route, false, &k->state, &c.why);
    for (size_t i = 0; i < count; i++) {
        const struct agent_change *one = &changes[i];
        struct ts_bytes old = netctl_tree_get(&before, one->key);
        netctl_tree_put(&changed, one->key, (struct ts_bytes){nothing, 0});
        if (old.data != NULL && !netctl_key_begins(one->key, "rule/")) {
            want(&c, &was, one->key, old, false);
        }
        if (one->is.data == NULL) {
            (void)netctl_tree_remove(&k->table, one->key);
        } else {
            netctl_tree_put(&k->table, one->key, one->is);
            if (!netctl_key_begins(one->key, "rule/")) {
                want(&c, &is, one->key, one->is, true);
            }
        }
    }
    agent_objects_sort(&was, NULL, NULL);
    agent_objects_sort(&is, fail_item, &c);
    struct agent_op *ops = agent_objects_plan(&was, &is, &ops_count);
    if (err == TS_OK) {
        perform(&c, ops, ops_count, is_link);
        perform(&c, ops, ops_count, is_leaving_member);
        err = agent_rtnl_read(&k->route, false, &k->state, &c.why);
    }
    if (err == TS_OK && !c.refused) {
        err = k->record_holds ? firewall_changes(&c, &before, &changed)
                              : firewall_all(&c, &changed, true);
    }
    if (err == TS_OK && !c.refused) {
        perform(&c, ops, ops_count, is_coming);
        perform(&c, ops, ops_count, is_going);
    }
    k->record_holds = k->record_holds && err == TS_OK && !c.refused;
    free(ops);
    agent_objects_free(&was);
    agent_objects_free(&is);
    netctl_tree_free(&before);
    err = end_call(&c, &changed, err);
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
    struct kernel *k = (struct kernel *)d;
    struct agent_nft_rules rules = {0};
    struct ts_why why;
    struct netctl_item i = {NULL, {NULL, 0}};
    enum ts_err err = agent_rtnl_read(&k->route, false, &k->state, &why);
    if (err == TS_OK) {
        err = agent_nft_read_rules(&k->nft, NULL, &rules, &why);
    }
    struct agent_place place = place_of(k);
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

static void kernel_close(struct agent_driver *d)
{
    struct kernel *k = (struct kernel *)d;
    ts_netlink_close(&k->route);
    agent_nft_close(&k->nft);
    agent_kernel_state_free(&k->state);
    netctl_tree_free(&k->table);
    netctl_tree_free(&k->record);
    netctl_tree_free(&k->starts);
    free(k);
}

enum ts_err agent_kernel_open(struct agent_driver **out, const struct agent_kernel_options *options,
                              struct ts_why *why)
{
    static const struct agent_driver_type TYPE = {
        "kernel", kernel_apply, kernel_reconcile, kernel_statistics, kernel_close,
    };
    struct kernel *k = calloc(1, sizeof(*k));
    if (k == NULL) {
        return ts_why(why, TS_ERR_NOMEM, "out of memory");
    }
    k->base.type = &TYPE;
    k->options = *options;
    k->options.vxlan_port = options->vxlan_port == 0 ? VXLAN_PORT : options->vxlan_port;
    /* Another than a former program's: what its rules allowed is judged anew. */
    k->generation = (uint32_t)ts_random_id() & AGENT_GENERATION_MAX;
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
