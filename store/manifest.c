/*
 * manifest.c - encoding and decoding of manifest.bin and manifest.log.
 *
 *   log:  │ batch 7 │ batch 8 │ batch 9 ▒▒▒ (torn) │ 0 0 0 0 (allocated ahead)
 *         ▲ continues the snapshot at commit 6     ▲
 *                                                  └ cut before the next batch is written here
 *
 * S3: a batch counts only if its head, its entries and its end are under valid checksums, and its
 * commit number is the next one. The checksums are seeded with a salt that is new with every
 * snapshot, so batches that continued an older snapshot are noise.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "store/manifest.h"

enum { STREAM_BYTES = 256 * 1024 };

/* ---- decoding --------------------------------------------------------------------------- */

static struct manifest_point point_get(const struct commit_point *p)
{
	struct manifest_point out = {
	        .commit = le64_get(p->commit),
	        .root.lsn = le64_get(p->lsn),
	        .root.tree = le64_get(p->tree),
	        .root.keys = le64_get(p->keys),
	        .next_frame_id = le64_get(p->next_frame_id),
	        .next_data_id = le64_get(p->next_data_id),
	};
	for (int i = 0; i < 4; i++)
		out.root.user[i] = le64_get(p->user[i]);
	for (int i = 0; i < 3; i++)
		out.blobs[i] = le64_get(p->blobs[i]);
	return out;
}

/* Reads one entry at *at and moves behind it. -EUCLEAN. */
static int entry_decode(const uint8_t *buf, size_t bytes, size_t *at, uint32_t frame_bytes,
        struct manifest_entry *out)
{
	struct entry e;
	uint32_t need;

	if (bytes - *at < sizeof(e))
		return -EUCLEAN;
	memcpy(&e, buf + *at, sizeof(e));
	*out = (struct manifest_entry){
	        .op = e.op,
	        .kind = e.kind,
	        .id = le64_get(e.id),
	        .slot = le64_get(e.slot),
	        .nslots = le16_get(e.nslots),
	        .value = le32_get(e.value),
	};
	if ((out->op != ENTRY_SET && out->op != ENTRY_DELETE) || out->kind < STORE_TREE ||
	        out->kind > STORE_DATA || !out->id || out->id >> 48)
		return -EUCLEAN;
	if (out->op == ENTRY_SET && out->kind == STORE_DATA &&
	        (!out->value || out->value > STORE_DATA_MAX ||
	                out->nslots != (out->value + STORE_SLOT_BYTES - 1) / STORE_SLOT_BYTES))
		return -EUCLEAN;
	if (out->op == ENTRY_SET && out->kind != STORE_DATA &&
	        (out->nslots < 1 || out->nslots > frame_bytes / STORE_SLOT_BYTES))
		return -EUCLEAN;
	need = manifest_entry_bytes(out->op, out->kind, frame_bytes);
	if (bytes - *at < need)
		return -EUCLEAN;
	for (size_t i = 0; i < (need - sizeof(e)) / sizeof(le64); i++) {
		le64 sum;
		memcpy(&sum, buf + *at + sizeof(e) + i * sizeof(sum), sizeof(sum));
		out->sum[i] = le64_get(sum);
	}
	*at += need;
	return 0;
}

static int entries_decode(const uint8_t *buf, size_t bytes, uint64_t entries, uint32_t frame_bytes,
        manifest_each *each, void *arg)
{
	size_t at = 0;

	for (uint64_t i = 0; i < entries; i++) {
		struct manifest_entry e;
		int rc = entry_decode(buf, bytes, &at, frame_bytes, &e);
		if (!rc)
			rc = each(arg, &e);
		if (rc)
			return rc;
	}
	return at == bytes ? 0 : -EUCLEAN;
}

static bool frame_bytes_valid(uint32_t bytes)
{
	return bytes >= STORE_FRAME_MIN && bytes <= STORE_FRAME_MAX && !(bytes & (bytes - 1));
}

