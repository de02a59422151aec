/* What an operator's tools see of a running pair: latencies. The tests stand in one order and share
 * the pair. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "lab/clock.h"
#include "lab/exec.h"
#include "tests/integration/fixture.h"

#define WAIT_MS 60000
#define WORDS_MAX 8

struct fixture fixture = {.name = "operate", .calm = true};
static char said[256 * 1024];

/* Runs `twinstep WORD --dir RUN [words]`, up to a NULL; `said` has what it printed. */
static enum ts_err twinstep(const char *word, const char *const *words)
{
    char program[TS_PATH_MAX];
    struct ts_why why;
    const char *argv[WORDS_MAX + 5] = {program, word, "--dir", fixture.run};
    assert_int_equal(ts_path(program, NULL, fixture.pair.run.bin, "twinstep"), TS_OK);
    for (size_t i = 0; i < WORDS_MAX && words[i] != NULL; i++) {
        argv[4 + i] = words[i];
    }
    return lab_exec(argv, NULL, said, sizeof(said), &why);
}

static json_t *twinstep_json(const char *word, const char *const *words)
{
    assert_int_equal(twinstep(word, words), TS_OK);
    json_t *json = json_loads(said, 0, NULL);
    assert_non_null(json);
    return json;
}

static void run_load(void)
{
    struct lab_load *load = fixture_load(&fixture, "operate");
    lab_pause_ms(500); /* some thousands of commands */
    fixture_judge(load);
}

static int64_t number_at(const json_t *o, const char *key)
{
    const json_t *value = json_object_get(o, key);
    assert_true(json_is_integer(value));
    return json_integer_value(value);
}

static const json_t *group_of(const json_t *latency, unsigned node)
{
    const json_t *n = json_array_get(json_object_get(latency, "nodes"), node);
    const json_t *g = json_array_get(json_object_get(n, "groups"), 0);
    assert_string_equal(json_string_value(json_object_get(g, "group")), "kv");
    return g;
}

static int64_t count_of(const json_t *group, size_t stage)
{
    return number_at(json_array_get(json_object_get(group, "stages"), stage), "count");
}

static int64_t counter(const json_t *group, const char *name)
{
    return number_at(json_object_get(group, "counters"), name);
}

/* Goal: what went through the first stage went through all others, and as often as it was ordered;
 * the secondary applied it too, and answered none of it. */
static void test_latency_of_all_stages_is_told(void **state)
{
    (void)state;
    static const char *const JSON[] = {"--latency", "--json", NULL};
    unsigned primary = fixture_primary(&fixture);
    run_load();
    uint64_t end = lab_now_ns() + WAIT_MS * TS_NS_PER_MS;
    for (bool whole = false; !whole;) { /* figures are told once a second */
        json_t *latency = twinstep_json("status", JSON);
        const json_t *group = group_of(latency, primary);
        int64_t requests = counter(group, "requests");
        whole = requests > 100;
        for (size_t i = 0; i < json_array_size(json_object_get(group, "stages")); i++) {
            whole = whole && count_of(group, i) == requests;
        }
        whole = whole && counter(group_of(latency, 1 - primary), "commits") >= requests;
        assert_true(whole || lab_now_ns() < end);
        if (whole) {
            const json_t *stages = json_object_get(group, "stages");
            assert_int_equal(json_array_size(stages), 6);
            const json_t *journal = json_array_get(stages, 1);
            const json_t *commit = json_array_get(stages, 3);
            assert_true(number_at(journal, "p50_ns") > 0);
            assert_true(number_at(commit, "sum_ns") >= number_at(journal, "sum_ns"));
            assert_true(counter(group, "client_received_bytes") > requests);
            assert_true(counter(group, "batches") > 0);
            assert_int_equal(counter(group_of(latency, 1 - primary), "requests"), 0);
            assert_int_equal(count_of(group_of(latency, 1 - primary), 0), 0);
        }
        json_decref(latency);
        lab_pause_ms(50);
    }
    static const char *const TEXT[] = {"--latency", NULL};
    assert_int_equal(twinstep("status", TEXT), TS_OK);
    assert_non_null(strstr(said, "p99.9 ms"));
    assert_non_null(strstr(said, "fabric"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_latency_of_all_stages_is_told),
    };
    return fixture_run(tests);
}
