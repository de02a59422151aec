/* The front-end and its owner, in one process: who answers what when the role is lost, when a
 * submission is refused or comes back busy, and when clients leave in between (R2.8). */
#include "tests/integration/kv_process.h"

#include <sys/resource.h>
#include <time.h>

#include "services/io/resp_conn.h"
#include "services/io/resp_server.h"
#include "services/kv/sessions.h"
#include "services/session.h"

#define TAKEN_MAX 64

struct owner {
    uv_loop_t loop;
    struct resp_server *server;
    void *state;
    char address[32];
    /* what it was given */
    uint64_t tokens[TAKEN_MAX];
    struct svc_out payloads[TAKEN_MAX];
    size_t taken;
    size_t answered;
    uint64_t rounds;
    /* what it answers to the next calls */
    enum ts_err submit_result;
    enum ts_err read_result;
    bool lose_role_in_submit;
    bool answer_in_submit;
    const char *full_in_submit; /* the room that it finds to be gone */
    bool closed;
    /* who came by the address that may go */
    char elsewhere[32];
    uint16_t visitors[8]; /* by place: the port, 0 = nobody */
};

static void set_role(struct owner *o, enum resp_role role)
{
    struct resp_server_status st = {.role = role, .epoch = {1}};
    if (role == RESP_ROLE_SECONDARY) {
        snprintf(st.primary, sizeof(st.primary), "10.0.0.1:6379");
    }
    resp_server_set_status(o->server, &st);
}

/* Applies the oldest taken command and answers it. */
static void answer_one(struct owner *o)
{
    struct svc_out out = {.max = 1 << 20};
    assert_true(o->answered < o->taken);
    struct svc_out *p = &o->payloads[o->answered];
    struct svc_entry e = {.epoch = {1},
                          .seq = {o->answered + 1},
                          .kind = SVC_ENTRY_COMMAND,
                          .time = {1},
                          .payload = {p->data, p->len}};
    kv_with_sessions.apply(o->state, &e, &out);
    resp_server_reply(o->server, o->tokens[o->answered++], (struct ts_bytes){out.data, out.len});
    svc_out_free(&out);
}

static enum ts_err on_submit(void *ctx, const struct ts_bytes *payloads, size_t n, uint64_t token)
{
    struct owner *o = ctx;
    if (o->lose_role_in_submit) {
        set_role(o, RESP_ROLE_SECONDARY);
    }
    if (o->full_in_submit != NULL) {
        struct resp_server_status st = {.role = RESP_ROLE_PRIMARY, .epoch = {1}};
        snprintf(st.full, sizeof(st.full), "%s", o->full_in_submit);
        resp_server_set_status(o->server, &st);
    }
    if (o->submit_result != TS_OK) {
        return o->submit_result;
    }
    for (size_t i = 0; i < n; i++) {
        assert_true(o->taken < TAKEN_MAX);
        struct svc_out *p = &o->payloads[o->taken];
        p->max = 1 << 20;
        p->len = 0;
        assert_int_equal(svc_out_put(p, payloads[i].data, payloads[i].len), TS_OK);
        o->tokens[o->taken++] = token + i;
    }
    while (o->answer_in_submit && o->answered < o->taken) {
        answer_one(o);
    }
    return TS_OK;
}

static enum ts_err on_round(void *ctx, uint64_t round)
{
    struct owner *o = ctx;
    if (o->read_result == TS_OK) {
        o->rounds = round;
    }
    return o->read_result;
}

static void on_visitor(void *ctx, uint32_t place, const struct sockaddr *client)
{
    struct owner *o = ctx;
    assert_true(place < sizeof(o->visitors) / sizeof(o->visitors[0]));
    assert_true((client != NULL) == (o->visitors[place] == 0));
    o->visitors[place] = client == NULL ? 0 : ntohs(((const struct sockaddr_in *)client)->sin_port);
}

