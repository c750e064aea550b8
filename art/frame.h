/*
 * frame.h - one TREE frame as memory: space, entries, and whole subtrees.
 *
 * Everything here works on the bytes of one frame (`m`) and knows nothing of caches, logs or locks.
 * Room is the caller's business: what may allocate says how much, and asserts that it is there.
 */
#ifndef ART_FRAME_H
#define ART_FRAME_H

#include <stdbool.h>

#include "art/format.h"

typedef uint16_t art_ref; /* see format.h; a plain number in host order */

static inline struct frame_head *frame_head(void *m)
{
	return m;
}
static inline void *frame_at(void *m, art_ref ref)
{
	return (char *)m + (size_t)ref * REF_BYTES;
}
static inline uint8_t type_at(const void *m, art_ref ref)
{
	return ((const uint8_t *)m)[(size_t)ref * REF_BYTES];
}
/* A loc is the byte offset of a le16 ref within its frame: a child's place in a node, a node's
 * term, or an entry of the table. It is what must be rewritten when the thing referred to moves. */
static inline art_ref ref_at(void *m, uint32_t loc)
{
	return le16_get(*(le16 *)((char *)m + loc));
}
static inline void ref_set(void *m, uint32_t loc, art_ref ref)
{
	*(le16 *)((char *)m + loc) = le16_of(ref);
}
static inline uint32_t loc_of(const void *m, const le16 *field)
{
	return (uint32_t)((const char *)field - (const char *)m);
}
static inline uint32_t round_up(uint32_t bytes)
{
	return (bytes + REF_BYTES - 1) & ~(uint32_t)(REF_BYTES - 1);
}

static inline uint64_t link_id(const struct link *l)
{
	return (uint64_t)l->id[0] | (uint64_t)l->id[1] << 8 | (uint64_t)l->id[2] << 16 |
	       (uint64_t)l->id[3] << 24 | (uint64_t)l->id[4] << 32 | (uint64_t)l->id[5] << 40;
}
void link_set(struct link *l, uint64_t id, uint8_t entry);
/* The refs that a node holds: all its child places (0 where free); the term apart. NULL for leaves and links. */
le16 *node_children(struct node *n, unsigned *max);

static inline uint8_t *leaf_suffix(struct leaf *l)
{
	return (uint8_t *)(l + 1);
}
static inline uint8_t *leaf_payload(struct leaf *l)
{
	return leaf_suffix(l) + le16_get(l->suffix_bytes);
}

/* An empty frame with room for one entry in its table (entry 0, none yet). */
void frame_init(void *m, uint64_t id);

uint32_t frame_room(void *m, uint32_t frame_bytes); /* bytes that can be allocated at once */
uint32_t frame_live(void *m);                       /* bytes in use, header included */
uint32_t node_bytes(void *m, art_ref ref);          /* of this node, leaf or link alone, rounded */

art_ref frame_alloc(void *m, uint32_t frame_bytes, uint32_t bytes);
void frame_free(void *m, art_ref ref); /* this node alone */
/* `bytes` of the used part hold nothing any more, wherever they are. */
void frame_waste(void *m, uint32_t bytes);
/* The thing at `ref` is smaller than `before` bytes now. */
void frame_shrunk(void *m, art_ref ref, uint32_t before);

/* A loc in the table for one more subtree; needs 2 x ENTRIES_MAX + REF_BYTES bytes of room at
 * worst. */
uint8_t entry_add(void *m, uint32_t frame_bytes, art_ref ref);
uint32_t entry_loc(void *m, uint8_t entry);
/* The same in a frame that may be changing: not checked, but never far beyond it. */
static inline uint32_t entry_loc_unchecked(void *m, uint8_t entry)
{
	return (uint32_t)le16_get(frame_head(m)->table) * REF_BYTES +
	       entry * (uint32_t)sizeof(le16);
}
void entry_remove(void *m, uint8_t entry); /* the table place only, not the subtree */

/* Walks over whole subtrees need scratch memory, one for each thread that changes the tree. */
struct frame_scratch {
	uint32_t frame_bytes;
	uint8_t *image; /* frame_bytes */
	struct {
		art_ref ref, from;
		uint32_t loc;
	} * todo; /* frame_bytes / REF_BYTES */
	struct {
		art_ref ref;
		uint32_t loc;
	} * leaf;         /* frame_bytes / sizeof(struct leaf) */
	uint32_t *weight; /* frame_bytes / REF_BYTES: bytes of the subtree at each ref, by
	                     frame_weigh() */
};
int frame_scratch_init(struct frame_scratch *s, uint32_t frame_bytes);
void frame_scratch_fini(struct frame_scratch *s);

/* Bytes of the subtree in this frame (links counted, not followed). */
uint32_t subtree_bytes(struct frame_scratch *s, void *m, art_ref ref);
/* Copies a subtree from frame `m` into frame `to`; needs subtree_bytes() of room there. */
art_ref subtree_copy(struct frame_scratch *s, void *to, void *m, art_ref ref);
void subtree_free(struct frame_scratch *s, void *m, art_ref ref);
/* Fills s->weight for every ref of the frame. */
void frame_weigh(struct frame_scratch *s, void *m);
/* Writes the frame without dead space to `to`, where frame_bytes have room: header, table, nodes and links, then
 * the leaves, so that what leads the way lies together. Entries keep their numbers, and all refs change. Returns
 * the bytes. */
uint32_t frame_pack(struct frame_scratch *s, void *to, void *m);
/* The same in place. */
void frame_compact(struct frame_scratch *s, void *m);

/* Decoder of bytes from disk: 0 or -EUCLEAN. */
int frame_validate(const void *m, uint32_t frame_bytes, uint64_t id);
/* The same but for the count of dead bytes: counts the live ones instead. */
int frame_measure(const void *m, uint32_t frame_bytes, uint64_t id, uint32_t *live);

#endif
