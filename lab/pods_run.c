/* What goes on in a lab that runs, from outside: see lab/pods.h. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <jansson.h>

#include "lab/clock.h"
#include "lab/pods.h"

#define HOLD_LOOK_MS 5

/* The kernel takes such a lock back when its process ends, and tells whose it is. */
static int lock_file(const char *dir, int flags, struct ts_why *why)
{
    char path[TS_PATH_MAX];
    if (ts_path(path, why, dir, LAB_LOCK) != TS_OK) {
        return -1;
    }
    return open(path, flags | O_CLOEXEC, 0644);
}

pid_t lab_keeper(const char *dir)
{
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    int fd = lock_file(dir, O_RDWR, NULL);
    if (fd < 0) {
        return 0;
    }
    int rc = fcntl(fd, F_GETLK, &whole);
    (void)close(fd);
    if (rc != 0 || whole.l_type == F_UNLCK) {
        return 0;
    }
    return whole.l_pid > 0 ? whole.l_pid : -1;
}

enum ts_err lab_keeper_lock(const char *dir, struct ts_why *why)
{
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    int fd = lock_file(dir, O_RDWR | O_CREAT, why);
    if (fd < 0) {
        return ts_why_sys(why, errno, "cannot open %s/" LAB_LOCK, dir);
    }
    if (fcntl(fd, F_SETLK, &whole) != 0) {
        (void)close(fd);
        return ts_why(why, TS_ERR_BUSY, "a lab runs in %s already; twinstep lab down ends it", dir);
    }
    return TS_OK; /* the descriptor stays open, which is the lock */
}

/* Whether the directory still has the file that is open here. */
static bool is_same_file(int fd, const char *dir)
{
    char path[TS_PATH_MAX];
    struct stat here;
    struct stat there;
    return ts_path(path, NULL, dir, LAB_LOCK) == TS_OK && fstat(fd, &here) == 0 &&
           stat(path, &there) == 0 && here.st_ino == there.st_ino && here.st_dev == there.st_dev;
}

enum ts_err lab_hold(const char *dir, unsigned wait_ms, int *out, struct ts_why *why)
{
    uint64_t until = lab_now_ns() + wait_ms * TS_NS_PER_MS;
    for (;;) {
        int fd = lock_file(dir, O_RDWR | O_CREAT, why);
        if (fd < 0) {
            return errno == ENOENT ? ts_why(why, TS_ERR_NOT_FOUND, "there is no directory %s", dir)
                                   : ts_why_sys(why, errno, "cannot open %s/" LAB_LOCK, dir);
        }
        bool mine = flock(fd, LOCK_EX | LOCK_NB) == 0;
        if (mine && is_same_file(fd, dir)) {
            *out = fd;
            return TS_OK;
        }
        (void)close(fd);
        if (!mine && lab_now_ns() >= until) {
            return ts_why(why, TS_ERR_BUSY,
                          "another twinstep lab command works in %s, or a process of the lab there "
                          "does not end; try again",
                          dir);
        }
        lab_pause_ms(mine ? 0 : HOLD_LOOK_MS);
    }
}

/* The first process of the machine; 0 when it does not run. */
static pid_t find(const char *dir, const char *name, bool *root)
{
    char path[TS_PATH_MAX];
    if (lab_keeper(dir) <= 0 || ts_path(path, NULL, dir, LAB_STATE) != TS_OK) {
        return 0;
    }
    json_t *state = json_load_file(path, 0, NULL);
    json_t *pid = json_object_get(json_object_get(state, "machines"), name);
    *root = json_is_true(json_object_get(state, "root"));
    pid_t found = (pid_t)json_integer_value(pid);
    json_decref(state);
    return found;
}

bool lab_pods_has(const char *dir, const char *name, bool *root)
{
    return find(dir, name, root) > 0;
}

