/* The victim of test_disk_kill: writes to a journal, a slot file or a plain file without end, and
 * reports on standard output each thing that it was told is durable, until it is killed.
 *
 *   disk_writer journal DIR SEED   appends, cuts and records at random
 *   disk_writer slots PATH         rising numbers
 *   disk_writer signals            reads and writes a pipe while a signal handler does, and forks,
 *                                  for two seconds; ends with status 0
 *   disk_writer plain PATH HOW     one write by HOW (pwrite, write, writev, pwritev, syscall),
 * synced when HOW begins with "synced-"; reports, then waits to be killed */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/hash.h"
#include "base/io/slot_file.h"
#include "base/prng.h"
#include "replicator/io/journal.h"
#include "tests/integration/disk_report.h"

#define HASHES 65536U /* batches not yet reported: more than the queue holds */
#define AHEAD_MAX 40U /* batches appended ahead of the persisted one */

static void report(struct disk_report r)
{
    /* Shorter than PIPE_BUF: it arrives whole or not at all. */
    ssize_t n = write(STDOUT_FILENO, &r, sizeof(r));
    if (n != (ssize_t)sizeof(r)) {
        exit(3); /* the test has gone */
    }
}

static void give_up(const struct ts_why *why)
{
    (void)fprintf(stderr, "disk_writer: %s\n", why->text);
    exit(2);
}

struct victim {
    struct journal *journal;
    struct ts_prng prng;
    struct ts_seq seq;
    struct ts_seq persisted;
    struct ts_hash hash[HASHES]; /* by seq */
    uint64_t token;
    bool cutting;
};

static void on_persisted(void *arg, struct ts_seq seq)
{
    struct victim *v = arg;
    v->persisted = seq;
    report((struct disk_report){
        .kind = DISK_PERSISTED, .number = seq.v, .hash = v->hash[seq.v % HASHES]});
}

static void on_truncated(void *arg, struct ts_seq after)
{
    struct victim *v = arg;
    v->cutting = false;
    v->persisted = after;
    report((struct disk_report){
        .kind = DISK_PERSISTED, .number = after.v, .hash = v->hash[after.v % HASHES]});
}

static void on_record(void *arg, uint64_t token)
{
    struct victim *v = arg;
    if (token == 0) {
        uint64_t start = journal_info(v->journal)->start_number;
        report((struct disk_report){.kind = DISK_STARTED, .number = start});
        return;
    }
    report((struct disk_report){.kind = DISK_RECORD, .number = token});
}

static void on_failed(void *arg, enum ts_err err, const char *text)
{
    (void)arg;
    (void)err;
    (void)fprintf(stderr, "disk_writer: %s\n", text);
    exit(2);
}

static enum ts_err on_replay(void *arg, const struct journal_batch *b, struct ts_seq commit,
                             struct ts_why *why)
{
    struct victim *v = arg;
    (void)commit;
    if (!ts_hash_eq(b->hash, ts_hash_chain(b->prev, b->bytes.data, b->bytes.len))) {
        return ts_why(why, TS_ERR_CORRUPT, "batch %llu does not have its hash",
                      (unsigned long long)b->first.v);
    }
    v->hash[b->last.v % HASHES] = b->hash;
    return TS_OK;
}

static void append_one(struct victim *v)
{
    uint8_t bytes[6000];
    size_t len = (size_t)ts_prng_below(&v->prng, ts_prng_below(&v->prng, 8) == 0 ? 6000 : 200);
    for (size_t i = 0; i < len; i++) {
        bytes[i] = (uint8_t)ts_prng_next(&v->prng);
    }
    struct ts_hash prev = v->hash[v->seq.v % HASHES];
    struct journal_batch b = {.epoch = {1},
                              .first = ts_seq_add(v->seq, 1),
                              .last = ts_seq_add(v->seq, 1),
                              .prev = prev,
                              .hash = ts_hash_chain(prev, bytes, len),
                              .bytes = {bytes, len}};
    if (journal_append(v->journal, &b, v->persisted) == TS_OK) {
        v->seq = b.last;
        v->hash[b.last.v % HASHES] = b.hash;
    }
}

