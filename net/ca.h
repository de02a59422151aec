/* The cluster's certificate authority, in a directory that an operator keeps:
 *     ca.key (0600)  ca.pem  heartbeat.key (0600, 32 random bytes for the HMAC of heartbeats)
 * A node gets ca.pem, node.pem, node.key (0600) and heartbeat.key (0600).
 * Files are written aside, synced, renamed, and the directory is synced. */
#ifndef NET_CA_H
#define NET_CA_H

#include <stdint.h>

#include "base/err.h"

#define CA_WHY_MAX 320
#define CA_HEARTBEAT_KEY_BYTES 32
#define CA_AUTHORITY_DAYS 3650
#define CA_NODE_DAYS 365

/* When a certificate holds: seconds since the Unix epoch. */
struct ca_validity {
    int64_t not_before;
    int64_t not_after;
};

/* From an hour ago (clocks differ) for `days` days from now. */
struct ca_validity ca_validity_days(unsigned days);

/* Makes the directory (mode 0700, one level) when missing and an authority for `cluster` in it:
 * an ECDSA P-256 key and a certificate for CA_AUTHORITY_DAYS. On failure `why` says what and
 * where. TS_ERR_EXISTS: there is one already, which is never overwritten; TS_ERR_LIMIT: the name
 * is empty or longer than 63 bytes; TS_ERR_IO, TS_ERR_NOSPACE, TS_ERR_SYSTEM. */
enum ts_err ca_init(const char *dir, const char *cluster, char why[CA_WHY_MAX]) TS_MUST_USE;
/* Issues a certificate CN = `node`, O = the authority's cluster, for both sides of TLS, with a new
 * key, and writes the four files to `out_dir` (made when missing, one level), replacing
 * older ones. Errors as above, and TS_ERR_NOT_FOUND: no authority in `dir`; TS_ERR_MALFORMED: its
 * files are damaged. */
enum ts_err ca_issue(const char *dir, const char *node, const char *out_dir,
                     struct ca_validity validity, char why[CA_WHY_MAX]) TS_MUST_USE;
/* Reads heartbeat.key of a node's or the authority's directory.
 * TS_ERR_NOT_FOUND; TS_ERR_MALFORMED: not CA_HEARTBEAT_KEY_BYTES long; TS_ERR_IO. */
enum ts_err ca_heartbeat_key(const char *dir, uint8_t key[CA_HEARTBEAT_KEY_BYTES],
                             char why[CA_WHY_MAX]) TS_MUST_USE;

#endif
