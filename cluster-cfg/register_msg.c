#include "cluster-cfg/register_msg.h"

#include <string.h>

#include "base/assert.h"

int reg_ballot_cmp(struct reg_ballot a, struct reg_ballot b)
{
    if (a.counter != b.counter) {
        return a.counter < b.counter ? -1 : 1;
    }
    if (a.proposer.v != b.proposer.v) {
        return a.proposer.v < b.proposer.v ? -1 : 1;
    }
    if (a.instance.v != b.instance.v) {
        return a.instance.v < b.instance.v ? -1 : 1;
    }
    return 0;
}

bool reg_ballot_is_zero(struct reg_ballot b)
{
    return b.counter == 0 && b.proposer.v == 0 && b.instance.v == 0;
}

bool reg_value_eq(const struct reg_value *a, const struct reg_value *b)
{
    ts_assert(a->len <= REG_VALUE_MAX && b->len <= REG_VALUE_MAX);
    return a->len == b->len && memcmp(a->data, b->data, a->len) == 0;
}

bool reg_owner_eq(struct reg_owner a, struct reg_owner b)
{
    return a.kind == b.kind && a.group.v == b.group.v && ts_nic_eq(a.node, b.node);
}

bool reg_start_eq(const struct reg_start *a, const struct reg_start *b)
{
    return reg_owner_eq(a->owner, b->owner) && ts_incarnation_eq(a->incarnation, b->incarnation) &&
           a->start == b->start && ts_instance_eq(a->instance, b->instance);
}

bool reg_places_has(const struct reg_places *s, struct ts_incarnation disk)
{
    ts_assert(s->count <= REG_PLACES_MAX);
    for (size_t i = 0; i < s->count; i++) {
        if (ts_incarnation_eq(s->v[i], disk)) {
            return true;
        }
    }
    return false;
}

void reg_places_add(struct reg_places *s, struct ts_incarnation disk)
{
    ts_assert(disk.v != 0);
    if (reg_places_has(s, disk)) {
        return;
    }
    s->count = (uint8_t)(s->count + (s->count < REG_PLACES_MAX));
    memmove(&s->v[1], &s->v[0], (s->count - 1U) * sizeof(s->v[0]));
    s->v[0] = disk;
}

static const char *const MSG_NAMES[REG_MSG_TYPE_MAX + 1] = {
#define REG_MSG_NAME(sym, value, name) [value] = name,
    REG_MSG_LIST(REG_MSG_NAME)
#undef REG_MSG_NAME
};

static const char *const NACK_NAMES[] = {
#define REG_NACK_NAME(sym, value, name) [value] = name,
    REG_NACK_LIST(REG_NACK_NAME)
#undef REG_NACK_NAME
};

const char *reg_msg_name(enum reg_msg_type type)
{
    size_t i = (size_t)type;
    return i <= REG_MSG_TYPE_MAX && MSG_NAMES[i] != NULL ? MSG_NAMES[i] : "?";
}

const char *reg_nack_name(enum reg_nack_reason reason)
{
    size_t i = (size_t)reason;
    return i < sizeof(NACK_NAMES) / sizeof(NACK_NAMES[0]) ? NACK_NAMES[i] : "?";
}

void reg_ballot_encode(struct reg_ballot b, struct ts_writer *w)
{
    ts_put_u64(w, b.counter);
    ts_put_u16(w, b.proposer.v);
    ts_put_u64(w, b.instance.v);
}

/* Either all zero (none, or formation's) or a real proposer's: nothing in between. */
void reg_ballot_decode(struct reg_ballot *b, struct ts_reader *r)
{
    b->counter = ts_get_u64(r);
    b->proposer.v = ts_get_u16(r);
    b->instance.v = ts_get_u64(r);
    if (reg_ballot_is_zero(*b)) {
        return;
    }
    if (b->counter == 0 || b->counter >= REG_COUNTER_MAX || b->proposer.v == 0 ||
        b->proposer.v > TS_NODES_MAX || b->instance.v == 0) {
        ts_reader_fail(r);
    }
}

