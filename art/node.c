/*
 * node.c - see node.h.
 */
#include "art/node.h"

#include <assert.h>
#include <string.h>

enum { SHRINK_TO_4 = 3, SHRINK_TO_16 = 12, SHRINK_TO_48 = 37 };

/* The sorted bytes of a node4 or node16, and the children beside them. */
static uint8_t *sorted(struct node *n, le16 **child)
{
	if (n->type == NODE4) {
		*child = ((struct node4 *)n)->child;
		return ((struct node4 *)n)->byte;
	}
	*child = ((struct node16 *)n)->child;
	return ((struct node16 *)n)->byte;
}

uint32_t node_next(void *m, art_ref ref, unsigned from, uint8_t *byte)
{
	struct node *n = frame_at(m, ref);
	unsigned i;

	switch (n->type) {
	case NODE4: {
		struct node4 *n4 = (struct node4 *)n;
		i = search_from_plain(n4->byte, 4, le16_get(n->count), from);
		if (i == SEARCH_NONE)
			return 0;
		*byte = n4->byte[i];
		return loc_of(m, &n4->child[i]);
	}
	case NODE16: {
		struct node16 *n16 = (struct node16 *)n;
		i = search16_from(n16->byte, le16_get(n->count), from);
		if (i == SEARCH_NONE)
			return 0;
		*byte = n16->byte[i];
		return loc_of(m, &n16->child[i]);
	}
	case NODE48: {
		struct node48 *n48 = (struct node48 *)n;
		from = search256_nonzero(n48->index, from);
		/* Asked for once more, and 0 by now only while others change it. */
		i = from < 256 ? n48->index[from] : 0;
		*byte = (uint8_t)from;
		return i ? loc_of(m, &n48->child[i - 1]) : 0;
	}
	default: {
		struct node256 *n256 = (struct node256 *)n;
		while (from < 256 && !le16_get(n256->child[from]))
			from++;
		*byte = (uint8_t)from;
		return from < 256 ? loc_of(m, &n256->child[from]) : 0;
	}
	}
}

/* The type that holds one more child. */
static uint8_t type_for(const struct node *n)
{
	unsigned count = le16_get(n->count);

	if (n->type == NODE4 && count == 4)
		return NODE16;
	if (n->type == NODE16 && count == 16)
		return NODE48;
	if (n->type == NODE48 && count == 48)
		return NODE256;
	return n->type;
}

uint32_t node_add_bytes(void *m, art_ref ref)
{
	const struct node *n = frame_at(m, ref);
	uint8_t type = type_for(n);

	return type == n->type ? 0 : round_up(node_base_bytes(type) + n->prefix_bytes);
}

void node_place(struct node *n, uint8_t byte, art_ref ref)
{
	unsigned count = le16_get(n->count);

	switch (n->type) {
	case NODE4:
	case NODE16: {
		le16 *child;
		uint8_t *b = sorted(n, &child);
		unsigned i = count;
		for (; i > 0 && b[i - 1] > byte; i--) {
			b[i] = b[i - 1];
			child[i] = child[i - 1];
		}
		b[i] = byte;
		child[i] = le16_of(ref);
		break;
	}
	case NODE48: {
		struct node48 *n48 = (struct node48 *)n;
		unsigned i = 0;
		while (le16_get(n48->child[i]))
			i++;
		assert(i < 48);
		n48->child[i] = le16_of(ref);
		n48->index[byte] = (uint8_t)(i + 1);
		break;
	}
	default:
		((struct node256 *)n)->child[byte] = le16_of(ref);
	}
	n->count = le16_of((uint16_t)(count + 1));
}

/* Fills `to`, whose type is set, with the prefix, term and children of `from`. */
static void refill(struct node *to, struct node *from)
{
	uint8_t byte;
	uint32_t loc;
	unsigned next = 0;

	to->prefix_bytes = from->prefix_bytes;
	to->term = from->term;
	memcpy(node_prefix(to), node_prefix(from), from->prefix_bytes);
	/* A node is a frame of its own for node_next(): ref 0 is where it begins. */
	while ((loc = node_next(from, 0, next, &byte)) != 0) {
		node_place(to, byte, ref_at(from, loc));
		next = byte + 1u;
	}
}

void node_add(void *m, uint32_t frame_bytes, uint32_t loc, uint8_t byte, art_ref child)
{
	art_ref ref = ref_at(m, loc);
	struct node *n = frame_at(m, ref);
	uint8_t type = type_for(n);

	if (type != n->type) {
		art_ref grown =
		        frame_alloc(m, frame_bytes, node_base_bytes(type) + n->prefix_bytes);
		struct node *g = frame_at(m, grown);
		g->type = type;
		refill(g, n);
		ref_set(m, loc, grown);
		frame_free(m, ref);
		n = g;
	}
	node_place(n, byte, child);
}

