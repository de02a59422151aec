/* The admin sockets: rude clients, nodes that run or not, and how a client tells. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cluster-cfg/io/admin.h"
#include "cluster-cfg/io/admin_client.h"
#include "cluster-cfg/io/admin_server.h"
#include "lab/clock.h"

#define ASK_MS 20000

struct fixture {
    char dir[64];
    uv_loop_t loop;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    char run[80];
    if (f == NULL || uv_loop_init(&f->loop) != 0) {
        return -1;
    }
    (void)snprintf(f->dir, sizeof(f->dir), "/tmp/ts-admin-XXXXXX");
    if (mkdtemp(f->dir) == NULL) {
        return -1;
    }
    (void)snprintf(run, sizeof(run), "%s/run", f->dir);
    *state = f;
    return mkdir(run, 0700);
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    char run[80];
    (void)snprintf(run, sizeof(run), "%s/run", f->dir);
    assert_int_equal(ts_dir_remove(run, NULL), TS_OK);
    assert_int_equal(ts_dir_remove(f->dir, NULL), TS_OK);
    assert_int_equal(uv_loop_close(&f->loop), 0);
    free(f);
    return 0;
}

struct talk {
    struct fixture *f;
    struct admin_server *server;
    uv_async_t done;
    pthread_t thread;
    unsigned answers;
    json_t *event;
    ino_t inode[2]; /* of the socket, before and after the requests */
    bool rude;
    bool slow; /* pauses between requests */
    bool away; /* the socket is taken away before each request; the loop puts it back */
    enum { LOCK_NONE, LOCK_HELD, LOCK_LEFT } lock; /* the node's, LEFT by a nicd that has ended */
};

static char *on_request(void *arg, struct ts_bytes request)
{
    (void)arg;
    assert_true(request.len > 0);
    return strdup("{\"version\": 1, \"ok\": true}");
}

static void on_done(uv_async_t *async)
{
    uv_stop(async->loop);
}

/* Connects and leaves before a word is said: what a client does that lost patience. */
static void be_rude(const struct fixture *f)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    (void)snprintf(to.sun_path, sizeof(to.sun_path), "%s/" ADMIN_SOCKET, f->dir);
    for (int i = 0; i < 50; i++) {
        int fd = socket(AF_UNIX, SOCK_STREAM, 0);
        assert_true(fd >= 0);
        (void)connect(fd, (const struct sockaddr *)&to, sizeof(to));
        (void)close(fd);
    }
}

static void aside(const struct fixture *f, char from[TS_PATH_MAX], char to[TS_PATH_MAX])
{
    assert_int_equal(ts_path(from, NULL, f->dir, ADMIN_SOCKET), TS_OK);
    assert_int_equal(ts_path(to, NULL, f->dir, ADMIN_SOCKET "-aside"), TS_OK);
}

/* As a node that runs and makes its socket anew. */
static void take_away(const struct fixture *f)
{
    char path[TS_PATH_MAX];
    char other[TS_PATH_MAX];
    aside(f, path, other);
    assert_int_equal(rename(path, other), 0);
}

static void put_back(const struct fixture *f)
{
    char path[TS_PATH_MAX];
    char other[TS_PATH_MAX];
    aside(f, path, other);
    (void)rename(other, path); /* when it is away */
}

static ino_t socket_inode(const struct fixture *f)
{
    char path[TS_PATH_MAX];
    struct stat st;
    assert_int_equal(ts_path(path, NULL, f->dir, ADMIN_SOCKET), TS_OK);
    return stat(path, &st) == 0 ? st.st_ino : 0;
}

static void *client(void *arg)
{
    struct talk *t = arg;
    struct admin_stream *stream = NULL;
    t->inode[0] = socket_inode(t->f);
    if (t->rude) {
        be_rude(t->f);
    }
    if (admin_stream_open(t->f->dir, &stream, NULL) == TS_OK) {
        for (int i = 0; i < 3; i++) {
            json_t *reply = NULL;
            if (t->away) {
                take_away(t->f);
            }
            if (t->slow) {
                lab_pause_ms(400);
            }
            if (admin_client_get(t->f->dir, "version", ASK_MS, &reply, NULL) == TS_OK) {
                t->answers++;
            }
            json_decref(reply);
        }
        t->inode[1] = socket_inode(t->f);
        if (admin_stream_next(stream, ASK_MS, &t->event) != TS_OK) {
            t->event = NULL;
        }
    }
    admin_stream_close(stream);
    (void)uv_async_send(&t->done);
    return NULL;
}

static void publish(uv_timer_t *timer)
{
    struct talk *t = timer->data;
    put_back(t->f);
    admin_server_publish(t->server, "{\"seq\": 1}");
}

