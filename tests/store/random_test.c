/*
 * random_test.c - random calls on a store, beside a dumb array that remembers what must be there.
 *
 * Three versions of the array play the three states of a store: what is current, what is frozen,
 * and what the last commit made durable. A reopen must show the durable one. After each reopen, and
 * at the end, store_check() must be clean, which it is not if one slot has leaked.
 */
#include "tests/harness/rng.h"
#include "tests/harness/seed.h"
#include "tests/store/fixture.h"

enum { SLOT = 4096, BLOBS = 60, DATA_BYTES_MAX = 40000 };

struct model_blob {
	bool there;
	uint64_t id;
	uint64_t fill; /* the content follows from it */
	uint32_t count;
	struct store_data data;
};

struct model {
	struct model_blob frame[BLOBS], data[BLOBS];
};

static struct model current, frozen, durable;
static bool freezing;
static struct rng rng;
static uint64_t op;

#define must(condition)                                                                            \
	do {                                                                                       \
		if (!(condition))                                                                  \
			fail_msg("op %llu: %s; replay: %s", (unsigned long long)op, #condition,    \
			        seed_replay());                                                    \
	} while (0)

static void fill(void *buf, size_t bytes, uint64_t seed)
{
	struct rng r = rng_of(seed);
	rng_fill(&r, buf, bytes);
}

static void expect_fill(const void *buf, size_t bytes, uint64_t seed)
{
	static uint8_t expect[DATA_BYTES_MAX];

	fill(expect, bytes, seed);
	must(!memcmp(buf, expect, bytes));
}

static void finish_commit(struct store *s)
{
	if (!freezing)
		return;
	must(store_commit(s) == 0);
	durable = frozen;
	freezing = false;
}

static void begin_commit(struct store *s)
{
	struct store_root root = *store_root(s);

	finish_commit(s);
	root.lsn++;
	store_freeze(s, &root);
	frozen = current;
	freezing = true;
}

/* Makes room in the cache and in the file as the room above would. */
static bool again(struct store *s, int rc)
{
	if (rc != -EAGAIN && rc != -ENOSPC)
		return false;
	finish_commit(s);
	begin_commit(s);
	finish_commit(s);
	return true;
}

static struct frame *get(struct store *s, uint64_t id)
{
	struct frame *f = NULL;
	int rc = store_frame_get(s, id, &f);

	if (again(s, rc))
		rc = store_frame_get(s, id, &f);
	must(rc == 0);
	return f;
}

static void write_frame(struct store *s, struct model_blob *b)
{
	struct frame *f = get(s, b->id);
	int rc;

	expect_fill(f->data, SLOT, b->fill);
	rc = store_frame_write(s, f, STORE_NORMAL);
	if (again(s, rc))
		rc = store_frame_write(s, f, STORE_NORMAL);
	must(rc == 0 || rc == -ENOSPC);
	if (!rc) {
		b->fill = rng_u64(&rng);
		fill(f->data, SLOT, b->fill);
	}
	store_frame_put(s, f);
}

static void new_frame(struct store *s, struct model_blob *b)
{
	unsigned n = (unsigned)rng_between(&rng, 1, 4);
	struct frame *f;
	int rc = store_frame_reserve(s, n, STORE_NORMAL);

	if (again(s, rc))
		rc = store_frame_reserve(s, n, STORE_NORMAL);
	must(rc == 0 || rc == -ENOSPC);
	if (rc)
		return;
	f = store_frame_new(s, STORE_ARENA);
	*b = (struct model_blob){.there = true, .id = f->id, .fill = rng_u64(&rng)};
	fill(f->data, SLOT, b->fill);
	store_frame_put(s, f);
}

