/* A main for a fuzz target when libFuzzer is not there: replays every file of a
 * corpus folder, then deterministic mutations of each (truncations, bit flips,
 * random edits, splices), so that every build of the project meets hostile bytes.
 *
 * The mutations depend on the corpus alone. Their number is bounded by a count,
 * and by a few seconds so that a slow target does not hold up the others; being
 * cut short is printed and is no failure. The input that ends the process is left
 * in the file crash-<program> of the working folder. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/prng.h"

#define FILES_MAX 4096
#define FILE_BYTES_MAX ((size_t)1 << 20)
#define MUTATIONS_MAX 100000U
#define SECONDS_MAX 4
#define EDITS_MAX 8

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
/* Present in sanitizer builds only: called when a report ends the process. */
void __sanitizer_set_death_callback(void (*callback)(void)) __attribute__((weak));

struct input {
    uint8_t *data; /* owned */
    size_t len;
};

struct corpus {
    struct input inputs[FILES_MAX];
    size_t count;
};

struct replay {
    struct corpus corpus;
    struct ts_prng prng;
    struct timespec start;
    unsigned mutations;
    bool cut_short;
    /* What runs at this moment, for the crash file. */
    const uint8_t *now_data;
    size_t now_len;
    char crash_path[128];
};

/* A signal handler takes no argument of ours: the one place for a global. */
static struct replay replay;

static void write_crash_file(void)
{
    int fd = open(replay.crash_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0) {
        return;
    }
    ssize_t n = write(fd, replay.now_data, replay.now_len);
    close(fd);
    if (n == (ssize_t)replay.now_len) {
        static const char text[] = "the failing input is in the file ";
        if (write(STDERR_FILENO, text, sizeof(text) - 1) < 0 ||
            write(STDERR_FILENO, replay.crash_path, strlen(replay.crash_path)) < 0 ||
            write(STDERR_FILENO, "\n", 1) < 0) {
            return; /* The file is there all the same. */
        }
    }
}

static void on_signal(int sig)
{
    write_crash_file();
    signal(sig, SIG_DFL);
    raise(sig);
}

static void catch_crashes(const char *program)
{
    const char *slash = strrchr(program, '/');
    snprintf(replay.crash_path, sizeof(replay.crash_path), "crash-%.100s",
             slash == NULL ? program : slash + 1);
    static const int signals[] = {SIGABRT, SIGFPE, SIGILL};
    for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
        signal(signals[i], on_signal);
    }
    if (__sanitizer_set_death_callback != NULL) {
        __sanitizer_set_death_callback(write_crash_file);
    } else {
        signal(SIGSEGV, on_signal);
        signal(SIGBUS, on_signal);
    }
}

/* Runs the target on an exact copy, so that a read past the end is seen by ASan. */
static void run_one(const uint8_t *data, size_t len)
{
    uint8_t *copy = malloc(len == 0 ? 1 : len);
    if (copy == NULL) {
        fprintf(stderr, "out of memory for an input of %zu bytes\n", len);
        exit(2);
    }
    if (len != 0) {
        memcpy(copy, data, len);
    }
    replay.now_data = copy;
    replay.now_len = len;
    LLVMFuzzerTestOneInput(copy, len);
    free(copy);
}

static int read_file(const char *path, struct input *out)
{
    FILE *f = fopen(path, "rb");
    if (f == NULL) {
        fprintf(stderr, "cannot read %s: %s\n", path, strerror(errno));
        return -1;
    }
    out->data = malloc(FILE_BYTES_MAX);
    out->len = out->data == NULL ? 0 : fread(out->data, 1, FILE_BYTES_MAX, f);
    bool whole = out->data != NULL && fgetc(f) == EOF && ferror(f) == 0;
    fclose(f);
    uint8_t *exact = whole ? realloc(out->data, out->len + 1) : NULL;
    if (exact != NULL) {
        out->data = exact;
    }
    if (!whole) {
        fprintf(stderr, "cannot read %s: an error, or more than %zu bytes\n", path, FILE_BYTES_MAX);
        free(out->data);
        return -1;
    }
    return 0;
}

/* Reads `dir` in the order of names, so that every run and machine does the same. */
static int load_corpus(const char *dir, struct corpus *corpus)
{
    struct dirent **names;
    int n = scandir(dir, &names, NULL, alphasort);
    if (n < 0) {
        fprintf(stderr, "cannot list the corpus %s: %s; add at least one seed file\n", dir,
                strerror(errno));
        return -1;
    }
    int rc = 0;
    for (int i = 0; i < n; i++) {
        char path[4096];
        snprintf(path, sizeof(path), "%s/%s", dir, names[i]->d_name);
        struct stat st;
        bool file = names[i]->d_name[0] != '.' && stat(path, &st) == 0 && S_ISREG(st.st_mode);
        if (file && rc == 0 && corpus->count == FILES_MAX) {
            fprintf(stderr, "%s has more than %d files: merge it\n", dir, FILES_MAX);
            rc = -1;
        }
        if (file && rc == 0) {
            rc = read_file(path, &corpus->inputs[corpus->count]);
            corpus->count += rc == 0;
        }
        free(names[i]);
    }
    free(names);
    return rc;
}

