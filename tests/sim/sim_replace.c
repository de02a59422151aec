/* An operator who replaces the disks of replicas (adr/0022): one that is lost, or, by mistake, one
 * that is good, as far as the budget lets it be lost. A blank disk is formatted for the place of
 * the one that the register lists, and enrolled by the shipped code. Now and then the former one is
 * put back meanwhile: it goes on if it is still listed, and is out for good if it is not. When the
 * faults end, each NIC has the disk that the register lists, or a new one for its place.
 *
 * What must hold of it besides: only a disk that was put in for the place of the listed one is
 * enrolled, as a member that is not in sync; and no other disk runs on. */
#include <signal.h>
#include <stdlib.h>

#include "base/assert.h"
#include "replicator/state.h"
#include "tests/sim/sim.h"

/* How soon an operator sees that a disk was refused. */
#define LOOKS_AFTER_US 200000
#define DISKS_FROM 100000U

static struct sim_replica *replica_of(struct sim *s, int node)
{
    return &s->node[node].replica;
}

/* Of the disk that was put in as this one after the first; no voter's, and no first one's. */
static struct ts_incarnation incarnation_of(int node, uint64_t number)
{
    return (struct ts_incarnation){DISKS_FROM + 1000 * number + (uint64_t)node};
}

static struct ts_incarnation listed(const struct sim *s, int node)
{
    const struct cfg_replica *r =
        cfg_set_find(&s->checks.decided.members, (struct ts_nic_id){(uint16_t)node});
    ts_assert(r != NULL);
    return r->incarnation;
}

/* Its process does not run. */
static void take_out(struct sim_replica *r)
{
    if (r->aside == NULL) {
        r->aside = malloc(sizeof(*r->aside));
        ts_assert(r->aside != NULL);
    } else {
        sim_disk_drop(r->aside);
    }
    *r->aside = r->disk;
    r->disk = (struct sim_disk){.slow = 1};
}

static void put_blank(struct sim *s, int node)
{
    struct sim_replica *r = replica_of(s, node);
    struct ts_incarnation place = listed(s, node);
    sim_proc_end(s, node, SIM_REPLICA, -SIGKILL);
    take_out(r);
    r->disks++;
    ts_assert(r->disks < SIM_DISKS_MAX);
    r->place[r->disks] = place;
    r->floor_more = 0;
    sim_disk_format(s, node, incarnation_of(node, r->disks), place);
    sim_note(s, node, "gets the blank disk %llu for the place of %llu",
             (unsigned long long)r->disk.incarnation.v, (unsigned long long)place.v);
}

static bool put_back(struct sim *s, int node)
{
    struct sim_replica *r = replica_of(s, node);
    if (r->aside == NULL) {
        return false;
    }
    sim_proc_end(s, node, SIM_REPLICA, -SIGKILL);
    struct sim_disk former = *r->aside;
    *r->aside = r->disk;
    r->disk = former;
    r->disk.slow = 1;
    sim_note(s, node, "gets its former disk %llu back", (unsigned long long)r->disk.incarnation.v);
    return true;
}

static bool is_usable(const struct sim_disk *d)
{
    return !d->lost && !d->out;
}

bool sim_replace_begin(struct sim *s, const struct sim_fault *f)
{
    struct sim_replica *r = replica_of(s, f->node);
    bool by_mistake = f->a % 2 == 0 && sim_budget_allows_replica_loss(s, f->node);
    if (r->disks + 1 >= SIM_DISKS_MAX / 2 || (is_usable(&r->disk) && !by_mistake)) {
        return false;
    }
    put_blank(s, f->node);
    return true;
}

bool sim_replace_end(struct sim *s, const struct sim_fault *f)
{
    bool good = sim_disk_good(&replica_of(s, f->node)->disk);
    bool may = !good || sim_budget_allows_replica_loss(s, f->node);
    return f->b % 3 == 0 && !s->healed && may && put_back(s, f->node);
}

/* The number of a disk of this NIC that was put in later; 0: of no such. */
static uint64_t number_of(const struct sim_replica *r, struct ts_incarnation disk)
{
    uint64_t number = disk.v % DISKS_FROM / 1000;
    bool known = number > 0 && number <= r->disks &&
                 ts_incarnation_eq(disk, incarnation_of(r->node, number));
    return known ? number : 0;
}

