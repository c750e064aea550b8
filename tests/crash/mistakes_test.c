/*
 * mistakes_test.c - the mistakes of relatives about crashes, each with a name of its own.
 *
 * Each test builds the one situation in which the mistake would show, and looks for what it would leave.
 * art_crash_test.c and fs_crash_test.c meet most of these situations by chance, too.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <inttypes.h>
#include <sys/stat.h>

#include "fs/fs.h"
#include "tests/harness/art_compare.h"
#include "tests/harness/explore.h"
#include "tests/harness/seed.h"

enum { KIB = 1024, MIB = 1024 * 1024, SLOT_BYTES = 4 * KIB };

static const struct art_format format = {.frame_bytes = SLOT_BYTES, .segment_bytes = 64 * KIB};

struct fixture {
	struct simdisk *disk;
	struct io *io;
	struct art *a;
	struct model *m;     /* as it is to be now */
	struct model *older; /* what a crash may find as well, or NULL */
	struct rng rng;
	size_t cache_bytes;
};

static int open_art(struct fixture *f)
{
	const struct art_options opt = {
	        .cache_bytes = f->cache_bytes, .checkpoint_bytes = 16 * MIB};
	int err;

	f->io = simdisk_open(f->disk);
	err = art_open(f->io, &opt, &f->a, NULL);
	if (err) {
		f->io->ops->destroy(f->io);
		f->io = NULL;
	}
	return err;
}

static int close_art(struct fixture *f)
{
	const int err = art_close(f->a);

	f->io->ops->destroy(f->io);
	f->io = NULL;
	return err;
}

