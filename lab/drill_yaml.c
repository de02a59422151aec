#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/prng.h"
#include "cluster-cfg/io/yaml_doc.h"
#include "lab/drill.h"
#include "lab/drill_yaml.h"
#include "lab/load.h"
#include "lab/wire_text.h"

#define ERROR_MAX 512
#define RANDOM_KINDS_MAX 64
#define NESTING_MAX 4
#define REPEAT_MAX 1000
#define LEASES_USUAL 4
/* Without any rest the load takes all processors there are, and what a fault costs is not seen. */
#define REST_MS_USUAL 4
#define REST_MS_MAX 10000

static const char *const ROOT_KEYS[] = {"drill", "about",    "topology", "group",  "disks",
                                        "seed",  "workload", "timeline", "expect", NULL};
static const char *const EXPECT_KEYS[] = {"outage", "takeovers", "alarms", "may-alarm", NULL};

static const struct {
    const char *key; /* that tells the kind of a step */
    const char *keys[24];
} STEPS[] = {
    {"wait", {"wait", NULL}},
    {"fault",
     {"fault", "on", "host", "program", "whole", "by", "share", "period", "to", "network", "both",
      "rule", "for", "files", "copies", "down", "of", "replace", NULL}},
    {"heal", {"heal", NULL}},
    {"say", {"say", "on", NULL}},
    {"until", {"until", "within", NULL}},
    {"repeat", {"repeat", "timeline", NULL}},
    {"random", {"random", "of", "until", "within", NULL}},
    {"image", {"image", NULL}},
};

const char *lab_drill_fault_name(enum lab_drill_fault fault)
{
    static const char *const names[] = {
#define FAULT_NAME(sym, name, about) name,
        LAB_DRILL_FAULT_LIST(FAULT_NAME)
#undef FAULT_NAME
    };
    return names[fault];
}

const char *lab_goal_name(enum lab_goal goal)
{
    static const char *const names[] = {
#define GOAL_NAME(sym, name, about) name,
        LAB_GOAL_LIST(GOAL_NAME)
#undef GOAL_NAME
    };
    return names[goal];
}

static void copy_text(struct reading *r, const yaml_node_t *node, const char *what, char *out,
                      size_t cap)
{
    const char *text = yaml_doc_text(&r->y, node, what);
    if (!r->y.failed && strlen(text) >= cap) {
        yaml_doc_fail(&r->y, node, "%s is longer than %zu bytes", what, cap - 1);
    }
    if (!r->y.failed) {
        memcpy(out, text, strlen(text) + 1);
    }
}

static uint32_t read_ms(struct reading *r, const yaml_node_t *node, const char *what)
{
    return (uint32_t)(yaml_doc_duration(&r->y, node, what, TS_NS_PER_MS,
                                        LAB_DRILL_TIMES_MAX_MS * TS_NS_PER_MS) /
                      TS_NS_PER_MS);
}

/* The index of a name in a row that ends with `count`; fails with all of them. */
static unsigned read_choice(struct reading *r, const yaml_node_t *node, const char *what,
                            const char *(*name_of)(unsigned i), unsigned count)
{
    const char *text = yaml_doc_text(&r->y, node, what);
    char all[512] = "";
    size_t len = 0;
    for (unsigned i = 0; i < count; i++) {
        if (strcmp(name_of(i), text) == 0) {
            return i;
        }
        int n = snprintf(all + len, sizeof(all) - len, "%s%s", i > 0 ? ", " : "", name_of(i));
        len += n > 0 && (size_t)n < sizeof(all) - len ? (size_t)n : 0;
    }
    yaml_doc_fail(&r->y, node, "%s is \"%.40s\"; there are: %s", what, text, all);
    return 0;
}

static const char *fault_name(unsigned i)
{
    return lab_drill_fault_name((enum lab_drill_fault)i);
}

static const char *goal_name(unsigned i)
{
    return lab_goal_name((enum lab_goal)i);
}

static void add(struct reading *r, const yaml_node_t *node, const struct lab_step *step)
{
    if (!r->y.failed && r->d->step_count == LAB_STEPS_MAX) {
        yaml_doc_fail(&r->y, node, "there are more than %d steps, repeats written out",
                      LAB_STEPS_MAX);
    }
    if (!r->y.failed) {
        r->d->steps[r->d->step_count++] = *step;
    }
}

