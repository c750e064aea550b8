/*
 * volume.h - an open store with the dictionary and the filesystem on it, as one thing.
 */
#ifndef MOUNT_VOLUME_H
#define MOUNT_VOLUME_H

#include "fs/fs.h"
#include "store/io.h"
#include "store/why.h"

enum {
	MNT_LOCK_WAIT_MS = IO_LOCK_WAIT_MS,
	MNT_LOOK_WAIT_MS = 1000, /* for those who only want to look */
};

struct volume {
	struct io *io;
	struct art *art;
	struct fs *fs;
};

struct volume_options {
	enum io_kind io;
	struct art_options art; /* progress is filled in by mnt_volume_open() */
};

/* Opens it all; takes the lock (S5: so call it in the process that keeps it). While a long log is
 * replayed, says so on stderr if that is a terminal. Errors: those of io_open(), art_open(),
 * fs_open(); -ENOTDIR also for a store directory that is missing. The sentence names the store. */
int mnt_volume_open(
        const char *store, const struct volume_options *opt, struct volume *out, struct why *w);

/* Everything durable, a last checkpoint, the lock given back. Returns the first error; closed in
 * any case. */
int mnt_volume_close(struct volume *v);

#endif
