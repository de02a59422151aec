/* What a transport node keeps over its agent's end: the highest epoch, and the last table. Two
 * files in a directory of their own, apart, so that an epoch is durable within a few writes:
 *
 *     epoch   a slot file (base/io/slot_file.h): u8 version, u64 epoch, u8 lost
 *     table   8 bytes of magic, then records: u32 length of the body, u32 crc32c of it, body
 *             body: u8 1, u32 count, that many items as in south_msg.h (one that goes is a change)
 *                   u8 2, u64 epoch, u64 generation, the digest: the table is this, now
 *
 * A table is written as a whole at first, then changes are appended; when these have become more
 * than the table, it is written anew. What is read must have the digest that it says: of a file
 * that is damaged, or whose end was torn off, the last table that does is given, or none. That
 * costs a sync, no more. When the epoch is damaged, or gone while there is a table, it is *lost*:
 * what is known then is a lower bound. It stays lost, over any number of starts, until one is
 * stored.
 *
 * Everything blocks. The two kinds of writes may run on two threads; each by one at a time. */
#ifndef SERVICES_AGENT_IO_STORE_H
#define SERVICES_AGENT_IO_STORE_H

#include "base/io/files.h"
#include "services/agent/core.h"

struct agent_store;

/* What was wrong with the files, for people; "" = nothing. */
struct agent_store_news {
    char epoch[TS_WHY_MAX];
    char table[TS_WHY_MAX];
};

/* Makes the directory when it is not there, and keeps others out of it. Gives what it has: the
 * table is the caller's. TS_ERR_BUSY: another process has it. TS_ERR_IO, TS_ERR_NOSPACE,
 * TS_ERR_SYSTEM, TS_ERR_VERSION. Damage is none: see `news`. */
enum ts_err agent_store_open(struct agent_store **out, const char *dir, struct agent_stored *found,
                             struct agent_store_news *news, struct ts_why *why) TS_MUST_USE;
/* NULL is allowed. */
void agent_store_close(struct agent_store *s);

/* Durable when TS_OK. After an error of the epoch's file it is refused until the store is opened
 * anew (one failed sync ends trust in it). */
enum ts_err agent_store_epoch(struct agent_store *s, struct ts_epoch epoch,
                              struct ts_why *why) TS_MUST_USE;
/* Durable when TS_OK; `was` is the table that was stored last. After an error the next one is
 * written as a whole, to another file. */
enum ts_err agent_store_table(struct agent_store *s, const struct netctl_tree *was,
                              const struct netctl_tree *is, struct ts_epoch epoch,
                              struct ts_seq gen, struct ts_why *why) TS_MUST_USE;

#endif
