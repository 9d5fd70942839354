#!/bin/bash
# perf inject --aslr: payloads of tracepoints
# SPDX-License-Identifier: GPL-2.0
# shellcheck disable=SC2034,SC2154 # variables of lib/inject.sh

set -e

shelldir=$(dirname "$0")
# shellcheck source=lib/setup_python.sh
. "${shelldir}"/lib/setup_python.sh
# shellcheck source=lib/inject.sh
. "${shelldir}"/lib/inject.sh

undo() {
	perf probe -q -d 'aslrtest:*' > /dev/null 2>&1 || true
}

# A few processes, files, pages, and a pipe.
cat > "${dir}/work.sh" <<- EOF
	ls -l /usr/bin | head -n 200 | sort -r > "${dir}/list"
	cat "${dir}/list" > /dev/null
	sleep 0.01
EOF

# record NAME OPTIONS...: the work, with those of the events that can be recorded here.
record() {
	local name=$1

	shift
	if ! perf record -q "$@" -o "${dir}/${name}.data" -- sh "${dir}/work.sh" \
		> /dev/null 2>&1; then
		echo "can't record $* here"
		return 1
	fi
}

# The options to record all events of a system of which each can be recorded here.
events_of() {
	local event

	if perf record -q -e "$1:*" -o "${dir}/probe.data" -- true > /dev/null 2>&1; then
		echo "-e $1:*"
		return
	fi
	for event in $(perf list --raw-dump tracepoint 2> /dev/null | tr ' ' '\n' |
		grep "^$1:"); do
		if perf record -q -e "${event}" -o "${dir}/probe.data" -- true \
			> /dev/null 2>&1; then
			echo "-e ${event}"
		fi
	done
}

# inject_and_check NAME: nothing is lost or left.
inject_and_check() {
	if [ -z "$(perf script -i "${dir}/$1.data" -F time 2> /dev/null | head -n 1)" ]; then
		echo "nothing happened"
		return
	fi
	perf inject --aslr -i "${dir}/$1.data" -o "${dir}/$1.safe" 2> "${dir}/stderr" ||
		fail "$1: inject"
	if grep -q 'blanked: RAW' "${dir}/stderr"; then
		cat "${dir}/stderr"
		fail "$1: payloads are blanked"
	fi
	"${PYTHON}" "${lib}/aslr_audit.py" "${dir}/$1.data" "${dir}/$1.safe" || fail "$1: audit"
	"${PYTHON}" "${lib}/aslr_trace_compare.py" --perf perf "${dir}/$1.data" \
		"${dir}/$1.safe" || fail "$1: payloads differ"
}

# same NAME FILTER COMMAND OPTIONS...: perf COMMAND prints the same of both, but for what FILTER
# takes away.  The memory that these commands leave to the end of the process is none of ours.
same() {
	local name=$1 filter=$2 command=$3 f

	shift 3
	for f in data safe; do
		ASAN_OPTIONS="${ASAN_OPTIONS:-}:detect_leaks=0" \
			perf "${command}" -i "${dir}/${name}.${f}" "$@" 2> "${dir}/stderr" \
			> "${dir}/out" || fail "${name}: perf ${command} $*: exit status $?"
		# What is aligned is so by the length of addresses, and sorted by them.
		sed -E -e "${filter}" -e 's/ +/ /g; s/-+/-/g; s/^==[0-9]+==/==/' \
			"${dir}/out" "${dir}/stderr" |
			grep -v "${dir}" | sort > "${dir}/out.${f}" || true
	done
	if [ ! -s "${dir}/out.data" ]; then
		fail "${name}: perf ${command} $* prints nothing"
	elif ! diff "${dir}/out.data" "${dir}/out.safe" > "${dir}/diff"; then
		head -n 10 "${dir}/diff"
		fail "${name}: perf ${command} $* differs"
	fi
}

test_sched() {
	echo "sched"
	record sched -a -e 'sched:*' || return 0
	inject_and_check sched
	same sched "" sched timehist
	same sched "" sched latency
	same sched "" sched map
}

