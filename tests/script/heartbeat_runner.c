/* Runs the scenarios of the heartbeat core: nodes n1..nN, their paths, one clock. Commands:
 *
 *   world nodes=N paths=P [timeout=100]   all start, instances 101, 102, …; timeout in ms
 *   run ms=N                              time passes; what is due happens
 *   stop n1 | wake n1                     SIGSTOP: packets wait in the socket, as many as fit
 *   kill n1 | restart n1 instance=I
 *   cut n1 n2 path=P [one-way] | heal n1 n2 path=P
 *   procs n1 group=1 running=1 starts=1   what nicd of n1 says from now on, each 100 ms
 *   hush n1                               nicd of n1 says nothing any more
 *   keep NAME n1 n2 path=P                remembers the newest packet that n1 sent there
 *   replay NAME [times=N] [every=MS]      lets it arrive again, time passes between
 *   show n1
 *   count n1                              the heartbeats that came, and those that did not
 *
 * The trace: trace events, and a line for each peer whose published state changed. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "heartbeat/heartbeat.h"
#include "tests/script/script.h"

#define NODES_MAX 4
#define PATHS_MAX 2
#define QUEUE_MAX 16
#define KEPT_MAX 4
#define MS TS_NS_PER_MS
#define WORD_EVERY_MS 100

struct packet {
    uint8_t bytes[HB_DATAGRAM_BYTES]; /* the tag stays 0: the shell checks it */
    bool present;
};

struct node {
    bool alive;
    bool stopped;
    bool hushed;
    struct hb_core core;
    struct report_procs procs;
    size_t queued;
    struct packet queue[QUEUE_MAX];
    struct report_peers shown;                  /* what was last printed */
    struct packet newest[NODES_MAX][PATHS_MAX]; /* sent, by receiver */
};

struct world {
    uint64_t ms;
    size_t count;
    struct cfg_cluster cluster;
    struct node nodes[NODES_MAX];
    bool cut[NODES_MAX][NODES_MAX][PATHS_MAX]; /* from, to */
    char kept_name[KEPT_MAX][16];
    struct packet kept[KEPT_MAX];
    struct hb_effects effects[NODES_MAX];
    struct script_text *out;
};

static struct ts_mono now_of(const struct world *w)
{
    return (struct ts_mono){1000000 * MS + w->ms * MS};
}

static void print_peer(struct world *w, size_t node, const struct report_peer *p)
{
    script_printf(w->out, "%5" PRIu64 " n%zu: n%u %s", w->ms, node + 1, (unsigned)p->nic.v,
                  p->alive ? "alive" : "dead");
    script_printf(w->out, " paths=%s%s%s", (p->path_up_mask & 1) != 0 ? "0" : "",
                  (p->path_up_mask & 2) != 0 ? "1" : "", p->path_up_mask == 0 ? "none" : "");
    script_printf(w->out, " instance=%" PRIu64, p->instance.v);
    for (unsigned g = 1; g <= TS_GROUPS_MAX; g++) {
        if ((p->replica_known_mask >> g & 1) != 0) {
            script_printf(w->out, " group%u=%s/%u", g,
                          (p->replica_running_mask >> g & 1) != 0 ? "runs" : "exited",
                          (unsigned)p->replica_starts[g]);
        }
    }
    script_printf(w->out, "\n");
}

static bool same_peer(const struct report_peer *a, const struct report_peer *b)
{
    return a->alive == b->alive && a->path_up_mask == b->path_up_mask &&
           a->instance.v == b->instance.v && a->replica_known_mask == b->replica_known_mask &&
           a->replica_running_mask == b->replica_running_mask &&
           memcmp(a->replica_starts, b->replica_starts, sizeof(a->replica_starts)) == 0;
}

static void publish(struct world *w, size_t node)
{
    struct report_peers r;
    hb_report(&w->nodes[node].core, now_of(w), &r);
    for (uint8_t i = 0; i < r.count; i++) {
        bool first = w->nodes[node].shown.count == 0;
        if (first || !same_peer(&r.p[i], &w->nodes[node].shown.p[i])) {
            print_peer(w, node, &r.p[i]);
        }
    }
    w->nodes[node].shown = r;
}

static void arrive(struct world *w, const struct packet *p);

