/*
 * workload.h - random transactions that mean something to the dictionary they are for.
 *
 * Keys come from several families (paths, words, numbered names, bytes with shared beginnings, keys
 * that begin with other keys, long keys); prefixes to move are cut from keys that are there. Values
 * have sizes for all three homes. About one transaction in eight is meant to be refused.
 */
#ifndef TESTS_HARNESS_WORKLOAD_H
#define TESTS_HARNESS_WORKLOAD_H

#include "tests/harness/model.h"
#include "tests/harness/rng.h"

enum { WORKLOAD_OPS_MAX = 12 };

struct workload {
	struct rng *rng;
	struct art_bytes prefix; /* all keys, and all prefixes that move, begin with it */
	size_t key_bytes_max;    /* behind the prefix */
	size_t value_bytes_max;
	size_t keys_wanted; /* more keys than this: rather remove */
	bool refusals;      /* some transactions ask for what must be refused */
	bool fat;           /* large records: they fill the log quickly */
};

/* Bytes of one's own. */
struct workload_bytes {
	uint8_t *data;
	size_t bytes;
};

struct workload_txn {
	struct art_op op[WORKLOAD_OPS_MAX];
	unsigned n;
	void *owned[4 * WORKLOAD_OPS_MAX];
	unsigned nowned;
	size_t record_bytes; /* at least what its log record takes; values as data blobs are not in
	                        it */
};

struct workload_bytes workload_key(struct workload *w); /* data: the caller frees */
/* A key that is there, or one cut from it, or none of it. */
struct workload_bytes workload_near(struct workload *w, const struct model *m);
struct workload_bytes workload_value(struct workload *w);

void workload_next(struct workload *w, const struct model *m, struct workload_txn *out);
void workload_end(struct workload_txn *t);

#endif
