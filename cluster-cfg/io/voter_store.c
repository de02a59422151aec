#include "cluster-cfg/io/voter_store.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/io/slot_file.h"
#include "net/work.h"

#define IDENTITY_VERSION 4U
#define IDENTITY_MAX \
    (4U + 8U + 8U + 1U + 1U + 8U * REG_PLACES_MAX + 4U + 4U * VOTER_STORE_REGISTERS_MAX)

/* The voter's own part: which registers must be there, and how often it started. */
struct identity {
    uint64_t start_number;
    struct ts_instance start_instance; /* minted with the number; 0 before the first start */
    bool start_registered;             /* that start is known to a majority of voters */
    struct reg_places places;          /* whose place it is for; none: nobody's */
    uint32_t count;
    uint32_t ids[VOTER_STORE_REGISTERS_MAX];
};

/* One queued write; freed on the loop after its completion. */
struct pending {
    struct pending *next;
    struct ts_slot_file *file;
    voter_store_done_fn *done;
    void *arg;
    size_t len;
    uint8_t data[];
};

/* A FIFO of pending writes. */
struct pending_list {
    struct pending *head;
    struct pending **tail; /* the link that the next one is put into */
    size_t count;
};

struct voter_store {
    /* config */
    uv_loop_t *loop;
    char dir[TS_PATH_MAX];
    voter_store_failed_fn *failed_cb;
    void *failed_arg;
    void (*closed_cb)(void *arg);
    void *closed_arg;
    /* durable; touched by the worker only while `working` */
    struct ts_slot_file *identity_file;
    struct ts_slot_file *starts_file;
    struct ts_slot_file *register_files[VOTER_STORE_REGISTERS_MAX];
    /* as found at open */
    struct ts_incarnation incarnation;
    struct identity identity;
    struct {
        uint8_t *data;
        size_t len;
    } found[VOTER_STORE_REGISTERS_MAX + 1]; /* the last one: the start registrations */
    /* loop */
    struct net_work work;
    bool working;
    bool closing;
    bool failed;
    struct pending_list queue;
    /* the group in the worker's hands */
    struct pending_list group;
    enum ts_err group_err;
    struct ts_why group_why;
};

static void list_init(struct pending_list *l)
{
    *l = (struct pending_list){0};
    l->tail = &l->head;
}

static void list_free(struct pending_list *l)
{
    while (l->head != NULL) {
        struct pending *p = l->head;
        l->head = p->next;
        free(p);
    }
    list_init(l);
}

static void identity_encode(const struct identity *id, struct ts_writer *w)
{
    ts_put_u32(w, IDENTITY_VERSION);
    ts_put_u64(w, id->start_number);
    ts_put_u64(w, id->start_instance.v);
    ts_put_u8(w, id->start_registered ? 1 : 0);
    reg_places_encode(&id->places, w);
    ts_put_u32(w, id->count);
    for (uint32_t i = 0; i < id->count; i++) {
        ts_put_u32(w, id->ids[i]);
    }
}

static enum ts_err identity_decode(struct identity *id, struct ts_bytes bytes)
{
    struct ts_reader r = ts_reader_init(bytes.data, bytes.len);
    uint32_t version = ts_get_u32(&r);
    if (ts_reader_status(&r) == TS_OK && version != IDENTITY_VERSION) {
        return TS_ERR_VERSION;
    }
    id->start_number = ts_get_u64(&r);
    id->start_instance.v = ts_get_u64(&r);
    uint8_t registered = ts_get_u8(&r);
    id->start_registered = registered == 1;
    reg_places_decode(&id->places, &r);
    id->count = ts_get_u32(&r);
    bool begun = id->start_registered || id->start_instance.v != 0;
    if (registered > 1 || !begun || id->count > VOTER_STORE_REGISTERS_MAX) {
        return TS_ERR_MALFORMED;
    }
    for (uint32_t i = 0; i < id->count; i++) {
        id->ids[i] = ts_get_u32(&r);
    }
    return ts_reader_finish(&r);
}

