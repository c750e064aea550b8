/*
 * split.c - frames that are too full, and frames that are nearly empty.
 *
 * A frame that is too full gives a run of sibling subtrees (neighbours in key order, so that a scan stays in few
 * frames) to a frame that hangs at the same node and has room, or to a new one. The siblings are its own entries,
 * children of one node in the frame above:
 *
 *   U: n ─┬─► F,0                       U: n ─┬─► F,0
 *         ├─► F,1        run of F             ├─► G,0
 *         └─► F,2        ────────►            └─► G,1
 *
 * A frame with one entry, or with one that is most of it, has no run to give. Then the node at the top of that
 * entry moves up to where the link to it was, and its children become entries. So the tree grows at the top, as a
 * B-tree does, and all ways through it are about equally short:
 *
 *   U: ──► F,0       F: entry 0: n ─┬─ a           U: n ─┬─► F,0       F: entry 0: a
 *                                   ├─ b    up           ├─► F,1          entry 1: b
 *                                   └─ c   ────►         └─► F,2          entry 2: c
 *
 * When the frame above is too full for that, or there is none, children of a node within the frame move down, and
 * links take their places. That needs no room in it, so it is always possible. Nodes are looked at along the
 * heaviest way down, and a node at the end of a directory name is preferred, so that directories stay together.
 *
 * Who inserts keys in ascending order has only just filled the frame, and will not come back: then only the last
 * entry moves on.
 *
 * What was reserved is enough as long as each new frame takes at least a quarter of an old one, and leaves a
 * quarter. Splits that take a new frame for less (the last entry alone, a node's children while others stay, room in
 * the frame above) draw on t->extra, and without that the others must do.
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

/* What copying `bytes` in `entries` more subtrees may take in a frame. */
static uint32_t copy_room(uint32_t bytes, unsigned entries)
{
	return bytes + 4 * (entries < ENTRIES_MAX / 2 ? 2 * entries : ENTRIES_MAX) + REF_BYTES;
}

/* Can `bytes` more be allocated in the frame, so that it is not too full then? Compacts it if need be: true in
 * *moved. */
static bool has_room(struct art *a, void *m, uint32_t bytes, uint32_t full, bool *moved)
{
	*moved = false;
	if (frame_live(m) + bytes > full)
		return false;
	if (frame_room(m, a->frame_bytes) < bytes) {
		frame_compact(&a->scratch, m);
		*moved = true;
	}
	return true;
}

/* Moves the run to frame g, where it fits. `up` is set when the siblings are the frame's own entries. */
static void move_run(struct txn *t, void *m, void *up, const struct family *f,
        const struct run *run, struct frame *g)
{
	struct art *a = t->a;

	for (unsigned i = run->first; i < run->first + run->n; i++) {
		const struct sibling *s = &f->sibling[i];
		art_ref copy = subtree_copy(&a->scratch, g->data, m, s->ref);
		uint8_t entry = entry_add(g->data, a->frame_bytes, copy);
		if (up) {
			link_set(frame_at(up, s->link), g->id, entry);
			entry_remove(m, s->entry);
			frame_waste(m, s->bytes);
		} else {
			link_set(frame_at(m, s->ref), g->id, entry);
			frame_waste(m, s->bytes - (uint32_t)sizeof(struct link));
		}
	}
	txn_changed(t, g);
	atomic_fetch_add(&a->frames_split, 1);
}

/* A new frame for a split that need not be. */
static bool take_extra(struct txn *t)
{
	if (t->extra == 0)
		return false;
	t->extra--;
	return true;
}

static uint32_t run_bytes(const struct family *f, const struct run *run)
{
	uint32_t bytes = 0;

	for (unsigned i = run->first; i < run->first + run->n; i++)
		bytes += f->sibling[i].bytes;
	return bytes;
}

/* The emptiest frame in memory that hangs at the node, other than `self`; 0 if none has room worth the while. */
static uint64_t emptiest(
        struct art *a, struct links it, uint64_t self, uint32_t total, uint32_t *live)
{
	uint64_t best = 0, last = 0;
	struct link *l;
	uint32_t loc;

