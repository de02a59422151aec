/* The topologies that ship with the command: lab/topologies, as they stand there. */
#ifndef LAB_SHIPPED_H
#define LAB_SHIPPED_H

struct lab_shipped {
    const char *name; /* the file's, without ".yaml" */
    const char *text;
};

/* Ends with one without a name. Static storage; made by lab/CMakeLists.txt. */
extern const struct lab_shipped lab_shipped[];

#endif
