/* What a replica does with its files when results differ (R5.2, replicator/divergence.c):
 *
 *   1. Its state goes into DIR/diverged-SEQ, in the format of a snapshot, and what it had at the
 *      suspect into DIR/suspect. Both are for people, and for step 3; nothing is lost without them.
 *   2. Snapshots at or behind the suspect may be of what is suspected: they become
 *      DIR/suspect-SEQ. Then the replica starts again.
 *   3. After the replay it says whether it was the one that had other results.
 *
 * When no snapshot from before the suspect is left and the journal does not go back to the first
 * entry, a replay is not possible: it stays halted. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "replicator/io/journal.h"
#include "replicator/io/perform_replica.h"

#define NOTE_BYTES 64U
/* No snapshot was set aside. */
#define UNCHANGED ((struct ts_seq){UINT64_MAX})

/* ---- the state of before ------------------------------------------------------------------ */

static enum ts_err write_pieces(struct perform_replica *r, struct snapshot_writer *w,
                                struct ts_why *why)
{
    struct svc_walk *walk = r->svc->walk_begin(r->state);
    struct svc_out piece = {.max = SVC_PIECE_MAX};
    enum ts_err err =
        walk == NULL ? ts_why(why, TS_ERR_NOMEM, "no memory to walk over the state") : TS_OK;
    for (bool more = true; more && err == TS_OK;) {
        piece.len = 0;
        more = r->svc->walk_next(walk, &piece);
        err = snapshot_write_piece(w, (struct ts_bytes){piece.data, piece.len}, why);
    }
    if (walk != NULL) {
        r->svc->walk_end(walk);
    }
    svc_out_free(&piece);
    return err;
}

/* Nobody is served, so it may take as long as it takes. */
static enum ts_err keep_state(struct perform_replica *r, struct ts_why *why)
{
    const struct repl_mark *mark = repl_applied_mark(r->perform.core);
    const struct journal_info *info = journal_info(r->journal);
    struct snapshot_header h = {
        .incarnation = info->incarnation, .group = info->group, .mark = *mark};
    struct snapshot_writer *w = NULL;
    enum ts_err err = snapshot_write_begin(&w, journal_dir(r->journal), &h, why);
    if (err != TS_OK) {
        return err;
    }
    err = write_pieces(r, w, why);
    if (err != TS_OK) {
        snapshot_write_abort(w);
        return err;
    }
    return snapshot_write_diverged(w, why);
}

static void note_text(char out[NOTE_BYTES + 1], struct ts_seq suspect, struct ts_hash digest)
{
    (void)snprintf(out, NOTE_BYTES + 1, "%020" PRIu64 " %016" PRIx64 "%016" PRIx64 "\n", suspect.v,
                   digest.hi, digest.lo);
}

static enum ts_err note_suspect(const struct perform_replica *r, struct ts_seq suspect,
                                struct ts_hash digest, struct ts_why *why)
{
    char path[TS_PATH_MAX];
    char text[NOTE_BYTES + 1];
    note_text(text, suspect, digest);
    enum ts_err err = ts_path(path, why, journal_dir(r->journal), "suspect");
    return err != TS_OK ? err : ts_file_replace(path, text, strlen(text), 0600, why);
}

/* ---- before the replay ---------------------------------------------------------------------- */

static void halt(struct perform_replica *r, struct ts_seq left, const char *text)
{
    r->kept = true;
    r->ops->diverged(r->perform.ctx, left, text);
}

/* `digest`: what it had at the suspect; NULL when that is not known any more. */
static void keep(struct perform_replica *r, struct ts_seq suspect, const struct ts_hash *digest)
{
    struct ts_seq left = {0};
    struct ts_why why = {{0}};
    if (digest != NULL) {
        enum ts_err err = keep_state(r, &why);
        err = err != TS_OK ? err : note_suspect(r, suspect, *digest, &why);
        if (err != TS_OK) { /* the replay goes first */
            journal_doubt(r->journal, err, &why);
            r->ops->diverged(r->perform.ctx, UNCHANGED, why.text);
        }
    }
    struct ts_seq base = journal_base(r->journal).seq;
    enum ts_err err = snapshot_set_aside(journal_dir(r->journal), suspect, base, &left, &why);
    if (err != TS_OK) {
        journal_doubt(r->journal, err, &why);
        halt(r, left, why.text);
        return;
    }
    halt(r, left, "its state is kept in diverged-*, and it starts again to replay its log");
    r->ops->end(r->perform.ctx, true);
}

void perform_divergence_keep(struct perform_replica *r)
{
    struct ts_seq suspect;
    struct ts_hash digest;
    bool known;
    if (repl_replays(r->perform.core, &suspect, &known, &digest) && !r->kept && !r->ended &&
        perform_snapshot_stop(r)) {
        keep(r, suspect, known ? &digest : NULL);
    }
}

/* ---- behind it ------------------------------------------------------------------------------- */

void perform_divergence_judge(struct perform_replica *r)
{
    struct ts_seq suspect;
    struct ts_hash digest;
    char path[TS_PATH_MAX];
    char mine[NOTE_BYTES + 1];
    uint8_t *before = NULL;
    size_t len = 0;
    if (r->judged || !repl_replayed(r->perform.core, &suspect, &digest)) {
        return;
    }
    r->judged = true;
    note_text(mine, suspect, digest);
    if (ts_path(path, NULL, journal_dir(r->journal), "suspect") != TS_OK ||
        ts_file_read(path, NOTE_BYTES, &before, &len, NULL) != TS_OK) {
        return; /* it ended for another reason, before it was told */
    }
    bool same_suspect = len == strlen(mine) && memcmp(before, mine, 20) == 0;
    if (same_suspect && memcmp(before, mine, len) != 0) {
        struct ts_trace t = {.kind = TS_TRACE_CULPRIT,
                             .at = r->room.now,
                             .epoch = repl_epoch(r->perform.core),
                             .seq = suspect};
        r->perform.table->trace(r->perform.ctx, &t);
        r->ops->diverged(r->perform.ctx, UNCHANGED,
                         "this replica had other results than its own log gives: its memory or its "
                         "processor failed it; it goes on with the replay");
    }
    free(before);
}
