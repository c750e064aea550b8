/*
 * peer_leveldb.c - LevelDB: a log-structured merge tree.
 *
 * Tuning, and why it is fair:
 *
 *   cache         a block cache of the common size, beside the memtables
 *   memtable      the common log_bytes, instead of 4 MiB: fewer, larger files
 *   bloom filter  10 bits per key: a miss mostly reads no block
 *   compression   snappy, as by default
 *   checkpoint    there is no call to flush; compacting a range in which there are no keys flushes the
 *                 memtable and does no more
 */
#include "tests/bench/engine.h"

#if __has_include(<leveldb/c.h>)

#include <leveldb/c.h>

#define LSM_NAME  "leveldb"
#define LSM(name) leveldb_##name
#include "tests/bench/peer_lsm.h"

static void tune(struct engine *e, const struct engine_options *opt)
{
	(void)opt;
	e->bloom = leveldb_filterpolicy_create_bloom(BLOOM_BITS_PER_KEY);
	leveldb_options_set_filter_policy(e->options, e->bloom);
	leveldb_options_set_cache(e->options, e->cache);
}

static int get(
        struct engine_session *s, struct engine_bytes key, void *value, size_t cap, size_t *bytes)
{
	char *error = NULL;
	size_t n;
	char *found =
	        leveldb_get(s->engine->db, s->engine->reading, key.data, key.bytes, &n, &error);
	if (error)
		return check(error, "get");
	if (!found)
		return -ENOENT;
	memcpy(value, found, n < cap ? n : cap);
	*bytes = n;
	leveldb_free(found);
	return 0;
}

static int checkpoint(struct engine *e)
{
	static const char behind_all_keys[] = "\xff\xff\xff\xff\xff\xff\xff\xff";
	const size_t bytes = sizeof(behind_all_keys) - 1;
	leveldb_compact_range(e->db, behind_all_keys, bytes - 1, behind_all_keys, bytes);
	return 0;
}

const struct engine_ops peer_leveldb = ENGINE_OPS("leveldb", "libleveldb-dev");

#else

const struct engine_ops peer_leveldb = {.name = "leveldb", .package = "libleveldb-dev"};

#endif
