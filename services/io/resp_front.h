/* RESP, for services whose state has sessions (services/session.h) around that of kv. */
#ifndef SERVICES_IO_RESP_FRONT_H
#define SERVICES_IO_RESP_FRONT_H

#include "services/io/front.h"

extern const struct front_ops resp_front;

#endif
