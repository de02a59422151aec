/* Disks that hang, fill up, fail, are damaged or lost, and a kill while a snapshot is written. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/assert.h"
#include "lab/ask.h"
#include "lab/clock.h"
#include "lab/exec.h"
#include "lab/mem.h"
#include "replicator/io/journal_format.h"
#include "tests/integration/soak_step.h"

#define POLL_MS 10
/* Mending waits for passes of the scrubber over all that the rounds before wrote. */
#define MEND_MS_MAX 180000
#define REPLACE_S_MAX "60"
#define GRACE_MS 5000
/* So much of a segment is written before a part of it is damaged: the newest group may look torn.
 */
#define WRITTEN_MIN (64U * 1024U)
/* A snapshot comes with every 64 MiB of the log; the state stays small. */
#define BULK_BYTES (256U * 1024U)
#define BULK_KEYS 48U
#define BULK_SETS_MAX 1500U

static enum ts_err group_dir(const struct soak_step *st, unsigned nic, char out[TS_PATH_MAX])
{
    return ts_path(out, NULL, st->s->pair.run.run, "%s/groups/%s", soak_node(st, nic),
                   LAB_PAIR_GROUP);
}

/* ---- disks that fail on demand ---- */

/* From now on each such call on this NIC's journal, or on all its group's files, fails. */
static bool break_disk(struct soak_step *st, unsigned nic, const char *call, int error)
{
    char text[TS_PATH_MAX];
    bool journal_only = ts_prng_below(&st->s->prng, 2) == 0;
    int n = snprintf(text, sizeof text, "%s %d /%s/groups/%s/%s", call, error, soak_node(st, nic),
                     LAB_PAIR_GROUP, journal_only ? "segment" : "");
    soak_say(st, "%s of %s", journal_only ? "the journal" : "the disk", soak_node(st, nic));
    return ts_file_replace(st->s->order, text, (size_t)n, 0644, &st->why) == TS_OK ||
           soak_wrong(st, st->why.text);
}

static bool mend_disk(struct soak_step *st)
{
    return unlink(st->s->order) == 0 || soak_wrong(st, "the disk cannot be mended");
}

static bool cannot_fail(struct soak_step *st)
{
    if (st->s->order[0] != '\0') {
        return false;
    }
    soak_say(st, "left out: disks cannot fail on demand in this build");
    return true;
}

/* Syncs wait. So shortly that nobody need notice, or until somebody has. */
static bool hang_disk(struct soak_step *st, unsigned nic)
{
    struct soak *s = st->s;
    bool noticed = ts_prng_below(&s->prng, 4) != 0;
    if (cannot_fail(st)) {
        return true;
    }
    uint64_t ms = 20 + ts_prng_below(&s->prng, noticed ? 1000 : s->pair.config.failure_timeout_ms);
    if (!break_disk(st, nic, "sync", 0)) {
        return false;
    }
    bool good = !noticed || soak_carried_on(st, "nobody noticed that the disk hangs");
    lab_pause_ms(ms);
    soak_say(st, " hung%s, %" PRIu64 " ms", noticed ? " until noticed, and" : "", ms);
    return mend_disk(st) && good && soak_settle(st, noticed);
}

/* Writes fail; the process ends, and its next starts fail, too. */
static bool fill_disk(struct soak_step *st, unsigned nic)
{
    if (cannot_fail(st)) {
        return true;
    }
    if (!break_disk(st, nic, "write", ENOSPC)) {
        return false;
    }
    bool good = soak_carried_on(st, "nobody noticed that the disk is full");
    uint64_t ms = ts_prng_below(&st->s->prng, 500);
    lab_pause_ms(ms);
    soak_say(st, " full for %" PRIu64 " ms more than it took", ms);
    return mend_disk(st) && good && soak_settle(st, true);
}

/* ---- a new disk ---- */

static bool twinstep_replace(struct soak_step *st, unsigned nic)
{
    char command[2 * TS_PATH_MAX + 256];
    char out[4096] = "";
    const struct nodes_run *run = &st->s->pair.run;
    snprintf(command, sizeof command,
             "'%s/twinstep' nic replace %s --yes --dir '%s' --timeout " REPLACE_S_MAX " 2>&1",
             run->bin, soak_node(st, nic), run->run);
    const char *argv[] = {"sh", "-c", command, NULL};
    return lab_exec(argv, NULL, out, sizeof out, &st->why) == TS_OK ||
           soak_wrong(st, out[0] != '\0' ? out : st->why.text);
}

