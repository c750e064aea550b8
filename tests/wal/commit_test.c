/*
 * commit_test.c - group commit: who waits is told the truth, also when the disk fails (W4), also
 * with many.
 */
#include "fixture.h"

#include <pthread.h>
#include <sched.h>
#include <semaphore.h>

enum { SEGMENT = WAL_SEGMENT_MIN };

static void sync_of_what_is_durable_does_no_io(void **state)
{
	struct fixture *f = *state;
	reopen(f);
	const uint64_t first = commit(f, 0, 100);
	const uint64_t second = put(f, 1, 100);
	f->tap->changes = 0;
	assert_int_equal(wal_sync(f->w, first), 0);
	assert_int_equal(f->tap->changes, 0);
	assert_int_equal(wal_durable(f->w), first);
	/* Beyond the end there is nothing to wait for. */
	assert_int_equal(wal_sync(f->w, second + 1000000), 0);
	assert_int_equal(wal_durable(f->w), second);
}

static void one_batch_costs_one_write_and_one_flush(void **state)
{
	struct fixture *f = *state;
	struct wal_stat before, after;
	reopen(f);
	commit(f, 0, 100);
	wal_stat(f->w, &before);
	f->tap->writes = f->tap->syncs = 0;
	for (uint32_t i = 1; i <= 30; i++)
		put(f, i, 500);
	assert_int_equal(wal_sync(f->w, wal_end(f->w)), 0);
	wal_stat(f->w, &after);
	assert_int_equal(f->tap->writes, 1);
	assert_int_equal(f->tap->syncs, 1);
	assert_int_equal(after.batches - before.batches, 1);
	assert_int_equal(after.flushes - before.flushes, 1);
	assert_int_equal(after.records - before.records, 30);
	assert_in_range(after.written_bytes - before.written_bytes, 30 * 500, 30 * 600);
}

/* W4: fails the next write or flush, and looks at everything that could pretend that it had not. */
static void failure_is_final(struct fixture *f)
{
	const uint64_t kept = wal_durable(f->w);
	const uint64_t lost = put(f, 1, 100);
	assert_int_equal(wal_sync(f->w, lost), -EIO);
	assert_true(wal_failed(f->w));
	f->tap->changes = 0;
	for (int i = 0; i < 3; i++)
		assert_int_equal(wal_sync(f->w, lost), -EIO);
	assert_int_equal(wal_sync(f->w, kept), 0);
	assert_int_equal(wal_durable(f->w), kept);
	assert_int_equal(wal_reserve(f->w, 10), -EIO);
	assert_int_equal(wal_trim(f->w, kept), -EIO);
	drop(f);
	assert_int_equal(f->tap->changes, 0);
}

static void failed_flush_is_final(void **state)
{
	struct fixture *f = *state;
	reopen(f);
	commit(f, 0, 100);
	f->tap->fail_sync = 1;
	failure_is_final(f);
	/* It had been written, and says nothing of having been durable: both ends of it are right.
	 */
	reopen(f);
	expect(f, 0, 2);
}

static void failed_write_is_final(void **state)
{
	struct fixture *f = *state;
	reopen(f);
	commit(f, 0, 100);
	f->tap->fail_write = 1;
	failure_is_final(f);
	reopen(f);
	expect(f, 0, 1);
}

static int barrier(void *arg)
{
	struct fixture *f = arg;
	assert_int_equal(f->tap->writes, 0);
	f->opt.barrier_arg = NULL; /* seen */
	return f->tap->allocate_error;
}

static void barrier_comes_before_the_write(void **state)
{
	struct fixture *f = *state;
	f->opt.barrier = barrier;
	f->opt.barrier_arg = f;
	reopen(f);
	assert_int_equal(wal_reserve(f->w, 100), 0); /* which writes a header */
	f->tap->writes = 0;
	commit(f, 0, 100);
	assert_null(f->opt.barrier_arg);
	assert_int_equal(f->tap->writes, 2); /* the record, and zeroes ahead of the next */
}