static enum ts_err part_path(char out[TS_PATH_MAX], const char *dir, uint32_t id,
                             struct ts_why *why)
{
    return id == VOTER_STORE_STARTS ? ts_path(out, why, dir, "starts")
                                    : ts_path(out, why, dir, "register-%" PRIu32, id);
}

static size_t part_max(uint32_t id)
{
    return id == VOTER_STORE_STARTS ? VOTER_STORE_STARTS_MAX : VOTER_STORE_RECORD_MAX;
}

/* ---- format ---- */

static enum ts_err format_part(const char *dir, struct ts_incarnation incarnation, uint32_t id,
                               struct ts_bytes bytes, struct ts_why *why)
{
    char path[TS_PATH_MAX];
    enum ts_err err = part_path(path, dir, id, why);
    return err != TS_OK ? err : ts_slot_format(path, incarnation, part_max(id), bytes, why);
}

static enum ts_err format_identity(const char *dir, struct ts_incarnation incarnation,
                                   const struct identity *id, struct ts_why *why)
{
    char path[TS_PATH_MAX];
    enum ts_err err = ts_path(path, why, dir, "identity");
    if (err != TS_OK) {
        return err;
    }
    uint8_t mem[IDENTITY_MAX];
    struct ts_writer w = ts_writer_init(mem, sizeof(mem));
    identity_encode(id, &w);
    ts_assert(ts_writer_status(&w) == TS_OK);
    return ts_slot_format(path, incarnation, IDENTITY_MAX, (struct ts_bytes){mem, w.len}, why);
}

static enum ts_err format_disk(const char *dir, struct ts_incarnation incarnation,
                               struct identity *id, const struct voter_store_record *initial,
                               size_t count, struct ts_why *why)
{
    struct ts_bytes starts = {NULL, 0};
    for (size_t i = 0; i < count; i++) {
        if (initial[i].id == VOTER_STORE_STARTS) {
            starts = initial[i].bytes;
            continue;
        }
        if (id->count == VOTER_STORE_REGISTERS_MAX) {
            return ts_why(why, TS_ERR_LIMIT,
                          "cannot format the voter in %s: more than %d registers; use fewer groups",
                          dir, VOTER_STORE_REGISTERS_MAX);
        }
        id->ids[id->count++] = initial[i].id;
    }
    char staging[TS_PATH_MAX];
    enum ts_err err = ts_dir_stage_begin(dir, staging, why);
    if (err == TS_OK) {
        err = format_identity(staging, incarnation, id, why);
    }
    if (err == TS_OK) {
        err = format_part(staging, incarnation, VOTER_STORE_STARTS, starts, why);
    }
    for (size_t i = 0; i < count && err == TS_OK; i++) {
        if (initial[i].id != VOTER_STORE_STARTS) {
            err = format_part(staging, incarnation, initial[i].id, initial[i].bytes, why);
        }
    }
    if (err == TS_OK) {
        err = ts_dir_reserve_mark(staging, why);
    }
    return err != TS_OK ? err : ts_dir_stage_finish(dir, why);
}

enum ts_err voter_store_format(const char *dir, struct ts_incarnation incarnation,
                               const struct voter_store_record *initial, size_t count,
                               struct ts_why *why)
{
    struct identity id = {.start_registered = true};
    return format_disk(dir, incarnation, &id, initial, count, why);
}

enum ts_err voter_store_format_blank(const char *dir, struct ts_incarnation incarnation,
                                     const struct reg_places *places, const uint32_t *ids,
                                     size_t count, struct ts_why *why)
{
    ts_assert(places->count > 0);
    struct identity id = {.start_registered = true, .places = *places};
    struct voter_store_record blank[VOTER_STORE_REGISTERS_MAX] = {{0}};
    if (count > VOTER_STORE_REGISTERS_MAX) {
        return ts_why(why, TS_ERR_LIMIT,
                      "cannot format the voter in %s: more than %d registers; use fewer groups",
                      dir, VOTER_STORE_REGISTERS_MAX);
    }
    for (size_t i = 0; i < count; i++) {
        blank[i] = (struct voter_store_record){.id = ids[i], .bytes = {NULL, 0}};
    }
    return format_disk(dir, incarnation, &id, blank, count, why);
}

