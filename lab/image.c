#include "lab/image.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/hash.h"
#include "lab/scratch.h"

#define FILE_BYTES_MAX ((size_t)256 << 20)
#define LDD_BYTES 262144
#define FOLDER "image" /* in the lab's directory, while it is built */
#define DOCKERFILE \
    "FROM scratch\n" \
    "COPY files/ /\n"
#define IMAGE_LABEL LAB_ENGINE_LABEL ".image=1"
/* Images of other programs that nothing uses are removed when they are this old. */
#define OLD_IMAGES "until=24h"

static const char *const PROGRAMS[] = {"twinstep",     "nicd",    "heartbeatd",
                                       "cluster-cfgd", "replica", "labd"};
/* In front of the processes, where the build has them. */
static const char *const LIBRARIES[] = {"labdisk.so", "labclock.so", "labmemory.so"};
static const char *const TOOLS[] = {"sh",   "cat",      "ls",    "ps",        "grep", "ip",
                                    "ss",   "ping",     "sleep", "redis-cli", "env",  "tail",
                                    "head", "hostname", "kill",  "timeout"};
static const char *const TOOL_FOLDERS[] = {"/bin", "/usr/bin", "/sbin", "/usr/sbin"};
#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* ---- what is in it --------------------------------------------------------------------------- */

enum ts_err lab_image_add(struct lab_image *image, const char *from, const char *to,
                          struct ts_why *why)
{
    for (size_t i = 0; i < image->count; i++) {
        if (strcmp(image->files[i].to, to) == 0) {
            return TS_OK;
        }
    }
    if (image->count == LAB_IMAGE_FILES_MAX || strlen(from) >= TS_PATH_MAX ||
        strlen(to) >= TS_PATH_MAX) {
        return ts_why(why, TS_ERR_LIMIT, "%s does not fit into the image of the lab", from);
    }
    struct lab_image_file *f = &image->files[image->count++];
    (void)snprintf(f->from, sizeof(f->from), "%s", from);
    (void)snprintf(f->to, sizeof(f->to), "%s", to);
    return TS_OK;
}

/* Lines like "libuv.so.1 => /lib/x/libuv.so.1 (0x7f…)", "/lib64/ld-linux.so.2 (0x7f…)" and
 * "libuv.so.1 => not found"; the kernel's own, "linux-vdso.so.1 (0x7f…)", has no path. */
enum ts_err lab_image_add_libraries(struct lab_image *image, char *text, struct ts_why *why)
{
    char *rest = NULL;
    enum ts_err err = TS_OK;
    for (char *line = strtok_r(text, "\n", &rest); line != NULL && err == TS_OK;
         line = strtok_r(NULL, "\n", &rest)) {
        bool is_library = line[0] == '\t'; /* others name the program that needs what follows */
        line += strspn(line, "\t ");
        char *arrow = strstr(line, " => ");
        char *path = arrow == NULL ? line : arrow + 4;
        if (is_library && strncmp(path, "not found", 9) == 0) {
            return ts_why(why, TS_ERR_NOT_FOUND,
                          "a library that the lab's programs need is not installed: %.*s",
                          (int)strcspn(line, " "), line);
        }
        char *end = strstr(path, " (0x");
        if (is_library && path[0] == '/' && end != NULL) {
            *end = '\0';
            err = lab_image_add(image, path, path, why);
        }
    }
    return err;
}

static enum ts_err add_programs(struct lab_image *image, const char *bin, struct ts_why *why)
{
    char path[TS_PATH_MAX];
    for (size_t i = 0; i < COUNT(PROGRAMS) + COUNT(LIBRARIES); i++) {
        const char *name = i < COUNT(PROGRAMS) ? PROGRAMS[i] : LIBRARIES[i - COUNT(PROGRAMS)];
        enum ts_err err = ts_path(path, why, bin, "%s", name);
        if (err != TS_OK) {
            return err;
        }
        bool there = access(path, R_OK) == 0;
        if (!there && i < COUNT(PROGRAMS)) {
            return ts_why(why, TS_ERR_NOT_FOUND, "there is no program %s in %s; build it", name,
                          bin);
        }
        err = there ? lab_image_add(image, path, path, why) : TS_OK;
        if (err != TS_OK) {
            return err;
        }
    }
    return TS_OK;
}

static bool is_elf(const char *path)
{
    char magic[4] = "";
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    bool is = fd >= 0 && read(fd, magic, sizeof(magic)) == (ssize_t)sizeof(magic) &&
              memcmp(magic, "\177ELF", sizeof(magic)) == 0;
    if (fd >= 0) {
        (void)close(fd);
    }
    return is;
}

/* Whoever has not installed one does not miss it in the lab either. */
static enum ts_err add_tools(struct lab_image *image, struct ts_why *why)
{
    enum ts_err err = TS_OK;
    for (size_t i = 0; i < COUNT(TOOLS) && err == TS_OK; i++) {
        for (size_t k = 0; k < COUNT(TOOL_FOLDERS) && err == TS_OK; k++) {
            char from[TS_PATH_MAX];
            char to[TS_PATH_MAX];
            (void)snprintf(from, sizeof(from), "%s/%s", TOOL_FOLDERS[k], TOOLS[i]);
            (void)snprintf(to, sizeof(to), "/bin/%s", TOOLS[i]);
            if (is_elf(from)) {
                err = lab_image_add(image, from, to, why);
            }
        }
    }
    return err;
}

