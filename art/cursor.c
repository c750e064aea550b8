/*
 * cursor.c - ordered walks that survive change.
 *
 * A cursor fetches entries in batches. A batch is part of one look (look.h): a row of nodes from the prefix down
 * to where the walk is, and the entries below, copied; at its end the look says whether all of that was true at
 * one moment, and if not, it is thrown away. The next batch goes on where this one ended if the frames on the
 * way down are still the same; otherwise it descends once more, to the name behind which to go on. Between two
 * calls a cursor holds no frame and no lock.
 *
 * The bound: while the way down still agrees with the name to go on behind, smaller bytes are
 * skipped; once it differs, everything below comes. A name that ends in the delimiter bounds its
 * whole subtree.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "art/look.h"

enum {
	BATCH_FIRST = 16,
	BATCH_GROWTH = 8,
	BATCH_MAX = 256,
	BATCH_BYTES_MAX = 256 * 1024,
	PINS_MAX = 8, /* frames read from disk in one batch; others want the cache too */
	LEVELS_MAX =
	        65536, /* of nodes in a look: more is garbage, or a task for who has the lock */
};
enum { NAME_BYTES_MAX = 16 * ART_KEY_BYTES_MAX }; /* grafts may make keys longer than puts can */

/* Bytes that begin within the cursor and move to the heap when they grow. */
struct buffer {
	uint8_t *data, *home;
	size_t bytes, max;
};

struct item {
	size_t name_at, name_bytes, value_at, value_bytes;
	bool present, rolled, has_value;
};

/* A node on the way down. */
struct level {
	struct seen seen;
	unsigned view; /* of the look: the frame's */
	art_ref ref;
	unsigned next;     /* the smallest byte that is still to come */
	size_t name_bytes; /* of c->name, up to and with the node's prefix */
	bool bounded;      /* c->after still agrees with the name up to here */
	bool owner;        /* of the pin, where there is one */
};

enum { LEVELS_HOME = 16, NAME_HOME = 256, BYTES_HOME = 4096 };

struct art_cursor {
	struct art *a;
	int delimiter;
	struct art_bytes prefix;
	struct buffer after; /* goes on behind this name ... */
	bool started;        /* ... if this is set */
	struct buffer name;  /* of the place in the walk */
	struct look look;
	struct level *level;
	unsigned levels, levels_max;
	unsigned items, taken, batch;
	bool end;            /* nothing behind the batch */
	bool descended;      /* the levels are those of the end of the last batch */
	struct buffer bytes; /* names and values of the batch */
	struct item item[BATCH_MAX];
	struct level level_home[LEVELS_HOME];
	uint8_t after_home[NAME_HOME], name_home[NAME_HOME], bytes_home[BYTES_HOME];
	/* the prefix */
};

/* ---- bytes ------------------------------------------------------------------------------------- */

static int buffer_room(struct buffer *b, size_t bytes)
{
	if (bytes <= b->max - b->bytes)
		return 0;
	size_t max = b->max;
	while (max - b->bytes < bytes)
		max *= 2;
	uint8_t *p = b->data == b->home ? malloc(max) : realloc(b->data, max);
	if (!p)
		return -ENOMEM;
	if (b->data == b->home)
		memcpy(p, b->home, b->bytes);
	b->data = p;
	b->max = max;
	return 0;
}

static int buffer_add(struct buffer *b, const void *data, size_t bytes)
{
	int err = buffer_room(b, bytes);

	if (err)
		return err;
	if (bytes)
		memcpy(b->data + b->bytes, data, bytes);
	b->bytes += bytes;
	return 0;
}

static void buffer_free(struct buffer *b)
{
	if (b->data != b->home)
		free(b->data);
}

/* ---- the bound --------------------------------------------------------------------------------- */

enum side { BEFORE, INSIDE, AT, BEHIND };

/* Where a name lies, seen from the bound: INSIDE when the bound begins with it. */
static enum side side_of(const struct art_cursor *c, size_t name_bytes)
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

/* ---- entries ----------------------------------------------------------------------------------- */

/* What a look found cannot be true: garbage while something changes, corruption with the lock. */
static int wrong(const struct art_cursor *c)
{
	return c->look.locked ? -EUCLEAN : UNSURE;
}

