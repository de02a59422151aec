/* A voter's disk that is damaged beyond what R1.3 mends: more than a copy of a slot. The shipped
 * store opens it, and the shipped code reads what that gives; one of them must refuse it. */
#include <string.h>

#include "base/assert.h"
#include "base/io/slot_file.h"
#include "tests/sim/sim.h"

#define TRIES 40

static const char *const PARTS[] = {"/identity", "/starts", "/register-1"};
#define PART_COUNT (sizeof(PARTS) / sizeof(PARTS[0]))

static struct sim_file *part_of(struct sim_volume *v, const char *part)
{
    for (size_t i = 0; i < v->names.count; i++) {
        const char *name = v->names.n[i].name;
        size_t len = strlen(name);
        size_t tail = strlen(part);
        if (len >= tail && strcmp(name + len - tail, part) == 0) {
            return v->names.n[i].file;
        }
    }
    return NULL;
}

/* All of it is noise. */
static void fill_with_noise(struct sim *s, struct sim_volume *v, struct sim_file *f)
{
    uint8_t noise[SIM_SECTOR];
    for (size_t at = 0; at < f->size; at += sizeof(noise)) {
        size_t len = f->size - at < sizeof(noise) ? f->size - at : sizeof(noise);
        for (size_t i = 0; i < len; i++) {
            noise[i] = (uint8_t)sim_rand(s, 0, 255);
        }
        sim_file_write(v, f, at, noise, len, false);
    }
}

/* It becomes what another file is. */
static void copy_over(struct sim_volume *v, struct sim_file *to, const struct sim_file *from)
{
    uint8_t sector[SIM_SECTOR];
    to->size = from->size < to->size ? from->size : to->size;
    for (size_t at = 0; at < from->size; at += sizeof(sector)) {
        size_t len = from->size - at < sizeof(sector) ? from->size - at : sizeof(sector);
        sim_file_read(from, at, sector, len);
        sim_file_write(v, to, at, sector, len, false);
    }
}

static bool is_whole(const char *part, struct ts_bytes bytes)
{
    struct voter_record record;
    struct reg_start starts[SIM_STARTS_MAX];
    size_t count;
    if (bytes.len == 0) {
        return true; /* as a disk that is formatted blank has it */
    }
    return strcmp(part, "/starts") == 0
               ? voter_starts_decode(starts, SIM_STARTS_MAX, &count, bytes) == TS_OK
               : voter_record_decode(&record, bytes) == TS_OK;
}

/* Registrations that cannot stand in one table: one of them twice, or more than there can be. */
static size_t too_many_starts(struct sim *s, uint8_t *bytes, size_t cap)
{
    static struct reg_start starts[SIM_STARTS_MAX + 1];
    size_t count = sim_chance_pm(s, 500) ? 2 : SIM_STARTS_MAX + 1;
    for (size_t i = 0; i < count; i++) {
        starts[i] = (struct reg_start){.owner = {.kind = REG_OWNER_VOTER, .node = {1}},
                                       .incarnation = {count == 2 ? 1 : 1 + i},
                                       .start = 1,
                                       .instance = {1}};
    }
    struct ts_writer w = ts_writer_init(bytes, cap);
    voter_starts_encode(starts, count, &w);
    ts_assert(!w.failed);
    return w.len;
}

/* A record whose checksums are right, and that does not decode. */
static bool write_nonsense(struct sim *s, int node, const char *part)
{
    char path[SIM_NAME_MAX];
    static uint8_t bytes[VOTER_PERFORM_BYTES_MAX];
    struct ts_slot_file *f = NULL;
    struct ts_why why;
    (void)snprintf(path, sizeof(path), "/%d/v%s", node, part);
    if (ts_slot_open(&f, path, (struct ts_incarnation){0}, &why) != TS_OK) {
        return false;
    }
    struct ts_bytes value = ts_slot_value(f);
    bool many = strcmp(part, "/starts") == 0 && sim_chance_pm(s, 400);
    size_t len = many ? too_many_starts(s, bytes, sizeof(bytes)) : 0;
    bool whole = !many;
    for (int i = 0; i < TRIES && whole; i++) {
        memcpy(bytes, value.data, value.len);
        len = sim_stray_damage(s, bytes, value.len, value.len + 8);
        whole = is_whole(part, (struct ts_bytes){bytes, len});
    }
    enum ts_err err =
        whole ? TS_ERR_MALFORMED : ts_slot_write(f, (struct ts_bytes){bytes, len}, &why);
    ts_slot_close(f);
    return err == TS_OK;
}

bool sim_voter_spoil(struct sim *s, int node, const struct sim_fault *f)
{
    struct sim_volume *v = &s->node[node].cfgd.disk.volume;
    const char *part = PARTS[f->b % PART_COUNT];
    const char *other = PARTS[(f->b + 1) % PART_COUNT];
    struct sim_file *file = part_of(v, part);
    struct sim_file *of_other = part_of(v, other);
    const struct sim_file *foreign = part_of(&s->node[node % s->nodes + 1].cfgd.disk.volume, part);
    if (file == NULL || of_other == NULL) {
        return false;
    }
    v->full = SIM_FULL_NOT;
    v->held = true;
    bool done = true;
    switch ((f->b >> 8) % 6) {
    case 0:
        fill_with_noise(s, v, file);
        break;
    case 1:
        sim_volume_remove(v, file);
        break;
    case 2:
        file->size = sim_rand(s, 0, file->size - 1);
        file->size -= sim_chance_pm(s, 500) ? file->size % (16 * SIM_SECTOR) : 0;
        file->undo.count = 0;
        break;
    case 3:
        done = foreign != NULL;
        if (done) {
            copy_over(v, file, foreign);
        }
        break;
    case 4:
        copy_over(v, file, of_other);
        break;
    default:
        done = write_nonsense(s, node, f->b % 2 == 0 ? "/starts" : "/register-1");
        break;
    }
    sim_volume_make_durable(v);
    v->held = false;
    return done;
}