static int setup(void **state)
{
	struct fixture *f = pages_memory(NULL, sizeof(*f));

	*f = (struct fixture){.disk = simdisk_new(),
	        .m = model_new(),
	        .rng = rng_of(seed_get()),
	        .cache_bytes = 2 * MIB};
	f->io = simdisk_open(f->disk);
	assert_int_equal(art_format(f->io, &format, NULL), 0);
	f->io->ops->destroy(f->io);
	assert_int_equal(open_art(f), 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	if (f->io)
		close_art(f);
	if (f->older)
		model_free(f->older);
	model_free(f->m);
	simdisk_free(f->disk);
	free(f);
	return 0;
}

static int apply(struct fixture *f, const struct art_op *op)
{
	const int err = art_commit(f->a, op, 1, NULL);

	if (!err)
		assert_int_equal(model_commit(f->m, op, 1), 0);
	return err;
}

/* "dir/NUMBER" = bytes that tell number and version. */
static int put(struct fixture *f, unsigned number, unsigned version, size_t bytes)
{
	uint8_t value[8 * KIB];
	char key[32];
	const int n = snprintf(key, sizeof(key), "dir/%05u", number);
	struct rng r = rng_of(number * 1000ULL + version);

	rng_fill(&r, value, bytes);
	return apply(f, &(struct art_op){
	                        .type = ART_PUT, .key = {key, (size_t)n}, .value = {value, bytes}});
}

static int cut(struct fixture *f, unsigned number)
{
	char key[32];
	const int n = snprintf(key, sizeof(key), "dir/%05u", number);

	return apply(f, &(struct art_op){.type = ART_REMOVE, .key = {key, (size_t)n}});
}

static void put_many(struct fixture *f, unsigned n, unsigned version, size_t bytes)
{
	for (unsigned i = 0; i < n; i++)
		assert_int_equal(put(f, i, version, bytes), 0);
}

/* The state of `older` is allowed, too. */
static void remember_older(struct fixture *f)
{
	if (f->older)
		model_free(f->older);
	f->older = model_clone(f->m);
}

/* Opens a disk: 1 the present state, 0 the older one, EXPLORE_WRONG. */
static long judge(void *arg, struct simdisk *d, long which)
{
	const struct fixture *f = arg;
	struct fixture other = {.disk = d, .cache_bytes = f->cache_bytes};
	struct model *m;
	long found = EXPLORE_WRONG;

	if (open_art(&other)) {
		printf("# does not open\n");
		return EXPLORE_WRONG;
	}
	m = compare_read(other.a);
	if (m && model_same(m, f->m))
		found = 1;
	else if (m && f->older && model_same(m, f->older))
		found = 0;
	else
		printf("# neither the state before nor the one behind\n");
	if (m)
		model_free(m);
	if (!compare_check(other.a) || close_art(&other) ||
	        (which != EXPLORE_ANY && found != which))
		return EXPLORE_WRONG;
	return found;
}

static struct explore explorer(struct fixture *f, unsigned one_in)
{
	struct explore e;

	explore_init(&e, rng_u64(&f->rng), explore_exhaustive(), judge, f);
	e.one_in = explore_exhaustive() ? 1 : one_in;
	return e;
}

/* S1. More frames than one batch of writes, so that a slot freed too early is taken again at once. */
static void frame_is_not_rewritten_in_place(void **state)
{
	struct fixture *f = *state;
	struct explore e = explorer(f, 1);

	put_many(f, 1500, 1, 200);
	assert_int_equal(art_checkpoint(f->a), 0);
	put_many(f, 1500, 2, 200);
	assert_int_equal(art_sync(f->a, art_lsn(f->a)), 0);
	explore_attach(&e, f->disk);
	assert_int_equal(art_checkpoint(f->a), 0);
	simdisk_set_hook(f->disk, NULL, NULL);
	assert_false(e.failed);
	assert_true(e.crashes > 5);
}

/* W2. */
static void log_is_not_cut_before_the_manifest_is_durable(void **state)
{
	struct fixture *f = *state;
	struct explore e = explorer(f, 1);

	for (unsigned i = 0; i < 500; i++) /* several segments */
		assert_int_equal(put(f, i % 50, i, 900), 0);
	assert_int_equal(art_sync(f->a, art_lsn(f->a)), 0);
	explore_attach(&e, f->disk);
	assert_int_equal(art_checkpoint(f->a), 0);
	simdisk_set_hook(f->disk, NULL, NULL);
	assert_false(e.failed);
}

/* W3. Many records in one torn write, some lost, later ones kept; a new record where the first lost one was
 * must not bring those behind it back. Records as long as a sector: so they are lost one by one, and a
 * new one can end where a block does, with nothing of it covering what lies behind. */
static void append_after_a_torn_tail_revives_nothing(void **state)
{
	enum { RECORDS = 40, RECORD_BYTES = SIMDISK_SECTOR, VALUE_BYTES = 459 };
	struct fixture *f = *state;
	unsigned torn = 0;

	assert_int_equal(put(f, 0, 1, VALUE_BYTES), 0);
	assert_int_equal(art_lsn(f->a), RECORD_BYTES);
	assert_int_equal(art_sync(f->a, art_lsn(f->a)), 0);
	for (unsigned i = 1; i < RECORDS; i++)
		assert_int_equal(put(f, i, 1, VALUE_BYTES), 0);
	/* The batch is written, but its sync finds the power gone. */
	simdisk_fail(f->disk, SIMDISK_SYNC, 0, SIMDISK_FOREVER, -EIO);
	assert_int_equal(art_sync(f->a, art_lsn(f->a)), -EIO);
	for (unsigned i = 0; i < 400; i++) {
		struct fixture g = {.cache_bytes = f->cache_bytes};
		g.disk = simdisk_crash(f->disk, SIMDISK_TORN, &f->rng);
		assert_int_equal(open_art(&g), 0);
		g.m = compare_read(g.a);
		assert_non_null(g.m);
		const size_t n = model_keys(g.m);
		assert_in_range(n, 1, RECORDS);
		torn += n < RECORDS;
		/* Fill the block with new records, as many as it takes. */
		for (size_t k = n; k < RECORDS && (k == n || k % 8); k++)
			assert_int_equal(put(&g, (unsigned)k, 2, VALUE_BYTES), 0);
		assert_int_equal(art_sync(g.a, art_lsn(g.a)), 0);
		struct simdisk *lost = simdisk_crash(g.disk, SIMDISK_DROP, &f->rng);
		assert_int_equal(judge(&g, lost, 1), 1);
		simdisk_free(lost);
		close_art(&g);
		model_free(g.m);
		simdisk_free(g.disk);
	}
	assert_true(torn > 50);
	simdisk_fail(f->disk, 0, 0, 0, 0);
	assert_int_equal(close_art(f), -EIO);
}

/* W4. The disk has forgotten what the failed sync was for, and says so only once. */
static void failed_fsync_is_not_retried_and_reported_as_success(void **state)
{
	struct fixture *f = *state;
	struct simdisk *lost;

	assert_int_equal(put(f, 1, 1, 100), 0);
	assert_int_equal(art_sync(f->a, art_lsn(f->a)), 0);
	remember_older(f);
	assert_int_equal(put(f, 2, 1, 100), 0);
	simdisk_fail(f->disk, SIMDISK_SYNC, 0, 1, -EIO);
	assert_int_equal(art_sync(f->a, art_lsn(f->a)), -EIO);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(art_sync(f->a, art_lsn(f->a)), -EIO);
		assert_int_equal(put(f, 3, 1, 100), -EIO);
		assert_int_equal(art_checkpoint(f->a), -EIO);
	}
	assert_true(art_failed(f->a));
	assert_int_equal(close_art(f), -EIO);
	lost = simdisk_crash(f->disk, SIMDISK_DROP, &f->rng);
	assert_int_equal(judge(f, lost, 0), 0);
	simdisk_free(lost);
}

