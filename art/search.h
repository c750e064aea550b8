/*
 * search.h - looking for a byte among the bytes of a node.
 *
 * Each search stands here twice: in plain C, and with the 16-byte registers that every x86-64 has (so no
 * dispatch at run time is needed). tests/art/search_test.c compares the twins. `count` may be any
 * number, for a reader without a lock may see one that is being changed: nothing behind the array is read.
 */
#ifndef ART_SEARCH_H
#define ART_SEARCH_H

#include <stdint.h>
#include <string.h>

enum { SEARCH_NONE = 256 };

/* ---- in plain C -------------------------------------------------------------------------------- */

/* The place of `byte` among the first `count` of `b`, or SEARCH_NONE. No byte stands there twice. */
static inline unsigned search_equal_plain(
        const uint8_t *b, unsigned max, unsigned count, uint8_t byte)
{
	for (unsigned i = 0; i < max && i < count; i++)
		if (b[i] == byte)
			return i;
	return SEARCH_NONE;
}

/* The first of `count` ascending bytes that is >= `from` (0..256): its place, or SEARCH_NONE. */
static inline unsigned search_from_plain(
        const uint8_t *b, unsigned max, unsigned count, unsigned from)
{
	for (unsigned i = 0; i < max && i < count; i++)
		if (b[i] >= from)
			return i;
	return SEARCH_NONE;
}

/* The first of 256 bytes, from `from` (0..256) on, that is not 0; or SEARCH_NONE. */
static inline unsigned search_nonzero_plain(const uint8_t *b, unsigned from)
{
	while (from < 256 && b[from] == 0)
		from++;
	return from < 256 ? from : SEARCH_NONE;
}

/* ---- four bytes: in one register of any machine -------------------------------------------------- */

static inline unsigned search4_equal(const uint8_t b[4], unsigned count, uint8_t byte)
{
	uint32_t x =
	        (uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;

	x ^= 0x01010101u * byte;
	/* The lowest byte that is 0 becomes 0x80; source: Mycroft's zero-in-word test. */
	uint32_t zero = (x - 0x01010101u) & ~x & 0x80808080u;
	unsigned at = zero ? (unsigned)__builtin_ctz(zero) / 8 : SEARCH_NONE;
	return at < count ? at : SEARCH_NONE;
}

/* ---- sixteen ------------------------------------------------------------------------------------- */

#ifdef __SSE2__
#include <emmintrin.h>

static inline unsigned search_first(unsigned bits)
{
	return bits ? (unsigned)__builtin_ctz(bits) : SEARCH_NONE;
}
static inline unsigned search_below(unsigned count)
{
	return count < 16 ? (1u << count) - 1 : 0xffffu;
}
static inline unsigned search16_equal(const uint8_t b[16], unsigned count, uint8_t byte)
{
	__m128i all = _mm_loadu_si128((const __m128i *)b);
	__m128i same = _mm_cmpeq_epi8(all, _mm_set1_epi8((char)byte));

	return search_first((unsigned)_mm_movemask_epi8(same) & search_below(count));
}
static inline unsigned search16_from(const uint8_t b[16], unsigned count, unsigned from)
{
	if (from > 255)
		return SEARCH_NONE;
	__m128i all = _mm_loadu_si128((const __m128i *)b);
	__m128i low = _mm_set1_epi8((char)from);
	__m128i reaches = _mm_cmpeq_epi8(_mm_max_epu8(all, low), all);

	return search_first((unsigned)_mm_movemask_epi8(reaches) & search_below(count));
}
static inline unsigned search256_nonzero(const uint8_t b[256], unsigned from)
{
	for (unsigned at = from & ~15u; at < 256; at += 16) {
		__m128i all = _mm_loadu_si128((const __m128i *)(b + at));
		unsigned bits =
		        ~(unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(all, _mm_setzero_si128())) &
		        0xffffu;
		if (at < from)
			bits &= ~0u << (from - at);
		if (bits)
			return at + (unsigned)__builtin_ctz(bits);
	}
	return SEARCH_NONE;
}
#else
static inline unsigned search16_equal(const uint8_t b[16], unsigned count, uint8_t byte)
{
	return search_equal_plain(b, 16, count, byte);
}
static inline unsigned search16_from(const uint8_t b[16], unsigned count, unsigned from)
{
	return search_from_plain(b, 16, count, from);
}
static inline unsigned search256_nonzero(const uint8_t b[256], unsigned from)
{
	return search_nonzero_plain(b, from);
}
#endif

#endif
