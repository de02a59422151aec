/* Carries out the faults of a plan, and heals what is left of them. */
#include <signal.h>
#include <string.h>

#include "base/assert.h"
#include "tests/sim/sim.h"

void sim_fault_schedule(struct sim *s)
{
    for (size_t i = 0; i < s->plan.fault_count; i++) {
        const struct sim_fault *f = &s->plan.fault[i];
        if (!f->off && f->at < s->end_of_faults) {
            sim_push(s, &(struct sim_event){.kind = SIM_EV_FAULT, .at = f->at, .a = i});
        }
    }
    sim_push(s, &(struct sim_event){.kind = SIM_EV_HEAL, .at = s->end_of_faults});
}

/* When a fault that begins now ends: with the last of them at the latest. */
uint64_t sim_fault_end(const struct sim *s, const struct sim_fault *f)
{
    uint64_t end = s->now + f->lasts;
    return end < s->end_of_faults ? end : s->end_of_faults;
}

uint64_t sim_fault_pause_end(const struct sim *s, const struct sim_fault *f)
{
    struct sim_fault as = {.lasts = f->pause};
    return sim_fault_end(s, &as);
}

static void plan_end(struct sim *s, const struct sim_event *ev, const struct sim_fault *f)
{
    sim_push(s,
             &(struct sim_event){.kind = SIM_EV_FAULT_END, .at = sim_fault_end(s, f), .a = ev->a});
}

/* ---- processes and power -------------------------------------------------------------------- */

void sim_fault_power_on_at(struct sim *s, int node, uint64_t at)
{
    sim_push(s, &(struct sim_event){.kind = SIM_EV_POWER_ON, .at = at, .node = (uint8_t)node});
}

static void power_all(struct sim *s, const struct sim_fault *f)
{
    for (int n = 1; n <= s->nodes; n++) {
        sim_nic_power_off(s, n);
        sim_fault_power_on_at(s, n, s->now + (f->a >> (8 * n) & 0xff) * 4 * SIM_MS);
    }
}

bool sim_fault_pause(struct sim *s, int node, enum sim_proc proc, uint64_t until)
{
    struct sim_process *p = &s->node[node].proc[proc];
    if (p->life == 0 || p->paused_until >= until) {
        return false;
    }
    p->paused_from = p->paused_until > s->now ? p->paused_from : s->now;
    p->paused_until = until;
    return true;
}

static bool kill_process(struct sim *s, int node, enum sim_proc proc)
{
    bool runs = sim_runs(s, node, proc);
    sim_proc_end(s, node, proc, -SIGKILL);
    return runs;
}

static void crash_at_operation(struct sim *s, const struct sim_fault *f)
{
    struct sim_disk *d = &s->node[f->node].replica.disk;
    if (f->b % 8 < 2) {
        d->at_cut = f;
    } else if (f->b % 8 == 2) { /* between the name of a new segment and the sync of that, … */
        d->volume.at_rename = true;
        d->at_switch = f; /* … and again when the log has gone on there */
        d->crash = f;
    } else {
        d->volume.ops_left = 1 + f->a % 40;
        d->crash = f;
    }
}

/* As below; whose processes end or begin all together. */
static bool on_node_fault(struct sim *s, const struct sim_fault *f)
{
    bool runs = sim_runs(s, f->node, SIM_NICD);
    bool powered = s->node[f->node].powered;
    switch ((int)f->kind) {
    case SIM_FAULT_KILL_NICD:
        if (runs) {
            sim_nic_kill(s, f->node, sim_fault_end(s, f) + sim_us(s, 0, 100000));
        }
        return runs;
    case SIM_FAULT_STOP:
        if (runs) {
            sim_nic_stop(s, f->node, sim_fault_end(s, f));
        }
        return runs;
    case SIM_FAULT_POWER_NODE:
        sim_nic_power_off(s, f->node);
        sim_fault_power_on_at(s, f->node, sim_fault_end(s, f));
        return powered;
    case SIM_FAULT_POWER_ALL:
        for (int n = 1; n <= s->nodes; n++) {
            powered = powered || s->node[n].powered;
        }
        power_all(s, f);
        return powered;
    default:
        ts_unreachable();
    }
}