static const struct {
    const char *name;
    int type;
} KINDS[] = {{"user", CLONE_NEWUSER}, {"net", CLONE_NEWNET}, {"uts", CLONE_NEWUTS},
             {"ipc", CLONE_NEWIPC},   {"pid", CLONE_NEWPID}, {"mnt", CLONE_NEWNS}};
#define KIND_COUNT (sizeof(KINDS) / sizeof(KINDS[0]))
#define KINDS_OF_NETWORK 2

/* Whether this process has it already: it cannot be entered again then. */
static bool is_own_user(int fd)
{
    struct stat own;
    struct stat other;
    return stat("/proc/self/ns/user", &own) == 0 && fstat(fd, &other) == 0 &&
           own.st_ino == other.st_ino && own.st_dev == other.st_dev;
}

/* The first `count` kinds. The user namespace first: it brings the rights for the others. Root has
 * them already. */
static bool enter(pid_t pid, bool root, size_t count)
{
    int fds[KIND_COUNT];
    bool good = true;
    for (size_t i = 0; i < count; i++) {
        char path[64];
        (void)snprintf(path, sizeof(path), "/proc/%d/ns/%s", (int)pid, KINDS[i].name);
        fds[i] = open(path, O_RDONLY | O_CLOEXEC);
        good = good && fds[i] >= 0;
    }
    bool has_user = root || !good || is_own_user(fds[0]);
    for (size_t i = has_user ? 1 : 0; good && i < count; i++) {
        good = setns(fds[i], KINDS[i].type) == 0;
    }
    int error = errno;
    for (size_t i = 0; i < count; i++) {
        if (fds[i] >= 0) {
            (void)close(fds[i]);
        }
    }
    errno = error;
    return good;
}

enum ts_err lab_pods_enter_network(const char *dir, const char *name, struct ts_why *why)
{
    bool root = false;
    pid_t pid = find(dir, name, &root);
    if (pid <= 0) {
        return ts_why(why, TS_ERR_NOT_FOUND, "no machine %s runs in the lab of %s", name, dir);
    }
    return enter(pid, root, KINDS_OF_NETWORK)
               ? TS_OK
               : ts_why_sys(why, errno, "cannot enter the network of %s", name);
}

/* In a child: namespaces of processes are for one's own children only, so it has another one, which
 * is the program. */
static _Noreturn void become(pid_t waits, pid_t pid, bool root, const struct lab_run *r,
                             const char *cwd, char *const argv[])
{
    if (!enter(pid, root, KIND_COUNT)) {
        fprintf(stderr, "twinstep: cannot enter %s: %s\n", r->name, strerror(errno));
        _exit(126);
    }
    /* Who waits for the program may be killed: then it hears what it would hear from a terminal
     * that is gone. After the namespaces, which would undo it. */
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != waits) {
        _exit(126);
    }
    pid_t inner = fork();
    if (inner == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGHUP);
        if (chdir(cwd) != 0) {
            (void)!chdir("/");
        }
        if (r->quiet && freopen("/dev/null", "w", stdout) == NULL) {
            _exit(126);
        }
        (void)setenv("TWINSTEP_LAB", r->name, 1);
        execvp(argv[0], argv);
        fprintf(stderr, "twinstep: cannot run %s in %s: %s\n", argv[0], r->name, strerror(errno));
        _exit(127);
    }
    int status = 0;
    while (inner > 0 && waitpid(inner, &status, 0) < 0 && errno == EINTR) {
    }
    _exit(inner < 0 ? 126 : WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
}

/* Whether the directory is in the lab's, which containers have under the same path. */
static bool is_in_lab(const char *cwd, const char *dir)
{
    char real[PATH_MAX];
    size_t n = realpath(dir, real) == NULL ? 0 : strlen(real);
    return n > 0 && strncmp(cwd, real, n) == 0 && (cwd[n] == '\0' || cwd[n] == '/');
}

/* In a child, which the engine's command becomes: what it runs has the rights and limits of the
 * container. */
