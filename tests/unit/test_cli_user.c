/* twinstep user: its words, and the note of a port that is open. The rest needs a cluster:
 * tests/integration/pair_users.c. */
#include <stdlib.h>
#include <string.h>

#include "tests/unit/cli_fixture.h"

#include "cli/notes.h"
#include "cluster-cfg/io/cluster_yaml.h"
#include "lab/scratch.h"
#include "net/users.h"

static void expect_run(const char *const *words, int status, const char *says)
{
    struct sheet s = {0};
    char *argv[8] = {NULL};
    int argc = 0;
    for (; words[argc] != NULL; argc++) {
        argv[argc] = strdup(words[argc]);
    }
    sheet_begin(&s);
    int got = cli_user(&s.cli, argc, argv);
    assert_int_equal(fclose(s.cli.out), 0);
    if (got != status || strstr(s.text, says) == NULL) {
        print_error("user %s: status %d, said: %s\n", words[1], got, s.text);
    }
    assert_int_equal(got, status);
    assert_non_null(strstr(s.text, says));
    free(s.text);
    while (argc > 0) {
        free(argv[--argc]);
    }
}

#define RUN(status, says, ...) \
    expect_run((const char *const[]){"user", __VA_ARGS__, NULL}, (status), (says))

/* Goal: what is asked wrongly is told before anything is looked at. */
static void test_user_wrong_words_are_told(void **state)
{
    (void)state;
    RUN(CLI_OK, "usage: twinstep user add", "--help");
    RUN(CLI_USAGE, "there is no \"user frob\"", "frob");
    RUN(CLI_USAGE, "needs NAME and --role", "add", "app");
    RUN(CLI_USAGE, "the name is \"a b\"", "add", "a b", "--role", "read");
    RUN(CLI_USAGE, "--role root: give read, write or admin", "add", "app", "--role", "root");
    RUN(CLI_USAGE, "user remove needs NAME", "remove");
    RUN(CLI_USAGE, "more", "list", "more");
    RUN(CLI_UNREACHABLE, "no/such", "list", "--dir", "no/such");
}

static size_t notes_of(const char *text, const char *run)
{
    static struct cfg_cluster c;
    char error[CLUSTER_YAML_ERROR_MAX];
    struct ts_bytes bytes = {(const uint8_t *)text, strlen(text)};
    assert_int_equal(cluster_yaml_parse("c", bytes, &c, error), TS_OK);
    json_t *notes = json_array();
    cli_note_open_ports(&c, run, notes);
    size_t n = json_array_size(notes);
    if (n > 0) {
        assert_string_equal(json_string_value(json_array_get(notes, 0)),
                            "group kv has no users: whoever reaches port 6379 of its NICs may do "
                            "everything; add users with `twinstep user add`");
    }
    json_decref(notes);
    return n;
}

/* Goal: an open port is noted where others can reach it, and only there. */
static void test_open_port_is_noted(void **state)
{
    (void)state;
    static const char loopback[] = "cluster: demo\n"
                                   "nics:\n"
                                   "  - {name: nic1, paths: [127.0.0.1]}\n"
                                   "  - {name: nic2, paths: [127.0.0.2]}\n"
                                   "arbiters:\n"
                                   "  - {name: arb1, paths: [127.0.0.3]}\n"
                                   "groups:\n"
                                   "  - {name: kv, service: kv, port: 6379}\n";
    static struct net_users users = {.count = 1};
    char dir[LAB_SCRATCH_MAX];
    char path[LAB_SCRATCH_MAX + 8];
    assert_int_equal(lab_scratch_make("users", dir), TS_OK);
    (void)snprintf(path, sizeof(path), "%s/users", dir);
    assert_int_equal(notes_of(CLUSTER, dir), 1);
    assert_int_equal(notes_of(loopback, dir), 0);
    users.users[0] = (struct net_user){.name = "app", .role = NET_ROLE_READ};
    assert_int_equal(net_users_save(path, &users, NULL), TS_OK);
    assert_int_equal(notes_of(CLUSTER, dir), 0);
    lab_scratch_remove(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_user_wrong_words_are_told),
        cmocka_unit_test(test_open_port_is_noted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
