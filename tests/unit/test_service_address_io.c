/* The service address in a real kernel, in a network namespace of this test: what nicd does when
 * other programs change addresses at the same time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <linux/capability.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cluster-cfg/report.h"
#include "daemon/netlink.h"
#include "daemon/service_address_io.h"
#include "lab/exec.h"
#include "net/loop.h"
#include "net/unix_dgram.h"

#define LOOPBACK 1U
#define FOR_EVER UINT32_MAX
#define ADDRESSES 1200 /* so many that a list of them has several parts */
#define FINDS 300

static bool inside; /* this process has a network of its own */

/* As root of it, or as whoever may make a user namespace. */
static void enter(void)
{
    char map[64];
    uid_t uid = getuid();
    gid_t gid = getgid();
    if (unshare(CLONE_NEWNET) != 0) {
        if (unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0) {
            return;
        }
        int fd = open("/proc/self/setgroups", O_WRONLY);
        (void)!write(fd, "deny", 4);
        close(fd);
        fd = open("/proc/self/uid_map", O_WRONLY);
        (void)!write(fd, map, (size_t)snprintf(map, sizeof(map), "0 %u 1", (unsigned)uid));
        close(fd);
        fd = open("/proc/self/gid_map", O_WRONLY);
        (void)!write(fd, map, (size_t)snprintf(map, sizeof(map), "0 %u 1", (unsigned)gid));
        close(fd);
    }
    struct ifreq r = {.ifr_name = "lo", .ifr_flags = IFF_UP};
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    inside = ioctl(fd, SIOCSIFFLAGS, &r) == 0;
    close(fd);
}

static struct netlink *netlink(void)
{
    struct netlink *n = NULL;
    struct ts_why why;
    assert_int_equal(netlink_open(&n, &why), TS_OK);
    return n;
}

static void add(struct netlink *n, const char *text, uint8_t prefix)
{
    struct netlink_address a = netlink_address_of(text, prefix);
    struct ts_why why;
    assert_int_equal(netlink_add(n, &a, LOOPBACK, FOR_EVER, &why), TS_OK);
}

static void take_away(struct netlink *n, const char *text, uint8_t prefix)
{
    struct netlink_address a = netlink_address_of(text, prefix);
    struct ts_why why;
    assert_int_equal(netlink_remove(n, &a, LOOPBACK, &why), TS_OK);
}

/* Whether an interface has the address. */
static bool is_here(const char *text)
{
    struct in_addr wanted;
    struct ifaddrs *list = NULL;
    bool here = false;
    assert_int_equal(inet_pton(AF_INET, text, &wanted), 1);
    assert_int_equal(getifaddrs(&list), 0);
    for (const struct ifaddrs *i = list; i != NULL; i = i->ifa_next) {
        const struct sockaddr_in *a = (const struct sockaddr_in *)i->ifa_addr;
        here =
            here || (a != NULL && a->sin_family == AF_INET && a->sin_addr.s_addr == wanted.s_addr);
    }
    freeifaddrs(list);
    return here;
}

/* ---- others change addresses ---- */

static atomic_bool over;

static void *change_addresses(void *arg)
{
    struct netlink *n = arg;
    struct ts_why why;
    for (unsigned i = 0; !atomic_load(&over); i++) {
        struct netlink_address a = netlink_address_of("10.200.0.1", 16);
        a.bytes[3] = (uint8_t)(i % 200 + 1);
        (void)!netlink_add(n, &a, LOOPBACK, FOR_EVER, &why);
        (void)!netlink_remove(n, &a, LOOPBACK, &why);
    }
    return NULL;
}

/* Goal: a list of addresses that is torn, since other programs change theirs meanwhile, is read to
 * its end, and asked for again when what is looked for is not in it. */
