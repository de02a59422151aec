#include "services/netctl/south_msg.h"

#include "services/netctl/address.h"

/* Type and epoch. */
#define BODY_MIN 9
#define REMOVED UINT32_MAX

const char *south_type_name(unsigned type)
{
    switch (type) {
#define SOUTH_TYPE_NAME(symbol, number, name) \
    case number: \
        return name;
        SOUTH_TYPE_LIST(SOUTH_TYPE_NAME)
#undef SOUTH_TYPE_NAME
    default:
        return NULL;
    }
}

/* ---- texts and entries ---- */

static bool is_plain(struct ts_bytes text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] < ' ' || text.data[i] == 0x7f) {
            return false;
        }
    }
    return true;
}

bool south_name_is_valid(struct ts_bytes name)
{
    return name.len > 0 && name.len <= SOUTH_NAME_MAX && is_plain(name);
}

bool south_node_is_valid(struct ts_bytes name)
{
    return name.len > 0 && name.len <= SOUTH_NODE_MAX &&
           netctl_id_is_valid((const char *)name.data, name.len);
}

static void put_text(struct ts_writer *w, struct ts_bytes text)
{
    ts_put_u16(w, (uint16_t)text.len);
    ts_put_bytes(w, text.data, text.len);
}

static struct ts_bytes get_text(struct ts_reader *r, size_t max)
{
    struct ts_bytes text = ts_get_bytes(r, ts_get_u16(r));
    if (text.len > max || !is_plain(text)) {
        ts_reader_fail(r);
    }
    return text;
}

/* Whether `b` is behind `a`. */
static bool ascends(struct ts_bytes a, struct ts_bytes b)
{
    size_t len = a.len < b.len ? a.len : b.len;
    int order = len == 0 ? 0 : memcmp(a.data, b.data, len);
    return order < 0 || (order == 0 && a.len < b.len);
}

void south_item_put(struct ts_writer *w, const struct south_item *item)
{
    ts_put_u16(w, (uint16_t)item->key.len);
    ts_put_u32(w, item->value.data == NULL ? REMOVED : (uint32_t)item->value.len);
    ts_put_bytes(w, item->key.data, item->key.len);
    if (item->value.data != NULL) {
        ts_put_bytes(w, item->value.data, item->value.len);
    }
}

struct south_item south_item_get(struct ts_reader *r)
{
    uint16_t key = ts_get_u16(r);
    uint32_t value = ts_get_u32(r);
    struct south_item item = {.key = ts_get_bytes(r, key)};
    if (value != REMOVED) {
        item.value = ts_get_bytes(r, value);
    }
    return item;
}

void south_name_put(struct ts_writer *w, const char *name)
{
    put_text(w, (struct ts_bytes){(const uint8_t *)name, strlen(name)});
}

struct ts_bytes south_name_get(struct ts_reader *r)
{
    return get_text(r, SOUTH_NAME_MAX);
}

void south_rule_put(struct ts_writer *w, const struct south_rule_count *c)
{
    ts_put_u32(w, c->id);
    ts_put_u8(w, c->nat);
    ts_put_u64(w, c->packets);
    ts_put_u64(w, c->bytes);
}

struct south_rule_count south_rule_get(struct ts_reader *r)
{
    struct south_rule_count c = {.id = ts_get_u32(r)};
    c.nat = ts_get_bool(r);
    c.packets = ts_get_u64(r);
    c.bytes = ts_get_u64(r);
    return c;
}

void south_port_put(struct ts_writer *w, const struct south_port_count *c)
{
    ts_put_u32(w, c->number);
    ts_put_u64(w, c->sent_packets);
    ts_put_u64(w, c->sent_bytes);
    ts_put_u64(w, c->received_packets);
    ts_put_u64(w, c->received_bytes);
    ts_put_u64(w, c->guarded);
}

struct south_port_count south_port_get(struct ts_reader *r)
{
    struct south_port_count c = {.number = ts_get_u32(r)};
    c.sent_packets = ts_get_u64(r);
    c.sent_bytes = ts_get_u64(r);
    c.received_packets = ts_get_u64(r);
    c.received_bytes = ts_get_u64(r);
    c.guarded = ts_get_u64(r);
    return c;
}

/* ---- lists ---- */

static void put_list(struct ts_writer *w, uint32_t count, struct ts_bytes list)
{
    ts_put_u32(w, count);
    ts_put_bytes(w, list.data, list.len);
}

/* The bytes from `from` on, which have been read. */
static struct ts_bytes since(const struct ts_reader *r, size_t from)
{
    return (struct ts_bytes){r->data + from, r->pos - from};
}

