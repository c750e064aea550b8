/*
 * fs_crash_test.c - the file tree after power losses at any step of short sequences of operations.
 *
 *      tree prepared ── op ── op ── sync ── close        all sequences of DEPTH (2) operations, and
 *           │           │      │      │       │          random long ones
 *           s0          s1     s2     └ everything acknowledged
 *
 * EXHAUSTIVE=1 also runs sequences of three, which are many: a sample of their power losses is enough there.
 *
 * Names are found as one of the states from the acknowledged one to the last begun: in order,
 * nothing half. The bytes of a file may be older than its name is, never older than its last fsync,
 * nor than its last rename if that is there; and they are what the file held at some moment, whole.
 * Inode numbers are those that were told.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "fs/format.h"
#include "fs/fs.h"
#include "tests/crash/box.h"
#include "tests/harness/explore.h"
#include "tests/harness/fs_model.h"
#include "tests/harness/pages.h"
#include "tests/harness/seed.h"

enum { KIB = 1024, MIB = 1024 * 1024, QUICK_SECONDS = 25, LONG_OPS = 40, STATES_MAX = 300 };

struct run {
	struct fs_model *state[STATES_MAX];
	long states, acknowledged;
	long object_synced[FS_MODEL_OBJECTS_MAX];
	struct explore explore;
	struct fs_op op[STATES_MAX];
};

/* ---- what is found ---- */

struct found {
	char path[FS_MODEL_PATH_BYTES];
	uint64_t ino;
	bool dir;
	uint8_t *data;
	size_t bytes;
};

struct tree {
	struct fs *fs;
	struct found v[FS_MODEL_NAMES_MAX];
	unsigned n;
	const char *dir;
	int err;
};

static int one_entry(void *arg, const struct fs_dirent *e)
{
	struct tree *t = arg;
	struct found *f = &t->v[t->n];

	if (!strcmp(e->name, ".") || !strcmp(e->name, ".."))
		return 0;
	if (t->n == FS_MODEL_NAMES_MAX ||
	        (size_t)snprintf(f->path, sizeof(f->path), "%s%s%s", t->dir, *t->dir ? "/" : "",
	                e->name) >= sizeof(f->path)) {
		t->err = -EOVERFLOW;
		return 1;
	}
	f->ino = e->attr.ino;
	f->dir = S_ISDIR(e->attr.mode);
	f->bytes = f->dir ? 0 : e->attr.size;
	f->data = NULL;
	t->n++;
	return 0;
}

static int read_file(struct fs *fs, struct found *f)
{
	ssize_t n;

	if (f->bytes > MIB)
		return -EFBIG;
	f->data = pages_memory(NULL, f->bytes + 1);
	n = fs_read(fs, f->ino, 0, f->data, f->bytes + 1);
	return n < 0 ? (int)n : n == (ssize_t)f->bytes ? 0 : -EIO;
}

static int by_path(const void *a, const void *b)
{
	return strcmp(((const struct found *)a)->path, ((const struct found *)b)->path);
}

/* Everything below the root, in order of paths. */
static int read_tree(struct fs *fs, struct tree *t)
{
	*t = (struct tree){.fs = fs, .dir = ""};
	for (unsigned i = 0; i <= t->n && !t->err; i++) {
		const uint64_t ino = i ? t->v[i - 1].ino : FS_ROOT;
		struct fs_dir *dir;
		if (i && !t->v[i - 1].dir) {
			t->err = read_file(fs, &t->v[i - 1]);
			continue;
		}
		t->dir = i ? t->v[i - 1].path : "";
		t->err = fs_opendir(fs, ino, &dir);
		if (t->err)
			break;
		const int err = fs_readdir(dir, 0, true, one_entry, t);
		t->err = t->err ? t->err : err;
		fs_closedir(dir);
	}
	for (unsigned i = 0; i < t->n; i++)
		fs_forget(fs, t->v[i].ino, 1);
	qsort(t->v, t->n, sizeof(t->v[0]), by_path);
	return t->err;
}

