/* An operator who replaces the disks of voters (adr/0029): one that is lost, or, by mistake, one
 * that is good, as far as the budget lets it be lost. A blank disk is formatted for the place of
 * the one that is listed; the shipped code does the rest. Now and then the former one is put back
 * meanwhile. When the faults end, each voter has the disk that is listed, or a new one for its
 * place.
 *
 * What must hold besides: the voters change by one step at a time, and only a disk that was put in
 * for the place of the listed one takes it. That may be long after it was taken out again: when
 * what was proposed is decided late, a disk is listed that is gone. */
#include <signal.h>
#include <stdlib.h>

#include "base/assert.h"
#include "tests/sim/sim.h"

#define DISKS_FROM 500000U
_Static_assert(SIM_VOTER_DISKS_MAX < 100, "each disk has a name of its own");

static struct sim_cfgd *cfgd_of(struct sim *s, int node)
{
    return &s->node[node].cfgd;
}

static struct ts_incarnation listed(const struct sim *s, int node)
{
    return s->checks.decided.voters.v[node - 1].incarnation;
}

bool sim_replace_voter_counts(const struct sim *s, int node)
{
    const struct sim_voter_disk *d = &s->node[node].cfgd.disk;
    return !d->lost &&
           cfg_voters_count(&s->checks.decided.voters, (uint8_t)(node - 1), d->incarnation);
}

/* The n-th blank disk of this node's voter, from 1 on. */
static struct ts_incarnation name_of(int node, uint64_t n)
{
    return (struct ts_incarnation){DISKS_FROM + 100 * (uint64_t)node + n};
}

static void take_out(struct sim *s, int node)
{
    struct sim_cfgd *c = cfgd_of(s, node);
    sim_proc_end(s, node, SIM_CFGD, -SIGKILL);
    if (s->clone.kind == SIM_FAULT_CLONE_VOTER) {
        sim_clone_end(s); /* what the voters know of the original may change */
    }
    if (c->aside == NULL) {
        c->aside = malloc(sizeof(*c->aside));
        ts_assert(c->aside != NULL);
    } else {
        sim_volume_free(&c->aside->volume);
        sim_volume_free(&c->aside->kept_volume);
    }
    *c->aside = c->disk;
    c->disk = (struct sim_voter_disk){.slow = 1};
}

static void put_blank(struct sim *s, int node)
{
    struct sim_cfgd *c = cfgd_of(s, node);
    struct ts_incarnation place = listed(s, node);
    struct ts_incarnation last =
        c->disks == 0 ? sim_voter_first_disk(node) : name_of(node, c->disks);
    struct reg_places places = c->places[c->disks];
    take_out(s, node);
    /* As twinstep nic replace: what was proposed for the last one may be decided yet. */
    reg_places_add(&places, last);
    reg_places_add(&places, place);
    c->disks++;
    c->places[c->disks] = places;
    struct ts_incarnation disk = name_of(node, c->disks);
    sim_voter_disk_format_blank(s, node, disk, &places);
    sim_note(s, node, "its voter gets the blank disk %llu for the place of %llu",
             (unsigned long long)disk.v, (unsigned long long)place.v);
}

static void put_back(struct sim *s, int node)
{
    struct sim_cfgd *c = cfgd_of(s, node);
    sim_proc_end(s, node, SIM_CFGD, -SIGKILL);
    if (s->clone.kind == SIM_FAULT_CLONE_VOTER) {
        sim_clone_end(s);
    }
    struct sim_voter_disk former = *c->aside;
    *c->aside = c->disk;
    c->disk = former;
    c->disk.slow = 1;
    sim_note(s, node, "its voter gets its former disk %llu back",
             (unsigned long long)c->disk.incarnation.v);
}