/* False: what it is for does not run, or stands still longer already. */
static bool on_process_fault(struct sim *s, const struct sim_fault *f)
{
    struct sim_node *n = &s->node[f->node];
    struct sim_process *p = &n->proc[SIM_REPLICA];
    bool done = false;
    switch ((int)f->kind) {
    case SIM_FAULT_KILL_REPLICA:
        return kill_process(s, f->node, SIM_REPLICA);
    case SIM_FAULT_KILL_CFGD:
        return kill_process(s, f->node, SIM_CFGD);
    case SIM_FAULT_KILL_HEARTBEATD:
        return kill_process(s, f->node, SIM_HEARTBEATD);
    case SIM_FAULT_BUSY:
        n->busy_until = sim_fault_end(s, f);
        n->busy_us = 200 + f->a % 20000;
        n->busy_all = f->b % 4 == 0;
        return n->proc[SIM_REPLICA].life != 0;
    case SIM_FAULT_CRASH_POINT_HEART:
        p = &n->proc[SIM_HEARTBEATD];
        p->crash_in = 1 + f->a % 40;
        return p->life != 0;
    case SIM_FAULT_CRASH_POINT:
        p->crash_in = 1 + f->a % 60;
        return p->life != 0;
    case SIM_FAULT_CRASH_POINT_VOTER:
        p = &n->proc[SIM_CFGD];
        p->crash_in = 1 + f->a % 12;
        return p->life != 0;
    case SIM_FAULT_PAUSE_POINT:
        p->pause_in = 1 + f->a % 60;
        p->pause_ns = f->pause;
        return p->life != 0;
    case SIM_FAULT_CRASH_OPERATION:
        crash_at_operation(s, f);
        return true;
    case SIM_FAULT_CRASH_OPERATION_VOTER:
        n->cfgd.disk.volume.ops_left = 1 + f->a % 12;
        n->cfgd.disk.crash = f;
        return true;
    case SIM_FAULT_PAUSE_PROCESS:
        return sim_fault_pause(s, f->node, (enum sim_proc)(SIM_NICD + f->a % 4),
                               sim_fault_pause_end(s, f));
    case SIM_FAULT_PAUSE_NODE:
        for (int i = SIM_NICD; i < SIM_PROCS; i++) {
            done |= sim_fault_pause(s, f->node, (enum sim_proc)i, sim_fault_pause_end(s, f));
        }
        return done;
    default:
        return on_node_fault(s, f);
    }
}

/* ---- the network ---------------------------------------------------------------------------- */

static void cut(struct sim *s, int from, int to, const struct sim_fault *f, uint64_t flap)
{
    for (int path = 0; path < SIM_PATHS; path++) {
        struct sim_path *p = &s->net.path[from][to][path];
        if (f->path == SIM_PATHS || f->path == path) {
            p->cut_from = s->now;
            p->cut_until = sim_fault_end(s, f);
            p->flap = flap;
        }
    }
}

void sim_fault_isolate(struct sim *s, const struct sim_fault *f)
{
    struct sim_fault all = *f;
    all.path = SIM_PATHS;
    for (int n = 1; n <= s->nodes; n++) {
        if (n != f->node && f->a % 3 != 1) {
            cut(s, f->node, n, &all, 0);
        }
        if (n != f->node && f->a % 3 != 2) {
            cut(s, n, f->node, &all, 0);
        }
    }
}

