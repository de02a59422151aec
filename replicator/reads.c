/* Linearizable reads without a log entry (R2.9): a round, begun after the read arrived, in
 * which every member of the required set confirms that it is unsealed in this epoch. One
 * round runs at a time; what arrives meanwhile shares the next. */
#include "base/assert.h"
#include "replicator/state.h"

void repl_reads_on_read(struct repl *c, uint64_t token, struct repl_effects *fx)
{
    (void)fx;
    if (c->role != REPL_ROLE_PRIMARY || !c->active || c->blocked) {
        return;
    }
    ts_assert(token > c->read_token);
    if (c->read_ready == c->read_token && ts_seq_eq(c->committed.seq, repl_log_tail(&c->log).seq)) {
        c->progress_at = c->now;
    }
    c->read_token = token;
}

void repl_reads_on_confirmed(struct repl *c, struct repl_peer *p,
                             const struct repl_msg_confirmed *m, struct repl_effects *fx)
{
    (void)fx;
    if (!ts_epoch_eq(m->epoch, c->config.epoch) || !ts_instance_eq(m->asker, c->o.instance) ||
        !ts_instance_eq(m->instance, p->instance) ||
        !ts_incarnation_eq(m->incarnation, p->incarnation)) {
        return;
    }
    if (m->round == c->round) {
        p->confirmed_round = m->round;
    }
}

/* Asks every member of `mask` that the running round has not asked yet. */
static void ask(struct repl *c, uint64_t mask, struct repl_effects *fx)
{
    for (size_t i = 0; i < TS_MEMBERS_MAX; i++) {
        struct repl_peer *p = &c->peers[i];
        uint64_t bit = 1ULL << p->nic.v;
        if (!p->used || !p->connected || (mask & bit) == 0 || (c->round_asked & bit) != 0) {
            continue;
        }
        struct repl_msg_confirm m = {
            .epoch = c->config.epoch,
            .instance = c->o.instance,
            .round = c->round,
        };
        struct ts_writer w = repl_head(fx);
        repl_msg_confirm_encode(&m, &w);
        repl_send(c, fx, p->nic, REPL_MSG_CONFIRM, &w, (struct ts_bytes){NULL, 0});
        c->round_asked |= bit;
    }
}

static bool all_confirmed(const struct repl *c, uint64_t mask)
{
    for (size_t i = 0; i < TS_MEMBERS_MAX; i++) {
        const struct repl_peer *p = &c->peers[i];
        if (p->used && (mask & (1ULL << p->nic.v)) != 0 && p->confirmed_round == c->round &&
            repl_is_required_disk(c, p)) {
            mask &= ~(1ULL << p->nic.v);
        }
    }
    return mask == 0;
}

/* Everybody required is with us: what waited may be answered, a blocked primary serves again. */
static void round_done(struct repl *c, uint64_t token, struct repl_effects *fx)
{
    c->round_running = false;
    c->progress_at = c->now;
    if (token != c->read_ready) {
        c->read_ready = token;
        repl_fx(fx, REPL_EF_READS_READY)->u.read_token = token;
    }
    if (c->blocked && ts_seq_eq(c->committed.seq, repl_log_tail(&c->log).seq)) {
        c->blocked = false;
        repl_alarm(c, REPORT_ALARM_BLOCKED, false);
        repl_set_role(c, fx, REPL_ROLE_PRIMARY, REPL_WHY_NONE);
    }
}

void repl_reads_advance(struct repl *c, struct repl_effects *fx)
{
    if (c->role != REPL_ROLE_PRIMARY || !c->active) {
        return;
    }
    uint64_t others = repl_required_mask(c) & ~(1ULL << c->o.self.v);
    /* At most two turns: a round that ends, and the next one that begins. */
    for (int turn = 0; turn < 2; turn++) {
        /* A blocked primary asks as well, once nothing else is missing: until then each answer
         * would only bring the next question. */
        bool unblocks = c->blocked && ts_seq_eq(c->committed.seq, repl_log_tail(&c->log).seq);
        if (!unblocks && c->read_ready == c->read_token) {
            return;
        }
        if (others == 0) {
            round_done(c, c->read_token, fx); /* at once when the required set is {self} */
            return;
        }
        if (!c->round_running || !ts_epoch_eq(c->round_epoch, c->config.epoch)) {
            c->round++;
            c->round_running = true;
            c->round_epoch = c->config.epoch;
            c->round_asked = 0;
            c->read_round_token = c->read_token;
        }
        ask(c, others, fx);
        if (!all_confirmed(c, others)) {
            return;
        }
        round_done(c, c->read_round_token, fx);
    }
}
