/*
 * thread_test.c - a commit in one thread, beside others that read, change, make and drop blobs.
 *
 * The callers' part of the contract is played by a latch on each frame, and by a lock that freeze
 * takes exclusively and every change takes shared.
 */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#include "tests/store/fixture.h"

enum { SLOT = 4096, FRAMES = 40, WRITERS = 4, OPS = 3000 };

struct shared {
	struct store *s;
	pthread_rwlock_t instant; /* freeze: exclusive; changes: shared */
	pthread_mutex_t latch[FRAMES];
	pthread_mutex_t reserve;         /* one transaction reserves at a time */
	uint64_t id[FRAMES];             /* guarded by latch; fill of a frame is its version */
	uint32_t version[FRAMES];        /* guarded by latch */
	uint32_t frozen_version[FRAMES]; /* guarded by instant */
	uint64_t frozen_id[FRAMES];
	atomic_bool bad, done;
};

static void write_version(struct frame *f, uint32_t version)
{
	for (int i = 0; i < SLOT / 4; i++)
		((uint32_t *)f->data)[i] = version;
}

static bool holds_version(const struct frame *f, uint32_t version)
{
	for (int i = 0; i < SLOT / 4; i++)
		if (((const uint32_t *)f->data)[i] != version)
			return false;
	return true;
}

/* Returns false if the budget was full: let the committer run. */
static bool change_one(struct shared *sh, int n)
{
	struct frame *f;
	int rc = store_frame_get(sh->s, sh->id[n], &f);

	if (rc == -EAGAIN)
		return false;
	if (rc || !holds_version(f, sh->version[n])) {
		sh->bad = true;
		return true;
	}
	rc = store_frame_write(sh->s, f, STORE_NORMAL);
	if (!rc)
		write_version(f, ++sh->version[n]);
	else if (rc != -EAGAIN)
		sh->bad = true;
	store_frame_put(sh->s, f);
	return !rc;
}

static bool replace_one(struct shared *sh, int n)
{
	struct frame *f;
	int rc;

	pthread_mutex_lock(&sh->reserve);
	rc = store_frame_reserve(sh->s, 1, STORE_NORMAL);
	if (!rc) {
		f = store_frame_new(sh->s, STORE_TREE);
		store_blob_drop(sh->s, sh->id[n]);
		sh->id[n] = f->id;
		write_version(f, ++sh->version[n]);
		store_blob_count_add(sh->s, f->id, 3);
		store_frame_put(sh->s, f);
	}
	pthread_mutex_unlock(&sh->reserve);
	sh->bad |= rc && rc != -EAGAIN;
	return !rc;
}

static bool data_one(struct shared *sh, unsigned r)
{
	static const char text[20000] = "some data";
	struct store_data d;
	char back[100];
	int rc = store_data_write(sh->s, text, 100 + r % 19000, &d);

	if (!rc && r % 3) {
		store_data_attach(sh->s, d.id);
		rc = store_data_flush(sh->s);
		if (!rc)
			rc = store_data_read(sh->s, &d, 0, 100, back);
		sh->bad |= rc || memcmp(back, text, 100);
		store_data_drop(sh->s, d.id);
	} else if (!rc) {
		store_data_abort(sh->s, d.id);
	}
	sh->bad |= rc != 0;
	return true;
}

static void *writer(void *arg)
{
	struct shared *sh = arg;
	unsigned r = (unsigned)(uintptr_t)&r;

	for (int i = 0; i < OPS && !sh->bad; i++) {
		bool through = false;
		int n;
		r = r * 1103515245 + 12345;
		n = (int)(r >> 16) % FRAMES;
		while (!through && !sh->bad) {
			pthread_rwlock_rdlock(&sh->instant);
			pthread_mutex_lock(&sh->latch[n]);
			through = i % 50 == 7   ? data_one(sh, r >> 8)
			          : i % 10 == 3 ? replace_one(sh, n)
			                        : change_one(sh, n);
			pthread_mutex_unlock(&sh->latch[n]);
			pthread_rwlock_unlock(&sh->instant);
			if (!through)
				sched_yield();
		}
	}
	return NULL;
}

