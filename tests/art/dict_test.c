/*
 * dict_test.c - the dictionary as its callers see it.
 */
#include "fixture.h"

#include <pthread.h>

static void values_of_every_home_come_back_also_after_reopening(void **state)
{
	static const size_t sizes[] = {0, 1, 256, 257, 1024, 1025, 4096, 65536, 65537, 1048576};
	static uint8_t value[1048576], back[1048576];
	struct dict d;
	char key[32];

	(void)state;
	dict_new(&d, STORE_FRAME_MIN);
	for (size_t i = 0; i < sizeof(value); i++)
		value[i] = (uint8_t)(i * 31 + (i >> 12));
	for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		snprintf(key, sizeof(key), "size/%zu", sizes[i]);
		struct art_op op = {.type = ART_PUT,
		        .key = text(key),
		        .value = {value + i, sizes[i] - (sizes[i] == 1048576 ? i : 0)}};
		assert_int_equal(art_commit(d.a, &op, 1, NULL), 0);
	}
	for (int round = 0; round < 2; round++) {
		for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
			size_t want = sizes[i] - (sizes[i] == 1048576 ? i : 0), bytes;
			snprintf(key, sizeof(key), "size/%zu", sizes[i]);
			assert_int_equal(art_get(d.a, text(key), 0, back, sizeof(back), &bytes), 0);
			assert_int_equal(bytes, want);
			assert_memory_equal(back, value + i, want);
			if (want < 100)
				continue;
			assert_int_equal(art_get(d.a, text(key), want - 50, back, 100, &bytes), 0);
			assert_memory_equal(back, value + i + want - 50, 50);
		}
		dict_reopen(&d);
	}
	dict_free(&d);
}

static void values_move_home_as_they_grow_and_shrink(void **state)
{
	static uint8_t value[200000];
	static const size_t sizes[] = {10, 800, 200000, 10, 200000, 800, 0};
	struct dict d;

	(void)state;
	dict_new(&d, STORE_FRAME_MIN);
	for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct art_op op = {.type = ART_PUT, .key = text("k"), .value = {value, sizes[i]}};
		size_t bytes;
		assert_int_equal(art_commit(d.a, &op, 1, NULL), 0);
		assert_int_equal(art_get(d.a, text("k"), 0, NULL, 0, &bytes), 0);
		assert_int_equal(bytes, sizes[i]);
		assert_int_equal(art_check(d.a, print_line, NULL), 0);
	}
	assert_int_equal(art_checkpoint(d.a), 0);
	struct art_stat st;
	art_stat(d.a, &st);
	assert_int_equal(st.store.blobs[STORE_DATA], 0);
	dict_free(&d);
}

static void guards_refuse_the_whole_transaction(void **state)
{
	struct dict d;
	struct art_op op[] = {
	        {.type = ART_PUT, .key = text("a"), .value = text("new")},
	        {.type = ART_PUT, .guard = ART_ABSENT, .key = text("b"), .value = text("new")},
	};

	(void)state;
	dict_new(&d, STORE_FRAME_MIN);
	put(&d, "a", "old");
	put(&d, "b", "old");
	assert_int_equal(art_commit(d.a, op, 2, NULL), -EEXIST);
	expect(&d, "a", "old");
	op[1].guard = ART_EQUALS;
	op[1].expect = text("other");
	assert_int_equal(art_commit(d.a, op, 2, NULL), -ESTALE);
	op[1].key = text("c");
	assert_int_equal(art_commit(d.a, op, 2, NULL), -ESTALE);
	op[1].guard = ART_PRESENT;
	assert_int_equal(art_commit(d.a, op, 2, NULL), -ENOENT);
	expect(&d, "a", "old");
	op[1].key = text("b");
	op[1].guard = ART_EQUALS;
	op[1].expect = text("old");
	assert_int_equal(art_commit(d.a, op, 2, NULL), 0);
	expect(&d, "a", "new");
	expect(&d, "b", "new");
	dict_free(&d);
}