int manifest_decode_bin(const void *buf, size_t bytes, bool read_only, struct manifest *m,
        manifest_each *each, void *arg, struct why *w)
{
	struct manifest_head h;
	const uint8_t *body = (const uint8_t *)buf + sizeof(h);
	struct manifest out;
	uint64_t body_bytes;
	int rc;

	if (bytes < sizeof(h))
		return why(w, -EUCLEAN,
		        "manifest.bin is too short (%zu bytes): the store is damaged", bytes);
	memcpy(&h, buf, sizeof(h));
	if (le64_get(h.magic) != MANIFEST_MAGIC)
		return why(w, -EUCLEAN, "manifest.bin does not begin as one: the store is damaged");
	if (le64_get(h.sum) != XXH3_64bits(&h, offsetof(struct manifest_head, sum)))
		return why(w, -EUCLEAN,
		        "the head of manifest.bin has a bad checksum: the store is damaged");
	if (le32_get(h.version) && le32_get(h.version) < STORE_FORMAT_VERSION)
		return why(w, -EPROTONOSUPPORT,
		        "the store has format version %" PRIu32
		        ", this program knows only %d: copy the files with the artfs that made it "
		        "to a store of a new one",
		        le32_get(h.version), STORE_FORMAT_VERSION);
	if (le32_get(h.version) != STORE_FORMAT_VERSION)
		return why(w, -EPROTONOSUPPORT,
		        "the store has format version %" PRIu32
		        ", this program knows up to %d: use a "
		        "newer artfs",
		        le32_get(h.version), STORE_FORMAT_VERSION);
	if (le32_get(h.incompat) & ~(uint32_t)MANIFEST_KNOWN_INCOMPAT)
		return why(w, -EPROTONOSUPPORT,
		        "the store uses features (incompat %#" PRIx32
		        ") that this program does not "
		        "know: use a newer artfs",
		        le32_get(h.incompat));
	if ((le32_get(h.ro_compat) & ~(uint32_t)MANIFEST_KNOWN_RO_COMPAT) && !read_only)
		return why(w, -EROFS,
		        "the store uses features (ro_compat %#" PRIx32
		        ") that this program can only "
		        "read: open it read-only, or use a newer artfs",
		        le32_get(h.ro_compat));
	out = (struct manifest){
	        .compat = le32_get(h.compat),
	        .frame_bytes = le32_get(h.frame_bytes),
	        .size_max = le64_get(h.size_max),
	        .log_salt = le64_get(h.log_salt),
	        .point = point_get(&h.point),
	};
	memcpy(out.uuid, h.uuid, sizeof(out.uuid));
	body_bytes = le64_get(h.body_bytes);
	out.bin_bytes = sizeof(h) + body_bytes;
	if (!frame_bytes_valid(out.frame_bytes) || body_bytes > bytes - sizeof(h))
		return why(w, -EUCLEAN, "manifest.bin is cut short: the store is damaged");
	if (le64_get(h.body_sum) != XXH3_64bits(body, body_bytes))
		return why(w, -EUCLEAN,
		        "the entries of manifest.bin have a bad checksum: the store is damaged");
	rc = entries_decode(body, body_bytes, le64_get(h.entries), out.frame_bytes, each, arg);
	if (rc == -EUCLEAN)
		return why(w, rc, "manifest.bin contradicts itself: the store is damaged");
	if (!rc)
		*m = out;
	return rc;
}

/* The length of the whole batch at `at` if it is valid, else 0. */
static size_t batch_valid(const uint8_t *buf, size_t bytes, size_t at, uint64_t salt,
        uint64_t commit, struct batch_head *h)
{
	struct batch_end end;
	uint64_t batch_bytes;

	if (bytes - at < sizeof(*h))
		return 0;
	memcpy(h, buf + at, sizeof(*h));
	batch_bytes = le64_get(h->bytes);
	if (le32_get(h->magic) != BATCH_MAGIC || le64_get(h->commit) < commit ||
	        batch_bytes < sizeof(*h) + sizeof(end) || batch_bytes > bytes - at ||
	        le64_get(h->sum) != XXH3_64bits_withSeed(h, offsetof(struct batch_head, sum), salt))
		return 0;
	memcpy(&end, buf + at + batch_bytes - sizeof(end), sizeof(end));
	if (le64_get(end.point.commit) != le64_get(h->commit) ||
	        le64_get(end.sum) !=
	                XXH3_64bits_withSeed(buf + at, batch_bytes - sizeof(end.sum), salt))
		return 0;
	return batch_bytes;
}

