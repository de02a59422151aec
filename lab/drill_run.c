#include "lab/drill_run.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "lab/clock.h"
#include "lab/drill_data.h"
#include "lab/primaries.h"
#include "lab/stall.h"

#define LOOK_MS 25
#define FIRST_ANSWERS 50
#define FIRST_ANSWERS_MS 30000
#define READ_BACK_MS 30000
#define SERVED_ANSWERS 100
#define SECONDARY_NS_MAX (10 * TS_NS_PER_S)
/* What is redundant for so long, and the failure-timeout in which nobody need notice anything, is
 * no echo of what was before. */
#define STEADY_NS (400 * TS_NS_PER_MS)

/* ---- what is told ---- */

void lab_drill_find(struct lab_drill_result *r, enum lab_drill_verdict verdict, const char *format,
                    ...)
{
    va_list args;
    char text[LAB_DRILL_FINDING_TEXT];
    va_start(args, format);
    (void)vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    r->verdict = r->verdict > verdict ? r->verdict : verdict;
    for (size_t i = 0; i < r->finding_count; i++) {
        if (strcmp(r->findings[i], text) == 0) {
            return; /* it is seen at each look */
        }
    }
    if (r->finding_count < LAB_DRILL_FINDINGS_MAX) {
        memcpy(r->findings[r->finding_count++], text, sizeof(text));
    }
}

void lab_drill_say(struct lab_drilling *d, enum lab_drill_event_kind kind, const char *format, ...)
{
    struct lab_drill_result *r = d->out;
    struct lab_screen *screen = d->config->screen;
    char text[LAB_DRILL_EVENT_TEXT];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    bool harm = kind == LAB_DRILL_EVENT_FAULT;
    lab_screen_say(screen, "%s%s%s", harm ? lab_screen_red(screen) : "", text,
                   harm ? lab_screen_plain(screen) : "");
    if (r->event_count < LAB_DRILL_EVENTS_MAX) {
        struct lab_drill_event *e = &r->events[r->event_count++];
        e->at_ns = lab_now_ns();
        e->kind = kind;
        memcpy(e->text, text, sizeof(text));
    }
}

/* Of the newest strike: events get to the recorder a little after what they tell. */
static void read_phases(struct lab_drilling *d)
{
    struct lab_drill_result *r = d->out;
    struct lab_drill_strike *s = r->strike_count > 0 ? &r->strikes[r->strike_count - 1] : NULL;
    if (s != NULL && s->new_primary >= 0 && s->phases.count == 0) {
        lab_phases_read(d->config->run, d->config->cluster->nodes[s->new_primary].name, s->at_ns,
                        &s->phases);
    }
}

void lab_drill_begin_strike(struct lab_drilling *d, uint64_t at_ns, const char *what)
{
    struct lab_drill_result *r = d->out;
    if (r->strike_count < LAB_STEPS_MAX) {
        struct lab_drill_strike *strike = &r->strikes[r->strike_count++];
        *strike = (struct lab_drill_strike){.at_ns = at_ns, .new_primary = -1};
        (void)snprintf(strike->what, sizeof(strike->what), "%s", what);
    }
}

/* ---- looking ---- */

static bool has(char list[][LAB_DRILL_ALARM_MAX], size_t count, const char *code)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(list[i], code) == 0) {
            return true;
        }
    }
    return false;
}

static void put(char list[][LAB_DRILL_ALARM_MAX], size_t *count, const char *code)
{
    if (*count < LAB_DRILL_CODES_MAX && !has(list, *count, code)) {
        (void)snprintf(list[(*count)++], LAB_DRILL_ALARM_MAX, "%s", code);
    }
}

static void look_at_alarms(struct lab_drilling *d)
{
    const struct lab_view *v = d->view;
    char now[LAB_DRILL_CODES_MAX][LAB_DRILL_ALARM_MAX];
    size_t count = 0;
    for (size_t i = 0; i < v->alarm_count && i < LAB_VIEW_ALARMS_MAX; i++) {
        const struct lab_view_alarm *a = &v->alarms[i];
        bool known = has(now, count, a->code);
        put(now, &count, a->code);
        put(d->out->codes, &d->out->code_count, a->code);
        if (strcmp(a->code, "blocked") == 0 || strcmp(a->code, "no-majority") == 0) {
            d->harmed = UINT64_MAX; /* nobody serves then, whoever goes on behind it */
        }
        if (!known && !has(d->standing, d->standing_count, a->code)) {
            lab_drill_say(d, LAB_DRILL_EVENT_ALARM, "alarm of %s: %s", a->node, a->text);
        }
    }
    for (size_t i = 0; i < d->standing_count; i++) {
        if (!has(now, count, d->standing[i])) {
            lab_drill_say(d, LAB_DRILL_EVENT_ALARM, "no alarm %s any more", d->standing[i]);
        }
    }
    memcpy(d->standing, now, sizeof(now));
    d->standing_count = count;
}

