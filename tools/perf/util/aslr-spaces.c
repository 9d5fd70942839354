// SPDX-License-Identifier: GPL-2.0
/*
 * The address spaces of all machines and processes of a profile, see aslr-spaces.h.
 */
#include "aslr-spaces.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <linux/bits.h>
#include <linux/err.h>
#include <linux/kernel.h>
#include <linux/list.h>
#include <linux/sizes.h>
#include <linux/zalloc.h>
#include "hashmap.h"

/* 64-bit kernels that share the address space with processes have its upper half. */
#define KERNEL_START_64	BIT_ULL(63)

/* 32-bit ones have their text in the first MiBs of the last 3, 2 or 1 GiB. */
#define KERNEL_START_32	(SZ_2G | SZ_1G)

/* A process that lives, or has threads that do. */
struct aslr_process {
	s32			pid;
	struct aslr_space	*space;
	long			nr_threads;
	bool			leader_exited;
};

#define ASLR_RECENT	64

struct aslr_machine {
	struct list_head	node;
	s32			id;
	/* The first address of the kernel, 0 if it has all addresses, as processes do. */
	u64			kernel_start;
	struct aslr_space	*kernel;
	struct aslr_space	*hypervisor;
	struct aslr_space	*phys;
	/* Of all processes that are gone. */
	struct aslr_space	*strays;
	/* struct aslr_process by pid. */
	struct hashmap		*processes;
	/* Some that were looked up, by the low bits of the pid. */
	struct aslr_process	*recent[ASLR_RECENT];
};

struct aslr_spaces {
	struct aslr_known	*known;
	struct list_head	machines;
	/* The last machine that was looked up. */
	struct aslr_machine	*last;
	unsigned long		nr_pages_gone;
	/* Grows when a space goes, or another one becomes that of a process. */
	u64			generation;
};

static size_t pid_hash(long key, void *ctx __maybe_unused)
{
	return key;
}

static bool pid_equal(long key1, long key2, void *ctx __maybe_unused)
{
	return key1 == key2;
}

static void aslr_spaces__delete_space(struct aslr_spaces *spaces, struct aslr_space *space)
{
	if (!space)
		return;
	spaces->nr_pages_gone += aslr_space__nr_pages(space);
	aslr_space__delete(space);
}

static void aslr_spaces__delete_process(struct aslr_spaces *spaces, struct aslr_process *process)
{
	spaces->generation++;
	aslr_spaces__delete_space(spaces, process->space);
	free(process);
}

static void aslr_spaces__delete_machine(struct aslr_spaces *spaces, struct aslr_machine *machine)
{
	struct hashmap_entry *entry;
	size_t bkt;

	hashmap__for_each_entry(machine->processes, entry, bkt)
		aslr_spaces__delete_process(spaces, entry->pvalue);
	hashmap__free(machine->processes);
	aslr_spaces__delete_space(spaces, machine->kernel);
	aslr_spaces__delete_space(spaces, machine->hypervisor);
	aslr_spaces__delete_space(spaces, machine->phys);
	aslr_spaces__delete_space(spaces, machine->strays);
	free(machine);
}

struct aslr_spaces *aslr_spaces__new(void)
{
	struct aslr_spaces *spaces = zalloc(sizeof(*spaces));

	if (!spaces)
		return NULL;

	INIT_LIST_HEAD(&spaces->machines);
	spaces->known = aslr_known__new();
	if (!spaces->known)
		zfree(&spaces);
	return spaces;
}

void aslr_spaces__delete(struct aslr_spaces *spaces)
{
	struct aslr_machine *machine, *next;

	if (!spaces)
		return;
	list_for_each_entry_safe(machine, next, &spaces->machines, node)
		aslr_spaces__delete_machine(spaces, machine);
	aslr_known__delete(spaces->known);
	free(spaces);
}

static struct aslr_machine *aslr_spaces__new_machine(struct aslr_spaces *spaces, s32 id)
{
	struct aslr_machine *machine = zalloc(sizeof(*machine));

