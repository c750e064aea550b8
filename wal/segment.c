/*
 * segment.c - the files of the log.
 *
 *   create   open ─ truncate ─ allocate ─ header ─ sync ─ sync_dir
 *   recycle  rename ─ sync_dir ─ header ─ sync      the old records stay; the new salt disowns them
 *   relive   header ─ sync
 *   empty    sync_dir ─ header ─ sync ─ truncate    the only segment: the log begins anew at its end
 *
 * Blocks that are allocated but never written are as good as written ones, except that the first flush of
 * each changes the filesystem's metadata too. So a segment that was not filled says so: it is `hollow`, may
 * be short, and the commits fill it piece by piece ahead of themselves. A recycled one is filled already.
 *
 * Each is complete before the log names the segment as its next, and the next is only prepared
 * after it. So a crash leaves at most one unfinished segment, it is the last, and it is told apart
 * from a damaged one: its file is short, its header is zero, or the header is whole but still that
 * of the older life.
 */
#include "wal/segment.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <xxhash.h>

#include "wal/wal.h"

#define SEQUENCE_MAX (1ULL << 48)

void wal_segment_name(uint64_t sequence, char name[WAL_NAME_BYTES])
{
	snprintf(name, WAL_NAME_BYTES, WAL_DIR "/%010" PRIu64, sequence);
}

struct listing {
	uint64_t *sequences;
	size_t n, max;
};

static int list_one(void *arg, const char *entry)
{
	struct listing *l = arg;
	char name[WAL_NAME_BYTES];
	const uint64_t sequence = strtoull(entry, NULL, 10);
	if (sequence == 0 || sequence > SEQUENCE_MAX)
		return 0;
	wal_segment_name(sequence, name);
	if (strcmp(name + strlen(WAL_DIR "/"), entry) != 0)
		return 0;
	if (l->n == l->max) {
		const size_t max = l->max ? 2 * l->max : 16;
		uint64_t *p = reallocarray(l->sequences, max, sizeof(*p));
		if (!p)
			return -ENOMEM;
		l->sequences = p;
		l->max = max;
	}
	l->sequences[l->n++] = sequence;
	return 0;
}

static int ascending(const void *a, const void *b)
{
	const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return (x > y) - (x < y);
}

int wal_segment_list(struct io *io, uint64_t **out, size_t *n)
{
	struct listing l = {0};
	const int r = io->ops->list(io, WAL_DIR, list_one, &l);
	if (r) {
		free(l.sequences);
		return r;
	}
	if (l.n)
		qsort(l.sequences, l.n, sizeof(*l.sequences), ascending);
	*out = l.sequences;
	*n = l.n;
	return 0;
}

static uint64_t header_checksum(const struct wal_segment_header *h)
{
	return XXH3_64bits(h, offsetof(struct wal_segment_header, checksum));
}

static bool all_zero(const uint8_t *p, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++)
		if (p[i])
			return false;
	return true;
}

/* Decode = validate, once. `block` is the first block of a file of `file_bytes`. */
static int check_header(struct wal_place *place, uint64_t sequence, uint64_t file_bytes,
        const uint8_t *block, struct wal_segment *seg, struct why *w)
{
	struct wal_segment_header h;
	char name[WAL_NAME_BYTES];
	memcpy(&h, block, sizeof(h));
	wal_segment_name(sequence, name);

	if (all_zero(block, WAL_BLOCK))
		return WAL_SEGMENT_UNFINISHED;
	if (le64_get(h.magic) != WAL_MAGIC || le64_get(h.checksum) != header_checksum(&h))
		return why(w, -EUCLEAN, "%s: the header of this log segment is damaged", name);
	if (le32_get(h.version) > WAL_FORMAT_VERSION || le32_get(h.incompat) ||
	        (le32_get(h.ro_compat) && !place->read_only))
		return why(w, -EPROTONOSUPPORT, "%s: written by a newer artfs (format %" PRIu32 ")",
		        name, le32_get(h.version));
	if (memcmp(h.uuid, place->uuid, sizeof(h.uuid)) != 0)
		return why(w, -EUCLEAN, "%s: this log segment belongs to another store", name);
	if (le64_get(h.sequence) < sequence)
		return WAL_SEGMENT_UNFINISHED;

	const uint32_t bytes = le32_get(h.segment_bytes);
	if (le64_get(h.sequence) > sequence || le64_get(h.start_lsn) > WAL_START_MAX ||
	        bytes < WAL_SEGMENT_MIN || bytes > WAL_SEGMENT_MAX || bytes % WAL_BLOCK ||
	        (place->segment_bytes && bytes != place->segment_bytes) ||
	        (file_bytes < bytes && !le32_get(h.hollow)))
		return why(w, -EUCLEAN, "%s: the header does not fit this log segment", name);
	place->segment_bytes = bytes;
	seg->sequence = sequence;
	seg->start = le64_get(h.start_lsn);
	seg->salt = le64_get(h.salt);
	seg->filled = le32_get(h.hollow) ? WAL_BLOCK : bytes;
	return 0;
}

