#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "services/limit_words.h"
#include "services/session_state.h"

static const struct limit_word limit_words[] = {
    {"session-max", offsetof(struct session_limits, max), 1, SESSION_SLOTS_MAX},
    {"session-idle-ms", offsetof(struct session_limits, idle_ms), 1, UINT32_MAX},
    {"session-yield-ms", offsetof(struct session_limits, yield_ms), 1, UINT32_MAX},
    {"session-window", offsetof(struct session_limits, window), 1, SESSION_WINDOW_MAX},
    {"session-bytes", offsetof(struct session_limits, bytes), 1, UINT32_MAX},
    {"session-total-bytes", offsetof(struct session_limits, total_bytes), 1, INT64_MAX},
    {"session-piece-bytes", offsetof(struct session_limits, piece_bytes), 1, SVC_PIECE_BYTES},
};

static enum limit_result take_word(const char *word, size_t len, struct session_limits *out)
{
    size_t count = sizeof(limit_words) / sizeof(limit_words[0]);
    return limit_word_take(limit_words, count, word, len, out);
}

bool session_limits_parse(const char *text, struct session_limits *out, char **others)
{
    *out = (struct session_limits){
        .max = SESSION_COUNT_DEFAULT,
        .idle_ms = SESSION_IDLE_MS_DEFAULT,
        .yield_ms = SESSION_YIELD_MS_DEFAULT,
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
        at += strspn(at, LIMIT_BLANKS);
        size_t len = strcspn(at, LIMIT_BLANKS);
        enum limit_result word = len > 0 ? take_word(at, len, out) : LIMIT_TAKEN;
        if (word == LIMIT_WRONG) {
            free(left);
            return false;
        }
        if (word == LIMIT_OTHER) {
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
