/* Disks in a wrong place, as the voter here was shown them. */
#include "cluster-cfg/io/admin.h"
#include "cluster-cfg/start.h"

/* Beside the longest time between two askings, that of a new connection. */
#define FOREIGN_SLACK_NS (2 * TS_NS_PER_S)

bool admin_foreign_is_fresh(const struct admin_state *s, const struct admin_foreign *f,
                            struct ts_mono now)
{
    uint64_t pause = s->cluster->timing.proposer_retry * START_RETRY_FACTOR_MAX;
    return f->has && ts_mono_since(f->at, now) <= 2 * pause + FOREIGN_SLACK_NS;
}

bool admin_foreign_note(struct admin_state *s, struct reg_owner asked, struct ts_nic_id owner,
                        struct ts_mono now)
{
    struct admin_foreign *to = NULL;
    for (size_t i = 0; i < ADMIN_FOREIGN_MAX; i++) {
        struct admin_foreign *f = &s->foreign[i];
        bool fresh = admin_foreign_is_fresh(s, f, now);
        if (fresh && reg_owner_eq(f->asked, asked) && ts_nic_eq(f->owner, owner)) {
            f->at = now;
            return false;
        }
        to = fresh ? to : f;
    }
    if (to == NULL) {
        return false;
    }
    *to = (struct admin_foreign){.has = true, .at = now, .asked = asked, .owner = owner};
    return true;
}

const char *admin_foreign_of(const struct admin_state *s, struct ts_group_id group,
                             struct ts_mono now)
{
    struct reg_owner own = {.kind = REG_OWNER_REPLICA, .group = group, .node = s->self->id};
    for (size_t i = 0; i < ADMIN_FOREIGN_MAX; i++) {
        const struct admin_foreign *f = &s->foreign[i];
        if (admin_foreign_is_fresh(s, f, now) && reg_owner_eq(f->asked, own)) {
            return admin_node_name(s->cluster, f->owner);
        }
    }
    return NULL;
}