static unsigned line_of(const yaml_node_t *node)
{
    return (unsigned)node->start_mark.line + 1;
}

/* The options of `twinstep lab wire set`, by their names. */
static void read_rule(struct reading *r, const yaml_node_t *map, struct lab_wire_rule *rule)
{
    static const char *const KEYS[] = {"drop",       "loss",      "delay",   "jitter", "reorder",
                                       "reorder-by", "duplicate", "corrupt", "rate",   "queue",
                                       "flap",       "replay",    "seed",    NULL};
    yaml_doc_check_map(&r->y, map, "rule", KEYS);
    for (size_t i = 0; KEYS[i] != NULL && !r->y.failed; i++) {
        const yaml_node_t *node = yaml_doc_get(&r->y, map, KEYS[i]);
        const char *wanted = NULL;
        if (node == NULL || (i == 0 && !yaml_doc_bool(&r->y, node, KEYS[i]))) {
            continue;
        }
        const char *text = yaml_doc_text(&r->y, node, KEYS[i]);
        if (!r->y.failed && !lab_wire_rule_option(rule, KEYS[i], text, &wanted)) {
            yaml_doc_fail(&r->y, node, "%s is \"%.40s\"; write %s", KEYS[i], text, wanted);
        }
    }
}

/* What only a fault of the wire has. */
static void read_wire(struct reading *r, const yaml_node_t *map, struct lab_step *s)
{
    const yaml_node_t *to = yaml_doc_get(&r->y, map, "to");
    const yaml_node_t *network = yaml_doc_get(&r->y, map, "network");
    const yaml_node_t *both = yaml_doc_get(&r->y, map, "both");
    const yaml_node_t *rule = yaml_doc_get(&r->y, map, "rule");
    bool any = to != NULL || network != NULL || both != NULL || rule != NULL;
    if (!r->y.failed && any != (s->fault == LAB_DRILL_WIRE)) {
        yaml_doc_fail(&r->y, map,
                      any ? "to, network, both and rule are of the fault wire"
                          : "a fault of the wire needs a rule, like {loss: 30%%}");
    }
    if (!any || r->y.failed) {
        return;
    }
    if (to != NULL) {
        copy_text(r, to, "to", s->to, sizeof(s->to));
    }
    if (network != NULL) {
        copy_text(r, network, "network", s->network, sizeof(s->network));
    }
    s->both = both != NULL && yaml_doc_bool(&r->y, both, "both");
    read_rule(r, yaml_doc_need(&r->y, map, "a fault of the wire", "rule"), &s->rule);
}

/* ---- faults of data ---- */

static const char *files_name(unsigned i)
{
    return lab_files_name((enum lab_files)i);
}

static bool read_flag(struct reading *r, const yaml_node_t *map, const char *key)
{
    const yaml_node_t *node = yaml_doc_get(&r->y, map, key);
    return node != NULL && yaml_doc_bool(&r->y, node, key);
}

/* `files`, `copies` and `down`. */
static void read_files(struct reading *r, const yaml_node_t *map, struct lab_step *s)
{
    const yaml_node_t *files = yaml_doc_get(&r->y, map, "files");
    const yaml_node_t *copies = yaml_doc_get(&r->y, map, "copies");
    bool rot = s->fault == LAB_DRILL_BIT_ROT;
    s->files = LAB_FILES_GROUPS;
    s->down = read_flag(r, map, "down");
    if (files != NULL) {
        s->files = (enum lab_files)read_choice(r, files, "files", files_name, LAB_FILES);
    }
    if (r->y.failed) {
        return;
    }
    if (files == NULL ? rot : rot == LAB_FILES_OF_DISK(s->files)) {
        yaml_doc_fail(&r->y, files == NULL ? map : files,
                      "files of a disk that fails are groups or voter; those of bit-rot journal, "
                      "journal-end, snapshot, register, starts or identity");
    } else if (files != NULL && !rot && !LAB_DRILL_IS_DISK(s->fault)) {
        yaml_doc_fail(&r->y, files, "files are of bit-rot and of disks that fail");
    } else if (s->down && !rot) {
        yaml_doc_fail(&r->y, map, "down is of bit-rot");
    } else if (copies != NULL && (!rot || !LAB_FILES_HAVE_COPIES(s->files))) {
        yaml_doc_fail(&r->y, copies, "copies are of register, starts and identity");
    } else if (copies != NULL && strcmp(yaml_doc_text(&r->y, copies, "copies"), "all") != 0) {
        yaml_doc_fail(&r->y, copies, "copies: all is what there is; without it, one");
    }
    s->all_copies = copies != NULL;
}

