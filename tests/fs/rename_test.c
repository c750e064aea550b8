/*
 * rename_test.c - moving names: files and directories, onto nothing and onto something, and
 * exchange.
 */
#include "tests/fs/fixture.h"

/* a/ b/ with files and a directory of some depth in a:
 *   a/f "f"   a/d/ a/d/x "x" a/d/e/ a/d/e/y "y"   b/g "g"  b/full/z  b/empty/ */
struct tree {
	uint64_t a, b, f, d, x, e, y, g, full, empty;
};

static struct tree grow(struct fixture *f)
{
	struct tree t;
	t.a = make_dir(f, FS_ROOT, "a");
	t.b = make_dir(f, FS_ROOT, "b");
	put_text(f, t.f = make_file(f, t.a, "f"), "f");
	t.d = make_dir(f, t.a, "d");
	put_text(f, t.x = make_file(f, t.d, "x"), "x");
	t.e = make_dir(f, t.d, "e");
	put_text(f, t.y = make_file(f, t.e, "y"), "y");
	put_text(f, t.g = make_file(f, t.b, "g"), "g");
	t.full = make_dir(f, t.b, "full");
	make_file(f, t.full, "z");
	t.empty = make_dir(f, t.b, "empty");
	return t;
}

static void a_file_moves_with_number_and_content(void **state)
{
	struct fixture *f = *state;
	struct tree t = grow(f);
	ok(fs_rename(f->fs, t.a, "f", t.b, "h", 0));
	assert_int_equal(number_of(f, t.a, "f"), -ENOENT);
	assert_int_equal(number_of(f, t.b, "h"), t.f);
	assert_text(f, t.f, "f");
	assert_int_equal(stat_of(f, t.a).nlink, 3);
	assert_int_equal(stat_of(f, t.b).nlink, 4);
	put_text(f, t.f, "after");
	fixture_reopen(f);
	struct fs_attr at;
	ok(fs_lookup(f->fs, FS_ROOT, "b", &at));
	ok(fs_lookup(f->fs, t.b, "h", &at));
	assert_text(f, t.f, "after");
}

static void a_directory_moves_with_all_below_in_one_record(void **state)
{
	struct fixture *f = *state;
	struct tree t = grow(f);
	struct art_stat s0, s1;
	for (unsigned i = 0; i < 300; i++) {
		char name[16];
		snprintf(name, sizeof(name), "file%u", i);
		fs_forget(f->fs, make_file(f, t.d, name), 1);
	}
	art_stat(f->art, &s0);
	ok(fs_rename(f->fs, t.a, "d", t.b, "moved", 0));
	art_stat(f->art, &s1);
	assert_int_equal(s1.commits - s0.commits, 1);
	assert_int_equal(number_of(f, t.b, "moved"), t.d);
	assert_int_equal(number_of(f, t.d, "x"), t.x);
	assert_true(number_of(f, t.d, "file299") > 0);
	assert_int_equal(stat_of(f, t.a).nlink, 2);
	assert_int_equal(stat_of(f, t.b).nlink, 5);
	assert_int_equal(number_of(f, t.d, ".."), t.b);
	put_text(f, t.y, "below");
	assert_text(f, t.y, "below");
	assert_true(make_file(f, t.e, "new") > t.empty);
}

static void renaming_within_one_directory_keeps_its_link_count(void **state)
{
	struct fixture *f = *state;
	struct tree t = grow(f);
	ok(fs_rename(f->fs, t.b, "empty", t.b, "emptier", 0));
	assert_int_equal(stat_of(f, t.b).nlink, 4);
	ok(fs_rename(f->fs, t.b, "full", t.b, "emptier", 0));
	assert_int_equal(stat_of(f, t.b).nlink, 3);
	ok(fs_rename(f->fs, t.b, "emptier", t.b, "em", 0)); /* one name begins with the other */
	assert_int_equal(number_of(f, t.b, "em"), t.full);
}