static void test_find_while_addresses_change(void **state)
{
    (void)state;
    if (!inside) {
        skip();
    }
    struct netlink *n = netlink();
    struct netlink *others = netlink();
    struct netlink_address wanted = netlink_address_of("10.1.0.100", 16);
    struct netlink_address nowhere = netlink_address_of("10.77.0.100", 16);
    pthread_t thread;
    struct ts_why why;
    char text[32];
    for (unsigned i = 0; i < ADDRESSES; i++) {
        snprintf(text, sizeof(text), "10.2.%u.%u", i / 200, 1 + i % 200);
        add(n, text, 32);
    }
    add(n, "10.1.0.1", 16);
    assert_int_equal(pthread_create(&thread, NULL, change_addresses, others), 0);
    for (int i = 0; i < FINDS; i++) {
        unsigned index = 0;
        assert_int_equal(netlink_find(n, &wanted, &index, &why), TS_OK);
        assert_int_equal(index, LOOPBACK);
        assert_int_not_equal(netlink_find(n, &nowhere, &index, &why), TS_OK);
    }
    atomic_store(&over, true);
    assert_int_equal(pthread_join(thread, NULL), 0);
    take_away(n, "10.1.0.1", 16);
    for (unsigned i = 0; i < ADDRESSES; i++) {
        snprintf(text, sizeof(text), "10.2.%u.%u", i / 200, 1 + i % 200);
        take_away(n, text, 32);
    }
    netlink_close(others);
    netlink_close(n);
}

/* ---- the interface's own address comes and goes ---- */

static void on_timer(uv_timer_t *timer)
{
    uv_stop(timer->loop);
}

static void run_for(uv_loop_t *loop, uint64_t ms)
{
    uv_timer_t timer;
    assert_int_equal(uv_timer_init(loop, &timer), 0);
    assert_int_equal(uv_timer_start(&timer, on_timer, ms, 0), 0);
    (void)uv_run(loop, UV_RUN_DEFAULT);
    uv_close((uv_handle_t *)&timer, NULL);
    (void)uv_run(loop, UV_RUN_NOWAIT);
}

static void say(struct net_dgram *d, const char *to, bool serves)
{
    struct report_serves said = {
        .group = {1}, .epoch = {3}, .serves = serves, .confirmed = {serves ? net_now().ns : 0}};
    uint8_t bytes[64];
    struct ts_writer w = ts_writer_init(bytes, sizeof(bytes));
    assert_int_equal(report_serves_encode(&said, &w), TS_OK);
    assert_true(net_dgram_send(d, to, (struct ts_bytes){bytes, w.len}));
}

/* nicd's part of a node whose group has the service address 10.1.0.100/16, and its replica. */
struct node {
    char dir[32];
    char socket_path[64];
    uv_loop_t loop;
    struct cfg_cluster cluster;
    struct net_log log;
    struct service_address_io *io;
    struct net_dgram replica;
    struct netlink *n;
};

static void open_node(struct node *o)
{
    struct ts_why why;
    char path[64];
    struct cfg_cluster *c = &o->cluster;
    snprintf(o->dir, sizeof(o->dir), "/tmp/ts-address-XXXXXX");
    assert_non_null(mkdtemp(o->dir));
    snprintf(path, sizeof(path), "%s/run", o->dir);
    snprintf(o->socket_path, sizeof(o->socket_path), "%s/run/nicd.sock", o->dir);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(uv_loop_init(&o->loop), 0);
    net_log_init(&o->log, "test", "nic1");
    c->timing = cfg_timing_derive(60 * TS_NS_PER_S);
    c->group_count = 1;
    c->groups[0] =
        (struct cfg_group){.id = {1}, .address_prefix = 16, .client_port = 6379, .nic_count = 1};
    c->groups[0].nics[0].v = 1;
    snprintf(c->groups[0].name, sizeof(c->groups[0].name), "kv");
    snprintf(c->groups[0].address, sizeof(c->groups[0].address), "10.1.0.100");
    o->n = netlink();
    assert_int_equal(
        service_address_io_open(&o->io, &o->loop, &o->log, c, (struct ts_nic_id){1}, o->dir, &why),
        TS_OK);
    assert_int_equal(net_dgram_open(&o->replica, NULL, NULL, NULL, NULL), TS_OK);
}

static void close_node(struct node *o)
{
    char path[64];
    net_dgram_close(&o->replica);
    service_address_io_close(o->io);
    (void)uv_run(&o->loop, UV_RUN_DEFAULT);
    service_address_io_free(o->io);
    assert_int_equal(uv_loop_close(&o->loop), 0);
    netlink_close(o->n);
    snprintf(path, sizeof(path), "%s/run", o->dir);
    assert_int_equal(rmdir(path), 0);
    assert_int_equal(rmdir(o->dir), 0);
}

