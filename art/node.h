/*
 * node.h - inner nodes within one frame: find, add and remove children, grow and shrink.
 *
 * Grow at the 5th, 17th and 49th child, shrink at 3, 12 and 37 (hysteresis, so that one key put and
 * removed at the border does not rebuild the node each time). Source: Leis, Kemper, Neumann, "The
 * Adaptive Radix Tree", ICDE 2013; term, chained prefixes and in-frame refs are ours.
 */
#ifndef ART_NODE_H
#define ART_NODE_H

#include "art/frame.h"
#include "art/search.h"

static inline bool is_node(uint8_t type)
{
	return type >= NODE4 && type <= NODE256;
}
static inline uint32_t node_base_bytes(uint8_t type) /* without the prefix */
{
	static const uint16_t bytes[] = {[NODE4] = sizeof(struct node4),
	        [NODE16] = sizeof(struct node16),
	        [NODE48] = sizeof(struct node48),
	        [NODE256] = sizeof(struct node256)};
	/* A reader without a lock may see anything. */
	return is_node(type) ? bytes[type] : 0;
}
static inline uint8_t *node_prefix(struct node *n)
{
	return (uint8_t *)n + node_base_bytes(n->type);
}

/* The loc of the child for `byte`, or 0. */
static inline uint32_t node_find(void *m, art_ref ref, uint8_t byte)
{
	struct node *n = frame_at(m, ref);
	unsigned i;

	switch (n->type) {
	case NODE4: {
		struct node4 *n4 = (struct node4 *)n;
		i = search4_equal(n4->byte, le16_get(n->count), byte);
		return i < 4 ? loc_of(m, &n4->child[i]) : 0;
	}
	case NODE16: {
		struct node16 *n16 = (struct node16 *)n;
		i = search16_equal(n16->byte, le16_get(n->count), byte);
		return i < 16 ? loc_of(m, &n16->child[i]) : 0;
	}
	case NODE48: {
		struct node48 *n48 = (struct node48 *)n;
		i = n48->index[byte];
		return i ? loc_of(m, &n48->child[i - 1]) : 0;
	}
	default: {
		struct node256 *n256 = (struct node256 *)n;
		return le16_get(n256->child[byte]) ? loc_of(m, &n256->child[byte]) : 0;
	}
	}
}
/* The loc of the child with the smallest byte >= `from` (0..256), whose byte goes to *byte; or 0.
 */
uint32_t node_next(void *m, art_ref ref, unsigned from, uint8_t *byte);

/* Bytes that node_add() may allocate. */
uint32_t node_add_bytes(void *m, art_ref ref);
/* Adds a child that is not there yet; `loc` is where the node itself is referred to, for it may
 * move. */
void node_add(void *m, uint32_t frame_bytes, uint32_t loc, uint8_t byte, art_ref child);
/* The same on a node that has a place for one more child: it stays where it is. */
void node_place(struct node *n, uint8_t byte, art_ref child);
/* Removes the child (not what it refers to); shrinks in place. */
void node_remove(void *m, art_ref ref, uint8_t byte);

/* A node4 with this prefix (at most PREFIX_BYTES_MAX), no children yet: node4_bytes() of room. */
static inline uint32_t node4_bytes(uint32_t prefix_bytes)
{
	return round_up(sizeof(struct node4) + prefix_bytes);
}
art_ref node4_new(void *m, uint32_t frame_bytes, const uint8_t *prefix, uint32_t prefix_bytes);
/* Drops the first `cut` bytes of the prefix, in place. */
void node_trim(void *m, art_ref ref, uint32_t cut);
/* Puts `n` bytes before the prefix; allocates a copy of the node, whose ref replaces it at `loc`.
 */
void node_prepend(void *m, uint32_t frame_bytes, uint32_t loc, const uint8_t *bytes, uint32_t n);

/* A leaf: round_up(sizeof(struct leaf) + suffix + payload) bytes of room. */
art_ref leaf_new(void *m, uint32_t frame_bytes, const uint8_t *suffix, uint32_t suffix_bytes,
        enum home home, const void *payload, uint32_t payload_bytes);
/* Drops the first `cut` bytes of the suffix, in place. */
void leaf_trim(void *m, art_ref ref, uint32_t cut);

#endif
