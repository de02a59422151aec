/* The metrics' HTTP: what is answered, and that what strangers send does not hold up the loop. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "cluster-cfg/io/metrics_server.h"

#define TURNS_MAX 2000
#define BODY "# HELP x y\n"

struct fixture {
    uv_loop_t loop;
    struct metrics_server *server;
    bool short_of_memory;
    char got[64 * 1024];
};

static char *render(void *arg)
{
    const struct fixture *f = arg;
    return f->short_of_memory ? NULL : strdup(BODY);
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    struct ts_why why = {{0}};
    *state = f;
    if (f == NULL || uv_loop_init(&f->loop) != 0) {
        return -1;
    }
    if (metrics_server_open(&f->server, &f->loop, "127.0.0.1", 0, 1, render, f, &why) != TS_OK) {
        fail_msg("%s", why.text);
    }
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    metrics_server_close(f->server);
    (void)uv_run(&f->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&f->loop), 0);
    free(f);
    return 0;
}

static int client(const struct fixture *f)
{
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons(metrics_server_port(f->server)),
                             .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
    assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    return fd;
}

/* Sends all, and runs the loop until the answer has `until` in it, or the connection ends. */
static void ask(struct fixture *f, int fd, const char *request, size_t len, const char *until)
{
    size_t sent = 0;
    size_t n = 0;
    f->got[0] = '\0';
    for (int turn = 0; turn < TURNS_MAX; turn++) {
        ssize_t w = sent < len ? send(fd, request + sent, len - sent, MSG_NOSIGNAL) : 0;
        sent += w > 0 ? (size_t)w : 0;
        (void)uv_run(&f->loop, UV_RUN_NOWAIT);
        struct pollfd p = {.fd = fd, .events = POLLIN};
        ssize_t r = poll(&p, 1, 5) > 0 ? recv(fd, f->got + n, sizeof(f->got) - n - 1, 0) : -1;
        n += r > 0 ? (size_t)r : 0;
        f->got[n] = '\0';
        if (r == 0 || (until != NULL && strstr(f->got, until) != NULL)) {
            return;
        }
    }
}

static void ask_text(struct fixture *f, const char *request, const char *until)
{
    int fd = client(f);
    ask(f, fd, request, strlen(request), until);
    (void)close(fd);
}

static void assert_got(const struct fixture *f, const char *text)
{
    if (strstr(f->got, text) == NULL) {
        fail_msg("no \"%s\" in \"%s\"", text, f->got);
    }
}

/* Goal: GET gives the text with its type, twice on one connection; HEAD gives its head. */
static void test_get_gives_the_text(void **state)
{
    struct fixture *f = *state;
    static const char GET[] = "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n";
    int fd = client(f);
    for (int i = 0; i < 2; i++) {
        ask(f, fd, GET, sizeof(GET) - 1, BODY);
        assert_got(f, "200 OK");
        assert_got(f, "text/plain; version=0.0.4; charset=utf-8");
        assert_got(f, BODY);
    }
    (void)close(fd);
    ask_text(f, "HEAD /metrics HTTP/1.1\r\nHost: x\r\n\r\n", "\r\n\r\n");
    assert_got(f, "200 OK");
    assert_null(strstr(f->got, BODY));
}

/* Goal: everything else is refused with a reason, want of memory too. */
static void test_other_requests_are_refused(void **state)
{
    struct fixture *f = *state;
    ask_text(f, "GET / HTTP/1.1\r\nHost: x\r\n\r\n", "metrics are at");
    assert_got(f, "404");
    ask_text(f, "DELETE /metrics HTTP/1.1\r\nHost: x\r\n\r\n", "only GET");
    assert_got(f, "405");
    assert_got(f, "GET, HEAD");
    f->short_of_memory = true;
    ask_text(f, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n", "out of memory");
    assert_got(f, "503");
}

/* Goal: neither garbage, nor a body, nor a head without an end, nor more clients than are taken
 * keeps the next one from its answer. */
static void test_rude_clients_do_no_harm(void **state)
{
    struct fixture *f = *state;
    enum { IDLE = 15, LONG = 200000 };
    int idle[IDLE];
    char *long_head = malloc(LONG);
    assert_non_null(long_head);
    memset(long_head, 'a', LONG);
    memcpy(long_head, "GET /metrics HTTP/1.1\r\nX: ", 26);
    for (int i = 0; i < IDLE; i++) {
        idle[i] = client(f);
        assert_int_equal(send(idle[i], "GET /", 5, MSG_NOSIGNAL), 5);
    }
    ask_text(f, "\x16\x03\x01 garbage \xff\r\n\r\n", NULL);
    ask_text(f, "POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nabcd", NULL);
    assert_null(strstr(f->got, BODY));
    int fd = client(f);
    ask(f, fd, long_head, LONG, "\r\n\r\n");
    assert_null(strstr(f->got, BODY));
    (void)close(fd);
    ask_text(f, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n", BODY);
    assert_got(f, BODY);
    for (int i = 0; i < IDLE; i++) {
        (void)close(idle[i]);
    }
    free(long_head);
}

static void count_turn(uv_prepare_t *prepare)
{
    ++*(unsigned *)prepare->data;
}

static void stop_loop(uv_timer_t *timer)
{
    uv_stop(timer->loop);
}

/* Goal: when the process has no descriptor left, who wants to be let in waits, and the loop does
 * not turn for that all the time. */
static void test_want_of_descriptors_does_not_spin(void **state)
{
    struct fixture *f = *state;
    struct rlimit before;
    unsigned turns = 0;
    uv_prepare_t prepare;
    uv_timer_t timer;
    int fd = client(f);
    int next = dup(fd);
    assert_true(next >= 0);
    (void)close(next);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    struct rlimit none = {.rlim_cur = (rlim_t)next, .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    prepare.data = &turns;
    assert_int_equal(uv_prepare_init(&f->loop, &prepare), 0);
    assert_int_equal(uv_timer_init(&f->loop, &timer), 0);
    assert_int_equal(uv_prepare_start(&prepare, count_turn), 0);
    assert_int_equal(uv_timer_start(&timer, stop_loop, 500, 0), 0);
    (void)uv_run(&f->loop, UV_RUN_DEFAULT);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    uv_close((uv_handle_t *)&prepare, NULL);
    uv_close((uv_handle_t *)&timer, NULL);
    (void)uv_run(&f->loop, UV_RUN_NOWAIT);
    assert_true(turns < 50);
    static const char GET[] = "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n";
    ask(f, fd, GET, sizeof(GET) - 1, BODY);
    assert_got(f, "200 OK");
    (void)close(fd);
}

/* Goal: a port that is taken, and an address that is none, are told with what to do. */
static void test_open_refused_says_why(void **state)
{
    struct fixture *f = *state;
    struct metrics_server *s = NULL;
    struct ts_why why = {{0}};
    uint16_t port = metrics_server_port(f->server);
    assert_int_equal(metrics_server_open(&s, &f->loop, "127.0.0.1", port, 1, render, f, &why),
                     TS_ERR_SYSTEM);
    assert_non_null(strstr(why.text, "Address already in use; change `metrics`"));
    assert_int_equal(metrics_server_open(&s, &f->loop, "nowhere", 1, 1, render, f, &why),
                     TS_ERR_SYSTEM);
    assert_null(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_get_gives_the_text, setup, teardown),
        cmocka_unit_test_setup_teardown(test_other_requests_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_rude_clients_do_no_harm, setup, teardown),
        cmocka_unit_test_setup_teardown(test_want_of_descriptors_does_not_spin, setup, teardown),
        cmocka_unit_test_setup_teardown(test_open_refused_says_why, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
