/*
 * model.c - the sorted array behind model.h.
 */
#include "tests/harness/model.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/harness/pages.h"

struct pair { /* immutable, shared by copies of the model */
	unsigned refs;
	struct art_bytes key, value;
	uint8_t bytes[];
};

struct model {
	struct pair **pair;
	size_t n, max;
};

static struct pair *pair_new(struct art_bytes key, struct art_bytes value)
{
	struct pair *p = pages_memory(NULL, sizeof(*p) + key.bytes + value.bytes);

	p->refs = 1;
	p->key = (struct art_bytes){p->bytes, key.bytes};
	p->value = (struct art_bytes){p->bytes + key.bytes, value.bytes};
	memcpy(p->bytes, key.data, key.bytes);
	if (value.bytes)
		memcpy(p->bytes + key.bytes, value.data, value.bytes);
	return p;
}

static void pair_put(struct pair *p)
{
	if (--p->refs == 0)
		free(p);
}

struct model *model_new(void)
{
	struct model *m = pages_memory(NULL, sizeof(*m));

	*m = (struct model){0};
	return m;
}

struct model *model_clone(const struct model *m)
{
	struct model *to = model_new();

	to->pair = pages_memory(NULL, m->n * sizeof(*to->pair));
	to->n = to->max = m->n;
	for (size_t i = 0; i < m->n; i++) {
		to->pair[i] = m->pair[i];
		to->pair[i]->refs++;
	}
	return to;
}

void model_free(struct model *m)
{
	for (size_t i = 0; i < m->n; i++)
		pair_put(m->pair[i]);
	free(m->pair);
	free(m);
}

int model_order(struct art_bytes a, struct art_bytes b)
{
	const size_t n = a.bytes < b.bytes ? a.bytes : b.bytes;
	const int order = n ? memcmp(a.data, b.data, n) : 0;

	return order ? order : (a.bytes > b.bytes) - (a.bytes < b.bytes);
}

bool model_begins(struct art_bytes whole, struct art_bytes with)
{
	return whole.bytes >= with.bytes &&
	       (!with.bytes || !memcmp(whole.data, with.data, with.bytes));
}

bool model_same(const struct model *a, const struct model *b)
{
	if (a->n != b->n)
		return false;
	for (size_t i = 0; i < a->n; i++)
		if (a->pair[i] != b->pair[i] &&
		        (model_order(a->pair[i]->key, b->pair[i]->key) ||
		                model_order(a->pair[i]->value, b->pair[i]->value)))
			return false;
	return true;
}

