#!/bin/sh
# export.sh DIR: write the commits of build/linux as DIR/patches/6.12 and DIR/tools.  New files go
# whole to tools/, and only hunks for files of the base stay in the patches.
set -eu
cd "$(dirname "$0")/.."
. scripts/lib.sh

out=$(realpath -m "$1")
rm -rf "$out"
mkdir -p "$out/$patches" "$out/tools"
: >"$out/$patches/series"

tree_git merge-base --is-ancestor base HEAD || die "build/linux is not on top of base"
[ ! "$(tree_git rev-list --merges base..HEAD)" ] || die "build/linux has a merge in it"

paths() { # COMMIT DIFF-FILTER
	tree_git diff-tree -r --no-commit-id --no-renames --name-only --diff-filter="$2" "$1"
}

n=0
for commit in $(tree_git rev-list --reverse base..HEAD); do
	n=$((n + 1))
	subject=$(tree_git log -1 --format=%s "$commit")

	new=$(paths "$commit" A | tr '\n' ' ')
	new=${new% }
	for file in $(paths "$commit" a); do
		tree_git cat-file -e "base:$file" 2>/dev/null ||
			die "\"$subject\" changes $file of an earlier commit:" \
				"a new module comes whole in one commit"
	done

	# The same commit without its new files.
	export GIT_INDEX_FILE="$out/index"
	tree_git read-tree "$commit"
	# shellcheck disable=SC2086 # words on purpose, here and below
	tree_git update-index --force-remove -- $new
	tree=$(tree_git write-tree)
	unset GIT_INDEX_FILE
	edits=$(tree_git cat-file commit "$commit" | sed "1s/.*/tree $tree/" |
		tree_git hash-object -t commit -w --stdin)

	patch=$(tree_git format-patch -1 --start-number "$n" -N --zero-commit --no-signature --no-stat \
		--no-renames --abbrev=12 --always -o "$out/$patches" "$edits")
	if [ "$new" ]; then
		# shellcheck disable=SC2086
		tree_git archive "$commit" -- $new | tar -x -m --no-same-permissions -C "$out"
		echo "${patch##*/}  # $new"
	else
		echo "${patch##*/}"
	fi >>"$out/$patches/series"
done
rm -f "$out/index"