	*live = total > a->frame_bytes / 4 ? total - a->frame_bytes / 4 : 0;
	while ((l = next_link(&it, &loc)) != NULL) {
		uint64_t id = link_id(l);
		struct frame *g = id == self || id == last ? NULL : store_frame_peek(a->store, id);
		last = id;
		if (!g)
			continue;
		if (frame_live(g->data) < *live) {
			*live = frame_live(g->data);
			best = id;
		}
		store_frame_put(a->store, g);
	}
	return best;
}

static art_ref last_child(void *m, art_ref ref)
{
	uint32_t loc = 0, next;
	uint8_t byte = 0;

	if (!is_node(type_at(m, ref)))
		return 0;
	for (unsigned from = 0; (next = node_next(m, ref, from, &byte)) != 0; from = byte + 1u)
		loc = next;
	return loc ? ref_at(m, loc) : 0;
}

/* The key of the walk comes behind everything that is below `ref`. */
static bool at_right_edge(const struct walk *w, art_ref ref)
{
	art_ref stop = ref_at(w->frame->data, w->loc);

	while (ref && ref != stop)
		ref = last_child(w->frame->data, ref);
	return ref != 0;
}

/* Gives a run of the frame's own entries to another frame. */
static bool split_entries(struct txn *t, const struct walk *w, uint32_t total)
{
	struct art *a = t->a;
	void *m = w->frame->data;
	uint32_t full = a->frame_bytes - NEW_FRAME_OVERHEAD, live;
	struct run best = {.distance = UINT64_MAX};
	struct family f;
	struct frame *g = NULL;
	bool moved;

	family_of_entries(t, w, &f);
	if (f.n < 2)
		return false;
	if (f.sibling[f.n - 1].bytes < total / 2 && at_right_edge(w, f.sibling[f.n - 1].ref) &&
	        take_extra(t)) {
		best = (struct run){f.n - 1, 1, 0};
	} else {
		uint64_t to = emptiest(a, links_above(t, w), w->frame->id, total, &live);
		if (to &&
		        better_run(&f, (total - live) / 2, full / 10 * 9 - live, false, 0, &best) &&
		        run_bytes(&f, &best) >= total / 8)
			g = txn_borrow(t, to);
		if (g && !has_room(
		                 a, g->data, copy_room(run_bytes(&f, &best), best.n), full, &moved))
			g = NULL;
		if (!g) {
			best.distance = UINT64_MAX;
			if (!better_run(&f, total / 2, full, false, 0, &best) ||
			        run_bytes(&f, &best) < total / 4 ||
			        run_bytes(&f, &best) > total / 4 * 3)
				return false;
		}
	}
	if (!g)
		g = txn_new_frame(t, STORE_TREE);
	move_run(t, m, t->crumb[w->crumb - 1].frame->data, &f, &best, g);
	return true;
}

/* The link in the frame above that leads to this entry of the last frame of the walk. */
static uint32_t link_to(struct txn *t, const struct walk *w, uint8_t entry)
{
	struct links it = links_above(t, w);
	struct link *l;
	uint32_t loc;

	while ((l = next_link(&it, &loc)) != NULL)
		if (link_id(l) == w->frame->id && l->entry == entry)
			return loc;
	assert(!"a subtree without a link");
	return 0;
}

static uint8_t heaviest_entry(struct art *a, void *m)
{
	uint32_t most = 0;
	uint8_t heaviest = 0;

	for (unsigned e = 0; e < le16_get(frame_head(m)->entries_max); e++) {
		art_ref ref = ref_at(m, entry_loc(m, (uint8_t)e));
		if (ref && a->scratch.weight[ref] > most) {
			most = a->scratch.weight[ref];
			heaviest = (uint8_t)e;
		}
	}
	return heaviest;
}

/* Moves the node at the top of the heaviest entry up, to where the link to it was. Its children become entries
 * of its frame, or where that has others too, of a new frame. */