/* The first index whose key is not less. */
static size_t at_least(const struct model *m, struct art_bytes key)
{
	size_t lo = 0, hi = m->n;

	while (lo < hi) {
		const size_t mid = (lo + hi) / 2;
		if (model_order(m->pair[mid]->key, key) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static bool is_at(const struct model *m, size_t i, struct art_bytes key)
{
	return i < m->n && !model_order(m->pair[i]->key, key);
}

static void put(struct model *m, struct art_bytes key, struct art_bytes value)
{
	const size_t i = at_least(m, key);

	if (is_at(m, i, key)) {
		pair_put(m->pair[i]);
	} else {
		if (m->n == m->max) {
			m->max = m->max ? 2 * m->max : 64;
			m->pair = pages_memory(m->pair, m->max * sizeof(*m->pair));
		}
		memmove(m->pair + i + 1, m->pair + i, (m->n - i) * sizeof(*m->pair));
		m->n++;
	}
	m->pair[i] = pair_new(key, value);
}

static void cut(struct model *m, struct art_bytes key)
{
	const size_t i = at_least(m, key);

	if (!is_at(m, i, key))
		return;
	pair_put(m->pair[i]);
	memmove(m->pair + i, m->pair + i + 1, (m->n - i - 1) * sizeof(*m->pair));
	m->n--;
}

/* Takes the pairs below a prefix out into a model of their own. */
static struct model *take(struct model *m, struct art_bytes prefix)
{
	const size_t i = at_least(m, prefix), n = model_below(m, prefix);
	struct model *out = model_new();

	out->pair = pages_memory(NULL, n * sizeof(*out->pair));
	out->n = out->max = n;
	memcpy(out->pair, m->pair + i, n * sizeof(*out->pair));
	memmove(m->pair + i, m->pair + i + n, (m->n - i - n) * sizeof(*m->pair));
	m->n -= n;
	return out;
}

/* Puts them back, with `to` instead of the first `skip` bytes. */
static void give(struct model *m, struct model *from, size_t skip, struct art_bytes to)
{
	for (size_t i = 0; i < from->n; i++) {
		const struct art_bytes key = from->pair[i]->key;
		const size_t rest = key.bytes - skip;
		uint8_t *moved = pages_memory(NULL, to.bytes + rest);
		memcpy(moved, to.data, to.bytes);
		memcpy(moved + to.bytes, (const uint8_t *)key.data + skip, rest);
		put(m, (struct art_bytes){moved, to.bytes + rest}, from->pair[i]->value);
		free(moved);
	}
	model_free(from);
}

static int check_op(const struct art_op *op)
{
	const bool moves = op->type == ART_GRAFT || op->type == ART_EXCHANGE;

	if (!op->key.bytes)
		return -EINVAL;
	if (op->key.bytes > ART_KEY_BYTES_MAX || (moves && op->to.bytes > ART_KEY_BYTES_MAX))
		return -ENAMETOOLONG;
	if (moves && (!op->to.bytes || op->guard != ART_ANY))
		return -EINVAL;
	return op->type == ART_PUT && op->value.bytes > ART_VALUE_BYTES_MAX ? -EFBIG : 0;
}

static int check_guard(const struct model *m, const struct art_op *op)
{
	struct art_bytes value;
	const bool there = model_get(m, op->key, &value);

	switch (op->guard) {
	case ART_ABSENT:
		return there ? -EEXIST : 0;
	case ART_PRESENT:
		return there ? 0 : -ENOENT;
	case ART_EQUALS:
		return there && !model_order(value, op->expect) ? 0 : -ESTALE;
	default:
		return 0;
	}
}

static int check_move(const struct model *m, const struct art_op *op)
{
	size_t in_the_way;

	if (op->type != ART_GRAFT && op->type != ART_EXCHANGE)
		return 0;
	if (model_begins(op->key, op->to) || model_begins(op->to, op->key))
		return -EINVAL;
	if (!model_below(m, op->key))
		return -ENOENT;
	in_the_way = model_below(m, op->to);
	if (op->type == ART_EXCHANGE)
		return in_the_way ? 0 : -ENOENT;
	if (op->replace && model_get(m, op->to, NULL))
		in_the_way--;
	return in_the_way ? -EEXIST : 0;
}

static void apply(struct model *m, const struct art_op *op)
{
	struct model *one, *other;

	switch (op->type) {
	case ART_PUT:
		put(m, op->key, op->value);
		break;
	case ART_REMOVE:
		cut(m, op->key);
		break;
	case ART_GRAFT:
		cut(m, op->to);
		give(m, take(m, op->key), op->key.bytes, op->to);
		break;
	case ART_EXCHANGE:
		one = take(m, op->key);
		other = take(m, op->to);
		give(m, one, op->key.bytes, op->to);
		give(m, other, op->to.bytes, op->key);
		break;
	}
}

int model_commit(struct model *m, const struct art_op *ops, unsigned n)
{
	int err = 0;

	for (unsigned i = 0; i < n && !err; i++)
		err = check_op(&ops[i]);
	for (unsigned i = 0; i < n && !err; i++)
		err = check_guard(m, &ops[i]);
	for (unsigned i = 0; i < n && !err; i++)
		err = check_move(m, &ops[i]);
	for (unsigned i = 0; i < n && !err; i++)
		apply(m, &ops[i]);
	return err;
}

size_t model_keys(const struct model *m)
{
	return m->n;
}

struct art_bytes model_key(const struct model *m, size_t i)
{
	return m->pair[i]->key;
}

struct art_bytes model_value(const struct model *m, size_t i)
{
	return m->pair[i]->value;
}

bool model_get(const struct model *m, struct art_bytes key, struct art_bytes *value)
{
	const size_t i = at_least(m, key);

	if (!is_at(m, i, key))
		return false;
	if (value)
		*value = m->pair[i]->value;
	return true;
}

bool model_longest(const struct model *m, struct art_bytes key, size_t *matched)
{
	for (size_t n = key.bytes; n > 0; n--)
		if (model_get(m, (struct art_bytes){key.data, n}, NULL)) {
			*matched = n;
			return true;
		}
	return false;
}

size_t model_below(const struct model *m, struct art_bytes prefix)
{
	size_t first = at_least(m, prefix), lo = first, hi = m->n;

	while (lo < hi) {
		const size_t mid = (lo + hi) / 2;
		if (model_begins(m->pair[mid]->key, prefix))
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo - first;
}

/* The name that a walk yields for a key: up to and with the first delimiter. */
static struct art_bytes name_of(
        struct art_bytes key, struct art_bytes prefix, int delimiter, bool *rolled)
{
	struct art_bytes name = {
	        (const uint8_t *)key.data + prefix.bytes, key.bytes - prefix.bytes};
	const uint8_t *at = delimiter == ART_NO_DELIMITER || !name.bytes
	                            ? NULL
	                            : memchr(name.data, delimiter, name.bytes);

	*rolled = at != NULL;
	if (at)
		name.bytes = (size_t)(at - (const uint8_t *)name.data) + 1;
	return name;
}

bool model_next(const struct model *m, struct art_bytes prefix, int delimiter,
        const struct art_bytes *after, struct art_entry *out)
{
	size_t i = at_least(m, prefix);
	bool subtree = false;

	if (after && after->bytes) {
		uint8_t *start = pages_memory(NULL, prefix.bytes + after->bytes);
		if (prefix.bytes)
			memcpy(start, prefix.data, prefix.bytes);
		memcpy(start + prefix.bytes, after->data, after->bytes);
		i = at_least(m, (struct art_bytes){start, prefix.bytes + after->bytes});
		free(start);
		subtree = ((const uint8_t *)after->data)[after->bytes - 1] == delimiter;
	}
	for (; i < m->n && model_begins(m->pair[i]->key, prefix); i++) {
		bool rolled;
		const struct art_bytes key = m->pair[i]->key;
		const struct art_bytes name = name_of(key, prefix, delimiter, &rolled);
		if (after &&
		        (model_order(name, *after) <= 0 || (subtree && model_begins(name, *after))))
			continue;
		*out = (struct art_entry){.name = name, .rolled = rolled};
		out->present = name.bytes == key.bytes - prefix.bytes;
		if (out->present) {
			out->value = m->pair[i]->value;
			out->value_bytes = m->pair[i]->value.bytes;
		}
		return true;
	}
	return false;
}
