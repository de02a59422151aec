#include <stdio.h>
#include <string.h>

#include "services/agent/ruleset.h"

#define ICMP 1
#define ICMP6 58

/* ---- parts of a match ---- */

static void put_ranges(struct agent_text *t, const char *word, const struct agent_range *r,
                       size_t count)
{
    for (size_t i = 0; i < count; i++) {
        agent_text_put(t, i == 0 ? "%s { " : ", ", word);
        agent_text_put(t, r[i].first == r[i].last ? "%u" : "%u-%u", (unsigned)r[i].first,
                       (unsigned)r[i].last);
    }
    if (count > 0) {
        agent_text_put(t, " } ");
    }
}

void agent_service_words(const struct agent_service *s, struct agent_text *t)
{
    const char *name = s->protocol == 6 ? "tcp" : s->protocol == 17 ? "udp" : "sctp";
    char word[16];
    if (s->sources + s->destinations > 0) {
        (void)snprintf(word, sizeof(word), "%s sport", name);
        put_ranges(t, word, s->source, s->sources);
        (void)snprintf(word, sizeof(word), "%s dport", name);
        put_ranges(t, word, s->destination, s->destinations);
        return;
    }
    const char *icmp = s->protocol == ICMP ? "icmp" : "icmpv6";
    agent_text_put(t, "meta l4proto %u ", (unsigned)s->protocol);
    if (s->type >= 0) {
        agent_text_put(t, "%s type %d ", icmp, s->type);
    }
    if (s->code >= 0) {
        agent_text_put(t, "%s code %d ", icmp, s->code);
    }
}

/* How many alternatives a side has: one, if it is any or none of the sets. */
static size_t alternatives(const struct agent_sets *s)
{
    return s->any || s->negated ? 1 : s->count;
}

static void put_side(struct agent_text *t, const struct agent_sets *s, size_t which, int family,
                     const char *word)
{
    const char *ip = family == 4 ? "ip" : "ip6";
    if (s->any) {
        return;
    }
    if (!s->negated) {
        agent_text_put(t, "%s %s @s%d_%s ", ip, word, family, s->name[which]);
        return;
    }
    for (size_t i = 0; i < s->count; i++) {
        agent_text_put(t, "%s %s != @s%d_%s ", ip, word, family, s->name[i]);
    }
}

/* ---- a rule's lines ---- */

struct build {
    const struct agent_rule *rule;
    bool out;
    struct agent_text *text;
    size_t lines;
};

/* Which of the alternatives. */
struct pick {
    int family;
    size_t port;
    size_t source;
    size_t destination;
    size_t service;
};

static void put_match(const struct build *b, const struct pick *p)
{
    const struct agent_rule *r = b->rule;
    agent_text_put(b->text, "%u\t", r->id);
    if (!r->ports.any) {
        agent_text_put(b->text, "meta mark & 0x%x @%s_%s ",
                       b->out ? AGENT_MARK_FROM : AGENT_MARK_TO, b->out ? "po" : "pi",
                       r->ports.name[p->port]);
    }
    if (p->family != 0 && r->sources.any && r->destinations.any) {
        agent_text_put(b->text, "meta nfproto ipv%d ", p->family);
    }
    put_side(b->text, &r->sources, p->source, p->family, "saddr");
    put_side(b->text, &r->destinations, p->destination, p->family, "daddr");
    if (r->services > 0) {
        agent_service_words(&r->service[p->service], b->text);
    }
}

static void put_verdict(const struct build *b)
{
    const struct agent_rule *r = b->rule;
    agent_text_put(b->text, "@C@ ");
    if (r->action == AGENT_DROP) {
        agent_text_put(b->text, "ct mark set 0 drop\n");
        return;
    }
    if (r->action == AGENT_REJECT) {
        agent_text_put(b->text, "ct mark set 0 goto refuse\n");
        return;
    }
    if (r->action == AGENT_DETECT) {
        agent_text_put(b->text, "ct mark set ct mark | 0x%x ", AGENT_MARK_DETECT);
    }
    if (r->stateful) {
        agent_text_put(b->text, "meta mark set meta mark | 0x%x ",
                       b->out ? AGENT_MARK_OUT : AGENT_MARK_IN);
    }
    agent_text_put(b->text, "accept\n");
}

/* A service that the family has. */
static bool fits(const struct agent_rule *r, const struct pick *p)
{
    if (r->services == 0 || p->family == 0) {
        return true;
    }
    uint8_t protocol = r->service[p->service].protocol;
    return !(protocol == ICMP && p->family == 6) && !(protocol == ICMP6 && p->family == 4);
}

static bool put_lines(struct build *b, const struct pick *p)
{
    const struct agent_rule *r = b->rule;
    b->lines += r->logged ? 2 : 1;
    if (b->lines > AGENT_LINES_MAX) {
        return false;
    }
    if (r->logged) {
        put_match(b, p);
        agent_text_put(b->text,
                       "limit rate 50/second burst 100 packets "
                       "log prefix \"" AGENT_NFT_TABLE " %u %s: \"\n",
                       r->id, r->log);
    }
    put_match(b, p);
    put_verdict(b);
    return true;
}

/* All alternatives of one family. */
static bool put_family(struct build *b, int family)
{
    const struct agent_rule *r = b->rule;
    size_t ports = alternatives(&r->ports);
    size_t sources = alternatives(&r->sources);
    size_t destinations = alternatives(&r->destinations);
    size_t services = r->services == 0 ? 1 : r->services;
    size_t all = ports * sources * destinations * services;
    for (size_t i = 0; i < all; i++) {
        struct pick p = {family, i % ports, i / ports % sources, i / ports / sources % destinations,
                         i / ports / sources / destinations};
        if (fits(r, &p) && !put_lines(b, &p)) {
            return false;
        }
    }
    return true;
}

enum ts_err agent_rule_lines(const struct agent_rule *rule, bool out, struct agent_text *t,
                             struct agent_error *error)
{
    struct build b = {rule, out, t, 0};
    size_t len = t->len;
    bool by_address = !rule->sources.any || !rule->destinations.any;
    bool good = true;
    if (by_address && rule->family == 0) {
        good = put_family(&b, 4) && put_family(&b, 6);
    } else {
        good = put_family(&b, rule->family);
    }
    if (!good) {
        t->len = len;
        (void)snprintf(error->text, sizeof(error->text),
                       "rule %s: its sets, services and ports make more than %d rules of the "
                       "kernel: use fewer of each",
                       rule->order, AGENT_LINES_MAX);
        return TS_ERR_LIMIT;
    }
    return TS_OK;
}
