/* SPDX-License-Identifier: GPL-2.0 */
#ifndef __PERF_ASLR_SPACES_H
#define __PERF_ASLR_SPACES_H

#include <stdbool.h>
#include <linux/perf_event.h>
#include <linux/types.h>
#include "aslr-space.h"

/*
 * Who lives in which address space: the spaces of all machines and processes of
 * a profile, and what fork, exit and the reuse of a pid do to them.
 *
 * It follows what perf's readers make of the same records, for a profile has to
 * read the same afterwards: a child has its parent's ranges, threads share
 * those of their process, a forked pid begins anew whatever it was before, and
 * exec leaves the old ranges until others are laid over them (a task that runs
 * exec is sampled with an address of its old program after the record of it).
 *
 * A machine is named by the pid of its guest as in struct machine.  All spaces
 * belong to struct aslr_spaces; a space is valid until its process exits or its
 * pid is reused.  No locks, see aslr-space.h.
 */

struct aslr_spaces;

/* NULL when out of memory. */
struct aslr_spaces *aslr_spaces__new(void);
void aslr_spaces__delete(struct aslr_spaces *spaces);

/* Did any record tell of a guest with the pid @machine? */
bool aslr_spaces__has_guest(const struct aslr_spaces *spaces, s32 machine);

/* A space that each machine has one of, made on first use.  NULL when out of memory. */
struct aslr_space *aslr_spaces__kernel(struct aslr_spaces *spaces, s32 machine);
struct aslr_space *aslr_spaces__hypervisor(struct aslr_spaces *spaces, s32 machine);
struct aslr_space *aslr_spaces__phys(struct aslr_spaces *spaces, s32 machine);

/*
 * The space of a process.  One that no record told of is taken for one of
 * those that are gone: they have one space together, without ranges, so that
 * stray samples cost no memory.  NULL when out of memory.
 */
struct aslr_space *aslr_spaces__process(struct aslr_spaces *spaces, s32 machine, s32 pid);

/* The same, for one that certainly lives: it gets a space if it has none. */
struct aslr_space *aslr_spaces__new_process(struct aslr_spaces *spaces, s32 machine, s32 pid);

/*
 * @tid of @pid was forked by @ppid: a thread if these two are the same process.
 * A process begins with its parent's ranges if @inherit, which is not so where
 * a recorder tells of tasks that it found running.  0 or -ENOMEM.
 */
int aslr_spaces__fork(struct aslr_spaces *spaces, s32 machine, s32 ppid, s32 pid, s32 tid,
		      bool inherit);

/* @tid of @pid is gone.  A space goes with its process' last thread. */
void aslr_spaces__exit(struct aslr_spaces *spaces, s32 machine, s32 pid, s32 tid);

/* As aslr_space__add_text(), and learn from it where the kernel's addresses begin. */
int aslr_spaces__add_text(struct aslr_spaces *spaces, s32 machine, u64 start, u64 len, u64 ref,
			  struct aslr_text *text);

/*
 * The address spaces that a record speaks of.  Those of @mode, one of
 * PERF_RECORD_MISC_CPUMODE_MASK's, are looked up on first use.  Who it is of is for
 * aslr_view__set() to change, and for nobody else.
 */
struct aslr_view {
	struct aslr_spaces	*spaces;
	/* The machine, and the one that its guest modes mean. */
	s32			machine;
	s32			guest;
	s32			pid;
	/* What the CPU was in, which decides where nothing else does. */
	u8			cpumode;
	struct aslr_space	*by_mode[PERF_RECORD_MISC_CPUMODE_MASK + 1];
	/* Of the spaces when those were looked up, see aslr_view__set(). */
	u64			generation;
};

/*
 * Let @view, which has its spaces or was set before, be of another record.  What it
 * has looked up stays if that is of the same machine or process and all still live.
 */
void aslr_view__set(struct aslr_view *view, s32 machine, s32 guest, s32 pid, u8 cpumode);

/* Look the space of @mode up.  NULL when out of memory. */
struct aslr_space *aslr_view__find_space(struct aslr_view *view, u8 mode);

/* The same, if it wasn't looked up before. */
static inline struct aslr_space *aslr_view__space(struct aslr_view *view, u8 mode)
{
	return view->by_mode[mode] ?: aslr_view__find_space(view, mode);
}

/* The space of the upper half's addresses that are said to be the user's in @mode, see below. */
struct aslr_space *aslr_view__upper_space(struct aslr_view *view, u8 mode);

/*
 * The space of @addr that is said to be of @mode, the same for all addresses of
 * one half of the 64-bit space.  In the upper one, where that is the kernel's, it
 * is of the kernel nevertheless, as stray entries of a process' call chain are.
 * NULL when out of memory.
 */
static inline struct aslr_space *aslr_view__space_in(struct aslr_view *view, u8 mode, u64 addr)
{
	bool user = mode == PERF_RECORD_MISC_USER || mode == PERF_RECORD_MISC_GUEST_USER;

	if (user && addr >> 63)
		return aslr_view__upper_space(view, mode);
	return aslr_view__space(view, mode);
}

/*
 * The space of an address that may be of the kernel or of the process: data and
 * branches.  NULL when out of memory.
 */
struct aslr_space *aslr_view__space_of(struct aslr_view *view, u64 addr);

/*
 * Did any space ever hold the page of @addr in a range, or translate an address on
 * it?  As aslr_known__has().
 */
bool aslr_spaces__know(const struct aslr_spaces *spaces, u64 addr);

/* Records of any machine were lost, see aslr_known__lose(). */
void aslr_spaces__lose(struct aslr_spaces *spaces);

/* Pages outside of ranges that got an image, in all spaces that were ever there. */
unsigned long aslr_spaces__nr_pages(const struct aslr_spaces *spaces);

#endif /* __PERF_ASLR_SPACES_H */