int wal_segment_load(
        struct wal_place *place, uint64_t sequence, struct wal_segment **out, struct why *w)
{
	struct io *io = place->io;
	uint64_t bytes = 0;
	char name[WAL_NAME_BYTES];
	wal_segment_name(sequence, name);

	struct wal_segment *seg = calloc(1, sizeof(*seg));
	uint8_t *block = aligned_alloc(IO_ALIGN, WAL_BLOCK);
	int r = seg && block ? 0 : -ENOMEM;
	if (r)
		goto out;
	seg->sequence = sequence;
	r = wal_segment_open(place, seg);
	if (!r)
		r = io->ops->size(io, seg->file, &bytes);
	if (!r && bytes < WAL_BLOCK) {
		r = WAL_SEGMENT_UNFINISHED;
		goto out;
	}
	if (!r)
		r = io_read(io, seg->file, block, WAL_BLOCK, 0);
	if (r) {
		why(w, r, "%s: cannot read the header: %s", name, strerror(-r));
		goto out;
	}
	r = check_header(place, sequence, bytes, block, seg, w);
out:
	free(block);
	if (seg)
		wal_segment_close(place, seg);
	if (!r)
		*out = seg;
	else
		free(seg);
	return r;
}

int wal_segment_open(const struct wal_place *place, struct wal_segment *seg)
{
	char name[WAL_NAME_BYTES];
	if (seg->file)
		return 0;
	wal_segment_name(seg->sequence, name);
	return place->io->ops->open(
	        place->io, name, IO_DIRECT | (place->read_only ? IO_READONLY : 0), &seg->file);
}

void wal_segment_close(const struct wal_place *place, struct wal_segment *seg)
{
	if (seg->file)
		place->io->ops->close(place->io, seg->file);
	seg->file = NULL;
}

/* S2: a salt that no earlier life had, so that the bytes of an earlier life are no records in this
 * one. */
static int begin_life(const struct wal_place *place, struct wal_segment *seg)
{
	uint64_t salt;
	uint8_t *block = aligned_alloc(IO_ALIGN, WAL_BLOCK);
	if (!block)
		return -ENOMEM;
	int r = getrandom(&salt, sizeof(salt), 0) == sizeof(salt) ? 0 : -EIO;
	if (r)
		goto out;
	struct wal_segment_header h = {
	        .magic = le64_of(WAL_MAGIC),
	        .version = le32_of(WAL_FORMAT_VERSION),
	        .sequence = le64_of(seg->sequence),
	        .start_lsn = le64_of(seg->start),
	        .salt = le64_of(salt),
	        .segment_bytes = le32_of(place->segment_bytes),
	        .hollow = le32_of(seg->filled < place->segment_bytes),
	};
	memcpy(h.uuid, place->uuid, sizeof(h.uuid));
	h.checksum = le64_of(header_checksum(&h));
	memset(block, 0, WAL_BLOCK);
	memcpy(block, &h, sizeof(h));
	struct io_req reqs[2] = {
	        {.op = IO_WRITE, .link = true, .file = seg->file, .buf = block, .bytes = WAL_BLOCK},
	        {.op = IO_SYNC, .file = seg->file},
	};
	r = place->io->ops->submit(place->io, reqs, 2);
	if (!r)
		seg->salt = salt;
out:
	free(block);
	return r;
}

