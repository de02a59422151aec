/* The replica: start, one turn of the loop, stop. */
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/io/lifeline.h"
#include "daemon/replica.h"

/* The journal's queue must hold all that the log window may hold, and the cuts in between. */
#define JOURNAL_QUEUE_OPS (4U * 65536U)
#define JOURNAL_QUEUE_BYTES (256U << 20)

/* Blocks shorter than this are taken from the heap, which gives back only what exceeds the second.
 */
#define MALLOC_KEEP_BELOW (16 << 20)
#define MALLOC_KEEP_FREE (256 << 20)

void replica_feed(struct replica *r, struct repl_event *ev)
{
    ev->now = net_now();
    perform_step(&r->p.perform, ev);
    if (ev->kind == REPL_EV_MESSAGE && replica_latency_wants_acks(&r->latency)) {
        replica_service_look_at_acks(r, ev->now);
    }
    if (ev->kind != REPL_EV_SUBMIT) {
        replica_service_resume(r);
    }
}

static struct ts_mono earlier(struct ts_mono a, struct ts_mono b)
{
    return ts_mono_lt(a, b) ? a : b;
}

static void on_timer(uv_timer_t *t)
{
    (void)t; /* the turn that follows looks at every deadline */
}

/* Has the loop wake when the next thing is due. libuv's timers count milliseconds: rounded
 * up, so that a deadline has passed when the timer fires. */
static void arm_timer(struct replica *r, struct ts_mono now)
{
    struct ts_mono at = earlier(r->report_at, perform_deadline(&r->p));
    if (r->p.started) {
        at = earlier(at, r->watch_at);
        at = earlier(at, replica_service_deadline(r, now));
        at = earlier(at, replica_clients_deadline(r));
    }
    if (at.ns == r->timer_at.ns && uv_is_active((const uv_handle_t *)&r->timer)) {
        return;
    }
    uint64_t ms = (ts_mono_since(now, at) + TS_NS_PER_MS - 1) / TS_NS_PER_MS;
    r->timer_at = at;
    uv_update_time(&r->loop);
    int err = uv_timer_start(&r->timer, on_timer, ms, 0);
    ts_assert(err == 0);
}

void replica_end(struct replica *r)
{
    struct ts_mono now = net_now();
    replica_service_publish_status(r, now);
    front_flush(r->front);
    replica_report_flush(r, now, true);
    r->exit_status = TS_EXIT_FAILURE;
    uv_stop(&r->loop);
}

/* Everything that is due; then the turn's commands become one batch. */
static void work(struct replica *r)
{
    struct ts_mono now = net_now();
    perform_turn(&r->p, now, false);
    if (r->p.disk_failed) {
        return; /* it has ended, or is about to */
    }
    replica_service_turn(r, now);
}

/* After all sockets were read, as of the moment when the loop looked which of them can be read:
 * libuv keeps that one as its time. Only here silence is judged. While this process waits for its
 * turn later, what its peers send waits in the sockets. */
static void on_check(uv_check_t *h)
{
    struct replica *r = h->data;
    replica_peers_tick(r, (struct ts_mono){uv_now(&r->loop) * TS_NS_PER_MS});
    work(r);
}

/* Before the loop sleeps: replies leave, state is told, the timer is armed. */
static void on_prepare(uv_prepare_t *h)
{
    struct replica *r = h->data;
    struct ts_mono now = net_now();
    bool due = !ts_mono_lt(now, r->timer_at);
    if (due) {
        work(r);
        net_log_tell_held(&r->start->log, now, false);
    }
    if (r->voters != NULL) {
        replica_register_watch(r, now);
    }
    bool changed = r->status_changed;
    if (changed) {
        r->status_changed = false;
        replica_service_publish_status(r, now);
    }
    front_flush(r->front);
    replica_latency_replied(&r->latency, now);
    replica_report_flush(r, now, changed);
    replica_peers_tell_nicd(r, now);
    replica_clients_turn(r, now);
    arm_timer(r, net_now());
}

static void on_signal(uv_signal_t *h, int number)
{
    struct replica *r = h->data;
    net_log(&r->start->log, NET_LOG_INFO, "stops on signal %d", number);
    r->exit_status = TS_EXIT_OK;
    uv_stop(&r->loop);
}

static void on_hangup(uv_signal_t *h, int number)
{
    struct replica *r = h->data;
    (void)number;
    net_tls_renew(&r->tls, &r->start->log);
    replica_users_renew(r);
    replica_client_tls_renew(r);
}

