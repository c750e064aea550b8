/*
 * wal_fuzz.c - replay over segments whose bytes are whatever the fuzzer likes, with right checksums
 * if it asks.
 *
 *   a log made by wal/ ─► edits read from the input ─► open, replay, append, sync ─► open, replay
 *
 * Beside not crashing: a log that was opened for writing and appended to replays the very same
 * records and the new ones behind them.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "wal/format.h"
#include "wal/wal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
	SEGMENT = WAL_SEGMENT_MIN,
	FILES = 8, /* wal/0000000001 to wal/0000000008 */
	EDITED = 4,
};

#define CHECK(condition)                                                                           \
	do {                                                                                       \
		if (!(condition))                                                                  \
			abort();                                                                   \
	} while (0)

/* ---- files in memory ---- */

struct io_file {
	bool exists;
	size_t bytes;
	uint8_t data[SEGMENT];
};

struct memory {
	struct io io;
	struct io_file files[FILES];
};

static struct io_file *find(struct io *io, const char *name)
{
	const unsigned long n = strtoul(name + strlen("wal/"), NULL, 10);
	return n >= 1 && n <= FILES ? &((struct memory *)io)->files[n - 1] : NULL;
}

static int memory_open(struct io *io, const char *name, unsigned flags, struct io_file **out)
{
	struct io_file *f = find(io, name);
	if (!f)
		return -ENOSPC;
	if (!f->exists && !(flags & IO_CREATE))
		return -ENOENT;
	f->exists = true;
	*out = f;
	return 0;
}

static void memory_close(struct io *io, struct io_file *f)
{
	(void)io, (void)f;
}

static int memory_size(struct io *io, struct io_file *f, uint64_t *bytes)
{
	(void)io;
	*bytes = f->bytes;
	return 0;
}

static int memory_submit(struct io *io, struct io_req *reqs, unsigned n)
{
	(void)io;
	for (unsigned i = 0; i < n; i++) {
		const struct io_req *r = &reqs[i];
		if (r->op == IO_SYNC)
			continue;
		CHECK(r->offset % IO_ALIGN == 0 && r->bytes % IO_ALIGN == 0);
		CHECK((uintptr_t)r->buf % IO_ALIGN == 0);
		CHECK(r->op == IO_READ || r->offset + r->bytes <= SEGMENT);
		if (r->op == IO_READ && r->offset + r->bytes > r->file->bytes)
			return -EIO;
		if (r->offset + r->bytes > r->file->bytes) {
			memset(r->file->data + r->file->bytes, 0, SEGMENT - r->file->bytes);
			r->file->bytes = r->offset + r->bytes;
		}
		if (r->op == IO_READ)
			memcpy(r->buf, r->file->data + r->offset, r->bytes);
		else
			memcpy(r->file->data + r->offset, r->buf, r->bytes);
	}
	return 0;
}

static int memory_truncate(struct io *io, struct io_file *f, uint64_t bytes)
{
	(void)io;
	CHECK(bytes <= f->bytes);
	f->bytes = bytes;
	return 0;
}

static int memory_allocate(struct io *io, struct io_file *f, uint64_t offset, uint64_t bytes)
{
	(void)io;
	CHECK(offset <= f->bytes);
	if (offset + bytes > SEGMENT) /* a header may claim to be of a larger one */
		return -ENOSPC;
	memset(f->data + offset, 0, bytes);
	f->bytes = SEGMENT;
	return 0;
}

static int memory_rename(struct io *io, const char *from, const char *to)
{
	struct io_file *f = find(io, from), *t = find(io, to);
	if (!f || !t)
		return -ENOSPC;
	*t = *f;
	f->exists = false;
	return 0;
}

static int memory_unlink(struct io *io, const char *name)
{
	struct io_file *f = find(io, name);
	if (!f || !f->exists)
		return -ENOENT;
	f->exists = false;
	return 0;
}

static int memory_name(struct io *io, const char *name)
{
	(void)io, (void)name;
	return 0;
}

static int memory_list(
        struct io *io, const char *dir, int (*each)(void *arg, const char *name), void *arg)
{
	int r = 0;
	(void)dir;
	for (unsigned i = 0; !r && i < FILES; i++) {
		char name[16];
		snprintf(name, sizeof(name), "%010u", i + 1);
		if (((struct memory *)io)->files[i].exists)
			r = each(arg, name);
	}
	return r;
}

static const struct io_ops memory_ops = {
        .name = "memory",
        .open = memory_open,
        .close = memory_close,
        .size = memory_size,
        .submit = memory_submit,
        .truncate = memory_truncate,
        .allocate = memory_allocate,
        .rename = memory_rename,
        .unlink = memory_unlink,
        .mkdir = memory_name,
        .sync_dir = memory_name,
        .list = memory_list,
};

/* ---- edits ---- */

struct input {
	const uint8_t *p;
	size_t n;
};

static uint64_t take(struct input *in, unsigned bytes)
{
	uint64_t v = 0;
	for (; bytes && in->n; bytes--, in->n--)
		v = v << 8 | *in->p++;
	return v;
}

static void stamp_header(struct io_file *f)
{
	struct wal_segment_header h;
	memcpy(&h, f->data, sizeof(h));
	h.checksum = le64_of(XXH3_64bits(&h, offsetof(struct wal_segment_header, checksum)));
	memcpy(f->data, &h, sizeof(h));
}

