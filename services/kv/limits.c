#include "services/kv/limits.h"

#include <stddef.h>
#include <string.h>

#include "services/kv/kv.h"

/* Keeps an error within any reply. */
#define LIMIT_LOW 16

struct limit_word {
    const char *name;
    size_t at; /* offset in struct kv_limits */
    uint64_t low;
    uint64_t high;
};

static const struct limit_word limit_words[] = {
    {"key-max", offsetof(struct kv_limits, key_max), 1, KV_LIMIT_HIGH},
    {"value-max", offsetof(struct kv_limits, value_max), LIMIT_LOW, KV_LIMIT_HIGH},
    {"reply-max", offsetof(struct kv_limits, reply_max), 1024, KV_LIMIT_HIGH},
    {"memory-max", offsetof(struct kv_limits, memory_max), 0, INT64_MAX},
    {"hash-seed", offsetof(struct kv_limits, hash_seed), 0, UINT64_MAX},
    {"piece-bytes", offsetof(struct kv_limits, piece_bytes), 1, SVC_PIECE_BYTES},
};

/* Plain decimal digits that fit into 64 bits. */
static bool parse_u64(const char *text, size_t len, uint64_t *out)
{
    uint64_t v = 0;
    for (size_t i = 0; i < len; i++) {
        uint64_t digit = (uint64_t)(unsigned char)text[i] - '0';
        if (digit > 9 || v > (UINT64_MAX - digit) / 10) {
            return false;
        }
        v = v * 10 + digit;
    }
    *out = v;
    return len > 0;
}

static bool take_word(const char *word, size_t len, struct kv_limits *out)
{
    for (size_t i = 0; i < sizeof(limit_words) / sizeof(limit_words[0]); i++) {
        const struct limit_word *w = &limit_words[i];
        size_t n = strlen(w->name);
        if (len <= n || memcmp(word, w->name, n) != 0 || word[n] != '=') {
            continue;
        }
        uint64_t v = 0;
        if (!parse_u64(word + n + 1, len - n - 1, &v) || v < w->low || v > w->high) {
            return false;
        }
        memcpy((uint8_t *)out + w->at, &v, sizeof(v));
        return true;
    }
    return false;
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
        size_t blanks = strspn(at, " \t\n");
        size_t len = strcspn(at + blanks, " \t\n");
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