static int fail(struct replica *r, const char *why)
{
    net_log(&r->start->log, NET_LOG_ERROR, "%s", why);
    return TS_EXIT_CONFIG;
}

static int open_core(struct replica *r)
{
    uint64_t seed;
    uv_timeval64_t wall;
    if (net_random_u64(&r->instance.v) != TS_OK || net_random_u64(&seed) != TS_OK ||
        uv_gettimeofday(&wall) != 0) {
        return fail(r, "the operating system gives no random numbers or no time");
    }
    struct repl_options o = {
        .self = r->start->node->id,
        .instance = r->instance,
        .first_time = {(uint64_t)wall.tv_sec * TS_NS_PER_S + (uint64_t)wall.tv_usec * 1000U},
        .first_now = net_now(),
        .seed = seed,
        .timing = r->start->cluster.timing,
        .limits = repl_limits_default(&r->start->cluster.timing),
    };
    r->core = repl_new(&o);
    r->waiting = calloc(REPLICA_WAITING_MAX, sizeof(*r->waiting));
    if (r->core == NULL || r->waiting == NULL) {
        return fail(r, "out of memory at start");
    }
    perform_open(&r->p, r->core, &replica_perform_table, &replica_perform_ops, r);
    r->p.room.limit = r->start->group->disk_limit;
    if (r->start->group->scrub_every != 0) {
        r->p.scrub.period_ns = r->start->group->scrub_every;
    }
    return TS_EXIT_OK;
}

static int open_journal(struct replica *r)
{
    const struct journal_callbacks callbacks = {
        .persisted = replica_persisted,
        .truncated = replica_truncated,
        .record_persisted = replica_record_persisted,
        .repaired = replica_disk_repaired,
        .failed = replica_disk_failed,
        .arg = r,
    };
    struct journal *journal = NULL;
    struct journal_options options = {.queue_ops_max = JOURNAL_QUEUE_OPS,
                                      .queue_bytes_max = JOURNAL_QUEUE_BYTES,
                                      .begin = replica_begin};
    struct ts_why why;
    enum ts_err err = journal_open(&journal, &r->loop, r->group_dir, &options, &callbacks,
                                   replica_replay, r, &why);
    if (err == TS_ERR_CORRUPT) {
        char what[TS_WHY_MAX];
        memcpy(what, why.text, sizeof(what));
        (void)ts_why(&why, err,
                     "%s (when another replica has all of it: move %s away, and run twinstep nic "
                     "replace %s)",
                     what, r->data_dir, r->start->node->name);
    }
    if (err != TS_OK) {
        int status = fail(r, why.text);
        /* Who holds the lock ends, and room comes back, without a person. */
        return err == TS_ERR_BUSY || err == TS_ERR_NOSPACE ? TS_EXIT_FAILURE : status;
    }
    err = perform_disk_opened(&r->p, journal);
    if (err != TS_OK) {
        (void)ts_why(&why, err,
                     "%s/record cannot be read as a replica's record: %s. Without what it promised "
                     "this replica does not start; use the release that wrote it, or a newer one",
                     r->group_dir, ts_err_text(err));
        return fail(r, why.text);
    }
    const struct journal_info *info = journal_info(journal);
    net_log(&r->start->log, NET_LOG_INFO,
            "journal %s: start %llu, log end %llu, committed %llu at least", r->group_dir,
            (unsigned long long)info->start_number, (unsigned long long)info->last.v,
            (unsigned long long)info->commit.v);
    return TS_EXIT_OK;
}

/* Whether a file has to be mended before another start can do better: the cluster file, users, a
 * certificate. A port that is taken comes free, and memory comes back, without a person. */
static bool is_for_a_person(enum ts_err err)
{
    return err == TS_ERR_CONFIG || err == TS_ERR_MALFORMED || err == TS_ERR_AUTH ||
           err == TS_ERR_NOT_FOUND || err == TS_ERR_LIMIT || err == TS_ERR_VERSION;
}

