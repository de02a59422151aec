/* What an operator sees and does, with a running pair and the twinstep command. The tests stand
 * in one order and share the pair. */
#include <arpa/inet.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>
#include <openssl/ssl.h>

#include "lab/clock.h"
#include "lab/exec.h"
#include "net/ca.h"
#include "tests/integration/fixture.h"

#define WAIT_MS 60000
#define ARBITER 2 /* index of the arbiter's node */

struct fixture fixture = {.name = "operator"};
static char said[64 * 1024];

/* Runs `twinstep WORD --dir RUN [option]`; `said` has what it printed, however it ended. */
static void twinstep(const char *word, const char *option)
{
    char program[TS_PATH_MAX];
    struct ts_why why;
    assert_int_equal(ts_path(program, NULL, fixture.pair.run.bin, "twinstep"), TS_OK);
    const char *argv[] = {program, word, "--dir", fixture.run, option, NULL};
    enum ts_err err = lab_exec(argv, NULL, said, sizeof(said), &why);
    assert_true(err == TS_OK || err == TS_ERR_REFUSED); /* alarms are a status of their own */
}

static void expect_said(const char *text)
{
    if (strstr(said, text) == NULL) {
        print_error("\"%s\" is missing in:\n%s\n", text, said);
        fail();
    }
}

/* An alarm stands a little before it is recorded. */
static void wait_told(const char *word, const char *text)
{
    uint64_t end = lab_now_ns() + WAIT_MS * TS_NS_PER_MS;
    do {
        twinstep(word, NULL);
    } while (strstr(said, text) == NULL && lab_now_ns() < end);
    expect_said(text);
}

/* A node that was just started answers when it has come so far. */
static void wait_no_alarms(void)
{
    uint64_t end = lab_now_ns() + WAIT_MS * TS_NS_PER_MS;
    do {
        twinstep("status", NULL);
        lab_pause_ms(20);
    } while (strstr(said, "no alarms") == NULL && lab_now_ns() < end);
    expect_said("no alarms");
}

static void wait_alarm(const char *code)
{
    struct lab_state now;
    uint64_t end = lab_now_ns() + WAIT_MS * TS_NS_PER_MS;
    do {
        assert_true(lab_now_ns() < end);
        lab_pause_ms(20);
        lab_pair_state(&fixture.pair, &now);
    } while (!lab_state_has_alarm(&now, code));
}

/* The survivor's clients and `status` are told which voters it waits for, once that takes long. */
static void expect_waits_for_voters(unsigned survivor, const char *other)
{
    char text[200];
    char command[256];
    struct ts_why why;
    snprintf(text, sizeof(text),
             "CLUSTERDOWN takes over, but no majority of voters answers: start %s, %s; try again",
             other, lab_pair_node(&fixture.pair, ARBITER));
    snprintf(command, sizeof(command), "redis-cli -h %s -p 6379 GET x 2>&1",
             fixture.pair.cluster.nodes[survivor].paths[0]);
    const char *argv[] = {"sh", "-c", command, NULL};
    uint64_t end = lab_now_ns() + WAIT_MS * TS_NS_PER_MS;
    do {
        assert_true(lab_now_ns() < end);
        lab_pause_ms(20);
        assert_int_equal(lab_exec(argv, NULL, said, sizeof(said), &why), TS_OK);
    } while (strstr(said, text) == NULL);
    twinstep("status", NULL);
    expect_said("takes over, but no majority of voters answers: start");
    expect_said("no takeover and no removal of a dead replica can be decided now");
}

/* Goal: with the arbiter and the primary gone nobody serves, and `status` says so in the heading
 * and as an alarm, instead of naming the dead primary. The events keep it. */
