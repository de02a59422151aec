/* What the faults of lab/fault_host.h share: the records that the libraries in front of the
 * processes look at, and these libraries. */
#include "lab/fault_host.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lab/clock.h"

#define PRELOAD "LD_PRELOAD"

struct host_record *lab_host_open(const struct lab_fault *f, struct ts_why *why)
{
    char path[TS_PATH_MAX];
    if (ts_path(path, why, f->run->run, HOST_RECORD_FILE "%s", f->node) != TS_OK) {
        return NULL;
    }
    struct host_record *r = lab_record_map(path);
    if (r == NULL) {
        (void)ts_why_sys(why, errno, "cannot map %s", path);
    }
    return r;
}

void lab_host_close(struct host_record *r)
{
    if (r != NULL) {
        (void)munmap(r, sizeof(*r));
    }
}

enum ts_err lab_host_wait(const struct lab_fault *f, size_t field, uint64_t patience_ns,
                          const char *did, struct ts_why *why)
{
    uint64_t end = lab_now_ns() + patience_ns;
    struct host_record *r = lab_host_open(f, why);
    if (r == NULL) {
        return TS_ERR_SYSTEM;
    }
    const atomic_uint_least64_t *count = (const void *)((const char *)r + field);
    enum ts_err err = TS_OK;
    while (err == TS_OK && atomic_load(count) == f->effect) {
        lab_pause_ms(1);
        err = lab_now_ns() < end
                  ? TS_OK
                  : ts_why(why, TS_ERR_NOT_FOUND, "no process of %s %s", f->node, did);
    }
    lab_host_close(r);
    return err;
}

enum ts_err lab_host_prepare(const struct nodes_run *run, const char *library, struct ts_why *why)
{
    char path[TS_PATH_MAX];
    char all[2 * TS_PATH_MAX];
    const char *others = getenv(PRELOAD);
    enum ts_err err = ts_path(path, why, run->bin, "%s", library);
    if (err != TS_OK) {
        return err;
    }
    if (access(path, R_OK) != 0) {
        return ts_why(why, TS_ERR_NOT_FOUND, "%s is not there: this build lacks it", path);
    }
    int n = snprintf(all, sizeof(all), "%s%s%s", others == NULL ? "" : others,
                     others == NULL ? "" : ":", path);
    bool good = n > 0 && (size_t)n < sizeof(all) && setenv(HOST_RECORD_DIR, run->run, 1) == 0 &&
                setenv(PRELOAD, all, 1) == 0;
    return good ? TS_OK : ts_why(why, TS_ERR_NOMEM, "out of memory; free some");
}