/* What only faults of data and of whole nodes have. */
static void read_data(struct reading *r, const yaml_node_t *map, struct lab_step *s)
{
    const yaml_node_t *of = yaml_doc_get(&r->y, map, "of");
    bool clone = s->fault == LAB_DRILL_DISK_CLONE;
    bool many = read_flag(r, map, "host") || strcmp(s->on, "all") == 0;
    read_files(r, map, s);
    s->host = read_flag(r, map, "host");
    s->replace = read_flag(r, map, "replace");
    if (!r->y.failed && (of != NULL) != clone) {
        yaml_doc_fail(&r->y, map, "`of` is whose disk is copied: of disk-clone, and no other");
    } else if (!r->y.failed && s->replace && s->fault < LAB_DRILL_BIT_ROT) {
        yaml_doc_fail(&r->y, map, "replace is of bit-rot, disk-rollback and disk-clone");
    } else if (!r->y.failed && many && (!LAB_DRILL_OF_NODES(s->fault) || s->program[0] != '\0')) {
        yaml_doc_fail(&r->y, map,
                      "several nodes at once are hit by power-loss, or whole by kill and freeze");
    }
    if (of != NULL) {
        copy_text(r, of, "of", s->to, sizeof(s->to));
    }
    r->d->lossy = r->d->lossy || s->fault == LAB_DRILL_POWER_LOSS;
    r->d->kinds |= 1ULL << s->fault;
    r->rots = r->rots != NULL || s->fault != LAB_DRILL_BIT_ROT || s->down ? r->rots : map;
}

static void read_fault(struct reading *r, const yaml_node_t *map)
{
    struct lab_step s = {.kind = LAB_STEP_FAULT, .line = line_of(map), .program = "replica"};
    const yaml_node_t *program = yaml_doc_get(&r->y, map, "program");
    const yaml_node_t *whole = yaml_doc_get(&r->y, map, "whole");
    const yaml_node_t *ms = yaml_doc_get(&r->y, map, "for");
    s.fault = (enum lab_drill_fault)read_choice(r, yaml_doc_get(&r->y, map, "fault"), "the fault",
                                                fault_name, LAB_DRILL_FAULTS);
    copy_text(r, yaml_doc_need(&r->y, map, "a fault", "on"), "on", s.on, sizeof(s.on));
    if (program != NULL) {
        copy_text(r, program, "program", s.program, sizeof(s.program));
    }
    if (whole != NULL && yaml_doc_bool(&r->y, whole, "whole")) {
        s.program[0] = '\0';
        if (program != NULL) {
            yaml_doc_fail(&r->y, whole, "the whole node, or a program of it: leave one out");
        }
    }
    s.ms = ms == NULL ? 0 : read_ms(r, ms, "for");
    const yaml_node_t *by = yaml_doc_get(&r->y, map, "by");
    bool jumps = s.fault == LAB_DRILL_CLOCK_FORWARD || s.fault == LAB_DRILL_CLOCK_BACK;
    if (!r->y.failed && !jumps && (by != NULL) != (s.fault == LAB_DRILL_DISK_SLOW)) {
        yaml_doc_fail(&r->y, map,
                      "`by` is how much slower a disk is, or how far a clock jumps: of "
                      "disk-slow, clock-forward and clock-back, and no other");
    }
    s.by_ms = by == NULL || jumps ? 0 : read_ms(r, by, "by");
    bool of_node = !LAB_DRILL_IS_OF_PROGRAMS(s.fault);
    if (!r->y.failed && of_node && (program != NULL || whole != NULL)) {
        yaml_doc_fail(&r->y, map,
                      "disks, wires, clocks and certificates are a node's: leave program and whole "
                      "out");
    }
    read_wire(r, map, &s);
    lab_drill_read_host(&r->y, map, &s);
    if (s.fault == LAB_DRILL_POWER_LOSS) {
        s.program[0] = '\0';
    }
    read_data(r, map, &s);
    add(r, map, &s);
}

