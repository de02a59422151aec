/* The clients of the group's service address: peers hear who is connected here, nicd hears whose
 * connections went with the address' former owner (R4.8, adr/0026). */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/assert.h"
#include "daemon/replica.h"

/* Datagrams to nicd in one turn of the loop, … */
#define RESETS_BURST 4
/* … and bytes that a link may hold back before its peer is told more. */
#define BACKLOG_MAX (256U * 1024)
/* nicd takes an address away within a turn of its loop. */
#define LEAVE_NS_MAX (50 * TS_NS_PER_MS)

enum ts_err replica_clients_open(struct replica *r, struct ts_why *why)
{
    const struct cfg_group *group = r->start->group;
    if (group->address[0] == '\0') {
        return TS_OK;
    }
    struct replica_clients *c =
        calloc(1, sizeof(*c) + 2 * TS_MEMBERS_MAX * sizeof(struct address_clients));
    if (c == NULL) {
        return ts_why(why, TS_ERR_NOMEM, "out of memory at start");
    }
    c->v6 = strchr(group->address, ':') != NULL;
    /* The address may be here still from the process before, so long. */
    c->close_at = ts_mono_add(net_now(), r->start->cluster.timing.failure_timeout);
    for (uint8_t i = 0; i < group->nic_count; i++) {
        if (!ts_nic_eq(group->nics[i], r->start->node->id)) {
            c->peers[c->count].nic = group->nics[i];
            c->told[2 * c->count] = &c->tables[2 * c->count];
            c->told[2 * c->count + 1] = &c->tables[2 * c->count + 1];
            c->count++;
        }
    }
    r->clients = c;
    return TS_OK;
}

static int find(const struct replica_clients *c, struct ts_nic_id nic)
{
    for (uint8_t i = 0; c != NULL && i < c->count; i++) {
        if (ts_nic_eq(c->peers[i].nic, nic)) {
            return i;
        }
    }
    return -1;
}

/* ---- who is connected here ---- */

void replica_clients_visitor(struct replica *r, uint32_t place, const struct sockaddr *client)
{
    struct replica_clients *c = r->clients;
    struct report_client at = {.port = 0};
    if (c == NULL) {
        return;
    }
    if (client != NULL && client->sa_family == AF_INET6 && c->v6) {
        const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)client;
        memcpy(at.bytes, &v6->sin6_addr, sizeof(v6->sin6_addr));
        at.port = ntohs(v6->sin6_port);
    } else if (client != NULL && client->sa_family == AF_INET && !c->v6) {
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)client;
        memcpy(at.bytes, &v4->sin_addr, sizeof(v4->sin_addr));
        at.port = ntohs(v4->sin_port);
    }
    address_clients_set(&c->own, place, &at);
    for (uint8_t i = 0; !c->closing && i < c->count; i++) {
        address_spread_mark(&c->peers[i].spread, place);
    }
}

/* The address is elsewhere, if anywhere: what a client sends comes to another NIC. The peers are
 * not told, they keep in mind who was here: whoever has the address next has these clients reset.
 */
void replica_clients_close(struct replica *r)
{
    if (r->clients != NULL) {
        r->clients->closing = true;
        front_close_visitors(r->front);
        r->clients->closing = false;
    }
}

/* ---- the peers ---- */

void replica_clients_link_up(struct replica *r, struct ts_nic_id peer)
{
    int i = find(r->clients, peer);
    if (i >= 0) {
        address_spread_anew(&r->clients->peers[i].spread, &r->clients->own);
    }
}

bool replica_clients_frame(struct replica *r, struct ts_nic_id peer, struct ts_bytes payload)
{
    struct address_clients_msg msg;
    int i = find(r->clients, peer);
    if (i < 0 || address_clients_decode(&msg, r->clients->v6, payload) != TS_OK) {
        return false;
    }
    address_clients_take(r->clients->told[2 * i], r->clients->told[2 * i + 1], &msg);
    return true;
}

static void tell_peer(struct replica *r, uint8_t i)
{
    struct replica_clients *c = r->clients;
    struct ts_nic_id nic = c->peers[i].nic;
    struct address_clients_msg msg;
    uint8_t bytes[ADDRESS_CLIENTS_BYTES_MAX];
    if (r->links == NULL || !links_is_up(r->links, nic) ||
        links_backlog(r->links, nic) > BACKLOG_MAX ||
        !address_spread_next(&c->peers[i].spread, &c->own, c->v6, &msg)) {
        return;
    }
    struct ts_writer w = ts_writer_init(bytes, sizeof(bytes));
    enum ts_err err = address_clients_encode(&msg, &w);
    ts_assert(err == TS_OK);
    /* One that is lost is lost with its link, and a new one begins anew. */
    err = links_send(r->links, nic, ADDRESS_CLIENTS_FRAME, (struct ts_bytes){bytes, w.len});
    (void)err;
}

