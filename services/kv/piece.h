/* The pieces of a kv walk: a disk and wire format.
 *
 *   piece:  u8 format (1) · u8 flags (1 = the last piece) · u32 number, from 0 on ·
 *           in piece 0 the head · entries, up to the piece's end
 *   head:   u64 version: seq of the last applied entry
 *           u64 time, ns · u64 expired · u64 hits · u64 misses
 *           u64 next creation number
 *           u64 creation number at which the next checkpoint slice begins, 0 = the first
 *           u64 entries · u64 logical bytes · u64 entries with an expiry
 *           u32 number of slots, then ascending: u32 slot · u64 version of the last removal
 *   entry:  u64 creation number, ascending over all pieces
 *           u64 expiry, ms, 0 = never · u64 version
 *           u8 space: 0 = key, 1 = lease (lease.h)
 *           u32 bytes of the key · u32 bytes of the value · key · value
 *
 * A piece ends before the entry with which it would exceed piece-bytes (kv.h), unless that is its
 * only one or stands right behind the head. Slots that no key ever left are not there. */
#ifndef SERVICES_KV_PIECE_H
#define SERVICES_KV_PIECE_H

#include "services/kv/store.h"
#include "services/svc.h"

#define KV_PIECE_FORMAT 1
#define KV_PIECE_LAST 1
#define KV_PIECE_START (1 + 1 + 4)
#define KV_PIECE_HEAD (10 * 8 + 4)
#define KV_PIECE_SLOT (4 + 8)
#define KV_PIECE_ENTRY (3 * 8 + 1 + 2 * 4)

/* The state apart from its entries. */
struct kv_head {
    uint64_t version;
    struct ts_ltime time;
    uint64_t expired;
    uint64_t hits;
    uint64_t misses;
    uint64_t next_serial;
    uint64_t cursor;
    uint64_t keys;
    uint64_t memory;
    uint64_t expiries;
    uint64_t gone[KV_GONE_SLOTS];
};

struct kv_piece_start {
    bool last;
    uint32_t number;
};

/* An entry as it stands in a piece; borrows its bytes. */
struct kv_piece_entry {
    uint64_t serial;
    uint64_t expire_ms;
    uint64_t version;
    enum kv_space space;
    struct ts_bytes key;
    struct ts_bytes value;
};

/* Writers: the sink has room (svc_walk). The start's `last` may be set later (kv_piece_mark_last).
 */
void kv_piece_put_start(struct svc_out *out, uint32_t number);
/* `start` is where the piece begins in `out`. */
void kv_piece_mark_last(struct svc_out *out, size_t start);
void kv_piece_put_head(struct svc_out *out, const struct kv_head *head);
void kv_piece_put_entry(struct svc_out *out, const struct kv_entry *e);
/* Bytes of the entry in a piece. */
size_t kv_piece_entry_size(const struct kv_entry *e);

/* Readers check what a field alone can tell. TS_ERR_MALFORMED, also for bytes that are missing;
 * TS_ERR_VERSION: another format. */
enum ts_err kv_piece_get_start(struct ts_reader *r, struct kv_piece_start *out) TS_MUST_USE;
enum ts_err kv_piece_get_head(struct ts_reader *r, struct kv_head *out) TS_MUST_USE;
enum ts_err kv_piece_get_entry(struct ts_reader *r, struct kv_piece_entry *out) TS_MUST_USE;

#endif
