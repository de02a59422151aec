/* Publish and subscribe: the same bytes as from a real redis-server, step by step, on two
 * connections; and what is this front-end's own: who does not read is closed. */
#include "tests/integration/kv_process.h"

static char address[32];

#define STEP_MAX 40
#define REPLY_MAX 4096

/* "A:…" and "B:…": what the connection of that name sends. */
struct script {
    const char *steps[STEP_MAX];
};

static const struct script scripts[] = {
    {{"A:SUBSCRIBE a b a",
      "B:PUBLISH a x",
      "A:PING",
      "B:PUBLISH nobody x",
      "A:PSUBSCRIBE a* z?",
      "B:PUBLISH a y",
      "B:PUBLISH ab y",
      "A:GET a",
      "A:PING me",
      "A:FOO",
      "A:GET",
      "A:CONFIG",
      "A:PUBLISH a x",
      "A:ECHO x",
      "B:PUBSUB NUMSUB a b c",
      "B:PUBSUB NUMPAT",
      "B:PUBSUB CHANNELS b*",
      "A:UNSUBSCRIBE a",
      "A:UNSUBSCRIBE nosuch",
      "A:UNSUBSCRIBE",
      "A:PUNSUBSCRIBE a*",
      "B:PUBLISH a z",
      "A:PUNSUBSCRIBE",
      "A:PUNSUBSCRIBE",
      "A:UNSUBSCRIBE",
      "A:SET k v",
      "A:GET k"}},
    {{"A:SUBSCRIBE a", "A:RESET", "B:PUBLISH a x", "A:GET a", "A:CLIENT GETNAME",
      "A:CLIENT SETNAME me", "A:RESET", "A:CLIENT GETNAME", "A:RESET x"}},
    {{"B:PUBSUB", "B:PUBSUB FOO", "B:PUBSUB NUMPAT x", "B:PUBSUB CHANNELS a b", "B:PUBSUB NUMSUB",
      "B:PUBSUB CHANNELS", "B:PUBLISH a", "B:SUBSCRIBE", "B:PSUBSCRIBE", "B:UNSUBSCRIBE a",
      "B:PUNSUBSCRIBE", "B:PUBLISH a b c"}},
    /* What stands before it on the connection is answered before it counts. */
    {{"A:SET k 1\r\nINCR k\r\nGET k\r\nSUBSCRIBE a\r\nPING\r\nUNSUBSCRIBE\r\nINCR k",
      "B:PUBLISH a x", "A:SUBSCRIBE a\r\nUNSUBSCRIBE a\r\nSET k 5\r\nSUBSCRIBE a\r\nPSUBSCRIBE ?",
      "B:PUBLISH a y"}},
    /* Within a transaction they happen when EXEC does. */
    {{("A:MULTI\r\nSUBSCRIBE a b\r\nPUBLISH a hi\r\nPING\r\nPING x\r\nSET k 1\r\nINCR k\r\n"
       "UNSUBSCRIBE b\r\nPUBLISH b no\r\nEXEC\r\nGET k\r\nMULTI\r\nEXEC"),
      "B:PUBLISH a z", "B:PUBLISH b z", "A:UNSUBSCRIBE", "A:GET k",
      ("A:MULTI\r\nPSUBSCRIBE x* y*\r\nPUBLISH xa m\r\nPUBSUB NUMPAT\r\nPUNSUBSCRIBE\r\n"
       "GET nosuch\r\nPUBSUB CHANNELS\r\nUNSUBSCRIBE\r\nEXEC\r\nGET k"),
      "A:MULTI\r\nMGET k nosuch\r\nSUBSCRIBE z\r\nDISCARD\r\nPUBLISH z x",
      "A:MULTI\r\nSUBSCRIBE\r\nSUBSCRIBE z\r\nEXEC\r\nPUBLISH z x",
      "A:MULTI\r\nSUBSCRIBE z\r\nRESET", "A:PUBLISH z x"}},
    {{"A:WATCH w", "B:SET w 1", "A:MULTI\r\nSUBSCRIBE a\r\nPUBLISH a x\r\nSET w 2\r\nEXEC",
      "B:PUBLISH a x", "B:GET w", "B:SUBSCRIBE a",
      "A:SET k 7\r\nMULTI\r\nPUBLISH a 1\r\nINCR k\r\nPUBLISH a 2\r\nEXEC\r\nGET k\r\nTTL k",
      "B:PING"}},
    {{"A:MULTI\r\nCLIENT SETNAME me\r\nCLIENT FOO\r\nEXEC", "A:CLIENT GETNAME",
      ("A:MULTI\r\nCLIENT SETNAME me\r\nCLIENT GETNAME\r\nCLIENT KILL ADDR 1.2.3.4:5\r\n"
       "CLIENT UNBLOCK 99999\r\nCLIENT KILL ID\r\nCLIENT SETNAME a b\r\nEXEC"),
      "A:MULTI\r\nCLIENT SETNAME you\r\nCLIENT KILL ID x\r\nEXEC", "A:CLIENT GETNAME"}},
    {{"A:MULTI\r\nSET k 1\r\nOBJECT FOO k\r\nEXEC", "A:GET k",
      "A:MULTI\r\nSET k 1\r\nOBJECT ENCODING\r\nEXEC",
      "A:SET t abc\r\nMULTI\r\nOBJECT REFCOUNT t\r\nEXEC", "A:MULTI\r\nSET k 1\r\nEXEC a\r\nEXEC",
      "A:EXEC a\r\nGET k"}},
};

