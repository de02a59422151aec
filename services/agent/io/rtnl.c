#include "services/agent/io/rtnl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

/* How often what changes while it is listed is listed again. */
#define TORN_TRIES 20
int agent_rtnl_dump(struct ts_netlink *n, uint16_t type, void (*fill)(struct nlmsghdr *, void *),
                    void *fill_arg, mnl_cb_t told, void (*again)(void *), void *arg)
{
    int err = EINTR;
    for (int i = 0; i < TORN_TRIES && err == EINTR; i++) {
        struct nlmsghdr *h = ts_netlink_begin(n, type, NLM_F_DUMP);
        fill(h, fill_arg);
        if (i > 0) {
            again(arg);
        }
        err = ts_netlink_talk(n, h, told, arg);
    }
    return err;
}

void agent_kernel_state_free(struct agent_kernel_state *s)
{
    free(s->interface);
    free(s->figures);
    agent_objects_free(&s->objects);
    *s = (struct agent_kernel_state){0};
}
