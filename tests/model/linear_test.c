/*
 * linear_test.c - operations on single keys are linearizable: judged from what threads saw.
 *
 *   4 threads ─► get, put, remove, create (ART_ABSENT), swap (ART_EQUALS) on few hot keys
 *   1 thread  ─► checkpoints
 *   1 thread  ─► fills another range, larger than the cache, and moves it to and fro
 *
 * Each call takes a number from one counter before and one after. In rounds: between two rounds no
 * call is under way, so that what the checker must search stays small. linear.h has the checker;
 * its own tests are the first ones here.
 *
 * ROUNDS= says how many rounds (otherwise they share about two seconds), SEED= what the threads do.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <ftw.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "art/art.h"
#include "store/io.h"
#include "tests/harness/linear.h"
#include "tests/harness/rng.h"
#include "tests/harness/seed.h"

/* ---- the checker ----------------------------------------------------------------------- */

#define GET(v, b, e)                                                                               \
	{                                                                                          \
		LINEAR_GET, true, v, 0, b, e                                                       \
	}
#define PUT(v, b, e)                                                                               \
	{                                                                                          \
		LINEAR_PUT, true, v, 0, b, e                                                       \
	}
#define REMOVE(b, e)                                                                               \
	{                                                                                          \
		LINEAR_REMOVE, true, 0, 0, b, e                                                    \
	}
#define CREATE(ok, v, b, e)                                                                        \
	{                                                                                          \
		LINEAR_CREATE, ok, v, 0, b, e                                                      \
	}
#define SWAP(ok, from, v, b, e)                                                                    \
	{                                                                                          \
		LINEAR_SWAP, ok, v, from, b, e                                                     \
	}
#define CHECK(...)                                                                                 \
	linear_check((struct linear_call[]){__VA_ARGS__},                                          \
	        sizeof((struct linear_call[]){__VA_ARGS__}) / sizeof(struct linear_call))

static void histories_that_are_linearizable(void **state)
{
	(void)state;
	assert_int_equal(linear_check(NULL, 0), LINEAR_YES);
	assert_int_equal(
	        CHECK(GET(0, 1, 2), PUT(7, 3, 4), GET(7, 5, 6), REMOVE(7, 8), GET(0, 9, 10)),
	        LINEAR_YES);
	/* A read beside a write may see either. */
	assert_int_equal(CHECK(PUT(1, 1, 2), PUT(2, 3, 6), GET(1, 4, 5)), LINEAR_YES);
	assert_int_equal(CHECK(PUT(1, 1, 2), PUT(2, 3, 6), GET(2, 4, 5)), LINEAR_YES);
	/* Two writes side by side may end in either, and what follows says in which. */
	assert_int_equal(CHECK(PUT(1, 1, 4), PUT(2, 2, 3), GET(1, 5, 6)), LINEAR_YES);
	assert_int_equal(CHECK(PUT(1, 1, 4), PUT(2, 2, 3), GET(2, 5, 6)), LINEAR_YES);
	/* A swap that sees a write which is still under way. */
	assert_int_equal(CHECK(PUT(1, 1, 6), SWAP(true, 1, 2, 2, 3), GET(2, 4, 5), GET(2, 7, 8)),
	        LINEAR_YES);
	assert_int_equal(
	        CHECK(CREATE(true, 1, 1, 4), CREATE(false, 2, 2, 3), GET(1, 5, 6)), LINEAR_YES);
}

