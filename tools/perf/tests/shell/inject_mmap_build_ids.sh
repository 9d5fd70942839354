#!/bin/bash
# perf inject: names in events with build-ids
# SPDX-License-Identifier: GPL-2.0
# shellcheck disable=SC2034,SC2154 # variables of lib/inject.sh

set -e

shelldir=$(dirname "$0")
# shellcheck source=lib/setup_python.sh
. "${shelldir}"/lib/setup_python.sh
# shellcheck source=lib/inject.sh
. "${shelldir}"/lib/inject.sh

result() {
	if [ "$2" = 0 ]; then
		echo "$1 [Success]"
	else
		echo "$1 [Failed]"
		err=1
	fi
}

# Who asks for the time is often in the vdso.
cat > "${dir}/time.py" <<- EOF
	import time

	end = time.time() + 0.5
	while time.time() < end:
	    pass
	EOF

# The vdso goes by its name, not by that of the file that perf puts it in.
test_vdso() {
	local status=0

	perf inject "$1" -i "${dir}/perf.data" -o "${dir}/out"
	! grep -a -q perf-vdso "${dir}/out" || status=1
	perf script -i "${dir}/out" -F ip,sym,dso | grep -q -F '[vdso]' || status=1
	result "vdso, $1" "${status}"
}

kernel_mmap() {
	perf script -i "$1" --show-mmap-events 2> /dev/null | grep 'MMAP.*\[kernel.kallsyms\]'
}

# The kernel's map comes with the symbol that it is relocated by.
test_kernel() {
	local status=0

	if ! kernel_mmap "${dir}/perf.data" > "${dir}/in"; then
		echo "no map of the kernel here [Skipped]"
		return
	fi
	perf inject -B -i "${dir}/perf.data" -o "${dir}/out"
	kernel_mmap "${dir}/out" > "${dir}/out.mmap"
	cmp -s "${dir}/in" "${dir}/out.mmap" || status=1
	result "kernel, -B" "${status}"
}

if ! perf record -q -B -N -e cpu-clock -o "${dir}/perf.data" -- "${PYTHON}" "${dir}/time.py" ||
   ! perf script -i "${dir}/perf.data" -F ip,sym,dso | grep -q -F '[vdso]'; then
	skip "no samples in the vdso here"
fi

test_vdso -b
test_vdso -B
test_kernel

finish
