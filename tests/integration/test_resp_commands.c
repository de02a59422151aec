/* COMMAND beside a real redis-server's: what is said of a command is what Redis says of its own. */
#include "base/assert.h"
#include "tests/integration/kv_process.h"

static char address[32];
static char redis_address[32];
static struct kv_process redis;
static struct kv_process kv;
static uint16_t port;
static int here;
static int there;

static int set_up(void **state)
{
    (void)state;
    redis = kv_start_redis(redis_address);
    kv = kv_start_loopback(address, &port, NULL);
    here = kv_connect(address, port);
    there = kv_connect(redis_address, KV_REDIS_PORT);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    close(here);
    close(there);
    assert_int_equal(kv_stop(&kv), 0);
    assert_int_equal(kv_stop(&redis), 0);
    return 0;
}

static struct kv_replies ask(int fd, const char *line)
{
    struct kv_replies r = {0};
    char text[256];
    int n = snprintf(text, sizeof(text), "%s\r\n", line);
    kv_send(fd, text, (size_t)n);
    assert_true(kv_receive_replies(fd, &r, 1));
    ts_assert(r.data != NULL);
    return r;
}

/* The words of an array of bulk strings. */
static size_t words_of(struct kv_replies *r, char *words[], size_t cap)
{
    size_t n = (size_t)strtol(r->data + 1, NULL, 10);
    char *at = strstr(r->data, "\r\n") + 2;
    assert_true(n <= cap);
    for (size_t i = 0; i < n; i++) {
        size_t len = (size_t)strtol(at + 1, &at, 10);
        words[i] = at + 2;
        at = words[i] + len;
        *at = '\0';
        at += 2;
    }
    return n;
}

/* There, and not in a redis-server. */
static bool is_own(const char *name)
{
    return strncmp(name, "lease.", 6) == 0 || strncmp(name, "session.", 8) == 0 ||
           strcmp(name, "sentinel") == 0;
}

/* Of the reply to COMMAND INFO name: the bytes up to the categories' end. */
static size_t told(const struct kv_replies *r)
{
    size_t at = (size_t)(strstr(strstr(r->data, "\r\n") + 2, "\r\n") + 2 - r->data);
    for (int i = 0; i < 7; i++) { /* name, arity, flags, first, last, step, categories */
        at = kv_reply_end(r, at);
        assert_true(at > 0);
    }
    return at;
}

/* Goal: words, flags, keys and categories of every command are those of Redis. */
static void test_commands_are_told_as_by_redis(void **state)
{
    (void)state;
    char *names[512];
    struct kv_replies list = ask(here, "COMMAND LIST");
    size_t n = words_of(&list, names, 512);
    size_t tops = 0;
    for (size_t i = 0; i < n; i++) {
        bool member = strchr(names[i], '|') != NULL;
        char line[128];
        tops += !member;
        if (is_own(names[i]) || member) {
            continue;
        }
        (void)snprintf(line, sizeof(line), "COMMAND INFO %s", names[i]);
        struct kv_replies ours = ask(here, line);
        struct kv_replies theirs = ask(there, line);
        size_t len = told(&ours);
        if (len != told(&theirs) || memcmp(ours.data, theirs.data, len) != 0) {
            fail_msg("%s\nhere:  %s\nRedis: %s", line, ours.data, theirs.data);
        }
        free(ours.data);
        free(theirs.data);
    }
    char count[32];
    (void)snprintf(count, sizeof(count), ":%zu\r\n", tops);
    kv_expect(here, "COMMAND COUNT\r\n", count);
    free(list.data);
}

static const char *group_of(const struct kv_replies *r)
{
    const char *at = strstr(r->data, "$5\r\ngroup\r\n");
    assert_non_null(at);
    return at + strlen("$5\r\ngroup\r\n");
}

/* Goal: the documentation has each under the heading that Redis' has it under. */
static void test_docs_have_the_headings_of_redis(void **state)
{
    (void)state;
    char *names[512];
    struct kv_replies list = ask(here, "COMMAND LIST");
    size_t n = words_of(&list, names, 512);
    for (size_t i = 0; i < n; i++) {
        char line[128];
        if (is_own(names[i]) || strchr(names[i], '|') != NULL) {
            continue;
        }
        (void)snprintf(line, sizeof(line), "COMMAND DOCS %s", names[i]);
        struct kv_replies ours = ask(here, line);
        struct kv_replies theirs = ask(there, line);
        size_t len = strcspn(group_of(&ours), "\r") + 2;
        len += strcspn(group_of(&ours) + len, "\r") + 2;
        if (strncmp(group_of(&ours), group_of(&theirs), len) != 0) {
            fail_msg("%s\nhere:  %s\nRedis: %.300s", line, ours.data, theirs.data);
        }
        free(ours.data);
        free(theirs.data);
    }
    free(list.data);
}