static void histories_that_are_not(void **state)
{
	(void)state;
	assert_int_equal(CHECK(GET(1, 1, 2)), LINEAR_NO);
	/* A stale read, after the write has returned. */
	assert_int_equal(CHECK(PUT(1, 1, 2), PUT(2, 3, 4), GET(1, 5, 6)), LINEAR_NO);
	/* New, then old, while the write is under way. */
	assert_int_equal(CHECK(PUT(1, 1, 2), PUT(2, 3, 8), GET(2, 4, 5), GET(1, 6, 7)), LINEAR_NO);
	/* A lost write. */
	assert_int_equal(CHECK(PUT(1, 1, 2), GET(0, 3, 4)), LINEAR_NO);
	/* Two swaps from the same value. */
	assert_int_equal(
	        CHECK(PUT(1, 1, 2), SWAP(true, 1, 2, 3, 6), SWAP(true, 1, 3, 4, 5)), LINEAR_NO);
	/* Both were first. */
	assert_int_equal(CHECK(CREATE(true, 1, 1, 4), CREATE(true, 2, 2, 3)), LINEAR_NO);
	/* Refused, though nothing was ever there. */
	assert_int_equal(CHECK(CREATE(false, 1, 1, 2)), LINEAR_NO);
	/* Two readers disagree on the order of two writes. */
	assert_int_equal(
	        CHECK(PUT(1, 1, 10), PUT(2, 2, 11), GET(1, 3, 4), GET(2, 5, 6), GET(1, 7, 8)),
	        LINEAR_NO);
	/* One state of the piece before suits the first read, another one the second. */
	assert_int_equal(CHECK(PUT(1, 1, 4), PUT(2, 2, 3), GET(1, 5, 6), GET(2, 7, 8)), LINEAR_NO);
}

static void a_piece_too_long_to_search_is_not_called_right(void **state)
{
	struct linear_call calls[LINEAR_CALLS_MAX + 1];

	(void)state;
	for (uint64_t i = 0; i <= LINEAR_CALLS_MAX; i++)
		calls[i] = (struct linear_call)PUT(1, 2 * i, 2 * i + 3);
	assert_int_equal(linear_check(calls, LINEAR_CALLS_MAX), LINEAR_YES);
	for (uint64_t i = 0; i <= LINEAR_CALLS_MAX; i++)
		calls[i] = (struct linear_call)PUT(1, 2 * i, 2 * i + 3);
	assert_int_equal(linear_check(calls, LINEAR_CALLS_MAX + 1), LINEAR_UNDECIDED);
}

/* ---- the dictionary -------------------------------------------------------------------- */

enum {
	KIB = 1024,
	THREADS = 4,
	KEYS = 3,
	CALLS_PER_ROUND = 12, /* of one thread; 4 x 12 calls on 3 keys: below LINEAR_CALLS_MAX */
	CALLS_MAX = THREADS * CALLS_PER_ROUND,
	FILL_KEYS = 4000,
	OPEN_FILES = 16,
};

struct test {
	struct art *a;
	pthread_barrier_t round_begins, round_ends;
	atomic_uint_fast64_t moment;
	atomic_uint_fast32_t value; /* every value is written once */
	atomic_bool end;
	atomic_int error;
	uint32_t last[KEYS]; /* what each key held when the round began */
};

struct worker {
	struct test *t;
	struct rng rng;
	uint32_t seen[KEYS]; /* what this thread saw last: worth a swap */
	unsigned n;
	struct {
		unsigned key;
		struct linear_call call;
	} calls[CALLS_PER_ROUND];
};

static void must(struct test *t, int err)
{
	int none = 0;
	if (err)
		atomic_compare_exchange_strong(&t->error, &none, err);
}

/* Small for some keys, in an arena or in a blob of its own for others. */
static struct art_bytes value_of(uint8_t *buf, unsigned key, const uint32_t *value)
{
	static const size_t bytes[KEYS] = {4, 900, 40000};
	for (size_t at = 0; at < bytes[key]; at += sizeof(*value))
		memcpy(buf + at, value, sizeof(*value));
	return (struct art_bytes){buf, bytes[key]};
}

static void get(struct test *t, struct art_bytes key, uint8_t *buf, uint32_t *value)
{
	size_t bytes = 0;
	const int err = art_get(t->a, key, 0, buf, 40000, &bytes);

	*value = LINEAR_NONE;
	if (!err)
		memcpy(value, buf, sizeof(*value));
	for (size_t at = 0; !err && at < bytes; at += sizeof(*value))
		if (memcmp(buf + at, value, sizeof(*value)))
			must(t, -EUCLEAN); /* two values in one */
	must(t, err == -ENOENT ? 0 : err);
}

