/* netctl's core as a service: answers by the wire, and the determinism check. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "services/netctl/netctl.h"
#include "services/netctl/request.h"
#include "tests/service/netctl_random.h"
#include "tests/service/svc_check.h"

struct fixture {
    void *state;
    uint64_t seq;
    struct svc_out out;
    char text[4096]; /* the answer's body */
};

static int ask(struct fixture *f, enum netctl_method method, const char *path, const char *body,
               bool ordered)
{
    struct netctl_request r = {
        .method = method, .user = "ann", .body = {(const uint8_t *)body, strlen(body)}};
    uint8_t payload[8192];
    struct ts_writer w = ts_writer_init(payload, sizeof payload);
    snprintf(r.path, sizeof r.path, "%s", path);
    assert_int_equal(netctl_request_encode(&r, &w), TS_OK);
    f->out.len = 0;
    if (ordered) {
        struct svc_entry e = {.epoch = {1},
                              .seq = {++f->seq},
                              .kind = SVC_ENTRY_COMMAND,
                              .time = {1000 * TS_NS_PER_MS},
                              .payload = {payload, w.len}};
        netctl_service.apply(f->state, &e, &f->out);
    } else {
        netctl_service.read(f->state, (struct ts_bytes){payload, w.len}, &f->out);
    }
    assert_true(f->out.len >= 2 && f->out.len < sizeof f->text);
    memcpy(f->text, f->out.data + 2, f->out.len - 2);
    f->text[f->out.len - 2] = '\0';
    return f->out.data[0] | f->out.data[1] << 8;
}

/* Goal: requests as the front-end orders them get HTTP's answers; a read sees what was applied,
 * changes nothing, and answers nothing but GET. */
static void test_netctl_answers_as_http_would(void **state)
{
    (void)state;
    struct fixture f = {.state = netctl_service.create("bytes-max=100000 hash-seed=5"),
                        .out = {.max = SVC_ANSWER_MAX}};
    assert_non_null(f.state);
    assert_int_equal(ask(&f, NETCTL_PATCH, "/infra/segments/web", "{}", true), 200);
    assert_string_equal(f.text, "");
    assert_int_equal(ask(&f, NETCTL_PUT, "/infra/segments/db", "{\"description\":\"x\"}", true),
                     200);
    assert_non_null(strstr(f.text, "\"description\":\"x\""));
    assert_int_equal(ask(&f, NETCTL_GET, "/infra/segments/db", "", false), 200);
    assert_non_null(strstr(f.text, "\"_create_time\":1000,\"_create_user\":\"ann\""));
    assert_int_equal(ask(&f, NETCTL_GET, "/infra/segments", "", false), 200);
    assert_non_null(strstr(f.text, "\"result_count\":2"));
    assert_int_equal(ask(&f, NETCTL_GET, "/infra/segments/no", "", false), 404);
    assert_string_equal(f.text, "{\"httpStatus\":\"NOT_FOUND\",\"error_code\":500012,"
                                "\"module_name\":\"policy\",\"error_message\":"
                                "\"there is no object /infra/segments/no\"}");
    assert_int_equal(ask(&f, NETCTL_PATCH, "/infra/segments/web", "{\"a\":", true), 400);
    assert_non_null(strstr(f.text, "the body is no JSON: line 1"));
    assert_int_equal(ask(&f, NETCTL_DELETE, "/infra/segments/web", "", false), 400);
    assert_int_equal(ask(&f, NETCTL_GET, "/infra/segments/web", "", false), 200);
    assert_int_equal(ask(&f, NETCTL_DELETE, "/infra/segments/web", "", true), 200);
    assert_int_equal(ask(&f, NETCTL_GET, "/infra/segments/web", "", false), 404);
    netctl_service.destroy(f.state);
    svc_out_free(&f.out);
    assert_null(netctl_service.create("colour=3"));
}

/* Goal: two replicas that live differently say the same. */
static void test_netctl_is_deterministic(void **state)
{
    (void)state;
    const struct svc_check check = {
        .svc = &netctl_service,
        .limits = {"hash-seed=1", "hash-seed=99", "hash-seed=7"},
        .seed = 1,
        .entries = 20000,
        .walk_every = 40,
        .step_ns = 50 * TS_NS_PER_MS,
        .pieces_in_hundred = 20,
        .command = netctl_random_request,
        .query = netctl_random_query,
    };
    struct svc_check_result r = svc_check_run(&check);
    if (!r.same) {
        fail_msg("%s", r.text);
    }
    assert_true(r.walks > 100 && r.loads > 50 && r.applied_under_walk > 1000);
    SVC_CHECK_DIGEST(r, UINT64_C(0xc3aa17537cce7563), UINT64_C(0x0d75bf686a155b86));
}

/* Goal: requests by this release's rules are known, those by later rules or in another format are
 * not; garbled ones are: their answer is an error for good. */
static void test_netctl_newer_requests_are_not_known(void **state)
{
    (void)state;
    struct netctl_request r = {.method = NETCTL_PATCH, .user = "ann", .path = "/infra/segments/a"};
    uint8_t payload[256];
    struct ts_writer w = ts_writer_init(payload, sizeof payload);
    assert_int_equal(netctl_request_encode(&r, &w), TS_OK);
    struct ts_bytes bytes = {payload, w.len};
    assert_true(netctl_service.knows(NULL, bytes));
    assert_int_equal(payload[0], NETCTL_FORMAT);
    assert_int_equal(payload[1], NETCTL_RULES);
    payload[1] = NETCTL_RULES + 1;
    assert_false(netctl_service.knows(NULL, bytes));
    payload[1] = NETCTL_RULES;
    payload[0] = NETCTL_FORMAT + 1;
    assert_false(netctl_service.knows(NULL, bytes));
    payload[0] = NETCTL_FORMAT;
    payload[2] = 0xff;
    assert_true(netctl_service.knows(NULL, bytes));
    assert_true(netctl_service.knows(NULL, (struct ts_bytes){payload, 0}));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_netctl_answers_as_http_would),
        cmocka_unit_test(test_netctl_newer_requests_are_not_known),
        cmocka_unit_test(test_netctl_is_deterministic),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
