#!/usr/bin/env bash
# files.sh - what people do with files, on a mount, and again after a remount.
. "$(dirname "$0")/lib.sh"

echo_cat_ls_mv_rm() {
	echo one >"$M/a"; [ "$(cat "$M/a")" = one ]
	echo two >>"$M/a"; [ "$(cat "$M/a")" = $'one\ntwo' ]
	echo three >"$M/a"; [ "$(cat "$M/a")" = three ]
	mkdir "$M/d"; mv "$M/a" "$M/d/b"
	[ "$(ls "$M")" = d ]; [ "$(ls "$M/d")" = b ]
	! cat "$M/a" 2>/dev/null || fail "the old name is there"
	remount
	[ "$(cat "$M/d/b")" = three ]
	rm "$M/d/b"; rmdir "$M/d"; [ -z "$(ls -A "$M")" ]
}
truncate_both_ways() {
	seq 100000 >"$M/f"; cp "$M/f" "$T/f"
	for n in 300000 5 0 7 400000 131072 65536 65537; do
		truncate -s $n "$M/f" "$T/f"; cmp "$M/f" "$T/f"; echo tail >>"$M/f"; echo tail >>"$T/f"; cmp "$M/f" "$T/f"
	done
	: >"$M/f"; [ ! -s "$M/f" ] || fail "O_TRUNC was lost"
	cp "$T/f" "$M/f"; remount; cmp "$M/f" "$T/f"
}
symlinks() {
	ln -s /nowhere/at/all "$M/s"; [ "$(readlink "$M/s")" = /nowhere/at/all ]
	long=$(printf 'x%.0s' $(seq 4000)); ln -s "$long" "$M/long"
	echo data >"$M/f"; ln -s f "$M/t"; [ "$(cat "$M/t")" = data ]
	remount
	[ "$(readlink "$M/s")" = /nowhere/at/all ]; [ "$(readlink "$M/long")" = "$long" ]; [ "$(cat "$M/t")" = data ]
}
hard_links_share_one_inode() {
	echo data >"$M/a"; mkdir "$M/d"; ln "$M/a" "$M/d/b"
	[ "$(stat -c '%i %h' "$M/a")" = "$(stat -c '%i %h' "$M/d/b")" ]; [ "$(stat -c %h "$M/a")" = 2 ]
	echo more >>"$M/d/b"; [ "$(cat "$M/a")" = $'data\nmore' ]
	i=$(stat -c %i "$M/a"); remount
	[ "$(stat -c '%i %h' "$M/d/b")" = "$i 2" ]
	rm "$M/a"; [ "$(stat -c '%i %h' "$M/d/b")" = "$i 1" ]; [ "$(cat "$M/d/b")" = $'data\nmore' ]
	remount; [ "$(stat -c '%i %h' "$M/d/b")" = "$i 1" ]
}
rename_of_a_directory_moves_what_is_below() {
	cp -r /usr/include/linux "$M/a"; mkdir "$M/x"
	exec 7<"$M/a/fuse.h"
	mv "$M/a" "$M/x/b"
	diff -r /usr/include/linux "$M/x/b"; [ ! -e "$M/a" ]
	cmp - /usr/include/linux/fuse.h <&7; exec 7<&-
	! mv "$M/x" "$M/x/b/c" 2>/dev/null || fail "a directory was moved into itself"
	remount; diff -r /usr/include/linux "$M/x/b"
}
rename_replaces_and_exchanges() {
	echo a >"$M/a"; echo b >"$M/b"; mv "$M/a" "$M/b"; [ "$(cat "$M/b")" = a ]; [ "$(ls "$M")" = b ]
	mkdir "$M/d"; echo c >"$M/d/c"
	python3 - "$M" <<'PY'
import ctypes, os, sys, errno
libc = ctypes.CDLL(None, use_errno=True)
m = sys.argv[1]
def renameat2(a, b, flags):
    if libc.renameat2(-100, (m + a).encode(), -100, (m + b).encode(), flags):
        return ctypes.get_errno()
    return 0
assert renameat2('/b', '/d', 1) == errno.EEXIST
assert renameat2('/b', '/d', 2) == 0
assert open(m + '/d').read() == 'a\n' and open(m + '/b/c').read() == 'c\n'
PY
	remount; [ "$(cat "$M/d")" = a ]; [ "$(cat "$M/b/c")" = c ]
}
modes_owners_and_times_stay() {
	touch -d '2001-02-03 04:05:06.123456789' "$M/f"; chmod 4751 "$M/f"
	mkdir -m 1777 "$M/d"; mkfifo -m 600 "$M/p"
	if [ "$(id -u)" = 0 ]; then chown 12:34 "$M/d"; mknod "$M/c" c 1 3; fi
	st() { (cd "$M" && stat -c '%n %a %u %g %F %t %T %y %i' *); }
	st >"$T/before"; grep -q '2001-02-03 04:05:06.123456789' "$T/before"
	remount; st | cmp - "$T/before"
}
setuid_goes_when_somebody_else_writes() {
	[ "$(id -u)" = 0 ] || return 0
	down; up -o allow_other
	chmod 755 "$T"
	echo x >"$M/f"; chmod 6777 "$M/f"
	setpriv --reuid=65534 --regid=65534 --clear-groups bash -c 'echo y >>"$0"' "$M/f"
	[ "$(stat -c %a "$M/f")" = 777 ]
	chmod 6777 "$M/f"; chown 65534 "$M/f"; [ "$(stat -c %a "$M/f")" = 777 ]
	echo z >"$M/g"; chmod 600 "$M/g"
	! setpriv --reuid=65534 --regid=65534 --clear-groups cat "$M/g" 2>/dev/null || fail "permissions are not checked"
}
sparse_file_of_10_gib() {
	truncate -s 10G "$M/f"; [ "$(stat -c %s "$M/f")" = 10737418240 ]
	echo end | dd of="$M/f" bs=1 seek=10737418236 conv=notrunc status=none
	echo mid | dd of="$M/f" bs=1 seek=5000000000 conv=notrunc status=none
	[ "$(stat -c %b "$M/f")" -lt 100000 ] || fail "not sparse"
	remount
	[ "$(stat -c %s "$M/f")" = 10737418240 ]; [ "$(tail -c 4 "$M/f")" = end ]
	[ "$(dd if="$M/f" bs=1 skip=5000000000 count=3 status=none)" = mid ]
	[ "$(dd if="$M/f" bs=1M skip=3000 count=1 status=none | tr -d '\0' | wc -c)" = 0 ]
	rm "$M/f"
}
dense_file_of_200_mb() {
	openssl enc -aes-128-ctr -K 0 -iv 0 </dev/zero 2>/dev/null | head -c 200000000 | tee "$M/f" | md5sum >"$T/sum"
	md5sum <"$M/f" | cmp - "$T/sum"
	remount
	md5sum <"$M/f" | cmp - "$T/sum"
	dd if=/dev/zero of="$M/f" bs=4096 seek=10000 count=3 conv=notrunc status=none
	[ "$(dd if="$M/f" bs=4096 skip=10000 count=3 status=none | tr -d '\0' | wc -c)" = 0 ]
	rm "$M/f"
}
mapped_writes_arrive() {
	python3 - "$M/f" <<'PY'
import mmap, sys
f = open(sys.argv[1], 'w+b'); f.truncate(100000)
m = mmap.mmap(f.fileno(), 100000); m[50000:50005] = b'hello'; m.flush(); m.close()
f.seek(50000); assert f.read(5) == b'hello'
PY
	remount
	[ "$(dd if="$M/f" bs=1 skip=50000 count=5 status=none)" = hello ]
}
unlinked_open_file_lives_until_it_is_closed() {
	seq 100000 >"$M/f"
	exec 7<>"$M/f"; rm "$M/f"; [ -z "$(ls -A "$M")" ]
	[ "$(head -n 1 <&7)" = 1 ]; echo more >&7
	[ "$(stat -L -c %h /proc/self/fd/7)" = 0 ]
	exec 7>&-
	remount; [ -z "$(ls -A "$M")" ]
	down; clean; up
}
unlinked_open_file_is_purged_after_a_crash() {
	seq 300000 >"$M/f"; exec 7<"$M/f"; rm "$M/f"; sync "$M"
	kill -9 "$(pid_of "$S")"; exec 7<&-; fusermount3 -u "$M"; up
	[ -z "$(ls -A "$M")" ]
	down; clean; up
}
many_small_files() {
	python3 - "$M" <<'PY'
import os, sys
m = sys.argv[1]
for d in range(50):
    os.mkdir(f'{m}/{d}')
    for f in range(200):
        with open(f'{m}/{d}/{f}', 'w') as h: h.write(f'{d}.{f}')
for d in range(0, 50, 2):
    for f in range(0, 200, 2): os.unlink(f'{m}/{d}/{f}')
PY
	remount
	python3 - "$M" <<'PY'
import os, sys
m = sys.argv[1]
for d in range(50):
    names = {str(f) for f in range(200) if d % 2 or f % 2}
    assert set(os.listdir(f'{m}/{d}')) == names
    for f in names: assert open(f'{m}/{d}/{f}').read() == f'{d}.{f}'
PY
	rm -r "${M:?}"/*; [ -z "$(ls -A "$M")" ]
}
removing_while_reading_a_large_directory() {
	mkdir "$M/d"; (cd "$M/d" && seq 5000 | xargs touch)
	for _ in 1 2 3; do ls "$M/d" >/dev/null & done
	rm -r "$M/d"; wait
	[ ! -e "$M/d" ]
}
names_of_all_kinds() {
	long=$(printf 'n%.0s' $(seq 255))
	for n in "$long" ' ' $'new\nline' $'\xff\xfe' 'a b' '*' $'\x01' 'ü'; do echo "$n" >"$M/$n"; done
	! touch "$M/${long}x" 2>/dev/null || fail "256 bytes were taken"
	remount
	for n in "$long" ' ' $'new\nline' $'\xff\xfe' 'a b' '*' $'\x01' 'ü'; do [ "$(cat "$M/$n")" = "$n" ]; done
	[ "$(find "$M" -type f -print0 | tr -dc '\0' | wc -c)" = 8 ]
}
deep_directories() {
	p=$M; for ((i = 0; i < 200; i++)); do p=$p/dddddddd; done
	mkdir -p "$p"; echo deep >"$p/f"; remount; [ "$(cat "$p/f")" = deep ]; rm -r "$M/dddddddd"
}
two_processes_write_beside_each_other() {
	w() { for i in $(seq 300); do echo "$1 $i" >"$M/$1.$i"; echo "$1 $i" >>"$M/log.$1"; done; }
	w a & w b & wait
	for x in a b; do
		[ "$(wc -l <"$M/log.$x")" = 300 ]
		for i in $(seq 300); do [ "$(cat "$M/$x.$i")" = "$x $i" ]; done
	done
}
mkdir_and_rename_race() {
	python3 - "$M" <<'PY'
import os, sys, threading, random
m = sys.argv[1]
made = [0] * 4
def run(k):
    r = random.Random(k)
    for i in range(500):
        a, b = f'{m}/{r.randrange(8)}', f'{m}/{r.randrange(8)}'
        op = r.randrange(4)
        try:
            if op == 0: os.mkdir(a)
            elif op == 1: os.rename(a, b)
            elif op == 2: os.rename(a, f'{b}/{k}')
            else: os.rmdir(a)
        except OSError: pass
ts = [threading.Thread(target=run, args=(k,)) for k in range(4)]
[t.start() for t in ts]; [t.join() for t in ts]
PY
	find "$M" | LC_ALL=C sort >"$T/before"
	find "$M" -type d -printf '%n %p\n' | sort >"$T/links"
	remount
	find "$M" | LC_ALL=C sort | cmp - "$T/before"
	find "$M" -type d -printf '%n %p\n' | sort | cmp - "$T/links"
}
link_and_unlink_race() {
	python3 - "$M" <<'PY'
import os, sys, threading, random
m = sys.argv[1]
open(f'{m}/0', 'w').write('x')
def run(k):
    r = random.Random(k)
    for i in range(500):
        a, b = f'{m}/{r.randrange(8)}', f'{m}/{r.randrange(8)}'
        try:
            if r.randrange(2): os.link(a, b)
            elif a != f'{m}/0': os.unlink(a)
        except OSError: pass
ts = [threading.Thread(target=run, args=(k,)) for k in range(4)]
[t.start() for t in ts]; [t.join() for t in ts]
n = len(os.listdir(m))
assert all(os.stat(f'{m}/{x}').st_nlink == n for x in os.listdir(m))
PY
	remount; n=$(ls "$M" | wc -l); [ "$(stat -c %h "$M/0")" = "$n" ]
}

# $what on a mount, and what it leaves is a clean store
both() { mkfs; up; "$what"; if mountpoint -q "$M"; then down; fi; clean; }
for what in echo_cat_ls_mv_rm truncate_both_ways symlinks hard_links_share_one_inode \
	rename_of_a_directory_moves_what_is_below rename_replaces_and_exchanges modes_owners_and_times_stay \
	setuid_goes_when_somebody_else_writes sparse_file_of_10_gib dense_file_of_200_mb mapped_writes_arrive \
	unlinked_open_file_lives_until_it_is_closed unlinked_open_file_is_purged_after_a_crash many_small_files \
	removing_while_reading_a_large_directory names_of_all_kinds deep_directories \
	two_processes_write_beside_each_other mkdir_and_rename_race link_and_unlink_race; do
	t $what both
done
finish
