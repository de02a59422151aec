/* heartbeatd and nicd as real processes: two heartbeatds see each other live, stop, die and
 * refuse strangers; nicd keeps its programs running and takes them with it. The test itself
 * plays cluster-cfgd: it binds the sockets that reports are sent to, and waits for them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/exit.h"
#include "base/io/files.h"
#include "base/prng.h"
#include "cluster-cfg/report.h"
#include "heartbeat/codec.h"
#include "heartbeat/io/udp.h"
#include "lab/scratch.h"
#include "net/loop.h"
#include "net/unix_dgram.h"

#define BASE_PORT 7650
#define HEARTBEAT_PORT (BASE_PORT + 2)
/* How long an event may take before the test gives up: far beyond any busy machine. */
#define PATIENCE_NS (60 * TS_NS_PER_S)

enum { NODES = 2, PIDS_MAX = 8 };

/* What the test reads of one node's reports. */
struct ear {
    struct net_dgram dgram;
    bool has_peers;
    struct report_peers peers;
    bool has_procs;
    struct report_procs procs;
    bool saw_replica_stopped_first; /* a replica was down while the others ran */
    uint64_t rejected;              /* highest count in a trace */
    uint64_t exits_traced;
};

struct world {
    char dir[LAB_SCRATCH_MAX];
    char config[LAB_SCRATCH_MAX + 32];
    char node_dir[NODES][LAB_SCRATCH_MAX + 8];
    char bin[TS_PATH_MAX]; /* where the programs are */
    char libexec[LAB_SCRATCH_MAX + 32];
    struct ear ears[NODES];
    pid_t pids[PIDS_MAX]; /* started by the test, 0 when reaped */
};

/* An address that no other test uses at this time: path and node of this process. */
static void address(char *out, size_t cap, unsigned path, unsigned node)
{
    unsigned pid = (unsigned)getpid();
    (void)snprintf(out, cap, "127.%u.%u.%u", 100 + (pid / 4096) % 100, (pid / 16) % 256,
                   (pid % 16) * 16 + 2 + path * 4 + node);
}

static void write_file(const char *path, const char *text, mode_t mode)
{
    assert_int_equal(ts_file_replace(path, text, strlen(text), mode, NULL), TS_OK);
}

static void make_config(struct world *w)
{
    char a[2][2][32];
    char text[1024];
    for (unsigned n = 0; n < 2; n++) {
        for (unsigned p = 0; p < 2; p++) {
            address(a[n][p], sizeof(a[n][p]), p, n);
        }
    }
    (void)snprintf(text, sizeof(text),
                   "cluster: nictest\nbase-port: %d\nfailure-timeout: 300ms\nnics:\n"
                   "  - {name: nic1, host: host1, paths: [%s, %s]}\n"
                   "  - {name: nic2, host: host2, voter: false, paths: [%s, %s]}\n"
                   "groups:\n  - {name: kv, service: kv, nics: [nic1, nic2], port: 6379}\n",
                   BASE_PORT, a[0][0], a[0][1], a[1][0], a[1][1]);
    write_file(w->config, text, 0644);
}

static void set_key(struct world *w, unsigned node, char fill)
{
    char path[256];
    char key[33];
    memset(key, fill, 32);
    key[32] = '\0';
    (void)snprintf(path, sizeof(path), "%s/tls/heartbeat.key", w->node_dir[node]);
    write_file(path, key, 0600);
}

/* ---- reports ---- */

static void hear_procs(struct ear *ear)
{
    bool replica_down = false;
    bool others_run = true;
    for (uint8_t i = 0; i < ear->procs.count; i++) {
        const struct report_proc *p = &ear->procs.p[i];
        if (p->role == REPORT_PROC_REPLICA) {
            replica_down = p->starts > 0 && !p->running;
        } else {
            others_run = others_run && p->running;
        }
    }
    ear->has_procs = true;
    ear->saw_replica_stopped_first |= replica_down && others_run;
}

static void hear_traces(struct ear *ear, const struct report_trace *r)
{
    for (uint8_t i = 0; i < r->count; i++) {
        if (r->t[i].kind == TS_TRACE_REJECTED_INPUT && r->t[i].b > ear->rejected) {
            ear->rejected = r->t[i].b;
        }
        ear->exits_traced += r->t[i].kind == TS_TRACE_PROC_EXITED;
    }
}

