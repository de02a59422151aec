#include "lab/pods_engine.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lab/clock.h"

/* From the engine's word that a container has started to its own. */
#define REPORT_MS 20000
#define NAME_WAIT_MS 2000
#define REAL_TIME_ROOT "/sys/fs/cgroup/cpu"
#define REAL_TIME_US 400000U /* of a second, of all machines of all labs of one engine */

static enum ts_err address_of(const char *dir, struct sockaddr_un *out, struct ts_why *why)
{
    char path[TS_PATH_MAX];
    enum ts_err err = ts_path(path, why, dir, LAB_PODS_SOCKET);
    *out = (struct sockaddr_un){.sun_family = AF_UNIX};
    if (err == TS_OK && strlen(path) >= sizeof(out->sun_path)) {
        return ts_why(why, TS_ERR_LIMIT, "%s is too long for a socket; choose a shorter --dir",
                      path);
    }
    (void)snprintf(out->sun_path, sizeof(out->sun_path), "%.*s", (int)sizeof(out->sun_path) - 1,
                   path);
    return err;
}

/* ---- labd ------------------------------------------------------------------------------------ */

static enum ts_err listen_on(const char *dir, int *out, struct ts_why *why)
{
    struct sockaddr_un address;
    enum ts_err err = address_of(dir, &address, why);
    if (err != TS_OK) {
        return err;
    }
    (void)unlink(address.sun_path);
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    mode_t before = umask(0177);
    bool good = fd >= 0 && bind(fd, (const struct sockaddr *)&address, sizeof(address)) == 0 &&
                listen(fd, LAB_MACHINES_MAX) == 0;
    int error = errno;
    (void)umask(before);
    if (!good) {
        if (fd >= 0) {
            (void)close(fd);
        }
        return ts_why_sys(why, error, "cannot listen on %s", address.sun_path);
    }
    *out = fd;
    return TS_OK;
}

static enum ts_err run_each(const struct lab_pods *p, struct lab_words *w, const char *dir,
                            int hold, struct ts_why *why)
{
    enum ts_err err = TS_OK;
    for (size_t i = 0; i < p->topology->machine_count && err == TS_OK; i++) {
        lab_engine_run_words(&p->engine, p->topology->machines[i].name, dir, w);
        err = lab_engine_call(w, hold, NULL, 0, why);
    }
    return err;
}

static enum ts_err run_compose(const struct lab_pods *p, struct lab_words *w, const char *dir,
                               int hold, struct ts_why *why)
{
    char path[TS_PATH_MAX];
    json_t *o = lab_engine_compose(&p->engine, p->topology, dir);
    char *text = o == NULL ? NULL : json_dumps(o, JSON_INDENT(1));
    json_decref(o);
    if (text == NULL) {
        return ts_why(why, TS_ERR_NOMEM, "no memory for %s/" LAB_COMPOSE_FILE, dir);
    }
    enum ts_err err = ts_path(path, why, dir, LAB_COMPOSE_FILE);
    err = err != TS_OK ? err : ts_file_replace(path, text, strlen(text), 0644, why);
    free(text);
    lab_engine_words(&p->engine, w);
    lab_word(w, "compose");
    lab_word(w, "--file=%s", path);
    lab_word(w, "--project-name=twinstep-%s", p->engine.id);
    lab_word(w, "up");
    lab_word(w, "--detach");
    lab_word(w, "--no-build");
    return err != TS_OK ? err : lab_engine_call(w, hold, NULL, 0, why);
}

/* The lock goes along with a byte. */
static bool give_lock(int to, int hold)
{
    char byte = '+';
    struct iovec part = {.iov_base = &byte, .iov_len = 1};
    union {
        struct cmsghdr head;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = {.bytes = {0}};
    struct msghdr m = {.msg_iov = &part,
                       .msg_iovlen = 1,
                       .msg_control = &control,
                       .msg_controllen = sizeof(control.bytes)};
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(c), &hold, sizeof(hold));
    return sendmsg(to, &m, MSG_NOSIGNAL) == 1;
}