static bool all_zero(const uint8_t *buf, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++)
		if (buf[i])
			return false;
	return true;
}

int manifest_decode_log(const void *log, size_t bytes, struct manifest *m, manifest_each *each,
        void *arg, struct why *w)
{
	const uint8_t *buf = log;
	struct batch_head h;
	size_t at = 0, n;

	while (at < bytes && (n = batch_valid(buf, bytes, at, m->log_salt, 0, &h))) {
		struct batch_end end;
		int rc;

		memcpy(&end, buf + at + n - sizeof(end), sizeof(end));
		rc = le64_get(h.commit) != m->point.commit + 1
		             ? -EUCLEAN
		             : entries_decode(buf + at + sizeof(h), n - sizeof(h) - sizeof(end),
		                       le64_get(h.entries), m->frame_bytes, each, arg);
		if (rc == -EUCLEAN)
			return why(w, rc,
			        "manifest.log is damaged: the batch at byte %zu contradicts itself",
			        at);
		if (rc)
			return rc;
		m->point = point_get(&end.point);
		m->log_last = at;
		at += manifest_round(n);
	}
	m->log_bytes = at;
	for (size_t later = at + MANIFEST_BLOCK_BYTES; later < bytes; later += MANIFEST_BLOCK_BYTES)
		if (batch_valid(buf, bytes, later, m->log_salt, m->point.commit + 1, &h))
			return why(w, -EUCLEAN,
			        "manifest.log is damaged at byte %zu: commit %" PRIu64
			        " is unreadable, but commit %" PRIu64 " at byte %zu is not",
			        at, m->point.commit + 1, le64_get(h.commit), later);
	m->log_dirty = at < bytes && !all_zero(buf + at, bytes - at);
	return 0;
}

/* ---- encoding --------------------------------------------------------------------------- */

static struct commit_point point_of(const struct manifest_point *p)
{
	struct commit_point out = {
	        .commit = le64_of(p->commit),
	        .lsn = le64_of(p->root.lsn),
	        .tree = le64_of(p->root.tree),
	        .keys = le64_of(p->root.keys),
	        .next_frame_id = le64_of(p->next_frame_id),
	        .next_data_id = le64_of(p->next_data_id),
	};
	for (int i = 0; i < 4; i++)
		out.user[i] = le64_of(p->root.user[i]);
	for (int i = 0; i < 3; i++)
		out.blobs[i] = le64_of(p->blobs[i]);
	return out;
}

int manifest_stream_init(struct manifest_stream *s, struct io *io)
{
	*s = (struct manifest_stream){.io = io};
	s->buf = aligned_alloc(IO_ALIGN, STREAM_BYTES);
	s->sum = XXH3_createState();
	if (s->buf && s->sum)
		return 0;
	manifest_stream_fini(s);
	return -ENOMEM;
}

void manifest_stream_fini(struct manifest_stream *s)
{
	free(s->buf);
	XXH3_freeState(s->sum);
	*s = (struct manifest_stream){0};
}

static void stream_begin(
        struct manifest_stream *s, struct io_file *file, uint64_t offset, uint64_t seed)
{
	assert(offset % MANIFEST_BLOCK_BYTES == 0);
	s->file = file;
	s->offset = offset;
	s->bytes = s->used = 0;
	s->rc = 0;
	XXH3_64bits_reset_withSeed(s->sum, seed);
}

static void stream_flush(struct manifest_stream *s)
{
	if (!s->rc && s->used)
		s->rc = io_write(s->io, s->file, s->buf, s->used, s->offset);
	s->offset += s->used;
	s->used = 0;
}

static void stream_put(struct manifest_stream *s, const void *data, size_t bytes)
{
	const uint8_t *from = data;

	XXH3_64bits_update(s->sum, data, bytes);
	s->bytes += bytes;
	while (bytes) {
		size_t n = STREAM_BYTES - s->used < bytes ? STREAM_BYTES - s->used : bytes;
		memcpy(s->buf + s->used, from, n);
		s->used += n;
		from += n;
		bytes -= n;
		if (s->used == STREAM_BYTES)
			stream_flush(s);
	}
}