static void on_report(void *arg, struct ts_bytes datagram)
{
    struct ear *ear = (struct ear *)arg;
    struct report_trace traces;
    enum report_kind kind = report_peek(datagram);
    if (kind == REPORT_PEERS) {
        assert_int_equal(report_peers_decode(&ear->peers, datagram), TS_OK);
        ear->has_peers = true;
    } else if (kind == REPORT_PROCS) {
        assert_int_equal(report_procs_decode(&ear->procs, datagram), TS_OK);
        hear_procs(ear);
    } else {
        assert_int_equal(kind, REPORT_TRACE);
        assert_int_equal(report_trace_decode(&traces, datagram), TS_OK);
        hear_traces(ear, &traces);
    }
}

/* Reads reports until `done` says so. Fails when it never does. */
static void wait_until(struct world *w, bool (*done)(const struct world *w), const char *what)
{
    struct ts_mono begun = net_now();
    while (!done(w)) {
        struct pollfd fds[NODES];
        for (unsigned i = 0; i < NODES; i++) {
            fds[i] = (struct pollfd){.fd = w->ears[i].dgram.fd, .events = POLLIN};
        }
        if (ts_mono_since(begun, net_now()) > PATIENCE_NS) {
            fail_msg("waited too long: %s", what);
        }
        (void)poll(fds, NODES, 1000);
        for (unsigned i = 0; i < NODES; i++) {
            net_dgram_read(&w->ears[i].dgram);
        }
    }
}

/* ---- processes ---- */

static pid_t start(struct world *w, const char *program, unsigned node, const char *libexec)
{
    char path[TS_PATH_MAX + 32];
    char log[256];
    char name[8];
    (void)snprintf(path, sizeof(path), "%s/%s", w->bin, program);
    (void)snprintf(log, sizeof(log), "%s/%s.err", w->node_dir[node], program);
    (void)snprintf(name, sizeof(name), "nic%u", node + 1);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        int fd = open(log, O_WRONLY | O_CREAT | O_APPEND, 0644);
        (void)dup2(fd, STDERR_FILENO);
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        (void)execl(path, program, "--config", w->config, "--node", name, "--data",
                    w->node_dir[node], libexec == NULL ? (char *)NULL : "--libexec", libexec,
                    (char *)NULL);
        _exit(127);
    }
    for (unsigned i = 0; i < PIDS_MAX; i++) {
        if (w->pids[i] == 0) {
            w->pids[i] = pid;
            return pid;
        }
    }
    fail_msg("too many processes");
    return 0;
}

/* Waits for a child or an adopted grandchild; gives its wait status. */
static int reap(struct world *w, pid_t pid)
{
    int status = 0;
    while (waitpid(pid, &status, 0) < 0) {
        assert_int_equal(errno, EINTR);
    }
    for (unsigned i = 0; i < PIDS_MAX; i++) {
        w->pids[i] = w->pids[i] == pid ? 0 : w->pids[i];
    }
    return status;
}

static bool file_contains(const char *dir, const char *name, const char *text)
{
    char path[256];
    uint8_t *data = NULL;
    size_t len = 0;
    (void)snprintf(path, sizeof(path), "%s/%s", dir, name);
    if (ts_file_read(path, 1024 * 1024, &data, &len, NULL) != TS_OK) {
        return false;
    }
    bool found = strstr((const char *)data, text) != NULL;
    free(data);
    return found;
}

/* ---- set-up ---- */

static void make_node(struct world *w, unsigned node)
{
    static const char *const subs[] = {"run", "tls", "log"};
    char path[256];
    (void)snprintf(w->node_dir[node], sizeof(w->node_dir[node]), "%s/n%u", w->dir, node + 1);
    for (size_t i = 0; i < sizeof(subs) / sizeof(subs[0]); i++) {
        (void)snprintf(path, sizeof(path), "%s/%s", w->node_dir[node], subs[i]);
        assert_int_equal(ts_dir_make(path, 0755, NULL), TS_OK);
    }
    set_key(w, node, 'k');
    (void)snprintf(path, sizeof(path), "%s/run/cfgd.sock", w->node_dir[node]);
    assert_int_equal(net_dgram_open(&w->ears[node].dgram, NULL, path, on_report, &w->ears[node]),
                     TS_OK);
}

