/* What answers are made of: names of statuses, headers, errors, events. */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/assert.h"
#include "base/utf8.h"
#include "services/http.h"

struct status {
    unsigned status;
    const char *reason;
    const char *word;
};

static const struct status statuses[] = {
    {200, "OK", "OK"},
    {201, "Created", "CREATED"},
    {202, "Accepted", "ACCEPTED"},
    {204, "No Content", "NO_CONTENT"},
    {304, "Not Modified", "NOT_MODIFIED"},
    {400, "Bad Request", "BAD_REQUEST"},
    {401, "Unauthorized", "UNAUTHORIZED"},
    {403, "Forbidden", "FORBIDDEN"},
    {404, "Not Found", "NOT_FOUND"},
    {405, "Method Not Allowed", "METHOD_NOT_ALLOWED"},
    {408, "Request Timeout", "REQUEST_TIMEOUT"},
    {409, "Conflict", "CONFLICT"},
    {411, "Length Required", "LENGTH_REQUIRED"},
    {412, "Precondition Failed", "PRECONDITION_FAILED"},
    {413, "Content Too Large", "PAYLOAD_TOO_LARGE"},
    {414, "URI Too Long", "URI_TOO_LONG"},
    {415, "Unsupported Media Type", "UNSUPPORTED_MEDIA_TYPE"},
    {429, "Too Many Requests", "TOO_MANY_REQUESTS"},
    {431, "Request Header Fields Too Large", "REQUEST_HEADER_FIELDS_TOO_LARGE"},
    {500, "Internal Server Error", "INTERNAL_SERVER_ERROR"},
    {503, "Service Unavailable", "SERVICE_UNAVAILABLE"},
    {507, "Insufficient Storage", "INSUFFICIENT_STORAGE"},
};

static const struct status *find_status(unsigned status)
{
    for (size_t i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++) {
        if (statuses[i].status == status) {
            return &statuses[i];
        }
    }
    return NULL;
}

const char *http_status_reason(unsigned status)
{
    const struct status *s = find_status(status);
    return s != NULL ? s->reason : "Unknown";
}

const char *http_status_word(unsigned status)
{
    const struct status *s = find_status(status);
    return s != NULL ? s->word : "UNKNOWN";
}

static bool is_token(const char *name)
{
    static const char others[] = "!#$%&'*+-.^_`|~";
    for (const char *c = name; *c != '\0'; c++) {
        bool letter = (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z');
        if (!letter && !(*c >= '0' && *c <= '9') && strchr(others, *c) == NULL) {
            return false;
        }
    }
    return name[0] != '\0';
}

bool http_header_is_valid(const char *name, const char *value)
{
    static const char *const own[] = {"content-length",    "content-type", "connection",
                                      "transfer-encoding", "keep-alive",   "upgrade"};
    for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++) {
        if (strcasecmp(name, own[i]) == 0) {
            return false;
        }
    }
    for (const char *c = value; *c != '\0'; c++) {
        if ((uint8_t)*c < ' ' || *c == 0x7f) {
            return false;
        }
    }
    return is_token(name);
}

/* ---- errors ---- */

/* One letter as a JSON string has it; '?' for a byte that is of none. Gives the bytes read. */
static size_t escape(char out[8], const char *c, size_t *len)
{
    size_t n = ts_utf8_letter(c);
    if (*c == '"' || *c == '\\') {
        *len = (size_t)snprintf(out, 8, "\\%c", *c);
    } else if ((uint8_t)*c < ' ') {
        *len = (size_t)snprintf(out, 8, "\\u%04x", (unsigned)(uint8_t)*c);
    } else {
        *len = n == 0 ? 1 : n;
        memcpy(out, n == 0 ? "?" : c, *len);
    }
    return n == 0 ? 1 : n;
}

size_t http_error_body(char out[HTTP_ERROR_MAX], unsigned status, unsigned code, const char *module,
                       const char *message)
{
    int len = snprintf(out, HTTP_ERROR_MAX,
                       "{\"httpStatus\":\"%s\",\"error_code\":%u,\"module_name\":\"%.64s\","
                       "\"error_message\":\"",
                       http_status_word(status), code, module);
    ts_assert(len > 0 && len < HTTP_ERROR_MAX / 2);
    size_t n = (size_t)len;
    while (*message != '\0') {
        char piece[8];
        size_t k = 0;
        size_t read = escape(piece, message, &k);
        if (n + k + 3 > HTTP_ERROR_MAX) {
            break;
        }
        memcpy(out + n, piece, k);
        n += k;
        message += read;
    }
    memcpy(out + n, "\"}", 3);
    return n + 2;
}

/* ---- events ---- */

static bool is_line(const char *text)
{
    return text == NULL || strpbrk(text, "\r\n") == NULL;
}

bool http_event_is_valid(const struct http_event *event)
{
    return is_line(event->name) && is_line(event->id);
}

/* The next line of `data`; a line ends with LF, CR or both. False: there is none. */
static bool next_line(struct ts_bytes *data, struct ts_bytes *line, bool *more)
{
    if (!*more) {
        return false;
    }
    size_t n = 0;
    while (n < data->len && data->data[n] != '\n' && data->data[n] != '\r') {
        n++;
    }
    *line = (struct ts_bytes){data->data, n};
    *more = n < data->len;
    if (*more) {
        n += data->data[n] == '\r' && n + 1 < data->len && data->data[n + 1] == '\n' ? 2 : 1;
    }
    *data = (struct ts_bytes){data->data + n, data->len - n};
    return true;
}

static size_t field_size(const char *value)
{
    return value != NULL ? strlen(value) + 1 : 0;
}

size_t http_event_size(const struct http_event *event)
{
    size_t n = 1; /* the empty line at the end */
    struct ts_bytes data = event->data;
    struct ts_bytes line;
    bool more = true;
    n += event->id != NULL ? 4 + field_size(event->id) : 0;
    n += event->name != NULL ? 7 + field_size(event->name) : 0;
    while (next_line(&data, &line, &more)) {
        n += 6 + line.len + 1;
    }
    return n;
}

static void put_field(struct ts_writer *w, const char *field, struct ts_bytes value)
{
    ts_put_bytes(w, field, strlen(field));
    ts_put_bytes(w, ": ", 2);
    ts_put_bytes(w, value.data, value.len);
    ts_put_u8(w, '\n');
}

void http_event_write(struct ts_writer *w, const struct http_event *event)
{
    struct ts_bytes data = event->data;
    struct ts_bytes line;
    bool more = true;
    if (event->id != NULL) {
        put_field(w, "id", (struct ts_bytes){(const uint8_t *)event->id, strlen(event->id)});
    }
    if (event->name != NULL) {
        put_field(w, "event", (struct ts_bytes){(const uint8_t *)event->name, strlen(event->name)});
    }
    while (next_line(&data, &line, &more)) {
        put_field(w, "data", line);
    }
    ts_put_u8(w, '\n');
}
