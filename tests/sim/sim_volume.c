#include "tests/sim/sim_files.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "tests/sim/sim.h"

/* ---- lists -------------------------------------------------------------------------------- */

static void *more(void *list, size_t count, size_t *cap, size_t size)
{
    if (count < *cap) {
        return list;
    }
    *cap = *cap == 0 ? 16 : 2 * *cap;
    void *grown = realloc(list, *cap * size);
    ts_assert(grown != NULL);
    return grown;
}

static struct sim_sector *sectors_add(struct sim_sectors *l, uint32_t number, const uint8_t *bytes)
{
    l->s = more(l->s, l->count, &l->cap, sizeof(*l->s));
    struct sim_sector *s = &l->s[l->count++];
    s->number = number;
    s->lost = false;
    s->unreadable = false;
    memcpy(s->bytes, bytes, SIM_SECTOR);
    return s;
}

struct sim_sector *sim_sectors_find(const struct sim_sectors *l, uint32_t number)
{
    for (size_t i = 0; i < l->count; i++) {
        if (l->s[i].number == number) {
            return &l->s[i];
        }
    }
    return NULL;
}

void sim_sectors_remove(struct sim_sectors *l, struct sim_sector *s)
{
    if (s != NULL) {
        *s = l->s[--l->count];
    }
}

/* ---- files -------------------------------------------------------------------------------- */

struct sim_file *sim_file_new(struct sim_volume *v, bool dir)
{
    struct sim_file *f = v->free_files;
    if (f != NULL) {
        v->free_files = f->next_free;
    } else {
        f = calloc(1, sizeof(*f));
        ts_assert(f != NULL);
    }
    f->dir = dir;
    f->refs = 0;
    return f;
}

/* Gives up what is shared with copies. */
static void leave_sharers(struct sim_file *f)
{
    if (f->sharers != NULL && --*f->sharers == 0) {
        free(f->sharers);
    } else if (f->sharers != NULL) {
        f->bytes = NULL;
        f->cell = NULL;
        f->cap = 0;
    }
    f->sharers = NULL;
}

/* Before `bytes` or `cell` change. */
static void own(struct sim_file *f)
{
    if (f->sharers == NULL) {
        return;
    }
    const uint8_t *bytes = f->bytes;
    const struct sim_cell *cell = f->cell;
    size_t cap = f->cap;
    leave_sharers(f);
    if (f->bytes == NULL && cap > 0) {
        ts_assert(bytes != NULL && cell != NULL);
        f->bytes = malloc(cap);
        f->cell = malloc(cap / SIM_SECTOR * sizeof(*f->cell));
        ts_assert(f->bytes != NULL && f->cell != NULL);
        memcpy(f->cell, cell, cap / SIM_SECTOR * sizeof(*f->cell));
        f->cap = cap;
        for (uint32_t n = 0; n < sim_sectors_in(f->size); n++) {
            if (cell[n].filled) {
                memcpy(f->bytes + (size_t)n * SIM_SECTOR, bytes + (size_t)n * SIM_SECTOR,
                       SIM_SECTOR);
            }
        }
    }
}

/* Its memory is kept. */
void sim_file_empty(struct sim_file *f)
{
    leave_sharers(f);
    f->size = 0;
    f->durable_size = 0;
    f->undo.count = 0;
    f->lies.count = 0;
    f->bad.count = 0;
    f->wrong.count = 0;
    f->locked = false;
}

void sim_file_unref(struct sim_volume *v, struct sim_file *f)
{
    if (f != NULL && --f->refs == 0) {
        sim_file_empty(f);
        f->next_free = v->free_files;
        v->free_files = f;
    }
}

/* ---- contents: most of a prewritten segment are zeros, which nobody needs to copy -------------
 */

static const uint8_t zeros[SIM_SECTOR];

static bool is_zero(const uint8_t *data, size_t len)
{
    return memcmp(data, zeros, len) == 0;
}

static const uint8_t *sector_of(const struct sim_file *f, uint32_t number)
{
    ts_assert(f->cell != NULL);
    return f->cell[number].filled ? f->bytes + (size_t)number * SIM_SECTOR : zeros;
}

/* To be written to. */
static uint8_t *sector_own(struct sim_file *f, uint32_t number)
{
    uint8_t *sector = f->bytes + (size_t)number * SIM_SECTOR;
    if (!f->cell[number].filled) {
        memset(sector, 0, SIM_SECTOR);
        f->cell[number].filled = true;
    }
    return sector;
}