static int set_up(void **state)
{
    struct world *w = (struct world *)calloc(1, sizeof(*w));
    assert_non_null(w);
    assert_int_equal(lab_scratch_make("nic", w->dir), TS_OK);
    char own[TS_PATH_MAX] = "";
    assert_true(readlink("/proc/self/exe", own, sizeof(own) - 1) > 0);
    for (int up = 0; up < 3; up++) { /* BUILD/tests/integration/test_nic */
        *strrchr(own, '/') = '\0';
    }
    assert_int_equal(ts_path(w->bin, NULL, own, "bin"), TS_OK);
    (void)snprintf(w->config, sizeof(w->config), "%s/cluster.yaml", w->dir);
    (void)snprintf(w->libexec, sizeof(w->libexec), "%s/libexec", w->dir);
    make_config(w);
    for (unsigned i = 0; i < NODES; i++) {
        make_node(w, i);
    }
    /* What nicd leaves behind comes to us, and can be waited for. */
    assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
    *state = w;
    return 0;
}

static int tear_down(void **state)
{
    struct world *w = (struct world *)*state;
    for (unsigned i = 0; i < PIDS_MAX; i++) {
        if (w->pids[i] > 0) {
            (void)kill(w->pids[i], SIGKILL);
            (void)reap(w, w->pids[i]);
        }
    }
    while (waitpid(-1, NULL, 0) > 0) {
    }
    for (unsigned i = 0; i < NODES; i++) {
        net_dgram_close(&w->ears[i].dgram);
    }
    lab_scratch_remove(w->dir);
    free(w);
    return 0;
}

/* ---- heartbeatd ---- */

static const struct report_peer *peer_of(const struct world *w, unsigned node)
{
    const struct ear *ear = &w->ears[node];
    return ear->has_peers && ear->peers.count == 1 ? &ear->peers.p[0] : NULL;
}

static bool node_sees_all(const struct world *w, unsigned node)
{
    const struct report_peer *p = peer_of(w, node);
    return p != NULL && p->alive && p->path_up_mask == 3 && p->instance.v != 0;
}

static bool both_see_each_other(const struct world *w)
{
    return node_sees_all(w, 0) && node_sees_all(w, 1);
}

static bool first_sees_second_dead(const struct world *w)
{
    const struct report_peer *p = peer_of(w, 0);
    return p != NULL && !p->alive && p->path_up_mask == 0;
}

static bool first_sees_second_alive(const struct world *w)
{
    return node_sees_all(w, 0);
}

/* Goal: live, stopped, continued, killed and restarted: each is seen, by the right instance. */
static void test_heartbeatd_stop_and_kill_of_peer_are_seen(void **state)
{
    struct world *w = (struct world *)*state;
    (void)start(w, "heartbeatd", 0, NULL);
    pid_t second = start(w, "heartbeatd", 1, NULL);
    wait_until(w, both_see_each_other, "two heartbeatds see each other");
    struct ts_instance instance = peer_of(w, 0)->instance;

    assert_int_equal(kill(second, SIGSTOP), 0);
    wait_until(w, first_sees_second_dead, "a stopped heartbeatd is silent");
    assert_int_equal(kill(second, SIGCONT), 0);
    wait_until(w, both_see_each_other, "a continued heartbeatd is alive");
    assert_true(ts_instance_eq(peer_of(w, 0)->instance, instance));

    assert_int_equal(kill(second, SIGKILL), 0);
    (void)reap(w, second);
    wait_until(w, first_sees_second_dead, "a killed heartbeatd is silent");
    second = start(w, "heartbeatd", 1, NULL);
    wait_until(w, first_sees_second_alive, "a restarted heartbeatd is alive");
    assert_false(ts_instance_eq(peer_of(w, 0)->instance, instance));
    assert_int_equal(kill(second, SIGTERM), 0);
    int status = reap(w, second);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == TS_EXIT_OK);
}

static void tell_procs(struct world *w, unsigned node, bool running, uint32_t starts)
{
    uint8_t bytes[REPORT_BYTES_MAX];
    char to[256];
    struct ts_writer writer = ts_writer_init(bytes, sizeof(bytes));
    struct report_procs r = {.nic = {(uint16_t)(node + 1)}, .count = 1};
    r.p[0] = (struct report_proc){
        .role = REPORT_PROC_REPLICA, .group = {1}, .running = running, .starts = starts};
    assert_int_equal(report_procs_encode(&r, &writer), TS_OK);
    (void)snprintf(to, sizeof(to), "%s/run/heartbeatd.sock", w->node_dir[node]);
    assert_true(net_dgram_send(&w->ears[0].dgram, to, (struct ts_bytes){bytes, writer.len}));
}

