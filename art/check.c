/*
 * check.c - fsck of the dictionary.
 *
 * Follows every link from the root, frame by frame, with a list of what is still to be looked at;
 * then compares what was reached with what the manifest names. Nothing is reached twice, nothing is
 * left over.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "art/tree.h"

struct seen { /* one reference from the tree to a blob */
	uint64_t id;
	uint32_t value; /* TREE: entry; ARENA: bytes */
};

struct list {
	struct seen *item;
	size_t n, max;
};

struct checker {
	struct art *a;
	void (*say)(void *arg, const char *line);
	void *arg;
	struct list tree, arena, data;
	struct frame_scratch scratch;
	uint8_t *buf; /* of a data blob */
	uint64_t keys;
	int found;
};

__attribute__((format(printf, 2, 3))) static void say(struct checker *c, const char *fmt, ...)
{
	char line[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	c->found++;
	if (c->say)
		c->say(c->arg, line);
}

static int add(struct list *l, uint64_t id, uint32_t value)
{
	if (l->n == l->max) {
		size_t max = l->max ? 2 * l->max : 256;
		struct seen *p = realloc(l->item, max * sizeof(*p));
		if (!p)
			return -ENOMEM;
		l->item = p;
		l->max = max;
	}
	l->item[l->n++] = (struct seen){id, value};
	return 0;
}

static int by_id(const void *x, const void *y)
{
	const struct seen *a = x, *b = y;

	if (a->id != b->id)
		return a->id < b->id ? -1 : 1;
	return a->value < b->value ? -1 : a->value > b->value;
}

static int check_leaf(struct checker *c, struct leaf *l)
{
	c->keys++;
	if (l->home == HOME_ARENA) {
		struct arena_ref r;
		memcpy(&r, leaf_payload(l), sizeof(r));
		int err = value_read(c->a, l, 0, c->buf, le32_get(r.bytes));
		if (err)
			say(c, "a value in arena %llu cannot be read: %s",
			        (unsigned long long)le64_get(r.id), strerror(-err));
		return add(&c->arena, le64_get(r.id), le32_get(r.bytes));
	}
	if (l->home == HOME_DATA) {
		struct store_data d;
		int err = data_ref_decode(&d, leaf_payload(l), le32_get(l->payload_bytes));
		if (!err)
			err = value_read(c->a, l, 0, c->buf, d.bytes);
		if (err)
			say(c, "data blob %llu cannot be read: %s", (unsigned long long)d.id,
			        strerror(-err));
		return add(&c->data, d.id, 0);
	}
	return 0;
}

/* Everything of one subtree within its frame. */
static int check_subtree(struct checker *c, void *m, art_ref ref)
{
	unsigned n = 0;
	int err = 0;

	c->scratch.todo[n++].ref = ref;
	while (n > 0 && !err) {
		ref = c->scratch.todo[--n].ref;
		uint8_t type = type_at(m, ref);
		if (type == LINK) {
			struct link *l = frame_at(m, ref);
			err = add(&c->tree, link_id(l), l->entry);
		} else if (type == LEAF) {
			err = check_leaf(c, frame_at(m, ref));
		} else {
			struct node *node = frame_at(m, ref);
			uint32_t loc;
			uint8_t byte;
			if (le16_get(node->term))
				c->scratch.todo[n++].ref = le16_get(node->term);
			for (unsigned next = 0; (loc = node_next(m, ref, next, &byte)) != 0;
			        next = byte + 1u)
				c->scratch.todo[n++].ref = ref_at(m, loc);
		}
	}
	return err;
}

static int check_entry(struct checker *c, uint64_t id, uint8_t entry)
{
	struct frame *f;
	int err = store_frame_get(c->a->store, id, &f);

	if (err) {
		say(c, "tree frame %llu cannot be read: %s", (unsigned long long)id,
		        strerror(-err));
		return err == -ENOMEM || err == -EAGAIN ? err : 0;
	}
	if ((err = frame_validate(f->data, c->a->frame_bytes, id)) != 0) {
		say(c, "tree frame %llu is malformed", (unsigned long long)id);
		err = 0;
	} else if (entry >= le16_get(frame_head(f->data)->entries_max)) {
		say(c, "tree frame %llu has no subtree %u", (unsigned long long)id, entry);
	} else {
		art_ref ref = ref_at(f->data, entry_loc(f->data, entry));
		if (ref)
			err = check_subtree(c, f->data, ref);
		else if (id != c->a->root)
			say(c, "tree frame %llu has no subtree %u", (unsigned long long)id, entry);
	}
	store_frame_put(c->a->store, f);
	return err;
}

static int compare_blob(
        void *arg, enum store_kind kind, uint64_t id, uint64_t slot, uint32_t nslots)
{
	struct checker *c = arg;
	struct list *l = kind == STORE_TREE ? &c->tree : kind == STORE_ARENA ? &c->arena : &c->data;
	struct seen key = {id, 0};
	size_t lo = 0, hi = l->n;
	uint64_t count = 0, sum = 0;
	struct frame *f;

	(void)slot;
	(void)nslots;
	while (lo < hi) {
		size_t mid = (lo + hi) / 2;
		if (by_id(&l->item[mid], &key) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	for (; lo < l->n && l->item[lo].id == id; lo++) {
		if (kind == STORE_TREE && count > 0 && l->item[lo].value == l->item[lo - 1].value)
			say(c, "subtree %u of tree frame %llu hangs in two places",
			        l->item[lo].value, (unsigned long long)id);
		count++;
		sum += l->item[lo].value;
	}
	if (kind == STORE_TREE && id != c->a->root && store_frame_get(c->a->store, id, &f) == 0) {
		if (count != le16_get(frame_head(f->data)->entries))
			say(c, "tree frame %llu holds %u subtrees, %llu of them are linked",
			        (unsigned long long)id, le16_get(frame_head(f->data)->entries),
			        (unsigned long long)count);
		store_frame_put(c->a->store, f);
	}
	if (kind == STORE_ARENA && sum != store_blob_count(c->a->store, id))
		say(c, "arena %llu counts %u live bytes, the tree refers to %llu",
		        (unsigned long long)id, store_blob_count(c->a->store, id),
		        (unsigned long long)sum);
	if (kind == STORE_DATA && count != 1)
		say(c, "data blob %llu has %llu owners", (unsigned long long)id,
		        (unsigned long long)count);
	return 0;
}

static int check_all(struct checker *c)
{
	int err = add(&c->tree, c->a->root, 0);

	/* The list is its own queue; a link to a frame seen before shows in the comparison, and the
	 * walk ends because a sound tree has no more links than there are keys and nodes. */
	uint64_t links_max = 0;
	struct store_stat st;
	store_stat(c->a->store, &st);
	links_max = (st.blobs[STORE_TREE] + 1) * ENTRIES_MAX;
	for (size_t i = 0; i < c->tree.n && !err; i++) {
		if (i > links_max) {
			say(c, "links lead in a circle");
			return 0;
		}
		err = check_entry(c, c->tree.item[i].id, (uint8_t)c->tree.item[i].value);
	}
	if (err)
		return err;
	if (c->keys != c->a->keys)
		say(c, "the dictionary counts %llu keys, the tree holds %llu",
		        (unsigned long long)c->a->keys, (unsigned long long)c->keys);
	if (c->tree.n)
		qsort(c->tree.item, c->tree.n, sizeof(struct seen), by_id);
	if (c->arena.n)
		qsort(c->arena.item, c->arena.n, sizeof(struct seen), by_id);
	if (c->data.n)
		qsort(c->data.item, c->data.n, sizeof(struct seen), by_id);
	return store_each_blob(c->a->store, compare_blob, c);
}

int art_check(struct art *a, void (*say_line)(void *arg, const char *line), void *arg)
{
	struct checker c = {.a = a, .say = say_line, .arg = arg};
	int err = frame_scratch_init(&c.scratch, a->frame_bytes);

	if (err)
		return err;
	c.buf = malloc(ART_VALUE_BYTES_MAX);
	if (!c.buf) {
		err = -ENOMEM;
		goto out;
	}
	/* Every frame is going to pass through the cache: it needs clean ones to give way. */
	if (!a->opt.read_only && store_dirty_bytes(a->store) > a->opt.cache_bytes / 4)
		checkpoint_run(a);
	err = store_check(a->store, say_line, arg);
	if (err >= 0) {
		c.found = err;
		pthread_mutex_lock(&a->commit_lock);
		err = check_all(&c);
		pthread_mutex_unlock(&a->commit_lock);
	}
out:
	free(c.buf);
	free(c.tree.item);
	free(c.arena.item);
	free(c.data.item);
	frame_scratch_fini(&c.scratch);
	return err < 0 ? err : c.found;
}
