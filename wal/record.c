/*
 * record.c - one record of the log. The layout is in format.h.
 *
 *   │ checksum │ bytes │ type │ flags │ lsn │ durable │ payload ... │ 0..7 zero bytes │
 *               └──────────────── what the checksum covers ─────────────────────────┘
 *
 * S2: the checksum is seeded by the salt of the segment's life, and covers the LSN: a record copied
 * from an older life or from another place does not validate.
 */
#include "wal/record.h"

#include <assert.h>
#include <xxhash.h>

static uint64_t checksum_of(const struct wal_record *rec, size_t payload_bytes, uint64_t salt)
{
	const size_t skip = sizeof(rec->checksum);
	return XXH3_64bits_withSeed(
	        (const uint8_t *)rec + skip, wal_record_bytes(payload_bytes) - skip, salt);
}

void wal_record_seal(struct wal_record *rec, uint32_t payload_bytes, uint16_t type, uint16_t flags,
        uint64_t lsn, uint64_t durable, uint64_t salt)
{
	assert(durable < lsn);
	rec->payload_bytes = le32_of(payload_bytes);
	rec->type = le16_of(type);
	rec->flags = le16_of(flags);
	rec->lsn = le64_of(lsn);
	rec->durable = le64_of(durable);
	rec->checksum = le64_of(checksum_of(rec, payload_bytes, salt));
}

bool wal_record_plausible(const struct wal_record *rec, const struct wal_spot *spot)
{
	const uint64_t lsn = le64_get(rec->lsn);
	if (lsn <= spot->lsn || lsn > spot->segment_end || le64_get(rec->durable) > spot->lsn)
		return false;
	const size_t payload = le32_get(rec->payload_bytes);
	switch (le16_get(rec->flags)) {
	case 0:
		return wal_record_bytes(payload) <= spot->record_max &&
		       lsn - spot->lsn == wal_record_bytes(payload);
	case WAL_RECORD_LAST:
		return payload == 0 && le16_get(rec->type) == 0 && lsn == spot->segment_end;
	default:
		return false;
	}
}

bool wal_record_intact(const struct wal_record *rec, uint64_t salt)
{
	return le64_get(rec->checksum) == checksum_of(rec, le32_get(rec->payload_bytes), salt);
}
