/*
 * threads_test.c - many threads at once: names, data, directories and syncs do not harm each other.
 *
 * Each thread works in a directory of its own, whose state it knows exactly, and plays in a common
 * one, where it only asks that nothing impossible happens. Meant for the thread sanitizer too.
 */
#include <pthread.h>

#include "tests/fs/fixture.h"

enum { THREADS = 4, ROUNDS = 60 };

struct worker {
	struct fixture *f;
	unsigned number;
	uint64_t common;
	unsigned wrong;
};

static int take(void *arg, const struct fs_dirent *e)
{
	unsigned *n = arg;
	*n += e->name[0] == 'x';
	return 0;
}

static void own(struct worker *w, uint64_t dir, unsigned round)
{
	struct fs *fs = w->f->fs;
	struct fs_attr a;
	struct fs_dir *d;
	char name[16], buf[3000], back[3000];
	unsigned n = 0;
	snprintf(name, sizeof(name), "x%u", round);
	memset(buf, 'a' + (int)(round % 26), sizeof(buf));
	w->wrong += fs_mknod(fs, &owner, dir, name, S_IFREG | 0644, 0, &a) != 0;
	for (unsigned i = 0; i < 40; i++)
		w->wrong += fs_write(fs, a.ino, i * sizeof(buf), buf, sizeof(buf)) != sizeof(buf);
	w->wrong += fs_read(fs, a.ino, 20 * sizeof(buf) + 7, back, sizeof(back)) != sizeof(back);
	w->wrong += memcmp(buf, back, sizeof(buf)) != 0;
	if (round % 8 == 0)
		w->wrong += fs_fsync(fs, a.ino) != 0;
	fs_forget(fs, a.ino, 1);
	w->wrong += fs_opendir(fs, dir, &d) != 0;
	w->wrong += fs_readdir(d, 0, false, take, &n) != 0;
	fs_closedir(d);
	w->wrong += n != (round < 10 ? round + 1 : 10);
	if (round >= 9) {
		snprintf(name, sizeof(name), "x%u", round - 9);
		w->wrong += fs_unlink(fs, dir, name) != 0;
	}
}

static void play(struct worker *w, unsigned round)
{
	static const char *name[] = {"p", "q", "r"};
	struct fs *fs = w->f->fs;
	struct fs_attr a, set = {.mode = 0600};
	const char *one = name[(round + w->number) % 3], *two = name[round % 3];
	if (fs_mknod(fs, &owner, w->common, one, round % 4 ? S_IFREG | 0644 : S_IFDIR | 0755, 0,
	            &a) == 0)
		fs_forget(fs, a.ino, 1);
	if (fs_lookup(fs, w->common, two, &a) == 0) {
		w->wrong += fs_setattr(fs, a.ino, FS_SET_MODE, &set, NULL) != 0;
		if (S_ISREG(a.mode))
			w->wrong += fs_write(fs, a.ino, round * 900, "data", 4) != 4;
		w->wrong += fs_getattr(fs, a.ino, &set) != 0;
		fs_forget(fs, a.ino, 1);
	}
	fs_rename(fs, w->common, one, w->common, two, round % 3);
	if (round % 5 == 0 && fs_unlink(fs, w->common, two) != 0)
		fs_rmdir(fs, w->common, two);
	if (round % 16 == 0)
		w->wrong += fs_sync(fs) != 0;
}

static void *work(void *arg)
{
	struct worker *w = arg;
	struct fs_attr a;
	char name[16];
	snprintf(name, sizeof(name), "own%u", w->number);
	if (fs_mknod(w->f->fs, &owner, FS_ROOT, name, S_IFDIR | 0755, 0, &a) != 0) {
		w->wrong++;
		return NULL;
	}
	for (unsigned round = 0; round < ROUNDS; round++) {
		own(w, a.ino, round);
		play(w, round);
	}
	fs_forget(w->f->fs, a.ino, 1);
	return NULL;
}

static void threads_do_not_harm_each_other(void **state)
{
	struct fixture *f = *state;
	pthread_t thread[THREADS];
	struct worker w[THREADS];
	f->opt.data_buffer_bytes = 256 * 1024;
	fixture_reopen(f);
	uint64_t common = make_dir(f, FS_ROOT, "common");
	for (unsigned i = 0; i < THREADS; i++) {
		w[i] = (struct worker){.f = f, .number = i, .common = common};
		ok(pthread_create(&thread[i], NULL, work, &w[i]));
	}
	for (unsigned i = 0; i < THREADS; i++)
		ok(pthread_join(thread[i], NULL));
	for (unsigned i = 0; i < THREADS; i++)
		assert_int_equal(w[i].wrong, 0);
}

int main(void)
{
	static const struct fixture_test test[] = {
	        TEST(threads_do_not_harm_each_other),
	};
	return fixture_run("threads", test, 1);
}
