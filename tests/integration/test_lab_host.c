/* The libraries that make a machine's clock or memory wrong (lab/host), in front of programs that
 * know nothing of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/ids.h"
#include "lab/exec.h"
#include "lab/host/record.h"

#define HOUR_S 3600
#define BUSY_S 30 /* between a look at the clock here and one there */

static char dir[64];
static struct host_record *record;

static int setup(void **state)
{
    (void)state;
    char path[128];
    (void)snprintf(dir, sizeof(dir), "/tmp/twinstep-host-XXXXXX");
    assert_non_null(mkdtemp(dir));
    (void)snprintf(path, sizeof(path), "%s/" HOST_RECORD_FILE "nic1", dir);
    record = lab_record_map(path);
    assert_non_null(record);
    return setenv(HOST_RECORD_DIR, dir, 1) == 0 && setenv(HOST_RECORD_NODE, "nic1", 1) == 0 ? 0
                                                                                            : -1;
}

static int teardown(void **state)
{
    (void)state;
    char path[128];
    (void)munmap(record, sizeof(*record));
    (void)snprintf(path, sizeof(path), "%s/" HOST_RECORD_FILE "nic1", dir);
    (void)unlink(path);
    return rmdir(dir);
}

/* What the command writes, with the library in front of it. */
static void run(const char *library, const char *command, char *out, size_t cap)
{
    const char *argv[] = {"sh", "-c", command, NULL};
    assert_int_equal(setenv("LD_PRELOAD", library, 1), 0);
    enum ts_err err = lab_exec(argv, NULL, out, cap, NULL);
    (void)unsetenv("LD_PRELOAD");
    assert_true(err == TS_OK || err == TS_ERR_REFUSED); /* want of memory is a status of its own */
}

static long long ahead_s(void)
{
    char said[64] = "";
    run(LABCLOCK_LIBRARY, "date +%s", said, sizeof(said));
    return strtoll(said, NULL, 10) - (long long)time(NULL);
}

/* Goal: a program is given the time of its machine's record, and the record tells that it was. */
static void test_clock_shows_what_the_record_says(void **state)
{
    (void)state;
    long long is = ahead_s();
    assert_true(is > -BUSY_S && is <= 0);
    assert_int_equal(atomic_load(&record->reads), 0);
    atomic_store(&record->offset_ns, HOUR_S * (int64_t)TS_NS_PER_S);
    is = ahead_s();
    assert_true(is > HOUR_S - BUSY_S && is <= HOUR_S);
    assert_true(atomic_load(&record->reads) > 0);
    assert_int_equal(atomic_load(&record->last_given_ns) - atomic_load(&record->last_true_ns),
                     HOUR_S * (int64_t)TS_NS_PER_S);
    atomic_store(&record->offset_ns, -HOUR_S * (int64_t)TS_NS_PER_S);
    is = ahead_s();
    assert_true(is > -HOUR_S - BUSY_S && is <= -HOUR_S);
}

/* Goal: another machine's programs see the true time. */
static void test_clock_of_another_machine_is_true(void **state)
{
    (void)state;
    atomic_store(&record->offset_ns, HOUR_S * (int64_t)TS_NS_PER_S);
    assert_int_equal(unsetenv(HOST_RECORD_NODE), 0);
    long long is = ahead_s();
    assert_true(is > -BUSY_S && is <= 0);
    assert_int_equal(atomic_load(&record->reads), 0);
}

/* Goal: a clock that drifts is ahead by a share of the time since it began to. */
static void test_clock_drifts_from_its_moment_on(void **state)
{
    (void)state;
    atomic_store(&record->offset_ns, 5);
    atomic_store(&record->drift_ppm, HOST_PPM / 10);
    atomic_store(&record->since_ns, 1000);
    assert_int_equal(lab_record_time(record, 1000), 1005);
    assert_int_equal(lab_record_time(record, 2000), 2105);
    int64_t day = 86400 * (int64_t)TS_NS_PER_S;
    assert_int_equal(lab_record_time(record, 1000 + 1000 * day), 1005 + 1100 * day);
}

/* Goal: an allocation that gets no memory is counted, and none that gets some. */
static void test_memory_that_is_not_had_is_counted(void **state)
{
    (void)state;
    char said[256];
    run(LABMEMORY_LIBRARY, "sort -S 1G /dev/null", said, sizeof(said));
    assert_int_equal(atomic_load(&record->refused), 0);
    run(LABMEMORY_LIBRARY, "ulimit -v 200000; sort -S 1G /dev/null", said, sizeof(said));
    assert_true(atomic_load(&record->refused) > 0);
}

int main(void)
{
#define T(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_clock_shows_what_the_record_says),
        T(test_clock_of_another_machine_is_true),
        T(test_clock_drifts_from_its_moment_on),
        T(test_memory_that_is_not_had_is_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
