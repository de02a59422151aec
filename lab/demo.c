#include "lab/demo.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lab/clock.h"
#include "lab/fault.h"
#include "lab/mem.h"
#include "lab/scratch.h"

#define FIRST_NET 77
#define POLL_MS 5
#define IN_SYNC_MS_MAX 60000
#define SERVED_MS_MAX 30000
/* How long the load runs undisturbed before, between and after the failures. */
#define CALM_MS 5000
#define RUN_LENGTH_MAX 60 /* of the directory's path: Unix sockets in it must fit */
#define MARK_FILE ".twinstep-demo"

/* Set by the signal handler: the one thing that may be shared with it. */
static volatile sig_atomic_t interrupted;

static void on_signal(int signo)
{
    (void)signo;
    interrupted = 1;
}

static void catch_signals(void)
{
    struct sigaction action = {.sa_handler = on_signal};
    sigemptyset(&action.sa_mask);
    (void)sigaction(SIGINT, &action, NULL);
    (void)sigaction(SIGTERM, &action, NULL);
    (void)sigaction(SIGHUP, &action, NULL);
    (void)signal(SIGPIPE, SIG_IGN);
}

/* ---- waiting, with the live line ---- */

static bool watch(struct lab_demo *d, unsigned ms, const char *doing)
{
    uint64_t end = lab_now_ns() + ms * TS_NS_PER_MS;
    while (!interrupted && lab_now_ns() < end) {
        lab_screen_tick(&d->screen, d->load, doing);
        lab_pause_ms(POLL_MS);
    }
    return !interrupted;
}

/* Until both replicas are in sync, in an epoch above `epoch`. */
static bool wait_in_sync(struct lab_demo *d, uint64_t epoch, struct lab_state *state)
{
    uint64_t end = lab_now_ns() + IN_SYNC_MS_MAX * TS_NS_PER_MS;
    while (!interrupted && lab_now_ns() < end) {
        lab_pair_state(&d->pair, state);
        if (lab_state_redundant(state) && lab_state_epoch(state) > epoch) {
            return true;
        }
        lab_screen_tick(&d->screen, d->load, "waiting until both replicas are in sync");
        lab_pause_ms(POLL_MS);
    }
    return false;
}

static bool wait_answers(struct lab_demo *d, uint64_t more)
{
    uint64_t goal = lab_load_now(d->load).acknowledged + more;
    uint64_t end = lab_now_ns() + SERVED_MS_MAX * TS_NS_PER_MS;
    while (!interrupted && lab_now_ns() < end) {
        if (lab_load_now(d->load).acknowledged >= goal) {
            return true;
        }
        lab_pause_ms(1);
    }
    return false;
}

/* ---- the directory ---- */

static enum ts_err choose_run(const struct lab_demo_options *o, char out[TS_PATH_MAX],
                              struct ts_why *why)
{
    char cwd[TS_PATH_MAX];
    if (o->run != NULL) {
        if (strlen(o->run) >= TS_PATH_MAX) {
            return ts_why(why, TS_ERR_LIMIT, "the path after --dir is too long");
        }
        memcpy(out, o->run, strlen(o->run) + 1);
        return TS_OK;
    }
    if (getcwd(cwd, sizeof cwd) != NULL && strlen(cwd) < RUN_LENGTH_MAX && access(cwd, W_OK) == 0) {
        return ts_path(out, why, cwd, "run/demo");
    }
    return ts_path(out, why, "/tmp", "twinstep-demo-%u", (unsigned)geteuid());
}

static bool exists(const char *dir, const char *file)
{
    char path[TS_PATH_MAX];
    struct stat st;
    return ts_path(path, NULL, dir, "%s", file) == TS_OK && stat(path, &st) == 0;
}

