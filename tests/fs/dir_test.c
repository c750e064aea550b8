/*
 * dir_test.c - reading directories: order, offsets, going back, and change while reading.
 */
#include "tests/fs/fixture.h"

struct listing {
	unsigned max; /* entries taken before saying no */
	unsigned n;
	char name[4096][40];
	uint64_t next[4096];
	struct fs_attr attr[4096];
};

static int take(void *arg, const struct fs_dirent *e)
{
	struct listing *l = arg;
	if (l->n == l->max)
		return 1;
	assert_true(l->n < 4096);
	snprintf(l->name[l->n], sizeof(l->name[0]), "%s", e->name);
	l->attr[l->n] = e->attr;
	l->next[l->n++] = e->next;
	return 0;
}

static struct listing *list(struct fs_dir *d, uint64_t offset, bool plus, unsigned max)
{
	static struct listing l;
	l.n = 0;
	l.max = max;
	ok(fs_readdir(d, offset, plus, take, &l));
	return &l;
}

static void fill(struct fixture *f, uint64_t dir, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		char name[16];
		snprintf(name, sizeof(name), "n%05u", i);
		uint64_t ino = i % 10 == 3 ? make_dir(f, dir, name) : make_file(f, dir, name);
		if (i % 10 == 3)
			fs_forget(f->fs, make_file(f, ino, "below"), 1);
		fs_forget(f->fs, ino, 1);
	}
}

static void dots_come_first_then_names_in_order(void **state)
{
	struct fixture *f = *state;
	uint64_t d = make_dir(f, FS_ROOT, "d");
	struct fs_dir *dir;
	make_file(f, d, "b");
	make_dir(f, d, "a");
	make(f, d, "c", S_IFIFO);
	ok(fs_opendir(f->fs, d, &dir));
	struct listing *l = list(dir, 0, false, 100);
	static const char *want[] = {".", "..", "a", "b", "c"};
	static const mode_t type[] = {S_IFDIR, S_IFDIR, S_IFDIR, S_IFREG, S_IFIFO};
	assert_int_equal(l->n, 5);
	for (unsigned i = 0; i < 5; i++) {
		assert_string_equal(l->name[i], want[i]);
		assert_int_equal(l->next[i], i + 1);
		assert_int_equal(l->attr[i].mode & S_IFMT, type[i]);
	}
	assert_int_equal(l->attr[0].ino, d);
	assert_int_equal(l->attr[1].ino, FS_ROOT);
	assert_int_equal(list(dir, 5, false, 100)->n, 0);
	assert_int_equal(list(dir, 1, false, 100)->n, 4);
	fs_closedir(dir);
}

static void the_root_shows_no_key_that_is_not_a_path(void **state)
{
	struct fixture *f = *state;
	struct fs_attr a;
	struct fs_dir *dir;
	uint64_t x = make_file(f, FS_ROOT, "x");
	ok(fs_link(f->fs, x, FS_ROOT, "\x01", &a));
	for (unsigned i = 0; i < 60; i++) { /* number 47 has the byte '/' in its keys */
		char name[16];
		snprintf(name, sizeof(name), "big%02u", i);
		put_pattern(f, make_file(f, FS_ROOT, name), 0, 40000, 0);
		put_pattern(f, make_file(f, FS_ROOT, "orphan"), 0, 40000, 0);
		ok(fs_unlink(f->fs, FS_ROOT, "orphan"));
	}
	ok(fs_sync(f->fs));
	ok(fs_opendir(f->fs, FS_ROOT, &dir));
	struct listing *l = list(dir, 0, false, 4000);
	assert_int_equal(l->n, 2 + 2 + 60);
	assert_string_equal(l->name[2], "\x01");
	assert_int_equal(l->attr[2].ino, x);
	fs_closedir(dir);
}

