/* twinstep support-bundle: what whoever helps wants to see, in one file.
 *
 * Only what is listed here is taken, nothing by a pattern that could meet a key: never tls/, ca/,
 * users, the voters' and the groups' files. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/gather.h"
#include "cli/journal.h"
#include "lab/exec.h"
#include "lab/scratch.h"

#define NAME_MAX_BYTES 128
#define COPY_MAX ((size_t)64 << 20)
#define DIR_MODE 0700
#define FILE_MODE 0600

struct bundle {
    const struct cli *cli;
    const char *run;
    struct cfg_cluster cluster;
    char root[TS_PATH_MAX]; /* what is packed */
    FILE *manifest;
    size_t missing;
};

static void print_help(FILE *out)
{
    (void)fputs(
        "usage: twinstep support-bundle [FILE] [--dir RUN]\n"
        "\n"
        "Writes a .tar.gz with what whoever helps you wants to see of this machine's nodes: "
        "status,\n"
        "latencies, metrics, failovers, events, logs, the cluster file, what the replicas' disks\n"
        "hold (not the data), the machine. MANIFEST in it lists all. Not in it: private keys,\n"
        "certificates, users and their hashes, clients' data. In it: addresses and names of "
        "nodes,\n"
        "and clients' addresses in the logs. Nodes may run or not.\n"
        "\n"
        "  FILE       must not exist (default twinstep-support-CLUSTER-TIME.tar.gz here)\n"
        "  --dir RUN  where the nodes keep their data (default ./run)\n"
        "\n"
        "Exit status: 0 done, 1 failed, 2 wrong usage, 3 no cluster is there.\n",
        out);
}

/* The signals that end the command at a terminal wait until it has cleaned up: nothing is left in
 * the directory for temporary files then. */
static bool is_interrupted(void)
{
    sigset_t waiting;
    return sigpending(&waiting) == 0 &&
           (sigismember(&waiting, SIGINT) == 1 || sigismember(&waiting, SIGTERM) == 1 ||
            sigismember(&waiting, SIGHUP) == 1);
}

