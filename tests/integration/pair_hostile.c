/* Goal: hostile bytes on every port of a running pair are refused and counted, and the service
 * goes on: random, truncated and oversized bytes, heartbeats under a wrong key, certificates of
 * a foreign authority and expired ones, and nonsense behind a valid certificate. */
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
#include <openssl/ssl.h>

#include "base/prng.h"
#include "cluster-cfg/io/admin_client.h"
#include "heartbeat/codec.h"
#include "heartbeat/io/mac.h"
#include "lab/clock.h"
#include "net/ca.h"
#include "net/frame.h"
#include "tests/integration/fixture.h"

#define NOISE_MAX 20000
#define WAIT_MS 60000
#define ASK_MS 2000

struct fixture fixture = {.name = "hostile"};
static struct ts_prng prng;
static uint8_t noise[NOISE_MAX];

static void make_noise(size_t n)
{
    for (size_t i = 0; i < n; i++) {
        noise[i] = (uint8_t)ts_prng_next(&prng);
    }
}

/* A socket to an address of a node. -1 when refused, which is an answer too. */
static int reach(unsigned node, unsigned path, uint16_t port, int type)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct timeval wait = {.tv_sec = 5};
    assert_int_equal(inet_pton(AF_INET, fixture.pair.cluster.nodes[node].paths[path], &a.sin_addr),
                     1);
    int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof wait);
    if (connect(fd, (struct sockaddr *)&a, sizeof a) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

/* Sends bytes and hangs up; what the other side does with its end is its affair. */
static void throw_at(unsigned node, unsigned path, uint16_t port, int type, const void *data,
                     size_t n)
{
    int fd = reach(node, path, port, type);
    if (fd >= 0) {
        (void)!send(fd, data, n, MSG_NOSIGNAL);
        close(fd);
    }
}

typedef void attack_fn(unsigned node, unsigned path);

static void on_every_address(attack_fn *attack)
{
    for (unsigned node = 0; node < LAB_NODES; node++) {
        for (unsigned path = 0; path < 2; path++) {
            attack(node, path);
        }
    }
}

static uint16_t replica_port(void)
{
    return cfg_port_replica(&fixture.pair.cluster, fixture.pair.cluster.groups[0].id);
}

/* ---- the attacks ---- */

static void random_bytes(unsigned node, unsigned path)
{
    const uint16_t ports[] = {cfg_port_voter(&fixture.pair.cluster), replica_port(), 6379};
    for (unsigned i = 0; i < 10; i++) {
        size_t n = 1 + (size_t)ts_prng_below(&prng, NOISE_MAX);
        make_noise(n);
        for (size_t p = 0; p < sizeof ports / sizeof ports[0]; p++) {
            throw_at(node, path, ports[p], SOCK_STREAM, noise, n);
        }
        throw_at(node, path, cfg_port_heartbeat(&fixture.pair.cluster), SOCK_DGRAM, noise,
                 n % 1400);
    }
}

/* Commands that are none: limits, signs, nesting, half ones. */
static void bad_commands(unsigned node, unsigned path)
{
    static const char *const texts[] = {
        "*1000000000\r\n",        "*-7\r\n",           "*2\r\n$3\r\nGET\r\n$999999999999\r\n",
        "*1\r\n$-5\r\n",          "*1\r\n:12\r\n",     "*2\r\n*2\r\n*2\r\n",
        "*3\r\n$3\r\nSET\r\n$1",  "\r\n\r\n\r\nSET x", "SET \"unbalanced\r\n",
        "*1\r\n$4\r\nPING\rxyz",  "*1\r\n$3\r\nGE\0T", "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        "*0\r\n*0\r\n*-1\r\n*2x", "$5\r\nhello\r\n",
    };
    for (size_t i = 0; node < LAB_NICS && i < sizeof texts / sizeof texts[0]; i++) {
        throw_at(node, path, 6379, SOCK_STREAM, texts[i], strlen(texts[i]));
    }
    memset(noise, 'A', sizeof noise);
    for (unsigned i = 0; node < LAB_NICS && i < 3; i++) {
        int fd = reach(node, path, 6379, SOCK_STREAM);
        for (unsigned n = 0; fd >= 0 && n < 100; n++) {
            if (send(fd, noise, sizeof noise, MSG_NOSIGNAL) < 0) {
                break; /* closed on an endless line: right */
            }
        }
        close(fd);
    }
}

/* The beginning of a TLS handshake that never goes on: the first one is left open. */
static void half_handshakes(unsigned node, unsigned path)
{
    static const uint8_t hello[] = {0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xfc,
                                    0x03, 0x03, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77};
    throw_at(node, path, replica_port(), SOCK_STREAM, hello, sizeof hello);
    throw_at(node, path, cfg_port_voter(&fixture.pair.cluster), SOCK_STREAM, hello, sizeof hello);
}

/* Well-formed heartbeats of the cluster, with tags under another key. */
static void wrong_key(unsigned node, unsigned path)
{
    uint8_t key[HB_KEY_BYTES_MIN] = {1, 2, 3};
    uint8_t packet[HB_DATAGRAM_BYTES];
    struct hb_mac mac;
    assert_int_equal(hb_mac_open(&mac, key, sizeof key), TS_OK);
    for (unsigned i = 0; i < 20; i++) {
        struct ts_writer w = ts_writer_init(packet, sizeof packet);
        struct hb_datagram d = {
            .cluster = hb_cluster_hash(fixture.pair.cluster.name),
            .from = fixture.pair.cluster.nodes[(node + 1) % LAB_NODES].id,
            .to = fixture.pair.cluster.nodes[node].id,
            .path = (uint8_t)path,
            .instance = {ts_prng_next(&prng) | 1},
            .number = i + 1,
            .sent = {lab_now_ns()},
        };
        assert_int_equal(hb_datagram_encode(&d, &w), TS_OK);
        assert_int_equal(hb_mac_tag(&mac, packet, w.len, packet + w.len), TS_OK);
        throw_at(node, path, cfg_port_heartbeat(&fixture.pair.cluster), SOCK_DGRAM, packet,
                 sizeof packet);
    }
    hb_mac_close(&mac);
}

/* A TLS client with the certificate in `dir`; NULL = none. Then `payload`. Gives whether the
 * server sent as much as one byte of what it protects. */
static bool tls_attack(const char *dir, unsigned node, unsigned path, uint16_t port,
                       const uint8_t *payload, size_t n)
{
    char file[TS_PATH_MAX];
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    assert_non_null(ctx);
    if (dir != NULL) {
        assert_int_equal(ts_path(file, NULL, dir, "node.pem"), TS_OK);
        assert_int_equal(SSL_CTX_use_certificate_chain_file(ctx, file), 1);
        assert_int_equal(ts_path(file, NULL, dir, "node.key"), TS_OK);
        assert_int_equal(SSL_CTX_use_PrivateKey_file(ctx, file, SSL_FILETYPE_PEM), 1);
    }
    int fd = reach(node, path, port, SOCK_STREAM);
    bool answered = false;
    SSL *ssl = SSL_new(ctx);
    if (fd >= 0 && SSL_set_fd(ssl, fd) == 1 && SSL_connect(ssl) == 1) {
        char answer[64];
        if (n > 0) {
            (void)SSL_write(ssl, payload, (int)n);
        }
        answered = SSL_read(ssl, answer, sizeof answer) > 0;
    }
    SSL_free(ssl);
    SSL_CTX_free(ctx);
    if (fd >= 0) {
        close(fd);
    }
    return answered;
}

/* Certificates that must not be believed: the handshake ends without a byte of the inside. */
static void bad_certificates(unsigned node, unsigned path)
{
    const uint16_t ports[] = {cfg_port_voter(&fixture.pair.cluster), replica_port()};
    static const char *const dirs[] = {"foreign", "expired", NULL};
    for (size_t p = 0; p < 2; p++) {
        for (size_t i = 0; i < sizeof dirs / sizeof dirs[0]; i++) {
            char dir[TS_PATH_MAX];
            if (dirs[i] != NULL) {
                assert_int_equal(ts_path(dir, NULL, fixture.run, "%s", dirs[i]), TS_OK);
            }
            assert_false(
                tls_attack(dirs[i] == NULL ? NULL : dir, node, path, ports[p], noise, 100));
        }
    }
}

/* The certificate of one node under the name of another. */
static void wrong_node(unsigned node, unsigned path)
{
    uint8_t bytes[NET_FRAME_HEADER + NET_HELLO_PAYLOAD_MAX];
    uint8_t payload[NET_HELLO_PAYLOAD_MAX];
    struct ts_writer w = ts_writer_init(payload, sizeof payload);
    struct net_hello hello = {
        .version_min = NET_FORMAT_MIN,
        .version_max = NET_FORMAT_MAX,
        .node = fixture.pair.cluster.nodes[(node + 1) % LAB_NICS].id,
        .purpose = NET_PURPOSE_REPLICA,
        .group = fixture.pair.cluster.groups[0].id,
        .instance = {ts_prng_next(&prng) | 1},
        .incarnation = {ts_prng_next(&prng) | 1},
        .start = 1,
    };
    char dir[TS_PATH_MAX];
    snprintf(hello.cluster, sizeof hello.cluster, "%s", fixture.pair.cluster.name);
    net_hello_encode(&hello, &w);
    assert_int_equal(ts_writer_status(&w), TS_OK);
    struct ts_writer frame = ts_writer_init(bytes, sizeof bytes);
    net_frame_header(&frame, NET_FRAME_HELLO, (uint32_t)w.len);
    ts_put_bytes(&frame, payload, w.len);
    assert_int_equal(ts_writer_status(&frame), TS_OK);
    assert_int_equal(ts_path(dir, NULL, fixture.run, "stolen"), TS_OK);
    (void)tls_attack(dir, node, path, replica_port(), bytes, frame.len);
    (void)tls_attack(dir, node, path, cfg_port_voter(&fixture.pair.cluster), bytes, frame.len);
}

/* A stolen certificate: who bears it still gets no further than its frames make sense. */
static void bad_frames(unsigned node, unsigned path)
{
    const uint16_t ports[] = {cfg_port_voter(&fixture.pair.cluster), replica_port()};
    static const uint8_t oversized[] = {0xff, 0xff, 0xff, 0xff, NET_FRAME_HELLO, 1, 2, 3};
    static const uint8_t empty[] = {0, 0, 0, 0, 0, 0, 0, 0};
    static const uint8_t not_hello[] = {5, 0, 0, 0, 32, 1, 2, 3, 4};
    char dir[TS_PATH_MAX];
    assert_int_equal(ts_path(dir, NULL, fixture.run, "stolen"), TS_OK);
    for (size_t p = 0; p < 2; p++) {
        (void)tls_attack(dir, node, path, ports[p], oversized, sizeof oversized);
        (void)tls_attack(dir, node, path, ports[p], empty, sizeof empty);
        (void)tls_attack(dir, node, path, ports[p], not_hello, sizeof not_hello);
        make_noise(2000);
        (void)tls_attack(dir, node, path, ports[p], noise, 2000);
    }
}

/* ---- before and after ---- */

static void make_certificates(void)
{
    char authority[TS_PATH_MAX];
    char dir[TS_PATH_MAX];
    struct ts_why why;
    struct ca_validity past = {.not_before = 1000000000, .not_after = 1000000001};
    const char *cluster = fixture.pair.cluster.name;
    assert_int_equal(ts_path(authority, NULL, fixture.run, "foreign-ca"), TS_OK);
    assert_int_equal(ca_init(authority, cluster, &why), TS_OK);
    assert_int_equal(ts_path(dir, NULL, fixture.run, "foreign"), TS_OK);
    assert_int_equal(ca_issue(authority, "nic2", dir, NULL, ca_validity_days(10), &why), TS_OK);
    assert_int_equal(ts_path(authority, NULL, fixture.run, "ca"), TS_OK);
    assert_int_equal(ts_path(dir, NULL, fixture.run, "expired"), TS_OK);
    assert_int_equal(ca_issue(authority, "nic2", dir, NULL, past, &why), TS_OK);
    assert_int_equal(ts_path(dir, NULL, fixture.run, "stolen"), TS_OK);
    assert_int_equal(ca_issue(authority, "arb1", dir, NULL, ca_validity_days(10), &why), TS_OK);
}

struct pids {
    size_t count[LAB_NODES];
    struct nodes_proc procs[LAB_NODES][NODES_PROCS_MAX];
};

static void read_pids(struct pids *p)
{
    for (unsigned i = 0; i < LAB_NODES; i++) {
        p->count[i] = nodes_procs(&fixture.pair.run, lab_pair_node(&fixture.pair, i), p->procs[i]);
    }
}

static json_t *ask_status(unsigned node)
{
    char dir[TS_PATH_MAX];
    json_t *reply = NULL;
    assert_int_equal(ts_path(dir, NULL, fixture.run, "%s", lab_pair_node(&fixture.pair, node)),
                     TS_OK);
    uint64_t end = lab_now_ns() + WAIT_MS * TS_NS_PER_MS;
    while (admin_client_get(dir, "status", ASK_MS, &reply, NULL) != TS_OK) {
        assert_true(lab_now_ns() < end);
        lab_pause_ms(20);
    }
    return reply;
}

/* heartbeatd tells its numbers once a second. */
static void wait_heartbeats_counted(unsigned node)
{
    uint64_t end = lab_now_ns() + WAIT_MS * TS_NS_PER_MS;
    for (;;) {
        json_t *reply = ask_status(node);
        json_int_t n = json_integer_value(json_object_get(reply, "heartbeats_refused"));
        json_decref(reply);
        if (n > 0) {
            return;
        }
        assert_true(lab_now_ns() < end);
        lab_pause_ms(20);
    }
}

/* What the node's programs count as refused: "replica" of its group, or "voter". */
static uint64_t count_rejected(unsigned node, bool replica)
{
    json_t *reply = ask_status(node);
    const json_t *of = replica ? json_array_get(json_object_get(reply, "groups"), 0)
                               : json_object_get(reply, "voter");
    uint64_t n = (uint64_t)json_integer_value(json_object_get(of, "rejected"));
    json_decref(reply);
    return n;
}

/* Attacks every address once; each is to be counted at least `each` times by its replica and by
 * its voter. Nobody else attacks meanwhile. */
static void expect_counted(attack_fn *attack, uint64_t each)
{
    uint64_t before[LAB_NODES][2];
    for (unsigned i = 0; i < LAB_NODES; i++) {
        before[i][0] = count_rejected(i, false);
        before[i][1] = count_rejected(i, true);
    }
    on_every_address(attack);
    for (unsigned i = 0; i < LAB_NODES; i++) {
        uint64_t end = lab_now_ns() + WAIT_MS * TS_NS_PER_MS;
        while (count_rejected(i, false) < before[i][0] + 2 * each ||
               (i < LAB_NICS && count_rejected(i, true) < before[i][1] + 2 * each)) {
            assert_true(lab_now_ns() < end); /* two paths each */
            lab_pause_ms(20);
        }
    }
}

/* Goal: who is turned away for a certificate or a name is counted, by replica and voter, not only
 * logged. */
static void test_refused_links_are_counted(void **state)
{
    (void)state;
    prng = ts_prng_init(20260102);
    make_certificates();
    expect_counted(bad_certificates, 3); /* foreign, expired, none */
    expect_counted(wrong_node, 1);
}

/* Refusals that the node's programs wrote to their logs. */
static unsigned count_in_logs(unsigned node, const char *program, const char *mark)
{
    char path[TS_PATH_MAX];
    char line[2048];
    unsigned count = 0;
    assert_int_equal(ts_path(path, NULL, fixture.run, "%s/log/%s.log",
                             lab_pair_node(&fixture.pair, node), program),
                     TS_OK);
    FILE *in = fopen(path, "re");
    while (in != NULL && fgets(line, sizeof line, in) != NULL) {
        count += strstr(line, mark) != NULL;
    }
    if (in != NULL) {
        fclose(in);
    }
    return count;
}

static void test_hostile_bytes_refused_service_goes_on(void **state)
{
    (void)state;
    static struct pids before;
    static struct pids after;
    struct lab_state now;
    struct lab_state then;
    prng = ts_prng_init(20260101);
    lab_pair_state(&fixture.pair, &then);
    read_pids(&before);
    struct lab_load *load = fixture_load(&fixture, "hostile");
    static attack_fn *const attacks[] = {random_bytes,     bad_commands, half_handshakes, wrong_key,
                                         bad_certificates, wrong_node,   bad_frames};
    for (size_t i = 0; i < sizeof attacks / sizeof attacks[0]; i++) {
        on_every_address(attacks[i]);
        assert_true(lab_load_wait_acks(load, 200, WAIT_MS));
    }
    assert_true(lab_pair_wait_redundant(&fixture.pair, WAIT_MS, &now));
    fixture_judge(load);
    /* Nobody died of it. */
    read_pids(&after);
    for (unsigned i = 0; i < LAB_NODES; i++) {
        assert_int_equal(before.count[i], after.count[i]);
        for (size_t p = 0; p < before.count[i]; p++) {
            assert_int_equal(before.procs[i][p].pid, after.procs[i][p].pid);
        }
    }
    /* And it was noticed: in counters, and in logs that the attacker cannot fill. */
    for (unsigned i = 0; i < LAB_NICS; i++) {
        assert_true(now.replica[i].rejected > then.replica[i].rejected);
    }
    for (unsigned i = 0; i < LAB_NODES; i++) {
        unsigned said = count_in_logs(i, "heartbeatd", "refused");
        assert_true(said > 0 && said < 200);
        wait_heartbeats_counted(i);
        said = count_in_logs(i, "cluster-cfgd", "refused");
        assert_true(said > 0 && said < 200);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refused_links_are_counted),
        cmocka_unit_test(test_hostile_bytes_refused_service_goes_on),
    };
    return fixture_run(tests);
}
