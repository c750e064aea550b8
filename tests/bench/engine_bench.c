/*
 * engine_bench.c - the dictionary in this process: a million paths of about 50 bytes.
 *
 *   usage: engine_bench
 *
 *   N=1000000          keys, rounded down to thousands
 *   ROUNDS=3
 *   DURABLE_OPS=5000   overwrites that are durable one by one; four times as many with 8 threads
 *   CACHE_MIB=256      budget of the frame cache
 *   CHECKPOINT_MIB=64  log between two checkpoints
 *   BENCH_DIR=build    where to work: a directory on the disk to measure
 *
 * Each round takes two fresh stores through
 *
 *   load one by one, size, get, list, overwrite durably, overwrite beside checkpoints, graft,
 *           close, cold open, cold gets, delete one by one
 *   load in batches, size, delete in batches
 *
 * and beside the durable overwrites writes 4 KiB blocks with O_DIRECT and O_DSYNC to a zero-filled
 * file: the peer "bare_disk". Keys come in an order shuffled with a fixed seed (data.h), another
 * one for looking than for loading. Loads and deletes are not synced; the size on disk is that
 * after one more checkpoint. Every value read and every listing is checked.
 */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "art/art.h"
#include "tests/bench/data.h"
#include "tests/bench/figure.h"

enum {
	VALUE_BYTES = 100,
	BATCH = 1000,
	COLD_GETS = 1000,
	LISTS = 20000,
	MANY_THREADS = 8,
	GRAFTS = 200,
	RAW_BYTES = 4096,
	RAW_FILE_BYTES = 16 * 1024 * 1024,
	TAIL_PUTS = 200000,
	OPEN_FILES = 16,
};

enum measure {
	PUT_ONE,
	PUT_BATCH,
	GET_HIT_1,
	GET_HIT_2,
	GET_MISS_1,
	GET_MISS_2,
	LIST_1,
	LIST_2,
	LIST_DELIMITED,
	DURABLE_1,
	DURABLE_8,
	STALL_8,
	PUT_TAIL,
	GRAFT_ONE,
	GRAFT_MANY,
	GRAFT_ONE_FRAMES,
	GRAFT_MANY_FRAMES,
	COLD_OPEN,
	COLD_GET,
	DELETE_ONE,
	DELETE_BATCH,
	SIZE_ONE,
	SIZE_BATCH,
	DENSITY_ONE,
	DENSITY_BATCH,
	PEAK_MEMORY,
	BARE_DISK,
	MEASURES,
};

static struct figure_series series[MEASURES];

static uint32_t keys, *load_order, *look_order;
static char *paths,
        *missing_paths; /* key i of both is at starts[i], starts[i + 1] - starts[i] bytes */
static size_t *starts;
static uint64_t durable_ops, cache_bytes, checkpoint_bytes, user_bytes;
static char work_path[4096], store_path[4200];

static struct io *io;
static struct art *art;

/* ---- the store ---------------------------------------------------------------------- */

static void must(int rc, const char *what)
{
	if (rc < 0)
		figure_die(what, -rc);
}

static void open_store(bool format)
{
	struct why w = {.text = ""};
	const struct art_options opt = {
	        .cache_bytes = cache_bytes,
	        .checkpoint_bytes = checkpoint_bytes,
	        .background = true,
	        .lock_wait_ms = IO_LOCK_WAIT_MS,
	};
	int rc = io_open(store_path, IO_AUTO, format, &io, &w);
	if (!rc && format)
		rc = art_format(io, &(struct art_format){.slot_bytes = 0}, &w);
	if (!rc)
		rc = art_open(io, &opt, &art, &w);
	must(rc, w.text[0] ? w.text : "cannot open the store");
}

static void close_store(void)
{
	must(art_close(art), "art_close");
	io->ops->destroy(io);
}

static int remove_visit(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)st, (void)type, (void)at;
	return remove(path);
}

static void remove_tree(const char *path)
{
	nftw(path, remove_visit, OPEN_FILES, FTW_DEPTH | FTW_PHYS);
}