static void tree_fini(struct tree *t)
{
	for (unsigned i = 0; i < t->n; i++)
		free(t->v[i].data);
	t->n = 0;
}

static bool same_names(const struct tree *t, const struct fs_model *m)
{
	if (t->n != m->names)
		return false;
	for (unsigned i = 0; i < t->n; i++) {
		const struct fs_model_object *o = &m->object[m->name[i].object];
		if (strcmp(t->v[i].path, m->name[i].path) || t->v[i].dir != o->dir ||
		        t->v[i].ino != o->ino)
			return false;
	}
	return true;
}

static bool same_data(const struct found *f, const struct fs_model_object *o)
{
	return f->bytes == fs_model_size(o) &&
	       (!f->bytes || !memcmp(f->data, fs_model_data(o), f->bytes));
}

/* The bytes of file i, when the names are those of state j: from which states may they be? */
static bool allowed_data(const struct run *run, const struct tree *t, unsigned i, long j)
{
	const struct fs_model *m = run->state[j];
	const unsigned object = m->name[i].object;
	long oldest = run->object_synced[object];

	if (m->object[object].renamed > oldest)
		oldest = m->object[object].renamed;
	if (oldest > j)
		oldest = j;
	for (long v = oldest; v <= j; v++)
		if (object < run->state[v]->objects &&
		        same_data(&t->v[i], &run->state[v]->object[object]))
			return true;
	return false;
}

/* The state that this is, or EXPLORE_WRONG. */
static long recognise(const struct run *run, const struct tree *t)
{
	unsigned bad = 0;
	long near = EXPLORE_WRONG;

	/* From the last: the names may stay the same over several states, and data only grows
	 * newer. */
	for (long j = run->states - 1; j >= run->acknowledged; j--) {
		bool good = same_names(t, run->state[j]);
		if (!good)
			continue;
		near = j;
		for (bad = 0; bad < t->n; bad++)
			if (!t->v[bad].dir && !allowed_data(run, t, bad, j))
				break;
		if (bad == t->n)
			return j;
	}
	printf("# none of the states %ld to %ld", run->acknowledged, run->states - 1);
	if (near >= 0)
		printf("; names of %ld, but data of %s", near, t->v[bad].path);
	printf(". Found:\n");
	for (unsigned i = 0; i < t->n; i++)
		printf("#   %s%s ino %" PRIu64 " %zu bytes\n", t->v[i].path, t->v[i].dir ? "/" : "",
		        t->v[i].ino, t->v[i].bytes);
	return EXPLORE_WRONG;
}

static bool same_trees(const struct tree *a, const struct tree *b)
{
	if (a->n != b->n)
		return false;
	for (unsigned i = 0; i < a->n; i++)
		if (strcmp(a->v[i].path, b->v[i].path) || a->v[i].ino != b->v[i].ino ||
		        a->v[i].bytes != b->v[i].bytes ||
		        (!a->v[i].dir && memcmp(a->v[i].data, b->v[i].data, a->v[i].bytes)))
			return false;
	return true;
}

static void print_line(void *arg, const char *line)
{
	printf("# %s: %s\n", (const char *)arg, line);
}

/* Nothing without a name outlives the mount that follows a crash. */
static bool has_no_orphans(struct box *b)
{
	static const uint8_t spaces[] = {FS_SPACE_ORPHAN, FS_SPACE_TRIM};
	int found = 0;

	for (unsigned i = 0; i < sizeof(spaces) && !found; i++) {
		const uint8_t prefix[2] = {0, spaces[i]};
		struct art_cursor *c;
		struct art_entry e;
		found = art_cursor_open(
		        b->art, (struct art_bytes){prefix, 2}, ART_NO_DELIMITER, &c);
		if (found)
			break;
		found = art_cursor_next(c, &e);
		art_cursor_close(c);
	}
	if (found)
		printf("# an orphan or a trim mark is left: %d\n", found);
	return !found;
}

static bool checks_clean(struct box *b)
{
	return !fs_check(b->art, print_line, (void *)"fs_check") &&
	       !art_check(b->art, print_line, (void *)"art_check");
}

