/* The trace as a story: when, where, what, in the words of the glossary. */
#include <stdarg.h>
#include <string.h>

#include "services/kv/commands.h"
#include "tests/sim/sim.h"

/* Of an answer or a value. */
#define WORD_MAX 24
/* "NIC 40 (of no cluster)" */
#define WHO_MAX 40

const char *sim_node_name(const struct sim *s, int node)
{
    return node >= 1 && node <= s->nodes ? s->cluster.nodes[node - 1].name : "nobody";
}

/* The same for one that a trace names; a false config lists NICs that nobody knows. */
static const char *name_of(const struct sim *s, uint64_t id, char out[WHO_MAX])
{
    if (id >= 1 && id <= (uint64_t)s->nodes) {
        return sim_node_name(s, (int)id);
    }
    (void)snprintf(out, WHO_MAX, "NIC %llu (of no cluster)", (unsigned long long)id);
    return out;
}

/* A fault that has not done anything yet. */
static char held[SIM_STORY_FAULT_MAX];

static void begin_line(const struct sim *s, int node)
{
    if (held[0] != '\0') {
        printf("%9.4f s  --     FAULT %s\n", (double)s->now / 1e9, held);
        held[0] = '\0';
    }
    printf("%9.4f s  %-5s  ", (double)s->now / 1e9, node == 0 ? "--" : sim_node_name(s, node));
}

void sim_story_fault(const char *text)
{
    (void)snprintf(held, sizeof(held), "%s", text);
}

void sim_story_fault_done(const struct sim *s, const char *why_not)
{
    char text[SIM_STORY_FAULT_MAX];
    (void)snprintf(text, sizeof(text), "%s", held);
    if (why_not != NULL) {
        held[0] = '\0'; /* there is none */
        sim_story_line(s, 0, "no %s: %s", text[0] == '\0' ? "more of it" : text, why_not);
    } else if (text[0] != '\0') {
        held[0] = '\0';
        sim_story_line(s, 0, "FAULT %s", text);
    }
}

