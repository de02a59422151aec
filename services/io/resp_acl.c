/* ACL: who there is, and what each may. Users are the operator's to say (`twinstep user`), and
 * their roles are few: nothing of them is changed by a client. */
#include <stdio.h>
#include <string.h>

#include "net/loop.h"
#include "services/io/resp_conn.h"

#define BY_OPERATOR \
    "users are not made by clients: the operator says `twinstep user add NAME --role ROLE`, on " \
    "the machine of a NIC"
#define GENPASS_BITS 256
#define GENPASS_BITS_MAX 4096
#define SHOWN_MAX 128 /* bytes of a word in an error */

/* What a role may, in the words of ACL. */
static const char *rules_of(enum net_role role)
{
    switch (role) {
    case NET_ROLE_ADMIN:
        return "+@all";
    case NET_ROLE_WRITE:
        return "+@all -flushall -flushdb -config -@admin +role +sentinel";
    case NET_ROLE_READ:
        return "+@all -@write -publish -config -@admin +role +sentinel";
    case NET_ROLE_NONE:
        break;
    }
    return "-@all";
}

static void run_whoami(struct resp_conn *c, const struct resp_request *req, struct resp_writer *w)
{
    (void)req;
    resp_put_bulk_text(w, resp_auth_name(c));
}

static void run_users(struct resp_conn *c, const struct resp_request *req, struct resp_writer *w)
{
    const struct net_users *users = &c->server->users;
    (void)req;
    resp_put_array(w, users->count > 0 ? users->count : 1);
    for (size_t i = 0; i < users->count; i++) {
        resp_put_bulk_text(w, users->users[i].name);
    }
    if (users->count == 0) {
        resp_put_bulk_text(w, RESP_DEFAULT_USER);
    }
}

/* Hashes of passwords are not shown. */
static void run_list(struct resp_conn *c, const struct resp_request *req, struct resp_writer *w)
{
    const struct net_users *users = &c->server->users;
    char text[256];
    (void)req;
    resp_put_array(w, users->count > 0 ? users->count : 1);
    for (size_t i = 0; i < users->count; i++) {
        const struct net_user *u = &users->users[i];
        (void)snprintf(text, sizeof(text), "user %s on ~* &* %s", u->name, rules_of(u->role));
        resp_put_bulk_text(w, text);
    }
    if (users->count == 0) {
        resp_put_bulk_text(w, "user " RESP_DEFAULT_USER " on nopass ~* &* +@all");
    }
}

static void run_getuser(struct resp_conn *c, const struct resp_request *req, struct resp_writer *w)
{
    const struct net_users *users = &c->server->users;
    const struct net_user *u = net_users_find(users, req->args[2]);
    bool open = users->count == 0 && resp_bytes_are(req->args[2], RESP_DEFAULT_USER);
    if (u == NULL && !open) {
        resp_put_null(w);
        return;
    }
    resp_put_map(w, 6);
    resp_put_bulk_text(w, "flags");
    resp_put_set(w, open ? 2 : 1);
    resp_put_bulk_text(w, "on");
    if (open) {
        resp_put_bulk_text(w, "nopass");
    }
    resp_put_bulk_text(w, "passwords");
    resp_put_array(w, 0);
    resp_put_bulk_text(w, "commands");
    resp_put_bulk_text(w, rules_of(open ? NET_ROLE_ADMIN : u->role));
    resp_put_bulk_text(w, "keys");
    resp_put_bulk_text(w, "~*");
    resp_put_bulk_text(w, "channels");
    resp_put_bulk_text(w, "&*");
    resp_put_bulk_text(w, "selectors");
    resp_put_array(w, 0);
}

/* ---- categories ---- */

struct in_category {
    struct resp_writer *w; /* NULL: they are counted */
    uint32_t category;
    size_t count;
};

static void see(void *ctx, const char *name, uint32_t categories)
{
    struct in_category *in = ctx;
    if ((categories & in->category) == 0) {
        return;
    }
    in->count++;
    if (in->w != NULL) {
        resp_put_bulk_text(in->w, name);
    }
}

static void put_unknown(struct resp_writer *w, const char *format, struct ts_bytes word)
{
    char text[SHOWN_MAX + 64];
    size_t n = word.len < SHOWN_MAX ? word.len : SHOWN_MAX;
    n = strnlen((const char *)word.data, n);
    const char *at = strstr(format, "%s");
    (void)snprintf(text, sizeof(text), "%.*s%.*s%s", (int)(at - format), format, (int)n,
                   (const char *)word.data, at + 2);
    resp_put_error(w, text);
}

static void run_cat(struct resp_conn *c, const struct resp_request *req, struct resp_writer *w)
{
    unsigned category = 0;
    (void)c;
    if (req->argc == 2) {
        resp_put_array(w, RESP_CATEGORIES);
        for (unsigned i = 0; i < RESP_CATEGORIES; i++) {
            resp_put_bulk_text(w, resp_category_name(i));
        }
    } else if (req->argc > 3) {
        resp_local_words(w, "ACL", req->args[1]);
    } else if (!resp_category_find(req->args[2], &category)) {
        put_unknown(w, "ERR Unknown category '%s'", req->args[2]);
    } else {
        struct in_category in = {.category = 1U << category};
        resp_command_each(see, &in);
        resp_put_array(w, in.count);
        in.w = w;
        resp_command_each(see, &in);
    }
}

