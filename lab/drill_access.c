/* How the load's clients get in. The secrets are of this drill alone, and end with its lab. */
#include <stdio.h>
#include <string.h>

#include "lab/drill_run.h"
#include "lab/exec.h"
#include "net/loop.h"

#define SECRET_BYTES 20

static enum ts_err add_user(struct lab_drilling *d, struct ts_why *why)
{
    const struct nodes_run *run = d->config->run;
    char program[TS_PATH_MAX];
    unsigned char secret[SECRET_BYTES];
    char input[sizeof(d->access.password) + 1];
    enum ts_err err = ts_path(program, why, run->bin, "twinstep");
    if (err != TS_OK || net_random(secret, sizeof(secret)) != TS_OK) {
        return err != TS_OK ? err : ts_why(why, TS_ERR_SYSTEM, "the system gives no random bytes");
    }
    for (size_t i = 0; i < sizeof(secret); i++) {
        (void)snprintf(d->access.password + 2 * i, 3, "%02x", secret[i]);
    }
    (void)snprintf(input, sizeof(input), "%s\n", d->access.password);
    const char *argv[] = {
        program, "user",   "add", LAB_DRILL_USER, "--role", "write", "--password-stdin",
        "--dir", run->run, NULL};
    return lab_exec(argv, input, (char[1024]){""}, 1024, why);
}

enum ts_err lab_drill_access_begin(struct lab_drilling *d, struct ts_why *why)
{
    char authority[TS_PATH_MAX];
    enum ts_err err = TS_OK;
    if (d->config->cluster->groups[d->group].client_tls) {
        err = ts_path(authority, why, d->config->run->run, "ca/ca.pem");
        err = err != TS_OK ? err : net_tls_trust_open(&d->access.trust, authority, why);
    }
    return err != TS_OK || !d->config->drill->has_user ? err : add_user(d, why);
}

void lab_drill_access_end(struct lab_drilling *d)
{
    net_tls_trust_close(d->access.trust);
    d->access.trust = NULL;
    explicit_bzero(d->access.password, sizeof(d->access.password));
}
