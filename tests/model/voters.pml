/* The config register while one of its voters is replaced, every order of events within a small
 * bound.
 *
 * Voters 0 and 1 (on the NICs) and 2 (the arbiter) hold the register; 3 takes the place of 2. The
 * cluster register says which generation of voters is in force (R1.6); it is one atomic value here,
 * since it is a register of the same kind and its change needs no more than a compare-and-swap:
 *
 *     generation 1                 generation 2                 generation 3
 *     {0, 1, 2}  --- joining --->  {0, 1, 2, 3}  -- leaving ->  {0, 1, 3}    2 works, and leaves
 *     {0, 1, 2}  --- leaving --->  {0, 1}        -- joining ->  {0, 1, 3}    DEAD: 2 lost its disk
 *
 * A coordinator takes the second step only after it recorded `rewritten`: an identity swap of the
 * register decided under generation 2. It may crash at any point; the next one goes on by the
 * record.
 *
 * Proposers: A, the primary, changes the config, twice if it wins. B takes over with a swap on the
 * first epoch. C is the coordinator. A round has any ballot above the proposer's last that was not
 * used, under any generation that it may know of. A proposer may abandon a round and begin another
 * at any time: its accepts stay under way. That is also its crash; a crashed A or B only never goes
 * on.
 *
 * Messages are facts that stay. An accept is there from its ballot's second phase on, and every
 * voter takes it never, at once or late. A promise that does not help to make a majority only
 * raises its voter, which takes choices from the others and gives none; so a promise that was late
 * or lost, a round that ended before its majority of promises, and promises beyond it are left
 * out. A voter's write and its reply are one step: a crash before the write is the message's loss,
 * a crash after it the reply's.
 *
 * Values: 0 is the first config, 1 and 2 are those of A in turn, 3 is that of B.
 *
 * A macro named after a rule removes that rule: run_model lists them. */

#ifndef BALLOTS
#define BALLOTS 5
#endif

#ifndef SWAPS
#define SWAPS 1 /* of A: 1 or 2 */
#endif

#define VOTERS 4
#define VALUES 4
#define NONE 255
#define BIT(n) (1 << (n))
#define A 0
#define B 1
#define C 2

#ifdef DEAD
#define SET(g) (g == 1 -> 7 : (g == 2 -> 3 : 11))
#define JOINS 3 /* the first generation of voter 3 */
#else
#define SET(g) (g == 1 -> 7 : (g == 2 -> 15 : 11))
#define JOINS 2
#endif
/* 1 and 3 were derived from 0, 2 from 1. */
#define PARENT(v) (v == 2 -> 1 : 0)
#define EPOCH(v) (v == 0 -> 0 : EPOCH_AFTER(v))
#define EPOCH_AFTER(v) (PARENT(v) == 0 -> 1 : 2)
#define DESCENDS(v, from) (v == from || PARENT(v) == from || PARENT(PARENT(v)) == from)
#define COUNT(m) (((m) & 1) + (((m) >> 1) & 1) + (((m) >> 2) & 1) + (((m) >> 3) & 1))
#define MAJORITY(m, g) (2 * COUNT((m) & SET(g)) > COUNT(SET(g)))

/* The cluster register. */
byte generation = 1;
bool rewritten; /* under generation 2 */

/* Durable at each voter. */
byte promised[VOTERS];
byte accepted[VOTERS]; /* a ballot: the value is what that one asked for */
byte generation_of[VOTERS];
bool blank[VOTERS];
bool lost; /* voter 2 lost its disk */

/* By ballot: what was sent, and who stored it. Ballot 0 is what formation stored. */
bool used[BALLOTS + 1];
byte asked[BALLOTS + 1];      /* the value of its accepts, NONE before them */
byte asked_under[BALLOTS + 1];
byte stored[BALLOTS + 1];     /* voters, a set; forgotten once it is chosen */
bool chosen[BALLOTS + 1];

/* By proposer. */
byte phase[3];   /* 0 idle, 1 preparing, 2 accepting */
byte ballot[3];
byte under[3];   /* generation of the round, and the newest it knows of */
byte granted[3]; /* promises, a set of voters */
byte seen_at[3]; /* the highest ballot of an accepted value that they showed */
byte mine[3];    /* its proposal; NONE when it has none left */

/* What is checked; pan names the one that fails. */
bool chosen_values_are_a_chain = true;
bool what_is_defeated_is_never_chosen = true;
#define CHECK(name, condition) name = (condition); assert(name)
/* For the checks only. */
bool defeated[VALUES];

