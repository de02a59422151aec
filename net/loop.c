#include "net/loop.h"

#include <errno.h>
#include <netinet/in.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "base/assert.h"

/* Runs of hooks within one phase. Hooks that keep requesting each other must not keep the
 * loop from its sockets; what is left over is done in the next turn. */
#define NET_TURN_RUNS_MAX 4096

static void turn_unlink(struct net_turn *t, struct net_turn_hook *h)
{
    if (h->prev != NULL) {
        h->prev->next = h->next;
    } else {
        t->first[h->stage] = h->next;
    }
    if (h->next != NULL) {
        h->next->prev = h->prev;
    } else {
        t->last[h->stage] = h->prev;
    }
    h->next = NULL;
    h->prev = NULL;
    h->requested = false;
}

static struct net_turn_hook *turn_next(struct net_turn *t)
{
    for (int stage = 0; stage < NET_TURN_STAGES; stage++) {
        if (t->first[stage] != NULL) {
            return t->first[stage];
        }
    }
    return NULL;
}

static void turn_idle(uv_idle_t *idle)
{
    /* An active idle handle makes the poll phase return at once: that is all it is for. */
    (void)idle;
}

static void turn_run(struct net_turn *t)
{
    for (int runs = 0; runs < NET_TURN_RUNS_MAX; runs++) {
        struct net_turn_hook *h = turn_next(t);
        if (h == NULL) {
            break;
        }
        turn_unlink(t, h);
        h->run(h->arg);
    }
    if (turn_next(t) != NULL) {
        (void)uv_idle_start(&t->idle, turn_idle);
    } else {
        (void)uv_idle_stop(&t->idle);
    }
}

static void turn_prepare(uv_prepare_t *handle)
{
    turn_run(handle->data);
}

static void turn_check(uv_check_t *handle)
{
    struct net_turn *t = handle->data;
    t->number++;
    turn_run(t);
}

enum ts_err net_turn_open(struct net_turn *t, uv_loop_t *loop)
{
    *t = (struct net_turn){.number = 1};
    /* None of these can fail in libuv 1.44; the results are looked at all the same. */
    if (uv_prepare_init(loop, &t->prepare) != 0 || uv_check_init(loop, &t->check) != 0 ||
        uv_idle_init(loop, &t->idle) != 0) {
        return TS_ERR_SYSTEM;
    }
    t->prepare.data = t;
    t->check.data = t;
    if (uv_prepare_start(&t->prepare, turn_prepare) != 0 ||
        uv_check_start(&t->check, turn_check) != 0) {
        return TS_ERR_SYSTEM;
    }
    uv_unref((uv_handle_t *)&t->prepare);
    uv_unref((uv_handle_t *)&t->check);
    uv_unref((uv_handle_t *)&t->idle);
    return TS_OK;
}

void net_turn_close(struct net_turn *t)
{
    struct net_turn_hook *h = turn_next(t);
    while (h != NULL) {
        turn_unlink(t, h);
        h = turn_next(t);
    }
    uv_close((uv_handle_t *)&t->prepare, NULL);
    uv_close((uv_handle_t *)&t->check, NULL);
    uv_close((uv_handle_t *)&t->idle, NULL);
}

void net_turn_request(struct net_turn *t, struct net_turn_hook *h)
{
    ts_assert(h->run != NULL);
    ts_assert(h->stage >= 0 && h->stage < NET_TURN_STAGES);
    if (h->requested) {
        return;
    }
    h->requested = true;
    h->next = NULL;
    h->prev = t->last[h->stage];
    if (h->prev != NULL) {
        h->prev->next = h;
    } else {
        t->first[h->stage] = h;
    }
    t->last[h->stage] = h;
}

void net_turn_cancel(struct net_turn *t, struct net_turn_hook *h)
{
    if (h->requested) {
        turn_unlink(t, h);
    }
}

struct ts_mono net_now(void)
{
    return (struct ts_mono){uv_hrtime()};
}

enum ts_err net_random(void *out, size_t n)
{
    uint8_t *p = out;
    while (n > 0) {
        ssize_t got = getrandom(p, n, 0);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            return TS_ERR_SYSTEM;
        }
        p += got;
        n -= (size_t)got;
    }
    return TS_OK;
}

enum ts_err net_random_u64(uint64_t *out)
{
    uint64_t v = 0;
    /* 0 means "none" for every id. A generator that gives 0 this often is broken. */
    for (int i = 0; i < 8 && v == 0; i++) {
        enum ts_err err = net_random(&v, sizeof(v));
        if (err != TS_OK) {
            return err;
        }
    }
    if (v == 0) {
        return TS_ERR_SYSTEM;
    }
    *out = v;
    return TS_OK;
}

/* ---- sockets ---- */

#define FDS_RESERVED 64 /* for the journal, links, listeners, logs */

uint32_t net_sockets_max(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) {
        return UINT32_MAX;
    }
    uint64_t room =
        limit.rlim_cur > 2 * FDS_RESERVED ? limit.rlim_cur - FDS_RESERVED : FDS_RESERVED;
    return room < UINT32_MAX ? (uint32_t)room : UINT32_MAX;
}

int net_bind_ahead(uv_tcp_t *tcp, const struct sockaddr_storage *where)
{
    bool v6 = where->ss_family == AF_INET6;
    uv_os_fd_t fd = -1;
    int on = 1;
    int rc = uv_fileno((const uv_handle_t *)tcp, &fd);
    if (rc == 0 && setsockopt(fd, v6 ? IPPROTO_IPV6 : IPPROTO_IP, v6 ? IPV6_FREEBIND : IP_FREEBIND,
                              &on, sizeof(on)) != 0) {
        rc = uv_translate_sys_error(errno);
    }
    return rc != 0 ? rc : uv_tcp_bind(tcp, (const struct sockaddr *)where, 0);
}
