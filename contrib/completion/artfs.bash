# bash completion for artfs, mkfs.artfs, fsck.artfs, mount.artfs; source it, or install it as
# /usr/share/bash-completion/completions/artfs

_artfs_options() {
	local word=${1##*,} before=
	[[ $1 == *,* ]] && before=${1%,*},
	# shellcheck disable=SC2207
	COMPREPLY=($(compgen -P "$before" -W 'ro cache= commit= checkpoint= threads= io=auto io=uring io=posix
		single_user allow_other auto_unmount fsname= nosuid nodev noexec sync dirsync noatime' -- "$word"))
	[[ ${COMPREPLY[0]} == *= ]] && compopt -o nospace
}

_artfs() {
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]} command=${COMP_WORDS[1]} words=
	COMPREPLY=()
	case ${COMP_WORDS[0]##*/} in
	mkfs.artfs) command=mkfs ;;
	fsck.artfs) command=fsck ;;
	mount.artfs) command=mount ;;
	*) [[ $COMP_CWORD -eq 1 ]] && words='mkfs mount fsck stat help version' ;;
	esac
	if [[ $prev == -o ]]; then
		_artfs_options "$cur"
		return
	fi
	if [[ $cur == -* ]]; then
		case $command in
		mkfs) words='--frame-size= --size= --segment-size=' ; compopt -o nospace ;;
		mount) words='-f -o' ;;
		stat) words='--json' ;;
		fsck) words='-n -f -a -p -y' ;;
		esac
	fi
	# shellcheck disable=SC2207
	[[ -n $words ]] && COMPREPLY=($(compgen -W "$words" -- "$cur"))
	if [[ $cur != -* ]]; then
		compopt -o filenames
		# shellcheck disable=SC2207
		COMPREPLY+=($(compgen -d -- "$cur"))
	fi
}
complete -F _artfs artfs mkfs.artfs fsck.artfs mount.artfs
