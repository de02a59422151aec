/* What the libraries in front of a node's processes are told to do wrong, and tell of it: one file
 * a node, mapped by each of its processes and by whoever does the harm (lab/fault_clock.c,
 * lab/fault_memory.c). All zero: nothing is wrong. */
#ifndef LAB_HOST_RECORD_H
#define LAB_HOST_RECORD_H

#include <stdatomic.h>
#include <stdint.h>

#define HOST_RECORD_DIR "LABHOST_DIR"   /* variable: the run directory */
#define HOST_RECORD_NODE "TWINSTEP_LAB" /* variable: the machine's name, as the lab sets it */
#define HOST_RECORD_FILE "host."        /* with the machine's name behind it */
#define HOST_PPM 1000000

struct host_record {
    /* orders */
    atomic_int_least64_t offset_ns; /* the wall clock is ahead of the true one by this … */
    atomic_int_least64_t drift_ppm; /* … and by this share of the time since … */
    atomic_int_least64_t since_ns;  /* … this moment of the true clock */
    /* what was done; statistics, each by itself */
    atomic_uint_least64_t reads;        /* wall clocks read that were given a wrong time */
    atomic_int_least64_t last_true_ns;  /* the true time at the newest one … */
    atomic_int_least64_t last_given_ns; /* … and what was given */
    atomic_uint_least64_t refused;      /* allocations that got no memory */
};

/* Maps the record `file`, which is made when it is missing. NULL with errno. */
struct host_record *lab_record_map(const char *file);
/* Of this process's machine, by its environment; NULL: it is none of a lab, or has none. */
struct host_record *lab_record_own(void);
/* What a clock of the record shows when the true one shows `true_ns`. */
int64_t lab_record_time(const struct host_record *r, int64_t true_ns);

#endif
