/* twinstep lab up and down: whatever way up ends, it leaves a lab that runs, or nothing that does.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/lab.h"
#include "cli/settle.h"
#include "lab/clock.h"
#include "lab/exec.h"
#include "lab/image.h"
#include "lab/nodes.h"
#include "lab/pods.h"
#include "lab/scratch.h"
#include "lab/shipped.h"

/* How long labd gets to end its machines before it is killed, which ends them, too. */
#define END_MS 5000
/* The same of one whose machines are containers, which an engine removes. */
#define END_CONTAINERS_MS 30000
#define LOG_BYTES 65536
#define LOOK_MS 5

/* Set by the signal handler: the one thing that may be shared with it. */
static volatile sig_atomic_t interrupted;

static void on_signal(int signo)
{
    (void)signo;
    interrupted = 1;
}

/* Without SA_RESTART: a read that waits for labd ends with it. */
static void catch_signals(void)
{
    struct sigaction action = {.sa_handler = on_signal};
    (void)sigemptyset(&action.sa_mask);
    (void)sigaction(SIGINT, &action, NULL);
    (void)sigaction(SIGTERM, &action, NULL);
    (void)sigaction(SIGHUP, &action, NULL);
}

static bool has_file(const char *dir, const char *name)
{
    char path[TS_PATH_MAX];
    return ts_path(path, NULL, dir, "%s", name) == TS_OK && access(path, F_OK) == 0;
}

bool cli_lab_is_there(const char *dir)
{
    return has_file(dir, LAB_LOCK);
}

/* The end of a lab would remove the link, and leave what it leads to. */
static int refuse_link(const struct cli_lab *a)
{
    struct stat st;
    return lstat(a->dir, &st) != 0 || !S_ISLNK(st.st_mode)
               ? CLI_OK
               : cli_fail(a->cli, CLI_FAILED,
                          "%s is a symbolic link; nothing was done: name the directory itself",
                          a->dir);
}

/* ---- down ------------------------------------------------------------------------------------ */

/* A process that is just being ended by the kernel may write a file yet, so once may be too little.
 */
static int remove_dir(const struct cli_lab *a)
{
    uint64_t until = lab_now_ns() + END_MS * TS_NS_PER_MS;
    for (;;) {
        lab_scratch_remove(a->dir);
        if (access(a->dir, F_OK) != 0) {
            return CLI_OK;
        }
        if (lab_now_ns() > until) {
            return cli_fail(a->cli, CLI_FAILED, "%s cannot be removed whole; look what is in it",
                            a->dir);
        }
        lab_pause_ms(LOOK_MS);
    }
}

int cli_lab_end(const struct cli_lab *a, bool keep)
{
    struct ts_why why = {{0}};
    pid_t keeper;
    int hold = -1;
    struct lab_engine engine;
    if (lab_engine_load(a->dir, &engine, &why) != TS_OK) {
        return cli_fail(a->cli, CLI_FAILED, "%s", why.text);
    }
    bool contained = engine.backend != LAB_BACKEND_NETNS;
    unsigned end_ms = contained ? END_CONTAINERS_MS : END_MS;
    uint64_t until = lab_now_ns() + end_ms * TS_NS_PER_MS;
    while ((keeper = lab_keeper(a->dir)) != 0) {
        if (keeper < 0) {
            return cli_fail(a->cli, CLI_FAILED,
                            "the lab in %s was started outside of this container or machine; end "
                            "it there",
                            a->dir);
        }
        if (kill(keeper, lab_now_ns() > until ? SIGKILL : SIGTERM) != 0 && errno == EPERM) {
            return cli_fail(a->cli, CLI_FAILED,
                            "the lab in %s is somebody else's (labd has pid %d); be that user, or "
                            "root",
                            a->dir, (int)keeper);
        }
        lab_pause_ms(LOOK_MS);
    }
    if (lab_hold(a->dir, end_ms, &hold, &why) != TS_OK) {
        return cli_fail(a->cli, CLI_FAILED, "%s", why.text);
    }
    /* Those of a labd that was killed. */
    if (contained && lab_engine_remove(&engine, &why) != TS_OK) {
        (void)close(hold);
        return cli_fail(a->cli, CLI_FAILED, "%s", why.text);
    }
    int status = keep ? CLI_OK : remove_dir(a);
    (void)close(hold);
    return status;
}

