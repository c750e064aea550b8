/*
 * check_test.c - fsck finds each way in which names, inodes, chunks and counters can disagree, and
 * nothing where they agree.
 */
#include "fs/record.h"
#include "tests/fs/fixture.h"

struct said {
	unsigned n;
	char text[4000];
};

static void say(void *arg, const char *line)
{
	struct said *s = arg;
	s->n++;
	strncat(s->text, line, sizeof(s->text) - strlen(s->text) - 2);
	strcat(s->text, "\n");
}

/* Overwrites or removes (no value) one key behind the filesystem's back. */
static void set(struct fixture *f, const void *key, size_t bytes, struct art_bytes value)
{
	struct art_op op = {
	        .type = value.data ? ART_PUT : ART_REMOVE, .key = {key, bytes}, .value = value};
	ok(art_commit(f->art, &op, 1, NULL));
}

/* Sets a key, expects this finding, and puts back what was there. */
static void spoil(
        struct fixture *f, const void *key, size_t bytes, struct art_bytes value, const char *want)
{
	static uint8_t old[1 << 20];
	size_t old_bytes = 0;
	struct said s = {0};
	int there =
	        art_get(f->art, (struct art_bytes){key, bytes}, 0, old, sizeof(old), &old_bytes);
	set(f, key, bytes, value);
	int n = fs_check(f->art, say, &s);
	if (n <= 0 || !strstr(s.text, want))
		fail_msg("%d findings: %s(wanted: %s)", n, s.text, want);
	assert_int_equal(n, s.n);
	set(f, key, bytes, there == 0 ? (struct art_bytes){old, old_bytes} : (struct art_bytes){0});
	ok(fs_check(f->art, fixture_say, NULL));
}

static void spoil_record(struct fixture *f, const char *key, const struct fs_record *r,
        const void *tail, const char *want)
{
	struct art_bytes v = fs_record_encode(r, tail, fs_tail_bytes(r));
	spoil(f, key, strlen(key), v, want);
	free((void *)v.data);
}

static void fsck_finds_what_is_wrong_with_names(void **state)
{
	struct fixture *f = *state;
	struct art_bytes none = {0}, junk = {"junk", 4};
	uint64_t d = make_dir(f, FS_ROOT, "d"), e = make_dir(f, d, "e");
	make_file(f, e, "x");
	uint64_t y = make_file(f, d, "y");
	struct fs_record r = {.ino = y, .mode = S_IFREG, .nlink = 1},
	                 dir = {.ino = d, .mode = S_IFDIR};
	spoil(f, "d/e/", 4, none, "d/e/x: no directory above it");
	spoil(f, "/", 1, none, "the root has no record");
	spoil(f, "d/y", 3, junk, "d/y: its record cannot be decoded");
	spoil(f, "d/", 2, junk, "d/: its record cannot be decoded");
	dir.nlink = 5;
	spoil_record(f, "d/", &dir, NULL, "d/: link count 5, but 1 subdirectories");
	r.nlink = 2;
	spoil_record(f, "d/y", &r, NULL, "link count 2, but 1 names");
	r.nlink = 1;
	spoil_record(f, "d/e/z", &r, NULL, "the number is used 2 times");
	r.ino = FS_ROOT + 1000000;
	spoil_record(f, "d/z", &r, NULL, "ahead of the counter");
	r.ino = 1000;
	spoil_record(f, "d", &r, NULL, "d/: a file and a directory of one name");
	spoil_record(f, "d/..", &r, NULL, "d/..: not a name");
	dir = (struct fs_record){.ino = 1000, .mode = S_IFDIR, .nlink = 2};
	spoil_record(f, "d/f", &dir, NULL, "a directory's record at a file's key");
	spoil(f, "\0c", 2, none, "super record: missing");
	spoil(f, "\0c", 2, junk, "super record: cannot be decoded");
	spoil(f, "\0zz", 3, junk, "a key of no known kind");
}

