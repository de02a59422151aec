#include "services/agent/io/dnsmasq.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#define SAID_MAX 4096U

struct names {
    char conf[TS_PATH_MAX];
    char pid[TS_PATH_MAX];
    char log[TS_PATH_MAX];
};

static enum ts_err name_all(struct names *n, const char *dir, const char *name, struct ts_why *why)
{
    enum ts_err err = ts_path(n->conf, why, dir, "%s.conf", name);
    err = err == TS_OK ? ts_path(n->pid, why, dir, "%s.pid", name) : err;
    return err == TS_OK ? ts_path(n->log, why, dir, "%s.log", name) : err;
}

/* ---- whether it runs ---- */

static pid_t read_pid(const char *path)
{
    uint8_t *data = NULL;
    size_t len = 0;
    long pid = 0;
    if (ts_file_read(path, 64, &data, &len, NULL) == TS_OK) {
        char *end = NULL;
        pid = strtol((const char *)data, &end, 10);
        pid = end != NULL && (*end == '\n' || *end == '\0') ? pid : 0;
        free(data);
    }
    return pid > 1 && pid < INT32_MAX ? (pid_t)pid : 0;
}

/* Whether one of its arguments is --conf-file=PATH. */
static bool has_argument(pid_t pid, const char *conf)
{
    char path[64];
    uint8_t *data = NULL;
    size_t len = 0;
    bool found = false;
    static const char option[] = "--conf-file=";
    (void)snprintf(path, sizeof(path), "/proc/%d/cmdline", (int)pid);
    if (ts_file_read(path, SAID_MAX, &data, &len, NULL) != TS_OK) {
        return false;
    }
    for (size_t at = 0; at < len; at += strlen((const char *)data + at) + 1) {
        const char *word = (const char *)data + at;
        found = found || (strncmp(word, option, strlen(option)) == 0 &&
                          strcmp(word + strlen(option), conf) == 0);
    }
    free(data);
    return found;
}

static int find(const struct names *n)
{
    pid_t pid = read_pid(n->pid);
    int fd = pid == 0 ? -1 : pidfd_open(pid, 0);
    /* In this order: the number is not given to another process while the descriptor is open. */
    if (fd >= 0 && !has_argument(pid, n->conf)) {
        (void)close(fd);
        fd = -1;
    }
    return fd;
}

int agent_dnsmasq_find(const char *dir, const char *name)
{
    struct names n;
    return name_all(&n, dir, name, NULL) == TS_OK ? find(&n) : -1;
}

/* ---- its beginning ---- */

/* It is made anew at need: nothing is lost with it, so it is not synced. */
static enum ts_err write_config(const char *path, struct ts_bytes config, struct ts_why *why)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    ssize_t done = fd < 0 ? -1 : write(fd, config.data, config.len);
    int err = done < 0 ? errno : (size_t)done < config.len ? ENOSPC : 0;
    if (fd >= 0) {
        (void)close(fd);
    }
    return err == 0 ? TS_OK : ts_why_sys(why, err, "cannot write %s", path);
}

static int spawn(const struct names *n, pid_t *pid)
{
    char conf[TS_PATH_MAX + 16];
    char number[TS_PATH_MAX + 16];
    char program[] = AGENT_DNSMASQ;
    char *const arguments[] = {program, conf, number, NULL};
    posix_spawn_file_actions_t files;
    (void)snprintf(conf, sizeof(conf), "--conf-file=%s", n->conf);
    (void)snprintf(number, sizeof(number), "--pid-file=%s", n->pid);
    int err = posix_spawn_file_actions_init(&files);
    if (err != 0) {
        return err;
    }
    err = posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
    err = err != 0 ? err
                   : posix_spawn_file_actions_addopen(&files, 1, n->log,
                                                      O_WRONLY | O_CREAT | O_TRUNC, 0600);
    err = err != 0 ? err : posix_spawn_file_actions_adddup2(&files, 1, 2);
    err = err != 0 ? err : posix_spawn(pid, program, &files, NULL, arguments, environ);
    (void)posix_spawn_file_actions_destroy(&files);
    return err;
}