bool sim_replace_voter_begin(struct sim *s, const struct sim_fault *f)
{
    struct sim_cfgd *c = cfgd_of(s, f->node);
    bool by_mistake = f->a % 2 == 0 && sim_budget_allows_voter_loss(s, f->node, false);
    if (c->disks >= SIM_VOTER_DISKS_MAX / 2 || (!c->disk.lost && !by_mistake)) {
        return false;
    }
    put_blank(s, f->node);
    return true;
}

void sim_replace_voter_end(struct sim *s, const struct sim_fault *f)
{
    struct sim_cfgd *c = cfgd_of(s, f->node);
    if (f->b % 3 == 0 && !s->healed && c->aside != NULL && !c->aside->old) {
        put_back(s, f->node);
    }
}

/* It is listed, or was put in for the place of the one that is. */
static bool fits(const struct sim *s, const struct sim_voter_disk *d, int node)
{
    return !d->lost && (ts_incarnation_eq(d->incarnation, listed(s, node)) ||
                        (d->enrols && reg_places_has(&d->places, listed(s, node))));
}

bool sim_replace_voter_done(const struct sim *s)
{
    bool done = true;
    for (int n = 1; n <= s->nodes && (s->plan.kinds >> SIM_FAULT_REPLACE_VOTER & 1) != 0; n++) {
        const struct sim_cfgd *c = &s->node[n].cfgd;
        bool failed = c->disk.lost || (c->core != NULL && voter_has_failed(c->core));
        done = done && (failed || sim_replace_voter_counts(s, n));
    }
    return done;
}

bool sim_replace_voter_any(const struct sim *s)
{
    bool any = false;
    for (int n = 1; n <= s->nodes; n++) {
        any = any || s->node[n].cfgd.disks > 0;
    }
    return any;
}

void sim_replace_voter_look(struct sim *s, int node)
{
    struct sim_cfgd *c = cfgd_of(s, node);
    if ((s->plan.kinds >> SIM_FAULT_REPLACE_VOTER & 1) == 0) {
        return;
    }
    if (c->core != NULL && voter_has_failed(c->core) && !c->disk.lost) {
        sim_proc_end(s, node, SIM_CFGD,
                     -SIGKILL); /* a blank disk elsewhere may wait for its vote */
    }
    if (fits(s, &c->disk, node)) {
        return;
    }
    if (c->aside != NULL && !c->aside->lost &&
        ts_incarnation_eq(c->aside->incarnation, listed(s, node))) {
        put_back(s, node);
    } else if (c->disks < SIM_VOTER_DISKS_MAX) {
        put_blank(s, node);
    }
}

void sim_replace_voter_check(struct sim *s, const struct cfg_config *from,
                             const struct cfg_config *to)
{
    if (!cfg_voters_follow(&from->voters, &to->voters)) {
        sim_fail(s, SIM_CHECK_MEMBERS, "epoch %llu changes the voters by more than a step",
                 (unsigned long long)to->epoch.v);
    }
    for (int n = 1; n <= s->nodes; n++) {
        struct ts_incarnation was = from->voters.v[n - 1].incarnation;
        struct ts_incarnation is = to->voters.v[n - 1].incarnation;
        const struct sim_cfgd *c = cfgd_of(s, n);
        bool known = false;
        for (uint64_t k = 1; k <= c->disks; k++) {
            known = known ||
                    (ts_incarnation_eq(name_of(n, k), is) && reg_places_has(&c->places[k], was));
        }
        if (!ts_incarnation_eq(was, is) && !known) {
            sim_fail(s, SIM_CHECK_MEMBERS,
                     "epoch %llu lists the voter's disk %llu of %s, and it was not put in for that "
                     "place",
                     (unsigned long long)to->epoch.v, (unsigned long long)is.v,
                     sim_node_name(s, n));
        }
    }
}

void sim_replace_voter_free(struct sim *s, int node)
{
    struct sim_cfgd *c = cfgd_of(s, node);
    if (c->aside != NULL) {
        sim_volume_free(&c->aside->volume);
        sim_volume_free(&c->aside->kept_volume);
        free(c->aside);
        c->aside = NULL;
    }
    c->disks = 0;
}
