/*
 * tree.c - walks, and what they lead to: insert, replace, cut.
 *
 *   frame A                      frame B (a forest: two children of node n)
 *   ┌──────────────────┐         ┌─────────────────────┐
 *   │ n ──'a'── leaf   │   ┌────►│ entry 0: node ── ...│
 *   │ ├──'b'── link B,0├───┘ ┌──►│ entry 1: leaf       │
 *   │ └──'c'── link B,1├─────┘   └─────────────────────┘
 *   └──────────────────┘
 *
 * A change of the tree is one of three: hang a new line of nodes at the stop of a walk (insert),
 * replace a leaf in its place, or take away what hangs at a branch (cut). Each touches the frame of
 * the stop; a cut also the frames on the way down from the branch, when they hold nothing but that
 * way.
 */
#include "art/tree.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

static uint32_t common_bytes(const uint8_t *x, size_t x_bytes, const uint8_t *y, size_t y_bytes)
{
	size_t n = x_bytes < y_bytes ? x_bytes : y_bytes, i = 0;
	uint64_t a, b;

	for (; i + sizeof(a) <= n; i += sizeof(a)) {
		memcpy(&a, x + i, sizeof(a));
		memcpy(&b, y + i, sizeof(b));
		if (a != b)
			return (uint32_t)(i + (unsigned)__builtin_ctzll(a ^ b) / 8);
	}
	while (i < n && x[i] == y[i])
		i++;
	return (uint32_t)i;
}

/* ---- walks ----------------------------------------------------------------------------------- */

void walk_start(struct walk *w, struct art_bytes key, struct frame *root)
{
	*w = (struct walk){.key = key, .frame = root, .loc = entry_loc(root->data, 0)};
}

void walk_enter(struct walk *w, struct frame *frame, uint8_t entry)
{
	w->frame = frame;
	w->frame_depth = w->depth;
	w->term_loc = 0;
	w->loc = entry_loc(frame->data, entry);
	w->crumb++;
}

enum stop walk_down(struct walk *w)
{
	void *m = w->frame->data;

	for (;;) {
		art_ref ref = ref_at(m, w->loc);
		if (ref == 0)
			return STOP_EMPTY;
		const uint8_t *rest = walk_rest(w);
		size_t rest_bytes = walk_rest_bytes(w);
		/* What it turns out to be is one cache line away, and the value two more. */
		__builtin_prefetch((char *)frame_at(m, ref) + 64);
		__builtin_prefetch((char *)frame_at(m, ref) + 128);
		uint8_t type = type_at(m, ref);
		if (type == LINK)
			return STOP_LINK;
		if (type == LEAF) {
			struct leaf *l = frame_at(m, ref);
			w->match = common_bytes(
			        leaf_suffix(l), le16_get(l->suffix_bytes), rest, rest_bytes);
			return STOP_LEAF;
		}
		struct node *n = frame_at(m, ref);
		w->match = common_bytes(node_prefix(n), n->prefix_bytes, rest, rest_bytes);
		if (w->match < n->prefix_bytes)
			return STOP_PREFIX;
		if (le16_get(n->term)) {
			w->term_loc = loc_of(m, &n->term);
			w->term_depth = w->depth + w->match;
		}
		if (w->match == rest_bytes)
			return STOP_NODE;
		uint8_t byte = rest[w->match];
		uint32_t child = node_find(m, ref, byte);
		if (child == 0)
			return STOP_NO_CHILD;
		if (le16_get(n->count) + (le16_get(n->term) != 0) >= 2)
			w->branch = (struct branch){w->crumb, w->loc, byte};
		w->depth += n->prefix_bytes + 1u;
		w->node_loc = w->loc;
		w->loc = child;
	}
}

uint32_t walk_leaf(const struct walk *w, enum stop stop)
{
	void *m = w->frame->data;
	art_ref ref = ref_at(m, w->loc);

	if (stop == STOP_LEAF) {
		struct leaf *l = frame_at(m, ref);
		bool same = w->match == le16_get(l->suffix_bytes) && w->match == walk_rest_bytes(w);
		return same ? w->loc : 0;
	}
	if (stop == STOP_NODE) {
		struct node *n = frame_at(m, ref);
		return le16_get(n->term) ? loc_of(m, &n->term) : 0;
	}
	return 0;
}

