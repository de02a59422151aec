/* Bits that are not any more what was written: one of a record of the journal or of a snapshot, or
 * one of a copy of a voter's file. Of the formats no more is known here than where they begin. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/io/slot_format.h"
#include "base/prng.h"
#include "lab/clock.h"
#include "lab/fault.h"

#define FILE_BYTES_MAX (1U << 30)
#define LOOK_MS 20
/* A file that is not there yet, or too short, is waited for. */
#define FILE_NS_MAX (15 * TS_NS_PER_S)
/* A segment of the journal: its header and a ring of 16 notes, each a block of 4 KiB, then records.
 */
#define RECORDS_AT (17U * 4096U)
/* So much is written before a record of it is behind. */
#define WRITTEN_MIN (64U * 1024U)
/* The newest record is within so many bytes before the end. */
#define NEWEST_BYTES 256U
/* Of a copy in a slot file, behind which its checksum counts, and where its generation and the
 * length of its payload stand (base/io/slot_format.h). */
#define COPY_CHECKED_AT 16U
#define COPY_GENERATION_AT 24U
#define COPY_LENGTH_AT 36U

const char *lab_files_name(enum lab_files files)
{
    static const char *const names[] = {
#define FILES_NAME(sym, name, about) name,
        LAB_FILES_LIST(FILES_NAME)
#undef FILES_NAME
    };
    return names[files];
}

/* ---- which file ---- */

static bool is_numbered(const char *name, const char *prefix)
{
    size_t n = strlen(prefix);
    return strncmp(name, prefix, n) == 0 && name[n] != '\0' &&
           name[n + strspn(name + n, "0123456789")] == '\0';
}

/* Names of equal form, by their numbers. */
static bool is_later(const char *name, const char *than)
{
    size_t n = strlen(name);
    size_t m = strlen(than);
    return n != m ? n > m : strcmp(name, than) > 0;
}

/* The file `prefix` with the highest number that is lower than `before`'s ("": any). */
static bool find_numbered(const struct lab_fault *f, const char *folder, const char *prefix,
                          const char *before, char out[LAB_ROT_FILE_MAX])
{
    char dir[TS_PATH_MAX];
    char best[64] = "";
    DIR *open =
        ts_path(dir, NULL, f->run->run, "%s/%s", f->node, folder) == TS_OK ? opendir(dir) : NULL;
    for (const struct dirent *e; open != NULL && (e = readdir(open)) != NULL;) {
        if (strlen(e->d_name) < sizeof(best) && is_numbered(e->d_name, prefix) &&
            (before[0] == '\0' || is_later(before, e->d_name)) &&
            (best[0] == '\0' || is_later(e->d_name, best))) {
            (void)snprintf(best, sizeof(best), "%s", e->d_name);
        }
    }
    if (open != NULL) {
        (void)closedir(open);
    }
    (void)snprintf(out, LAB_ROT_FILE_MAX, "%.60s/%.60s", folder, best);
    return best[0] != '\0';
}

static enum ts_err read_file(const struct lab_fault *f, uint8_t **data, size_t *len,
                             struct ts_why *why)
{
    char path[TS_PATH_MAX];
    enum ts_err err = ts_path(path, why, f->run->run, "%s/%s", f->node, f->rot.file);
    return err != TS_OK ? err : ts_file_read(path, FILE_BYTES_MAX, data, len, why);
}

/* ---- which bit ---- */

static void add_flip(struct lab_rot *rot, struct ts_prng *prng, const uint8_t *data, size_t at)
{
    uint8_t bit = (uint8_t)(1U << ts_prng_below(prng, 8));
    rot->flips[rot->count++] =
        (struct lab_flip){.at = at, .was = data[at], .now = (uint8_t)(data[at] ^ bit)};
}

/* A byte that says something: what lies between records is empty. */
static size_t next_full(const uint8_t *data, size_t at)
{
    while (data[at] == 0) {
        at++;
    }
    return at;
}

