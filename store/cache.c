/*
 * cache.c - buffers of the arena, and CLOCK over the frames that hold them.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "store/cache.h"

enum { HUGE_PAGE = 2 * 1024 * 1024 };

int cache_init(struct cache *c, size_t bytes, uint32_t frame_bytes)
{
	*c = (struct cache){.frame_bytes = frame_bytes, .nbufs = bytes / frame_bytes};
	TAILQ_INIT(&c->free);
	TAILQ_INIT(&c->spares);
	TAILQ_INIT(&c->frozen);
	pthread_cond_init(&c->loaded, NULL);
	pthread_cond_init(&c->cleaned, NULL);
	size_t hints = 1024;
	while (hints < 4 * c->nbufs)
		hints *= 2;
	c->hint_mask = hints - 1;
	c->mapped_bytes = c->nbufs * frame_bytes + STORE_VIEW_BEYOND + HUGE_PAGE;
	c->mapped = mmap(NULL, c->mapped_bytes, PROT_READ | PROT_WRITE,
	        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (c->mapped == MAP_FAILED)
		c->mapped = NULL;
	c->arena = c->mapped ? c->mapped + (-(uintptr_t)c->mapped & (HUGE_PAGE - 1)) : NULL;
	/* A random lookup misses the TLB at nearly every step otherwise. Where it is refused,
	 * small pages do. */
	if (c->arena)
		madvise(c->arena, c->nbufs * frame_bytes, MADV_HUGEPAGE);
	c->free_bufs = calloc(c->nbufs, sizeof(*c->free_bufs));
	c->frames = aligned_alloc(_Alignof(struct cached), c->nbufs * sizeof(*c->frames));
	c->hint = calloc(hints, sizeof(*c->hint));
	if (!c->arena || !c->free_bufs || !c->frames || !c->hint) {
		cache_fini(c);
		return -ENOMEM;
	}
	for (size_t i = c->nbufs; i-- > 0;)
		c->free_bufs[c->nfree++] = c->arena + i * frame_bytes;
	for (size_t i = 0; i < c->nbufs; i++) {
		c->frames[i] = (struct cached){.version = 1, .pins = CACHE_NO_PIN};
		TAILQ_INSERT_TAIL(&c->free, &c->frames[i], link);
	}
	return 0;
}

void cache_fini(struct cache *c)
{
	if (c->mapped)
		munmap(c->mapped, c->mapped_bytes);
	free(c->hint);
	free(c->free_bufs);
	free(c->frames);
	pthread_cond_destroy(&c->loaded);
	pthread_cond_destroy(&c->cleaned);
	*c = (struct cache){0};
}

void cache_buf_give(struct cache *c, void *buf)
{
	c->free_bufs[c->nfree++] = buf;
}

/* Nobody holds it: from here on nobody can. */
static bool close_pins(struct cached *f)
{
	unsigned none = 0;

	return atomic_compare_exchange_strong_explicit(
	        &f->pins, &none, CACHE_NO_PIN, memory_order_acq_rel, memory_order_relaxed);
}

static void hide(struct cached *f)
{
	atomic_store_explicit(&f->shown, 0, memory_order_relaxed);
}

/* Pins are closed. */
static void release(struct cache *c, struct cached *f)
{
	assert(f->in_use && !f->dirty && !f->frozen && !f->image);
	uint64_t v = atomic_load_explicit(&f->version, memory_order_relaxed);
	atomic_store_explicit(&f->version, v + 1 + (v & 1), memory_order_relaxed);
	atomic_thread_fence(memory_order_release); /* odd before anything else changes */
	hide(f);
	cache_buf_give(c, f->f.data);
	f->f.id = 0; /* `mark` is 0 already, and may be looked at: store_frame_pinned() */
	f->f.data = NULL;
	f->blob = NULL;
	f->in_use = false;
	f->err = 0;
	atomic_store_explicit(&f->dropped, false, memory_order_relaxed);
	atomic_store_explicit(&f->referenced, false, memory_order_relaxed);
	TAILQ_INSERT_HEAD(&c->free, f, link);
}

static bool evictable(const struct cached *f)
{
	return f->in_use && f->blob && !f->dirty && !f->frozen && !f->loading;
}

void *cache_buf_take(struct cache *c)
{
	/* Twice around: the first time may only take away second chances. */
	for (size_t i = 0; !c->nfree && i < 2 * c->nbufs; i++) {
		struct cached *f = &c->frames[c->hand];
		c->hand = (c->hand + 1) % c->nbufs;
		if (!evictable(f))
			continue;
		if (atomic_load_explicit(&f->referenced, memory_order_relaxed)) {
			atomic_store_explicit(&f->referenced, false, memory_order_relaxed);
			continue;
		}
		if (!close_pins(f))
			continue;
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
	atomic_fetch_and_explicit(&f->pins, ~CACHE_NO_PIN, memory_order_release);
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
	atomic_store_explicit(&f->shown, f->f.id, memory_order_release);
	cache_hint(c, f);
	atomic_fetch_add_explicit(&f->version, 1, memory_order_release);
}

void cache_collect(struct cache *c, struct cached *f)
{
	if (f->in_use && atomic_load_explicit(&f->dropped, memory_order_relaxed) && !f->frozen &&
	        close_pins(f))
		release(c, f);
}

unsigned cache_pin(struct cached *f)
{
	return atomic_fetch_add_explicit(&f->pins, 1, memory_order_acq_rel);
}

void cache_unpin(struct cache *c, struct cached *f)
{
	if (!cache_let_go(f))
		cache_collect(c, f);
}

void cache_drop(struct cache *c, struct cached *f)
{
	hide(f);
	f->blob->frame = NULL;
	f->blob = NULL;
	atomic_store_explicit(&f->dropped, true, memory_order_relaxed);
	c->ndirty -= f->dirty;
	f->dirty = false;
	cache_collect(c, f);
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
	cache_collect(c, f);
}