/* Of a request and its reply: somebody's ballot, never the zero one. */
static void request_ballot_decode(struct reg_ballot *b, struct ts_reader *r)
{
    reg_ballot_decode(b, r);
    if (reg_ballot_is_zero(*b)) {
        ts_reader_fail(r);
    }
}

void reg_value_encode(const struct reg_value *v, struct ts_writer *w)
{
    ts_assert(v->len <= REG_VALUE_MAX);
    ts_put_u16(w, v->len);
    ts_put_bytes(w, v->data, v->len);
}

void reg_value_decode(struct reg_value *v, struct ts_reader *r)
{
    *v = (struct reg_value){0};
    uint16_t len = ts_get_u16(r);
    if (len > REG_VALUE_MAX) {
        ts_reader_fail(r);
        return;
    }
    struct ts_bytes b = ts_get_bytes(r, len);
    if (b.len > 0) {
        memcpy(v->data, b.data, b.len);
        v->len = len;
    }
}

static void owner_encode(const struct reg_owner *o, struct ts_writer *w)
{
    ts_put_u8(w, (uint8_t)o->kind);
    ts_put_u16(w, o->group.v);
    ts_put_u16(w, o->node.v);
}

static void owner_decode(struct reg_owner *o, struct ts_reader *r)
{
    uint8_t kind = ts_get_u8(r);
    o->kind = (enum reg_owner_kind)kind;
    o->group.v = ts_get_u16(r);
    o->node.v = ts_get_u16(r);
    bool replica = kind == REG_OWNER_REPLICA && o->group.v >= 1 && o->group.v <= TS_GROUPS_MAX;
    bool voter = kind == REG_OWNER_VOTER && o->group.v == 0;
    if ((!replica && !voter) || o->node.v == 0 || o->node.v > TS_NODES_MAX) {
        ts_reader_fail(r);
    }
}

void reg_start_encode(const struct reg_start *s, struct ts_writer *w)
{
    owner_encode(&s->owner, w);
    ts_put_u64(w, s->incarnation.v);
    ts_put_u64(w, s->start);
    ts_put_u64(w, s->instance.v);
}

void reg_start_decode(struct reg_start *s, struct ts_reader *r)
{
    owner_decode(&s->owner, r);
    s->incarnation.v = ts_get_u64(r);
    s->start = ts_get_u64(r);
    s->instance.v = ts_get_u64(r);
    if (s->incarnation.v == 0 || s->start == 0 || s->instance.v == 0) {
        ts_reader_fail(r);
    }
}

void reg_places_encode(const struct reg_places *s, struct ts_writer *w)
{
    ts_assert(s->count <= REG_PLACES_MAX);
    ts_put_u8(w, s->count);
    for (size_t i = 0; i < s->count; i++) {
        ts_put_u64(w, s->v[i].v);
    }
}

void reg_places_decode(struct reg_places *s, struct ts_reader *r)
{
    *s = (struct reg_places){0};
    uint8_t count = ts_get_u8(r);
    if (count > REG_PLACES_MAX) {
        ts_reader_fail(r);
        return;
    }
    for (; s->count < count; s->count++) {
        struct ts_incarnation disk = {ts_get_u64(r)};
        if (disk.v == 0 || reg_places_has(s, disk)) {
            ts_reader_fail(r);
            return;
        }
        s->v[s->count] = disk;
    }
}

static void prepare_encode(const struct reg_prepare *m, struct ts_writer *w)
{
    ts_put_u32(w, m->reg);
    reg_ballot_encode(m->ballot, w);
}

static void prepare_decode(struct reg_prepare *m, struct ts_reader *r)
{
    m->reg = ts_get_u32(r);
    request_ballot_decode(&m->ballot, r);
}

