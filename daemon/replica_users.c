/* Who may use the service: RUN/users beside the cluster file, read at the start and again on
 * SIGHUP. */
#include "daemon/replica.h"
#include "net/users.h"

enum ts_err replica_users_open(struct replica *r, struct ts_why *why)
{
    struct net_users users;
    char path[TS_PATH_MAX];
    enum ts_err err = net_users_path(r->start->args.config, path, why);
    if (err != TS_OK) {
        return err;
    }
    err = net_users_load(path, &users, why);
    if (err != TS_OK && err != TS_ERR_NOT_FOUND) {
        return err; /* a port that was to be closed is never opened by a slip */
    }
    r->users = users.count;
    front_set_users(r->front, &users);
    return TS_OK;
}

void replica_users_renew(struct replica *r)
{
    struct net_users users;
    char path[TS_PATH_MAX];
    struct ts_why why = {.text = ""};
    enum ts_err err = net_users_path(r->start->args.config, path, &why);
    err = err != TS_OK ? err : net_users_load(path, &users, &why);
    if (err == TS_ERR_NOT_FOUND && r->users == 0) {
        return; /* there never were any */
    }
    if (err != TS_OK) {
        net_log(&r->start->log, NET_LOG_ERROR, "the %zu users stay as they are: %s", r->users,
                why.text);
        return;
    }
    r->users = users.count;
    front_set_users(r->front, &users);
    net_log(&r->start->log, NET_LOG_INFO, "%zu users may use the service%s", users.count,
            users.count == 0 ? ": everybody may" : "");
}

void replica_client_tls_renew(struct replica *r)
{
    struct ts_why why = {.text = ""};
    enum ts_err err = r->client_tls == NULL ? TS_OK : net_tls_server_reload(r->client_tls, &why);
    err = err != TS_OK ? err : front_reload(r->front, &why);
    if (err != TS_OK) {
        net_log(&r->start->log, NET_LOG_ERROR,
                "the certificate for clients was not renewed, the old one stays: %s", why.text);
    }
}