static int open_all(struct replica *r)
{
    struct ts_why why = {{0}};
    char tls_dir[REPLICA_PATH_MAX];
    int n = snprintf(r->data_dir, sizeof(r->data_dir), "%s", r->start->args.data);
    int m = snprintf(r->group_dir, sizeof(r->group_dir), "%s/groups/%s", r->start->args.data,
                     r->start->group->name);
    int k = snprintf(tls_dir, sizeof(tls_dir), "%s/tls", r->start->args.data);
    if (n < 0 || m < 0 || k < 0 || (size_t)m >= sizeof(r->group_dir)) {
        return fail(r, "the path of --data is too long");
    }
    if (net_tls_open_as(&r->tls, tls_dir, r->start->node->name, r->start->cluster.name, &why) !=
        TS_OK) {
        return fail(r, why.text);
    }
    int status = open_core(r);
    if (status != TS_EXIT_OK) {
        return status;
    }
    enum ts_err err = replica_service_open(r, &why);
    if (err == TS_OK) {
        status = open_journal(r);
        if (status != TS_EXIT_OK) {
            return status;
        }
        err = replica_peers_open(r, &why);
    }
    err = err != TS_OK ? err : replica_clients_open(r, &why);
    err = err != TS_OK ? err : replica_register_open(r, &why);
    err = err != TS_OK ? err : replica_users_open(r, &why);
    err = err != TS_OK ? err : replica_service_listen(r, &why);
    if (err != TS_OK) {
        (void)fail(r, why.text[0] != '\0' ? why.text : ts_err_text(err));
        return is_for_a_person(err) ? TS_EXIT_CONFIG : TS_EXIT_FAILURE;
    }
    return TS_EXIT_OK;
}

static void open_loop(struct replica *r)
{
    int err = uv_loop_init(&r->loop);
    ts_assert(err == 0);
    err = uv_timer_init(&r->loop, &r->timer) | uv_prepare_init(&r->loop, &r->prepare) |
          uv_check_init(&r->loop, &r->check) | uv_signal_init(&r->loop, &r->sigterm) |
          uv_signal_init(&r->loop, &r->sigint) | uv_signal_init(&r->loop, &r->sighup);
    ts_assert(err == 0);
    r->prepare.data = r;
    r->check.data = r;
    r->sigterm.data = r;
    r->sigint.data = r;
    r->sighup.data = r;
    /* Before the certificates are loaded: what is renewed while this starts is loaded again. */
    err = uv_signal_start(&r->sighup, on_hangup, SIGHUP);
    ts_assert(err == 0);
    (void)signal(SIGPIPE, SIG_IGN);
}

static void run(struct replica *r)
{
    int err = uv_signal_start(&r->sigterm, on_signal, SIGTERM) |
              uv_signal_start(&r->sigint, on_signal, SIGINT) |
              uv_prepare_start(&r->prepare, on_prepare) | uv_check_start(&r->check, on_check);
    ts_assert(err == 0);
    r->status_changed = true;
    (void)uv_run(&r->loop, UV_RUN_DEFAULT);
}

/* Large buffers come and go with every long value: batches on their way to the journal, values,
 * what a link gathers. Memory that is fetched from the kernel anew each time costs milliseconds of
 * page faults a turn, so what was freed is kept. */
static void keep_freed_memory(void)
{
    (void)mallopt(M_MMAP_THRESHOLD, MALLOC_KEEP_BELOW);
    (void)mallopt(M_TRIM_THRESHOLD, MALLOC_KEEP_FREE);
}

int main(int argc, char **argv)
{
    keep_freed_memory();
    struct daemon_start *start = calloc(1, sizeof(*start));
    struct replica *r = calloc(1, sizeof(*r));
    ts_lifeline_hold();
    if (start == NULL || r == NULL) {
        (void)fprintf(stderr, "replica: out of memory\n");
        free(start);
        free(r);
        return TS_EXIT_FAILURE;
    }
    int status = daemon_start(start, "replica", DAEMON_TAKES_GROUP, argc, argv);
    if (status >= 0) {
        free(start);
        free(r);
        return status;
    }
    r->start = start;
    r->exit_status = TS_EXIT_FAILURE;
    open_loop(r);
    if (net_turn_open(&r->turn, &r->loop) != TS_OK) {
        return fail(r, "the event loop cannot be set up");
    }
    status = open_all(r);
    if (status != TS_EXIT_OK) {
        return status;
    }
    run(r);
    replica_clients_leave(r);
    net_log_tell_held(&r->start->log, net_now(), true);
    front_end(r->front);
    /* The journal's completed writes are durable and everything else may be lost: that is
     * what a replica must survive anyway. The process ends here; the kernel closes the rest. */
    return r->exit_status;
}