/* Goal: a service address goes with the interface's own one, and comes back behind it. In front of
 * it, as the first of its network, it would take that along when it is given up. */
static void test_own_address_survives_the_service_address(void **state)
{
    (void)state;
    static struct node o;
    if (!inside) {
        skip();
    }
    open_node(&o);
    add(o.n, "10.1.0.1", 16);
    say(&o.replica, o.socket_path, true);
    run_for(&o.loop, 100);
    assert_true(is_here("10.1.0.100"));
    take_away(o.n, "10.1.0.1", 16);
    run_for(&o.loop, 2500);
    assert_false(is_here("10.1.0.100"));
    add(o.n, "10.1.0.1", 16);
    run_for(&o.loop, 2500);
    assert_true(is_here("10.1.0.100"));
    say(&o.replica, o.socket_path, false);
    run_for(&o.loop, 100);
    assert_false(is_here("10.1.0.100"));
    assert_true(is_here("10.1.0.1"));
    take_away(o.n, "10.1.0.1", 16);
    close_node(&o);
}

/* ---- clients of the former owner ---- */

#define CLIENTS 300

static void say_reset(struct node *o, uint8_t round, uint16_t from, uint16_t count)
{
    static uint8_t bytes[REPORT_BYTES_MAX];
    struct report_reset r = {.group = {1}, .round = round, .count = count};
    for (uint16_t i = 0; i < count; i++) {
        r.c[i].port = (uint16_t)(1000 + from + i);
        assert_int_equal(inet_pton(AF_INET, "10.1.0.1", r.c[i].bytes), 1);
    }
    struct ts_writer w = ts_writer_init(bytes, sizeof(bytes));
    assert_int_equal(report_reset_encode(&r, &w), TS_OK);
    assert_true(net_dgram_send(&o->replica, o->socket_path, (struct ts_bytes){bytes, w.len}));
}

/* Counts the packets to each of the clients' ports. */
static void count_probes(int fd, unsigned probes[CLIENTS])
{
    uint8_t packet[256];
    while (recv(fd, packet, sizeof(packet), MSG_DONTWAIT) > 0) {
        const uint8_t *tcp = packet + 4 * (packet[0] & 15);
        unsigned from = tcp[0] * 256U + tcp[1];
        unsigned to = tcp[2] * 256U + tcp[3];
        if (from == 6379 && to >= 1000 && to < 1000 + CLIENTS) {
            probes[to - 1000]++;
        }
    }
}

/* Goal: clients that are named while the address cannot be here are told when it is, as often as
 * others; not when it was given up before. */
static void test_clients_are_told_once_the_address_is_here(void **state)
{
    (void)state;
    static struct node o;
    unsigned probes[CLIENTS] = {0};
    int room = 4 << 20;
    if (!inside) {
        skip();
    }
    int fd = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_TCP);
    assert_true(fd >= 0);
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof(room));
    open_node(&o);
    say(&o.replica, o.socket_path, true);
    run_for(&o.loop, 50);
    for (uint8_t round = 0; round < 3; round++) {
        say_reset(&o, round, 0, 200);
        run_for(&o.loop, 10);
        say_reset(&o, round, 200, CLIENTS - 200);
        run_for(&o.loop, 10);
    }
    add(o.n, "10.1.0.1", 16);
    for (int i = 0; i < 40; i++) {
        run_for(&o.loop, 100);
        count_probes(fd, probes);
    }
    for (unsigned i = 0; i < CLIENTS; i++) {
        assert_int_equal(probes[i], 3);
    }
    say(&o.replica, o.socket_path, false);
    run_for(&o.loop, 50);
    take_away(o.n, "10.1.0.1", 16);
    say(&o.replica, o.socket_path, true);
    run_for(&o.loop, 50);
    say_reset(&o, 0, 0, 200);
    run_for(&o.loop, 50);
    say(&o.replica, o.socket_path, false);
    run_for(&o.loop, 50);
    add(o.n, "10.1.0.1", 16);
    say(&o.replica, o.socket_path, true);
    run_for(&o.loop, 1200);
    count_probes(fd, probes);
    assert_int_equal(probes[0], 3);
    say(&o.replica, o.socket_path, false);
    run_for(&o.loop, 50);
    take_away(o.n, "10.1.0.1", 16);
    close(fd);
    close_node(&o);
}

