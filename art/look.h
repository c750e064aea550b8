/*
 * look.h - reading frames without a lock.
 *
 * A look goes from frame to frame. Of each it takes the version before it reads, and at the end it asks of
 * each whether the version is still the same. If so, all that it read was true at one moment. A transaction
 * makes the versions of its frames odd from its first change to its last, so looks see whole transactions; a
 * graft changes the frames at its two ends, so who was below one of them on the way notices too, and never
 * sees a value under a name that it did not have.
 *
 * Bytes that may be changing bound nothing: each step of a walk consumes a byte of the key, lengths are
 * compared before use, and the farthest that a wrong ref can point stays within STORE_VIEW_BEYOND.
 *
 * A frame that is not in memory is read and stays pinned until the look ends, so a look always gets on; no
 * lock is held while the disk is waited for.
 *
 * Whoever cannot be sure after LOOK_TRIES looks with commit_lock held (`locked`): then nothing changes, and
 * frames are pinned one at a time.
 */
#ifndef ART_LOOK_H
#define ART_LOOK_H

#include "art/tree.h"

enum { LOOK_FRAMES_MAX = 64, LOOK_TRIES = 3 };
enum { UNSURE = 1 }; /* try again, or with the lock; never an errno */

struct look {
	struct art *a;
	bool locked;
	unsigned views, pins;
	struct store_view view[LOOK_FRAMES_MAX];
	struct frame *pin[LOOK_FRAMES_MAX]; /* read from disk for this look */
};

/* A frame as a look holds it: its bytes, and when locked the pin that keeps them. */
struct seen {
	void *m;
	struct frame *pin;
};

void look_begin(struct look *k, struct art *a, bool locked);
/* Goes to a frame. 0, UNSURE, or -errno: -EUCLEAN if there is no such frame. */
int look_enter(struct look *k, uint64_t id, uint8_t entry, struct seen *out);
void look_leave(struct look *k, struct seen *s); /* when it is not needed any more */
bool look_valid(const struct look *k);           /* all that was read so far is true */
void look_end(struct look *k);                   /* lets go of the pins; the views stay */

/* The races of a look are real, and what they bring is thrown away; so the thread sanitizer is asked not to
 * watch these reads. Everything else stays watched. */
#ifdef __SANITIZE_THREAD__
void AnnotateIgnoreReadsBegin(const char *file, int line);
void AnnotateIgnoreReadsEnd(const char *file, int line);
#else
#define AnnotateIgnoreReadsBegin(file, line) ((void)0)
#define AnnotateIgnoreReadsEnd(file, line)   ((void)0)
#endif

#endif