static struct ts_bytes get_items(struct ts_reader *r, uint32_t *count, size_t value_max,
                                 bool may_go, bool is_text)
{
    *count = ts_get_u32(r);
    size_t from = r->pos;
    struct ts_bytes last = {NULL, 0};
    for (uint32_t i = 0; i < *count && !r->failed; i++) {
        struct south_item item = south_item_get(r);
        bool key_is_good = item.key.len > 0 && item.key.len <= SOUTH_KEY_MAX &&
                           is_plain(item.key) && ascends(last, item.key);
        bool value_is_good = item.value.data == NULL
                                 ? may_go
                                 : item.value.len <= value_max &&
                                       (!is_text || (item.value.len > 0 && is_plain(item.value)));
        if (!key_is_good || !value_is_good) {
            ts_reader_fail(r);
        }
        last = item.key;
    }
    return since(r, from);
}

static struct ts_bytes get_names(struct ts_reader *r, uint32_t *count, uint32_t most)
{
    *count = ts_get_u32(r);
    size_t from = r->pos;
    struct ts_bytes last = {NULL, 0};
    if (*count > most) {
        ts_reader_fail(r);
    }
    for (uint32_t i = 0; i < *count && !r->failed; i++) {
        struct ts_bytes name = south_name_get(r);
        if (!south_name_is_valid(name) || !ascends(last, name)) {
            ts_reader_fail(r);
        }
        last = name;
    }
    return since(r, from);
}

static void put_inventory(struct ts_writer *w, const struct south_inventory *i)
{
    put_text(w, i->vtep);
    put_list(w, i->vifs, i->vif);
    put_list(w, i->uplinks, i->uplink);
}

static void get_inventory(struct ts_reader *r, struct south_inventory *i)
{
    i->vtep = get_text(r, SOUTH_ADDRESS_MAX);
    i->vif = get_names(r, &i->vifs, SOUTH_VIFS_MAX);
    i->uplink = get_names(r, &i->uplinks, SOUTH_UPLINKS_MAX);
}

static void get_counts(struct ts_reader *r, struct south_msg *m)
{
    m->rules = ts_get_u32(r);
    size_t from = r->pos;
    for (uint32_t i = 0; i < m->rules && !r->failed; i++) {
        (void)south_rule_get(r);
    }
    m->rule = since(r, from);
    m->ports = ts_get_u32(r);
    m->port = ts_get_bytes(r, (size_t)m->ports * SOUTH_PORT_COUNT_BYTES);
}

/* ---- messages ---- */

enum ts_err south_frame_next(struct ts_bytes in, struct ts_bytes *body, size_t *used)
{
    struct ts_reader r = ts_reader_init(in.data, in.len);
    uint32_t len = ts_get_u32(&r);
    *used = SOUTH_FRAME_HEADER;
    if (ts_reader_status(&r) != TS_OK) {
        return TS_ERR_SHORT;
    }
    if (len > SOUTH_FRAME_MAX) {
        return TS_ERR_LIMIT;
    }
    if (len < BODY_MIN) {
        return TS_ERR_MALFORMED;
    }
    *used += len;
    *body = ts_get_bytes(&r, len);
    return ts_reader_status(&r);
}

static void put_fields(struct ts_writer *w, const struct south_msg *m)
{
    switch (m->type) {
    case SOUTH_HELLO:
        ts_put_u16(w, m->version);
        put_text(w, m->node);
        ts_put_hash(w, m->boot);
        ts_put_u8(w, m->epoch_lost);
        ts_put_u64(w, m->gen.v);
        ts_put_hash(w, m->digest);
        put_inventory(w, &m->inventory);
        break;
    case SOUTH_ROLE:
        ts_put_u8(w, m->serves);
        put_text(w, m->primary);
        break;
    case SOUTH_SYNC_BEGIN:
        ts_put_u64(w, m->gen.v);
        break;
    case SOUTH_SYNC_PART:
        ts_put_u64(w, m->gen.v);
        ts_put_u32(w, m->part);
        put_list(w, m->items, m->item);
        break;
    case SOUTH_SYNC_END:
        ts_put_u64(w, m->gen.v);
        ts_put_u32(w, m->part);
        ts_put_hash(w, m->digest);
        break;
    case SOUTH_DELTA:
        ts_put_u64(w, m->base.v);
        ts_put_u64(w, m->gen.v);
        ts_put_hash(w, m->digest);
        ts_put_u32(w, m->part);
        ts_put_u8(w, m->last);
        put_list(w, m->items, m->item);
        break;
    case SOUTH_ACK:
        ts_put_u64(w, m->gen.v);
        ts_put_hash(w, m->digest);
        ts_put_u8(w, m->applied);
        ts_put_u8(w, m->want_sync);
        ts_put_u8(w, m->more);
        ts_put_u8(w, m->last);
        put_list(w, m->items, m->item);
        break;
    case SOUTH_INVENTORY:
        put_inventory(w, &m->inventory);
        break;
    case SOUTH_STATS:
        ts_put_u64(w, m->number);
        ts_put_u8(w, m->last);
        put_list(w, m->rules, m->rule);
        put_list(w, m->ports, m->port);
        break;
    case SOUTH_ASK:
    case SOUTH_PING:
    case SOUTH_PONG:
        ts_put_u64(w, m->number);
        break;
    }
}

