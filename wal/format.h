/*
 * format.h - every byte of a log segment, as store/SPEC.md describes it.
 *
 *   offset 0        4096                                                         segment_bytes
 *          │ header │ record │ record │ ... │ LAST │ bytes of no meaning ........│
 *                     └ starts at a multiple of 8, never crosses into another segment
 *
 * The byte at offset 4096 + x of a segment has LSN start_lsn + x, so the header of a segment can be
 * written long before the segment is used, and a record tells by its own LSN whether it lies where
 * it belongs.
 */
#ifndef WAL_FORMAT_H
#define WAL_FORMAT_H

#include <stddef.h>

#include "store/io.h"
#include "store/le.h"

#define WAL_MAGIC     0x6c61777366747261ULL /* "artfswal" */
#define WAL_START_MAX (1ULL << 62)          /* LSN; sums of LSNs do not wrap */

enum {
	WAL_BLOCK = IO_ALIGN, /* unit of reading and writing; bytes of the header */
	WAL_SEGMENT_MAX = 1024 * 1024 * 1024,
	WAL_RECORD_MAX = 4 * 1024 * 1024, /* or a quarter of the segment, if that is less */
	WAL_RECORD_LAST = 1,              /* flag: nothing follows in this segment */
};

/* Header; the rest of its block is zero. It fits a 512-byte sector, so rewriting it leaves the old
 * or the new. */
struct wal_segment_header {
	le64 magic;
	le32 version;
	le32 compat;
	le32 ro_compat; /* unknown bit: the log may be read, not written */
	le32 incompat;  /* unknown bit: the log must not be read */
	uint8_t uuid[16];
	le64 sequence; /* as in the name; a lower one: renamed for reuse, but not yet prepared */
	le64 start_lsn;
	le64 salt; /* random, new in each life; seeds the checksums of the records */
	le32 segment_bytes;
	le32 hollow;   /* 1: not all of it had been written when this life began (speed only) */
	le64 checksum; /* xxh3-64 of all before it */
};

struct wal_record {
	le64 checksum; /* xxh3-64, seeded by the salt, of all behind it up to the padding's end */
	le32 payload_bytes;
	le16 type;
	le16 flags;
	le64 lsn;     /* where the record ends; for LAST, where the next segment begins */
	le64 durable; /* up to here the log was durable when this record was queued */
};

_Static_assert(sizeof(struct wal_segment_header) == 80, "header size");
_Static_assert(offsetof(struct wal_segment_header, uuid) == 24, "uuid");
_Static_assert(offsetof(struct wal_segment_header, salt) == 56, "salt");
_Static_assert(offsetof(struct wal_segment_header, checksum) == 72, "header checksum");
_Static_assert(sizeof(struct wal_record) == 32, "record header size");
_Static_assert(offsetof(struct wal_record, payload_bytes) == 8, "payload_bytes");
_Static_assert(offsetof(struct wal_record, lsn) == 16, "lsn");
_Static_assert(offsetof(struct wal_record, durable) == 24, "durable");

/* Bytes that a record takes in the log, header and padding included. */
static inline size_t wal_record_bytes(size_t payload_bytes)
{
	return (sizeof(struct wal_record) + payload_bytes + 7) & ~(size_t)7;
}

static inline uint64_t wal_block_down(uint64_t offset)
{
	return offset & ~(uint64_t)(WAL_BLOCK - 1);
}

static inline uint64_t wal_block_up(uint64_t offset)
{
	return wal_block_down(offset + WAL_BLOCK - 1);
}

#endif
