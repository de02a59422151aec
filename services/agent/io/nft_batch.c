#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "services/agent/io/nft.h"

#define INET "inet " AGENT_NFT_TABLE " "
#define BRIDGE "bridge " AGENT_NFT_TABLE " "

static const char *family_of(const char *key)
{
    return netctl_key_begins(key, AGENT_KEY_BRIDGE) ? BRIDGE : INET;
}

static bool is_chain(const char *key)
{
    return netctl_key_begins(key, AGENT_KEY_BRIDGE) || netctl_key_begins(key, AGENT_KEY_INET);
}

/* The chains that bear the generation's number. */
static bool has_generation(const char *key)
{
    return strcmp(key, AGENT_KEY_INET "known_out") == 0 ||
           strcmp(key, AGENT_KEY_INET "known_in") == 0 ||
           strcmp(key, AGENT_KEY_INET "fw_begin") == 0 ||
           strcmp(key, AGENT_KEY_INET "fw_end") == 0 || strcmp(key, AGENT_KEY_INET "gw_end") == 0;
}

/* ---- address sets ---- */

static int by_address(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(struct agent_address));
}

static void put_elements(struct agent_text *out, const char *verb, int family, const char *set,
                         const struct agent_address *list, size_t count,
                         const struct agent_address *without, size_t others)
{
    bool first = true;
    for (size_t i = 0; i < count; i++) {
        char text[AGENT_ADDRESS_TEXT];
        if (others > 0 &&
            bsearch(&list[i], without, others, sizeof(*without), by_address) != NULL) {
            continue;
        }
        if (first) {
            agent_text_put(out, "%s element " INET "s%d_%s { ", verb, family, set);
        }
        agent_text_put(out, "%s%s", first ? "" : ", ", agent_address_text(&list[i], true, text));
        first = false;
    }
    agent_text_put(out, first ? "" : " }\n");
}

void agent_nft_set_changes(const struct netctl_tree *from, const struct netctl_tree *to,
                           const char *set, struct agent_text *out)
{
    for (int family = 4; family <= 6; family += 2) {
        size_t were = 0;
        size_t are = 0;
        struct agent_address *was = from == NULL ? NULL : agent_set_cover(from, set, family, &were);
        struct agent_address *is = agent_set_cover(to, set, family, &are);
        if (were > 0) {
            qsort(was, were, sizeof(*was), by_address);
        }
        if (are > 0) {
            qsort(is, are, sizeof(*is), by_address);
        }
        put_elements(out, "delete", family, set, was, were, is, are);
        put_elements(out, "add", family, set, is, are, was, were);
        free(was);
        free(is);
    }
}

static void put_set(struct agent_nft_batch *b, const char *set)
{
    uint64_t hash = agent_nft_cover_hash(b->table, set);
    uint64_t has;
    char key[AGENT_CHAIN_KEY_MAX];
    (void)snprintf(key, sizeof(key), AGENT_KEY_SET "%s", set);
    bool there = agent_nft_recorded(b->record, key, &has);
    if (there && has == hash) {
        return;
    }
    agent_text_put(&b->text,
                   "add set " INET "s4_%s { type ipv4_addr; flags interval; }\n"
                   "add set " INET "s6_%s { type ipv6_addr; flags interval; }\n"
                   "flush set " INET "s4_%s\nflush set " INET "s6_%s\n",
                   set, set, set, set);
    agent_nft_set_changes(NULL, b->table, set, &b->text);
    agent_nft_record(&b->after, key, hash);
    b->changes = true;
}

/* ---- sets of ports ---- */

/* The number at `at`; `at` is moved behind it and its blank. */
static unsigned long next_mark(const char **at, const char *end)
{
    unsigned long mark = 0;
    for (; *at < end && **at >= '0' && **at <= '9'; (*at)++) {
        mark = mark * 10 + (unsigned long)(**at - '0');
    }
    (*at)++;
    return mark;
}

/* `marks`: as agent_ruleset_heads writes them, a blank behind each. */
static void put_port_set(struct agent_nft_batch *b, const char *set, struct ts_bytes marks)
{
    const char *end = (const char *)marks.data + marks.len;
    agent_text_put(&b->text,
                   "add set " INET "po_%s { type mark; }\nadd set " INET "pi_%s { type mark; }\n"
                   "flush set " INET "po_%s\nflush set " INET "pi_%s\n",
                   set, set, set, set);
    for (int in = 0; in < 2; in++) {
        bool first = true;
        for (const char *at = (const char *)marks.data; at < end;) {
            unsigned long mark = next_mark(&at, end);
            agent_text_put(&b->text, first ? "add element " INET "%s_%s { " : ", ",
                           in ? "pi" : "po", set);
            agent_text_put(&b->text, "0x%lx", in ? mark << AGENT_MARK_TO_SHIFT : mark);
            first = false;
        }
        agent_text_put(&b->text, first ? "" : " }\n");
    }
}

/* ---- chains ---- */

/* The figures of the rule that had this id, the n-th with it in its chain. */
static void put_counter(struct agent_nft_batch *b, const char *chain, uint32_t id, size_t nth)
{
    const struct agent_nft_rules *rules = b->rules;
    for (size_t i = 0; id != 0 && i < rules->count; i++) {
        const struct agent_nft_rule *r = &rules->rule[i];
        if (r->id == id && strcmp(r->chain, chain) == 0 && nth-- == 0) {
            agent_text_put(&b->text, "counter packets %llu bytes %llu",
                           (unsigned long long)r->packets, (unsigned long long)r->bytes);
            return;
        }
    }
    agent_text_put(&b->text, "counter");
}

