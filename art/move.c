/*
 * move.c - graft and exchange: whole subtrees from one prefix to another.
 *
 * What hangs below a prefix is one subtree, whose root is in one frame. If that frame holds nothing
 * else it is linked elsewhere as it is; otherwise the root's part of its frame (never more than one
 * frame) is copied to a fresh one. What hangs deeper, behind links, is not even looked at: links
 * are relative.
 *
 *      a/ ──► X ──► thousands of frames           b/ ──► X ──► the same frames
 *
 * So a graft changes the frames at the two ends, whatever lies below.
 */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "art/tree.h"

static bool begins_with(struct art_bytes whole, struct art_bytes with)
{
	return whole.bytes >= with.bytes && memcmp(whole.data, with.data, with.bytes) == 0;
}

static bool overlap(struct art_bytes x, struct art_bytes y)
{
	return begins_with(x, y) || begins_with(y, x);
}

/* The root of the subtree is all that its frame holds, and the frame is not the root frame. */
static bool owns_frame(struct txn *t, const struct walk *w)
{
	void *m = w->frame->data;

	return w->crumb > 0 && le16_get(frame_head(m)->entries) == 1 &&
	       w->loc == entry_loc(m, t->crumb[w->crumb].entry);
}

static void trim(void *m, art_ref ref, uint32_t cut)
{
	if (type_at(m, ref) == LEAF)
		leaf_trim(m, ref, cut);
	else
		node_trim(m, ref, cut);
}

/* Takes the subtree out of the tree: it is entry *entry of frame *id now, its root without the
 * bytes that the walk has matched. */
static void detach(struct txn *t, const struct walk *w, uint64_t *id, uint8_t *entry)
{
	struct art *a = t->a;
	void *m = w->frame->data;
	art_ref ref = ref_at(m, w->loc);

	if (owns_frame(t, w)) {
		*id = w->frame->id;
		*entry = t->crumb[w->crumb].entry;
		trim(m, ref, w->match);
		tree_cut(t, w, true);
		return;
	}
	struct frame *g = txn_new_frame(t, STORE_TREE);
	art_ref copy = subtree_copy(&a->scratch, g->data, m, ref);
	trim(g->data, copy, w->match);
	*id = g->id;
	*entry = entry_add(g->data, a->frame_bytes, copy);
	t->underfull = true;
	tree_cut(t, w, false);
}

static int reserve_detach(struct txn *t, struct art_bytes from)
{
	struct walk w;
	enum stop stop;
	int err = txn_walk(t, &w, from, &stop);

	if (err)
		return err;
	if (!walk_is_prefix(&w, stop))
		return -ENOENT;
	t->spares += 2; /* the copy, and a line that spills one frame more than a leaf's would */
	return tree_reserve_cut(t, &w);
}

int tree_reserve_move(struct txn *t, struct art_bytes from, struct art_bytes to, bool replace)
{
	struct place p;
	const struct walk *w = &p.walk;
	int err;

	if (overlap(from, to))
		return -EINVAL;
	if ((err = reserve_detach(t, from)) != 0 || (err = txn_find(t, &p, to)) != 0)
		return err;
	if (walk_is_prefix(w, p.stop)) {
		struct node *n = frame_at(w->frame->data, ref_at(w->frame->data, w->loc));
		bool alone = n->type == LEAF || le16_get(n->count) == 0;
		if (!replace || !walk_leaf(w, p.stop) || !alone)
			return -EEXIST;
		if ((err = tree_reserve_cut(t, w)) != 0)
			return err;
	}
	return tree_reserve_insert(t, &p, true, t->a->leaf_bytes_max / 2);
}

void tree_move(struct txn *t, struct art_bytes from, struct art_bytes to)
{
	struct walk w;
	uint64_t id;
	uint8_t entry;

	tree_remove(t, to, NULL);
	enum stop stop = txn_rewalk(t, &w, from);
	assert(walk_is_prefix(&w, stop));
	struct leaf *l = frame_at(w.frame->data, ref_at(w.frame->data, w.loc));
	if (l->type == LEAF && walk_leaf(&w, stop)) {
		/* One key alone: no frame needs to move. */
		struct payload p = {l->home, t->a->leaf_copy, le32_get(l->payload_bytes)};
		memcpy(t->a->leaf_copy, leaf_payload(l), p.bytes);
		tree_cut(t, &w, false);
		t->a->keys--;
		tree_put(t, to, &p, NULL);
		return;
	}
	detach(t, &w, &id, &entry);
	tree_attach(t, to, id, entry);
}

int tree_reserve_exchange(struct txn *t, struct art_bytes one, struct art_bytes other)
{
	struct place p;
	int err;

	if (overlap(one, other))
		return -EINVAL;
	if ((err = reserve_detach(t, one)) != 0 || (err = reserve_detach(t, other)) != 0 ||
	        (err = txn_find(t, &p, one)) != 0 ||
	        (err = tree_reserve_insert(t, &p, false, 0)) != 0 ||
	        (err = txn_find(t, &p, other)) != 0)
		return err;
	return tree_reserve_insert(t, &p, false, 0);
}

void tree_exchange(struct txn *t, struct art_bytes one, struct art_bytes other)
{
	struct walk w;
	uint64_t one_id, other_id;
	uint8_t one_entry, other_entry;

	txn_rewalk(t, &w, one);
	detach(t, &w, &one_id, &one_entry);
	txn_rewalk(t, &w, other);
	detach(t, &w, &other_id, &other_entry);
	tree_attach(t, other, one_id, one_entry);
	tree_attach(t, one, other_id, other_entry);
}