/* ---- open ---- */

/* R2.11: `err` is of a write or a sync; one that found the disk merely full casts no doubt on it.
 */
static enum ts_err distrust(const struct voter_store *s, enum ts_err err, const struct ts_why *why)
{
    if (err != TS_OK && err != TS_ERR_NOSPACE && err != TS_ERR_NOMEM) {
        ts_dir_abandon(s->dir, why != NULL ? why->text : ts_err_text(err));
    }
    return err;
}

/* Opens the identity, and learns from it the incarnation and the list of registers. */
static enum ts_err open_identity(struct voter_store *s, struct ts_why *why)
{
    char path[TS_PATH_MAX];
    enum ts_err err = ts_path(path, why, s->dir, "identity");
    if (err == TS_OK) {
        err = ts_slot_open(&s->identity_file, path, (struct ts_incarnation){0}, why);
    }
    if (err != TS_OK) {
        return err == TS_ERR_IO ? distrust(s, err, why) : err;
    }
    s->incarnation = ts_slot_incarnation(s->identity_file);
    err = identity_decode(&s->identity, ts_slot_value(s->identity_file));
    if (err == TS_ERR_VERSION) {
        return ts_why(why, err,
                      "%s has a format that this release does not know; use the release that wrote "
                      "it, or a newer one",
                      path);
    }
    if (err != TS_OK || reg_places_has(&s->identity.places, s->incarnation)) {
        return ts_why(
            why, TS_ERR_CORRUPT,
            "%s does not hold a voter's identity; put the right file back, or enrol a new "
            "disk",
            path);
    }
    return TS_OK;
}

/* Opens one part and keeps what it holds for the voter core. */
static enum ts_err open_part(struct voter_store *s, uint32_t id, struct ts_slot_file **file,
                             size_t index, struct ts_why *why)
{
    char path[TS_PATH_MAX];
    enum ts_err err = part_path(path, s->dir, id, why);
    if (err == TS_OK) {
        err = ts_slot_open(file, path, s->incarnation, why);
    }
    if (err != TS_OK) {
        return err == TS_ERR_IO ? distrust(s, err, why) : err;
    }
    struct ts_bytes value = ts_slot_value(*file);
    s->found[index].data = malloc(value.len + 1);
    if (s->found[index].data == NULL) {
        return ts_why(why, TS_ERR_NOMEM, "no memory to read %s", path);
    }
    if (value.len > 0) {
        memcpy(s->found[index].data, value.data, value.len);
    }
    s->found[index].len = value.len;
    return TS_OK;
}

/* R1.8. A start that is not known to be registered is repeated, not raised: otherwise a rolled-back
 * image would come closer to acceptance with every start that ends before the voters refuse it. */
static enum ts_err raise_start_number(struct voter_store *s, struct ts_why *why)
{
    if (!s->identity.start_registered) {
        return TS_OK;
    }
    s->identity.start_number++;
    s->identity.start_instance.v = ts_random_id();
    s->identity.start_registered = false;
    uint8_t mem[IDENTITY_MAX];
    struct ts_writer w = ts_writer_init(mem, sizeof(mem));
    identity_encode(&s->identity, &w);
    ts_assert(ts_writer_status(&w) == TS_OK);
    enum ts_err err = ts_slot_write(s->identity_file, (struct ts_bytes){mem, w.len}, why);
    return distrust(s, err, why);
}