static void failed_barrier_is_final(void **state)
{
	struct fixture *f = *state;
	f->opt.barrier = barrier;
	f->opt.barrier_arg = f;
	reopen(f);
	assert_int_equal(wal_reserve(f->w, 100), 0);
	f->tap->writes = 0;
	f->tap->allocate_error = -ENOSPC;
	failure_is_final(f);
	f->opt.barrier = NULL;
	reopen(f);
	expect(f, 0, 0);
}

/* Two batches in flight, each step of which waits for the other: the second is taken while the
 * first is being flushed, and about to be written when that flush has failed. */
struct duet {
	struct fixture *f;
	sem_t flushing, taken;
	unsigned barriers, writes;
};

static int duet_barrier(void *arg)
{
	struct duet *d = arg;
	if (++d->barriers == 2) {
		sem_post(&d->taken);
		while (!wal_failed(d->f->w))
			sched_yield();
		d->writes = d->f->tap->writes;
	}
	return 0;
}

static void duet_before_sync(void *arg)
{
	struct duet *d = arg;
	sem_post(&d->flushing);
	sem_wait(&d->taken);
	d->f->tap->fail_sync = 1;
}

/* One more record; true if it is refused durability. */
static bool refused(struct wal *w)
{
	const uint32_t number = 1;
	const struct iovec piece = {(void *)&number, sizeof(number)};
	return wal_reserve(w, sizeof(number)) == 0 &&
	       wal_sync(w, wal_append(w, 1, &piece, 1)) == -EIO;
}

static void *duet_second(void *arg)
{
	struct duet *d = arg;
	sem_wait(&d->flushing);
	return refused(d->f->w) ? arg : NULL;
}

static void batch_on_its_way_is_not_written_after_a_failed_flush(void **state)
{
	struct fixture *f = *state;
	struct duet d = {.f = f};
	pthread_t thread;
	void *answer;
	sem_init(&d.flushing, 0, 0);
	sem_init(&d.taken, 0, 0);
	f->opt.barrier = duet_barrier;
	f->opt.barrier_arg = &d;
	reopen(f);
	const uint64_t lsn = put(f, 0, 100);
	f->tap->before_sync = duet_before_sync;
	f->tap->before_sync_arg = &d;
	assert_int_equal(pthread_create(&thread, NULL, duet_second, &d), 0);
	assert_int_equal(wal_sync(f->w, lsn), -EIO);
	pthread_join(thread, &answer);
	assert_non_null(answer);
	assert_int_equal(d.barriers, 2);
	assert_int_equal(f->tap->writes, d.writes);
	f->tap->before_sync = NULL;
	sem_destroy(&d.flushing);
	sem_destroy(&d.taken);
}

/* The flush of the second group ends, well, while that of the first is still under way, and then fails. */
struct canon {
	struct fixture *f;
	sem_t flushing, second_flushed;
	atomic_uint before, after;
	uint64_t durable; /* seen when the second flush had ended */
};

static void canon_before_sync(void *arg)
{
	struct canon *c = arg;
	if (atomic_fetch_add(&c->before, 1) != 0)
		return;
	sem_post(&c->flushing);
	sem_wait(&c->second_flushed);
	for (int i = 0; i < 100; i++)
		sched_yield();
	c->durable = wal_durable(c->f->w);
	c->f->tap->fail_sync = 1;
}

static void canon_after_sync(void *arg)
{
	struct canon *c = arg;
	atomic_fetch_add(&c->after, 1);
	sem_post(&c->second_flushed);
}

static void *canon_second(void *arg)
{
	struct canon *c = arg;
	sem_wait(&c->flushing);
	return refused(c->f->w) ? arg : NULL;
}

static void flush_behind_one_that_failed_proves_nothing(void **state)
{
	struct fixture *f = *state;
	struct canon c = {.f = f};
	pthread_t thread;
	void *answer;
	sem_init(&c.flushing, 0, 0);
	sem_init(&c.second_flushed, 0, 0);
	reopen(f);
	const uint64_t kept = commit(f, 0, 100);
	const uint64_t lsn = put(f, 1, 100);
	f->tap->before_sync = canon_before_sync;
	f->tap->after_sync = canon_after_sync;
	f->tap->before_sync_arg = &c;
	assert_int_equal(pthread_create(&thread, NULL, canon_second, &c), 0);
	assert_int_equal(wal_sync(f->w, lsn), -EIO);
	pthread_join(thread, &answer);
	f->tap->before_sync = f->tap->after_sync = NULL;
	assert_non_null(answer);
	assert_int_equal(c.after, 1);
	assert_int_equal(c.durable, kept);
	assert_int_equal(wal_durable(f->w), kept);
	sem_destroy(&c.flushing);
	sem_destroy(&c.second_flushed);
}