/* The other NIC's replica is killed: what was enrolled must have everything, and lead. */
static bool lean_on(struct soak_step *st, unsigned nic)
{
    struct lab_fault f;
    bool leads = lab_state_primary(&st->after) == (int)nic;
    lab_fault_kill(&f, &st->s->pair.run, soak_node(st, 1 - nic), "replica", LAB_PAIR_GROUP);
    st->before = st->after;
    st->epoch = lab_state_epoch(&st->after);
    if (lab_fault_inject(&f, &st->why) != TS_OK || lab_fault_observe(&f, &st->why) != TS_OK) {
        return soak_wrong(st, st->why.text);
    }
    soak_say(st, ", then %s killed", f.node);
    if (!soak_settle(st, true)) {
        return false;
    }
    return leads || lab_state_primary(&st->after) == (int)nic ||
           soak_wrong(st, "the new disk's replica did not take over");
}

/* The NIC's data is put aside, and twinstep gives its place to a blank disk. */
static bool replace_disk(struct soak_step *st, unsigned nic)
{
    char from[TS_PATH_MAX];
    char to[TS_PATH_MAX];
    const char *run = st->s->pair.run.run;
    if (nodes_stop(&st->s->pair.run, soak_node(st, nic), GRACE_MS, &st->why) != TS_OK ||
        ts_path(from, &st->why, run, "%s", soak_node(st, nic)) != TS_OK ||
        ts_path(to, &st->why, run, "%s.lost", soak_node(st, nic)) != TS_OK) {
        return soak_wrong(st, st->why.text);
    }
    if (rename(from, to) != 0) {
        return soak_wrong(st, "the lost disk cannot be put aside");
    }
    st->s->voter_lost = true;
    soak_say(st, ", %s replaced by a blank disk", soak_node(st, nic));
    return twinstep_replace(st, nic) && soak_settle(st, true) && lean_on(st, nic);
}

static bool blank_disk(struct soak_step *st, unsigned nic)
{
    struct lab_fault f;
    lab_fault_nic(&f, &st->s->pair.run, soak_node(st, nic));
    return soak_strike(st, &f) && soak_carried_on(st, "nobody noticed that the NIC died") &&
           replace_disk(st, nic);
}

static bool wait_abandoned(struct soak_step *st, unsigned nic)
{
    char path[TS_PATH_MAX];
    if (ts_path(path, &st->why, st->s->pair.run.run, "%s/groups/%s/abandoned", soak_node(st, nic),
                LAB_PAIR_GROUP) != TS_OK) {
        return soak_wrong(st, st->why.text);
    }
    uint64_t end = lab_now_ns() + SOAK_SHOW_MS_MAX * TS_NS_PER_MS;
    while (access(path, F_OK) != 0) {
        if (lab_now_ns() > end) {
            return soak_wrong(st, "a disk that failed a sync is trusted still");
        }
        lab_pause_ms(POLL_MS);
    }
    return true;
}

static bool fail_sync(struct soak_step *st, unsigned nic)
{
    if (cannot_fail(st)) {
        return true;
    }
    if (!break_disk(st, nic, "sync", EIO)) {
        return false;
    }
    bool good = soak_carried_on(st, "nobody noticed that a sync failed") && wait_abandoned(st, nic);
    soak_say(st, " failed a sync");
    return mend_disk(st) && good && replace_disk(st, nic);
}

/* ---- damage ---- */

/* One byte of a journal that is not any more what it was. */
struct damage {
    char path[TS_PATH_MAX];
    off_t at;
    uint8_t was;
};

/* Where the last written byte of a segment is; 0: nothing to damage. Gives a random place of the
 * first half of what is written, in a record (the rest of a block is empty). */
static bool pick_place(struct soak_step *st, struct damage *d)
{
    uint8_t *data = NULL;
    size_t len = 0;
    if (ts_file_read(d->path, JOURNAL_SEGMENT_BYTES_MAX, &data, &len, &st->why) != TS_OK) {
        return false;
    }
    while (len > 0 && data[len - 1] == 0) {
        len--;
    }
    bool good = len > JOURNAL_DATA_START + WRITTEN_MIN;
    if (good) {
        size_t at =
            JOURNAL_DATA_START + ts_prng_below(&st->s->prng, (len - JOURNAL_DATA_START) / 2);
        while (data[at] == 0) {
            at++;
        }
        d->at = (off_t)at;
        d->was = data[at];
    }
    free(data);
    return good;
}

