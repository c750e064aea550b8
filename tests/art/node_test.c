/*
 * node_test.c - nodes and frames as memory: growth, shrinking, order, compaction, and what the
 * decoder of frames refuses.
 */
#include "fixture.h"

#include "art/tree.h"

enum { SLOT = STORE_FRAME_MIN, ID = 9 };

static _Alignas(8) uint8_t m[SLOT];
static uint32_t loc; /* of the node under test */

static void fresh(void)
{
	memset(m, 0, sizeof(m));
	frame_init(m, ID);
	loc = entry_loc(m, entry_add(m, SLOT, node4_new(m, SLOT, (const uint8_t *)"edge", 4)));
}

static void add(unsigned byte)
{
	uint8_t b = (uint8_t)byte;

	if (frame_room(m, SLOT) < NODE_BYTES_MAX + 16) {
		struct frame_scratch s;
		assert_int_equal(frame_scratch_init(&s, SLOT), 0);
		frame_compact(&s, m);
		frame_scratch_fini(&s);
	}
	node_add(m, SLOT, loc, b, leaf_new(m, SLOT, &b, 1, HOME_LEAF, &b, 1));
}

static void del_child(unsigned byte)
{
	art_ref ref = ref_at(m, loc);

	frame_free(m, ref_at(m, node_find(m, ref, (uint8_t)byte)));
	node_remove(m, ref, (uint8_t)byte);
}

static unsigned type(void)
{
	return type_at(m, ref_at(m, loc));
}

static void assert_children(const bool *there)
{
	unsigned next = 0, count = 0;
	uint8_t byte;
	uint32_t child;

	while ((child = node_next(m, ref_at(m, loc), next, &byte)) != 0) {
		for (unsigned b = next; b < byte; b++)
			assert_false(there[b]);
		assert_true(there[byte]);
		assert_int_equal(*leaf_suffix(frame_at(m, ref_at(m, child))), byte);
		count++;
		next = byte + 1u;
	}
	for (unsigned b = next; b < 256; b++)
		assert_false(there[b]);
	const struct node *n = frame_at(m, ref_at(m, loc));
	assert_int_equal(le16_get(n->count), count);
	assert_memory_equal(node_prefix((struct node *)n), "edge", 4);
	assert_int_equal(frame_validate(m, SLOT, ID), 0);
}

static void nodes_grow_at_5_17_49_and_shrink_at_3_12_37(void **state)
{
	bool there[256] = {false};
	unsigned n = 0;

	(void)state;
	fresh();
	for (unsigned i = 0; i < 60; i++) {
		unsigned byte = i * 37 % 256;
		add(byte);
		there[byte] = true;
		n++;
		assert_int_equal(type(), n <= 4    ? NODE4
		                         : n <= 16 ? NODE16
		                         : n <= 48 ? NODE48
		                                   : NODE256);
		assert_children(there);
	}
	for (unsigned i = 0; i < 59; i++) {
		unsigned byte = i * 37 % 256;
		del_child(byte);
		there[byte] = false;
		n--;
		assert_int_equal(type(), n <= 3    ? NODE4
		                         : n <= 12 ? NODE16
		                         : n <= 37 ? NODE48
		                                   : NODE256);
		assert_children(there);
	}
}

static void compaction_loses_nothing_and_leaves_no_dead_space(void **state)
{
	bool there[256] = {false};
	struct frame_scratch s;

	(void)state;
	fresh();
	assert_int_equal(frame_scratch_init(&s, SLOT), 0);
	for (unsigned b = 0; b < 100; b++) {
		add(b);
		there[b] = true;
	}
	for (unsigned b = 0; b < 100; b += 3) {
		del_child(b);
		there[b] = false;
	}
	uint32_t live = frame_live(m);
	frame_compact(&s, m);
	loc = entry_loc(m, 0);
	assert_int_equal(frame_live(m), live);
	assert_int_equal(le32_get(frame_head(m)->dead), 0);
	assert_children(there);
	frame_scratch_fini(&s);
}

/* What a commit writes: valid, without dead space, the way before what it leads to. */
static void a_packed_frame_holds_the_same_with_its_leaves_behind_its_nodes(void **state)
{
	static _Alignas(8) uint8_t packed[SLOT];
	bool there[256] = {false};
	struct frame_scratch s;

	(void)state;
	fresh();
	assert_int_equal(frame_scratch_init(&s, SLOT), 0);
	for (unsigned b = 0; b < 80; b++) {
		add(b * 3);
		there[b * 3] = true;
	}
	for (unsigned b = 0; b < 80; b += 4) {
		del_child(b * 3);
		there[b * 3] = false;
	}
	uint32_t live = frame_live(m);
	assert_true(le32_get(frame_head(m)->dead) > 0);
	memset(packed, 0xee, sizeof(packed));
	uint32_t bytes = frame_pack(&s, packed, m);
	assert_int_equal(bytes, live);
	memset(packed + bytes, 0, SLOT - bytes); /* as it is read back */
	assert_int_equal(frame_validate(m, SLOT, ID), 0);
	memcpy(m, packed, SLOT);
	loc = entry_loc(m, 0);
	assert_int_equal(le32_get(frame_head(m)->dead), 0);
	assert_children(there);
	for (unsigned b = 0; b < 256; b++)
		if (there[b])
			assert_true(ref_at(m, node_find(m, ref_at(m, loc), (uint8_t)b)) >
			            ref_at(m, loc));
	frame_scratch_fini(&s);
}

static void the_decoder_refuses_every_single_damaged_byte_or_stays_safe(void **state)
{
	static uint8_t good[SLOT];
	struct frame_scratch s;
	unsigned refused = 0, used;

	(void)state;
	fresh();
	for (unsigned b = 0; b < 20; b++)
		add(b * 7);
	memcpy(good, m, SLOT);
	used = le32_get(frame_head(m)->used);
	assert_int_equal(frame_scratch_init(&s, SLOT), 0);
	for (unsigned at = 0; at < used; at++)
		for (unsigned bit = 0; bit < 8; bit++) {
			memcpy(m, good, SLOT);
			m[at] ^= (uint8_t)(1u << bit);
			if (frame_validate(m, SLOT, ID) == 0) {
				frame_weigh(&s, m);
				frame_compact(&s, m);
			} else {
				refused++;
			}
		}
	/* Keys and values may hold any byte; the rest of the frame may not. */
	assert_true(refused > used * 2);
	frame_scratch_fini(&s);
}

static void the_decoder_refuses_frames_of_others(void **state)
{
	(void)state;
	fresh();
	add(1);
	assert_int_equal(frame_validate(m, SLOT, ID), 0);
	assert_int_equal(frame_validate(m, SLOT, ID + 1), -EUCLEAN);
	frame_head(m)->version = le16_of(ART_FRAME_VERSION + 1);
	assert_int_equal(frame_validate(m, SLOT, ID), -EUCLEAN);
	fresh();
	frame_head(m)->used = le32_of(0xfffffff8); /* a bogus length is not trusted */
	assert_int_equal(frame_validate(m, SLOT, ID), -EUCLEAN);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(nodes_grow_at_5_17_49_and_shrink_at_3_12_37),
	        cmocka_unit_test(compaction_loses_nothing_and_leaves_no_dead_space),
	        cmocka_unit_test(a_packed_frame_holds_the_same_with_its_leaves_behind_its_nodes),
	        cmocka_unit_test(the_decoder_refuses_every_single_damaged_byte_or_stays_safe),
	        cmocka_unit_test(the_decoder_refuses_frames_of_others),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