test_kmem() {
	local ptr='s/^ *0x[0-9a-f]+([0-9a-f]{3})/\1/; s/^ +[0-9a-f]+ \|/|/'

	echo "kmem"
	record kmem -e 'kmem:*' || return 0
	inject_and_check kmem
	same kmem "" kmem --caller --slab stat
	same kmem "${ptr}" kmem --alloc --slab stat
	same kmem "" kmem --page stat
	same kmem "" kmem --page --caller stat
}

test_syscalls() {
	echo "raw_syscalls and syscalls"
	record trace -e raw_syscalls:sys_enter -e raw_syscalls:sys_exit || return 0
	inject_and_check trace
	same trace 's/0x[0-9a-f]+/ADDR/g' trace
	# shellcheck disable=SC2046 # words on purpose
	record syscalls $(for i in mmap brk openat read write execve; do
		printf -- '-e syscalls:sys_enter_%s -e syscalls:sys_exit_%s ' "${i}" "${i}"
	done) && inject_and_check syscalls
}

test_systems() {
	local system events

	for system in exceptions irq_vectors lock timer workqueue; do
		echo "${system}"
		events=$(events_of "${system}")
		if [ -z "${events}" ]; then
			echo "no ${system} here"
			continue
		fi
		# shellcheck disable=SC2086 # words on purpose
		record "${system}" -a ${events} && inject_and_check "${system}"
	done
}

# Memory and registers: addresses at any place of an array, and small numbers.
test_memory() {
	local libc

	echo "Uprobes with arrays of memory"
	libc=$(ldd /bin/ls | awk '$1 ~ /^libc\./ { print $3 }')
	# shellcheck disable=SC2016 # no variables of the shell
	if ! perf probe -q -x "${libc}" --add 'aslrtest:m8=malloc mem=+0($stack):x8[64]' \
		--add 'aslrtest:m32=calloc mem=+4($stack):x32[15]' \
		--add 'aslrtest:odd=free mem=+3($stack):x8[61]' > /dev/null 2>&1; then
		echo "no arrays of uprobes here"
		return
	fi
	if record memory -e 'aslrtest:*'; then
		perf inject --aslr -i "${dir}/memory.data" -o "${dir}/memory.safe" 2> /dev/null ||
			fail "memory: inject"
		"${PYTHON}" "${lib}/aslr_audit.py" "${dir}/memory.data" "${dir}/memory.safe" ||
			fail "memory: audit"
		# The parts of addresses at the edges go, nothing else.
		perf script -i "${dir}/memory.safe" -F event,trace > "${dir}/out" 2> /dev/null
		if ! grep -q 'm8.*mem={.*0x[1-9a-f]' "${dir}/out"; then
			fail "memory: arrays are blanked"
		elif grep -q UNKNOWN "${dir}/out"; then
			fail "memory: payloads are blanked"
		fi
	fi
	perf probe -q -d 'aslrtest:*' > /dev/null 2>&1
}

test_uprobe() {
	local libc

	echo "A uprobe with arguments"
	libc=$(ldd /bin/ls | awk '$1 ~ /^libc\./ { print $3 }')
	# shellcheck disable=SC2016 # no variables of the shell
	if ! perf probe -q -x "${libc}" \
		--add 'aslrtest:ret=malloc%return ret=$retval:x64 dec=$retval:u64 low=$retval:x32' \
		> /dev/null 2>&1; then
		echo "no uprobes here"
		return
	fi
	record uprobe -e 'aslrtest:*' && inject_and_check uprobe
	perf probe -q -d 'aslrtest:*' > /dev/null 2>&1
}

