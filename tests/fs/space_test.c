/*
 * space_test.c - a full store: operations are refused with ENOSPC before anything has changed,
 * reading and deleting go on, buffered data waits, and after deleting everything works again (W5).
 */
#include "tests/fs/fixture.h"

static void a_full_store_keeps_buffered_data_until_there_is_room(void **state)
{
	struct fixture *f = *state, s = {.frame_bytes = f->frame_bytes};
	uint64_t cb = chunk_bytes_of(f);
	s.size_max = 64 * cb;
	fixture_format(&s);
	s.opt.data_buffer_bytes = 2 * cb;
	fixture_open(&s);

	uint64_t keep = make_file(&s, FS_ROOT, "keep"), big = make_file(&s, FS_ROOT, "big");
	put_pattern(&s, keep, 0, cb / 2, 1);
	ok(fs_fsync(s.fs, keep));
	uint8_t *buf = calloc(1, cb);
	ssize_t n = 0;
	unsigned chunks = 0;
	for (; n >= 0 && chunks < 200; chunks++) {
		n = fs_write(s.fs, big, chunks * cb, buf, cb);
		if (n > 0 && fs_fsync(s.fs, big) == -ENOSPC)
			n = -ENOSPC;
	}
	free(buf);
	assert_int_equal(n, -ENOSPC);
	assert_true(chunks > 20);

	/* Half a chunk may still find room where a whole one does not, but not for ever. */
	uint64_t late = 0;
	char name[16] = "";
	int err = 0;
	for (unsigned i = 0; !err && i < 200; i++) {
		if (late)
			fs_forget(s.fs, late, 1);
		snprintf(name, sizeof(name), "late%u", i);
		late = make_file(&s, FS_ROOT, name);
		put_pattern(&s, late, 0, cb / 2, 2); /* goes to memory */
		err = fs_fsync(s.fs, late);
	}
	assert_int_equal(err, -ENOSPC);
	fs_forget(s.fs, late, 1); /* and must stay there */
	struct fs_attr a;
	ok(fs_lookup(s.fs, FS_ROOT, name, &a));
	assert_int_equal(a.size, cb / 2);
	assert_pattern(&s, late, 0, cb / 2, 2);
	fs_forget(s.fs, late, 1);
	assert_pattern(&s, keep, 0, cb / 2, 1);
	assert_int_equal(fs_sync(s.fs), -ENOSPC);

	ok(fs_unlink(s.fs, FS_ROOT, "big"));
	fs_forget(s.fs, big, 1);
	ok(fs_checkpoint(s.fs));
	ok(fs_sync(s.fs));
	assert_int_equal(fs_getattr(s.fs, late, &a), -ESTALE); /* written, so forgotten at last */
	ok(fs_lookup(s.fs, FS_ROOT, name, &a));
	assert_pattern(&s, late, 0, cb / 2, 2);
	ok(fs_check(s.art, fixture_say, NULL));
	fixture_reopen(&s);
	ok(fs_lookup(s.fs, FS_ROOT, name, &a));
	assert_pattern(&s, late, 0, cb / 2, 2);
	fixture_remove(&s);
}

int main(void)
{
	static const struct fixture_test test[] = {
	        TEST(a_full_store_keeps_buffered_data_until_there_is_room),
	};
	return fixture_run("space", test, 1);
}
