/*
 * fixture.h - a filesystem on a real store in a temporary directory, for the tests of fs/.
 *
 * Every test runs twice: on 4 KiB slots, where a few operations already split and merge frames, and
 * on the default 64 KiB.
 */
#ifndef TESTS_FS_FIXTURE_H
#define TESTS_FS_FIXTURE_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "fs/fs.h"

struct fixture {
	uint32_t frame_bytes;
	uint64_t size_max;
	char dir[200];
	struct io *io;
	struct art *art;
	struct fs *fs;
	struct fs_options opt;
};

static const struct fs_cred owner = {.uid = 1000, .gid = 100};

#define ok(call) assert_int_equal((call), 0)

static inline void fixture_open(struct fixture *f)
{
	struct why w = {0};
	struct art_options art = {.cache_bytes = 16 << 20};
	int err = io_open(f->dir, IO_POSIX, true, &f->io, &w);
	if (!err)
		err = art_open(f->io, &art, &f->art, &w);
	if (!err)
		err = fs_open(f->art, &f->opt, &f->fs, &w);
	if (err)
		fail_msg("open: %s: %s", strerror(-err), w.text);
}

static inline void fixture_close(struct fixture *f)
{
	ok(fs_close(f->fs));
	ok(art_close(f->art));
	f->io->ops->destroy(f->io);
}

static inline void fixture_reopen(struct fixture *f)
{
	fixture_close(f);
	fixture_open(f);
}

static inline void fixture_say(void *arg, const char *line)
{
	(void)arg;
	print_message("fsck: %s\n", line);
}

static inline void fixture_format(struct fixture *f)
{
	struct why w = {0};
	struct art_format fmt = {
	        .frame_bytes = f->frame_bytes, .size_max = f->size_max, .segment_bytes = 4 << 20};
	struct art_options art = {.cache_bytes = 16 << 20};
	const char *tmp = getenv("TMPDIR");
	snprintf(f->dir, sizeof(f->dir), "%s/artfs-test-XXXXXX", tmp ? tmp : "/tmp");
	assert_non_null(mkdtemp(f->dir));
	ok(io_open(f->dir, IO_POSIX, true, &f->io, &w));
	int err = art_format(f->io, &fmt, &w);
	if (err)
		fail_msg("format: %s: %s", strerror(-err), w.text);
	ok(art_open(f->io, &art, &f->art, &w));
	ok(fs_format(f->art, &owner, 0755));
	ok(art_close(f->art));
	f->io->ops->destroy(f->io);
}

/* What a crash now would leave, as another store: everything in the log, nothing of what is in
 * memory. */
static inline void fixture_crash(struct fixture *f, struct fixture *out)
{
	char command[500];
	ok(art_sync(f->art, art_lsn(f->art)));
	*out = (struct fixture){.frame_bytes = f->frame_bytes};
	const char *tmp = getenv("TMPDIR");
	snprintf(out->dir, sizeof(out->dir), "%s/artfs-test-XXXXXX", tmp ? tmp : "/tmp");
	assert_non_null(mkdtemp(out->dir));
	snprintf(command, sizeof(command), "cp -r --sparse=always '%s'/. '%s'/", f->dir, out->dir);
	ok(system(command));
	fixture_open(out);
}

static inline void fixture_remove(struct fixture *f)
{
	char command[300];
	fixture_close(f);
	snprintf(command, sizeof(command), "rm -rf '%s'", f->dir);
	ok(system(command));
}

static inline int fixture_setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	f->frame_bytes = *(const uint32_t *)*state;
	fixture_format(f);
	fixture_open(f);
	*state = f;
	return 0;
}

/* Ends every test: what is there must be clean, before closing and after. */
static inline int fixture_teardown(void **state)
{
	struct fixture *f = *state;
	ok(fs_sync(f->fs));
	ok(fs_check(f->art, fixture_say, NULL));
	fixture_reopen(f);
	ok(fs_check(f->art, fixture_say, NULL));
	fixture_remove(f);
	free(f);
	return 0;
}

struct fixture_test {
	const char *name;
	CMUnitTestFunction run;
};
#define TEST(function)                                                                             \
	{                                                                                          \
#function, function                                                                \
	}

