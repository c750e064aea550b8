/*
 * cache.c - buffers of the arena, and CLOCK over the frames that hold them.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "store/cache.h"

int cache_init(struct cache *c, size_t bytes, uint32_t slot_bytes)
{
	*c = (struct cache){.slot_bytes = slot_bytes, .nbufs = bytes / slot_bytes};
	TAILQ_INIT(&c->free);
	TAILQ_INIT(&c->spares);
	TAILQ_INIT(&c->frozen);
	pthread_cond_init(&c->loaded, NULL);
	size_t hints = 1024;
	while (hints < 4 * c->nbufs)
		hints *= 2;
	c->hint_mask = hints - 1;
	c->arena = mmap(NULL, c->nbufs * slot_bytes + STORE_VIEW_BEYOND, PROT_READ | PROT_WRITE,
	        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (c->arena == MAP_FAILED)
		c->arena = NULL;
	c->free_bufs = calloc(c->nbufs, sizeof(*c->free_bufs));
	c->frames = calloc(c->nbufs, sizeof(*c->frames));
	c->version = calloc(c->nbufs, sizeof(*c->version));
	c->hint = calloc(hints, sizeof(*c->hint));
	if (!c->arena || !c->free_bufs || !c->frames || !c->version || !c->hint) {
		cache_fini(c);
		return -ENOMEM;
	}
	for (size_t i = c->nbufs; i-- > 0;)
		c->free_bufs[c->nfree++] = c->arena + i * slot_bytes;
	for (size_t i = 0; i < c->nbufs; i++) {
		TAILQ_INSERT_TAIL(&c->free, &c->frames[i], link);
		atomic_init(&c->version[i], 1);
	}
	return 0;
}

void cache_fini(struct cache *c)
{
	if (c->arena)
		munmap(c->arena, c->nbufs * c->slot_bytes + STORE_VIEW_BEYOND);
	free(c->version);
	free(c->hint);
	free(c->free_bufs);
	free(c->frames);
	pthread_cond_destroy(&c->loaded);
	*c = (struct cache){0};
}

void cache_buf_give(struct cache *c, void *buf)
{
	c->free_bufs[c->nfree++] = buf;
}

static void release(struct cache *c, struct cached *f)
{
	assert(f->in_use && !f->pins && !f->dirty && !f->frozen && !f->image);
	_Atomic uint64_t *version = &c->version[f - c->frames];
	uint64_t v = atomic_load_explicit(version, memory_order_relaxed);
	atomic_store_explicit(version, v + 1 + (v & 1), memory_order_relaxed);
	atomic_thread_fence(memory_order_release); /* odd before anything else changes */
	cache_buf_give(c, f->f.data);
	memset(f, 0, sizeof(*f));
	TAILQ_INSERT_HEAD(&c->free, f, link);
}

static bool evictable(const struct cached *f)
{
	return f->in_use && f->blob && !f->pins && !f->dirty && !f->frozen && !f->loading;
}

void *cache_buf_take(struct cache *c)
{
	/* Twice around: the first time may only take away second chances. */
	for (size_t i = 0; !c->nfree && i < 2 * c->nbufs; i++) {
		struct cached *f = &c->frames[c->hand];
		c->hand = (c->hand + 1) % c->nbufs;
		if (!evictable(f))
			continue;
		if (f->referenced) {
			f->referenced = false;
			continue;
		}
		f->blob->frame = NULL;
		release(c, f);
		c->evictions++;
	}
	return c->nfree ? c->free_bufs[--c->nfree] : NULL;
}

struct cached *cache_add(struct cache *c, void *buf)
{
	struct cached *f = TAILQ_FIRST(&c->free);

	TAILQ_REMOVE(&c->free, f, link);
	f->in_use = true;
	f->f.data = buf;
	return f;
}

void cache_hint(struct cache *c, struct cached *f)
{
	uint32_t here = (uint32_t)(f - c->frames) + 1;
	_Atomic uint32_t *hint = &c->hint[f->f.id & c->hint_mask];

	if (atomic_load_explicit(hint, memory_order_relaxed) != here)
		atomic_store_explicit(hint, here, memory_order_relaxed);
}

void cache_show(struct cache *c, struct cached *f)
{
	cache_hint(c, f);
	atomic_fetch_add_explicit(&c->version[f - c->frames], 1, memory_order_release);
}

static void release_if_gone(struct cache *c, struct cached *f)
{
	if (f->dropped && !f->pins && !f->frozen)
		release(c, f);
}

void cache_unpin(struct cache *c, struct cached *f)
{
	assert(f->pins > 0);
	f->pins--;
	release_if_gone(c, f);
}

void cache_drop(struct cache *c, struct cached *f)
{
	f->blob->frame = NULL;
	f->blob = NULL;
	f->dropped = true;
	c->ndirty -= f->dirty;
	f->dirty = false;
	release_if_gone(c, f);
}

void cache_spare_add(struct cache *c, void *buf)
{
	struct cached *f = cache_add(c, buf);

	TAILQ_INSERT_TAIL(&c->spares, f, link);
	c->nspares++;
}

struct cached *cache_spare_take(struct cache *c)
{
	struct cached *f = TAILQ_FIRST(&c->spares);

	assert(f);
	TAILQ_REMOVE(&c->spares, f, link);
	c->nspares--;
	return f;
}

void cache_freeze(struct cache *c, struct cached *f)
{
	assert(f->dirty && !f->frozen);
	f->dirty = false;
	c->ndirty--;
	f->frozen = true;
	f->frozen_blob = f->blob;
	c->nfrozen++;
	TAILQ_INSERT_TAIL(&c->frozen, f, link);
}

void cache_thaw(struct cache *c, struct cached *f)
{
	TAILQ_REMOVE(&c->frozen, f, link);
	c->nfrozen--;
	f->frozen = false;
	if (f->image)
		cache_buf_give(c, f->image);
	f->image = NULL;
	f->frozen_blob = NULL;
	release_if_gone(c, f);
}