static bool pick_segment(struct soak_step *st, unsigned nic, struct damage *d)
{
    char dir[TS_PATH_MAX];
    unsigned seen = 0;
    DIR *open = group_dir(st, nic, dir) == TS_OK ? opendir(dir) : NULL;
    for (const struct dirent *e; open != NULL && (e = readdir(open)) != NULL;) {
        struct damage one;
        bool segment = strncmp(e->d_name, "segment-", 8) == 0 && strchr(e->d_name, '.') == NULL;
        if (segment && ts_path(one.path, NULL, dir, "%s", e->d_name) == TS_OK &&
            pick_place(st, &one) && ts_prng_below(&st->s->prng, ++seen) == 0) {
            *d = one;
        }
    }
    if (open != NULL) {
        (void)closedir(open);
    }
    return seen > 0;
}

static bool damage(struct soak_step *st, unsigned nic, struct damage *d)
{
    uint64_t end = lab_now_ns() + SOAK_ACKS_MS_MAX * TS_NS_PER_MS;
    while (!pick_segment(st, nic, d)) {
        if (lab_now_ns() > end) {
            return soak_wrong(st, "the journal is too short to damage it");
        }
        lab_pause_ms(POLL_MS);
    }
    uint8_t flipped = d->was ^ (uint8_t)(1U << ts_prng_below(&st->s->prng, 8));
    int fd = open(d->path, O_WRONLY | O_CLOEXEC);
    bool good = fd >= 0 && pwrite(fd, &flipped, 1, d->at) == 1;
    if (fd >= 0) {
        good = close(fd) == 0 && good;
    }
    soak_say(st, "%sa bit of %s at byte %lld", st->out->text[0] == '\0' ? "" : ", then ",
             strrchr(d->path, '/') + 1, (long long)d->at);
    return good || soak_wrong(st, "the journal could not be damaged");
}

/* It is as it was, or its segment was dropped as needless. */
static bool is_mended(const struct damage *d)
{
    uint8_t now = 0;
    int fd = open(d->path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return errno == ENOENT;
    }
    bool mended = pread(fd, &now, 1, d->at) == 1 && now == d->was;
    (void)close(fd);
    return mended;
}

/* The scrubber finds it, and a replica that has it gives it back. */
static bool damage_journal(struct soak_step *st, unsigned nic)
{
    struct damage d = {0};
    if (!damage(st, nic, &d)) {
        return false;
    }
    uint64_t begun = lab_now_ns();
    while (!is_mended(&d)) {
        if (lab_now_ns() - begun > MEND_MS_MAX * TS_NS_PER_MS) {
            return soak_wrong(st, "the damage was not mended");
        }
        lab_pause_ms(POLL_MS);
    }
    soak_say(st, " of %s mended after %.1f s", soak_node(st, nic),
             (double)(lab_now_ns() - begun) / 1e9);
    return soak_settle(st, false);
}

static bool is_out_or_back(const struct soak_step *st, const struct lab_state *now)
{
    for (unsigned i = 0; i < LAB_NICS; i++) {
        if (now->replica[i].refused) {
            return true;
        }
    }
    return lab_state_epoch(now) > st->epoch && lab_state_redundant(now);
}

/* Damage that a start finds: the replica does not start, and its disk is replaced. (It does start
 * when what is damaged lies before all that it needs.) */
static bool damage_and_start(struct soak_step *st, unsigned nic)
{
    struct lab_fault f;
    struct damage d = {0};
    lab_fault_nic(&f, &st->s->pair.run, soak_node(st, nic));
    if (!soak_strike(st, &f) || !soak_carried_on(st, "nobody noticed that the NIC died") ||
        !damage(st, nic, &d) || !soak_heal(st, &f)) {
        return false;
    }
    if (!soak_wait_state(st, is_out_or_back, 0, st->s->settle_ms, &st->after)) {
        return st->out->good ? soak_wrong(st, "the damaged one neither starts nor refuses") : false;
    }
    return st->after.replica[nic].refused ? replace_disk(st, nic) : soak_settle(st, true);
}

