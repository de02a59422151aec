/* AUTH and roles, in Redis' words: who did not say who it is may do nothing, and each role what it
 * is for. */
#include "tests/integration/kv_process.h"

#include "lab/scratch.h"
#include "net/users.h"

#define READER "reader-reader-reader"
#define WRITER "writer-writer-writer"
#define ADMIN "admin-admin-admin-admin"
#define NOAUTH "-NOAUTH Authentication required.\r\n"
#define NOPERM(word) "-NOPERM this user has no permissions to run the '" word "' command\r\n"
#define WRONGPASS "-WRONGPASS invalid username-password pair or user is disabled.\r\n"

static char address[32];
static char users_dir[LAB_SCRATCH_MAX];
static char users_path[LAB_SCRATCH_MAX + 8];
static struct kv_process process;
static uint16_t port;

static void add(struct net_users *users, const char *name, enum net_role role, const char *password)
{
    struct net_user *u = &users->users[users->count++];
    u->role = role;
    snprintf(u->name, sizeof(u->name), "%s", name);
    struct ts_bytes bytes = {(const uint8_t *)password, strlen(password)};
    assert_int_equal(net_user_set_password(u, bytes), TS_OK);
}

static int set_up(void **state)
{
    (void)state;
    static struct net_users users;
    add(&users, "r", NET_ROLE_READ, READER);
    add(&users, "w", NET_ROLE_WRITE, WRITER);
    add(&users, "default", NET_ROLE_ADMIN, ADMIN);
    assert_int_equal(lab_scratch_make("users", users_dir), TS_OK);
    snprintf(users_path, sizeof(users_path), "%s/users", users_dir);
    assert_int_equal(net_users_save(users_path, &users, NULL), TS_OK);
    process = kv_start_loopback(address, &port, (const char *const[]){"--users", users_path, NULL});
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    assert_int_equal(kv_stop(&process), 0);
    lab_scratch_remove(users_dir);
    return 0;
}

/* Goal: a stranger may log in, and nothing else; what it may send is little. */
static void test_stranger_may_only_log_in(void **state)
{
    (void)state;
    int fd = kv_connect(address, port);
    kv_expect(fd, "GET a\r\nPING\r\nMULTI\r\nSUBSCRIBE a\r\nINFO\r\nSENTINEL MASTERS\r\nEXEC\r\n",
              NOAUTH NOAUTH NOAUTH NOAUTH NOAUTH NOAUTH
              "-EXECABORT Transaction discarded because of: NOAUTH Authentication required.\r\n");
    kv_expect(fd,
              "GET\r\nFOO\r\nAUTH x\r\nAUTH r x\r\nAUTH nobody " READER "\r\nHELLO 2 AUTH r x\r\n",
              "-ERR wrong number of arguments for 'get' command\r\n"
              "-ERR unknown command 'FOO', with args beginning with: \r\n" WRONGPASS WRONGPASS
                  WRONGPASS WRONGPASS);
    kv_expect(fd, "HELLO 3\r\n",
              "-NOAUTH HELLO must be called with the client already authenticated, otherwise the "
              "HELLO AUTH <user> <pass> option can be used to authenticate the client and select "
              "the RESP protocol version at the same time\r\n");
    kv_expect(fd, "AUTH " ADMIN "\r\nPING\r\nRESET\r\nPING\r\n",
              "+OK\r\n+PONG\r\n+RESET\r\n" NOAUTH);
    kv_expect(fd, "*11\r\n",
              "-ERR Protocol error: request of 11 words exceeds the limit of 10 words\r\n");
    close(fd);
}

/* Goal: each role may what those before it may, and no more. */
static void test_roles_allow_what_they_are_for(void **state)
{
    (void)state;
    int fd = kv_connect(address, port);
    kv_expect(fd, "AUTH r " READER "\r\nGET a\r\nSET a 1\r\nPUBLISH a x\r\nFLUSHALL\r\n",
              "+OK\r\n$-1\r\n" NOPERM("set") NOPERM("publish") NOPERM("flushall"));
    kv_expect(fd, "MULTI\r\nGET a\r\nSET a 1\r\nEXEC\r\n",
              "+OK\r\n+QUEUED\r\n" NOPERM(
                  "set") "-EXECABORT Transaction discarded because of previous errors.\r\n");
    kv_expect(fd, "AUTH w " WRITER "\r\nSET a 1\r\nPUBLISH a x\r\nFLUSHALL\r\nCONFIG GET save\r\n",
              "+OK\r\n+OK\r\n:0\r\n" NOPERM("flushall") NOPERM("config|get"));
    kv_expect(fd, "MULTI\r\nAUTH r " READER "\r\nEXEC\r\n",
              "+OK\r\n-ERR Command not allowed inside a transaction\r\n"
              "-EXECABORT Transaction discarded because of previous errors.\r\n");
    kv_expect(fd, "AUTH r x\r\nSET a 2\r\n", WRONGPASS "+OK\r\n"); /* it stays who it was */
    kv_expect(fd, "AUTH default " ADMIN "\r\nFLUSHALL\r\n", "+OK\r\n+OK\r\n");
    close(fd);
}