/* As nicd does; the process id is one that this process namespace does not have. */
static void lock_node(const struct fixture *f, struct talk *t, struct ts_dir_lock *lock)
{
    lock->fd = -1;
    if (t->lock != LOCK_NONE) {
        assert_int_equal(ts_dir_lock(lock, f->dir, NULL), TS_OK);
        assert_true(pwrite(lock->fd, "2147483646\n", 11, 0) == 11);
    }
    if (t->lock == LOCK_LEFT) {
        ts_dir_unlock(lock);
    }
}

/* Runs server and client until the client is done. */
static void talk(struct fixture *f, struct talk *t)
{
    uv_timer_t timer;
    struct ts_why why = {0};
    struct ts_dir_lock lock;
    t->f = f;
    lock_node(f, t, &lock);
    assert_int_equal(admin_server_open(&t->server, &f->loop, f->dir, on_request, t, &why), TS_OK);
    assert_int_equal(uv_async_init(&f->loop, &t->done, on_done), 0);
    assert_int_equal(uv_timer_init(&f->loop, &timer), 0);
    timer.data = t;
    assert_int_equal(uv_timer_start(&timer, publish, 10, 10), 0);
    assert_int_equal(pthread_create(&t->thread, NULL, client, t), 0);
    (void)uv_run(&f->loop, UV_RUN_DEFAULT);
    assert_int_equal(pthread_join(t->thread, NULL), 0);
    uv_close((uv_handle_t *)&t->done, NULL);
    uv_close((uv_handle_t *)&timer, NULL);
    admin_server_close(t->server);
    (void)uv_run(&f->loop, UV_RUN_DEFAULT);
    ts_dir_unlock(&lock);
}

/* Goal: requests are answered and events arrive, over the real sockets. */
static void test_server_answers_and_publishes(void **state)
{
    struct talk t = {0};
    talk(*state, &t);
    assert_int_equal(t.answers, 3);
    assert_int_equal(json_integer_value(json_object_get(t.event, "seq")), 1);
    json_decref(t.event);
}

/* Goal: clients that leave during the handshake do not end the service for others. */
static void test_server_after_rude_clients_still_answers(void **state)
{
    struct talk t = {.rude = true};
    talk(*state, &t);
    assert_int_equal(t.answers, 3);
    assert_non_null(t.event);
    json_decref(t.event);
}

/* Goal: a node that runs is waited for while its socket is away, as it is for a moment when the
 * listener is replaced. */
static void test_client_waits_for_the_socket_of_a_running_node(void **state)
{
    struct talk t = {.away = true, .lock = LOCK_HELD};
    talk(*state, &t);
    assert_int_equal(t.answers, 3);
    json_decref(t.event);
}

/* Goal: a node is known to run by its lock, not by the process id in it, which is another one here
 * when the node runs in a process namespace of its own (twinstep lab). */
static void test_client_asks_a_node_of_another_process_namespace(void **state)
{
    struct talk t = {.lock = LOCK_HELD};
    talk(*state, &t);
    assert_int_equal(t.answers, 3);
    json_decref(t.event);
}

/* Goal: nobody is waited for whose lock has ended, though its socket was left. */
static void test_client_leaves_a_socket_without_a_node(void **state)
{
    struct talk t = {.lock = LOCK_LEFT};
    talk(*state, &t);
    assert_int_equal(t.answers, 0);
    json_decref(t.event);
}

/* Goal: clients that come and go as they should do not have the sockets made anew. */
static void test_server_keeps_its_socket(void **state)
{
    struct talk t = {.slow = true};
    talk(*state, &t);
    assert_int_equal(t.answers, 3);
    assert_true(t.inode[0] != 0);
    assert_int_equal(t.inode[0], t.inode[1]);
    json_decref(t.event);
}

/* Goal: where nobody listens is told at once, in words. */
static void test_client_without_server_is_not_found(void **state)
{
    struct fixture *f = *state;
    json_t *reply = NULL;
    struct ts_why why = {0};
    assert_int_equal(admin_client_get(f->dir, "status", ASK_MS, &reply, &why), TS_ERR_NOT_FOUND);
    assert_non_null(strstr(why.text, "the node does not run; start it with twinstep up"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
        TEST(test_server_answers_and_publishes),
        TEST(test_server_after_rude_clients_still_answers),
        TEST(test_server_keeps_its_socket),
        TEST(test_client_waits_for_the_socket_of_a_running_node),
        TEST(test_client_asks_a_node_of_another_process_namespace),
        TEST(test_client_leaves_a_socket_without_a_node),
        TEST(test_client_without_server_is_not_found),
#undef TEST
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
