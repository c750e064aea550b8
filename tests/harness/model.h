/*
 * model.h - the dictionary as dumb as it can be: a sorted array of pairs.
 *
 * What art/ is compared with. No tree, no cache, no disk: each function says in a few lines what
 * the contract in art.h means. Copies share their pairs, so that the state after every operation of
 * a run can be kept.
 *
 * Within one transaction, guards and the errors of moves are taken from the state before it.
 */
#ifndef TESTS_HARNESS_MODEL_H
#define TESTS_HARNESS_MODEL_H

#include <stdbool.h>
#include <stddef.h>

#include "art/art.h"

struct model;

struct model *model_new(void);
struct model *model_clone(const struct model *m);
void model_free(struct model *m);
bool model_same(const struct model *a, const struct model *b);

/* Applies all or nothing: 0, or the error that art_commit() is to return. */
int model_commit(struct model *m, const struct art_op *ops, unsigned n);

size_t model_keys(const struct model *m);
struct art_bytes model_key(const struct model *m, size_t i); /* in order */
struct art_bytes model_value(const struct model *m, size_t i);
/* False if it is not there; `value` may be NULL. */
bool model_get(const struct model *m, struct art_bytes key, struct art_bytes *value);
bool model_longest(const struct model *m, struct art_bytes key, size_t *matched);
/* How many keys begin with it. */
size_t model_below(const struct model *m, struct art_bytes prefix);

/* The entry behind `after` (NULL: the first) of a walk as art_cursor makes it; false at the end. */
bool model_next(const struct model *m, struct art_bytes prefix, int delimiter,
        const struct art_bytes *after, struct art_entry *out);

bool model_begins(struct art_bytes whole, struct art_bytes with);
int model_order(struct art_bytes a, struct art_bytes b);

#endif
