/*
 * record.h - one record: sealing it, and deciding whether bytes from disk are one (private to
 * wal/).
 *
 * The decision has two halves, because the search behind a torn tail asks at every eighth byte:
 * whether the header could stand here at all costs a few compares, whether the record is intact
 * costs a checksum.
 */
#ifndef WAL_RECORD_H
#define WAL_RECORD_H

#include <stdbool.h>

#include "wal/format.h"

/* Where a record is looked for. */
struct wal_spot {
	uint64_t lsn;         /* LSN of the record's first byte */
	uint64_t segment_end; /* LSN of the first byte behind the segment */
	size_t record_max;    /* bytes, header included */
};

/* Fills the header of the record at `rec`, whose payload and zero padding are in place, and seals
 * it. */
void wal_record_seal(struct wal_record *rec, uint32_t payload_bytes, uint16_t type, uint16_t flags,
        uint64_t lsn, uint64_t durable, uint64_t salt);

/* True if this header may stand at `spot`; then all of the record lies within its segment. */
bool wal_record_plausible(const struct wal_record *rec, const struct wal_spot *spot);

/* True if the checksum holds. Only for a plausible header with all of its record behind it. */
bool wal_record_intact(const struct wal_record *rec, uint64_t salt);

#endif
