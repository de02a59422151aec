/* twinstep restore: a new cluster from backups, never an old one (adr/0021). */
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/form.h"
#include "cluster-cfg/io/cluster_yaml.h"
#include "cluster-cfg/io/format.h"
#include "replicator/io/backup_file.h"
#include "services/kv/sessions.h"
#include "services/netctl/netctl.h"

struct restore {
    const struct cli *cli;
    const char *config;
    const char *dir;
    uint64_t now_us; /* Unix time */
    bool has_above;
    struct ts_epoch above;     /* of --above */
    char staging[TS_PATH_MAX]; /* all is made here, then it gets its name in one step */
    struct cfg_cluster cluster;
    const char *file[TS_GROUPS_MAX]; /* by group */
    struct snapshot_info info[TS_GROUPS_MAX];
    struct ts_epoch epoch[TS_GROUPS_MAX];
};

static void print_help(FILE *out)
{
    (void)fputs(
        "usage: twinstep restore GROUP FILE [GROUP FILE …] [--config FILE] [--dir RUN] [--above "
        "EPOCH]\n"
        "\n"
        "Forms a new cluster, whose groups begin with the states that twinstep backup wrote. "
        "Every\n"
        "group of the cluster file needs its FILE. RUN must not exist, or be empty: nothing that\n"
        "is there is ever overwritten. All disks are new ones: replicas and voters of the cluster\n"
        "that the backup is of can not join this one. Run it on one machine; then twinstep up, "
        "or,\n"
        "with several machines, copy what each needs as after twinstep up --prepare.\n"
        "\n"
        "Switch the old cluster off before: two of them would answer their own clients. What it\n"
        "acknowledged after the backup is not in the new one.\n"
        "\n"
        "  --config FILE  the cluster file (default ./cluster.yaml)\n"
        "  --dir RUN      where the nodes are to keep their data (default ./run)\n"
        "  --above EPOCH  epochs, and so fencing tokens, went up to this. Not needed while clocks\n"
        "                 are right: the groups begin with an epoch that tells the time\n"
        "\n"
        "Exit status: 0 done, 1 failed (RUN is as it was), 2 wrong usage.\n",
        out);
}

/* ---- before anything is made ------------------------------------------------------------------
 */

/* Whoever makes the directory has it alone: of two restores into one RUN the second goes no
 * further. */
static int make_staging(const struct restore *r, const char *plain)
{
    char parent[TS_PATH_MAX];
    struct ts_why why = {0};
    const char *slash = strrchr(plain, '/');
    if (slash != NULL && slash != plain) {
        (void)snprintf(parent, sizeof(parent), "%.*s", (int)(slash - plain), plain);
        if (ts_dir_make(parent, 0700, &why) != TS_OK) {
            return cli_fail(r->cli, CLI_FAILED, "%s", why.text);
        }
    }
    if (mkdir(r->staging, 0700) == 0) {
        return CLI_OK;
    }
    if (errno == EEXIST) {
        return cli_fail(r->cli, CLI_FAILED,
                        "%s is there: another restore runs, or an earlier one did not end; when "
                        "none runs, remove it and try again",
                        r->staging);
    }
    return cli_fail(r->cli, CLI_FAILED, "cannot create %s: %s", r->staging, strerror(errno));
}

static int check_target(struct restore *r)
{
    struct stat st;
    char plain[TS_PATH_MAX];
    int n = snprintf(plain, sizeof(plain), "%s", r->dir);
    while (n > 1 && n < (int)sizeof(plain) && plain[n - 1] == '/') {
        plain[--n] = '\0';
    }
    n = snprintf(r->staging, sizeof(r->staging), "%.1000s.restoring", plain);
    if (n < 0 || strlen(plain) > 1000) {
        return cli_fail(r->cli, CLI_FAILED, "the path of --dir is too long");
    }
    if (lstat(r->dir, &st) == 0 && rmdir(r->dir) != 0) { /* an empty one goes */
        return cli_fail(r->cli, CLI_FAILED,
                        "%s is there and not an empty directory (%s): a restore makes new disks "
                        "and touches no old ones; move it away, or choose another --dir",
                        r->dir, strerror(errno));
    }
    return make_staging(r, plain);
}

static const struct svc *const SERVICES[] = {&kv_with_sessions, &netctl_service};

/* A service with a state that the backup's pieces are loaded into. */
struct trial {
    const struct svc *svc;
    void *state;
};

static enum ts_err try_piece(void *arg, struct ts_bytes piece, struct ts_why *why)
{
    struct trial *t = arg;
    enum ts_err err = t->svc->load_piece(t->state, piece);
    return err == TS_OK ? TS_OK : ts_why(why, err, "%s", ts_err_text(err));
}

/* Whether the service makes a state of it, as each replica will have to at its start: the bytes may
 * be whole, and of another release. */
