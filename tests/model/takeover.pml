/* Takeover, removal and joining on two NICs, every order of events within a small bound.
 *
 * Two replicas A (0) and B (1) of one group. The config register is what voters.pml shows it to be:
 * its decided values form a chain by epoch; a compare-and-swap may be decided at any time after it
 * was sent, also after its proposer crashed, as long as nothing else was decided on its epoch; its
 * reply may be late or lost, since a replica learns the decided value whenever it likes.
 *
 * Log entries have ids 0 (there from the start), 1, 2, ... in the order of their birth. What comes
 * before an entry is fixed with it (the hash chain of R2.1), so a log is a set of ids, and so is
 * whatever says "all up to here". Messages are facts that stay: sent[e] are the entries that the
 * primary of epoch e sent, acks[e] those acknowledged in e. Loss, delay, repetition and reordering
 * are to read a fact never, late, twice or in another order than it came.
 *
 * Every step below is atomic, and a crash may come between any two: before and after the journal's
 * sync, the floor's sync, a send, a proposal, its decision, its reply. A restart is part of the
 * crash; a process that is slow, cut off or stopped is one that takes no steps.
 *
 * Left out, since it would change nothing here: the prepare of R4 step 1 (an outdated epoch makes
 * the swap fail), the no-op of step 4 (it is for the clock), the evidence for a takeover (any time
 * will do), the cancelling of a sealed takeover (to go no further is the same), and the time between
 * requiring a learner and publishing it (what counts is that it has all that is committed when it is
 * proposed, and is required from then on). Not covered: blank disks and new incarnations, `memory`
 * durability, snapshots, a third NIC, divergence.
 *
 * A macro named after a rule removes that rule: run_model lists them. */

#if defined(ACK_OLD_EPOCH) || defined(ACKS_OF_ANY_EPOCH)
#define KEEP_FACTS
#endif
#ifndef ENTRIES
#define ENTRIES 2 /* that clients' requests make */
#endif
#ifndef EPOCHS
#define EPOCHS 4 /* the last epoch; the first is 1 */
#endif
#ifndef CRASHES
#define CRASHES 2
#endif

#define IDS (ENTRIES + 1)
#define BIT(n) (1 << (n))
#define PART_OF(a, b) (((a) & ~(b)) == 0)
#define BOTH 3
#define ALONE(r) BIT(r)
#define OTHER(r) (1 - (r))

/* The register. config[e] is the decided value of epoch e. */
byte decided = 1;
byte primary[EPOCHS + 1];
byte in_sync[EPOCHS + 1];
bool of_this_life[EPOCHS + 1]; /* its proposer's process still runs: R1.1 "proposer instance" */
/* Proposals conditional on epoch `decided`, by proposer: a set of BIT(in_sync set). Those of a
 * process that crashed are under way as well. */
byte proposed[2];
byte proposed_before[2];

/* What was ever sent. */
byte prefix[IDS]; /* an entry and all before it */
byte ids = 1;
byte sent[EPOCHS + 1];
byte acks[EPOCHS + 1];

/* Durable at each replica. */
byte disk[2];
byte floor_disk[2];

/* Volatile at each replica. */
byte epoch[2];     /* of the config that it knows */
bool leads[2];     /* as primary of that epoch */
bool serves[2];    /* and answers clients */
byte log_[2];      /* disk[] lags behind it */
byte floor_[2];
byte verified[2];  /* by the primary, in this epoch */
byte committed[2];
byte asking[2];    /* a primary's or successor's own proposal: its in_sync set, 0 none */
byte sealing[2];   /* a takeover: 0 none, 1 seal under way, 2 swap sent */
#ifdef LOG_END_BEFORE_SEAL
byte end_seen[2];
#endif
#ifdef NO_START_SYNC
byte believed[2]; /* what the process takes for durable */
#define DURABLE(r) believed[r]
#else
#define DURABLE(r) disk[r]
#endif

byte crashes;