static int open_owner(void **state)
{
    struct owner *o = calloc(1, sizeof(*o));
    assert_non_null(o);
    signal(SIGPIPE, SIG_IGN);
    assert_int_equal(uv_loop_init(&o->loop), 0);
    o->state = kv_with_sessions.create(NULL);
    struct resp_server_ops ops = {
        .ctx = o, .submit = on_submit, .read = on_round, .visitor = on_visitor};
    o->server = resp_server_create(&o->loop, &ops, session_inner(o->state), NULL);
    assert_non_null(o->server);
    kv_address(o->address, 2);
    assert_int_equal(resp_server_listen(o->server, "nonsense", 0, false, NULL), TS_ERR_CONFIG);
    assert_int_equal(resp_server_listen(o->server, o->address, 0, false, NULL), TS_OK);
    int uv_error = 0;
    assert_int_equal(
        resp_server_listen(o->server, o->address, resp_server_port(o->server), false, &uv_error),
        TS_ERR_SYSTEM);
    assert_int_equal(uv_error, UV_EADDRINUSE);
    kv_address(o->elsewhere, 3);
    assert_int_equal(
        resp_server_listen(o->server, o->elsewhere, resp_server_port(o->server), true, NULL),
        TS_OK);
    set_role(o, RESP_ROLE_PRIMARY);
    *state = o;
    return 0;
}

static void on_closed(void *ctx)
{
    ((struct owner *)ctx)->closed = true;
}