/* Held by the descriptor that stays open until this process ends, however it ends. */
static enum ts_err lock_mark(const char *run, struct ts_why *why)
{
    char mark[TS_PATH_MAX];
    enum ts_err err = ts_path(mark, why, run, MARK_FILE);
    if (err != TS_OK) {
        return err;
    }
    int fd = open(mark, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) != 0) {
        bool held = fd >= 0 && errno == EWOULDBLOCK;
        err = ts_why(why, held ? TS_ERR_BUSY : TS_ERR_SYSTEM,
                     held ? "another demonstration runs in %s; wait for its end, or give another "
                            "directory by --dir"
                          : "cannot lock %s/" MARK_FILE "; check the directory's permissions",
                     run);
        if (fd >= 0) {
            (void)close(fd);
        }
    }
    return err;
}

/* A fresh directory: what an earlier demonstration left is ended and removed, anything else is
 * left alone. */
static enum ts_err clear_run(const char *run, struct ts_why *why)
{
    struct nodes_run old;
    char mark[TS_PATH_MAX];
    enum ts_err err = TS_OK;
    if (access(run, F_OK) == 0) {
        if (!exists(run, MARK_FILE)) {
            return ts_why(
                why, TS_ERR_EXISTS,
                "%s exists and is not of a demonstration; give another directory by --dir", run);
        }
        err = lock_mark(run, why);
        err = err != TS_OK ? err : nodes_open(&old, run, why);
        for (size_t i = 0; lab_pair_nodes[i] != NULL && err == TS_OK; i++) {
            err = nodes_stop(&old, lab_pair_nodes[i], 1000, why);
        }
        if (err != TS_OK) {
            return err;
        }
        lab_scratch_remove(run);
    }
    err = ts_dir_make(run, 0755, why);
    err = err != TS_OK ? err : ts_path(mark, why, run, MARK_FILE);
    err = err != TS_OK ? err : ts_file_replace(mark, "", 0, 0644, why);
    return err != TS_OK ? err : lock_mark(run, why);
}

/* ---- the script ---- */

static bool complain(struct lab_demo *d, const char *what)
{
    lab_screen_clear(&d->screen);
    if (!interrupted) {
        fprintf(stderr, "twinstep demo: %s\n", what);
        if (d->up) {
            fprintf(stderr, "    logs: %s/*/log; ports and programs: twinstep status --dir %s\n",
                    d->pair.run.run, d->pair.run.run);
        }
    }
    return false;
}

static bool start_pair(struct lab_demo *d)
{
    struct lab_pair_config config = {.failure_timeout_ms = 100};
    struct ts_why why = {{0}};
    struct lab_state state;
    struct nodes_proc heartbeatd;
    if (choose_run(&d->options, config.run, &why) != TS_OK ||
        clear_run(config.run, &why) != TS_OK) {
        return complain(d, why.text);
    }
    config.net = lab_pair_free_net(FIRST_NET);
    if (config.net == 0) {
        return complain(d,
                        "no free loopback addresses 127.77–117.x.y with ports 6379 and 7401–7411;"
                        " end what uses them");
    }
    lab_screen_say(&d->screen, "starting two NICs and an arbiter in %s", config.run);
    d->up = true;
    if (lab_pair_up(&d->pair, &config, &why) != TS_OK) {
        return complain(d, why.text);
    }
    if (!wait_in_sync(d, 0, &state)) {
        return complain(d, "the replicas did not get in sync within a minute");
    }
    d->real_time = nodes_find(&d->pair.run, "nic1", "heartbeatd", NULL, &heartbeatd) &&
                   (sched_getscheduler(heartbeatd.pid) & ~SCHED_RESET_ON_FORK) == SCHED_FIFO;
    lab_screen_say(&d->screen,
                   "%s is primary, both replicas are in sync; clients may use "
                   "redis-cli -h %s",
                   lab_pair_node(&d->pair, (unsigned)lab_state_primary(&state)),
                   d->pair.cluster.nodes[lab_state_primary(&state)].paths[0]);
    return true;
}

static bool start_load(struct lab_demo *d)
{
    struct lab_load_config config = lab_load_defaults();
    config.addrs = lab_pair_addrs(&d->pair);
    snprintf(config.tag, sizeof config.tag, "demo");
    config.keys = 32;
    config.clients = 24;
    config.seed = lab_now_ns();
    if (lab_load_start(&d->load, &config) != TS_OK) {
        return complain(d, "no thread can be made for the load; end some programs");
    }
    lab_screen_say(&d->screen, "%u clients write and read, every answer is checked",
                   config.clients);
    return wait_answers(d, 100) ? watch(d, CALM_MS, "all is well")
                                : complain(d, "clients get no answers");
}