/* What is checked; pan names the one that fails. */
bool one_replica_releases_in_an_epoch = true;
bool whoever_serves_later_has_all_that_was_released = true;
bool what_is_applied_stays = true;
bool a_read_shows_all_that_was_released_before_it = true;
#define CHECK(name, condition) name = (condition); assert(name)
/* For the checks only. */
byte released;           /* entries that a client or reader has seen */
byte released_epoch;     /* the highest that released */
byte released_by[EPOCHS + 1]; /* replica + 1 */
#ifdef READS
byte reading[2];   /* 0 no read yet, 1 a round runs, 2 the other one confirmed, 3 done */
byte must_show[2]; /* released before the read began */
#endif

/* R2.5 */
#ifdef REQUIRED_ONLY_IN_SYNC
#define REQUIRED(r) (in_sync[epoch[r]] | ALONE(r))
#else
#ifdef RELEASE_BEFORE_REMOVAL
#define REQUIRED(r) (asking[r] != 0 -> asking[r] : in_sync[epoch[r]])
#else
#define REQUIRED(r) (in_sync[epoch[r]] | asking[r])
#endif
#endif

/* R2.3, R4 step 2: the epochs whose entries and rounds a replica takes. */
#ifdef ACK_OLD_EPOCH
#define TAKES(r, e) (e <= epoch[r])
#define PROMISED(r, e) true
#else
#ifdef NO_SEAL
#define TAKES(r, e) (e == epoch[r])
#define PROMISED(r, e) (floor_disk[r] >= e)
#else
#define TAKES(r, e) (e == epoch[r] && floor_[r] <= e)
#ifdef EPOCH_NOT_DURABLE
#define PROMISED(r, e) (floor_[r] == e)
#else
#define PROMISED(r, e) (floor_[r] == e && floor_disk[r] == e)
#endif
#endif
#endif

#ifdef ACK_BEFORE_SYNC
#define ACKNOWLEDGED(r) verified[r]
#else
#define ACKNOWLEDGED(r) (verified[r] & DURABLE(r))
#endif

/* R2.3: it has the entry, or has what comes before it; what conflicts is then cut off, but nothing
 * that this epoch's primary has verified. */
#define FITS(r, id) \
    ((log_[r] & BIT(id)) || (PART_OF(prefix[id] ^ BIT(id), log_[r]) && UNVERIFIED_AFTER(r, id)))
#ifdef ACK_OLD_EPOCH
#define UNVERIFIED_AFTER(r, id) true
#else
#define UNVERIFIED_AFTER(r, id) PART_OF(verified[r], prefix[id])
#endif

/* Somebody may count an acknowledgement of this epoch. */
#define HEARD(r) (epoch[OTHER(r)] < epoch[r] || leads[OTHER(r)])

/* All that the required set holds. A replica acknowledges to itself by the same rule. */
#ifdef EPOCH_NOT_DURABLE
#define OWN_ACK(r) (log_[r] & DURABLE(r))
#else
#define OWN_ACK(r) (floor_disk[r] >= epoch[r] -> log_[r] & DURABLE(r) : 0)
#endif
#ifdef ACKS_OF_ANY_EPOCH
#define PEER_ACK(r) (acks[epoch[r]] | acks[epoch[r] - 1])
#else
#define PEER_ACK(r) acks[epoch[r]]
#endif
#define AGREED(r) (OWN_ACK(r) & (REQUIRED(r) == BOTH -> PEER_ACK(r) : 255))

/* Clients have seen all of `set`, from replica r. */
inline release(r, set)
{
    CHECK(one_replica_releases_in_an_epoch,
          released_by[epoch[r]] == 0 || released_by[epoch[r]] == r + 1);
    released_by[epoch[r]] = r + 1;
    CHECK(whoever_serves_later_has_all_that_was_released,
          !(serves[OTHER(r)] && epoch[OTHER(r)] > epoch[r]) || PART_OF(set, log_[OTHER(r)]));
    if
    :: epoch[r] >= released_epoch ->
        CHECK(whoever_serves_later_has_all_that_was_released, PART_OF(released, log_[r]));
        released_epoch = epoch[r]
    :: else
    fi;
    released = released | set
}

