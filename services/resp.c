#include "services/resp.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"

#define RESP_BULK_REDIS_MAX (512LL * 1024 * 1024)

struct resp_limits resp_limits_default(void)
{
    return (struct resp_limits){
        .args_max = RESP_ARGS_MAX_DEFAULT,
        .bulk_max = RESP_BULK_MAX_DEFAULT,
        .inline_max = RESP_INLINE_MAX_DEFAULT,
        .request_max = RESP_REQUEST_MAX_DEFAULT,
    };
}

/* ---- numbers ---- */

bool resp_parse_i64(struct ts_bytes text, int64_t *out)
{
    size_t i = 0;
    bool negative = text.len > 0 && text.data[0] == '-';
    if (negative) {
        i = 1;
    }
    if (i == text.len || text.len - i > 19) {
        return false;
    }
    if (text.data[i] == '0') {
        /* Zero has one spelling; "-0" and "007" are texts, not numbers. */
        if (text.len != 1) {
            return false;
        }
        *out = 0;
        return true;
    }
    uint64_t v = 0; /* 19 digits always fit */
    for (; i < text.len; i++) {
        uint8_t c = text.data[i];
        if (c < '0' || c > '9') {
            return false;
        }
        v = v * 10 + (uint64_t)(c - '0');
    }
    uint64_t max = (uint64_t)INT64_MAX + (negative ? 1 : 0);
    if (v > max) {
        return false;
    }
    /* Negate as unsigned: the lowest number has no positive twin. */
    *out = negative ? (int64_t)(0 - v) : (int64_t)v;
    return true;
}

size_t resp_format_i64(char *out, int64_t v)
{
    char digits[RESP_I64_TEXT_MAX];
    size_t n = 0;
    uint64_t u = v < 0 ? 0 - (uint64_t)v : (uint64_t)v;
    do {
        digits[n++] = (char)('0' + u % 10);
        u /= 10;
    } while (u > 0);
    size_t len = 0;
    if (v < 0) {
        out[len++] = '-';
    }
    while (n > 0) {
        out[len++] = digits[--n];
    }
    ts_assert(len <= RESP_I64_TEXT_MAX);
    return len;
}

bool resp_word_is(struct ts_bytes text, const char *word)
{
    size_t n = strlen(word);
    if (text.len != n) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        uint8_t c = text.data[i];
        if (c >= 'A' && c <= 'Z') {
            c = (uint8_t)(c + ('a' - 'A'));
        }
        if (c != (uint8_t)word[i]) {
            return false;
        }
    }
    return true;
}

/* ---- inline requests ---- */

static enum resp_result fail(struct resp_request *req, const char *text)
{
    snprintf(req->error, sizeof(req->error), "Protocol error: %s", text);
    return RESP_ERROR;
}