/* ---- what is told of it ---- */

/* Takes CAP_NET_RAW away from this thread, or gives it back. */
static void set_raw(bool allowed)
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2];
    assert_int_equal(syscall(SYS_capget, &head, data), 0);
    data[0].effective &= ~(1U << CAP_NET_RAW);
    data[0].effective |= allowed ? 1U << CAP_NET_RAW : 0;
    assert_int_equal(syscall(SYS_capset, &head, data), 0);
}

static struct report_address heard;

static void on_report(void *arg, struct ts_bytes datagram)
{
    (void)arg;
    assert_int_equal(report_address_decode(&heard, datagram), TS_OK);
}

/* cluster-cfgd, as far as it hears of addresses. */
static void open_listener(struct node *o, struct net_dgram *cfgd)
{
    char path[64];
    snprintf(path, sizeof(path), "%s/run/cfgd.sock", o->dir);
    memset(&heard, 0, sizeof(heard));
    assert_int_equal(net_dgram_open(cfgd, &o->loop, path, on_report, NULL), TS_OK);
}

/* Runs `ip` with these words; whether it did it. */
static bool run_ip(const char *words)
{
    char command[128];
    char said[512];
    struct ts_why why;
    snprintf(command, sizeof(command), "ip %s", words);
    const char *argv[] = {"sh", "-c", command, NULL};
    return lab_exec(argv, NULL, said, sizeof(said), &why) == TS_OK;
}

static void give_up_the_address(struct node *o)
{
    say(&o->replica, o->socket_path, false);
    run_for(&o->loop, 50);
    assert_string_equal(heard.interface, "");
}

/* Goal: an address that is here and was not announced is told as both, with the right that lacks.
 */
static void test_address_that_is_not_announced_is_told(void **state)
{
    (void)state;
    static struct node o;
    struct net_dgram cfgd;
    if (!inside || !run_ip("link add veth1 type veth peer name veth2")) {
        skip();
    }
    assert_true(run_ip("link set veth1 up"));
    assert_true(run_ip("link set veth2 up"));
    assert_true(run_ip("addr add 10.1.0.1/16 dev veth1"));
    open_node(&o);
    open_listener(&o, &cfgd);
    set_raw(false);
    say(&o.replica, o.socket_path, true);
    run_for(&o.loop, 50);
    assert_string_equal(heard.interface, "veth1");
    assert_non_null(strstr(heard.why, "cannot announce 10.1.0.100 on veth1: nicd lacks the right "
                                      "(CAP_NET_RAW)"));
    set_raw(true);
    run_for(&o.loop, 2200);
    assert_string_equal(heard.interface, "veth1");
    assert_string_equal(heard.why, "");
    give_up_the_address(&o);
    net_dgram_close(&cfgd);
    close_node(&o);
    assert_true(run_ip("link del veth1"));
}

/* The interface where the service address would be; `before` is where it was. */
static const char *found(struct netlink *n, unsigned before, struct ts_why *why)
{
    static char name[IF_NAMESIZE];
    struct netlink_address a = netlink_address_of("10.1.0.100", 16);
    unsigned index = before;
    why->text[0] = '\0';
    if (netlink_find(n, &a, &index, why) != TS_OK) {
        return NULL;
    }
    return if_indextoname(index, name);
}

static bool is_running(int fd, const char *name)
{
    struct ifreq r = {.ifr_flags = 0};
    (void)snprintf(r.ifr_name, sizeof(r.ifr_name), "%s", name);
    return ioctl(fd, SIOCGIFFLAGS, &r) == 0 && (r.ifr_flags & IFF_RUNNING) != 0;
}

/* The kernel looks at an interface's link some time after it was set up, and tells. */
static void await_running(const char *name)
{
    const struct sockaddr_nl links = {.nl_family = AF_NETLINK, .nl_groups = RTMGRP_LINK};
    struct pollfd told = {.fd = socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE), .events = POLLIN};
    char bytes[8192];
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    assert_int_equal(bind(told.fd, (const struct sockaddr *)&links, sizeof(links)), 0);
    while (!is_running(fd, name)) {
        assert_int_equal(poll(&told, 1, 10000), 1);
        assert_true(recv(told.fd, bytes, sizeof(bytes), 0) > 0);
    }
    close(told.fd);
    close(fd);
}