static bool pull_up(struct txn *t, const struct walk *w)
{
	struct art *a = t->a;
	struct frame *f = w->frame, *up = t->crumb[w->crumb - 1].frame;
	void *m = f->data;
	uint8_t entry = heaviest_entry(a, m);
	art_ref ref = ref_at(m, entry_loc(m, entry));
	bool alone = le16_get(frame_head(m)->entries) == 1, moved;
	unsigned max, local = 0;

	if (!is_node(type_at(m, ref)) || le16_get(((struct node *)frame_at(m, ref))->count) < 2)
		return false;
	uint32_t bytes = node_bytes(m, ref), children = 0;
	le16 *child = node_children(frame_at(m, ref), &max);
	for (unsigned i = 0; i < max; i++) {
		art_ref r = le16_get(child[i]);
		bytes += r ? (uint32_t)sizeof(struct link) : 0;
		if (r && type_at(m, r) != LINK) {
			local++;
			children += a->scratch.weight[r];
		}
	}
	art_ref term = le16_get(((struct node *)frame_at(m, ref))->term);
	if (term)
		bytes += node_bytes(m, term);
	if (local < 2 || children > a->frame_bytes - NEW_FRAME_OVERHEAD)
		return false;
	if (!has_room(a, up->data, bytes, a->frame_bytes / 4 * 3, &moved))
		return false;
	if (moved) {
		txn_changed(t, up);
		return true; /* where the link is has to be found again */
	}
	if (alone) {
		/* The table may have to grow, in a frame that is full. */
		if (!has_room(a, m, copy_room(0, local), a->frame_bytes, &moved))
			return false;
		ref = ref_at(m, entry_loc(m, entry));
		child = node_children(frame_at(m, ref), &max);
		term = le16_get(((struct node *)frame_at(m, ref))->term);
	}

	if (!alone && !take_extra(t))
		return false;
	struct frame *g = alone ? f : txn_new_frame(t, STORE_TREE);
	uint32_t loc = link_to(t, w, entry);
	void *u = up->data;
	art_ref old = ref_at(u, loc), top = frame_alloc(u, a->frame_bytes, node_bytes(m, ref));
	memcpy(frame_at(u, top), frame_at(m, ref), node_bytes(m, ref));
	le16 *above = node_children(frame_at(u, top), &max);
	entry_remove(m, entry);
	for (unsigned i = 0; i < max; i++) {
		art_ref r = le16_get(child[i]);
		if (!r)
			continue;
		art_ref link = frame_alloc(u, a->frame_bytes, sizeof(struct link));
		above[i] = le16_of(link);
		if (type_at(m, r) == LINK) {
			memcpy(frame_at(u, link), frame_at(m, r), sizeof(struct link));
			frame_free(m, r);
		} else if (alone) {
			link_set(frame_at(u, link), f->id, entry_add(m, a->frame_bytes, r));
		} else {
			art_ref copy = subtree_copy(&a->scratch, g->data, m, r);
			link_set(
			        frame_at(u, link), g->id, entry_add(g->data, a->frame_bytes, copy));
			subtree_free(&a->scratch, m, r);
		}
	}
	if (term) {
		art_ref copy = frame_alloc(u, a->frame_bytes, node_bytes(m, term));
		memcpy(frame_at(u, copy), frame_at(m, term), node_bytes(m, term));
		((struct node *)frame_at(u, top))->term = le16_of(copy);
		frame_free(m, term);
	}
	frame_free(m, ref);
	ref_set(u, loc, top);
	frame_free(u, old);
	txn_changed(t, f);
	txn_changed(t, up);
	txn_changed(t, g);
	return true;
}

/* For keys in ascending order: all children of one node but the last, which is still growing. */
static bool run_before_last(struct txn *t, const struct walk *w, uint32_t total, uint32_t limit,
        struct family *f, struct run *run)
{
	void *m = w->frame->data;
	unsigned last = 0;

	for (unsigned e = 0; e < le16_get(frame_head(m)->entries_max); e++)
		if (ref_at(m, entry_loc(m, (uint8_t)e)) &&
		        at_right_edge(w, ref_at(m, entry_loc(m, (uint8_t)e))))
			last = e;
	art_ref node = ref_at(m, entry_loc(m, (uint8_t)last));
	if (!node || !at_right_edge(w, node))
		return false;
	for (; node && is_node(type_at(m, node)); node = last_child(m, node)) {
		family_of_node(t, m, node, f);
		if (f->n < 2)
			continue;
		uint32_t bytes = f->total - f->sibling[f->n - 1].bytes;
		if (bytes < total / 2)
			continue;
		/* As many as fit, and those that are left will go with the next ones. */
		*run = (struct run){0, 0, 0};
		for (bytes = 0; run->n + 1 < f->n && bytes + f->sibling[run->n].bytes <= limit;)
			bytes += f->sibling[run->n++].bytes;
		return run->n > 0;
	}
	return false;
}

