/* The front-end and its owner, in one process: who answers what when the role is lost, when a
 * submission is refused or comes back busy, and when clients leave in between (R2.8). */
#include "tests/integration/resp_owner.h"

/* Goal: what is in the log when the role goes is closed, never answered with an error; late
 * replies are dropped. What only waits for a read round is told. */
static void test_role_lost_closes_only_what_is_in_the_log(void **state)
{
    struct owner *o = *state;
    int writer = client(o);
    int reader = client(o);
    int idle = client(o);
    say(writer, "SET a 1\r\nPING\r\n");
    say(reader, "GET a\r\n");
    UNTIL(o, o->taken == 1 && o->rounds == 1);
    set_role(o, FRONT_ROLE_SECONDARY);
    expect(o, reader, "-READONLY primary is 10.0.0.1:6379\r\n");
    resp_server_close_unanswered(o->server);
    expect_closed(o, writer);
    assert_int_equal(stats_of(o).closed_unanswered, 1);
    assert_int_equal(stats_of(o).unanswered, 0);
    resp_server_reply(o->server, o->tokens[0], (struct ts_bytes){(const uint8_t *)"+OK\r\n", 5});
    resp_server_read_ready(o->server, 1);
    say(idle, "PING\r\n");
    expect(o, idle, "+PONG\r\n");
    /* The next life of the role starts clean. */
    set_role(o, FRONT_ROLE_PRIMARY);
    o->answered = o->taken;
    say(idle, "SET b 2\r\n");
    UNTIL(o, o->taken == 2);
    assert_true(o->tokens[1] > o->tokens[0]);
    answer_one(o);
    expect(o, idle, "+OK\r\n");
    close(reader);
    close(idle);
}

/* Goal: what is not in the log yet is answered with the error, in order with local replies;
 * a connection with older commands in the log is closed instead. */
static void test_role_lost_refuses_what_is_not_in_the_log(void **state)
{
    struct owner *o = *state;
    int fresh = client(o);
    int mixed = client(o);
    say(mixed, "INCR n\r\n");
    UNTIL(o, o->taken == 1);
    o->submit_result = TS_ERR_BUSY;
    uint64_t before = stats_of(o).commands;
    say(fresh, "SET a 1\r\nPING\r\nSET b 1\r\n");
    say(mixed, "INCR n\r\n");
    UNTIL(o, stats_of(o).commands == before + 4);
    set_role(o, FRONT_ROLE_SECONDARY);
    expect(o, fresh,
           "-READONLY primary is 10.0.0.1:6379\r\n+PONG\r\n-READONLY primary is "
           "10.0.0.1:6379\r\n");
    expect_closed(o, mixed);
    answer_one(o);
    assert_int_equal(stats_of(o).unanswered, 0);
    close(fresh);
}

/* Goal: while the owner takes over, state commands wait, with what follows them on the connection,
 * inline and not; local ones before them are answered. Then they are taken, or refused. */
static void test_taking_over_holds_commands(void **state)
{
    struct owner *o = *state;
    int array = client(o);
    int inlined = client(o);
    int other = client(o);
    set_role(o, FRONT_ROLE_TAKING_OVER);
    say(array, "*1\r\n$4\r\nPING\r\n*2\r\n$4\r\nINCR\r\n$1\r\nn\r\n*1\r\n$4\r\nPING\r\n");
    expect(o, array, "+PONG\r\n");
    say(inlined, "INCR n\r\n");
    say(inlined, "PING\r\n");
    say(other, "*1\r\n$4\r\nPING\r\n");
    expect(o, other, "+PONG\r\n");
    assert_int_equal(o->taken, 0);
    assert_false(resp_server_has_work(o->server)); /* no spinning meanwhile */
    set_role(o, FRONT_ROLE_PRIMARY);
    UNTIL(o, o->taken == 2);
    answer_one(o);
    answer_one(o);
    expect(o, array, ":1\r\n+PONG\r\n");
    expect(o, inlined, ":2\r\n+PONG\r\n");
    set_role(o, FRONT_ROLE_TAKING_OVER);
    say(array, "INCR n\r\n");
    say(other, "*1\r\n$4\r\nPING\r\n");
    expect(o, other, "+PONG\r\n");
    close(inlined); /* a client that leaves while it waits */
    set_role(o, FRONT_ROLE_SECONDARY);
    expect(o, array, "-READONLY primary is 10.0.0.1:6379\r\n");
    assert_int_equal(o->taken, 2);
    close(array);
    close(other);
}

