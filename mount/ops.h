/*
 * ops.h - the messages of the kernel, each a thin adapter: decode, call fs/, reply exactly once.
 */
#ifndef MOUNT_OPS_H
#define MOUNT_OPS_H

#include "fs/fs.h"
#include "mount/syncer.h"
#include "mount/transport.h"

/* The userdata of a session. All but `transport` is immutable while it runs. */
struct mnt_ctx {
	struct fs *fs;
	struct syncer *syncer;
	struct transport transport;
};

extern const struct fuse_lowlevel_ops mnt_ops;

/* Frees what this thread kept for its replies. */
void mnt_ops_thread_fini(void);

#endif
