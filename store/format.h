/*
 * format.h - the bytes of manifest.bin and manifest.log. SPEC.md explains them; sizes are fixed
 * here.
 *
 *   manifest.bin   head (one block) │ entry │ entry │ ...
 *   manifest.log   batch │ batch │ ...     each padded with zeroes to whole blocks
 *   batch          batch head │ entry │ entry │ ... │ batch end
 */
#ifndef STORE_FORMAT_H
#define STORE_FORMAT_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#include "store/le.h"

#define MANIFEST_MAGIC UINT64_C(0x6e616d7366747261) /* "artfsman" */
#define BATCH_MAGIC    0x68637462U                  /* "btch" */

enum {
	MANIFEST_BLOCK_BYTES = 4096,
	MANIFEST_KNOWN_INCOMPAT = 0, /* feature bits that this code understands */
	MANIFEST_KNOWN_RO_COMPAT = 0,
	ENTRY_SUMS_MAX = 8, /* STORE_FRAME_MAX / STORE_SUM_BYTES */
};

enum entry_op { ENTRY_SET = 1, ENTRY_DELETE = 2 };

/* One blob. Frame blobs with ENTRY_SET are followed by le64 sums, one for each STORE_SUM_BYTES. */
struct entry {
	uint8_t op;
	uint8_t kind;
	le16 nslots;
	le32 value; /* frames: the caller's count; data: bytes */
	le64 id;
	le64 slot;
};
static_assert(sizeof(struct entry) == 24, "entry");
static_assert(offsetof(struct entry, value) == 4, "entry.value");
static_assert(offsetof(struct entry, id) == 8, "entry.id");
static_assert(offsetof(struct entry, slot) == 16, "entry.slot");

/* What one commit says about the whole store. */
struct commit_point {
	le64 commit; /* 1 at mkfs, then one more each time */
	le64 lsn;
	le64 tree;
	le64 keys;
	le64 user[4];
	le64 next_frame_id;
	le64 next_data_id;
	le64 blobs[3]; /* TREE, ARENA, DATA */
};
static_assert(sizeof(struct commit_point) == 104, "commit_point");
static_assert(offsetof(struct commit_point, next_frame_id) == 64, "commit_point.next_frame_id");

struct manifest_head {
	le64 magic;
	le32 version;
	le32 compat;
	le32 ro_compat;
	le32 incompat;
	uint8_t uuid[16];
	le32 frame_bytes;
	le32 reserved;
	le64 size_max;
	le64 log_salt; /* the life of manifest.log that continues this snapshot */
	le64 entries;
	le64 body_bytes;
	le64 body_sum; /* xxh3-64 of the entries */
	struct commit_point point;
	uint8_t zero[3896];
	le64 sum; /* xxh3-64 of all before it, in every version of the format */
};
static_assert(sizeof(struct manifest_head) == MANIFEST_BLOCK_BYTES, "manifest_head");
static_assert(offsetof(struct manifest_head, uuid) == 24, "manifest_head.uuid");
static_assert(offsetof(struct manifest_head, log_salt) == 56, "manifest_head.log_salt");
static_assert(offsetof(struct manifest_head, point) == 88, "manifest_head.point");
static_assert(offsetof(struct manifest_head, sum) == 4088, "manifest_head.sum");

/* All sums of a batch are xxh3-64 seeded with the salt of the log's life. */
struct batch_head {
	le32 magic;
	le32 reserved;
	le64 commit;
	le64 entries;
	le64 bytes; /* from here to the end of batch_end, without padding */
	le64 sum;   /* of the fields before */
};
static_assert(sizeof(struct batch_head) == 40, "batch_head");

struct batch_end {
	struct commit_point point;
	le64 sum; /* of the whole batch before it */
};
static_assert(sizeof(struct batch_end) == 112, "batch_end");

#endif