/* A new file of the bundle, with its line in the manifest; NULL is told there, too. */
static FILE *add(struct bundle *b, const char *what, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static FILE *add(struct bundle *b, const char *what, const char *format, ...)
{
    char name[NAME_MAX_BYTES + CFG_NAME_MAX];
    char path[TS_PATH_MAX];
    va_list args;
    FILE *f = NULL;
    va_start(args, format);
    (void)vsnprintf(name, sizeof(name), format, args);
    va_end(args);
    if (!is_interrupted() && ts_path(path, NULL, b->root, "%s", name) == TS_OK) {
        f = fopen(path, "wxe");
    }
    (void)fprintf(b->manifest, "%-40s %s%s\n", name, what,
                  f == NULL ? " (could not be written)" : "");
    b->missing += f == NULL ? 1 : 0;
    return f;
}

static void finish(struct bundle *b, FILE *f)
{
    if (f != NULL && fclose(f) != 0) {
        b->missing++;
    }
}

/* ---- what the commands say ---------------------------------------------------------------------
 */

typedef int command_fn(const struct cli *cli, int argc, char **argv);

/* As somebody would type it; what it says to standard error goes along. */
static void add_command(struct bundle *b, const char *name, const char *what, command_fn *command,
                        const char *option)
{
    char title[] = "twinstep: support-bundle";
    char dir_word[] = "--dir";
    char dir[TS_PATH_MAX];
    char extra[32];
    char extra_json[] = "--json";
    bool both = option != NULL && strcmp(option, "--latency --json") == 0;
    (void)snprintf(dir, sizeof(dir), "%s", b->run);
    (void)snprintf(extra, sizeof(extra), "%s", both ? "--latency" : option == NULL ? "" : option);
    char *argv[] = {title, dir_word, dir, extra, extra_json, NULL};
    int argc = both ? 5 : option == NULL ? 3 : 4;
    FILE *f = add(b, what, "%s", name);
    if (f != NULL) {
        const struct cli to = {.out = f, .err = f};
        argv[argc] = NULL;
        (void)command(&to, argc, argv);
    }
    finish(b, f);
}

static void add_metrics(struct bundle *b, const char *node)
{
    json_t *request = json_pack("{s:s}", "cmd", "metrics");
    json_t *answers = cli_ask_all(b->run, &b->cluster, node, request, CLI_ASK_MS);
    const json_t *reply = json_object_get(json_array_get(answers, 0), "reply");
    FILE *f = reply == NULL ? NULL : add(b, "its metrics", "%s/metrics.txt", node);
    if (f != NULL) {
        (void)fputs(cli_string(reply, "text", ""), f);
    }
    finish(b, f);
    json_decref(answers);
    json_decref(request);
}

static void add_journals(struct bundle *b, const struct cfg_node *node)
{
    for (size_t i = 0; i < b->cluster.group_count; i++) {
        const struct cfg_group *g = &b->cluster.groups[i];
        struct journal_inspection *n = NULL;
        struct ts_why why = {0};
        char dir[TS_PATH_MAX];
        if (!cfg_group_has(g, node->id) ||
            ts_path(dir, NULL, b->run, "%s/groups/%s", node->name, g->name) != TS_OK) {
            continue;
        }
        FILE *f = add(b, "what its replica's disk holds", "%s/journal-%s.txt", node->name, g->name);
        if (f != NULL) {
            const struct cli to = {.out = f, .err = f};
            if (journal_inspect(dir, &n, &why) == TS_OK) {
                cli_journal_print(&to, dir, n);
                journal_inspection_free(n);
            } else {
                (void)fprintf(f, "%s\n", why.text);
            }
        }
        finish(b, f);
    }
}

/* ---- files -------------------------------------------------------------------------------------
 */

static void add_file(struct bundle *b, const char *from, const char *name, const char *what)
{
    uint8_t *data = NULL;
    size_t len = 0;
    if (ts_file_read(from, COPY_MAX, &data, &len, NULL) != TS_OK) {
        return; /* there is none, or somebody else's */
    }
    FILE *f = add(b, what, "%s", name);
    if (f != NULL && fwrite(data, 1, len, f) != len) {
        b->missing++;
    }
    finish(b, f);
    free(data);
}

/* Plain files of a node's log directory. */
static void add_logs(struct bundle *b, const char *node)
{
    char dir[TS_PATH_MAX];
    DIR *d = ts_path(dir, NULL, b->run, "%s/log", node) == TS_OK ? opendir(dir) : NULL;
    for (const struct dirent *e = d == NULL ? NULL : readdir(d); e != NULL; e = readdir(d)) {
        char from[TS_PATH_MAX];
        char name[NAME_MAX_BYTES + CFG_NAME_MAX];
        struct stat st;
        if (ts_path(from, NULL, dir, "%s", e->d_name) == TS_OK && lstat(from, &st) == 0 &&
            S_ISREG(st.st_mode) && strlen(e->d_name) < 64) {
            (void)snprintf(name, sizeof(name), "%s/log-%.64s", node, e->d_name);
            add_file(b, from, name, "its log");
        }
    }
    if (d != NULL) {
        (void)closedir(d);
    }
}

static void add_machine(struct bundle *b)
{
    static const char *const FILES[] = {"/etc/os-release", "/proc/version", "/proc/loadavg",
                                        "/proc/meminfo",   "/proc/uptime",  "/proc/pressure/io"};
    /* Written by the commands themselves, whatever they say and with what status they end. */
    static const char COMMAND[] =
        "exec >>\"$2\" 2>&1; uname -a; nproc; df -h \"$1\"; df -i \"$1\"; ip -br address; "
        "ls -laR \"$1\" | grep -v ' users$'; exit 0";
    char path[TS_PATH_MAX];
    char said[256];
    struct ts_why why;
    const char *argv[] = {"sh", "-c", COMMAND, "sh", b->run, path, NULL};
    for (size_t i = 0; i < sizeof(FILES) / sizeof(FILES[0]); i++) {
        char name[NAME_MAX_BYTES];
        (void)snprintf(name, sizeof(name), "machine-%s", strrchr(FILES[i], '/') + 1);
        add_file(b, FILES[i], name, FILES[i]);
    }
    FILE *f = add(b, "uname, disks, addresses, names and sizes of the nodes' files", "machine.txt");
    finish(b, f);
    if (f != NULL && (ts_path(path, NULL, b->root, "machine.txt") != TS_OK ||
                      lab_exec(argv, NULL, said, sizeof(said), &why) != TS_OK)) {
        b->missing++;
    }
}

/* ---- the bundle ---------------------------------------------------------------------------------
 */

static void collect(struct bundle *b)
{
    char path[TS_PATH_MAX];
    (void)fprintf(b->manifest,
                  "A support bundle of the Twinstep cluster %s, by release %s. No private keys,\n"
                  "certificates, users, or data of clients are in it.\n\n",
                  b->cluster.name, TS_VERSION);
    add_command(b, "version.txt", "twinstep version", cli_version, NULL);
    add_command(b, "status.txt", "twinstep status", cli_status, NULL);
    add_command(b, "status.json", "the same for programs", cli_status, "--json");
    add_command(b, "latency.txt", "twinstep status --latency", cli_status, "--latency");
    add_command(b, "latency.json", "the same with histograms", cli_status, "--latency --json");
    add_command(b, "explain.txt", "twinstep explain", cli_explain, NULL);
    add_command(b, "events.txt", "twinstep events", cli_events, NULL);
    if (ts_path(path, NULL, b->run, "cluster.yaml") == TS_OK) {
        add_file(b, path, "cluster.yaml", "the cluster file; it has no secrets");
    }
    for (size_t i = 0; i < b->cluster.node_count; i++) {
        const struct cfg_node *node = &b->cluster.nodes[i];
        char dir[TS_PATH_MAX];
        if (ts_path(path, NULL, b->run, "%s", node->name) != TS_OK || access(path, F_OK) != 0 ||
            ts_path(dir, NULL, b->root, "%s", node->name) != TS_OK || mkdir(dir, DIR_MODE) != 0) {
            continue; /* of another machine */
        }
        add_metrics(b, node->name);
        add_journals(b, node);
        add_logs(b, node->name);
    }
    add_machine(b);
}

static int pack(struct bundle *b, const char *folder, const char *name, const char *file)
{
    char said[1024];
    char archive[TS_PATH_MAX];
    struct ts_why why;
    /* tar takes "-" for its standard output, and what is before a ":" for another machine. */
    const char *local = file[0] == '/' ? file : archive;
    if (ts_path(archive, &why, ".", "%s", file) != TS_OK) {
        return cli_fail(b->cli, CLI_FAILED, "%s", why.text);
    }
    int fd = open(file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, FILE_MODE);
    if (fd < 0) {
        return cli_fail(b->cli, CLI_FAILED, "cannot create %s: %s", file, strerror(errno));
    }
    (void)close(fd);
    const char *argv[] = {"tar", "-czf", local, "-C", folder, name, NULL};
    if (lab_exec(argv, NULL, said, sizeof(said), &why) != TS_OK) {
        (void)unlink(file);
        return cli_fail(b->cli, CLI_FAILED, "tar could not write %s: %s", file, why.text);
    }
    (void)fprintf(b->cli->out,
                  "%s: MANIFEST in it lists what it holds; no keys, users or clients' data are in "
                  "it, but addresses and names are\n",
                  file);
    return b->missing == 0
               ? CLI_OK
               : cli_fail(b->cli, CLI_FAILED, "%zu parts of it could not be written", b->missing);
}

static int make(struct bundle *b, const char *file)
{
    char folder[LAB_SCRATCH_MAX];
    char name[NAME_MAX_BYTES];
    char path[TS_PATH_MAX];
    char default_file[NAME_MAX_BYTES + 16];
    struct tm tm;
    time_t now = time(NULL);
    char at[32] = "now";
    struct stat st;
    if (gmtime_r(&now, &tm) != NULL) {
        (void)strftime(at, sizeof(at), "%Y%m%dT%H%M%SZ", &tm);
    }
    (void)snprintf(name, sizeof(name), "twinstep-support-%.31s-%.20s", b->cluster.name, at);
    (void)snprintf(default_file, sizeof(default_file), "%s.tar.gz", name);
    file = file == NULL ? default_file : file;
    if (lstat(file, &st) == 0) {
        return cli_fail(b->cli, CLI_FAILED, "%s is there already; it is never overwritten", file);
    }
    if (lab_scratch_make("support", folder) != TS_OK) {
        return cli_fail(b->cli, CLI_FAILED, "no directory for temporary files could be made in %s",
                        getenv("TMPDIR") == NULL ? "/tmp" : getenv("TMPDIR"));
    }
    int status = CLI_FAILED;
    bool made =
        ts_path(b->root, NULL, folder, "%s", name) == TS_OK && mkdir(b->root, DIR_MODE) == 0;
    b->manifest =
        made && ts_path(path, NULL, b->root, "MANIFEST") == TS_OK ? fopen(path, "wxe") : NULL;
    if (b->manifest == NULL) {
        (void)cli_fail(b->cli, CLI_FAILED, "cannot write to %s: %s", folder, strerror(errno));
    } else {
        collect(b);
        finish(b, b->manifest);
        status = is_interrupted() ? CLI_FAILED : pack(b, folder, name, file);
    }
    lab_scratch_remove(folder);
    return status;
}

int cli_bundle(const struct cli *cli, int argc, char **argv)
{
    static const struct option OPTIONS[] = {
        {"dir", required_argument, NULL, 'd'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    const char *run = CLI_DEFAULT_DIR;
    int c;
    optind = 0; /* GNU: from the beginning, whatever was parsed before */
    while ((c = getopt_long(argc, argv, "h", OPTIONS, NULL)) != -1) {
        if (c == 'd') {
            run = optarg;
        } else if (c == 'h') {
            print_help(cli->out);
            return CLI_OK;
        } else {
            return cli_usage(cli, "support-bundle");
        }
    }
    const char *file = optind < argc ? argv[optind++] : NULL;
    if (optind < argc) {
        return cli_excess(cli, "support-bundle", argv[optind]);
    }
    struct bundle *b = calloc(1, sizeof(*b));
    if (b == NULL) {
        return cli_fail(cli, CLI_FAILED, "out of memory; free some");
    }
    b->cli = cli;
    b->run = run;
    int status = cli_open_run(cli, run, &b->cluster);
    if (status == CLI_OK) {
        sigset_t signals;
        sigset_t before;
        (void)sigemptyset(&signals);
        (void)sigaddset(&signals, SIGINT);
        (void)sigaddset(&signals, SIGTERM);
        (void)sigaddset(&signals, SIGHUP);
        (void)sigprocmask(SIG_BLOCK, &signals, &before);
        status = make(b, file);
        (void)sigprocmask(SIG_SETMASK, &before, NULL); /* one that waited ends the process here */
    }
    free(b);
    return status;
}
