/* What a machine of a lab is made of. With `netns` labd makes namespaces itself (lab/pods.h). With
 * `podman` or `docker` each is a container of that engine, without any network of its own, from an
 * image that has the programs and nothing they do not need (lab/image.h): labd gives it its
 * interfaces as it gives them to namespaces, so the wire, the faults and all commands are the same.
 *
 *   DIR/lab.engine   which back-end, written before the first container is made, so that a crash
 *                    leaves nothing that cannot be found
 *   labels           of each container: LAB_ENGINE_LABEL is the lab, another one tells DIR
 *   process 1        `labd --machine NAME DIR`: tells labd that it is there, and ends with it
 *
 * The first half is pure: the command lines, and the file for docker compose. */
#ifndef LAB_ENGINE_H
#define LAB_ENGINE_H

#include <stdbool.h>
#include <stddef.h>

#include <jansson.h>

#include "base/io/files.h"
#include "lab/topology.h"

#define LAB_ENGINE_FILE "lab.engine"
#define LAB_COMPOSE_FILE "lab.compose.json"
#define LAB_ENGINE_LABEL "twinstep.lab"
#define LAB_IMAGE_NAME "twinstep-lab"
#define LAB_ENGINE_ID_MAX 17  /* 16 hexadecimal digits */
#define LAB_IMAGE_TAG_MAX 32  /* NAME:DIGITS */
#define LAB_CONTAINER_MAX 80  /* name of a container */
#define LAB_WORDS_MAX 160     /* of a command line */
#define LAB_WORDS_BYTES 32768 /* of all its words */

enum lab_backend {
    LAB_BACKEND_NETNS,
    LAB_BACKEND_PODMAN,
    LAB_BACKEND_DOCKER,
};

/* Static storage: "netns", "podman", "docker". */
const char *lab_backend_text(enum lab_backend backend);
/* Whether there is one of this name. */
bool lab_backend_read(const char *text, enum lab_backend *out);

/* An engine, and what has to be said to it on this machine. */
struct lab_engine {
    enum lab_backend backend;
    bool compose;    /* of docker: it has `docker compose` */
    bool cgroupfs;   /* of podman: no systemd runs here that would make its cgroups */
    bool no_cgroups; /* of podman: no cgroup may be made here */
    bool runc;       /* of podman: crun does not work with the cgroups here */
    unsigned files;  /* of podman: limits that may be set here; 0: none is */
    unsigned procs;
    char id[LAB_ENGINE_ID_MAX];    /* of the lab */
    char image[LAB_IMAGE_TAG_MAX]; /* from which its machines are made */
    char bin[TS_PATH_MAX];         /* the folder of the programs, here and in the image */
};

/* ---- command lines, pure ---- */

/* Words of a command, one behind the other. */
struct lab_words {
    size_t count;
    size_t used;
    bool full;                           /* something did not fit */
    const char *argv[LAB_WORDS_MAX + 1]; /* NULL behind the last one */
    char text[LAB_WORDS_BYTES];
};

void lab_word(struct lab_words *w, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The engine and what has to be said before its command. */
void lab_engine_words(const struct lab_engine *e, struct lab_words *w);
void lab_engine_name(const struct lab_engine *e, const char *machine, char out[LAB_CONTAINER_MAX]);
/* A container of the machine begins; DIR is absolute. */
void lab_engine_run_words(const struct lab_engine *e, const char *machine, const char *dir,
                          struct lab_words *w);
/* A command in a machine, up to its own words. Of `environment` (as environ) it gets what is the
 * project's own or a sanitizer's. */
void lab_engine_exec_words(const struct lab_engine *e, const char *machine, const char *cwd,
                           bool terminal, char *const environment[], struct lab_words *w);
/* What `docker compose` makes all machines from; JSON is YAML. NULL: no memory. */
json_t *lab_engine_compose(const struct lab_engine *e, const struct lab_topology *t,
                           const char *dir);
/* Whether containers can be given this directory, by its characters. */
enum ts_err lab_engine_takes_dir(const char *dir, struct ts_why *why) TS_MUST_USE;

/* ---- the engine of this machine; these block ---- */

/* Finds out what it needs here; no lab and no image yet. TS_ERR_REFUSED: it is not there, does not
 * run, or this user may not use it; `why` tells what to do. */
enum ts_err lab_engine_find(enum lab_backend backend, struct lab_engine *out,
                            struct ts_why *why) TS_MUST_USE;
/* Makes the lab's id from its directory. */
void lab_engine_set_dir(struct lab_engine *e, const char *dir);
/* DIR/lab.engine. Without one it is netns. TS_ERR_MALFORMED, and of ts_file_replace. */
enum ts_err lab_engine_save(const struct lab_engine *e, const char *dir,
                            struct ts_why *why) TS_MUST_USE;
enum ts_err lab_engine_load(const char *dir, struct lab_engine *out,
                            struct ts_why *why) TS_MUST_USE;
/* Runs words of lab_engine_words. What it prints goes to `out` (may be NULL), cut at `cap`; what it
 * complains about is told in `why`. `hold` (-1: none) stays open in it. TS_ERR_REFUSED: it failed;
 * TS_ERR_SYSTEM: it could not be run. */
enum ts_err lab_engine_call(struct lab_words *w, int hold, char *out, size_t cap,
                            struct ts_why *why) TS_MUST_USE;
/* Removes all containers of the lab, whatever they do. */
enum ts_err lab_engine_remove(const struct lab_engine *e, struct ts_why *why) TS_MUST_USE;

#endif
