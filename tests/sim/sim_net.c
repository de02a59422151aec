/* The network: one ordered session between the replicas, unordered messages to voters. A cut
 * holds back what TCP would repeat; a break loses what was under way. */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "tests/sim/sim.h"

static uint64_t delay(struct sim *s)
{
    return sim_chance(s, 5) ? sim_rand(s, 1, 40) * SIM_MS : sim_rand(s, 50, 800) * 1000;
}

static uint8_t *copy2(struct ts_bytes a, struct ts_bytes b, size_t *len)
{
    *len = a.len + b.len;
    uint8_t *bytes = malloc(*len == 0 ? 1 : *len);
    ts_assert(bytes != NULL);
    if (a.len > 0) {
        memcpy(bytes, a.data, a.len);
    }
    if (b.len > 0) {
        memcpy(bytes + a.len, b.data, b.len);
    }
    return bytes;
}

void sim_net_send(struct sim *s, int from, int to, uint8_t type, struct ts_bytes head,
                  struct ts_bytes body)
{
    struct sim_session *ss = &s->session;
    sim_note(s, from, "sends %s (%zu bytes) to %d%s", repl_msg_name(type), head.len + body.len, to,
             ss->up ? "" : ": lost");
    if (!ss->up) {
        return;
    }
    uint64_t *last = &ss->last_at[from - 1];
    uint64_t at = s->now + delay(s);
    if (s->cut[from][to]) {
        at += 100 * SIM_MS * sim_rand(s, 1, 20); /* repeated by TCP until the cut heals */
    }
    *last = at > *last ? at : *last;
    struct sim_event ev = {.kind = SIM_EV_REPL_MSG,
                           .at = *last,
                           .node = to,
                           .life = s->replica[to].life,
                           .peer = from,
                           .session = ss->id,
                           .type = type};
    ev.bytes = copy2(head, body, &ev.len);
    sim_push(s, ev);
}

static void register_message(struct sim *s, struct sim_event ev, int a, int b,
                             const struct reg_msg *msg)
{
    uint8_t bytes[REG_MSG_PAYLOAD_MAX];
    struct ts_writer w = ts_writer_init(bytes, sizeof(bytes));
    reg_msg_encode(msg, &w);
    ts_assert(!w.failed);
    int copies = s->cut[a][b] || sim_chance(s, 2) ? 0 : 1;
    copies += copies == 1 && sim_chance(s, 3) ? 1 : 0;
    for (int i = 0; i < copies; i++) {
        ev.at = s->now + delay(s) + (sim_chance(s, 2) ? 300 * SIM_MS : 0);
        ev.type = (uint8_t)msg->type;
        ev.bytes = copy2((struct ts_bytes){bytes, w.len}, (struct ts_bytes){NULL, 0}, &ev.len);
        sim_push(s, ev);
    }
}

void sim_net_to_voter(struct sim *s, int from, int voter, const struct reg_msg *msg)
{
    struct sim_event ev = {.kind = SIM_EV_TO_VOTER,
                           .node = voter,
                           .life = s->voter[voter].life,
                           .peer = from,
                           .a = s->replica[from].life};
    register_message(s, ev, from, voter, msg);
}

void sim_net_to_proposer(struct sim *s, int voter, int to, uint64_t life, const struct reg_msg *msg)
{
    struct sim_event ev = {.kind = SIM_EV_TO_PROPOSER, .node = to, .life = life, .peer = voter};
    register_message(s, ev, voter, to, msg);
}

void sim_net_connect(struct sim *s)
{
    if (s->session.up || !s->replica[1].running || !s->replica[2].running || s->cut[1][2]) {
        return;
    }
    s->session = (struct sim_session){.id = ++s->sessions, .up = true};
    for (int n = 1; n <= SIM_NICS; n++) {
        int peer = n == 1 ? 2 : 1;
        uint64_t at = s->now + delay(s);
        s->session.last_at[peer - 1] = at; /* nothing of the peer arrives before the link is up */
        sim_push(s, (struct sim_event){.kind = SIM_EV_LINK_UP,
                                       .at = at,
                                       .node = n,
                                       .life = s->replica[n].life,
                                       .peer = peer,
                                       .session = s->session.id});
    }
    sim_note(s, 0, "session %llu", (unsigned long long)s->session.id);
}

void sim_net_break(struct sim *s, const char *why)
{
    if (!s->session.up) {
        return;
    }
    sim_note(s, 0, "session %llu breaks: %s", (unsigned long long)s->session.id, why);
    s->session.up = false;
    for (int n = 1; n <= SIM_NICS; n++) {
        if (s->replica[n].running) {
            sim_push(s, (struct sim_event){.kind = SIM_EV_LINK_DOWN,
                                           .at = s->now + delay(s),
                                           .node = n,
                                           .life = s->replica[n].life,
                                           .peer = n == 1 ? 2 : 1,
                                           .session = s->session.id});
        }
    }
}

void sim_net_cut(struct sim *s, int a, int b)
{
    bool one_way = sim_chance(s, 30);
    s->cut[a][b] = true;
    s->cut[b][a] = !one_way;
    sim_note(s, 0, "cut %d -> %d%s", a, b, one_way ? "" : " and back");
    if (a <= SIM_NICS && b <= SIM_NICS) {
        for (int n = 1; n <= SIM_NICS; n++) {
            sim_push(s, (struct sim_event){.kind = SIM_EV_EVIDENCE,
                                           .at = s->now + 100 * SIM_MS,
                                           .node = n,
                                           .life = s->replica[n].life,
                                           .peer = n == 1 ? 2 : 1,
                                           .a = REPL_EVIDENCE_SILENT});
        }
        if (sim_chance(s, 50)) {
            sim_net_break(s, "cut");
        }
    }
}

void sim_net_heal(struct sim *s)
{
    memset(s->cut, 0, sizeof(s->cut));
    sim_note(s, 0, "network heals");
    sim_net_connect(s);
}

void sim_net_watch(struct sim *s)
{
    sim_net_connect(s);
    bool heard = s->session.up && !s->cut[1][2] && !s->cut[2][1];
    for (int n = 1; n <= SIM_NICS && heard; n++) {
        int peer = n == 1 ? 2 : 1;
        if (s->replica[n].running && s->replica[peer].paused_until <= s->now) {
            sim_push(s, (struct sim_event){.kind = SIM_EV_EVIDENCE,
                                           .at = s->now,
                                           .node = n,
                                           .life = s->replica[n].life,
                                           .peer = peer});
        }
    }
    sim_push(s, (struct sim_event){.kind = SIM_EV_WATCH, .at = s->now + 40 * SIM_MS});
}
