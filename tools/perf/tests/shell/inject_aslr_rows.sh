#!/bin/bash
# perf inject --aslr: every kind of part of a profile
# SPDX-License-Identifier: GPL-2.0
# shellcheck disable=SC2034,SC2154 # variables of lib/inject.sh

set -e

shelldir=$(dirname "$0")
# shellcheck source=lib/setup_python.sh
. "${shelldir}"/lib/setup_python.sh
# shellcheck source=lib/inject.sh
. "${shelldir}"/lib/inject.sh

tracefs=/sys/kernel/tracing
probe=

undo() {
	[ -z "${probe}" ] || echo "-:${probe}" >> ${tracefs}/uprobe_events || true
}

cat > "${dir}/alloc.py" <<- EOF
	import time

	end = time.time() + 0.1
	while time.time() < end:
	    blocks = [bytes(5000) for _ in range(1000)]
EOF

# recorded NAME OPTION...: is it possible here?
recorded() {
	local name=$1

	shift
	if perf record -q -o "${dir}/${name}.data" "$@" -- "${PYTHON}" "${dir}/alloc.py" \
		> "${dir}/stderr" 2>&1; then
		return 0
	fi
	echo "can't record ${name} here"
	return 1
}

# agree NAME [OPTION]...: nothing leaks, and perf shows the same.
agree() {
	"${PYTHON}" "${lib}/aslr_audit.py" "${dir}/$1.data" "${dir}/$1.safe" || fail "$1: audit"
	# It wants to see payloads that are rewritten.
	grep -s -q 'blanked: .*RAW' "${dir}/$1.stderr" ||
		"${PYTHON}" "${lib}/aslr_function.py" "${dir}/$1.data" "${dir}/$1.safe" ||
		fail "$1: function"
	"${PYTHON}" "${lib}/aslr_compare.py" --perf perf "${@:2}" "${dir}/$1.data" \
		"${dir}/$1.safe" || fail "$1: compare"
}

# check NAME [OPTION]...: inject NAME.data, and compare.  What inject says is in NAME.stderr.
check() {
	if ! perf inject --aslr -i "${dir}/$1.data" -o "${dir}/$1.safe" 2> "${dir}/$1.stderr"; then
		cat "${dir}/$1.stderr"
		fail "$1: inject"
		return 0
	fi
	agree "$@"
}

# says NAME PATTERN
says() {
	grep -q "$2" "${dir}/$1.stderr" || fail "$1: no word of $2"
}

test_rows() {
	echo "Each row, crafted"
	"${PYTHON}" "${lib}/aslr_rows_test.py" || fail "rows"
}

test_data() {
	echo "Data addresses, virtual and physical, and page sizes"
	recorded data -e page-faults -c 10 -d --phys-data --data-page-size --code-page-size ||
		return 0
	check data
}

test_records() {
	local compress=

	echo "Records of all that happens, compressed"
	perf version --build-options | grep -q 'zstd: .*on' && compress=-z
	recorded records ${compress} -e cpu-clock --switch-events --namespaces --all-cgroups \
		--buildid-mmap -s -g || return 0
	check records
	[ -n "${compress}" ] || return 0
	says records COMPRESSED
	! perf report -i "${dir}/records.safe" --header-only | grep -q '^# compressed' ||
		fail "records: claims to be compressed"
}

test_stat() {
	local file

	echo "Counts"
	if ! perf stat record -o "${dir}/stat.data" -e cpu-clock,page-faults -- true \
		> "${dir}/stderr" 2>&1; then
		echo "can't record counts here"
		return 0
	fi
	perf inject --aslr -i "${dir}/stat.data" -o "${dir}/stat.safe" || fail "stat: inject"
	"${PYTHON}" "${lib}/aslr_audit.py" "${dir}/stat.data" "${dir}/stat.safe" ||
		fail "stat: audit"
	for file in data safe; do
		perf stat report -i "${dir}/stat.${file}" 2>&1 | grep -v 'stat\.' \
			> "${dir}/stat.${file}.report" || true
	done
	grep -q cpu-clock "${dir}/stat.data.report" || fail "stat: no counts"
	cmp "${dir}/stat.data.report" "${dir}/stat.safe.report" || fail "stat: report"
}