static bool first_knows_replica_runs(const struct world *w)
{
    const struct report_peer *p = peer_of(w, 0);
    return p != NULL && p->replica_known_mask == 2 && p->replica_running_mask == 2;
}

static bool first_knows_replica_exited(const struct world *w)
{
    const struct report_peer *p = peer_of(w, 0);
    return p != NULL && p->replica_known_mask == 2 && p->replica_running_mask == 0 &&
           p->replica_starts[1] == 7;
}

/* Goal: R4.3, nicd's word that a replica exited comes to the other NIC. */
static void test_heartbeatd_word_of_nicd_is_relayed(void **state)
{
    struct world *w = (struct world *)*state;
    (void)start(w, "heartbeatd", 0, NULL);
    (void)start(w, "heartbeatd", 1, NULL);
    wait_until(w, both_see_each_other, "two heartbeatds see each other");
    tell_procs(w, 1, true, 7);
    wait_until(w, first_knows_replica_runs, "the word that a replica runs arrives");
    tell_procs(w, 1, false, 7);
    wait_until(w, first_knows_replica_exited, "the word that it exited arrives");
}

static bool first_rejected(const struct world *w)
{
    return w->ears[0].rejected > 0;
}

/* Goal: a node with another key is refused and counted, and never alive; after it got the right
 * key it is. */
static void test_heartbeatd_wrong_key_is_refused(void **state)
{
    struct world *w = (struct world *)*state;
    set_key(w, 1, 'x');
    (void)start(w, "heartbeatd", 0, NULL);
    pid_t stranger = start(w, "heartbeatd", 1, NULL);
    wait_until(w, first_rejected, "a wrong key is counted");
    wait_until(w, first_sees_second_dead, "a node with a wrong key is not alive");
    assert_true(peer_of(w, 0)->instance.v == 0);
    assert_true(file_contains(w->node_dir[0], "heartbeatd.err", "heartbeats with a wrong key"));
    assert_int_equal(kill(stranger, SIGTERM), 0);
    (void)reap(w, stranger);
    set_key(w, 1, 'k');
    (void)start(w, "heartbeatd", 1, NULL);
    wait_until(w, both_see_each_other, "the right key is accepted");
}

/* Sends bytes that are no heartbeat, or nearly one, to the first node. */
static void send_hostile(struct world *w, uint64_t seed)
{
    char text[32];
    struct hb_addr to;
    struct hb_addr from;
    struct ts_prng prng = ts_prng_init(seed);
    (void)w;
    address(text, sizeof(text), 0, 0);
    assert_int_equal(hb_addr_parse(&to, text, HEARTBEAT_PORT), TS_OK);
    assert_int_equal(hb_addr_parse(&from, "127.0.0.1", 0), TS_OK);
    int fd = hb_udp_open(&from);
    assert_true(fd >= 0);
    for (int i = 0; i < 2000; i++) {
        uint8_t bytes[2048];
        size_t n = (size_t)ts_prng_below(&prng, i % 2 == 0 ? sizeof(bytes) : HB_DATAGRAM_BYTES + 2);
        for (size_t b = 0; b < n; b++) {
            bytes[b] = (uint8_t)ts_prng_next(&prng);
        }
        struct ts_writer writer = ts_writer_init(bytes, sizeof(bytes));
        if (i % 4 != 0) {
            ts_put_u32(&writer, HB_MAGIC);
            ts_put_u8(&writer, i % 4 == 1 ? HB_VERSION + 1 : HB_VERSION);
            ts_put_u8(&writer, 0);
            ts_put_u16(&writer, 2);
            ts_put_u64(&writer, i % 4 == 2 ? 0 : hb_cluster_hash("nictest"));
            n = i % 4 == 3 ? HB_DATAGRAM_BYTES : n;
        }
        (void)hb_udp_send(fd, &to, bytes, n);
    }
    (void)close(fd);
}

