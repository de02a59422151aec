#include "cluster-cfg/cluster.h"

#include <string.h>

#include "base/assert.h"
#include "base/buf.h"
#include "base/hash.h"

struct cfg_timing cfg_timing_derive(uint64_t failure_timeout_ns)
{
    ts_assert(failure_timeout_ns >= CFG_FAILURE_TIMEOUT_MIN);
    ts_assert(failure_timeout_ns <= CFG_FAILURE_TIMEOUT_MAX);
    return (struct cfg_timing){
        .failure_timeout = failure_timeout_ns,
        .heartbeat_interval = failure_timeout_ns / 10,
        .path_timeout = failure_timeout_ns / 2,
        .link_ping_interval = failure_timeout_ns / 5,
        .tie_delay = failure_timeout_ns / 5,
        .proposer_retry = failure_timeout_ns / 2,
        .poll_register = failure_timeout_ns * 3,
    };
}

bool cfg_name_is_valid(const char *name)
{
    size_t n = 0;
    bool ok = name[0] >= 'a' && name[0] <= 'z';
    while (ok && name[n] != '\0') {
        char c = name[n];
        ok = n + 1 < CFG_NAME_MAX && ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-');
        n++;
    }
    return ok;
}

const struct cfg_node *cfg_cluster_node(const struct cfg_cluster *c, struct ts_nic_id id)
{
    for (size_t i = 0; i < c->node_count; i++) {
        if (ts_nic_eq(c->nodes[i].id, id)) {
            return &c->nodes[i];
        }
    }
    return NULL;
}

const struct cfg_node *cfg_cluster_node_by_name(const struct cfg_cluster *c, const char *name)
{
    for (size_t i = 0; i < c->node_count; i++) {
        if (strcmp(c->nodes[i].name, name) == 0) {
            return &c->nodes[i];
        }
    }
    return NULL;
}

const struct cfg_group *cfg_cluster_group(const struct cfg_cluster *c, struct ts_group_id id)
{
    for (size_t i = 0; i < c->group_count; i++) {
        if (c->groups[i].id.v == id.v) {
            return &c->groups[i];
        }
    }
    return NULL;
}

const struct cfg_group *cfg_cluster_group_by_name(const struct cfg_cluster *c, const char *name)
{
    for (size_t i = 0; i < c->group_count; i++) {
        if (strcmp(c->groups[i].name, name) == 0) {
            return &c->groups[i];
        }
    }
    return NULL;
}

bool cfg_group_has(const struct cfg_group *g, struct ts_nic_id nic)
{
    for (size_t i = 0; i < g->nic_count; i++) {
        if (ts_nic_eq(g->nics[i], nic)) {
            return true;
        }
    }
    return false;
}

static bool all_on_host(const struct cfg_cluster *c, const struct cfg_group *g, const char *host)
{
    for (size_t i = 0; i < g->nic_count; i++) {
        const struct cfg_node *nic = cfg_cluster_node(c, g->nics[i]);
        if (nic == NULL || strcmp(nic->host, host) != 0) {
            return false;
        }
    }
    return g->nic_count > 1;
}

bool cfg_cluster_host_risk(const struct cfg_cluster *c, size_t index, struct cfg_host_risk *out)
{
    ts_assert(index < c->node_count);
    struct cfg_host_risk r = {.host = c->nodes[index].host};
    for (size_t i = 0; i < c->node_count; i++) {
        const struct cfg_node *n = &c->nodes[i];
        r.voters_all += n->voter ? 1 : 0;
        if (strcmp(n->host, r.host) == 0) {
            if (i < index) {
                return false;
            }
            r.nodes++;
            r.voters += n->voter ? 1 : 0;
        }
    }
    for (size_t i = 0; i < c->group_count && r.group == NULL; i++) {
        r.group = all_on_host(c, &c->groups[i], r.host) ? &c->groups[i] : NULL;
    }
    r.majority = (r.voters_all - r.voters) * 2 <= r.voters_all;
    *out = r;
    return r.nodes > 1 && (r.majority || r.group != NULL);
}

size_t cfg_cluster_voters(const struct cfg_cluster *c, struct ts_nic_id out[TS_VOTERS_MAX])
{
    size_t n = 0;
    for (size_t i = 0; i < c->node_count; i++) {
        if (c->nodes[i].voter) {
            ts_assert(n < TS_VOTERS_MAX);
            out[n++] = c->nodes[i].id;
        }
    }
    return n;
}

static struct ts_hash add_text(struct ts_hash h, const char *text)
{
    return ts_hash_chain(h, text, strlen(text) + 1);
}

static struct ts_hash add_number(struct ts_hash h, uint64_t number)
{
    uint8_t bytes[sizeof(number)];
    struct ts_writer w = ts_writer_init(bytes, sizeof(bytes));
    ts_put_u64(&w, number);
    return ts_hash_chain(h, bytes, sizeof(bytes));
}

const char *cfg_metrics_address(const struct cfg_cluster *c, const struct cfg_node *node)
{
    bool own = node->path_count > 0 &&
               (strncmp(node->paths[0], "127.", 4) == 0 || strcmp(node->paths[0], "::1") == 0);
    switch (c->metrics) {
    case CFG_METRICS_LOOPBACK:
        return own ? node->paths[0] : "127.0.0.1";
    case CFG_METRICS_PATH:
        return node->path_count > 0 ? node->paths[0] : NULL;
    case CFG_METRICS_ADDRESS:
        return c->metrics_address;
    case CFG_METRICS_OFF:
        break;
    }
    return NULL;
}

uint64_t cfg_cluster_digest(const struct cfg_cluster *c)
{
    struct ts_hash h = add_text((struct ts_hash){0}, c->name);
    h = add_number(h, c->base_port);
    h = add_number(h, c->timing.failure_timeout);
    if (c->metrics != CFG_METRICS_LOOPBACK ||
        c->metrics_port != cfg_port_metrics_default(c->base_port)) { /* as before they were there */
        h = add_text(add_number(h, (uint64_t)c->metrics), c->metrics_address);
        h = add_number(h, c->metrics_port);
    }
    h = add_number(h, c->node_count);
    for (size_t i = 0; i < c->node_count; i++) {
        const struct cfg_node *n = &c->nodes[i];
        h = add_text(add_text(h, n->name), n->host);
        h = add_number(add_number(h, n->arbiter ? 1 : 0), n->voter ? 1 : 0);
        h = add_number(h, n->path_count);
        for (size_t p = 0; p < n->path_count; p++) {
            h = add_text(h, n->paths[p]);
        }
    }
    for (size_t i = 0; i < c->group_count; i++) {
        const struct cfg_group *g = &c->groups[i];
        h = add_text(add_text(h, g->name), g->service);
        h = add_number(add_number(h, (uint64_t)g->durability), g->client_port);
        h = g->client_tls ? add_number(h, 1) : h; /* as before it was there, when it is off */
        h = g->agent_port != 0 ? add_number(add_number(h, 4), g->agent_port) : h;
        h = g->disk_limit != 0 ? add_number(add_number(h, 2), g->disk_limit) : h; /* … as well */
        h = g->scrub_every != 0 ? add_number(add_number(h, 3), g->scrub_every) : h;
        h = g->address[0] != '\0' ? add_text(add_number(h, g->address_prefix), g->address) : h;
        h = add_number(h, g->nic_count);
        for (size_t m = 0; m < g->nic_count; m++) {
            h = add_number(h, g->nics[m].v);
        }
    }
    return h.lo == 0 ? 1 : h.lo;
}
