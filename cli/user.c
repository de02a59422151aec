/* twinstep user: who may use the services. */
#include <getopt.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "cli/cli.h"
#include "cli/gather.h"
#include "lab/nodes.h"
#include "net/users.h"

static void print_help(FILE *out)
{
    (void)fputs(
        "usage: twinstep user add NAME --role read|write|admin [--password-stdin] [--dir RUN]\n"
        "       twinstep user remove NAME [--open] [--dir RUN]\n"
        "       twinstep user list [--dir RUN]\n"
        "\n"
        "Who may use the groups of the cluster, by AUTH NAME PASSWORD. Without users a group's\n"
        "port is open to whoever reaches it. add makes a password and prints it, once; a name "
        "that\n"
        "is there gets the new role and password, and its connections are closed. The user\n"
        "`default` is who gives a password only. RUN/users holds them, with hashes of the\n"
        "passwords; the running nodes of RUN take it at once. Other machines need the same file:\n"
        "copy it there and send SIGHUP to their nicds.\n"
        "\n"
        "  --role ROLE       read: reads, SUBSCRIBE; write: these, writes and PUBLISH; admin: all\n"
        "  --password-stdin  take the password, one line of 20 bytes at least, from the standard\n"
        "                    input\n"
        "  --open            remove the last user, too: the port is open then\n"
        "  --dir RUN         where the nodes keep their data (default ./run)\n"
        "\n"
        "Exit status: 0 done, 1 failed, 2 wrong usage, 3 no cluster is there.\n",
        out);
}

struct user_args {
    const char *dir;
    const char *name;
    const char *role;
    bool password_stdin;
    bool open;
};

/* A cluster's users, held under its lock while they are changed. */
struct user_file {
    struct cfg_cluster cluster;
    struct nodes_run run;
    char path[TS_PATH_MAX];
    struct ts_dir_lock lock;
    struct net_users users;
};

/* Gives -1 to go on. */
static int parse(const struct cli *cli, struct user_args *a, int argc, char **argv)
{
    static const struct option OPTIONS[] = {
        {"dir", required_argument, NULL, 'd'},      {"role", required_argument, NULL, 'r'},
        {"password-stdin", no_argument, NULL, 'p'}, {"open", no_argument, NULL, 'o'},
        {"help", no_argument, NULL, 'h'},           {NULL, 0, NULL, 0},
    };
    int c;
    optind = 0; /* GNU: from the beginning, whatever was parsed before */
    while ((c = getopt_long(argc, argv, "h", OPTIONS, NULL)) != -1) {
        switch (c) {
        case 'd':
            a->dir = optarg;
            break;
        case 'r':
            a->role = optarg;
            break;
        case 'p':
            a->password_stdin = true;
            break;
        case 'o':
            a->open = true;
            break;
        case 'h':
            print_help(cli->out);
            return CLI_OK;
        default:
            return cli_usage(cli, "user");
        }
    }
    if (optind < argc) {
        a->name = argv[optind++];
    }
    return optind == argc ? -1 : cli_excess(cli, "user", argv[optind]);
}

static struct ts_bytes bytes_of(const char *text)
{
    return (struct ts_bytes){(const uint8_t *)text, strlen(text)};
}

/* Opens the users of `dir`; a missing file has none. */
static int open_file(const struct cli *cli, const char *dir, struct user_file *f)
{
    struct ts_why why = {0};
    int status = cli_open_run(cli, dir, &f->cluster);
    if (status != CLI_OK) {
        return status;
    }
    if (nodes_open(&f->run, dir, &why) != TS_OK ||
        ts_path(f->path, &why, f->run.run, "%s", NET_USERS_FILE) != TS_OK ||
        ts_dir_lock(&f->lock, f->run.run, &why) != TS_OK) {
        return cli_fail(cli, CLI_FAILED, "%s", why.text);
    }
    enum ts_err err = net_users_load(f->path, &f->users, &why);
    if (err != TS_OK && err != TS_ERR_NOT_FOUND) {
        ts_dir_unlock(&f->lock);
        return cli_fail(cli, CLI_FAILED, "%s", why.text);
    }
    return CLI_OK;
}

/* Writes them, and has the nodes that run here read them. Gives a cli_exit. */
static int save(const struct cli *cli, struct user_file *f)
{
    struct ts_why why = {0};
    if (net_users_save(f->path, &f->users, &why) != TS_OK) {
        return cli_fail(cli, CLI_FAILED, "%s", why.text);
    }
    for (size_t i = 0; i < f->cluster.node_count; i++) {
        const char *node = f->cluster.nodes[i].name;
        struct nodes_proc nicd;
        if (nodes_find(&f->run, node, "nicd", NULL, &nicd)) {
            (void)nodes_signal(&f->run, node, &nicd, SIGHUP);
        }
    }
    return CLI_OK;
}

static struct net_user *find(struct net_users *users, const char *name)
{
    for (size_t i = 0; i < users->count; i++) {
        if (strcmp(users->users[i].name, name) == 0) {
            return &users->users[i];
        }
    }
    return NULL;
}

/* ---- add ---- */

/* One line of the standard input, or one that is made. */
static int get_password(const struct cli *cli, const struct user_args *a,
                        char out[NET_PASSWORD_MAX + 2])
{
    if (!a->password_stdin) {
        return net_password_make(out) == TS_OK
                   ? CLI_OK
                   : cli_fail(cli, CLI_FAILED, "the operating system gives no random numbers");
    }
    if (fgets(out, NET_PASSWORD_MAX + 2, stdin) == NULL) {
        out[0] = '\0';
    }
    out[strcspn(out, "\r\n")] = '\0';
    return CLI_OK;
}

