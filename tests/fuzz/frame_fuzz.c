/*
 * frame_fuzz.c - the decoder of TREE and ARENA frames: whatever validate accepts must be safe to
 * use.
 *
 * The input is a frame (first byte even), or a row of edits (offset, byte) of a sound sample frame
 * with every kind of node in it (odd). Magic, id and the sum of live and dead bytes are restamped
 * so that most inputs get past the first gates. An accepted frame is walked, compacted, copied and
 * weighed as the tree does.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "art/tree.h"

enum { SLOT = 4096, ID = 7 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void walk_with(struct frame *f, const uint8_t *key, size_t bytes)
{
	struct walk w;

	walk_start(&w, (struct art_bytes){key, bytes}, f);
	enum stop stop = walk_down(&w);
	if (stop == STOP_LINK)
		return;
	walk_leaf(&w, stop);
	walk_is_prefix(&w, stop);
}

static void use_tree(uint8_t *m, const uint8_t *data, size_t size)
{
	struct frame f = {.id = ID, .data = m};
	struct frame_scratch s;
	uint8_t *other = aligned_alloc(IO_ALIGN, SLOT);

	if (!other || frame_scratch_init(&s, SLOT))
		abort();
	walk_with(&f, data, size < 32 ? size : 32);
	walk_with(&f, data + size / 2, size / 4);
	frame_weigh(&s, m);
	uint32_t live = frame_live(m);
	frame_compact(&s, m);
	if (frame_live(m) != live || frame_validate(m, SLOT, ID) != 0)
		abort();
	frame_init(other, ID);
	for (unsigned e = 0; e < le16_get(frame_head(m)->entries_max); e++) {
		art_ref ref = ref_at(m, entry_loc(m, (uint8_t)e));
		if (ref && subtree_bytes(&s, m, ref) + 64 < frame_room(other, SLOT)) {
			art_ref copy = subtree_copy(&s, other, m, ref);
			subtree_free(&s, other, copy);
		}
	}
	frame_scratch_fini(&s);
	free(other);
}

/* Nodes with 3, 12, 40 and 60 children, leaves in every home, terms and links. */
/* What is valid stays valid when it is packed for the disk. */
static void check_pack(uint8_t *m, uint32_t live)
{
	static _Alignas(IO_ALIGN) uint8_t packed[SLOT];
	struct frame_scratch s;

	if (frame_scratch_init(&s, SLOT) != 0)
		abort();
	memset(packed, 0, SLOT);
	if (frame_pack(&s, packed, m) != live || frame_validate(packed, SLOT, ID) != 0)
		abort();
	frame_scratch_fini(&s);
}

static void make_sample(uint8_t *m)
{
	static const unsigned children[] = {3, 12, 40, 60};
	struct arena_ref arena = {le64_of(3), le32_of(0), le32_of(9)};
	uint8_t data[32] = {1, [16] = 9};

	memset(m, 0, SLOT);
	frame_init(m, ID);
	for (unsigned i = 0; i < 4; i++) {
		uint8_t entry = entry_add(m, SLOT, node4_new(m, SLOT, (const uint8_t *)"pre/", i));
		uint32_t loc = entry_loc(m, entry);
		for (unsigned c = 0; c < children[i]; c++) {
			art_ref child;
			if (c % 3 == 0) {
				child = frame_alloc(m, SLOT, sizeof(struct link));
				link_set(frame_at(m, child), 100 + c, (uint8_t)c);
			} else if (c % 7 == 1) {
				child = leaf_new(m, SLOT, data, 1, HOME_DATA, data, 32);
			} else if (c % 7 == 2) {
				child = leaf_new(
				        m, SLOT, data, 2, HOME_ARENA, &arena, sizeof(arena));
			} else {
				child = leaf_new(m, SLOT, data, 3, HOME_LEAF, data, 2);
			}
			node_add(m, SLOT, loc, (uint8_t)(c * 4), child);
		}
		struct node *n = frame_at(m, ref_at(m, loc));
		n->term = le16_of(leaf_new(m, SLOT, NULL, 0, HOME_LEAF, data, 5));
	}
	if (frame_validate(m, SLOT, ID) != 0)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *m = aligned_alloc(IO_ALIGN, SLOT);

	if (!m)
		abort();
	if (size > 0 && data[0] % 2) {
		make_sample(m);
		for (size_t i = 1; i + 3 <= size; i += 3)
			m[(data[i] | data[i + 1] << 8) % SLOT] = data[i + 2];
	} else {
		memset(m, 0, SLOT);
		memcpy(m, data, size < SLOT ? size : SLOT);
	}
	struct frame_head *h = frame_head(m);
	h->version = le16_of(ART_FRAME_VERSION);
	h->id = le64_of(ID);
	h->incompat = le32_of(0);
	h->magic = le32_of(ART_ARENA_MAGIC);
	arena_validate(m, SLOT, ID);
	h->magic = le32_of(ART_FRAME_MAGIC);
	uint32_t live;
	if (frame_measure(m, SLOT, ID, &live) == 0 && live <= le32_get(h->used)) {
		h->dead = le32_of(le32_get(h->used) - live);
		if (frame_validate(m, SLOT, ID) != 0)
			abort();
		check_pack(m, live);
		use_tree(m, data, size);
	}
	free(m);
	return 0;
}