static void remove_work(void)
{
	remove_tree(work_path);
}

static void *wait_for_signal(void *arg)
{
	int number;
	sigwait(arg, &number);
	exit(128 + number); /* which removes what we made */
}

static struct art_bytes key_of(uint32_t i)
{
	return (struct art_bytes){paths + starts[i], starts[i + 1] - starts[i]};
}

static struct art_op put_op(uint32_t i, uint8_t *value)
{
	data_value(value, VALUE_BYTES, i);
	return (struct art_op){.type = ART_PUT, .key = key_of(i), .value = {value, VALUE_BYTES}};
}

/* ---- loading and deleting ----------------------------------------------------------- */

static uint64_t key_count(void)
{
	struct art_stat st;
	art_stat(art, &st);
	return st.keys;
}

/* Commits one operation per key, `batch` in each transaction. Returns keys per second. */
static double for_all_keys(enum art_op_type type, unsigned batch)
{
	static struct art_op ops[BATCH];
	static uint8_t values[BATCH][VALUE_BYTES];
	double begin = figure_now();
	for (uint32_t i = 0; i < keys; i += batch) {
		for (unsigned b = 0; b < batch; b++) {
			uint32_t k = load_order[i + b];
			if (type == ART_PUT)
				ops[b] = put_op(k, values[b]);
			else
				ops[b] = (struct art_op){.type = ART_REMOVE, .key = key_of(k)};
		}
		must(art_commit(art, ops, batch, NULL), "art_commit");
	}
	double seconds = figure_now() - begin;
	if (key_count() != (type == ART_PUT ? keys : 0))
		figure_die("the dictionary holds a wrong number of keys", EUCLEAN);
	return keys / seconds;
}

static uint64_t disk_bytes, log_bytes;

static int size_visit(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)at;
	uint64_t bytes = (uint64_t)st->st_blocks * 512;
	disk_bytes += bytes;
	if (type == FTW_F && strstr(path, "/wal/"))
		log_bytes += bytes;
	return 0;
}

static void measure_size(enum measure size, enum measure density)
{
	struct art_stat st;
	must(art_checkpoint(art), "art_checkpoint");
	art_stat(art, &st);
	disk_bytes = log_bytes = 0;
	nftw(store_path, size_visit, OPEN_FILES, FTW_PHYS);
	uint64_t frames = st.store.blobs[STORE_TREE] + st.store.blobs[STORE_ARENA];
	figure_add(&series[size], (double)disk_bytes / 1e6);
	figure_add(&series[density],
	        (double)user_bytes / ((double)frames * (double)st.store.slot_bytes));
	figure_note(
	        "on disk %.1f MB, of which the log %.1f MB; %llu frames of %u bytes, %llu of %llu "
	        "slots in use, io %s",
	        (double)disk_bytes / 1e6, (double)log_bytes / 1e6, (unsigned long long)frames,
	        st.store.slot_bytes, (unsigned long long)st.store.slots_used,
	        (unsigned long long)st.store.slots_total, st.store.io_name);
}

/* ---- looking ------------------------------------------------------------------------ */

struct look {
	void (*one)(uint32_t i);
	uint32_t count;
	unsigned threads;
};

static void look_thread(void *arg, unsigned thread)
{
	const struct look *l = arg;
	uint32_t from = (uint32_t)((uint64_t)l->count * thread / l->threads);
	uint32_t to = (uint32_t)((uint64_t)l->count * (thread + 1) / l->threads);
	for (uint32_t i = from; i < to; i++)
		l->one(look_order[i % keys]);
}

static void look(enum measure m, void (*one)(uint32_t i), uint32_t count, unsigned threads)
{
	struct look l = {one, count, threads};
	figure_add(&series[m], count / figure_threads(threads, look_thread, &l));
}