static void store_free(struct voter_store *s)
{
    ts_slot_close(s->identity_file);
    ts_slot_close(s->starts_file);
    for (size_t i = 0; i < VOTER_STORE_REGISTERS_MAX; i++) {
        ts_slot_close(s->register_files[i]);
    }
    for (size_t i = 0; i <= VOTER_STORE_REGISTERS_MAX; i++) {
        free(s->found[i].data);
    }
    list_free(&s->queue);
    list_free(&s->group);
    free(s);
}

static enum ts_err open_all(struct voter_store *s, struct ts_why *why)
{
    enum ts_err err = ts_dir_check_marks(s->dir, why);
    if (err == TS_OK) {
        err = open_identity(s, why);
    }
    if (err == TS_OK) {
        err = open_part(s, VOTER_STORE_STARTS, &s->starts_file, VOTER_STORE_REGISTERS_MAX, why);
    }
    for (size_t i = 0; err == TS_OK && i < s->identity.count; i++) {
        err = open_part(s, s->identity.ids[i], &s->register_files[i], i, why);
    }
    /* Last: a disk that is refused has not started. */
    return err != TS_OK ? err : raise_start_number(s, why);
}

enum ts_err voter_store_open(struct voter_store **out, uv_loop_t *loop, const char *dir,
                             voter_store_failed_fn *failed, void *arg, struct ts_why *why)
{
    size_t len = strlen(dir);
    if (len >= TS_PATH_MAX) {
        return ts_why(why, TS_ERR_LIMIT, "the path %.200s… is longer than %d bytes", dir,
                      TS_PATH_MAX - 1);
    }
    struct voter_store *s = calloc(1, sizeof(*s));
    if (s == NULL) {
        return ts_why(why, TS_ERR_NOMEM, "no memory to open the voter in %s", dir);
    }
    s->loop = loop;
    s->failed_cb = failed;
    s->failed_arg = arg;
    memcpy(s->dir, dir, len + 1);
    list_init(&s->queue);
    list_init(&s->group);
    enum ts_err err = open_all(s, why);
    if (err != TS_OK) {
        store_free(s);
        return err;
    }
    *out = s;
    return TS_OK;
}

struct ts_incarnation voter_store_incarnation(const struct voter_store *s)
{
    return s->incarnation;
}

const struct reg_places *voter_store_places(const struct voter_store *s)
{
    return &s->identity.places;
}

uint64_t voter_store_start_number(const struct voter_store *s)
{
    return s->identity.start_number;
}

struct ts_instance voter_store_start_instance(const struct voter_store *s)
{
    return s->identity.start_instance;
}

size_t voter_store_register_count(const struct voter_store *s)
{
    return s->identity.count;
}

struct voter_store_record voter_store_register(const struct voter_store *s, size_t i)
{
    ts_assert(i < s->identity.count);
    return (struct voter_store_record){.id = s->identity.ids[i],
                                       .bytes = {s->found[i].data, s->found[i].len}};
}

struct ts_bytes voter_store_starts(const struct voter_store *s)
{
    return (struct ts_bytes){s->found[VOTER_STORE_REGISTERS_MAX].data,
                             s->found[VOTER_STORE_REGISTERS_MAX].len};
}

/* ---- write ---- */

/* On a worker thread: the whole group, in order; stops at the first error. */
static void work_write(void *arg)
{
    struct voter_store *s = arg;
    s->group_err = TS_OK;
    for (struct pending *p = s->group.head; p != NULL; p = p->next) {
        s->group_err = ts_slot_write(p->file, (struct ts_bytes){p->data, p->len}, &s->group_why);
        if (s->group_err != TS_OK) {
            (void)distrust(s, s->group_err, &s->group_why);
            return;
        }
    }
}

static void work_done(void *arg);

static void start_work(struct voter_store *s)
{
    ts_assert(!s->working && s->group.head == NULL);
    if (s->queue.head == NULL || s->failed) {
        return;
    }
    s->group = s->queue;
    list_init(&s->queue);
    s->working = true;
    net_work_queue(s->loop, &s->work, work_write, work_done, s);
}

