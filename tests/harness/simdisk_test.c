/*
 * simdisk_test.c - the simulated disk forgets what it may forget, and nothing else.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/harness/pages.h"
#include "tests/harness/seed.h"
#include "tests/harness/simdisk.h"

struct fixture {
	struct simdisk *disk;
	struct io *io;
	struct rng rng;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	f->disk = simdisk_new();
	f->io = simdisk_open(f->disk);
	f->rng = rng_of(seed_get());
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	f->io->ops->destroy(f->io);
	simdisk_free(f->disk);
	free(f);
	return 0;
}

static struct io_file *open_file(struct io *io, const char *name, unsigned flags)
{
	struct io_file *file = NULL;

	assert_int_equal(io->ops->open(io, name, flags, &file), 0);
	return file;
}

/* `name` with this content, all durable. */
static struct io_file *settled(struct fixture *f, const char *name, const void *data, size_t bytes)
{
	struct io_file *file = open_file(f->io, name, IO_CREATE);

	assert_int_equal(io_write(f->io, file, data, bytes, 0), 0);
	assert_int_equal(io_sync(f->io, file), 0);
	assert_int_equal(f->io->ops->sync_dir(f->io, ""), 0);
	return file;
}

/* The file after a crash: its content (the caller frees), or NULL if the name is gone. */
static uint8_t *content(struct simdisk *d, const char *name, uint64_t *bytes)
{
	struct io *io = simdisk_open(d);
	struct io_file *file;
	uint8_t *buf = NULL;

	if (!io->ops->open(io, name, IO_READONLY, &file)) {
		assert_int_equal(io->ops->size(io, file, bytes), 0);
		buf = malloc(*bytes + 1);
		assert_int_equal(io_read(io, file, buf, *bytes, 0), 0);
		io->ops->close(io, file);
	}
	io->ops->destroy(io);
	return buf;
}

static uint8_t *crashed(
        struct fixture *f, enum simdisk_keep keep, const char *name, uint64_t *bytes)
{
	struct simdisk *d = simdisk_crash(f->disk, keep, &f->rng);
	uint8_t *buf = content(d, name, bytes);

	simdisk_free(d);
	return buf;
}

static void expect(struct fixture *f, enum simdisk_keep keep, const char *name, const char *text)
{
	uint64_t bytes = 0;
	uint8_t *buf = crashed(f, keep, name, &bytes);

	if (!text) {
		assert_null(buf);
		return;
	}
	assert_non_null(buf);
	assert_int_equal(bytes, strlen(text));
	assert_memory_equal(buf, text, bytes);
	free(buf);
}

static void unsynced_write_is_kept_or_dropped(void **state)
{
	struct fixture *f = *state;
	struct io_file *file = settled(f, "a", "old", 3);

	assert_int_equal(io_write(f->io, file, "new", 3, 0), 0);
	expect(f, SIMDISK_DROP, "a", "old");
	expect(f, SIMDISK_NAMES, "a", "old");
	expect(f, SIMDISK_KEEP, "a", "new");
	expect(f, SIMDISK_DATA, "a", "new");
	assert_int_equal(io_sync(f->io, file), 0);
	for (int keep = 0; keep < SIMDISK_KEEPS; keep++)
		expect(f, (enum simdisk_keep)keep, "a", "new");
	assert_int_equal(simdisk_unsynced(f->disk), 0);
	f->io->ops->close(f->io, file);
}

static void name_needs_a_directory_sync(void **state)
{
	struct fixture *f = *state;
	struct io_file *file = open_file(f->io, "a", IO_CREATE | IO_EXCL);

	assert_int_equal(io_write(f->io, file, "data", 4, 0), 0);
	assert_int_equal(io_sync(f->io, file), 0);
	expect(f, SIMDISK_DROP, "a", NULL);
	expect(f, SIMDISK_NAMES, "a", "data");
	assert_int_equal(f->io->ops->sync_dir(f->io, ""), 0);
	expect(f, SIMDISK_DROP, "a", "data");
	f->io->ops->close(f->io, file);
}

static void directory_sync_covers_its_own_names_only(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(f->io->ops->mkdir(f->io, "wal"), 0);
	assert_int_equal(f->io->ops->mkdir(f->io, "wal"), -EEXIST);
	f->io->ops->close(f->io, settled(f, "top", "t", 1));
	f->io->ops->close(f->io, open_file(f->io, "wal/1", IO_CREATE));
	assert_int_equal(f->io->ops->sync_dir(f->io, ""), 0);
	expect(f, SIMDISK_DROP, "wal/1", NULL);
	assert_int_equal(f->io->ops->sync_dir(f->io, "wal"), 0);
	expect(f, SIMDISK_DROP, "wal/1", "");
	assert_int_equal(f->io->ops->sync_dir(f->io, "none"), -ENOENT);
}

