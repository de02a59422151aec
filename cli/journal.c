/* twinstep journal inspect. */
#include "cli/journal.h"

#include <getopt.h>
#include <inttypes.h>
#include <string.h>

#define CELL_MAX 64
#define HASH_SHOWN 8

static void print_help(FILE *out)
{
    (void)fputs(
        "usage: twinstep journal inspect DIR [--json]\n"
        "\n"
        "Reads a replica's directory, RUN/NODE/groups/GROUP, and shows its record, the segments "
        "of\n"
        "its log with the entries in them, its snapshots (each is checked as a whole), and the\n"
        "first damage. Nothing is written or locked: the replica may run; then the end of the log\n"
        "may be a write that is under way.\n"
        "\n"
        "  --json     the same for programs\n"
        "\n"
        "Exit status: 0 whole, 1 damaged, or marked as not to be used again, or it cannot be "
        "read;\n"
        "2 wrong usage; 3 DIR is no replica's directory.\n",
        out);
}

static const char *hex(uint64_t v, char out[CELL_MAX])
{
    (void)snprintf(out, CELL_MAX, "%016" PRIx64, v);
    return out;
}

static const char *number(uint64_t v, char out[CELL_MAX])
{
    (void)snprintf(out, CELL_MAX, "%" PRIu64, v);
    return out;
}

static const char *hash_text(struct ts_hash h, char out[CELL_MAX])
{
    (void)snprintf(out, CELL_MAX, "%016" PRIx64 "%016" PRIx64, h.hi, h.lo);
    return out;
}

static const char *range(struct ts_seq first, struct ts_seq last, char out[CELL_MAX])
{
    if (last.v == 0 || first.v > last.v) {
        return "-";
    }
    (void)snprintf(out, CELL_MAX, "%" PRIu64 " to %" PRIu64, first.v, last.v);
    return out;
}

/* ---- text ------------------------------------------------------------------------------------ */

static void print_record(const struct cli *cli, const struct journal_inspection *n)
{
    if (!n->has_record) {
        (void)fprintf(cli->out, "record: %s\n", n->record_why.text);
        return;
    }
    (void)fprintf(cli->out,
                  "record: incarnation %016" PRIx64 ", group number %u, start %" PRIu64 " (%s)",
                  n->incarnation.v, n->group.v, n->start_number,
                  n->start_registered ? "registered" : "not registered yet");
    if (n->has_floor) {
        (void)fprintf(cli->out, ", acknowledges nothing below epoch %" PRIu64, n->floor.v);
    }
    (void)fprintf(cli->out, "; %u of 4 copies are whole\n", n->record_copies);
}

static void print_log(const struct cli *cli, const struct journal_inspection *n)
{
    char entries[CELL_MAX];
    char hash[CELL_MAX];
    (void)fprintf(cli->out, "log: entries %s",
                  range((struct ts_seq){n->base.v + 1}, n->last, entries));
    (void)fprintf(cli->out,
                  ", epoch %" PRIu64 ", hash %.*s; durable up to %" PRIu64
                  " at least, committed up to %" PRIu64 " at least\n",
                  n->epoch.v, HASH_SHOWN, hash_text(n->hash, hash), n->durable.v, n->commit.v);
    if (n->torn_bytes > 0) {
        (void)fprintf(cli->out,
                      "behind its end: an unfinished write, or one that is under way (%" PRIu64
                      " bytes)\n",
                      n->torn_bytes);
    }
}

static void print_segments(const struct cli *cli, const struct journal_inspection *n)
{
    json_t *rows = json_array();
    cli_row(rows, 6,
            (const char *const[]){"segment", "batches", "entries", "bytes used", "notes", "state"});
    for (size_t i = 0; i < n->segment_count; i++) {
        const struct journal_inspect_segment *s = &n->segments[i];
        char name[CELL_MAX];
        char batches[CELL_MAX];
        char entries[CELL_MAX];
        char used[2 * CELL_MAX];
        char notes[CELL_MAX];
        (void)snprintf(used, sizeof(used), "%" PRIu64 " of %" PRIu64, s->used_bytes, s->file_bytes);
        cli_row(rows, 6,
                (const char *const[]){number(s->number, name), number(s->batches, batches),
                                      range(s->first, s->last, entries), used,
                                      number(s->notes, notes),
                                      journal_segment_state_name(s->state)});
    }
    cli_table(cli, rows, 2);
    json_decref(rows);
}