/* Goal: hostile bytes on the port are refused and counted, and the service goes on. */
static void test_heartbeatd_hostile_bytes_change_nothing(void **state)
{
    struct world *w = (struct world *)*state;
    pid_t first = start(w, "heartbeatd", 0, NULL);
    pid_t second = start(w, "heartbeatd", 1, NULL);
    wait_until(w, both_see_each_other, "two heartbeatds see each other");
    send_hostile(w, 1);
    wait_until(w, first_rejected, "hostile bytes are counted");
    assert_int_equal(kill(second, SIGKILL), 0);
    (void)reap(w, second);
    wait_until(w, first_sees_second_dead, "the detector still works");
    (void)start(w, "heartbeatd", 1, NULL);
    wait_until(w, both_see_each_other, "and the nodes still meet");
    assert_int_equal(kill(first, 0), 0);
}

/* Goal: a missing key is a mistake that a restart does not heal, said in a sentence. */
static void test_heartbeatd_missing_key_exits_78(void **state)
{
    struct world *w = (struct world *)*state;
    char path[256];
    (void)snprintf(path, sizeof(path), "%s/tls/heartbeat.key", w->node_dir[0]);
    assert_int_equal(unlink(path), 0);
    int status = reap(w, start(w, "heartbeatd", 0, NULL));
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == TS_EXIT_CONFIG);
    assert_true(file_contains(w->node_dir[0], "heartbeatd.err", "heartbeat.key"));
}

/* ---- nicd ---- */

/* Programs that only run, under the names that nicd looks for. */
static void make_dummies(struct world *w, const char *replica)
{
    static const char *const names[] = {"heartbeatd", "cluster-cfgd"};
    char path[256];
    assert_int_equal(ts_dir_make(w->libexec, 0755, NULL), TS_OK);
    for (size_t i = 0; i < 2; i++) {
        (void)snprintf(path, sizeof(path), "%s/%s", w->libexec, names[i]);
        write_file(path, "#!/bin/sh\necho \"runs $*\"\nexec sleep 100000\n", 0755);
    }
    (void)snprintf(path, sizeof(path), "%s/replica", w->libexec);
    write_file(path, replica, 0755);
}

static const struct report_proc *proc_of(const struct world *w, enum report_proc_role role)
{
    const struct ear *ear = &w->ears[0];
    for (uint8_t i = 0; ear->has_procs && i < ear->procs.count; i++) {
        if (ear->procs.p[i].role == role) {
            return &ear->procs.p[i];
        }
    }
    return NULL;
}

static bool all_run(const struct world *w)
{
    const struct ear *ear = &w->ears[0];
    for (uint8_t i = 0; i < ear->procs.count; i++) {
        if (!ear->procs.p[i].running) {
            return false;
        }
    }
    return ear->has_procs && ear->procs.count == 4;
}

static bool replica_started_again(const struct world *w)
{
    const struct report_proc *p = proc_of(w, REPORT_PROC_REPLICA);
    return all_run(w) && p->starts == 2 && p->last_status == -SIGKILL;
}

static bool output_is_in_the_log(const struct world *w)
{
    return file_contains(w->node_dir[0], "log/cluster-cfgd.log", "runs --config");
}

static bool replica_started_often(const struct world *w)
{
    const struct report_proc *p = proc_of(w, REPORT_PROC_REPLICA);
    return p != NULL && p->starts >= 4 && w->ears[0].exits_traced >= 3 &&
           file_contains(w->node_dir[0], "nicd.err", "exited with status 3") &&
           file_contains(w->node_dir[0], "nicd.err", "its last line: the journal is upside down");
}

static bool replica_refused(const struct world *w)
{
    const struct report_proc *p = proc_of(w, REPORT_PROC_REPLICA);
    return p != NULL && p->starts == 1 && !p->running && p->last_status == TS_EXIT_CONFIG &&
           strcmp(p->said, "the disk is blank") == 0 &&
           file_contains(w->node_dir[0], "nicd.err", "its last line: the disk is blank");
}

static bool replica_stopped_first(const struct world *w)
{
    return w->ears[0].saw_replica_stopped_first;
}

static const char LASTING_REPLICA[] = "#!/bin/sh\nexec sleep 100000\n";

/* Goal: a killed replica is reported as gone while the rest runs, and started again. */
static void test_nicd_killed_child_is_started_again(void **state)
{
    struct world *w = (struct world *)*state;
    make_dummies(w, LASTING_REPLICA);
    (void)start(w, "nicd", 0, w->libexec);
    wait_until(w, all_run, "nicd starts everything");
    assert_int_equal(kill((pid_t)proc_of(w, REPORT_PROC_REPLICA)->pid, SIGKILL), 0);
    wait_until(w, replica_started_again, "nicd starts a killed replica again");
    assert_true(w->ears[0].saw_replica_stopped_first);
    assert_true(w->ears[0].exits_traced == 1);
    assert_true(file_contains(w->node_dir[0], "nicd.err", "was killed by signal 9"));
    wait_until(w, output_is_in_the_log, "what a program prints comes to its log");
}

