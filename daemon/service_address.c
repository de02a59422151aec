#include "daemon/service_address.h"

#include "base/assert.h"

void service_addresses_init(struct service_addresses *s, const struct cfg_cluster *cluster,
                            struct ts_nic_id self)
{
    *s = (struct service_addresses){.timeout = cluster->timing.failure_timeout};
    for (size_t i = 0; i < cluster->group_count; i++) {
        const struct cfg_group *g = &cluster->groups[i];
        if (g->address[0] != '\0' && cfg_group_has(g, self)) {
            s->a[s->count++] = (struct service_address){.group = g->id};
        }
    }
}

int service_addresses_find(const struct service_addresses *s, struct ts_group_id group)
{
    for (uint8_t i = 0; i < s->count; i++) {
        if (s->a[i].group.v == group.v) {
            return i;
        }
    }
    return -1;
}

static struct service_address *at(struct service_addresses *s, int i)
{
    ts_assert(i >= 0 && i < s->count);
    return &s->a[i];
}

static enum service_address_act give(struct service_address *a)
{
    bool held = a->held;
    a->held = false;
    return held ? SERVICE_ADDRESS_GIVE : SERVICE_ADDRESS_NOTHING;
}

static bool is_confirmed(const struct service_addresses *s, const struct service_address *a,
                         struct ts_mono now)
{
    return a->confirmed.ns != 0 && ts_mono_since(a->confirmed, now) < s->timeout;
}

enum service_address_act service_address_said(struct service_addresses *s, int i,
                                              const struct report_serves *said, struct ts_mono now)
{
    struct service_address *a = at(s, i);
    if (ts_epoch_lt(said->epoch, a->epoch)) {
        return SERVICE_ADDRESS_NOTHING;
    }
    a->epoch = said->epoch;
    if (!said->serves) {
        a->confirmed.ns = 0;
        return give(a);
    }
    /* A time to come is none: it would keep the address for ever. */
    if (ts_mono_lt(a->confirmed, said->confirmed) && ts_mono_lt(a->ended, said->confirmed) &&
        !ts_mono_lt(now, said->confirmed)) {
        a->confirmed = said->confirmed;
    }
    return service_address_tick(s, i, now);
}

void service_address_ended(struct service_addresses *s, int i, struct ts_mono now)
{
    at(s, i)->ended = now;
}

enum service_address_act service_address_close(struct service_addresses *s, int i)
{
    at(s, i)->confirmed.ns = 0;
    return give(at(s, i));
}

enum service_address_act service_address_tick(struct service_addresses *s, int i,
                                              struct ts_mono now)
{
    struct service_address *a = at(s, i);
    if (!is_confirmed(s, a, now)) {
        return give(a);
    }
    bool had = a->held;
    /* Of a process that ended: another NIC may have announced it since. */
    bool is_over = !ts_mono_lt(a->ended, a->confirmed);
    if (had && (is_over || ts_mono_since(a->kept, now) < a->pause)) {
        return SERVICE_ADDRESS_NOTHING;
    }
    uint64_t pause = had ? 2 * a->pause : s->timeout / 2;
    a->pause = pause < SERVICE_ADDRESS_KEEP_NS ? pause : SERVICE_ADDRESS_KEEP_NS;
    a->held = true;
    a->kept = now;
    return had ? SERVICE_ADDRESS_KEEP : SERVICE_ADDRESS_TAKE;
}

struct ts_mono service_addresses_deadline(const struct service_addresses *s)
{
    struct ts_mono due = TS_MONO_NEVER;
    for (uint8_t i = 0; i < s->count; i++) {
        const struct service_address *a = &s->a[i];
        struct ts_mono own = ts_mono_add(a->confirmed, s->timeout);
        due = a->held && ts_mono_lt(own, due) ? own : due;
    }
    return due;
}
