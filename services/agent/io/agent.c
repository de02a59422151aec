#include "services/agent/io/agent.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/hash.h"
#include "base/memory.h"
#include "net/link.h"
#include "net/loop.h"
#include "net/tls_client.h"
#include "net/work.h"
#include "services/agent/io/store.h"
#include "services/agent/io/watch.h"
#include "services/agent/io/wire.h"

/* The servers of DHCP are looked after that often. */
#define HEALTH_MS 1000
#define BOOT_ID "/proc/sys/kernel/random/boot_id"

/* One piece of work on another thread. */
struct job {
    struct net_work work;
    struct agent_effect what;
    enum ts_err err;
    struct ts_why why;
};

struct counts {
    struct south_rule_count *rule; /* owned */
    size_t rules;
    size_t rule_room;
    struct south_port_count *port; /* owned */
    size_t ports;
    size_t port_room;
};

struct agent {
    struct agent_config config;
    struct agent_core *core;
    struct agent_store *store;
    struct net_tls_trust *trust;
    struct agent_wire *wire;
    struct agent_watch *watch;
    uv_timer_t timer;
    uv_timer_t health; /* asks whether the driver has lost something */
    struct job epoch;
    struct job table;
    struct job drive;
    unsigned working;       /* jobs */
    _Atomic uint64_t fence; /* read by the driver's thread */
    struct netctl_tree results;
    struct counts counts;
    struct agent_effects effects;
    bool stopping;
    bool failed;
};

static void step(struct agent *a, struct agent_event *e);

/* ---- work on other threads ---- */

static void run_epoch(void *arg)
{
    struct agent *a = arg;
    a->epoch.err = agent_store_epoch(a->store, a->epoch.what.epoch, &a->epoch.why);
}

static void run_table(void *arg)
{
    struct agent *a = arg;
    const struct agent_effect *w = &a->table.what;
    a->table.err = agent_store_table(a->store, w->was, w->is, w->epoch, w->gen, &a->table.why);
}

static void on_result(void *arg, const char *key, const char *error)
{
    struct agent *a = arg;
    if (error != NULL) {
        const char *text = error[0] == '\0' ? "not realized" : error;
        netctl_tree_put(&a->results, key, (struct ts_bytes){(const uint8_t *)text, strlen(text)});
    } else if (netctl_tree_get(&a->results, key).data == NULL) {
        netctl_tree_put(&a->results, key, (struct ts_bytes){(const uint8_t *)"", 0});
    }
}

static bool may_commit(void *arg)
{
    struct agent *a = arg;
    return agent_core_may_commit(a->drive.what.order, (struct ts_epoch){atomic_load(&a->fence)});
}

static void run_drive(void *arg)
{
    struct agent *a = arg;
    const struct agent_effect *w = &a->drive.what;
    const struct agent_caller caller = {.result = on_result, .may_commit = may_commit, .arg = a};
    if (w->kind == AGENT_APPLY) {
        a->drive.err = agent_apply(a->config.driver, w->change, w->changes, &caller);
    } else {
        a->drive.err = agent_reconcile(a->config.driver, w->is, w->delete_orphans, &caller);
    }
}

static void on_rule(void *arg, const struct agent_rule_count *c)
{
    struct counts *all = arg;
    if (all->rules == all->rule_room) {
        all->rule_room = 2 * all->rule_room + 64;
        all->rule = realloc(all->rule, all->rule_room * sizeof(*all->rule));
        ts_must(all->rule);
    }
    all->rule[all->rules++] = (struct south_rule_count){c->id, c->nat, c->packets, c->bytes};
}

static void on_port(void *arg, const struct agent_port_count *c)
{
    struct counts *all = arg;
    if (all->ports == all->port_room) {
        all->port_room = 2 * all->port_room + 64;
        all->port = realloc(all->port, all->port_room * sizeof(*all->port));
        ts_must(all->port);
    }
    all->port[all->ports++] = (struct south_port_count){
        c->number,           c->sent_packets,   c->sent_bytes,
        c->received_packets, c->received_bytes, c->guarded,
    };
}

static void run_count(void *arg)
{
    struct agent *a = arg;
    const struct agent_counts counts = {on_rule, on_port, &a->counts};
    a->drive.err = agent_statistics(a->config.driver, &counts);
}

/* ---- the end ---- */