static void promise_encode(const struct reg_promise *m, struct ts_writer *w)
{
    ts_put_u32(w, m->reg);
    reg_ballot_encode(m->ballot, w);
    reg_ballot_encode(m->accepted, w);
    ts_put_u8(w, m->value.len > 0);
    reg_value_encode(&m->value, w);
}

static void promise_decode(struct reg_promise *m, struct ts_reader *r)
{
    m->reg = ts_get_u32(r);
    request_ballot_decode(&m->ballot, r);
    reg_ballot_decode(&m->accepted, r);
    bool has_value = ts_get_bool(r);
    reg_value_decode(&m->value, r);
    /* Whoever promises this ballot strictly raised it: nothing was accepted at or above it. */
    if (has_value != (m->value.len > 0) || (!has_value && !reg_ballot_is_zero(m->accepted)) ||
        reg_ballot_cmp(m->accepted, m->ballot) >= 0) {
        ts_reader_fail(r);
    }
}

static void accept_encode(const struct reg_accept *m, struct ts_writer *w)
{
    ts_put_u32(w, m->reg);
    reg_ballot_encode(m->ballot, w);
    ts_put_u64(w, m->generation);
    reg_value_encode(&m->value, w);
}

static void accept_decode(struct reg_accept *m, struct ts_reader *r)
{
    m->reg = ts_get_u32(r);
    request_ballot_decode(&m->ballot, r);
    m->generation = ts_get_u64(r);
    reg_value_decode(&m->value, r);
    if (m->generation == 0 || m->value.len == 0) {
        ts_reader_fail(r);
    }
}

static void accepted_encode(const struct reg_accepted *m, struct ts_writer *w)
{
    ts_put_u32(w, m->reg);
    reg_ballot_encode(m->ballot, w);
}

static void accepted_decode(struct reg_accepted *m, struct ts_reader *r)
{
    m->reg = ts_get_u32(r);
    request_ballot_decode(&m->ballot, r);
}

static void nack_encode(const struct reg_nack *m, struct ts_writer *w)
{
    ts_put_u32(w, m->reg);
    reg_ballot_encode(m->ballot, w);
    reg_ballot_encode(m->promised, w);
    ts_put_u8(w, (uint8_t)m->reason);
}

static void nack_decode(struct reg_nack *m, struct ts_reader *r)
{
    m->reg = ts_get_u32(r);
    request_ballot_decode(&m->ballot, r);
    reg_ballot_decode(&m->promised, r);
    uint8_t reason = ts_get_u8(r);
    if (reason >= REG_NACK_REASONS) {
        ts_reader_fail(r);
    }
    m->reason = (enum reg_nack_reason)reason;
}

static void start_refused_encode(const struct reg_start_refused *m, struct ts_writer *w)
{
    reg_start_encode(&m->asked, w);
    ts_put_u64(w, m->registered_start);
    ts_put_u64(w, m->registered_instance.v);
}

static void start_refused_decode(struct reg_start_refused *m, struct ts_reader *r)
{
    reg_start_decode(&m->asked, r);
    m->registered_start = ts_get_u64(r);
    m->registered_instance.v = ts_get_u64(r);
    /* Only such a registration refuses: anything else must not end a process. */
    bool above = m->registered_start > m->asked.start;
    bool other = m->registered_start == m->asked.start &&
                 !ts_instance_eq(m->registered_instance, m->asked.instance);
    if ((!above && !other) || m->registered_instance.v == 0) {
        ts_reader_fail(r);
    }
}

static void blank_encode(const struct reg_blank *m, struct ts_writer *w)
{
    ts_put_u32(w, m->reg);
    reg_ballot_encode(m->ballot, w);
    ts_put_u64(w, m->disk.v);
    reg_places_encode(&m->places, w);
}

static void blank_decode(struct reg_blank *m, struct ts_reader *r)
{
    m->reg = ts_get_u32(r);
    request_ballot_decode(&m->ballot, r);
    m->disk.v = ts_get_u64(r);
    reg_places_decode(&m->places, r);
    if (m->disk.v == 0 || m->places.count == 0 || reg_places_has(&m->places, m->disk)) {
        ts_reader_fail(r);
    }
}

