/*
 * record.h - records as numbers in memory, to and from their bytes.
 *
 * Decoding validates once: what comes out of it satisfies every rule of format.h, whatever went in.
 * Nothing here touches the dictionary.
 */
#ifndef FS_RECORD_H
#define FS_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "art/art.h"
#include "fs/format.h"
#include "fs/fs.h"

struct fs_record {
	uint64_t ino, rdev;
	uint64_t size;   /* bytes; up to INT64_MAX */
	uint64_t stored; /* bytes in chunks */
	uint32_t mode, nlink, uid, gid;
	int64_t atime, mtime, ctime, btime; /* ns since 1970 */
	bool chunked;
};

struct fs_super {
	uint32_t compat, ro_compat, incompat;
	uint32_t chunk_bytes;
	uint64_t next_ino;
};

/* `have` bytes of a value of `value_bytes` are at `value`: all, or at least sizeof(struct
 * fs_inode_disk). Of a link, ino and the type in mode are set. -EUCLEAN, -EPROTONOSUPPORT (newer
 * record). */
int fs_record_decode(const void *value, size_t have, size_t value_bytes, enum fs_record_type *type,
        struct fs_record *out);

/* The value, on the heap; data is NULL if there is no memory. */
struct art_bytes fs_record_encode(const struct fs_record *r, const void *tail, size_t tail_bytes);
struct art_bytes fs_link_encode(const struct fs_record *r);

/* -EUCLEAN; -EPROTONOSUPPORT a newer version or an unknown incompat bit. */
int fs_super_decode(const void *value, size_t value_bytes, struct fs_super *out);
struct art_bytes fs_super_encode(const struct fs_super *s);

int fs_trim_decode(const void *value, size_t value_bytes, uint64_t *chunk); /* -EUCLEAN */
struct art_bytes fs_trim_encode(uint64_t chunk);

/* The time now, but never before the inode's last change: a clock that was set back does not show.
 */
int64_t fs_record_now(const struct fs_record *r);
int64_t fs_time_ns(const struct timespec *t); /* saturates */

/* Everything but `blocks` of a file whose data is still buffered, which the caller adds. */
void fs_record_attr(const struct fs_record *r, struct fs_attr *out);

enum { FS_TYPE_MASK = 0170000, FS_TYPE_DIR = 0040000, FS_TYPE_REG = 0100000 }; /* of mode */

static inline bool fs_is_dir(const struct fs_record *r)
{
	return (r->mode & FS_TYPE_MASK) == FS_TYPE_DIR;
}
/* Bytes behind the inode record. */
static inline size_t fs_tail_bytes(const struct fs_record *r)
{
	return r->chunked ? 0 : (size_t)r->size;
}

#endif
