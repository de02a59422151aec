/* What is allowed but unwise in a cluster file, in words. */
#ifndef CLI_NOTES_H
#define CLI_NOTES_H

#include <jansson.h>

#include "cluster-cfg/cluster.h"

/* A new array of sentences, empty when there is nothing to say. Pure. */
json_t *cli_notes(const struct cfg_cluster *cluster);

#endif
