/* The lifeline between a supervisor and its child. This program is its own child: with an
 * argument it plays that part. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/io/lifeline.h"

#define PATIENCE_MS 20000

struct child {
    struct ts_lifeline *lifeline;
    pid_t pid;
    int to;   /* its standard input */
    int from; /* its standard output */
};

/* ---- the child's part ---- */

static void *wait_for_word(void *arg)
{
    char word;
    (void)!read(STDIN_FILENO, &word, 1);
    _exit(arg == NULL ? 0 : 1);
}

/* "hold": holds, says so and waits. "leave": its main thread ends, another one goes on. "bare":
 * never holds. */
static int play(const char *part)
{
    pthread_t other;
    if (strcmp(part, "bare") != 0) {
        ts_lifeline_hold();
    }
    if (getenv(TS_LIFELINE_ENV) != NULL && strcmp(part, "bare") != 0) {
        return 1;
    }
    if (strcmp(part, "leave") == 0) {
        if (pthread_create(&other, NULL, wait_for_word, NULL) != 0) {
            return 1;
        }
        (void)!write(STDOUT_FILENO, "x", 1);
        pthread_exit(NULL);
    }
    (void)!write(STDOUT_FILENO, "x", 1);
    (void)wait_for_word(NULL);
    return 0;
}

/* ---- the supervisor's part ---- */

static void start(struct child *c, const char *part)
{
    int in[2];
    int out[2];
    int fd = -1;
    char variable[64];
    char word;
    assert_int_equal(ts_lifeline_open(&c->lifeline, &fd), TS_OK);
    assert_int_equal(pipe2(in, O_CLOEXEC), 0);
    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    (void)snprintf(variable, sizeof(variable), "%d", fd);
    assert_int_equal(setenv(TS_LIFELINE_ENV, variable, 1), 0);
    c->pid = fork();
    assert_true(c->pid >= 0);
    if (c->pid == 0) {
        (void)fcntl(fd, F_SETFD, 0);
        (void)dup2(in[0], STDIN_FILENO);
        (void)dup2(out[1], STDOUT_FILENO);
        (void)execl("/proc/self/exe", "test_lifeline", part, (char *)NULL);
        _exit(127);
    }
    assert_int_equal(unsetenv(TS_LIFELINE_ENV), 0);
    (void)close(fd);
    (void)close(in[0]);
    (void)close(out[1]);
    c->to = in[1];
    c->from = out[0];
    assert_int_equal(read(c->from, &word, 1), 1);
}

static bool heard(const struct child *c, int wait_ms)
{
    struct pollfd p = {.fd = ts_lifeline_event_fd(c->lifeline), .events = POLLIN};
    return poll(&p, 1, wait_ms) == 1;
}

static void end(struct child *c)
{
    int status;
    (void)close(c->to);
    (void)close(c->from);
    assert_int_equal(waitpid(c->pid, &status, 0), c->pid);
    ts_lifeline_close(c->lifeline);
}

/* Goal: a killed child is heard of without asking for its exit. */
static void test_lifeline_killed_child_is_heard(void **state)
{
    struct child c;
    (void)state;
    start(&c, "hold");
    assert_false(heard(&c, 0));
    assert_int_equal(kill(c.pid, SIGKILL), 0);
    assert_true(heard(&c, PATIENCE_MS));
    end(&c);
}

/* Goal: the word comes with the end of the main thread, while the process is still there: here
 * another thread keeps it, as one in fdatasync or much memory would. */
static void test_lifeline_main_thread_ended_heard_before_exit(void **state)
{
    struct child c;
    int status;
    (void)state;
    start(&c, "leave");
    assert_true(heard(&c, PATIENCE_MS));
    assert_int_equal(waitpid(c.pid, &status, WNOHANG), 0);
    end(&c);
}

/* Goal: a child that ended before it held the lifeline gives no word, and the supervisor is not
 * kept from closing. */
static void test_lifeline_never_held_gives_no_word(void **state)
{
    struct child c;
    (void)state;
    start(&c, "bare");
    assert_int_equal(kill(c.pid, SIGKILL), 0);
    assert_false(heard(&c, 50));
    end(&c);
}

/* Goal: a process without the variable, or with one that names something else, starts all the
 * same. */
static void test_lifeline_without_variable_starts_alone(void **state)
{
    (void)state;
    ts_lifeline_hold();
    assert_int_equal(setenv(TS_LIFELINE_ENV, "0", 1), 0);
    ts_lifeline_hold();
    assert_int_equal(setenv(TS_LIFELINE_ENV, "x", 1), 0);
    ts_lifeline_hold();
    assert_int_equal(unsetenv(TS_LIFELINE_ENV), 0);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lifeline_killed_child_is_heard),
        cmocka_unit_test(test_lifeline_main_thread_ended_heard_before_exit),
        cmocka_unit_test(test_lifeline_never_held_gives_no_word),
        cmocka_unit_test(test_lifeline_without_variable_starts_alone),
    };
    return argc > 1 ? play(argv[1]) : cmocka_run_group_tests(tests, NULL, NULL);
}
