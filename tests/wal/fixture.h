/*
 * fixture.h - a log in a directory of its own, over each I/O implementation, with an eye and a hand
 * on it.
 *
 *   test ─► wal ─► struct tap ─► the real io      counts and fails writes and syncs
 *
 * Payloads are a pattern of their number, so that what is replayed says itself whether it is right.
 */
#ifndef TESTS_WAL_FIXTURE_H
#define TESTS_WAL_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "wal/format.h"
#include "wal/wal.h"

#define UNUSED_OK __attribute__((unused))

struct tap {
	struct io io; /* first: what the log sees */
	struct io *real;
	atomic_uint writes, written_bytes, syncs, changes;
	atomic_int fail_write, fail_sync; /* the n-th from now on fails; 0: none */
	int allocate_error;
	void (*before_sync)(void *arg); /* NULL: nothing */
	void *before_sync_arg;
	void (*after_sync)(void *arg); /* of a batch with a sync in it; same argument */
};

struct seen {
	unsigned n, max;
	uint64_t *lsns;
	uint32_t *numbers;
};

struct fixture {
	enum io_kind kind;
	char dir[128];
	struct tap *tap;
	struct wal_options opt;
	struct wal *w;
	struct seen seen;
	struct why why;
};

/* ---- the tap ---- */

static int tap_open(struct io *io, const char *name, unsigned flags, struct io_file **out)
{
	struct tap *t = (struct tap *)io;
	if (flags & IO_CREATE)
		t->changes++;
	return t->real->ops->open(t->real, name, flags, out);
}

static void tap_close(struct io *io, struct io_file *file)
{
	struct tap *t = (struct tap *)io;
	t->real->ops->close(t->real, file);
}

static int tap_size(struct io *io, struct io_file *file, uint64_t *bytes)
{
	struct tap *t = (struct tap *)io;
	return t->real->ops->size(t->real, file, bytes);
}

static int tap_submit(struct io *io, struct io_req *reqs, unsigned n)
{
	struct tap *t = (struct tap *)io;
	bool syncs = false;
	for (unsigned i = 0; i < n; i++) {
		if (reqs[i].op == IO_READ)
			continue;
		t->changes++;
		atomic_uint *count = reqs[i].op == IO_WRITE ? &t->writes : &t->syncs;
		atomic_int *fail = reqs[i].op == IO_WRITE ? &t->fail_write : &t->fail_sync;
		(*count)++;
		t->written_bytes += (unsigned)reqs[i].bytes;
		syncs |= reqs[i].op == IO_SYNC;
		if (reqs[i].op == IO_SYNC && t->before_sync)
			t->before_sync(t->before_sync_arg);
		if (*fail > 0 && atomic_fetch_sub(fail, 1) == 1)
			return reqs[i].result = -EIO;
	}
	const int r = t->real->ops->submit(t->real, reqs, n);
	if (syncs && t->after_sync)
		t->after_sync(t->before_sync_arg);
	return r;
}

static int tap_truncate(struct io *io, struct io_file *file, uint64_t bytes)
{
	struct tap *t = (struct tap *)io;
	t->changes++;
	return t->real->ops->truncate(t->real, file, bytes);
}

static int tap_allocate(struct io *io, struct io_file *file, uint64_t offset, uint64_t bytes)
{
	struct tap *t = (struct tap *)io;
	t->changes++;
	return t->allocate_error ? t->allocate_error
	                         : t->real->ops->allocate(t->real, file, offset, bytes);
}

static int tap_rename(struct io *io, const char *from, const char *to)
{
	struct tap *t = (struct tap *)io;
	t->changes++;
	return t->real->ops->rename(t->real, from, to);
}

static int tap_unlink(struct io *io, const char *name)
{
	struct tap *t = (struct tap *)io;
	t->changes++;
	return t->real->ops->unlink(t->real, name);
}

static int tap_mkdir(struct io *io, const char *name)
{
	struct tap *t = (struct tap *)io;
	t->changes++;
	return t->real->ops->mkdir(t->real, name);
}

static int tap_sync_dir(struct io *io, const char *name)
{
	struct tap *t = (struct tap *)io;
	return t->real->ops->sync_dir(t->real, name);
}

static int tap_list(
        struct io *io, const char *dir, int (*each)(void *arg, const char *name), void *arg)
{
	struct tap *t = (struct tap *)io;
	return t->real->ops->list(t->real, dir, each, arg);
}

static const struct io_ops tap_ops = {
        .name = "tap",
        .open = tap_open,
        .close = tap_close,
        .size = tap_size,
        .submit = tap_submit,
        .truncate = tap_truncate,
        .allocate = tap_allocate,
        .rename = tap_rename,
        .unlink = tap_unlink,
        .mkdir = tap_mkdir,
        .sync_dir = tap_sync_dir,
        .list = tap_list,
};

/* ---- opening, and what was replayed ---- */

static int remember(void *arg, uint64_t lsn, uint16_t type, const void *payload, size_t bytes)
{
	struct seen *s = arg;
	const uint8_t *p = payload;
	uint32_t number;
	assert_true(bytes >= sizeof(number));
	memcpy(&number, p, sizeof(number));
	assert_int_equal(type, (uint16_t)number);
	for (size_t i = sizeof(number); i < bytes; i++)
		assert_int_equal(p[i], (uint8_t)(number + i));
	if (s->n == s->max) {
		s->max = s->max ? 2 * s->max : 64;
		s->lsns = reallocarray(s->lsns, s->max, sizeof(*s->lsns));
		s->numbers = reallocarray(s->numbers, s->max, sizeof(*s->numbers));
		assert_true(s->lsns && s->numbers);
	}
	assert_true(s->n == 0 || lsn > s->lsns[s->n - 1]);
	s->lsns[s->n] = lsn;
	s->numbers[s->n++] = number;
	return 0;
}

