#include "services/io/http_relay_answer.h"

#include <http_parser.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/memory.h"

static void append(char *text, size_t cap, const char *at, size_t len)
{
    size_t has = strlen(text);
    size_t n = len < cap - 1 - has ? len : cap - 1 - has;
    memcpy(text + has, at, n);
    text[has + n] = '\0';
}

static int on_field(http_parser *p, const char *at, size_t len)
{
    struct http_relay_answer *a = p->data;
    if (a->in_value) {
        a->in_value = false;
        a->name[0] = '\0';
    }
    append(a->name, sizeof(a->name), at, len);
    return 0;
}

static int on_value(http_parser *p, const char *at, size_t len)
{
    struct http_relay_answer *a = p->data;
    a->in_value = true;
    if (strcasecmp(a->name, "content-type") == 0) {
        append(a->type, sizeof(a->type), at, len);
    }
    return 0;
}

static int on_body(http_parser *p, const char *at, size_t len)
{
    struct http_relay_answer *a = p->data;
    a->too_long = svc_out_put(&a->body, at, len) != TS_OK;
    return a->too_long ? 1 : 0;
}

static int on_whole(http_parser *p)
{
    struct http_relay_answer *a = p->data;
    a->whole = true;
    a->stays = http_should_keep_alive(p) != 0;
    http_parser_pause(p, 1);
    return 0;
}

static const http_parser_settings settings = {
    .on_header_field = on_field,
    .on_header_value = on_value,
    .on_body = on_body,
    .on_message_complete = on_whole,
};

void http_relay_answer_begin(struct http_relay_answer *a, size_t body_max)
{
    if (a->parser == NULL) {
        a->parser = malloc(sizeof(*a->parser));
        ts_must(a->parser);
    }
    http_parser_init(a->parser, HTTP_RESPONSE);
    a->parser->data = a;
    a->name[0] = '\0';
    a->in_value = false;
    a->too_long = false;
    a->whole = false;
    a->stays = false;
    a->status = 0;
    a->type[0] = '\0';
    a->body.len = 0;
    a->body.max = body_max;
}

enum ts_err http_relay_answer_take(struct http_relay_answer *a, struct ts_bytes bytes,
                                   const char **why)
{
    size_t used = http_parser_execute(a->parser, &settings, (const char *)bytes.data, bytes.len);
    a->status = a->parser->status_code;
    if (!a->whole) {
        bool good =
            used == bytes.len && HTTP_PARSER_ERRNO(a->parser) == HPE_OK && a->parser->upgrade == 0;
        *why = a->too_long ? "its answer is too long" : "its answer is no HTTP";
        return good ? TS_OK : TS_ERR_MALFORMED;
    }
    if (a->status < 200 || a->status > 599) {
        *why = "its answer has no status that could be passed on";
        return TS_ERR_MALFORMED;
    }
    a->stays = a->stays && used == bytes.len;
    return TS_OK;
}

void http_relay_answer_free(struct http_relay_answer *a)
{
    free(a->parser);
    svc_out_free(&a->body);
}