static void frame_op(struct store *s)
{
	struct model_blob *b = &current.frame[rng_below(&rng, BLOBS)];

	if (!b->there) {
		new_frame(s, b);
		return;
	}
	switch (rng_below(&rng, 6)) {
	case 0:
		store_blob_drop(s, b->id);
		b->there = false;
		break;
	case 1:
		store_frame_drop(s, get(s, b->id));
		b->there = false;
		break;
	case 2:
		store_blob_count_add(s, b->id, 17);
		b->count += 17;
		break;
	case 3: {
		struct frame *f = get(s, b->id);
		expect_fill(f->data, SLOT, b->fill);
		store_frame_put(s, f);
		must(store_blob_count(s, b->id) == b->count);
		break;
	}
	default:
		write_frame(s, b);
	}
}

static void data_op(struct store *s)
{
	static uint8_t buf[DATA_BYTES_MAX];
	struct model_blob *b = &current.data[rng_below(&rng, BLOBS)];
	uint32_t bytes = (uint32_t)rng_between(&rng, 1, DATA_BYTES_MAX);
	int rc;

	if (b->there && rng_one_in(&rng, 2)) {
		store_data_drop(s, b->data.id);
		b->there = false;
	} else if (b->there) {
		must(store_data_read(s, &b->data, 0, b->data.bytes, buf) == 0);
		expect_fill(buf, b->data.bytes, b->fill);
	} else {
		*b = (struct model_blob){.fill = rng_u64(&rng)};
		fill(buf, bytes, b->fill);
		rc = store_data_write(s, buf, bytes, &b->data);
		if (again(s, rc))
			rc = store_data_write(s, buf, bytes, &b->data);
		must(rc == 0 || rc == -ENOSPC);
		if (!rc && rng_one_in(&rng, 4)) {
			store_data_abort(s, b->data.id);
		} else if (!rc) {
			store_data_attach(s, b->data.id);
			b->there = true;
		}
	}
}

static void compare_all(struct store *s)
{
	static uint8_t buf[DATA_BYTES_MAX];
	struct store_stat st;
	uint64_t frames = 0, data = 0;

	for (int i = 0; i < BLOBS; i++) {
		struct model_blob *b = &current.frame[i];
		if (b->there) {
			struct frame *f = get(s, b->id);
			expect_fill(f->data, SLOT, b->fill);
			store_frame_put(s, f);
			must(store_blob_count(s, b->id) == b->count);
			frames++;
		}
		b = &current.data[i];
		if (b->there) {
			must(store_data_read(s, &b->data, 0, b->data.bytes, buf) == 0);
			expect_fill(buf, b->data.bytes, b->fill);
			data++;
		}
	}
	store_stat(s, &st);
	must(st.blobs[STORE_ARENA] == frames);
	must(st.blobs[STORE_DATA] == data);
	must(store_check(s, say_finding, NULL) == 0);
}

static void reopen(struct fixture *t)
{
	if (rng_one_in(&rng, 2))
		store_fail(t->s); /* as if killed: close does not tidy up */
	fixture_reopen(t);
	current = durable;
	freezing = false;
	compare_all(t->s);
}

static void random_calls_agree_with_a_dumb_model(void **state)
{
	static const uint64_t size_max[] = {0, 400 * SLOT, 3000 * SLOT};
	uint64_t ops = seed_env("OPS", 40000);

	(void)state;
	rng = rng_of(seed_get());
	op = 0;
	for (int round = 0; round < 6; round++) {
		struct fixture t;

		memset(&current, 0, sizeof(current));
		durable = current;
		freezing = false;
		fixture_store(&t, round % 2 && uring_available() ? IO_URING : IO_POSIX, SLOT,
		        size_max[round / 2]);
		fixture_close(&t);
		t.opt.cache_bytes = rng_between(&rng, 16, 100) * SLOT;
		fixture_open(&t);
		for (uint64_t i = 0; i < ops / 6; i++, op++) {
			switch (rng_below(&rng, 40)) {
			case 0:
				begin_commit(t.s);
				break;
			case 1:
				finish_commit(t.s);
				break;
			case 2:
				if (rng_one_in(&rng, 10))
					reopen(&t);
				break;
			default:
				if (rng_one_in(&rng, 3))
					data_op(t.s);
				else
					frame_op(t.s);
			}
		}
		compare_all(t.s);
		reopen(&t);
		fixture_fini(&t);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(random_calls_agree_with_a_dumb_model),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