UNUSED_OK static void forget(struct fixture *f)
{
	free(f->seen.lsns);
	free(f->seen.numbers);
	f->seen = (struct seen){0};
}

/* Like a crash of the process: nothing is synced. */
UNUSED_OK static void drop(struct fixture *f)
{
	wal_close(f->w);
	f->w = NULL;
}

/* Opens and replays afresh; f->seen is what was replayed. Closes again if that fails. */
UNUSED_OK static int reopen_from(struct fixture *f, uint64_t from)
{
	drop(f);
	forget(f);
	int r = wal_open(&f->tap->io, &f->opt, &f->w, &f->why);
	if (!r)
		r = wal_replay(f->w, from, remember, &f->seen, &f->why);
	if (r)
		drop(f);
	return r;
}

UNUSED_OK static void reopen(struct fixture *f)
{
	const int r = reopen_from(f, 0);
	if (r)
		print_error("%s\n", f->why.text);
	assert_int_equal(r, 0);
}

UNUSED_OK static uint64_t append(struct fixture *f, uint32_t number, size_t bytes)
{
	uint8_t *payload = malloc(bytes);
	assert_true(payload && bytes >= sizeof(number));
	memcpy(payload, &number, sizeof(number));
	for (size_t i = sizeof(number); i < bytes; i++)
		payload[i] = (uint8_t)(number + i);
	const size_t cut = bytes / 3;
	struct iovec pieces[] = {{payload, cut}, {NULL, 0}, {payload + cut, bytes - cut}};
	const uint64_t lsn = wal_append(f->w, (uint16_t)number, pieces, 3);
	free(payload);
	return lsn;
}

UNUSED_OK static uint64_t put(struct fixture *f, uint32_t number, size_t bytes)
{
	assert_int_equal(wal_reserve(f->w, bytes), 0);
	return append(f, number, bytes);
}

UNUSED_OK static uint64_t commit(struct fixture *f, uint32_t number, size_t bytes)
{
	const uint64_t lsn = put(f, number, bytes);
	assert_int_equal(wal_sync(f->w, lsn), 0);
	return lsn;
}

/* f->seen is the numbers first .. first+n-1. */
UNUSED_OK static void expect(const struct fixture *f, uint32_t first, unsigned n)
{
	assert_int_equal(f->seen.n, n);
	for (unsigned i = 0; i < n; i++)
		assert_int_equal(f->seen.numbers[i], first + i);
}

/* ---- a hand on the files ---- */

UNUSED_OK static void path_of(const struct fixture *f, uint64_t sequence, char path[192])
{
	snprintf(path, 192, "%s/wal/%010" PRIu64, f->dir, sequence);
}

UNUSED_OK static bool exists(const struct fixture *f, uint64_t sequence)
{
	char path[192];
	path_of(f, sequence, path);
	return access(path, F_OK) == 0;
}

UNUSED_OK static void peek(
        const struct fixture *f, uint64_t sequence, uint64_t offset, void *buf, size_t bytes)
{
	char path[192];
	path_of(f, sequence, path);
	const int fd = open(path, O_RDONLY);
	assert_true(fd >= 0);
	assert_int_equal(pread(fd, buf, bytes, (off_t)offset), bytes);
	close(fd);
}

UNUSED_OK static void poke(
        const struct fixture *f, uint64_t sequence, uint64_t offset, const void *buf, size_t bytes)
{
	char path[192];
	path_of(f, sequence, path);
	const int fd = open(path, O_WRONLY);
	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, buf, bytes, (off_t)offset), bytes);
	assert_int_equal(fsync(fd), 0);
	close(fd);
}

UNUSED_OK static void flip(const struct fixture *f, uint64_t sequence, uint64_t offset)
{
	uint8_t byte;
	peek(f, sequence, offset, &byte, 1);
	byte ^= 0x10;
	poke(f, sequence, offset, &byte, 1);
}

/* ---- around each test ---- */

static enum io_kind fixture_kind; /* which implementation the group runs on */

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct tap *t = calloc(1, sizeof(*t));
	const char *tmp = getenv("TMPDIR");
	if (!f || !t)
		return -1;
	f->kind = fixture_kind;
	snprintf(f->dir, sizeof(f->dir), "%s/wal_test.XXXXXX", tmp ? tmp : "/tmp");
	if (!mkdtemp(f->dir))
		return -1;
	if (io_open(f->dir, f->kind, false, &t->real, &f->why))
		return -1;
	t->io.ops = &tap_ops;
	f->tap = t;
	f->opt.segment_bytes = WAL_SEGMENT_MIN;
	memset(f->opt.uuid, 0x5a, sizeof(f->opt.uuid));
	*state = f;
	return wal_format(&t->io, &f->opt, 0, &f->why);
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	char command[192];
	drop(f);
	forget(f);
	f->tap->real->ops->destroy(f->tap->real);
	free(f->tap);
	snprintf(command, sizeof(command), "rm -rf '%s'", f->dir);
	free(f);
	return system(command);
}

#define WAL_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

/* Runs the group on plain system calls and, where the kernel has it, on io_uring. */
static int run_on_each_io(const struct CMUnitTest *tests, size_t n)
{
	struct io *probe = NULL;
	fixture_kind = IO_POSIX;
	int failed = _cmocka_run_group_tests("posix", tests, n, NULL, NULL);
	if (io_open("/", IO_URING, false, &probe, NULL) == 0) {
		probe->ops->destroy(probe);
		fixture_kind = IO_URING;
		failed += _cmocka_run_group_tests("io_uring", tests, n, NULL, NULL);
	}
	return failed;
}

#endif
