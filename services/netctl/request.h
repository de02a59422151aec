/* What the front-end orders or reads, and what it is answered: disk and wire formats. All integers
 * are little-endian.
 *
 *   request: u8 NETCTL_FORMAT · u8 rules · u8 method · u8 length, user · u16 length, path ·
 *            u16 length, cursor · u16 page · u8 flags · u32 length, body
 *   answer:  u16 HTTP status · the body, JSON or nothing
 *
 * `rules` is by which rules a request was ordered: what there is to declare, and what is refused.
 * An entry of a log is carried out by its own, whatever release reads the log (adr/0036). */
#ifndef SERVICES_NETCTL_REQUEST_H
#define SERVICES_NETCTL_REQUEST_H

#include "base/buf.h"
#include "base/err.h"
#include "services/netctl/address.h"

#define NETCTL_FORMAT 2
/* What this release orders by, and the newest that it knows. It rises with each release that knows
 * another field or object, or refuses or does something else: what came with it says so (`since`).
 */
#define NETCTL_RULES 1
#define NETCTL_USER_MAX 128
/* One entry of the log has it, with its head. */
#define NETCTL_BODY_MAX (4U * 1024U * 1024U - 8192U)
#define NETCTL_REQUEST_HEAD_MAX (16 + NETCTL_USER_MAX + NETCTL_PATH_ROOM + NETCTL_ID_MAX)

enum netctl_method {
    NETCTL_GET = 1, /* an object, or a page of a collection */
    NETCTL_PUT = 2,
    NETCTL_PATCH = 3, /* of /infra: the hierarchical one */
    NETCTL_DELETE = 4,
    NETCTL_NODE = 5, /* what a transport node tells of itself; path: its own, or its id */
};

/* enforce_revision_check of the hierarchical PATCH. */
#define NETCTL_FLAG_REVISIONS 1

struct netctl_request {
    uint8_t rules; /* a decoded one's; what is encoded has NETCTL_RULES */
    enum netctl_method method;
    char user[NETCTL_USER_MAX + 1];
    char path[NETCTL_PATH_ROOM];
    char cursor[NETCTL_ID_MAX + 1]; /* "" = from the first one */
    uint16_t page;                  /* objects of a page at most; 0 = the usual number */
    bool revisions;
    struct ts_bytes body; /* borrowed */
};

/* TS_ERR_FULL: the bytes do not take it. */
enum ts_err netctl_request_encode(const struct netctl_request *r, struct ts_writer *w) TS_MUST_USE;
/* TS_ERR_SHORT, TS_ERR_MALFORMED. TS_ERR_VERSION: of another release's format, or by rules that
 * this one does not know. Texts have visible ASCII characters only. */
enum ts_err netctl_request_decode(struct netctl_request *r, struct ts_bytes payload) TS_MUST_USE;

#endif
