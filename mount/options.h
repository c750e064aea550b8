/*
 * options.h - what follows -o.
 *
 *   ours       cache= commit= checkpoint= threads= io= ro rw single_user        read here
 *   libfuse's  allow_other nosuid fsname= ...                                   checked here,
 * passed on mount(8)'s defaults noauto nofail _netdev x-...                             meant for
 * others, dropped the rest   refused by name
 */
#ifndef MOUNT_OPTIONS_H
#define MOUNT_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "store/io.h"

enum {
	MNT_COMMIT_S = 5,
	MNT_COMMIT_S_MAX = 3600,
	MNT_THREADS = 2,
	MNT_THREADS_MIN = 2,
	MNT_THREADS_MAX = 64,
};

struct mnt_options {
	uint64_t cache_bytes, checkpoint_bytes; /* 0 = default of art.h */
	unsigned commit_s, threads;
	enum io_kind io;
	bool read_only, single_user, allow_other;
	char *fsname; /* NULL: the store's path */
	char *pass;   /* for libfuse, separated by commas; heap, "" if none */
};

/* Defaults. */
void mnt_options_init(struct mnt_options *o);
void mnt_options_fini(struct mnt_options *o);

/* Reads one -o argument into what is there already. `sloppy` passes over unknown names. 0, or the
 * exit code after its sentence was printed. */
int mnt_options_parse(struct mnt_options *o, const char *text, bool sloppy);

#endif