static void bad_operations_are_refused_by_name(void **state)
{
	static char big[ART_KEY_BYTES_MAX + 1], value[ART_VALUE_BYTES_MAX + 1];
	struct dict d;
	struct art_op op = {.type = ART_PUT, .key = {big, 0}};

	(void)state;
	dict_new(&d, STORE_FRAME_MIN);
	memset(big, 'k', sizeof(big));
	assert_int_equal(art_commit(d.a, &op, 1, NULL), -EINVAL);
	op.key.bytes = sizeof(big);
	assert_int_equal(art_commit(d.a, &op, 1, NULL), -ENAMETOOLONG);
	op.key.bytes = ART_KEY_BYTES_MAX;
	assert_int_equal(art_commit(d.a, &op, 1, NULL), 0);
	op.value = (struct art_bytes){value, sizeof(value)};
	assert_int_equal(art_commit(d.a, &op, 1, NULL), -EFBIG);
	assert_int_equal(art_get(d.a, op.key, 0, NULL, 0, NULL), 0);
	dict_reopen(&d);
	assert_int_equal(art_get(d.a, op.key, 0, NULL, 0, NULL), 0);
	op.type = ART_REMOVE;
	assert_int_equal(art_commit(d.a, &op, 1, NULL), 0);
	dict_free(&d);
}

static void a_key_may_be_a_prefix_of_another(void **state)
{
	struct dict d;
	char buf[16];
	size_t matched, bytes;

	(void)state;
	dict_new(&d, STORE_FRAME_MIN);
	put(&d, "a", "1");
	put(&d, "abc", "3");
	put(&d, "abcde", "5");
	assert_int_equal(
	        art_longest_prefix(d.a, text("abcd"), &matched, buf, sizeof(buf), &bytes), 0);
	assert_int_equal(matched, 3);
	assert_int_equal(buf[0], '3');
	assert_int_equal(
	        art_longest_prefix(d.a, text("ab"), &matched, buf, sizeof(buf), &bytes), 0);
	assert_int_equal(matched, 1);
	assert_int_equal(
	        art_longest_prefix(d.a, text("b"), &matched, buf, sizeof(buf), &bytes), -ENOENT);
	assert_int_equal(del(&d, "abc"), 0);
	expect(&d, "a", "1");
	expect(&d, "abc", NULL);
	expect(&d, "abcde", "5");
	dict_free(&d);
}

static void names_of(
        struct dict *d, const char *prefix, int delimiter, const char *after, char *out)
{
	struct art_cursor *c;
	struct art_entry e;
	int more;

	*out = 0;
	assert_int_equal(art_cursor_open(d->a, text(prefix), delimiter, &c), 0);
	if (after)
		assert_int_equal(art_cursor_seek(c, text(after)), 0);
	while ((more = art_cursor_next(c, &e)) == 1)
		out += sprintf(out, "%.*s%s ", (int)e.name.bytes, (const char *)e.name.data,
		        e.present ? "" : "?");
	assert_int_equal(more, 0);
	art_cursor_close(c);
}