static void test_status_without_primary_says_so(void **state)
{
    char text[160];
    (void)state;
    unsigned primary = fixture_primary(&fixture);
    const char *name = lab_pair_node(&fixture.pair, primary);
    fixture_kill_node(ARBITER);
    fixture_kill_node(primary);
    wait_alarm("no-primary");
    twinstep("status", NULL);
    expect_said("group kv  no primary seen for ");
    snprintf(text, sizeof(text), " s, %s was the last  epoch ", name);
    expect_said(text);
    snprintf(text, sizeof(text), "no-primary        kv     %s",
             lab_pair_node(&fixture.pair, LAB_NICS - 1 - primary));
    expect_said(text);
    twinstep("status", "--json");
    expect_said("\"primary\": null");
    expect_waits_for_voters(LAB_NICS - 1 - primary, name);
    wait_told("events", "cluster-cfgd kv: alarm-no-primary epoch=");
    snprintf(text, sizeof(text), "last-primary=%s ", name);
    expect_said(text);

    fixture_start_node(ARBITER);
    fixture_start_node(primary);
    wait_no_alarms();
    snprintf(text, sizeof(text), "group kv  primary %s  epoch ",
             lab_pair_node(&fixture.pair, fixture_primary(&fixture)));
    expect_said(text);
    twinstep("events", NULL);
    expect_said("cluster-cfgd kv: primary-seen epoch=");
}

/* ---- the cluster file ---- */

/* Runs `twinstep up --dir RUN` with up to two words more; gives whether it ended with status 0. */
static bool up(const char *word, const char *value)
{
    char command[3 * TS_PATH_MAX];
    struct ts_why why;
    snprintf(command, sizeof(command), "cd %s && exec %s/twinstep up --dir %s %s %s 2>&1",
             fixture.run, fixture.pair.run.bin, fixture.run, word, value);
    const char *argv[] = {"sh", "-c", command, NULL};
    enum ts_err err = lab_exec(argv, NULL, said, sizeof(said), &why);
    assert_true(err == TS_OK || err == TS_ERR_REFUSED);
    return err == TS_OK;
}

/* The cluster's file with `from` replaced by `to`, written to RUN/file. */
static void write_changed(const char *file, const char *from, const char *to,
                          char path[TS_PATH_MAX])
{
    uint8_t *text = NULL;
    size_t len = 0;
    char now[4096];
    assert_int_equal(ts_path(path, NULL, fixture.run, "cluster.yaml"), TS_OK);
    assert_int_equal(ts_file_read(path, sizeof(now), &text, &len, NULL), TS_OK);
    const char *at = strstr((const char *)text, from);
    assert_non_null(at);
    int n = snprintf(now, sizeof(now), "%.*s%s%s", (int)(at - (const char *)text), text, to,
                     at + strlen(from));
    assert_true(n > 0 && (size_t)n < sizeof(now));
    free(text);
    assert_int_equal(ts_path(path, NULL, fixture.run, "%s", file), TS_OK);
    assert_int_equal(ts_file_replace(path, now, (size_t)n, 0644, NULL), TS_OK);
}

/* Goal: a running cluster's file is not replaced, nor is a formed one by that of another cluster;
 * on a stopped one a change is taken and told. */
static void test_up_other_cluster_file_is_refused_or_told(void **state)
{
    char other[TS_PATH_MAX];
    char slower[TS_PATH_MAX];
    char bigger[TS_PATH_MAX];
    (void)state;
    write_changed("other.yaml", "cluster: demo", "cluster: another", other);
    write_changed("slower.yaml", "failure-timeout: 100ms", "failure-timeout: 150ms", slower);
    write_changed("bigger.yaml", "arbiters:",
                  "  - {name: nic3, voter: false, paths: [127.9.1.1, "
                  "127.9.2.1]}\narbiters:",
                  bigger);
    (void)fixture_primary(&fixture);
    assert_true(up("", ""));
    assert_false(up("--config", slower));
    expect_said("(failure-timeout 100ms to 150ms), and nic1 runs; end all of them first: twinstep "
                "down");
    assert_false(up("--config", other));
    expect_said("is of the cluster \"demo\" but the cluster file describes \"another\"");
    assert_false(up("--config", bigger));
    expect_said("nodes and groups of a formed cluster cannot be changed yet");

    twinstep("down", NULL);
    assert_false(up("--config", other));
    assert_true(up("--config", slower));
    expect_said("cluster file changed: failure-timeout 100ms to 150ms");
    assert_true(up("", ""));
    assert_null(strstr(said, "changed"));
    twinstep("down", NULL);
    write_changed("quick.yaml", "failure-timeout: 150ms", "failure-timeout: 100ms", slower);
    assert_true(up("--config", slower));
    (void)fixture_primary(&fixture);
}

