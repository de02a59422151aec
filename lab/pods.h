/* The machines of a lab as namespaces of this one: each has network, mounts, processes, host name
 * and shared memory of its own, and the same files otherwise, under the same paths. Its /run and
 * /dev/shm are empty at first. Or as containers of an engine (lab/engine.h), with the files of an
 * image and the lab's directory.
 *
 *   labd ── holds the switch: one bridge a network, in namespaces of its own
 *    ├─ nic1: process 1 of its namespaces; has path1, path2, … and no way but these
 *    └─ …
 *
 * All of it ends with labd, however that ends: the kernel takes the namespaces with their last
 * process. Without root labd makes a user namespace first, in which it may do the same. */
#ifndef LAB_PODS_H
#define LAB_PODS_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/io/files.h"
#include "lab/engine.h"
#include "lab/nodes.h"
#include "lab/topology.h"

#define LAB_FILE "lab.yaml" /* in the lab's directory: what it was built from */
#define LAB_STATE "lab.json"
#define LAB_LOCK "lab.lock"
#define LAB_LOG "lab.log"
#define LAB_PORT_MAX 16

/* ---- labd ---- */

struct lab_pods {
    const struct lab_topology *topology; /* borrowed */
    bool root;                           /* of the machine, not of a user namespace only */
    struct lab_engine engine;            /* netns: none */
    pid_t pid[LAB_MACHINES_MAX];         /* 0: it has ended */
    int link[LAB_MACHINES_MAX];          /* to process 1 of a container, else -1 */
};

/* Builds switch and machines, as DIR/lab.engine says; `hold` is the descriptor of lab_hold(). One
 * thread, which gets namespaces of its own for good. TS_ERR_REFUSED: the kernel allows no
 * namespaces, or the engine does not make what it should; `why` tells what would help. */
enum ts_err lab_pods_begin(struct lab_pods *p, const struct lab_topology *t, const char *dir,
                           int hold, struct ts_why *why) TS_MUST_USE;
/* Takes what has ended. Gives whether a machine has. */
bool lab_pods_reap(struct lab_pods *p);
/* Ends all machines with whatever runs in them. */
void lab_pods_end(struct lab_pods *p);
/* Whether the frames of a machine leave it as they would leave a NIC: one packet each, with its
 * checksum. Otherwise the kernel spares itself both between namespaces, and frames cannot be
 * damaged so that it shows. TS_ERR_NOT_FOUND: the machine has ended. */
enum ts_err lab_pods_whole_frames(const struct lab_pods *p, size_t machine, size_t network,
                                  bool whole, struct ts_why *why) TS_MUST_USE;
/* Replaces DIR/lab.json. */
enum ts_err lab_pods_tell(const struct lab_pods *p, const char *dir,
                          struct ts_why *why) TS_MUST_USE;

/* The switch's port of a machine, and the hardware address of the interface at the other end. */
void lab_pods_port(size_t network, size_t machine, char out[LAB_PORT_MAX]);
void lab_pods_mac(size_t network, size_t machine, uint8_t out[6]);

/* ---- others ---- */

/* The labd of a directory; 0 when none runs, -1 when it is of other process namespaces than these,
 * so that its number is not to be known. */
pid_t lab_keeper(const char *dir);
/* Takes the lock by which lab_keeper knows it, for the life of this process. TS_ERR_BUSY. */
enum ts_err lab_keeper_lock(const char *dir, struct ts_why *why) TS_MUST_USE;
/* Another lock on the same file: of whoever makes or ends the lab, and of labd and each of its
 * machines, which inherit it. So who gets it is alone, and knows that no machine is left. Makes the
 * file, not the directory. Waits up to `wait_ms`. Gives the descriptor (close-on-exec); the lock
 * ends with its last copy. TS_ERR_BUSY; TS_ERR_NOT_FOUND: there is no directory. */
enum ts_err lab_hold(const char *dir, unsigned wait_ms, int *fd, struct ts_why *why) TS_MUST_USE;
/* Whether the lab of `dir` has the machine, and whether with root's rights. */
bool lab_pods_has(const char *dir, const char *name, bool *root);
struct lab_run {
    const char *dir;
    const char *name; /* of the machine */
    const char *cwd;  /* NULL: as here */
    bool quiet;       /* what it writes to standard output is dropped */
};

/* Runs `argv` in the machine, with this process's standard streams, and waits for it; gives the
 * exit status as a shell does (128 + the signal's number) in `*status`. TS_ERR_NOT_FOUND: no such
 * lab or machine runs. TS_ERR_SYSTEM. */
enum ts_err lab_pods_run(const struct lab_run *r, char *const argv[], int *status,
                         struct ts_why *why) TS_MUST_USE;
/* `twinstep up` within the machine of one node, without waiting until it is in sync. */
enum ts_err lab_pods_start_node(const struct nodes_run *run, const char *name,
                                struct ts_why *why) TS_MUST_USE;
/* This process has the network of the machine from now on, and all else as before. It must have one
 * thread. TS_ERR_NOT_FOUND, TS_ERR_SYSTEM. */
enum ts_err lab_pods_enter_network(const char *dir, const char *name,
                                   struct ts_why *why) TS_MUST_USE;

#endif
