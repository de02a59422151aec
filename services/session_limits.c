#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "services/session_state.h"

#define BLANKS " \t\n"

struct limit_word {
    const char *name;
    size_t at; /* offset in struct session_limits */
    uint64_t low;
    uint64_t high;
};

static const struct limit_word limit_words[] = {
    {"session-max", offsetof(struct session_limits, max), 1, SESSION_SLOTS_MAX},
    {"session-idle-ms", offsetof(struct session_limits, idle_ms), 1, UINT32_MAX},
    {"session-window", offsetof(struct session_limits, window), 1, SESSION_WINDOW_MAX},
    {"session-bytes", offsetof(struct session_limits, bytes), 1, UINT32_MAX},
    {"session-total-bytes", offsetof(struct session_limits, total_bytes), 1, INT64_MAX},
    {"session-piece-bytes", offsetof(struct session_limits, piece_bytes), 1, SVC_PIECE_BYTES},
};

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

enum word { WORD_MINE, WORD_WRONG, WORD_OTHER };

static enum word take_word(const char *word, size_t len, struct session_limits *out)
{
    for (size_t i = 0; i < sizeof(limit_words) / sizeof(limit_words[0]); i++) {
        const struct limit_word *w = &limit_words[i];
        size_t n = strlen(w->name);
        if (len <= n || memcmp(word, w->name, n) != 0 || word[n] != '=') {
            continue;
        }
        uint64_t v = 0;
        if (!parse_u64(word + n + 1, len - n - 1, &v) || v < w->low || v > w->high) {
            return WORD_WRONG;
        }
        memcpy((uint8_t *)out + w->at, &v, sizeof(v));
        return WORD_MINE;
    }
    return WORD_OTHER;
}

bool session_limits_parse(const char *text, struct session_limits *out, char **others)
{
    *out = (struct session_limits){
        .max = SESSION_COUNT_DEFAULT,
        .idle_ms = SESSION_IDLE_MS_DEFAULT,
        .window = SESSION_WINDOW_MAX,
        .bytes = SESSION_BYTES_DEFAULT,
        .total_bytes = SESSION_TOTAL_BYTES_DEFAULT,
        .piece_bytes = SVC_PIECE_BYTES,
    };
    *others = NULL;
    if (text == NULL) {
        return true;
    }
    char *left = malloc(strlen(text) + 2);
    size_t used = 0;
    if (left == NULL) {
        return false;
    }
    for (const char *at = text; *at != '\0';) {
        at += strspn(at, BLANKS);
        size_t len = strcspn(at, BLANKS);
        enum word word = len > 0 ? take_word(at, len, out) : WORD_MINE;
        if (word == WORD_WRONG) {
            free(left);
            return false;
        }
        if (word == WORD_OTHER) {
            if (used > 0) {
                left[used++] = ' ';
            }
            memcpy(left + used, at, len);
            used += len;
        }
        at += len;
    }
    left[used] = '\0';
    if (used == 0) { /* there are services that take none */
        free(left);
        left = NULL;
    }
    *others = left;
    return true;
}
