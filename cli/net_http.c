/* Asks a controller, by libcurl. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <curl/curl.h>

#include "base/assert.h"
#include "base/memory.h"
#include "cli/cluster_file.h"
#include "cli/net.h"

#define CONNECT_MS 1000
/* One answer may take this part of the time for all attempts: others may answer. */
#define ANSWER_PART 3
/* Between rounds of all addresses. */
#define PAUSE_NS 250000000L
/* A takeover takes some milliseconds; what takes longer is told. */
#define PATIENCE_MS 1500
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

/* With a host, maybe a port, and nothing behind. */
static bool is_url(const char *text)
{
    static const char SCHEME[] = "https://";
    size_t len = strlen(SCHEME);
    return strncmp(text, SCHEME, len) == 0 && strlen(text) < CLI_NET_URL_MAX && text[len] != '\0' &&
           strpbrk(text + len, "/?#@ ") == NULL;
}

int cli_net_open(struct cli_net *n)
{
    struct ts_why why = {{0}};
    int status = CLI_OK;
    if (n->url != NULL) {
        (void)snprintf(n->urls[0], CLI_NET_URL_MAX, "%s", n->url);
        n->url_count = 1;
        if (!is_url(n->url)) {
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

/* What no other address and no other moment makes better. */
static const struct hopeless {
    CURLcode rc;
    int status;
    const char *what;
} HOPELESS[] = {
    {CURLE_PEER_FAILED_VERIFICATION, CLI_FAILED,
     "its certificate is refused (--ca says whose is taken)"},
    {CURLE_WRITE_ERROR, CLI_FAILED, "the answer is longer than 64 MiB"},
    {CURLE_SSL_CACERT_BADFILE, CLI_USAGE, "the file of --ca is no PEM certificate"},
    {CURLE_SSL_CERTPROBLEM, CLI_USAGE, "--cert and --key are no PEM certificate and its key"},
    {CURLE_URL_MALFORMAT, CLI_USAGE, "this is no URL"},
};

/* NULL: it is none of these. */
static const struct hopeless *find_hopeless(CURLcode rc)
{
    for (size_t i = 0; i < sizeof(HOPELESS) / sizeof(HOPELESS[0]); i++) {
        if (HOPELESS[i].rc == rc) {
            return &HOPELESS[i];
        }
    }
    return NULL;
}

/* Whether the controller cannot have got all of it. */
static bool was_not_sent(CURLcode rc)
{
    return rc == CURLE_COULDNT_CONNECT || rc == CURLE_COULDNT_RESOLVE_HOST ||
           rc == CURLE_SSL_CONNECT_ERROR;
}

static uint64_t now_ms(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* A question, until it is answered. */
struct question {
    const char *method;
    const char *path;
    const char *body; /* NULL: none */
    uint64_t begun_ms;
    CURLcode rc; /* of the last attempt … */
    char error[CURL_ERROR_SIZE];
    struct answer answer;
    json_t *said;  /* … and what its body says; owned */
    bool repeated; /* an earlier attempt may have been carried out */
    bool told;     /* that it takes long */
};

/* One attempt. */
static void once(struct cli_net *n, struct question *q, uint64_t left)
{
    char url[CLI_NET_URL_MAX + 4096];
    const char *password = getenv("TWINSTEP_PASSWORD");
    uint64_t part = (uint64_t)n->timeout_s * 1000 / ANSWER_PART;
    CURL *c = n->curl;
    struct curl_slist *headers = curl_slist_append(NULL, "Content-Type: application/json");
    ts_must(headers);
    (void)snprintf(url, sizeof(url), "%s" CLI_NET_BASE "%s", n->urls[n->at], q->path);
    curl_easy_reset(c);
    q->error[0] = '\0';
    q->answer.len = 0;
    curl_easy_setopt(c, CURLOPT_URL, url);
    curl_easy_setopt(c, CURLOPT_CUSTOMREQUEST, q->method);
    curl_easy_setopt(c, CURLOPT_ERRORBUFFER, q->error);
    curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_data);
    curl_easy_setopt(c, CURLOPT_WRITEDATA, &q->answer);
    curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT_MS, (long)(left < CONNECT_MS ? left : CONNECT_MS));
    curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, (long)(left < part ? left : part));
    curl_easy_setopt(c, CURLOPT_CAINFO, n->ca);
    curl_easy_setopt(c, CURLOPT_NOPROXY, "*");
    curl_easy_setopt(c, CURLOPT_HTTPHEADER, headers);
    if (q->body != NULL) {
        curl_easy_setopt(c, CURLOPT_POSTFIELDS, q->body);
    }
    if (n->user != NULL) {
        curl_easy_setopt(c, CURLOPT_USERNAME, n->user);
        curl_easy_setopt(c, CURLOPT_PASSWORD, password == NULL ? "" : password);
    }
    if (n->cert != NULL) {
        curl_easy_setopt(c, CURLOPT_SSLCERT, n->cert);
        curl_easy_setopt(c, CURLOPT_SSLKEY, n->key == NULL ? n->cert : n->key);
    }
    q->rc = curl_easy_perform(c);
    q->answer.status = 0;
    curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &q->answer.status);
    curl_slist_free_all(headers);
}

