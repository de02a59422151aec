/* twinstep ca: which names it takes, and that it replaces nothing unasked. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/cli_fixture.h"

#include "cli/form.h"
#include "cluster-cfg/io/cluster_yaml.h"
#include "cluster-cfg/io/format.h"
#include "lab/scratch.h"

/* Runs `ca` and gives its status; `s->text` is what it said, for the caller to free. */
static int run(struct sheet *s, const char *const *words)
{
    char *argv[12] = {NULL};
    int argc = 0;
    while (words[argc] != NULL) {
        argv[argc] = strdup(words[argc]);
        argc++;
    }
    sheet_begin(s);
    int status = cli_ca(&s->cli, argc, argv);
    assert_int_equal(fclose(s->cli.out), 0);
    while (argc > 0) {
        free(argv[--argc]);
    }
    return status;
}

static void expect_run(const char *const *words, int status, const char *says)
{
    struct sheet s = {0};
    int got = run(&s, words);
    if (got != status || strstr(s.text, says) == NULL) {
        print_error("%s %s: status %d, said: %s\n", words[0], words[1], got, s.text);
    }
    assert_int_equal(got, status);
    assert_non_null(strstr(s.text, says));
    free(s.text);
}

struct ca_place {
    char dir[LAB_SCRATCH_MAX];
    char ca[LAB_SCRATCH_MAX + 8];
    char run[LAB_SCRATCH_MAX + 8];
    char tls[LAB_SCRATCH_MAX + 24];
    char pem[LAB_SCRATCH_MAX + 40];
    char config[LAB_SCRATCH_MAX + 8];
};

static void ca_place_make(struct ca_place *p)
{
    assert_int_equal(lab_scratch_make("ca", p->dir), TS_OK);
    (void)snprintf(p->ca, sizeof(p->ca), "%s/ca", p->dir);
    (void)snprintf(p->run, sizeof(p->run), "%s/run", p->dir);
    (void)snprintf(p->tls, sizeof(p->tls), "%s/nic1/tls", p->run);
    (void)snprintf(p->pem, sizeof(p->pem), "%s/node.pem", p->tls);
    (void)snprintf(p->config, sizeof(p->config), "%s/c.yaml", p->dir);
    const char *const init[] = {"ca", "init", "--dir", p->ca, "--cluster", "demo", NULL};
    expect_run(init, CLI_OK, "authority of cluster demo made");
}

static char *text_of_file(const char *path)
{
    uint8_t *data = NULL;
    size_t len = 0;
    assert_int_equal(ts_file_read(path, 1U << 16, &data, &len, NULL), TS_OK);
    return (char *)data;
}

/* What `up` does before it starts the nodes. */
static enum ts_err form(const struct ca_place *p, struct ts_why *why)
{
    struct cfg_cluster cluster;
    char error[CLUSTER_YAML_ERROR_MAX];
    assert_int_equal(ts_file_replace(p->config, CLUSTER, sizeof(CLUSTER) - 1, 0644, NULL), TS_OK);
    assert_int_equal(cluster_yaml_load(p->config, &cluster, error), TS_OK);
    struct cli_form f = {
        .cluster = &cluster, .config = p->config, .run = p->run, .chosen = {true, true, true}};
    return cli_form(&f, NULL, why);
}

static void expect_formed(const struct ca_place *p)
{
    struct ts_why why;
    if (form(p, &why) != TS_OK) {
        fail_msg("%s", why.text);
    }
}

static void expect_not_formed(const struct ca_place *p, const char *says)
{
    struct ts_why why = {{0}};
    assert_int_equal(form(p, &why), TS_ERR_NOT_FOUND);
    if (strstr(why.text, says) == NULL) {
        fail_msg("\"%s\" is missing in: %s", says, why.text);
    }
}

static void expect_no_authority(const struct ca_place *p)
{
    char ca[TS_PATH_MAX];
    assert_int_equal(ts_path(ca, NULL, p->run, "ca"), TS_OK);
    assert_int_equal(access(ca, F_OK), -1);
}

