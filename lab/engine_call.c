/* The engine of this machine: see lab/engine.h. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/hash.h"
#include "lab/clock.h"
#include "lab/engine.h"

/* What podman would set at most; it lowers its own limit of processes to the second one. */
#define FILES_MAX 1048576U
#define PROCS_MAX 32768U
#define COMPLAINT_MAX 400
#define CONTAINERS_BYTES 65536
#define REMOVALS_MAX 50
#define REMOVAL_PAUSE_MS 100

/* ---- calls ----------------------------------------------------------------------------------- */

static _Noreturn void become(char *const argv[], int hold, int out, int complaints)
{
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    /* What stands in front of the lab's disks is for its nodes, not for the engine. */
    (void)unsetenv("LD_PRELOAD");
    if (hold >= 0) {
        (void)fcntl(hold, F_SETFD, 0);
    }
    if (null >= 0 && dup2(null, STDIN_FILENO) >= 0 && dup2(out, STDOUT_FILENO) >= 0 &&
        dup2(complaints, STDERR_FILENO) >= 0) {
        (void)execvp(argv[0], argv);
    }
    _exit(127);
}

static void drain(int fd, char *out, size_t cap)
{
    char spare[4096];
    size_t len = 0;
    for (;;) {
        ssize_t n = read(fd, spare, sizeof(spare));
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            break;
        }
        size_t room = out == NULL ? 0 : cap - 1 - len;
        size_t kept = (size_t)n < room ? (size_t)n : room;
        if (kept > 0) {
            memcpy(out + len, spare, kept);
            len += kept;
        }
    }
    if (out != NULL) {
        out[len] = '\0';
    }
}

/* The end of what it wrote, in one line, from a word's beginning. */
static void read_complaint(int fd, char out[COMPLAINT_MAX])
{
    off_t size = lseek(fd, 0, SEEK_END);
    off_t from = size >= COMPLAINT_MAX ? size - COMPLAINT_MAX + 1 : 0;
    ssize_t n = size > 0 ? pread(fd, out, COMPLAINT_MAX - 1, from) : 0;
    size_t len = n > 0 ? (size_t)n : 0;
    while (len > 0 && (out[len - 1] == '\n' || out[len - 1] == ' ' || out[len - 1] == '.')) {
        len--;
    }
    for (size_t i = 0; i < len; i++) {
        out[i] = (unsigned char)out[i] < ' ' ? ' ' : out[i];
    }
    out[len] = '\0';
    size_t cut = from > 0 ? strcspn(out, " ") : 0;
    memmove(out, out + cut, len - cut + 1);
}

static enum ts_err judge(const struct lab_words *w, int status, int complaints, struct ts_why *why)
{
    char text[COMPLAINT_MAX];
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
        return TS_OK;
    }
    if (WIFEXITED(status) && WEXITSTATUS(status) == 127) {
        return ts_why(why, TS_ERR_NOT_FOUND, "cannot run %s: is it installed and in PATH?",
                      w->argv[0]);
    }
    read_complaint(complaints, text);
    return WIFEXITED(status) ? ts_why(why, TS_ERR_REFUSED, "%s says: %s", w->argv[0],
                                      text[0] == '\0' ? "nothing, but it failed" : text)
                             : ts_why(why, TS_ERR_REFUSED, "%s was ended by signal %d", w->argv[0],
                                      WTERMSIG(status));
}

enum ts_err lab_engine_call(struct lab_words *w, int hold, char *out, size_t cap,
                            struct ts_why *why)
{
    int ends[2] = {-1, -1};
    if (w->full) {
        return ts_why(why, TS_ERR_LIMIT, "too many or too long words for %s", w->argv[0]);
    }
    int complaints = memfd_create("complaints", MFD_CLOEXEC);
    if (complaints < 0 || pipe2(ends, O_CLOEXEC) != 0) {
        enum ts_err err = ts_why_sys(why, errno, "cannot run %s", w->argv[0]);
        if (complaints >= 0) {
            (void)close(complaints);
        }
        return err;
    }
    /* execvp takes char *const[] for historical reasons; it changes nothing. */
    union {
        const char *const *from;
        char *const *to;
    } argv = {.from = w->argv};
    pid_t pid = fork();
    if (pid == 0) {
        become(argv.to, hold, ends[1], complaints);
    }
    int error = errno;
    int status = 0;
    (void)close(ends[1]);
    if (pid > 0) {
        drain(ends[0], out, cap);
    }
    (void)close(ends[0]);
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    enum ts_err err = pid > 0 ? judge(w, status, complaints, why)
                              : ts_why_sys(why, error, "cannot run %s", w->argv[0]);
    (void)close(complaints);
    return err;
}

/* ---- what this machine has ------------------------------------------------------------------- */

static unsigned limit_of(int resource, unsigned most)
{
    struct rlimit limit;
    if (getrlimit((__rlimit_resource_t)resource, &limit) != 0) {
        return 0;
    }
    return limit.rlim_max == RLIM_INFINITY || limit.rlim_max > most ? most
                                                                    : (unsigned)limit.rlim_max;
}

