/*
 * engine_bench.c - the dictionary in this process, beside the engines that one would otherwise embed.
 *
 *   usage: engine_bench
 *
 *   N=1000000          keys, rounded down to thousands
 *   DATA=paths         or words, or random (keys.h)
 *   SEED=1             of the orders of loading and looking, and of random keys
 *   PEERS=all          or a list of names, as lmdb,sqlite; or none
 *   THREADS=32         steps with more threads are left out
 *   ROUNDS=3
 *   LARGE=0            1: only the load and the gets of a dictionary far larger than the cache;
 *                      then N is 10000000, CACHE_MIB 64 and ROUNDS 1 unless set
 *   STEP_MS=           how long a step lasts that is not bound by N (preset: by N, 40 to 500)
 *   CACHE_MIB=256      cache of each engine
 *   LOG_MIB=64         log, memtable or WAL of each before it takes a checkpoint of its own
 *   BENCH_DIR=build    where to work: a directory on the disk to measure
 *
 * Round by round, each engine takes the steps of steps.h in a process of its own, one engine after
 * another; each round begins with another one. So no engine's background work meets another one's
 * foreground, and a drift of the machine meets all of them. Engines that are not built in are left
 * out by name.
 */
#include <errno.h>
#include <ftw.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/bench/figure.h"
#include "tests/bench/steps.h"

enum { OPEN_FILES = 16, ARTFS = 0, PEAK_BEYOND_CACHE = 64 /* MiB */ };

static struct figure_series series[ENGINES][MEASURES];
static bool takes_part[ENGINES];
static char work_path[4096], store_path[4200];

/* ---- the figures -------------------------------------------------------------------- */

/* Whom a figure is held against, and what its target bounds. */
enum against {
	BEST_PEER, /* in this row: the ratio to it */
	ROCKSDB,   /* the smallest of them on disk; the best if it is not there */
	NOBODY,    /* the value itself */
};

enum better { MORE, LESS };

