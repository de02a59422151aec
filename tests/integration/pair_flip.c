/* Goal: one flipped byte in the memory of one replica is found, the replica is named, both states
 * are kept, and the pair serves on with what their logs give (R5.2). The test writes a value that
 * occurs nowhere else and flips a byte of it in every place of the secondary's memory that holds
 * it: the digests of state slices stop agreeing. */
#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/prng.h"
#include "lab/ask.h"
#include "lab/clock.h"
#include "lab/exec.h"
#include "tests/integration/fixture.h"

#define VALUE_BYTES 64
#define CHUNK (1u << 20)
#define WAIT_MS 60000
/* A sanitizer's shadow memory takes terabytes of addresses, which hold no value. */
#define RANGE_MAX (1ULL << 34)

struct fixture fixture = {.name = "flip"};

/* Random letters: found again only where this value lies. */
static void make_value(char value[VALUE_BYTES + 1])
{
    struct ts_prng prng = ts_prng_init(lab_now_ns());
    for (unsigned i = 0; i < VALUE_BYTES; i++) {
        value[i] = (char)('a' + ts_prng_below(&prng, 26));
    }
    value[VALUE_BYTES] = '\0';
}

/* Flips a bit of every occurrence in [from, to); gives their number. */
static unsigned flip_range(int mem, uint64_t from, uint64_t to, const char *value)
{
    static uint8_t chunk[CHUNK + VALUE_BYTES];
    unsigned flipped = 0;
    for (uint64_t at = from; at < to; at += CHUNK) {
        size_t want = to - at < sizeof chunk ? (size_t)(to - at) : sizeof chunk;
        ssize_t n = pread(mem, chunk, want, (off_t)at);
        const uint8_t *next = chunk;
        while (n > 0) {
            size_t left = (size_t)n - (size_t)(next - chunk);
            const uint8_t *hit = memmem(next, left, value, VALUE_BYTES);
            if (hit == NULL) {
                break;
            }
            uint8_t byte = hit[VALUE_BYTES / 2] ^ 1;
            off_t where = (off_t)(at + (uint64_t)(hit - chunk) + VALUE_BYTES / 2);
            assert_int_equal(pwrite(mem, &byte, 1, where), 1);
            flipped++;
            next = hit + 1;
        }
    }
    return flipped;
}

static unsigned flip_everywhere(pid_t pid, const char *value)
{
    char path[64];
    char line[512];
    unsigned flipped = 0;
    snprintf(path, sizeof path, "/proc/%d/mem", (int)pid);
    int mem = open(path, O_RDWR | O_CLOEXEC);
    assert_true(mem >= 0);
    snprintf(path, sizeof path, "/proc/%d/maps", (int)pid);
    FILE *maps = fopen(path, "re");
    assert_non_null(maps);
    while (fgets(line, sizeof line, maps) != NULL) {
        /* "FROM-TO rw..." */
        char *end;
        uint64_t from = strtoull(line, &end, 16);
        uint64_t to = *end == '-' ? strtoull(end + 1, &end, 16) : from;
        if (strncmp(end, " rw", 3) == 0 && to - from <= RANGE_MAX) {
            flipped += flip_range(mem, from, to, value);
        }
    }
    fclose(maps);
    close(mem);
    return flipped;
}

/* How many states this NIC keeps for people. */
static unsigned kept_by(unsigned index)
{
    char path[TS_PATH_MAX];
    unsigned kept = 0;
    (void)snprintf(path, sizeof(path), "%s/%s/groups/kv", fixture.run,
                   lab_pair_node(&fixture.pair, index));
    DIR *d = opendir(path);
    assert_non_null(d);
    for (const struct dirent *e = readdir(d); e != NULL; e = readdir(d)) {
        kept += strncmp(e->d_name, "diverged-", 9) == 0;
    }
    (void)closedir(d);
    return kept;
}

/* Whether a line of the events fits this pattern. */
static bool told(const char *text)
{
    static char said[256 * 1024];
    char command[2 * TS_PATH_MAX];
    struct ts_why why;
    (void)snprintf(command, sizeof(command), "%s/twinstep events --dir %s 2>&1 | grep -e '%s'",
                   fixture.pair.run.bin, fixture.run, text);
    const char *argv[] = {"sh", "-c", command, NULL};
    said[0] = '\0';
    enum ts_err err = lab_exec(argv, NULL, said, sizeof(said), &why);
    return err == TS_OK;
}

static void test_flipped_byte_is_found_and_mended(void **state)
{
    (void)state;
    struct lab_addrs addrs = lab_pair_addrs(&fixture.pair);
    unsigned secondary = 1 - fixture_primary(&fixture);
    struct nodes_proc replica;
    struct lab_answer answer;
    struct lab_state now;
    char value[VALUE_BYTES + 1];
    make_value(value);
    const char *set[] = {"SET", "victim", value, NULL};
    assert_true(lab_ask_again(&addrs, set, WAIT_MS, &answer));
    struct lab_load *load = fixture_load(&fixture, "flip");
    assert_true(lab_load_wait_acks(load, 500, WAIT_MS)); /* the secondary has applied it by now */
    assert_true(nodes_find(&fixture.pair.run, lab_pair_node(&fixture.pair, secondary), "replica",
                           LAB_PAIR_GROUP, &replica));
    unsigned flipped = flip_everywhere(replica.pid, value);
    print_message("flipped a bit of %u copies in process %d\n", flipped, (int)replica.pid);
    assert_true(flipped > 0);
    uint64_t flipped_ns = lab_now_ns();
    do {
        assert_true(lab_now_ns() - flipped_ns < WAIT_MS * TS_NS_PER_MS);
        lab_pause_ms(50);
    } while (!told("culprit"));
    assert_true(lab_pair_wait_redundant(&fixture.pair, WAIT_MS, &now));
    print_message("all was well again after %.1f s\n", (double)(lab_now_ns() - flipped_ns) / 1e9);
    char named[64]; /* who it was, and nobody else */
    (void)snprintf(named, sizeof(named), "%s .*culprit", lab_pair_node(&fixture.pair, secondary));
    assert_true(told(named));
    (void)snprintf(named, sizeof(named), "%s .*culprit",
                   lab_pair_node(&fixture.pair, 1 - secondary));
    assert_false(told(named));
    assert_true(told("alarm-divergence") && told("suspect") && told("replays"));
    for (unsigned i = 0; i < LAB_NICS; i++) {
        assert_int_equal(kept_by(i), 1);
    }
    const char *get[] = {"GET", "victim", NULL};
    assert_true(lab_ask_again(&addrs, get, WAIT_MS, &answer));
    assert_memory_equal(answer.text, value, VALUE_BYTES);
    fixture_judge(load);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_flipped_byte_is_found_and_mended),
    };
    return fixture_run(tests);
}