static bool has_program(const char *const paths[])
{
    bool has = false;
    for (size_t i = 0; paths[i] != NULL && !has; i++) {
        has = access(paths[i], X_OK) == 0;
    }
    return has;
}

/* Both versions of cgroups are in use, and the second one has controllers: crun refuses that. */
static bool is_hybrid(void)
{
    char text[8] = "";
    int fd = open("/sys/fs/cgroup/unified/cgroup.controllers", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof(text));
    if (fd >= 0) {
        (void)close(fd);
    }
    return n > 1;
}

/* Of the second version, and of the first. */
static bool may_make_cgroups(void)
{
    return access("/sys/fs/cgroup/cgroup.procs", W_OK) == 0 ||
           access("/sys/fs/cgroup/pids/cgroup.procs", W_OK) == 0 ||
           access("/sys/fs/cgroup/memory/cgroup.procs", W_OK) == 0;
}

static enum ts_err find_podman(struct lab_engine *e, struct ts_why *why)
{
    static const char *const RUNC[] = {"/usr/bin/runc", "/usr/sbin/runc", "/usr/local/bin/runc",
                                       "/usr/local/sbin/runc", NULL};
    struct lab_words *w = calloc(1, sizeof(*w));
    if (w == NULL) {
        return ts_why(why, TS_ERR_NOMEM, "out of memory; free some");
    }
    e->cgroupfs = access("/run/systemd/system", F_OK) != 0;
    e->no_cgroups = !may_make_cgroups();
    e->runc = is_hybrid() && has_program(RUNC);
    e->files = limit_of(RLIMIT_NOFILE, FILES_MAX);
    e->procs = limit_of(RLIMIT_NPROC, PROCS_MAX);
    lab_engine_words(e, w);
    lab_word(w, "version");
    enum ts_err err = lab_engine_call(w, -1, NULL, 0, why);
    free(w);
    return err;
}

static enum ts_err find_docker(struct lab_engine *e, struct ts_why *why)
{
    struct lab_words *w = calloc(1, sizeof(*w));
    if (w == NULL) {
        return ts_why(why, TS_ERR_NOMEM, "out of memory; free some");
    }
    lab_engine_words(e, w);
    lab_word(w, "version"); /* also of the daemon: fails without it */
    enum ts_err err = lab_engine_call(w, -1, NULL, 0, why);
    if (err == TS_OK) {
        lab_engine_words(e, w);
        lab_word(w, "compose");
        lab_word(w, "version");
        e->compose = lab_engine_call(w, -1, NULL, 0, NULL) == TS_OK;
    }
    free(w);
    return err;
}

enum ts_err lab_engine_find(enum lab_backend backend, struct lab_engine *out, struct ts_why *why)
{
    struct ts_why told = {{0}};
    *out = (struct lab_engine){.backend = backend};
    if (backend == LAB_BACKEND_NETNS) {
        return TS_OK;
    }
    const char *name = lab_backend_text(backend);
    if (geteuid() != 0) {
        return ts_why(why, TS_ERR_REFUSED,
                      "labs of %s need root, who may give containers their networks: use sudo, or "
                      "--backend netns, which needs no root",
                      name);
    }
    enum ts_err err =
        backend == LAB_BACKEND_PODMAN ? find_podman(out, &told) : find_docker(out, &told);
    if (err == TS_ERR_NOT_FOUND) {
        return ts_why(why, TS_ERR_REFUSED,
                      "there is no program %s in PATH: install it (apt-get install %s), or use "
                      "--backend netns, which needs no engine",
                      name, backend == LAB_BACKEND_PODMAN ? "podman" : "docker.io");
    }
    if (err != TS_OK) {
        return ts_why(why, TS_ERR_REFUSED, "%s%s", told.text,
                      backend == LAB_BACKEND_PODMAN
                          ? "; podman does not work here: mend that, or use --backend netns"
                          : "; start the docker daemon (systemctl start docker), set DOCKER_HOST "
                            "to its socket, or use --backend netns");
    }
    return TS_OK;
}

void lab_engine_set_dir(struct lab_engine *e, const char *dir)
{
    struct ts_hash hash = ts_hash_bytes(dir, strlen(dir));
    (void)snprintf(e->id, sizeof(e->id), "%016" PRIx64, hash.lo);
}

/* ---- DIR/lab.engine -------------------------------------------------------------------------- */

enum ts_err lab_engine_save(const struct lab_engine *e, const char *dir, struct ts_why *why)
{
    char path[TS_PATH_MAX];
    json_t *o =
        json_pack("{s:s,s:b,s:b,s:b,s:b,s:i,s:i,s:s,s:s,s:s}", "backend",
                  lab_backend_text(e->backend), "compose", e->compose, "cgroupfs", e->cgroupfs,
                  "no-cgroups", e->no_cgroups, "runc", e->runc, "files", (int)e->files, "procs",
                  (int)e->procs, "id", e->id, "image", e->image, "bin", e->bin);
    char *text = o == NULL ? NULL : json_dumps(o, JSON_INDENT(1));
    json_decref(o);
    if (text == NULL) {
        return ts_why(why, TS_ERR_NOMEM, "no memory for %s/" LAB_ENGINE_FILE, dir);
    }
    enum ts_err err = ts_path(path, why, dir, LAB_ENGINE_FILE);
    err = err != TS_OK ? err : ts_file_replace(path, text, strlen(text), 0644, why);
    free(text);
    return err;
}

