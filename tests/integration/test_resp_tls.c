/* TLS for clients: Debian's own clients work over it, long values and pipelines come through whole,
 * and who does not speak it gets nothing. */
#include "tests/integration/kv_process.h"

#include "base/prng.h"
#include "lab/load.h"
#include "lab/scratch.h"
#include "net/ca.h"
#include "net/tls_server.h"

#define VALUE_BYTES (500 * 1024)

static char address[32];
static char dir[LAB_SCRATCH_MAX];
static char tls[LAB_SCRATCH_MAX + 16];
static char ca_pem[LAB_SCRATCH_MAX + 32];
static char port_text[16];
static struct kv_process process;
static uint16_t port;

static int set_up(void **state)
{
    (void)state;
    char ca[LAB_SCRATCH_MAX + 16];
    struct ts_why why = {.text = ""};
    assert_int_equal(lab_scratch_make("tls", dir), TS_OK);
    snprintf(ca, sizeof(ca), "%s/ca", dir);
    snprintf(tls, sizeof(tls), "%s/tls", dir);
    snprintf(ca_pem, sizeof(ca_pem), "%s/ca.pem", tls);
    assert_int_equal(ca_init(ca, "demo", &why), TS_OK);
    assert_int_equal(ca_issue(ca, "nic1", tls, NULL, ca_validity_days(2), &why), TS_OK);
    process = kv_start_loopback(address, &port,
                                (const char *const[]){"--tls", tls, "--jitter", "3", NULL});
    snprintf(port_text, sizeof(port_text), "%u", port);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    assert_int_equal(kv_stop(&process), 0);
    lab_scratch_remove(dir);
    return 0;
}

