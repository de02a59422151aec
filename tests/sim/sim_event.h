/* What happens at a virtual time, and to whom. */
#ifndef TESTS_SIM_SIM_EVENT_H
#define TESTS_SIM_SIM_EVENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum sim_event_kind {
    /* for a process */
    SIM_EV_SIGNAL,     /* SIGTERM */
    SIM_EV_STARTED,    /* its main begins */
    SIM_EV_DATAGRAM,   /* heartbeatd: from the network */
    SIM_EV_PROCS,      /* heartbeatd: nicd's report */
    SIM_EV_HEART_TICK, /* heartbeatd */
    SIM_EV_PEERS,      /* replica: heartbeatd's report */
    SIM_EV_WATCH,      /* replica, cluster-cfgd: looks at its links */
    SIM_EV_TICK,       /* replica, cluster-cfgd: a core's deadline */
    SIM_EV_STREAM,     /* replica: a link has bytes */
    SIM_EV_LINK_ENDED, /* replica: a connection ended */
    SIM_EV_DIAL,       /* replica: tries a path */
    SIM_EV_DISK,       /* replica: a turn of the journal's writing thread is over */
    SIM_EV_SPARE,      /* replica: … of the thread that prepares segments */
    SIM_EV_IDLE_NOTE,  /* replica: the journal had nothing to do for a while */
    SIM_EV_WORK,       /* replica, cluster-cfgd: a worker thread is done */
    SIM_EV_FETCHED,    /* replica: the journal's read is done */
    SIM_EV_EVIDENCE,   /* replica: a detector that answers at random */
    SIM_EV_LIE,
    SIM_EV_WISH,        /* replica: a peer's message that it never sent */
    SIM_EV_ARRIVED,     /* replica: a client's command, sent while it was stopped */
    SIM_EV_LATE_WORD,   /* replica: the register's answer to what was given up */
    SIM_EV_TO_VOTER,    /* cluster-cfgd: a register message */
    SIM_EV_FROM_VOTER,  /* replica, cluster-cfgd: a register message */
    SIM_EV_PROC_ENDING, /* nicd */
    SIM_EV_PROC_EXITED, /* nicd */
    SIM_EV_NICD_TICK,   /* nicd */
    SIM_EV_SERVES,      /* nicd: what its replica says of itself */
    /* for the world */
    SIM_EV_POWER_ON,
    SIM_EV_CLIENT,
    SIM_EV_CONSUMER, /* an output arrives where it has side effects */
    SIM_EV_FAULT,
    SIM_EV_FAULT_END,
    SIM_EV_FAULT_POINT, /* what a fault waited for has come */
    SIM_EV_HEAL,
    SIM_EV_OPERATOR, /* looks after the disk of a NIC; a SIM_CFGD: of its voter */
    SIM_EV_KINDS
};

enum sim_proc { SIM_WORLD, SIM_NICD, SIM_HEARTBEATD, SIM_CFGD, SIM_REPLICA, SIM_PROCS };
/* A replica elsewhere, which nicd of the node does not know of: a copy of its disk. */
#define SIM_CLONE SIM_PROCS

struct sim_event {
    uint64_t at; /* ns */
    enum sim_event_kind kind;
    uint8_t node;
    uint8_t proc; /* enum sim_proc */
    uint8_t peer;
    uint8_t path;
    uint8_t type;
    bool queued;   /* counted in its process's backlog */
    uint64_t life; /* of the process it is for; 0 = whichever runs */
    uint64_t a;
    uint64_t b;
    uint8_t *bytes; /* a buffer of sim_bytes_new; goes with the event */
    size_t len;
};

#endif
