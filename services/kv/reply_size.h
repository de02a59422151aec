/* How long a command's answer may become, and how much it copies, before it is carried out: for
 * those who bound what they render and keep, and how long that takes. */
#ifndef SERVICES_KV_REPLY_SIZE_H
#define SERVICES_KV_REPLY_SIZE_H

#include "services/kv/commands.h"

/* Both in bytes, and 0 for a command whose answer holds no stored value or name. */
struct kv_reply_size {
    size_t estimate; /* as the applied state says, and `coming`; with what is copied in the state */
    size_t bound;    /* of the answer, whatever the state will be */
};

/* Of a request args[0..argc) of this command (its name first, its arity checked). `state` is of
 * kv_service; `coming` is the length of the longest value that may still be stored before it. */
struct kv_reply_size kv_reply_size(const void *state, const struct kv_command *command,
                                   const struct ts_bytes *args, size_t argc, size_t coming);
/* The most that a transaction's answer can have. */
size_t kv_reply_size_of_transaction(const void *state);

#endif
