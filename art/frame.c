/*
 * frame.c - see frame.h. Space is handed out from the front ("used" grows), what is given back
 * counts as dead until frame_compact() squeezes it out; the last thing allocated can be given back
 * at once.
 */
#include "art/frame.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "art/node.h"

void link_set(struct link *l, uint64_t id, uint8_t entry)
{
	l->type = LINK;
	l->entry = entry;
	for (int i = 0; i < 6; i++)
		l->id[i] = (uint8_t)(id >> (8 * i));
}

void frame_init(void *m, uint64_t id)
{
	struct frame_head *h = frame_head(m);
	enum { FIRST_ENTRIES = REF_BYTES / sizeof(le16) };

	*h = (struct frame_head){0};
	h->magic = le32_of(ART_FRAME_MAGIC);
	h->version = le16_of(ART_FRAME_VERSION);
	h->id = le64_of(id);
	h->entries_max = le16_of(FIRST_ENTRIES);
	h->entries = le16_of(0);
	h->table = le16_of(sizeof(*h) / REF_BYTES);
	h->used = le32_of(sizeof(*h) + REF_BYTES);
	memset((char *)m + sizeof(*h), 0, REF_BYTES);
}

uint32_t frame_room(void *m, uint32_t frame_bytes)
{
	return frame_bytes - le32_get(frame_head(m)->used);
}

uint32_t frame_live(void *m)
{
	return le32_get(frame_head(m)->used) - le32_get(frame_head(m)->dead);
}

static uint32_t leaf_bytes(const struct leaf *l)
{
	return round_up(sizeof(*l) + le16_get(l->suffix_bytes) + le32_get(l->payload_bytes));
}

uint32_t node_bytes(void *m, art_ref ref)
{
	const struct node *n = frame_at(m, ref);

	if (n->type == LINK)
		return sizeof(struct link);
	if (n->type == LEAF)
		return leaf_bytes(frame_at(m, ref));
	return round_up(node_base_bytes(n->type) + n->prefix_bytes);
}

art_ref frame_alloc(void *m, uint32_t frame_bytes, uint32_t bytes)
{
	struct frame_head *h = frame_head(m);
	uint32_t used = le32_get(h->used);

	bytes = round_up(bytes);
	assert(used + bytes <= frame_bytes);
	memset((char *)m + used, 0, bytes);
	h->used = le32_of(used + bytes);
	return (art_ref)(used / REF_BYTES);
}

void frame_waste(void *m, uint32_t bytes)
{
	struct frame_head *h = frame_head(m);

	h->dead = le32_of(le32_get(h->dead) + bytes);
}

/* Bytes [at, at+bytes) hold nothing any more. */
static void give_back(void *m, uint32_t at, uint32_t bytes)
{
	struct frame_head *h = frame_head(m);

	if (at + bytes == le32_get(h->used))
		h->used = le32_of(at);
	else
		frame_waste(m, bytes);
}

void frame_free(void *m, art_ref ref)
{
	give_back(m, (uint32_t)ref * REF_BYTES, node_bytes(m, ref));
}

void frame_shrunk(void *m, art_ref ref, uint32_t before)
{
	uint32_t now = node_bytes(m, ref);

	assert(now <= before);
	if (now < before)
		give_back(m, (uint32_t)ref * REF_BYTES + now, before - now);
}

uint32_t entry_loc(void *m, uint8_t entry)
{
	struct frame_head *h = frame_head(m);

	assert(entry < le16_get(h->entries_max));
	return entry_loc_unchecked(m, entry);
}

uint8_t entry_add(void *m, uint32_t frame_bytes, art_ref ref)
{
	struct frame_head *h = frame_head(m);
	uint32_t max = le16_get(h->entries_max), e = 0;

	while (e < max && ref_at(m, entry_loc(m, (uint8_t)e)) != 0)
		e++;
	if (e == max) {
		assert(max < ENTRIES_MAX);
		art_ref old = le16_get(h->table);
		art_ref new = frame_alloc(m, frame_bytes, 2 * max * (uint32_t)sizeof(le16));
		memcpy(frame_at(m, new), frame_at(m, old), max * sizeof(le16));
		h->table = le16_of(new);
		h->entries_max = le16_of((uint16_t)(2 * max));
		give_back(m, (uint32_t)old * REF_BYTES, max * (uint32_t)sizeof(le16));
	}
	ref_set(m, entry_loc(m, (uint8_t)e), ref);
	h->entries = le16_of((uint16_t)(le16_get(h->entries) + 1));
	return (uint8_t)e;
}

