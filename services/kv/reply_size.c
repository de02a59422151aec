#include "services/kv/reply_size.h"

#include "services/kv/state.h"

/* The length prefix and line ends of one value. */
#define VALUE_FRAME 32

/* How many keys' values the answer holds; their names stand behind the command's. */
static size_t values_in_reply(const struct kv_command *command, size_t argc)
{
    switch (command->id) {
    case KV_MGET:
        return argc - 1;
    case KV_GET:
    case KV_GETEX:
    case KV_GETDEL:
    case KV_GETSET:
    case KV_GETRANGE:
    case KV_SUBSTR:
        return 1;
    case KV_SET:
        return argc > 3 ? 1 : 0;
    default:
        return 0;
    }
}

/* An answer of key names: at most all of them. */
static struct kv_reply_size names_in_reply(const struct kv_state *kv)
{
    uint64_t all = kv->store.keys * VALUE_FRAME + kv->store.key_bytes;
    return (struct kv_reply_size){
        .estimate = (size_t)(all < kv->limits.reply_max ? all : kv->limits.reply_max),
        .bound = (size_t)kv->limits.reply_max};
}

/* What a command writes of the state's values beyond the words that it came with. */
static size_t bytes_moved(const struct kv_state *kv, const struct kv_command *command,
                          const struct ts_bytes *args, size_t argc, size_t coming)
{
    int64_t at = 0;
    switch (command->id) {
    case KV_SETRANGE:
    case KV_SETBIT:
        if (!resp_parse_i64(args[2], &at) || at < 0) {
            return 0;
        }
        at = command->id == KV_SETBIT ? at / 8 : at;
        return (uint64_t)at < kv->limits.value_max ? (size_t)at : 0;
    case KV_APPEND:
    case KV_GETEX:
    case KV_EXPIRE:
    case KV_PEXPIRE:
    case KV_EXPIREAT:
    case KV_PEXPIREAT:
    case KV_PERSIST:
        if (!kv->store.keep.active) {
            return 0; /* no walk wants it as it was */
        }
        break;
    case KV_COPY:
    case KV_RENAME:
    case KV_RENAMENX:
        break;
    default:
        return 0;
    }
    const struct kv_entry *e = argc > 1 ? kv_store_find(&kv->store, args[1]) : NULL;
    size_t present = e != NULL ? e->value_len : 0;
    return present < coming ? coming : present;
}

struct kv_reply_size kv_reply_size(const void *state, const struct kv_command *command,
                                   const struct ts_bytes *args, size_t argc, size_t coming)
{
    const struct kv_state *kv = state;
    struct kv_reply_size size = {0, 0};
    if (command->id == KV_KEYS || command->id == KV_SCAN) {
        return names_in_reply(kv);
    }
    if (command->id == KV_RANDOMKEY || command->id == KV_LEASE_GET) {
        size.estimate = 4 * VALUE_FRAME; /* a lease's owner is no longer than a key */
        size.bound = size.estimate + (size_t)kv->limits.key_max;
        return size;
    }
    if (command->id == KV_LCS) {
        size.bound =
            KV_LCS_REPLY < kv->limits.reply_max ? KV_LCS_REPLY : (size_t)kv->limits.reply_max;
        size.estimate = size.bound;
        return size;
    }
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
    size.estimate += bytes_moved(kv, command, args, argc, coming);
    return size;
}

size_t kv_reply_size_of_transaction(const void *state)
{
    const struct kv_state *kv = state;
    return (size_t)kv->limits.reply_max * KV_EXEC_REPLIES;
}
