/*
 * fill_test.c - how full frames are, and how many of them a lookup passes, under every order of insertion.
 *
 * FILL_KEYS=1000000 takes as many keys; the figures are printed.
 */
#include "fixture.h"

#include "art/tree.h"
#include "tests/bench/data.h"
#include "tests/harness/rng.h"
#include "tests/harness/seed.h"

enum { VALUE_BYTES = 100, SAMPLES = 8, KEY_MAX = 128 };

enum kind { PATHS, WORDS, RANDOM };
static const char *const kind_name[] = {"paths", "words of one directory", "random keys"};

static size_t make_key(enum kind kind, uint8_t *key, uint32_t i)
{
	if (kind == PATHS)
		return data_key((char *)key, i, 0);
	if (kind == WORDS) {
		/* Pronounceable, of 4 to 10 letters, and all different. */
		static const char consonants[] = "bcdfghjklmnprstvwz", vowels[] = "aeiou";
		uint64_t x = data_mix(i);
		size_t n = (size_t)sprintf((char *)key, "words/");
		for (unsigned k = 0; k < 4 + x % 7; k++) {
			uint64_t r = data_mix(x + k / 2) >> 13;
			key[n++] = (uint8_t)(k % 2 ? vowels[r % 5] : consonants[r % 18]);
		}
		return n + (size_t)sprintf((char *)key + n, "%x", (unsigned)i);
	}
	for (uint32_t k = 0; k < 4; k++) {
		uint64_t r = data_mix(data_mix(i) + k);
		memcpy(key + 8 * k, &r, 8);
	}
	return 32;
}

struct fill {
	struct art *a;
	uint64_t live;
	unsigned frames;
};

static int add_frame(void *arg, enum store_kind kind, uint64_t id, uint64_t slot, uint32_t nslots)
{
	struct fill *s = arg;
	struct frame *f;

	(void)slot;
	(void)nslots;
	if (kind != STORE_TREE)
		return 0;
	assert_int_equal(store_frame_get(s->a->store, id, &f), 0);
	s->live += frame_live(f->data);
	s->frames++;
	store_frame_put(s->a->store, f);
	return 0;
}

static double fill_of(struct art *a)
{
	struct fill s = {.a = a};

	assert_int_equal(store_each_blob(a->store, add_frame, &s), 0);
	return (double)s.live / ((double)s.frames * a->frame_bytes);
}

static double frames_per_lookup(struct art *a, enum kind kind, uint32_t n)
{
	unsigned looks = 0, frames = 0;
	uint8_t key[KEY_MAX];

	pthread_mutex_lock(&a->commit_lock);
	for (uint32_t i = 0; i < n; i += 1 + n / 1000) {
		struct frame *f;
		struct walk w;
		assert_int_equal(store_frame_get(a->store, a->root, &f), 0);
		walk_start(&w, (struct art_bytes){key, make_key(kind, key, i)}, f);
		looks++;
		frames++;
		while (walk_down(&w) == STOP_LINK) {
			struct link l = *walk_link(&w);
			store_frame_put(a->store, w.frame);
			assert_int_equal(store_frame_get(a->store, link_id(&l), &f), 0);
			walk_enter(&w, f, l.entry);
			frames++;
		}
		store_frame_put(a->store, w.frame);
	}
	pthread_mutex_unlock(&a->commit_lock);
	return (double)frames / looks;
}

static int compare_keys(const void *x, const void *y, void *arg)
{
	enum kind kind = *(enum kind *)arg;
	uint8_t one[KEY_MAX], other[KEY_MAX];
	size_t m = make_key(kind, one, *(const uint32_t *)x);
	size_t n = make_key(kind, other, *(const uint32_t *)y);
	int order = memcmp(one, other, m < n ? m : n);

	return order ? order : (m > n) - (m < n);
}

static void put_key(struct art *a, enum kind kind, uint32_t i)
{
	uint8_t key[KEY_MAX], value[VALUE_BYTES];
	struct art_op op = {.type = ART_PUT,
	        .key = {key, make_key(kind, key, i)},
	        .value = {value, sizeof(value)}};

	data_value(value, sizeof(value), i);
	assert_int_equal(art_commit(a, &op, 1, NULL), 0);
}

/* Loads in this order; returns the mean of the fill while it grows, and at the end in *end. */
static double load(struct dict *d, uint32_t frame_bytes, enum kind kind, const uint32_t *order,
        uint32_t n, double *end)
{
	double sum = 0;
	unsigned samples = 0;

	dict_new(d, frame_bytes);
	if (n > 200000) {
		d->opt.cache_bytes = 512u << 20;
		dict_reopen(d);
	}
	for (uint32_t i = 0; i < n; i++) {
		put_key(d->a, kind, order[i]);
		if (i > n / 4 && i % (n / SAMPLES / 4) == 0) {
			sum += fill_of(d->a);
			samples++;
		}
	}
	*end = fill_of(d->a);
	return sum / samples;
}

static uint32_t keys(void)
{
	return (uint32_t)seed_env("FILL_KEYS", 30000);
}

static void random_order(enum kind kind, uint32_t frame_bytes, double frames_max)
{
	struct dict d;
	uint32_t n = keys(), *order = data_shuffled(n, seed_get());
	double end, mean = load(&d, frame_bytes, kind, order, n, &end);
	double frames = frames_per_lookup(d.a, kind, n);

	print_message("# %u %s at random, frames of %u: fill %.3f on the way, %.3f at the end; "
	              "%.2f frames per lookup\n",
	        n, kind_name[kind], frame_bytes, mean, end, frames);
	assert_true(mean >= 0.60);
	assert_true(frames <= frames_max);
	dict_free(&d);
	free(order);
}

