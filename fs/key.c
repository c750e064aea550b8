/*
 * key.c - from inodes and names to keys.
 *
 *   root "a" "b"      directory b:  a/b/      file b:  a/b      root itself:  /      below root: ""
 *
 * The walk goes from the inode up to the root twice: once to add up lengths, once to fill in
 * backwards.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fs/inode.h"

static size_t prefix_bytes(const struct fs_inode *dir)
{
	size_t n = 0;
	for (; dir->parent; dir = dir->parent)
		n += strlen(dir->name) + 1;
	return n;
}

static void prefix_fill(const struct fs_inode *dir, uint8_t *end)
{
	for (; dir->parent; dir = dir->parent) {
		size_t n = strlen(dir->name);
		*--end = '/';
		end -= n;
		memcpy(end, dir->name, n);
	}
}

struct fs_key fs_key_child(const struct fs_inode *dir, const char *name, bool slash)
{
	size_t prefix = prefix_bytes(dir), n = strlen(name);
	struct fs_key k = {malloc(prefix + n + 1), prefix + n + slash};
	if (k.data) {
		prefix_fill(dir, k.data + prefix);
		memcpy(k.data + prefix, name, n);
		k.data[prefix + n] = '/';
	}
	return k;
}

struct fs_key fs_key_prefix(const struct fs_inode *dir)
{
	size_t prefix = prefix_bytes(dir);
	struct fs_key k = {malloc(prefix + 1), prefix};
	if (k.data)
		prefix_fill(dir, k.data + prefix);
	return k;
}

struct fs_key fs_key_of(const struct fs_inode *i)
{
	if (i->home == FS_HOME_INO)
		return fs_key_ino(FS_SPACE_INODE, i->ino);
	if (i->parent)
		return fs_key_child(i->parent, i->name, fs_inode_is_dir(i));
	struct fs_key k = {malloc(1), 1};
	if (k.data)
		k.data[0] = '/';
	return k;
}

void fs_be64_set(uint8_t *b, uint64_t v)
{
	v = __builtin_bswap64(v);
	memcpy(b, &v, sizeof(v));
}

uint64_t fs_be64_get(const uint8_t *b)
{
	uint64_t v;
	memcpy(&v, b, sizeof(v));
	return __builtin_bswap64(v);
}

struct art_bytes fs_key_ino_in(uint8_t buf[FS_KEY_INO_BYTES], enum fs_space space, uint64_t ino)
{
	buf[0] = 0;
	buf[1] = (uint8_t)space;
	fs_be64_set(buf + FS_KEY_SPACE_BYTES, ino);
	return (struct art_bytes){buf, FS_KEY_INO_BYTES};
}

struct art_bytes fs_key_chunk_in(uint8_t buf[FS_KEY_CHUNK_BYTES], uint64_t ino, uint64_t chunk)
{
	fs_key_ino_in(buf, FS_SPACE_DATA, ino);
	fs_be64_set(buf + FS_KEY_INO_BYTES, chunk);
	return (struct art_bytes){buf, FS_KEY_CHUNK_BYTES};
}

struct fs_key fs_key_super(void)
{
	struct fs_key k = {malloc(FS_KEY_SPACE_BYTES), FS_KEY_SPACE_BYTES};
	if (k.data) {
		k.data[0] = 0;
		k.data[1] = FS_SPACE_SUPER;
	}
	return k;
}

struct fs_key fs_key_ino(enum fs_space space, uint64_t ino)
{
	struct fs_key k = {malloc(FS_KEY_INO_BYTES), FS_KEY_INO_BYTES};
	if (k.data)
		fs_key_ino_in(k.data, space, ino);
	return k;
}

struct fs_key fs_key_chunk(uint64_t ino, uint64_t chunk)
{
	struct fs_key k = {malloc(FS_KEY_CHUNK_BYTES), FS_KEY_CHUNK_BYTES};
	if (k.data)
		fs_key_chunk_in(k.data, ino, chunk);
	return k;
}

int fs_name_check(const char *name)
{
	size_t n = strnlen(name, FS_NAME_BYTES_MAX + 1);
	if (n == 0)
		return -ENOENT;
	if (n > FS_NAME_BYTES_MAX)
		return -ENAMETOOLONG;
	return strchr(name, '/') ? -EINVAL : 0;
}

bool fs_name_is_dots(const char *name)
{
	return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}
