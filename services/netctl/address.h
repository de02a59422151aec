/* The texts in which intent names addresses, ports and other objects. */
#ifndef SERVICES_NETCTL_ADDRESS_H
#define SERVICES_NETCTL_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct netctl_address {
    bool v6;
    uint8_t bits;      /* of the prefix; 32 or 128 for an address alone */
    uint8_t bytes[16]; /* 4 of IPv4 */
};

#define NETCTL_ADDRESS_TEXT_MAX 52 /* with a prefix length and the NUL */

/* 10.0.0.1, 2001:db8::1. */
bool netctl_address_read(const char *text, struct netctl_address *out);
/* With a prefix length; what is behind it is kept. */
bool netctl_prefix_read(const char *text, struct netctl_address *out);
/* The network of it: all behind its bits is 0. */
struct netctl_address netctl_address_network(const struct netctl_address *a);
bool netctl_address_is_in(const struct netctl_address *network, const struct netctl_address *a);
/* What a port, a gateway or a tunnel's end can have: no 127/8, ::1, multicast, 0/8, ::. */
bool netctl_address_is_host(const struct netctl_address *a);
/* <0, 0, >0, by family, bytes and bits. */
int netctl_address_compare(const struct netctl_address *a, const struct netctl_address *b);
/* As inet_ntop does; `with_bits`: and "/24". */
void netctl_address_write(const struct netctl_address *a, bool with_bits,
                          char out[NETCTL_ADDRESS_TEXT_MAX]);

/* An address, a prefix, or a range of addresses of one family whose end is not before its begin. */
bool netctl_element_is_valid(const char *text);
bool netctl_mac_is_valid(const char *text);
/* "80", "1000-2000"; 0..65535, the second one not lower. */
bool netctl_ports_read(const char *text, uint16_t *first, uint16_t *last);
bool netctl_ports_are_valid(const char *text);

/* A path of the policy tree: /infra, /infra/segments/web: parts of 1..255 letters, digits and
 * -_.:~@ that are neither "." nor "..", with "/" before each; at most NETCTL_PATH_MAX bytes. */
#define NETCTL_PATH_MAX 1000
#define NETCTL_PATH_ROOM (NETCTL_PATH_MAX + 1)
#define NETCTL_ID_MAX 255
bool netctl_path_is_valid(const char *text);
bool netctl_id_is_valid(const char *text, size_t len);

#endif