/* ---- what may be asked beforehand ---- */

static void run_dryrun(struct resp_conn *c, const struct resp_request *req, struct resp_writer *w)
{
    const struct net_users *users = &c->server->users;
    const struct net_user *u = net_users_find(users, req->args[2]);
    bool open = users->count == 0 && resp_bytes_are(req->args[2], RESP_DEFAULT_USER);
    const struct kv_command *command = kv_command_find(req->args[3]);
    struct resp_request asked = {.args = req->args + 3, .argc = req->argc - 3};
    char text[160];
    if (u == NULL && !open) {
        put_unknown(w, "ERR User '%s' not found", req->args[2]);
    } else if (command == NULL) {
        put_unknown(w, "ERR Command '%s' not found", req->args[3]);
    } else if (!kv_command_arity_ok(command, asked.argc)) {
        resp_local_arity(w, command->name);
    } else if (open || u->role >= resp_auth_needed(command, &asked)) {
        resp_put_simple(w, "OK");
    } else {
        (void)snprintf(text, sizeof(text), "This user has no permissions to run the '%s' command",
                       resp_auth_command_name(command, &asked));
        resp_put_bulk_text(w, text);
    }
}

static void run_genpass(struct resp_conn *c, const struct resp_request *req, struct resp_writer *w)
{
    static const char digits[] = "0123456789abcdef";
    int64_t bits = GENPASS_BITS;
    char text[GENPASS_BITS_MAX / 4];
    (void)c;
    if (req->argc > 3) {
        resp_local_words(w, "ACL", req->args[1]);
        return;
    }
    if (req->argc == 3 && !resp_parse_i64(req->args[2], &bits)) {
        resp_put_error(w, "ERR value is not an integer or out of range");
        return;
    }
    if (bits <= 0 || bits > GENPASS_BITS_MAX) {
        resp_put_error(w, "ERR ACL GENPASS argument must be the number of bits for the output "
                          "password, a positive number up to 4096");
        return;
    }
    size_t n = ((size_t)bits + 3) / 4;
    uint64_t random = 0;
    for (size_t i = 0; i < n; i++) {
        if (i % 16 == 0 && net_random_u64(&random) != TS_OK) {
            resp_put_error(w, "ERR the system gives no random numbers now; try again");
            return;
        }
        text[i] = digits[random >> 4 * (i % 16) & 15];
    }
    resp_put_bulk(w, text, n);
}

static void run_help(struct resp_conn *c, const struct resp_request *req, struct resp_writer *w)
{
    static const char *const lines[] = {
        "ACL <subcommand> [<arg> ...]. Subcommands are:",
        "CAT [<category>]",
        "    Return the categories, or the commands in one.",
        "DRYRUN <user> <command> [<arg> ...]",
        "    Tell whether the user may give that command.",
        "GENPASS [<bits>]",
        "    Return a password that nobody guesses.",
        "GETUSER <user>, LIST, USERS",
        "    Tell which users there are, and what their roles allow.",
        "WHOAMI",
        "    Return the user of this connection.",
        "DELUSER, LOAD, LOG, SAVE, SETUSER",
        "    Refused: the operator makes users, with `twinstep user`.",
    };
    (void)c;
    (void)req;
    resp_put_lines(w, lines, sizeof(lines) / sizeof(lines[0]));
}

static const struct resp_subcommand members[] = {
    {"acl|whoami", 2, false, run_whoami, NULL},
    {"acl|users", 2, true, run_users, NULL},
    {"acl|list", 2, true, run_list, NULL},
    {"acl|getuser", 3, true, run_getuser, NULL},
    {"acl|cat", -2, false, run_cat, NULL},
    {"acl|dryrun", -4, true, run_dryrun, NULL},
    {"acl|genpass", -2, false, run_genpass, NULL},
    {"acl|help", 2, false, run_help, NULL},
    {"acl|setuser", -3, true, NULL, "ERR " BY_OPERATOR},
    {"acl|deluser", -3, true, NULL,
     "ERR users are not removed by clients: the operator says `twinstep user remove NAME`, on the "
     "machine of a NIC"},
    {"acl|load", 2, true, NULL,
     "ERR the users are in RUN/users, which SIGHUP to nicd has the replicas read again"},
    {"acl|save", 2, true, NULL, "ERR the users are in RUN/users already: " BY_OPERATOR},
    {"acl|log", -2, true, NULL,
     "ERR no refusals are kept: INFO counts them (unauthorized_commands), and so do the metrics"},
};

const struct resp_container resp_acl_container = {KV_ACL, "ACL", members,
                                                  sizeof(members) / sizeof(members[0])};