static bool anything_to_tell(const struct replica *r)
{
    const struct replica_clients *c = r->clients;
    for (uint8_t i = 0; i < c->count; i++) {
        const struct address_spread *sp = &c->peers[i].spread;
        if ((sp->anew || sp->due_count > 0) && r->links != NULL &&
            links_is_up(r->links, c->peers[i].nic)) {
            return true;
        }
    }
    return false;
}

/* ---- nicd ---- */

/* The new owner tells the clients, once it can take their next connections: whoever was told here
 * and now would knock where nobody is yet. */
void replica_clients_serves(struct replica *r, bool serves, struct ts_mono now)
{
    struct replica_clients *c = r->clients;
    if (c != NULL) {
        c->due = serves;
        c->close_at =
            serves ? TS_MONO_NEVER : ts_mono_add(now, r->start->cluster.timing.failure_timeout);
    }
    if (c != NULL && !serves) {
        address_resets_stop(&c->resets);
    } else if (c != NULL) {
        front_close_muted(r->front); /* it never left: nobody else will tell them */
    }
}

void replica_clients_confirmed(struct replica *r, struct ts_mono now)
{
    if (r->clients != NULL && r->clients->due) {
        r->clients->due = false;
        address_resets_begin(&r->clients->resets, now);
    }
}

static void tell_nicd(struct replica *r, struct ts_mono now)
{
    struct replica_clients *c = r->clients;
    struct report_reset reset;
    uint8_t bytes[REPORT_BYTES_MAX];
    uint8_t tables = (uint8_t)(2 * c->count);
    for (int n = 0; address_resets_next(&c->resets, c->told, tables, now, &reset); n++) {
        reset.group = r->start->group->id;
        reset.v6 = c->v6;
        struct ts_writer w = ts_writer_init(bytes, sizeof(bytes));
        enum ts_err err = report_reset_encode(&reset, &w);
        ts_assert(err == TS_OK);
        bool gone = n < RESETS_BURST &&
                    net_dgram_send(&r->dgram, r->nicd_path, (struct ts_bytes){bytes, w.len});
        address_resets_sent(&c->resets, now, gone);
        if (!gone) {
            return;
        }
    }
}

/* ---- the turn ---- */

void replica_clients_turn(struct replica *r, struct ts_mono now)
{
    struct replica_clients *c = r->clients;
    if (c == NULL || !r->p.started) {
        return;
    }
    tell_nicd(r, now);
    if (!ts_mono_lt(now, c->close_at)) {
        c->close_at = TS_MONO_NEVER;
        replica_clients_close(r);
    }
    if (!ts_mono_lt(now, c->say_at) && anything_to_tell(r)) {
        c->say_at = ts_mono_add(now, ADDRESS_CLIENTS_SAY_NS);
        for (uint8_t i = 0; i < c->count; i++) {
            tell_peer(r, i);
        }
    }
}

struct ts_mono replica_clients_deadline(const struct replica *r)
{
    const struct replica_clients *c = r->clients;
    if (c == NULL) {
        return TS_MONO_NEVER;
    }
    struct ts_mono due = address_resets_deadline(&c->resets);
    due = ts_mono_lt(c->close_at, due) ? c->close_at : due;
    bool earlier = anything_to_tell(r) && ts_mono_lt(c->say_at, due);
    return earlier ? c->say_at : due;
}

/* ---- the end ---- */

/* Whether this machine has the address now. */
static bool is_here(const char *address)
{
    struct sockaddr_storage at = {0};
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&at;
    struct sockaddr_in *v4 = (struct sockaddr_in *)&at;
    bool is_v6 = inet_pton(AF_INET6, address, &v6->sin6_addr) == 1;
    if (!is_v6 && inet_pton(AF_INET, address, &v4->sin_addr) != 1) {
        return false;
    }
    at.ss_family = is_v6 ? AF_INET6 : AF_INET;
    int fd = socket(at.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    bool here = fd >= 0 && bind(fd, (struct sockaddr *)&at, is_v6 ? sizeof(*v6) : sizeof(*v4)) == 0;
    if (fd >= 0) {
        (void)close(fd);
    }
    return here;
}

void replica_clients_leave(struct replica *r)
{
    const char *address = r->start->group->address;
    struct report_serves said = {.group = r->start->group->id, .epoch = repl_epoch(r->core)};
    uint8_t bytes[REPORT_BYTES_MAX];
    struct ts_mono until = ts_mono_add(net_now(), LEAVE_NS_MAX);
    if (r->nicd_path[0] == '\0' || !is_here(address)) {
        return;
    }
    struct ts_writer w = ts_writer_init(bytes, sizeof(bytes));
    enum ts_err err = report_serves_encode(&said, &w);
    ts_assert(err == TS_OK);
    bool told = net_dgram_send(&r->dgram, r->nicd_path, (struct ts_bytes){bytes, w.len});
    while (told && is_here(address) && ts_mono_lt(net_now(), until)) {
        (void)poll(NULL, 0, 1);
    }
}
