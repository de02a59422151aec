/* The topologies and drills that ship with the command: lab/topologies and lab/drills, as they
 * stand there. */
#ifndef LAB_SHIPPED_H
#define LAB_SHIPPED_H

struct lab_shipped {
    const char *name; /* the file's, without ".yaml" */
    const char *text;
};

/* Each ends with one without a name. Static storage; made by lab/CMakeLists.txt. */
extern const struct lab_shipped lab_shipped_topologies[];
extern const struct lab_shipped lab_shipped_drills[];
/* The text of the one of this name, NULL: there is none. */
const char *lab_shipped_text(const struct lab_shipped *list, const char *name);

#endif
