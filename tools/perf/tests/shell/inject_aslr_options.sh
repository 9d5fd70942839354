#!/bin/bash
# perf inject --aslr: with other options, and of directories
# SPDX-License-Identifier: GPL-2.0
# shellcheck disable=SC2034,SC2154 # variables of lib/inject.sh

set -e

shelldir=$(dirname "$0")
# shellcheck source=lib/setup_python.sh
. "${shelldir}"/lib/setup_python.sh
# shellcheck source=lib/inject.sh
. "${shelldir}"/lib/inject.sh

# A child with the mappings of its parent, and the time, which is asked for in the vdso.
cat > "${dir}/fork.py" <<- EOF
	import os, time

	child = os.fork()
	end = time.time() + 0.3
	while time.time() < end:
	    sum(i * i for i in range(100))
	if child:
	    os.waitpid(child, 0)
EOF

# check NAME ORIG [OPTION...]: the output with --aslr is that without it, but for addresses.
check() {
	local name=$1 orig=$2

	shift 2
	perf inject "$@" -i "${orig}" -o "${dir}/plain" || fail "${name}: inject"
	if ! perf inject --aslr "$@" -i "${orig}" -o "${dir}/safe" 2> "${dir}/stderr"; then
		cat "${dir}/stderr"
		fail "${name}: inject --aslr"
		return
	fi
	check_files "${name}" "${orig}" "${dir}/plain"
}

# check_files NAME ORIG PLAIN
check_files() {
	"${PYTHON}" "${lib}/aslr_audit.py" "$2" "${dir}/safe" || fail "$1: audit"
	"${PYTHON}" "${lib}/aslr_compare.py" --perf perf --ignore trace "$3" "${dir}/safe" ||
		fail "$1: compare"
}

test_build_ids() {
	local option file

	echo "Build-ids"
	# With a table of build-ids in the header, and without
	for file in fork bare; do
		for option in -b --buildid-all -B --mmap2-buildid-all; do
			check "${file}, ${option}" "${dir}/${file}.data" "${option}"
			"${PYTHON}" "${lib}/aslr_function.py" "${dir}/plain" "${dir}/safe" ||
				fail "${file}, ${option}: function"
			perf inject --aslr "${option}" -i "${dir}/${file}.data" -o "${dir}/again"
			cmp "${dir}/safe" "${dir}/again" ||
				fail "${file}, ${option}: second run differs"
		done
	done

	perf inject --aslr -b -i "${dir}/bare.data" -o "${dir}/safe"
	[ "$(perf buildid-list -i "${dir}/safe" | wc -l)" -gt 1 ] || fail "-b: no build-ids"
	perf inject --aslr -b -i - -o "${dir}/safe" < "${dir}/pipe.data"
	"${PYTHON}" "${lib}/aslr_audit.py" "${dir}/pipe.data" "${dir}/safe" ||
		fail "-b of a pipe: audit"

	perf script -i "${dir}/bare.data" --show-mmap-events 2> /dev/null |
		sed -n 's|.*r-xp \(/.*\)|0123456789abcdef0123456789abcdef01234567 \1|p' |
		sort -u > "${dir}/known"
	check "--known-build-ids" "${dir}/bare.data" --buildid-all \
		--known-build-ids="file://${dir}/known"
	perf buildid-list -i "${dir}/safe" | grep -q '^0123456789abcdef' ||
		fail "--known-build-ids: not used"
}

test_sched_stat() {
	echo "Merged sched events"
	if ! perf record -q -e sched:sched_switch,sched:sched_stat_runtime -g -a \
		-o "${dir}/sched.data" -- sleep 0.3 2> /dev/null; then
		echo "no tracepoints here"
		return
	fi
	check "-s" "${dir}/sched.data" -s
	if perf script -i "${dir}/safe" -F event | grep -q sched_stat_runtime; then
		fail "-s: events aren't merged"
	fi
}

test_traces() {
	echo "Traces"
	"${PYTHON}" "${lib}/aslr_options_test.py" || fail "crafted traces"
	check "--itrace without a trace" "${dir}/fork.data" --itrace
}

