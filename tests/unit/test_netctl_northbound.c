/* What HTTP requests are to netctl. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "services/netctl/northbound.h"

struct seen {
    enum northbound_kind kind;
    struct netctl_request r;
    struct netctl_error e;
    struct northbound_trace t;
};

/* `query`: "name=value", or NULL. */
static struct seen ask_as(bool may_change, enum http_method method, const char *path,
                          const char *query)
{
    struct seen s;
    struct http_param param;
    struct northbound_question q = {
        .method = method,
        .path = {(const uint8_t *)path, strlen(path)},
        .params = &param,
        .user = "anna",
        .may_read = true,
        .may_change = may_change,
        .body = {(const uint8_t *)"{}", 2},
    };
    if (query != NULL) {
        struct ts_bytes text = {(const uint8_t *)query, strlen(query)};
        assert_int_equal(http_param_parse(text, &param), TS_OK);
        q.param_count = 1;
    }
    s.kind = northbound_read(&q, &s.r, &s.t, &s.e);
    assert_int_equal(s.kind == NORTH_ERROR, s.e.status != 0);
    return s;
}

static struct seen ask(enum http_method method, const char *path, const char *query)
{
    return ask_as(true, method, path, query);
}

static void expect_error(struct seen s, int status, const char *says)
{
    assert_int_equal(s.kind, NORTH_ERROR);
    assert_int_equal(s.e.status, status);
    if (strstr(s.e.message, says) == NULL) {
        fail_msg("\"%s\" does not say \"%s\"", s.e.message, says);
    }
}

static void test_objects_and_lists_are_read(void **state)
{
    (void)state;
    struct seen s = ask(HTTP_METHOD_GET, "/policy/api/v1/infra/segments/web", NULL);
    assert_int_equal(s.kind, NORTH_READ);
    assert_string_equal(s.r.path, "/infra/segments/web");
    assert_string_equal(s.r.user, "anna");
    assert_int_equal(s.r.method, NETCTL_GET);
    s = ask(HTTP_METHOD_GET, "/policy/api/v1/infra/segments/", "page_size=7");
    assert_true(s.kind == NORTH_READ && s.r.page == 7);
    assert_string_equal(s.r.path, "/infra/segments");
    s = ask(HTTP_METHOD_HEAD, "/policy/api/v1/infra/segments", "cursor=after:web");
    assert_int_equal(s.kind, NORTH_READ);
    assert_string_equal(s.r.cursor, "web");
    s = ask(HTTP_METHOD_GET, "/policy/api/v1/infra/segments", "cursor=");
    assert_true(s.kind == NORTH_READ && s.r.cursor[0] == '\0');
    assert_int_equal(ask(HTTP_METHOD_GET, "/policy/api/v1/infra", NULL).kind, NORTH_READ);
}

static void test_changes_are_ordered(void **state)
{
    (void)state;
    struct seen s = ask(HTTP_METHOD_PUT, "/policy/api/v1/infra/tier-1s/red", NULL);
    assert_true(s.kind == NORTH_ORDER && s.r.method == NETCTL_PUT && s.r.body.len == 2);
    s = ask(HTTP_METHOD_PATCH, "/policy/api/v1/infra", "enforce_revision_check=true");
    assert_true(s.kind == NORTH_ORDER && s.r.method == NETCTL_PATCH && s.r.revisions);
    s = ask(HTTP_METHOD_DELETE, "/policy/api/v1/infra/tier-1s/red", "force=true");
    assert_true(s.kind == NORTH_ORDER && s.r.method == NETCTL_DELETE);
}

static void test_realization_is_told_of_objects(void **state)
{
    (void)state;
    const char *base = "/policy/api/v1/infra/realized-state/realized-entities";
    struct seen s = ask(HTTP_METHOD_GET, base, "intent_path=/infra/segments/web");
    assert_int_equal(s.kind, NORTH_ENTITIES);
    assert_string_equal(s.r.path, "/infra/segments/web");
    s = ask(HTTP_METHOD_GET, "/policy/api/v1/infra/realized-state/status",
            "intent_path=/infra/segments/web");
    assert_int_equal(s.kind, NORTH_STATUS);
    s = ask(HTTP_METHOD_GET, "/policy/api/v1/infra/tier-1s/red/segments/web/state", NULL);
    assert_int_equal(s.kind, NORTH_STATE);
    assert_string_equal(s.r.path, "/infra/tier-1s/red/segments/web");
    s = ask(HTTP_METHOD_GET, "/policy/api/v1/infra/realized-state/events", NULL);
    assert_int_equal(s.kind, NORTH_EVENTS);
    expect_error(ask(HTTP_METHOD_GET, base, NULL), 400, "intent_path is the path");
    expect_error(ask(HTTP_METHOD_GET, base, "intent_path=/infra/segments"), 400, "intent_path");
    /* A group that is called "state" is one. */
    s = ask(HTTP_METHOD_GET, "/policy/api/v1/infra/domains/default/groups/state", NULL);
    assert_int_equal(s.kind, NORTH_READ);
}