/* Entry `id` comes from the primary of epoch e. */
#define TAKABLE(r, e, id) \
    (!leads[r] && TAKES(r, e) && primary[e] == OTHER(r) && (sent[e] & BIT(id)) && \
     !(verified[r] & BIT(id)) && FITS(r, id))
inline take(r, e, id)
{
    if
    :: log_[r] & BIT(id)
    :: else ->
        CHECK(what_is_applied_stays, PART_OF(committed[r], prefix[id]));
        log_[r] = prefix[id]
    fi;
    verified[r] = (verified[r] & log_[r]) | prefix[id];
    floor_[r] = (floor_[r] < e -> e : floor_[r])
}

/* Forgets what belonged to the config followed so far. */
inline leave(r)
{
    verified[r] = 0;
    asking[r] = 0;
    sealing[r] = 0
}

/* Follows config e, or leads in it. */
inline adopt(r, e)
{
    if
#ifdef RESUME_OLD_EPOCH
    :: primary[e] == r ->
        if
        :: epoch[r] == 0 -> /* it has just started */
            serves[r] = true; committed[r] = log_[r]; floor_[r] = e; floor_disk[r] = e
        :: else
        fi;
#else
    :: primary[e] == r && of_this_life[e] ->
#endif
        if
        :: sealing[r] == 2 ->
            serves[r] = false;
#ifdef LOG_END_BEFORE_SEAL
            log_[r] = log_[r] & end_seen[r];
            disk[r] = disk[r] & end_seen[r];
#endif
#ifdef SERVE_BEFORE_TAIL
            serves[r] = true;
#endif
        :: else
        fi;
        leads[r] = true;
        epoch[r] = e;
        leave(r);
        floor_[r] = (floor_[r] < e -> e : floor_[r]);
        sent[e] = sent[e] | log_[r]
    :: else ->
        leads[r] = false;
        serves[r] = false;
        epoch[r] = e;
        leave(r)
    fi
}

/* Facts that nobody can read any more: without them equal states are the same state. */
inline forget(n)
{
#ifndef KEEP_FACTS
    do
    :: n <= decided ->
        of_this_life[n] = of_this_life[n] && epoch[primary[n]] < n;
        acks[n] = (epoch[primary[n]] > n -> 0 : acks[n]);
        sent[n] = (epoch[OTHER(primary[n])] > n -> 0 : sent[n]);
        if
        :: epoch[0] > n && epoch[1] > n ->
            primary[n] = 0;
            in_sync[n] = 0;
            released_by[n] = 0;
            acks[n] = 0;
            sent[n] = 0
        :: else
        fi;
        n++
    :: else -> break
    od;
#endif
    n = 0
}

