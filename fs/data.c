/*
 * data.c - the bytes of files.
 *
 *   size <= inline_bytes_max    behind the record; every write is a transaction
 *   longer                      chunks; writes gather in the window (window.h) and reach the log
 * when it moves or is complete, at fsync, release, rename, or when memory presses
 *
 * A file becomes chunked when it outgrows its record, and inline again when it is cut to nothing.
 *
 * Rule D1: no chunk holds bytes at or behind the size, and none begins there, except those that a
 * trim mark names; growing again waits for that mark to go. So growing shows zeros.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "fs/data.h"
#include "fs/orphan.h"
#include "fs/window.h"

enum { ATIME_LAZY_S = 24 * 60 * 60 };

static int file_find(struct fs *fs, uint64_t ino, struct fs_inode **out)
{
	struct fs_inode *i = fs_inode_find(fs, ino);
	if (!i)
		return -ESTALE;
	if (!fs_inode_is_reg(i))
		return fs_inode_is_dir(i) ? -EISDIR : -EINVAL;
	*out = i;
	return 0;
}

/* ---- reading -------------------------------------------------------------------------- */

static int read_chunks(
        struct fs *fs, const struct fs_inode *i, uint64_t offset, uint8_t *buf, size_t bytes)
{
	int err = 0;
	while (bytes && !err) {
		uint32_t at = (uint32_t)(offset & (fs->chunk_bytes - 1)), n = fs->chunk_bytes - at;
		n = bytes < n ? (uint32_t)bytes : n;
		err = fs_window_read(fs, i, offset / fs->chunk_bytes, at, buf, n);
		offset += n;
		buf += n;
		bytes -= n;
	}
	return err;
}

/* The rule of relatime: often enough to tell "read since written", seldom enough to cost nothing.
 */
static bool atime_due(const struct fs_record *r, int64_t now)
{
	return r->atime <= r->mtime || r->atime <= r->ctime ||
	       now - r->atime > ATIME_LAZY_S * INT64_C(1000000000);
}

void fs_atime_touch(struct fs *fs, struct fs_inode *i)
{
	struct timespec t;
	clock_gettime(CLOCK_REALTIME, &t);
	int64_t now = fs_time_ns(&t);
	if (fs->read_only)
		return;
	pthread_rwlock_rdlock(&i->lock);
	bool due = atime_due(&i->rec, now) && i->rec.atime != now;
	pthread_rwlock_unlock(&i->lock);
	if (!due)
		return;
	pthread_rwlock_wrlock(&i->lock);
	i->rec.atime = now;
	i->atime_dirty = i->home != FS_HOME_MEMORY;
	fs_inode_relist(fs, i);
	pthread_rwlock_unlock(&i->lock);
}

ssize_t fs_read(struct fs *fs, uint64_t ino, uint64_t offset, void *buf, size_t bytes)
{
	struct fs_inode *i;
	pthread_rwlock_rdlock(&fs->ns);
	int err = file_find(fs, ino, &i);
	if (!err) {
		pthread_rwlock_rdlock(&i->lock);
		uint64_t size = i->rec.size;
		if (offset >= size)
			bytes = 0;
		else if (bytes > size - offset)
			bytes = size - offset;
		if (i->rec.chunked)
			err = read_chunks(fs, i, offset, buf, bytes);
		else if (bytes)
			err = fs_tail_read(fs, i, offset, buf, bytes);
		pthread_rwlock_unlock(&i->lock);
	}
	if (!err && bytes)
		fs_atime_touch(fs, i);
	pthread_rwlock_unlock(&fs->ns);
	return err ? err : (ssize_t)bytes;
}

/* ---- writing -------------------------------------------------------------------------- */

/* The bytes behind the record become buf[0, r->size), in one transaction. `buf` is on the heap and
 * taken. */
static int tail_set(struct fs *fs, struct fs_inode *i, const struct fs_record *r, uint8_t *buf)
{
	if (i->home == FS_HOME_MEMORY) {
		free(i->tail);
		i->tail = buf;
		i->rec = *r;
		return 0;
	}
	struct fs_txn t = {0};
	fs_txn_put(&t, fs_key_of(i), fs_record_encode(r, buf, r->size));
	free(buf);
	if (r->nlink == 0)
		fs_txn_put_empty(&t, fs_key_ino(FS_SPACE_ORPHAN, i->ino));
	int err = fs_txn_commit(fs->art, &t);
	if (!err)
		fs_staged(fs, i, r);
	return err;
}

