#include "lab/pods.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <jansson.h>

#include "base/assert.h"
#include "lab/exec.h"
#include "lab/netns.h"
#include "lab/pods_engine.h"

#define STACK_BYTES (256U * 1024)
#define POD_FLAGS \
    (CLONE_NEWNET | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWUTS | CLONE_NEWIPC | SIGCHLD)
/* `ip` lines of a whole lab: two for a link, each below this. */
#define LINE_MAX_BYTES 160
#define LINES_MAX ((size_t)LAB_MACHINES_MAX * TS_PATHS_MAX * 2 + TS_PATHS_MAX * 2 + 8)

/* ---- a machine's first process --------------------------------------------------------------- */

struct birth {
    const char *name;
    int ready; /* gets "+" when all is mounted, else "-" and the error's number */
    int other; /* the end that labd reads */
};

static bool mount_all(void)
{
    return mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
           mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) == 0 &&
           mount("tmpfs", "/run", "tmpfs", MS_NOSUID | MS_NODEV, "mode=755") == 0 &&
           mount("tmpfs", "/dev/shm", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777") == 0;
}

/* Takes over whatever loses its parent, until the kernel ends it. */
static int pod_main(void *arg)
{
    const struct birth *b = arg;
    sigset_t all;
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    (void)prctl(PR_SET_NAME, b->name);
    (void)sigfillset(&all);
    (void)sigprocmask(SIG_BLOCK, &all, NULL);
    /* A labd that ended before the first line above cannot be written to. */
    (void)close(b->other);
    if (sethostname(b->name, strlen(b->name)) != 0 || !mount_all() ||
        write(b->ready, "+", 1) != 1) {
        char text[64];
        int n = snprintf(text, sizeof(text), "-%d", errno);
        (void)!write(b->ready, text, (size_t)n);
        return 1;
    }
    (void)close(b->ready);
    for (;;) {
        int number = 0;
        (void)sigwait(&all, &number);
        while (waitpid(-1, NULL, WNOHANG) > 0) {
        }
    }
}

static enum ts_err begin_one(struct lab_pods *p, size_t i, struct ts_why *why)
{
    int ends[2];
    char *stack = malloc(STACK_BYTES);
    if (stack == NULL || pipe2(ends, O_CLOEXEC) != 0) {
        free(stack);
        return ts_why_sys(why, errno, "cannot start %s", p->topology->machines[i].name);
    }
    struct birth b = {.name = p->topology->machines[i].name, .ready = ends[1], .other = ends[0]};
    /* Without CLONE_VM: the child has a copy of all this, and of the stack. */
    p->pid[i] = clone(pod_main, stack + STACK_BYTES, POD_FLAGS, &b);
    int error = errno;
    char text[64] = "";
    (void)close(ends[1]);
    ssize_t n = p->pid[i] > 0 ? read(ends[0], text, sizeof(text) - 1) : 0;
    (void)close(ends[0]);
    free(stack);
    if (p->pid[i] < 0) {
        p->pid[i] = 0;
        return ts_why_sys(why, error, "cannot make namespaces for %s", b.name);
    }
    if (n != 1 || text[0] != '+') {
        return ts_why_sys(why, n > 1 ? (int)strtol(text + 1, NULL, 10) : ECHILD,
                          "%s cannot mount what it needs: in a container, give it the right to "
                          "(--privileged)",
                          b.name);
    }
    return TS_OK;
}

/* ---- the networks ---------------------------------------------------------------------------- */

/* Lines for `ip -batch`. */
struct lines {
    char *text;
    size_t len;
    size_t cap;
};

