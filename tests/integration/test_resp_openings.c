/* Goal: what client libraries say when they connect is answered as by Redis 7.0, or with an error
 * that they know what to do with. Each opening below is what one of them sends, in its order, with
 * all of its options on; a real redis-server hears the same. */
#include "tests/integration/kv_process.h"

static char address[32];

/* What must hold for a reply, beside Redis' own. */
enum judge {
    SAME, /* the same bytes */
    KIND, /* of the same type, and as many elements: it names the server, or its figures */
    OWN,  /* begins with the text that stands beside */
};

struct said {
    const char *line;
    enum judge judge;
    const char *own;
};

#define LINES_MAX 16

struct opening {
    const char *client;
    struct said said[LINES_MAX];
};

#define SETINFO_OK OWN, "+OK\r\n" /* of Redis 7.2: 7.0 does not know it, and clients go on */
#define UNKNOWN_SUB SAME, NULL    /* of later versions: clients go on without */

static const struct opening openings[] = {
    {"redis-cli -3",
     {{"HELLO 3", KIND, NULL},
      {"COMMAND DOCS nosuch", SAME, NULL},
      {"INFO server", KIND, NULL},
      {"SENTINEL masters", OWN, "*1\r\n%20\r\n"},
      {"CLIENT SETNAME redis-cli", SAME, NULL}}},
    {"redis-py",
     {{"HELLO 3 AUTH default x", KIND, NULL},
      {"CLIENT SETNAME app", SAME, NULL},
      {"CLIENT SETINFO LIB-NAME redis-py", SETINFO_OK},
      {"CLIENT SETINFO LIB-VER 5.2.1", SETINFO_OK},
      {"CLIENT MAINT_NOTIFICATIONS ON moving-endpoint-type internal-ip", UNKNOWN_SUB},
      {"SELECT 0", SAME, NULL},
      {"CLIENT TRACKING OFF", SAME, NULL},
      {"CLIENT GETREDIR", SAME, NULL},
      {"CLIENT TRACKINGINFO", SAME, NULL},
      {"CLIENT TRACKING ON", OWN, "-ERR CLIENT TRACKING is not there"},
      {"PING", SAME, NULL},
      {"SENTINEL GET-MASTER-ADDR-BY-NAME kv", OWN, "*2\r\n$9\r\n127.0.0.1\r\n"}}},
    {"Jedis",
     {{"HELLO 3 AUTH default x", KIND, NULL},
      {"CLIENT SETNAME app", SAME, NULL},
      {"CLIENT SETINFO LIB-NAME jedis(app-1.0)", SETINFO_OK},
      {"CLIENT SETINFO LIB-VER 5.1.0", SETINFO_OK},
      {"SELECT 0", SAME, NULL},
      {"SENTINEL get-master-addr-by-name kv", OWN, "*2\r\n$9\r\n127.0.0.1\r\n"},
      {"ROLE", KIND, NULL},
      {"PING", SAME, NULL},
      {"SUBSCRIBE +switch-master", SAME, NULL},
      {"PING", SAME, NULL},
      {"UNSUBSCRIBE", SAME, NULL},
      {"QUIT", SAME, NULL}}},
    {"Lettuce",
     {{"HELLO 3 AUTH default x SETNAME app", KIND, NULL},
      {"CLIENT SETINFO lib-name Lettuce", SETINFO_OK},
      {"CLIENT SETINFO lib-ver 6.3.0.RELEASE/0a1b2c3", SETINFO_OK},
      {"PING", SAME, NULL},
      {"CLIENT LIST", KIND, NULL},
      {"READONLY", SAME, NULL},
      {"INFO replication", KIND, NULL},
      {"ROLE", KIND, NULL},
      {"PSUBSCRIBE *", SAME, NULL},
      {"SENTINEL REPLICAS kv", OWN, "*1\r\n%21\r\n"},
      {"CLUSTER NODES", SAME, NULL},
      {"CLUSTER MYID", SAME, NULL}}},
    {"go-redis",
     {{"HELLO 3 AUTH default x", KIND, NULL},
      {"SELECT 0", SAME, NULL},
      {"READONLY", SAME, NULL},
      {"CLIENT SETNAME app", SAME, NULL},
      {"CLIENT SETINFO LIB-NAME go-redis(,go1.21.5)", SETINFO_OK},
      {"CLIENT SETINFO LIB-VER 9.5.1", SETINFO_OK},
      {"CLIENT MAINT_NOTIFICATIONS ON moving-endpoint-type none", UNKNOWN_SUB},
      {"SENTINEL get-master-addr-by-name kv", OWN, "*2\r\n$9\r\n127.0.0.1\r\n"},
      {"SENTINEL sentinels kv", OWN, "*1\r\n%14\r\n"},
      {"SENTINEL replicas kv", OWN, "*1\r\n%21\r\n"},
      {"CLUSTER INFO", SAME, NULL},
      {"COMMAND INFO get", KIND, NULL},
      {"SUBSCRIBE +switch-master +replica-reconf-done", SAME, NULL},
      {"PING", SAME, NULL}}},
    {"ioredis",
     {{"CLIENT SETINFO LIB-VER 5.4.1", SETINFO_OK},
      {"CLIENT SETINFO LIB-NAME ioredis(app)", SETINFO_OK},
      {"SELECT 0", SAME, NULL},
      {"CLIENT SETNAME app", SAME, NULL},
      {"INFO", KIND, NULL},
      {"SENTINEL get-master-addr-by-name kv", OWN, "*2\r\n$9\r\n127.0.0.1\r\n$4\r\n6379\r\n"},
      {"SENTINEL sentinels kv", OWN, "*1\r\n*28\r\n"},
      {"SENTINEL slaves kv", OWN, "*1\r\n*42\r\n"},
      {"ROLE", KIND, NULL},
      {"READONLY", SAME, NULL},
      {"CLUSTER SLOTS", SAME, NULL},
      {"SUBSCRIBE +switch-master", SAME, NULL},
      {"QUIT", SAME, NULL}}},
    {"node-redis",
     {{"HELLO 3 SETNAME app", KIND, NULL},
      {"SELECT 0", SAME, NULL},
      {"CLIENT SETINFO LIB-VER 5.0.0", SETINFO_OK},
      {"CLIENT SETINFO LIB-NAME node-redis(app)", SETINFO_OK},
      {"CLIENT NO-EVICT ON", SAME, NULL},
      {"SENTINEL SENTINELS kv", OWN, "*1\r\n%14\r\n"},
      {"SENTINEL MASTER kv", OWN, "%20\r\n"},
      {"CLIENT ID", KIND, NULL},
      {"RESET", SAME, NULL},
      {"GET nosuch", SAME, NULL}}},
    {"StackExchange.Redis",
     {{"HELLO 3 AUTH default x SETNAME app", KIND, NULL},
      {"CLIENT SETINFO lib-name SE.Redis", SETINFO_OK},
      {"CLIENT ID", KIND, NULL},
      {"CONFIG GET timeout", SAME, NULL},
      {"INFO replication", KIND, NULL},
      {"INFO server", KIND, NULL},
      {"CONFIG GET databases", OWN, "%1\r\n$9\r\ndatabases\r\n$1\r\n1\r\n"},
      {"CLUSTER NODES", SAME, NULL},
      {"GET __Booksleeve_TieBreak", SAME, NULL},
      {"ECHO 0123456789abcdef", SAME, NULL},
      {"SENTINEL MASTERS", OWN, "*1\r\n%20\r\n"},
      {"SUBSCRIBE __Booksleeve_MasterChanged", SAME, NULL}}},
    {"Redisson",
     {{"AUTH default x", SAME, NULL},
      {"CLIENT SETNAME app", SAME, NULL},
      {"PING", SAME, NULL},
      {"INFO ALL", KIND, NULL},
      {"INFO REPLICATION", KIND, NULL},
      {"CLUSTER NODES", SAME, NULL},
      {"SENTINEL SENTINELS kv", OWN, "*1\r\n*28\r\n"},
      {"SENTINEL SLAVES kv", OWN, "*1\r\n*42\r\n"},
      {"SCRIPT EXISTS 0123456789012345678901234567890123456789", SAME, NULL},
      {"WAIT 0 0", KIND, NULL}}},
    {"hiredis, redis-rb, phpredis",
     {{"AUTH x", SAME, NULL},
      {"HELLO 2", KIND, NULL},
      {"HELLO", KIND, NULL},
      {"HELLO 4", SAME, NULL},
      {"READWRITE", SAME, NULL},
      {"CLIENT REPLY ON", SAME, NULL},
      {"CLIENT REPLY x", SAME, NULL},
      {"CLIENT CACHING yes", SAME, NULL},
      {"ROLE x", SAME, NULL},
      {"INFO nosuch", SAME, NULL},
      {"INFO cluster", SAME, NULL},
      {"INFO modules", SAME, NULL},
      {"PING a b", SAME, NULL},
      {"RESET", SAME, NULL},
      {"QUIT", SAME, NULL}}},
    {"redis-benchmark, redis_exporter",
     {{"CONFIG GET save", SAME, NULL},
      {"CONFIG GET appendonly", OWN, "*2\r\n$10\r\nappendonly\r\n$3\r\nyes\r\n"},
      {"CLIENT SETNAME exporter", SAME, NULL},
      {"INFO ALL", KIND, NULL},
      {"INFO keyspace", SAME, NULL},
      {"LATENCY LATEST", OWN, "-ERR unknown command 'LATENCY'"},
      {"SLOWLOG LEN", OWN, "-ERR unknown command 'SLOWLOG'"}}},
};

