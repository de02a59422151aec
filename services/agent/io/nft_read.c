#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/memory.h"
#include "services/agent/io/nft.h"

#define ATTRIBUTES_MAX 32
#define COMMENT_TYPE 0 /* libnftnl's userdata of a rule */
#define HASH_FOREIGN 0x5bd1e9955bd1e995ULL

void agent_nft_record(struct netctl_tree *record, const char *key, uint64_t hash)
{
    netctl_tree_put(record, key, (struct ts_bytes){(const uint8_t *)&hash, sizeof(hash)});
}

bool agent_nft_recorded(const struct netctl_tree *record, const char *key, uint64_t *hash)
{
    struct ts_bytes value = netctl_tree_get(record, key);
    if (value.data == NULL || value.len != sizeof(*hash)) {
        return false;
    }
    memcpy(hash, value.data, sizeof(*hash));
    return true;
}

enum ts_err agent_nft_open(struct agent_nft *n, struct ts_why *why)
{
    enum ts_err err = ts_netlink_open(&n->bus, NETLINK_NETFILTER, AGENT_RTNL_ANSWER_S, why);
    if (err != TS_OK) {
        return err;
    }
    n->context = nft_ctx_new(NFT_CTX_DEFAULT);
    if (n->context == NULL || nft_ctx_buffer_error(n->context) != 0 ||
        nft_ctx_buffer_output(n->context) != 0) {
        agent_nft_close(n);
        return ts_why(why, TS_ERR_NOMEM, "cannot make an nftables context");
    }
    return TS_OK;
}

void agent_nft_close(struct agent_nft *n)
{
    ts_netlink_close(&n->bus);
    if (n->context != NULL) {
        nft_ctx_free(n->context);
        n->context = NULL;
    }
}

enum ts_err agent_nft_commit(struct agent_nft *n, const char *batch, struct agent_error *error)
{
    if (nft_run_cmd_from_buffer(n->context, batch) == 0) {
        return TS_OK;
    }
    const char *said = nft_ctx_get_error_buffer(n->context);
    (void)snprintf(error->text, sizeof(error->text), "the kernel does not take the rules: %.300s",
                   said == NULL ? "" : said);
    for (char *c = error->text; *c != '\0'; c++) {
        *c = *c == '\n' || *c == '\t' ? ' ' : *c;
    }
    return TS_ERR_SYSTEM;
}

/* ---- netlink ---- */

struct attributes {
    const struct nlattr *of[ATTRIBUTES_MAX];
};

static int on_attribute(const struct nlattr *attr, void *arg)
{
    struct attributes *a = arg;
    if (mnl_attr_get_type(attr) < ATTRIBUTES_MAX) {
        a->of[mnl_attr_get_type(attr)] = attr;
    }
    return MNL_CB_OK;
}

static struct attributes attributes_in(const struct nlattr *nest)
{
    struct attributes a = {0};
    if (nest != NULL) {
        (void)mnl_attr_parse_nested(nest, on_attribute, &a);
    }
    return a;
}

static bool is_text(const struct nlattr *attr, const char *text)
{
    return attr != NULL && strncmp(mnl_attr_get_str(attr), text, strlen(text) + 1) == 0;
}

struct question {
    uint8_t family;
    const char *table_attribute_of; /* a chain or a set; NULL: of the whole table */
    bool elements;
};

static void fill(struct nlmsghdr *h, void *arg)
{
    const struct question *q = arg;
    struct nfgenmsg *m = mnl_nlmsg_put_extra_header(h, sizeof(*m));
    m->nfgen_family = q->family;
    m->version = NFNETLINK_V0;
    mnl_attr_put_strz(h, NFTA_RULE_TABLE, AGENT_NFT_TABLE);
    if (q->table_attribute_of != NULL) {
        mnl_attr_put_strz(h, NFTA_RULE_CHAIN, q->table_attribute_of);
    }
}