static void make_bad(struct sim *s, int from, int to, const struct sim_fault *f)
{
    for (int path = 0; path < SIM_PATHS; path++) {
        struct sim_path *p = &s->net.path[from][to][path];
        if (f->path != SIM_PATHS && f->path != path) {
            continue;
        }
        p->bad_until = sim_fault_end(s, f);
        if (f->kind == SIM_FAULT_SLOW_PATH) {
            p->bytes_per_ms = 20 + f->a % 2000;
            continue;
        }
        p->loss_pm = (uint16_t)(f->a % 400);
        p->copy_pm = (uint16_t)((f->a >> 16) % 300);
        p->damage_pm = (f->a >> 32) % 2 == 0 ? 0 : (uint16_t)((f->a >> 33) % 20);
        p->replay_pm = (uint16_t)((f->a >> 48) % 300);
        p->delay_more = (f->b % 50) * SIM_MS;
        p->bytes_per_ms = 0;
    }
}

static void on_network_fault(struct sim *s, const struct sim_event *ev, const struct sim_fault *f)
{
    switch ((int)f->kind) {
    case SIM_FAULT_CUT:
        cut(s, f->node, f->other, f, 0);
        cut(s, f->other, f->node, f, 0);
        break;
    case SIM_FAULT_CUT_ONE_WAY:
        cut(s, f->node, f->other, f, 0);
        break;
    case SIM_FAULT_ISOLATE:
        sim_fault_isolate(s, f);
        break;
    case SIM_FAULT_MOMENT:
        sim_moment_arm(s, ev->a);
        break;
    case SIM_FAULT_FLAP:
        cut(s, f->node, f->other, f, (10 + f->a % 500) * SIM_MS);
        cut(s, f->other, f->node, f, (10 + f->a % 500) * SIM_MS);
        break;
    case SIM_FAULT_BAD_PATH:
    case SIM_FAULT_SLOW_PATH:
        make_bad(s, f->node, f->other, f);
        make_bad(s, f->other, f->node, f);
        break;
    case SIM_FAULT_RESET_LINK:
        sim_link_reset(s, f->node, f->other, f->path == SIM_PATHS ? -1 : f->path);
        break;
    case SIM_FAULT_LATE_REGISTER:
        s->net.late_until = sim_fault_end(s, f);
        s->net.late_max = (f->a % 3 == 0 ? 120 : 1 + f->a % 5) * SIM_S;
        break;
    default:
        ts_unreachable();
    }
}

/* ---- disks ---------------------------------------------------------------------------------- */

/* What is damaged is one file; sooner or later somebody reads it. */
static bool corrupt(struct sim *s, const struct sim_fault *f, bool newest)
{
    struct sim_volume *v = &s->node[f->node].replica.disk.volume;
    const char *name = v->latent       ? NULL
                       : newest        ? sim_volume_corrupt_newest(v)
                       : f->b % 6 == 5 ? sim_volume_corrupt_snapshot(v)
                                       : sim_volume_corrupt(v, 1 + f->a % 4);
    if (name == NULL) {
        return false;
    }
    sim_note(s, f->node, "the device damages %s", name);
    sim_strike(s, f->kind);
    if (f->b % 3 != 0) {
        sim_volume_drop_cache(v);
    }
    if (f->b % 3 == 2) {
        sim_proc_end(s, f->node, SIM_REPLICA, -SIGKILL);
    }
    return true;
}

/* One of the next syncs fails, at work or while the disk is opened; the budget is asked then. */
static void fail_a_sync(struct sim *s, const struct sim_fault *f, struct sim_volume *v,
                        enum sim_proc proc)
{
    v->breaks = f->a % 3 == 0;
    v->fails_full = f->a % 3 == 1;
    v->syncs_of_new = proc == SIM_REPLICA && f->b % 4 == 2;
    v->syncs_left = 1 + (f->a >> 8) % (f->b % 4 < 2 ? 3 : 8);
    if (f->b % 4 == 3) {
        sim_proc_end(s, f->node, proc, -SIGKILL);
    }
}

