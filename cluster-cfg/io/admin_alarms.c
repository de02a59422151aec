#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "cluster-cfg/io/admin.h"
#include "net/tls.h"

/* "REPORT_ALARM_NO_MAJORITY" gives "no-majority". */
static void code_of(const char *symbol, char *out, size_t cap)
{
    size_t n = 0;
    for (const char *p = symbol + strlen("REPORT_ALARM_"); *p != '\0' && n + 1 < cap; p++) {
        out[n++] = *p == '_' ? '-' : (char)tolower((unsigned char)*p);
    }
    out[n] = '\0';
}

static void add(json_t *alarms, const char *code, const char *group, const char *text)
{
    json_t *alarm = json_pack("{s:s,s:s}", "code", code, "text", text);
    if (group != NULL) {
        (void)json_object_set_new(alarm, "group", json_string(group));
    }
    (void)json_array_append_new(alarms, alarm);
}

static void add_starts(const struct voter *v, json_t *alarms)
{
    char text[TS_WHY_MAX + 64];
    size_t max;
    size_t known = voter_starts_known(v, &max);
    if (known == max) {
        (void)snprintf(text, sizeof(text),
                       "the voter remembers the starts of %zu disks, and has no room for another: "
                       "no replica and no voter can start on a new disk; those that are known "
                       "start as ever",
                       known);
        add(alarms, "voter-starts", NULL, text);
    } else if (known * 10 >= max * 9) {
        (void)snprintf(text, sizeof(text),
                       "the voter remembers the starts of %zu disks, and has room for %zu: when "
                       "there is none, no replica and no voter can start on a new disk",
                       known, max);
        add(alarms, "voter-starts", NULL, text);
    }
}

static void add_voter(const struct admin_state *s, json_t *alarms)
{
    char text[TS_WHY_MAX + 64];
    switch (admin_voter_state(&s->voter)) {
    case ADMIN_VOTER_NONE:
    case ADMIN_VOTER_READY:
        break;
    case ADMIN_VOTER_REGISTERING:
        (void)snprintf(text, sizeof(text),
                       "the voter waits until a majority of voters confirms its start (%u of %u)",
                       s->voter.confirmed, s->voter.voters);
        add(alarms, "voter-registering", NULL, text);
        break;
    case ADMIN_VOTER_FAILED:
        (void)snprintf(text, sizeof(text), "the voter is lost: %s", s->voter.why);
        add(alarms, "voter-failed", NULL, text);
        break;
    case ADMIN_VOTER_JOINING:
        add(alarms, "voter-joining", NULL,
            "the voter's new disk does not vote yet: each group's primary has to take it in, and "
            "a majority of the voters to agree");
        break;
    case ADMIN_VOTER_MISPLACED:
        (void)snprintf(text, sizeof(text),
                       "the voter's new disk can not come to vote: a group lists a disk that it is "
                       "not for; end this node, move its directory away, and say twinstep nic "
                       "replace %s --lost-voter DISK --yes, as \"voters\" of twinstep status "
                       "--json tells it on a NIC's machine",
                       s->self->name);
        add(alarms, "voter-misplaced", NULL, text);
        break;
    case ADMIN_VOTER_REPLACED:
        (void)snprintf(text, sizeof(text),
                       "the voter does not count: another disk has taken its place; end this node "
                       "and put that disk's directory back, or, when it is lost, move this one "
                       "away and say twinstep nic replace %s --yes",
                       s->self->name);
        add(alarms, "voter-replaced", NULL, text);
        break;
    case ADMIN_VOTER_CLONE:
        add(alarms, "voter-clone", NULL, s->voter.why);
        break;
    }
    if (s->voter.core != NULL) {
        add_starts(s->voter.core, alarms);
    }
    if (s->voter.core != NULL && !voter_is_joining(s->voter.core) &&
        voter_empty_registers(s->voter.core) > 0) {
        (void)snprintf(text, sizeof(text),
                       "the voter has no value for %zu registers that must have one; its disk "
                       "lost data",
                       voter_empty_registers(s->voter.core));
        add(alarms, "voter-empty-register", NULL, text);
    }
}

/* Who has never reported is silent when it had the time to. */
static bool is_silent(const struct admin_state *s, bool has, struct ts_mono at, struct ts_mono now)
{
    return ts_mono_since(has ? at : s->started, now) > ADMIN_SILENT_NS;
}