static void posix_refusals_of_rename(void **state)
{
	struct fixture *f = *state;
	struct tree t = grow(f);
	assert_int_equal(fs_rename(f->fs, t.a, "none", t.b, "h", 0), -ENOENT);
	assert_int_equal(fs_rename(f->fs, t.a, "d", t.b, "full", 0), -ENOTEMPTY);
	assert_int_equal(fs_rename(f->fs, t.a, "f", t.b, "empty", 0), -EISDIR);
	assert_int_equal(fs_rename(f->fs, t.a, "d", t.b, "g", 0), -ENOTDIR);
	assert_int_equal(fs_rename(f->fs, t.a, "d", t.d, "in", 0), -EINVAL);
	assert_int_equal(fs_rename(f->fs, t.a, "d", t.e, "in", 0), -EINVAL);
	assert_int_equal(fs_rename(f->fs, t.d, "e", t.a, "d", 0), -ENOTEMPTY);
	assert_int_equal(fs_rename(f->fs, t.a, "f", t.b, "g", 1 /* NOREPLACE */), -EEXIST);
	assert_int_equal(fs_rename(f->fs, t.a, "f", t.a, "f", 1), -EEXIST);
	assert_int_equal(fs_rename(f->fs, t.a, "f", t.b, "none", 2 /* EXCHANGE */), -ENOENT);
	assert_int_equal(fs_rename(f->fs, t.a, "f", t.b, "g", 3), -EINVAL);
	assert_int_equal(fs_rename(f->fs, t.a, "f", t.b, "g", 4 /* WHITEOUT */), -EINVAL);
	assert_int_equal(fs_rename(f->fs, FS_ROOT, "a", t.d, "e", 2), -EINVAL);
	assert_int_equal(fs_rename(f->fs, t.d, "e", FS_ROOT, "a", 2), -EINVAL);
	ok(fs_rename(f->fs, t.a, "f", t.a, "f", 0));
	ok(fs_rename(f->fs, t.a, "d", t.a, "d", 0));
	ok(fs_rename(f->fs, t.a, "f", t.b, "new", 1));
	assert_int_equal(number_of(f, t.b, "new"), t.f);
}

static void a_replaced_file_lives_while_open(void **state)
{
	struct fixture *f = *state;
	struct tree t = grow(f);
	put_pattern(f, t.g, 0, 2 * chunk_bytes_of(f), 1);
	ok(fs_open_file(f->fs, t.g));
	ok(fs_rename(f->fs, t.a, "f", t.b, "g", 0));
	assert_int_equal(number_of(f, t.b, "g"), t.f);
	assert_text(f, t.f, "f");
	assert_int_equal(stat_of(f, t.g).nlink, 0);
	assert_pattern(f, t.g, 0, 2 * chunk_bytes_of(f), 1);
	fs_forget(f->fs, t.g, 1);
	fs_release_file(f->fs, t.g);
	struct fs_attr a;
	assert_int_equal(fs_getattr(f->fs, t.g, &a), -ESTALE);
}

static void a_directory_replaces_an_empty_one(void **state)
{
	struct fixture *f = *state;
	struct tree t = grow(f);
	ok(fs_rename(f->fs, t.a, "d", t.b, "empty", 0));
	assert_int_equal(number_of(f, t.b, "empty"), t.d);
	assert_int_equal(stat_of(f, t.empty).nlink, 0);
	assert_int_equal(stat_of(f, t.b).nlink, 4);
	assert_int_equal(stat_of(f, t.a).nlink, 2);
	assert_text(f, t.y, "y");
}

static void names_of_one_file_renamed_onto_each_other_both_stay(void **state)
{
	struct fixture *f = *state;
	struct tree t = grow(f);
	struct fs_attr a;
	ok(fs_link(f->fs, t.f, t.b, "l", &a));
	ok(fs_rename(f->fs, t.a, "f", t.b, "l", 0));
	assert_int_equal(number_of(f, t.a, "f"), t.f);
	assert_int_equal(number_of(f, t.b, "l"), t.f);
	ok(fs_rename(f->fs, t.b, "l", t.b, "l2", 0));
	assert_int_equal(number_of(f, t.b, "l2"), t.f);
	ok(fs_rename(f->fs, t.b, "g", t.b, "l2", 0)); /* one name of two is replaced */
	assert_int_equal(stat_of(f, t.f).nlink, 1);
	assert_text(f, t.f, "f");
	ok(fs_rename(f->fs, t.a, "f", t.b, "l2", 0));
	assert_int_equal(stat_of(f, t.g).nlink, 0);
}

