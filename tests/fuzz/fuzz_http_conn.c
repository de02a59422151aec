/* A connection of the HTTP front-end, without socket and TLS: any bytes in any pieces, HTTP/2 when
 * they begin so, to an owner that answers at once, later, never, with streams. Whatever comes,
 * nothing of it is left when the connection is gone; and the same bytes of HTTP/1.1 are the same
 * requests in any pieces.
 *
 * The first byte chooses pieces and behaviour, all others are what the client sends. */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/hash.h"
#include "base/prng.h"
#include "services/io/http_conn.h"

#define HELD_MAX 64
#define TURNS_MAX 4096
#define PASSWORD "aaaaaaaaaaaaaaaaaaaa"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct owner {
    uv_loop_t loop;
    struct http_server *server;
    struct net_users users;
    bool prompt; /* answers everything at once */
    struct ts_prng prng;
    uint64_t held[HELD_MAX];
    size_t held_count;
    uint64_t streams[HELD_MAX];
    size_t stream_count;
    struct ts_hash seen; /* of all requests */
};

static void answer(struct owner *o, uint64_t token, unsigned status)
{
    static const struct http_answer_header header = {"X-Fuzz", "yes"};
    static uint8_t body[3000];
    struct http_answer a = {.status = status, .headers = &header, .header_count = 1};
    a.body = (struct ts_bytes){body, o->prompt ? 1 : ts_prng_below(&o->prng, sizeof(body))};
    http_server_answer(o->server, token, &a);
}

static void see(struct owner *o, const struct http_request *r)
{
    ts_assert(http_path_is_valid(r->path) && r->param_count <= HTTP_PARAMS_MAX);
    ts_assert(r->body.len <= o->server->config.body_max);
    o->seen = ts_hash_chain(o->seen, &r->method, sizeof(r->method));
    o->seen = ts_hash_chain(o->seen, r->path.data, r->path.len);
    if (r->body.len > 0) {
        o->seen = ts_hash_chain(o->seen, r->body.data, r->body.len);
    }
    for (size_t i = 0; i < r->param_count; i++) {
        o->seen = ts_hash_chain(o->seen, r->params[i].name.data, r->params[i].name.len);
    }
}

static void on_request(void *ctx, uint64_t token, const struct http_request *r)
{
    struct owner *o = ctx;
    see(o, r);
    uint64_t choice = o->prompt ? 0 : ts_prng_below(&o->prng, 8);
    if (choice < 3 || o->held_count == HELD_MAX || o->stream_count == HELD_MAX) {
        answer(o, token, choice == 2 ? 204 : 200);
    } else if (choice < 5) {
        o->held[o->held_count++] = token;
    } else if (choice == 5) {
        http_server_error(o->server, token, 409, 1, "policy", "no \"so\"");
    } else if (choice == 6 && http_server_stream(o->server, token)) {
        o->streams[o->stream_count++] = token;
    } else if (choice == 7 && ts_prng_below(&o->prng, 8) == 0) {
        http_server_fail_unanswered(o->server);
    }
}

static void on_stream_closed(void *ctx, uint64_t stream)
{
    struct owner *o = ctx;
    for (size_t i = 0; i < o->stream_count; i++) {
        if (o->streams[i] == stream) {
            o->streams[i] = o->streams[--o->stream_count];
            return;
        }
    }
    ts_unreachable();
}

static struct owner *get_owner(void)
{
    static struct owner owner; /* lives as long as the process */
    const struct http_server_ops ops = {
        .ctx = &owner, .request = on_request, .stream_closed = on_stream_closed};
    const struct http_server_config config = {.plain = true,
                                              .http2 = true,
                                              .body_max = 2000,
                                              .bodies_max = 5000,
                                              .headers_max = 1000,
                                              .requests_max = 40,
                                              .stream_output_max = 2000};
    if (owner.server == NULL) {
        struct net_user *u = &owner.users.users[owner.users.count++];
        *u = (struct net_user){.name = "a", .role = NET_ROLE_READ};
        ts_assert(net_user_set_password(u, (struct ts_bytes){(const uint8_t *)PASSWORD,
                                                             sizeof(PASSWORD) - 1}) == TS_OK);
        ts_assert(uv_loop_init(&owner.loop) == 0);
        ts_assert(http_server_create(&owner.server, &owner.loop, &ops, &config, NULL) == TS_OK);
    }
    return &owner;
}