/* The text bears no name of this node: all voters tell the same. */
static void add_foreign(const struct admin_state *s, const struct admin_foreign *f, json_t *alarms)
{
    char text[512];
    char what[32 + CFG_NAME_MAX];
    char dir[32 + CFG_NAME_MAX];
    const char *node = admin_node_name(s->cluster, f->asked.node);
    const struct cfg_group *g = cfg_cluster_group(s->cluster, f->asked.group);
    bool voter = f->asked.kind == REG_OWNER_VOTER;
    const char *group = g == NULL ? "?" : g->name;
    (void)snprintf(what, sizeof(what), voter ? "the voter" : "the replica of %s", group);
    (void)snprintf(dir, sizeof(dir), voter ? "voter" : "groups/%s", group);
    (void)snprintf(text, sizeof(text),
                   "%s of %s runs on a disk that belongs to %s, and gets no answer: end %s, put "
                   "its own RUN/%s/%s back, or, when that is lost, move RUN/%s away and say "
                   "twinstep nic replace %s --yes",
                   what, node,
                   ts_nic_eq(f->asked.node, f->owner) ? "another part of it"
                                                      : admin_node_name(s->cluster, f->owner),
                   node, node, dir, node, node);
    add(alarms, "foreign-disk", voter || g == NULL ? NULL : g->name, text);
}

static void add_processes(const struct admin_state *s, struct ts_mono now, json_t *alarms)
{
    char text[160 + REPORT_SAID_MAX];
    if (is_silent(s, s->has_procs, s->procs_at, now)) {
        add(alarms, "nicd-silent", NULL, "nicd has not reported for a while: is it stopped?");
        return;
    }
    for (size_t i = 0; s->has_procs && i < s->procs.count; i++) {
        const struct report_proc *p = &s->procs.p[i];
        if (p->running) {
            continue;
        }
        const struct cfg_group *g = cfg_cluster_group(s->cluster, p->group);
        (void)snprintf(text, sizeof(text), "%s%s%s is down (last exit %d, started %u times)%s%s",
                       recorder_role_name(p->role), g == NULL ? "" : " of ",
                       g == NULL ? "" : g->name, p->last_status, p->starts,
                       p->said[0] == '\0' ? "" : ": ", p->said);
        add(alarms, "process-down", g == NULL ? NULL : g->name, text);
    }
}

static void add_peer(const struct admin_state *s, const struct report_peer *p, struct ts_mono now,
                     json_t *alarms)
{
    char text[400];
    const struct cfg_node *node = cfg_cluster_node(s->cluster, p->nic);
    if (node == NULL || ts_nic_eq(node->id, s->self->id)) {
        return;
    }
    if (!p->alive) {
        (void)snprintf(text, sizeof(text), "%s is not heard on any path%s", node->name,
                       !admin_wrong_key_is_fresh(&s->refused[node->id.v], now)
                           ? ""
                           : ": heartbeats that come from its addresses are refused, since they "
                             "are of another cluster or signed with another key; compare "
                             "RUN/NAME/tls/heartbeat.key of the nodes (all have the same one), and "
                             "restart the node whose key was wrong");
        add(alarms, "node-silent", NULL, text);
        return;
    }
    for (unsigned i = 0; i < node->path_count; i++) {
        if ((p->path_up_mask & (1U << i)) == 0) {
            (void)snprintf(text, sizeof(text), "path %u to %s (%s) is down", i + 1, node->name,
                           node->paths[i]);
            add(alarms, "path-down", NULL, text);
        }
    }
}

static void add_peers(const struct admin_state *s, struct ts_mono now, json_t *alarms)
{
    if (is_silent(s, s->has_peers, s->peers_at, now)) {
        add(alarms, "heartbeatd-silent", NULL,
            "heartbeatd has not reported for a while: is it stopped?");
        return;
    }
    for (size_t i = 0; s->has_peers && i < s->peers.count; i++) {
        add_peer(s, &s->peers.p[i], now, alarms);
    }
}

static void add_group(const struct admin_state *s, const struct cfg_group *g, struct ts_mono now,
                      json_t *alarms)
{
    static const struct {
        const char *symbol;
        const char *text;
    } LIST[] = {
#define ROW(sym, bit, text) [sym] = {#sym, text},
        REPORT_ALARM_LIST(ROW)
#undef ROW
    };
    char code[64];
    char text[64 + CFG_NAME_MAX + sizeof(s->replica[0].report.why)];
    const struct admin_replica *r = &s->replica[g->id.v];
    if (!admin_replica_runs(s, g->id)) {
        return; /* told as a process that is down */
    }
    struct ts_mono at = r->started.ns > r->at.ns ? r->started : r->at;
    if (is_silent(s, at.ns != 0, at, now)) {
        (void)snprintf(text, sizeof(text), "the replica of %s has not reported for a while",
                       g->name);
        add(alarms, "replica-silent", g->name, text);
        return;
    }
    for (unsigned i = 0; r->has && i < REPORT_ALARMS; i++) {
        if ((r->report.alarms & (1ULL << i)) != 0) {
            code_of(LIST[i].symbol, code, sizeof(code));
            add(alarms, code, g->name, LIST[i].text);
        }
    }
    if (r->has && r->report.role == REPORT_ROLE_HALTED) {
        (void)snprintf(text, sizeof(text), "the replica of %s halted%s%s", g->name,
                       r->report.why[0] == '\0' ? "" : ": ", r->report.why);
        add(alarms, "halted", g->name, text);
    }
}

