/* The trace as a story: when, where, what, in the words of the glossary. */
#include <stdarg.h>
#include <string.h>

#include "tests/sim/sim.h"

const char *sim_node_name(const struct sim *s, int node)
{
    return node >= 1 && node <= s->nodes ? s->cluster.nodes[node - 1].name : "world";
}

void sim_story_line(const struct sim *s, int node, const char *format, ...)
{
    va_list ap;
    printf("%9.4f s  %-5s  ", (double)s->now / 1e9, node == 0 ? "--" : sim_node_name(s, node));
    va_start(ap, format);
    (void)vprintf(format, ap);
    va_end(ap);
    printf("\n");
}

static void set_text(const struct sim *s, uint64_t mask, char *out, size_t cap)
{
    size_t at = 0;
    out[0] = '\0';
    for (int n = 1; n <= s->nodes && at < cap; n++) {
        if ((mask >> n & 1) != 0) {
            at += (size_t)snprintf(out + at, cap - at, "%s%s", at == 0 ? "" : ",",
                                   sim_node_name(s, n));
        }
    }
}

/* Replication's traces as sentences; false for those that are printed as they are. */
static bool tell(const struct sim *s, int node, const struct ts_trace *t)
{
    char set[64];
    const char *peer = sim_node_name(s, (int)(t->a > SIM_NODES_MAX ? 0 : t->a));
    unsigned long long epoch = t->epoch.v;
    unsigned long long a = t->a;
    unsigned long long seq = t->seq.v;
    switch ((int)t->kind) {
    case TS_TRACE_ROLE:
        sim_story_line(s, node, "is %s%s%s", report_trace_role_text(t->a), t->b == 0 ? "" : ": ",
                       report_why_text(t->b));
        return true;
    case TS_TRACE_EVIDENCE:
        sim_story_line(s, node, "takes %s for lost: %s", peer, report_evidence_text(t->b));
        return true;
    case TS_TRACE_PREPARED:
        sim_story_line(s, node, "a majority of voters promises, and shows epoch %llu", a);
        return true;
    case TS_TRACE_SEALED:
        sim_story_line(s, node, "has sealed all epochs up to %llu; its log ends at %llu", a, seq);
        return true;
    case TS_TRACE_CAS_SENT:
        sim_story_line(s, node, "proposes a config to follow epoch %llu", a);
        return true;
    case TS_TRACE_CAS_DONE:
        sim_story_line(s, node, "its proposal %s; epoch %llu is decided",
                       t->a != 0 ? "is decided" : "lost", (unsigned long long)t->b);
        return true;
    case TS_TRACE_ACTIVE:
        sim_story_line(s, node, "serves as primary of epoch %llu from %llu on", epoch, seq);
        return true;
    case TS_TRACE_STEP_DOWN:
        sim_story_line(s, node, "is primary no more: %s is", peer);
        return true;
    case TS_TRACE_IN_SYNC_REMOVE:
        sim_story_line(s, node, "removes %s from the in-sync set: %s", peer,
                       report_evidence_text(t->b));
        return true;
    case TS_TRACE_IN_SYNC_ADD:
        sim_story_line(s, node, "requires %s from %llu on", peer, (unsigned long long)t->b);
        return true;
    case TS_TRACE_REFUSED:
        sim_story_line(s, node, "%s refuses epoch %llu: its floor is %llu", peer, epoch,
                       (unsigned long long)t->b);
        return true;
    case TS_TRACE_TRUNCATED:
        sim_story_line(s, node, "cuts %llu entries after %llu off its log",
                       (unsigned long long)t->b, a);
        return true;
    case TS_TRACE_LEARNER_START:
        sim_story_line(s, node, "streams to the learner %s from %llu", peer,
                       (unsigned long long)t->b);
        return true;
    case TS_TRACE_CONFIG:
        set_text(s, t->b, set, sizeof(set));
        sim_story_line(s, node, "follows epoch %llu: primary %s, in sync {%s}", epoch, peer, set);
        return true;
    default:
        return false;
    }
}

