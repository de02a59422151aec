#include "lab/counter.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/ids.h"
#include "lab/clock.h"
#include "lab/mem.h"

#define SILENT_MS_MAX 30000
#define LOOK_MS 1

struct lab_counter {
    pthread_t thread;
    int fd;
    char key[32];
    unsigned pipeline;
    atomic_bool stop;
    atomic_bool closed;
    atomic_ullong answered;
    atomic_ullong last_ns; /* of the newest answer */
    atomic_ullong gap_ns;
    /* The thread's own until it has ended. */
    uint64_t sent;
    char line[96];
    size_t len;
    char wrong[LAB_COUNTER_WRONG_MAX];
};

static void send_one(struct lab_counter *c)
{
    char text[96];
    int n =
        snprintf(text, sizeof(text), "*2\r\n$4\r\nINCR\r\n$%zu\r\n%s\r\n", strlen(c->key), c->key);
    if (send(c->fd, text, (size_t)n, MSG_NOSIGNAL) != n) {
        atomic_store(&c->closed, true);
    }
    c->sent++;
}

static void take_line(struct lab_counter *c)
{
    char want[32];
    (void)snprintf(want, sizeof(want), ":%llu",
                   (unsigned long long)atomic_fetch_add(&c->answered, 1) + 1);
    if (strcmp(c->line, want) != 0 && c->wrong[0] == '\0') {
        (void)snprintf(c->wrong, sizeof(c->wrong), "%s in place of %s", c->line, want);
    }
}

static void take(struct lab_counter *c, const char *in, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        bool whole = in[i] == '\n';
        c->line[c->len] = in[i] == '\r' ? '\0' : in[i];
        if (whole) {
            take_line(c);
        }
        c->len = whole || c->len + 1 == sizeof(c->line) ? 0 : c->len + 1;
    }
}

static void note_answer(struct lab_counter *c)
{
    uint64_t now = lab_now_ns();
    uint64_t gap = now - atomic_exchange(&c->last_ns, now);
    if (gap > atomic_load(&c->gap_ns)) {
        atomic_store(&c->gap_ns, gap);
    }
}

static void *run(void *arg)
{
    struct lab_counter *c = arg;
    while (!atomic_load(&c->closed) && (!atomic_load(&c->stop) || c->answered < c->sent)) {
        char in[4096];
        while (!atomic_load(&c->closed) && !atomic_load(&c->stop) &&
               c->sent < atomic_load(&c->answered) + c->pipeline) {
            send_one(c);
        }
        struct pollfd p = {.fd = c->fd, .events = POLLIN};
        ssize_t n = poll(&p, 1, SILENT_MS_MAX) == 1 ? recv(c->fd, in, sizeof(in), 0) : 0;
        if (n <= 0) {
            atomic_store(&c->closed, true);
            break;
        }
        note_answer(c);
        take(c, in, (size_t)n);
    }
    return NULL;
}

enum ts_err lab_counter_start(struct lab_counter **out, const struct sockaddr_in *to,
                              const char *key, unsigned pipeline, struct ts_why *why)
{
    int one = 1;
    struct lab_counter *c = lab_calloc(1, sizeof(*c));
    c->pipeline = pipeline;
    (void)snprintf(c->key, sizeof(c->key), "%s", key);
    atomic_store(&c->last_ns, lab_now_ns());
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (c->fd < 0 || connect(c->fd, (const struct sockaddr *)to, sizeof(*to)) != 0 ||
        setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) != 0 ||
        (errno = pthread_create(&c->thread, NULL, run, c)) != 0) {
        enum ts_err err = ts_why_sys(why, errno, "a client cannot connect");
        if (c->fd >= 0) {
            (void)close(c->fd);
        }
        free(c);
        return err;
    }
    *out = c;
    return TS_OK;
}

bool lab_counter_wait(struct lab_counter *c, uint64_t more, unsigned timeout_ms)
{
    uint64_t end = lab_now_ns() + timeout_ms * TS_NS_PER_MS;
    uint64_t wanted = atomic_load(&c->answered) + more;
    while (atomic_load(&c->answered) < wanted) {
        if (lab_now_ns() > end || atomic_load(&c->closed)) {
            return false;
        }
        lab_pause_ms(LOOK_MS);
    }
    return true;
}

bool lab_counter_wait_closed(struct lab_counter *c, unsigned timeout_ms)
{
    uint64_t end = lab_now_ns() + timeout_ms * TS_NS_PER_MS;
    while (!atomic_load(&c->closed)) {
        if (lab_now_ns() > end) {
            return false;
        }
        lab_pause_ms(LOOK_MS);
    }
    return true;
}

uint64_t lab_counter_gap(struct lab_counter *c)
{
    uint64_t last = atomic_load(&c->last_ns); /* before now, or the pause may come out negative */
    uint64_t pause = lab_now_ns() - last;
    uint64_t gap = atomic_load(&c->gap_ns);
    return pause > gap ? pause : gap;
}

void lab_counter_reset_gap(struct lab_counter *c)
{
    atomic_store(&c->gap_ns, 0);
}

void lab_counter_stop(struct lab_counter *c, struct lab_counter_result *out)
{
    atomic_store(&c->stop, true);
    (void)pthread_join(c->thread, NULL);
    *out = (struct lab_counter_result){.sent = c->sent,
                                       .answered = atomic_load(&c->answered),
                                       .gap_ns = atomic_load(&c->gap_ns),
                                       .closed = atomic_load(&c->closed)};
    memcpy(out->wrong, c->wrong, sizeof(out->wrong));
    (void)close(c->fd);
    free(c);
}
