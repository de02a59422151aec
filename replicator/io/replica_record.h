/* What the replica keeps in the journal's small record (replicator/io/journal.h): the floor, below
 * which it acknowledges nothing. For the replica and for the simulator. */
#ifndef REPLICATOR_IO_REPLICA_RECORD_H
#define REPLICATOR_IO_REPLICA_RECORD_H

#include "base/buf.h"
#include "base/err.h"
#include "base/ids.h"

/* Writes REPLICA_RECORD_BYTES. */
#define REPLICA_RECORD_BYTES 9U
void replica_record_encode(struct ts_epoch floor, struct ts_writer *w);
/* A record without bytes is freshly formatted: floor 0. TS_ERR_VERSION, TS_ERR_SHORT,
 * TS_ERR_MALFORMED. */
enum ts_err replica_record_floor(struct ts_bytes record, struct ts_epoch *floor) TS_MUST_USE;

#endif