/* `data` ends with a byte that is not 0. */
static bool flip_record(struct lab_rot *rot, struct ts_prng *prng, const uint8_t *data, size_t len)
{
    if (len <= RECORDS_AT) {
        return false;
    }
    size_t written = len - RECORDS_AT;
    if (rot->files == LAB_FILES_JOURNAL_END) {
        size_t room = written < NEWEST_BYTES ? written : NEWEST_BYTES;
        add_flip(rot, prng, data, next_full(data, len - room + ts_prng_below(prng, room)));
        return true;
    }
    if (written < WRITTEN_MIN) {
        return false;
    }
    size_t at = RECORDS_AT + ts_prng_below(prng, written / 2);
    add_flip(rot, prng, data, next_full(data, at));
    return true;
}

/* In the newest segment with records; a record that is behind may be in the one before, too. */
static bool flip_journal(struct lab_fault *f, struct ts_prng *prng)
{
    char folder[LAB_ROT_FILE_MAX];
    char before[64] = "";
    (void)snprintf(folder, sizeof(folder), "groups/%s", f->group);
    while (find_numbered(f, folder, "segment-", before, f->rot.file)) {
        uint8_t *data = NULL;
        size_t len = 0;
        bool read = read_file(f, &data, &len, NULL) == TS_OK;
        while (read && len > 0 && data[len - 1] == 0) {
            len--;
        }
        bool found = read && flip_record(&f->rot, prng, data, len);
        free(data);
        if (found) {
            return true;
        }
        (void)snprintf(before, sizeof(before), "%.60s", strrchr(f->rot.file, '/') + 1);
    }
    return false;
}

/* Towards its end: who is getting it from here has not got that yet. */
static bool flip_snapshot(struct lab_fault *f, struct ts_prng *prng)
{
    char folder[LAB_ROT_FILE_MAX];
    uint8_t *data = NULL;
    size_t len = 0;
    (void)snprintf(folder, sizeof(folder), "groups/%s", f->group);
    bool found = find_numbered(f, folder, "snapshot-", "", f->rot.file) &&
                 read_file(f, &data, &len, NULL) == TS_OK && len > 0;
    if (found) {
        add_flip(&f->rot, prng, data, len - 1 - ts_prng_below(prng, len / 4 + 1));
    }
    free(data);
    return found;
}

static uint64_t number_at(const uint8_t *data, size_t bytes)
{
    uint64_t n = 0;
    for (size_t i = bytes; i > 0; i--) {
        n = n << 8 | data[i - 1];
    }
    return n;
}

/* One copy of the newest slot, which the other one mends; or each copy of both slots. */
static bool flip_copies(struct lab_rot *rot, struct ts_prng *prng, const uint8_t *data, size_t len)
{
    size_t count = TS_SLOT_SLOTS * TS_SLOT_COPIES;
    size_t size = len / count;
    size_t newest = 0;
    if (size < TS_SLOT_BLOCK || count > LAB_ROT_FLIPS_MAX) {
        return false;
    }
    for (size_t i = 1; i < TS_SLOT_SLOTS; i++) {
        bool newer = number_at(data + i * size + COPY_GENERATION_AT, 8) >
                     number_at(data + newest * size + COPY_GENERATION_AT, 8);
        newest = newer ? i : newest;
    }
    for (size_t i = 0; i < count; i++) {
        if (!rot->all_copies && i != newest) {
            continue;
        }
        size_t at = i * size;
        uint64_t length = number_at(data + at + COPY_LENGTH_AT, 4);
        size_t end = TS_SLOT_HEADER + (length < size - TS_SLOT_HEADER ? (size_t)length : 0);
        add_flip(rot, prng, data,
                 at + COPY_CHECKED_AT + ts_prng_below(prng, end - COPY_CHECKED_AT));
    }
    return true;
}

