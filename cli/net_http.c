/* Asks a controller, by libcurl. */
#include <stdlib.h>
#include <string.h>

#include <curl/curl.h>

#include "base/assert.h"
#include "base/memory.h"
#include "cli/cluster_file.h"
#include "cli/net.h"

#define CONNECT_MS 1000
#define ANSWER_S 30
/* A takeover takes some milliseconds; this many rounds of all addresses are patient enough. */
#define ROUNDS 20
#define PAUSE_NS 250000000L
#define ANSWER_MAX (64U * 1024U * 1024U)

struct answer {
    char *data;
    size_t len;
    long status;
};

static size_t on_data(char *data, size_t size, size_t n, void *arg)
{
    struct answer *a = arg;
    size_t len = size * n;
    if (a->len + len > ANSWER_MAX) {
        return 0;
    }
    a->data = realloc(a->data, a->len + len + 1);
    ts_must(a->data);
    memcpy(a->data + a->len, data, len);
    a->len += len;
    a->data[a->len] = '\0';
    return len;
}

/* ---- where it is ---- */

static void add_url(struct cli_net *n, const char *host, unsigned port)
{
    bool v6 = strchr(host, ':') != NULL;
    if (n->url_count < CLI_NET_URLS_MAX) {
        (void)snprintf(n->urls[n->url_count++], CLI_NET_URL_MAX, "https://%s%s%s:%u", v6 ? "[" : "",
                       host, v6 ? "]" : "", port);
    }
}

static void add_group(struct cli_net *n, const struct cfg_cluster *c, const struct cfg_group *g)
{
    if (g->address[0] != '\0') {
        add_url(n, g->address, g->client_port);
    }
    for (uint8_t path = 0; path < TS_PATHS_MAX; path++) {
        for (uint8_t i = 0; i < g->nic_count; i++) {
            const struct cfg_node *node = cfg_cluster_node(c, g->nics[i]);
            if (node != NULL && path < node->path_count) {
                add_url(n, node->paths[path], g->client_port);
            }
        }
    }
}

static int find_group(struct cli_net *n)
{
    struct cfg_cluster *c = calloc(1, sizeof(*c));
    char copy[TS_PATH_MAX];
    const char *config = NULL;
    const struct cfg_group *found = NULL;
    ts_must(c);
    int status = cli_cluster_load(n->cli, &config, n->dir, copy, c);
    for (size_t i = 0; status == CLI_OK && i < c->group_count; i++) {
        const struct cfg_group *g = &c->groups[i];
        bool meant = n->group == NULL || strcmp(n->group, g->name) == 0;
        if (!meant || strcmp(g->service, "netctl") != 0) {
            continue;
        }
        if (found != NULL) {
            status = cli_fail(n->cli, CLI_USAGE,
                              "the groups %s and %s are of netctl; say which one with --group",
                              found->name, g->name);
        }
        found = g;
    }
    if (status == CLI_OK && found == NULL) {
        status = cli_fail(n->cli, CLI_USAGE, "the cluster of %s has no group%s%s of netctl", n->dir,
                          n->group == NULL ? "" : " ", n->group == NULL ? "" : n->group);
    }
    if (status == CLI_OK) {
        add_group(n, c, found);
    }
    free(c);
    return status;
}

int cli_net_open(struct cli_net *n)
{
    struct ts_why why = {{0}};
    int status = CLI_OK;
    if (n->url != NULL) {
        (void)snprintf(n->urls[0], CLI_NET_URL_MAX, "%s", n->url);
        n->url_count = 1;
        if (strncmp(n->url, "https://", 8) != 0 || strlen(n->url) >= CLI_NET_URL_MAX) {
            return cli_fail(n->cli, CLI_USAGE, "--url is https://localhost:8443, and not %.100s",
                            n->url);
        }
    } else {
        status = find_group(n);
    }
    if (status == CLI_OK && n->ca == NULL) {
        if (ts_path(n->ca_path, &why, n->dir, "ca/ca.pem") != TS_OK) {
            return cli_fail(n->cli, CLI_FAILED, "%s", why.text);
        }
        n->ca = n->ca_path;
    }
    if (status == CLI_OK) {
        (void)curl_global_init(CURL_GLOBAL_DEFAULT);
        n->curl = curl_easy_init();
        ts_must(n->curl);
    }
    return status;
}

void cli_net_close(struct cli_net *n)
{
    if (n->curl != NULL) {
        curl_easy_cleanup(n->curl);
        curl_global_cleanup();
    }
}

/* ---- asking ---- */