/* ---- a kill while a snapshot is written ---- */

/* Whether an unfinished snapshot lies on this NIC's disk. */
static bool writes_snapshot(const struct soak_step *st, unsigned nic)
{
    char dir[TS_PATH_MAX];
    bool found = false;
    DIR *open = group_dir(st, nic, dir) == TS_OK ? opendir(dir) : NULL;
    for (const struct dirent *e; open != NULL && !found && (e = readdir(open)) != NULL;) {
        size_t len = strlen(e->d_name);
        found = strncmp(e->d_name, "snapshot-", 9) == 0 && strcmp(e->d_name + len - 4, ".new") == 0;
    }
    if (open != NULL) {
        (void)closedir(open);
    }
    return found;
}

/* Writes until somebody writes a snapshot; gives who, -1 for nobody. */
static int write_until_snapshot(struct soak_step *st)
{
    struct lab_addrs addrs = lab_pair_addrs(&st->s->pair);
    unsigned first = (unsigned)ts_prng_below(&st->s->prng, LAB_NICS);
    char *value = lab_calloc(1, BULK_BYTES + 1);
    int who = -1;
    for (size_t i = 0; i < BULK_BYTES; i++) {
        value[i] = (char)('a' + ts_prng_below(&st->s->prng, 26)); /* hardly to be packed */
    }
    for (unsigned i = 0; i < BULK_SETS_MAX && who < 0; i++) {
        struct lab_answer answer;
        char key[32];
        snprintf(key, sizeof key, "bulk:%u", i % BULK_KEYS);
        const char *set[] = {"SET", key, value, NULL};
        if (!lab_ask_again(&addrs, set, SOAK_ACKS_MS_MAX, &answer)) {
            break;
        }
        who = writes_snapshot(st, first)       ? (int)first
              : writes_snapshot(st, 1 - first) ? (int)(1 - first)
                                               : -1;
    }
    free(value);
    return who;
}

static bool kill_in_snapshot(struct soak_step *st)
{
    struct lab_fault f;
    int who = write_until_snapshot(st);
    if (who < 0) {
        return soak_wrong(st, "no snapshot was taken");
    }
    bool whole = ts_prng_below(&st->s->prng, 2) == 0;
    if (whole) {
        lab_fault_nic(&f, &st->s->pair.run, soak_node(st, (unsigned)who));
    } else {
        lab_fault_kill(&f, &st->s->pair.run, soak_node(st, (unsigned)who), "replica",
                       LAB_PAIR_GROUP);
    }
    lab_pause_ms(ts_prng_below(&st->s->prng, 30)); /* anywhere in it */
    if (lab_fault_inject(&f, &st->why) != TS_OK || lab_fault_observe(&f, &st->why) != TS_OK) {
        return soak_wrong(st, st->why.text);
    }
    soak_say(st, "%s of %s %s a snapshot", f.type->name, f.node,
             writes_snapshot(st, (unsigned)who) ? "in the middle of" : "just behind");
    if (whole && (!soak_carried_on(st, "nobody noticed that the NIC died") || !soak_heal(st, &f))) {
        return false;
    }
    if (!soak_settle(st, true)) {
        return false;
    }
    uint64_t end = lab_now_ns() + st->s->settle_ms * TS_NS_PER_MS;
    while (writes_snapshot(st, (unsigned)who)) {
        if (lab_now_ns() > end) {
            return soak_wrong(st, "the unfinished snapshot stays");
        }
        lab_pause_ms(POLL_MS);
    }
    return true;
}

bool soak_disk_kind(struct soak_step *st, enum soak_kind kind)
{
    unsigned nic = (unsigned)ts_prng_below(&st->s->prng, LAB_NICS);
    switch ((unsigned)kind) {
    case SOAK_HANG_DISK:
        return hang_disk(st, nic);
    case SOAK_FILL_DISK:
        return fill_disk(st, nic);
    case SOAK_FAIL_SYNC:
        return fail_sync(st, nic);
    case SOAK_DAMAGE_JOURNAL:
        return damage_journal(st, nic);
    case SOAK_DAMAGE_AND_START:
        return damage_and_start(st, nic);
    case SOAK_BLANK_DISK:
        return blank_disk(st, nic);
    case SOAK_KILL_IN_SNAPSHOT:
        return kill_in_snapshot(st);
    default:
        ts_unreachable();
    }
}