proctype replica(byte r)
{
    byte e, id, m;
end:
    do
    /* ---- the register's word, or a peer's that passes on a decided config ---- */
    :: atomic {
        epoch[r] < decided ->
        e = epoch[r] + 1;
        do
        :: e < decided -> e++
        :: break
        od;
        adopt(r, e);
        e = 1;
        d_step { forget(e) }
    }

    /* ---- disk ---- */
    :: d_step { log_[r] != DURABLE(r) -> disk[r] = log_[r]; DURABLE(r) = log_[r] }
    :: d_step { floor_[r] != floor_disk[r] -> floor_disk[r] = floor_[r] }

    /* ---- a secondary: R2.3 ---- */
    :: d_step { TAKABLE(r, epoch[r], 0) -> take(r, epoch[r], 0) }
    :: d_step { TAKABLE(r, epoch[r], 1) -> take(r, epoch[r], 1) }
    :: d_step { TAKABLE(r, epoch[r], 2) -> take(r, epoch[r], 2) }
#if ENTRIES > 2
    :: d_step { TAKABLE(r, epoch[r], 3) -> take(r, epoch[r], 3) }
#endif
#ifdef ACK_OLD_EPOCH
    :: d_step { epoch[r] > 1 && TAKABLE(r, epoch[r] - 1, 1) -> take(r, epoch[r] - 1, 1) }
    :: d_step { epoch[r] > 1 && TAKABLE(r, epoch[r] - 1, 2) -> take(r, epoch[r] - 1, 2) }
    :: d_step { epoch[r] > 2 && TAKABLE(r, epoch[r] - 2, 1) -> take(r, epoch[r] - 2, 1) }
    :: d_step { epoch[r] > 2 && TAKABLE(r, epoch[r] - 2, 2) -> take(r, epoch[r] - 2, 2) }
#endif
    :: d_step {
        !leads[r] && PROMISED(r, epoch[r]) && HEARD(r) && !PART_OF(ACKNOWLEDGED(r), acks[epoch[r]]) ->
        acks[epoch[r]] = acks[epoch[r]] | ACKNOWLEDGED(r)
    }
#ifdef ACK_OLD_EPOCH
    :: atomic {
        !leads[r] && epoch[r] > 1 && !PART_OF(ACKNOWLEDGED(r), acks[epoch[r] - 1]) ->
        acks[epoch[r] - 1] = acks[epoch[r] - 1] | ACKNOWLEDGED(r)
    }
#endif

    /* ---- a primary: R2.4, R2.7 ---- */
    :: d_step {
        serves[r] && ids < IDS ->
        log_[r] = log_[r] | BIT(ids);
        prefix[ids] = log_[r];
        sent[epoch[r]] = log_[r];
        ids++
    }
    :: d_step {
        leads[r] && !PART_OF(AGREED(r), committed[r]) ->
        m = AGREED(r);
        committed[r] = committed[r] | m;
        if
        :: serves[r] -> release(r, m)
        :: else
        fi;
        m = 0
    }
    /* R4 step 4: the tail is committed; from here on it is served. */
    :: d_step {
        leads[r] && !serves[r] && committed[r] == log_[r] ->
        serves[r] = true;
        release(r, committed[r])
    }

    /* ---- a primary changes the in-sync set: R3.1, R4.1, R4.6 ---- */
    :: atomic {
        serves[r] && asking[r] == 0 && epoch[r] < EPOCHS ->
        if
        :: asking[r] = ALONE(r)
        :: in_sync[epoch[r]] == BOTH -> asking[r] = BOTH
#ifdef JOIN_BEHIND
        :: asking[r] = BOTH
#else
        :: PART_OF(committed[r], acks[epoch[r]]) -> asking[r] = BOTH
#endif
        fi;
        if
        :: epoch[r] == decided -> proposed[r] = proposed[r] | BIT(asking[r])
        :: else
        fi
    }
#ifdef PREPARE_DEFEATS
    :: d_step { serves[r] && asking[r] != 0 -> asking[r] = 0 }
#endif

    /* ---- takeover: R4 ---- */
    :: d_step {
        !leads[r] && sealing[r] == 0 && epoch[r] < EPOCHS &&
#ifndef TAKEOVER_BY_LEARNER
        (in_sync[epoch[r]] & BIT(r)) &&
#endif
        true ->
#ifdef LOG_END_BEFORE_SEAL
        end_seen[r] = log_[r];
#else
        floor_[r] = (floor_[r] <= epoch[r] -> epoch[r] + 1 : floor_[r]);
#endif
        sealing[r] = 1
    }
#ifdef LOG_END_BEFORE_SEAL
    :: d_step { sealing[r] == 1 && floor_[r] <= epoch[r] -> floor_[r] = epoch[r] + 1 }
#endif
    :: d_step {
        sealing[r] == 1 &&
#if !defined(NO_SEAL) && !defined(SEAL_NOT_DURABLE)
        floor_disk[r] > epoch[r] &&
#endif
        true ->
        sealing[r] = 2;
        asking[r] = ALONE(r);
        if
        :: epoch[r] == decided -> proposed[r] = proposed[r] | BIT(ALONE(r))
        :: else
        fi
    }

#ifdef READS
    /* ---- a read: R2.9 ---- */
    :: d_step { serves[r] && reading[r] == 0 -> reading[r] = 1; must_show[r] = released }
    :: d_step { serves[r] && reading[r] == 1 && !leads[OTHER(r)] &&
                TAKES(OTHER(r), epoch[r]) -> reading[r] = 2 }
    :: d_step {
        serves[r] && reading[r] != 0 && reading[r] != 3 &&
#ifndef READ_WITHOUT_ROUND
        (reading[r] == 2 || REQUIRED(r) == ALONE(r)) &&
#endif
        true ->
        CHECK(a_read_shows_all_that_was_released_before_it, PART_OF(must_show[r], committed[r]));
        reading[r] = 3;
        must_show[r] = 0
    }
#endif

    /* ---- crash and restart ---- */
    :: atomic {
        crashes < CRASHES ->
        crashes++;
        proposed_before[r] = proposed_before[r] | proposed[r];
        proposed[r] = 0;
        e = 1;
        d_step {
            do
            :: e <= EPOCHS -> of_this_life[e] = of_this_life[e] && primary[e] != r; e++
            :: else -> break
            od
        };
        /* Of what was not synced any part may be there, from its beginning. */
        if
        :: PART_OF(log_[r], disk[r]) -> log_[r] = disk[r] /* a cut is no more durable */
        :: !PART_OF(log_[r], disk[r]) -> log_[r] = disk[r]
        :: !PART_OF(log_[r], disk[r]) ->
            id = ids - 1;
            do
            :: (log_[r] & ~disk[r] & ~BIT(0)) != 0 ->
                do
                :: (log_[r] & BIT(id)) == 0 -> id--
                :: else -> break
                od;
                log_[r] = log_[r] & ~BIT(id)
            :: break
            od
        fi;
        id = 0;
        d_step {
#ifdef NO_START_SYNC
            believed[r] = log_[r];
#else
            disk[r] = log_[r]; /* R2.11: synced before anything is said */
#endif
            floor_[r] = floor_disk[r];
            epoch[r] = 0;
            leads[r] = false;
            serves[r] = false;
            committed[r] = BIT(0);
            leave(r)
#ifdef READS
            ;
            reading[r] = (reading[r] == 0 -> 0 : 3);
            must_show[r] = 0
#endif
        }
        /* It asks the register before anything else. That it may be slow to: it takes no steps. */
        adopt(r, decided);
        e = 1;
        d_step { forget(e) }
    }
    od
}

