/* What the actions of `twinstep lab` share. */
#ifndef CLI_LAB_H
#define CLI_LAB_H

#include <stdbool.h>

#include "cli/cli.h"
#include "lab/engine.h"

#define CLI_LAB_DIR "run-lab"

/* The command line; everything is borrowed from argv. */
struct cli_lab {
    const struct cli *cli;
    const char *action;
    const char *name; /* topology or machine; NULL */
    char **command;   /* of shell; NULL: a shell */
    const char *dir;
    enum lab_backend backend; /* of up */
    unsigned timeout_s;       /* of up; 0: do not wait */
    bool as_json;
    bool keep;
};

/* What --backend says. CLI_OK; or CLI_USAGE and a sentence. */
int cli_lab_backend(const struct cli *cli, const char *text, enum lab_backend *out);
/* Each gives the exit status. */
int cli_lab_up(const struct cli_lab *a);
int cli_lab_down(const struct cli_lab *a);
/* Has options of its own; argv[0] is "wire". */
int cli_lab_wire(const struct cli *cli, int argc, char **argv);
void cli_lab_wire_help(FILE *out);
/* Ends whatever runs of the lab in the directory, also what a crash left, and removes the directory
 * unless `keep`. CLI_FAILED, which was told: something cannot be ended or removed. */
int cli_lab_end(const struct cli_lab *a, bool keep);
/* Whether DIR is a lab's. */
bool cli_lab_is_there(const char *dir);

#endif