static int add_value(struct art_cursor *c, struct item *it, struct leaf *l)
{
	struct payload p = leaf_payload_view(l);
	uint8_t ref[sizeof(struct data_ref)] = {0};
	int err;

	if (p.bytes > (p.home == HOME_LEAF ? c->a->leaf_bytes_max : sizeof(ref)))
		return wrong(c);
	if (p.home != HOME_LEAF) {
		memcpy(ref, p.data, p.bytes);
		p.data = ref;
	}
	it->value_bytes = payload_value_bytes(&p);
	it->has_value = p.home != HOME_DATA;
	if (!it->has_value || it->value_bytes == 0)
		return 0;
	if (p.home == HOME_ARENA && it->value_bytes > c->a->arena_bytes_max)
		return wrong(c);
	it->value_at = c->bytes.bytes;
	if ((err = buffer_room(&c->bytes, it->value_bytes)) != 0)
		return err;
	err = payload_read(c->a, &p, 0, c->bytes.data + it->value_at, it->value_bytes);
	c->bytes.bytes += it->value_bytes;
	return err && !c->look.locked ? UNSURE : err;
}

static int add_item(struct art_cursor *c, size_t name_bytes, bool rolled, struct leaf *l)
{
	struct item *it = &c->item[c->items];
	int err;

	*it = (struct item){.name_at = c->bytes.bytes,
	        .name_bytes = name_bytes,
	        .present = l != NULL,
	        .rolled = rolled};
	if ((err = buffer_add(&c->bytes, c->name.data, name_bytes)) != 0 ||
	        (l && (err = add_value(c, it, l)) != 0))
		return err;
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
	if (bounded && side_of(c, name_bytes) != BEHIND)
		return 0;
	return add_item(c, name_bytes, rolled, l);
}

/* ---- the walk ---------------------------------------------------------------------------------- */

/* Its children will be needed one after the other: let them come from memory together. */
static void fetch_children(void *m, art_ref ref)
{
	const struct node *n = frame_at(m, ref);
	unsigned max = n->type == NODE4 ? 4 : n->type == NODE16 ? 16 : 0;
	const le16 *child = n->type == NODE4 ? ((const struct node4 *)n)->child
	                                     : ((const struct node16 *)n)->child;

	for (unsigned i = 0; i < max; i++) {
		const char *at = frame_at(m, le16_get(child[i]));
		__builtin_prefetch(at);
		__builtin_prefetch(at + 64);
		__builtin_prefetch(at + 128);
	}
}

static int push(struct art_cursor *c, const struct level *l)
{
	if (l->name_bytes > NAME_BYTES_MAX)
		return wrong(c); /* links that lead in a circle */
	if (c->levels == c->levels_max) {
		bool home = c->level == c->level_home;
		unsigned max = 2 * c->levels_max;
		if (max > LEVELS_MAX && !c->look.locked)
			return UNSURE;
		struct level *p = realloc(home ? NULL : c->level, max * sizeof(*p));
		if (!p)
			return -ENOMEM;
		if (home)
			memcpy(p, c->level_home, sizeof(c->level_home));
		c->level = p;
		c->levels_max = max;
	}
	fetch_children(l->seen.m, l->ref);
	c->level[c->levels++] = *l;
	return 0;
}

static struct leaf *term_of(void *m, struct node *n)
{
	return le16_get(n->term) ? frame_at(m, le16_get(n->term)) : NULL;
}

/* A thing, the frame where it is, and whether the pin on that comes with it. */
struct thing {
	struct seen seen;
	unsigned view;
	bool owner;
	art_ref ref;
};

/* If the thing is a link, goes on to what it leads to. On failure nothing is held. */
static int follow(struct art_cursor *c, struct thing *t)
{
	struct thing to = {.owner = true};
	int err;

	if (type_at(t->seen.m, t->ref) != LINK)
		return 0;
	struct link l = *(struct link *)frame_at(t->seen.m, t->ref);
	err = look_enter(&c->look, link_id(&l), l.entry, &to.seen);
	if (t->owner)
		look_leave(&c->look, &t->seen);
	if (err)
		return err;
	to.view = c->look.views - 1;
	to.ref = ref_at(to.seen.m, entry_loc_unchecked(to.seen.m, l.entry));
	*t = to;
	return 0;
}