bool walk_is_prefix(const struct walk *w, enum stop stop)
{
	return (stop == STOP_LEAF || stop == STOP_NODE || stop == STOP_PREFIX) &&
	       w->match == walk_rest_bytes(w);
}

/* ---- lines: how a rest of a key is laid out
 * ------------------------------------------------------ */

/*
 *   node4 (255+1 bytes of key) ── node4 (255+1) ── ... ── leaf (suffix, payload), or link
 *
 * Short rests are a leaf alone. A line too long for a corner of one frame spills into frames of its
 * own, chained by links, and only a link remains to be placed.
 */
enum { LINE_NODE_KEY_BYTES = PREFIX_BYTES_MAX + 1 };

struct line {
	const uint8_t *key; /* not yet consumed above */
	size_t key_bytes;
	const struct payload *leaf; /* what ends the line; NULL: a link to (id, entry) */
	uint64_t id;
	uint8_t entry;
};

struct plan {
	unsigned nodes;  /* node4s in the line */
	uint32_t suffix; /* bytes of key left for the leaf */
	uint32_t bytes;  /* the whole line */
	unsigned spills; /* frames of its own; 0: it stays where it is hung */
};

static uint32_t nodes_per_spill(const struct art *a)
{
	return a->frame_bytes / 2 / node4_bytes(PREFIX_BYTES_MAX);
}

static struct plan plan_line(const struct art *a, size_t key_bytes, bool leaf, uint32_t payload)
{
	struct plan p = {0};
	size_t suffix_max = leaf ? a->leaf_bytes_max - sizeof(struct leaf) - payload : 0;

	if (key_bytes > suffix_max)
		p.nodes = (unsigned)((key_bytes - suffix_max + LINE_NODE_KEY_BYTES - 1) /
		                     LINE_NODE_KEY_BYTES);
	size_t in_nodes = (size_t)p.nodes * LINE_NODE_KEY_BYTES;
	p.suffix = key_bytes > in_nodes ? (uint32_t)(key_bytes - in_nodes) : 0;
	p.bytes = p.nodes * node4_bytes(PREFIX_BYTES_MAX) +
	          (leaf ? round_up((uint32_t)sizeof(struct leaf) + p.suffix + payload)
	                : (uint32_t)sizeof(struct link));
	if (p.bytes > a->frame_bytes / 8 && p.nodes > 1)
		p.spills = (p.nodes - 1 + nodes_per_spill(a) - 1) / nodes_per_spill(a);
	return p;
}

/* Room that the line takes where it is hung. */
static uint32_t plan_room(const struct plan *p)
{
	return p->spills ? node4_bytes(PREFIX_BYTES_MAX) + (uint32_t)sizeof(struct link) : p->bytes;
}

/* Node4s that consume `n` bytes of key and end at `bottom`. */
static art_ref build_nodes(
        const struct art *a, void *m, const uint8_t *key, size_t n, art_ref bottom)
{
	while (n > 0) {
		size_t from = (n - 1) / LINE_NODE_KEY_BYTES * LINE_NODE_KEY_BYTES;
		art_ref ref = node4_new(m, a->frame_bytes, key + from, (uint32_t)(n - from - 1));
		node_place(frame_at(m, ref), key[n - 1], bottom);
		bottom = ref;
		n = from;
	}
	return bottom;
}

static art_ref build_link(const struct art *a, void *m, uint64_t id, uint8_t entry)
{
	art_ref ref = frame_alloc(m, a->frame_bytes, sizeof(struct link));

	link_set(frame_at(m, ref), id, entry);
	return ref;
}

static art_ref build_end(const struct art *a, void *m, const struct line *l, uint32_t suffix)
{
	if (!l->leaf)
		return build_link(a, m, l->id, l->entry);
	return leaf_new(m, a->frame_bytes, l->key + l->key_bytes - suffix, suffix, l->leaf->home,
	        l->leaf->data, l->leaf->bytes);
}

