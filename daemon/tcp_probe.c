#include "daemon/tcp_probe.h"

#include <string.h>

#define PROTOCOL_TCP 6
#define TTL 64
#define V4_HEADER 20U
#define V6_HEADER 40U
#define TCP_HEADER 20U
#define TCP_WORDS_AND_ACK 0x5010 /* five words of header; the flag ACK */
#define HALF_OF_ALL_NUMBERS 0x80000000U

static void put16(uint8_t *out, unsigned v)
{
    out[0] = (uint8_t)(v >> 8);
    out[1] = (uint8_t)v;
}

/* Of 16-bit words, added to `sum`, without the last carry. `len` is even. Source: RFC 1071. */
static uint32_t add_words(uint32_t sum, const uint8_t *bytes, size_t len)
{
    for (size_t i = 0; i < len; i += 2) {
        sum += (uint32_t)bytes[i] << 8 | bytes[i + 1];
    }
    return sum;
}

static unsigned checksum(uint32_t sum)
{
    sum = (sum & 0xffff) + (sum >> 16);
    sum += sum >> 16;
    return ~sum & 0xffff;
}

static void put_v4(const struct tcp_probe *p, uint8_t *out)
{
    out[0] = 0x45; /* version 4, five words */
    put16(out + 2, V4_HEADER + TCP_HEADER);
    put16(out + 6, 0x4000); /* not to be fragmented: so it needs no number */
    out[8] = TTL;
    out[9] = PROTOCOL_TCP;
    memcpy(out + 12, p->from, 4);
    memcpy(out + 16, p->to, 4);
    put16(out + 10, checksum(add_words(0, out, V4_HEADER)));
}

static void put_v6(const struct tcp_probe *p, uint8_t *out)
{
    out[0] = 0x60; /* version 6 */
    put16(out + 4, TCP_HEADER);
    out[6] = PROTOCOL_TCP;
    out[7] = TTL;
    memcpy(out + 8, p->from, 16);
    memcpy(out + 24, p->to, 16);
}

size_t tcp_probe_write(const struct tcp_probe *p, uint8_t out[TCP_PROBE_BYTES_MAX])
{
    size_t head = p->v6 ? V6_HEADER : V4_HEADER;
    size_t address = p->v6 ? 16 : 4;
    uint8_t *tcp = out + head;
    memset(out, 0, TCP_PROBE_BYTES_MAX);
    if (p->v6) {
        put_v6(p, out);
    } else {
        put_v4(p, out);
    }
    uint32_t number = (p->turn & 1) != 0 ? HALF_OF_ALL_NUMBERS : 0;
    put16(tcp, p->from_port);
    put16(tcp + 2, p->to_port);
    put16(tcp + 4, number >> 16); /* sequence; the acknowledgement is left 0 */
    put16(tcp + 12, TCP_WORDS_AND_ACK);
    uint32_t sum = add_words(PROTOCOL_TCP + TCP_HEADER, p->from, address);
    sum = add_words(sum, p->to, address);
    put16(tcp + 16, checksum(add_words(sum, tcp, TCP_HEADER)));
    return head + TCP_HEADER;
}
