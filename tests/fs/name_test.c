/*
 * name_test.c - names: what can be made, found, linked, removed, and what POSIX calls each refusal.
 */
#include "tests/fs/fixture.h"

static void a_file_is_found_under_its_name_and_keeps_its_number(void **state)
{
	struct fixture *f = *state;
	uint64_t d = make_dir(f, FS_ROOT, "d"), x = make_file(f, d, "x");
	assert_int_equal(number_of(f, d, "x"), x);
	assert_int_equal(number_of(f, FS_ROOT, "d"), d);
	fixture_reopen(f);
	struct fs_attr a;
	ok(fs_lookup(f->fs, FS_ROOT, "d", &a));
	assert_int_equal(a.ino, d);
	assert_int_equal(number_of(f, d, "x"), x);
}

static void lookup_of_a_prefix_or_an_extension_of_a_name_is_enoent(void **state)
{
	struct fixture *f = *state;
	uint64_t d = make_dir(f, FS_ROOT, "name");
	make_file(f, d, "file");
	assert_int_equal(number_of(f, FS_ROOT, "nam"), -ENOENT);
	assert_int_equal(number_of(f, FS_ROOT, "name2"), -ENOENT);
	assert_int_equal(number_of(f, d, "fil"), -ENOENT);
	assert_int_equal(number_of(f, d, "file2"), -ENOENT);
	uint64_t x = (uint64_t)number_of(f, d, "file");
	struct fs_attr a;
	assert_int_equal(fs_lookup(f->fs, x, "below", &a), -ENOTDIR);
}

static void names_are_refused_as_posix_says(void **state)
{
	struct fixture *f = *state;
	struct fs_attr a;
	char name[300];
	memset(name, 'n', sizeof(name));
	name[256] = 0;
	assert_int_equal(fs_mknod(f->fs, &owner, FS_ROOT, name, S_IFREG, 0, &a), -ENAMETOOLONG);
	assert_int_equal(fs_lookup(f->fs, FS_ROOT, name, &a), -ENAMETOOLONG);
	assert_int_equal(fs_unlink(f->fs, FS_ROOT, name), -ENAMETOOLONG);
	name[255] = 0;
	ok(fs_mknod(f->fs, &owner, FS_ROOT, name, S_IFREG, 0, &a));
	assert_int_equal(number_of(f, FS_ROOT, name), a.ino);
	assert_int_equal(fs_mknod(f->fs, &owner, FS_ROOT, "", S_IFREG, 0, &a), -ENOENT);
	assert_int_equal(fs_mknod(f->fs, &owner, FS_ROOT, "a/b", S_IFREG, 0, &a), -EINVAL);
	assert_int_equal(fs_mknod(f->fs, &owner, FS_ROOT, ".", S_IFDIR, 0, &a), -EEXIST);
	assert_int_equal(fs_mknod(f->fs, &owner, FS_ROOT, "..", S_IFDIR, 0, &a), -EEXIST);
	assert_int_equal(fs_mknod(f->fs, &owner, FS_ROOT, "x", 0644, 0, &a), -EINVAL);
	assert_int_equal(fs_rmdir(f->fs, FS_ROOT, "."), -EINVAL);
	assert_int_equal(fs_rmdir(f->fs, FS_ROOT, ".."), -ENOTEMPTY);
	assert_int_equal(fs_unlink(f->fs, FS_ROOT, "."), -EISDIR);
	assert_int_equal(fs_rename(f->fs, FS_ROOT, ".", FS_ROOT, "x", 0), -EINVAL);
	assert_int_equal(fs_mknod(f->fs, &owner, 999, "x", S_IFREG, 0, &a), -ESTALE);
}

static void names_of_any_byte_are_kept_apart(void **state)
{
	struct fixture *f = *state;
	static const char *name[] = {
	        "\x01", "\xff\xff", "a", "a.", "a-", "a0", " ", "\n", "\\", "a\x01"};
	uint64_t ino[10];
	for (unsigned i = 0; i < 10; i++)
		ino[i] = i % 2 ? make_file(f, FS_ROOT, name[i]) : make_dir(f, FS_ROOT, name[i]);
	for (unsigned i = 0; i < 10; i++)
		assert_int_equal(number_of(f, FS_ROOT, name[i]), ino[i]);
}