/* False: the budget does not allow it now. */
static bool lose_replica_disk(struct sim *s, const struct sim_fault *f)
{
    struct sim_disk *d = &s->node[f->node].replica.disk;
    if (f->kind == SIM_FAULT_FSYNC_ERROR) {
        if (!d->lost) {
            fail_a_sync(s, f, &d->volume, SIM_REPLICA);
        }
        return !d->lost;
    }
    if (f->kind == SIM_FAULT_CORRUPT && f->b % 6 == 2) {
        d->at_switch = f;
        return sim_disk_good(d); /* asked when it happens, too */
    }
    if (f->kind == SIM_FAULT_CORRUPT && f->b % 6 > 2 && f->b % 6 < 5 && s->nics > 2) {
        for (int n = 1; n <= s->nics; n++) { /* whoever is the primary then; the same */
            s->node[n].replica.disk.at_fetch = f;
        }
        return true;
    }
    if (f->kind == SIM_FAULT_LOST_WRITE || f->kind == SIM_FAULT_MISDIRECTED) {
        d->volume.next = f->kind == SIM_FAULT_LOST_WRITE ? SIM_LIE_LOST : SIM_LIE_MISDIRECTED;
        return sim_disk_good(d); /* asked when it happens, too */
    }
    if (!sim_budget_allows_replica_loss(s, f->node)) {
        return false;
    }
    if (f->kind == SIM_FAULT_CORRUPT) {
        return corrupt(s, f, f->a % 5 == 0);
    }
    sim_proc_end(s, f->node, SIM_REPLICA, -SIGKILL);
    sim_disk_blank(s, f->node);
    return true;
}

void sim_fault_at_switch(struct sim *s, int node)
{
    struct sim_disk *d = &s->node[node].replica.disk;
    const struct sim_fault *f = d->at_switch;
    if (f->kind == SIM_FAULT_CRASH_OPERATION) {
        if (d->volume.changes.count > 0 && !d->volume.at_rename) {
            d->at_switch = NULL;
            sim_nic_power_off(s, node);
            sim_fault_power_on_at(s, node, s->now + f->lasts % (2 * SIM_S));
        }
    } else if (sim_budget_allows_replica_loss(s, node)) {
        d->at_switch = NULL;
        s->stats.spared[f->kind] += !corrupt(s, f, true);
    }
}

/* One damage at a time costs a copy of a slot at most: the voter goes on. */
static bool damage_voter_disk(struct sim *s, const struct sim_fault *f)
{
    struct sim_volume *v = &s->node[f->node].cfgd.disk.volume;
    if (f->kind != SIM_FAULT_VOTER_CORRUPT) {
        v->next = f->kind == SIM_FAULT_VOTER_LOST_WRITE ? SIM_LIE_LOST : SIM_LIE_MISDIRECTED;
        return true;
    }
    const char *name = v->latent ? NULL : sim_volume_corrupt(v, 1);
    if (name == NULL) {
        return false;
    }
    sim_note(s, f->node, "the device damages %s", name);
    if (f->b % 2 == 0) {
        sim_volume_drop_cache(v);
        sim_proc_end(s, f->node, SIM_CFGD, -SIGKILL);
    }
    return true;
}

static bool lose_voter_disk(struct sim *s, const struct sim_fault *f)
{
    struct sim_voter_disk *d = &s->node[f->node].cfgd.disk;
    if (f->kind == SIM_FAULT_VOTER_FSYNC && !d->lost) {
        fail_a_sync(s, f, &d->volume, SIM_CFGD);
        return true;
    }
    if (!sim_budget_allows_voter_loss(s, f->node, false)) {
        return false;
    }
    d->lost = true;
    sim_proc_end(s, f->node, SIM_CFGD, -SIGKILL);
    d->damaged = f->a % 2 != 0 && sim_voter_spoil(s, f->node, f);
    if (!d->damaged) {
        sim_voter_disk_blank(s, f->node);
    }
    return true;
}

