/*
 * tree.h - inside art/: the dictionary, a transaction under way, and the tree's own operations.
 *
 * Lock table (rank: take lower first)
 *
 *   rank  lock                   guards                                         held across I/O
 *   1     art.checkpoint_lock    one checkpoint at a time                       yes
 *   2     art.commit_lock        one transaction at a time; every change of     yes (loading frames,
 *                                a frame; struct txn; freeze                    log space)
 *   3     art.wake_lock          what the checkpointer waits for                no
 *
 * Readers take no lock: they look (look.h). Only who could not be sure after a few tries reads with
 * commit_lock held. store_frame_change() and store_frame_changed() tell those who look what a
 * transaction is changing.
 *
 * Frames are handed about pinned, and whoever changes one has called store_frame_write() on it first.
 */
#ifndef ART_TREE_H
#define ART_TREE_H

#include <pthread.h>
#include <stdatomic.h>

#include "art/art.h"
#include "art/node.h"

/* Arrays that grow as transactions need them. */
struct txn_room {
	struct frame **pin;
	struct crumb *crumb;
	unsigned pins_max, crumbs_max;
};

struct art {
	struct io *io;       /* immutable after open */
	struct store *store; /* immutable after open */
	struct wal *wal;     /* immutable after open */
	struct art_options opt;
	uint32_t frame_bytes;      /* immutable after open, as the limits below */
	uint32_t leaf_bytes_max;   /* a leaf, header included */
	uint32_t inline_bytes_max; /* a value in a leaf */
	uint32_t arena_bytes_max;  /* a value in an arena */

	pthread_mutex_t commit_lock;
	uint64_t root; /* blob id of the frame whose entry 0 is the root; immutable after open */
	uint64_t keys; /* guarded by commit_lock */
	uint64_t
	        arena; /* blob id of the arena that is being filled, or 0; guarded by commit_lock */
	_Atomic uint64_t lsn;         /* of the last transaction applied */
	struct frame_scratch scratch; /* guarded by commit_lock, as the next three */
	uint8_t *leaf_copy;           /* leaf_bytes_max */
	struct txn_room room;         /* lent to the transaction under way */
	bool replaying;

	pthread_mutex_t checkpoint_lock;
	struct frame_scratch seal_scratch; /* guarded by checkpoint_lock */
	_Atomic uint64_t checkpoint_lsn;
	pthread_t checkpointer; /* when opt.background */
	bool checkpointer_runs; /* immutable between open and close */
	pthread_mutex_t wake_lock;
	pthread_cond_t wake;
	bool stopping;      /* guarded by wake_lock */
	atomic_bool nudged; /* set under wake_lock */

