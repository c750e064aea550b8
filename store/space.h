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
 * current state name, and nothing of this is stored.
 *
 * A frame takes what its image needs, 1 to `group` slots, and how many is known only when the commit
 * writes it. So whoever makes a frame dirty sets a whole group aside: a run of ready slots that is long
 * enough for any image. At the commit the image goes to the first ready run that takes it, perhaps that
 * of its own group, and the rest of the group is ready again. So a commit never lacks a run, however
 * fragmented the file is (W5). Groups in `aside` count as used; `set_aside` of them are promised, the
 * others are the reserve for deleting, and a stock.
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
	uint32_t group;        /* slots that the largest image of a frame takes; immutable */
	uint64_t limit;        /* slots, by size_max; immutable */
	uint64_t total;        /* length of the file in slots; changes under both locks */
	uint64_t floor;
	uint64_t *used, *backed; /* bitmaps of `words` words */
	uint64_t words;
	uint64_t used_slots, ready; /* groups in `aside` are used */
	uint64_t *aside;            /* a ring: first slots of groups, oldest first */
	size_t aside_first, asides, aside_max;
	uint64_t set_aside;   /* of these, promised */
	uint64_t taken, pace; /* images since the last trim; how many a commit writes */
	uint64_t hint;        /* no ready slot below */
	uint64_t fit_hint;    /* images are fitted in from here */
	uint64_t run_hint;    /* runs are looked for from here first */
	bool punch_refused;   /* the host cannot punch holes */
};

int space_init(struct space *sp, struct io *io, struct io_file *file, pthread_mutex_t *lock,
        uint32_t group, uint64_t size_max);
void space_fini(struct space *sp);

/* Marks a run as used. -EUCLEAN if a slot is used already, or out of bounds. */
int space_claim(struct space *sp, uint64_t slot, uint64_t n, uint64_t end);
void space_release(struct space *sp, uint64_t slot, uint64_t n);
void space_floor_lift(struct space *sp); /* replay is done */

/* Slots that blobs take, and those that commits need to become free. */
uint64_t space_named(const struct space *sp);
uint64_t space_reserve(const struct space *sp); /* W5: groups that only STORE_SHRINKING may take */
/* Sets n groups aside, from the stock and from what is ready; or sets none aside, and tells how many groups
 * are missing. -ENOMEM. */
int space_set_aside(struct space *sp, uint64_t n, enum store_need need, uint64_t *missing);
void space_give_back(struct space *sp, uint64_t n); /* groups that were set aside are not needed */
/* A run of n slots for an image, for one of the groups set aside. */
uint64_t space_take_image(struct space *sp, uint32_t n);
static inline uint64_t space_aside(const struct space *sp, size_t i)
{
	return sp->aside[(sp->aside_first + i) % sp->aside_max];
}
void space_fit_again(struct space *sp); /* the next image may go to the lowest place again */
/* The first run of n ready slots, or SLOT_NONE. */
uint64_t space_take_run(struct space *sp, uint32_t n);

/* [grow] Makes `n` more slots ready; with `run`, so that n of them are adjacent. -ENOSPC, -ENOMEM,
 * -EIO. */
int space_grow(struct space *sp, uint64_t n, bool run);
/* [grow] Gives ready slots back to the host while there are many more than could be needed soon;
 * with `all`, all that are not set aside. */
void space_trim(struct space *sp, bool all);

#endif
