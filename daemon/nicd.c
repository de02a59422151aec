#include "daemon/nicd.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/exit.h"
#include "base/io/lifeline.h"
#include "cluster-cfg/report.h"
#include "daemon/nicd_child.h"
#include "daemon/nicd_log.h"
#include "daemon/nicd_supervisor.h"
#include "daemon/service_address_io.h"
#include "net/loop.h"
#include "net/unix_dgram.h"

#define NAME_MAX_BYTES (CFG_NAME_MAX + 16)
#define ARGS_MAX 10
#define TRACES_MAX 64
#define READ_BYTES 4096

/* The pipe from one run of a child. A new run gets a new one while the old one still closes. */
struct output {
    uv_poll_t poll;
    struct nicd_slot *slot;
    int fd;
};

/* The watch over one run of a child (base/io/lifeline.h). */
struct watch {
    uv_poll_t poll;
    struct nicd *n;
    struct ts_lifeline *lifeline;
    uint32_t pid;
};

/* What nicd keeps of a process beside the supervisor's state. */
struct nicd_slot {
    char name[NAME_MAX_BYTES]; /* "replica-kv": of the log file, and for people */
    char program[TS_PATH_MAX];
    const char *argv[ARGS_MAX];
    struct output *output; /* NULL when no run is open */
    struct watch *watch;   /* NULL: none */
    struct nicd_log log;
};

struct pending_trace {
    enum report_proc_role role;
    struct ts_group_id group;
    struct ts_trace trace;
};

struct nicd {
    struct nicd_options o;
    struct ts_instance instance;
    struct nicd_perform p;
    struct nicd_slot slots[NICD_PROCS_MAX]; /* by index in the supervisor's procs */
    uv_signal_t child;
    uv_signal_t term;
    uv_signal_t interrupt;
    uv_signal_t hangup;
    uv_timer_t timer;
    struct net_dgram dgram;
    struct service_address_io *addresses; /* NULL: there are none */
    char to_heartbeatd[NET_DGRAM_PATH_MAX];
    char to_cfgd[NET_DGRAM_PATH_MAX];
    size_t trace_count;
    uint64_t traces_dropped;
    struct pending_trace traces[TRACES_MAX];
};

/* ---- telling ---- */

static void send_traces(struct nicd *n)
{
    uint8_t bytes[REPORT_BYTES_MAX];
    size_t sent = 0;
    for (; sent < n->trace_count; sent++) {
        const struct pending_trace *p = &n->traces[sent];
        struct report_trace r = {
            .nic = n->o.self->id,
            .role = p->role,
            .group = p->group,
            .instance = n->instance,
            .dropped = n->traces_dropped,
            .count = 1,
        };
        struct ts_writer w = ts_writer_init(bytes, sizeof(bytes));
        r.t[0] = p->trace;
        enum ts_err err = report_trace_encode(&r, &w);
        ts_assert(err == TS_OK);
        if (!net_dgram_send(&n->dgram, n->to_cfgd, (struct ts_bytes){bytes, w.len})) {
            break; /* cluster-cfgd is not there: kept for the next repeat */
        }
    }
    n->trace_count -= sent;
    memmove(n->traces, n->traces + sent, n->trace_count * sizeof(n->traces[0]));
}

static void add_trace(struct nicd *n, uint8_t proc, enum ts_trace_kind kind, uint64_t status)
{
    const struct nicd_proc *p = &n->p.supervisor.procs[proc];
    if (n->trace_count == TRACES_MAX) {
        n->traces_dropped++;
        return;
    }
    n->traces[n->trace_count++] = (struct pending_trace){
        .role = p->role,
        .group = p->group,
        .trace = {.kind = kind, .at = net_now(), .a = p->pid, .b = status},
    };
}

/* The message in a line of net/log.h, without time, level, program and node; other lines as
 * they are. */
static const char *message_of(const char *line)
{
    const char *at = line;
    if (line[0] < '0' || line[0] > '9') {
        return line;
    }
    for (int words = 0; words < 4; words++) {
        at = strchr(at, ' ');
        if (at == NULL) {
            return line;
        }
        at++;
    }
    return at;
}