static void line(struct lines *l, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void line(struct lines *l, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int n = vsnprintf(l->text + l->len, l->cap - l->len, format, args);
    va_end(args);
    ts_assert(n > 0 && n < LINE_MAX_BYTES && l->len + (size_t)n + 1 < l->cap);
    l->len += (size_t)n;
    l->text[l->len++] = '\n';
    l->text[l->len] = '\0';
}

static enum ts_err run_ip(struct lines *l, struct ts_why *why)
{
    const char *argv[] = {"ip", "-batch", "-", NULL};
    enum ts_err err = lab_exec(argv, l->text, NULL, 0, why);
    l->len = 0;
    return err;
}

static bool write_setting(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    bool good = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
    if (fd >= 0) {
        (void)close(fd);
    }
    return good;
}

void lab_pods_port(size_t network, size_t machine, char out[LAB_PORT_MAX])
{
    (void)snprintf(out, LAB_PORT_MAX, "p%um%u", (unsigned)(network + 1) % 100,
                   (unsigned)(machine + 1) % 1000);
}

/* Known beforehand, so that the wire need not learn who is where. */
void lab_pods_mac(size_t network, size_t machine, uint8_t out[6])
{
    static const uint8_t LOCAL[3] = {0x02, 0x74, 0x73}; /* locally administered */
    memcpy(out, LOCAL, sizeof(LOCAL));
    out[3] = (uint8_t)(network + 1);
    out[4] = (uint8_t)((machine + 1) >> 8);
    out[5] = (uint8_t)(machine + 1);
}

#define USUAL_MTU 1500
/* Transport nodes send each other what workloads send, in a tunnel: 50 bytes more, 70 by IPv6. */
#define TUNNEL_MTU 1570

/* The bridges, and a link from each machine's path to the right one. Interface names are short:
 * `p1` is the switch of path 1, `p1m3` its port of machine 3. */
static enum ts_err join(const struct lab_pods *p, struct lines *l, struct ts_why *why)
{
    const struct lab_topology *t = p->topology;
    /* The switch says nothing itself. Where this cannot be set it does no harm. */
    (void)write_setting("/proc/sys/net/ipv6/conf/all/disable_ipv6", "1");
    (void)write_setting("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1");
    for (size_t path = 0; path < t->network_count; path++) {
        line(l, "link add p%zu type bridge stp_state 0 forward_delay 0 mcast_snooping 0", path + 1);
        line(l, "link set p%zu up", path + 1);
    }
    for (size_t i = 0; i < t->machine_count; i++) {
        for (size_t path = 0; path < t->machines[i].path_count; path++) {
            char port[LAB_PORT_MAX];
            uint8_t mac[6];
            lab_pods_port(path, i, port);
            lab_pods_mac(path, i, mac);
            unsigned mtu = t->machines[i].kind == LAB_KIND_TRANSPORT_NODE ? TUNNEL_MTU : USUAL_MTU;
            line(l,
                 "link add %s mtu %u type veth peer name path%zu mtu %u address "
                 "%02x:%02x:%02x:%02x:%02x:%02x netns %d",
                 port, mtu, path + 1, mtu, mac[0], mac[1], mac[2], mac[3], mac[4], mac[5],
                 (int)p->pid[i]);
            line(l, "link set %s master p%zu up", port, path + 1);
        }
    }
    return run_ip(l, why);
}

/* Within the machine's network: its addresses. A machine passes nothing on for others, or one path
 * would stand in for another that is cut. */
static enum ts_err address(const struct lab_topology *t, const struct lab_machine *m,
                           struct lines *l, struct ts_why *why)
{
    line(l, "link set lo up");
    for (size_t path = 0; path < m->path_count; path++) {
        line(l, "address add %s/%u dev path%zu%s", m->paths[path], t->networks[path].prefix,
             path + 1, t->networks[path].v6 ? " nodad" : "");
        line(l, "link set path%zu up", path + 1);
    }
    (void)write_setting("/proc/sys/net/ipv6/conf/all/forwarding", "0");
    /* Some engines switch it off in a container without a network. */
    (void)write_setting("/proc/sys/net/ipv6/conf/all/disable_ipv6", "0");
    if (!write_setting("/proc/sys/net/ipv4/ip_forward", "0")) {
        return ts_why_sys(why, errno, "cannot set net.ipv4.ip_forward of %s", m->name);
    }
    return run_ip(l, why);
}

/* A child goes there: who goes back needs rights that a user namespace may not give. */
static enum ts_err address_of_machine(const struct lab_pods *p, size_t i, struct lines *l,
                                      struct ts_why *why)
{
    const struct lab_machine *m = &p->topology->machines[i];
    char path[64];
    int status = 0;
    (void)snprintf(path, sizeof(path), "/proc/%d/ns/net", (int)p->pid[i]);
    pid_t child = fork();
    if (child == 0) {
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        bool good = fd >= 0 && setns(fd, CLONE_NEWNET) == 0;
        if (!good) {
            fprintf(stderr, "labd: cannot enter %s: %s\n", path, strerror(errno));
        }
        enum ts_err err = good ? address(p->topology, m, l, why) : TS_ERR_SYSTEM;
        if (good && err != TS_OK) {
            fprintf(stderr, "labd: %s\n", why->text);
        }
        _exit(err == TS_OK ? 0 : 1);
    }
    if (child < 0 || waitpid(child, &status, 0) != child || status != 0) {
        return ts_why(why, TS_ERR_SYSTEM, "%s cannot be given its addresses; " LAB_LOG " tells why",
                      m->name);
    }
    return TS_OK;
}

/* Here, the interface is the one of the namespace. */
static int set_whole(size_t network, bool whole)
{
    static const uint32_t COMMANDS[] = {ETHTOOL_STXCSUM, ETHTOOL_STSO, ETHTOOL_SGSO};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    int error = fd < 0 ? errno : 0;
    for (size_t i = 0; i < sizeof(COMMANDS) / sizeof(COMMANDS[0]) && error == 0; i++) {
        struct ethtool_value value = {.cmd = COMMANDS[i], .data = whole ? 0 : 1};
        struct ifreq request = {.ifr_data = (void *)&value};
        (void)snprintf(request.ifr_name, sizeof(request.ifr_name), "path%u", (unsigned)network + 1);
        error = ioctl(fd, SIOCETHTOOL, &request) == 0 ? 0 : errno;
    }
    if (fd >= 0) {
        (void)close(fd);
    }
    return error;
}

enum ts_err lab_pods_whole_frames(const struct lab_pods *p, size_t machine, size_t network,
                                  bool whole, struct ts_why *why)
{
    char path[64];
    (void)snprintf(path, sizeof(path), "/proc/%d/ns/net", (int)p->pid[machine]);
    int here = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    int there = p->pid[machine] == 0 ? -1 : open(path, O_RDONLY | O_CLOEXEC);
    int error = here < 0 || there < 0 || setns(there, CLONE_NEWNET) != 0 ? ENOENT : 0;
    if (error == 0) {
        error = set_whole(network, whole);
        int back = setns(here, CLONE_NEWNET);
        ts_assert(back == 0); /* it has come from there */
    }
    if (here >= 0) {
        (void)close(here);
    }
    if (there >= 0) {
        (void)close(there);
    }
    return error == 0 ? TS_OK
                      : ts_why_sys(why, error, "cannot tell %s how to send",
                                   p->topology->machines[machine].name);
}

/* ---- all of them ----------------------------------------------------------------------------- */

static enum ts_err begin_all(struct lab_pods *p, const char *dir, int hold, struct lines *l,
                             struct ts_why *why)
{
    bool contained = p->engine.backend != LAB_BACKEND_NETNS;
    enum ts_err err = contained ? lab_pods_engine_begin(p, dir, hold, why) : TS_OK;
    for (size_t i = 0; i < p->topology->machine_count && err == TS_OK && !contained; i++) {
        err = begin_one(p, i, why);
    }
    err = err != TS_OK ? err : join(p, l, why);
    for (size_t i = 0; i < p->topology->machine_count && err == TS_OK; i++) {
        err = address_of_machine(p, i, l, why);
    }
    return err;
}

enum ts_err lab_pods_begin(struct lab_pods *p, const struct lab_topology *t, const char *dir,
                           int hold, struct ts_why *why)
{
    *p = (struct lab_pods){.topology = t, .root = geteuid() == 0};
    for (size_t i = 0; i < LAB_MACHINES_MAX; i++) {
        p->link[i] = -1;
    }
    enum ts_err err = lab_engine_load(dir, &p->engine, why);
    err = err != TS_OK ? err : lab_netns_enter(why);
    if (err != TS_OK) {
        return err;
    }
    /* A root without rights (of a container) has got a user namespace, too. */
    char map[64] = "";
    int fd = open("/proc/self/uid_map", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : read(fd, map, sizeof(map) - 1);
    if (fd >= 0) {
        (void)close(fd);
    }
    p->root = p->root && n > 0 && strstr(map, "4294967295") != NULL;
    struct lines l = {.cap = LINES_MAX * LINE_MAX_BYTES};
    l.text = malloc(l.cap);
    if (l.text == NULL) {
        return ts_why(why, TS_ERR_NOMEM, "no memory for %zu machines", t->machine_count);
    }
    err = begin_all(p, dir, hold, &l, why);
    free(l.text);
    if (err != TS_OK) {
        lab_pods_end(p);
    }
    return err;
}

static void forget(struct lab_pods *p, size_t i)
{
    fprintf(stderr, "labd: %s has ended\n", p->topology->machines[i].name);
    p->pid[i] = 0; /* the link may still be watched: it is closed at the end */
}

bool lab_pods_reap(struct lab_pods *p)
{
    bool any = false;
    for (pid_t pid; (pid = waitpid(-1, NULL, WNOHANG)) > 0;) {
        for (size_t i = 0; i < p->topology->machine_count; i++) {
            if (p->pid[i] == pid) {
                forget(p, i);
                any = true;
            }
        }
    }
    for (size_t i = 0; i < p->topology->machine_count; i++) {
        if (p->pid[i] > 0 && p->link[i] >= 0 && lab_pods_engine_has_ended(p, i)) {
            forget(p, i);
            any = true;
        }
    }
    return any;
}

void lab_pods_end(struct lab_pods *p)
{
    for (size_t i = 0; i < p->topology->machine_count; i++) {
        if (p->pid[i] > 0) {
            (void)kill(p->pid[i], SIGKILL);
        }
    }
    for (size_t i = 0; i < p->topology->machine_count; i++) {
        if (p->pid[i] > 0) { /* behind all processes of its namespace */
            (void)waitpid(p->pid[i], NULL, 0);
            p->pid[i] = 0;
        }
        if (p->link[i] >= 0) {
            (void)close(p->link[i]);
            p->link[i] = -1;
        }
    }
    struct ts_why why = {{0}};
    if (p->engine.backend != LAB_BACKEND_NETNS && lab_engine_remove(&p->engine, &why) != TS_OK) {
        fprintf(stderr, "labd: %s\n", why.text);
    }
}

enum ts_err lab_pods_tell(const struct lab_pods *p, const char *dir, struct ts_why *why)
{
    char path[TS_PATH_MAX];
    json_t *machines = json_object();
    for (size_t i = 0; i < p->topology->machine_count; i++) {
        (void)json_object_set_new(machines, p->topology->machines[i].name, json_integer(p->pid[i]));
    }
    json_t *state = json_pack("{s:b,s:s,s:o}", "root", p->root, "backend",
                              lab_backend_text(p->engine.backend), "machines", machines);
    char *text = state == NULL ? NULL : json_dumps(state, JSON_INDENT(1));
    json_decref(state);
    if (text == NULL) {
        return ts_why(why, TS_ERR_NOMEM, "no memory for %s/" LAB_STATE, dir);
    }
    enum ts_err err = ts_path(path, why, dir, LAB_STATE);
    err = err != TS_OK ? err : ts_file_replace(path, text, strlen(text), 0644, why);
    free(text);
    return err;
}
