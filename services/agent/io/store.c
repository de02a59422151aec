#include "services/agent/io/store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/hash.h"
#include "base/io/disk.h"
#include "base/io/slot_file.h"
#include "base/memory.h"

#define EPOCH_VERSION 1
#define EPOCH_BYTES 10
#define MAGIC "TSNTAB1\n"
#define MAGIC_BYTES 8
#define RECORD_HEADER 8
#define BODY_ITEMS 1
#define BODY_TABLE 2
#define BODY_TABLE_BYTES 33
/* A record of items ends behind the one with which it has this many bytes. */
#define RECORD_BYTES (64U * 1024U)
#define RECORD_MAX (RECORD_BYTES + SOUTH_ITEM_HEADER + SOUTH_KEY_MAX + SOUTH_VALUE_MAX + 64U)
#define FILE_MAX (3U * 1024U * 1024U * 1024U)
/* Changes are appended up to the bytes of the table and this. */
#define APPENDED_MIN (4U * 1024U * 1024U)

struct agent_store {
    char epoch_path[TS_PATH_MAX];
    char table_path[TS_PATH_MAX];
    struct ts_slot_file *epoch;
    int fd;            /* of the table; -1: it is to be written as a whole */
    uint64_t size;     /* of the file */
    uint64_t first;    /* bytes of it when it was written as a whole */
    struct ts_hash is; /* digest of the table that it ends with */
};

/* ---- the epoch ---- */

static struct ts_bytes epoch_bytes(uint8_t room[EPOCH_BYTES], struct ts_epoch epoch, bool lost)
{
    struct ts_writer w = ts_writer_init(room, EPOCH_BYTES);
    ts_put_u8(&w, EPOCH_VERSION);
    ts_put_u64(&w, epoch.v);
    ts_put_u8(&w, lost);
    ts_assert(!w.failed);
    return (struct ts_bytes){room, w.len};
}

static bool read_epoch(const struct agent_store *s, struct agent_stored *found)
{
    struct ts_bytes value = ts_slot_value(s->epoch);
    struct ts_reader r = ts_reader_init(value.data, value.len);
    bool known = ts_get_u8(&r) == EPOCH_VERSION;
    found->epoch.v = ts_get_u64(&r);
    found->epoch_lost = ts_get_bool(&r);
    return known && ts_reader_finish(&r) == TS_OK;
}

/* What is not readable is put aside, for whoever wants to know. */
static enum ts_err put_aside(const char *path, struct ts_why *why)
{
    char aside[TS_PATH_MAX + 16];
    (void)snprintf(aside, sizeof(aside), "%s.damaged", path);
    return ts_disk_rename(path, aside) == 0 ? TS_OK
                                            : ts_why_sys(why, errno, "cannot rename %s", path);
}

/* A store without an epoch: a new one, or one that has lost it. */
static enum ts_err make_epoch(struct agent_store *s, const struct agent_stored *found,
                              struct ts_why *why)
{
    uint8_t room[EPOCH_BYTES];
    struct ts_bytes first = epoch_bytes(room, found->table_epoch, found->epoch_lost);
    enum ts_err err = ts_slot_format(s->epoch_path, (struct ts_incarnation){ts_random_id()},
                                     EPOCH_BYTES, first, why);
    if (err == TS_OK) {
        err = ts_slot_open(&s->epoch, s->epoch_path, (struct ts_incarnation){0}, why);
    }
    return err;
}