/* Goal: of several interfaces that fit, one that runs is taken, then one with the very network,
 * then the one that it was; one that does not run, or is the loopback with a host's address, only
 * when there is no other, and then it is told what is wrong with it. */
static void test_interface_that_runs_is_preferred(void **state)
{
    (void)state;
    struct netlink *n = netlink();
    struct ts_why why;
    if (!inside || !run_ip("link add veth1 type veth peer name veth2") ||
        !run_ip("link add veth3 type veth peer name veth4")) {
        netlink_close(n);
        skip();
    }
    add(n, "10.1.0.9", 32);
    assert_string_equal(found(n, 0, &why), "lo");
    assert_non_null(strstr(why.text, "lo has the only address in the network of 10.1.0.100/16, and "
                                     "that is for this machine alone"));
    assert_true(run_ip("addr add 10.1.0.1/16 dev veth1"));
    assert_string_equal(found(n, LOOPBACK, &why), "veth1");
    assert_non_null(strstr(why.text, "veth1 is down"));
    assert_true(run_ip("link set veth1 up"));
    assert_string_equal(found(n, 0, &why), "veth1");
    assert_non_null(strstr(why.text, "veth1 is down, or has no link"));
    assert_true(run_ip("addr add 10.1.0.2/24 dev veth3"));
    assert_true(run_ip("link set veth3 up"));
    assert_true(run_ip("link set veth4 up"));
    await_running("veth3");
    assert_string_equal(found(n, if_nametoindex("veth1"), &why), "veth3");
    assert_string_equal(why.text, "");
    assert_true(run_ip("link set veth2 up"));
    await_running("veth1");
    assert_string_equal(found(n, if_nametoindex("veth3"), &why), "veth1");
    assert_string_equal(why.text, "");
    assert_true(run_ip("addr add 10.1.0.3/16 dev veth3"));
    assert_string_equal(found(n, if_nametoindex("veth3"), &why), "veth3");
    assert_string_equal(found(n, if_nametoindex("veth1"), &why), "veth1");
    take_away(n, "10.1.0.9", 32);
    assert_true(run_ip("link del veth1"));
    assert_true(run_ip("link del veth3"));
    assert_null(found(n, 0, &why));
    netlink_close(n);
}

/* Goal: nobody is told that all is well while the interface is down; the address stays there, for
 * the link may be gone for a moment only. */
static void test_interface_that_is_down_is_told(void **state)
{
    (void)state;
    static struct node o;
    struct net_dgram cfgd;
    if (!inside || !run_ip("link add veth1 type veth peer name veth2")) {
        skip();
    }
    assert_true(run_ip("link set veth1 up"));
    assert_true(run_ip("addr add 10.1.0.1/16 dev veth1"));
    open_node(&o);
    open_listener(&o, &cfgd);
    run_for(&o.loop, 1200);
    assert_string_equal(heard.interface, "");
    assert_non_null(strstr(heard.why, "veth1 is down, or has no link"));
    say(&o.replica, o.socket_path, true);
    run_for(&o.loop, 50);
    assert_string_equal(heard.interface, "veth1");
    assert_non_null(strstr(heard.why, "veth1"));
    assert_true(run_ip("link set veth2 up"));
    run_for(&o.loop, 2200);
    assert_string_equal(heard.interface, "veth1");
    assert_string_equal(heard.why, "");
    give_up_the_address(&o);
    net_dgram_close(&cfgd);
    close_node(&o);
    assert_true(run_ip("link del veth1"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_find_while_addresses_change),
        cmocka_unit_test(test_own_address_survives_the_service_address),
        cmocka_unit_test(test_clients_are_told_once_the_address_is_here),
        cmocka_unit_test(test_address_that_is_not_announced_is_told),
        cmocka_unit_test(test_interface_that_runs_is_preferred),
        cmocka_unit_test(test_interface_that_is_down_is_told),
    };
    enter();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