static void read_say(struct reading *r, const yaml_node_t *map)
{
    struct lab_step s = {.kind = LAB_STEP_SAY, .line = line_of(map)};
    copy_text(r, yaml_doc_get(&r->y, map, "say"), "say", s.words, sizeof(s.words));
    copy_text(r, yaml_doc_need(&r->y, map, "say", "on"), "on", s.on, sizeof(s.on));
    add(r, map, &s);
}

static void read_until(struct reading *r, const yaml_node_t *map, const char *what)
{
    struct lab_step s = {.kind = LAB_STEP_UNTIL, .line = line_of(map)};
    s.goal = (enum lab_goal)read_choice(r, yaml_doc_need(&r->y, map, what, "until"), "until",
                                        goal_name, LAB_GOALS);
    s.ms = read_ms(r, yaml_doc_need(&r->y, map, what, "within"), "within");
    add(r, map, &s);
}

static void read_steps(struct reading *r, const yaml_node_t *list, unsigned depth);

static void read_repeat(struct reading *r, const yaml_node_t *map, unsigned depth)
{
    uint64_t times =
        yaml_doc_number(&r->y, yaml_doc_get(&r->y, map, "repeat"), "repeat", 1, REPEAT_MAX);
    const yaml_node_t *list = yaml_doc_need(&r->y, map, "repeat", "timeline");
    size_t begin = r->d->step_count;
    for (uint64_t i = 0; i < times && !r->y.failed; i++) {
        read_steps(r, list, depth + 1);
        if (!r->y.failed && r->d->step_count == begin) {
            yaml_doc_fail(&r->y, list, "there is no step to repeat; give one, or leave repeat out");
        }
    }
}

/* Each of the faults is read, also one that is never drawn. */
static void read_random(struct reading *r, const yaml_node_t *map)
{
    uint64_t times =
        yaml_doc_number(&r->y, yaml_doc_get(&r->y, map, "random"), "random", 1, REPEAT_MAX);
    const yaml_node_t *of = yaml_doc_need(&r->y, map, "random", "of");
    struct lab_step faults[RANDOM_KINDS_MAX];
    size_t n = yaml_doc_count(&r->y, of, "of");
    size_t begin = r->d->step_count;
    if (!r->y.failed && (n == 0 || n > RANDOM_KINDS_MAX)) {
        yaml_doc_fail(&r->y, of, "give 1 to %d faults to choose from", RANDOM_KINDS_MAX);
    }
    for (size_t i = 0; i < n && !r->y.failed; i++) {
        const yaml_node_t *item = yaml_doc_item(&r->y, of, i);
        yaml_doc_check_map(&r->y, item, "a fault", STEPS[1].keys);
        if (yaml_doc_need(&r->y, item, "a fault", "fault") != NULL) {
            read_fault(r, item);
        }
        if (!r->y.failed) {
            r->d->step_count = begin;
            faults[i] = r->d->steps[begin];
        }
    }
    for (uint64_t i = 0; i < times && !r->y.failed; i++) {
        add(r, map, &faults[ts_prng_below(&r->prng, n)]);
        if (yaml_doc_get(&r->y, map, "until") != NULL) {
            read_until(r, map, "random");
        }
    }
}

