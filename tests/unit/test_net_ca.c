/* The certificate authority and what TLS makes of its files. */
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <sys/stat.h>

#include "net/tls_client.h"
#include "net/tls_server.h"
#include "tests/unit/net_fixture.h"

static void path_of(char out[256], const char *dir, const char *name)
{
    int n = snprintf(out, 256, "%s/%s", dir, name);
    assert_in_range(n, 1, 255);
}

static unsigned mode_of(const char *dir, const char *name)
{
    char path[256];
    struct stat st;
    path_of(path, dir, name);
    assert_int_equal(stat(path, &st), 0);
    return st.st_mode & 07777;
}

static void overwrite(const char *dir, const char *name, const char *text)
{
    char path[256];
    struct ts_why why;
    path_of(path, dir, name);
    fx_ok(ts_file_replace(path, text, strlen(text), 0600, &why), &why);
}

/* Keys are for the owner only; all nodes share the heartbeat key; names are those asked for. */
static void test_ca_issue_files_are_private_and_named(void **state)
{
    (void)state;
    struct net_fixture *f = fx_open();
    uint8_t key[3][CA_HEARTBEAT_KEY_BYTES];
    struct ts_why why;
    assert_int_equal(mode_of(f->ca, "ca.key"), 0600);
    assert_int_equal(mode_of(f->ca, "heartbeat.key"), 0600);
    assert_int_equal(mode_of(f->tls_dir[1], "node.key"), 0600);
    assert_int_equal(mode_of(f->tls_dir[1], "heartbeat.key"), 0600);
    assert_int_equal(mode_of(f->tls_dir[1], "issued"), 0600);
    fx_ok(ca_heartbeat_key(f->ca, key[0], &why), &why);
    fx_ok(ca_heartbeat_key(f->tls_dir[1], key[1], &why), &why);
    fx_ok(ca_heartbeat_key(f->tls_dir[2], key[2], &why), &why);
    assert_memory_equal(key[0], key[1], CA_HEARTBEAT_KEY_BYTES);
    assert_memory_equal(key[0], key[2], CA_HEARTBEAT_KEY_BYTES);
    assert_string_equal(f->tls[1].self.node, "nic1");
    assert_string_equal(f->tls[1].self.cluster, "demo");
    assert_true(f->tls[1].not_after > (int64_t)time(NULL));
    fx_close(f);
}