static const char *const questions[] = {
    "COMMAND GETKEYS get a",
    "COMMAND GETKEYS get",
    "COMMAND GETKEYS get a b",
    "COMMAND GETKEYS set a",
    "COMMAND GETKEYS set a b NX GET",
    "COMMAND GETKEYS mset a b c d",
    "COMMAND GETKEYS mset a b c",
    "COMMAND GETKEYS del a b c",
    "COMMAND GETKEYS rename a b",
    "COMMAND GETKEYS copy a b REPLACE",
    "COMMAND GETKEYS lcs a b len",
    "COMMAND GETKEYS object encoding x",
    "COMMAND GETKEYS watch a b",
    "COMMAND GETKEYS ping x",
    "COMMAND GETKEYS client list",
    "COMMAND GETKEYS client foo",
    "COMMAND GETKEYS nosuch a",
    "COMMAND GETKEYS",
    "COMMAND COUNT x",
    "COMMAND FOO",
    "COMMAND INFO nosuch client|nosuch",
    "COMMAND DOCS nosuch client|nosuch",
    "COMMAND LIST x",
    "COMMAND LIST FILTERBY",
    "COMMAND LIST FILTERBY FOO x",
    "COMMAND LIST FILTERBY PATTERN a b",
    "COMMAND LIST FILTERBY PATTERN nosuch*",
    "COMMAND LIST FILTERBY PATTERN getd?l",
    "COMMAND LIST FILTERBY ACLCAT nosuch",
    "COMMAND LIST FILTERBY MODULE x",
    "ACL",
    "ACL FOO",
    "ACL WHOAMI",
    "ACL WHOAMI x",
    "ACL USERS",
    "ACL LIST",
    "ACL GETUSER default",
    "ACL GETUSER nosuch",
    "ACL GETUSER",
    "ACL CAT",
    "ACL CAT nosuch",
    "ACL CAT bitmap x",
    "ACL CAT blocking x",
    "ACL GENPASS x",
    "ACL GENPASS 0",
    "ACL GENPASS 5000",
    "ACL GENPASS 8 8",
    "ACL DRYRUN default get a",
    "ACL DRYRUN default client kill x",
    "ACL DRYRUN nosuch get a",
    "ACL DRYRUN default nosuch a",
    "ACL DRYRUN default get",
    "ACL SETUSER",
    "ACL DELUSER",
    "ACL LOAD x",
    "PUBSUB CHANNELS a b",
    "PUBSUB NUMSUB",
    "FUNCTION FLUSH a b",
    "SCRIPT FLUSH a b",
    "SCRIPT KILL x",
};

/* Goal: the same bytes as from Redis. */
static void test_questions_are_answered_as_by_redis(void **state)
{
    (void)state;
    for (int version = 2; version <= 3; version++) {
        char hello[16];
        (void)snprintf(hello, sizeof(hello), "HELLO %d", version);
        free(ask(here, hello).data);
        free(ask(there, hello).data);
        for (size_t i = 0; i < sizeof(questions) / sizeof(questions[0]); i++) {
            struct kv_replies ours = ask(here, questions[i]);
            struct kv_replies theirs = ask(there, questions[i]);
            if (strcmp(ours.data, theirs.data) != 0) {
                fail_msg("%s\nhere:  %s\nRedis: %s", questions[i], ours.data, theirs.data);
            }
            free(ours.data);
            free(theirs.data);
        }
    }
    free(ask(here, "HELLO 2").data);
}

/* Goal: what is in a category here is in it there, too; redis-cli reads all of it. */
static void test_categories_hold_what_those_of_redis_do(void **state)
{
    (void)state;
    static const char *const categories[] = {"keyspace", "string", "bitmap", "transaction",
                                             "read",     "pubsub", "fast"};
    for (size_t k = 0; k < sizeof(categories) / sizeof(categories[0]); k++) {
        char line[64];
        char *ours[512];
        char *theirs[512];
        (void)snprintf(line, sizeof(line), "ACL CAT %s", categories[k]);
        struct kv_replies a = ask(here, line);
        struct kv_replies b = ask(there, line);
        size_t n = words_of(&a, ours, 512);
        size_t m = words_of(&b, theirs, 512);
        for (size_t i = 0; i < n; i++) {
            bool found = is_own(ours[i]);
            for (size_t j = 0; j < m && !found; j++) {
                found = strcmp(ours[i], theirs[j]) == 0;
            }
            if (!found) {
                fail_msg("%s: %s is not in it", line, ours[i]);
            }
        }
        free(a.data);
        free(b.data);
    }
}

