/*
 * workload.c - where random keys, values and transactions come from.
 */
#include "tests/harness/workload.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/harness/pages.h"

enum { TEXT_BYTES_MAX = 400 };

static const char *const parts[] = {"a", "b", "ab", "src", "lib", "x", "a.c", "README", "usr",
        "share", "doc", "very-long-directory-name-with-many-letters", "0", "1", "é"};
static const char *const syllables[] = {
        "an", "be", "con", "di", "er", "fo", "ga", "in", "ly", "me", "nes", "re", "s", "ti", "un"};

#define PICK(r, list) (list)[rng_below(r, sizeof(list) / sizeof(*(list)))]

static struct workload_bytes bytes_of(const void *data, size_t bytes)
{
	struct workload_bytes b = {pages_memory(NULL, bytes), bytes};

	if (bytes)
		memcpy(b.data, data, bytes);
	return b;
}

static struct workload_bytes path(struct rng *r)
{
	char text[TEXT_BYTES_MAX] = "";
	const unsigned depth = (unsigned)rng_between(r, 1, 6);

	for (unsigned i = 0; i < depth; i++) {
		strcat(text, PICK(r, parts));
		if (i + 1 < depth || rng_one_in(r, 4))
			strcat(text, "/");
	}
	return bytes_of(text, strlen(text));
}

static struct workload_bytes word(struct rng *r)
{
	char text[TEXT_BYTES_MAX] = "";

	for (unsigned n = (unsigned)rng_between(r, 1, 6); n > 0; n--)
		strcat(text, PICK(r, syllables));
	return bytes_of(text, strlen(text));
}

static struct workload_bytes numbered(struct rng *r)
{
	char text[TEXT_BYTES_MAX];
	const int n = snprintf(text, sizeof(text), rng_one_in(r, 2) ? "photos/IMG_%05u.jpg" : "%u",
	        (unsigned)rng_below(r, 3000));

	return bytes_of(text, (size_t)n);
}

static struct workload_bytes binary(struct rng *r)
{
	static const uint8_t alphabet[] = {0, 1, '/', 0x7f, 0x80, 0xff};
	uint8_t text[TEXT_BYTES_MAX];
	struct rng shared = rng_of(rng_below(r, 5)); /* one of five beginnings */
	const size_t prefix = rng_below(r, 40), n = prefix + rng_between(r, 1, 8);

	rng_fill(&shared, text, 40);
	for (size_t i = prefix; i < n; i++)
		text[i] = rng_one_in(r, 3) ? (uint8_t)rng_u64(r) : PICK(r, alphabet);
	return bytes_of(text, n);
}

static struct workload_bytes nested(struct rng *r)
{
	uint8_t text[TEXT_BYTES_MAX];

	memset(text, 'n', sizeof(text));
	if (rng_one_in(r, 3))
		text[rng_below(r, sizeof(text))] = '/';
	return bytes_of(text, rng_between(r, 1, rng_one_in(r, 3) ? sizeof(text) : 12));
}

static struct workload_bytes long_key(struct rng *r, size_t bytes_max)
{
	struct rng shared = rng_of(77 + rng_below(r, 3));
	const size_t most = rng_one_in(r, 4) ? bytes_max : bytes_max / 16 + 1;
	struct workload_bytes b = {pages_memory(NULL, bytes_max), rng_between(r, 1, most)};

	rng_fill(&shared, b.data, b.bytes);
	for (unsigned changes = (unsigned)rng_below(r, 3); changes > 0; changes--)
		b.data[b.bytes - 1 - rng_below(r, b.bytes < 300 ? b.bytes : 300)] =
		        (uint8_t)rng_u64(r);
	return b;
}

struct workload_bytes workload_key(struct workload *w)
{
	struct rng *r = w->rng;
	struct workload_bytes key;

	switch (rng_below(r, 16)) {
	case 0 ... 4:
		key = path(r);
		break;
	case 5 ... 7:
		key = word(r);
		break;
	case 8 ... 10:
		key = numbered(r);
		break;
	case 11 ... 12:
		key = binary(r);
		break;
	case 13 ... 14:
		key = nested(r);
		break;
	default:
		key = long_key(r, w->key_bytes_max);
		break;
	}
	if (key.bytes > w->key_bytes_max)
		key.bytes = w->key_bytes_max;
	if (w->prefix.bytes) {
		key.data = pages_memory(key.data, w->prefix.bytes + key.bytes);
		memmove(key.data + w->prefix.bytes, key.data, key.bytes);
		memcpy(key.data, w->prefix.data, w->prefix.bytes);
		key.bytes += w->prefix.bytes;
	}
	return key;
}

static struct workload_bytes existing(struct workload *w, const struct model *m)
{
	struct art_bytes key;

	if (!model_keys(m))
		return workload_key(w);
	key = model_key(m, rng_below(w->rng, model_keys(m)));
	return bytes_of(key.data, key.bytes);
}

/* Cuts a key where a directory would end, or anywhere. */
static void shorten(struct workload *w, struct workload_bytes *key)
{
	size_t n = rng_between(w->rng, w->prefix.bytes + 1, key->bytes);

	if (!rng_one_in(w->rng, 4))
		while (n < key->bytes && key->data[n - 1] != '/')
			n++;
	key->bytes = n;
}

struct workload_bytes workload_near(struct workload *w, const struct model *m)
{
	struct workload_bytes key = rng_one_in(w->rng, 4) ? workload_key(w) : existing(w, m);

