/*
 * fixture.h - what the tests of this room share: a temporary store on the real io, and assertions
 * that say which call failed.
 */
#ifndef TESTS_STORE_FIXTURE_H
#define TESTS_STORE_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "store/store.h"

#define ok(call) assert_int_equal(call, 0)

struct fixture {
	char dir[PATH_MAX];
	enum io_kind kind;
	struct io *io;
	struct store *s;
	struct store_options opt;
	struct why why;
};

static inline void fixture_io(struct fixture *t)
{
	int rc = io_open(t->dir, t->kind, false, &t->io, &t->why);
	if (rc)
		fail_msg("io_open: %s", t->why.text);
}

/* An empty directory with an io over it. */
static inline void fixture_init(struct fixture *t, enum io_kind kind)
{
	const char *tmp = getenv("TMPDIR");

	memset(t, 0, sizeof(*t));
	t->kind = kind;
	snprintf(t->dir, sizeof(t->dir), "%s/artfs-store-XXXXXX", tmp ? tmp : "/tmp");
	assert_non_null(mkdtemp(t->dir));
	fixture_io(t);
}

static inline void fixture_open(struct fixture *t)
{
	int rc = store_open(t->io, &t->opt, &t->s, &t->why);
	if (rc)
		fail_msg("store_open: %d: %s", rc, t->why.text);
	store_replay_done(t->s);
}

static inline void fixture_close(struct fixture *t)
{
	store_close(t->s);
	t->s = NULL;
}

static inline void fixture_reopen(struct fixture *t)
{
	fixture_close(t);
	fixture_open(t);
}

static inline void fixture_format(struct fixture *t, uint32_t frame_bytes, uint64_t size_max)
{
	struct store_format fmt = {.frame_bytes = frame_bytes, .size_max = size_max};

	ok(store_format(t->io, &fmt, &t->why));
}

static inline void fixture_fini(struct fixture *t)
{
	char cmd[PATH_MAX + 16];

	if (t->s)
		store_close(t->s);
	if (t->io)
		t->io->ops->destroy(t->io);
	snprintf(cmd, sizeof(cmd), "rm -rf '%s'", t->dir);
	ok(system(cmd));
}

/* A new store with an open handle. */
static inline void fixture_store(
        struct fixture *t, enum io_kind kind, uint32_t frame_bytes, uint64_t size_max)
{
	fixture_init(t, kind);
	t->opt.cache_bytes = 64 * (size_t)frame_bytes;
	fixture_format(t, frame_bytes, size_max);
	fixture_open(t);
}

static inline int commit(struct store *s)
{
	struct store_root root = *store_root(s);
	root.lsn++;
	store_freeze(s, &root);
	return store_commit(s);
}

/* A new frame, filled with one byte, committed or not; returns its id. */
static inline uint64_t add_frame(struct store *s, int fill)
{
	struct frame *f;
	uint64_t id;

	ok(store_frame_reserve(s, 1, STORE_NORMAL));
	f = store_frame_new(s, STORE_TREE);
	memset(f->data, fill, store_frame_bytes(s));
	id = f->id;
	store_frame_put(s, f);
	return id;
}

static inline void fill_frame(struct store *s, uint64_t id, int fill)
{
	struct frame *f;

	ok(store_frame_get(s, id, &f));
	ok(store_frame_write(s, f, STORE_NORMAL));
	memset(f->data, fill, store_frame_bytes(s));
	store_frame_put(s, f);
}

static inline void expect_frame(struct store *s, uint64_t id, int fill)
{
	struct frame *f;

	ok(store_frame_get(s, id, &f));
	for (uint32_t i = 0; i < store_frame_bytes(s); i++)
		if (((uint8_t *)f->data)[i] != (uint8_t)fill)
			fail_msg("frame %llu byte %u: %d, not %d", (unsigned long long)id, i,
			        ((uint8_t *)f->data)[i], fill);
	store_frame_put(s, f);
}

static inline void expect_no_frame(struct store *s, uint64_t id)
{
	struct frame *f;

	assert_int_equal(store_frame_get(s, id, &f), -ENOENT);
}

static inline void say_finding(void *arg, const char *line)
{
	(void)arg;
	print_message("# finding: %s\n", line);
}

static inline void say_nothing(void *arg, const char *line)
{
	(void)arg;
	(void)line;
}

static inline void expect_clean(struct store *s)
{
	assert_int_equal(store_check(s, say_finding, NULL), 0);
}

static inline uint64_t slots_used(struct store *s)
{
	struct store_stat st;
	store_stat(s, &st);
	return st.slots_used;
}

/* Overwrites bytes of a file of the store from outside. */
static inline void poke(
        const struct fixture *t, const char *name, long at, const void *bytes, size_t n)
{
	char path[PATH_MAX + 32];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", t->dir, name);
	f = fopen(path, "r+");
	assert_non_null(f);
	ok(fseek(f, at, SEEK_SET));
	assert_int_equal(fwrite(bytes, 1, n, f), n);
	ok(fclose(f));
}

static inline uint8_t peek(const struct fixture *t, const char *name, long at)
{
	char path[PATH_MAX + 32];
	FILE *f;
	int c;

	snprintf(path, sizeof(path), "%s/%s", t->dir, name);
	f = fopen(path, "r");
	assert_non_null(f);
	ok(fseek(f, at, SEEK_SET));
	c = fgetc(f);
	assert_true(c >= 0);
	ok(fclose(f));
	return (uint8_t)c;
}

static inline void flip(const struct fixture *t, const char *name, long at)
{
	uint8_t byte = (uint8_t)(peek(t, name, at) ^ 0x10);
	poke(t, name, at, &byte, 1);
}

static inline void cut(const struct fixture *t, const char *name, long bytes)
{
	char path[PATH_MAX + 32];

	snprintf(path, sizeof(path), "%s/%s", t->dir, name);
	ok(truncate(path, bytes));
}

static inline bool uring_available(void)
{
	struct io *io;

	if (io_open("/tmp", IO_URING, false, &io, NULL))
		return false;
	io->ops->destroy(io);
	return true;
}

#endif