static void many_calls_give_each_entry_once(void **state)
{
	struct fixture *f = *state;
	uint64_t d = make_dir(f, FS_ROOT, "d");
	struct fs_dir *dir;
	fill(f, d, 1000);
	static const unsigned step[] = {1, 7, 256, 4000};
	for (unsigned s = 0; s < 4; s++) {
		ok(fs_opendir(f->fs, d, &dir));
		uint64_t at = 0;
		unsigned n = 0;
		struct listing *l;
		while ((l = list(dir, at, false, step[s]))->n) {
			for (unsigned i = 0; i < l->n; i++, n++) {
				char want[16];
				snprintf(want, sizeof(want), "n%05u", n - 2);
				if (n >= 2)
					assert_string_equal(l->name[i], want);
			}
			at = l->next[l->n - 1];
		}
		assert_int_equal(n, 1002);
		fs_closedir(dir);
	}
}

static void seeking_to_any_older_offset_goes_on_behind_that_entry(void **state)
{
	struct fixture *f = *state;
	uint64_t d = make_dir(f, FS_ROOT, "d");
	struct fs_dir *dir;
	fill(f, d, 1000);
	ok(fs_opendir(f->fs, d, &dir));
	list(dir, 0, false, 4000);
	static const unsigned at[] = {1002, 3, 258, 259, 257, 700, 2, 999, 514, 515, 0, 1001};
	for (unsigned i = 0; i < 12; i++) {
		struct listing *l = list(dir, at[i], false, 3);
		char want[16];
		snprintf(want, sizeof(want), "n%05u", at[i] - 2);
		assert_int_equal(l->n, at[i] > 999 ? 1002 - at[i] : 3);
		if (at[i] >= 2 && l->n)
			assert_string_equal(l->name[0], want);
	}
	fs_closedir(dir);
	ok(fs_opendir(f->fs, d, &dir)); /* another handle has seen nothing yet */
	struct listing *l = list(dir, 802, false, 1);
	assert_string_equal(l->name[0], "n00800");
	fs_closedir(dir);
}

static void change_while_reading_neither_hides_nor_repeats_others(void **state)
{
	struct fixture *f = *state;
	uint64_t d = make_dir(f, FS_ROOT, "d");
	struct fs_dir *dir;
	static unsigned seen[1000];
	memset(seen, 0, sizeof(seen));
	fill(f, d, 1000);
	ok(fs_opendir(f->fs, d, &dir));
	uint64_t at = 2;
	unsigned round = 0;
	struct listing *l;
	while ((l = list(dir, at, round % 2, 10))->n) {
		at = l->next[l->n - 1];
		for (unsigned i = 0; i < l->n; i++) {
			unsigned k;
			if (sscanf(l->name[i], "n%u", &k) == 1 && strlen(l->name[i]) == 6)
				seen[k]++;
			if (round % 2)
				fs_forget(f->fs, l->attr[i].ino, 1);
		}
		char name[40];
		snprintf(name, sizeof(name), "m%u", round); /* before the place */
		make_file(f, d, name);
		snprintf(name, sizeof(name), "n%05u+", round * 10); /* around it */
		make_file(f, d, name);
		if (strstr(l->name[l->n - 1], "+") == NULL) /* what was read last goes */
			if (fs_unlink(f->fs, d, l->name[l->n - 1]) == -EISDIR)
				ok(fs_rename(f->fs, d, l->name[l->n - 1], FS_ROOT, name, 0));
		round++;
	}
	for (unsigned i = 0; i < 1000; i++)
		assert_int_equal(seen[i], 1);
	fs_closedir(dir);
}