static void drop(struct art_cursor *c, struct thing *t)
{
	if (t->owner)
		look_leave(&c->look, &t->seen);
}

/* Most entries are leaves whose value is in them: copied at once, name and value behind each other. */
static int add_leaf(struct art_cursor *c, struct leaf *l, const uint8_t *suffix, size_t bytes,
        bool rolled, bool whole)
{
	struct item *it = &c->item[c->items];
	size_t before = c->name.bytes, value = whole ? le32_get(l->payload_bytes) : 0;
	int err;

	if (value > c->a->leaf_bytes_max)
		return wrong(c);
	if ((err = buffer_room(&c->bytes, before + bytes + value)) != 0)
		return err;
	uint8_t *to = c->bytes.data + c->bytes.bytes;
	memcpy(to, c->name.data, before);
	memcpy(to + before, suffix, bytes);
	memcpy(to + before + bytes, leaf_payload(l), value);
	*it = (struct item){.name_at = c->bytes.bytes,
	        .name_bytes = before + bytes,
	        .value_at = c->bytes.bytes + before + bytes,
	        .value_bytes = value,
	        .present = whole,
	        .has_value = whole,
	        .rolled = rolled};
	c->bytes.bytes += before + bytes + value;
	c->items++;
	return 0;
}

static int take_leaf(struct art_cursor *c, const struct thing *t, uint32_t skip, bool bounded)
{
	struct leaf *l = frame_at(t->seen.m, t->ref);
	size_t bytes = le16_get(l->suffix_bytes);
	const uint8_t *suffix = leaf_suffix(l) + skip, *end = NULL;
	int err;

	if (bytes < skip)
		return wrong(c);
	bytes -= skip;
	if (c->delimiter != ART_NO_DELIMITER && bytes)
		end = memchr(suffix, c->delimiter, bytes);
	bool whole = !end || end + 1 == suffix + bytes;
	if (end)
		bytes = (size_t)(end + 1 - suffix);
	if (!bounded && l->home == HOME_LEAF)
		return add_leaf(c, l, suffix, bytes, end != NULL, whole);
	if ((err = buffer_add(&c->name, suffix, bytes)) != 0)
		return err;
	return yield(c, c->name.bytes, end != NULL, bounded, whole ? l : NULL);
}

/* Yields what the node says itself, and pushes a level for its children. */
static int take_node(struct art_cursor *c, struct thing *t, uint32_t skip, bool bounded)
{
	struct node *n = frame_at(t->seen.m, t->ref);
	size_t from = c->name.bytes;
	int err;

	if (n->prefix_bytes < skip)
		return wrong(c);
	if ((err = buffer_add(&c->name, node_prefix(n) + skip, n->prefix_bytes - skip)) != 0)
		return err;
	size_t rolled = rolled_bytes(c, from);
	if (rolled)
		return yield(c, rolled, true, bounded,
		        rolled == c->name.bytes ? term_of(t->seen.m, n) : NULL);

	struct level l = {t->seen, t->view, t->ref, 0, c->name.bytes, bounded, t->owner};
	enum side p = bounded ? side_of(c, c->name.bytes) : BEHIND;
	bool subtree = p == AT && c->name.bytes > c->after.bytes;
	if (p == INSIDE)
		l.next = c->after.data[c->name.bytes];
	else
		l.bounded = false;
	if (p == BEHIND && le16_get(n->term) &&
	        (err = add_item(c, c->name.bytes, false, term_of(t->seen.m, n))) != 0)
		return err;
	if (p == BEFORE || subtree)
		return 0;
	if ((err = push(c, &l)) == 0)
		t->owner = false;
	return err;
}

/* Takes up a thing; c->name holds the name up to it. `skip` bytes of its edge belong to the prefix. */
static int take(struct art_cursor *c, struct thing *t, uint32_t skip, bool bounded)
{
	int err = follow(c, t);

	if (err)
		return err;
	uint8_t type = type_at(t->seen.m, t->ref);
	err = type == LEAF    ? take_leaf(c, t, skip, bounded)
	      : is_node(type) ? take_node(c, t, skip, bounded)
	                      : wrong(c); /* links lead to nodes and leaves */
	drop(c, t);
	return err;
}

