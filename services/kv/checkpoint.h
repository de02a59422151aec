/* The digest of a slice of the state, for CHECKPOINT entries (R5.1). */
#ifndef SERVICES_KV_CHECKPOINT_H
#define SERVICES_KV_CHECKPOINT_H

#include "services/kv/state.h"

/* A slice ends after so many keys or so many bytes of keys and values. */
#define KV_SLICE_KEYS 4096
#define KV_SLICE_BYTES (1024 * 1024)

/* Writes KV_CHECKPOINT_BYTES about the slice at the cursor, then moves the cursor behind it;
 * from the last key it goes on at the first with the next call. The slice, in creation order, is
 * the same on every replica. */
void kv_checkpoint(struct kv_state *kv, struct svc_out *out);

#endif
