/*
 * split.c - frames that are too full, and frames that are nearly empty.
 *
 * A split moves a run of sibling subtrees (neighbours in key order, so that a scan stays in few
 * frames) that comes nearest to half of the frame. Siblings are either the frame's own entries,
 * whose common parent is in the frame above, or the children of one node of this frame. Nodes are
 * looked at along the heaviest way down, and a node at the end of a directory name is preferred, so
 * that directories stay together.
 *
 *   before:  F: n ─┬─ a ▒▒▒            after:  F: n ─┬─ a ▒▒▒         G: entry 0: ▒▒▒▒
 *                  ├─ b ▒▒▒▒                         ├─ b ──► G,0        entry 1: ▒▒▒
 *                  └─ c ▒▒▒                          └─ c ──► G,1
 *
 * The link takes the place of the moved node, so a split needs no room in F and cannot fail.
 */
#include <assert.h>
#include <string.h>

#include "art/tree.h"

/* What the headers, table and their growth may take in the new frame. */
enum { NEW_FRAME_OVERHEAD = sizeof(struct frame_head) + 4 * ENTRIES_MAX };

struct sibling {
	uint32_t bytes;
	art_ref link;  /* own entries: the link's ref in the frame above */
	uint8_t entry; /* own entries: which */
	art_ref ref;   /* the subtree's root */
};

struct family {
	struct sibling sibling[256];
	unsigned n;
	uint32_t total; /* bytes of all of them */
};

struct run {
	unsigned first, n;
	uint64_t distance; /* from half; less is better */
};

/* The best run of this family, if it beats `best`. */
static bool better_run(const struct family *f, uint32_t half, uint32_t limit, bool all,
        uint32_t bonus, struct run *best)
{
	bool found = false;
	unsigned end = 0;
	uint32_t sum = 0;

	for (unsigned first = 0; first < f->n; sum -= f->sibling[first++].bytes) {
		while (end < f->n && (end == first || sum < half)) {
			sum += f->sibling[end++].bytes;
			uint64_t distance = sum > half ? sum - half : half - sum;
			distance = distance > bonus ? distance - bonus : 0;
			if (sum <= limit && (all || end - first < f->n) &&
			        distance < best->distance) {
				*best = (struct run){first, end - first, distance};
				found = true;
			}
		}
	}
	return found;
}

/* The links of the node, in the frame above, that leads to the last frame of a walk. */
struct links {
	void *up;
	art_ref node;
	unsigned next;
};

static struct links links_above(struct txn *t, const struct walk *w)
{
	void *up = t->crumb[w->crumb - 1].frame->data;

	return (struct links){up, ref_at(up, t->crumb[w->crumb].up_loc), 0};
}

/* The next one, and where it is referred to; NULL at the end. */
static struct link *next_link(struct links *it, uint32_t *loc)
{
	uint8_t byte;

	while ((*loc = node_next(it->up, it->node, it->next, &byte)) != 0) {
		struct link *l = frame_at(it->up, ref_at(it->up, *loc));
		it->next = byte + 1u;
		if (l->type == LINK)
			return l;
	}
	return NULL;
}

/* The entries of the last frame, in the order of their links in the frame above. */
static void family_of_entries(struct txn *t, const struct walk *w, struct family *f)
{
	struct links it = links_above(t, w);
	void *m = w->frame->data;
	struct link *l;
	uint32_t loc;

	f->n = f->total = 0;
	while ((l = next_link(&it, &loc)) != NULL) {
		if (link_id(l) != w->frame->id)
			continue;
		art_ref ref = ref_at(m, entry_loc(m, l->entry));
		uint32_t bytes = t->a->scratch.weight[ref];
		f->sibling[f->n++] = (struct sibling){bytes, ref_at(it.up, loc), l->entry, ref};
		f->total += bytes;
	}
}

/* The children of a node that are not links already. */
static void family_of_node(struct txn *t, void *m, art_ref node, struct family *f)
{
	uint32_t loc;
	uint8_t byte;

	f->n = f->total = 0;
	for (unsigned next = 0; (loc = node_next(m, node, next, &byte)) != 0; next = byte + 1u) {
		art_ref ref = ref_at(m, loc);
		if (type_at(m, ref) == LINK)
			continue;
		f->sibling[f->n++] =
		        (struct sibling){.bytes = t->a->scratch.weight[ref], .ref = ref};
		f->total += t->a->scratch.weight[ref];
	}
}

static const struct sibling *heaviest(const struct family *f)
{
	const struct sibling *h = NULL;

	for (unsigned i = 0; i < f->n; i++)
		if (!h || f->sibling[i].bytes > h->bytes)
			h = &f->sibling[i];
	return h;
}

/* Moves the run to a new frame. `up` is set when the siblings are the frame's own entries. */
static void move_run(
        struct txn *t, void *m, void *up, const struct family *f, const struct run *run)
{
	struct art *a = t->a;
	struct frame *g = txn_new_frame(t, STORE_TREE);

	for (unsigned i = run->first; i < run->first + run->n; i++) {
		const struct sibling *s = &f->sibling[i];
		art_ref copy = subtree_copy(&a->scratch, g->data, m, s->ref);
		uint8_t entry = entry_add(g->data, a->slot_bytes, copy);
		if (up) {
			link_set(frame_at(up, s->link), g->id, entry);
			entry_remove(m, s->entry);
			frame_waste(m, s->bytes);
		} else {
			link_set(frame_at(m, s->ref), g->id, entry);
			frame_waste(m, s->bytes - (uint32_t)sizeof(struct link));
		}
	}
	atomic_fetch_add(&a->frames_split, 1);
}

