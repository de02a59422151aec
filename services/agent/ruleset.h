/* The nft rules of a transport node, as texts: what each chain shall have. Pure; io/ compares it
 * with what the kernel has and commits the difference as one batch.
 *
 * A chain's text has a line a rule: ID, a tab, nft's words; ID is the firewall rule's, 0 if it is
 * none. In the words @C@ stands for the counter (whose figures outlive a change) and @G@ for the
 * generation's number, @D@ for that with the bit of DETECT. What the kernel has of a rule is its
 * comment, "ID.HASH" with the hash of the line: so equal chains are told without reading nft's own
 * words back.
 *
 * How a packet goes. Bridge family, before anything else: the mark says from which of this node's
 * ports it comes (bits 0-14; other ports of a bridge: 0), a guarded port's lies are dropped; and
 * before it is forwarded, to which (bits 15-29). Then br_netfilter gives it to the inet family:
 * base chain fw_out has the rules of the port it comes from, fw_in those of the port it goes to: so
 * one between two ports of this node passes both. Each is a list of jumps to blocks of some 32
 * rules. What a stateful rule allows gets a bit (30 out, 31 in), and both bits go to the
 * connection's mark with the generation's number: packets of the first direction pass by that as
 * long as no rule changes, and are judged anew after one does; answers pass by the other port's
 * bit. A connection is one of its segment (conntrack zone), tracked once: netfilter looks a packet
 * up once only, so there can be no zone a port.
 *
 * What a rule of DETECT decides has a bit in its connection's mark: all packets of such a
 * connection, in both directions, are copied behind the rules, until another generation judges it
 * anew.
 *
 * What crosses a router's uplink passes three base chains more, with the addresses of the inside: a
 * translation of the destination is done before them, one of the source behind them. gw_in has the
 * rules of the router by whose uplink a packet comes in, gw_out of the one by whose it leaves; bits
 * and generation are as above, in the connection's mark in the router's zone.
 *
 * Block: the boundaries are orders whose hash has five zero bits. So they follow from the rules
 * alone, and a rule that comes, changes or goes rewrites one block, seldom two. */
#ifndef SERVICES_AGENT_RULESET_H
#define SERVICES_AGENT_RULESET_H

#include "services/agent/object.h"
#include "services/agent/text.h"

/* Rules in the kernel that one rule may become: sets, services and families multiply. */
#define AGENT_LINES_MAX 512
#define AGENT_MARK_FROM 0x00007fffU
#define AGENT_MARK_TO 0x3fff8000U
#define AGENT_MARK_TO_SHIFT 15
#define AGENT_MARK_OUT 0x40000000U
#define AGENT_MARK_IN 0x80000000U
/* In the connection's mark only: its packets are copied to the consumer of DETECT. */
#define AGENT_MARK_DETECT 0x20000000U
#define AGENT_GENERATION_MAX 0x1fffffffU
/* Keys of what is wanted begin with one of these: chains of the families, a set of ports, an
 * address set (whose members are not here). */
#define AGENT_KEY_BRIDGE "b/"
#define AGENT_KEY_INET "n/"
#define AGENT_KEY_PORT_SET "p/"
#define AGENT_KEY_SET "s/"
/* Blocks of rules: AGENT_KEY_INET, one of these, the order of the first rule or AGENT_FIRST. */
#define AGENT_BLOCK_OUT "o_"
#define AGENT_BLOCK_IN "i_"
#define AGENT_FIRST "00000000000000000000"
/* Rules of gateways: AGENT_KEY_INET, one of these, the router's number. */
#define AGENT_GATEWAY_OUT "go_"
#define AGENT_GATEWAY_IN "gi_"

/* Whether a block begins with the rule of this order. */
bool agent_is_boundary(const char *order);
/* The nft rules of one firewall rule for one direction, appended. TS_ERR_LIMIT: too many.
 * TS_ERR_VERSION: what this driver cannot do. `t` is as before then. */
enum ts_err agent_rule_lines(const struct agent_rule *rule, bool out, struct agent_text *t,
                             struct agent_error *error) TS_MUST_USE;
/* The rules of the table whose orders are in [first, end) (end NULL: all that follow). Puts both
 * chains of the block to `wanted`, none that is empty. Tells what is not realized; names of the
 * sets that rules look at become keys of `sets`. */
void agent_ruleset_block(const struct netctl_tree *table, const char *first, const char *end,
                         struct netctl_tree *wanted, struct netctl_tree *sets, agent_told *told,
                         void *arg);
/* All else: base chains, the ports' chains, sets of ports, translations. `known` has a key for each
 * block there is, as in `wanted`. */
void agent_ruleset_heads(const struct netctl_tree *table, const struct netctl_tree *known,
                         const struct agent_place *place, struct netctl_tree *wanted,
                         agent_told *told, void *arg);
/* The rules of the routers' gateways, for what crosses their uplinks: both chains of each router,
 * none that is empty. The first that decides does; what it is told of as agent_ruleset_block. */
void agent_ruleset_gateways(const struct netctl_tree *table, const struct agent_place *place,
                            struct netctl_tree *wanted, struct netctl_tree *sets, agent_told *told,
                            void *arg);
/* Lines of the translations of all routers. */
void agent_ruleset_nat(const struct netctl_tree *table, const struct agent_place *place,
                       struct netctl_tree *wanted, agent_told *told, void *arg);
/* The name of the interface by which the router's packets leave the network; "": not here. `item`
 * is scribbled over. */
void agent_ruleset_uplink(const struct netctl_tree *table, const struct agent_place *place,
                          uint32_t router, struct agent_item *item, char out[AGENT_NAME_MAX]);
/* Puts the sets that one side of a rule looks at. */
void agent_ruleset_want_sets(struct netctl_tree *sets, const struct agent_sets *side);
/* nft's words of a service, "" for none. */
void agent_service_words(const struct agent_service *s, struct agent_text *t);

/* A base chain's own words ("type filter hook …"); NULL: it is none. */
const char *agent_chain_base(const char *key);
/* The hash of a line, and of a chain's text: that of its lines' hashes. */
uint64_t agent_line_hash(const char *line, size_t len);
uint64_t agent_chain_hash(const char *text, size_t len);

/* The largest prefixes of one family in the set: none covers another. Sorted; the caller frees it.
 */
struct agent_address *agent_set_cover(const struct netctl_tree *table, const char *set, int family,
                                      size_t *count);

#endif
