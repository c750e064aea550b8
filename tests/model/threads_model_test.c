/*
 * threads_model_test.c - the model test on a real disk, with threads beside each other.
 *
 *   thread N ─► "N/..."    transactions, moves among them, on the dictionary and on its own model;
 *                          compared after each
 *            ─► "S/N/..."  every other key stands all the time and is overwritten, the rest come and
 *                          go: what other threads hold against their listings
 *            ─► other threads' ranges: a value is whole and was written by the range's owner (in
 *                          "S/" for that very key); a listing is ordered, holds nothing twice, and
 *                          misses nothing that stands
 *
 * Checkpoints run in the background and come from the threads, and the cache is far smaller than
 * the dictionary, so frames are evicted all the time. OPS= says how many operations each world gets
 * in all (otherwise it runs for a second or two); the threads share them. SEED= chooses what the
 * threads do, not how they interleave.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <ftw.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#include "store/io.h"
#include "tests/harness/art_compare.h"
#include "tests/harness/seed.h"
#include "tests/harness/workload.h"

enum {
	KIB = 1024,
	MIB = 1024 * 1024,
	THREADS_MAX = 4,
	STANDING = 400, /* numbers below "S/N/"; the even ones stand */
	STAMP_BYTES = 16,
	LISTED_MAX = 300,
	VALUE_MAX = 200 * 1000,
	OPEN_FILES = 16,
};

struct world {
	uint32_t frame_bytes;
	unsigned threads;
	size_t cache_bytes;
};

struct test {
	struct world world;
	char dir[64];
	struct io *io;
	struct art *a;
	uint64_t ops_each; /* 0: until the time is over */
	double until;
	atomic_bool wrong;
};

struct worker {
	struct test *t;
	unsigned number;
	struct rng rng;
	struct model *m;
	struct workload w;
	char prefix[16];
	uint8_t *buf;
	uint64_t op;
};

static bool say_wrong(struct worker *w, const char *what)
{
	if (!atomic_exchange(&w->t->wrong, true))
		printf("# thread %u, op %" PRIu64 ", frames of %u, %u threads: %s; replay: %s\n",
		        w->number, w->op, w->t->world.frame_bytes, w->t->world.threads, what,
		        seed_replay());
	return false;
}

/* ---- values that say whose they are ---------------------------------------------------- */

static uint64_t sum_of(const uint8_t *data, size_t bytes)
{
	uint64_t sum = 0xcbf29ce484222325u;
	for (size_t i = 0; i < bytes; i++)
		sum = (sum ^ data[i]) * 0x100000001b3u;
	return sum;
}

static void stamp(uint8_t *value, size_t bytes, uint64_t owner)
{
	if (bytes < STAMP_BYTES) {
		memset(value, (int)owner, bytes);
		return;
	}
	const uint64_t sum = sum_of(value + STAMP_BYTES, bytes - STAMP_BYTES) ^ owner;
	memcpy(value, &owner, sizeof(owner));
	memcpy(value + sizeof(owner), &sum, sizeof(sum));
}

static bool is_stamped(const uint8_t *value, size_t bytes, uint64_t owner)
{
	uint64_t head[2];
	if (bytes >= STAMP_BYTES) {
		memcpy(head, value, sizeof(head));
		return head[0] == owner &&
		       head[1] == (sum_of(value + STAMP_BYTES, bytes - STAMP_BYTES) ^ owner);
	}
	for (size_t i = 0; i < bytes; i++)
		if (value[i] != owner)
			return false;
	return true;
}

/* ---- the thread's own range ------------------------------------------------------------ */