void entry_remove(void *m, uint8_t entry)
{
	struct frame_head *h = frame_head(m);

	assert(ref_at(m, entry_loc(m, entry)) != 0);
	ref_set(m, entry_loc(m, entry), 0);
	h->entries = le16_of((uint16_t)(le16_get(h->entries) - 1));
}

/* ---- whole subtrees -------------------------------------------------------------------------- */

int frame_scratch_init(struct frame_scratch *s, uint32_t frame_bytes)
{
	size_t refs = frame_bytes / REF_BYTES;

	s->frame_bytes = frame_bytes;
	s->image = malloc(frame_bytes);
	s->todo = malloc(refs * sizeof(*s->todo));
	s->leaf = malloc(refs * sizeof(*s->leaf));
	s->weight = malloc(refs * sizeof(*s->weight));
	if (s->image && s->todo && s->leaf && s->weight)
		return 0;
	frame_scratch_fini(s);
	return -ENOMEM;
}

void frame_scratch_fini(struct frame_scratch *s)
{
	free(s->image);
	free(s->todo);
	free(s->leaf);
	free(s->weight);
	*s = (struct frame_scratch){0};
}

le16 *node_children(struct node *n, unsigned *max)
{
	switch (n->type) {
	case NODE4:
		*max = 4;
		return ((struct node4 *)n)->child;
	case NODE16:
		*max = 16;
		return ((struct node16 *)n)->child;
	case NODE48:
		*max = 48;
		return ((struct node48 *)n)->child;
	case NODE256:
		*max = 256;
		return ((struct node256 *)n)->child;
	}
	*max = 0;
	return NULL;
}

/* Pushes what the node at `ref` refers to; the locs are within `m`. */
static unsigned push_children(struct frame_scratch *s, unsigned n, void *m, art_ref ref)
{
	struct node *node = frame_at(m, ref);
	unsigned max;
	le16 *child = node_children(node, &max);

	while (max-- > 0) {
		art_ref r = le16_get(child[max]);
		if (r) {
			s->todo[n].ref = r;
			s->todo[n].from = ref;
			s->todo[n++].loc = loc_of(m, &child[max]);
		}
	}
	if (child && le16_get(node->term)) {
		s->todo[n].ref = le16_get(node->term);
		s->todo[n].from = ref;
		s->todo[n++].loc = loc_of(m, &node->term);
	}
	return n;
}

uint32_t subtree_bytes(struct frame_scratch *s, void *m, art_ref ref)
{
	uint32_t bytes = 0;
	unsigned n = 0;

	s->todo[n++].ref = ref;
	while (n > 0) {
		ref = s->todo[--n].ref;
		bytes += node_bytes(m, ref);
		n = push_children(s, n, m, ref);
	}
	return bytes;
}

art_ref subtree_copy(struct frame_scratch *s, void *to, void *m, art_ref ref)
{
	art_ref top = 0;
	unsigned n = 0;

	s->todo[n].ref = ref;
	s->todo[n++].loc = 0;
	while (n > 0) {
		uint32_t loc = s->todo[--n].loc;
		uint32_t bytes = node_bytes(m, s->todo[n].ref);
		art_ref copy = frame_alloc(to, s->frame_bytes, bytes);
		memcpy(frame_at(to, copy), frame_at(m, s->todo[n].ref), bytes);
		if (loc)
			ref_set(to, loc, copy);
		else
			top = copy;
		n = push_children(s, n, to, copy); /* refs still of `m`, locs of the copy */
	}
	return top;
}

void subtree_free(struct frame_scratch *s, void *m, art_ref ref)
{
	unsigned n = 0;

	s->todo[n++].ref = ref;
	while (n > 0) {
		ref = s->todo[--n].ref;
		n = push_children(s, n, m, ref);
		frame_free(m, ref);
	}
}

void frame_weigh(struct frame_scratch *s, void *m)
{
	unsigned n = 0;

	for (unsigned e = 0; e < le16_get(frame_head(m)->entries_max); e++)
		if (ref_at(m, entry_loc(m, (uint8_t)e))) {
			s->todo[n].ref = ref_at(m, entry_loc(m, (uint8_t)e));
			s->todo[n++].from = 0;
		}
	/* Parents stand before their children in the list, so a walk backwards adds up. */
	for (unsigned i = 0; i < n; i++) {
		s->weight[s->todo[i].ref] = node_bytes(m, s->todo[i].ref);
		n = push_children(s, n, m, s->todo[i].ref);
	}
	while (n-- > 0)
		if (s->todo[n].from)
			s->weight[s->todo[n].from] += s->weight[s->todo[n].ref];
}

