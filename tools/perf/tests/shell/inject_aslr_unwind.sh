#!/bin/bash
# perf inject --aslr: user stacks become call chains
# SPDX-License-Identifier: GPL-2.0
# shellcheck disable=SC2034,SC2154 # variables of lib/inject.sh

set -e

shelldir=$(dirname "$0")
# shellcheck source=lib/setup_python.sh
. "${shelldir}"/lib/setup_python.sh
# shellcheck source=lib/inject.sh
. "${shelldir}"/lib/inject.sh

# Nobody's build-id cache: perf's default is in there.
export HOME=${dir}

# Inlined functions, recursion, calls back from a library, the kernel; by itself, as some
# processes, as some threads, or until killed.
cat > "${dir}/work.c" <<- EOF
	#include <pthread.h>
	#include <stdlib.h>
	#include <string.h>
	#include <sys/wait.h>
	#include <unistd.h>

	static volatile unsigned long sink;

	static inline __attribute__((always_inline)) void spin(unsigned long n)
	{
		for (unsigned long i = 0; i < n; i++)
			sink += i * i;
	}

	__attribute__((noinline)) int leaf(int n)
	{
		spin(n);
		sink += n;
		return n;
	}

	__attribute__((noinline)) int deep(int n)
	{
		int r = n ? deep(n - 1) : leaf(20000);

		sink++;
		return r + 1;
	}

	static int compare(const void *a, const void *b)
	{
		spin(100);
		return *(const int *)a - *(const int *)b;
	}

	static void *work(void *arg)
	{
		for (int i = 0; i < 100 || arg; i++) {
			int v[64];
			char *p = malloc(1 << 20);

			for (int j = 0; j < 64; j++)
				v[j] = (i * 7919 + j * 31) % 1000;
			for (int j = 0; j < 8; j++)
				deep(j);
			deep(200);
			qsort(v, 64, sizeof(v[0]), compare);
			memset(p, i, 1 << 20);
			sink += p[i];
			free(p);
		}
		return NULL;
	}

	int main(int argc, char **argv)
	{
		char how = argc > 1 ? argv[1][0] : 0;
		pthread_t threads[3];

		for (int i = 0; i < 3; i++) {
			if (how == 'f' && !fork()) {
				work(NULL);
				return 0;
			}
			if (how == 't')
				pthread_create(&threads[i], NULL, work, NULL);
		}
		work(how == 'e' ? argv : NULL);
		for (int i = 0; i < 3 && how == 't'; i++)
			pthread_join(threads[i], NULL);
		while (wait(NULL) > 0)
			;
		return 0;
	}
EOF

cat > "${dir}/throw.cpp" <<- EOF
	#include <algorithm>
	#include <map>
	#include <stdexcept>
	#include <string>
	#include <vector>

	static volatile unsigned long sink;

	template <typename T> struct Worker {
		std::map<int, T> seen;

		__attribute__((noinline)) int work(int n)
		{
			std::string s(n % 40, 'x');

			for (int i = 0; i < 300; i++)
				sink += i * s.size();
			if (!n)
				throw std::runtime_error("the bottom");
			seen[n % 7] = n;
			int r = work(n - 1);
			sink += r;
			return r + 1;
		}
	};

	int main()
	{
		Worker<long> worker;

		for (int i = 0; i < 500; i++) {
			try {
				sink += worker.work(i % 250);
			} catch (const std::exception &) {
				std::vector<int> v(500);

				for (size_t j = 0; j < v.size(); j++)
					v[j] = (i * 7919 + j * 31) % 1000;
				std::sort(v.begin(), v.end(),
					  [](int a, int b) { sink++; return a < b; });
			}
		}
		return 0;
	}
EOF

cat > "${dir}/deep.py" <<- EOF
	import json, re

	def fib(n):
	    return n if n < 2 else fib(n - 1) + fib(n - 2)

	def deep(n):
	    return sorted(range(200)) and deep(n - 1) if n else len(re.findall('a+', 'aab' * 500))

	for _ in range(6):
	    fib(17)
	    deep(200)
	    json.loads(json.dumps(list(range(3000))))
