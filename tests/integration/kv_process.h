/* Processes and plain connections for tests of the kv front-end. */
#ifndef TESTS_INTEGRATION_KV_PROCESS_H
#define TESTS_INTEGRATION_KV_PROCESS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define KV_WAIT_MS 60000 /* ends a test that hangs; never reached otherwise */

struct kv_process {
    pid_t pid;
    FILE *out;
};

/* An address of this process alone, so that tests beside each other do not meet. */
static inline void kv_address(char out[32], unsigned n)
{
    unsigned pid = (unsigned)getpid();
    snprintf(out, 32, "127.%u.%u.%u", 128 + pid / 65536 % 64, pid / 256 % 256, 1 + (pid + n) % 250);
}

/* Starts a program with its standard output in a pipe. */
static inline struct kv_process kv_start(const char *const *argv)
{
    int fds[2];
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* a test that fails leaves nothing behind */
        dup2(fds[1], STDOUT_FILENO);
        execvp(argv[0], (char *const *)(uintptr_t)argv);
        _exit(127);
    }
    close(fds[1]);
    return (struct kv_process){pid, fdopen(fds[0], "r")};
}

/* Reads its output up to the line that holds `text`; copies that line. */
static inline void kv_wait_line(struct kv_process *p, const char *text, char *line, size_t cap)
{
    while (fgets(line, (int)cap, p->out) != NULL) {
        if (strstr(line, text) != NULL) {
            return;
        }
    }
    fail_msg("a process ended before it printed '%s'", text);
}

/* Ends it and gives its exit status; -1 when it died by a signal. */
static inline int kv_stop(struct kv_process *p)
{
    int status = 0;
    kill(p->pid, SIGTERM);
    char rest[4096];
    while (fread(rest, 1, sizeof(rest), p->out) > 0) {
    }
    fclose(p->out);
    assert_int_equal(waitpid(p->pid, &status, 0), p->pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

#define KV_REDIS_PORT 6390

/* Starts a redis-server, whose replies kv's are compared with, on `address` and that port. */
static inline struct kv_process kv_start_redis(const char *address)
{
    const char *const argv[] = {"redis-server", "--bind", address, "--port", "6390",
                                "--save",       "",       "--dir", "/tmp",   NULL};
    struct kv_process p = kv_start(argv);
    char line[512];
    kv_wait_line(&p, "Ready to accept connections", line, sizeof(line));
    return p;
}

#ifdef KV_LOOPBACK

#define KV_ARGS_MAX 16

/* Starts kv_loopback with these options (NULL ends); gives its port. */
static inline struct kv_process kv_start_loopback(const char *address, uint16_t *port,
                                                  const char *const *options)
{
    const char *argv[KV_ARGS_MAX] = {KV_LOOPBACK, address};
    size_t n = 2;
    for (; options != NULL && *options != NULL; options++) {
        assert_true(n + 1 < KV_ARGS_MAX);
        argv[n++] = *options;
    }
    struct kv_process p = kv_start(argv);
    char line[64];
    kv_wait_line(&p, "port ", line, sizeof(line));
    *port = (uint16_t)strtoul(line + 5, NULL, 10);
    return p;
}

#endif

static inline int kv_connect(const char *address, uint16_t port)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
    int on = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(inet_pton(AF_INET, address, &to.sin_addr), 1);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    return fd;
}

static inline void kv_send(int fd, const void *data, size_t n)
{
    const char *at = data;
    while (n > 0) {
        ssize_t k = send(fd, at, n, MSG_NOSIGNAL);
        assert_true(k > 0);
        at += k;
        n -= (size_t)k;
    }
}

/* The next bytes; 0 at the end of the stream. Fails the test when nothing comes for long. */
static inline size_t kv_receive(int fd, void *data, size_t cap)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    assert_int_equal(poll(&p, 1, KV_WAIT_MS), 1);
    ssize_t n = recv(fd, data, cap, 0);
    return n > 0 ? (size_t)n : 0;
}

struct kv_replies {
    char *data; /* owned */
    size_t len;
    size_t cap;
};

/* The end of the reply that begins at data[at], 0 when it is not whole. Nested replies are
 * counted down, one after another. */
static inline size_t kv_reply_end(const struct kv_replies *r, size_t at)
{
    long left = 1;
    while (left > 0) {
        const char *eol = at < r->len ? memmem(r->data + at, r->len - at, "\r\n", 2) : NULL;
        if (eol == NULL) {
            return 0;
        }
        char type = r->data[at];
        long n = strtol(r->data + at + 1, NULL, 10);
        at = (size_t)(eol - r->data) + 2;
        left--;
        if ((type == '$' || type == '=') && n >= 0) {
            at += (size_t)n + 2;
        } else if ((type == '*' || type == '~' || type == '>') && n > 0) {
            left += n;
        } else if (type == '%' && n > 0) {
            left += 2 * n;
        }
        if (at > r->len) {
            return 0;
        }
    }
    return at;
}

/* Receives until `count` whole replies are there. False when the stream ends before. */
static inline bool kv_receive_replies(int fd, struct kv_replies *r, size_t count)
{
    size_t at = 0;
    while (count > 0) {
        size_t end = kv_reply_end(r, at);
        if (end > 0) {
            at = end;
            count--;
            continue;
        }
        if (r->cap - r->len < 65536) {
            r->cap = (r->cap + 65536) * 2;
            r->data = realloc(r->data, r->cap);
            assert_non_null(r->data);
        }
        size_t n = kv_receive(fd, r->data + r->len, r->cap - r->len - 1);
        if (n == 0) {
            return false;
        }
        r->len += n;
        r->data[r->len] = '\0'; /* for strtol */
    }
    return true;
}

/* Sends text and expects exactly this reply text. */
static inline void kv_expect(int fd, const char *request, const char *reply)
{
    struct kv_replies r = {0};
    kv_send(fd, request, strlen(request));
    size_t want = strlen(reply);
    r.cap = want + 1;
    r.data = calloc(1, r.cap);
    assert_non_null(r.data);
    while (r.len < want) {
        size_t n = kv_receive(fd, r.data + r.len, want - r.len);
        assert_true(n > 0);
        r.len += n;
    }
    assert_string_equal(r.data, reply);
    free(r.data);
}

#endif