static void rename_is_old_or_new_but_never_neither(void **state)
{
	struct fixture *f = *state;
	unsigned news = 0;

	f->io->ops->close(f->io, settled(f, "a", "old", 3));
	f->io->ops->close(f->io, settled(f, "a.tmp", "new", 3));
	assert_int_equal(f->io->ops->rename(f->io, "a.tmp", "a"), 0);
	expect(f, SIMDISK_DROP, "a", "old");
	expect(f, SIMDISK_DROP, "a.tmp", "new");
	expect(f, SIMDISK_KEEP, "a.tmp", NULL);
	for (int i = 0; i < 100; i++) {
		uint64_t bytes;
		uint8_t *buf = crashed(f, SIMDISK_TORN, "a", &bytes);
		assert_non_null(buf);
		assert_int_equal(bytes, 3);
		assert_true(!memcmp(buf, "old", 3) || !memcmp(buf, "new", 3));
		news += !memcmp(buf, "new", 3);
		free(buf);
	}
	assert_in_range(news, 10, 90);
}

static void prefix_never_keeps_the_later_without_the_earlier(void **state)
{
	struct fixture *f = *state;
	struct io_file *a = settled(f, "a", "0", 1), *b = settled(f, "b", "0", 1);
	unsigned seen[4] = {0};

	assert_int_equal(io_write(f->io, a, "1", 1, 0), 0);
	assert_int_equal(io_write(f->io, b, "1", 1, 0), 0);
	for (int i = 0; i < 200; i++) {
		struct simdisk *d = simdisk_crash(f->disk, SIMDISK_PREFIX, &f->rng);
		uint64_t bytes;
		uint8_t *x = content(d, "a", &bytes), *y = content(d, "b", &bytes);
		seen[(x[0] - '0') * 2 + (y[0] - '0')]++;
		free(x);
		free(y);
		simdisk_free(d);
	}
	assert_true(seen[0] && seen[2] && seen[3]);
	assert_int_equal(seen[1], 0);
	f->io->ops->close(f->io, a);
	f->io->ops->close(f->io, b);
}

static void subset_reorders_writes(void **state)
{
	struct fixture *f = *state;
	struct io_file *file = settled(f, "a", "00", 2);
	unsigned seen[4] = {0};

	assert_int_equal(io_write(f->io, file, "1", 1, 0), 0);
	assert_int_equal(io_write(f->io, file, "1", 1, 1), 0);
	for (int i = 0; i < 200; i++) {
		uint64_t bytes;
		uint8_t *buf = crashed(f, SIMDISK_SUBSET, "a", &bytes);
		seen[(buf[0] - '0') * 2 + (buf[1] - '0')]++;
		free(buf);
	}
	assert_true(seen[0] && seen[1] && seen[2] && seen[3]);
	f->io->ops->close(f->io, file);
}

static void torn_write_keeps_whole_sectors(void **state)
{
	struct fixture *f = *state;
	static uint8_t zeroes[8192], ones[8192];
	struct io_file *file = settled(f, "a", zeroes, sizeof(zeroes));
	unsigned mixed = 0;

	memset(ones, 1, sizeof(ones));
	assert_int_equal(io_write(f->io, file, ones, sizeof(ones) - 600, 300), 0);
	for (int i = 0; i < 100; i++) {
		uint64_t bytes;
		uint8_t *buf = crashed(f, SIMDISK_TORN, "a", &bytes);
		unsigned sectors = 0;
		assert_int_equal(bytes, sizeof(zeroes));
		for (size_t at = 512; at < 7680; at += 512) {
			assert_memory_equal(buf + at, buf[at] ? ones : zeroes, 512);
			sectors += buf[at];
		}
		mixed += sectors && sectors < 14;
		free(buf);
	}
	assert_in_range(mixed, 10, 70);
	f->io->ops->close(f->io, file);
}

static void lost_extension_is_short_or_zeroes(void **state)
{
	struct fixture *f = *state;
	struct io_file *file = settled(f, "a", "old", 3);
	bool shorts = false, zeroed = false;

	assert_int_equal(io_write(f->io, file, "new", 3, 3), 0);
	for (int i = 0; i < 100; i++) {
		uint64_t bytes;
		uint8_t *buf = crashed(f, SIMDISK_NAMES, "a", &bytes);
		shorts |= bytes == 3;
		zeroed |= bytes == 6;
		assert_true(bytes == 3 || (bytes == 6 && !memcmp(buf, "old\0\0\0", 6)));
		free(buf);
	}
	assert_true(shorts && zeroed);
	f->io->ops->close(f->io, file);
}

