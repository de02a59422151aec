/* One run, and memory that is used again. */
#include "tests/sim/sim.h"

#include <malloc.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/hash.h"

/* How long the group must be well before a run ends. */
#define WELL_NS (400 * SIM_MS)
/* Answers that must come after the faults have ended. */
#define WELL_ANSWERS 10

static const char *const CHECK_NAMES[] = {
#define CHECK_NAME(symbol, name) name,
    SIM_CHECK_LIST(CHECK_NAME)
#undef CHECK_NAME
};

const char *sim_check_name(enum sim_check c)
{
    return CHECK_NAMES[c];
}

/* The run that is under way: for the cores' assertions, which know no simulator. */
static struct sim *running;

_Noreturn void ts_assert_fail(const char *cond, const char *file, int line, const char *func)
{
    if (running != NULL) {
        sim_fail(running, SIM_CHECK_ASSERT, "%s:%d: %s: invariant broken: %s", file, line, func,
                 cond);
    }
    fprintf(stderr, "%s:%d: %s: invariant broken: %s\n", file, line, func, cond);
    abort();
}

__attribute__((format(printf, 3, 0))) static _Noreturn void end_run(struct sim *s,
                                                                    enum sim_check check,
                                                                    const char *format, va_list ap)
{
    running = NULL;
    s->failure.check = check;
    s->failure.at = s->now;
    (void)vsnprintf(s->failure.text, sizeof(s->failure.text), format, ap);
    longjmp(s->escape, 1);
}

void sim_fail(struct sim *s, enum sim_check check, const char *format, ...)
{
    va_list ap;
    bool of_core = check == SIM_CHECK_ASSERT || check == SIM_CHECK_ALARM;
    if (s->options.only != SIM_CHECK_NONE && check != s->options.only && !of_core) {
        return;
    }
    va_start(ap, format);
    end_run(s, check, format, ap);
}

/* ---- chance ------------------------------------------------------------------------------- */

uint64_t sim_rand(struct sim *s, uint64_t lo, uint64_t hi)
{
    /* The high half of a product: a hair less uniform than a rejection, and much faster. */
    uint64_t span = hi - lo + 1;
    __extension__ typedef unsigned __int128 wide;
    return lo + (uint64_t)(((wide)ts_prng_next(&s->prng) * span) >> 64);
}

bool sim_chance_pm(struct sim *s, uint64_t per_mille)
{
    return per_mille > 0 && sim_rand(s, 0, 999) < per_mille;
}

uint64_t sim_us(struct sim *s, uint64_t lo_us, uint64_t hi_us)
{
    return sim_rand(s, lo_us * 1000, hi_us * 1000);
}

/* ---- buffers ------------------------------------------------------------------------------ */

struct buffer {
    union {
        struct buffer *next; /* while free */
        uint64_t refs;
    };
    uint64_t class;
    uint8_t data[];
};

static const size_t CLASS_BYTES[] = {128, 512, 2048};
#define CLASSES (sizeof(CLASS_BYTES) / sizeof(CLASS_BYTES[0]))

static struct buffer *buffer_of(uint8_t *bytes)
{
    return (struct buffer *)(void *)(bytes - offsetof(struct buffer, data));
}

uint8_t *sim_bytes_new(struct sim *s, size_t len)
{
    size_t class = 0;
    while (class < CLASSES && len > CLASS_BYTES[class]) {
        class ++;
    }
    struct buffer *b = class < CLASSES ? s->free_bytes[class] : NULL;
    if (b != NULL) {
        s->free_bytes[class] = b->next;
    } else {
        size_t bytes = class < CLASSES ? CLASS_BYTES[class] : len;
        b = malloc(sizeof(*b) + bytes);
        ts_assert(b != NULL);
        b->class = class;
    }
    b->refs = 1;
    return b->data;
}

uint8_t *sim_bytes_ref(uint8_t *bytes)
{
    buffer_of(bytes)->refs++;
    return bytes;
}