/* Two that say they are primary of one group in one epoch. A look at one node after another may
 * meet a former one and its successor, but never in one epoch. */
static void look_for_two(struct lab_drilling *d)
{
    const struct cfg_cluster *c = d->config->cluster;
    for (size_t g = 0; g < c->group_count; g++) {
        for (size_t i = 0; i < c->node_count; i++) {
            const struct lab_view_replica *a = lab_view_of(d->view, g, i);
            for (size_t k = i + 1; k < c->node_count; k++) {
                const struct lab_view_replica *b = lab_view_of(d->view, g, k);
                if (a->known && b->known && a->role == REPORT_ROLE_PRIMARY &&
                    b->role == REPORT_ROLE_PRIMARY && a->epoch == b->epoch) {
                    d->out->two_primaries++;
                    lab_drill_find(d->out, LAB_DRILL_BROKEN,
                                   "%s and %s were both primary of %s in epoch %" PRIu64,
                                   c->nodes[i].name, c->nodes[k].name, c->groups[g].name, a->epoch);
                }
            }
        }
    }
}

/* A change that no fault since the last calm explains: the detector was wrong. */
static void look_for_false(struct lab_drilling *d, int from, int to)
{
    const struct cfg_cluster *c = d->config->cluster;
    if ((d->harmed >> c->nodes[from].id.v & 1) == 0) {
        d->out->false_takeovers++;
        lab_drill_find(d->out, LAB_DRILL_FAILED,
                       "%s took %s over from %s, which no fault had harmed", c->nodes[to].name,
                       c->groups[d->group].name, c->nodes[from].name);
    }
}

static void look(struct lab_drilling *d)
{
    const struct cfg_cluster *c = d->config->cluster;
    lab_view_read(d->view, c, d->config->run);
    look_at_alarms(d);
    look_for_two(d);
    if (d->view->crash[0] != '\0') {
        lab_drill_find(d->out, LAB_DRILL_BROKEN, "%s", d->view->crash);
    }
    int primary = lab_view_primary(d->view, d->group);
    uint64_t epoch = primary < 0 ? 0 : lab_view_of(d->view, d->group, (size_t)primary)->epoch;
    if (primary >= 0 && epoch > d->primary_epoch) {
        if (d->primary >= 0 && primary != d->primary) {
            d->out->takeovers++;
            if (d->out->strike_count > 0) {
                d->out->strikes[d->out->strike_count - 1].new_primary = primary;
            }
            lab_drill_say(d, LAB_DRILL_EVENT_PRIMARY, "%s is primary of %s, epoch %" PRIu64,
                          c->nodes[primary].name, c->groups[d->group].name, epoch);
            look_for_false(d, d->primary, primary);
        }
        d->primary = primary;
        d->primary_epoch = epoch;
    }
    struct lab_drill_result *r = d->out;
    struct lab_drill_strike *last = r->strike_count > 0 ? &r->strikes[r->strike_count - 1] : NULL;
    if (last != NULL && !lab_view_redundant(d->view, c, NULL, 0)) {
        last->redundant_ns = 0; /* what was before was an echo: nobody had noticed yet */
    } else if (last != NULL && last->redundant_ns == 0) {
        last->redundant_ns = lab_now_ns();
    }
    if (last != NULL && d->load != NULL) {
        struct lab_load_now n = lab_load_now(d->load);
        last->gap_ns = n.longest_gap_ns;
        last->gap_begin_ns = n.longest_gap_begin_ns;
    }
}

static bool is_interrupted(const struct lab_drilling *d)
{
    return *d->config->interrupted != 0;
}

/* One look, and what is due by then. */
static bool turn(struct lab_drilling *d, const char *doing)
{
    look(d);
    lab_screen_tick(d->config->screen, d->load, doing);
    bool good = lab_drill_heal(d, lab_now_ns(), false);
    lab_pause_ms(LOOK_MS);
    return good && !is_interrupted(d);
}

