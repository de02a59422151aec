#include "lab/nodes.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/exit.h"
#include "lab/nodes_procs.h"

/* The longest socket name in a node's directory and the longest node name, with slashes:
 * RUN/NODE/run/replica-GROUP.sock must fit into a Unix socket's address. Room for names of usual
 * length; the programs themselves refuse what is longer in a given cluster. */
#define SOCKET_TAIL_MAX 40
#define SOCKET_PATH_MAX 108
#define START_WAIT_MS 10000
#define KILL_WAIT_MS 5000
#define POLL_MS 5
#define LOG_TAIL_BYTES 4096
#define PID_BYTES_MAX 64

static uint64_t now_ms(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000U + (uint64_t)t.tv_nsec / 1000000U;
}

static void pause_ms(int ms)
{
    (void)poll(NULL, 0, ms);
}

static enum ts_err find_programs(struct nodes_run *r, struct ts_why *why)
{
    const char *given = getenv("TWINSTEP_BIN");
    char exe[TS_PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);
    if (given == NULL && n <= 0) {
        return ts_why_sys(why, errno, "cannot find this program's directory; set TWINSTEP_BIN");
    }
    exe[n > 0 ? n : 0] = '\0';
    const char *dir = given != NULL ? given : dirname(exe);
    char nicd[TS_PATH_MAX];
    if (realpath(dir, r->bin) == NULL || ts_path(nicd, NULL, r->bin, "nicd") != TS_OK ||
        access(nicd, X_OK) != 0) {
        return ts_why(why, TS_ERR_NOT_FOUND,
                      "there is no program nicd in %s; build it, or set TWINSTEP_BIN to the "
                      "directory that has it",
                      dir);
    }
    return TS_OK;
}

enum ts_err nodes_open(struct nodes_run *r, const char *run, struct ts_why *why)
{
    *r = (struct nodes_run){0};
    char absolute[TS_PATH_MAX];
    enum ts_err err;
    if (run[0] == '/') {
        err = ts_path(r->run, why, "", "%s", run + 1);
    } else {
        char cwd[TS_PATH_MAX];
        if (getcwd(cwd, sizeof(cwd)) == NULL) {
            return ts_why_sys(why, errno, "cannot find the current directory");
        }
        err = ts_path(r->run, why, cwd, "%s", run);
    }
    if (err != TS_OK) {
        return err;
    }
    /* One spelling of each directory: processes are told by it. */
    if (realpath(r->run, absolute) != NULL) {
        (void)snprintf(r->run, sizeof(r->run), "%s", absolute);
    }
    err = ts_path(r->config, why, r->run, "cluster.yaml");
    if (err == TS_OK && strlen(r->run) + SOCKET_TAIL_MAX > SOCKET_PATH_MAX) {
        err = ts_why(why, TS_ERR_LIMIT,
                     "%s is too long for the Unix sockets in it (at most %d bytes); choose a "
                     "shorter --dir",
                     r->run, SOCKET_PATH_MAX - SOCKET_TAIL_MAX);
    }
    return err != TS_OK ? err : find_programs(r, why);
}

/* The process that took the lock of the node's directory last; 0 = none is known. Only read: to
 * try the lock could keep a starting nicd from having it. */
static pid_t lock_pid(const struct nodes_run *r, const char *node)
{
    char path[TS_PATH_MAX];
    uint8_t *text = NULL;
    size_t len = 0;
    if (ts_path(path, NULL, r->run, "%s/lock", node) != TS_OK ||
        ts_file_read(path, PID_BYTES_MAX, &text, &len, NULL) != TS_OK) {
        return 0;
    }
    long pid = strtol((const char *)text, NULL, 10);
    free(text);
    return pid > 0 && pid < INT32_MAX ? (pid_t)pid : 0;
}

bool nodes_is_running(const struct nodes_run *r, const char *node, pid_t *pid)
{
    struct nodes_proc nicd;
    bool found = nodes_find(r, node, "nicd", NULL, &nicd);
    if (pid != NULL) {
        *pid = found ? nicd.pid : 0;
    }
    return found;
}

/* In the child: its own session, standard streams away from ours, then nicd. */
static _Noreturn void become_nicd(const struct nodes_run *r, const char *node, const char *dir,
                                  const char *nicd, int log)
{
    (void)setsid();
    int null = open("/dev/null", O_RDONLY);
    if (null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(log, STDOUT_FILENO) < 0 ||
        dup2(log, STDERR_FILENO) < 0) {
        _exit(TS_EXIT_FAILURE);
    }
    sigset_t none;
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    (void)execl(nicd, nicd, "--config", r->config, "--node", node, "--data", dir, (char *)NULL);
    (void)!write(STDERR_FILENO, "cannot execute nicd\n", strlen("cannot execute nicd\n"));
    _exit(127);
}

/* Starts nicd as a grandchild, so that it is nobody's zombie; gives its pid through a pipe. */
static pid_t spawn(const struct nodes_run *r, const char *node, const char *dir, const char *nicd,
                   int log)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) {
        return -1;
    }
    pid_t child = fork();
    if (child == 0) {
        pid_t grandchild = fork();
        if (grandchild == 0) {
            become_nicd(r, node, dir, nicd, log);
        }
        (void)!write(ends[1], &grandchild, sizeof(grandchild));
        _exit(0);
    }
    (void)close(ends[1]);
    pid_t pid = -1;
    if (child > 0) {
        if (read(ends[0], &pid, sizeof(pid)) != (ssize_t)sizeof(pid)) {
            pid = -1;
        }
        while (waitpid(child, NULL, 0) < 0 && errno == EINTR) {
        }
    }
    (void)close(ends[0]);
    return pid;
}