void sim_bytes_drop(struct sim *s, uint8_t *bytes)
{
    if (bytes == NULL) {
        return;
    }
    struct buffer *b = buffer_of(bytes);
    if (--b->refs > 0) {
        return;
    }
    if (b->class == CLASSES) {
        free(b);
        return;
    }
    b->next = s->free_bytes[b->class];
    s->free_bytes[b->class] = b;
}

uint8_t *sim_bytes_copy(struct sim *s, struct ts_bytes a, struct ts_bytes b)
{
    uint8_t *bytes = sim_bytes_new(s, a.len + b.len);
    if (a.len > 0) {
        memcpy(bytes, a.data, a.len);
    }
    if (b.len > 0) {
        memcpy(bytes + a.len, b.data, b.len);
    }
    return bytes;
}

/* ---- events ------------------------------------------------------------------------------- */

void sim_push(struct sim *s, const struct sim_event *ev)
{
    sim_queue_push(&s->queue, ev);
}

/* False: not now, and the event is kept, or not at all, and it is gone. */
static bool deliverable(struct sim *s, struct sim_event *ev)
{
    if (ev->proc == SIM_WORLD) {
        return true;
    }
    struct sim_process *p = &s->node[ev->node].proc[ev->proc];
    bool gone = p->life == 0 || (ev->life != 0 && ev->life != p->life);
    if (!gone && p->paused_until > s->now) {
        /* Between sockets there is no order: what a client sends may be read before a link. */
        ev->at = p->paused_until + (ev->kind == SIM_EV_STREAM ? sim_us(s, 0, 50) : 0);
        sim_push(s, ev);
        return false;
    }
    if (ev->queued && p->backlog > 0) {
        p->backlog--;
    }
    if (gone || (!p->ready && ev->kind != SIM_EV_STARTED)) {
        sim_bytes_drop(s, ev->bytes);
        return false;
    }
    return true;
}

static void dispatch_world(struct sim *s, struct sim_event *ev)
{
    if (ev->kind == SIM_EV_CLIENT) {
        sim_load_act(s, ev);
    } else if (ev->kind == SIM_EV_CONSUMER) {
        sim_check_consumer(s, (struct ts_epoch){ev->a}, (struct ts_seq){ev->b});
    } else if (ev->kind == SIM_EV_POWER_ON) {
        sim_nic_power_on(s, ev->node);
    } else if (ev->kind == SIM_EV_OPERATOR) {
        (ev->a == SIM_CFGD ? sim_replace_voter_look : sim_replace_look)(s, ev->node);
    } else {
        sim_fault_event(s, ev);
    }
}

void sim_dispatch(struct sim *s, struct sim_event *ev)
{
    if (ev->kind == SIM_EV_SIGNAL && ev->proc != SIM_NICD) {
        sim_proc_end(s, ev->node, (enum sim_proc)ev->proc, 0);
        return;
    }
    switch ((enum sim_proc)ev->proc) {
    case SIM_WORLD:
        dispatch_world(s, ev);
        return;
    case SIM_NICD:
        sim_nic_event(s, ev);
        return;
    case SIM_HEARTBEATD:
        sim_heart_event(s, ev);
        return;
    case SIM_CFGD:
        sim_voter_event(s, ev);
        return;
    case SIM_REPLICA:
        sim_replica_event(s, ev);
        return;
    case SIM_CLONE:
        sim_clone_event(s, ev);
        return;
    }
    ts_unreachable();
}

/* ---- one run ------------------------------------------------------------------------------ */

