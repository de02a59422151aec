/* The tables of replicator/io/perform_replica.h, on the models: each effect may be the one at which
 * the process crashes, or is stopped. */
#include <string.h>

#include "base/assert.h"
#include "base/exit.h"
#include "base/hash.h"
#include "replicator/state.h"
#include "tests/sim/sim.h"

static struct sim *sim_of(void *ctx)
{
    return ((struct sim_replica *)ctx)->sim;
}

static int node_of(void *ctx)
{
    return ((struct sim_replica *)ctx)->node;
}

static struct perform_replica *shared(void *ctx)
{
    return &((struct sim_replica *)ctx)->p;
}

static bool crashed(void *ctx)
{
    return sim_proc_crashed(sim_of(ctx), node_of(ctx), SIM_REPLICA);
}

/* ---- perform_table ------------------------------------------------------------------------ */

static void on_append(void *ctx, const struct repl_batch *batch, struct ts_hash hash,
                      struct ts_seq committed)
{
    sim_gave_up_appends(sim_of(ctx), node_of(ctx), batch);
    if (!crashed(ctx)) {
        sim_disk_append(sim_of(ctx), node_of(ctx), batch, hash, committed);
    }
}

static void on_truncate(void *ctx, struct repl_pos end)
{
    if (!crashed(ctx)) {
        sim_disk_truncate(sim_of(ctx), node_of(ctx), end);
    }
}

static void on_floor(void *ctx, struct ts_epoch floor)
{
    if (!crashed(ctx)) {
        perform_disk_floor(shared(ctx), floor);
    }
}

static void on_send(void *ctx, struct ts_nic_id to, uint8_t type, struct ts_bytes head,
                    struct ts_bytes body)
{
    if (type == REPL_MSG_CONFIRM) {
        sim_moment_came(sim_of(ctx), node_of(ctx), SIM_MOMENT_READS);
    }
    if (type == REPL_MSG_TAKE_OVER && sim_gave_up_loses(sim_of(ctx), node_of(ctx), to.v)) {
        return;
    }
    if (type == DISK_MSG_ASK) {
        ((struct sim_replica *)ctx)->disk.asked = true;
    }
    if (!crashed(ctx)) {
        sim_said_sent(sim_of(ctx), node_of(ctx), to.v, type, head);
        sim_link_send(sim_of(ctx), node_of(ctx), to.v, type, head, body);
    }
}

static void on_fetch(void *ctx, struct ts_nic_id peer, struct ts_seq after, size_t bytes_max)
{
    if (!crashed(ctx)) {
        sim_disk_fetch(sim_of(ctx), node_of(ctx), peer.v, after, bytes_max);
    }
}

static void on_reg(void *ctx, enum repl_effect_kind kind, uint64_t op, struct ts_epoch expected,
                   const struct cfg_config *config)
{
    struct sim_replica *r = ctx;
    if (crashed(ctx)) {
        return;
    }
    if (kind == REPL_EF_REG_ABANDON) {
        /* Another authority in the register's place may answer all the same. */
        sim_push(r->sim, &(struct sim_event){.kind = SIM_EV_LATE_WORD,
                                             .at = r->sim->now + sim_us(r->sim, 0, 50000),
                                             .node = (uint8_t)r->node,
                                             .proc = SIM_REPLICA,
                                             .life = r->sim->node[r->node].proc[SIM_REPLICA].life,
                                             .a = op});
    }
    r->op_kind = kind;
    perform_register_op(&r->p, kind, op, expected, config, sim_local(r->sim, r->node));
}

/* The newest output is known, before anybody may see it. */
static void note_applied(struct sim_replica *r, const struct svc_entry *entry)
{
    struct ts_hash out = ts_hash_bytes(r->p.out.data, r->p.out.len);
    uint64_t parts[3] = {entry->seq.v, out.lo, out.hi};
    r->digest = ts_hash_chain(r->digest, parts, sizeof(parts));
    r->noted = true;
    sim_check_applied(r->sim, r->node, entry);
}

