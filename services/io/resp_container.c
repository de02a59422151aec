/* Commands that hold others: CLIENT LIST, SENTINEL MASTERS, … Each of them has one table, which
 * runs them, says what they are to COMMAND, and who may give them. */
#include <string.h>

#include "services/io/resp_conn.h"

static const struct resp_container *const containers[] = {
    &resp_acl_container,    &resp_client_container,   &resp_command_container,
    &resp_config_container, &resp_sentinel_container, &resp_function_container,
    &resp_script_container, &resp_pubsub_container,
};

const struct resp_container *resp_container_find(const struct kv_command *command)
{
    if ((command->flags & KV_CMD_LOCAL) == 0) {
        return NULL;
    }
    for (size_t i = 0; i < sizeof(containers) / sizeof(containers[0]); i++) {
        if (containers[i]->id == command->id) {
            return containers[i];
        }
    }
    return NULL;
}

const struct resp_subcommand *resp_container_member(const struct resp_container *container,
                                                    struct ts_bytes word)
{
    for (size_t i = 0; i < container->count; i++) {
        if (resp_word_is(word, strchr(container->members[i].name, '|') + 1)) {
            return &container->members[i];
        }
    }
    return NULL;
}

bool resp_arity_ok(int arity, size_t argc)
{
    return arity >= 0 ? argc == (size_t)arity : argc >= (size_t)-arity;
}

void resp_container_run(struct resp_conn *c, const struct resp_container *container,
                        const struct resp_request *req, struct resp_writer *w)
{
    const struct resp_subcommand *sub = resp_container_member(container, req->args[1]);
    if (sub == NULL) {
        resp_local_unknown(w, container->title, req->args[1]);
        return;
    }
    c->last_command = sub->name;
    if (!resp_arity_ok(sub->arity, req->argc)) {
        resp_local_arity(w, sub->name);
    } else if (sub->run == NULL) {
        resp_put_error(w, sub->refusal);
    } else {
        sub->run(c, req, w);
    }
}
