#include "cli/failover.h"

#include <string.h>

#include "base/assert.h"
#include "cluster-cfg/report.h"

/* How long before the evidence the old primary's exit is looked for, by wall time. */
#define EXIT_BEFORE_US (5 * 1000000ULL)
#define EXIT_AFTER_US (1 * 1000000ULL)

/* What is known of one process of one replica while its events are read. */
struct scan {
    const struct cfg_cluster *cluster;
    const struct cli_event *first; /* whose process it is */
    struct ts_nic_id primary;      /* by its newest "config" */
    struct ts_epoch epoch;
    struct ts_mono evidence_at; /* 0 = none against the primary */
    uint64_t evidence;
    uint64_t evidence_wall_us;
    bool running; /* a takeover is under way */
    struct ts_mono at[CLI_PHASES];
    struct ts_mono begin;
    struct cli_failover f;
};

const char *cli_phase_key(enum cli_phase phase)
{
    static const char *const KEYS[] = {
#define ROW(sym, key, text) key,
        CLI_PHASE_LIST(ROW)
#undef ROW
    };
    return KEYS[phase];
}

const char *cli_phase_text(enum cli_phase phase)
{
    static const char *const TEXTS[] = {
#define ROW(sym, key, text) text,
        CLI_PHASE_LIST(ROW)
#undef ROW
    };
    return TEXTS[phase];
}

static bool same_process(const struct cli_event *a, const struct cli_event *b)
{
    return a->node == b->node && a->e.source.role == b->e.source.role &&
           a->e.source.group.v == b->e.source.group.v &&
           ts_instance_eq(a->e.source.instance, b->e.source.instance);
}

static struct ts_nic_id node_of(uint64_t v)
{
    return (struct ts_nic_id){(uint16_t)(v <= TS_NODES_MAX ? v : 0)};
}

static void begin(struct scan *s, const struct cli_event *e)
{
    s->running = true;
    memset(s->at, 0, sizeof(s->at));
    s->f = (struct cli_failover){.node = e->node, .primary_before = s->primary};
    s->f.begin_wall_us = e->e.wall_us;
    s->begin = e->e.trace.at;
    if (s->evidence_at.ns != 0) {
        s->f.has_evidence = true;
        s->f.accused = s->primary;
        s->f.evidence = s->evidence;
        s->f.begin_wall_us = s->evidence_wall_us;
        s->begin = s->evidence_at;
    }
    s->at[CLI_PHASE_DECIDE] = e->e.trace.at;
}

/* The phases in their order; a point that was not recorded costs nothing of its own. */
static void finish(struct scan *s, const struct cli_event *e)
{
    struct ts_mono before = s->begin;
    s->at[CLI_PHASE_ANSWER] = e->e.trace.at;
    for (size_t p = 0; p < CLI_PHASES; p++) {
        s->f.phase_seen[p] = s->at[p].ns != 0;
        if (s->f.phase_seen[p]) {
            s->f.phase_ns[p] = ts_mono_since(before, s->at[p]);
            before = s->at[p].ns > before.ns ? s->at[p] : before;
        }
    }
    s->f.total_ns = ts_mono_since(s->begin, e->e.trace.at);
    s->f.end_wall_us = e->e.wall_us;
    s->f.epoch_after = e->e.trace.epoch.v != 0 ? e->e.trace.epoch : s->epoch;
    s->running = false;
    s->evidence_at.ns = 0;
}

static void on_role(struct scan *s, const struct cli_event *e)
{
    if (e->e.trace.a == REPORT_TRACE_ROLE_TAKING_OVER) {
        if (!s->running) {
            begin(s, e);
        }
    } else if (e->e.trace.a != REPORT_TRACE_ROLE_PRIMARY) {
        s->running = false;
        s->evidence_at.ns = 0;
    }
}

/* The first evidence against the primary counts for the time, the last one for the reason. */
static void on_evidence(struct scan *s, const struct cli_event *e)
{
    bool against = s->primary.v != 0 && ts_nic_eq(node_of(e->e.trace.a), s->primary);
    if (!against || e->e.trace.b == REPORT_EVIDENCE_NONE) {
        return;
    }
    if (s->evidence_at.ns == 0) {
        s->evidence_at = e->e.trace.at;
        s->evidence_wall_us = e->e.wall_us;
    }
    s->evidence = e->e.trace.b;
    if (s->running && s->f.has_evidence) {
        s->f.evidence = e->e.trace.b;
    }
}

static void mark(struct scan *s, enum cli_phase phase, const struct cli_event *e)
{
    if (s->running) {
        s->at[phase] = e->e.trace.at;
    }
}

