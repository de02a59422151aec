/* Branch coverage of the cores. The simulator stands there twice: `sim`, and `sim-coverage`, whose
 * cores count their branches (gcov). `sim --coverage` starts the other one in its place; the
 * counters go to a directory of their own, and the script of this name reads them. */
#include <errno.h>
#include <ftw.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/assert.h"
#include "tests/sim/sim.h"

#define PATH_BYTES 4096
#define OPEN_FILES_MAX 8

/* gcov's own, in the one program only that counts. */
extern void gcov_dump(void) __asm__("__gcov_dump") __attribute__((weak));
extern void gcov_reset(void) __asm__("__gcov_reset") __attribute__((weak));

bool sim_coverage_counts(void)
{
    return gcov_dump != NULL;
}

void sim_coverage_exec(char **argv)
{
    char path[PATH_BYTES];
    ssize_t n = readlink("/proc/self/exe", path, sizeof(path));
    char *slash = n > 0 && (size_t)n < sizeof(path) ? memrchr(path, '/', (size_t)n) : NULL;
    static const char NAME[] = "sim-coverage";
    if (slash != NULL && slash + sizeof(NAME) == path + n &&
        memcmp(slash + 1, NAME, sizeof(NAME) - 1) == 0) {
        fprintf(
            stderr,
            "sim: --coverage: this program does not count branches: it was built without gcov\n");
        return;
    }
    if (slash == NULL || (size_t)(slash + 1 - path) + sizeof(NAME) > sizeof(path)) {
        fprintf(stderr, "sim: --coverage: cannot tell where this program is: %s\n",
                strerror(errno));
        return;
    }
    memcpy(slash + 1, NAME, sizeof(NAME));
    (void)execv(path, argv);
    fprintf(stderr,
            "sim: --coverage: cannot start %s: %s; build it: cmake --build BUILD --target "
            "sim-coverage (gcc, without sanitizers)\n",
            path, strerror(errno));
}

bool sim_coverage_begin(char directory[SIM_COVERAGE_DIRECTORY_BYTES])
{
    static const char TEMPLATE[] = "/tmp/sim-coverage-XXXXXX";
    _Static_assert(sizeof(TEMPLATE) <= SIM_COVERAGE_DIRECTORY_BYTES, "it fits");
    memcpy(directory, TEMPLATE, sizeof(TEMPLATE));
    if (mkdtemp(directory) == NULL || setenv("GCOV_PREFIX", directory, 1) != 0 ||
        unsetenv("GCOV_PREFIX_STRIP") != 0) {
        fprintf(stderr, "sim: --coverage: cannot make %s: %s\n", directory, strerror(errno));
        return false;
    }
    return true;
}

bool sim_coverage_tell(const char *directory, const char *how, const char *at_least)
{
    int status = 0;
    gcov_dump();
    gcov_reset(); /* what is in the files is added to by the next one */
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        (void)execl(SIM_COVERAGE_SCRIPT, SIM_COVERAGE_SCRIPT, SIM_COVERAGE_OBJECTS, directory, how,
                    "--at-least", at_least, (char *)NULL);
        fprintf(stderr, "sim: --coverage: cannot start %s: %s\n", SIM_COVERAGE_SCRIPT,
                strerror(errno));
        _exit(1);
    }
    while (child > 0 && waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    return child > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static int forget(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)st;
    (void)type;
    (void)at;
    return remove(path);
}

void sim_coverage_end(const char *directory)
{
    gcov_dump(); /* what has come since; the program's end leaves nothing behind then */
    (void)nftw(directory, forget, OPEN_FILES_MAX, FTW_DEPTH | FTW_PHYS);
}
