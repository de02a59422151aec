/* What the device has spoiled, and what came of it: whether readers trip over it still. */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/io/files.h"
#include "replicator/io/journal_format.h"
#include "tests/sim/sim.h"

static bool is_segment(const char *name)
{
    return strstr(name, "/segment-") != NULL;
}

/* Whether all readers of this file trip over a sector that is other than it was. Zeros of a segment
 * may lie between its records, or behind them. */
static bool shows(const struct sim_file *f, const struct sim_sector *was, bool all)
{
    if (sim_sectors_find(&f->bad, was->number) != NULL) {
        return all || !ts_is_zero(was->bytes, SIM_SECTOR);
    }
    uint8_t is[SIM_SECTOR];
    sim_file_read(f, (uint64_t)was->number * SIM_SECTOR, is, SIM_SECTOR);
    uint64_t left = f->size - (uint64_t)was->number * SIM_SECTOR; /* what is behind nobody reads */
    for (size_t i = 0; i < SIM_SECTOR && i < left; i++) {
        if (is[i] != was->bytes[i] && (all || was->bytes[i] != 0)) {
            return true;
        }
    }
    return false;
}

const char *sim_volume_hides(const struct sim_volume *v, uint64_t since)
{
    for (size_t i = 0; i < v->names.count; i++) {
        const struct sim_name *n = &v->names.n[i];
        bool segment = is_segment(n->name) && strstr(n->name, ".new") == NULL;
        bool snapshot = strstr(n->name, "/snapshot-") != NULL && strchr(n->name, '.') == NULL;
        for (size_t k = 0; (segment || snapshot) && k < n->file->wrong.count; k++) {
            const struct sim_sector *was = &n->file->wrong.s[k];
            /* Header and ring of a segment are told otherwise. */
            bool data = snapshot || was->number >= JOURNAL_DATA_START / SIM_SECTOR;
            bool there = (uint64_t)was->number * SIM_SECTOR < n->file->size &&
                         sim_sectors_find(&n->file->undo, was->number) == NULL;
            if (data && there && was->at < since && shows(n->file, was, snapshot)) {
                return n->name;
            }
        }
    }
    return NULL;
}

bool sim_volume_is_whole(const struct sim_volume *v)
{
    size_t wrong = 0;
    for (size_t i = 0; i < v->names.count; i++) {
        const struct sim_file *f = v->names.n[i].file;
        wrong += f->wrong.count + f->lies.count;
    }
    return wrong == 0;
}

/* As a start would read its records. */
static void look_at_segment(struct sim_file *f)
{
    uint8_t *bytes = malloc(f->size);
    size_t at = JOURNAL_DATA_START;
    struct journal_record r;
    ts_assert(bytes != NULL);
    sim_file_read(f, 0, bytes, f->size);
    while (at < f->size && journal_record_decode(&r, bytes + at, f->size - at) == TS_OK &&
           r.kind == JOURNAL_KIND_BATCH) {
        at += journal_record_extent(&r);
    }
    if (at < f->size && journal_record_decode(&r, bytes + at, f->size - at) == TS_OK &&
        r.kind == JOURNAL_KIND_END) {
        at = f->size; /* behind it nobody reads */
    }
    for (size_t k = f->wrong.count; k-- > 0;) {
        struct sim_sector *was = &f->wrong.s[k];
        uint64_t from = (uint64_t)was->number * SIM_SECTOR;
        bool readable = sim_sectors_find(&f->bad, was->number) == NULL &&
                        sim_sectors_find(&f->undo, was->number) == NULL;
        if (readable && from >= JOURNAL_DATA_START && from + SIM_SECTOR <= at) {
            sim_sectors_remove(&f->wrong, was);
        }
    }
    free(bytes);
}

void sim_volume_look(struct sim_volume *v)
{
    for (size_t i = 0; i < v->names.count; i++) {
        struct sim_file *f = v->names.n[i].file;
        if (is_segment(v->names.n[i].name) && f->wrong.count > 0 && f->lies.count == 0) {
            look_at_segment(f);
        }
    }
}

bool sim_volume_mends(const struct sim_volume *v)
{
    for (size_t i = 0; i < v->names.count; i++) {
        const struct sim_file *f = v->names.n[i].file;
        bool segment = is_segment(v->names.n[i].name);
        for (size_t k = 0; k < f->wrong.count; k++) {
            uint32_t number = f->wrong.s[k].number;
            /* A note in a segment's ring needs no sync of its own. */
            bool note = segment && number >= JOURNAL_BLOCK / SIM_SECTOR &&
                        number < JOURNAL_DATA_START / SIM_SECTOR;
            if (!note && sim_sectors_find(&f->undo, number) != NULL) {
                return true;
            }
        }
    }
    return false;
}