static void test_what_is_asked_for_first(void **state)
{
    (void)state;
    assert_int_equal(ask(HTTP_METHOD_GET, "/api/v1/node/version", NULL).kind, NORTH_VERSION);
    assert_int_equal(ask(HTTP_METHOD_GET, NORTHBOUND_SPEC, NULL).kind, NORTH_SPEC);
    assert_int_equal(ask(HTTP_METHOD_GET, "/policy" NORTHBOUND_SPEC, NULL).kind, NORTH_SPEC);
    assert_int_equal(ask(HTTP_METHOD_OPTIONS, "/policy/api/v1/infra", NULL).kind, NORTH_METHODS);
}

static void test_bad_requests_are_told_what_is_wrong(void **state)
{
    (void)state;
    const char *list = "/policy/api/v1/infra/segments";
    expect_error(ask(HTTP_METHOD_GET, "/", NULL), 404, "nothing at /");
    expect_error(ask(HTTP_METHOD_GET, "/policy/api/v1/infrax", NULL), 404, "nothing at");
    expect_error(ask(HTTP_METHOD_GET, "/policy/api/v1/infra/nothing/here", NULL), 404, "nothing");
    expect_error(ask(HTTP_METHOD_PUT, list, NULL), 405, "can be read only");
    expect_error(ask(HTTP_METHOD_POST, list, NULL), 405, "PUT or PATCH");
    expect_error(ask(HTTP_METHOD_GET, list, "page_size=0"), 400, "1 to 1000");
    expect_error(ask(HTTP_METHOD_GET, list, "page_size=1001"), 400, "1 to 1000");
    expect_error(ask(HTTP_METHOD_GET, list, "page_size=1x"), 400, "1 to 1000");
    expect_error(ask(HTTP_METHOD_GET, list, "cursor=a/b"), 400, "cursor");
    expect_error(ask(HTTP_METHOD_GET, list, "pagesize=1"), 400, "no parameter \"pagesize\"");
    expect_error(ask(HTTP_METHOD_PATCH, "/policy/api/v1/infra", "enforce_revision_check=yes"), 400,
                 "true or false");
}

/* Goal: what an error repeats of the request is text, whatever its bytes are. */
static void test_errors_repeat_letters_only(void **state)
{
    (void)state;
    expect_error(ask(HTTP_METHOD_GET, "/a\xff\xed\xa0\x80z", NULL), 404, "nothing at /a????z");
    expect_error(ask(HTTP_METHOD_GET, "/\xc3\xa4", NULL), 404, "nothing at /\xc3\xa4");
    expect_error(ask(HTTP_METHOD_GET, "/", "\xe0\x80\x80=1"), 400, "no parameter \"???\"");
}

static bool removes(enum http_method method, const char *path, const char *body)
{
    struct netctl_request r;
    struct netctl_error e;
    struct northbound_trace t;
    struct northbound_question q = {
        .method = method,
        .path = {(const uint8_t *)path, strlen(path)},
        .user = "anna",
        .may_read = true,
        .may_change = true,
        .body = {(const uint8_t *)body, strlen(body)},
    };
    assert_int_equal(northbound_read(&q, &r, &t, &e), NORTH_ORDER);
    return northbound_removes(&r);
}

