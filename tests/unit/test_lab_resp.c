/* Goal: the lab's client codec takes replies in any pieces, refuses what is no RESP2, and its
 * client tells the truth about each request: replied, not executed, or unknown. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "lab/resp_client.h"

/* ---- codec ---- */

static enum lab_resp_result parse(const char *text, struct lab_reply *reply, size_t *used)
{
    return lab_resp_parse(lab_bytes(text), reply, used);
}

static void test_parse_each_kind(void **state)
{
    (void)state;
    struct lab_reply r;
    size_t used;
    assert_int_equal(parse("+OK\r\n", &r, &used), LAB_RESP_REPLY);
    assert_int_equal(r.kind, LAB_REPLY_SIMPLE);
    assert_int_equal(used, 5);
    assert_int_equal(parse("-ERR no\r\n+", &r, &used), LAB_RESP_REPLY);
    assert_int_equal(r.kind, LAB_REPLY_ERROR);
    assert_int_equal(r.text.len, 6);
    assert_int_equal(used, 9);
    assert_int_equal(parse(":-42\r\n", &r, &used), LAB_RESP_REPLY);
    assert_int_equal(r.integer, -42);
    assert_int_equal(parse("$5\r\nhe\r\no\r\n", &r, &used), LAB_RESP_REPLY);
    assert_int_equal(r.kind, LAB_REPLY_BULK);
    assert_memory_equal(r.text.data, "he\r\no", 5);
    assert_int_equal(parse("$-1\r\n", &r, &used), LAB_RESP_REPLY);
    assert_int_equal(r.kind, LAB_REPLY_NIL);
    assert_int_equal(parse("$0\r\n\r\n", &r, &used), LAB_RESP_REPLY);
    assert_int_equal(r.text.len, 0);
}

static void test_parse_every_prefix_wants_more(void **state)
{
    (void)state;
    static const char *const texts[] = {"+OK\r\n", ":12\r\n", "$3\r\nabc\r\n", "-X y\r\n"};
    for (size_t t = 0; t < 4; t++) {
        for (size_t n = 0; n < strlen(texts[t]); n++) {
            struct lab_reply r;
            size_t used;
            struct ts_bytes in = {(const uint8_t *)texts[t], n};
            assert_int_equal(lab_resp_parse(in, &r, &used), LAB_RESP_MORE);
        }
    }
}

/* Goal: a lease's token is two integers; none is nil; any other array is refused. */
static void test_parse_token_is_a_pair(void **state)
{
    (void)state;
    struct lab_reply r;
    size_t used;
    static const char token[] = "*2\r\n:7\r\n:123\r\n";
    assert_int_equal(parse(token, &r, &used), LAB_RESP_REPLY);
    assert_int_equal(r.kind, LAB_REPLY_PAIR);
    assert_int_equal(r.integer, 7);
    assert_int_equal(r.second, 123);
    assert_int_equal(used, sizeof token - 1);
    for (size_t n = 1; n < sizeof token - 1; n++) {
        struct ts_bytes in = {(const uint8_t *)token, n};
        assert_int_equal(lab_resp_parse(in, &r, &used), LAB_RESP_MORE);
    }
    assert_int_equal(parse("*-1\r\n", &r, &used), LAB_RESP_REPLY);
    assert_int_equal(r.kind, LAB_REPLY_NIL);
    assert_int_equal(parse("*3\r\n", &r, &used), LAB_RESP_MALFORMED);
    assert_int_equal(parse("*2\r\n:1\r\n+a\r\n", &r, &used), LAB_RESP_MALFORMED);
    assert_int_equal(parse("*2\r\n:1\r\n:x\r\n", &r, &used), LAB_RESP_MALFORMED);
}

static void test_parse_nonsense_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {"HTTP/1.1 200\r\n", "*1\r\n",
                                        ":12x\r\n",         ":\r\n",
                                        "$x\r\n",           "$-2\r\n",
                                        "$99999999999\r\n", "$3\r\nabcde",
                                        "+OK\rx",           ":1234567890123456789012\r\n"};
    for (size_t t = 0; t < sizeof texts / sizeof texts[0]; t++) {
        struct lab_reply r;
        size_t used;
        assert_int_equal(parse(texts[t], &r, &used), LAB_RESP_MALFORMED);
    }
}

