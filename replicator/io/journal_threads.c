/* The journal's two threads, its lock, and the way back to the loop. What the threads do stands
 * elsewhere (journal_writer.c, journal_segment.c): the simulator brings its own file instead of
 * this one, and takes the same turns in virtual time. */
#include "base/assert.h"
#include "replicator/io/journal_internal.h"

void journal_threads_init(struct journal *j, uv_loop_t *loop)
{
    struct journal_threads *t = &j->threads;
    t->loop = loop;
    int rc = uv_mutex_init(&t->mutex);
    rc = rc == 0 ? uv_cond_init(&t->work) : rc;
    rc = rc == 0 ? uv_cond_init(&t->spare_changed) : rc;
    ts_assert(rc == 0); /* they fail for want of memory only, and nothing has started yet */
}

void journal_threads_destroy(struct journal *j)
{
    uv_cond_destroy(&j->threads.spare_changed);
    uv_cond_destroy(&j->threads.work);
    uv_mutex_destroy(&j->threads.mutex);
}

void journal_lock(struct journal *j)
{
    uv_mutex_lock(&j->threads.mutex);
}

void journal_unlock(struct journal *j)
{
    uv_mutex_unlock(&j->threads.mutex);
}

void journal_wake_writer(struct journal *j)
{
    uv_cond_signal(&j->threads.work);
}

void journal_wake_loop(struct journal *j)
{
    (void)uv_async_send(&j->threads.async);
}

void journal_spare_changed(struct journal *j)
{
    uv_cond_broadcast(&j->threads.spare_changed);
}

void journal_await_spare(struct journal *j)
{
    uv_cond_wait(&j->threads.spare_changed, &j->threads.mutex);
}

/* Waits until something may have come. False: nothing did, and a note is worth writing. */
static bool await_work(struct journal *j)
{
    struct journal_threads *t = &j->threads;
    if (!journal_idle_note_due(j)) {
        uv_cond_wait(&t->work, &t->mutex);
        return true;
    }
    return uv_cond_timedwait(&t->work, &t->mutex, JOURNAL_IDLE_NOTE_NS) == 0;
}

static void writer_main(void *arg)
{
    struct journal *j = arg;
    journal_lock(j);
    for (;;) {
        if (journal_write_take(j)) {
            journal_unlock(j);
            while (journal_write_some(j)) {
            }
            journal_lock(j);
        } else if (j->stop) {
            break;
        } else if (!await_work(j)) {
            journal_unlock(j);
            journal_write_idle_note(j);
            journal_lock(j);
        }
    }
    j->writer_ended = true;
    journal_unlock(j);
    journal_wake_loop(j);
}

static void spare_main(void *arg)
{
    struct journal *j = arg;
    journal_lock(j);
    while (!j->spare.stop) {
        if (j->spare.state != JOURNAL_SPARE_WANTED) {
            journal_await_spare(j);
            continue;
        }
        journal_unlock(j);
        journal_spare_prepare(j);
        journal_lock(j);
    }
    j->spare.state = JOURNAL_SPARE_STOPPED;
    journal_spare_changed(j);
    journal_unlock(j);
    journal_wake_loop(j);
}

static void on_async(uv_async_t *async)
{
    struct journal *j = async->data;
    journal_deliver(j);
    journal_maybe_finish(j);
}

enum ts_err journal_threads_start(struct journal *j, struct ts_why *why)
{
    struct journal_threads *t = &j->threads;
    int rc = uv_async_init(t->loop, &t->async, on_async);
    if (rc != 0) {
        return ts_why(why, TS_ERR_SYSTEM, "cannot watch the journal's thread: %s", uv_strerror(rc));
    }
    t->async.data = j;
    rc = uv_thread_create(&t->writer, writer_main, j);
    /* A process that cannot start a thread at its start cannot run. */
    ts_assert(rc == 0);
    rc = uv_thread_create(&t->spare, spare_main, j);
    ts_assert(rc == 0);
    return TS_OK;
}

static void on_closed(uv_handle_t *handle)
{
    journal_finish(handle->data);
}

void journal_threads_end(struct journal *j)
{
    (void)uv_thread_join(&j->threads.writer);
    (void)uv_thread_join(&j->threads.spare);
    uv_close((uv_handle_t *)&j->threads.async, on_closed);
}
