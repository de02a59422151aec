/* SESSION.*: what a client that lost its connection finds out, and what it cannot do twice. */
#include "tests/integration/kv_process.h"

static char address[32];
static struct kv_process process;
static uint16_t port;

/* What follows a refused write of a session is told. */
#define GAP \
    "-SESSIONGAP an earlier write was refused; this one was not executed either. SESSION.NEXT n, " \
    "then send both again [no number]\r\n"

static int set_up(void **state)
{
    (void)state;
    kv_address(address, 5);
    process = kv_start_loopback(
        address, &port, (const char *const[]){"--limits", "session-max=20 session-window=5", NULL});
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    assert_int_equal(kv_stop(&process), 0);
    return 0;
}

/* Opens a session on a connection; its id. */
static void open_session(int fd, char id[128])
{
    struct kv_replies r = {0};
    kv_send(fd, "SESSION.OPEN me\r\n", 17);
    assert_true(kv_receive_replies(fd, &r, 1));
    int n = sscanf(r.data, "$%*d %127s", id);
    assert_int_equal(n, 1);
    assert_int_equal(strncmp(id, "me#", 3), 0);
    free(r.data);
}

static void expect_resume(int fd, const char *id, unsigned n, const char *reply)
{
    char text[256];
    snprintf(text, sizeof(text), "SESSION.RESUME %s %u\r\n", id, n);
    kv_expect(fd, text, reply);
}

/* Goal: RESUME gives the replies after n in order, as they were; writes are counted, reads are not,
 * nor what is refused; the old connection's writes are refused from then on. */
static void test_resume_gives_what_was_missed(void **state)
{
    (void)state;
    char id[128];
    int old = kv_connect(address, port);
    int new = kv_connect(address, port);
    open_session(old, id);
    kv_expect(old, "SET r 5\r\nINCR r\r\nGET r\r\nTTL r\r\nGET\r\nINCR r\r\n",
              "+OK\r\n:6\r\n$1\r\n6\r\n:-1\r\n"
              "-ERR wrong number of arguments for 'get' command\r\n:7\r\n");
    expect_resume(new, id, 1, "*2\r\n:6\r\n:7\r\n");
    kv_expect(new, "INCR r\r\n", ":8\r\n");
    kv_expect(old, "INCR r\r\nGET r\r\nSESSION.ACK 1\r\n",
              "-OLDCONNECTION this session was resumed on another connection; not executed [no "
              "number]\r\n"
              "$1\r\n8\r\n"
              "-OLDCONNECTION this session was resumed on another connection; not executed\r\n");
    expect_resume(old, id, 4, "*0\r\n");
    expect_resume(old, id, 5, "-SESSIONAHEAD the newest reply of this session is number 4\r\n");
    close(old);
    close(new);
}

/* Goal: a write that is refused before it is ordered leaves a gap: what was pipelined behind it is
 * refused, too, until the client says which number comes next, or resumes. An error to a write that
 * used no number says so, and no other does. */