/* Goal: `down` ends each node that is named, and no other. */
static void test_down_several_nodes_ends_those(void **state)
{
    char program[TS_PATH_MAX];
    struct ts_why why;
    (void)state;
    (void)fixture_primary(&fixture);
    assert_int_equal(ts_path(program, NULL, fixture.pair.run.bin, "twinstep"), TS_OK);
    const char *argv[] = {program, "down",  "--dir", fixture.run, "--nic",
                          "nic2",  "--nic", "arb1",  NULL};
    assert_int_equal(lab_exec(argv, NULL, said, sizeof(said), &why), TS_OK);
    expect_said("nic2         ended");
    expect_said("arb1         ended");
    assert_true(nodes_is_running(&fixture.pair.run, "nic1", NULL));
    assert_false(nodes_is_running(&fixture.pair.run, "nic2", NULL));
    assert_false(nodes_is_running(&fixture.pair.run, "arb1", NULL));
    assert_int_equal(lab_exec(argv, NULL, said, sizeof(said), &why), TS_OK);
    expect_said("arb1         does not run here");
    assert_true(up("", ""));
}

/* Starts `twinstep WORDS --dir RUN` behind the test, its words to RUN/`out`. */
static void begin(const char *words, const char *out)
{
    char command[4 * TS_PATH_MAX];
    struct ts_why why;
    snprintf(command, sizeof(command), "(%s/twinstep %s --dir %s; echo status $?) >%s/%s 2>&1 &",
             fixture.pair.run.bin, words, fixture.run, fixture.run, out);
    const char *argv[] = {"sh", "-c", command, NULL};
    assert_int_equal(lab_exec(argv, NULL, said, sizeof(said), &why), TS_OK);
}

/* Until RUN/`file` says so; then `said` is what stands there. */
static void wait_file(const char *file, const char *text)
{
    char path[TS_PATH_MAX];
    uint64_t end = lab_now_ns() + WAIT_MS * TS_NS_PER_MS;
    assert_int_equal(ts_path(path, NULL, fixture.run, "%s", file), TS_OK);
    do {
        uint8_t *now = NULL;
        size_t len = 0;
        lab_pause_ms(20);
        if (ts_file_read(path, sizeof(said) - 1, &now, &len, NULL) == TS_OK) {
            snprintf(said, sizeof(said), "%s", (const char *)now);
        }
        free(now);
    } while (strstr(said, text) == NULL && lab_now_ns() < end);
    expect_said(text);
}

/* Goal: `down` waits for a command that may start nodes, and says so; it ends what an `up` waits
 * for, which then says that, and of no failure. */
static void test_down_beside_up_is_told(void **state)
{
    struct ts_dir_lock lock;
    struct ts_why why;
    (void)state;
    (void)fixture_primary(&fixture);
    assert_int_equal(ts_dir_lock(&lock, fixture.run, &why), TS_OK);
    begin("down", "down.txt");
    wait_file("down.txt", "waiting until it has started what it starts");
    assert_true(nodes_is_running(&fixture.pair.run, "nic1", NULL));
    ts_dir_unlock(&lock);
    wait_file("down.txt", "status 0");
    expect_said("arb1         ended");

    begin("up --nic nic1", "up.txt");
    wait_file("up.txt", "the nodes of other machines are waited for");
    twinstep("down", NULL);
    expect_said("nic1         ended");
    wait_file("up.txt", "status 1");
    expect_said("nic1 was ended while this command waited for it: by twinstep down");
    assert_null(strstr(said, "cluster-cfgd of nic1 does not answer"));
    assert_null(strstr(said, "alarm"));
    assert_true(up("", ""));
}

/* Goal: nodes whose cluster file is damaged or gone, or does not name them any more, are ended all
 * the same, and no others. */
