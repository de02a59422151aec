/* twinstep up, as far as it comes without starting a node. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/cli_fixture.h"

#include "cli/cluster_file.h"
#include "cluster-cfg/io/cluster_yaml.h"
#include "lab/scratch.h"

/* A pair with an arbiter, with more keys for each of its nodes. */
#define PAIR(one, two, three) \
    "cluster: c\nnics:\n  - {name: a, " one "paths: [10.0.0.1]}\n" \
    "  - {name: b, " two "paths: [10.0.0.2]}\narbiters:\n  - {name: c, " three \
    "paths: [10.0.0.3]}\ngroups:\n  - {name: kv, service: kv, port: 6379}\n"

/* Reads a cluster file's text. */
static void read_cluster(const char *text, struct cfg_cluster *out)
{
    char error[CLUSTER_YAML_ERROR_MAX];
    struct ts_bytes bytes = {(const uint8_t *)text, strlen(text)};
    assert_int_equal(cluster_yaml_parse("c", bytes, out, error), TS_OK);
}

/* Goal: what another file would change is told in words; what means the same is no change. */
static void test_cluster_differs_names_each_change(void **state)
{
    (void)state;
    static const struct {
        const char *now;
        const char *says; /* "": the same */
    } CASES[] = {
        {PAIR("", "", ""), ""},
        {"# a remark\n" PAIR("host: a, ", "", ""), ""},
        {"failure-timeout: 200ms\nbase-port: 7600\n" PAIR("", "", ""),
         "failure-timeout 100ms to 200ms, base-port 7400 to 7600"},
        {PAIR("host: x, ", "", "voter: true, "), "host of a a to x"},
        {"cluster: d\nnics:\n  - {name: a, paths: [10.0.0.9]}\n  - {name: b, paths: [10.0.0.2]}\n"
         "arbiters:\n  - {name: e, paths: [10.0.0.3]}\ngroups:\n"
         "  - {name: kv, service: kv, port: 6380}\n",
         "cluster c to d, path 1 of a 10.0.0.1 to 10.0.0.9, no c any more, e is new, "
         "port of group kv 6379 to 6380"},
        {"cluster: c\nnics:\n  - {name: a, paths: [10.0.0.1]}\n  - {name: b, paths: [10.0.0.2]}\n"
         "arbiters:\n  - {name: c, paths: [10.0.0.3]}\ngroups:\n"
         "  - {name: kv, service: kv, port: 6379, client-tls: required}\n",
         "client-tls of group kv off to required"},
        {"cluster: c\nnics:\n  - {name: a, paths: [10.0.0.1]}\n  - {name: b, paths: [10.0.0.2]}\n"
         "arbiters:\n  - {name: c, paths: [10.0.0.3]}\ngroups:\n"
         "  - {name: kv, service: kv, port: 6379, disk-limit: 1GiB}\n",
         "disk-limit of group kv 0 MiB to 1024 MiB"},
        {"cluster: c\nnics:\n  - {name: a, paths: [10.0.0.1]}\n  - {name: b, paths: [10.0.0.2]}\n"
         "arbiters:\n  - {name: c, paths: [10.0.0.3]}\ngroups:\n"
         "  - {name: kv, service: kv, port: 6379, scrub-every: 2h}\n",
         "scrub-every of group kv 0s to 7200s"},
    };
    struct cfg_cluster before;
    read_cluster(PAIR("", "", ""), &before);
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        struct cfg_cluster now;
        char what[CLI_DIFFERENCE_MAX];
        read_cluster(CASES[i].now, &now);
        assert_int_equal(cli_cluster_differs(&before, &now, what), CASES[i].says[0] != '\0');
        assert_string_equal(what, CASES[i].says);
    }
}

