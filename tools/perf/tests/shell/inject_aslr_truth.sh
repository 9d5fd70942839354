#!/bin/bash
# perf inject --aslr: no address that the profiled programs tell of
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

undo() {
	perf probe -q -d 'aslrtruth:*' > /dev/null 2>&1 || true
}

# work TRUTH MILLISECONDS [ADDRESS [...]]: what maps and unmaps for so long, some at the address,
# and tells of it in a file.
cat > "${dir}/work.c" <<- EOF
	#define _GNU_SOURCE
	#include <fcntl.h>
	#include <linux/futex.h>
	#include <pthread.h>
	#include <signal.h>
	#include <stdio.h>
	#include <stdlib.h>
	#include <string.h>
	#include <sys/mman.h>
	#include <sys/syscall.h>
	#include <sys/uio.h>
	#include <sys/wait.h>
	#include <time.h>
	#include <unistd.h>

	static const char *truth;
	static volatile long sink;

	static long now(void)
	{
		struct timespec ts;

		clock_gettime(CLOCK_MONOTONIC, &ts);
		return ts.tv_sec * 1000000000L + ts.tv_nsec;
	}

	/* All at once, for others write, too. */
	static void tell(const char *text, size_t size)
	{
		int fd = open(truth, O_WRONLY | O_CREAT | O_APPEND, 0600);

		if (fd < 0 || write(fd, text, size) != (ssize_t)size)
			exit(1);
		close(fd);
	}

	static void tell_maps(void)
	{
		static __thread char text[1 << 16];
		int size = snprintf(text, sizeof(text), "time %ld\n", now());
		int fd = open("/proc/self/maps", O_RDONLY);
		int n;

		while ((n = read(fd, text + size, sizeof(text) - size)) > 0)
			size += n;
		close(fd);
		tell(text, size);
	}

	static void tell_range(const void *start, size_t size, const char *name)
	{
		char text[64];

		tell(text, snprintf(text, sizeof(text), "%lx-%lx rw-p 0 0 0 %s\n", (long)start,
				    (long)start + size, name));
	}

	__attribute__((noipa)) void *leaf(const char *text, long *array, void *pointer,
					  unsigned char *bytes)
	{
		for (int i = 0; i < 500; i++)
			sink += text[i % 8] + array[i % 4] + bytes[i % 8];
		return pointer;
	}

	static void handler(int sig)
	{
		long array[4] = { (long)&sig, (long)&handler, (long)&sink, 1 };

		leaf("in a handler", array, array, (unsigned char *)array);
	}

	static void *thread(void *arg)
	{
		long array[4] = { (long)&array, (long)&thread, (long)arg, (long)&sink };

		tell_maps();
		for (int i = 0; i < 200; i++)
			leaf("in a thread", array, array, (unsigned char *)array);
		return arg;
	}

	static void churn(long end)
	{
		int zero = open("/dev/zero", O_RDONLY), null = open("/dev/null", O_WRONLY);
		struct sigaction action = { .sa_handler = handler };
		char *heap = malloc(5000), text[64];
		unsigned int word = 0;

		for (int i = 0; now() < end; i++) {
			size_t size = 4096 * (1 + i % 300);
			char *map = mmap(NULL, size, PROT_READ | PROT_WRITE,
					 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
			long array[4] = { (long)heap, (long)map, (long)&array, (long)&churn };
			struct timespec ts = { .tv_nsec = 100 };
			struct iovec iov = { map, 4096 };
			char *more;

			tell_range(map, size, "");
			for (size_t at = 0; at < size; at += 4096)
				map[at] = 1;
			snprintf(text, sizeof(text), "at %p and %lX, %lu", (void *)map, (long)heap,
				 (long)map);
			for (int j = 0; j < 50; j++)
				leaf(text, array, j % 2 ? map : heap, (unsigned char *)array);
			if (read(zero, map, 4096) < 0 || readv(zero, &iov, 1) < 0 ||
			    write(null, map, size) < 0)
				exit(1);
			mprotect(map, 4096, PROT_READ);
			sigaction(SIGUSR1, &action, NULL);
			kill(getpid(), SIGUSR1);
			syscall(SYS_futex, &word, FUTEX_WAKE, 1, NULL, NULL, 0);
			syscall(SYS_futex, &word, FUTEX_WAIT, 0, &ts, NULL, 0);
			munmap(map, size);
			if (i % 16 == 0) {
				more = sbrk(1 << 16);
				memset(more, 1, 1 << 16);
				tell_range(more, 1 << 16, "[heap]");
			}
		}
		tell_maps();
	}

	int main(int argc, char **argv)
	{
		pthread_t other;
		long end;

		if (argc < 3)
			return 1;
		truth = argv[1];
		end = now() + atol(argv[2]) * 1000000L;
		tell_maps();
		if (argc > 3) {
			char *start = (char *)strtoul(argv[3], NULL, 16);
			size_t size = 1 << 16;

			if (mmap(start, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS |
				 MAP_FIXED_NOREPLACE, -1, 0) != start)
				return 1;
			tell_range(start, size, "");
			for (size_t at = 0; at < size; at += 4096)
				start[at] = 1;
		}
		if (!strcmp(argv[2], "1")) {
			churn(end + 20000000L);
			return 0;
		}
		for (int i = 0; now() < end; i++) {
			if (pthread_create(&other, NULL, thread, &end))
				return 1;
			if (!fork()) {
				churn(now() + 20000000L);
				_exit(0);
			}
			if (!fork()) {
				execl("/proc/self/exe", "again", truth, "1", NULL);
				_exit(1);
			}
			churn(now() + 20000000L);
			pthread_join(other, NULL);
			while (wait(NULL) > 0)
				;
		}
		tell_maps();
		return 0;
	}
EOF

# The numbers that files have by chance, of those that are mapped.
file_numbers() {
	perf script -i - -F comm --show-mmap-events 2> /dev/null |
		sed -n 's/.* [0-9a-f]*:[0-9a-f]* \([0-9]*\) \([0-9]*\)\]: .*/\1\n\2/p' | sort -u
}

# check NAME KINDS [PLAIN]: NAME.safe has none of NAME.truth, and NAME.data or PLAIN has these.
check() {
	local name=$1 kinds=$2 orig=${3:-${dir}/$1.data}

	# Users may not see the kernel.
	[ "$(id -u)" = 0 ] || kinds=${kinds%,kernel}
	if [ -d "${orig}" ]; then
		perf inject -i "${orig}" -o "${dir}/plain" && orig=${dir}/plain
	fi
	file_numbers < "${orig}" > "${dir}/numbers"
	"${PYTHON}" "${lib}/aslr_truth.py" --expect "${kinds}" --numbers "${dir}/numbers" \
		"${dir}/${name}.truth" "${orig}" "${dir}/${name}.safe" || fail "${name}"
}

inject() {
	local name=$1

	shift
	perf inject --aslr -i "${dir}/${name}.data" -o "${dir}/${name}.safe" "$@" \
		2> "${dir}/stderr" || fail "${name}: inject: $(cat "${dir}/stderr")"
}

# record NAME PROGRAM OPTIONS...
record() {
	local name=$1 program=$2

	shift 2
	echo "${name}"
	if ! perf record -q -o "${dir}/${name}.data" "$@" -- \
		"${dir}/${program}" "${dir}/${name}.truth" 60 > "${dir}/stderr" 2>&1; then
		echo "can't record $* here"
		return 1
	fi
}

# truth NAME KINDS PROGRAM OPTIONS...
truth() {
	local name=$1 kinds=$2

	shift 2
	record "${name}" "$@" || return 0
	inject "${name}"
	check "${name}" "${kinds}"
}

# lossy NAME KINDS WHICH...: what is left of NAME.data if those records are lost, see aslr_lose.py.
lossy() {
	local name=$1 kinds=$2 which

	shift 2
	[ -f "${dir}/${name}.data" ] || return 0
	for which; do
		echo "${name}, lost ${which}"
		"${PYTHON}" "${lib}/aslr_lose.py" "${which}" "${dir}/${name}.data" \
			"${dir}/lost.data" || fail "${name}, lost ${which}"
		ln -sf "${name}.truth" "${dir}/lost.truth"
		inject lost
		check lost "${kinds}"
	done
}

compile() {
	cc -O2 -pthread "$@" "${dir}/work.c" 2> "${dir}/stderr"
}

# Tracepoints of which it is known that they can be recorded here, as options.
events() {
	local event

	for event; do
		if perf record -q -e "${event}" -o "${dir}/probe.data" -- true \
			> /dev/null 2>&1; then
			echo "-e ${event}"
		fi
	done
}

test_sampling() {
	truth chains user,kernel work -g
	truth fixed user,low fixed -g
	truth faults user,kernel work -e page-faults -c 1 -d -g
	truth fixed-faults user,low fixed -e page-faults -c 1 -d
	truth data user work -e page-faults -c 1 -d --phys-data
	truth switches user,kernel work -e context-switches -c 1 -g
	truth clock user work -k CLOCK_MONOTONIC -s -T --sample-cpu --sample-identifier
	truth regs user work --intr-regs --user-regs=ip,sp,bp
	truth buildids user work --buildid-all --buildid-mmap
	truth namespaces user work --namespaces --all-cgroups -g
}

test_stacks() {
	truth stacks user,kernel work --call-graph dwarf -F 200
	record blind work --call-graph dwarf -F 200 || return 0
	inject blind --no-unwind
	check blind user,kernel
	truth fixed-stacks user,low fixed --call-graph dwarf,4096 -F 200
}

test_system() {
	echo "system"
	"${dir}/work" "${dir}/system.truth" 500 &
	background=$!
	perf record -q -a -g -o "${dir}/system.data" -- sleep 0.5 > "${dir}/stderr" 2>&1 &
	sleep 0.3
	"${PYTHON}" "${lib}/aslr_truth.py" --snapshot "${dir}/system.truth"
	if ! wait $!; then
		echo "can't record the whole system here"
		wait "${background}" || true
		background=
		return
	fi
	wait "${background}" || true
	background=
	inject system
	check system user,kernel
}

test_attach() {
	echo "attach"
	"${dir}/work" "${dir}/attach.truth" 10000 &
	background=$!
	perf record -q -g -D 50 -p "${background}" -o "${dir}/attach.data" -- sleep 0.3 \
		> "${dir}/stderr" 2>&1 || fail "attach: record"
	stop_background
	inject attach
	check attach user
}

test_outputs() {
	local part

	if record packed work -g -z; then
		# Its addresses can't be seen.
		perf script -i "${dir}/packed.data" -F ip > "${dir}/packed.plain"
		inject packed
		check packed hex "${dir}/packed.plain"
	fi

	echo "pipe"
	perf record -q -g -d -o - -- "${dir}/work" "${dir}/pipe.truth" 60 > "${dir}/pipe.data" ||
		fail "pipe: record"
	perf inject --aslr -i - -o - < "${dir}/pipe.data" > "${dir}/pipe.safe" ||
		fail "pipe: inject"
	check pipe user,kernel

	truth threads user,kernel work -g --threads

	if record parts work -g --switch-output=1M -m 4M; then
		for part in "${dir}"/parts.data.*; do
			mv "${part}" "${dir}/parts.data"
			inject parts
			check parts user
			break
		done
	fi
}

test_tracepoints() {
	local e

	if [ -z "$(events sched:sched_switch)" ] || ! perf check feature -q libtraceevent; then
		echo "no tracepoints here"
		return
	fi
	e=$(events exceptions:page_fault_user exceptions:page_fault_kernel)
	# shellcheck disable=SC2086 # some options
	if [ "${e}" ]; then
		truth exceptions user,kernel work ${e}
		lossy exceptions user,kernel mappings others
		truth fixed-exceptions user,low fixed ${e}
	fi
	truth syscalls user work -e raw_syscalls:sys_enter -e raw_syscalls:sys_exit
	lossy syscalls user mappings others late
	truth fixed-syscalls user,low fixed -d -e raw_syscalls:sys_enter -e raw_syscalls:sys_exit
	# Its data are where its file says, but for the heap.
	if record heap fixed -e raw_syscalls:sys_enter -e raw_syscalls:sys_exit; then
		sed -i '/^time/b; /^0*[0-9a-f]\{1,8\}-/{ /\[heap\]/!d }' "${dir}/heap.truth"
		inject heap
		check heap user,low
		lossy heap user,low mappings others tasks seconds late
	fi
	e=$(events syscalls:sys_{enter,exit}_{mmap,munmap,brk,mprotect,read,readv,write,futex} \
		syscalls:sys_{enter,exit}_{rt_sigaction,rt_sigreturn,clone,clone3,execve,wait4})
	# shellcheck disable=SC2086
	if [ "${e}" ]; then
		truth named-syscalls user work ${e}
	fi
	truth kmem user,kernel work -e 'kmem:*'
	truth sched user,kernel work -e 'sched:*' -g
	truth signals user,kernel work -e 'signal:*' -g
	e=$(events mmap:vm_unmapped_area maple_tree:ma_op tlb:tlb_flush vmalloc:alloc_vmap_area \
		filemap:mm_filemap_add_to_page_cache huge_memory:mm_khugepaged_scan_pmd \
		timer:timer_start timer:hrtimer_start workqueue:workqueue_queue_work \
		irq_vectors:local_timer_entry rcu:rcu_utilization task:task_newtask \
		x86_fpu:x86_fpu_regs_activated mmap_lock:mmap_lock_start_locking \
		lock:contention_begin skb:consume_skb sock:inet_sock_set_state)
	# shellcheck disable=SC2086
	if [ "${e}" ]; then
		truth others user,kernel work -a ${e}
	fi
}

test_uprobes() {
	local args='a=%di:u64 t=+0(%di):string p=%dx:x64 l=%dx:s64'

	args+=' y=+0(%si):x64[4] b=+0(%cx):u8[32] w=+0(%si):x32[8] h=+0(%si):u16[16]'
	# shellcheck disable=SC2016 # no variables of the shell
	if [ "$(uname -m)" != x86_64 ] || ! perf probe -q -x "${dir}/work" \
		--add "aslrtruth:leaf=leaf ${args}" \
		--add 'aslrtruth:ret=leaf%return r=$retval:x64 d=$retval:u64' \
		> "${dir}/stderr" 2>&1; then
		echo "no uprobes here"
		return
	fi
	truth uprobes user work -e 'aslrtruth:*'
	truth uprobes-chains user work -e 'aslrtruth:*' -g
	lossy uprobes user,hex mappings others program tasks seconds late
	perf probe -q -d 'aslrtruth:*' > /dev/null 2>&1
}

# An address that the command line has in all ways in which it can be written.
test_command() {
	echo "command"
	perf record -q -e page-faults -c 1 -d -o "${dir}/command.data" -- "${dir}/work" \
		"${dir}/command.truth" 50 0x7e9a9c8b1000 7E9A9C8B2008 00007e9a9c8b3f00 \
		at=0x7e9a9c8b1010,0X7E9A9C8B4ABC. 139202516427056 \
		> "${dir}/stderr" 2>&1 || fail "command: record"
	inject command
	check command user,hex,decimal
}

if ! echo 'int main(void) { return 0; }' | cc -x c -o "${dir}/a.out" - 2> /dev/null; then
	skip "no compiler"
fi
if [ "$("${PYTHON}" -c 'import sys; print(sys.byteorder)')" != little ]; then
	skip "this machine has another byte order"
fi
compile -o "${dir}/work" || skip "the workload can't be compiled: $(cat "${dir}/stderr")"
# Where no images and few small numbers are.
compile -o "${dir}/fixed" -static -no-pie -Wl,-Ttext-segment=0x429c1000 ||
	skip "no static programs at a fixed address here: $(cat "${dir}/stderr")"
if ! perf record -q -o "${dir}/probe.data" -- true > /dev/null 2>&1; then
	skip "can't record here"
fi

test_sampling
test_stacks
test_system
test_attach
test_outputs
test_tracepoints
test_uprobes
test_command

finish
