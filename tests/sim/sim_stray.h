/* Messages that nobody sent like this, or not now, or not to whom they come (sim_stray.c). */
#ifndef TESTS_SIM_SIM_STRAY_H
#define TESTS_SIM_SIM_STRAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "cluster-cfg/register_msg.h"

/* Of each type so many are kept: the newest, and each of the others twice as old as the next. */
#define SIM_STRAY_KEPT 12
#define SIM_STRAY_FRAME_TYPES 10
#define SIM_STRAY_REG_TYPES 11
#define SIM_STRAY_FRAME_BYTES_MAX 4096
#define SIM_STRAY 1 /* an event's `b`: a message that need not decode */

struct sim_stray_frame {
    uint8_t *bytes; /* a reference */
    size_t len;
    uint8_t type;
    uint8_t from;
    uint8_t to;
};

struct sim_stray_reg {
    uint64_t handle; /* a request's: of who asks */
    size_t len;      /* 0: none */
    uint8_t type;
    uint8_t from;
    uint8_t to;
    uint8_t proc; /* a reply's: of who asked */
    uint8_t bytes[REG_MSG_PAYLOAD_MAX];
};

struct sim_stray {
    uint64_t frames[SIM_STRAY_FRAME_TYPES]; /* seen, by type */
    uint64_t regs[SIM_STRAY_REG_TYPES];
    struct sim_stray_frame frame[SIM_STRAY_FRAME_TYPES][SIM_STRAY_KEPT];
    struct sim_stray_reg reg[SIM_STRAY_REG_TYPES][SIM_STRAY_KEPT];
};

struct repl;
struct sim;
struct sim_event;
struct sim_fault;

void sim_stray_reset(struct sim *s);
/* What goes over a link, or to and from a voter: now and then one is kept. */
void sim_stray_keep_frame(struct sim *s, int from, int to, uint8_t type, struct ts_bytes frame);
void sim_stray_keep_register(struct sim *s, int from, const struct sim_event *ev,
                             struct ts_bytes payload);

/* Faults. `node` hears what no decoder takes, or what is not for it or long over, as if `other`
 * had said so. */
void sim_stray_garbage_frames(struct sim *s, int node, int other);
void sim_stray_garbage_registers(struct sim *s, int node);
void sim_stray_old_frames(struct sim *s, int node, int other);
void sim_stray_old_registers(struct sim *s, int node);

/* The core of a replica that runs and has a session with this peer; NULL when there is none. */
const struct repl *sim_stray_listener(const struct sim *s, int node, int other);
/* It hears this from that peer, now. Alarms that it raises are right, and no failure. */
void sim_stray_hear(struct sim *s, int node, int other, uint8_t type, struct ts_bytes frame);

/* Damages bytes as a bug, a memory or another version does; gives the new length, at most `cap`. */
size_t sim_stray_damage(struct sim *s, uint8_t *bytes, size_t len, size_t cap);

/* False claims (sim_lies.c). False: there is nobody to hear it. What it did is undone by a new
 * start of the replica at its end. */
bool sim_lies_begin(struct sim *s, const struct sim_fault *f);
void sim_lies_end(struct sim *s, const struct sim_fault *f);
/* Links, reports and disks speak of a node that is no replica, or of a session that is over. */
void sim_lies_of_nobody(struct sim *s, const struct sim_fault *f);

#endif
