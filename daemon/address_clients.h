/* Who is connected at a group's service address, and where: so that whoever has the address next
 * can tell those who only wait that their connections are gone (R4.8, adr/0026). Pure.
 *
 *   front-end of A → address_clients_set       A's own table, by the front-end's places
 *     → address_spread_next → a frame to each other replica: what has changed, a few places at a
 *       time; all of them when a link comes up
 *   B → address_clients_take                   B's copy of A's table
 *     B serves → address_resets_next → a datagram to B's nicd, which sends probes
 *
 * No safety hangs on it: a client that is missing learns later, one that is too many is told
 * nothing that matters. So nothing is acknowledged here, and bounds cut off what exceeds them. */
#ifndef DAEMON_ADDRESS_CLIENTS_H
#define DAEMON_ADDRESS_CLIENTS_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/ids.h"
#include "cluster-cfg/report.h"

/* The front-end has 10,000 places by default. */
#define ADDRESS_CLIENTS_MAX 10240
/* Places that one message may tell of; it then has some 10 KiB. */
#define ADDRESS_CLIENTS_SAID_MAX 512
#define ADDRESS_CLIENTS_BYTES_MAX (8 + ADDRESS_CLIENTS_SAID_MAX * 20)
/* The type of its frames on the link of two replicas; their payload is the message. */
#define ADDRESS_CLIENTS_FRAME 64
/* A connection that comes may bring thousands: others' frames go between two of these. */
#define ADDRESS_CLIENTS_SAY_NS (5 * TS_NS_PER_MS)

/* How often, and how far apart, the clients of the address' former owner are told: a probe or the
 * announcement of the address may get lost. Linux answers two probes within 500 ms once. */
#define ADDRESS_RESETS_ROUNDS 3
#define ADDRESS_RESETS_PAUSE_NS (1 * TS_NS_PER_S)
/* … when nicd's socket had no room, or is not there: twice as long each time, up to a second or so,
 * and for some minutes. Where there is no nicd nobody has the address, and whoever was to be told
 * is when this NIC serves the next time. */
#define ADDRESS_RESETS_RETRY_NS (2 * TS_NS_PER_MS)
#define ADDRESS_RESETS_RETRY_DOUBLINGS 9
#define ADDRESS_RESETS_RETRIES 300

/* A table; one that is all zero is empty. */
struct address_clients {
    uint16_t top; /* no client at this place or above */
    struct report_client at[ADDRESS_CLIENTS_MAX];
};

/* What of a table a peer has still to be told. All zero: nothing. */
struct address_spread {
    bool anew; /* the peer is to forget what it was told first */
    uint64_t due[ADDRESS_CLIENTS_MAX / 64];
    uint32_t due_count;
};

struct address_clients_msg {
    bool v6;
    bool anew; /* what was said before on this link, or another one, counts no more */
    uint16_t count;
    struct {
        uint16_t place;
        struct report_client client; /* port 0: nobody is there */
    } said[ADDRESS_CLIENTS_SAID_MAX];
};

/* The rounds in which the clients of some tables are told. All zero: none is under way. */
struct address_resets {
    uint8_t rounds_left;
    uint16_t retries;  /* since the last datagram that has gone */
    struct ts_mono at; /* the next datagram is due then */
    uint8_t table;     /* where it begins: of the tables … */
    uint16_t place;    /* … and in that table */
    uint8_t to_table;  /* … and where the one behind it does */
    uint16_t to_place;
};

/* ---- tables ---- */

/* `client` is at this place from now on; NULL: nobody. Places beyond the table are not kept. */
void address_clients_set(struct address_clients *t, uint32_t place,
                         const struct report_client *client);
void address_clients_clear(struct address_clients *t);
/* Does what the message says. Who was in a table that is told anew is in `former` afterwards: a
 * replica that ended and was started again knows nobody, perhaps before those are told of whom the
 * one before it had spoken. */
void address_clients_take(struct address_clients *t, struct address_clients *former,
                          const struct address_clients_msg *msg);

/* ---- telling a peer ---- */

/* All of the table is to be told, to a peer that may know another one. */
void address_spread_anew(struct address_spread *sp, const struct address_clients *t);
/* What is at this place is to be told. */
void address_spread_mark(struct address_spread *sp, uint32_t place);
/* Whether there is anything to be told. Then `msg` is it, or its next part, and counts as told. */
bool address_spread_next(struct address_spread *sp, const struct address_clients *t, bool v6,
                         struct address_clients_msg *msg);

enum ts_err address_clients_encode(const struct address_clients_msg *msg,
                                   struct ts_writer *w) TS_MUST_USE;
/* TS_ERR_MALFORMED: not such a message, or not one of this family of addresses. `msg` is undefined
 * then. */
enum ts_err address_clients_decode(struct address_clients_msg *msg, bool v6,
                                   struct ts_bytes bytes) TS_MUST_USE;

/* ---- telling nicd ---- */

/* This NIC has the address from now on. */
void address_resets_begin(struct address_resets *a, struct ts_mono now);
void address_resets_stop(struct address_resets *a);
/* TS_MONO_NEVER: no round is under way. */
struct ts_mono address_resets_deadline(const struct address_resets *a);
/* Whether a datagram is due: then it is `out`, of which group and family are the caller's, and
 * address_resets_sent tells what became of it. When the last round is over the tables are cleared:
 * all in them were told. */
bool address_resets_next(struct address_resets *a, struct address_clients *const *tables,
                         uint8_t table_count, struct ts_mono now, struct report_reset *out);
/* What address_resets_next gave has gone, or the rest is to wait a little (`gone` false); after too
 * many of these no round is under way any more, and the tables are as they were. */
void address_resets_sent(struct address_resets *a, struct ts_mono now, bool gone);

#endif
