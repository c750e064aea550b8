/*
 * cursor.c - ordered walks that survive change.
 *
 * A cursor holds no frame and no lock between two calls, only the name behind which it goes on. It
 * fetches entries in batches under tree_lock; each batch is one descent to that name and a walk
 * from there, so the cost of the descent is shared, and whatever changes between batches is seen as
 * it then is.
 *
 * The bound: while the way down still agrees with the name to go on behind, smaller bytes are
 * skipped; once it differs, everything below comes. A name that ends in the delimiter bounds its
 * whole subtree.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "art/tree.h"

enum { BATCH_FIRST = 4, BATCH_MAX = 256, BATCH_BYTES_MAX = 256 * 1024 };
enum { NAME_BYTES_MAX = 16 * ART_KEY_BYTES_MAX }; /* grafts may make keys longer than puts can */

struct buffer {
	uint8_t *data;
	size_t bytes, max;
};

struct item {
	size_t name_at, name_bytes, value_at, value_bytes;
	bool present, rolled, has_value;
};

/* A node on the way down. */
struct level {
	struct frame *frame;
	art_ref ref;
	unsigned next;     /* the smallest byte that is still to come */
	size_t name_bytes; /* of c->name, up to and with the node's prefix */
	bool bounded;      /* c->after still agrees with the name up to here */
	bool pinned;       /* this level owns the pin */
};

struct art_cursor {
	struct art *a;
	int delimiter;
	struct art_bytes prefix;
	struct buffer after; /* goes on behind this name ... */
	bool started;        /* ... if this is set */
	struct buffer name;  /* of the place in the walk */
	struct level *level;
	unsigned levels, levels_max;
	struct item item[BATCH_MAX];
	unsigned items, taken, batch;
	bool end;            /* nothing behind the batch */
	struct buffer bytes; /* names and values of the batch */
};

static int buffer_add(struct buffer *b, const void *data, size_t bytes)
{
	if (bytes > b->max - b->bytes) {
		size_t max = b->max ? b->max : 256;
		while (max - b->bytes < bytes)
			max *= 2;
		uint8_t *p = realloc(b->data, max);
		if (!p)
			return -ENOMEM;
		b->data = p;
		b->max = max;
	}
	if (bytes)
		memcpy(b->data + b->bytes, data, bytes);
	b->bytes += bytes;
	return 0;
}

enum place { BEFORE, INSIDE, AT, BEHIND };

/* Where a name lies, seen from the bound: INSIDE when the bound begins with it. */
static enum place place_of(const struct art_cursor *c, size_t name_bytes)
{
	size_t n = name_bytes < c->after.bytes ? name_bytes : c->after.bytes;
	int order = n ? memcmp(c->name.data, c->after.data, n) : 0;

	if (order)
		return order < 0 ? BEFORE : BEHIND;
	if (name_bytes < c->after.bytes)
		return INSIDE;
	if (name_bytes == c->after.bytes)
		return AT;
	bool subtree = c->delimiter != ART_NO_DELIMITER && c->after.bytes &&
	               c->after.data[c->after.bytes - 1] == c->delimiter;
	return subtree ? AT : BEHIND;
}

static int add_item(struct art_cursor *c, size_t name_bytes, bool rolled, struct leaf *l)
{
	struct item *it = &c->item[c->items];
	int err;

	*it = (struct item){.name_at = c->bytes.bytes,
	        .name_bytes = name_bytes,
	        .present = l != NULL,
	        .rolled = rolled};
	if ((err = buffer_add(&c->bytes, c->name.data, name_bytes)) != 0)
		return err;
	it->value_at = c->bytes.bytes;
	if (l) {
		it->value_bytes = value_bytes(l);
		it->has_value = l->home != HOME_DATA;
	}
	if (it->has_value) {
		static const uint8_t nothing[64];
		for (size_t n = it->value_bytes;
		        n > 0 && !err;) { /* make room, then read into it */
			size_t piece = n < sizeof(nothing) ? n : sizeof(nothing);
			err = buffer_add(&c->bytes, nothing, piece);
			n -= piece;
		}
		if (!err)
			err = value_read(c->a, l, 0, c->bytes.data + it->value_at, it->value_bytes);
		if (err)
			return err;
	}
	c->items++;
	return 0;
}

/* The delimiter in name[from..], as the length of the name up to and with it; 0 if there is none.
 */
static size_t rolled_bytes(const struct art_cursor *c, size_t from)
{
	if (c->delimiter == ART_NO_DELIMITER || from == c->name.bytes)
		return 0;
	const uint8_t *d = memchr(c->name.data + from, c->delimiter, c->name.bytes - from);
	return d ? (size_t)(d - c->name.data) + 1 : 0;
}