EOF

# record NAME [OPTION...] -- COMMAND...: with stacks of STACK bytes, if not the default's.
record() {
	local name=$1

	shift
	perf record -q -e cpu-clock -F 1500 --call-graph "dwarf,${STACK:-8192}" \
		-o "${dir}/${name}.data" "$@" > /dev/null
}

# inject NAME [OPTION...]
inject() {
	local name=$1

	shift
	perf inject --aslr "$@" -i "${dir}/${name}.data" -o "${dir}/${name}.safe" \
		2> "${dir}/${name}.stderr" || fail "${name}: inject"
}

# Each symbol with its callees' share, chains from the callee and, of fewer frames, the caller.
reports() {
	local options

	for options in "-g folded,0,callee,function,count" \
		"-g folded,0,caller,function,count --max-stack 7"; do
		# shellcheck disable=SC2086 # options are words
		perf report -i "$1" --stdio --children ${options} 2> /dev/null |
			grep -v '^#' |
			sed -E 's/0x[0-9a-f]{5,}/ADDR/g; s/ +/ /g; s/perf-vdso.so-\w+/vdso/' | sort
	done
}

# check NAME: frame by frame the same, and no leaks.
check() {
	"${PYTHON}" "${lib}/aslr_audit.py" "${dir}/$1.data" "${dir}/$1.safe" || fail "$1: audit"
	"${PYTHON}" "${lib}/aslr_function.py" "${dir}/$1.data" "${dir}/$1.safe" ||
		fail "$1: function"
	"${PYTHON}" "${lib}/aslr_compare.py" --perf perf --ignore uregs --ignore iregs \
		"${dir}/$1.data" "${dir}/$1.safe" || fail "$1: compare"
}

# check_reports NAME
check_reports() {
	local f

	for f in data safe; do
		reports "${dir}/$1.${f}" > "${dir}/${f}.reports"
	done
	[ "$(wc -l < "${dir}/data.reports")" -gt 50 ] || fail "$1: no reports"
	diff "${dir}/data.reports" "${dir}/safe.reports" > "${dir}/diff" || {
		head -20 "${dir}/diff"
		fail "$1: reports"
	}
}

# has_frame NAME PATTERN
has_frame() {
	perf script -i "${dir}/$1.safe" -F ip,sym,dso 2> /dev/null > "${dir}/frames"
	grep -q -E "$2" "${dir}/frames" || fail "$1: no frame of $2"
}

# Chains, without what the kernel has in them.
nr_user_frames() {
	perf script -i "$1" -F comm,tid,time,ip,dso 2> /dev/null |
		grep -E '^[[:space:]]+[0-9a-f]+ \(' | grep -c -v ' (\[' || true
}

# smaller NAME: by an order of magnitude.
smaller() {
	local data safe

	data=$(stat -c %s "${dir}/$1.data")
	safe=$(stat -c %s "${dir}/$1.safe")
	echo "$1: ${data} bytes become ${safe}"
	[ "${data}" -ge $((10 * safe)) ] || fail "$1: ${safe} bytes of ${data}"
}

told_nothing() {
	if grep -q 'user stacks' "${dir}/$1.stderr"; then
		cat "${dir}/$1.stderr"
		fail "$1: told of binaries"
	fi
}

# told NAME PATTERN
told() {
	grep -q -E "user stacks of [1-9][0-9]* of [1-9][0-9]* samples end at binaries: $2" \
		"${dir}/$1.stderr" && return
	cat "${dir}/$1.stderr"
	fail "$1: not told of $2"
}