static void paths_in_random_order_fill_frames(void **state)
{
	(void)state;
	random_order(PATHS, 16384, 5);
	random_order(PATHS, 65536, 4);
}

static void words_of_one_directory_in_random_order_fill_frames(void **state)
{
	(void)state;
	random_order(WORDS, 16384, 5);
	random_order(WORDS, 65536, 4);
}

static void random_keys_fill_frames(void **state)
{
	(void)state;
	random_order(RANDOM, 16384, 5);
	random_order(RANDOM, 65536, 4);
}

/* Frames cannot be nearly full here: a frame holds children of one node only, and where these have a fifth of a
 * frame each, as directories of 100 files have, four of them leave a fifth over. */
static void ascending_loads_fill_frames_too(void **state)
{
	(void)state;
	for (unsigned k = 0; k < 2 * 3; k++) {
		enum kind kind = (enum kind)(k / 2);
		struct dict d;
		uint32_t n = keys(), *order = data_shuffled(n, 1),
		         frame_bytes = k % 2 ? 65536 : 16384;
		double end;
		qsort_r(order, n, sizeof(*order), compare_keys, &kind);
		load(&d, frame_bytes, kind, order, n, &end);
		print_message(
		        "# %u %s ascending, frames of %u: fill %.3f; %.2f frames per lookup\n", n,
		        kind_name[kind], frame_bytes, end, frames_per_lookup(d.a, kind, n));
		assert_true(end >= 0.60);
		dict_free(&d);
		free(order);
	}
}

/* Only siblings merge; a node whose children have become few does not move down again, and its frame stays alone. */
static void frames_merge_while_nine_in_ten_keys_go(void **state)
{
	static const double least[] = {[PATHS] = 0.45, [WORDS] = 0.30, [RANDOM] = 0.20};

	(void)state;
	for (unsigned k = 0; k < 2 * 3; k++) {
		enum kind kind = (enum kind)(k / 2);
		struct dict d;
		uint32_t n = keys(), *order = data_shuffled(n, seed_get()),
		         frame_bytes = k % 2 ? 65536 : 16384;
		uint8_t key[KEY_MAX];
		double end;
		load(&d, frame_bytes, kind, order, n, &end);
		for (uint32_t i = 0; i < n - n / 10; i++) {
			struct art_op op = {
			        .type = ART_REMOVE, .key = {key, make_key(kind, key, order[i])}};
			assert_int_equal(art_commit(d.a, &op, 1, NULL), 0);
		}
		end = fill_of(d.a);
		print_message("# nine in ten of %u %s gone, frames of %u: fill %.3f\n", n,
		        kind_name[kind], frame_bytes, end);
		assert_true(end >= least[kind]);
		dict_free(&d);
		free(order);
	}
}

/* Orders in which splits free little each time: apply must not run out of the frames that reserve set aside. */
static void batches_at_right_edges_and_down_chains_get_by_with_what_was_set_aside(void **state)
{
	enum { BATCH = 300, ROUNDS = 60, KEY = 64 };
	static char key[BATCH][KEY];
	static uint8_t value[VALUE_BYTES];
	static struct art_op op[BATCH];
	struct rng r = rng_of(seed_get());

	(void)state;
	for (unsigned frame_bytes = 4096; frame_bytes <= 65536; frame_bytes *= 4) {
		struct dict d;
		dict_new(&d, frame_bytes);
		for (unsigned round = 0; round < ROUNDS; round++) {
			bool chain = round % 2;
			unsigned n = 1 + (unsigned)rng_below(&r, BATCH), bytes = 8 << round / 2 % 4;
			for (unsigned i = 0; i < n; i++) {
				/* Siblings from the last to the first, each at its right edge; or nodes
				 * one below the other, each with a small child beside the heavy one. */
				unsigned at = (n - 1 - i) * 60 / n;
				size_t k = 0;
				if (chain) {
					for (; k < at / 2; k++)
						key[i][k] = 'x';
					k += (size_t)sprintf(key[i] + k, "%c%u", at % 2 ? 'y' : 'x',
					        round * BATCH + i);
				} else {
					k = (size_t)sprintf(key[i], "%c~%06u", '@' + (int)at,
					        round * BATCH + i);
				}
				op[i] = (struct art_op){.type = ART_PUT,
				        .key = {key[i], k},
				        .value = {
				                value, bytes < VALUE_BYTES ? bytes : VALUE_BYTES}};
			}
			assert_int_equal(art_commit(d.a, op, n, NULL), 0);
		}
		dict_free(&d);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(paths_in_random_order_fill_frames),
	        cmocka_unit_test(words_of_one_directory_in_random_order_fill_frames),
	        cmocka_unit_test(random_keys_fill_frames),
	        cmocka_unit_test(
	                batches_at_right_edges_and_down_chains_get_by_with_what_was_set_aside),
	        cmocka_unit_test(frames_merge_while_nine_in_ten_keys_go),
	        cmocka_unit_test(ascending_loads_fill_frames_too),
	};
	return cmocka_run_group_tests_name("fill", tests, NULL, NULL);
}
