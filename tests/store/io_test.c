/*
 * io_test.c - the contract of store/io.h, on both real implementations.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>

#include "tests/store/fixture.h"

static enum io_kind kind;

static struct io_file *open_file(struct fixture *t, const char *name, unsigned flags)
{
	struct io_file *file;

	ok(t->io->ops->open(t->io, name, flags, &file));
	return file;
}

static void names_are_relative_to_the_open_directory(void **state)
{
	struct fixture t;
	struct io_file *file;
	char moved[PATH_MAX + 8];

	(void)state;
	fixture_init(&t, kind);
	assert_int_equal(t.io->ops->open(t.io, "a", 0, &file), -ENOENT);
	file = open_file(&t, "a", IO_CREATE | IO_EXCL);
	ok(io_write(t.io, file, "hello", 5, 0));
	t.io->ops->close(t.io, file);
	assert_int_equal(t.io->ops->open(t.io, "a", IO_CREATE | IO_EXCL, &file), -EEXIST);
	snprintf(moved, sizeof(moved), "%s.moved", t.dir);
	ok(rename(t.dir, moved));
	file = open_file(&t, "a", IO_READONLY);
	assert_int_equal(io_write(t.io, file, "x", 1, 0), -EBADF);
	t.io->ops->close(t.io, file);
	ok(rename(moved, t.dir));
	assert_string_equal(t.io->ops->name, kind == IO_URING ? "io_uring" : "posix");
	fixture_fini(&t);
}

static void bytes_come_back_direct_and_buffered_aligned_and_not(void **state)
{
	static const unsigned flags[] = {0, IO_DIRECT};
	char *out = aligned_alloc(IO_ALIGN, 8 * IO_ALIGN),
	     *in = aligned_alloc(IO_ALIGN, 8 * IO_ALIGN);

	(void)state;
	for (int i = 0; i < 8 * IO_ALIGN; i++)
		out[i] = (char)(i * 31 >> 3);
	for (int f = 0; f < 2; f++) {
		struct fixture t;
		struct io_file *file;
		uint64_t size;

		fixture_init(&t, kind);
		file = open_file(&t, "f", IO_CREATE | flags[f]);
		ok(io_write(t.io, file, out, 4 * IO_ALIGN, 0));
		ok(io_write(t.io, file, out + 3, 1000, 4 * IO_ALIGN));
		ok(io_write(
		        t.io, file, out + IO_ALIGN, IO_ALIGN, IO_ALIGN)); /* over cached pages */
		ok(io_sync(t.io, file));
		ok(t.io->ops->size(t.io, file, &size));
		assert_int_equal(size, 4 * IO_ALIGN + 1000);
		ok(io_read(t.io, file, in, 4 * IO_ALIGN, 0));
		assert_memory_equal(in, out, 4 * IO_ALIGN);
		ok(io_read(t.io, file, in + 1, 1000, 4 * IO_ALIGN));
		assert_memory_equal(in + 1, out + 3, 1000);
		assert_int_equal(io_read(t.io, file, in, 2 * IO_ALIGN, 4 * IO_ALIGN), -EIO);
		assert_int_equal(io_read(t.io, file, in, 1, 1 << 20), -EIO);
		t.io->ops->close(t.io, file);
		fixture_fini(&t);
	}
	free(out);
	free(in);
}

enum { MANY = 3 * IO_BATCH_MAX + 5 };