static void sector_set(struct sim_file *f, uint32_t number, const uint8_t *bytes)
{
    ts_assert(f->bytes != NULL && f->cell != NULL); /* the sector was written once */
    memcpy(f->bytes + (size_t)number * SIM_SECTOR, bytes, SIM_SECTOR);
    f->cell[number].filled = true;
}

void sim_file_read(const struct sim_file *f, uint64_t at, uint8_t *data, size_t len)
{
    uint64_t end = at + len;
    uint32_t count = sim_sectors_in(end);
    while (at < end) { /* all sectors in a row of which the same is known */
        uint32_t n = (uint32_t)(at / SIM_SECTOR);
        bool filled = f->cell[n].filled;
        for (n++; n < count && f->cell[n].filled == filled; n++) {
        }
        uint64_t to = n < count ? (uint64_t)n * SIM_SECTOR : end;
        if (filled) {
            memcpy(data, f->bytes + at, to - at);
        } else {
            memset(data, 0, to - at);
        }
        data += to - at;
        at = to;
    }
}

static void file_grow(struct sim_file *f, size_t size)
{
    uint32_t had = sim_sectors_in(f->size);
    uint32_t has = sim_sectors_in(size);
    size_t room = (size_t)has * SIM_SECTOR;
    own(f);
    if (room > f->cap) {
        f->bytes = realloc(f->bytes, room);
        f->cell = realloc(f->cell, has * sizeof(*f->cell));
        ts_assert(f->bytes != NULL && f->cell != NULL);
        f->cap = room;
    }
    if (size > f->size) {
        if (had > 0 && f->cell[had - 1].filled) { /* what stands there is of a longer time */
            memset(f->bytes + f->size, 0, (size_t)had * SIM_SECTOR - f->size);
        }
        memset(f->cell + had, 0, (has - had) * sizeof(*f->cell));
        f->size = size;
    }
}

/* A write to this sector begins: what the device has may come back. */
static void file_save(struct sim_file *f, uint32_t number, bool lost)
{
    if ((size_t)number * SIM_SECTOR >= f->durable_size && !lost) {
        return; /* it is new, and comes and goes with the size */
    }
    const uint8_t *old = sector_of(f, number);
    struct sim_sector *lie = f->lies.count > 0 ? sim_sectors_find(&f->lies, number) : NULL;
    struct sim_sector *undo = sectors_add(&f->undo, number, lie != NULL ? lie->bytes : old);
    undo->lost = lost;
    sim_sectors_remove(&f->lies, lie);
    if (f->bad.count > 0) {
        sim_sectors_remove(&f->bad, sim_sectors_find(&f->bad, number));
    }
}

void sim_file_write(struct sim_volume *v, struct sim_file *f, uint64_t at, const uint8_t *data,
                    size_t len, bool lost)
{
    own(f);
    uint64_t end = at + len;
    uint64_t old_size = f->size;
    if (end > f->size) {
        file_grow(f, end);
    }
    for (uint32_t n = (uint32_t)(at / SIM_SECTOR); n < sim_sectors_in(end); n++) {
        uint64_t from = (uint64_t)n * SIM_SECTOR < at ? at : (uint64_t)n * SIM_SECTOR;
        uint64_t to = (uint64_t)(n + 1) * SIM_SECTOR > end ? end : (uint64_t)(n + 1) * SIM_SECTOR;
        const uint8_t *new = data + (from - at);
        bool same = f->cell[n].filled ? memcmp(f->bytes + from, new, to - from) == 0
                                      : is_zero(new, to - from);
        f->cell[n].turn = v->turn;
        /* Most of a journal's note are zeros over zeros: there is nothing to come back. */
        if (to > old_size || !same || f->lies.count > 0 || f->bad.count > 0 || f->wrong.count > 0) {
            file_save(f, n, lost);
        }
        if (!same) {
            memcpy(sector_own(f, n) + from % SIM_SECTOR, new, to - from);
        }
    }
}

/* The device is about to spoil it. */
static void spoil(const struct sim_volume *v, struct sim_file *f, uint32_t number)
{
    if (sim_sectors_find(&f->wrong, number) == NULL) {
        sectors_add(&f->wrong, number, sector_of(f, number))->at = v->sim->now;
    }
}

