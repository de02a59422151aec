#include "daemon/address_clients.h"

#include <string.h>

#include "base/assert.h"

#define MESSAGE_VERSION 1

/* ---- tables ---- */

void address_clients_set(struct address_clients *t, uint32_t place,
                         const struct report_client *client)
{
    if (place >= ADDRESS_CLIENTS_MAX) {
        return;
    }
    t->at[place] = client != NULL ? *client : (struct report_client){.port = 0};
    if (t->at[place].port != 0 && place >= t->top) {
        t->top = (uint16_t)(place + 1);
    }
    while (t->top > 0 && t->at[t->top - 1].port == 0) {
        t->top--;
    }
}

void address_clients_clear(struct address_clients *t)
{
    memset(t->at, 0, t->top * sizeof(t->at[0]));
    t->top = 0;
}

void address_clients_take(struct address_clients *t, struct address_clients *former,
                          const struct address_clients_msg *msg)
{
    if (msg->anew && t->top > 0) {
        *former = *t;
        address_clients_clear(t);
    }
    for (uint16_t i = 0; i < msg->count; i++) {
        address_clients_set(t, msg->said[i].place, &msg->said[i].client);
    }
}

/* ---- telling a peer ---- */

void address_spread_mark(struct address_spread *sp, uint32_t place)
{
    if (place < ADDRESS_CLIENTS_MAX && (sp->due[place / 64] >> (place % 64) & 1) == 0) {
        sp->due[place / 64] |= 1ULL << (place % 64);
        sp->due_count++;
    }
}

void address_spread_anew(struct address_spread *sp, const struct address_clients *t)
{
    *sp = (struct address_spread){.anew = true};
    for (uint16_t i = 0; i < t->top; i++) {
        if (t->at[i].port != 0) {
            address_spread_mark(sp, i);
        }
    }
}

bool address_spread_next(struct address_spread *sp, const struct address_clients *t, bool v6,
                         struct address_clients_msg *msg)
{
    if (!sp->anew && sp->due_count == 0) {
        return false;
    }
    msg->v6 = v6;
    msg->anew = sp->anew;
    msg->count = 0;
    sp->anew = false;
    for (size_t word = 0; sp->due_count > 0 && word < sizeof(sp->due) / sizeof(sp->due[0]);
         word++) {
        while (sp->due[word] != 0 && msg->count < ADDRESS_CLIENTS_SAID_MAX) {
            unsigned bit = (unsigned)__builtin_ctzll(sp->due[word]);
            uint16_t place = (uint16_t)(word * 64 + bit);
            sp->due[word] &= ~(1ULL << bit);
            sp->due_count--;
            msg->said[msg->count].place = place;
            msg->said[msg->count].client = t->at[place];
            msg->count++;
        }
    }
    return true;
}

enum ts_err address_clients_encode(const struct address_clients_msg *msg, struct ts_writer *w)
{
    ts_assert(msg->count <= ADDRESS_CLIENTS_SAID_MAX);
    ts_put_u8(w, MESSAGE_VERSION);
    ts_put_u8(w, msg->v6 ? 1 : 0);
    ts_put_u8(w, msg->anew ? 1 : 0);
    ts_put_u16(w, msg->count);
    for (uint16_t i = 0; i < msg->count; i++) {
        ts_put_u16(w, msg->said[i].place);
        report_client_put(w, &msg->said[i].client, msg->v6);
    }
    return ts_writer_status(w);
}

enum ts_err address_clients_decode(struct address_clients_msg *msg, bool v6, struct ts_bytes bytes)
{
    struct ts_reader r = ts_reader_init(bytes.data, bytes.len);
    bool known = ts_get_u8(&r) == MESSAGE_VERSION;
    msg->v6 = ts_get_bool(&r);
    msg->anew = ts_get_bool(&r);
    msg->count = ts_get_u16(&r);
    if (!known || msg->v6 != v6 || msg->count > ADDRESS_CLIENTS_SAID_MAX) {
        return TS_ERR_MALFORMED;
    }
    for (uint16_t i = 0; i < msg->count; i++) {
        msg->said[i].place = ts_get_u16(&r);
        msg->said[i].client = report_client_get(&r, v6);
        if (msg->said[i].place >= ADDRESS_CLIENTS_MAX) {
            ts_reader_fail(&r);
        }
    }
    return ts_reader_finish(&r) == TS_OK ? TS_OK : TS_ERR_MALFORMED;
}

/* ---- telling nicd ---- */

void address_resets_begin(struct address_resets *a, struct ts_mono now)
{
    *a = (struct address_resets){.rounds_left = ADDRESS_RESETS_ROUNDS, .at = now};
}

void address_resets_stop(struct address_resets *a)
{
    a->rounds_left = 0;
}

struct ts_mono address_resets_deadline(const struct address_resets *a)
{
    return a->rounds_left > 0 ? a->at : TS_MONO_NEVER;
}

static void end_round(struct address_resets *a, struct address_clients *const *tables,
                      uint8_t table_count, struct ts_mono now)
{
    a->rounds_left--;
    a->at = ts_mono_add(now, ADDRESS_RESETS_PAUSE_NS);
    a->table = 0;
    a->place = 0;
    for (uint8_t i = 0; a->rounds_left == 0 && i < table_count; i++) {
        address_clients_clear(tables[i]);
    }
}

bool address_resets_next(struct address_resets *a, struct address_clients *const *tables,
                         uint8_t table_count, struct ts_mono now, struct report_reset *out)
{
    if (a->rounds_left == 0 || ts_mono_lt(now, a->at)) {
        return false;
    }
    out->round = (uint8_t)(ADDRESS_RESETS_ROUNDS - a->rounds_left);
    out->count = 0;
    a->to_table = a->table;
    a->to_place = a->place;
    while (a->to_table < table_count && out->count < REPORT_CLIENTS_MAX) {
        const struct address_clients *t = tables[a->to_table];
        if (a->to_place >= t->top) {
            a->to_table++;
            a->to_place = 0;
            continue;
        }
        if (t->at[a->to_place].port != 0) {
            out->c[out->count++] = t->at[a->to_place];
        }
        a->to_place++;
    }
    if (out->count == 0) {
        end_round(a, tables, table_count, now);
    }
    return out->count > 0;
}

void address_resets_sent(struct address_resets *a, struct ts_mono now, bool gone)
{
    if (gone) {
        a->table = a->to_table;
        a->place = a->to_place;
        a->retries = 0;
        return;
    }
    unsigned doublings =
        a->retries < ADDRESS_RESETS_RETRY_DOUBLINGS ? a->retries : ADDRESS_RESETS_RETRY_DOUBLINGS;
    a->at = ts_mono_add(now, ADDRESS_RESETS_RETRY_NS << doublings);
    a->retries++;
    if (a->retries == ADDRESS_RESETS_RETRIES) {
        address_resets_stop(a);
    }
}
