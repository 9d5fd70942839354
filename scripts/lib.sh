# Sourced by the scripts, in the top directory: where things are, and how git is used.
# shellcheck shell=sh

linux=build/linux
patches=patches/6.12

# The caller's locale, time zone and git configuration (hooks, signing, options of diff) must not
# reach what we generate.
export LC_ALL=C TZ=UTC GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_NOSYSTEM=1
# shellcheck disable=SC2046 # words on purpose
unset $(git rev-parse --local-env-vars)
# git wants a committer; the scripts that keep commits set the author's name.
export GIT_COMMITTER_NAME=series GIT_COMMITTER_EMAIL=series@localhost

die() {
	echo "${0##*/}: $*" >&2
	exit 1
}

tree_git() {
	git -C "$linux" "$@"
}

# entries DIR: a line for each entry of DIR's series: the patch, then the new files of its commit.
entries() {
	[ ! -f "$1/$patches/series" ] || sed -e 's/^#.*//' -e 's/ # */ /' -e '/^ *$/d' "$1/$patches/series"
}

# The version of the package that the base was taken from.
base_version() {
	tree_git log -1 --format=%s base | sed 's/^[^ ]* \([^ ]*\): .*/\1/'
}

# A hash of all that `make tree` makes build/linux from.
sources_key() {
	{
		base_version
		files=$(find "$patches" tools -type f ! -name cover-letter ! -path '*/__pycache__/*' 2>/dev/null | sort)
		[ "$files" ] || return 0
		echo "$files" | xargs -d '\n' sha256sum
		echo "$files" | while IFS= read -r file; do [ ! -x "$file" ] || echo "$file"; done
	} | sha256sum
}

# What makes two chains of commits on top of base the same series.  The committer doesn't count.
content() {
	tree_git log --reverse --format='%T %an <%ae> %ad%n%B' "base..$1"
}

same_series() {
	[ "$(content "$1")" = "$(content "$2")" ]
}

# Whether build/linux has edits that are not committed.
dirty() {
	[ "$(tree_git status --porcelain | head -n 1)" ] ||
		[ -d "$linux/.git/rebase-merge" ] || [ -d "$linux/.git/rebase-apply" ]
}

# lay_series DIR: commit DIR's series on top of base, and print the last commit.
lay_series() {
	from=$(realpath "$1")
	work=$(realpath build)/lay
	rm -rf "$work"
	tree_git worktree prune
	tree_git worktree add -q --detach "$work" base
	entries "$from" | while read -r patch files; do
		git -C "$work" am -q --empty=keep --keep-non-patch --no-scissors \
			"$from/$patches/$patch" </dev/null >/dev/null ||
			die "$patches/$patch does not apply"
		for file in $files; do
			[ -f "$from/$file" ] || die "the series names $file, which is not there"
			mkdir -p "$work/$(dirname "$file")"
			cp "$from/$file" "$work/$file"
			git -C "$work" add -f "$file"
		done
		# The same bytes on any machine at any time.
		GIT_COMMITTER_NAME=$(git -C "$work" log -1 --format=%an) \
		GIT_COMMITTER_EMAIL=$(git -C "$work" log -1 --format=%ae) \
		GIT_COMMITTER_DATE=$(git -C "$work" log -1 --format=%ad --date=raw) \
			git -C "$work" commit -q --amend --no-edit --cleanup=verbatim --allow-empty
	done
	git -C "$work" rev-parse HEAD
	tree_git worktree remove --force "$work"
}
