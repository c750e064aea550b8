#!/usr/bin/env bash
# lint.sh - what a machine can check of the house rules: formatting, who may include what, every header
# compiles alone, only mount/ knows FUSE, only store/io*.c does I/O.
cd "$(dirname "$0")/.." || exit 1
rc=0
ok() { echo "ok $1"; }
bad() { echo "not ok $1"; rc=1; }

# room: the headers of other rooms that it may include (shell patterns)
allowed() {
	case $1 in
	store) echo 'store/*' ;;
	wal) echo 'wal/* store/io.h store/le.h store/why.h' ;;
	art) echo 'art/* wal/wal.h store/store.h store/io.h store/le.h store/why.h' ;;
	fs) echo 'fs/* art/art.h store/le.h store/why.h' ;;
	mount) echo 'mount/* fs/fs.h art/art.h store/io.h store/why.h' ;;
	esac
}
found=
for room in store wal art fs mount; do
	set -f; patterns=$(allowed $room); set +f
	for f in "$room"/*.[ch]; do
		for inc in $(sed -nE 's/^#include "([^"]+)".*/\1/p' "$f"); do
			good=
			set -f
			for p in $patterns; do
				# shellcheck disable=SC2254
				case $inc in $p) good=1 ;; esac
			done
			set +f
			[ -n "$good" ] || found="$found $f:$inc"
		done
	done
done
if [ -z "$found" ]; then ok rooms_include_only_what_is_below_them; else echo "# $found"; bad rooms_include_only_what_is_below_them; fi

found=$(grep -lE '#include <fuse' store/*.[ch] wal/*.[ch] art/*.[ch] fs/*.[ch])
[ -z "$found" ] && ok only_mount_knows_fuse || { echo "# $found"; bad only_mount_knows_fuse; }

found=$(grep -nE '\b(pread|pwrite|preadv|pwritev|fsync|fdatasync|fallocate)\(' store/*.c wal/*.c art/*.c fs/*.c |
	grep -vE '^store/io(_posix|_uring)?\.c:' | grep -vE ':\s*(/?\*|//)')
[ -z "$found" ] && ok only_the_io_layer_does_io || { echo "# $found"; bad only_the_io_layer_does_io; }

found=
for h in store/*.h wal/*.h art/*.h fs/*.h; do
	gcc -std=gnu11 -D_GNU_SOURCE -Wall -Wextra -Werror -I. -fsyntax-only -x c "$h" 2>/dev/null || found="$found $h"
done
for h in mount/*.h; do
	[ -e "$h" ] || continue
	# shellcheck disable=SC2046
	gcc -std=gnu11 -D_GNU_SOURCE -Wall -Wextra -Werror -I. $(pkg-config --cflags fuse3) -fsyntax-only -x c "$h" 2>/dev/null || found="$found $h"
done
[ -z "$found" ] && ok every_header_compiles_alone || { echo "# $found"; bad every_header_compiles_alone; }

if command -v clang-format >/dev/null; then
	found=$(clang-format --dry-run -Werror $(git ls-files '*.c' '*.h') 2>&1 | grep -oE '^[^:]+\.[ch]' | sort -u | tr '\n' ' ')
	[ -z "$found" ] && ok sources_are_formatted || { echo "# $found"; bad sources_are_formatted; }
fi
exit $rc
