/* The heartbeat datagram, encode beside decode: the file is the wire specification.
 *
 * A datagram is HB_SIGNED_BYTES of content and an HMAC-SHA256 over them. The content begins with
 * what can be checked before any cryptography (magic, version, cluster), so that foreign packets
 * cost little. The tag itself is computed by the shell (heartbeat/io/mac.h): a core calls no
 * cryptography.
 *
 * Every heartbeat is a question and an answer at once: it carries the sender's time, and returns
 * (echoes) the newest time that it got from the receiver on this path. The receiver sees its own
 * clock come back, so it knows without any common clock how old the packet can be at most. A
 * packet replayed later, or kept by the network, brings back an old time or an old instance and
 * is no sign of life; see hb_step. */
#ifndef HEARTBEAT_CODEC_H
#define HEARTBEAT_CODEC_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/ids.h"

#define HB_MAGIC 0x42485354U /* "TSHB" */
#define HB_VERSION 1
#define HB_TAG_BYTES 32
#define HB_SIGNED_BYTES 137
#define HB_DATAGRAM_BYTES (HB_SIGNED_BYTES + HB_TAG_BYTES)

/* What a node's nicd says of its replicas (R4.3: the word on a process is evidence). */
struct hb_word {
    uint64_t known;                    /* bit g: nicd said something about group g's replica */
    uint64_t running;                  /* bit g: it runs; only within `known` */
    uint8_t starts[TS_GROUPS_MAX + 1]; /* low byte of nicd's start count, by group id */
};

struct hb_datagram {
    uint64_t cluster; /* hb_cluster_hash */
    struct ts_nic_id from;
    struct ts_nic_id to;
    uint8_t path;                /* index of the path it was sent on */
    struct ts_instance instance; /* of the sender's heartbeatd, never 0 */
    uint64_t number;             /* per instance, receiver and path: rises with each one sent */
    struct ts_mono sent;         /* sender's clock */
    struct ts_instance echo_instance; /* receiver's instance as last heard here, 0 = not heard */
    struct ts_mono echo_sent;         /* receiver's clock as last heard here */
    struct hb_word word;
};

/* Names the cluster on the wire. Tells clusters on one network apart; no defence, that is the tag.
 */
uint64_t hb_cluster_hash(const char *cluster_name);

/* Writes the HB_SIGNED_BYTES that the tag covers. Asserts that `d` is what a decoder accepts.
 * TS_ERR_FULL when they do not fit. */
enum ts_err hb_datagram_encode(const struct hb_datagram *d, struct ts_writer *w) TS_MUST_USE;

/* Checks what needs no key. `datagram` is the whole packet.
 * TS_ERR_MALFORMED: no heartbeat (length, magic)
 * TS_ERR_VERSION:   another format version
 * TS_ERR_REFUSED:   another cluster */
enum ts_err hb_datagram_precheck(struct ts_bytes datagram, uint64_t cluster) TS_MUST_USE;

/* Decodes a packet that passed the precheck and whose tag was verified by the caller.
 * TS_ERR_MALFORMED when a field is out of its range; `d` is then undefined. */
enum ts_err hb_datagram_decode(struct hb_datagram *d, struct ts_bytes datagram) TS_MUST_USE;

/* Whether two tags are equal, in a time that does not depend on where they differ. */
bool hb_tag_eq(const uint8_t a[HB_TAG_BYTES], const uint8_t b[HB_TAG_BYTES]);

bool hb_word_eq(const struct hb_word *a, const struct hb_word *b);

#endif