/* ---- steps ---- */

static bool wait_ms(struct lab_drilling *d, uint32_t ms)
{
    uint64_t end = lab_now_ns() + ms * TS_NS_PER_MS;
    bool good = true;
    while (good && lab_now_ns() < end) {
        good = turn(d, "watching");
    }
    return good;
}

/* Whether an alarm stands that tells why the group does not serve; when no NIC of it can be asked,
 * that is what `twinstep status` tells. */
static bool says_why(const struct lab_drilling *d)
{
    const struct lab_view *v = d->view;
    bool asked = false;
    static const char *const CODES[] = {"no-primary", "no-majority",  "blocked", "halted",
                                        "disk",       "process-down", NULL};
    for (size_t i = 0; i < v->alarm_count && i < LAB_VIEW_ALARMS_MAX; i++) {
        for (size_t k = 0; CODES[k] != NULL; k++) {
            if (strcmp(v->alarms[i].code, CODES[k]) == 0) {
                return true;
            }
        }
    }
    for (size_t i = 0; i < v->node_count; i++) {
        asked = asked || lab_view_of(v, d->group, i)->asked;
    }
    return !asked;
}

static bool is_calm(const struct lab_drilling *d)
{
    for (size_t i = 0; i < LAB_DRILL_ACTIVE_MAX; i++) {
        if (lab_drill_lasts(&d->active[i])) {
            return false;
        }
    }
    return true;
}

static bool reached(const struct lab_drilling *d, enum lab_goal goal, uint64_t answers,
                    char *missing, size_t cap)
{
    switch (goal) {
    case LAB_GOAL_REDUNDANT:
        return lab_view_redundant(d->view, d->config->cluster, missing, cap);
    case LAB_GOAL_MOVED:
        (void)snprintf(missing, cap, "the primary is where it was");
        return d->primary >= 0 && d->primary != d->primary_before;
    case LAB_GOALS:
        break;
    case LAB_GOAL_MENDED:
        return lab_drill_is_mended(d, missing, cap);
    case LAB_GOAL_SNAPSHOTS:
        return lab_drill_has_snapshots(d, missing, cap);
    case LAB_GOAL_FETCHING:
        return lab_drill_fetches(d, missing, cap);
    case LAB_GOAL_SERVED:
        (void)snprintf(missing, cap, "clients are not answered");
        return lab_load_now(d->load).acknowledged >= answers + SERVED_ANSWERS;
    case LAB_GOAL_TOLD:
        (void)snprintf(missing, cap, "clients are not answered, and no alarm says why");
        return lab_load_now(d->load).acknowledged >= answers + SERVED_ANSWERS || says_why(d);
    }
    ts_unreachable();
}

static bool wait_until(struct lab_drilling *d, const struct lab_step *s)
{
    uint64_t begin = lab_now_ns();
    uint64_t since = 0; /* it holds without a break */
    uint64_t steady =
        s->goal == LAB_GOAL_REDUNDANT ? STEADY_NS + d->config->cluster->timing.failure_timeout : 0;
    uint64_t answers = lab_load_now(d->load).acknowledged;
    char missing[256] = "";
    char doing[64];
    (void)snprintf(doing, sizeof(doing), "until %s", lab_goal_name(s->goal));
    do {
        if (!turn(d, doing)) {
            return false;
        }
        uint64_t now = lab_now_ns();
        bool holds = reached(d, s->goal, answers, missing, sizeof(missing));
        since = !holds ? 0 : since == 0 ? now : since;
        if (holds && now - since >= steady) {
            lab_drill_say(d, LAB_DRILL_EVENT_STEP, "%s after %.2f s", lab_goal_name(s->goal),
                          (double)(since - begin) / 1e9);
            d->harmed = s->goal == LAB_GOAL_REDUNDANT && is_calm(d) ? 0 : d->harmed;
            return true;
        }
    } while (lab_now_ns() < begin + s->ms * TS_NS_PER_MS);
    lab_drill_find(d->out, LAB_DRILL_FAILED, "not %s within %.1f s (line %u): %s",
                   lab_goal_name(s->goal), (double)s->ms / 1e3, s->line, missing);
    return false;
}