static void on_expect(void *ctx, const struct svc_entry *entries, size_t count)
{
    struct sim_replica *r = ctx;
    perform_service_expect(&r->p, entries, count);
}

static struct ts_hash on_apply(void *ctx, const struct svc_entry *entry, struct ts_epoch epoch,
                               bool release)
{
    struct sim_replica *r = ctx;
    r->noted = false;
    struct ts_hash out = perform_service_apply(&r->p, entry, epoch, release);
    if (!r->noted) {
        note_applied(r, entry);
    }
    if (r->flip && r->p.started) {
        r->flip = false;
        r->flipped_at = entry->seq.v;
        r->flipped_by = r->node;
        sim_note(r->sim, r->node, "has another result at seq %llu",
                 (unsigned long long)entry->seq.v);
        out.lo ^= (uint64_t)r->node; /* two of them differ from each other, too */
    }
    sim_snapshot_passed(r->sim, r->node, entry->seq);
    return out;
}

static void on_reads_ready(void *ctx, uint64_t token)
{
    if (!crashed(ctx)) {
        sim_load_reads_ready(sim_of(ctx), node_of(ctx), token);
    }
}

static void on_close_pending(void *ctx)
{
    perform_service_forget(shared(ctx));
    sim_load_closed(sim_of(ctx), node_of(ctx));
}

static void on_role(void *ctx)
{
    sim_check_role(sim_of(ctx), node_of(ctx));
}

static void on_trace(void *ctx, const struct ts_trace *t)
{
    struct sim *s = sim_of(ctx);
    s->stats.takeovers += t->kind == TS_TRACE_ACTIVE;
    sim_story_trace(s, node_of(ctx), SIM_REPLICA, t);
    sim_gave_up_traced(s, node_of(ctx), t);
    sim_moment_traced(s, node_of(ctx), t);
    bool diverged = t->kind == TS_TRACE_ALARM_DIVERGENCE || t->kind == TS_TRACE_ALARM_REPLAYS;
    /* Replicas in sync replay their logs then; a learner's results, and replays that differ, are
     * for people. */
    bool replays =
        t->kind == TS_TRACE_ALARM_DIVERGENCE && s->node[node_of(ctx)].replica.core->doubt.v != 0;
    if (t->kind == TS_TRACE_REPLAYS) {
        sim_check_replays(s, node_of(ctx));
    }
    if (diverged && sim_check_notices(s, !replays)) {
        return;
    }
    bool alarm = diverged || t->kind == TS_TRACE_ALARM_CHAIN;
    if (alarm && !s->stray_heard && !s->options.checkers_only) {
        char line[200];
        (void)ts_trace_format(t, line, sizeof(line));
        sim_fail(s, SIM_CHECK_ALARM, "%s: %s", sim_node_name(s, node_of(ctx)), line);
    }
}

const struct perform_table sim_replica_table = {
    .journal_append = on_append,
    .journal_truncate = on_truncate,
    .persist_floor = on_floor,
    .send = on_send,
    .fetch = on_fetch,
    .reg = on_reg,
    .expect = on_expect,
    .apply = on_apply,
    .reads_ready = on_reads_ready,
    .close_pending = on_close_pending,
    .role = on_role,
    .trace = on_trace,
};

/* ---- perform_ops ---------------------------------------------------------------------------- */

/* What was read for a learner comes by an event of its own: it may be late, or torn. */
static void push_fetched(struct sim *s, int node, const struct repl_event *ev)
{
    struct ts_bytes read = ev->u.fetched.batches;
    bool gone = ev->u.fetched.base.seq.v > 0;
    if (gone) {
        read = (struct ts_bytes){(const uint8_t *)&ev->u.fetched.base, sizeof(ev->u.fetched.base)};
    }
    sim_push(s, &(struct sim_event){.kind = SIM_EV_FETCHED,
                                    .at = s->now,
                                    .node = (uint8_t)node,
                                    .proc = SIM_REPLICA,
                                    .life = s->node[node].proc[SIM_REPLICA].life,
                                    .peer = (uint8_t)ev->peer.v,
                                    .type = gone,
                                    .a = ev->u.fetched.after.v,
                                    .bytes = sim_bytes_copy(s, read, (struct ts_bytes){NULL, 0}),
                                    .len = read.len});
}

