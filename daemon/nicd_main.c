/* nicd: starts the programs of one node and keeps them running. See nicd.h. */
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/exit.h"
#include "daemon/args.h"
#include "daemon/nicd.h"

#define RUN_MODE 0750

/* The directory of this program: the others are beside it. */
static enum ts_err own_directory(char out[TS_PATH_MAX], struct ts_why *why)
{
    ssize_t n = readlink("/proc/self/exe", out, TS_PATH_MAX);
    if (n < 0 || n >= TS_PATH_MAX) {
        return ts_why_sys(why, n < 0 ? errno : ENAMETOOLONG,
                          "cannot find the programs beside nicd: /proc/self/exe; give --libexec");
    }
    out[n] = '\0';
    char *slash = strrchr(out, '/');
    if (slash != NULL) {
        *slash = '\0';
    }
    return TS_OK;
}

/* Tells the systemd that started this program, if one did (Type=notify): one datagram,
 * sd_notify(3). That is all of libsystemd that is needed here. Nothing depends on its arrival. */
static void tell_systemd(const char *state)
{
    const char *name = getenv("NOTIFY_SOCKET");
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    size_t len = name == NULL ? 0 : strlen(name);
    if (len < 2 || len >= sizeof(to.sun_path) || (name[0] != '/' && name[0] != '@')) {
        return;
    }
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    memcpy(to.sun_path, name, len);
    if (name[0] == '@') {
        to.sun_path[0] = '\0'; /* an abstract address */
    }
    if (fd >= 0) {
        socklen_t to_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
        (void)sendto(fd, state, strlen(state), MSG_NOSIGNAL, (struct sockaddr *)&to, to_len);
        (void)close(fd);
    }
}

/* The lock, the directories and the pid file. */
static enum ts_err claim(const char *dir, struct ts_dir_lock *lock, char pid_file[TS_PATH_MAX],
                         struct ts_why *why)
{
    char path[TS_PATH_MAX];
    char pid[32];
    static const char *const names[] = {"run", "log"};
    enum ts_err err = ts_dir_lock(lock, dir, why);
    for (size_t i = 0; err == TS_OK && i < sizeof(names) / sizeof(names[0]); i++) {
        err = ts_path(path, why, dir, "%s", names[i]);
        if (err == TS_OK) {
            err = ts_dir_make(path, RUN_MODE, why);
        }
    }
    if (err == TS_OK) {
        err = ts_path(pid_file, why, dir, "run/nicd.pid");
    }
    if (err == TS_OK) {
        int n = snprintf(pid, sizeof(pid), "%ld\n", (long)getpid());
        err = ts_file_replace(pid_file, pid, (size_t)n, 0644, why);
    }
    return err;
}

/* Runs until everything was stopped. `*clean`: the process can end in the ordinary way. */
static int run(struct daemon_start *s, const char *libexec, bool *clean)
{
    uv_loop_t loop;
    struct nicd *n = NULL;
    struct ts_why why = {0};
    const struct nicd_options options = {
        .loop = &loop,
        .log = &s->log,
        .cluster = &s->cluster,
        .self = s->node,
        .config = s->args.config,
        .dir = s->args.data,
        .libexec = libexec,
    };
    if (uv_loop_init(&loop) != 0) {
        net_log(&s->log, NET_LOG_ERROR, "cannot set up the event loop");
        return TS_EXIT_FAILURE;
    }
    enum ts_err err = nicd_open(&n, &options, &why);
    if (err != TS_OK) {
        net_log(&s->log, NET_LOG_ERROR, "%s", why.text);
        (void)uv_loop_close(&loop);
        return err == TS_ERR_LIMIT ? TS_EXIT_CONFIG : TS_EXIT_FAILURE;
    }
    tell_systemd("READY=1\nSTATUS=its programs are started");
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    tell_systemd("STOPPING=1");
    *clean = nicd_close(n);
    net_log(&s->log, NET_LOG_INFO, "all programs are stopped%s",
            *clean ? "" : "; the disk did not take the last lines of their logs");
    if (*clean) {
        (void)uv_loop_close(&loop);
    }
    return TS_EXIT_OK;
}

static int supervise(struct daemon_start *s, bool *clean)
{
    struct ts_dir_lock lock;
    struct ts_why why = {0};
    char pid_file[TS_PATH_MAX];
    char beside[TS_PATH_MAX];
    enum ts_err err = claim(s->args.data, &lock, pid_file, &why);
    if (err == TS_OK && s->args.libexec == NULL) {
        err = own_directory(beside, &why);
    }
    if (err != TS_OK) {
        net_log(&s->log, NET_LOG_ERROR, "%s", why.text);
        return err == TS_ERR_NOT_FOUND ? TS_EXIT_CONFIG : TS_EXIT_FAILURE;
    }
    int status = run(s, s->args.libexec == NULL ? beside : s->args.libexec, clean);
    if (unlink(pid_file) != 0) {
        net_log(&s->log, NET_LOG_WARNING, "cannot remove %s: %s", pid_file, strerror(errno));
    }
    ts_dir_unlock(&lock);
    return status;
}

int main(int argc, char **argv)
{
    bool clean = true;
    struct daemon_start *s = (struct daemon_start *)calloc(1, sizeof(*s));
    if (s == NULL) {
        return TS_EXIT_FAILURE;
    }
    int status = daemon_start(s, "nicd", DAEMON_TAKES_LIBEXEC, argc, argv);
    if (status < 0) {
        status = supervise(s, &clean);
    }
    if (!clean) {
        _exit(status); /* a thread hangs in the disk: leaving the ordinary way would wait for it */
    }
    free(s);
    return status;
}