/* It was written anew; what is mended may have been written as damaged as it was. */
static void mend(const struct sim_volume *v, struct sim_file *f, uint32_t number)
{
    struct sim_sector *was = f->wrong.count > 0 ? sim_sectors_find(&f->wrong, number) : NULL;
    if (was != NULL && (!v->mends || memcmp(was->bytes, sector_of(f, number), SIM_SECTOR) == 0)) {
        sim_sectors_remove(&f->wrong, was);
    }
}

void sim_file_sync(struct sim_volume *v, struct sim_file *f)
{
    for (size_t i = 0; i < f->undo.count; i++) {
        const struct sim_sector *u = &f->undo.s[i];
        if (u->lost) {
            spoil(v, f, u->number);
        } else {
            mend(v, f, u->number);
        }
        if (u->lost && sim_sectors_find(&f->lies, u->number) == NULL) {
            (void)sectors_add(&f->lies, u->number, u->bytes);
        } else if (!u->lost && f->lies.count > 0) {
            sim_sectors_remove(&f->lies, sim_sectors_find(&f->lies, u->number));
        }
    }
    f->undo.count = 0;
    f->durable_size = f->size;
}

/* Some of it came to the device. Nothing is dirty any more: the page cache shows what was written,
 * or what the device has. */
void sim_file_sync_failed(struct sim_volume *v, struct sim_file *f)
{
    bool shows_new = sim_chance_pm(v->sim, 500);
    own(f);
    for (size_t i = f->undo.count; i-- > 0;) {
        struct sim_sector *u = &f->undo.s[i];
        if (!u->lost && sim_chance_pm(v->sim, 500)) {
            continue;
        }
        if (shows_new) {
            u->lost = true;
        } else {
            sector_set(f, u->number, u->bytes);
        }
    }
    sim_file_sync(v, f);
}

static void file_power_lost(struct sim_volume *v, struct sim_file *f, uint64_t keep_pm)
{
    struct sim *s = v->sim;
    if (f->undo.count > 0 || f->size != f->durable_size) {
        own(f);
    }
    for (size_t i = f->undo.count; i-- > 0;) {
        const struct sim_sector *u = &f->undo.s[i];
        if (u->lost || !sim_chance_pm(s, keep_pm)) {
            sector_set(f, u->number, u->bytes);
        } else {
            mend(v, f, u->number);
        }
    }
    f->undo.count = 0;
    if (f->size > f->durable_size && !sim_chance_pm(s, keep_pm)) {
        f->size = f->durable_size;
    }
    for (uint32_t n = sim_sectors_in(f->durable_size); n < sim_sectors_in(f->size); n++) {
        ts_assert(f->cell != NULL);
        if (!sim_chance_pm(s, keep_pm)) {
            f->cell[n].filled = false;
        }
    }
    f->durable_size = f->size;
    f->locked = false;
}

/* What the device has comes out. */
static void file_drop_cache(struct sim_file *f)
{
    if (f->lies.count > 0) {
        own(f);
    }
    for (size_t i = 0; i < f->lies.count; i++) {
        const struct sim_sector *lie = &f->lies.s[i];
        sector_set(f, lie->number, lie->bytes);
        if (lie->unreadable && sim_sectors_find(&f->bad, lie->number) == NULL) {
            (void)sectors_add(&f->bad, lie->number, lie->bytes);
        }
    }
    f->lies.count = 0;
}

/* ---- names -------------------------------------------------------------------------------- */

struct sim_name *sim_names_find(const struct sim_names *l, const char *name)
{
    for (size_t i = 0; i < l->count; i++) {
        if (strcmp(l->n[i].name, name) == 0) {
            return &l->n[i];
        }
    }
    return NULL;
}

static void names_remove(struct sim_volume *v, struct sim_names *l, const char *name)
{
    struct sim_name *n = sim_names_find(l, name);
    if (n != NULL) {
        sim_file_unref(v, n->file);
        *n = l->n[--l->count];
    }
}

void sim_names_put(struct sim_volume *v, struct sim_names *l, const char *name, struct sim_file *f)
{
    f->refs++;
    names_remove(v, l, name);
    l->n = more(l->n, l->count, &l->cap, sizeof(*l->n));
    struct sim_name *n = &l->n[l->count++];
    memset(n, 0, sizeof(*n));
    memcpy(n->name, name, strlen(name));
    n->file = f;
}

static void names_clear(struct sim_volume *v, struct sim_names *l)
{
    for (size_t i = 0; i < l->count; i++) {
        sim_file_unref(v, l->n[i].file);
    }
    l->count = 0;
}