/* Gives libcurl's word. */
static CURLcode once(struct cli_net *n, const char *method, const char *path, const char *body,
                     struct answer *a, char error[CURL_ERROR_SIZE])
{
    char url[CLI_NET_URL_MAX + 4096];
    const char *password = getenv("TWINSTEP_PASSWORD");
    CURL *c = n->curl;
    struct curl_slist *headers = curl_slist_append(NULL, "Content-Type: application/json");
    ts_must(headers);
    (void)snprintf(url, sizeof(url), "%s" CLI_NET_BASE "%s", n->urls[n->at], path);
    curl_easy_reset(c);
    error[0] = '\0';
    a->len = 0;
    curl_easy_setopt(c, CURLOPT_URL, url);
    curl_easy_setopt(c, CURLOPT_CUSTOMREQUEST, method);
    curl_easy_setopt(c, CURLOPT_ERRORBUFFER, error);
    curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_data);
    curl_easy_setopt(c, CURLOPT_WRITEDATA, a);
    curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_MS);
    curl_easy_setopt(c, CURLOPT_TIMEOUT, (long)ANSWER_S);
    curl_easy_setopt(c, CURLOPT_CAINFO, n->ca);
    curl_easy_setopt(c, CURLOPT_NOPROXY, "*");
    curl_easy_setopt(c, CURLOPT_HTTPHEADER, headers);
    if (body != NULL) {
        curl_easy_setopt(c, CURLOPT_POSTFIELDS, body);
    }
    if (n->user != NULL) {
        curl_easy_setopt(c, CURLOPT_USERNAME, n->user);
        curl_easy_setopt(c, CURLOPT_PASSWORD, password == NULL ? "" : password);
    }
    if (n->cert != NULL) {
        curl_easy_setopt(c, CURLOPT_SSLCERT, n->cert);
        curl_easy_setopt(c, CURLOPT_SSLKEY, n->key == NULL ? n->cert : n->key);
    }
    CURLcode rc = curl_easy_perform(c);
    a->status = 0;
    curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &a->status);
    curl_slist_free_all(headers);
    return rc;
}

/* Whether another address, or another moment, may be better. Changes are the same when they are
 * done twice. */
static bool may_try_again(CURLcode rc, const struct answer *a)
{
    bool hopeless = rc == CURLE_PEER_FAILED_VERIFICATION || rc == CURLE_SSL_CACERT_BADFILE ||
                    rc == CURLE_SSL_CERTPROBLEM;
    return rc == CURLE_OK ? a->status == 503 : !hopeless;
}

static CURLcode ask(struct cli_net *n, const char *method, const char *path, const char *body,
                    struct answer *a, char error[CURL_ERROR_SIZE])
{
    CURLcode rc = CURLE_OK;
    for (size_t i = 0; i < ROUNDS * n->url_count; i++) {
        rc = once(n, method, path, body, a, error);
        if (!may_try_again(rc, a)) {
            return rc;
        }
        n->at = (n->at + 1) % n->url_count;
        if ((i + 1) % n->url_count == 0 && i + 1 < ROUNDS * n->url_count) {
            (void)nanosleep(&(struct timespec){0, PAUSE_NS}, NULL);
        }
    }
    return rc;
}

static int told(const struct cli_net *n, const struct answer *a, const char *path, json_t *said)
{
    const char *message = cli_string(said, "error_message", "it does not say why");
    if (a->status == 401) {
        return cli_fail(n->cli, CLI_FAILED,
                        "%s does not know you: give --user NAME with the password in "
                        "TWINSTEP_PASSWORD, or --cert and --key",
                        n->urls[n->at]);
    }
    return cli_fail(n->cli, a->status == 503 ? CLI_UNREACHABLE : CLI_FAILED, "%s: %s (%ld)", path,
                    message, a->status);
}

int cli_net_ask(struct cli_net *n, const char *method, const char *path, const json_t *body,
                bool may_miss, json_t **out)
{
    struct answer a = {.data = NULL};
    char error[CURL_ERROR_SIZE];
    char *text = body == NULL ? NULL : json_dumps(body, JSON_COMPACT);
    int status = CLI_OK;
    *out = NULL;
    CURLcode rc = ask(n, method, path, text, &a, error);
    json_t *said = a.len == 0 ? NULL : json_loadb(a.data, a.len, 0, NULL);
    if (rc != CURLE_OK) {
        status = cli_fail(n->cli, CLI_UNREACHABLE, "no controller answers at %s: %s",
                          n->urls[n->at], error[0] != '\0' ? error : curl_easy_strerror(rc));
    } else if (a.status >= 300 && !(may_miss && a.status == 404)) {
        status = told(n, &a, path, said);
    } else if (a.status < 300) {
        *out = said;
        said = NULL;
    }
    json_decref(said);
    free(a.data);
    free(text);
    return status;
}
