#!/usr/bin/env bash
# words.sh - a dictionary as a dictionary: one file per word, in one directory.
. "$(dirname "$0")/lib.sh"

# American words, as many as are installed, without those that no file can be called.
words() { cat /usr/share/dict/american-english /usr/share/dict/american-english-huge 2>/dev/null | grep -v / | LC_ALL=C sort -u; }

every_word_is_a_file() {
	words >"$T/words"; [ -s "$T/words" ] || { echo "# no word list is installed"; return 0; }
	mkfs; up
	python3 - "$M" "$T/words" <<'PY'
import os, random, sys
m, words = sys.argv[1], open(sys.argv[2], 'rb').read().split(b'\n')[:-1]
random.shuffle(words)
os.chdir(m)
for w in words:
    fd = os.open(w, os.O_CREAT | os.O_WRONLY | os.O_EXCL, 0o644)
    os.write(fd, w)
    os.close(fd)
PY
	remount
	LC_ALL=C ls -U "$M" >"$T/listed"
	LC_ALL=C sort -c "$T/listed" || fail "readdir is not in the order of bytes"
	cmp "$T/words" "$T/listed"
	LC_ALL=C ls -f -l --time-style=+ "$M" | wc -l | grep -qx "$(($(wc -l <"$T/words") + 3))"
	python3 - "$M" "$T/words" <<'PY'
import errno, os, sys
m, words = sys.argv[1], open(sys.argv[2], 'rb').read().split(b'\n')[:-1]
os.chdir(m)
have = set(words)
for w in words:
    assert os.stat(w).st_size == len(w), w
for w in words[::10]:
    assert open(w, 'rb').read() == w
for k, w in enumerate(words):
    n = (w + b'~', w[:-1], w[1:], w[::-1])[k % 4]
    if n and n not in have:
        try: os.stat(n)
        except FileNotFoundError: continue
        raise AssertionError(n)
PY
	down; clean; up
	find "$M" -mindepth 1 -delete
	[ -z "$(ls -A "$M")" ]
	down; clean
}
t every_word_is_a_file
finish