static void sync_covers_only_what_came_before_its_batch_or_in_its_chain(void **state)
{
	struct fixture *f = *state;
	struct io_file *file = settled(f, "a", "00", 2);
	struct io_req loose[] = {{.op = IO_WRITE, .file = file, .buf = (void *)"1", .bytes = 1},
	        {.op = IO_SYNC, .file = file}};
	struct io_req linked[] = {{.op = IO_WRITE,
	                                  .link = true,
	                                  .file = file,
	                                  .buf = (void *)"2",
	                                  .bytes = 1,
	                                  .offset = 1},
	        {.op = IO_SYNC, .file = file}};

	assert_int_equal(f->io->ops->submit(f->io, loose, 2), 0);
	expect(f, SIMDISK_DROP, "a", "00");
	expect(f, SIMDISK_KEEP, "a", "10");
	assert_int_equal(f->io->ops->submit(f->io, linked, 2), 0);
	expect(f, SIMDISK_DROP, "a", "12");
	f->io->ops->close(f->io, file);
}

static void link_behind_a_failure_is_cancelled(void **state)
{
	struct fixture *f = *state;
	struct io_file *file = settled(f, "a", "0", 1);
	struct io_req r[] = {
	        {.op = IO_WRITE, .link = true, .file = file, .buf = (void *)"1", .bytes = 1},
	        {.op = IO_SYNC, .link = true, .file = file},
	        {.op = IO_SYNC, .file = file},
	        {.op = IO_SYNC, .file = file},
	};

	simdisk_fail(f->disk, SIMDISK_WRITE, 0, 1, -ENOSPC);
	assert_int_equal(f->io->ops->submit(f->io, r, 4), -ENOSPC);
	assert_int_equal(r[0].result, -ENOSPC);
	assert_int_equal(r[1].result, -ECANCELED);
	assert_int_equal(r[2].result, -ECANCELED);
	assert_int_equal(r[3].result, 0);
	f->io->ops->close(f->io, file);
}

static void what_a_failed_sync_lost_stays_lost(void **state)
{
	struct fixture *f = *state;
	struct io_file *file = settled(f, "a", "old", 3);

	assert_int_equal(io_write(f->io, file, "new", 3, 0), 0);
	simdisk_fail(f->disk, SIMDISK_SYNC, 0, 1, -EIO);
	assert_int_equal(io_sync(f->io, file), -EIO);
	assert_int_equal(simdisk_failures(f->disk), 1);
	assert_int_equal(io_sync(f->io, file), 0);
	for (int keep = 0; keep < SIMDISK_KEEPS; keep++)
		expect(f, (enum simdisk_keep)keep, "a", "old");
	f->io->ops->close(f->io, file);
}

static void failed_write_has_changed_a_part(void **state)
{
	struct fixture *f = *state;
	struct io_file *file = settled(f, "a", "0000", 4);

	simdisk_fail(f->disk, SIMDISK_WRITE, 0, 1, -EIO);
	assert_int_equal(io_write(f->io, file, "1111", 4, 0), -EIO);
	expect(f, SIMDISK_KEEP, "a", "1100");
	f->io->ops->close(f->io, file);
}

static void faults_count_down_repeat_and_heal(void **state)
{
	struct fixture *f = *state;
	struct io_file *file = settled(f, "a", "x", 1);
	char c;

	simdisk_fail(f->disk, SIMDISK_READ | SIMDISK_OPEN, 1, 2, -EIO);
	assert_int_equal(io_read(f->io, file, &c, 1, 0), 0);
	assert_int_equal(io_read(f->io, file, &c, 1, 0), -EIO);
	assert_int_equal(io_sync(f->io, file), 0);
	assert_int_equal(f->io->ops->open(f->io, "a", 0, &file), -EIO);
	assert_int_equal(io_read(f->io, file, &c, 1, 0), 0);
	simdisk_fail(f->disk, SIMDISK_ANY, 0, SIMDISK_FOREVER, -EIO);
	for (int i = 0; i < 5; i++)
		assert_int_equal(f->io->ops->sync_dir(f->io, ""), -EIO);
	simdisk_fail(f->disk, 0, 0, 0, 0);
	assert_int_equal(f->io->ops->sync_dir(f->io, ""), 0);
	f->io->ops->close(f->io, file);
}