static void get_hit(uint32_t i)
{
	uint8_t value[VALUE_BYTES];
	uint64_t first;
	size_t bytes;
	must(art_get(art, key_of(i), 0, value, sizeof(value), &bytes), "art_get");
	memcpy(&first, value, sizeof(first));
	if (bytes != VALUE_BYTES || first != i)
		figure_die("a value is wrong", EUCLEAN);
}

static void get_miss(uint32_t i)
{
	uint8_t value[VALUE_BYTES];
	struct art_bytes key = {missing_paths + starts[i], starts[i + 1] - starts[i]};
	if (art_get(art, key, 0, value, sizeof(value), NULL) != -ENOENT)
		figure_die("a key is there that never was", EUCLEAN);
}

static void list(struct art_bytes prefix, unsigned expected)
{
	struct art_cursor *c;
	struct art_entry e;
	unsigned seen = 0;
	int rc = art_cursor_open(art, prefix, '/', &c);
	must(rc, "art_cursor_open");
	while ((rc = art_cursor_next(c, &e)) > 0)
		seen++;
	art_cursor_close(c);
	must(rc, "art_cursor_next");
	if (seen != expected)
		figure_die("a listing has a wrong number of entries", EUCLEAN);
}

static void list_directory(uint32_t i)
{
	struct art_bytes key = key_of(i);
	const char *slash = memrchr(key.data, '/', key.bytes);
	key.bytes = (size_t)(slash + 1 - (const char *)key.data);
	list(key, DATA_FILES_PER_DIRECTORY);
}

static void list_area(uint32_t i)
{
	char path[DATA_KEY_BYTES_MAX];
	size_t bytes = data_area(path, i);
	list((struct art_bytes){path, bytes}, DATA_TEAMS);
}

static void look_all(void)
{
	look(GET_HIT_1, get_hit, keys, 1);
	look(GET_HIT_2, get_hit, keys, 2);
	look(GET_MISS_1, get_miss, keys, 1);
	look(GET_MISS_2, get_miss, keys, 2);
	look(LIST_1, list_directory, LISTS, 1);
	look(LIST_2, list_directory, LISTS, 2);
	look(LIST_DELIMITED, list_area, LISTS, 1);
}

/* ---- durable, and beside checkpoints ------------------------------------------------ */

struct durable {
	uint64_t ops;
	atomic_uint_fast64_t next;
	double stall_seconds[FIGURE_THREADS_MAX];
};

static void durable_thread(void *arg, unsigned thread)
{
	struct durable *d = arg;
	uint8_t value[VALUE_BYTES];
	uint64_t lsn;
	double longest = 0;
	for (uint64_t i; (i = atomic_fetch_add(&d->next, 1)) < d->ops;) {
		struct art_op op = put_op(look_order[i % keys], value);
		double begin = figure_now();
		must(art_commit(art, &op, 1, &lsn), "art_commit");
		must(art_sync(art, lsn), "art_sync");
		double seconds = figure_now() - begin;
		longest = seconds > longest ? seconds : longest;
	}
	d->stall_seconds[thread] = longest;
}

static void overwrite_durably(void)
{
	struct durable one = {.ops = durable_ops}, many = {.ops = 4 * durable_ops};
	double longest = 0;
	figure_add(&series[DURABLE_1], (double)one.ops / figure_threads(1, durable_thread, &one));
	figure_add(&series[DURABLE_8],
	        (double)many.ops / figure_threads(MANY_THREADS, durable_thread, &many));
	for (unsigned t = 0; t < MANY_THREADS; t++)
		longest = many.stall_seconds[t] > longest ? many.stall_seconds[t] : longest;
	figure_add(&series[STALL_8], longest * 1e3);
}