static art_ref copy_thing(void *to, uint32_t frame_bytes, void *m, art_ref ref)
{
	uint32_t bytes = node_bytes(m, ref);
	art_ref copy = frame_alloc(to, frame_bytes, bytes);

	memcpy(frame_at(to, copy), frame_at(m, ref), bytes);
	return copy;
}

uint32_t frame_pack(struct frame_scratch *s, void *to, void *m)
{
	struct frame_head *h = frame_head(m), *c = frame_head(to);
	uint32_t max = le16_get(h->entries_max);
	unsigned n = 0, leaves = 0;

	*c = *h;
	c->used = le32_of(sizeof(*c));
	c->dead = le32_of(0);
	c->table = le16_of(frame_alloc(c, s->frame_bytes, max * (uint32_t)sizeof(le16)));
	for (uint32_t e = max; e-- > 0;)
		if (ref_at(m, entry_loc(m, (uint8_t)e))) {
			s->todo[n].ref = ref_at(m, entry_loc(m, (uint8_t)e));
			s->todo[n++].loc = entry_loc(c, (uint8_t)e);
		}
	while (n > 0) {
		art_ref ref = s->todo[--n].ref;
		uint32_t loc = s->todo[n].loc;
		if (type_at(m, ref) == LEAF) {
			s->leaf[leaves].ref = ref;
			s->leaf[leaves++].loc = loc;
			continue;
		}
		art_ref copy = copy_thing(c, s->frame_bytes, m, ref);
		ref_set(c, loc, copy);
		n = push_children(s, n, c, copy); /* refs still of `m`, locs of the copy */
	}
	for (unsigned i = 0; i < leaves; i++)
		ref_set(c, s->leaf[i].loc, copy_thing(c, s->frame_bytes, m, s->leaf[i].ref));
	return le32_get(c->used);
}

void frame_compact(struct frame_scratch *s, void *m)
{
	uint32_t before = le32_get(frame_head(m)->used), used = frame_pack(s, s->image, m);

	assert(used <= before);
	memcpy(m, s->image, used);
	memset((char *)m + used, 0, before - used);
}

/* ---- decoding -------------------------------------------------------------------------------- */

struct todo {
	art_ref ref;
	bool term;
};

struct check {
	const uint8_t *m;
	uint32_t used;
	uint32_t live;
	uint8_t *seen; /* a bit for each unit that something lies on */
	struct todo *todo;
	unsigned n, max;
};

/* [at, at+bytes) lies within the used part, and nothing else does there. */
static bool claim(struct check *c, uint32_t at, uint32_t bytes)
{
	if (at < sizeof(struct frame_head) || at > c->used || bytes > c->used - at)
		return false;
	for (uint32_t u = at / REF_BYTES; u < (at + bytes) / REF_BYTES; u++) {
		if (c->seen[u / 8] & 1u << u % 8)
			return false;
		c->seen[u / 8] |= (uint8_t)(1u << u % 8);
	}
	c->live += bytes;
	return true;
}

/* Every ref is pushed before its target is claimed once, so more refs than units cannot be sound.
 */
static bool push(struct check *c, art_ref ref, bool term)
{
	if (ref == 0 || c->n == c->max)
		return false;
	c->todo[c->n].ref = ref;
	c->todo[c->n++].term = term;
	return true;
}

static bool children_ok(struct check *c, const struct node *n)
{
	unsigned count = le16_get(n->count), max;
	const le16 *child = node_children((struct node *)n, &max);

	if (count > max || (count == 0 && le16_get(n->term) == 0))
		return false;
	if (n->type == NODE4 || n->type == NODE16) {
		const uint8_t *byte = n->type == NODE4 ? ((const struct node4 *)n)->byte
		                                       : ((const struct node16 *)n)->byte;
		for (unsigned i = 1; i < count; i++)
			if (byte[i - 1] >= byte[i])
				return false;
		for (unsigned i = count; i < max; i++)
			if (le16_get(child[i]))
				return false;
	}
	if (n->type == NODE48) {
		const struct node48 *n48 = (const struct node48 *)n;
		uint64_t used = 0;
		for (unsigned b = 0; b < 256; b++) {
			unsigned i = n48->index[b];
			if (i == 0)
				continue;
			if (i > 48 || (used & UINT64_C(1) << i) || le16_get(child[i - 1]) == 0)
				return false;
			used |= UINT64_C(1) << i;
		}
		if ((unsigned)__builtin_popcountll(used) != count)
			return false;
	}
	unsigned found = 0;
	for (unsigned i = 0; i < max; i++)
		if (le16_get(child[i])) {
			found++;
			if (!push(c, le16_get(child[i]), false))
				return false;
		}
	if (le16_get(n->term) && !push(c, le16_get(n->term), true))
		return false;
	return found == count;
}