static _Noreturn void become_exec(pid_t waits, const struct lab_engine *e, const struct lab_run *r,
                                  const char *cwd, char *const argv[])
{
    struct lab_words *w = calloc(1, sizeof(*w));
    bool terminal = isatty(STDIN_FILENO) == 1 && isatty(STDOUT_FILENO) == 1;
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (w == NULL || getppid() != waits ||
        (r->quiet && freopen("/dev/null", "w", stdout) == NULL)) {
        _exit(126);
    }
    lab_engine_exec_words(e, r->name, is_in_lab(cwd, r->dir) ? cwd : "/", terminal && !r->quiet,
                          environ, w);
    for (size_t i = 0; argv[i] != NULL; i++) {
        lab_word(w, "%s", argv[i]);
    }
    if (w->full) {
        fprintf(stderr, "twinstep: the command, or what the environment says, is too long\n");
        _exit(126);
    }
    (void)unsetenv("LD_PRELOAD"); /* it is the command's */
    /* execvp takes char *const[] for historical reasons; it changes nothing. */
    union {
        const char *const *from;
        char *const *to;
    } words = {.from = w->argv};
    (void)execvp(words.to[0], words.to);
    fprintf(stderr, "twinstep: cannot run %s: %s\n", words.to[0], strerror(errno));
    _exit(127);
}

enum ts_err lab_pods_run(const struct lab_run *r, char *const argv[], int *status,
                         struct ts_why *why)
{
    bool root = false;
    char cwd[TS_PATH_MAX] = "/";
    pid_t pid = find(r->dir, r->name, &root);
    if (pid <= 0) {
        return ts_why(why, TS_ERR_NOT_FOUND, "no machine %s runs in the lab of %s", r->name,
                      r->dir);
    }
    if (r->cwd != NULL) {
        (void)snprintf(cwd, sizeof(cwd), "%s", r->cwd);
    } else if (getcwd(cwd, sizeof(cwd)) == NULL) {
        (void)snprintf(cwd, sizeof(cwd), "/");
    }
    struct lab_engine engine;
    enum ts_err err = lab_engine_load(r->dir, &engine, why);
    if (err != TS_OK) {
        return err;
    }
    (void)fflush(NULL);
    pid_t self = getpid();
    pid_t child = fork();
    if (child == 0 && engine.backend != LAB_BACKEND_NETNS) {
        become_exec(self, &engine, r, cwd, argv);
    }
    if (child == 0) {
        become(self, pid, root, r, cwd, argv);
    }
    if (child < 0) {
        return ts_why_sys(why, errno, "cannot start %s in %s", argv[0], r->name);
    }
    while (waitpid(child, status, 0) < 0) {
        if (errno != EINTR) {
            return ts_why_sys(why, errno, "cannot wait for %s in %s", argv[0], r->name);
        }
    }
    *status = WIFEXITED(*status) ? WEXITSTATUS(*status) : 128 + WTERMSIG(*status);
    return TS_OK;
}

enum ts_err lab_pods_start_node(const struct nodes_run *run, const char *name, struct ts_why *why)
{
    char words[][TS_PATH_MAX] = {"", "up", "--dir", "", "--nic", "", "--timeout", "0"};
    char *argv[] = {words[0], words[1], words[2], words[3], words[4],
                    words[5], words[6], words[7], NULL};
    struct lab_run in = {.dir = run->run, .name = name, .cwd = run->run, .quiet = true};
    int status = 1;
    memcpy(words[3], run->run, sizeof(run->run));
    (void)snprintf(words[5], sizeof(words[5]), "%s", name);
    enum ts_err err = ts_path(words[0], why, run->bin, "twinstep");
    err = err != TS_OK ? err : lab_pods_run(&in, argv, &status, why);
    return err != TS_OK || status == 0
               ? err
               : ts_why(why, TS_ERR_REFUSED, "%s does not start; its message is above", name);
}
