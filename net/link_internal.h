/* What the files of the link share: link.c (states), link_input.c, link_output.c, endpoint.c and
 * listener.c. Nobody else includes it. */
#ifndef NET_LINK_INTERNAL_H
#define NET_LINK_INTERNAL_H

#include "net/link.h"

#define LINK_READ_BYTES (64u << 10)    /* the endpoint's shared read buffer */
#define LINK_RECORD_BYTES (16u << 10)  /* plain text of one full TLS record */
#define LINK_BUDGET_BYTES (32u << 10)  /* raw bytes in before a link is up */
#define LINK_ENCRYPT_BYTES (1u << 20)  /* plain text encrypted in one go */
#define LINK_TURN_BYTES (512u << 10)   /* read from one link in a turn of the loop, about */
#define LINK_UNSENT_BYTES (512 << 10)  /* taken by the kernel and not yet on the wire */
#define LINK_STREAM_BYTES (256u << 10) /* so many bytes in prove that acknowledgements go out */
#define LINK_KEEP_BYTES (256u << 10)   /* a larger empty buffer is given back */
#define LINK_OUTPUT_DEFAULT (64u << 20)
#define LINK_CONNECT_DEFAULT TS_NS_PER_S
#define LINK_HANDSHAKE_DEFAULT (2 * TS_NS_PER_S)

/* Each state but the last is left forwards only. */
enum link_state {
    LINK_CONNECTING, /* TCP */
    LINK_HANDSHAKE,  /* TLS */
    LINK_HELLO,      /* this side waits for the peer's HELLO */
    LINK_UP,
    LINK_ENDED, /* the handle is closing */
};

/* A growing byte string; bytes pos..len are in use. */
struct link_bytes {
    uint8_t *data;
    size_t pos;
    size_t len;
    size_t cap;
};

struct net_link {
    struct net_endpoint *ep; /* config */
    const struct net_link_events *events;
    void *arg;
    bool dialled;
    struct ts_nic_id expected;           /* dialled: who must answer */
    const struct net_listener *listener; /* accepted: by whom; compared only */
    unsigned listen_index;
    unsigned source_class; /* accepted: the listener's share it counts in */
    char address[64];

    struct net_link *next; /* volatile: in the endpoint's list */
    struct net_link *prev;
    enum link_state state;
    struct ts_mono since; /* when the present state's time limit began */
    bool doomed;          /* ends in this turn's flush, for `doom` */
    enum net_down doom;
    const char *end_detail; /* borrowed, during on_down: what is known beside the reason; NULL */
    uv_tcp_t tcp;
    uv_connect_t connect;
    uv_write_t write;
    bool writing; /* `in_flight` belongs to libuv */
    SSL *ssl;
    const uint8_t *cipher; /* the part of the read buffer that TLS has not read yet */
    size_t cipher_len;
    struct link_bytes in;        /* plain text in */
    struct link_bytes out;       /* plain text gathered */
    struct link_bytes wire;      /* TLS records gathered */
    struct link_bytes in_flight; /* TLS records at libuv */
    struct net_turn_hook flush;
    uint64_t read_turn; /* the turn that read_left is about */
    size_t read_left;
    struct net_hello peer;
    struct ts_mono heard;
    struct ts_mono received;
    uint64_t raw_in;    /* bytes on the wire */
    uint64_t proven_in; /* raw_in when a round trip was last proven by the stream */
};

/* link_bytes: room for `n` more bytes behind len. Where memory is short the process ends: a link
 * that ended instead would be made again and again, and nobody would take its process for lost. */
void link_bytes_reserve(struct link_bytes *b, size_t n);
void link_bytes_free(struct link_bytes *b);
static inline size_t link_bytes_used(const struct link_bytes *b)
{
    return b->len - b->pos;
}

/* A link in the endpoint's list, with an initialised uv_tcp of `family` (AF_UNSPEC: no socket yet).
 * TS_ERR_NOMEM, TS_ERR_SYSTEM. */
enum ts_err link_new(struct net_endpoint *ep, int family, struct net_link **out) TS_MUST_USE;
/* Ends the link: counts and logs `reason` with `detail` (may be NULL), tells the owner when it
 * must know (`tell`), closes the handle. No effect when it ended before. */
void link_end(struct net_link *l, enum net_down reason, const char *detail, bool tell);
/* The same from within a call of the owner: done in this turn's flush. */
void link_doom(struct net_link *l, enum net_down reason);
/* TCP stands: begin to read, and the handshake's time. */
void link_start(struct net_link *l);
void link_set_address(struct net_link *l, const struct sockaddr *address);

/* link_input.c */
void link_read_start(struct net_link *l);
/* link_output.c: gathers a frame in whatever state; false when memory is short. */
void link_put_frame(struct net_link *l, uint8_t type, struct ts_bytes a, struct ts_bytes b);
void link_flush(void *link);
/* Encrypts and writes what the kernel takes at once, when the link is about to be closed. */
void link_flush_last(struct net_link *l);

/* endpoint.c */
void endpoint_handle_closed(struct net_endpoint *ep);
void endpoint_sweep_start(struct net_endpoint *ep);
BIO_METHOD *link_bio_method(void);

#endif
