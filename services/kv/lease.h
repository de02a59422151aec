/* What a lease is in the store: an entry of KV_SPACE_LEASES, its expiry the lease's, its value
 * {u64 epoch, u64 seq of the entry that granted it, the owner's name}. */
#ifndef SERVICES_KV_LEASE_H
#define SERVICES_KV_LEASE_H

#include "base/buf.h"

struct kv_lease {
    uint64_t epoch;
    uint64_t seq;
    struct ts_bytes owner;
};

#define KV_LEASE_TOKEN 16

/* Of a value that is KV_LEASE_TOKEN bytes long at least. Borrows. */
struct kv_lease kv_lease_of(struct ts_bytes value);

#endif