test_languages() {
	local interpreter

	echo "C, C++ and Python"
	record c -- "${dir}/work"
	inject c
	check c
	check_reports c
	has_frame c 'spin.*\(inlined\)'
	has_frame c 'deep .*/work\)'
	smaller c
	told_nothing c

	cc -g -O2 -fno-omit-frame-pointer -pthread -o "${dir}/work-fp" "${dir}/work.c"
	record c-fp -- "${dir}/work-fp"
	inject c-fp
	check c-fp
	check_reports c-fp
	smaller c-fp

	if c++ -g -O2 -o "${dir}/throw" "${dir}/throw.cpp" 2> /dev/null; then
		record c++ -- "${dir}/throw"
		inject c++
		check c++
		check_reports c++
		has_frame c++ 'Worker<long>::work'
		smaller c++
	else
		echo "no C++ compiler here"
	fi

	# 127 frames are an eighth of the default stack.
	# The interpreter itself: what starts it may be a script.
	interpreter=$("${PYTHON}" -c 'import os, sys; print(os.path.realpath(sys.executable))')
	STACK=32768 record python -- "${interpreter}" "${dir}/deep.py"
	inject python
	check python
	check_reports python
	smaller python
}

test_tasks() {
	echo "Processes, threads, and what runs already"
	record fork -- "${dir}/work" f
	inject fork
	check fork
	[ "$(perf script -i "${dir}/fork.safe" -G -F pid | sort -u | wc -l)" -ge 4 ] ||
		fail "fork: no samples of children"
	record threads -- "${dir}/work" t
	inject threads
	check threads

	"${dir}/work" e &
	background=$!
	record attached -p "${background}" -- sleep 0.5
	inject attached
	stop_background
	check attached
	has_frame attached 'deep .*/work\)'
}

# Binaries that are there no longer.
test_binaries() {
	local f

	echo "Binaries that are missing or differ"
	cp -r "${dir}/.debug" "${dir}/cache"
	cc -g -O1 -pthread -o "${dir}/cached" "${dir}/work.c"
	cc -g -O1 -pthread -Wl,--build-id=uuid -o "${dir}/gone" "${dir}/work.c"
	record gone -N -- "${dir}/gone"
	record cached -- "${dir}/cached"
	cp "${dir}/gone.data" "${dir}/other.data"
	perf script -i "${dir}/cached.data" -F tid,time,ip,sym,dso > "${dir}/cached.before"

	rm "${dir}/gone" "${dir}/cached"
	inject gone
	check gone
	told gone "${dir}/gone missing \([1-9]"
	# The build-id cache has it.
	inject cached
	told_nothing cached
	check cached

	for f in gone cached; do
		cc -O0 -pthread -o "${dir}/${f}" "${dir}/work.c"
	done
	inject other
	told other "${dir}/gone differs \([1-9]"
	"${PYTHON}" "${lib}/aslr_audit.py" "${dir}/other.data" "${dir}/other.safe" ||
		fail "other: audit"
	for f in data safe; do
		perf script -i "${dir}/other.${f}" -G -F comm,tid,time,event,ip,dso |
			sed -E 's/[0-9a-f]+([0-9a-f]{3} \()/\1/; s/ +/ /g' \
			> "${dir}/other.${f}.samples"
	done
	cmp "${dir}/other.data.samples" "${dir}/other.safe.samples" || fail "other: samples"
	# What the other binary has instead isn't taken for it.
	perf script -i "${dir}/other.safe" -F comm,tid,time,ip,dso > "${dir}/frames"
	# libunwind gives the first address in it before it asks for the binary.
	awk '/^[[:space:]].*\/gone\)/ { bad += last; last = 1; next } { last = 0 }
	     END { exit bad != 0 }' "${dir}/frames" || fail "other: frames of the other binary"
	inject cached
	told_nothing cached
	perf script -i "${dir}/cached.data" -F tid,time,ip,sym,dso |
		cmp - "${dir}/cached.before" || fail "cached: the other binary in frames"
	check cached
}

