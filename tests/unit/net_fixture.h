/* Nodes of a small cluster in one process, for the tests of links: an authority and
 * certificates in a temporary directory, one loop, own loopback addresses. */
#ifndef TESTS_UNIT_NET_FIXTURE_H
#define TESTS_UNIT_NET_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <uv.h>

#include "base/io/files.h"
#include "cluster-cfg/cluster.h"
#include "net/ca.h"
#include "net/link.h"

#define FX_NODES 4        /* nodes 1..3 are configured; 4 is not */
#define FX_GUARD_MS 60000 /* a test that hangs fails; nothing else depends on it */

struct net_fixture {
    char dir[64];
    char ca[128];
    char tls_dir[FX_NODES + 1][128];
    uv_loop_t loop;
    struct net_turn turn;
    struct net_log log;
    struct net_tls tls[FX_NODES + 1];
    struct cfg_cluster cluster;
    uv_timer_t guard;
};

static inline void fx_ok(enum ts_err err, const struct ts_why *why)
{
    if (err != TS_OK) {
        fail_msg("%s: %s", ts_err_text(err), why == NULL ? "" : why->text);
    }
}

/* An address of its own for each process, path and node: tests run at the same time. */
static inline void fx_address(char out[CFG_ADDR_MAX], unsigned path, unsigned node)
{
    unsigned pid = (unsigned)getpid();
    (void)snprintf(out, CFG_ADDR_MAX, "127.%u.%u.%u", 64 + (pid & 0x3f), pid >> 6 & 0xff,
                   path * 16 + node);
}

static inline void fx_on_guard(uv_timer_t *timer)
{
    (void)timer;
    (void)fprintf(stderr, "the test waits for an event that does not come\n");
    abort();
}

static inline void fx_cluster(struct net_fixture *f)
{
    struct cfg_cluster *c = &f->cluster;
    (void)snprintf(c->name, sizeof(c->name), "demo");
    c->base_port = 7400;
    /* Long enough that a busy machine does not look like a silent path. */
    c->timing = cfg_timing_derive(600 * TS_NS_PER_MS);
    c->node_count = 3;
    for (unsigned i = 1; i <= 3; i++) {
        struct cfg_node *n = &c->nodes[i - 1];
        n->id = (struct ts_nic_id){(uint16_t)i};
        (void)snprintf(n->name, sizeof(n->name), i < 3 ? "nic%u" : "arb%u", i);
        (void)snprintf(n->host, sizeof(n->host), "host%u", i);
        n->arbiter = i == 3;
        n->voter = true;
        n->path_count = 2;
        fx_address(n->paths[0], 0, i);
        fx_address(n->paths[1], 1, i);
    }
    c->group_count = 1;
    struct cfg_group *g = &c->groups[0];
    g->id = (struct ts_group_id){1};
    (void)snprintf(g->name, sizeof(g->name), "kv");
    (void)snprintf(g->service, sizeof(g->service), "kv");
    g->nic_count = 2;
    g->nics[0] = (struct ts_nic_id){1};
    g->nics[1] = (struct ts_nic_id){2};
}

static inline struct net_fixture *fx_open(void)
{
    struct net_fixture *f = calloc(1, sizeof(*f));
    struct ts_why why = {.text = ""};
    assert_non_null(f);
    (void)snprintf(f->dir, sizeof(f->dir), "/tmp/twinstep-net-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    (void)snprintf(f->ca, sizeof(f->ca), "%s/ca", f->dir);
    fx_cluster(f);
    fx_ok(ca_init(f->ca, "demo", &why), &why);
    for (unsigned i = 1; i <= FX_NODES; i++) {
        char name[16];
        (void)snprintf(name, sizeof(name), "%s%u", i == 3 ? "arb" : "nic", i);
        (void)snprintf(f->tls_dir[i], sizeof(f->tls_dir[i]), "%s/%s", f->dir, name);
        fx_ok(ca_issue(f->ca, name, f->tls_dir[i], NULL, ca_validity_days(1), &why), &why);
        fx_ok(net_tls_open(&f->tls[i], f->tls_dir[i], &why), &why);
    }
    assert_int_equal(uv_loop_init(&f->loop), 0);
    fx_ok(net_turn_open(&f->turn, &f->loop), NULL);
    net_log_init(&f->log, "test", "nic0");
    (void)uv_timer_init(&f->loop, &f->guard);
    (void)uv_timer_start(&f->guard, fx_on_guard, FX_GUARD_MS, 0);
    return f;
}

static inline struct net_env fx_env(struct net_fixture *f, unsigned node)
{
    return (struct net_env){
        .loop = &f->loop, .turn = &f->turn, .log = &f->log, .tls = &f->tls[node]};
}

/* Runs the loop until the condition holds. */
static inline void fx_until(struct net_fixture *f, bool (*holds)(void *arg), void *arg)
{
    while (!holds(arg)) {
        (void)uv_run(&f->loop, UV_RUN_ONCE);
    }
}

static inline bool fx_true(void *flag)
{
    return *(const bool *)flag;
}

/* Everything that uses the loop was closed before; runs until the handles are gone. */
static inline void fx_close(struct net_fixture *f)
{
    (void)uv_timer_stop(&f->guard);
    uv_close((uv_handle_t *)&f->guard, NULL);
    net_turn_close(&f->turn);
    while (uv_loop_close(&f->loop) == UV_EBUSY) {
        (void)uv_run(&f->loop, UV_RUN_ONCE);
    }
    for (unsigned i = 1; i <= FX_NODES; i++) {
        net_tls_close(&f->tls[i]);
        fx_ok(ts_dir_remove(f->tls_dir[i], NULL), NULL);
    }
    fx_ok(ts_dir_remove(f->ca, NULL), NULL);
    fx_ok(ts_dir_remove(f->dir, NULL), NULL);
    free(f);
}

#endif
