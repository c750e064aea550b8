/*
 * txn.c - transactions: reserve, log, apply.
 *
 *   write large values     to fresh slots, no lock held, named by nothing yet
 *   lock                   commit_lock
 *   reserve                check the guards, load and pin every frame that will change, make it writable, set aside
 * the frames that splits may need, make room in the log log                    one record: cannot
 * fail apply                  cannot fail: memory only, all of it pinned unlock
 *
 * Everything that can fail happens before the record is appended, and leaves the dictionary as it
 * was. Replay runs the same reserve and apply, without guards and log.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "art/tree.h"

/* Set aside for the next transaction; more would take the cache from the readers. */
enum { SPARES_KEPT = SPLIT_FRAMES + SPLIT_EXTRA };

/* ---- frames of a transaction ----------------------------------------------------------------- */

static int grow(void *array, unsigned *max, unsigned want, size_t one_bytes)
{
	if (want <= *max)
		return 0;
	unsigned n = *max ? *max : 16;
	while (n < want)
		n *= 2;
	void *p = realloc(*(void **)array, n * one_bytes);
	if (!p)
		return -ENOMEM;
	*(void **)array = p;
	*max = n;
	return 0;
}

int txn_pin(struct txn *t, uint64_t id, struct frame **out)
{
	struct frame *f = store_frame_pinned(t->a->store, id);
	int err;

	if (f && f->mark & MARK_PINNED) {
		*out = f;
		return 0;
	}
	if ((err = grow(&t->pin, &t->pins_max, t->pins + 1, sizeof(t->pin[0]))) != 0 ||
	        (err = store_frame_get(t->a->store, id, &f)) != 0)
		return err == -ENOENT ? -EUCLEAN : err;
	if (f->mark & MARK_PINNED) {
		store_frame_put(t->a->store, f);
	} else {
		f->mark = MARK_PINNED;
		t->pin[t->pins++] = f;
	}
	*out = f;
	return 0;
}

int txn_writable(struct txn *t, struct frame *f)
{
	if (f->mark & MARK_WRITABLE)
		return 0;
	int err = store_frame_write(t->a->store, f, t->need);
	if (err)
		return err;
	f->mark |= MARK_WRITABLE;
	if (t->applying)
		store_frame_change(t->a->store, f);
	t->a->frames_dirtied++;
	return 0;
}

struct frame *txn_borrow(struct txn *t, uint64_t id)
{
	struct frame *f = store_frame_peek(t->a->store, id), *pinned = NULL;

	if (!f)
		return NULL;
	/* New frames must still find their place in the array. */
	if (grow(&t->pin, &t->pins_max, t->pins + t->spares + 2, sizeof(t->pin[0])) != 0 ||
	        txn_pin(t, id, &pinned) != 0 || txn_writable(t, pinned) != 0)
		pinned = NULL;
	store_frame_put(t->a->store, f);
	return pinned;
}

struct frame *txn_new_frame(struct txn *t, enum store_kind kind)
{
	struct frame *f = store_frame_new(t->a->store, kind);

	assert(t->pins < t->pins_max);
	f->mark = MARK_PINNED | MARK_WRITABLE;
	store_frame_change(t->a->store, f);
	t->pin[t->pins++] = f;
	if (kind == STORE_TREE)
		frame_init(f->data, f->id);
	t->a->frames_dirtied++;
	return f;
}

void txn_drop(struct txn *t, struct frame *f)
{
	unsigned i = 0;

	while (t->pin[i] != f)
		i++;
	t->pin[i] = t->pin[--t->pins];
	f->mark = 0;
	store_frame_drop(t->a->store, f);
}

static void txn_begin(struct txn *t, struct art *a)
{
	*t = (struct txn){.a = a,
	        .pin = a->room.pin,
	        .pins_max = a->room.pins_max,
	        .crumb = a->room.crumb,
	        .crumbs_max = a->room.crumbs_max};
}

void txn_end(struct txn *t)
{
	while (t->pins > 0) {
		struct frame *f = t->pin[--t->pins];
		if (t->applying && f->mark & MARK_WRITABLE)
			store_frame_changed(t->a->store, f);
		f->mark = 0;
		store_frame_put(t->a->store, f);
	}
	if (t->spares > SPARES_KEPT)
		store_frame_release(t->a->store, SPARES_KEPT);
	t->a->room = (struct txn_room){t->pin, t->crumb, t->pins_max, t->crumbs_max};
}