/* S5. The lock is on the directory; the file is for people. */
static void second_writer_stays_out_when_the_lock_file_was_replaced(void **state)
{
	struct fixture *f = *state;
	struct fixture second = {.disk = f->disk, .cache_bytes = f->cache_bytes};
	struct io *io = simdisk_open(f->disk);
	struct io_file *file;

	assert_int_equal(open_art(&second), -EWOULDBLOCK);
	assert_int_equal(io->ops->unlink(io, "lock"), 0);
	assert_int_equal(open_art(&second), -EWOULDBLOCK);
	assert_int_equal(io->ops->open(io, "lock", IO_CREATE | IO_EXCL, &file), 0);
	assert_int_equal(open_art(&second), -EWOULDBLOCK);
	io->ops->close(io, file);
	io->ops->destroy(io);
	assert_int_equal(close_art(f), 0);
	assert_int_equal(open_art(&second), 0);
	assert_int_equal(close_art(&second), 0);
}

/* A cache of few frames, far more changed than it holds, and no checkpoint asked for. */
static void dirty_frame_is_not_evicted(void **state)
{
	struct fixture *f = *state;
	struct art_stat stat;

	assert_int_equal(close_art(f), 0);
	f->cache_bytes = 100 * SLOT_BYTES;
	assert_int_equal(open_art(f), 0);
	for (unsigned i = 0; i < 6000; i++) {
		const unsigned number = (unsigned)rng_below(&f->rng, 5000);
		assert_int_equal(put(f, number, i, 150), 0);
		for (int reads = 0; reads < 3;
		        reads++) /* the cache must find room for these, too */
			assert_true(compare_get(
			        f->a, f->m, model_key(f->m, rng_below(&f->rng, model_keys(f->m)))));
		if (i % 500 == 499)
			assert_true(compare_all(f->a, f->m));
	}
	art_stat(f->a, &stat);
	assert_true(stat.store.evictions > 100);
	assert_true(compare_all(f->a, f->m) && compare_check(f->a));
}

/* Frames that were emptied and dropped have images on disk, and the log their puts. */
static void deleted_child_is_not_resurrected(void **state)
{
	struct fixture *f = *state;
	struct explore e = explorer(f, 3);

	put_many(f, 600, 1, 200);
	assert_int_equal(art_checkpoint(f->a), 0);
	put_many(f, 600, 2, 200);
	for (unsigned i = 100; i < 600; i++)
		assert_int_equal(cut(f, i), 0);
	assert_int_equal(art_sync(f->a, art_lsn(f->a)), 0);
	explore_attach(&e, f->disk);
	assert_int_equal(art_checkpoint(f->a), 0);
	remember_older(f);
	assert_int_equal(put(f, 7, 3, 200), 0);
	assert_int_equal(art_checkpoint(f->a), 0);
	simdisk_set_hook(f->disk, NULL, NULL);
	assert_false(e.failed);
}