int cli_lab_down(const struct cli_lab *a)
{
    if (!cli_lab_is_there(a->dir)) {
        return cli_fail(a->cli, CLI_UNREACHABLE, "there is no lab in %s", a->dir);
    }
    int status = refuse_link(a);
    status = status != CLI_OK ? status : cli_lab_end(a, a->keep);
    if (status == CLI_OK) {
        (void)fprintf(a->cli->out, "the lab in %s has ended%s\n", a->dir,
                      a->keep ? "; its files are left" : "");
    }
    return status;
}

/* ---- up: the directory ----------------------------------------------------------------------- */

struct up {
    const struct cli_lab *a;
    uint64_t begun;
    int hold;   /* the lock of the directory; -1 */
    pid_t labd; /* 0 */
    struct lab_engine engine;
    struct nodes_run run;
    struct lab_topology topology;
};

static bool is_empty(const char *dir)
{
    DIR *d = opendir(dir);
    const struct dirent *e;
    bool empty = d != NULL;
    while (empty && (e = readdir(d)) != NULL) {
        empty = strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0;
    }
    if (d != NULL) {
        (void)closedir(d);
    }
    return empty;
}

/* What is there is a lab's, which is ended, or nothing. The lock's file comes before all others: by
 * it the directory is a lab's, whatever happens from now on. */
static int take_dir(struct up *u)
{
    struct ts_why why = {{0}};
    const char *dir = u->a->dir;
    bool lab = cli_lab_is_there(dir);
    if (!lab && access(dir, F_OK) == 0 && !is_empty(dir)) {
        return cli_fail(u->a->cli, CLI_FAILED,
                        "%s is there and is no lab's; nothing was removed: give another --dir",
                        dir);
    }
    int status = refuse_link(u->a);
    status = status != CLI_OK || !lab ? status : cli_lab_end(u->a, false);
    if (status != CLI_OK) {
        return status;
    }
    enum ts_err err = ts_dir_make(dir, 0755, &why);
    err = err != TS_OK ? err : lab_hold(dir, 0, &u->hold, &why);
    return err == TS_OK ? CLI_OK : cli_fail(u->a->cli, CLI_FAILED, "%s", why.text);
}

/* The topology, read and copied before anything that was there is removed. */
static int make_dir(struct up *u)
{
    const struct cli_lab *a = u->a;
    struct ts_why why = {{0}};
    char file[TS_PATH_MAX];
    const char *name = a->name == NULL ? "pair" : a->name;
    const char *text = lab_shipped_text(lab_shipped_topologies, name);
    uint8_t *read = NULL;
    size_t len = text == NULL ? 0 : strlen(text);
    if (text == NULL && access(name, F_OK) != 0) {
        return cli_fail(a->cli, CLI_FAILED,
                        "there is no file %s, and no topology of this name ships; twinstep lab "
                        "list tells those",
                        name);
    }
    enum ts_err err = text != NULL ? TS_OK : lab_topology_load(name, &u->topology, &why);
    err = text != NULL || err != TS_OK ? err : ts_file_read(name, 1U << 20, &read, &len, &why);
    if (err != TS_OK) {
        return cli_fail(a->cli, CLI_FAILED, "%s", why.text);
    }
    int status = take_dir(u);
    if (status == CLI_OK) {
        err = ts_path(file, &why, a->dir, LAB_FILE);
        text = text != NULL ? text : (const char *)read;
        err = err != TS_OK ? err : ts_file_replace(file, text, len, 0644, &why);
        err = err != TS_OK ? err : lab_topology_load(file, &u->topology, &why);
        err = err != TS_OK ? err : nodes_open(&u->run, a->dir, &why);
    }
    free(read);
    return err != TS_OK ? cli_fail(a->cli, CLI_FAILED, "%s", why.text) : status;
}

/* ---- up: labd and the nodes ------------------------------------------------------------------ */