_Static_assert((int)NFTA_RULE_TABLE == (int)NFTA_SET_ELEM_LIST_TABLE &&
                   (int)NFTA_RULE_CHAIN == (int)NFTA_SET_ELEM_LIST_SET,
               "one question serves both");

static int dump(struct agent_nft *n, uint16_t type, struct question *q, mnl_cb_t told,
                void (*again)(void *), void *arg)
{
    int err = agent_rtnl_dump(&n->bus, (uint16_t)(NFNL_SUBSYS_NFTABLES << 8 | type), fill, q, told,
                              again, arg);
    return err == ENOENT ? 0 : err; /* no such table: it has nothing */
}

static const char *prefix_of(uint8_t family)
{
    return family == NFPROTO_BRIDGE ? AGENT_KEY_BRIDGE : AGENT_KEY_INET;
}

/* ---- rules ---- */

struct rule_reader {
    struct agent_nft_rules *rules;
    size_t before;
};

static int on_expression(const struct nlattr *one, void *arg)
{
    struct agent_nft_rule *r = arg;
    struct attributes e = attributes_in(one);
    if (is_text(e.of[NFTA_EXPR_NAME], "counter")) {
        struct attributes c = attributes_in(e.of[NFTA_EXPR_DATA]);
        const struct nlattr *bytes = c.of[NFTA_COUNTER_BYTES];
        const struct nlattr *packets = c.of[NFTA_COUNTER_PACKETS];
        r->bytes = bytes == NULL ? 0 : be64toh(mnl_attr_get_u64(bytes));
        r->packets = packets == NULL ? 0 : be64toh(mnl_attr_get_u64(packets));
    }
    return MNL_CB_OK;
}

static void take_counter(struct agent_nft_rule *r, const struct nlattr *expressions)
{
    if (expressions != NULL) {
        (void)mnl_attr_parse_nested(expressions, on_expression, r);
    }
}

/* "ID.HASH" */
static void take_comment(struct agent_nft_rule *r, const struct nlattr *data)
{
    size_t len = data == NULL ? 0 : mnl_attr_get_payload_len(data);
    const uint8_t *bytes = data == NULL ? NULL : mnl_attr_get_payload(data);
    char text[64] = "";
    char end = 0;
    if (len > 2 && bytes[0] == COMMENT_TYPE && bytes[1] <= len - 2 && bytes[1] < sizeof(text)) {
        memcpy(text, bytes + 2, bytes[1]);
    }
    unsigned long long hash = 0;
    unsigned id = 0;
    if (sscanf(text, "%u.%16llx%c", &id, &hash, &end) == 2) { // NOLINT(cert-err34-c)
        r->id = id;
        r->hash = hash;
    }
}

static int on_rule(const struct nlmsghdr *h, void *arg)
{
    struct rule_reader *reader = arg;
    struct agent_nft_rules *rules = reader->rules;
    const struct nfgenmsg *m = mnl_nlmsg_get_payload(h);
    struct attributes a = {0};
    (void)mnl_attr_parse(h, sizeof(*m), on_attribute, &a);
    if (!is_text(a.of[NFTA_RULE_TABLE], AGENT_NFT_TABLE) || a.of[NFTA_RULE_CHAIN] == NULL) {
        return MNL_CB_OK;
    }
    if (rules->count == rules->room) {
        rules->room = rules->room == 0 ? 64 : 2 * rules->room;
        rules->rule = realloc(rules->rule, rules->room * sizeof(*rules->rule));
        ts_must(rules->rule);
    }
    struct agent_nft_rule *r = &rules->rule[rules->count++];
    memset(r, 0, sizeof(*r));
    (void)snprintf(r->chain, sizeof(r->chain), "%s%s", prefix_of(m->nfgen_family),
                   mnl_attr_get_str(a.of[NFTA_RULE_CHAIN]));
    take_comment(r, a.of[NFTA_RULE_USERDATA]);
    take_counter(r, a.of[NFTA_RULE_EXPRESSIONS]);
    return MNL_CB_OK;
}

static void forget_rules(void *arg)
{
    struct rule_reader *r = arg;
    r->rules->count = r->before;
}