static int connect_to(uint16_t port, int protocol)
{
    int fd = kv_connect(address, port);
    struct kv_replies r = {0};
    char hello[32];
    snprintf(hello, sizeof(hello), "HELLO %d\r\n", protocol);
    kv_send(fd, hello, strlen(hello));
    assert_true(kv_receive_replies(fd, &r, 1));
    free(r.data);
    return fd;
}

/* Sends a step and a PING behind it; what comes until that is answered. */
static void step(int fd, const char *text, unsigned number, char reply[REPLY_MAX])
{
    char request[512];
    char end[32];
    size_t len = 0;
    int n = snprintf(request, sizeof(request), "%s\r\nPING end%u\r\n", text, number);
    int m = snprintf(end, sizeof(end), "end%u\r\n", number);
    kv_send(fd, request, (size_t)n);
    do {
        assert_true(len + 1 < REPLY_MAX);
        size_t got = kv_receive(fd, reply + len, REPLY_MAX - 1 - len);
        assert_true(got > 0);
        len += got;
        reply[len] = '\0';
    } while (len < (size_t)m || memcmp(reply + len - (size_t)m, end, (size_t)m) != 0);
}

static void run_script(const struct script *script, uint16_t port, int protocol)
{
    int fd[2][2];
    for (int i = 0; i < 2; i++) {
        fd[0][i] = connect_to(KV_REDIS_PORT, protocol);
        fd[1][i] = connect_to(port, protocol);
    }
    for (unsigned i = 0; script->steps[i] != NULL; i++) {
        char reply[2][REPLY_MAX];
        for (int k = 0; k < 2; k++) {
            step(fd[k][script->steps[i][0] - 'A'], script->steps[i] + 2, i, reply[k]);
        }
        if (strcmp(reply[0], reply[1]) != 0) {
            fail_msg("RESP%d, step %u: %s\nredis:\n%s\nkv:\n%s", protocol, i, script->steps[i],
                     reply[0], reply[1]);
        }
    }
    for (int i = 0; i < 2; i++) {
        close(fd[0][i]);
        close(fd[1][i]);
    }
}

static void run_scripts(const char *const *options)
{
    uint16_t port = 0;
    struct kv_process kv = kv_start_loopback(address, &port, options);
    for (size_t i = 0; i < sizeof(scripts) / sizeof(scripts[0]); i++) {
        run_script(&scripts[i], port, 2);
        run_script(&scripts[i], port, 3);
    }
    assert_int_equal(kv_stop(&kv), 0);
}

/* Goal: the same bytes as Redis, in both protocols. */
static void test_steps_answer_as_redis(void **state)
{
    (void)state;
    run_scripts(NULL);
}

/* Goal: the same when answers and rounds come late. */
static void test_steps_with_jitter_answer_as_redis(void **state)
{
    (void)state;
    run_scripts((const char *const[]){"--jitter", "11", NULL});
}

