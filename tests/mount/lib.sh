# shellcheck shell=bash disable=SC2120
# lib.sh - what the tests of the mount have in common; sourced, not run.
#
#   t NAME [RUN]  runs the shell function NAME, or RUN, in a subshell; prints "ok NAME" or "not ok NAME"
#   $T            a directory of this test, on a disk; whatever is mounted below it goes at the end
#   $S, $M        a store and a mount point for the test at hand, fresh for each t
#   up, down      mount $S on $M (options follow), unmount it and wait until the store is closed
#   want CODE cmd...   the command must exit with CODE; its output is left in $T/out and $T/err
#   said PATTERN  stderr of the last `want` is one line, begins with "artfs: " and matches
#
# A test function fails by `fail REASON`, or by any command that fails (set -e).

BUILD=$(realpath "${BUILD:-$(dirname "$0")/../../build/plain}") &&
	ARTFS=$(realpath -e "${ARTFS:-$BUILD/artfs}") || exit 1
T=$(mktemp -d "${TMPDIR:-/tmp}/artfs-test.XXXXXX") || exit 1
T=$(realpath "$T")
bad=0

mounts() { awk -v t="$T/" 'index($5, t) == 1 {print $5}' /proc/self/mountinfo; }

# The daemon closes the store after the mount is gone; the note in `lock` goes last.
closed() {
	local i
	for ((i = 0; i < 300; i++)); do
		[ -e "$1/lock" ] || return 0
		sleep 0.1
	done
	return 1
}

cleanup() {
	local m s
	cd /
	for m in $(mounts); do fusermount3 -u "$m" 2>/dev/null || fusermount3 -uz "$m" || umount -l "$m"; done
	for s in "$T"/s*; do
		[ -e "$s/lock" ] || continue
		closed "$s" || kill -9 "$(pid_of "$s")" 2>/dev/null
	done
	rm -rf "$T"
}
trap cleanup EXIT
trap 'exit 1' INT TERM HUP

fail() { echo "# $*"; exit 1; }
pid_of() { sed -n 's/^pid //p' "$1/lock"; }

n=0
t() {
	n=$((n + 1))
	S=$T/s$n M=$T/m$n
	mkdir "$M"
	# not "if (...)": that would switch off set -e inside
	(set -e; "${2:-$1}")
	if [ $? -eq 0 ]; then echo "ok $1"; else echo "not ok $1"; bad=1; fi
	if mountpoint -q "$M"; then fusermount3 -u "$M" || fusermount3 -uz "$M"; fi
	closed "$S" || echo "# $S was not closed"
	rm -rf "$S"
	rmdir "$M"
}
skip() { echo "ok $1 # SKIP $2"; }

mkfs() { "$ARTFS" mkfs "$@" "$S"; }
up() { "$ARTFS" mount "$@" "$S" "$M"; }
down() {
	fusermount3 -u "${1:-$M}"
	closed "${2:-$S}" || fail "the store was not closed after unmounting"
}
remount() { down; up; }
clean() { "$ARTFS" fsck "$S" >"$T/out" || { cat "$T/out"; fail "fsck is not content"; }; }

want() {
	local code=$1 rc=0
	shift
	"$@" >"$T/out" 2>"$T/err" || rc=$?
	[ $rc -eq "$code" ] || { cat "$T/err"; fail "exit code $rc, not $code: $*"; }
}
said() {
	[ "$(wc -l <"$T/err")" -eq 1 ] || { cat "$T/err"; fail "not one line on stderr"; }
	grep -q "^artfs: " "$T/err" || { cat "$T/err"; fail "does not begin with artfs:"; }
	grep -qE -- "$1" "$T/err" || { cat "$T/err"; fail "says nothing of: $1"; }
}
finish() { exit $bad; }
