/*
 * value.c - the three homes of a value: the leaf, an arena, a data blob.
 *
 *   up to frame/16 bytes   in the leaf
 *   up to frame/4         packed in an arena: one frame that fills up, value by value, and is then
 * only read. The manifest counts its live bytes; at zero the arena goes. larger                a
 * data blob of its own, written before the transaction that names it
 *
 * With values of frame/16 and more an arena holds at most 16 of them, so its directory is a plain
 * array of (offset, bytes) at the end of the frame.
 */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "art/tree.h"

enum home value_home(const struct art *a, size_t bytes)
{
	if (bytes <= a->inline_bytes_max)
		return HOME_LEAF;
	return bytes <= a->arena_bytes_max ? HOME_ARENA : HOME_DATA;
}

struct payload leaf_payload_view(struct leaf *l)
{
	return (struct payload){l->home, leaf_payload(l), le32_get(l->payload_bytes)};
}

size_t payload_value_bytes(const struct payload *p)
{
	if (p->home == HOME_LEAF)
		return p->bytes;
	if (p->home == HOME_ARENA) {
		struct arena_ref r;
		memcpy(&r, p->data, sizeof(r));
		return le32_get(r.bytes);
	}
	struct data_ref d;
	memcpy(&d, p->data, offsetof(struct data_ref, sum));
	return le32_get(d.bytes);
}

size_t value_bytes(struct leaf *l)
{
	struct payload p = leaf_payload_view(l);

	return payload_value_bytes(&p);
}

/* ---- arenas ---------------------------------------------------------------------------------- */

static struct arena_slot *arena_slot(void *m, uint32_t frame_bytes, uint32_t slot)
{
	return (struct arena_slot *)((char *)m + frame_bytes) - 1 - slot;
}

static uint32_t arena_room(void *m, uint32_t frame_bytes)
{
	struct arena_head *h = m;

	return frame_bytes - le32_get(h->used) -
	       le32_get(h->count) * (uint32_t)sizeof(struct arena_slot);
}

static uint32_t arena_need(uint32_t bytes)
{
	return round_up(bytes) + (uint32_t)sizeof(struct arena_slot);
}

int arena_validate(const void *m, uint32_t frame_bytes, uint64_t id)
{
	const struct arena_head *h = m;
	uint32_t used = le32_get(h->used), count = le32_get(h->count), end = sizeof(*h);

	if (le32_get(h->magic) != ART_ARENA_MAGIC || le16_get(h->version) != ART_FRAME_VERSION ||
	        le64_get(h->id) != id || le32_get(h->incompat) != 0)
		return -EUCLEAN;
	if (used > frame_bytes || count > (frame_bytes - used) / sizeof(struct arena_slot))
		return -EUCLEAN;
	for (uint32_t i = 0; i < count; i++) {
		const struct arena_slot *s = arena_slot((void *)m, frame_bytes, i);
		uint32_t offset = le32_get(s->offset), bytes = le32_get(s->bytes);
		if (offset != end || bytes > frame_bytes || round_up(bytes) > used - end)
			return -EUCLEAN;
		end += round_up(bytes);
	}
	return end == used ? 0 : -EUCLEAN;
}

int arena_reserve(struct txn *t, uint32_t bytes)
{
	struct art *a = t->a;

	if (t->arena_room == 0 && a->arena) {
		struct frame *f;
		int err = txn_pin(t, a->arena, &f);
		if (err || (err = txn_writable(t, f)) != 0)
			return err;
		t->arena_room = arena_room(f->data, a->frame_bytes);
	}
	if (t->arena_room < arena_need(bytes)) {
		t->arena_room = a->frame_bytes - (uint32_t)sizeof(struct arena_head);
		t->spares++;
	}
	t->arena_room -= arena_need(bytes);
	return 0;
}

/* Value bytes of an arena have died, or (0) it takes no more values. */
static void arena_release(struct txn *t, uint64_t id, uint32_t bytes)
{
	struct art *a = t->a;

	if (bytes)
		store_blob_count_add(a->store, id, -(int32_t)bytes);
	if (id == a->arena || store_blob_count(a->store, id) > 0)
		return;
	for (unsigned i = 0; i < t->pins; i++)
		if (t->pin[i]->id == id) {
			txn_drop(t, t->pin[i]);
			return;
		}
	store_blob_drop(a->store, id);
}