static bool has_secondary(const struct lab_drilling *d)
{
    uint64_t in_sync =
        d->primary < 0 ? 0 : lab_view_of(d->view, d->group, (size_t)d->primary)->in_sync;
    return (in_sync & (in_sync - 1)) != 0;
}

/* Who is meant is as of now. On a busy machine the only secondary may be away for a moment. */
static bool look_who(struct lab_drilling *d, const struct lab_step *s)
{
    uint64_t end = lab_now_ns() + SECONDARY_NS_MAX;
    bool good = true;
    bool meant = strcmp(s->on, "secondary") == 0 || strcmp(s->to, "secondary") == 0;
    look(d);
    while (good && meant && !has_secondary(d) && lab_now_ns() < end) {
        good = turn(d, "until there is a secondary");
    }
    read_phases(d);
    d->primary_before = d->primary;
    return good;
}

/* What was to last for a time lasts so long, also behind the last step. */
static bool wait_out(struct lab_drilling *d)
{
    bool good = true;
    bool lasts = true;
    while (good && lasts) {
        lasts = false;
        for (size_t i = 0; i < LAB_DRILL_ACTIVE_MAX; i++) {
            lasts = lasts || (d->active[i].active && d->active[i].heal_at_ns != 0);
        }
        good = !lasts || turn(d, "until the last fault is over");
    }
    return good;
}

static bool carry_out(struct lab_drilling *d, const struct lab_step *s)
{
    switch (s->kind) {
    case LAB_STEP_WAIT:
        return wait_ms(d, s->ms);
    case LAB_STEP_FAULT:
        return look_who(d, s) && lab_drill_strike(d, s);
    case LAB_STEP_SAY:
        return look_who(d, s) && lab_drill_say_words(d, s);
    case LAB_STEP_IMAGE:
        return look_who(d, s) && lab_drill_take_image(d, s);
    case LAB_STEP_HEAL:
        return lab_drill_heal(d, 0, true);
    case LAB_STEP_UNTIL:
        return wait_until(d, s);
    default:
        ts_unreachable();
    }
}

/* ---- the load ---- */

#define ADDRESSES_MAX (LAB_ADDRS_MAX * LAB_ADDR_TEXT_MAX)

/* The group's service address, or those of its NICs. */
static void write_addresses(const struct lab_drilling *d, char addresses[ADDRESSES_MAX])
{
    const struct cfg_cluster *c = d->config->cluster;
    const struct cfg_group *g = &c->groups[d->group];
    size_t len = 0;
    addresses[0] = '\0';
    if (g->address[0] != '\0') {
        (void)snprintf(addresses, ADDRESSES_MAX, "%s:%u", g->address, g->client_port);
    }
    for (size_t i = 0; g->address[0] == '\0' && i < g->nic_count && i < LAB_ADDRS_MAX; i++) {
        const struct cfg_node *n = cfg_cluster_node(c, g->nics[i]);
        int wrote = snprintf(addresses + len, ADDRESSES_MAX - len, "%s%s:%u", i > 0 ? "," : "",
                             n->paths[0], g->client_port);
        len += wrote > 0 ? (size_t)wrote : 0;
    }
}

static bool begin_load(struct lab_drilling *d)
{
    const struct lab_drill *drill = d->config->drill;
    struct lab_load_config config = lab_load_defaults();
    char addresses[ADDRESSES_MAX];
    struct ts_why why = {{0}};
    write_addresses(d, addresses);
    (void)snprintf(config.tag, sizeof(config.tag), "%s", drill->name);
    config.clients = drill->clients;
    config.keys = drill->keys;
    config.reads_percent = drill->reads_percent;
    config.value_bytes = drill->lease_ms > 0 ? config.value_bytes : drill->value_bytes;
    config.pause_us = drill->rest_ms * 1000U;
    config.lease_ms = drill->lease_ms;
    config.seed = drill->seed;
    if (lab_drill_access_begin(d, &why) != TS_OK) {
        lab_drill_find(d->out, LAB_DRILL_INVALID, "the load gets no access: %s", why.text);
        return false;
    }
    config.trust = d->access.trust;
    config.user = d->access.password[0] == '\0' ? NULL : LAB_DRILL_USER;
    config.password = d->access.password;
    if (lab_addrs_parse(&config.addrs, addresses) != TS_OK) {
        lab_drill_find(d->out, LAB_DRILL_INVALID,
                       "the load speaks IPv4 only, and %s is at %s: give it such a path first",
                       d->config->cluster->groups[d->group].name, addresses);
        return false;
    }
    if (lab_load_start(&d->load, &config) != TS_OK) {
        lab_drill_find(d->out, LAB_DRILL_INVALID, "no thread can be made for the load");
        return false;
    }
    if (!lab_load_wait_acks(d->load, FIRST_ANSWERS, FIRST_ANSWERS_MS)) {
        lab_drill_find(d->out, LAB_DRILL_INVALID, "clients get no answers before the first fault");
        return false;
    }
    lab_drill_say(d, LAB_DRILL_EVENT_STEP, "%u clients %s at %s%s%s, every answer is checked",
                  config.clients, drill->lease_ms > 0 ? "take leases" : "write and read", addresses,
                  config.trust != NULL ? ", with TLS" : "",
                  config.user != NULL ? ", with a password" : "");
    return true;
}