	uint64_t commits, frames_dirtied; /* guarded by commit_lock */
	_Atomic uint64_t frames_split, frames_merged, frames_compacted, checkpoints;
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

/* A frame on the way of a walk, and how it was entered. */
struct crumb {
	struct frame *frame;
	uint32_t up_loc; /* loc, in the frame above, of the node whose link led here */
	uint8_t entry;
};

/* One transaction from reserve to the end. All frames that it touches are pinned here. */
struct txn {
	struct art *a;
	enum store_need need;
	struct frame **pin;
	unsigned pins, pins_max;
	unsigned spares; /* frames that apply may take */
	unsigned extra;  /* of these, frames for splits that do more than make room; see split.c */
	uint32_t arena_room; /* bytes left in the arena at hand, while reserving */
	uint64_t room;       /* bytes that inserts beside cuts may allocate */
	unsigned cuts;       /* operations of this transaction that take something away */
	bool moves;          /* it moves whole subtrees */
	bool applying;       /* writable frames are marked as changing */
	bool underfull;      /* by the operation at hand: see struct step */
	struct crumb *crumb; /* of the last walk, root first */
	unsigned crumbs_max;
	uint64_t walks, changes; /* so far */
};

/* Where reserve found a key, so that apply need not walk there again. */
struct place {
	struct walk walk;
	enum stop stop;
	uint64_t frame_id; /* of walk.frame, which may be gone meanwhile; 0: not known */
	uint64_t walks;    /* t->walks then: the crumbs are of this walk until the next one */
};

/* frame->mark during a transaction: what has been done for it, and the bytes that apply may need in
 * it. */
enum {
	MARK_PINNED = 1,
	MARK_WRITABLE = 2,
	MARK_MAY_SPLIT = 4,
	MARK_CHANGED = 8, /* by this transaction: places in it are not valid any more */
	MARK_NEED_SHIFT = 8
};

int txn_pin(struct txn *t, uint64_t id, struct frame **out);
int txn_writable(struct txn *t, struct frame *f);
/* [apply] Best effort: a frame that is in memory, pinned and made writable beside what was reserved; or NULL. */
struct frame *txn_borrow(struct txn *t, uint64_t id);
/* [apply] A new TREE or ARENA frame, pinned by the transaction. */
struct frame *txn_new_frame(struct txn *t, enum store_kind kind);
int txn_walk(struct txn *t, struct walk *w, struct art_bytes key, enum stop *stop);
/* The same, and remembers it. */
int txn_find(struct txn *t, struct place *p, struct art_bytes key);
/* [apply] The same on frames that are pinned already: cannot fail. */
enum stop txn_rewalk(struct txn *t, struct walk *w, struct art_bytes key);
/* [apply] The walk to a place, without walking if it is still there. `alone`: only the last frame of
 * the walk is of interest, not the crumbs. */
enum stop txn_return(
        struct txn *t, struct place *p, struct walk *w, struct art_bytes key, bool alone);
/* [apply] Says that things have moved in a frame. */
void txn_changed(struct txn *t, struct frame *f);

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

/* [reserve] For tree_put() of that many bytes of payload, or for tree_attach(): `leaf` tells which. `p` is
 * where txn_find() has found the key. */
int tree_reserve_insert(struct txn *t, const struct place *p, bool leaf, uint32_t payload_bytes);
/* [reserve] For tree_cut() at the stop of this walk. */
int tree_reserve_cut(struct txn *t, const struct walk *w);

/* [apply] */
void tree_put(struct txn *t, struct art_bytes key, const struct payload *p, struct place *at);
void tree_remove(struct txn *t, struct art_bytes key, struct place *at); /* if it is there */
/* [apply] Hangs the subtree that is entry `entry` of frame `id` below a key that nothing begins
 * with. */
void tree_attach(struct txn *t, struct art_bytes key, uint64_t id, uint8_t entry);
/* [apply] Takes away what hangs at the branch above the stop. `keep_last`: the subtree in the last
 * frame of the walk stays, for somebody else will link to it. */
void tree_cut(struct txn *t, const struct walk *w, bool keep_last);

/* ---- split.c
 * ---------------------------------------------------------------------------------------- */

/* [apply] Makes room in the last frame of the walk, or in the one above on the way to it: moves about half of it
 * to another frame, or a node of it up. False if nothing in it can move. Needs the frame above to be writable, and
 * spare frames: SPLIT_FRAMES for each frame that may be split, and SPLIT_EXTRA for all, counted in t->extra. */
bool tree_split(struct txn *t, const struct walk *w);
enum { SPLIT_FRAMES = 3, SPLIT_EXTRA = 3 };
/* If the frame where a walk along `key` stops holds less than `below` bytes, moves what is left into the frame
 * above or into a sibling that is in memory. Best effort: changes no key, and may do nothing. */
void tree_merge(struct txn *t, struct art_bytes key, uint32_t below);
/* Bytes: a frame that holds less is worth merging after a removal. */
#define MERGE_BELOW(frame_bytes) ((frame_bytes) / 5 * 2)

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
struct payload leaf_payload_view(struct leaf *l);
size_t value_bytes(struct leaf *l);
size_t payload_value_bytes(const struct payload *p);
/* Copies [offset, offset+cap) of the value, as far as there is. Needs no lock where the payload is a copy;
 * -ENOENT, -EUCLEAN or -EBADMSG may then mean that the value is gone. */
int value_read(struct art *a, struct leaf *l, size_t offset, void *buf, size_t cap);
int payload_read(struct art *a, const struct payload *p, size_t offset, void *buf, size_t cap);
int arena_reserve(struct txn *t, uint32_t bytes); /* [reserve] room for one more value */
void arena_put(
        struct txn *t, const void *data, uint32_t bytes, struct arena_ref *out); /* [apply] */
void value_drop(struct txn *t, struct leaf *l); /* [apply] the leaf is about to go */
void data_ref_encode(struct data_ref *out, const struct store_data *d);
int data_ref_decode(struct store_data *out, const void *bytes, size_t n); /* -EUCLEAN */
int arena_validate(const void *m, uint32_t frame_bytes, uint64_t id);

/* ---- read.c
 * ----------------------------------------------------------------------------------------- */

/* After a read that failed: true if it was for want of clean frames, and there are some now. The caller
 * holds no lock and no pin. */
bool tree_retry(struct art *a, int err, unsigned *tries);
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