void arena_put(struct txn *t, const void *data, uint32_t bytes, struct arena_ref *out)
{
	struct art *a = t->a;
	struct frame *f = a->arena ? store_frame_peek(a->store, a->arena) : NULL;

	if (f)
		store_frame_put(a->store, f); /* the transaction holds a pin of its own */
	if (!f || arena_room(f->data, a->frame_bytes) < arena_need(bytes)) {
		uint64_t full = a->arena;
		f = txn_new_frame(t, STORE_ARENA);
		a->arena = f->id;
		if (full)
			arena_release(t, full, 0);
		struct arena_head *h = f->data;
		h->magic = le32_of(ART_ARENA_MAGIC);
		h->version = le16_of(ART_FRAME_VERSION);
		h->id = le64_of(f->id);
		h->used = le32_of(sizeof(*h));
	}
	struct arena_head *h = f->data;
	uint32_t used = le32_get(h->used), count = le32_get(h->count);
	memcpy((char *)f->data + used, data, bytes);
	*arena_slot(f->data, a->frame_bytes, count) =
	        (struct arena_slot){le32_of(used), le32_of(bytes)};
	h->used = le32_of(used + round_up(bytes));
	h->count = le32_of(count + 1);
	store_blob_count_add(a->store, f->id, (int32_t)bytes);
	*out = (struct arena_ref){le64_of(f->id), le32_of(count), le32_of(bytes)};
}

static int arena_read(
        struct art *a, const struct arena_ref *r, size_t offset, void *buf, size_t cap)
{
	struct frame *f;
	int err = store_frame_get(a->store, le64_get(r->id), &f);

	if (err)
		return err == -ENOENT ? -EUCLEAN : err;
	const struct arena_head *h = f->data;
	uint32_t slot = le32_get(r->slot);
	if (le32_get(h->magic) != ART_ARENA_MAGIC || slot >= le32_get(h->count)) {
		err = -EUCLEAN;
	} else {
		const struct arena_slot *s = arena_slot(f->data, a->frame_bytes, slot);
		if (le32_get(s->bytes) != le32_get(r->bytes))
			err = -EUCLEAN;
		else
			memcpy(buf, (char *)f->data + le32_get(s->offset) + offset, cap);
	}
	store_frame_put(a->store, f);
	return err;
}

/* ---- data blobs ------------------------------------------------------------------------------ */

void data_ref_encode(struct data_ref *out, const struct store_data *d)
{
	*out = (struct data_ref){
	        .id = le64_of(d->id), .slot = le64_of(d->slot), .bytes = le32_of(d->bytes)};
	for (uint32_t i = 0; i * STORE_SUM_BYTES < d->bytes; i++)
		out->sum[i] = le64_of(d->sum[i]);
}

int data_ref_decode(struct store_data *out, const void *bytes, size_t n)
{
	struct data_ref r = {0};

	if (n < offsetof(struct data_ref, sum) || n > sizeof(r))
		return -EUCLEAN;
	memcpy(&r, bytes, n);
	*out = (struct store_data){
	        .id = le64_get(r.id), .slot = le64_get(r.slot), .bytes = le32_get(r.bytes)};
	if (out->bytes == 0 || out->bytes > STORE_DATA_MAX || n != data_ref_bytes(out->bytes))
		return -EUCLEAN;
	for (uint32_t i = 0; i * STORE_SUM_BYTES < out->bytes; i++)
		out->sum[i] = le64_get(r.sum[i]);
	return 0;
}

/* ---- values ---------------------------------------------------------------------------------- */

int payload_read(struct art *a, const struct payload *p, size_t offset, void *buf, size_t cap)
{
	size_t all = payload_value_bytes(p);

	if (offset >= all || cap == 0)
		return 0;
	if (cap > all - offset)
		cap = all - offset;
	if (p->home == HOME_LEAF) {
		memcpy(buf, (const char *)p->data + offset, cap);
		return 0;
	}
	if (p->home == HOME_ARENA) {
		struct arena_ref r;
		memcpy(&r, p->data, sizeof(r));
		return arena_read(a, &r, offset, buf, cap);
	}
	struct store_data d;
	int err = data_ref_decode(&d, p->data, p->bytes);
	return err ? err : store_data_read(a->store, &d, (uint32_t)offset, (uint32_t)cap, buf);
}

int value_read(struct art *a, struct leaf *l, size_t offset, void *buf, size_t cap)
{
	struct payload p = leaf_payload_view(l);

	return payload_read(a, &p, offset, buf, cap);
}

void value_drop(struct txn *t, struct leaf *l)
{
	if (l->home == HOME_ARENA) {
		struct arena_ref r;
		memcpy(&r, leaf_payload(l), sizeof(r));
		arena_release(t, le64_get(r.id), le32_get(r.bytes));
	} else if (l->home == HOME_DATA) {
		struct data_ref d;
		memcpy(&d, leaf_payload(l), offsetof(struct data_ref, sum));
		store_data_drop(t->a->store, le64_get(d.id));
	}
}
