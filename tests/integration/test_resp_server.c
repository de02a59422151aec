/* The front-end by itself: roles, limits, order, ends of connections, real Redis clients. */
#include "tests/integration/kv_process.h"

static char address[32];

struct harness {
    struct kv_process process;
    uint16_t port;
};

static struct harness start(const char *const *options)
{
    struct harness h = {0};
    h.process = kv_start_loopback(address, &h.port, options);
    return h;
}

#define START(...) start((const char *const[]){__VA_ARGS__, NULL})

static void stop(struct harness *h)
{
    assert_int_equal(kv_stop(&h->process), 0);
}

/* Goal: a secondary refuses what touches the state, before ordering, and serves the rest. */
static void test_secondary_refuses_state_commands(void **state)
{
    (void)state;
    struct harness h = START("--secondary", "127.0.0.9:6379");
    int fd = kv_connect(address, h.port);
    kv_expect(fd, "GET a\r\nSET a 1\r\nPING\r\nGET\r\nROLE\r\n",
              "-READONLY primary is 127.0.0.9:6379\r\n-READONLY primary is 127.0.0.9:6379\r\n"
              "+PONG\r\n-ERR wrong number of arguments for 'get' command\r\n"
              "*5\r\n$5\r\nslave\r\n$9\r\n127.0.0.9\r\n:6379\r\n$9\r\nconnected\r\n:0\r\n");
    close(fd);
    stop(&h);
}

/* Goal: without a primary the refusal says why. */
static void test_unavailable_says_why(void **state)
{
    (void)state;
    struct harness h = START("--unavailable", "no majority of the voters answers");
    int fd = kv_connect(address, h.port);
    kv_expect(fd, "GET a\r\nECHO x\r\n",
              "-CLUSTERDOWN no majority of the voters answers; try again\r\n$1\r\nx\r\n");
    close(fd);
    stop(&h);
}

/* Goal: without room on the disk what may grow is refused, within a transaction, too, and says why;
 * reads and removals go on, and answers come in their order. */
static void test_full_refuses_what_grows(void **state)
{
    (void)state;
    struct harness h = START("--full", "group kv has no room");
    int fd = kv_connect(address, h.port);
    kv_expect(fd, "GET a\r\nDEL a\r\nSET a 1\r\nTTL a\r\nGET a\r\n",
              "$-1\r\n:0\r\n-OOM group kv has no room\r\n:-2\r\n$-1\r\n");
    kv_expect(fd, "MULTI\r\nDEL a\r\nSET a 1\r\nEXEC\r\n",
              "+OK\r\n+QUEUED\r\n-OOM group kv has no room\r\n"
              "-EXECABORT Transaction discarded because of previous errors.\r\n");
    close(fd);
    stop(&h);
}

/* Goal: one client too many gets Redis' error; when one leaves, the next is let in. */
static void test_too_many_clients_are_refused(void **state)
{
    (void)state;
    struct harness h = START("--clients", "2");
    int a = kv_connect(address, h.port);
    int b = kv_connect(address, h.port);
    kv_expect(a, "PING\r\n", "+PONG\r\n");
    kv_expect(b, "PING\r\n", "+PONG\r\n");
    int c = kv_connect(address, h.port);
    kv_expect(c, "", "-ERR max number of clients reached\r\n");
    char byte;
    assert_int_equal(kv_receive(c, &byte, 1), 0);
    close(c);
    kv_expect(b, "QUIT\r\n", "+OK\r\n");
    assert_int_equal(kv_receive(b, &byte, 1), 0);
    close(b);
    b = kv_connect(address, h.port);
    kv_expect(b, "PING\r\n", "+PONG\r\n");
    close(a);
    close(b);
    stop(&h);
}

/* Goal: a client that sends and then closes its sending side still gets every answer. */
static void test_half_closed_client_gets_its_answers(void **state)
{
    (void)state;
    struct harness h = START("--jitter", "3");
    for (int i = 0; i < 20; i++) {
        int fd = kv_connect(address, h.port);
        static const char request[] = "SET a 7\r\nGET a\r\nPING\r\nINCR a\r\nGET a\r\nincomplete";
        static const char replies[] = "+OK\r\n$1\r\n7\r\n+PONG\r\n:8\r\n$1\r\n8\r\n";
        kv_send(fd, request, strlen(request));
        shutdown(fd, SHUT_WR);
        kv_expect(fd, "", replies);
        char byte;
        assert_int_equal(kv_receive(fd, &byte, 1), 0);
        close(fd);
    }
    stop(&h);
}

/* Goal: a long pipeline whose answers are not read pauses the sender, loses nothing, and is
 * answered in order once the client reads. */
static void test_slow_reader_is_paused_not_dropped(void **state)
{
    (void)state;
    struct harness h = START("--jitter", "4");
    int fd = kv_connect(address, h.port);
    char value[8192 + 64];
    int n = snprintf(value, sizeof(value), "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$8192\r\n");
    memset(value + n, 'v', 8192);
    memcpy(value + n + 8192, "\r\n", 3);
    kv_expect(fd, value, "+OK\r\n");
    enum { COUNT = 4000 };
    pid_t sender = fork();
    assert_true(sender >= 0);
    if (sender == 0) {
        for (int i = 0; i < COUNT; i++) {
            kv_send(fd, "GET k\r\nINCR n\r\n", 15);
        }
        _exit(0);
    }
    for (int i = 1; i <= COUNT; i++) {
        char reply[9000];
        int len = snprintf(reply, sizeof(reply), "$8192\r\n");
        memset(reply + len, 'v', 8192);
        len += 8192;
        snprintf(reply + len, sizeof(reply) - (size_t)len, "\r\n:%d\r\n", i);
        kv_expect(fd, "", reply);
    }
    int status = 0;
    assert_int_equal(waitpid(sender, &status, 0), sender);
    close(fd);
    stop(&h);
}

