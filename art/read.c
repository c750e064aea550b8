/*
 * read.c - point lookups.
 */
#include <errno.h>

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
	int err;

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
	int err;

	do
		err = longest_once(a, key, matched, buf, cap, bytes);
	while (tree_retry(a, err, &tries));
	return err == -EAGAIN ? -ENOMEM : err;
}
