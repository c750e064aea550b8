/*
 * steps.c - see steps.h. Every value read and every listing is checked.
 */
#include "tests/bench/steps.h"

#include <errno.h>
#include <ftw.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/bench/data.h"
#include "tests/bench/figure.h"

enum {
	COLD_GETS = 1000,
	LOAD_CACHE_PER_KEY = 512, /* holds all of it, in any engine */
	LOOKS_PER_CLOCK = 16,
	TAIL_PUTS_MAX = 1000 * 1000,
	OPEN_FILES = 16,
};

void steps_must(const struct run *r, int rc, const char *what)
{
	char text[200];
	if (rc >= 0)
		return;
	snprintf(text, sizeof(text), "%s: %s", r->ops->name, what);
	figure_die(text, -rc);
}

static void wrong(const struct run *r, const char *what)
{
	steps_must(r, -EUCLEAN, what);
}

/* ---- the store ---------------------------------------------------------------------- */

static void open_store(struct run *r)
{
	steps_must(r, r->ops->open(r->store_path, &r->opt, &r->engine), "open");
}

static struct engine_session *session(struct run *r, unsigned thread)
{
	if (!r->sessions[thread])
		steps_must(r, r->ops->session_open(r->engine, &r->sessions[thread]), "session");
	return r->sessions[thread];
}

static void close_sessions(struct run *r)
{
	for (unsigned t = 0; t < STEP_THREADS_MAX; t++) {
		if (r->sessions[t])
			r->ops->session_close(r->sessions[t]);
		r->sessions[t] = NULL;
	}
}

static void close_store(struct run *r)
{
	close_sessions(r);
	steps_must(r, r->ops->close(r->engine), "close");
}

static void compact_store(struct run *r)
{
	close_sessions(r);
	steps_must(r, r->ops->compact(r->engine), "compact");
}

static int remove_visit(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)st, (void)type, (void)at;
	return remove(path);
}

static void remove_store(struct run *r)
{
	close_store(r);
	nftw(r->store_path, remove_visit, OPEN_FILES, FTW_DEPTH | FTW_PHYS);
}

static uint64_t disk_bytes;

static int size_visit(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)path, (void)type, (void)at;
	disk_bytes += (uint64_t)st->st_blocks * 512;
	return 0;
}

/* What lies there when nobody has it open. */
static void measure_size(struct run *r, enum measure m)
{
	close_store(r);
	disk_bytes = 0;
	nftw(r->store_path, size_visit, OPEN_FILES, FTW_PHYS);
	r->result[m] = (double)disk_bytes / 1e6;
}

/* VmRSS or VmHWM of this process. */
static double memory_mib(const char *field)
{
	FILE *f = fopen("/proc/self/status", "r");
	char line[256];
	double mib = 0;
	while (f && fgets(line, sizeof(line), f))
		if (!strncmp(line, field, strlen(field)))
			mib = strtod(line + strlen(field) + 1, NULL) / 1024;
	if (f)
		fclose(f);
	return mib;
}

/* ---- loading and deleting ----------------------------------------------------------- */

static struct engine_op put_op(const struct run *r, uint32_t j, uint8_t *value)
{
	data_value(value, VALUE_BYTES, r->keys->ids[j]);
	return (struct engine_op){.key = keys_stored(r->keys, j), .value = {value, VALUE_BYTES}};
}

/* All keys; returns what it took. */
static double scan(struct run *r, uint32_t expected)
{
	struct engine_tally tally;
	double begin = figure_now();
	steps_must(r,
	        engine_list(r->ops, session(r, 0), (struct engine_bytes){"", 0},
	                ENGINE_NO_DELIMITER, &tally),
	        "scan");
	if (tally.entries != expected || tally.value_bytes != (uint64_t)expected * VALUE_BYTES)
		wrong(r, "the scan has a wrong number of entries");
	return figure_now() - begin;
}

/* Commits one operation for each key from `first` on in the order of loading, `batch` in each
 * transaction; returns what it took. */