static uint64_t left_ms(const struct cli_net *n, const struct question *q)
{
    uint64_t gone = now_ms() - q->begun_ms;
    uint64_t all = (uint64_t)n->timeout_s * 1000;
    return gone < all ? all - gone : 0;
}

static bool is_answered(const struct question *q)
{
    return q->rc == CURLE_OK && q->answer.status != 503;
}

/* Why the last attempt was none. */
static const char *reason(const struct question *q)
{
    if (q->rc == CURLE_OK) {
        return cli_string(q->said, "error_message", "it serves nobody now (503)");
    }
    return q->error[0] != '\0' ? q->error : curl_easy_strerror(q->rc);
}

static void tell_wait(const struct cli_net *n, struct question *q)
{
    if (!q->told && now_ms() - q->begun_ms >= PATIENCE_MS) {
        q->told = true;
        (void)fprintf(n->cli->err,
                      "twinstep: waits for a controller that serves, %u s at most; %s: %s\n",
                      n->timeout_s, n->urls[n->at], reason(q));
    }
}

/* Changes are the same when they are done twice. */
static void ask(struct cli_net *n, struct question *q)
{
    size_t asked = 0;
    q->begun_ms = now_ms();
    for (;;) {
        uint64_t left = left_ms(n, q);
        once(n, q, left == 0 ? 1 : left);
        json_decref(q->said);
        q->said = q->answer.len == 0 ? NULL : json_loadb(q->answer.data, q->answer.len, 0, NULL);
        if (is_answered(q) || find_hopeless(q->rc) != NULL || left_ms(n, q) == 0) {
            return;
        }
        q->repeated = q->repeated || (q->rc != CURLE_OK && !was_not_sent(q->rc));
        tell_wait(n, q);
        n->at = (n->at + 1) % n->url_count;
        if (++asked % n->url_count == 0) {
            (void)nanosleep(&(struct timespec){0, PAUSE_NS}, NULL);
        }
    }
}

static int unanswered(const struct cli_net *n, const struct question *q)
{
    const struct hopeless *h = find_hopeless(q->rc);
    bool change = strcmp(q->method, "GET") != 0;
    bool unsure = change && (q->repeated || (q->rc != CURLE_OK && !was_not_sent(q->rc)));
    if (h != NULL) {
        return cli_fail(n->cli, h->status, "%s: %s: %s", n->urls[n->at], h->what, reason(q));
    }
    return cli_fail(n->cli, CLI_UNREACHABLE, "no controller serves within %u s; %s: %s%s",
                    n->timeout_s, n->urls[n->at], reason(q),
                    unsure ? "; the change may have been made all the same: say it again" : "");
}

int cli_net_try(struct cli_net *n, const char *method, const char *path, const json_t *body,
                struct cli_net_said *out)
{
    char *text = body == NULL ? NULL : json_dumps(body, JSON_COMPACT);
    struct question q = {.method = method, .path = path, .body = text};
    *out = (struct cli_net_said){.body = NULL};
    ask(n, &q);
    int status = is_answered(&q) ? CLI_OK : unanswered(n, &q);
    if (status == CLI_OK) {
        *out = (struct cli_net_said){q.answer.status, q.repeated, json_incref(q.said)};
    }
    json_decref(q.said);
    free(q.answer.data);
    free(text);
    return status;
}

int cli_net_refused(const struct cli_net *n, const char *path, const struct cli_net_said *said)
{
    const char *message = cli_string(said->body, "error_message", "it does not say why");
    if (said->status == 401) {
        return cli_fail(n->cli, CLI_FAILED,
                        "%s does not know you: give --user NAME with the password in "
                        "TWINSTEP_PASSWORD, or --cert and --key",
                        n->urls[n->at]);
    }
    return cli_fail(n->cli, CLI_FAILED, "%s: %s (%ld)", path, message, said->status);
}

int cli_net_ask(struct cli_net *n, const char *method, const char *path, const json_t *body,
                bool may_miss, json_t **out)
{
    struct cli_net_said said;
    int status = cli_net_try(n, method, path, body, &said);
    *out = NULL;
    if (status == CLI_OK && said.status >= 300) {
        status = may_miss && said.status == 404 ? CLI_OK : cli_net_refused(n, path, &said);
    } else if (status == CLI_OK) {
        *out = json_incref(said.body);
    }
    json_decref(said.body);
    return status;
}
