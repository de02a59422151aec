/* The cluster's certificate authority, in a directory that an operator keeps:
 *     ca.key (0600)  ca.pem  heartbeat.key (0600, 32 random bytes for the HMAC of heartbeats)
 * A node gets ca.pem, node.pem, node.key (0600), heartbeat.key (0600), and as the last one the
 * empty file `issued`: with it the others are complete. A transport node's agent gets the same but
 * for the heartbeat key. Files are written aside, synced, renamed, and the directory is synced. */
#ifndef NET_CA_H
#define NET_CA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/io/files.h"

#define CA_HEARTBEAT_KEY_BYTES 32
#define CA_ISSUED "issued"
/* OU of a certificate of a transport node's agent; those of nodes have none. */
#define CA_AGENT_UNIT "transport-node"
#define CA_NAME_MAX 63 /* bytes of a cluster or node name */
#define CA_AUTHORITY_DAYS 3650
#define CA_NODE_DAYS 365

/* When a certificate holds: seconds since the Unix epoch. */
struct ca_validity {
    int64_t not_before;
    int64_t not_after;
};

/* From an hour ago (clocks differ) for `days` days from now. */
struct ca_validity ca_validity_days(unsigned days);

/* Makes the directory (mode 0700; it may exist when it is empty) with an authority for `cluster`:
 * an ECDSA P-256 key and a certificate for CA_AUTHORITY_DAYS. The directory appears complete or not
 * at all. TS_ERR_EXISTS: the directory is not empty: an authority is never overwritten;
 * TS_ERR_LIMIT: the name is empty or longer than CA_NAME_MAX; others as in base/io/files.h. */
enum ts_err ca_init(const char *dir, const char *cluster, struct ts_why *why) TS_MUST_USE;
/* What clients may call a node besides its name: numeric addresses. Borrowed. */
#define CA_ADDRESSES_MAX 64
struct ca_addresses {
    size_t count;
    const char *address[CA_ADDRESSES_MAX];
};

/* Issues a certificate CN = `node`, which is also its DNS name, with `addresses` (NULL: none), O =
 * the authority's cluster, for both sides of TLS, with a new key, and writes the files to `out_dir`
 * (made when missing), replacing older ones. After an interruption: issue again. TS_ERR_NOT_FOUND:
 * no authority in `dir`; TS_ERR_MALFORMED: its files are damaged; TS_ERR_LIMIT: the name;
 * TS_ERR_MALFORMED: an address; others as in base/io/files.h. */
enum ts_err ca_issue(const char *dir, const char *node, const char *out_dir,
                     const struct ca_addresses *addresses, struct ca_validity validity,
                     struct ts_why *why) TS_MUST_USE;
/* Issues a certificate for the agent of the transport node `node`, as ca_issue does, but: OU =
 * CA_AGENT_UNIT, for the client's side of TLS alone, without other names; and without
 * heartbeat.key, of which an older one in `out_dir` is removed. So its key opens the agents' port
 * of a network controller and nothing else (net/tls.h). Errors as of ca_issue. */
enum ts_err ca_issue_agent(const char *dir, const char *node, const char *out_dir,
                           struct ca_validity validity, struct ts_why *why) TS_MUST_USE;
/* What a certificate says, and who says so. */
struct ca_paper {
    struct ca_validity validity;
    bool of_authority; /* signed by the authority that was asked for */
};

/* Reads node.pem of a node's directory, and whether the authority in `dir` signed it. Of the checks
 * that peers make no other is made. TS_ERR_NOT_FOUND; TS_ERR_MALFORMED: one of the two is damaged.
 */
enum ts_err ca_inspect(const char *dir, const char *node_dir, struct ca_paper *out,
                       struct ts_why *why) TS_MUST_USE;
/* Reads heartbeat.key of a node's or the authority's directory.
 * TS_ERR_NOT_FOUND; TS_ERR_MALFORMED: not CA_HEARTBEAT_KEY_BYTES long; TS_ERR_IO. */
enum ts_err ca_heartbeat_key(const char *dir, uint8_t key[CA_HEARTBEAT_KEY_BYTES],
                             struct ts_why *why) TS_MUST_USE;

#endif
