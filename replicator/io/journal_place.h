/* Places in a journal, for those who do not call it. */
#ifndef REPLICATOR_IO_JOURNAL_PLACE_H
#define REPLICATOR_IO_JOURNAL_PLACE_H

#include "base/ids.h"
#include "base/io/files.h"

/* The end of a batch; all zero: before the first one. */
struct journal_place {
    struct ts_seq seq;
    struct ts_hash hash;
    struct ts_epoch epoch; /* of the batch's last entry */
};

/* Where the log is damaged. */
struct journal_flaw {
    struct journal_place after; /* what is good up to there */
    uint64_t segment;           /* what follows is to be here, … */
    uint32_t offset;            /* … in the file */
    uint64_t cuts;              /* how often the log had been cut */
    struct ts_why why;
};

#endif