static void test_refused_write_leaves_a_gap(void **state)
{
    (void)state;
    char id[128];
    int fd = kv_connect(address, port);
    open_session(fd, id);
    kv_expect(fd, "SESSION.CLOSE\r\nSET g\r\nSET g 0\r\n",
              "+OK\r\n-ERR wrong number of arguments for 'set' command\r\n+OK\r\n");
    open_session(fd, id);
    kv_expect(fd,
              "SET g 1\r\nSET g\r\nINCR g\r\nGET\r\nGET g\r\nSESSION.ACK 1\r\nINCR\r\nINCR g\r\n"
              "SESSION.NEXT 3\r\nINCR g\r\nSESSION.NEXT 2\r\nINCR g\r\n",
              "+OK\r\n-ERR wrong number of arguments for 'set' command [no number]\r\n" GAP
              "-ERR wrong number of arguments for 'get' command\r\n$1\r\n1\r\n+OK\r\n"
              "-ERR wrong number of arguments for 'incr' command [no number]\r\n" GAP
              "-ERR the next write can have a number from 1 to 2\r\n" GAP "+OK\r\n:2\r\n");
    /* To its client an unknown command may be a write. What apply refuses has used its number. */
    kv_expect(fd, "SET g 1 NONSENSE\r\nLPOP g\r\nGETDEL g\r\n",
              "-ERR syntax error\r\n"
              "-ERR unknown command 'LPOP', with args beginning with: 'g'  [no number]\r\n" GAP);
    /* Within a transaction only EXEC counts. */
    kv_expect(fd,
              "SESSION.NEXT 4\r\nMULTI\r\nSET g\r\nEXEC\r\nINCR g\r\nMULTI\r\nINCR g\r\nEXEC\r\n",
              "+OK\r\n+OK\r\n-ERR wrong number of arguments for 'set' command\r\n"
              "-EXECABORT Transaction discarded because of previous errors. [no number]\r\n" GAP
              "+OK\r\n+QUEUED\r\n" GAP);
    expect_resume(fd, id, 1, "*2\r\n:2\r\n-ERR syntax error\r\n");
    kv_expect(fd, "INCR g\r\n", ":3\r\n");
    /* Outside of a session nothing of that. */
    kv_expect(fd, "INCR\r\nSESSION.CLOSE\r\nSET g\r\nINCR g\r\n",
              "-ERR wrong number of arguments for 'incr' command [no number]\r\n+OK\r\n"
              "-ERR wrong number of arguments for 'set' command\r\n:4\r\n");
    close(fd);
}

/* Goal: the same when there is no room: what needs none does not go in the refused one's place. */
static void test_full_disk_leaves_a_gap(void **state)
{
    (void)state;
    uint16_t at = 0;
    char id[128];
    struct kv_process full =
        kv_start_loopback(address, &at, (const char *const[]){"--full", "no room", NULL});
    int fd = kv_connect(address, at);
    open_session(fd, id);
    kv_expect(fd, "SET out v\r\nGETDEL q\r\n", "-OOM no room [no number]\r\n" GAP);
    expect_resume(fd, id, 0, "*0\r\n");
    kv_expect(fd, "GETDEL q\r\n", "$-1\r\n");
    close(fd);
    assert_int_equal(kv_stop(&full), 0);
}

/* Goal: a session that has nothing to acknowledge is told that it must wait for others. */
static void test_full_by_others_says_so(void **state)
{
    (void)state;
    uint16_t at = 0;
    char id[128];
    struct kv_process kv = kv_start_loopback(
        address, &at, (const char *const[]){"--limits", "session-total-bytes=30", NULL});
    int a = kv_connect(address, at);
    int b = kv_connect(address, at);
    open_session(a, id);
    open_session(b, id);
    kv_expect(a, "SET t 1\r\n", "+OK\r\n");
    kv_expect(b, "INCR t\r\n",
              "-SESSIONFULL all sessions together keep too many replies; not executed. SESSION.ACK "
              "n, or wait for others to do so when all of this one's are acknowledged; then "
              "SESSION.NEXT n and send it again [no number]\r\n");
    kv_expect(a, "SESSION.ACK 1\r\n", "+OK\r\n");
    kv_expect(b, "SESSION.NEXT 1\r\nINCR t\r\n", "+OK\r\n:2\r\n");
    close(a);
    close(b);
    assert_int_equal(kv_stop(&kv), 0);
}

/* Goal: NEXT has the same writes sent again answered as they were; others under their numbers are
 * refused. */
static void test_next_answers_again(void **state)
{
    (void)state;
    char id[128];
    int fd = kv_connect(address, port);
    open_session(fd, id);
    kv_expect(fd, "SET n 1\r\nINCR n\r\nSESSION.NEXT 1\r\nSET n 1\r\nINCR n\r\nINCR n\r\n",
              "+OK\r\n:2\r\n+OK\r\n+OK\r\n:2\r\n:3\r\n");
    kv_expect(
        fd, "SESSION.NEXT 2\r\nDECR n\r\nINCR n\r\nGET n\r\nSESSION.NEXT 5\r\n",
        "+OK\r\n-SESSIONCHANGED this one was not executed; the first one under number 2, which was "
        "another, was\r\n"
        ":3\r\n$1\r\n3\r\n-ERR the next write can have a number from 1 to 4\r\n");
    close(fd);
}

