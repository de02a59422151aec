/* A disk that is not the one that this node had last: an older image of it, or a copy of another
 * node's. What changes is the node's data, of its replicas and its voter; certificates, logs and
 * sockets are its own. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lab/clock.h"
#include "lab/fault.h"
#include "lab/scratch.h"
#include "lab/tree.h"

/* The voter's first, whose files are small. */
static const char *const PARTS[] = {"voter", "groups"};
#define PARTS_COUNT (sizeof(PARTS) / sizeof(PARTS[0]))

static enum ts_err part_path(const struct nodes_run *run, const char *name, size_t i,
                             char out[TS_PATH_MAX], struct ts_why *why)
{
    return ts_path(out, why, run->run, "%s/%s", name, PARTS[i]);
}

/* An arbiter has no groups. */
static bool has_part(const struct nodes_run *run, const char *name, size_t i)
{
    char path[TS_PATH_MAX];
    return part_path(run, name, i, path, NULL) == TS_OK && access(path, F_OK) == 0;
}

static enum ts_err copy_data(const struct nodes_run *run, const char *from, const char *to,
                             struct ts_why *why)
{
    char paths[2][TS_PATH_MAX];
    enum ts_err err = TS_OK;
    for (size_t i = 0; i < PARTS_COUNT && err == TS_OK; i++) {
        if (has_part(run, from, i)) {
            err = part_path(run, from, i, paths[0], why);
            err = err != TS_OK ? err : part_path(run, to, i, paths[1], why);
            err = err != TS_OK ? err : lab_tree_copy(paths[0], paths[1], why);
        }
    }
    return err;
}

static enum ts_err move_data(const struct nodes_run *run, const char *from, const char *to,
                             struct ts_why *why)
{
    char paths[2][TS_PATH_MAX];
    char dir[TS_PATH_MAX];
    enum ts_err err = ts_path(dir, why, run->run, "%s", to);
    err = err != TS_OK ? err : ts_dir_make(dir, 0700, why);
    for (size_t i = 0; i < PARTS_COUNT && err == TS_OK; i++) {
        if (!has_part(run, from, i)) {
            continue;
        }
        err = part_path(run, from, i, paths[0], why);
        err = err != TS_OK ? err : part_path(run, to, i, paths[1], why);
        if (err == TS_OK && rename(paths[0], paths[1]) != 0) {
            err = ts_why_sys(why, errno, "cannot put %s aside", paths[0]);
        }
    }
    return err;
}

/* A name that nobody has: of earlier faults in this lab all data stays where it is. */
static void choose_aside(struct lab_fault *f)
{
    char path[TS_PATH_MAX];
    unsigned number = 0;
    do {
        (void)snprintf(f->aside, sizeof(f->aside), "%s.own-%u", f->node, ++number);
    } while (ts_path(path, NULL, f->run->run, "%s", f->aside) == TS_OK && access(path, F_OK) == 0);
}

static enum ts_err inject(struct lab_fault *f, struct ts_why *why)
{
    if (!has_part(f->run, f->from, 0)) {
        return ts_why(why, TS_ERR_NOT_FOUND,
                      "there is no %s: have a step `image` take one while the node is well",
                      f->from);
    }
    choose_aside(f);
    f->injected_ns = lab_now_ns();
    enum ts_err err = move_data(f->run, f->node, f->aside, why);
    return err != TS_OK ? err : copy_data(f->run, f->from, f->node, why);
}

/* What lies there now is not what lay there before. */
static enum ts_err observe(struct lab_fault *f, struct ts_why *why)
{
    char paths[2][TS_PATH_MAX];
    f->effect = 0;
    for (size_t i = 0; i < PARTS_COUNT; i++) {
        size_t count = 0;
        enum ts_err err = part_path(f->run, f->aside, i, paths[0], why);
        err = err != TS_OK ? err : part_path(f->run, f->node, i, paths[1], why);
        if (err == TS_OK && has_part(f->run, f->aside, i)) {
            err = lab_tree_differs(paths[0], paths[1], &count, why);
        }
        if (err != TS_OK) {
            return err;
        }
        f->effect += count;
    }
    return f->effect > 0
               ? TS_OK
               : ts_why(why, TS_ERR_NOT_FOUND, "every file of %s is the same as before", f->node);
}

static enum ts_err heal(struct lab_fault *f, struct ts_why *why)
{
    char wrong[LAB_FAULT_NAME_MAX];
    (void)snprintf(wrong, sizeof(wrong), "%.*s.wrong", (int)sizeof(wrong) - 7, f->aside);
    enum ts_err err = move_data(f->run, f->node, wrong, why);
    return err != TS_OK ? err : move_data(f->run, f->aside, f->node, why);
}

static const struct lab_fault_type type = {
    .name = "clone", .inject = inject, .observe = observe, .heal = heal};

void lab_fault_clone(struct lab_fault *f, const struct nodes_run *run, const char *node,
                     const char *from)
{
    *f = (struct lab_fault){.type = &type, .run = run};
    (void)snprintf(f->node, sizeof(f->node), "%s", node);
    (void)snprintf(f->from, sizeof(f->from), "%s", from);
}

void lab_fault_image_name(const char *node, char out[LAB_FAULT_NAME_MAX])
{
    (void)snprintf(out, LAB_FAULT_NAME_MAX, "%s.image", node);
}

enum ts_err lab_fault_image(const struct nodes_run *run, const char *node, struct ts_why *why)
{
    char image[LAB_FAULT_NAME_MAX];
    char path[TS_PATH_MAX];
    lab_fault_image_name(node, image);
    enum ts_err err = ts_path(path, why, run->run, "%s", image);
    if (err != TS_OK) {
        return err;
    }
    lab_scratch_remove(path);
    err = ts_dir_make(path, 0700, why);
    return err != TS_OK ? err : copy_data(run, node, image, why);
}
