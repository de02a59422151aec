/* The service address (R4.8): the shipped rules of the replica and of nicd, on a kernel that
 * forgets an address when its lifetime ends.
 *
 *   - Whose replica has not served for a failure-timeout has it no more, if its nicd runs.
 *   - Nor has a former primary's NIC, that long after another one was decided: who took over had
 *     sealed before, and said so; a ping that came there later is answered behind that word, after
 *     which nothing confirms. So the newest time that confirms is before the decision, and it
 *     counts for a failure-timeout.
 *   - When all is well again the primary's NIC has it, and no other one (sim_check_well). */
#include <string.h>

#include "base/assert.h"
#include "tests/sim/sim.h"

#define LIFE_NS (3 * SIM_S)
/* Between a deadline and nicd's turn. */
#define LATE_NS (20 * SIM_MS)

static struct sim_address *address_of(struct sim *s, int node)
{
    return &s->node[node].address;
}

/* ---- the replica ---------------------------------------------------------------------------- */

void sim_address_replica_starts(struct sim *s, int node)
{
    address_of(s, node)->says =
        (struct replica_address){.group = {SIM_GROUP},
                                 .self = {(uint16_t)node},
                                 .interval = s->cluster.timing.link_ping_interval};
}

struct asker {
    const struct sim *s;
    int node;
};

static struct ts_mono answered(const void *arg, struct ts_nic_id peer)
{
    const struct asker *h = arg;
    const struct sim_node *n = &h->s->node[h->node];
    uint64_t at = sim_link_answered(h->s, h->node, peer.v);
    uint64_t ago = h->s->now - at;
    struct ts_mono now = sim_local(h->s, h->node);
    bool known = at != 0 && at >= n->clock_from && ago < now.ns;
    return (struct ts_mono){known ? now.ns - ago : 0};
}

void sim_address_replica_turn(struct sim *s, int node)
{
    struct sim_address *a = address_of(s, node);
    const struct sim_replica *r = &s->node[node].replica;
    struct report_serves said;
    struct asker from = {s, node};
    a->served_at = sim_replica_serves(s, node) ? s->now : a->served_at;
    if (replica_address_say(&a->says, r->core, r->p.started, answered, &from, sim_local(s, node),
                            &said)) {
        uint8_t bytes[64];
        struct ts_writer w = ts_writer_init(bytes, sizeof(bytes));
        enum ts_err err = report_serves_encode(&said, &w);
        ts_assert(err == TS_OK);
        struct ts_bytes report = {bytes, w.len};
        sim_push(s, &(struct sim_event){.kind = SIM_EV_SERVES,
                                        .at = s->now + sim_us(s, 10, 150),
                                        .node = (uint8_t)node,
                                        .proc = SIM_NICD,
                                        .life = s->node[node].proc[SIM_NICD].life,
                                        .bytes = sim_bytes_copy(s, report, (struct ts_bytes){0}),
                                        .len = w.len});
    }
}

/* ---- nicd ----------------------------------------------------------------------------------- */

static void perform(struct sim *s, int node, enum service_address_act act)
{
    struct sim_address *a = address_of(s, node);
    if (act == SERVICE_ADDRESS_TAKE || act == SERVICE_ADDRESS_KEEP) {
        a->until = s->now + LIFE_NS;
    } else if (act == SERVICE_ADDRESS_GIVE) {
        a->until = 0;
    }
    if (act == SERVICE_ADDRESS_TAKE || act == SERVICE_ADDRESS_GIVE) {
        sim_note(s, node, "the service address is here%s",
                 act == SERVICE_ADDRESS_TAKE ? "" : " no more");
    }
}

void sim_address_nicd_starts(struct sim *s, int node)
{
    struct sim_address *a = address_of(s, node);
    service_addresses_init(&a->core, &s->cluster, (struct ts_nic_id){(uint16_t)node});
    a->until = 0; /* it removes what is left of the one before */
}

void sim_address_said(struct sim *s, const struct sim_event *ev)
{
    struct report_serves said;
    enum ts_err err = report_serves_decode(&said, (struct ts_bytes){ev->bytes, ev->len});
    ts_assert(err == TS_OK);
    struct service_addresses *core = &address_of(s, ev->node)->core;
    int i = service_addresses_find(core, said.group);
    if (i >= 0) {
        perform(s, ev->node, service_address_said(core, i, &said, sim_local(s, ev->node)));
    }
}

void sim_address_replica_ended(struct sim *s, int node)
{
    struct service_addresses *core = &address_of(s, node)->core;
    int i = service_addresses_find(core, (struct ts_group_id){SIM_GROUP});
    if (i >= 0) {
        service_address_ended(core, i, sim_local(s, node));
    }
}

struct ts_mono sim_address_deadline(const struct sim *s, int node)
{
    return service_addresses_deadline(&s->node[node].address.core);
}

void sim_address_turn(struct sim *s, int node)
{
    struct sim_address *a = address_of(s, node);
    if (a->core.count == 0) {
        return; /* an arbiter */
    }
    perform(s, node, service_address_tick(&a->core, 0, sim_local(s, node)));
    uint64_t bound = s->cluster.timing.failure_timeout + LATE_NS;
    if (a->until > s->now && s->now > a->served_at + bound) {
        sim_fail(s, SIM_CHECK_ADDRESS,
                 "%s has the service address, and its replica has not served for %llu ms",
                 sim_node_name(s, node), (unsigned long long)((s->now - a->served_at) / SIM_MS));
    }
    bool other = s->checks.decided.primary.v != node;
    if (a->until > s->now && other && s->now > s->checks.decided_at + bound) {
        sim_fail(s, SIM_CHECK_ADDRESS,
                 "%s has the service address, and another one has been primary for %llu ms",
                 sim_node_name(s, node),
                 (unsigned long long)((s->now - s->checks.decided_at) / SIM_MS));
    }
}

/* ---- the machine ---------------------------------------------------------------------------- */

void sim_address_power_lost(struct sim *s, int node)
{
    address_of(s, node)->until = 0;
}

bool sim_address_is_at(const struct sim *s, int node)
{
    for (int n = 1; n <= s->nics; n++) {
        if ((s->node[n].address.until > s->now) != (n == node)) {
            return false;
        }
    }
    return true;
}