/* Goal: in RESP3 a subscriber works on: messages stand between its answers, whole. */
static void test_resp3_subscriber_works_on(void **state)
{
    (void)state;
    uint16_t port = 0;
    struct kv_process kv = kv_start_loopback(address, &port, NULL);
    int fd = connect_to(port, 3);
    kv_expect(fd, "SUBSCRIBE a\r\n", ">3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n");
    kv_expect(fd, "SET k v\r\nGET k\r\n", "+OK\r\n$1\r\nv\r\n");
    kv_expect(fd, "PUBLISH a me\r\n", ">3\r\n$7\r\nmessage\r\n$1\r\na\r\n$2\r\nme\r\n:1\r\n");
    kv_expect(fd, "MULTI\r\nPUBLISH a x\r\nEXEC\r\n",
              "+OK\r\n+QUEUED\r\n*1\r\n>3\r\n$7\r\nmessage\r\n$1\r\na\r\n$1\r\nx\r\n:1\r\n");
    close(fd);
    assert_int_equal(kv_stop(&kv), 0);
}

/* Goal: replies that a session keeps hold nothing that would be another the next time. */
static void test_sessions_transactions_publish_nothing(void **state)
{
    (void)state;
    uint16_t port = 0;
    struct kv_process kv = kv_start_loopback(address, &port, NULL);
    int fd = connect_to(port, 2);
    struct kv_replies id = {0};
    kv_send(fd, "SESSION.OPEN s\r\n", 16);
    assert_true(kv_receive_replies(fd, &id, 1));
    free(id.data);
    kv_expect(fd, "MULTI\r\nPING\r\nINCR n\r\nEXEC\r\n",
              "+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n+PONG\r\n:1\r\n");
    static const char *const refused[] = {"PUBLISH a x", "SUBSCRIBE a", "CLIENT ID"};
    for (size_t i = 0; i < 3; i++) {
        char text[64];
        (void)snprintf(text, sizeof(text), "MULTI\r\n%s\r\nEXEC\r\n", refused[i]);
        kv_expect(fd, text,
                  "+OK\r\n-ERR Command not allowed inside a transaction\r\n"
                  "-EXECABORT Transaction discarded because of previous errors. [no number]\r\n");
    }
    close(fd);
    assert_int_equal(kv_stop(&kv), 0);
}

/* Goal: names and numbers of subscriptions are bounded, and the refusal changes nothing. */
static void test_subscriptions_are_bounded(void **state)
{
    (void)state;
    uint16_t port = 0;
    struct kv_process kv = kv_start_loopback(address, &port, NULL);
    int fd = connect_to(port, 2);
    static char request[32 * 1024];
    int n = snprintf(request, sizeof(request), "SUBSCRIBE ");
    memset(request + n, 'c', 1025);
    memcpy(request + n + 1025, "\r\n", 3);
    kv_expect(fd, request, "-ERR a channel's name may have 1024 bytes\r\n");
    for (int i = 0; i < 1025; i++) {
        n += snprintf(request + n, sizeof(request) - (size_t)n, "c%d ", i);
    }
    memcpy(request + n, "\r\n", 3);
    kv_expect(fd, request, "-ERR a connection may have 1024 subscriptions\r\n");
    kv_expect(fd, "PUBSUB CHANNELS\r\n", "*0\r\n");
    close(fd);
    assert_int_equal(kv_stop(&kv), 0);
}

/* Goal: no row of patterns holds everybody up: what would be compared with all of them for too long
 * is refused, and the rest reaches its subscribers. */
