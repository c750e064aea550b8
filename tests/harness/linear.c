/*
 * linear.c - see linear.h.
 *
 * Pieces cannot simply be judged one after another with one state: a piece may end in several
 * states (two puts side by side), and only one of them may suit what follows. So each piece yields
 * all states in which it can end, and the next one begins with any of them.
 */
#include "tests/harness/linear.h"

#include <stdlib.h>
#include <string.h>

#include "tests/harness/pages.h"

struct configuration {
	uint64_t placed; /* bit i: call i of the piece */
	uint32_t state;
	bool used;
};

/* An open hash table of what was tried. */
struct tried {
	struct configuration *slot;
	size_t slots, n;
};

struct states {
	uint32_t *state;
	size_t n;
};

static struct configuration *find(const struct tried *t, uint64_t placed, uint32_t state)
{
	uint64_t h = (placed ^ (uint64_t)state << 32 ^ state) * 0x9e3779b97f4a7c15u;
	size_t at = (size_t)(h ^ h >> 29) & (t->slots - 1);

	while (t->slot[at].used && (t->slot[at].placed != placed || t->slot[at].state != state))
		at = (at + 1) & (t->slots - 1);
	return &t->slot[at];
}

static struct tried tried_of(size_t slots)
{
	struct tried t = {pages_memory(NULL, slots * sizeof(*t.slot)), slots, 0};

	memset(t.slot, 0, slots * sizeof(*t.slot));
	return t;
}

static void grow(struct tried *t)
{
	struct tried larger = tried_of(2 * t->slots);

	for (size_t i = 0; i < t->slots; i++)
		if (t->slot[i].used)
			*find(&larger, t->slot[i].placed, t->slot[i].state) = t->slot[i];
	larger.n = t->n;
	free(t->slot);
	*t = larger;
}

/* False if it was there. */
static bool add(struct tried *t, uint64_t placed, uint32_t state)
{
	if (2 * t->n >= t->slots)
		grow(t);
	struct configuration *c = find(t, placed, state);
	if (c->used)
		return false;
	*c = (struct configuration){placed, state, true};
	t->n++;
	return true;
}

/* The call happens in this state: is its answer right, and what is the state then? */
static bool happens(const struct linear_call *c, uint32_t state, uint32_t *then)
{
	bool writes = true;

	switch (c->type) {
	case LINEAR_GET:
		*then = state;
		return c->value == state;
	case LINEAR_REMOVE:
		*then = LINEAR_NONE;
		return true;
	case LINEAR_CREATE:
		writes = state == LINEAR_NONE;
		break;
	case LINEAR_SWAP:
		writes = state == c->expect;
		break;
	case LINEAR_PUT:
		break;
	}
	*then = writes ? c->value : state;
	return c->type == LINEAR_PUT || writes == c->done;
}

static void search(const struct linear_call *calls, size_t n, uint64_t placed, uint32_t state,
        struct tried *tried)
{
	uint64_t first_end = UINT64_MAX;
	uint32_t then;

	if (!add(tried, placed, state))
		return;
	for (size_t i = 0; i < n; i++)
		if (!(placed >> i & 1) && calls[i].end < first_end)
			first_end = calls[i].end;
	for (size_t i = 0; i < n && calls[i].begin < first_end; i++)
		if (!(placed >> i & 1) && happens(&calls[i], state, &then))
			search(calls, n, placed | UINT64_C(1) << i, then, tried);
}

/* All states in which the piece can end, given those in which it can begin. */
static struct states run_piece(const struct linear_call *calls, size_t n, struct states begin)
{
	const uint64_t all = n == 64 ? UINT64_MAX : (UINT64_C(1) << n) - 1;
	struct tried tried = tried_of(64);
	struct states end;

	for (size_t i = 0; i < begin.n; i++)
		search(calls, n, 0, begin.state[i], &tried);
	end = (struct states){pages_memory(NULL, (tried.n + 1) * sizeof(*end.state)), 0};
	for (size_t i = 0; i < tried.slots; i++)
		if (tried.slot[i].used && tried.slot[i].placed == all)
			end.state[end.n++] = tried.slot[i].state;
	free(tried.slot);
	return end;
}

static int by_begin(const void *a, const void *b)
{
	const struct linear_call *x = a, *y = b;
	return (x->begin > y->begin) - (x->begin < y->begin);
}

enum linear_answer linear_check(struct linear_call *calls, size_t n)
{
	struct states now = {pages_memory(NULL, sizeof(*now.state)), 1};
	enum linear_answer answer = LINEAR_YES;

	now.state[0] = LINEAR_NONE;
	if (n)
		qsort(calls, n, sizeof(*calls), by_begin);
	for (size_t i = 0, next; i < n && answer == LINEAR_YES; i = next) {
		uint64_t last_end = calls[i].end;
		for (next = i + 1; next < n && calls[next].begin < last_end; next++)
			if (calls[next].end > last_end)
				last_end = calls[next].end;
		if (next - i > LINEAR_CALLS_MAX) {
			answer = LINEAR_UNDECIDED;
			break;
		}
		struct states end = run_piece(calls + i, next - i, now);
		free(now.state);
		now = end;
		if (!now.n)
			answer = LINEAR_NO;
	}
	free(now.state);
	return answer;
}
