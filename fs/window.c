/*
 * window.c - the write buffer of one inode: a view of one chunk (drawn in window.h).
 *
 * A chunk in the dictionary is never longer than what was written of it: what is missing behind its
 * end, or the whole chunk, reads as zeros.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fs/window.h"

enum { WINDOW_BYTES_MIN = FS_CHUNK_BYTES_MIN };

static int chunk_get(struct fs *fs, uint64_t ino, uint64_t chunk, uint32_t offset, void *buf,
        uint32_t bytes, uint32_t *disk_bytes)
{
	uint8_t key[FS_KEY_CHUNK_BYTES];
	size_t all = 0;
	int err = art_get(fs->art, fs_key_chunk_in(key, ino, chunk), offset, buf, bytes, &all);
	if (err && err != -ENOENT)
		return err;
	if (all > fs->chunk_bytes)
		return -EUCLEAN;
	uint32_t got = all > offset ? (uint32_t)all - offset : 0;
	if (got < bytes)
		memset((uint8_t *)buf + got, 0, bytes - got);
	*disk_bytes = (uint32_t)all;
	return 0;
}

static int reserve(struct fs *fs, struct fs_window *w, uint32_t bytes)
{
	assert(bytes <= fs->chunk_bytes);
	if (bytes <= w->cap)
		return 0;
	uint32_t cap = w->cap ? w->cap : WINDOW_BYTES_MIN;
	while (cap < bytes)
		cap *= 2;
	uint8_t *data = realloc(w->data, cap);
	if (!data)
		return -ENOMEM;
	pthread_mutex_lock(&fs->table_lock);
	fs->buffered_bytes += cap - w->cap;
	pthread_mutex_unlock(&fs->table_lock);
	w->data = data;
	w->cap = cap;
	return 0;
}

static int fill(struct fs *fs, const struct fs_inode *i, struct fs_window *w)
{
	if (w->whole)
		return 0;
	uint32_t bytes = w->disk_bytes > w->hi ? w->disk_bytes : w->hi, unused;
	int err = reserve(fs, w, bytes);
	if (!err && w->lo > 0)
		err = chunk_get(fs, i->ino, w->chunk, 0, w->data, w->lo, &unused);
	if (!err && bytes > w->hi)
		err = chunk_get(
		        fs, i->ino, w->chunk, w->hi, w->data + w->hi, bytes - w->hi, &unused);
	if (err)
		return err;
	w->bytes = bytes;
	w->whole = true;
	return 0;
}

int fs_window_open(struct fs *fs, struct fs_inode *i, uint64_t chunk)
{
	struct fs_window *w = i->window;
	if (w && w->chunk == chunk)
		return 0;
	if (fs_window_dirty(i)) {
		int err = fs_inode_flush(fs, i);
		if (err)
			return err;
	}
	uint32_t disk_bytes;
	int err = chunk_get(fs, i->ino, chunk, 0, NULL, 0, &disk_bytes);
	if (err)
		return err;
	if (!w) {
		w = calloc(1, sizeof(*w));
		if (!w)
			return -ENOMEM;
		i->window = w;
		fs_inode_relist(fs, i);
	}
	w->chunk = chunk;
	w->disk_bytes = disk_bytes;
	w->lo = w->hi = w->bytes = 0;
	w->whole = disk_bytes == 0;
	return 0;
}

int fs_window_write(
        struct fs *fs, struct fs_inode *i, uint32_t offset, const void *buf, uint32_t bytes)
{
	struct fs_window *w = i->window;
	uint32_t end = offset + bytes;
	bool dirty = w->lo < w->hi;
	int err = 0;
	if (!w->whole && dirty && (offset > w->hi || end < w->lo))
		err = fill(fs, i, w);
	if (!err)
		err = reserve(fs, w, end);
	if (err)
		return err;
	if (w->whole && offset > w->bytes)
		memset(w->data + w->bytes, 0, offset - w->bytes);
	memcpy(w->data + offset, buf, bytes);
	w->lo = dirty && w->lo < offset ? w->lo : offset;
	w->hi = dirty && w->hi > end ? w->hi : end;
	if (!w->whole && w->lo == 0 && w->hi >= w->disk_bytes)
		w->whole = true;
	if (w->whole && w->hi > w->bytes)
		w->bytes = w->hi;
	return 0;
}

void fs_window_close(struct fs *fs, struct fs_inode *i)
{
	struct fs_window *w = i->window;
	if (!w)
		return;
	pthread_mutex_lock(&fs->table_lock);
	fs->buffered_bytes -= w->cap;
	pthread_mutex_unlock(&fs->table_lock);
	i->window = NULL;
	free(w->data);
	free(w);
	fs_inode_relist(fs, i);
}

int fs_window_read(struct fs *fs, const struct fs_inode *i, uint64_t chunk, uint32_t offset,
        void *buf, uint32_t bytes)
{
	const struct fs_window *w = i->window;
	uint32_t end = offset + bytes, from = 0, to = 0, unused;
	if (w && w->chunk == chunk) {
		from = w->whole ? 0 : w->lo;
		to = w->whole ? fs->chunk_bytes : w->hi;
	}
	if (offset < from || end > to) {
		int err = chunk_get(fs, i->ino, chunk, offset, buf, bytes, &unused);
		if (err)
			return err;
	}
	from = from > offset ? from : offset;
	to = to < end ? to : end;
	if (from >= to)
		return 0;
	uint8_t *at = (uint8_t *)buf + (from - offset);
	uint32_t valid = w->whole ? w->bytes : w->hi;
	uint32_t n = valid > from ? valid - from : 0;
	n = n < to - from ? n : to - from;
	if (n)
		memcpy(at, w->data + from, n);
	memset(at + n, 0, to - from - n);
	return 0;
}

void fs_window_stage(struct fs *fs, struct fs_txn *t, struct fs_inode *i, struct fs_record *r)
{
	struct fs_window *w = i->window;
	if (!fs_window_dirty(i))
		return;
	int err = fill(fs, i, w);
	if (err) {
		fs_txn_fail(t, err);
		return;
	}
	fs_txn_put_borrowed(
	        t, fs_key_chunk(i->ino, w->chunk), (struct art_bytes){w->data, w->bytes});
	r->stored += w->bytes - w->disk_bytes;
}

void fs_window_staged(struct fs_inode *i)
{
	if (!fs_window_dirty(i))
		return;
	i->window->disk_bytes = i->window->bytes;
	i->window->lo = i->window->hi = 0;
}