/* Goal: what follows a refused write in a pipeline is not executed either, and an ACK makes room
 * again. */
static void test_full_window_refuses_until_ack(void **state)
{
    (void)state;
    static const char full[] = "-SESSIONFULL too many replies after number 0 are not acknowledged; "
                               "not executed. SESSION.ACK n and SESSION.NEXT n, then send it "
                               "again [no number]\r\n";
    char id[128];
    int fd = kv_connect(address, port);
    open_session(fd, id);
    kv_expect(fd, "SET f 0\r\nINCR f\r\nINCR f\r\nINCR f\r\nINCR f\r\n",
              "+OK\r\n:1\r\n:2\r\n:3\r\n:4\r\n");
    /* Two in one turn; how they are refused is told by the table, since both are in the log. */
    kv_send(fd, "INCR f\r\nINCR f\r\n", 16);
    struct kv_replies r = {0};
    assert_true(kv_receive_replies(fd, &r, 2));
    assert_int_equal(strncmp(r.data, full, strlen(full)), 0);
    free(r.data);
    kv_expect(fd,
              "SESSION.ACK 3\r\nINCR f\r\nSESSION.NEXT 6\r\nINCR f\r\nGET f\r\nSESSION.ACK 9\r\n",
              "+OK\r\n" GAP
              "+OK\r\n:5\r\n$1\r\n5\r\n-SESSIONAHEAD the newest reply of this session is number "
              "6\r\n");
    /* What was acknowledged cannot be answered again. */
    kv_expect(
        fd, "SESSION.NEXT 3\r\nINCR f\r\n",
        "+OK\r\n-SESSIONACKED what has this number was executed; the replies up to number 3 were "
        "acknowledged and are not kept\r\n");
    expect_resume(
        fd, id, 2,
        "-SESSIONACKED the replies up to number 3 were acknowledged and are not kept\r\n");
    close(fd);
}

/* Goal: a transaction is one write of the session; SESSION.* are no part of one. */
static void test_transaction_is_one_write(void **state)
{
    (void)state;
    char id[128];
    int fd = kv_connect(address, port);
    open_session(fd, id);
    kv_expect(fd, "WATCH t\r\nMULTI\r\nSET t 1\r\nINCR t\r\nEXEC\r\nINCR t\r\n",
              "+OK\r\n+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n+OK\r\n:2\r\n:3\r\n");
    kv_expect(fd, "MULTI\r\nSESSION.CLOSE\r\nEXEC\r\n",
              "+OK\r\n-ERR Command not allowed inside a transaction\r\n"
              "-EXECABORT Transaction discarded because of previous errors. [no number]\r\n");
    expect_resume(fd, id, 0, "*2\r\n*2\r\n+OK\r\n:2\r\n:3\r\n");
    close(fd);
}

/* Goal: when OPEN or RESUME fails, writes behind it are not executed outside of any session. */
static void test_failed_resume_refuses_writes(void **state)
{
    (void)state;
    static const char lost[] = "-NOSESSION SESSION.OPEN or SESSION.RESUME has failed on this "
                               "connection, or it has logged in as another user; not executed. "
                               "Give one of them again, or RESET to go on without a session [no "
                               "number]\r\n";
    char id[128];
    char want[2048];
    int fd = kv_connect(address, port);
    snprintf(want, sizeof(want),
             "-NOSESSION there is no session of this id and name here; not executed. SESSION.OPEN "
             "name makes one\r\n%s$-1\r\n+OK\r\n+QUEUED\r\n%s",
             lost, lost);
    kv_expect(fd,
              "SESSION.RESUME me#999999999999999999 0\r\nSET l 1\r\nGET l\r\nMULTI\r\nSET l 1\r\n"
              "EXEC\r\n",
              want);
    snprintf(want, sizeof(want),
             "-ERR a session's name has 1 to 63 printable characters, no blank and no #\r\n%s"
             "+RESET\r\n+OK\r\n",
             lost);
    kv_expect(fd, "SESSION.OPEN a#b\r\nSET l 1\r\nRESET\r\nSET l 2\r\n", want);
    open_session(fd, id);
    kv_expect(fd, "SESSION.CLOSE\r\nINCR l\r\nSESSION.ACK 0\r\n",
              "+OK\r\n:3\r\n-NOSESSION this connection is in no session: SESSION.OPEN name\r\n");
    expect_resume(fd, id, 0,
                  "-NOSESSION this session has ended: it was closed, or not used for too long; not "
                  "executed. SESSION.OPEN name makes another one\r\n");
    close(fd);
}

