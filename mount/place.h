/*
 * place.h - what must be true of the world before a mount: the store, the mount point, FUSE itself.
 *
 * All of it is looked at before anything is touched, so that each mistake gets one sentence of its
 * own instead of what the kernel makes of it.
 */
#ifndef MOUNT_PLACE_H
#define MOUNT_PLACE_H

#include <stdbool.h>

struct place {
	char *store, *mountpoint; /* absolute, without links */
};

/* 0, or the exit code after its sentence was printed. */
int mnt_place_find(const char *store, const char *mountpoint, bool allow_other, struct place *out);
void mnt_place_fini(struct place *p);

/* Whether something is mounted exactly there. `path` is absolute, without links. */
bool mnt_is_mounted(const char *path);

/* The path of fusermount3, or NULL. */
const char *mnt_fusermount(void);

#endif
