#!/usr/bin/env bash
# real_trees.sh - rsync, tar and git with real trees: what comes back is what went in.
. "$(dirname "$0")/lib.sh"

rsync_in_and_back() {
	mkfs; up
	mkdir "$M/include" "$M/doc"
	rsync -aH /usr/include/ "$M/include/"
	rsync -aH /usr/share/doc/ "$M/doc/"
	remount
	for p in "/usr/include $M/include" "/usr/share/doc $M/doc"; do
		read -r a b <<<"$p"
		rsync -aHnc --delete --itemize-changes "$a/" "$b/" >"$T/out"; [ ! -s "$T/out" ] || { head "$T/out"; fail "$a differs"; }
		rsync -aHnc --delete --itemize-changes "$b/" "$a/" >"$T/out"; [ ! -s "$T/out" ] || { head "$T/out"; fail "$b differs"; }
	done
	mv "$M/include" "$M/doc/moved"
	diff -r --no-dereference /usr/include "$M/doc/moved"
	down; clean; up
	rm -rf "$M/doc"; [ -z "$(ls -A "$M")" ]
	down; clean
}
tar_in_and_out() {
	mkfs; up
	tar -C /usr/include -cf "$T/a.tar" .
	mkdir "$M/x"; tar -C "$M/x" -xpf "$T/a.tar"; cp "$T/a.tar" "$M/a.tar"
	remount
	tar -C "$M/x" -df "$T/a.tar"
	cmp "$M/a.tar" "$T/a.tar"
	tar -C "$M/x" -cf - . | tar -C /usr/include -df -
	down; clean
}
git_works() {
	mkfs; up
	export HOME=$T GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b
	git init -q "$T/repo"; cp -r /usr/include/linux "$T/repo/"; git -C "$T/repo" add .; git -C "$T/repo" commit -qm one
	mv "$T/repo/linux" "$T/repo/moved"; git -C "$T/repo" add -A; git -C "$T/repo" commit -qm two
	git clone -q --no-local "$T/repo" "$M/clone"
	remount
	git -C "$M/clone" fsck --full --strict >"$T/out" 2>&1; [ -z "$(grep -v '^notice' "$T/out")" ]
	[ -z "$(git -C "$M/clone" status --porcelain)" ]
	echo change >"$M/clone/new"; git -C "$M/clone" add new; git -C "$M/clone" commit -qm three
	git -C "$M/clone" checkout -q HEAD~2; [ -d "$M/clone/linux" ]
	git -C "$M/clone" gc -q --prune=now
	git -C "$M/clone" checkout -q -; git -C "$M/clone" fsck --full >/dev/null 2>&1
	[ -z "$(git -C "$M/clone" status --porcelain)" ]
	down; clean
}
for f in rsync_in_and_back tar_in_and_out git_works; do t $f; done
finish
