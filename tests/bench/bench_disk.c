/* What the disk alone does: 512 bytes into a prewritten file and fdatasync, again and again, the
 * least that a journal does. A pause of a service that waits for its disk is read beside these
 * figures. Prints one JSON line. */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <uv.h>

#include "base/io/files.h"
#include "lab/resp.h"
#include "lab/scratch.h"

#define SECONDS_DEFAULT 10
#define SECONDS_MAX 3600
#define FILE_SIZE (16U << 20)
#define RECORD 512U
#define SAMPLES_MAX (1U << 20)
#define STALL_NS (20U * 1000000U)

static uint8_t zeros[1U << 20];
static uint64_t samples[SAMPLES_MAX];

static enum ts_err prewrite(int fd, const char *path, struct ts_why *why)
{
    enum ts_err err = TS_OK;
    for (uint32_t at = 0; at < FILE_SIZE && err == TS_OK; at += sizeof zeros) {
        err = ts_fd_write_at(fd, path, zeros, sizeof zeros, at, why);
    }
    return err == TS_OK ? ts_fd_sync(fd, path, why) : err;
}

static int compare(const void *a, const void *b)
{
    const uint64_t *x = a;
    const uint64_t *y = b;
    return (*x > *y) - (*x < *y);
}

static enum ts_err run(int fd, const char *path, uint64_t seconds, struct ts_why *why)
{
    uint64_t begin = uv_hrtime();
    uint64_t end = begin + seconds * 1000000000U;
    uint64_t stalls = 0;
    uint32_t n = 0;
    enum ts_err err = prewrite(fd, path, why);
    while (err == TS_OK && n < SAMPLES_MAX && uv_hrtime() < end) {
        err = ts_fd_write_at(fd, path, zeros, RECORD, (uint64_t)n * RECORD % FILE_SIZE, why);
        uint64_t at = uv_hrtime();
        if (err == TS_OK) {
            err = ts_fd_sync(fd, path, why);
        }
        samples[n] = uv_hrtime() - at;
        stalls += samples[n++] > STALL_NS;
    }
    if (err == TS_OK && n > 0) {
        double took = (double)(uv_hrtime() - begin) / 1e9;
        uint64_t middle = n / 2;
        uint64_t late = (uint64_t)n * 99 / 100;
        qsort(samples, n, sizeof samples[0], compare);
        printf("{\"syncs\":%" PRIu32 ",\"seconds\":%.1f,\"p50_ms\":%.3f,\"p99_ms\":%.3f,"
               "\"max_ms\":%.1f,\"over_20ms\":%" PRIu64 "}\n",
               n, took, (double)samples[middle] / 1e6, (double)samples[late] / 1e6,
               (double)samples[n - 1] / 1e6, stalls);
    }
    return err;
}

int main(int argc, char **argv)
{
    char dir[LAB_SCRATCH_MAX];
    char path[TS_PATH_MAX];
    struct ts_why why = {{0}};
    int64_t seconds = SECONDS_DEFAULT;
    if (argc > 2 || (argc > 1 && (lab_parse_int(lab_bytes(argv[1]), &seconds) != TS_OK ||
                                  seconds < 1 || seconds > SECONDS_MAX))) {
        fputs("usage: bench_disk [SECONDS]\n\nThe folder is made in TMPDIR.\n", stderr);
        return 64;
    }
    if (lab_scratch_make("disk", dir) != TS_OK || ts_path(path, &why, dir, "file") != TS_OK) {
        fprintf(stderr, "bench_disk: cannot make a folder in TMPDIR %s\n", why.text);
        return 1;
    }
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    enum ts_err err = fd < 0 ? TS_ERR_SYSTEM : run(fd, path, (uint64_t)seconds, &why);
    if (err != TS_OK) {
        fprintf(stderr, "bench_disk: %s: %s\n", path, fd < 0 ? "cannot be made" : why.text);
    }
    if (fd >= 0) {
        (void)close(fd);
    }
    lab_scratch_remove(dir);
    return err == TS_OK ? 0 : 1;
}
