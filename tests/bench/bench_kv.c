/* SETs as fast as they are answered: the one load client for all servers that are compared.
 *
 * N connections, each with one pipeline of P SETs under way, optionally followed by WAIT 1, as a
 * Redis client must do that wants what Twinstep gives: the write is at two replicas before the
 * client goes on. One thread, epoll, one write and as few reads as possible per pipeline.
 * Prints one JSON line. Exit status 1: the server refused or answered something else. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/ids.h"
#include "base/prng.h"
#include "lab/mem.h"
#include "lab/resp_client.h"

#define CONNECTIONS_MAX 1024
#define KEYS 100000
#define KEY_DIGITS 8
#define SAMPLES_MAX (1u << 20)
#define WARM_UP_NS (500 * TS_NS_PER_MS)

struct options {
    struct lab_addrs addrs;
    unsigned connections;
    unsigned pipeline;
    unsigned bytes;
    double seconds;
    bool wait;
};

struct connection {
    int fd;
    char *out; /* one pipeline; the digits of its keys change every time */
    size_t out_len;
    size_t sent;
    unsigned due;      /* replies not seen yet */
    bool line_started; /* the present reply's first byte was seen */
    bool number_next;  /* the next byte is the first digit of WAIT's answer */
    uint64_t begun_ns;
};

struct bench {
    struct options opt;
    struct connection c[CONNECTIONS_MAX];
    struct ts_prng prng;
    size_t command_len; /* of one SET */
    size_t key_at;      /* of the key's digits within a SET */
    uint64_t measure_from_ns;
    uint64_t sets;
    uint32_t *samples_us;
    size_t sample_count;
};

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * TS_NS_PER_S + (uint64_t)t.tv_nsec;
}

static _Noreturn void fail(const char *what, const char *detail)
{
    fprintf(stderr, "bench_set: %s%s%s\n", what, *detail == '\0' ? "" : ": ", detail);
    exit(1);
}

static void usage(void)
{
    fputs("bench_set --addr HOST:PORT [--connections N] [--pipeline P] [--bytes B]\n"
          "          [--seconds S] [--wait]\n",
          stderr);
    exit(64);
}

static unsigned number(const char *text, unsigned max)
{
    int64_t n;
    if (lab_parse_int(lab_bytes(text), &n) != TS_OK || n < 1 || n > max) {
        usage();
    }
    return (unsigned)n;
}

static struct options parse_options(int argc, char **argv)
{
    static const struct option longs[] = {{"addr", required_argument, NULL, 'a'},
                                          {"connections", required_argument, NULL, 'c'},
                                          {"pipeline", required_argument, NULL, 'p'},
                                          {"bytes", required_argument, NULL, 'b'},
                                          {"seconds", required_argument, NULL, 's'},
                                          {"wait", no_argument, NULL, 'w'},
                                          {0}};
    struct options o = {.connections = 1, .pipeline = 1, .bytes = 64, .seconds = 3};
    for (int c; (c = getopt_long(argc, argv, "", longs, NULL)) != -1;) {
        if (c == 'a') {
            if (lab_addrs_parse(&o.addrs, optarg) != TS_OK) {
                usage();
            }
        } else if (c == 'c') {
            o.connections = number(optarg, CONNECTIONS_MAX);
        } else if (c == 'p') {
            o.pipeline = number(optarg, 4096);
        } else if (c == 'b') {
            o.bytes = number(optarg, 65536);
        } else if (c == 's') {
            o.seconds = strtod(optarg, NULL);
        } else if (c == 'w') {
            o.wait = true;
        } else {
            usage();
        }
    }
    if (o.addrs.count == 0 || o.seconds <= 0) {
        usage();
    }
    return o;
}

/* Writes the pipeline once; later only the keys' digits are overwritten. */
static void make_pipeline(struct bench *b, struct connection *c)
{
    static const char wait[] = "*3\r\n$4\r\nWAIT\r\n$1\r\n1\r\n$4\r\n5000\r\n";
    char head[96];
    int n = snprintf(head, sizeof head, "*3\r\n$3\r\nSET\r\n$%d\r\nbench:%0*d\r\n$%u\r\n",
                     6 + KEY_DIGITS, KEY_DIGITS, 0, b->opt.bytes);
    int tail = snprintf(NULL, 0, "\r\n$%u\r\n", b->opt.bytes);
    b->command_len = (size_t)n + b->opt.bytes + 2;
    b->key_at = (size_t)(n - tail - KEY_DIGITS);
    c->out = lab_calloc(b->command_len * b->opt.pipeline + sizeof wait, 1);
    for (unsigned i = 0; i < b->opt.pipeline; i++) {
        char *at = c->out + i * b->command_len;
        memcpy(at, head, (size_t)n);
        memset(at + n, 'x', b->opt.bytes);
        memcpy(at + n + b->opt.bytes, "\r\n", 2);
    }
    c->out_len = b->command_len * b->opt.pipeline;
    if (b->opt.wait) {
        memcpy(c->out + c->out_len, wait, sizeof wait - 1);
        c->out_len += sizeof wait - 1;
    }
}

static void set_keys(struct bench *b, struct connection *c)
{
    for (unsigned i = 0; i < b->opt.pipeline; i++) {
        uint64_t key = ts_prng_below(&b->prng, KEYS);
        char *digits = c->out + i * b->command_len + b->key_at;
        for (int d = KEY_DIGITS - 1; d >= 0; d--) {
            digits[d] = (char)('0' + key % 10);
            key /= 10;
        }
    }
}

