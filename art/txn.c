/*
 * txn.c - transactions: reserve, log, apply.
 *
 *   write large values     to fresh slots, no lock held, named by nothing yet
 *   lock                   commit_lock, tree_lock
 *   guards                 against the state as it is
 *   reserve                load and pin every frame that will change, make it writable, set aside
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
enum { SPARES_KEPT = 4 };

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
	struct frame *f;
	int err = grow(&t->pin, &t->pins_max, t->pins + 1, sizeof(t->pin[0]));

	if (err || (err = store_frame_get(t->a->store, id, &f)) != 0)
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
	atomic_fetch_add_explicit(&t->a->frames_dirtied, 1, memory_order_relaxed);
	return 0;
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
	atomic_fetch_add_explicit(&t->a->frames_dirtied, 1, memory_order_relaxed);
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
	free(t->pin);
	free(t->crumb);
}

int txn_walk(struct txn *t, struct walk *w, struct art_bytes key, enum stop *stop)
{
	struct frame *f;
	uint8_t entry = 0;
	uint32_t up_loc = 0;
	int err = txn_pin(t, t->a->root, &f);

	if (err)
		return err;
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

enum stop txn_rewalk(struct txn *t, struct walk *w, struct art_bytes key)
{
	enum stop stop;
	int err = txn_walk(t, w, key, &stop);

	assert(!err); /* reserve has pinned the frames and made the arrays long enough */
	return stop;
}

/* ---- one operation --------------------------------------------------------------------------- */

/* An operation on its way: as the caller gave it, or as a log record did. */
struct step {
	enum art_op_type type;
	bool replace;
	bool blob; /* PUT: the value is a data blob, written already */
	struct art_bytes key, to, value;
	struct store_data data; /* blob */
	struct data_ref ref;    /* blob: encoded */
};

static bool begins_with(struct art_bytes whole, struct art_bytes with)
{
	return whole.bytes >= with.bytes && memcmp(whole.data, with.data, with.bytes) == 0;
}

static uint32_t payload_bytes(const struct art *a, const struct step *s)
{
	if (s->blob)
		return data_ref_bytes(s->data.bytes);
	return value_home(a, s->value.bytes) == HOME_LEAF ? (uint32_t)s->value.bytes
	                                                  : (uint32_t)sizeof(struct arena_ref);
}

static int reserve_at(struct txn *t, const struct step *s, struct art_bytes key)
{
	return s->type == ART_PUT ? tree_reserve_insert(t, key, true, payload_bytes(t->a, s))
	                          : tree_reserve_remove(t, key);
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
		free(buf);
		buf = next;
		key = before;
		err = reserve_at(t, &all[i], key);
	}
	free(buf);
	return err;
}

static int reserve_step(struct txn *t, const struct step *all, unsigned i)
{
	const struct step *s = &all[i];
	int err;

	switch (s->type) {
	case ART_GRAFT:
		return tree_reserve_move(t, s->key, s->to, s->replace);
	case ART_EXCHANGE:
		return tree_reserve_exchange(t, s->key, s->to);
	case ART_PUT:
		if (!s->blob && value_home(t->a, s->value.bytes) == HOME_ARENA &&
		        (err = arena_reserve(t, (uint32_t)s->value.bytes)) != 0)
			return err;
		/* fall through */
	default:
		if ((err = reserve_at(t, s, s->key)) != 0)
			return err;
		return reserve_moved(t, all, i);
	}
}

static void apply_put(struct txn *t, const struct step *s)
{
	struct arena_ref r;
	struct payload p = {HOME_LEAF, s->value.data, (uint32_t)s->value.bytes};

	if (s->blob) {
		store_data_attach(t->a->store, s->data.id);
		p = (struct payload){HOME_DATA, &s->ref, data_ref_bytes(s->data.bytes)};
	} else if (value_home(t->a, s->value.bytes) == HOME_ARENA) {
		arena_put(t, s->value.data, (uint32_t)s->value.bytes, &r);
		p = (struct payload){HOME_ARENA, &r, sizeof(r)};
	}
	tree_put(t, s->key, &p);
}