static double for_keys(
        struct run *r, uint32_t first, uint32_t end, bool remove_them, unsigned batch)
{
	static struct engine_op ops[ENGINE_BATCH_MAX];
	static uint8_t values[ENGINE_BATCH_MAX][VALUE_BYTES];
	const struct keys *k = r->keys;
	struct engine_session *s = session(r, 0);
	double begin = figure_now();
	for (uint32_t i = first; i < end; i += batch) {
		for (unsigned b = 0; b < batch; b++) {
			uint32_t j = k->load_order[i + b];
			if (remove_them)
				ops[b] = (struct engine_op){
				        .remove = true, .key = keys_stored(k, j)};
			else
				ops[b] = put_op(r, j, values[b]);
		}
		steps_must(r, r->ops->commit(s, ops, batch, false), "commit");
	}
	return figure_now() - begin;
}

static void for_all_keys(struct run *r, enum measure m, bool remove_them, unsigned batch)
{
	r->result[m] = r->keys->n / for_keys(r, 0, r->keys->n, remove_them, batch);
	if (remove_them)
		scan(r, 0);
}

/* ---- looking ------------------------------------------------------------------------ */

static void get_hit(struct run *r, struct engine_session *s, uint32_t j)
{
	uint8_t value[VALUE_BYTES];
	uint64_t first;
	size_t bytes;
	steps_must(r, r->ops->get(s, keys_stored(r->keys, j), value, sizeof(value), &bytes), "get");
	memcpy(&first, value, sizeof(first));
	if (bytes != VALUE_BYTES || first != r->keys->ids[j])
		wrong(r, "a value is wrong");
}

static void get_miss(struct run *r, struct engine_session *s, uint32_t j)
{
	uint8_t value[VALUE_BYTES];
	size_t bytes;
	if (r->ops->get(s, keys_missing(r->keys, j), value, sizeof(value), &bytes) != -ENOENT)
		wrong(r, "a key is there that never was");
}

static void list(struct run *r, struct engine_session *s, struct engine_bytes prefix,
        unsigned entries, unsigned values)
{
	struct engine_tally tally;
	steps_must(r, engine_list(r->ops, s, prefix, '/', &tally), "list");
	if (tally.entries != entries || tally.value_bytes != (uint64_t)values * VALUE_BYTES)
		wrong(r, "a listing has a wrong number of entries");
}

static void list_directory(struct run *r, struct engine_session *s, uint32_t j)
{
	struct engine_bytes key = keys_stored(r->keys, j);
	const char *slash = memrchr(key.data, '/', key.bytes);
	key.bytes = (size_t)(slash + 1 - (const char *)key.data);
	list(r, s, key, DATA_FILES_PER_DIRECTORY, DATA_FILES_PER_DIRECTORY);
}

static void list_area(struct run *r, struct engine_session *s, uint32_t j)
{
	char path[DATA_KEY_BYTES_MAX];
	size_t bytes = data_area(path, r->keys->ids[j]);
	list(r, s, (struct engine_bytes){path, bytes}, DATA_TEAMS, 0);
}

static const struct look {
	enum measure measure;
	void (*one)(struct run *r, struct engine_session *s, uint32_t j);
	unsigned threads;
	bool directories; /* only where there are some */
} looks[] = {
        {GET_HIT_1, get_hit, 1, false},
        {GET_HIT_2, get_hit, 2, false},
        {GET_HIT_4, get_hit, 4, false},
        {GET_MISS_1, get_miss, 1, false},
        {GET_MISS_2, get_miss, 2, false},
        {GET_MISS_4, get_miss, 4, false},
        {LIST_1, list_directory, 1, true},
        {LIST_2, list_directory, 2, true},
        {LIST_DELIMITED, list_area, 1, true},
};

/* A step in which threads do single things for a time. */
struct timed {
	struct run *run;
	const struct look *look;
	unsigned threads;
	uint32_t first; /* key that the first thread begins with */
	double end;     /* when the time is over */
	atomic_uint_fast64_t count;
	double longest_seconds[STEP_THREADS_MAX];
};

static double run_timed(struct timed *t, double seconds, void (*body)(void *arg, unsigned thread))
{
	for (unsigned i = 0; i < t->threads; i++)
		session(t->run, i);
	t->end = figure_now() + seconds;
	double took = figure_threads(t->threads, body, t);
	return (double)atomic_load(&t->count) / took;
}