/* An authority is never overwritten; errors name the place. */
static void test_ca_init_existing_authority_is_kept(void **state)
{
    (void)state;
    struct net_fixture *f = fx_open();
    struct ts_why why = {.text = ""};
    assert_int_equal(ca_init(f->ca, "demo", &why), TS_ERR_EXISTS);
    assert_non_null(strstr(why.text, f->ca));
    char none[256];
    path_of(none, f->dir, "none");
    assert_int_equal(ca_issue(none, "nic1", f->tls_dir[1], NULL, ca_validity_days(1), &why),
                     TS_ERR_NOT_FOUND);
    assert_non_null(strstr(why.text, none));
    assert_int_equal(ca_init(none, "", &why), TS_ERR_LIMIT);
    char name[80];
    memset(name, 'n', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    assert_int_equal(ca_issue(f->ca, name, none, NULL, ca_validity_days(1), &why), TS_ERR_LIMIT);
    /* The longest name passes, and comes back whole. */
    name[CA_NAME_MAX] = '\0';
    fx_ok(ca_init(none, name, &why), &why);
    char out[256];
    path_of(out, f->dir, "longest");
    fx_ok(ca_issue(none, name, out, NULL, ca_validity_days(1), &why), &why);
    struct net_tls tls;
    fx_ok(net_tls_open(&tls, out, &why), &why);
    assert_string_equal(tls.self.node, name);
    assert_string_equal(tls.self.cluster, name);
    net_tls_close(&tls);
    fx_ok(ts_dir_remove(none, NULL), NULL);
    fx_ok(ts_dir_remove(out, NULL), NULL);
    fx_close(f);
}

/* Each damaged or missing file is named, with what to do. */
static void test_net_tls_open_bad_files_are_named(void **state)
{
    (void)state;
    struct net_fixture *f = fx_open();
    struct net_tls tls;
    struct ts_why why = {.text = ""};
    const char *dir = f->tls_dir[4];
    static const char *const names[] = {"ca.pem", "node.pem", "node.key"};
    for (size_t i = 0; i < 3; i++) {
        char path[256];
        path_of(path, dir, names[i]);
        overwrite(dir, names[i], "-----BEGIN NOTHING-----\n");
        assert_int_equal(net_tls_open(&tls, dir, &why), TS_ERR_MALFORMED);
        assert_non_null(strstr(why.text, path));
        (void)unlink(path);
        assert_int_equal(net_tls_open(&tls, dir, &why), TS_ERR_NOT_FOUND);
        assert_non_null(strstr(why.text, path));
        assert_non_null(strstr(why.text, "twinstep ca issue"));
        fx_ok(ca_issue(f->ca, "nic4", dir, NULL, ca_validity_days(1), &why), &why);
    }
    /* A key of another node. */
    char from[256];
    char to[256];
    path_of(from, f->tls_dir[1], "node.key");
    path_of(to, dir, "node.key");
    (void)unlink(to);
    assert_int_equal(link(from, to), 0);
    assert_int_equal(net_tls_open(&tls, dir, &why), TS_ERR_AUTH);
    /* An authority of another cluster. */
    char ca2[256];
    path_of(ca2, f->dir, "ca2");
    fx_ok(ca_init(ca2, "demo", &why), &why);
    fx_ok(ca_issue(f->ca, "nic4", dir, NULL, ca_validity_days(1), &why), &why);
    path_of(from, ca2, "ca.pem");
    path_of(to, dir, "ca.pem");
    (void)unlink(to);
    assert_int_equal(link(from, to), 0);
    assert_int_equal(net_tls_open(&tls, dir, &why), TS_ERR_AUTH);
    assert_non_null(strstr(why.text, "not from the authority"));
    fx_ok(ts_dir_remove(ca2, NULL), NULL);
    fx_close(f);
}

/* A reload takes the new certificate; a failing one, or another node's, keeps the old. */
static void test_net_tls_reload_bad_file_keeps_the_old(void **state)
{
    (void)state;
    struct net_fixture *f = fx_open();
    struct ts_why why = {.text = ""};
    int64_t old = f->tls[4].not_after;
    fx_ok(ca_issue(f->ca, "nic4", f->tls_dir[4], NULL, ca_validity_days(9), &why), &why);
    fx_ok(net_tls_reload(&f->tls[4], &why), &why);
    assert_true(f->tls[4].not_after > old);
    overwrite(f->tls_dir[4], "node.pem", "x");
    const SSL_CTX *ctx = f->tls[4].ctx;
    assert_int_equal(net_tls_reload(&f->tls[4], &why), TS_ERR_MALFORMED);
    assert_ptr_equal(f->tls[4].ctx, ctx);
    fx_ok(ca_issue(f->ca, "nic5", f->tls_dir[4], NULL, ca_validity_days(9), &why), &why);
    assert_int_equal(net_tls_reload(&f->tls[4], &why), TS_ERR_AUTH);
    assert_non_null(strstr(why.text, "is of node nic5 of cluster demo, and this is nic4 of demo"));
    assert_ptr_equal(f->tls[4].ctx, ctx);
    assert_string_equal(f->tls[4].self.node, "nic4");
    /* At a start the same is asked for. */
    struct net_tls tls;
    assert_int_equal(net_tls_open_as(&tls, f->tls_dir[4], "nic4", "demo", &why), TS_ERR_AUTH);
    assert_non_null(strstr(why.text, "is of node nic5 of cluster demo, and this is nic4 of demo"));
    assert_int_equal(net_tls_open_as(&tls, f->tls_dir[4], "nic5", "other", &why), TS_ERR_AUTH);
    fx_ok(net_tls_open_as(&tls, f->tls_dir[4], "nic5", "demo", &why), &why);
    net_tls_close(&tls);
    fx_close(f);
}

/* A heartbeat key of another length, and a damaged authority. */
static void test_ca_issue_damaged_authority_is_refused(void **state)
{
    (void)state;
    struct net_fixture *f = fx_open();
    struct ts_why why = {.text = ""};
    uint8_t key[CA_HEARTBEAT_KEY_BYTES];
    overwrite(f->ca, "heartbeat.key", "short");
    assert_int_equal(ca_heartbeat_key(f->ca, key, &why), TS_ERR_MALFORMED);
    assert_int_equal(ca_issue(f->ca, "nic4", f->tls_dir[4], NULL, ca_validity_days(1), &why),
                     TS_ERR_MALFORMED);
    overwrite(f->ca, "ca.key", "no key");
    assert_int_equal(ca_issue(f->ca, "nic4", f->tls_dir[4], NULL, ca_validity_days(1), &why),
                     TS_ERR_MALFORMED);
    fx_close(f);
}

/* What a certificate says is read without any of the checks that peers make. */
static void test_ca_inspect_tells_dates_and_authority(void **state)
{
    (void)state;
    struct net_fixture *f = fx_open();
    struct ca_paper paper = {.of_authority = false};
    struct ts_why why = {.text = ""};
    struct ca_validity over = {.not_before = 1000000000, .not_after = 1100000000};
    char other[256];
    path_of(other, f->dir, "other");
    fx_ok(ca_issue(f->ca, "nic1", f->tls_dir[1], NULL, over, &why), &why);
    fx_ok(ca_inspect(f->ca, f->tls_dir[1], &paper, &why), &why);
    assert_true(paper.of_authority);
    assert_int_equal(paper.validity.not_before, over.not_before);
    assert_int_equal(paper.validity.not_after, over.not_after);
    fx_ok(ca_init(other, "demo", &why), &why);
    fx_ok(ca_inspect(other, f->tls_dir[1], &paper, &why), &why);
    assert_false(paper.of_authority);
    overwrite(f->tls_dir[1], "node.pem", "no certificate");
    assert_int_equal(ca_inspect(f->ca, f->tls_dir[1], &paper, &why), TS_ERR_MALFORMED);
    assert_int_equal(ca_inspect(f->ca, f->dir, &paper, &why), TS_ERR_NOT_FOUND);
    fx_ok(ts_dir_remove(other, &why), &why);
    fx_close(f);
}

static X509 *cert_of(const char *dir)
{
    char path[256];
    path_of(path, dir, "node.pem");
    BIO *bio = BIO_new_file(path, "r");
    X509 *cert = PEM_read_bio_X509(bio, NULL, NULL, NULL);
    assert_non_null(cert);
    BIO_free(bio);
    return cert;
}

/* A client of HTTPS verifies the name or the address that it asked. */
static void test_ca_issue_addresses_are_names_of_the_node(void **state)
{
    (void)state;
    struct net_fixture *f = fx_open();
    struct ts_why why = {.text = ""};
    const struct ca_addresses two = {2, {"192.0.2.10", "2001:db8::7"}};
    const struct ca_addresses prefix = {1, {"192.0.2.10/24"}};
    fx_ok(ca_issue(f->ca, "nic4", f->tls_dir[4], &two, ca_validity_days(1), &why), &why);
    X509 *cert = cert_of(f->tls_dir[4]);
    assert_int_equal(X509_check_ip_asc(cert, "192.0.2.10", 0), 1);
    assert_int_equal(X509_check_ip_asc(cert, "2001:db8::7", 0), 1);
    assert_int_equal(X509_check_host(cert, "nic4", 0, 0, NULL), 1);
    assert_int_equal(X509_check_ip_asc(cert, "192.0.2.11", 0), 0);
    X509_free(cert);
    assert_int_equal(ca_issue(f->ca, "nic4", f->tls_dir[4], &prefix, ca_validity_days(1), &why),
                     TS_ERR_MALFORMED);
    assert_non_null(strstr(why.text, "\"192.0.2.10/24\" is no address"));
    fx_close(f);
}

/* An agent's certificate is for the client's side of TLS alone, and comes without the key of the
 * heartbeats, also where that of a node was before; no program takes it for a node's own. */
static void test_ca_issue_agent_is_no_node(void **state)
{
    (void)state;
    struct net_fixture *f = fx_open();
    struct ts_why why = {.text = ""};
    struct net_tls tls;
    struct net_tls_server *server = NULL;
    struct net_tls_trust *trust = NULL;
    struct net_tls_identity self;
    char pem[256];
    char key[256];
    const char *dir = f->tls_dir[4];
    path_of(key, dir, "heartbeat.key");
    assert_int_equal(access(key, F_OK), 0);
    fx_ok(net_tls_server_open(&server, dir, &why), &why);
    fx_ok(ca_issue_agent(f->ca, "nic4", dir, ca_validity_days(1), &why), &why);
    assert_int_equal(access(key, F_OK), -1);
    assert_int_equal(mode_of(dir, "node.key"), 0600);
    assert_int_equal(mode_of(dir, "issued"), 0600);
    X509 *cert = cert_of(dir);
    assert_int_equal(X509_check_purpose(cert, X509_PURPOSE_SSL_CLIENT, 0), 1);
    assert_int_equal(X509_check_purpose(cert, X509_PURPOSE_SSL_SERVER, 0), 0);
    X509_free(cert);

    assert_int_equal(net_tls_open(&tls, dir, &why), TS_ERR_AUTH);
    assert_non_null(strstr(why.text, "is of the agent of transport node nic4"));
    assert_int_equal(net_tls_reload(&f->tls[4], &why), TS_ERR_AUTH);
    assert_int_equal(net_tls_server_reload(server, &why), TS_ERR_AUTH);
    assert_non_null(strstr(why.text, "is of the agent of transport node nic4"));
    net_tls_server_close(server);

    path_of(pem, dir, "ca.pem");
    fx_ok(net_tls_trust_open(&trust, pem, &why), &why);
    path_of(pem, dir, "node.pem");
    path_of(key, dir, "node.key");
    fx_ok(net_tls_trust_show(trust, pem, key, &self, &why), &why);
    assert_int_equal(self.role, NET_TLS_AGENT);
    assert_string_equal(self.node, "nic4");
    assert_string_equal(self.cluster, "demo");
    net_tls_trust_close(trust);
    fx_close(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ca_issue_addresses_are_names_of_the_node),
        cmocka_unit_test(test_ca_issue_agent_is_no_node),
        cmocka_unit_test(test_ca_issue_files_are_private_and_named),
        cmocka_unit_test(test_ca_init_existing_authority_is_kept),
        cmocka_unit_test(test_net_tls_open_bad_files_are_named),
        cmocka_unit_test(test_net_tls_reload_bad_file_keeps_the_old),
        cmocka_unit_test(test_ca_issue_damaged_authority_is_refused),
        cmocka_unit_test(test_ca_inspect_tells_dates_and_authority),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