static void long_batches_are_cut_and_completed(void **state)
{
	struct fixture t;
	struct io_req reqs[MANY];
	struct io_file *file;
	char *buf = aligned_alloc(IO_ALIGN, MANY * IO_ALIGN);

	(void)state;
	fixture_init(&t, kind);
	t.io->ops->register_buffers(t.io, buf, MANY * IO_ALIGN / 2);
	file = open_file(&t, "f", IO_CREATE | IO_DIRECT);
	for (int i = 0; i < MANY; i++) {
		memset(buf + i * IO_ALIGN, i, IO_ALIGN);
		reqs[i] = (struct io_req){.op = IO_WRITE,
		        .file = file,
		        .buf = buf + i * IO_ALIGN,
		        .bytes = IO_ALIGN,
		        .offset = (uint64_t)i * IO_ALIGN,
		        .link = i % 3 == 0};
	}
	ok(t.io->ops->submit(t.io, reqs, MANY));
	memset(buf, 0, MANY * IO_ALIGN);
	for (int i = 0; i < MANY; i++)
		reqs[i].op = IO_READ;
	ok(t.io->ops->submit(t.io, reqs, MANY));
	for (int i = 0; i < MANY * IO_ALIGN; i++)
		assert_int_equal((uint8_t)buf[i], (uint8_t)(i / IO_ALIGN));
	t.io->ops->register_buffers(t.io, NULL, 0);
	t.io->ops->close(t.io, file);
	free(buf);
	fixture_fini(&t);
}

/* A chain stops at its first failure, wherever a batch is cut; other requests do not suffer. */
static void behind_a_failed_link_everything_is_canceled(void **state)
{
	(void)state;
	for (int bad = 0; bad < MANY; bad += 13) {
		struct fixture t;
		struct io_req reqs[MANY];
		struct io_file *file;
		char buf[MANY];

		fixture_init(&t, kind);
		file = open_file(&t, "f", IO_CREATE);
		ok(t.io->ops->truncate(t.io, file, 1000));
		for (int i = 0; i < MANY; i++)
			reqs[i] = (struct io_req){.op = IO_READ,
			        .file = file,
			        .buf = buf + i,
			        .bytes = 1,
			        .offset = i == bad ? 5000 : 5,
			        .link = i < MANY - 2};
		assert_int_equal(t.io->ops->submit(t.io, reqs, MANY), -EIO);
		for (int i = 0; i < MANY; i++) {
			int expect = i == bad ? -EIO : -ECANCELED;
			if (i < bad || (i == MANY - 1 && i != bad))
				expect = 0; /* the last one stands alone */
			assert_int_equal(reqs[i].result, expect);
		}
		t.io->ops->close(t.io, file);
		fixture_fini(&t);
	}
}

static void write_and_sync_can_be_linked(void **state)
{
	struct fixture t;
	struct io_file *file;
	char back[4];

	(void)state;
	fixture_init(&t, kind);
	file = open_file(&t, "f", IO_CREATE);
	struct io_req reqs[] = {
	        {.op = IO_WRITE, .file = file, .buf = "abcd", .bytes = 4, .link = true},
	        {.op = IO_SYNC, .file = file},
	};
	ok(t.io->ops->submit(t.io, reqs, 2));
	ok(io_read(t.io, file, back, 4, 0));
	assert_memory_equal(back, "abcd", 4);
	t.io->ops->close(t.io, file);
	fixture_fini(&t);
}

static void a_read_across_the_end_fails_in_a_batch_too(void **state)
{
	struct fixture t;
	struct io_file *file;
	char buf[100];

	(void)state;
	fixture_init(&t, kind);
	file = open_file(&t, "f", IO_CREATE);
	ok(io_write(t.io, file, "abcd", 4, 0));
	struct io_req reqs[] = {
	        {.op = IO_READ, .file = file, .buf = buf, .bytes = 50, .link = true},
	        {.op = IO_READ, .file = file, .buf = buf + 50, .bytes = 4},
	        {.op = IO_READ, .file = file, .buf = buf + 60, .bytes = 4},
	};
	assert_int_equal(t.io->ops->submit(t.io, reqs, 3), -EIO);
	assert_int_equal(reqs[0].result, -EIO);
	assert_int_equal(reqs[1].result, -ECANCELED);
	assert_int_equal(reqs[2].result, 0);
	assert_memory_equal(buf + 60, "abcd", 4);
	t.io->ops->close(t.io, file);
	fixture_fini(&t);
}

