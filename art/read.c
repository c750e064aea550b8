/*
 * read.c - point lookups: first without any lock, and if that does not come to an end, with it.
 */
#include <errno.h>
#include <string.h>

#include "art/look.h"

/* The leaf of a key, or of the longest key that a key begins with, while the frames that led there are held. */
struct found {
	struct frame frame; /* for the walk */
	struct seen seen;
	struct walk walk;
	enum stop stop;
	struct seen leaf_seen;
	uint32_t leaf_loc; /* 0: none */
	size_t leaf_depth; /* bytes of the key that lead to it */
};

static void keep(struct look *k, struct found *d, uint32_t loc, size_t depth)
{
	if (loc == 0)
		return;
	if (d->leaf_seen.pin != d->seen.pin)
		look_leave(k, &d->leaf_seen);
	d->leaf_seen = d->seen;
	d->leaf_loc = loc;
	d->leaf_depth = depth;
}

/* Leaves the frame, unless the leaf is there. */
static void leave(struct look *k, struct found *d)
{
	if (d->seen.pin != d->leaf_seen.pin)
		look_leave(k, &d->seen);
}

/* Walks as far as the key leads. With `longest`, remembers the last key on the way. */
static int walk_all(struct look *k, struct art_bytes key, bool longest, struct found *d)
{
	struct walk *w = &d->walk;
	uint64_t id = k->a->root;
	uint8_t entry = 0;
	int err;

	*w = (struct walk){.key = key, .frame = &d->frame};
	d->leaf_seen = d->seen = (struct seen){0};
	d->leaf_loc = 0;
	/* An empty tree's root has no entry yet. */
	if (k->locked && k->a->keys == 0)
		return -ENOENT;
	for (;;) {
		struct seen next;
		if ((err = look_enter(k, id, entry, &next)) != 0)
			return err;
		leave(k, d);
		d->seen = next;
		d->frame.data = next.m;
		w->loc = entry_loc_unchecked(next.m, entry);
		w->term_loc = 0;
		d->stop = walk_down(w);
		if (longest)
			keep(k, d, w->term_loc, w->term_depth);
		if (d->stop != STOP_LINK)
			break;
		struct link l = *walk_link(w);
		id = link_id(&l);
		entry = l.entry;
	}
	if (!longest)
		keep(k, d, walk_leaf(w, d->stop), key.bytes);
	else if (d->stop == STOP_LEAF) {
		const struct leaf *l = frame_at(d->seen.m, ref_at(d->seen.m, w->loc));
		if (w->match == le16_get(l->suffix_bytes))
			keep(k, d, w->loc, w->depth + w->match);
	}
	return 0;
}

/* The bytes of a value that lives elsewhere are read when the leaf is known to have been true; what it names
 * may go meanwhile. */
static int copy_out(
        struct look *k, const struct found *d, size_t offset, void *buf, size_t cap, size_t *bytes)
{
	struct art *a = k->a;
	struct leaf *l = frame_at(d->leaf_seen.m, ref_at(d->leaf_seen.m, d->leaf_loc));
	uint32_t n = le32_get(l->payload_bytes);
	struct payload p = {l->home, leaf_payload(l), n};
	uint8_t ref[sizeof(struct data_ref)];
	int err;

	if (n > (p.home == HOME_LEAF ? a->leaf_bytes_max : sizeof(ref)))
		return k->locked ? -EUCLEAN : UNSURE;
	if (p.home == HOME_LEAF) {
		if (offset < n && cap > 0)
			memcpy(buf, (const char *)p.data + offset,
			        cap < n - offset ? cap : n - offset);
		if (!k->locked && !look_valid(k))
			return UNSURE;
		if (bytes)
			*bytes = n;
		return 0;
	}
	memcpy(ref, p.data, n);
	p.data = ref;
	if (!k->locked && !look_valid(k))
		return UNSURE;
	err = payload_read(a, &p, offset, buf, cap);
	if (err && !k->locked)
		return UNSURE;
	if (!err && bytes)
		*bytes = payload_value_bytes(&p);
	return err;
}

static int look_for(struct look *k, struct art_bytes key, size_t *matched, size_t offset, void *buf,
        size_t cap, size_t *bytes)
{
	struct found d;
	int err = walk_all(k, key, matched != NULL, &d);

	if (!err && d.leaf_loc == 0)
		err = k->locked || look_valid(k) ? -ENOENT : UNSURE;
	if (!err)
		err = copy_out(k, &d, offset, buf, cap, bytes);
	if (!err && matched)
		*matched = d.leaf_depth;
	leave(k, &d);
	look_leave(k, &d.leaf_seen);
	return err;
}

bool tree_retry(struct art *a, int err, unsigned *tries)
{
	return err == -EAGAIN && (*tries)++ < 8 && checkpoint_run(a) == 0;
}

static int read_value(struct art *a, struct art_bytes key, size_t *matched, size_t offset,
        void *buf, size_t cap, size_t *bytes)
{
	struct look k;
	unsigned tries = 0;
	int err = UNSURE;

	for (unsigned i = 0; i < LOOK_TRIES && err == UNSURE; i++) {
		AnnotateIgnoreReadsBegin(__FILE__, __LINE__);
		look_begin(&k, a, false);
		err = look_for(&k, key, matched, offset, buf, cap, bytes);
		look_end(&k);
		AnnotateIgnoreReadsEnd(__FILE__, __LINE__);
	}
	while (err == UNSURE || tree_retry(a, err, &tries)) {
		pthread_mutex_lock(&a->commit_lock);
		look_begin(&k, a, true);
		err = look_for(&k, key, matched, offset, buf, cap, bytes);
		pthread_mutex_unlock(&a->commit_lock);
	}
	return err == -EAGAIN ? -ENOMEM : err;
}

int art_get(
        struct art *a, struct art_bytes key, size_t offset, void *buf, size_t cap, size_t *bytes)
{
	return read_value(a, key, NULL, offset, buf, cap, bytes);
}

int art_longest_prefix(
        struct art *a, struct art_bytes key, size_t *matched, void *buf, size_t cap, size_t *bytes)
{
	return read_value(a, key, matched, 0, buf, cap, bytes);
}