static inline int fixture_run(const char *group, const struct fixture_test *test, size_t n)
{
	static uint32_t frame_bytes[] = {4096, 65536};
	struct CMUnitTest *all = calloc(2 * n, sizeof(*all));
	for (size_t i = 0; i < 2 * n; i++) {
		char name[200];
		snprintf(name, sizeof(name), "%s_%uk", test[i / 2].name, frame_bytes[i % 2] / 1024);
		all[i] = (struct CMUnitTest){strdup(name), test[i / 2].run, fixture_setup,
		        fixture_teardown, &frame_bytes[i % 2]};
	}
	if (getenv("TEST")) /* a pattern: run only these */
		cmocka_set_test_filter(getenv("TEST"));
	if (getenv("SKIP"))
		cmocka_set_skip_filter(getenv("SKIP"));
	int failed = _cmocka_run_group_tests(group, all, 2 * n, NULL, NULL);
	for (size_t i = 0; i < 2 * n; i++)
		free((void *)all[i].name);
	free(all);
	return failed;
}

/* ---- short ways to say things --------------------------------------------------------- */

static inline uint64_t make(struct fixture *f, uint64_t parent, const char *name, mode_t mode)
{
	struct fs_attr a;
	ok(fs_mknod(f->fs, &owner, parent, name, mode, 0, &a));
	return a.ino;
}
static inline uint64_t make_dir(struct fixture *f, uint64_t parent, const char *name)
{
	return make(f, parent, name, S_IFDIR | 0755);
}
static inline uint64_t make_file(struct fixture *f, uint64_t parent, const char *name)
{
	return make(f, parent, name, S_IFREG | 0644);
}
static inline struct fs_attr stat_of(struct fixture *f, uint64_t ino)
{
	struct fs_attr a;
	ok(fs_getattr(f->fs, ino, &a));
	return a;
}
/* Looks a name up without keeping it known: its number, or a negative errno. */
static inline int64_t number_of(struct fixture *f, uint64_t parent, const char *name)
{
	struct fs_attr a;
	int err = fs_lookup(f->fs, parent, name, &a);
	if (err)
		return err;
	fs_forget(f->fs, a.ino, 1);
	return (int64_t)a.ino;
}
static inline void put(
        struct fixture *f, uint64_t ino, uint64_t offset, const void *buf, size_t bytes)
{
	assert_int_equal(fs_write(f->fs, ino, offset, buf, bytes), bytes);
}
static inline void put_text(struct fixture *f, uint64_t ino, const char *text)
{
	put(f, ino, 0, text, strlen(text));
}
static inline void assert_text(struct fixture *f, uint64_t ino, const char *text)
{
	char buf[256] = {0};
	assert_int_equal(fs_read(f->fs, ino, 0, buf, sizeof(buf) - 1), strlen(text));
	assert_string_equal(buf, text);
}
static inline void resize(struct fixture *f, uint64_t ino, uint64_t size)
{
	struct fs_attr a = {.size = size};
	ok(fs_setattr(f->fs, ino, FS_SET_SIZE, &a, NULL));
}
static inline uint32_t chunk_bytes_of(const struct fixture *f)
{
	return f->frame_bytes * 16;
}
/* Bytes that say where they belong. */
static inline uint8_t byte_at(uint64_t offset, unsigned salt)
{
	return (uint8_t)(1 + (offset * 7 + offset / 251 + salt) % 250);
}
static inline void put_pattern(
        struct fixture *f, uint64_t ino, uint64_t offset, size_t bytes, unsigned salt)
{
	uint8_t *buf = malloc(bytes);
	for (size_t i = 0; i < bytes; i++)
		buf[i] = byte_at(offset + i, salt);
	put(f, ino, offset, buf, bytes);
	free(buf);
}
static inline void assert_pattern(
        struct fixture *f, uint64_t ino, uint64_t offset, size_t bytes, unsigned salt)
{
	uint8_t *buf = malloc(bytes);
	assert_int_equal(fs_read(f->fs, ino, offset, buf, bytes), bytes);
	for (size_t i = 0; i < bytes; i++)
		if (buf[i] != byte_at(offset + i, salt))
			fail_msg("byte at %llu differs", (unsigned long long)(offset + i));
	free(buf);
}
static inline void assert_zeros(struct fixture *f, uint64_t ino, uint64_t offset, size_t bytes)
{
	uint8_t *buf = malloc(bytes);
	memset(buf, 0xaa, bytes);
	assert_int_equal(fs_read(f->fs, ino, offset, buf, bytes), bytes);
	for (size_t i = 0; i < bytes; i++)
		if (buf[i] != 0)
			fail_msg("byte at %llu is not zero", (unsigned long long)(offset + i));
	free(buf);
}
static inline uint64_t keys_of(struct fixture *f)
{
	struct art_stat st;
	art_stat(f->art, &st);
	return st.keys;
}

#endif