static int yield(struct art_cursor *c, size_t name_bytes, bool rolled, bool bounded, struct leaf *l)
{
	if (bounded && place_of(c, name_bytes) != BEHIND)
		return 0;
	return add_item(c, name_bytes, rolled, l);
}

static int push(struct art_cursor *c, const struct level *l)
{
	if (l->name_bytes > NAME_BYTES_MAX)
		return -EUCLEAN; /* links that lead in a circle */
	if (c->levels == c->levels_max) {
		unsigned max = c->levels_max ? 2 * c->levels_max : 32;
		struct level *p = realloc(c->level, max * sizeof(*p));
		if (!p)
			return -ENOMEM;
		c->level = p;
		c->levels_max = max;
	}
	c->level[c->levels++] = *l;
	return 0;
}

static struct leaf *term_of(void *m, struct node *n)
{
	return le16_get(n->term) ? frame_at(m, le16_get(n->term)) : NULL;
}

/* Takes up the thing at `loc`; c->name holds the name up to it. `skip` bytes of its edge belong to
 * the prefix. Yields it, or pushes a level. `owned`: the pin of `f` comes with it. */
static int take(struct art_cursor *c, struct frame *f, uint32_t loc, uint32_t skip, bool bounded,
        bool owned)
{
	void *m = f->data;
	art_ref ref = ref_at(m, loc);
	struct frame *other = NULL;
	size_t from = c->name.bytes;
	int err = 0;

	if (type_at(m, ref) == LINK) {
		struct link l = *(struct link *)frame_at(m, ref);
		err = tree_follow(c->a, &l, &other);
		if (owned)
			store_frame_put(c->a->store, f);
		if (err)
			return err;
		f = other;
		owned = true;
		m = f->data;
		ref = ref_at(m, entry_loc(m, l.entry));
	}
	if (type_at(m, ref) == LINK) {
		err = -EUCLEAN; /* links lead to nodes and leaves */
	} else if (type_at(m, ref) == LEAF) {
		struct leaf *l = frame_at(m, ref);
		err = buffer_add(&c->name, leaf_suffix(l) + skip, le16_get(l->suffix_bytes) - skip);
		if (!err) {
			size_t rolled = rolled_bytes(c, from);
			bool whole = rolled == 0 || rolled == c->name.bytes;
			err = yield(c, rolled ? rolled : c->name.bytes, rolled != 0, bounded,
			        whole ? l : NULL);
		}
	} else {
		struct node *n = frame_at(m, ref);
		err = buffer_add(&c->name, node_prefix(n) + skip, n->prefix_bytes - skip);
		size_t rolled = err ? 0 : rolled_bytes(c, from);
		if (rolled) {
			struct leaf *l = rolled == c->name.bytes ? term_of(m, n) : NULL;
			err = yield(c, rolled, true, bounded, l);
		} else if (!err) {
			struct level l = {f, ref, 0, c->name.bytes, bounded, owned};
			enum place p = bounded ? place_of(c, c->name.bytes) : BEHIND;
			bool subtree = p == AT && c->name.bytes > c->after.bytes;
			if (p == INSIDE)
				l.next = c->after.data[c->name.bytes];
			else
				l.bounded = false;
			if (p == BEHIND && le16_get(n->term))
				err = add_item(c, c->name.bytes, false, term_of(m, n));
			if (!err && p != BEFORE && !subtree && (err = push(c, &l)) == 0)
				owned = false;
		}
	}
	if (owned)
		store_frame_put(c->a->store, f);
	return err;
}