static bool flip_slots(struct lab_fault *f, struct ts_prng *prng)
{
    uint8_t *data = NULL;
    size_t len = 0;
    (void)snprintf(f->rot.file, sizeof(f->rot.file), "voter/%s", lab_files_name(f->rot.files));
    bool there = f->rot.files != LAB_FILES_REGISTER ||
                 find_numbered(f, "voter", "register-", "", f->rot.file);
    bool found =
        there && read_file(f, &data, &len, NULL) == TS_OK && flip_copies(&f->rot, prng, data, len);
    free(data);
    return found;
}

static bool choose(struct lab_fault *f, struct ts_prng *prng)
{
    f->rot.count = 0;
    if (f->rot.files == LAB_FILES_JOURNAL || f->rot.files == LAB_FILES_JOURNAL_END) {
        return flip_journal(f, prng);
    }
    return f->rot.files == LAB_FILES_SNAPSHOT ? flip_snapshot(f, prng) : flip_slots(f, prng);
}

/* ---- the fault ---- */

static int open_it(const struct lab_fault *f, int flags)
{
    char path[TS_PATH_MAX];
    return ts_path(path, NULL, f->run->run, "%s/%s", f->node, f->rot.file) == TS_OK
               ? open(path, flags | O_CLOEXEC)
               : -1;
}

/* How many of its bytes are as it made them. Past the page cache, as far as the kernel lets it go.
 */
static size_t standing(const struct lab_fault *f)
{
    size_t count = 0;
    int fd = open_it(f, O_RDONLY);
    if (fd < 0) {
        return 0;
    }
    (void)posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    for (size_t i = 0; i < f->rot.count; i++) {
        uint8_t byte = 0;
        const struct lab_flip *flip = &f->rot.flips[i];
        count += pread(fd, &byte, 1, (off_t)flip->at) == 1 && byte == flip->now;
    }
    (void)close(fd);
    return count;
}

bool lab_fault_rot_mended(const struct lab_fault *f)
{
    return standing(f) == 0;
}

static enum ts_err inject(struct lab_fault *f, struct ts_why *why)
{
    struct ts_prng prng = ts_prng_init(f->rot.seed);
    uint64_t end = lab_now_ns() + FILE_NS_MAX;
    while (!choose(f, &prng)) {
        if (lab_now_ns() > end) {
            return ts_why(why, TS_ERR_NOT_FOUND, "%s has no %s of which a bit could be flipped",
                          f->node, lab_files_name(f->rot.files));
        }
        lab_pause_ms(LOOK_MS);
    }
    f->injected_ns = lab_now_ns();
    int fd = open_it(f, O_WRONLY);
    enum ts_err err = fd < 0 ? ts_why_sys(why, errno, "cannot open %s", f->rot.file) : TS_OK;
    for (size_t i = 0; i < f->rot.count && err == TS_OK; i++) {
        const struct lab_flip *flip = &f->rot.flips[i];
        err = ts_fd_write_at(fd, f->rot.file, &flip->now, 1, flip->at, why);
    }
    err = err != TS_OK ? err : ts_fd_sync(fd, f->rot.file, why);
    if (fd >= 0) {
        (void)close(fd);
    }
    return err;
}

static enum ts_err observe(struct lab_fault *f, struct ts_why *why)
{
    size_t count = standing(f);
    return count == f->rot.count
               ? TS_OK
               : ts_why(why, TS_ERR_NOT_FOUND, "%zu of %zu bytes of %s are as they were",
                        f->rot.count - count, f->rot.count, f->rot.file);
}

static enum ts_err heal(struct lab_fault *f, struct ts_why *why)
{
    (void)f;
    (void)why;
    return TS_OK;
}

static const struct lab_fault_type type = {
    .name = "rot", .inject = inject, .observe = observe, .heal = heal};

void lab_fault_rot(struct lab_fault *f, const struct nodes_run *run, const char *node,
                   const char *group, enum lab_files files, bool all_copies, uint64_t seed)
{
    *f = (struct lab_fault){
        .type = &type, .run = run, .rot = {.files = files, .all_copies = all_copies, .seed = seed}};
    (void)snprintf(f->node, sizeof(f->node), "%s", node);
    (void)snprintf(f->group, sizeof(f->group), "%s", group);
}
