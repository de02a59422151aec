#include "net/users.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>

#include "base/assert.h"

#define HEADING "twinstep-users 1"
#define FILE_MAX (64U * 1024)

const char *net_role_name(enum net_role role)
{
    static const char *const names[] = {
#define NET_ROLE_NAME(name, text) text,
        NET_ROLE_LIST(NET_ROLE_NAME)
#undef NET_ROLE_NAME
    };
    ts_assert((size_t)role < sizeof(names) / sizeof(names[0]));
    return names[role];
}

static bool bytes_are(struct ts_bytes bytes, const char *text)
{
    return bytes.len == strlen(text) && memcmp(bytes.data, text, bytes.len) == 0;
}

bool net_role_find(struct ts_bytes name, enum net_role *role)
{
    for (enum net_role r = NET_ROLE_READ; r <= NET_ROLE_ADMIN; r++) {
        if (bytes_are(name, net_role_name(r))) {
            *role = r;
            return true;
        }
    }
    return false;
}

bool net_user_name_is_valid(struct ts_bytes name)
{
    for (size_t i = 0; i < name.len; i++) {
        uint8_t c = name.data[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!letter && c != '.' && c != '_' && c != '-') {
            return false;
        }
    }
    return name.len >= 1 && name.len < NET_USER_NAME_MAX;
}

const struct net_user *net_users_find(const struct net_users *users, struct ts_bytes name)
{
    for (size_t i = 0; i < users->count; i++) {
        if (bytes_are(name, users->users[i].name)) {
            return &users->users[i];
        }
    }
    return NULL;
}

/* ---- text ---- */

/* The next word of a line, behind one blank; empty at its end. */
static struct ts_bytes next_word(struct ts_bytes *line)
{
    size_t n = 0;
    while (n < line->len && line->data[n] != ' ') {
        n++;
    }
    struct ts_bytes word = {line->data, n};
    n += n < line->len;
    *line = (struct ts_bytes){line->data + n, line->len - n};
    return word;
}

static int hex_digit(uint8_t c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool read_hex(struct ts_bytes text, uint8_t *out, size_t n)
{
    for (size_t i = 0; i < n && text.len == 2 * n; i++) {
        int high = hex_digit(text.data[2 * i]);
        int low = hex_digit(text.data[2 * i + 1]);
        if (high < 0 || low < 0) {
            return false;
        }
        out[i] = (uint8_t)(high * 16 + low);
    }
    return text.len == 2 * n;
}

static void write_hex(char *out, const uint8_t *data, size_t n)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < n; i++) {
        out[2 * i] = digits[data[i] >> 4];
        out[2 * i + 1] = digits[data[i] & 15];
    }
    out[2 * n] = '\0';
}

static bool read_user(struct ts_bytes line, struct net_user *out)
{
    struct net_user u = {.role = NET_ROLE_NONE};
    struct ts_bytes word = next_word(&line);
    struct ts_bytes name = next_word(&line);
    struct ts_bytes role = next_word(&line);
    struct ts_bytes salt = next_word(&line);
    if (!bytes_are(word, "user") || !net_user_name_is_valid(name) ||
        !net_role_find(role, &u.role) || !read_hex(salt, u.salt, NET_USER_SALT) ||
        !read_hex(line, u.hash, NET_USER_HASH)) {
        return false;
    }
    memcpy(u.name, name.data, name.len);
    *out = u;
    return true;
}

enum ts_err net_users_parse(struct ts_bytes text, struct net_users *out, struct ts_why *why)
{
    struct net_users all = {.count = 0};
    unsigned number = 0;
    while (text.len > 0) {
        const uint8_t *end = memchr(text.data, '\n', text.len);
        size_t n = end != NULL ? (size_t)(end - text.data) : text.len;
        struct ts_bytes line = {text.data, n};
        n += end != NULL;
        text = (struct ts_bytes){text.data + n, text.len - n};
        struct net_user u;
        if (number++ == 0) {
            if (!bytes_are(line, HEADING)) {
                return ts_why(why, TS_ERR_VERSION, "its first line is not \"" HEADING "\"");
            }
            continue;
        }
        if (!read_user(line, &u) ||
            net_users_find(&all, (struct ts_bytes){(const uint8_t *)u.name, strlen(u.name)})) {
            return ts_why(why, TS_ERR_MALFORMED,
                          "line %u is not \"user NAME ROLE SALT HASH\" with a name of its own",
                          number);
        }
        if (all.count == NET_USERS_MAX) {
            return ts_why(why, TS_ERR_LIMIT, "it has more than %d users", NET_USERS_MAX);
        }
        all.users[all.count++] = u;
    }
    if (number == 0) {
        return ts_why(why, TS_ERR_VERSION, "it is empty");
    }
    *out = all;
    return TS_OK;
}

