/* A request as it goes to the primary. */
#include "services/io/http_relay_text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/memory.h"
#include "services/io/http_claim.h"

/* Bytes of lines besides target and headers of others. */
#define LINES_MAX (256 + HTTP_CLAIM_MAX)

static void put_text(struct ts_writer *w, const char *text)
{
    ts_put_bytes(w, text, strlen(text));
}

static void put_if_any(struct ts_writer *w, struct ts_bytes bytes)
{
    if (bytes.len > 0) {
        ts_put_bytes(w, bytes.data, bytes.len);
    }
}

/* All but what is plain in every part of a target. */
static void put_encoded(struct ts_writer *w, struct ts_bytes text, bool is_path)
{
    static const char DIGITS[] = "0123456789ABCDEF";
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.data[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        bool plain = letter || c == '-' || c == '_' || c == '.' || c == '~';
        if (plain || (is_path && c == '/')) {
            ts_put_u8(w, c);
        } else {
            ts_put_u8(w, '%');
            ts_put_u8(w, (uint8_t)DIGITS[c >> 4]);
            ts_put_u8(w, (uint8_t)DIGITS[c & 15]);
        }
    }
}

static size_t room_of(const struct http_request *q, const char *host)
{
    size_t target = q->path.len;
    for (size_t i = 0; i < q->param_count; i++) {
        target += q->params[i].name.len + q->params[i].value.len + 2;
    }
    return 3 * target + q->content_type.len + strlen(host) + LINES_MAX + q->body.len;
}

bool http_relay_text(const struct http_request *q, const char *host, uint8_t **out, size_t *len)
{
    char claim[HTTP_CLAIM_MAX];
    char length[48];
    size_t cap = room_of(q, host);
    /* The head alone is made of the whole answer here. */
    enum http_method method = q->method == HTTP_METHOD_HEAD ? HTTP_METHOD_GET : q->method;
    if (!http_claim_write(&q->who, claim)) {
        return false;
    }
    uint8_t *bytes = malloc(cap);
    ts_must(bytes);
    struct ts_writer w = ts_writer_init(bytes, cap);
    put_text(&w, http_method_name(method));
    put_text(&w, " ");
    put_encoded(&w, q->path, true);
    for (size_t i = 0; i < q->param_count; i++) {
        const struct http_param *p = &q->params[i];
        put_text(&w, i == 0 ? "?" : "&");
        put_encoded(&w, p->name, false);
        put_text(&w, "=");
        put_encoded(&w, p->value, false);
    }
    put_text(&w, " HTTP/1.1\r\nhost: ");
    put_text(&w, host);
    put_text(&w, "\r\ntwinstep-client: ");
    put_text(&w, claim);
    if (q->content_type.len > 0) {
        put_text(&w, "\r\ncontent-type: ");
        put_if_any(&w, q->content_type);
    }
    (void)snprintf(length, sizeof(length), "\r\ncontent-length: %zu\r\n\r\n", q->body.len);
    put_text(&w, length);
    put_if_any(&w, q->body);
    ts_assert(!w.failed);
    *out = bytes;
    *len = w.len;
    return true;
}