static void exchange_swaps_whatever_is_there(void **state)
{
	struct fixture *f = *state;
	struct tree t = grow(f);
	struct fs_attr a;
	put_pattern(f, t.g, 0, chunk_bytes_of(f) / 2, 1); /* buffered */
	ok(fs_rename(f->fs, t.a, "f", t.b, "g", 2));
	assert_int_equal(number_of(f, t.a, "f"), t.g);
	assert_int_equal(number_of(f, t.b, "g"), t.f);
	assert_text(f, t.f, "f");
	assert_pattern(f, t.g, 0, chunk_bytes_of(f) / 2, 1);

	ok(fs_rename(f->fs, t.a, "d", t.b, "full", 2));
	assert_int_equal(number_of(f, t.a, "d"), t.full);
	assert_int_equal(number_of(f, t.b, "full"), t.d);
	assert_text(f, t.y, "y");
	assert_int_equal(stat_of(f, t.a).nlink, 3);
	assert_int_equal(stat_of(f, t.b).nlink, 4);

	ok(fs_rename(f->fs, t.b, "full", t.a, "f", 2)); /* directory and file */
	assert_int_equal(number_of(f, t.b, "full"), t.g);
	assert_int_equal(number_of(f, t.a, "f"), t.d);
	assert_int_equal(stat_of(f, t.a).nlink, 4);
	assert_int_equal(stat_of(f, t.b).nlink, 3);
	assert_text(f, t.y, "y");

	ok(fs_link(f->fs, t.g, FS_ROOT, "l", &a));
	ok(fs_rename(f->fs, t.b, "full", t.a, "f", 2)); /* a link and a directory */
	assert_int_equal(number_of(f, t.a, "f"), t.g);
	assert_int_equal(number_of(f, t.b, "full"), t.d);
	assert_text(f, t.x, "x");
	ok(fs_rename(f->fs, FS_ROOT, "l", t.b, "g", 2)); /* a link and a file */
	assert_int_equal(number_of(f, t.b, "g"), t.g);
	assert_int_equal(number_of(f, FS_ROOT, "l"), t.f);
	fixture_reopen(f);
	ok(fs_lookup(f->fs, FS_ROOT, "b", &a));
	ok(fs_lookup(f->fs, t.b, "g", &a));
	assert_int_equal(a.nlink, 2);
	assert_pattern(f, t.g, 0, chunk_bytes_of(f) / 2, 1);
}

static void the_moved_inode_and_both_parents_change_times(void **state)
{
	struct fixture *f = *state;
	struct tree t = grow(f);
	struct fs_attr old = {.mtime = {2000, 0}, .ctime = {2000, 0}};
	uint64_t all[] = {t.a, t.b, t.f};
	for (unsigned i = 0; i < 3; i++)
		ok(fs_setattr(f->fs, all[i], FS_SET_MTIME | FS_SET_CTIME, &old, NULL));
	ok(fs_rename(f->fs, t.a, "f", t.b, "f", 0));
	for (unsigned i = 0; i < 3; i++)
		assert_true(stat_of(f, all[i]).ctime.tv_sec > 2000);
	assert_true(stat_of(f, t.a).mtime.tv_sec > 2000);
	assert_true(stat_of(f, t.b).mtime.tv_sec > 2000);
	assert_int_equal(stat_of(f, t.f).mtime.tv_sec, 2000);
}

static void a_crash_shows_a_rename_whole_or_not_at_all(void **state)
{
	struct fixture *f = *state, before, after;
	struct tree t = grow(f);
	fixture_crash(f, &before);
	ok(fs_rename(f->fs, t.a, "d", t.b, "empty", 0));
	fixture_crash(f, &after);
	struct fs_attr a;
	for (unsigned i = 0; i < 2; i++) {
		struct fixture *c = i ? &after : &before;
		ok(fs_check(c->art, fixture_say, NULL));
		ok(fs_lookup(c->fs, FS_ROOT, "a", &a));
		ok(fs_lookup(c->fs, FS_ROOT, "b", &a));
		assert_int_equal(number_of(c, t.a, "d"), i ? -ENOENT : (int64_t)t.d);
		assert_int_equal(number_of(c, t.b, "empty"), i ? t.d : t.empty);
		fixture_remove(c);
	}
}

int main(void)
{
	static const struct fixture_test test[] = {
	        TEST(a_file_moves_with_number_and_content),
	        TEST(a_directory_moves_with_all_below_in_one_record),
	        TEST(renaming_within_one_directory_keeps_its_link_count),
	        TEST(posix_refusals_of_rename),
	        TEST(a_replaced_file_lives_while_open),
	        TEST(a_directory_replaces_an_empty_one),
	        TEST(names_of_one_file_renamed_onto_each_other_both_stay),
	        TEST(exchange_swaps_whatever_is_there),
	        TEST(the_moved_inode_and_both_parents_change_times),
	        TEST(a_crash_shows_a_rename_whole_or_not_at_all),
	};
	return fixture_run("rename", test, sizeof(test) / sizeof(*test));
}