static void test_down_without_a_cluster_file_ends_what_runs(void **state)
{
    static const char DAMAGED[] = "cluster: demo\nnics:";
    char path[TS_PATH_MAX];
    uint8_t *text = NULL;
    size_t len = 0;
    (void)state;
    (void)fixture_primary(&fixture);
    assert_int_equal(ts_path(path, NULL, fixture.run, "cluster.yaml"), TS_OK);
    assert_int_equal(ts_file_read(path, 4096, &text, &len, NULL), TS_OK);
    assert_int_equal(ts_file_replace(path, DAMAGED, sizeof(DAMAGED) - 1, 0644, NULL), TS_OK);
    twinstep("down", "--nic=nic2");
    expect_said("nic2         ended");
    assert_true(nodes_is_running(&fixture.pair.run, "nic1", NULL));
    assert_int_equal(unlink(path), 0);
    twinstep("down", NULL);
    expect_said("nic1         ended");
    expect_said("arb1         ended");

    assert_int_equal(ts_file_replace(path, text, len, 0644, NULL), TS_OK);
    free(text);
    assert_true(up("", ""));
    assert_int_equal(ts_file_read(path, 4096, &text, &len, NULL), TS_OK);
    char *arbiter = strstr((char *)text, "arb1");
    assert_non_null(arbiter);
    memcpy(arbiter, "arb9", 4);
    assert_int_equal(ts_file_replace(path, text, len, 0644, NULL), TS_OK);
    twinstep("down", NULL);
    expect_said("arb9         does not run here");
    expect_said("arb1         ended");
    memcpy(arbiter, "arb1", 4);
    assert_int_equal(ts_file_replace(path, text, len, 0644, NULL), TS_OK);
    free(text);
    assert_true(up("", ""));
}

/* Goal: what `up` prints is not written to a file that it opened, when standard output is closed.
 */
static void test_up_closed_output_writes_to_no_file(void **state)
{
    char command[3 * TS_PATH_MAX];
    struct ts_why why;
    (void)state;
    snprintf(command, sizeof(command),
             "twinstep=%s/twinstep; cd %s; $twinstep down --dir . >/dev/null; "
             "$twinstep up --dir . 2>/dev/null >&-; echo status $?; cat lock",
             fixture.pair.run.bin, fixture.run);
    const char *argv[] = {"sh", "-c", command, NULL};
    assert_int_equal(lab_exec(argv, NULL, said, sizeof(said), &why), TS_OK);
    expect_said("status 1\n");
    assert_null(strstr(said, "cluster"));
}

/* Goal: logs may be deleted with their directory; a UDP port that is taken is told beforehand; an
 * arbiter by itself knows the primary from its voter's record. */
static void test_up_after_odd_changes_starts_or_says_why(void **state)
{
    char log[TS_PATH_MAX];
    const struct cfg_cluster *c = &fixture.pair.cluster;
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(cfg_port_heartbeat(c))};
    (void)state;
    (void)fixture_primary(&fixture);
    twinstep("down", NULL);
    assert_int_equal(ts_path(log, NULL, fixture.run, "arb1/log"), TS_OK);
    lab_scratch_remove(log);
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(inet_pton(AF_INET, c->nodes[0].paths[1], &a.sin_addr), 1);
    assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
    assert_false(up("", ""));
    expect_said("heartbeatd of nic1 cannot listen on ");
    expect_said(
        " UDP port 7402: Address already in use; end what listens there (ss -lunp shows it)");
    close(fd);
    assert_true(up("", ""));
    expect_said("clients: ");
    assert_true(up("--nic", "arb1"));
    expect_said("kv: primary nic");
    expect_said(", as the voter of arb1 recorded\n");
}

/* Runs a line of shell in RUN. */
static void shell(const char *line)
{
    char command[2 * TS_PATH_MAX];
    struct ts_why why;
    snprintf(command, sizeof(command), "cd %s && %s", fixture.run, line);
    const char *argv[] = {"sh", "-c", command, NULL};
    assert_int_equal(lab_exec(argv, NULL, said, sizeof(said), &why), TS_OK);
}

