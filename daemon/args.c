#include "daemon/args.h"

#include <stdio.h>
#include <string.h>

#include "base/exit.h"
#include "cluster-cfg/io/cluster_yaml.h"

#define GO_ON (-1)

static void print_usage(FILE *to, const char *program, unsigned takes)
{
    (void)fprintf(to, "usage: %s --config FILE --node NAME --data DIR%s%s\n", program,
                  (takes & DAEMON_TAKES_GROUP) != 0 ? " --group NAME" : "",
                  (takes & DAEMON_TAKES_LIBEXEC) != 0 ? " [--libexec DIR]" : "");
}

/* Where the value of option `name` belongs; NULL when the program has no such option. */
static const char **option_slot(struct daemon_args *args, unsigned takes, const char *name)
{
    if (strcmp(name, "--config") == 0) {
        return &args->config;
    }
    if (strcmp(name, "--node") == 0) {
        return &args->node;
    }
    if (strcmp(name, "--data") == 0) {
        return &args->data;
    }
    if ((takes & DAEMON_TAKES_GROUP) != 0 && strcmp(name, "--group") == 0) {
        return &args->group;
    }
    if ((takes & DAEMON_TAKES_LIBEXEC) != 0 && strcmp(name, "--libexec") == 0) {
        return &args->libexec;
    }
    return NULL;
}

static int parse(struct daemon_args *args, const char *program, unsigned takes, int argc,
                 char **argv)
{
    for (int i = 1; i < argc; i += 2) {
        if (strcmp(argv[i], "--help") == 0) {
            print_usage(stdout, program, takes);
            return TS_EXIT_OK;
        }
        const char **slot = option_slot(args, takes, argv[i]);
        if (slot == NULL || i + 1 == argc) {
            (void)fprintf(stderr, "%s: %s %s\n", program,
                          slot == NULL ? "there is no option" : "a value is missing after",
                          argv[i]);
            print_usage(stderr, program, takes);
            return TS_EXIT_CONFIG;
        }
        *slot = argv[i + 1];
    }
    if (args->config == NULL || args->node == NULL || args->data == NULL ||
        ((takes & DAEMON_TAKES_GROUP) != 0 && args->group == NULL)) {
        print_usage(stderr, program, takes);
        return TS_EXIT_CONFIG;
    }
    return GO_ON;
}

static int find_group(struct daemon_start *s, const char *program)
{
    s->group = cfg_cluster_group_by_name(&s->cluster, s->args.group);
    if (s->group == NULL) {
        (void)fprintf(stderr, "%s: %s declares no group \"%s\"\n", program, s->args.config,
                      s->args.group);
        return TS_EXIT_CONFIG;
    }
    for (uint8_t i = 0; i < s->group->nic_count; i++) {
        if (ts_nic_eq(s->group->nics[i], s->node->id)) {
            return GO_ON;
        }
    }
    (void)fprintf(stderr, "%s: node \"%s\" is not among the nics of group \"%s\" in %s\n", program,
                  s->args.node, s->args.group, s->args.config);
    return TS_EXIT_CONFIG;
}

static int take_lock(struct daemon_start *s, const char *program)
{
    struct ts_why why = {{0}};
    if (ts_dir_lock_program(&s->lock, s->args.data, program, &why) == TS_OK) {
        return GO_ON;
    }
    net_log(&s->log, NET_LOG_ERROR, "%s", why.text);
    return TS_EXIT_FAILURE;
}

int daemon_start(struct daemon_start *s, const char *program, unsigned takes, int argc, char **argv)
{
    *s = (struct daemon_start){0};
    if (!ts_std_fds_hold()) {
        return TS_EXIT_FAILURE;
    }
    int status = parse(&s->args, program, takes, argc, argv);
    if (status != GO_ON) {
        return status;
    }
    char error[CLUSTER_YAML_ERROR_MAX];
    if (cluster_yaml_load(s->args.config, &s->cluster, error) != TS_OK) {
        (void)fprintf(stderr, "%s: %s\n", program, error);
        return TS_EXIT_CONFIG;
    }
    s->node = cfg_cluster_node_by_name(&s->cluster, s->args.node);
    if (s->node == NULL) {
        (void)fprintf(stderr, "%s: %s declares no node \"%s\"\n", program, s->args.config,
                      s->args.node);
        return TS_EXIT_CONFIG;
    }
    if ((takes & DAEMON_TAKES_GROUP) != 0) {
        status = find_group(s, program);
    }
    if (status == GO_ON) {
        net_log_init(&s->log, program, s->node->name);
    }
    if (status == GO_ON && (takes & DAEMON_TAKES_LOCK) != 0) {
        status = take_lock(s, program);
    }
    return status;
}
