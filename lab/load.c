#include "lab/load.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/prng.h"
#include "lab/load_keys.h"
#include "lab/load_leases.h"
#include "lab/mem.h"

struct worker {
    struct lab_load *load;
    struct lab_client *client;
    struct ts_prng prng;
    struct lab_op op; /* the one under way, or the next one of a lease */
    struct lab_leaser leaser;
    uv_timer_t rest;
    uint16_t number;
    bool done;
    uint8_t value[LAB_VALUE_MAX];
};

struct lab_load {
    struct lab_load_config config;
    pthread_t thread;
    bool joined;

    /* the load thread's, until it has ended */
    uv_loop_t loop;
    uv_async_t wake; /* sent by lab_load_stop */
    uv_timer_t pulse;
    struct worker *workers; /* owned, config.clients of them */
    unsigned running;
    bool stop; /* lab_load_stop has spoken */
    uint32_t next_token;
    int64_t next_value;
    struct lab_history history;
    struct lab_client_stats stats;

    /* shared */
    atomic_uint_fast64_t acknowledged;
    atomic_uint_fast64_t ambiguous;
    atomic_uint_fast64_t failed;
    atomic_uint in_flight;
    atomic_uint_fast64_t last_ack_ns;
    atomic_uint_fast64_t longest_gap_ns;
    atomic_uint_fast64_t longest_gap_begin_ns;
    pthread_mutex_t mutex; /* guards nothing but the waiting on `more` */
    pthread_cond_t more;
};

static void start_op(struct worker *w);

struct lab_load_config lab_load_defaults(void)
{
    return (struct lab_load_config){.tag = "load",
                                    .clients = 16,
                                    .keys = 8,
                                    .reads_percent = 30,
                                    .value_bytes = 64,
                                    .request_timeout_ms = 400,
                                    .give_up_ms = 60000,
                                    .seed = 1};
}

/* ---- one operation ---- */

static void choose_op(struct worker *w)
{
    struct lab_load *load = w->load;
    static const uint8_t writes[] = {LAB_OP_APPEND, LAB_OP_SET, LAB_OP_INCR};
    static const uint8_t reads[] = {LAB_OP_LENGTH, LAB_OP_GET, LAB_OP_COUNT};
    bool read = ts_prng_below(&w->prng, 100) < load->config.reads_percent;
    size_t which = (size_t)ts_prng_below(&w->prng, 3);
    w->op = (struct lab_op){.client = w->number,
                            .kind = read ? reads[which] : writes[which],
                            .key = (uint32_t)ts_prng_below(&w->prng, load->config.keys)};
    if (w->op.kind == LAB_OP_APPEND) {
        w->op.value = load->next_token++;
    } else if (w->op.kind == LAB_OP_SET) {
        w->op.value = load->next_value++;
    }
}

static void note_gap(struct lab_load *load, uint64_t last, uint64_t now)
{
    if (last != 0 && now - last > atomic_load(&load->longest_gap_ns)) {
        atomic_store(&load->longest_gap_begin_ns, last);
        atomic_store(&load->longest_gap_ns, now - last);
    }
}

static void note_ack(struct lab_load *load, uint64_t now)
{
    uint64_t last = atomic_load(&load->last_ack_ns);
    note_gap(load, last, now);
    atomic_store(&load->last_ack_ns, now);
    atomic_fetch_add(&load->acknowledged, 1);
    pthread_mutex_lock(&load->mutex);
    pthread_cond_broadcast(&load->more);
    pthread_mutex_unlock(&load->mutex);
}

/* The loop outlives the workers until lab_load_stop has spoken: its handle must stay usable. */
static void end_loop_when_done(struct lab_load *load)
{
    if (load->running == 0 && load->stop) {
        uv_close((uv_handle_t *)&load->wake, NULL);
        uv_close((uv_handle_t *)&load->pulse, NULL);
    }
}

static void worker_done(struct worker *w)
{
    struct lab_load *load = w->load;
    w->done = true;
    const struct lab_client_stats *s = lab_client_stats(w->client);
    lab_client_stats_add(&load->stats, s);
    lab_client_close(w->client);
    uv_close((uv_handle_t *)&w->rest, NULL);
    load->running--;
    end_loop_when_done(load);
}

static bool enough(const struct lab_load *load)
{
    return load->stop || (load->config.ops_max > 0 && load->history.count >= load->config.ops_max);
}

static void rest_cb(uv_timer_t *timer)
{
    start_op(timer->data);
}