static int close_owner(void **state)
{
    struct owner *o = *state;
    resp_server_destroy(o->server, on_closed, o);
    while (!o->closed) {
        uv_run(&o->loop, UV_RUN_ONCE);
    }
    assert_int_equal(uv_run(&o->loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(uv_loop_close(&o->loop), 0);
    for (size_t i = 0; i < TAKEN_MAX; i++) {
        svc_out_free(&o->payloads[i]);
    }
    kv_with_sessions.destroy(o->state);
    free(o);
    return 0;
}

static void turn(struct owner *o)
{
    uv_run(&o->loop, UV_RUN_NOWAIT);
    resp_server_turn(o->server);
    resp_server_flush(o->server);
}

/* Runs turns until the condition holds; a test that never gets there runs into its timeout. */
#define UNTIL(o, condition) \
    do { \
        turn(o); \
    } while (!(condition))

static struct resp_server_stats stats_of(const struct owner *o)
{
    struct resp_server_stats s;
    resp_server_stats(o->server, &s);
    return s;
}

static int client(struct owner *o)
{
    uint64_t before = stats_of(o).connections;
    int fd = kv_connect(o->address, resp_server_port(o->server));
    UNTIL(o, stats_of(o).connections > before);
    return fd;
}

/* Turns until so many bytes can be received, then compares them. */
static void expect(struct owner *o, int fd, const char *reply)
{
    char got[1024];
    size_t want = strlen(reply);
    ssize_t n = 0;
    UNTIL(o, (n = recv(fd, got, sizeof(got), MSG_PEEK | MSG_DONTWAIT)) >= (ssize_t)want || n == 0);
    assert_int_equal(n, want);
    assert_memory_equal(got, reply, want);
    assert_int_equal(recv(fd, got, want, 0), want);
}

static void expect_closed(struct owner *o, int fd)
{
    char byte;
    ssize_t n = 0;
    UNTIL(o, (n = recv(fd, &byte, 1, MSG_DONTWAIT)) == 0 || (n < 0 && errno != EAGAIN));
    close(fd);
}

static void say(int fd, const char *text)
{
    kv_send(fd, text, strlen(text));
}

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
    set_role(o, RESP_ROLE_SECONDARY);
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
    set_role(o, RESP_ROLE_PRIMARY);
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
    set_role(o, RESP_ROLE_SECONDARY);
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
    set_role(o, RESP_ROLE_TAKING_OVER);
    say(array, "*1\r\n$4\r\nPING\r\n*2\r\n$4\r\nINCR\r\n$1\r\nn\r\n*1\r\n$4\r\nPING\r\n");
    expect(o, array, "+PONG\r\n");
    say(inlined, "INCR n\r\n");
    say(inlined, "PING\r\n");
    say(other, "*1\r\n$4\r\nPING\r\n");
    expect(o, other, "+PONG\r\n");
    assert_int_equal(o->taken, 0);
    assert_false(resp_server_has_work(o->server)); /* no spinning meanwhile */
    set_role(o, RESP_ROLE_PRIMARY);
    UNTIL(o, o->taken == 2);
    answer_one(o);
    answer_one(o);
    expect(o, array, ":1\r\n+PONG\r\n");
    expect(o, inlined, ":2\r\n+PONG\r\n");
    set_role(o, RESP_ROLE_TAKING_OVER);
    say(array, "INCR n\r\n");
    say(other, "*1\r\n$4\r\nPING\r\n");
    expect(o, other, "+PONG\r\n");
    close(inlined); /* a client that leaves while it waits */
    set_role(o, RESP_ROLE_SECONDARY);
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
    set_role(o, RESP_ROLE_SECONDARY);
    say(fd, "INCR n\r\nSESSION.RESUME me#65536 0\r\n");
    expect(o, fd,
           "-READONLY primary is 10.0.0.1:6379 [no number]\r\n"
           "-READONLY primary is 10.0.0.1:6379\r\n");
    set_role(o, RESP_ROLE_PRIMARY);
    say(fd, "SESSION.RESUME me#65536 1\r\nINCR n\r\n");
    expect(o, fd, "*2\r\n:2\r\n:3\r\n:4\r\n");
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

static void set_primary(struct owner *o, enum resp_role role, const char *primary)
{
    struct resp_server_status st = {.role = role, .self = "10.0.0.1:6379", .group = "kv"};
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
        set_primary(o, RESP_ROLE_UNAVAILABLE, primaries[i]);
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
    set_primary(o, RESP_ROLE_PRIMARY, "10.0.0.1:6379");
    int plain = client(o);
    int news = subscribe(o, client(o), "news");
    int all = client(o);
    say(all, "PSUBSCRIBE *\r\n");
    expect(o, all, "*3\r\n$10\r\npsubscribe\r\n$1\r\n*\r\n:1\r\n");
    int plus = subscribe(o, client(o), "+chat");
    int watcher = subscribe(o, client(o), "+switch-master");
    int visitor = subscribe(o, kv_connect(o->elsewhere, resp_server_port(o->server)), "news");
    set_primary(o, RESP_ROLE_TAKING_OVER, "10.0.0.1:6379");
    set_primary(o, RESP_ROLE_SECONDARY, "10.0.0.2:6379");
    expect(o, watcher, MESSAGE(SWITCHED("1", "2")));
    expect(o, all, "*4\r\n$8\r\npmessage\r\n$1\r\n*\r\n" SWITCHED("1", "2"));
    expect_closed(o, news);
    expect_closed(o, all);
    expect_closed(o, plus);
    int late = subscribe(o, client(o), "news");
    set_primary(o, RESP_ROLE_PRIMARY, "10.0.0.1:6379");
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
    struct resp_server_status st = {.role = RESP_ROLE_PRIMARY, .peer_count = 1};
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
    set_role(o, RESP_ROLE_SECONDARY);
    expect(o, fd, "-READONLY primary is 10.0.0.1:6379\r\n");
    say(fd, "PING\r\nWAIT 1 0\r\n");
    expect(o, fd, "+PONG\r\n-READONLY primary is 10.0.0.1:6379\r\n");
    close(fd);
}

static uint16_t port_of(int fd)
{
    struct sockaddr_in a = {0};
    socklen_t len = sizeof(a);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &len), 0);
    return ntohs(a.sin_port);
}

static void hand_over(struct owner *o, const char *to)
{
    struct resp_server_status st = {.role = RESP_ROLE_SECONDARY, .relays = true};
    snprintf(st.primary, sizeof(st.primary), "%s", to);
    resp_server_set_status(o->server, &st);
}

/* Goal: the owner knows at each time who is connected by the address that may go, whoever closes.
 * These are not carried on after a handoff, and closing them leaves the others alone. */
static void test_visitors_are_told_and_closed(void **state)
{
    struct owner *o = *state;
    uint16_t port = resp_server_port(o->server);
    int resident = client(o);
    int left = kv_connect(o->elsewhere, port);
    UNTIL(o, o->visitors[1] == port_of(left));
    int stays = kv_connect(o->elsewhere, port);
    UNTIL(o, o->visitors[2] == port_of(stays));
    close(left);
    UNTIL(o, o->visitors[1] == 0);
    hand_over(o, "127.0.0.1:1");
    say(stays, "SET a 1\r\n");
    expect(o, stays, "-READONLY primary is 127.0.0.1:1\r\n");
    resp_server_close_visitors(o->server);
    assert_int_equal(o->visitors[2], 0);
    expect_closed(o, stays);
    assert_int_equal(stats_of(o).relayed, 0);
    say(resident, "PING\r\n");
    expect(o, resident, "+PONG\r\n");
    assert_int_equal(o->visitors[0], 0);
    close(resident);
}