static void read_step(struct reading *r, const yaml_node_t *map, unsigned depth)
{
    size_t kind = 0;
    struct lab_step s = {.line = line_of(map)};
    static const char *const any[] = {"wait",   "fault",   "on",       "program", "whole",  "for",
                                      "by",     "to",      "network",  "both",    "rule",   "heal",
                                      "say",    "until",   "within",   "of",      "host",   "files",
                                      "copies", "replace", "down",     "repeat",  "random", "image",
                                      "share",  "period",  "timeline", NULL};
    yaml_doc_check_map(&r->y, map, "a step", any);
    /* `until` goes with random, too */
    static const size_t order[] = {0, 1, 2, 3, 5, 6, 4, 7};
    size_t i = 0;
    while (i < sizeof(order) / sizeof(order[0]) && !r->y.failed &&
           yaml_doc_get(&r->y, map, STEPS[order[i]].key) == NULL) {
        i++;
    }
    if (r->y.failed || i == sizeof(order) / sizeof(order[0])) {
        yaml_doc_fail(&r->y, map,
                      "a step is one of wait, fault, heal, say, until, repeat, random, image; name "
                      "one");
        return;
    }
    kind = order[i];
    yaml_doc_check_map(&r->y, map, STEPS[kind].key, STEPS[kind].keys);
    const yaml_node_t *value = yaml_doc_get(&r->y, map, STEPS[kind].key);
    switch (kind) {
    case 0:
        s.kind = LAB_STEP_WAIT;
        s.ms = read_ms(r, value, "wait");
        add(r, map, &s);
        break;
    case 1:
        read_fault(r, map);
        break;
    case 2:
        s.kind = LAB_STEP_HEAL;
        if (strcmp(yaml_doc_text(&r->y, value, "heal"), "all") != 0) {
            yaml_doc_fail(&r->y, value, "heal: all is what there is; or give the fault `for`");
        }
        add(r, map, &s);
        break;
    case 3:
        read_say(r, map);
        break;
    case 4:
        read_until(r, map, "until");
        break;
    case 5:
        if (depth == NESTING_MAX) {
            yaml_doc_fail(&r->y, map, "repeats are nested more than %d deep", NESTING_MAX);
        }
        read_repeat(r, map, depth);
        break;
    case 7:
        s.kind = LAB_STEP_IMAGE;
        copy_text(r, value, "image", s.on, sizeof(s.on));
        add(r, map, &s);
        break;
    default:
        read_random(r, map);
        break;
    }
}

static void read_steps(struct reading *r, const yaml_node_t *list, unsigned depth)
{
    size_t n = yaml_doc_count(&r->y, list, "timeline");
    for (size_t i = 0; i < n && !r->y.failed; i++) {
        read_step(r, yaml_doc_item(&r->y, list, i), depth);
    }
}

static unsigned read_number(struct reading *r, const yaml_node_t *map, const char *key,
                            unsigned otherwise, unsigned min, unsigned max)
{
    const yaml_node_t *node = map == NULL ? NULL : yaml_doc_get(&r->y, map, key);
    return node == NULL ? otherwise : (unsigned)yaml_doc_number(&r->y, node, key, min, max);
}

static void read_workload(struct reading *r, const yaml_node_t *map)
{
    struct lab_load_config usual = lab_load_defaults();
    if (map != NULL && lab_drill_read_leases(&r->y, map, r->d)) {
        r->d->clients = read_number(r, map, "clients", usual.clients, 1, LAB_CLIENTS_MAX);
        r->d->keys = read_number(r, map, "leases", LEASES_USUAL, 1, 10000);
        return;
    }
    r->d->clients = read_number(r, map, "clients", usual.clients, 1, LAB_CLIENTS_MAX);
    r->d->keys = read_number(r, map, "keys", usual.keys, 1, 10000);
    r->d->reads_percent = read_number(r, map, "reads", usual.reads_percent, 0, 90);
    r->d->value_bytes = read_number(r, map, "value-bytes", usual.value_bytes, 24, 4096);
    const yaml_node_t *rest = map == NULL ? NULL : yaml_doc_get(&r->y, map, "rest");
    r->d->rest_ms =
        rest == NULL
            ? REST_MS_USUAL
            : (uint32_t)(yaml_doc_duration(&r->y, rest, "rest", 0, REST_MS_MAX * TS_NS_PER_MS) /
                         TS_NS_PER_MS);
}

static size_t read_alarms(struct reading *r, const yaml_node_t *list, const char *what,
                          char out[][LAB_DRILL_ALARM_MAX])
{
    size_t n = list == NULL ? 0 : yaml_doc_count(&r->y, list, what);
    if (!r->y.failed && n > LAB_DRILL_ALARMS_MAX) {
        yaml_doc_fail(&r->y, list, "there are more than %d %s", LAB_DRILL_ALARMS_MAX, what);
    }
    for (size_t i = 0; i < n && !r->y.failed; i++) {
        copy_text(r, yaml_doc_item(&r->y, list, i), "an alarm", out[i], LAB_DRILL_ALARM_MAX);
    }
    return r->y.failed ? 0 : n;
}

