/*
 * manifest_fuzz.c - any bytes as manifest.bin and manifest.log: refused or opened, never trusted.
 *
 *      input   2 bytes: how much of the rest is manifest.bin │ 1 byte of flags │ manifest.bin │ log
 *
 * Checksums would stop the fuzzer at the door, so they are made right first, field by field as the
 * flags say: what then reaches the decoders is what an attacker, or a bug in an encoder, could have
 * written. A store that opens is listed, checked, and one of its frames is fetched.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "store/format.h"
#include "store/store.h"

enum { BLOBS_BYTES = 64 * STORE_FRAME_MIN, KEEP_HEAD = 1, KEEP_BATCHES = 2, KEEP_COMMITS = 4 };

struct io_file {
	const uint8_t *bytes;
	size_t size;
};

struct memory_io {
	struct io io;
	struct io_file bin, log, blobs;
};

static int memory_open(struct io *io, const char *name, unsigned flags, struct io_file **out)
{
	struct memory_io *m = (struct memory_io *)io;

	assert(flags & IO_READONLY);
	*out = !strcmp(name, "manifest.bin") ? &m->bin
	       : !strcmp(name, "blobs.dat")  ? &m->blobs
	                                     : &m->log;
	return 0;
}

static void memory_close(struct io *io, struct io_file *file)
{
	(void)io;
	(void)file;
}

static int memory_size(struct io *io, struct io_file *file, uint64_t *bytes)
{
	(void)io;
	*bytes = file->size;
	return 0;
}

static int memory_submit(struct io *io, struct io_req *reqs, unsigned n)
{
	(void)io;
	for (unsigned i = 0; i < n; i++) {
		const struct io_file *f = reqs[i].file;
		assert(reqs[i].op == IO_READ);
		if (reqs[i].offset > f->size || reqs[i].bytes > f->size - reqs[i].offset)
			return reqs[i].result = -EIO;
		memcpy(reqs[i].buf, f->bytes + reqs[i].offset, reqs[i].bytes);
		reqs[i].result = 0;
	}
	return 0;
}

static int memory_lock(struct io *io, bool exclusive, unsigned wait_ms)
{
	(void)io;
	(void)wait_ms;
	assert(!exclusive);
	return 0;
}

static int memory_host_free(struct io *io, uint64_t *bytes)
{
	(void)io;
	*bytes = 1 << 20;
	return 0;
}

static void memory_register_buffers(struct io *io, void *base, size_t bytes)
{
	(void)io;
	(void)base;
	(void)bytes;
}

static const struct io_ops memory_ops = {
        .name = "memory",
        .open = memory_open,
        .close = memory_close,
        .size = memory_size,
        .submit = memory_submit,
        .lock = memory_lock,
        .host_free = memory_host_free,
        .register_buffers = memory_register_buffers,
};

static void restamp_bin(uint8_t *bin, size_t bytes, unsigned flags)
{
	struct manifest_head *h = (struct manifest_head *)bin;
	size_t body_bytes = bytes - sizeof(*h);

	h->magic = le64_of(MANIFEST_MAGIC);
	if (!(flags & KEEP_HEAD)) {
		h->version = le32_of(STORE_FORMAT_VERSION);
		h->incompat = le32_of(0);
		h->frame_bytes = le32_of(STORE_FRAME_MIN << (h->frame_bytes.b[0] & 7));
		h->body_bytes = le64_of(body_bytes);
	}
	if (le64_get(h->body_bytes) <= body_bytes)
		h->body_sum = le64_of(XXH3_64bits(h + 1, le64_get(h->body_bytes)));
	h->sum = le64_of(XXH3_64bits(h, offsetof(struct manifest_head, sum)));
}

static void restamp_log(uint8_t *log, size_t bytes, uint64_t salt, uint64_t commit, unsigned flags)
{
	struct batch_head h;
	struct batch_end end;

	for (size_t at = 0; bytes - at >= sizeof(h) + sizeof(end);) {
		size_t rest = bytes - at, batch_bytes;

		memcpy(&h, log + at, sizeof(h));
		batch_bytes = le64_get(h.bytes);
		if (!(flags & KEEP_BATCHES))
			batch_bytes = sizeof(h) + sizeof(end) +
			              batch_bytes % (rest - sizeof(h) - sizeof(end) + 1);
		if (batch_bytes < sizeof(h) + sizeof(end) || batch_bytes > rest)
			return;
		memcpy(&end, log + at + batch_bytes - sizeof(end), sizeof(end));
		h.magic = le32_of(BATCH_MAGIC);
		h.bytes = le64_of(batch_bytes);
		if (!(flags & KEEP_COMMITS))
			h.commit = end.point.commit = le64_of(++commit);
		h.sum = le64_of(XXH3_64bits_withSeed(&h, offsetof(struct batch_head, sum), salt));
		memcpy(log + at, &h, sizeof(h));
		memcpy(log + at + batch_bytes - sizeof(end), &end, sizeof(end));
		end.sum = le64_of(
		        XXH3_64bits_withSeed(log + at, batch_bytes - sizeof(end.sum), salt));
		memcpy(log + at + batch_bytes - sizeof(end), &end, sizeof(end));
		batch_bytes = (batch_bytes + MANIFEST_BLOCK_BYTES - 1) / MANIFEST_BLOCK_BYTES *
		              MANIFEST_BLOCK_BYTES;
		if (batch_bytes > rest)
			return;
		at += batch_bytes;
	}
}

static void say_nothing(void *arg, const char *line)
{
	(void)arg;
	assert(strlen(line) < 200);
}

static int get_frame(void *arg, enum store_kind kind, uint64_t id, uint64_t slot, uint32_t nslots)
{
	struct frame *f;

	(void)slot;
	(void)nslots;
	if (kind != STORE_DATA && !store_frame_get(arg, id, &f))
		store_frame_put(arg, f);
	return kind != STORE_DATA;
}

static void open_and_look(struct memory_io *m)
{
	struct store_options opt = {.cache_bytes = 1, .read_only = true};
	struct store *s;
	struct why w;

	if (store_open(&m->io, &opt, &s, &w))
		return;
	store_each_blob(s, get_frame, s);
	store_check(s, say_nothing, NULL);
	store_close(s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	static const uint8_t blobs[BLOBS_BYTES];
	struct memory_io m = {.io.ops = &memory_ops, .blobs = {blobs, BLOBS_BYTES}};
	size_t bin_bytes, log_bytes;
	uint8_t *bin, *log;
	unsigned flags;

	if (bytes < 3)
		return 0;
	bin_bytes = (size_t)(data[0] | data[1] << 8);
	flags = data[2];
	data += 3;
	bytes -= 3;
	bin_bytes = bin_bytes < bytes ? bin_bytes : bytes;
	log_bytes = bytes - bin_bytes;
	bin = malloc(bin_bytes + 1);
	log = malloc(log_bytes + 1);
	if (bin && log) {
		memcpy(bin, data, bin_bytes);
		memcpy(log, data + bin_bytes, log_bytes);
		if (bin_bytes >= sizeof(struct manifest_head)) {
			const struct manifest_head *h = (const struct manifest_head *)bin;
			restamp_bin(bin, bin_bytes, flags);
			restamp_log(log, log_bytes, le64_get(h->log_salt),
			        le64_get(h->point.commit), flags);
		}
		m.bin = (struct io_file){bin, bin_bytes};
		m.log = (struct io_file){log, log_bytes};
		open_and_look(&m);
	}
	free(bin);
	free(log);
	return 0;
}