/* Events of one kind: all of them are more than `said` takes. */
static void events_of(const char *kind)
{
    char line[TS_PATH_MAX + 64];
    snprintf(line, sizeof(line), "%s/twinstep events --dir . | grep %s", fixture.pair.run.bin,
             kind);
    shell(line);
}

/* Goal: another node's disk in a node's directory is named by the voters and at the node itself, in
 * events, too; with its own disk the node goes on as before. */
static void test_foreign_disk_is_named(void **state)
{
    (void)state;
    (void)fixture_primary(&fixture);
    twinstep("down", NULL);
    shell("mv nic1/groups own-groups && cp -a nic2/groups nic1/groups");
    assert_false(up("--timeout", "1"));
    wait_alarm("foreign-disk");
    twinstep("status", NULL);
    expect_said("its disk belongs to nic2, so no voter answers it: see the alarm foreign-disk");
    expect_said(
        "the replica of kv of nic1 runs on a disk that belongs to nic2, and gets no answer: "
        "end nic1, put its own RUN/nic1/groups/kv back, or, ");
    events_of("foreign-disk");
    expect_said("cluster-cfgd kv: foreign-disk peer=nic1 owner=nic2");
    twinstep("down", NULL);
    shell("rm -r nic1/groups && mv own-groups nic1/groups");
    assert_true(up("", ""));
}

/* ---- certificates ---- */

#define SERIAL_MAX 48

/* The number of the certificate that a node presents at a port now, in hexadecimal; "" when
 * nobody answers. */
static void presented(unsigned node, uint16_t port, char out[SERIAL_MAX])
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct timeval wait = {.tv_sec = 5};
    const struct cfg_node *n = &fixture.pair.cluster.nodes[node];
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    SSL *ssl = ctx == NULL ? NULL : SSL_new(ctx);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_non_null(ssl);
    assert_true(fd >= 0);
    assert_int_equal(inet_pton(AF_INET, n->paths[0], &a.sin_addr), 1);
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
    out[0] = '\0';
    if (connect(fd, (struct sockaddr *)&a, sizeof(a)) == 0 && SSL_set_fd(ssl, fd) == 1 &&
        SSL_connect(ssl) == 1) {
        const X509 *cert = SSL_get0_peer_certificate(ssl);
        assert_non_null(cert);
        const ASN1_INTEGER *serial = X509_get0_serialNumber(cert);
        for (int i = 0; i < ASN1_STRING_length(serial) && 2 * i + 2 < SERIAL_MAX; i++) {
            snprintf(out + 2 * i, 3, "%02x", ASN1_STRING_get0_data(serial)[i]);
        }
    }
    SSL_free(ssl);
    SSL_CTX_free(ctx);
    close(fd);
}

static uint16_t port_of(bool replica)
{
    const struct cfg_cluster *c = &fixture.pair.cluster;
    return replica ? cfg_port_replica(c, c->groups[0].id) : cfg_port_voter(c);
}

/* Both ports present one certificate, which is none of `old` (may be ""). */
static void wait_presented(unsigned node, const char *old, char now[SERIAL_MAX])
{
    char other[SERIAL_MAX];
    uint64_t end = lab_now_ns() + WAIT_MS * TS_NS_PER_MS;
    do {
        assert_true(lab_now_ns() < end);
        lab_pause_ms(20);
        presented(node, port_of(false), now);
        presented(node, port_of(true), other);
    } while (now[0] == '\0' || strcmp(now, other) != 0 || strcmp(now, old) == 0);
}

/* `twinstep ca issue --force`, with the lab's authority, into the node's directory. */
static void issue(const char *node)
{
    char program[TS_PATH_MAX];
    char ca[TS_PATH_MAX];
    char tls[TS_PATH_MAX];
    struct ts_why why;
    assert_int_equal(ts_path(program, NULL, fixture.pair.run.bin, "twinstep"), TS_OK);
    assert_int_equal(ts_path(ca, NULL, fixture.run, "ca"), TS_OK);
    assert_int_equal(ts_path(tls, NULL, fixture.run, "%s/tls", node), TS_OK);
    const char *argv[] = {program, "ca",    "issue", "--dir",   ca,  "--node",
                          node,    "--out", tls,     "--force", NULL};
    assert_int_equal(lab_exec(argv, NULL, said, sizeof(said), &why), TS_OK);
}

