/* What may be there once only, or must not overlap, as keys that are looked up: each object has the
 * marks that follow from its path and its text alone. A key ends with the object's path.
 *
 *   v NUMBER             a segment's overlay_id
 *   i VIF                a port's attachment
 *   n ROUTER NETWORK     a segment's gateway's network, on its router (a path)
 *   a SEGMENT ADDRESS    a gateway's or a port's address
 *   m SEGMENT MAC        a port's MAC
 *   s ROUTER NETWORK     a static route */
#ifndef SERVICES_NETCTL_MARKS_H
#define SERVICES_NETCTL_MARKS_H

#include <jansson.h>

#include "services/netctl/address.h"
#include "services/netctl/tree.h"

/* Puts the marks of an object, or takes them away. */
void netctl_marks_put(struct netctl_tree *marks, const char *path, const json_t *object,
                      bool comes);
/* Tells each mark of an object without the path at its end: "v\x01…\x01". */
typedef void netctl_marks_tells(void *arg, const char *mark);
void netctl_marks_of(const char *path, const json_t *object, netctl_marks_tells *tells, void *arg);

/* The router whose segment this is, a path; false: it has none, or is not connected. */
bool netctl_segment_router(const char *path, const json_t *segment, char out[NETCTL_PATH_ROOM]);
/* Of 33 letters: its network, so that the order of texts is that of addresses. */
#define NETCTL_NETWORK_TEXT 40
void netctl_network_text(const struct netctl_address *a, char out[NETCTL_NETWORK_TEXT]);
/* Small letters. */
void netctl_mac_text(const char *mac, char out[18]);
/* 10.0.0.1 out of 10.0.0.1/24 and so on, as inet_ntop writes it; false: it is none. */
bool netctl_prefix_address(const char *text, char out[NETCTL_ADDRESS_TEXT_MAX]);

#endif