static void write_bare_disk(void)
{
	char path[4200];
	void *block;
	snprintf(path, sizeof(path), "%s/bare", work_path);
	int fd = open(path, O_RDWR | O_CREAT | O_DIRECT | O_DSYNC | O_CLOEXEC, 0600);
	if (fd < 0 || posix_memalign(&block, RAW_BYTES, RAW_FILE_BYTES))
		figure_die(path, fd < 0 ? errno : ENOMEM);
	memset(block, 0, RAW_FILE_BYTES);
	if (pwrite(fd, block, RAW_FILE_BYTES, 0) != RAW_FILE_BYTES)
		figure_die(path, errno);
	data_value(block, RAW_BYTES, 1);
	double begin = figure_now();
	for (uint64_t i = 0; i < durable_ops; i++) {
		off_t at = (off_t)(i * RAW_BYTES % RAW_FILE_BYTES);
		if (pwrite(fd, block, RAW_BYTES, at) != RAW_BYTES)
			figure_die(path, errno);
	}
	figure_add(&series[BARE_DISK], (double)durable_ops / (figure_now() - begin));
	close(fd);
	free(block);
	unlink(path);
}

static atomic_bool checkpoints_end;

static void *take_checkpoints(void *arg)
{
	unsigned *taken = arg;
	while (!atomic_load(&checkpoints_end)) {
		must(art_checkpoint(art), "art_checkpoint");
		(*taken)++;
	}
	return NULL;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

static void put_beside_checkpoints(void)
{
	static double ms[TAIL_PUTS];
	uint8_t value[VALUE_BYTES];
	unsigned taken = 0;
	pthread_t id;
	atomic_store(&checkpoints_end, false);
	must(-pthread_create(&id, NULL, take_checkpoints, &taken), "cannot start a thread");
	for (unsigned i = 0; i < TAIL_PUTS; i++) {
		struct art_op op = put_op(look_order[i % keys], value);
		double begin = figure_now();
		must(art_commit(art, &op, 1, NULL), "art_commit");
		ms[i] = (figure_now() - begin) * 1e3;
	}
	atomic_store(&checkpoints_end, true);
	pthread_join(id, NULL);
	qsort(ms, TAIL_PUTS, sizeof(ms[0]), by_value);
	figure_add(&series[PUT_TAIL], ms[TAIL_PUTS - TAIL_PUTS / 1000]);
	figure_note("puts beside %u checkpoints: median %.4f ms, p99 %.4f ms, p99.9 %.3f ms, max "
	            "%.3f ms",
	        taken, ms[TAIL_PUTS / 2], ms[TAIL_PUTS - TAIL_PUTS / 100],
	        ms[TAIL_PUTS - TAIL_PUTS / 1000], ms[TAIL_PUTS - 1]);
}

/* ---- grafts ------------------------------------------------------------------------- */

static uint64_t frames_dirtied(void)
{
	struct art_stat st;
	art_stat(art, &st);
	return st.frames_dirtied;
}

static void graft_there_and_back(struct art_bytes a, struct art_bytes b)
{
	const struct art_op there = {.type = ART_GRAFT, .key = a, .to = b};
	const struct art_op back = {.type = ART_GRAFT, .key = b, .to = a};
	must(art_commit(art, &there, 1, NULL), "graft");
	must(art_commit(art, &back, 1, NULL), "graft");
}

static void graft(const char *from, const char *to, enum measure time, enum measure frames)
{
	struct art_bytes a = {from, strlen(from)}, b = {to, strlen(to)};
	/* The first time may cut a frame; every later one shows what a rename costs. */
	graft_there_and_back(a, b);
	must(art_checkpoint(art), "art_checkpoint");
	uint64_t before = frames_dirtied();
	graft_there_and_back(a, b);
	figure_add(&series[frames], (double)(frames_dirtied() - before));
	double begin = figure_now();
	for (unsigned i = 0; i < GRAFTS / 2; i++)
		graft_there_and_back(a, b);
	figure_add(&series[time], (figure_now() - begin) / GRAFTS * 1e6);
}

/* A directory of one file, and an area, which is a tenth of all keys. */
static void graft_all(void)
{
	const struct art_bytes single = {"single/file", strlen("single/file")};
	char area[DATA_KEY_BYTES_MAX];
	struct art_op op = {.type = ART_PUT, .key = single, .value = {"x", 1}};
	must(art_commit(art, &op, 1, NULL), "art_commit");
	graft("single/", "solitary/", GRAFT_ONE, GRAFT_ONE_FRAMES);
	op = (struct art_op){.type = ART_REMOVE, .key = single};
	must(art_commit(art, &op, 1, NULL), "art_commit");
	data_area(area, 0);
	graft(area, "elsewhere/", GRAFT_MANY, GRAFT_MANY_FRAMES);
}

/* ---- cold --------------------------------------------------------------------------- */

static void reopen_cold(void)
{
	close_store();
	if (!figure_drop_caches()) {
		open_store(false);
		return;
	}
	double begin = figure_now();
	open_store(false);
	get_hit(look_order[keys - 1]);
	double opened = figure_now();
	for (uint32_t i = 0; i < COLD_GETS; i++)
		get_hit(look_order[i]);
	figure_add(&series[COLD_OPEN], (opened - begin) * 1e3);
	figure_add(&series[COLD_GET], (figure_now() - opened) / COLD_GETS * 1e6);
	for (uint32_t i = 0; i < keys; i++)
		get_hit(i); /* what comes next is not about cold caches */
}

/* ---- all of it ---------------------------------------------------------------------- */

static double peak_mib(void)
{
	struct rusage r;
	getrusage(RUSAGE_SELF, &r);
	return (double)r.ru_maxrss / 1024;
}

static void run_round(uint64_t round)
{
	double before = peak_mib();
	open_store(true);
	figure_add(&series[PUT_ONE], for_all_keys(ART_PUT, 1));
	measure_size(SIZE_ONE, DENSITY_ONE);
	if (round == 0) /* the peak of later loads hides behind this one's */
		figure_add(&series[PEAK_MEMORY], peak_mib() - before);
	look_all();
	if (round % 2)
		write_bare_disk();
	overwrite_durably();
	if (!(round % 2))
		write_bare_disk();
	put_beside_checkpoints();
	graft_all();
	reopen_cold();
	figure_add(&series[DELETE_ONE], for_all_keys(ART_REMOVE, 1));
	close_store();
	remove_tree(store_path);

	open_store(true);
	figure_add(&series[PUT_BATCH], for_all_keys(ART_PUT, BATCH));
	measure_size(SIZE_BATCH, DENSITY_BATCH);
	figure_add(&series[DELETE_BATCH], for_all_keys(ART_REMOVE, BATCH));
	close_store();
	remove_tree(store_path);
}

static void print(enum measure m, const char *name, const char *unit)
{
	figure_print(&(struct figure){.name = name, .unit = unit, .value = &series[m]});
}

static void print_bound(enum measure m, const char *name, const char *unit, double at_most)
{
	figure_print(&(struct figure){
	        .name = name, .unit = unit, .value = &series[m], .at_most = at_most});
}

static void print_figures(void)
{
	print(PUT_ONE, "put_one_by_one", "keys/s");
	print(PUT_BATCH, "put_batches_of_1000", "keys/s");
	print(GET_HIT_1, "get_hit_1_thread", "gets/s");
	print(GET_HIT_2, "get_hit_2_threads", "gets/s");
	print(GET_MISS_1, "get_miss_1_thread", "gets/s");
	print(GET_MISS_2, "get_miss_2_threads", "gets/s");
	print(LIST_1, "list_100_1_thread", "lists/s");
	print(LIST_2, "list_100_2_threads", "lists/s");
	print(LIST_DELIMITED, "list_10_large_children", "lists/s");
	figure_print(&(struct figure){.name = "durable_overwrite_1_thread",
	        .unit = "commits/s",
	        .value = &series[DURABLE_1],
	        .peer = "bare_disk",
	        .peer_value = &series[BARE_DISK],
	        .at_least = 0.8});
	print(DURABLE_8, "durable_overwrite_8_threads", "commits/s");
	print(STALL_8, "longest_stall_8_threads", "ms");
	print_bound(PUT_TAIL, "put_p99.9_beside_checkpoints", "ms", 5);
	figure_print(&(struct figure){.name = "graft_large",
	        .unit = "us",
	        .value = &series[GRAFT_MANY],
	        .peer = "graft_of_one_key",
	        .peer_value = &series[GRAFT_ONE]});
	figure_print(&(struct figure){.name = "graft_large_frames_dirtied",
	        .unit = "frames",
	        .value = &series[GRAFT_MANY_FRAMES],
	        .peer = "graft_of_one_key",
	        .peer_value = &series[GRAFT_ONE_FRAMES],
	        .at_most = 1});
	print(COLD_OPEN, "cold_open_to_first_value", "ms");
	print(COLD_GET, "cold_get", "us");
	print(DELETE_ONE, "delete_one_by_one", "keys/s");
	print(DELETE_BATCH, "delete_batches_of_1000", "keys/s");
	print(SIZE_ONE, "bytes_on_disk_loaded_one_by_one", "MB");
	print(SIZE_BATCH, "bytes_on_disk_loaded_in_batches", "MB");
	print(DENSITY_ONE, "user_bytes_per_frame_byte_one_by_one", "ratio");
	print(DENSITY_BATCH, "user_bytes_per_frame_byte_in_batches", "ratio");
	print_bound(PEAK_MEMORY, "peak_memory_of_load", "MiB", (double)(cache_bytes >> 20) + 64);
}

static void make_keys(void)
{
	size_t room = (size_t)keys * DATA_KEY_BYTES_MAX, at = 0;
	paths = malloc(room);
	missing_paths = malloc(room);
	starts = malloc(((size_t)keys + 1) * sizeof(*starts));
	load_order = data_shuffled(keys, 1);
	look_order = data_shuffled(keys, 2);
	if (!paths || !missing_paths || !starts || !load_order || !look_order)
		figure_die("the keys", ENOMEM);
	for (uint32_t i = 0; i < keys; i++) {
		starts[i] = at;
		data_key(missing_paths + at, i, true);
		at += data_key(paths + at, i, false);
	}
	starts[keys] = at;
	user_bytes = at + (uint64_t)keys * VALUE_BYTES;
}

int main(void)
{
	const char *base = getenv("BENCH_DIR");
	uint64_t rounds = figure_env("ROUNDS", 3, 1, FIGURE_ROUNDS_MAX);
	keys = (uint32_t)figure_env("N", 1000000, 10000, 100 * 1000 * 1000) / BATCH * BATCH;
	durable_ops = figure_env("DURABLE_OPS", 5000, 100, 10 * 1000 * 1000);
	cache_bytes = figure_env("CACHE_MIB", 256, 4, 1 << 20) << 20;
	checkpoint_bytes = figure_env("CHECKPOINT_MIB", 64, 1, 1 << 20) << 20;

	base = base ? base : "build";
	if (figure_refuses(base))
		return 1;
	snprintf(work_path, sizeof(work_path), "%s/engine-bench.XXXXXX", base);
	if (!mkdtemp(work_path))
		figure_die(work_path, errno);
	snprintf(store_path, sizeof(store_path), "%s/store", work_path);
	atexit(remove_work);

	static sigset_t signals;
	pthread_t id;
	sigemptyset(&signals);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGHUP);
	signal(SIGPIPE, SIG_IGN); /* we go on to the end, which cleans up */
	pthread_sigmask(SIG_BLOCK, &signals, NULL);
	must(-pthread_create(&id, NULL, wait_for_signal, &signals), "cannot start a thread");

	make_keys();
	figure_note_machine();
	figure_note("n=%u rounds=%llu cache=%llu MiB; keys of %.1f bytes, values of %d: %.1f MB of "
	            "user data",
	        keys, (unsigned long long)rounds, (unsigned long long)(cache_bytes >> 20),
	        (double)starts[keys] / keys, VALUE_BYTES, (double)user_bytes / 1e6);
	for (uint64_t round = 0; round < rounds; round++) {
		run_round(round);
		figure_note("round %llu of %llu is done", (unsigned long long)round + 1,
		        (unsigned long long)rounds);
	}
	print_figures();
	return 0;
}