/* Goal: clients that vanish in the middle of anything hurt nobody. */
static void test_vanishing_clients_hurt_nobody(void **state)
{
    (void)state;
    struct harness h = START("--jitter", "9", "--unanswered", "16");
    int steady = kv_connect(address, h.port);
    kv_expect(steady, "SET n 0\r\n", "+OK\r\n");
    for (int i = 1; i <= 200; i++) {
        int fd = kv_connect(address, h.port);
        static const char request[] =
            "SET a 1\r\nGET a\r\nSET b 2\r\nGET b\r\nMGET a b\r\n*3\r\n$3";
        for (int k = 0; k < 10; k++) {
            kv_send(fd, request, k < 9 ? 42 : sizeof(request) - 1);
        }
        struct linger now = {.l_onoff = i % 2, .l_linger = 0};
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
        close(fd);
        char reply[32];
        snprintf(reply, sizeof(reply), ":%d\r\n", i);
        kv_expect(steady, "INCR n\r\n", reply);
    }
    close(steady);
    stop(&h);
}

/* Goal: hostile bytes are refused on their own connection only. */
static void test_hostile_bytes_are_refused(void **state)
{
    (void)state;
    struct harness h = START("--limits", "key-max=1024");
    static const char *const hostile[] = {
        "*1048577\r\n",
        "*1\r\n$2000000\r\n",
        "*3\r\n$3\r\nSET\r\n$-7\r\n",
        "\x16\x03\x01\x02\r\n*2\r\n$1\r\na\r\nb\r\n",
        "GET / HTTP/1.1\r\n*a\r\n",
    };
    int steady = kv_connect(address, h.port);
    for (size_t i = 0; i < sizeof(hostile) / sizeof(hostile[0]); i++) {
        int fd = kv_connect(address, h.port);
        char byte[512];
        kv_send(fd, hostile[i], strlen(hostile[i]));
        while (kv_receive(fd, byte, sizeof(byte)) > 0) {
        }
        close(fd);
        kv_expect(steady, "PING\r\n", "+PONG\r\n");
    }
    char key[2048];
    memset(key, 'k', sizeof(key));
    memcpy(key, "SET ", 4);
    memcpy(key + 1500, " 1\r\n", 5);
    kv_expect(steady, key, "-ERR key of 1496 bytes exceeds the limit of 1024 bytes\r\n");
    close(steady);
    stop(&h);
}

/* Runs a client program; its exit status, and its output in `out`. */
static int run_client(const char *const *argv, char *out, size_t cap)
{
    struct kv_process p = kv_start(argv);
    size_t n = fread(out, 1, cap - 1, p.out);
    out[n] = '\0';
    int status = 0;
    fclose(p.out);
    assert_int_equal(waitpid(p.pid, &status, 0), p.pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* Goal: redis-cli and redis-benchmark work unmodified, without a complaint. */
static void test_redis_clients_work(void **state)
{
    (void)state;
    struct harness h = start(NULL);
    char port[16];
    char out[65536];
    snprintf(port, sizeof(port), "%u", h.port);
    const char *const set[] = {"redis-cli", "-3", "-h", address, "-p", port, "SET", "k", "v", NULL};
    assert_int_equal(run_client(set, out, sizeof(out)), 0);
    assert_string_equal(out, "OK\n");
    const char *const info[] = {"redis-cli", "-h",   address,       "-p",
                                port,        "INFO", "replication", NULL};
    assert_int_equal(run_client(info, out, sizeof(out)), 0);
    assert_non_null(strstr(out, "twinstep_in_sync:nic1,nic2"));
    int fd = kv_connect(address, h.port); /* what is told of limits is so */
    kv_expect(fd, "CONFIG GET proto-max-bulk-len\r\n",
              "*2\r\n$18\r\nproto-max-bulk-len\r\n$6\r\n524288\r\n");
    close(fd);
    const char *const bench[] = {"redis-benchmark",
                                 "-h",
                                 address,
                                 "-p",
                                 port,
                                 "-n",
                                 "4000",
                                 "-P",
                                 "16",
                                 "-c",
                                 "20",
                                 "-q",
                                 "-t",
                                 "ping,set,get,incr,mset",
                                 NULL};
    assert_int_equal(run_client(bench, out, sizeof(out)), 0);
    assert_null(strstr(out, "rror"));
    assert_null(strstr(out, "WARNING"));
    assert_non_null(strstr(out, "MSET (10 keys)"));
    stop(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_secondary_refuses_state_commands),
        cmocka_unit_test(test_unavailable_says_why),
        cmocka_unit_test(test_full_refuses_what_grows),
        cmocka_unit_test(test_too_many_clients_are_refused),
        cmocka_unit_test(test_half_closed_client_gets_its_answers),
        cmocka_unit_test(test_slow_reader_is_paused_not_dropped),
        cmocka_unit_test(test_vanishing_clients_hurt_nobody),
        cmocka_unit_test(test_hostile_bytes_are_refused),
        cmocka_unit_test(test_redis_clients_work),
    };
    kv_address(address, 1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
