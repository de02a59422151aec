#include "cluster-cfg/start.h"

#include "base/assert.h"

static unsigned majority(const struct start *s)
{
    return s->cfg.voters / 2U + 1;
}

static uint8_t bit(uint8_t voter)
{
    return (uint8_t)(1U << voter);
}

static uint8_t all_mask(const struct start *s)
{
    return (uint8_t)((1U << s->cfg.voters) - 1);
}

unsigned start_confirmed(const struct start *s)
{
    unsigned n = 0;
    for (uint8_t v = 0; v < s->cfg.voters; v++) {
        n += (s->confirmed_mask & bit(v)) != 0;
    }
    return n;
}

bool start_counts(const struct start *s, const struct cfg_voters *voters)
{
    unsigned n = 0;
    for (uint8_t v = 0; v < s->cfg.voters; v++) {
        n += (s->confirmed_mask & bit(v)) != 0 && cfg_voters_count(voters, v, s->disk[v]);
    }
    return n >= majority(s);
}

void start_init(struct start *s, const struct start_config *cfg)
{
    ts_assert(cfg->voters >= 1 && cfg->voters <= TS_VOTERS_MAX);
    ts_assert(cfg->self < cfg->voters || cfg->self == START_NO_SELF);
    ts_assert(cfg->start.start >= 1 && cfg->start.incarnation.v != 0);
    ts_assert(cfg->start.instance.v != 0 && cfg->retry_ns > 0);
    *s = (struct start){.cfg = *cfg, .retry_ns = cfg->retry_ns, .retry_at = TS_MONO_NEVER};
}

static struct start_effect *add_effect(struct start_effects *fx, enum start_effect_kind kind)
{
    ts_assert(fx->count < START_EFFECTS_MAX);
    struct start_effect *e = &fx->e[fx->count++];
    e->kind = kind;
    return e;
}

static void trace(const struct start_event *ev, struct start_effects *fx, enum ts_trace_kind kind,
                  uint64_t a, uint64_t b)
{
    add_effect(fx, START_EFFECT_TRACE)->trace =
        (struct ts_trace){.kind = kind, .at = ev->now, .a = a, .b = b};
}

static void send(const struct start *s, struct start_effects *fx, uint8_t voter)
{
    uint8_t bits = bit(voter);
    if ((s->up_mask & bits) == 0 || (s->confirmed_mask & bits) != 0 || voter == s->cfg.self) {
        return;
    }
    struct start_effect *e = add_effect(fx, START_EFFECT_SEND);
    e->voter = voter;
    e->msg = (struct reg_msg){.type = REG_MSG_START, .start = s->cfg.start};
}

static void send_all(const struct start *s, struct start_effects *fx)
{
    for (uint8_t v = 0; v < s->cfg.voters; v++) {
        send(s, fx, v);
    }
}

static void confirm(struct start *s, const struct start_event *ev, struct start_effects *fx,
                    uint8_t voter)
{
    s->confirmed_mask |= bit(voter);
    if (s->confirmed_mask == all_mask(s)) {
        s->retry_at = TS_MONO_NEVER;
    }
    if (s->state == START_WAITING && start_confirmed(s) >= majority(s)) {
        s->state = START_REGISTERED;
        add_effect(fx, START_EFFECT_REGISTERED);
        trace(ev, fx, TS_TRACE_START_REGISTERED, s->cfg.start.start, 0);
    }
}

static void on_begin(struct start *s, const struct start_event *ev, struct start_effects *fx)
{
    s->retry_at = ts_mono_add(ev->now, s->retry_ns);
    send_all(s, fx);
    if (s->cfg.self != START_NO_SELF) {
        confirm(s, ev, fx, s->cfg.self);
    }
}

static void on_message(struct start *s, const struct start_event *ev, struct start_effects *fx)
{
    const struct reg_msg *m = ev->msg;
    if (m->type == REG_MSG_START_OK && reg_start_eq(&m->start_ok, &s->cfg.start)) {
        confirm(s, ev, fx, ev->voter);
        return;
    }
    if (m->type == REG_MSG_START_REFUSED && reg_start_eq(&m->refused.asked, &s->cfg.start)) {
        s->state = START_CLONE;
        s->retry_at = TS_MONO_NEVER;
        struct start_effect *e = add_effect(fx, START_EFFECT_CLONE);
        e->voter = ev->voter;
        e->msg = *m;
        trace(ev, fx, TS_TRACE_ALARM_CLONE, s->cfg.start.start, m->refused.registered_start);
    }
}

static void on_tick(struct start *s, const struct start_event *ev, struct start_effects *fx)
{
    if (ts_mono_lt(ev->now, s->retry_at)) {
        return;
    }
    uint64_t max = s->cfg.retry_ns * START_RETRY_FACTOR_MAX;
    s->retry_ns = s->retry_ns * 2 < max ? s->retry_ns * 2 : max;
    s->retry_at = ts_mono_add(ev->now, s->retry_ns);
    send_all(s, fx);
}

static void on_voter_up(struct start *s, const struct start_event *ev, struct start_effects *fx)
{
    uint8_t bits = bit(ev->voter);
    if (!ts_incarnation_eq(s->disk[ev->voter], ev->disk)) {
        bool confirmed = (s->confirmed_mask & bits) != 0 && ev->voter != s->cfg.self;
        s->disk[ev->voter] = ev->disk;
        if (confirmed) { /* the former disk's word */
            s->confirmed_mask = (uint8_t)(s->confirmed_mask & ~bits);
            s->retry_at = ts_mono_add(ev->now, s->retry_ns);
        }
    }
    s->up_mask |= bits;
    send(s, fx, ev->voter);
}

void start_step(struct start *s, const struct start_event *ev, struct start_effects *fx)
{
    fx->count = 0;
    if (s->state == START_CLONE) {
        return;
    }
    switch (ev->kind) {
    case START_EVENT_BEGIN:
        on_begin(s, ev, fx);
        return;
    case START_EVENT_VOTER_UP:
        ts_assert(ev->voter < s->cfg.voters);
        on_voter_up(s, ev, fx);
        return;
    case START_EVENT_VOTER_DOWN:
        ts_assert(ev->voter < s->cfg.voters);
        s->up_mask = (uint8_t)(s->up_mask & ~bit(ev->voter));
        return;
    case START_EVENT_MESSAGE:
        ts_assert(ev->voter < s->cfg.voters);
        on_message(s, ev, fx);
        return;
    case START_EVENT_TICK:
        on_tick(s, ev, fx);
        return;
    }
    ts_unreachable();
}

struct ts_mono start_deadline(const struct start *s)
{
    return s->retry_at;
}

void start_check_invariants(const struct start *s)
{
    ts_assert((s->confirmed_mask & ~all_mask(s)) == 0);
    ts_assert((s->up_mask & ~all_mask(s)) == 0);
    ts_assert(s->state != START_WAITING || start_confirmed(s) < majority(s));
    ts_assert(s->retry_ns <= s->cfg.retry_ns * START_RETRY_FACTOR_MAX);
}