static void cut_some(struct victim *v)
{
    uint64_t most = v->seq.v < 60 ? v->seq.v : 60;
    struct ts_seq after = {v->seq.v - ts_prng_below(&v->prng, most + 1)};
    struct ts_hash hash = after.v == 0 ? (struct ts_hash){0} : v->hash[after.v % HASHES];
    v->hash[after.v % HASHES] = hash;
    /* Before the call: from then on what is behind it may go. */
    report((struct disk_report){.kind = DISK_CUT, .number = after.v});
    if (journal_truncate(v->journal, after, hash) == TS_OK) {
        v->seq = after;
        v->cutting = true;
    }
}

static void record_one(struct victim *v)
{
    uint8_t mem[8];
    struct ts_writer w = ts_writer_init(mem, sizeof(mem));
    ts_put_u64(&w, v->token + 1);
    if (journal_persist_record(v->journal, (struct ts_bytes){mem, w.len}, v->token + 1) == TS_OK) {
        v->token++;
    }
}

/* Some work a turn of the loop; waits when far enough ahead of the disk. */
static void on_prepare(uv_prepare_t *prepare)
{
    struct victim *v = prepare->data;
    while (!v->cutting && v->seq.v < v->persisted.v + AHEAD_MAX) {
        uint64_t dice = ts_prng_below(&v->prng, 100);
        if (dice < 2) {
            cut_some(v);
        } else if (dice < 6) {
            record_one(v);
        } else {
            append_one(v);
        }
        if (dice % 5 == 0) {
            return;
        }
    }
}

static int run_journal(const char *dir, uint64_t seed)
{
    uv_loop_t loop;
    uv_prepare_t prepare;
    struct victim *v = calloc(1, sizeof(*v));
    ts_assert(v != NULL && uv_loop_init(&loop) == 0);
    v->prng = ts_prng_init(seed);
    struct journal_options options = {.segment_bytes = DISK_SEGMENT};
    struct journal_callbacks callbacks = {.persisted = on_persisted,
                                          .truncated = on_truncated,
                                          .record_persisted = on_record,
                                          .failed = on_failed,
                                          .arg = v};
    struct ts_why why;
    if (journal_open(&v->journal, &loop, dir, &options, &callbacks, on_replay, v, &why) != TS_OK) {
        give_up(&why);
    }
    const struct journal_info *info = journal_info(v->journal);
    v->seq = info->last;
    v->persisted = info->last;
    struct ts_bytes record = journal_record(v->journal);
    struct ts_reader r = ts_reader_init(record.data, record.len);
    v->token = ts_get_u64(&r);
    if (journal_confirm_start(v->journal, 0) != TS_OK) {
        return 2;
    }
    prepare.data = v;
    (void)uv_prepare_init(&loop, &prepare);
    (void)uv_prepare_start(&prepare, on_prepare);
    return uv_run(&loop, UV_RUN_DEFAULT);
}

_Noreturn static void run_slots(const char *path)
{
    struct ts_slot_file *f;
    struct ts_why why;
    if (ts_slot_open(&f, path, (struct ts_incarnation){0}, &why) != TS_OK) {
        give_up(&why);
    }
    struct ts_reader r = ts_reader_init(ts_slot_value(f).data, ts_slot_value(f).len);
    for (uint64_t n = ts_get_u64(&r) + 1;; n++) {
        uint8_t mem[3000];
        memset(mem, (int)n, sizeof(mem));
        struct ts_writer w = ts_writer_init(mem, sizeof(mem));
        ts_put_u64(&w, n);
        if (ts_slot_write(f, (struct ts_bytes){mem, 8 + n % 2900}, &why) != TS_OK) {
            give_up(&why);
        }
        report((struct disk_report){.kind = DISK_PERSISTED, .number = n});
    }
}