static void a_taken_name_is_eexist_for_files_and_directories(void **state)
{
	struct fixture *f = *state;
	struct fs_attr a;
	uint64_t x = make_file(f, FS_ROOT, "x");
	make_dir(f, FS_ROOT, "d");
	assert_int_equal(fs_mknod(f->fs, &owner, FS_ROOT, "x", S_IFREG, 0, &a), -EEXIST);
	assert_int_equal(fs_mknod(f->fs, &owner, FS_ROOT, "x", S_IFDIR, 0, &a), -EEXIST);
	assert_int_equal(fs_mknod(f->fs, &owner, FS_ROOT, "d", S_IFREG, 0, &a), -EEXIST);
	assert_int_equal(fs_mknod(f->fs, &owner, FS_ROOT, "d", S_IFDIR, 0, &a), -EEXIST);
	assert_int_equal(fs_symlink(f->fs, &owner, FS_ROOT, "d", "t", &a), -EEXIST);
	assert_int_equal(fs_link(f->fs, x, FS_ROOT, "d", &a), -EEXIST);
}

static void paths_longer_than_a_key_are_enametoolong(void **state)
{
	struct fixture *f = *state;
	char name[256];
	struct fs_attr a;
	memset(name, 'p', 255);
	name[255] = 0;
	uint64_t d = FS_ROOT;
	int err = 0;
	unsigned depth = 0;
	while ((err = fs_mknod(f->fs, &owner, d, name, S_IFDIR | 0755, 0, &a)) == 0) {
		d = a.ino;
		depth++;
	}
	assert_int_equal(err, -ENAMETOOLONG);
	assert_int_equal(depth, 255);
	make_file(f, d, "x"); /* a directory that could be made can hold something */
	ok(fs_unlink(f->fs, d, "x"));
}

static void a_new_child_counts_in_its_directory(void **state)
{
	struct fixture *f = *state;
	struct fs_attr before = stat_of(f, FS_ROOT);
	uint64_t d = make_dir(f, FS_ROOT, "d");
	struct fs_attr after = stat_of(f, FS_ROOT);
	assert_int_equal(before.nlink, 2);
	assert_int_equal(after.nlink, 3);
	assert_int_equal(stat_of(f, d).nlink, 2);
	assert_true(after.mtime.tv_sec > before.mtime.tv_sec ||
	            after.mtime.tv_nsec > before.mtime.tv_nsec);
	make_file(f, FS_ROOT, "x");
	assert_int_equal(stat_of(f, FS_ROOT).nlink, 3);
	ok(fs_rmdir(f->fs, FS_ROOT, "d"));
	assert_int_equal(stat_of(f, FS_ROOT).nlink, 2);
}

static void mknod_keeps_type_mode_owner_and_device(void **state)
{
	struct fixture *f = *state;
	static const mode_t mode[] = {S_IFREG | 04755, S_IFDIR | 01777, S_IFIFO | 0600,
	        S_IFSOCK | 0700, S_IFCHR | 0660, S_IFBLK | 0640};
	for (unsigned i = 0; i < 6; i++) {
		char name[8];
		struct fs_attr a;
		snprintf(name, sizeof(name), "n%u", i);
		ok(fs_mknod(f->fs, &owner, FS_ROOT, name, mode[i], 0x1234, &a));
		fs_forget(f->fs, a.ino, 1);
		ok(fs_lookup(f->fs, FS_ROOT, name, &a));
		assert_int_equal(a.mode, mode[i]);
		assert_int_equal(a.uid, owner.uid);
		assert_int_equal(a.gid, owner.gid);
		assert_int_equal(a.rdev, S_ISCHR(mode[i]) || S_ISBLK(mode[i]) ? 0x1234 : 0);
	}
}

static void setgid_directories_pass_on_their_group(void **state)
{
	struct fixture *f = *state;
	struct fs_attr a = {.mode = 02775, .gid = 77};
	uint64_t d = make_dir(f, FS_ROOT, "d");
	ok(fs_setattr(f->fs, d, FS_SET_MODE | FS_SET_GID, &a, NULL));
	uint64_t x = make_file(f, d, "x"), sub = make_dir(f, d, "sub");
	assert_int_equal(stat_of(f, x).gid, 77);
	assert_int_equal(stat_of(f, x).mode, S_IFREG | 0644);
	assert_int_equal(stat_of(f, sub).gid, 77);
	assert_int_equal(stat_of(f, sub).mode, S_IFDIR | 02755);
}