static void next_op(struct worker *w)
{
    struct lab_load *load = w->load;
    if (enough(load)) {
        worker_done(w);
        return;
    }
    uint64_t us = load->config.pause_us;
    uint64_t rest_ms = us == 0 ? 0 : (us + ts_prng_below(&w->prng, 1000)) / 1000;
    if (load->config.lease_ms > 0) {
        rest_ms = lab_lease_next(&w->leaser, &w->prng, w->number, load->config.keys,
                                 load->config.lease_ms, &w->op);
    }
    if (rest_ms > 0) {
        uv_timer_start(&w->rest, rest_cb, rest_ms, 0);
    } else {
        start_op(w);
    }
}

static void reply_cb(void *arg, enum lab_outcome outcome, const struct lab_reply *reply)
{
    struct worker *w = arg;
    struct lab_load *load = w->load;
    uint64_t now = uv_hrtime();
    if (outcome == LAB_ACKED && !lab_take_answer(&w->op, reply)) {
        outcome = LAB_FAILED; /* a reply of the wrong type proves nothing good */
    }
    w->op.outcome = (uint8_t)outcome;
    w->op.end_ns = outcome == LAB_AMBIGUOUS ? LAB_NEVER : now;
    lab_history_add(&load->history, &w->op);
    lab_lease_done(&w->leaser, &w->op);
    atomic_fetch_sub(&load->in_flight, 1);
    if (outcome == LAB_ACKED) {
        note_ack(load, now);
    } else {
        atomic_fetch_add(outcome == LAB_FAILED ? &load->failed : &load->ambiguous, 1);
    }
    next_op(w);
}

static void start_op(struct worker *w)
{
    struct lab_load *load = w->load;
    if (enough(load)) {
        worker_done(w);
        return;
    }
    struct lab_request request;
    if (load->config.lease_ms > 0) {
        lab_lease_request(&request, load->config.tag, &w->op, load->config.lease_ms);
    } else {
        choose_op(w);
        lab_request_make(&request, load->config.tag, &w->op, load->config.value_bytes, w->value);
    }
    w->op.begin_ns = uv_hrtime();
    atomic_fetch_add(&load->in_flight, 1);
    lab_client_send(w->client, request.argv, request.argc, reply_cb, w);
}

/* ---- the thread ---- */

/* Resting workers end at once; the others with their reply. */
static void wake_cb(uv_async_t *async)
{
    struct lab_load *load = async->data;
    load->stop = true;
    bool idle = load->running == 0;
    for (unsigned i = 0; i < load->config.clients; i++) {
        struct worker *w = &load->workers[i];
        if (!w->done && uv_is_active((uv_handle_t *)&w->rest)) {
            uv_timer_stop(&w->rest);
            worker_done(w);
        }
    }
    if (idle) {
        end_loop_when_done(load);
    }
}

/* Lets a waiter look again also when nothing is answered any more. */
static void pulse_cb(uv_timer_t *timer)
{
    struct lab_load *load = timer->data;
    uint64_t last = atomic_load(&load->last_ack_ns);
    uint64_t now = uv_hrtime();
    note_gap(load, last, now);
}

static void *load_thread(void *arg)
{
    struct lab_load *load = arg;
    for (unsigned i = 0; i < load->config.clients; i++) {
        next_op(&load->workers[i]);
    }
    uv_run(&load->loop, UV_RUN_DEFAULT);
    return NULL;
}

static void make_workers(struct lab_load *load)
{
    const struct lab_load_config *config = &load->config;
    struct lab_client_config client = {.addrs = config->addrs,
                                       .request_timeout_ms = config->request_timeout_ms,
                                       .give_up_ms = config->give_up_ms,
                                       .trust = config->trust,
                                       .user = config->user,
                                       .password = config->password};
    load->workers = lab_calloc(config->clients, sizeof *load->workers);
    load->running = config->clients;
    for (unsigned i = 0; i < config->clients; i++) {
        struct worker *w = &load->workers[i];
        w->load = load;
        w->number = (uint16_t)i;
        w->prng = ts_prng_init(config->seed * LAB_CLIENTS_MAX + i);
        w->client = lab_client_new(&load->loop, &client);
        int rc = uv_timer_init(&load->loop, &w->rest);
        ts_assert(rc == 0);
        w->rest.data = w;
    }
}