static bool write_plain(int fd, const char *how)
{
    char text[] = "unsynced";
    size_t len = strlen(text);
    struct iovec v = {.iov_base = text, .iov_len = len};
    ssize_t n = -1;
    if (strcmp(how, "pwrite") == 0) {
        n = pwrite(fd, text, len, 0);
    } else if (strcmp(how, "write") == 0) {
        n = write(fd, text, len);
    } else if (strcmp(how, "writev") == 0) {
        n = writev(fd, &v, 1);
    } else if (strcmp(how, "pwritev") == 0) {
        n = pwritev(fd, &v, 1, 0);
    } else if (strcmp(how, "syscall") == 0) {
        n = syscall(SYS_pwritev, fd, &v, 1, 0, 0);
    }
    return n == (ssize_t)len;
}

static int run_plain(const char *path, const char *how)
{
    bool synced = strncmp(how, "synced-", 7) == 0;
    int fd = open(path, O_RDWR | O_CREAT, 0600);
    if (fd < 0 || !write_plain(fd, synced ? how + 7 : how)) {
        return 2;
    }
    if (synced && fdatasync(fd) != 0) {
        return 2;
    }
    char back[8];
    if (pread(fd, back, sizeof(back), 0) != 8 || memcmp(back, "unsynced", 8) != 0) {
        return 2;
    }
    report((struct disk_report){.kind = DISK_PERSISTED, .number = 1});
    (void)pause();
    return 0;
}

static int handler_ends[2];

static void on_alarm(int signum)
{
    char byte = 'x';
    (void)signum;
    (void)!write(handler_ends[1], &byte, 1);
    (void)!read(handler_ends[0], &byte, 1);
}

static void *open_and_close(void *arg)
{
    for (;;) {
        (void)close(open("/dev/null", O_RDONLY));
    }
    return arg;
}

static int fork_and_open(void)
{
    int status = -1;
    sigset_t all;
    sigset_t before;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before); /* a fork begins anew at each signal */
    pid_t pid = fork();
    if (pid == 0) {
        _exit(open("/dev/null", O_RDONLY) < 0 ? 1 : 0);
    }
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    return pid > 0 && status == 0 ? 0 : 2;
}

static int run_signals(void)
{
    const struct itimerval often = {.it_interval.tv_usec = 50, .it_value.tv_usec = 50};
    struct sigaction action = {.sa_handler = on_alarm};
    int ends[2];
    pthread_t thread;
    sigset_t all;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, NULL); /* of the thread */
    int status = pthread_create(&thread, NULL, open_and_close, NULL) == 0 &&
                         pthread_sigmask(SIG_UNBLOCK, &all, NULL) == 0
                     ? 0
                     : 2;
    status = status == 0 && pipe(handler_ends) == 0 && pipe(ends) == 0 &&
                     sigaction(SIGALRM, &action, NULL) == 0 &&
                     setitimer(ITIMER_REAL, &often, NULL) == 0
                 ? 0
                 : 2;
    time_t end = time(NULL) + 2;
    for (int i = 0; status == 0 && time(NULL) < end; i++) {
        char byte = 'y';
        while (write(ends[1], &byte, 1) < 0 && errno == EINTR) {
        }
        while (read(ends[0], &byte, 1) < 0 && errno == EINTR) {
        }
        status = i % 1000 == 0 ? fork_and_open() : 0;
    }
    return status;
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "signals") == 0) {
        return run_signals();
    }
    if (argc == 4 && strcmp(argv[1], "journal") == 0) {
        return run_journal(argv[2], strtoull(argv[3], NULL, 10));
    }
    if (argc == 3 && strcmp(argv[1], "slots") == 0) {
        run_slots(argv[2]);
    }
    if (argc == 4 && strcmp(argv[1], "plain") == 0) {
        return run_plain(argv[2], argv[3]);
    }
    (void)fprintf(stderr,
                  "usage: disk_writer journal DIR SEED | slots PATH | signals | plain PATH HOW\n");
    return 1;
}
