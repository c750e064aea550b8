/*
 * tree.h - inside art/: the dictionary, a transaction under way, and the tree's own operations.
 *
 * Lock table (rank: take lower first)
 *
 *   rank  lock                   guards                                         held across I/O
 *   1     art.checkpoint_lock    one checkpoint at a time                       yes
 *   2     art.commit_lock        one transaction at a time; struct txn; freeze  yes (loading
 * frames, log space) 3     art.tree_lock          root, keys, every frame's content yes 4
 * art.wake_lock          what the checkpointer waits for                no
 *
 * Point lookups take no lock while they find frames in memory (read.c); store_frame_change() and
 * store_frame_changed() tell them what a transaction is changing.
 *
 * A transaction holds ranks 2 and 3 (alone) from its guards to its last change. Frames are handed
 * about pinned, and whoever changes one has called store_frame_write() on it first: that is where
 * latches per frame take the place of tree_lock.
 */
#ifndef ART_TREE_H
#define ART_TREE_H

#include <pthread.h>
#include <stdatomic.h>

#include "art/art.h"
#include "art/node.h"

struct art {
	struct io *io;       /* immutable after open */
	struct store *store; /* immutable after open */
	struct wal *wal;     /* immutable after open */
	struct art_options opt;
	uint32_t slot_bytes;       /* immutable after open, as the limits below */
	uint32_t leaf_bytes_max;   /* a leaf, header included */
	uint32_t inline_bytes_max; /* a value in a leaf */
	uint32_t arena_bytes_max;  /* a value in an arena */

	pthread_mutex_t commit_lock;
	pthread_rwlock_t tree_lock;
	uint64_t root; /* blob id of the frame whose entry 0 is the root; guarded by tree_lock */
	uint64_t keys; /* guarded by tree_lock */
	uint64_t
	        arena; /* blob id of the arena that is being filled, or 0; guarded by commit_lock */
	_Atomic uint64_t lsn;         /* of the last transaction applied */
	struct frame_scratch scratch; /* guarded by tree_lock held alone */
	uint8_t *leaf_copy;           /* leaf_bytes_max; guarded as scratch */
	bool replaying;               /* guarded by commit_lock */

	pthread_mutex_t checkpoint_lock;
	_Atomic uint64_t checkpoint_lsn;
	pthread_t checkpointer; /* when opt.background */
	bool checkpointer_runs; /* immutable between open and close */
	pthread_mutex_t wake_lock;
	pthread_cond_t wake;
	bool stopping, nudged; /* guarded by wake_lock */

	_Atomic uint64_t commits, frames_dirtied, frames_split, frames_merged, frames_compacted,
	        checkpoints;
};

/* ---- walks: one descent along a key ---------------------------------------------------------- */

enum stop {
	STOP_EMPTY,    /* the tree has no key at all */
	STOP_LINK,     /* goes on in another frame */
	STOP_LEAF,     /* at a leaf; `match` bytes of its suffix agree with the rest of the key */
	STOP_NODE,     /* the key ends behind the prefix of the node */
	STOP_PREFIX,   /* the key ends or differs after `match` bytes of the node's prefix */
	STOP_NO_CHILD, /* the node has no child for the next byte */
};

/* Where a child hangs: the deepest place above the stop where cutting leaves a tree that needs
 * nothing more removed above it. */
struct branch {
	unsigned crumb;    /* index of its frame */
	uint32_t node_loc; /* where the node is referred to; 0: there is no such node, the tree is
	                      one line */
	uint8_t byte;      /* of the child on the way */
};

struct walk {
	struct art_bytes key;
	struct frame *frame;
	uint32_t loc;       /* of the thing it stopped at */
	uint32_t node_loc;  /* of the last node that it went through in this frame */
	uint32_t match;     /* see enum stop */
	size_t depth;       /* bytes of the key before the prefix or suffix of that thing */
	size_t frame_depth; /* bytes of the key before this frame */
	unsigned crumb;     /* index of `frame` on the way */
	uint32_t term_loc;  /* of the last key in this frame that the key begins with, or 0 */
	size_t term_depth;  /* its length */
	struct branch branch;
};