static enum ts_err open_epoch(struct agent_store *s, struct agent_stored *found,
                              struct agent_store_news *news, struct ts_why *why)
{
    enum ts_err err = ts_slot_open(&s->epoch, s->epoch_path, (struct ts_incarnation){0}, why);
    if (err == TS_OK && !read_epoch(s, found)) {
        ts_slot_close(s->epoch);
        s->epoch = NULL;
        err = ts_why(why, TS_ERR_CORRUPT, "%s is no record of an epoch", s->epoch_path);
    }
    if (err == TS_ERR_NOT_FOUND) {
        found->epoch_lost = found->has_table;
        if (found->epoch_lost) {
            (void)snprintf(
                news->epoch, sizeof(news->epoch),
                "%.400s is gone, and there is a table: the highest epoch is not known, it is "
                "%llu or more",
                s->epoch_path, (unsigned long long)found->table_epoch.v);
        }
        err = make_epoch(s, found, why);
    } else if (err == TS_ERR_CORRUPT) {
        found->epoch_lost = true;
        (void)snprintf(news->epoch, sizeof(news->epoch),
                       "%.*s: the highest epoch is not known, it is %llu or more; the file is "
                       "kept as %.200s.damaged",
                       400, why == NULL ? s->epoch_path : why->text,
                       (unsigned long long)found->table_epoch.v, s->epoch_path);
        err = put_aside(s->epoch_path, why);
        err = err == TS_OK ? make_epoch(s, found, why) : err;
    }
    if (ts_epoch_lt(found->epoch, found->table_epoch)) {
        found->epoch = found->table_epoch;
    }
    return err;
}

enum ts_err agent_store_epoch(struct agent_store *s, struct ts_epoch epoch, struct ts_why *why)
{
    uint8_t room[EPOCH_BYTES];
    return ts_slot_write(s->epoch, epoch_bytes(room, epoch, false), why);
}

/* ---- records ---- */

/* A file that is being made, or what is appended to one. */
struct records {
    uint8_t *data; /* owned */
    size_t len;
    size_t room;
    size_t begun; /* where the record of items begins, 0 = there is none */
    uint32_t items;
};

static struct ts_writer room_for(struct records *r, size_t n)
{
    if (r->room - r->len < n) {
        r->room = 2 * r->room + n;
        r->data = realloc(r->data, r->room);
        ts_must(r->data);
    }
    return ts_writer_init(r->data + r->len, r->room - r->len);
}

/* The header of a record whose body has been written behind it. */
static void seal(struct records *r, size_t at)
{
    size_t len = r->len - at - RECORD_HEADER;
    struct ts_writer w = ts_writer_init(r->data + at, RECORD_HEADER);
    ts_put_u32(&w, (uint32_t)len);
    ts_put_u32(&w, ts_crc32c(r->data + at + RECORD_HEADER, len));
}

static void end_items(struct records *r)
{
    if (r->begun > 0) {
        struct ts_writer w = ts_writer_init(r->data + r->begun - 1 + RECORD_HEADER + 1, 4);
        ts_put_u32(&w, r->items);
        seal(r, r->begun - 1);
        r->begun = 0;
    }
}

static void put_item(struct records *r, const char *key, struct ts_bytes value)
{
    struct ts_writer w = room_for(r, RECORD_MAX);
    if (r->begun == 0) {
        r->begun = r->len + 1;
        r->items = 0;
        ts_put_u64(&w, 0); /* the header */
        ts_put_u8(&w, BODY_ITEMS);
        ts_put_u32(&w, 0);
    }
    south_item_put(&w, &(struct south_item){{(const uint8_t *)key, strlen(key)}, value});
    ts_assert(!w.failed);
    r->len += w.len;
    r->items++;
    if (r->len - r->begun >= RECORD_BYTES) {
        end_items(r);
    }
}

static void put_table(struct records *r, const struct netctl_tree *is, struct ts_epoch epoch,
                      struct ts_seq gen)
{
    end_items(r);
    size_t at = r->len;
    struct ts_writer w = room_for(r, RECORD_MAX);
    ts_put_u64(&w, 0);
    ts_put_u8(&w, BODY_TABLE);
    ts_put_u64(&w, epoch.v);
    ts_put_u64(&w, gen.v);
    ts_put_hash(&w, is->digest);
    r->len += w.len;
    seal(r, at);
}

