/*
 * fixture.h - a dictionary in a directory of its own, for the tests of art/.
 */
#ifndef TESTS_ART_FIXTURE_H
#define TESTS_ART_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "art/art.h"

struct dict {
	char dir[128];
	struct io *io;
	struct art *a;
	struct art_options opt;
};

static inline void dict_open(struct dict *d)
{
	struct why w = {{0}};

	assert_int_equal(io_open(d->dir, IO_AUTO, true, &d->io, &w), 0);
	if (art_open(d->io, &d->opt, &d->a, &w))
		fail_msg("%s", w.text);
}

static inline void dict_new(struct dict *d, uint32_t frame_bytes)
{
	struct art_format fmt = {.frame_bytes = frame_bytes, .segment_bytes = 1 << 20};
	struct why w = {{0}};
	const char *tmp = getenv("TMPDIR");

	*d = (struct dict){.opt = {.cache_bytes = 64 << 20}};
	snprintf(d->dir, sizeof(d->dir), "%s/artfs-art-XXXXXX", tmp ? tmp : "/tmp");
	assert_non_null(mkdtemp(d->dir));
	assert_int_equal(io_open(d->dir, IO_AUTO, true, &d->io, &w), 0);
	assert_int_equal(art_format(d->io, &fmt, &w), 0);
	d->io->ops->destroy(d->io);
	dict_open(d);
}

static inline void dict_close(struct dict *d)
{
	assert_int_equal(art_close(d->a), 0);
	d->io->ops->destroy(d->io);
}

static inline void dict_reopen(struct dict *d)
{
	dict_close(d);
	dict_open(d);
}

static inline void print_line(void *arg, const char *line)
{
	(void)arg;
	print_message("# %s\n", line);
}

static inline void dict_free(struct dict *d)
{
	char command[200];

	assert_int_equal(art_check(d->a, print_line, NULL), 0);
	dict_close(d);
	snprintf(command, sizeof(command), "rm -rf '%s'", d->dir);
	assert_int_equal(system(command), 0);
}

static inline struct art_bytes text(const char *s)
{
	return (struct art_bytes){s, strlen(s)};
}

static inline int put(struct dict *d, const char *key, const char *value)
{
	struct art_op op = {.type = ART_PUT, .key = text(key), .value = text(value)};
	return art_commit(d->a, &op, 1, NULL);
}

static inline int del(struct dict *d, const char *key)
{
	struct art_op op = {.type = ART_REMOVE, .guard = ART_PRESENT, .key = text(key)};
	return art_commit(d->a, &op, 1, NULL);
}

static inline int graft(struct dict *d, const char *from, const char *to, bool replace)
{
	struct art_op op = {
	        .type = ART_GRAFT, .replace = replace, .key = text(from), .to = text(to)};
	return art_commit(d->a, &op, 1, NULL);
}

static inline void expect(struct dict *d, const char *key, const char *value)
{
	char buf[256];
	size_t bytes;
	int err = art_get(d->a, text(key), 0, buf, sizeof(buf), &bytes);

	if (!value) {
		assert_int_equal(err, -ENOENT);
		return;
	}
	assert_int_equal(err, 0);
	assert_int_equal(bytes, strlen(value));
	assert_memory_equal(buf, value, bytes);
}

#endif
