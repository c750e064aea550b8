/*
 * segment.h - the files of the log: names, headers, birth and rebirth (private to wal/).
 *
 * The caller keeps two of these calls from running at once on one log (the lock `maint`).
 */
#ifndef WAL_SEGMENT_H
#define WAL_SEGMENT_H

#include "wal/format.h"

#define WAL_DIR "wal"

enum {
	WAL_NAME_BYTES = 32,
	WAL_SEGMENT_UNFINISHED = 1, /* answer of open: its preparation was cut short by a crash */
};

/* What the segments of one log have in common. Immutable after open. */
struct wal_place {
	struct io *io;
	uint8_t uuid[16];
	uint32_t segment_bytes;
	bool read_only;
};

struct wal_segment {
	struct wal_segment *next; /* the following one in the log; guarded by the log's lock */
	/* The three change only in recycle and relive, when nobody else uses the segment. */
	uint64_t sequence;
	uint64_t start; /* LSN of its first byte behind the header */
	uint64_t salt;
	/* Offset up to which it has been written with whatever, once: commits up to here change nothing but
	 * file content. Belongs to whoever writes to the segment. */
	uint64_t filled;
	struct io_file *file; /* NULL while closed */
};

void wal_segment_name(uint64_t sequence, char name[WAL_NAME_BYTES]);

/* The sequence numbers found in wal/, ascending; the caller frees *out. -ENOENT if there is no
 * directory. */
int wal_segment_list(struct io *io, uint64_t **out, size_t *n);

/* Reads the header. 0, or WAL_SEGMENT_UNFINISHED (nothing in *out), or -EUCLEAN, -EPROTONOSUPPORT,
 * ... If place->segment_bytes is 0, it is learnt from this segment. The file is closed again. */
int wal_segment_load(
        struct wal_place *place, uint64_t sequence, struct wal_segment **out, struct why *w);

/* Opens the file if it is closed. */
int wal_segment_open(const struct wal_place *place, struct wal_segment *seg);
void wal_segment_close(const struct wal_place *place, struct wal_segment *seg);

/* A new file with all its blocks, hollow, durable under its name. Open on return. On failure there is none. */
int wal_segment_create(
        const struct wal_place *place, uint64_t sequence, uint64_t start, struct wal_segment **out);

/* Gives an old segment a new name and a new life, durable on return, and opens it. If *moved, the
 * old name is gone even if this failed, and the segment with it; the struct stays the caller's. */
int wal_segment_recycle(const struct wal_place *place, struct wal_segment *seg, uint64_t sequence,
        uint64_t start, bool *moved);

/* A new life at the same place: whatever lies in it is no record any more. Durable on return. */
int wal_segment_relive(const struct wal_place *place, struct wal_segment *seg);

/* A new life that begins at LSN `start`, durable on return, in a file of nothing but its header. For the only
 * segment of a log, none of whose records is needed. */
int wal_segment_empty(const struct wal_place *place, struct wal_segment *seg, uint64_t start);

/* Extends a short one to its size, with all its blocks; the next sync of the file covers that. */
int wal_segment_allocate(const struct wal_place *place, struct wal_segment *seg);

/* Removes the name, durably. That it is gone already is no error. */
int wal_segment_remove(const struct wal_place *place, uint64_t sequence);

void wal_segment_free(const struct wal_place *place, struct wal_segment *seg);

/* LSN of the first byte behind the segment, which is where the next one starts. */
static inline uint64_t wal_segment_end(const struct wal_place *place, const struct wal_segment *seg)
{
	return seg->start + place->segment_bytes - WAL_BLOCK;
}

static inline uint64_t wal_segment_lsn(const struct wal_segment *seg, uint64_t offset)
{
	return seg->start + offset - WAL_BLOCK;
}

#endif