/* Everything below rolls up here; only a key that ends here has a value. */
static int take_rolled(struct art_cursor *c, struct thing *t, bool bounded)
{
	struct leaf *leaf = NULL;
	int err = follow(c, t);

	if (err)
		return err;
	if (type_at(t->seen.m, t->ref) == LEAF) {
		struct leaf *end = frame_at(t->seen.m, t->ref);
		leaf = le16_get(end->suffix_bytes) == 0 ? end : NULL;
	} else if (is_node(type_at(t->seen.m, t->ref))) {
		struct node *n = frame_at(t->seen.m, t->ref);
		leaf = n->prefix_bytes == 0 ? term_of(t->seen.m, n) : NULL;
	}
	err = yield(c, c->name.bytes, true, bounded, leaf);
	drop(c, t);
	return err;
}

/* Goes on with the next child of the deepest level, or leaves it. */
static int step(struct art_cursor *c)
{
	struct level *l = &c->level[c->levels - 1];
	uint8_t byte;
	uint32_t loc = l->next < 256 ? node_next(l->seen.m, l->ref, l->next, &byte) : 0;

	if (loc == 0) {
		if (l->owner)
			look_leave(&c->look, &l->seen);
		c->levels--;
		return 0;
	}
	bool bounded = l->bounded && byte == c->after.data[l->name_bytes];
	l->next = byte + 1u;
	c->name.bytes = l->name_bytes;
	int err = buffer_add(&c->name, &byte, 1);
	if (err)
		return err;
	struct thing t = {l->seen, l->view, false, ref_at(l->seen.m, loc)};
	return c->delimiter == byte ? take_rolled(c, &t, bounded) : take(c, &t, 0, bounded);
}

/* Down to what the prefix leads to, and a level for it. */
static int descend(struct art_cursor *c)
{
	struct art *a = c->a;
	struct frame f = {0};
	struct walk w = {.key = c->prefix, .frame = &f};
	struct thing t = {.owner = true};
	struct link l = {0};
	enum stop stop;
	int err;

	if (c->look.locked && a->keys == 0)
		return 0;
	link_set(&l, a->root, 0);
	for (;;) {
		struct seen next;
		if ((err = look_enter(&c->look, link_id(&l), l.entry, &next)) != 0)
			break;
		look_leave(&c->look, &t.seen);
		t.seen = next;
		f.data = next.m;
		w.loc = entry_loc_unchecked(next.m, l.entry);
		if ((stop = walk_down(&w)) != STOP_LINK)
			break;
		l = *walk_link(&w);
	}
	if (err || !walk_is_prefix(&w, stop)) {
		look_leave(&c->look, &t.seen);
		return err;
	}
	t.view = c->look.views - 1;
	t.ref = ref_at(t.seen.m, w.loc);
	c->name.bytes = 0;
	return take(c, &t, w.match, c->started);
}

/* ---- batches ----------------------------------------------------------------------------------- */

static void clear_levels(struct art_cursor *c)
{
	while (c->levels > 0) {
		struct level *l = &c->level[--c->levels];
		if (l->owner)
			look_leave(&c->look, &l->seen);
	}
	c->descended = false;
}

/* Keeps the views of the levels, and of nothing else: true if they are still good. */
static bool go_on(struct art_cursor *c)
{
	struct look *k = &c->look;
	unsigned views = 0, last = LOOK_FRAMES_MAX;

	if (!c->descended)
		return false;
	for (unsigned i = 0; i < c->levels; i++) {
		unsigned v = c->level[i].view;
		if (v != last)
			k->view[views++] = k->view[v]; /* levels come from ever later views */
		last = v;
		c->level[i].view = views - 1;
	}
	k->views = views;
	return look_valid(k);
}

