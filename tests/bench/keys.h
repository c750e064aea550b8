/*
 * keys.h - the keys of one run of the engine benchmark, in memory, in the order of looking.
 *
 *   paths    data.h's: 5 or 6 components, 100 files to a directory
 *   words    "words/WORD": all in one directory, from the word list; behind its end, "WORD-2" and on
 *   random   32 bytes that look random: nothing to share, the worst case for a trie
 *
 * Key j is the j-th that a reader asks for. The keys lie in that order, so that a lookup is not
 * charged for finding its own key in our memory. A loader visits them as `load_order` says, which
 * is another order. Both depend on the seed only.
 */
#ifndef TESTS_BENCH_KEYS_H
#define TESTS_BENCH_KEYS_H

#include "tests/bench/engine.h"

struct keys {
	const char *data_name; /* "paths", "words", "random" */
	bool directories;      /* there are data.h's directories and areas */
	uint32_t n;
	uint64_t key_bytes;   /* of all keys together */
	uint32_t *ids;        /* of key j; its value begins with it */
	uint32_t *load_order; /* of j */
	struct key_text {
		char *text;     /* one behind another */
		size_t *starts; /* n + 1 of them */
	} stored, missing;      /* missing: the like of key j that is never stored */
};

/* Exits with a sentence if it cannot: no such data, no word list, no memory. */
void keys_make(struct keys *k, const char *data_name, uint32_t n, uint64_t seed);

static inline struct engine_bytes keys_stored(const struct keys *k, uint32_t j)
{
	const struct key_text *t = &k->stored;
	return (struct engine_bytes){t->text + t->starts[j], t->starts[j + 1] - t->starts[j]};
}

static inline struct engine_bytes keys_missing(const struct keys *k, uint32_t j)
{
	const struct key_text *t = &k->missing;
	return (struct engine_bytes){t->text + t->starts[j], t->starts[j + 1] - t->starts[j]};
}

#endif
