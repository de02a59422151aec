/* Messages that nobody sent like this, or not now, or not to whom they come (sim_stray.c). */
#ifndef TESTS_SIM_SIM_STRAY_H
#define TESTS_SIM_SIM_STRAY_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "cluster-cfg/register_msg.h"

/* Of each type so many are kept: the newest, and each of the others twice as old as the next. */
#define SIM_STRAY_KEPT 12
#define SIM_STRAY_FRAME_TYPES 7
#define SIM_STRAY_REG_TYPES 8
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

struct sim;
struct sim_event;

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

/* Damages bytes as a bug, a memory or another version does; gives the new length, at most `cap`. */
size_t sim_stray_damage(struct sim *s, uint8_t *bytes, size_t len, size_t cap);

#endif