static void plus_gives_attributes_and_takes_one_lookup_each(void **state)
{
	struct fixture *f = *state;
	uint64_t d = make_dir(f, FS_ROOT, "d"), x = make_file(f, d, "x"), y = make_file(f, d, "y"),
	         z = make_dir(f, d, "z");
	struct fs_attr a;
	struct fs_dir *dir;
	put_text(f, x, "12345");
	put_text(f, y, "1234567");
	ok(fs_link(f->fs, y, FS_ROOT, "y2", &a));
	fs_forget(f->fs, x, 1);
	fs_forget(f->fs, y, 2);
	ok(fs_opendir(f->fs, d, &dir));
	struct listing *l = list(dir, 0, true, 100);
	assert_int_equal(l->n, 5);
	assert_int_equal(l->attr[2].size, 5);
	assert_int_equal(l->attr[3].size, 7);
	assert_int_equal(l->attr[3].nlink, 2);
	assert_int_equal(l->attr[4].ino, z);
	ok(fs_getattr(f->fs, x, &a));
	ok(fs_getattr(f->fs, y, &a));
	fs_forget(f->fs, x, 1);
	fs_forget(f->fs, y, 1);
	fs_forget(f->fs, z, 1); /* known twice */
	assert_int_equal(fs_getattr(f->fs, x, &a), -ESTALE);
	assert_int_equal(fs_getattr(f->fs, y, &a), -ESTALE);
	ok(fs_getattr(f->fs, z, &a));
	list(dir, 2, true, 0); /* nothing taken */
	assert_int_equal(fs_getattr(f->fs, x, &a), -ESTALE);
	fs_closedir(dir);
}

static void plus_shows_what_is_still_buffered(void **state)
{
	struct fixture *f = *state;
	uint64_t x = make_file(f, FS_ROOT, "x");
	struct fs_dir *dir;
	put_pattern(f, x, 0, 30000, 0);
	ok(fs_opendir(f->fs, FS_ROOT, &dir));
	struct listing *l = list(dir, 2, true, 1);
	assert_int_equal(l->attr[0].size, 30000);
	fs_forget(f->fs, x, 1);
	fs_closedir(dir);
}

static void long_symlinks_are_listed_too(void **state)
{
	struct fixture *f = *state;
	static char target[FS_SYMLINK_BYTES_MAX + 1];
	memset(target, 't', FS_SYMLINK_BYTES_MAX);
	struct fs_attr a;
	struct fs_dir *dir;
	ok(fs_symlink(f->fs, &owner, FS_ROOT, "s", target, &a));
	fs_forget(f->fs, a.ino, 1);
	ok(fs_opendir(f->fs, FS_ROOT, &dir));
	struct listing *l = list(dir, 2, true, 2);
	assert_int_equal(l->n, 1);
	assert_int_equal(l->attr[0].size, FS_SYMLINK_BYTES_MAX);
	fs_forget(f->fs, a.ino, 1);
	fs_closedir(dir);
}

static void an_open_directory_outlives_its_removal_and_forgetting(void **state)
{
	struct fixture *f = *state;
	uint64_t d = make_dir(f, FS_ROOT, "d");
	struct fs_dir *dir;
	make_file(f, FS_ROOT, "x");
	ok(fs_opendir(f->fs, d, &dir));
	fs_forget(f->fs, d, 1);
	ok(fs_rmdir(f->fs, FS_ROOT, "d"));
	assert_int_equal(list(dir, 0, false, 100)->n, 2);
	fs_closedir(dir);
	assert_int_equal(fs_opendir(f->fs, d, &dir), -ESTALE);
	assert_int_equal(fs_opendir(f->fs, make_file(f, FS_ROOT, "y"), &dir), -ENOTDIR);
}

int main(void)
{
	static const struct fixture_test test[] = {
	        TEST(dots_come_first_then_names_in_order),
	        TEST(the_root_shows_no_key_that_is_not_a_path),
	        TEST(many_calls_give_each_entry_once),
	        TEST(seeking_to_any_older_offset_goes_on_behind_that_entry),
	        TEST(change_while_reading_neither_hides_nor_repeats_others),
	        TEST(plus_gives_attributes_and_takes_one_lookup_each),
	        TEST(plus_shows_what_is_still_buffered),
	        TEST(long_symlinks_are_listed_too),
	        TEST(an_open_directory_outlives_its_removal_and_forgetting),
	};
	return fixture_run("dir", test, sizeof(test) / sizeof(*test));
}