/* Goal: a busy owner gets the same commands again, in the same order, with the same tokens. */
static void test_busy_submission_is_kept(void **state)
{
    struct owner *o = *state;
    int fd = client(o);
    o->submit_result = TS_ERR_BUSY;
    say(fd, "INCR n\r\nINCR n\r\n");
    uint64_t before = stats_of(o).commands;
    UNTIL(o, stats_of(o).commands == before + 2);
    assert_int_equal(stats_of(o).submitted, 0);
    assert_false(resp_server_has_work(o->server)); /* no spinning meanwhile */
    o->submit_result = TS_OK;
    resp_server_resume(o->server);
    assert_true(resp_server_has_work(o->server));
    say(fd, "INCR n\r\n");
    UNTIL(o, o->taken == 3);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(o->tokens[i], o->tokens[0] + (uint64_t)i);
        answer_one(o);
    }
    expect(o, fd, ":1\r\n:2\r\n:3\r\n");
    close(fd);
}

/* Goal: an owner that refuses for good, or loses its role within the call, or answers within it. */
static void test_owner_may_refuse_or_answer_within_submit(void **state)
{
    struct owner *o = *state;
    int fd = client(o);
    o->submit_result = TS_ERR_REFUSED;
    say(fd, "INCR n\r\nINCR n\r\n");
    expect(o, fd,
           "-CLUSTERDOWN the primary takes no requests now; try again\r\n"
           "-CLUSTERDOWN the primary takes no requests now; try again\r\n");
    o->read_result = TS_ERR_REFUSED;
    say(fd, "GET n\r\n");
    expect(o, fd, "-CLUSTERDOWN the primary takes no requests now; try again\r\n");
    o->submit_result = TS_OK;
    o->answer_in_submit = true;
    say(fd, "INCR n\r\nPING\r\n");
    expect(o, fd, ":1\r\n+PONG\r\n");
    o->answer_in_submit = false;
    o->submit_result = TS_ERR_REFUSED;
    o->lose_role_in_submit = true;
    say(fd, "INCR n\r\n");
    expect(o, fd, "-READONLY primary is 10.0.0.1:6379\r\n");
    close(fd);
}

/* Goal: an owner that finds its disk full is not told to clients as one that is down, whether it
 * says more of that within the call or only later; reads go on. */
static void test_want_of_room_is_told_as_such(void **state)
{
    struct owner *o = *state;
    int fd = client(o);
    o->submit_result = TS_ERR_NOSPACE;
    say(fd, "SET n 1\r\n");
    expect(o, fd, "-OOM there is no room on the disk now; remove keys\r\n");
    o->full_in_submit = "the disk of nic1 has 2 MiB left";
    say(fd, "SET n 1\r\n");
    expect(o, fd, "-OOM the disk of nic1 has 2 MiB left\r\n");
    say(fd, "DEL n\r\n");
    expect(o, fd, "-OOM the disk of nic1 has 2 MiB left\r\n");
    say(fd, "GET n\r\n");
    UNTIL(o, o->rounds == 1);
    resp_server_read_ready(o->server, 1);
    expect(o, fd, "$-1\r\n");
    close(fd);
}

/* Goal: a session's write that was refused before it was ordered has not used up its number, and
 * none follows it before the client says so; one that is sent behind an OPEN waits for the number.
 */
static void test_refused_write_keeps_its_number(void **state)
{
    struct owner *o = *state;
    int fd = client(o);
    o->answer_in_submit = true;
    say(fd, "SESSION.OPEN me\r\nINCR n\r\n");
    expect(o, fd, "$8\r\nme#65536\r\n:1\r\n");
    o->submit_result = TS_ERR_REFUSED;
    say(fd, "INCR n\r\nINCR n\r\n");
    expect(o, fd,
           "-CLUSTERDOWN the primary takes no requests now; try again [no number]\r\n"
           "-CLUSTERDOWN the primary takes no requests now; try again [no number]\r\n");
    o->submit_result = TS_OK;
    say(fd, "INCR n\r\nSESSION.NEXT 2\r\nINCR n\r\nINCR n\r\n");
    expect(o, fd,
           "-SESSIONGAP an earlier write was refused; this one was not executed either. "
           "SESSION.NEXT n, then send both again [no number]\r\n+OK\r\n:2\r\n:3\r\n");
    set_role(o, FRONT_ROLE_SECONDARY);
    say(fd, "INCR n\r\nSESSION.RESUME me#65536 0\r\n");
    expect(o, fd,
           "-READONLY primary is 10.0.0.1:6379 [no number]\r\n"
           "-READONLY primary is 10.0.0.1:6379\r\n");
    set_role(o, FRONT_ROLE_PRIMARY);
    say(fd, "SESSION.RESUME me#65536 1\r\nINCR n\r\n");
    expect(o, fd, "*2\r\n:2\r\n:3\r\n:4\r\n");
    close(fd);
}

