/*
 * life_test.c - format, open, lock and close; bad input; what the manifest files survive and what
 * not.
 */
#include <fcntl.h>
#include <sys/stat.h>
#include <xxhash.h>

#include "store/format.h"
#include "tests/store/fixture.h"

enum { SLOT = 4096 };

static void expect_refusal(struct fixture *t, int err, const char *says)
{
	struct store *s = NULL;
	struct why w = {""};

	assert_int_equal(store_open(t->io, &t->opt, &s, &w), err);
	assert_null(s);
	if (!strstr(w.text, says))
		fail_msg("\"%s\" does not say \"%s\"", w.text, says);
}

/* The head of manifest.bin with one field changed and the checksum made right. */
static void restamp(const struct fixture *t, size_t at, const void *bytes, size_t n)
{
	char path[PATH_MAX + 32];
	struct manifest_head h;
	FILE *f;

	snprintf(path, sizeof(path), "%s/manifest.bin", t->dir);
	f = fopen(path, "r+");
	assert_non_null(f);
	assert_int_equal(fread(&h, 1, sizeof(h), f), sizeof(h));
	memcpy((char *)&h + at, bytes, n);
	h.sum = le64_of(XXH3_64bits(&h, offsetof(struct manifest_head, sum)));
	rewind(f);
	assert_int_equal(fwrite(&h, 1, sizeof(h), f), sizeof(h));
	ok(fclose(f));
}

static void format_makes_an_empty_store(void **state)
{
	struct fixture t;
	struct store_format fmt = {.uuid = {1, 2, 3}};
	struct store_root zero = {0};

	(void)state;
	fixture_init(&t, IO_AUTO);
	t.opt.cache_bytes = 1 << 20;
	ok(store_format(t.io, &fmt, &t.why));
	fixture_open(&t);
	assert_int_equal(store_frame_bytes(t.s), STORE_FRAME_DEFAULT);
	assert_memory_equal(store_uuid(t.s), fmt.uuid, 16);
	assert_memory_equal(store_root(t.s), &zero, sizeof(zero));
	assert_ptr_equal(store_io(t.s), t.io);
	assert_false(store_is_dirty(t.s));
	expect_clean(t.s);
	fixture_fini(&t);
}

static void format_refuses_what_is_not_empty(void **state)
{
	struct store_format fmt = {0};
	struct fixture t;

	(void)state;
	fixture_store(&t, IO_POSIX, SLOT, 0);
	fixture_close(&t);
	assert_int_equal(store_format(t.io, &fmt, &t.why), -EEXIST);
	ok(t.io->ops->unlink(t.io, "manifest.bin"));
	ok(store_format(t.io, &fmt, &t.why)); /* as after an interrupted mkfs */
	ok(t.io->ops->unlink(t.io, "manifest.bin"));
	ok(t.io->ops->mkdir(t.io, "photos"));
	assert_int_equal(store_format(t.io, &fmt, &t.why), -ENOTEMPTY);
	assert_non_null(strstr(t.why.text, "photos"));
	fmt.frame_bytes = 5000;
	assert_int_equal(store_format(t.io, &fmt, &t.why), -EINVAL);
	fixture_fini(&t);
}

static void format_does_not_overwrite_the_remains_of_a_store(void **state)
{
	struct store_format fmt = {0};
	struct fixture t;

	(void)state;
	fixture_store(&t, IO_POSIX, SLOT, 0);
	add_frame(t.s, 1);
	ok(commit(t.s));
	fixture_close(&t);
	ok(t.io->ops->unlink(t.io, "manifest.bin"));
	assert_int_equal(store_format(t.io, &fmt, &t.why), -ENOTEMPTY);
	fixture_fini(&t);
}

static void a_directory_without_a_manifest_is_not_a_store(void **state)
{
	struct fixture t;

	(void)state;
	fixture_init(&t, IO_POSIX);
	expect_refusal(&t, -ENOENT, "not a store");
	fixture_fini(&t);
}