static art_ref build_line(struct txn *t, void *m, const struct line *l)
{
	const struct art *a = t->a;
	struct plan p = plan_line(a, l->key_bytes, l->leaf != NULL, l->leaf ? l->leaf->bytes : 0);
	size_t end = l->key_bytes - p.suffix;

	if (p.spills == 0)
		return build_nodes(a, m, l->key, end, build_end(a, m, l, p.suffix));
	struct line below = *l;
	uint32_t suffix = p.suffix;
	while (p.nodes > 1) { /* from the bottom up */
		unsigned take = p.nodes - 1 < nodes_per_spill(a) ? p.nodes - 1 : nodes_per_spill(a);
		size_t start = (size_t)(p.nodes - take) * LINE_NODE_KEY_BYTES;
		struct frame *g = txn_new_frame(t, STORE_TREE);
		art_ref ref = build_end(a, g->data, &below, suffix);
		ref = build_nodes(a, g->data, l->key + start, end - start, ref);
		below = (struct line){
		        .id = g->id, .entry = entry_add(g->data, a->frame_bytes, ref)};
		suffix = 0;
		end = start;
		p.nodes -= take;
	}
	return build_nodes(a, m, l->key, end, build_link(a, m, below.id, below.entry));
}

/* ---- insert ---------------------------------------------------------------------------------- */

static uint32_t leaf_room(uint32_t suffix, uint32_t payload)
{
	return round_up((uint32_t)sizeof(struct leaf) + suffix + payload);
}

/* Bytes that hanging this line at the stop may allocate in its frame. */
static uint32_t insert_room(const struct art *a, const struct walk *w, enum stop stop, bool leaf,
        uint32_t payload, unsigned *spills)
{
	void *m = w->frame->data;
	size_t rest = walk_rest_bytes(w);
	uint32_t room = 0;

	*spills = 0;
	uint32_t loc = walk_leaf(w, stop);
	if (loc && leaf_room(stop == STOP_LEAF ? w->match : 0, payload) <=
	                   node_bytes(m, ref_at(m, loc)))
		return 0; /* in place */
	if (loc && stop == STOP_LEAF)
		return leaf_room(w->match, payload);
	if (stop == STOP_NODE)
		return leaf_room(0, payload);
	if (stop == STOP_NO_CHILD)
		room = node_add_bytes(m, ref_at(m, w->loc));
	else if (stop == STOP_PREFIX)
		room = node4_bytes(w->match);
	else if (stop == STOP_LEAF)
		room = node4_bytes(PREFIX_BYTES_MAX) * (w->match / LINE_NODE_KEY_BYTES) +
		       node4_bytes(w->match % LINE_NODE_KEY_BYTES);
	if (stop != STOP_EMPTY) {
		if (rest == w->match)
			return room + leaf_room(0, payload);
		rest -= w->match + 1;
	}
	struct plan p = plan_line(a, rest, leaf, payload);
	*spills = p.spills;
	return room + plan_room(&p);
}

/* Makes room in the frame of the stop. False: things have moved, walk again. */
static bool ensure_room(struct txn *t, const struct walk *w, uint32_t bytes)
{
	struct art *a = t->a;
	void *m = w->frame->data;
	uint32_t after = frame_live(m) + bytes;

	if (frame_room(m, a->frame_bytes) >= bytes)
		return true;
	txn_changed(t, w->frame);
	if (after + a->frame_bytes / 16 <= a->frame_bytes || !tree_split(t, w)) {
		assert(after <= a->frame_bytes);
		frame_compact(&a->scratch, m);
		atomic_fetch_add(&a->frames_compacted, 1);
	}
	return false;
}

/* A node4 in the place of the thing at the stop, which becomes its child (or term), trimmed by the
 * bytes that the new node holds. Returns where the new node is referred to. */
static uint32_t branch_off(const struct art *a, const struct walk *w)
{
	void *m = w->frame->data;
	art_ref old = ref_at(m, w->loc), top;
	bool leaf = type_at(m, old) == LEAF;
	uint8_t *edge = leaf ? leaf_suffix(frame_at(m, old)) : node_prefix(frame_at(m, old));
	size_t edge_bytes = leaf ? le16_get(((struct leaf *)frame_at(m, old))->suffix_bytes)
	                         : ((struct node *)frame_at(m, old))->prefix_bytes;
	size_t in_line = w->match / LINE_NODE_KEY_BYTES * LINE_NODE_KEY_BYTES;
	uint32_t loc = w->loc;

	art_ref fork = node4_new(m, a->frame_bytes, edge + in_line, (uint32_t)(w->match - in_line));
	top = build_nodes(a, m, edge, in_line, fork);
	ref_set(m, loc, top);
	if (top != fork) { /* the line's last node refers to the fork */
		art_ref ref = top;
		uint8_t byte;
		do {
			loc = node_next(m, ref, 0, &byte);
			ref = ref_at(m, loc);
		} while (ref != fork);
	}
	if (edge_bytes == w->match) {
		leaf_trim(m, old, w->match);
		((struct node *)frame_at(m, fork))->term = le16_of(old);
		return loc;
	}
	uint8_t byte = edge[w->match];
	if (leaf)
		leaf_trim(m, old, w->match + 1);
	else
		node_trim(m, old, w->match + 1);
	node_place(frame_at(m, fork), byte, old);
	return loc;
}