static bool commit(struct worker *w)
{
	struct workload_txn t;
	bool same = true;

	workload_next(&w->w, w->m, &t);
	for (unsigned i = 0; i < t.n; i++)
		if (t.op[i].type == ART_PUT)
			stamp((uint8_t *)t.op[i].value.data, t.op[i].value.bytes, w->number);
	const int wanted = model_commit(w->m, t.op, t.n);
	const int got = art_commit(w->t->a, t.op, t.n, NULL);
	if (got != wanted) {
		compare_say("art_commit", t.op[0].key, got, wanted);
		same = say_wrong(w, "answer");
	}
	for (unsigned i = 0; same && i < t.n; i++)
		if (t.op[i].key.bytes && !compare_get(w->t->a, w->m, t.op[i].key))
			same = say_wrong(w, "value");
	workload_end(&t);
	return same;
}

static bool look(struct worker *w)
{
	struct workload_bytes key = workload_near(&w->w, w->m);
	const struct art_bytes k = {key.data, key.bytes};
	const int delimiter = rng_one_in(&w->rng, 3) ? ART_NO_DELIMITER : '/';
	/* A shorter prefix would reach into other ranges. */
	const bool own = model_begins(k, w->w.prefix);
	bool same = !own || (compare_get(w->t->a, w->m, k) && compare_longest(w->t->a, w->m, k) &&
	                            compare_scan(w->t->a, w->m, k, delimiter, NULL, 50));

	free(key.data);
	return same || say_wrong(w, "reading");
}

static bool own_range_is_as_the_model(struct worker *w)
{
	if (!compare_scan(w->t->a, w->m, w->w.prefix, ART_NO_DELIMITER, NULL, SIZE_MAX))
		return say_wrong(w, "the whole range");
	for (size_t i = 0; i < model_keys(w->m); i++)
		if (!compare_get(w->t->a, w->m, model_key(w->m, i)))
			return say_wrong(w, "a value of the whole range");
	return true;
}

/* ---- keys that stand --------------------------------------------------------------------- */

static uint64_t owner_of_standing(unsigned thread, unsigned i)
{
	return (uint64_t)(thread + 1) << 32 | i;
}

static bool touch_standing(struct worker *w, unsigned i, bool remove_it)
{
	char key[32];
	uint8_t value[200];
	const size_t bytes = rng_between(&w->rng, STAMP_BYTES, sizeof(value));
	const int n = snprintf(key, sizeof(key), "S/%u/%05u", w->number, i);

	rng_fill(&w->rng, value, bytes);
	stamp(value, bytes, owner_of_standing(w->number, i));
	const struct art_op op = {.type = remove_it ? ART_REMOVE : ART_PUT,
	        .key = {key, (size_t)n},
	        .value = {value, remove_it ? 0 : bytes}};
	return !art_commit(w->t->a, &op, 1, NULL) || say_wrong(w, "a standing key is refused");
}

static bool change_standing(struct worker *w)
{
	const unsigned i = (unsigned)rng_below(&w->rng, STANDING);
	return touch_standing(w, i, i % 2 && rng_one_in(&w->rng, 2));
}

/* ---- other threads' ranges ----------------------------------------------------------------- */

static bool list_standing(struct worker *w, unsigned thread)
{
	char prefix[16];
	const int n = snprintf(prefix, sizeof(prefix), "S/%u/", thread);
	struct art_cursor *c;
	struct art_entry e;
	unsigned next = 0; /* the first number not yet passed */
	int more = art_cursor_open(w->t->a, (struct art_bytes){prefix, (size_t)n}, '/', &c);

	if (more)
		return say_wrong(w, "art_cursor_open");
	while ((more = art_cursor_next(c, &e)) > 0) {
		char text[8] = "";
		if (e.name.bytes != 5 || !e.value.data)
			break;
		memcpy(text, e.name.data, 5);
		const unsigned i = (unsigned)strtoul(text, NULL, 10);
		/* In order, nothing twice; what is left out is at most one, and odd. */
		if (i != next && (next % 2 == 0 || i != next + 1))
			break;
		if (!is_stamped(e.value.data, e.value.bytes, owner_of_standing(thread, i)))
			break;
		next = i + 1;
	}
	art_cursor_close(c);
	if (more || next < STANDING - 1)
		return say_wrong(w, "a listing of what stands");
	return true;
}

