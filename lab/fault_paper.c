/* A node that shows the wrong papers: an expired certificate, one of another authority, or
 * heartbeats that are signed with another key. The proof is the file, read back. */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "lab/certificate.h"
#include "lab/clock.h"
#include "lab/fault_host.h"
#include "lab/pods.h"
#include "net/ca.h"
#include "net/loop.h"

#define DAY_S 86400
#define JUST_EXPIRED_S 60 /* clocks of a lab are one */
#define STOP_GRACE_MS 3000

static enum ts_err tls_dir(const struct lab_fault *f, char out[TS_PATH_MAX], struct ts_why *why)
{
    return ts_path(out, why, f->run->run, "%s/tls", f->node);
}

static enum ts_err ca_dir(const struct lab_fault *f, const char *name, char out[TS_PATH_MAX],
                          struct ts_why *why)
{
    return ts_path(out, why, f->run->run, "%s", name);
}

/* Its programs load what lies in the directory now. */
static enum ts_err tell_nicd(const struct lab_fault *f, struct ts_why *why)
{
    struct nodes_proc nicd;
    bool told = nodes_find(f->run, f->node, "nicd", NULL, &nicd) &&
                nodes_signal(f->run, f->node, &nicd, SIGHUP);
    return told ? TS_OK : ts_why(why, TS_ERR_NOT_FOUND, "no nicd runs on %s", f->node);
}

static enum ts_err restart(const struct lab_fault *f, struct ts_why *why)
{
    enum ts_err err = nodes_stop(f->run, f->node, STOP_GRACE_MS, why);
    return err != TS_OK ? err : lab_pods_start_node(f->run, f->node, why);
}

static enum ts_err put_key(const char *tls, const uint8_t key[CA_HEARTBEAT_KEY_BYTES],
                           struct ts_why *why)
{
    char path[TS_PATH_MAX];
    enum ts_err err = ts_path(path, why, tls, "heartbeat.key");
    return err != TS_OK ? err : ts_file_replace(path, key, CA_HEARTBEAT_KEY_BYTES, 0600, why);
}

static enum ts_err issue(const struct lab_fault *f, const char *ca, const char *tls,
                         struct ca_validity validity, struct ts_why *why)
{
    const struct cfg_node *node = cfg_cluster_node_by_name(f->cluster, f->node);
    return node == NULL ? ts_why(why, TS_ERR_NOT_FOUND, "there is no node %s", f->node)
                        : lab_certificate_issue(f->cluster, node, ca, tls, validity, why);
}

static enum ts_err expire(const struct lab_fault *f, const char *ca, const char *tls,
                          struct ts_why *why)
{
    int64_t now = (int64_t)time(NULL);
    struct ca_validity over = {.not_before = now - 2 * DAY_S, .not_after = now - JUST_EXPIRED_S};
    enum ts_err err = issue(f, ca, tls, over, why);
    return err != TS_OK ? err : tell_nicd(f, why);
}

/* All but the key of the heartbeats is of the other authority. */
static enum ts_err become_foreign(const struct lab_fault *f, const char *ca, const char *tls,
                                  struct ts_why *why)
{
    char other[TS_PATH_MAX];
    uint8_t key[CA_HEARTBEAT_KEY_BYTES];
    enum ts_err err = ca_dir(f, "ca-other", other, why);
    err = err != TS_OK ? err : ts_dir_remove(other, why);
    err = err != TS_OK ? err : ca_init(other, f->cluster->name, why);
    err = err != TS_OK ? err : ca_issue(other, f->node, tls, NULL, ca_validity_days(1), why);
    err = err != TS_OK ? err : ts_dir_remove(other, why);
    err = err != TS_OK ? err : ca_heartbeat_key(ca, key, why);
    err = err != TS_OK ? err : put_key(tls, key, why);
    return err != TS_OK ? err : tell_nicd(f, why);
}

static enum ts_err change_key(const struct lab_fault *f, const char *tls, struct ts_why *why)
{
    uint8_t key[CA_HEARTBEAT_KEY_BYTES];
    if (net_random(key, sizeof(key)) != TS_OK) {
        return ts_why(why, TS_ERR_SYSTEM, "the system gives no random bytes");
    }
    enum ts_err err = put_key(tls, key, why);
    return err != TS_OK ? err : restart(f, why);
}

static enum ts_err inject(struct lab_fault *f, struct ts_why *why)
{
    char ca[TS_PATH_MAX];
    char tls[TS_PATH_MAX];
    enum ts_err err = ca_dir(f, "ca", ca, why);
    err = err != TS_OK ? err : tls_dir(f, tls, why);
    if (err != TS_OK) {
        return err;
    }
    f->injected_ns = lab_now_ns();
    switch ((enum lab_wrong_paper)f->wrong_paper) {
    case LAB_PAPER_EXPIRED:
        return expire(f, ca, tls, why);
    case LAB_PAPER_FOREIGN:
        return become_foreign(f, ca, tls, why);
    case LAB_PAPER_KEY:
        break;
    }
    return change_key(f, tls, why);
}

/* Whether the certificate on the disk is what it was to be. */
static bool is_wrong(const struct lab_fault *f, const char *ca, const char *tls)
{
    uint8_t own[CA_HEARTBEAT_KEY_BYTES];
    uint8_t right[CA_HEARTBEAT_KEY_BYTES];
    if (f->wrong_paper == LAB_PAPER_KEY) {
        return ca_heartbeat_key(tls, own, NULL) == TS_OK &&
               ca_heartbeat_key(ca, right, NULL) == TS_OK && memcmp(own, right, sizeof(own)) != 0;
    }
    struct ca_paper paper = {.of_authority = false};
    if (ca_inspect(ca, tls, &paper, NULL) != TS_OK) {
        return false;
    }
    bool expired = paper.validity.not_after < (int64_t)time(NULL);
    return f->wrong_paper == LAB_PAPER_EXPIRED ? paper.of_authority && expired
                                               : !paper.of_authority && !expired;
}

static enum ts_err observe(struct lab_fault *f, struct ts_why *why)
{
    char ca[TS_PATH_MAX];
    char tls[TS_PATH_MAX];
    enum ts_err err = ca_dir(f, "ca", ca, why);
    err = err != TS_OK ? err : tls_dir(f, tls, why);
    return err != TS_OK || is_wrong(f, ca, tls)
               ? err
               : ts_why(why, TS_ERR_NOT_FOUND, "what %s has is not what it was to be given", tls);
}

static enum ts_err heal(struct lab_fault *f, struct ts_why *why)
{
    char ca[TS_PATH_MAX];
    char tls[TS_PATH_MAX];
    enum ts_err err = ca_dir(f, "ca", ca, why);
    err = err != TS_OK ? err : tls_dir(f, tls, why);
    err = err != TS_OK ? err : issue(f, ca, tls, ca_validity_days(CA_NODE_DAYS), why);
    if (err != TS_OK) {
        return err;
    }
    if (f->wrong_paper == LAB_PAPER_KEY) {
        return restart(f, why);
    }
    (void)!tell_nicd(f, why); /* one that another fault has off loads them when it starts */
    return TS_OK;
}

static const struct lab_fault_type type = {
    .name = "papers", .inject = inject, .observe = observe, .heal = heal};

void lab_fault_paper(struct lab_fault *f, const struct nodes_run *run,
                     const struct cfg_cluster *cluster, const char *node,
                     enum lab_wrong_paper wrong)
{
    *f = (struct lab_fault){.type = &type, .run = run, .cluster = cluster, .wrong_paper = wrong};
    (void)snprintf(f->node, sizeof(f->node), "%s", node);
}
