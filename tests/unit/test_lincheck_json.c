/* Goal: the reader of histories takes what its format says, and says of anything else in which line
 * it is and what to do. What is told of a history is told in words and in JSON. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/lincheck/io/json.h"
#include "tests/lincheck/io/story.h"
#include "tests/lincheck/io/text.h"

static struct lin *history;
static char error[LIN_JSON_ERROR_MAX];

static int setup(void **state)
{
    (void)state;
    struct lin_limits limits = {.memory_max = (size_t)1 << 20, .steps_max = 100000};
    history = lin_new(&limits);
    return history == NULL ? -1 : 0;
}

static int teardown(void **state)
{
    (void)state;
    lin_free(history);
    return 0;
}

static enum ts_err read_text(const char *text)
{
    return lin_json_text(history, "h", (struct ts_bytes){(const uint8_t *)text, strlen(text)},
                         error);
}

static struct lin_op read_one(const char *line)
{
    struct lin_op op;
    lin_clear(history);
    if (read_text(line) != TS_OK) {
        fail_msg("%s", error);
    }
    assert_int_equal(lin_count(history), 1);
    assert_true(lin_view(history, 0, &op));
    return op;
}

/* ---- what is taken ---- */

static void test_json_text_comments_and_blank_lines_skipped(void **state)
{
    (void)state;
    assert_int_equal(
        read_text("# a comment\n\n  \t\r\n"
                  "  {\"op\":[\"GET\",\"k\"],\"begin\":0,\"end\":1,\"result\":null}\r\n"
                  "#> {\n"
                  "{\"op\":[\"GET\",\"k\"],\"begin\":0,\"end\":1,\"result\":null}"),
        TS_OK);
    assert_int_equal(lin_count(history), 2);
    struct lin_op op;
    assert_true(lin_view(history, 1, &op));
    assert_int_equal(op.place, 6);
}

static void test_json_text_every_field_is_read(void **state)
{
    (void)state;
    struct lin_op op =
        read_one("{\"client\":4294967295,\"op\":[\"set\",\"k\",\"a\\u0000b\",\"nx\","
                 "\"Get\"],\"begin\":5,\"end\":9223372036854775807,\"result\":\"OK\","
                 "\"outcome\":\"ok\"}");
    assert_int_equal(op.client, UINT32_MAX);
    assert_int_equal(op.begin, 5);
    assert_int_equal(op.end, INT64_MAX);
    assert_int_equal(op.flags, LIN_SET_NX | LIN_SET_GET);
    assert_int_equal(op.values[0].len, 3);
    assert_memory_equal(op.values[0].data, "a\0b", 3);
    assert_int_equal(op.result.kind, LIN_RESULT_BYTES); /* SET with GET: the old value is "OK" */
    op = read_one("{\"op\":[\"SET\",\"k\",12],\"begin\":0,\"end\":1,\"result\":\"OK\"}");
    assert_int_equal(op.result.kind, LIN_RESULT_OK);
    assert_memory_equal(op.values[0].data, "12", 2);
    op = read_one("{\"op\":[\"DECRBY\",\"k\",-12],\"begin\":0,\"end\":1,\"result\":12}");
    assert_int_equal(op.by, 12);
    assert_int_equal(op.result.integer, 12);
    op = read_one("{\"op\":[\"SET\",{\"hex\":\"\"},{\"hex\":\"00ff\"}],\"begin\":0}");
    assert_int_equal(op.outcome, LIN_UNKNOWN);
    assert_int_equal(op.keys[0].len, 0);
    assert_memory_equal(op.values[0].data, "\x00\xff", 2);
}

