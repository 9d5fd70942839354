#!/bin/sh
# Bring the commits of build/linux back to patches/6.12 and tools.
set -eu
cd "$(dirname "$0")/.."
. scripts/lib.sh

[ -d "$linux/.git" ] || die "there is no build/linux: 'make tree' first"
! dirty || die "build/linux has edits that are not committed"
if [ ! "${FORCE:-}" ] && [ "$(sources_key)" != "$(cat "$linux/.git/series-key" 2>/dev/null)" ]; then
	die "patches or tools changed since the last 'make tree': 'make tree' first," \
		"or overwrite them with 'make refresh FORCE=1'"
fi

scripts/export.sh build/refresh
# A commit message can hold what git am would take for a patch.
new=$(lay_series build/refresh)
same_series HEAD "$new" ||
	die "the exported series does not give the commits of build/linux: see build/refresh"

names() { # DIR: the files of its series
	entries "$1" | while read -r patch files; do
		# shellcheck disable=SC2086 # words on purpose
		printf '%s\n' "$patches/$patch" $files
	done
}

same_file() { # both or neither executable
	cmp -s "$1" "$2" && [ "$(find "$1" "$2" -perm -u+x | wc -l)" != 1 ]
}

# A file that waits in tools for its commit may be newer than what was committed.
names . >build/refresh/had
for file in $(names build/refresh); do
	[ "${FORCE:-}" ] || [ ! -e "$file" ] || grep -qxF "$file" build/refresh/had ||
		same_file "build/refresh/$file" "$file" ||
		die "$file is not in the series yet and differs from build/linux:" \
			"'make refresh FORCE=1' overwrites it"
done

while IFS= read -r file; do
	[ -e "build/refresh/$file" ] || rm -f "$file"
done <build/refresh/had
for file in "$patches/series" $(names build/refresh); do
	mkdir -p "$(dirname "$file")"
	same_file "build/refresh/$file" "$file" && continue
	cp --remove-destination "build/refresh/$file" "$file"
	echo "$file"
done
rm -rf build/refresh
tree_git update-ref refs/heads/series "$new"
sources_key >"$linux/.git/series-key"
