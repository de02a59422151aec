/* lock: the example of docs/SERVICES.md. 64 locks, each held by one owner for a while; whoever gets
 * one also gets a fencing token, higher than all before, to show to what the lock protects (R2.7).
 *
 *   request: u8 lock · u64 owner, not 0 · u32 ms: take it, or keep it, for so long; 0 gives it back
 *   answer:  u8 1 = done, 0 = refused · u64 holder (0: nobody) · u64 epoch, u64 seq: its token
 *
 * The same request as a read asks who holds the lock, and whether this owner could have it. */
#ifndef SERVICES_EXAMPLE_LOCK_H
#define SERVICES_EXAMPLE_LOCK_H

#include "services/svc.h"

#define LOCK_COUNT 64
#define LOCK_REQUEST_BYTES (1 + 8 + 4)
#define LOCK_ANSWER_BYTES (1 + 3 * 8)

/* Lets limits be. A sink has room for LOCK_ANSWER_BYTES. */
extern const struct svc lock_service;

#endif