static bool read_all(json_t *o, struct lab_engine *e)
{
    const char *backend = NULL;
    const char *id = NULL;
    const char *image = NULL;
    const char *bin = NULL;
    int compose = 0;
    int cgroupfs = 0;
    int no_cgroups = 0;
    int runc = 0;
    int files = 0;
    int procs = 0;
    if (json_unpack(o, "{s:s,s:b,s:b,s:b,s:b,s:i,s:i,s:s,s:s,s:s}", "backend", &backend, "compose",
                    &compose, "cgroupfs", &cgroupfs, "no-cgroups", &no_cgroups, "runc", &runc,
                    "files", &files, "procs", &procs, "id", &id, "image", &image, "bin",
                    &bin) != 0 ||
        !lab_backend_read(backend, &e->backend) || strlen(id) != LAB_ENGINE_ID_MAX - 1 ||
        strlen(image) >= LAB_IMAGE_TAG_MAX || strlen(bin) >= TS_PATH_MAX || files < 0 ||
        procs < 0) {
        return false;
    }
    e->compose = compose != 0;
    e->cgroupfs = cgroupfs != 0;
    e->no_cgroups = no_cgroups != 0;
    e->runc = runc != 0;
    e->files = (unsigned)files;
    e->procs = (unsigned)procs;
    (void)snprintf(e->id, sizeof(e->id), "%s", id);
    (void)snprintf(e->image, sizeof(e->image), "%s", image);
    (void)snprintf(e->bin, sizeof(e->bin), "%s", bin);
    return true;
}

enum ts_err lab_engine_load(const char *dir, struct lab_engine *out, struct ts_why *why)
{
    char path[TS_PATH_MAX];
    *out = (struct lab_engine){.backend = LAB_BACKEND_NETNS};
    enum ts_err err = ts_path(path, why, dir, LAB_ENGINE_FILE);
    if (err != TS_OK || access(path, F_OK) != 0) {
        return err;
    }
    json_t *o = json_load_file(path, 0, NULL);
    bool good = o != NULL && read_all(o, out);
    json_decref(o);
    return good ? TS_OK
                : ts_why(why, TS_ERR_MALFORMED,
                         "%s is damaged; remove the containers with the label " LAB_ENGINE_LABEL
                         ".dir=%s yourself, and then that file",
                         path, dir);
}

/* ---- what is left ---------------------------------------------------------------------------- */

/* Appends those that the engine has of the lab to the words; none: `any` is false. */
static enum ts_err list(const struct lab_engine *e, struct lab_words *w, char *out, bool *any,
                        struct ts_why *why)
{
    lab_engine_words(e, w);
    lab_word(w, "ps");
    lab_word(w, "--all");
    lab_word(w, "--quiet");
    lab_word(w, "--filter=label=" LAB_ENGINE_LABEL "=%s", e->id);
    enum ts_err err = lab_engine_call(w, -1, out, CONTAINERS_BYTES, why);
    if (err != TS_OK) {
        return err;
    }
    lab_engine_words(e, w);
    lab_word(w, "rm");
    lab_word(w, "--force");
    lab_word(w, "--volumes");
    *any = false;
    char *rest = NULL;
    for (char *id = strtok_r(out, "\n", &rest); id != NULL; id = strtok_r(NULL, "\n", &rest)) {
        lab_word(w, "%s", id);
        *any = true;
    }
    return TS_OK;
}

/* The engine may be removing one just now, which then is not there for `rm`: it is looked at what
 * is left, not at what that says. */
enum ts_err lab_engine_remove(const struct lab_engine *e, struct ts_why *why)
{
    struct ts_why told = {{0}};
    struct lab_words *w = calloc(1, sizeof(*w));
    char *out = malloc(CONTAINERS_BYTES);
    bool any = true;
    enum ts_err err = w == NULL || out == NULL ? ts_why(why, TS_ERR_NOMEM, "out of memory") : TS_OK;
    for (unsigned i = 0; i < REMOVALS_MAX && any && err == TS_OK; i++) {
        if (i > 0) {
            lab_pause_ms(REMOVAL_PAUSE_MS);
        }
        err = list(e, w, out, &any, why);
        if (err == TS_OK && any) {
            (void)!lab_engine_call(w, -1, NULL, 0, &told);
        }
    }
    if (err == TS_OK && any) {
        err = ts_why(why, TS_ERR_TIMEOUT, "containers of the lab cannot be removed: %s",
                     told.text[0] == '\0' ? "they come again" : told.text);
    }
    free(out);
    free(w);
    return err;
}