test_namespace() {
	echo "Binaries in another mount namespace"
	mkdir "${dir}/mnt"
	# shellcheck disable=SC2016 # $1 is the other shell's
	unshare -m sh -c 'mount -t tmpfs none "$1/mnt" && cp "$1/work" "$1/mnt/hidden" &&
		exec "$1/mnt/hidden" e' sh "${dir}" 2> /dev/null &
	background=$!
	for _ in {1..50}; do
		grep -q hidden "/proc/${background}/comm" 2> /dev/null && break
		sleep 0.1
	done
	if ! grep -q hidden "/proc/${background}/comm" 2> /dev/null; then
		background=
		echo "no mount namespaces here"
		return
	fi
	# Something else has its path here.
	cc -O0 -pthread -o "${dir}/mnt/hidden" "${dir}/work.c"
	record namespace -N -p "${background}" -- sleep 0.5
	# What has its build-id isn't of help.
	mv "${dir}/.debug" "${dir}/.debug.not"
	inject namespace
	told_nothing namespace
	check namespace
	has_frame namespace 'deep .*/hidden\)'
	stop_background
	# It ended and took its binary with it.
	inject namespace
	told namespace "${dir}/mnt/hidden differs \([1-9]"
	mv "${dir}/.debug.not" "${dir}/.debug"
}

test_options() {
	echo "Without unwinding, pipes, other call chains"
	inject c --no-unwind
	[ "$(nr_user_frames "${dir}/c.safe")" = 0 ] || fail "--no-unwind: user frames"
	[ "$(nr_user_frames "${dir}/c.data")" != 0 ] || fail "no user frames in the original"
	"${PYTHON}" "${lib}/aslr_audit.py" "${dir}/c.data" "${dir}/c.safe" ||
		fail "--no-unwind: audit"
	if perf inject --no-unwind -i "${dir}/c.data" -o "${dir}/out" 2> /dev/null; then
		fail "--no-unwind without --aslr"
	fi

	inject c
	cp "${dir}/c.safe" "${dir}/c.again"
	(cd / && TZ=Asia/Tokyo perf inject --aslr -i "${dir}/c.data" -o "${dir}/c.safe") \
		2> /dev/null
	cmp "${dir}/c.safe" "${dir}/c.again" || fail "second run differs"
	printf '[call-graph]\n\torder = caller\n\trecord-mode = fp\n' > "${dir}/.perfconfig"
	inject c
	cmp "${dir}/c.safe" "${dir}/c.again" || fail "the configuration makes a difference"
	rm "${dir}/.perfconfig"

	perf record -q -e cpu-clock -F 1500 --call-graph dwarf -o - -- "${dir}/work" \
		> "${dir}/pipe.data" 2> /dev/null
	perf inject --aslr -i - -o "${dir}/pipe.safe" < "${dir}/pipe.data" 2> /dev/null ||
		fail "pipe: inject"
	perf inject -i - -o "${dir}/pipe-file.data" < "${dir}/pipe.data"
	mv "${dir}/pipe-file.data" "${dir}/pipe.data"
	check pipe
	has_frame pipe 'deep .*/work\)'

	# Nothing to unwind: the option makes no difference.
	perf record -q -e cpu-clock --call-graph fp -o "${dir}/fp.data" -- "${dir}/work-fp" \
		> /dev/null
	inject fp --no-unwind
	cp "${dir}/fp.safe" "${dir}/fp.again"
	inject fp
	cmp "${dir}/fp.safe" "${dir}/fp.again" || fail "--no-unwind changes recorded call chains"
	check fp
}

test_crafted() {
	echo "Stacks that nobody records"
	"${PYTHON}" "${lib}/aslr_unwind_test.py" || fail "crafted profiles"
}

perf version --build-options > "${dir}/options" 2> /dev/null || true
grep -q ' dwarf-unwind: \[ on' "${dir}/options" || skip "perf can't unwind here"
cc -g -O2 -fomit-frame-pointer -pthread -o "${dir}/work" "${dir}/work.c" 2> /dev/null ||
	skip "no C compiler here"
if ! record probe -- true 2> /dev/null; then
	skip "can't record user stacks here"
fi

test_languages
test_tasks
test_binaries
test_namespace
test_options
test_crafted

finish
