/* Files and directories: replacement in one step, staging, the lock, the marker. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "tests/unit/disk_fixture.h"

struct dir_fix {
    char dir[TS_PATH_MAX];
    char path[TS_PATH_MAX];
    struct ts_why why;
};

static int setup(void **state)
{
    struct dir_fix *x = calloc(1, sizeof(*x));
    disk_make(x->dir);
    assert_int_equal(ts_path(x->path, NULL, x->dir, "file"), TS_OK);
    *state = x;
    return 0;
}

static int teardown(void **state)
{
    struct dir_fix *x = *state;
    disk_remove(x->dir);
    free(x);
    return 0;
}

/* Goal: content and permissions are the new ones, and nothing is left aside. */
static void test_file_replace_gives_new_content(void **state)
{
    struct dir_fix *x = *state;
    uint8_t *data;
    size_t len;
    assert_int_equal(ts_file_read(x->path, 10, &data, &len, &x->why), TS_ERR_NOT_FOUND);
    assert_int_equal(ts_file_replace(x->path, "one", 3, 0644, &x->why), TS_OK);
    assert_int_equal(ts_file_replace(x->path, "second", 6, 0600, &x->why), TS_OK);
    assert_int_equal(ts_file_read(x->path, 6, &data, &len, &x->why), TS_OK);
    assert_string_equal((char *)data, "second");
    free(data);
    struct stat st;
    assert_int_equal(stat(x->path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(ts_file_read(x->path, 5, &data, &len, &x->why), TS_ERR_LIMIT);
    assert_int_equal(ts_file_remove(x->path, &x->why), TS_OK);
    assert_int_equal(ts_file_remove(x->path, &x->why), TS_OK);
}

/* Goal: a file that the kernel makes, and says to have no bytes, is read; one that has none is
 * empty.
 */
static void test_file_read_without_a_size_gives_content(void **state)
{
    struct dir_fix *x = *state;
    uint8_t *data;
    size_t len;
    assert_int_equal(ts_file_read("/proc/self/cmdline", 4096, &data, &len, &x->why), TS_OK);
    assert_true(len > 1);
    free(data);
    assert_int_equal(ts_file_read("/proc/self/cmdline", 1, &data, &len, &x->why), TS_ERR_LIMIT);
    assert_int_equal(ts_file_replace(x->path, "", 0, 0600, &x->why), TS_OK);
    assert_int_equal(ts_file_read(x->path, SIZE_MAX / 2, &data, &len, &x->why), TS_OK);
    assert_int_equal(len, 0);
    free(data);
}

/* Goal: an error names the path and what to do. */
static void test_file_replace_in_missing_directory_says_where(void **state)
{
    struct dir_fix *x = *state;
    char path[TS_PATH_MAX];
    assert_int_equal(ts_path(path, NULL, x->dir, "none/file"), TS_OK);
    assert_int_equal(ts_file_replace(path, "x", 1, 0600, &x->why), TS_ERR_NOT_FOUND);
    assert_non_null(strstr(x->why.text, path));
}

/* Goal: a device that is full is told apart, with advice. */
static void test_file_write_to_full_device_is_nospace(void **state)
{
    struct dir_fix *x = *state;
    int fd = open("/dev/full", O_WRONLY);
    assert_true(fd >= 0);
    assert_int_equal(ts_fd_write_at(fd, "/dev/full", "x", 1, 0, &x->why), TS_ERR_NOSPACE);
    assert_non_null(strstr(x->why.text, "free space"));
    (void)close(fd);
}

/* Goal: nested directories; a file in the way is named. */
static void test_dir_make_nested_makes_all(void **state)
{
    struct dir_fix *x = *state;
    char path[TS_PATH_MAX];
    assert_int_equal(ts_path(path, NULL, x->dir, "a/b"), TS_OK);
    assert_int_equal(ts_dir_make(path, 0700, &x->why), TS_OK);
    assert_int_equal(ts_dir_make(path, 0700, &x->why), TS_OK);
    assert_int_equal(ts_file_replace(x->path, "x", 1, 0600, &x->why), TS_OK);
    assert_int_equal(ts_path(path, NULL, x->dir, "file/b"), TS_OK);
    assert_int_equal(ts_dir_make(path, 0700, &x->why), TS_ERR_EXISTS);
    assert_non_null(strstr(x->why.text, "not a directory"));
}

/* Goal: a staged directory appears complete or not at all, and never over another one. */
static void test_dir_stage_finish_is_all_or_nothing(void **state)
{
    struct dir_fix *x = *state;
    char dir[TS_PATH_MAX];
    char staging[TS_PATH_MAX];
    char file[TS_PATH_MAX];
    assert_int_equal(ts_path(dir, NULL, x->dir, "stage"), TS_OK);
    for (int i = 0; i < 2; i++) { /* the first attempt is given up half-way */
        assert_int_equal(ts_dir_stage_begin(dir, staging, &x->why), TS_OK);
        assert_int_equal(ts_path(file, NULL, staging, "part%d", i), TS_OK);
        assert_int_equal(ts_file_replace(file, "x", 1, 0600, &x->why), TS_OK);
        assert_int_equal(access(dir, F_OK), -1);
    }
    assert_int_equal(ts_dir_stage_finish(dir, &x->why), TS_OK);
    assert_int_equal(ts_path(file, NULL, dir, "part0"), TS_OK);
    assert_int_equal(access(file, F_OK), -1);
    assert_int_equal(ts_path(file, NULL, dir, "part1"), TS_OK);
    assert_int_equal(access(file, F_OK), 0);
    assert_int_equal(ts_dir_stage_begin(dir, staging, &x->why), TS_ERR_EXISTS);
}

/* Goal: a second process is refused and told the pid of the first; its death frees the lock, which
 * can be asked for without being taken. */
static void test_dir_lock_held_elsewhere_names_pid(void **state)
{
    struct dir_fix *x = *state;
    int to_parent[2];
    int to_child[2];
    assert_int_equal(ts_dir_use(x->dir), TS_DIR_UNKNOWN);
    assert_int_equal(pipe(to_parent), 0);
    assert_int_equal(pipe(to_child), 0);
    pid_t child = fork();
    if (child == 0) {
        struct ts_dir_lock lock;
        enum ts_err err = ts_dir_lock(&lock, x->dir, NULL);
        char c = err == TS_OK ? 'y' : 'n';
        (void)!write(to_parent[1], &c, 1);
        (void)close(to_child[1]);
        (void)!read(to_child[0], &c, 1);
        _exit(0);
    }
    char c;
    assert_int_equal(read(to_parent[0], &c, 1), 1);
    assert_int_equal(c, 'y');
    assert_int_equal(ts_dir_use(x->dir), TS_DIR_IN_USE);
    struct ts_dir_lock lock;
    assert_int_equal(ts_dir_lock(&lock, x->dir, &x->why), TS_ERR_BUSY);
    char want[32];
    (void)snprintf(want, sizeof(want), "process %d", (int)child);
    assert_non_null(strstr(x->why.text, want));
    (void)close(to_child[1]);
    assert_int_equal(waitpid(child, NULL, 0), child);
    assert_int_equal(ts_dir_use(x->dir), TS_DIR_FREE);
    assert_int_equal(ts_dir_lock(&lock, x->dir, &x->why), TS_OK);
    ts_dir_unlock(&lock);
    (void)close(to_parent[0]);
    (void)close(to_parent[1]);
    (void)close(to_child[0]);
}

/* The lock's holder ends; what it had just forked keeps the lock for a second. With `reaped` the
 * holder is gone, else it is there yet and has no memory any more, as one that is being killed. */
static void expect_waits_for_lock(struct dir_fix *x, bool reaped)
{
    int ends[2];
    char c;
    siginfo_t ended;
    struct ts_dir_lock lock;
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    if (child == 0) {
        if (ts_dir_lock(&lock, x->dir, NULL) == TS_OK && fork() == 0) {
            (void)close(ends[0]);
            (void)!write(ends[1], "", 1);
            (void)alarm(1); /* its end */
            (void)pause();
        }
        _exit(0);
    }
    assert_int_equal(waitid(P_PID, (id_t)child, &ended, reaped ? WEXITED : WEXITED | WNOWAIT), 0);
    assert_int_equal(read(ends[0], &c, 1), 1);
    assert_int_equal(ts_dir_lock(&lock, x->dir, &x->why), TS_OK);
    ts_dir_unlock(&lock);
    assert_int_equal(waitpid(child, NULL, 0), reaped ? -1 : child);
    (void)close(ends[0]);
    (void)close(ends[1]);
}

/* Goal: a lock that a killed process has left to what it had just forked is waited for: that one
 * lets it go soon, by ending or by becoming another program. */
static void test_dir_lock_of_a_killed_process_is_waited_for(void **state)
{
    expect_waits_for_lock(*state, true);
}

/* Goal: so is the lock of a process that is about to be gone: its memory goes before its files. */
static void test_dir_lock_of_an_ending_process_is_waited_for(void **state)
{
    expect_waits_for_lock(*state, false);
}

/* Goal: the marker is found again, with its reason (R2.11). */
static void test_dir_abandon_is_remembered(void **state)
{
    struct dir_fix *x = *state;
    assert_int_equal(ts_dir_check_marks(x->dir, &x->why), TS_OK);
    ts_dir_abandon(x->dir, "cannot fsync the tea");
    assert_int_equal(ts_dir_check_marks(x->dir, &x->why), TS_ERR_ABANDONED);
    assert_non_null(strstr(x->why.text, "cannot fsync the tea"));
}

/* Goal: a refusal by the voters is found again, with its reason (R1.8). */
static void test_dir_refuse_is_remembered(void **state)
{
    struct dir_fix *x = *state;
    ts_dir_refuse(x->dir, "this is start 2");
    assert_int_equal(ts_dir_check_marks(x->dir, &x->why), TS_ERR_CLONE);
    assert_non_null(strstr(x->why.text, "(this is start 2)"));
}

/* Goal: a marker takes the room that was set aside for it, which a full disk still has; a second
 * one makes its own. */
static void test_dir_reserve_mark_is_used_by_first(void **state)
{
    struct dir_fix *x = *state;
    char reserved[TS_PATH_MAX];
    assert_int_equal(ts_dir_reserve_mark(x->dir, &x->why), TS_OK);
    assert_int_equal(ts_dir_check_marks(x->dir, &x->why), TS_OK);
    assert_int_equal(ts_path(reserved, NULL, x->dir, "unmarked"), TS_OK);
    assert_int_equal(access(reserved, F_OK), 0);
    ts_dir_refuse(x->dir, "this is start 2");
    assert_int_not_equal(access(reserved, F_OK), 0);
    assert_int_equal(ts_dir_check_marks(x->dir, &x->why), TS_ERR_CLONE);
    assert_non_null(strstr(x->why.text, "(this is start 2)"));
    ts_dir_abandon(x->dir, "cannot fsync the tea");
    assert_int_equal(ts_dir_check_marks(x->dir, &x->why), TS_ERR_ABANDONED);
}

/* Goal: a path that does not fit is an error, never a shorter path. */
static void test_path_too_long_is_refused(void **state)
{
    struct dir_fix *x = *state;
    char longer[TS_PATH_MAX];
    char out[TS_PATH_MAX];
    memset(longer, 'x', sizeof(longer) - 1);
    longer[sizeof(longer) - 1] = 0;
    assert_int_equal(ts_path(out, &x->why, longer, "f"), TS_ERR_LIMIT);
    assert_true(ts_random_id() != ts_random_id());
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

/* Goal: each program of a node has a lock of its own; a second one of the same is told who has it,
 * once it has waited for an ending one in vain. */
static void test_dir_lock_program_is_one_each(void **state)
{
    struct dir_fix *x = *state;
    struct ts_dir_lock a;
    struct ts_dir_lock b;
    struct ts_dir_lock again;
    assert_int_equal(ts_dir_lock_program(&a, x->dir, "heartbeatd", &x->why), TS_OK);
    assert_int_equal(ts_dir_lock_program(&b, x->dir, "cluster-cfgd", &x->why), TS_OK);
    assert_int_equal(ts_dir_lock_program(&again, x->dir, "heartbeatd", &x->why), TS_ERR_BUSY);
    assert_non_null(strstr(x->why.text, "(by a heartbeatd) is in use by process"));
    ts_dir_unlock(&a);
    assert_int_equal(ts_dir_lock_program(&again, x->dir, "heartbeatd", &x->why), TS_OK);
    ts_dir_unlock(&again);
    ts_dir_unlock(&b);
}

/* Opens a file with descriptors 0 to 2 closed; 0 when it has none of their numbers, nothing can be
 * read from 0, and nothing printed to 1 and 2. */
static int open_with_closed_standard(const char *path)
{
    char byte = 0;
    for (int fd = 0; fd <= 2; fd++) {
        (void)close(fd);
    }
    if (!ts_std_fds_hold()) {
        return 1;
    }
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd <= 2 || write(fd, "x", 1) != 1) {
        return 2;
    }
    if (read(0, &byte, 1) != -1 || errno != EBADF) {
        return 3;
    }
    return write(1, "y", 1) == -1 && write(2, "y", 1) == -1 && errno == EBADF ? 0 : 4;
}

/* Goal: what a program that was started with closed descriptors prints lands in none of its files.
 */
static void test_std_fds_hold_keeps_their_numbers_from_files(void **state)
{
    struct dir_fix *x = *state;
    int status = -1;
    assert_true(ts_std_fds_hold());
    pid_t pid = fork();
    if (pid == 0) {
        _exit(open_with_closed_standard(x->path));
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_file_replace_gives_new_content),
        T(test_file_read_without_a_size_gives_content),
        T(test_file_replace_in_missing_directory_says_where),
        T(test_file_write_to_full_device_is_nospace),
        T(test_dir_make_nested_makes_all),
        T(test_dir_stage_finish_is_all_or_nothing),
        T(test_dir_lock_held_elsewhere_names_pid),
        T(test_dir_lock_of_a_killed_process_is_waited_for),
        T(test_dir_lock_of_an_ending_process_is_waited_for),
        T(test_dir_lock_program_is_one_each),
        T(test_dir_abandon_is_remembered),
        T(test_dir_refuse_is_remembered),
        T(test_dir_reserve_mark_is_used_by_first),
        T(test_path_too_long_is_refused),
        T(test_std_fds_hold_keeps_their_numbers_from_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