void sim_replica_fetched(struct sim *s, struct sim_event *ev)
{
    if (ev->b == 0 && sim_chance_pm(s, 30)) {
        ev->b = 1;
        ev->at = s->now + sim_us(s, 1000, 300000);
        ev->bytes = ev->bytes == NULL ? NULL : sim_bytes_ref(ev->bytes);
        sim_push(s, ev);
        return;
    }
    struct repl_event e = {.kind = REPL_EV_FETCHED, .peer = {ev->peer}};
    e.u.fetched.after.v = ev->a;
    if (ev->type != 0) {
        memcpy(&e.u.fetched.base, ev->bytes, sizeof(e.u.fetched.base));
    } else {
        ev->len -= ev->len > 0 && sim_chance_pm(s, 10);
        e.u.fetched.batches = (struct ts_bytes){ev->bytes, ev->len};
    }
    sim_feed(s, ev->node, &e);
}

static void on_feed(void *ctx, struct repl_event *ev)
{
    struct sim_replica *r = ctx;
    if (ev->kind == REPL_EV_FETCHED) {
        push_fetched(r->sim, r->node, ev);
        return;
    }
    if (ev->kind == REPL_EV_RESTORE || ev->kind == REPL_EV_RESTORE_COMMITTED ||
        ev->kind == REPL_EV_RESTORE_MARK) {
        ev->now = sim_local(r->sim, r->node);
        perform_step(&r->p.perform, ev);
        return;
    }
    if (ev->kind == REPL_EV_REG_LOST && r->op_kind == REPL_EF_REG_CAS) {
        sim_check_defeated(r->sim, &r->p.proposer.proposal, &ev->u.reg.config);
    }
    sim_feed(r->sim, r->node, ev);
}

static void on_send_voter(void *ctx, uint8_t voter, const struct reg_msg *msg)
{
    const struct sim_replica *r = ctx;
    if (msg->type == REG_MSG_ACCEPT && r->p.proposer.op == PROPOSER_OP_CAS) {
        sim_moment_came(r->sim, r->node, SIM_MOMENT_ACCEPTS);
    }
    if (!crashed(ctx)) {
        sim_said_asked(r->sim, r->node, msg);
        sim_net_to_voter(r->sim, r->node, SIM_REPLICA, voter + 1, msg);
    }
}

static void on_refused(void *ctx, uint64_t registered)
{
    const struct sim_replica *r = ctx;
    sim_note(r->sim, r->node, "the disk is a clone or an old image: start %llu, registered %llu",
             (unsigned long long)r->disk.start.number, (unsigned long long)registered);
    sim_disk_refuse(r->sim, r->node, "the voters know of a later start");
    r->sim->node[r->node].proc[SIM_REPLICA].exit_now = TS_EXIT_CONFIG;
}

static void on_replaced(void *ctx)
{
    const struct sim_replica *r = ctx;
    sim_disk_refuse(r->sim, r->node, "another disk was enrolled in its place");
    sim_replace_out(r->sim, r->node);
    r->sim->node[r->node].proc[SIM_REPLICA].exit_now = TS_EXIT_CONFIG;
}

static void on_diverged(void *ctx, struct ts_seq left, const char *text)
{
    struct sim_replica *r = ctx;
    sim_note(r->sim, r->node, "results differ: %s", text);
    r->disk.told.snapshot = ts_seq_min(r->disk.told.snapshot, left);
    if (strstr(text, "cannot be replayed") != NULL) {
        (void)sim_check_notices(r->sim, true);
    }
}