/* Whether it is for the place of the one that is listed. */
static bool is_awaited(const struct sim_replica *r, struct ts_incarnation place)
{
    uint64_t number = number_of(r, r->disk.incarnation);
    return number > 0 && ts_incarnation_eq(r->place[number], place);
}

void sim_replace_watch(struct sim *s, int node)
{
    const struct sim_replica *r = replica_of(s, node);
    const struct repl *c = r->core;
    const struct cfg_replica *me =
        cfg_set_find(&c->config.members, (struct ts_nic_id){(uint16_t)node});
    if (c->role == REPL_ROLE_HALTED || !c->config_known || c->config_from.v != 0 || me == NULL ||
        ts_incarnation_eq(me->incarnation, r->disk.incarnation) || is_awaited(r, me->incarnation)) {
        return;
    }
    sim_fail(s, SIM_CHECK_CLONE, "%s goes on with disk %llu, and epoch %llu lists %llu",
             sim_node_name(s, node), (unsigned long long)r->disk.incarnation.v,
             (unsigned long long)c->config.epoch.v, (unsigned long long)me->incarnation.v);
}

void sim_replace_out(struct sim *s, int node)
{
    if (ts_incarnation_eq(listed(s, node), replica_of(s, node)->disk.incarnation)) {
        sim_fail(s, SIM_CHECK_MEMBERS, "%s ends as replaced, and its disk is a member",
                 sim_node_name(s, node));
    }
    replica_of(s, node)->disk.out = true;
    sim_push(s, &(struct sim_event){.kind = SIM_EV_OPERATOR,
                                    .at = s->now + sim_us(s, 0, LOOKS_AFTER_US),
                                    .node = (uint8_t)node});
}

void sim_replace_look(struct sim *s, int node)
{
    struct sim_replica *r = replica_of(s, node);
    struct ts_incarnation place = listed(s, node);
    bool right = is_usable(&r->disk) &&
                 (is_awaited(r, place) || ts_incarnation_eq(r->disk.incarnation, place));
    bool had =
        r->aside != NULL && is_usable(r->aside) && ts_incarnation_eq(r->aside->incarnation, place);
    if (right || (s->plan.kinds >> SIM_FAULT_REPLACE & 1) == 0) {
        return;
    }
    if (had) {
        (void)put_back(s, node);
    } else if (r->disks + 1 < SIM_DISKS_MAX) {
        put_blank(s, node);
    }
}

void sim_replace_check(struct sim *s, const struct cfg_config *from, const struct cfg_config *to)
{
    for (size_t i = 0; i < to->members.count; i++) {
        const struct cfg_replica *next = &to->members.r[i];
        const struct cfg_replica *was = cfg_set_find(&from->members, next->nic);
        if (was == NULL || from->members.count != to->members.count) {
            sim_fail(s, SIM_CHECK_MEMBERS, "the members changed in epoch %llu",
                     (unsigned long long)to->epoch.v);
            return;
        }
        if (ts_incarnation_eq(was->incarnation, next->incarnation)) {
            continue;
        }
        const struct sim_replica *r = replica_of(s, next->nic.v);
        uint64_t number = number_of(r, next->incarnation);
        if (number == 0 || !ts_incarnation_eq(r->place[number], was->incarnation) ||
            cfg_set_find(&to->in_sync, next->nic) != NULL) {
            sim_fail(s, SIM_CHECK_MEMBERS,
                     "epoch %llu lists disk %llu of %s after %llu, and it was not put in for that "
                     "place, or is in sync at once",
                     (unsigned long long)to->epoch.v, (unsigned long long)next->incarnation.v,
                     sim_node_name(s, next->nic.v), (unsigned long long)was->incarnation.v);
        }
    }
}

bool sim_replace_any(const struct sim *s)
{
    bool any = false;
    for (int n = 1; n <= s->nics; n++) {
        any = any || s->node[n].replica.disks > 0;
    }
    return any;
}

void sim_replace_free(struct sim *s, int node)
{
    struct sim_replica *r = replica_of(s, node);
    if (r->aside != NULL) {
        sim_disk_drop(r->aside);
        free(r->aside);
        r->aside = NULL;
    }
    r->disks = 0;
}
