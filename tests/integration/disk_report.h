/* What disk_writer tells test_disk_kill, one fixed-size record at a time through a pipe. Both are
 * built together on one machine: the bytes are the struct's. */
#ifndef TESTS_INTEGRATION_DISK_REPORT_H
#define TESTS_INTEGRATION_DISK_REPORT_H

#include "base/ids.h"
#include "replicator/io/journal.h"

#define DISK_SEGMENT JOURNAL_SEGMENT_BYTES_MIN

enum disk_report_kind {
    DISK_STARTED = 1,   /* number: the start number, confirmed */
    DISK_PERSISTED = 2, /* number: seq (journal, with its chain hash) or value (slots) */
    DISK_CUT = 3,       /* number: what is behind this seq may go from now on */
    DISK_RECORD = 4,    /* number: the token in the replica record */
};

struct disk_report {
    enum disk_report_kind kind;
    uint64_t number;
    struct ts_hash hash;
};

#endif
