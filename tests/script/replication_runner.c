/* Runs the scenarios of the replication core: replicas A, B, C (nodes 1, 2, 3). Commands:
 *
 *   world replicas=N            the register holds epoch 1, A primary, all in sync
 *   formed replicas=N           the same, booted, linked and settled: A primary, all in sync
 *   boot A | crash A [keep=N]   a crash keeps N of the pending disk writes
 *   blank A disk=N replaces=M   A, which does not run, gets a blank disk N for the place of M
 *   link A B [disk=N]           a session; B says that its disk has this incarnation
 *   unlink A B                  its end loses what was under way
 *   deliver A B [n=N]           the oldest messages from A to B
 *   again A B                   the oldest message from A to B, and it stays: a duplicate
 *   drop A B                    loses what is under way from A to B
 *   hear A B epoch=N [after=S] [other]
 *                               B hears what A did not send like this, or long ago: an append
 *                               without batches behind S, where B has another hash, if so
 *   hear-take-over A B epoch=N  the same with A's wish that B take over
 *   disk A [n=N]                the oldest pending writes become durable
 *   fail A                      its journal has failed
 *   handoff A [to=N]            the operator wants A to hand over to NIC N, or to any
 *   register A                  the register answers A's operation
 *   decide A                    A's proposal is decided, but A is not told
 *   suspect seq=N               the same config is decided again, with a suspect
 *   submit A word …             one batch
 *   fill A KIB …                a batch of one command of so many KiB for each number, until the
 *                               window is full; full is not the end, a smaller one may still fit
 *   read A | evidence A B KIND | clear A B | tick A | time ms=N
 *   settle [without=A,B]        everything that is under way happens, until nothing is
 *   quiet …                     a command whose trace is not shown
 *   flip A                      one bit of A's service state changes by itself
 *   clock A                     logical time as A would stamp it, ms since the first
 *   show A */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "tests/script/replication_world.h"

static void *open_world(void)
{
    return calloc(1, sizeof(struct world));
}

static void close_world(void *state)
{
    world_free(state);
}

/* The replica named by a word; the count of replicas when it names none. */
static size_t replica_arg(const struct world *w, const struct script_command *cmd, int word)
{
    if (word >= cmd->count || strlen(cmd->words[word]) != 1) {
        return w->count;
    }
    size_t i = (size_t)(cmd->words[word][0] - 'A');
    return i < w->count ? i : w->count;
}

static bool run_world(struct world *w, const struct script_command *cmd)
{
    w->count = script_arg_u64(cmd, "replicas", 2);
    if (w->count > WORLD_REPLICAS_MAX) {
        return false;
    }
    w->decided = (struct cfg_config){.epoch = {1}, .primary = {1}, .min_version = 1};
    for (size_t i = 0; i < w->count; i++) {
        w->r[i].world = w;
        w->r[i].name = (char)('A' + i);
        w->r[i].nic = (uint16_t)(i + 1);
        struct cfg_replica r = {{w->r[i].nic}, {world_incarnation(w, i)}};
        cfg_set_add(&w->decided.in_sync, r);
        cfg_set_add(&w->decided.members, r);
    }
    return true;
}

static void link_event(struct world *w, size_t at, size_t peer, enum repl_event_kind kind,
                       uint64_t incarnation)
{
    struct repl_event ev = {.kind = kind, .peer = {w->r[peer].nic}};
    ev.u.link.instance.v = w->r[peer].instance + w->r[peer].nic;
    ev.u.link.incarnation.v = incarnation;
    if (w->r[at].core != NULL) {
        world_feed(w, at, &ev);
    }
}

static void set_link(struct world *w, size_t a, size_t b, bool up, uint64_t disk_of_b)
{
    enum repl_event_kind kind = up ? REPL_EV_LINK_UP : REPL_EV_LINK_DOWN;
    w->linked[a][b] = up;
    w->linked[b][a] = up;
    world_drop(w, a, b);
    world_drop(w, b, a);
    link_event(w, a, b, kind, disk_of_b);
    link_event(w, b, a, kind, world_incarnation(w, a));
}

