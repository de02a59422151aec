#include "services/kv/sessions.h"

#include "services/kv/kv.h"
#include "services/session.h"

static void *create(const char *limits)
{
    return session_create(&kv_service, limits);
}

const struct svc kv_with_sessions = SESSION_SERVICE("kv", create);