static void a_symlink_keeps_its_target(void **state)
{
	struct fixture *f = *state;
	static char target[FS_SYMLINK_BYTES_MAX + 2], buf[FS_SYMLINK_BYTES_MAX + 1];
	struct fs_attr a;
	memset(target, 't', sizeof(target) - 1);
	assert_int_equal(fs_symlink(f->fs, &owner, FS_ROOT, "s", target, &a), -ENAMETOOLONG);
	assert_int_equal(fs_symlink(f->fs, &owner, FS_ROOT, "s", "", &a), -ENOENT);
	target[FS_SYMLINK_BYTES_MAX] = 0;
	ok(fs_symlink(f->fs, &owner, FS_ROOT, "long", target, &a));
	fs_forget(f->fs, a.ino, 1);
	ok(fs_lookup(f->fs, FS_ROOT, "long", &a));
	assert_int_equal(a.size, FS_SYMLINK_BYTES_MAX);
	assert_int_equal(fs_readlink(f->fs, a.ino, buf, sizeof(buf)), FS_SYMLINK_BYTES_MAX);
	assert_memory_equal(buf, target, FS_SYMLINK_BYTES_MAX);
	assert_int_equal(fs_readlink(f->fs, a.ino, buf, 3), 3);
	assert_int_equal(fs_readlink(f->fs, FS_ROOT, buf, 3), -EINVAL);
	assert_int_equal(fs_write(f->fs, a.ino, 0, "x", 1), -EINVAL);
}

static void a_file_with_two_names_is_one_inode(void **state)
{
	struct fixture *f = *state;
	struct fs_attr a;
	uint64_t d = make_dir(f, FS_ROOT, "d"), x = make_file(f, FS_ROOT, "x");
	put_text(f, x, "hello");
	ok(fs_link(f->fs, x, d, "y", &a));
	assert_int_equal(a.ino, x);
	assert_int_equal(a.nlink, 2);
	fixture_reopen(f);
	assert_int_equal(number_of(f, FS_ROOT, "x"), x);
	ok(fs_lookup(f->fs, FS_ROOT, "d", &a));
	ok(fs_lookup(f->fs, d, "y", &a));
	assert_int_equal(a.ino, x);
	assert_int_equal(a.nlink, 2);
	put_text(f, x, "HELLO");
	ok(fs_unlink(f->fs, FS_ROOT, "x"));
	assert_int_equal(stat_of(f, x).nlink, 1);
	assert_text(f, x, "HELLO");
	ok(fs_link(f->fs, x, FS_ROOT, "z", &a));
	assert_int_equal(a.nlink, 2);
	ok(fs_unlink(f->fs, d, "y"));
	ok(fs_unlink(f->fs, FS_ROOT, "z"));
	assert_int_equal(stat_of(f, x).nlink, 0);
	assert_text(f, x, "HELLO");
	assert_int_equal(fs_link(f->fs, x, FS_ROOT, "w", &a), -ENOENT);
}

static void a_directory_cannot_be_linked_or_unlinked_nor_a_file_rmdired(void **state)
{
	struct fixture *f = *state;
	struct fs_attr a;
	uint64_t d = make_dir(f, FS_ROOT, "d");
	make_file(f, FS_ROOT, "x");
	assert_int_equal(fs_link(f->fs, d, FS_ROOT, "e", &a), -EPERM);
	assert_int_equal(fs_unlink(f->fs, FS_ROOT, "d"), -EISDIR);
	assert_int_equal(fs_rmdir(f->fs, FS_ROOT, "x"), -ENOTDIR);
	assert_int_equal(fs_unlink(f->fs, FS_ROOT, "none"), -ENOENT);
	assert_int_equal(fs_rmdir(f->fs, FS_ROOT, "none"), -ENOENT);
	make_file(f, d, "in");
	assert_int_equal(fs_rmdir(f->fs, FS_ROOT, "d"), -ENOTEMPTY);
	ok(fs_unlink(f->fs, d, "in"));
	ok(fs_rmdir(f->fs, FS_ROOT, "d"));
}

static void a_removed_directory_stays_usable_as_empty(void **state)
{
	struct fixture *f = *state;
	struct fs_attr a;
	uint64_t d = make_dir(f, FS_ROOT, "d");
	make_file(f, FS_ROOT, "x");
	ok(fs_rmdir(f->fs, FS_ROOT, "d"));
	assert_int_equal(stat_of(f, d).nlink, 0);
	assert_int_equal(fs_mknod(f->fs, &owner, d, "x", S_IFREG, 0, &a), -ENOENT);
	assert_int_equal(fs_lookup(f->fs, d, "x", &a), -ENOENT);
	assert_int_equal(fs_rename(f->fs, FS_ROOT, "x", d, "x", 0), -ENOENT);
	a.mode = 0700;
	ok(fs_setattr(f->fs, d, FS_SET_MODE, &a, &a));
	assert_int_equal(a.mode, S_IFDIR | 0700);
	fs_forget(f->fs, d, 1);
	assert_int_equal(fs_getattr(f->fs, d, &a), -ESTALE);
}