/* Adds the reasons of those that ended. */
static void on_reasons(void *ctx, struct report_procs *r)
{
    const struct nicd *n = ctx;
    unsigned left = REPORT_SAID_COUNT;
    for (uint8_t i = 0; i < n->p.supervisor.count && left > 0; i++) {
        if (!r->p[i].running && r->p[i].last_status > 0) {
            (void)snprintf(r->p[i].said, REPORT_SAID_MAX, "%s", message_of(n->slots[i].log.last));
            left--;
        }
    }
}

static void on_report(void *ctx, struct ts_bytes report)
{
    struct nicd *n = ctx;
    (void)net_dgram_send(&n->dgram, n->to_heartbeatd, report);
    (void)net_dgram_send(&n->dgram, n->to_cfgd, report);
    send_traces(n);
}

static void on_told(void *ctx, uint8_t proc)
{
    struct nicd *n = ctx;
    const struct nicd_proc *p = &n->p.supervisor.procs[proc];
    const struct nicd_slot *slot = &n->slots[proc];
    char how[64];
    char then[64] = "";
    if (p->last_status < 0) {
        (void)snprintf(how, sizeof(how), "was killed by signal %" PRId32, -p->last_status);
    } else {
        (void)snprintf(how, sizeof(how), "exited with status %" PRId32, p->last_status);
    }
    bool tell_line = p->last_status > 0 && slot->log.last[0] != '\0';
    if (p->state == NICD_PROC_WAITING) {
        uint64_t wait_ms = ts_mono_since(net_now(), p->due) / TS_NS_PER_MS;
        (void)snprintf(then, sizeof(then), ", starts again in %" PRIu64 " ms", wait_ms);
    }
    net_log(n->o.log, n->p.supervisor.stopping ? NET_LOG_INFO : NET_LOG_WARNING,
            "%s (pid %" PRIu32 ") %s%s%s%s", slot->name, p->pid, how, then,
            tell_line ? "; its last line: " : "", tell_line ? message_of(slot->log.last) : "");
}

/* ---- the pipes of the children ---- */

static void on_output_closed(uv_handle_t *handle)
{
    free(handle->data);
}

static void close_output(struct nicd_slot *slot)
{
    if (slot->output != NULL) {
        uv_close((uv_handle_t *)&slot->output->poll, on_output_closed);
        (void)close(slot->output->fd);
        slot->output = NULL;
    }
}

/* Reads what is there; closes at the end. `all`: the writer is dead, everything is read. */
static void read_output(struct nicd_slot *slot, bool all)
{
    char bytes[READ_BYTES];
    while (slot->output != NULL) {
        ssize_t len = read(slot->output->fd, bytes, sizeof(bytes));
        if (len > 0) {
            nicd_log_write(&slot->log, bytes, (size_t)len);
            if (!all) {
                return; /* the others' turn; the loop comes back */
            }
        } else if (len < 0 && errno == EINTR) {
            continue;
        } else if (len < 0 && errno == EAGAIN && !all) {
            return;
        } else {
            close_output(slot);
        }
    }
}

static void on_output(uv_poll_t *handle, int status, int events)
{
    const struct output *output = (const struct output *)handle->data;
    (void)status;
    (void)events;
    read_output(output->slot, false);
}

/* Takes the pipe. Without memory or a handle the child lives on unheard. */
static void open_output(struct nicd *n, struct nicd_slot *slot, int fd)
{
    struct output *output = (struct output *)calloc(1, sizeof(*output));
    if (output == NULL || uv_poll_init(n->o.loop, &output->poll, fd) != 0) {
        net_log(n->o.log, NET_LOG_ERROR, "the log of %s is lost: cannot watch its pipe",
                slot->name);
        free(output);
        (void)close(fd);
        return;
    }
    output->slot = slot;
    output->fd = fd;
    output->poll.data = output;
    slot->output = output;
    int err = uv_poll_start(&output->poll, UV_READABLE, on_output);
    ts_assert(err == 0);
}

/* ---- the children's lifelines ---- */