/* The tail, as long as `r` says, with zeros behind what there is. */
static int tail_resized(
        struct fs *fs, const struct fs_inode *i, const struct fs_record *r, uint8_t **out)
{
	size_t have = i->rec.size < r->size ? i->rec.size : r->size;
	uint8_t *buf = calloc(1, r->size ? r->size : 1);
	if (!buf)
		return -ENOMEM;
	int err = fs_tail_read(fs, i, 0, buf, have);
	if (err)
		free(buf);
	else
		*out = buf;
	return err;
}

static int write_inline(
        struct fs *fs, struct fs_inode *i, uint64_t offset, const void *buf, size_t bytes)
{
	struct fs_record r = i->rec;
	uint8_t *tail;
	if (r.size < offset + bytes)
		r.size = offset + bytes;
	r.mtime = r.ctime = fs_record_now(&r);
	int err = tail_resized(fs, i, &r, &tail);
	if (err)
		return err;
	memcpy(tail + offset, buf, bytes);
	return tail_set(fs, i, &r, tail);
}

/* From behind the record into the window. The dictionary follows with the next flush. */
static int become_chunked(struct fs *fs, struct fs_inode *i)
{
	struct fs_record r = i->rec;
	uint8_t *tail;
	int err = tail_resized(fs, i, &r, &tail);
	if (err)
		return err;
	err = fs_window_open(fs, i, 0);
	if (!err && r.size)
		err = fs_window_write(fs, i, 0, tail, (uint32_t)r.size);
	free(tail);
	if (err) {
		fs_window_close(fs, i);
		return err;
	}
	i->rec.chunked = true;
	if (i->home == FS_HOME_MEMORY) {
		i->home = FS_HOME_INO;
		free(i->tail);
		i->tail = NULL;
	}
	return 0;
}

static int write_piece(
        struct fs *fs, struct fs_inode *i, uint64_t offset, const void *buf, uint32_t bytes)
{
	uint32_t at = (uint32_t)(offset & (fs->chunk_bytes - 1));
	int err = fs_window_open(fs, i, offset / fs->chunk_bytes);
	if (!err)
		err = fs_window_write(fs, i, at, buf, bytes);
	if (err)
		return err;
	if (i->rec.size < offset + bytes)
		i->rec.size = offset + bytes;
	i->rec.mtime = i->rec.ctime = fs_record_now(&i->rec);
	const struct fs_window *w = i->window;
	if (w->lo != 0 || w->hi != fs->chunk_bytes)
		return 0;
	/* Complete: nothing is gained by keeping it. If the log refuses it now, it is tried again
	 * later and fsync tells. */
	if (fs_inode_flush(fs, i) == 0)
		fs_window_close(fs, i);
	return 0;
}

static ssize_t write_locked(
        struct fs *fs, struct fs_inode *i, uint64_t offset, const uint8_t *buf, size_t bytes)
{
	uint64_t end = offset + bytes;
	int err = fs_trim_finish(fs, i);
	if (err)
		return err;
	if (!i->rec.chunked && (end > i->rec.size ? end : i->rec.size) <= fs->inline_bytes_max) {
		err = write_inline(fs, i, offset, buf, bytes);
		return err ? err : (ssize_t)bytes;
	}
	if (!i->rec.chunked)
		err = become_chunked(fs, i);
	size_t done = 0;
	while (!err && done < bytes) {
		uint32_t at = (uint32_t)((offset + done) & (fs->chunk_bytes - 1));
		uint32_t n = fs->chunk_bytes - at;
		n = bytes - done < n ? (uint32_t)(bytes - done) : n;
		err = write_piece(fs, i, offset + done, buf + done, n);
		if (!err)
			done += n;
	}
	return err && !done ? err : (ssize_t)done;
}

/* While too much is buffered, writes and frees the oldest window. Needs ns. */
static int press(struct fs *fs)
{
	for (;;) {
		pthread_mutex_lock(&fs->table_lock);
		bool full = fs->buffered_bytes >= fs->data_buffer_bytes;
		struct fs_inode *i = full ? fs->oldest : NULL;
		pthread_mutex_unlock(&fs->table_lock);
		if (!i)
			return 0;
		pthread_rwlock_wrlock(&i->lock);
		int err = fs_inode_flush(fs, i);
		if (!err)
			fs_window_close(fs, i);
		pthread_rwlock_unlock(&i->lock);
		if (err)
			return err;
	}
}

