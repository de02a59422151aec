#include "services/agent/io/kernel_dhcp.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/hash.h"
#include "base/memory.h"
#include "services/agent/dhcp.h"
#include "services/agent/io/dnsmasq.h"
#include "services/agent/io/kernel_inner.h"

void agent_dhcp_servers_open(struct agent_dhcp_servers *s, const char *dir)
{
    *s = (struct agent_dhcp_servers){.pidfd = NULL};
    (void)snprintf(s->dir, sizeof(s->dir), "%s", dir == NULL ? "" : dir);
    int err = pthread_mutex_init(&s->lock, NULL);
    ts_assert(err == 0);
}

static void forget(struct agent_dhcp_servers *s)
{
    for (size_t i = 0; i < s->count; i++) {
        (void)close(s->pidfd[i]);
    }
    s->count = 0;
    s->lost = false;
}

void agent_dhcp_servers_close(struct agent_dhcp_servers *s)
{
    forget(s);
    free(s->pidfd);
    (void)pthread_mutex_destroy(&s->lock);
}

static void lock(struct agent_dhcp_servers *s)
{
    int err = pthread_mutex_lock(&s->lock);
    ts_assert(err == 0);
}

static void unlock(struct agent_dhcp_servers *s)
{
    int err = pthread_mutex_unlock(&s->lock);
    ts_assert(err == 0);
}

bool agent_dhcp_servers_lost(struct agent_dhcp_servers *s)
{
    bool lost = false;
    lock(s);
    for (size_t i = 0; i < s->count && !s->lost; i++) {
        struct pollfd p = {.fd = s->pidfd[i], .events = POLLIN};
        lost = lost || poll(&p, 1, 0) == 1;
    }
    s->lost = s->lost || lost;
    unlock(s);
    return lost;
}

/* ---- one call ---- */

struct names {
    struct netctl_tree tree;
};

static void on_name(void *arg, const char *name)
{
    struct names *n = arg;
    static const uint8_t nothing[1];
    netctl_tree_put(&n->tree, name, (struct ts_bytes){nothing, 0});
}

static void name_of(const char *vni, struct ts_bytes config, char name[AGENT_DNSMASQ_NAME_MAX])
{
    struct ts_hash hash = ts_hash_bytes(config.data, config.len);
    (void)snprintf(name, AGENT_DNSMASQ_NAME_MAX, "%.10s-%016llx", vni, (unsigned long long)hash.lo);
}

static void say(const struct agent_call *c, const char *what, const char *name)
{
    char line[AGENT_DNSMASQ_NAME_MAX + 32];
    (void)snprintf(line, sizeof(line), "%s DHCP %s", what, name);
    agent_kernel_say(c, line);
}

/* Takes over the descriptor. */
static void keep(struct agent_dhcp_servers *s, int pidfd)
{
    lock(s);
    s->pidfd = realloc(s->pidfd, (s->count + 1) * sizeof(*s->pidfd));
    ts_must(s->pidfd);
    s->pidfd[s->count++] = pidfd;
    unlock(s);
}

/* The server of one segment. False: what there was of it is to stay. */
static bool serve(struct agent_call *c, const struct netctl_item *i, const char *name)
{
    struct agent_dhcp_servers *s = &c->k->dhcp;
    struct ts_why why;
    char key[32];
    int pidfd = agent_dnsmasq_find(s->dir, name);
    (void)snprintf(key, sizeof(key), "dhcp/%.10s", i->key);
    if (pidfd < 0) {
        say(c, "start", name);
        bool may = !c->k->options.dry_run && agent_kernel_may_commit(c);
        if (may && agent_dnsmasq_begin(s->dir, name, i->value, &pidfd, &why) != TS_OK) {
            agent_kernel_fail_item(c, key, why.text);
        }
    }
    if (pidfd >= 0) {
        keep(s, pidfd);
    }
    return pidfd >= 0;
}

/* What is there and not wanted: former servers of a segment that has a new one, and orphans. */
static void end_others(struct agent_call *c, const struct netctl_tree *configs,
                       const struct netctl_tree *served, const struct names *wanted,
                       bool delete_orphans)
{
    struct names there = {netctl_tree_make(0)};
    struct netctl_item i = {NULL, {NULL, 0}};
    struct ts_why why;
    enum ts_err err = agent_dnsmasq_list(c->k->dhcp.dir, on_name, &there, &why);
    if (err != TS_OK && err != TS_ERR_NOT_FOUND) {
        agent_kernel_say(c, why.text);
    }
    while (netctl_tree_next(&there.tree, "", &i)) {
        char vni[AGENT_DNSMASQ_NAME_MAX];
        (void)snprintf(vni, sizeof(vni), "%s", i.key);
        vni[strcspn(vni, "-")] = '\0';
        bool is_wanted = netctl_tree_get(&wanted->tree, i.key).data != NULL;
        bool goes = netctl_tree_get(configs, vni).data != NULL
                        ? netctl_tree_get(served, vni).data != NULL
                        : delete_orphans;
        if (is_wanted || !goes) {
            continue;
        }
        say(c, "end", i.key);
        if (!c->k->options.dry_run && agent_kernel_may_commit(c)) {
            agent_dnsmasq_end(c->k->dhcp.dir, i.key);
        }
    }
    netctl_tree_free(&there.tree);
}

static bool is_ready(struct agent_call *c, const struct netctl_tree *configs)
{
    struct netctl_item i = {NULL, {NULL, 0}};
    struct ts_why why = {.text = "no directory for the servers of DHCP is given"};
    const char *dir = c->k->dhcp.dir;
    bool ready = dir[0] != '\0' && (configs->count == 0 || c->k->options.dry_run ||
                                    ts_dir_make(dir, 0700, &why) == TS_OK);
    while (!ready && netctl_tree_next(configs, "", &i)) {
        char key[32];
        (void)snprintf(key, sizeof(key), "dhcp/%.10s", i.key);
        agent_kernel_fail_item(c, key, why.text);
    }
    return ready;
}

void agent_kernel_dhcp(struct agent_call *c, bool delete_orphans)
{
    struct netctl_tree configs = netctl_tree_make(0);
    struct netctl_tree served = netctl_tree_make(0);
    struct names wanted = {netctl_tree_make(0)};
    struct agent_place place = agent_kernel_place(c->k);
    struct netctl_item i = {NULL, {NULL, 0}};
    agent_dhcp_configs(&c->k->table, &place, &configs, agent_kernel_fail_item, c);
    if (is_ready(c, &configs)) {
        lock(&c->k->dhcp);
        forget(&c->k->dhcp);
        unlock(&c->k->dhcp);
        while (netctl_tree_next(&configs, "", &i)) {
            char name[AGENT_DNSMASQ_NAME_MAX];
            static const uint8_t nothing[1];
            name_of(i.key, i.value, name);
            on_name(&wanted, name);
            if (serve(c, &i, name)) {
                netctl_tree_put(&served, i.key, (struct ts_bytes){nothing, 0});
            }
        }
        end_others(c, &configs, &served, &wanted, delete_orphans && !c->refused);
    }
    netctl_tree_free(&configs);
    netctl_tree_free(&served);
    netctl_tree_free(&wanted.tree);
}