static void look_thread(void *arg, unsigned thread)
{
	struct timed *t = arg;
	struct run *r = t->run;
	uint32_t n = r->keys->n;
	uint32_t j = (uint32_t)(((uint64_t)n * thread / t->threads + t->first) % n);
	uint64_t count = 0;
	do {
		for (unsigned i = 0; i < LOOKS_PER_CLOCK; i++) {
			t->look->one(r, r->sessions[thread], j);
			j = j + 1 < n ? j + 1 : 0;
		}
		count += LOOKS_PER_CLOCK;
	} while (figure_now() < t->end);
	atomic_fetch_add(&t->count, count);
}

static void look_all(struct run *r)
{
	for (size_t i = 0; i < sizeof(looks) / sizeof(looks[0]); i++) {
		const struct look *l = &looks[i];
		struct timed t = {.run = r, .look = l, .threads = l->threads};
		if (l->threads > r->threads_max || (l->directories && !r->keys->directories))
			continue;
		r->result[l->measure] = run_timed(&t, r->step_seconds, look_thread);
	}
}

/* ---- durable, and beside checkpoints ------------------------------------------------ */

static void durable_thread(void *arg, unsigned thread)
{
	struct timed *t = arg;
	struct run *r = t->run;
	uint8_t value[VALUE_BYTES];
	double longest = 0, begin = figure_now();
	while (begin < t->end) {
		uint64_t i = atomic_fetch_add(&t->count, 1);
		struct engine_op op = put_op(r, (uint32_t)(i % r->keys->n), value);
		steps_must(r, r->ops->commit(r->sessions[thread], &op, 1, true), "commit");
		double now = figure_now();
		longest = now - begin > longest ? now - begin : longest;
		begin = now;
	}
	t->longest_seconds[thread] = longest;
}

static void overwrite_durably(struct run *r)
{
	static const struct {
		enum measure measure;
		unsigned threads;
	} durables[] = {{DURABLE_1, 1}, {DURABLE_8, 8}, {DURABLE_32, 32}};
	for (size_t i = 0; i < sizeof(durables) / sizeof(durables[0]); i++) {
		struct timed t = {.run = r, .threads = durables[i].threads};
		double longest = 0;
		if (t.threads > r->threads_max)
			continue;
		r->result[durables[i].measure] =
		        run_timed(&t, STEP_DURABLE * r->step_seconds, durable_thread);
		for (unsigned n = 0; n < t.threads; n++)
			if (t.longest_seconds[n] > longest)
				longest = t.longest_seconds[n];
		if (durables[i].measure == DURABLE_8)
			r->result[STALL_8] = longest * 1e3;
	}
}

struct checkpoints {
	struct run *run;
	atomic_bool end;
	unsigned taken;
};

