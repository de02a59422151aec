/* Finding the processes of a node in /proc: see lab/nodes.h, whose second half is here. */
#ifndef LAB_NODES_PROCS_H
#define LAB_NODES_PROCS_H

#include "lab/nodes.h"

#define NODES_CMDLINE_MAX 4096

/* Reads what a command line (`len` bytes, arguments ended by NUL) says: gives whether it is one of
 * the node's programs with `--data dir`, and fills program and group. */
bool nodes_procs_match(const char *cmdline, size_t len, const char *dir, struct nodes_proc *out);

/* The same for any node of RUN, `run`: gives whether it is one of the programs with the directory
 * of a node in it as `--data`, and that node's name. */
bool nodes_procs_match_run(const char *cmdline, size_t len, const char *run,
                           char node[CFG_NAME_MAX]);

#endif
