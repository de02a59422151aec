/* What is allowed but unwise in a cluster file, in words. */
#ifndef CLI_NOTES_H
#define CLI_NOTES_H

#include <jansson.h>

#include "cluster-cfg/cluster.h"

/* A new array of sentences, empty when there is nothing to say. Pure. */
json_t *cli_notes(const struct cfg_cluster *cluster);

/* Appends a sentence for each group whose clients come from elsewhere while `run` has no users
 * (net/users.h): its port is open to whoever reaches it. Reads RUN/users. */
void cli_note_open_ports(const struct cfg_cluster *cluster, const char *run, json_t *notes);

#endif