static void apply(struct sim_volume *v, struct sim_names *l, const struct sim_change *c)
{
    if (c->from[0] != 0) {
        names_remove(v, l, c->from);
    }
    if (c->file != NULL) {
        sim_names_put(v, l, c->to, c->file);
    }
}

/* A change of names: shown at once, durable with the directory. */
void sim_volume_change(struct sim_volume *v, const char *from, const char *to, struct sim_file *f)
{
    struct sim_changes *l = &v->changes;
    l->c = more(l->c, l->count, &l->cap, sizeof(*l->c));
    struct sim_change *c = &l->c[l->count++];
    memset(c, 0, sizeof(*c));
    memcpy(c->from, from, strlen(from));
    memcpy(c->to, to, strlen(to));
    c->file = f;
    if (f != NULL) {
        f->refs++;
    }
    apply(v, &v->names, c);
}

void sim_volume_changes_end(struct sim_volume *v, uint64_t keep_pm)
{
    for (size_t i = 0; i < v->changes.count; i++) {
        const struct sim_change *c = &v->changes.c[i];
        if (keep_pm >= 1000 || sim_chance_pm(v->sim, keep_pm)) {
            apply(v, &v->durable, c);
        }
        sim_file_unref(v, c->file);
    }
    v->changes.count = 0;
}

/* ---- volumes ------------------------------------------------------------------------------- */

void sim_volume_process_ended(struct sim_volume *v)
{
    for (int i = 0; i < SIM_FDS_MAX; i++) {
        if (v->fds[i] != NULL) {
            v->fds[i]->locked = false;
            sim_file_unref(v, v->fds[i]);
            v->fds[i] = NULL;
        }
    }
    v->dead = false;
    v->ops_left = 0;
    v->sync_failed = false;
    v->found_full = false;
    v->armed = false;
    v->armed_new = false;
}

void sim_volume_blank(struct sim_volume *v)
{
    sim_volume_process_ended(v);
    for (size_t i = 0; i < v->changes.count; i++) {
        sim_file_unref(v, v->changes.c[i].file);
    }
    v->changes.count = 0;
    names_clear(v, &v->names);
    names_clear(v, &v->durable);
}

void sim_volume_free(struct sim_volume *v)
{
    sim_volume_blank(v);
    while (v->free_files != NULL) {
        struct sim_file *f = v->free_files;
        v->free_files = f->next_free;
        free(f->bytes);
        free(f->cell);
        free(f->undo.s);
        free(f->lies.s);
        free(f->bad.s);
        free(f->wrong.s);
        free(f);
    }
    free(v->names.n);
    free(v->durable.n);
    free(v->changes.c);
    *v = (struct sim_volume){0};
}

/* `f` is new. */
static void share(struct sim_file *f, struct sim_file *src)
{
    if (src->sharers == NULL) {
        src->sharers = malloc(sizeof(*src->sharers));
        ts_assert(src->sharers != NULL);
        *src->sharers = 1;
    }
    free(f->bytes);
    free(f->cell);
    f->bytes = src->bytes;
    f->cell = src->cell;
    f->cap = src->cap;
    f->size = src->size;
    f->durable_size = src->size;
    f->sharers = src->sharers;
    ++*f->sharers;
}

void sim_volume_copy(struct sim_volume *to, const struct sim_volume *from)
{
    sim_volume_blank(to);
    to->turn = from->turn;
    to->vouched = from->vouched;
    for (size_t i = 0; i < from->names.count; i++) {
        struct sim_file *src = from->names.n[i].file;
        struct sim_file *f = sim_file_new(to, src->dir);
        share(f, src);
        sim_names_put(to, &to->names, from->names.n[i].name, f);
        sim_names_put(to, &to->durable, from->names.n[i].name, f);
    }
}

void sim_volume_rename(struct sim_volume *v, char kind)
{
    struct sim_names *lists[2] = {&v->names, &v->durable};
    for (int l = 0; l < 2; l++) {
        for (size_t i = 0; i < lists[l]->count; i++) {
            char *name = lists[l]->n[i].name;
            name[0] = name[0] == '/' ? '/' : kind; /* but the root's */
        }
    }
}

void sim_volume_remove(struct sim_volume *v, const struct sim_file *f)
{
    for (size_t i = 0; i < v->names.count; i++) {
        if (v->names.n[i].file == f) {
            sim_volume_change(v, v->names.n[i].name, "", NULL);
            return;
        }
    }
}

void sim_volume_make_durable(struct sim_volume *v)
{
    sim_volume_changes_end(v, 1000);
    for (size_t i = 0; i < v->names.count; i++) {
        sim_file_sync(v, v->names.n[i].file);
    }
}

