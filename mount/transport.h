/*
 * transport.h - between /dev/fuse and libfuse.
 *
 * libfuse 3.14 knows the feature PARALLEL_DIROPS and forgets to ask for it: without it the kernel
 * lets only one lookup or readdir at a time into a directory. So messages pass through hooks here,
 * which change one message in the life of a mount: the answer to INIT.
 *
 *     kernel ── INIT, features offered ──► hook remembers ──► libfuse
 *     kernel ◄── features wanted ──── hook adds its own ◄──── libfuse
 *
 * The descriptor is never cloned, so a reply always goes to the descriptor that its request came
 * from.
 */
#ifndef MOUNT_TRANSPORT_H
#define MOUNT_TRANSPORT_H

#define FUSE_USE_VERSION 314
#include <fuse_lowlevel.h>
#include <stdint.h>

struct transport {
	/* Both written by the worker that receives INIT, before anyone replies; read by the same.
	 */
	uint64_t init_unique;
	uint32_t offered;
};

/* After fuse_session_mount(). The userdata of the session is a struct mnt_ctx. 0 or -errno. */
int mnt_transport_attach(struct fuse_session *se);

#endif
