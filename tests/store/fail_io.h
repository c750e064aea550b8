/*
 * fail_io.h - an io that passes everything on to another one, and fails the n-th call of a kind.
 */
#ifndef TESTS_STORE_FAIL_IO_H
#define TESTS_STORE_FAIL_IO_H

#include "tests/store/fixture.h"

enum fail_what { FAIL_READ, FAIL_WRITE, FAIL_SYNC, FAIL_ALLOCATE, FAIL_SYNC_DIR, FAIL_KINDS };

struct fail_io {
	struct io io;
	struct io *under;
	long countdown[FAIL_KINDS]; /* 0: never; 1: the next one, and all after it while `sticky` */
	long calls[FAIL_KINDS];
	int err;
	bool sticky;
	long changes; /* calls that would change something on disk */
	/* Writes and flushes in their order, as w and s with the first letter of the file; without
	 * its repetitions. */
	char trace[256];
	struct io_file *files[32];
	char letters[32];
};

static inline struct fail_io *fail_io_of(struct io *io)
{
	return (struct fail_io *)io;
}

static inline int fail_now(struct fail_io *f, enum fail_what what)
{
	f->calls[what]++;
	if (what != FAIL_READ)
		f->changes++;
	if (!f->countdown[what] || --f->countdown[what])
		return 0;
	f->countdown[what] = f->sticky;
	return f->err;
}

static inline int fail_open(struct io *io, const char *name, unsigned flags, struct io_file **out)
{
	struct io *u = fail_io_of(io)->under;
	int rc = u->ops->open(u, name, flags, out);

	fail_io_of(io)->changes += flags & IO_CREATE ? 1 : 0;
	for (int i = 0; !rc && i < 32; i++)
		if (!fail_io_of(io)->files[i]) {
			fail_io_of(io)->files[i] = *out;
			fail_io_of(io)->letters[i] = *name;
			break;
		}
	return rc;
}

static inline void fail_trace(struct fail_io *f, const struct io_req *req)
{
	char what[3] = {req->op == IO_WRITE ? 'w' : 's', '?', 0};
	size_t n = strlen(f->trace);

	for (int i = 0; i < 32; i++)
		if (f->files[i] == req->file)
			what[1] = f->letters[i];
	if (req->op != IO_READ && n + 3 < sizeof(f->trace) &&
	        (n < 2 || strcmp(f->trace + n - 2, what)))
		strcat(f->trace, what);
}

static inline void fail_close(struct io *io, struct io_file *file)
{
	struct io *u = fail_io_of(io)->under;
	for (int i = 0; i < 32; i++)
		if (fail_io_of(io)->files[i] == file)
			fail_io_of(io)->files[i] = NULL;
	u->ops->close(u, file);
}
static inline int fail_size(struct io *io, struct io_file *file, uint64_t *bytes)
{
	struct io *u = fail_io_of(io)->under;
	return u->ops->size(u, file, bytes);
}
static inline int fail_submit(struct io *io, struct io_req *reqs, unsigned n)
{
	static const enum fail_what what[] = {
	        [IO_READ] = FAIL_READ, [IO_WRITE] = FAIL_WRITE, [IO_SYNC] = FAIL_SYNC};
	struct io *u = fail_io_of(io)->under;
	int rc = 0;
	for (unsigned i = 0; i < n && !rc; i++) {
		rc = fail_now(fail_io_of(io), what[reqs[i].op]);
		fail_trace(fail_io_of(io), &reqs[i]);
	}
	for (unsigned i = 0; rc && i < n; i++)
		reqs[i].result = rc;
	return rc ? rc : u->ops->submit(u, reqs, n);
}
static inline int fail_truncate(struct io *io, struct io_file *file, uint64_t bytes)
{
	struct io *u = fail_io_of(io)->under;
	fail_io_of(io)->changes++;
	return u->ops->truncate(u, file, bytes);
}
static inline int fail_allocate(
        struct io *io, struct io_file *file, uint64_t offset, uint64_t bytes)
{
	struct io *u = fail_io_of(io)->under;
	int rc = fail_now(fail_io_of(io), FAIL_ALLOCATE);
	return rc ? rc : u->ops->allocate(u, file, offset, bytes);
}
static inline int fail_punch(struct io *io, struct io_file *file, uint64_t offset, uint64_t bytes)
{
	struct io *u = fail_io_of(io)->under;
	fail_io_of(io)->changes++;
	return u->ops->punch(u, file, offset, bytes);
}
static inline int fail_rename(struct io *io, const char *from, const char *to)
{
	struct io *u = fail_io_of(io)->under;
	fail_io_of(io)->changes++;
	return u->ops->rename(u, from, to);
}
static inline int fail_unlink(struct io *io, const char *name)
{
	struct io *u = fail_io_of(io)->under;
	fail_io_of(io)->changes++;
	return u->ops->unlink(u, name);
}
static inline int fail_sync_dir(struct io *io, const char *name)
{
	struct io *u = fail_io_of(io)->under;
	int rc = fail_now(fail_io_of(io), FAIL_SYNC_DIR);
	return rc ? rc : u->ops->sync_dir(u, name);
}
static inline int fail_list(
        struct io *io, const char *dir, int (*each)(void *arg, const char *name), void *arg)
{
	struct io *u = fail_io_of(io)->under;
	return u->ops->list(u, dir, each, arg);
}
static inline int fail_lock(struct io *io, bool exclusive, unsigned wait_ms)
{
	struct io *u = fail_io_of(io)->under;
	return u->ops->lock(u, exclusive, wait_ms);
}
static inline int fail_host_free(struct io *io, uint64_t *bytes)
{
	struct io *u = fail_io_of(io)->under;
	return u->ops->host_free(u, bytes);
}
static inline void fail_register_buffers(struct io *io, void *base, size_t bytes)
{
	struct io *u = fail_io_of(io)->under;
	u->ops->register_buffers(u, base, bytes);
}

static inline void fail_io_init(struct fail_io *f, struct io *under)
{
	static const struct io_ops ops = {
	        .name = "failing",
	        .open = fail_open,
	        .close = fail_close,
	        .size = fail_size,
	        .submit = fail_submit,
	        .truncate = fail_truncate,
	        .allocate = fail_allocate,
	        .punch = fail_punch,
	        .rename = fail_rename,
	        .unlink = fail_unlink,
	        .sync_dir = fail_sync_dir,
	        .list = fail_list,
	        .lock = fail_lock,
	        .host_free = fail_host_free,
	        .register_buffers = fail_register_buffers,
	};
	*f = (struct fail_io){.io.ops = &ops, .under = under, .err = -EIO};
}

#endif
