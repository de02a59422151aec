/* Kill loops (R1.3, R6, R2.11): a child writes and reports what it was told is durable; the parent
 * kills it with SIGKILL at random points and looks whether all of that is there.
 *
 * Once with the page cache intact (a process kill), once under lab/disk, which loses all
 * unsynced writes or keeps random parts of them (a power cut), and once with a disk that lies about
 * fdatasync: there the same check must fail, or it would prove nothing. */
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "base/io/slot_file.h"
#include "base/prng.h"
#include "tests/integration/disk_report.h"
#include "tests/unit/disk_fixture.h"

#define ROUNDS 50
#define REPORTS_MAX 60U /* a child lives for at most so many reports */
#define VARIABLES_MAX 5

/* How a child is started. */
struct mode {
    const char *name;
    const char *variables[VARIABLES_MAX]; /* NAME=value */
};

static const struct mode kill_only = {"kill", {NULL}};
static const struct mode power_cut = {"power cut", {"LABDISK_LEAK=0"}};
static const struct mode power_cut_torn = {"power cut, torn writes", {"LABDISK_LEAK=40"}};
static const struct mode lying_disk = {"lying disk", {"LABDISK_IGNORE_SYNC=1"}};

/* What the children of one journal or slot file told so far. */
struct told {
    uint64_t started;
    uint64_t persisted;
    struct ts_hash hash;
    uint64_t record;
};

struct kill_fix {
    char dir[TS_PATH_MAX];
    char path[TS_PATH_MAX];
    struct ts_prng prng;
    struct told told;
    unsigned reports;
};

static int setup(void **state)
{
    struct kill_fix *x = calloc(1, sizeof(*x));
    disk_make(x->dir);
    assert_int_equal(ts_path(x->path, NULL, x->dir, "target"), TS_OK);
    x->prng = ts_prng_init(20260101);
    *state = x;
    return 0;
}

static int teardown(void **state)
{
    struct kill_fix *x = *state;
    disk_remove(x->dir);
    free(x);
    return 0;
}

/* ---- children ---- */

static void become_child(const struct kill_fix *x, const struct mode *mode, int out,
                         const char *const *args)
{
    (void)dup2(out, STDOUT_FILENO);
    if (mode->variables[0] != NULL) {
        char dir[TS_PATH_MAX + 32];
        (void)snprintf(dir, sizeof(dir), "LABDISK_DIR=%s", x->dir);
        (void)putenv(dir);
        (void)setenv("LD_PRELOAD", LABDISK_LIBRARY, 1);
        /* The sanitizers want to be first; they work behind a plain library, too. */
        (void)setenv("ASAN_OPTIONS", "verify_asan_link_order=0", 1);
        for (size_t i = 0; i < VARIABLES_MAX && mode->variables[i] != NULL; i++) {
            char *variable = strdup(mode->variables[i]);
            (void)putenv(variable);
        }
    }
    (void)execv(DISK_WRITER, (char *const *)(uintptr_t)args);
    _exit(127);
}

static pid_t start_child(const struct kill_fix *x, const struct mode *mode, int *from,
                         const char *const *args)
{
    int ends[2];
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        become_child(x, mode, ends[1], args);
    }
    (void)close(ends[1]);
    *from = ends[0];
    return pid;
}

static void hear(struct kill_fix *x, const struct disk_report *r)
{
    struct told *t = &x->told;
    x->reports++;
    switch (r->kind) {
    case DISK_STARTED:
        t->started = r->number;
        return;
    case DISK_PERSISTED:
        t->persisted = r->number;
        t->hash = r->hash;
        return;
    case DISK_CUT:
        if (r->number < t->persisted) {
            /* Between the cut and its completion the lower position is certain, its hash is in the
             * log. */
            t->persisted = r->number;
            t->hash = (struct ts_hash){0};
        }
        return;
    case DISK_RECORD:
        t->record = r->number;
        return;
    }
    fail_msg("the child reported something unknown");
}

/* Takes `count` reports, kills, then takes what is left in the pipe. The child must not end by
 * itself. */
static void hear_and_kill(struct kill_fix *x, pid_t pid, int from, uint64_t count)
{
    struct disk_report r;
    bool killed = false;
    for (uint64_t i = 0;; i++) {
        if (i == count) {
            /* A little later, so that it strikes in the middle of things. */
            for (volatile uint64_t spin = ts_prng_below(&x->prng, 200000); spin > 0; spin--) {
            }
            assert_int_equal(kill(pid, SIGKILL), 0);
            killed = true;
        }
        ssize_t n = read(from, &r, sizeof(r));
        if (n == 0) {
            break;
        }
        assert_int_equal(n, sizeof(r));
        hear(x, &r);
    }
    (void)close(from);
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (!killed || !WIFSIGNALED(status)) {
        fail_msg("the child ended by itself with status %d", status);
    }
}

/* ---- journal ---- */

