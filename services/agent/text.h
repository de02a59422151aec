/* A text that grows. */
#ifndef SERVICES_AGENT_TEXT_H
#define SERVICES_AGENT_TEXT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"

struct agent_text {
    char *data; /* owned, NUL-terminated; NULL while empty */
    size_t len;
    size_t room;
};

void agent_text_put(struct agent_text *t, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void agent_text_put_bytes(struct agent_text *t, const char *data, size_t len);
/* Empty again; what it has is kept for the next one. */
void agent_text_clear(struct agent_text *t);
void agent_text_free(struct agent_text *t);
struct ts_bytes agent_text_bytes(const struct agent_text *t);

#endif