static const struct row {
	enum measure measure;
	const char *name, *unit;
	enum better better;
	double target; /* at least, or at most if less is better; 0: none */
	enum against against;
} rows[] = {
        {GET_HIT_1, "get_hit_1_thread", "gets/s", MORE, 2.0, BEST_PEER},
        {GET_HIT_2, "get_hit_2_threads", "gets/s", MORE, 2.0, BEST_PEER},
        {GET_HIT_4, "get_hit_4_threads", "gets/s", MORE, 2.0, BEST_PEER},
        {GET_MISS_1, "get_miss_1_thread", "gets/s", MORE, 2.0, BEST_PEER},
        {GET_MISS_2, "get_miss_2_threads", "gets/s", MORE, 2.0, BEST_PEER},
        {GET_MISS_4, "get_miss_4_threads", "gets/s", MORE, 2.0, BEST_PEER},
        {LIST_1, "list_100_1_thread", "lists/s", MORE, 2.0, BEST_PEER},
        {LIST_2, "list_100_2_threads", "lists/s", MORE, 2.0, BEST_PEER},
        {LIST_DELIMITED, "list_10_large_children", "lists/s", MORE, 3.0, BEST_PEER},
        {SCAN, "scan_all", "keys/s", MORE, 0, BEST_PEER},
        {PUT_ONE, "put_one_by_one", "keys/s", MORE, 3.0, BEST_PEER},
        {PUT_BATCH, "put_batches_of_1000", "keys/s", MORE, 3.0, BEST_PEER},
        {DURABLE_1, "durable_overwrite_1_thread_beside_peers", "commits/s", MORE, 0, BEST_PEER},
        {DURABLE_8, "durable_overwrite_8_threads", "commits/s", MORE, 2.0, BEST_PEER},
        {DURABLE_32, "durable_overwrite_32_threads", "commits/s", MORE, 2.0, BEST_PEER},
        {STALL_8, "longest_stall_8_threads", "ms", LESS, 1.0, BEST_PEER},
        {PUT_TAIL, "put_p99.9_beside_checkpoints", "ms", LESS, 5.0, NOBODY},
        {SIZE_ONE, "bytes_on_disk_loaded_one_by_one", "MB", LESS, 1.4, ROCKSDB},
        {SIZE_BATCH, "bytes_on_disk_loaded_in_batches", "MB", LESS, 1.4, ROCKSDB},
        {SIZE_COMPACT, "bytes_on_disk_compacted", "MB", LESS, 1.05, ROCKSDB},
        {SIZE_TENTH, "bytes_on_disk_nine_in_ten_deleted", "MB", LESS, 0, ROCKSDB},
        {SIZE_TENTH_COMPACT, "bytes_on_disk_nine_in_ten_deleted_compacted", "MB", LESS, 1.05,
                ROCKSDB},
        {LARGE_LOAD, "large_put_batches_of_1000_all_cached", "keys/s", MORE, 0, BEST_PEER},
        {LARGE_GET_1, "large_get_1_thread", "gets/s", MORE, 1.5, BEST_PEER},
        {LARGE_GET_2, "large_get_2_threads", "gets/s", MORE, 1.5, BEST_PEER},
        {LARGE_SIZE, "large_bytes_on_disk", "MB", LESS, 0, ROCKSDB},
        {LARGE_PEAK_MEMORY, "large_peak_memory", "MiB", LESS, PEAK_BEYOND_CACHE, NOBODY},
        {DELETE_ONE, "delete_one_by_one", "keys/s", MORE, 3.0, BEST_PEER},
        {DELETE_BATCH, "delete_batches_of_1000", "keys/s", MORE, 2.0, BEST_PEER},
        {COLD_OPEN, "cold_open_to_first_value", "ms", LESS, 1.0, BEST_PEER},
        {COLD_GET, "cold_get", "us", LESS, 0.75, BEST_PEER},
        {PEAK_MEMORY, "peak_memory_of_load", "MiB", LESS, PEAK_BEYOND_CACHE, NOBODY},
        {DENSITY_ONE, "user_bytes_per_frame_byte_one_by_one", "ratio", MORE, 0, NOBODY},
        {DENSITY_BATCH, "user_bytes_per_frame_byte_in_batches", "ratio", MORE, 0, NOBODY},
};

/* What artfs is held against in itself, or in the disk. */
static const struct own_row {
	enum measure measure, other;
	const char *name, *unit, *other_name;
	double at_least, at_most;
} own_rows[] = {
        {DURABLE_1, BARE_DISK, "durable_overwrite_1_thread", "commits/s", "bare_disk", 0.8, 0},
        {GRAFT_MANY, GRAFT_ONE, "graft_half_of_all_keys", "us", "graft_of_one_key", 0, 0},
        {GRAFT_MANY_FRAMES, GRAFT_ONE_FRAMES, "graft_half_of_all_keys_frames_dirtied", "frames",
                "graft_of_one_key", 0, 1},
};

static unsigned best_peer(const struct row *row)
{
	unsigned best = ARTFS;
	for (unsigned e = ARTFS + 1; e < ENGINES; e++) {
		const struct figure_series *s = &series[e][row->measure];
		if (!s->n)
			continue;
		if (row->against == ROCKSDB && engines[e] == &peer_rocksdb)
			return e;
		double v = figure_median(s), w = figure_median(&series[best][row->measure]);
		if (best == ARTFS || (row->better == LESS ? v < w : v > w))
			best = e;
	}
	return best;
}

static void print_row(const struct row *row, double cache_mib)
{
	const struct figure_series *own = &series[ARTFS][row->measure];
	struct figure f = {.name = row->name, .unit = row->unit, .value = own};
	unsigned peer = row->against == NOBODY ? ARTFS : best_peer(row);
	double target = row->target;
	if (row->measure == PEAK_MEMORY || row->measure == LARGE_PEAK_MEMORY)
		target += cache_mib;
	if (peer != ARTFS) {
		f.peer = engines[peer]->name;
		f.peer_value = &series[peer][row->measure];
	} else if (row->against != NOBODY) {
		target = 0; /* there is nobody to be compared with */
	}
	*(row->better == LESS ? &f.at_most : &f.at_least) = target;
	figure_print(&f);
	for (unsigned e = ARTFS + 1; e < ENGINES; e++)
		if (e != peer)
			figure_print_other(&f, engines[e]->name, &series[e][row->measure]);
}