static void test_json_text_outcome_follows_from_the_end(void **state)
{
    (void)state;
    struct lin_op op = read_one("{\"op\":[\"GET\",\"k\"],\"begin\":3,\"end\":null}");
    assert_int_equal(op.outcome, LIN_UNKNOWN);
    assert_true(op.end == LIN_NEVER);
    op = read_one("{\"op\":[\"GET\",\"k\"],\"begin\":3,\"end\":4,\"outcome\":\"unknown\"}");
    assert_true(op.end == LIN_NEVER);
    op = read_one("{\"op\":[\"GET\",\"k\"],\"begin\":3,\"outcome\":\"failed\"}");
    assert_int_equal(op.outcome, LIN_FAILED);
    assert_int_equal(op.end, 3);
    op = read_one(
        "{\"op\":[\"INCR\",\"k\"],\"begin\":3,\"end\":4,\"result\":{\"error\":\"ERR x\"}}");
    assert_int_equal(op.result.kind, LIN_RESULT_ERROR);
    op = read_one("{\"op\":[\"MGET\",\"k\",\"l\"],\"begin\":3,\"end\":4,\"result\":[null,\"\"]}");
    assert_null(op.result.array[0].data);
    assert_non_null(op.result.array[1].data);
}

static void test_json_read_stream_as_text(void **state)
{
    (void)state;
    char text[] = "\n{\"op\":[\"GET\",\"k\"],\"begin\":0,\"end\":1,\"result\":null}\nx\n";
    FILE *in = fmemopen(text, sizeof text - 1, "r");
    assert_non_null(in);
    assert_int_equal(lin_json_read(history, "stream", in, error), TS_ERR_MALFORMED);
    assert_int_equal(strncmp(error, "stream:3: ", 10), 0);
    assert_int_equal(lin_count(history), 1);
    assert_int_equal(fclose(in), 0);
}

/* ---- what is refused ---- */

/* A line, and a part of the sentence that it must give. */
static const char *const refused[][2] = {
    {"[]", "one JSON object a line"},
    {"{", "no JSON at column"},
    {"{} {}", "no JSON at column"},
    {"{\"begin\":0,\"begin\":0}", "no JSON at column"},
    {"{\"op\":[\"GET\",\"k\"],\"begin\":0,\"start\":0}", "no field \"start\""},
    {"{\"begin\":0,\"end\":1}", "\"op\" wants"},
    {"{\"op\":\"GET k\",\"begin\":0,\"end\":1}", "\"op\" wants"},
    {"{\"op\":[],\"begin\":0,\"end\":1}", "names no command"},
    {"{\"op\":[\"GET\",null],\"begin\":0,\"end\":1}", "word 2"},
    {"{\"op\":[\"GET\",{\"hex\":\"0\"}],\"begin\":0,\"end\":1}", "word 2"},
    {"{\"op\":[\"GET\",{\"hex\":\"0G\"}],\"begin\":0,\"end\":1}", "word 2"},
    {"{\"op\":[\"GET\",1.5],\"begin\":0,\"end\":1}", "word 2"},
    {"{\"op\":[\"GET\"],\"begin\":0,\"end\":1}", "want GET key"},
    {"{\"op\":[\"MSET\",\"a\",\"b\",\"c\"],\"begin\":0,\"end\":1}", "want MSET"},
    {"{\"op\":[\"PING\"],\"begin\":0,\"end\":1}", "\"PING\" is no command that is checked"},
    {"{\"op\":[\"EXPIRE\",\"k\",1],\"begin\":0,\"end\":1}", "EXPIRE cannot be checked"},
    {"{\"op\":[\"DBSIZE\"],\"begin\":0,\"end\":1}", "DBSIZE cannot be checked"},
    {"{\"op\":[\"SET\",\"k\",\"v\",\"PX\",1],\"begin\":0,\"end\":1}", "PX cannot be checked"},
    {"{\"op\":[\"SET\",\"k\",\"v\",\"Z\"],\"begin\":0,\"end\":1}", "no option \"Z\""},
    {"{\"op\":[\"INCRBY\",\"k\",\"x\"],\"begin\":0,\"end\":1}", "no 64-bit number"},
    {"{\"op\":[\"GET\",\"k\"],\"end\":1,\"result\":null}", "\"begin\" wants"},
    {"{\"op\":[\"GET\",\"k\"],\"begin\":-1,\"end\":1,\"result\":null}", "\"begin\" wants"},
    {"{\"op\":[\"GET\",\"k\"],\"begin\":0,\"end\":1.5,\"result\":null}", "\"end\" wants"},
    {"{\"op\":[\"GET\",\"k\"],\"begin\":2,\"end\":1,\"result\":null}", "ends before it begins"},
    {"{\"op\":[\"GET\",\"k\"],\"begin\":0,\"end\":1}", "wants its \"result\""},
    {"{\"op\":[\"GET\",\"k\"],\"begin\":0,\"end\":1,\"result\":7}", "no answer to this command"},
    {"{\"op\":[\"GET\",\"k\"],\"begin\":0,\"end\":1,\"result\":true}", "\"result\" is none"},
    {"{\"op\":[\"GET\",\"k\"],\"begin\":0,\"end\":1,\"result\":[]}", "an MGET of as many keys"},
    {"{\"op\":[\"MGET\",\"k\"],\"begin\":0,\"end\":1,\"result\":[1]}", "element 1"},
    {"{\"op\":[\"SET\",\"k\",\"v\"],\"begin\":0,\"end\":1,\"result\":null}", "no answer"},
    {"{\"op\":[\"SET\",\"k\",\"v\"],\"begin\":0,\"end\":1,\"result\":{\"error\":\"OOM\"}}",
     "\"outcome\" is \"failed\""},
    {"{\"op\":[\"GET\",\"k\"],\"begin\":0,\"result\":\"v\"}", "was answered"},
    {"{\"op\":[\"GET\",\"k\"],\"begin\":0,\"end\":1,\"outcome\":\"maybe\"}", "\"outcome\" wants"},
    {"{\"op\":[\"GET\",\"k\"],\"begin\":0,\"outcome\":\"ok\",\"result\":\"v\"}", "no end"},
    {"{\"op\":[\"GET\",\"k\"],\"begin\":0,\"end\":1,\"client\":-1}", "\"client\" wants"},
};