test_words() {
	echo "An address in each word"
	"${PYTHON}" "${lib}/aslr_words_test.py" || fail "words"
}

# The offset in a program's file where it begins
entry_offset() {
	"${PYTHON}" - "$1" <<- EOF
		import struct, sys

		with open(sys.argv[1], 'rb') as file:
		    elf = file.read()
		entry, headers = struct.unpack_from('QQ', elf, 24)
		for i in range(struct.unpack_from('H', elf, 56)[0]):
		    at = headers + 56 * i
		    kind, _, offset, start, _, size = struct.unpack_from('IIQQQQ', elf, at)
		    if kind == 1 and start <= entry < start + size:
		        print(entry - start + offset)
	EOF
}

test_uprobe() {
	local prog

	echo "Uprobes"
	prog=$(readlink -f /bin/true)
	if ! echo "p:aslr_rows/at_$$ ${prog}:$(entry_offset "${prog}")" \
		2> /dev/null >> ${tracefs}/uprobe_events; then
		echo "no uprobes here"
		return 0
	fi
	probe=aslr_rows/at_$$
	perf record -q -e "${probe/\//:}" -g -o "${dir}/uprobe.data" -- "${prog}"
	check uprobe --ignore trace
	perf script -i "${dir}/uprobe.safe" | grep -q "${probe/\//:}" || fail "uprobe: no sample"
}

test_bpf() {
	local file

	echo "BPF programs"
	if ! bpftrace -e 'BEGIN { exit(); }' > /dev/null 2>&1; then
		echo "no bpftrace here"
		return 0
	fi
	bpftrace -e 'tracepoint:raw_syscalls:sys_enter { @[args->id, comm] = count(); }' \
		> /dev/null 2>&1 &
	background=$!
	for _ in 1 2 3 4 5 6 7 8 9 10; do
		! grep -q "bpf_prog_.*sys_enter" /proc/kallsyms || break
		sleep 0.3
	done
	perf record -q -e cpu-clock -F 2000 -o "${dir}/bpf.data" -- \
		dd if=/dev/zero of=/dev/null bs=1 count=200000 2> /dev/null
	stop_background
	check bpf
	for file in data safe; do
		perf report --stdio -g none --no-children -s sym -i "${dir}/bpf.${file}" \
			2> /dev/null | grep 'bpf_prog_' | sort > "${dir}/bpf.${file}.progs" || true
	done
	cmp "${dir}/bpf.data.progs" "${dir}/bpf.safe.progs" || fail "names of BPF programs"
	[ -s "${dir}/bpf.data.progs" ] || echo "no BPF program was hit"
}

# What is in a pipe goes to a file or another pipe.
test_pipes() {
	echo "Pipes"
	perf record -q -e cpu-clock -g --switch-events --all-cgroups -o - -- \
		"${PYTHON}" "${dir}/alloc.py" > "${dir}/pipe.data"
	perf inject --aslr -o - < "${dir}/pipe.data" > "${dir}/pipe.safe" ||
		fail "pipe: inject"
	"${PYTHON}" "${lib}/aslr_audit.py" "${dir}/pipe.data" "${dir}/pipe.safe" ||
		fail "pipe: audit"
	# perf script shows more of a pipe than of a file, so compare files.
	perf inject --aslr -o "${dir}/pipe-to-file.safe" < "${dir}/pipe.data" ||
		fail "pipe to file: inject"
	perf inject -i - -o "${dir}/pipe-to-file.data" < "${dir}/pipe.data"
	agree pipe-to-file
}

if perf record -q -e cpu-clock -o "${dir}/probe.data" -- true 2> /dev/null; then
	test_data
	test_records
	test_stat
	test_uprobe
	test_bpf
	test_pipes
else
	echo "can't record cpu-clock here"
fi
test_rows
test_words

finish
