#!/bin/bash
# perf inject --aslr: nothing leaks, nothing is lost
# SPDX-License-Identifier: GPL-2.0
# shellcheck disable=SC2034,SC2154 # variables of lib/inject.sh

set -e

shelldir=$(dirname "$0")
# shellcheck source=lib/setup_python.sh
. "${shelldir}"/lib/setup_python.sh
# shellcheck source=lib/inject.sh
. "${shelldir}"/lib/inject.sh

# A parent and three children with nothing mapped but what they inherit, all of them busy.
cat > "${dir}/fork.py" <<- EOF
	import os, time

	def spin(seconds):
	    end = time.time() + seconds
	    while time.time() < end:
	        sum(i * i for i in range(1000))

	children = []
	for _ in range(3):
	    pid = os.fork()
	    if not pid:
	        spin(0.4)
	        os._exit(0)
	    children.append(pid)
	spin(0.2)
	for pid in children:
	    os.waitpid(pid, 0)
EOF

cat > "${dir}/alloc.py" <<- EOF
	blocks = [bytes(5000) for _ in range(5000)]
EOF

# Compilers, shells and short-lived processes, until killed.
start_load() {
	while :; do
		echo 'int main(void) { return 0; }' | cc -O2 -x c -o "${dir}/a.out" - || true
		for i in 1 2 3 4 5 6 7 8; do
			/bin/echo "${i}" | /bin/cat > /dev/null
		done
	done 2> /dev/null &
	background=$!
}

# check NAME: NAME.safe has what NAME.data has, but for addresses.
check() {
	"${PYTHON}" "${lib}/aslr_audit.py" "${dir}/$1.data" "${dir}/$1.safe" || fail "$1: audit"
	"${PYTHON}" "${lib}/aslr_function.py" "${dir}/$1.data" "${dir}/$1.safe" ||
		fail "$1: function"
	"${PYTHON}" "${lib}/aslr_compare.py" --perf perf "${dir}/$1.data" "${dir}/$1.safe" ||
		fail "$1: compare"
}

# inject_and_check NAME
inject_and_check() {
	perf inject --aslr -i "${dir}/$1.data" -o "${dir}/$1.safe" || fail "$1: inject"
	check "$1"
}

# Is there somebody else to be?
can_become_nobody() {
	[ "$(id -u)" = 0 ] &&
		setpriv --reuid=nobody --clear-groups test -x "$(command -v perf)" 2> /dev/null
}

as_nobody() {
	setpriv --reuid=nobody --clear-groups env HOME="${dir}/user" "$@"
}

# A directory that somebody else can write to.
make_user_dir() {
	chmod 755 "${dir}"
	mkdir -p "${dir}/user"
	chmod 777 "${dir}/user"
}

test_fork() {
	local f

	echo "Forking processes"
	perf record -q -e cpu-clock -g -o "${dir}/fork.data" -- "${PYTHON}" "${dir}/fork.py"
	inject_and_check fork
	# The processes, the samples of each, and those of them in the interpreter.
	for f in data safe; do
		perf script -i "${dir}/fork.${f}" -G -F pid,sym 2> /dev/null | sort | uniq -c \
			> "${dir}/fork.${f}.symbols"
	done
	cmp "${dir}/fork.data.symbols" "${dir}/fork.safe.symbols" || fail "fork: symbols"
	for f in data safe; do
		awk '/PyEval/ { print $2 }' "${dir}/fork.${f}.symbols" | sort -u | wc -l
	done | uniq | wc -l | grep -q -x 1 || fail "fork: children without symbols"
}

test_system() {
	echo "The whole system under load"
	start_load
	if ! perf record -q -e cpu-clock -a -g -o "${dir}/system.data" -- sleep 1; then
		stop_background
		echo "no system-wide recording here"
		return
	fi
	stop_background
	inject_and_check system
}

test_faults() {
	echo "Data addresses of page faults"
	perf record -q -e page-faults -c 1 -d -g -o "${dir}/faults.data" -- \
		"${PYTHON}" "${dir}/alloc.py"
	inject_and_check faults
}

