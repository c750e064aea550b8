/*
 * read.c - point lookups.
 *
 * First without any lock: look at frame after frame, and at the end ask of each whether it has changed
 * since. If not, all of it was true at one moment. A graft changes the frames at its two ends, so a reader
 * that was below one of them on its way notices too, and never sees a value under a name that it did not
 * have. Who cannot be sure after a few tries, or needs a frame from disk, takes tree_lock.
 *
 * Bytes that may be changing bound nothing: each step of a walk consumes a byte of the key, lengths are
 * compared before use, and the farthest that a wrong ref can point stays within STORE_VIEW_BEYOND.
 */
#include <errno.h>
#include <string.h>

#include "art/tree.h"

int tree_follow(struct art *a, const struct link *l, struct frame **out)
{
	struct frame *f;
	uint8_t entry = l->entry;
	int err = store_frame_get(a->store, link_id(l), &f);

	if (err)
		return err == -ENOENT ? -EUCLEAN : err;
	struct frame_head *h = f->data;
	if (le32_get(h->magic) == ART_FRAME_MAGIC && entry < le16_get(h->entries_max) &&
	        ref_at(h, entry_loc(h, entry)) != 0) {
		*out = f;
		return 0;
	}
	store_frame_put(a->store, f);
	return -EUCLEAN;
}

int tree_walk(struct art *a, struct walk *w, struct art_bytes key, enum stop *stop)
{
	struct frame *f;
	int err = store_frame_get(a->store, a->root, &f);

	if (err)
		return err;
	walk_start(w, key, f);
	while ((*stop = walk_down(w)) == STOP_LINK) {
		struct link l = *walk_link(w);
		err = tree_follow(a, &l, &f);
		store_frame_put(a->store, w->frame);
		if (err)
			return err;
		walk_enter(w, f, l.entry);
	}
	return 0;
}

int tree_find(struct art *a, struct art_bytes key, struct frame **frame, struct leaf **leaf)
{
	struct walk w;
	enum stop stop;
	int err = tree_walk(a, &w, key, &stop);

	if (err)
		return err;
	uint32_t loc = walk_leaf(&w, stop);
	if (loc == 0) {
		store_frame_put(a->store, w.frame);
		return -ENOENT;
	}
	*frame = w.frame;
	*leaf = frame_at(w.frame->data, ref_at(w.frame->data, loc));
	return 0;
}

/* ---- without a lock ---------------------------------------------------------------------------- */

/* The races of a look are real, and what they bring is thrown away; so the thread sanitizer is asked not to
 * watch these reads. Everything else stays watched. */
#ifdef __SANITIZE_THREAD__
void AnnotateIgnoreReadsBegin(const char *file, int line);
void AnnotateIgnoreReadsEnd(const char *file, int line);
#else
#define AnnotateIgnoreReadsBegin(file, line) ((void)0)
#define AnnotateIgnoreReadsEnd(file, line)   ((void)0)
#endif

enum { LOOK_FRAMES_MAX = 16, LOOK_TRIES = 3 };
enum { UNSURE = 1 }; /* the lookup must be done with the lock */

struct look {
	struct store_view view[LOOK_FRAMES_MAX];
	unsigned views;
	struct frame frame[LOOK_FRAMES_MAX];
	struct walk walk;
	enum stop stop;
	/* The longest key on the way: its leaf, and its length. */
	void *m;
	uint32_t term_loc;
	size_t term_depth;
};

static bool look_valid(const struct look *k)
{
	for (unsigned i = 0; i < k->views; i++)
		if (!store_view_valid(&k->view[i]))
			return false;
	return true;
}

static void look_term(struct look *k, void *m, uint32_t loc, size_t depth)
{
	if (loc) {
		k->m = m;
		k->term_loc = loc;
		k->term_depth = depth;
	}
}

/* Walks as far as the key leads; false if that cannot be done without a lock. */
static bool look_walk(struct art *a, struct art_bytes key, struct look *k)
{
	struct walk *w = &k->walk;
	uint64_t id = a->root;
	uint8_t entry = 0;

	*w = (struct walk){.key = key};
	k->m = NULL;
	for (k->views = 0; k->views < LOOK_FRAMES_MAX;) {
		struct store_view *v = &k->view[k->views];
		struct frame *f = &k->frame[k->views];
		/* The child's version is taken before the parents are asked once more, so the link
		 * did lead to this child while the child was like this. */
		if (!store_frame_view(a->store, id, v) || !look_valid(k))
			return false;
		k->views++;
		*f = (struct frame){.id = id, .data = (void *)v->data};
		w->frame = f;
		w->loc = entry_loc_unchecked(f->data, entry);
		w->term_loc = 0;
		k->stop = walk_down(w);
		look_term(k, f->data, w->term_loc, w->term_depth);
		if (k->stop != STOP_LINK)
			return true;
		struct link l = *walk_link(w);
		id = link_id(&l);
		entry = l.entry;
	}
	return false;
}

/* Copies from the leaf at `loc` if its value lives there. */
static int look_value(struct art *a, struct look *k, void *m, uint32_t loc, size_t offset,
        void *buf, size_t cap, size_t *bytes)
{
	struct leaf *l = frame_at(m, ref_at(m, loc));
	uint32_t n = le32_get(l->payload_bytes);

	if (l->home != HOME_LEAF || n > a->inline_bytes_max)
		return UNSURE;
	if (offset < n && cap > 0)
		memcpy(buf, leaf_payload(l) + offset, cap < n - offset ? cap : n - offset);
	if (!look_valid(k))
		return UNSURE;
	if (bytes)
		*bytes = n;
	return 0;
}

static int look_get(
        struct art *a, struct art_bytes key, size_t offset, void *buf, size_t cap, size_t *bytes)
{
	struct look k;

