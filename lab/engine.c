#include "lab/engine.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* What the service manager gives to a node, too (packaging/systemd). */
static const char *const RIGHTS[] = {"SYS_NICE", "IPC_LOCK", "NET_ADMIN", "NET_RAW"};
/* Empty at first, as in a lab of namespaces. */
static const char *const TMPFS[] = {"/run", "/tmp"};
#define SHARED_MEMORY "1g"
#define NO_LABEL "label=disable" /* or SELinux would keep the lab's directory from it */
#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static const char *const BACKENDS[] = {"netns", "podman", "docker"};

const char *lab_backend_text(enum lab_backend backend)
{
    return BACKENDS[backend];
}

bool lab_backend_read(const char *text, enum lab_backend *out)
{
    for (size_t i = 0; i < COUNT(BACKENDS); i++) {
        if (strcmp(BACKENDS[i], text) == 0) {
            *out = (enum lab_backend)i;
            return true;
        }
    }
    return false;
}

void lab_word(struct lab_words *w, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int n = vsnprintf(w->text + w->used, sizeof(w->text) - w->used, format, args);
    va_end(args);
    if (n < 0 || (size_t)n >= sizeof(w->text) - w->used || w->count == LAB_WORDS_MAX) {
        w->full = true;
        return;
    }
    w->argv[w->count++] = w->text + w->used;
    w->argv[w->count] = NULL;
    w->used += (size_t)n + 1;
}

void lab_engine_words(const struct lab_engine *e, struct lab_words *w)
{
    w->count = 0;
    w->used = 0;
    w->full = false;
    lab_word(w, "%s", lab_backend_text(e->backend));
    if (e->runc) {
        lab_word(w, "--runtime=runc");
    }
    if (e->cgroupfs) {
        lab_word(w, "--cgroup-manager=cgroupfs");
    }
}

void lab_engine_name(const struct lab_engine *e, const char *machine, char out[LAB_CONTAINER_MAX])
{
    (void)snprintf(out, LAB_CONTAINER_MAX, "twinstep-%s-%s", e->id, machine);
}

/* Nothing may hide the programs. */
static bool is_above(const char *folder, const char *bin)
{
    size_t n = strlen(folder);
    return strncmp(folder, bin, n) == 0 && (bin[n] == '/' || bin[n] == '\0');
}

void lab_engine_run_words(const struct lab_engine *e, const char *machine, const char *dir,
                          struct lab_words *w)
{
    char name[LAB_CONTAINER_MAX];
    lab_engine_name(e, machine, name);
    lab_engine_words(e, w);
    lab_word(w, "run");
    lab_word(w, "--detach");
    lab_word(w, "--rm");
    lab_word(w, "--pull=never");
    lab_word(w, "--name=%s", name);
    lab_word(w, "--hostname=%s", machine);
    lab_word(w, "--network=none");
    lab_word(w, "--label=" LAB_ENGINE_LABEL "=%s", e->id);
    lab_word(w, "--label=" LAB_ENGINE_LABEL ".dir=%s", dir);
    lab_word(w, "--read-only");
    for (size_t i = 0; i < COUNT(TMPFS); i++) {
        if (!is_above(TMPFS[i], e->bin)) {
            lab_word(w, "--tmpfs=%s", TMPFS[i]);
        }
    }
    lab_word(w, "--shm-size=" SHARED_MEMORY);
    lab_word(w, "--security-opt=" NO_LABEL);
    lab_word(w, "--cap-drop=ALL");
    for (size_t i = 0; i < COUNT(RIGHTS); i++) {
        lab_word(w, "--cap-add=%s", RIGHTS[i]);
    }
    if (e->no_cgroups) {
        lab_word(w, "--cgroups=disabled");
    }
    if (e->files > 0) {
        lab_word(w, "--ulimit=nofile=%u:%u", e->files, e->files);
    }
    if (e->procs > 0) {
        lab_word(w, "--ulimit=nproc=%u:%u", e->procs, e->procs);
    }
    lab_word(w, "--mount=type=bind,source=%s,target=%s", dir, dir);
    lab_word(w, "%s", e->image);
    lab_word(w, "%s/labd", e->bin);
    lab_word(w, "--machine");
    lab_word(w, "%s", machine);
    lab_word(w, "%s", dir);
}

/* The failing disk's, those of the libraries beside it (lab/host), the sanitizers', the terminal's,
 * and Twinstep's own. */