static bool payload_ok(const struct leaf *l)
{
	uint32_t bytes = le32_get(l->payload_bytes);

	if (l->home == HOME_LEAF)
		return true;
	const uint8_t *p = (const uint8_t *)(l + 1) + le16_get(l->suffix_bytes);
	if (l->home == HOME_ARENA)
		return bytes == sizeof(struct arena_ref);
	if (l->home != HOME_DATA || bytes < offsetof(struct data_ref, sum))
		return false;
	struct data_ref d;
	memcpy(&d, p, offsetof(struct data_ref, sum));
	uint32_t data = le32_get(d.bytes);
	return data > 0 && data <= STORE_DATA_MAX && bytes == data_ref_bytes(data);
}

static bool thing_ok(struct check *c, art_ref ref, bool term)
{
	uint32_t at = (uint32_t)ref * REF_BYTES;
	const struct node *n = (const struct node *)(c->m + at);

	if (at + REF_BYTES > c->used || (term && n->type != LEAF))
		return false;
	if (n->type == LINK)
		return link_id((const struct link *)n) != 0 && claim(c, at, sizeof(struct link));
	if (n->type == LEAF) {
		const struct leaf *l = (const struct leaf *)n;
		uint32_t suffix = le16_get(l->suffix_bytes), payload = le32_get(l->payload_bytes);
		return payload <= c->used && (!term || suffix == 0) &&
		       claim(c, at, round_up(sizeof(*l) + suffix + payload)) && payload_ok(l);
	}
	return is_node(n->type) && le16_get(n->zero) == 0 &&
	       claim(c, at, round_up(node_base_bytes(n->type) + n->prefix_bytes)) &&
	       children_ok(c, n);
}

static bool frame_ok(struct check *c, uint32_t frame_bytes, uint64_t id)
{
	const struct frame_head *h = (const struct frame_head *)c->m;
	uint32_t max = le16_get(h->entries_max), found = 0;

	if (le32_get(h->magic) != ART_FRAME_MAGIC || le16_get(h->version) != ART_FRAME_VERSION ||
	        le64_get(h->id) != id || le32_get(h->incompat) != 0)
		return false;
	c->used = le32_get(h->used);
	if (c->used < sizeof(*h) || c->used > frame_bytes || c->used % REF_BYTES != 0)
		return false;
	c->live = sizeof(*h);
	uint32_t table = (uint32_t)le16_get(h->table) * REF_BYTES;
	if (max == 0 || max > ENTRIES_MAX || max % 4 != 0 ||
	        !claim(c, table, max * (uint32_t)sizeof(le16)))
		return false;
	for (uint32_t e = 0; e < max; e++) {
		art_ref ref = le16_get(((const le16 *)(c->m + table))[e]);
		if (ref) {
			found++;
			if ((uint32_t)ref * REF_BYTES >= c->used ||
			        c->m[(uint32_t)ref * REF_BYTES] == LINK || !push(c, ref, false))
				return false;
		}
	}
	if (found != le16_get(h->entries))
		return false;
	while (c->n > 0) {
		c->n--;
		if (!thing_ok(c, c->todo[c->n].ref, c->todo[c->n].term))
			return false;
	}
	return true;
}

int frame_measure(const void *m, uint32_t frame_bytes, uint64_t id, uint32_t *live)
{
	unsigned units = frame_bytes / REF_BYTES;
	struct check c = {.m = m, .max = units};
	int err = -ENOMEM;

	c.seen = calloc(1, units / 8);
	c.todo = malloc(units * sizeof(*c.todo));
	if (c.seen && c.todo)
		err = frame_ok(&c, frame_bytes, id) ? 0 : -EUCLEAN;
	if (!err)
		*live = c.live;
	free(c.todo);
	free(c.seen);
	return err;
}

int frame_validate(const void *m, uint32_t frame_bytes, uint64_t id)
{
	const struct frame_head *h = m;
	uint32_t live;
	int err = frame_measure(m, frame_bytes, id, &live);

	return err ? err : live + le32_get(h->dead) == le32_get(h->used) ? 0 : -EUCLEAN;
}