void sim_story_line(const struct sim *s, int node, const char *format, ...)
{
    va_list ap;
    begin_line(s, node);
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

/* What is wrong with a role; nothing, where the role itself says it. */
static const char *why_text(uint64_t role, uint64_t why)
{
    if (why == REPORT_WHY_TAKING_OVER) {
        return role == REPORT_TRACE_ROLE_PRIMARY     ? "it does not serve yet"
               : role == REPORT_TRACE_ROLE_SECONDARY ? "it asks the register before it takes over"
                                                     : "";
    }
    return why == REPORT_WHY_STARTING && role == REPORT_TRACE_ROLE_STARTING
               ? "it asks the voters for the group's config"
               : report_why_text(why);
}

/* Replication's traces as sentences; false for those that are printed as they are. */
static bool tell(const struct sim *s, int node, const struct ts_trace *t)
{
    char set[64];
    char who[WHO_MAX];
    const char *peer = name_of(s, t->a, who);
    const char *why = why_text(t->a, t->b);
    unsigned long long epoch = t->epoch.v;
    unsigned long long a = t->a;
    unsigned long long seq = t->seq.v;
    switch ((int)t->kind) {
    case TS_TRACE_ROLE:
        sim_story_line(s, node, "is %s%s%s", report_trace_role_text(t->a),
                       why[0] == '\0' ? "" : ": ", why);
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
    case TS_TRACE_TAIL_COMMITTED:
        sim_story_line(s, node, "commits what it found in its log: %llu entries from %llu on",
                       (unsigned long long)t->b, a);
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

/* The same for disks that are replaced, and results that differ. */
static bool tell_rare(const struct sim *s, int node, const struct ts_trace *t)
{
    char who[WHO_MAX];
    const char *peer = name_of(s, t->a, who);
    unsigned long long seq = t->seq.v;
    switch ((int)t->kind) {
    case TS_TRACE_SUSPECT:
        sim_story_line(s, node, "stops: %s has other results at seq %llu", peer, seq);
        return true;
    case TS_TRACE_REPLAYS:
        sim_story_line(s, node, "is to replay its log up to seq %llu", seq);
        return true;
    case TS_TRACE_CULPRIT:
        sim_story_line(s, node, "had other results at seq %llu than its log gives", seq);
        return true;
    case TS_TRACE_ALARM_REPLAYS:
        sim_story_line(s, node, "ALARM: the replay of %s differs", peer);
        return true;
    case TS_TRACE_ENROLLED:
        sim_story_line(s, node, "enrols another disk of %s in the place of disk %llu", peer,
                       (unsigned long long)t->b);
        return true;
    case TS_TRACE_VOTER_STEP:
        sim_story_line(s, node, "has the voter's disk %llu go on to phase %llu",
                       (unsigned long long)t->a, (unsigned long long)t->b);
        return true;
    case TS_TRACE_REPLACED:
        sim_story_line(s, node, "ends for good: disk %llu was enrolled in its place",
                       (unsigned long long)t->a);
        return true;
    default:
        return false;
    }
}

/* The same for voters and heartbeatd, and what a primary does that gives up. */
static bool tell_others(const struct sim *s, int node, enum sim_proc proc, const struct ts_trace *t)
{
    char who[WHO_MAX];
    char whose[WHO_MAX];
    const char *peer = name_of(s, t->a, who);
    const char *proposer = name_of(s, t->b, whose);
    unsigned long long a = t->a;
    unsigned long long b = t->b;
    switch ((int)t->kind) {
    case TS_TRACE_ABDICATED:
        sim_story_line(s, node, "gives up its epoch, and asks %s to take over", peer);
        return true;
    case TS_TRACE_HANDOFF:
        sim_story_line(s, node, "is to hand over to %s, and answers what is ordered", peer);
        return true;
    case TS_TRACE_HANDOFF_FAILED:
        sim_story_line(s, node, "does not hand over to %s", peer);
        return true;
    case TS_TRACE_RESUMES:
        sim_story_line(s, node, "serves again, in epoch %llu", (unsigned long long)t->epoch.v);
        return true;
    case TS_TRACE_VOTER_PROMISED:
        sim_story_line(s, node, "voter promises ballot %llu to %s", a, proposer);
        return true;
    case TS_TRACE_VOTER_ACCEPTED:
        sim_story_line(s, node, "voter accepts a value in ballot %llu of %s", a, proposer);
        return true;
    case TS_TRACE_VOTER_REFUSED:
        return true; /* its answer says more: sim_story_refused */
    case TS_TRACE_REGISTER_OUTBID:
        sim_story_line(s, node, "its ballot %llu is outbid: voters have promised up to ballot %llu",
                       a, b);
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
    case TS_TRACE_OWN_STALL:
        sim_story_line(s, node, "%s finds that it stood still for %llu ms",
                       proc == SIM_HEARTBEATD ? "heartbeatd" : "its replica", a);
        return true;
    default:
        return false;
    }
}

/* What ought not to be. */
static bool tell_alarm(const struct sim *s, int node, enum sim_proc proc, const struct ts_trace *t)
{
    char who[WHO_MAX];
    char whose[WHO_MAX];
    const char *peer = name_of(s, t->a, who);
    const char *voter = proc == SIM_CFGD ? "voter" : "a voter";
    unsigned long long a = t->a;
    unsigned long long b = t->b;
    switch ((int)t->kind) {
    case TS_TRACE_ALARM_DIVERGENCE:
        sim_story_line(s, node, "ALARM: its results and those of %s differ at %llu", peer, b);
        return true;
    case TS_TRACE_ALARM_NOT_COMPARED:
        sim_story_line(s, node, "ALARM: its results and those of %s cannot be compared at %llu",
                       peer, b);
        return true;
    case TS_TRACE_ALARM_CHAIN:
        sim_story_line(s, node, "ALARM: its log and that of %s have different entries %llu", peer,
                       b);
        return true;
    case TS_TRACE_ALARM_DISK:
        sim_story_line(s, node, "ALARM: the %s's disk has failed",
                       proc == SIM_CFGD ? "voter" : "replica");
        return true;
    case TS_TRACE_ALARM_CLONE:
        sim_story_line(s, node, "ALARM: its start %llu is refused: start %llu is registered", a, b);
        return true;
    case TS_TRACE_ALARM_REGISTER_EMPTY:
        sim_story_line(s, node, "ALARM: %s has no value for register %llu", voter, a);
        return true;
    case TS_TRACE_ALARM_TWO_VALUES:
        sim_story_line(s, node, "ALARM: %s is shown two values of ballot %llu of %s", voter, a,
                       name_of(s, t->b, whose));
        return true;
    case TS_TRACE_FOREIGN_DISK:
        sim_story_line(s, node, "voter does not answer %s, which has a disk of %s", peer,
                       name_of(s, t->b, whose));
        return true;
    case TS_TRACE_REJECTED_INPUT:
        if (proc == SIM_CFGD) {
            sim_story_line(s, node, "voter ignores %s, which speaks for somebody else", peer);
        } else if (t->epoch.v != 0) {
            sim_story_line(s, node, "ignores what %s says: it cannot be", peer);
        } else { /* the proposer counts voters from 0, and knows of no epoch */
            sim_story_line(s, node, "ignores what a voter or another replica says: it cannot be");
        }
        return true;
    default:
        return false;
    }
}

void sim_story_refused(const struct sim *s, int node, const struct reg_msg *m)
{
    char who[WHO_MAX];
    char whose[WHO_MAX];
    if (m->type == REG_MSG_NACK && m->nack.reason == REG_NACK_BALLOT) {
        sim_story_line(s, node, "voter refuses ballot %llu of %s: it promised %llu to %s",
                       (unsigned long long)m->nack.ballot.counter,
                       name_of(s, m->nack.ballot.proposer.v, who),
                       (unsigned long long)m->nack.promised.counter,
                       name_of(s, m->nack.promised.proposer.v, whose));
    }
}

/* ---- clients -------------------------------------------------------------------------------- */

/* "SET k2 00000017" */
static void command_text(const struct sim_record *r, char *out, size_t cap)
{
    static const char *const ops[] = {
        [SESSION_OPEN] = "OPEN",   [SESSION_RESUME] = "RESUME",   [SESSION_ACK] = "ACK",
        [SESSION_CLOSE] = "CLOSE", [SESSION_REQUEST] = "request",
    };
    if (r->op != 0 && r->op != SESSION_REQUEST) {
        (void)snprintf(out, cap, "%s %llx %llu", ops[r->op], (unsigned long long)r->session,
                       (unsigned long long)r->number);
        return;
    }
    uint8_t digits[SIM_VALUE_MAX];
    struct ts_bytes key = sim_load_key(r);
    struct ts_bytes value = sim_load_value(r, digits);
    const char *name = kv_command_by_id(r->command)->name;
    char number[24] = "";
    if (r->op != 0) {
        (void)snprintf(number, sizeof(number), "#%llu ", (unsigned long long)r->number);
    }
    (void)snprintf(out, cap, "%s%s %.*s%s%.*s", number, name, (int)key.len, (const char *)key.data,
                   value.len == 0 ? "" : " ", (int)value.len, (const char *)value.data);
}

void sim_story_client(const struct sim *s, uint32_t record, const char *format, ...)
{
    char command[64];
    va_list ap;
    const struct sim_record *r = &s->load.record[record];
    const struct sim_client *c = &s->load.client[r->client];
    bool waits = c->busy && c->record == record;
    command_text(r, command, sizeof(command));
    begin_line(s, 0);
    printf("client %u, %s: ", r->client, command);
    va_start(ap, format);
    (void)vprintf(format, ap);
    va_end(ap);
    printf("%s\n", waits ? "" : "; the client has gone");
}

const char *sim_story_reply(struct ts_bytes reply, char out[SIM_STORY_REPLY_MAX])
{
    size_t at = 1; /* RESP: +OK, :7, $3 and on a line of its own abc, $-1 */
    const char *text = (const char *)reply.data;
    if (reply.len >= 3 && memcmp(text, "$-1", 3) == 0) {
        return "nothing";
    }
    while (reply.len > 0 && text[0] == '$' && at < reply.len && text[at - 1] != '\n') {
        at++;
    }
    size_t end = at;
    while (end < reply.len && text[end] != '\r') {
        end++;
    }
    size_t len = end < at ? 0 : end - at;
    bool cut = len > WORD_MAX;
    /* What was appended last is at the end. */
    (void)snprintf(out, SIM_STORY_REPLY_MAX, "%s%.*s", cut ? "..." : "",
                   (int)(cut ? WORD_MAX : len), text + (cut ? end - WORD_MAX : at));
    return out;
}

/* ---- faults --------------------------------------------------------------------------------- */

/* Whether it strikes at once and is over. */
static bool is_sudden(enum sim_fault_kind kind)
{
    return kind <= SIM_FAULT_CRASH_OPERATION_VOTER || kind == SIM_FAULT_POWER_ALL ||
           kind == SIM_FAULT_RESET_LINK || kind == SIM_FAULT_FSYNC_ERROR ||
           (kind >= SIM_FAULT_CORRUPT && kind <= SIM_FAULT_BLANK_DISK) ||
           (kind >= SIM_FAULT_VOTER_CORRUPT && kind <= SIM_FAULT_VOTER_BLANK) ||
           kind == SIM_FAULT_LIE || kind == SIM_FAULT_WALL_CLOCK || kind == SIM_FAULT_GARBAGE ||
           kind == SIM_FAULT_STRAY || kind == SIM_FAULT_LONG || kind == SIM_FAULT_OTHER_RESULT;
}

void sim_story_fault_text(const struct sim *s, const struct sim_fault *f, uint64_t until, char *out,
                          size_t cap)
{
    char where[64] = "";
    char lasts[32] = "";
    uint64_t most = until > f->at ? until - f->at : 0;
    bool everywhere = f->kind == SIM_FAULT_MOMENT || f->kind == SIM_FAULT_POWER_ALL ||
                      f->kind == SIM_FAULT_LATE_REGISTER;
    bool path = f->kind >= SIM_FAULT_CUT && f->kind <= SIM_FAULT_RESET_LINK &&
                f->kind != SIM_FAULT_ISOLATE && f->kind != SIM_FAULT_MOMENT;
    if (path) {
        (void)snprintf(where, sizeof(where), ": %s, %s, %s", sim_node_name(s, f->node),
                       sim_node_name(s, f->other),
                       f->path == SIM_PATHS ? "all paths"
                       : f->path == 0       ? "path 0"
                                            : "path 1");
    } else if (!everywhere) {
        (void)snprintf(where, sizeof(where), ": %s", sim_node_name(s, f->node));
    }
    if (!is_sudden(f->kind)) {
        (void)snprintf(lasts, sizeof(lasts), "%s %llu ms", where[0] == '\0' ? ":" : ",",
                       (unsigned long long)((f->lasts < most ? f->lasts : most) / SIM_MS));
    }
    (void)snprintf(out, cap, "%s%s%s", sim_fault_name(f->kind), where, lasts);
}

void sim_story_trace(struct sim *s, int node, enum sim_proc proc, const struct ts_trace *t)
{
    uint64_t parts[] = {(uint64_t)t->kind, t->at.ns, t->epoch.v, t->seq.v, t->a, t->b};
    sim_course(s, (uint64_t)node, parts, sizeof(parts));
    static const char *const procs[] = {"", "nicd", "heartbeatd", "voter", "replica"};
    char line[200];
    bool dull = t->kind == TS_TRACE_LINK_UP || t->kind == TS_TRACE_LINK_DOWN;
    if (!s->options.trace || dull || tell(s, node, t) || tell_rare(s, node, t) ||
        tell_others(s, node, proc, t) || tell_alarm(s, node, proc, t)) {
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
                report_evidence_text(st.peers[i].evidence),
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