/* Goal: the order of answers holds when a refusal stands between reads and writes. */
static void test_refusals_keep_their_place(void **state)
{
    (void)state;
    int fd = kv_connect(address, port);
    kv_expect(fd, "AUTH r " READER "\r\n", "+OK\r\n");
    kv_expect(fd, "GET k\r\nSET k 1\r\nTTL k\r\nDEL k\r\nGET k\r\nPING\r\n",
              "$-1\r\n" NOPERM("set") ":-2\r\n" NOPERM("del") "$-1\r\n+PONG\r\n");
    close(fd);
}

/* Goal: a session is its user's: who logs in as somebody else on a connection that is in one writes
 * nothing into it, since nobody could resume it as the one who wrote. */
static void test_session_is_left_with_its_user(void **state)
{
    (void)state;
    char got[256];
    int fd = kv_connect(address, port);
    kv_send(fd, "AUTH w " WRITER "\r\nSESSION.OPEN me\r\n", sizeof(WRITER) + 25);
    struct kv_replies r = {0};
    assert_true(kv_receive_replies(fd, &r, 2));
    assert_int_equal(sscanf(r.data, "+OK %*s %200s", got), 1);
    free(r.data);
    kv_expect(fd,
              "SET own 1\r\nAUTH w " WRITER "\r\nSET own 2\r\nAUTH default " ADMIN
              "\r\nSET own 3\r\nGET own\r\n",
              "+OK\r\n+OK\r\n+OK\r\n+OK\r\n"
              "-NOSESSION SESSION.OPEN or SESSION.RESUME has failed on this connection, or it has "
              "logged in as another user; not executed. Give one of them again, or RESET to go on "
              "without a session [no number]\r\n$1\r\n2\r\n");
    kv_expect(fd, "HELLO 2 AUTH w nonsense\r\nAUTH w " WRITER "\r\n", WRONGPASS "+OK\r\n");
    char resume[320];
    snprintf(resume, sizeof(resume), "SESSION.RESUME %s 1\r\nSET own 3\r\n", got);
    kv_expect(fd, resume, "*1\r\n+OK\r\n+OK\r\n");
    close(fd);
}

/* Goal: one user opens half of the sessions that there can be, and no more: the others have theirs.
 */
static void test_one_user_leaves_sessions_to_others(void **state)
{
    (void)state;
    uint16_t at = 0;
    struct kv_process kv = kv_start_loopback(
        address, &at,
        (const char *const[]){"--users", users_path, "--limits", "session-max=4", NULL});
    struct kv_replies r = {0};
    int fd = kv_connect(address, at);
    static const char one[] =
        "AUTH w " WRITER "\r\nSESSION.OPEN a\r\nSESSION.OPEN a\r\nSESSION.OPEN a\r\n";
    static const char other[] = "AUTH default " ADMIN "\r\nSESSION.OPEN a\r\n";
    kv_send(fd, one, strlen(one));
    assert_true(kv_receive_replies(fd, &r, 4));
    const char *last = strrchr(r.data, '-');
    assert_non_null(last);
    assert_string_equal(last, "-SESSIONFULL this user has 2 sessions, half of all that there can "
                              "be; SESSION.CLOSE those that are not needed, or try again in a "
                              "minute\r\n");
    free(r.data);
    memset(&r, 0, sizeof(r));
    kv_send(fd, other, strlen(other));
    assert_true(kv_receive_replies(fd, &r, 2));
    assert_null(strchr(r.data, '-'));
    free(r.data);
    close(fd);
    assert_int_equal(kv_stop(&kv), 0);
}

/* Goal: ACL tells who one is to everybody, the others to an administrator, and is no way to make
 * users. */