/* Its disk is there, and not as it should be. */
static void trouble_disk(struct sim *s, const struct sim_event *ev, const struct sim_fault *f)
{
    struct sim_disk *d = &s->node[f->node].replica.disk;
    struct sim_voter_disk *v = &s->node[f->node].cfgd.disk;
    bool voter = f->kind == SIM_FAULT_STALL_VOTER || f->kind == SIM_FAULT_SLOW_VOTER ||
                 f->kind == SIM_FAULT_FULL_VOTER;
    sim_strike_arm(voter ? &v->volume : &d->volume, f->kind);
    if (f->kind == SIM_FAULT_SLOW_DISK || f->kind == SIM_FAULT_SLOW_VOTER) {
        *(voter ? &v->slow : &d->slow) = 2 + f->a % 40;
        plan_end(s, ev, f);
    } else if (f->kind == SIM_FAULT_FULL_DISK) {
        d->full_until = sim_fault_end(s, f);
        d->full_to_write = f->a % 2 == 0;
    } else if (f->kind == SIM_FAULT_FULL_VOTER) {
        v->full_until = f->b % 4 == 0 ? 0 : sim_fault_end(s, f);
        v->refuses = f->b % 4 == 0 ? f : v->refuses; /* memory is wanting, rather */
    } else {
        *(voter ? &v->stalled_until : &d->stalled_until) = sim_fault_end(s, f);
    }
}

static bool on_disk_fault(struct sim *s, const struct sim_event *ev, const struct sim_fault *f)
{
    switch ((int)f->kind) {
    case SIM_FAULT_SLOW_DISK:
    case SIM_FAULT_SLOW_VOTER:
    case SIM_FAULT_STALL_DISK:
    case SIM_FAULT_STALL_VOTER:
    case SIM_FAULT_FULL_DISK:
    case SIM_FAULT_FULL_VOTER:
        trouble_disk(s, ev, f);
        return true;
    case SIM_FAULT_OLD_DISK:
    case SIM_FAULT_VOTER_OLD:
        sim_rollback_keep(s, f->node, f->kind == SIM_FAULT_VOTER_OLD ? SIM_CFGD : SIM_REPLICA);
        plan_end(s, ev, f);
        return true;
    case SIM_FAULT_CLONE:
    case SIM_FAULT_CLONE_VOTER:
    case SIM_FAULT_CLONE_OTHER: {
        bool done = f->kind == SIM_FAULT_CLONE_OTHER
                        ? sim_clone_begin_other(s, f->node, 1 + f->node % s->nics)
                        : sim_clone_keep(s, f->node, f->kind);
        if (done) {
            plan_end(s, ev, f);
        }
        return done;
    }
    case SIM_FAULT_OLD_TOGETHER:
        sim_rollback_begin(s, ev->a);
        return true;
    case SIM_FAULT_VOTER_CORRUPT:
    case SIM_FAULT_VOTER_LOST_WRITE:
    case SIM_FAULT_VOTER_MISDIRECTED:
        return damage_voter_disk(s, f);
    case SIM_FAULT_VOTER_FSYNC:
    case SIM_FAULT_VOTER_BLANK:
        return lose_voter_disk(s, f);
    default:
        return lose_replica_disk(s, f);
    }
}

/* ---- lies ----------------------------------------------------------------------------------- */

/* A NIC hears of a config that was never decided, as if the other one had said so (a bug, a flipped
 * bit): of the next epoch, or of one far ahead. */
