/* Addresses, prefixes and MACs of a node's table: from the one text that each has, and back. */
#ifndef SERVICES_AGENT_ADDRESS_H
#define SERVICES_AGENT_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/* ADDRESS/BITS and a NUL byte. */
#define AGENT_ADDRESS_TEXT 64
#define AGENT_MAC_TEXT 18

struct agent_address {
    uint8_t family;    /* 4, 6; 0 = none */
    uint8_t bits;      /* of the prefix; all of them for an address */
    uint8_t bytes[16]; /* the family's, the rest zero */
};

struct agent_mac {
    uint8_t bytes[6];
};

#define AGENT_ADDRESS_ALONE 0      /* no "/BITS" */
#define AGENT_ADDRESS_PREFIX 1     /* "/BITS", all other bits zero */
#define AGENT_ADDRESS_IN_NETWORK 2 /* "/BITS" of the network that the address is in */

/* `text` must be as inet_ntop writes it. TS_ERR_MALFORMED. */
enum ts_err agent_address_parse(struct agent_address *a, const char *text, int form) TS_MUST_USE;
/* With "/BITS" if `bits`. */
const char *agent_address_text(const struct agent_address *a, bool bits,
                               char text[AGENT_ADDRESS_TEXT]);
/* Bytes of an address of its family: 4 or 16. */
size_t agent_address_size(const struct agent_address *a);
/* Bits of an address of its family: 32 or 128. */
unsigned agent_address_bits(const struct agent_address *a);
/* Whether the prefix `a` has all of `b` in it. */
bool agent_address_covers(const struct agent_address *a, const struct agent_address *b);
/* The network of an address that stands in one. */
struct agent_address agent_address_network(const struct agent_address *a);
/* 127/8, ::1, multicast, 0/8, :: … : nothing a port, a gateway or a tunnel's end can have. */
bool agent_address_is_host(const struct agent_address *a);

/* Six small hex pairs; a unicast address, not all zeros. TS_ERR_MALFORMED. */
enum ts_err agent_mac_parse(struct agent_mac *m, const char *text) TS_MUST_USE;
const char *agent_mac_text(const struct agent_mac *m, char text[AGENT_MAC_TEXT]);
/* The link-local IPv6 address that an interface with this MAC gives itself (RFC 4291, appendix A).
 */
struct agent_address agent_mac_link_local(const struct agent_mac *m);

#endif
