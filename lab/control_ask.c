/* labd's client: see lab/control.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "lab/control.h"

#define ANSWER_S 10

static enum ts_err connect_to(const char *dir, int *out, struct ts_why *why)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    char path[TS_PATH_MAX];
    enum ts_err err = ts_path(path, why, dir, LAB_SOCKET);
    if (err != TS_OK) {
        return err;
    }
    if (strlen(path) >= sizeof(at.sun_path)) {
        return ts_why(why, TS_ERR_LIMIT, "%s is too long for a socket's name", path);
    }
    memcpy(at.sun_path, path, strlen(path) + 1);
    struct timeval patience = {.tv_sec = ANSWER_S};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return ts_why_sys(why, errno, "no socket");
    }
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
    if (connect(fd, (const struct sockaddr *)&at, sizeof(at)) != 0) {
        int error = errno;
        (void)close(fd);
        return error == ENOENT || error == ECONNREFUSED
                   ? ts_why(why, TS_ERR_NOT_FOUND, "no lab runs in %s", dir)
                   : ts_why_sys(why, error, "cannot connect to %s", path);
    }
    *out = fd;
    return TS_OK;
}

static enum ts_err send_line(int fd, const json_t *request, struct ts_why *why)
{
    char *text = json_dumps(request, JSON_COMPACT);
    size_t len = text == NULL ? 0 : strlen(text);
    if (text == NULL || len >= LAB_REQUEST_MAX) {
        free(text);
        return ts_why(why, TS_ERR_LIMIT, "the request is too long");
    }
    text[len++] = '\n'; /* in place of the NUL */
    enum ts_err err = TS_OK;
    for (size_t at = 0; at < len && err == TS_OK;) {
        ssize_t n = send(fd, text + at, len - at, MSG_NOSIGNAL);
        at += n > 0 ? (size_t)n : 0;
        err = n > 0 || errno == EINTR ? TS_OK : ts_why_sys(why, errno, "labd does not listen");
    }
    free(text);
    return err;
}

enum ts_err lab_ask_labd(const char *dir, json_t *request, json_t **answer, struct ts_why *why)
{
    int fd = -1;
    json_error_t error;
    enum ts_err err = connect_to(dir, &fd, why);
    if (err != TS_OK) {
        return err;
    }
    err = send_line(fd, request, why);
    json_t *o = err == TS_OK ? json_loadfd(fd, JSON_DISABLE_EOF_CHECK, &error) : NULL;
    (void)close(fd);
    if (err != TS_OK) {
        return err;
    }
    const char *said = json_string_value(json_object_get(o, "error"));
    if (o == NULL || said != NULL) {
        err = ts_why(why, TS_ERR_REFUSED, "%s", o == NULL ? "labd does not answer" : said);
        json_decref(o);
        return err;
    }
    *answer = o;
    return TS_OK;
}
