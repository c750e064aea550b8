/*
 * graft_test.c - a directory is renamed by relinking one subtree, however much hangs below it.
 */
#include "fixture.h"

struct cost {
	uint64_t frames, log_bytes;
};

static void fill(struct dict *d, const char *directory, unsigned n)
{
	struct art_op op[1000];
	char key[1000][64];

	for (unsigned i = 0; i < n;) {
		unsigned batch = 0;
		for (; batch < 1000 && i < n; batch++, i++) {
			/* Spread over subdirectories, in an order that is not sorted. */
			unsigned long long x = i * 2654435761ULL % n;
			snprintf(key[batch], sizeof(key[0]), "%s%03llu/%06llu", directory, x % 1000,
			        x);
			op[batch] = (struct art_op){.type = ART_PUT,
			        .key = text(key[batch]),
			        .value = text("some bytes that make a value")};
		}
		assert_int_equal(art_commit(d->a, op, batch, NULL), 0);
	}
}

/* What a rename of this directory costs, right after a checkpoint, when every frame is clean. */
static struct cost rename_cost(struct dict *d, const char *from, const char *to)
{
	struct art_stat before, after;

	assert_int_equal(art_checkpoint(d->a), 0);
	art_stat(d->a, &before);
	assert_int_equal(graft(d, from, to, false), 0);
	art_stat(d->a, &after);
	return (struct cost){
	        after.frames_dirtied - before.frames_dirtied, after.wal.end - before.wal.end};
}

static void renaming_costs_the_same_for_one_thousand_and_a_million_descendants(void **state)
{
	static const unsigned sizes[] = {1, 1000, 1000000};
	enum { FRAMES_MAX = 8 }; /* both ends of the path, the moved root, and a split */
	struct dict d;
	struct cost cost[3];

	(void)state;
	dict_new(&d, STORE_FRAME_DEFAULT);
	d.opt.cache_bytes = 512 << 20;
	dict_reopen(&d);
	for (unsigned i = 0; i < 3; i++) {
		char from[32], to[32], key[64];
		snprintf(from, sizeof(from), "old/%u/", i);
		snprintf(to, sizeof(to), "new/%u/", i);
		fill(&d, from, sizes[i]);
		cost[i] = rename_cost(&d, from, to);
		print_message(
		        "# rename of %u descendants: %llu frames dirtied, %llu bytes of log\n",
		        sizes[i], (unsigned long long)cost[i].frames,
		        (unsigned long long)cost[i].log_bytes);
		snprintf(key, sizeof(key), "%s000/000000", to);
		expect(&d, key, "some bytes that make a value");
		snprintf(key, sizeof(key), "%s000/000000", from);
		expect(&d, key, NULL);
		/* And back, where the frames are as the first move left them. */
		struct cost back = rename_cost(&d, to, from);
		assert_true(back.frames <= FRAMES_MAX);
	}
	for (unsigned i = 0; i < 3; i++) {
		assert_true(cost[i].frames <= FRAMES_MAX);
		assert_int_equal(cost[i].log_bytes, cost[0].log_bytes);
	}
	dict_free(&d);
}

static void graft_needs_a_source_and_a_free_target(void **state)
{
	struct dict d;

	(void)state;
	dict_new(&d, STORE_FRAME_MIN);
	put(&d, "a/", "dir");
	put(&d, "a/x", "1");
	put(&d, "b/", "dir");
	put(&d, "c/", "dir");
	put(&d, "c/y", "2");
	assert_int_equal(graft(&d, "nothing/", "z/", false), -ENOENT);
	assert_int_equal(graft(&d, "a/", "a/b/", false), -EINVAL);
	assert_int_equal(graft(&d, "a/", "a/", false), -EINVAL);
	assert_int_equal(graft(&d, "a/", "b/", false), -EEXIST);
	assert_int_equal(graft(&d, "a/", "c/", true), -EEXIST);
	assert_int_equal(graft(&d, "a/", "b/", true), 0);
	expect(&d, "b/x", "1");
	expect(&d, "a/", NULL);
	dict_reopen(&d);
	expect(&d, "b/x", "1");
	expect(&d, "c/y", "2");
	dict_free(&d);
}