static int read_chain(struct agent_nft *n, const char *chain, struct agent_nft_rules *rules)
{
    struct rule_reader r = {rules, rules->count};
    bool bridge = netctl_key_begins(chain, AGENT_KEY_BRIDGE);
    struct question q = {bridge ? NFPROTO_BRIDGE : NFPROTO_INET, chain + 2, false};
    return dump(n, NFT_MSG_GETRULE, &q, on_rule, forget_rules, &r);
}

/* ---- chains and sets ---- */

static int on_chain(const struct nlmsghdr *h, void *arg)
{
    struct netctl_tree *record = arg;
    const struct nfgenmsg *m = mnl_nlmsg_get_payload(h);
    struct attributes a = {0};
    char key[AGENT_CHAIN_KEY_MAX];
    (void)mnl_attr_parse(h, sizeof(*m), on_attribute, &a);
    if (is_text(a.of[NFTA_CHAIN_TABLE], AGENT_NFT_TABLE) && a.of[NFTA_CHAIN_NAME] != NULL) {
        (void)snprintf(key, sizeof(key), "%s%s", prefix_of(m->nfgen_family),
                       mnl_attr_get_str(a.of[NFTA_CHAIN_NAME]));
        agent_nft_record(record, key, 0);
    }
    return MNL_CB_OK;
}

static void forget_nothing(void *arg)
{
    (void)arg; /* what is put twice is there once */
}

static int read_chains(struct agent_nft *n, struct netctl_tree *record)
{
    struct question bridge = {NFPROTO_BRIDGE, NULL, false};
    struct question inet = {NFPROTO_INET, NULL, false};
    int err = dump(n, NFT_MSG_GETCHAIN, &bridge, on_chain, forget_nothing, record);
    return err != 0 ? err : dump(n, NFT_MSG_GETCHAIN, &inet, on_chain, forget_nothing, record);
}

enum ts_err agent_nft_read_rules(struct agent_nft *n, const char *chain,
                                 struct agent_nft_rules *rules, struct ts_why *why)
{
    struct netctl_tree chains = netctl_tree_make(0);
    struct netctl_item i = {NULL, {NULL, 0}};
    int err = chain != NULL ? read_chain(n, chain, rules) : read_chains(n, &chains);
    /* One by one: each part of a dump of all of them the kernel begins by counting from the first
     * rule on, seconds of it with some ten thousand. */
    while (err == 0 && netctl_tree_next(&chains, "", &i)) {
        err = read_chain(n, i.key, rules);
    }
    netctl_tree_free(&chains);
    return err == 0 ? TS_OK : ts_why_sys(why, err, "cannot list the kernel's nft rules");
}

static int on_set(const struct nlmsghdr *h, void *arg)
{
    struct netctl_tree *names = arg;
    static const uint8_t nothing[1];
    struct attributes a = {0};
    (void)mnl_attr_parse(h, sizeof(struct nfgenmsg), on_attribute, &a);
    if (is_text(a.of[NFTA_SET_TABLE], AGENT_NFT_TABLE) && a.of[NFTA_SET_NAME] != NULL) {
        const char *name = mnl_attr_get_str(a.of[NFTA_SET_NAME]);
        if (name[0] != '\0' && name[0] != '_') { /* those belong to a rule */
            netctl_tree_put(names, name, (struct ts_bytes){nothing, 0});
        }
    }
    return MNL_CB_OK;
}

/* The ends of what a set covers: each start and each end behind it, sorted, those that meet taken
 * out. A kernel may keep both of two that meet, or neither. */
struct ends {
    struct agent_address *end;
    size_t count;
    size_t room;
};

static void put_end(struct ends *e, const void *bytes, size_t len)
{
    if (e->count == e->room) {
        e->room = e->room == 0 ? 64 : 2 * e->room;
        e->end = realloc(e->end, e->room * sizeof(*e->end));
        ts_must(e->end);
    }
    struct agent_address *a = &e->end[e->count++];
    memset(a, 0, sizeof(*a));
    memcpy(a->bytes, bytes, len);
}