	if (!machine)
		return NULL;

	machine->id = id;
	machine->kernel_start = KERNEL_START_64;
	machine->processes = hashmap__new(pid_hash, pid_equal, NULL);
	if (IS_ERR(machine->processes)) {
		free(machine);
		return NULL;
	}
	list_add(&machine->node, &spaces->machines);
	return machine;
}

bool aslr_spaces__has_guest(const struct aslr_spaces *spaces, s32 id)
{
	const struct aslr_machine *machine;

	if (id < 0)
		return false;
	list_for_each_entry(machine, &spaces->machines, node) {
		if (machine->id == id)
			return true;
	}
	return false;
}

static noinline struct aslr_machine *aslr_spaces__findnew_machine(struct aslr_spaces *spaces,
								  s32 id)
{
	struct aslr_machine *machine;

	list_for_each_entry(machine, &spaces->machines, node) {
		if (machine->id == id) {
			spaces->last = machine;
			return machine;
		}
	}
	return spaces->last = aslr_spaces__new_machine(spaces, id);
}

/* NULL when out of memory. */
static inline struct aslr_machine *aslr_spaces__machine(struct aslr_spaces *spaces, s32 id)
{
	if (spaces->last && spaces->last->id == id)
		return spaces->last;
	return aslr_spaces__findnew_machine(spaces, id);
}

static struct aslr_space *aslr_spaces__findnew(struct aslr_spaces *spaces,
					       struct aslr_space **space,
					       enum aslr_space_type type)
{
	if (!*space)
		*space = aslr_space__new(type, spaces->known);
	return *space;
}

struct aslr_space *aslr_spaces__kernel(struct aslr_spaces *spaces, s32 id)
{
	struct aslr_machine *machine = aslr_spaces__machine(spaces, id);
	enum aslr_space_type type = id < 0 ? ASLR_SPACE__KERNEL : ASLR_SPACE__GUEST_KERNEL;

	return machine ? aslr_spaces__findnew(spaces, &machine->kernel, type) : NULL;
}

struct aslr_space *aslr_spaces__hypervisor(struct aslr_spaces *spaces, s32 id)
{
	struct aslr_machine *machine = aslr_spaces__machine(spaces, id);

	return machine ? aslr_spaces__findnew(spaces, &machine->hypervisor,
					      ASLR_SPACE__KERNEL) : NULL;
}

struct aslr_space *aslr_spaces__phys(struct aslr_spaces *spaces, s32 id)
{
	struct aslr_machine *machine = aslr_spaces__machine(spaces, id);

	return machine ? aslr_spaces__findnew(spaces, &machine->phys, ASLR_SPACE__PHYS) : NULL;
}

static struct aslr_process *aslr_machine__find(struct aslr_machine *machine, s32 pid)
{
	struct aslr_process **recent = &machine->recent[pid & (ASLR_RECENT - 1)];

	if (*recent && (*recent)->pid == pid)
		return *recent;
	if (!hashmap__find(machine->processes, pid, recent))
		return NULL;
	return *recent;
}

static void aslr_machine__remove(struct aslr_machine *machine, struct aslr_spaces *spaces, s32 pid)
{
	struct aslr_process *process;

	machine->recent[pid & (ASLR_RECENT - 1)] = NULL;
	if (hashmap__delete(machine->processes, pid, NULL, &process))
		aslr_spaces__delete_process(spaces, process);
}

/* A process of @space, which it takes over.  NULL when out of memory. */
static struct aslr_process *aslr_machine__add(struct aslr_machine *machine,
					      struct aslr_spaces *spaces, s32 pid,
					      struct aslr_space *space)
{
	struct aslr_process *process = zalloc(sizeof(*process));

	spaces->generation++;
	if (!space || !process || hashmap__add(machine->processes, pid, process)) {
		aslr_space__delete(space);
		free(process);
		return NULL;
	}
	process->pid = pid;
	process->space = space;
	process->nr_threads = 1;
	return process;
}