static bool on_open_links(void *ctx)
{
    struct sim_replica *r = ctx;
    sim_link_open(r->sim, r->node);
    sim_replica_peers_begin(r->sim, r->node);
    r->p.floor.v += r->floor_more; /* a false belief */
    r->floor_false = r->floor_more > 0;
    r->floor_more = 0;
    return true;
}

static void on_release(void *ctx, const struct svc_entry *entry, struct ts_epoch epoch,
                       struct ts_bytes out)
{
    struct sim_replica *r = ctx;
    (void)out; /* sim_load.c takes it from r->p.out */
    note_applied(r, entry);
    if (!crashed(ctx)) {
        sim_check_released(r->sim, r->node, entry, epoch);
        sim_gave_up_released(r->sim, r->node, epoch);
        sim_said_released(r->sim, r->node, entry->seq, epoch);
        sim_load_released(r->sim, r->node, entry);
    }
}

/* Nothing is refused but a journal that cannot be read (adr/0012): its queues hold all there is. */
static void on_journal_refuses(void *ctx, const char *what, enum ts_err err)
{
    const struct sim_replica *r = ctx;
    sim_note(sim_of(ctx), node_of(ctx), "journal: %s", what);
    if (r->disk.told_bad && !r->disk.asked) {
        sim_fail(sim_of(ctx), SIM_CHECK_SCRUB,
                 "%s ends, since its journal is damaged, and has asked nobody to help it mend that",
                 sim_node_name(sim_of(ctx), node_of(ctx)));
    }
    if (err != TS_ERR_CORRUPT && err != TS_ERR_IO) {
        sim_fail(sim_of(ctx), SIM_CHECK_DISK, "%s: the journal refuses a call: %s",
                 sim_node_name(sim_of(ctx), node_of(ctx)), what);
    }
}

static void on_journal_failed(void *ctx, enum ts_err err, const char *text)
{
    (void)err;
    sim_note(sim_of(ctx), node_of(ctx), "the journal fails: %s", text);
}

static void on_fetch_failed(void *ctx, enum ts_err err, const char *text)
{
    struct sim_replica *r = ctx;
    bool damaged = err == TS_ERR_CORRUPT || err == TS_ERR_IO;
    bool asks = r->p.repair.wanted && r->p.repair.asked != 0; /* what it found before */
    r->disk.asked = r->disk.asked && (r->disk.told_bad || asks);
    r->disk.told_bad = r->disk.told_bad || damaged;
    sim_note(r->sim, r->node, "catch-up of a learner: %s", text == NULL ? ts_err_text(err) : text);
    if (text != NULL && !r->disk.volume.latent && !r->disk.lost) {
        sim_fail(r->sim, SIM_CHECK_DISK, "%s cannot read its good disk: %s",
                 sim_node_name(r->sim, r->node), text);
    }
}

static void on_end(void *ctx, bool again)
{
    sim_proc_end(sim_of(ctx), node_of(ctx), SIM_REPLICA, again ? TS_EXIT_AGAIN : TS_EXIT_FAILURE);
}

const struct perform_ops sim_replica_ops = {
    .feed = on_feed,
    .send_voter = on_send_voter,
    .refused = on_refused,
    .replaced = on_replaced,
    .diverged = on_diverged,
    .open_links = on_open_links,
    .release = on_release,
    .journal_refuses = on_journal_refuses,
    .journal_failed = on_journal_failed,
    .fetch_failed = on_fetch_failed,
    .snapshot_begins = sim_snapshot_begins,
    .snapshot_taken = sim_snapshot_taken,
    .snapshot_failed = sim_snapshot_failed,
    .transfer_failed = sim_transfer_failed,
    .snapshot_broken = sim_snapshot_broken,
    .snapshot_loaded = sim_snapshot_loaded,
    .snapshot_installed = sim_snapshot_installed,
    .scrub_begins = sim_scrub_begins,
    .scrub_found = sim_scrub_found,
    .scrub_ended = sim_scrub_ended,
    .repaired = sim_scrub_repaired,
    .end = on_end,
};
