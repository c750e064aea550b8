/*
 * exit.h - how a command ends: one sentence on stderr, and one of these codes.
 *
 * Every code means one thing, so that a script can tell "in use, try later" from "damaged, call
 * somebody". The table in artfs(1) is this one. fsck has codes of its own, because fsck(8)
 * prescribes them.
 */
#ifndef MOUNT_EXIT_H
#define MOUNT_EXIT_H

enum mnt_exit {
	MNT_OK = 0,
	MNT_ERROR = 1,          /* anything that has no code of its own */
	MNT_USAGE = 2,          /* the command line */
	MNT_NO_STORE = 3,       /* no such directory */
	MNT_NOT_STORE = 4,      /* a directory, but no store */
	MNT_NEWER = 5,          /* made by a newer artfs */
	MNT_IN_USE = 6,         /* another process holds the store */
	MNT_DAMAGED = 7,        /* run artfs fsck */
	MNT_MOUNT_POINT = 8,    /* missing, no directory, or busy */
	MNT_NO_FUSE = 9,        /* no /dev/fuse */
	MNT_NO_FUSERMOUNT = 10, /* needed by everyone but root */
	MNT_PERMISSION = 11,
	MNT_NO_SPACE = 12,
	MNT_IO = 13, /* the disk */
	MNT_NO_MEMORY = 14,
	MNT_NOT_EMPTY = 15, /* mkfs: the directory holds something, perhaps a store */
	MNT_READ_ONLY = 16, /* only a read-only mount can use this store */
};

/* As fsck(8) defines them. */
enum mnt_fsck_exit {
	MNT_FSCK_CLEAN = 0,
	MNT_FSCK_ERRORS_LEFT = 4,
	MNT_FSCK_OPERATIONAL = 8,
	MNT_FSCK_USAGE = 16,
};

/* The code for an error (-errno) of the rooms below. */
enum mnt_exit mnt_exit_of(int rc);

/* Prints "artfs: ", the sentence and a newline on stderr in one write, and returns `code`. */
__attribute__((format(printf, 2, 3))) int mnt_fail(int code, const char *fmt, ...);

#endif
