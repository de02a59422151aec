#include "daemon/replica_evidence.h"

void replica_evidence_init(struct replica_evidence *e, const struct cfg_timing *timing,
                           struct ts_mono now)
{
    *e = (struct replica_evidence){.verdict = HB_ALIVE};
    hb_detector_init(&e->detector, timing->failure_timeout, timing->heartbeat_interval, now);
}

void replica_evidence_link_up(struct replica_evidence *e, struct ts_mono now)
{
    (void)hb_detector_heard(&e->detector, now);
    e->verdict = HB_ALIVE;
}

bool replica_evidence_look(struct replica_evidence *e, struct ts_mono heard, struct ts_mono read_to,
                           enum repl_evidence *out, uint64_t *stall_ns)
{
    if (ts_mono_lt(e->heard, heard)) {
        e->heard = heard;
        (void)hb_detector_heard(&e->detector, heard);
    }
    *stall_ns = hb_detector_tick(&e->detector, read_to);
    enum hb_verdict verdict = hb_detector_verdict(&e->detector);
    if (verdict == e->verdict) {
        return false;
    }
    e->verdict = verdict;
    *out = verdict == HB_SILENT ? REPL_EVIDENCE_SILENT : REPL_EVIDENCE_NONE;
    return true;
}

bool replica_evidence_word(struct replica_evidence *e, const struct report_peer *report,
                           struct ts_group_id group, bool up, enum repl_evidence *out)
{
    uint64_t bit = 1ULL << group.v;
    if ((report->replica_known_mask & bit) == 0) {
        return false;
    }
    bool running = (report->replica_running_mask & bit) != 0;
    uint8_t starts = report->replica_starts[group.v];
    bool changed = false;
    /* The change counts, not the state: a repeat of the old word must not speak against a
     * process that has come back meanwhile (R4.3). The count tells of an exit whose word was lost.
     */
    if (e->running_known && ((e->running && !running) || (e->starts != starts && !up))) {
        e->exited_told = true;
        *out = REPL_EVIDENCE_EXITED;
        changed = true;
    } else if (e->exited_told && running && up) {
        e->exited_told = false; /* the word came after the process had come back */
        *out = REPL_EVIDENCE_NONE;
        changed = true;
    }
    e->running_known = true;
    e->starts = starts;
    e->running = running;
    return changed;
}

struct repl_event replica_evidence_event(struct ts_nic_id peer, enum repl_evidence kind)
{
    struct repl_event ev = {.kind = REPL_EV_EVIDENCE, .peer = peer};
    if (kind == REPL_EVIDENCE_NONE) {
        ev.kind = REPL_EV_EVIDENCE_CLEAR;
    }
    ev.u.evidence = kind;
    return ev;
}
