#!/usr/bin/env bash
# try.sh - what artfs does, on a store that is made for it and goes with it. ARTFS=path/to/artfs, or from PATH.
set -eu
artfs=${ARTFS:-artfs}
here=$(mktemp -d "${TMPDIR:-/tmp}/artfs-try.XXXXXX")
cd "$here"

clean_up() {
	cd /
	if mountpoint -q "$here/mnt"; then fusermount3 -uz "$here/mnt"; fi
	for _ in $(seq 100); do [ -e "$here/store/lock" ] || break; sleep 0.1; done
	rm -rf "$here"
}
trap clean_up EXIT
trap 'exit 1' INT TERM HUP

run() {
	echo
	echo "\$ $1"
	(PATH="$(dirname "$artfs"):$PATH"; eval "$1")
}

echo "In $here:"
run "artfs mkfs store"
run "mkdir mnt && artfs store mnt"
run "echo 'hello, tree' > mnt/greeting"
run "cat mnt/greeting"
run "cp -r /usr/share/doc mnt/docs && find mnt/docs | wc -l"
run "time mv mnt/docs mnt/moved"
run "ls -l mnt"
run "sync mnt/moved"
run "df -h mnt"
run "fusermount3 -u mnt"
run "artfs stat store | head -n 12"
run "artfs fsck store"
run "artfs store mnt && cat mnt/greeting && find mnt/moved | wc -l"
run "fusermount3 -u mnt"
