#include "services/netctl/request.h"

#include <string.h>

static void put_text(struct ts_writer *w, const char *text, size_t width)
{
    size_t len = strlen(text);
    ts_put_le(w, len, width);
    ts_put_bytes(w, text, len);
}

enum ts_err netctl_request_encode(const struct netctl_request *r, struct ts_writer *w)
{
    ts_put_u8(w, NETCTL_FORMAT);
    ts_put_u8(w, NETCTL_RULES);
    ts_put_u8(w, (uint8_t)r->method);
    put_text(w, r->user, 1);
    put_text(w, r->path, 2);
    put_text(w, r->cursor, 2);
    ts_put_u16(w, r->page);
    ts_put_u8(w, r->revisions ? NETCTL_FLAG_REVISIONS : 0);
    ts_put_u32(w, (uint32_t)r->body.len);
    ts_put_bytes(w, r->body.data, r->body.len);
    return ts_writer_status(w);
}

static bool get_text(struct ts_reader *r, size_t len, char *out, size_t cap)
{
    struct ts_bytes b = ts_get_bytes(r, len);
    bool good = b.data != NULL && len < cap;
    for (size_t i = 0; i < len && good; i++) {
        good = b.data[i] > ' ' && b.data[i] < 0x7f;
    }
    if (good) {
        memcpy(out, b.data, len);
        out[len] = '\0';
    }
    return good || (len == 0 && !r->failed);
}

enum ts_err netctl_request_decode(struct netctl_request *r, struct ts_bytes payload)
{
    struct ts_reader in = ts_reader_init(payload.data, payload.len);
    *r = (struct netctl_request){0};
    uint8_t format = ts_get_u8(&in);
    r->rules = ts_get_u8(&in);
    if (!in.failed && (format != NETCTL_FORMAT || r->rules == 0 || r->rules > NETCTL_RULES)) {
        return TS_ERR_VERSION;
    }
    uint8_t method = ts_get_u8(&in);
    bool good = get_text(&in, ts_get_u8(&in), r->user, sizeof(r->user));
    good = get_text(&in, ts_get_u16(&in), r->path, sizeof(r->path)) && good;
    good = get_text(&in, ts_get_u16(&in), r->cursor, sizeof(r->cursor)) && good;
    r->page = ts_get_u16(&in);
    uint8_t flags = ts_get_u8(&in);
    r->body = ts_get_bytes(&in, ts_get_u32(&in));
    enum ts_err err = ts_reader_finish(&in);
    good = good && method >= NETCTL_GET && method <= NETCTL_NODE &&
           flags <= NETCTL_FLAG_REVISIONS && r->body.len <= NETCTL_BODY_MAX;
    r->method = (enum netctl_method)method;
    r->revisions = flags == NETCTL_FLAG_REVISIONS;
    return err != TS_OK ? err : good ? TS_OK : TS_ERR_MALFORMED;
}