ssize_t fs_write(struct fs *fs, uint64_t ino, uint64_t offset, const void *buf, size_t bytes)
{
	struct fs_inode *i;
	if (fs->read_only)
		return -EROFS;
	if (bytes == 0)
		return 0;
	if (offset >= INT64_MAX)
		return -EFBIG;
	if (bytes > INT64_MAX - offset)
		bytes = INT64_MAX - offset;
	pthread_rwlock_rdlock(&fs->ns);
	ssize_t n = file_find(fs, ino, &i);
	if (n == 0)
		n = press(fs);
	if (n == 0) {
		pthread_rwlock_wrlock(&i->lock);
		n = write_locked(fs, i, offset, buf, bytes);
		pthread_rwlock_unlock(&i->lock);
	}
	pthread_rwlock_unlock(&fs->ns);
	return n;
}

/* ---- size ----------------------------------------------------------------------------- */

/* Chunked, to fewer bytes. The new size becomes visible in one transaction; few chunks go with it,
 * many are named by a mark in it and go after it (O1). */
static int shrink(struct fs *fs, struct fs_inode *i, struct fs_record *r, uint64_t size)
{
	uint64_t keep_chunks = (size + fs->chunk_bytes - 1) / fs->chunk_bytes;
	uint32_t rest = (uint32_t)(size & (fs->chunk_bytes - 1));
	struct fs_chunks gone;
	uint8_t *cut = NULL;
	int err = 0;
	if (fs_window_dirty(i) && i->window->chunk < keep_chunks)
		err = fs_inode_flush(fs, i);
	if (!err)
		err = fs_chunks_from(fs->art, i->ino, keep_chunks, UINT64_MAX, &gone);
	if (err)
		return err;
	struct fs_txn t = {0};
	r->stored = i->rec.stored - gone.bytes;
	if (rest) {
		uint8_t key[FS_KEY_CHUNK_BYTES];
		size_t disk_bytes = 0;
		err = art_get(fs->art, fs_key_chunk_in(key, i->ino, keep_chunks - 1), 0, NULL, 0,
		        &disk_bytes);
		if (err && err != -ENOENT)
			return err;
		if (disk_bytes > rest) {
			cut = malloc(rest);
			fs_txn_fail(&t, cut ? fs_window_read(fs, i, keep_chunks - 1, 0, cut, rest)
			                    : -ENOMEM);
			fs_txn_put(&t, fs_key_chunk(i->ino, keep_chunks - 1),
			        (struct art_bytes){cut, rest});
			r->stored -= disk_bytes - rest;
		}
	}
	r->size = size;
	r->chunked = size > 0;
	fs_txn_put(&t, fs_key_of(i), fs_record_encode(r, NULL, 0));
	if (r->nlink == 0)
		fs_txn_put_empty(&t, fs_key_ino(FS_SPACE_ORPHAN, i->ino));
	bool mark = gone.count > 0;
	if (mark)
		fs_txn_put(&t, fs_key_ino(FS_SPACE_TRIM, i->ino), fs_trim_encode(keep_chunks));
	err = fs_txn_commit(fs->art, &t);
	if (err)
		return err;
	fs_window_close(fs, i);
	fs_staged(fs, i, r);
	if (mark) {
		i->trim_from = keep_chunks;
		fs_trim_finish(fs, i); /* else tried again before it matters (D1) */
	}
	return 0;
}

int fs_resize(struct fs *fs, struct fs_inode *i, struct fs_record *r, uint64_t size)
{
	if (size > INT64_MAX)
		return -EFBIG;
	int err = fs_trim_finish(fs, i);
	if (err)
		return err;
	if (!i->rec.chunked && size <= fs->inline_bytes_max) {
		uint8_t *tail;
		r->size = size;
		err = tail_resized(fs, i, r, &tail);
		return err ? err : tail_set(fs, i, r, tail);
	}
	if (i->rec.chunked && size < i->rec.size)
		return shrink(fs, i, r, size);
	if (!i->rec.chunked)
		err = become_chunked(fs, i);
	if (err)
		return err;
	struct fs_txn t = {0};
	r->size = size;
	r->chunked = true;
	fs_stage(fs, &t, i, r, fs_key_of(i));
	err = fs_txn_commit(fs->art, &t);
	if (!err)
		fs_staged(fs, i, r);
	return err;
}
