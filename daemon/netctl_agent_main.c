/* netctl-agent: follows the controllers, or makes a table of a file true on this node, once
 * (docs/NETCTL.md). */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <jansson.h>

#include "base/exit.h"
#include "base/io/files.h"
#include "daemon/netctl_agent_config.h"
#include "services/agent/io/kernel.h"

#define FILE_MAX (256U * 1024U * 1024U)
#define CHANGES_MAX 65536U

static const char USAGE[] =
    "usage: netctl-agent --config FILE\n"
    "       netctl-agent --apply FILE --vtep ADDRESS [--then FILE]… [--dry-run] [--keep-orphans]\n"
    "                    [--state DIR] [--detect-group N] [--commits N] [--verbose]\n"
    "                    [--statistics]\n"
    "With --config it does what the controllers in FILE say until it ends, and leaves the network\n"
    "as it is then. Otherwise it makes the table of FILE, a JSON object {key: value}, true on "
    "this\n"
    "node, then that of each further file by the changes to it. What is not realized is printed,\n"
    "KEY: WHY.\n"
    "DHCP is served with files in DIR/dhcp, and not at all without --state.\n"
    "What DETECT matches is copied to the NFLOG group of --detect-group; without it, it is "
    "counted.\n"
    "With --commits nothing is changed any more after that many changes of the kernel.\n"
    "Exit status: 0 all is realized, or it was told to end; 1 not all; 2 the usage or FILE is "
    "wrong;\n"
    "3 the kernel cannot be talked to, or the store of --config fails.\n";

struct options {
    const char *config;
    const char *apply;
    const char *state;
    const char *then[16];
    size_t thens;
    struct agent_kernel_options kernel;
    bool keep_orphans;
    bool verbose;
    bool statistics;
    uint64_t commits;
};

struct outcome {
    uint64_t realized;
    uint64_t failed;
    uint64_t commits; /* how many more there may be */
};

static void on_result(void *arg, const char *key, const char *error)
{
    struct outcome *o = arg;
    o->realized += error == NULL;
    o->failed += error != NULL;
    if (error != NULL) {
        printf("%s: %s\n", key, error);
    }
}

static bool on_commit(void *arg)
{
    struct outcome *o = arg;
    if (o->commits == 0) {
        return false;
    }
    o->commits--;
    return true;
}

static void on_line(void *arg, const char *line)
{
    (void)arg;
    printf("  %s\n", line);
}

static void on_rule_count(void *arg, const struct agent_rule_count *c)
{
    (void)arg;
    printf("%s %" PRIu32 " %" PRIu64 " packets %" PRIu64 " bytes\n", c->nat ? "nat" : "rule", c->id,
           c->packets, c->bytes);
}

static void on_port_count(void *arg, const struct agent_port_count *c)
{
    (void)arg;
    printf("port %" PRIu32 " sent %" PRIu64 " packets %" PRIu64 " bytes received %" PRIu64
           " packets %" PRIu64 " bytes guarded %" PRIu64 "\n",
           c->number, c->sent_packets, c->sent_bytes, c->received_packets, c->received_bytes,
           c->guarded);
}

/* The table of a file. */
static enum ts_err read_table(const char *path, struct netctl_tree *table, struct ts_why *why)
{
    uint8_t *data = NULL;
    size_t len = 0;
    json_error_t bad;
    enum ts_err err = ts_file_read(path, FILE_MAX, &data, &len, why);
    if (err != TS_OK) {
        return err;
    }
    json_t *json = json_loadb((const char *)data, len, JSON_REJECT_DUPLICATES, &bad);
    free(data);
    if (!json_is_object(json)) {
        err = ts_why(why, TS_ERR_MALFORMED, "%s: line %d: %s", path, json == NULL ? bad.line : 1,
                     json == NULL ? bad.text : "want an object {key: value}");
        json_decref(json);
        return err;
    }
    for (void *i = json_object_iter(json); i != NULL; i = json_object_iter_next(json, i)) {
        const char *key = json_object_iter_key(i);
        char *value =
            json_dumps(json_object_iter_value(i), JSON_COMPACT | JSON_SORT_KEYS | JSON_ENCODE_ANY);
        if (value != NULL && key[0] != '\0' && strlen(key) <= NETCTL_KEY_MAX &&
            strlen(value) <= NETCTL_VALUE_MAX) {
            netctl_tree_put(table, key, (struct ts_bytes){(const uint8_t *)value, strlen(value)});
        } else {
            err = ts_why(why, TS_ERR_LIMIT, "%s: a key or a value is too long, or empty", path);
        }
        free(value);
    }
    json_decref(json);
    return err;
}

struct differences {
    struct agent_change *change;
    size_t count;
};

static void on_difference(void *arg, const char *key, struct ts_bytes was, struct ts_bytes is)
{
    struct differences *d = arg;
    if (d->count < CHANGES_MAX) {
        d->change[d->count++] = (struct agent_change){key, was, is};
    }
}