struct aslr_space *aslr_spaces__process(struct aslr_spaces *spaces, s32 id, s32 pid)
{
	struct aslr_machine *machine = aslr_spaces__machine(spaces, id);
	struct aslr_process *process;

	if (!machine)
		return NULL;
	process = aslr_machine__find(machine, pid);
	if (process)
		return process->space;
	return aslr_spaces__findnew(spaces, &machine->strays, ASLR_SPACE__USER);
}

static struct aslr_process *aslr_spaces__findnew_process(struct aslr_spaces *spaces,
							 struct aslr_machine *machine, s32 pid)
{
	struct aslr_process *process = aslr_machine__find(machine, pid);

	return process ?: aslr_machine__add(machine, spaces, pid,
					    aslr_space__new(ASLR_SPACE__USER, spaces->known));
}

struct aslr_space *aslr_spaces__new_process(struct aslr_spaces *spaces, s32 id, s32 pid)
{
	struct aslr_machine *machine = aslr_spaces__machine(spaces, id);
	struct aslr_process *process;

	process = machine ? aslr_spaces__findnew_process(spaces, machine, pid) : NULL;
	return process ? process->space : NULL;
}

int aslr_spaces__fork(struct aslr_spaces *spaces, s32 id, s32 ppid, s32 pid, s32 tid, bool inherit)
{
	struct aslr_machine *machine = aslr_spaces__machine(spaces, id);
	struct aslr_process *process, *parent;
	struct aslr_space *space;

	if (!machine)
		return -ENOMEM;

	if (pid == ppid) {
		process = aslr_spaces__findnew_process(spaces, machine, pid);
		if (!process)
			return -ENOMEM;
		if (tid != pid)
			process->nr_threads++;
		return 0;
	}

	if (tid == pid)
		aslr_machine__remove(machine, spaces, pid);
	else if (aslr_machine__find(machine, pid))
		return 0;

	parent = inherit ? aslr_machine__find(machine, ppid) : NULL;
	if (parent)
		space = aslr_space__fork(parent->space);
	else
		space = aslr_space__new(ASLR_SPACE__USER, spaces->known);
	return aslr_machine__add(machine, spaces, pid, space) ? 0 : -ENOMEM;
}

void aslr_spaces__exit(struct aslr_spaces *spaces, s32 id, s32 pid, s32 tid)
{
	struct aslr_machine *machine = aslr_spaces__machine(spaces, id);
	struct aslr_process *process = machine ? aslr_machine__find(machine, pid) : NULL;

	if (!process)
		return;
	process->nr_threads--;
	if (pid == tid)
		process->leader_exited = true;
	if (process->leader_exited && process->nr_threads <= 0)
		aslr_machine__remove(machine, spaces, pid);
}

int aslr_spaces__add_text(struct aslr_spaces *spaces, s32 id, u64 start, u64 len, u64 ref,
			  struct aslr_text *text)
{
	struct aslr_space *kernel = aslr_spaces__kernel(spaces, id);
	u64 addr = ref ?: start;

	if (!kernel)
		return -ENOMEM;

	if (addr && addr < KERNEL_START_64)
		spaces->last->kernel_start = addr <= UINT_MAX ? addr & KERNEL_START_32 : 0;

	return aslr_space__add_text(kernel, start, len, ref, text);
}

void aslr_view__set(struct aslr_view *view, s32 machine, s32 guest, s32 pid, u8 cpumode)
{
	u64 generation = view->spaces->generation;

	view->cpumode = cpumode;
	if (view->generation != generation || view->machine != machine || view->guest != guest) {
		memset(view->by_mode, 0, sizeof(view->by_mode));
		view->generation = generation;
		view->machine = machine;
		view->guest = guest;
	} else if (view->pid != pid) {
		view->by_mode[PERF_RECORD_MISC_USER] = NULL;
		view->by_mode[PERF_RECORD_MISC_GUEST_USER] = NULL;
	}
	view->pid = pid;
}