/* Appends until reserve has written something that nobody waits for. */
static uint64_t write_behind(struct fixture *f, uint32_t *n)
{
	uint64_t lsn = 0;
	f->tap->writes = 0;
	while (f->tap->writes == 0)
		lsn = put(f, (*n)++, 3000);
	return lsn;
}

static void failed_flush_of_what_was_written_behind_is_final(void **state)
{
	struct fixture *f = *state;
	uint32_t n = 1;
	reopen(f);
	const uint64_t kept = commit(f, 0, 100);
	const uint64_t lost = write_behind(f, &n);
	f->tap->fail_sync = 1;
	assert_int_equal(wal_sync(f->w, lost - 3000), -EIO);
	for (int i = 0; i < 3; i++)
		assert_int_equal(wal_sync(f->w, lost), -EIO);
	assert_int_equal(wal_durable(f->w), kept);
	assert_int_equal(wal_reserve(f->w, 10), -EIO);
	reopen(f);
	expect(f, 0, f->seen.n);
}

static void failed_write_behind_is_told_by_reserve_and_final(void **state)
{
	struct fixture *f = *state;
	uint32_t n = 1;
	int r;
	reopen(f);
	const uint64_t kept = commit(f, 0, 100);
	f->tap->fail_write = 1;
	while ((r = wal_reserve(f->w, 3000)) == 0)
		append(f, n++, 3000);
	assert_int_equal(r, -EIO);
	assert_int_equal(wal_sync(f->w, UINT64_MAX), -EIO);
	assert_int_equal(wal_durable(f->w), kept);
	reopen(f);
	expect(f, 0, f->seen.n);
	assert_true(f->seen.n >= 1);
}

/* The first sync writes what has not been written, and nothing else. */
static void what_was_written_behind_is_flushed_and_not_written_again(void **state)
{
	struct fixture *f = *state;
	uint32_t n = 0;
	reopen(f);
	write_behind(f, &n);
	const uint64_t lsn = wal_end(f->w);
	f->tap->written_bytes = f->tap->syncs = 0;
	assert_int_equal(wal_sync(f->w, lsn), 0);
	assert_int_equal(f->tap->syncs, 1);
	assert_true(f->tap->written_bytes <= SEGMENT / 2 + 2 * WAL_BLOCK);
	reopen(f);
	expect(f, 0, n);
}

static int trimming_barrier(void *arg)
{
	struct fixture *f = arg;
	return wal_trim(f->w, wal_durable(f->w));
}

/* The first batch ends where segment 1 ends, so the second begins there and flushes it once more.
 */
static void trim_leaves_a_segment_that_a_batch_in_flight_flushes(void **state)
{
	struct fixture *f = *state;
	f->opt.barrier = trimming_barrier;
	f->opt.barrier_arg = f;
	reopen(f);
	const size_t quarter = (SEGMENT - WAL_BLOCK) / 4;
	uint64_t lsn = 0;
	for (uint32_t i = 0; i < 4; i++)
		lsn = commit(f, i, quarter - sizeof(struct wal_record));
	assert_int_equal(lsn, SEGMENT - WAL_BLOCK);
	commit(f, 4, 100);
	assert_true(exists(f, 1));
	commit(f, 5, 100);
	assert_false(exists(f, 1));
	f->opt.barrier = NULL;
	assert_int_equal(reopen_from(f, lsn), 0);
	expect(f, 4, 2);
}