static void hear(struct world *w, size_t from, size_t to, const struct script_command *cmd)
{
    uint8_t bytes[REPL_MSG_HEAD_MAX];
    struct ts_writer out = ts_writer_init(bytes, sizeof(bytes));
    struct repl_batch b;
    struct repl_status s;
    struct repl_msg_append m = {.epoch = {script_arg_u64(cmd, "epoch", 1)}};
    m.prev.seq.v = script_arg_u64(cmd, "after", 0);
    repl_status(w->r[to].core, &s);
    if (m.prev.seq.v > 0 && !ts_seq_lt(s.tail.seq, m.prev.seq)) {
        repl_batch_at(w->r[to].core, m.prev.seq, &b, &m.prev.hash);
    }
    m.prev.hash.lo ^= strcmp(cmd->words[cmd->count - 1], "other") == 0;
    repl_msg_append_encode(&m, &out);
    struct repl_event ev = {.kind = REPL_EV_MESSAGE, .peer = {w->r[from].nic}};
    ev.u.message.type = REPL_MSG_APPEND;
    ev.u.message.frame = (struct ts_bytes){bytes, out.len};
    world_feed(w, to, &ev);
}

static void hear_take_over(struct world *w, size_t from, size_t to,
                           const struct script_command *cmd)
{
    uint8_t bytes[REPL_MSG_HEAD_MAX];
    struct ts_writer out = ts_writer_init(bytes, sizeof(bytes));
    struct repl_msg_take_over m = {.epoch = {script_arg_u64(cmd, "epoch", 1)},
                                   .instance = {w->r[from].instance + w->r[from].nic},
                                   .why = REPL_TAKE_OVER_DISK};
    repl_msg_take_over_encode(&m, &out);
    struct repl_event ev = {.kind = REPL_EV_MESSAGE, .peer = {w->r[from].nic}};
    ev.u.message.type = REPL_MSG_TAKE_OVER;
    ev.u.message.frame = (struct ts_bytes){bytes, out.len};
    world_feed(w, to, &ev);
}

static bool run_pair(struct world *w, const struct script_command *cmd)
{
    static const char *const KINDS[] = {"none", "silent", "refused", "exited"};
    size_t a = replica_arg(w, cmd, 1);
    size_t b = replica_arg(w, cmd, 2);
    const char *verb = cmd->words[0];
    uint64_t n = script_arg_u64(cmd, "n", UINT64_MAX);
    if (a == w->count || b == w->count || a == b) {
        return false;
    }
    if (strcmp(verb, "link") == 0 || strcmp(verb, "unlink") == 0) {
        set_link(w, a, b, verb[0] == 'l', script_arg_u64(cmd, "disk", world_incarnation(w, b)));
    } else if (strcmp(verb, "deliver") == 0) {
        while (n-- > 0 && world_deliver(w, a, b, false)) {
        }
    } else if (strcmp(verb, "again") == 0) {
        return world_deliver(w, a, b, true);
    } else if (strcmp(verb, "drop") == 0) {
        world_drop(w, a, b);
    } else if (strcmp(verb, "hear") == 0) {
        hear(w, a, b, cmd);
    } else if (strcmp(verb, "hear-take-over") == 0) {
        hear_take_over(w, a, b, cmd);
    } else {
        struct repl_event ev = {.kind = REPL_EV_EVIDENCE, .peer = {w->r[b].nic}};
        if (strcmp(verb, "clear") == 0) {
            ev.kind = REPL_EV_EVIDENCE_CLEAR;
        }
        for (unsigned k = 1; k < 4; k++) {
            if (cmd->count > 3 && strcmp(cmd->words[3], KINDS[k]) == 0) {
                ev.u.evidence = (enum repl_evidence)k;
            }
        }
        world_feed(w, a, &ev);
    }
    return true;
}

static bool is_pair_command(const char *verb)
{
    static const char *const VERBS[] = {"link", "unlink",         "deliver",  "again", "drop",
                                        "hear", "hear-take-over", "evidence", "clear"};
    for (size_t i = 0; i < sizeof(VERBS) / sizeof(VERBS[0]); i++) {
        if (strcmp(verb, VERBS[i]) == 0) {
            return true;
        }
    }
    return false;
}