static int by_bytes(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(struct agent_address));
}

static uint64_t hash_ends(struct ends *e, uint64_t hash)
{
    size_t kept = 0;
    if (e->count > 0) {
        qsort(e->end, e->count, sizeof(*e->end), by_bytes);
    }
    for (size_t i = 0; i < e->count; i++) {
        if (kept > 0 && by_bytes(&e->end[kept - 1], &e->end[i]) == 0) {
            kept--;
        } else {
            e->end[kept++] = e->end[i];
        }
    }
    for (size_t i = 0; i < kept; i++) {
        hash = ts_hash_seeded(hash, e->end[i].bytes, sizeof(e->end[i].bytes));
    }
    free(e->end);
    *e = (struct ends){0};
    return hash;
}

static void put_prefix(struct ends *e, const struct agent_address *a)
{
    size_t size = agent_address_size(a);
    struct agent_address last = *a;
    put_end(e, a->bytes, size);
    unsigned carry = a->bits == 0 ? 0x100U : 1U << (7 - (a->bits - 1) % 8);
    size_t at = a->bits == 0 ? 0 : (size_t)(a->bits - 1) / 8;
    for (size_t i = at + 1; carry != 0 && i > 0 && a->bits > 0; i--) {
        carry += last.bytes[i - 1];
        last.bytes[i - 1] = (uint8_t)carry;
        carry >>= 8;
    }
    if (carry == 0) { /* else it reaches the end of all addresses */
        put_end(e, last.bytes, size);
    }
}

uint64_t agent_nft_cover_hash(const struct netctl_tree *table, const char *set)
{
    uint64_t hash = 0;
    for (int family = 4; family <= 6; family += 2) {
        size_t count;
        struct ends e = {0};
        struct agent_address *list = agent_set_cover(table, set, family, &count);
        for (size_t i = 0; i < count; i++) {
            put_prefix(&e, &list[i]);
        }
        free(list);
        hash = hash_ends(&e, hash);
    }
    return hash;
}

struct element_reader {
    struct ends ends;
    struct agent_text marks;
};

static void forget_elements(void *arg)
{
    struct element_reader *r = arg;
    r->ends.count = 0;
    agent_text_clear(&r->marks);
}

static int on_element(const struct nlattr *one, void *arg)
{
    static const uint8_t zeros[16];
    struct element_reader *r = arg;
    struct attributes e = attributes_in(one);
    struct attributes key = attributes_in(e.of[NFTA_SET_ELEM_KEY]);
    const struct nlattr *value = key.of[NFTA_DATA_VALUE];
    size_t len = value == NULL ? 0 : mnl_attr_get_payload_len(value);
    const struct nlattr *flags = e.of[NFTA_SET_ELEM_FLAGS];
    bool end = flags != NULL && (ntohl(mnl_attr_get_u32(flags)) & NFT_SET_ELEM_INTERVAL_END) != 0;
    bool good = len == 4 || len == 16;
    /* An end before the first start says nothing. */
    if (good && !(end && memcmp(mnl_attr_get_payload(value), zeros, len) == 0)) {
        put_end(&r->ends, mnl_attr_get_payload(value), len);
    }
    return MNL_CB_OK;
}

static int on_elements(const struct nlmsghdr *h, void *arg)
{
    struct attributes a = {0};
    (void)mnl_attr_parse(h, sizeof(struct nfgenmsg), on_attribute, &a);
    const struct nlattr *list = a.of[NFTA_SET_ELEM_LIST_ELEMENTS];
    return list == NULL ? MNL_CB_OK : mnl_attr_parse_nested(list, on_element, arg);
}

static int by_number(const void *a, const void *b)
{
    uint32_t x;
    uint32_t y;
    memcpy(&x, ((const struct agent_address *)a)->bytes, sizeof(x));
    memcpy(&y, ((const struct agent_address *)b)->bytes, sizeof(y));
    return x < y ? -1 : x > y;
}