static void send(struct world *w, size_t from, const struct hb_effect *e)
{
    struct hb_datagram d;
    struct packet p = {.present = true};
    struct ts_writer writer = ts_writer_init(p.bytes, HB_SIGNED_BYTES);
    hb_fill(&w->nodes[from].core, e, now_of(w), &d);
    if (hb_datagram_encode(&d, &writer) != TS_OK) {
        script_printf(w->out, "error: a heartbeat cannot be encoded\n");
        return;
    }
    size_t to = (size_t)(d.to.v - 1);
    w->nodes[from].newest[to][d.path] = p;
    if (!w->cut[from][to][d.path]) {
        arrive(w, &p);
    }
}

/* One step of a node, with what it causes elsewhere: a send arrives at once. */
static void step(struct world *w, size_t node, const struct hb_event *event)
{
    /* A packet that arrives causes no send, so a copy of the effects a node is enough. */
    struct hb_effects *effects = &w->effects[node];
    hb_step(&w->nodes[node].core, event, effects);
    hb_check_invariants(&w->nodes[node].core);
    for (uint16_t i = 0; i < effects->count; i++) {
        const struct hb_effect *e = &effects->e[i];
        char text[128];
        switch (e->kind) {
        case HB_EFFECT_SEND:
            send(w, node, e);
            break;
        case HB_EFFECT_PUBLISH:
            publish(w, node);
            break;
        case HB_EFFECT_TRACE:
            (void)ts_trace_format(&e->trace, text, sizeof(text));
            script_printf(w->out, "%5" PRIu64 " n%zu: %s\n", w->ms, node + 1, text);
            break;
        }
    }
}

static void read_packet(struct world *w, size_t node, const struct packet *p)
{
    struct hb_datagram d;
    struct ts_bytes bytes = {p->bytes, sizeof(p->bytes)};
    if (hb_datagram_precheck(bytes, w->nodes[node].core.cluster) != TS_OK ||
        hb_datagram_decode(&d, bytes) != TS_OK) {
        script_printf(w->out, "error: a heartbeat cannot be decoded\n");
        return;
    }
    step(w, node,
         &(struct hb_event){
             .kind = HB_EVENT_DATAGRAM, .now = now_of(w), .path = d.path, .datagram = &d});
}

static void arrive(struct world *w, const struct packet *p)
{
    struct hb_datagram d;
    if (hb_datagram_decode(&d, (struct ts_bytes){p->bytes, sizeof(p->bytes)}) != TS_OK) {
        return;
    }
    struct node *to = &w->nodes[d.to.v - 1];
    if (!to->alive) {
        return;
    }
    if (!to->stopped) {
        read_packet(w, (size_t)(d.to.v - 1), p);
    } else if (to->queued < QUEUE_MAX) {
        to->queue[to->queued++] = *p; /* a full socket drops the newest */
    }
}

static void tick_if_due(struct world *w, size_t node)
{
    struct node *n = &w->nodes[node];
    if (!n->alive || n->stopped) {
        return;
    }
    if (!ts_mono_lt(now_of(w), hb_deadline(&n->core))) {
        step(w, node, &(struct hb_event){.kind = HB_EVENT_TICK, .now = now_of(w)});
    }
}

static void say_word(struct world *w, size_t node)
{
    struct node *n = &w->nodes[node];
    if (n->alive && !n->stopped && !n->hushed) {
        step(w, node,
             &(struct hb_event){.kind = HB_EVENT_PROCS, .now = now_of(w), .procs = &n->procs});
    }
}

static void pass_time(struct world *w, uint64_t ms)
{
    for (uint64_t i = 0; i < ms; i++) {
        w->ms++;
        for (size_t n = 0; n < w->count; n++) {
            if (w->ms % WORD_EVERY_MS == 0) {
                say_word(w, n);
            }
            tick_if_due(w, n);
        }
    }
}

static void start_node(struct world *w, size_t node, uint64_t instance)
{
    struct node *n = &w->nodes[node];
    n->alive = true;
    n->stopped = false;
    n->queued = 0;
    n->shown = (struct report_peers){0};
    hb_init(&n->core, &w->cluster, w->cluster.nodes[node].id, (struct ts_instance){instance},
            now_of(w));
    say_word(w, node);
}