static void read_expect(struct reading *r, const yaml_node_t *map)
{
    struct lab_drill *d = r->d;
    if (map == NULL) {
        return;
    }
    yaml_doc_check_map(&r->y, map, "expect", EXPECT_KEYS);
    const yaml_node_t *outage = yaml_doc_get(&r->y, map, "outage");
    const yaml_node_t *takeovers = yaml_doc_get(&r->y, map, "takeovers");
    d->outage_ms = outage == NULL ? 0 : read_ms(r, outage, "outage");
    d->counts_takeovers = takeovers != NULL;
    d->takeovers = read_number(r, map, "takeovers", 0, 0, UINT16_MAX);
    d->alarm_count = read_alarms(r, yaml_doc_get(&r->y, map, "alarms"), "alarms", d->alarms);
    d->allowed_count =
        read_alarms(r, yaml_doc_get(&r->y, map, "may-alarm"), "may-alarm", d->allowed);
}

/* A name stays; a path is from the drill's folder. */
static void read_topology(struct reading *r, const yaml_node_t *node, const char *file)
{
    char given[TS_PATH_MAX];
    const char *slash = strrchr(file, '/');
    copy_text(r, node, "topology", given, sizeof(given));
    if (r->y.failed) {
        return;
    }
    bool is_path = strchr(given, '/') != NULL || strchr(given, '.') != NULL;
    int dir = is_path && given[0] != '/' && slash != NULL ? (int)(slash - file) + 1 : 0;
    int n = snprintf(r->d->topology, sizeof(r->d->topology), "%.*s%s", dir, file, given);
    if (n < 0 || (size_t)n >= sizeof(r->d->topology)) {
        yaml_doc_fail(&r->y, node, "the path of the topology is too long");
    }
}

static void read_root(struct reading *r, const char *file, uint64_t seed)
{
    struct lab_drill *d = r->d;
    const yaml_node_t *root = yaml_doc_root(&r->y);
    yaml_doc_check_map(&r->y, root, "the drill", ROOT_KEYS);
    const yaml_node_t *name = yaml_doc_need(&r->y, root, "the drill", "drill");
    copy_text(r, name, "drill", d->name, sizeof(d->name));
    if (!r->y.failed && !cfg_name_is_valid(d->name)) {
        yaml_doc_fail(&r->y, name, "drill is \"%s\"; " CFG_NAME_RULE, d->name);
    }
    copy_text(r, yaml_doc_need(&r->y, root, "the drill", "about"), "about", d->about,
              sizeof(d->about));
    const yaml_node_t *topology = yaml_doc_get(&r->y, root, "topology");
    if (topology != NULL) {
        read_topology(r, topology, file);
    } else {
        memcpy(d->topology, "pair", sizeof("pair"));
    }
    const yaml_node_t *group = yaml_doc_get(&r->y, root, "group");
    if (group != NULL) {
        copy_text(r, group, "group", d->group, sizeof(d->group));
    }
    const yaml_node_t *own = yaml_doc_get(&r->y, root, "seed");
    d->seed = own == NULL ? 1 : yaml_doc_number(&r->y, own, "seed", 1, UINT32_MAX);
    d->seed = seed != 0 ? seed : d->seed;
    r->prng = ts_prng_init(d->seed);
    const yaml_node_t *disks = yaml_doc_get(&r->y, root, "disks");
    d->lossy = disks != NULL;
    if (disks != NULL && strcmp(yaml_doc_text(&r->y, disks, "disks"), "lossy") != 0) {
        yaml_doc_fail(&r->y, disks, "disks: lossy is what there is besides the usual ones");
    }
    read_workload(r, yaml_doc_get(&r->y, root, "workload"));
    read_steps(r, yaml_doc_need(&r->y, root, "the drill", "timeline"), 0);
    if (!r->y.failed && d->lossy && r->rots != NULL) {
        yaml_doc_fail(&r->y, r->rots,
                      "a node whose disk loses what was not synced reads its own memory: flip bits "
                      "with down: true, or in a drill without power-loss");
    }
    read_expect(r, yaml_doc_get(&r->y, root, "expect"));
}

enum ts_err lab_drill_parse(const char *file, struct ts_bytes text, uint64_t seed,
                            struct lab_drill *out, struct ts_why *why)
{
    char error[ERROR_MAX] = "";
    struct reading r = {.d = out};
    *out = (struct lab_drill){0};
    yaml_doc_open(&r.y, file, text, error, sizeof(error));
    read_root(&r, file, seed);
    enum ts_err err = r.y.failed ? ts_why(why, TS_ERR_CONFIG, "%s", error) : TS_OK;
    yaml_doc_close(&r.y);
    return err;
}