bool tree_split(struct txn *t, const struct walk *w)
{
	struct art *a = t->a;
	void *m = w->frame->data;
	uint32_t total = 0, limit = a->slot_bytes - NEW_FRAME_OVERHEAD;
	struct run best = {.distance = UINT64_MAX};
	struct family f;
	art_ref node = 0, best_node = 0;

	frame_weigh(&a->scratch, m);
	for (unsigned e = 0; e < le16_get(frame_head(m)->entries_max); e++) {
		art_ref ref = ref_at(m, entry_loc(m, (uint8_t)e));
		if (ref == 0)
			continue;
		total += a->scratch.weight[ref];
		if (node == 0 || a->scratch.weight[ref] > a->scratch.weight[node])
			node = ref;
	}
	if (w->crumb > 0 && le16_get(frame_head(m)->entries) > 1) {
		family_of_entries(t, w, &f);
		better_run(&f, total / 2, limit, false, 0, &best);
	}
	while (is_node(type_at(m, node))) {
		struct node *n = frame_at(m, node);
		bool directory = n->prefix_bytes && node_prefix(n)[n->prefix_bytes - 1] == '/';
		family_of_node(t, m, node, &f);
		if (better_run(&f, total / 2, limit, true, directory ? total / 8 : 0, &best))
			best_node = node;
		const struct sibling *h = heaviest(&f);
		if (!h || h->bytes <= total / 4)
			break;
		node = h->ref;
	}
	if (best.distance == UINT64_MAX)
		return false;
	if (best_node)
		family_of_node(t, m, best_node, &f);
	else
		family_of_entries(t, w, &f);
	move_run(t, m, best_node ? NULL : t->crumb[w->crumb - 1].frame->data, &f, &best);
	return true;
}

/* ---- merge ----------------------------------------------------------------------------------- */

static bool fits(struct art *a, void *m, void *into)
{
	return frame_live(m) + frame_live(into) + 4 * ENTRIES_MAX <= a->slot_bytes / 4 * 3;
}

/* Compacts if that is what it takes to allocate all of `m` in there. */
static bool make_room(struct art *a, void *m, void *into)
{
	if (frame_room(into, a->slot_bytes) >= frame_live(m) + 4 * ENTRIES_MAX)
		return false;
	frame_compact(&a->scratch, into);
	return true;
}

static void merge_up(struct txn *t, const struct walk *w)
{
	struct links it = links_above(t, w);
	void *m = w->frame->data;
	struct link *l;
	uint32_t loc;

	while ((l = next_link(&it, &loc)) != NULL) {
		if (link_id(l) != w->frame->id)
			continue;
		art_ref link = ref_at(it.up, loc), ref = ref_at(m, entry_loc(m, l->entry));
		ref_set(it.up, loc, subtree_copy(&t->a->scratch, it.up, m, ref));
		frame_free(it.up, link);
	}
}

static void merge_sibling(struct txn *t, const struct walk *w, struct frame *g)
{
	struct links it = links_above(t, w);
	struct art *a = t->a;
	void *m = w->frame->data;
	struct link *l;
	uint32_t loc;

	while ((l = next_link(&it, &loc)) != NULL) {
		if (link_id(l) != w->frame->id)
			continue;
		art_ref ref = ref_at(m, entry_loc(m, l->entry));
		art_ref copy = subtree_copy(&a->scratch, g->data, m, ref);
		link_set(l, g->id, entry_add(g->data, a->slot_bytes, copy));
	}
}

/* A frame in memory whose subtrees hang at the same node, and that takes what is in this one. */
static struct frame *find_sibling(struct txn *t, const struct walk *w)
{
	struct links it = links_above(t, w);
	struct link *l;
	uint32_t loc;

	while ((l = next_link(&it, &loc)) != NULL) {
		struct frame *g = link_id(l) == w->frame->id
		                          ? NULL
		                          : store_frame_peek(t->a->store, link_id(l));
		if (!g)
			continue;
		bool good = fits(t->a, w->frame->data, g->data);
		store_frame_put(t->a->store, g);
		if (good && txn_pin(t, g->id, &g) == 0)
			return g;
	}
	return NULL;
}

void tree_merge(struct txn *t, struct art_bytes key)
{
	struct art *a = t->a;
	struct walk w;
	enum stop stop;

	if (txn_walk(t, &w, key, &stop) || w.crumb == 0 ||
	        frame_live(w.frame->data) > a->slot_bytes / 4)
		return;
	struct frame *up = t->crumb[w.crumb - 1].frame;
	if (fits(a, w.frame->data, up->data)) {
		if (txn_writable(t, up))
			return;
		if (make_room(a, w.frame->data, up->data))
			txn_rewalk(t, &w, key);
		merge_up(t, &w);
	} else {
		struct frame *g = find_sibling(t, &w);
		if (!g || txn_writable(t, up) || txn_writable(t, g))
			return;
		make_room(a, w.frame->data, g->data);
		merge_sibling(t, &w, g);
	}
	txn_drop(t, w.frame);
	atomic_fetch_add(&a->frames_merged, 1);
}