/* Goal: commands that copy much for few words are not all in one commit: none holds up everybody.
 */
static void test_copies_come_in_pieces(void **state)
{
    static const char *const commands[] = {"COPY v w REPLACE\r\n", "SETRANGE x 499999 a\r\n",
                                           "SETBIT y 3999999 1\r\n"};
    static const char *const answers[] = {":1\r\n", ":500000\r\n", NULL};
    enum { COUNT = 20 };
    struct owner *o = *state;
    int fd = client(o);
    o->answer_in_submit = true;
    say(fd, "SETRANGE v 499999 a\r\n");
    expect(o, fd, ":500000\r\n");
    o->answer_in_submit = false;
    for (size_t which = 0; which < 3; which++) {
        char request[COUNT * 32] = "";
        size_t from = o->taken;
        size_t len = 0;
        for (int i = 0; i < COUNT; i++) {
            len += (size_t)snprintf(request + len, sizeof(request) - len, "%s", commands[which]);
        }
        say(fd, request);
        UNTIL(o, o->taken > from);
        assert_true(o->taken - from > 8 && o->taken - from < COUNT);
        for (int i = 0; i < COUNT; i++) {
            const char *answer = answers[which] != NULL ? answers[which]
                                 : i == 0               ? ":0\r\n"
                                                        : ":1\r\n";
            UNTIL(o, o->taken > o->answered);
            answer_one(o);
            expect(o, fd, answer);
        }
    }
    close(fd);
}