/* Takes one event of the process in; true when it finished a takeover. */
static bool take(struct scan *s, const struct cli_event *e)
{
    const struct ts_trace *t = &e->e.trace;
    if (t->kind == TS_TRACE_ROLE) {
        on_role(s, e);
    } else if (t->kind == TS_TRACE_EVIDENCE) {
        on_evidence(s, e);
    } else if (t->kind == TS_TRACE_PREPARED) {
        s->f.rounds++;
        mark(s, CLI_PHASE_PREPARE, e);
    } else if (t->kind == TS_TRACE_SEALED) {
        mark(s, CLI_PHASE_SEAL, e);
    } else if (t->kind == TS_TRACE_CAS_SENT) {
        s->f.epoch_before.v = t->a;
    } else if (t->kind == TS_TRACE_CAS_DONE && t->a == 1) {
        mark(s, CLI_PHASE_REGISTER, e);
        s->epoch.v = t->b;
    } else if (t->kind == TS_TRACE_CONFIG) {
        s->primary = node_of(t->a);
        s->epoch = t->epoch.v != 0 ? t->epoch : s->epoch;
    } else if (t->kind == TS_TRACE_TAIL_COMMITTED) {
        mark(s, CLI_PHASE_TAIL, e);
        s->f.entries += t->b; /* a long tail is committed piece by piece */
    } else if (t->kind == TS_TRACE_ACTIVE && s->running) {
        finish(s, e);
        return true;
    }
    return false;
}

static uint64_t apart(uint64_t a, uint64_t b)
{
    return a < b ? b - a : a - b;
}

/* When the old primary's process ended, as its own node saw it: of a process that ends again and
 * again, the exit next to the takeover. */
static void find_exit(const struct cfg_cluster *c, const struct cli_history *h,
                      struct cli_failover *f)
{
    for (size_t i = 0; i < h->count; i++) {
        const struct cli_event *e = &h->events[i];
        if (e->e.trace.kind == TS_TRACE_PROC_EXITED &&
            ts_nic_eq(c->nodes[e->node].id, f->primary_before) &&
            e->e.source.group.v == c->groups[f->group].id.v &&
            e->e.wall_us + EXIT_BEFORE_US >= f->begin_wall_us &&
            e->e.wall_us <= f->begin_wall_us + EXIT_AFTER_US &&
            (!f->exit_seen ||
             apart(e->e.wall_us, f->begin_wall_us) < apart(f->exit_wall_us, f->begin_wall_us))) {
            f->exit_seen = true;
            f->exit_wall_us = e->e.wall_us;
            f->exit_status = (int32_t)(uint32_t)e->e.trace.b;
        }
    }
}

static unsigned bits(uint64_t mask)
{
    return (unsigned)__builtin_popcountll(mask);
}

/* When the set of this process's "config" holds all members again. */
static void find_restored(const struct cfg_cluster *c, const struct cli_history *h, size_t from,
                          struct cli_failover *f)
{
    const struct cli_event *active = &h->events[from];
    for (size_t i = from + 1; i < h->count && !f->restored; i++) {
        const struct cli_event *e = &h->events[i];
        if (same_process(active, e) && e->e.trace.kind == TS_TRACE_CONFIG &&
            ts_nic_eq(node_of(e->e.trace.a), c->nodes[f->node].id) &&
            bits(e->e.trace.b) == c->groups[f->group].nic_count) {
            f->restored = true;
            f->restored_ns = ts_mono_since(active->e.trace.at, e->e.trace.at);
        }
    }
}

static bool is_first_of_process(const struct cli_history *h, size_t index)
{
    for (size_t i = index; i > 0; i--) {
        if (same_process(&h->events[i - 1], &h->events[index])) {
            return false;
        }
    }
    return true;
}

static size_t group_index(const struct cfg_cluster *c, struct ts_group_id id)
{
    const struct cfg_group *g = cfg_cluster_group(c, id);
    return g == NULL ? SIZE_MAX : (size_t)(g - c->groups);
}

/* Keeps the latest `max`, in the order of their ends. */
static size_t keep(struct cli_failover *out, size_t count, size_t max, const struct cli_failover *f)
{
    size_t at = count;
    while (at > 0 && out[at - 1].end_wall_us > f->end_wall_us) {
        at--;
    }
    if (count == max) {
        if (at == 0) {
            return count; /* older than all that are kept */
        }
        memmove(out, out + 1, (at - 1) * sizeof(*out));
        out[at - 1] = *f;
        return count;
    }
    memmove(out + at + 1, out + at, (count - at) * sizeof(*out));
    out[at] = *f;
    return count + 1;
}

size_t cli_failovers(const struct cfg_cluster *cluster, const struct cli_history *h, size_t group,
                     struct cli_failover *out, size_t max)
{
    size_t count = 0;
    ts_assert(max > 0);
    for (size_t i = 0; i < h->count; i++) {
        const struct cli_event *first = &h->events[i];
        size_t g = group_index(cluster, first->e.source.group);
        if (first->e.source.role != REPORT_PROC_REPLICA || g == SIZE_MAX ||
            ts_instance_eq(first->e.source.instance, (struct ts_instance){0}) ||
            (group != SIZE_MAX && g != group) || !is_first_of_process(h, i)) {
            continue;
        }
        struct scan s = {.cluster = cluster, .first = first};
        for (size_t j = i; j < h->count; j++) {
            if (same_process(first, &h->events[j]) && take(&s, &h->events[j])) {
                s.f.group = g;
                find_exit(cluster, h, &s.f);
                find_restored(cluster, h, j, &s.f);
                count = keep(out, count, max, &s.f);
            }
        }
    }
    return count;
}