static bool is_handed_on(const char *variable)
{
    static const char *const BEGINNINGS[] = {"TWINSTEP_",   "LABDISK_",      "LABHOST_",
                                             "LD_PRELOAD=", "ASAN_OPTIONS=", "UBSAN_OPTIONS=",
                                             "TS_",         "LSAN_OPTIONS=", "TSAN_OPTIONS=",
                                             "TERM=",       "MALLOC_"};
    for (size_t i = 0; i < COUNT(BEGINNINGS); i++) {
        if (strncmp(BEGINNINGS[i], variable, strlen(BEGINNINGS[i])) == 0) {
            return true;
        }
    }
    return false;
}

void lab_engine_exec_words(const struct lab_engine *e, const char *machine, const char *cwd,
                           bool terminal, char *const environment[], struct lab_words *w)
{
    char name[LAB_CONTAINER_MAX];
    lab_engine_name(e, machine, name);
    lab_engine_words(e, w);
    lab_word(w, "exec");
    lab_word(w, "--interactive");
    if (terminal) {
        lab_word(w, "--tty");
    }
    lab_word(w, "--workdir=%s", cwd);
    for (size_t i = 0; environment[i] != NULL; i++) {
        if (is_handed_on(environment[i])) {
            lab_word(w, "--env=%s", environment[i]);
        }
    }
    lab_word(w, "--env=TWINSTEP_LAB=%s", machine);
    lab_word(w, "%s", name);
}

/* ---- docker compose -------------------------------------------------------------------------- */

static json_t *strings(const char *const list[], size_t count)
{
    json_t *all = json_array();
    for (size_t i = 0; i < count; i++) {
        (void)json_array_append_new(all, json_string(list[i]));
    }
    return all;
}

/* Compose puts variables in place of a "$"; two of them are one. */
static json_t *plain(const char *text)
{
    char out[2 * TS_PATH_MAX];
    size_t n = 0;
    for (const char *c = text; *c != '\0' && n + 3 < sizeof(out); c++) {
        out[n++] = *c;
        if (*c == '$') {
            out[n++] = '$';
        }
    }
    return json_stringn(out, n);
}

static json_t *service(const struct lab_engine *e, const char *machine, const char *dir)
{
    static const char *const ALL[] = {"ALL"};
    static const char *const SECURITY[] = {NO_LABEL};
    char name[LAB_CONTAINER_MAX];
    char program[2 * TS_PATH_MAX];
    lab_engine_name(e, machine, name);
    (void)snprintf(program, sizeof(program), "%s/labd", e->bin);
    json_t *o = json_pack("{s:s,s:s,s:s,s:s,s:b,s:s}", "image", e->image, "container_name", name,
                          "hostname", machine, "network_mode", "none", "read_only", 1, "shm_size",
                          SHARED_MEMORY);
    json_t *labels =
        json_pack("{s:s,s:o}", LAB_ENGINE_LABEL, e->id, LAB_ENGINE_LABEL ".dir", plain(dir));
    json_t *mount =
        json_pack("{s:s,s:o,s:o}", "type", "bind", "source", plain(dir), "target", plain(dir));
    (void)json_object_set_new(o, "labels", labels);
    json_t *tmpfs = json_array();
    for (size_t i = 0; i < COUNT(TMPFS); i++) {
        if (!is_above(TMPFS[i], e->bin)) {
            (void)json_array_append_new(tmpfs, json_string(TMPFS[i]));
        }
    }
    (void)json_object_set_new(o, "tmpfs", tmpfs);
    (void)json_object_set_new(o, "security_opt", strings(SECURITY, 1));
    (void)json_object_set_new(o, "cap_drop", strings(ALL, 1));
    (void)json_object_set_new(o, "cap_add", strings(RIGHTS, COUNT(RIGHTS)));
    (void)json_object_set_new(o, "volumes", json_pack("[o]", mount));
    (void)json_object_set_new(
        o, "command", json_pack("[o,s,s,o]", plain(program), "--machine", machine, plain(dir)));
    return o;
}

json_t *lab_engine_compose(const struct lab_engine *e, const struct lab_topology *t,
                           const char *dir)
{
    json_t *services = json_object();
    for (size_t i = 0; i < t->machine_count; i++) {
        const char *name = t->machines[i].name;
        (void)json_object_set_new(services, name, service(e, name, dir));
    }
    return json_pack("{s:o}", "services", services);
}

enum ts_err lab_engine_takes_dir(const char *dir, struct ts_why *why)
{
    return strpbrk(dir, ",\"\n") == NULL
               ? TS_OK
               : ts_why(why, TS_ERR_CONFIG,
                        "containers cannot be given %s: a comma, a quotation mark or a line's end "
                        "is in its name; choose another --dir",
                        dir);
}