static void free_agent(uv_handle_t *handle)
{
    struct agent *a = handle->data;
    void (*on_ended)(void *, bool) = a->config.on_ended;
    void *arg = a->config.arg;
    bool failed = a->failed;
    agent_core_free(a->core);
    agent_store_close(a->store);
    agent_close(a->config.driver);
    net_tls_trust_close(a->trust);
    netctl_tree_free(&a->results);
    agent_effects_free(&a->effects);
    free(a->counts.rule);
    free(a->counts.port);
    free(a);
    if (on_ended != NULL) {
        on_ended(arg, failed);
    }
}

static void on_health_closed(uv_handle_t *handle)
{
    struct agent *a = handle->data;
    uv_close((uv_handle_t *)&a->timer, free_agent);
}

static void end_if_idle(struct agent *a)
{
    if (a->stopping && a->working == 0 && !uv_is_closing((uv_handle_t *)&a->health)) {
        uv_close((uv_handle_t *)&a->health, on_health_closed);
    }
}

void agent_stop(struct agent *a)
{
    if (!a->stopping) {
        a->stopping = true;
        agent_wire_close(a->wire);
        agent_watch_close(a->watch);
        end_if_idle(a);
    }
}

/* ---- what work gave ---- */

static void done_epoch(void *arg)
{
    struct agent *a = arg;
    a->working--;
    if (a->epoch.err != TS_OK) {
        net_log(a->config.log, NET_LOG_ERROR,
                "the epoch cannot be stored (%s): this process ends, the network stays as it is",
                a->epoch.why.text);
        a->failed = true;
        agent_stop(a);
    } else if (a->stopping) {
        end_if_idle(a);
    } else {
        step(a, &(struct agent_event){
                    .kind = AGENT_E_EPOCH_STORED, .epoch = a->epoch.what.epoch, .good = true});
    }
}

static void done_table(void *arg)
{
    struct agent *a = arg;
    a->working--;
    if (a->table.err != TS_OK) {
        (void)net_log_limited(a->config.log, NET_LOG_ERROR, "table", "the table is not stored: %s",
                              a->table.why.text);
    }
    if (a->stopping) {
        end_if_idle(a);
        return;
    }
    step(a, &(struct agent_event){.kind = AGENT_E_TABLE_STORED, .good = a->table.err == TS_OK});
}

static void done_drive(void *arg)
{
    struct agent *a = arg;
    struct netctl_tree results = a->results;
    a->results = netctl_tree_make(0);
    a->working--;
    if (a->drive.err != TS_OK) {
        (void)net_log_limited(a->config.log, NET_LOG_WARNING, "driver",
                              "generation %llu is not made true: %s",
                              (unsigned long long)a->drive.what.gen.v, ts_err_text(a->drive.err));
    }
    if (a->stopping) {
        end_if_idle(a);
    } else {
        step(a, &(struct agent_event){
                    .kind = AGENT_E_DRIVEN, .err = a->drive.err, .results = &results});
    }
    netctl_tree_free(&results);
}

static void done_count(void *arg)
{
    struct agent *a = arg;
    a->working--;
    if (a->stopping) {
        end_if_idle(a);
        return;
    }
    step(a, &(struct agent_event){
                .kind = AGENT_E_COUNTED,
                .rule = a->counts.rule,
                .rules = a->drive.err == TS_OK ? a->counts.rules : 0,
                .port = a->counts.port,
                .ports = a->drive.err == TS_OK ? a->counts.ports : 0,
            });
    a->counts.rules = a->counts.ports = 0;
}

static void begin(struct agent *a, struct job *j, const struct agent_effect *what, net_work_fn *run,
                  net_work_fn *done)
{
    j->what = *what;
    j->err = TS_OK;
    a->working++;
    net_work_queue(a->config.loop, &j->work, run, done, a);
}

/* ---- effects ---- */

static const char *slot_name(const struct agent *a, unsigned slot)
{
    return slot < a->config.controllers ? a->config.address[slot] : "no controller";
}

