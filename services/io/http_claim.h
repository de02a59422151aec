/* What a NIC that passes a client's request on says of the client, in the header Twinstep-Client:
 * "KIND ROLE NAME", "user operator alice". It is believed of a NIC of the group alone, which it
 * says who it is by its certificate, and gives no more than the client would get here by itself. */
#ifndef SERVICES_IO_HTTP_CLAIM_H
#define SERVICES_IO_HTTP_CLAIM_H

#include "base/buf.h"
#include "services/io/http_server.h"

#define HTTP_CLAIM_MAX (32 + HTTP_NAME_MAX) /* bytes with a NUL */

/* False: such a name cannot be told. */
bool http_claim_write(const struct http_who *who, char out[HTTP_CLAIM_MAX]);
/* TS_ERR_MALFORMED: it is none. */
enum ts_err http_claim_read(struct ts_bytes text, struct http_who *out) TS_MUST_USE;

#endif