/* A new file, with data, all there after a remount, and everything else as it was found. */
static bool takes_work(struct simdisk *d, struct box *b, const struct tree *before)
{
	static const struct fs_op make = {.type = FS_OP_CREATE, .path = "~new"},
	                          fill = {.type = FS_OP_WRITE, .path = "~new", .bytes = 3000},
	                          drop = {.type = FS_OP_UNLINK, .path = "~new"},
	                          sync = {.type = FS_OP_SYNC};
	struct tree after;
	uint64_t ino = 0;
	bool good = !apply(b, &make, &ino) && !apply(b, &fill, &ino) && !apply(b, &sync, &ino);

	for (unsigned i = 0; i < before->n; i++)
		good &= before->v[i].ino != ino;
	good = good && !unmount_box(b) && !mount_box(d, b) && !apply(b, &drop, &ino) &&
	       !read_tree(b->fs, &after) && same_trees(before, &after) && checks_clean(b) &&
	       !unmount_box(b);
	if (good)
		tree_fini(&after);
	return good;
}

static long judge(void *arg, struct simdisk *d, long which)
{
	struct run *run = arg;
	struct box b;
	struct tree t;
	long j;

	if (mount_box(d, &b) || read_tree(b.fs, &t))
		return EXPLORE_WRONG;
	j = recognise(run, &t);
	if (j == EXPLORE_WRONG || !checks_clean(&b) || !has_no_orphans(&b))
		return EXPLORE_WRONG;
	if (which != EXPLORE_ANY && j != which) {
		printf("# state %ld, but it was %ld before\n", j, which);
		return EXPLORE_WRONG;
	}
	if (fs_checkpoint(b.fs))
		return EXPLORE_WRONG;
	simdisk_set_hook(d, NULL, NULL);
	if (!takes_work(d, &b, &t))
		return EXPLORE_WRONG;
	tree_fini(&t);
	return j;
}

/* ---- runs ---- */

/* Paths that collide: a directory and a file that begins like it, a file where a directory will be.
 */
static const struct fs_op preparation[] = {
        {.type = FS_OP_MKDIR, .path = "a"},
        {.type = FS_OP_MKDIR, .path = "b"},
        {.type = FS_OP_MKDIR, .path = "a/d"},
        {.type = FS_OP_CREATE, .path = "a/x"},
        {.type = FS_OP_WRITE, .path = "a/x", .bytes = 40, .seed = 1},
        {.type = FS_OP_CREATE, .path = "a/d/y"},
        {.type = FS_OP_WRITE, .path = "a/d/y", .bytes = 9000, .seed = 2},
        {.type = FS_OP_CREATE, .path = "ab"},
        {.type = FS_OP_WRITE, .path = "ab", .bytes = 600, .seed = 3},
        {.type = FS_OP_CREATE, .path = "f"},
        {.type = FS_OP_LINK, .path = "f", .to = "a/l"},
};

static const struct fs_op alphabet[] = {
        {.type = FS_OP_CREATE, .path = "a/n"},
        {.type = FS_OP_MKDIR, .path = "b/m"},
        {.type = FS_OP_WRITE, .path = "f", .bytes = 30, .seed = 4},
        {.type = FS_OP_WRITE, .path = "a/d/y", .offset = 4000, .bytes = 2000, .seed = 5},
        {.type = FS_OP_WRITE, .path = "ab", .offset = 500, .bytes = 20000, .seed = 6},
        {.type = FS_OP_TRUNCATE, .path = "a/d/y", .bytes = 100},
        {.type = FS_OP_RENAME, .path = "f", .to = "a/x"},
        {.type = FS_OP_RENAME, .path = "ab", .to = "b/ab"},
        {.type = FS_OP_RENAME, .path = "a", .to = "b"},
        {.type = FS_OP_RENAME, .path = "a/d", .to = "b/d"},
        {.type = FS_OP_EXCHANGE, .path = "a/d", .to = "ab"},
        {.type = FS_OP_EXCHANGE, .path = "a", .to = "b"},
        {.type = FS_OP_LINK, .path = "ab", .to = "b/l"},
        {.type = FS_OP_UNLINK, .path = "a/d/y"},
        {.type = FS_OP_UNLINK, .path = "a/l"},
        {.type = FS_OP_RMDIR, .path = "b"},
        {.type = FS_OP_FSYNC, .path = "ab"},
        {.type = FS_OP_CHECKPOINT},
};
enum { LETTERS = sizeof(alphabet) / sizeof(*alphabet) };