static void capacity_limits_blocks_not_size(void **state)
{
	struct fixture *f = *state;
	struct io_file *file = open_file(f->io, "a", IO_CREATE);
	uint64_t bytes;

	simdisk_set_capacity(f->disk, 4 * PAGE_BYTES);
	assert_int_equal(f->io->ops->truncate(f->io, file, 100 * PAGE_BYTES), 0);
	assert_int_equal(f->io->ops->allocate(f->io, file, PAGE_BYTES, 3 * PAGE_BYTES), 0);
	assert_int_equal(f->io->ops->host_free(f->io, &bytes), 0);
	assert_int_equal(bytes, PAGE_BYTES);
	assert_int_equal(
	        f->io->ops->allocate(f->io, file, 10 * PAGE_BYTES, 2 * PAGE_BYTES), -ENOSPC);
	assert_int_equal(io_write(f->io, file, "x", 1, PAGE_BYTES), 0);
	assert_int_equal(io_write(f->io, file, "xy", 2, 50 * PAGE_BYTES - 1), -ENOSPC);
	assert_int_equal(f->io->ops->punch(f->io, file, PAGE_BYTES, 3 * PAGE_BYTES), 0);
	assert_int_equal(io_write(f->io, file, "xy", 2, 50 * PAGE_BYTES - 1), 0);
	f->io->ops->close(f->io, file);
	assert_int_equal(f->io->ops->unlink(f->io, "a"), 0);
	assert_int_equal(f->io->ops->host_free(f->io, &bytes), 0);
	assert_int_equal(bytes, 4 * PAGE_BYTES);
}

static void lock_shuts_out_other_handles(void **state)
{
	struct fixture *f = *state;
	struct io *other = simdisk_open(f->disk), *third = simdisk_open(f->disk);

	assert_int_equal(f->io->ops->lock(f->io, true, 0), 0);
	assert_int_equal(other->ops->lock(other, true, 0), -EWOULDBLOCK);
	assert_int_equal(other->ops->lock(other, false, 0), -EWOULDBLOCK);
	assert_int_equal(f->io->ops->lock(f->io, false, 0), 0);
	assert_int_equal(other->ops->lock(other, false, 0), 0);
	assert_int_equal(third->ops->lock(third, true, 0), -EWOULDBLOCK);
	other->ops->destroy(other);
	assert_int_equal(f->io->ops->lock(f->io, true, 0), 0);
	third->ops->destroy(third);
}

static void clone_and_original_do_not_meet(void **state)
{
	struct fixture *f = *state;
	struct io_file *file = settled(f, "a", "old", 3);
	struct simdisk *d;
	uint64_t bytes;
	uint8_t *buf;

	assert_int_equal(io_write(f->io, file, "new", 3, 0), 0);
	d = simdisk_clone(f->disk);
	assert_int_equal(io_write(f->io, file, "not", 3, 0), 0);
	assert_int_equal(f->io->ops->unlink(f->io, "a"), 0);
	buf = content(d, "a", &bytes);
	assert_memory_equal(buf, "new", 3);
	free(buf);
	assert_int_equal(simdisk_unsynced(d), 1);
	simdisk_free(d);
	f->io->ops->close(f->io, file);
}

static void truncated_bytes_do_not_come_back(void **state)
{
	struct fixture *f = *state;
	struct io_file *file = settled(f, "a", "abcdef", 6);
	char buf[6];

	assert_int_equal(f->io->ops->truncate(f->io, file, 2), 0);
	assert_int_equal(io_read(f->io, file, buf, 3, 0), -EIO);
	assert_int_equal(f->io->ops->allocate(f->io, file, 4, 2), 0);
	assert_int_equal(io_read(f->io, file, buf, 6, 0), 0);
	assert_memory_equal(buf, "ab\0\0\0\0", 6);
	expect(f, SIMDISK_DROP, "a", "abcdef");
	f->io->ops->close(f->io, file);
}

struct watch {
	struct rng rng;
	unsigned calls, olds;
};

static void look(void *arg, const struct simdisk *disk, uint64_t step)
{
	struct watch *w = arg;
	struct simdisk *d = simdisk_crash(disk, SIMDISK_DROP, &w->rng);
	uint64_t bytes;
	uint8_t *buf = content(d, "a", &bytes);

	assert_int_equal(step, simdisk_steps(disk));
	w->olds += !memcmp(buf, "old", 3);
	w->calls++;
	free(buf);
	simdisk_free(d);
}