static struct kv_replies ask(int fd, const char *line)
{
    char words[1024];
    char text[1100];
    size_t n = 0;
    size_t count = 0;
    for (const char *at = line; *at != '\0'; count++) {
        size_t len = strcspn(at, " ");
        n += (size_t)snprintf(words + n, sizeof(words) - n, "$%zu\r\n%.*s\r\n", len, (int)len, at);
        at += len;
        at += *at == ' ';
    }
    int m = snprintf(text, sizeof(text), "*%zu\r\n%s", count, words);
    /* One confirmation a channel. */
    size_t replies = strncmp(line, "SUBSCRIBE ", 10) == 0 ? count - 1 : 1;
    struct kv_replies r = {0};
    kv_send(fd, text, (size_t)m);
    if (!kv_receive_replies(fd, &r, replies)) {
        fail_msg("no reply to %s", line);
    }
    return r;
}

/* The type, and the number of an aggregate's elements; texts differ in length. */
static bool of_one_kind(const char *a, const char *b)
{
    bool counted = a[0] == '*' || a[0] == '%' || a[0] == '~' || a[0] == '>';
    return a[0] == b[0] && a[0] != '-' &&
           (!counted || strtol(a + 1, NULL, 10) == strtol(b + 1, NULL, 10));
}

static void judge(const struct opening *o, const struct said *said, const char *ours,
                  const char *theirs)
{
    bool holds = said->judge == SAME   ? strcmp(ours, theirs) == 0
                 : said->judge == KIND ? of_one_kind(ours, theirs)
                                       : strncmp(ours, said->own, strlen(said->own)) == 0;
    if (!holds) {
        fail_msg("%s: %s\nhere:  %s\nRedis: %s", o->client, said->line, ours, theirs);
    }
}