static void perform(struct agent *a, const struct agent_effect *e)
{
    switch (e->kind) {
    case AGENT_DIAL:
        agent_wire_dial(a->wire, e->slot, &a->config.to[e->slot]);
        break;
    case AGENT_HANG_UP:
        (void)net_log_limited(a->config.log, NET_LOG_WARNING, "ends", "%s: connection ended: %s",
                              slot_name(a, e->slot), e->text);
        agent_wire_hang_up(a->wire, e->slot);
        break;
    case AGENT_SEND:
        agent_wire_send(a->wire, e->slot, agent_effect_bytes(&a->effects, e));
        break;
    case AGENT_STORE_EPOCH:
        begin(a, &a->epoch, e, run_epoch, done_epoch);
        break;
    case AGENT_STORE_TABLE:
        begin(a, &a->table, e, run_table, done_table);
        break;
    case AGENT_RECONCILE:
    case AGENT_APPLY:
        begin(a, &a->drive, e, run_drive, done_drive);
        break;
    case AGENT_COUNT:
        begin(a, &a->drive, e, run_count, done_count);
        break;
    case AGENT_TELL:
        (void)net_log_limited(a->config.log, NET_LOG_INFO, e->text,
                              "%s: %s (epoch %llu, own generation %llu)", slot_name(a, e->slot),
                              e->text, (unsigned long long)e->epoch.v,
                              (unsigned long long)e->gen.v);
        break;
    }
}

static void on_timer(uv_timer_t *timer)
{
    step(timer->data, &(struct agent_event){.kind = AGENT_E_TIME});
}

static void step(struct agent *a, struct agent_event *e)
{
    if (a->stopping) {
        return;
    }
    e->now = net_now();
    agent_core_step(a->core, e, &a->effects);
    atomic_store(&a->fence, agent_core_fence(a->core).v);
    for (size_t i = 0; i < a->effects.count; i++) {
        perform(a, &a->effects.effect[i]);
    }
    agent_effects_clear(&a->effects);
    uint64_t wait = ts_mono_since(e->now, agent_core_deadline(a->core));
    (void)uv_timer_start(&a->timer, on_timer, (wait + TS_NS_PER_MS - 1) / TS_NS_PER_MS, 0);
}

/* ---- what comes ---- */

static void on_health(uv_timer_t *timer)
{
    struct agent *a = timer->data;
    if (!a->stopping && agent_lost(a->config.driver)) {
        (void)net_log_limited(a->config.log, NET_LOG_WARNING, "lost",
                              "a server of DHCP has ended by itself: it is started again");
        step(a, &(struct agent_event){.kind = AGENT_E_LOST});
    }
}

static void on_up(void *arg, unsigned slot)
{
    step(arg, &(struct agent_event){.kind = AGENT_E_UP, .slot = slot});
}

static void on_down(void *arg, unsigned slot, const char *why)
{
    struct agent *a = arg;
    (void)net_log_limited(a->config.log, NET_LOG_INFO, "down", "%s: %s", slot_name(a, slot), why);
    step(a, &(struct agent_event){.kind = AGENT_E_DOWN, .slot = slot});
}

static void on_message(void *arg, unsigned slot, struct ts_bytes body)
{
    step(arg, &(struct agent_event){.kind = AGENT_E_MESSAGE, .slot = slot, .body = body});
}

static void on_interfaces(void *arg, const struct south_inventory *inventory)
{
    struct agent *a = arg;
    struct south_inventory i = *inventory;
    i.vtep = (struct ts_bytes){(const uint8_t *)a->config.vtep, strlen(a->config.vtep)};
    step(a, &(struct agent_event){.kind = AGENT_E_INTERFACES, .inventory = &i});
}

/* ---- the start ---- */

enum ts_err agent_address_of(const char *text, struct sockaddr_storage *out)
{
    char host[SOUTH_ADDRESS_MAX + 1];
    const char *colon = strrchr(text, ':');
    size_t len = colon == NULL ? 0 : (size_t)(colon - text);
    char *end = NULL;
    unsigned long port = colon == NULL ? 0 : strtoul(colon + 1, &end, 10);
    bool quoted = len > 2 && text[0] == '[' && text[len - 1] == ']';
    if (len == 0 || len >= sizeof(host) || *end != '\0' || port == 0 || port > UINT16_MAX ||
        colon[1] < '0' || colon[1] > '9') {
        return TS_ERR_MALFORMED;
    }
    (void)snprintf(host, sizeof(host), "%.*s", (int)(quoted ? len - 2 : len),
                   quoted ? text + 1 : text);
    if (!quoted && strchr(host, ':') != NULL) {
        return TS_ERR_MALFORMED;
    }
    return net_address(host, (uint16_t)port, out);
}

static struct ts_hash boot_id(void)
{
    uint8_t *data = NULL;
    size_t len = 0;
    struct ts_hash boot = {ts_random_id(), ts_random_id()};
    if (ts_file_read(BOOT_ID, 256, &data, &len, NULL) == TS_OK) {
        boot = ts_hash_bytes(data, len);
        free(data);
    }
    return boot;
}