static void on_differs(void *arg, const char *key, struct ts_bytes was, struct ts_bytes is)
{
    (void)was;
    put_item(arg, key, is);
}

/* ---- the table ---- */

static void close_table(struct agent_store *s)
{
    if (s->fd >= 0) {
        (void)ts_disk_close(s->fd);
        s->fd = -1;
    }
}

static enum ts_err open_table(struct agent_store *s, struct ts_why *why)
{
    s->fd = ts_disk_open(s->table_path, O_RDWR, 0600);
    return s->fd >= 0 ? TS_OK : ts_why_sys(why, errno, "cannot open %s", s->table_path);
}

static enum ts_err write_whole(struct agent_store *s, const struct netctl_tree *is,
                               struct ts_epoch epoch, struct ts_seq gen, struct ts_why *why)
{
    struct records r = {0};
    struct netctl_item i = {NULL, {NULL, 0}};
    struct ts_writer w = room_for(&r, RECORD_MAX);
    ts_put_bytes(&w, MAGIC, MAGIC_BYTES);
    r.len = w.len;
    while (netctl_tree_next(is, "", &i)) {
        put_item(&r, i.key, i.value);
    }
    put_table(&r, is, epoch, gen);
    close_table(s);
    enum ts_err err = ts_file_replace(s->table_path, r.data, r.len, 0600, why);
    if (err == TS_OK) {
        err = open_table(s, why);
    }
    s->size = s->first = r.len;
    s->is = is->digest;
    free(r.data);
    return err;
}

static enum ts_err append(struct agent_store *s, const struct records *r, struct ts_why *why)
{
    enum ts_err err = ts_fd_write_at(s->fd, s->table_path, r->data, r->len, s->size, why);
    if (err == TS_OK) {
        err = ts_fd_sync(s->fd, s->table_path, why);
    }
    if (err != TS_OK) {
        close_table(s); /* nobody knows what its end is like */
        return err;
    }
    s->size += r->len;
    return TS_OK;
}

enum ts_err agent_store_table(struct agent_store *s, const struct netctl_tree *was,
                              const struct netctl_tree *is, struct ts_epoch epoch,
                              struct ts_seq gen, struct ts_why *why)
{
    bool may_append =
        s->fd >= 0 && ts_hash_eq(s->is, was->digest) && s->size <= 2 * s->first + APPENDED_MIN;
    if (!may_append) {
        return write_whole(s, is, epoch, gen, why);
    }
    struct records r = {0};
    netctl_tree_diff(was, is, on_differs, &r);
    put_table(&r, is, epoch, gen);
    enum ts_err err = append(s, &r, why);
    free(r.data);
    s->is = is->digest;
    return err;
}

/* ---- reading ---- */

static bool take_items(struct ts_reader *r, struct netctl_tree *t)
{
    uint32_t count = ts_get_u32(r);
    for (uint32_t i = 0; i < count && !r->failed; i++) {
        struct south_item item = south_item_get(r);
        char key[SOUTH_KEY_MAX + 1];
        if (r->failed || item.key.len == 0 || item.key.len > SOUTH_KEY_MAX ||
            item.value.len > SOUTH_VALUE_MAX || memchr(item.key.data, 0, item.key.len) != NULL) {
            return false;
        }
        memcpy(key, item.key.data, item.key.len);
        key[item.key.len] = '\0';
        if (item.value.data != NULL) {
            netctl_tree_put(t, key, item.value);
        } else {
            (void)netctl_tree_remove(t, key);
        }
    }
    return ts_reader_finish(r) == TS_OK;
}

static bool take_table(struct ts_reader *r, const struct netctl_tree *t, struct agent_stored *found)
{
    struct ts_epoch epoch = {ts_get_u64(r)};
    struct ts_seq gen = {ts_get_u64(r)};
    struct ts_hash digest = ts_get_hash(r);
    if (ts_reader_finish(r) != TS_OK || !ts_hash_eq(digest, t->digest)) {
        return false;
    }
    netctl_tree_free(&found->table);
    found->table = netctl_tree_copy(t);
    found->table_epoch = epoch;
    found->gen = gen;
    found->has_table = true;
    return true;
}