static int fill_batch(struct art_cursor *c)
{
	int err = 0;

	c->items = c->taken = 0;
	c->bytes.bytes = 0;
	c->end = false;
	if (!go_on(c)) {
		clear_levels(c);
		c->look.views = 0;
		err = descend(c);
	}
	while (!err && c->levels > 0) {
		bool crowded = c->look.views + 2 > LOOK_FRAMES_MAX || c->look.pins >= PINS_MAX;
		if (c->items >= c->batch || c->bytes.bytes >= BATCH_BYTES_MAX ||
		        (crowded && c->items > 0 && !c->look.locked))
			break;
		err = step(c);
	}
	if (!err && !c->look.locked && !look_valid(&c->look))
		err = UNSURE;
	c->end = !err && c->levels == 0;
	c->descended = !err && !c->look.locked;
	if (!c->descended)
		clear_levels(c);
	look_end(&c->look);
	return err;
}

static int fill_locked(struct art_cursor *c)
{
	pthread_mutex_lock(&c->a->commit_lock);
	look_begin(&c->look, c->a, true);
	int err = fill_batch(c);
	pthread_mutex_unlock(&c->a->commit_lock);
	look_begin(&c->look, c->a, false);
	return err;
}

static int fill(struct art_cursor *c)
{
	unsigned tries = 0;
	int err = UNSURE;

	/* What comes next is bounded by the last name that was given out. */
	if (c->items > 0) {
		const struct item *it = &c->item[c->items - 1];
		c->after.bytes = 0;
		if ((err = buffer_add(&c->after, c->bytes.data + it->name_at, it->name_bytes)) != 0)
			return err;
		c->started = true;
	}
	AnnotateIgnoreReadsBegin(__FILE__, __LINE__);
	for (unsigned i = 0; i < LOOK_TRIES && (i == 0 || err == UNSURE); i++)
		err = fill_batch(c);
	AnnotateIgnoreReadsEnd(__FILE__, __LINE__);
	while (err == UNSURE || tree_retry(c->a, err, &tries))
		err = fill_locked(c);
	if (err) {
		c->items = 0;
		return err == -EAGAIN ? -ENOMEM : err;
	}
	if (c->items == 0)
		c->end = true;
	c->batch =
	        BATCH_GROWTH * c->batch < BATCH_MAX - 1 ? BATCH_GROWTH * c->batch : BATCH_MAX - 1;
	return 0;
}

/* ---- calls ------------------------------------------------------------------------------------- */

int art_cursor_open(struct art *a, struct art_bytes prefix, int delimiter, struct art_cursor **out)
{
	struct art_cursor *c = malloc(sizeof(*c) + prefix.bytes);

	if (!c)
		return -ENOMEM;
	memset(c, 0, offsetof(struct art_cursor, look));
	look_begin(&c->look, a, false);
	c->a = a;
	c->delimiter = delimiter;
	c->prefix = (struct art_bytes){c + 1, prefix.bytes};
	if (prefix.bytes)
		memcpy(c + 1, prefix.data, prefix.bytes);
	c->after = (struct buffer){c->after_home, c->after_home, 0, NAME_HOME};
	c->name = (struct buffer){c->name_home, c->name_home, 0, NAME_HOME};
	c->bytes = (struct buffer){c->bytes_home, c->bytes_home, 0, BYTES_HOME};
	c->level = c->level_home;
	c->levels = 0;
	c->levels_max = LEVELS_HOME;
	c->items = c->taken = 0;
	c->batch = BATCH_FIRST;
	c->end = c->descended = false;
	*out = c;
	return 0;
}

int art_cursor_seek(struct art_cursor *c, struct art_bytes name)
{
	clear_levels(c);
	c->items = c->taken = 0;
	c->end = false;
	c->after.bytes = 0;
	int err = buffer_add(&c->after, name.data, name.bytes);
	if (!err)
		c->started = true;
	return err;
}

int art_cursor_next(struct art_cursor *c, struct art_entry *out)
{
	if (c->taken == c->items) {
		if (c->end)
			return 0;
		int err = fill(c);
		if (err)
			return err;
		if (c->items == 0)
			return 0;
	}
	const struct item *it = &c->item[c->taken++];
	*out = (struct art_entry){
	        .name = {c->bytes.data + it->name_at, it->name_bytes},
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
	clear_levels(c);
	buffer_free(&c->after);
	buffer_free(&c->name);
	buffer_free(&c->bytes);
	if (c->level != c->level_home)
		free(c->level);
	free(c);
}
