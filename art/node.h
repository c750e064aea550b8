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

static inline bool is_node(uint8_t type)
{
	return type >= NODE4 && type <= NODE256;
}
uint32_t node_base_bytes(uint8_t type); /* without the prefix */
uint8_t *node_prefix(struct node *n);

/* The loc of the child for `byte`, or 0. */
uint32_t node_find(void *m, art_ref ref, uint8_t byte);
/* The loc of the child with the smallest byte >= `from` (0..256), whose byte goes to *byte; or 0.
 */
uint32_t node_next(void *m, art_ref ref, unsigned from, uint8_t *byte);

/* Bytes that node_add() may allocate. */
uint32_t node_add_bytes(void *m, art_ref ref);
/* Adds a child that is not there yet; `loc` is where the node itself is referred to, for it may
 * move. */
void node_add(void *m, uint32_t slot_bytes, uint32_t loc, uint8_t byte, art_ref child);
/* The same on a node that has a place for one more child: it stays where it is. */
void node_place(struct node *n, uint8_t byte, art_ref child);
/* Removes the child (not what it refers to); shrinks in place. */
void node_remove(void *m, art_ref ref, uint8_t byte);

/* A node4 with this prefix (at most PREFIX_BYTES_MAX), no children yet: node4_bytes() of room. */
static inline uint32_t node4_bytes(uint32_t prefix_bytes)
{
	return round_up(sizeof(struct node4) + prefix_bytes);
}
art_ref node4_new(void *m, uint32_t slot_bytes, const uint8_t *prefix, uint32_t prefix_bytes);
/* Drops the first `cut` bytes of the prefix, in place. */
void node_trim(void *m, art_ref ref, uint32_t cut);
/* Puts `n` bytes before the prefix; allocates a copy of the node, whose ref replaces it at `loc`.
 */
void node_prepend(void *m, uint32_t slot_bytes, uint32_t loc, const uint8_t *bytes, uint32_t n);

/* A leaf: round_up(sizeof(struct leaf) + suffix + payload) bytes of room. */
art_ref leaf_new(void *m, uint32_t slot_bytes, const uint8_t *suffix, uint32_t suffix_bytes,
        enum home home, const void *payload, uint32_t payload_bytes);
/* Drops the first `cut` bytes of the suffix, in place. */
void leaf_trim(void *m, art_ref ref, uint32_t cut);

#endif
