/* twinstep drill, its parts:
 *
 *   drill.c       the command line; list, describe
 *   drill_run.c   drills, each in a lab of its own; what they told, in files
 *   drill_soak.c  one behind the other in one lab */
#ifndef CLI_DRILL_H
#define CLI_DRILL_H

#include <signal.h>

#include "cli/cli.h"
#include "lab/drill_run.h"
#include "lab/engine.h"
#include "lab/nodes.h"

#define CLI_DRILLS_MAX 256

struct cli_drill {
    const struct cli *cli;
    const char *dir;
    enum lab_backend backend; /* of its labs */
    const char *result;
    const char *junit;
    const char *html;
    const char *history;
    const char *seed;
    uint64_t seed_number;
    unsigned times;
    uint64_t minutes; /* of a soak */
    bool beyond;      /* … of faults that are too many at once */
    bool as_json;     /* of list */
    bool keep;
    unsigned let_go; /* rounds of a soak that the machine held up */
};

/* A drill to be run: a shipped one, or a file. */
struct cli_drill_file {
    const char *text; /* of a shipped one, else NULL */
    char file[TS_PATH_MAX];
};

/* Appends the drills that a name, file or folder means to `list`, of CLI_DRILLS_MAX places. */
int cli_drill_choose(const struct cli *cli, const char *name, struct cli_drill_file *list,
                     size_t *count);
/* CLI_USAGE: it cannot be read, or has a mistake. */
int cli_drill_load(const struct cli_drill *o, const struct cli_drill_file *f,
                   struct lab_drill *out);

int cli_drill_run(const struct cli_drill *o, char *const *names, size_t count);
/* `name`: a drill, NULL = the shipped one. */
int cli_drill_soak(struct cli_drill *o, const char *name);

/* ---- shared by these two ---- */

/* Set when a signal asks for the end. */
extern volatile sig_atomic_t cli_drill_interrupted;

void cli_drill_catch_signals(void);
void cli_drill_announce(const struct cli_drill *o, const struct lab_drill *d);
/* Its disks and clocks are such that can fail as the drill has it. A drill that gets none is among
 * the results, as invalid. */
int cli_drill_begin_lab(const struct cli_drill *o, const struct lab_drill *d, struct nodes_run *run,
                        json_t *results);
/* The lab of what did not hold leaves its logs; that of the last drill stays with --keep. Gives the
 * status. */
int cli_drill_end_lab(const struct cli_drill *o, const struct nodes_run *run, bool last,
                      int status);
/* One drill in a lab that runs; its result is appended. */
int cli_drill_run_there(const struct cli_drill *o, const struct lab_drill *d,
                        const struct nodes_run *run, json_t *results);
/* Whether the newest result tells of nothing but a machine that had too much to do: then it is let
 * go. */
bool cli_drill_let_go(const struct cli_drill *o, json_t *results);
int cli_drill_worse(int a, int b);
void cli_drill_print_summary(const struct cli_drill *o, const json_t *results);
int cli_drill_write_results(const struct cli_drill *o, const json_t *results);

#endif