static void test_json_text_bad_line_is_told_with_its_number(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        char text[512];
        lin_clear(history);
        snprintf(text, sizeof text, "# one\n\n%s\n", refused[i][0]);
        assert_int_equal(read_text(text), TS_ERR_MALFORMED);
        if (strncmp(error, "h:3: ", 5) != 0 || strstr(error, refused[i][1]) == NULL) {
            fail_msg("%s gave \"%s\", want \"%s\"", refused[i][0], error, refused[i][1]);
        }
        assert_int_equal(lin_count(history), 0);
    }
}

static void test_json_text_too_much_is_full_with_its_line(void **state)
{
    (void)state;
    static const char line[] = "{\"op\":[\"GET\",\"k\"],\"begin\":0,\"end\":1,\"result\":null}\n";
    enum ts_err err = TS_OK;
    for (unsigned i = 0; i < 100000 && err == TS_OK; i++) {
        err = read_text(line);
    }
    assert_int_equal(err, TS_ERR_FULL);
    assert_non_null(strstr(error, "more memory"));
}

/* ---- what is told ---- */

static char *told(const char *text)
{
    struct lin_findings f;
    char *says = NULL;
    size_t len;
    lin_clear(history);
    assert_int_equal(read_text(text), TS_OK);
    lin_find(history, "h", &f);
    FILE *out = open_memstream(&says, &len);
    assert_non_null(out);
    lin_story_print(history, &f, out);
    assert_int_equal(fclose(out), 0);
    return says;
}

static void test_story_print_hostile_bytes_are_escaped_and_cut(void **state)
{
    (void)state;
    char text[8192];
    char value[3001];
    memset(value, 'x', sizeof value - 1);
    value[3000] = '\0';
    snprintf(
        text, sizeof text,
        "{\"op\":[\"SET\",\"a\\u001b[31m \\\"\",\"%s\"],\"begin\":0,\"end\":1,\"result\":\"OK\"}\n"
        "{\"op\":[\"GET\",\"a\\u001b[31m \\\"\"],\"begin\":2,\"end\":3,\"result\":null}\n",
        value);
    char *says = told(text);
    assert_non_null(strstr(says, "\"a\\x1b[31m \\x22\""));
    assert_non_null(strstr(says, "(3000 bytes)"));
    assert_null(strchr(says, '\x1b'));
    free(says);
}