/* Goes on with the next child of the deepest level, or leaves it. */
static int step(struct art_cursor *c)
{
	struct level *l = &c->level[c->levels - 1];
	uint8_t byte;
	uint32_t loc = l->next < 256 ? node_next(l->frame->data, l->ref, l->next, &byte) : 0;

	if (loc == 0) {
		if (l->pinned)
			store_frame_put(c->a->store, l->frame);
		c->levels--;
		return 0;
	}
	bool bounded = l->bounded && byte == c->after.data[l->name_bytes];
	l->next = byte + 1u;
	c->name.bytes = l->name_bytes;
	int err = buffer_add(&c->name, &byte, 1);
	if (err)
		return err;
	if (c->delimiter == byte) {
		/* Everything below rolls up here; only a key that ends here has a value. */
		struct frame *f = l->frame;
		struct link link = {0};
		art_ref ref = ref_at(f->data, loc);
		bool other = type_at(f->data, ref) == LINK;
		if (other) {
			link = *(struct link *)frame_at(f->data, ref);
			if ((err = tree_follow(c->a, &link, &f)) != 0)
				return err;
			ref = ref_at(f->data, entry_loc(f->data, link.entry));
		}
		struct leaf *leaf = NULL;
		if (type_at(f->data, ref) == LEAF) {
			struct leaf *end = frame_at(f->data, ref);
			leaf = le16_get(end->suffix_bytes) == 0 ? end : NULL;
		} else if (is_node(type_at(f->data, ref))) {
			struct node *n = frame_at(f->data, ref);
			leaf = n->prefix_bytes == 0 ? term_of(f->data, n) : NULL;
		}
		err = yield(c, c->name.bytes, true, bounded, leaf);
		if (other)
			store_frame_put(c->a->store, f);
		return err;
	}
	return take(c, l->frame, loc, 0, bounded, false);
}

static void clear_levels(struct art_cursor *c)
{
	while (c->levels > 0) {
		struct level *l = &c->level[--c->levels];
		if (l->pinned)
			store_frame_put(c->a->store, l->frame);
	}
}

static int fill_locked(struct art_cursor *c)
{
	struct walk w;
	enum stop stop;
	int err = tree_walk(c->a, &w, c->prefix, &stop);

	if (err)
		return err;
	if (!walk_is_prefix(&w, stop)) {
		store_frame_put(c->a->store, w.frame);
		return 0;
	}
	c->name.bytes = 0;
	err = take(c, w.frame, w.loc, w.match, c->started, true);
	while (!err && c->levels > 0) {
		if (c->items == c->batch || c->bytes.bytes >= BATCH_BYTES_MAX)
			return 0;
		err = step(c);
	}
	c->end = true;
	return err;
}

static int fill(struct art_cursor *c)
{
	unsigned tries = 0;
	int err;

	do {
		c->items = c->taken = 0;
		c->bytes.bytes = 0;
		c->end = false;
		pthread_rwlock_rdlock(&c->a->tree_lock);
		err = fill_locked(c);
		clear_levels(c);
		pthread_rwlock_unlock(&c->a->tree_lock);
	} while (tree_retry(c->a, err, &tries));
	if (err) {
		c->items = 0;
		return err == -EAGAIN ? -ENOMEM : err;
	}
	if (c->items == 0)
		c->end = true;
	c->batch = 4 * c->batch < BATCH_MAX - 1 ? 4 * c->batch : BATCH_MAX - 1;
	return 0;
}

int art_cursor_open(struct art *a, struct art_bytes prefix, int delimiter, struct art_cursor **out)
{
	struct art_cursor *c = calloc(1, sizeof(*c));
	uint8_t *copy = malloc(prefix.bytes + 1);

	if (!c || !copy) {
		free(c);
		free(copy);
		return -ENOMEM;
	}
	if (prefix.bytes)
		memcpy(copy, prefix.data, prefix.bytes);
	c->a = a;
	c->delimiter = delimiter;
	c->prefix = (struct art_bytes){copy, prefix.bytes};
	c->batch = BATCH_FIRST;
	*out = c;
	return 0;
}

int art_cursor_seek(struct art_cursor *c, struct art_bytes name)
{
	c->after.bytes = 0;
	int err = buffer_add(&c->after, name.data, name.bytes);
	if (err)
		return err;
	c->started = true;
	c->items = c->taken = 0;
	c->end = false;
	return 0;
}

int art_cursor_next(struct art_cursor *c, struct art_entry *out)
{
	int err;

	if (c->taken == c->items) {
		if (c->end)
			return 0;
		if ((err = fill(c)) != 0)
			return err;
		if (c->items == 0)
			return 0;
	}
	const struct item *it = &c->item[c->taken];
	const uint8_t *name = c->bytes.data + it->name_at;
	c->after.bytes = 0;
	if ((err = buffer_add(&c->after, name, it->name_bytes)) != 0)
		return err;
	c->started = true;
	c->taken++;
	*out = (struct art_entry){
	        .name = {name, it->name_bytes},
	        .value = {it->has_value ? c->bytes.data + it->value_at : NULL,
	                it->has_value ? it->value_bytes : 0},
	        .value_bytes = it->value_bytes,
	        .present = it->present,
	        .rolled = it->rolled,
	};
	return 1;
}

void art_cursor_close(struct art_cursor *c)
{
	free((void *)c->prefix.data);
	free(c->after.data);
	free(c->name.data);
	free(c->level);
	free(c->bytes.data);
	free(c);
}
