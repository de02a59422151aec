/* Nodes that something keeps from being heard: certificates and keys of another authority. */
#include <stdio.h>

#include "cluster-cfg/io/admin.h"

static struct admin_refused_peer *peer_of(struct admin_state *s, struct ts_nic_id node)
{
    bool known = cfg_cluster_node(s->cluster, node) != NULL && !ts_nic_eq(node, s->self->id);
    return known ? &s->refused[node.v] : NULL;
}

static bool is_fresh(struct ts_mono at, struct ts_mono now)
{
    return at.ns != 0 && ts_mono_since(at, now) <= ADMIN_REFUSED_NS;
}

bool admin_refused_is_alarm(const struct admin_refused_peer *r, struct ts_mono now)
{
    return is_fresh(r->at, now) && ts_mono_since(r->since, r->at) >= ADMIN_REFUSED_AFTER_NS;
}

bool admin_refused_note(struct admin_state *s, struct ts_nic_id node, const char *why,
                        const char *detail, struct ts_mono now)
{
    struct admin_refused_peer *r = peer_of(s, node);
    if (r == NULL) {
        return false;
    }
    if (!is_fresh(r->at, now)) {
        r->since = now;
        r->told = false;
    }
    r->at = now;
    (void)snprintf(r->why, sizeof(r->why), "%s%s%s", why, detail[0] == '\0' ? "" : ": ", detail);
    for (char *p = r->why; *p != '\0'; p++) {
        *p = *p < 0x20 || *p > 0x7e ? '?' : *p;
    }
    bool news = !r->told && admin_refused_is_alarm(r, now);
    r->told = r->told || news;
    return news;
}

void admin_refused_end(struct admin_state *s, struct ts_nic_id node)
{
    struct admin_refused_peer *r = peer_of(s, node);
    if (r != NULL) {
        r->at.ns = 0;
    }
}

bool admin_wrong_key_is_fresh(const struct admin_refused_peer *r, struct ts_mono now)
{
    return is_fresh(r->wrong_at, now);
}

bool admin_wrong_key_note(struct admin_state *s, struct ts_nic_id node, struct ts_mono now)
{
    struct admin_refused_peer *r = peer_of(s, node);
    bool news = r != NULL && !admin_wrong_key_is_fresh(r, now);
    if (r != NULL) {
        r->wrong_at = now;
    }
    return news;
}
