/* Paths between nodes: what they do to datagrams, to streams and to the links to voters.
 *
 * A path from one node to another has its faults for each direction alone. Datagrams are lost,
 * copied, damaged, overtaken, sent again much later. Register messages travel without order, may
 * be lost, doubled and very late: more than TCP does, and all that a voter and a proposer must
 * stand. Streams (sim_link.c) keep their order; what is cut or lost only makes them late. */
#include <string.h>

#include "base/assert.h"
#include "tests/sim/sim.h"

/* Datagrams that a socket keeps for a process that does not read. */
#define SOCKET_MAX 64

static const struct sim_path *path_of(const struct sim *s, int from, int to, int path)
{
    return &s->net.path[from][to][path];
}

bool sim_net_is_cut(const struct sim *s, int from, int to, int path)
{
    const struct sim_path *p = path_of(s, from, to, path);
    if (s->now >= p->cut_until || from == to) {
        return false;
    }
    return p->flap == 0 || (s->now - p->cut_from) / p->flap % 2 == 0;
}

bool sim_net_path_open(const struct sim *s, int a, int b, int path)
{
    return !sim_net_is_cut(s, a, b, path) && !sim_net_is_cut(s, b, a, path);
}

bool sim_net_any_path_open(const struct sim *s, int a, int b)
{
    for (int p = 0; p < SIM_PATHS; p++) {
        if (sim_net_path_open(s, a, b, p)) {
            return true;
        }
    }
    return false;
}

static bool is_bad(const struct sim *s, const struct sim_path *p)
{
    return s->now < p->bad_until;
}

uint64_t sim_net_delay(struct sim *s, int from, int to, int path, size_t len)
{
    const struct sim_path *p = path_of(s, from, to, path);
    uint64_t typical = from == to ? 20 : s->plan.net_us;
    uint64_t delay = sim_us(s, typical / 2, typical * 2);
    if (sim_chance_pm(s, 5)) {
        delay += sim_us(s, 500, 15000); /* a scheduler, a switch's queue */
    }
    if (is_bad(s, p)) {
        delay += p->delay_more > 0 ? sim_rand(s, 0, p->delay_more) : 0;
        delay += p->bytes_per_ms > 0 ? len * SIM_MS / p->bytes_per_ms : 0;
    }
    return delay;
}

/* ---- datagrams ----------------------------------------------------------------------------- */

static void deliver(struct sim *s, int from, int to, int path, const uint8_t *packet, bool damaged)
{
    struct sim_process *p = &s->node[to].proc[SIM_HEARTBEATD];
    bool waits = p->paused_until > s->now;
    if (waits && p->backlog >= SOCKET_MAX) {
        return;
    }
    p->backlog += waits;
    struct sim_event ev = {.kind = SIM_EV_DATAGRAM,
                           .at = s->now + sim_net_delay(s, from, to, path, HB_DATAGRAM_BYTES),
                           .node = (uint8_t)to,
                           .proc = SIM_HEARTBEATD,
                           .peer = (uint8_t)from,
                           .path = (uint8_t)path,
                           .queued = waits,
                           .len = HB_DATAGRAM_BYTES};
    ev.bytes =
        sim_bytes_copy(s, (struct ts_bytes){packet, HB_DATAGRAM_BYTES}, (struct ts_bytes){NULL, 0});
    if (damaged) {
        uint64_t bit = sim_rand(s, 0, 8 * HB_DATAGRAM_BYTES - 1);
        ev.bytes[bit / 8] = (uint8_t)(ev.bytes[bit / 8] ^ (1U << (bit % 8)));
    }
    sim_push(s, &ev);
}

static void keep(struct sim *s, int from, int to, int path, const uint8_t *packet)
{
    struct sim_kept *k = &s->net.kept[s->net.kept_count++ % SIM_KEPT_MAX];
    memcpy(k->bytes, packet, HB_DATAGRAM_BYTES);
    k->from = (uint8_t)from;
    k->to = (uint8_t)to;
    k->path = (uint8_t)path;
}

static void replay(struct sim *s)
{
    uint64_t n = s->net.kept_count < SIM_KEPT_MAX ? s->net.kept_count : SIM_KEPT_MAX;
    if (n > 0) {
        const struct sim_kept *k = &s->net.kept[sim_rand(s, 0, n - 1)];
        deliver(s, k->from, k->to, k->path, k->bytes, false);
    }
}