/* Goal: what another NIC says of a connection that it passes on is believed no further than the log
 * does; a connection that is in a session stays in its own. */
static void test_carried_connection_is_judged_by_the_log(void **state)
{
    (void)state;
    char id[128];
    int fd = kv_connect(address, port);
    kv_expect(
        fd,
        "SESSION.CARRY x 1 1\r\nSESSION.CARRY 0 1 1\r\nMULTI\r\nSESSION.CARRY 5 1 1\r\n"
        "DISCARD\r\nSESSION.CARRY 5 1 1\r\nSET c 1\r\nGET c\r\nSESSION.CARRY 6 1 1\r\nRESET\r\n",
        "-ERR value is not an integer or out of range\r\n"
        "-ERR value is not an integer or out of range\r\n+OK\r\n"
        "-ERR Command not allowed inside a transaction\r\n+OK\r\n+OK\r\n"
        "-NOSESSION this session has ended: it was closed, or not used for too long; not "
        "executed. SESSION.OPEN name makes another one [no number]\r\n$-1\r\n"
        "-ERR SESSION.CARRY is for a NIC that passes a connection on: give SESSION.RESUME\r\n"
        "+RESET\r\n");
    open_session(fd, id);
    kv_expect(fd, "SET c 1\r\n", "+OK\r\n");
    close(fd);
}

/* Goal: INFO tells the sessions that there are, and what is kept for them. */
static void test_info_tells_the_sessions(void **state)
{
    (void)state;
    static const char *const fields[] = {
        "# Sessions",
        "twinstep_sessions:1\r\n",
        "twinstep_sessions_max:8192\r\n",
        "twinstep_sessions_evicted:0\r\n",
        "twinstep_sessions_refused:0\r\n",
        "twinstep_sessions_opened:2\r\n",
        "twinstep_sessions_resumed:1\r\n",
    };
    uint16_t own_port = 0;
    char own_address[32];
    char id[128];
    kv_address(own_address, 14);
    struct kv_process kv = kv_start_loopback(own_address, &own_port, NULL);
    int fd = kv_connect(own_address, own_port);
    open_session(fd, id);
    kv_expect(fd, "SESSION.CLOSE\r\n", "+OK\r\n");
    open_session(fd, id);
    kv_expect(fd, "SET a 1\r\n", "+OK\r\n");
    expect_resume(fd, id, 0, "*1\r\n+OK\r\n");
    struct kv_replies r = {0};
    kv_send(fd, "INFO sessions\r\n", 15);
    assert_true(kv_receive_replies(fd, &r, 1));
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
        if (strstr(r.data, fields[i]) == NULL) {
            fail_msg("%s is missing in %s", fields[i], r.data);
        }
    }
    assert_null(strstr(r.data, "twinstep_session_reply_bytes:0\r\n"));
    free(r.data);
    close(fd);
    assert_int_equal(kv_stop(&kv), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_resume_gives_what_was_missed),
        cmocka_unit_test(test_refused_write_leaves_a_gap),
        cmocka_unit_test(test_full_disk_leaves_a_gap),
        cmocka_unit_test(test_full_by_others_says_so),
        cmocka_unit_test(test_next_answers_again),
        cmocka_unit_test(test_full_window_refuses_until_ack),
        cmocka_unit_test(test_transaction_is_one_write),
        cmocka_unit_test(test_failed_resume_refuses_writes),
        cmocka_unit_test(test_carried_connection_is_judged_by_the_log),
        cmocka_unit_test(test_info_tells_the_sessions),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