static void print_figures(double cache_mib)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		print_row(&rows[i], cache_mib);
	for (size_t i = 0; i < sizeof(own_rows) / sizeof(own_rows[0]); i++) {
		const struct own_row *row = &own_rows[i];
		figure_print(&(struct figure){.name = row->name,
		        .unit = row->unit,
		        .value = &series[ARTFS][row->measure],
		        .peer = row->other_name,
		        .peer_value = &series[ARTFS][row->other],
		        .at_least = row->at_least,
		        .at_most = row->at_most});
	}
}

/* ---- one engine, one round ---------------------------------------------------------- */

static sigset_t signals;

static int remove_visit(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)st, (void)type, (void)at;
	return remove(path);
}

static void remove_work(void)
{
	nftw(work_path, remove_visit, OPEN_FILES, FTW_DEPTH | FTW_PHYS);
}

/* Waits until the child has ended; ends it, and us, if a signal says so. */
static void wait_for(pid_t child, const char *name)
{
	int status, number;
	while (waitpid(child, &status, WNOHANG) == 0) {
		sigwait(&signals, &number);
		if (number == SIGCHLD)
			continue;
		kill(child, SIGKILL);
		waitpid(child, &status, 0);
		exit(128 + number); /* which removes what we made */
	}
	if (WIFSIGNALED(status))
		fprintf(stderr, "engine_bench: %s: %s\n", name, strsignal(WTERMSIG(status)));
	if (!WIFEXITED(status) || WEXITSTATUS(status))
		exit(1);
}

static void run_engine(const struct run *common, unsigned e, void (*steps)(struct run *))
{
	struct run r = *common;
	r.ops = engines[e];
	for (unsigned m = 0; m < MEASURES; m++)
		r.result[m] = NAN;
	fflush(stdout);
	pid_t child = fork();
	if (child < 0)
		figure_die("fork", errno);
	if (!child) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		pthread_sigmask(SIG_UNBLOCK, &signals, NULL);
		steps(&r);
		fflush(stdout);
		_exit(0);
	}
	wait_for(child, r.ops->name);
	for (unsigned m = 0; m < MEASURES; m++)
		if (!isnan(r.result[m]))
			figure_add(&series[e][m], r.result[m]);
}

/* ---- all of it ---------------------------------------------------------------------- */

static bool is_listed(const char *list, const char *name)
{
	size_t bytes = strlen(name);
	for (const char *at = list; (at = strstr(at, name)); at += bytes)
		if ((at == list || at[-1] == ',') && (!at[bytes] || at[bytes] == ','))
			return true;
	return false;
}

static void choose_peers(void)
{
	const char *list = getenv("PEERS");
	bool all = !list || !*list || !strcmp(list, "all");
	size_t expected = 0, found = 0;
	takes_part[ARTFS] = true;
	for (unsigned e = ARTFS + 1; e < ENGINES; e++) {
		if (!all && !is_listed(list, engines[e]->name))
			continue;
		found++;
		takes_part[e] = engines[e]->open != NULL;
		if (!takes_part[e])
			figure_note("%s is left out: it was not there to be built in (package %s)",
			        engines[e]->name, engines[e]->package);
	}
	for (const char *at = list; !all && at; at = strchr(at, ','))
		expected++, at++;
	if (!all && strcmp(list, "none") && found != expected) {
		fprintf(stderr, "engine_bench: PEERS=%s: names are", list);
		for (unsigned e = ARTFS + 1; e < ENGINES; e++)
			fprintf(stderr, " %s", engines[e]->name);
		fprintf(stderr, "\n");
		exit(2);
	}
}