/* Goal: what is carried on takes no descriptors that are not the clients': those that are too many
 * stay here, and are told where to go. */
static void test_relays_leave_descriptors_for_others(void **state)
{
    struct rlimit before;
    char to[64];
    int fds[45];
    const uint32_t most = 64; /* a limit of 128, of which 64 are reserved */
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    struct rlimit low = {.rlim_cur = 128, .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
    assert_int_equal(open_owner(state), 0);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    struct owner *o = *state;
    int other = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in where = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    assert_int_equal(bind(other, (struct sockaddr *)&where, sizeof(where)), 0);
    assert_int_equal(listen(other, 64), 0);
    for (size_t i = 0; i < 45; i++) {
        fds[i] = client(o);
    }
    snprintf(to, sizeof(to), "127.0.0.1:%u", port_of(other));
    hand_over(o, to);
    for (size_t i = 0; i < 45; i++) {
        say(fds[i], "SET a 1\r\n");
    }
    UNTIL(o, stats_of(o).relayed + stats_of(o).refused == 45);
    assert_int_equal(stats_of(o).relayed, most - 45);
    int late = kv_connect(o->address, resp_server_port(o->server));
    expect(o, late, "-ERR max number of clients reached\r\n");
    close(late);
    close(other);
    for (size_t i = 0; i < 45; i++) {
        close(fds[i]);
    }
    UNTIL(o, stats_of(o).clients == 0);
    assert_int_equal(close_owner(state), 0);
}

/* Accepts the connection that is carried on, and turns until so many bytes came; they are looked
 * at, not taken, so that what is behind them is seen, too. */
static int other_hears(struct owner *o, int other, const char *text)
{
    char got[256];
    size_t want = strlen(text);
    int fd = -1;
    ssize_t n = 0;
    UNTIL(o, (fd = accept4(other, NULL, NULL, SOCK_NONBLOCK)) >= 0);
    UNTIL(o, (n = recv(fd, got, sizeof(got), MSG_PEEK)) >= (ssize_t)want);
    for (int i = 0; i < 20; i++) {
        turn(o);
    }
    n = recv(fd, got, sizeof(got), 0);
    assert_int_equal(n, want);
    assert_memory_equal(got, text, want);
    return fd;
}

/* Goal: what is carried on uses the same buffers again: fresh ones for each answer took memory, and
 * time to have it from the kernel, until the pool was full. */
static void test_relay_takes_buffers_from_the_pool(void **state)
{
    struct owner *o = *state;
    char to[64];
    int other = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    struct sockaddr_in where = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    assert_int_equal(bind(other, (struct sockaddr *)&where, sizeof(where)), 0);
    assert_int_equal(listen(other, 8), 0);
    snprintf(to, sizeof(to), "127.0.0.1:%u", port_of(other));
    int fd = client(o);
    hand_over(o, to);
    say(fd, "GET a\r\n");
    int taker = other_hears(o, other, "GET a\r\n");
    size_t kept = 0;
    for (int i = 0; i < 50; i++) {
        kv_send(taker, "$-1\r\n", 5);
        expect(o, fd, "$-1\r\n");
        kept = i == 0 ? o->server->pool_len : kept;
    }
    assert_true(o->server->pool_len <= kept);
    close(fd);
    close(taker);
    close(other);
}

/* Goal: a write of a session is passed on only when the other one has taken the connection for that
 * session's: without that it would be executed outside of it, and again when its client resumes. */
static void test_relay_waits_until_the_session_is_taken(void **state)
{
    static const char carry[] = "*4\r\n$13\r\nSESSION.CARRY\r\n";
    struct owner *o = *state;
    char to[64];
    char said[128];
    char got[64];
    int fds[2];
    int other = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    struct sockaddr_in where = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    assert_int_equal(bind(other, (struct sockaddr *)&where, sizeof(where)), 0);
    assert_int_equal(listen(other, 8), 0);
    snprintf(to, sizeof(to), "127.0.0.1:%u", port_of(other));
    for (int i = 0; i < 2; i++) {
        fds[i] = client(o);
        say(fds[i], "SESSION.OPEN me\r\n");
        UNTIL(o, o->taken == (size_t)i + 1);
        answer_one(o);
        ssize_t n = 0;
        UNTIL(o, (n = recv(fds[i], got, sizeof(got) - 1, MSG_DONTWAIT)) > 0);
        got[n] = '\0';
        assert_non_null(strstr(got, "me#"));
    }
    hand_over(o, to);
    for (int i = 0; i < 2; i++) {
        char id[24];
        snprintf(id, sizeof(id), "%u", (1U << 16) + (unsigned)i * ((1U << 16) + 1));
        snprintf(said, sizeof(said), "%s$%zu\r\n%s\r\n$1\r\n1\r\n$1\r\n1\r\n", carry, strlen(id),
                 id);
        say(fds[i], "SET a 1\r\n");
        int taker = other_hears(o, other, said);
        if (i == 0) {
            kv_send(taker, "+OK\r\n", 5);
            UNTIL(o, recv(taker, got, sizeof(got), MSG_DONTWAIT) == 9);
            assert_memory_equal(got, "SET a 1\r\n", 9);
            kv_send(taker, "+OK\r\n", 5);
            expect(o, fds[i], "+OK\r\n");
            close(fds[i]);
        } else {
            kv_send(taker, "-ERR unknown command\r\n", 22);
            expect_closed(o, fds[i]);
            ssize_t n = 0;
            UNTIL(o, (n = recv(taker, got, sizeof(got), MSG_DONTWAIT)) >= 0 || errno != EAGAIN);
            assert_true(n <= 0);
        }
        close(taker);
    }
    close(other);
}

/* Goal: who is carried on to a NIC that is dead learns it, although nobody takes over here. */
static void test_relay_to_a_dead_nic_ends(void **state)
{
    struct owner *o = *state;
    char to[64];
    char byte;
    int fill[2];
    int fd = client(o);
    int other = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in where = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(where);
    assert_int_equal(bind(other, (struct sockaddr *)&where, len), 0);
    assert_int_equal(listen(other, 0), 0);
    assert_int_equal(getsockname(other, (struct sockaddr *)&where, &len), 0);
    for (size_t i = 0; i < 2; i++) { /* who comes after these hears nothing, as from a dead NIC */
        fill[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        (void)connect(fill[i], (struct sockaddr *)&where, len);
    }
    snprintf(to, sizeof(to), "127.0.0.1:%u", ntohs(where.sin_port));
    hand_over(o, to);
    say(fd, "SET a 1\r\n");
    UNTIL(o, stats_of(o).relayed == 1);
    time_t end = time(NULL) + 20;
    ssize_t n = -1;
    while (n < 0 && time(NULL) < end) {
        turn(o);
        (void)poll(NULL, 0, 5);
        n = recv(fd, &byte, 1, MSG_DONTWAIT);
    }
    assert_int_equal(n, 0);
    close(fd);
    close(fill[0]);
    close(fill[1]);
    close(other);
}

#define OWNER_TEST(f) cmocka_unit_test_setup_teardown(f, open_owner, close_owner)

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
        OWNER_TEST(test_left_client_is_answered_into_the_void),
        OWNER_TEST(test_reads_keep_program_order),
        OWNER_TEST(test_switch_of_primary_is_published),
        OWNER_TEST(test_handoff_closes_subscribers),
        OWNER_TEST(test_wait_holds_its_connection_only),
        OWNER_TEST(test_wait_ends_with_the_role_and_the_client),
        OWNER_TEST(test_visitors_are_told_and_closed),
        cmocka_unit_test(test_relays_leave_descriptors_for_others),
        OWNER_TEST(test_relay_to_a_dead_nic_ends),
        OWNER_TEST(test_relay_takes_buffers_from_the_pool),
        OWNER_TEST(test_relay_waits_until_the_session_is_taken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
