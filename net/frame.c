#include "net/frame.h"

#include <string.h>

#include "base/assert.h"

/* "TWST": tells a node of this product from whatever else speaks TLS. */
#define HELLO_MAGIC 0x54535754u

enum ts_err net_frame_next(struct ts_bytes in, uint32_t payload_max, struct net_frame *out,
                           size_t *used)
{
    *used = NET_FRAME_HEADER;
    if (in.len < NET_FRAME_HEADER) {
        return TS_ERR_SHORT;
    }
    struct ts_reader r = ts_reader_init(in.data, in.len);
    uint32_t len = ts_get_u32(&r);
    uint8_t type = ts_get_u8(&r);
    if (len < 1) {
        return TS_ERR_MALFORMED;
    }
    uint32_t payload_len = len - 1;
    if (payload_len > payload_max) {
        return TS_ERR_LIMIT;
    }
    *used = NET_FRAME_HEADER + (size_t)payload_len;
    if (in.len < *used) {
        return TS_ERR_SHORT;
    }
    *out = (struct net_frame){.type = type, .payload = ts_get_bytes(&r, payload_len)};
    ts_assert(!r.failed);
    return TS_OK;
}

void net_frame_header(struct ts_writer *w, uint8_t type, uint32_t payload_len)
{
    ts_assert(payload_len <= NET_FRAME_PAYLOAD_MAX);
    ts_put_u32(w, payload_len + 1);
    ts_put_u8(w, type);
}

void net_hello_encode(const struct net_hello *h, struct ts_writer *w)
{
    size_t name_len = strnlen(h->cluster, sizeof(h->cluster));
    ts_assert(name_len >= 1 && name_len < sizeof(h->cluster));
    ts_put_u32(w, HELLO_MAGIC);
    ts_put_u16(w, h->version_min);
    ts_put_u16(w, h->version_max);
    ts_put_u8(w, (uint8_t)name_len);
    ts_put_bytes(w, h->cluster, name_len);
    ts_put_u16(w, h->node.v);
    ts_put_u8(w, (uint8_t)h->purpose);
    ts_put_u16(w, h->group.v);
    ts_put_u64(w, h->instance.v);
    ts_put_u64(w, h->incarnation.v);
    ts_put_u64(w, h->start);
}

static void hello_get_cluster(struct net_hello *h, struct ts_reader *r)
{
    size_t len = ts_get_u8(r);
    struct ts_bytes name = ts_get_bytes(r, len);
    if (r->failed || len < 1 || len >= sizeof(h->cluster) || memchr(name.data, 0, len) != NULL) {
        ts_reader_fail(r);
        return;
    }
    memcpy(h->cluster, name.data, len);
}

enum ts_err net_hello_decode(struct net_hello *h, struct ts_bytes payload)
{
    *h = (struct net_hello){.version_min = 0};
    struct ts_reader r = ts_reader_init(payload.data, payload.len);
    uint32_t magic = ts_get_u32(&r);
    uint16_t version_min = ts_get_u16(&r);
    uint16_t version_max = ts_get_u16(&r);
    if (r.failed) {
        return TS_ERR_SHORT;
    }
    if (magic != HELLO_MAGIC || version_min > version_max) {
        return TS_ERR_MALFORMED;
    }
    h->version_min = version_min;
    h->version_max = version_max;
    if (version_min > NET_FORMAT_MAX || version_max < NET_FORMAT_MIN) {
        return TS_ERR_VERSION;
    }
    hello_get_cluster(h, &r);
    h->node = (struct ts_nic_id){ts_get_u16(&r)};
    uint8_t purpose = ts_get_u8(&r);
    h->group = (struct ts_group_id){ts_get_u16(&r)};
    h->instance = (struct ts_instance){ts_get_u64(&r)};
    h->incarnation = (struct ts_incarnation){ts_get_u64(&r)};
    h->start = ts_get_u64(&r);
    if (r.failed) {
        return TS_ERR_MALFORMED;
    }
    /* A newer version may say more behind what this one knows. */
    if (ts_reader_left(&r) > 0 && version_max <= NET_FORMAT_MAX) {
        return TS_ERR_MALFORMED;
    }
    if (purpose != NET_PURPOSE_REPLICA && purpose != NET_PURPOSE_VOTER) {
        return TS_ERR_MALFORMED;
    }
    h->purpose = (enum net_purpose)purpose;
    if (h->node.v < 1 || h->node.v > TS_NODES_MAX || h->group.v > TS_GROUPS_MAX ||
        h->instance.v == 0) {
        return TS_ERR_MALFORMED;
    }
    return TS_OK;
}
