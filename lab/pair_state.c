/* The state of a pair, put together from what each node's cluster-cfgd says. */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base/assert.h"
#include "base/exit.h"
#include "cluster-cfg/io/admin_client.h"
#include "lab/clock.h"
#include "lab/pair.h"

#define ASK_MS 500
#define POLL_MS 10

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text == NULL ? "" : text;
}

static uint64_t number_of(const json_t *object, const char *key)
{
    return (uint64_t)json_integer_value(json_object_get(object, key));
}

static uint64_t mask_of(const struct lab_pair *p, const json_t *names)
{
    uint64_t mask = 0;
    size_t i;
    json_t *name;
    json_array_foreach(names, i, name)
    {
        const char *text = json_string_value(name);
        const struct cfg_node *node =
            text == NULL ? NULL : cfg_cluster_node_by_name(&p->cluster, text);
        mask |= node == NULL ? 0 : 1ULL << node->id.v;
    }
    return mask;
}

/* False for "down" and roles of later versions. */
static bool role_of(const char *text, enum report_role *out)
{
    static const char *const names[] = {
        [REPORT_ROLE_STARTING] = "starting",       [REPORT_ROLE_PRIMARY] = "primary",
        [REPORT_ROLE_TAKING_OVER] = "taking over", [REPORT_ROLE_SECONDARY] = "secondary",
        [REPORT_ROLE_LEARNER] = "learner",         [REPORT_ROLE_HALTED] = "halted",
    };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(names[i], text) == 0) {
            *out = (enum report_role)i;
            return true;
        }
    }
    return false;
}

static void read_group(const struct lab_pair *p, const json_t *group, struct lab_replica *r)
{
    const struct cfg_node *primary =
        cfg_cluster_node_by_name(&p->cluster, text_of(group, "primary"));
    r->known = role_of(text_of(group, "role"), &r->role);
    r->instance = strtoull(text_of(group, "instance"), NULL, 16);
    r->epoch = number_of(group, "epoch");
    r->in_sync_mask = mask_of(p, json_object_get(group, "in_sync"));
    r->members_mask = mask_of(p, json_object_get(group, "members"));
    r->required_mask = mask_of(p, json_object_get(group, "required"));
    r->primary = primary == NULL ? 0 : primary->id.v;
    r->applied = number_of(group, "applied");
    r->rejected = number_of(group, "rejected");
    snprintf(r->why, sizeof r->why, "%s", text_of(group, "why"));
}

static void read_alarms(const json_t *reply, struct lab_state *s)
{
    size_t i;
    json_t *alarm;
    json_array_foreach(json_object_get(reply, "alarms"), i, alarm)
    {
        if (s->alarm_count < LAB_STATE_ALARMS_MAX) {
            snprintf(s->alarms[s->alarm_count], sizeof s->alarms[0], "%s: %s: %s",
                     text_of(reply, "node"), text_of(alarm, "code"), text_of(alarm, "text"));
        }
        s->alarm_count++;
    }
}

/* Signals that a program raises against itself; the lab sends others. */
static bool is_crash(int64_t status)
{
    return status == -SIGABRT || status == -SIGSEGV || status == -SIGBUS || status == -SIGILL ||
           status == -SIGFPE;
}

static void read_refusal(const json_t *process, struct lab_replica *r)
{
    if (strcmp(text_of(process, "group"), LAB_PAIR_GROUP) == 0) {
        r->refused = !json_is_true(json_object_get(process, "running")) &&
                     number_of(process, "last_status") == TS_EXIT_CONFIG;
    }
}

static void read_crashes(const json_t *reply, struct lab_state *s)
{
    size_t i;
    json_t *process;
    json_array_foreach(json_object_get(reply, "processes"), i, process)
    {
        int64_t status = json_integer_value(json_object_get(process, "last_status"));
        if (is_crash(status)) {
            snprintf(s->crash, sizeof s->crash, "%s of %s ended by signal %d: see its log",
                     text_of(process, "program"), text_of(reply, "node"), (int)-status);
        }
    }
}

static void read_node(const struct lab_pair *p, unsigned index, const json_t *reply,
                      struct lab_state *s)
{
    size_t i;
    json_t *each;
    s->nodes_answering++;
    read_alarms(reply, s);
    read_crashes(reply, s);
    if (index >= LAB_NICS) {
        return;
    }
    json_array_foreach(json_object_get(reply, "processes"), i, each)
    {
        read_refusal(each, &s->replica[index]);
    }
    json_array_foreach(json_object_get(reply, "groups"), i, each)
    {
        if (strcmp(text_of(each, "group"), LAB_PAIR_GROUP) == 0) {
            read_group(p, each, &s->replica[index]);
        }
    }
}