/* Goal: names are those that the cluster file takes; nothing is made under others. */
static void test_ca_odd_names_are_refused(void **state)
{
    (void)state;
    static const char *const NAMES[] = {"",     "../nic1", "Nic1",
                                        "1nic", "nic 1",   "nic1\n",
                                        "n/1",  "-nic",    "n123456789012345678901234567890x"};
    struct ca_place p;
    ca_place_make(&p);
    for (size_t i = 0; i < sizeof(NAMES) / sizeof(NAMES[0]); i++) {
        const char *const issue[] = {"ca",     "issue", "--dir", p.ca, "--node",
                                     NAMES[i], "--out", p.tls,   NULL};
        const char *const init[] = {"ca", "init", "--dir", p.run, "--cluster", NAMES[i], NULL};
        expect_run(issue, CLI_USAGE, "write 1 to 31 of a-z, 0-9 and -, a letter first");
        expect_run(init, CLI_USAGE, "write 1 to 31 of a-z, 0-9 and -, a letter first");
    }
    assert_int_equal(access(p.run, F_OK), -1);
    lab_scratch_remove(p.dir);
}

/* Goal: a node's key is replaced only when that is said. A second authority beside the one that
 * issued it is never made: links between their nodes would be refused. */
static void test_ca_issue_replaces_only_by_force(void **state)
{
    (void)state;
    struct ca_place p;
    ca_place_make(&p);
    const char *const issue[] = {"ca",   "issue", "--dir", p.ca, "--node",
                                 "nic1", "--out", p.tls,   NULL};
    const char *const force[] = {"ca",   "issue", "--dir", p.ca,      "--node",
                                 "nic1", "--out", p.tls,   "--force", NULL};
    expect_run(issue, CLI_OK, "certificate of nic1 for 365 days");
    char *first = text_of_file(p.pem);
    expect_run(issue, CLI_FAILED, "/node.pem exists, and nothing was changed; --force");
    char *kept = text_of_file(p.pem);
    assert_string_equal(kept, first);
    expect_run(force, CLI_OK, "certificate of nic1 for 365 days");
    char *second = text_of_file(p.pem);
    assert_string_not_equal(second, first);

    expect_not_formed(&p, "a new authority would not fit the other nodes");
    expect_no_authority(&p);
    static const char *const OTHERS[] = {"nic2", "arb1"};
    for (size_t i = 0; i < 2; i++) {
        char out[TS_PATH_MAX];
        assert_int_equal(ts_path(out, NULL, p.run, "%s/tls", OTHERS[i]), TS_OK);
        const char *const other[] = {"ca",      "issue", "--dir", p.ca, "--node",
                                     OTHERS[i], "--out", out,     NULL};
        expect_run(other, CLI_OK, "for 365 days");
    }
    expect_formed(&p);
    expect_no_authority(&p);
    char *third = text_of_file(p.pem);
    assert_string_equal(third, second);
    free(first);
    free(kept);
    free(second);
    free(third);
    lab_scratch_remove(p.dir);
}

/* Goal: a transport node's agent gets a certificate, and no key of the heartbeats; its name is one
 * that the object of a transport node may have. */
static void test_ca_issue_agent_gets_no_heartbeat_key(void **state)
{
    (void)state;
    struct ca_place p;
    char key[TS_PATH_MAX];
    ca_place_make(&p);
    const char *const both[] = {"ca",      "issue", "--dir", p.ca,  "--node", "nic1",
                                "--agent", "host7", "--out", p.tls, NULL};
    const char *const address[] = {"ca",    "issue", "--dir",     p.ca,        "--agent", "host7",
                                   "--out", p.tls,   "--address", "192.0.2.7", NULL};
    const char *const odd[] = {"ca",     "issue", "--dir", p.ca, "--agent",
                               "host/7", "--out", p.tls,   NULL};
    const char *const neither[] = {"ca", "issue", "--dir", p.ca, "--out", p.tls, NULL};
    const char *const issue[] = {"ca",           "issue", "--dir", p.ca, "--agent",
                                 "ESX_7.rack:2", "--out", p.tls,   NULL};
    expect_run(both, CLI_USAGE, "one of --node NAME and --agent NAME");
    expect_run(neither, CLI_USAGE, "one of --node NAME and --agent NAME");
    expect_run(address, CLI_USAGE, "nobody connects to an agent");
    expect_run(odd, CLI_USAGE, "--agent is \"host/7\"");
    assert_int_equal(access(p.pem, F_OK), -1);
    expect_run(issue, CLI_OK, "certificate of the agent of ESX_7.rack:2 for 365 days");
    assert_int_equal(access(p.pem, F_OK), 0);
    assert_int_equal(ts_path(key, NULL, p.tls, "heartbeat.key"), TS_OK);
    assert_int_equal(access(key, F_OK), -1);
    expect_run(issue, CLI_FAILED, "/node.pem exists, and nothing was changed; --force");
    lab_scratch_remove(p.dir);
}