/* Also where it is not needed now: it would be after a failover. */
static void add_address(const struct admin_state *s, const struct cfg_group *g, struct ts_mono now,
                        json_t *alarms)
{
    char text[128 + 2 * CFG_NAME_MAX + REPORT_INTERFACE_MAX + sizeof(s->address[0].report.why)];
    const struct report_address *r = admin_address_of(s, g->id, now);
    if (r == NULL || r->why[0] == '\0') {
        return;
    }
    if (r->interface[0] != '\0') {
        (void)snprintf(text, sizeof(text),
                       "%s has the service address of %s on %s, but clients may not find it there: "
                       "%s",
                       s->self->name, g->name, r->interface, r->why);
    } else {
        (void)snprintf(text, sizeof(text),
                       "%s cannot have the service address of %s, clients reach it at its own "
                       "addresses only: %s",
                       s->self->name, g->name, r->why);
    }
    add(alarms, "service-address", g->name, text);
}

/* The text bears no name of this node, so that what several nodes say is shown as one alarm. */
static void add_primary(const struct admin_state *s, const struct cfg_group *g, struct ts_mono now,
                        json_t *alarms)
{
    char text[160 + CFG_NAME_MAX];
    if (admin_primary_is_lost(s, g->id, now)) {
        (void)snprintf(text, sizeof(text),
                       "no primary of %s is heard here: start what is down, mend the network "
                       "between the nodes; \"why\" tells what a replica waits for",
                       g->name);
        add(alarms, ADMIN_ALARM_NO_PRIMARY, g->name, text);
    }
}

/* Links that stand go on; new ones are refused by the other nodes, who would not say so here. */
static void add_certificate(const struct admin_state *s, uint64_t wall_us, json_t *alarms)
{
    const struct admin_certificate *c = &s->certificate;
    const char *name = s->self->name;
    int64_t now = (int64_t)(wall_us / 1000000U);
    int64_t part = (c->until_s - c->from_s) / ADMIN_CERTIFICATE_PART;
    int64_t early = part < ADMIN_CERTIFICATE_S ? part : ADMIN_CERTIFICATE_S;
    char text[320];
    char date[NET_TLS_DATE_MAX];
    if (c->until_s == 0) {
        return;
    }
    if (now < c->from_s) {
        (void)snprintf(text, sizeof(text),
                       "the certificate of %s holds from %s on only, by this node's clock: set the "
                       "clock; until then no node takes a new link",
                       name, net_tls_date(c->from_s, date));
    } else if (now >= c->until_s - early) {
        (void)snprintf(
            text, sizeof(text),
            "the certificate of %s %s %s%s: issue it again with twinstep ca issue --force "
            "and send SIGHUP to its nicd",
            name, now >= c->until_s ? "expired at" : "expires at", net_tls_date(c->until_s, date),
            now >= c->until_s ? ", and no node takes a new link with it" : "");
    } else {
        return;
    }
    add(alarms, "certificate", NULL, text);
}

/* The text bears no name of this node. Which of the two has the wrong certificate is for people to
 * see: the one that no other node takes. */
static void add_refused(const struct admin_state *s, struct ts_mono now, json_t *alarms)
{
    char text[512];
    for (size_t i = 0; i < s->cluster->node_count; i++) {
        const struct cfg_node *node = &s->cluster->nodes[i];
        const struct admin_refused_peer *r = &s->refused[node->id.v];
        if (admin_refused_is_alarm(r, now)) {
            (void)snprintf(text, sizeof(text),
                           "no link to %s: %s; if it or this node has a certificate of another "
                           "authority (compare RUN/NAME/tls/ca.pem), issue that one again with "
                           "twinstep ca issue --force and the cluster's authority, and send SIGHUP "
                           "to its nicd",
                           node->name, r->why);
            add(alarms, "certificate", NULL, text);
        }
    }
}

json_t *admin_alarms_json(const struct admin_state *s, struct ts_mono now, uint64_t wall_us)
{
    json_t *alarms = json_array();
    add_certificate(s, wall_us, alarms);
    add_refused(s, now, alarms);
    add_voter(s, alarms);
    for (size_t i = 0; i < ADMIN_FOREIGN_MAX; i++) {
        if (admin_foreign_is_fresh(s, &s->foreign[i], now)) {
            add_foreign(s, &s->foreign[i], alarms);
        }
    }
    add_processes(s, now, alarms);
    add_peers(s, now, alarms);
    for (size_t i = 0; i < s->cluster->group_count; i++) {
        add_primary(s, &s->cluster->groups[i], now, alarms);
        if (cfg_group_has(&s->cluster->groups[i], s->self->id)) {
            add_group(s, &s->cluster->groups[i], now, alarms);
            add_address(s, &s->cluster->groups[i], now, alarms);
        }
    }
    return alarms;
}