static void test_resp_command_get_is_array_of_bulks(void **state)
{
    (void)state;
    uint8_t out[128];
    struct ts_writer w = ts_writer_init(out, sizeof out);
    struct ts_bytes argv[] = {lab_bytes("GET"), lab_bytes("key")};
    lab_resp_command(&w, argv, 2);
    assert_int_equal(ts_writer_status(&w), TS_OK);
    assert_int_equal(w.len, 22);
    assert_memory_equal(out, "*2\r\n$3\r\nGET\r\n$3\r\nkey\r\n", 22);
    assert_true(lab_resp_command_bytes(argv, 2) >= 22);
}

static void test_addrs_parse_list_and_malformed(void **state)
{
    (void)state;
    struct lab_addrs a;
    assert_int_equal(lab_addrs_parse(&a, "127.0.0.1:6379,127.9.0.2:1"), TS_OK);
    assert_int_equal(a.count, 2);
    char text[LAB_ADDR_TEXT_MAX];
    lab_addr_text(&a.a[1], text);
    assert_string_equal(text, "127.9.0.2:1");
    static const char *const bad[] = {
        "", "127.0.0.1", "127.0.0.1:", "127.0.0.1:70000", "x:1", "127.0.0.1:1,,127.0.0.1:2"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(lab_addrs_parse(&a, bad[i]), TS_ERR_MALFORMED);
    }
}

static void test_readonly_target_parses_address(void **state)
{
    (void)state;
    struct sockaddr_in a;
    char text[LAB_ADDR_TEXT_MAX];
    assert_int_equal(lab_readonly_target(lab_bytes("READONLY primary is 127.7.1.2:6379"), &a),
                     TS_OK);
    lab_addr_text(&a, text);
    assert_string_equal(text, "127.7.1.2:6379");
    assert_int_equal(lab_readonly_target(lab_bytes("READONLY primary is unknown"), &a),
                     TS_ERR_NOT_FOUND);
    assert_int_equal(lab_readonly_target(lab_bytes("READONLY no"), &a), TS_ERR_NOT_FOUND);
}

/* ---- client against a scripted server in the same loop ---- */

#define SERVERS 2

struct server {
    uv_tcp_t listener;
    uv_tcp_t conn;
    bool has_conn;
    const char *reply; /* NULL: closes the connection instead; "": stays silent */
    unsigned requests;
    uv_write_t write_req;
    char in[4096];
};

struct scene {
    uv_loop_t loop;
    struct server server[SERVERS];
    struct lab_client *client;
    enum lab_outcome outcome;
    char text[256];
    unsigned answers;
};

static void scene_alloc_cb(uv_handle_t *h, size_t n, uv_buf_t *buf)
{
    (void)n;
    struct server *s = h->data;
    *buf = uv_buf_init(s->in, sizeof s->in);
}

static void scene_conn_closed_cb(uv_handle_t *h)
{
    struct server *s = h->data;
    s->has_conn = false;
}

static void scene_read_cb(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    (void)buf;
    struct server *s = stream->data;
    if (uv_is_closing((uv_handle_t *)stream) || n == 0) {
        return;
    }
    s->requests += n > 0;
    if (n < 0 || s->reply == NULL) {
        uv_close((uv_handle_t *)stream, scene_conn_closed_cb);
        return;
    }
    if (*s->reply != '\0') {
        char *copy = (char *)(uintptr_t)s->reply;
        uv_buf_t out = uv_buf_init(copy, (unsigned)strlen(copy));
        assert_int_equal(uv_try_write(stream, &out, 1), (int)out.len);
    }
}

static void scene_connection_cb(uv_stream_t *listener, int status)
{
    struct server *s = listener->data;
    assert_int_equal(status, 0);
    assert_false(s->has_conn);
    assert_int_equal(uv_tcp_init(listener->loop, &s->conn), 0);
    s->conn.data = s;
    s->has_conn = true;
    assert_int_equal(uv_accept(listener, (uv_stream_t *)&s->conn), 0);
    uv_read_start((uv_stream_t *)&s->conn, scene_alloc_cb, scene_read_cb);
}

