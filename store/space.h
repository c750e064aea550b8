/*
 * space.h - which slots of blobs.dat are in use, and which of the free ones have disk blocks behind
 * them.
 *
 *      slot    0 1 2 3 4 5 6 7 8 9 ...            total     limit
 *      used    X X . X . . X . . .                  │         │
 *      backed  X X X X . . X X X X                  ▼         ▼ (size_max)
 *                  ▲   ▲     ▲
 *               ready  hole  ready      ready = free and backed: a write there cannot lack space
 *
 * Free slots are derived (S4): used bits are set for what the manifest, the frozen image and the
 * current state name, and nothing of this is stored. "Set aside" is a number, not a place: so many
 * of the ready slots are promised to frames that a later commit will write, and `ready` never falls
 * below it.
 *
 * While the log is replayed, free slots below `floor` are out of reach: the log may yet name them.
 *
 * Locks: all is guarded by the store's lock, but for calls marked [grow]: these do I/O, are made
 * with the store's grow lock held and take the store's lock themselves.
 */
#ifndef STORE_SPACE_H
#define STORE_SPACE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "store/store.h"

#define SLOT_NONE UINT64_MAX

struct space {
	struct io *io;         /* immutable */
	struct io_file *file;  /* immutable */
	pthread_mutex_t *lock; /* the store's */
	uint32_t slot_bytes;   /* immutable */
	uint64_t limit;        /* slots, by size_max; immutable */
	uint64_t total;        /* length of the file in slots; changes under both locks */
	uint64_t floor;
	uint64_t *used, *backed; /* bitmaps of `words` words */
	uint64_t words;
	uint64_t used_slots, ready, set_aside;
	uint64_t hint;      /* no ready slot below */
	uint64_t run_hint;  /* runs are looked for from here first */
	bool punch_refused; /* the host cannot punch holes */
};

int space_init(struct space *sp, struct io *io, struct io_file *file, pthread_mutex_t *lock,
        uint32_t slot_bytes, uint64_t size_max);
void space_fini(struct space *sp);

/* Marks a run as used. -EUCLEAN if a slot is used already, or out of bounds. */
int space_claim(struct space *sp, uint64_t slot, uint64_t n, uint64_t end);
void space_release(struct space *sp, uint64_t slot, uint64_t n);
void space_floor_lift(struct space *sp); /* replay is done */

uint64_t space_reserve(
        const struct space *sp); /* W5: ready slots that only STORE_SHRINKING may take */
/* How many ready slots are missing before `n` can be set aside. */
uint64_t space_missing(const struct space *sp, uint64_t n, enum store_need need);
/* The lowest ready slot, from what was set aside. */
uint64_t space_take(struct space *sp);
/* The first run of n ready slots that leaves the reserve alone, or SLOT_NONE. */
uint64_t space_take_run(struct space *sp, uint32_t n);

/* [grow] Makes `n` more slots ready; with `run`, so that n of them are adjacent. -ENOSPC, -ENOMEM,
 * -EIO. */
int space_grow(struct space *sp, uint64_t n, bool run);
/* [grow] Gives ready slots back to the host while there are many more than could be needed soon;
 * with `all`, all that are not set aside. */
void space_trim(struct space *sp, bool all);

#endif
