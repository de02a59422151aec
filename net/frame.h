/* Framing of every TCP link between nodes, and the frames that belong to the link
 * itself. Pure functions: this file is the wire specification.
 *
 *     frame: u32 length of what follows | u8 type | payload
 *
 * The first frame of each side is HELLO. All integers are little-endian. */
#ifndef NET_FRAME_H
#define NET_FRAME_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/ids.h"

#define NET_FORMAT_MIN 1 /* the format versions that this build speaks */
#define NET_FORMAT_MAX 1

#define NET_FRAME_HEADER 5
#define NET_FRAME_PAYLOAD_MAX (8u << 20)
#define NET_HELLO_PAYLOAD_MAX 256 /* what a peer may send before it is known */
#define NET_NAME_MAX 64           /* bytes of a cluster or node name, NUL included */
#define NET_REFUSAL_MAX 250       /* bytes of a refusal's text */

/* Types below NET_FRAME_USER belong to net/ and links; owners of links see the others. */
enum net_frame_type {
    NET_FRAME_HELLO = 0,
    NET_FRAME_PING = 1,      /* u64 the sender's stamp */
    NET_FRAME_PONG = 2,      /* the same u64 */
    NET_FRAME_REFUSAL = 3,   /* text: why the link is closed; only instead of a HELLO */
    NET_FRAME_ACTIVATE = 8,  /* u64 generation (replicator/io/links) */
    NET_FRAME_ACTIVATED = 9, /* the same u64 */
    NET_FRAME_REQUEST = 10,  /* the other side is asked to choose another link */
    NET_FRAME_USER = 16,
};

struct net_frame {
    uint8_t type;
    struct ts_bytes payload; /* borrowed from the input */
};

/* The first frame in `in`. Gives its whole size in `*used`.
 * TS_ERR_SHORT: more bytes are needed; `*used` is then the size known to be needed.
 * TS_ERR_LIMIT: the payload exceeds `payload_max`. TS_ERR_MALFORMED: no room for a type. */
enum ts_err net_frame_next(struct ts_bytes in, uint32_t payload_max, struct net_frame *out,
                           size_t *used) TS_MUST_USE;
/* Writes the NET_FRAME_HEADER bytes of a frame; `payload_len` ≤ NET_FRAME_PAYLOAD_MAX. */
void net_frame_header(struct ts_writer *w, uint8_t type, uint32_t payload_len);

/* What a link is for. */
enum net_purpose {
    NET_PURPOSE_REPLICA = 1, /* replica to replica of one group */
    NET_PURPOSE_VOTER = 2,   /* to a voter, and the voter's own answer */
};

/* Who speaks. */
struct net_hello {
    uint16_t version_min; /* format versions the sender speaks */
    uint16_t version_max;
    char cluster[NET_NAME_MAX]; /* must equal the certificate's O */
    struct ts_nic_id node;      /* its configured name must equal the certificate's CN */
    enum net_purpose purpose;
    struct ts_group_id group; /* of the speaking replica; 0 for a voter */
    struct ts_instance instance;
    struct ts_incarnation incarnation;
    uint64_t start; /* start number (R1.8) */
};

/* Codec. Decoding gives TS_ERR_SHORT or TS_ERR_MALFORMED for bytes that are no HELLO, and
 * TS_ERR_VERSION when no format version is common (the version fields are set then). */
void net_hello_encode(const struct net_hello *h, struct ts_writer *w);
enum ts_err net_hello_decode(struct net_hello *h, struct ts_bytes payload) TS_MUST_USE;

#endif
