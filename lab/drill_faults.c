#include <stdio.h>
#include <string.h>

#include "lab/clock.h"
#include "lab/drill_run.h"
#include "lab/pods.h"

/* The node that `on` means now; NULL: the finding is written. */
static const struct cfg_node *target(struct lab_drilling *d, const struct lab_step *s)
{
    const struct cfg_cluster *c = d->config->cluster;
    const struct cfg_group *g = &c->groups[d->group];
    bool second = strcmp(s->on, "secondary") == 0;
    if ((strcmp(s->on, "primary") == 0 || second) && d->primary < 0) {
        lab_drill_find(d->out, LAB_DRILL_INVALID, "%s has no primary now (line %u)", g->name,
                       s->line);
        return NULL;
    }
    if (strcmp(s->on, "primary") == 0) {
        return &c->nodes[d->primary];
    }
    if (second) {
        const struct lab_view_replica *p = lab_view_of(d->view, d->group, (size_t)d->primary);
        for (size_t i = 0; i < c->node_count; i++) {
            bool in = (p->in_sync >> c->nodes[i].id.v & 1) != 0;
            if (in && (int)i != d->primary) {
                return &c->nodes[i];
            }
        }
        lab_drill_find(d->out, LAB_DRILL_INVALID, "no secondary of %s is in sync now (line %u)",
                       g->name, s->line);
        return NULL;
    }
    for (size_t i = 0; strcmp(s->on, "arbiter") == 0 && i < c->node_count; i++) {
        if (c->nodes[i].arbiter) {
            return &c->nodes[i];
        }
    }
    const struct cfg_node *n = cfg_cluster_node_by_name(c, s->on);
    if (n == NULL) {
        lab_drill_find(d->out, LAB_DRILL_INVALID, "the topology has no node %s (line %u)", s->on,
                       s->line);
    }
    return n;
}

static struct lab_drill_active *free_place(struct lab_drilling *d)
{
    for (size_t i = 0; i < LAB_DRILL_ACTIVE_MAX; i++) {
        if (!d->active[i].active) {
            return &d->active[i];
        }
    }
    lab_drill_find(d->out, LAB_DRILL_INVALID, "more than %d faults last at once",
                   LAB_DRILL_ACTIVE_MAX);
    return NULL;
}

static void make(struct lab_drilling *d, const struct lab_step *s, const struct cfg_node *node,
                 struct lab_drill_active *a)
{
    const struct nodes_run *run = d->config->run;
    const char *group =
        strcmp(s->program, "replica") == 0 ? d->config->cluster->groups[d->group].name : NULL;
    bool whole = s->program[0] == '\0';
    *a = (struct lab_drill_active){.active = true};
    if (s->fault == LAB_DRILL_FREEZE) {
        lab_fault_freeze(&a->fault, run, node->name, whole ? NULL : s->program, group);
    } else if (whole) {
        lab_fault_nic(&a->fault, run, node->name);
        a->whole_killed = true;
    } else {
        lab_fault_kill(&a->fault, run, node->name, s->program, group);
    }
}

static void describe(const struct lab_drilling *d, const struct lab_step *s,
                     const struct cfg_node *node, char out[LAB_DRILL_EVENT_TEXT])
{
    bool primary = node - d->config->cluster->nodes == d->primary;
    bool whole = s->program[0] == '\0';
    (void)snprintf(out, LAB_DRILL_EVENT_TEXT, "%s of %s%s%s%s", lab_drill_fault_name(s->fault),
                   whole ? "all of " : "", node->name, whole ? "" : "'s ", s->program);
    if (primary && (whole || strcmp(s->program, "replica") == 0)) {
        (void)strcat(out, ", the primary");
    }
}

bool lab_drill_strike(struct lab_drilling *d, const struct lab_step *s)
{
    struct lab_drill_result *r = d->out;
    const struct cfg_node *node = target(d, s);
    struct lab_drill_active *a = node == NULL ? NULL : free_place(d);
    struct ts_why why = {{0}};
    if (a == NULL) {
        return false;
    }
    make(d, s, node, a);
    lab_load_reset_gap(d->load);
    if (lab_fault_inject(&a->fault, &why) != TS_OK || lab_fault_observe(&a->fault, &why) != TS_OK) {
        lab_drill_find(r, LAB_DRILL_INVALID, "%s of %s (line %u) shows no effect: %s",
                       lab_drill_fault_name(s->fault), node->name, s->line, why.text);
        a->active = false;
        return false;
    }
    a->heal_at_ns = s->ms == 0 ? 0 : a->fault.injected_ns + s->ms * TS_NS_PER_MS;
    char what[LAB_DRILL_EVENT_TEXT];
    describe(d, s, node, what);
    lab_drill_say(d, LAB_DRILL_EVENT_FAULT, "%s", what);
    if (r->strike_count < LAB_STEPS_MAX) {
        struct lab_drill_strike *strike = &r->strikes[r->strike_count++];
        strike->at_ns = a->fault.injected_ns;
        memcpy(strike->what, what, sizeof(what));
    }
    return true;
}

bool lab_drill_heal(struct lab_drilling *d, uint64_t now, bool all)
{
    bool good = true;
    for (size_t i = 0; i < LAB_DRILL_ACTIVE_MAX; i++) {
        struct lab_drill_active *a = &d->active[i];
        struct ts_why why = {{0}};
        if (!a->active || (!all && (a->heal_at_ns == 0 || now < a->heal_at_ns))) {
            continue;
        }
        a->active = false;
        bool lasting = a->whole_killed || strcmp(a->fault.type->name, "freeze") == 0;
        enum ts_err err = a->whole_killed ? lab_pods_start_node(d->config->run, a->fault.node, &why)
                                          : lab_fault_heal(&a->fault, &why);
        if (err != TS_OK) {
            lab_drill_find(d->out, LAB_DRILL_INVALID, "%s of %s cannot be healed: %s",
                           a->fault.type->name, a->fault.node, why.text);
            good = false;
        } else if (lasting) {
            lab_drill_say(d, LAB_DRILL_EVENT_HEAL, "%s %s", a->fault.node,
                          a->whole_killed ? "is switched on again" : "goes on");
        }
    }
    return good;
}
