/* SETs or GETs as fast as they are answered: the one load client for all servers that are compared.
 *
 * N connections, each with one pipeline of P requests under way; SETs optionally followed by
 * WAIT 1, as a Redis client must do that wants what Twinstep gives: the write is at two replicas
 * before the client goes on. GETs are of keys that are all there: they are written first. One
 * thread, epoll, one write and as few reads as possible per pipeline. Prints one JSON line. Exit
 * status 1: the server refused or answered something else. */
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
#define FILL_AT_ONCE 1000
#define WARM_UP_NS (500 * TS_NS_PER_MS)

struct options {
    struct lab_addrs addrs;
    unsigned connections;
    unsigned pipeline;
    unsigned bytes;
    double seconds;
    bool wait;
    bool get;
};

struct connection {
    int fd;
    char *out; /* one pipeline; the digits of its keys change every time */
    size_t out_len;
    size_t sent;
    unsigned due;      /* replies not seen yet */
    bool line_started; /* the present reply's first byte was seen, … */
    bool line_ended;   /* … and its first line's end */
    bool number_next; /* the next byte is the first digit of WAIT's answer or of a value's length */
    size_t value_left; /* bytes of a GET's value that are to come, with its end of line */
    uint64_t begun_ns;
};

struct bench {
    struct options opt;
    struct connection c[CONNECTIONS_MAX];
    struct ts_prng prng;
    size_t command_len; /* of one request */
    size_t key_at;      /* of the key's digits within a request */
    uint64_t measure_from_ns;
    uint64_t answered;
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
    fprintf(stderr, "bench_kv: %s%s%s\n", what, *detail == '\0' ? "" : ": ", detail);
    exit(1);
}

static void usage(void)
{
    fputs("bench_kv --addr HOST:PORT [--connections N] [--pipeline P] [--bytes B]\n"
          "          [--seconds S] [--wait | --get]\n",
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
                                          {"get", no_argument, NULL, 'g'},
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
        } else if (c == 'g') {
            o.get = true;
        } else {
            usage();
        }
    }
    if (o.addrs.count == 0 || o.seconds <= 0 || (o.wait && o.get)) {
        usage();
    }
    return o;
}

/* One request; its key's digits are overwritten later. Returns its length. */
static size_t write_request(struct bench *b, bool get, char *at, size_t cap)
{
    int n = get ? snprintf(at, cap, "*2\r\n$3\r\nGET\r\n$%d\r\nbench:", 6 + KEY_DIGITS)
                : snprintf(at, cap, "*3\r\n$3\r\nSET\r\n$%d\r\nbench:", 6 + KEY_DIGITS);
    b->key_at = (size_t)n;
    n += snprintf(at + n, cap - (size_t)n, "%0*d\r\n", KEY_DIGITS, 0);
    if (!get) {
        n += snprintf(at + n, cap - (size_t)n, "$%u\r\n", b->opt.bytes);
        memset(at + n, 'x', b->opt.bytes);
        n += (int)b->opt.bytes;
        n += snprintf(at + n, cap - (size_t)n, "\r\n");
    }
    return (size_t)n;
}

/* Writes the pipeline once; later only the keys' digits are overwritten. */
static void make_pipeline(struct bench *b, struct connection *c)
{
    static const char wait[] = "*3\r\n$4\r\nWAIT\r\n$1\r\n1\r\n$4\r\n5000\r\n";
    size_t cap = 96 + b->opt.bytes;
    c->out = lab_calloc(cap * b->opt.pipeline + sizeof wait, 1);
    b->command_len = write_request(b, b->opt.get, c->out, cap);
    for (unsigned i = 1; i < b->opt.pipeline; i++) {
        memcpy(c->out + i * b->command_len, c->out, b->command_len);
    }
    c->out_len = b->command_len * b->opt.pipeline;
    if (b->opt.wait) {
        memcpy(c->out + c->out_len, wait, sizeof wait - 1);
        c->out_len += sizeof wait - 1;
    }
}

static void set_key(char *digits, uint64_t key)
{
    for (int d = KEY_DIGITS - 1; d >= 0; d--) {
        digits[d] = (char)('0' + key % 10);
        key /= 10;
    }
}