bool sim_volume_lies(const struct sim_volume *v)
{
    for (size_t i = 0; i < v->names.count; i++) {
        if (v->names.n[i].file->lies.count > 0) {
            return true;
        }
    }
    return false;
}

void sim_volume_drop_cache(struct sim_volume *v)
{
    /* The stated limit of what the design can tell (sim.h): no later note vouches for it yet. */
    bool made_good = v->lie_turn != 0 && v->vouched < v->lie_turn;
    for (size_t i = 0; i < v->names.count; i++) {
        if (made_good) {
            v->names.n[i].file->lies.count = 0;
            v->names.n[i].file->wrong.count = 0;
        }
        file_drop_cache(v->names.n[i].file);
    }
    v->lie_turn = 0;
}

void sim_volume_power_lost(struct sim_volume *v)
{
    static const uint64_t keeps[] = {0, 1000, 100, 500, 900};
    uint64_t keep_pm = keeps[sim_rand(v->sim, 0, sizeof(keeps) / sizeof(keeps[0]) - 1)];
    sim_volume_process_ended(v);
    for (size_t i = 0; i < v->names.count; i++) {
        file_power_lost(v, v->names.n[i].file, keep_pm);
    }
    for (size_t i = 0; i < v->durable.count; i++) { /* those whose name is gone from the cache */
        if (v->durable.n[i].file->undo.count > 0) {
            file_power_lost(v, v->durable.n[i].file, keep_pm);
        }
    }
    sim_volume_changes_end(v, keep_pm);
    names_clear(v, &v->names);
    for (size_t i = 0; i < v->durable.count; i++) {
        sim_names_put(v, &v->names, v->durable.n[i].name, v->durable.n[i].file);
    }
    sim_volume_drop_cache(v);
}

/* ---- damage -------------------------------------------------------------------------------- */

static bool is_segment(const char *name)
{
    return strstr(name, "/segment-") != NULL;
}

/* A file with content, at random; NULL when there is none. */
static const struct sim_name *some_file(struct sim_volume *v)
{
    for (int tries = 0; tries < 20 && v->names.count > 0; tries++) {
        const struct sim_name *n = &v->names.n[sim_rand(v->sim, 0, v->names.count - 1)];
        bool matters = n->file->durable_size >= 4 * SIM_SECTOR; /* no marker's place */
        if (!n->file->dir && matters) {
            return n;
        }
    }
    return NULL;
}

/* The sector is to be changed by the caller. */
static struct sim_sector *damage_sector(struct sim_volume *v, struct sim_file *f, uint32_t number)
{
    v->spared = false;
    v->snapshots = 0;
    v->latent = true;
    spoil(v, f, number);
    return sectors_add(&f->lies, number, sector_of(f, number));
}

static void damage_bytes(struct sim_volume *v, struct sim_file *f, uint32_t number, uint64_t most)
{
    struct sim *s = v->sim;
    struct sim_sector *lie = damage_sector(v, f, number);
    lie->unreadable = sim_chance_pm(s, 200);
    for (uint64_t flips = sim_rand(s, 1, most); flips > 0; flips--) {
        lie->bytes[sim_rand(s, 0, SIM_SECTOR - 1)] ^= (uint8_t)sim_rand(s, 1, 255);
    }
}

static void damage(struct sim_volume *v, struct sim_file *f, uint32_t number)
{
    damage_bytes(v, f, number, 20);
}

/* One byte of its trailer, which is looked at last. */
static void damage_trailer(struct sim_volume *v, struct sim_file *f)
{
    size_t at = f->size - 1 - (size_t)sim_rand(v->sim, 0, SNAPSHOT_TRAILER_BYTES - 1);
    uint32_t number = (uint32_t)(at / SIM_SECTOR);
    struct sim_sector *lie = damage_sector(v, f, number);
    lie->bytes[at % SIM_SECTOR] ^= (uint8_t)sim_rand(v->sim, 1, 255);
}