static void test_openings_are_answered_as_by_redis(void **state)
{
    (void)state;
    char redis_address[32];
    uint16_t port = 0;
    kv_address(redis_address, 11);
    struct kv_process redis = kv_start_redis(redis_address);
    struct kv_process kv = kv_start_loopback(address, &port, NULL);
    for (size_t i = 0; i < sizeof(openings) / sizeof(openings[0]); i++) {
        int fds[2] = {kv_connect(address, port), kv_connect(redis_address, KV_REDIS_PORT)};
        for (const struct said *said = openings[i].said;
             said < openings[i].said + LINES_MAX && said->line != NULL; said++) {
            struct kv_replies ours = ask(fds[0], said->line);
            struct kv_replies theirs = ask(fds[1], said->line);
            judge(&openings[i], said, ours.data, theirs.data);
            free(ours.data);
            free(theirs.data);
        }
        close(fds[0]);
        close(fds[1]);
    }
    assert_int_equal(kv_stop(&kv), 0);
    assert_int_equal(kv_stop(&redis), 0);
}

/* Goal: what clients read in INFO is there, by the section that they ask for. */
static void test_info_has_what_clients_read(void **state)
{
    (void)state;
    static const struct {
        const char *line;
        const char *fields[8];
        const char *absent;
    } sections[] = {
        {"INFO",
         {"redis_version:7.", "redis_mode:standalone", "loading:0", "role:master",
          "connected_slaves:1", "used_memory_human:", "cluster_enabled:0", "# Keyspace"},
         "# Sentinel"},
        {"INFO persistence", {"# Persistence", "loading:0", "aof_enabled:1"}, "role:"},
        {"INFO server memory", {"run_id:", "os:", "maxmemory_human:1.00G"}, "role:"},
        {"INFO everything", {"# Replication", "slave0:ip=127.0.0.2,port=6379,state=online"}, "x\n"},
        {"INFO sentinel",
         {"# Sentinel", "sentinel_masters:1",
          "master0:name=kv,status=ok,address=127.0.0.1:6379,slaves=1,sentinels=2"},
         "role:"},
    };
    uint16_t port = 0;
    struct kv_process kv = kv_start_loopback(address, &port, NULL);
    int fd = kv_connect(address, port);
    for (size_t i = 0; i < sizeof(sections) / sizeof(sections[0]); i++) {
        struct kv_replies r = ask(fd, sections[i].line);
        for (size_t k = 0; k < 8 && sections[i].fields[k] != NULL; k++) {
            if (strstr(r.data, sections[i].fields[k]) == NULL) {
                fail_msg("%s lacks %s:\n%s", sections[i].line, sections[i].fields[k], r.data);
            }
        }
        assert_null(strstr(r.data, sections[i].absent));
        free(r.data);
    }
    close(fd);
    assert_int_equal(kv_stop(&kv), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_openings_are_answered_as_by_redis),
        cmocka_unit_test(test_info_has_what_clients_read),
    };
    kv_address(address, 10);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