static void print_snapshots(const struct cli *cli, const struct journal_inspection *n)
{
    json_t *rows = json_array();
    cli_row(rows, 5,
            (const char *const[]){"snapshot", "bytes of state", "of file", "pieces", "state"});
    for (size_t i = 0; i < n->snapshot_count; i++) {
        const struct journal_inspect_snapshot *s = &n->snapshots[i];
        char seq[CELL_MAX];
        char bytes[CELL_MAX];
        char file[CELL_MAX];
        char pieces[CELL_MAX];
        cli_row(rows, 5,
                (const char *const[]){number(s->seq.v, seq),
                                      s->whole ? number(s->info.trailer.bytes, bytes) : "-",
                                      s->whole ? number(s->info.file_bytes, file) : "-",
                                      s->whole ? number(s->info.trailer.pieces, pieces) : "-",
                                      s->whole ? "whole" : s->why.text});
    }
    if (n->snapshot_count > 0) {
        cli_table(cli, rows, 2);
    } else {
        (void)fputs("  no snapshot\n", cli->out);
    }
    json_decref(rows);
}

static void print_damage(const struct cli *cli, const struct journal_inspection *n)
{
    if (n->marked != TS_OK) {
        (void)fprintf(cli->out, "%smarked%s: %s\n", cli_style(cli, CLI_BAD),
                      cli_style(cli, CLI_PLAIN), n->marked_why.text);
    }
    if (!n->damaged) {
        (void)fprintf(cli->out, "%sno damage%s\n", cli_style(cli, CLI_GOOD),
                      cli_style(cli, CLI_PLAIN));
        return;
    }
    (void)fprintf(cli->out, "%sdamaged%s: ", cli_style(cli, CLI_BAD), cli_style(cli, CLI_PLAIN));
    if (n->damage_seq.v > 0) {
        (void)fprintf(cli->out, "from entry %" PRIu64 " on, ", n->damage_seq.v);
    }
    if (n->damage_segment > 0) {
        (void)fprintf(cli->out, "segment %" PRIu64 ", byte %" PRIu64 ": ", n->damage_segment,
                      n->damage_offset);
    }
    (void)fprintf(cli->out, "%s\n", n->damage_why.text);
}

void cli_journal_print(const struct cli *cli, const char *dir, const struct journal_inspection *n)
{
    (void)fprintf(cli->out, "%s%s%s", cli_style(cli, CLI_BOLD), dir, cli_style(cli, CLI_PLAIN));
    if (n->holder > 0) {
        (void)fprintf(cli->out, ", in use by process %ld", n->holder);
    }
    (void)fputc('\n', cli->out);
    print_record(cli, n);
    print_log(cli, n);
    print_segments(cli, n);
    print_snapshots(cli, n);
    print_damage(cli, n);
}

/* ---- JSON ------------------------------------------------------------------------------------ */

static json_t *count(uint64_t v)
{
    return json_integer((json_int_t)v);
}

static json_t *record_json(const struct journal_inspection *n)
{
    char text[CELL_MAX];
    if (!n->has_record) {
        return json_pack("{s:s}", "error", n->record_why.text);
    }
    return json_pack(
        "{s:s,s:i,s:o,s:b,s:o,s:i}", "incarnation", hex(n->incarnation.v, text), "group",
        (int)n->group.v, "start", count(n->start_number), "registered", n->start_registered ? 1 : 0,
        "floor", n->has_floor ? count(n->floor.v) : json_null(), "copies", (int)n->record_copies);
}

static json_t *log_json(const struct journal_inspection *n)
{
    char text[CELL_MAX];
    return json_pack("{s:o,s:o,s:o,s:s,s:o,s:o,s:o}", "base", count(n->base.v), "last",
                     count(n->last.v), "epoch", count(n->epoch.v), "hash", hash_text(n->hash, text),
                     "durable", count(n->durable.v), "committed", count(n->commit.v), "torn_bytes",
                     count(n->torn_bytes));
}

static json_t *segments_json(const struct journal_inspection *n)
{
    json_t *list = json_array();
    for (size_t i = 0; i < n->segment_count; i++) {
        const struct journal_inspect_segment *s = &n->segments[i];
        (void)json_array_append_new(
            list, json_pack("{s:o,s:s,s:o,s:o,s:o,s:o,s:o,s:i,s:o,s:o}", "number", count(s->number),
                            "state", journal_segment_state_name(s->state), "batches",
                            count(s->batches), "first", count(s->first.v), "last", count(s->last.v),
                            "used_bytes", count(s->used_bytes), "file_bytes", count(s->file_bytes),
                            "notes", (int)s->notes, "newest_note", count(s->note), "durable",
                            count(s->durable.v)));
    }
    return list;
}

