#include "tests/lincheck/io/json.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lincheck/io/command.h"

/* What one line is taken apart into. */
struct reader {
    struct lin *l;
    const char *name;
    uint32_t line;
    char *error;

    /* buffers, used again for every line */
    struct ts_bytes *words; /* owned: words_max of the op, its keys, its values, its result */
    size_t words_max;
    uint8_t *spelled; /* owned: bytes of {"hex": …} and of numbers, no more than the line's */
    size_t spelled_max;
    size_t spelled_used;
};

__attribute__((format(printf, 3, 4))) static enum ts_err wrong(struct reader *r, enum ts_err err,
                                                               const char *format, ...)
{
    char text[LIN_JSON_ERROR_MAX];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    snprintf(r->error, LIN_JSON_ERROR_MAX, "%.200s:%" PRIu32 ": %.280s", r->name, r->line, text);
    /* A JSON error quotes the text near it. */
    for (char *c = r->error; *c != '\0'; c++) {
        *c = (unsigned char)*c < ' ' || *c == 127 ? '?' : *c;
    }
    return err;
}

/* ---- bytes ---- */

static int digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool read_hex(struct reader *r, const json_t *text, struct ts_bytes *out)
{
    const char *s = json_string_value(text);
    size_t n = json_string_length(text);
    if (s == NULL || n % 2 != 0 || r->spelled_used + n / 2 + 1 > r->spelled_max) {
        return false;
    }
    *out = (struct ts_bytes){r->spelled + r->spelled_used, n / 2};
    for (size_t i = 0; i < n; i += 2) {
        if (digit(s[i]) < 0 || digit(s[i + 1]) < 0) {
            return false;
        }
        r->spelled[r->spelled_used++] = (uint8_t)(digit(s[i]) << 4 | digit(s[i + 1]));
    }
    r->spelled_used++; /* so that an empty one, too, has an address of its own */
    return true;
}

/* A string, {"hex": …} or, as a word of a command, a number. */
static bool read_bytes(struct reader *r, const json_t *json, bool number, struct ts_bytes *out)
{
    if (json_is_string(json)) {
        *out =
            (struct ts_bytes){(const uint8_t *)json_string_value(json), json_string_length(json)};
        return true;
    }
    if (json_is_object(json) && json_object_size(json) == 1) {
        return read_hex(r, json_object_get(json, "hex"), out);
    }
    if (!number || !json_is_integer(json)) {
        return false;
    }
    char text[24];
    int n = snprintf(text, sizeof text, "%" JSON_INTEGER_FORMAT, json_integer_value(json));
    if (r->spelled_used + (size_t)n > r->spelled_max) {
        return false;
    }
    *out = (struct ts_bytes){r->spelled + r->spelled_used, (size_t)n};
    memcpy(r->spelled + r->spelled_used, text, (size_t)n);
    r->spelled_used += (size_t)n;
    return true;
}

/* ---- fields ---- */

static enum ts_err make_room(struct reader *r, size_t words, size_t line_bytes)
{
    if (words > r->words_max) {
        struct ts_bytes *more = reallocarray(r->words, words, 4 * sizeof *more);
        if (more == NULL) {
            return wrong(r, TS_ERR_NOMEM, "no memory for an operation of %zu words", words);
        }
        r->words = more;
        r->words_max = words;
    }
    /* What is spelled is shorter than its spelling in the line, its end mark counted. */
    if (line_bytes > r->spelled_max) {
        uint8_t *more = realloc(r->spelled, line_bytes);
        if (more == NULL) {
            return wrong(r, TS_ERR_NOMEM, "no memory for a line of %zu bytes", line_bytes);
        }
        r->spelled = more;
        r->spelled_max = line_bytes;
    }
    r->spelled_used = 0;
    return TS_OK;
}

static enum ts_err read_command(struct reader *r, const json_t *json, size_t line_bytes,
                                struct lin_op *op)
{
    char clause[LIN_COMMAND_ERROR_MAX];
    size_t n = json_array_size(json);
    if (!json_is_array(json)) {
        return wrong(r, TS_ERR_MALFORMED, "\"op\" wants the command's words in an array");
    }
    enum ts_err err = make_room(r, n > 0 ? n : 1, line_bytes);
    if (err != TS_OK) {
        return err;
    }
    for (size_t i = 0; i < n; i++) {
        if (!read_bytes(r, json_array_get(json, i), true, &r->words[i])) {
            return wrong(r, TS_ERR_MALFORMED,
                         "word %zu of \"op\" is neither a string nor a number "
                         "nor {\"hex\":…} with pairs of digits 0-9 a-f",
                         i + 1);
        }
    }
    if (lin_command_read(r->words, n, r->words + r->words_max, r->words + 2 * r->words_max, op,
                         clause) != TS_OK) {
        return wrong(r, TS_ERR_MALFORMED, "%s", clause);
    }
    return TS_OK;
}

