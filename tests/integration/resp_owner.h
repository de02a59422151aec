/* A front-end and its owner in one process: the owner takes what it is given, answers when the test
 * says so, and changes its role at the test's will. */
#ifndef TESTS_INTEGRATION_RESP_OWNER_H
#define TESTS_INTEGRATION_RESP_OWNER_H

#include "tests/integration/kv_process.h"

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

static inline void set_role(struct owner *o, enum front_role role)
{
    struct front_status st = {.role = role, .epoch = {1}};
    if (role == FRONT_ROLE_SECONDARY) {
        snprintf(st.primary, sizeof(st.primary), "10.0.0.1:6379");
    }
    resp_server_set_status(o->server, &st);
}

/* Applies the oldest taken command and answers it. */
static inline void answer_one(struct owner *o)
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

static inline enum ts_err on_submit(void *ctx, const struct ts_bytes *payloads, size_t n,
                                    uint64_t token)
{
    struct owner *o = ctx;
    if (o->lose_role_in_submit) {
        set_role(o, FRONT_ROLE_SECONDARY);
    }
    if (o->full_in_submit != NULL) {
        struct front_status st = {.role = FRONT_ROLE_PRIMARY, .epoch = {1}};
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

static inline enum ts_err on_round(void *ctx, uint64_t round)
{
    struct owner *o = ctx;
    if (o->read_result == TS_OK) {
        o->rounds = round;
    }
    return o->read_result;
}

static inline void on_visitor(void *ctx, uint32_t place, const struct sockaddr *client)
{
    struct owner *o = ctx;
    assert_true(place < sizeof(o->visitors) / sizeof(o->visitors[0]));
    assert_true((client != NULL) == (o->visitors[place] == 0));
    o->visitors[place] = client == NULL ? 0 : ntohs(((const struct sockaddr_in *)client)->sin_port);
}

static inline int open_owner(void **state)
{
    struct owner *o = calloc(1, sizeof(*o));
    assert_non_null(o);
    signal(SIGPIPE, SIG_IGN);
    assert_int_equal(uv_loop_init(&o->loop), 0);
    o->state = kv_with_sessions.create(NULL);
    struct front_owner ops = {
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
    set_role(o, FRONT_ROLE_PRIMARY);
    *state = o;
    return 0;
}

static inline void on_closed(void *ctx)
{
    ((struct owner *)ctx)->closed = true;
}

static inline int close_owner(void **state)
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

static inline void turn(struct owner *o)
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

static inline struct resp_server_stats stats_of(const struct owner *o)
{
    struct resp_server_stats s;
    resp_server_stats(o->server, &s);
    return s;
}

static inline int client(struct owner *o)
{
    uint64_t before = stats_of(o).connections;
    int fd = kv_connect(o->address, resp_server_port(o->server));
    UNTIL(o, stats_of(o).connections > before);
    return fd;
}

/* Turns until so many bytes can be received, then compares them. */
static inline void expect(struct owner *o, int fd, const char *reply)
{
    char got[1024];
    size_t want = strlen(reply);
    ssize_t n = 0;
    UNTIL(o, (n = recv(fd, got, sizeof(got), MSG_PEEK | MSG_DONTWAIT)) >= (ssize_t)want || n == 0);
    assert_int_equal(n, want);
    assert_memory_equal(got, reply, want);
    assert_int_equal(recv(fd, got, want, 0), want);
}

static inline void expect_closed(struct owner *o, int fd)
{
    char byte;
    ssize_t n = 0;
    UNTIL(o, (n = recv(fd, &byte, 1, MSG_DONTWAIT)) == 0 || (n < 0 && errno != EAGAIN));
    close(fd);
}

static inline void say(int fd, const char *text)
{
    kv_send(fd, text, strlen(text));
}

#define OWNER_TEST(f) cmocka_unit_test_setup_teardown(f, open_owner, close_owner)

#endif