/* Goal: clients that leave take nothing along: their commands are answered into the void. */
static void test_left_client_is_answered_into_the_void(void **state)
{
    struct owner *o = *state;
    int left = client(o);
    int stays = client(o);
    say(left, "INCR n\r\n");
    UNTIL(o, o->taken == 1);
    struct linger now = {.l_onoff = 1};
    setsockopt(left, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    close(left); /* a reset */
    UNTIL(o, stats_of(o).clients == 1);
    int next = client(o); /* may take the left one's place */
    say(stays, "INCR n\r\n");
    UNTIL(o, o->taken == 2);
    answer_one(o);
    answer_one(o);
    expect(o, stays, ":2\r\n");
    say(next, "PING\r\n");
    expect(o, next, "+PONG\r\n");
    close(stays);
    close(next);
}

/* Goal: a read behind an unanswered write is ordered; one without waits for a round, and what
 * follows it waits too. */
static void test_reads_keep_program_order(void **state)
{
    struct owner *o = *state;
    int fd = client(o);
    say(fd, "SET a 1\r\nGET a\r\n");
    UNTIL(o, o->taken == 2);
    assert_int_equal(o->rounds, 0);
    answer_one(o);
    answer_one(o);
    expect(o, fd, "+OK\r\n$1\r\n1\r\n");
    say(fd, "*2\r\n$3\r\nGET\r\n$1\r\na\r\n*2\r\n$6\r\nSTRLEN\r\n$1\r\na\r\n"
            "SET a 22\r\nGET a\r\nPTTL a\r\n");
    UNTIL(o, o->rounds == 1);
    for (int i = 0; i < 5; i++) {
        turn(o);
    }
    assert_int_equal(o->taken, 2);
    resp_server_read_ready(o->server, 1);
    expect(o, fd, "$1\r\n1\r\n:1\r\n");
    UNTIL(o, o->taken == 5);
    for (int i = 0; i < 3; i++) {
        answer_one(o);
    }
    expect(o, fd, "+OK\r\n$2\r\n22\r\n:-1\r\n");
    assert_int_equal(o->rounds, 1);
    close(fd);
}

#define SLOW_READS 256

/* Goal: reads that take long are answered over several turns, however short their answers are. */
static void test_slow_reads_end_with_their_turn(void **state)
{
    struct owner *o = *state;
    int fd = client(o);
    char line[1100] = "SET a ";
    memset(line + 6, 'x', 1000);
    memcpy(line + 1006, "\r\n", 3);
    say(fd, line);
    UNTIL(o, o->taken == 1);
    answer_one(o);
    expect(o, fd, "+OK\r\n");
    char reads[SLOW_READS * 13 + 1] = "";
    char replies[SLOW_READS * 7];
    for (size_t i = 0; i < SLOW_READS; i++) {
        memcpy(reads + i * 13, "LCS a a LEN\r\n", 14);
        memcpy(replies + i * 7, ":1000\r\n", 7);
    }
    say(fd, reads);
    UNTIL(o, o->rounds == 1);
    uint64_t turns = 0;
    do {
        resp_server_read_ready(o->server, o->rounds);
        turn(o);
        turns++;
    } while (stats_of(o).reads < SLOW_READS);
    assert_true(turns > 2);
    char got[sizeof(replies)];
    size_t n = 0;
    while (n < sizeof(got)) {
        ssize_t more = recv(fd, got + n, sizeof(got) - n, MSG_DONTWAIT);
        n += more > 0 ? (size_t)more : 0;
        turn(o);
    }
    assert_memory_equal(got, replies, sizeof(got));
    close(fd);
}

static void set_primary(struct owner *o, enum front_role role, const char *primary)
{
    struct front_status st = {.role = role, .self = "10.0.0.1:6379", .group = "kv"};
    snprintf(st.primary, sizeof(st.primary), "%s", primary);
    resp_server_set_status(o->server, &st);
}

static int subscribe(struct owner *o, int fd, const char *name)
{
    char text[128];
    snprintf(text, sizeof(text), "SUBSCRIBE %s\r\n", name);
    say(fd, text);
    snprintf(text, sizeof(text), "*3\r\n$9\r\nsubscribe\r\n$%zu\r\n%s\r\n:1\r\n", strlen(name),
             name);
    expect(o, fd, text);
    return fd;
}

#define SWITCHED(from, to) \
    "$14\r\n+switch-master\r\n$30\r\nkv 10.0.0." from " 6379 10.0.0." to " 6379\r\n"
#define MESSAGE(text) "*3\r\n$7\r\nmessage\r\n" text

/* Goal: subscribers learn of a new primary, once, also when none was known in between. */
static void test_switch_of_primary_is_published(void **state)
{
    struct owner *o = *state;
    static const char *const primaries[] = {"10.0.0.2:6379", "10.0.0.2:6379", "", "10.0.0.3:6379",
                                            "10.0.0.3:6379"};
    int fd = subscribe(o, client(o), "+switch-master");
    for (size_t i = 0; i < sizeof(primaries) / sizeof(primaries[0]); i++) {
        set_primary(o, FRONT_ROLE_UNAVAILABLE, primaries[i]);
    }
    say(fd, "PING\r\n");
    expect(o, fd, MESSAGE(SWITCHED("2", "3")) "*2\r\n$4\r\npong\r\n$0\r\n\r\n");
    close(fd);
}

/* Goal: what is published from a handoff on does not come here: who listens is told of it, and
 * closed. Who only waits for word of the primary gets that, and stays; so does who came by the
 * address that goes, until it has gone; so do those that listen to a NIC that was no primary. */
static void test_handoff_closes_subscribers(void **state)
{
    struct owner *o = *state;
    set_primary(o, FRONT_ROLE_PRIMARY, "10.0.0.1:6379");
    int plain = client(o);
    int news = subscribe(o, client(o), "news");
    int all = client(o);
    say(all, "PSUBSCRIBE *\r\n");
    expect(o, all, "*3\r\n$10\r\npsubscribe\r\n$1\r\n*\r\n:1\r\n");
    int plus = subscribe(o, client(o), "+chat");
    int watcher = subscribe(o, client(o), "+switch-master");
    int visitor = subscribe(o, kv_connect(o->elsewhere, resp_server_port(o->server)), "news");
    set_primary(o, FRONT_ROLE_TAKING_OVER, "10.0.0.1:6379");
    set_primary(o, FRONT_ROLE_SECONDARY, "10.0.0.2:6379");
    expect(o, watcher, MESSAGE(SWITCHED("1", "2")));
    expect(o, all, "*4\r\n$8\r\npmessage\r\n$1\r\n*\r\n" SWITCHED("1", "2"));
    expect_closed(o, news);
    expect_closed(o, all);
    expect_closed(o, plus);
    int late = subscribe(o, client(o), "news");
    set_primary(o, FRONT_ROLE_PRIMARY, "10.0.0.1:6379");
    expect(o, watcher, MESSAGE(SWITCHED("2", "1")));
    say(plain, "PUBLISH news y\r\n");
    expect(o, plain, ":2\r\n");
    expect(o, late, MESSAGE("$4\r\nnews\r\n$1\r\ny\r\n"));
    expect(o, visitor, MESSAGE("$4\r\nnews\r\n$1\r\ny\r\n"));
    close(watcher);
    close(plain);
    close(visitor);
    close(late);
}

static void set_in_sync(struct owner *o, bool in_sync)
{
    struct front_status st = {.role = FRONT_ROLE_PRIMARY, .peer_count = 1};
    st.peers[0].in_sync = in_sync;
    resp_server_set_status(o->server, &st);
}

/* Goal: WAIT answers behind what its connection wrote; while fewer replicas are in sync it holds
 * its own connection, for its time, and no other. */
static void test_wait_holds_its_connection_only(void **state)
{
    struct owner *o = *state;
    int fd = client(o);
    int other = client(o);
    set_in_sync(o, true);
    say(fd, "SET a 1\r\nWAIT 1 0\r\nPING\r\n");
    UNTIL(o, o->taken == 1);
    say(other, "PING\r\n");
    expect(o, other, "+PONG\r\n");
    answer_one(o);
    expect(o, fd, "+OK\r\n:1\r\n+PONG\r\n");
    set_in_sync(o, false);
    say(fd, "WAIT 0 0\r\nWAIT 1 20\r\nWAIT -1 0\r\n");
    expect(o, fd, ":0\r\n:0\r\n:0\r\n");
    say(fd, "WAIT 1 0\r\nPING\r\nINCR a\r\n");
    say(other, "SET b 1\r\nMULTI\r\nWAIT 1 0\r\nEXEC\r\n");
    UNTIL(o, o->taken == 3);
    answer_one(o);
    answer_one(o);
    expect(o, other, "+OK\r\n+OK\r\n+QUEUED\r\n*1\r\n:0\r\n");
    set_in_sync(o, true);
    UNTIL(o, o->taken == 4);
    answer_one(o);
    expect(o, fd, ":1\r\n+PONG\r\n:2\r\n");
    close(fd);
    close(other);
}

/* Goal: a WAIT under way is told when the role goes, and one whose client left does not stay. */
static void test_wait_ends_with_the_role_and_the_client(void **state)
{
    struct owner *o = *state;
    int fd = client(o);
    int left = client(o);
    set_in_sync(o, false);
    say(fd, "WAIT 1 0\r\n");
    say(left, "WAIT 1 0\r\n");
    for (int i = 0; i < 5; i++) {
        turn(o);
    }
    shutdown(left, SHUT_WR);
    expect(o, left, ":0\r\n");
    expect_closed(o, left);
    set_role(o, FRONT_ROLE_SECONDARY);
    expect(o, fd, "-READONLY primary is 10.0.0.1:6379\r\n");
    say(fd, "PING\r\nWAIT 1 0\r\n");
    expect(o, fd, "+PONG\r\n-READONLY primary is 10.0.0.1:6379\r\n");
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        OWNER_TEST(test_role_lost_closes_only_what_is_in_the_log),
        OWNER_TEST(test_role_lost_refuses_what_is_not_in_the_log),
        OWNER_TEST(test_busy_submission_is_kept),
        OWNER_TEST(test_taking_over_holds_commands),
        OWNER_TEST(test_owner_may_refuse_or_answer_within_submit),
        OWNER_TEST(test_want_of_room_is_told_as_such),
        OWNER_TEST(test_refused_write_keeps_its_number),
        OWNER_TEST(test_copies_come_in_pieces),
        OWNER_TEST(test_left_client_is_answered_into_the_void),
        OWNER_TEST(test_reads_keep_program_order),
        OWNER_TEST(test_slow_reads_end_with_their_turn),
        OWNER_TEST(test_switch_of_primary_is_published),
        OWNER_TEST(test_handoff_closes_subscribers),
        OWNER_TEST(test_wait_holds_its_connection_only),
        OWNER_TEST(test_wait_ends_with_the_role_and_the_client),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
