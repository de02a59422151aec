#include "services/http.h"

#include <string.h>

#include "base/assert.h"

const char *http_method_name(enum http_method method)
{
    static const char *const names[] = {
#define HTTP_METHOD_TEXT(name) #name,
        HTTP_METHOD_LIST(HTTP_METHOD_TEXT)
#undef HTTP_METHOD_TEXT
    };
    ts_assert((size_t)method < sizeof(names) / sizeof(names[0]));
    return names[method];
}

static bool is_control(uint8_t c)
{
    return c < ' ' || c == 0x7f;
}

static bool has_control(struct ts_bytes text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (is_control(text.data[i])) {
            return true;
        }
    }
    return false;
}

static uint8_t lower(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? (uint8_t)(c + 'a' - 'A') : c;
}

/* ---- path and query ---- */

bool http_path_is_valid(struct ts_bytes path)
{
    if (path.len == 0 || path.len > HTTP_PATH_MAX || path.data[0] != '/' || has_control(path)) {
        return false;
    }
    size_t begin = 1;
    for (size_t i = 1; i <= path.len; i++) {
        if (i < path.len && path.data[i] != '/') {
            continue;
        }
        size_t n = i - begin;
        bool dots = (n == 1 || n == 2) && path.data[begin] == '.' && path.data[i - 1] == '.';
        if (dots || (n == 0 && i < path.len)) {
            return false;
        }
        begin = i + 1;
    }
    return true;
}

enum ts_err http_param_parse(struct ts_bytes text, struct http_param *out)
{
    const uint8_t *equal = text.len > 0 ? memchr(text.data, '=', text.len) : NULL;
    size_t n = equal != NULL ? (size_t)(equal - text.data) : text.len;
    struct http_param p = {.name = {text.data, n}, .value = {text.data + n, 0}};
    if (equal != NULL) {
        p.value = (struct ts_bytes){equal + 1, text.len - n - 1};
    }
    if (n == 0 || has_control(text)) {
        return TS_ERR_MALFORMED;
    }
    if (n > HTTP_PARAM_NAME_MAX || p.value.len > HTTP_PARAM_VALUE_MAX) {
        return TS_ERR_LIMIT;
    }
    *out = p;
    return TS_OK;
}

/* ---- headers ---- */

static int base64_digit(uint8_t c)
{
    if (c >= 'A' && c <= 'Z') {
        return c - 'A';
    }
    if (c >= 'a' && c <= 'z') {
        return c - 'a' + 26;
    }
    if (c >= '0' && c <= '9') {
        return c - '0' + 52;
    }
    return c == '+' ? 62 : (c == '/' ? 63 : -1);
}

/* Decodes base64, its padding may be missing; gives the length, SIZE_MAX when it is none or does
 * not fit. */
static size_t base64_decode(struct ts_bytes text, uint8_t *out, size_t cap)
{
    size_t n = 0;
    uint32_t bits = 0;
    unsigned count = 0;
    size_t pad = 0;
    while (pad < 2 && text.len > 0 && text.data[text.len - 1] == '=') {
        text.len--;
        pad++;
    }
    if (text.len % 4 == 1 || (pad > 0 && (text.len + pad) % 4 != 0)) {
        return SIZE_MAX;
    }
    for (size_t i = 0; i < text.len; i++) {
        int digit = base64_digit(text.data[i]);
        if (digit < 0 || n == cap) {
            return SIZE_MAX;
        }
        bits = bits << 6 | (uint32_t)digit;
        count += 6;
        if (count >= 8) {
            count -= 8;
            out[n++] = (uint8_t)(bits >> count);
            bits &= (1U << count) - 1;
        }
    }
    return bits == 0 ? n : SIZE_MAX;
}

static struct ts_bytes trim(struct ts_bytes text)
{
    while (text.len > 0 && (text.data[0] == ' ' || text.data[0] == '\t')) {
        text.data++;
        text.len--;
    }
    while (text.len > 0 && (text.data[text.len - 1] == ' ' || text.data[text.len - 1] == '\t')) {
        text.len--;
    }
    return text;
}

enum ts_err http_basic_parse(struct ts_bytes header, struct http_credentials *out)
{
    static const char scheme[] = "basic ";
    uint8_t plain[HTTP_NAME_MAX + 1 + HTTP_PASSWORD_MAX + 1];
    header = trim(header);
    for (size_t i = 0; i < sizeof(scheme) - 1; i++) {
        if (i >= header.len || lower(header.data[i]) != (uint8_t)scheme[i]) {
            return TS_ERR_NOT_FOUND;
        }
    }
    header.data += sizeof(scheme) - 1;
    header.len -= sizeof(scheme) - 1;
    header = trim(header);
    if (header.len > (sizeof(plain) + 2) / 3 * 4) {
        return TS_ERR_LIMIT;
    }
    size_t n = base64_decode(header, plain, sizeof(plain));
    if (n == SIZE_MAX || has_control((struct ts_bytes){plain, n})) {
        return TS_ERR_MALFORMED;
    }
    const uint8_t *colon = n > 0 ? memchr(plain, ':', n) : NULL;
    if (colon == NULL) {
        return TS_ERR_MALFORMED;
    }
    size_t name = (size_t)(colon - plain);
    size_t password = n - name - 1;
    if (name > HTTP_NAME_MAX || password > HTTP_PASSWORD_MAX) {
        return TS_ERR_LIMIT;
    }
    *out = (struct http_credentials){.name_len = name, .password_len = password};
    memcpy(out->name, plain, name);
    memcpy(out->password, colon + 1, password);
    return TS_OK;
}