size_t net_users_format(const struct net_users *users, char out[NET_USERS_TEXT_MAX])
{
    int len = snprintf(out, NET_USERS_TEXT_MAX, HEADING "\n");
    for (size_t i = 0; i < users->count; i++) {
        const struct net_user *u = &users->users[i];
        char salt[2 * NET_USER_SALT + 1];
        char hash[2 * NET_USER_HASH + 1];
        write_hex(salt, u->salt, NET_USER_SALT);
        write_hex(hash, u->hash, NET_USER_HASH);
        len += snprintf(out + len, NET_USERS_TEXT_MAX - (size_t)len, "user %s %s %s %s\n", u->name,
                        net_role_name(u->role), salt, hash);
    }
    ts_assert(len > 0 && len < NET_USERS_TEXT_MAX);
    return (size_t)len;
}

/* ---- file ---- */

enum ts_err net_users_path(const char *config, char out[TS_PATH_MAX], struct ts_why *why)
{
    const char *slash = strrchr(config, '/');
    char dir[TS_PATH_MAX];
    int n = slash == NULL ? snprintf(dir, sizeof(dir), ".")
                          : snprintf(dir, sizeof(dir), "%.*s", (int)(slash - config), config);
    if (n < 0 || (size_t)n >= sizeof(dir)) {
        return ts_why(why, TS_ERR_LIMIT, "the path %.200s… is too long", config);
    }
    return ts_path(out, why, dir, "%s", NET_USERS_FILE);
}

enum ts_err net_users_load(const char *path, struct net_users *out, struct ts_why *why)
{
    struct ts_why detail = {.text = ""};
    uint8_t *data = NULL;
    size_t len = 0;
    *out = (struct net_users){.count = 0};
    enum ts_err err = ts_file_read(path, FILE_MAX, &data, &len, why);
    if (err != TS_OK) {
        return err;
    }
    err = net_users_parse((struct ts_bytes){data, len}, out, &detail);
    free(data);
    if (err == TS_OK) {
        return TS_OK;
    }
    return ts_why(
        why, err,
        "%s does not tell who may use the cluster: %s; put a good copy back, or remove it "
        "and add the users again with `twinstep user add`",
        path, detail.text);
}

enum ts_err net_users_save(const char *path, const struct net_users *users, struct ts_why *why)
{
    char text[NET_USERS_TEXT_MAX];
    size_t len = net_users_format(users, text);
    return ts_file_replace(path, text, len, 0600, why);
}

/* ---- passwords ---- */

static void hash_password(const uint8_t salt[NET_USER_SALT], struct ts_bytes password,
                          uint8_t out[NET_USER_HASH])
{
    uint8_t whole[NET_USER_SALT + NET_PASSWORD_MAX];
    unsigned int n = 0;
    ts_assert(password.len <= NET_PASSWORD_MAX);
    memcpy(whole, salt, NET_USER_SALT);
    memcpy(whole + NET_USER_SALT, password.data, password.len);
    int ok = EVP_Digest(whole, NET_USER_SALT + password.len, out, &n, EVP_sha256(), NULL);
    OPENSSL_cleanse(whole, sizeof(whole));
    ts_assert(ok == 1 && n == NET_USER_HASH);
}

enum ts_err net_password_make(char out[NET_PASSWORD_MADE])
{
    uint8_t bytes[(NET_PASSWORD_MADE - 1) / 2];
    if (RAND_bytes(bytes, sizeof(bytes)) != 1) {
        return TS_ERR_SYSTEM;
    }
    write_hex(out, bytes, sizeof(bytes));
    OPENSSL_cleanse(bytes, sizeof(bytes));
    return TS_OK;
}

enum ts_err net_user_set_password(struct net_user *user, struct ts_bytes password)
{
    uint8_t salt[NET_USER_SALT];
    if (password.len < NET_PASSWORD_MIN || password.len > NET_PASSWORD_MAX) {
        return TS_ERR_LIMIT;
    }
    if (RAND_bytes(salt, sizeof(salt)) != 1) {
        return TS_ERR_SYSTEM;
    }
    memcpy(user->salt, salt, sizeof(salt));
    hash_password(salt, password, user->hash);
    return TS_OK;
}

bool net_user_check(const struct net_user *user, struct ts_bytes password)
{
    uint8_t hash[NET_USER_HASH];
    if (password.len > NET_PASSWORD_MAX || password.len == 0) {
        return false;
    }
    hash_password(user->salt, password, hash);
    return CRYPTO_memcmp(hash, user->hash, sizeof(hash)) == 0;
}
