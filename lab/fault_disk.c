/* A disk that fails, hangs or is slow: an order to the library in front of the processes
 * (lab/disk), which tells when it carried it out. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lab/clock.h"
#include "lab/fault.h"

#define ORDERS_MAX 4096
#define TOLD_MAX 65536
/* A disk that nobody writes to has no effect to show. */
#define HIT_NS_MAX (5 * TS_NS_PER_S)

/* So much was told of calls that were hit, since the lab began. */
static uint64_t told(const struct lab_fault *f)
{
    char path[TS_PATH_MAX];
    struct stat st;
    bool there = ts_path(path, NULL, f->run->run, LAB_DISK_DONE) == TS_OK && stat(path, &st) == 0;
    return there ? (uint64_t)st.st_size : 0;
}

/* Whether a call was hit by this order: by its line behind `*from`, which goes on. */
static bool is_told(const struct lab_fault *f, uint64_t *from)
{
    char path[TS_PATH_MAX];
    char text[TOLD_MAX];
    size_t own = strlen(f->order);
    int fd = ts_path(path, NULL, f->run->run, LAB_DISK_DONE) == TS_OK
                 ? open(path, O_RDONLY | O_CLOEXEC)
                 : -1;
    ssize_t n = fd < 0 ? -1 : pread(fd, text, sizeof(text), (off_t)*from);
    if (fd >= 0) {
        (void)close(fd);
    }
    if (n > 0 && memmem(text, (size_t)n, f->order, own) != NULL) {
        return true;
    }
    *from += n == sizeof(text) ? sizeof(text) - own : 0; /* a line may be on the border */
    return false;
}

/* The orders without this one, and with it behind them when it is wanted. */
static enum ts_err change(const struct lab_fault *f, bool wanted, struct ts_why *why)
{
    char path[TS_PATH_MAX];
    char text[ORDERS_MAX + LAB_DISK_ORDER_MAX];
    uint8_t *read = NULL;
    size_t len = 0;
    size_t kept = 0;
    enum ts_err err = ts_path(path, why, f->run->run, LAB_DISK_ORDERS);
    err = err != TS_OK ? err : ts_file_read(path, ORDERS_MAX, &read, &len, why);
    if (err != TS_OK && err != TS_ERR_NOT_FOUND) {
        return err;
    }
    size_t own = strlen(f->order);
    for (size_t at = 0; at < len;) {
        const uint8_t *end = memchr(read + at, '\n', len - at);
        size_t n = end == NULL ? len - at : (size_t)(end - read) + 1 - at;
        if (n != own || memcmp(read + at, f->order, n) != 0) {
            memcpy(text + kept, read + at, n);
            kept += n;
        }
        at += n;
    }
    free(read);
    if (wanted) {
        memcpy(text + kept, f->order, own);
        kept += own;
    }
    return ts_file_replace(path, text, kept, 0644, why);
}

static enum ts_err inject(struct lab_fault *f, struct ts_why *why)
{
    f->effect = told(f);
    f->injected_ns = lab_now_ns();
    return change(f, true, why);
}

static enum ts_err observe(struct lab_fault *f, struct ts_why *why)
{
    uint64_t end = lab_now_ns() + HIT_NS_MAX;
    uint64_t from = f->effect;
    while (!is_told(f, &from)) {
        if (lab_now_ns() > end) {
            return ts_why(why, TS_ERR_NOT_FOUND, "no call of a process of %s was hit by \"%.*s\"",
                          f->node, (int)strlen(f->order) - 1, f->order);
        }
        lab_pause_ms(1);
    }
    return TS_OK;
}

static enum ts_err heal(struct lab_fault *f, struct ts_why *why)
{
    return change(f, false, why);
}

static const struct lab_fault_type type = {
    .name = "disk", .inject = inject, .observe = observe, .heal = heal};

void lab_fault_disk(struct lab_fault *f, const struct nodes_run *run, const char *node,
                    const char *verb, unsigned number, const char *part)
{
    *f = (struct lab_fault){.type = &type, .run = run};
    (void)snprintf(f->node, sizeof(f->node), "%s", node);
    (void)snprintf(f->order, sizeof(f->order), "%s %u /%s/%s\n", verb, number, node, part);
}

enum ts_err lab_disk_prepare(const struct nodes_run *run, bool lossy, struct ts_why *why)
{
    char library[TS_PATH_MAX];
    char orders[TS_PATH_MAX];
    char done[TS_PATH_MAX];
    enum ts_err err = ts_path(library, why, run->bin, "labdisk.so");
    err = err != TS_OK ? err : ts_path(orders, why, run->run, LAB_DISK_ORDERS);
    err = err != TS_OK ? err : ts_path(done, why, run->run, LAB_DISK_DONE);
    if (err != TS_OK) {
        return err;
    }
    if (access(library, R_OK) != 0) {
        return ts_why(why, TS_ERR_NOT_FOUND, "%s is not there: disks cannot fail in this build",
                      library);
    }
    /* Locks and process ids are no data: nobody syncs them. */
    bool good = setenv("LABDISK_DIR", run->run, 1) == 0 &&
                setenv("LABDISK_ONLY", "/groups/:/voter/", 1) == 0 &&
                setenv("LABDISK_FAIL", orders, 1) == 0 && setenv("LABDISK_DONE", done, 1) == 0 &&
                setenv("LD_PRELOAD", library, 1) == 0 &&
                (lossy ? unsetenv("LABDISK_THROUGH") : setenv("LABDISK_THROUGH", "1", 1)) == 0;
    return good ? TS_OK : ts_why(why, TS_ERR_NOMEM, "out of memory; free some");
}