static void replace_leaf(struct txn *t, struct frame *f, uint32_t loc, const struct payload *p)
{
	void *m = f->data;
	art_ref ref = ref_at(m, loc);
	struct leaf *l = frame_at(m, ref);
	uint32_t suffix = le16_get(l->suffix_bytes);

	value_drop(t, l);
	if (leaf_room(suffix, p->bytes) <= node_bytes(m, ref)) {
		uint32_t before = node_bytes(m, ref);
		l->home = (uint8_t)p->home;
		l->payload_bytes = le32_of(p->bytes);
		if (p->bytes)
			memcpy(leaf_payload(l), p->data, p->bytes);
		frame_shrunk(m, ref, before);
		return;
	}
	ref_set(m, loc,
	        leaf_new(m, t->a->frame_bytes, leaf_suffix(l), suffix, p->home, p->data, p->bytes));
	frame_free(m, ref);
}

static void insert(struct txn *t, struct art_bytes key, const struct line *end, struct place *at)
{
	struct art *a = t->a;
	uint32_t payload = end->leaf ? end->leaf->bytes : 0;
	struct walk w;
	enum stop stop;
	unsigned spills, tries = 0;

	stop = txn_return(t, at, &w, key, true);
	uint32_t room = insert_room(a, &w, stop, end->leaf != NULL, payload, &spills);
	if (frame_room(w.frame->data, a->frame_bytes) < room) {
		do {
			assert(tries++ < 64);
			stop = txn_rewalk(t, &w, key);
			room = insert_room(a, &w, stop, end->leaf != NULL, payload, &spills);
		} while (!ensure_room(t, &w, room));
	}
	txn_changed(t, w.frame);

	void *m = w.frame->data;
	uint32_t loc = walk_leaf(&w, stop);
	if (loc) {
		assert(end->leaf);
		replace_leaf(t, w.frame, loc, end->leaf);
		return;
	}
	if (end->leaf)
		a->keys++;
	struct line line = *end;
	if (stop == STOP_EMPTY) {
		line.key = walk_rest(&w);
		line.key_bytes = walk_rest_bytes(&w);
		entry_add(m, a->frame_bytes, build_line(t, m, &line));
		return;
	}
	loc = w.loc;
	if (stop == STOP_PREFIX || stop == STOP_LEAF)
		loc = branch_off(a, &w);
	if (walk_rest_bytes(&w) == w.match) {
		assert(end->leaf);
		art_ref leaf = leaf_new(m, a->frame_bytes, NULL, 0, end->leaf->home,
		        end->leaf->data, end->leaf->bytes);
		((struct node *)frame_at(m, ref_at(m, loc)))->term = le16_of(leaf);
		return;
	}
	line.key = walk_rest(&w) + w.match + 1;
	line.key_bytes = walk_rest_bytes(&w) - w.match - 1;
	node_add(m, a->frame_bytes, loc, walk_rest(&w)[w.match], build_line(t, m, &line));
}

/* The worst that inserting a key may allocate when `rest` bytes of it may have to be built. */
static uint32_t insert_room_max(
        const struct art *a, size_t rest, bool leaf, uint32_t payload, unsigned *spills)
{
	struct plan p = plan_line(a, rest, leaf, payload);
	/* What a key shares with a leaf is never longer than a leaf. */
	size_t shared = rest < a->leaf_bytes_max ? rest : a->leaf_bytes_max;

	*spills = p.spills;
	return plan_room(&p) + NODE_BYTES_MAX +
	       node4_bytes(PREFIX_BYTES_MAX) * (uint32_t)(shared / LINE_NODE_KEY_BYTES + 1);
}

/* A cut in the same transaction may take away any part of the way to this key, and collapse what is left: the
 * line may then have to be built from any frame on the way down. */
