/* Runs the scenarios of the lab's wire: ports p1..pN, frames with a number each, one clock.
 * Commands:
 *
 *   wire ports=N                         all of them on the wire, but for nothing to meet there
 *   set p1 p2 [cut] [loss_ppm=N] …       the rule of this direction; names of lab/wire.h
 *   clear p1 p2
 *   on p1 | off p1                       joins; leaves: what waits is sent at once
 *   send p1 p2 [times=N] [every=US] [len=BYTES] [arp]   p2 may be `all`, or `nobody`, an address
 *                                        that none has
 *   run us=N                             time passes
 *   count p1 p2                          the counters that are not 0
 *   show                                 who is wanted, who is on
 *
 * The trace: a line for each frame that goes out: time, number, where to, what is wrong with it. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/ids.h"
#include "lab/wire.h"
#include "tests/script/script.h"

#define PORTS_MAX 8
#define HEADER 14
#define NUMBER_AT 8 /* in the sender's address, which no fault touches */

struct world {
    uint64_t now_us;
    uint32_t sent;
    size_t ports;
    struct lab_wire *wire;
    struct script_text *out;
};

static uint64_t now_ns(const struct world *w)
{
    return (1000000 + w->now_us) * TS_NS_PER_US;
}

static bool complain(struct world *w, const char *what)
{
    script_printf(w->out, "error: %s\n", what);
    return false;
}

/* What a frame of this number is like behind its header. */
static uint8_t body_byte(uint32_t number, size_t at)
{
    return (uint8_t)(number * 31 + at);
}

static void print_out(struct world *w, const struct lab_wire_out *out)
{
    uint32_t number;
    unsigned bits = 0;
    memcpy(&number, out->frame + NUMBER_AT, sizeof(number));
    for (size_t i = HEADER; i < out->len; i++) {
        bits += (unsigned)__builtin_popcount(out->frame[i] ^ body_byte(number, i));
    }
    script_printf(w->out, "%6" PRIu64 " #%" PRIu32 " to p%zu", w->now_us, number, out->port + 1);
    if (bits > 0) {
        script_printf(w->out, " %u bits flipped", bits);
    }
    script_printf(w->out, "\n");
}

static void take_due(struct world *w)
{
    struct lab_wire_out out;
    while (lab_wire_take(w->wire, now_ns(w), &out)) {
        print_out(w, &out);
    }
    lab_wire_check_invariants(w->wire);
}

static void pass_time(struct world *w, uint64_t us)
{
    uint64_t end = w->now_us + us;
    for (;;) {
        uint64_t due = lab_wire_due(w->wire);
        uint64_t due_us =
            due == LAB_WIRE_NEVER ? UINT64_MAX : (due + TS_NS_PER_US - 1) / TS_NS_PER_US - 1000000;
        if (due_us > end) {
            break;
        }
        w->now_us = due_us > w->now_us ? due_us : w->now_us;
        take_due(w);
    }
    w->now_us = end;
}

static bool find_port(struct world *w, const struct script_command *cmd, int at, size_t *port)
{
    const char *word = at < cmd->count ? cmd->words[at] : "";
    *port = (size_t)(word[0] == 'p' && word[1] != '\0' ? word[1] - '1' : PORTS_MAX);
    return *port < w->ports || complain(w, "no such port");
}

static bool cmd_wire(struct world *w, const struct script_command *cmd)
{
    uint8_t macs[PORTS_MAX][LAB_WIRE_MAC];
    uint64_t ports = script_arg_u64(cmd, "ports", 2);
    if (w->wire != NULL || ports < 2 || ports > PORTS_MAX) {
        return complain(w, "wire: once, ports=2..8");
    }
    w->ports = (size_t)ports;
    for (size_t i = 0; i < PORTS_MAX; i++) {
        memset(macs[i], (int)(2 + 4 * i), LAB_WIRE_MAC);
    }
    if (lab_wire_open(&w->wire, w->ports, (const uint8_t(*)[LAB_WIRE_MAC])macs) != TS_OK) {
        return complain(w, "no memory");
    }
    for (size_t i = 0; i < w->ports; i++) {
        lab_wire_attach(w->wire, i, true);
    }
    return true;
}

static bool cmd_set(struct world *w, const struct script_command *cmd)
{
    size_t from;
    size_t to;
    struct lab_wire_rule r = {.cut = script_flag(cmd, "cut")};
    if (!find_port(w, cmd, 1, &from) || !find_port(w, cmd, 2, &to) || from == to) {
        return false;
    }
#define READ(name, max) r.name = script_arg_u64(cmd, #name, 0);
    LAB_WIRE_NUMBERS(READ)
#undef READ
    bool clear = strcmp(cmd->words[0], "clear") == 0;
    return lab_wire_set(w->wire, from, to, clear ? NULL : &r, now_ns(w)) == TS_OK;
}

