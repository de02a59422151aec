#include "base/io/lifeline.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/assert.h"

/* What both processes see. */
struct shared {
    pthread_mutex_t held; /* robust */
    sem_t begun;          /* the child holds it, or nobody will any more */
};

/* Shared by the owner and the waiting thread; the last of them frees it. */
struct ts_lifeline {
    atomic_uint users;
    struct shared *shared;
    int event_fd;
};

static void drop(struct ts_lifeline *l)
{
    if (atomic_fetch_sub(&l->users, 1) == 1) {
        (void)munmap(l->shared, sizeof(*l->shared));
        (void)close(l->event_fd);
        free(l);
    }
}

static void *wait_for_end(void *arg)
{
    struct ts_lifeline *l = arg;
    while (sem_wait(&l->shared->begun) != 0 && errno == EINTR) {
    }
    int rc = pthread_mutex_lock(&l->shared->held);
    if (rc == EOWNERDEAD) {
        (void)eventfd_write(l->event_fd, 1);
    }
    if (rc == EOWNERDEAD || rc == 0) {
        (void)pthread_mutex_unlock(&l->shared->held);
    }
    drop(l);
    return NULL;
}

static bool make_shared(struct shared *s)
{
    pthread_mutexattr_t attr;
    if (pthread_mutexattr_init(&attr) != 0) {
        return false;
    }
    bool good = pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED) == 0 &&
                pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST) == 0 &&
                pthread_mutex_init(&s->held, &attr) == 0 && sem_init(&s->begun, 1, 0) == 0;
    (void)pthread_mutexattr_destroy(&attr);
    return good;
}

/* The thread takes no signals: they are the loop's. */
static bool start_thread(struct ts_lifeline *l)
{
    pthread_attr_t attr;
    pthread_t thread;
    sigset_t all;
    sigset_t before;
    if (pthread_attr_init(&attr) != 0) {
        return false;
    }
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    bool good = pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED) == 0 &&
                pthread_create(&thread, &attr, wait_for_end, l) == 0;
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    (void)pthread_attr_destroy(&attr);
    return good;
}

enum ts_err ts_lifeline_open(struct ts_lifeline **out, int *child_fd)
{
    struct ts_lifeline *l = calloc(1, sizeof(*l));
    int fd = memfd_create("lifeline", MFD_CLOEXEC);
    int event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    void *mem = MAP_FAILED;
    if (l != NULL && fd >= 0 && event_fd >= 0 && ftruncate(fd, sizeof(struct shared)) == 0) {
        mem = mmap(NULL, sizeof(struct shared), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    }
    bool good = mem != MAP_FAILED && make_shared(mem);
    if (good) {
        *l = (struct ts_lifeline){.users = 2, .shared = mem, .event_fd = event_fd};
        good = start_thread(l);
    }
    if (good) {
        *out = l;
        *child_fd = fd;
        return TS_OK;
    }
    if (mem != MAP_FAILED) {
        (void)munmap(mem, sizeof(struct shared));
    }
    if (fd >= 0) {
        (void)close(fd);
    }
    if (event_fd >= 0) {
        (void)close(event_fd);
    }
    free(l);
    return TS_ERR_SYSTEM;
}

int ts_lifeline_event_fd(const struct ts_lifeline *l)
{
    return l->event_fd;
}

void ts_lifeline_close(struct ts_lifeline *l)
{
    if (l != NULL) {
        /* The thread may still wait for the child to begin: it never will. */
        (void)sem_post(&l->shared->begun);
        drop(l);
    }
}

void ts_lifeline_hold(void)
{
    const char *text = getenv(TS_LIFELINE_ENV);
    char *end = NULL;
    struct stat st;
    long fd = text == NULL ? -1 : strtol(text, &end, 10);
    if (text == NULL || *end != '\0' || fd < 0 || fd > INT32_MAX || fstat((int)fd, &st) != 0 ||
        st.st_size != (off_t)sizeof(struct shared)) {
        return;
    }
    (void)unsetenv(TS_LIFELINE_ENV);
    struct shared *s =
        mmap(NULL, sizeof(struct shared), PROT_READ | PROT_WRITE, MAP_SHARED, (int)fd, 0);
    (void)close((int)fd);
    if (s == MAP_FAILED) {
        return;
    }
    /* The mapping and the mutex stay until the thread ends: that is what they are for. */
    if (pthread_mutex_trylock(&s->held) == 0) {
        (void)sem_post(&s->begun);
    }
}