static void on_watch_closed(uv_handle_t *handle)
{
    struct watch *w = handle->data;
    ts_lifeline_close(w->lifeline);
    free(w);
}

static void close_watch(struct nicd_slot *slot)
{
    if (slot->watch != NULL) {
        uv_close((uv_handle_t *)&slot->watch->poll, on_watch_closed);
        slot->watch = NULL;
    }
}

static void on_ending(uv_poll_t *handle, int status, int events)
{
    const struct watch *w = (const struct watch *)handle->data;
    (void)status;
    (void)events;
    (void)uv_poll_stop(handle);
    nicd_perform_ending(&w->n->p, w->pid);
}

/* Gives the child's fd, or -1: then its end is heard a little later, by SIGCHLD. Only for replicas,
 * for whose end others wait. */
static int open_watch(struct nicd *n, uint8_t proc)
{
    struct nicd_slot *slot = &n->slots[proc];
    struct watch *w = (struct watch *)calloc(1, sizeof(*w));
    int fd = -1;
    if (n->p.supervisor.procs[proc].role != REPORT_PROC_REPLICA || w == NULL ||
        ts_lifeline_open(&w->lifeline, &fd) != TS_OK) {
        free(w);
        return -1;
    }
    w->n = n;
    int err = uv_poll_init(n->o.loop, &w->poll, ts_lifeline_event_fd(w->lifeline));
    w->poll.data = w;
    if (err != 0) {
        ts_lifeline_close(w->lifeline);
        free(w);
        (void)close(fd);
        return -1;
    }
    err = uv_poll_start(&w->poll, UV_READABLE, on_ending);
    ts_assert(err == 0);
    slot->watch = w;
    return fd;
}

/* ---- nicd_perform_ops ---- */

static uint32_t on_spawn(void *ctx, uint8_t proc)
{
    struct nicd *n = ctx;
    struct nicd_slot *slot = &n->slots[proc];
    int fd = -1;
    nicd_log_begin(&slot->log);
    int lifeline = open_watch(n, proc);
    pid_t pid = nicd_child_start((char *const *)(uintptr_t)slot->argv, lifeline, &fd);
    if (lifeline >= 0) {
        (void)close(lifeline);
        slot->watch->pid = pid > 0 ? (uint32_t)pid : 0;
    }
    if (pid < 0) {
        net_log(n->o.log, NET_LOG_ERROR, "cannot start %s: %s", slot->name, strerror(errno));
        close_watch(slot);
        return 0;
    }
    open_output(n, slot, fd);
    net_log(n->o.log, NET_LOG_INFO, "started %s (pid %d)", slot->name, (int)pid);
    return (uint32_t)pid;
}

static void on_signal(void *ctx, uint8_t proc, int signum)
{
    const struct nicd *n = ctx;
    (void)kill((pid_t)n->p.supervisor.procs[proc].pid, signum);
}

static void on_done(void *ctx)
{
    const struct nicd *n = ctx;
    uv_stop(n->o.loop);
}

static void on_changed(void *ctx, uint8_t proc, enum ts_trace_kind kind, int32_t status)
{
    struct nicd *n = ctx;
    add_trace(n, proc, kind, (uint32_t)status); /* two's complement */
    if (kind != TS_TRACE_PROC_STARTED) {
        service_address_io_ended(n->addresses, n->p.supervisor.procs[proc].group);
    }
    if (kind == TS_TRACE_PROC_EXITED) {
        close_watch(&n->slots[proc]);
        read_output(&n->slots[proc], true); /* a reason, if any, belongs to the report */
    }
}

static struct ts_mono on_now(void *ctx)
{
    (void)ctx;
    return net_now();
}

static const struct nicd_perform_ops OPS = {
    .now = on_now,
    .spawn = on_spawn,
    .signal = on_signal,
    .done = on_done,
    .changed = on_changed,
    .told = on_told,
    .add_reasons = on_reasons,
    .report = on_report,
};

static void on_timer(uv_timer_t *handle);

static void arm_timer(struct nicd *n)
{
    uint64_t left_ns = ts_mono_since(net_now(), nicd_perform_deadline(&n->p));
    uv_update_time(n->o.loop);
    int err = uv_timer_start(&n->timer, on_timer, (left_ns + TS_NS_PER_MS - 1) / TS_NS_PER_MS, 0);
    ts_assert(err == 0);
}

