/* A voter's disk: the shipped store (slot files, R1.3) on a volume of sim_files.c.
 *
 * After each start what was found is compared with what was told before: a record that was told to
 * be durable, or one that was given to the store after it. One damage at a time never costs more
 * than a copy, so no damage makes the store refuse its disk. */
#include <string.h>

#include "base/assert.h"
#include "base/exit.h"
#include "cluster-cfg/io/voter_store.h"
#include "tests/sim/sim.h"

static struct sim_cfgd *cfgd_of(struct sim *s, int node)
{
    return &s->node[node].cfgd;
}

static struct sim_voter_disk *disk_of(struct sim *s, int node)
{
    return &s->node[node].cfgd.disk;
}

/* ---- what was told -------------------------------------------------------------------------- */

static void put_start(struct reg_start *starts, size_t *count, const struct reg_start *one)
{
    for (size_t i = 0; i < *count; i++) {
        if (ts_incarnation_eq(starts[i].incarnation, one->incarnation)) {
            starts[i] = *one;
            return;
        }
    }
    ts_assert(*count < SIM_STARTS_MAX);
    starts[(*count)++] = *one;
}

/* The oldest write is durable. False: it was the start's confirmation, which has no record. */
static bool told(struct sim *s, int node)
{
    struct sim_voter_disk *d = disk_of(s, node);
    struct sim_voter_image *now = &d->durable;
    ts_assert(d->op_count > 0);
    struct sim_voter_op op = d->ops[0];
    d->op_count--;
    if (op.has_record) {
        sim_said_stored(s, node, &op.record);
    }
    memmove(&d->ops[0], &d->ops[1], d->op_count * sizeof(d->ops[0]));
    if (!op.has_record) {
        now->start.confirmed = true;
    } else if (op.record.kind == VOTER_RECORD_REGISTER) {
        now->reg = op.record.reg;
        sim_check_voted(s, node, &now->reg);
    } else {
        put_start(now->starts, &now->start_count, &op.record.start);
    }
    return op.has_record;
}

static bool same_register(const struct voter_register *a, const struct voter_register *b)
{
    uint8_t bytes[2][VOTER_RECORD_MAX];
    size_t len[2];
    const struct voter_register *of[2] = {a, b};
    for (int i = 0; i < 2; i++) {
        struct voter_record r = {.kind = VOTER_RECORD_REGISTER, .reg = *of[i]};
        struct ts_writer w = ts_writer_init(bytes[i], sizeof(bytes[i]));
        voter_record_encode(&r, &w);
        ts_assert(!w.failed);
        len[i] = w.len;
    }
    return len[0] == len[1] && memcmp(bytes[0], bytes[1], len[0]) == 0;
}

static bool is_found(const struct sim_voter_disk *d, const struct voter_register *found)
{
    bool same = same_register(found, &d->durable.reg);
    for (size_t i = 0; i < d->op_count && !same; i++) {
        const struct sim_voter_op *op = &d->ops[i];
        same = op->has_record && op->record.kind == VOTER_RECORD_REGISTER &&
               same_register(found, &op->record.reg);
    }
    return same;
}

static bool knows(const struct sim_voter_image *found, const struct reg_start *told_start)
{
    for (size_t i = 0; i < found->start_count; i++) {
        if (ts_incarnation_eq(found->starts[i].incarnation, told_start->incarnation)) {
            return found->starts[i].start >= told_start->start;
        }
    }
    return false;
}

/* What was found agrees with what was told. */
static void check_found(struct sim *s, int node, const struct sim_voter_image *found)
{
    const struct sim_voter_disk *d = disk_of(s, node);
    const struct sim_voter_image *was = &d->durable;
    const char *who = sim_node_name(s, node);
    if (d->lost) {
        sim_fail(s, SIM_CHECK_DISK, "the voter of %s opened a disk whose sync had failed", who);
    }
    if (!is_found(d, &found->reg)) {
        sim_fail(s, SIM_CHECK_DISK, "the voter of %s found another record than it had stored last",
                 who);
    }
    for (size_t i = 0; i < was->start_count; i++) {
        if (!knows(found, &was->starts[i])) {
            sim_fail(s, SIM_CHECK_DISK, "the voter of %s forgot start %llu of node %u", who,
                     (unsigned long long)was->starts[i].start,
                     (unsigned)was->starts[i].owner.node.v);
        }
    }
    if (found->start.number < was->start.number ||
        (was->start.confirmed && found->start.number == was->start.number)) {
        sim_fail(s, SIM_CHECK_DISK, "the voter of %s begins start %llu again", who,
                 (unsigned long long)found->start.number);
    }
}