static void forgotten_numbers_are_estale_until_looked_up(void **state)
{
	struct fixture *f = *state;
	struct fs_attr a;
	uint64_t x = make_file(f, FS_ROOT, "x");
	ok(fs_lookup(f->fs, FS_ROOT, "x", &a));
	fs_forget(f->fs, x, 1);
	ok(fs_getattr(f->fs, x, &a));
	fs_forget(f->fs, x, 1);
	assert_int_equal(fs_getattr(f->fs, x, &a), -ESTALE);
	assert_int_equal(fs_read(f->fs, x, 0, &a, 1), -ESTALE);
	assert_int_equal(fs_open_file(f->fs, x), -ESTALE);
	fs_forget(f->fs, x, 5);
	fs_forget(f->fs, FS_ROOT, 5);
	ok(fs_getattr(f->fs, FS_ROOT, &a));
}

static void a_known_child_keeps_its_forgotten_parents(void **state)
{
	struct fixture *f = *state;
	uint64_t a = make_dir(f, FS_ROOT, "a"), b = make_dir(f, a, "b"), x = make_file(f, b, "x");
	fs_forget(f->fs, a, 1);
	fs_forget(f->fs, b, 1);
	put_text(f, x, "still here");
	assert_text(f, x, "still here");
	fs_forget(f->fs, x, 1);
	struct fs_attr at;
	assert_int_equal(fs_getattr(f->fs, b, &at), -ESTALE);
	assert_int_equal(fs_getattr(f->fs, a, &at), -ESTALE);
}

static void thousands_of_inodes_are_known_at_once(void **state)
{
	struct fixture *f = *state;
	enum { MANY = 3000 };
	static uint64_t ino[MANY];
	char name[16];
	for (unsigned i = 0; i < MANY; i++) {
		snprintf(name, sizeof(name), "%u", i);
		ino[i] = make_file(f, FS_ROOT, name);
	}
	for (unsigned i = 0; i < MANY; i++)
		assert_int_equal(stat_of(f, ino[i]).ino, ino[i]);
	for (unsigned i = 0; i < MANY; i += 2)
		fs_forget(f->fs, ino[i], 1);
	for (unsigned i = 1; i < MANY; i += 2)
		assert_int_equal(stat_of(f, ino[i]).ino, ino[i]);
}

static void dot_and_dotdot_are_found(void **state)
{
	struct fixture *f = *state;
	uint64_t d = make_dir(f, FS_ROOT, "d");
	assert_int_equal(number_of(f, d, "."), d);
	assert_int_equal(number_of(f, d, ".."), FS_ROOT);
	assert_int_equal(number_of(f, FS_ROOT, ".."), FS_ROOT);
}

static void numbers_are_not_reused_after_removal_reopening_or_a_crash(void **state)
{
	struct fixture *f = *state, after;
	uint64_t last = make_file(f, FS_ROOT, "a");
	ok(fs_unlink(f->fs, FS_ROOT, "a"));
	uint64_t b = make_file(f, FS_ROOT, "b");
	assert_true(b > last);
	fixture_crash(f, &after);
	uint64_t c = make_file(&after, FS_ROOT, "c");
	assert_true(c > b);
	fixture_remove(&after);
	fixture_reopen(f);
	assert_true(make_file(f, FS_ROOT, "c") > b);
	for (unsigned i = 0; i < 1100; i++) { /* more than one block of them */
		uint64_t x = make_file(f, FS_ROOT, "x");
		assert_true(x > c);
		c = x;
		fs_forget(f->fs, x, 1);
		ok(fs_unlink(f->fs, FS_ROOT, "x"));
	}
}