static bool list_others(struct worker *w, unsigned thread)
{
	const int delimiter = rng_one_in(&w->rng, 2) ? ART_NO_DELIMITER : '/';
	const struct art_bytes prefix = {(char[]){(char)('0' + thread), '/'}, 2};
	struct workload_bytes last = {NULL, 0};
	struct art_cursor *c;
	struct art_entry e;
	bool right = true, first = true;
	int more = art_cursor_open(w->t->a, prefix, delimiter, &c);

	for (unsigned i = 0; !more && right && i < LISTED_MAX; i++) {
		more = art_cursor_next(c, &e);
		if (more <= 0)
			break;
		more = 0;
		const struct art_bytes before = {last.data, last.bytes};
		right = (first || model_order(before, e.name) < 0) &&
		        (!e.present || !e.value.data ||
		                is_stamped(e.value.data, e.value.bytes, thread));
		first = false;
		last.data = pages_memory(last.data, e.name.bytes + 1);
		last.bytes = e.name.bytes;
		memcpy(last.data, e.name.data, e.name.bytes);
	}
	if (right && last.bytes) { /* the value of the last one, wherever it lives */
		size_t bytes = 0;
		uint8_t *key = pages_memory(NULL, prefix.bytes + last.bytes);
		memcpy(key, prefix.data, prefix.bytes);
		memcpy(key + prefix.bytes, last.data, last.bytes);
		const int err = art_get(w->t->a, (struct art_bytes){key, prefix.bytes + last.bytes},
		        0, w->buf, VALUE_MAX, &bytes);
		right = err ? err == -ENOENT : is_stamped(w->buf, bytes, thread);
		free(key);
	}
	free(last.data);
	art_cursor_close(c);
	return (right && more >= 0) || say_wrong(w, "what another thread wrote");
}

/* ---- all of it ----------------------------------------------------------------------------- */

static bool one_op(struct worker *w)
{
	const unsigned other = (unsigned)rng_below(&w->rng, w->t->world.threads);

	switch (rng_below(&w->rng, 1000)) {
	case 0:
		return !art_checkpoint(w->t->a) || say_wrong(w, "checkpoint");
	case 1:
		return !art_sync(w->t->a, art_lsn(w->t->a)) || say_wrong(w, "sync");
	case 2:
		return own_range_is_as_the_model(w);
	case 3 ... 12:
		return list_standing(w, other);
	case 13 ... 40:
		return list_others(w, other);
	case 41 ... 250:
		return change_standing(w);
	case 251 ... 500:
		return look(w);
	default:
		return commit(w);
	}
}

static void *work(void *arg)
{
	struct worker *w = arg;
	const struct test *t = w->t;

	while (!atomic_load(&t->wrong) &&
	        (t->ops_each ? w->op < t->ops_each : seed_seconds() < t->until) && one_op(w))
		w->op++;
	return NULL;
}

static void open_art(struct test *t)
{
	const struct art_options opt = {.cache_bytes = t->world.cache_bytes,
	        .checkpoint_bytes = 4 * MIB,
	        .background = true};
	assert_int_equal(art_open(t->io, &opt, &t->a, NULL), 0);
}

static int remove_visit(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)st, (void)type, (void)at;
	return remove(path);
}

static void compare_everything(struct test *t, struct worker *workers)
{
	uint64_t keys = 0;
	struct art_stat stat;
	char line[] = "S/";
	struct art_cursor *c;
	struct art_entry e;

	for (unsigned i = 0; i < t->world.threads && !atomic_load(&t->wrong); i++) {
		own_range_is_as_the_model(&workers[i]);
		list_standing(&workers[i], i);
		keys += model_keys(workers[i].m);
	}
	assert_false(atomic_load(&t->wrong));
	assert_int_equal(
	        art_cursor_open(t->a, (struct art_bytes){line, 2}, ART_NO_DELIMITER, &c), 0);
	while (art_cursor_next(c, &e) > 0)
		keys++;
	art_cursor_close(c);
	art_stat(t->a, &stat);
	assert_int_equal(stat.keys, keys);
	assert_true(compare_check(t->a));
}

