/* The HTTP front-end as clients see it: certificates and users are made here, http_echo is started,
 * and every case of http_clients, http_hostile and http_relay (Python, curl, h2load) runs against
 * it. */
#include "tests/integration/kv_process.h"

#include "base/io/files.h"
#include "net/ca.h"
#include "net/users.h"

#define PASSWORD "a-long-enough-password"

static char dir[64];
static char tls[96];
static char address[32];

static void add_user(struct net_users *users, const char *name, enum net_role role)
{
    struct net_user *u = &users->users[users->count++];
    snprintf(u->name, sizeof(u->name), "%s", name);
    u->role = role;
    const struct ts_bytes password = {(const uint8_t *)PASSWORD, strlen(PASSWORD)};
    assert_int_equal(net_user_set_password(u, password), TS_OK);
}

static void issue(const char *authority, const char *name, const char *to)
{
    char ca[96];
    char out[96];
    struct ts_why why = {.text = ""};
    snprintf(ca, sizeof(ca), "%s/%s", dir, authority);
    snprintf(out, sizeof(out), "%s/%s", dir, to);
    if (ca_issue(ca, name, out, NULL, ca_validity_days(2), &why) != TS_OK) {
        fail_msg("%s", why.text);
    }
}

static void issue_agent(const char *name, const char *to)
{
    char ca[96];
    char out[96];
    struct ts_why why = {.text = ""};
    snprintf(ca, sizeof(ca), "%s/ca", dir);
    snprintf(out, sizeof(out), "%s/%s", dir, to);
    if (ca_issue_agent(ca, name, out, ca_validity_days(2), &why) != TS_OK) {
        fail_msg("%s", why.text);
    }
}

static int set_up(void **state)
{
    static struct net_users users;
    char path[128];
    (void)state;
    snprintf(dir, sizeof(dir), "/tmp/twinstep-http-XXXXXX");
    assert_non_null(mkdtemp(dir));
    snprintf(tls, sizeof(tls), "%s/tls", dir);
    snprintf(path, sizeof(path), "%s/ca", dir);
    assert_int_equal(ca_init(path, "demo", NULL), TS_OK);
    snprintf(path, sizeof(path), "%s/foreign", dir);
    assert_int_equal(ca_init(path, "demo", NULL), TS_OK);
    issue("ca", "nic1", "tls");
    issue("ca", "nic1", "renewed");
    issue("ca", "operator7", "client");
    issue("foreign", "operator7", "stranger");
    issue_agent("host7", "agent");
    add_user(&users, "admin", NET_ROLE_ADMIN);
    add_user(&users, "auditor", NET_ROLE_READ);
    snprintf(path, sizeof(path), "%s/users", dir);
    assert_int_equal(net_users_save(path, &users, NULL), TS_OK);
    return 0;
}

static int tear_down(void **state)
{
    static const char *const parts[] = {"tls", "renewed", "client",  "stranger",
                                        "ca",  "agent",   "foreign", ""};
    (void)state;
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        char path[128];
        snprintf(path, sizeof(path), "%s/%s", dir, parts[i]);
        assert_int_equal(ts_dir_remove(path, NULL), TS_OK);
    }
    return 0;
}

/* Runs one case of a script; it starts http_echo with the options that it needs. */
static void run(const char *script, const char *name)
{
    const char *const argv[] = {script, name, HTTP_ECHO, address, dir, PASSWORD, NULL};
    struct kv_process p = kv_start(argv);
    char line[1024];
    while (fgets(line, sizeof(line), p.out) != NULL) {
        fputs(line, stderr);
    }
    int status = 0;
    fclose(p.out);
    assert_int_equal(waitpid(p.pid, &status, 0), p.pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

/* Goal: each named as the case that it runs, where the goal is told. */
#define CASE(script, name) \
    static void test_http_##name##_holds(void **state) \
    { \
        (void)state; \
        run(HTTP_SCRIPTS "/http_" #script, #name); \
    }
#define CASES(X) \
    X(clients, methods) \
    X(clients, bodies) \
    X(clients, authentication) \
    X(clients, certificates) \
    X(clients, agents) \
    X(clients, pipeline) \
    X(clients, windows) \
    X(clients, goodbye) \
    X(clients, many_clients) \
    X(clients, streams_of_http2) \
    X(clients, suspended) \
    X(clients, fail_unanswered) \
    X(clients, events) \
    X(clients, addresses) \
    X(relay, answers) \
    X(relay, lost) \
    X(relay, unsent) \
    X(hostile, bad_requests) \
    X(hostile, unannounced) \
    X(hostile, damaged) \
    X(hostile, framing) \
    X(hostile, reset) \
    X(hostile, floods) \
    X(hostile, vanished) \
    X(hostile, slow_clients) \
    X(hostile, slow_heads) \
    X(hostile, limits) \
    X(hostile, slow_reader) \
    X(hostile, large_events)

CASES(CASE)

/* usage: http_server [PATTERN]: the cases whose names fit, "*limits*". */
int main(int argc, char **argv)
{
#define TEST(script, name) cmocka_unit_test(test_http_##name##_holds),
    const struct CMUnitTest tests[] = {CASES(TEST)};
    signal(SIGPIPE, SIG_IGN);
    kv_address(address, 9);
    cmocka_set_test_filter(argc > 1 ? argv[1] : NULL);
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