static void hang_up(const char *node)
{
    struct nodes_proc nicd;
    assert_true(nodes_find(&fixture.pair.run, node, "nicd", NULL, &nicd));
    assert_true(nodes_signal(&fixture.pair.run, node, &nicd, SIGHUP));
}

static unsigned count_in_log(const char *node, const char *program, const char *mark)
{
    char path[TS_PATH_MAX];
    char line[2048];
    unsigned count = 0;
    assert_int_equal(ts_path(path, NULL, fixture.run, "%s/log/%s.log", node, program), TS_OK);
    FILE *in = fopen(path, "re");
    assert_non_null(in);
    while (fgets(line, sizeof(line), in) != NULL) {
        count += strstr(line, mark) != NULL;
    }
    fclose(in);
    return count;
}

static void wait_logged(const char *node, const char *program, const char *mark, unsigned count)
{
    uint64_t end = lab_now_ns() + WAIT_MS * TS_NS_PER_MS;
    while (count_in_log(node, program, mark) < count) {
        assert_true(lab_now_ns() < end);
        lab_pause_ms(20);
    }
}

/* Goal: a certificate that was renewed is taken at SIGHUP of nicd, by voter and replica, without a
 * restart; one that does not load leaves the old one in use, and is told. */
static void test_renewed_certificate_is_taken_at_hangup(void **state)
{
    (void)state;
    static const char *const PROGRAMS[] = {"cluster-cfgd", "replica-kv"};
    static struct nodes_proc before[NODES_PROCS_MAX];
    static struct nodes_proc after[NODES_PROCS_MAX];
    char first[SERIAL_MAX];
    char second[SERIAL_MAX];
    char third[SERIAL_MAX];
    char pem[TS_PATH_MAX];
    struct lab_state then;
    struct lab_state now;
    assert_true(lab_pair_wait_redundant(&fixture.pair, WAIT_MS, &then));
    unsigned primary = (unsigned)lab_state_primary(&then);
    const char *name = lab_pair_node(&fixture.pair, primary);
    size_t count = nodes_procs(&fixture.pair.run, name, before);
    struct lab_load *load = fixture_load(&fixture, "renewed");

    wait_presented(primary, "", first);
    issue(name);
    hang_up(name);
    wait_presented(primary, first, second);

    assert_int_equal(ts_path(pem, NULL, fixture.run, "%s/tls/node.pem", name), TS_OK);
    assert_int_equal(ts_file_replace(pem, "none", 4, 0644, NULL), TS_OK);
    hang_up(name);
    for (size_t i = 0; i < 2; i++) {
        wait_logged(name, PROGRAMS[i], "the certificate was not renewed", 1);
        assert_int_equal(count_in_log(name, PROGRAMS[i], "new links use the certificate of"), 1);
    }
    wait_presented(primary, first, third);
    assert_string_equal(third, second);

    issue(name);
    hang_up(name);
    wait_presented(primary, second, third);
    assert_true(lab_load_wait_acks(load, 200, WAIT_MS));
    fixture_judge(load);
    assert_true(lab_pair_wait_redundant(&fixture.pair, WAIT_MS, &now));
    assert_int_equal(nodes_procs(&fixture.pair.run, name, after), count);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(before[i].pid, after[i].pid);
    }
    /* New links with it work: the other NIC comes back to this one. */
    unsigned other = LAB_NICS - 1 - primary;
    fixture_kill_node(other);
    fixture_start_node(other);
    assert_true(lab_pair_wait_redundant(&fixture.pair, WAIT_MS, &now));
}

static void expect_alarm_gone(const char *code)
{
    struct lab_state now;
    assert_true(lab_pair_wait_redundant(&fixture.pair, WAIT_MS, &now)); /* no alarm at all */
    assert_false(lab_state_has_alarm(&now, code));
}