/* Gives the number of the machine that says so, or that of machines: nobody knows it. */
static size_t read_name(const struct lab_pods *p, int fd)
{
    char name[CFG_NAME_MAX];
    struct pollfd one = {.fd = fd, .events = POLLIN};
    ssize_t n = poll(&one, 1, NAME_WAIT_MS) == 1 ? recv(fd, name, sizeof(name) - 1, 0) : 0;
    size_t i = 0;
    name[n > 0 ? n : 0] = '\0';
    while (i < p->topology->machine_count && strcmp(p->topology->machines[i].name, name) != 0) {
        i++;
    }
    return i;
}

static enum ts_err take_one(struct lab_pods *p, int listener, int hold, struct ts_why *why)
{
    struct ucred peer = {.pid = 0};
    socklen_t size = sizeof(peer);
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    if (fd < 0) {
        return ts_why_sys(why, errno, "cannot hear of a machine");
    }
    size_t i = read_name(p, fd);
    bool known = i < p->topology->machine_count && p->link[i] < 0;
    if (!known || getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) {
        (void)close(fd);
        return TS_OK; /* nobody who is waited for */
    }
    if (peer.pid <= 0 || !give_lock(fd, hold)) {
        (void)close(fd);
        return ts_why(why, TS_ERR_REFUSED,
                      peer.pid <= 0 ? "%s runs where its processes cannot be seen from here: run "
                                      "twinstep lab beside the engine, not in a container"
                                    : "%s ended at once; this log may tell why",
                      p->topology->machines[i].name);
    }
    p->link[i] = fd;
    p->pid[i] = peer.pid;
    return TS_OK;
}

static enum ts_err wait_for_all(struct lab_pods *p, int listener, int hold, struct ts_why *why)
{
    uint64_t until = lab_now_ns() + REPORT_MS * TS_NS_PER_MS;
    size_t i = 0;
    while (i < p->topology->machine_count) {
        if (p->pid[i] > 0) {
            i++;
            continue;
        }
        uint64_t now = lab_now_ns();
        struct pollfd one = {.fd = listener, .events = POLLIN};
        int rc = now < until ? poll(&one, 1, (int)((until - now) / TS_NS_PER_MS) + 1) : 0;
        if (rc == 0) {
            return ts_why(why, TS_ERR_TIMEOUT,
                          "the container of %s does not tell within %d s that it is there: does "
                          "%s run on this machine, so that it has the same files?",
                          p->topology->machines[i].name, REPORT_MS / 1000,
                          lab_backend_text(p->engine.backend));
        }
        enum ts_err err = rc > 0 ? take_one(p, listener, hold, why) : TS_OK;
        if (err != TS_OK) {
            return err;
        }
    }
    return TS_OK;
}

/* ---- real time ------------------------------------------------------------------------------- */

/* The first version of cgroups may deal out real time, too, and gives none to a new one: heartbeatd
 * would run without, whatever its rights. Each folder from the top down to the container's gets
 * some, if it has none; where there is no such file, there is no such limit. */
static void allow_real_time(const char *group, unsigned us)
{
    char path[TS_PATH_MAX];
    const char *end = group;
    while (end != NULL) {
        end = strchr(end + 1, '/');
        int len = end == NULL ? (int)strlen(group) : (int)(end - group);
        if (ts_path(path, NULL, REAL_TIME_ROOT, "%.*s/cpu.rt_runtime_us", len, group) != TS_OK) {
            return;
        }
        FILE *f = fopen(path, "r+e");
        char had[16] = "";
        if (f == NULL) {
            return;
        }
        bool none = fgets(had, sizeof(had), f) != NULL && strcmp(had, "0\n") == 0;
        rewind(f);
        if (none) {
            (void)fprintf(f, "%u", end == NULL ? us : REAL_TIME_US);
        }
        (void)fclose(f);
    }
}

