/* What the shipped code asks of a disk, of volumes in memory: this file stands for base/io/disk.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/assert.h"
#include "base/io/disk.h"
#include "base/io/files.h"
#include "tests/sim/sim.h"

/* Whose disks the paths name: base/io/disk.h brings no context along. */
static struct sim *world;

void sim_files_use(struct sim *s)
{
    world = s;
}

uint64_t ts_random_id(void)
{
    return ts_prng_next(&world->prng) | 1;
}

/* ---- base/io/disk.h ------------------------------------------------------------------------- */

static int failed(int error)
{
    errno = error;
    return -1;
}

static struct sim_volume *volume_at(int node, char kind)
{
    struct sim_node *n = &world->node[node];
    if (kind == 'c') {
        ts_assert(world->clone.of == node);
        return &world->clone.volume;
    }
    return kind == 'r' ? &n->replica.disk.volume : &n->cfgd.disk.volume;
}

/* The volume that the path names, and the name in it. */
static struct sim_volume *resolve(const char *path, char name[SIM_NAME_MAX])
{
    size_t len = strlen(path);
    ts_assert(len >= 2 && path[0] == '/' && len < SIM_NAME_MAX);
    struct sim_volume *v = volume_at(path[1] - '0', len > 3 ? path[3] : 'r');
    memset(name, 0, SIM_NAME_MAX);
    if (len > 3 && strcmp(path + len - 3, "/..") != 0) {
        memcpy(name, path + 3, len - 3);
        return v;
    }
    name[0] = '/'; /* the root: where what is formatted comes to stand */
    if (sim_names_find(&v->names, name) == NULL) {
        struct sim_file *f = sim_file_new(v, true);
        sim_names_put(v, &v->names, name, f);
        sim_names_put(v, &v->durable, name, f);
    }
    return v;
}

#define FD_BASE 1000

/* Of volumes (sim_disk_dir), as they stand in descriptors. */
static const char KINDS[] = "rvc";
#define KIND_COUNT 3

static struct sim_file *file_of(int fd, struct sim_volume **v)
{
    ts_assert(fd >= FD_BASE);
    unsigned i = (unsigned)(fd - FD_BASE);
    int node = (int)(i / (KIND_COUNT * SIM_FDS_MAX));
    ts_assert(node >= 1 && node <= SIM_NODES_MAX);
    *v = volume_at(node, KINDS[i / SIM_FDS_MAX % KIND_COUNT]);
    return (*v)->fds[i % SIM_FDS_MAX];
}

static int fd_new(struct sim_volume *v, const char *path, struct sim_file *f)
{
    for (int i = 0; i < SIM_FDS_MAX; i++) {
        if (v->fds[i] == NULL) {
            v->fds[i] = f;
            f->refs++;
            const char *kind = strlen(path) > 3 ? strchr(KINDS, path[3]) : KINDS;
            ts_assert(kind != NULL);
            return FD_BASE + ((path[1] - '0') * KIND_COUNT + (int)(kind - KINDS)) * SIM_FDS_MAX + i;
        }
    }
    ts_unreachable();
}

/* Before each operation that changes something: false when the process does not get to it. */
static bool goes_on(struct sim_volume *v)
{
    /* A failed sync and the marker that follows it count as one operation: see sim.h. */
    if (!v->dead && v->ops_left > 0 && !v->sync_failed && --v->ops_left == 0) {
        v->dead = true;
    }
    return !v->dead;
}

/* Gives the error, and counts. */
static int is_full(struct sim_volume *v)
{
    v->found_full = true;
    sim_strike_once(v, v == &v->sim->node[v->node].cfgd.disk.volume ? SIM_FAULT_FULL_VOTER
                                                                    : SIM_FAULT_FULL_DISK);
    return ENOSPC;
}

int ts_disk_open(const char *path, int flags, mode_t mode)
{
    char name[SIM_NAME_MAX];
    struct sim_volume *v = resolve(path, name);
    (void)mode;
    if (v->dead) {
        return failed(EIO);
    }
    const struct sim_name *n = sim_names_find(&v->names, name);
    if (n == NULL && (flags & O_CREAT) == 0) {
        return failed(ENOENT);
    }
    if (n == NULL) {
        if (!goes_on(v) || v->broken) {
            return failed(EIO);
        }
        if (v->full != SIM_FULL_NOT) {
            return failed(is_full(v));
        }
        sim_volume_change(v, "", name, sim_file_new(v, false));
        n = sim_names_find(&v->names, name);
    } else if ((flags & O_TRUNC) != 0) {
        sim_file_empty(n->file); /* what is made aside only: nobody needs the old content */
    }
    return fd_new(v, path, n->file);
}

int ts_disk_close(int fd)
{
    struct sim_volume *v;
    struct sim_file *f = file_of(fd, &v);
    if (f != NULL) {
        f->locked = false;
        v->fds[(fd - FD_BASE) % SIM_FDS_MAX] = NULL;
        sim_file_unref(v, f);
    }
    return 0;
}