/* What the parent finds on the disk. */
struct found {
    uint64_t last;
    uint64_t want; /* the position whose hash is looked for */
    struct ts_hash hash;
    bool chained;
    struct ts_hash prev;
};

static enum ts_err look(void *arg, const struct journal_batch *b, struct ts_seq commit,
                        struct ts_why *why)
{
    struct found *f = arg;
    (void)commit;
    (void)why;
    f->chained = f->chained && b->first.v == f->last + 1 && ts_hash_eq(b->prev, f->prev) &&
                 ts_hash_eq(b->hash, ts_hash_chain(b->prev, b->bytes.data, b->bytes.len));
    f->last = b->last.v;
    f->prev = b->hash;
    if (f->last == f->want) {
        f->hash = b->hash;
    }
    return TS_OK;
}

static void ignore_closed(void *arg)
{
    *(bool *)arg = true;
}

/* Opens the journal the children left and closes it again. Gives NULL when all that they told is
 * there, else what is wrong. */
static const char *check_journal(struct kill_fix *x, struct ts_why *why)
{
    const struct told *t = &x->told;
    struct found f = {.want = t->persisted, .chained = true};
    uv_loop_t loop;
    assert_int_equal(uv_loop_init(&loop), 0);
    struct journal *j;
    struct journal_options options = {.segment_bytes = DISK_SEGMENT};
    struct journal_callbacks callbacks = {.arg = x};
    why->text[0] = 0;
    const char *wrong = NULL;
    if (journal_open(&j, &loop, x->path, &options, &callbacks, look, &f, why) != TS_OK) {
        (void)uv_loop_close(&loop);
        return "the journal is refused";
    }
    struct ts_bytes record = journal_record(j);
    struct ts_reader r = ts_reader_init(record.data, record.len);
    bool certain = t->hash.lo != 0 || t->hash.hi != 0;
    if (!f.chained) {
        wrong = "the chain is broken";
    } else if (f.last < t->persisted) {
        wrong = "the log is shorter than what was reported as durable";
    } else if (certain && !ts_hash_eq(f.hash, t->hash)) {
        wrong = "a reported batch was replaced by another one";
    } else if (ts_get_u64(&r) < t->record) {
        wrong = "a reported replica record is lost";
    } else if (journal_info(j)->start_number <= t->started) {
        wrong = "the start number went back";
    }
    bool closed = false;
    journal_close(j, ignore_closed, &closed);
    while (!closed) {
        (void)uv_run(&loop, UV_RUN_ONCE);
    }
    assert_int_equal(uv_loop_close(&loop), 0);
    return wrong;
}

static void format_journal(const struct kill_fix *x)
{
    struct journal_options o = {.segment_bytes = DISK_SEGMENT};
    uint8_t zero[8] = {0};
    assert_int_equal(journal_format(x->path, (struct ts_incarnation){5}, (struct ts_group_id){1},
                                    (struct ts_bytes){zero, sizeof(zero)}, &o, NULL),
                     TS_OK);
}

static void one_journal_round(struct kill_fix *x, const struct mode *mode)
{
    char seed[32];
    (void)snprintf(seed, sizeof(seed), "%llu", (unsigned long long)ts_prng_next(&x->prng));
    const char *args[] = {"disk_writer", "journal", x->path, seed, NULL};
    int from;
    pid_t pid = start_child(x, mode, &from, args);
    hear_and_kill(x, pid, from, 1 + ts_prng_below(&x->prng, REPORTS_MAX));
}

static void journal_loop(struct kill_fix *x, const struct mode *mode)
{
    format_journal(x);
    struct ts_why why;
    for (int round = 0; round < ROUNDS; round++) {
        one_journal_round(x, mode);
        /* Every other time the next child recovers by itself. */
        const char *wrong = round % 2 == 0 ? check_journal(x, &why) : NULL;
        if (wrong != NULL) {
            fail_msg("%s, round %d: %s. %s", mode->name, round, wrong, why.text);
        }
    }
    const char *wrong = check_journal(x, &why);
    if (wrong != NULL) {
        fail_msg("%s, at the end: %s. %s", mode->name, wrong, why.text);
    }
    assert_true(x->reports > ROUNDS);
}

/* Goal: what the journal reported survives a SIGKILL at any point. */
static void test_journal_killed_keeps_what_it_reported(void **state)
{
    journal_loop(*state, &kill_only);
}

/* Goal: it survives a power cut, too. */
static void test_journal_power_cut_keeps_what_it_reported(void **state)
{
    journal_loop(*state, &power_cut);
}

/* Goal: also when random parts of unsynced writes reached the disk. */
static void test_journal_torn_writes_keep_what_it_reported(void **state)
{
    journal_loop(*state, &power_cut_torn);
}

/* Goal: the check finds a journal that acknowledges what is not durable. */
static void test_journal_lying_disk_is_detected(void **state)
{
    struct kill_fix *x = *state;
    format_journal(x);
    struct ts_why why;
    bool detected = false;
    for (int round = 0; round < ROUNDS && !detected; round++) {
        one_journal_round(x, &lying_disk);
        detected = check_journal(x, &why) != NULL;
    }
    assert_true(detected);
}

