#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lab/resp.h"
#include "tests/integration/soak.h"

int soak_probe_open(const struct lab_pair *p, unsigned nic)
{
    struct lab_addrs addrs = lab_pair_addrs(p);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&addrs.a[nic], sizeof addrs.a[nic]) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

static bool send_command(int fd, const struct ts_bytes *argv, size_t argc)
{
    uint8_t out[256];
    struct ts_writer w = ts_writer_init(out, sizeof out);
    lab_resp_command(&w, argv, argc);
    return ts_writer_status(&w) == TS_OK && send(fd, out, w.len, MSG_NOSIGNAL) == (ssize_t)w.len;
}

/* One reply into `buf`. False: closed, malformed, or nothing within the time. */
static bool read_reply(int fd, unsigned timeout_ms, uint8_t *buf, size_t cap,
                       struct lab_reply *reply, bool *silent)
{
    size_t len = 0;
    *silent = false;
    while (len < cap) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        if (poll(&p, 1, (int)timeout_ms) == 0) {
            *silent = true;
            return false;
        }
        ssize_t n = recv(fd, buf + len, cap - len, 0);
        if (n <= 0) {
            return false;
        }
        len += (size_t)n;
        size_t used;
        enum lab_resp_result got = lab_resp_parse((struct ts_bytes){buf, len}, reply, &used);
        if (got != LAB_RESP_MORE) {
            return got == LAB_RESP_REPLY;
        }
    }
    return false;
}

bool soak_probe_ask(int fd, unsigned round)
{
    char key[32];
    snprintf(key, sizeof key, "probe:%u", round);
    struct ts_bytes argv[] = {lab_bytes("GET"), lab_bytes(key)};
    return send_command(fd, argv, 2);
}

bool soak_probe_judge(int fd, unsigned newest, unsigned timeout_ms, char *what, size_t cap)
{
    uint8_t buf[512];
    struct lab_reply reply;
    bool silent;
    if (!read_reply(fd, timeout_ms, buf, sizeof buf, &reply, &silent)) {
        snprintf(what, cap, "%s", silent ? "answered nothing" : "closed the connection");
        return true;
    }
    snprintf(what, cap, "answered \"%.*s\"", (int)(reply.text.len < 60 ? reply.text.len : 60),
             reply.text.data == NULL ? "" : (const char *)reply.text.data);
    int64_t value;
    if (reply.kind == LAB_REPLY_ERROR) {
        return true;
    }
    return reply.kind == LAB_REPLY_BULK && lab_parse_int(reply.text, &value) == TS_OK &&
           value >= 0 && (uint64_t)value >= newest;
}