void sim_net_datagram(struct sim *s, int from, int to, int path, const uint8_t *bytes)
{
    const struct sim_path *p = path_of(s, from, to, path);
    if ((s->stats.heartbeats & 63) == 0) {
        keep(s, from, to, path, bytes);
    }
    if (sim_net_is_cut(s, from, to, path) || !s->node[to].powered) {
        return;
    }
    if (!is_bad(s, p)) {
        deliver(s, from, to, path, bytes, false);
        return;
    }
    if (sim_chance_pm(s, p->replay_pm)) {
        replay(s);
    }
    for (int copies = sim_chance_pm(s, p->copy_pm) ? 2 : 1; copies > 0; copies--) {
        if (!sim_chance_pm(s, p->loss_pm)) {
            deliver(s, from, to, path, bytes, sim_chance_pm(s, p->damage_pm));
        }
    }
}

/* ---- register messages --------------------------------------------------------------------- */

uint64_t sim_net_handle(int node, enum sim_proc proc, uint64_t life)
{
    return life << 16 | (uint64_t)proc << 8 | (uint64_t)node;
}

/* The path that a link to a voter would use; -1 when none is open. */
static int open_path(const struct sim *s, int a, int b)
{
    for (int p = 0; p < SIM_PATHS; p++) {
        if (sim_net_path_open(s, a, b, p)) {
            return p;
        }
    }
    return -1;
}

static void register_message(struct sim *s, struct sim_event *ev, int from,
                             const struct reg_msg *msg)
{
    uint8_t bytes[REG_MSG_PAYLOAD_MAX];
    struct ts_writer w = ts_writer_init(bytes, sizeof(bytes));
    int path = open_path(s, from, ev->node);
    const struct sim_path *p = path_of(s, from, ev->node, path < 0 ? 0 : path);
    int copies = is_bad(s, p) && sim_chance_pm(s, p->copy_pm) ? 2 : 1;
    reg_msg_encode(msg, &w);
    ts_assert(!w.failed);
    s->stats.register_messages++;
    ev->type = (uint8_t)msg->type;
    ev->len = w.len;
    sim_stray_keep_register(s, from, ev, (struct ts_bytes){bytes, w.len});
    for (; copies > 0; copies--) {
        bool lost = path < 0 ? sim_chance_pm(s, 700) : is_bad(s, p) && sim_chance_pm(s, p->loss_pm);
        if (lost) {
            continue;
        }
        ev->at = s->now + sim_net_delay(s, from, ev->node, path < 0 ? 0 : path, w.len);
        if (path < 0) {
            ev->at += sim_us(s, 200000, 3000000); /* TCP sends again when the path is back */
        }
        if (s->now < s->net.late_until && sim_chance_pm(s, s->plan.one ? 1000 : 250)) {
            ev->at += sim_rand(s, 0, s->net.late_max);
        }
        ev->bytes = sim_bytes_copy(s, (struct ts_bytes){bytes, w.len}, (struct ts_bytes){NULL, 0});
        sim_push(s, ev);
    }
}

void sim_net_to_voter(struct sim *s, int from, enum sim_proc proc, int voter,
                      const struct reg_msg *msg)
{
    const struct sim_process *me = &s->node[from].proc[proc];
    uint64_t life = me->voter_life[voter];
    if (life == 0 || s->node[voter].proc[SIM_CFGD].life != life) {
        return; /* the connection is gone, whether it is known here or not */
    }
    struct sim_event ev = {.kind = SIM_EV_TO_VOTER,
                           .node = (uint8_t)voter,
                           .proc = SIM_CFGD,
                           .life = life,
                           .peer = (uint8_t)from,
                           .a = sim_net_handle(from, proc, me->life)};
    register_message(s, &ev, from, msg);
}

void sim_net_from_voter(struct sim *s, int voter, uint64_t handle, const struct reg_msg *msg)
{
    struct sim_event ev = {.kind = SIM_EV_FROM_VOTER,
                           .node = (uint8_t)(handle & 0xff),
                           .proc = (uint8_t)(handle >> 8 & 0xff),
                           .life = handle >> 16,
                           .peer = (uint8_t)voter};
    register_message(s, &ev, voter, msg);
}

void sim_net_heal(struct sim *s)
{
    memset(s->net.path, 0, sizeof(s->net.path));
    s->net.late_until = 0;
    sim_note(s, 0, "all paths are well");
}