static void scene_reply_cb(void *arg, enum lab_outcome outcome, const struct lab_reply *reply)
{
    struct scene *scene = arg;
    scene->outcome = outcome;
    scene->answers++;
    snprintf(scene->text, sizeof scene->text, "%.*s", (int)reply->text.len,
             reply->text.data == NULL ? "" : (const char *)reply->text.data);
    uv_stop(&scene->loop);
}

static struct lab_addrs scene_listen(struct scene *scene)
{
    struct lab_addrs addrs = {.count = SERVERS};
    assert_int_equal(uv_loop_init(&scene->loop), 0);
    for (size_t i = 0; i < SERVERS; i++) {
        struct server *s = &scene->server[i];
        assert_int_equal(uv_ip4_addr("127.0.0.1", 0, &addrs.a[i]), 0);
        uv_tcp_init(&scene->loop, &s->listener);
        s->listener.data = s;
        assert_int_equal(uv_tcp_bind(&s->listener, (const struct sockaddr *)&addrs.a[i], 0), 0);
        assert_int_equal(uv_listen((uv_stream_t *)&s->listener, 8, scene_connection_cb), 0);
        int len = sizeof addrs.a[i];
        uv_tcp_getsockname(&s->listener, (struct sockaddr *)&addrs.a[i], &len);
        s->reply = "+OK\r\n";
    }
    return addrs;
}

static struct scene *scene_new(struct lab_addrs *addrs)
{
    struct scene *scene = calloc(1, sizeof *scene);
    *addrs = scene_listen(scene);
    struct lab_client_config config = {
        .addrs = *addrs, .request_timeout_ms = 100, .give_up_ms = 300};
    scene->client = lab_client_new(&scene->loop, &config);
    return scene;
}

static void scene_ask(struct scene *scene)
{
    struct ts_bytes argv[] = {lab_bytes("INCR"), lab_bytes("x")};
    lab_client_send(scene->client, argv, 2, scene_reply_cb, scene);
    unsigned before = scene->answers;
    while (scene->answers == before) {
        uv_run(&scene->loop, UV_RUN_DEFAULT);
    }
}

static void scene_free(struct scene *scene)
{
    lab_client_close(scene->client);
    for (size_t i = 0; i < SERVERS; i++) {
        struct server *s = &scene->server[i];
        if (!uv_is_closing((uv_handle_t *)&s->listener)) {
            uv_close((uv_handle_t *)&s->listener, NULL);
        }
    }
    uv_run(&scene->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&scene->loop), 0);
    free(scene);
}

static void test_client_reply_acknowledged(void **state)
{
    (void)state;
    struct lab_addrs addrs;
    struct scene *scene = scene_new(&addrs);
    scene_ask(scene);
    assert_int_equal(scene->outcome, LAB_ACKED);
    scene_ask(scene);
    assert_int_equal(lab_client_stats(scene->client)->connects, 1);
    assert_int_equal(scene->server[0].requests, 2);
    scene_free(scene);
}

static void test_client_closed_after_send_ambiguous_and_never_resent(void **state)
{
    (void)state;
    struct lab_addrs addrs;
    struct scene *scene = scene_new(&addrs);
    scene->server[0].reply = NULL;
    scene_ask(scene);
    assert_int_equal(scene->outcome, LAB_AMBIGUOUS);
    assert_int_equal(scene->server[0].requests, 1);
    assert_int_equal(scene->server[1].requests, 0);
    scene_ask(scene); /* the next request goes to the next address */
    assert_int_equal(scene->outcome, LAB_ACKED);
    assert_int_equal(scene->server[1].requests, 1);
    scene_free(scene);
}

static void test_client_silence_ambiguous(void **state)
{
    (void)state;
    struct lab_addrs addrs;
    struct scene *scene = scene_new(&addrs);
    scene->server[0].reply = "";
    scene_ask(scene);
    assert_int_equal(scene->outcome, LAB_AMBIGUOUS);
    assert_int_equal(lab_client_stats(scene->client)->timeouts, 1);
    scene_free(scene);
}

