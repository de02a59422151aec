#include "services/http_head.h"

#include <string.h>
#include <strings.h>

#include "base/assert.h"

static const char *const field_names[] = {
#define HTTP_FIELD_TEXT(symbol, name) name,
    HTTP_FIELD_LIST(HTTP_FIELD_TEXT)
#undef HTTP_FIELD_TEXT
};

void http_head_begin(struct http_head *h, char *text, size_t max)
{
    *h = (struct http_head){.text = text, .max = max, .now = HTTP_FIELDS};
}

bool http_head_is_long(const struct http_head *h)
{
    return h->bytes > h->max;
}

/* Keeps a piece behind a span that is the text's last one. */
static void keep(struct http_head *h, struct http_span *span, struct ts_bytes piece)
{
    if (http_head_is_long(h) || piece.len == 0) {
        return;
    }
    if (span->len == 0) {
        span->at = h->len;
    }
    ts_assert(span->at + span->len == h->len && piece.len <= h->max - h->len);
    memcpy(h->text + h->len, piece.data, piece.len);
    h->len += piece.len;
    span->len += piece.len;
}

void http_head_method(struct http_head *h, struct ts_bytes name)
{
    for (unsigned m = HTTP_METHOD_GET; m <= HTTP_METHOD_OPTIONS; m++) {
        const char *text = http_method_name((enum http_method)m);
        if (name.len == strlen(text) && memcmp(name.data, text, name.len) == 0) {
            h->method = (enum http_method)m;
            h->has_method = true;
        }
    }
}

void http_head_target(struct http_head *h, struct ts_bytes piece)
{
    h->bytes += piece.len;
    keep(h, &h->target, piece);
}

void http_head_name(struct http_head *h, struct ts_bytes piece)
{
    if (h->in_value || h->headers == 0) {
        h->headers++;
        h->bytes += HTTP_FIELD_COST;
        h->in_value = false;
        h->name_len = 0;
    }
    h->bytes += piece.len;
    if (piece.len > 0 && piece.len <= sizeof(h->name) &&
        h->name_len <= sizeof(h->name) - piece.len) {
        memcpy(h->name + h->name_len, piece.data, piece.len);
    }
    h->name_len += piece.len;
}

static enum http_field find_field(const struct http_head *h)
{
    for (unsigned f = 0; f < HTTP_FIELDS; f++) {
        if (h->name_len == strlen(field_names[f]) &&
            strncasecmp(h->name, field_names[f], h->name_len) == 0) {
            return (enum http_field)f;
        }
    }
    return HTTP_FIELDS;
}

void http_head_value(struct http_head *h, struct ts_bytes piece)
{
    if (!h->in_value) {
        h->in_value = true;
        h->now = find_field(h);
        if (h->now != HTTP_FIELDS) {
            h->doubled = h->doubled || h->seen[h->now];
            h->seen[h->now] = true;
        }
    }
    h->bytes += piece.len;
    if (h->now != HTTP_FIELDS && !h->doubled) {
        keep(h, &h->fields[h->now], piece);
    }
}

struct ts_bytes http_head_get(const struct http_head *h, enum http_field field)
{
    const struct http_span *s = &h->fields[field];
    return (struct ts_bytes){(const uint8_t *)h->text + s->at, s->len};
}

struct ts_bytes http_head_target_text(const struct http_head *h)
{
    return (struct ts_bytes){(const uint8_t *)h->text + h->target.at, h->target.len};
}

bool http_head_expects(const struct http_head *h)
{
    static const char word[] = "100-continue";
    struct ts_bytes said = http_head_get(h, HTTP_FIELD_EXPECT);
    return said.len == sizeof(word) - 1 &&
           strncasecmp((const char *)said.data, word, sizeof(word) - 1) == 0;
}

/* ---- targets ---- */

/* The length of scheme and authority in front of a path; 0: it has none. */
static size_t origin_len(struct ts_bytes text)
{
    static const char *const schemes[] = {"http://", "https://"};
    for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++) {
        size_t n = strlen(schemes[i]);
        if (text.len > n && strncasecmp((const char *)text.data, schemes[i], n) == 0) {
            while (n < text.len && text.data[n] != '/' && text.data[n] != '?') {
                n++;
            }
            return n;
        }
    }
    return 0;
}

enum ts_err http_target_divide(struct ts_bytes text, struct http_target *out)
{
    static const char root[] = "/";
    struct http_target t = {.is_server = text.len == 1 && text.data[0] == '*'};
    size_t origin = text.len > 0 ? origin_len(text) : 0;
    text.data += origin;
    text.len -= origin;
    const uint8_t *mark = text.len > 0 ? memchr(text.data, '?', text.len) : NULL;
    size_t n = mark != NULL ? (size_t)(mark - text.data) : text.len;
    t.path = (struct ts_bytes){text.data, n};
    if (mark != NULL) {
        t.query = (struct ts_bytes){mark + 1, text.len - n - 1};
    }
    if (origin > 0 && n == 0) {
        t.path = (struct ts_bytes){(const uint8_t *)root, 1};
    }
    bool fragment = text.len > 0 && memchr(text.data, '#', text.len) != NULL;
    if (fragment || (!t.is_server && (t.path.len == 0 || t.path.data[0] != '/'))) {
        return TS_ERR_MALFORMED;
    }
    *out = t;
    return TS_OK;
}

static int hex_digit(uint8_t c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

enum ts_err http_percent_decode(struct ts_bytes in, bool plus, uint8_t *out, size_t *len)
{
    size_t n = 0;
    for (size_t i = 0; i < in.len; i++) {
        uint8_t c = in.data[i];
        if (c == '%') {
            int high = in.len - i > 2 ? hex_digit(in.data[i + 1]) : -1;
            int low = in.len - i > 2 ? hex_digit(in.data[i + 2]) : -1;
            if (high < 0 || low < 0) {
                return TS_ERR_MALFORMED;
            }
            c = (uint8_t)(high << 4 | low);
            i += 2;
        } else if (c == '+' && plus) {
            c = ' ';
        }
        out[n++] = c;
    }
    *len = n;
    return TS_OK;
}

bool http_query_next(struct ts_bytes *query, struct ts_bytes *param)
{
    while (query->len > 0) {
        const uint8_t *mark = memchr(query->data, '&', query->len);
        size_t n = mark != NULL ? (size_t)(mark - query->data) : query->len;
        size_t skip = mark != NULL ? n + 1 : n;
        *param = (struct ts_bytes){query->data, n};
        *query = (struct ts_bytes){query->data + skip, query->len - skip};
        if (n > 0) {
            return true;
        }
    }
    return false;
}