static void exchange_swaps_two_directories(void **state)
{
	struct dict d;
	struct art_op op = {.type = ART_EXCHANGE, .key = text("a/"), .to = text("b/long/")};

	(void)state;
	dict_new(&d, STORE_FRAME_MIN);
	put(&d, "a/", "A");
	put(&d, "a/1", "one");
	put(&d, "b/long/", "B");
	put(&d, "b/long/2", "two");
	assert_int_equal(art_commit(d.a, &op, 1, NULL), 0);
	expect(&d, "a/", "B");
	expect(&d, "a/2", "two");
	expect(&d, "b/long/", "A");
	expect(&d, "b/long/1", "one");
	expect(&d, "a/1", NULL);
	op.to = text("nothing/");
	assert_int_equal(art_commit(d.a, &op, 1, NULL), -ENOENT);
	dict_free(&d);
}

static void a_batch_may_change_what_it_has_just_moved(void **state)
{
	struct dict d;
	struct art_op op[] = {
	        {.type = ART_GRAFT, .key = text("a/"), .to = text("b/")},
	        {.type = ART_PUT, .key = text("b/"), .value = text("new record")},
	        {.type = ART_REMOVE, .key = text("b/deep/x")},
	};

	(void)state;
	dict_new(&d, STORE_FRAME_MIN);
	put(&d, "a/", "old record");
	put(&d, "a/deep/x", "x");
	put(&d, "a/deep/y", "y");
	assert_int_equal(art_commit(d.a, op, 3, NULL), 0);
	expect(&d, "b/", "new record");
	expect(&d, "b/deep/x", NULL);
	expect(&d, "b/deep/y", "y");
	dict_free(&d);
}

static struct art_bytes long_key(char *buf, char fill, size_t bytes, const char *end)
{
	memset(buf, fill, bytes);
	memcpy(buf + bytes, end, strlen(end));
	return (struct art_bytes){buf, bytes + strlen(end)};
}

/* A cut takes away the line of frames that a long key hangs on; what is put in its place must find frames
 * set aside for a whole new line. */
static void very_long_prefixes_are_exchanged_and_replaced(void **state)
{
	enum { LONG = 60000 };
	static char a[65536], b[65536], c[65536];
	struct dict d;

	(void)state;
	for (uint32_t slot = STORE_FRAME_MIN; slot <= STORE_FRAME_DEFAULT; slot *= 4) {
		dict_new(&d, slot);
		struct art_op op[2] = {
		        {.type = ART_PUT,
		                .key = long_key(a, 'x', LONG, "/1"),
		                .value = text("one")},
		        {.type = ART_PUT,
		                .key = long_key(b, 'y', LONG, "/2"),
		                .value = text("two")},
		};
		assert_int_equal(art_commit(d.a, op, 2, NULL), 0);
		for (int i = 0; i < 4; i++) {
			struct art_op swap = {
			        .type = ART_EXCHANGE, .key = {a, LONG}, .to = {b, LONG}};
			assert_int_equal(art_commit(d.a, &swap, 1, NULL), 0);
			assert_int_equal(art_check(d.a, print_line, NULL), 0);
		}
		assert_int_equal(art_get(d.a, op[0].key, 0, NULL, 0, NULL), 0);
		op[0].type = ART_REMOVE;
		op[1].key = long_key(c, 'x', LONG, "/3");
		assert_int_equal(art_commit(d.a, op, 2, NULL), 0);
		assert_int_equal(art_get(d.a, op[0].key, 0, NULL, 0, NULL), -ENOENT);
		assert_int_equal(art_get(d.a, op[1].key, 0, NULL, 0, NULL), 0);
		dict_reopen(&d);
		assert_int_equal(art_get(d.a, op[1].key, 0, NULL, 0, NULL), 0);
		dict_free(&d);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(
	                renaming_costs_the_same_for_one_thousand_and_a_million_descendants),
	        cmocka_unit_test(graft_needs_a_source_and_a_free_target),
	        cmocka_unit_test(exchange_swaps_two_directories),
	        cmocka_unit_test(a_batch_may_change_what_it_has_just_moved),
	        cmocka_unit_test(very_long_prefixes_are_exchanged_and_replaced),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