static void test_comparisons_are_bounded(void **state)
{
    (void)state;
    enum { PATTERNS = 200, LEN = 1000 };
    uint16_t port = 0;
    struct kv_process kv = kv_start_loopback(address, &port, NULL);
    int subscriber = connect_to(port, 2);
    int publisher = connect_to(port, 2);
    static char request[2 * LEN];
    static char channel[LEN + 1];
    memset(channel, 'a', LEN);
    for (int i = 0; i < PATTERNS; i++) {
        struct kv_replies r = {0};
        int n = snprintf(request, sizeof(request), "PSUBSCRIBE *%.*sb%d\r\n", LEN / 2, channel, i);
        kv_send(subscriber, request, (size_t)n);
        assert_true(kv_receive_replies(subscriber, &r, 1));
        free(r.data);
    }
    kv_expect(subscriber, "PSUBSCRIBE z*\r\n", "*3\r\n$10\r\npsubscribe\r\n$2\r\nz*\r\n:201\r\n");
    snprintf(request, sizeof(request), "PUBLISH %s m\r\n", channel);
    kv_expect(publisher, request,
              "-ERR comparing this channel with all patterns that are listened to would hold up "
              "everybody: use a shorter one\r\n");
    struct kv_replies message = {0};
    kv_expect(publisher, "PUBLISH z m\r\n", ":1\r\n");
    assert_true(kv_receive_replies(subscriber, &message, 1));
    assert_non_null(strstr(message.data, "pmessage"));
    free(message.data);
    for (int i = 0; i < PATTERNS; i++) {
        struct kv_replies r = {0};
        int n = snprintf(request, sizeof(request), "SUBSCRIBE %.*s%d\r\n", LEN - 4, channel, i);
        kv_send(subscriber, request, (size_t)n);
        assert_true(kv_receive_replies(subscriber, &r, 1));
        free(r.data);
    }
    snprintf(request, sizeof(request), "PUBSUB CHANNELS *%.*sb\r\n", LEN / 2, channel);
    kv_expect(publisher, request,
              "-ERR comparing all channels with this pattern would hold up everybody: use a "
              "shorter one\r\n");
    kv_expect(publisher, "PUBSUB CHANNELS b*\r\n", "*0\r\n");
    close(subscriber);
    close(publisher);
    assert_int_equal(kv_stop(&kv), 0);
}

/* Goal: a subscriber that does not read is closed when it left 8 MiB; one that reads gets all. */
static void test_subscriber_that_does_not_read_is_closed(void **state)
{
    (void)state;
    enum { MESSAGE = 64 * 1024, MOST = 1024 };
    uint16_t port = 0;
    struct kv_process kv = kv_start_loopback(address, &port, NULL);
    int deaf = connect_to(port, 2);
    int reader = connect_to(port, 2);
    int publisher = connect_to(port, 2);
    kv_expect(deaf, "SUBSCRIBE a\r\n", "*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n");
    kv_expect(reader, "SUBSCRIBE a\r\n", "*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n");
    static char request[MESSAGE + 64];
    int n =
        snprintf(request, sizeof(request), "*3\r\n$7\r\nPUBLISH\r\n$1\r\na\r\n$%d\r\n", MESSAGE);
    memset(request + n, 'm', MESSAGE);
    memcpy(request + n + MESSAGE, "\r\n", 3);
    int sent = 0;
    bool closed = false;
    while (!closed) {
        char reply[16] = "";
        struct kv_replies r = {0};
        assert_true(sent++ < MOST);
        kv_send(publisher, request, (size_t)n + MESSAGE + 2);
        assert_true(kv_receive(publisher, reply, sizeof(reply) - 1) == 4);
        closed = strcmp(reply, ":1\r\n") == 0;
        assert_true(kv_receive_replies(reader, &r, 1));
        assert_true(r.len > MESSAGE);
        free(r.data);
    }
    assert_true(sent > 8 * 1024 * 1024 / MESSAGE);
    struct kv_replies info = {0};
    kv_send(publisher, "INFO stats\r\n", 12);
    assert_true(kv_receive_replies(publisher, &info, 1));
    assert_non_null(strstr(info.data, "closed_slow_readers:1\r"));
    free(info.data);
    static char rest[65536];
    while (kv_receive(deaf, rest, sizeof(rest)) > 0) {
    }
    close(deaf);
    close(reader);
    close(publisher);
    assert_int_equal(kv_stop(&kv), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_steps_answer_as_redis),
        cmocka_unit_test(test_steps_with_jitter_answer_as_redis),
        cmocka_unit_test(test_resp3_subscriber_works_on),
        cmocka_unit_test(test_sessions_transactions_publish_nothing),
        cmocka_unit_test(test_subscriptions_are_bounded),
        cmocka_unit_test(test_comparisons_are_bounded),
        cmocka_unit_test(test_subscriber_that_does_not_read_is_closed),
    };
    kv_address(address, 4);
    struct kv_process redis = kv_start_redis(address);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    return kv_stop(&redis) == 0 ? failed : 1;
}