inline decide(r, set, now)
{
    decided++;
    primary[decided] = r;
    in_sync[decided] = set;
    of_this_life[decided] = now;
    proposed[0] = 0;
    proposed[1] = 0;
    proposed_before[0] = 0;
    proposed_before[1] = 0
}

/* The voters: any proposal that is under way may be the one that is decided. */
proctype voters()
{
end:
    do
    :: d_step { proposed[0] & BIT(ALONE(0)) -> decide(0, ALONE(0), true) }
    :: d_step { proposed[0] & BIT(BOTH) -> decide(0, BOTH, true) }
    :: d_step { proposed[1] & BIT(ALONE(1)) -> decide(1, ALONE(1), true) }
    :: d_step { proposed[1] & BIT(BOTH) -> decide(1, BOTH, true) }
    :: d_step { proposed_before[0] & BIT(ALONE(0)) -> decide(0, ALONE(0), false) }
    :: d_step { proposed_before[0] & BIT(BOTH) -> decide(0, BOTH, false) }
    :: d_step { proposed_before[1] & BIT(ALONE(1)) -> decide(1, ALONE(1), false) }
    :: d_step { proposed_before[1] & BIT(BOTH) -> decide(1, BOTH, false) }
    od
}

init {
    atomic {
        primary[1] = 0;
        in_sync[1] = BOTH;
        of_this_life[1] = true;
        prefix[0] = BIT(0);
        byte r = 0;
        do
        :: r < 2 ->
            disk[r] = BIT(0);
            log_[r] = BIT(0);
            committed[r] = BIT(0);
            DURABLE(r) = BIT(0);
            floor_disk[r] = 1;
            floor_[r] = 1;
            epoch[r] = 1;
            r++
        :: else -> break
        od;
        r = 0;
        leads[0] = true;
        serves[0] = true;
        sent[1] = BIT(0);
        released = BIT(0);
        run replica(0);
        run replica(1);
        run voters()
    }
}