static bool complain(struct world *w, const char *what)
{
    script_printf(w->out, "error: %s\n", what);
    return false;
}

static bool find_node(struct world *w, const struct script_command *cmd, int at, size_t *node)
{
    const char *word = at < cmd->count ? cmd->words[at] : "";
    *node = (size_t)(word[0] == 'n' && word[1] != '\0' ? word[1] - '1' : NODES_MAX);
    return *node < w->count || complain(w, "no such node");
}

static bool cmd_world(struct world *w, const struct script_command *cmd)
{
    uint64_t paths = script_arg_u64(cmd, "paths", 2);
    uint64_t nodes = script_arg_u64(cmd, "nodes", 2);
    if (w->count > 0 || nodes < 2 || nodes > NODES_MAX || paths < 1 || paths > PATHS_MAX) {
        return complain(w, "world: once, nodes=2..4 paths=1..2");
    }
    w->count = (size_t)nodes;
    (void)snprintf(w->cluster.name, sizeof(w->cluster.name), "script");
    w->cluster.timing = cfg_timing_derive(script_arg_u64(cmd, "timeout", 100) * MS);
    w->cluster.node_count = w->count;
    for (size_t i = 0; i < w->count; i++) {
        w->cluster.nodes[i].id.v = (uint16_t)(i + 1);
        w->cluster.nodes[i].path_count = (uint8_t)paths;
        w->nodes[i].hushed = true;
        w->nodes[i].procs.nic.v = (uint16_t)(i + 1);
    }
    for (size_t i = 0; i < w->count; i++) {
        start_node(w, i, 101 + i);
    }
    return true;
}

static bool cmd_node(struct world *w, const struct script_command *cmd)
{
    const char *verb = cmd->words[0];
    size_t node;
    if (!find_node(w, cmd, 1, &node)) {
        return false;
    }
    struct node *n = &w->nodes[node];
    if (strcmp(verb, "stop") == 0) {
        n->stopped = true;
    } else if (strcmp(verb, "kill") == 0) {
        n->alive = false;
        n->hushed = true;
    } else if (strcmp(verb, "restart") == 0) {
        start_node(w, node, script_arg_u64(cmd, "instance", 999));
    } else if (strcmp(verb, "hush") == 0) {
        n->hushed = true;
    } else {
        return complain(w, "no such command");
    }
    return true;
}

/* Reads what waits before anything else, as the shell does. */
static bool cmd_wake(struct world *w, const struct script_command *cmd)
{
    size_t node;
    if (!find_node(w, cmd, 1, &node)) {
        return false;
    }
    struct node *n = &w->nodes[node];
    n->stopped = false;
    for (size_t i = 0; i < n->queued; i++) {
        read_packet(w, node, &n->queue[i]);
    }
    n->queued = 0;
    say_word(w, node);
    tick_if_due(w, node);
    return true;
}

static bool cmd_cut(struct world *w, const struct script_command *cmd, bool cut)
{
    size_t from;
    size_t to;
    uint64_t path = script_arg_u64(cmd, "path", 0);
    if (!find_node(w, cmd, 1, &from) || !find_node(w, cmd, 2, &to) || path >= PATHS_MAX) {
        return false;
    }
    w->cut[from][to][path] = cut;
    if (!script_flag(cmd, "one-way")) {
        w->cut[to][from][path] = cut;
    }
    return true;
}

static bool cmd_procs(struct world *w, const struct script_command *cmd)
{
    size_t node;
    if (!find_node(w, cmd, 1, &node)) {
        return false;
    }
    struct report_procs *r = &w->nodes[node].procs;
    r->count = 2;
    r->p[0] = (struct report_proc){.role = REPORT_PROC_HEARTBEATD, .running = true, .starts = 1};
    r->p[1] = (struct report_proc){
        .role = REPORT_PROC_REPLICA,
        .group = {(uint16_t)script_arg_u64(cmd, "group", 1)},
        .running = script_arg_u64(cmd, "running", 1) != 0,
        .starts = (uint32_t)script_arg_u64(cmd, "starts", 1),
    };
    w->nodes[node].hushed = false;
    say_word(w, node);
    return true;
}