static void run_world(const struct world *world, uint64_t seed)
{
	struct test t = {.world = *world, .dir = "/tmp/threads-model.XXXXXX"};
	struct worker workers[THREADS_MAX];
	pthread_t id[THREADS_MAX];
	struct art_stat stat;
	uint64_t ops = 0;

	assert_non_null(mkdtemp(t.dir));
	assert_int_equal(io_open(t.dir, IO_AUTO, true, &t.io, NULL), 0);
	assert_int_equal(
	        art_format(t.io, &(struct art_format){.frame_bytes = world->frame_bytes}, NULL), 0);
	open_art(&t);
	for (unsigned i = 0; i < world->threads; i++) {
		struct worker *w = &workers[i];
		*w = (struct worker){.t = &t,
		        .number = i,
		        .rng = rng_of(seed * THREADS_MAX + i),
		        .m = model_new(),
		        .buf = pages_memory(NULL, VALUE_MAX)};
		snprintf(w->prefix, sizeof(w->prefix), "%u/", i);
		w->w = (struct workload){.rng = &w->rng,
		        .prefix = {w->prefix, strlen(w->prefix)},
		        .key_bytes_max = 1000,
		        .value_bytes_max = VALUE_MAX,
		        .keys_wanted = 4000,
		        .refusals = true};
		for (unsigned k = 0; k < STANDING; k += 2)
			touch_standing(w, k, false);
	}
	t.ops_each = seed_env("OPS", 0) / world->threads;
	t.until = seed_seconds() + 1.5;
	for (unsigned i = 0; i < world->threads; i++)
		assert_int_equal(pthread_create(&id[i], NULL, work, &workers[i]), 0);
	for (unsigned i = 0; i < world->threads; i++) {
		pthread_join(id[i], NULL);
		ops += workers[i].op;
	}
	compare_everything(&t, workers);
	art_stat(t.a, &stat);
	assert_int_equal(art_close(t.a), 0);
	open_art(&t);
	compare_everything(&t, workers);
	assert_int_equal(art_close(t.a), 0);
	printf("# frames of %u, %u threads: %" PRIu64 " ops, %" PRIu64 " keys, %" PRIu64
	       " checkpoints, %" PRIu64 " evictions\n",
	        world->frame_bytes, world->threads, ops, stat.keys, stat.checkpoints,
	        stat.store.evictions);
	fflush(stdout);
	for (unsigned i = 0; i < world->threads; i++) {
		model_free(workers[i].m);
		free(workers[i].buf);
	}
	t.io->ops->destroy(t.io);
	nftw(t.dir, remove_visit, OPEN_FILES, FTW_DEPTH | FTW_PHYS);
}

#define WORLD(name, slot, n, cache)                                                                \
	static void name(void **state)                                                             \
	{                                                                                          \
		(void)state;                                                                       \
		run_world(&(struct world){slot, n, cache}, seed_get());                            \
	}

WORLD(frames_of_4k_one_thread, 4 * KIB, 1, 512 * KIB)
WORLD(frames_of_4k_four_threads, 4 * KIB, 4, 1 * MIB)
WORLD(frames_of_64k_one_thread, 64 * KIB, 1, 4 * MIB)
WORLD(frames_of_64k_four_threads, 64 * KIB, 4, 4 * MIB)
WORLD(frames_of_512k_one_thread, 512 * KIB, 1, 32 * MIB)
WORLD(frames_of_512k_four_threads, 512 * KIB, 4, 32 * MIB)

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(frames_of_4k_one_thread),
	        cmocka_unit_test(frames_of_4k_four_threads),
	        cmocka_unit_test(frames_of_64k_one_thread),
	        cmocka_unit_test(frames_of_64k_four_threads),
	        cmocka_unit_test(frames_of_512k_one_thread),
	        cmocka_unit_test(frames_of_512k_four_threads),
	};
	return cmocka_run_group_tests_name("threads model", tests, NULL, NULL);
}