static _Noreturn void become_labd(const struct up *u, const char *program, int ready)
{
    char log[TS_PATH_MAX];
    char dir[TS_PATH_MAX];
    char lock[16];
    (void)setsid();
    int err = ts_path(log, NULL, u->run.run, LAB_LOG) == TS_OK
                  ? open(log, O_WRONLY | O_CREAT | O_APPEND, 0644)
                  : -1;
    int null = open("/dev/null", O_RDONLY);
    int hold = fcntl(u->hold, F_DUPFD, STDERR_FILENO + 1); /* without the flag that closes it */
    if (err >= 0 && null >= 0 && hold >= 0 && dup2(null, STDIN_FILENO) >= 0 &&
        dup2(ready, STDOUT_FILENO) >= 0 && dup2(err, STDERR_FILENO) >= 0) {
        (void)snprintf(dir, sizeof(dir), "%s", u->run.run);
        (void)snprintf(lock, sizeof(lock), "%d", hold);
        char name[] = "labd";
        char *argv[] = {name, dir, lock, NULL};
        (void)close(err);
        (void)close(null);
        (void)execv(program, argv);
    }
    _exit(127);
}

/* What labd said last. */
static int tell_log(const struct up *u)
{
    char path[TS_PATH_MAX];
    uint8_t *text = NULL;
    size_t len = 0;
    if (ts_path(path, NULL, u->run.run, LAB_LOG) != TS_OK ||
        ts_file_read(path, LOG_BYTES, &text, &len, NULL) != TS_OK) {
        len = 0;
    }
    while (len > 0 && text[len - 1] == '\n') {
        text[--len] = 0;
    }
    int status = cli_fail(u->a->cli, CLI_FAILED, "the lab does not come up: %s",
                          len > 0 ? (const char *)text : "labd does not start");
    free(text);
    return status;
}

static int start_labd(struct up *u)
{
    char program[TS_PATH_MAX];
    struct ts_why why = {{0}};
    char text[16];
    int ends[2];
    if (ts_path(program, &why, u->run.bin, "labd") != TS_OK || pipe2(ends, O_CLOEXEC) != 0) {
        return cli_fail(u->a->cli, CLI_FAILED, "cannot start labd: %s", why.text);
    }
    pid_t pid = fork();
    if (pid == 0) {
        become_labd(u, program, ends[1]);
    }
    u->labd = pid > 0 ? pid : 0;
    (void)close(ends[1]);
    ssize_t n = pid < 0 ? 0 : read(ends[0], text, sizeof(text));
    (void)close(ends[0]);
    if (interrupted) {
        return CLI_INTERRUPTED;
    }
    return n > 0 ? CLI_OK : tell_log(u);
}

static int start_node(const struct up *u, const char *name)
{
    struct ts_why why = {{0}};
    enum ts_err err = lab_pods_start_node(&u->run, name, &why);
    if (interrupted) {
        return CLI_INTERRUPTED;
    }
    return err == TS_OK ? CLI_OK : cli_fail(u->a->cli, CLI_FAILED, "%s", why.text);
}

/* Authority, certificates and disks of the cluster: before labd, whose user may be another one. */
static int form(const struct up *u)
{
    char program[TS_PATH_MAX];
    char file[TS_PATH_MAX];
    struct ts_why why = {{0}};
    enum ts_err err = ts_path(program, &why, u->run.bin, "twinstep");
    err = err != TS_OK ? err : ts_path(file, &why, u->run.run, LAB_FILE);
    const char *const argv[] = {program, "up",       "--config",  file,
                                "--dir", u->run.run, "--prepare", NULL};
    (void)fcntl(u->hold, F_SETFD, 0); /* nobody removes what it makes while it does */
    err = err != TS_OK ? err : lab_exec(argv, NULL, NULL, 0, &why);
    (void)fcntl(u->hold, F_SETFD, FD_CLOEXEC);
    if (interrupted) {
        return CLI_INTERRUPTED;
    }
    return err == TS_OK ? CLI_OK : cli_fail(u->a->cli, CLI_FAILED, "%s", why.text);
}

static double seconds(const struct up *u)
{
    return (double)(lab_now_ns() - u->begun) / (double)TS_NS_PER_S;
}

