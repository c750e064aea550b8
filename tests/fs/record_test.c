/*
 * record_test.c - records to bytes and back, and bytes that are no record.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "fs/record.h"

static const struct fs_record file = {
        .ino = 0x1122334455667788,
        .size = 5,
        .mode = S_IFREG | 0644,
        .nlink = 3,
        .uid = 7,
        .gid = 8,
        .atime = -1,
        .mtime = INT64_MAX,
        .ctime = INT64_MIN,
        .btime = 4,
};

static int decode(const void *v, size_t n, struct fs_record *out)
{
	enum fs_record_type type;
	return fs_record_decode(v, n, n, &type, out);
}

static void a_record_survives_the_way_to_bytes_and_back(void **state)
{
	(void)state;
	struct fs_record r;
	enum fs_record_type type;
	struct art_bytes v = fs_record_encode(&file, "hello", 5);
	assert_int_equal(v.bytes, 88 + 5);
	assert_int_equal(fs_record_decode(v.data, 88, v.bytes, &type, &r), 0);
	assert_int_equal(type, FS_RECORD_INODE);
	assert_memory_equal(&r, &file, offsetof(struct fs_record, chunked));
	assert_false(r.chunked);
	assert_memory_equal((const uint8_t *)v.data + 8, "\x88\x77\x66\x55\x44\x33\x22\x11", 8);
	free((void *)v.data);
	v = fs_link_encode(&file);
	assert_int_equal(fs_record_decode(v.data, v.bytes, v.bytes, &type, &r), 0);
	assert_int_equal(type, FS_RECORD_LINK);
	assert_int_equal(r.ino, file.ino);
	assert_int_equal(r.mode, S_IFREG);
	free((void *)v.data);
}

static void cut_and_overlong_records_are_euclean(void **state)
{
	(void)state;
	struct fs_record r;
	struct art_bytes v = fs_record_encode(&file, "hello", 5);
	for (size_t n = 0; n < v.bytes; n++)
		assert_int_equal(decode(v.data, n, &r), -EUCLEAN);
	free((void *)v.data);
	v = fs_record_encode(&file, "hello!", 6);
	assert_int_equal(decode(v.data, v.bytes, &r), -EUCLEAN);
	free((void *)v.data);
	v = fs_link_encode(&file);
	assert_int_equal(decode(v.data, v.bytes - 1, &r), -EUCLEAN);
	free((void *)v.data);
}

static void implausible_records_are_euclean(void **state)
{
	(void)state;
	struct fs_record bad[8], r;
	for (unsigned i = 0; i < 8; i++) {
		bad[i] = file;
		bad[i].size = 0;
	}
	bad[0].ino = 0;
	bad[1].mode = 0644;
	bad[2].mode = S_IFDIR;
	bad[2].nlink = 1;
	bad[3].mode = S_IFLNK;
	bad[4].mode = S_IFDIR;
	bad[4].chunked = true;
	bad[5].stored = 1;
	bad[6].chunked = true;
	bad[6].size = (uint64_t)INT64_MAX + 1;
	bad[7].chunked = true;
	bad[7].size = 5;
	bad[7].stored = 6;
	for (unsigned i = 0; i < 8; i++) {
		struct art_bytes v = fs_record_encode(&bad[i], NULL, 0);
		assert_int_equal(decode(v.data, v.bytes, &r), -EUCLEAN);
		free((void *)v.data);
	}
}

static void newer_versions_are_told_from_damage(void **state)
{
	(void)state;
	struct fs_record r;
	struct art_bytes v = fs_record_encode(&file, "hello", 5);
	uint8_t *b = (uint8_t *)v.data;
	b[0] = FS_RECORD_VERSION + 1;
	assert_int_equal(decode(v.data, v.bytes, &r), -EPROTONOSUPPORT);
	b[0] = 0;
	assert_int_equal(decode(v.data, v.bytes, &r), -EUCLEAN);
	b[0] = FS_RECORD_VERSION;
	b[1] = 3;
	assert_int_equal(decode(v.data, v.bytes, &r), -EUCLEAN);
	b[1] = FS_RECORD_INODE;
	b[2] = 0x80; /* an unknown flag */
	assert_int_equal(decode(v.data, v.bytes, &r), -EUCLEAN);
	free((void *)v.data);
}

static void the_super_record_is_validated(void **state)
{
	(void)state;
	struct fs_super s = {.chunk_bytes = 65536, .next_ino = 2}, out;
	struct art_bytes v = fs_super_encode(&s);
	assert_int_equal(fs_super_decode(v.data, v.bytes, &out), 0);
	assert_memory_equal(&s, &out, sizeof(s));
	assert_int_equal(fs_super_decode(v.data, v.bytes - 1, &out), -EUCLEAN);
	((uint8_t *)v.data)[4] = 2; /* version */
	assert_int_equal(fs_super_decode(v.data, v.bytes, &out), -EPROTONOSUPPORT);
	((uint8_t *)v.data)[0] ^= 1; /* magic */
	assert_int_equal(fs_super_decode(v.data, v.bytes, &out), -EUCLEAN);
	free((void *)v.data);
	static const uint32_t chunk_bytes[] = {0, 1, 8192, 65537, 2 * ART_VALUE_BYTES_MAX};
	for (unsigned i = 0; i < 5; i++) {
		s.chunk_bytes = chunk_bytes[i];
		v = fs_super_encode(&s);
		assert_int_equal(fs_super_decode(v.data, v.bytes, &out), -EUCLEAN);
		free((void *)v.data);
	}
}

static void times_outside_of_what_can_be_kept_saturate(void **state)
{
	(void)state;
	struct timespec far = {.tv_sec = INT64_MAX}, past = {.tv_sec = INT64_MIN},
	                minus = {-1, 999999999};
	assert_true(fs_time_ns(&far) == INT64_MAX);
	assert_true(fs_time_ns(&past) == INT64_MIN);
	assert_true(fs_time_ns(&minus) == -1);
	struct fs_attr a;
	fs_record_attr(&file, &a);
	assert_true(a.atime.tv_sec == -1 && a.atime.tv_nsec == 999999999);
	assert_true(a.ctime.tv_nsec >= 0);
	assert_true(fs_record_now(&(struct fs_record){.ctime = INT64_MAX}) == INT64_MAX);
}

int main(void)
{
	static const struct CMUnitTest test[] = {
	        cmocka_unit_test(a_record_survives_the_way_to_bytes_and_back),
	        cmocka_unit_test(cut_and_overlong_records_are_euclean),
	        cmocka_unit_test(implausible_records_are_euclean),
	        cmocka_unit_test(newer_versions_are_told_from_damage),
	        cmocka_unit_test(the_super_record_is_validated),
	        cmocka_unit_test(times_outside_of_what_can_be_kept_saturate),
	};
	return cmocka_run_group_tests_name("record", test, NULL, NULL);
}
