/* Work once a turn, the log, local datagrams. */
#include <fcntl.h>

#include "tests/unit/net_fixture.h"

#include "net/unix_dgram.h"

struct turn_world {
    uv_loop_t loop;
    struct net_turn turn;
    struct net_turn_hook work;
    struct net_turn_hook flush;
    char trace[64];
    unsigned rounds; /* how often flush asks for work again */
    uv_timer_t timer;
};

static void world_note(struct turn_world *w, char c)
{
    size_t n = strlen(w->trace);
    if (n + 1 < sizeof(w->trace)) {
        w->trace[n] = c;
    }
}

static void world_work(void *arg)
{
    struct turn_world *w = arg;
    world_note(w, 'w');
    net_turn_request(&w->turn, &w->flush);
}

static void world_flush(void *arg)
{
    struct turn_world *w = arg;
    world_note(w, 'f');
    if (w->rounds > 0) {
        w->rounds--;
        net_turn_request(&w->turn, &w->work);
    }
}

static void world_timer(uv_timer_t *timer)
{
    struct turn_world *w = timer->data;
    world_note(w, 't');
    net_turn_request(&w->turn, &w->flush);
    net_turn_request(&w->turn, &w->work);
    net_turn_request(&w->turn, &w->work);
}

static void world_open(struct turn_world *w)
{
    memset(w, 0, sizeof(*w));
    assert_int_equal(uv_loop_init(&w->loop), 0);
    fx_ok(net_turn_open(&w->turn, &w->loop), NULL);
    w->work = (struct net_turn_hook){.run = world_work, .arg = w, .stage = NET_TURN_WORK};
    w->flush = (struct net_turn_hook){.run = world_flush, .arg = w, .stage = NET_TURN_FLUSH};
    (void)uv_timer_init(&w->loop, &w->timer);
    w->timer.data = w;
    (void)uv_timer_start(&w->timer, world_timer, 1, 0);
}

static void world_close(struct turn_world *w)
{
    net_turn_close(&w->turn);
    uv_close((uv_handle_t *)&w->timer, NULL);
    while (uv_loop_close(&w->loop) == UV_EBUSY) {
        (void)uv_run(&w->loop, UV_RUN_ONCE);
    }
}

/* Requested twice it runs once; work goes before flush, whoever was requested first. */
static void test_net_turn_request_stages_run_in_order_once(void **state)
{
    (void)state;
    struct turn_world w;
    world_open(&w);
    (void)uv_run(&w.loop, UV_RUN_DEFAULT);
    assert_string_equal(w.trace, "twf");
    world_close(&w);
}

/* What a hook requests is still done before the loop sleeps: the loop ends only then. */
static void test_net_turn_request_from_hook_runs_in_the_same_turn(void **state)
{
    (void)state;
    struct turn_world w;
    world_open(&w);
    w.rounds = 3;
    (void)uv_run(&w.loop, UV_RUN_DEFAULT);
    assert_string_equal(w.trace, "twfwfwfwf");
    world_close(&w);
}

/* A request taken back is not run. */
static void test_net_turn_cancel_requested_hook_does_not_run(void **state)
{
    (void)state;
    struct turn_world w;
    world_open(&w);
    /* Not in this turn, however slow the machine is: it would request both again. A loop without
     * any timer would not turn at all. */
    (void)uv_timer_start(&w.timer, world_timer, 3600 * 1000, 0);
    net_turn_request(&w.turn, &w.work);
    net_turn_request(&w.turn, &w.flush);
    net_turn_cancel(&w.turn, &w.work);
    net_turn_cancel(&w.turn, &w.work);
    (void)uv_run(&w.loop, UV_RUN_NOWAIT);
    assert_string_equal(w.trace, "f");
    world_close(&w);
}

static size_t log_read(const char *path, char *out, size_t cap)
{
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    size_t n = fread(out, 1, cap - 1, file);
    out[n] = '\0';
    (void)fclose(file);
    return n;
}

/* The format; a message cannot forge a line; a key is written NET_LOG_BURST times a window. */
static void test_net_log_limited_flood_is_held_back(void **state)
{
    (void)state;
    char path[] = "/tmp/twinstep-log-XXXXXX";
    char text[8192];
    struct net_log log;
    net_log_init(&log, "replica", "nic1");
    log.fd = mkstemp(path);
    assert_true(log.fd >= 0);
    net_log(&log, NET_LOG_INFO, "hello %s", "a\nb");
    unsigned written = 0;
    for (unsigned i = 0; i < 100; i++) {
        written += net_log_limited(&log, NET_LOG_WARNING, "flood", "line %u", i) ? 1 : 0;
    }
    assert_int_equal(written, NET_LOG_BURST);
    assert_true(net_log_limited(&log, NET_LOG_ERROR, "other", "%s", "calm"));
    for (unsigned i = 0; i < NET_LOG_KEYS * 2; i++) {
        char key[32];
        (void)snprintf(key, sizeof(key), "many-%u", i);
        assert_true(net_log_limited(&log, NET_LOG_INFO, key, "x"));
    }
    net_log(NULL, NET_LOG_INFO, "nowhere");
    (void)log_read(path, text, sizeof(text));
    assert_non_null(strstr(text, "Z info replica nic1 hello a?b\n"));
    assert_non_null(strstr(text, "Z warning replica nic1 line 4\n"));
    assert_null(strstr(text, "line 5"));
    assert_non_null(strstr(text, "Z error replica nic1 calm\n"));
    (void)close(log.fd);
    (void)unlink(path);
}