static inline const uint8_t *walk_rest(const struct walk *w)
{
	return (const uint8_t *)w->key.data + w->depth;
}
static inline size_t walk_rest_bytes(const struct walk *w)
{
	return w->key.bytes - w->depth;
}
void walk_start(struct walk *w, struct art_bytes key, struct frame *root);
/* Goes on within w->frame. After STOP_LINK the caller gets the frame and calls walk_enter(). */
enum stop walk_down(struct walk *w);
void walk_enter(struct walk *w, struct frame *frame, uint8_t entry);
static inline const struct link *walk_link(const struct walk *w)
{
	return frame_at(w->frame->data, ref_at(w->frame->data, w->loc));
}

/* ---- transactions ---------------------------------------------------------------------------- */

/* A value as a leaf takes it. */
struct payload {
	enum home home;
	const void *data;
	uint32_t bytes;
};

/* One transaction from reserve to the end. All frames that it touches are pinned here. */
struct txn {
	struct art *a;
	enum store_need need;
	struct frame **pin;
	unsigned pins, pins_max;
	unsigned spares;     /* frames that apply may take */
	uint32_t arena_room; /* bytes left in the arena at hand, while reserving */
	uint64_t room;       /* bytes that inserts beside cuts may allocate */
	unsigned cuts;       /* operations of this transaction that take something away */
	bool applying;       /* writable frames are marked as changing */
	bool underfull;      /* a frame has become so empty that merging is worth a look */
	/* The frames of the walk at hand, root first, and how each was entered. */
	struct crumb {
		struct frame *frame;
		uint32_t up_loc; /* loc, in the frame above, of the node whose link led here */
		uint8_t entry;
	} * crumb;
	unsigned crumbs_max;
};

/* frame->mark during a transaction: what has been done for it, and the bytes that apply may need in
 * it. */
enum { MARK_PINNED = 1, MARK_WRITABLE = 2, MARK_MAY_SPLIT = 4, MARK_NEED_SHIFT = 8 };

int txn_pin(struct txn *t, uint64_t id, struct frame **out);
int txn_writable(struct txn *t, struct frame *f);
/* [apply] A new TREE or ARENA frame, pinned by the transaction. */
struct frame *txn_new_frame(struct txn *t, enum store_kind kind);
int txn_walk(struct txn *t, struct walk *w, struct art_bytes key, enum stop *stop);
/* [apply] The same on frames that are pinned already: cannot fail. */
enum stop txn_rewalk(struct txn *t, struct walk *w, struct art_bytes key);

/* Unpins everything and gives the marks back. */
void txn_end(struct txn *t);
/* [apply] The frame is gone. */
void txn_drop(struct txn *t, struct frame *f);

/* ---- tree.c
 * ------------------------------------------------------------------------------------------- */

/* The stop is at the very key: the loc of its leaf, or 0. */
uint32_t walk_leaf(const struct walk *w, enum stop stop);
/* All keys below the stop, and there are some, begin with the key of the walk. */
bool walk_is_prefix(const struct walk *w, enum stop stop);

/* [reserve] For tree_put() of that many bytes of payload, or for tree_attach(): `leaf` tells which.
 */
int tree_reserve_insert(struct txn *t, struct art_bytes key, bool leaf, uint32_t payload_bytes);
/* [reserve] For tree_cut() at the stop of this walk. */
int tree_reserve_cut(struct txn *t, const struct walk *w);
int tree_reserve_remove(struct txn *t, struct art_bytes key);

/* [apply] */
void tree_put(struct txn *t, struct art_bytes key, const struct payload *p);
void tree_remove(struct txn *t, struct art_bytes key); /* if it is there */
/* [apply] Hangs the subtree that is entry `entry` of frame `id` below a key that nothing begins
 * with. */
