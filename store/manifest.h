/*
 * manifest.h - what manifest.bin and manifest.log say, decoded from memory and encoded to disk.
 *
 * Decoders trust nothing, allocate nothing, and give each entry to a callback; whether entries make
 * sense together (no id twice, no slot twice) is for the callback and its owner to say.
 */
#ifndef STORE_MANIFEST_H
#define STORE_MANIFEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <xxhash.h>

#include "store/format.h"
#include "store/store.h"

struct manifest_point {
	uint64_t commit;
	struct store_root root;
	uint64_t next_frame_id, next_data_id;
	uint64_t blobs[3]; /* kind - 1 */
};

struct manifest {
	uint8_t uuid[16];
	uint32_t compat; /* kept as found */
	uint32_t frame_bytes;
	uint64_t size_max;
	uint64_t log_salt;
	uint64_t bin_bytes; /* size of the snapshot */
	uint64_t log_bytes; /* the valid part of the log */
	uint64_t log_last;  /* where its last batch begins */
	bool log_dirty;     /* something lies behind it */
	struct manifest_point point;
};

struct manifest_entry {
	enum entry_op op;
	enum store_kind kind;
	uint64_t id, slot;
	uint32_t nslots, value;
	uint64_t sum[ENTRY_SUMS_MAX]; /* frames, ENTRY_SET */
};

/* A nonzero answer stops the decoder and is returned. */
typedef int manifest_each(void *arg, const struct manifest_entry *e);

static inline unsigned manifest_sums(uint32_t frame_bytes) /* per frame */
{
	return frame_bytes <= STORE_SUM_BYTES ? 1 : frame_bytes / STORE_SUM_BYTES;
}
static inline uint32_t manifest_entry_bytes(
        enum entry_op op, enum store_kind kind, uint32_t frame_bytes)
{
	bool sums = op == ENTRY_SET && kind != STORE_DATA;
	return (uint32_t)(sizeof(struct entry) +
	                  (sums ? manifest_sums(frame_bytes) * sizeof(le64) : 0));
}
static inline uint64_t manifest_round(uint64_t bytes)
{
	return (bytes + MANIFEST_BLOCK_BYTES - 1) & ~(uint64_t)(MANIFEST_BLOCK_BYTES - 1);
}

/* Fills all of `m` but the log's part. -EUCLEAN, -EPROTONOSUPPORT, -EROFS (unknown ro-compat
 * feature, and not read_only). */
int manifest_decode_bin(const void *buf, size_t bytes, bool read_only, struct manifest *m,
        manifest_each *each, void *arg, struct why *w);

/* Applies the valid batches of m's life and moves m->point to the last one (S3). A torn last batch
 * is not there; -EUCLEAN if a valid later one follows a damaged one. */
int manifest_decode_log(const void *buf, size_t bytes, struct manifest *m, manifest_each *each,
        void *arg, struct why *w);

/* A sequential writer with a buffer of its own, so that a commit needs no memory. */
struct manifest_stream {
	struct io *io;
	struct io_file *file;
	uint64_t offset; /* in the file, of the buffer; multiple of MANIFEST_BLOCK_BYTES */
	uint64_t bytes;  /* put so far */
	size_t used;
	uint8_t *buf;
	XXH3_state_t *sum;
	int rc; /* the first failed write; nothing is written after it */
};

int manifest_stream_init(struct manifest_stream *s, struct io *io);
void manifest_stream_fini(struct manifest_stream *s);

/* One batch: begin, `entries` times entry, end. `bytes` is the sum of manifest_batch_bytes(). */
uint64_t manifest_batch_bytes(uint64_t entries_bytes); /* without padding */
void manifest_batch_begin(struct manifest_stream *s, struct io_file *log, uint64_t offset,
        const struct manifest *m, uint64_t commit, uint64_t entries, uint64_t entries_bytes);
void manifest_put_entry(
        struct manifest_stream *s, const struct manifest_entry *e, uint32_t frame_bytes);
int manifest_batch_end(struct manifest_stream *s, const struct manifest_point *p);

/* One snapshot: begin, entries, end (writes the head last). */
void manifest_bin_begin(struct manifest_stream *s, struct io_file *file);
int manifest_bin_end(struct manifest_stream *s, const struct manifest *m, uint64_t entries);
/* Makes the written file the manifest: sync, rename, directory sync (S3). Durable on return. */
int manifest_bin_install(struct io *io, struct io_file *file, const char *name);

#endif