/* ---- the store ------------------------------------------------------------------------------- */

/* Its files have all the room they need: full means that what copies on write has none. */
static enum sim_full full_now(const struct sim *s, const struct sim_voter_disk *d)
{
    return d->full_until > s->now ? SIM_FULL_TO_WRITE : SIM_FULL_NOT;
}

uint64_t sim_voter_due(struct sim *s, int node)
{
    struct sim_voter_disk *d = disk_of(s, node);
    uint64_t from = d->busy_until > s->now ? d->busy_until : s->now;
    if (d->stalled_until > from) {
        from = d->stalled_until;
        sim_strike_once(&d->volume, SIM_FAULT_STALL_VOTER);
    }
    uint64_t typical = s->plan.disk_us * (d->slow == 0 ? 1 : d->slow);
    if (d->slow > 1) {
        sim_strike_once(&d->volume, SIM_FAULT_SLOW_VOTER);
    }
    d->busy_until = from + sim_us(s, typical / 2, 2 * typical);
    return d->busy_until;
}

static void on_persisted(void *arg)
{
    struct sim_cfgd *c = arg;
    if (c->disk.ending) {
        return;
    }
    if (c->disk.volume.sync_failed) {
        sim_fail(c->sim, SIM_CHECK_DISK, "the voter of %s tells what it did after a failed sync",
                 sim_node_name(c->sim, c->node));
    }
    if (told(c->sim, c->node)) {
        voter_perform_persisted(&c->p, sim_local(c->sim, c->node));
    } else {
        voter_perform_confirmed(&c->p, sim_local(c->sim, c->node));
    }
}

static void on_failed(void *arg, enum ts_err err, const char *text)
{
    struct sim_cfgd *c = arg;
    if (c->disk.ending || c->disk.volume.dead) {
        return;
    }
    if (err == TS_ERR_NOSPACE && c->disk.volume.found_full) {
        /* As the daemon: the next start may find room. */
        sim_note(c->sim, c->node, "the voter's disk is full: %s", text);
        c->sim->node[c->node].proc[SIM_CFGD].exit_now = TS_EXIT_FAILURE;
        return;
    }
    if (!c->disk.lost) {
        sim_fail(c->sim, SIM_CHECK_DISK, "the voter of %s failed on a good disk: %s",
                 sim_node_name(c->sim, c->node), text);
    }
    sim_note(c->sim, c->node, "the voter's disk fails: %s", text);
    voter_perform_disk_failed(&c->p, text, sim_local(c->sim, c->node));
}

static void given(struct sim_voter_disk *d, struct sim_voter_op op)
{
    ts_assert(d->op_count < sizeof(d->ops) / sizeof(d->ops[0]));
    d->ops[d->op_count++] = op;
}

/* A write is refused, since memory is wanting: this process does not vote any more. The end of the
 * fault is the operator's: it starts anew. */
static bool refuses(struct sim *s, struct sim_voter_disk *d)
{
    const struct sim_fault *f = d->refuses;
    if (f == NULL) {
        return false;
    }
    d->refuses = NULL;
    d->refused_write = true;
    sim_note(s, f->node, "there is no memory for a write of the voter");
    sim_strike_once(&d->volume, f->kind);
    sim_push(s, &(struct sim_event){.kind = SIM_EV_FAULT_END,
                                    .at = sim_fault_end(s, f),
                                    .a = (uint64_t)(f - s->plan.fault)});
    return true;
}

enum ts_err sim_voter_disk_write(struct sim *s, int node, const struct voter_record *r, uint32_t id,
                                 struct ts_bytes bytes)
{
    struct sim_voter_disk *d = disk_of(s, node);
    if (refuses(s, d)) {
        return TS_ERR_NOMEM;
    }
    enum ts_err err = voter_store_write(d->store, id, bytes, on_persisted, cfgd_of(s, node));
    d->refused_write = d->refused_write || err != TS_OK;
    if (err == TS_OK) {
        given(d, (struct sim_voter_op){true, *r});
    }
    return err;
}

