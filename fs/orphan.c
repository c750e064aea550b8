/*
 * orphan.c - inodes without a name, and chunks without a use (rule O1 in orphan.h).
 *
 *   unlink      { remove "a/b", put 00 'i' ino (nlink 0), put 00 'o' ino }     crash: purged when
 * opening last use    { remove 256 chunks } ... { remove the rest, 00 'i' ino, 00 'o' ino }
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fs/orphan.h"
#include "fs/window.h"

void fs_orphan_stage(struct fs *fs, struct fs_txn *t, struct fs_inode *i, const struct fs_record *r,
        uint8_t **tail)
{
	if (r->chunked) {
		/* its window is not written: nobody will read this record again but to purge it */
		fs_txn_put(t, fs_key_ino(FS_SPACE_INODE, i->ino), fs_record_encode(r, NULL, 0));
		fs_txn_put_empty(t, fs_key_ino(FS_SPACE_ORPHAN, i->ino));
		return;
	}
	if (i->home == FS_HOME_INO)
		fs_txn_remove(t, fs_key_ino(FS_SPACE_INODE, i->ino));
	size_t bytes = fs_tail_bytes(r);
	if (bytes == 0 || (i->lookups == 0 && i->opens == 0))
		return;
	*tail = malloc(bytes);
	fs_txn_fail(t, *tail ? fs_tail_read(fs, i, 0, *tail, bytes) : -ENOMEM);
}

void fs_orphan_staged(struct fs *fs, struct fs_inode *i, const struct fs_record *r, uint8_t *tail)
{
	i->rec = *r;
	i->home = r->chunked ? FS_HOME_INO : FS_HOME_MEMORY;
	i->tail = tail;
	i->atime_dirty = false;
	fs_inode_relist(fs, i);
	fs_inode_move(fs, i, NULL, NULL);
}

int fs_chunks_from(struct art *a, uint64_t ino, uint64_t first, uint64_t max, struct fs_chunks *out)
{
	uint8_t key[FS_KEY_CHUNK_BYTES];
	struct art_cursor *c;
	struct art_entry e;
	struct fs_chunks got = {0};
	fs_key_chunk_in(key, ino, first - 1);
	int err =
	        art_cursor_open(a, (struct art_bytes){key, FS_KEY_INO_BYTES}, ART_NO_DELIMITER, &c);
	if (err)
		return err;
	if (first > 0)
		err = art_cursor_seek(c, (struct art_bytes){key + FS_KEY_INO_BYTES, 8});
	while (!err && got.count < max && (err = art_cursor_next(c, &e)) == 1) {
		err = e.name.bytes == 8 ? 0 : -EUCLEAN;
		if (err)
			break;
		if (got.n < FS_PURGE_BATCH)
			got.chunk[got.n++] = fs_be64_get(e.name.data);
		got.count++;
		got.bytes += e.value_bytes;
	}
	art_cursor_close(c);
	if (!err)
		*out = got;
	return err;
}

/* Removes the chunks from `first` on in bounded transactions; the last one also removes the keys of
 * `ino` in `also` (0-terminated). */
static int purge(struct art *a, uint64_t ino, uint64_t first, const enum fs_space *also)
{
	enum { ALSO_MAX = 3 };
	struct art_op op[FS_PURGE_BATCH + ALSO_MAX];
	uint8_t chunk_key[FS_PURGE_BATCH][FS_KEY_CHUNK_BYTES], key[ALSO_MAX][FS_KEY_INO_BYTES];
	struct fs_chunks c;
	int err;
	do {
		err = fs_chunks_from(a, ino, first, FS_PURGE_BATCH, &c);
		if (err)
			return err;
		unsigned n = 0;
		for (; n < c.n; n++)
			op[n] = (struct art_op){.type = ART_REMOVE,
			        .key = fs_key_chunk_in(chunk_key[n], ino, c.chunk[n])};
		for (unsigned k = 0; c.n < FS_PURGE_BATCH && also[k]; k++)
			op[n++] = (struct art_op){
			        .type = ART_REMOVE, .key = fs_key_ino_in(key[k], also[k], ino)};
		err = art_commit(a, op, n, NULL);
	} while (!err && c.n == FS_PURGE_BATCH);
	return err;
}

int fs_orphan_purge(struct art *a, uint64_t ino)
{
	static const enum fs_space also[] = {FS_SPACE_INODE, FS_SPACE_ORPHAN, FS_SPACE_TRIM, 0};
	return purge(a, ino, 0, also);
}

int fs_trim_purge(struct art *a, uint64_t ino, uint64_t first)
{
	static const enum fs_space also[] = {FS_SPACE_TRIM, 0};
	return purge(a, ino, first, also);
}

int fs_trim_finish(struct fs *fs, struct fs_inode *i)
{
	if (i->trim_from == UINT64_MAX)
		return 0;
	int err = fs_trim_purge(fs->art, i->ino, i->trim_from);
	if (!err)
		i->trim_from = UINT64_MAX;
	return err;
}

/* The first mark of a space: 1 and what it names, 0 if there is none. */
static int first_mark(struct art *a, enum fs_space space, uint64_t *ino, uint64_t *chunk)
{
	uint8_t prefix[FS_KEY_SPACE_BYTES] = {0, (uint8_t)space};
	struct art_cursor *c;
	struct art_entry e;
	int err = art_cursor_open(
	        a, (struct art_bytes){prefix, sizeof(prefix)}, ART_NO_DELIMITER, &c);
	if (err)
		return err;
	err = art_cursor_next(c, &e);
	if (err == 1 && (e.name.bytes != 8 || !e.value.data))
		err = -EUCLEAN;
	if (err == 1 && space == FS_SPACE_TRIM) {
		int bad = fs_trim_decode(e.value.data, e.value_bytes, chunk);
		err = bad ? bad : 1;
	}
	if (err == 1)
		*ino = fs_be64_get(e.name.data);
	art_cursor_close(c);
	return err;
}

int fs_orphans_purge_all(struct art *a)
{
	uint64_t ino, chunk;
	int err;
	while ((err = first_mark(a, FS_SPACE_ORPHAN, &ino, &chunk)) == 1) {
		err = fs_orphan_purge(a, ino);
		if (err)
			return err;
	}
	while (!err && (err = first_mark(a, FS_SPACE_TRIM, &ino, &chunk)) == 1)
		err = fs_trim_purge(a, ino, chunk);
	return err;
}