static void *committer(void *arg)
{
	struct shared *sh = arg;
	struct store_root root = {0};

	while (!sh->done && !sh->bad) {
		pthread_rwlock_wrlock(&sh->instant);
		root.lsn++;
		store_freeze(sh->s, &root);
		memcpy(sh->frozen_version, sh->version, sizeof(sh->version));
		memcpy(sh->frozen_id, sh->id, sizeof(sh->id));
		pthread_rwlock_unlock(&sh->instant);
		sh->bad |= store_commit(sh->s) != 0;
	}
	return NULL;
}

static void commits_are_consistent_beside_writers(void **state)
{
	enum io_kind kinds[] = {IO_POSIX, IO_URING};

	(void)state;
	for (int k = 0; k <= uring_available(); k++) {
		static struct shared sh;
		pthread_t threads[WRITERS], commit_thread;
		struct fixture t;

		memset(&sh, 0, sizeof(sh));
		fixture_store(&t, kinds[k], SLOT, 0);
		sh.s = t.s;
		ok(pthread_rwlock_init(&sh.instant, NULL));
		ok(pthread_mutex_init(&sh.reserve, NULL));
		for (int i = 0; i < FRAMES; i++) {
			ok(pthread_mutex_init(&sh.latch[i], NULL));
			sh.id[i] = add_frame(t.s, 0);
		}
		ok(pthread_create(&commit_thread, NULL, committer, &sh));
		for (int i = 0; i < WRITERS; i++)
			ok(pthread_create(&threads[i], NULL, writer, &sh));
		for (int i = 0; i < WRITERS; i++)
			ok(pthread_join(threads[i], NULL));
		sh.done = true;
		ok(pthread_join(commit_thread, NULL));
		assert_false(sh.bad);
		/* What the last commit froze, and nothing since, is what a reopen finds. */
		fixture_reopen(&t);
		for (int i = 0; i < FRAMES; i++) {
			struct frame *f;
			ok(store_frame_get(t.s, sh.frozen_id[i], &f));
			assert_true(holds_version(f, sh.frozen_version[i]));
			store_frame_put(t.s, f);
		}
		assert_int_equal(slots_used(t.s), FRAMES);
		expect_clean(t.s);
		fixture_fini(&t);
	}
}

struct getter {
	struct store *s;
	uint64_t id;
	bool bad;
};

static void *get_one(void *arg)
{
	struct getter *g = arg;
	struct frame *f;

	g->bad = store_frame_get(g->s, g->id, &f) != 0;
	if (!g->bad) {
		g->bad = *(uint8_t *)f->data != 9;
		store_frame_put(g->s, f);
	}
	return NULL;
}

static void readers_of_one_frame_load_it_once(void **state)
{
	struct fixture t;
	struct store_stat st;
	uint64_t a;

	(void)state;
	fixture_store(&t, IO_POSIX, STORE_FRAME_MAX, 0);
	a = add_frame(t.s, 9);
	ok(commit(t.s));
	for (int round = 0; round < 20; round++) {
		struct getter g[8];
		pthread_t threads[8];

		fixture_reopen(&t);
		for (int i = 0; i < 8; i++) {
			g[i] = (struct getter){t.s, a, true};
			ok(pthread_create(&threads[i], NULL, get_one, &g[i]));
		}
		for (int i = 0; i < 8; i++) {
			ok(pthread_join(threads[i], NULL));
			assert_false(g[i].bad);
		}
		store_stat(t.s, &st);
		assert_int_equal(st.cache_misses, 1);
		assert_int_equal(st.cache_hits, 7);
		assert_int_equal(st.read_bytes, STORE_FRAME_MAX);
	}
	fixture_fini(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(commits_are_consistent_beside_writers),
	        cmocka_unit_test(readers_of_one_frame_load_it_once),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