static void form_cluster(struct sim *s, const struct sim_plan *plan)
{
    s->nics = plan->nics;
    s->nodes = plan->nics + plan->arbiters;
    s->cluster = (struct cfg_cluster){.name = "sim",
                                      .base_port = CFG_BASE_PORT_DEFAULT,
                                      .timing = cfg_timing_derive(plan->failure_timeout),
                                      .node_count = (size_t)s->nodes,
                                      .group_count = 1};
    struct cfg_group *g = &s->cluster.groups[0];
    *g = (struct cfg_group){.id = {SIM_GROUP},
                            .name = "kv",
                            .service = "kv",
                            .nic_count = (uint8_t)s->nics,
                            .address = "192.0.2.1",
                            .address_prefix = 24};
    s->genesis = (struct cfg_config){.epoch = {1}, .primary = {1}, .min_version = 1};
    for (int n = 1; n <= s->nodes; n++) {
        struct cfg_node *node = &s->cluster.nodes[n - 1];
        *node = (struct cfg_node){
            .id = {(uint16_t)n}, .arbiter = n > s->nics, .voter = true, .path_count = SIM_PATHS};
        bool arbiter = n > s->nics;
        node->path_count = arbiter ? (uint8_t)plan->arbiter_paths : node->path_count;
        (void)snprintf(node->name, sizeof(node->name), "%s%d", arbiter ? "arb" : "nic",
                       arbiter ? n - s->nics : n);
        if (!arbiter) {
            g->nics[n - 1] = node->id;
            struct cfg_replica r = {node->id, {1000U + (uint64_t)n}};
            cfg_set_add(&s->genesis.in_sync, r);
            cfg_set_add(&s->genesis.members, r);
        }
        s->genesis.voters.v[s->genesis.voters.count++].incarnation = sim_voter_first_disk(n);
    }
}

static void setup(struct sim *s, const struct sim_plan *plan, const struct sim_options *options)
{
    s->options = *options;
    s->seed = plan->seed;
    s->plan = *plan;
    s->prng = ts_prng_init(plan->seed ^ 0x5157a3b1c0ffeeULL);
    s->now = 0;
    s->lives = 0;
    s->conns = 0;
    s->healed = false;
    s->noticed = false;
    s->end_of_faults = plan->faults_until;
    s->failure = (struct sim_failure){.check = SIM_CHECK_NONE};
    memset(&s->net, 0, sizeof(s->net));
    memset(s->armed, 0, sizeof(s->armed));
    s->available = (struct sim_available){0};
    s->quiet_until = 0;
    s->stray_heard = false; /* the last run may have ended within one */
    memset(&s->stats, 0, sizeof(s->stats));
    form_cluster(s, plan);
    sim_files_use(s);
    sim_check_reset(s);
    struct reg_value value = {0};
    struct ts_writer w = ts_writer_init(value.data, sizeof(value.data));
    cfg_config_encode(&s->genesis, &w);
    value.len = (uint16_t)w.len;
    for (int n = 1; n <= s->nodes; n++) {
        struct sim_node *node = &s->node[n];
        node->id = n;
        node->nic = n <= s->nics;
        node->powered = false;
        node->busy_until = 0;
        int64_t most = (int64_t)plan->drift_ppm;
        node->drift_ppm = (int64_t)sim_rand(s, 0, (uint64_t)(2 * most)) - most;
        node->wall_offset = (int64_t)sim_rand(s, 0, 7200 * SIM_S) - (int64_t)(3600 * SIM_S);
        sim_voter_disk_format(s, n, &value);
        if (node->nic) {
            node->replica.sim = s;
            node->replica.node = n;
            node->replica.floor_more = 0;
            sim_disk_format(s, n, s->genesis.members.r[n - 1].incarnation,
                            (struct ts_incarnation){0});
        }
    }
    for (int n = 1; n <= s->nodes; n++) {
        sim_nic_power_on(s, n);
    }
    sim_load_start(s);
    sim_fault_schedule(s);
}

