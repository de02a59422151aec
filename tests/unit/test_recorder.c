/* The event recorder: order, bounds, restart, damage. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "cluster-cfg/io/recorder.h"

struct fixture {
    uv_loop_t loop;
    char dir[64];
    struct recorder *r;
    bool closed;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    if (f == NULL || uv_loop_init(&f->loop) != 0) {
        return -1;
    }
    (void)snprintf(f->dir, sizeof(f->dir), "/tmp/ts-recorder-XXXXXX");
    *state = f;
    return mkdtemp(f->dir) == NULL ? -1 : 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(ts_dir_remove(f->dir, NULL), TS_OK);
    assert_int_equal(uv_loop_close(&f->loop), 0);
    free(f);
    return 0;
}

static void on_closed(void *arg)
{
    ((struct fixture *)arg)->closed = true;
}

static void open_recorder(struct fixture *f, size_t events, size_t bytes)
{
    struct ts_why why;
    struct recorder_options o = {.events_max = events, .file_bytes_max = bytes};
    assert_int_equal(recorder_open(&f->r, &f->loop, f->dir, &o, &why), TS_OK);
}

static void close_recorder(struct fixture *f)
{
    f->closed = false;
    recorder_close(f->r, on_closed, f);
    (void)uv_run(&f->loop, UV_RUN_DEFAULT);
    assert_true(f->closed);
}

static uint64_t add(struct fixture *f, enum ts_trace_kind kind, uint64_t a)
{
    struct ts_trace t = {.kind = kind, .at = {a * 10}, .epoch = {3}, .seq = {a}, .a = a, .b = 7};
    struct recorder_source s = {REPORT_PROC_REPLICA, {1}, {0xfeedULL << 48}};
    return recorder_add(f->r, 1000 + a, s, &t)->seq;
}

static size_t file_size(const struct fixture *f, const char *name)
{
    char path[TS_PATH_MAX];
    struct stat st;
    assert_int_equal(ts_path(path, NULL, f->dir, "%s", name), TS_OK);
    return stat(path, &st) == 0 ? (size_t)st.st_size : 0;
}

/* Goal: an event is the same after JSON and back, large numbers included. */
static void test_event_json_round_trip_is_same(void **state)
{
    (void)state;
    struct recorder_event e = {
        .seq = 9,
        .wall_us = 1800000000000000,
        .source = {REPORT_PROC_HEARTBEATD, {0}, {UINT64_MAX}},
        .trace = {.kind = TS_TRACE_CONFIG, .at = {5}, .epoch = {6}, .a = 1, .b = 1ULL << 63}};
    json_t *json = recorder_event_json(&e);
    struct recorder_event back;
    assert_int_equal(recorder_event_parse(&back, json), TS_OK);
    assert_memory_equal(&back, &e, sizeof(e));
    (void)json_object_set_new(json, "kind", json_string("no-such-kind"));
    assert_int_equal(recorder_event_parse(&back, json), TS_ERR_MALFORMED);
    json_decref(json);
    assert_int_equal(recorder_event_parse(&back, NULL), TS_ERR_MALFORMED);
}

/* Goal: the ring keeps the newest events; reading goes on where one was. */
static void test_read_beyond_capacity_gives_newest(void **state)
{
    struct fixture *f = *state;
    open_recorder(f, 4, 0);
    assert_int_equal(recorder_newest(f->r), 0);
    for (uint64_t i = 1; i <= 6; i++) {
        assert_int_equal(add(f, TS_TRACE_SEALED, i), i);
    }
    struct recorder_event e[8];
    assert_int_equal(recorder_oldest(f->r), 3);
    assert_int_equal(recorder_read(f->r, 0, e, 8), 4);
    assert_int_equal(e[0].seq, 3);
    assert_int_equal(e[3].trace.a, 6);
    assert_int_equal(recorder_read(f->r, 4, e, 1), 1);
    assert_int_equal(e[0].seq, 5);
    assert_int_equal(recorder_read(f->r, 6, e, 8), 0);
    close_recorder(f);
}

/* Goal: a restart finds the events and never gives a number twice. */
static void test_open_after_restart_gives_old_events(void **state)
{
    struct fixture *f = *state;
    open_recorder(f, 16, 0);
    (void)add(f, TS_TRACE_SEALED, 1);
    (void)add(f, TS_TRACE_ACTIVE, 2);
    close_recorder(f);
    open_recorder(f, 16, 0);
    struct recorder_event e[4];
    assert_int_equal(recorder_read(f->r, 0, e, 4), 2);
    assert_int_equal(e[1].trace.kind, TS_TRACE_ACTIVE);
    assert_int_equal(e[1].wall_us, 1002);
    assert_int_equal(add(f, TS_TRACE_ROLE, 3), 3 + RECORDER_RESTART_GAP);
    close_recorder(f);
}

/* Goal: the files stay within their bound, and together hold the newest events. */
static void test_add_many_keeps_files_bounded(void **state)
{
    struct fixture *f = *state;
    open_recorder(f, 1000, 4096);
    for (uint64_t i = 1; i <= 500; i++) {
        (void)add(f, TS_TRACE_SEALED, i);
        (void)uv_run(&f->loop, UV_RUN_DEFAULT);
    }
    assert_int_equal(recorder_unwritten(f->r), 0);
    close_recorder(f);
    assert_in_range(file_size(f, "events.jsonl"), 1, 4096);
    assert_in_range(file_size(f, "events.1.jsonl"), 2048, 4096);
    open_recorder(f, 1000, 4096);
    assert_int_equal(recorder_newest(f->r), 500);
    assert_in_range(recorder_oldest(f->r), 450, 490);
    assert_int_equal(recorder_unreadable(f->r), 0);
    close_recorder(f);
}

/* Goal: torn, foreign and repeated lines are skipped and counted, and new lines stay whole. */
static void test_open_damaged_file_skips_bad_lines(void **state)
{
    struct fixture *f = *state;
    open_recorder(f, 16, 0);
    (void)add(f, TS_TRACE_SEALED, 1);
    (void)add(f, TS_TRACE_SEALED, 2);
    close_recorder(f);
    char path[TS_PATH_MAX];
    assert_int_equal(ts_path(path, NULL, f->dir, "events.jsonl"), TS_OK);
    FILE *file = fopen(path, "a");
    assert_non_null(file);
    (void)fputs("\n[]\n{\"seq\": 2}\n\xff\xfe\n{\"seq\": 3, \"wal", file);
    assert_int_equal(fclose(file), 0);
    open_recorder(f, 16, 0);
    assert_int_equal(recorder_newest(f->r), 2);
    assert_int_equal(recorder_unreadable(f->r), 5);
    uint64_t seq = add(f, TS_TRACE_ACTIVE, 3);
    close_recorder(f);
    open_recorder(f, 16, 0);
    assert_int_equal(recorder_newest(f->r), seq);
    close_recorder(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
        TEST(test_event_json_round_trip_is_same),
        TEST(test_read_beyond_capacity_gives_newest),
        TEST(test_open_after_restart_gives_old_events),
        TEST(test_add_many_keeps_files_bounded),
        TEST(test_open_damaged_file_skips_bad_lines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