int txn_walk(struct txn *t, struct walk *w, struct art_bytes key, enum stop *stop)
{
	struct frame *f;
	uint8_t entry = 0;
	uint32_t up_loc = 0;
	int err = txn_pin(t, t->a->root, &f);

	if (err)
		return err;
	t->walks++;
	walk_start(w, key, f);
	for (;;) {
		if ((err = grow(&t->crumb, &t->crumbs_max, w->crumb + 1, sizeof(t->crumb[0]))) != 0)
			return err;
		t->crumb[w->crumb] = (struct crumb){f, up_loc, entry};
		*stop = walk_down(w);
		if (*stop != STOP_LINK)
			return 0;
		entry = walk_link(w)->entry;
		up_loc = w->node_loc;
		if ((err = txn_pin(t, link_id(walk_link(w)), &f)) != 0)
			return err;
		if (le32_get(frame_head(f->data)->magic) != ART_FRAME_MAGIC ||
		        entry >= le16_get(frame_head(f->data)->entries_max) ||
		        ref_at(f->data, entry_loc(f->data, entry)) == 0)
			return -EUCLEAN;
		walk_enter(w, f, entry);
	}
}

int txn_find(struct txn *t, struct place *p, struct art_bytes key)
{
	int err = txn_walk(t, &p->walk, key, &p->stop);

	p->frame_id = err ? 0 : p->walk.frame->id;
	p->walks = t->walks;
	return err;
}

enum stop txn_rewalk(struct txn *t, struct walk *w, struct art_bytes key)
{
	enum stop stop;
	int err = txn_walk(t, w, key, &stop);

	assert(!err); /* reserve has pinned the frames and made the arrays long enough */
	return stop;
}

/* A frame that has not changed holds the key where it was, whatever has happened to the frames above: but for
 * moves, what changes there never changes the keys of what hangs below. */
static bool still_there(const struct txn *t, const struct place *p, bool alone)
{
	const struct frame *f = p->walk.frame;

	if (!p->frame_id || t->moves || f->id != p->frame_id)
		return false;
	if ((f->mark & (MARK_PINNED | MARK_CHANGED)) != MARK_PINNED)
		return false;
	return alone || (t->changes == 0 && t->walks == p->walks);
}

enum stop txn_return(
        struct txn *t, struct place *p, struct walk *w, struct art_bytes key, bool alone)
{
	if (!p || !still_there(t, p, alone))
		return txn_rewalk(t, w, key);
	*w = p->walk;
	return p->stop;
}

void txn_changed(struct txn *t, struct frame *f)
{
	t->changes++;
	f->mark |= MARK_CHANGED;
}

/* ---- one operation --------------------------------------------------------------------------- */

/* A value that has become a data blob, written already. */
struct blob {
	struct store_data data;
	struct data_ref ref; /* the same, encoded */
};

/* An operation on its way: as the caller gave it, or as a log record did. */
struct step {
	enum art_op_type type;
	enum art_guard guard;
	bool replace;
	struct art_bytes key, to, value, expect;
	struct blob *blob; /* PUT: or NULL; the step's own */
	bool underfull;    /* it has left a frame so empty that merging is worth a look */
	struct place place;
};

static bool begins_with(struct art_bytes whole, struct art_bytes with)
{
	return whole.bytes >= with.bytes && memcmp(whole.data, with.data, with.bytes) == 0;
}

static uint32_t payload_bytes(const struct art *a, const struct step *s)
{
	if (s->blob)
		return data_ref_bytes(s->blob->data.bytes);
	return value_home(a, s->value.bytes) == HOME_LEAF ? (uint32_t)s->value.bytes
	                                                  : (uint32_t)sizeof(struct arena_ref);
}

/* At the place where the key is, or would be. */
static int reserve_at(struct txn *t, const struct step *s, const struct place *p)
{
	return s->type == ART_PUT ? tree_reserve_insert(t, p, true, payload_bytes(t->a, s))
	                          : tree_reserve_cut(t, &p->walk);
}

static int check_equal(struct art *a, struct leaf *l, struct art_bytes expect)
{
	if (value_bytes(l) != expect.bytes)
		return -ESTALE;
	uint8_t *buf = malloc(expect.bytes + 1);
	if (!buf)
		return -ENOMEM;
	int err = value_read(a, l, 0, buf, expect.bytes);
	if (!err && expect.bytes && memcmp(buf, expect.data, expect.bytes) != 0)
		err = -ESTALE;
	free(buf);
	return err;
}