static void lie(struct sim *s, const struct sim_fault *f)
{
    uint8_t bytes[REPL_MSG_HEAD_MAX];
    struct ts_writer w = ts_writer_init(bytes, sizeof(bytes));
    struct repl_msg_config m = {s->genesis};
    struct repl_status st;
    if (s->node[f->node].replica.core == NULL) {
        return;
    }
    repl_status(s->node[f->node].replica.core, &st);
    m.config.epoch.v = st.config.epoch.v + (f->a % 10 < 6 ? 1 : 2 + f->a % (1U << 30));
    m.config.primary.v = (uint16_t)(f->b % (uint64_t)s->nics + 1);
    m.config.proposer.v = s->node[m.config.primary.v].proc[SIM_REPLICA].life;
    m.config.nonce = f->b | 1;
    m.config.suspect.v = (f->b >> 34 & 7) == 0;
    if ((f->b >> 37 & 7) == 0 && m.config.primary.v != f->node) {
        struct ts_nic_id self = {f->node};
        cfg_set_remove(&m.config.in_sync, self);
        cfg_set_remove(&m.config.members, self);
        if (f->b >> 40 & 1) { /* its disk was replaced, rather */
            cfg_set_add(&m.config.members, (struct cfg_replica){self, {1}});
        }
    }
    for (uint16_t n = 0; n < 8 && (f->b >> 41 & 3) == 0; n++) { /* NICs that nobody knows */
        if (m.config.members.count < TS_MEMBERS_MAX) {
            struct ts_nic_id nic = {(uint16_t)(SIM_NODES_MAX + 1 + (f->a >> 32) % 40 + n)};
            cfg_set_add(&m.config.members, (struct cfg_replica){nic, {1}});
        }
    }
    if (f->b >> 32 & 1) {
        cfg_set_remove(&m.config.in_sync,
                       (struct ts_nic_id){(uint16_t)(m.config.primary.v % s->nics + 1)});
    }
    repl_msg_config_encode(&m, &w);
    ts_assert(!w.failed);
    struct sim_event ev = {.kind = SIM_EV_LIE,
                           .at = s->now,
                           .node = f->node,
                           .proc = SIM_REPLICA,
                           .life = s->node[f->node].proc[SIM_REPLICA].life,
                           .peer = f->other,
                           .type = REPL_MSG_CONFIG,
                           .len = w.len};
    ev.bytes = sim_bytes_copy(s, (struct ts_bytes){bytes, w.len}, (struct ts_bytes){NULL, 0});
    sim_push(s, &ev);
}

static void on_word_fault(struct sim *s, const struct sim_event *ev, const struct sim_fault *f)
{
    if (f->kind == SIM_FAULT_LIE) {
        lie(s, f);
    } else if (f->kind == SIM_FAULT_EVIDENCE && sim_runs(s, f->node, SIM_REPLICA)) {
        const char *name = report_evidence_text(f->a % (REPL_EVIDENCE_EXITED + 1));
        sim_note(s, f->node, "is told of %s, evidence: %s", sim_node_name(s, f->other), name);
        sim_push(s, &(struct sim_event){.kind = SIM_EV_EVIDENCE,
                                        .at = s->now,
                                        .node = f->node,
                                        .proc = SIM_REPLICA,
                                        .life = s->node[f->node].proc[SIM_REPLICA].life,
                                        .peer = f->other,
                                        .a = f->a % (REPL_EVIDENCE_EXITED + 1)});
        plan_end(s, ev, f);
    } else if (f->kind == SIM_FAULT_GARBAGE) {
        sim_stray_garbage_frames(s, f->node, f->other);
        sim_stray_garbage_registers(s, (int)(f->a % (uint64_t)s->nodes) + 1);
        sim_heart_garbage(s, (int)(f->b % (uint64_t)s->nodes) + 1);
    } else if (f->kind == SIM_FAULT_STRAY) {
        sim_stray_old_frames(s, f->node, f->other);
        sim_stray_old_registers(s, (int)(f->a % (uint64_t)s->nodes) + 1);
        sim_heart_stray(s, (int)(f->b % (uint64_t)s->nodes) + 1);
        sim_load_unserved(s, f->node);
        sim_lies_of_nobody(s, f);
    } else if (f->kind == SIM_FAULT_FALSE) {
        if (sim_lies_begin(s, f)) {
            plan_end(s, ev, f);
        }
    } else if (f->kind == SIM_FAULT_LONG) {
        sim_load_long(s, f->a);
    } else if (f->kind == SIM_FAULT_HANDOFF) {
        sim_gave_up_wish(s, f->node, f->a % 3 == 0 ? 0 : f->other);
    } else if (f->kind == SIM_FAULT_OTHER_RESULT) {
        s->node[f->node].replica.flip = sim_runs(s, f->node, SIM_REPLICA);
    } else if (f->kind == SIM_FAULT_WALL_CLOCK) {
        s->node[f->node].wall_offset = (int64_t)(f->a % (7200 * SIM_S)) - (int64_t)(3600 * SIM_S);
    }
}