# What has no influence on the output
test_harmless() {
	local option

	echo "Options that change nothing"
	perf inject --aslr -i "${dir}/fork.data" -o "${dir}/safe"
	echo 'ffffffff81000000 T _text' > "${dir}/kallsyms"
	for option in -v -f --ignore-vmlinux --vmlinux=/dev/null "--kallsyms=${dir}/kallsyms" \
		"--guestmount=${dir}"; do
		perf inject --aslr "${option}" -i "${dir}/fork.data" -o "${dir}/again" \
			2> "${dir}/stderr" || fail "${option}"
		cmp "${dir}/safe" "${dir}/again" || fail "${option}: another output"
	done
	perf inject --aslr -v -i "${dir}/fork.data" -o "${dir}/again" 2>&1 |
		grep -q 'addresses rewritten' || fail "-v: no account"

	if [ "$(id -u)" = 0 ]; then
		cp "${dir}/fork.data" "${dir}/owned"
		chown 12345 "${dir}/owned"
		refused "file of another user" "use -f" \
			perf inject --aslr -i "${dir}/owned" -o "${dir}/out"
		perf inject --aslr -f -i "${dir}/owned" -o "${dir}/again" || fail "-f"
		cmp "${dir}/safe" "${dir}/again" || fail "-f: another output"
	fi
}

test_refused() {
	local option

	echo "Options that are refused"
	for option in --jit --vm-time-correlation=dry-run --guest-data=guest,1; do
		refused "${option}" "can't be combined with ${option%%=*}:" \
			perf inject --aslr "${option}" -i "${dir}/fork.data" -o "${dir}/out"
	done
	for option in -b --buildid-all -B --mmap2-buildid-all -s; do
		refused "--itrace ${option}" "can't be combined with --itrace and" \
			perf inject --aslr --itrace "${option}" -i "${dir}/fork.data" \
			-o "${dir}/out"
	done
	refused "--strip alone" "requires --itrace" \
		perf inject --aslr --strip -i "${dir}/fork.data" -o "${dir}/out"
}

# make_kcore NAME: what perf record --kcore leaves, as far as it matters
make_kcore() {
	rm -rf "${dir}/kcore.data"
	mkdir -p "${dir}/kcore.data/$1"
	cp "${dir}/fork.data" "${dir}/kcore.data/data"
	echo 'ffffffff9a000000 T _text' | tee "${dir}/kcore.data/$1/kallsyms" \
		"${dir}/kcore.data/$1/kcore" > "${dir}/kcore.data/$1/modules"
}

test_directories() {
	local name

	echo "Directories"
	for name in kcore_dir kcore_dir__77; do
		make_kcore "${name}"
		perf inject --aslr -i "${dir}/kcore.data" -o "${dir}/safe" 2> "${dir}/stderr" ||
			fail "${name}: inject"
		grep -q 'kcore_dir.* not copied' "${dir}/stderr" || fail "${name}: no warning"
		[ -f "${dir}/safe" ] || fail "${name}: the output is no file"
		check_files "${name}" "${dir}/fork.data" "${dir}/fork.data"
	done

	mkdir "${dir}/old"
	refused "output is a directory" "is a directory" \
		perf inject --aslr -i "${dir}/fork.data" -o "${dir}/old"
	[ -z "$(ls -A "${dir}/old")" ] || fail "wrote into a directory"
	refused "output in the input" "same file" \
		perf inject --aslr -i "${dir}/old" -o "${dir}/old/out"

	if ! perf record -q --threads=cpu -e cpu-clock -a -o "${dir}/threads.data" -- \
		sleep 0.2 2> /dev/null; then
		echo "can't record by threads here"
		return
	fi
	perf inject --aslr -i "${dir}/threads.data" -o "${dir}/safe" || fail "threads: inject"
	[ -f "${dir}/safe" ] || fail "threads: the output is no file"
	check_files threads "${dir}/threads.data" "${dir}/threads.data"
}

record() {
	perf record -q -e cpu-clock -g "$@" -- "${PYTHON}" "${dir}/fork.py"
}

if ! record -o "${dir}/fork.data" 2> /dev/null; then
	skip "can't record cpu-clock here"
fi
record -B -N -o "${dir}/bare.data"
record -o - > "${dir}/pipe.data"

test_build_ids
test_sched_stat
test_traces
test_harmless
test_refused
test_directories

finish
