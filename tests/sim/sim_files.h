/* Disks in memory, under the shipped code: base/io/disk.h for everything whose path begins with a
 * volume's name. A volume is a device with one file system and its page cache.
 *
 *   - What is written stands in the page cache. fdatasync and fsync bring a file's sectors (512
 *     bytes) and its size to the device, fsync of a directory its names.
 *   - A process that is killed at its k-th operation leaves the page cache as it is: the rest of
 *     its operations fail without an effect.
 *   - Power that is lost leaves any subset of the unsynced sectors, and any subset of the unsynced
 *     changes of names. A write of several sectors may so be torn.
 *   - A sync that fails leaves any subset on the device, and the page cache clean: it may go on
 *     showing what the device does not have. Once, or always from then on.
 *   - A full disk refuses what needs space, or (a file system that copies on write) every write.
 *   - A lie is a sector that the device holds otherwise than the page cache shows: a write that was
 *     acknowledged and lost, or went to other sectors; bits that flipped; a sector that cannot be
 *     read. It comes out when the page cache is dropped, and ends when it is written again.
 *
 * Directories are made and renamed while a volume is formatted only, and are durable at once. */
#ifndef TESTS_SIM_SIM_FILES_H
#define TESTS_SIM_SIM_FILES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SIM_SECTOR 512U
#define SIM_NAME_MAX 40
#define SIM_FDS_MAX 32

struct sim;

/* A sector as it was, or as the device has it. */
struct sim_sector {
    uint32_t number;
    bool lost;       /* before a sync: the device will not get the write after this one */
    bool unreadable; /* of a lie */
    uint64_t at;     /* of a wrong one: virtual time */
    uint8_t bytes[SIM_SECTOR];
};

struct sim_sectors {
    struct sim_sector *s;
    size_t count;
    size_t cap;
};

/* What is known of a sector besides its bytes. */
struct sim_cell {
    uint32_t turn; /* the volume's that wrote it last */
    bool filled;   /* no: it is all zeros, and its bytes do not count */
};

struct sim_file {
    uint8_t *bytes; /* as the page cache shows it, of sectors that are filled */
    size_t size;
    size_t cap;
    size_t durable_size;
    struct sim_cell *cell;   /* by sector */
    unsigned *sharers;       /* of `bytes` and `cell`, with copies; NULL: nobody else has them */
    struct sim_sectors undo; /* what unsynced writes replaced, in their order */
    struct sim_sectors lies;
    struct sim_sectors bad; /* cannot be read */
    struct sim_sectors
        wrong;     /* what sectors held before the device spoiled them, until written anew */
    unsigned refs; /* names, pending changes, descriptors */
    bool dir;
    bool locked;
    struct sim_file *next_free;
};

struct sim_name {
    char name[SIM_NAME_MAX];
    struct sim_file *file;
};

struct sim_names {
    struct sim_name *n;
    size_t count;
    size_t cap;
};

/* A change of names that is not durable: `from` goes (if not ""), `to` stands for `file` (if not
 * NULL). */
struct sim_change {
    char from[SIM_NAME_MAX];
    char to[SIM_NAME_MAX];
    struct sim_file *file;
};

struct sim_changes {
    struct sim_change *c;
    size_t count;
    size_t cap;
};

enum sim_lie { SIM_LIE_NONE, SIM_LIE_LOST, SIM_LIE_MISDIRECTED };
enum sim_full { SIM_FULL_NOT, SIM_FULL_TO_GROW, SIM_FULL_TO_WRITE };

struct sim_volume {
    struct sim *sim;
    int node;
    struct sim_names names;     /* as the page cache shows them */
    struct sim_names durable;   /* as the device has them */
    struct sim_changes changes; /* from `durable` to `names` */
    struct sim_file *fds[SIM_FDS_MAX];
    struct sim_file *free_files; /* kept for the next seed */
    /* the process */
    uint64_t ops_left; /* operations until it is killed; 0 = not planned */
    bool at_rename;    /* it is killed after the next renaming of a segment */
    bool dead;         /* it was, and nothing more has an effect */
    /* faults */
    enum sim_full full;
    uint64_t syncs_left; /* the sync that fails, counted from now on; 0 = none does */
    bool syncs_of_new;   /* only those of names and of new files count */
    bool fails_full;     /* there is no room for a new file when it fails */
    bool breaks;         /* everything after it fails, too */
    bool broken;         /* since that */
    bool held;           /* no fault strikes now: the process has ended */
    bool sync_failed;    /* one of this process */
    bool found_full;     /* by this process */
    bool armed;          /* a lie may begin with a write now, … */
    bool armed_new;      /* … and with one to a new file */
    enum sim_lie next;   /* at the next armed write */
    uint64_t fresh;      /* bit = enum sim_fault_kind: armed, and has not struck yet */
    bool mends;          /* the journal writes damaged records anew */
    bool latent;         /* damaged, and nobody has looked since */
    bool spared;         /* … only the newest snapshot is, and the one before it is kept */
    int64_t snapshots;   /* that this disk got since it was damaged last */
    bool has_log;        /* some damage shows only when a later group vouches for what it hit */
    uint32_t lie_turn;   /* of a lost or misdirected write; 0 = none, or no log */
    /* what a damage may hit: see sim_volume_corrupt */
    uint32_t turn;
    uint32_t vouched;
};

