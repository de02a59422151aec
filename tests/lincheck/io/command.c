#include "tests/lincheck/io/command.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* How the words behind the name are read. */
enum form {
    FORM_KEY,         /* key */
    FORM_KEYS,        /* key … */
    FORM_KEY_VALUE,   /* key value */
    FORM_KEYS_VALUES, /* key value … */
    FORM_SET,         /* key value [NX|XX] [GET] [KEEPTTL] */
    FORM_STEP,        /* key, and a step of one */
    FORM_KEY_STEP,    /* key step */
    FORM_FLUSH,       /* [ASYNC|SYNC] */
};

struct shape {
    const char *name;
    enum lin_command command;
    enum form form;
    int sign; /* of a step */
    const char *usage;
};

static const struct shape shapes[] = {
    {"GET", LIN_GET, FORM_KEY, 0, "GET key"},
    {"SET", LIN_SET, FORM_SET, 0, "SET key value [NX|XX] [GET] [KEEPTTL]"},
    {"DEL", LIN_DEL, FORM_KEYS, 0, "DEL key …"},
    {"EXISTS", LIN_EXISTS, FORM_KEYS, 0, "EXISTS key …"},
    {"INCR", LIN_INCRBY, FORM_STEP, 1, "INCR key"},
    {"DECR", LIN_INCRBY, FORM_STEP, -1, "DECR key"},
    {"INCRBY", LIN_INCRBY, FORM_KEY_STEP, 1, "INCRBY key number"},
    {"DECRBY", LIN_INCRBY, FORM_KEY_STEP, -1, "DECRBY key number"},
    {"APPEND", LIN_APPEND, FORM_KEY_VALUE, 0, "APPEND key value"},
    {"STRLEN", LIN_STRLEN, FORM_KEY, 0, "STRLEN key"},
    {"MGET", LIN_MGET, FORM_KEYS, 0, "MGET key …"},
    {"MSET", LIN_MSET, FORM_KEYS_VALUES, 0, "MSET key value …"},
    {"FLUSHALL", LIN_FLUSHALL, FORM_FLUSH, 0, "FLUSHALL [ASYNC|SYNC]"},
    {"FLUSHDB", LIN_FLUSHALL, FORM_FLUSH, 0, "FLUSHDB [ASYNC|SYNC]"},
};

#define SHAPES (sizeof shapes / sizeof shapes[0])

/* Commands of kv that no history can be checked for, and why. */
static const struct {
    const char *name;
    const char *why;
} unchecked[] = {
    {"EXPIRE", "when a key expires, a history does not tell"},
    {"PEXPIRE", "when a key expires, a history does not tell"},
    {"TTL", "it answers from the group's clock"},
    {"PTTL", "it answers from the group's clock"},
    {"PERSIST", "keys that expire are not checked"},
    {"TIME", "it answers from the group's clock"},
    {"DBSIZE", "it counts keys that the history may not name"},
};

__attribute__((format(printf, 2, 3))) static enum ts_err wrong(char error[LIN_COMMAND_ERROR_MAX],
                                                               const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(error, LIN_COMMAND_ERROR_MAX, format, args);
    va_end(args);
    return TS_ERR_MALFORMED;
}

static bool is_word(struct ts_bytes b, const char *word)
{
    return b.len == strlen(word) && strncasecmp((const char *)b.data, word, b.len) == 0;
}

/* A word for an error's text, cut and without bytes that would spoil a line. */
static void printable(struct ts_bytes b, char out[32])
{
    size_t n = b.len < 28 ? b.len : 28;
    for (size_t i = 0; i < n; i++) {
        out[i] = b.data[i] >= ' ' && b.data[i] <= '~' ? (char)b.data[i] : '?';
    }
    snprintf(out + n, 32 - n, "%s", b.len > n ? "..." : "");
}

static enum ts_err unknown_command(struct ts_bytes name, char error[LIN_COMMAND_ERROR_MAX])
{
    char text[32];
    for (size_t i = 0; i < sizeof unchecked / sizeof unchecked[0]; i++) {
        if (is_word(name, unchecked[i].name)) {
            return wrong(error, "%s cannot be checked: %s", unchecked[i].name, unchecked[i].why);
        }
    }
    printable(name, text);
    size_t n = (size_t)snprintf(error, LIN_COMMAND_ERROR_MAX,
                                "\"%s\" is no command that is checked; these are:", text);
    for (size_t i = 0; i < SHAPES && n < LIN_COMMAND_ERROR_MAX; i++) {
        n += (size_t)snprintf(error + n, LIN_COMMAND_ERROR_MAX - n, " %s", shapes[i].name);
    }
    return TS_ERR_MALFORMED;
}

