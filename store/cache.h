/*
 * cache.h - the memory of frames: one arena, cut into buffers of one slot each, and who holds them.
 *
 *            ┌── free ──► being loaded ──► clean ◄──────────── commit done ──┐
 *   buffer   │                               │ store_frame_write()           │
 *            ◄── evicted (CLOCK) ── clean    ▼                               │
 *            │                             dirty ──── store_freeze() ──► frozen
 *            ├── spare ─ store_frame_new() ──►                               │ store_frame_write()
 *            │                                                               ▼
 *            ◄───────────────────── commit done ──────────── image (old), and a dirty copy (new)
 *
 * The arena is a hard budget: a frame that is both frozen and dirty has two buffers, a spare has
 * one. Only clean, unpinned frames are evicted, so what only memory knows is never lost.
 *
 * A dropped frame leaves the map at once, and its memory when its last pin and its frozen image are
 * gone. Everything is guarded by the store's lock; the bytes in a buffer are not.
 */
#ifndef STORE_CACHE_H
#define STORE_CACHE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/queue.h>

#include "store/blobs.h"

struct cached {
	struct frame f;           /* first: a struct frame * of ours is a struct cached * */
	struct blob *blob;        /* NULL: spare, or dropped */
	struct blob *frozen_blob; /* while frozen: whose image it is, dropped since or not */
	void *image;              /* frozen, and since then made writable: the frozen bytes */
	unsigned pins;
	int err; /* why loading failed */
	bool in_use, loading, dirty, frozen, dropped;
	atomic_bool referenced;   /* set by views too, without the lock */
	TAILQ_ENTRY(cached) link; /* free, spare or frozen list: never two at once */
};

TAILQ_HEAD(cached_list, cached);

struct cache {
	uint32_t slot_bytes;
	size_t nbufs;
	char *arena;
	void **free_bufs;
	size_t nfree;
	struct cached *frames; /* nbufs of them: each in use has at least one buffer */
	/* For views. version[i] is of frames[i]: odd while nobody may look. hint[id & mask] is 1 +
	 * the place of a frame that had this id, or 0. Both atomic, changed under the lock or by
	 * who changes the frame. */
	_Atomic uint64_t *version;
	_Atomic uint32_t *hint;
	size_t hint_mask;
	size_t hand; /* of the clock */
	struct cached_list free, spares, frozen;
	size_t nspares, ndirty, nfrozen;
	uint64_t hits, misses, evictions;
	pthread_cond_t loaded;
};

int cache_init(struct cache *c, size_t bytes, uint32_t slot_bytes);
void cache_fini(struct cache *c);

void *cache_buf_take(struct cache *c); /* evicts if need be; NULL if nothing can be evicted */
void cache_buf_give(struct cache *c, void *buf);
struct cached *cache_add(struct cache *c, void *buf); /* around a buffer just taken */
void cache_show(struct cache *c, struct cached *f);   /* it has its bytes: may be looked at */
void cache_hint(struct cache *c, struct cached *f);   /* where to find it */
void cache_unpin(struct cache *c, struct cached *f);
/* Out of the map; memory goes when nothing needs it. */
void cache_drop(struct cache *c, struct cached *f);
void cache_spare_add(struct cache *c, void *buf);
struct cached *cache_spare_take(struct cache *c);
void cache_freeze(struct cache *c, struct cached *f);
void cache_thaw(struct cache *c, struct cached *f); /* its image is durable */

#endif
