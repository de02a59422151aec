/* Which of a node's files a fault of data means, and what bit rot did to one of them. */
#ifndef LAB_ROT_H
#define LAB_ROT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* X(symbol, name, what they are) */
#define LAB_FILES_LIST(X) \
    X(LAB_FILES_GROUPS, "groups", "what the node's replicas keep") \
    X(LAB_FILES_VOTER, "voter", "what its voter keeps") \
    X(LAB_FILES_JOURNAL, "journal", "a record of the group's journal that is behind") \
    X(LAB_FILES_JOURNAL_END, "journal-end", "the newest one") \
    X(LAB_FILES_SNAPSHOT, "snapshot", "the newest snapshot of the group") \
    X(LAB_FILES_REGISTER, "register", "a register of the voter") \
    X(LAB_FILES_STARTS, "starts", "the starts that the voter knows") \
    X(LAB_FILES_IDENTITY, "identity", "the voter's own identity")

enum lab_files {
#define LAB_FILES_ENUM(sym, name, about) sym,
    LAB_FILES_LIST(LAB_FILES_ENUM)
#undef LAB_FILES_ENUM
        LAB_FILES
};

#define LAB_FILES_OF_DISK(files) ((files) <= LAB_FILES_VOTER)
#define LAB_FILES_HAVE_COPIES(files) ((files) >= LAB_FILES_REGISTER)

const char *lab_files_name(enum lab_files files);

#define LAB_ROT_FLIPS_MAX 4
#define LAB_ROT_FILE_MAX 128

/* One byte of which a bit was flipped. */
struct lab_flip {
    uint64_t at;
    uint8_t was;
    uint8_t now;
};

struct lab_rot {
    /* what is wanted */
    enum lab_files files;
    bool all_copies; /* of a voter's file: each of the four that it has */
    uint64_t seed;   /* of the place */
    /* what was done */
    char file[LAB_ROT_FILE_MAX]; /* below the node's directory */
    size_t count;
    struct lab_flip flips[LAB_ROT_FLIPS_MAX];
};

#endif