static void one_call(struct worker *w)
{
	static const char *const names[KEYS] = {"hot/a", "hot/ab", "hot/b"};
	static _Thread_local uint8_t buf[40000], expect[40000];
	struct test *t = w->t;
	const unsigned k = (unsigned)rng_below(&w->rng, KEYS);
	struct linear_call *c = &w->calls[w->n].call;
	struct art_op op = {.type = ART_PUT, .key = {names[k], strlen(names[k])}};
	int err = 0;

	*c = (struct linear_call){.type = (enum linear_type)rng_below(&w->rng, LINEAR_SWAP + 1),
	        .value = (uint32_t)atomic_fetch_add(&t->value, 1) + 1,
	        .expect = w->seen[k]};
	if (c->type == LINEAR_SWAP && c->expect == LINEAR_NONE)
		c->type = LINEAR_GET;
	if (c->type == LINEAR_REMOVE)
		op.type = ART_REMOVE;
	else
		op.value = value_of(buf, k, &c->value);
	if (c->type == LINEAR_CREATE)
		op.guard = ART_ABSENT;
	if (c->type == LINEAR_SWAP) {
		op.guard = ART_EQUALS;
		op.expect = value_of(expect, k, &c->expect);
	}
	c->begin = atomic_fetch_add(&t->moment, 1);
	if (c->type == LINEAR_GET)
		get(t, op.key, buf, &c->value);
	else
		err = art_commit(t->a, &op, 1, NULL);
	c->end = atomic_fetch_add(&t->moment, 1);
	c->done = !err;
	if ((c->type == LINEAR_CREATE && err == -EEXIST) ||
	        (c->type == LINEAR_SWAP && err == -ESTALE))
		err = 0;
	must(t, err);
	if (c->type != LINEAR_REMOVE && c->done)
		w->seen[k] = c->value;
	w->calls[w->n++].key = k;
}

static void *work(void *arg)
{
	struct worker *w = arg;

	for (;;) {
		pthread_barrier_wait(&w->t->round_begins);
		if (atomic_load(&w->t->end))
			return NULL;
		for (w->n = 0; w->n < CALLS_PER_ROUND;)
			one_call(w);
		pthread_barrier_wait(&w->t->round_ends);
	}
}

static void *take_checkpoints(void *arg)
{
	struct test *t = arg;
	while (!atomic_load(&t->end)) {
		must(t, art_checkpoint(t->a));
		usleep(1000);
	}
	return NULL;
}

static void *fill_and_move(void *arg)
{
	static const uint8_t value[300] = {1};
	struct test *t = arg;

	for (unsigned i = 0; !atomic_load(&t->end); i++) {
		char key[32];
		const int n = snprintf(key, sizeof(key), "cold/%05u", i * 7919 % FILL_KEYS);
		struct art_op op = {
		        .type = ART_PUT, .key = {key, (size_t)n}, .value = {value, sizeof(value)}};
		must(t, art_commit(t->a, &op, 1, NULL));
		if (i % 50)
			continue;
		op = (struct art_op){.type = ART_GRAFT, .key = {"cold/", 5}, .to = {"hot/aa/", 7}};
		must(t, art_commit(t->a, &op, 1, NULL));
		op = (struct art_op){.type = ART_GRAFT, .key = {"hot/aa/", 7}, .to = {"cold/", 5}};
		must(t, art_commit(t->a, &op, 1, NULL));
	}
	return NULL;
}

/* The history of one key in one round, begun with what it held. */
static enum linear_answer judge(struct test *t, const struct worker *w, unsigned key)
{
	struct linear_call calls[CALLS_MAX + 2];
	size_t n = 0;

