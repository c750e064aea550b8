/*
 * record_fuzz.c - the decoders of fs/record.c on any bytes: no crash, and what is accepted is
 * written back as the same bytes.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "fs/record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void same(struct art_bytes v, const uint8_t *data, size_t size)
{
	if (v.data && (v.bytes != size || memcmp(v.data, data, size) != 0))
		abort();
	free((void *)v.data);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fs_record r;
	struct fs_super s;
	enum fs_record_type type;
	uint64_t chunk;
	if (fs_record_decode(data, size, size, &type, &r) == 0) {
		if (type == FS_RECORD_LINK) {
			same(fs_link_encode(&r), data, size);
		} else {
			size_t tail = fs_tail_bytes(&r);
			same(fs_record_encode(&r, data + (size - tail), tail), data, size);
			struct fs_attr a;
			fs_record_attr(&r, &a);
		}
	}
	/* the head alone, of a value that is longer */
	if (size >= sizeof(struct fs_inode_disk)) {
		size_t all = size + (size_t)data[size - 1] * 256;
		(void)fs_record_decode(data, sizeof(struct fs_inode_disk), all, &type, &r);
	}
	if (fs_super_decode(data, size, &s) == 0)
		same(fs_super_encode(&s), data, size);
	if (fs_trim_decode(data, size, &chunk) == 0)
		same(fs_trim_encode(chunk), data, size);
	return 0;
}