static void teardown(struct sim *s)
{
    size_t i = 0;
    const struct sim_event *ev;
    running = NULL;
    sim_link_free(s);
    sim_stray_reset(s);
    sim_clone_end(s);
    for (int n = 1; n <= SIM_NODES_MAX; n++) {
        sim_heart_end(s, n);
        sim_voter_end(s, n);
        sim_replica_end(s, n);
        sim_disk_free(s, n);
        sim_replace_free(s, n);
        sim_voter_disk_free(s, n);
        sim_replace_voter_free(s, n);
        memset(s->node[n].proc, 0, sizeof(s->node[n].proc));
    }
    /* Last: what ends may still plan something. */
    while ((ev = sim_queue_next(&s->queue, &i)) != NULL) {
        sim_bytes_drop(s, ev->bytes);
    }
    sim_queue_reset(&s->queue);
}

/* Whether the run may end: the group is as well as it can be, and has been for a while. */
static bool recovered(struct sim *s, uint64_t *well_since, uint64_t *next_look)
{
    if (s->now < *next_look) {
        return false;
    }
    *next_look = s->now + 20 * SIM_MS;
    if (!sim_check_well(s)) {
        *well_since = 0;
        return false;
    }
    if (*well_since == 0) {
        *well_since = s->now;
    }
    return s->now > *well_since + WELL_NS;
}

/* Within this virtual time after the faults the group answers and is redundant: what may be left to
 * do then, one after the other, at its slowest. */
static uint64_t heal_bound(const struct sim *s)
{
    const struct cfg_timing *t = &s->cluster.timing;
    uint64_t poll = 2 * t->poll_register; /* with its jitter */
    /* A process that kept ending waits for nicd; it starts, reads its log, its links come up, what
     * TCP had sent in vain comes once more. */
    uint64_t start = NICD_BACKOFF_MAX_NS + 2 * SIM_S + t->failure_timeout;
    /* Its start is registered, the config read, by messages that are lost or refused at first. */
    uint64_t registered = 4 * t->proposer_retry;
    /* A primary that was never seen may only be starting: the takeover waits for a poll. */
    uint64_t takeover = poll + 2 * t->tie_delay + 4 * t->proposer_retry;
    /* The new primary asks for a position that it missed at its next poll; the learner joins at the
     * second attempt at the latest. */
    uint64_t joined = poll + 3 * t->failure_timeout;
    /* A blank disk gets all there is, a piece of the journal at a time. */
    uint64_t blank = sim_replace_any(s) ? s->checks.entries * SIM_MS : 0;
    /* Each step for a voter's disk may wait for a poll, and they are taken one after the other. */
    uint64_t voters = sim_replace_voter_any(s) ? 4 * (uint64_t)s->nodes * poll : 0;
    return start + registered + takeover + joined + blank + voters;
}

static void note_well(struct sim *s, uint64_t since)
{
    struct sim_pauses *p = &s->stats.well;
    uint64_t took = since > s->end_of_faults ? since - s->end_of_faults : 0;
    uint64_t tenths = took / (100 * SIM_MS);
    p->count[tenths < SIM_PAUSES ? tenths : SIM_PAUSES - 1]++;
    p->longest_pm = took / SIM_MS;
    p->nearest = took * 100 / heal_bound(s);
}

static void go_on(struct sim *s, uint64_t what)
{
    s->stats.course = (s->stats.course ^ what) * 0x9e3779b97f4a7c15ULL;
    s->stats.course ^= s->stats.course >> 32;
}

void sim_course(struct sim *s, uint64_t what, const void *bytes, size_t len)
{
    if (s->options.digests) {
        struct ts_hash hash = ts_hash_bytes(bytes, len);
        go_on(s, what);
        go_on(s, hash.lo ^ len);
    }
}