/* The volumes of this run; paths are "/NODE/r/…" for a replica's, "/NODE/v/…" for a voter's. */
void sim_files_use(struct sim *s);

void sim_volume_free(struct sim_volume *v);
/* Everything is gone. */
void sim_volume_blank(struct sim_volume *v);
/* `to` becomes what `from` shows now, all of it durable. Contents are shared until they are written
 * to. */
void sim_volume_copy(struct sim_volume *to, const struct sim_volume *from);
/* Its descriptors and locks go, the page cache stays. */
void sim_volume_process_ended(struct sim_volume *v);
void sim_volume_power_lost(struct sim_volume *v);
/* The page cache is dropped where it is clean. */
void sim_volume_drop_cache(struct sim_volume *v);
/* Its paths are of this kind from now on (sim_disk_dir). */
void sim_volume_rename(struct sim_volume *v, char kind);
/* The file goes, with its name. */
void sim_volume_remove(struct sim_volume *v, const struct sim_file *f);
/* All that the page cache shows is on the device. */
void sim_volume_make_durable(struct sim_volume *v);
/* A file that readers find damaged, since before that time; NULL: none. */
const char *sim_volume_hides(const struct sim_volume *v, uint64_t since);
/* Whether nothing is damaged, as far as was not written anew; and whether something was that is not
 * durable. */
bool sim_volume_is_whole(const struct sim_volume *v);
bool sim_volume_mends(const struct sim_volume *v);
/* Records of the journal were written anew: what was damaged and reads well is not damaged any
 * more. */
void sim_volume_look(struct sim_volume *v);
/* Whether a lie waits to come out. */
bool sim_volume_lies(const struct sim_volume *v);
/* The device damages `count` sectors, flips bits or makes them unreadable: any of a slot file, one
 * only; of a segment, those that a later durable note vouches for. Gives the first name that it
 * found, NULL when there was nothing to damage. */
const char *sim_volume_corrupt(struct sim_volume *v, unsigned count);
/* The same, to the sector of a segment at this offset; false when no later note vouches for it. */
bool sim_volume_corrupt_segment(struct sim_volume *v, uint64_t segment, uint64_t offset);
/* The same, to a sector of the newest snapshot; often it is one byte only. */
const char *sim_volume_corrupt_snapshot(struct sim_volume *v);
/* The same, to the newest of what is vouched for. */
const char *sim_volume_corrupt_newest(struct sim_volume *v);

/* ---- for sim_files.c ---- */

/* Sectors that this many bytes touch. */
static inline uint32_t sim_sectors_in(size_t bytes)
{
    return (uint32_t)((bytes + SIM_SECTOR - 1) / SIM_SECTOR);
}

/* NULL: it is not among them. */
struct sim_sector *sim_sectors_find(const struct sim_sectors *l, uint32_t number);
void sim_sectors_remove(struct sim_sectors *l, struct sim_sector *s);
/* A file without a name. */
struct sim_file *sim_file_new(struct sim_volume *v, bool dir);
/* Its memory is kept. */
void sim_file_empty(struct sim_file *f);
void sim_file_unref(struct sim_volume *v, struct sim_file *f);
/* What the page cache shows. */
void sim_file_read(const struct sim_file *f, uint64_t at, uint8_t *data, size_t len);
/* `lost`: the device will not get it. */
void sim_file_write(struct sim_volume *v, struct sim_file *f, uint64_t at, const uint8_t *data,
                    size_t len, bool lost);
void sim_file_sync(struct sim_volume *v, struct sim_file *f);
void sim_file_sync_failed(struct sim_volume *v, struct sim_file *f);
/* NULL: there is none. */
struct sim_name *sim_names_find(const struct sim_names *l, const char *name);
void sim_names_put(struct sim_volume *v, struct sim_names *l, const char *name, struct sim_file *f);
/* A change of names (struct sim_change): shown at once, durable with the directory. */
void sim_volume_change(struct sim_volume *v, const char *from, const char *to, struct sim_file *f);
/* Of the changes that are not durable, so many per mille become so; the others are forgotten. */
void sim_volume_changes_end(struct sim_volume *v, uint64_t keep_pm);
/* The device writes `count` sectors of `from` over others: anywhere, but never over the other copy
 * of the same slot. */
void sim_volume_misdirect(struct sim_volume *v, const struct sim_file *from, uint32_t number,
                          uint32_t count);

#endif