	if (!look_walk(a, key, &k))
		return UNSURE;
	uint32_t loc = walk_leaf(&k.walk, k.stop);
	if (loc == 0)
		return look_valid(&k) ? -ENOENT : UNSURE;
	return look_value(a, &k, k.walk.frame->data, loc, offset, buf, cap, bytes);
}

static int look_longest(
        struct art *a, struct art_bytes key, size_t *matched, void *buf, size_t cap, size_t *bytes)
{
	struct look k;

	if (!look_walk(a, key, &k))
		return UNSURE;
	const struct walk *w = &k.walk;
	if (k.stop == STOP_LEAF) {
		const struct leaf *l = frame_at(w->frame->data, ref_at(w->frame->data, w->loc));
		if (w->match == le16_get(l->suffix_bytes))
			look_term(&k, w->frame->data, w->loc, w->depth + w->match);
	}
	if (!k.m)
		return look_valid(&k) ? -ENOENT : UNSURE;
	int err = look_value(a, &k, k.m, k.term_loc, 0, buf, cap, bytes);
	if (!err)
		*matched = k.term_depth;
	return err;
}

/* ---- with it ----------------------------------------------------------------------------------- */

bool tree_retry(struct art *a, int err, unsigned *tries)
{
	return err == -EAGAIN && (*tries)++ < 8 && checkpoint_run(a) == 0;
}

static int get_once(
        struct art *a, struct art_bytes key, size_t offset, void *buf, size_t cap, size_t *bytes)
{
	struct frame *f;
	struct leaf *l;

	pthread_rwlock_rdlock(&a->tree_lock);
	int err = tree_find(a, key, &f, &l);
	if (!err) {
		err = value_read(a, l, offset, buf, cap);
		if (!err && bytes)
			*bytes = value_bytes(l);
		store_frame_put(a->store, f);
	}
	pthread_rwlock_unlock(&a->tree_lock);
	return err;
}

int art_get(
        struct art *a, struct art_bytes key, size_t offset, void *buf, size_t cap, size_t *bytes)
{
	unsigned tries = 0;
	int err = UNSURE;

	AnnotateIgnoreReadsBegin(__FILE__, __LINE__);
	for (unsigned i = 0; i < LOOK_TRIES && err == UNSURE; i++)
		err = look_get(a, key, offset, buf, cap, bytes);
	AnnotateIgnoreReadsEnd(__FILE__, __LINE__);
	if (err != UNSURE)
		return err;
	do
		err = get_once(a, key, offset, buf, cap, bytes);
	while (tree_retry(a, err, &tries));
	return err == -EAGAIN ? -ENOMEM : err;
}

/* The longest key on the way that a walk has gone so far. */
struct longest {
	struct frame *frame; /* pinned, or NULL */
	uint32_t loc;
	size_t depth;
};

static void remember(struct art *a, struct longest *best, const struct walk *w)
{
	struct frame *same;

	if (w->term_loc == 0)
		return;
	if (best->frame)
		store_frame_put(a->store, best->frame);
	*best = (struct longest){NULL, w->term_loc, w->term_depth};
	if (store_frame_get(a->store, w->frame->id, &same) == 0) /* pinned: cannot fail */
		best->frame = same;
}

static int walk_longest(struct art *a, struct art_bytes key, struct longest *best)
{
	struct walk w;
	struct frame *f;
	enum stop stop;
	int err = store_frame_get(a->store, a->root, &f);

	if (err)
		return err;
	walk_start(&w, key, f);
	while ((stop = walk_down(&w)) == STOP_LINK) {
		struct link l = *walk_link(&w);
		err = tree_follow(a, &l, &f);
		if (!err)
			remember(a, best, &w);
		store_frame_put(a->store, w.frame);
		if (err)
			return err;
		walk_enter(&w, f, l.entry);
	}
	if (stop == STOP_LEAF) {
		const struct leaf *l = frame_at(w.frame->data, ref_at(w.frame->data, w.loc));
		if (w.match == le16_get(l->suffix_bytes)) {
			w.term_loc = w.loc;
			w.term_depth = w.depth + w.match;
		}
	}
	remember(a, best, &w);
	store_frame_put(a->store, w.frame);
	return best->frame ? 0 : -ENOENT;
}

static int longest_once(
        struct art *a, struct art_bytes key, size_t *matched, void *buf, size_t cap, size_t *bytes)
{
	struct longest best = {0};

	pthread_rwlock_rdlock(&a->tree_lock);
	int err = walk_longest(a, key, &best);
	if (!err) {
		struct leaf *l = frame_at(best.frame->data, ref_at(best.frame->data, best.loc));
		err = value_read(a, l, 0, buf, cap);
		if (!err) {
			*matched = best.depth;
			if (bytes)
				*bytes = value_bytes(l);
		}
	}
	if (best.frame)
		store_frame_put(a->store, best.frame);
	pthread_rwlock_unlock(&a->tree_lock);
	return err;
}

int art_longest_prefix(
        struct art *a, struct art_bytes key, size_t *matched, void *buf, size_t cap, size_t *bytes)
{
	unsigned tries = 0;
	int err = UNSURE;

	AnnotateIgnoreReadsBegin(__FILE__, __LINE__);
	for (unsigned i = 0; i < LOOK_TRIES && err == UNSURE; i++)
		err = look_longest(a, key, matched, buf, cap, bytes);
	AnnotateIgnoreReadsEnd(__FILE__, __LINE__);
	if (err != UNSURE)
		return err;
	do
		err = longest_once(a, key, matched, buf, cap, bytes);
	while (tree_retry(a, err, &tries));
	return err == -EAGAIN ? -ENOMEM : err;
}
