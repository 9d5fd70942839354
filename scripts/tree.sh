#!/bin/sh
# Make build/linux what the base package, patches/ and tools/ say, or update it, leaving the files
# that stay the same untouched.  Work that is only in build/linux is never overwritten, unless
# FORCE=1: then edits go to git's stash and commits to its reflog.
set -eu
cd "$(dirname "$0")/.."
. scripts/lib.sh

package="linux-source-6.12"
tarball=/usr/src/$package.tar.xz

# perf's own list of what it needs, what checks patches, and what `make kernelversion` reads.
unpack() {
	export XZ_DEFAULTS=-T0
	tar -xf "$tarball" --occurrence=1 -O "$package/tools/perf/MANIFEST" >build/base.list
	cat >>build/base.list <<-EOF
		COPYING
		MAINTAINERS
		Makefile
		arch/*/Makefile
		scripts/Kbuild.include
		scripts/Makefile.compiler
		scripts/Makefile.extrawarn
		scripts/checkpatch.pl
		scripts/const_structs.checkpatch
		scripts/get_maintainer.pl
		scripts/spelling.txt
		scripts/subarch.include
	EOF
	sed "s,^,$package/," build/base.list |
		tar -xf "$tarball" -C "$1" --strip-components=1 \
			--anchored --wildcards --no-wildcards-match-slash -T -
}

# Commit the files of the package as `base`.
import_base() {
	echo "unpacking $package $version"
	rm -rf build/base build/base.index
	mkdir build/base
	unpack build/base
	export GIT_INDEX_FILE="$PWD/build/base.index"
	git --git-dir="$linux/.git" --work-tree=build/base add -A -f .
	date=$(stat -c %Y build/base/Makefile)
	commit=$(echo "$package $version: tools/perf and what it needs" |
		GIT_AUTHOR_NAME=series GIT_AUTHOR_EMAIL=series@localhost GIT_AUTHOR_DATE="@$date +0000" \
		GIT_COMMITTER_DATE="@$date +0000" \
		git --git-dir="$linux/.git" commit-tree "$(git --git-dir="$linux/.git" write-tree)")
	unset GIT_INDEX_FILE
	tree_git tag -f base "$commit" >/dev/null
	rm -rf build/base build/base.index build/base.list
}

mkdir -p build
version=$(dpkg-query -W -f '${Version}' "$package")
[ -d "$linux/.git" ] || git init -q -b aslr "$linux"
had_base=$(tree_git rev-parse -q --verify 'base^{commit}') || had_base=
if [ ! "$had_base" ] || [ "$(base_version)" != "$version" ]; then
	import_base
fi
base_version >build/base-version

key=$(sources_key)
had_head=$(tree_git rev-parse -q --verify HEAD) || had_head=
# What build/linux was last made as, told from what was done in it since.
had_series=$(tree_git rev-parse -q --verify refs/heads/series) || had_series=

local_work() {
	[ "$had_head" ] || return 1
	dirty && return 0
	# Commits count from the base they are on, which may have been the one before this.
	[ "$had_series" ] || return 0
	[ "$had_head" != "$had_series" ] && ! same_series "$had_head" "$had_series"
}

if [ "$had_head" ] && [ ! "${FORCE:-}" ] && [ "$key" = "$(cat "$linux/.git/series-key" 2>/dev/null)" ]; then
	! local_work || echo "build/linux has local work on top of the series: kept"
	exit 0
fi

new=$(lay_series .)

if [ "$had_head" ] && [ "${FORCE:-}" ]; then
	tree_git am --quit 2>/dev/null || tree_git rebase --quit 2>/dev/null || true
	! dirty || tree_git stash push -q -u -m 'before make tree FORCE=1'
fi
if [ ! "$had_head" ] || [ "${FORCE:-}" ]; then
	tree_git reset -q --hard "$new"
elif ! local_work; then
	tree_git reset -q --keep "$new"
elif same_series HEAD "$new" || tree_git merge-base --is-ancestor "$new" HEAD; then
	: # there already, with local work on top
else
	tree_git update-ref refs/heads/incoming "$new"
	die "build/linux has local work, and patches or tools changed.  To have both:" \
		"git -C build/linux rebase --onto incoming series.  To have one of them:" \
		"make tree FORCE=1, or make refresh FORCE=1"
fi
tree_git update-ref refs/heads/series "$new"
echo "$key" >"$linux/.git/series-key"
echo "build/linux: base $version and $(tree_git rev-list --count base..series) commits"