static void fsck_finds_what_is_wrong_with_inodes_and_chunks(void **state)
{
	struct fixture *f = *state;
	struct art_bytes none = {0}, junk = {"junk", 4}, empty = {"", 0};
	struct fs_attr a;
	uint64_t x = make_file(f, FS_ROOT, "x"), l = make_file(f, FS_ROOT, "l");
	put_pattern(f, x, 0, 3 * chunk_bytes_of(f), 0);
	ok(fs_link(f->fs, l, FS_ROOT, "l2", &a));
	ok(fs_sync(f->fs));
	uint8_t ino[10] = {0, 'i', 0, 0, 0, 0, 0, 0, 0, (uint8_t)l};
	uint8_t orphan[10] = {0, 'o', 0, 0, 0, 0, 0, 0, 0, (uint8_t)l};
	uint8_t chunk[18] = {0, 'd', 0, 0, 0, 0, 0, 0, 0, (uint8_t)x, 0, 0, 0, 0, 0, 0, 0, 1};
	uint8_t trim[10] = {0, 't', 0, 0, 0, 0, 0, 0, 0, (uint8_t)x};
	spoil(f, ino, sizeof(ino), none, "names without an inode");
	spoil(f, ino, sizeof(ino), junk, "its record cannot be decoded");
	spoil(f, orphan, sizeof(orphan), empty, "marked as an orphan, but it has names");
	spoil(f, "l2", 2, none, "link count 2, but 1 names");
	spoil(f, chunk, sizeof(chunk), none, "bytes in chunks, its record says");
	spoil(f, chunk, sizeof(chunk), empty, "has 0 bytes");
	spoil(f, "x", 1, none, "chunks without an inode");
	spoil(f, trim, sizeof(trim), junk, "trim mark: cannot be decoded");
	chunk[17] = 9;
	spoil(f, chunk, sizeof(chunk), junk, "bytes in chunks, its record says");
	struct fs_record r = {.ino = l, .mode = S_IFREG};
	struct art_bytes v = fs_record_encode(&r, NULL, 0);
	spoil(f, ino, sizeof(ino), v, "no names, and no orphan mark");
	free((void *)v.data);
	r = (struct fs_record){.ino = x,
	        .mode = S_IFREG,
	        .nlink = 1,
	        .chunked = true,
	        .size = 3 * chunk_bytes_of(f) - 1,
	        .stored = 3 * chunk_bytes_of(f) - 1};
	spoil_record(f, "x", &r, NULL, "but chunks up to");
}

static void fsck_is_content_with_orphans_and_marks_of_a_crash(void **state)
{
	struct fixture *f = *state;
	uint64_t x = make_file(f, FS_ROOT, "x");
	put_pattern(f, x, 0, 3 * chunk_bytes_of(f), 0);
	ok(fs_sync(f->fs));
	ok(fs_unlink(f->fs, FS_ROOT, "x"));
	ok(fs_check(f->art, fixture_say, NULL));
}

static void open_refuses_other_formats_and_a_missing_root(void **state)
{
	struct fixture *f = *state;
	struct why w = {0};
	struct fs *fs;
	struct fs_options rw = {0}, ro = {.read_only = true};
	struct fs_super s = {.chunk_bytes = 65536, .next_ino = 2, .incompat = 1};
	uint8_t old[200], root[200];
	size_t old_bytes, root_bytes;
	ok(fs_close(f->fs));
	ok(art_get(f->art, (struct art_bytes){"\0c", 2}, 0, old, sizeof(old), &old_bytes));
	ok(art_get(f->art, (struct art_bytes){"/", 1}, 0, root, sizeof(root), &root_bytes));
	struct art_bytes v = fs_super_encode(&s);
	set(f, "\0c", 2, v);
	free((void *)v.data);
	assert_int_equal(fs_open(f->art, &rw, &fs, &w), -EPROTONOSUPPORT);
	s = (struct fs_super){.chunk_bytes = 65536, .next_ino = 2, .ro_compat = 1};
	v = fs_super_encode(&s);
	set(f, "\0c", 2, v);
	free((void *)v.data);
	assert_int_equal(fs_open(f->art, &rw, &fs, &w), -EROFS);
	ok(fs_open(f->art, &ro, &fs, &w));
	ok(fs_close(fs));
	set(f, "\0c", 2, (struct art_bytes){0});
	assert_int_equal(fs_open(f->art, &rw, &fs, &w), -EUCLEAN);
	assert_true(strlen(w.text) > 0);
	set(f, "\0c", 2, (struct art_bytes){old, old_bytes});
	assert_int_equal(fs_format(f->art, &owner, 0755), -EEXIST);
	set(f, "/", 1, (struct art_bytes){0});
	assert_int_equal(fs_open(f->art, &rw, &fs, &w), -EUCLEAN);
	set(f, "/", 1, (struct art_bytes){root, root_bytes});
	ok(fs_open(f->art, &rw, &f->fs, &w));
}

int main(void)
{
	static const struct fixture_test test[] = {
	        TEST(fsck_finds_what_is_wrong_with_names),
	        TEST(fsck_finds_what_is_wrong_with_inodes_and_chunks),
	        TEST(fsck_is_content_with_orphans_and_marks_of_a_crash),
	        TEST(open_refuses_other_formats_and_a_missing_root),
	};
	return fixture_run("check", test, sizeof(test) / sizeof(*test));
}