static void stamp_record(struct io_file *f, size_t at)
{
	struct wal_segment_header h;
	struct wal_record *rec = (struct wal_record *)(f->data + at);
	memcpy(&h, f->data, sizeof(h));
	const size_t bytes = wal_record_bytes(le32_get(rec->payload_bytes));
	if (bytes <= SEGMENT - at)
		rec->checksum = le64_of(
		        XXH3_64bits_withSeed(f->data + at + 8, bytes - 8, le64_get(h.salt)));
}

/* A header whose fields fit its place but for what the fuzzer changes afterwards. */
static void write_record(struct io_file *f, size_t at, struct input *in)
{
	struct wal_segment_header h;
	struct wal_record rec = {.payload_bytes = le32_of((uint32_t)take(in, 2))};
	memcpy(&h, f->data, sizeof(h));
	const uint64_t lsn = le64_get(h.start_lsn) + at - WAL_BLOCK;
	rec.flags = le16_of((uint16_t)take(in, 1) & 1);
	rec.lsn = le64_of(lsn + wal_record_bytes(le32_get(rec.payload_bytes)));
	if (le16_get(rec.flags))
		rec.lsn = le64_of(le64_get(h.start_lsn) + SEGMENT - WAL_BLOCK);
	rec.durable = le64_of(lsn - take(in, 2));
	memcpy(f->data + at, &rec, sizeof(rec));
}

static void edit(struct memory *m, struct input *in)
{
	while (in->n >= 4) {
		const unsigned what = (unsigned)take(in, 1);
		struct io_file *f = &m->files[take(in, 1) % EDITED];
		size_t at = take(in, 2) % SEGMENT;
		switch (what % 8) {
		case 0:
		case 1:
			for (unsigned n = 1 + what / 8 % 16; n && at < SEGMENT; n--)
				f->data[at++] = (uint8_t)take(in, 1);
			break;
		case 2:
		case 3:
			at = at / 8 * 8 % (SEGMENT - sizeof(struct wal_record));
			if (what % 8 == 2)
				write_record(f, at, in);
			stamp_record(f, at);
			break;
		case 4:
			f->data[at % sizeof(struct wal_segment_header)] = (uint8_t)take(in, 1);
			stamp_header(f);
			break;
		case 5:
			f->bytes = at;
			break;
		case 6:
			f->exists = !f->exists;
			break;
		default:
			memcpy(f->data, m->files[take(in, 1) % EDITED].data, SEGMENT);
		}
	}
}

/* ---- the log ---- */

struct sum {
	uint64_t records, hash;
};

static int add(void *arg, uint64_t lsn, uint16_t type, const void *payload, size_t bytes)
{
	struct sum *s = arg;
	s->records++;
	s->hash = XXH3_64bits_withSeed(payload, bytes, s->hash ^ lsn ^ type);
	return 0;
}

static const struct iovec piece = {"0123456789", 10};

static struct wal *open_log(struct memory *m, uint64_t from, bool read_only, struct sum *sum)
{
	const struct wal_options opt = {.segment_bytes = SEGMENT, .read_only = read_only};
	struct wal *w = NULL;
	struct why why = {{0}};
	*sum = (struct sum){0};
	if (wal_open(&m->io, &opt, &w, &why))
		return NULL;
	if (wal_replay(w, from, add, sum, &why) == 0)
		return w;
	wal_close(w);
	return NULL;
}

/* Two segments, a batch over both, two spares. */
static void make_log(struct memory *m)
{
	const struct wal_options opt = {.segment_bytes = SEGMENT};
	struct sum sum;
	CHECK(wal_format(&m->io, &opt, 0, NULL) == 0);
	struct wal *w = open_log(m, 0, false, &sum);
	CHECK(w);
	uint8_t payload[6000] = {1};
	const struct iovec large = {payload, sizeof(payload)};
	for (int i = 0; i < 14; i++) {
		CHECK(wal_reserve(w, sizeof(payload)) == 0);
		wal_append(w, (uint16_t)i, &large, 1);
		if (i % 3)
			CHECK(wal_sync(w, UINT64_MAX) == 0);
	}
	wal_close(w);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct memory base, m;
	if (!base.io.ops) {
		base.io.ops = &memory_ops;
		make_log(&base);
	}
	struct input in = {data, size};
	struct sum sum, again;
	m = base;
	const uint64_t from = take(&in, 2) % 3 * take(&in, 2);
	edit(&m, &in);

	struct wal *w = open_log(&m, from, true, &sum);
	wal_close(w);
	w = open_log(&m, from, false, &again);
	CHECK(!w || (sum.records == again.records && sum.hash == again.hash));
	if (!w)
		return 0;
	const bool shrink = from >= wal_end(w);
	if (shrink && wal_shrink(w, from)) {
		wal_close(w);
		return 0;
	}
	for (int i = 0; i < 2; i++) {
		if (wal_reserve(w, piece.iov_len)) {
			wal_close(w);
			return 0;
		}
		add(&sum, wal_append(w, 7, &piece, 1), 7, piece.iov_base, piece.iov_len);
		CHECK(wal_sync(w, UINT64_MAX) == 0);
	}
	wal_close(w);
	w = open_log(&m, from, false, &again);
	CHECK(w && sum.records == again.records && sum.hash == again.hash);
	wal_close(w);
	return 0;
}