static int reserve_whole_way(struct txn *t, const struct walk *w, bool leaf, uint32_t payload_bytes)
{
	struct art *a = t->a;
	unsigned spills;
	uint32_t room = insert_room_max(a, w->key.bytes, leaf, payload_bytes, &spills);
	int err = 0;

	/* One frame for each that may overflow, and 8 x what comes (see below). */
	uint64_t before = t->room;
	t->room += room + (before ? 0 : 2 * a->leaf_bytes_max);
	t->spares += spills + (before ? 0 : 4);
	t->spares += (unsigned)(8 * t->room / a->frame_bytes - 8 * before / a->frame_bytes);
	for (unsigned i = 0; i <= w->crumb && !err; i++) {
		struct frame *f = t->crumb[i].frame;
		t->spares += !(f->mark & MARK_MAY_SPLIT);
		f->mark |= MARK_MAY_SPLIT;
		err = txn_writable(t, f);
	}
	return err;
}

int tree_reserve_insert(struct txn *t, const struct place *p, bool leaf, uint32_t payload_bytes)
{
	struct art *a = t->a;
	struct walk w = p->walk;
	unsigned spills;
	int err;

	if (t->cuts > 0)
		return reserve_whole_way(t, &w, leaf, payload_bytes);
	if ((err = txn_writable(t, w.frame)) != 0)
		return err;
	uint64_t before = w.frame->mark >> MARK_NEED_SHIFT;
	uint32_t room = insert_room(a, &w, p->stop, leaf, payload_bytes, &spills);
	if (before > 0) /* puts before this one may change what it finds in the frame */
		room = insert_room_max(
		        a, w.key.bytes - w.frame_depth, leaf, payload_bytes, &spills);
	uint64_t need = before + room;
	w.frame->mark += (uint64_t)room << MARK_NEED_SHIFT;
	t->spares += spills;
	if (need <= frame_room(w.frame->data, a->frame_bytes))
		return 0;
	/* A split leaves both halves a quarter empty, or draws on t->extra (split.c): so 8 x what comes is more
	 * than enough frames. */
	if (!(w.frame->mark & MARK_MAY_SPLIT))
		t->spares += SPLIT_FRAMES + (unsigned)(8 * before / a->frame_bytes);
	if (t->extra == 0) {
		t->extra = SPLIT_EXTRA;
		t->spares += SPLIT_EXTRA;
	}
	w.frame->mark |= MARK_MAY_SPLIT;
	t->spares += (unsigned)(8 * need / a->frame_bytes - 8 * before / a->frame_bytes);
	return w.crumb > 0 ? txn_writable(t, t->crumb[w.crumb - 1].frame) : 0;
}

void tree_put(struct txn *t, struct art_bytes key, const struct payload *p, struct place *at)
{
	insert(t, key, &(struct line){.leaf = p}, at);
}

void tree_attach(struct txn *t, struct art_bytes key, uint64_t id, uint8_t entry)
{
	insert(t, key, &(struct line){.id = id, .entry = entry}, NULL);
}

/* ---- cut ------------------------------------------------------------------------------------- */

enum { MERGE_LOOK_BYTES = 256 };

/* A node that is left with one thing becomes one with it, where there is room to do so at once. */
static void collapse(const struct art *a, void *m, uint32_t node_loc)
{
	art_ref ref = ref_at(m, node_loc);
	struct node *n = frame_at(m, ref);
	uint32_t prefix = n->prefix_bytes, room = frame_room(m, a->frame_bytes);
	uint8_t edge[PREFIX_BYTES_MAX + 1];
	uint32_t edge_bytes = prefix;
	uint32_t loc = loc_of(m, &n->term);

	if (le16_get(n->count) + (le16_get(n->term) != 0) != 1)
		return;
	memcpy(edge, node_prefix(n), prefix);
	if (le16_get(n->count) == 1)
		loc = node_next(m, ref, 0, &edge[edge_bytes++]);
	art_ref child = ref_at(m, loc);
	if (type_at(m, child) == LINK)
		return;
	if (type_at(m, child) == LEAF) {
		struct leaf *l = frame_at(m, child);
		uint32_t suffix = le16_get(l->suffix_bytes), payload = le32_get(l->payload_bytes);
		uint32_t bytes = leaf_room(edge_bytes + suffix, payload);
		if (bytes > a->leaf_bytes_max || bytes > room)
			return;
		art_ref new = leaf_new(m, a->frame_bytes, NULL, 0, l->home, NULL, 0);
		frame_alloc(m, a->frame_bytes, bytes - leaf_room(0, 0)); /* the rest of it */
		struct leaf *c = frame_at(m, new);
		c->suffix_bytes = le16_of((uint16_t)(edge_bytes + suffix));
		c->payload_bytes = le32_of(payload);
		memcpy(leaf_suffix(c), edge, edge_bytes);
		memcpy(leaf_suffix(c) + edge_bytes, leaf_suffix(l), suffix + payload);
		ref_set(m, node_loc, new);
		frame_free(m, child);
	} else {
		struct node *c = frame_at(m, child);
		if (edge_bytes + c->prefix_bytes > PREFIX_BYTES_MAX ||
		        round_up(node_base_bytes(c->type) + c->prefix_bytes + edge_bytes) > room)
			return;
		node_prepend(m, a->frame_bytes, loc, edge, edge_bytes);
		ref_set(m, node_loc, ref_at(m, loc));
	}
	frame_free(m, ref);
}

