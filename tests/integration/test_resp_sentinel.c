/* SENTINEL, as Redis 7.0's answers: the shapes, the fields that clients read, the errors. */
#include "tests/integration/kv_process.h"

static char address[32];

struct harness {
    struct kv_process process;
    int fd;
};

static struct harness start(const char *option, const char *value)
{
    struct harness h = {0};
    uint16_t port = 0;
    h.process = kv_start_loopback(address, &port, (const char *const[]){option, value, NULL});
    h.fd = kv_connect(address, port);
    return h;
}

static void stop(struct harness *h)
{
    close(h->fd);
    assert_int_equal(kv_stop(&h->process), 0);
}

/* One reply to one request; the caller frees its data. */
static struct kv_replies ask(const struct harness *h, const char *request)
{
    struct kv_replies r = {0};
    kv_send(h->fd, request, strlen(request));
    assert_true(kv_receive_replies(h->fd, &r, 1));
    return r;
}

static void expect_in(const struct harness *h, const char *request, const char *const *texts)
{
    struct kv_replies r = ask(h, request);
    for (; *texts != NULL; texts++) {
        if (strstr(r.data, *texts) == NULL) {
            fail_msg("\"%s\" is missing in the reply to %s%s", *texts, request, r.data);
        }
    }
    free(r.data);
}

#define EXPECT_IN(h, request, ...) \
    expect_in((h), (request), (const char *const[]){__VA_ARGS__, NULL})

/* Goal: the primary is told with all that a client reads of it, in both protocols. */
static void test_primary_tells_the_group(void **state)
{
    (void)state;
    struct harness h = start(NULL, NULL);
    kv_expect(h.fd, "SENTINEL get-master-addr-by-name kv\r\n",
              "*2\r\n$9\r\n127.0.0.1\r\n$4\r\n6379\r\n");
    EXPECT_IN(&h, "SENTINEL MASTERS\r\n", "*1\r\n*40\r\n$4\r\nname\r\n$2\r\nkv\r\n",
              "$2\r\nip\r\n$9\r\n127.0.0.1\r\n", "$4\r\nport\r\n$4\r\n6379\r\n",
              "$5\r\nflags\r\n$6\r\nmaster\r\n", "$12\r\nconfig-epoch\r\n$1\r\n7\r\n",
              "$10\r\nnum-slaves\r\n$1\r\n1\r\n", "$19\r\nnum-other-sentinels\r\n$1\r\n1\r\n",
              "$6\r\nquorum\r\n$1\r\n2\r\n");
    EXPECT_IN(&h, "SENTINEL master kv\r\n", "*40\r\n$4\r\nname\r\n$2\r\nkv\r\n");
    static const char *const of_replicas[] = {"SENTINEL replicas kv\r\n", "SENTINEL slaves kv\r\n"};
    for (size_t i = 0; i < 2; i++) {
        EXPECT_IN(&h, of_replicas[i], "*1\r\n*42\r\n$4\r\nname\r\n$14\r\n127.0.0.2:6379\r\n",
                  "$5\r\nflags\r\n$5\r\nslave\r\n", "$18\r\nmaster-link-status\r\n$2\r\nok\r\n",
                  "$11\r\nmaster-host\r\n$9\r\n127.0.0.1\r\n");
    }
    EXPECT_IN(&h, "SENTINEL sentinels kv\r\n", "*1\r\n*28\r\n$4\r\nname\r\n$40\r\n",
              "$2\r\nip\r\n$9\r\n127.0.0.2\r\n", "$5\r\nflags\r\n$8\r\nsentinel\r\n");
    EXPECT_IN(&h, "SENTINEL myid\r\n", "$40\r\n");
    free(ask(&h, "HELLO 3\r\n").data);
    EXPECT_IN(&h, "SENTINEL MASTERS\r\n", "*1\r\n%20\r\n$4\r\nname\r\n");
    EXPECT_IN(&h, "SENTINEL replicas kv\r\n", "*1\r\n%21\r\n$4\r\nname\r\n");
    EXPECT_IN(&h, "SENTINEL sentinels kv\r\n", "*1\r\n%14\r\n$4\r\nname\r\n");
    stop(&h);
}

/* Goal: a NIC that follows the primary tells the same, and itself as the replica. */
static void test_secondary_tells_the_primary(void **state)
{
    (void)state;
    struct harness h = start("--secondary", "127.0.0.2:6379");
    kv_expect(h.fd, "SENTINEL get-master-addr-by-name kv\r\n",
              "*2\r\n$9\r\n127.0.0.2\r\n$4\r\n6379\r\n");
    EXPECT_IN(&h, "SENTINEL MASTERS\r\n", "$2\r\nip\r\n$9\r\n127.0.0.2\r\n",
              "$5\r\nflags\r\n$6\r\nmaster\r\n");
    EXPECT_IN(&h, "SENTINEL replicas kv\r\n",
              "*1\r\n*42\r\n$4\r\nname\r\n$14\r\n127.0.0.1:6379\r\n",
              "$5\r\nflags\r\n$5\r\nslave\r\n");
    stop(&h);
}

