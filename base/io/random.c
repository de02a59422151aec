/* ts_random_id of base/io/files.h: alone, because the simulator draws ids from its seed. */
#include <errno.h>
#include <sys/random.h>

#include "base/assert.h"
#include "base/io/files.h"

uint64_t ts_random_id(void)
{
    uint64_t id = 0;
    while (id == 0) {
        ssize_t n = getrandom(&id, sizeof(id), 0);
        /* Requests up to 256 bytes are neither cut short nor refused on a running system. */
        ts_assert(n == (ssize_t)sizeof(id) || (n < 0 && errno == EINTR));
    }
    return id;
}
