/* What the OpenAPI document says is what requests are taken as. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "services/netctl/northbound.h"
#include "services/netctl/openapi.h"
#include "services/netctl/openapi_inner.h"

static enum http_method method_of(const char *name)
{
    return strcmp(name, "get") == 0     ? HTTP_METHOD_GET
           : strcmp(name, "put") == 0   ? HTTP_METHOD_PUT
           : strcmp(name, "patch") == 0 ? HTTP_METHOD_PATCH
                                        : HTTP_METHOD_DELETE;
}

/* "/infra/segments/{segment-id}" gives "/infra/segments/x". */
static void fill(const char *path, char *out)
{
    while (*path != '\0') {
        if (*path == '{') {
            *out++ = 'x';
            path = strchr(path, '}') + 1;
        } else {
            *out++ = *path++;
        }
    }
    *out = '\0';
}

static enum northbound_kind ask(enum http_method method, const char *path,
                                const struct http_param *params, size_t count,
                                struct netctl_error *e)
{
    struct netctl_request r;
    struct northbound_trace t;
    struct northbound_question q = {
        .method = method,
        .path = {(const uint8_t *)path, strlen(path)},
        .params = params,
        .param_count = count,
        .user = "anna",
        .may_read = true,
        .may_change = true,
        .body = {(const uint8_t *)"{}", 2},
    };
    return northbound_read(&q, &r, &t, e);
}

static struct http_param param(const char *name, const char *value)
{
    return (struct http_param){{(const uint8_t *)name, strlen(name)},
                               {(const uint8_t *)value, strlen(value)}};
}

static void test_each_operation_is_taken_as_a_request(void **state)
{
    (void)state;
    json_t *document = netctl_openapi();
    const struct http_param params[] = {param("intent_path", "/infra/segments/x"),
                                        param("source_path", "/infra/segments/x/ports/a"),
                                        param("destination_path", "/infra/segments/x/ports/b")};
    const char *path;
    json_t *item;
    size_t count = 0;
    json_object_foreach(json_object_get(document, "paths"), path, item)
    {
        const char *method;
        json_t *operation;
        char at[NETCTL_PATH_ROOM];
        fill(path, at);
        json_object_foreach(item, method, operation)
        {
            struct netctl_error e;
            if (strcmp(method, "parameters") == 0) {
                continue;
            }
            count++;
            if (ask(method_of(method), at, params, 3, &e) == NORTH_ERROR) {
                fail_msg("%s %s: %s", method, at, e.message);
            }
        }
    }
    assert_true(count > 100);
    json_decref(document);
}

/* Each kind of object has its path, whatever way it is read. */
static void test_each_kind_of_object_is_in_the_document(void **state)
{
    (void)state;
    json_t *document = netctl_openapi();
    json_t *schemas = json_object_get(json_object_get(document, "components"), "schemas");
    const json_t *paths = json_object_get(document, "paths");
    for (const struct netctl_resource *r = netctl_resources; r->type != NULL; r++) {
        bool found = false;
        char at[NETCTL_PATH_ROOM];
        const char *path;
        json_t *item;
        json_object_foreach((json_t *)paths, path, item)
        {
            fill(path, at);
            const char *object = strstr(at, "/infra");
            bool is_it = object != NULL && netctl_resource_of(object) == r;
            found = found || is_it;
            if (is_it) {
                assert_int_equal(json_object_get(item, "delete") == NULL, r->is_fixed);
            }
        }
        assert_true(found);
        assert_non_null(json_object_get(schemas, r->type));
    }
    json_decref(document);
}

/* A type has one schema, wherever its objects stand. */
static void test_kinds_of_one_type_have_the_same_fields(void **state)
{
    (void)state;
    for (const struct netctl_resource *a = netctl_resources; a->type != NULL; a++) {
        for (const struct netctl_resource *b = a + 1; b->type != NULL; b++) {
            if (strcmp(a->type, b->type) == 0) {
                json_t *x = openapi_fields(a->fields);
                json_t *y = openapi_fields(b->fields);
                assert_true(json_equal(x, y));
                json_decref(x);
                json_decref(y);
            }
        }
    }
}

static bool names(const json_t *list, const char *reference)
{
    size_t i;
    json_t *one;
    bool found = false;
    json_array_foreach((json_t *)list, i, one)
    {
        found = found || strcmp(json_string_value(json_object_get(one, "$ref")), reference) == 0;
    }
    return found;
}

static void test_what_may_be_a_child_is_said_once_of_each_parent(void **state)
{
    (void)state;
    json_t *document = netctl_openapi();
    const json_t *schemas = json_object_get(json_object_get(document, "components"), "schemas");
    const json_t *segment = json_object_get(
        json_object_get(json_object_get(schemas, "ChildSegment"), "properties"), "Segment");
    const json_t *children = json_object_get(
        json_object_get(json_object_get(segment, "properties"), "children"), "items");
    const json_t *one_of = json_object_get(children, "oneOf");
    assert_int_equal(json_array_size(one_of), 2); /* of both places where segments are */
    assert_true(names(one_of, "#/components/schemas/ChildSegmentPort"));
    assert_true(names(one_of, "#/components/schemas/ChildResourceReference"));
    json_decref(document);
}

static void test_the_document_says_each_parameter_that_is_taken(void **state)
{
    (void)state;
    json_t *document = netctl_openapi();
    const json_t *params = json_object_get(json_object_get(document, "components"), "parameters");
    for (const struct northbound_param *p = northbound_params; p->name != NULL; p++) {
        assert_non_null(json_object_get(params, p->name));
        assert_true(p->on != 0);
    }
    json_decref(document);
}

static void test_two_documents_are_the_same_text(void **state)
{
    (void)state;
    json_t *a = netctl_openapi();
    json_t *b = netctl_openapi();
    char *x = json_dumps(a, JSON_INDENT(1));
    char *y = json_dumps(b, JSON_INDENT(1));
    assert_string_equal(x, y);
    free(x);
    free(y);
    json_decref(a);
    json_decref(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_operation_is_taken_as_a_request),
        cmocka_unit_test(test_each_kind_of_object_is_in_the_document),
        cmocka_unit_test(test_kinds_of_one_type_have_the_same_fields),
        cmocka_unit_test(test_what_may_be_a_child_is_said_once_of_each_parent),
        cmocka_unit_test(test_the_document_says_each_parameter_that_is_taken),
        cmocka_unit_test(test_two_documents_are_the_same_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