/* Index of the NIC that leads in a newer epoch; it answers clients already, its cluster-cfgd
 * may need another look. */
static unsigned find_new_primary(struct lab_demo *d, uint64_t epoch)
{
    struct lab_state state;
    for (unsigned look = 0; look < 200 && !interrupted; look++) {
        lab_pair_state(&d->pair, &state);
        int primary = lab_state_primary(&state);
        if (primary >= 0 && state.replica[primary].epoch > epoch) {
            return (unsigned)primary;
        }
        lab_pause_ms(POLL_MS);
    }
    return 0;
}

/* What both failures have in common: the harm, the first answers after it. */
static struct lab_incident *strike(struct lab_demo *d, struct lab_fault *f,
                                   const struct lab_state *before, const char *what)
{
    struct ts_why why = {{0}};
    struct lab_incident *i = &d->incidents[d->incident_count];
    *i = (struct lab_incident){.epoch_before = lab_state_epoch(before)};
    snprintf(i->what, sizeof i->what, "%s", what);
    lab_load_reset_gap(d->load);
    if (lab_fault_inject(f, &why) != TS_OK || lab_fault_observe(f, &why) != TS_OK) {
        complain(d, why.text);
        return NULL;
    }
    i->at_ns = f->injected_ns;
    lab_screen_say(&d->screen, "%s%s%s", lab_screen_red(&d->screen), what,
                   lab_screen_plain(&d->screen));
    if (!wait_answers(d, 200)) {
        complain(d, "clients get no answers after the failure");
        return NULL;
    }
    struct lab_load_now now = lab_load_now(d->load);
    i->pause_from_ns = now.longest_gap_begin_ns;
    i->pause_to_ns = now.longest_gap_begin_ns + now.longest_gap_ns;
    i->new_primary = find_new_primary(d, i->epoch_before);
    uint64_t pause = lab_tenths_ms(i->pause_from_ns, i->pause_to_ns);
    lab_screen_say(&d->screen, "%s answers; nobody was answered for %" PRIu64 ".%u ms",
                   lab_pair_node(&d->pair, i->new_primary), pause / 10, (unsigned)(pause % 10));
    /* The events reach the recorder within its next reports. */
    lab_pause_ms(300);
    lab_phases_read(&d->pair.run, lab_pair_node(&d->pair, i->new_primary), i->at_ns, &i->phases);
    d->incident_count++;
    return i;
}

static bool kill_replica(struct lab_demo *d)
{
    struct lab_state state;
    struct lab_fault f;
    char what[96];
    if (!wait_in_sync(d, 0, &state)) {
        return complain(d, "the replicas are not in sync");
    }
    const char *nic = lab_pair_node(&d->pair, (unsigned)lab_state_primary(&state));
    lab_fault_kill(&f, &d->pair.run, nic, "replica", LAB_PAIR_GROUP);
    snprintf(what, sizeof what, "SIGKILL of %s's replica, the primary", nic);
    struct lab_incident *i = strike(d, &f, &state, what);
    if (i == NULL) {
        return false;
    }
    if (!wait_in_sync(d, i->epoch_before, &state)) {
        return complain(d, "redundancy did not come back");
    }
    i->redundant_ns = lab_now_ns();
    i->epoch_after = lab_state_epoch(&state);
    lab_screen_say(&d->screen, "%s restarted its replica, which caught up: two copies again", nic);
    return watch(d, CALM_MS, "all is well");
}

