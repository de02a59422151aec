/* FUNCTION and SCRIPT: there are none, and nothing else is said. Clients that clear or list them
 * before they work find what they look for. */
#include <stdio.h>
#include <string.h>

#include "services/io/resp_conn.h"

#define SHOWN_MAX 128 /* bytes of a word in an error */
#define NOT_BUSY "NOTBUSY No scripts in execution right now."
#define NONE_HERE "ERR there are no scripts and functions here: use MULTI"

/* FLUSH, FLUSH ASYNC, FLUSH SYNC. `title`: more words are another error there. */
static void run_flush(const struct resp_request *req, struct resp_writer *w, const char *title,
                      const char *wrong)
{
    bool how = req->argc == 3 &&
               (resp_word_is(req->args[2], "async") || resp_word_is(req->args[2], "sync"));
    if (req->argc == 2 || how) {
        resp_put_simple(w, "OK");
    } else if (req->argc > 3 && title != NULL) {
        resp_local_words(w, title, req->args[1]);
    } else {
        resp_put_error(w, wrong);
    }
}

static void run_function_flush(struct resp_conn *c, const struct resp_request *req,
                               struct resp_writer *w)
{
    (void)c;
    run_flush(req, w, "FUNCTION", "ERR FUNCTION FLUSH only supports SYNC|ASYNC option");
}

static void run_script_flush(struct resp_conn *c, const struct resp_request *req,
                             struct resp_writer *w)
{
    (void)c;
    run_flush(req, w, NULL, "ERR SCRIPT FLUSH only support SYNC|ASYNC option");
}

static void run_function_list(struct resp_conn *c, const struct resp_request *req,
                              struct resp_writer *w)
{
    bool named = false;
    (void)c;
    for (size_t i = 2; i < req->argc; i++) {
        if (!named && resp_word_is(req->args[i], "libraryname") && i + 1 < req->argc) {
            named = true;
            i++;
        } else if (!resp_word_is(req->args[i], "withcode")) {
            char text[SHOWN_MAX + 32];
            size_t n = req->args[i].len < SHOWN_MAX ? req->args[i].len : SHOWN_MAX;
            (void)snprintf(text, sizeof(text), "ERR Unknown argument %.*s",
                           (int)strnlen((const char *)req->args[i].data, n),
                           (const char *)req->args[i].data);
            resp_put_error(w, text);
            return;
        }
    }
    resp_put_array(w, 0);
}

static void run_function_help(struct resp_conn *c, const struct resp_request *req,
                              struct resp_writer *w)
{
    static const char *const lines[] = {
        "FUNCTION <subcommand> [<arg> ...]. Subcommands are:",
        "FLUSH [ASYNC|SYNC]",
        "    Accepted: there are no functions.",
        "LIST [LIBRARYNAME <pattern>] [WITHCODE]",
        "    Return none.",
    };
    (void)c;
    (void)req;
    resp_put_lines(w, lines, sizeof(lines) / sizeof(lines[0]));
}

static void run_exists(struct resp_conn *c, const struct resp_request *req, struct resp_writer *w)
{
    (void)c;
    resp_put_array(w, req->argc - 2);
    for (size_t i = 2; i < req->argc; i++) {
        resp_put_integer(w, 0);
    }
}

static void run_script_help(struct resp_conn *c, const struct resp_request *req,
                            struct resp_writer *w)
{
    static const char *const lines[] = {
        "SCRIPT <subcommand> [<arg> ...]. Subcommands are:",
        "EXISTS <sha1> [<sha1> ...]",
        "    Return 0 for each: there are no scripts.",
        "FLUSH [ASYNC|SYNC]",
        "    Accepted: there are no scripts.",
    };
    (void)c;
    (void)req;
    resp_put_lines(w, lines, sizeof(lines) / sizeof(lines[0]));
}

static const struct resp_subcommand functions[] = {
    {"function|flush", -2, false, run_function_flush, NULL},
    {"function|list", -2, false, run_function_list, NULL},
    {"function|kill", 2, false, NULL, NOT_BUSY},
    {"function|delete", 3, false, NULL, "ERR Library not found"},
    {"function|load", -3, false, NULL, NONE_HERE},
    {"function|restore", -3, false, NULL, NONE_HERE},
    {"function|dump", 2, false, NULL, NONE_HERE},
    {"function|stats", 2, false, NULL, NONE_HERE},
    {"function|help", 2, false, run_function_help, NULL},
};

static const struct resp_subcommand scripts[] = {
    {"script|flush", -2, false, run_script_flush, NULL},
    {"script|exists", -3, false, run_exists, NULL},
    {"script|kill", 2, false, NULL, NOT_BUSY},
    {"script|load", 3, false, NULL, NONE_HERE},
    {"script|debug", 3, false, NULL, NONE_HERE},
    {"script|help", 2, false, run_script_help, NULL},
};

const struct resp_container resp_function_container = {KV_FUNCTION, "FUNCTION", functions,
                                                       sizeof(functions) / sizeof(functions[0])};

const struct resp_container resp_script_container = {KV_SCRIPT, "SCRIPT", scripts,
                                                     sizeof(scripts) / sizeof(scripts[0])};