void node_remove(void *m, art_ref ref, uint8_t byte)
{
	struct node *n = frame_at(m, ref);
	unsigned count = le16_get(n->count) - 1u;

	switch (n->type) {
	case NODE4:
	case NODE16: {
		le16 *child;
		uint8_t *b = sorted(n, &child);
		unsigned i = 0;
		while (b[i] != byte)
			i++;
		for (; i < count; i++) {
			b[i] = b[i + 1];
			child[i] = child[i + 1];
		}
		b[count] = 0;
		child[count] = le16_of(0);
		break;
	}
	case NODE48: {
		struct node48 *n48 = (struct node48 *)n;
		n48->child[n48->index[byte] - 1] = le16_of(0);
		n48->index[byte] = 0;
		break;
	}
	default:
		((struct node256 *)n)->child[byte] = le16_of(0);
	}
	n->count = le16_of((uint16_t)count);

	uint8_t type = n->type;
	if (type == NODE16 && count <= SHRINK_TO_4)
		type = NODE4;
	else if (type == NODE48 && count <= SHRINK_TO_16)
		type = NODE16;
	else if (type == NODE256 && count <= SHRINK_TO_48)
		type = NODE48;
	if (type == n->type)
		return;
	uint8_t copy[NODE_BYTES_MAX];
	uint32_t before = node_bytes(m, ref);
	memcpy(copy, n, before);
	memset(n, 0, before);
	n->type = type;
	refill(n, (struct node *)copy);
	frame_shrunk(m, ref, before);
}

art_ref node4_new(void *m, uint32_t frame_bytes, const uint8_t *prefix, uint32_t prefix_bytes)
{
	assert(prefix_bytes <= PREFIX_BYTES_MAX);
	art_ref ref = frame_alloc(m, frame_bytes, node4_bytes(prefix_bytes));
	struct node *n = frame_at(m, ref);

	n->type = NODE4;
	n->prefix_bytes = (uint8_t)prefix_bytes;
	memcpy(node_prefix(n), prefix, prefix_bytes);
	return ref;
}

void node_trim(void *m, art_ref ref, uint32_t cut)
{
	struct node *n = frame_at(m, ref);
	uint8_t *p = node_prefix(n);
	uint32_t before = node_bytes(m, ref);

	assert(cut <= n->prefix_bytes);
	memmove(p, p + cut, n->prefix_bytes - cut);
	n->prefix_bytes = (uint8_t)(n->prefix_bytes - cut);
	frame_shrunk(m, ref, before);
}

void node_prepend(void *m, uint32_t frame_bytes, uint32_t loc, const uint8_t *bytes, uint32_t n)
{
	art_ref ref = ref_at(m, loc);
	struct node *old = frame_at(m, ref);
	uint32_t base = node_base_bytes(old->type);

	assert(n + old->prefix_bytes <= PREFIX_BYTES_MAX);
	art_ref new = frame_alloc(m, frame_bytes, base + old->prefix_bytes + n);
	struct node *c = frame_at(m, new);
	memcpy(c, old, base);
	memcpy(node_prefix(c), bytes, n);
	memcpy(node_prefix(c) + n, node_prefix(old), old->prefix_bytes);
	c->prefix_bytes = (uint8_t)(old->prefix_bytes + n);
	ref_set(m, loc, new);
	frame_free(m, ref);
}

art_ref leaf_new(void *m, uint32_t frame_bytes, const uint8_t *suffix, uint32_t suffix_bytes,
        enum home home, const void *payload, uint32_t payload_bytes)
{
	art_ref ref = frame_alloc(
	        m, frame_bytes, (uint32_t)sizeof(struct leaf) + suffix_bytes + payload_bytes);
	struct leaf *l = frame_at(m, ref);

	l->type = LEAF;
	l->home = (uint8_t)home;
	l->suffix_bytes = le16_of((uint16_t)suffix_bytes);
	l->payload_bytes = le32_of(payload_bytes);
	if (suffix_bytes)
		memcpy(leaf_suffix(l), suffix, suffix_bytes);
	if (payload_bytes)
		memcpy(leaf_payload(l), payload, payload_bytes);
	return ref;
}

void leaf_trim(void *m, art_ref ref, uint32_t cut)
{
	struct leaf *l = frame_at(m, ref);
	uint32_t suffix = le16_get(l->suffix_bytes), before = node_bytes(m, ref);

	assert(cut <= suffix);
	memmove(leaf_suffix(l), leaf_suffix(l) + cut, suffix - cut + le32_get(l->payload_bytes));
	l->suffix_bytes = le16_of((uint16_t)(suffix - cut));
	frame_shrunk(m, ref, before);
}
