/* Reading drills: what the files of it share. */
#ifndef LAB_DRILL_YAML_H
#define LAB_DRILL_YAML_H

#include "base/prng.h"
#include "cluster-cfg/io/yaml_doc.h"
#include "lab/drill.h"

struct reading {
    struct yaml_doc y;
    struct lab_drill *d;
    struct ts_prng prng;
    const yaml_node_t *rots; /* a step in which a node that runs has its bits flipped */
};

/* What only the faults of LAB_DRILL_HOST_LIST have: `by`, `share`, `period`. */
void lab_drill_read_host(struct yaml_doc *y, const yaml_node_t *map, struct lab_step *s);
/* Checks the workload's keys, and reads `user` and what only `kind: leases`
 * has. Gives whether it is that. */
bool lab_drill_read_leases(struct yaml_doc *y, const yaml_node_t *map, struct lab_drill *d);

#endif