test_print() {
	local marker=/sys/kernel/tracing/trace_marker

	echo "ftrace print events"
	cat > "${dir}/mark.sh" <<- EOF
		text=\$(awk '/libc/ { sub(/-.*/, "", \$1); print "4711, at 0x" \$1; exit }' \\
			/proc/self/maps)
		echo "\${text} and more" > ${marker}
		echo "deadbeef and 4711" > ${marker}
	EOF
	if [ ! -w "${marker}" ] || ! perf record -q -e ftrace:print -a -o "${dir}/print.data" -- \
		sh "${dir}/mark.sh" > /dev/null 2>&1; then
		echo "can't record ftrace:print here"
		return
	fi
	# Some kernels open the event and have no samples for it: see test_crafted.
	if ! perf script -i "${dir}/print.data" -F event 2> /dev/null | grep -q print; then
		echo "perf gets no ftrace:print here"
		return
	fi
	perf inject --aslr -i "${dir}/print.data" -o "${dir}/print.safe" || fail "print: inject"
	"${PYTHON}" "${lib}/aslr_audit.py" "${dir}/print.data" "${dir}/print.safe" ||
		fail "print: audit"
	same print 's/0x[0-9a-f]+ /ADDR /' script -F comm,tid,time,event,trace
	grep -q 'deadbeef and 4711' "${dir}/out" || fail "print: text is lost"
}

# Strings that payloads only point to are among the printk formats.
test_strings() {
	echo "rcu"
	record rcu -a -e rcu:rcu_utilization || return 0
	inject_and_check rcu
	perf script -i "${dir}/rcu.safe" -F trace | grep -q '[A-Z]' || fail "rcu: no strings"
}

test_pipe() {
	echo "A pipe"
	perf record -q -e 'sched:*' -e kmem:kmalloc -e kmem:kfree -o - -- sh "${dir}/work.sh" \
		> "${dir}/pipe.data" 2> /dev/null || return 0
	perf inject --aslr -i - -o - < "${dir}/pipe.data" > "${dir}/pipe.out" 2> "${dir}/stderr" ||
		fail "pipe: inject"
	if grep -q 'blanked: RAW' "${dir}/stderr"; then
		fail "pipe: payloads are blanked"
	fi
	mv "${dir}/pipe.out" "${dir}/pipe.safe"
	"${PYTHON}" "${lib}/aslr_audit.py" "${dir}/pipe.data" "${dir}/pipe.safe" ||
		fail "pipe: audit"
	"${PYTHON}" "${lib}/aslr_trace_compare.py" --perf perf "${dir}/pipe.data" \
		"${dir}/pipe.safe" || fail "pipe: payloads differ"

	# Printk formats come before the mapping that they are in.
	perf record -q -a -e rcu:rcu_utilization -o - -- sh "${dir}/work.sh" \
		> "${dir}/rcu.pipe" 2> /dev/null || return 0
	perf inject --aslr -i - -o - < "${dir}/rcu.pipe" | perf script -i - -F trace |
		grep -q '[A-Z]' || fail "pipe: no strings"
	perf inject --aslr -i "${dir}/rcu.data" -o - | perf script -i - -F trace |
		grep -q '[A-Z]' || fail "file to pipe: no strings"
}

test_crafted() {
	echo "Events of ftrace, bad payloads, memory, and system calls, crafted"
	"${PYTHON}" "${lib}/aslr_payload_test.py" || fail "crafted payloads"
}

if perf check feature -q libtraceevent; then
	test_crafted
fi

if ! perf record -q -e sched:sched_switch -o "${dir}/probe.data" -- true > /dev/null 2>&1; then
	skip "can't record tracepoints here"
fi

# Without libtraceevent payloads are blanked, and the user is told so once.
if ! perf check feature -q libtraceevent; then
	perf inject --aslr -i "${dir}/probe.data" -o "${dir}/probe.safe" 2> "${dir}/stderr" ||
		fail "without libtraceevent: inject"
	[ "$(grep -c 'without libtraceevent' "${dir}/stderr")" = 1 ] ||
		fail "without libtraceevent: not one word of it"
	grep -q 'blanked: RAW' "${dir}/stderr" || fail "without libtraceevent: not blanked"
	"${PYTHON}" "${lib}/aslr_audit.py" "${dir}/probe.data" "${dir}/probe.safe" ||
		fail "without libtraceevent: audit"
	finish
fi

test_sched
test_kmem
test_syscalls
test_systems
test_uprobe
test_memory
test_print
test_strings
test_pipe

finish
