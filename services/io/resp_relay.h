/* A connection that was there when its primary handed over (R4.5) is carried on: from its next
 * command on, its bytes go to the new primary's front-end, and the replies come back the same way,
 * in order, whatever they are. Only bytes that nobody here has taken up are passed on: what was
 * ordered has been answered before (R2.8).
 *
 * The new primary is told first what the connection is: its protocol, what the client calls itself,
 * and its place in a session (SESSION.CARRY: the connection's own number in it, so that a write
 * that is late is refused there when the session was resumed on another connection meanwhile). Its
 * answers to that are not the client's; an error closes the connection. What the client sends waits
 * for them.
 *
 * It lasts as long as the connection, or until this NIC is the primary again: then it is closed,
 * since nobody knows which of its requests the other one has carried out. Not carried on, and told
 * -READONLY as all that come later, is a connection
 *   - within a transaction, or that watches keys, or listens to channels: the other one does not
 *     know these, and what was promised of them here cannot be promised there; whose channels are
 *     not this NIC's own is closed (resp_pubsub.c);
 *   - whose SESSION.OPEN or RESUME has failed, or of which a write was refused and SESSION.NEXT or
 *     RESUME has not followed yet;
 *   - with users: nobody keeps passwords, so this NIC cannot say who the client is;
 *   - that came by an address that may go (resp_server.h): what its client sends next goes
 *     elsewhere by itself;
 *   - with TLS: this NIC's front-end speaks for clients to nobody but in clear;
 *   - for which there is no second socket within RLIMIT_NOFILE: the journal and the replicas' links
 *     need theirs.
 *
 * When the other NIC dies, and this one does not take over, nobody says so: what acknowledges
 * nothing for some seconds is closed (resp_relay.c). */
#ifndef SERVICES_IO_RESP_RELAY_H
#define SERVICES_IO_RESP_RELAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct kv_command;
struct resp_conn;
struct resp_relay;
struct resp_server;

/* Whether this command is the other one's to carry out. */
bool resp_relay_wants(const struct resp_conn *c, const struct kv_command *command);
/* From now on the connection is carried on: what stands in its input goes in the next turn. */
void resp_relay_begin(struct resp_conn *c);
/* Passes bytes on; gives how many, which is none while the other one does not take them. */
size_t resp_relay_take(struct resp_conn *c, const uint8_t *data, size_t len);
/* The client has room for replies again; or sends no more. */
void resp_relay_resume(struct resp_conn *c);
/* The connection closes. NULL is allowed. */
void resp_relay_close(struct resp_relay *r);
/* This NIC serves again: closes all that are carried on. */
void resp_relay_end_all(struct resp_server *s);

#endif
