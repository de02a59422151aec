#include "net/unix_dgram.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static enum ts_err dgram_address(const char *path, struct sockaddr_un *out)
{
    size_t len = strlen(path);
    if (len == 0 || len >= sizeof(out->sun_path)) {
        errno = ENAMETOOLONG;
        return TS_ERR_LIMIT;
    }
    *out = (struct sockaddr_un){.sun_family = AF_UNIX};
    memcpy(out->sun_path, path, len + 1);
    return TS_OK;
}

static void dgram_on_poll(uv_poll_t *handle, int status, int events)
{
    (void)events;
    if (status == 0) {
        net_dgram_read(handle->data);
    }
}

/* A socket file that a dead process left would make bind fail; anything else there is not
 * ours to remove. */
static void dgram_unlink_stale(const char *path)
{
    struct stat st;
    if (lstat(path, &st) == 0 && S_ISSOCK(st.st_mode)) {
        (void)unlink(path);
    }
}

static enum ts_err dgram_bind(struct net_dgram *d, const struct sockaddr_un *address)
{
    dgram_unlink_stale(address->sun_path);
    if (bind(d->fd, (const struct sockaddr *)address, sizeof(*address)) != 0) {
        return TS_ERR_SYSTEM;
    }
    if (chmod(address->sun_path, S_IRUSR | S_IWUSR) != 0) {
        return TS_ERR_SYSTEM;
    }
    memcpy(d->path, address->sun_path, sizeof(d->path));
    return TS_OK;
}

static enum ts_err dgram_poll(struct net_dgram *d, uv_loop_t *loop)
{
    int rc = uv_poll_init(loop, &d->poll, d->fd);
    if (rc != 0) {
        errno = -rc;
        return TS_ERR_SYSTEM;
    }
    d->poll.data = d;
    d->polling = true;
    (void)uv_poll_start(&d->poll, UV_READABLE, dgram_on_poll);
    return TS_OK;
}

enum ts_err net_dgram_open(struct net_dgram *d, uv_loop_t *loop, const char *path,
                           void (*on_datagram)(void *arg, struct ts_bytes datagram), void *arg)
{
    d->fd = -1;
    d->path[0] = '\0';
    d->on_datagram = on_datagram;
    d->arg = arg;
    d->polling = false;
    d->received = 0;
    d->oversized = 0;
    d->sent = 0;
    d->unsent = 0;
    struct sockaddr_un address;
    if (path != NULL) {
        enum ts_err err = dgram_address(path, &address);
        if (err != TS_OK) {
            return err;
        }
    }
    d->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (d->fd < 0) {
        return TS_ERR_SYSTEM;
    }
    enum ts_err err = path == NULL ? TS_OK : dgram_bind(d, &address);
    if (err == TS_OK && path != NULL && loop != NULL) {
        err = dgram_poll(d, loop);
    }
    if (err != TS_OK) {
        int saved = errno;
        (void)close(d->fd);
        d->fd = -1;
        errno = saved;
    }
    return err;
}

void net_dgram_close(struct net_dgram *d)
{
    if (d->fd < 0) {
        return;
    }
    if (d->polling) {
        (void)uv_poll_stop(&d->poll);
        uv_close((uv_handle_t *)&d->poll, NULL);
        d->polling = false;
    }
    (void)close(d->fd);
    d->fd = -1;
    if (d->path[0] != '\0') {
        (void)unlink(d->path);
    }
}

bool net_dgram_send(struct net_dgram *d, const char *to, struct ts_bytes datagram)
{
    struct sockaddr_un address;
    if (d->fd < 0 || dgram_address(to, &address) != TS_OK) {
        d->unsent++;
        return false;
    }
    ssize_t n = sendto(d->fd, datagram.data, datagram.len, MSG_DONTWAIT | MSG_NOSIGNAL,
                       (const struct sockaddr *)&address, sizeof(address));
    if (n < 0 || (size_t)n != datagram.len) {
        d->unsent++;
        return false;
    }
    d->sent++;
    return true;
}

void net_dgram_read(struct net_dgram *d)
{
    for (int i = 0; i < NET_DGRAM_BATCH && d->fd >= 0; i++) {
        ssize_t n = recv(d->fd, d->buffer, sizeof(d->buffer), MSG_DONTWAIT);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return;
        }
        if ((size_t)n > NET_DGRAM_BYTES_MAX) {
            d->oversized++;
            continue;
        }
        d->received++;
        d->on_datagram(d->arg, (struct ts_bytes){d->buffer, (size_t)n});
    }
}
