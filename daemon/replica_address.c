#include "daemon/replica_address.h"

static struct ts_mono confirmed_at(const struct replica_address *a, const struct repl *core,
                                   replica_address_answered *answered, const void *arg,
                                   struct ts_mono now)
{
    struct repl_status status;
    repl_status(core, &status);
    struct ts_mono at = repl_is_followed(core) ? now : (struct ts_mono){0};
    for (uint16_t n = 1; n <= TS_NODES_MAX; n++) {
        if (n != a->self.v && (status.required_mask >> n & 1) != 0) {
            struct ts_mono then = answered(arg, (struct ts_nic_id){n});
            at = ts_mono_lt(then, at) ? then : at;
        }
    }
    return at;
}

bool replica_address_say(struct replica_address *a, const struct repl *core, bool started,
                         replica_address_answered *answered, const void *arg, struct ts_mono now,
                         struct report_serves *out)
{
    bool serves = started && repl_serves(core);
    struct ts_epoch epoch = repl_epoch(core);
    a->first = started && a->first.v == 0 ? epoch : a->first;
    /* The address may be here still from the process before; once only. */
    bool moved = started && !a->spoken && !ts_epoch_eq(a->first, epoch);
    bool again = serves ? !ts_mono_lt(now, a->again_at) : moved;
    if (serves == a->serves && !again) {
        return false;
    }
    a->serves = serves;
    a->spoken = true;
    a->again_at = ts_mono_add(now, a->interval);
    *out = (struct report_serves){.group = a->group, .epoch = repl_epoch(core)};
    if (serves) {
        out->confirmed = confirmed_at(a, core, answered, arg, now);
        out->serves = out->confirmed.ns != 0;
    }
    /* Who has come newly and has not answered yet confirms nothing: nothing new is to be said, and
     * that it serves no more would be wrong. */
    return out->serves || !serves;
}