ssize_t ts_disk_read(int fd, void *data, size_t len, uint64_t offset)
{
    struct sim_volume *v;
    struct sim_file *f = file_of(fd, &v);
    if (v->dead || f == NULL) {
        return failed(EIO);
    }
    if (offset >= f->size) {
        return 0;
    }
    len = len < f->size - offset ? len : f->size - offset;
    for (size_t i = 0; i < f->bad.count; i++) {
        uint64_t at = (uint64_t)f->bad.s[i].number * SIM_SECTOR;
        if (at < offset + len && at + SIM_SECTOR > offset) {
            return failed(EIO);
        }
    }
    sim_file_read(f, offset, data, len);
    return (ssize_t)len;
}

/* Whether a lie begins with this write. */
static bool lies(struct sim_volume *v, const struct sim_file *f)
{
    bool settled = f->undo.count == 0 && f->size == f->durable_size;
    bool fresh = v->armed_new && f->durable_size == 0;
    return v->next != SIM_LIE_NONE && v->armed && (settled || fresh) && sim_chance_pm(v->sim, 500);
}

/* Whether this is a snapshot that is not whole yet. */
static bool is_aside(const struct sim_volume *v, const struct sim_file *f)
{
    for (size_t i = 0; i < v->names.count; i++) {
        const struct sim_name *n = &v->names.n[i];
        if (n->file == f) {
            return strstr(n->name, "/snapshot-") != NULL && strstr(n->name, ".new") != NULL;
        }
    }
    return false;
}

static int refuses(struct sim_volume *v, const struct sim_file *f, uint64_t end)
{
    if (v->broken) {
        return EIO;
    }
    bool grows = end > f->size;
    return v->full == SIM_FULL_TO_WRITE || (v->full == SIM_FULL_TO_GROW && grows) ? is_full(v) : 0;
}

static ssize_t write_parts(int fd, const struct iovec *iov, int count, uint64_t offset)
{
    struct sim_volume *v;
    struct sim_file *f = file_of(fd, &v);
    size_t total = 0;
    for (int i = 0; i < count; i++) {
        total += iov[i].iov_len;
    }
    size_t room = total;
    if (f == NULL || v->dead) {
        return failed(EIO);
    }
    bool whole = goes_on(v);
    if (!whole) { /* of its last write it may have done a part */
        room = sim_chance_pm(v->sim, 300) ? (size_t)sim_rand(v->sim, 0, total) : 0;
    }
    int error = refuses(v, f, offset + total);
    if (error != 0) {
        return failed(error);
    }
    bool lie = whole && lies(v, f);
    uint64_t at = offset;
    for (int i = 0; i < count && room > 0; i++) {
        size_t len = iov[i].iov_len < room ? iov[i].iov_len : room;
        sim_course(v->sim, at, iov[i].iov_base, len);
        sim_file_write(v, f, at, iov[i].iov_base, len, lie);
        at += len;
        room -= len;
    }
    if (lie) {
        sim_strike_lie(v);
        uint32_t first = (uint32_t)(offset / SIM_SECTOR);
        if (v->next == SIM_LIE_MISDIRECTED) {
            sim_volume_misdirect(v, f, first, sim_sectors_in(offset + total) - first);
        }
        v->next = SIM_LIE_NONE;
        v->latent = true;
        v->spared = false;
        v->snapshots = is_aside(v, f) ? -1 : 0; /* the one in the making is damaged itself */
        v->lie_turn = v->has_log ? v->turn : 0;
    }
    return whole ? (ssize_t)total : failed(EIO);
}

ssize_t ts_disk_write(int fd, const void *data, size_t len, uint64_t offset)
{
    struct iovec one = {.iov_base = (void *)(uintptr_t)data, .iov_len = len};
    return write_parts(fd, &one, 1, offset);
}

ssize_t ts_disk_write_vector(int fd, const struct iovec *iov, int count, uint64_t offset)
{
    return write_parts(fd, iov, count, offset);
}

int ts_disk_sync_data(int fd)
{
    struct sim_volume *v;
    struct sim_file *f = file_of(fd, &v);
    if (f == NULL || !goes_on(v)) {
        return failed(EIO);
    }
    if (v->broken || sim_strike_sync(v, f)) {
        v->sync_failed = true;
        v->broken = v->broken || v->breaks;
        if (!f->dir) {
            sim_file_sync_failed(v, f);
        }
        return failed(sim_chance_pm(v->sim, 800) ? EIO : ENOSPC);
    }
    if (f->dir) {
        sim_volume_changes_end(v, 1000);
    } else {
        sim_file_sync(v, f);
    }
    return 0;
}

int ts_disk_sync(int fd)
{
    return ts_disk_sync_data(fd);
}

int ts_disk_size(int fd, uint64_t *bytes)
{
    struct sim_volume *v;
    const struct sim_file *f = file_of(fd, &v);
    if (f == NULL || v->dead) {
        return failed(EIO);
    }
    *bytes = f->size;
    return 0;
}

