/* Connections after a handoff: who is carried on to the new primary's NIC, who is told to go there,
 * and who is closed (adr/0017, adr/0026, adr/0027). */
#include "tests/integration/resp_owner.h"

#include <sys/resource.h>

static uint16_t port_of(int fd)
{
    struct sockaddr_in a = {0};
    socklen_t len = sizeof(a);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &len), 0);
    return ntohs(a.sin_port);
}

static void hand_over(struct owner *o, const char *to)
{
    struct front_status st = {.role = FRONT_ROLE_SECONDARY, .relays = true};
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

/* Goal: a visitor whose request may be executed hears nothing while the address goes, and its owner
 * keeps in mind who it was; when the address is elsewhere, or stays after all, it is closed. */
static void test_unanswered_visitors_hear_nothing_yet(void **state)
{
    struct owner *o = *state;
    uint16_t port = resp_server_port(o->server);
    for (int again = 0; again < 2; again++) {
        char byte;
        size_t taken = o->taken;
        set_role(o, FRONT_ROLE_PRIMARY);
        int resident = client(o);
        int visitor = kv_connect(o->elsewhere, port);
        UNTIL(o, o->visitors[0] + o->visitors[1] == port_of(visitor));
        say(resident, "INCR n\r\n");
        say(visitor, "INCR n\r\nINCR n\r\n");
        UNTIL(o, o->taken == taken + 3);
        set_role(o, FRONT_ROLE_SECONDARY);
        resp_server_close_unanswered(o->server);
        o->answered = o->taken;
        expect_closed(o, resident);
        assert_int_equal(stats_of(o).clients, 0);
        assert_int_equal(o->visitors[0] + o->visitors[1], port_of(visitor));
        assert_int_equal(recv(visitor, &byte, 1, MSG_DONTWAIT), -1);
        assert_int_equal(errno, EAGAIN);
        o->visitors[0] = o->visitors[1] = 0;
        if (again == 0) {
            resp_server_close_visitors(o->server);
        } else {
            resp_server_close_muted(o->server);
        }
        expect_closed(o, visitor);
    }
    /* The last one is left to the server's end. */
    set_role(o, FRONT_ROLE_PRIMARY);
    int visitor = kv_connect(o->elsewhere, port);
    size_t taken = o->taken;
    say(visitor, "INCR n\r\n");
    UNTIL(o, o->taken == taken + 1);
    resp_server_close_unanswered(o->server);
    o->answered = o->taken;
    close(visitor);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        OWNER_TEST(test_visitors_are_told_and_closed),
        OWNER_TEST(test_unanswered_visitors_hear_nothing_yet),
        cmocka_unit_test(test_relays_leave_descriptors_for_others),
        OWNER_TEST(test_relay_to_a_dead_nic_ends),
        OWNER_TEST(test_relay_takes_buffers_from_the_pool),
        OWNER_TEST(test_relay_waits_until_the_session_is_taken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