/* A voter refuses what is below its promise, or of an older generation than it knows. */
#ifdef PROMISE_NOT_STORED
#define BIDS_ENOUGH(v, b) (accepted[v] <= b)
#else
#define BIDS_ENOUGH(v, b) (promised[v] <= b)
#endif
#ifdef GENERATION_NOT_STORED
#define NEW_ENOUGH(v, b) true
#else
#define NEW_ENOUGH(v, b) (generation_of[v] <= asked_under[b])
#endif
/* R1.6 "raised before answering" is for prepares, too. Otherwise: C rewrites at 1, 2 and 3; A wins
 * with ballot 2 at 1 and 3 under generation 3; voter 0 takes a late accept of ballot 3, prepared
 * under generation 1 at 0 and 2, which A's round did not meet; and the next round reads that. */
#if defined(GENERATION_NOT_STORED) || defined(PREPARE_WITHOUT_GENERATION)
#define GENERATION_FITS(v, g) true
#else
#define GENERATION_FITS(v, g) (generation_of[v] <= g)
#endif
/* A blank disk is never an initial value; it answers nothing until a rewrite fills it. */
#ifdef EMPTY_VOTER_ANSWERS
#define ANSWERS(v) true
#define MAY_FILL(v, b) true
#else
#define ANSWERS(v) (!blank[v])
#define MAY_FILL(v, b) (!blank[v] || (v == 3 && asked_under[b] >= JOINS))
#endif

/* All that was ever chosen is a chain in the order of ballots, and what was reported as defeated is
 * never chosen. */
inline note_chosen(b)
{
    chosen[b] = true;
    CHECK(what_is_defeated_is_never_chosen, !defeated[asked[b]]);
    n = 0;
    do
    :: n <= BALLOTS ->
        CHECK(chosen_values_are_a_chain, !chosen[n] || n > b || DESCENDS(asked[b], asked[n]));
        CHECK(chosen_values_are_a_chain, !chosen[n] || n < b || DESCENDS(asked[n], asked[b]));
        n++
    :: else -> break
    od;
    n = 0
}

#define STORABLE(v, b) \
    (asked[b] != NONE && (SET(asked_under[b]) & BIT(v)) && \
     accepted[v] < b && BIDS_ENOUGH(v, b) && NEW_ENOUGH(v, b) && MAY_FILL(v, b))

inline store(v, b)
{
    promised[v] = (promised[v] < b -> b : promised[v]);
#ifndef ACCEPTED_NOT_STORED
    accepted[v] = b;
#endif
    generation_of[v] = asked_under[b];
    blank[v] = false;
    stored[b] = stored[b] | BIT(v);
    if
    :: !chosen[b] && MAJORITY(stored[b], asked_under[b]) -> note_chosen(b)
    :: else
    fi;
    stored[b] = (chosen[b] -> 0 : stored[b])
}

proctype voter(byte v)
{
    byte n;
end:
    do
    :: d_step { STORABLE(v, 1) -> store(v, 1) }
    :: d_step { STORABLE(v, 2) -> store(v, 2) }
    :: d_step { STORABLE(v, 3) -> store(v, 3) }
#if BALLOTS > 3
    :: d_step { STORABLE(v, 4) -> store(v, 4) }
#endif
#if BALLOTS > 4
    :: d_step { STORABLE(v, 5) -> store(v, 5) }
#endif
#if BALLOTS > 5
    :: d_step { STORABLE(v, 6) -> store(v, 6) }
#endif
#ifdef DEAD
    :: d_step {
        v == 2 && !lost ->
        lost = true;
        blank[2] = true;
        promised[2] = 0;
        accepted[2] = 0;
        generation_of[2] = 1
    }
#endif
    od
}

inline end_round(p)
{
    phase[p] = 0;
    granted[p] = 0;
    seen_at[p] = 0
}

/* R1.4: what this ballot carries. */
inline second_phase(p)
{
    asked[ballot[p]] = asked[seen_at[p]];
    if
    :: mine[p] != NONE &&
#ifndef NO_COMPARISON
       EPOCH(asked[seen_at[p]]) == EPOCH(PARENT(mine[p])) &&
#endif
       true ->
        asked[ballot[p]] = mine[p]
    :: else
    fi;
    phase[p] = 2;
#ifdef NONCE_IGNORED
    phase[p] = (asked[seen_at[p]] == mine[p] -> 3 : 2);
#endif
    granted[p] = 0;
    seen_at[p] = 0
}

#define GRANTABLE(p, v) \
    (phase[p] == 1 && (SET(asked_under[ballot[p]]) & BIT(v)) && !(granted[p] & BIT(v)) && \
     promised[v] < ballot[p] && GENERATION_FITS(v, under[p]) && ANSWERS(v))

inline grant(p, v)
{
    promised[v] = ballot[p];
#ifndef PREPARE_WITHOUT_GENERATION
    generation_of[v] = under[p];
#endif
    granted[p] = granted[p] | BIT(v);
    seen_at[p] = (accepted[v] > seen_at[p] -> accepted[v] : seen_at[p]);
    if
    :: MAJORITY(granted[p], asked_under[ballot[p]]) ->
#ifdef PREPARE_DEFEATS
        if
        :: mine[p] != NONE && EPOCH(asked[seen_at[p]]) > EPOCH(PARENT(mine[p])) &&
           asked[seen_at[p]] != mine[p] ->
            lose(p);
            end_round(p)
        :: else -> second_phase(p)
        fi
#else
        second_phase(p)
#endif
    :: else
    fi
}