/* Runs a shell line; what it prints goes to `out`. Gives its exit status. */
static int shell(const char *line, char *out, size_t cap)
{
    const char *const argv[] = {"sh", "-c", line, NULL};
    struct kv_process p = kv_start(argv);
    size_t n = fread(out, 1, cap - 1, p.out);
    int status = 0;
    out[n] = '\0';
    fclose(p.out);
    assert_int_equal(waitpid(p.pid, &status, 0), p.pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

#define OPTIONS "--tls --cacert %s -h %s -p %s"

/* Goal: redis-cli in both protocols, with the authority's certificate, and not without it. */
static void test_redis_cli_works(void **state)
{
    (void)state;
    char line[1024];
    char out[4096];
    for (int protocol = 2; protocol <= 3; protocol++) {
        snprintf(line, sizeof(line), "redis-cli -%d " OPTIONS " INCR visits", protocol, ca_pem,
                 address, port_text);
        assert_int_equal(shell(line, out, sizeof(out)), 0);
        assert_string_equal(out, protocol == 2 ? "1\n" : "2\n");
    }
    snprintf(line, sizeof(line), "redis-cli --tls -h %s -p %s PING 2>&1", address, port_text);
    assert_int_not_equal(shell(line, out, sizeof(out)), 0);
    assert_non_null(strstr(out, "certificate verify failed"));
}

/* Goal: values of many records come back as they went, pipelined, while others work. */
static void test_long_values_come_back_whole(void **state)
{
    (void)state;
    static char out[VALUE_BYTES + 64];
    char line[1024];
    char path[LAB_SCRATCH_MAX + 16];
    struct ts_prng p = ts_prng_init(7);
    snprintf(path, sizeof(path), "%s/value", dir);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    for (int i = 0; i < VALUE_BYTES; i++) {
        fputc('a' + (int)ts_prng_below(&p, 26), f);
    }
    fclose(f);
    snprintf(line, sizeof(line), "redis-cli " OPTIONS " -x SET k < %s", ca_pem, address, port_text,
             path);
    assert_int_equal(shell(line, out, sizeof(out)), 0);
    assert_string_equal(out, "OK\n");
    snprintf(line, sizeof(line),
             "for i in 1 2 3 4 5 6; do echo GET k; done | redis-cli " OPTIONS
             " | sort -u | tr -d '\\n' | cmp - %s && echo same",
             ca_pem, address, port_text, path);
    assert_int_equal(shell(line, out, sizeof(out)), 0);
    assert_string_equal(out, "same\n");
}

/* Goal: redis-benchmark with many connections and pipelines, without a complaint. */
static void test_redis_benchmark_works(void **state)
{
    (void)state;
    char line[1024];
    char out[8192];
    snprintf(line, sizeof(line),
             "redis-benchmark " OPTIONS " -n 4000 -P 16 -c 20 -q -d 3000 -t set,get,incr,mset 2>&1",
             ca_pem, address, port_text);
    assert_int_equal(shell(line, out, sizeof(out)), 0);
    assert_null(strstr(out, "rror"));
    assert_non_null(strstr(out, "MSET (10 keys)"));
}

/* Goal: a client that quits gets its answer and the end of TLS, not a torn connection. */
static void test_quit_ends_the_stream_in_order(void **state)
{
    (void)state;
    char line[1024];
    char out[8192];
    snprintf(
        line, sizeof(line),
        "(printf 'PING\\r\\nQUIT\\r\\n'; sleep 0.1) | openssl s_client -quiet -tls1_3 -CAfile %s "
        "-connect %s:%s 2>/dev/null",
        ca_pem, address, port_text);
    assert_int_equal(shell(line, out, sizeof(out)), 0);
    assert_string_equal(out, "+PONG\r\n+OK\r\n");
}

/* Goal: no plain text, no older TLS; nobody else is hurt by it. */
static void test_others_get_nothing(void **state)
{
    (void)state;
    char line[1024];
    char out[8192];
    static const char *const hostile[] = {"PING\r\n", "*1\r\n$4\r\nPING\r\n",
                                          "\x16\x03\x01\xff\xffzzzzzzzzzzzzzzzzzzzz", ""};
    for (size_t i = 0; i < sizeof(hostile) / sizeof(hostile[0]); i++) {
        int fd = kv_connect(address, port);
        char bytes[512];
        kv_send(fd, hostile[i], strlen(hostile[i]));
        shutdown(fd, SHUT_WR);
        while (kv_receive(fd, bytes, sizeof(bytes)) > 0) {
            assert_int_equal(bytes[0], 0x15); /* an alert of TLS, no answer */
        }
        close(fd);
    }
    snprintf(line, sizeof(line), "openssl s_client -tls1_2 -connect %s:%s </dev/null 2>&1", address,
             port_text);
    assert_int_not_equal(shell(line, out, sizeof(out)), 0);
    snprintf(line, sizeof(line), "redis-cli " OPTIONS " PING", ca_pem, address, port_text);
    assert_int_equal(shell(line, out, sizeof(out)), 0);
    assert_string_equal(out, "PONG\n");
}

/* Goal: a certificate of the clients' own authority stands before the node's; one that does not fit
 * its key is refused, and what was loaded stays. */
static void test_given_certificate_is_used(void **state)
{
    (void)state;
    char from[LAB_SCRATCH_MAX + 32];
    char to[LAB_SCRATCH_MAX + 32];
    char other[LAB_SCRATCH_MAX + 16];
    char ca[LAB_SCRATCH_MAX + 16];
    char line[2048];
    char out[64];
    struct ts_why why = {.text = ""};
    struct net_tls_server *t = NULL;
    snprintf(ca, sizeof(ca), "%s/ca", dir);
    snprintf(other, sizeof(other), "%s/other", dir);
    assert_int_equal(ca_issue(ca, "nic2", other, NULL, ca_validity_days(2), &why), TS_OK);
    assert_int_equal(net_tls_server_open(&t, tls, &why), TS_OK);
    snprintf(from, sizeof(from), "%s/node.pem", other);
    snprintf(to, sizeof(to), "%s/client.pem", tls);
    snprintf(line, sizeof(line), "cp %s %s", from, to);
    assert_int_equal(shell(line, out, sizeof(out)), 0);
    assert_int_equal(net_tls_server_reload(t, &why), TS_ERR_NOT_FOUND);
    assert_non_null(strstr(why.text, "client.key"));
    snprintf(line, sizeof(line), "cp %s/node.key %s/client.key", tls, tls);
    assert_int_equal(shell(line, out, sizeof(out)), 0);
    assert_int_equal(net_tls_server_reload(t, &why), TS_ERR_AUTH);
    snprintf(line, sizeof(line), "cp %s/node.key %s/client.key", other, tls);
    assert_int_equal(shell(line, out, sizeof(out)), 0);
    assert_int_equal(net_tls_server_reload(t, &why), TS_OK);
    snprintf(line, sizeof(line), "echo nonsense >%s/client.pem", tls);
    assert_int_equal(shell(line, out, sizeof(out)), 0);
    assert_int_equal(net_tls_server_reload(t, &why), TS_ERR_MALFORMED);
    net_tls_server_close(t);
}

/* Goal: the lab's load speaks TLS, and gets no answer of a server whose authority it does not
 * trust. */
static void test_load_of_the_lab_speaks_tls(void **state)
{
    (void)state;
    char other[LAB_SCRATCH_MAX + 16];
    char other_pem[LAB_SCRATCH_MAX + 32];
    struct ts_why why = {.text = ""};
    struct net_tls_trust *trust[2];
    snprintf(other, sizeof(other), "%s/other", dir);
    snprintf(other_pem, sizeof(other_pem), "%s/ca.pem", other);
    assert_int_equal(ca_init(other, "demo", &why), TS_OK);
    assert_int_equal(net_tls_trust_open(&trust[0], ca_pem, &why), TS_OK);
    assert_int_equal(net_tls_trust_open(&trust[1], other_pem, &why), TS_OK);
    for (int i = 0; i < 2; i++) {
        char at[64];
        struct lab_load *load = NULL;
        struct lab_verdict v;
        struct lab_load_config config = lab_load_defaults();
        snprintf(config.tag, sizeof(config.tag), "tls%d", i);
        snprintf(at, sizeof(at), "%s:%s", address, port_text);
        assert_int_equal(lab_addrs_parse(&config.addrs, at), TS_OK);
        config.trust = trust[i];
        config.clients = 4;
        config.value_bytes = 4000;
        config.give_up_ms = 300;
        assert_int_equal(lab_load_start(&load, &config), TS_OK);
        bool answered = lab_load_wait_acks(load, 500, i == 0 ? 30000 : 1000);
        assert_true(answered == (i == 0));
        lab_load_stop(load);
        if (i == 0) {
            assert_int_equal(lab_load_reconcile(load, 30000, &v), TS_OK);
            assert_true(lab_verdict_ok(&v));
        } else {
            assert_int_equal(lab_load_now(load).acknowledged, 0);
        }
        lab_load_free(load);
        net_tls_trust_close(trust[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_redis_cli_works),
        cmocka_unit_test(test_long_values_come_back_whole),
        cmocka_unit_test(test_load_of_the_lab_speaks_tls),
        cmocka_unit_test(test_redis_benchmark_works),
        cmocka_unit_test(test_quit_ends_the_stream_in_order),
        cmocka_unit_test(test_others_get_nothing),
        cmocka_unit_test(test_given_certificate_is_used),
    };
    signal(SIGPIPE, SIG_IGN);
    kv_address(address, 6);
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