static void make_work(void)
{
	const char *base = getenv("BENCH_DIR");
	base = base ? base : "build";
	if (figure_refuses(base))
		exit(1);
	snprintf(work_path, sizeof(work_path), "%s/engine-bench.XXXXXX", base);
	if (!mkdtemp(work_path))
		figure_die(work_path, errno);
	snprintf(store_path, sizeof(store_path), "%s/store", work_path);
	atexit(remove_work);

	sigemptyset(&signals);
	for (const int *s = (const int[]){SIGINT, SIGTERM, SIGHUP, SIGCHLD, 0}; *s; s++)
		sigaddset(&signals, *s);
	signal(SIGPIPE, SIG_IGN); /* we go on to the end, which cleans up */
	pthread_sigmask(SIG_BLOCK, &signals, NULL);
}

int main(void)
{
	static struct keys keys;
	const char *data = getenv("DATA");
	bool large = figure_env("LARGE", 0, 0, 1);
	uint64_t rounds = figure_env("ROUNDS", large ? 1 : 3, 1, FIGURE_ROUNDS_MAX);
	uint64_t n = figure_env("N", large ? 10000000 : 1000000, 10000, 100 * 1000 * 1000);
	uint64_t cache_mib = figure_env("CACHE_MIB", large ? 64 : 256, 4, 1 << 20);
	uint64_t step_ms_preset = n < 80000 ? 40 : n > 1000000 ? 500 : n / 2000;
	struct run r = {
	        .opt = {.cache_bytes = cache_mib << 20,
	                .log_bytes = figure_env("LOG_MIB", 64, 1, 1 << 20) << 20},
	        .keys = &keys,
	        .work_path = work_path,
	        .store_path = store_path,
	        .threads_max =
	                (unsigned)figure_env("THREADS", STEP_THREADS_MAX, 1, STEP_THREADS_MAX),
	        .step_seconds = (double)figure_env("STEP_MS", step_ms_preset, 1, 3600000) / 1e3,
	};

	choose_peers();
	make_work();
	n = n / ENGINE_BATCH_MAX * ENGINE_BATCH_MAX;
	keys_make(&keys, data ? data : "paths", (uint32_t)n, figure_env("SEED", 1, 0, UINT32_MAX));
	r.result = mmap(NULL, MEASURES * sizeof(*r.result), PROT_READ | PROT_WRITE,
	        MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (r.result == MAP_FAILED)
		figure_die("mmap", errno);

	figure_note_machine();
	figure_note("data=%s n=%u rounds=%llu cache=%llu MiB; keys of %.1f bytes, values of %d: "
	            "%.1f MB of user data",
	        keys.data_name, keys.n, (unsigned long long)rounds, (unsigned long long)cache_mib,
	        (double)keys.key_bytes / keys.n, VALUE_BYTES,
	        (double)(keys.key_bytes + (uint64_t)keys.n * VALUE_BYTES) / 1e6);
	if (large)
		figure_note(
		        "no engine's page cache is bounded: LMDB and SQLite map their files, "
		        "RocksDB, "
		        "LevelDB and WiredTiger read through it, so all of them have the memory "
		        "of the machine; artfs reads past it (O_DIRECT) and has its cache only");
	for (uint64_t round = 0; round < rounds; round++) {
		for (unsigned turn = 0; turn < ENGINES; turn++) {
			unsigned e = (unsigned)((turn + round) % ENGINES);
			double begin = figure_now();
			if (!takes_part[e])
				continue;
			run_engine(&r, e, large ? steps_load_large : steps_run);
			if (large)
				run_engine(&r, e, steps_get_large);
			figure_note("round %llu of %llu: %s took %.1f s",
			        (unsigned long long)round + 1, (unsigned long long)rounds,
			        engines[e]->name, figure_now() - begin);
		}
	}
	print_figures((double)cache_mib);
	return 0;
}