static int check_guard(struct art *a, const struct step *s)
{
	const struct walk *w = &s->place.walk;
	uint32_t loc = walk_leaf(w, s->place.stop);

	switch (s->guard) {
	case ART_ANY:
		return 0;
	case ART_ABSENT:
		return loc ? -EEXIST : 0;
	case ART_PRESENT:
		return loc ? 0 : -ENOENT;
	case ART_EQUALS:
		return loc ? check_equal(a, frame_at(w->frame->data, ref_at(w->frame->data, loc)),
		                     s->expect)
		           : -ESTALE;
	}
	return -EINVAL;
}

/* The key as it was before a move from `from` to `to`, in a buffer of its own. */
static int translate(struct art_bytes key, struct art_bytes from, struct art_bytes to,
        uint8_t **out, struct art_bytes *before)
{
	size_t rest = key.bytes - to.bytes;
	uint8_t *k = malloc(from.bytes + rest);

	if (!k)
		return -ENOMEM;
	memcpy(k, from.data, from.bytes);
	memcpy(k + from.bytes, (const uint8_t *)key.data + to.bytes, rest);
	*out = k;
	*before = (struct art_bytes){k, from.bytes + rest};
	return 0;
}

/* PUT and REMOVE below a prefix that an earlier operation moves: reserve where the key is before it
 * too. */
static int reserve_moved(struct txn *t, const struct step *all, unsigned i)
{
	struct art_bytes key = all[i].key, before;
	uint8_t *buf = NULL;
	int err = 0;

	for (unsigned j = i; j-- > 0 && !err;) {
		const struct step *s = &all[j];
		uint8_t *next;
		if (s->type != ART_GRAFT && s->type != ART_EXCHANGE)
			continue;
		if (begins_with(key, s->to))
			err = translate(key, s->key, s->to, &next, &before);
		else if (s->type == ART_EXCHANGE && begins_with(key, s->key))
			err = translate(key, s->to, s->key, &next, &before);
		else
			continue;
		if (err)
			break;
		struct place p;
		free(buf);
		buf = next;
		key = before;
		if ((err = txn_find(t, &p, key)) == 0)
			err = reserve_at(t, &all[i], &p);
	}
	free(buf);
	return err;
}

static int reserve_step(struct txn *t, struct step *all, unsigned i)
{
	struct step *s = &all[i];
	int err;

	if (s->type == ART_GRAFT)
		return tree_reserve_move(t, s->key, s->to, s->replace);
	if (s->type == ART_EXCHANGE)
		return tree_reserve_exchange(t, s->key, s->to);
	if ((err = txn_find(t, &s->place, s->key)) != 0 || (err = check_guard(t->a, s)) != 0 ||
	        (err = reserve_at(t, s, &s->place)) != 0)
		return err;
	if (s->type == ART_PUT && !s->blob && value_home(t->a, s->value.bytes) == HOME_ARENA &&
	        (err = arena_reserve(t, (uint32_t)s->value.bytes)) != 0)
		return err;
	return t->moves ? reserve_moved(t, all, i) : 0;
}

static void apply_put(struct txn *t, struct step *s)
{
	struct arena_ref r;
	struct payload p = {HOME_LEAF, s->value.data, (uint32_t)s->value.bytes};

	if (s->blob) {
		store_data_attach(t->a->store, s->blob->data.id);
		p = (struct payload){HOME_DATA, &s->blob->ref, data_ref_bytes(s->blob->data.bytes)};
	} else if (value_home(t->a, s->value.bytes) == HOME_ARENA) {
		arena_put(t, s->value.data, (uint32_t)s->value.bytes, &r);
		p = (struct payload){HOME_ARENA, &r, sizeof(r)};
	}
	tree_put(t, s->key, &p, &s->place);
}

static void apply_step(struct txn *t, struct step *s)
{
	switch (s->type) {
	case ART_PUT:
		apply_put(t, s);
		break;
	case ART_REMOVE:
		tree_remove(t, s->key, &s->place);
		break;
	case ART_GRAFT:
		tree_move(t, s->key, s->to);
		break;
	case ART_EXCHANGE:
		tree_exchange(t, s->key, s->to);
		break;
	}
}