static void finish_close(struct voter_store *s)
{
    void (*closed)(void *arg) = s->closed_cb;
    void *arg = s->closed_arg;
    store_free(s);
    if (closed != NULL) {
        closed(arg);
    }
}

/* On the loop. A group that failed completes nothing: which of its writes reached the disk is not
 * worth knowing, the voter is lost (R2.11). */
static void work_done(void *arg)
{
    struct voter_store *s = arg;
    struct pending_list group = s->group;
    list_init(&s->group);
    for (struct pending *p = group.head; p != NULL && s->group_err == TS_OK; p = p->next) {
        p->done(p->arg);
    }
    list_free(&group);
    if (s->group_err != TS_OK) {
        s->failed = true;
        list_free(&s->queue);
        s->failed_cb(s->failed_arg, s->group_err, s->group_why.text);
    }
    s->working = false; /* only now: the callbacks above may have called close */
    if (s->queue.head != NULL) {
        start_work(s);
    } else if (s->closing) {
        finish_close(s);
    }
}

static struct ts_slot_file *file_of(struct voter_store *s, uint32_t id)
{
    if (id == VOTER_STORE_STARTS) {
        return s->starts_file;
    }
    for (size_t i = 0; i < s->identity.count; i++) {
        if (s->identity.ids[i] == id) {
            return s->register_files[i];
        }
    }
    return NULL;
}

static enum ts_err enqueue(struct voter_store *s, struct ts_slot_file *file, struct ts_bytes bytes,
                           voter_store_done_fn *done, void *arg)
{
    if (s->queue.count == VOTER_STORE_QUEUE_MAX) {
        return TS_ERR_FULL;
    }
    struct pending *p = malloc(sizeof(*p) + bytes.len);
    if (p == NULL) {
        return TS_ERR_NOMEM;
    }
    p->next = NULL;
    p->file = file;
    p->done = done;
    p->arg = arg;
    p->len = bytes.len;
    if (bytes.len > 0) {
        memcpy(p->data, bytes.data, bytes.len);
    }
    *s->queue.tail = p;
    s->queue.tail = &p->next;
    s->queue.count++;
    if (!s->working) {
        start_work(s);
    }
    return TS_OK;
}

enum ts_err voter_store_write(struct voter_store *s, uint32_t id, struct ts_bytes bytes,
                              voter_store_done_fn *done, void *arg)
{
    struct ts_slot_file *file = file_of(s, id);
    if (s->failed || s->closing) {
        return TS_ERR_CLOSED;
    }
    if (file == NULL) {
        return TS_ERR_NOT_FOUND;
    }
    return bytes.len > part_max(id) ? TS_ERR_LIMIT : enqueue(s, file, bytes, done, arg);
}

enum ts_err voter_store_confirm_start(struct voter_store *s, voter_store_done_fn *done, void *arg)
{
    if (s->failed || s->closing) {
        return TS_ERR_CLOSED;
    }
    struct identity id = s->identity;
    id.start_registered = true;
    uint8_t mem[IDENTITY_MAX];
    struct ts_writer w = ts_writer_init(mem, sizeof(mem));
    identity_encode(&id, &w);
    ts_assert(ts_writer_status(&w) == TS_OK);
    return enqueue(s, s->identity_file, (struct ts_bytes){mem, w.len}, done, arg);
}

/* Closing is always told from the loop, never from within voter_store_close. */
static void work_nothing(void *arg)
{
    (void)arg;
}

static void closed_idle(void *arg)
{
    finish_close(arg);
}

void voter_store_close(struct voter_store *s, void (*closed)(void *arg), void *arg)
{
    ts_assert(!s->closing);
    s->closing = true;
    s->closed_cb = closed;
    s->closed_arg = arg;
    if (!s->working) {
        net_work_queue(s->loop, &s->work, work_nothing, closed_idle, s);
    }
}