static void step(struct sim *s, struct sim_event *ev)
{
    ts_assert(ev->at >= s->now);
    s->now = ev->at;
    go_on(s, ev->at + (uint64_t)ev->kind);
    if (s->options.digests) {
        /* What a worker does is known by its address only. */
        uint64_t a = ev->kind == SIM_EV_WORK ? 0 : ev->a;
        uint64_t parts[] = {ev->node, ev->proc, ev->peer, ev->path, ev->type,
                            ev->life, a,        ev->b,    ev->len};
        sim_course(s, 1, parts, sizeof(parts));
        sim_course(s, 2, ev->bytes, ev->bytes == NULL ? 0 : ev->len);
    }
    if (deliverable(s, ev)) {
        sim_dispatch(s, ev);
        sim_bytes_drop(s, ev->bytes);
        s->stats.events++;
        if (s->node[ev->node].busy_until > s->now) {
            sim_nic_busy(s, ev->node, (enum sim_proc)ev->proc);
        }
    }
}

static void run(struct sim *s)
{
    uint64_t well_since = 0;
    uint64_t next_look = 0;
    uint64_t acked_at_heal = 0;
    struct sim_item *item;
    while ((item = sim_queue_pop(&s->queue)) != NULL) {
        step(s, &item->ev);
        sim_queue_give_back(&s->queue, item);
        if (s->noticed) {
            s->stats.noticed++;
            break;
        }
        if (!s->healed) {
            acked_at_heal = s->stats.acked;
            continue;
        }
        bool serves = sim_budget_group_can_serve(s);
        if (!serves && s->now > s->end_of_faults + 3 * SIM_S) {
            s->stats.stopped++;
            bool suspected = s->checks.decided.suspect.v != 0; /* and a damaged disk */
            if (s->stats.dropped == 0 && !s->options.beyond && !suspected) {
                sim_fail(s, SIM_CHECK_LIVE, "nobody is left who may serve");
            }
            break;
        }
        if (serves && recovered(s, &well_since, &next_look) &&
            s->stats.acked > acked_at_heal + WELL_ANSWERS) {
            note_well(s, well_since);
            break;
        }
        if (serves && s->now > s->end_of_faults + heal_bound(s)) {
            sim_fail(s, SIM_CHECK_LIVE,
                     "not redundant and answering %llu ms after the faults ended",
                     (unsigned long long)(heal_bound(s) / SIM_MS));
            break; /* it is left to another checker */
        }
    }
    sim_available_close(s);
    sim_check_end(s);
    sim_history_check(s);
}

bool sim_run(struct sim *s, const struct sim_plan *plan, const struct sim_options *options)
{
    volatile bool good = false;
    if (setjmp(s->escape) == 0) {
        running = s;
        setup(s, plan, options);
        run(s);
        good = true;
    } else if (options->trace) {
        sim_story_state(s, stdout);
    }
    s->stats.virtual_ns = s->now;
    teardown(s);
    return good;
}

bool sim_run_same(struct sim *s, const struct sim_plan *plan, const struct sim_options *options)
{
    uint64_t course = s->stats.course;
    if (sim_run(s, plan, options) && s->stats.course == course) {
        return true;
    }
    s->failure.check = SIM_CHECK_COURSE;
    s->failure.at = s->now;
    (void)snprintf(s->failure.text, sizeof(s->failure.text),
                   "the second run of the seed took another course than the first");
    return false;
}

struct sim *sim_new(void)
{
    /* Log windows are large and mostly untouched: kept by the allocator from run to run. */
    (void)mallopt(M_MMAP_MAX, 0);
    (void)mallopt(M_TRIM_THRESHOLD, 512 << 20);
    struct sim *s = calloc(1, sizeof(*s));
    ts_assert(s != NULL);
    sim_history_open(s);
    return s;
}

void sim_free(struct sim *s)
{
    sim_check_free(s);
    sim_history_close(s);
    sim_load_free(s);
    for (size_t c = 0; c < CLASSES; c++) {
        for (struct buffer *b = s->free_bytes[c]; b != NULL;) {
            struct buffer *next = b->next;
            free(b);
            b = next;
        }
    }
    for (struct sim_frame *f = s->free_frames; f != NULL;) {
        struct sim_frame *next = f->next;
        free(f);
        f = next;
    }
    sim_queue_free(&s->queue);
    free(s);
}
