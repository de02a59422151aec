/* Faults of data in drills: what is flipped, put in another's place, or looked at on the disks. For
 * drill_run.c and drill_faults.c. */
#ifndef LAB_DRILL_DATA_H
#define LAB_DRILL_DATA_H

#include "lab/drill_run.h"

/* Whether the fault is made by lab_drill_make_data. */
bool lab_drill_is_data(enum lab_drill_fault fault);
/* `of`: whose disk is copied, NULL = nobody's. Fills fault, remedy and `offline`. */
void lab_drill_make_data(struct lab_drilling *d, const struct lab_step *s,
                         const struct cfg_node *node, const struct cfg_node *of,
                         struct lab_drill_active *a);
/* Whether what the fault did is undone by others, without a remedy. */
bool lab_drill_mends_itself(const struct lab_drill_active *a);

/* The goals that are seen on the disks; `missing` gets what is missing. */
bool lab_drill_is_mended(const struct lab_drilling *d, char *missing, size_t cap);
bool lab_drill_has_snapshots(const struct lab_drilling *d, char *missing, size_t cap);
bool lab_drill_fetches(const struct lab_drilling *d, char *missing, size_t cap);

#endif
