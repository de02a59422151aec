/* Inside HTTP/2: what http_v2.c (what comes) and http_v2_send.c (what goes) share. */
#ifndef SERVICES_IO_HTTP_V2_H
#define SERVICES_IO_HTTP_V2_H

#include <nghttp2/nghttp2.h>

#include "services/io/http_conn.h"

struct http_v2 {
    nghttp2_session *session; /* owned */
    struct http_head head;
    char *text;            /* owned: the head's, while one comes */
    int32_t head_stream;   /* whose; 0: none comes */
    double abandoned;      /* requests that their client gave up, less what time forgives */
    uint64_t abandoned_ms; /* as of then */
};

/* Sends the exchange's answer, or more of it. */
void http_v2_answered(struct http_exchange *x);
void http_v2_go_on(struct http_exchange *x);
void http_v2_drained(struct http_exchange *x);
void http_v2_fill(struct http_conn *c, struct svc_out *out, size_t most);
bool http_v2_has_output(const struct http_conn *c);
/* A frame has been sent: nghttp2's callback. */
int http_v2_on_sent(nghttp2_session *session, const nghttp2_frame *frame, void *user);

#endif