/* Whether one more mutation is allowed. */
static bool spend(void)
{
    replay.mutations++;
    if (replay.mutations % 64 == 0) {
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        if (now.tv_sec - replay.start.tv_sec > SECONDS_MAX) {
            replay.cut_short = true;
        }
    }
    return !replay.cut_short && replay.mutations <= MUTATIONS_MAX;
}

/* Up to `max` truncations, evenly spread. */
static void truncate_input(const struct input *in, size_t max)
{
    size_t step = in->len / max + 1;
    for (size_t len = 0; len < in->len && spend(); len += step) {
        run_one(in->data, len);
    }
}

/* Up to `max` single-bit flips, evenly spread. */
static void flip_bits(const struct input *in, size_t max)
{
    size_t bits = in->len * 8;
    size_t step = bits / max + 1;
    for (size_t bit = 0; bit < bits && spend(); bit += step) {
        in->data[bit / 8] ^= (uint8_t)(1U << (bit % 8));
        run_one(in->data, in->len);
        in->data[bit / 8] ^= (uint8_t)(1U << (bit % 8));
    }
}

/* One edit of `data[0..len)`, which has room for one byte more; the new length. */
static size_t edit_once(uint8_t *data, size_t len)
{
    static const uint8_t special[] = {0x00, 0x01, 0x7f, 0x80, 0xff, '\r', '\n', '-'};
    size_t at = ts_prng_below(&replay.prng, len + 1);
    uint8_t byte = (uint8_t)ts_prng_next(&replay.prng);
    switch (ts_prng_below(&replay.prng, 5)) {
    case 0: /* insert */
        memmove(data + at + 1, data + at, len - at);
        data[at] = byte;
        return len + 1;
    case 1: /* delete */
        if (at < len) {
            memmove(data + at, data + at + 1, len - at - 1);
            return len - 1;
        }
        return len;
    case 2: /* overwrite a field with ones or zeros */
        for (size_t i = at; i < len && i < at + 4; i++) {
            data[i] = (byte & 1) != 0 ? 0xff : 0x00;
        }
        return len;
    case 3:
        if (at < len) {
            data[at] = special[byte % sizeof(special)];
        }
        return len;
    default:
        if (at < len) {
            data[at] = byte;
        }
        return len;
    }
}

/* `count` random edits of one input, some with the tail of another spliced on. */
static void edit_randomly(const struct input *in, size_t count)
{
    const struct corpus *c = &replay.corpus;
    for (size_t i = 0; i < count && spend(); i++) {
        const struct input *other = &c->inputs[ts_prng_below(&replay.prng, c->count)];
        uint8_t *data = malloc(in->len + other->len + EDITS_MAX);
        if (data == NULL) {
            return;
        }
        size_t len = in->len;
        memcpy(data, in->data, len);
        if (ts_prng_below(&replay.prng, 4) == 0) {
            size_t keep = ts_prng_below(&replay.prng, in->len + 1);
            size_t from = ts_prng_below(&replay.prng, other->len + 1);
            memcpy(data + keep, other->data + from, other->len - from);
            len = keep + other->len - from;
        }
        for (uint64_t edits = 1 + ts_prng_below(&replay.prng, EDITS_MAX); edits > 0; edits--) {
            len = edit_once(data, len);
        }
        run_one(data, len);
        free(data);
    }
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: %s CORPUS-FOLDER-OR-FILE\n", argv[0]);
        return 2;
    }
    catch_crashes(argv[0]);
    struct corpus *c = &replay.corpus;
    struct stat st;
    if (stat(argv[1], &st) == 0 && S_ISREG(st.st_mode)) {
        if (read_file(argv[1], &c->inputs[0]) != 0) {
            return 1;
        }
        run_one(c->inputs[0].data, c->inputs[0].len);
        free(c->inputs[0].data);
        return 0;
    }
    if (load_corpus(argv[1], c) != 0) {
        return 1;
    }
    if (c->count == 0) {
        fprintf(stderr, "the corpus %s is empty: add at least one seed file\n", argv[1]);
        return 1;
    }
    for (size_t i = 0; i < c->count; i++) {
        run_one(c->inputs[i].data, c->inputs[i].len);
    }
    run_one(NULL, 0);
    clock_gettime(CLOCK_MONOTONIC, &replay.start);
    size_t share = MUTATIONS_MAX / c->count / 3 + 1;
    for (size_t i = 0; i < c->count; i++) {
        replay.prng = ts_prng_init(ts_crc32c(c->inputs[i].data, c->inputs[i].len));
        truncate_input(&c->inputs[i], share);
        flip_bits(&c->inputs[i], share);
        edit_randomly(&c->inputs[i], share);
    }
    printf("%zu files, %u mutations%s\n", c->count, replay.mutations,
           replay.cut_short ? " (stopped by the clock)" : "");
    for (size_t i = 0; i < c->count; i++) {
        free(c->inputs[i].data);
    }
    return 0;
}