static void *take_checkpoints(void *arg)
{
	struct checkpoints *c = arg;
	while (!atomic_load(&c->end)) {
		steps_must(c->run, c->run->ops->checkpoint(c->run->engine), "checkpoint");
		c->taken++;
	}
	return NULL;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

static void put_beside_checkpoints(struct run *r)
{
	double *ms = malloc(TAIL_PUTS_MAX * sizeof(*ms));
	struct engine_session *s = session(r, 0);
	struct checkpoints c = {.run = r};
	uint8_t value[VALUE_BYTES];
	unsigned n = 0;
	pthread_t id;
	if (!ms)
		steps_must(r, -ENOMEM, "put");
	steps_must(r, -pthread_create(&id, NULL, take_checkpoints, &c), "cannot start a thread");
	double begin = figure_now(), end = begin + STEP_DURABLE * r->step_seconds;
	while (begin < end && n < TAIL_PUTS_MAX) {
		struct engine_op op = put_op(r, n % r->keys->n, value);
		steps_must(r, r->ops->commit(s, &op, 1, false), "commit");
		double now = figure_now();
		ms[n++] = (now - begin) * 1e3;
		begin = now;
	}
	atomic_store(&c.end, true);
	pthread_join(id, NULL);
	qsort(ms, n, sizeof(ms[0]), by_value);
	r->result[PUT_TAIL] = ms[n - 1 - n / 1000];
	figure_note(
	        "%s: %u puts beside %u checkpoints: median %.4f ms, p99 %.4f ms, p99.9 %.3f ms, "
	        "max %.3f ms",
	        r->ops->name, n, c.taken, ms[n / 2], ms[n - 1 - n / 100], ms[n - 1 - n / 1000],
	        ms[n - 1]);
	free(ms);
}

/* ---- cold --------------------------------------------------------------------------- */

/* Leaves the store open, and all of it read once. */
static void open_cold(struct run *r)
{
	uint32_t n = r->keys->n;
	bool cold = figure_drop_caches();
	double begin = figure_now();
	open_store(r);
	get_hit(r, session(r, 0), n - 1);
	double opened = figure_now();
	for (uint32_t j = 0; j < COLD_GETS; j++)
		get_hit(r, session(r, 0), j);
	if (cold) {
		r->result[COLD_OPEN] = (opened - begin) * 1e3;
		r->result[COLD_GET] = (figure_now() - opened) / COLD_GETS * 1e6;
	}
	scan(r, n);
}

/* ---- all of it ---------------------------------------------------------------------- */

static void load(
        struct run *r, enum measure m, unsigned batch, enum measure size, enum measure density)
{
	open_store(r);
	for_all_keys(r, m, false, batch);
	if (m == PUT_ONE)
		r->result[PEAK_MEMORY] += memory_mib("VmHWM:");
	if (r->ops == &peer_artfs)
		steps_artfs_density(r, density);
	measure_size(r, size);
}

/* Nine in ten, then the rest; the sizes between them are part of no time. */
static void delete_in_batches(struct run *r)
{
	uint32_t n = r->keys->n, most = n / 10 * 9 / ENGINE_BATCH_MAX * ENGINE_BATCH_MAX;
	open_store(r);
	double seconds = for_keys(r, 0, most, true, ENGINE_BATCH_MAX);
	scan(r, n - most);
	measure_size(r, SIZE_TENTH);
	open_store(r);
	compact_store(r);
	measure_size(r, SIZE_TENTH_COMPACT);
	open_store(r);
	scan(r, n - most);
	seconds += for_keys(r, most, n, true, ENGINE_BATCH_MAX);
	r->result[DELETE_BATCH] = n / seconds;
	scan(r, 0);
}

void steps_run(struct run *r)
{
	bool artfs = r->ops == &peer_artfs;
	r->result[PEAK_MEMORY] = -memory_mib("VmRSS:");
	load(r, PUT_ONE, 1, SIZE_ONE, DENSITY_ONE);
	open_store(r);
	compact_store(r);
	measure_size(r, SIZE_COMPACT);

	open_cold(r);
	r->result[SCAN] = r->keys->n / scan(r, r->keys->n);
	look_all(r);
	if (artfs)
		steps_artfs_bare_disk(r);
	overwrite_durably(r);
	put_beside_checkpoints(r);
	if (artfs && r->keys->directories)
		steps_artfs_graft(r);
	compact_store(r); /* so many checkpoints leave an engine in a state that it is seldom in */
	for_all_keys(r, DELETE_ONE, true, 1);
	remove_store(r);

	load(r, PUT_BATCH, ENGINE_BATCH_MAX, SIZE_BATCH, DENSITY_BATCH);
	delete_in_batches(r);
	remove_store(r);
}

/* ---- far larger than the cache ---------------------------------------------------------- */

void steps_load_large(struct run *r)
{
	uint64_t whole = (uint64_t)r->keys->n * LOAD_CACHE_PER_KEY;
	if (r->opt.cache_bytes < whole)
		r->opt.cache_bytes = whole;
	open_store(r);
	for_all_keys(r, LARGE_LOAD, false, ENGINE_BATCH_MAX);
	measure_size(r, LARGE_SIZE);
}

void steps_get_large(struct run *r)
{
	static const struct look gets[] = {
	        {LARGE_GET_1, get_hit, 1, false}, {LARGE_GET_2, get_hit, 2, false}};
	double before = memory_mib("VmRSS:");
	if (!figure_drop_caches())
		figure_note("%s: the caches of the machine could not be dropped", r->ops->name);
	open_store(r);
	for (size_t i = 0; i < sizeof(gets) / sizeof(gets[0]); i++) {
		struct timed t = {.run = r, .look = &gets[i], .threads = gets[i].threads};
		if (t.threads > r->threads_max)
			continue;
		run_timed(&t, 2 * r->step_seconds, look_thread); /* the cache fills */
		atomic_store(&t.count, 0);
		t.first = r->keys->n / 4; /* keys that nobody asked for yet */
		r->result[gets[i].measure] = run_timed(&t, 4 * r->step_seconds, look_thread);
	}
	r->result[LARGE_PEAK_MEMORY] = memory_mib("VmHWM:") - before;
	remove_store(r);
}