/* Goal: `up` says so before it begins. */
static void test_up_one_host_for_too_much_is_warned_of(void **state)
{
    (void)state;
    static const char TEXT[] = PAIR("host: x, ", "host: y, ", "host: x, ");
    char file[] = "/tmp/ts-cli-XXXXXX";
    char *argv[] = {"up", "--config", file, "--dir", "/proc/none", NULL};
    struct sheet s = {0};
    int fd = mkstemp(file);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, TEXT, sizeof(TEXT) - 1), sizeof(TEXT) - 1);
    assert_int_equal(close(fd), 0);
    sheet_begin(&s);
    assert_int_equal(cli_up(&s.cli, 5, argv), CLI_FAILED); /* nothing can be made in /proc */
    assert_int_equal(fclose(s.cli.out), 0);
    assert_non_null(strstr(s.text, "warning: "));
    assert_non_null(strstr(s.text, "host x carries a, c: its failure takes 2 of 3 voters"));
    free(s.text);
    assert_int_equal(unlink(file), 0);
}

/* Runs `up` with these words; gives its status, and what it said in `s->text`, to be freed. */
static int run_up(struct sheet *s, const char *config, const char *dir, const char *more)
{
    char word[] = "up";
    char options[2][16] = {"--config", "--dir"};
    char *argv[] = {word,
                    options[0],
                    (char *)(uintptr_t)config,
                    options[1],
                    (char *)(uintptr_t)dir,
                    (char *)(uintptr_t)more,
                    NULL};
    sheet_begin(s);
    int status = cli_up(&s->cli, 6, argv);
    assert_int_equal(fclose(s->cli.out), 0);
    return status;
}

/* Goal: --prepare says what goes where; a directory that cannot be used is not left behind; on a
 * machine that has its own nodes only, `up` says how to start those. */
static void test_up_prepare_tells_what_to_copy(void **state)
{
    (void)state;
    char dir[LAB_SCRATCH_MAX];
    char config[TS_PATH_MAX];
    char run[TS_PATH_MAX];
    char other[TS_PATH_MAX];
    struct sheet s = {0};
    assert_int_equal(lab_scratch_make("up", dir), TS_OK);
    /* A program that is never started. */
    assert_int_equal(ts_path(other, NULL, dir, "nicd"), TS_OK);
    assert_int_equal(ts_file_replace(other, "", 0, 0755, NULL), TS_OK);
    assert_int_equal(setenv("TWINSTEP_BIN", dir, 1), 0);
    assert_int_equal(ts_path(config, NULL, dir, "c.yaml"), TS_OK);
    assert_int_equal(ts_path(run, NULL, dir, "run"), TS_OK);
    assert_int_equal(ts_path(other, NULL, dir, "%080d", 1), TS_OK);
    assert_int_equal(ts_file_replace(config, CLUSTER, sizeof(CLUSTER) - 1, 0644, NULL), TS_OK);
    assert_int_equal(run_up(&s, config, other, "--prepare"), CLI_FAILED);
    assert_non_null(strstr(s.text, "choose a shorter --dir"));
    assert_int_equal(access(other, F_OK), -1);
    free(s.text);

    assert_int_equal(run_up(&s, config, run, "--prepare"), CLI_OK);
    assert_non_null(strstr(s.text, "/genesis.json "));
    assert_non_null(strstr(s.text, "/ca stays away from the nodes"));
    assert_non_null(strstr(s.text, "twinstep up --dir RUN --nic NAME"));
    free(s.text);

    assert_int_equal(run_up(&s, config, run, "--timeout=1"), CLI_FAILED);
    assert_non_null(strstr(s.text, "is no address of this machine"));
    free(s.text);
    static const char *const ELSEWHERE[] = {"nic2", "arb1"};
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(ts_path(other, NULL, run, "%s", ELSEWHERE[i]), TS_OK);
        lab_scratch_remove(other);
    }
    assert_int_equal(run_up(&s, config, run, "--timeout=1"), CLI_FAILED);
    assert_non_null(
        strstr(s.text, "If the other nodes belong to other machines: twinstep up --dir"));
    assert_non_null(strstr(s.text, "/run --nic nic1\n"));
    free(s.text);
    lab_scratch_remove(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cluster_differs_names_each_change),
        cmocka_unit_test(test_up_one_host_for_too_much_is_warned_of),
        cmocka_unit_test(test_up_prepare_tells_what_to_copy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
