/* Exit statuses that programs of one NIC agree on. */
#ifndef BASE_EXIT_H
#define BASE_EXIT_H

/* Ended as asked. */
#define TS_EXIT_OK 0
/* Failed in a way that a restart may heal. */
#define TS_EXIT_FAILURE 1
/* Refused to start for a reason that only a person can remove: a mistake in the configuration,
 * a blank, cloned or rolled-back disk. The program has printed the sentence as its last line.
 * nicd waits long before it tries again. The number is EX_CONFIG of sysexits.h. */
#define TS_EXIT_CONFIG 78
/* Ended to begin anew, with what it has put on the disk: nicd starts it at once, as if it had not
 * ended. The number is EX_TEMPFAIL of sysexits.h. */
#define TS_EXIT_AGAIN 75

#endif