static void allow_real_time_to(const struct lab_pods *p, size_t machine)
{
    char path[64];
    char line[TS_PATH_MAX];
    (void)snprintf(path, sizeof(path), "/proc/%d/cgroup", (int)p->pid[machine]);
    FILE *f = fopen(path, "re");
    while (f != NULL && fgets(line, sizeof(line), f) != NULL) {
        char *group = strchr(line, ':');
        char *folder = group == NULL ? NULL : strchr(group + 1, ':');
        if (folder == NULL) {
            continue;
        }
        *folder++ = '\0';
        folder[strcspn(folder, "\n")] = '\0';
        if (strcmp(group + 1, "cpu") == 0 || strcmp(group + 1, "cpu,cpuacct") == 0) {
            allow_real_time(folder + strspn(folder, "/"),
                            REAL_TIME_US / 2 / (unsigned)p->topology->machine_count);
        }
    }
    if (f != NULL) {
        (void)fclose(f);
    }
}

enum ts_err lab_pods_engine_begin(struct lab_pods *p, const char *dir, int hold, struct ts_why *why)
{
    int listener = -1;
    struct lab_words *w = calloc(1, sizeof(*w));
    enum ts_err err = w == NULL ? ts_why(why, TS_ERR_NOMEM, "no memory for the lab")
                                : listen_on(dir, &listener, why);
    if (err == TS_OK) {
        err =
            p->engine.compose ? run_compose(p, w, dir, hold, why) : run_each(p, w, dir, hold, why);
    }
    err = err != TS_OK ? err : wait_for_all(p, listener, hold, why);
    for (size_t i = 0; i < p->topology->machine_count && err == TS_OK; i++) {
        allow_real_time_to(p, i);
    }
    if (listener >= 0) {
        (void)close(listener);
    }
    free(w);
    return err;
}

bool lab_pods_engine_has_ended(const struct lab_pods *p, size_t machine)
{
    char byte;
    ssize_t n = recv(p->link[machine], &byte, 1, MSG_DONTWAIT | MSG_PEEK);
    return n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR);
}

/* ---- process 1 of a machine ------------------------------------------------------------------ */

static void on_signal(int number)
{
    (void)number; /* it ends what waits */
}

/* Takes the lock, which is kept until the end of the process. */
static enum ts_err join_labd(const char *dir, const char *name, int *out, struct ts_why *why)
{
    struct sockaddr_un address;
    char byte;
    struct iovec part = {.iov_base = &byte, .iov_len = 1};
    union {
        struct cmsghdr head;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control;
    struct msghdr m = {.msg_iov = &part,
                       .msg_iovlen = 1,
                       .msg_control = &control,
                       .msg_controllen = sizeof(control.bytes)};
    enum ts_err err = address_of(dir, &address, why);
    int fd = err == TS_OK ? socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0) : -1;
    if (fd < 0 || connect(fd, (const struct sockaddr *)&address, sizeof(address)) != 0 ||
        send(fd, name, strlen(name), MSG_NOSIGNAL) < 0 || recvmsg(fd, &m, MSG_CMSG_CLOEXEC) != 1 ||
        CMSG_FIRSTHDR(&m) == NULL) {
        int error = errno;
        if (fd >= 0) {
            (void)close(fd);
        }
        return err != TS_OK ? err : ts_why_sys(why, error, "%s cannot tell labd of itself", name);
    }
    *out = fd;
    return TS_OK;
}

enum ts_err lab_pods_engine_be(const char *dir, const char *name, struct ts_why *why)
{
    struct sigaction end = {.sa_handler = on_signal}; /* without SA_RESTART */
    char byte;
    int fd = -1;
    (void)sigemptyset(&end.sa_mask);
    (void)sigaction(SIGTERM, &end, NULL);
    (void)sigaction(SIGINT, &end, NULL);
    /* Whatever loses its parent is this process's, and gone when it ends. */
    (void)signal(SIGCHLD, SIG_IGN);
    (void)prctl(PR_SET_NAME, name);
    enum ts_err err = join_labd(dir, name, &fd, why);
    if (err != TS_OK) {
        return err;
    }
    (void)!read(fd, &byte, 1); /* labd says nothing more: this is its end, or a signal */
    /* Before the lock is given back. */
    (void)kill(-1, SIGKILL);
    while (waitpid(-1, NULL, 0) > 0 || errno != ECHILD) {
    }
    (void)close(fd);
    return TS_OK;
}
