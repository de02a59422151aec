/* Who may use the services of a cluster: names, roles, salted hashes of passwords, in one text file
 * beside the cluster file (RUN/users, mode 0600), which `twinstep user` writes and the replicas
 * read:
 *     twinstep-users 1
 *     user NAME ROLE SALT HASH        (hexadecimal; HASH = SHA-256 of SALT and the password)
 * One hash, no slow key derivation, since passwords are long: docs/adr/0018 says why. A file
 * without users, and no file, leave the port open to whoever reaches it. */
#ifndef NET_USERS_H
#define NET_USERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/io/files.h"

#define NET_USERS_MAX 64
#define NET_USER_NAME_MAX 33 /* with its NUL: 1 to 32 of a-z A-Z 0-9 . _ - */
#define NET_USER_NAME_RULE "write 1 to 32 of a-z, A-Z, 0-9, '.', '_' and '-'"
#define NET_USER_SALT 16
#define NET_USER_HASH 32
#define NET_PASSWORD_MIN 20 /* bytes; shorter ones can be guessed from the file */
#define NET_PASSWORD_MAX 512
#define NET_PASSWORD_MADE 41 /* of one that is made here, with its NUL: 160 random bits */
#define NET_USERS_FILE "users"

/* Each may what those before it may. */
#define NET_ROLE_LIST(X) \
    X(NONE, "none")   /* nothing but to log in */ \
    X(READ, "read")   /* reads, subscribes, asks for the group's state */ \
    X(WRITE, "write") /* changes the state, publishes */ \
    X(ADMIN, "admin") /* empties it, sees the configuration */

enum net_role {
#define NET_ROLE_ENUM(name, text) NET_ROLE_##name,
    NET_ROLE_LIST(NET_ROLE_ENUM)
#undef NET_ROLE_ENUM
};

struct net_user {
    char name[NET_USER_NAME_MAX];
    enum net_role role;
    uint8_t salt[NET_USER_SALT];
    uint8_t hash[NET_USER_HASH];
};

struct net_users {
    size_t count;
    struct net_user users[NET_USERS_MAX];
};

/* "read"; static storage. */
const char *net_role_name(enum net_role role);
/* The role of this name, not "none"; false when there is no such. */
bool net_role_find(struct ts_bytes name, enum net_role *role);
bool net_user_name_is_valid(struct ts_bytes name);

/* Reads the file's text. TS_ERR_VERSION: another format; TS_ERR_MALFORMED: `why` has the line;
 * TS_ERR_LIMIT: too many users. */
enum ts_err net_users_parse(struct ts_bytes text, struct net_users *out,
                            struct ts_why *why) TS_MUST_USE;
/* The text that net_users_parse reads, with its NUL. Gives its length. */
#define NET_USERS_TEXT_MAX (64 + NET_USERS_MAX * 160)
size_t net_users_format(const struct net_users *users, char out[NET_USERS_TEXT_MAX]);

/* The users' file that goes with a cluster file: beside it. TS_ERR_LIMIT: the path is too long. */
enum ts_err net_users_path(const char *config, char out[TS_PATH_MAX],
                           struct ts_why *why) TS_MUST_USE;
/* TS_ERR_NOT_FOUND: there is no file, and `out` has no users. Otherwise as above and as in
 * base/io/files.h; `why` names the file. Blocks. */
enum ts_err net_users_load(const char *path, struct net_users *out, struct ts_why *why) TS_MUST_USE;
/* Replaces the file in one step. Blocks. */
enum ts_err net_users_save(const char *path, const struct net_users *users,
                           struct ts_why *why) TS_MUST_USE;

/* NULL when there is no such user. Borrowed. */
const struct net_user *net_users_find(const struct net_users *users, struct ts_bytes name);
/* Makes a password of hexadecimal digits. TS_ERR_SYSTEM: no random numbers. */
enum ts_err net_password_make(char out[NET_PASSWORD_MADE]) TS_MUST_USE;
/* Sets the user's hash under a new salt. TS_ERR_LIMIT: shorter than NET_PASSWORD_MIN or longer than
 * NET_PASSWORD_MAX; TS_ERR_SYSTEM: no random numbers. */
enum ts_err net_user_set_password(struct net_user *user, struct ts_bytes password) TS_MUST_USE;
/* Whether it is the user's password; takes a microsecond, whatever the answer. */
bool net_user_check(const struct net_user *user, struct ts_bytes password);

#endif