static enum ts_err gather(struct lab_image *image, const char *bin, struct ts_why *why)
{
    enum ts_err err = add_programs(image, bin, why);
    err = err != TS_OK ? err : add_tools(image, why);
    struct lab_words *w = calloc(1, sizeof(*w));
    char *text = calloc(1, LDD_BYTES);
    if (w == NULL || text == NULL) {
        err = ts_why(why, TS_ERR_NOMEM, "no memory for the image of the lab");
    } else if (err == TS_OK) {
        lab_word(w, "ldd");
        for (size_t i = 0; i < image->count; i++) {
            lab_word(w, "%s", image->files[i].from);
        }
        /* One that needs no libraries makes it fail, and what it tells of the others holds. */
        struct ts_why told = {{0}};
        err = lab_engine_call(w, -1, text, LDD_BYTES, &told);
        err = text[0] != '\0' ? lab_image_add_libraries(image, text, why)
                              : ts_why(why, err, "%s", told.text);
    }
    free(text);
    free(w);
    return err;
}

/* ---- building it ----------------------------------------------------------------------------- */

static enum ts_err set_tag(struct lab_engine *e, const struct lab_image *image, struct ts_why *why)
{
    struct ts_hash hash = ts_hash_bytes(DOCKERFILE, strlen(DOCKERFILE));
    for (size_t i = 0; i < image->count; i++) {
        const struct lab_image_file *f = &image->files[i];
        uint8_t *data = NULL;
        size_t len = 0;
        enum ts_err err = ts_file_read(f->from, FILE_BYTES_MAX, &data, &len, why);
        if (err != TS_OK) {
            return err;
        }
        hash = ts_hash_chain(hash, f->to, strlen(f->to) + 1);
        hash = ts_hash_chain(hash, data, len);
        free(data);
    }
    (void)snprintf(e->image, sizeof(e->image), LAB_IMAGE_NAME ":%016" PRIx64, hash.lo);
    return TS_OK;
}

static enum ts_err has_image(const struct lab_engine *e, struct lab_words *w, bool *has,
                             struct ts_why *why)
{
    char id[128] = "";
    lab_engine_words(e, w);
    lab_word(w, "images");
    lab_word(w, "--quiet");
    lab_word(w, "%s", e->image);
    enum ts_err err = lab_engine_call(w, -1, id, sizeof(id), why);
    *has = id[0] != '\0';
    return err;
}

static bool make_parents(char *path)
{
    for (char *at = strchr(path + 1, '/'); at != NULL; at = strchr(at + 1, '/')) {
        *at = '\0';
        bool made = mkdir(path, 0755) == 0 || errno == EEXIST;
        *at = '/';
        if (!made) {
            return false;
        }
    }
    return true;
}

/* Not synced: it is removed again. */
static enum ts_err write_file(const char *folder, const char *name, const void *data, size_t len,
                              struct ts_why *why)
{
    char path[TS_PATH_MAX];
    enum ts_err err = ts_path(path, why, folder, "%s", name);
    if (err != TS_OK) {
        return err;
    }
    int fd = make_parents(path) ? open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0755) : -1;
    if (fd < 0) {
        return ts_why_sys(why, errno, "cannot write %s", path);
    }
    err = ts_fd_write_at(fd, path, data, len, 0, why);
    (void)close(fd);
    return err;
}

static enum ts_err fill(const struct lab_image *image, const char *folder, struct ts_why *why)
{
    enum ts_err err = write_file(folder, "Dockerfile", DOCKERFILE, strlen(DOCKERFILE), why);
    for (size_t i = 0; i < image->count && err == TS_OK; i++) {
        char name[TS_PATH_MAX];
        uint8_t *data = NULL;
        size_t len = 0;
        err = ts_path(name, why, "files", "%s", image->files[i].to + 1);
        err = err != TS_OK ? err
                           : ts_file_read(image->files[i].from, FILE_BYTES_MAX, &data, &len, why);
        err = err != TS_OK ? err : write_file(folder, name, data, len, why);
        free(data);
    }
    return err;
}

static enum ts_err build(const struct lab_engine *e, struct lab_words *w,
                         const struct lab_image *image, const char *dir, struct ts_why *why)
{
    char folder[TS_PATH_MAX];
    enum ts_err err = ts_path(folder, why, dir, FOLDER);
    err = err != TS_OK ? err : fill(image, folder, why);
    lab_engine_words(e, w);
    lab_word(w, "build");
    lab_word(w, "--quiet");
    lab_word(w, "--label=" IMAGE_LABEL);
    lab_word(w, "--tag=%s", e->image);
    lab_word(w, "%s", folder);
    err = err != TS_OK ? err : lab_engine_call(w, -1, NULL, 0, why);
    lab_scratch_remove(folder);
    if (err == TS_OK) {
        lab_engine_words(e, w);
        lab_word(w, "image");
        lab_word(w, "prune");
        lab_word(w, "--all");
        lab_word(w, "--force");
        lab_word(w, "--filter=label=" IMAGE_LABEL);
        lab_word(w, "--filter=" OLD_IMAGES);
        (void)!lab_engine_call(w, -1, NULL, 0, NULL); /* what is left takes room only */
    }
    return err;
}

enum ts_err lab_image_make(struct lab_engine *e, const char *bin, const char *dir, bool *built,
                           struct ts_why *why)
{
    struct lab_image *image = calloc(1, sizeof(*image));
    struct lab_words *w = calloc(1, sizeof(*w));
    bool has = false;
    if (image == NULL || w == NULL) {
        free(w);
        free(image);
        return ts_why(why, TS_ERR_NOMEM, "no memory for the image of the lab");
    }
    enum ts_err err = gather(image, bin, why);
    err = err != TS_OK ? err : set_tag(e, image, why);
    err = err != TS_OK ? err : has_image(e, w, &has, why);
    *built = err == TS_OK && !has;
    (void)snprintf(e->bin, sizeof(e->bin), "%s", bin);
    err = err != TS_OK || has ? err : build(e, w, image, dir, why);
    free(w);
    free(image);
    return err;
}