/* The same for voters and heartbeatd. */
static bool tell_others(const struct sim *s, int node, enum sim_proc proc, const struct ts_trace *t)
{
    const char *peer = sim_node_name(s, (int)(t->a > SIM_NODES_MAX ? 0 : t->a));
    const char *proposer = sim_node_name(s, (int)(t->b > SIM_NODES_MAX ? 0 : t->b));
    unsigned long long a = t->a;
    unsigned long long b = t->b;
    switch ((int)t->kind) {
    case TS_TRACE_VOTER_PROMISED:
        sim_story_line(s, node, "voter promises ballot %llu to %s", a, proposer);
        return true;
    case TS_TRACE_VOTER_ACCEPTED:
        sim_story_line(s, node, "voter accepts a value in ballot %llu of %s", a, proposer);
        return true;
    case TS_TRACE_VOTER_REFUSED:
        sim_story_line(s, node, "voter refuses ballot %llu: it promised %llu", a, b);
        return true;
    case TS_TRACE_START_REGISTERED:
        if (proc == SIM_CFGD) {
            return true; /* what matters is the majority, which the process tells */
        }
        sim_story_line(s, node, "its start %llu is registered", a);
        return true;
    case TS_TRACE_START_REFUSED:
        sim_story_line(s, node, "voter refuses start %llu: it knows of start %llu", a, b);
        return true;
    case TS_TRACE_PATH_UP:
    case TS_TRACE_PATH_DOWN:
        sim_story_line(s, node, "path %llu to %s is %s", b, peer,
                       t->kind == TS_TRACE_PATH_UP ? "up" : "down");
        return true;
    case TS_TRACE_PEER_UP:
    case TS_TRACE_PEER_DOWN:
        sim_story_line(s, node, "%s is %s", peer,
                       t->kind == TS_TRACE_PEER_UP ? "alive" : "silent on all paths");
        return true;
    default:
        return false;
    }
}

void sim_story_trace(struct sim *s, int node, enum sim_proc proc, const struct ts_trace *t)
{
    uint64_t parts[] = {(uint64_t)t->kind, t->at.ns, t->epoch.v, t->seq.v, t->a, t->b};
    sim_course(s, (uint64_t)node, parts, sizeof(parts));
    static const char *const procs[] = {"", "nicd", "heartbeatd", "voter", "replica"};
    char line[200];
    bool dull = t->kind == TS_TRACE_LINK_UP || t->kind == TS_TRACE_LINK_DOWN;
    if (!s->options.trace || dull || tell(s, node, t) || tell_others(s, node, proc, t)) {
        return;
    }
    (void)ts_trace_format(t, line, sizeof(line));
    sim_story_line(s, node, "%s: %s", procs[proc], line);
}

static void replica_state(const struct sim *s, int n, FILE *out)
{
    const struct sim_replica *r = &s->node[n].replica;
    struct repl_status st;
    if (r->core == NULL) {
        fprintf(out, "  %s: the replica does not run%s\n", sim_node_name(s, n),
                r->disk.lost ? ", its disk is lost" : "");
        return;
    }
    repl_status(r->core, &st);
    fprintf(out,
            "  %s: %s%s%s%s%s, epoch %llu, floor %llu, log to %llu, on disk %llu, applied %llu, "
            "required %llx\n",
            sim_node_name(s, n), report_trace_role_text(st.role), st.active ? ", active" : "",
            st.blocked ? ", blocked" : "", st.why == REPL_WHY_NONE ? "" : ": ",
            report_why_text(st.why), (unsigned long long)st.config.epoch.v,
            (unsigned long long)st.floor.v, (unsigned long long)st.tail.seq.v,
            (unsigned long long)st.persisted.v, (unsigned long long)st.applied.v,
            (unsigned long long)st.required_mask);
    for (size_t i = 0; i < st.peer_count; i++) {
        fprintf(out, "        %s: %s, evidence: %s, acknowledged %llu\n",
                sim_node_name(s, st.peers[i].nic.v), st.peers[i].connected ? "connected" : "away",
                repl_evidence_name(st.peers[i].evidence),
                (unsigned long long)st.peers[i].acked.seq.v);
    }
}

void sim_story_state(const struct sim *s, FILE *out)
{
    char set[64];
    set_text(s, cfg_set_mask(&s->checks.decided.in_sync), set, sizeof(set));
    fprintf(out, "  decided: epoch %llu, primary %s, in sync {%s}; %llu entries committed\n",
            (unsigned long long)s->checks.decided.epoch.v,
            sim_node_name(s, s->checks.decided.primary.v), set,
            (unsigned long long)s->checks.entries);
    for (int n = 1; n <= s->nodes; n++) {
        const struct sim_cfgd *c = &s->node[n].cfgd;
        fprintf(out, "  %s: voter %s\n", sim_node_name(s, n),
                c->core == NULL             ? "does not vote"
                : voter_has_failed(c->core) ? "has failed"
                : voter_is_ready(c->core)   ? "votes"
                                            : "waits for its start to be registered");
        if (n <= s->nics) {
            replica_state(s, n, out);
        }
    }
}
