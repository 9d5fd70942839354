#!/bin/sh
# Write build/series: what to mail, and a quilt series of the same patches.
set -eu
cd "$(dirname "$0")/.."
. scripts/lib.sh

out=$PWD/build/series
rm -rf "$out"
mkdir -p "$out"
set -- -N --zero-commit --no-signature --no-renames --abbrev=12 --always -o "$out"
if [ -f "$patches/cover-letter" ]; then
	# From and Date of the cover letter are the last patch's.
	GIT_COMMITTER_NAME=$(tree_git log -1 --format=%an series)
	GIT_COMMITTER_EMAIL=$(tree_git log -1 --format=%ae series)
	GIT_COMMITTER_DATE=$(tree_git log -1 --format=%ad --date=raw series)
	export GIT_COMMITTER_NAME GIT_COMMITTER_EMAIL GIT_COMMITTER_DATE
	tree_git -c "branch.series.description=$(cat "$patches/cover-letter")" format-patch "$@" \
		--cover-letter --cover-from-description=subject base..series
else
	tree_git format-patch "$@" base..series
fi >/dev/null
(cd "$out" && find . -name '*.patch' ! -name '0000-*' -printf '%f\n' | sort >series)
echo "build/series: $(wc -l <"$out/series") patches"