enum ts_err http_length_parse(struct ts_bytes header, uint64_t *out)
{
    uint64_t n = 0;
    header = trim(header);
    if (header.len == 0 || header.len > 18) {
        return TS_ERR_MALFORMED;
    }
    for (size_t i = 0; i < header.len; i++) {
        if (header.data[i] < '0' || header.data[i] > '9') {
            return TS_ERR_MALFORMED;
        }
        n = n * 10 + (uint64_t)(header.data[i] - '0');
    }
    *out = n;
    return TS_OK;
}

bool http_is_chunked(struct ts_bytes header)
{
    static const char word[] = "chunked";
    header = trim(header);
    if (header.len != sizeof(word) - 1) {
        return false;
    }
    for (size_t i = 0; i < header.len; i++) {
        if (lower(header.data[i]) != (uint8_t)word[i]) {
            return false;
        }
    }
    return true;
}

bool http_type_is_valid(struct ts_bytes type)
{
    return type.len <= HTTP_TYPE_MAX && !has_control(type);
}

/* ---- the chunked coding ---- */

static int hex_digit(uint8_t c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c = lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static enum ts_err read_size(struct http_chunks *c, uint8_t byte)
{
    int digit = hex_digit(byte);
    if (digit >= 0) {
        c->left = c->left * 16 + (uint64_t)digit;
        c->digits++;
        return c->digits <= 12 ? TS_OK : TS_ERR_LIMIT;
    }
    if (c->digits == 0) {
        return TS_ERR_MALFORMED;
    }
    if (byte == '\r') {
        c->state = HTTP_CHUNK_SIZE_LF;
        return TS_OK;
    }
    c->state = HTTP_CHUNK_EXTENSION;
    return byte == ';' || byte == ' ' || byte == '\t' ? TS_OK : TS_ERR_MALFORMED;
}

/* A line of the coding ends as it must. */
static enum ts_err expect(struct http_chunks *c, uint8_t byte, uint8_t wanted,
                          enum http_chunk_state next)
{
    c->state = next;
    c->line = 0;
    return byte == wanted ? TS_OK : TS_ERR_MALFORMED;
}

/* Takes one byte that is none of the body. */
static enum ts_err read_byte(struct http_chunks *c, uint8_t byte)
{
    switch (c->state) {
    case HTTP_CHUNK_SIZE:
        return read_size(c, byte);
    case HTTP_CHUNK_EXTENSION:
        c->state = byte == '\r' ? HTTP_CHUNK_SIZE_LF : HTTP_CHUNK_EXTENSION;
        return ++c->line <= HTTP_CHUNK_LINE_MAX ? TS_OK : TS_ERR_LIMIT;
    case HTTP_CHUNK_SIZE_LF:
        c->digits = 0;
        return expect(c, byte, '\n', c->left > 0 ? HTTP_CHUNK_DATA : HTTP_CHUNK_TRAILER);
    case HTTP_CHUNK_DATA_CR:
        return expect(c, byte, '\r', HTTP_CHUNK_DATA_LF);
    case HTTP_CHUNK_DATA_LF:
        return expect(c, byte, '\n', HTTP_CHUNK_SIZE);
    case HTTP_CHUNK_TRAILER:
        c->state = byte == '\r' ? HTTP_CHUNK_END_LF : HTTP_CHUNK_TRAILER_TEXT;
        return ++c->line <= HTTP_CHUNK_TRAILERS_MAX ? TS_OK : TS_ERR_LIMIT;
    case HTTP_CHUNK_TRAILER_TEXT:
        c->state = byte == '\n' ? HTTP_CHUNK_TRAILER : HTTP_CHUNK_TRAILER_TEXT;
        return ++c->line <= HTTP_CHUNK_TRAILERS_MAX ? TS_OK : TS_ERR_LIMIT;
    case HTTP_CHUNK_END_LF:
        return expect(c, byte, '\n', HTTP_CHUNK_DONE);
    case HTTP_CHUNK_DATA:
    case HTTP_CHUNK_DONE:
        break;
    }
    ts_unreachable();
}

enum ts_err http_chunks_read(struct http_chunks *c, struct ts_bytes in, size_t *used,
                             struct ts_bytes *data)
{
    *used = 0;
    *data = (struct ts_bytes){NULL, 0};
    while (*used < in.len && c->state != HTTP_CHUNK_DONE) {
        if (c->state != HTTP_CHUNK_DATA) {
            enum ts_err err = read_byte(c, in.data[(*used)++]);
            if (err != TS_OK) {
                return err;
            }
            continue;
        }
        size_t left = in.len - *used;
        size_t n = c->left < left ? (size_t)c->left : left;
        *data = (struct ts_bytes){in.data + *used, n};
        *used += n;
        c->left -= n;
        c->state = c->left == 0 ? HTTP_CHUNK_DATA_CR : HTTP_CHUNK_DATA;
        break;
    }
    return TS_OK;
}
