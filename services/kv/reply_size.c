#include "services/kv/reply_size.h"

#include "services/kv/state.h"

/* The length prefix and line ends of one value. */
#define VALUE_FRAME 32

/* How many keys' values the answer holds; their names stand behind the command's. */
static size_t values_in_reply(const struct kv_command *command, size_t argc)
{
    if (command->id == KV_MGET) {
        return argc - 1;
    }
    return command->id == KV_GET || (command->id == KV_SET && argc > 3) ? 1 : 0;
}

struct kv_reply_size kv_reply_size(const void *state, const struct kv_command *command,
                                   const struct ts_bytes *args, size_t argc, size_t coming)
{
    const struct kv_state *kv = state;
    struct kv_reply_size size = {0, 0};
    size_t n = values_in_reply(command, argc);
    for (size_t i = 0; i < n && size.estimate < kv->limits.reply_max; i++) {
        const struct kv_entry *e = kv_store_find(&kv->store, args[1 + i]);
        size_t present = e != NULL ? e->value_len : 0;
        size.estimate += VALUE_FRAME + (present < coming ? coming : present);
        size.bound += VALUE_FRAME + kv->limits.value_max;
    }
    if (size.bound > kv->limits.reply_max) {
        size.bound = kv->limits.reply_max;
    }
    if (size.estimate > size.bound) {
        size.estimate = size.bound;
    }
    return size;
}
