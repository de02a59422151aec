/* YAML as JSON, as `twinstep net apply` reads it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cli/yaml_json.h"

static void expect(const char *yaml, const char *json)
{
    struct ts_why why = {{0}};
    json_t *got = cli_yaml_json("f", (struct ts_bytes){(const uint8_t *)yaml, strlen(yaml)}, &why);
    char *text = got == NULL ? NULL : json_dumps(got, JSON_COMPACT | JSON_ENCODE_ANY);
    if (text == NULL) {
        fail_msg("%s: %s", yaml, why.text);
    }
    assert_string_equal(text, json);
    free(text);
    json_decref(got);
}

static void expect_error(const char *yaml, const char *says)
{
    struct ts_why why = {{0}};
    struct ts_bytes text = {(const uint8_t *)yaml, strlen(yaml)};
    assert_null(cli_yaml_json("f", text, &why));
    if (strstr(why.text, says) == NULL) {
        fail_msg("\"%s\" does not say \"%s\"", why.text, says);
    }
}

/* Goal: what looks like a number or a truth is one, unless it is quoted. */
static void test_scalars_are_of_the_core_schema(void **state)
{
    (void)state;
    expect("a: 1", "{\"a\":1}");
    expect("a: -7", "{\"a\":-7}");
    expect("a: '1'", "{\"a\":\"1\"}");
    expect("a: 1.5", "{\"a\":1.5}");
    expect("a: true", "{\"a\":true}");
    expect("a: yes", "{\"a\":\"yes\"}");
    expect("a: ~", "{\"a\":null}");
    expect("a:", "{\"a\":null}");
    expect("a: 10.0.0.1", "{\"a\":\"10.0.0.1\"}");
    expect("a: 10.0.0.0/24", "{\"a\":\"10.0.0.0/24\"}");
    expect("a: 8080-8090", "{\"a\":\"8080-8090\"}");
    expect("a: 02:00:00:00:00:01", "{\"a\":\"02:00:00:00:00:01\"}");
    expect("a: 99999999999999999999", "{\"a\":\"99999999999999999999\"}");
}

static void test_documents_and_collections(void **state)
{
    (void)state;
    expect("[1, {b: [x]}]", "[1,{\"b\":[\"x\"]}]");
    expect("a: 1\n---\nb: 2\n", "[{\"a\":1},{\"b\":2}]");
    expect("", "[]");
    expect("x: &n [1]\ny: *n\n", "{\"x\":[1],\"y\":[1]}");
}

static void test_what_is_wrong_is_told_with_its_place(void **state)
{
    (void)state;
    expect_error("a: [1", "f:2:1: ");
    expect_error("a: 1\na: 2\n", "f:2:1: this key is there twice");
    expect_error("? [x]\n: 1\n", "f:1:3: a key is a text");
    expect_error("a: &n [*n]\n", "nested too deep");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_scalars_are_of_the_core_schema),
        cmocka_unit_test(test_documents_and_collections),
        cmocka_unit_test(test_what_is_wrong_is_told_with_its_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