static enum ts_err try_load(const char *file, const char *service, struct ts_why *why)
{
    struct trial t = {NULL, NULL};
    struct backup_about about;
    struct snapshot_info info;
    struct ts_why inner = {{0}};
    for (size_t i = 0; i < sizeof(SERVICES) / sizeof(SERVICES[0]); i++) {
        t.svc = strcmp(SERVICES[i]->name, service) == 0 ? SERVICES[i] : t.svc;
    }
    if (t.svc == NULL) {
        return ts_why(why, TS_ERR_NOT_FOUND, "%s is of the service \"%s\", which is not known here",
                      file, service);
    }
    t.state = t.svc->create(NULL);
    if (t.state == NULL) {
        return ts_why(why, TS_ERR_NOMEM, "out of memory while trying %s; free some", file);
    }
    enum ts_err err = backup_read(file, &about, try_piece, &t, &info, &inner);
    err = err != TS_OK ? err : t.svc->load_end(t.state);
    t.svc->destroy(t.state);
    if (err == TS_ERR_NOMEM) {
        return ts_why(why, err,
                      "no memory to try %s: a replica will need as much; free some, or restore on "
                      "a machine that has it",
                      file);
    }
    return err == TS_OK ? TS_OK
                        : ts_why(why, err,
                                 "%s is whole, and the service \"%s\" of this release cannot read "
                                 "it (%s): restore with the release that wrote it, or a newer one",
                                 file, service, ts_err_text(err));
}

/* Reads a backup from end to end, and sees whether it is for this group. */
static int check_backup(struct restore *r, size_t index)
{
    const struct cfg_group *g = &r->cluster.groups[index];
    struct backup_about about;
    struct ts_why why = {0};
    if (r->file[index] == NULL) {
        return cli_fail(r->cli, CLI_USAGE,
                        "group %s of %s has no backup: give \"%s FILE\", too; a group that is to "
                        "begin empty belongs into a cluster of its own",
                        g->name, r->config, g->name);
    }
    if (backup_read(r->file[index], &about, NULL, NULL, &r->info[index], &why) != TS_OK) {
        return cli_fail(r->cli, CLI_FAILED, "%s", why.text);
    }
    if (strcmp(about.service, g->service) != 0) {
        return cli_fail(r->cli, CLI_FAILED,
                        "%s is of the service \"%s\" (group %s of %s), and group %s is of \"%s\"",
                        r->file[index], about.service, about.group, about.cluster, g->name,
                        g->service);
    }
    if (try_load(r->file[index], g->service, &why) != TS_OK) {
        return cli_fail(r->cli, CLI_FAILED, "%s", why.text);
    }
    const struct format_restored by = {.old = r->info[index].header.mark.epoch,
                                       .taken_us = about.taken_us,
                                       .now_us = r->now_us,
                                       .has_above = r->has_above,
                                       .above = r->above};
    if (format_epoch_restored(&by, &r->epoch[index], &why) != TS_OK) {
        return cli_fail(r->cli, CLI_FAILED, "%s", why.text);
    }
    return CLI_OK;
}

/* ---- making it ----------------------------------------------------------------------------------
 */

static enum ts_err install(const struct restore *r, const struct format_genesis *genesis,
                           struct ts_why *why)
{
    enum ts_err err = TS_OK;
    for (size_t i = 0; i < r->cluster.group_count; i++) {
        const struct cfg_group *g = &r->cluster.groups[i];
        for (size_t m = 0; m < g->nic_count && err == TS_OK; m++) {
            char dir[TS_PATH_MAX];
            const struct cfg_node *node = cfg_cluster_node(&r->cluster, g->nics[m]);
            err = ts_path(dir, why, r->staging, "%s/groups/%s", node->name, g->name);
            err = err != TS_OK
                      ? err
                      : backup_install(r->file[i], dir, genesis->replica[i][m], g->id, why);
        }
    }
    return err;
}

/* The name comes last: what a crash leaves before that is not RUN. */
static enum ts_err give_name(const struct restore *r, struct ts_why *why)
{
    char parent[TS_PATH_MAX];
    if (rename(r->staging, r->dir) != 0) {
        return ts_why_sys(why, errno, "cannot rename %s to %s", r->staging, r->dir);
    }
    enum ts_err err = ts_path(parent, why, r->dir, "..");
    return err != TS_OK ? err : ts_dir_sync(parent, why);
}

static enum ts_err make(struct restore *r, struct ts_why *why)
{
    struct cli_form form = {
        .cluster = &r->cluster, .config = r->config, .run = r->staging, .epochs = r->epoch};
    struct format_genesis genesis;
    for (size_t i = 0; i < r->cluster.node_count; i++) {
        form.chosen[i] = true;
    }
    enum ts_err err = cli_form(&form, NULL, why);
    err = err != TS_OK ? err : format_genesis_load(r->staging, &r->cluster, &genesis, why);
    err = err != TS_OK ? err : install(r, &genesis, why);
    return err != TS_OK ? err : give_name(r, why);
}

