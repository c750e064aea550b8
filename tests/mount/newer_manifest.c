/*
 * newer_manifest.c - makes a store look as if a later artfs had made it: a higher version in the
 * head of manifest.bin, and the checksum that goes with it (store/SPEC.md: magic 8 bytes, version 4
 * bytes, and at the end of the block xxh3-64 of all before it, in every version).
 *
 * usage: newer_manifest STORE
 */
#define XXH_INLINE_ALL
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

enum { HEAD_BYTES = 4096, SUM_BYTES = 8, VERSION_AT = 8 };

int main(int argc, char **argv)
{
	uint8_t head[HEAD_BYTES];
	char path[4096];
	snprintf(path, sizeof(path), "%s/manifest.bin", argc == 2 ? argv[1] : "");
	int fd = open(path, O_RDWR);
	if (fd < 0 || pread(fd, head, sizeof(head), 0) != HEAD_BYTES) {
		perror(path);
		return 1;
	}
	head[VERSION_AT]++;
	uint64_t sum = XXH3_64bits(head, HEAD_BYTES - SUM_BYTES);
	for (unsigned i = 0; i < SUM_BYTES; i++)
		head[HEAD_BYTES - SUM_BYTES + i] = (uint8_t)(sum >> 8 * i);
	return pwrite(fd, head, sizeof(head), 0) != HEAD_BYTES;
}
