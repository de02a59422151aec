/* The controller's front-end from within: its state, and what its two parts ask of each other:
 * netctl_front.c has the queues and the replica, netctl_front_request.c what clients want. */
#ifndef SERVICES_IO_NETCTL_FRONT_INTERNAL_H
#define SERVICES_IO_NETCTL_FRONT_INTERNAL_H

#include "services/io/front.h"
#include "services/io/http_relay.h"
#include "services/io/http_server.h"
#include "services/netctl/io/controller.h"
#include "services/netctl/northbound.h"

/* Requests that are not answered, of all clients, of either kind. */
#define WAITING_MAX 4096U
#define ROUNDS_MAX 8U
#define STREAMS_MAX 256U

/* A request that waits: for its order, its answer, or its round. */
struct waiting {
    uint64_t client;           /* http_server's token; 0: the controller's own */
    enum northbound_kind kind; /* of those that wait */
    char *node;                /* owned: of the controller's own */
    uint8_t *bytes; /* owned: the request as it is ordered or read, of NORTH_TRACE the question;
                     * NULL: it was ordered */
    size_t len;
    struct ts_mono since;
};

/* A ring: [done, sent) is under way, [sent, end) is collected; of these, what is behind `hold`
 * waits until it is known who is the primary. Numbers go on for ever. */
struct queue {
    struct waiting at[WAITING_MAX];
    uint64_t done;
    uint64_t sent;
    uint64_t end;
    uint64_t hold;
};

struct round {
    uint64_t number;
    uint64_t until; /* reads in front of this one are confirmed with it */
};

struct netctl_front {
    struct front front; /* first */
    struct front_owner owner;
    const void *state;
    struct http_server *http;
    struct http_relay *relay;
    const char *nics[TS_MEMBERS_MAX];
    uint32_t submit_max;
    struct front_status status;
    struct queue orders; /* a token is its number */
    struct queue reads;
    struct ts_bytes payloads[WAITING_MAX]; /* of one submit */
    size_t waiting_bytes;
    bool serves; /* as the controller was told last … */
    struct ts_epoch epoch;
    char primary[FRONT_ADDR_MAX + 8];
    bool told;                       /* … if it was */
    struct round rounds[ROUNDS_MAX]; /* ring */
    uint64_t rounds_asked;
    uint64_t rounds_done;
    uint64_t confirmed; /* reads in front of this one may be answered */
    struct svc_out out; /* of reads */
    uv_idle_t awake;    /* runs while there are confirmed reads, or tables to be compiled */
    struct controller *controller;
    uint16_t agent_port;
    uint64_t streams[STREAMS_MAX]; /* of events */
    size_t stream_count;
    uint64_t refused;
    uint64_t read_count;
    char version[32];
};

/* ---- netctl_front.c ---- */
/* A request waits for its order, or its round; one for which there is no room is answered. */
void netctl_front_collect(struct netctl_front *f, struct queue *q, uint64_t client,
                          enum northbound_kind kind, const struct netctl_request *request);
void netctl_front_collect_trace(struct netctl_front *f, uint64_t client,
                                const struct northbound_trace *trace);

/* ---- netctl_front_request.c ---- */
/* As of http_server_ops; `ctx` is the front-end. */
void netctl_front_on_request(void *ctx, uint64_t token, const struct http_request *request);
void netctl_front_on_stream_closed(void *ctx, uint64_t stream);
/* What the service gave: u16 the status, the body. */
void netctl_front_answer(struct netctl_front *f, uint64_t client, struct ts_bytes bytes);
/* Of a read that is confirmed. */
void netctl_front_answer_read(struct netctl_front *f, const struct waiting *w);
/* It was not done: by the status of this NIC, or for a reason of its own. */
void netctl_front_refuse(struct netctl_front *f, uint64_t client);
void netctl_front_refuse_for(struct netctl_front *f, uint64_t client, const char *text);

#endif