/* Asks `twinstep status` until it says `text`. */
static void wait_said(const char *text)
{
    uint64_t end = lab_now_ns() + WAIT_MS * TS_NS_PER_MS;
    do {
        if (lab_now_ns() >= end) {
            expect_said(text);
        }
        lab_pause_ms(100);
        twinstep("status", NULL);
    } while (strstr(said, text) == NULL);
}

/* Goal: a node with certificate and key of another authority is named by the others, and it names
 * them: why there is no link, and why it is not heard. */
static void test_status_other_authority_is_told(void **state)
{
    char line[TS_PATH_MAX + 160];
    (void)state;
    (void)fixture_primary(&fixture);
    snprintf(line, sizeof(line),
             "%s/twinstep up --prepare --config cluster.yaml --dir x >/dev/null 2>&1; "
             "mv nic2/tls own-tls && cp -a x/nic2/tls nic2/tls",
             fixture.pair.run.bin);
    twinstep("down", NULL);
    shell(line);
    assert_false(up("--timeout", "1"));
    wait_alarm("certificate");
    wait_said("no link to nic2: TLS refused: the peer's certificate is refused: self-signed");
    wait_said("no link to nic1: TLS refused: ");
    wait_said("nic2 is not heard on any path: heartbeats that come");
    wait_said("nic1 is not heard on any path: heartbeats that come");
    events_of("link-refused");
    expect_said("nic1     cluster-cfgd: link-refused peer=nic2");
    events_of("wrong-key");
    expect_said("nic1     heartbeatd: wrong-key peer=nic2");
    twinstep("down", NULL);
    shell("rm -r nic2/tls x && mv own-tls nic2/tls");
    assert_true(up("", ""));
    wait_no_alarms();
}

/* Goal: a certificate that the other nodes refuse is no riddle: another node's ends the program
 * with a sentence that `status` shows, an expired one is an alarm; a right one mends both. */
static void test_status_wrong_certificate_is_told(void **state)
{
    char ca[TS_PATH_MAX];
    char tls[TS_PATH_MAX];
    struct ts_why why;
    (void)state;
    (void)fixture_primary(&fixture);
    assert_int_equal(ts_path(ca, NULL, fixture.run, "ca"), TS_OK);
    assert_int_equal(ts_path(tls, NULL, fixture.run, "arb1/tls"), TS_OK);
    struct ca_validity past = ca_validity_days(1);
    past.not_before -= 864000;
    past.not_after -= 864000;
    assert_int_equal(ca_issue(ca, "arb1", tls, NULL, past, &why), TS_OK);
    hang_up("arb1");
    wait_alarm("certificate");
    twinstep("status", NULL);
    expect_said("the certificate of arb1 expired at ");
    issue("arb1");
    hang_up("arb1");
    expect_alarm_gone("certificate");

    assert_int_equal(ca_issue(ca, "nic1", tls, NULL, ca_validity_days(9), &why), TS_OK);
    fixture_kill_node(ARBITER);
    fixture_start_node(ARBITER);
    wait_said("node.pem is of node nic1 of cluster demo, and this is arb1 of demo");
    expect_said("cluster-cfgd of arb1 does not stay up: ");
    issue("arb1");
    expect_alarm_gone("certificate"); /* nicd tries again by itself */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_status_without_primary_says_so),
        cmocka_unit_test(test_up_other_cluster_file_is_refused_or_told),
        cmocka_unit_test(test_down_several_nodes_ends_those),
        cmocka_unit_test(test_down_beside_up_is_told),
        cmocka_unit_test(test_down_without_a_cluster_file_ends_what_runs),
        cmocka_unit_test(test_up_closed_output_writes_to_no_file),
        cmocka_unit_test(test_up_after_odd_changes_starts_or_says_why),
        cmocka_unit_test(test_foreign_disk_is_named),
        cmocka_unit_test(test_renewed_certificate_is_taken_at_hangup),
        cmocka_unit_test(test_status_other_authority_is_told),
        cmocka_unit_test(test_status_wrong_certificate_is_told),
    };
    return fixture_run(tests);
}