/* Goal: what a formed node lost is not replaced by something that the other nodes do not know,
 * whether the lab's authority is still there or not; a second `up` makes no authority. */
static void test_form_lost_certificate_is_not_replaced(void **state)
{
    (void)state;
    struct ca_place p;
    char authority[TS_PATH_MAX];
    ca_place_make(&p);
    expect_formed(&p);
    expect_formed(&p);
    char *first = text_of_file(p.pem);
    assert_int_equal(ts_path(authority, NULL, p.run, "ca"), TS_OK);
    assert_int_equal(ts_file_remove(p.pem, NULL), TS_OK);
    expect_not_formed(&p, "twinstep ca issue --dir CA --node nic1 --out ");
    lab_scratch_remove(authority);
    expect_not_formed(&p, "nic1 was formed before");
    expect_no_authority(&p);
    assert_int_equal(ts_file_replace(p.pem, first, strlen(first), 0644, NULL), TS_OK);
    expect_formed(&p);
    expect_no_authority(&p);
    free(first);
    lab_scratch_remove(p.dir);
}

/* Goal: a replacement that was broken off, and that `up` completes, is over: the next lost disk
 * gets identities of its own. */
static void test_form_ends_a_replacement(void **state)
{
    static const struct format_env ENV = {0};
    struct ca_place p;
    struct cfg_cluster cluster;
    struct format_genesis g;
    struct format_listed listed = {0};
    char error[CLUSTER_YAML_ERROR_MAX];
    char ca[TS_PATH_MAX];
    char lost[TS_PATH_MAX];
    char away[TS_PATH_MAX];
    (void)state;
    ca_place_make(&p);
    expect_formed(&p);
    assert_int_equal(cluster_yaml_load(p.config, &cluster, error), TS_OK);
    assert_int_equal(ts_path(lost, NULL, p.run, "nic1"), TS_OK);
    assert_int_equal(ts_path(away, NULL, p.run, "away"), TS_OK);
    assert_int_equal(rename(lost, away), 0);
    assert_int_equal(format_genesis_load(p.run, &cluster, &g, NULL), TS_OK);
    assert_int_equal(
        format_replace(p.run, &cluster, &g, &cluster.nodes[0], &listed, false, &ENV, NULL), TS_OK);
    assert_true(g.replacing[0]);
    expect_not_formed(&p, "its certificate or keys");
    assert_int_equal(ts_path(ca, NULL, p.run, "ca"), TS_OK);
    const char *const issue[] = {"ca",   "issue", "--dir", ca,        "--node",
                                 "nic1", "--out", p.tls,   "--force", NULL};
    expect_run(issue, CLI_OK, "nic1");
    expect_formed(&p);
    assert_int_equal(format_genesis_load(p.run, &cluster, &g, NULL), TS_OK);
    assert_false(g.replacing[0]);
    lab_scratch_remove(p.dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ca_odd_names_are_refused),
        cmocka_unit_test(test_ca_issue_replaces_only_by_force),
        cmocka_unit_test(test_ca_issue_agent_gets_no_heartbeat_key),
        cmocka_unit_test(test_form_lost_certificate_is_not_replaced),
        cmocka_unit_test(test_form_ends_a_replacement),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
