#include "services/agent/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/memory.h"

static void reserve(struct agent_text *t, size_t more)
{
    if (t->room - t->len <= more) {
        t->room = 2 * (t->len + more) + 256;
        t->data = realloc(t->data, t->room);
        ts_must(t->data);
    }
}

void agent_text_put_bytes(struct agent_text *t, const char *data, size_t len)
{
    reserve(t, len);
    memcpy(t->data + t->len, data, len);
    t->len += len;
    t->data[t->len] = '\0';
}

void agent_text_put(struct agent_text *t, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int len = vsnprintf(NULL, 0, format, args);
    va_end(args);
    ts_assert(len >= 0);
    reserve(t, (size_t)len);
    va_start(args, format);
    (void)vsnprintf(t->data + t->len, t->room - t->len, format, args);
    va_end(args);
    t->len += (size_t)len;
}

void agent_text_clear(struct agent_text *t)
{
    t->len = 0;
    if (t->data != NULL) {
        t->data[0] = '\0';
    }
}

void agent_text_free(struct agent_text *t)
{
    free(t->data);
    *t = (struct agent_text){0};
}

struct ts_bytes agent_text_bytes(const struct agent_text *t)
{
    static const uint8_t nothing[1];
    return (struct ts_bytes){t->data == NULL ? nothing : (const uint8_t *)t->data, t->len};
}