/* Something that the owner may do at any time. */
static void act(struct owner *o)
{
    struct http_event event = {.name = "n", .data = {(const uint8_t *)"a\nb", 3}};
    uint64_t choice = ts_prng_below(&o->prng, 8);
    if (choice < 3 && o->held_count > 0) {
        size_t i = ts_prng_below(&o->prng, o->held_count);
        answer(o, o->held[i], 200);
        o->held[i] = o->held[--o->held_count];
    } else if (choice < 6 && o->stream_count > 0) {
        enum ts_err err = http_server_event(o->server, o->streams[0], &event);
        ts_assert(err == TS_OK || err == TS_ERR_LIMIT);
    } else if (choice == 6 && o->stream_count > 0) {
        http_server_stream_end(o->server, o->streams[--o->stream_count]);
    }
}

/* Turns until all that can be sent is sent, as if the client read it. */
static void turn(struct owner *o, struct http_conn *c, struct svc_out *out)
{
    for (unsigned n = 0; n < TURNS_MAX; n++) {
        http_server_turn(o->server);
        out->len = 0;
        http_conn_fill(c, out, o->prompt ? 65536 : 1 + ts_prng_below(&o->prng, 3000));
        if (c->closing || c->finishing || (out->len == 0 && !http_server_has_work(o->server))) {
            return;
        }
        if (!o->prompt && ts_prng_below(&o->prng, 4) == 0) {
            return; /* the rest later */
        }
    }
    ts_unreachable();
}

static void run(struct owner *o, const uint8_t *data, size_t size, size_t step)
{
    struct svc_out out = {.max = SIZE_MAX / 2};
    struct http_conn *c = http_conn_new(o->server);
    ts_assert(c != NULL);
    o->seen = (struct ts_hash){0, 0};
    for (size_t at = 0; at < size && !c->closing && !c->finishing;) {
        size_t n = step > 0 ? step : 1 + ts_prng_below(&o->prng, 200);
        n = n < size - at ? n : size - at;
        http_conn_take(c, (struct ts_bytes){data + at, n});
        at += n;
        turn(o, c, &out);
        if (!o->prompt) {
            act(o);
        }
    }
    if (!c->closing && step == 0) {
        http_conn_eof(c);
    }
    if (!c->closing) {
        http_conn_close(c);
    }
    svc_out_free(&out);
    http_server_turn(o->server);
    (void)uv_run(&o->loop, UV_RUN_NOWAIT);
    const struct http_server *s = o->server;
    ts_assert(s->lists[HTTP_LIST_CONNS].len == 0 && s->stats.clients == 0);
    ts_assert(s->bodies == 0 && s->answers == 0 && s->queue_first == NULL);
    ts_assert(s->stats.unanswered == 0 && s->stats.streaming == 0 && o->stream_count == 0);
    while (o->held_count > 0) {
        answer(o, o->held[--o->held_count], 200); /* whose client has gone */
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct owner *o = get_owner();
    if (size == 0) {
        return 0;
    }
    uint8_t choice = data[0];
    data++;
    size--;
    o->prng = ts_prng_init(choice);
    o->prompt = (choice & 1) != 0;
    /* What comes at once may be too much, where the same in pieces is not. */
    o->server->config.bodies_max = o->prompt ? 1024U * 1024 : 5000;
    static const struct net_users nobody;
    http_server_set_users(o->server, (choice & 0xe0) == 0xe0 ? &o->users : &nobody);
    if (!o->prompt) {
        run(o, data, size, 0);
        return 0;
    }
    run(o, data, size, size > 0 ? size : 1);
    struct ts_hash whole = o->seen;
    run(o, data, size, 1 + choice / 2U);
    bool two = size > 2 && memcmp(data, "PRI", 3) == 0; /* refuses streams that are too many */
    ts_assert(two || ts_hash_eq(whole, o->seen));
    return 0;
}
