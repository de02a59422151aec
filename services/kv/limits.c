#include "services/kv/limits.h"

#include <stddef.h>
#include <string.h>

#include "services/kv/kv.h"
#include "services/limit_words.h"

/* Keeps an error within any reply. */
#define LIMIT_LOW 16

static const struct limit_word limit_words[] = {
    {"key-max", offsetof(struct kv_limits, key_max), 1, KV_LIMIT_HIGH},
    {"value-max", offsetof(struct kv_limits, value_max), LIMIT_LOW, KV_LIMIT_HIGH},
    {"reply-max", offsetof(struct kv_limits, reply_max), 1024, KV_LIMIT_HIGH},
    {"memory-max", offsetof(struct kv_limits, memory_max), 0, INT64_MAX},
    {"hash-seed", offsetof(struct kv_limits, hash_seed), 0, UINT64_MAX},
    {"piece-bytes", offsetof(struct kv_limits, piece_bytes), 1, SVC_PIECE_BYTES},
};

static bool take_word(const char *word, size_t len, struct kv_limits *out)
{
    size_t count = sizeof(limit_words) / sizeof(limit_words[0]);
    return limit_word_take(limit_words, count, word, len, out) == LIMIT_TAKEN;
}

bool kv_limits_parse(const char *text, struct kv_limits *out)
{
    struct kv_limits limits = {
        .key_max = KV_KEY_MAX_DEFAULT,
        .value_max = KV_VALUE_MAX_DEFAULT,
        .reply_max = KV_REPLY_MAX_DEFAULT,
        .memory_max = KV_MEMORY_MAX_DEFAULT,
        .piece_bytes = SVC_PIECE_BYTES,
    };
    for (const char *at = text; at != NULL && *at != '\0';) {
        size_t blanks = strspn(at, LIMIT_BLANKS);
        size_t len = strcspn(at + blanks, LIMIT_BLANKS);
        at += blanks;
        if (len > 0 && !take_word(at, len, &limits)) {
            return false;
        }
        at += len;
    }
    /* SET with GET must be able to answer: an error would say that it was not executed. */
    if (limits.reply_max < limits.value_max + 64) {
        return false;
    }
    *out = limits;
    return true;
}
