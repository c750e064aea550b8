/*
 * pages.c - sparse file content, shared by reference count; pages.h draws it.
 */
#include "tests/harness/pages.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct page {
	unsigned refs;
	uint8_t bytes[PAGE_BYTES];
};

static struct page zero_page; /* allocated, never written: one for all, not counted */

static _Thread_local volatile bool
        busy; /* the compiler believes that realloc() does not look at it */

bool pages_memory_busy(void)
{
	return busy;
}

void *pages_memory(void *old, size_t bytes)
{
	void *p;

	busy = true;
	p = realloc(old, bytes ? bytes : 1);
	busy = false;
	if (!p) {
		fprintf(stderr, "the test itself is out of memory\n");
		abort();
	}
	return p;
}

static struct page *share(struct page *page)
{
	if (page && page != &zero_page)
		page->refs++;
	return page;
}

static void release(struct page *page)
{
	if (page && page != &zero_page && --page->refs == 0)
		free(page);
}

void pages_copy(struct pages *to, const struct pages *from)
{
	*to = *from;
	to->page = pages_memory(NULL, from->n * sizeof(*to->page));
	for (size_t i = 0; i < from->n; i++)
		to->page[i] = share(from->page[i]);
}

void pages_fini(struct pages *p)
{
	for (size_t i = 0; i < p->n; i++)
		release(p->page[i]);
	free(p->page);
	*p = (struct pages){0};
}

/* The piece of [offset, offset+bytes) that lies in the page of its beginning. */
static size_t piece(uint64_t offset, uint64_t bytes)
{
	const size_t left = PAGE_BYTES - offset % PAGE_BYTES;
	return bytes < left ? (size_t)bytes : left;
}

void pages_read(const struct pages *p, uint64_t offset, void *buf, size_t bytes)
{
	for (uint8_t *to = buf; bytes;) {
		const size_t n = piece(offset, bytes), i = offset / PAGE_BYTES;
		if (i < p->n && p->page[i])
			memcpy(to, p->page[i]->bytes + offset % PAGE_BYTES, n);
		else
			memset(to, 0, n);
		to += n;
		offset += n;
		bytes -= n;
	}
}

/* The page, private and writable. */
static uint8_t *writable(struct pages *p, size_t i)
{
	struct page *old = p->page[i], *new;

	if (old && old != &zero_page && old->refs == 1)
		return old->bytes;
	new = pages_memory(NULL, sizeof(*new));
	new->refs = 1;
	if (old)
		memcpy(new->bytes, old->bytes, PAGE_BYTES);
	else
		memset(new->bytes, 0, PAGE_BYTES);
	p->used += !old;
	release(old);
	p->page[i] = new;
	return new->bytes;
}

static void make_hole(struct pages *p, size_t i)
{
	p->used -= p->page[i] != NULL;
	release(p->page[i]);
	p->page[i] = NULL;
}

/* Zeroes [offset, offset+bytes), giving up whole pages. */
static void clear(struct pages *p, uint64_t offset, uint64_t bytes)
{
	while (bytes) {
		const size_t n = piece(offset, bytes), i = offset / PAGE_BYTES;
		if (i >= p->n)
			return;
		if (n == PAGE_BYTES)
			make_hole(p, i);
		else if (p->page[i] && p->page[i] != &zero_page)
			memset(writable(p, i) + offset % PAGE_BYTES, 0, n);
		offset += n;
		bytes -= n;
	}
}

void pages_resize(struct pages *p, uint64_t bytes)
{
	const size_t n = (bytes + PAGE_BYTES - 1) / PAGE_BYTES;

	if (bytes < p->bytes)
		clear(p, bytes, (uint64_t)p->n * PAGE_BYTES - bytes);
	if (n > p->n) {
		p->page = pages_memory(p->page, n * sizeof(*p->page));
		memset(p->page + p->n, 0, (n - p->n) * sizeof(*p->page));
	}
	p->n = n;
	p->bytes = bytes;
}

static void reach(struct pages *p, uint64_t end)
{
	if (end > p->bytes)
		pages_resize(p, end);
}

void pages_write(struct pages *p, uint64_t offset, const void *buf, size_t bytes)
{
	reach(p, offset + bytes);
	for (const uint8_t *from = buf; bytes;) {
		const size_t n = piece(offset, bytes), i = offset / PAGE_BYTES;
		const size_t at = offset % PAGE_BYTES;
		if (n == PAGE_BYTES && !memcmp(from, zero_page.bytes, n)) {
			make_hole(p, i);
			p->page[i] = &zero_page;
			p->used++;
		} else {
			memcpy(writable(p, i) + at, from, n);
		}
		from += n;
		offset += n;
		bytes -= n;
	}
}

void pages_allocate(struct pages *p, uint64_t offset, uint64_t bytes)
{
	if (!bytes)
		return;
	reach(p, offset + bytes);
	for (size_t i = offset / PAGE_BYTES; i <= (offset + bytes - 1) / PAGE_BYTES; i++)
		if (!p->page[i]) {
			p->page[i] = &zero_page;
			p->used++;
		}
}

void pages_punch(struct pages *p, uint64_t offset, uint64_t bytes)
{
	if (offset < p->bytes)
		clear(p, offset, bytes < p->bytes - offset ? bytes : p->bytes - offset);
}

size_t pages_missing(const struct pages *p, uint64_t offset, uint64_t bytes)
{
	size_t missing = 0;

	if (bytes)
		for (size_t i = offset / PAGE_BYTES; i <= (offset + bytes - 1) / PAGE_BYTES; i++)
			missing += i >= p->n || !p->page[i];
	return missing;
}
