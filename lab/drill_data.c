#include "lab/drill_data.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

bool lab_drill_is_data(enum lab_drill_fault fault)
{
    return fault == LAB_DRILL_BIT_ROT || fault == LAB_DRILL_DISK_ROLLBACK ||
           fault == LAB_DRILL_DISK_CLONE;
}

void lab_drill_make_data(struct lab_drilling *d, const struct lab_step *s,
                         const struct cfg_node *node, const struct cfg_node *of,
                         struct lab_drill_active *a)
{
    const struct nodes_run *run = d->config->run;
    char image[LAB_FAULT_NAME_MAX];
    unsigned number = ++d->data_faults;
    a->remedy = s->replace ? LAB_DRILL_REMEDY_NEW_DISK : LAB_DRILL_REMEDY_FAULT;
    switch ((unsigned)s->fault) {
    case LAB_DRILL_BIT_ROT:
        lab_fault_rot(&a->fault, run, node->name, d->config->cluster->groups[d->group].name,
                      s->files, s->all_copies, d->config->drill->seed * LAB_STEPS_MAX + number);
        a->offline = s->down;
        return;
    case LAB_DRILL_DISK_CLONE:
        lab_fault_clone(&a->fault, run, node->name, of == NULL ? "" : of->name);
        break;
    default:
        lab_fault_image_name(node->name, image);
        lab_fault_clone(&a->fault, run, node->name, image);
        break;
    }
    a->offline = true;
    a->remedy = s->replace ? a->remedy : LAB_DRILL_REMEDY_OWN_DISK;
}

bool lab_drill_mends_itself(const struct lab_drill_active *a)
{
    return a->what == LAB_DRILL_BIT_ROT && a->remedy == LAB_DRILL_REMEDY_FAULT;
}

/* ---- goals ---- */

bool lab_drill_is_mended(const struct lab_drilling *d, char *missing, size_t cap)
{
    for (size_t i = 0; i < LAB_DRILL_ACTIVE_MAX; i++) {
        const struct lab_drill_active *a = &d->active[i];
        if (a->active && a->what == LAB_DRILL_BIT_ROT && !lab_fault_rot_mended(&a->fault)) {
            (void)snprintf(missing, cap, "%s of %s is damaged still", a->fault.rot.file,
                           a->fault.node);
            return false;
        }
    }
    return true;
}

/* Whether a file of the group on this node begins and ends with these. */
static bool has_file(const struct lab_drilling *d, const struct cfg_node *node, const char *begin,
                     const char *end)
{
    char path[TS_PATH_MAX];
    bool found = false;
    const char *group = d->config->cluster->groups[d->group].name;
    enum ts_err err = ts_path(path, NULL, d->config->run->run, "%s/groups/%s", node->name, group);
    DIR *dir = err == TS_OK ? opendir(path) : NULL;
    for (const struct dirent *e; dir != NULL && !found && (e = readdir(dir)) != NULL;) {
        size_t n = strlen(e->d_name);
        found = strncmp(e->d_name, begin, strlen(begin)) == 0 && n >= strlen(end) &&
                strcmp(e->d_name + n - strlen(end), end) == 0;
    }
    if (dir != NULL) {
        (void)closedir(dir);
    }
    return found;
}

bool lab_drill_has_snapshots(const struct lab_drilling *d, char *missing, size_t cap)
{
    static const char first[] = "segment-000001";
    const struct cfg_node *node = d->primary < 0 ? NULL : &d->config->cluster->nodes[d->primary];
    /* Where nothing can be read, nothing is known. */
    if (node != NULL && has_file(d, node, "segment-", "") && !has_file(d, node, first, first)) {
        return true;
    }
    (void)snprintf(missing, cap, "%s",
                   node == NULL ? "there is no primary"
                                : "the primary's journal goes back to its beginning");
    return false;
}

bool lab_drill_fetches(const struct lab_drilling *d, char *missing, size_t cap)
{
    const struct cfg_cluster *c = d->config->cluster;
    for (size_t i = 0; i < c->node_count; i++) {
        if (has_file(d, &c->nodes[i], "snapshot-", ".part")) {
            return true;
        }
    }
    (void)snprintf(missing, cap, "nobody has got a part of a snapshot");
    return false;
}
