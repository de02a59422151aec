/* The state of a pair, put together from what each node's cluster-cfgd says. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "lab/clock.h"
#include "lab/pair.h"
#include "lab/view.h"

#define POLL_MS 10

void lab_pair_state(const struct lab_pair *p, struct lab_state *s)
{
    struct lab_view *v = lab_view_make(&p->cluster);
    lab_view_read(v, &p->cluster, &p->run);
    *s = (struct lab_state){.nodes_answering = (unsigned)v->answering,
                            .alarm_count = v->alarm_count};
    for (size_t i = 0; i < LAB_NICS; i++) {
        s->replica[i] = *lab_view_of(v, 0, i); /* its only group */
    }
    for (size_t i = 0; i < v->alarm_count && i < LAB_STATE_ALARMS_MAX; i++) {
        const struct lab_view_alarm *a = &v->alarms[i];
        (void)snprintf(s->alarms[i], sizeof s->alarms[0], "%s: %s: %s", a->node, a->code, a->text);
    }
    memcpy(s->crash, v->crash, sizeof(s->crash));
    lab_view_free(v);
}

int lab_state_primary(const struct lab_state *s)
{
    int best = -1;
    for (int i = 0; i < LAB_NICS; i++) {
        const struct lab_view_replica *r = &s->replica[i];
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
    const struct lab_view_replica *p = &s->replica[primary];
    const struct lab_view_replica *other = &s->replica[LAB_NICS - 1 - primary];
    return p->in_sync == p->members && p->required == p->members && other->known &&
           other->role == REPORT_ROLE_SECONDARY && other->epoch == p->epoch;
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
        const struct lab_view_replica *r = &s->replica[i];
        int n = snprintf(out + len, cap - len,
                         "%s%s: %s epoch %" PRIu64 " in-sync %" PRIx64 " required %" PRIx64
                         " applied %" PRIu64 "%s%s",
                         i > 0 ? "; " : "", lab_pair_node(p, i), r->known ? roles[r->role] : "?",
                         r->epoch, r->in_sync, r->required, r->applied,
                         r->why[0] == '\0' ? "" : ", ", r->why);
        len += n > 0 ? (size_t)n : 0;
    }
    for (size_t i = 0; i < s->alarm_count && i < LAB_STATE_ALARMS_MAX && len < cap; i++) {
        int n = snprintf(out + len, cap - len, "; alarm %s", s->alarms[i]);
        len += n > 0 ? (size_t)n : 0;
    }
}