static void on_timer(uv_timer_t *handle)
{
    struct nicd *n = (struct nicd *)handle->data;
    nicd_perform_tick(&n->p);
    arm_timer(n);
}

static void on_child(uv_signal_t *handle, int signum)
{
    struct nicd *n = (struct nicd *)handle->data;
    (void)signum;
    for (;;) {
        int status = 0;
        pid_t pid = waitpid(-1, &status, WNOHANG);
        if (pid <= 0) {
            break;
        }
        nicd_perform_exited(&n->p, (uint32_t)pid,
                            WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status));
    }
    arm_timer(n);
}

static void on_stop(uv_signal_t *handle, int signum)
{
    struct nicd *n = (struct nicd *)handle->data;
    net_log(n->o.log, NET_LOG_INFO, "%s on signal %d",
            n->p.supervisor.stopping ? "kills what is left" : "stops", signum);
    nicd_perform_stop(&n->p);
    arm_timer(n);
}

/* Certificates were renewed: those who have links take them. heartbeatd has none, and touches no
 * disk. */
static void on_hangup(uv_signal_t *handle, int signum)
{
    const struct nicd *n = (const struct nicd *)handle->data;
    unsigned told = 0;
    for (uint8_t i = 0; i < n->p.supervisor.count; i++) {
        const struct nicd_proc *p = &n->p.supervisor.procs[i];
        if (p->state == NICD_PROC_RUNNING && p->role != REPORT_PROC_HEARTBEATD) {
            told += kill((pid_t)p->pid, signum) == 0 ? 1 : 0;
        }
    }
    net_log(n->o.log, NET_LOG_INFO,
            "signal %d: told %u programs to load their certificates again; their logs say more",
            signum, told);
}

/* ---- opening and closing ---- */

static const char *program_of(const struct nicd_proc *p)
{
    if (p->role == REPORT_PROC_HEARTBEATD) {
        return "heartbeatd";
    }
    return p->role == REPORT_PROC_CLUSTER_CFGD ? "cluster-cfgd" : "replica";
}

static enum ts_err open_slot(struct nicd *n, uint8_t i, struct ts_why *why)
{
    const struct nicd_proc *p = &n->p.supervisor.procs[i];
    const struct cfg_group *group = cfg_cluster_group(n->o.cluster, p->group);
    struct nicd_slot *slot = &n->slots[i];
    size_t argc = 0;
    enum ts_err err = ts_path(slot->program, why, n->o.libexec, "%s", program_of(p));
    if (err != TS_OK) {
        return err;
    }
    (void)snprintf(slot->name, sizeof(slot->name), "%s%s%s", program_of(p),
                   group == NULL ? "" : "-", group == NULL ? "" : group->name);
    const char *const args[] = {slot->program, "--config",      n->o.config,
                                "--node",      n->o.self->name, "--data",
                                n->o.dir,      "--group",       group == NULL ? "" : group->name};
    size_t count = sizeof(args) / sizeof(args[0]) - (group == NULL ? 2 : 0);
    ts_assert(count < ARGS_MAX);
    for (; argc < count; argc++) {
        slot->argv[argc] = args[argc];
    }
    slot->argv[argc] = NULL;
    if (nicd_log_open(&slot->log, n->o.loop, n->o.dir, slot->name) != TS_OK) {
        return ts_why(why, TS_ERR_LIMIT, "%s/log/%s.log is too long a path", n->o.dir, slot->name);
    }
    return TS_OK;
}

static enum ts_err open_local(struct nicd *n, struct ts_why *why)
{
    int a = snprintf(n->to_heartbeatd, NET_DGRAM_PATH_MAX, "%s/run/heartbeatd.sock", n->o.dir);
    int b = snprintf(n->to_cfgd, NET_DGRAM_PATH_MAX, "%s/run/cfgd.sock", n->o.dir);
    ts_assert(a > 0 && b > 0);
    if (a >= NET_DGRAM_PATH_MAX || b >= NET_DGRAM_PATH_MAX) {
        return ts_why(why, TS_ERR_LIMIT,
                      "%s/run/heartbeatd.sock is too long for a socket: choose a shorter data "
                      "directory",
                      n->o.dir);
    }
    if (net_dgram_open(&n->dgram, n->o.loop, NULL, NULL, NULL) != TS_OK) {
        return ts_why_sys(why, errno, "cannot open a Unix socket");
    }
    return TS_OK;
}