/* Others come and go (sim_room.c). A full disk looks as if it had
 * room, as one with a quota does. */
int ts_disk_space(const char *path, uint64_t *total, uint64_t *free)
{
    char name[SIM_NAME_MAX];
    const struct sim_volume *v = resolve(path, name);
    if (v->dead) {
        return failed(EIO);
    }
    *total = 1ULL << 40;
    *free = sim_room_is_tight(v->sim, v->node) ? 1000 : *total / 2;
    sim_room_looked(v->sim, v->node);
    return 0;
}

void ts_disk_forget(int fd)
{
    struct sim_volume *v;
    (void)file_of(fd, &v);
    if (!v->dead) {
        sim_volume_drop_cache(v);
    }
}

int ts_disk_set_mode(int fd, mode_t mode)
{
    (void)fd;
    (void)mode;
    return 0;
}

int ts_disk_lock(int fd)
{
    struct sim_volume *v;
    struct sim_file *f = file_of(fd, &v);
    if (f == NULL || f->locked) {
        return failed(EWOULDBLOCK);
    }
    f->locked = true;
    return 0;
}

/* A directory with all that is in it, when formatting ends. */
static void rename_dir(struct sim_volume *v, const char *from, const char *to)
{
    size_t len = strlen(from);
    struct sim_names *lists[2] = {&v->names, &v->durable};
    sim_volume_changes_end(v, 1000);
    for (int l = 0; l < 2; l++) {
        for (size_t i = 0; i < lists[l]->count; i++) {
            char *name = lists[l]->n[i].name;
            char old[SIM_NAME_MAX];
            memcpy(old, name, sizeof(old));
            if (strncmp(old, from, len) == 0 && (old[len] == '/' || old[len] == 0)) {
                int n = snprintf(name, SIM_NAME_MAX, "%s%s", to, old + len);
                ts_assert(n > 0 && n < SIM_NAME_MAX);
            }
        }
    }
}

int ts_disk_rename(const char *from, const char *to)
{
    char name[SIM_NAME_MAX];
    char new_name[SIM_NAME_MAX];
    struct sim_volume *v = resolve(from, name);
    (void)resolve(to, new_name);
    if (!goes_on(v) || v->broken) {
        return failed(EIO);
    }
    const struct sim_name *n = sim_names_find(&v->names, name);
    if (n == NULL) {
        return failed(ENOENT);
    }
    if (n->file->dir) {
        rename_dir(v, name, new_name);
    } else {
        sim_volume_change(v, name, new_name, n->file);
        if (v->at_rename && strstr(new_name, "/segment-") != NULL) {
            v->at_rename = false;
            v->ops_left = 1;
        }
    }
    return 0;
}

int ts_disk_unlink(const char *path)
{
    char name[SIM_NAME_MAX];
    struct sim_volume *v = resolve(path, name);
    if (!goes_on(v) || v->broken) {
        return failed(EIO);
    }
    if (sim_names_find(&v->names, name) == NULL) {
        return failed(ENOENT);
    }
    sim_scrub_removes(v, name);
    sim_volume_change(v, name, "", NULL);
    return 0;
}

int ts_disk_exists(const char *path, bool *is_dir)
{
    if (strlen(path) == 2) { /* a node's folder, above its volumes: of none of them */
        *is_dir = true;
        return 0;
    }
    char name[SIM_NAME_MAX];
    struct sim_volume *v = resolve(path, name);
    const struct sim_name *n = sim_names_find(&v->names, name);
    if (v->dead || n == NULL) {
        return failed(v->dead ? EIO : ENOENT);
    }
    if (is_dir != NULL) {
        *is_dir = n->file->dir;
    }
    return 0;
}

int ts_disk_make_dir(const char *path, mode_t mode)
{
    char name[SIM_NAME_MAX];
    struct sim_volume *v = resolve(path, name);
    (void)mode;
    struct sim_file *f = sim_file_new(v, true);
    sim_names_put(v, &v->names, name, f);
    sim_names_put(v, &v->durable, name, f);
    return 0;
}

int ts_disk_remove_dir(const char *path)
{
    (void)path;
    ts_unreachable(); /* of an interrupted attempt to format: there is none here */
}

int ts_disk_list(const char *path, ts_disk_name_fn *told, void *arg)
{
    char dir[SIM_NAME_MAX];
    struct sim_volume *v = resolve(path, dir);
    size_t len = strlen(dir);
    if (v->dead || sim_names_find(&v->names, dir) == NULL) {
        return failed(v->dead ? EIO : ENOENT);
    }
    for (size_t i = v->names.count; i-- > 0;) {
        if (i >= v->names.count) {
            continue; /* names were removed meanwhile */
        }
        char name[SIM_NAME_MAX];
        memcpy(name, v->names.n[i].name, sizeof(name));
        if (strncmp(name, dir, len) == 0 && name[len] == '/') {
            int result = told(arg, name + len + 1);
            if (result != 0) {
                return result;
            }
        }
    }
    return 0;
}