static struct aslr_space *find_space(const struct aslr_view *view, u8 mode)
{
	switch (mode) {
	case PERF_RECORD_MISC_KERNEL:
		return aslr_spaces__kernel(view->spaces, view->machine);
	case PERF_RECORD_MISC_GUEST_KERNEL:
		return aslr_spaces__kernel(view->spaces, view->guest);
	case PERF_RECORD_MISC_GUEST_USER:
		return aslr_spaces__process(view->spaces, view->guest, view->pid);
	case PERF_RECORD_MISC_USER:
		return aslr_spaces__process(view->spaces, view->machine, view->pid);
	default:
		return aslr_spaces__hypervisor(view->spaces, view->machine);
	}
}

struct aslr_space *aslr_view__find_space(struct aslr_view *view, u8 mode)
{
	view->by_mode[mode] = find_space(view, mode);
	return view->by_mode[mode];
}

static bool is_guest(u8 mode)
{
	return mode == PERF_RECORD_MISC_GUEST_KERNEL || mode == PERF_RECORD_MISC_GUEST_USER;
}

/* Where the kernel's addresses begin in the machine of @mode. */
static u64 aslr_view__kernel_start(struct aslr_view *view, u8 mode)
{
	const struct aslr_machine *machine;

	machine = aslr_spaces__machine(view->spaces, is_guest(mode) ? view->guest : view->machine);
	return machine ? machine->kernel_start : KERNEL_START_64;
}

struct aslr_space *aslr_view__upper_space(struct aslr_view *view, u8 mode)
{
	if (aslr_view__kernel_start(view, mode) == KERNEL_START_64)
		mode = is_guest(mode) ? PERF_RECORD_MISC_GUEST_KERNEL : PERF_RECORD_MISC_KERNEL;
	return aslr_view__space(view, mode);
}

struct aslr_space *aslr_view__space_of(struct aslr_view *view, u64 addr)
{
	bool guest = is_guest(view->cpumode);
	u8 user = guest ? PERF_RECORD_MISC_GUEST_USER : PERF_RECORD_MISC_USER;
	u8 kernel = guest ? PERF_RECORD_MISC_GUEST_KERNEL : PERF_RECORD_MISC_KERNEL;
	struct aslr_space *space = aslr_view__space(view, kernel);
	u64 kernel_start = aslr_view__kernel_start(view, view->cpumode);

	if (!space)
		return NULL;
	if (!kernel_start)
		return aslr_view__space(view, view->cpumode);
	/* 32-bit modules may lie below the kernel. */
	if (addr >= kernel_start || (kernel_start <= UINT_MAX && aslr_space__contains(space, addr)))
		return space;
	return aslr_view__space(view, user);
}

bool aslr_spaces__know(const struct aslr_spaces *spaces, u64 addr)
{
	return aslr_known__has(spaces->known, addr);
}

void aslr_spaces__lose(struct aslr_spaces *spaces)
{
	aslr_known__lose(spaces->known);
}

unsigned long aslr_spaces__nr_pages(const struct aslr_spaces *spaces)
{
	unsigned long nr = spaces->nr_pages_gone;
	struct aslr_machine *machine;
	struct hashmap_entry *entry;
	size_t bkt;

	list_for_each_entry(machine, &spaces->machines, node) {
		const struct aslr_space *own[] = {
			machine->kernel, machine->hypervisor, machine->phys, machine->strays,
		};

		for (unsigned int i = 0; i < ARRAY_SIZE(own); i++)
			nr += own[i] ? aslr_space__nr_pages(own[i]) : 0;
		hashmap__for_each_entry(machine->processes, entry, bkt) {
			const struct aslr_process *process = entry->pvalue;

			nr += aslr_space__nr_pages(process->space);
		}
	}
	return nr;
}