static enum ts_err read_time(struct reader *r, const json_t *json, const char *field, uint64_t *out)
{
    if (!json_is_integer(json) || json_integer_value(json) < 0) {
        return wrong(r, TS_ERR_MALFORMED, "\"%s\" wants a whole number from 0 on", field);
    }
    *out = (uint64_t)json_integer_value(json);
    return TS_OK;
}

static bool answers_ok(const struct lin_op *op)
{
    return (op->command == LIN_SET && (op->flags & LIN_SET_GET) == 0) || op->command == LIN_MSET ||
           op->command == LIN_FLUSHALL;
}

static enum ts_err read_array(struct reader *r, const json_t *json, struct lin_op *op)
{
    struct ts_bytes *array = r->words + 3 * r->words_max;
    if (op->command != LIN_MGET || json_array_size(json) != op->key_count) {
        return wrong(r, TS_ERR_MALFORMED, "an array is the answer to an MGET of as many keys");
    }
    for (size_t i = 0; i < op->key_count; i++) {
        const json_t *element = json_array_get(json, i);
        array[i] = (struct ts_bytes){0};
        if (!json_is_null(element) && !read_bytes(r, element, false, &array[i])) {
            return wrong(r, TS_ERR_MALFORMED,
                         "element %zu of the result is neither a string nor {\"hex\":…} nor null",
                         i + 1);
        }
    }
    op->result = (struct lin_result){.kind = LIN_RESULT_ARRAY, .array = array};
    return TS_OK;
}

static enum ts_err read_result(struct reader *r, const json_t *json, struct lin_op *op)
{
    struct ts_bytes b;
    if (json == NULL) {
        return wrong(r, TS_ERR_MALFORMED,
                     "an answered operation wants its \"result\"; without an "
                     "answer its \"outcome\" is \"unknown\"");
    }
    if (json_is_null(json)) {
        op->result.kind = LIN_RESULT_NIL;
        return TS_OK;
    }
    if (json_is_integer(json)) {
        op->result = (struct lin_result){.kind = LIN_RESULT_INTEGER,
                                         .integer = (int64_t)json_integer_value(json)};
        return TS_OK;
    }
    if (json_is_array(json)) {
        return read_array(r, json, op);
    }
    if (json_is_object(json) && json_object_get(json, "error") != NULL) {
        if (op->command != LIN_INCRBY) {
            return wrong(r, TS_ERR_MALFORMED,
                         "an error says that nothing was executed: the "
                         "\"outcome\" is \"failed\", without a result");
        }
        op->result.kind = LIN_RESULT_ERROR;
        return TS_OK;
    }
    if (!read_bytes(r, json, false, &b)) {
        return wrong(r, TS_ERR_MALFORMED, "\"result\" is none that a command can have");
    }
    bool ok = answers_ok(op) && b.len == 2 && memcmp(b.data, "OK", 2) == 0;
    op->result = (struct lin_result){.kind = ok ? LIN_RESULT_OK : LIN_RESULT_BYTES, .bytes = b};
    return TS_OK;
}

static enum ts_err read_outcome(struct reader *r, const json_t *line, struct lin_op *op)
{
    const json_t *json = json_object_get(line, "outcome");
    const json_t *end = json_object_get(line, "end");
    const char *text = json_string_value(json);
    bool ended = end != NULL && !json_is_null(end);
    if (json == NULL) {
        text = ended ? "ok" : "unknown";
    }
    if (text == NULL ||
        (strcmp(text, "ok") != 0 && strcmp(text, "unknown") != 0 && strcmp(text, "failed") != 0)) {
        return wrong(r, TS_ERR_MALFORMED, "\"outcome\" wants \"ok\", \"unknown\" or \"failed\"");
    }
    op->outcome = text[0] == 'o' ? LIN_ANSWERED : text[0] == 'u' ? LIN_UNKNOWN : LIN_FAILED;
    op->end = op->outcome == LIN_FAILED ? op->begin : LIN_NEVER;
    if (ended && op->outcome != LIN_UNKNOWN) {
        return read_time(r, end, "end", &op->end);
    }
    return TS_OK;
}

