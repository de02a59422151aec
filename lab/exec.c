#include "lab/exec.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* Reads to the end of the pipe; what does not fit is read and dropped. */
static void drain(int fd, char *out, size_t cap)
{
    char spare[4096];
    size_t len = 0;
    for (;;) {
        bool room = out != NULL && len + 1 < cap;
        ssize_t n = room ? read(fd, out + len, cap - 1 - len) : read(fd, spare, sizeof spare);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            break;
        }
        len += room ? (size_t)n : 0;
    }
    if (out != NULL && cap > 0) {
        out[len] = '\0';
    }
}

static _Noreturn void child(const char *const argv[], int in, int out)
{
    if (dup2(in, STDIN_FILENO) >= 0 && dup2(out, STDOUT_FILENO) >= 0) {
        /* execvp takes char *const[] for historical reasons; it changes nothing. */
        union {
            const char *const *from;
            char *const *to;
        } args = {.from = argv};
        execvp(argv[0], args.to);
    }
    _exit(127);
}

static enum ts_err judge_status(const char *program, int status, struct ts_why *why)
{
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
        return TS_OK;
    }
    if (WIFEXITED(status) && WEXITSTATUS(status) == 127) {
        return ts_why(why, TS_ERR_SYSTEM, "cannot run %s: is it installed and in PATH?", program);
    }
    if (WIFEXITED(status)) {
        return ts_why(why, TS_ERR_REFUSED, "%s ended with status %d; its message is above", program,
                      WEXITSTATUS(status));
    }
    return ts_why(why, TS_ERR_REFUSED, "%s was ended by signal %d", program, WTERMSIG(status));
}

enum ts_err lab_exec(const char *const argv[], const char *input, char *out, size_t cap,
                     struct ts_why *why)
{
    int in_pipe[2];
    int out_pipe[2];
    if (pipe2(in_pipe, O_CLOEXEC) != 0) {
        return ts_why_sys(why, errno, "cannot make a pipe for %s", argv[0]);
    }
    if (pipe2(out_pipe, O_CLOEXEC) != 0) {
        close(in_pipe[0]);
        close(in_pipe[1]);
        return ts_why_sys(why, errno, "cannot make a pipe for %s", argv[0]);
    }
    pid_t pid = fork();
    if (pid == 0) {
        child(argv, in_pipe[0], out_pipe[1]);
    }
    close(in_pipe[0]);
    close(out_pipe[1]);
    if (pid > 0 && input != NULL) {
        /* Inputs fit the pipe's buffer; a program that reads none says so by its status. */
        ssize_t n = write(in_pipe[1], input, strlen(input));
        (void)n;
    }
    close(in_pipe[1]);
    if (pid > 0) {
        drain(out_pipe[0], out, cap);
    }
    close(out_pipe[0]);
    if (pid < 0) {
        return ts_why_sys(why, errno, "cannot start %s", argv[0]);
    }
    int status;
    while (waitpid(pid, &status, 0) < 0) {
        if (errno != EINTR) {
            return ts_why_sys(why, errno, "cannot wait for %s", argv[0]);
        }
    }
    return judge_status(argv[0], status, why);
}