/* The last line of the log that was written behind `from`. */
static void last_line(const char *path, off_t from, char out[LOG_TAIL_BYTES])
{
    out[0] = '\0';
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) != 0) {
        return;
    }
    off_t at = st.st_size > from + LOG_TAIL_BYTES - 1 ? st.st_size - LOG_TAIL_BYTES + 1 : from;
    ssize_t n = pread(fd, out, LOG_TAIL_BYTES - 1, at);
    (void)close(fd);
    out[n > 0 ? n : 0] = '\0';
    size_t len = strlen(out);
    while (len > 0 && out[len - 1] == '\n') {
        out[--len] = '\0';
    }
    char *line = strrchr(out, '\n');
    if (line != NULL) {
        memmove(out, line + 1, strlen(line + 1) + 1);
    }
}

static bool is_alive(pid_t pid)
{
    return kill(pid, 0) == 0 || errno == EPERM;
}

static enum ts_err wait_started(const struct nodes_run *r, const char *node, pid_t pid,
                                const char *log, off_t log_from, struct ts_why *why)
{
    char line[LOG_TAIL_BYTES];
    uint64_t end = now_ms() + START_WAIT_MS;
    while (now_ms() < end) {
        if (!is_alive(pid)) {
            last_line(log, log_from, line);
            return ts_why(why, TS_ERR_REFUSED, "nicd of %s ended at once: %s; its log is %s", node,
                          line[0] == '\0' ? "it said nothing" : line, log);
        }
        if (lock_pid(r, node) == pid) {
            return TS_OK;
        }
        pause_ms(POLL_MS);
    }
    return ts_why(why, TS_ERR_TIMEOUT,
                  "nicd of %s (pid %d) does not take the lock of its directory; its log is %s",
                  node, (int)pid, log);
}

/* A crashed nicd takes its children with it; one that could not is ended here. */
static enum ts_err end_leftovers(const struct nodes_run *r, const char *node, struct ts_why *why)
{
    if (nodes_signal_all(r, node, SIGKILL) > 0 && !nodes_wait_gone(r, node, KILL_WAIT_MS)) {
        return ts_why(why, TS_ERR_BUSY,
                      "processes of a crashed run of %s do not end (a hung disk?); see ps for "
                      "--data %s/%s",
                      node, r->run, node);
    }
    return TS_OK;
}

enum ts_err nodes_start(const struct nodes_run *r, const char *node, pid_t *pid, struct ts_why *why)
{
    char dir[TS_PATH_MAX];
    char nicd[TS_PATH_MAX];
    char log[TS_PATH_MAX];
    enum ts_err err = ts_path(dir, why, r->run, "%s", node);
    err = err != TS_OK ? err : ts_path(nicd, why, r->bin, "nicd");
    err = err != TS_OK ? err : ts_path(log, why, dir, "log/nicd.log");
    if (err != TS_OK) {
        return err;
    }
    pid_t holder = 0;
    if (nodes_is_running(r, node, &holder)) {
        return ts_why(why, TS_ERR_BUSY,
                      "%s runs already (nicd has pid %d); end it with twinstep "
                      "down",
                      node, (int)holder);
    }
    err = end_leftovers(r, node, why);
    if (err != TS_OK) {
        return err;
    }
    char logs[TS_PATH_MAX]; /* logs may be removed while a node is down, with their directory */
    err = ts_path(logs, why, dir, "log");
    err = err != TS_OK ? err : ts_dir_make(logs, 0700, why);
    if (err != TS_OK) {
        return err;
    }
    int fd = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) != 0) {
        err = ts_why_sys(why, errno, "cannot open %s", log);
        if (fd >= 0) {
            (void)close(fd);
        }
        return err;
    }
    pid_t started = spawn(r, node, dir, nicd, fd);
    (void)close(fd);
    if (started <= 0) {
        return ts_why_sys(why, errno, "cannot start %s", nicd);
    }
    if (pid != NULL) {
        *pid = started;
    }
    return wait_started(r, node, started, log, st.st_size, why);
}

bool nodes_wait_gone(const struct nodes_run *r, const char *node, unsigned timeout_ms)
{
    struct nodes_proc procs[NODES_PROCS_MAX];
    uint64_t end = now_ms() + timeout_ms;
    for (;;) {
        if (nodes_procs(r, node, procs) == 0) {
            return true;
        }
        if (now_ms() >= end) {
            return false;
        }
        pause_ms(POLL_MS);
    }
}

enum ts_err nodes_stop(const struct nodes_run *r, const char *node, unsigned grace_ms,
                       struct ts_why *why)
{
    struct nodes_proc nicd;
    if (nodes_find(r, node, "nicd", NULL, &nicd)) {
        /* A stopped nicd could not hear of it. */
        (void)nodes_signal(r, node, &nicd, SIGTERM);
        (void)nodes_signal(r, node, &nicd, SIGCONT);
        (void)nodes_wait_gone(r, node, grace_ms);
    }
    if (nodes_signal_all(r, node, SIGKILL) == 0 || nodes_wait_gone(r, node, KILL_WAIT_MS)) {
        return TS_OK;
    }
    struct nodes_proc left[NODES_PROCS_MAX];
    size_t n = nodes_procs(r, node, left);
    return n == 0 ? TS_OK
                  : ts_why(why, TS_ERR_TIMEOUT,
                           "%s (pid %d) of %s does not end even after SIGKILL: it hangs in the "
                           "kernel, probably on its disk",
                           left[0].program, (int)left[0].pid, node);
}