static void starts_ask_encode(const struct reg_starts_ask *m, struct ts_writer *w)
{
    ts_put_u64(w, m->session);
    ts_put_u16(w, m->index);
}

static void starts_ask_decode(struct reg_starts_ask *m, struct ts_reader *r)
{
    m->session = ts_get_u64(r);
    m->index = ts_get_u16(r);
    if (m->session == 0) {
        ts_reader_fail(r);
    }
}

static void starts_tell_encode(const struct reg_starts_tell *m, struct ts_writer *w)
{
    ts_put_u64(w, m->session);
    ts_put_u16(w, m->index);
    ts_put_u8(w, m->has);
    if (m->has) {
        reg_start_encode(&m->start, w);
    }
}

static void starts_tell_decode(struct reg_starts_tell *m, struct ts_reader *r)
{
    m->session = ts_get_u64(r);
    m->index = ts_get_u16(r);
    m->has = ts_get_bool(r);
    if (m->has) {
        reg_start_decode(&m->start, r);
    }
    if (m->session == 0) {
        ts_reader_fail(r);
    }
}

void reg_msg_encode(const struct reg_msg *msg, struct ts_writer *w)
{
    switch (msg->type) {
    case REG_MSG_PREPARE:
        prepare_encode(&msg->prepare, w);
        return;
    case REG_MSG_PROMISE:
        promise_encode(&msg->promise, w);
        return;
    case REG_MSG_ACCEPT:
        accept_encode(&msg->accept, w);
        return;
    case REG_MSG_ACCEPTED:
        accepted_encode(&msg->accepted, w);
        return;
    case REG_MSG_NACK:
        nack_encode(&msg->nack, w);
        return;
    case REG_MSG_START:
        reg_start_encode(&msg->start, w);
        return;
    case REG_MSG_START_OK:
        reg_start_encode(&msg->start_ok, w);
        return;
    case REG_MSG_START_REFUSED:
        start_refused_encode(&msg->refused, w);
        return;
    case REG_MSG_BLANK:
        blank_encode(&msg->blank, w);
        return;
    case REG_MSG_STARTS_ASK:
        starts_ask_encode(&msg->starts_ask, w);
        return;
    case REG_MSG_STARTS_TELL:
        starts_tell_encode(&msg->starts_tell, w);
        return;
    }
    ts_unreachable();
}

enum ts_err reg_msg_decode(struct reg_msg *msg, uint8_t type, struct ts_bytes payload)
{
    struct ts_reader r = ts_reader_init(payload.data, payload.len);
    memset(msg, 0, sizeof(*msg));
    msg->type = (enum reg_msg_type)type;
    switch (msg->type) {
    case REG_MSG_PREPARE:
        prepare_decode(&msg->prepare, &r);
        break;
    case REG_MSG_PROMISE:
        promise_decode(&msg->promise, &r);
        break;
    case REG_MSG_ACCEPT:
        accept_decode(&msg->accept, &r);
        break;
    case REG_MSG_ACCEPTED:
        accepted_decode(&msg->accepted, &r);
        break;
    case REG_MSG_NACK:
        nack_decode(&msg->nack, &r);
        break;
    case REG_MSG_START:
        reg_start_decode(&msg->start, &r);
        break;
    case REG_MSG_START_OK:
        reg_start_decode(&msg->start_ok, &r);
        break;
    case REG_MSG_START_REFUSED:
        start_refused_decode(&msg->refused, &r);
        break;
    case REG_MSG_BLANK:
        blank_decode(&msg->blank, &r);
        break;
    case REG_MSG_STARTS_ASK:
        starts_ask_decode(&msg->starts_ask, &r);
        break;
    case REG_MSG_STARTS_TELL:
        starts_tell_decode(&msg->starts_tell, &r);
        break;
    default:
        return TS_ERR_MALFORMED;
    }
    return ts_reader_finish(&r);
}
