/*
 * record.c - records as numbers in memory, to and from their bytes.
 *
 *   value   ┌ fs_inode_disk (88) ┬ data, if not chunked; or the symlink's target ┐
 *           └────────────────────┴───────────────── size bytes ──────────────────┘
 *
 * No byte of a value is believed before it is checked: the length first, then version and type,
 * then each field that another one depends on.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "fs/record.h"

static int decode_link(const void *value, size_t value_bytes, struct fs_record *out)
{
	struct fs_link_disk d;
	if (value_bytes != sizeof(d))
		return -EUCLEAN;
	memcpy(&d, value, sizeof(d));
	uint32_t mode = le32_get(d.mode);
	uint64_t ino = le64_get(d.ino);
	if (le16_get(d.zero) != 0 || (mode & ~(uint32_t)S_IFMT) != 0 || mode == S_IFDIR || ino == 0)
		return -EUCLEAN;
	*out = (struct fs_record){.ino = ino, .mode = mode};
	return 0;
}

static bool plausible(const struct fs_record *r, size_t tail_bytes)
{
	if (r->ino == 0 || r->mode > (S_IFMT | 07777) || r->size > INT64_MAX)
		return false;
	if (r->chunked ? tail_bytes != 0 : tail_bytes != r->size)
		return false;
	if (r->chunked ? r->stored > r->size : r->stored != 0)
		return false;
	switch (r->mode & S_IFMT) {
	case S_IFREG:
		return true;
	case S_IFDIR:
		return !r->chunked && r->size == 0 && r->nlink >= 2;
	case S_IFLNK:
		return !r->chunked && r->size > 0 && r->size <= FS_SYMLINK_BYTES_MAX;
	case S_IFIFO:
	case S_IFSOCK:
	case S_IFCHR:
	case S_IFBLK:
		return !r->chunked && r->size == 0;
	default:
		return false;
	}
}

static int decode_inode(const void *value, size_t value_bytes, struct fs_record *out)
{
	struct fs_inode_disk d;
	if (value_bytes < sizeof(d))
		return -EUCLEAN;
	memcpy(&d, value, sizeof(d));
	if ((le16_get(d.flags) & ~FS_RECORD_CHUNKED) != 0 || le32_get(d.zero) != 0)
		return -EUCLEAN;
	struct fs_record r = {
	        .ino = le64_get(d.ino),
	        .rdev = le64_get(d.rdev),
	        .size = le64_get(d.size),
	        .stored = le64_get(d.stored),
	        .mode = le32_get(d.mode),
	        .nlink = le32_get(d.nlink),
	        .uid = le32_get(d.uid),
	        .gid = le32_get(d.gid),
	        .atime = (int64_t)le64_get(d.atime),
	        .mtime = (int64_t)le64_get(d.mtime),
	        .ctime = (int64_t)le64_get(d.ctime),
	        .btime = (int64_t)le64_get(d.btime),
	        .chunked = le16_get(d.flags) & FS_RECORD_CHUNKED,
	};
	if (!plausible(&r, value_bytes - sizeof(d)))
		return -EUCLEAN;
	*out = r;
	return 0;
}

int fs_record_decode(const void *value, size_t have, size_t value_bytes, enum fs_record_type *type,
        struct fs_record *out)
{
	const uint8_t *b = value;
	if (have < 2 || (have < value_bytes && have < sizeof(struct fs_inode_disk)))
		return -EUCLEAN;
	if (b[0] != FS_RECORD_VERSION)
		return b[0] > FS_RECORD_VERSION ? -EPROTONOSUPPORT : -EUCLEAN;
	int err = -EUCLEAN;
	if (b[1] == FS_RECORD_INODE)
		err = decode_inode(value, value_bytes, out);
	else if (b[1] == FS_RECORD_LINK)
		err = decode_link(value, value_bytes, out);
	if (err == 0)
		*type = b[1];
	return err;
}

static struct art_bytes copy(
        const void *head, size_t head_bytes, const void *tail, size_t tail_bytes)
{
	uint8_t *v = malloc(head_bytes + tail_bytes);
	if (!v)
		return (struct art_bytes){0};
	memcpy(v, head, head_bytes);
	if (tail_bytes)
		memcpy(v + head_bytes, tail, tail_bytes);
	return (struct art_bytes){v, head_bytes + tail_bytes};
}

struct art_bytes fs_record_encode(const struct fs_record *r, const void *tail, size_t tail_bytes)
{
	struct fs_inode_disk d = {
	        .version = FS_RECORD_VERSION,
	        .type = FS_RECORD_INODE,
	        .flags = le16_of(r->chunked ? FS_RECORD_CHUNKED : 0),
	        .mode = le32_of(r->mode),
	        .ino = le64_of(r->ino),
	        .nlink = le32_of(r->nlink),
	        .uid = le32_of(r->uid),
	        .gid = le32_of(r->gid),
	        .rdev = le64_of(r->rdev),
	        .size = le64_of(r->size),
	        .stored = le64_of(r->stored),
	        .atime = le64_of((uint64_t)r->atime),
	        .mtime = le64_of((uint64_t)r->mtime),
	        .ctime = le64_of((uint64_t)r->ctime),
	        .btime = le64_of((uint64_t)r->btime),
	};
	return copy(&d, sizeof(d), tail, tail_bytes);
}

struct art_bytes fs_link_encode(const struct fs_record *r)
{
	struct fs_link_disk d = {
	        .version = FS_RECORD_VERSION,
	        .type = FS_RECORD_LINK,
	        .mode = le32_of(r->mode & S_IFMT),
	        .ino = le64_of(r->ino),
	};
	return copy(&d, sizeof(d), NULL, 0);
}

int fs_super_decode(const void *value, size_t value_bytes, struct fs_super *out)
{
	struct fs_super_disk d;
	if (value_bytes < sizeof(d))
		return -EUCLEAN;
	memcpy(&d, value, sizeof(d));
	if (le32_get(d.magic) != FS_SUPER_MAGIC || le16_get(d.version) == 0)
		return -EUCLEAN;
	struct fs_super s = {
	        .compat = le32_get(d.compat),
	        .ro_compat = le32_get(d.ro_compat),
	        .incompat = le32_get(d.incompat),
	        .chunk_bytes = le32_get(d.chunk_bytes),
	        .next_ino = le64_get(d.next_ino),
	};
	if (le16_get(d.version) > FS_FORMAT_VERSION || s.incompat != 0)
		return -EPROTONOSUPPORT;
	if (value_bytes != sizeof(d) || le16_get(d.zero) != 0 || s.next_ino <= FS_ROOT ||
	        s.chunk_bytes < FS_CHUNK_BYTES_MIN || s.chunk_bytes > ART_VALUE_BYTES_MAX ||
	        (s.chunk_bytes & (s.chunk_bytes - 1)) != 0)
		return -EUCLEAN;
	*out = s;
	return 0;
}

struct art_bytes fs_super_encode(const struct fs_super *s)
{
	struct fs_super_disk d = {
	        .magic = le32_of(FS_SUPER_MAGIC),
	        .version = le16_of(FS_FORMAT_VERSION),
	        .compat = le32_of(s->compat),
	        .ro_compat = le32_of(s->ro_compat),
	        .incompat = le32_of(s->incompat),
	        .chunk_bytes = le32_of(s->chunk_bytes),
	        .next_ino = le64_of(s->next_ino),
	};
	return copy(&d, sizeof(d), NULL, 0);
}

int fs_trim_decode(const void *value, size_t value_bytes, uint64_t *chunk)
{
	struct fs_trim_disk d;
	if (value_bytes != sizeof(d))
		return -EUCLEAN;
	memcpy(&d, value, sizeof(d));
	*chunk = le64_get(d.chunk);
	return 0;
}

struct art_bytes fs_trim_encode(uint64_t chunk)
{
	struct fs_trim_disk d = {.chunk = le64_of(chunk)};
	return copy(&d, sizeof(d), NULL, 0);
}

enum { NS = 1000000000 };

int64_t fs_time_ns(const struct timespec *t)
{
	int64_t ns;
	if (__builtin_mul_overflow((int64_t)t->tv_sec, (int64_t)NS, &ns) ||
	        __builtin_add_overflow(ns, (int64_t)t->tv_nsec, &ns))
		return t->tv_sec < 0 ? INT64_MIN : INT64_MAX;
	return ns;
}

static struct timespec timespec_of(int64_t ns)
{
	int64_t sec = ns / NS, rest = ns % NS;
	if (rest < 0) {
		rest += NS;
		sec--;
	}
	return (struct timespec){.tv_sec = sec, .tv_nsec = rest};
}

int64_t fs_record_now(const struct fs_record *r)
{
	struct timespec t;
	clock_gettime(CLOCK_REALTIME, &t);
	int64_t ns = fs_time_ns(&t);
	return ns > r->ctime ? ns : r->ctime;
}

void fs_record_attr(const struct fs_record *r, struct fs_attr *out)
{
	*out = (struct fs_attr){
	        .ino = r->ino,
	        .size = r->size,
	        .blocks = ((r->chunked ? r->stored : r->size) + 511) / 512,
	        .mode = r->mode,
	        .nlink = r->nlink,
	        .uid = r->uid,
	        .gid = r->gid,
	        .rdev = r->rdev,
	        .atime = timespec_of(r->atime),
	        .mtime = timespec_of(r->mtime),
	        .ctime = timespec_of(r->ctime),
	        .btime = timespec_of(r->btime),
	};
}