/* A number as kv takes it: decimal, no sign but '-', no leading zero. */
static bool read_number(struct ts_bytes b, int64_t *out)
{
    char text[24];
    char again[24];
    if (b.len == 0 || b.len >= sizeof text) {
        return false;
    }
    memcpy(text, b.data, b.len);
    text[b.len] = '\0';
    *out =
        strtoll(text, NULL, 10); /* whatever it makes of the text: spelled again it must be equal */
    int n = snprintf(again, sizeof again, "%" PRId64, *out);
    return (size_t)n == b.len && memcmp(again, text, b.len) == 0;
}

static enum ts_err read_step(const struct shape *s, struct ts_bytes word, struct lin_op *op,
                             char error[LIN_COMMAND_ERROR_MAX])
{
    int64_t step;
    char text[32];
    if (!read_number(word, &step)) {
        printable(word, text);
        return wrong(error,
                     "\"%s\" is no 64-bit number: the service refuses that %s, whose outcome "
                     "is \"failed\"",
                     text, s->name);
    }
    if (s->sign < 0 && step == INT64_MIN) {
        return wrong(error, "the service refuses DECRBY of this number always: its outcome is "
                            "\"failed\"");
    }
    op->by = s->sign * step;
    return TS_OK;
}

static enum ts_err read_set_options(const struct ts_bytes *words, size_t n, struct lin_op *op,
                                    char error[LIN_COMMAND_ERROR_MAX])
{
    static const char *const clocks[] = {"EX", "PX", "EXAT", "PXAT"};
    for (size_t i = 0; i < n; i++) {
        for (size_t c = 0; c < sizeof clocks / sizeof clocks[0]; c++) {
            if (is_word(words[i], clocks[c])) {
                return wrong(error,
                             "SET with %s cannot be checked: when a key expires, a history "
                             "does not tell",
                             clocks[c]);
            }
        }
        if (is_word(words[i], "NX")) {
            op->flags |= LIN_SET_NX;
        } else if (is_word(words[i], "XX")) {
            op->flags |= LIN_SET_XX;
        } else if (is_word(words[i], "GET")) {
            op->flags |= LIN_SET_GET;
        } else if (!is_word(words[i], "KEEPTTL")) { /* no key here ever has a time to live */
            char text[32];
            printable(words[i], text);
            return wrong(error, "SET has no option \"%s\"", text);
        }
    }
    return TS_OK;
}

/* Whether so many words behind the name are right. */
static bool count_fits(enum form form, size_t n)
{
    switch (form) {
    case FORM_KEY:
    case FORM_STEP:
        return n == 1;
    case FORM_KEYS:
        return n >= 1;
    case FORM_KEY_VALUE:
    case FORM_KEY_STEP:
        return n == 2;
    case FORM_KEYS_VALUES:
        return n >= 2 && n % 2 == 0;
    case FORM_SET:
        return n >= 2;
    case FORM_FLUSH:
        return n <= 1;
    }
    return false;
}

static void take_keys(const struct shape *s, const struct ts_bytes *words, size_t n,
                      struct ts_bytes *keys, struct ts_bytes *values, struct lin_op *op)
{
    size_t stride = s->form == FORM_KEYS_VALUES ? 2 : 1;
    size_t last = s->form == FORM_KEYS || s->form == FORM_KEYS_VALUES ? n : 1;
    for (size_t i = 0; i < last && s->form != FORM_FLUSH; i += stride) {
        keys[op->key_count] = words[i];
        if (n > i + 1) {
            values[op->key_count] = words[i + 1];
        }
        op->key_count++;
    }
    op->keys = keys;
    op->values = values;
}

enum ts_err lin_command_read(const struct ts_bytes *words, size_t n, struct ts_bytes *keys,
                             struct ts_bytes *values, struct lin_op *op,
                             char error[LIN_COMMAND_ERROR_MAX])
{
    const struct shape *s = NULL;
    for (size_t i = 0; i < SHAPES && n > 0; i++) {
        s = is_word(words[0], shapes[i].name) ? &shapes[i] : s;
    }
    if (n == 0) {
        return wrong(error, "it names no command");
    }
    if (s == NULL) {
        return unknown_command(words[0], error);
    }
    n--;
    words++;
    if (!count_fits(s->form, n)) {
        return wrong(error, "want %s", s->usage);
    }
    op->command = s->command;
    op->flags = 0;
    op->by = s->sign;
    op->key_count = 0;
    take_keys(s, words, n, keys, values, op);
    if (s->form == FORM_KEY_STEP) {
        return read_step(s, words[1], op, error);
    }
    if (s->form == FORM_SET) {
        return read_set_options(words + 2, n - 2, op, error);
    }
    if (s->form == FORM_FLUSH && n == 1 && !is_word(words[0], "ASYNC") &&
        !is_word(words[0], "SYNC")) {
        return wrong(error, "want %s", s->usage);
    }
    return TS_OK;
}
