/*
 * cache.h - the memory of frames: one arena, cut into buffers of one frame each, and who holds them.
 *
 *            ┌── free ──► being loaded ──► clean ◄────────── image written ──┐
 *   buffer   │                               │ store_frame_write()           │
 *            ◄── evicted (CLOCK) ── clean    ▼                               │
 *            │                             dirty ──── store_freeze() ──► frozen
 *            ├── spare ─ store_frame_new() ──►                               │ store_frame_write()
 *            │                                                               ▼
 *            ◄─────────────────── image written ──────────── image (old), and a dirty copy (new)
 *
 * The arena is a hard budget: a frame that is both frozen and dirty has two buffers, a spare has
 * one. Only clean, unpinned frames are evicted, so what only memory knows is never lost.
 *
 * A dropped frame leaves the map at once, and its memory when its last pin and its frozen image are
 * gone. Everything is guarded by the store's lock but the bytes in a buffer, and what is atomic:
 *
 *      cache_find()      the place where a frame may be, by the hint; any answer may be stale
 *      cache_pin()       without the lock only good if no CACHE_NO_PIN was there and it is still shown
 *      cache_let_go()    unpins; false if the last pin of a dropped frame is gone, and the caller
 *                        must take the lock and call cache_collect()
 *
 * A frame is evicted or released only by who has turned its pins from 0 to CACHE_NO_PIN in one
 * step, so a pin that was taken before keeps it and one that comes later finds out.
 */
#ifndef STORE_CACHE_H
#define STORE_CACHE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/queue.h>

#include "store/blobs.h"

/* A frame in memory. The first line is all that a look at it needs. */
struct cached {
	struct frame f; /* first: a struct frame * of ours is a struct cached * */
	/* Odd while nobody may look; see store_frame_view(). Changed under the lock, or by who
	 * changes the frame; never goes back, also when the place is used for another frame. */
	_Atomic uint64_t version;
	_Atomic uint64_t shown; /* its id while it is in the map and has its bytes, else 0 */
	atomic_uint pins; /* or CACHE_NO_PIN, which only the lock's holder sets and takes away */
	atomic_bool dropped;
	atomic_bool referenced; /* set by looks too, without the lock */
	bool in_use, loading, dirty, frozen;
	int err;                  /* why loading failed */
	struct blob *blob;        /* NULL: spare, or dropped */
	struct blob *frozen_blob; /* while frozen: whose image it is, dropped since or not */
	void *image;              /* frozen, and since then made writable: the frozen bytes */
	TAILQ_ENTRY(cached) link; /* free, spare or frozen list: never two at once */
} __attribute__((aligned(64)));

/* In `pins`: the place is free or about to be. Who pins without the lock and finds this lets go
 * again. */
#define CACHE_NO_PIN 0x80000000u

TAILQ_HEAD(cached_list, cached);

struct cache {
	uint32_t frame_bytes;
	size_t nbufs;
	char *mapped; /* holds the arena, which begins at a huge page */
	size_t mapped_bytes;
	char *arena;
	void **free_bufs;
	size_t nfree;
	struct cached *frames; /* nbufs of them: each in use has at least one buffer */
	/* hint[id & mask] is 1 + the place of a frame that had this id, or 0. Whoever
	 * shows a frame sets it; any answer is right, for `shown` is asked next. */
	_Atomic uint32_t *hint;
	size_t hint_mask;
	size_t hand; /* of the clock */
	struct cached_list free, spares, frozen;
	size_t nspares;
	atomic_size_t ndirty, nfrozen; /* changed under the lock */
	atomic_uint_fast64_t hits;
	uint64_t misses, evictions;
	pthread_cond_t loaded, cleaned; /* with the store's lock */
};

int cache_init(struct cache *c, size_t bytes, uint32_t frame_bytes);
void cache_fini(struct cache *c);

void *cache_buf_take(struct cache *c); /* evicts if need be; NULL if nothing can be evicted */
void cache_buf_give(struct cache *c, void *buf);
struct cached *cache_add(struct cache *c, void *buf); /* around a buffer just taken */
void cache_show(struct cache *c, struct cached *f);   /* it has its bytes: may be looked at */
void cache_hint(struct cache *c, struct cached *f);   /* where to find it */
unsigned cache_pin(struct cached *f);                 /* what `pins` was */
void cache_unpin(struct cache *c, struct cached *f);
static inline struct cached *cache_find(const struct cache *c, uint64_t id)
{
	uint32_t at = atomic_load_explicit(&c->hint[id & c->hint_mask], memory_order_relaxed);

	if (at == 0)
		return NULL;
	struct cached *f = &c->frames[at - 1];
	return atomic_load_explicit(&f->shown, memory_order_acquire) == id ? f : NULL;
}
static inline void cache_touch(struct cached *f)
{
	if (!atomic_load_explicit(&f->referenced, memory_order_relaxed))
		atomic_store_explicit(&f->referenced, true, memory_order_relaxed);
}
/* Without the lock. Both pair with each other: the count says who is last. */
static inline bool cache_let_go(struct cached *f)
{
	return (atomic_fetch_sub_explicit(&f->pins, 1, memory_order_acq_rel) & ~CACHE_NO_PIN) !=
	               1 ||
	       !atomic_load_explicit(&f->dropped, memory_order_relaxed);
}
/* Lock held: gives a dropped frame's memory back if nothing needs it. */
void cache_collect(struct cache *c, struct cached *f);
/* Out of the map; memory goes when nothing needs it. */
void cache_drop(struct cache *c, struct cached *f);
void cache_spare_add(struct cache *c, void *buf);
struct cached *cache_spare_take(struct cache *c);
void cache_freeze(struct cache *c, struct cached *f);
void cache_thaw(struct cache *c, struct cached *f); /* its image is written */

#endif