static void write_history(struct lab_drilling *d)
{
    const char *file = d->config->history;
    FILE *out = file == NULL ? NULL : fopen(file, "we");
    bool good = out != NULL && lab_load_write_history(d->load, out) == TS_OK;
    good = out != NULL && fclose(out) == 0 && good;
    if (file != NULL && !good) {
        lab_drill_find(d->out, LAB_DRILL_INVALID, "the history cannot be written to %s", file);
    }
}

static void end_load(struct lab_drilling *d)
{
    if (d->load == NULL) {
        return;
    }
    lab_load_stop(d->load);
    d->out->judged = true; /* as far as that goes */
    if (lab_load_reconcile(d->load, READ_BACK_MS, &d->out->answers) != TS_OK) {
        lab_drill_find(d->out, LAB_DRILL_FAILED, "the data could not be read back within %d s",
                       READ_BACK_MS / 1000);
    }
    write_history(d);
    lab_drill_count_answers(lab_load_history(d->load), d->out);
    lab_load_free(d->load);
    d->load = NULL;
}

/* ---- the whole ---- */

/* By the recorders: a look every few milliseconds may miss an epoch. */
static void count_primaries(struct lab_drilling *d)
{
    struct lab_primaries p = {0};
    struct ts_why why = {{0}};
    if (lab_primaries_read(&p, d->config->run->run, d->out->begin_ns, &why) != TS_OK) {
        lab_drill_find(d->out, LAB_DRILL_INVALID, "%s", why.text);
    }
    d->out->primary_epochs = p.begun;
    d->out->two_primaries += p.two;
    if (p.two > 0) {
        lab_drill_find(d->out, LAB_DRILL_BROKEN, "%s", p.first);
    }
    lab_primaries_free(&p);
}

static bool find_group(struct lab_drilling *d)
{
    const struct lab_drill *drill = d->config->drill;
    const struct cfg_cluster *c = d->config->cluster;
    const struct cfg_group *g =
        drill->group[0] == '\0' ? &c->groups[0] : cfg_cluster_group_by_name(c, drill->group);
    if (g == NULL) {
        lab_drill_find(d->out, LAB_DRILL_INVALID, "the topology has no group %s", drill->group);
        return false;
    }
    d->group = (size_t)(g - c->groups);
    return true;
}

void lab_drill_run(const struct lab_drill_config *config, struct lab_drill_result *out)
{
    const struct lab_drill *drill = config->drill;
    struct lab_drilling d = {.config = config, .out = out, .primary = -1, .primary_before = -1};
    *out = (struct lab_drill_result){.begin_ns = lab_now_ns()};
    d.view = lab_view_make(config->cluster);
    struct lab_stall *stall = lab_stall_start();
    bool good = find_group(&d) && begin_load(&d);
    for (size_t i = 0; i < drill->step_count && good; i++) {
        good = carry_out(&d, &drill->steps[i]);
    }
    good = good && wait_out(&d);
    if (is_interrupted(&d)) {
        lab_drill_find(out, LAB_DRILL_INVALID, "it was interrupted");
    }
    if (d.load != NULL) {
        look(&d);
        read_phases(&d);
    }
    (void)lab_drill_heal(&d, 0, true);
    end_load(&d);
    lab_drill_access_end(&d);
    out->end_ns = lab_now_ns();
    out->stall_ns = lab_stall_stop(stall);
    count_primaries(&d);
    lab_drill_judge(&d);
    lab_view_free(d.view);
}