/* ---- all of them ---------------------------------------------------------------------------- */

static void story(const struct sim *s, const struct sim_fault *f)
{
    char text[SIM_STORY_FAULT_MAX];
    if (f->kind == SIM_FAULT_MOMENT) {
        sim_moment_note(s, f);
    } else if (s->options.trace) {
        sim_story_fault_text(s, f, s->end_of_faults, text, sizeof(text));
        sim_story_fault(text);
    }
}

static void begin(struct sim *s, const struct sim_event *ev)
{
    const struct sim_fault *f = &s->plan.fault[ev->a];
    bool done = true;
    if (f->kind == SIM_FAULT_ONE) {
        sim_available_begin(s, ev);
        return;
    }
    if (s->now < s->quiet_until && f->kind != SIM_FAULT_MOMENT) {
        return;
    }
    story(s, f);
    if (f->kind <= SIM_FAULT_PAUSE_NODE) {
        done = on_process_fault(s, f);
    } else if (f->kind <= SIM_FAULT_LATE_REGISTER) {
        on_network_fault(s, ev, f);
    } else if (f->kind <= SIM_FAULT_OLD_TOGETHER) {
        done = on_disk_fault(s, ev, f);
    } else if (f->kind == SIM_FAULT_REPLACE || f->kind == SIM_FAULT_REPLACE_VOTER) {
        done =
            f->kind == SIM_FAULT_REPLACE ? sim_replace_begin(s, f) : sim_replace_voter_begin(s, f);
        if (done) {
            plan_end(s, ev, f);
        }
    } else {
        on_word_fault(s, ev, f);
    }
    if (done && sim_strike_waits(f->kind)) {
        s->stats.armed[f->kind]++;
    } else if (done) {
        s->stats.faults[f->kind]++;
    } else {
        s->stats.spared[f->kind]++;
    }
    if (s->options.trace) {
        sim_story_fault_done(s, done                              ? NULL
                                : f->kind <= SIM_FAULT_PAUSE_NODE ? "nothing runs there"
                                                                  : "beyond the fault budget");
    }
}