enum ts_err sim_voter_disk_confirm(struct sim *s, int node)
{
    struct sim_voter_disk *d = disk_of(s, node);
    given(d, (struct sim_voter_op){.has_record = false});
    return voter_store_confirm_start(d->store, on_persisted, cfgd_of(s, node));
}

/* The process was to be killed at an operation on its files, and came to it. */
static bool killed_at_operation(struct sim *s, int node)
{
    if (!disk_of(s, node)->volume.dead) {
        return false;
    }
    sim_note(s, node, "cluster-cfgd is killed in the middle of its work on its files");
    sim_fault_at_operation(s, node, SIM_CFGD);
    return true;
}

void sim_voter_disk_event(struct sim *s, struct sim_event *ev)
{
    struct sim_voter_disk *d = disk_of(s, ev->node);
    if (d->stalled_until > s->now && ev->b == 0) {
        sim_strike_once(&d->volume, SIM_FAULT_STALL_VOTER);
        ev->at = d->stalled_until;
        sim_push(s, ev);
        return;
    }
    d->volume.full = full_now(s, d);
    d->volume.armed = !d->volume.latent;
    d->volume.turn++;
    sim_worker_event(d->worker, ev);
    d->volume.armed = false;
    (void)killed_at_operation(s, ev->node);
}

void sim_voter_disk_end(struct sim *s, int node)
{
    struct sim_voter_disk *d = disk_of(s, node);
    struct sim_volume *v = &d->volume;
    if (d->store != NULL) {
        d->ending = true;
        v->held = true;
        v->full = full_now(s, d);
        if (!v->dead) {
            v->ops_left = sim_rand(s, 1, 8);
        }
        voter_store_close(d->store, NULL, NULL);
        d->store = NULL;
    }
    sim_worker_end(d->worker);
    d->worker = NULL;
    v->held = false;
    d->ending = false;
    d->busy_until = s->now;
    sim_volume_process_ended(v);
}

/* ---- open ------------------------------------------------------------------------------------ */

static void read_store(const struct sim_voter_disk *d, struct sim_voter_image *found)
{
    struct voter_record record;
    const struct voter_store_record reg = voter_store_register(d->store, 0);
    *found = (struct sim_voter_image){.start.number = voter_store_start_number(d->store),
                                      .start.instance = voter_store_start_instance(d->store)};
    enum ts_err err = TS_OK;
    found->reg = (struct voter_register){.reg = SIM_GROUP, .generation = 1};
    if (reg.bytes.len > 0) { /* otherwise it is blank */
        err = voter_record_decode(&record, reg.bytes);
        ts_assert(err == TS_OK && record.kind == VOTER_RECORD_REGISTER);
        found->reg = record.reg;
    }
    err = voter_starts_decode(found->starts, SIM_STARTS_MAX, &found->start_count,
                              voter_store_starts(d->store));
    ts_assert(err == TS_OK);
}

bool sim_voter_disk_open(struct sim *s, int node)
{
    struct sim_cfgd *c = cfgd_of(s, node);
    struct sim_voter_disk *d = &c->disk;
    struct sim_voter_image found;
    struct ts_why why = {{0}};
    char dir[8];
    sim_disk_dir(dir, node, 'v');
    c->sim = s;
    c->node = node;
    if (sim_chance_pm(s, d->volume.latent ? 700 : 100)) {
        sim_volume_drop_cache(&d->volume);
    }
    d->volume.full = full_now(s, d);
    d->worker = sim_worker_new(s, node, SIM_CFGD);
    enum ts_err err =
        voter_store_open(&d->store, sim_worker_loop(d->worker), dir, on_failed, c, &why);
    if (killed_at_operation(s, node)) {
        return false;
    }
    if (err == TS_ERR_NOSPACE && d->volume.found_full) {
        sim_note(s, node, "the voter's disk is full: %s", why.text);
        s->node[node].proc[SIM_CFGD].exit_now = TS_EXIT_FAILURE;
        return false;
    }
    if (err != TS_OK) {
        sim_note(s, node, "the voter does not vote: %s", why.text);
        if (!d->lost) {
            sim_fail(s, SIM_CHECK_DISK, "the voter of %s refuses a good disk: %s",
                     sim_node_name(s, node), why.text);
        }
        return false;
    }
    if (d->volume.sync_failed) {
        sim_fail(s, SIM_CHECK_DISK, "the voter of %s opened although a sync failed",
                 sim_node_name(s, node));
    }
    if (d->damaged) {
        return true; /* what it holds is for the core to refuse */
    }
    read_store(d, &found);
    if (!d->old) {
        check_found(s, node, &found);
    }
    d->volume.latent = d->volume.latent && sim_volume_lies(&d->volume);
    d->durable = found;
    d->op_count = 0;
    sim_check_voted(s, node, &found.reg); /* open made it durable */
    return true;
}