static void run_submit(struct world *w, size_t i, const struct script_command *cmd)
{
    static const char *const RESULTS[] = {"none", "ordered", "not primary", "busy"};
    struct repl_request q[SCRIPT_WORDS_MAX];
    size_t n = 0;
    for (int k = 2; k < cmd->count; k++) {
        q[n++] = (struct repl_request){
            .kind = SVC_ENTRY_COMMAND,
            .payload = {(const uint8_t *)cmd->words[k], strlen(cmd->words[k])}};
    }
    struct repl_event ev = {.kind = REPL_EV_SUBMIT};
    ev.u.submit.requests = q;
    ev.u.submit.count = n;
    world_feed(w, i, &ev);
    if (w->r[i].perform.fx.submit != REPL_SUBMIT_ORDERED) {
        script_printf(w->out, "%c: submit: %s\n", w->r[i].name, RESULTS[w->r[i].perform.fx.submit]);
    }
}

static void run_fill(struct world *w, size_t i, const struct script_command *cmd)
{
    for (int k = 2; k < cmd->count; k++) {
        size_t len = (size_t)strtoull(cmd->words[k], NULL, 10) << 10;
        uint8_t *payload = calloc(1, len + 1);
        ts_assert(payload != NULL && len <= REPL_PAYLOAD_BYTES_MAX);
        struct repl_request q = {.kind = SVC_ENTRY_COMMAND, .payload = {payload, len}};
        struct repl_event ev = {.kind = REPL_EV_SUBMIT};
        ev.u.submit.requests = &q;
        ev.u.submit.count = 1;
        world_feed(w, i, &ev);
        bool ordered = w->r[i].perform.fx.submit == REPL_SUBMIT_ORDERED;
        script_printf(w->out, "%c: %s KiB %s\n", w->r[i].name, cmd->words[k],
                      ordered ? "ordered" : "not ordered");
        free(payload);
    }
}

static void run_show(struct world *w, size_t i)
{
    static const char *const ROLES[] = {"starting", "secondary", "taking over", "primary",
                                        "halted"};
    struct repl_status s;
    repl_status(w->r[i].core, &s);
    script_printf(w->out,
                  "%c: %s%s%s epoch %" PRIu64 " floor %" PRIu64 " tail %" PRIu64
                  " persisted %" PRIu64 " applied %" PRIu64 " required %" PRIx64 "%s%s\n",
                  w->r[i].name, ROLES[s.role], s.active ? " active" : "",
                  s.blocked ? " blocked" : "", s.config.epoch.v, s.floor.v, s.tail.seq.v,
                  s.persisted.v, s.applied.v, s.required_mask, s.why == REPL_WHY_NONE ? "" : ": ",
                  report_why_text(s.why));
}

static bool settles(const struct script_command *cmd, char name)
{
    const char *without = script_arg(cmd, "without");
    return without == NULL || strchr(without, name) == NULL;
}

/* One round over everything that is under way; false when nothing was. */
static bool settle_round(struct world *w, const struct script_command *cmd)
{
    bool any = false;
    for (size_t i = 0; i < w->count; i++) {
        if (w->r[i].core == NULL || !settles(cmd, w->r[i].name)) {
            continue;
        }
        any = world_disk(w, i) || any;
        any = world_register(w, i, false) || any;
        for (size_t k = 0; k < w->count; k++) {
            if (k != i && settles(cmd, w->r[k].name)) {
                any = world_deliver(w, k, i, false) || any;
            }
        }
    }
    return any;
}