/* As agent_ruleset_heads writes them. */
static uint64_t hash_marks(struct element_reader *r)
{
    if (r->ends.count > 0) {
        qsort(r->ends.end, r->ends.count, sizeof(*r->ends.end), by_number);
    }
    for (size_t i = 0; i < r->ends.count; i++) {
        uint32_t mark;
        memcpy(&mark, r->ends.end[i].bytes, sizeof(mark));
        agent_text_put(&r->marks, "%u ", mark);
    }
    struct ts_bytes text = agent_text_bytes(&r->marks);
    uint64_t hash = agent_chain_hash((const char *)text.data, text.len);
    agent_text_free(&r->marks);
    free(r->ends.end);
    return hash;
}

static int read_elements(struct agent_nft *n, const char *prefix, const char *set,
                         struct element_reader *r)
{
    char name[AGENT_SET_NAME_MAX + 8];
    (void)snprintf(name, sizeof(name), "%s%s", prefix, set);
    struct question q = {NFPROTO_INET, name, true};
    return dump(n, NFT_MSG_GETSETELEM, &q, on_elements, forget_elements, r);
}

/* Records one set, when it is the first of its pair and the other is there, too. */
static int read_set(struct agent_nft *n, const struct netctl_tree *names, const char *name,
                    struct netctl_tree *record)
{
    struct element_reader r = {0};
    char other[AGENT_SET_NAME_MAX + 8];
    char key[AGENT_CHAIN_KEY_MAX];
    bool addresses = strncmp(name, "s4_", 3) == 0;
    if (!addresses && strncmp(name, "po_", 3) != 0) {
        return 0;
    }
    (void)snprintf(other, sizeof(other), "%s%.64s", addresses ? "s6_" : "pi_", name + 3);
    if (netctl_tree_get(names, other).data == NULL) {
        return 0;
    }
    (void)snprintf(key, sizeof(key), "%s%.64s", addresses ? AGENT_KEY_SET : AGENT_KEY_PORT_SET,
                   name + 3);
    int err = read_elements(n, addresses ? "s4_" : "po_", name + 3, &r);
    if (!addresses || err != 0) {
        agent_nft_record(record, key, hash_marks(&r));
        return err;
    }
    uint64_t hash = hash_ends(&r.ends, 0);
    err = read_elements(n, "s6_", name + 3, &r);
    agent_nft_record(record, key, hash_ends(&r.ends, hash));
    return err;
}

enum ts_err agent_nft_read(struct agent_nft *n, struct agent_nft_rules *rules,
                           struct netctl_tree *record, struct ts_why *why)
{
    struct netctl_tree names = netctl_tree_make(0);
    struct netctl_item i = {NULL, {NULL, 0}};
    struct question inet = {NFPROTO_INET, NULL, false};
    netctl_tree_free(record);
    int err = read_chains(n, record);
    err = err != 0 ? err : dump(n, NFT_MSG_GETSET, &inet, on_set, forget_nothing, &names);
    while (err == 0 && netctl_tree_next(&names, "", &i)) {
        err = read_set(n, &names, i.key, record);
    }
    netctl_tree_free(&names);
    if (err != 0) {
        return ts_why_sys(why, err, "cannot list the kernel's nft tables");
    }
    enum ts_err result = agent_nft_read_rules(n, NULL, rules, why);
    uint64_t hash = 0;
    for (size_t r = 0; result == TS_OK && r < rules->count; r++) {
        const struct agent_nft_rule *one = &rules->rule[r];
        uint64_t line = one->hash != 0 ? one->hash : HASH_FOREIGN;
        hash = r > 0 && strcmp(rules->rule[r - 1].chain, one->chain) == 0 ? hash : 0;
        hash = ts_hash_seeded(hash, &line, sizeof(line));
        if (r + 1 == rules->count || strcmp(rules->rule[r + 1].chain, one->chain) != 0) {
            agent_nft_record(record, one->chain, hash);
        }
    }
    return result;
}