static void a_read_only_filesystem_changes_nothing(void **state)
{
	struct fixture *f = *state;
	struct fs_attr a = {.mode = 0600};
	uint64_t x = make_file(f, FS_ROOT, "x");
	put_text(f, x, "text");
	f->opt.read_only = true;
	fixture_reopen(f);
	ok(fs_lookup(f->fs, FS_ROOT, "x", &a));
	assert_text(f, x, "text");
	uint64_t lsn = art_lsn(f->art);
	assert_int_equal(fs_mknod(f->fs, &owner, FS_ROOT, "y", S_IFREG, 0, &a), -EROFS);
	assert_int_equal(fs_symlink(f->fs, &owner, FS_ROOT, "y", "t", &a), -EROFS);
	assert_int_equal(fs_link(f->fs, x, FS_ROOT, "y", &a), -EROFS);
	assert_int_equal(fs_unlink(f->fs, FS_ROOT, "x"), -EROFS);
	assert_int_equal(fs_rmdir(f->fs, FS_ROOT, "d"), -EROFS);
	assert_int_equal(fs_rename(f->fs, FS_ROOT, "x", FS_ROOT, "y", 0), -EROFS);
	assert_int_equal(fs_setattr(f->fs, x, FS_SET_MODE, &a, NULL), -EROFS);
	assert_int_equal(fs_write(f->fs, x, 0, "x", 1), -EROFS);
	ok(fs_fsync(f->fs, x));
	ok(fs_checkpoint(f->fs));
	fs_forget(f->fs, x, 1);
	assert_int_equal(art_lsn(f->art), lsn);
	f->opt.read_only = false;
	fixture_reopen(f);
}

static void attributes_are_set_and_times_never_go_back(void **state)
{
	struct fixture *f = *state;
	uint64_t x = make_file(f, FS_ROOT, "x");
	struct fs_attr a, before = stat_of(f, x),
	                  in = {.mode = 07777,
	                          .uid = 5,
	                          .gid = 6,
	                          .atime = {-1, 999999999},
	                          .mtime = {4000000000, 1},
	                          .ctime = {5000000000, 7}};
	ok(fs_setattr(f->fs, x, FS_SET_MODE | FS_SET_UID | FS_SET_GID | FS_SET_ATIME | FS_SET_MTIME,
	        &in, &a));
	assert_int_equal(a.mode, S_IFREG | 07777);
	assert_int_equal(a.uid, 5);
	assert_int_equal(a.gid, 6);
	assert_memory_equal(&a.atime, &in.atime, sizeof(in.atime));
	assert_memory_equal(&a.mtime, &in.mtime, sizeof(in.mtime));
	assert_memory_equal(&a.btime, &before.btime, sizeof(in.btime));
	assert_true(a.ctime.tv_sec >= before.ctime.tv_sec);
	ok(fs_setattr(f->fs, x, FS_SET_CTIME, &in, &a));     /* a change in the future: */
	ok(fs_setattr(f->fs, x, FS_SET_MTIME_NOW, &in, &a)); /* our stamps do not go behind it */
	assert_memory_equal(&a.ctime, &in.ctime, sizeof(in.ctime));
	assert_memory_equal(&a.mtime, &in.ctime, sizeof(in.ctime));
	fs_forget(f->fs, x, 1);
	ok(fs_lookup(f->fs, FS_ROOT, "x", &a));
	assert_memory_equal(&a.mtime, &in.ctime, sizeof(in.ctime));
	assert_int_equal(fs_setattr(f->fs, FS_ROOT, FS_SET_SIZE, &in, NULL), -EISDIR);
}

int main(void)
{
	static const struct fixture_test test[] = {
	        TEST(a_file_is_found_under_its_name_and_keeps_its_number),
	        TEST(lookup_of_a_prefix_or_an_extension_of_a_name_is_enoent),
	        TEST(names_are_refused_as_posix_says),
	        TEST(names_of_any_byte_are_kept_apart),
	        TEST(a_taken_name_is_eexist_for_files_and_directories),
	        TEST(paths_longer_than_a_key_are_enametoolong),
	        TEST(a_new_child_counts_in_its_directory),
	        TEST(mknod_keeps_type_mode_owner_and_device),
	        TEST(setgid_directories_pass_on_their_group),
	        TEST(a_symlink_keeps_its_target),
	        TEST(a_file_with_two_names_is_one_inode),
	        TEST(a_directory_cannot_be_linked_or_unlinked_nor_a_file_rmdired),
	        TEST(a_removed_directory_stays_usable_as_empty),
	        TEST(forgotten_numbers_are_estale_until_looked_up),
	        TEST(a_known_child_keeps_its_forgotten_parents),
	        TEST(thousands_of_inodes_are_known_at_once),
	        TEST(dot_and_dotdot_are_found),
	        TEST(numbers_are_not_reused_after_removal_reopening_or_a_crash),
	        TEST(a_read_only_filesystem_changes_nothing),
	        TEST(attributes_are_set_and_times_never_go_back),
	};
	return fixture_run("name", test, sizeof(test) / sizeof(*test));
}