/* Whole blocks only, so that the file can be written and read past the page cache. */
static int stream_end(struct manifest_stream *s)
{
	size_t whole = manifest_round(s->used);

	memset(s->buf + s->used, 0, whole - s->used);
	s->used = whole;
	stream_flush(s);
	return s->rc;
}

uint64_t manifest_batch_bytes(uint64_t entries_bytes)
{
	return sizeof(struct batch_head) + entries_bytes + sizeof(struct batch_end);
}

void manifest_batch_begin(struct manifest_stream *s, struct io_file *log, uint64_t offset,
        const struct manifest *m, uint64_t commit, uint64_t entries, uint64_t entries_bytes)
{
	struct batch_head h = {
	        .magic = le32_of(BATCH_MAGIC),
	        .commit = le64_of(commit),
	        .entries = le64_of(entries),
	        .bytes = le64_of(manifest_batch_bytes(entries_bytes)),
	};

	h.sum = le64_of(XXH3_64bits_withSeed(&h, offsetof(struct batch_head, sum), m->log_salt));
	stream_begin(s, log, offset, m->log_salt);
	stream_put(s, &h, sizeof(h));
}

void manifest_put_entry(
        struct manifest_stream *s, const struct manifest_entry *e, uint32_t frame_bytes)
{
	struct {
		struct entry e;
		le64 sum[ENTRY_SUMS_MAX];
	} disk = {.e = {
	                  .op = (uint8_t)e->op,
	                  .kind = (uint8_t)e->kind,
	                  .nslots = le16_of((uint16_t)e->nslots),
	                  .value = le32_of(e->value),
	                  .id = le64_of(e->id),
	                  .slot = le64_of(e->slot),
	          }};

	for (unsigned i = 0; i < manifest_sums(frame_bytes); i++)
		disk.sum[i] = le64_of(e->sum[i]);
	stream_put(s, &disk, manifest_entry_bytes(e->op, e->kind, frame_bytes));
}

int manifest_batch_end(struct manifest_stream *s, const struct manifest_point *p)
{
	struct batch_end end = {.point = point_of(p)};

	stream_put(s, &end.point, sizeof(end.point));
	end.sum = le64_of(XXH3_64bits_digest(s->sum));
	stream_put(s, &end.sum, sizeof(end.sum));
	return stream_end(s);
}

void manifest_bin_begin(struct manifest_stream *s, struct io_file *file)
{
	stream_begin(s, file, sizeof(struct manifest_head), 0);
}

int manifest_bin_end(struct manifest_stream *s, const struct manifest *m, uint64_t entries)
{
	uint64_t body_bytes = s->bytes, body_sum = XXH3_64bits_digest(s->sum);
	struct manifest_head *h = (struct manifest_head *)s->buf;
	int rc = stream_end(s);

	if (rc)
		return rc;
	*h = (struct manifest_head){
	        .magic = le64_of(MANIFEST_MAGIC),
	        .version = le32_of(STORE_FORMAT_VERSION),
	        .compat = le32_of(m->compat),
	        .frame_bytes = le32_of(m->frame_bytes),
	        .size_max = le64_of(m->size_max),
	        .log_salt = le64_of(m->log_salt),
	        .entries = le64_of(entries),
	        .body_bytes = le64_of(body_bytes),
	        .body_sum = le64_of(body_sum),
	        .point = point_of(&m->point),
	};
	memcpy(h->uuid, m->uuid, sizeof(h->uuid));
	h->sum = le64_of(XXH3_64bits(h, offsetof(struct manifest_head, sum)));
	return io_write(s->io, s->file, h, sizeof(*h), 0);
}

int manifest_bin_install(struct io *io, struct io_file *file, const char *name)
{
	int rc = io_sync(io, file);

	if (!rc)
		rc = io->ops->rename(io, name, "manifest.bin");
	return rc ? rc : io->ops->sync_dir(io, "");
}