static enum ts_err check_fields(struct reader *r, json_t *line)
{
    static const char *const fields[] = {"client", "op", "begin", "end", "result", "outcome"};
    const char *name;
    json_t *value;
    json_object_foreach(line, name, value)
    {
        bool known = false;
        for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
            known = known || strcmp(name, fields[i]) == 0;
        }
        if (!known) {
            return wrong(r, TS_ERR_MALFORMED,
                         "there is no field \"%.40s\"; want client, op, begin, "
                         "end, result, outcome",
                         name);
        }
    }
    return TS_OK;
}

static enum ts_err read_operation(struct reader *r, json_t *line, size_t line_bytes)
{
    struct lin_op op = {.place = r->line};
    const json_t *client = json_object_get(line, "client");
    if (!json_is_object(line)) {
        return wrong(r, TS_ERR_MALFORMED, "want one JSON object a line");
    }
    enum ts_err err = check_fields(r, line);
    if (err == TS_OK && client != NULL &&
        (!json_is_integer(client) || json_integer_value(client) < 0 ||
         json_integer_value(client) > UINT32_MAX)) {
        err = wrong(r, TS_ERR_MALFORMED, "\"client\" wants a number of at most 32 bits");
    }
    op.client = (uint32_t)json_integer_value(client);
    err = err != TS_OK ? err : read_command(r, json_object_get(line, "op"), line_bytes, &op);
    err = err != TS_OK ? err : read_time(r, json_object_get(line, "begin"), "begin", &op.begin);
    err = err != TS_OK ? err : read_outcome(r, line, &op);
    if (err == TS_OK && op.outcome == LIN_ANSWERED) {
        err = read_result(r, json_object_get(line, "result"), &op);
    } else if (err == TS_OK && json_object_get(line, "result") != NULL &&
               !json_is_null(json_object_get(line, "result"))) {
        err = wrong(r, TS_ERR_MALFORMED,
                    "an operation with a result was answered: its \"outcome\" is "
                    "\"ok\", and it has an \"end\"");
    }
    if (err != TS_OK) {
        return err;
    }
    if (lin_op_wrong(&op) != NULL) {
        return wrong(r, TS_ERR_MALFORMED, "%s", lin_op_wrong(&op));
    }
    err = lin_add(r->l, &op);
    return err == TS_OK ? err
                        : wrong(r, err,
                                "there is no room for more operations: give more memory, or "
                                "check the history in pieces of different keys");
}

/* ---- lines ---- */

static enum ts_err read_line(struct reader *r, const char *text, size_t len)
{
    size_t from = 0;
    while (from < len && (text[from] == ' ' || text[from] == '\t')) {
        from++;
    }
    while (len > from && (text[len - 1] == '\n' || text[len - 1] == '\r' || text[len - 1] == ' ')) {
        len--;
    }
    if (from == len || text[from] == '#') {
        return TS_OK;
    }
    if (len - from > LIN_JSON_LINE_MAX) {
        return wrong(r, TS_ERR_MALFORMED, "the line is longer than %zu bytes", LIN_JSON_LINE_MAX);
    }
    json_error_t why;
    json_t *line =
        json_loadb(text + from, len - from, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &why);
    if (line == NULL) {
        return wrong(r, TS_ERR_MALFORMED, "no JSON at column %d: %s", why.column, why.text);
    }
    enum ts_err err = read_operation(r, line, len - from);
    json_decref(line);
    return err;
}

static void close_reader(struct reader *r)
{
    free(r->words);
    free(r->spelled);
}

enum ts_err lin_json_read(struct lin *l, const char *name, FILE *in, char error[LIN_JSON_ERROR_MAX])
{
    struct reader r = {.l = l, .name = name, .error = error};
    char *text = NULL;
    size_t cap = 0;
    enum ts_err err = TS_OK;
    ssize_t n;
    error[0] = '\0';
    while (err == TS_OK && (n = getline(&text, &cap, in)) >= 0) {
        r.line++;
        err = read_line(&r, text, (size_t)n);
    }
    if (err == TS_OK && ferror(in) != 0) {
        err = wrong(&r, TS_ERR_IO, "reading failed: %s", strerror(errno));
    }
    free(text);
    close_reader(&r);
    return err;
}

enum ts_err lin_json_text(struct lin *l, const char *name, struct ts_bytes text,
                          char error[LIN_JSON_ERROR_MAX])
{
    struct reader r = {.l = l, .name = name, .error = error};
    enum ts_err err = TS_OK;
    error[0] = '\0';
    for (size_t at = 0; err == TS_OK && at < text.len;) {
        const uint8_t *end = memchr(text.data + at, '\n', text.len - at);
        size_t next = end == NULL ? text.len : (size_t)(end - text.data) + 1;
        r.line++;
        err = read_line(&r, (const char *)text.data + at, next - at);
        at = next;
    }
    close_reader(&r);
    return err;
}
