/*
 * engine.c - the engines there are, and listing with a delimiter on those that can only seek.
 *
 * An ordered map without delimiters of its own lists the children of a prefix P so:
 *
 *   seek P ─► P a/x    a child "a/": seek behind all that begins with P a/, which is at P a0,
 *             P a/y    because '0' follows '/'
 *             P b      a child "b": next
 *             Q        does not begin with P: the end
 */
#include "tests/bench/engine.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

const struct engine_ops *const engines[ENGINES] = {
        &peer_artfs,
        &peer_lmdb,
        &peer_rocksdb,
        &peer_leveldb,
        &peer_sqlite,
        &peer_wiredtiger,
};

int engine_error(const char *name, const char *call, const char *text)
{
	fprintf(stderr, "%s: %s: %s\n", name, call, text);
	return -EIO;
}

static int list_by_seeking(const struct engine_ops *ops, struct engine_session *s,
        struct engine_bytes prefix, int delimiter, struct engine_tally *out)
{
	struct engine_tally tally = {0};
	struct engine_entry e;
	char behind[ENGINE_KEY_BYTES_MAX];
	int rc = ops->seek(s, prefix, &e);
	while (rc > 0 && e.key.bytes >= prefix.bytes &&
	        !memcmp(e.key.data, prefix.data, prefix.bytes)) {
		const char *key = e.key.data, *child = NULL;
		if (delimiter != ENGINE_NO_DELIMITER)
			child = memchr(key + prefix.bytes, delimiter, e.key.bytes - prefix.bytes);
		tally.entries++;
		if (!child) {
			tally.value_bytes += e.value.bytes;
			rc = ops->next(s, &e);
			continue;
		}
		size_t bytes = (size_t)(child - key) + 1;
		assert(bytes <= sizeof(behind));
		memcpy(behind, key, bytes);
		behind[bytes - 1] = (char)(delimiter + 1);
		rc = ops->seek(s, (struct engine_bytes){behind, bytes}, &e);
	}
	ops->rest(s);
	if (rc < 0)
		return rc;
	*out = tally;
	return 0;
}

int engine_list(const struct engine_ops *ops, struct engine_session *s, struct engine_bytes prefix,
        int delimiter, struct engine_tally *out)
{
	return ops->list ? ops->list(s, prefix, delimiter, out)
	                 : list_by_seeking(ops, s, prefix, delimiter, out);
}
