#include "lab/resp.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

struct ts_bytes lab_bytes(const char *text)
{
    return (struct ts_bytes){(const uint8_t *)text, strlen(text)};
}

enum ts_err lab_parse_int(struct ts_bytes in, int64_t *out)
{
    size_t at = 0;
    bool negative = in.len > 0 && in.data[0] == '-';
    if (negative) {
        at = 1;
    }
    if (at == in.len || in.len - at > 18) {
        return TS_ERR_MALFORMED; /* 18 digits always fit; the lab counts no further */
    }
    int64_t value = 0;
    for (; at < in.len; at++) {
        if (in.data[at] < '0' || in.data[at] > '9') {
            return TS_ERR_MALFORMED;
        }
        value = value * 10 + (in.data[at] - '0');
    }
    *out = negative ? -value : value;
    return TS_OK;
}

/* Finds the line behind the type byte; its end mark is not part of it. */
static enum lab_resp_result line_of(struct ts_bytes in, struct ts_bytes *line)
{
    size_t span = in.len < LAB_RESP_LINE_MAX ? in.len : LAB_RESP_LINE_MAX;
    const uint8_t *cr = memchr(in.data, '\r', span);
    if (cr == NULL) {
        return in.len >= LAB_RESP_LINE_MAX ? LAB_RESP_MALFORMED : LAB_RESP_MORE;
    }
    size_t end = (size_t)(cr - in.data);
    if (end + 1 >= in.len) {
        return LAB_RESP_MORE;
    }
    if (in.data[end + 1] != '\n') {
        return LAB_RESP_MALFORMED;
    }
    *line = (struct ts_bytes){in.data + 1, end - 1};
    return LAB_RESP_REPLY;
}

static enum lab_resp_result parse_bulk(struct ts_bytes in, struct ts_bytes line,
                                       struct lab_reply *out, size_t *used)
{
    int64_t n;
    if (lab_parse_int(line, &n) != TS_OK || n < -1 || n > LAB_RESP_BULK_MAX) {
        return LAB_RESP_MALFORMED;
    }
    size_t head = 1 + line.len + 2;
    if (n < 0) {
        out->kind = LAB_REPLY_NIL;
        *used = head;
        return LAB_RESP_REPLY;
    }
    size_t len = (size_t)n;
    if (in.len < head + len + 2) {
        return LAB_RESP_MORE;
    }
    if (in.data[head + len] != '\r' || in.data[head + len + 1] != '\n') {
        return LAB_RESP_MALFORMED;
    }
    out->kind = LAB_REPLY_BULK;
    out->text = (struct ts_bytes){in.data + head, len};
    *used = head + len + 2;
    return LAB_RESP_REPLY;
}

/* An array: none at all, or two integers. */
static enum lab_resp_result parse_pair(struct ts_bytes in, struct ts_bytes line,
                                       struct lab_reply *out, size_t *used)
{
    int64_t n;
    int64_t *const numbers[] = {&out->integer, &out->second};
    if (lab_parse_int(line, &n) != TS_OK || (n != -1 && n != 2)) {
        return LAB_RESP_MALFORMED;
    }
    out->kind = n < 0 ? LAB_REPLY_NIL : LAB_REPLY_PAIR;
    for (size_t i = 0; n > 0 && i < 2; i++) {
        struct ts_bytes rest = {in.data + *used, in.len - *used};
        struct ts_bytes number;
        if (rest.len == 0) {
            return LAB_RESP_MORE;
        }
        enum lab_resp_result found = line_of(rest, &number);
        if (found != LAB_RESP_REPLY) {
            return found;
        }
        if (rest.data[0] != ':' || lab_parse_int(number, numbers[i]) != TS_OK) {
            return LAB_RESP_MALFORMED;
        }
        *used += 1 + number.len + 2;
    }
    return LAB_RESP_REPLY;
}

enum lab_resp_result lab_resp_parse(struct ts_bytes in, struct lab_reply *out, size_t *used)
{
    if (in.len == 0) {
        return LAB_RESP_MORE;
    }
    struct ts_bytes line;
    enum lab_resp_result found = line_of(in, &line);
    if (found != LAB_RESP_REPLY) {
        return found;
    }
    *out = (struct lab_reply){.text = line};
    *used = 1 + line.len + 2;
    switch (in.data[0]) {
    case '+':
        out->kind = LAB_REPLY_SIMPLE;
        return LAB_RESP_REPLY;
    case '-':
        out->kind = LAB_REPLY_ERROR;
        return LAB_RESP_REPLY;
    case ':':
        out->kind = LAB_REPLY_INTEGER;
        return lab_parse_int(line, &out->integer) == TS_OK ? LAB_RESP_REPLY : LAB_RESP_MALFORMED;
    case '$':
        return parse_bulk(in, line, out, used);
    case '*':
        return parse_pair(in, line, out, used);
    default:
        return LAB_RESP_MALFORMED;
    }
}

static void put_header(struct ts_writer *w, char type, size_t n)
{
    char text[32];
    int len = snprintf(text, sizeof text, "%c%zu\r\n", type, n);
    ts_put_bytes(w, text, (size_t)len);
}

void lab_resp_command(struct ts_writer *w, const struct ts_bytes *argv, size_t argc)
{
    put_header(w, '*', argc);
    for (size_t i = 0; i < argc; i++) {
        put_header(w, '$', argv[i].len);
        ts_put_bytes(w, argv[i].data, argv[i].len);
        ts_put_bytes(w, "\r\n", 2);
    }
}

size_t lab_resp_command_bytes(const struct ts_bytes *argv, size_t argc)
{
    size_t total = 32;
    for (size_t i = 0; i < argc; i++) {
        total += argv[i].len + 34;
    }
    return total;
}