static bool run_one(struct world *w, const struct script_command *cmd)
{
    const char *verb = cmd->words[0];
    size_t i = replica_arg(w, cmd, 1);
    struct world_replica *r = &w->r[i];
    bool stopped = strcmp(verb, "boot") == 0 || strcmp(verb, "blank") == 0;
    if (i == w->count || (r->core == NULL) != stopped) {
        return false;
    }
    if (strcmp(verb, "blank") == 0) {
        world_blank(w, i);
        r->incarnation = script_arg_u64(cmd, "disk", 0);
        r->replaces = script_arg_u64(cmd, "replaces", 0);
    } else if (strcmp(verb, "boot") == 0) {
        world_boot(w, i);
    } else if (strcmp(verb, "crash") == 0) {
        world_crash(w, i, script_arg_u64(cmd, "keep", 0));
    } else if (strcmp(verb, "disk") == 0) {
        uint64_t n = script_arg_u64(cmd, "n", UINT64_MAX);
        while (n-- > 0 && world_disk(w, i)) {
        }
    } else if (strcmp(verb, "handoff") == 0) {
        static const char *const RESULTS[] = {"none", "begun", "not primary", "no heir", "busy"};
        struct repl_event ev = {.kind = REPL_EV_HANDOFF,
                                .peer = {(uint16_t)script_arg_u64(cmd, "to", 0)}};
        world_feed(w, i, &ev);
        script_printf(w->out, "%c: handoff: %s\n", r->name, RESULTS[r->perform.fx.handoff]);
    } else if (strcmp(verb, "fail") == 0) {
        struct repl_event ev = {.kind = REPL_EV_DISK_FAILED};
        world_feed(w, i, &ev);
    } else if (strcmp(verb, "register") == 0) {
        return world_register(w, i, false);
    } else if (strcmp(verb, "decide") == 0) {
        w->decided = r->reg_config;
    } else if (strcmp(verb, "submit") == 0) {
        run_submit(w, i, cmd);
    } else if (strcmp(verb, "fill") == 0) {
        run_fill(w, i, cmd);
    } else if (strcmp(verb, "read") == 0) {
        struct repl_event ev = {.kind = REPL_EV_READ};
        ev.u.read_token = ++r->reads;
        world_feed(w, i, &ev);
    } else if (strcmp(verb, "tick") == 0) {
        struct repl_event ev = {.kind = REPL_EV_TICK};
        world_feed(w, i, &ev);
    } else if (strcmp(verb, "flip") == 0) {
        r->state.lo ^= 1;
    } else if (strcmp(verb, "clock") == 0) {
        struct ts_mono now = {(1000000 + w->ms) * TS_NS_PER_MS};
        script_printf(w->out, "%c: logical time +%" PRIu64 " ms\n", r->name,
                      (uint64_t)(repl_logical_now(r->core, now).ns / TS_NS_PER_MS - 5000U * 1000U));
    } else if (strcmp(verb, "show") == 0) {
        run_show(w, i);
    } else {
        return false;
    }
    return true;
}

static void form(struct world *w)
{
    struct script_command none = {0};
    for (size_t i = 0; i < w->count; i++) {
        world_boot(w, i);
        for (size_t k = 0; k < i; k++) {
            set_link(w, k, i, true, world_incarnation(w, i));
        }
        for (int n = 0; n < 500 && settle_round(w, &none); n++) {
        }
    }
    for (int turn = 0; turn < 4; turn++) {
        w->ms += 5;
        for (size_t i = 0; i < w->count; i++) {
            struct repl_event ev = {.kind = REPL_EV_TICK};
            world_feed(w, i, &ev);
        }
        for (int n = 0; n < 500 && settle_round(w, &none); n++) {
        }
    }
}

static bool run(void *state, const struct script_command *given, struct script_text *out)
{
    struct world *w = state;
    struct script_command cmd = *given;
    struct script_text hidden = {NULL, 0, 0};
    bool ok = true;
    w->out = out;
    if (strcmp(cmd.words[0], "quiet") == 0 && cmd.count > 1) {
        w->out = &hidden;
        cmd.count--;
        memmove(&cmd.words[0], &cmd.words[1], (size_t)cmd.count * sizeof(cmd.words[0]));
    }
    if (strcmp(cmd.words[0], "world") == 0) {
        ok = run_world(w, &cmd);
    } else if (strcmp(cmd.words[0], "formed") == 0) {
        ok = run_world(w, &cmd);
        w->out = &hidden;
        form(w);
        w->out = out;
        for (size_t i = 0; i < w->count; i++) {
            run_show(w, i);
        }
    } else if (strcmp(cmd.words[0], "time") == 0) {
        w->ms += script_arg_u64(&cmd, "ms", 0);
    } else if (strcmp(cmd.words[0], "suspect") == 0) {
        w->decided.epoch = ts_epoch_next(w->decided.epoch);
        w->decided.suspect.v = script_arg_u64(&cmd, "seq", 1);
    } else if (strcmp(cmd.words[0], "settle") == 0) {
        for (int k = 0; k < 500 && settle_round(w, &cmd); k++) {
        }
    } else if (is_pair_command(cmd.words[0])) {
        ok = run_pair(w, &cmd);
    } else {
        ok = run_one(w, &cmd);
    }
    if (!ok) {
        script_printf(out, "cannot: %s\n", cmd.words[0]);
    }
    script_text_free(&hidden);
    return ok;
}

int main(int argc, char **argv)
{
    static const struct script_runner RUNNER = {
        .name = "replication", .open = open_world, .close = close_world, .run = run};
    return script_main(&RUNNER, argc, argv);
}