/* ---- what faults do ------------------------------------------------------------------------- */

void sim_voter_disk_power_lost(struct sim *s, int node)
{
    sim_volume_power_lost(&disk_of(s, node)->volume);
}

void sim_voter_disk_refuse(struct sim *s, int node)
{
    char dir[8];
    sim_disk_dir(dir, node, 'v');
    ts_dir_refuse(dir, "other voters know of a later start");
    (void)s;
}

void sim_voter_disk_keep_image(struct sim *s, int node)
{
    struct sim_voter_disk *d = disk_of(s, node);
    sim_volume_copy(&d->kept_volume, &d->volume);
    d->kept = d->durable;
    /* Of a start that is under way nobody knows the number. */
    d->has_kept = d->store != NULL;
}

void sim_voter_disk_put_image(struct sim *s, int node)
{
    struct sim_voter_disk *d = disk_of(s, node);
    sim_volume_copy(&d->volume, &d->kept_volume);
    d->durable = d->kept;
    d->op_count = 0;
    d->lost = true;
    d->old = true;
}

void sim_voter_disk_blank(struct sim *s, int node)
{
    struct sim_voter_disk *d = disk_of(s, node);
    sim_volume_blank(&d->volume);
    d->op_count = 0;
}

void sim_voter_disk_format_blank(struct sim *s, int node, struct ts_incarnation disk,
                                 const struct reg_places *places)
{
    struct sim_voter_disk *d = disk_of(s, node);
    uint32_t id = SIM_GROUP;
    char dir[8];
    struct ts_why why;
    sim_disk_dir(dir, node, 'v');
    *d = (struct sim_voter_disk){.slow = 1,
                                 .busy_until = d->busy_until,
                                 .incarnation = disk,
                                 .enrols = true,
                                 .places = *places};
    d->volume.sim = s;
    d->volume.node = node;
    d->kept_volume.sim = s;
    d->kept_volume.node = node;
    d->durable.start.confirmed = true;
    d->durable.reg = (struct voter_register){.reg = SIM_GROUP, .generation = 1};
    enum ts_err err = voter_store_format_blank(dir, disk, places, &id, 1, &why);
    ts_assert(err == TS_OK);
}

struct ts_incarnation sim_voter_first_disk(int node)
{
    return (struct ts_incarnation){2000U + (uint64_t)node};
}

void sim_voter_disk_format(struct sim *s, int node, const struct reg_value *value)
{
    struct sim_voter_disk *d = disk_of(s, node);
    struct voter_record record = {.kind = VOTER_RECORD_REGISTER,
                                  .reg = voter_genesis(SIM_GROUP, value)};
    uint8_t bytes[VOTER_RECORD_MAX];
    struct ts_writer w = ts_writer_init(bytes, sizeof(bytes));
    char dir[8];
    sim_disk_dir(dir, node, 'v');
    voter_record_encode(&record, &w);
    d->volume.sim = s;
    d->volume.node = node;
    d->kept_volume.sim = s;
    d->kept_volume.node = node;
    d->incarnation = sim_voter_first_disk(node);
    d->durable.start.confirmed = true;
    d->durable.reg = record.reg;
    struct voter_store_record initial = {.id = SIM_GROUP, .bytes = {bytes, w.len}};
    struct ts_why why;
    enum ts_err err = voter_store_format(dir, d->incarnation, &initial, 1, &why);
    ts_assert(err == TS_OK);
}

void sim_voter_disk_free(struct sim *s, int node)
{
    struct sim_voter_disk *d = disk_of(s, node);
    sim_voter_disk_end(s, node);
    sim_volume_free(&d->volume);
    sim_volume_free(&d->kept_volume);
    *d = (struct sim_voter_disk){0};
}