static int reserve(struct txn *t, struct step *s, unsigned n)
{
	int err = 0;

	for (unsigned i = 0; i < n; i++) {
		t->moves |= s[i].type == ART_GRAFT || s[i].type == ART_EXCHANGE;
		t->cuts += s[i].type == ART_PUT ? 0 : s[i].type == ART_REMOVE ? 1 : 2;
	}
	t->need = t->cuts > 0 ? STORE_SHRINKING : STORE_NORMAL;
	/* Guards come first, and moves have errors of their own. Without moves, a step's walk does for both. */
	for (unsigned i = 0; i < n && !err && t->moves; i++)
		if (s[i].guard != ART_ANY && (err = txn_find(t, &s[i].place, s[i].key)) == 0)
			err = check_guard(t->a, &s[i]);
	for (unsigned i = 0; i < n && !err; i++)
		err = reserve_step(t, s, i);
	if (err)
		return err;
	/* A key moved by this transaction may be walked to through frames of another place. */
	unsigned most = t->pins + t->spares + 1;
	if ((err = grow(&t->pin, &t->pins_max, most + 1, sizeof(t->pin[0]))) != 0 ||
	        (err = grow(&t->crumb, &t->crumbs_max, most, sizeof(t->crumb[0]))) != 0)
		return err;
	return t->spares ? store_frame_reserve(t->a->store, t->spares, t->need) : 0;
}

static void apply(struct txn *t, struct step *s, unsigned n)
{
	const struct art *a = t->a;

	/* From here to txn_end() nobody can look at these frames without a lock, so the whole
	 * transaction appears at once. */
	for (unsigned i = 0; i < t->pins; i++)
		if (t->pin[i]->mark & MARK_WRITABLE)
			store_frame_change(t->a->store, t->pin[i]);
	t->applying = true;
	for (unsigned i = 0; i < n; i++) {
		t->underfull = false;
		apply_step(t, &s[i]);
		s[i].underfull = t->underfull;
	}
	for (unsigned i = 0; i < n; i++) {
		if (!s[i].underfull || s[i].type == ART_PUT)
			continue;
		if (s[i].type == ART_REMOVE) {
			tree_merge(t, s[i].key, MERGE_BELOW(a->frame_bytes));
			continue;
		}
		/* A move stays as cheap as it is: only what is small is copied once more. */
		tree_merge(t, s[i].key, a->frame_bytes / 16);
		tree_merge(t, s[i].to, a->frame_bytes / 16);
	}
}

/* ---- the record ------------------------------------------------------------------------------ */

/* The pieces of the record; 3 for each step. Returns its length. */
static size_t gather(
        const struct step *s, unsigned n, struct record_op *op, struct iovec *piece, int *pieces)
{
	size_t bytes = 0;

	*pieces = 0;
	for (unsigned i = 0; i < n; i++) {
		struct art_bytes second = s[i].type == ART_PUT ? s[i].value : s[i].to;
		if (s[i].blob)
			second = (struct art_bytes){
			        &s[i].blob->ref, data_ref_bytes(s[i].blob->data.bytes)};
		op[i] = (struct record_op){
		        .type = (uint8_t)s[i].type,
		        .flags = (uint8_t)((s[i].replace ? RECORD_REPLACE : 0) |
		                           (s[i].blob ? RECORD_DATA : 0)),
		        .key_bytes = le32_of((uint32_t)s[i].key.bytes),
		        .second_bytes = le32_of((uint32_t)second.bytes),
		};
		piece[(*pieces)++] = (struct iovec){&op[i], sizeof(op[i])};
		piece[(*pieces)++] = (struct iovec){(void *)s[i].key.data, s[i].key.bytes};
		if (second.bytes)
			piece[(*pieces)++] = (struct iovec){(void *)second.data, second.bytes};
		bytes += sizeof(op[i]) + s[i].key.bytes + second.bytes;
	}
	return bytes;
}

