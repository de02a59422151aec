/* twinstep ca: which names it takes, and that it replaces nothing unasked. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "cli/cli.h"
#include "cli/form.h"
#include "cluster-cfg/io/cluster_yaml.h"
#include "lab/scratch.h"

static const char CLUSTER[] = "cluster: demo\n"
                              "nics:\n"
                              "  - {name: nic1, paths: [10.0.0.1]}\n"
                              "  - {name: nic2, paths: [10.0.0.2]}\n"
                              "arbiters:\n"
                              "  - {name: arb1, paths: [10.0.0.3]}\n"
                              "groups:\n"
                              "  - {name: kv, service: kv, port: 6379}\n";

/* What a command printed. */
struct sheet {
    struct cli cli;
    char *text;
    size_t len;
};

/* Runs `ca` and gives its status; `s->text` is what it said, for the caller to free. */
static int run(struct sheet *s, const char *const *words)
{
    char *argv[12] = {NULL};
    int argc = 0;
    while (words[argc] != NULL) {
        argv[argc] = strdup(words[argc]);
        argc++;
    }
    s->cli.out = open_memstream(&s->text, &s->len);
    s->cli.err = s->cli.out;
    assert_non_null(s->cli.out);
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
static void form(const struct ca_place *p)
{
    struct cfg_cluster cluster;
    char error[CLUSTER_YAML_ERROR_MAX];
    struct ts_why why;
    bool first = false;
    assert_int_equal(ts_file_replace(p->config, CLUSTER, sizeof(CLUSTER) - 1, 0644, NULL), TS_OK);
    assert_int_equal(cluster_yaml_load(p->config, &cluster, error), TS_OK);
    struct cli_form f = {
        .cluster = &cluster, .config = p->config, .run = p->run, .chosen = {true, true, true}};
    if (cli_form(&f, &first, &why) != TS_OK) {
        fail_msg("%s", why.text);
    }
    assert_true(first);
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

/* Goal: a node's key is replaced only when that is said; `up` keeps what another authority than
 * its own issued, and issues what is missing. */
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

    form(&p);
    char *third = text_of_file(p.pem);
    assert_string_equal(third, second);
    (void)snprintf(p.pem, sizeof(p.pem), "%s/nic2/tls/node.pem", p.run);
    assert_int_equal(access(p.pem, R_OK), 0);
    free(first);
    free(kept);
    free(second);
    free(third);
    lab_scratch_remove(p.dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ca_odd_names_are_refused),
        cmocka_unit_test(test_ca_issue_replaces_only_by_force),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