/* The image, and word of the engine before it makes the first container. */
static int make_image(struct up *u)
{
    struct ts_why why = {{0}};
    bool built = false;
    struct lab_engine *e = &u->engine;
    if (e->backend == LAB_BACKEND_NETNS) {
        return CLI_OK;
    }
    lab_engine_set_dir(e, u->run.run);
    enum ts_err err = lab_engine_takes_dir(u->run.run, &why);
    err = err != TS_OK ? err : lab_engine_takes_dir(u->run.bin, &why);
    err = err != TS_OK ? err : lab_image_make(e, u->run.bin, u->run.run, &built, &why);
    err = err != TS_OK ? err : lab_engine_save(e, u->run.run, &why);
    if (interrupted) {
        return CLI_INTERRUPTED;
    }
    if (err != TS_OK) {
        return cli_fail(u->a->cli, CLI_FAILED, "%s", why.text);
    }
    (void)fprintf(u->a->cli->out, "  image %s of %s %s after %.2f s\n", e->image,
                  lab_backend_text(e->backend), built ? "built" : "found", seconds(u));
    (void)fflush(u->a->cli->out);
    return CLI_OK;
}

static int settle(const struct up *u)
{
    const struct cfg_cluster *c = &u->topology.cluster;
    struct cli_settle s = {.cli = u->a->cli,
                           .cluster = c,
                           .run = &u->run,
                           .timeout_s = u->a->timeout_s,
                           .advice = "a machine that is too busy needs a larger failure-timeout in "
                                     "the topology",
                           .interrupted = &interrupted};
    for (size_t i = 0; i < c->node_count; i++) {
        s.chosen[i] = true;
    }
    int status = cli_settle(&s);
    if (status == CLI_OK) {
        (void)fprintf(u->a->cli->out, "  all in sync after %.2f s: %s\n", seconds(u), u->run.run);
    }
    return status;
}

static int begin(struct up *u)
{
    const struct lab_topology *t = &u->topology;
    FILE *out = u->a->cli->out;
    bool root = false;
    int status = make_image(u);
    status = status != CLI_OK ? status : form(u);
    status = status != CLI_OK ? status : start_labd(u);
    if (status != CLI_OK) {
        return status;
    }
    (void)fprintf(out, "  %zu machines on %zu networks after %.2f s\n", t->machine_count,
                  t->network_count, seconds(u));
    if (lab_pods_has(u->run.run, t->machines[0].name, &root) && !root) {
        (void)fputs("  without root: heartbeatd has no real-time priority, so a busy machine may "
                    "be taken for a silent one\n",
                    out);
    }
    (void)fflush(out);
    for (size_t i = 0; i < t->cluster.node_count && status == CLI_OK; i++) {
        status = start_node(u, t->cluster.nodes[i].name);
    }
    return status != CLI_OK || u->a->timeout_s == 0 ? status : settle(u);
}

/* What was begun ends. Its logs stay where they may tell why. */
static int undo(struct up *u, int status)
{
    const struct cli_lab *a = u->a;
    bool keep = u->labd != 0 && status != CLI_INTERRUPTED;
    if (u->labd != 0 && a->keep && lab_keeper(a->dir) > 0) {
        (void)fprintf(a->cli->err, "The lab goes on; twinstep lab down --dir %s ends it.\n",
                      a->dir);
        return status;
    }
    if (u->hold >= 0) {
        (void)close(u->hold);
        u->hold = -1;
    }
    /* One that has not got as far as its lock cannot be found by it. */
    if (u->labd != 0 && lab_keeper(a->dir) != u->labd) {
        (void)kill(u->labd, SIGKILL);
    }
    if (cli_lab_end(a, keep) == CLI_OK) {
        (void)fprintf(a->cli->err, "The lab was ended%s%s%s\n",
                      keep ? "; its logs are left: see " : ".", keep ? u->run.run : "",
                      keep ? "/lab.log and */log" : "");
    }
    return status;
}

int cli_lab_up(const struct cli_lab *a)
{
    struct up *u = calloc(1, sizeof(*u));
    if (u == NULL) {
        return cli_fail(a->cli, CLI_FAILED, "out of memory; free some");
    }
    *u = (struct up){.a = a, .begun = lab_now_ns(), .hold = -1};
    catch_signals();
    struct ts_why why = {{0}};
    enum ts_err err = lab_engine_find(a->backend, &u->engine, &why);
    int status = err != TS_OK ? cli_fail(a->cli, CLI_FAILED, "%s", why.text) : make_dir(u);
    bool mine = u->hold >= 0;
    status = status != CLI_OK ? status : begin(u);
    if (status != CLI_OK && mine) {
        status = undo(u, status);
    }
    if (u->hold >= 0) {
        (void)close(u->hold);
    }
    free(u);
    return status;
}