void tree_attach(struct txn *t, struct art_bytes key, uint64_t id, uint8_t entry);
/* [apply] Takes away what hangs at the branch above the stop. `keep_last`: the subtree in the last
 * frame of the walk stays, for somebody else will link to it. */
void tree_cut(struct txn *t, const struct walk *w, bool keep_last);

/* ---- split.c
 * ---------------------------------------------------------------------------------------- */

/* [apply] Moves about half of the last frame of the walk to a new frame; false if nothing in it can
 * move. */
bool tree_split(struct txn *t, const struct walk *w);
/* If the frame where a walk along `key` stops is nearly empty, moves what is left into the frame
 * above or into a sibling that is in memory. Best effort: changes no key, and may do nothing. */
void tree_merge(struct txn *t, struct art_bytes key);

/* ---- move.c
 * ----------------------------------------------------------------------------------------- */

/* [reserve] Errors as ART_GRAFT and ART_EXCHANGE. */
int tree_reserve_move(struct txn *t, struct art_bytes from, struct art_bytes to, bool replace);
int tree_reserve_exchange(struct txn *t, struct art_bytes one, struct art_bytes other);
/* [apply] */
void tree_move(struct txn *t, struct art_bytes from, struct art_bytes to);
void tree_exchange(struct txn *t, struct art_bytes one, struct art_bytes other);

/* ---- value.c
 * ---------------------------------------------------------------------------------------- */

enum home value_home(const struct art *a, size_t bytes);
size_t value_bytes(struct leaf *l);
/* Copies [offset, offset+cap) of the value, as far as there is. */
int value_read(struct art *a, struct leaf *l, size_t offset, void *buf, size_t cap);
int arena_reserve(struct txn *t, uint32_t bytes); /* [reserve] room for one more value */
void arena_put(
        struct txn *t, const void *data, uint32_t bytes, struct arena_ref *out); /* [apply] */
void value_drop(struct txn *t, struct leaf *l); /* [apply] the leaf is about to go */
void data_ref_encode(struct data_ref *out, const struct store_data *d);
int data_ref_decode(struct store_data *out, const void *bytes, size_t n); /* -EUCLEAN */
int arena_validate(const void *m, uint32_t slot_bytes, uint64_t id);

/* ---- read.c
 * ----------------------------------------------------------------------------------------- */

/* A walk for reading: on success w->frame is pinned, and nothing else. Needs tree_lock. */
int tree_walk(struct art *a, struct walk *w, struct art_bytes key, enum stop *stop);
/* The frame behind a link, pinned. -EUCLEAN if it is not what the link says. */
int tree_follow(struct art *a, const struct link *l, struct frame **out);
/* After a read that failed: true if it was for want of clean frames, and there are some now. The caller
 * holds no lock and no pin. */
bool tree_retry(struct art *a, int err, unsigned *tries);
/* The leaf of a key, in a frame that the caller unpins; -ENOENT. Needs tree_lock. */
int tree_find(struct art *a, struct art_bytes key, struct frame **frame, struct leaf **leaf);

/* ---- checkpoint.c
 * ----------------------------------------------------------------------------------- */

int checkpoint_start(struct art *a); /* the thread */
void checkpoint_stop(struct art *a);
int checkpoint_run(struct art *a); /* takes all its locks itself */
/* True if enough has changed that the next transaction should find a newer image. */
bool checkpoint_due(struct art *a);

/* ---- txn.c
 * ------------------------------------------------------------------------------------------ */

/* Decodes one record of the log and does nothing with it: 0 or -EUCLEAN. */
int txn_record_check(const void *record, size_t bytes);
/* Applies one record of the log. */
int txn_replay(struct art *a, uint64_t lsn, const void *record, size_t bytes);

#endif