/* The line behind a pause tells how many were held back; a long one is cut, with its newline. */
static void test_net_log_limited_after_window_tells_the_number(void **state)
{
    (void)state;
    char path[] = "/tmp/twinstep-log-XXXXXX";
    char text[16384];
    struct net_log log;
    net_log_init(&log, "replica", "nic1");
    log.fd = mkstemp(path);
    for (unsigned i = 0; i < NET_LOG_BURST + 7; i++) {
        (void)net_log_limited(&log, NET_LOG_WARNING, "flood", "line");
    }
    for (size_t i = 0; i < NET_LOG_KEYS; i++) {
        log.keys[i].window = (struct ts_mono){0};
    }
    assert_true(net_log_limited(&log, NET_LOG_WARNING, "flood", "line"));
    /* A flood that does not come back is told, too: once, at the end of its window or of all. */
    net_log_tell_held(&log, net_now(), true);
    for (unsigned i = 0; i < NET_LOG_BURST + 3; i++) {
        (void)net_log_limited(&log, NET_LOG_WARNING, "wave", "line");
    }
    net_log_tell_held(&log, net_now(), false); /* its window is not over */
    for (size_t i = 0; i < NET_LOG_KEYS; i++) {
        log.keys[i].window = (struct ts_mono){0};
    }
    net_log_tell_held(&log, (struct ts_mono){NET_LOG_WINDOW_NS}, false);
    net_log_tell_held(&log, net_now(), true);
    char longest[4096];
    memset(longest, 'y', sizeof(longest));
    longest[sizeof(longest) - 1] = '\0';
    net_log(&log, NET_LOG_INFO, "%s", longest);
    size_t n = log_read(path, text, sizeof(text));
    assert_non_null(strstr(text, "line (7 more like this were not logged)\n"));
    const char *wave = strstr(text, "3 more lines about \"wave\" were not logged\n");
    assert_non_null(wave);
    assert_null(strstr(wave + strlen("3 more lines"), "more lines"));
    assert_null(strstr(text, "more lines about \"flood\""));
    assert_true(n > 0 && text[n - 1] == '\n');
    assert_true(n < 4096);
    (void)close(log.fd);
    (void)unlink(path);
}

struct got {
    unsigned count;
    size_t len;
};

static void got_datagram(void *arg, struct ts_bytes datagram)
{
    struct got *g = arg;
    g->count++;
    g->len = datagram.len;
}

static bool got_one(void *arg)
{
    return ((const struct got *)arg)->count > 0;
}

/* A stale socket file does not matter, an absent or full receiver neither, and long ones are
 * dropped. */
static void test_net_dgram_send_never_blocks(void **state)
{
    (void)state;
    struct net_fixture *f = fx_open();
    static struct net_dgram in;
    static struct net_dgram out;
    char path[128];
    struct got g = {0};
    (void)snprintf(path, sizeof(path), "%s/x.sock", f->dir);
    fx_ok(net_dgram_open(&out, NULL, NULL, NULL, NULL), NULL);
    uint8_t bytes[NET_DGRAM_BYTES_MAX + 1] = {0};
    assert_false(net_dgram_send(&out, path, (struct ts_bytes){bytes, 3}));

    fx_ok(net_dgram_open(&in, NULL, path, got_datagram, &g), NULL);
    (void)close(in.fd); /* as a killed process leaves it: the file stays */
    fx_ok(net_dgram_open(&in, &f->loop, path, got_datagram, &g), NULL);
    assert_true(net_dgram_send(&out, path, (struct ts_bytes){bytes, sizeof(bytes)}));
    assert_true(net_dgram_send(&out, path, (struct ts_bytes){bytes, NET_DGRAM_BYTES_MAX}));
    fx_until(f, got_one, &g);
    assert_int_equal(g.count, 1);
    assert_int_equal(g.len, NET_DGRAM_BYTES_MAX);
    assert_int_equal(in.oversized, 1);
    unsigned sent = 0;
    while (sent < 100000 && net_dgram_send(&out, path, (struct ts_bytes){bytes, 8})) {
        sent++;
    }
    assert_true(sent < 100000);
    net_dgram_close(&in);
    net_dgram_close(&in);
    assert_int_not_equal(access(path, F_OK), 0);
    net_dgram_close(&out);

    /* Another kind of file is not removed. */
    int fd = open(path, O_CREAT | O_RDWR, 0600);
    assert_true(fd >= 0);
    (void)close(fd);
    assert_int_equal(net_dgram_open(&in, &f->loop, path, got_datagram, &g), TS_ERR_SYSTEM);
    (void)unlink(path);
    memset(path, 'a', sizeof(path) - 1);
    path[sizeof(path) - 1] = '\0';
    assert_int_equal(net_dgram_open(&in, &f->loop, path, got_datagram, &g), TS_ERR_LIMIT);
    fx_close(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_net_turn_request_stages_run_in_order_once),
        cmocka_unit_test(test_net_turn_request_from_hook_runs_in_the_same_turn),
        cmocka_unit_test(test_net_turn_cancel_requested_hook_does_not_run),
        cmocka_unit_test(test_net_log_limited_flood_is_held_back),
        cmocka_unit_test(test_net_log_limited_after_window_tells_the_number),
        cmocka_unit_test(test_net_dgram_send_never_blocks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
