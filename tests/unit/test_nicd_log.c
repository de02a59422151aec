/* The log of a child: bounded on disk by rotation and in memory by dropping, never blocking. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/io/files.h"
#include "daemon/nicd_log.h"
#include "lab/scratch.h"

struct world {
    char dir[LAB_SCRATCH_MAX];
    uv_loop_t loop;
    struct nicd_log log;
};

static int set_up(void **state)
{
    struct world *w = (struct world *)calloc(1, sizeof(*w));
    char path[TS_PATH_MAX];
    assert_non_null(w);
    assert_int_equal(lab_scratch_make("nicd-log", w->dir), TS_OK);
    assert_int_equal(ts_path(path, NULL, w->dir, "log"), TS_OK);
    assert_int_equal(ts_dir_make(path, 0755, NULL), TS_OK);
    assert_int_equal(uv_loop_init(&w->loop), 0);
    assert_int_equal(nicd_log_open(&w->log, &w->loop, w->dir, "child"), TS_OK);
    *state = w;
    return 0;
}

static int tear_down(void **state)
{
    struct world *w = (struct world *)*state;
    assert_int_equal(uv_loop_close(&w->loop), 0);
    lab_scratch_remove(w->dir);
    free(w);
    return 0;
}

static void write_all(struct world *w)
{
    while (!nicd_log_idle(&w->log)) {
        (void)uv_run(&w->loop, UV_RUN_ONCE);
    }
}

/* The size of child.log or its rotated predecessor; -1 when there is none. */
static long size_of(const struct world *w, const char *suffix)
{
    char path[TS_PATH_MAX];
    struct stat st;
    assert_int_equal(ts_path(path, NULL, w->dir, "log/child.log%s", suffix), TS_OK);
    return stat(path, &st) == 0 ? (long)st.st_size : -1;
}

/* Goal: two files of the stated size are all that a talkative child can fill. */
static void test_nicd_log_much_output_is_rotated(void **state)
{
    struct world *w = (struct world *)*state;
    char chunk[4096];
    memset(chunk, 'x', sizeof(chunk));
    chunk[sizeof(chunk) - 1] = '\n';
    for (unsigned i = 0; i < 3 * NICD_LOG_FILE_MAX / sizeof(chunk); i++) {
        nicd_log_write(&w->log, chunk, sizeof(chunk));
        if (i % 8 == 7) {
            write_all(w);
        }
    }
    write_all(w);
    assert_in_range(size_of(w, ""), 1, NICD_LOG_FILE_MAX);
    assert_in_range(size_of(w, ".1"), NICD_LOG_FILE_MAX - NICD_LOG_BUFFER, NICD_LOG_FILE_MAX);
    assert_int_equal(size_of(w, ".2"), -1);
    assert_int_equal(size_of(w, ".1.1"), -1);
}

/* Goal: what does not fit in memory while a write is under way is dropped, and the log says so. */
static void test_nicd_log_full_memory_drops_and_tells(void **state)
{
    struct world *w = (struct world *)*state;
    char chunk[1024];
    char path[TS_PATH_MAX];
    uint8_t *data = NULL;
    size_t len = 0;
    memset(chunk, 'y', sizeof(chunk));
    chunk[sizeof(chunk) - 1] = '\n';
    for (unsigned i = 0; i < 3 * NICD_LOG_BUFFER / sizeof(chunk); i++) {
        nicd_log_write(&w->log, chunk, sizeof(chunk)); /* the loop does not run meanwhile */
    }
    write_all(w);
    assert_int_equal(ts_path(path, NULL, w->dir, "log/child.log"), TS_OK);
    assert_int_equal(ts_file_read(path, NICD_LOG_FILE_MAX, &data, &len, NULL), TS_OK);
    assert_in_range(len, NICD_LOG_BUFFER, 2 * NICD_LOG_BUFFER);
    assert_non_null(strstr((const char *)data, "(nicd dropped "));
    free(data);
}

/* Goal: the reason of an exit is the last whole line, also when it came in pieces, and a new
 * process begins without one. */
static void test_nicd_log_last_line_is_kept(void **state)
{
    struct world *w = (struct world *)*state;
    nicd_log_write(&w->log, "first\nsecond li", 15);
    assert_string_equal(w->log.last, "first");
    nicd_log_write(&w->log, "ne\nthird", 8);
    assert_string_equal(w->log.last, "second line");
    nicd_log_begin(&w->log);
    assert_string_equal(w->log.last, "");
    nicd_log_write(&w->log, "new\n", 4);
    assert_string_equal(w->log.last, "new");
    write_all(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_nicd_log_much_output_is_rotated, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_nicd_log_full_memory_drops_and_tells, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_nicd_log_last_line_is_kept, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
