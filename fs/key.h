/*
 * key.h - from inodes and names to keys.
 *
 * Keys are on the heap and belong to the caller (fs_txn_*() take them over). A key without data
 * says that there was no memory.
 */
#ifndef FS_KEY_H
#define FS_KEY_H

#include "art/art.h"
#include "fs/format.h"

struct fs_inode;

struct fs_key {
	uint8_t *data;
	size_t bytes;
};

enum {
	FS_KEY_SPACE_BYTES = 2,         /* 00 and the letter */
	FS_KEY_INO_BYTES = 2 + 8,       /* + ino */
	FS_KEY_CHUNK_BYTES = 2 + 8 + 8, /* + chunk */
};

/* `name` in `dir`; with `slash`, as a directory. */
struct fs_key fs_key_child(const struct fs_inode *dir, const char *name, bool slash);
/* The record of an inode at home in its path or in the inode space. */
struct fs_key fs_key_of(const struct fs_inode *i);
/* What all keys below a directory begin with: "" for the root. */
struct fs_key fs_key_prefix(const struct fs_inode *dir);

/* Keys that are not paths, in the caller's memory. */
struct art_bytes fs_key_ino_in(uint8_t buf[FS_KEY_INO_BYTES], enum fs_space space, uint64_t ino);
struct art_bytes fs_key_chunk_in(uint8_t buf[FS_KEY_CHUNK_BYTES], uint64_t ino, uint64_t chunk);
/* The same on the heap. */
struct fs_key fs_key_super(void);
struct fs_key fs_key_ino(enum fs_space space, uint64_t ino);
struct fs_key fs_key_chunk(uint64_t ino, uint64_t chunk);

uint64_t fs_be64_get(const uint8_t *b);
void fs_be64_set(uint8_t *b, uint64_t v);

static inline struct art_bytes fs_key_view(struct fs_key k)
{
	return (struct art_bytes){k.data, k.bytes};
}

/* 0 for a name that an entry can have. -ENOENT empty, -ENAMETOOLONG, -EINVAL holds a '/'. */
int fs_name_check(const char *name);
bool fs_name_is_dots(const char *name); /* "." or ".." */

#endif