inline win(p)
{
    mine[p] = (mine[p] < SWAPS -> mine[p] + 1 : NONE)
}

/* Its proposal is defeated: never decided, not now and not later. */
inline lose(p)
{
    n = 0;
    do
    :: n <= BALLOTS ->
        CHECK(what_is_defeated_is_never_chosen, !chosen[n] || asked[n] != mine[p]);
        n++
    :: else -> break
    od;
    n = 0;
    defeated[mine[p]] = true;
    mine[p] = NONE
}

#ifdef B_LAST
/* A smaller bound, for four ballots: one of C, one of A, two of B. */
#define MAY_USE(p, b) (b == 1 -> p == C : (b == 2 -> p == A : p == B))
#else
#define MAY_USE(p, b) true
#endif
#define MAY_BEGIN(p, b) \
    (phase[p] != 1 && b > ballot[p] && !used[b] && MAY_USE(p, b) && \
     (p == C -> generation == 2 && !rewritten : mine[p] != NONE))

#define FIRST(v, b, g) ((SET(g) & BIT(v)) && promised[v] < b && \
                        GENERATION_FITS(v, g) && ANSWERS(v))

/* A round begins with its first promise: before that it makes no difference. */
inline begin(p, b)
{
    g = (p == C -> 2 : generation);
    do
    :: g > under[p] -> g--
    :: break
    od;
    if
    :: FIRST(0, b, g) -> v = 0
    :: FIRST(1, b, g) -> v = 1
    :: FIRST(2, b, g) -> v = 2
    :: FIRST(3, b, g) -> v = 3
    :: else -> v = NONE
    fi;
    if
    :: v != NONE ->
        d_step {
            used[b] = true;
            ballot[p] = b;
            under[p] = g;
            asked_under[b] = g;
            end_round(p);
            phase[p] = 1;
            grant(p, v)
        }
    :: else
    fi;
    g = 0;
    v = 0
}

proctype proposer(byte p)
{
    byte n, g, v;
end:
    do
    :: atomic { MAY_BEGIN(p, 1) -> begin(p, 1) }
    :: atomic { MAY_BEGIN(p, 2) -> begin(p, 2) }
    :: atomic { MAY_BEGIN(p, 3) -> begin(p, 3) }
#if BALLOTS > 3
    :: atomic { MAY_BEGIN(p, 4) -> begin(p, 4) }
#endif
#if BALLOTS > 4
    :: atomic { MAY_BEGIN(p, 5) -> begin(p, 5) }
#endif
    :: d_step { GRANTABLE(p, 0) -> grant(p, 0) }
    :: d_step { GRANTABLE(p, 1) -> grant(p, 1) }
    :: d_step { GRANTABLE(p, 2) -> grant(p, 2) }
    :: d_step { GRANTABLE(p, 3) -> grant(p, 3) }
    :: d_step {
        p != C && phase[p] >= 2 && chosen[ballot[p]] ->
        if
        :: asked[ballot[p]] == mine[p] && phase[p] == 2 -> win(p)
        :: else -> lose(p)
        fi;
        end_round(p)
    }
    od
}

/* Each step is the coordinator's, or that of one that came after it. */
proctype coordinator()
{
end:
    do
    :: d_step { generation == 1 -> generation = 2 }
    :: d_step {
        generation == 2 && !rewritten && phase[C] == 2 &&
        chosen[ballot[C]] ->
        rewritten = true;
        end_round(C)
    }
#ifdef COPIED_RECORD
    :: d_step {
        generation == 2 && !rewritten && blank[3] ->
        promised[3] = promised[0];
        accepted[3] = accepted[0];
        generation_of[3] = generation_of[0];
        blank[3] = false;
        rewritten = true
    }
#endif
    :: d_step {
        generation == 2 &&
#ifndef NO_REWRITE
        rewritten &&
#endif
        true ->
        generation = 3
    }
    od
}

init {
    atomic {
        byte n = 0;
        do
        :: n < VOTERS -> generation_of[n] = 1; n++
        :: else -> break
        od;
        blank[3] = true;
        n = 0;
        do
        :: n <= BALLOTS -> asked[n] = NONE; n++
        :: else -> break
        od;
        n = 0;
        asked[0] = 0;
        asked_under[0] = 1;
        chosen[0] = true;
        under[A] = 1;
        under[B] = 1;
        under[C] = 2;
        mine[A] = 1;
        mine[B] = 3;
        mine[C] = NONE;
        run voter(0);
        run voter(1);
        run voter(2);
        run voter(3);
        run proposer(A);
        run proposer(B);
        run proposer(C);
        run coordinator()
    }
}
