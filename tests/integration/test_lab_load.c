/* Goal: the load oracle, end to end, against a server that is not ours: Debian's redis-server.
 * It must believe a server that keeps what it acknowledged across a SIGKILL, and must not
 * believe one that forgets. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "lab/load.h"
#include "lab/scratch.h"

struct redis {
    char dir[LAB_SCRATCH_MAX];
    char host[32];
    bool durable;
    pid_t pid;
};

static void redis_start(struct redis *r)
{
    r->pid = fork();
    if (r->pid == 0) {
        execlp("redis-server", "redis-server", "--bind", r->host, "--port", "6391", "--dir", r->dir,
               "--save", "", "--appendonly", r->durable ? "yes" : "no", "--appendfsync", "always",
               "--logfile", "server.log", (char *)NULL);
        _exit(127);
    }
    assert_true(r->pid > 0);
}

static void redis_kill(struct redis *r)
{
    assert_int_equal(kill(r->pid, SIGKILL), 0);
    assert_int_equal(waitpid(r->pid, NULL, 0), r->pid);
}

/* Starts a server and a load on it. */
static struct lab_load *begin(struct redis *r, bool durable)
{
    struct lab_load_config config = lab_load_defaults();
    unsigned pid = (unsigned)getpid();
    char text[LAB_ADDR_TEXT_MAX];
    r->durable = durable;
    assert_int_equal(lab_scratch_make("redis", r->dir), TS_OK);
    snprintf(r->host, sizeof r->host, "127.90.%u.%u", pid / 250 % 250 + 1, pid % 250 + 1);
    snprintf(text, sizeof text, "%s:6391", r->host);
    assert_int_equal(lab_addrs_parse(&config.addrs, text), TS_OK);
    redis_start(r);
    struct lab_load *load;
    assert_int_equal(lab_load_start(&load, &config), TS_OK);
    assert_true(lab_load_wait_acks(load, 500, 30000));
    return load;
}

static void end(struct redis *r, struct lab_load *load)
{
    lab_load_free(load);
    redis_kill(r);
    lab_scratch_remove(r->dir);
}

/* Kills and restarts the server under load; gives the verdict of the oracle. */
static struct lab_verdict kill_under_load(struct redis *r, struct lab_load *load)
{
    struct lab_verdict v;
    assert_true(lab_load_now(load).in_flight > 0);
    lab_load_reset_gap(load);
    redis_kill(r);
    redis_start(r);
    assert_true(lab_load_wait_acks(load, 500, 30000));
    assert_true(lab_load_now(load).longest_gap_ns > 0);
    lab_load_stop(load);
    assert_int_equal(lab_load_reconcile(load, 30000, &v), TS_OK);
    return v;
}

static void test_server_that_keeps_believed(void **state)
{
    (void)state;
    struct redis r;
    struct lab_load *load = begin(&r, true);
    struct lab_verdict v = kill_under_load(&r, load);
    char text[512];
    lab_verdict_text(&v, text, sizeof text);
    print_message("%s\n", text);
    assert_true(lab_verdict_ok(&v));
    assert_true(v.acknowledged > 300);
    assert_true(v.ambiguous > 0); /* requests were in flight */
    assert_true(lab_load_client_stats(load).closed > 0);
    /* Reading back again judges the same history anew. */
    assert_int_equal(lab_load_reconcile(load, 30000, &v), TS_OK);
    assert_true(lab_verdict_ok(&v));
    end(&r, load);
}

static void test_server_that_forgets_found_out(void **state)
{
    (void)state;
    struct redis r;
    struct lab_load *load = begin(&r, false);
    struct lab_verdict v = kill_under_load(&r, load);
    char text[512];
    lab_verdict_text(&v, text, sizeof text);
    print_message("%s\n%s\n", text, v.findings[0]);
    assert_true(v.lost > 0);
    assert_false(lab_verdict_ok(&v));
    end(&r, load);
}

static void test_reconcile_without_a_server_times_out(void **state)
{
    (void)state;
    struct redis r;
    struct lab_verdict v;
    struct lab_load *load = begin(&r, false);
    lab_load_stop(load);
    redis_kill(&r);
    assert_int_equal(lab_load_reconcile(load, 200, &v), TS_ERR_TIMEOUT);
    redis_start(&r);
    end(&r, load);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_server_that_keeps_believed),
        cmocka_unit_test(test_server_that_forgets_found_out),
        cmocka_unit_test(test_reconcile_without_a_server_times_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
