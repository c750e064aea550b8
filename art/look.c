/*
 * look.c - see look.h.
 */
#include "art/look.h"

#include <errno.h>

void look_begin(struct look *k, struct art *a, bool locked)
{
	k->a = a;
	k->locked = locked;
	k->views = k->pins = 0;
}

bool look_valid(const struct look *k)
{
	for (unsigned i = 0; i < k->views; i++)
		if (!store_view_valid(&k->view[i]))
			return false;
	return true;
}

/* What an error is worth: nothing, if what led to it may have been garbage. */
static int judge(const struct look *k, int err)
{
	/* Memory may be full of this look's own pins. */
	bool crowded = err == -EAGAIN && k->pins > 0;
	if (!k->locked && (err == -ENOENT || crowded || !look_valid(k)))
		return UNSURE;
	return err == -ENOENT ? -EUCLEAN : err;
}

static int enter_locked(struct look *k, uint64_t id, uint8_t entry, struct seen *out)
{
	struct frame *f;
	int err = store_frame_get(k->a->store, id, &f);

	if (err)
		return judge(k, err);
	struct frame_head *h = f->data;
	if (le32_get(h->magic) != ART_FRAME_MAGIC || entry >= le16_get(h->entries_max) ||
	        ref_at(h, entry_loc(h, entry)) == 0) {
		store_frame_put(k->a->store, f);
		return -EUCLEAN;
	}
	*out = (struct seen){h, f};
	return 0;
}

int look_enter(struct look *k, uint64_t id, uint8_t entry, struct seen *out)
{
	if (k->locked)
		return enter_locked(k, id, entry, out);
	if (k->views == LOOK_FRAMES_MAX)
		return UNSURE;
	struct store_view *v = &k->view[k->views];
	if (!store_frame_view(k->a->store, id, v)) {
		struct frame *f;
		int err = store_frame_get(k->a->store, id, &f);
		if (err)
			return judge(k, err);
		k->pin[k->pins++] = f;
		if (!store_frame_view_pinned(f, v))
			return UNSURE;
	}
	/* The child's version is taken before the parents are asked once more, so the link did lead
	 * to this child while the child was like this. */
	if (!look_valid(k))
		return UNSURE;
	k->views++;
	*out = (struct seen){(void *)v->data, NULL};
	return 0;
}

void look_leave(struct look *k, struct seen *s)
{
	if (s->pin)
		store_frame_put(k->a->store, s->pin);
	s->pin = NULL;
}

void look_end(struct look *k)
{
	while (k->pins > 0)
		store_frame_put(k->a->store, k->pin[--k->pins]);
}