static bool cmd_keep(struct world *w, const struct script_command *cmd)
{
    size_t from;
    size_t to;
    uint64_t path = script_arg_u64(cmd, "path", 0);
    if (!find_node(w, cmd, 2, &from) || !find_node(w, cmd, 3, &to) || path >= PATHS_MAX ||
        !w->nodes[from].newest[to][path].present) {
        return complain(w, "keep: nothing was sent there");
    }
    for (size_t i = 0; i < KEPT_MAX; i++) {
        if (!w->kept[i].present) {
            (void)snprintf(w->kept_name[i], sizeof(w->kept_name[i]), "%s", cmd->words[1]);
            w->kept[i] = w->nodes[from].newest[to][path];
            return true;
        }
    }
    return complain(w, "keep: no room");
}

static bool cmd_replay(struct world *w, const struct script_command *cmd)
{
    for (size_t i = 0; i < KEPT_MAX && cmd->count > 1; i++) {
        if (w->kept[i].present && strcmp(w->kept_name[i], cmd->words[1]) == 0) {
            for (uint64_t n = script_arg_u64(cmd, "times", 1); n > 0; n--) {
                arrive(w, &w->kept[i]);
                pass_time(w, script_arg_u64(cmd, "every", 0));
            }
            return true;
        }
    }
    return complain(w, "replay: nothing was kept under this name");
}

static bool cmd_count(struct world *w, const struct script_command *cmd)
{
    size_t node;
    struct report_peers r;
    if (!find_node(w, cmd, 1, &node)) {
        return false;
    }
    hb_report(&w->nodes[node].core, now_of(w), &r);
    for (uint8_t i = 0; i < r.count; i++) {
        script_printf(w->out, "%5" PRIu64 " n%zu: n%u received=%" PRIu64 " lost=%" PRIu64 "\n",
                      w->ms, node + 1, (unsigned)r.p[i].nic.v, r.p[i].heartbeats_received,
                      r.p[i].heartbeats_lost);
    }
    return true;
}

static bool cmd_show(struct world *w, const struct script_command *cmd)
{
    size_t node;
    if (!find_node(w, cmd, 1, &node)) {
        return false;
    }
    struct report_peers r;
    const struct hb_core *core = &w->nodes[node].core;
    hb_report(core, now_of(w), &r);
    for (uint8_t i = 0; i < r.count; i++) {
        print_peer(w, node, &r.p[i]);
    }
    script_printf(w->out, "%5" PRIu64 " n%zu: stall=%ums replayed=%" PRIu64 " unanswering=%" PRIu64,
                  w->ms, node + 1, (unsigned)r.own_stall_ms, core->stats.replayed,
                  core->stats.unanswering);
    script_printf(w->out, " not-mine=%" PRIu64 "\n", core->stats.not_mine);
    return true;
}

static bool run(void *state, const struct script_command *cmd, struct script_text *out)
{
    struct world *w = (struct world *)state;
    const char *verb = cmd->words[0];
    w->out = out;
    if (strcmp(verb, "world") == 0) {
        return cmd_world(w, cmd);
    }
    if (strcmp(verb, "run") == 0) {
        pass_time(w, script_arg_u64(cmd, "ms", 1));
        return true;
    }
    if (strcmp(verb, "wake") == 0) {
        return cmd_wake(w, cmd);
    }
    if (strcmp(verb, "cut") == 0 || strcmp(verb, "heal") == 0) {
        return cmd_cut(w, cmd, verb[0] == 'c');
    }
    if (strcmp(verb, "procs") == 0) {
        return cmd_procs(w, cmd);
    }
    if (strcmp(verb, "keep") == 0) {
        return cmd->count > 1 && cmd_keep(w, cmd);
    }
    if (strcmp(verb, "replay") == 0) {
        return cmd_replay(w, cmd);
    }
    if (strcmp(verb, "count") == 0) {
        return cmd_count(w, cmd);
    }
    if (strcmp(verb, "show") == 0) {
        return cmd_show(w, cmd);
    }
    return cmd_node(w, cmd);
}

static void *open_world(void)
{
    return calloc(1, sizeof(struct world));
}

int main(int argc, char **argv)
{
    static const struct script_runner runner = {"heartbeat", open_world, free, run};
    return script_main(&runner, argc, argv);
}