/* One line: "ID<tab>words". */
static void put_rule(struct agent_nft_batch *b, const char *key, const char *line, size_t len,
                     size_t nth)
{
    const char *tab = memchr(line, '\t', len);
    uint32_t id = (uint32_t)strtoul(line, NULL, 10);
    size_t from = (size_t)(tab + 1 - line);
    agent_text_put(&b->text, "add rule %s%s ", family_of(key), key + 2);
    for (size_t i = from; i < len; i++) {
        bool counter = len - i >= 3 && memcmp(line + i, "@C@", 3) == 0;
        bool detect = len - i >= 3 && memcmp(line + i, "@D@", 3) == 0;
        bool generation = detect || (len - i >= 3 && memcmp(line + i, "@G@", 3) == 0);
        if (!counter && !generation) {
            continue;
        }
        agent_text_put_bytes(&b->text, line + from, i - from);
        from = i + 3;
        if (counter) {
            put_counter(b, key, id, nth);
        } else {
            /* With the bit that the words' mask has. */
            bool out = strcmp(key, AGENT_KEY_INET "known_out") == 0;
            bool in = strcmp(key, AGENT_KEY_INET "known_in") == 0;
            uint32_t bit = out      ? AGENT_MARK_OUT
                           : in     ? AGENT_MARK_IN
                           : detect ? AGENT_MARK_DETECT
                                    : 0;
            agent_text_put(&b->text, "0x%x", b->generation | bit);
        }
    }
    agent_text_put_bytes(&b->text, line + from, len - from);
    agent_text_put(&b->text, " comment \"%u.%016llx\"\n", id,
                   (unsigned long long)agent_line_hash(line, len));
}

static void put_rules(struct agent_nft_batch *b, const char *key, const char *text, size_t len)
{
    uint32_t last = 0;
    size_t nth = 0;
    agent_text_put(&b->text, "flush chain %s%s\n", family_of(key), key + 2);
    for (const char *at = text; at < text + len;) {
        const char *end = memchr(at, '\n', (size_t)(text + len - at));
        size_t line = end == NULL ? (size_t)(text + len - at) : (size_t)(end - at);
        uint32_t id = (uint32_t)strtoul(at, NULL, 10);
        nth = id == last ? nth + 1 : 0;
        last = id;
        put_rule(b, key, at, line, nth);
        at += line + 1;
    }
}

static void put_chain(struct agent_nft_batch *b, const char *key)
{
    const char *base = agent_chain_base(key);
    if (base == NULL) {
        agent_text_put(&b->text, "add chain %s%s\n", family_of(key), key + 2);
    } else {
        agent_text_put(&b->text, "add chain %s%s { %s; policy accept; }\n", family_of(key), key + 2,
                       base);
    }
}

/* ---- the batch ---- */

static bool differs(const struct agent_nft_batch *b, const struct netctl_item *i, uint64_t *hash)
{
    uint64_t has;
    *hash = agent_chain_hash((const char *)i->value.data, i->value.len);
    return !agent_nft_recorded(b->record, i->key, &has) || has != *hash;
}

static void put_gone(struct agent_nft_batch *b)
{
    struct netctl_item i = {NULL, {NULL, 0}};
    while (netctl_tree_next(b->gone, "", &i)) {
        if (is_chain(i.key)) {
            agent_text_put(&b->text, "flush chain %s%s\n", family_of(i.key), i.key + 2);
        }
    }
    i.key = NULL;
    while (netctl_tree_next(b->gone, "", &i)) {
        const char *name = i.key + 2;
        if (is_chain(i.key)) {
            agent_text_put(&b->text, "delete chain %s%s\n", family_of(i.key), name);
        } else if (netctl_key_begins(i.key, AGENT_KEY_SET)) {
            agent_text_put(&b->text, "delete set " INET "s4_%s\ndelete set " INET "s6_%s\n", name,
                           name);
        } else {
            agent_text_put(&b->text, "delete set " INET "po_%s\ndelete set " INET "pi_%s\n", name,
                           name);
        }
        (void)netctl_tree_remove(&b->after, i.key);
        b->changes = true;
    }
}

void agent_nft_batch_make(struct agent_nft_batch *b, const struct agent_text *elements)
{
    struct netctl_item i = {NULL, {NULL, 0}};
    uint64_t hash;
    b->after = netctl_tree_copy(b->record);
    b->changes = elements->len > 0;
    agent_text_put(&b->text, "add table " BRIDGE "\nadd table " INET "\n");
    while (netctl_tree_next(b->sets, "", &i)) {
        put_set(b, i.key);
    }
    agent_text_put_bytes(&b->text, elements->len == 0 ? "" : elements->data, elements->len);
    i.key = NULL;
    while (netctl_tree_next(b->wanted, "", &i)) {
        if (!differs(b, &i, &hash)) {
            continue;
        }
        b->changes = true;
        if (is_chain(i.key)) {
            put_chain(b, i.key);
        } else {
            put_port_set(b, i.key + 2, i.value);
        }
    }
    b->changes = b->changes || b->gone->count > 0;
    i.key = NULL;
    while (netctl_tree_next(b->wanted, "", &i)) {
        bool other = differs(b, &i, &hash);
        if (is_chain(i.key) && (other || (b->changes && has_generation(i.key)))) {
            put_rules(b, i.key, (const char *)i.value.data, i.value.len);
        }
        if (other) {
            agent_nft_record(&b->after, i.key, hash);
        }
    }
    put_gone(b);
}
