#include "services/limit_words.h"

#include <stdbool.h>
#include <string.h>

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

enum limit_result limit_word_take(const struct limit_word *words, size_t count, const char *word,
                                  size_t len, void *limits)
{
    for (size_t i = 0; i < count; i++) {
        const struct limit_word *w = &words[i];
        size_t n = strlen(w->name);
        if (len <= n || memcmp(word, w->name, n) != 0 || word[n] != '=') {
            continue;
        }
        uint64_t v = 0;
        if (!parse_u64(word + n + 1, len - n - 1, &v) || v < w->low || v > w->high) {
            return LIMIT_WRONG;
        }
        memcpy((uint8_t *)limits + w->at, &v, sizeof(v));
        return LIMIT_TAKEN;
    }
    return LIMIT_OTHER;
}
