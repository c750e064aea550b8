/*
 * blobs.h - every blob of the store, by id, and what the next commits must say about it.
 *
 * One `struct blob` serves three states of the store at once:
 *
 *      durable   what manifest.bin and manifest.log name   blob.durable
 *      frozen    the image that a commit is writing        on the frozen list, frozen_*
 *      current   what the calls see                        attached && !dead, value
 *
 * A blob that was changed, dropped or attached since the last freeze is on the changed list; a
 * freeze turns this list into the frozen list. A dropped blob stays in the map, dead, until the
 * commit of a batch that no longer names it (S1): so its slots stay taken as long as a durable
 * manifest, or a log record since, may name them. The exception is a frame blob that no freeze has
 * ever seen.
 *
 * Everything is guarded by the store's lock, but for the frozen list and what it says of its
 * members: only a commit changes those, so it may read them without. Entries come from slabs and
 * never move.
 */
#ifndef STORE_BLOBS_H
#define STORE_BLOBS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "store/store.h"

struct cached;

struct blob {
	uint64_t id;       /* 0: this entry is free */
	uint64_t slot;     /* the last image written, or SLOT_NONE */
	uint64_t old_slot; /* frozen list: what the durable manifest names, free after the commit */
	struct cached *frame;                 /* in the cache, or NULL */
	uint32_t value;                       /* frames: count; data: bytes */
	uint32_t frozen_count, durable_count; /* the value in those states */
	uint16_t nslots, old_nslots;
	uint8_t kind;
	bool attached; /* frames: always */
	bool dead;
	bool durable;
	bool changed; /* on the changed list */
	bool frozen;  /* on the frozen list; this and the two around are the committer's to read */
	bool frozen_dead;
	TAILQ_ENTRY(blob) change;
	TAILQ_ENTRY(blob) freeze;
	struct blob *next; /* in its bucket, or in the free list */
	uint64_t sum[];    /* frames: manifest_sums() of the image at `slot` */
};

TAILQ_HEAD(blob_list, blob);

struct blobs {
	unsigned sums; /* per entry */
	size_t entry_bytes;
	char **slabs;
	size_t nslabs, slabs_cap;
	struct blob *free;
	size_t free_count, used_count;
	struct blob **buckets;
	size_t nbuckets; /* power of two */
	struct blob_list changed, frozen;
	size_t nchanged, nfrozen;
	uint64_t live[3]; /* current blobs per kind - 1 */
};

int blobs_init(struct blobs *b, unsigned sums);
void blobs_fini(struct blobs *b);

/* Makes sure that n blobs_add() calls will find memory. -ENOMEM. */
int blobs_ensure(struct blobs *b, size_t n);
struct blob *blobs_add(struct blobs *b, enum store_kind kind, uint64_t id); /* all zero but these */
void blobs_remove(struct blobs *b, struct blob *e);                         /* from map and lists */

struct blob *blobs_find(const struct blobs *b, bool data, uint64_t id);
/* The same, but NULL if it is not part of the current state. */
struct blob *blobs_current(const struct blobs *b, bool data, uint64_t id);

void blobs_change(struct blobs *b, struct blob *e); /* puts it on the changed list */
void blobs_freeze(struct blobs *b);               /* changed list -> frozen list, which was empty */
void blobs_thaw(struct blobs *b, struct blob *e); /* off the frozen list */

/* Walks over all entries: the n-th place, NULL if it is free; n < blobs_places(). Places are
 * stable. */
size_t blobs_places(const struct blobs *b);
struct blob *blobs_place(const struct blobs *b, size_t n);

#endif
