#include "heartbeat/codec.h"

#include <string.h>

#include "base/assert.h"
#include "base/hash.h"

uint64_t hb_cluster_hash(const char *cluster_name)
{
    return ts_hash_bytes(cluster_name, strlen(cluster_name)).lo;
}

static bool node_id_valid(struct ts_nic_id id)
{
    return id.v >= 1 && id.v <= TS_NODES_MAX;
}

static bool word_valid(const struct hb_word *word)
{
    return (word->running & ~word->known) == 0 && (word->known & 1) == 0;
}

static bool datagram_valid(const struct hb_datagram *d)
{
    return node_id_valid(d->from) && node_id_valid(d->to) && !ts_nic_eq(d->from, d->to) &&
           d->path < TS_PATHS_MAX && d->instance.v != 0 && d->number != 0 && word_valid(&d->word);
}

enum ts_err hb_datagram_encode(const struct hb_datagram *d, struct ts_writer *w)
{
    ts_assert(datagram_valid(d));
    size_t before = w->len;
    ts_put_u32(w, HB_MAGIC);
    ts_put_u8(w, HB_VERSION);
    ts_put_u8(w, d->path);
    ts_put_u16(w, d->from.v);
    ts_put_u64(w, d->cluster);
    ts_put_u64(w, d->instance.v);
    ts_put_u64(w, d->number);
    ts_put_u64(w, d->sent.ns);
    ts_put_u64(w, d->echo_instance.v);
    ts_put_u64(w, d->echo_sent.ns);
    ts_put_u64(w, d->word.known);
    ts_put_u64(w, d->word.running);
    ts_put_u16(w, d->to.v);
    ts_put_bytes(w, d->word.starts + 1, TS_GROUPS_MAX);
    ts_assert(w->failed || w->len - before == HB_SIGNED_BYTES);
    return ts_writer_status(w);
}

enum ts_err hb_datagram_precheck(struct ts_bytes datagram, uint64_t cluster)
{
    struct ts_reader r = ts_reader_init(datagram.data, datagram.len);
    uint32_t magic = ts_get_u32(&r);
    uint8_t version = ts_get_u8(&r);
    if (r.failed || magic != HB_MAGIC) {
        return TS_ERR_MALFORMED;
    }
    if (version != HB_VERSION) {
        return TS_ERR_VERSION;
    }
    if (datagram.len != HB_DATAGRAM_BYTES) {
        return TS_ERR_MALFORMED;
    }
    (void)ts_get_u8(&r);
    (void)ts_get_u16(&r);
    return ts_get_u64(&r) == cluster ? TS_OK : TS_ERR_REFUSED;
}

enum ts_err hb_datagram_decode(struct hb_datagram *d, struct ts_bytes datagram)
{
    struct ts_reader r = ts_reader_init(datagram.data, datagram.len);
    *d = (struct hb_datagram){0};
    uint32_t magic = ts_get_u32(&r);
    uint8_t version = ts_get_u8(&r);
    d->path = ts_get_u8(&r);
    d->from.v = ts_get_u16(&r);
    d->cluster = ts_get_u64(&r);
    d->instance.v = ts_get_u64(&r);
    d->number = ts_get_u64(&r);
    d->sent.ns = ts_get_u64(&r);
    d->echo_instance.v = ts_get_u64(&r);
    d->echo_sent.ns = ts_get_u64(&r);
    d->word.known = ts_get_u64(&r);
    d->word.running = ts_get_u64(&r);
    d->to.v = ts_get_u16(&r);
    struct ts_bytes starts = ts_get_bytes(&r, TS_GROUPS_MAX);
    (void)ts_get_bytes(&r, HB_TAG_BYTES);
    if (ts_reader_finish(&r) != TS_OK || starts.data == NULL) {
        return TS_ERR_MALFORMED;
    }
    memcpy(d->word.starts + 1, starts.data, starts.len);
    bool valid = magic == HB_MAGIC && version == HB_VERSION && datagram_valid(d);
    return valid ? TS_OK : TS_ERR_MALFORMED;
}

bool hb_tag_eq(const uint8_t a[HB_TAG_BYTES], const uint8_t b[HB_TAG_BYTES])
{
    /* Volatile keeps the compiler from leaving the loop early. */
    volatile uint8_t difference = 0;
    for (size_t i = 0; i < HB_TAG_BYTES; i++) {
        difference = (uint8_t)(difference | (a[i] ^ b[i]));
    }
    return difference == 0;
}

bool hb_word_eq(const struct hb_word *a, const struct hb_word *b)
{
    return a->known == b->known && a->running == b->running &&
           memcmp(a->starts, b->starts, sizeof(a->starts)) == 0;
}