static int set_user(const struct cli *cli, struct user_file *f, const struct user_args *a)
{
    char password[NET_PASSWORD_MAX + 2];
    struct net_user made = {.role = NET_ROLE_NONE};
    ts_assert(a->name != NULL && a->role != NULL);      /* check_add */
    (void)net_role_find(bytes_of(a->role), &made.role); /* was looked at */
    (void)snprintf(made.name, sizeof(made.name), "%s", a->name);
    int status = get_password(cli, a, password);
    if (status != CLI_OK) {
        return status;
    }
    if (net_user_set_password(&made, bytes_of(password)) != TS_OK) {
        return cli_fail(cli, CLI_FAILED,
                        "the password must have %d to %d bytes; leave --password-stdin out to "
                        "have one made",
                        NET_PASSWORD_MIN, NET_PASSWORD_MAX);
    }
    struct net_user *old = find(&f->users, a->name);
    if (old == NULL && f->users.count == NET_USERS_MAX) {
        return cli_fail(cli, CLI_FAILED, "there are %d users already", NET_USERS_MAX);
    }
    *(old != NULL ? old : &f->users.users[f->users.count++]) = made;
    status = save(cli, f);
    if (status == CLI_OK && !a->password_stdin) {
        (void)fprintf(cli->out, "password of %s (%s), not told again: %s\n", a->name, a->role,
                      password);
    }
    return status;
}

/* ---- remove, list ---- */

static int drop(const struct cli *cli, struct user_file *f, const struct user_args *a)
{
    struct net_user *u = find(&f->users, a->name);
    if (u == NULL) {
        return cli_fail(cli, CLI_FAILED, "there is no user %s", a->name);
    }
    if (f->users.count == 1 && !a->open) {
        return cli_fail(cli, CLI_FAILED,
                        "%s is the last user, and nothing was changed: without users everybody "
                        "may everything. --open removes it all the same",
                        a->name);
    }
    *u = f->users.users[--f->users.count];
    return save(cli, f);
}

static int print_users(const struct cli *cli, struct user_file *f, const struct user_args *a)
{
    (void)a;
    if (f->users.count == 0) {
        (void)fputs("no users: the groups' ports are open to whoever reaches them\n", cli->out);
        return CLI_OK;
    }
    json_t *rows = json_array();
    cli_row(rows, 2, (const char *const[]){"user", "role"});
    for (size_t i = 0; i < f->users.count; i++) {
        const struct net_user *u = &f->users.users[i];
        cli_row(rows, 2, (const char *const[]){u->name, net_role_name(u->role)});
    }
    cli_table(cli, rows, 0);
    json_decref(rows);
    return CLI_OK;
}

static int with_file(const struct cli *cli, const struct user_args *a,
                     int (*run)(const struct cli *cli, struct user_file *f,
                                const struct user_args *a))
{
    struct user_file *f = calloc(1, sizeof(*f));
    if (f == NULL) {
        return cli_fail(cli, CLI_FAILED, "out of memory");
    }
    int status = open_file(cli, a->dir, f);
    if (status == CLI_OK) {
        status = run(cli, f, a);
        ts_dir_unlock(&f->lock);
    }
    free(f);
    return status;
}

/* Gives CLI_OK when the words of `add` are right. */
static int check_add(const struct cli *cli, const struct user_args *a)
{
    enum net_role role;
    if (a->name == NULL || a->role == NULL) {
        return cli_fail(cli, CLI_USAGE, "user add needs NAME and --role");
    }
    if (!net_user_name_is_valid(bytes_of(a->name))) {
        return cli_fail(cli, CLI_USAGE, "the name is \"%.40s\"; " NET_USER_NAME_RULE, a->name);
    }
    if (!net_role_find(bytes_of(a->role), &role)) {
        return cli_fail(cli, CLI_USAGE, "--role %.40s: give read, write or admin", a->role);
    }
    return CLI_OK;
}

int cli_user(const struct cli *cli, int argc, char **argv)
{
    struct user_args a = {.dir = CLI_DEFAULT_DIR};
    if (argc < 2) {
        return cli_fail(cli, CLI_USAGE, "user needs a word more: add, remove or list");
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        print_help(cli->out);
        return CLI_OK;
    }
    char *word = argv[1];
    argv[1] = argv[0]; /* getopt begins its messages with it */
    int status = parse(cli, &a, argc - 1, argv + 1);
    argv[1] = word;
    if (status >= 0) {
        return status;
    }
    if (strcmp(argv[1], "add") == 0) {
        status = check_add(cli, &a);
        return status == CLI_OK ? with_file(cli, &a, set_user) : status;
    }
    if (strcmp(argv[1], "list") == 0) {
        return a.name == NULL ? with_file(cli, &a, print_users) : cli_excess(cli, "user", a.name);
    }
    if (strcmp(argv[1], "remove") == 0) {
        return a.name != NULL ? with_file(cli, &a, drop)
                              : cli_fail(cli, CLI_USAGE, "user remove needs NAME");
    }
    return cli_fail(cli, CLI_USAGE, "there is no \"user %s\"; known are: add, remove, list",
                    argv[1]);
}
