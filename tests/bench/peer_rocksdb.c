/*
 * peer_rocksdb.c - RocksDB: a log-structured merge tree.
 *
 * Tuning, and why it is fair:
 *
 *   cache         a block cache of the common size, beside the memtables
 *   memtable      the common log_bytes
 *   bloom filter  10 bits per key, for whole tables: a miss mostly reads no block
 *   block index   with a hash beside the binary search: the faster get for the same block
 *   background    as many jobs as there are processors
 *   reading       through pinned slices, without a copy into memory of its own
 *   compression   snappy, as by default; everything else too
 */
#include "tests/bench/engine.h"

#if __has_include(<rocksdb/c.h>)

#include <rocksdb/c.h>
#include <unistd.h>

#define LSM_NAME  "rocksdb"
#define LSM(name) rocksdb_##name
#include "tests/bench/peer_lsm.h"

static void tune(struct engine *e, const struct engine_options *opt)
{
	(void)opt;
	rocksdb_block_based_table_options_t *table = rocksdb_block_based_options_create();
	rocksdb_block_based_options_set_block_cache(table, e->cache);
	rocksdb_block_based_options_set_filter_policy(
	        table, rocksdb_filterpolicy_create_bloom_full(BLOOM_BITS_PER_KEY));
	rocksdb_block_based_options_set_data_block_index_type(
	        table, rocksdb_block_based_table_data_block_index_type_binary_search_and_hash);
	rocksdb_options_set_block_based_table_factory(e->options, table);
	rocksdb_block_based_options_destroy(table);
	rocksdb_options_set_max_background_jobs(e->options, (int)sysconf(_SC_NPROCESSORS_ONLN));
}

static int get(
        struct engine_session *s, struct engine_bytes key, void *value, size_t cap, size_t *bytes)
{
	char *error = NULL;
	rocksdb_pinnableslice_t *found =
	        rocksdb_get_pinned(s->engine->db, s->engine->reading, key.data, key.bytes, &error);
	if (error)
		return check(error, "get");
	if (!found)
		return -ENOENT;
	const char *data = rocksdb_pinnableslice_value(found, bytes);
	memcpy(value, data, *bytes < cap ? *bytes : cap);
	rocksdb_pinnableslice_destroy(found);
	return 0;
}

static int checkpoint(struct engine *e)
{
	char *error = NULL;
	rocksdb_flushoptions_t *waiting = rocksdb_flushoptions_create();
	rocksdb_flush(e->db, waiting, &error);
	rocksdb_flushoptions_destroy(waiting);
	return check(error, "flush");
}

const struct engine_ops peer_rocksdb = ENGINE_OPS("rocksdb", "librocksdb-dev");

#else

const struct engine_ops peer_rocksdb = {.name = "rocksdb", .package = "librocksdb-dev"};

#endif
