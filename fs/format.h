/*
 * format.h - the bytes of keys and values that this room keeps in the dictionary (store/SPEC.md
 * tells it in prose).
 *
 *   key                          value
 *   "a/b"                        inode record of a file with one name, or link record
 *   "a/"                         inode record of a directory; "/" is the root's
 *   00 'c'                       super record
 *   00 'd' ino chunk             bytes of a file's chunk: [chunk * chunk_bytes, ...)
 *   00 'i' ino                   inode record of a file that has, or had, several names, or has
 * none 00 'o' ino                   empty: this inode has no name; purge it when opening 00 't' ino
 * trim record: chunks from a number on are to be purged when opening
 *
 * ino and chunk in keys are 8 bytes, big-endian, so that the dictionary keeps them in order. No
 * path begins with byte 0.
 */
#ifndef FS_FORMAT_H
#define FS_FORMAT_H

#include <stddef.h>

#include "store/le.h"

enum {
	FS_SUPER_MAGIC = 0x53465241, /* "ARFS" */
	FS_FORMAT_VERSION = 1,
	FS_RECORD_VERSION = 1,
	FS_INO_BLOCK = 1024, /* inode numbers reserved at a time */
	FS_CHUNK_BYTES_MIN = 16 * 1024,
};

/* What follows byte 0 in keys that are not paths. */
enum fs_space {
	FS_SPACE_SUPER = 'c',
	FS_SPACE_DATA = 'd',
	FS_SPACE_INODE = 'i',
	FS_SPACE_ORPHAN = 'o',
	FS_SPACE_TRIM = 't',
};

struct fs_super_disk {
	le32 magic;
	le16 version;
	le16 zero;
	le32 compat, ro_compat, incompat; /* feature bits, none defined */
	le32 chunk_bytes;                 /* power of two, fixed at mkfs */
	le64 next_ino;                    /* every number from here on is unused */
};
_Static_assert(sizeof(struct fs_super_disk) == 32, "super record");

enum fs_record_type { FS_RECORD_INODE = 1, FS_RECORD_LINK = 2 };
enum { FS_RECORD_CHUNKED = 1 /* flag: the data is in chunks, not behind the record */ };

/* Followed by the file's data, unless it is chunked, or by a symlink's target. */
struct fs_inode_disk {
	uint8_t version;
	uint8_t type; /* FS_RECORD_INODE */
	le16 flags;
	le32 mode;
	le64 ino;
	le32 nlink; /* of a directory: 2 + its subdirectories */
	le32 zero;
	le32 uid, gid;
	le64 rdev;
	le64 size;                       /* bytes */
	le64 stored;                     /* bytes in all its chunks */
	le64 atime, mtime, ctime, btime; /* signed nanoseconds since 1970 */
};
_Static_assert(sizeof(struct fs_inode_disk) == 88, "inode record");
_Static_assert(offsetof(struct fs_inode_disk, atime) == 56, "inode record");

struct fs_link_disk {
	uint8_t version;
	uint8_t type; /* FS_RECORD_LINK */
	le16 zero;
	le32 mode; /* the file's type only, for readdir */
	le64 ino;
};
_Static_assert(sizeof(struct fs_link_disk) == 16, "link record");

struct fs_trim_disk {
	le64 chunk; /* the first one to purge */
};
_Static_assert(sizeof(struct fs_trim_disk) == 8, "trim record");

#endif