	if (t->last[key] != LINEAR_NONE)
		calls[n++] = (struct linear_call)PUT(t->last[key], 0, 1);
	for (unsigned i = 0; i < THREADS; i++)
		for (unsigned c = 0; c < CALLS_PER_ROUND; c++)
			if (w[i].calls[c].key == key)
				calls[n++] = w[i].calls[c].call;
	/* What it holds now, read when nobody was writing, ends this round and begins the next. */
	static const char *const names[KEYS] = {"hot/a", "hot/ab", "hot/b"};
	static uint8_t buf[40000];
	struct linear_call *last = &calls[n++];
	*last = (struct linear_call)GET(0, atomic_fetch_add(&t->moment, 1), 0);
	get(t, (struct art_bytes){names[key], strlen(names[key])}, buf, &last->value);
	last->end = atomic_fetch_add(&t->moment, 1);
	t->last[key] = last->value;
	return linear_check(calls, n);
}

static int remove_visit(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)st, (void)type, (void)at;
	return remove(path);
}

static void single_keys_are_linearizable(void **state)
{
	char dir[] = "/tmp/linear.XXXXXX";
	struct test t = {.moment = 2};
	struct worker w[THREADS];
	pthread_t id[THREADS + 2];
	struct art_stat stat;
	struct io *io;
	const uint64_t seed = seed_get(), rounds = seed_env("ROUNDS", 0);
	const double until = seed_seconds() + 2;
	uint64_t round = 0;
	enum linear_answer answer = LINEAR_YES;

	(void)state;
	assert_non_null(mkdtemp(dir));
	assert_int_equal(io_open(dir, IO_AUTO, true, &io, NULL), 0);
	assert_int_equal(art_format(io, &(struct art_format){.frame_bytes = 4 * KIB}, NULL), 0);
	assert_int_equal(art_open(io,
	                         &(struct art_options){.cache_bytes = 256 * KIB,
	                                 .checkpoint_bytes = 1024 * KIB,
	                                 .background = true},
	                         &t.a, NULL),
	        0);
	pthread_barrier_init(&t.round_begins, NULL, THREADS + 1);
	pthread_barrier_init(&t.round_ends, NULL, THREADS + 1);
	for (unsigned i = 0; i < THREADS; i++) {
		w[i] = (struct worker){.t = &t, .rng = rng_of(seed * THREADS + i)};
		assert_int_equal(pthread_create(&id[i], NULL, work, &w[i]), 0);
	}
	assert_int_equal(pthread_create(&id[THREADS], NULL, take_checkpoints, &t), 0);
	assert_int_equal(pthread_create(&id[THREADS + 1], NULL, fill_and_move, &t), 0);
	while (answer == LINEAR_YES && !atomic_load(&t.error) &&
	        (rounds ? round < rounds : seed_seconds() < until)) {
		pthread_barrier_wait(&t.round_begins);
		pthread_barrier_wait(&t.round_ends);
		for (unsigned k = 0; k < KEYS && answer == LINEAR_YES; k++)
			answer = judge(&t, w, k);
		round++;
	}
	atomic_store(&t.end, true);
	pthread_barrier_wait(&t.round_begins);
	for (unsigned i = 0; i < THREADS + 2; i++)
		pthread_join(id[i], NULL);
	art_stat(t.a, &stat);
	printf("# %" PRIu64 " rounds of %d calls beside %" PRIu64 " checkpoints, %" PRIu64
	       " evictions\n",
	        round, CALLS_MAX, stat.checkpoints, stat.store.evictions);
	if (answer != LINEAR_YES)
		fail_msg("round %" PRIu64 " is %s; replay: %s", round,
		        answer == LINEAR_NO ? "not linearizable" : "undecided", seed_replay());
	assert_int_equal(atomic_load(&t.error), 0);
	assert_int_equal(art_close(t.a), 0);
	io->ops->destroy(io);
	pthread_barrier_destroy(&t.round_begins);
	pthread_barrier_destroy(&t.round_ends);
	nftw(dir, remove_visit, OPEN_FILES, FTW_DEPTH | FTW_PHYS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(histories_that_are_linearizable),
	        cmocka_unit_test(histories_that_are_not),
	        cmocka_unit_test(a_piece_too_long_to_search_is_not_called_right),
	        cmocka_unit_test(single_keys_are_linearizable),
	};
	return cmocka_run_group_tests_name("linear", tests, NULL, NULL);
}