/* ---- slots ---- */

static bool check_slots(const struct kill_fix *x)
{
    struct ts_slot_file *f;
    struct ts_why why;
    if (ts_slot_open(&f, x->path, (struct ts_incarnation){6}, &why) != TS_OK) {
        print_message("%s\n", why.text);
        return false;
    }
    struct ts_reader r = ts_reader_init(ts_slot_value(f).data, ts_slot_value(f).len);
    uint64_t n = ts_get_u64(&r);
    ts_slot_close(f);
    /* The write under way when it was killed may have happened; no other. */
    return n == x->told.persisted || n == x->told.persisted + 1;
}

static bool slots_loop(struct kill_fix *x, const struct mode *mode)
{
    uint8_t zero[8] = {0};
    assert_int_equal(ts_slot_format(x->path, (struct ts_incarnation){6}, 3000,
                                    (struct ts_bytes){zero, sizeof(zero)}, NULL),
                     TS_OK);
    const char *args[] = {"disk_writer", "slots", x->path, NULL};
    for (int round = 0; round < ROUNDS; round++) {
        int from;
        pid_t pid = start_child(x, mode, &from, args);
        hear_and_kill(x, pid, from, 1 + ts_prng_below(&x->prng, REPORTS_MAX));
        if (!check_slots(x)) {
            return false;
        }
    }
    return true;
}

/* Goal: the newest reported record is there after a SIGKILL at any point. */
static void test_slots_killed_keep_what_they_reported(void **state)
{
    assert_true(slots_loop(*state, &kill_only));
}

/* Goal: and after a power cut. */
static void test_slots_power_cut_keeps_what_they_reported(void **state)
{
    assert_true(slots_loop(*state, &power_cut));
}

/* Goal: and after one that tears writes. */
static void test_slots_torn_writes_keep_what_they_reported(void **state)
{
    assert_true(slots_loop(*state, &power_cut_torn));
}

/* Goal: the check finds a record that was acknowledged before it was durable. */
static void test_slots_lying_disk_is_detected(void **state)
{
    assert_false(slots_loop(*state, &lying_disk));
}

/* ---- the layer itself ---- */

/* What is in the file after a child wrote to it in this way and was killed. */
static size_t left_after(struct kill_fix *x, const struct mode *mode, const char *how)
{
    (void)unlink(x->path);
    const char *args[] = {"disk_writer", "plain", x->path, how, NULL};
    int from;
    pid_t pid = start_child(x, mode, &from, args);
    hear_and_kill(x, pid, from, 1);
    uint8_t *data;
    size_t len;
    assert_int_equal(ts_file_read(x->path, 100, &data, &len, NULL), TS_OK);
    free(data);
    return len;
}

/* Goal: each way to write is caught: lost without a sync, kept with one, read back meanwhile. */
static void test_overlay_unsynced_write_is_lost(void **state)
{
    struct kill_fix *x = *state;
    const char *ways[] = {"pwrite", "write", "writev", "pwritev", "syscall"};
    for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
        char synced[32];
        (void)snprintf(synced, sizeof(synced), "synced-%s", ways[i]);
        assert_int_equal(left_after(x, &power_cut, ways[i]), 0);
        assert_int_equal(left_after(x, &power_cut, synced), 8);
        assert_int_equal(left_after(x, &kill_only, ways[i]),
                         8); /* the page cache survives a kill */
        assert_int_equal(left_after(x, &lying_disk, synced), 0);
    }
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

/* Goal: the disk in front does not stop a program whose signal handlers read and write, nor a child
 * that is forked amid its work. */
static void test_overlay_signals_and_forks_go_on(void **state)
{
    struct kill_fix *x = *state;
    static const char *const args[] = {DISK_WRITER, "signals", NULL};
    int from = -1;
    int status = 0;
    pid_t pid = start_child(x, &power_cut, &from, args);
    pid_t ended = 0;
    for (int i = 0; i < 600 && ended == 0; i++) {
        (void)poll(NULL, 0, 100);
        ended = waitpid(pid, &status, WNOHANG);
    }
    if (ended == 0) {
        (void)kill(pid, SIGKILL);
        (void)waitpid(pid, &status, 0);
        fail_msg("it hangs");
    }
    assert_int_equal(status, 0);
    (void)close(from);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_overlay_unsynced_write_is_lost),
        T(test_overlay_signals_and_forks_go_on),
        T(test_slots_killed_keep_what_they_reported),
        T(test_slots_power_cut_keeps_what_they_reported),
        T(test_slots_torn_writes_keep_what_they_reported),
        T(test_slots_lying_disk_is_detected),
        T(test_journal_killed_keeps_what_it_reported),
        T(test_journal_power_cut_keeps_what_it_reported),
        T(test_journal_torn_writes_keep_what_it_reported),
        T(test_journal_lying_disk_is_detected),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
