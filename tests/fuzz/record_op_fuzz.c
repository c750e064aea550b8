/*
 * record_op_fuzz.c - the decoder of transaction records, and of data references within them.
 */
#include <stdint.h>
#include <string.h>

#include "art/tree.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct store_data d;

	if (data_ref_decode(&d, data, size) == 0) {
		struct data_ref r;
		data_ref_encode(&r, &d);
		if (memcmp(&r, data, offsetof(struct data_ref, zero)) != 0)
			__builtin_trap();
	}
	txn_record_check(data, size);
	return 0;
}
