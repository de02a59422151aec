#include "lab/nodes_procs.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lab/pidfd.h"

static const char *const PROGRAMS[] = {"nicd", "heartbeatd", "cluster-cfgd", "replica", NULL};

static bool is_program(const char *path, char out[NODES_PROGRAM_MAX])
{
    const char *name = strrchr(path, '/');
    name = name == NULL ? path : name + 1;
    for (size_t i = 0; PROGRAMS[i] != NULL; i++) {
        if (strcmp(PROGRAMS[i], name) == 0) {
            (void)snprintf(out, NODES_PROGRAM_MAX, "%s", name);
            return true;
        }
    }
    return false;
}

/* One of the node's programs: fills program and group, and gives its `--data`, NULL without one. */
static const char *data_of(const char *cmdline, size_t len, struct nodes_proc *out)
{
    if (len == 0 || cmdline[len - 1] != '\0' || !is_program(cmdline, out->program)) {
        return NULL;
    }
    const char *data = NULL;
    out->group[0] = '\0';
    const char *end = cmdline + len;
    const char *arg = cmdline;
    while (arg < end) {
        const char *value = arg + strlen(arg) + 1;
        if (value < end && strcmp(arg, "--data") == 0) {
            data = value;
        }
        if (value < end && strcmp(arg, "--group") == 0) {
            (void)snprintf(out->group, sizeof(out->group), "%s", value);
        }
        arg = value;
    }
    return data;
}

bool nodes_procs_match(const char *cmdline, size_t len, const char *dir, struct nodes_proc *out)
{
    const char *data = data_of(cmdline, len, out);
    return data != NULL && strcmp(data, dir) == 0;
}

bool nodes_procs_match_run(const char *cmdline, size_t len, const char *run,
                           char node[CFG_NAME_MAX])
{
    struct nodes_proc proc;
    size_t n = strlen(run);
    const char *data = data_of(cmdline, len, &proc);
    if (data == NULL || strncmp(data, run, n) != 0 || data[n] != '/') {
        return false;
    }
    const char *name = data + n + 1;
    size_t bytes = strlen(name);
    if (bytes == 0 || bytes >= CFG_NAME_MAX || name[0] == '.' || strchr(name, '/') != NULL) {
        return false;
    }
    memcpy(node, name, bytes + 1);
    return true;
}

/* Reads /proc/PID/NAME; gives the number of bytes, 0 when the process is gone. */
static size_t read_proc(pid_t pid, const char *name, char *out, size_t cap)
{
    char path[64];
    (void)snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return 0;
    }
    ssize_t n = read(fd, out, cap - 1);
    (void)close(fd);
    out[n > 0 ? n : 0] = '\0';
    return n > 0 ? (size_t)n : 0;
}

/* State and start time of /proc/PID/stat: fields 3 and 22, counted behind the name's ")". */
static bool read_stat(pid_t pid, char *state, uint64_t *start_ticks)
{
    char text[1024];
    if (read_proc(pid, "stat", text, sizeof(text)) == 0) {
        return false;
    }
    const char *at = strrchr(text, ')');
    if (at == NULL || strlen(at) < 3) {
        return false;
    }
    *state = at[2];
    at += 2;
    for (int field = 3; field < 22 && at != NULL; field++) {
        at = strchr(at, ' ');
        at = at == NULL ? NULL : at + 1;
    }
    if (at == NULL) {
        return false;
    }
    *start_ticks = strtoull(at, NULL, 10);
    return true;
}

/* Whether this pid is a process of the node now. */
static bool look(pid_t pid, const char *dir, struct nodes_proc *out)
{
    char cmdline[NODES_CMDLINE_MAX];
    char state = 0;
    size_t n = read_proc(pid, "cmdline", cmdline, sizeof(cmdline));
    *out = (struct nodes_proc){.pid = pid};
    if (n == 0 || !nodes_procs_match(cmdline, n, dir, out) ||
        !read_stat(pid, &state, &out->start_ticks) || state == 'Z' || state == 'X') {
        return false;
    }
    out->stopped = state == 'T' || state == 't';
    return true;
}

