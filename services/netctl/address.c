#include "services/netctl/address.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"

bool netctl_address_read(const char *text, struct netctl_address *out)
{
    bool v6 = strchr(text, ':') != NULL;
    *out = (struct netctl_address){.v6 = v6, .bits = v6 ? 128 : 32};
    return inet_pton(v6 ? AF_INET6 : AF_INET, text, out->bytes) == 1;
}

/* Digits only, no leading zero, at most `max`; -1: not that. */
static long read_decimal(const char *text, size_t len, long max)
{
    long v = 0;
    if (len == 0 || len > 5 || (text[0] == '0' && len > 1)) {
        return -1;
    }
    for (size_t i = 0; i < len; i++) {
        if (text[i] < '0' || text[i] > '9') {
            return -1;
        }
        v = 10 * v + (text[i] - '0');
    }
    return v <= max ? v : -1;
}

bool netctl_prefix_read(const char *text, struct netctl_address *out)
{
    char address[NETCTL_ADDRESS_TEXT_MAX];
    const char *slash = strchr(text, '/');
    size_t len = slash == NULL ? 0 : (size_t)(slash - text);
    if (slash == NULL || len >= sizeof(address)) {
        return false;
    }
    memcpy(address, text, len);
    address[len] = '\0';
    if (!netctl_address_read(address, out)) {
        return false;
    }
    long bits = read_decimal(slash + 1, strlen(slash + 1), out->v6 ? 128 : 32);
    out->bits = (uint8_t)bits;
    return bits >= 0;
}

struct netctl_address netctl_address_network(const struct netctl_address *a)
{
    struct netctl_address n = *a;
    for (size_t i = 0; i < sizeof(n.bytes); i++) {
        size_t before = 8 * i;
        size_t kept = n.bits <= before ? 0 : n.bits - before;
        unsigned mask = kept >= 8 ? 0xffU : (0xff00U >> kept) & 0xffU;
        n.bytes[i] = (uint8_t)(n.bytes[i] & mask);
    }
    return n;
}

bool netctl_address_is_in(const struct netctl_address *network, const struct netctl_address *a)
{
    struct netctl_address want = netctl_address_network(network);
    struct netctl_address have = *a;
    have.bits = network->bits;
    have = netctl_address_network(&have);
    return network->v6 == a->v6 && network->bits <= a->bits &&
           memcmp(want.bytes, have.bytes, sizeof(want.bytes)) == 0;
}

bool netctl_address_is_host(const struct netctl_address *a)
{
    static const uint8_t none[15];
    return a->v6 ? a->bytes[0] != 0xff && (memcmp(a->bytes, none, 15) != 0 || a->bytes[15] > 1)
                 : a->bytes[0] != 0 && a->bytes[0] != 127 && a->bytes[0] < 224;
}

int netctl_address_compare(const struct netctl_address *a, const struct netctl_address *b)
{
    if (a->v6 != b->v6) {
        return a->v6 ? 1 : -1;
    }
    int order = memcmp(a->bytes, b->bytes, sizeof(a->bytes));
    return order != 0 ? order : (int)a->bits - (int)b->bits;
}

void netctl_address_write(const struct netctl_address *a, bool with_bits,
                          char out[NETCTL_ADDRESS_TEXT_MAX])
{
    const char *text =
        inet_ntop(a->v6 ? AF_INET6 : AF_INET, a->bytes, out, NETCTL_ADDRESS_TEXT_MAX);
    ts_assert(text != NULL);
    if (with_bits) {
        size_t len = strlen(out);
        int n = snprintf(out + len, NETCTL_ADDRESS_TEXT_MAX - len, "/%u", (unsigned)a->bits);
        ts_assert(n > 0);
    }
}

bool netctl_element_is_valid(const char *text)
{
    struct netctl_address a;
    struct netctl_address b;
    char first[NETCTL_ADDRESS_TEXT_MAX];
    const char *dash = strchr(text, '-');
    if (dash == NULL) {
        return netctl_address_read(text, &a) || netctl_prefix_read(text, &a);
    }
    size_t len = (size_t)(dash - text);
    if (len >= sizeof(first)) {
        return false;
    }
    memcpy(first, text, len);
    first[len] = '\0';
    return netctl_address_read(first, &a) && netctl_address_read(dash + 1, &b) && a.v6 == b.v6 &&
           netctl_address_compare(&a, &b) <= 0;
}

bool netctl_mac_is_valid(const char *text)
{
    static const char DIGITS[] = "0123456789abcdefABCDEF";
    if (strlen(text) != 17) {
        return false;
    }
    for (size_t i = 0; i < 17; i++) {
        if (i % 3 == 2 ? text[i] != ':' : strchr(DIGITS, text[i]) == NULL) {
            return false;
        }
    }
    return true;
}

bool netctl_ports_read(const char *text, uint16_t *first, uint16_t *last)
{
    const char *dash = strchr(text, '-');
    size_t len = dash == NULL ? strlen(text) : (size_t)(dash - text);
    long a = read_decimal(text, len, UINT16_MAX);
    long b = dash == NULL ? a : read_decimal(dash + 1, strlen(dash + 1), UINT16_MAX);
    *first = (uint16_t)a;
    *last = (uint16_t)b;
    return a >= 0 && b >= a;
}

bool netctl_ports_are_valid(const char *text)
{
    uint16_t ignored[2];
    return netctl_ports_read(text, &ignored[0], &ignored[1]);
}

bool netctl_id_is_valid(const char *text, size_t len)
{
    bool dots = len <= 2 && text[0] == '.' && (len == 1 || text[1] == '.');
    if (len == 0 || len > NETCTL_ID_MAX || dots) {
        return false;
    }
    for (size_t i = 0; i < len; i++) {
        char c = text[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!plain && (c == '\0' || strchr("-_.:~@", c) == NULL)) {
            return false;
        }
    }
    return true;
}

bool netctl_path_is_valid(const char *text)
{
    size_t len = strlen(text);
    bool good = len > 0 && len <= NETCTL_PATH_MAX && text[0] == '/';
    while (good && *text == '/') {
        size_t n = strcspn(++text, "/");
        good = netctl_id_is_valid(text, n);
        text += n;
    }
    return good;
}
