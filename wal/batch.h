/*
 * batch.h - the image of blocks that are written at once (private to wal/).
 *
 *            extent 0: segment k, offset 8192            extent 1: segment k+1, offset 4096
 *   mem ──► │▓▓▓▓▓▓rrrr│rrrrrrrrrr│rrrLAST000│          │rrrrrrrrrr│rrr·······│ capacity
 *            └ tail of the last batch                                 ^ used
 *
 * Memory is in whole blocks from the block of the first record on, so that it is written as it
 * lies. The first block repeats, byte for byte, the records that an earlier batch left in it: a
 * tear of the rewrite at any 512-byte sector therefore cannot damage them.
 */
#ifndef WAL_BATCH_H
#define WAL_BATCH_H

#include "wal/segment.h"

struct wal_extent {
	struct wal_segment *segment;
	uint64_t offset; /* in the segment, in whole blocks */
	size_t at;       /* in mem, in whole blocks */
};

struct wal_batch {
	uint8_t *mem;
	size_t capacity, used; /* bytes */
	struct wal_extent *extents;
	unsigned n_extents, extents_max;
	struct io_req *reqs; /* extents_max of them */
	uint64_t end;        /* LSN of the last record in it; 0: none */
};

/* Room for `capacity` bytes (whole blocks). -ENOMEM. A zeroed batch may be given to fini. */
int wal_batch_init(struct wal_batch *b, size_t capacity, uint32_t segment_bytes);
void wal_batch_fini(struct wal_batch *b);

/* Empties it, to go on at `offset` of `seg`. `tail` is the image of the block which holds that
 * offset; not used if the offset is at the beginning of a block. */
void wal_batch_begin(
        struct wal_batch *b, struct wal_segment *seg, uint64_t offset, const uint8_t *tail);

/* Makes *to, which is larger, hold what *from holds. */
void wal_batch_copy(struct wal_batch *to, const struct wal_batch *from);

/* The next `bytes` of the log; the caller has made sure that there is room. */
void *wal_batch_push(struct wal_batch *b, size_t bytes);

/* Goes on in another segment, behind its header. */
void wal_batch_turn(struct wal_batch *b, struct wal_segment *seg);

/* The image of the last block, for the batch that goes on in it. */
const uint8_t *wal_batch_tail(const struct wal_batch *b);

/* In its segment, the first byte behind extent `i`, in whole blocks. */
uint64_t wal_batch_extent_end(const struct wal_batch *b, unsigned i);

/* Prepares reqs[]; returns how many. The bytes behind the last record up to the block's end become
 * zero. */
unsigned wal_batch_writes(struct wal_batch *b);

#endif