static void test_acl_tells_the_users(void **state)
{
    (void)state;
    int fd = kv_connect(address, port);
    kv_expect(fd, "ACL WHOAMI\r\n", NOAUTH);
    kv_expect(fd, "AUTH r " READER "\r\nACL WHOAMI\r\nACL LIST\r\nACL SETUSER x on\r\n",
              "+OK\r\n$1\r\nr\r\n" NOPERM("acl|list") NOPERM("acl|setuser"));
    kv_expect(fd, "SENTINEL RESET x\r\nACL CAT bitmap\r\n",
              NOPERM("sentinel|reset") "*2\r\n$6\r\nsetbit\r\n$6\r\ngetbit\r\n");
    kv_expect(
        fd, "AUTH default " ADMIN "\r\nACL WHOAMI\r\nACL USERS\r\nACL GETUSER w\r\n",
        "+OK\r\n$7\r\ndefault\r\n*3\r\n$1\r\nr\r\n$1\r\nw\r\n$7\r\ndefault\r\n"
        "*12\r\n$5\r\nflags\r\n*1\r\n$2\r\non\r\n$9\r\npasswords\r\n*0\r\n"
        "$8\r\ncommands\r\n$56\r\n+@all -flushall -flushdb -config -@admin +role +sentinel\r\n"
        "$4\r\nkeys\r\n$2\r\n~*\r\n$8\r\nchannels\r\n$2\r\n&*\r\n"
        "$9\r\nselectors\r\n*0\r\n");
    kv_expect(fd,
              "ACL DRYRUN r set a b\r\nACL DRYRUN r get a\r\nACL DRYRUN w flushall\r\n"
              "ACL DRYRUN w acl list\r\nACL DRYRUN default acl list\r\nACL DRYRUN w GET\r\n",
              "$53\r\nThis user has no permissions to run the 'set' command\r\n+OK\r\n"
              "$58\r\nThis user has no permissions to run the 'flushall' command\r\n"
              "$58\r\nThis user has no permissions to run the 'acl|list' command\r\n+OK\r\n"
              "-ERR wrong number of arguments for 'get' command\r\n");
    kv_expect(fd, "ACL SETUSER x on\r\n",
              "-ERR users are not made by clients: the operator says `twinstep user add NAME "
              "--role ROLE`, on the machine of a NIC\r\n");
    close(fd);
}

static bool is_closed(int fd)
{
    char byte;
    struct pollfd p = {.fd = fd, .events = POLLIN};
    return poll(&p, 1, 10000) == 1 && recv(fd, &byte, 1, 0) <= 0;
}

/* Goal: who does not say who it is has a connection for a while only, and whoever comes when all
 * are taken has the place of the oldest of these; who said it keeps it. */
static void test_strangers_are_sent_away(void **state)
{
    (void)state;
    char own[32];
    uint16_t own_port;
    kv_address(own, 7);
    struct kv_process p =
        kv_start_loopback(own, &own_port,
                          (const char *const[]){"--users", users_path, "--stranger-ms", "300",
                                                "--clients", "3", NULL});
    int known = kv_connect(own, own_port);
    kv_expect(known, "AUTH w " WRITER "\r\n", "+OK\r\n");
    int stranger = kv_connect(own, own_port);
    kv_expect(stranger, "PING\r\n", NOAUTH);
    assert_true(is_closed(stranger));
    close(stranger);
    int leaves = kv_connect(own, own_port);
    kv_expect(leaves, "AUTH w " WRITER "\r\nRESET\r\n", "+OK\r\n+RESET\r\n");
    assert_true(is_closed(leaves));
    close(leaves);
    int many[4];
    for (int i = 0; i < 4; i++) {
        many[i] = kv_connect(own, own_port);
        kv_expect(many[i], "PING\r\n", NOAUTH);
    }
    assert_true(is_closed(many[0]) && is_closed(many[1]));
    kv_expect(many[3], "AUTH w " WRITER "\r\n", "+OK\r\n");
    assert_true(is_closed(many[2]));
    kv_expect(known, "PING\r\n", "+PONG\r\n");
    kv_expect(many[3], "PING\r\n", "+PONG\r\n");
    for (int i = 0; i < 4; i++) {
        close(many[i]);
    }
    struct kv_replies info = {0};
    kv_send(known, "INFO STATS\r\n", 12);
    assert_true(kv_receive_replies(known, &info, 1));
    assert_non_null(strstr(info.data, "closed_strangers:5\r"));
    free(info.data);
    close(known);
    assert_int_equal(kv_stop(&p), 0);
}

/* Goal: redis-cli logs in with a user's name and password, in both protocols. */
static void test_redis_cli_logs_in(void **state)
{
    (void)state;
    static const char *const protocols[] = {"-2", "-3"};
    char text[16];
    snprintf(text, sizeof(text), "%u", port);
    for (size_t i = 0; i < 2; i++) {
        const char *const argv[] = {"redis-cli", protocols[i], "--no-auth-warning",
                                    "-h",        address,      "-p",
                                    text,        "--user",     "w",
                                    "--pass",    WRITER,       "INCR",
                                    "n",         NULL};
        struct kv_process p = kv_start(argv);
        char out[256] = "";
        assert_non_null(fgets(out, sizeof(out), p.out));
        assert_string_equal(out, i == 0 ? "1\n" : "2\n");
        int status = 0;
        fclose(p.out);
        assert_int_equal(waitpid(p.pid, &status, 0), p.pid);
        assert_int_equal(status, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stranger_may_only_log_in),
        cmocka_unit_test(test_roles_allow_what_they_are_for),
        cmocka_unit_test(test_refusals_keep_their_place),
        cmocka_unit_test(test_session_is_left_with_its_user),
        cmocka_unit_test(test_one_user_leaves_sessions_to_others),
        cmocka_unit_test(test_acl_tells_the_users),
        cmocka_unit_test(test_strangers_are_sent_away),
        cmocka_unit_test(test_redis_cli_logs_in),
    };
    kv_address(address, 5);
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
