#include "lab/host/record.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define PATH_BYTES 4096

struct host_record *lab_record_map(const char *file)
{
    int fd = open(file, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0) {
        return NULL;
    }
    /* Whoever comes first makes it as long as all others do: zeroes. */
    void *at = MAP_FAILED;
    if (ftruncate(fd, sizeof(struct host_record)) == 0) {
        at = mmap(NULL, sizeof(struct host_record), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    }
    (void)close(fd);
    return at == MAP_FAILED ? NULL : at;
}

struct host_record *lab_record_own(void)
{
    const char *dir = getenv(HOST_RECORD_DIR);
    const char *node = getenv(HOST_RECORD_NODE);
    char path[PATH_BYTES];
    if (dir == NULL || node == NULL) {
        return NULL;
    }
    int n = snprintf(path, sizeof(path), "%s/" HOST_RECORD_FILE "%s", dir, node);
    return n > 0 && (size_t)n < sizeof(path) ? lab_record_map(path) : NULL;
}

int64_t lab_record_time(const struct host_record *r, int64_t true_ns)
{
    int64_t ppm = atomic_load(&r->drift_ppm);
    int64_t passed = true_ns - atomic_load(&r->since_ns);
    int64_t drifted = ppm == 0 ? 0 : passed / HOST_PPM * ppm + passed % HOST_PPM * ppm / HOST_PPM;
    return true_ns + atomic_load(&r->offset_ns) + drifted;
}