static void make_core(struct agent *a, struct agent_stored *stored)
{
    struct agent_core_config c = {
        .node = a->config.node,
        .boot = boot_id(),
        .slots = a->config.controllers,
        .jitter = ts_random_id(),
    };
    for (unsigned i = 0; i < a->config.controllers; i++) {
        c.address[i] = a->config.address[i];
    }
    a->core = agent_core_new(&c, stored, net_now());
    atomic_store(&a->fence, agent_core_fence(a->core).v);
}

static void open_wire(struct agent *a)
{
    struct agent_wire_config c = {
        .loop = a->config.loop,
        .trust = a->trust,
        .names = a->config.names,
        .on_up = on_up,
        .on_down = on_down,
        .on_message = on_message,
        .arg = a,
    };
    for (unsigned i = 0; i < a->config.names; i++) {
        c.name[i] = a->config.name[i];
    }
    a->wire = agent_wire_open(&c);
}

static void tell_found(const struct agent *a, const struct agent_stored *stored,
                       const struct agent_store_news *news)
{
    const struct net_log *log = a->config.log;
    if (news->epoch[0] != '\0') {
        net_log(log, NET_LOG_ERROR,
                "%s; until a controller is heard, this node could obey a former primary",
                news->epoch);
    }
    if (news->table[0] != '\0') {
        net_log(log, NET_LOG_WARNING, "%s", news->table);
    }
    net_log(log, NET_LOG_INFO, "restores generation %llu of epoch %llu, %zu items",
            (unsigned long long)stored->gen.v, (unsigned long long)stored->table_epoch.v,
            stored->table.count);
}

/* On error there is none. Every controller would refuse another one's certificate, and could not
 * say so. */
static enum ts_err open_trust(struct net_tls_trust **out, const struct agent_config *config,
                              struct ts_why *why)
{
    struct net_tls_identity self;
    enum ts_err err = net_tls_trust_open(out, config->ca, why);
    if (err != TS_OK) {
        return err;
    }
    err = net_tls_trust_show(*out, config->certificate, config->key, &self, why);
    if (err == TS_OK && (self.role != NET_TLS_AGENT || strcmp(self.node, config->node) != 0)) {
        err = ts_why(why, TS_ERR_AUTH,
                     "%s is of %s %s, and this is the agent of transport node %s: issue its "
                     "certificate with `twinstep ca issue --agent %s`",
                     config->certificate, self.role == NET_TLS_AGENT ? "the agent of" : "the node",
                     self.node, config->node, config->node);
    }
    if (err != TS_OK) {
        net_tls_trust_close(*out);
        *out = NULL;
    }
    return err;
}

enum ts_err agent_start(struct agent **out, const struct agent_config *config, struct ts_why *why)
{
    struct agent *a = calloc(1, sizeof(*a));
    struct agent_stored stored = {.table = netctl_tree_make(0)};
    struct agent_store_news news;
    ts_must(a);
    a->config = *config;
    enum ts_err err = open_trust(&a->trust, config, why);
    err = err == TS_OK ? agent_store_open(&a->store, config->state, &stored, &news, why) : err;
    if (err == TS_OK && config->watches) {
        err = agent_watch_open(&a->watch, config->loop, on_interfaces, a, why);
    }
    if (err != TS_OK) {
        netctl_tree_free(&stored.table);
        agent_store_close(a->store);
        net_tls_trust_close(a->trust);
        free(a);
        return err;
    }
    tell_found(a, &stored, &news);
    make_core(a, &stored);
    open_wire(a);
    (void)uv_timer_init(config->loop, &a->timer);
    a->timer.data = a;
    (void)uv_timer_init(config->loop, &a->health);
    a->health.data = a;
    (void)uv_timer_start(&a->health, on_health, HEALTH_MS, HEALTH_MS);
    if (!config->watches) {
        on_interfaces(a, &(struct south_inventory){.vifs = 0});
    }
    (void)uv_timer_start(&a->timer, on_timer, 0, 0);
    *out = a;
    return TS_OK;
}

enum ts_err agent_reload(struct agent *a, struct ts_why *why)
{
    struct net_tls_trust *next = NULL;
    enum ts_err err = open_trust(&next, &a->config, why);
    if (err == TS_OK) {
        agent_wire_trust(a->wire, next);
        net_tls_trust_close(a->trust);
        a->trust = next;
    }
    return err;
}

const struct agent_core *agent_core_of(const struct agent *a)
{
    return a->core;
}