static json_t *snapshots_json(const struct journal_inspection *n)
{
    json_t *list = json_array();
    for (size_t i = 0; i < n->snapshot_count; i++) {
        const struct journal_inspect_snapshot *s = &n->snapshots[i];
        char text[CELL_MAX];
        json_t *o = json_pack("{s:o,s:b}", "seq", count(s->seq.v), "whole", s->whole ? 1 : 0);
        if (s->whole) {
            const struct snapshot_info *f = &s->info;
            (void)json_object_update_new(
                o, json_pack("{s:o,s:o,s:o,s:o,s:s,s:b}", "epoch", count(f->header.mark.epoch.v),
                             "state_bytes", count(f->trailer.bytes), "file_bytes",
                             count(f->file_bytes), "pieces", count(f->trailer.pieces), "content",
                             hash_text(f->trailer.content, text), "installed",
                             f->header.installed ? 1 : 0));
        } else {
            (void)json_object_set_new(o, "error", json_string(s->why.text));
        }
        (void)json_array_append_new(list, o);
    }
    return list;
}

json_t *cli_journal_json(const char *dir, const struct journal_inspection *n)
{
    json_t *o =
        json_pack("{s:i,s:s,s:o,s:o,s:o,s:o,s:o}", "version", 1, "directory", dir, "holder",
                  n->holder > 0 ? json_integer(n->holder) : json_null(), "record", record_json(n),
                  "log", log_json(n), "segments", segments_json(n), "snapshots", snapshots_json(n));
    (void)json_object_set_new(o, "marked",
                              n->marked == TS_OK ? json_null() : json_string(n->marked_why.text));
    (void)json_object_set_new(o, "damage",
                              !n->damaged
                                  ? json_null()
                                  : json_pack("{s:o,s:o,s:o,s:s}", "seq", count(n->damage_seq.v),
                                              "segment", count(n->damage_segment), "offset",
                                              count(n->damage_offset), "text", n->damage_why.text));
    return o;
}

/* ---- the command ------------------------------------------------------------------------------
 */

static int inspect(const struct cli *cli, const char *dir, bool as_json)
{
    struct journal_inspection *n = NULL;
    struct ts_why why = {0};
    enum ts_err err = journal_inspect(dir, &n, &why);
    if (err != TS_OK) {
        return cli_fail(cli, err == TS_ERR_NOT_FOUND ? CLI_UNREACHABLE : CLI_FAILED, "%s",
                        why.text);
    }
    if (as_json) {
        json_t *o = cli_journal_json(dir, n);
        (void)json_dumpf(o, cli->out, JSON_INDENT(1));
        (void)fputc('\n', cli->out);
        json_decref(o);
    } else {
        cli_journal_print(cli, dir, n);
    }
    bool well = !n->damaged && n->marked == TS_OK && n->has_record;
    journal_inspection_free(n);
    return well ? CLI_OK : CLI_FAILED;
}

int cli_journal(const struct cli *cli, int argc, char **argv)
{
    static const struct option OPTIONS[] = {
        {"json", no_argument, NULL, 'j'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    bool as_json = false;
    int c;
    optind = 0; /* GNU: from the beginning, whatever was parsed before */
    while ((c = getopt_long(argc, argv, "h", OPTIONS, NULL)) != -1) {
        if (c == 'j') {
            as_json = true;
        } else if (c == 'h') {
            print_help(cli->out);
            return CLI_OK;
        } else {
            return cli_usage(cli, "journal");
        }
    }
    if (optind == argc || strcmp(argv[optind], "inspect") != 0) {
        return cli_fail(cli, CLI_USAGE, "what is to be done? It is: twinstep journal inspect DIR");
    }
    if (optind + 1 == argc) {
        return cli_fail(cli, CLI_USAGE, "which directory? A replica's is RUN/NODE/groups/GROUP");
    }
    if (optind + 2 < argc) {
        return cli_excess(cli, "journal", argv[optind + 2]);
    }
    return inspect(cli, argv[optind + 1], as_json);
}
