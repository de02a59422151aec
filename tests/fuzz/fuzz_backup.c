/* The first block of a backup: what decodes encodes to the same bytes. */
#include <string.h>

#include "base/assert.h"
#include "replicator/io/backup_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* As it lies in a file, and with a right checksum, so that what is behind it is reached. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t block[BACKUP_BLOCK];
    struct backup_about about;
    if (backup_about_decode(&about, data, size) == TS_OK) {
        struct ts_writer w = ts_writer_init(block, sizeof(block));
        struct backup_about again;
        backup_about_encode(&about, &w);
        ts_assert(ts_writer_status(&w) == TS_OK && w.len == BACKUP_BLOCK);
        ts_assert(backup_about_decode(&again, block, sizeof(block)) == TS_OK);
        ts_assert(memcmp(&about, &again, sizeof(about)) == 0);
    }
    if (size <= sizeof(about)) {
        struct ts_writer w = ts_writer_init(block, sizeof(block));
        memset(&about, 0, sizeof(about));
        memcpy(&about, data, size);
        backup_about_encode(&about, &w);
        ts_assert(ts_writer_status(&w) == TS_OK);
        struct backup_about got;
        enum ts_err err = backup_about_decode(&got, block, sizeof(block));
        ts_assert(err == TS_OK || err == TS_ERR_CORRUPT); /* a name without an end */
    }
    return 0;
}
