/* The wire of one network: what becomes of each frame between two of its machines. Pure: frames
 * come in with the time, and go out when they are due; chance comes from a seed.
 *
 * Ports are numbered from 0. A rule is of one direction between two ports. A port that has a rule
 * in any direction is wanted, and *on* the wire as soon as its shell has seen to that: the wire
 * then carries all frames between it and the other ports that are on, most of them unchanged. What
 * goes to a port that is not on is somebody else's (lab/wire_net.h: the kernel's bridge).
 *
 * A frame meets, in this order: cut, flap, loss, rate, corruption, delay with jitter, reordering,
 * duplication, replay. Each is counted where it takes effect, so the counters prove the fault
 * without the help of whoever suffers it. */
#ifndef LAB_WIRE_H
#define LAB_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define LAB_WIRE_FRAME_MAX 1600  /* bytes: an MTU of 1500, headers, some room */
#define LAB_WIRE_FRAMES_MAX 8192 /* frames that wait at once, of one network */
#define LAB_WIRE_PPM 1000000U    /* "always" of a share */
#define LAB_WIRE_US_MAX 60000000U
#define LAB_WIRE_RATE_MAX 10000000000ULL
#define LAB_WIRE_QUEUE_MAX 100000000U
#define LAB_WIRE_QUEUE_DEFAULT 65536U
/* How long a frame that is to be overtaken waits when the rule does not tell. */
#define LAB_WIRE_REORDER_US 1000U

/* The numbers of a rule: name and greatest value. Shares are of a million. */
#define LAB_WIRE_NUMBERS(X) \
    X(loss_ppm, LAB_WIRE_PPM) \
    X(duplicate_ppm, LAB_WIRE_PPM) \
    X(reorder_ppm, LAB_WIRE_PPM)   /* waits reorder_us more, so later ones overtake it */ \
    X(reorder_us, LAB_WIRE_US_MAX) /* 0: LAB_WIRE_REORDER_US */ \
    X(corrupt_ppm, LAB_WIRE_PPM)   /* IP frames; bits behind the Ethernet header are flipped */ \
    X(replay_ppm, LAB_WIRE_PPM)    /* an old one is sent again after it */ \
    X(delay_us, LAB_WIRE_US_MAX) \
    X(jitter_us, LAB_WIRE_US_MAX) /* up to so much more delay; does not reorder */ \
    X(rate, LAB_WIRE_RATE_MAX)    /* bytes a second; 0: any */ \
    X(queue, LAB_WIRE_QUEUE_MAX) /* bytes that may wait for the rate; 0: LAB_WIRE_QUEUE_DEFAULT */ \
    X(flap_up_us, LAB_WIRE_US_MAX)   /* passes so long, … */ \
    X(flap_down_us, LAB_WIRE_US_MAX) /* … then nothing so long, again and again; 0: never */ \
    X(seed, UINT32_MAX)

struct lab_wire_rule {
#define FIELD(name, max) uint64_t name;
    LAB_WIRE_NUMBERS(FIELD)
#undef FIELD
    bool cut; /* nothing passes */
};

/* What happened in one direction of a pair, since the wire was made. */
#define LAB_WIRE_COUNTERS(X) \
    X(frames) /* that came in */ \
    X(bytes)  /* of these */ \
    X(passed) /* went out, copies and replays included */ \
    X(cut)    /* the next ones tell why a frame was dropped */ \
    X(flapped) \
    X(lost) \
    X(overrun)   /* the rate's queue was full */ \
    X(no_room)   /* the wire's own memory was full */ \
    X(oversize)  /* longer than LAB_WIRE_FRAME_MAX */ \
    X(corrupted) /* and the next ones what happened to those that passed */ \
    X(delayed) \
    X(waited_us) /* of these, all together */ \
    X(reordered) /* a later one went out before it */ \
    X(duplicated) \
    X(replayed)

struct lab_wire_counters {
#define FIELD(name) uint64_t name;
    LAB_WIRE_COUNTERS(FIELD)
#undef FIELD
};

/* Behind this: rules, counters, waiting frames. */
struct lab_wire;

struct lab_wire_out {
    size_t port;
    const uint8_t *frame; /* until the next call */
    size_t len;
};

#define LAB_WIRE_MAC 6
#define LAB_WIRE_NEVER UINT64_MAX

/* `macs`: whose address each port has; copied. A frame for an address that none has goes to all.
 * TS_ERR_NOMEM. Gives; lab_wire_close takes it, NULL allowed. */
enum ts_err lab_wire_open(struct lab_wire **out, size_t ports,
                          const uint8_t (*macs)[LAB_WIRE_MAC]) TS_MUST_USE;
void lab_wire_close(struct lab_wire *w);

/* Replaces the rule of one direction; NULL takes it away. Frames that wait already are not touched.
 * TS_ERR_NOMEM: nothing has changed. */
enum ts_err lab_wire_set(struct lab_wire *w, size_t from, size_t to,
                         const struct lab_wire_rule *rule, uint64_t now_ns) TS_MUST_USE;

/* Whether the port is on the wire from now on. */
void lab_wire_attach(struct lab_wire *w, size_t port, bool on);
/* Has all frames from and to the port that wait be due at once: it will leave the wire. */
void lab_wire_hurry(struct lab_wire *w, size_t port, uint64_t now_ns);

/* A frame has come in from a port. */
void lab_wire_put(struct lab_wire *w, size_t port, const uint8_t *frame, size_t len,
                  uint64_t now_ns);
/* Takes the next frame that is due; false when none is. */
bool lab_wire_take(struct lab_wire *w, uint64_t now_ns, struct lab_wire_out *out);

/* ---- queries ---- */

/* When the next frame is due; LAB_WIRE_NEVER when none waits. */
uint64_t lab_wire_due(const struct lab_wire *w);
/* Whether any rule is from or to the port. */
bool lab_wire_wants(const struct lab_wire *w, size_t port);
bool lab_wire_is_on(const struct lab_wire *w, size_t port);
/* NULL: there is none. Borrowed until the next lab_wire_set. */
const struct lab_wire_rule *lab_wire_rule(const struct lab_wire *w, size_t from, size_t to);
const struct lab_wire_counters *lab_wire_counters(const struct lab_wire *w, size_t from, size_t to);
/* For tests: asserts that the parts agree. */
void lab_wire_check_invariants(const struct lab_wire *w);

#endif