static void failure_while_preparing_a_segment_is_final(void **state)
{
	struct fixture *f = *state;
	for (int which = 0; which < 4; which++) {
		assert_int_equal(wal_format(&f->tap->io, &f->opt, 0, &f->why), 0);
		reopen(f);
		struct wal_stat st;
		uint32_t n = 0;
		do {
			commit(f, n++, 1000);
			wal_stat(f->w, &st);
		} while (st.spares || st.end % (SEGMENT - WAL_BLOCK) < SEGMENT / 2 - 2 * WAL_BLOCK);
		int r;
		f->tap->fail_write = which < 2 ? which + 1 : 0;
		f->tap->fail_sync = which < 2 ? 0 : which - 1;
		while ((r = wal_reserve(f->w, 10000)) == 0)
			append(f, n++, 10000);
		assert_int_equal(r, -EIO);
		assert_true(wal_failed(f->w));
		f->tap->fail_write = f->tap->fail_sync = 0;
		reopen(f);
		expect(f, 0, f->seen.n);
	}
}

/* ---- many threads ---- */

enum { THREADS = 8, ROUNDS = 400 };

struct crowd {
	struct fixture *f;
	pthread_mutex_t lock; /* the caller's: orders the appends */
	uint32_t next;
	uint64_t lsns[THREADS * ROUNDS];
	atomic_uint acknowledged[THREADS * ROUNDS];
	size_t bytes;
	unsigned sync_one_in;
	uint64_t trim_behind; /* 0: never */
};

static void *committer(void *arg)
{
	struct crowd *c = arg;
	struct wal *w = c->f->w;
	uint8_t payload[20000];
	for (int i = 0; i < ROUNDS; i++) {
		if (wal_reserve(w, c->bytes))
			return NULL;
		pthread_mutex_lock(&c->lock);
		const uint32_t number = c->next++;
		memcpy(payload, &number, sizeof(number));
		for (size_t k = sizeof(number); k < c->bytes; k++)
			payload[k] = (uint8_t)(number + k);
		const struct iovec piece = {payload, c->bytes};
		const uint64_t lsn = wal_append(w, (uint16_t)number, &piece, 1);
		c->lsns[number] = lsn;
		pthread_mutex_unlock(&c->lock);
		if (c->sync_one_in && number % c->sync_one_in)
			continue;
		if (wal_sync(w, lsn))
			return NULL;
		if (wal_durable(w) < lsn)
			abort();
		atomic_store(&c->acknowledged[number], 1);
		if (c->trim_behind && lsn > c->trim_behind && number % 16 == 0 &&
		        wal_trim(w, lsn - c->trim_behind))
			return NULL;
	}
	return arg;
}

/* Returns how many threads went to the end. */
static unsigned crowd_run(struct crowd *c, struct fixture *f)
{
	pthread_t threads[THREADS];
	unsigned finished = 0;
	c->f = f;
	pthread_mutex_init(&c->lock, NULL);
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, committer, c), 0);
	for (int i = 0; i < THREADS; i++) {
		void *answer;
		pthread_join(threads[i], &answer);
		finished += answer != NULL;
	}
	pthread_mutex_destroy(&c->lock);
	return finished;
}

static void everything_acknowledged_to_eight_threads_is_there(void **state)
{
	struct fixture *f = *state;
	struct crowd *c = calloc(1, sizeof(*c));
	struct wal_stat st;
	reopen(f);
	c->bytes = 300;
	assert_int_equal(crowd_run(c, f), THREADS);
	wal_stat(f->w, &st);
	assert_int_equal(st.records, THREADS * ROUNDS);
	assert_int_equal(st.durable, st.end);
	assert_true(st.batches < st.records); /* they did share */
	reopen(f);
	expect(f, 0, THREADS * ROUNDS);
	assert_memory_equal(f->seen.lsns, c->lsns, sizeof(c->lsns));
	free(c);
}

static void threads_that_wait_and_threads_that_do_not_keep_the_order(void **state)
{
	struct fixture *f = *state;
	struct wal_stat st;
	for (unsigned one_in = 3; one_in < 100; one_in *= 4) {
		struct crowd *c = calloc(1, sizeof(*c));
		assert_int_equal(wal_format(&f->tap->io, &f->opt, 0, &f->why), 0);
		reopen(f);
		c->bytes = 700;
		c->sync_one_in = one_in;
		c->trim_behind = 6 * SEGMENT;
		assert_int_equal(crowd_run(c, f), THREADS);
		assert_int_equal(wal_sync(f->w, UINT64_MAX), 0);
		wal_stat(f->w, &st);
		assert_int_equal(st.durable, st.end);
		assert_int_equal(reopen_from(f, st.begin), 0);
		expect(f, THREADS * ROUNDS - f->seen.n, f->seen.n);
		free(c);
	}
}