static bool kill_nic(struct lab_demo *d)
{
    struct lab_state state;
    struct lab_fault f;
    struct ts_why why = {{0}};
    char what[96];
    if (!wait_in_sync(d, 0, &state)) {
        return complain(d, "the replicas are not in sync");
    }
    const char *nic = lab_pair_node(&d->pair, (unsigned)lab_state_primary(&state));
    lab_fault_nic(&f, &d->pair.run, nic);
    snprintf(what, sizeof what, "SIGKILL of the whole NIC %s: every process at once", nic);
    struct lab_incident *i = strike(d, &f, &state, what);
    if (i == NULL || !watch(d, CALM_MS / 2, "one copy left: the arbiter stands in")) {
        return false;
    }
    i->restart_ns = lab_now_ns();
    if (lab_fault_heal(&f, &why) != TS_OK) {
        return complain(d, why.text);
    }
    lab_screen_say(&d->screen, "%s is switched on again", nic);
    if (!wait_in_sync(d, i->epoch_before, &state)) {
        return complain(d, "redundancy did not come back");
    }
    i->redundant_ns = lab_now_ns();
    i->epoch_after = lab_state_epoch(&state);
    lab_screen_say(&d->screen, "%s caught up: two copies again", nic);
    return watch(d, CALM_MS, "all is well");
}

static bool open_history(struct lab_demo *d)
{
    if (d->options.history == NULL) {
        return true;
    }
    d->history = fopen(d->options.history, "we");
    if (d->history == NULL) {
        fprintf(stderr, "twinstep demo: cannot write %s: %s\n", d->options.history,
                strerror(errno));
    }
    return d->history != NULL;
}

/* Also of a load that could not be read back: what clients were told is worth having. */
static bool write_history(struct lab_demo *d)
{
    if (d->history == NULL) {
        return true;
    }
    bool good = lab_load_write_history(d->load, d->history) == TS_OK;
    good = fclose(d->history) == 0 && good;
    d->history = NULL;
    if (!good) {
        return complain(d, "the history could not be written: is the disk full?");
    }
    lab_screen_say(&d->screen, "the history is in %s; lincheck judges it once more",
                   d->options.history);
    return true;
}

static bool judge(struct lab_demo *d)
{
    uint64_t now = lab_now_ns();
    lab_load_stop(d->load);
    d->load_seconds = (double)(now - d->screen.begin_ns) / 1e9;
    lab_screen_say(&d->screen, "the load ends; everything is read back and checked");
    bool read_back = lab_load_reconcile(d->load, SERVED_MS_MAX, &d->verdict) == TS_OK;
    bool written = write_history(d);
    return read_back ? written : complain(d, "the data could not be read back");
}

static void tear_down(struct lab_demo *d)
{
    struct ts_why why = {{0}};
    lab_screen_clear(&d->screen);
    lab_load_free(d->load);
    d->load = NULL;
    if (!d->up || d->pair.run.run[0] == '\0') {
        return;
    }
    if (d->options.keep && !interrupted) {
        printf("The pair still runs: twinstep status --dir %s; twinstep down --dir %s\n",
               d->pair.run.run, d->pair.run.run);
    } else if (lab_pair_down(&d->pair, &why) != TS_OK) {
        fprintf(stderr, "twinstep demo: %s\n", why.text);
    }
}

enum lab_demo_status lab_demo_run(const struct lab_demo_options *options)
{
    struct lab_demo *d = lab_calloc(1, sizeof *d);
    enum lab_demo_status status = LAB_DEMO_FAILED;
    d->options = *options;
    const char *term = getenv("TERM");
    bool able = term != NULL && term[0] != '\0' && strcmp(term, "dumb") != 0;
    d->screen.terminal = able && isatty(STDOUT_FILENO) == 1;
    d->screen.color = d->screen.terminal && !options->no_color;
    d->screen.begin_ns = lab_now_ns();
    catch_signals();
    lab_screen_title(&d->screen, "Two NICs and an arbiter run a key-value service in lockstep");
    if (open_history(d) && start_pair(d) && start_load(d) && kill_replica(d) && kill_nic(d) &&
        judge(d)) {
        status = lab_demo_report(d) ? LAB_DEMO_HELD : LAB_DEMO_BROKEN;
    }
    tear_down(d);
    if (interrupted) {
        puts("interrupted; everything was ended");
        /* The report was printed: its verdict stands. */
        status = status == LAB_DEMO_FAILED ? LAB_DEMO_INTERRUPTED : status;
    }
    if (d->history != NULL) {
        (void)fclose(d->history);
    }
    free(d);
    return status;
}
