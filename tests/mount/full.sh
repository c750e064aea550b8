#!/usr/bin/env bash
# full.sh - out of space: ENOSPC and nothing else; reading and deleting go on; writing works again after (W5).
. "$(dirname "$0")/lib.sh"

full_disk_says_so_and_recovers() {
	mkfs --size=32M; up -o checkpoint=4M
	echo precious >"$M/precious"; sync "$M/precious"
	for _ in 1 2 3; do
		# the write may be refused, or the fsync: data may wait in a buffer
		{ ! dd if=/dev/urandom of="$M/big" bs=1M count=200 conv=fsync 2>"$T/err" || fail "200 MB fit into 32"; }
		grep -qi "no space left" "$T/err" || { cat "$T/err"; fail "another error than ENOSPC"; }
		[ "$(cat "$M/precious")" = precious ]
		ls -l "$M" >/dev/null
		rm "$M/big"
		sync "$M"
		head -c 4M /dev/urandom | tee "$M/small" | md5sum >"$T/sum"; sync "$M/small"
		md5sum <"$M/small" | cmp - "$T/sum"
	done
	remount
	[ "$(cat "$M/precious")" = precious ]; md5sum <"$M/small" | cmp - "$T/sum"
	down; clean
}
full_of_small_files_can_be_emptied() {
	mkfs --size=16M; up -o checkpoint=2M
	python3 - "$M" <<'PY'
import errno, os, sys
m = sys.argv[1]
os.mkdir(m + '/d')
n, refused = 0, None
while n < 200000:
    try:
        with open(f'{m}/d/{n}', 'w') as f: f.write('x' * 700)
    except OSError as e:
        refused = e.errno; break
    n += 1
assert refused == errno.ENOSPC, (refused, n)
kept = [f for f in range(n) if open(f'{m}/d/{f}').read() == 'x' * 700]
assert len(kept) == n
for f in os.listdir(m + '/d'): os.unlink(f'{m}/d/{f}')
os.rmdir(m + '/d')
fd = os.open(m, os.O_RDONLY); os.fsync(fd)
for f in range(1000):
    with open(f'{m}/{f}', 'w') as g: g.write('y' * 700)
PY
	[ "$(ls "$M" | wc -l)" = 1000 ]
	down; clean; up; [ "$(ls "$M" | wc -l)" = 1000 ]
}
df_shows_the_limit() {
	mkfs --size=64M; up
	all=$(stat -f -c '%b*%S' "$M"); [ $((all)) -le $((64 << 20)) ]; [ $((all)) -ge $((60 << 20)) ]
}

for f in full_disk_says_so_and_recovers full_of_small_files_can_be_emptied df_shows_the_limit; do t $f; done
finish