static void hook_sees_the_disk_before_each_step(void **state)
{
	struct fixture *f = *state;
	struct io_file *file = settled(f, "a", "old", 3);
	struct watch w = {.rng = f->rng};

	simdisk_set_hook(f->disk, look, &w);
	assert_int_equal(io_write(f->io, file, "new", 3, 0), 0);
	assert_int_equal(io_sync(f->io, file), 0);
	assert_int_equal(f->io->ops->sync_dir(f->io, ""), 0);
	assert_int_equal(w.calls, 3);
	assert_int_equal(w.olds, 2);
	f->io->ops->close(f->io, file);
}

static void rot_changes_what_is_read_and_what_survives(void **state)
{
	struct fixture *f = *state;
	struct io_file *file = settled(f, "a", "abc", 3);
	char c;

	assert_int_equal(simdisk_rot(f->disk, "a", 1, 1), 0);
	assert_int_equal(simdisk_rot(f->disk, "none", 1, 1), -ENOENT);
	assert_int_equal(io_read(f->io, file, &c, 1, 1), 0);
	assert_int_equal(c, 'b' ^ 1);
	expect(f, SIMDISK_DROP, "a", "acc");
	f->io->ops->close(f->io, file);
}

static int join_names(void *arg, const char *name)
{
	strcat(arg, name);
	return strcmp(name, "c") ? 0 : 7;
}

static void list_is_sorted_and_stops_when_told(void **state)
{
	struct fixture *f = *state;
	char names[16] = "";

	for (const char *const *n = (const char *const[]){"d", "b", "c", "a", NULL}; *n; n++)
		f->io->ops->close(f->io, open_file(f->io, *n, IO_CREATE));
	assert_int_equal(f->io->ops->unlink(f->io, "b"), 0);
	assert_int_equal(f->io->ops->unlink(f->io, "b"), -ENOENT);
	assert_int_equal(f->io->ops->list(f->io, "", join_names, names), 7);
	assert_string_equal(names, "ac");
}

static void pages_agree_with_a_plain_array(void **state)
{
	struct fixture *f = *state;
	enum { MAX = 5 * PAGE_BYTES };
	static uint8_t plain[MAX], data[MAX], back[MAX];
	struct pages p = {0}, old;
	uint64_t size = 0;

	memset(plain, 0, sizeof(plain));
	for (int i = 0; i < 5000; i++) {
		const uint64_t at = rng_below(&f->rng, MAX), n = rng_between(&f->rng, 1, MAX - at);
		pages_copy(&old, &p);
		switch (rng_below(&f->rng, 5)) {
		case 0:
		case 1:
			if (rng_one_in(&f->rng, 3))
				memset(data, 0, n);
			else
				rng_fill(&f->rng, data, n);
			pages_write(&p, at, data, n);
			memcpy(plain + at, data, n);
			size = at + n > size ? at + n : size;
			break;
		case 2:
			pages_resize(&p, at);
			memset(plain + at, 0, MAX - at);
			size = at;
			break;
		case 3:
			pages_allocate(&p, at, n);
			size = at + n > size ? at + n : size;
			break;
		default:
			pages_punch(&p, at, n);
			memset(plain + at, 0, n);
			break;
		}
		assert_int_equal(p.bytes, size);
		pages_read(&p, 0, back, MAX);
		assert_memory_equal(back, plain, MAX);
		pages_fini(&old);
	}
	pages_fini(&p);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
	        TEST(unsynced_write_is_kept_or_dropped),
	        TEST(name_needs_a_directory_sync),
	        TEST(directory_sync_covers_its_own_names_only),
	        TEST(rename_is_old_or_new_but_never_neither),
	        TEST(prefix_never_keeps_the_later_without_the_earlier),
	        TEST(subset_reorders_writes),
	        TEST(torn_write_keeps_whole_sectors),
	        TEST(lost_extension_is_short_or_zeroes),
	        TEST(sync_covers_only_what_came_before_its_batch_or_in_its_chain),
	        TEST(link_behind_a_failure_is_cancelled),
	        TEST(what_a_failed_sync_lost_stays_lost),
	        TEST(failed_write_has_changed_a_part),
	        TEST(faults_count_down_repeat_and_heal),
	        TEST(capacity_limits_blocks_not_size),
	        TEST(lock_shuts_out_other_handles),
	        TEST(clone_and_original_do_not_meet),
	        TEST(truncated_bytes_do_not_come_back),
	        TEST(hook_sees_the_disk_before_each_step),
	        TEST(rot_changes_what_is_read_and_what_survives),
	        TEST(list_is_sorted_and_stops_when_told),
	        TEST(pages_agree_with_a_plain_array),
	};
	return cmocka_run_group_tests_name("simdisk", tests, NULL, NULL);
}
