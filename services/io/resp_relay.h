/* A connection that was there when its primary handed over (R4.5) is carried on: from its next
 * command on, its bytes go to the new primary's front-end, and the replies come back the same way,
 * in order, whatever they are. Only bytes that nobody here has taken up are passed on: what was
 * ordered has been answered before (R2.8).
 *
 * It lasts as long as the connection, or until this NIC is the primary again: then it is closed,
 * since nobody knows which of its requests the other one has carried out. A connection with a
 * transaction, a subscription, RESP3 or a user has a state that the other one does not know, and
 * nobody keeps passwords: it is told -READONLY as all that come later. So is one that came by an
 * address that may go (resp_server.h): what its client sends next goes elsewhere by itself. */
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
