/* A request as it goes to the primary (http_relay.h). */
#ifndef SERVICES_IO_HTTP_RELAY_TEXT_H
#define SERVICES_IO_HTTP_RELAY_TEXT_H

#include "services/io/http_server.h"

/* The request in HTTP/1.1, with what is to be said of its client; malloc'ed, the caller's. `host`:
 * "HOST:PORT" of the primary. False: it cannot be told who the client is. */
bool http_relay_text(const struct http_request *q, const char *host, uint8_t **out, size_t *len);

#endif
