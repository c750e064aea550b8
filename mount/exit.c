/*
 * exit.c - sentences and exit codes.
 */
#include "mount/exit.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

static const struct {
	int err;
	enum mnt_exit code;
} table[] = {
        {ENOENT, MNT_NOT_STORE},
        {ENOTDIR, MNT_NO_STORE},
        {EPROTONOSUPPORT, MNT_NEWER},
        {EWOULDBLOCK, MNT_IN_USE},
        {EUCLEAN, MNT_DAMAGED},
        {EBADMSG, MNT_DAMAGED},
        {EACCES, MNT_PERMISSION},
        {EPERM, MNT_PERMISSION},
        {ENOSPC, MNT_NO_SPACE},
        {EDQUOT, MNT_NO_SPACE},
        {EIO, MNT_IO},
        {ENOMEM, MNT_NO_MEMORY},
        {ENOTEMPTY, MNT_NOT_EMPTY},
        {EEXIST, MNT_NOT_EMPTY},
        {EROFS, MNT_READ_ONLY},
        {EINVAL, MNT_USAGE},
};

enum mnt_exit mnt_exit_of(int rc)
{
	if (rc == 0)
		return MNT_OK;
	for (unsigned i = 0; i < sizeof(table) / sizeof(*table); i++)
		if (table[i].err == -rc)
			return table[i].code;
	return MNT_ERROR;
}

int mnt_fail(int code, const char *fmt, ...)
{
	char text[1024];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	dprintf(STDERR_FILENO, "artfs: %s\n", text);
	return code;
}