	if (rng_one_in(w->rng, 3))
		shorten(w, &key);
	if (rng_one_in(w->rng, 8)) {
		key.data = pages_memory(key.data, key.bytes + 1);
		key.data[key.bytes++] = rng_one_in(w->rng, 2) ? '/' : (uint8_t)rng_u64(w->rng);
	}
	return key;
}

struct workload_bytes workload_value(struct workload *w)
{
	struct rng *r = w->rng;
	const uint64_t dice = rng_below(r, 2000);
	const size_t most = dice < 1200   ? 40
	                    : dice < 1800 ? 300
	                    : dice < 1960 ? 8000
	                    : dice < 1998 ? 100000
	                                  : ART_VALUE_BYTES_MAX;
	size_t bytes = rng_below(r, most + 1);
	struct workload_bytes value;

	if (dice == 1999)
		bytes = most;
	if (w->fat && dice < 1800)
		bytes = rng_between(r, 700, 1000);
	if (bytes > w->value_bytes_max)
		bytes = w->value_bytes_max;
	value = (struct workload_bytes){pages_memory(NULL, bytes), bytes};
	rng_fill(r, value.data, bytes);
	return value;
}

static struct art_bytes own(struct workload_txn *t, struct workload_bytes b)
{
	t->owned[t->nowned++] = b.data;
	t->record_bytes += b.bytes;
	return (struct art_bytes){b.data, b.bytes};
}

static void guard(
        struct workload *w, const struct model *m, struct workload_txn *t, struct art_op *op)
{
	struct art_bytes value;
	const bool there = model_get(m, op->key, &value);

	if (!rng_one_in(w->rng, 3))
		return;
	if (!there) {
		op->guard = ART_ABSENT;
	} else if (rng_one_in(w->rng, 2)) {
		op->guard = ART_PRESENT;
	} else {
		op->guard = ART_EQUALS;
		op->expect = own(t, bytes_of(value.data, value.bytes));
		t->record_bytes -= value.bytes;
	}
	if (w->refusals && rng_one_in(w->rng, 8))
		op->guard = (enum art_guard)rng_below(w->rng, 4);
}

static bool is_moved(const struct workload_txn *t, struct art_bytes key)
{
	for (unsigned i = 0; i < t->n; i++)
		if (t->op[i].type == ART_GRAFT || t->op[i].type == ART_EXCHANGE)
			if (model_begins(key, t->op[i].key) || model_begins(key, t->op[i].to))
				return true;
	return false;
}

static void add_put(struct workload *w, const struct model *m, struct workload_txn *t)
{
	struct art_op *op = &t->op[t->n];

	*op = (struct art_op){.type = ART_PUT};
	op->key = own(t, rng_one_in(w->rng, 3) ? existing(w, m) : workload_key(w));
	op->value = own(t, workload_value(w));
	if (!is_moved(t, op->key))
		guard(w, m, t, op);
	t->n++;
}

static void add_remove(struct workload *w, const struct model *m, struct workload_txn *t)
{
	struct art_op *op = &t->op[t->n];

	*op = (struct art_op){.type = ART_REMOVE};
	op->key = own(t, rng_one_in(w->rng, 8) ? workload_near(w, m) : existing(w, m));
	if (!is_moved(t, op->key))
		guard(w, m, t, op);
	t->n++;
}

/* A move between prefixes; first in its transaction, as its errors come from the state before it.
 */
static void add_move(struct workload *w, const struct model *m, struct workload_txn *t)
{
	struct art_op *op = &t->op[t->n];
	struct workload_bytes from = existing(w, m), to;

	shorten(w, &from);
	*op = (struct art_op){.type = rng_one_in(w->rng, 4) ? ART_EXCHANGE : ART_GRAFT};
	op->replace = rng_one_in(w->rng, 3);
	to = op->type == ART_EXCHANGE || (op->replace && rng_one_in(w->rng, 2)) ? existing(w, m)
	                                                                        : workload_key(w);
	if (rng_one_in(w->rng, 2))
		shorten(w, &to);
	op->key = own(t, from);
	op->to = own(t, to);
	if (model_below(m, op->key) && to.bytes + 400 > w->prefix.bytes + w->key_bytes_max)
		op->to.bytes =
		        w->prefix.bytes + 1 +
		        (to.bytes - w->prefix.bytes) / 8; /* keys must not grow without end */
	t->n++;
}

void workload_next(struct workload *w, const struct model *m, struct workload_txn *t)
{
	const uint64_t dice = rng_below(w->rng, 100);
	const bool full = model_keys(m) > w->keys_wanted;
	unsigned more = 0;

	*t = (struct workload_txn){0};
	if (dice < 12) {
		add_move(w, m, t);
		if (rng_one_in(w->rng, 3))
			more = 2;
	} else if (w->fat ? dice < 80 : dice < 24) {
		more = (unsigned)rng_between(w->rng, 2, WORKLOAD_OPS_MAX);
	} else if (full ? dice < 85 : dice < 45) {
		add_remove(w, m, t);
	} else {
		add_put(w, m, t);
	}
	while (more-- > 0 && t->n < WORKLOAD_OPS_MAX)
		if (rng_one_in(w->rng, full ? 2 : 4))
			add_remove(w, m, t);
		else
			add_put(w, m, t);
	if (w->refusals && rng_one_in(w->rng, 200))
		t->op[t->n - 1].key.bytes = 0;
	t->record_bytes += 64 * t->n;
}

void workload_end(struct workload_txn *t)
{
	while (t->nowned > 0)
		free(t->owned[--t->nowned]);
}
