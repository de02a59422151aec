/* What the replica keeps in the journal's small record (replicator/io/journal.h). For the replica,
 * the simulator, and who formats a disk. */
#ifndef REPLICATOR_IO_REPLICA_RECORD_H
#define REPLICATOR_IO_REPLICA_RECORD_H

#include "base/buf.h"
#include "base/err.h"
#include "base/ids.h"

struct replica_record {
    struct ts_epoch floor;          /* it acknowledges nothing below this epoch */
    struct ts_incarnation replaces; /* the lost disk whose place this one is for, 0 = none; as
                                     * formatted (adr/0022) */
};

/* Writes REPLICA_RECORD_BYTES. */
#define REPLICA_RECORD_BYTES 17U
void replica_record_encode(const struct replica_record *r, struct ts_writer *w);
/* A record without bytes is freshly formatted, and replaces none: all is 0. TS_ERR_VERSION,
 * TS_ERR_SHORT, TS_ERR_MALFORMED. */
enum ts_err replica_record_decode(struct replica_record *out, struct ts_bytes record) TS_MUST_USE;

#endif
