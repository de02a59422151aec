#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "services/agent/io/kernel_inner.h"

/* Regenerates the block that begins with `first`, a key of k->starts or AGENT_FIRST. */
static void make_block(struct agent_call *c, const char *first, struct netctl_tree *wanted,
                       struct netctl_tree *sets, struct netctl_tree *gone)
{
    static const char *const DIRECTIONS[] = {AGENT_BLOCK_OUT, AGENT_BLOCK_IN};
    static const uint8_t nothing[1];
    struct netctl_item next = netctl_tree_seek(&c->k->starts, first, true);
    agent_ruleset_block(&c->k->table, first, next.key, wanted, sets, agent_kernel_fail_item, c);
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
static void note_start(struct agent_kernel *k, const char *key, bool is)
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

static void make_heads(struct agent_call *c, struct firewall *f)
{
    static const uint8_t nothing[1];
    struct agent_place place = agent_kernel_place(c->k);
    struct netctl_tree known = netctl_tree_copy(&c->k->record);
    struct netctl_item i = {NULL, {NULL, 0}};
    while (netctl_tree_next(&f->wanted, AGENT_KEY_INET, &i)) {
        netctl_tree_put(&known, i.key, (struct ts_bytes){nothing, 0});
    }
    i.key = NULL;
    while (netctl_tree_next(&f->gone, "", &i)) {
        (void)netctl_tree_remove(&known, i.key);
    }
    agent_ruleset_heads(&c->k->table, &known, &place, &f->wanted, agent_kernel_fail_item, c);
    netctl_tree_free(&known);
}

/* All that is concerned is not realized. */
static void fail_all(struct agent_call *c, const struct netctl_tree *concerned, const char *error)
{
    struct netctl_item i = {NULL, {NULL, 0}};
    while (netctl_tree_next(concerned, "", &i)) {
        enum agent_kind kind = agent_kind_of(i.key);
        if (kind == AGENT_RULE || kind == AGENT_SET || kind == AGENT_PORT_SET ||
            kind == AGENT_NAT || kind == AGENT_PORT || kind == AGENT_SEGMENT ||
            kind == AGENT_GATEWAY_RULE || kind == AGENT_UPLINK) {
            agent_kernel_fail_item(c, i.key, error);
        }
    }
}

/* Lines of the batch, as they will be. */
static void say_batch(const struct agent_call *c, const struct agent_text *batch)
{
    char *copy = c->caller->says == NULL ? NULL : strdup(batch->data);
    char *save = NULL;
    for (char *line = copy == NULL ? NULL : strtok_r(copy, "\n", &save); line != NULL;
         line = strtok_r(NULL, "\n", &save)) {
        c->caller->says(c->caller->arg, line);
    }
    free(copy);
}

static void commit(struct agent_call *c, struct firewall *f, const struct netctl_tree *concerned)
{
    struct agent_kernel *k = c->k;
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
    if (b.changes && !k->options.dry_run && agent_kernel_may_commit(c)) {
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

/* ---- rules of gateways ---- */

static bool is_gateway(const char *key)
{
    return netctl_key_begins(key, AGENT_KEY_INET AGENT_GATEWAY_OUT) ||
           netctl_key_begins(key, AGENT_KEY_INET AGENT_GATEWAY_IN);
}

/* All of them: a gateway has few beside the ports of its workloads. */
static void make_gateways(struct agent_call *c, struct firewall *f)
{
    static const uint8_t nothing[1];
    struct agent_place place = agent_kernel_place(c->k);
    struct netctl_item i = {NULL, {NULL, 0}};
    agent_ruleset_gateways(&c->k->table, &place, &f->wanted, &f->sets, agent_kernel_fail_item, c);
    while (netctl_tree_next(&c->k->record, AGENT_KEY_INET, &i)) {
        if (is_gateway(i.key) && netctl_tree_get(&f->wanted, i.key).data == NULL) {
            netctl_tree_put(&f->gone, i.key, (struct ts_bytes){nothing, 0});
        }
    }
}

/* ---- all of it ---- */

static void make_all_rules(struct agent_call *c, struct firewall *f, bool delete_orphans)
{
    static const uint8_t nothing[1];
    struct agent_kernel *k = c->k;
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
    make_gateways(c, f);
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

enum ts_err agent_kernel_rules_all(struct agent_call *c, const struct netctl_tree *concerned,
                                   bool delete_orphans)
{
    struct firewall f = {0};
    struct agent_kernel *k = c->k;
    enum ts_err err = agent_nft_read(&k->nft, &f.rules, &k->record, &c->why);
    if (err == TS_OK) {
        k->record_holds = true;
        make_all_rules(c, &f, delete_orphans);
        commit(c, &f, concerned);
    }
    firewall_free(&f);
    return err;
}

/* ---- changes ---- */

/* The blocks of rules that the changed keys touch. */
static void touch_blocks(struct agent_call *c, const struct netctl_tree *changed,
                         struct firewall *f)
{
    static const uint8_t nothing[1];
    struct agent_kernel *k = c->k;
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
static void touch_sets(struct agent_call *c, const struct netctl_tree *before,
                       const struct netctl_tree *changed, struct firewall *f)
{
    static const uint8_t nothing[1];
    struct agent_kernel *k = c->k;
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
static enum ts_err read_counters(struct agent_call *c, struct firewall *f)
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

static bool has_any(const struct netctl_tree *t, const char *prefix)
{
    struct netctl_item i = {NULL, {NULL, 0}};
    return netctl_tree_next(t, prefix, &i);
}

enum ts_err agent_kernel_rules_changes(struct agent_call *c, const struct netctl_tree *before,
                                       const struct netctl_tree *changed)
{
    struct firewall f = {0};
    static const uint8_t nothing[1];
    struct netctl_item i = {NULL, {NULL, 0}};
    touch_blocks(c, changed, &f);
    touch_sets(c, before, changed, &f);
    if (has_any(changed, "gateway-rule/") || has_any(changed, "uplink/")) {
        make_gateways(c, &f);
    }
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