test_user() {
	echo "As a user"
	if ! can_become_nobody; then
		echo "only root can become somebody else"
		return
	fi
	make_user_dir
	cp "${dir}/fork.py" "${dir}/user/"
	if ! as_nobody perf record -q -e cpu-clock:u -g -o "${dir}/user/user.data" -- \
		/usr/bin/python3 "${dir}/user/fork.py"; then
		echo "a user can't record here"
		return
	fi
	as_nobody perf inject --aslr -i "${dir}/user/user.data" -o "${dir}/user/user.safe" ||
		fail "user: inject"
	mv "${dir}"/user/user.* "${dir}/"
	chown "$(id -u)" "${dir}"/user.*
	check user
}

# What perf report shows of a pipe, without what isn't of the samples.
pipe_report() {
	# Rows of the same weight come in no particular order.
	perf report -i - --stdio --no-children -g none 2> /dev/null | grep -v '^#\|^$' | sort
}

test_pipes() {
	local what

	echo "Pipes"
	perf record -q -e cpu-clock -g -o - -- "${PYTHON}" "${dir}/alloc.py" > "${dir}/pipe.data"
	perf inject --aslr -i - -o - < "${dir}/pipe.data" > "${dir}/pipe.safe" ||
		fail "pipe: inject"
	check pipe
	pipe_report < "${dir}/pipe.data" > "${dir}/pipe.report"
	perf inject --aslr < "${dir}/pipe.data" | pipe_report | cmp - "${dir}/pipe.report" ||
		fail "pipe: report"
	perf record -q -e cpu-clock -g -o - -- "${PYTHON}" "${dir}/alloc.py" |
		perf inject --aslr -o - | pipe_report | grep -q '\[\.\]' || fail "pipes all the way"

	perf inject --aslr -i - -o "${dir}/pipe-file.safe" < "${dir}/pipe.data" ||
		fail "pipe to file: inject"
	perf inject -i - -o "${dir}/pipe-file.data" < "${dir}/pipe.data"
	check pipe-file

	perf inject --aslr -i "${dir}/fork.data" -o - > "${dir}/file-pipe.safe" ||
		fail "file to pipe: inject"
	"${PYTHON}" "${lib}/aslr_audit.py" "${dir}/fork.data" "${dir}/file-pipe.safe" ||
		fail "file to pipe: audit"
	perf report -i "${dir}/fork.data" --stdio --no-children -g none 2> /dev/null |
		grep -v '^#\|^$' | sort > "${dir}/fork.report"
	pipe_report < "${dir}/file-pipe.safe" | cmp - "${dir}/fork.report" ||
		fail "file to pipe: report"
	# Features are those of the input, not of this machine and command.
	for what in hostname cmdline cpudesc; do
		perf report -i "${dir}/fork.data" --header-only | grep "^# ${what}" \
			> "${dir}/header"
		perf report -i - --header-only < "${dir}/file-pipe.safe" |
			grep -F -x -q -f "${dir}/header" || fail "file to pipe: ${what}"
	done
	perf buildid-list -i "${dir}/fork.data" | sort > "${dir}/fork.buildids"
	# Of a pipe it lists those that samples hit.
	perf buildid-list -i - < "${dir}/file-pipe.safe" | sort > "${dir}/pipe.buildids"
	[ -s "${dir}/pipe.buildids" ] || fail "file to pipe: no build-ids"
	[ -z "$(comm -13 "${dir}/fork.buildids" "${dir}/pipe.buildids")" ] ||
		fail "file to pipe: build-ids"
}

test_crafted() {
	echo "What can't be recorded everywhere"
	"${PYTHON}" "${lib}/aslr_crafted_test.py" || fail "crafted profiles"
}