/* Goal: a NIC that knows of no primary that serves sends the client on to another NIC. */
static void test_without_a_primary_it_says_so(void **state)
{
    (void)state;
    struct harness h = start("--unavailable", "no majority");
    kv_expect(h.fd, "SENTINEL get-master-addr-by-name kv\r\n", "*-1\r\n");
    EXPECT_IN(&h, "SENTINEL MASTERS\r\n", "$5\r\nflags\r\n$20\r\ns_down,o_down,master\r\n");
    stop(&h);
}

/* Goal: whether a failover could be decided is told from the voters that answer. */
static void test_quorum_is_that_of_the_voters(void **state)
{
    (void)state;
    static const char *const said[] = {
        ("-NOQUORUM 1 usable Sentinels. Not enough available Sentinels to reach the majority and "
         "authorize a failover\r\n"),
        "+OK 2 usable Sentinels. Quorum and failover authorization can be reached\r\n",
        "+OK 3 usable Sentinels. Quorum and failover authorization can be reached\r\n",
    };
    static const char *const answering[] = {"1", "2", "3"};
    for (size_t i = 0; i < 3; i++) {
        struct harness h = start("--voters", answering[i]);
        kv_expect(h.fd, "SENTINEL CKQUORUM kv\r\n", said[i]);
        EXPECT_IN(&h, "SENTINEL master kv\r\n", "$6\r\nquorum\r\n$1\r\n2\r\n");
        stop(&h);
    }
}

/* Goal: Sentinels' questions among themselves have an answer, and what would change one is refused
 * with the way that there is. */
static void test_other_subcommands_are_answered_or_refused(void **state)
{
    (void)state;
    struct harness h = start("--unavailable", "no majority");
    kv_expect(h.fd,
              "SENTINEL is-master-down-by-addr 127.0.0.1 6379 0 *\r\n"
              "SENTINEL is-master-down-by-addr 127.0.0.9 6379 0 *\r\n"
              "SENTINEL is-master-down-by-addr a b c d\r\nSENTINEL pending-scripts\r\n"
              "SENTINEL CONFIG GET RESOLVE-*\r\nSENTINEL CONFIG GET\r\nSENTINEL CONFIG\r\n",
              "*3\r\n:1\r\n$1\r\n*\r\n:0\r\n*3\r\n:0\r\n$1\r\n*\r\n:0\r\n"
              "-ERR value is not an integer or out of range\r\n*0\r\n"
              "*2\r\n$17\r\nresolve-hostnames\r\n$2\r\nno\r\n"
              "-ERR Only SENTINEL CONFIG GET <option> / SET <option> <value> are supported.\r\n"
              "-ERR wrong number of arguments for 'sentinel|config' command\r\n");
    static const char *const refused[] = {"FAILOVER kv",
                                          "MONITOR a 1.2.3.4 5 6",
                                          "REMOVE kv",
                                          "SET kv quorum 1",
                                          "RESET *",
                                          "FLUSHCONFIG",
                                          "INFO-CACHE kv",
                                          "SIMULATE-FAILURE help",
                                          "DEBUG",
                                          "CONFIG SET a b",
                                          NULL};
    for (const char *const *r = refused; *r != NULL; r++) {
        char line[64];
        (void)snprintf(line, sizeof(line), "SENTINEL %s\r\n", *r);
        EXPECT_IN(&h, line, "-ERR SENTINEL ", " is not done by clients: ");
    }
    kv_expect(h.fd, "SENTINEL CKQUORUM x\r\nSENTINEL SET kv\r\n",
              "-ERR No such master with that name\r\n"
              "-ERR wrong number of arguments for 'sentinel|set' command\r\n");
    stop(&h);
}

/* Goal: what is asked wrongly is answered in Redis' words. */
static void test_errors_are_those_of_redis(void **state)
{
    (void)state;
    struct harness h = start(NULL, NULL);
    kv_expect(h.fd,
              "SENTINEL get-master-addr-by-name KV\r\nSENTINEL master x\r\nSENTINEL replicas x\r\n"
              "SENTINEL sentinels x\r\nSENTINEL foo\r\nSENTINEL\r\nSENTINEL master\r\n"
              "SENTINEL masters x\r\n",
              "*-1\r\n-ERR No such master with that name\r\n"
              "-ERR No such master with that name\r\n-ERR No such master with that name\r\n"
              "-ERR unknown subcommand 'foo'. Try SENTINEL HELP.\r\n"
              "-ERR wrong number of arguments for 'sentinel' command\r\n"
              "-ERR wrong number of arguments for 'sentinel|master' command\r\n"
              "-ERR wrong number of arguments for 'sentinel|masters' command\r\n");
    free(ask(&h, "HELLO 3\r\n").data);
    kv_expect(h.fd, "SENTINEL get-master-addr-by-name x\r\n", "_\r\n");
    stop(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_primary_tells_the_group),
        cmocka_unit_test(test_secondary_tells_the_primary),
        cmocka_unit_test(test_without_a_primary_it_says_so),
        cmocka_unit_test(test_quorum_is_that_of_the_voters),
        cmocka_unit_test(test_other_subcommands_are_answered_or_refused),
        cmocka_unit_test(test_errors_are_those_of_redis),
    };
    kv_address(address, 3);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