static void read_blobs(struct fixture *f, uint8_t **buf, uint64_t *bytes)
{
	struct io *io = simdisk_open(f->disk);
	struct io_file *file;

	assert_int_equal(io->ops->open(io, "blobs.dat", 0, &file), 0);
	assert_int_equal(io->ops->size(io, file, bytes), 0);
	*buf = pages_memory(NULL, *bytes);
	assert_int_equal(io_read(io, file, *buf, *bytes, 0), 0);
	io->ops->close(io, file);
	io->ops->destroy(io);
}

static void write_slot(struct simdisk *d, uint64_t slot, const uint8_t *buf)
{
	struct io *io = simdisk_open(d);
	struct io_file *file;

	assert_int_equal(io->ops->open(io, "blobs.dat", 0, &file), 0);
	assert_int_equal(
	        io_write(io, file, buf + slot * SLOT_BYTES, SLOT_BYTES, slot * SLOT_BYTES), 0);
	io->ops->close(io, file);
	io->ops->destroy(io);
}

/* Every value is right or cannot be read; returns how many keys gave an error. */
static size_t wrong_or_error(struct simdisk *d, const struct fixture *f)
{
	struct fixture other = {.disk = d, .cache_bytes = f->cache_bytes};
	size_t errors = 0;
	int err = open_art(&other);

	if (err)
		return model_keys(f->m);
	for (size_t i = 0; i < model_keys(f->m); i++) {
		const struct art_bytes value = model_value(f->m, i);
		uint8_t *buf = pages_memory(NULL, value.bytes);
		size_t bytes = 0;
		err = art_get(other.a, model_key(f->m, i), 0, buf, value.bytes, &bytes);
		if (!err && (bytes != value.bytes || memcmp(buf, value.data, bytes)))
			fail_msg("a wrong value was read");
		if (err && err != -EBADMSG && err != -EUCLEAN && err != -EIO)
			fail_msg("damage gives %d", err);
		errors += err != 0;
		free(buf);
	}
	close_art(&other);
	return errors;
}

/* S2. One slot after the other holds its older bytes again: a write that the disk lost or misdirected. */
static void parent_and_child_of_different_versions_are_not_read_together(void **state)
{
	struct fixture *f = *state;
	uint8_t *old, *new;
	uint64_t old_bytes, new_bytes;
	unsigned changed = 0, caught = 0;

	/* Later images lie in the slots of earlier ones. */
	for (unsigned version = 1; version <= 8; version++) {
		put_many(f, 300, version, 200);
		assert_int_equal(art_checkpoint(f->a), 0);
		if (version == 1)
			read_blobs(f, &old, &old_bytes);
	}
	assert_int_equal(close_art(f), 0);
	read_blobs(f, &new, &new_bytes);
	for (uint64_t slot = 0; slot < old_bytes / SLOT_BYTES && slot < new_bytes / SLOT_BYTES;
	        slot++) {
		struct simdisk *d;
		if (!memcmp(old + slot * SLOT_BYTES, new + slot *SLOT_BYTES, SLOT_BYTES))
			continue;
		changed++;
		d = simdisk_clone(f->disk);
		write_slot(d, slot, old);
		caught += wrong_or_error(d, f) > 0;
		simdisk_free(d);
	}
	assert_true(changed > 10);
	assert_true(caught > 5);
	free(old);
	free(new);
	assert_int_equal(open_art(f), 0);
}

