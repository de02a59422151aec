#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lab/clock.h"
#include "lab/drill_data.h"
#include "lab/drill_run.h"
#include "lab/pods.h"

#define NOTICED_NS_MAX (10 * TS_NS_PER_S)
#define NOTICED_LOOK_MS 20
#define REPLACE_NS_MAX (20 * TS_NS_PER_S)
#define REPLACE_AGAIN_MS 500

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
    if (strcmp(on, "struck") == 0 && d->struck != NULL) {
        return d->struck;
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

/* The nodes that the step means: one, all of its host, or all. Gives their number, 0: the finding
 * is written. */
static size_t targets(struct lab_drilling *d, const struct lab_step *s,
                      const struct cfg_node *out[TS_NODES_MAX])
{
    const struct cfg_cluster *c = d->config->cluster;
    bool all = strcmp(s->on, "all") == 0;
    const struct cfg_node *one = all ? NULL : target(d, s, s->on);
    size_t n = 0;
    if (!all && (one == NULL || !s->host)) {
        out[0] = one;
        return one == NULL ? 0 : 1;
    }
    for (size_t i = 0; i < c->node_count; i++) {
        if (all || strcmp(c->nodes[i].host, one->host) == 0) {
            out[n++] = &c->nodes[i];
        }
    }
    return n;
}

bool lab_drill_lasts(const struct lab_drill_active *a)
{
    bool over = (a->what == LAB_DRILL_KILL && a->remedy == LAB_DRILL_REMEDY_FAULT) ||
                (lab_drill_mends_itself(a) && lab_fault_rot_mended(&a->fault));
    return a->active && !over;
}

static struct lab_drill_active *free_place(struct lab_drilling *d)
{
    for (size_t i = 0; i < LAB_DRILL_ACTIVE_MAX; i++) {
        if (!lab_drill_lasts(&d->active[i])) {
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
    const char *part = s->files == LAB_FILES_VOTER ? "voter/" : "groups/";
    if (s->fault == LAB_DRILL_DISK_SLOW) {
        lab_fault_disk(f, d->config->run, node->name, "slow", s->by_ms, part);
    }
    for (size_t i = 0; i < sizeof(LIST) / sizeof(LIST[0]); i++) {
        if (LIST[i].fault == s->fault) {
            lab_fault_disk(f, d->config->run, node->name, LIST[i].verb, LIST[i].number, part);
        }
    }
}

/* `to`: the other end of a wire's fault, NULL = all; whose disk is copied. */
static void make(struct lab_drilling *d, const struct lab_step *s, const struct cfg_node *node,
                 const struct cfg_node *to, struct lab_drill_active *a)
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
        /* A voter writes when its registers change, which may be later. */
        a->unproven = s->files == LAB_FILES_VOTER;
    } else if (lab_drill_is_data(s->fault)) {
        lab_drill_make_data(d, s, node, to, a);
    } else if (s->fault == LAB_DRILL_WIRE) {
        lab_fault_wire(&a->fault, run, node->name, to == NULL ? NULL : to->name,
                       s->network[0] == '\0' ? NULL : s->network, s->both, &s->rule);
    } else if (s->fault == LAB_DRILL_POWER_LOSS) {
        lab_fault_power(&a->fault, run, node->name);
        a->remedy = LAB_DRILL_REMEDY_START;
    } else if (s->fault == LAB_DRILL_FREEZE) {
        lab_fault_freeze(&a->fault, run, node->name, whole ? NULL : s->program, group);
    } else if (lab_drill_make_host(d, s, node->name, group, &a->fault)) {
        a->remedy = LAB_DRILL_REMEDY_FAULT;
    } else if (whole) {
        lab_fault_nic(&a->fault, run, node->name);
        a->remedy = lost ? LAB_DRILL_REMEDY_REPLACE : LAB_DRILL_REMEDY_START;
    } else {
        lab_fault_kill(&a->fault, run, node->name, s->program, group);
        /* Its programs end with nicd, and nobody but its service manager starts it again. */
        a->remedy = strcmp(s->program, "nicd") == 0 ? LAB_DRILL_REMEDY_START : a->remedy;
    }
}

/* The data of a node that does not run is somewhere else then. */
static enum ts_err lose_data(struct lab_drilling *d, const char *node, struct ts_why *why)
{
    char from[TS_PATH_MAX];
    char to[TS_PATH_MAX];
    const char *run = d->config->run->run;
    enum ts_err err = ts_path(from, why, run, "%s", node);
    do { /* others may lie there, of an earlier drill in this lab */
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
    const char *name = lab_drill_fault_name(s->fault);
    if (strcmp(s->on, "all") == 0) {
        (void)snprintf(out, LAB_DRILL_EVENT_TEXT, "%s of all nodes", name);
    } else if (s->host) {
        (void)snprintf(out, LAB_DRILL_EVENT_TEXT, "%s of the host %s", name, node->host);
    } else if (s->fault == LAB_DRILL_BIT_ROT || s->files != LAB_FILES_GROUPS) {
        (void)snprintf(out, LAB_DRILL_EVENT_TEXT, "%s of %s's %s%s", name, node->name,
                       lab_files_name(s->files), primary ? ", the primary" : "");
    } else if (plain) {
        (void)snprintf(out, LAB_DRILL_EVENT_TEXT, "%s of %s%s", name, node->name,
                       primary ? ", the primary" : "");
    } else {
        bool leads = primary && (whole || strcmp(s->program, "replica") == 0);
        (void)snprintf(out, LAB_DRILL_EVENT_TEXT, "%s of %s%s%s%s%s", name, whole ? "all of " : "",
                       node->name, whole ? "" : "'s ", s->program, leads ? ", the primary" : "");
    }
}

static enum ts_err switch_off(struct lab_drilling *d, const char *node, struct ts_why *why)
{
    struct lab_fault off;
    lab_fault_nic(&off, d->config->run, node);
    enum ts_err err = lab_fault_inject(&off, why);
    return err != TS_OK ? err : lab_fault_observe(&off, why);
}

/* Shows what the harm did, and leaves the node as the fault has it. */
static enum ts_err prove(struct lab_drilling *d, struct lab_drill_active *a, struct ts_why *why)
{
    enum ts_err err = a->unproven ? TS_OK : lab_fault_observe(&a->fault, why);
    if (err == TS_OK && a->remedy == LAB_DRILL_REMEDY_REPLACE) {
        err = lose_data(d, a->fault.node, why);
    }
    return err == TS_OK && a->offline ? lab_pods_start_node(d->config->run, a->fault.node, why)
                                      : err;
}

/* All nodes at once, as far as that goes: who is to be hit is looked up before. */
static bool do_harm(struct lab_drilling *d, const struct lab_step *s,
                    struct lab_drill_active *const hit[], size_t count)
{
    struct ts_why why = {{0}};
    enum ts_err err = TS_OK;
    size_t i = 0;
    for (i = 0; i < count && count > 1 && s->fault != LAB_DRILL_FREEZE; i++) {
        (void)lab_fault_find_procs(&hit[i]->fault);
    }
    for (i = 0; i < count && err == TS_OK; i++) {
        err = hit[i]->offline ? switch_off(d, hit[i]->fault.node, &why) : TS_OK;
        err = err != TS_OK ? err : lab_fault_inject(&hit[i]->fault, &why);
    }
    for (i = 0; i < count && err == TS_OK; i++) {
        err = prove(d, hit[i], &why);
    }
    for (i = 0; i < count && err != TS_OK; i++) {
        /* What it did all the same is undone at the end. */
        hit[i]->active = hit[i]->fault.injected_ns != 0;
        if (hit[i]->offline && !hit[i]->active) {
            (void)!lab_pods_start_node(d->config->run, hit[i]->fault.node, NULL);
        }
    }
    if (err != TS_OK) {
        lab_drill_find(d->out, LAB_DRILL_INVALID, "%s of %s (line %u) shows no effect: %s",
                       lab_drill_fault_name(s->fault), s->on, s->line, why.text);
    }
    return err == TS_OK;
}

/* Finds who is meant, and makes a fault for each. Gives their number, 0: the finding is written. */
static size_t prepare(struct lab_drilling *d, const struct lab_step *s,
                      const struct cfg_node *nodes[TS_NODES_MAX],
                      struct lab_drill_active *hit[TS_NODES_MAX])
{
    size_t count = targets(d, s, nodes);
    const struct cfg_node *to = s->to[0] == '\0' ? NULL : target(d, s, s->to);
    if (s->to[0] != '\0' && to == NULL) {
        return 0;
    }
    for (size_t i = 0; i < count; i++) {
        hit[i] = free_place(d);
        if (hit[i] == NULL) {
            while (i > 0) {
                hit[--i]->active = false;
            }
            return 0;
        }
        make(d, s, nodes[i], to, hit[i]);
        d->harmed |= 1ULL << nodes[i]->id.v;
    }
    d->harmed |= to == NULL ? 0 : 1ULL << to->id.v;
    return count;
}

bool lab_drill_strike(struct lab_drilling *d, const struct lab_step *s)
{
    const struct cfg_node *nodes[TS_NODES_MAX];
    struct lab_drill_active *hit[TS_NODES_MAX];
    size_t count = prepare(d, s, nodes, hit);
    if (count == 0) {
        return false;
    }
    uint64_t begin = lab_now_ns();
    lab_load_reset_gap(d->load);
    if (!do_harm(d, s, hit, count)) {
        return false;
    }
    begin = hit[0]->offline ? begin : hit[0]->fault.injected_ns;
    for (size_t i = 0; i < count; i++) {
        hit[i]->heal_at_ns = s->ms == 0 ? 0 : hit[i]->fault.injected_ns + s->ms * TS_NS_PER_MS;
    }
    d->struck = nodes[0];
    char what[LAB_DRILL_EVENT_TEXT];
    describe(d, s, nodes[0], what);
    lab_drill_say(d, LAB_DRILL_EVENT_FAULT, "%s", what);
    lab_drill_begin_strike(d, begin, what);
    return true;
}

bool lab_drill_take_image(struct lab_drilling *d, const struct lab_step *s)
{
    struct ts_why why = {{0}};
    const struct cfg_node *node = target(d, s, s->on);
    if (node == NULL) {
        return false;
    }
    if (lab_fault_image(d->config->run, node->name, &why) != TS_OK) {
        lab_drill_find(d->out, LAB_DRILL_INVALID, "no image of %s (line %u): %s", node->name,
                       s->line, why.text);
        return false;
    }
    lab_drill_say(d, LAB_DRILL_EVENT_STEP, "the disk of %s has an image", node->name);
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

/* Whether a group counts on the node still, as far as its primary tells. */
static bool is_counted_on(const struct lab_drilling *d, const struct cfg_node *node)
{
    for (size_t g = 0; g < d->config->cluster->group_count; g++) {
        int p = lab_view_primary(d->view, g);
        if (cfg_group_has(&d->config->cluster->groups[g], node->id) &&
            (p < 0 || (lab_view_of(d->view, g, (size_t)p)->in_sync >> node->id.v & 1) != 0)) {
            return true;
        }
    }
    return false;
}

/* A node that is off is replaced when the others have noticed that. */
static void wait_noticed(struct lab_drilling *d, const char *name)
{
    const struct cfg_cluster *c = d->config->cluster;
    const struct cfg_node *node = cfg_cluster_node_by_name(c, name);
    uint64_t end = lab_now_ns() + NOTICED_NS_MAX;
    do {
        lab_view_read(d->view, c, d->config->run);
        lab_pause_ms(NOTICED_LOOK_MS);
    } while (is_counted_on(d, node) && lab_now_ns() < end);
}

static enum ts_err replace(struct lab_drilling *d, const char *node, struct ts_why *why)
{
    char words[LAB_DRILL_WORDS_MAX];
    wait_noticed(d, node);
    (void)snprintf(words, sizeof(words), "nic replace %s --yes --timeout 30", node);
    /* It may be refused until the others, just healed, have found each other. */
    uint64_t end = lab_now_ns() + REPLACE_NS_MAX;
    enum ts_err err = say(d->config->run, node, words, why);
    while (err == TS_ERR_REFUSED && lab_now_ns() < end) {
        lab_pause_ms(REPLACE_AGAIN_MS);
        err = say(d->config->run, node, words, why);
    }
    return err;
}

/* The operator switches the node off, and takes its disk out. */
static enum ts_err take_disk(struct lab_drilling *d, const char *node, struct ts_why *why)
{
    enum ts_err err = switch_off(d, node, why);
    return err != TS_OK ? err : lose_data(d, node, why);
}

static enum ts_err heal_one(struct lab_drilling *d, struct lab_drill_active *a, struct ts_why *why)
{
    enum ts_err err = TS_OK;
    const char *node = a->fault.node;
    switch (a->remedy) {
    case LAB_DRILL_REMEDY_START:
        return lab_pods_start_node(d->config->run, node, why);
    case LAB_DRILL_REMEDY_NEW_DISK:
        /* A disk that is a copy goes as it is. */
        err = LAB_DRILL_IS_DISK(a->what) ? lab_fault_heal(&a->fault, why) : TS_OK;
        err = err != TS_OK ? err : take_disk(d, node, why);
        return err != TS_OK ? err : replace(d, node, why);
    case LAB_DRILL_REMEDY_REPLACE:
        return replace(d, node, why);
    case LAB_DRILL_REMEDY_OWN_DISK:
        err = switch_off(d, node, why);
        err = err != TS_OK ? err : lab_fault_heal(&a->fault, why);
        return err != TS_OK ? err : lab_pods_start_node(d->config->run, node, why);
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

/* An effect that had to show, or to last, until now. */
static bool prove_late(struct lab_drilling *d, const struct lab_drill_active *a)
{
    struct ts_why why = {{0}};
    struct lab_fault f = a->fault;
    if (a->what == LAB_DRILL_FREEZE && !lab_fault_is_frozen(&f)) {
        lab_drill_find(d->out, LAB_DRILL_INVALID,
                       "%s of %s did not last: something else let it go on",
                       lab_drill_fault_name(a->what), a->fault.node);
        return false;
    }
    if (!a->unproven || lab_fault_observe(&f, &why) == TS_OK) {
        return true;
    }
    lab_drill_find(d->out, LAB_DRILL_INVALID, "%s of %s shows no effect: %s",
                   lab_drill_fault_name(a->what), a->fault.node, why.text);
    return false;
}

static bool heal(struct lab_drilling *d, uint64_t now, bool all, bool late)
{
    static const char *const HEALED[] = {
        [LAB_DRILL_REMEDY_FAULT] = "goes on",
        [LAB_DRILL_REMEDY_START] = "is switched on again",
        [LAB_DRILL_REMEDY_REPLACE] = "has a blank disk",
        [LAB_DRILL_REMEDY_NEW_DISK] = "has a blank disk",
        [LAB_DRILL_REMEDY_OWN_DISK] = "has its own disk again",
    };
    bool good = true;
    for (size_t i = 0; i < LAB_DRILL_ACTIVE_MAX; i++) {
        struct lab_drill_active *a = &d->active[i];
        struct ts_why why = {{0}};
        if (!a->active || comes_late(a) != late || lab_drill_mends_itself(a) ||
            (!all && (a->heal_at_ns == 0 || now < a->heal_at_ns))) {
            continue;
        }
        a->active = false;
        bool lasting = a->what != LAB_DRILL_KILL || a->remedy != LAB_DRILL_REMEDY_FAULT;
        good = prove_late(d, a) && good;
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
