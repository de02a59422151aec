#include "services/agent/address.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"

static int system_family(const struct agent_address *a)
{
    return a->family == 4 ? AF_INET : AF_INET6;
}

size_t agent_address_size(const struct agent_address *a)
{
    return a->family == 4 ? 4 : 16;
}

unsigned agent_address_bits(const struct agent_address *a)
{
    return a->family == 4 ? 32 : 128;
}

struct agent_address agent_address_network(const struct agent_address *a)
{
    struct agent_address n = *a;
    for (unsigned bit = n.bits; bit < agent_address_bits(&n); bit++) {
        n.bytes[bit / 8] &= (uint8_t) ~(0x80U >> bit % 8);
    }
    return n;
}

static enum ts_err parse_bits(struct agent_address *a, const char *text)
{
    unsigned bits = 0;
    size_t digits = strlen(text);
    if (digits < 1 || digits > 3 || (digits > 1 && text[0] == '0')) {
        return TS_ERR_MALFORMED;
    }
    for (size_t i = 0; i < digits; i++) {
        if (text[i] < '0' || text[i] > '9') {
            return TS_ERR_MALFORMED;
        }
        bits = bits * 10 + (unsigned)(text[i] - '0');
    }
    if (bits > agent_address_bits(a)) {
        return TS_ERR_MALFORMED;
    }
    a->bits = (uint8_t)bits;
    return TS_OK;
}

enum ts_err agent_address_parse(struct agent_address *a, const char *text, int form)
{
    struct agent_address r = {0};
    char address[AGENT_ADDRESS_TEXT] = "";
    char again[AGENT_ADDRESS_TEXT];
    const char *slash = strchr(text, '/');
    size_t len = slash == NULL ? strlen(text) : (size_t)(slash - text);
    if (len >= sizeof(address) || (slash == NULL) != (form == AGENT_ADDRESS_ALONE)) {
        return TS_ERR_MALFORMED;
    }
    memcpy(address, text, len);
    r.family = strchr(address, ':') != NULL ? 6 : 4;
    r.bits = (uint8_t)agent_address_bits(&r);
    if (inet_pton(system_family(&r), address, r.bytes) != 1 ||
        (slash != NULL && parse_bits(&r, slash + 1) != TS_OK) ||
        strcmp(agent_address_text(&r, slash != NULL, again), text) != 0) {
        return TS_ERR_MALFORMED;
    }
    struct agent_address network = agent_address_network(&r);
    if (form == AGENT_ADDRESS_PREFIX && memcmp(&network, &r, sizeof(r)) != 0) {
        return TS_ERR_MALFORMED;
    }
    *a = r;
    return TS_OK;
}

const char *agent_address_text(const struct agent_address *a, bool bits,
                               char text[AGENT_ADDRESS_TEXT])
{
    ts_assert(a->family == 4 || a->family == 6);
    (void)inet_ntop(system_family(a), a->bytes, text, AGENT_ADDRESS_TEXT);
    if (bits) {
        size_t len = strlen(text);
        (void)snprintf(text + len, AGENT_ADDRESS_TEXT - len, "/%u", (unsigned)a->bits);
    }
    return text;
}

bool agent_address_covers(const struct agent_address *a, const struct agent_address *b)
{
    struct agent_address part = *b;
    if (a->family != b->family || a->bits > b->bits) {
        return false;
    }
    part.bits = a->bits;
    part = agent_address_network(&part);
    return memcmp(part.bytes, a->bytes, sizeof(part.bytes)) == 0;
}

bool agent_address_is_host(const struct agent_address *a)
{
    static const uint8_t none[15];
    if (a->family == 4) {
        return a->bytes[0] != 0 && a->bytes[0] != 127 && a->bytes[0] < 224;
    }
    return a->bytes[0] != 0xff && (memcmp(a->bytes, none, 15) != 0 || a->bytes[15] > 1);
}

enum ts_err agent_mac_parse(struct agent_mac *m, const char *text)
{
    static const char hex[] = "0123456789abcdef";
    static const uint8_t none[6];
    struct agent_mac r = {{0}};
    if (strlen(text) != AGENT_MAC_TEXT - 1) {
        return TS_ERR_MALFORMED;
    }
    for (size_t i = 0; i < AGENT_MAC_TEXT - 1; i++) {
        const char *digit = strchr(hex, text[i]);
        if (i % 3 == 2 ? text[i] != ':' : digit == NULL) {
            return TS_ERR_MALFORMED;
        }
        if (i % 3 != 2) {
            r.bytes[i / 3] = (uint8_t)(r.bytes[i / 3] * 16 + (digit - hex));
        }
    }
    if ((r.bytes[0] & 1) != 0 || memcmp(r.bytes, none, sizeof(none)) == 0) {
        return TS_ERR_MALFORMED;
    }
    *m = r;
    return TS_OK;
}

const char *agent_mac_text(const struct agent_mac *m, char text[AGENT_MAC_TEXT])
{
    const uint8_t *b = m->bytes;
    (void)snprintf(text, AGENT_MAC_TEXT, "%02x:%02x:%02x:%02x:%02x:%02x", b[0], b[1], b[2], b[3],
                   b[4], b[5]);
    return text;
}

struct agent_address agent_mac_link_local(const struct agent_mac *m)
{
    const uint8_t *b = m->bytes;
    return (struct agent_address){
        .family = 6,
        .bits = 128,
        .bytes = {0xfe, 0x80, 0, 0, 0, 0, 0, 0, b[0] ^ 2, b[1], b[2], 0xff, 0xfe, b[3], b[4], b[5]},
    };
}