/* Flipped bits anywhere, lengths among them: an error or the truth, never a crash and never nonsense. */
static void bogus_length_from_disk_is_not_trusted(void **state)
{
	struct fixture *f = *state;
	static const char *const files[] = {
	        "manifest.bin", "manifest.log", "wal/0000000001", "wal/0000000002", "blobs.dat"};
	struct simdisk *copy;
	unsigned noticed = 0;

	put_many(f, 100, 1, 300);
	assert_int_equal(art_checkpoint(f->a), 0);
	put_many(f, 30, 2, 300);
	assert_int_equal(art_sync(f->a, art_lsn(f->a)), 0);
	copy = simdisk_crash(f->disk, SIMDISK_DROP, &f->rng);
	for (unsigned i = 0; i < 600; i++) {
		struct simdisk *d = simdisk_clone(copy);
		struct fixture other = {.disk = d, .cache_bytes = f->cache_bytes};
		const uint64_t at = rng_below(&f->rng, rng_one_in(&f->rng, 2) ? 300 : 16 * KIB);
		if (simdisk_rot(d, files[i % 5], at, (uint8_t)rng_between(&f->rng, 1, 255))) {
			simdisk_free(d);
			continue;
		}
		struct model *m = open_art(&other) ? NULL : compare_read(other.a);
		noticed += !m;
		/* A log record that is damaged at the very end of the log looks like a torn one. */
		if (m && !model_same(m, f->m) && i % 5 != 2)
			fail_msg("bit rot in %s at %" PRIu64 " was believed; replay: %s",
			        files[i % 5], at, seed_replay());
		if (m)
			model_free(m);
		if (other.io)
			close_art(&other);
		simdisk_free(d);
	}
	assert_true(noticed > 30);
	simdisk_free(copy);
}

static int mount_fs(struct fixture *f, struct fs **fs)
{
	static const struct fs_options opt = {.data_buffer_bytes = 64 * KIB};
	const int err = open_art(f);

	return err ? err : fs_open(f->a, &opt, fs, NULL);
}

/* Not by a clean remount, not by a power loss, and no number is given twice. */
static void inode_numbers_stay_the_same(void **state)
{
	enum { FILES = 40 };
	static const struct fs_cred cred = {0, 0};
	struct fixture *f = *state;
	uint64_t ino[FILES], newest = 0;
	struct fs *fs;

	assert_int_equal(fs_format(f->a, &cred, 0755), 0);
	assert_int_equal(close_art(f), 0);
	assert_int_equal(mount_fs(f, &fs), 0);
	for (unsigned i = 0; i < FILES; i++) {
		char name[16];
		struct fs_attr attr;
		struct simdisk *lost;
		snprintf(name, sizeof(name), "f%u", i);
		assert_int_equal(fs_mknod(fs, &cred, FS_ROOT, name, S_IFREG | 0644, 0, &attr), 0);
		assert_true(attr.ino > newest);
		newest = ino[i] = attr.ino;
		if (i % 4 == 3) { /* a number that is gone is not given again */
			fs_forget(fs, attr.ino, 1);
			assert_int_equal(fs_unlink(fs, FS_ROOT, name), 0);
			ino[i] = 0;
		}
		assert_int_equal(fs_sync(fs), 0);
		lost = i % 2 ? simdisk_crash(f->disk, SIMDISK_DROP, &f->rng) : NULL;
		assert_int_equal(fs_close(fs), 0);
		assert_int_equal(close_art(f), 0);
		if (lost) {
			simdisk_free(f->disk);
			f->disk = lost;
		}
		assert_int_equal(mount_fs(f, &fs), 0);
		for (unsigned j = 0; j <= i; j++) {
			snprintf(name, sizeof(name), "f%u", j);
			const int err = fs_lookup(fs, FS_ROOT, name, &attr);
			assert_int_equal(err, ino[j] ? 0 : -ENOENT);
			if (!err) {
				assert_int_equal(attr.ino, ino[j]);
				fs_forget(fs, attr.ino, 1);
			}
		}
	}
	assert_int_equal(fs_close(fs), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
	        TEST(frame_is_not_rewritten_in_place),
	        TEST(log_is_not_cut_before_the_manifest_is_durable),
	        TEST(append_after_a_torn_tail_revives_nothing),
	        TEST(failed_fsync_is_not_retried_and_reported_as_success),
	        TEST(second_writer_stays_out_when_the_lock_file_was_replaced),
	        TEST(dirty_frame_is_not_evicted),
	        TEST(deleted_child_is_not_resurrected),
	        TEST(parent_and_child_of_different_versions_are_not_read_together),
	        TEST(bogus_length_from_disk_is_not_trusted),
	        TEST(inode_numbers_stay_the_same),
	};
	return cmocka_run_group_tests_name("mistakes of relatives", tests, NULL, NULL);
}