static void test_client_nonsense_ambiguous(void **state)
{
    (void)state;
    struct lab_addrs addrs;
    struct scene *scene = scene_new(&addrs);
    scene->server[0].reply = "?what\r\n";
    scene_ask(scene);
    assert_int_equal(scene->outcome, LAB_AMBIGUOUS);
    assert_int_equal(lab_client_stats(scene->client)->malformed, 1);
    scene_free(scene);
}

static void test_client_readonly_followed(void **state)
{
    (void)state;
    struct lab_addrs addrs;
    struct scene *scene = scene_new(&addrs);
    char text[128];
    char addr[LAB_ADDR_TEXT_MAX];
    lab_addr_text(&addrs.a[1], addr);
    snprintf(text, sizeof text, "-READONLY primary is %s\r\n", addr);
    scene->server[0].reply = text;
    scene_ask(scene);
    assert_int_equal(scene->outcome, LAB_ACKED);
    assert_int_equal(scene->server[1].requests, 1);
    assert_int_equal(lab_client_stats(scene->client)->redirects, 1);
    scene_free(scene);
}

static void test_client_refusal_tries_next_address(void **state)
{
    (void)state;
    struct lab_addrs addrs;
    struct scene *scene = scene_new(&addrs);
    scene->server[0].reply = "-CLUSTERDOWN no primary\r\n";
    scene_ask(scene);
    assert_int_equal(scene->outcome, LAB_ACKED);
    assert_int_equal(lab_client_stats(scene->client)->refusals, 1);
    scene_free(scene);
}

static void test_client_error_reply_failed(void **state)
{
    (void)state;
    struct lab_addrs addrs;
    struct scene *scene = scene_new(&addrs);
    scene->server[0].reply = "-ERR value is not an integer or out of range\r\n";
    scene_ask(scene);
    assert_int_equal(scene->outcome, LAB_FAILED);
    assert_string_equal(scene->text, "ERR value is not an integer or out of range");
    scene_free(scene);
}

static void test_client_refused_connection_tries_next_address(void **state)
{
    (void)state;
    struct lab_addrs addrs;
    struct scene *scene = scene_new(&addrs);
    uv_close((uv_handle_t *)&scene->server[0].listener, NULL);
    uv_run(&scene->loop, UV_RUN_NOWAIT);
    scene_ask(scene);
    assert_int_equal(scene->outcome, LAB_ACKED);
    assert_true(lab_client_stats(scene->client)->connects_failed >= 1);
    scene_free(scene);
}

static void test_client_nobody_there_failed_not_ambiguous(void **state)
{
    (void)state;
    struct lab_addrs addrs;
    struct scene *scene = scene_new(&addrs);
    uv_close((uv_handle_t *)&scene->server[0].listener, NULL);
    uv_close((uv_handle_t *)&scene->server[1].listener, NULL);
    uv_run(&scene->loop, UV_RUN_NOWAIT);
    scene_ask(scene);
    assert_int_equal(scene->outcome, LAB_FAILED);
    scene_free(scene);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse_each_kind),
        cmocka_unit_test(test_parse_every_prefix_wants_more),
        cmocka_unit_test(test_parse_token_is_a_pair),
        cmocka_unit_test(test_parse_nonsense_refused),
        cmocka_unit_test(test_resp_command_get_is_array_of_bulks),
        cmocka_unit_test(test_addrs_parse_list_and_malformed),
        cmocka_unit_test(test_readonly_target_parses_address),
        cmocka_unit_test(test_client_reply_acknowledged),
        cmocka_unit_test(test_client_closed_after_send_ambiguous_and_never_resent),
        cmocka_unit_test(test_client_silence_ambiguous),
        cmocka_unit_test(test_client_nonsense_ambiguous),
        cmocka_unit_test(test_client_readonly_followed),
        cmocka_unit_test(test_client_refusal_tries_next_address),
        cmocka_unit_test(test_client_error_reply_failed),
        cmocka_unit_test(test_client_refused_connection_tries_next_address),
        cmocka_unit_test(test_client_nobody_there_failed_not_ambiguous),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