/* Goal: SIGTERM stops the replica first, then the others, and nicd exits 0 leaving no process. */
static void test_nicd_sigterm_stops_in_order(void **state)
{
    struct world *w = (struct world *)*state;
    make_dummies(w, LASTING_REPLICA);
    pid_t nicd = start(w, "nicd", 0, w->libexec);
    wait_until(w, all_run, "nicd starts everything");
    assert_int_equal(kill(nicd, SIGTERM), 0);
    wait_until(w, replica_stopped_first, "the replica is stopped while the others run");
    int status = reap(w, nicd);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == TS_EXIT_OK);
    assert_int_equal(waitpid(-1, NULL, 0), -1); /* nothing was left to be adopted */
    assert_int_equal(errno, ECHILD);
    assert_false(file_contains(w->node_dir[0], "run/nicd.pid", ""));
}

/* Goal: a NIC never lives by halves: SIGKILL of nicd takes all its programs along. */
static void test_nicd_sigkill_takes_children_along(void **state)
{
    struct world *w = (struct world *)*state;
    make_dummies(w, LASTING_REPLICA);
    pid_t nicd = start(w, "nicd", 0, w->libexec);
    wait_until(w, all_run, "nicd starts everything");
    struct report_procs procs = w->ears[0].procs;
    assert_int_equal(kill(nicd, SIGKILL), 0);
    (void)reap(w, nicd);
    for (uint8_t i = 0; i < procs.count; i++) {
        if (procs.p[i].role != REPORT_PROC_NICD) {
            /* By SIGKILL, or before it by the pipe that nobody reads any more. */
            (void)reap(w, (pid_t)procs.p[i].pid);
        }
    }
    /* The lock went with it: a new nicd starts at once. */
    w->ears[0].has_procs = false;
    (void)start(w, "nicd", 0, w->libexec);
    wait_until(w, all_run, "a new nicd starts everything");
}

/* Goal: a second nicd on the same directory is refused, and the first is not disturbed. */
static void test_nicd_second_one_is_refused(void **state)
{
    struct world *w = (struct world *)*state;
    make_dummies(w, LASTING_REPLICA);
    pid_t nicd = start(w, "nicd", 0, w->libexec);
    wait_until(w, all_run, "nicd starts everything");
    int status = reap(w, start(w, "nicd", 0, w->libexec));
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) != TS_EXIT_OK);
    assert_int_equal(kill(nicd, 0), 0);
    assert_true(file_contains(w->node_dir[0], "run/nicd.pid", "\n"));
}

/* Goal: a replica that always fails is tried again and again, each exit in the trace. */
static void test_nicd_failing_child_is_tried_again(void **state)
{
    struct world *w = (struct world *)*state;
    make_dummies(w, "#!/bin/sh\necho 'the journal is upside down' >&2\nexit 3\n");
    (void)start(w, "nicd", 0, w->libexec);
    wait_until(w, replica_started_often, "a failing replica is started again, with its reason");
}

/* Goal: exit status 78 means that only a person can help: no quick restart. */
static void test_nicd_exit_78_waits(void **state)
{
    struct world *w = (struct world *)*state;
    make_dummies(w, "#!/bin/sh\necho '2026-11-22T05:00:00.000Z error replica nic1 the disk is "
                    "blank' >&2\nexit 78\n");
    (void)start(w, "nicd", 0, w->libexec);
    wait_until(w, replica_refused, "a replica that refuses is reported so, with its reason");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_heartbeatd_stop_and_kill_of_peer_are_seen, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_heartbeatd_word_of_nicd_is_relayed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_heartbeatd_wrong_key_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_heartbeatd_hostile_bytes_change_nothing, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_heartbeatd_missing_key_exits_78, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_nicd_killed_child_is_started_again, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_nicd_sigterm_stops_in_order, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_nicd_sigkill_takes_children_along, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_nicd_second_one_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_nicd_failing_child_is_tried_again, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_nicd_exit_78_waits, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