static bool cmd_attach(struct world *w, const struct script_command *cmd)
{
    size_t port;
    bool on = strcmp(cmd->words[0], "on") == 0;
    if (!find_port(w, cmd, 1, &port)) {
        return false;
    }
    if (!on) {
        lab_wire_hurry(w->wire, port, now_ns(w));
        take_due(w);
    }
    lab_wire_attach(w->wire, port, on);
    return true;
}

static bool cmd_send(struct world *w, const struct script_command *cmd)
{
    uint8_t frame[2 * LAB_WIRE_FRAME_MAX];
    size_t from;
    size_t to = 0;
    const char *whom = cmd->count > 2 ? cmd->words[2] : "";
    uint64_t len = script_arg_u64(cmd, "len", 100);
    bool all = strcmp(whom, "all") == 0;
    bool nobody = strcmp(whom, "nobody") == 0;
    if (!find_port(w, cmd, 1, &from) || (!all && !nobody && !find_port(w, cmd, 2, &to)) ||
        len < HEADER || len > sizeof(frame)) {
        return complain(w, "send: p1 p2|all|nobody len=14..");
    }
    for (uint64_t n = script_arg_u64(cmd, "times", 1); n > 0; n--) {
        uint32_t number = ++w->sent;
        memset(frame, all ? 0xff : nobody ? 0x52 : (int)(2 + 4 * to), LAB_WIRE_MAC);
        memset(frame + LAB_WIRE_MAC, 2, LAB_WIRE_MAC);
        memcpy(frame + NUMBER_AT, &number, sizeof(number));
        frame[12] = 0x08;
        frame[13] = script_flag(cmd, "arp") ? 0x06 : 0x00;
        for (size_t i = HEADER; i < len; i++) {
            frame[i] = body_byte(number, i);
        }
        lab_wire_put(w->wire, from, frame, (size_t)len, now_ns(w));
        take_due(w);
        pass_time(w, script_arg_u64(cmd, "every", 0));
    }
    return true;
}

static bool cmd_count(struct world *w, const struct script_command *cmd)
{
    size_t from;
    size_t to;
    if (!find_port(w, cmd, 1, &from) || !find_port(w, cmd, 2, &to)) {
        return false;
    }
    const struct lab_wire_counters *c = lab_wire_counters(w->wire, from, to);
    script_printf(w->out, "p%zu>p%zu", from + 1, to + 1);
#define PRINT(name) \
    if (c->name > 0) { \
        script_printf(w->out, " " #name "=%" PRIu64, c->name); \
    }
    LAB_WIRE_COUNTERS(PRINT)
#undef PRINT
    script_printf(w->out, "\n");
    return true;
}

static bool run(void *state, const struct script_command *cmd, struct script_text *out)
{
    struct world *w = (struct world *)state;
    const char *verb = cmd->words[0];
    w->out = out;
    if (strcmp(verb, "wire") == 0) {
        return cmd_wire(w, cmd);
    }
    if (w->wire == NULL) {
        return complain(w, "wire comes first");
    }
    if (strcmp(verb, "set") == 0 || strcmp(verb, "clear") == 0) {
        return cmd_set(w, cmd);
    }
    if (strcmp(verb, "on") == 0 || strcmp(verb, "off") == 0) {
        return cmd_attach(w, cmd);
    }
    if (strcmp(verb, "send") == 0) {
        return cmd_send(w, cmd);
    }
    if (strcmp(verb, "count") == 0) {
        return cmd_count(w, cmd);
    }
    if (strcmp(verb, "run") == 0) {
        pass_time(w, script_arg_u64(cmd, "us", 0));
        return true;
    }
    if (strcmp(verb, "show") == 0) {
        for (size_t i = 0; i < w->ports; i++) {
            script_printf(out, "p%zu%s%s\n", i + 1, lab_wire_wants(w->wire, i) ? " wanted" : "",
                          lab_wire_is_on(w->wire, i) ? " on" : "");
        }
        return true;
    }
    return complain(w, "no such command");
}

static void *open_world(void)
{
    return calloc(1, sizeof(struct world));
}

static void close_world(void *state)
{
    struct world *w = (struct world *)state;
    lab_wire_close(w->wire);
    free(w);
}

int main(int argc, char **argv)
{
    static const struct script_runner runner = {"wire", open_world, close_world, run};
    return script_main(&runner, argc, argv);
}
