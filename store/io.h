/*
 * io.h - every byte that artfs reads from or writes to a disk passes through this table.
 *
 * A `struct io` is an open store directory. Everything below it is named relative to the handle of
 * that directory ("blobs.dat", "wal/0000000001"), so replacing the path under a running daemon
 * changes nothing.
 *
 *      io_open(IO_URING)  batches through io_uring, registered buffers     store/io_uring.c
 *      io_open(IO_POSIX)  pread, pwrite, fdatasync                         store/io_posix.c
 *      tests/harness      a simulated disk that records, forgets, tears and fails
 *
 * All functions return 0 or -errno and may be called from several threads at once, except where
 * noted. Durability: written bytes survive a crash only after an IO_SYNC on the same file has
 * returned 0; a created, renamed or removed name only after sync_dir of its directory. A failed
 * sync says that any part of what was written since the last good one may be lost for good: never
 * retry it (W4).
 */
#ifndef STORE_IO_H
#define STORE_IO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/why.h"

enum {
	/* Memory, offsets and lengths on an IO_DIRECT file are multiples of this. */
	IO_ALIGN = 4096,
	/* Requests in flight at once; longer batches are cut by submit() itself. */
	IO_BATCH_MAX = 64,
	/* S5: how long lock() waits for a predecessor to let go. */
	IO_LOCK_WAIT_MS = 5000,
};

enum io_flags {
	IO_CREATE = 1, /* create if missing */
	IO_EXCL = 2,   /* with IO_CREATE: -EEXIST if it is there */
	IO_DIRECT = 4, /* bypass the page cache where the filesystem takes it, else buffered */
	IO_READONLY = 8,
};

enum io_op { IO_READ, IO_WRITE, IO_SYNC };

struct io_file; /* opaque; belongs to the implementation that opened it */

/* One request. A short transfer is completed inside; a read beyond the end gives -EIO. */
struct io_req {
	enum io_op op;
	bool link; /* the next request starts only after this one has succeeded */
	struct io_file *file;
	void *buf; /* IO_READ: filled; IO_WRITE: not changed, must stay until submit returns */
	size_t bytes;
	uint64_t offset;
	int result; /* out: 0 or -errno; -ECANCELED behind a failed link */
};

struct io;

struct io_ops {
	const char *name; /* "io_uring", "posix", ... for `artfs stat` */

	int (*open)(struct io *io, const char *name, unsigned flags, struct io_file **out);
	void (*close)(struct io *io, struct io_file *file);
	int (*size)(struct io *io, struct io_file *file, uint64_t *bytes);

	/* Runs all requests, in any order but for links, and waits for them. Returns 0, or the
	 * first error. */
	int (*submit)(struct io *io, struct io_req *reqs, unsigned n);

	int (*truncate)(struct io *io, struct io_file *file, uint64_t bytes);
	/* Real disk blocks for [offset, offset+bytes), reading as zero, extending the file. -ENOSPC
	 * if there are none; -EOPNOTSUPP never (the implementation writes zeroes where fallocate is
	 * missing). */
	int (*allocate)(struct io *io, struct io_file *file, uint64_t offset, uint64_t bytes);
	/* Gives blocks back to the host; the range reads as zero. Best effort: -EOPNOTSUPP is
	 * normal. */
	int (*punch)(struct io *io, struct io_file *file, uint64_t offset, uint64_t bytes);

	/* Replaces `to` atomically. */
	int (*rename)(struct io *io, const char *from, const char *to);
	int (*unlink)(struct io *io, const char *name);
	int (*mkdir)(struct io *io, const char *name);    /* -EEXIST if there */
	int (*sync_dir)(struct io *io, const char *name); /* "" is the store directory */
	/* Calls each() for every entry but "." and ".."; a nonzero answer stops and is returned. */
	int (*list)(struct io *io, const char *dir, int (*each)(void *arg, const char *name),
	        void *arg);

	/* S5: flock(LOCK_EX, or LOCK_SH for readers) on the directory itself, waiting up to
	 * `wait_ms`. -EWOULDBLOCK if another process holds it. Released by destroy(). */
	int (*lock)(struct io *io, bool exclusive, unsigned wait_ms);

	/* Free bytes on the host filesystem for this user. */
	int (*host_free)(struct io *io, uint64_t *bytes);

	/* Tells that buffers of I/O will mostly lie in [base, base+bytes): a hint, may be ignored.
	 * With `bytes` 0 it is taken back; that comes before the memory goes. */
	void (*register_buffers)(struct io *io, void *base, size_t bytes);

	/* Closes the directory and frees io; all files are closed by now. */
	void (*destroy)(struct io *io);
};

struct io {
	const struct io_ops *ops;
};

enum io_kind {
	IO_AUTO,  /* io_uring if the kernel lets us, else posix */
	IO_URING, /* -ENOSYS if not available */
	IO_POSIX,
};

/* Opens an existing directory. With `create`, makes it (mode 0700) if it is missing. */
int io_open(const char *dir, enum io_kind kind, bool create, struct io **out, struct why *w);

/* Shorthands, one request each. */
static inline int io_read(struct io *io, struct io_file *f, void *buf, size_t n, uint64_t off)
{
	struct io_req r = {.op = IO_READ, .file = f, .buf = buf, .bytes = n, .offset = off};
	return io->ops->submit(io, &r, 1);
}
static inline int io_write(
        struct io *io, struct io_file *f, const void *buf, size_t n, uint64_t off)
{
	struct io_req r = {
	        .op = IO_WRITE, .file = f, .buf = (void *)buf, .bytes = n, .offset = off};
	return io->ops->submit(io, &r, 1);
}
static inline int io_sync(struct io *io, struct io_file *f)
{
	struct io_req r = {.op = IO_SYNC, .file = f};
	return io->ops->submit(io, &r, 1);
}

#endif
