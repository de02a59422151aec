/* What the two files of the preloaded library share. */
#ifndef LAB_DISK_DISK_H
#define LAB_DISK_DISK_H

typedef long labdisk_real_fn(long number, ...);

/* The C library's own syscall(). */
labdisk_real_fn *labdisk_real(void);

#endif