/* About half of the frame: children of one node on the heaviest way down. */
static bool run_of_half(
        struct txn *t, void *m, uint32_t total, uint32_t limit, struct family *f, struct run *run)
{
	art_ref node = ref_at(m, entry_loc(m, heaviest_entry(t->a, m))), best = 0;

	*run = (struct run){.distance = UINT64_MAX};
	while (is_node(type_at(m, node))) {
		struct node *n = frame_at(m, node);
		bool directory = n->prefix_bytes && node_prefix(n)[n->prefix_bytes - 1] == '/';
		family_of_node(t, m, node, f);
		if (better_run(f, total / 2, limit, true, directory ? total / 8 : 0, run))
			best = node;
		const struct sibling *h = heaviest(f);
		if (!h || h->bytes <= total / 4)
			break;
		node = h->ref;
	}
	if (best)
		family_of_node(t, m, best, f);
	return best != 0;
}

static uint32_t weigh_all(struct txn *t, void *m)
{
	uint32_t total = 0;

	frame_weigh(&t->a->scratch, m);
	for (unsigned e = 0; e < le16_get(frame_head(m)->entries_max); e++) {
		art_ref ref = ref_at(m, entry_loc(m, (uint8_t)e));
		total += ref ? t->a->scratch.weight[ref] : 0;
	}
	return total;
}

/* Moves children of one node of the frame down to a new frame. `w`: the walk that ended here, or NULL. */
static bool split_down(struct txn *t, struct frame *f, const struct walk *w)
{
	void *m = f->data;
	uint32_t total = weigh_all(t, m), limit = t->a->frame_bytes - NEW_FRAME_OVERHEAD;
	struct family family;
	struct run run;

	if (!(w && run_before_last(t, w, total, limit, &family, &run)) &&
	        !run_of_half(t, m, total, limit, &family, &run))
		return false;
	move_run(t, m, NULL, &family, &run, txn_new_frame(t, STORE_TREE));
	txn_changed(t, f);
	return true;
}

bool tree_split(struct txn *t, const struct walk *w)
{
	struct frame *f = w->frame;

	if (w->crumb == 0)
		return split_down(t, f, w);
	uint32_t total = weigh_all(t, f->data);
	if (split_entries(t, w, total) || pull_up(t, w))
		return true;
	/* Room above, for the next try; unless that is where the bulk is. */
	struct frame *up = t->crumb[w->crumb - 1].frame;
	if (frame_live(up->data) > t->a->frame_bytes / 4 * 3 && take_extra(t) &&
	        split_down(t, up, NULL))
		return true;
	return split_down(t, f, w);
}

/* ---- merge ----------------------------------------------------------------------------------- */

/* What all subtrees of `m` may take in a frame, and how full that may be then: not so full that it will be split
 * again soon. */
static uint32_t merge_bytes(void *m)
{
	return copy_room(frame_live(m), le16_get(frame_head(m)->entries));
}
static bool fits(struct art *a, void *m, void *into)
{
	return frame_live(into) + merge_bytes(m) <= a->frame_bytes / 8 * 7;
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
		link_set(l, g->id, entry_add(g->data, a->frame_bytes, copy));
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
		if (good)
			return txn_borrow(t, link_id(l));
	}
	return NULL;
}

void tree_merge(struct txn *t, struct art_bytes key, uint32_t below)
{
	struct art *a = t->a;
	struct walk w;
	enum stop stop;
	bool moved;

	if (txn_walk(t, &w, key, &stop) || w.crumb == 0 || frame_live(w.frame->data) >= below)
		return;
	struct frame *up = t->crumb[w.crumb - 1].frame, *g = find_sibling(t, &w);
	if (!g && !fits(a, w.frame->data, up->data))
		return;
	if (txn_writable(t, up))
		return;
	if (g) {
		has_room(a, g->data, merge_bytes(w.frame->data), a->frame_bytes, &moved);
		merge_sibling(t, &w, g);
	} else {
		has_room(a, up->data, merge_bytes(w.frame->data), a->frame_bytes, &moved);
		if (moved)
			txn_rewalk(t, &w, key);
		merge_up(t, &w);
	}
	txn_drop(t, w.frame);
	atomic_fetch_add(&a->frames_merged, 1);
}