static void test_story_print_long_story_is_whole(void **state)
{
    (void)state;
    char text[32768];
    size_t n = 0;
    for (int i = 0; i < 30; i++) {
        n += (size_t)snprintf(text + n, sizeof text - n,
                              "{\"op\":[\"INCR\",\"k\"],\"begin\":0,\"end\":900,\"result\":%d}\n",
                              i + 1);
    }
    snprintf(text + n, sizeof text - n,
             "{\"op\":[\"INCR\",\"k\"],\"begin\":0,\"end\":900,\"result\":30}\n");
    char *says = told(text);
    assert_non_null(strstr(says, "NOT LINEARIZABLE: key k (31 operations on 1 key)"));
    assert_non_null(strstr(says, "2 of its 31 operations suffice"));
    free(says);
}

static void test_story_json_operations_can_be_read_again(void **state)
{
    (void)state;
    struct lin_findings f;
    assert_int_equal(
        read_text(
            "{\"client\":7,\"op\":[\"MSET\",\"a\",{\"hex\":\"ff\"},\"b\",\"1\"],\"begin\":0,"
            "\"end\":1,\"result\":\"OK\"}\n"
            "{\"op\":[\"SET\",\"a\",\"2\",\"XX\",\"GET\"],\"begin\":2,\"end\":3,\"result\":"
            "{\"hex\":\"ff\"}}\n"
            "{\"op\":[\"INCRBY\",\"b\",-5],\"begin\":2,\"end\":3,\"result\":-4}\n"
            "{\"op\":[\"SET\",\"b\",\"9\"],\"begin\":2,\"end\":null}\n"
            "{\"op\":[\"SET\",\"b\",\"8\"],\"begin\":2,\"end\":3,\"outcome\":\"failed\"}\n"
            "{\"op\":[\"MGET\",\"a\",\"b\"],\"begin\":4,\"end\":5,\"result\":[\"1\",null]}\n"),
        TS_OK);
    lin_find(history, "h", &f);
    assert_int_equal(f.report.verdict, LIN_NOT_LINEARIZABLE);
    json_t *json = lin_story_json(history, &f);
    assert_non_null(json);
    assert_string_equal(json_string_value(json_object_get(json, "verdict")), "not linearizable");
    assert_true(json_is_array(json_object_get(json_object_get(json, "story"), "operations")));
    json_decref(json);
    /* Each operation as JSON, read again, is the same operation. */
    struct lin_limits limits = {.memory_max = (size_t)1 << 20, .steps_max = 100000};
    struct lin *again = lin_new(&limits);
    for (size_t i = 0; i < lin_count(history); i++) {
        struct lin_op op;
        assert_true(lin_view(history, i, &op));
        json_t *line = lin_op_json(&op);
        json_object_del(line, "line");
        char *text = json_dumps(line, JSON_COMPACT);
        assert_int_equal(
            lin_json_text(again, "again", (struct ts_bytes){(uint8_t *)text, strlen(text)}, error),
            TS_OK);
        struct lin_op copy;
        assert_true(lin_view(again, i, &copy));
        json_t *line_again = lin_op_json(&copy);
        json_object_del(line_again, "line");
        assert_true(json_equal(line, line_again));
        json_decref(line_again);
        json_decref(line);
        free(text);
    }
    lin_free(again);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_json_text_comments_and_blank_lines_skipped, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_json_text_every_field_is_read, setup, teardown),
        cmocka_unit_test_setup_teardown(test_json_text_outcome_follows_from_the_end, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_json_read_stream_as_text, setup, teardown),
        cmocka_unit_test_setup_teardown(test_json_text_bad_line_is_told_with_its_number, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_json_text_too_much_is_full_with_its_line, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_story_print_hostile_bytes_are_escaped_and_cut, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_story_print_long_story_is_whole, setup, teardown),
        cmocka_unit_test_setup_teardown(test_story_json_operations_can_be_read_again, setup,
                                        teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