/* Whether the connection has ended. */
static bool is_closed(int fd)
{
    char byte;
    return kv_receive(fd, &byte, 1) == 0;
}

/* Goal: CLIENT KILL ends those that fit all of its options, in the numbers that Redis tells, and
 * the asker's own behind its answer. */
static void test_kill_ends_those_that_fit(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        const char *at = i == 0 ? address : redis_address;
        uint16_t to = i == 0 ? port : KV_REDIS_PORT;
        char line[128];
        int fd[4];
        uint64_t id[4];
        for (int k = 0; k < 4; k++) {
            fd[k] = kv_connect(at, to);
            struct kv_replies r = ask(fd[k], "CLIENT ID");
            id[k] = strtoull(r.data + 1, NULL, 10);
            free(r.data);
        }
        free(ask(fd[3], "SUBSCRIBE a").data);
        (void)snprintf(line, sizeof(line), "CLIENT KILL ID %llu TYPE pubsub\r\n",
                       (unsigned long long)id[1]);
        kv_expect(fd[0], line, ":0\r\n");
        (void)snprintf(line, sizeof(line), "CLIENT KILL ID %llu TYPE normal USER default\r\n",
                       (unsigned long long)id[1]);
        kv_expect(fd[0], line, ":1\r\n");
        assert_true(is_closed(fd[1]));
        kv_expect(fd[0], "CLIENT KILL TYPE pubsub\r\n", ":1\r\n");
        assert_true(is_closed(fd[3]));
        (void)snprintf(line, sizeof(line), "CLIENT KILL ID %llu\r\n", (unsigned long long)id[0]);
        kv_expect(fd[0], line, ":0\r\n");
        (void)snprintf(line, sizeof(line), "CLIENT KILL ID %llu SKIPME no\r\nPING\r\n",
                       (unsigned long long)id[0]);
        kv_expect(fd[0], line, ":1\r\n");
        assert_true(is_closed(fd[0]));
        struct sockaddr_in self = {0};
        socklen_t len = sizeof(self);
        char host[32];
        assert_int_equal(getsockname(fd[2], (struct sockaddr *)&self, &len), 0);
        (void)inet_ntop(AF_INET, &self.sin_addr, host, sizeof(host));
        (void)snprintf(line, sizeof(line), "CLIENT KILL %s:%u\r\n", host, ntohs(self.sin_port));
        kv_expect(fd[2], line, "+OK\r\n");
        assert_true(is_closed(fd[2]));
        for (int k = 0; k < 4; k++) {
            close(fd[k]);
        }
    }
}

/* Goal: CLIENT UNBLOCK ends a WAIT, as if its time were over, or with an error. */
static void test_unblock_ends_a_wait(void **state)
{
    (void)state;
    static const char *const ends[][2] = {
        {"", ":1\r\n"},
        {" TIMEOUT", ":1\r\n"},
        {" ERROR", "-UNBLOCKED client unblocked via CLIENT UNBLOCK\r\n"}};
    int fd = kv_connect(address, port);
    struct kv_replies r = ask(fd, "CLIENT ID");
    unsigned long long id = strtoull(r.data + 1, NULL, 10);
    free(r.data);
    for (size_t i = 0; i < 3; i++) {
        char line[64];
        (void)snprintf(line, sizeof(line), "CLIENT UNBLOCK %llu%s", id, ends[i][0]);
        kv_send(fd, "WAIT 9 0\r\nPING\r\n", 16);
        for (bool done = false; !done;) { /* until it waits */
            struct kv_replies said = ask(here, line);
            done = strcmp(said.data, ":1\r\n") == 0;
            free(said.data);
        }
        kv_expect(fd, "", ends[i][1]);
        kv_expect(fd, "", "+PONG\r\n");
    }
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_commands_are_told_as_by_redis),
        cmocka_unit_test(test_docs_have_the_headings_of_redis),
        cmocka_unit_test(test_questions_are_answered_as_by_redis),
        cmocka_unit_test(test_categories_hold_what_those_of_redis_do),
        cmocka_unit_test(test_kill_ends_those_that_fit),
        cmocka_unit_test(test_unblock_ends_a_wait),
    };
    kv_address(address, 12);
    kv_address(redis_address, 13);
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