static void apply_step(struct txn *t, const struct step *s)
{
	switch (s->type) {
	case ART_PUT:
		apply_put(t, s);
		break;
	case ART_REMOVE:
		tree_remove(t, s->key);
		break;
	case ART_GRAFT:
		tree_move(t, s->key, s->to);
		break;
	case ART_EXCHANGE:
		tree_exchange(t, s->key, s->to);
		break;
	}
}

static unsigned count_cuts(const struct step *s, unsigned n)
{
	unsigned cuts = 0;

	for (unsigned i = 0; i < n; i++)
		cuts += s[i].type == ART_PUT ? 0 : s[i].type == ART_REMOVE ? 1 : 2;
	return cuts;
}

static int reserve(struct txn *t, const struct step *s, unsigned n)
{
	int err = 0;

	t->cuts = count_cuts(s, n);
	t->need = t->cuts > 0 ? STORE_SHRINKING : STORE_NORMAL;
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

static void apply(struct txn *t, const struct step *s, unsigned n)
{
	/* From here to txn_end() nobody can look at these frames without a lock, so the whole
	 * transaction appears at once. */
	for (unsigned i = 0; i < t->pins; i++)
		if (t->pin[i]->mark & MARK_WRITABLE)
			store_frame_change(t->a->store, t->pin[i]);
	t->applying = true;
	for (unsigned i = 0; i < n; i++)
		apply_step(t, &s[i]);
	if (!t->underfull)
		return;
	for (unsigned i = 0; i < n; i++) {
		if (s[i].type == ART_PUT)
			continue;
		tree_merge(t, s[i].key);
		if (s[i].type != ART_REMOVE)
			tree_merge(t, s[i].to);
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
			second = (struct art_bytes){&s[i].ref, data_ref_bytes(s[i].data.bytes)};
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

/* Reads the step at *at; -EUCLEAN. Views into the record. */
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
	*s = (struct step){.type = op.type,
	        .replace = op.flags & RECORD_REPLACE,
	        .blob = op.flags & RECORD_DATA,
	        .key = {*at, key}};
	struct art_bytes rest = {*at + key, second};
	*at += key + second;
	*left -= key + second;
	if (s->type == ART_PUT && s->blob) {
		int err = data_ref_decode(&s->data, rest.data, second);
		if (err == 0)
			data_ref_encode(&s->ref, &s->data);
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

	while (bytes > 0 && !err)
		err = decode_step(&at, &bytes, &s);
	return err;
}

int txn_replay(struct art *a, uint64_t lsn, const void *record, size_t bytes)
{
	struct txn t = {.a = a};
	struct step *s = NULL;
	unsigned n = 0, max = 0, claimed = 0;
	const uint8_t *at = record;
	int err = 0;

	while (bytes > 0 && !err) {
		if ((err = grow(&s, &max, n + 1, sizeof(*s))) == 0)
			err = decode_step(&at, &bytes, &s[n++]);
	}
	for (; claimed < n && !err; claimed++)
		if (s[claimed].blob)
			err = store_data_claim(a->store, &s[claimed].data);
	if (!err)
		err = reserve(&t, s, n);
	if (!err) {
		apply(&t, s, n);
		atomic_store(&a->lsn, lsn);
	} else {
		while (claimed-- > 0)
			if (s[claimed].blob)
				store_data_abort(a->store, s[claimed].data.id);
	}
	txn_end(&t);
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

static int check_guard(struct art *a, const struct art_op *op)
{
	struct frame *f;
	struct leaf *l;

	if (op->guard == ART_ANY)
		return 0;
	int err = tree_find(a, op->key, &f, &l);
	if (err)
		return err == -ENOENT && op->guard == ART_ABSENT   ? 0
		       : err == -ENOENT && op->guard == ART_EQUALS ? -ESTALE
		                                                   : err;
	if (op->guard == ART_ABSENT)
		err = -EEXIST;
	else if (op->guard == ART_EQUALS)
		err = check_equal(a, l, op->expect);
	store_frame_put(a->store, f);
	return err;
}

struct commit {
	struct art *a;
	const struct art_op *op;
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
	struct txn t = {.a = a};
	int err = 0;

	if (store_failed(a->store) || wal_failed(a->wal))
		return -EIO;
	for (unsigned i = 0; i < c->n && !err; i++)
		err = check_guard(a, &c->op[i]);
	if (!err)
		err = reserve(&t, c->step, c->n);
	if (!err)
		err = wal_reserve(a->wal, c->bytes);
	if (!err) {
		*lsn = wal_append(a->wal, RECORD_TXN, c->piece, c->pieces);
		apply(&t, c->step, c->n);
		atomic_store(&a->lsn, *lsn);
		atomic_fetch_add_explicit(&a->commits, 1, memory_order_relaxed);
	}
	txn_end(&t);
	return err;
}

static int commit_once(struct commit *c, uint64_t *lsn)
{
	struct art *a = c->a;

	pthread_mutex_lock(&a->commit_lock);
	pthread_rwlock_wrlock(&a->tree_lock);
	int err = commit_locked(c, lsn);
	pthread_rwlock_unlock(&a->tree_lock);
	pthread_mutex_unlock(&a->commit_lock);
	return err;
}

/* A checkpoint makes dirty frames clean (-EAGAIN) and frees slots and log segments (-ENOSPC). */
static int commit_retrying(struct commit *c, uint64_t *lsn)
{
	int err = 0;

	if (checkpoint_due(c->a) && !c->a->checkpointer_runs && (err = checkpoint_run(c->a)) != 0)
		return err;
	for (int tries = 0;; tries++) {
		err = commit_once(c, lsn);
		if ((err != -EAGAIN && err != -ENOSPC) || tries == 3)
			break;
		int again = checkpoint_run(c->a);
		if (again)
			return again;
	}
	return err == -EAGAIN ? -ENOMEM : err;
}

int art_commit(struct art *a, const struct art_op *ops, unsigned n, uint64_t *lsn)
{
	struct commit c = {.a = a, .op = ops, .n = n};
	unsigned written = 0; /* steps whose data blob, if they have one, is on its way to disk */
	uint64_t at = 0;
	int err = 0;

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
	c.step = calloc(n, sizeof(*c.step));
	c.record = malloc(n * sizeof(*c.record));
	c.piece = malloc(3 * n * sizeof(*c.piece));
	if (!c.step || !c.record || !c.piece) {
		err = -ENOMEM;
		goto out;
	}
	for (; written < n; written++) {
		struct step *s = &c.step[written];
		const struct art_op *op = &ops[written];
		s->type = op->type;
		s->replace = op->replace;
		s->key = op->key;
		s->to = op->to;
		s->value = op->value;
		if (op->type != ART_PUT || value_home(a, op->value.bytes) != HOME_DATA)
			continue;
		err = store_data_write(
		        a->store, op->value.data, (uint32_t)op->value.bytes, &s->data);
		if (err == -ENOSPC && (err = checkpoint_run(a)) == 0)
			err = store_data_write(
			        a->store, op->value.data, (uint32_t)op->value.bytes, &s->data);
		if (err)
			goto out;
		s->blob = true;
		data_ref_encode(&s->ref, &s->data);
	}
	c.bytes = gather(c.step, n, c.record, c.piece, &c.pieces);
	err = c.bytes > wal_record_max(a->wal) ? -EMSGSIZE : commit_retrying(&c, &at);
	if (!err && lsn)
		*lsn = at;
out:
	while (err && written-- > 0)
		if (c.step[written].blob)
			store_data_abort(a->store, c.step[written].data.id);
	free(c.piece);
	free(c.record);
	free(c.step);
	return err;
}