static void acknowledge(struct run *run, const struct fs_op *op)
{
	const struct fs_model *m = run->state[run->states - 1];

	run->acknowledged = run->states - 1;
	if (op->type == FS_OP_FSYNC)
		run->object_synced[m->name[fs_model_find(m, op->path)].object] = run->acknowledged;
	else
		for (unsigned i = 0; i < m->objects; i++)
			run->object_synced[i] = run->acknowledged;
}

/* Which of two paths is looked at first is nobody's business. */
static bool is_missing(int err)
{
	return err == -ENOENT || err == -ENOTDIR;
}

static void run_op(struct run *run, struct box *b, const struct fs_op *op)
{
	const struct fs_model *last = run->state[run->states - 1];
	struct fs_model *next = fs_model_clone(last);
	const int wanted = fs_model_apply(next, op);
	struct fs_model_object *made =
	        next->objects > last->objects ? &next->object[next->objects - 1] : NULL;
	uint64_t ino = 0;

	assert_true(run->states < STATES_MAX);
	run->op[run->states] = *op;
	run->state[run->states++] = next;
	const int got = apply(b, op, made ? &made->ino : &ino);
	if (got != wanted && !(is_missing(got) && is_missing(wanted))) {
		fs_model_print(op);
		fail_msg("%d instead of %d; replay: %s", got, wanted, seed_replay());
	}
	if (!got &&
	        (op->type == FS_OP_FSYNC || op->type == FS_OP_SYNC || op->type == FS_OP_CHECKPOINT))
		acknowledge(run, op);
}

/* A store with the prepared tree, cleanly unmounted, and the state that it is in. */
static struct simdisk *prepare(struct fs_model **out)
{
	static const struct art_format format = {.frame_bytes = 4 * KIB, .segment_bytes = 64 * KIB};
	static const struct art_options opt = {.cache_bytes = MIB};
	static struct run run;
	struct simdisk *d = simdisk_new();
	struct io *io = simdisk_open(d);
	struct art *a;
	struct box b;

	run = (struct run){.state = {fs_model_new()}, .states = 1};
	assert_int_equal(art_format(io, &format, NULL), 0);
	assert_int_equal(art_open(io, &opt, &a, NULL), 0);
	assert_int_equal(fs_format(a, &cred, 0755), 0);
	assert_int_equal(art_close(a), 0);
	io->ops->destroy(io);
	assert_int_equal(mount_box(d, &b), 0);
	for (size_t i = 0; i < sizeof(preparation) / sizeof(*preparation); i++)
		run_op(&run, &b, &preparation[i]);
	assert_int_equal(unmount_box(&b), 0);
	for (long i = 0; i + 1 < run.states; i++)
		fs_model_free(run.state[i]);
	*out = run.state[run.states - 1];
	return d;
}

struct totals {
	uint64_t sequences, crashes, crashes_again;
};

static void run_sequence(const struct simdisk *from, const struct fs_model *start, uint64_t seed,
        const struct fs_op *ops, unsigned n, struct totals *sum)
{
	static const struct fs_op sync = {.type = FS_OP_SYNC};
	static struct run run;
	struct simdisk *d = simdisk_clone(from);
	struct box b;

	run = (struct run){.state = {fs_model_clone(start)}, .states = 1};
	run.state[0]->ops = 0;
	for (unsigned i = 0; i < run.state[0]->objects; i++)
		run.state[0]->object[i].renamed = 0;
	explore_init(&run.explore, seed, explore_exhaustive() && n != 3, judge, &run);
	explore_attach(&run.explore, d);
	assert_int_equal(mount_box(d, &b), 0);
	for (unsigned i = 0; i < n && !run.explore.failed; i++)
		run_op(&run, &b, &ops[i]);
	run_op(&run, &b, &sync);
	assert_int_equal(unmount_box(&b), 0);
	if (!run.explore.failed)
		explore_now(&run.explore, d);
	if (run.explore.failed) {
		for (long i = 1; i < run.states; i++)
			fs_model_print(&run.op[i]);
		fail_msg("sequence of %u, seed %" PRIu64 "; replay: %s", n, seed, seed_replay());
	}
	sum->sequences++;
	sum->crashes += run.explore.crashes;
	sum->crashes_again += run.explore.crashes_again;
	for (long i = 0; i < run.states; i++)
		fs_model_free(run.state[i]);
	simdisk_free(d);
}