void lab_pair_state(const struct lab_pair *p, struct lab_state *s)
{
    *s = (struct lab_state){0};
    for (unsigned i = 0; i < LAB_NODES; i++) {
        char dir[TS_PATH_MAX];
        json_t *reply = NULL;
        const char *name = lab_pair_node(p, i);
        /* A frozen or dead node would cost the whole wait for its answer. */
        struct nodes_proc cfgd;
        if (!nodes_find(&p->run, name, "cluster-cfgd", NULL, &cfgd) || cfgd.stopped ||
            ts_path(dir, NULL, p->run.run, "%s", name) != TS_OK ||
            admin_client_get(dir, "status", ASK_MS, &reply, NULL) != TS_OK) {
            continue;
        }
        read_node(p, i, reply, s);
        json_decref(reply);
    }
}

int lab_state_primary(const struct lab_state *s)
{
    int best = -1;
    for (int i = 0; i < LAB_NICS; i++) {
        const struct lab_replica *r = &s->replica[i];
        if (r->known && r->role == REPORT_ROLE_PRIMARY &&
            (best < 0 || r->epoch > s->replica[best].epoch)) {
            best = i;
        }
    }
    return best;
}

uint64_t lab_state_epoch(const struct lab_state *s)
{
    uint64_t epoch = 0;
    for (unsigned i = 0; i < LAB_NICS; i++) {
        epoch = s->replica[i].epoch > epoch ? s->replica[i].epoch : epoch;
    }
    return epoch;
}

bool lab_state_has_alarm(const struct lab_state *s, const char *code)
{
    char mark[64];
    snprintf(mark, sizeof mark, ": %s: ", code);
    for (size_t i = 0; i < s->alarm_count && i < LAB_STATE_ALARMS_MAX; i++) {
        if (strstr(s->alarms[i], mark) != NULL) {
            return true;
        }
    }
    return false;
}

static size_t alarms_but(const struct lab_state *s, const char *code)
{
    size_t count = s->alarm_count;
    for (size_t i = 0; code != NULL && i < s->alarm_count && i < LAB_STATE_ALARMS_MAX; i++) {
        const char *of = strstr(s->alarms[i], ": ");
        count -= of != NULL && strncmp(of + 2, code, strlen(code)) == 0;
    }
    return count;
}

bool lab_state_redundant(const struct lab_state *s)
{
    return lab_state_redundant_but(s, NULL);
}

bool lab_state_redundant_but(const struct lab_state *s, const char *code)
{
    int primary = lab_state_primary(s);
    if (primary < 0 || s->nodes_answering < LAB_NODES || alarms_but(s, code) > 0) {
        return false;
    }
    const struct lab_replica *p = &s->replica[primary];
    const struct lab_replica *other = &s->replica[LAB_NICS - 1 - primary];
    return p->in_sync_mask == p->members_mask && p->required_mask == p->members_mask &&
           other->known && other->role == REPORT_ROLE_SECONDARY && other->epoch == p->epoch;
}

bool lab_pair_wait_redundant(const struct lab_pair *p, unsigned timeout_ms, struct lab_state *s)
{
    uint64_t end = lab_now_ns() + timeout_ms * TS_NS_PER_MS;
    for (;;) {
        lab_pair_state(p, s);
        if (lab_state_redundant(s)) {
            return true;
        }
        if (lab_now_ns() > end) {
            return false;
        }
        lab_pause_ms(POLL_MS);
    }
}

void lab_state_text(const struct lab_pair *p, const struct lab_state *s, char *out, size_t cap)
{
    static const char *const roles[] = {"starting",  "primary", "taking over",
                                        "secondary", "learner", "halted"};
    size_t len = 0;
    for (unsigned i = 0; i < LAB_NICS && len < cap; i++) {
        const struct lab_replica *r = &s->replica[i];
        int n = snprintf(out + len, cap - len,
                         "%s%s: %s epoch %" PRIu64 " in-sync %" PRIx64 " required %" PRIx64
                         " applied %" PRIu64 "%s%s",
                         i > 0 ? "; " : "", lab_pair_node(p, i), r->known ? roles[r->role] : "?",
                         r->epoch, r->in_sync_mask, r->required_mask, r->applied,
                         r->why[0] == '\0' ? "" : ", ", r->why);
        len += n > 0 ? (size_t)n : 0;
    }
    for (size_t i = 0; i < s->alarm_count && i < LAB_STATE_ALARMS_MAX && len < cap; i++) {
        int n = snprintf(out + len, cap - len, "; alarm %s", s->alarms[i]);
        len += n > 0 ? (size_t)n : 0;
    }
}