static void send_some(struct connection *c)
{
    while (c->sent < c->out_len) {
        ssize_t n = send(c->fd, c->out + c->sent, c->out_len - c->sent, MSG_NOSIGNAL);
        if (n < 0 && errno == EAGAIN) {
            return; /* EPOLLOUT, edge-triggered, tells when to go on */
        }
        if (n < 0) {
            fail("send", strerror(errno));
        }
        c->sent += (size_t)n;
    }
}

static void begin_pipeline(struct bench *b, struct connection *c)
{
    set_keys(b, c);
    c->sent = 0;
    c->due = b->opt.pipeline + (b->opt.wait ? 1 : 0);
    c->begun_ns = now_ns();
    send_some(c);
}

static void end_pipeline(struct bench *b, struct connection *c)
{
    uint64_t now = now_ns();
    if (c->begun_ns >= b->measure_from_ns) {
        b->sets += b->opt.pipeline;
        if (b->sample_count < SAMPLES_MAX) {
            b->samples_us[b->sample_count++] = (uint32_t)((now - c->begun_ns) / TS_NS_PER_US);
        }
    }
    begin_pipeline(b, c);
}

/* Counts the replies. Each is one line: +OK of a SET, :N of WAIT; N must be 1 or more. */
static void take_bytes(struct bench *b, struct connection *c, const char *in, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (!c->line_started) {
            bool is_wait = b->opt.wait && c->due == 1;
            if (in[i] != (is_wait ? ':' : '+')) {
                fail("unexpected reply (is this the primary?)", in + i);
            }
            c->line_started = true;
            c->number_next = is_wait;
            continue;
        }
        if (c->number_next && in[i] == '0') {
            fail("WAIT: no replica acknowledged within 5 s", "");
        }
        c->number_next = false;
        const char *end = memchr(in + i, '\n', n - i);
        if (end == NULL) {
            return;
        }
        i = (size_t)(end - in);
        c->line_started = false;
        if (c->due == 0) {
            fail("more replies than requests", "");
        }
        if (--c->due == 0) {
            end_pipeline(b, c);
        }
    }
}

static void read_some(struct bench *b, struct connection *c)
{
    char in[16384];
    for (;;) {
        ssize_t n = recv(c->fd, in, sizeof in - 1, 0);
        if (n < 0 && errno == EAGAIN) {
            return;
        }
        if (n <= 0) {
            fail("the server closed the connection", n < 0 ? strerror(errno) : "");
        }
        in[n] = '\0';
        take_bytes(b, c, in, (size_t)n);
        if ((size_t)n < sizeof in - 1) {
            return; /* edge-triggered: more would be a new edge */
        }
    }
}

static void open_connection(struct bench *b, struct connection *c, int epoll)
{
    int on = 1;
    c->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (c->fd < 0 ||
        connect(c->fd, (struct sockaddr *)&b->opt.addrs.a[0], sizeof b->opt.addrs.a[0]) != 0) {
        fail("connect", strerror(errno));
    }
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (fcntl(c->fd, F_SETFL, O_NONBLOCK) != 0) {
        fail("fcntl", strerror(errno));
    }
    struct epoll_event e = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = c};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, c->fd, &e) != 0) {
        fail("epoll_ctl", strerror(errno));
    }
    make_pipeline(b, c);
}

static int compare_u32(const void *a, const void *b)
{
    const uint32_t *x = a;
    const uint32_t *y = b;
    return (*x > *y) - (*x < *y);
}

static void report(struct bench *b, uint64_t ended_ns)
{
    double seconds = (double)(ended_ns - b->measure_from_ns) / (double)TS_NS_PER_S;
    if (b->sample_count == 0) {
        fail("not one pipeline was answered within the time", "");
    }
    qsort(b->samples_us, b->sample_count, sizeof *b->samples_us, compare_u32);
    printf("{\"sets_per_s\":%.0f,\"p50_us\":%" PRIu32 ",\"p99_us\":%" PRIu32
           ",\"connections\":%u,\"pipeline\":%u}\n",
           (double)b->sets / seconds, b->samples_us[b->sample_count / 2],
           b->samples_us[b->sample_count * 99 / 100], b->opt.connections, b->opt.pipeline);
}

int main(int argc, char **argv)
{
    struct bench *b = lab_calloc(1, sizeof *b);
    b->opt = parse_options(argc, argv);
    b->prng = ts_prng_init(1);
    b->samples_us = lab_calloc(SAMPLES_MAX, sizeof *b->samples_us);
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    if (epoll < 0) {
        fail("epoll_create1", strerror(errno));
    }
    for (unsigned i = 0; i < b->opt.connections; i++) {
        open_connection(b, &b->c[i], epoll);
    }
    b->measure_from_ns = now_ns() + WARM_UP_NS;
    uint64_t until = b->measure_from_ns + (uint64_t)(b->opt.seconds * (double)TS_NS_PER_S);
    for (unsigned i = 0; i < b->opt.connections; i++) {
        begin_pipeline(b, &b->c[i]);
    }
    uint64_t now = now_ns();
    while (now < until) {
        struct epoll_event events[256];
        int n = epoll_wait(epoll, events, 256, 100);
        for (int i = 0; i < n; i++) {
            struct connection *c = events[i].data.ptr;
            if ((events[i].events & EPOLLOUT) != 0) {
                send_some(c);
            }
            if ((events[i].events & ~(uint32_t)EPOLLOUT) != 0) {
                read_some(b, c);
            }
        }
        now = now_ns();
    }
    report(b, now);
    for (unsigned i = 0; i < b->opt.connections; i++) {
        close(b->c[i].fd);
        free(b->c[i].out);
    }
    free(b->samples_us);
    free(b);
    close(epoll);
    return 0;
}