/* Reads the step at *at; -EUCLEAN, -ENOMEM. Views into the record. */
static int decode_step(const uint8_t **at, size_t *left, struct step *s)
{
	struct record_op op;

	if (*left < sizeof(op))
		return -EUCLEAN;
	memcpy(&op, *at, sizeof(op));
	size_t key = le32_get(op.key_bytes), second = le32_get(op.second_bytes);
	*left -= sizeof(op);
	*at += sizeof(op);
	if (op.type > ART_EXCHANGE || key == 0 || key > ART_KEY_BYTES_MAX || key > *left ||
	        second > *left - key)
		return -EUCLEAN;
	*s = (struct step){
	        .type = op.type, .replace = op.flags & RECORD_REPLACE, .key = {*at, key}};
	struct art_bytes rest = {*at + key, second};
	*at += key + second;
	*left -= key + second;
	if (s->type == ART_PUT && op.flags & RECORD_DATA) {
		s->blob = malloc(sizeof(*s->blob));
		if (!s->blob)
			return -ENOMEM;
		int err = data_ref_decode(&s->blob->data, rest.data, second);
		if (err == 0)
			data_ref_encode(&s->blob->ref, &s->blob->data);
		return err;
	}
	if (s->type == ART_PUT) {
		s->value = rest;
		return second <= ART_VALUE_BYTES_MAX ? 0 : -EUCLEAN;
	}
	s->to = rest;
	if (s->type == ART_REMOVE)
		return second == 0 ? 0 : -EUCLEAN;
	return second > 0 && second <= ART_KEY_BYTES_MAX ? 0 : -EUCLEAN;
}

int txn_record_check(const void *record, size_t bytes)
{
	struct step s;
	const uint8_t *at = record;
	int err = 0;

	while (bytes > 0 && !err) {
		s.blob = NULL;
		err = decode_step(&at, &bytes, &s);
		free(s.blob);
	}
	return err;
}

int txn_replay(struct art *a, uint64_t lsn, const void *record, size_t bytes)
{
	struct txn t;
	struct step *s = NULL;
	unsigned n = 0, max = 0, claimed = 0;
	const uint8_t *at = record;
	int err = 0;

	txn_begin(&t, a);
	while (bytes > 0 && !err) {
		if ((err = grow(&s, &max, n + 1, sizeof(*s))) == 0) {
			s[n].blob = NULL;
			err = decode_step(&at, &bytes, &s[n++]);
		}
	}
	for (; claimed < n && !err; claimed++)
		if (s[claimed].blob)
			err = store_data_claim(a->store, &s[claimed].blob->data);
	if (!err)
		err = reserve(&t, s, n);
	if (!err) {
		apply(&t, s, n);
		atomic_store(&a->lsn, lsn);
	} else {
		while (claimed-- > 0)
			if (s[claimed].blob)
				store_data_abort(a->store, s[claimed].blob->data.id);
	}
	txn_end(&t);
	while (n-- > 0)
		free(s[n].blob);
	free(s);
	return err;
}

/* ---- art_commit() ---------------------------------------------------------------------------- */

static int check_op(const struct art_op *op)
{
	if (op->key.bytes == 0)
		return -EINVAL;
	if (op->key.bytes > ART_KEY_BYTES_MAX || op->to.bytes > ART_KEY_BYTES_MAX)
		return -ENAMETOOLONG;
	switch (op->type) {
	case ART_PUT:
		return op->value.bytes > ART_VALUE_BYTES_MAX ? -EFBIG : 0;
	case ART_REMOVE:
		return 0;
	case ART_GRAFT:
	case ART_EXCHANGE:
		return op->to.bytes == 0 || op->guard != ART_ANY ? -EINVAL : 0;
	}
	return -EINVAL;
}

struct commit {
	struct art *a;
	struct step *step;
	unsigned n;
	struct record_op *record;
	struct iovec *piece;
	int pieces;
	size_t bytes;
};

static int commit_locked(struct commit *c, uint64_t *lsn)
{
	struct art *a = c->a;
	struct txn t;
	int err;

	if (store_failed(a->store) || wal_failed(a->wal))
		return -EIO;
	txn_begin(&t, a);
	err = reserve(&t, c->step, c->n);
	if (!err)
		err = wal_reserve(a->wal, c->bytes);
	if (!err) {
		*lsn = wal_append(a->wal, RECORD_TXN, c->piece, c->pieces);
		apply(&t, c->step, c->n);
		atomic_store_explicit(&a->lsn, *lsn, memory_order_release);
		a->commits++;
	}
	txn_end(&t);
	return err;
}

enum {
	WAITS_MAX = 100, /* for a checkpoint under way */
	RUNS_MAX = 3,    /* of a checkpoint of our own */
};

