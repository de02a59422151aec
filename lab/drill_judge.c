#include <inttypes.h>
#include <string.h>

#include "lab/drill_run.h"

static bool is_among(const char list[][LAB_DRILL_ALARM_MAX], size_t count, const char *code)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(list[i], code) == 0) {
            return true;
        }
    }
    return false;
}

static void judge_alarms(const struct lab_drill *drill, struct lab_drill_result *r)
{
    for (size_t i = 0; i < drill->alarm_count; i++) {
        if (!is_among((const char(*)[LAB_DRILL_ALARM_MAX])r->codes, r->code_count,
                      drill->alarms[i])) {
            lab_drill_find(r, LAB_DRILL_FAILED, "the alarm %s was not raised", drill->alarms[i]);
        }
    }
    for (size_t i = 0; i < r->code_count; i++) {
        if (!is_among(drill->alarms, drill->alarm_count, r->codes[i]) &&
            !is_among(drill->allowed, drill->allowed_count, r->codes[i])) {
            lab_drill_find(r, LAB_DRILL_FAILED, "the alarm %s was raised, which nothing explains",
                           r->codes[i]);
        }
    }
}

void lab_drill_judge(struct lab_drilling *d)
{
    const struct lab_drill *drill = d->config->drill;
    struct lab_drill_result *r = d->out;
    if (r->judged && !lab_verdict_ok(&r->answers)) {
        lab_drill_find(r, LAB_DRILL_BROKEN, "%s",
                       r->answers.finding_count > 0 ? r->answers.findings[0]
                                                    : "answers contradict each other");
    }
    for (size_t i = 0; i < r->strike_count && drill->outage_ms > 0; i++) {
        if (r->strikes[i].gap_ns > drill->outage_ms * TS_NS_PER_MS) {
            lab_drill_find(r, LAB_DRILL_FAILED,
                           "nobody was answered for %.1f ms after %s: more "
                           "than %" PRIu32 " ms",
                           (double)r->strikes[i].gap_ns / 1e6, r->strikes[i].what,
                           drill->outage_ms);
        }
    }
    if (drill->counts_takeovers && r->takeovers != drill->takeovers) {
        lab_drill_find(r, LAB_DRILL_FAILED,
                       "the primary changed %" PRIu64 " times, and %" PRIu32 " were expected",
                       r->takeovers, drill->takeovers);
    }
    judge_alarms(drill, r);
    uint64_t timeout = d->config->cluster->timing.failure_timeout;
    r->stalled = r->verdict == LAB_DRILL_FAILED && r->stall_ns >= timeout / 2;
    if (r->stalled) {
        lab_drill_find(r, LAB_DRILL_INVALID,
                       "this machine held up what was to run on it for %.0f ms, at a "
                       "failure-timeout of %.0f ms: run it again when it has less to do",
                       (double)r->stall_ns / 1e6, (double)timeout / 1e6);
    }
}