static void print_done(const struct restore *r)
{
    for (size_t i = 0; i < r->cluster.group_count; i++) {
        (void)fprintf(r->cli->out,
                      "%s: the state of %s after entry %llu, %llu bytes, goes on in epoch %llu\n",
                      r->cluster.groups[i].name, r->file[i],
                      (unsigned long long)r->info[i].header.mark.pos.seq.v,
                      (unsigned long long)r->info[i].trailer.bytes,
                      (unsigned long long)r->epoch[i].v);
    }
    (void)fprintf(r->cli->out,
                  "%s holds a new cluster; start it with twinstep up --dir %s. With several "
                  "machines copy to each cluster.yaml, genesis.json, formed and its own node's "
                  "directory first.\n",
                  r->dir, r->dir);
}

static int restore(struct restore *r, int count, char **words)
{
    char error[CLUSTER_YAML_ERROR_MAX];
    struct ts_why why = {0};
    if (cluster_yaml_load(r->config, &r->cluster, error) != TS_OK) {
        return cli_fail(r->cli, CLI_FAILED, "%s", error);
    }
    for (int i = 0; i < count; i += 2) {
        const struct cfg_group *g = cfg_cluster_group_by_name(&r->cluster, words[i]);
        if (g == NULL || r->file[g - r->cluster.groups] != NULL) {
            return cli_fail(r->cli, CLI_USAGE, "%s %s group \"%s\"", r->config,
                            g == NULL ? "declares no" : "has one backup only for", words[i]);
        }
        r->file[g - r->cluster.groups] = words[i + 1];
    }
    int status = CLI_OK;
    for (size_t i = 0; i < r->cluster.group_count && status == CLI_OK; i++) {
        status = check_backup(r, i);
    }
    status = status != CLI_OK ? status : check_target(r);
    if (status != CLI_OK) {
        return status;
    }
    if (make(r, &why) != TS_OK) {
        return cli_fail(r->cli, CLI_FAILED, "%s (what was made is in %s: remove it)", why.text,
                        r->staging);
    }
    print_done(r);
    return CLI_OK;
}

/* The argument of --above. */
static bool read_epoch(const char *text, struct ts_epoch *out)
{
    char *end = NULL;
    size_t digits = strspn(text, "0123456789");
    errno = 0;
    out->v = strtoull(text, &end, 10);
    return digits > 0 && text[digits] == '\0' && errno == 0 && out->v < FORMAT_EPOCH_MAX;
}

static uint64_t unix_us(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_REALTIME, &t);
    return t.tv_sec < 0 ? 0 : (uint64_t)t.tv_sec * 1000000U + (uint64_t)t.tv_nsec / 1000U;
}

int cli_restore(const struct cli *cli, int argc, char **argv)
{
    static const struct option OPTIONS[] = {
        {"config", required_argument, NULL, 'c'},
        {"dir", required_argument, NULL, 'd'},
        {"above", required_argument, NULL, 'a'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    struct ts_epoch above = {0};
    bool has_above = false;
    const char *config = CLI_DEFAULT_CONFIG;
    const char *dir = CLI_DEFAULT_DIR;
    int c;
    optind = 0; /* GNU: from the beginning, whatever was parsed before */
    while ((c = getopt_long(argc, argv, "h", OPTIONS, NULL)) != -1) {
        if (c == 'c') {
            config = optarg;
        } else if (c == 'd') {
            dir = optarg;
        } else if (c == 'a') {
            has_above = true;
            if (!read_epoch(optarg, &above)) {
                return cli_fail(cli, CLI_USAGE, "--above %s: give an epoch, 0 to %llu", optarg,
                                (unsigned long long)FORMAT_EPOCH_MAX - 1);
            }
        } else if (c == 'h') {
            print_help(cli->out);
            return CLI_OK;
        } else {
            return cli_usage(cli, "restore");
        }
    }
    int count = argc - optind;
    if (count == 0 || count % 2 != 0) {
        return cli_fail(cli, CLI_USAGE,
                        "which groups, and from which files? Give GROUP FILE, as often as there "
                        "are groups; \"twinstep restore --help\" tells more");
    }
    struct restore *r = calloc(1, sizeof(*r));
    if (r == NULL) {
        return cli_fail(cli, CLI_FAILED, "out of memory; free some");
    }
    r->cli = cli;
    r->config = config;
    r->dir = dir;
    r->now_us = unix_us();
    r->has_above = has_above;
    r->above = above;
    int status = restore(r, count, argv + optind);
    free(r);
    return status;
}
