#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lab/clock.h"
#include "lab/drill_run.h"
#include "lab/pods.h"

/* The node that `on` means now; NULL: the finding is written. */
static const struct cfg_node *target(struct lab_drilling *d, const struct lab_step *s,
                                     const char *on)
{
    const struct cfg_cluster *c = d->config->cluster;
    const struct cfg_group *g = &c->groups[d->group];
    bool second = strcmp(on, "secondary") == 0;
    if ((strcmp(on, "primary") == 0 || second) && d->primary < 0) {
        lab_drill_find(d->out, LAB_DRILL_INVALID, "%s has no primary now (line %u)", g->name,
                       s->line);
        return NULL;
    }
    if (strcmp(on, "primary") == 0) {
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
    for (size_t i = 0; strcmp(on, "arbiter") == 0 && i < c->node_count; i++) {
        if (c->nodes[i].arbiter) {
            return &c->nodes[i];
        }
    }
    const struct cfg_node *n = cfg_cluster_node_by_name(c, on);
    if (n == NULL) {
        lab_drill_find(d->out, LAB_DRILL_INVALID, "the topology has no node %s (line %u)", on,
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

/* X(fault, verb, number) of lab/disk; 0 of "sync" waits. */
#define DISK_LIST(X) \
    X(LAB_DRILL_DISK_HANG, "sync", 0) \
    X(LAB_DRILL_DISK_FULL, "write", ENOSPC) \
    X(LAB_DRILL_DISK_READ_ONLY, "write", EROFS) \
    X(LAB_DRILL_DISK_ERROR, "sync", EIO)

static void make_disk(struct lab_drilling *d, const struct lab_step *s, const struct cfg_node *node,
                      struct lab_fault *f)
{
    static const struct {
        enum lab_drill_fault fault;
        const char *verb;
        unsigned number;
    } LIST[] = {
#define ROW(fault, verb, number) {fault, verb, number},
        DISK_LIST(ROW)
#undef ROW
    };
    if (s->fault == LAB_DRILL_DISK_SLOW) {
        lab_fault_disk(f, d->config->run, node->name, "slow", s->by_ms, "groups/");
    }
    for (size_t i = 0; i < sizeof(LIST) / sizeof(LIST[0]); i++) {
        if (LIST[i].fault == s->fault) {
            lab_fault_disk(f, d->config->run, node->name, LIST[i].verb, LIST[i].number, "groups/");
        }
    }
}

/* `to`: the other end of a wire's fault, NULL = all. */
static void make(struct lab_drilling *d, const struct lab_step *s, const struct cfg_node *node,
                 const char *to, struct lab_drill_active *a)
{
    const struct nodes_run *run = d->config->run;
    const char *group =
        strcmp(s->program, "replica") == 0 ? d->config->cluster->groups[d->group].name : NULL;
    bool lost = s->fault == LAB_DRILL_DISK_LOST;
    bool whole = s->program[0] == '\0' || lost;
    *a = (struct lab_drill_active){.active = true, .what = s->fault};
    if (LAB_DRILL_IS_DISK(s->fault)) {
        make_disk(d, s, node, &a->fault);
        /* No replica trusts a disk that failed a sync. */
        a->remedy =
            s->fault == LAB_DRILL_DISK_ERROR ? LAB_DRILL_REMEDY_NEW_DISK : LAB_DRILL_REMEDY_FAULT;
    } else if (s->fault == LAB_DRILL_WIRE) {
        lab_fault_wire(&a->fault, run, node->name, to, s->network[0] == '\0' ? NULL : s->network,
                       s->both, &s->rule);
    } else if (s->fault == LAB_DRILL_FREEZE) {
        lab_fault_freeze(&a->fault, run, node->name, whole ? NULL : s->program, group);
    } else if (lab_drill_make_host(d, s, node->name, group, &a->fault)) {
        a->remedy = LAB_DRILL_REMEDY_FAULT;
    } else if (whole) {
        lab_fault_nic(&a->fault, run, node->name);
        a->remedy = lost ? LAB_DRILL_REMEDY_REPLACE : LAB_DRILL_REMEDY_START;
    } else {
        lab_fault_kill(&a->fault, run, node->name, s->program, group);
        if (strcmp(s->program, "nicd") == 0) {
            a->remedy = LAB_DRILL_REMEDY_START; /* it starts the others, and nobody starts it */
        }
    }
}

/* The data of a node that does not run is somewhere else then. */
static enum ts_err lose_data(struct lab_drilling *d, const char *node, struct ts_why *why)
{
    char from[TS_PATH_MAX];
    char to[TS_PATH_MAX];
    const char *run = d->config->run->run;
    enum ts_err err = ts_path(from, why, run, "%s", node);
    do { /* some may have been put aside before */
        err = err != TS_OK ? err : ts_path(to, why, run, "%s.lost-%u", node, ++d->lost);
    } while (err == TS_OK && access(to, F_OK) == 0);
    if (err != TS_OK || rename(from, to) == 0) {
        return err;
    }
    return ts_why_sys(why, errno, "cannot put %s aside", from);
}

static void describe(const struct lab_drilling *d, const struct lab_step *s,
                     const struct cfg_node *node, char out[LAB_DRILL_EVENT_TEXT])
{
    bool primary = node - d->config->cluster->nodes == d->primary;
    bool plain = !LAB_DRILL_IS_OF_PROGRAMS(s->fault);
    bool whole = s->program[0] == '\0';
    if (plain) {
        (void)snprintf(out, LAB_DRILL_EVENT_TEXT, "%s of %s%s", lab_drill_fault_name(s->fault),
                       node->name, primary ? ", the primary" : "");
        return;
    }
    bool leads = primary && (whole || strcmp(s->program, "replica") == 0);
    (void)snprintf(out, LAB_DRILL_EVENT_TEXT, "%s of %s%s%s%s%s", lab_drill_fault_name(s->fault),
                   whole ? "all of " : "", node->name, whole ? "" : "'s ", s->program,
                   leads ? ", the primary" : "");
}

bool lab_drill_strike(struct lab_drilling *d, const struct lab_step *s)
{
    struct lab_drill_result *r = d->out;
    const struct cfg_node *node = target(d, s, s->on);
    struct lab_drill_active *a = node == NULL ? NULL : free_place(d);
    struct ts_why why = {{0}};
    if (a == NULL) {
        return false;
    }
    const struct cfg_node *to = s->to[0] == '\0' ? NULL : target(d, s, s->to);
    if (s->to[0] != '\0' && to == NULL) {
        return false;
    }
    make(d, s, node, to == NULL ? NULL : to->name, a);
    lab_load_reset_gap(d->load);
    if (lab_fault_inject(&a->fault, &why) != TS_OK || lab_fault_observe(&a->fault, &why) != TS_OK ||
        (a->remedy == LAB_DRILL_REMEDY_REPLACE && lose_data(d, node->name, &why) != TS_OK)) {
        lab_drill_find(r, LAB_DRILL_INVALID, "%s of %s (line %u) shows no effect: %s",
                       lab_drill_fault_name(s->fault), node->name, s->line, why.text);
        a->active = a->fault.injected_ns != 0; /* what it did all the same is undone at the end */
        return false;
    }
    d->harmed |= 1ULL << node->id.v | (to == NULL ? 0 : 1ULL << to->id.v);
    a->heal_at_ns = s->ms == 0 ? 0 : a->fault.injected_ns + s->ms * TS_NS_PER_MS;
    char what[LAB_DRILL_EVENT_TEXT];
    describe(d, s, node, what);
    lab_drill_say(d, LAB_DRILL_EVENT_FAULT, "%s", what);
    lab_drill_begin_strike(d, a->fault.injected_ns, what);
    return true;
}

/* `twinstep WORDS --dir RUN` in the machine. */
static enum ts_err say(const struct nodes_run *run, const char *node, const char *words,
                       struct ts_why *why)
{
    char program[TS_PATH_MAX];
    char text[LAB_DRILL_WORDS_MAX];
    char dir[TS_PATH_MAX];
    char option[] = "--dir";
    char *argv[LAB_DRILL_WORDS_MAX / 2 + 4] = {program};
    char *rest = NULL;
    size_t n = 1;
    int status = 1;
    struct lab_run in = {.dir = run->run, .name = node, .cwd = run->run, .quiet = true};
    (void)snprintf(text, sizeof(text), "%s", words);
    (void)snprintf(dir, sizeof(dir), "%s", run->run);
    for (char *w = strtok_r(text, " ", &rest); w != NULL; w = strtok_r(NULL, " ", &rest)) {
        argv[n++] = w;
    }
    argv[n++] = option;
    argv[n++] = dir;
    argv[n] = NULL;
    enum ts_err err = ts_path(program, why, run->bin, "twinstep");
    err = err != TS_OK ? err : lab_pods_run(&in, argv, &status, why);
    return err != TS_OK || status == 0
               ? err
               : ts_why(why, TS_ERR_REFUSED, "twinstep %s ended with status %d; see above", words,
                        status);
}

bool lab_drill_say_words(struct lab_drilling *d, const struct lab_step *s)
{
    struct ts_why why = {{0}};
    const struct cfg_node *node = target(d, s, s->on);
    if (node == NULL) {
        return false;
    }
    d->harmed = UINT64_MAX; /* whatever it asks for */
    lab_load_reset_gap(d->load);
    lab_drill_begin_strike(d, lab_now_ns(), s->words);
    lab_drill_say(d, LAB_DRILL_EVENT_STEP, "twinstep %s, at %s", s->words, node->name);
    if (say(d->config->run, node->name, s->words, &why) != TS_OK) {
        lab_drill_find(d->out, LAB_DRILL_FAILED, "%s (line %u)", why.text, s->line);
        return false;
    }
    return true;
}

static enum ts_err replace(struct lab_drilling *d, const char *node, struct ts_why *why)
{
    char words[LAB_DRILL_WORDS_MAX];
    (void)snprintf(words, sizeof(words), "nic replace %s --yes --timeout 30", node);
    return say(d->config->run, node, words, why);
}

/* The operator switches the NIC off, and takes its disk out. */
static enum ts_err take_disk(struct lab_drilling *d, const char *node, struct ts_why *why)
{
    struct lab_fault off;
    lab_fault_nic(&off, d->config->run, node);
    enum ts_err err = lab_fault_inject(&off, why);
    err = err != TS_OK ? err : lab_fault_observe(&off, why);
    return err != TS_OK ? err : lose_data(d, node, why);
}

static enum ts_err heal_one(struct lab_drilling *d, struct lab_drill_active *a, struct ts_why *why)
{
    enum ts_err err = TS_OK;
    switch (a->remedy) {
    case LAB_DRILL_REMEDY_START:
        return lab_pods_start_node(d->config->run, a->fault.node, why);
    case LAB_DRILL_REMEDY_NEW_DISK:
        err = lab_fault_heal(&a->fault, why);
        err = err != TS_OK ? err : take_disk(d, a->fault.node, why);
        return err != TS_OK ? err : replace(d, a->fault.node, why);
    case LAB_DRILL_REMEDY_REPLACE:
        return replace(d, a->fault.node, why);
    case LAB_DRILL_REMEDY_FAULT:
        break;
    }
    return lab_fault_heal(&a->fault, why);
}

/* A disk is replaced by what then runs: the others are healed first. */
static bool comes_late(const struct lab_drill_active *a)
{
    return a->remedy == LAB_DRILL_REMEDY_REPLACE || a->remedy == LAB_DRILL_REMEDY_NEW_DISK;
}

static bool heal(struct lab_drilling *d, uint64_t now, bool all, bool late)
{
    static const char *const HEALED[] = {
        [LAB_DRILL_REMEDY_FAULT] = "goes on",
        [LAB_DRILL_REMEDY_START] = "is switched on again",
        [LAB_DRILL_REMEDY_REPLACE] = "has a blank disk",
        [LAB_DRILL_REMEDY_NEW_DISK] = "has a blank disk",
    };
    bool good = true;
    for (size_t i = 0; i < LAB_DRILL_ACTIVE_MAX; i++) {
        struct lab_drill_active *a = &d->active[i];
        struct ts_why why = {{0}};
        if (!a->active || comes_late(a) != late ||
            (!all && (a->heal_at_ns == 0 || now < a->heal_at_ns))) {
            continue;
        }
        a->active = false;
        bool lasting = a->what != LAB_DRILL_KILL || a->remedy != LAB_DRILL_REMEDY_FAULT;
        enum ts_err err = heal_one(d, a, &why);
        if (err != TS_OK) {
            lab_drill_find(d->out, LAB_DRILL_INVALID, "%s of %s cannot be healed: %s",
                           a->fault.type->name, a->fault.node, why.text);
            good = false;
        } else if (lasting) {
            lab_drill_say(d, LAB_DRILL_EVENT_HEAL, "%s %s", a->fault.node, HEALED[a->remedy]);
        }
    }
    return good;
}

bool lab_drill_heal(struct lab_drilling *d, uint64_t now, bool all)
{
    bool good = heal(d, now, all, false);
    return heal(d, now, all, true) && good;
}
