#!/bin/sh
# check.sh: what must hold of patches, tools and scripts before anyone reads them.
set -eu
cd "$(dirname "$0")/.."
. scripts/lib.sh
. scripts/cases.sh

scratch=$PWD/build/check
rm -rf "$scratch"
mkdir -p "$scratch"

# tree_of DIR: git's name for the files in DIR.
tree_of() {
	rm -f "$scratch/index"
	GIT_INDEX_FILE=$scratch/index git --git-dir="$linux/.git" --work-tree="$1" add -A -f .
	GIT_INDEX_FILE=$scratch/index git --git-dir="$linux/.git" write-tree
}

gives_the_series() { # DIR
	[ "$(tree_of "$1")" = "$(tree_git rev-parse 'series^{tree}')" ] || {
		echo "the result is not what the series gives"
		return 1
	}
}

pristine() { # DIR
	mkdir -p "$1"
	tree_git archive base | tar -x -C "$1"
}

applies_with_git() {
	pristine "$scratch/am"
	git -C "$scratch/am" init -q
	git -C "$scratch/am" add -A -f
	git -C "$scratch/am" commit -q -m base --author 'base <base@localhost>'
	sed "s,^,$PWD/build/series/," build/series/series |
		xargs git -C "$scratch/am" am --empty=keep
	rm -rf "$scratch/am/.git"
	gives_the_series "$scratch/am"
}

applies_with_quilt() { # PATCHES
	pristine "$scratch/quilt"
	(cd "$scratch/quilt" && QUILT_PATCHES=$1 quilt --quiltrc - push -a --fuzz=0)
	rm -rf "$scratch/quilt/.pc"
}

mail_applies_with_quilt() {
	applies_with_quilt "$PWD/build/series"
	gives_the_series "$scratch/quilt"
	rm -rf "$scratch/quilt"
}

# quilt takes no patch that is a message only, because all its files are new.
patches_apply_with_quilt() {
	mkdir "$scratch/patches"
	entries . | while read -r patch _; do
		! grep -q '^diff --git' "$patches/$patch" || {
			cp "$patches/$patch" "$scratch/patches"
			echo "$patch"
		}
	done >"$scratch/patches/series"
	applies_with_quilt "$scratch/patches"
	cp -r tools "$scratch/quilt"
	gives_the_series "$scratch/quilt"
}

tree_is_the_series() {
	tree_git status --porcelain
	! dirty || { echo "build/linux has edits that are not committed"; return 1; }
	same_series HEAD series || { echo "build/linux has commits of its own: make refresh"; return 1; }
}

refresh_changes_nothing() {
	scripts/export.sh "$scratch/export"
	find . -name cover-letter -prune -o -path './patches/6.12/*' -type f -print -o \
		-path './tools/*' -type f -print | sort >"$scratch/have"
	(cd "$scratch/export" && find . -type f -print | sort) >"$scratch/want"
	diff -u "$scratch/want" "$scratch/have"
	diff -ru "$scratch/export/tools" tools
	diff -ru -x cover-letter "$scratch/export/patches" patches
}

one_home_for_every_line() {
	tree_git ls-tree -r --name-only base | sort >"$scratch/upstream"
	find tools -type f | sort | comm -12 - "$scratch/upstream" >"$scratch/twice"
	sed 's/$/ exists upstream/' "$scratch/twice"
	! grep -n -e '^new file mode' -e '^--- /dev/null' "$patches"/*.patch || return 1
	[ ! -s "$scratch/twice" ]
}

signed_off() {
	for commit in $(tree_git rev-list base..series); do
		author=$(tree_git log -1 --format='%an <%ae>' "$commit")
		tree_git log -1 --format=%B "$commit" | grep -qxF "Signed-off-by: $author" || {
			tree_git log -1 --format="no Signed-off-by of its author, $author: %s" "$commit"
			return 1
		}
	done
}

cover_letter() {
	[ -s "$patches/cover-letter" ] || { echo "there is no $patches/cover-letter"; return 1; }
	[ ! "$(sed -n 2p "$patches/cover-letter")" ] || { echo "no empty line after its subject"; return 1; }
}

kernel_style() {
	sed "s,^,build/series/," build/series/series | xargs scripts/checkpatch/run
}

shell() {
	find .ci/run scripts/checkpatch/run scripts -name '*.sh' -o -name run | sort -u |
		xargs shellcheck -x
	# As perf's own build does.
	find tools -name '*.sh' -exec shellcheck -s bash -a -S warning {} +
	# Not on the line where checkpatch looks: see its exceptions.
	! find tools -name '*.sh' -exec grep -L SPDX-License-Identifier {} + | grep .
}

python() {
	find tools scripts -name '*.py' | while IFS= read -r file; do
		python3 -c 'import sys; compile(open(sys.argv[1]).read(), sys.argv[1], "exec")' "$file"
	done
}

run_case 'check: the mail applies with git am' applies_with_git
run_case 'check: the mail applies with quilt' mail_applies_with_quilt
run_case 'check: patches/6.12 applies with quilt' patches_apply_with_quilt
run_case 'check: build/linux is what the series gives' tree_is_the_series
run_case 'check: refresh would change nothing' refresh_changes_nothing
run_case 'check: new files in tools, edits in patches' one_home_for_every_line
run_case 'check: signed off by the author' signed_off
run_case 'check: cover letter' cover_letter
run_case 'check: checkpatch' kernel_style
run_case 'check: shellcheck' shell
run_case 'check: python' python
rm -rf "$scratch"
close_cases
