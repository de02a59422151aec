#include "replicator/state.h"

#include "base/assert.h"

struct repl_effect *repl_fx(struct repl_effects *fx, enum repl_effect_kind kind)
{
    ts_assert(fx->count < REPL_EFFECTS_MAX);
    struct repl_effect *e = &fx->e[fx->count++];
    *e = (struct repl_effect){.kind = kind};
    return e;
}

void repl_journal_newest(struct repl *c, struct repl_effects *fx)
{
    const struct repl_log_slot *s = repl_log_newest(&c->log);
    struct repl_effect *last = fx->count == 0 ? NULL : &fx->e[fx->count - 1];
    ts_assert(s != NULL);
    if (last == NULL || last->kind != REPL_EF_JOURNAL_APPEND ||
        last->u.append.to.v + 1 != s->first.v) {
        last = repl_fx(fx, REPL_EF_JOURNAL_APPEND);
        last->u.append.from.v = s->first.v - 1;
        last->u.append.committed = c->committed.seq;
    }
    last->u.append.to = s->last;
}

void repl_trace(struct repl *c, struct repl_effects *fx, enum ts_trace_kind kind, struct ts_seq seq,
                uint64_t a, uint64_t b)
{
    struct repl_effect *e = repl_fx(fx, REPL_EF_TRACE);
    e->u.trace = (struct ts_trace){
        .kind = kind,
        .at = c->now,
        .epoch = c->config.epoch,
        .seq = seq,
        .a = a,
        .b = b,
    };
}

void repl_alarm(struct repl *c, enum report_alarm alarm, bool on)
{
    uint64_t bit = 1ULL << alarm;
    c->alarms = on ? c->alarms | bit : c->alarms & ~bit;
}

struct repl_peer *repl_peer(struct repl *c, struct ts_nic_id nic)
{
    for (size_t i = 0; i < TS_MEMBERS_MAX; i++) {
        if (c->peers[i].used && ts_nic_eq(c->peers[i].nic, nic)) {
            return &c->peers[i];
        }
    }
    return NULL;
}

struct repl_peer *repl_peer_or_new(struct repl *c, struct ts_nic_id nic)
{
    struct repl_peer *p = repl_peer(c, nic);
    if (p != NULL || repl_is_self(c, nic) || nic.v == 0 || nic.v > TS_NODES_MAX) {
        return p;
    }
    for (size_t i = 0; i < TS_MEMBERS_MAX; i++) {
        if (!c->peers[i].used) {
            c->peers[i] = (struct repl_peer){
                .used = true, .nic = nic, .disk.patience = c->o.limits.peer_disk_hangs};
            return &c->peers[i];
        }
    }
    return NULL;
}

bool repl_is_self(const struct repl *c, struct ts_nic_id nic)
{
    return ts_nic_eq(c->o.self, nic);
}

struct ts_writer repl_head(struct repl_effects *fx)
{
    ts_assert(REPL_EFFECTS_HEAD_BYTES - fx->head_used >= REPL_MSG_HEAD_MAX);
    return ts_writer_init(fx->heads + fx->head_used, REPL_MSG_HEAD_MAX);
}

void repl_send(struct repl *c, struct repl_effects *fx, struct ts_nic_id to, uint8_t type,
               const struct ts_writer *head, struct ts_bytes body)
{
    ts_assert(!head->failed);
    ts_assert(!repl_is_self(c, to));
    struct repl_effect *e = repl_fx(fx, REPL_EF_SEND);
    e->peer = to;
    e->u.send.type = type;
    e->u.send.head = (struct ts_bytes){head->data, head->len};
    e->u.send.body = body;
    fx->head_used += head->len;
}

bool repl_self_in_sync(const struct repl *c, const struct cfg_config *cfg)
{
    return cfg_set_has(&cfg->in_sync, c->o.self, c->incarnation);
}

uint64_t repl_jitter(struct repl *c, uint64_t base)
{
    ts_assert(base > 0);
    return base + ts_prng_below(&c->prng, base);
}

void repl_set_role(struct repl *c, struct repl_effects *fx, enum repl_role role, enum repl_why why)
{
    if (c->role == REPL_ROLE_HALTED && role != REPL_ROLE_HALTED) {
        return; /* for good: one failed fsync ends trust (R2.11), as a divergence does */
    }
    if (c->role != role || c->why != why) {
        repl_trace(c, fx, TS_TRACE_ROLE, (struct ts_seq){0}, role, why);
    }
    c->role = role;
    c->why = why;
    repl_fx(fx, REPL_EF_ROLE);
}

void repl_halt(struct repl *c, struct repl_effects *fx, enum repl_why why)
{
    c->active = false;
    repl_reg_abandon(c, fx);
    c->takeover = REPL_TAKEOVER_NONE;
    repl_fx(fx, REPL_EF_CLOSE_PENDING);
    repl_set_role(c, fx, REPL_ROLE_HALTED, why);
}