static void failed_write_under_eight_threads_loses_nothing_acknowledged(void **state)
{
	struct fixture *f = *state;
	for (int nth = 1; nth < 120; nth = nth * 3 / 2 + 1) {
		struct crowd *c = calloc(1, sizeof(*c));
		assert_int_equal(wal_format(&f->tap->io, &f->opt, 0, &f->why), 0);
		reopen(f);
		c->bytes = 900;
		c->sync_one_in = 2 + (unsigned)nth % 3;
		f->tap->fail_write = nth;
		crowd_run(c, f);
		assert_true(wal_failed(f->w));
		const uint64_t durable = wal_durable(f->w);
		reopen(f);
		expect(f, 0, f->seen.n);
		for (uint32_t i = 0; i < c->next; i++)
			if (c->acknowledged[i]) {
				assert_true(c->lsns[i] <= durable);
				assert_true(i < f->seen.n);
			}
		free(c);
	}
}

static void large_records_of_many_threads_outgrow_the_queue(void **state)
{
	struct fixture *f = *state;
	struct crowd *c = calloc(1, sizeof(*c));
	reopen(f);
	c->bytes = wal_record_max(f->w);
	c->trim_behind = 10 * SEGMENT;
	assert_int_equal(crowd_run(c, f), THREADS);
	struct wal_stat st;
	wal_stat(f->w, &st);
	assert_true(st.begin > 0);
	assert_int_equal(reopen_from(f, st.begin), 0);
	expect(f, THREADS * ROUNDS - f->seen.n, f->seen.n);
	free(c);
}

static void failed_flush_under_eight_threads_loses_nothing_acknowledged(void **state)
{
	struct fixture *f = *state;
	for (int nth = 1; nth < 120; nth = nth * 3 / 2 + 1) {
		struct crowd *c = calloc(1, sizeof(*c));
		assert_int_equal(wal_format(&f->tap->io, &f->opt, 0, &f->why), 0);
		reopen(f);
		c->bytes = 50;
		f->tap->fail_sync = nth;
		assert_int_equal(crowd_run(c, f), 0);
		assert_true(wal_failed(f->w));
		const uint64_t durable = wal_durable(f->w);
		reopen(f);
		expect(f, 0, f->seen.n);
		for (uint32_t i = 0; i < c->next; i++)
			if (c->acknowledged[i]) {
				assert_true(c->lsns[i] <= durable);
				assert_true(i < f->seen.n);
			}
		free(c);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        WAL_TEST(sync_of_what_is_durable_does_no_io),
	        WAL_TEST(one_batch_costs_one_write_and_one_flush),
	        WAL_TEST(failed_flush_is_final),
	        WAL_TEST(failed_write_is_final),
	        WAL_TEST(barrier_comes_before_the_write),
	        WAL_TEST(failed_barrier_is_final),
	        WAL_TEST(batch_on_its_way_is_not_written_after_a_failed_flush),
	        WAL_TEST(flush_behind_one_that_failed_proves_nothing),
	        WAL_TEST(failed_flush_of_what_was_written_behind_is_final),
	        WAL_TEST(failed_write_behind_is_told_by_reserve_and_final),
	        WAL_TEST(what_was_written_behind_is_flushed_and_not_written_again),
	        WAL_TEST(trim_leaves_a_segment_that_a_batch_in_flight_flushes),
	        WAL_TEST(failure_while_preparing_a_segment_is_final),
	        WAL_TEST(everything_acknowledged_to_eight_threads_is_there),
	        WAL_TEST(threads_that_wait_and_threads_that_do_not_keep_the_order),
	        WAL_TEST(failed_write_under_eight_threads_loses_nothing_acknowledged),
	        WAL_TEST(large_records_of_many_threads_outgrow_the_queue),
	        WAL_TEST(failed_flush_under_eight_threads_loses_nothing_acknowledged),
	};
	return run_on_each_io(tests, sizeof(tests) / sizeof(tests[0]));
}
