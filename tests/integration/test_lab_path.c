/* Goal: the path fault drops what nodes send each other on one path, counts it, spares the other
 * path and the clients, and heals. In a network namespace of the test's own. */
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "lab/fault.h"
#include "lab/netns.h"

static struct cfg_cluster two_nodes(void)
{
    struct cfg_cluster c = {.base_port = 7400, .node_count = 2};
    for (unsigned node = 0; node < 2; node++) {
        c.nodes[node].path_count = 2;
        for (unsigned path = 0; path < 2; path++) {
            snprintf(c.nodes[node].paths[path], CFG_ADDR_MAX, "127.77.%u.%u", path + 1, node + 1);
        }
    }
    return c;
}

/* Whether a datagram from one address reaches the other's port within a moment. */
static bool reaches(const char *from, const char *to, uint16_t port)
{
    struct sockaddr_in a = {.sin_family = AF_INET};
    struct sockaddr_in b = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct timeval wait = {.tv_usec = 50000};
    char byte = 'x';
    assert_int_equal(inet_pton(AF_INET, from, &a.sin_addr), 1);
    assert_int_equal(inet_pton(AF_INET, to, &b.sin_addr), 1);
    int in = socket(AF_INET, SOCK_DGRAM, 0);
    int out = socket(AF_INET, SOCK_DGRAM, 0);
    assert_int_equal(bind(in, (struct sockaddr *)&b, sizeof b), 0);
    assert_int_equal(bind(out, (struct sockaddr *)&a, sizeof a), 0);
    assert_int_equal(setsockopt(in, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait), 0);
    assert_int_equal(sendto(out, &byte, 1, 0, (struct sockaddr *)&b, sizeof b), 1);
    bool arrived = recv(in, &byte, 1, 0) == 1;
    close(in);
    close(out);
    return arrived;
}

static void test_path_fault_drops_one_path_and_heals(void **state)
{
    (void)state;
    struct ts_why why = {{0}};
    struct cfg_cluster cluster = two_nodes();
    struct lab_fault f;
    assert_int_equal(lab_netns_enter(&why), TS_OK);
    assert_true(reaches("127.77.2.1", "127.77.2.2", 7402));
    lab_fault_path(&f, NULL, &cluster, 1);
    assert_int_equal(lab_fault_inject(&f, &why), TS_OK);
    assert_int_equal(lab_fault_observe(&f, &why), TS_ERR_NOT_FOUND); /* nothing was sent yet */
    assert_false(reaches("127.77.2.1", "127.77.2.2", 7402));
    assert_false(reaches("127.77.2.2", "127.77.2.1", 7411));
    assert_true(reaches("127.77.1.1", "127.77.1.2", 7402));
    assert_true(reaches("127.0.0.1", "127.77.2.1", 6379));
    assert_int_equal(lab_fault_observe(&f, &why), TS_OK);
    assert_int_equal(f.effect, 2);
    assert_int_equal(lab_fault_heal(&f, &why), TS_OK);
    assert_true(reaches("127.77.2.1", "127.77.2.2", 7402));
    /* Healing what is healed is an error with a sentence. */
    assert_int_equal(lab_fault_heal(&f, &why), TS_ERR_REFUSED);
    assert_true(strlen(why.text) > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_path_fault_drops_one_path_and_heals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