static uint64_t now_us(clockid_t clock)
{
    struct timespec t;
    (void)clock_gettime(clock, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static enum ts_err run_one(const struct options *o, struct agent_driver *d, const char *path,
                           bool first, struct netctl_tree *table, struct outcome *outcome,
                           struct ts_why *why)
{
    struct netctl_tree next = netctl_tree_make(0);
    struct differences diff = {0};
    const struct agent_caller caller = {.result = on_result,
                                        .may_commit = on_commit,
                                        .says = o->verbose || o->kernel.dry_run ? on_line : NULL,
                                        .arg = outcome};
    enum ts_err err = read_table(path, &next, why);
    if (err != TS_OK) {
        netctl_tree_free(&next);
        return err;
    }
    uint64_t start = now_us(CLOCK_MONOTONIC);
    uint64_t cpu = now_us(CLOCK_PROCESS_CPUTIME_ID);
    if (first) {
        err = agent_reconcile(d, &next, !o->keep_orphans, &caller);
    } else {
        diff.change = calloc(CHANGES_MAX, sizeof(*diff.change));
        if (diff.change != NULL) {
            netctl_tree_diff(table, &next, on_difference, &diff);
            err = agent_apply(d, diff.change, diff.count, &caller);
        }
    }
    printf("%s: %" PRIu64 " realized, %" PRIu64 " not, %" PRIu64 " ms, processor %" PRIu64 " ms\n",
           path, outcome->realized, outcome->failed, (now_us(CLOCK_MONOTONIC) - start) / 1000,
           (now_us(CLOCK_PROCESS_CPUTIME_ID) - cpu) / 1000);
    (void)fflush(stdout);
    free(diff.change);
    netctl_tree_free(table);
    *table = next;
    return err == TS_OK ? TS_OK : ts_why(why, err, "%s", ts_err_text(err));
}

static int parse(struct options *o, int argc, char **argv)
{
    static const struct option LONG[] = {
        {"config", required_argument, NULL, 'C'},
        {"apply", required_argument, NULL, 'a'},
        {"then", required_argument, NULL, 't'},
        {"vtep", required_argument, NULL, 'v'},
        {"dry-run", no_argument, NULL, 'd'},
        {"verbose", no_argument, NULL, 'V'},
        {"keep-orphans", no_argument, NULL, 'k'},
        {"statistics", no_argument, NULL, 's'},
        {"commits", required_argument, NULL, 'c'},
        {"state", required_argument, NULL, 'S'},
        {"detect-group", required_argument, NULL, 'D'},
        {0},
    };
    char *end = NULL;
    for (int c; (c = getopt_long(argc, argv, "", LONG, NULL)) != -1;) {
        if (c == 'C') {
            o->config = optarg;
        } else if (c == 'a') {
            o->apply = optarg;
        } else if (c == 't' && o->thens < sizeof(o->then) / sizeof(o->then[0])) {
            o->then[o->thens++] = optarg;
        } else if (c == 'v') {
            if (agent_address_parse(&o->kernel.vtep, optarg, AGENT_ADDRESS_ALONE) != TS_OK) {
                return -1;
            }
        } else if (c == 'D') {
            unsigned long group = strtoul(optarg, &end, 10);
            if (end == optarg || *end != '\0' || group > UINT16_MAX) {
                return -1;
            }
            o->kernel.detects = true;
            o->kernel.detect_group = (uint16_t)group;
        } else if (c == 'S') {
            o->state = optarg;
        } else if (c == 'c') {
            o->commits = strtoull(optarg, &end, 10);
            if (end == optarg || *end != '\0') {
                return -1;
            }
        } else if (c == '?' || c == 't') {
            return -1;
        }
        o->kernel.dry_run = o->kernel.dry_run || c == 'd';
        o->verbose = o->verbose || c == 'V';
        o->keep_orphans = o->keep_orphans || c == 'k';
        o->statistics = o->statistics || c == 's';
    }
    if (o->config != NULL) {
        return argc == 3 || (argc == 2 && optind == 2) ? 0 : -1;
    }
    return o->apply == NULL || o->kernel.vtep.family == 0 || optind != argc ? -1 : 0;
}

int main(int argc, char **argv)
{
    struct options o = {.commits = UINT64_MAX};
    struct ts_why why;
    struct agent_driver *d = NULL;
    struct netctl_tree table = netctl_tree_make(0);
    struct outcome outcome = {0};
    const struct agent_counts counts = {on_rule_count, on_port_count, NULL};
    if (argc == 2 && strcmp(argv[1], "--help") == 0) {
        (void)fputs(USAGE, stdout);
        return 0;
    }
    if (!ts_std_fds_hold() || parse(&o, argc, argv) != 0) {
        (void)fputs(USAGE, stderr);
        return 2;
    }
    if (o.config != NULL) {
        return netctl_agent_run(o.config);
    }
    outcome.commits = o.commits;
    char dhcp[TS_PATH_MAX];
    enum ts_err err = TS_OK;
    if (o.state != NULL) {
        err = ts_dir_make(o.state, 0700, &why);
        err = err == TS_OK ? ts_path(dhcp, &why, o.state, "dhcp") : err;
        o.kernel.dhcp = dhcp;
    }
    err = err != TS_OK ? err : agent_kernel_open(&d, &o.kernel, &why);
    if (err == TS_OK) {
        err = run_one(&o, d, o.apply, true, &table, &outcome, &why);
    }
    for (size_t i = 0; err == TS_OK && i < o.thens; i++) {
        outcome = (struct outcome){.commits = outcome.commits};
        err = run_one(&o, d, o.then[i], false, &table, &outcome, &why);
    }
    if (err == TS_OK && o.statistics) {
        err = agent_statistics(d, &counts);
    }
    if (err != TS_OK) {
        (void)fprintf(stderr, "netctl-agent: %s\n", why.text);
    }
    netctl_tree_free(&table);
    agent_close(d);
    return err != TS_OK ? 3 : outcome.failed > 0;
}