static void print_totals(const struct totals *sum)
{
	printf("# %" PRIu64 " sequences, %" PRIu64 " power losses, %" PRIu64 " more in recovery\n",
	        sum->sequences, sum->crashes, sum->crashes_again);
}

static void all_short_sequences_survive_power_loss_at_any_step(void **state)
{
	const uint64_t depth = seed_env("DEPTH", explore_exhaustive() ? 3 : 2);
	struct fs_model *start;
	struct simdisk *d = prepare(&start);
	struct totals sum = {0};
	struct fs_op ops[8];

	(void)state;
	assert_in_range(depth, 1, 8);
	for (uint64_t n = 1, all = LETTERS; n <= depth; n++, all *= LETTERS)
		for (uint64_t word = 0; word < all; word++) {
			uint64_t rest = word;
			for (uint64_t i = 0; i < n; i++, rest /= LETTERS) {
				ops[i] = alphabet[rest % LETTERS];
				ops[i].seed += (uint32_t)(16 * i);
			}
			run_sequence(d, start, seed_get() + word, ops, (unsigned)n, &sum);
		}
	print_totals(&sum);
	fs_model_free(start);
	simdisk_free(d);
}

/* Any letter, sometimes with the place of another one. */
static struct fs_op random_op(struct rng *r)
{
	struct fs_op op = alphabet[rng_below(r, LETTERS)];
	const struct fs_op *other = &alphabet[rng_below(r, LETTERS)];

	if (op.path && other->path && rng_one_in(r, 3))
		op.path = other->path;
	if (op.to && other->to && rng_one_in(r, 3))
		op.to = other->to;
	if (op.type == FS_OP_WRITE) {
		op.seed = (uint32_t)rng_u64(r);
		op.bytes = (uint32_t)rng_between(r, 1, rng_one_in(r, 4) ? 40000 : 600);
		op.offset = rng_one_in(r, 2) ? 0 : (uint32_t)rng_below(r, 10000);
	}
	if (op.type == FS_OP_TRUNCATE)
		op.bytes = (uint32_t)rng_below(r, 30000);
	if (rng_one_in(r, 4)) /* what is taken away comes back */
		op = preparation[rng_below(r, sizeof(preparation) / sizeof(*preparation))];
	return op;
}

static void random_long_sequences_survive_power_loss_at_any_step(void **state)
{
	const uint64_t most = seed_env("OPS", explore_exhaustive() ? 50 : UINT64_MAX);
	const double until = seed_seconds() + QUICK_SECONDS / 2.0;
	struct fs_model *start;
	struct simdisk *d = prepare(&start);
	struct totals sum = {0};
	struct fs_op ops[LONG_OPS];

	(void)state;
	for (uint64_t n = 0; n < most && (most != UINT64_MAX || seed_seconds() < until); n++) {
		struct rng r = rng_of(seed_get() + n);
		for (unsigned i = 0; i < LONG_OPS; i++)
			ops[i] = random_op(&r);
		run_sequence(d, start, seed_get() + n, ops, LONG_OPS, &sum);
	}
	print_totals(&sum);
	fs_model_free(start);
	simdisk_free(d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(all_short_sequences_survive_power_loss_at_any_step),
	        cmocka_unit_test(random_long_sequences_survive_power_loss_at_any_step),
	};
	return cmocka_run_group_tests_name("fs crash", tests, NULL, NULL);
}