static void open_signal(struct nicd *n, uv_signal_t *handle, uv_signal_cb callback, int signum)
{
    int err = uv_signal_init(n->o.loop, handle);
    ts_assert(err == 0);
    handle->data = n;
    err = uv_signal_start(handle, callback, signum);
    ts_assert(err == 0);
}

enum ts_err nicd_open(struct nicd **out, const struct nicd_options *options, struct ts_why *why)
{
    struct nicd *n = (struct nicd *)calloc(1, sizeof(*n));
    if (n == NULL) {
        return ts_why(why, TS_ERR_NOMEM, "out of memory");
    }
    n->o = *options;
    nicd_perform_open(&n->p, n->o.cluster, n->o.self->id, (uint32_t)getpid(), &OPS, n);
    enum ts_err err = net_random_u64(&n->instance.v);
    if (err != TS_OK) {
        (void)ts_why(why, err, "the system gives no random number");
    }
    for (uint8_t i = 0; i < n->p.supervisor.count && err == TS_OK; i++) {
        err = open_slot(n, i, why);
    }
    if (err == TS_OK) {
        err = service_address_io_open(&n->addresses, n->o.loop, n->o.log, n->o.cluster,
                                      n->o.self->id, n->o.dir, why);
    }
    if (err == TS_OK) {
        err = open_local(n, why);
    }
    if (err != TS_OK) {
        service_address_io_close(n->addresses);
        (void)uv_run(n->o.loop, UV_RUN_DEFAULT);
        service_address_io_free(n->addresses);
        free(n);
        return err;
    }
    open_signal(n, &n->child, on_child, SIGCHLD);
    open_signal(n, &n->term, on_stop, SIGTERM);
    open_signal(n, &n->interrupt, on_stop, SIGINT);
    open_signal(n, &n->hangup, on_hangup, SIGHUP);
    int uv_err = uv_timer_init(n->o.loop, &n->timer);
    ts_assert(uv_err == 0);
    n->timer.data = n;
    on_timer(&n->timer);
    *out = n;
    return TS_OK;
}

static bool logs_idle(const struct nicd *n)
{
    for (uint8_t i = 0; i < n->p.supervisor.count; i++) {
        if (!nicd_log_idle(&n->slots[i].log)) {
            return false;
        }
    }
    return true;
}

static void on_log_wait_over(uv_timer_t *handle)
{
    *(bool *)handle->data = true;
}

bool nicd_close(struct nicd *n)
{
    bool over = false;
    if (n == NULL) {
        return true;
    }
    for (uint8_t i = 0; i < n->p.supervisor.count; i++) {
        read_output(&n->slots[i], true);
        close_watch(&n->slots[i]);
    }
    n->timer.data = &over;
    int err = uv_timer_start(&n->timer, on_log_wait_over, NICD_LOG_WAIT_NS / TS_NS_PER_MS, 0);
    ts_assert(err == 0);
    while (!over && !logs_idle(n)) {
        (void)uv_run(n->o.loop, UV_RUN_ONCE);
    }
    if (!logs_idle(n)) {
        return false;
    }
    uv_close((uv_handle_t *)&n->child, NULL);
    uv_close((uv_handle_t *)&n->term, NULL);
    uv_close((uv_handle_t *)&n->interrupt, NULL);
    uv_close((uv_handle_t *)&n->hangup, NULL);
    uv_close((uv_handle_t *)&n->timer, NULL);
    net_dgram_close(&n->dgram);
    service_address_io_close(n->addresses);
    (void)uv_run(n->o.loop, UV_RUN_DEFAULT);
    service_address_io_free(n->addresses);
    free(n);
    return true;
}