static int collect(void *arg, const char *name)
{
	char *all = arg;

	strcat(all, name);
	return !strcmp(name, "stop") ? 5 : 0;
}

static void names_are_made_renamed_listed_and_removed(void **state)
{
	struct fixture t;
	struct io_file *file;
	char all[200] = "";

	(void)state;
	fixture_init(&t, kind);
	ok(t.io->ops->mkdir(t.io, "wal"));
	assert_int_equal(t.io->ops->mkdir(t.io, "wal"), -EEXIST);
	t.io->ops->close(t.io, open_file(&t, "wal/x", IO_CREATE));
	t.io->ops->close(t.io, open_file(&t, "wal/y", IO_CREATE));
	ok(t.io->ops->rename(t.io, "wal/x", "wal/y"));
	ok(t.io->ops->sync_dir(t.io, "wal"));
	ok(t.io->ops->sync_dir(t.io, ""));
	assert_int_equal(t.io->ops->sync_dir(t.io, "none"), -ENOENT);
	ok(t.io->ops->list(t.io, "wal", collect, all));
	assert_string_equal(all, "y");
	ok(t.io->ops->list(t.io, "", collect, all));
	assert_string_equal(all, "ywal");
	assert_int_equal(t.io->ops->list(t.io, "none", collect, all), -ENOENT);
	ok(t.io->ops->unlink(t.io, "wal/y"));
	assert_int_equal(t.io->ops->unlink(t.io, "wal/y"), -ENOENT);
	t.io->ops->close(t.io, open_file(&t, "wal/stop", IO_CREATE));
	assert_int_equal(t.io->ops->list(t.io, "wal", collect, all), 5);
	assert_int_equal(t.io->ops->open(t.io, "wal", 0, &file), -EISDIR);
	fixture_fini(&t);
}

static void allocated_and_punched_ranges_read_as_zero(void **state)
{
	struct fixture t;
	struct io_file *file;
	uint64_t bytes;
	char buf[8192];
	int rc;

	(void)state;
	fixture_init(&t, kind);
	file = open_file(&t, "f", IO_CREATE);
	ok(t.io->ops->allocate(t.io, file, 4096, 8192));
	ok(t.io->ops->size(t.io, file, &bytes));
	assert_int_equal(bytes, 12288);
	memset(buf, 7, sizeof(buf));
	ok(io_write(t.io, file, buf, sizeof(buf), 0));
	rc = t.io->ops->punch(t.io, file, 4096, 4096);
	assert_true(!rc || rc == -EOPNOTSUPP);
	ok(io_read(t.io, file, buf, sizeof(buf), 0));
	assert_int_equal(buf[4095], 7);
	assert_int_equal(buf[4096], rc ? 7 : 0);
	ok(io_read(t.io, file, buf, 4096, 8192));
	assert_int_equal(buf[0], 0);
	ok(t.io->ops->truncate(t.io, file, 100));
	ok(t.io->ops->size(t.io, file, &bytes));
	assert_int_equal(bytes, 100);
	ok(t.io->ops->host_free(t.io, &bytes));
	assert_true(bytes > 0);
	t.io->ops->close(t.io, file);
	fixture_fini(&t);
}

static void the_lock_excludes_and_goes_with_the_io(void **state)
{
	struct fixture t;
	struct io *other;

	(void)state;
	fixture_init(&t, kind);
	ok(io_open(t.dir, kind, false, &other, NULL));
	ok(t.io->ops->lock(t.io, true, 0));
	assert_int_equal(other->ops->lock(other, true, 20), -EWOULDBLOCK);
	assert_int_equal(other->ops->lock(other, false, 0), -EWOULDBLOCK);
	t.io->ops->destroy(t.io);
	ok(other->ops->lock(other, false, 0));
	fixture_io(&t);
	ok(t.io->ops->lock(t.io, false, 0));
	other->ops->destroy(other);
	ok(t.io->ops->lock(t.io, true, 0));
	fixture_fini(&t);
}

