/*
 * format.h - the bytes of TREE and ARENA frames and of log records (store/SPEC.md tells it in
 * prose).
 *
 *   TREE frame     ┌ frame_head ┬ nodes, leaves, links, entry table, dead space ... ┬ free ┐
 *                  0            48                                               used   frame_bytes
 *
 *   A ref is a 16-bit offset within the frame in units of 8 bytes; 0 (the header) means "none".
 *   entry table    le16 ref[entries_max]: the roots of the subtrees that this frame holds, a
 * forest. All of them are children of one node in the frame above. link           (blob id, entry):
 * the child is that subtree of another frame.
 *
 *   ARENA frame    ┌ arena_head ┬ value 0 ┬ value 1 ┬ ...   free   ...┬ dir[1] ┬ dir[0] ┐
 *                  0            48                    used                     frame_bytes
 */
#ifndef ART_FORMAT_H
#define ART_FORMAT_H

#include <stddef.h>

#include "store/le.h"
#include "store/store.h"

enum {
	ART_FRAME_MAGIC = 0x46545241, /* "ARTF" */
	ART_ARENA_MAGIC = 0x41545241, /* "ARTA" */
	ART_FRAME_VERSION = 1,
	REF_BYTES = 8,          /* the unit of refs, and the alignment of everything in a frame */
	PREFIX_BYTES_MAX = 255, /* longer edges are chains of nodes with one child */
	ENTRIES_MAX = 256, /* a node has at most 256 children, so a frame at most 256 subtrees */
};

struct frame_head {
	le32 magic;
	le16 version;
	le16 flags;       /* 0 */
	le64 id;          /* of this blob: a misdirected read shows */
	le32 used;        /* bytes from the start of the frame, multiple of 8 */
	le32 dead;        /* of these, in no node, leaf, link or table */
	le16 entries_max; /* length of the entry table */
	le16 entries;     /* subtrees in it */
	le16 table;       /* ref of the entry table */
	le16 zero;
	le32 compat, ro_compat, incompat; /* feature bits, none defined */
	le32 zero2;
};
_Static_assert(sizeof(struct frame_head) == 48, "frame header");

enum node_type { NODE4 = 1, NODE16 = 2, NODE48 = 3, NODE256 = 4, LEAF = 5, LINK = 6 };

/* What all inner nodes begin with. The prefix lies behind the type's own fields. */
struct node {
	uint8_t type;
	uint8_t prefix_bytes;
	le16 count; /* children; term not included */
	le16 term;  /* ref of the leaf (with an empty suffix) of the key that ends here, or 0 */
	le16 zero;
};
struct node4 {
	struct node n;
	uint8_t byte[4]; /* ascending */
	le16 child[4];
};
struct node16 {
	struct node n;
	uint8_t byte[16]; /* ascending */
	le16 child[16];
};
struct node48 {
	struct node n;
	uint8_t index[256]; /* 1 + position in child, or 0 */
	le16 child[48];     /* 0 where free */
};
struct node256 {
	struct node n;
	le16 child[256];
};
_Static_assert(sizeof(struct node) == 8, "node");
_Static_assert(sizeof(struct node4) == 20, "node4");
_Static_assert(sizeof(struct node16) == 56, "node16");
_Static_assert(sizeof(struct node48) == 360, "node48");
_Static_assert(sizeof(struct node256) == 520, "node256");
enum { NODE_BYTES_MAX = 776 /* a node256 with the longest prefix */ };

/* Where a value lives. The payload of the leaf is the value, a struct arena_ref, or a struct
 * data_ref. */
enum home { HOME_LEAF = 0, HOME_ARENA = 1, HOME_DATA = 2 };

struct leaf {
	uint8_t type; /* LEAF */
	uint8_t home;
	le16 suffix_bytes; /* the rest of the key */
	le32 payload_bytes;
	/* suffix, payload */
};
_Static_assert(sizeof(struct leaf) == 8, "leaf");

struct arena_ref {
	le64 id;
	le32 slot;
	le32 bytes;
};
_Static_assert(sizeof(struct arena_ref) == 16, "arena_ref");

struct data_ref {
	le64 id;
	le64 slot; /* first slot when written */
	le32 bytes;
	le32 zero;
	le64 sum[STORE_DATA_SUMS]; /* only as many as `bytes` needs are stored */
};
_Static_assert(offsetof(struct data_ref, sum) == 24, "data_ref");
static inline uint32_t data_ref_bytes(uint32_t data_bytes)
{
	uint32_t sums = (data_bytes + STORE_SUM_BYTES - 1) / STORE_SUM_BYTES;
	return (uint32_t)(offsetof(struct data_ref, sum) + sums * sizeof(le64));
}

struct link {
	uint8_t type; /* LINK */
	uint8_t entry;
	uint8_t id[6];
};
_Static_assert(sizeof(struct link) == REF_BYTES, "a link fits into the place of any node");

struct arena_head {
	le32 magic;
	le16 version;
	le16 flags; /* 0 */
	le64 id;
	le32 used;  /* bytes from the start of the frame to the end of the last value, multiple of 8
	             */
	le32 count; /* values, dead ones included */
	le32 compat, ro_compat, incompat;
	le32 zero[3];
};
_Static_assert(sizeof(struct arena_head) == 48, "arena header");
struct arena_slot {
	le32 offset, bytes;
};

/* Log: one record (type RECORD_TXN) per transaction, a row of these. */
enum { RECORD_TXN = 1 };
enum { RECORD_REPLACE = 1, RECORD_DATA = 2 /* `second` is a data_ref */ };
struct record_op {
	uint8_t type; /* enum art_op_type */
	uint8_t flags;
	le16 zero;
	le32 key_bytes;
	le32 second_bytes; /* PUT: value or data_ref; GRAFT, EXCHANGE: `to`; REMOVE: 0 */
	                   /* key, second */
};
_Static_assert(sizeof(struct record_op) == 12, "record_op");

#endif