/* The process that was started ends when the one that stays serves, or says why not. */
static int await(pid_t pid)
{
    int status = -1;
    int fd = pidfd_open(pid, 0);
    struct pollfd p = {.fd = fd, .events = POLLIN};
    if (fd < 0 || poll(&p, 1, AGENT_DNSMASQ_WAIT_MS) != 1) {
        (void)kill(pid, SIGKILL); /* a child of ours until it is waited for */
    }
    if (fd >= 0) {
        (void)close(fd);
    }
    return waitpid(pid, &status, 0) == pid && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static enum ts_err tell_failure(const struct names *n, struct ts_why *why)
{
    uint8_t *data = NULL;
    size_t len = 0;
    const char *said = "it does not say why";
    if (ts_file_read(n->log, SAID_MAX, &data, &len, NULL) == TS_OK && len > 0) {
        for (size_t i = 0; i < len; i++) {
            data[i] = data[i] < ' ' ? ' ' : data[i];
        }
        said = (const char *)data;
    }
    enum ts_err err = ts_why(why, TS_ERR_SYSTEM, "the server of DHCP does not start: %.200s", said);
    free(data);
    return err;
}

enum ts_err agent_dnsmasq_begin(const char *dir, const char *name, struct ts_bytes config,
                                int *pidfd, struct ts_why *why)
{
    struct names n;
    pid_t pid = 0;
    enum ts_err err = name_all(&n, dir, name, why);
    err = err == TS_OK ? write_config(n.conf, config, why) : err;
    if (err != TS_OK) {
        return err;
    }
    (void)unlink(n.pid);
    int failed = spawn(&n, &pid);
    if (failed != 0) {
        (void)unlink(n.conf);
        return ts_why_sys(why, failed, "cannot start " AGENT_DNSMASQ " (Debian's dnsmasq-base)");
    }
    int status = await(pid);
    *pidfd = status == 0 ? find(&n) : -1;
    if (*pidfd < 0) {
        err = tell_failure(&n, why);
        agent_dnsmasq_end(dir, name);
    }
    (void)unlink(n.log);
    return err;
}

/* ---- its end ---- */

void agent_dnsmasq_end(const char *dir, const char *name)
{
    struct names n;
    if (name_all(&n, dir, name, NULL) != TS_OK) {
        return;
    }
    int fd = find(&n);
    if (fd >= 0) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        (void)pidfd_send_signal(fd, SIGTERM, NULL, 0);
        if (poll(&p, 1, AGENT_DNSMASQ_WAIT_MS) != 1) {
            (void)pidfd_send_signal(fd, SIGKILL, NULL, 0);
        }
        (void)close(fd);
    }
    (void)unlink(n.pid);
    (void)unlink(n.log);
    (void)unlink(n.conf);
}

enum ts_err agent_dnsmasq_list(const char *dir, void (*tell)(void *arg, const char *name),
                               void *arg, struct ts_why *why)
{
    static const char end[] = ".conf";
    DIR *d = opendir(dir);
    if (d == NULL) {
        return ts_why_sys(why, errno, "cannot list %s", dir);
    }
    for (const struct dirent *e = readdir(d); e != NULL; e = readdir(d)) {
        char name[AGENT_DNSMASQ_NAME_MAX];
        size_t len = strlen(e->d_name);
        if (len > strlen(end) && len - strlen(end) < sizeof(name) &&
            strcmp(e->d_name + len - strlen(end), end) == 0) {
            (void)snprintf(name, sizeof(name), "%.*s", (int)(len - strlen(end)), e->d_name);
            tell(arg, name);
        }
    }
    (void)closedir(d);
    return TS_OK;
}