/* A checkpoint makes dirty frames clean (-EAGAIN) and frees slots and log segments (-ENOSPC). */
static int commit_retrying(struct commit *c, uint64_t *lsn)
{
	struct art *a = c->a;
	int err = 0;

	if (a->checkpointer_runs)
		art_nudge(a); /* long before dirty frames press */
	else if (checkpoint_due(a) && (err = checkpoint_run(a)) != 0)
		return err;
	for (unsigned waits = 0, runs = 0;;) {
		pthread_mutex_lock(&a->commit_lock);
		err = commit_locked(c, lsn);
		pthread_mutex_unlock(&a->commit_lock);
		if (err != -EAGAIN && err != -ENOSPC)
			return err;
		if (err == -EAGAIN && waits++ < WAITS_MAX && store_wait_clean(a->store))
			continue;
		if (runs++ == RUNS_MAX)
			break;
		int again = checkpoint_run(a);
		if (again)
			return again;
	}
	return err == -EAGAIN ? -ENOMEM : err;
}

/* Fills in a step; writes its value to a data blob if that is its home. */
static int prepare(struct art *a, const struct art_op *op, struct step *s)
{
	s->type = op->type;
	s->guard = op->guard;
	s->replace = op->replace;
	s->key = op->key;
	s->to = op->to;
	s->value = op->value;
	s->expect = op->expect;
	s->blob = NULL;
	if (op->type != ART_PUT || value_home(a, op->value.bytes) != HOME_DATA)
		return 0;
	struct blob *b = malloc(sizeof(*b));
	if (!b)
		return -ENOMEM;
	int err = store_data_write(a->store, op->value.data, (uint32_t)op->value.bytes, &b->data);
	if (err == -ENOSPC && (err = checkpoint_run(a)) == 0)
		err = store_data_write(
		        a->store, op->value.data, (uint32_t)op->value.bytes, &b->data);
	if (err) {
		free(b);
		return err;
	}
	data_ref_encode(&b->ref, &b->data);
	s->blob = b;
	return 0;
}

/* `c` has room for n operations. */
static int commit(struct commit *c, const struct art_op *ops, unsigned n, uint64_t *lsn)
{
	uint64_t at = 0;
	int err = 0;

	for (c->n = 0; c->n < n; c->n++)
		if ((err = prepare(c->a, &ops[c->n], &c->step[c->n])) != 0)
			goto out;
	c->bytes = gather(c->step, n, c->record, c->piece, &c->pieces);
	err = c->bytes > wal_record_max(c->a->wal) ? -EMSGSIZE : commit_retrying(c, &at);
	if (!err && lsn)
		*lsn = at;
out:
	for (unsigned i = 0; i < c->n; i++) {
		struct blob *b = c->step[i].blob;
		if (b && err)
			store_data_abort(c->a->store, b->data.id);
		free(b);
	}
	return err;
}

enum { FEW = 4 };

/* What most transactions need, without asking for memory. */
static int commit_few(struct art *a, const struct art_op *ops, unsigned n, uint64_t *lsn)
{
	struct step step[FEW];
	struct record_op record[FEW];
	struct iovec piece[3 * FEW];
	struct commit c = {.a = a, .step = step, .record = record, .piece = piece};

	return commit(&c, ops, n, lsn);
}

static int commit_many(struct art *a, const struct art_op *ops, unsigned n, uint64_t *lsn)
{
	struct commit c = {.a = a};
	int err = -ENOMEM;

	c.step = malloc(n * sizeof(*c.step));
	c.record = malloc(n * sizeof(*c.record));
	c.piece = malloc(3 * n * sizeof(*c.piece));
	if (c.step && c.record && c.piece)
		err = commit(&c, ops, n, lsn);
	free(c.piece);
	free(c.record);
	free(c.step);
	return err;
}

int art_commit(struct art *a, const struct art_op *ops, unsigned n, uint64_t *lsn)
{
	int err;

	if (a->opt.read_only)
		return -EROFS;
	if (n > ART_OPS_MAX)
		return -EMSGSIZE;
	for (unsigned i = 0; i < n; i++)
		if ((err = check_op(&ops[i])) != 0)
			return err;
	if (n == 0) {
		if (lsn)
			*lsn = art_lsn(a);
		return 0;
	}
	return n <= FEW ? commit_few(a, ops, n, lsn) : commit_many(a, ops, n, lsn);
}
