/* Tells nicd that this replica serves, for the group's service address (R4.8). */
#include "base/assert.h"
#include "daemon/replica.h"

/* When nobody had taken over for certain: all who could were heard since. 0: it does not serve. */
static struct ts_mono confirmed_at(const struct replica *r, struct ts_mono now)
{
    struct repl_status status;
    if (!r->p.started || !repl_serves(r->core)) {
        return (struct ts_mono){0};
    }
    repl_status(r->core, &status);
    struct ts_mono at = now;
    for (uint8_t i = 0; i < status.config.in_sync.count; i++) {
        struct ts_nic_id nic = status.config.in_sync.r[i].nic;
        if (!ts_nic_eq(nic, r->start->node->id)) {
            struct ts_mono heard = links_heard(r->links, nic);
            at = ts_mono_lt(heard, at) ? heard : at;
        }
    }
    return at;
}

void replica_address_tell(struct replica *r, struct ts_mono now)
{
    struct report_serves said = {.group = r->start->group->id, .epoch = repl_epoch(r->core)};
    if (r->nicd_path[0] == '\0') {
        return;
    }
    bool serves = r->p.started && repl_serves(r->core);
    bool due = serves && !ts_mono_lt(now, r->serves_at);
    if (serves == r->said_serves && !due) {
        return;
    }
    said.confirmed = confirmed_at(r, now);
    said.serves = said.confirmed.ns != 0;
    r->said_serves = serves;
    r->serves_at = ts_mono_add(now, r->start->cluster.timing.link_ping_interval);
    uint8_t bytes[REPORT_BYTES_MAX];
    struct ts_writer w = ts_writer_init(bytes, sizeof(bytes));
    enum ts_err err = report_serves_encode(&said, &w);
    ts_assert(err == TS_OK);
    (void)net_dgram_send(&r->dgram, r->nicd_path, (struct ts_bytes){bytes, w.len});
}
