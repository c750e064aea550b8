/*
 * blobs.c - the map from id to blob: slabs of entries, and one hash table with chains.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "store/blobs.h"
#include "store/space.h"

enum { SLAB_ENTRIES = 512, BUCKETS_MIN = 1024 };

static size_t bucket_of(const struct blobs *b, bool data, uint64_t id)
{
	/* Ids count up, so the low bits of a multiple by an odd constant spread them evenly. */
	uint64_t h = (id * 2 + data) * UINT64_C(0x9e3779b97f4a7c15);
	return (h >> 20) & (b->nbuckets - 1);
}

int blobs_init(struct blobs *b, unsigned sums)
{
	*b = (struct blobs){.sums = sums, .nbuckets = BUCKETS_MIN};
	b->entry_bytes = sizeof(struct blob) + sums * sizeof(uint64_t);
	TAILQ_INIT(&b->changed);
	TAILQ_INIT(&b->frozen);
	b->buckets = calloc(b->nbuckets, sizeof(*b->buckets));
	return b->buckets ? 0 : -ENOMEM;
}

void blobs_fini(struct blobs *b)
{
	for (size_t i = 0; i < b->nslabs; i++)
		free(b->slabs[i]);
	free(b->slabs);
	free(b->buckets);
	*b = (struct blobs){0};
}

size_t blobs_places(const struct blobs *b)
{
	return b->nslabs * SLAB_ENTRIES;
}

static struct blob *entry_at(const struct blobs *b, size_t n)
{
	return (struct blob *)(b->slabs[n / SLAB_ENTRIES] + n % SLAB_ENTRIES * b->entry_bytes);
}

struct blob *blobs_place(const struct blobs *b, size_t n)
{
	struct blob *e = entry_at(b, n);
	return e->id ? e : NULL;
}

static int slab_add(struct blobs *b)
{
	char *slab;

	if (b->nslabs == b->slabs_cap) {
		size_t cap = b->slabs_cap ? 2 * b->slabs_cap : 16;
		char **slabs = realloc(b->slabs, cap * sizeof(*slabs));
		if (!slabs)
			return -ENOMEM;
		b->slabs = slabs;
		b->slabs_cap = cap;
	}
	slab = calloc(SLAB_ENTRIES, b->entry_bytes);
	if (!slab)
		return -ENOMEM;
	b->slabs[b->nslabs++] = slab;
	for (size_t i = SLAB_ENTRIES; i-- > 0;) {
		struct blob *e = entry_at(b, blobs_places(b) - SLAB_ENTRIES + i);
		e->next = b->free;
		b->free = e;
	}
	b->free_count += SLAB_ENTRIES;
	return 0;
}

static int buckets_grow(struct blobs *b)
{
	struct blobs old = *b;
	struct blob **buckets = calloc(2 * old.nbuckets, sizeof(*buckets));

	if (!buckets)
		return -ENOMEM;
	b->buckets = buckets;
	b->nbuckets *= 2;
	for (size_t i = 0; i < old.nbuckets; i++) {
		struct blob *next;
		for (struct blob *e = old.buckets[i]; e; e = next) {
			size_t to = bucket_of(b, e->kind == STORE_DATA, e->id);
			next = e->next;
			e->next = buckets[to];
			buckets[to] = e;
		}
	}
	free(old.buckets);
	return 0;
}

int blobs_ensure(struct blobs *b, size_t n)
{
	int rc = 0;

	while (!rc && b->free_count < n)
		rc = slab_add(b);
	while (!rc && b->used_count + n > b->nbuckets)
		rc = buckets_grow(b);
	return rc;
}

struct blob *blobs_add(struct blobs *b, enum store_kind kind, uint64_t id)
{
	struct blob *e = b->free;
	size_t at = bucket_of(b, kind == STORE_DATA, id);

	assert(e && id);
	b->free = e->next;
	b->free_count--;
	b->used_count++;
	memset(e, 0, b->entry_bytes);
	e->id = id;
	e->kind = (uint8_t)kind;
	e->slot = e->old_slot = SLOT_NONE;
	e->next = b->buckets[at];
	b->buckets[at] = e;
	return e;
}

void blobs_remove(struct blobs *b, struct blob *e)
{
	struct blob **at = &b->buckets[bucket_of(b, e->kind == STORE_DATA, e->id)];

	while (*at != e)
		at = &(*at)->next;
	*at = e->next;
	if (e->changed) {
		TAILQ_REMOVE(&b->changed, e, change);
		b->nchanged--;
	}
	if (e->frozen)
		blobs_thaw(b, e);
	e->id = 0;
	e->next = b->free;
	b->free = e;
	b->free_count++;
	b->used_count--;
}

struct blob *blobs_find(const struct blobs *b, bool data, uint64_t id)
{
	struct blob *e = b->buckets[bucket_of(b, data, id)];

	while (e && (e->id != id || (e->kind == STORE_DATA) != data))
		e = e->next;
	return e;
}

struct blob *blobs_current(const struct blobs *b, bool data, uint64_t id)
{
	struct blob *e = blobs_find(b, data, id);
	return e && e->attached && !e->dead ? e : NULL;
}

void blobs_change(struct blobs *b, struct blob *e)
{
	if (e->changed)
		return;
	e->changed = true;
	TAILQ_INSERT_TAIL(&b->changed, e, change);
	b->nchanged++;
}

void blobs_freeze(struct blobs *b)
{
	struct blob *e;

	assert(TAILQ_EMPTY(&b->frozen));
	while ((e = TAILQ_FIRST(&b->changed))) {
		TAILQ_REMOVE(&b->changed, e, change);
		TAILQ_INSERT_TAIL(&b->frozen, e, freeze);
		e->changed = false;
		e->frozen = true;
		e->frozen_dead = e->dead;
		e->frozen_count = e->value;
	}
	b->nfrozen = b->nchanged;
	b->nchanged = 0;
}

void blobs_thaw(struct blobs *b, struct blob *e)
{
	TAILQ_REMOVE(&b->frozen, e, freeze);
	b->nfrozen--;
	e->frozen = false;
}