void south_msg_encode(struct ts_writer *w, const struct south_msg *m)
{
    size_t at = w->len;
    ts_put_u32(w, 0);
    ts_put_u8(w, (uint8_t)m->type);
    ts_put_u64(w, m->epoch.v);
    put_fields(w, m);
    if (!w->failed && w->len - at - SOUTH_FRAME_HEADER > SOUTH_FRAME_MAX) {
        w->failed = true;
    }
    if (!w->failed) {
        ts_put_u32_at(w, at, (uint32_t)(w->len - at - SOUTH_FRAME_HEADER));
    }
}

static void get_hello(struct ts_reader *r, struct south_msg *m)
{
    m->node = get_text(r, SOUTH_NODE_MAX);
    m->boot = ts_get_hash(r);
    m->epoch_lost = ts_get_bool(r);
    m->gen.v = ts_get_u64(r);
    m->digest = ts_get_hash(r);
    get_inventory(r, &m->inventory);
    if (!r->failed && !south_node_is_valid(m->node)) {
        ts_reader_fail(r);
    }
}

static void get_fields(struct ts_reader *r, struct south_msg *m)
{
    switch (m->type) {
    case SOUTH_HELLO:
        get_hello(r, m);
        break;
    case SOUTH_ROLE:
        m->serves = ts_get_bool(r);
        m->primary = get_text(r, SOUTH_ADDRESS_MAX);
        break;
    case SOUTH_SYNC_BEGIN:
        m->gen.v = ts_get_u64(r);
        break;
    case SOUTH_SYNC_PART:
        m->gen.v = ts_get_u64(r);
        m->part = ts_get_u32(r);
        m->item = get_items(r, &m->items, SOUTH_VALUE_MAX, false, false);
        break;
    case SOUTH_SYNC_END:
        m->gen.v = ts_get_u64(r);
        m->part = ts_get_u32(r);
        m->digest = ts_get_hash(r);
        break;
    case SOUTH_DELTA:
        m->base.v = ts_get_u64(r);
        m->gen.v = ts_get_u64(r);
        m->digest = ts_get_hash(r);
        m->part = ts_get_u32(r);
        m->last = ts_get_bool(r);
        m->item = get_items(r, &m->items, SOUTH_VALUE_MAX, true, false);
        break;
    case SOUTH_ACK:
        m->gen.v = ts_get_u64(r);
        m->digest = ts_get_hash(r);
        m->applied = ts_get_bool(r);
        m->want_sync = ts_get_bool(r);
        m->more = ts_get_bool(r);
        m->last = ts_get_bool(r);
        m->item = get_items(r, &m->items, SOUTH_ERROR_MAX, true, true);
        break;
    case SOUTH_INVENTORY:
        get_inventory(r, &m->inventory);
        break;
    case SOUTH_STATS:
        m->number = ts_get_u64(r);
        m->last = ts_get_bool(r);
        get_counts(r, m);
        break;
    case SOUTH_ASK:
    case SOUTH_PING:
    case SOUTH_PONG:
        m->number = ts_get_u64(r);
        break;
    }
}

enum ts_err south_msg_decode(struct south_msg *m, struct ts_bytes body)
{
    struct ts_reader r = ts_reader_init(body.data, body.len);
    uint8_t type = ts_get_u8(&r);
    *m = (struct south_msg){.epoch = {ts_get_u64(&r)}};
    if (ts_reader_status(&r) != TS_OK) {
        return TS_ERR_SHORT;
    }
    if (south_type_name(type) == NULL) {
        return TS_ERR_VERSION;
    }
    m->type = (enum south_type)type;
    if (m->type == SOUTH_HELLO) {
        m->version = ts_get_u16(&r);
        if (!r.failed && m->version != SOUTH_VERSION) {
            return TS_ERR_VERSION;
        }
    }
    get_fields(&r, m);
    enum ts_err err = ts_reader_finish(&r);
    return err == TS_ERR_SHORT ? TS_ERR_MALFORMED : err;
}