enum ts_err lab_load_start(struct lab_load **out, const struct lab_load_config *config)
{
    ts_assert(config->clients >= 1 && config->clients <= LAB_CLIENTS_MAX && config->keys >= 1);
    ts_assert(config->value_bytes >= LAB_VALUE_MIN && config->value_bytes <= LAB_VALUE_MAX);
    struct lab_load *load = lab_calloc(1, sizeof *load);
    load->config = *config;
    load->next_token = 1;
    load->history.lease_ns = config->lease_ms * TS_NS_PER_MS;
    if (uv_loop_init(&load->loop) != 0) {
        free(load);
        return TS_ERR_SYSTEM;
    }
    pthread_mutex_init(&load->mutex, NULL);
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&load->more, &attr);
    pthread_condattr_destroy(&attr);
    int rc = uv_async_init(&load->loop, &load->wake, wake_cb);
    ts_assert(rc == 0);
    load->wake.data = load;
    rc = uv_timer_init(&load->loop, &load->pulse);
    ts_assert(rc == 0);
    load->pulse.data = load;
    uv_timer_start(&load->pulse, pulse_cb, 10, 10);
    make_workers(load);
    if (pthread_create(&load->thread, NULL, load_thread, load) != 0) {
        ts_assert_fail("pthread_create", __FILE__, __LINE__, __func__);
    }
    *out = load;
    return TS_OK;
}

/* ---- the controller's side ---- */

struct lab_load_now lab_load_now(struct lab_load *load)
{
    return (struct lab_load_now){.acknowledged = atomic_load(&load->acknowledged),
                                 .ambiguous = atomic_load(&load->ambiguous),
                                 .failed = atomic_load(&load->failed),
                                 .in_flight = atomic_load(&load->in_flight),
                                 .last_ack_ns = atomic_load(&load->last_ack_ns),
                                 .longest_gap_ns = atomic_load(&load->longest_gap_ns),
                                 .longest_gap_begin_ns = atomic_load(&load->longest_gap_begin_ns)};
}

void lab_load_reset_gap(struct lab_load *load)
{
    atomic_store(&load->longest_gap_ns, 0);
}

bool lab_load_wait_acks(struct lab_load *load, uint64_t more, unsigned timeout_ms)
{
    uint64_t goal = atomic_load(&load->acknowledged) + more;
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += timeout_ms / 1000;
    until.tv_nsec += (long)(timeout_ms % 1000) * 1000000L;
    if (until.tv_nsec >= 1000000000L) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000L;
    }
    bool reached;
    pthread_mutex_lock(&load->mutex);
    while (!(reached = atomic_load(&load->acknowledged) >= goal)) {
        if (pthread_cond_timedwait(&load->more, &load->mutex, &until) != 0) {
            reached = atomic_load(&load->acknowledged) >= goal;
            break;
        }
    }
    pthread_mutex_unlock(&load->mutex);
    return reached;
}

void lab_load_stop(struct lab_load *load)
{
    if (load->joined) {
        return;
    }
    uv_async_send(&load->wake);
    pthread_join(load->thread, NULL);
    load->joined = true;
    int rc = uv_loop_close(&load->loop);
    ts_assert(rc == 0);
    free(load->workers);
    load->workers = NULL;
}

enum ts_err lab_load_reconcile(struct lab_load *load, unsigned timeout_ms, struct lab_verdict *v)
{
    ts_assert(load->joined);
    if (load->config.lease_ms > 0) {
        lab_check(&load->history, NULL, 0, v); /* leases leave nothing that could be read */
        return TS_OK;
    }
    struct lab_readback back = {.tag = load->config.tag,
                                .addrs = load->config.addrs,
                                .trust = load->config.trust,
                                .user = load->config.user,
                                .password = load->config.password,
                                .keys = load->config.keys,
                                .reader = (uint16_t)load->config.clients,
                                .request_timeout_ms = load->config.request_timeout_ms + 600,
                                .timeout_ms = timeout_ms,
                                .history = &load->history};
    enum ts_err err = lab_read_back(&back);
    lab_check(&load->history, err == TS_OK ? back.lists : NULL, load->config.keys, v);
    lab_readback_free(&back);
    return err;
}

const struct lab_history *lab_load_history(const struct lab_load *load)
{
    ts_assert(load->joined);
    return &load->history;
}

enum ts_err lab_load_write_history(const struct lab_load *load, FILE *out)
{
    struct lab_words words = {.tag = load->config.tag,
                              .value_bytes = load->config.value_bytes,
                              .lease_ms = load->config.lease_ms};
    return lab_history_write(lab_load_history(load), &words, out);
}

struct lab_client_stats lab_load_client_stats(const struct lab_load *load)
{
    ts_assert(load->joined);
    return load->stats;
}

void lab_load_free(struct lab_load *load)
{
    if (load == NULL) {
        return;
    }
    lab_load_stop(load);
    lab_history_free(&load->history);
    pthread_mutex_destroy(&load->mutex);
    pthread_cond_destroy(&load->more);
    free(load);
}