static int compare(const void *a, const void *b)
{
    const struct nodes_proc *x = a;
    const struct nodes_proc *y = b;
    bool x_nicd = strcmp(x->program, "nicd") == 0;
    bool y_nicd = strcmp(y->program, "nicd") == 0;
    if (x_nicd != y_nicd) {
        return x_nicd ? -1 : 1;
    }
    return (x->pid > y->pid) - (x->pid < y->pid);
}

size_t nodes_procs(const struct nodes_run *r, const char *node,
                   struct nodes_proc out[NODES_PROCS_MAX])
{
    char dir[TS_PATH_MAX];
    DIR *proc = opendir("/proc");
    size_t n = 0;
    if (proc == NULL || ts_path(dir, NULL, r->run, "%s", node) != TS_OK) {
        if (proc != NULL) {
            (void)closedir(proc);
        }
        return 0;
    }
    const struct dirent *entry;
    while (n < NODES_PROCS_MAX && (entry = readdir(proc)) != NULL) {
        long pid = isdigit((unsigned char)entry->d_name[0]) ? strtol(entry->d_name, NULL, 10) : 0;
        if (pid > 0 && pid < INT32_MAX && look((pid_t)pid, dir, &out[n])) {
            n++;
        }
    }
    (void)closedir(proc);
    qsort(out, n, sizeof(*out), compare);
    return n;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(a, b);
}

static bool is_among(char names[TS_NODES_MAX][CFG_NAME_MAX], size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(names[i], name) == 0) {
            return true;
        }
    }
    return false;
}

size_t nodes_running(const struct nodes_run *r, char out[TS_NODES_MAX][CFG_NAME_MAX])
{
    DIR *proc = opendir("/proc");
    size_t n = 0;
    const struct dirent *entry;
    while (proc != NULL && n < TS_NODES_MAX && (entry = readdir(proc)) != NULL) {
        char cmdline[NODES_CMDLINE_MAX];
        char name[CFG_NAME_MAX];
        struct nodes_proc procs[NODES_PROCS_MAX];
        long pid = isdigit((unsigned char)entry->d_name[0]) ? strtol(entry->d_name, NULL, 10) : 0;
        size_t len = pid > 0 && pid < INT32_MAX
                         ? read_proc((pid_t)pid, "cmdline", cmdline, sizeof(cmdline))
                         : 0;
        if (nodes_procs_match_run(cmdline, len, r->run, name) && !is_among(out, n, name) &&
            nodes_procs(r, name, procs) > 0) {
            (void)snprintf(out[n++], CFG_NAME_MAX, "%s", name);
        }
    }
    if (proc != NULL) {
        (void)closedir(proc);
    }
    qsort(out, n, CFG_NAME_MAX, compare_names);
    return n;
}

bool nodes_find(const struct nodes_run *r, const char *node, const char *program, const char *group,
                struct nodes_proc *out)
{
    struct nodes_proc procs[NODES_PROCS_MAX];
    size_t n = nodes_procs(r, node, procs);
    for (size_t i = 0; i < n; i++) {
        bool same = group != NULL ? strcmp(procs[i].group, group) == 0
                                  : strcmp(procs[i].program, program) == 0;
        if (same) {
            *out = procs[i];
            return true;
        }
    }
    return false;
}

bool nodes_signal(const struct nodes_run *r, const char *node, const struct nodes_proc *proc,
                  int signal)
{
    char dir[TS_PATH_MAX];
    struct nodes_proc now;
    /* The handle keeps the pid from being given to another process between look and signal. */
    int fd = lab_pidfd_open(proc->pid);
    if (fd < 0 && errno != ENOSYS) {
        return false;
    }
    bool same = ts_path(dir, NULL, r->run, "%s", node) == TS_OK && look(proc->pid, dir, &now) &&
                now.start_ticks == proc->start_ticks;
    bool sent = false;
    if (same) {
        sent = fd >= 0 ? syscall(SYS_pidfd_send_signal, fd, signal, NULL, 0) == 0
                       : kill(proc->pid, signal) == 0;
    }
    lab_pidfd_close(fd);
    return sent;
}

size_t nodes_signal_all(const struct nodes_run *r, const char *node, int signal)
{
    struct nodes_proc procs[NODES_PROCS_MAX];
    size_t n = nodes_procs(r, node, procs);
    size_t sent = 0;
    for (size_t i = 0; i < n; i++) {
        sent += nodes_signal(r, node, &procs[i], signal) ? 1 : 0;
    }
    return sent;
}