int wal_segment_allocate(const struct wal_place *place, struct wal_segment *seg)
{
	uint64_t bytes;
	int r = place->io->ops->size(place->io, seg->file, &bytes);
	if (r || bytes >= place->segment_bytes)
		return r;
	if (bytes % WAL_BLOCK) {
		bytes = wal_block_down(bytes);
		r = place->io->ops->truncate(place->io, seg->file, bytes);
	}
	/* Only behind what is there: a filesystem without fallocate has zeroes written. */
	return r ? r
	         : place->io->ops->allocate(
	                   place->io, seg->file, bytes, place->segment_bytes - bytes);
}

int wal_segment_create(
        const struct wal_place *place, uint64_t sequence, uint64_t start, struct wal_segment **out)
{
	struct io *io = place->io;
	char name[WAL_NAME_BYTES];
	wal_segment_name(sequence, name);
	struct wal_segment *seg = calloc(1, sizeof(*seg));
	if (!seg)
		return -ENOMEM;
	seg->sequence = sequence;
	seg->start = start;
	int r = io->ops->open(io, name, IO_CREATE | IO_DIRECT, &seg->file);
	if (r)
		goto fail;
	seg->filled = WAL_BLOCK;
	r = io->ops->truncate(io, seg->file, 0);
	if (!r)
		r = wal_segment_allocate(place, seg);
	if (!r)
		r = begin_life(place, seg);
	if (!r)
		r = io->ops->sync_dir(io, WAL_DIR);
	if (r)
		goto fail_unlink;
	*out = seg;
	return 0;

fail_unlink:
	io->ops->unlink(io, name);
fail:
	wal_segment_free(place, seg);
	return r;
}

int wal_segment_recycle(const struct wal_place *place, struct wal_segment *seg, uint64_t sequence,
        uint64_t start, bool *moved)
{
	struct io *io = place->io;
	char from[WAL_NAME_BYTES], to[WAL_NAME_BYTES];
	wal_segment_name(seg->sequence, from);
	wal_segment_name(sequence, to);
	*moved = false;
	int r = wal_segment_open(place, seg);
	if (!r)
		r = io->ops->rename(io, from, to);
	if (r)
		return r;
	*moved = true;
	seg->sequence = sequence;
	seg->start = start;
	/* The new name before the new header: so the old name never holds a header that is not its
	 * own. */
	r = io->ops->sync_dir(io, WAL_DIR);
	if (!r)
		r = begin_life(place, seg);
	if (r)
		io->ops->unlink(io, to);
	return r;
}

int wal_segment_relive(const struct wal_place *place, struct wal_segment *seg)
{
	const int r = wal_segment_open(place, seg);
	return r ? r : begin_life(place, seg);
}

int wal_segment_empty(const struct wal_place *place, struct wal_segment *seg, uint64_t start)
{
	const uint64_t was = seg->start;
	int r = wal_segment_open(place, seg);
	/* A name that was removed in vain, when the recycling of its segment had failed, would fit
	 * the old end and not the new one. */
	if (!r)
		r = place->io->ops->sync_dir(place->io, WAL_DIR);
	if (r)
		return r;
	seg->start = start;
	seg->filled = WAL_BLOCK;
	r = begin_life(place, seg);
	if (r)
		seg->start = was;
	/* What a power loss leaves of the rest are bytes of an older life. */
	return r ? r : place->io->ops->truncate(place->io, seg->file, WAL_BLOCK);
}

int wal_segment_remove(const struct wal_place *place, uint64_t sequence)
{
	char name[WAL_NAME_BYTES];
	wal_segment_name(sequence, name);
	const int r = place->io->ops->unlink(place->io, name);
	return r && r != -ENOENT ? r : place->io->ops->sync_dir(place->io, WAL_DIR);
}

void wal_segment_free(const struct wal_place *place, struct wal_segment *seg)
{
	if (!seg)
		return;
	wal_segment_close(place, seg);
	free(seg);
}