static int hex_digit(uint8_t c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c = (uint8_t)tolower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* One escape of a double-quoted word, data[i] being the backslash. Gives the number
 * of bytes read and the byte meant. */
static size_t unescape(const uint8_t *data, size_t i, size_t len, uint8_t *out)
{
    uint8_t c = data[i + 1];
    if (c == 'x' && len - i >= 4 && hex_digit(data[i + 2]) >= 0 && hex_digit(data[i + 3]) >= 0) {
        *out = (uint8_t)(hex_digit(data[i + 2]) * 16 + hex_digit(data[i + 3]));
        return 4;
    }
    switch (c) {
    case 'n':
        *out = '\n';
        break;
    case 'r':
        *out = '\r';
        break;
    case 't':
        *out = '\t';
        break;
    case 'b':
        *out = '\b';
        break;
    case 'a':
        *out = '\a';
        break;
    default:
        *out = c;
        break;
    }
    return 2;
}

/* Reads a quoted part that begins behind its quote at *at; writes it at *w. False when the quote
 * is not closed, or is closed in the middle of a word. */
static bool quoted_part(uint8_t *data, size_t len, size_t *at, size_t *w, uint8_t quote)
{
    size_t i = *at;
    while (i < len && data[i] != '\0') {
        if (data[i] == quote) {
            *at = i + 1;
            return i + 1 == len || data[i + 1] == '\0' || isspace(data[i + 1]);
        }
        bool escape = data[i] == '\\' && i + 1 < len && data[i + 1] != '\0' &&
                      (quote == '"' || data[i + 1] == '\'');
        if (escape) {
            uint8_t byte = '\'';
            i += quote == '"' ? unescape(data, i, len, &byte) : 2;
            data[(*w)++] = byte;
        } else {
            data[(*w)++] = data[i++];
        }
    }
    return false;
}

/* Reads one word from *at, where no blank stands; unescapes it in place, which never
 * writes ahead of what was read. */
static bool inline_word(uint8_t *data, size_t len, size_t *at, struct ts_bytes *word)
{
    size_t start = *at;
    size_t w = start;
    size_t i = start;
    while (i < len && data[i] != ' ' && data[i] != '\n' && data[i] != '\r' && data[i] != '\t' &&
           data[i] != '\0') {
        if (data[i] == '"' || data[i] == '\'') {
            uint8_t quote = data[i];
            i++;
            if (!quoted_part(data, len, &i, &w, quote)) {
                return false;
            }
            break; /* a closed quote ends the word */
        }
        data[w++] = data[i++];
    }
    *word = (struct ts_bytes){data + start, w - start};
    *at = i;
    return true;
}

/* Splits a line into words as redis does; a NUL ends the line. */
static enum resp_result split_line(const struct resp_limits *limits, uint8_t *data, size_t len,
                                   struct resp_request *req)
{
    size_t i = 0;
    while (true) {
        while (i < len && data[i] != '\0' && isspace(data[i])) {
            i++;
        }
        if (i == len || data[i] == '\0') {
            return req->argc == 0 ? RESP_EMPTY : RESP_REQUEST;
        }
        if (req->argc == limits->args_max) {
            return fail(req, "too many words in inline request");
        }
        if (!inline_word(data, len, &i, &req->args[req->argc])) {
            return fail(req, "unbalanced quotes in request");
        }
        req->argc++;
    }
}

static enum resp_result parse_inline(struct resp_parser *p, const struct resp_limits *limits,
                                     uint8_t *data, size_t len, struct resp_request *req)
{
    uint8_t *end = memchr(data + p->scanned, '\n', len - p->scanned);
    if (end == NULL) {
        p->scanned = len;
        return len > limits->inline_max ? fail(req, "too big inline request") : RESP_MORE;
    }
    size_t line = (size_t)(end - data);
    if (line > limits->inline_max) {
        return fail(req, "too big inline request");
    }
    req->consumed = line + 1;
    if (line > 0 && data[line - 1] == '\r') {
        line--;
    }
    return split_line(limits, data, line, req);
}

/* ---- arrays of bulk strings ---- */

/* The line at p->pos, without its end. False when the end is not there yet. Like redis, takes
 * any two bytes from the carriage return on as the end. */
static bool header_line(struct resp_parser *p, const uint8_t *data, size_t len,
                        struct ts_bytes *line)
{
    size_t from = p->scanned > p->pos ? p->scanned : p->pos;
    const uint8_t *end = memchr(data + from, '\r', len - from);
    if (end == NULL) {
        p->scanned = len;
        return false;
    }
    size_t at = (size_t)(end - data);
    p->scanned = at;
    if (len - at < 2) {
        return false;
    }
    *line = (struct ts_bytes){data + p->pos, at - p->pos};
    p->pos = at + 2;
    return true;
}

static enum resp_result parse_array_head(struct resp_parser *p, const struct resp_limits *limits,
                                         const uint8_t *data, size_t len, struct resp_request *req)
{
    struct ts_bytes line;
    if (!header_line(p, data, len, &line)) {
        return len > limits->inline_max ? fail(req, "too big mbulk count string") : RESP_MORE;
    }
    int64_t n = 0;
    if (!resp_parse_i64((struct ts_bytes){line.data + 1, line.len - 1}, &n) || n > INT32_MAX) {
        return fail(req, "invalid multibulk length");
    }
    if (n <= 0) {
        req->consumed = p->pos;
        return RESP_EMPTY;
    }
    if (n > limits->args_max) {
        char text[96];
        snprintf(text, sizeof(text), "request of %lld words exceeds the limit of %u words",
                 (long long)n, limits->args_max);
        return fail(req, text);
    }
    p->args_left = (uint32_t)n;
    p->in_array = true;
    return RESP_REQUEST;
}

static enum resp_result bulk_too_long(const struct resp_limits *limits, int64_t n,
                                      struct resp_request *req)
{
    char text[96];
    if (n > RESP_BULK_REDIS_MAX) {
        return fail(req, "invalid bulk length");
    }
    if (n > limits->bulk_max) {
        snprintf(text, sizeof(text), "bulk of %lld bytes exceeds the limit of %u bytes",
                 (long long)n, limits->bulk_max);
    } else {
        snprintf(text, sizeof(text), "request exceeds the limit of %u bytes", limits->request_max);
    }
    return fail(req, text);
}

static enum resp_result parse_bulk_head(struct resp_parser *p, const struct resp_limits *limits,
                                        const uint8_t *data, size_t len, struct resp_request *req)
{
    if (p->pos == len) {
        return RESP_MORE;
    }
    struct ts_bytes line;
    size_t start = p->pos;
    if (!header_line(p, data, len, &line)) {
        return len - start > limits->inline_max ? fail(req, "too big bulk count string")
                                                : RESP_MORE;
    }
    if (line.len == 0 || line.data[0] != '$') {
        char text[32];
        snprintf(text, sizeof(text), "expected '$', got '%c'", data[start]);
        return fail(req, text);
    }
    int64_t n = 0;
    if (!resp_parse_i64((struct ts_bytes){line.data + 1, line.len - 1}, &n) || n < 0) {
        return fail(req, "invalid bulk length");
    }
    if (n > limits->bulk_max || p->pos + (uint64_t)n + 2 > limits->request_max) {
        return bulk_too_long(limits, n, req);
    }
    p->bulk_len = (uint32_t)n;
    p->in_bulk = true;
    return RESP_REQUEST;
}

/* Finds the words of a complete, checked array again: its pieces came in several calls,
 * and the bytes may have moved between them. */
static void collect_words(const uint8_t *data, size_t end, struct resp_request *req)
{
    struct resp_parser again = {0};
    struct ts_bytes line;
    ts_assert(header_line(&again, data, end, &line));
    for (size_t i = 0; i < req->argc; i++) {
        int64_t n = 0;
        ts_assert(header_line(&again, data, end, &line));
        ts_assert(resp_parse_i64((struct ts_bytes){line.data + 1, line.len - 1}, &n));
        req->args[i] = (struct ts_bytes){data + again.pos, (size_t)n};
        again.pos += (size_t)n + 2;
    }
    ts_assert(again.pos == end);
}

static enum resp_result parse_array(struct resp_parser *p, const struct resp_limits *limits,
                                    uint8_t *data, size_t len, struct resp_request *req)
{
    enum resp_result r = RESP_REQUEST;
    bool fresh = !p->in_array;
    if (fresh) {
        r = parse_array_head(p, limits, data, len, req);
    }
    while (r == RESP_REQUEST && p->args_left > 0) {
        if (!p->in_bulk) {
            r = parse_bulk_head(p, limits, data, len, req);
            continue;
        }
        if (len - p->pos < (size_t)p->bulk_len + 2) {
            return RESP_MORE;
        }
        if (fresh) {
            req->args[p->args_seen] = (struct ts_bytes){data + p->pos, p->bulk_len};
        }
        p->pos += (size_t)p->bulk_len + 2;
        p->in_bulk = false;
        p->args_seen++;
        p->args_left--;
    }
    if (r != RESP_REQUEST) {
        return r;
    }
    req->argc = p->args_seen;
    req->consumed = p->pos;
    if (!fresh) {
        collect_words(data, p->pos, req);
    }
    return RESP_REQUEST;
}

enum resp_result resp_parse(struct resp_parser *p, const struct resp_limits *limits, uint8_t *data,
                            size_t len, struct resp_request *req)
{
    ts_assert(req->args_cap >= limits->args_max);
    ts_assert(p->pos <= len && p->scanned <= len);
    req->argc = 0;
    req->consumed = 0;
    req->error[0] = '\0';
    if (len == 0) {
        return RESP_MORE;
    }
    enum resp_result r = data[0] == '*' ? parse_array(p, limits, data, len, req)
                                        : parse_inline(p, limits, data, len, req);
    if (r == RESP_REQUEST || r == RESP_EMPTY) {
        *p = (struct resp_parser){0};
    }
    return r;
}

/* ---- replies ---- */

struct resp_writer resp_writer_init(struct svc_out *out, enum resp_version version, size_t max)
{
    return (struct resp_writer){.out = out, .start = out->len, .max = max, .version = version};
}

enum ts_err resp_writer_finish(struct resp_writer *w)
{
    if (w->failed) {
        w->out->len = w->start;
        return TS_ERR_LIMIT;
    }
    return TS_OK;
}

static void put(struct resp_writer *w, const void *data, size_t n)
{
    if (w->failed || n > w->max - (w->out->len - w->start)) {
        w->failed = true;
        return;
    }
    if (svc_out_put(w->out, data, n) != TS_OK) {
        w->failed = true;
    }
}

/* "<type><number>\r\n" in one piece. */
static void put_head(struct resp_writer *w, char type, int64_t n)
{
    char line[RESP_I64_TEXT_MAX + 3];
    line[0] = type;
    size_t len = 1 + resp_format_i64(line + 1, n);
    line[len++] = '\r';
    line[len++] = '\n';
    put(w, line, len);
}

void resp_put_simple(struct resp_writer *w, const char *text)
{
    put(w, "+", 1);
    put(w, text, strlen(text));
    put(w, "\r\n", 2);
}

void resp_put_lines(struct resp_writer *w, const char *const *lines, size_t n)
{
    resp_put_array(w, n);
    for (size_t i = 0; i < n; i++) {
        resp_put_simple(w, lines[i]);
    }
}

void resp_put_error(struct resp_writer *w, const char *text)
{
    size_t len = strlen(text);
    while (len > 0 && (text[len - 1] == '\r' || text[len - 1] == '\n')) {
        len--;
    }
    put(w, "-", 1);
    for (size_t at = 0; at < len;) {
        size_t n = strcspn(text + at, "\r\n");
        n = n < len - at ? n : len - at;
        put(w, text + at, n);
        at += n;
        if (at < len) {
            put(w, " ", 1);
            at++;
        }
    }
    put(w, "\r\n", 2);
}

void resp_put_integer(struct resp_writer *w, int64_t v)
{
    put_head(w, ':', v);
}

void resp_put_bulk(struct resp_writer *w, const void *data, size_t n)
{
    put_head(w, '$', (int64_t)n);
    put(w, data, n);
    put(w, "\r\n", 2);
}

void resp_put_bulk_text(struct resp_writer *w, const char *text)
{
    resp_put_bulk(w, text, strlen(text));
}

void resp_put_null_array(struct resp_writer *w)
{
    if (w->version == RESP_V3) {
        put(w, "_\r\n", 3);
    } else {
        put(w, "*-1\r\n", 5);
    }
}

void resp_put_raw(struct resp_writer *w, const void *data, size_t n)
{
    put(w, data, n);
}

void resp_put_null(struct resp_writer *w)
{
    if (w->version == RESP_V3) {
        put(w, "_\r\n", 3);
    } else {
        put(w, "$-1\r\n", 5);
    }
}

void resp_put_array(struct resp_writer *w, size_t n)
{
    put_head(w, '*', (int64_t)n);
}

void resp_put_push(struct resp_writer *w, size_t n)
{
    put_head(w, w->version == RESP_V3 ? '>' : '*', (int64_t)n);
}

void resp_put_map(struct resp_writer *w, size_t n)
{
    if (w->version == RESP_V3) {
        put_head(w, '%', (int64_t)n);
    } else {
        put_head(w, '*', (int64_t)n * 2);
    }
}

void resp_put_set(struct resp_writer *w, size_t n)
{
    put_head(w, w->version == RESP_V3 ? '~' : '*', (int64_t)n);
}

void resp_put_verbatim(struct resp_writer *w, const void *text, size_t n)
{
    if (w->version != RESP_V3) {
        resp_put_bulk(w, text, n);
        return;
    }
    put_head(w, '=', (int64_t)n + 4);
    put(w, "txt:", 4);
    put(w, text, n);
    put(w, "\r\n", 2);
}

size_t resp_reply_len(struct ts_bytes bytes)
{
    size_t at = 0;
    for (uint64_t left = 1; left > 0; left--) {
        const uint8_t *eol = at < bytes.len ? memchr(bytes.data + at, '\n', bytes.len - at) : NULL;
        if (eol == NULL || eol - (bytes.data + at) < 2) {
            return 0;
        }
        char type = (char)bytes.data[at];
        struct ts_bytes digits = {bytes.data + at + 1, (size_t)(eol - (bytes.data + at)) - 2};
        int64_t n = 0;
        bool counts = strchr("$=!*~>%", type) != NULL;
        if (counts && !resp_parse_i64(digits, &n)) {
            return 0;
        }
        at = (size_t)(eol - bytes.data) + 1;
        if (n <= 0 && type != '$' && type != '=' && type != '!') {
            continue;
        }
        if (type == '*' || type == '~' || type == '>' || type == '%') {
            left += (uint64_t)n * (type == '%' ? 2 : 1);
        } else if (counts && n >= 0) {
            if ((uint64_t)n > bytes.len - at || bytes.len - at - (size_t)n < 2) {
                return 0;
            }
            at += (size_t)n + 2;
        }
    }
    return at;
}
