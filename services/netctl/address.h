/* The texts in which intent names addresses, ports and other objects. */
#ifndef SERVICES_NETCTL_ADDRESS_H
#define SERVICES_NETCTL_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct net_address {
    bool v6;
    uint8_t bits;      /* of the prefix; 32 or 128 for an address alone */
    uint8_t bytes[16]; /* 4 of IPv4 */
};

#define NET_ADDRESS_TEXT_MAX 52 /* with a prefix length and the NUL */

/* 10.0.0.1, 2001:db8::1. */
bool net_address_read(const char *text, struct net_address *out);
/* With a prefix length; what is behind it is kept. */
bool net_prefix_read(const char *text, struct net_address *out);
/* The network of it: all behind its bits is 0. */
struct net_address net_address_network(const struct net_address *a);
bool net_address_is_in(const struct net_address *network, const struct net_address *a);
/* <0, 0, >0, by family, bytes and bits. */
int net_address_compare(const struct net_address *a, const struct net_address *b);
/* As inet_ntop does; `with_bits`: and "/24". */
void net_address_write(const struct net_address *a, bool with_bits, char out[NET_ADDRESS_TEXT_MAX]);

/* An address, a prefix, or a range of addresses of one family whose end is not before its begin. */
bool net_element_is_valid(const char *text);
bool net_mac_is_valid(const char *text);
/* "80", "1000-2000"; 0..65535, the second one not lower. */
bool net_ports_read(const char *text, uint16_t *first, uint16_t *last);
bool net_ports_are_valid(const char *text);

/* A path of the policy tree: /infra, /infra/segments/web: parts of 1..255 letters, digits and
 * -_.:~@ that are neither "." nor "..", with "/" before each; at most NET_PATH_MAX bytes. */
#define NET_PATH_MAX 1000
#define NET_PATH_ROOM (NET_PATH_MAX + 1)
#define NET_ID_MAX 255
bool net_path_is_valid(const char *text);
bool net_id_is_valid(const char *text, size_t len);

#endif