/* Looking for a frame to merge with costs more than a removal, and a frame that found none today will not find one
 * with the next key: so only now and then. */
static void note_underfull(struct txn *t, void *m)
{
	uint32_t piece = t->a->frame_bytes / 32;

	if (frame_live(m) < MERGE_BELOW(t->a->frame_bytes) &&
	        frame_live(m) % piece < MERGE_LOOK_BYTES)
		t->underfull = true;
}

void tree_cut(struct txn *t, const struct walk *w, bool keep_last)
{
	struct art *a = t->a;
	const struct branch *b = &w->branch;
	/* The crumbs are asked only where the branch is in another frame. */
	struct frame *f = b->crumb == w->crumb ? w->frame : t->crumb[b->crumb].frame;
	void *m = f->data;

	/* From the bottom up, so that a frame is left before what leads to it goes. */
	for (unsigned i = w->crumb; i > b->crumb; i--) {
		struct crumb *c = &t->crumb[i];
		if (keep_last && i == w->crumb)
			continue;
		subtree_free(&a->scratch, c->frame->data,
		        ref_at(c->frame->data, entry_loc(c->frame->data, c->entry)));
		entry_remove(c->frame->data, c->entry);
		txn_changed(t, c->frame);
		note_underfull(t, c->frame->data);
		if (le16_get(frame_head(c->frame->data)->entries) == 0)
			txn_drop(t, c->frame);
	}
	txn_changed(t, f);
	if (b->node_loc == 0) { /* the whole tree was one line */
		subtree_free(&a->scratch, m, ref_at(m, entry_loc(m, 0)));
		entry_remove(m, 0);
		return;
	}
	art_ref ref = ref_at(m, b->node_loc);
	subtree_free(&a->scratch, m, ref_at(m, node_find(m, ref, b->byte)));
	node_remove(m, ref, b->byte);
	collapse(a, m, b->node_loc);
	note_underfull(t, m);
}

int tree_reserve_cut(struct txn *t, const struct walk *w)
{
	/* A second cut in one transaction may find its branch anywhere above the first one's. */
	unsigned i = t->cuts > 1 ? 0 : w->branch.crumb;
	int err = 0;

	for (; i <= w->crumb && !err; i++)
		err = txn_writable(t, t->crumb[i].frame);
	return err;
}

void tree_remove(struct txn *t, struct art_bytes key, struct place *at)
{
	struct art *a = t->a;
	struct walk w;
	enum stop stop = txn_return(t, at, &w, key, true);
	uint32_t loc = walk_leaf(&w, stop);

	if (loc == 0)
		return;
	if (w.branch.crumb != w.crumb)
		stop = txn_return(t, at, &w, key, false);
	void *m = w.frame->data;
	a->keys--;
	value_drop(t, frame_at(m, ref_at(m, loc)));
	struct node *n = frame_at(m, ref_at(m, w.loc));
	if (stop == STOP_NODE && le16_get(n->count) > 0) {
		frame_free(m, le16_get(n->term));
		n->term = le16_of(0);
		collapse(a, m, w.loc);
		txn_changed(t, w.frame);
		note_underfull(t, m);
		return;
	}
	tree_cut(t, &w, false);
}
