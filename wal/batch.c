/*
 * batch.c - the image of blocks that are written at once. The drawing is in batch.h.
 */
#include "wal/batch.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

int wal_batch_init(struct wal_batch *b, size_t capacity, uint32_t segment_bytes)
{
	assert(capacity % WAL_BLOCK == 0);
	/* All extents but the first and the last fill more than half a segment, for a record that
	 * did not fit takes a quarter at most. */
	b->extents_max = (unsigned)(capacity / (segment_bytes / 2)) + 2;
	b->capacity = capacity;
	b->mem = aligned_alloc(IO_ALIGN, capacity);
	b->extents = calloc(b->extents_max, sizeof(*b->extents));
	b->reqs = calloc(b->extents_max, sizeof(*b->reqs));
	if (b->mem && b->extents && b->reqs)
		return 0;
	wal_batch_fini(b);
	return -ENOMEM;
}

void wal_batch_fini(struct wal_batch *b)
{
	free(b->mem);
	free(b->extents);
	free(b->reqs);
	*b = (struct wal_batch){0};
}

void wal_batch_begin(
        struct wal_batch *b, struct wal_segment *seg, uint64_t offset, const uint8_t *tail)
{
	b->used = offset % WAL_BLOCK;
	if (b->used)
		memcpy(b->mem, tail, b->used);
	b->extents[0] = (struct wal_extent){.segment = seg, .offset = wal_block_down(offset)};
	b->n_extents = 1;
	b->end = 0;
}

void wal_batch_copy(struct wal_batch *to, const struct wal_batch *from)
{
	assert(to->capacity >= from->used && to->extents_max >= from->n_extents);
	memcpy(to->mem, from->mem, from->used);
	memcpy(to->extents, from->extents, from->n_extents * sizeof(*to->extents));
	to->used = from->used;
	to->n_extents = from->n_extents;
	to->end = from->end;
}

void *wal_batch_push(struct wal_batch *b, size_t bytes)
{
	assert(bytes <= b->capacity - b->used);
	void *p = b->mem + b->used;
	b->used += bytes;
	return p;
}

static void fill_block(struct wal_batch *b)
{
	const size_t full = wal_block_up(b->used);
	assert(full <= b->capacity);
	memset(b->mem + b->used, 0, full - b->used);
}

void wal_batch_turn(struct wal_batch *b, struct wal_segment *seg)
{
	fill_block(b);
	b->used = wal_block_up(b->used);
	assert(b->n_extents < b->extents_max);
	b->extents[b->n_extents++] =
	        (struct wal_extent){.segment = seg, .offset = WAL_BLOCK, .at = b->used};
}

const uint8_t *wal_batch_tail(const struct wal_batch *b)
{
	return b->mem + wal_block_down(b->used);
}

uint64_t wal_batch_extent_end(const struct wal_batch *b, unsigned i)
{
	const struct wal_extent *e = &b->extents[i];
	const size_t end = i + 1 < b->n_extents ? b->extents[i + 1].at : wal_block_up(b->used);
	return e->offset + (end - e->at);
}

unsigned wal_batch_writes(struct wal_batch *b)
{
	unsigned n = 0;
	fill_block(b);
	for (unsigned i = 0; i < b->n_extents; i++) {
		const struct wal_extent *e = &b->extents[i];
		const uint64_t end = wal_batch_extent_end(b, i);
		/* Empty when the first record of the batch went to the next segment. */
		if (end > e->offset)
			b->reqs[n++] = (struct io_req){.op = IO_WRITE,
			        .file = e->segment->file,
			        .buf = b->mem + e->at,
			        .bytes = end - e->offset,
			        .offset = e->offset};
	}
	return n;
}