/* Gives up to where the file is good, and what it has up to there. */
static size_t parse(struct ts_bytes file, struct agent_stored *found)
{
    struct ts_reader all = ts_reader_init(file.data, file.len);
    struct ts_bytes magic = ts_get_bytes(&all, MAGIC_BYTES);
    struct netctl_tree t = netctl_tree_make(0);
    size_t good = 0;
    bool is_good = magic.data != NULL && memcmp(magic.data, MAGIC, MAGIC_BYTES) == 0;
    while (is_good && ts_reader_left(&all) > 0) {
        uint32_t len = ts_get_u32(&all);
        uint32_t crc = ts_get_u32(&all);
        struct ts_bytes body = ts_get_bytes(&all, len);
        is_good = body.data != NULL && len > 0 && ts_crc32c(body.data, body.len) == crc;
        struct ts_reader r = ts_reader_init(body.data, is_good ? body.len : 0);
        uint8_t kind = ts_get_u8(&r);
        if (is_good && kind == BODY_TABLE) {
            is_good = take_table(&r, &t, found);
            good = is_good ? all.pos : good;
        } else {
            is_good = is_good && kind == BODY_ITEMS && take_items(&r, &t);
        }
    }
    netctl_tree_free(&t);
    return good;
}

static enum ts_err read_table(struct agent_store *s, struct agent_stored *found,
                              struct agent_store_news *news, struct ts_why *why)
{
    uint8_t *data = NULL;
    size_t len = 0;
    enum ts_err err = ts_file_read(s->table_path, FILE_MAX, &data, &len, why);
    if (err == TS_ERR_NOT_FOUND) {
        return TS_OK;
    }
    if (err != TS_OK) { /* a table is not worth a node without an agent */
        (void)snprintf(news->table, sizeof(news->table),
                       "%.500s: all of the table will be asked for",
                       why == NULL ? s->table_path : why->text);
        return TS_OK;
    }
    size_t good = parse((struct ts_bytes){data, len}, found);
    free(data);
    if (good < len) {
        (void)snprintf(news->table, sizeof(news->table),
                       "%.400s is damaged, or its end was not written, behind %zu of %zu bytes: %s",
                       s->table_path, good, len,
                       found->has_table ? "the table of before is restored"
                                        : "all of the table will be asked for");
        return TS_OK; /* it is written as a whole next */
    }
    s->size = s->first = len;
    s->is = found->table.digest;
    return open_table(s, why);
}

enum ts_err agent_store_open(struct agent_store **out, const char *dir, struct agent_stored *found,
                             struct agent_store_news *news, struct ts_why *why)
{
    struct agent_store *s = calloc(1, sizeof(*s));
    ts_must(s);
    s->fd = -1;
    *found = (struct agent_stored){.table = netctl_tree_make(0)};
    *news = (struct agent_store_news){.epoch = ""};
    enum ts_err err = ts_dir_make(dir, 0700, why);
    err = err == TS_OK ? ts_path(s->epoch_path, why, dir, "epoch") : err;
    err = err == TS_OK ? ts_path(s->table_path, why, dir, "table") : err;
    err = err == TS_OK ? read_table(s, found, news, why) : err;
    err = err == TS_OK ? open_epoch(s, found, news, why) : err;
    if (err != TS_OK) {
        netctl_tree_free(&found->table);
        agent_store_close(s);
        return err;
    }
    *out = s;
    return TS_OK;
}

void agent_store_close(struct agent_store *s)
{
    if (s != NULL) {
        close_table(s);
        ts_slot_close(s->epoch);
        free(s);
    }
}
