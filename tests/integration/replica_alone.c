/* One NIC without peers, as nicd runs it: the service with its expiry, restarts, and the
 * directories that a replica must refuse. The tests stand in one order and share the node. */
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/io/slot_file.h"
#include "lab/ask.h"
#include "lab/clock.h"
#include "lab/exec.h"
#include "lab/guard.h"
#include "lab/netns.h"
#include "lab/pair.h"
#include "lab/scratch.h"

#define WAIT_MS 60000
#define GRACE_MS 5000
#define NODE "nic1"

struct alone {
    char dir[LAB_SCRATCH_MAX];
    struct nodes_run run;
    struct lab_addrs addrs;
    unsigned net;
    struct lab_guard guard;
};

static struct alone alone;

/* Runs a shell command in the run directory; gives what it wrote. */
static void shell(char *out, size_t cap, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static void shell(char *out, size_t cap, const char *format, ...)
{
    char command[2048];
    char line[3072];
    struct ts_why why = {{0}};
    va_list ap;
    va_start(ap, format);
    int n = vsnprintf(command, sizeof(command), format, ap);
    va_end(ap);
    assert_true(n > 0 && (size_t)n < sizeof(command));
    n = snprintf(line, sizeof(line), "cd '%s' && %s", alone.run.run, command);
    assert_true(n > 0 && (size_t)n < sizeof(line));
    const char *argv[] = {"sh", "-c", line, NULL};
    if (lab_exec(argv, NULL, out, cap, &why) != TS_OK) {
        print_error("%s: %s\n", line, why.text);
        fail();
    }
}

/* A cluster file of one NIC whose clients come to `port`. */
static void write_cluster(const char *name, unsigned port)
{
    shell(NULL, 0,
          "printf '%%s\\n' 'cluster: alone' 'nics:' "
          "'  - {name: " NODE ", host: host1, paths: [127.%u.1.1, 127.%u.2.1]}' 'groups:' "
          "'  - {name: kv, service: kv, nics: [" NODE "], port: %u}' > %s",
          alone.net, alone.net, port, name);
}

/* Runs a replica of its own on the node's directory and gives what it says, with its status. */
static void run_replica(char *out, size_t cap)
{
    shell(out, cap,
          "timeout 20 '%s/replica' --config other.yaml --node " NODE " --data '%s/" NODE
          "' --group kv 2>&1; echo \"status $?\"",
          alone.run.bin, alone.run.run);
    print_message("%s", out);
}

static void start_node(void)
{
    struct ts_why why = {{0}};
    if (nodes_start(&alone.run, NODE, NULL, &why) != TS_OK) {
        print_error("%s\n", why.text);
        fail();
    }
}

static void stop_node(void)
{
    struct ts_why why = {{0}};
    assert_int_equal(nodes_stop(&alone.run, NODE, GRACE_MS, &why), TS_OK);
}

static void ask(const char *const argv[], struct lab_answer *answer)
{
    assert_true(lab_ask_again(&alone.addrs, argv, WAIT_MS, answer));
}

static void expect_text(const char *key, const char *want)
{
    struct lab_answer answer;
    const char *get[] = {"GET", key, NULL};
    ask(get, &answer);
    assert_int_equal(answer.kind, LAB_REPLY_BULK);
    assert_string_equal(answer.text, want);
}

static int64_t ask_number(const char *command, const char *key)
{
    struct lab_answer answer;
    const char *argv[] = {command, key, NULL};
    ask(argv, &answer);
    assert_int_equal(answer.kind, LAB_REPLY_INTEGER);
    return answer.integer;
}

/* Goal: commands are answered, and what expires goes while nobody writes: the replica orders the
 * entry that moves its time by itself. */
static void test_commands_answered_and_expiry_while_idle(void **state)
{
    (void)state;
    struct lab_answer answer;
    const char *set[] = {"SET", "kept", "value", NULL};
    const char *brief[] = {"SET", "brief", "value", "PX", "200", NULL};
    ask(set, &answer);
    assert_string_equal(answer.text, "OK");
    expect_text("kept", "value");
    assert_int_equal(ask_number("INCR", "count"), 1);
    assert_int_equal(ask_number("INCR", "count"), 2);
    ask(brief, &answer);
    uint64_t end = lab_now_ns() + WAIT_MS * TS_NS_PER_MS;
    while (ask_number("DBSIZE", NULL) != 2) { /* looks at no key: that would expire it, too */
        assert_true(lab_now_ns() < end);
        lab_pause_ms(20);
    }
    const char *get[] = {"GET", "brief", NULL};
    ask(get, &answer);
    assert_int_equal(answer.kind, LAB_REPLY_NIL);
}

/* Goal: a second replica on the same journal ends without touching it. */
static void test_second_replica_is_refused(void **state)
{
    (void)state;
    char out[4096];
    run_replica(out, sizeof(out));
    assert_non_null(strstr(out, "in use by another process"));
    assert_null(strstr(out, "status 0"));
    assert_int_equal(ask_number("INCR", "count"), 3);
}

/* Goal: everything acknowledged is there after a restart, however the node ended. */
static void test_restart_keeps_data(void **state)
{
    (void)state;
    stop_node();
    start_node();
    expect_text("kept", "value");
    assert_int_equal(ask_number("INCR", "count"), 4);
    assert_true(nodes_signal_all(&alone.run, NODE, 9) > 0);
    assert_true(nodes_wait_gone(&alone.run, NODE, WAIT_MS));
    start_node();
    expect_text("kept", "value");
    assert_int_equal(ask_number("INCR", "count"), 5);
}

/* Runs a replica of its own, which no voter answers, until it has begun its start; then kills it.
 */
static void begin_start_and_kill(void)
{
    char out[4096];
    shell(out, sizeof(out),
          "{ : > begun; '%s/replica' --config other.yaml --node " NODE " --data '%s/" NODE
          "' --group kv > begun 2>&1 & "
          "p=$!; while kill -0 $p && ! grep -qs ': start ' begun; do sleep 0.02; done; "
          "kill -9 $p; wait $p; cat begun; }",
          alone.run.bin, alone.run.run);
    assert_non_null(strstr(out, ": start "));
}

/* Waits until the log of the copy's replica has `want` lines that refuse it. */
static void wait_refusals(int want)
{
    char out[64];
    uint64_t end = lab_now_ns() + WAIT_MS * TS_NS_PER_MS;
    do {
        assert_true(lab_now_ns() < end);
        lab_pause_ms(20);
        shell(out, sizeof(out),
              "cat " NODE "/log/replica-kv.log* | grep -c 'a clone or a rolled-back image' || :");
    } while (strtol(out, NULL, 10) < want);
}

/* Goal (R1.8): an old copy of the replica's disk is refused by the voters, who know of a later
 * start, and goes on being refused: neither starts that end before a voter answers nor the restarts
 * that follow a refusal bring it closer to acceptance. */
static void test_cloned_directory_is_refused(void **state)
{
    (void)state;
    stop_node();
    shell(NULL, 0, "cp -r " NODE "/groups/kv clone");
    for (int i = 0; i < 2; i++) { /* the copy's next start is one that the original had */
        start_node();
        assert_int_equal(ask_number("INCR", "count"), 6 + i);
        stop_node();
    }
    shell(NULL, 0, "mv " NODE "/groups/kv original && mv clone " NODE "/groups/kv");
    for (int i = 0; i < 4; i++) {
        begin_start_and_kill();
    }
    for (int i = 0; i < 4; i++) {
        start_node();
        wait_refusals(i + 1);
        stop_node();
    }
    shell(NULL, 0, "rm -r " NODE "/groups/kv && mv original " NODE "/groups/kv");
    start_node();
    assert_int_equal(ask_number("INCR", "count"), 8);
}

/* Goal: a blank directory is no empty log. */
static void test_blank_directory_is_refused(void **state)
{
    (void)state;
    char out[4096];
    stop_node();
    shell(NULL, 0, "mv " NODE "/groups/kv original && mkdir " NODE "/groups/kv");
    run_replica(out, sizeof(out));
    assert_non_null(strstr(out, "a blank disk is never taken for an empty one"));
    assert_non_null(strstr(out, "status 78"));
    shell(NULL, 0, "rmdir " NODE "/groups/kv && mv original " NODE "/groups/kv");
    start_node();
    expect_text("kept", "value");
}

/* Writes `version` over the first of the replica's own bytes in its record, or cuts them to `len`.
 */
static void change_record(uint8_t version, size_t len)
{
    char path[TS_PATH_MAX + 64];
    struct ts_slot_file *f = NULL;
    uint8_t bytes[4096];
    (void)snprintf(path, sizeof(path), "%s/" NODE "/groups/kv/record", alone.run.run);
    assert_int_equal(ts_slot_open(&f, path, (struct ts_incarnation){0}, NULL), TS_OK);
    struct ts_bytes value = ts_slot_value(f);
    size_t own = value.len - 17; /* u8 version, u64 floor, u64 replaces */
    assert_true(value.len > 17 && value.len <= sizeof(bytes));
    memcpy(bytes, value.data, value.len);
    bytes[own] = version;
    assert_int_equal(ts_slot_write(f, (struct ts_bytes){bytes, own + len}, NULL), TS_OK);
    ts_slot_close(f);
}

/* Goal: a record of another release, or one that ends early, is no floor of 0: what the replica
 * promised is not known, so it does not start. */
static void test_unknown_record_is_refused(void **state)
{
    (void)state;
    char out[4096];
    stop_node();
    shell(NULL, 0, "cp -r " NODE "/groups/kv kept");
    for (int i = 0; i < 2; i++) {
        change_record(i == 0 ? 99 : 1, i == 0 ? 17 : 5);
        run_replica(out, sizeof(out));
        assert_non_null(strstr(out, "cannot be read as a replica's record"));
        assert_non_null(strstr(out, "status 78"));
        shell(NULL, 0, "rm -r " NODE "/groups/kv && cp -r kept " NODE "/groups/kv");
    }
    start_node();
    expect_text("kept", "value");
}

/* Goal: a bit that flipped in what was durable is no end of the log: nothing is cut off, and the
 * replica says what to do. The bit flips back, and it starts. */
static void test_damaged_journal_is_refused_with_advice(void **state)
{
    (void)state;
    char out[4096];
    stop_node();
    shell(out, sizeof(out), "LC_ALL=C grep -rla 'kept.*value' " NODE "/groups/kv/*");
    shell(NULL, 0,
          "LC_ALL=C sed -i 's/value/vAlue/' $(LC_ALL=C grep -rla 'kept.*value' " NODE
          "/groups/kv/*)");
    run_replica(out, sizeof(out));
    assert_non_null(strstr(out, "the journal in "));
    assert_non_null(strstr(out, "is damaged at entry "));
    assert_non_null(strstr(out, "/" NODE " away, and run twinstep nic replace " NODE ")"));
    assert_non_null(strstr(out, "status 78"));
    shell(NULL, 0,
          "LC_ALL=C sed -i 's/vAlue/value/' $(LC_ALL=C grep -rla 'kept.*vAlue' " NODE
          "/groups/kv/*)");
    start_node();
    expect_text("kept", "value");
}

/* Goal: SIGHUP while cluster-cfgd's start fails is an end with its sentence, not a crash. It is
 * sent while the start waits for the authority's certificate, which then is gone. */
static void test_hangup_while_start_fails(void **state)
{
    (void)state;
    char out[4096];
    stop_node();
    shell(out, sizeof(out),
          "{ mv " NODE "/tls/ca.pem ca.kept; mkfifo " NODE "/tls/ca.pem; "
          "'%s/cluster-cfgd' --config alone.yaml --node " NODE " --data '%s/" NODE
          "' > said 2>&1 & p=$!; "
          "exec 3> " NODE "/tls/ca.pem; kill -HUP $p; rm " NODE "/tls/ca.pem; exec 3>&-; "
          "wait $p; echo status $?; cat said; mv ca.kept " NODE "/tls/ca.pem; }",
          alone.run.bin, alone.run.run);
    print_message("%s", out);
    assert_non_null(strstr(out, "status 78"));
    start_node();
    expect_text("kept", "value");
}

static int begin(void **state)
{
    struct ts_why why = {{0}};
    (void)state;
    alone.net = lab_netns_enter(&why) == TS_OK ? 77 : lab_pair_free_net(160);
    assert_int_equal(lab_scratch_make("alone", alone.dir), TS_OK);
    assert_int_equal(nodes_open(&alone.run, alone.dir, &why), TS_OK);
    static const char *const nodes[] = {NODE, NULL};
    assert_int_equal(lab_guard_begin(&alone.guard, alone.dir, nodes, &why), TS_OK);
    write_cluster("alone.yaml", 6379);
    write_cluster("other.yaml", 6380); /* the second replica's own port for clients */
    shell(NULL, 0, "'%s/twinstep' up --config alone.yaml --dir '%s'", alone.run.bin, alone.run.run);
    alone.addrs.count = 1;
    alone.addrs.a[0].sin_family = AF_INET;
    alone.addrs.a[0].sin_port = htons(6379);
    alone.addrs.a[0].sin_addr.s_addr = htonl(127U << 24 | alone.net << 16 | 1U << 8 | 1U);
    return 0;
}

static int end(void **state)
{
    struct ts_why why = {{0}};
    (void)state;
    if (nodes_stop(&alone.run, NODE, GRACE_MS, &why) != TS_OK) {
        print_error("%s\n", why.text);
        return -1;
    }
    lab_guard_end(&alone.guard);
    lab_scratch_remove(alone.dir);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_commands_answered_and_expiry_while_idle),
        cmocka_unit_test(test_second_replica_is_refused),
        cmocka_unit_test(test_restart_keeps_data),
        cmocka_unit_test(test_cloned_directory_is_refused),
        cmocka_unit_test(test_blank_directory_is_refused),
        cmocka_unit_test(test_unknown_record_is_refused),
        cmocka_unit_test(test_damaged_journal_is_refused_with_advice),
        cmocka_unit_test(test_hangup_while_start_fails),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