static void set_keys(struct bench *b, struct connection *c)
{
    for (unsigned i = 0; i < b->opt.pipeline; i++) {
        set_key(c->out + i * b->command_len + b->key_at, ts_prng_below(&b->prng, KEYS));
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
        b->answered += b->opt.pipeline;
        if (b->sample_count < SAMPLES_MAX) {
            b->samples_us[b->sample_count++] = (uint32_t)((now - c->begun_ns) / TS_NS_PER_US);
        }
    }
    begin_pipeline(b, c);
}

/* The first byte of a reply: +OK of a SET, $N of a GET, :N of WAIT. */
static char reply_mark(const struct bench *b, const struct connection *c)
{
    if (b->opt.get) {
        return '$';
    }
    return b->opt.wait && c->due == 1 ? ':' : '+';
}

/* The first digit of WAIT's answer, which must be 1 or more, or of a value's length. */
static void take_number(const struct bench *b, struct connection *c, char digit)
{
    c->number_next = false;
    if (b->opt.get && digit == '-') {
        fail("a key that was written is not there", "");
    }
    if (b->opt.get) {
        c->value_left = b->opt.bytes + 2U;
    } else if (digit == '0') {
        fail("WAIT: no replica acknowledged within 5 s", "");
    }
}

static size_t skip_value(struct connection *c, size_t n)
{
    n = n < c->value_left ? n : c->value_left;
    c->value_left -= n;
    return n;
}

static void end_reply(struct bench *b, struct connection *c)
{
    c->line_started = false;
    if (c->due == 0) {
        fail("more replies than requests", "");
    }
    if (--c->due == 0) {
        end_pipeline(b, c);
    }
}

/* Counts the replies: each is one line, and a value behind it when it is a GET's. */
static void take_bytes(struct bench *b, struct connection *c, const char *in, size_t n)
{
    for (size_t i = 0; i < n;) {
        if (!c->line_started) {
            char mark = reply_mark(b, c);
            if (in[i] != mark) {
                fail("unexpected reply (is this the primary?)", in + i);
            }
            c->line_started = true;
            c->line_ended = false;
            c->number_next = mark != '+';
            i++;
        } else if (c->number_next) {
            take_number(b, c, in[i]);
        } else if (!c->line_ended) {
            const char *end = memchr(in + i, '\n', n - i);
            if (end == NULL) {
                return;
            }
            i = (size_t)(end - in) + 1;
            c->line_ended = true;
        } else {
            i += skip_value(c, n - i);
        }
        if (c->line_started && c->line_ended && c->value_left == 0) {
            end_reply(b, c);
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

/* Writes all keys, so that each GET finds its value. */
static void fill(struct bench *b, struct connection *c)
{
    char *out = lab_calloc(96U + b->opt.bytes, FILL_AT_ONCE);
    for (unsigned key = 0; key < KEYS;) {
        size_t len = 0;
        for (unsigned i = 0; i < FILL_AT_ONCE; i++, key++) {
            size_t at = len;
            len += write_request(b, false, out + len, 96U + b->opt.bytes);
            set_key(out + at + b->key_at, key);
        }
        for (size_t sent = 0; sent < len;) {
            ssize_t n = send(c->fd, out + sent, len - sent, MSG_NOSIGNAL);
            if (n < 0) {
                fail("send", strerror(errno));
            }
            sent += (size_t)n;
        }
        char replies[FILL_AT_ONCE * 5]; /* each is "+OK" and its end of line */
        if (recv(c->fd, replies, sizeof replies, MSG_WAITALL) != (ssize_t)sizeof replies ||
            replies[0] != '+') {
            fail("the keys cannot be written (is this the primary?)", "");
        }
    }
    free(out);
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
    if (b->opt.get && c == b->c) {
        fill(b, c);
    }
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
    printf("{\"requests_per_s\":%.0f,\"p50_us\":%" PRIu32 ",\"p99_us\":%" PRIu32
           ",\"connections\":%u,\"pipeline\":%u}\n",
           (double)b->answered / seconds, b->samples_us[b->sample_count / 2],
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