static void a_cursor_rolls_up_at_the_delimiter_and_resumes_behind_a_name(void **state)
{
	static const char *keys[] = {
	        "d/", "d/a", "d/b/", "d/b/1", "d/b/2", "d/b0", "d/c/deep/x", "e"};
	char got[256];
	struct dict d;

	(void)state;
	dict_new(&d, STORE_FRAME_MIN);
	for (unsigned i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		put(&d, keys[i], "v");
	names_of(&d, "", ART_NO_DELIMITER, NULL, got);
	assert_string_equal(got, "d/ d/a d/b/ d/b/1 d/b/2 d/b0 d/c/deep/x e ");
	names_of(&d, "d/", '/', NULL, got);
	assert_string_equal(got, " a b/ b0 c/? ");
	names_of(&d, "d/", '/', "b/", got);
	assert_string_equal(got, "b0 c/? ");
	names_of(&d, "d/", '/', "aa", got);
	assert_string_equal(got, "b/ b0 c/? ");
	names_of(&d, "", '/', NULL, got);
	assert_string_equal(got, "d/ e ");
	names_of(&d, "d/b", ART_NO_DELIMITER, NULL, got);
	assert_string_equal(got, "/ /1 /2 0 ");
	names_of(&d, "x", '/', NULL, got);
	assert_string_equal(got, "");
	dict_free(&d);
}

static void a_cursor_gives_what_stands_exactly_once_while_others_come_and_go(void **state)
{
	struct dict d;
	struct art_cursor *c;
	struct art_entry e;
	unsigned seen[1000] = {0}, i = 0;
	char key[32];

	(void)state;
	dict_new(&d, STORE_FRAME_MIN);
	for (unsigned k = 0; k < 1000; k++) {
		snprintf(key, sizeof(key), "stay/%04u", k);
		put(&d, key, "v");
	}
	assert_int_equal(art_cursor_open(d.a, text("stay/"), '/', &c), 0);
	while (art_cursor_next(c, &e) == 1) {
		if (e.name.bytes == 4)
			seen[atoi((const char *)e.name.data)]++;
		snprintf(key, sizeof(key), "stay/%04u-extra", i * 7919 % 1000);
		if (i++ % 3 == 2)
			assert_in_range(-del(&d, key), 0, ENOENT);
		else
			put(&d, key,
			        "a value that needs some room so that frames split under the "
			        "cursor");
	}
	art_cursor_close(c);
	for (unsigned k = 0; k < 1000; k++)
		assert_int_equal(seen[k], 1);
	dict_free(&d);
}

static void read_only_replays_but_changes_nothing(void **state)
{
	struct dict d;

	(void)state;
	dict_new(&d, STORE_FRAME_MIN);
	put(&d, "a", "1");
	dict_close(&d);
	d.opt.read_only = true;
	dict_open(&d);
	expect(&d, "a", "1");
	assert_int_equal(put(&d, "b", "2"), -EROFS);
	assert_int_equal(art_check(d.a, print_line, NULL), 0);
	dict_close(&d);
	d.opt.read_only = false;
	dict_open(&d);
	expect(&d, "b", NULL);
	dict_free(&d);
}

static void deleting_nine_in_ten_merges_frames(void **state)
{
	struct dict d;
	struct art_stat full, thin;
	char key[64];

	(void)state;
	dict_new(&d, STORE_FRAME_MIN);
	for (unsigned i = 0; i < 20000; i++) {
		snprintf(key, sizeof(key), "dir%u/sub%u/file%u", i % 20, i / 20 % 50, i);
		put(&d, key, "some value of no great length");
	}
	art_stat(d.a, &full);
	for (unsigned i = 0; i < 20000; i++) {
		snprintf(key, sizeof(key), "dir%u/sub%u/file%u", i % 20, i / 20 % 50, i);
		if (i % 10)
			assert_int_equal(del(&d, key), 0);
	}
	art_stat(d.a, &thin);
	assert_int_equal(thin.keys, 2000);
	assert_true(thin.store.blobs[STORE_TREE] < full.store.blobs[STORE_TREE] / 3);
	for (unsigned i = 0; i < 20000; i += 10) {
		snprintf(key, sizeof(key), "dir%u/sub%u/file%u", i % 20, i / 20 % 50, i);
		assert_int_equal(del(&d, key), 0);
	}
	art_stat(d.a, &thin);
	assert_int_equal(thin.keys, 0);
	assert_int_equal(thin.store.blobs[STORE_TREE], 1);
	dict_free(&d);
}

struct worker {
	struct dict *d;
	unsigned id;
	int err;
};

static void *work(void *arg)
{
	struct worker *w = arg;
	char key[64], value[64], got[64];
	size_t bytes;

	for (unsigned i = 0; i < 2000 && !w->err; i++) {
		snprintf(key, sizeof(key), "t%u/%u", w->id, i * 31 % 700);
		snprintf(value, sizeof(value), "%u", i);
		w->err = put(w->d, key, value);
		if (!w->err)
			w->err = art_get(w->d->a, text(key), 0, got, sizeof(got), &bytes);
		if (!w->err && (bytes != strlen(value) || memcmp(got, value, bytes)))
			w->err = -EILSEQ;
		if (!w->err && i % 500 == 0)
			w->err = art_sync(w->d->a, art_lsn(w->d->a));
		if (!w->err && i % 700 == 0)
			w->err = art_checkpoint(w->d->a);
	}
	return NULL;
}

static void threads_read_their_own_writes_beside_checkpoints(void **state)
{
	enum { THREADS = 4 };
	struct worker w[THREADS];
	pthread_t t[THREADS];
	struct dict d;

	(void)state;
	dict_new(&d, STORE_FRAME_MIN);
	d.opt.background = true;
	d.opt.checkpoint_bytes = 64 * 1024;
	d.opt.cache_bytes = 1 << 20;
	dict_reopen(&d);
	for (unsigned i = 0; i < THREADS; i++) {
		w[i] = (struct worker){&d, i, 0};
		assert_int_equal(pthread_create(&t[i], NULL, work, &w[i]), 0);
	}
	for (unsigned i = 0; i < THREADS; i++) {
		pthread_join(t[i], NULL);
		assert_int_equal(w[i].err, 0);
	}
	dict_reopen(&d);
	dict_free(&d);
}

static void a_dictionary_larger_than_its_cache_works(void **state)
{
	struct dict d;
	char key[64], value[512];

	(void)state;
	dict_new(&d, STORE_FRAME_MIN);
	d.opt.cache_bytes = 64 * STORE_FRAME_MIN;
	dict_reopen(&d);
	memset(value, 'v', sizeof(value));
	value[200] = 0;
	for (unsigned i = 0; i < 10000; i++) {
		snprintf(key, sizeof(key), "%08u", i * 2654435761u);
		assert_int_equal(put(&d, key, value), 0);
	}
	for (unsigned i = 0; i < 10000; i++) {
		snprintf(key, sizeof(key), "%08u", i * 2654435761u);
		expect(&d, key, value);
	}
	struct art_stat st;
	art_stat(d.a, &st);
	assert_true(st.store.cache_used <= d.opt.cache_bytes);
	assert_true(st.store.evictions > 0);
	dict_free(&d);
}

struct reader {
	struct dict *d;
	unsigned keys;
	_Atomic bool stop;
	_Atomic int err;
};

static void *read_all_the_time(void *arg)
{
	struct reader *r = arg;
	char key[64];

	for (unsigned i = 0; !r->stop && !r->err; i++) {
		snprintf(key, sizeof(key), "%08u", i * 7919 % r->keys * 2654435761u);
		r->err = art_get(r->d->a, text(key), 0, NULL, 0, NULL);
	}
	return NULL;
}

static void readers_never_see_that_the_cache_is_full_of_dirty_frames(void **state)
{
	enum { KEYS = 4000 };
	struct dict d;
	struct reader r = {&d, KEYS, false, 0};
	pthread_t t;
	char key[64], value[512];

	(void)state;
	dict_new(&d, STORE_FRAME_MIN);
	d.opt.cache_bytes = 64 * STORE_FRAME_MIN;
	d.opt.background = true;
	dict_reopen(&d);
	memset(value, 'v', sizeof(value));
	value[200] = 0;
	for (unsigned i = 0; i < KEYS; i++) {
		snprintf(key, sizeof(key), "%08u", i * 2654435761u);
		assert_int_equal(put(&d, key, value), 0);
	}
	assert_int_equal(pthread_create(&t, NULL, read_all_the_time, &r), 0);
	for (unsigned i = 0; i < 10 * KEYS && !r.err; i++) {
		snprintf(key, sizeof(key), "%08u", i * 31 % KEYS * 2654435761u);
		assert_int_equal(put(&d, key, value), 0);
	}
	r.stop = true;
	pthread_join(t, NULL);
	assert_int_equal(r.err, 0);
	dict_free(&d);
}

struct mover {
	struct dict *d;
	_Atomic bool stop;
	unsigned long reads, found;
	int err;
};

/* Under a/ every value is 'A', under b/ every value is 'B'. */
static void *look_at_both(void *arg)
{
	struct mover *m = arg;
	char key[64], value[8];
	size_t bytes;

	for (unsigned i = 0; !m->stop && !m->err; i++) {
		snprintf(key, sizeof(key), "%c/%04u/some longer name", i % 2 ? 'a' : 'b',
		        i * 31 % 2000);
		int err = art_get(m->d->a, text(key), 0, value, sizeof(value), &bytes);
		m->reads++;
		if (err == -ENOENT)
			continue;
		m->found++;
		if (!err && (bytes != 1 || value[0] != (i % 2 ? 'A' : 'B')))
			err = -EILSEQ;
		m->err = err;
	}
	return NULL;
}

static void readers_never_see_a_value_under_a_name_that_it_did_not_have(void **state)
{
	enum { READERS = 3, KEYS = 2000, ROUNDS = 60 };
	static char key[KEYS][64];
	static struct art_op op[KEYS + 1];
	struct mover m[READERS];
	pthread_t t[READERS];
	struct dict d;

	(void)state;
	dict_new(&d, STORE_FRAME_MIN);
	for (unsigned i = 0; i < READERS; i++) {
		m[i] = (struct mover){&d, false, 0, 0, 0};
		assert_int_equal(pthread_create(&t[i], NULL, look_at_both, &m[i]), 0);
	}
	for (unsigned round = 0; round < ROUNDS; round++) {
		char to = round % 2 ? 'b' : 'a';
		unsigned n = 0;
		if (round > 0)
			op[n++] = (struct art_op){.type = ART_GRAFT,
			        .key = text(round % 2 ? "a/" : "b/"),
			        .to = text(round % 2 ? "b/" : "a/")};
		for (unsigned i = 0; i < KEYS; i++) {
			snprintf(key[i], sizeof(key[i]), "%c/%04u/some longer name", to, i);
			op[n++] = (struct art_op){.type = ART_PUT,
			        .key = text(key[i]),
			        .value = text(to == 'a' ? "A" : "B")};
		}
		assert_int_equal(art_commit(d.a, op, n, NULL), 0);
		if (round % 10 == 0)
			assert_int_equal(art_checkpoint(d.a), 0);
	}
	for (unsigned i = 0; i < READERS; i++) {
		m[i].stop = true;
		pthread_join(t[i], NULL);
		assert_int_equal(m[i].err, 0);
		assert_true(m[i].found > 0);
	}
	dict_free(&d);
}

/* One operation that takes something away must not make the puts beside it cost a frame each. */
static void a_remove_beside_many_puts_needs_no_more_frames_than_they_do(void **state)
{
	enum { PUTS = 4000, BIG_FRAME = 512 * 1024 };
	static char key[PUTS][12], long_key[12][700], value[850];
	static struct art_op op[PUTS];
	struct dict d;

	(void)state;
	dict_new(&d, 0);
	for (unsigned i = 0; i < PUTS; i++) {
		size_t n = (size_t)snprintf(key[i], sizeof(key[i]), "k/%u", i);
		op[i] = (struct art_op){.type = i ? ART_PUT : ART_REMOVE,
		        .key = {key[i], n},
		        .value = {"v", i != 0}};
	}
	assert_int_equal(art_commit(d.a, op, PUTS, NULL), 0);
	dict_free(&d);

	dict_new(&d, BIG_FRAME);
	dict_close(&d);
	d.opt.cache_bytes = 16 * BIG_FRAME; /* the least that there can be */
	dict_open(&d);
	for (unsigned round = 0; round < 40; round++) {
		for (unsigned i = 0; i < 12; i++) {
			size_t n = 40 + (round * 12 + i) * 97 % 600;
			memset(long_key[i], 'a' + (int)(round + i) % 26, n);
			snprintf(long_key[i], 9, "%08u", round * 12 + i);
			op[i] = (struct art_op){.type = i ? ART_PUT : ART_REMOVE,
			        .key = {long_key[i], n},
			        .value = {value, i ? sizeof(value) : 0}};
		}
		assert_int_equal(art_commit(d.a, op, 12, NULL), 0);
	}
	dict_free(&d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(values_of_every_home_come_back_also_after_reopening),
	        cmocka_unit_test(values_move_home_as_they_grow_and_shrink),
	        cmocka_unit_test(guards_refuse_the_whole_transaction),
	        cmocka_unit_test(bad_operations_are_refused_by_name),
	        cmocka_unit_test(a_key_may_be_a_prefix_of_another),
	        cmocka_unit_test(a_cursor_rolls_up_at_the_delimiter_and_resumes_behind_a_name),
	        cmocka_unit_test(a_cursor_gives_what_stands_exactly_once_while_others_come_and_go),
	        cmocka_unit_test(read_only_replays_but_changes_nothing),
	        cmocka_unit_test(deleting_nine_in_ten_merges_frames),
	        cmocka_unit_test(threads_read_their_own_writes_beside_checkpoints),
	        cmocka_unit_test(a_dictionary_larger_than_its_cache_works),
	        cmocka_unit_test(readers_never_see_that_the_cache_is_full_of_dirty_frames),
	        cmocka_unit_test(a_remove_beside_many_puts_needs_no_more_frames_than_they_do),
	        cmocka_unit_test(readers_never_see_a_value_under_a_name_that_it_did_not_have),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