test_tracepoints() {
	echo "Tracepoints"
	if ! perf record -q -e sched:sched_switch -a -o - -- sleep 0.2 > "${dir}/tp.pipe" \
		2> /dev/null; then
		echo "no tracepoints here"
		return
	fi
	perf inject --aslr -i - -o "${dir}/tp.safe" < "${dir}/tp.pipe" 2> "${dir}/stderr" ||
		fail "tracepoints: inject"
	if ! perf check feature -q libtraceevent; then
		grep -q 'blanked: RAW' "${dir}/stderr" ||
			fail "tracepoints: no word of blanked payloads"
	fi
	"${PYTHON}" "${lib}/aslr_audit.py" "${dir}/tp.pipe" "${dir}/tp.safe" ||
		fail "tracepoints: audit"
	perf script -i - -F comm,tid,time,event < "${dir}/tp.pipe" | sort > "${dir}/tp.script"
	perf script -i "${dir}/tp.safe" -F comm,tid,time,event | sort | cmp - "${dir}/tp.script" ||
		fail "tracepoints: samples"
}

# What is said of a run doesn't depend on the output, nor the output on what is said.
test_summary() {
	local samples

	echo "Summary"
	perf record -q -e cpu-clock --intr-regs -d -o "${dir}/regs.data" -- \
		"${PYTHON}" "${dir}/alloc.py"
	samples=$(perf script -F time -i "${dir}/regs.data" | wc -l)

	perf inject --aslr -i "${dir}/regs.data" -o "${dir}/regs.safe" 2> "${dir}/stderr"
	echo "[ perf inject: blanked: REGS_INTR (${samples}) ]" | cmp - "${dir}/stderr" ||
		fail "summary: a line of what was blanked"

	perf inject --aslr -v -i "${dir}/regs.data" -o "${dir}/again" 2> "${dir}/stderr"
	grep -q "^\[ perf inject: samples kept (${samples}), addresses rewritten ([0-9]*), pages" \
		"${dir}/stderr" || fail "summary: counts"
	grep -q '^\[ perf inject: rewritten in the header: .*CMDLINE.*EVENT_DESC' \
		"${dir}/stderr" || fail "summary: header sections"
	cmp "${dir}/regs.safe" "${dir}/again" || fail "summary: -v makes a difference"

	perf inject --aslr -q -i "${dir}/regs.data" -o "${dir}/again" > "${dir}/stderr" 2>&1
	[ ! -s "${dir}/stderr" ] || fail "summary: words in spite of -q"
	cmp "${dir}/regs.safe" "${dir}/again" || fail "summary: -q makes a difference"
}

test_reproducible() {
	local restrict=/proc/sys/kernel/kptr_restrict old

	echo "The same output always and everywhere"
	perf inject --aslr -i "${dir}/fork.data" -o "${dir}/again"
	cmp "${dir}/fork.safe" "${dir}/again" || fail "second run differs"
	(cd / && HOME=/nonexistent TZ=Asia/Tokyo \
		perf inject --aslr -i "${dir}/fork.data" -o "${dir}/again")
	cmp "${dir}/fork.safe" "${dir}/again" || fail "HOME and directory make a difference"
	if [ -w "${restrict}" ]; then
		old=$(cat "${restrict}")
		echo $((old ? 0 : 2)) > "${restrict}"
		perf inject --aslr -i "${dir}/fork.data" -o "${dir}/again" ||
			fail "kptr_restrict: inject"
		echo "${old}" > "${restrict}"
		cmp "${dir}/fork.safe" "${dir}/again" || fail "kptr_restrict makes a difference"
	fi
	if can_become_nobody; then
		make_user_dir
		cp "${dir}/fork.data" "${dir}/user/fork.data"
		chmod 644 "${dir}/user/fork.data"
		as_nobody perf inject --aslr -f -i "${dir}/user/fork.data" -o "${dir}/user/again" ||
			fail "as nobody: inject"
		cmp "${dir}/fork.safe" "${dir}/user/again" || fail "another user makes a difference"
	fi
}