static void end(struct sim *s, const struct sim_fault *f)
{
    bool done = true;
    if (f->kind == SIM_FAULT_CLONE && sim_clone_is_too_new(s, f->node) && !s->healed) {
        sim_proc_end(s, f->node, SIM_REPLICA, -SIGKILL);
        sim_push(s, &(struct sim_event){.kind = SIM_EV_FAULT_END,
                                        .at = sim_fault_end(s, f),
                                        .a = (uint64_t)(f - s->plan.fault)});
        return;
    }
    if (f->kind == SIM_FAULT_SLOW_DISK) {
        s->node[f->node].replica.disk.slow = 1;
    } else if (f->kind == SIM_FAULT_SLOW_VOTER) {
        s->node[f->node].cfgd.disk.slow = 1;
    } else if (f->kind == SIM_FAULT_EVIDENCE) {
        /* It takes back what it said, as every detector does that hears the peer again. */
        sim_push(s, &(struct sim_event){.kind = SIM_EV_EVIDENCE,
                                        .at = s->now,
                                        .node = f->node,
                                        .proc = SIM_REPLICA,
                                        .peer = f->other});
    } else if (f->kind == SIM_FAULT_OLD_DISK) {
        done = sim_rollback_replica(s, f->node);
    } else if (f->kind == SIM_FAULT_CLONE || f->kind == SIM_FAULT_CLONE_VOTER) {
        done = s->clone.kind == f->kind && sim_clone_begin(s, f->node);
        if (!done && s->clone.kind == f->kind) {
            sim_clone_end(s);
        }
    } else if (f->kind == SIM_FAULT_CLONE_OTHER) {
        if (s->clone.kind == f->kind) {
            sim_clone_end(s);
        }
    } else if (f->kind == SIM_FAULT_VOTER_OLD) {
        done = sim_rollback_voter(s, f->node);
    } else if (f->kind == SIM_FAULT_REPLACE) {
        (void)sim_replace_end(s, f);
    } else if (f->kind == SIM_FAULT_REPLACE_VOTER) {
        sim_replace_voter_end(s, f);
    } else if (f->kind == SIM_FAULT_FALSE) {
        sim_lies_end(s, f);
    } else if (f->kind == SIM_FAULT_FULL_VOTER) {
        sim_proc_end(s, f->node, SIM_CFGD, -SIGKILL);
    }
    if (!done) {
        s->stats.spared[f->kind]++;
    } else if (f->kind == SIM_FAULT_OLD_DISK || f->kind == SIM_FAULT_VOTER_OLD) {
        sim_strike(s, f->kind);
    }
}

static void heal(struct sim *s)
{
    sim_note(s, 0, "the faults end");
    memset(s->armed, 0, sizeof(s->armed));
    s->healed = true;
    sim_net_heal(s);
    for (int n = 1; n <= s->nodes; n++) {
        struct sim_disk *d = &s->node[n].replica.disk;
        sim_nic_power_on(s, n);
        if (n <= s->nics) {
            sim_replace_look(s, n);
        }
        sim_replace_voter_look(s, n);
        d->slow = 1;
        s->node[n].cfgd.disk.slow = 1;
        d->volume.syncs_left = 0;
        s->node[n].cfgd.disk.volume.syncs_left = 0;
        s->node[n].cfgd.disk.refuses = NULL;
        d->at_switch = NULL;
        d->at_fetch = NULL;
        d->volume.at_rename = false;
        d->at_cut = NULL;
        d->volume.next = SIM_LIE_NONE;
        d->volume.ops_left = 0;
        s->node[n].cfgd.disk.volume.next = SIM_LIE_NONE;
        s->node[n].cfgd.disk.volume.ops_left = 0;
        for (int i = 0; i < SIM_PROCS; i++) {
            s->node[n].proc[i].crash_in = 0;
            s->node[n].proc[i].pause_in = 0;
        }
    }
}

void sim_fault_at_operation(struct sim *s, int node, enum sim_proc proc)
{
    const struct sim_fault *f =
        proc == SIM_REPLICA ? s->node[node].replica.disk.crash : s->node[node].cfgd.disk.crash;
    sim_strike(s, f->kind);
    if (f->b % 2 == 0) {
        sim_proc_end(s, node, proc, -SIGKILL);
        return;
    }
    uint64_t on = s->now + f->lasts % (2 * SIM_S);
    sim_nic_power_off(s, node);
    sim_fault_power_on_at(s, node, on);
}

void sim_fault_event(struct sim *s, struct sim_event *ev)
{
    if (ev->kind == SIM_EV_HEAL) {
        heal(s);
    } else if (ev->kind == SIM_EV_FAULT) {
        begin(s, ev);
    } else if (ev->kind == SIM_EV_FAULT_POINT) {
        if (s->plan.fault[ev->a].kind == SIM_FAULT_MOMENT) {
            sim_moment_blow(s, ev);
        } else if (s->plan.fault[ev->a].kind == SIM_FAULT_ONE) {
            sim_available_look(s, ev);
        } else {
            sim_rollback_goes_on(s, ev);
        }
    } else {
        end(s, &s->plan.fault[ev->a]);
    }
}