const char *sim_volume_corrupt_snapshot(struct sim_volume *v)
{
    const struct sim_name *newest = NULL;
    for (size_t i = 0; i < v->names.count; i++) {
        const struct sim_name *n = &v->names.n[i];
        bool meant = strstr(n->name, "/snapshot-") != NULL && strstr(n->name, ".new") == NULL;
        if (meant && (newest == NULL || strcmp(newest->name, n->name) < 0)) {
            newest = n;
        }
    }
    if (newest == NULL || newest->file->undo.count > 0 || newest->file->lies.count > 0 ||
        newest->file->durable_size != newest->file->size) {
        return NULL;
    }
    uint32_t sectors = sim_sectors_in(newest->file->size);
    bool only = !v->latent && v->snapshots > 1;
    if (sim_chance_pm(v->sim, 300) && newest->file->size >= SNAPSHOT_TRAILER_BYTES) {
        damage_trailer(v, newest->file);
    } else {
        damage_bytes(v, newest->file, (uint32_t)sim_rand(v->sim, 0, sectors - 1),
                     sim_chance_pm(v->sim, 700) ? 1 : 20);
    }
    v->spared = only;
    return newest->name;
}

bool sim_volume_corrupt_segment(struct sim_volume *v, uint64_t segment, uint64_t offset)
{
    char name[SIM_NAME_MAX];
    int len = snprintf(name, sizeof(name), "/segment-%06llu", (unsigned long long)segment);
    uint32_t number = (uint32_t)(offset / SIM_SECTOR);
    for (size_t i = 0; i < v->names.count; i++) {
        struct sim_file *f = v->names.n[i].file;
        size_t full = strlen(v->names.n[i].name);
        if (full < (size_t)len || strcmp(v->names.n[i].name + full - len, name) != 0) {
            continue;
        }
        if (f->cell[number].turn > v->vouched || sim_sectors_find(&f->undo, number) != NULL) {
            return false;
        }
        sim_sectors_remove(&f->lies, sim_sectors_find(&f->lies, number));
        damage(v, f, number);
        return true;
    }
    return false;
}

static bool corrupt_one(struct sim_volume *v, const struct sim_name *n, bool newest)
{
    struct sim *s = v->sim;
    struct sim_file *f = n->file;
    uint32_t count = (uint32_t)(f->durable_size / SIM_SECTOR);
    uint32_t first = (uint32_t)sim_rand(s, 0, count - 1);
    for (uint32_t tries = 0; tries < (newest ? count : 200); tries++) {
        uint32_t number = newest ? (first + tries) % count : (uint32_t)sim_rand(s, 0, count - 1);
        bool vouched = !is_segment(n->name) || f->cell[number].turn <= v->vouched;
        vouched = newest ? f->cell[number].turn == v->vouched : vouched;
        const uint8_t *bytes = sector_of(f, number);
        if (!vouched || sim_sectors_find(&f->undo, number) != NULL ||
            sim_sectors_find(&f->lies, number) != NULL ||
            (is_zero(bytes, SIM_SECTOR) && !sim_chance_pm(s, 10))) {
            continue;
        }
        damage(v, f, number);
        return true;
    }
    return false;
}

const char *sim_volume_corrupt_newest(struct sim_volume *v)
{
    for (size_t i = 0; i < v->names.count; i++) {
        const struct sim_name *n = &v->names.n[i];
        if (is_segment(n->name) && n->file->durable_size >= SIM_SECTOR && corrupt_one(v, n, true)) {
            v->latent = true;
            return n->name;
        }
    }
    return NULL;
}

const char *sim_volume_corrupt(struct sim_volume *v, unsigned count)
{
    const struct sim_name *n = some_file(v);
    if (n == NULL || !corrupt_one(v, n, false)) {
        return NULL;
    }
    while (is_segment(n->name) && --count > 0 && corrupt_one(v, n, false)) {
    }
    v->latent = true;
    return n->name;
}

/* The device writes `count` sectors of `from` over others: anywhere, but never over the other copy
 * of the same slot. */
void sim_volume_misdirect(struct sim_volume *v, const struct sim_file *from, uint32_t number,
                          uint32_t count)
{
    const struct sim_name *n = some_file(v);
    if (n == NULL || (n->file == from && !is_segment(n->name))) {
        return;
    }
    struct sim_file *f = n->file;
    uint32_t to = (uint32_t)sim_rand(v->sim, 0, f->durable_size / SIM_SECTOR - 1);
    for (uint32_t i = 0; i < count && to + i < f->durable_size / SIM_SECTOR; i++) {
        bool itself = f == from && to + i >= number && to + i < number + count;
        if (!itself && sim_sectors_find(&f->undo, to + i) == NULL) {
            sim_sectors_remove(&f->lies, sim_sectors_find(&f->lies, to + i));
            spoil(v, f, to + i);
            (void)sectors_add(&f->lies, to + i, sector_of(from, number + i));
        }
    }
}