# The auditor has to find what it is there to find.
test_auditor() {
	echo "The auditor itself"
	"${PYTHON}" "${lib}/aslr_lib_test.py" || fail "tests of the library"
	cp "${dir}/fork.data" "${dir}/same"
	if "${PYTHON}" "${lib}/aslr_audit.py" "${dir}/fork.data" "${dir}/same" > /dev/null; then
		fail "no finds in the original"
	fi
	"${PYTHON}" "${lib}/aslr_put_back.py" "${dir}/fork.data" "${dir}/fork.safe" \
		"${dir}/leak"
	if "${PYTHON}" "${lib}/aslr_audit.py" "${dir}/fork.data" "${dir}/leak" > /dev/null; then
		fail "no find where an address was put back"
	fi
}

test_bad() {
	local size

	echo "Bad command lines and input"
	refused "no input" "" perf inject --aslr -o out
	refused "missing input" "missing" perf inject --aslr -i missing -o out
	: > "${dir}/empty"
	refused "empty input" "empty" perf inject --aslr -i empty -o out
	echo "this is no perf.data" > "${dir}/text"
	refused "other input" "incompatible file format" perf inject --aslr -i text -o out
	for size in 200 400 10000; do
		head -c "${size}" "${dir}/fork.data" > "${dir}/cut"
		refused "input cut at ${size}" "cut\|incompatible" perf inject --aslr -i cut -o out
	done
	head -c -100 "${dir}/fork.data" > "${dir}/cut"
	refused "input cut at its end" "cut: cut off at 0x" perf inject --aslr -i cut -o out
	refused "same file" "same file" perf inject --aslr -i fork.data -o fork.data
	mkfifo "${dir}/fifo"
	refused "a named pipe" "pipe" perf inject --aslr -i fork.data -o fifo
	ln -sf fork.data "${dir}/link"
	refused "same file by a link" "same file" perf inject --aslr -i fork.data -o link
	refused "no directory" "nowhere" perf inject --aslr -i fork.data -o nowhere/out
}

test_whole() {
	local before

	echo "Whole or not at all"
	cp "${dir}/fork.safe" "${dir}/kept"
	before=$(stat -c %i "${dir}/kept")
	head -c 50000 "${dir}/fork.data" > "${dir}/cut"
	if perf inject --aslr -i "${dir}/cut" -o "${dir}/kept" 2> /dev/null; then
		fail "cut input: exit status 0"
	fi
	cmp "${dir}/fork.safe" "${dir}/kept" || fail "a failed run changes the old output"
	[ "$(stat -c %i "${dir}/kept")" = "${before}" ] ||
		fail "a failed run replaces the old output"
	(umask 0; perf inject --aslr -i "${dir}/fork.data" -o "${dir}/kept")
	[ "$(stat -c %a "${dir}/kept")" = 600 ] || fail "others can read the output"
	if perf inject --aslr -i "${dir}/fork.data" -o /dev/full 2> /dev/null; then
		fail "full disk: exit status 0"
	fi
	if perf inject --aslr -i "${dir}/fork.data" -o - > /dev/full 2> /dev/null; then
		fail "full pipe: exit status 0"
	fi
	perf inject --aslr -i "${dir}/fork.data" -o /dev/null || fail "to /dev/null"
	[ -c /dev/null ] || fail "replaced /dev/null"
	(cat "${dir}/pipe.data"; sleep 3) | perf inject --aslr -o "${dir}/killed" &
	sleep 1
	kill "$!" 2> /dev/null || true
	wait "$!" 2> /dev/null || true
	[ ! -e "${dir}/killed" ] || fail "an output of a run that was killed"
	! ls "${dir}"/.perf-inject.* > /dev/null 2>&1 || fail "left a temporary file"
}

if ! perf record -q -e cpu-clock -o "${dir}/probe.data" -- true 2> /dev/null; then
	skip "can't record cpu-clock here"
fi

test_fork
test_system
test_faults
test_user
test_pipes
test_crafted
test_tracepoints
test_summary
test_reproducible
test_auditor
test_bad
test_whole

finish