/* Goal: where there is no room, what makes some is told from what needs it. */
static void test_removes_is_true_of_deletions_alone(void **state)
{
    (void)state;
    const char *tree = "/policy/api/v1/infra";
    const char *one = "/policy/api/v1/infra/segments/web";
    assert_true(removes(HTTP_METHOD_DELETE, one, ""));
    assert_false(removes(HTTP_METHOD_PATCH, one, "{}"));
    assert_false(removes(HTTP_METHOD_PUT, one, "{}"));
#define TREE(children) "{\"resource_type\":\"Infra\",\"children\":[" children "]}"
#define WEB "\"resource_type\":\"ChildSegment\",\"Segment\":{\"id\":\"web\""
#define GONE "\"marked_for_delete\":true"
    assert_true(removes(HTTP_METHOD_PATCH, tree, TREE("{" WEB "}," GONE "}")));
    assert_true(removes(HTTP_METHOD_PATCH, tree, TREE("{" WEB "," GONE "}}")));
    assert_true(removes(HTTP_METHOD_PATCH, tree,
                        TREE("{\"resource_type\":\"ChildResourceReference\",\"target_type\":"
                             "\"Domain\",\"id\":\"default\",\"children\":[{\"resource_type\":"
                             "\"ChildGroup\",\"Group\":{\"id\":\"g\"}," GONE "}]}")));
    assert_false(removes(HTTP_METHOD_PATCH, tree, TREE("{" WEB "}}")));
    assert_false(removes(HTTP_METHOD_PATCH, tree, TREE("{" WEB "}," GONE "},{" WEB "}}")));
    assert_false(removes(HTTP_METHOD_PATCH, tree,
                         TREE("{" WEB ",\"children\":[{\"resource_type\":\"ChildSegmentPort\","
                              "\"SegmentPort\":{\"id\":\"p\"}}]}," GONE "}")));
    assert_false(removes(HTTP_METHOD_PATCH, tree, TREE("7")));
    assert_false(removes(HTTP_METHOD_PATCH, tree, "{"));
}

/* Goal: what is there to be read, and cannot be changed, is said so; it is not missing. */
static void test_a_change_of_what_can_be_read_only_is_told_so(void **state)
{
    (void)state;
    static const char *const READ_ONLY[] = {
        "/policy/api/v1/infra/sites/default",
        "/policy/api/v1/infra/sites/default/enforcement-points/default",
        "/policy/api/v1/infra/segments/web/state",
        "/policy/api/v1/infra/realized-state/status",
        "/policy/api/v1/infra/realized-state/trace",
        "/policy/api/v1/infra/realized-state/events",
        "/api/v1/node/version",
        NORTHBOUND_SPEC,
    };
    for (size_t i = 0; i < sizeof READ_ONLY / sizeof READ_ONLY[0]; i++) {
        expect_error(ask(HTTP_METHOD_PUT, READ_ONLY[i], NULL), 405, "can be read only");
        expect_error(ask(HTTP_METHOD_PATCH, READ_ONLY[i], NULL), 405, "can be read only");
        expect_error(ask(HTTP_METHOD_DELETE, READ_ONLY[i], NULL), 405, "can be read only");
    }
    expect_error(ask(HTTP_METHOD_PUT, "/policy/api/v1/infra", NULL), 405, "can be read only");
    expect_error(ask(HTTP_METHOD_DELETE, "/policy/api/v1/infra", NULL), 405, "can be read only");
    expect_error(ask(HTTP_METHOD_DELETE, "/policy/api/v1/infra/colours", NULL), 404, "nothing at");
    expect_error(ask(HTTP_METHOD_PUT, "/api/v1/nothing", NULL), 404, "nothing at");
}

static void test_roles_bound_what_is_done(void **state)
{
    (void)state;
    const char *path = "/policy/api/v1/infra/segments/web";
    struct northbound_question q = {.path = {(const uint8_t *)path, strlen(path)}, .user = "otto"};
    struct seen s;
    expect_error(ask_as(false, HTTP_METHOD_DELETE, path, NULL), 403, "auditor");
    assert_int_equal(ask_as(false, HTTP_METHOD_GET, path, NULL).kind, NORTH_READ);
    s.kind = northbound_read(&q, &s.r, &s.t, &s.e);
    expect_error(s, 403, "may do nothing");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_objects_and_lists_are_read),
        cmocka_unit_test(test_changes_are_ordered),
        cmocka_unit_test(test_realization_is_told_of_objects),
        cmocka_unit_test(test_what_is_asked_for_first),
        cmocka_unit_test(test_bad_requests_are_told_what_is_wrong),
        cmocka_unit_test(test_errors_repeat_letters_only),
        cmocka_unit_test(test_removes_is_true_of_deletions_alone),
        cmocka_unit_test(test_a_change_of_what_can_be_read_only_is_told_so),
        cmocka_unit_test(test_roles_bound_what_is_done),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