static void a_missing_directory_is_named(void **state)
{
	struct fixture t;
	struct io *io;
	char path[PATH_MAX + 8];

	(void)state;
	fixture_init(&t, kind);
	snprintf(path, sizeof(path), "%s/new", t.dir);
	assert_int_equal(io_open(path, kind, false, &io, &t.why), -ENOENT);
	assert_non_null(strstr(t.why.text, path));
	ok(io_open(path, kind, true, &io, &t.why));
	io->ops->destroy(io);
	ok(io_open(path, IO_AUTO, true, &io, &t.why));
	io->ops->destroy(io);
	fixture_fini(&t);
}

enum { THREADS = 8, ROUNDS = 60, PIECES = 6 };

struct hammer {
	struct io *io;
	struct io_file *file;
	int thread;
	bool bad;
};

/* Assertions of the test library are for the main thread only. */
static void *hammer(void *arg)
{
	struct hammer *h = arg;
	char *buf = aligned_alloc(IO_ALIGN, PIECES * IO_ALIGN);
	struct io_req reqs[PIECES];

	for (int round = 0; round < ROUNDS; round++) {
		memset(buf, h->thread * 16 + round % 16, PIECES * IO_ALIGN);
		for (int i = 0; i < PIECES; i++)
			reqs[i] = (struct io_req){.op = IO_WRITE,
			        .file = h->file,
			        .buf = buf + i * IO_ALIGN,
			        .bytes = IO_ALIGN,
			        .offset = (uint64_t)(i * THREADS + h->thread) * IO_ALIGN};
		h->bad |= h->io->ops->submit(h->io, reqs, PIECES) != 0;
		memset(buf, 0, PIECES * IO_ALIGN);
		for (int i = 0; i < PIECES; i++)
			reqs[i].op = IO_READ;
		h->bad |= h->io->ops->submit(h->io, reqs, PIECES) != 0;
		for (int i = 0; i < PIECES * IO_ALIGN; i++)
			h->bad |= (uint8_t)buf[i] != h->thread * 16 + round % 16;
	}
	free(buf);
	return NULL;
}

static void many_threads_submit_at_once(void **state)
{
	struct fixture t;
	struct hammer h[THREADS];
	pthread_t thread[THREADS];
	struct io_file *file;

	(void)state;
	fixture_init(&t, kind);
	file = open_file(&t, "f", IO_CREATE | IO_DIRECT);
	for (int i = 0; i < THREADS; i++) {
		h[i] = (struct hammer){t.io, file, i, false};
		ok(pthread_create(&thread[i], NULL, hammer, &h[i]));
	}
	for (int i = 0; i < THREADS; i++) {
		ok(pthread_join(thread[i], NULL));
		assert_false(h[i].bad);
	}
	t.io->ops->close(t.io, file);
	fixture_fini(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(names_are_relative_to_the_open_directory),
	        cmocka_unit_test(bytes_come_back_direct_and_buffered_aligned_and_not),
	        cmocka_unit_test(long_batches_are_cut_and_completed),
	        cmocka_unit_test(behind_a_failed_link_everything_is_canceled),
	        cmocka_unit_test(write_and_sync_can_be_linked),
	        cmocka_unit_test(a_read_across_the_end_fails_in_a_batch_too),
	        cmocka_unit_test(names_are_made_renamed_listed_and_removed),
	        cmocka_unit_test(allocated_and_punched_ranges_read_as_zero),
	        cmocka_unit_test(the_lock_excludes_and_goes_with_the_io),
	        cmocka_unit_test(a_missing_directory_is_named),
	        cmocka_unit_test(many_threads_submit_at_once),
	};
	int failed;

	kind = IO_POSIX;
	failed = cmocka_run_group_tests_name("io_posix", tests, NULL, NULL);
	if (!uring_available()) {
		print_message("# io_uring is not available here: its half is skipped\n");
		return failed;
	}
	kind = IO_URING;
	return failed + cmocka_run_group_tests_name("io_uring", tests, NULL, NULL);
}
