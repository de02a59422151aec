/* What the commands of `twinstep net` share. */
#ifndef CLI_NET_H
#define CLI_NET_H

#include "cli/cli.h"

#define CLI_NET_URLS_MAX 16
#define CLI_NET_URL_MAX 128
#define CLI_NET_BASE "/policy/api/v1"
#define CLI_NET_TIMEOUT_S 30

/* A controller, at the addresses where it may be. */
struct cli_net {
    const struct cli *cli;
    bool as_json;
    const char *url; /* of --url; NULL: those of RUN's cluster file */
    const char *dir;
    const char *group; /* NULL: the only one of netctl */
    const char *ca;    /* NULL: RUN/ca/ca.pem */
    const char *cert;
    const char *key;
    const char *user; /* the password is in TWINSTEP_PASSWORD */
    bool dry_run;
    unsigned timeout_s; /* for how long a question is asked again */
    const char *from;   /* of trace */
    const char *to;
    const char *tcp; /* a port; of these three one at most */
    const char *udp;
    bool icmp;
    char urls[CLI_NET_URLS_MAX][CLI_NET_URL_MAX]; /* "https://localhost:8443" */
    size_t url_count;
    size_t at; /* which of them answered last */
    char ca_path[TS_PATH_MAX];
    void *curl;
};

/* Finds the addresses and opens. Gives a cli_exit. */
int cli_net_open(struct cli_net *n);
void cli_net_close(struct cli_net *n);

/* What a controller answered. */
struct cli_net_said {
    long status;   /* of HTTP */
    bool repeated; /* the answer to an earlier one of the same was lost: that may have been done */
    json_t *body;  /* the caller's; NULL: there is none */
};

/* Asks whoever serves, again and again for n->timeout_s: `path` is behind CLI_NET_BASE, `body` may
 * be NULL. CLI_OK: there is an answer, whichever, but 503. Otherwise it was told why there is none.
 * Gives a cli_exit. */
int cli_net_try(struct cli_net *n, const char *method, const char *path, const json_t *body,
                struct cli_net_said *out);
/* Tells of an answer that is an error. Gives a cli_exit. */
int cli_net_refused(const struct cli_net *n, const char *path, const struct cli_net_said *said);
/* Both: what is answered with an error is told, but for 404, which is *out = NULL and CLI_OK when
 * `may_miss`. *out is the caller's, NULL when there is no body. Gives a cli_exit. */
int cli_net_ask(struct cli_net *n, const char *method, const char *path, const json_t *body,
                bool may_miss, json_t **out);

/* Objects as a directory or a file declares them: an array of objects with the "path" of an object
 * that there may be, in the order of the paths. NULL: it was told what is wrong. The caller's. */
json_t *cli_net_intents(const struct cli *cli, const char *path);

/* What the commands were given; told when it is wrong. Give a cli_exit. */
int cli_net_check_list(const struct cli_net *n, const char *operand);
int cli_net_check_show(const struct cli_net *n, const char *operand);
int cli_net_check_delete(const struct cli_net *n, const char *operand);
int cli_net_check_trace(const struct cli_net *n, const char *operand);

/* The commands of it; `operand` as it was given, or NULL. */
int cli_net_apply(struct cli_net *n, const char *operand);
int cli_net_list(struct cli_net *n, const char *operand);
int cli_net_show(struct cli_net *n, const char *operand);
int cli_net_delete(struct cli_net *n, const char *operand);
int cli_net_trace(struct cli_net *n, const char *operand);

#endif
