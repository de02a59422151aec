/* Users of a running pair, as an operator adds and removes them with `twinstep user`. The tests
 * stand in one order and share the pair. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lab/clock.h"
#include "lab/exec.h"
#include "tests/integration/fixture.h"

#define WAIT_MS 60000

struct fixture fixture = {.name = "users", .calm = true};
static char said[64 * 1024];
static char password[256];

/* Runs `twinstep user WORD…`; `said` has what it printed. */
static enum ts_err user(const char *word, const char *name, const char *option, const char *value)
{
    char program[TS_PATH_MAX];
    struct ts_why why;
    assert_int_equal(ts_path(program, NULL, fixture.pair.run.bin, "twinstep"), TS_OK);
    const char *argv[] = {program, "user", word, "--dir", fixture.run, name, option, value, NULL};
    return lab_exec(argv, NULL, said, sizeof(said), &why);
}

/* What redis-cli says to a command on a NIC, as `name` when that is given. */
static void cli(unsigned nic, const char *name, const char *command)
{
    char line[1024];
    char login[400] = "";
    struct ts_why why;
    if (name != NULL) {
        snprintf(login, sizeof(login), "--no-auth-warning --user %s --pass %s", name, password);
    }
    snprintf(line, sizeof(line), "redis-cli -h %s -p 6379 %s %s 2>&1",
             fixture.pair.cluster.nodes[nic].paths[0], login, command);
    const char *argv[] = {"sh", "-c", line, NULL};
    (void)!lab_exec(argv, NULL, said, sizeof(said), &why);
}

/* Nodes take a change when their signal comes through. */
static void wait_says(unsigned nic, const char *name, const char *command, const char *text)
{
    uint64_t end = lab_now_ns() + WAIT_MS * TS_NS_PER_MS;
    do {
        if (lab_now_ns() > end) {
            fail_msg("%s never said \"%s\", but: %s", command, text, said);
        }
        lab_pause_ms(20);
        cli(nic, name, command);
    } while (strstr(said, text) == NULL);
}

/* Goal: with the first user the port is closed to strangers, on every NIC, without a restart. */
static void test_added_user_closes_the_port(void **state)
{
    (void)state;
    unsigned primary = fixture_primary(&fixture);
    cli(primary, NULL, "SET k open");
    assert_string_equal(said, "OK\n");
    assert_int_equal(user("add", "app", "--role", "write"), TS_OK);
    const char *at = strstr(said, "not told again: ");
    assert_non_null(at);
    snprintf(password, sizeof(password), "%s", at + strlen("not told again: "));
    password[strcspn(password, "\n")] = '\0';
    wait_says(primary, NULL, "GET k", "NOAUTH");
    wait_says(1 - primary, NULL, "PING", "NOAUTH");
    wait_says(primary, "app", "GET k", "open");
    cli(primary, "app", "SET k mine");
    assert_string_equal(said, "OK\n");
    cli(primary, "app", "FLUSHALL");
    assert_non_null(strstr(said, "NOPERM"));
    cli(1 - primary, "app", "GET k");
    assert_non_null(strstr(said, "READONLY primary is"));
    assert_int_equal(user("list", NULL, NULL, NULL), TS_OK);
    assert_non_null(strstr(said, "app"));
    assert_null(strstr(said, password));
}

/* Goal: a damaged file changes nothing while nodes run, and a replica that starts refuses it. */
static void test_damaged_file_never_opens_the_port(void **state)
{
    (void)state;
    char path[TS_PATH_MAX];
    char copy[TS_PATH_MAX];
    unsigned primary = fixture_primary(&fixture);
    assert_int_equal(ts_path(path, NULL, fixture.run, "users"), TS_OK);
    assert_int_equal(ts_path(copy, NULL, fixture.run, "users.good"), TS_OK);
    assert_int_equal(rename(path, copy), 0);
    assert_int_equal(ts_file_replace(path, "nonsense\n", 9, 0600, NULL), TS_OK);
    assert_int_equal(user("list", NULL, NULL, NULL), TS_ERR_REFUSED);
    fixture_kill_node(1 - primary);
    fixture_start_node(1 - primary);
    struct lab_state now;
    uint64_t end = lab_now_ns() + WAIT_MS * TS_NS_PER_MS;
    do {
        assert_true(lab_now_ns() < end);
        lab_pause_ms(20);
        lab_pair_state(&fixture.pair, &now);
    } while (!lab_state_has_alarm(&now, "process-down"));
    wait_says(primary, NULL, "GET k", "NOAUTH");
    assert_int_equal(rename(copy, path), 0);
    (void)fixture_primary(&fixture); /* in sync again: nicd tried again */
    wait_says(1 - primary, NULL, "PING", "NOAUTH");
}

/* Goal: the last user goes only when that is asked for; then the port is open. */
static void test_removed_users_open_the_port_when_asked(void **state)
{
    (void)state;
    unsigned primary = fixture_primary(&fixture);
    assert_int_equal(user("remove", "app", NULL, NULL), TS_ERR_REFUSED);
    cli(primary, NULL, "GET k");
    assert_non_null(strstr(said, "NOAUTH"));
    assert_int_equal(user("remove", "app", "--open", NULL), TS_OK);
    wait_says(primary, NULL, "GET k", "mine");
    assert_int_equal(user("list", NULL, NULL, NULL), TS_OK);
    assert_non_null(strstr(said, "no users"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_added_user_closes_the_port),
        cmocka_unit_test(test_damaged_file_never_opens_the_port),
        cmocka_unit_test(test_removed_users_open_the_port_when_asked),
    };
    return fixture_run(tests);
}