static void a_second_opener_is_told_who_holds_the_store(void **state)
{
	struct fixture t;
	char pid[32];
	int status;
	pid_t child;

	(void)state;
	fixture_store(&t, IO_POSIX, SLOT, 0);
	snprintf(pid, sizeof(pid), "process %d on host ", (int)getpid());
	child = fork();
	if (!child) {
		struct store *s;
		struct io *io;
		struct why w = {""};
		int rc = io_open(t.dir, IO_POSIX, false, &io, &w);
		if (!rc)
			rc = store_open(io, &t.opt, &s, &w);
		_exit(rc != -EWOULDBLOCK || !strstr(w.text, pid) || !strstr(w.text, "started 2"));
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	fixture_fini(&t);
}

static void replacing_the_lock_file_lets_nobody_in(void **state)
{
	struct fixture t;
	struct store *s;
	struct io *io;

	(void)state;
	fixture_store(&t, IO_POSIX, SLOT, 0);
	ok(t.io->ops->unlink(t.io, "lock"));
	ok(io_open(t.dir, IO_POSIX, false, &io, NULL));
	assert_int_equal(store_open(io, &t.opt, &s, &t.why), -EWOULDBLOCK);
	io->ops->destroy(io);
	fixture_fini(&t);
}

static void an_opener_waits_for_its_predecessor(void **state)
{
	struct fixture t;
	int status, held[2];
	char byte;
	pid_t child;

	(void)state;
	fixture_store(&t, IO_POSIX, SLOT, 0);
	fixture_close(&t);
	t.io->ops->destroy(t.io);
	t.io = NULL;
	ok(pipe(held));
	child = fork();
	if (!child) {
		struct io *io;
		if (io_open(t.dir, IO_POSIX, false, &io, NULL) || io->ops->lock(io, true, 0) ||
		        write(held[1], "x", 1) != 1)
			_exit(1);
		usleep(150000);
		_exit(0);
	}
	assert_int_equal(read(held[0], &byte, 1), 1);
	fixture_io(&t);
	expect_refusal(&t, -EWOULDBLOCK, "in use");
	t.opt.lock_wait_ms = IO_LOCK_WAIT_MS;
	fixture_open(&t);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	fixture_fini(&t);
}

static void readers_share_and_exclude_a_writer(void **state)
{
	struct fixture t;
	struct store *s;
	struct io *io;

	(void)state;
	fixture_store(&t, IO_POSIX, SLOT, 0);
	fixture_close(&t);
	t.io->ops->destroy(t.io);
	fixture_io(&t);
	t.opt.read_only = true;
	fixture_open(&t);
	ok(io_open(t.dir, IO_POSIX, false, &io, NULL));
	ok(store_open(io, &t.opt, &s, &t.why));
	store_close(s);
	t.opt.read_only = false;
	assert_int_equal(store_open(io, &t.opt, &s, &t.why), -EWOULDBLOCK);
	t.opt.read_only = true;
	io->ops->destroy(io);
	fixture_fini(&t);
}

static void a_store_that_is_being_formatted_is_not_a_store_yet(void **state)
{
	struct fixture t;
	struct store_format fmt = {0};
	struct io *mkfs;

	(void)state;
	fixture_init(&t, IO_POSIX);
	ok(io_open(t.dir, IO_POSIX, false, &mkfs, NULL));
	ok(mkfs->ops->lock(mkfs, true, 0));
	expect_refusal(&t, -ENOENT, "not a store yet");
	assert_int_equal(store_format(t.io, &fmt, &t.why), -EWOULDBLOCK);
	mkfs->ops->destroy(mkfs);
	fixture_fini(&t);
}

static void the_note_in_lock_goes_with_the_store(void **state)
{
	struct fixture t;
	struct io_file *file;

	(void)state;
	fixture_store(&t, IO_POSIX, SLOT, 0);
	ok(t.io->ops->open(t.io, "lock", IO_READONLY, &file));
	t.io->ops->close(t.io, file);
	fixture_close(&t);
	assert_int_equal(t.io->ops->open(t.io, "lock", IO_READONLY, &file), -ENOENT);
	fixture_fini(&t);
}

static void other_formats_and_unknown_features_are_refused_by_name(void **state)
{
	struct fixture t;
	le32 one = le32_of(1), zero = le32_of(0), own = le32_of(STORE_FORMAT_VERSION),
	     newer = le32_of(STORE_FORMAT_VERSION + 1);

	(void)state;
	fixture_store(&t, IO_POSIX, SLOT, 0);
	fixture_close(&t);
	restamp(&t, offsetof(struct manifest_head, version), &newer, 4);
	expect_refusal(&t, -EPROTONOSUPPORT, "newer artfs");
	restamp(&t, offsetof(struct manifest_head, version), &one, 4);
	expect_refusal(&t, -EPROTONOSUPPORT, "format version 1");
	restamp(&t, offsetof(struct manifest_head, version), &own, 4);
	restamp(&t, offsetof(struct manifest_head, incompat), &one, 4);
	expect_refusal(&t, -EPROTONOSUPPORT, "incompat");
	restamp(&t, offsetof(struct manifest_head, incompat), &zero, 4);
	restamp(&t, offsetof(struct manifest_head, ro_compat), &one, 4);
	expect_refusal(&t, -EROFS, "read-only");
	t.opt.read_only = true;
	fixture_open(&t);
	fixture_close(&t);
	t.opt.read_only = false;
	restamp(&t, offsetof(struct manifest_head, ro_compat), &zero, 4);
	restamp(&t, offsetof(struct manifest_head, compat), &one, 4);
	fixture_open(&t);
	fixture_fini(&t);
}

static void a_damaged_manifest_bin_is_refused(void **state)
{
	struct fixture t;
	le32 frame_bytes = le32_of(12345);

	(void)state;
	fixture_store(&t, IO_POSIX, SLOT, 0);
	fixture_close(&t);
	for (long at = 0; at < MANIFEST_BLOCK_BYTES; at += 37) {
		flip(&t, "manifest.bin", at);
		expect_refusal(&t, -EUCLEAN, "manifest.bin");
		flip(&t, "manifest.bin", at);
	}
	restamp(&t, offsetof(struct manifest_head, frame_bytes), &frame_bytes, 4);
	expect_refusal(&t, -EUCLEAN, "manifest.bin");
	cut(&t, "manifest.bin", 4095);
	expect_refusal(&t, -EUCLEAN, "too short");
	cut(&t, "manifest.bin", 0);
	expect_refusal(&t, -EUCLEAN, "too short");
	fixture_fini(&t);
}

static void missing_files_are_damage(void **state)
{
	struct fixture t;

	(void)state;
	fixture_store(&t, IO_POSIX, SLOT, 0);
	fixture_close(&t);
	ok(t.io->ops->rename(t.io, "blobs.dat", "b"));
	expect_refusal(&t, -EUCLEAN, "blobs.dat is missing");
	ok(t.io->ops->rename(t.io, "b", "blobs.dat"));
	ok(t.io->ops->unlink(t.io, "manifest.log"));
	expect_refusal(&t, -EUCLEAN, "manifest.log is missing");
	fixture_fini(&t);
}

static void a_shortened_blobs_dat_is_found_at_open(void **state)
{
	struct fixture t;

	(void)state;
	fixture_store(&t, IO_POSIX, SLOT, 0);
	add_frame(t.s, 1);
	ok(commit(t.s));
	fixture_close(&t);
	cut(&t, "blobs.dat", 100);
	expect_refusal(&t, -EUCLEAN, "beyond the end of blobs.dat");
	fixture_fini(&t);
}

/* Three commits, one block of log each; a frame holds the number of the commit. */
static uint64_t three_commits(struct fixture *t)
{
	uint64_t a;

	fixture_store(t, IO_POSIX, SLOT, 0);
	a = add_frame(t->s, 1);
	ok(commit(t->s));
	fill_frame(t->s, a, 2);
	ok(commit(t->s));
	fill_frame(t->s, a, 3);
	ok(commit(t->s));
	store_fail(t->s); /* as if killed: close does not tidy up */
	fixture_close(t);
	return a;
}

static void a_torn_last_batch_is_not_there(void **state)
{
	(void)state;
	/* Head, entry, end. */
	for (long at = 0; at < 40 + 32 + 112; at += 9) {
		struct fixture t;
		uint64_t a = three_commits(&t);

		flip(&t, "manifest.log", 2 * 4096 + at);
		fixture_open(&t);
		assert_int_equal(store_root(t.s)->lsn, 2);
		/* The slot of the torn commit was never named: its predecessor's is untouched. */
		expect_frame(t.s, a, 2);
		fixture_fini(&t);
	}
}

static void a_torn_tail_is_cut_before_the_first_append(void **state)
{
	struct fixture t;
	uint64_t a = three_commits(&t);

	(void)state;
	flip(&t, "manifest.log", 2 * 4096 + 50);
	poke(&t, "manifest.log", 5 * 4096, "rubbish", 7);
	fixture_open(&t);
	fill_frame(t.s, a, 4);
	ok(commit(t.s));
	assert_int_equal(store_root(t.s)->lsn, 3);
	fixture_close(&t);
	assert_int_equal(peek(&t, "manifest.log", 5 * 4096), 0);
	fixture_open(&t);
	expect_frame(t.s, a, 4);
	assert_int_equal(store_root(t.s)->lsn, 3);
	fixture_fini(&t);
}

static void a_damaged_batch_before_a_valid_one_is_corruption(void **state)
{
	struct fixture t;

	(void)state;
	three_commits(&t);
	flip(&t, "manifest.log", 4096 + 60);
	expect_refusal(&t, -EUCLEAN, "damaged at byte 4096");
	flip(&t, "manifest.log", 4096 + 60);
	flip(&t, "manifest.log", 8);
	expect_refusal(&t, -EUCLEAN, "damaged at byte 0");
	t.opt.read_only = true;
	expect_refusal(&t, -EUCLEAN, "damaged at byte 0");
	fixture_fini(&t);
}

static void the_log_is_folded_into_a_snapshot(void **state)
{
	struct fixture t;
	struct store_stat st;
	uint64_t id[50];
	int snapshots = 0, round;

	(void)state;
	fixture_store(&t, IO_POSIX, SLOT, 0);
	for (int i = 0; i < 50; i++)
		id[i] = add_frame(t.s, 0);
	ok(commit(t.s));
	for (round = 1; snapshots < 3; round++) {
		for (int i = 0; i < 50; i += 7)
			fill_frame(t.s, id[i], round);
		ok(commit(t.s));
		store_stat(t.s, &st);
		snapshots += st.manifest_log_bytes == 0;
		if (round % 10 == 0)
			fixture_reopen(&t);
	}
	/* Nothing but old batches follows the snapshot now: they must not come back. */
	fixture_reopen(&t);
	for (int i = 0; i < 50; i++)
		expect_frame(t.s, id[i], i % 7 ? 0 : round - 1);
	fill_frame(t.s, id[0], 99);
	ok(commit(t.s));
	fixture_reopen(&t);
	expect_frame(t.s, id[0], 99);
	expect_clean(t.s);
	fixture_fini(&t);
}

static void an_interrupted_snapshot_does_no_harm(void **state)
{
	struct fixture t;
	struct io_file *file;
	uint64_t a = three_commits(&t);

	(void)state;
	ok(t.io->ops->open(t.io, "manifest.tmp", IO_CREATE, &file));
	ok(io_write(t.io, file, "half a snapshot", 15, 4000));
	t.io->ops->close(t.io, file);
	fixture_open(&t);
	expect_frame(t.s, a, 3);
	for (int i = 0; i < 70; i++) {
		fill_frame(t.s, a, i);
		ok(commit(t.s));
	}
	fixture_reopen(&t);
	expect_frame(t.s, a, 69);
	fixture_fini(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(format_makes_an_empty_store),
	        cmocka_unit_test(format_refuses_what_is_not_empty),
	        cmocka_unit_test(format_does_not_overwrite_the_remains_of_a_store),
	        cmocka_unit_test(a_directory_without_a_manifest_is_not_a_store),
	        cmocka_unit_test(a_second_opener_is_told_who_holds_the_store),
	        cmocka_unit_test(replacing_the_lock_file_lets_nobody_in),
	        cmocka_unit_test(an_opener_waits_for_its_predecessor),
	        cmocka_unit_test(readers_share_and_exclude_a_writer),
	        cmocka_unit_test(a_store_that_is_being_formatted_is_not_a_store_yet),
	        cmocka_unit_test(the_note_in_lock_goes_with_the_store),
	        cmocka_unit_test(other_formats_and_unknown_features_are_refused_by_name),
	        cmocka_unit_test(a_damaged_manifest_bin_is_refused),
	        cmocka_unit_test(missing_files_are_damage),
	        cmocka_unit_test(a_shortened_blobs_dat_is_found_at_open),
	        cmocka_unit_test(a_torn_last_batch_is_not_there),
	        cmocka_unit_test(a_torn_tail_is_cut_before_the_first_append),
	        cmocka_unit_test(a_damaged_batch_before_a_valid_one_is_corruption),
	        cmocka_unit_test(the_log_is_folded_into_a_snapshot),
	        cmocka_unit_test(an_interrupted_snapshot_does_no_harm),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
