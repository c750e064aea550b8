/*
 * pages.h - the content of a simulated file: a table of shared pages.
 *
 *      page[]   │ p0 │ hole │ zero │ p3 │        bytes: the size, up to PAGE_BYTES less than the
 * table └──────────────────┴── counted; written only when the count is one
 *
 * A copy shares all pages, so that a disk can be copied at every step of a run. A hole takes no
 * room on the disk; a zero page does (it was allocated) but none in memory. Bytes behind the size
 * are always zero. Out of memory ends the test.
 */
#ifndef TESTS_HARNESS_PAGES_H
#define TESTS_HARNESS_PAGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { PAGE_BYTES = 4096 };

struct page;

struct pages {
	struct page **page;
	size_t n;
	uint64_t bytes;
	size_t used; /* pages that are not holes */
};

void pages_copy(struct pages *to, const struct pages *from); /* `to` need not be initialised */
void pages_fini(struct pages *p);

/* Bytes behind the end read as zero. */
void pages_read(const struct pages *p, uint64_t offset, void *buf, size_t bytes);
void pages_write(struct pages *p, uint64_t offset, const void *buf, size_t bytes); /* extends */
void pages_resize(struct pages *p, uint64_t bytes);
void pages_allocate(struct pages *p, uint64_t offset, uint64_t bytes); /* extends */
void pages_punch(struct pages *p, uint64_t offset, uint64_t bytes);

/* How many pages write() or allocate() would take from the disk. */
size_t pages_missing(const struct pages *p, uint64_t offset, uint64_t bytes);

/* Memory or the end of the test. */
void *pages_memory(void *old, size_t bytes);
/* True inside pages_memory(): what it takes is the test's, not that of the code under test. */
bool pages_memory_busy(void);

#endif
