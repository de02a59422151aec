/* FUNCTION and SCRIPT: there are none, and nothing else is said. Clients that clear or list them
 * before they work find what they look for. */
#include <stdio.h>
#include <string.h>

#include "services/io/resp_conn.h"

#define SHOWN_MAX 128 /* bytes of a word in an error */
#define NONE_HERE "ERR there are no scripts and functions here: use MULTI"

/* FLUSH, FLUSH ASYNC, FLUSH SYNC. */
static void run_flush(const struct resp_request *req, struct resp_writer *w, const char *wrong)
{
    bool how = req->argc == 3 &&
               (resp_word_is(req->args[2], "async") || resp_word_is(req->args[2], "sync"));
    if (req->argc == 2 || how) {
        resp_put_simple(w, "OK");
    } else {
        resp_put_error(w, wrong);
    }
}

static void run_function_list(const struct resp_request *req, struct resp_writer *w)
{
    bool named = false;
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

void resp_local_function(const struct resp_request *req, struct resp_writer *w)
{
    static const char *const help[] = {
        "FUNCTION <subcommand> [<arg> ...]. Subcommands are:",
        "FLUSH [ASYNC|SYNC]",
        "    Accepted: there are no functions.",
        "LIST [LIBRARYNAME <pattern>] [WITHCODE]",
        "    Return none.",
    };
    struct ts_bytes what = req->args[1];
    if (resp_word_is(what, "flush")) {
        run_flush(req, w, "ERR FUNCTION FLUSH only supports SYNC|ASYNC option");
    } else if (resp_word_is(what, "list")) {
        run_function_list(req, w);
    } else if (resp_word_is(what, "kill") && req->argc == 2) {
        resp_put_error(w, "NOTBUSY No scripts in execution right now.");
    } else if (resp_word_is(what, "delete") && req->argc == 3) {
        resp_put_error(w, "ERR Library not found");
    } else if (resp_word_is(what, "load") || resp_word_is(what, "restore") ||
               resp_word_is(what, "dump") || resp_word_is(what, "stats")) {
        resp_put_error(w, NONE_HERE);
    } else if (resp_word_is(what, "help") && req->argc == 2) {
        resp_put_lines(w, help, sizeof(help) / sizeof(help[0]));
    } else {
        resp_local_unknown(w, "FUNCTION", what);
    }
}

void resp_local_script(const struct resp_request *req, struct resp_writer *w)
{
    static const char *const help[] = {
        "SCRIPT <subcommand> [<arg> ...]. Subcommands are:",
        "EXISTS <sha1> [<sha1> ...]",
        "    Return 0 for each: there are no scripts.",
        "FLUSH [ASYNC|SYNC]",
        "    Accepted: there are no scripts.",
    };
    struct ts_bytes what = req->args[1];
    if (resp_word_is(what, "flush")) {
        run_flush(req, w, "ERR SCRIPT FLUSH only support SYNC|ASYNC option");
    } else if (resp_word_is(what, "exists") && req->argc >= 3) {
        resp_put_array(w, req->argc - 2);
        for (size_t i = 2; i < req->argc; i++) {
            resp_put_integer(w, 0);
        }
    } else if (resp_word_is(what, "kill") && req->argc == 2) {
        resp_put_error(w, "NOTBUSY No scripts in execution right now.");
    } else if (resp_word_is(what, "load") || resp_word_is(what, "debug")) {
        resp_put_error(w, NONE_HERE);
    } else if (resp_word_is(what, "help") && req->argc == 2) {
        resp_put_lines(w, help, sizeof(help) / sizeof(help[0]));
    } else if (resp_word_is(what, "exists")) {
        resp_local_arity(w, "script|exists");
    } else {
        resp_local_unknown(w, "SCRIPT", what);
    }
}
