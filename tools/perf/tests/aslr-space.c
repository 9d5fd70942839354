// SPDX-License-Identifier: GPL-2.0
/*
 * Address spaces of profiles, see util/aslr-space.h and util/aslr-spaces.h.
 *
 * Where an image lies is not tested, but what holds for it: the same distance
 * from another, away from all others, the address itself.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <linux/compiler.h>
#include <linux/kernel.h>
#include <linux/perf_event.h>
#include <linux/sizes.h>
#include <linux/zalloc.h>
#include "aslr-ranges.h"
#include "aslr-space.h"
#include "aslr-spaces.h"
#include "debug.h"
#include "machine.h"
#include "tests.h"

#define HOST		HOST_KERNEL_ID
#define GUEST		77
#define LIB		0x7f1234560000ULL
#define HEAP		0x55d0c0de0000ULL
#define MODULE		0xffffffffc0123000ULL
#define SCATTERED	0xffffffffc1000000ULL

/* What a step does. Processes are named by @pid; K* are the kernel of @machine. */
enum what {
	MAP,
	AT,
	KMAP,
	KTEXT,
	KAT,
	SYM,
	UNSYM,
	/* @addr is the parent. */
	FORK,
	/* The same, of a process that was found running. */
	SPAWN,
	/* @addr is the thread. */
	THREAD,
	EXEC,
	EXIT,
};

/* What its image must be. */
enum want {
	ANY,
	/* A page or more away from all before it, in the same space. */
	APART,
	/* That of step number @like, and @off. */
	LIKE,
	/* Anything but that. */
	NOT_LIKE,
	/* The address. */
	SELF,
	/* Apart, and below 4 GiB. */
	LOW,
};

struct step {
	enum what	what;
	s32		machine;
	s32		pid;
	u64		addr;
	u64		len;
	enum want	want;
	int		like;
	u64		off;
};

#define MAX_STEPS	24

struct scenario {
	const char	*name;
	/* Ends with a step of no machine. */
	struct step	steps[MAX_STEPS];
};

static bool is_kernel_step(const struct step *step)
{
	return step->what >= KMAP && step->what <= UNSYM;
}

static bool is_same_space(const struct step *a, const struct step *b)
{
	return a->machine == b->machine && a->what < FORK && b->what < FORK &&
	       is_kernel_step(a) == is_kernel_step(b) && (is_kernel_step(a) || a->pid == b->pid);
}

static int do_step(struct aslr_spaces *spaces, const struct step *step, u64 *image)
{
	struct aslr_space *space;
	struct aslr_text text = {};
	int err;

	switch ((int)step->what) {
	case FORK:
	case SPAWN:
		return aslr_spaces__fork(spaces, step->machine, step->addr, step->pid, step->pid,
					 step->what == FORK);
	case THREAD:
		return aslr_spaces__fork(spaces, step->machine, step->pid, step->pid, step->addr,
					 /*inherit=*/true);
	case EXEC:
		space = aslr_spaces__process(spaces, step->machine, step->pid);
		if (space)
			aslr_space__exec(space);
		return space ? 0 : -ENOMEM;
	case EXIT:
		aslr_spaces__exit(spaces, step->machine, step->pid, step->addr);
		return 0;
	case KTEXT:
		err = aslr_spaces__add_text(spaces, step->machine, step->addr, step->len,
					    step->addr, &text);
		*image = text.start;
		return err;
	case MAP:
		space = aslr_spaces__new_process(spaces, step->machine, step->pid);
		break;
	case AT:
		space = aslr_spaces__process(spaces, step->machine, step->pid);
		break;
	default:
		space = aslr_spaces__kernel(spaces, step->machine);
	}
	if (!space)
		return -ENOMEM;

	switch ((int)step->what) {
	case MAP:
	case KMAP:
		return aslr_space__add(space, step->addr, step->addr + step->len - 1, image);
	case SYM:
		return aslr_space__add_symbol(space, step->addr, step->len, image);
	case UNSYM:
		*image = step->addr;
		return aslr_space__remove_symbol(space, step->addr, step->len);
	default:
		return aslr_space__translate(space, step->addr, image);
	}
}

static bool is_apart(u64 image, u64 len, u64 other, u64 other_len)
{
	/* An address outside of all ranges has a page. */
	if (!len || !other_len)
		return (image ^ other) & ASLR_PAGE_MASK;
	return image > other ? image - other >= other_len + ASLR_PAGE_SIZE :
			       other - image >= len + ASLR_PAGE_SIZE;
}

/* Open maps of text get another length. */
static u64 image_len(const struct step *step)
{
	return step->what == KTEXT ? min_t(u64, step->len, SZ_16M) : step->len;
}

static bool is_wanted(const struct step *steps, unsigned int nr, const u64 *images)
{
	const struct step *step = &steps[nr];

	if (step->what >= FORK || step->what == UNSYM)
		return true;
	if (step->what != KTEXT && (step->addr ^ images[nr]) & ~ASLR_PAGE_MASK)
		return false;

	switch ((int)step->want) {
	case LIKE:
		return images[nr] == images[step->like] + step->off;
	case NOT_LIKE:
		return images[nr] != images[step->like] + step->off;
	case SELF:
		return images[nr] == step->addr;
	case LOW:
		if (images[nr] + step->len > UINT_MAX)
			return false;
		fallthrough;
	case APART:
		for (unsigned int i = 0; i < nr; i++) {
			if (is_same_space(step, &steps[i]) && steps[i].what != UNSYM &&
			    !is_apart(images[nr], step->len, images[i], image_len(&steps[i])))
				return false;
		}
		return images[nr] != step->addr;
	default:
		return true;
	}
}

static int check_scenario(const struct scenario *scenario)
{
	static const char * const wants[] = {
		"anything", "apart from all before", "as that of", "not as that of", "the same",
		"apart and low",
	};
	struct aslr_spaces *spaces = aslr_spaces__new();
	u64 images[MAX_STEPS] = {};
	int ret = TEST_OK;

	TEST_ASSERT_VAL("out of memory", spaces);
	for (unsigned int i = 0; i < MAX_STEPS && scenario->steps[i].machine; i++) {
		const struct step *step = &scenario->steps[i];
		int err = do_step(spaces, step, &images[i]);

		if (!err && is_wanted(scenario->steps, i, images))
			continue;
		pr_debug("%s: step %u, %#" PRIx64 "+%#" PRIx64 ": wanted %s",
			 scenario->name, i, step->addr, step->len, wants[step->want]);
		if (step->want == LIKE || step->want == NOT_LIKE)
			pr_debug(" step %d + %#" PRIx64 ", %#" PRIx64, step->like, step->off,
				 images[step->like] + step->off);
		pr_debug(", got %#" PRIx64 ", error %d\n", images[i], err);
		ret = TEST_FAIL;
		break;
	}
	aslr_spaces__delete(spaces);
	return ret;
}

static const struct scenario scenarios[] = {
	{ "addresses in a mapping", {
		{ MAP, HOST, 1, LIB, 0x3000, APART, 0, 0 },
		{ AT, HOST, 1, LIB, 0, LIKE, 0, 0 },
		{ AT, HOST, 1, LIB + 0x1234, 0, LIKE, 0, 0x1234 },
		{ AT, HOST, 1, LIB + 0x2fff, 0, LIKE, 0, 0x2fff },
		{ AT, HOST, 1, LIB + 0x3000, 0, NOT_LIKE, 0, 0x3000 },
		{ AT, HOST, 1, LIB - 1, 0, NOT_LIKE, 0, -1ULL },
		{ MAP, HOST, 1, LIB, 0x3000, LIKE, 0, 0 },
	} },
	{ "mappings that touch, and one that doesn't", {
		{ MAP, HOST, 1, LIB, 0x2000, APART, 0, 0 },
		{ MAP, HOST, 1, LIB + 0x2000, 0x1000, LIKE, 0, 0x2000 },
		{ MAP, HOST, 1, LIB - 0x5000, 0x5000, LIKE, 0, -0x5000ULL },
		{ MAP, HOST, 1, LIB + 0x4000, 0x1000, APART, 0, 0 },
		{ MAP, HOST, 1, LIB + 0x3000, 0x1000, LIKE, 0, 0x3000 },
		{ AT, HOST, 1, LIB + 0x4800, 0, LIKE, 3, 0x800 },
	} },
	{ "a file mapped in pieces over a reservation", {
		{ MAP, HOST, 1, LIB, 0x200000, APART, 0, 0 },
		{ MAP, HOST, 1, LIB + 0x28000, 0x158000, LIKE, 0, 0x28000 },
		{ MAP, HOST, 1, LIB + 0x180000, 0x58000, LIKE, 0, 0x180000 },
		{ MAP, HOST, 1, LIB + 0x1d8000, 0x6000, LIKE, 0, 0x1d8000 },
		{ AT, HOST, 1, LIB + 0x1fffff, 0, LIKE, 0, 0x1fffff },
	} },
	{ "over the end of another", {
		{ MAP, HOST, 1, LIB, 0x4000, APART, 0, 0 },
		{ MAP, HOST, 1, LIB + 0x3000, 0x4000, LIKE, 0, 0x3000 },
		{ AT, HOST, 1, LIB + 0x2fff, 0, LIKE, 0, 0x2fff },
	} },
	{ "over the start of another", {
		{ MAP, HOST, 1, LIB, 0x4000, APART, 0, 0 },
		{ MAP, HOST, 1, LIB - 0x2000, 0x4000, LIKE, 0, -0x2000ULL },
		{ AT, HOST, 1, LIB + 0x3000, 0, LIKE, 0, 0x3000 },
	} },
	{ "over several others", {
		{ MAP, HOST, 1, LIB, 0x2000, APART, 0, 0 },
		{ MAP, HOST, 1, LIB + 0x10000, 0x2000, APART, 0, 0 },
		{ MAP, HOST, 1, LIB + 0x20000, 0x2000, APART, 0, 0 },
		{ MAP, HOST, 1, LIB + 0x1000, 0x20000, LIKE, 0, 0x1000 },
		{ AT, HOST, 1, LIB, 0, LIKE, 0, 0 },
		{ AT, HOST, 1, LIB + 0x10000, 0, LIKE, 0, 0x10000 },
		{ AT, HOST, 1, LIB + 0x21000, 0, LIKE, 2, 0x1000 },
	} },
	{ "memory that grows up, as one and in pieces", {
		{ MAP, HOST, 1, HEAP, 0x21000, APART, 0, 0 },
		{ MAP, HOST, 1, LIB, 0x1000, APART, 0, 0 },
		{ MAP, HOST, 1, HEAP, 0x42000, LIKE, 0, 0 },
		{ MAP, HOST, 1, HEAP, 0x1000000, LIKE, 0, 0 },
		{ MAP, HOST, 1, HEAP + 0x1000000, 0x1000000, LIKE, 0, 0x1000000 },
		{ AT, HOST, 1, LIB, 0, LIKE, 1, 0 },
	} },
	{ "memory that grows down, as one and in pieces", {
		{ MAP, HOST, 1, HEAP, 0x21000, APART, 0, 0 },
		{ MAP, HOST, 1, LIB, 0x1000, APART, 0, 0 },
		{ MAP, HOST, 1, LIB - 0x20000, 0x21000, LIKE, 1, -0x20000ULL },
		{ MAP, HOST, 1, LIB - 0x400000, 0x400000 - 0x20000, LIKE, 1, -0x400000ULL },
		{ AT, HOST, 1, HEAP, 0, LIKE, 0, 0 },
	} },
	{ "memory that grows between others", {
		{ MAP, HOST, 1, LIB, 0x1000, APART, 0, 0 },
		{ MAP, HOST, 1, LIB + 0x10000, 0x1000, APART, 0, 0 },
		{ MAP, HOST, 1, LIB, 0x10000, LIKE, 0, 0 },
		{ AT, HOST, 1, LIB + 0x10000, 0, LIKE, 1, 0 },
		{ MAP, HOST, 1, LIB - 0x1000, 0x12000, LIKE, 0, -0x1000ULL },
	} },
	{ "holes of some pages stay, and who fills them touches both sides", {
		{ MAP, HOST, 1, HEAP, 0x1000, APART, 0, 0 },
		{ MAP, HOST, 1, LIB, 0x2000, APART, 0, 0 },
		{ MAP, HOST, 1, LIB + 0x4000, 0x2000, LIKE, 1, 0x4000 },
		{ MAP, HOST, 1, LIB - 0x3000, 0x1000, LIKE, 1, -0x3000ULL },
		{ MAP, HOST, 1, LIB + 0x2000, 0x2000, LIKE, 1, 0x2000 },
		{ MAP, HOST, 1, LIB + 0x2000000, 0x1000, NOT_LIKE, 1, 0x2000000 },
	} },
	{ "another program, over a range of the one before", {
		{ MAP, HOST, 1, 0x400000, 0x2000000, APART, 0, 0 },
		{ EXEC, HOST, 1, 0, 0, ANY, 0, 0 },
		{ AT, HOST, 1, 0x401234, 0, LIKE, 0, 0x1234 },
		{ MAP, HOST, 1, 0x400000, 0x5000, APART, 0, 0 },
		{ MAP, HOST, 1, 0x1000000, 0x1000, APART, 0, 0 },
		{ AT, HOST, 1, 0x1001000, 0, LIKE, 0, 0xc01000 },
		{ MAP, HOST, 1, 0x405000, 0x1000, LIKE, 3, 0x5000 },
		{ MAP, HOST, 1, 0x400000, 0x5000, LIKE, 3, 0 },
		{ FORK, HOST, 2, 1, 0, ANY, 0, 0 },
		{ MAP, HOST, 2, 0x1000000, 0x1000, LIKE, 4, 0 },
		{ AT, HOST, 2, 0x1001000, 0, LIKE, 0, 0xc01000 },
	} },
	{ "another program, beside a range of the one before", {
		{ MAP, HOST, 1, LIB, 0x1000, APART, 0, 0 },
		{ EXEC, HOST, 1, 0, 0, ANY, 0, 0 },
		{ MAP, HOST, 1, LIB + 0x1000, 0x1000, APART, 0, 0 },
		{ MAP, HOST, 1, LIB - 0x2000, 0x1000, APART, 0, 0 },
	} },
	{ "an executable that isn't PIE, and what is fixed", {
		{ MAP, HOST, 1, 0x400000, 0x5000, APART, 0, 0 },
		{ AT, HOST, 1, 0x401136, 0, LIKE, 0, 0x1136 },
		{ MAP, HOST, 1, 0xffffffffff600000ULL, 0x1000, SELF, 0, 0 },
		{ AT, HOST, 1, 0xffffffffff600400ULL, 0, SELF, 0, 0 },
		{ KAT, HOST, 0, 0xffffffffff600400ULL, 0, SELF, 0, 0 },
		{ MAP, HOST, 1, 0x7ffd2c9fe000ULL, 0x2000, APART, 0, 0 },
		{ AT, HOST, 1, 0x7ffd2c9fe6c0ULL, 0, LIKE, 5, 0x6c0 },
		{ AT, HOST, 1, 0, 0, SELF, 0, 0 },
		{ AT, HOST, 1, 1, 0, SELF, 0, 0 },
		{ AT, HOST, 1, 0xffff, 0, SELF, 0, 0 },
		{ AT, HOST, 1, 0x10000, 0, APART, 0, 0 },
	} },
	{ "a page at 0", {
		{ MAP, HOST, 1, 0, 0x20000, ANY, 0, 0 },
		{ AT, HOST, 1, 0, 0, SELF, 0, 0 },
		{ AT, HOST, 1, 0x10, 0, LIKE, 0, 0x10 },
		{ AT, HOST, 1, 0, 0, SELF, 0, 0 },
	} },
	{ "addresses in no mapping", {
		{ AT, HOST, 1, LIB + 0x10, 8, APART, 0, 0 },
		{ AT, HOST, 1, LIB + 0x20, 0, LIKE, 0, 0x10 },
		{ AT, HOST, 1, LIB + 0x1010, 8, NOT_LIKE, 0, 0x1000000 },
		{ AT, HOST, 1, 0xfffffffffffff123ULL, 0, NOT_LIKE, 0, 0 },
		{ AT, HOST, 1, -1ULL, 0, LIKE, 3, 0xfff - 0x123 },
		{ AT, HOST, 1, LIB + 0x10, 8, LIKE, 0, 0 },
	} },
	{ "a mapping over addresses in none", {
		{ MAP, HOST, 1, LIB + 0x10000, 0x1000, APART, 0, 0 },
		{ AT, HOST, 1, LIB + 0x10, 0, APART, 0, 0 },
		{ AT, HOST, 1, LIB + 0x1010, 0, ANY, 0, 0 },
		{ MAP, HOST, 1, LIB, 0x1000, APART, 0, 0 },
		{ AT, HOST, 1, LIB + 0x10, 0, LIKE, 3, 0x10 },
		{ AT, HOST, 1, LIB + 0x1010, 0, LIKE, 2, 0 },
	} },
	{ "a mapping that ends in a page", {
		{ AT, HOST, 1, LIB + 0x900, 0, ANY, 0, 0 },
		{ MAP, HOST, 1, LIB, 0x800, APART, 0, 0 },
		{ AT, HOST, 1, LIB + 0x7ff, 0, LIKE, 1, 0x7ff },
		{ AT, HOST, 1, LIB + 0x900, 0, LIKE, 0, 0 },
		{ AT, HOST, 1, LIB + 0x7ff, 0, LIKE, 1, 0x7ff },
		{ MAP, HOST, 1, LIB + 0x800, 0x800, LIKE, 1, 0x800 },
		{ AT, HOST, 1, LIB + 0x900, 0, LIKE, 1, 0x900 },
	} },
	{ "the top of the address space", {
		{ KMAP, HOST, 0, -0x2000ULL, 0x2000, APART, 0, 0 },
		{ KAT, HOST, 0, -1ULL, 0, LIKE, 0, 0x1fff },
		{ KMAP, HOST, 0, -0x4000ULL, 0x4000, LIKE, 0, -0x2000ULL },
		{ KMAP, HOST, 0, -0x3000ULL, 0x1000, LIKE, 0, -0x1000ULL },
		{ KAT, HOST, 0, -1ULL, 0, LIKE, 0, 0x1fff },
		{ KAT, HOST, 0, 0, 0, SELF, 0, 0 },
	} },
	{ "a child lives in its parent's images", {
		{ MAP, HOST, 1, LIB, 0x4000, APART, 0, 0 },
		{ AT, HOST, 1, HEAP, 0, ANY, 0, 0 },
		{ FORK, HOST, 2, 1, 0, ANY, 0, 0 },
		{ AT, HOST, 2, LIB + 0x123, 0, LIKE, 0, 0x123 },
		{ MAP, HOST, 2, LIB + 0x4000, 0x1000, LIKE, 0, 0x4000 },
		{ AT, HOST, 1, LIB + 0x4000, 0, NOT_LIKE, 0, 0x4000 },
		{ MAP, HOST, 1, HEAP, 0x1000, APART, 0, 0 },
		{ AT, HOST, 2, HEAP, 0, NOT_LIKE, 6, 0 },
		{ AT, HOST, 1, LIB, 0, LIKE, 0, 0 },
		{ AT, HOST, 2, LIB, 0, LIKE, 0, 0 },
		{ FORK, HOST, 3, 2, 0, ANY, 0, 0 },
		{ AT, HOST, 3, LIB + 0x4fff, 0, LIKE, 0, 0x4fff },
		{ EXIT, HOST, 2, 2, 0, ANY, 0, 0 },
		{ AT, HOST, 3, LIB + 0x4fff, 0, LIKE, 0, 0x4fff },
		{ EXIT, HOST, 1, 1, 0, ANY, 0, 0 },
		{ AT, HOST, 3, LIB, 0, LIKE, 0, 0 },
		{ AT, HOST, 1, LIB, 0, NOT_LIKE, 0, 0 },
	} },
	{ "a process that was found running inherits nothing", {
		{ MAP, HOST, 1, LIB, 0x4000, APART, 0, 0 },
		{ SPAWN, HOST, 2, 1, 0, ANY, 0, 0 },
		{ AT, HOST, 2, LIB, 0, NOT_LIKE, 0, 0 },
		{ FORK, HOST, 3, 4, 0, ANY, 0, 0 },
		{ AT, HOST, 3, LIB, 0, NOT_LIKE, 0, 0 },
	} },
	{ "threads, and a leader that exits before them", {
		{ FORK, HOST, 2, 1, 0, ANY, 0, 0 },
		{ MAP, HOST, 2, LIB, 0x4000, APART, 0, 0 },
		{ THREAD, HOST, 2, 21, 0, ANY, 0, 0 },
		{ THREAD, HOST, 2, 22, 0, ANY, 0, 0 },
		{ AT, HOST, 2, LIB, 0, LIKE, 1, 0 },
		{ EXIT, HOST, 2, 21, 0, ANY, 0, 0 },
		{ AT, HOST, 2, LIB, 0, LIKE, 1, 0 },
		{ EXIT, HOST, 2, 2, 0, ANY, 0, 0 },
		{ AT, HOST, 2, LIB, 0, LIKE, 1, 0 },
		{ EXIT, HOST, 2, 22, 0, ANY, 0, 0 },
		{ AT, HOST, 2, LIB, 0, NOT_LIKE, 1, 0 },
	} },
	{ "threads that exit before their leader", {
		{ FORK, HOST, 2, 1, 0, ANY, 0, 0 },
		{ MAP, HOST, 2, LIB, 0x4000, APART, 0, 0 },
		{ THREAD, HOST, 2, 21, 0, ANY, 0, 0 },
		{ EXIT, HOST, 2, 21, 0, ANY, 0, 0 },
		{ THREAD, HOST, 2, 22, 0, ANY, 0, 0 },
		{ EXIT, HOST, 2, 22, 0, ANY, 0, 0 },
		{ EXIT, HOST, 2, 99, 0, ANY, 0, 0 },
		{ AT, HOST, 2, LIB, 0, LIKE, 1, 0 },
	} },
	{ "a pid that is used again", {
		{ MAP, HOST, 1, HEAP, 0x1000, APART, 0, 0 },
		{ MAP, HOST, 2, HEAP, 0x1000, ANY, 0, 0 },
		{ MAP, HOST, 2, LIB, 0x1000, APART, 0, 0 },
		{ EXIT, HOST, 2, 2, 0, ANY, 0, 0 },
		{ FORK, HOST, 2, 1, 0, ANY, 0, 0 },
		{ AT, HOST, 2, LIB, 0, NOT_LIKE, 2, 0 },
		{ AT, HOST, 2, HEAP, 0, LIKE, 0, 0 },
		{ MAP, HOST, 2, LIB, 0x1000, ANY, 0, 0 },
		{ FORK, HOST, 2, 1, 0, ANY, 0, 0 },
		{ AT, HOST, 2, LIB, 0, NOT_LIKE, 7, 0 },
	} },
	{ "pids that no record told of share their pages", {
		{ AT, HOST, 5, LIB, 0, APART, 0, 0 },
		{ AT, HOST, 6, HEAP, 0, NOT_LIKE, 0, 0 },
		{ AT, HOST, 6, LIB + 0x10, 0, LIKE, 0, 0x10 },
		{ MAP, HOST, 5, LIB, 0x1000, ANY, 0, 0 },
		{ AT, HOST, 6, LIB, 0, LIKE, 0, 0 },
		{ AT, HOST, 5, LIB + 0x20, 0, LIKE, 3, 0x20 },
	} },
	{ "guests", {
		{ MAP, HOST, 1, LIB, 0x1000, APART, 0, 0 },
		{ MAP, GUEST, 1, LIB + 0x8000, 0x1000, APART, 0, 0 },
		{ AT, GUEST, 1, LIB, 0, NOT_LIKE, 0, 0 },
		{ AT, HOST, 1, LIB + 0x8000, 0, NOT_LIKE, 1, 0 },
		{ KMAP, GUEST, 0, MODULE, 0x4000, APART, 0, 0 },
		{ KAT, HOST, 0, MODULE, 0, NOT_LIKE, 4, 0 },
		{ KAT, GUEST, 0, MODULE + 1, 0, LIKE, 4, 1 },
		{ FORK, GUEST, 2, 1, 0, ANY, 0, 0 },
		{ AT, GUEST, 2, LIB + 0x8001, 0, LIKE, 1, 1 },
		{ EXIT, HOST, 2, 2, 0, ANY, 0, 0 },
		{ AT, GUEST, 2, LIB + 0x8001, 0, LIKE, 1, 1 },
		/* Readers may look for the maps of both kernels in one place. */
		{ KMAP, HOST, 0, MODULE, 0x4000, NOT_LIKE, 4, 0 },
	} },
	{ "modules", {
		{ KMAP, HOST, 0, MODULE, 0x4000, APART, 0, 0 },
		{ KMAP, HOST, 0, MODULE + 0x4000, 0x2000, LIKE, 0, 0x4000 },
		{ KMAP, HOST, 0, MODULE + 0x10000, 0x1800, APART, 0, 0 },
		{ KAT, HOST, 0, MODULE + 0x117ff, 0, LIKE, 2, 0x17ff },
		{ KTEXT, HOST, 0, 0xffffffff96600000ULL, 0x1001234, ANY, 0, 0 },
		{ KAT, HOST, 0, MODULE + 0x117ff, 0, LIKE, 2, 0x17ff },
		{ KAT, HOST, 0, 0xffffffff96600000ULL, 0, LIKE, 4, 0 },
	} },
	{ "symbols outside of all else", {
		{ SYM, HOST, 0, MODULE + 0x40, 0x80, APART, 0, 0 },
		{ SYM, HOST, 0, MODULE + 0xc0, 0x100, LIKE, 0, 0x80 },
		{ SYM, HOST, 0, MODULE + 0x800, 0x100, ANY, 0, 0 },
		{ KAT, HOST, 0, MODULE + 0x8ff, 0, LIKE, 2, 0xff },
		{ UNSYM, HOST, 0, MODULE + 0x40, 0x80, ANY, 0, 0 },
		{ KAT, HOST, 0, MODULE + 0x40, 0, NOT_LIKE, 0, 0 },
		{ KAT, HOST, 0, MODULE + 0xc1, 0, LIKE, 1, 1 },
		{ UNSYM, HOST, 0, MODULE + 0xc0, 0x100, ANY, 0, 0 },
		{ UNSYM, HOST, 0, MODULE + 0x800, 0x100, ANY, 0, 0 },
		{ SYM, HOST, 0, MODULE, 0x2000, ANY, 0, 0 },
		{ KAT, HOST, 0, MODULE + 0x1fff, 0, LIKE, 9, 0x1fff },
		{ UNSYM, HOST, 0, MODULE + 0x5000, 0x100, ANY, 0, 0 },
		{ UNSYM, HOST, 0, MODULE + 0x1000, 0x2000, ANY, 0, 0 },
		{ KAT, HOST, 0, MODULE + 0x1fff, 0, LIKE, 9, 0x1fff },
	} },
	{ "symbols in the text stay a part of it", {
		{ KTEXT, HOST, 0, 0xffffffff81000000ULL, 0xffffff, ANY, 0, 0 },
		{ SYM, HOST, 0, 0xffffffff81001040ULL, 0x40, LIKE, 0, 0x1040 },
		{ UNSYM, HOST, 0, 0xffffffff81001040ULL, 0x40, ANY, 0, 0 },
		{ KAT, HOST, 0, 0xffffffff81001048ULL, 0, LIKE, 0, 0x1048 },
	} },
	{ "symbols in what is scattered", {
		{ KTEXT, HOST, 0, 0xffffffff81000000ULL, 0x7effffff, ANY, 0, 0 },
		{ KAT, HOST, 0, 0xffffffff81abcdefULL, 0, LIKE, 0, 0xabcdef },
		{ KAT, HOST, 0, SCATTERED - 0x800, 0, ANY, 0, 0 },
		{ SYM, HOST, 0, SCATTERED + 0x40, 0x80, APART, 0, 0 },
		{ KAT, HOST, 0, SCATTERED + 0xbf, 0, LIKE, 3, 0x7f },
		{ SYM, HOST, 0, SCATTERED + 0x800, 0x4000, APART, 0, 0 },
		{ KAT, HOST, 0, SCATTERED + 0x47ff, 0, LIKE, 5, 0x3fff },
		{ KAT, HOST, 0, SCATTERED + 0x20, 0, APART, 0, 0 },
	} },
	{ "a longer symbol in place of one in what is scattered", {
		{ KTEXT, HOST, 0, 0xffffffff81000000ULL, 0x7effffff, ANY, 0, 0 },
		{ SYM, HOST, 0, SCATTERED, 0x80, APART, 0, 0 },
		{ UNSYM, HOST, 0, SCATTERED, 0x80, ANY, 0, 0 },
		{ SYM, HOST, 0, SCATTERED, 0x4000, ANY, 0, 0 },
		{ KAT, HOST, 0, SCATTERED + 0x3fff, 0, LIKE, 3, 0x3fff },
		{ KAT, HOST, 0, SCATTERED + 0x2345, 0, LIKE, 3, 0x2345 },
	} },
	{ "more of a 32-bit process than there is room for", {
		{ MAP, HOST, 1, 0x08048000, 0x10000000, APART, 0, 0 },
		{ MAP, HOST, 1, 0x20000000, 0x48000000, APART, 0, 0 },
		{ MAP, HOST, 1, 0x80000000, 0x38000000, APART, 0, 0 },
		{ MAP, HOST, 1, 0xc0000000, 0x3f000000, APART, 0, 0 },
		{ AT, HOST, 1, 0xfeffffff, 0, LIKE, 3, 0x3effffff },
		{ AT, HOST, 1, 0x08048000, 0, LIKE, 0, 0 },
	} },
	{ "gaps are used again", {
		{ MAP, HOST, 1, 0x10000000, 0x16000000, APART, 0, 0 },
		{ MAP, HOST, 1, 0x30000000, 0x40000000, APART, 0, 0 },
		{ MAP, HOST, 1, 0x80000000, 0x3e000000, APART, 0, 0 },
		{ MAP, HOST, 1, 0xc0000000, 0x20000, APART, 0, 0 },
		{ MAP, HOST, 1, 0xd0000000, 0x2000000, LOW, 0, 0 },
		{ MAP, HOST, 1, 0xe0000000, 0x600000, LOW, 0, 0 },
		{ MAP, HOST, 1, 0xe8000000, 0x2000000, LOW, 0, 0 },
		{ MAP, HOST, 1, 0xf0000000, 0x600000, LOW, 0, 0 },
	} },
	{ "huge mappings", {
		{ MAP, HOST, 1, 0x100000000000ULL, 0x100000000000ULL, APART, 0, 0 },
		{ MAP, HOST, 1, 0x600000000000ULL, 0x040000000000ULL, APART, 0, 0 },
		{ AT, HOST, 1, 0x1fffffffffffULL, 0, LIKE, 0, 0xfffffffffffULL },
		{ MAP, HOST, 1, 0x200000000000ULL, 0x000001000000ULL, LIKE, 0, 0x100000000000ULL },
	} },
};

static int test__aslr_scenarios(struct test_suite *t __maybe_unused, int subtest __maybe_unused)
{
	int ret = TEST_OK;

	for (unsigned int i = 0; i < ARRAY_SIZE(scenarios); i++) {
		if (check_scenario(&scenarios[i]))
			ret = TEST_FAIL;
	}
	return ret;
}

/* A recorded map of a kernel's text, and how far the next boot may move it. */
struct text_case {
	const char	*name;
	u64		start;
	u64		len;
	u64		ref;
	/* The first address that keeps its distance from others. */
	u64		base;
	/* Another boot's. */
	u64		slide_start;
	u64		slide_len;
	u64		slide;
	bool		open;
	/* The start and length of a module, 0: none. */
	u64		module;
	u64		module_len;
};

static const struct text_case text_cases[] = {
	{ .name = "closed end", .start = 0xffffffff96600000ULL, .len = 0x1001e27,
	  .ref = 0xffffffff96600000ULL, .base = 0xffffffff96600000ULL,
	  .slide_start = 0x1200000, .slide = 0x1200000,
	  .module = 0xffffffffc0452000ULL, .module_len = 0x8000 },
	{ .name = "closed end below the modules", .start = 0xffffffffbe600000ULL, .len = 0x1001e27,
	  .ref = 0xffffffffbe600000ULL, .base = 0xffffffffbe600000ULL,
	  .slide_start = -0x1200000ULL, .slide = -0x1200000ULL,
	  .module = 0xffffffffc0452000ULL, .module_len = 0x8000 },
	{ .name = "closed end, no symbol", .start = 0xffffffff96600000ULL, .len = 0x1001e27,
	  .base = 0xffffffff96600000ULL, .slide_start = 0x1200000, .slide = 0x1200000 },
	{ .name = "to a page boundary", .start = 0xffffffff96600000ULL, .len = 0x1001000,
	  .ref = 0xffffffff96600000ULL, .base = 0xffffffff96600000ULL,
	  .slide_start = 0x1200000, .slide = 0x1200000 },
	{ .name = "to a module near by", .start = 0xffffffffbe600000ULL, .len = 0x1a52000,
	  .ref = 0xffffffffbe600000ULL, .base = 0xffffffffbe600000ULL, .open = true,
	  .slide_start = -0x1200000ULL, .slide_len = 0x1200000, .slide = -0x1200000ULL,
	  .module = 0xffffffffc0052000ULL, .module_len = 0x8000 },
	{ .name = "to the next module", .start = 0xffffffff96600198ULL, .len = 0x29ae8e68,
	  .ref = 0xffffffff96600198ULL, .base = 0xffffffff96600198ULL, .open = true,
	  .slide_start = 0x1200000, .slide_len = -0x1200000ULL, .slide = 0x1200000,
	  .module = 0xffffffffc00e9000ULL, .module_len = 0x8000 },
	{ .name = "to the top", .start = 0xffffffff96600000ULL, .len = 0x699fffff,
	  .ref = 0xffffffff96600000ULL, .base = 0xffffffff96600000ULL, .open = true,
	  .slide_start = 0x1200000, .slide_len = -0x1200000ULL, .slide = 0x1200000,
	  .module = 0xffffffffc00e9000ULL, .module_len = 0x8000 },
	{ .name = "from 0, as 3.4 has it", .start = 0, .len = 0xffffffff9fffffffULL,
	  .ref = 0xffffffff81000190ULL, .base = 0xffffffff81000000ULL, .open = true,
	  .slide_len = 0x1000000, .slide = 0x1000000,
	  .module = 0xffffffffa0012000ULL, .module_len = 0x8000 },
	{ .name = "from the slide", .start = 0x15600000, .len = 0xffffffffaa9fffffULL,
	  .ref = 0xffffffff96600198ULL, .base = 0xffffffff96600000ULL, .open = true,
	  .slide_start = 0x1200000, .slide_len = -0x1200000ULL, .slide = 0x1200000 },
	{ .name = "ARMv7", .start = 0x80008200ULL, .len = 0xffffffff7fff7dffULL,
	  .ref = 0x80008200ULL, .base = 0x80008200ULL, .open = true,
	  .slide_start = 0x40000000, .slide_len = -0x40000000ULL, .slide = 0x40000000,
	  .module = 0x7f000000, .module_len = 0x8000 },
	{ .name = "i686", .start = 0xc1000000ULL, .len = 0x7a1234, .ref = 0xc1000000ULL,
	  .base = 0xc1000000ULL, .slide_start = 0x2000000, .slide = 0x2000000,
	  .module = 0xf8012000, .module_len = 0x8000 },
	{ .name = "arm64", .start = 0xffffb849d9760000ULL, .len = 0x47b62689ffffULL,
	  .ref = 0xffffb849d9760000ULL, .base = 0xffffb849d9760000ULL, .open = true,
	  .slide_start = 0x10000000, .slide_len = -0x10000000ULL, .slide = 0x10000000,
	  .module = 0xffffb849d3a00000ULL, .module_len = 0x8000 },
	{ .name = "no length", .start = 0xffffffff96600000ULL, .len = 0,
	  .ref = 0xffffffff96600000ULL, .base = 0xffffffff96600000ULL, .open = true,
	  .slide_start = 0x1200000, .slide = 0x1200000 },
	{ .name = "nothing known", .start = 0, .len = 0, .base = 0x100000, .open = true },
	{ .name = "s390", .start = 0x100000, .len = 0x1234567, .ref = 0x100000, .base = 0x100000 },
};

#define CHECK_TEXT(_text, _cond) do {						\
	if (!(_cond)) {								\
		pr_debug("text %s, module %s: %s isn't so: start %#" PRIx64	\
			 " len %#" PRIx64 " image %#" PRIx64 "\n", (_text)->name,	\
			 module_first ? "first" : "last", #_cond, got->start, got->len, image); \
		goto out;							\
	}									\
} while (0)

static int check_text(const struct text_case *c, u64 slide_start, u64 slide_len, u64 slide,
		      bool module_first, struct aslr_text *got)
{
	struct aslr_known *known = aslr_known__new();
	struct aslr_space *space = aslr_space__new(ASLR_SPACE__KERNEL, known);
	u64 start = c->start + slide_start, len = c->len + slide_len;
	u64 base = c->base + slide, ref = c->ref ? c->ref + slide : 0;
	u64 image = 0, base_image = 0, module = 0, again;
	struct aslr_text second = {};
	int ret = TEST_FAIL;

	if (c->module && module_first)
		CHECK_TEXT(c, !aslr_space__add(space, c->module, c->module + c->module_len - 1,
					       &module));
	CHECK_TEXT(c, !aslr_space__add_text(space, start, len, ref, got));
	if (c->module && !module_first)
		CHECK_TEXT(c, !aslr_space__add(space, c->module, c->module + c->module_len - 1,
					       &module));

	/* Told again it is the same. */
	CHECK_TEXT(c, !aslr_space__add_text(space, start, len, ref, &second));
	CHECK_TEXT(c, second.start == got->start && second.len == got->len);
	CHECK_TEXT(c, !start == !got->start);

	CHECK_TEXT(c, !aslr_space__translate(space, base, &base_image));
	CHECK_TEXT(c, !((base_image ^ base) & ~ASLR_PAGE_MASK));
	if (start || ref) {
		CHECK_TEXT(c, (base >> 63) == (base_image >> 63));
		CHECK_TEXT(c, base > UINT_MAX || base_image <= UINT_MAX);
	}
	if (base == start)
		CHECK_TEXT(c, base_image == got->start);
	if (!c->open)
		CHECK_TEXT(c, got->len == c->len);

	/* All of a kernel stays in one piece, in the recorded map. */
	for (u64 off = 0; off < (c->open ? SZ_16M : c->len); off += 0x7ff1) {
		CHECK_TEXT(c, !aslr_space__translate(space, base + off, &image));
		CHECK_TEXT(c, image == base_image + off);
		CHECK_TEXT(c, image - got->start < got->len);
	}
	/* What else was in the map is in it. */
	if (c->open && start + len > base + SZ_1G) {
		CHECK_TEXT(c, !aslr_space__translate(space, base + SZ_1G - SZ_64K, &image));
		CHECK_TEXT(c, image - got->start < got->len);
		CHECK_TEXT(c, image - base_image != SZ_1G - SZ_64K);
	}
	if (base > start && start + SZ_1M < base) {
		CHECK_TEXT(c, !aslr_space__translate(space, start + SZ_64K, &image));
		CHECK_TEXT(c, image - got->start < got->len);
	}
	/* A module isn't. */
	if (c->module && (module_first || base > c->module || c->module > base + len - 1)) {
		CHECK_TEXT(c, !aslr_space__translate(space, c->module + 0x123, &image));
		CHECK_TEXT(c, image == module + 0x123);
		CHECK_TEXT(c, module - base_image >= got->len - (base_image - got->start));
	}
	if (c->module) {
		CHECK_TEXT(c, !aslr_space__translate(space, c->module + 0x123, &image));
		CHECK_TEXT(c, image == module + 0x123);
		CHECK_TEXT(c, image - base_image != c->module + 0x123 - base);
	}
	/* An address before it isn't either, and tells no distance. */
	if (start > SZ_1G) {
		CHECK_TEXT(c, !aslr_space__translate(space, start - SZ_1M, &image));
		CHECK_TEXT(c, image != base_image - SZ_1M);
		CHECK_TEXT(c, image - got->start >= got->len);
	}
	CHECK_TEXT(c, !aslr_space__translate(space, base, &again));
	CHECK_TEXT(c, again == base_image);
	ret = TEST_OK;
out:
	aslr_space__delete(space);
	aslr_known__delete(known);
	return ret;
}

static int test__aslr_text(struct test_suite *t __maybe_unused, int subtest __maybe_unused)
{
	int ret = TEST_OK;

	for (unsigned int i = 0; i < ARRAY_SIZE(text_cases); i++) {
		const struct text_case *c = &text_cases[i];
		struct aslr_text now = {}, next = {}, last = {};

		if (check_text(c, 0, 0, 0, true, &now) ||
		    check_text(c, c->slide_start, c->slide_len, c->slide, true, &next) ||
		    check_text(c, 0, 0, 0, false, &last)) {
			ret = TEST_FAIL;
			continue;
		}
		/* Neither the slide nor a module makes a difference. */
		if (now.start != next.start || now.len != next.len ||
		    now.start != last.start || now.len != last.len) {
			pr_debug("text %s: wanted %#" PRIx64 "+%#" PRIx64, c->name, now.start,
				 now.len);
			pr_debug(", got with another slide %#" PRIx64 "+%#" PRIx64, next.start,
				 next.len);
			pr_debug(", with the module last %#" PRIx64 "+%#" PRIx64 "\n", last.start,
				 last.len);
			ret = TEST_FAIL;
		}
	}
	return ret;
}

/* More of everything than one arena has. */
static int test__aslr_exhaust(struct test_suite *t __maybe_unused, int subtest __maybe_unused)
{
	struct aslr_known *known = aslr_known__new();
	struct aslr_space *user = aslr_space__new(ASLR_SPACE__USER, known);
	struct aslr_space *kernel = aslr_space__new(ASLR_SPACE__KERNEL, known);
	struct aslr_space *phys = aslr_space__new(ASLR_SPACE__PHYS, known);
	u64 image, last = 0, first = 0, nr = 0, mid = 0, module, symbol;
	struct aslr_text text;

	TEST_ASSERT_VAL("out of memory", known && user && kernel && phys);

	/* All 4 GiB of a process that maps nothing: the rest goes above. */
	for (u64 page = ASLR_LOW_END; page < 1ULL << 32; page += 3 * ASLR_PAGE_SIZE) {
		TEST_ASSERT_VAL("page", !aslr_space__translate(user, page + 5, &image));
		TEST_ASSERT_VAL("page offset", (image & ~ASLR_PAGE_MASK) == 5);
		TEST_ASSERT_VAL("never the same twice", image != last && image != first);
		TEST_ASSERT_VAL("user stays user", !(image >> 63));
		if (image > UINT_MAX && !mid)
			mid = nr;
		first = first ?: image;
		last = image;
		nr++;
	}
	TEST_ASSERT_VAL("count of pages", aslr_space__nr_pages(user) == nr);
	TEST_ASSERT_VAL("room for 512 MiB below 4 GiB", !mid || mid >= SZ_512M / ASLR_PAGE_SIZE);
	TEST_ASSERT_VAL("first", !aslr_space__translate(user, ASLR_LOW_END, &image) &&
			image == first - 5);

	/* So much doesn't fit, and user addresses don't become the kernel's. */
	for (u64 start = 0x100000000000ULL; start < 0x800000000000ULL; start += 0x100000000000ULL) {
		if (aslr_space__add(user, start, start + 0x0fffff000000ULL, &image))
			TEST_ASSERT_VAL("no image with an error", !image);
		else
			TEST_ASSERT_VAL("user stays user", !(image >> 63));
	}
	TEST_ASSERT_VAL("last before first",
			aslr_space__add(user, 0x2000, 0x1fff, &image) == -EINVAL);
	TEST_ASSERT_VAL("no ranges of physical memory",
			aslr_space__add(phys, SZ_1M, SZ_2M, &image) == -ENOSPC && !image);

	/* A 32-bit kernel whose map is all scattered, then modules and symbols. */
	TEST_ASSERT_VAL("text", !aslr_space__add_text(kernel, 0xc1000000ULL, 0x3effffff,
						      0xc1000000ULL, &text));
	for (u64 page = 0xd0000000; page < 0xf8000000ULL; page += ASLR_PAGE_SIZE) {
		TEST_ASSERT_VAL("page", !aslr_space__translate(kernel, page, &image));
		TEST_ASSERT_VAL("below 4 GiB", image <= UINT_MAX);
	}
	TEST_ASSERT_VAL("module", !aslr_space__add(kernel, 0xf8000000ULL, 0xf87fffffULL, &module));
	for (u64 addr = 0xf9000000ULL; addr < 0xf9400000ULL; addr += 0x2000) {
		TEST_ASSERT_VAL("symbol", !aslr_space__add_symbol(kernel, addr, 0x100, &symbol));
		TEST_ASSERT_VAL("a symbol isn't in a module",
				!(symbol + 0xff >= module && symbol <= module + 0x7fffff));
	}

	/* Physical pages. */
	TEST_ASSERT_VAL("phys", !aslr_space__translate(phys, 0x12345678, &first) &&
			!aslr_space__translate(phys, 0x12345000, &image) &&
			image + 0x678 == first && first != 0x12345678 &&
			!aslr_space__translate(phys, 0x812345678ULL, &image) && image != first &&
			!aslr_space__translate(phys, 0, &image) && !image &&
			!aslr_space__translate(phys, -1ULL, &image) && image);

	aslr_space__delete(user);
	aslr_space__delete(kernel);
	aslr_space__delete(phys);
	aslr_known__delete(known);
	return TEST_OK;
}

/* The spaces of data addresses, by where the kernel begins. */
static int test__aslr_view(struct test_suite *t __maybe_unused, int subtest __maybe_unused)
{
	static const struct {
		const char	*name;
		u64		text;
		u64		addr;
		u8		cpumode;
		/* PERF_RECORD_MISC_* */
		u8		want;
	} views[] = {
		{ "no text, low", 0, LIB, PERF_RECORD_MISC_KERNEL, PERF_RECORD_MISC_USER },
		{ "no text, high", 0, MODULE, PERF_RECORD_MISC_USER, PERF_RECORD_MISC_KERNEL },
		{ "x86-64, low", 0xffffffff81000000ULL, LIB, PERF_RECORD_MISC_KERNEL,
		  PERF_RECORD_MISC_USER },
		{ "x86-64, high", 0xffffffff81000000ULL, 0xffff888012345678ULL,
		  PERF_RECORD_MISC_USER, PERF_RECORD_MISC_KERNEL },
		{ "ARMv7, low", 0x80008200ULL, 0x76543210, PERF_RECORD_MISC_KERNEL,
		  PERF_RECORD_MISC_USER },
		{ "ARMv7, high", 0x80008200ULL, 0x8654321, PERF_RECORD_MISC_USER,
		  PERF_RECORD_MISC_USER },
		{ "ARMv7, high", 0x80008200ULL, 0x86543210, PERF_RECORD_MISC_USER,
		  PERF_RECORD_MISC_KERNEL },
		{ "ARMv7, module", 0x80008200ULL, 0x7f000123, PERF_RECORD_MISC_USER,
		  PERF_RECORD_MISC_KERNEL },
		{ "i686, low", 0xc1000000ULL, 0xbfffffff, PERF_RECORD_MISC_USER,
		  PERF_RECORD_MISC_USER },
		{ "i686, high", 0xc1000000ULL, 0xc0000000, PERF_RECORD_MISC_USER,
		  PERF_RECORD_MISC_KERNEL },
		{ "s390, of the kernel", 0x100000, 0x1234567, PERF_RECORD_MISC_KERNEL,
		  PERF_RECORD_MISC_KERNEL },
		{ "s390, of a process", 0x100000, 0x1234567, PERF_RECORD_MISC_USER,
		  PERF_RECORD_MISC_USER },
		{ "guest, low", 0, LIB, PERF_RECORD_MISC_GUEST_KERNEL,
		  PERF_RECORD_MISC_GUEST_USER },
		{ "guest, high", 0, MODULE, PERF_RECORD_MISC_GUEST_USER,
		  PERF_RECORD_MISC_GUEST_KERNEL },
	};
	int ret = TEST_OK;

	for (unsigned int i = 0; i < ARRAY_SIZE(views); i++) {
		struct aslr_spaces *spaces = aslr_spaces__new();
		struct aslr_view view = {
			.spaces = spaces, .machine = HOST, .guest = GUEST, .pid = 7,
			.cpumode = views[i].cpumode,
		};
		struct aslr_text text;
		u64 image;

		TEST_ASSERT_VAL("out of memory", spaces);
		if (views[i].text)
			TEST_ASSERT_VAL("text", !aslr_spaces__add_text(spaces, HOST, views[i].text,
								       0x7fffff, views[i].text,
								       &text));
		TEST_ASSERT_VAL("module", !aslr_space__add(aslr_spaces__kernel(spaces, HOST),
							   0x7f000000, 0x7f003fff, &image));
		if (aslr_view__space_of(&view, views[i].addr) !=
		    aslr_view__space(&view, views[i].want)) {
			pr_debug("%s: wanted mode %u for %#" PRIx64 "\n", views[i].name,
				 views[i].want, views[i].addr);
			ret = TEST_FAIL;
		}
		if (aslr_view__space(&view, PERF_RECORD_MISC_USER) ==
		    aslr_view__space(&view, PERF_RECORD_MISC_GUEST_USER) ||
		    aslr_view__space(&view, PERF_RECORD_MISC_KERNEL) ==
		    aslr_view__space(&view, PERF_RECORD_MISC_GUEST_KERNEL) ||
		    aslr_view__space(&view, PERF_RECORD_MISC_KERNEL) ==
		    aslr_view__space(&view, PERF_RECORD_MISC_HYPERVISOR)) {
			pr_debug("%s: one space for two modes\n", views[i].name);
			ret = TEST_FAIL;
		}
		if (aslr_spaces__has_guest(spaces, HOST) || aslr_spaces__has_guest(spaces, 78) ||
		    !aslr_spaces__has_guest(spaces, GUEST)) {
			pr_debug("%s: wrong guests\n", views[i].name);
			ret = TEST_FAIL;
		}
		aslr_spaces__delete(spaces);
	}
	return ret;
}

/* Of a 32-bit process. */
#define LOW_LIB		0xf7123000ULL
#define LOW_HEAP	0x56789000ULL

static int test__aslr_know(struct test_suite *t __maybe_unused, int subtest __maybe_unused)
{
	struct aslr_spaces *spaces = aslr_spaces__new();
	u64 image;

	TEST_ASSERT_VAL("out of memory", spaces);
	TEST_ASSERT_VAL("nothing", !aslr_spaces__know(spaces, LOW_LIB));
	aslr_space__add(aslr_spaces__new_process(spaces, HOST, 1), LOW_LIB, LOW_LIB + 0x1fff,
			&image);
	aslr_space__translate(aslr_spaces__new_process(spaces, HOST, 2), LOW_HEAP + 1, &image);
	aslr_space__translate(aslr_spaces__process(spaces, HOST, 3), 0x12345678, &image);
	aslr_space__translate(aslr_spaces__kernel(spaces, GUEST), 0xc1234567, &image);
	aslr_space__translate(aslr_spaces__phys(spaces, HOST), 0x87654321, &image);
	aslr_space__translate(aslr_spaces__hypervisor(spaces, HOST), 0x40000000, &image);
	for (int i = 0; i < 2; i++) {
		TEST_ASSERT_VAL("range", aslr_spaces__know(spaces, LOW_LIB + 0x1fff));
		TEST_ASSERT_VAL("no range", !aslr_spaces__know(spaces, LOW_LIB + 0x2000) &&
				!aslr_spaces__know(spaces, LOW_LIB - 1));
		TEST_ASSERT_VAL("page", aslr_spaces__know(spaces, LOW_HEAP + 0x800));
		TEST_ASSERT_VAL("no page", !aslr_spaces__know(spaces, LOW_HEAP - 1));
		TEST_ASSERT_VAL("stray", aslr_spaces__know(spaces, 0x12345678));
		TEST_ASSERT_VAL("guest", aslr_spaces__know(spaces, 0xc1234000));
		TEST_ASSERT_VAL("phys", aslr_spaces__know(spaces, 0x87654321));
		TEST_ASSERT_VAL("hypervisor", aslr_spaces__know(spaces, 0x40000000));
		TEST_ASSERT_VAL("4 GiB", !aslr_spaces__know(spaces, UINT_MAX) &&
				aslr_spaces__know(spaces, UINT_MAX + 1ULL));
		TEST_ASSERT_VAL("count of all that were there",
				aslr_spaces__nr_pages(spaces) == 5);
		/* The same of who is gone. */
		aslr_spaces__exit(spaces, HOST, 1, 1);
		aslr_spaces__exit(spaces, HOST, 2, 2);
	}

	/* From below 4 GiB on. */
	aslr_space__add(aslr_spaces__new_process(spaces, HOST, 1), 0xfffff000, 0x100000fffULL,
			&image);
	TEST_ASSERT_VAL("across 4 GiB", aslr_spaces__know(spaces, UINT_MAX) &&
			!aslr_spaces__know(spaces, 0xffffefff));
	aslr_spaces__delete(spaces);
	return TEST_OK;
}

static unsigned int nr_shared(const struct aslr_list *a, const struct aslr_list *b)
{
	unsigned int nr = 0;

	for (unsigned int i = 0; i < a->nr_slots; i++) {
		for (unsigned int j = 0; j < b->nr_slots; j++)
			nr += RC_CHK_EQUAL(a->slots[i].chunk, b->slots[j].chunk);
	}
	return nr;
}

/* Who changes something after a fork still shares the rest. */
static int test__aslr_shared(struct test_suite *t __maybe_unused, int subtest __maybe_unused)
{
	const struct aslr_zone *zones = aslr_zones[ASLR_SPACE__USER];
	struct aslr_ranges *parent = aslr_ranges__new(zones), *child;
	struct aslr_range over = {
		.start	= LIB + 2000 * 0x4000 + 0x1000,
		.last	= LIB + 2001 * 0x4000 + 0xfff,
	};
	const struct aslr_range *range;
	unsigned int nr_chunks;
	u64 was;

	TEST_ASSERT_VAL("out of memory", parent);
	for (u64 i = 0; i < 4000; i++) {
		u64 start = LIB + i * 0x4000;
		struct aslr_range new = { .start = start, .last = start + 0x1fff };

		TEST_ASSERT_VAL("map", !aslr_ranges__lay(parent, zones, &new));
	}
	was = aslr_ranges__find(parent, LIB + 2000 * 0x4000)->image;

	child = aslr_ranges__clone(parent, zones);
	TEST_ASSERT_VAL("out of memory", child);
	nr_chunks = RC_CHK_ACCESS(child)->old.nr_slots;
	TEST_ASSERT_VAL("all is shared",
			nr_shared(&RC_CHK_ACCESS(parent)->old,
				  &RC_CHK_ACCESS(child)->old) == nr_chunks);

	/* The second half of one and the first of the next. */
	TEST_ASSERT_VAL("map over", !aslr_ranges__lay(child, zones, &over));
	TEST_ASSERT_VAL("most is shared",
			nr_shared(&RC_CHK_ACCESS(parent)->old,
				  &RC_CHK_ACCESS(child)->old) >= nr_chunks - 2 &&
			nr_shared(&RC_CHK_ACCESS(parent)->new,
				  &RC_CHK_ACCESS(child)->new) + 4 >=
			RC_CHK_ACCESS(parent)->new.nr_slots);

	range = aslr_ranges__find(parent, LIB + 2000 * 0x4000 + 0x1fff);
	TEST_ASSERT_VAL("the parent keeps its own", range && range->image == was);
	range = aslr_ranges__find(parent, LIB + 2000 * 0x4000 + 0x2000);
	TEST_ASSERT_VAL("no other's", !range);
	range = aslr_ranges__find(child, LIB + 2000 * 0x4000 + 0x2000);
	TEST_ASSERT_VAL("the child's", range);
	aslr_ranges__put(parent);
	range = aslr_ranges__find(child, LIB + 2000 * 0x4000);
	TEST_ASSERT_VAL("what the child kept", range && range->image == was);
	aslr_ranges__put(child);
	return TEST_OK;
}

/*
 * Random calls, and beside each space a model of it in arrays that takes its
 * images from what aslr_space__add() says and holds it to that.
 */
#define MODEL_RANGES	1024
#define MODEL_PAGES	8192
#define MODELS		6
#define OPS		40000

struct model {
	struct aslr_space	*space;
	unsigned int		nr;
	unsigned int		nr_pages;
	struct {
		u64		start;
		u64		last;
		u64		image;
	}			ranges[MODEL_RANGES];
	/* All that were ever there; what is no longer may get another image. */
	struct {
		u64		page;
		u64		image;
	}			pages[MODEL_PAGES];
};

static u64 model_seed;

static u64 model_random(u64 below)
{
	model_seed ^= model_seed << 13;
	model_seed ^= model_seed >> 7;
	model_seed ^= model_seed << 17;
	return model_seed % below;
}

static void model__del(struct model *m, unsigned int i)
{
	m->ranges[i] = m->ranges[--m->nr];
}

static void model__put(struct model *m, u64 start, u64 last, u64 image)
{
	u64 delta = image - start;

	/* One of two that touch with images that touch. */
	for (unsigned int i = 0; i < m->nr; i++) {
		if (m->ranges[i].image - m->ranges[i].start != delta)
			continue;
		if (m->ranges[i].last + 1 == start && start)
			start = m->ranges[i].start;
		else if (last + 1 == m->ranges[i].start && last + 1)
			last = m->ranges[i].last;
		else
			continue;
		model__del(m, i);
		i = -1;
	}
	if (m->nr < MODEL_RANGES) {
		m->ranges[m->nr].start = start;
		m->ranges[m->nr].last = last;
		m->ranges[m->nr++].image = start + delta;
	}
}

static void model__cut(struct model *m, u64 start, u64 last)
{
	for (unsigned int i = 0; i < m->nr; i++) {
		u64 a = m->ranges[i].start, b = m->ranges[i].last, image = m->ranges[i].image;

		if (a > last || b < start)
			continue;
		model__del(m, i);
		if (a < start)
			model__put(m, a, start - 1, image);
		if (b > last)
			model__put(m, last + 1, b, image + (last + 1 - a));
		i = -1;
	}
}

static int model__find(const struct model *m, u64 addr)
{
	for (unsigned int i = 0; i < m->nr; i++) {
		if (m->ranges[i].start <= addr && addr <= m->ranges[i].last)
			return i;
	}
	return -1;
}

/* Is [@image, @last] in one arena, of those for ranges or for pages? */
static bool in_arena(u64 image, u64 last, bool pages)
{
	for (unsigned int zone = 0; zone < ASLR_ZONES; zone++) {
		const struct aslr_zone *z = &aslr_zones[ASLR_SPACE__USER][zone];
		const struct aslr_arena *arenas = pages ? z->pages : z->ranges;

		for (unsigned int i = 0; i < ASLR_ARENAS; i++) {
			if (image >= arenas[i].first && last <= arenas[i].last)
				return true;
		}
	}
	return false;
}

/* May [@start, @last] have its image at @image, on its side of 4 GiB and beside others? */
static bool model__has_room(const struct model *m, u64 start, u64 last, u64 image)
{
	if (last > UINT_MAX ? image <= UINT_MAX : image + (last - start) > UINT_MAX)
		return false;
	if (!in_arena(image, image + (last - start), /*pages=*/false))
		return false;
	for (unsigned int i = 0; i < m->nr; i++) {
		u64 a = m->ranges[i].start, b = m->ranges[i].last, other = m->ranges[i].image;

		if (is_apart(image, last - start + 1, other, b - a + 1))
			continue;
		if (b + 1 == start && other + (b - a) + 1 == image)
			continue;
		if (last + 1 == a && image + (last - start) + 1 == other)
			continue;
		/* What was once one piece may have a hole of less than a page. */
		if (image - start == other - a && (start > b || a > last))
			continue;
		return false;
	}
	return true;
}

#define CHECK_MODEL(_cond) do {							\
	if (!(_cond)) {								\
		pr_debug("%s isn't so: %#" PRIx64 "-%#" PRIx64 " image %#" PRIx64	\
			 "\n", #_cond, start, last, image);			\
		return TEST_FAIL;						\
	}									\
} while (0)

/* The first range that begins in [@start, @last]. */
static int model__first_in(const struct model *m, u64 start, u64 last)
{
	int first = -1;

	for (unsigned int i = 0; i < m->nr; i++) {
		if (m->ranges[i].start >= start && m->ranges[i].start <= last &&
		    (first < 0 || m->ranges[i].start < m->ranges[first].start))
			first = i;
	}
	return first;
}

/* Where the image of @start is if it keeps its distance from that of range number @i. */
static u64 model__near(const struct model *m, int i, u64 start)
{
	return i < 0 ? 0 : m->ranges[i].image - m->ranges[i].start + start;
}

#define MAX_NEAR	64

static int model__add(struct model *m, u64 start, u64 last)
{
	int in = model__find(m, start), below = start ? model__find(m, start - 1) : -1;
	int above = last + 1 ? model__find(m, last + 1) : -1;
	u64 image = 0, best[3], near[MAX_NEAR];
	unsigned int nr_near = 0;
	bool has_room = false, is_near = false;

	if (in >= 0 && m->ranges[in].last >= last) {
		CHECK_MODEL(!aslr_space__add(m->space, start, last, &image));
		CHECK_MODEL(image == model__near(m, in, start));
		return TEST_OK;
	}

	/* What it overlaps or touches, and of these the ones that may be asked for room. */
	best[0] = model__near(m, below, start);
	best[1] = model__near(m, above, start);
	best[2] = model__near(m, model__first_in(m, start, last), start);
	for (unsigned int i = 0; i < m->nr; i++) {
		if (m->ranges[i].start <= last + !!(last + 1) &&
		    m->ranges[i].last >= start - !!start && nr_near < MAX_NEAR)
			near[nr_near++] = model__near(m, i, start);
	}

	model__cut(m, start, last);
	CHECK_MODEL(!aslr_space__add(m->space, start, last, &image));
	for (unsigned int i = 0; i < ARRAY_SIZE(best); i++)
		has_room |= best[i] && model__has_room(m, start, last, best[i]);
	for (unsigned int i = 0; i < nr_near; i++)
		is_near |= image == near[i];
	CHECK_MODEL(is_near || !has_room);
	CHECK_MODEL(!((start ^ image) & ~ASLR_PAGE_MASK));
	CHECK_MODEL(start >> 63 == image >> 63);
	CHECK_MODEL(last > UINT_MAX || image + (last - start) <= UINT_MAX);
	CHECK_MODEL(image >= ASLR_LOW_END);
		CHECK_MODEL(model__has_room(m, start, last, image));
	model__put(m, start, last, image);
	return TEST_OK;
}

static int model__check_page(struct model *m, u64 start, u64 image)
{
	u64 last = start, page = start & ASLR_PAGE_MASK, page_image = image & ASLR_PAGE_MASK;
	bool found = false;

	CHECK_MODEL(in_arena(image, image, /*pages=*/true));
	CHECK_MODEL(!((start ^ image) & ~ASLR_PAGE_MASK));
	CHECK_MODEL(start >> 63 == image >> 63);
	CHECK_MODEL(start > UINT_MAX || image <= UINT_MAX);
	for (unsigned int i = 0; i < m->nr_pages; i++) {
		if (m->pages[i].page == page)
			CHECK_MODEL(m->pages[i].image == page_image);
		if (m->pages[i].image == page_image) {
			CHECK_MODEL(m->pages[i].page == page);
			found = true;
		}
	}
	if (!found && m->nr_pages < MODEL_PAGES) {
		m->pages[m->nr_pages].page = page;
		m->pages[m->nr_pages++].image = page_image;
	}
	return TEST_OK;
}

static int model__translate(struct model *m, u64 start)
{
	int i = model__find(m, start);
	u64 last = start, image = 0;

	CHECK_MODEL(!aslr_space__translate(m->space, start, &image));
	CHECK_MODEL(!start == !image);
	if (!start)
		return TEST_OK;
	CHECK_MODEL(aslr_space__contains(m->space, start) == (i >= 0));
	if (i >= 0)
		CHECK_MODEL(image == m->ranges[i].image + (start - m->ranges[i].start));
	else if (start < ASLR_LOW_END || (start & ASLR_PAGE_MASK) == ASLR_VSYSCALL)
		CHECK_MODEL(image == start);
	else
		return model__check_page(m, start, image);
	return TEST_OK;
}

static int model__symbol(struct model *m, u64 start, u64 last)
{
	int i = model__find(m, start);
	u64 image = 0;

	if (i < 0)
		return model__add(m, start, last);
	CHECK_MODEL(!aslr_space__add_symbol(m->space, start, last - start + 1, &image));
	CHECK_MODEL(image == m->ranges[i].image + (start - m->ranges[i].start));
	return TEST_OK;
}

static int model__remove_symbol(struct model *m, u64 start, u64 last)
{
	int i = model__find(m, start);
	u64 image = 0;

	CHECK_MODEL(!aslr_space__remove_symbol(m->space, start, last - start + 1));
	if (i >= 0 && m->ranges[i].last >= last)
		model__cut(m, start, last);
	return TEST_OK;
}

static int model__check(const struct model *m)
{
	if (aslr_space__nr_ranges(m->space) != m->nr) {
		pr_debug("wanted %u ranges, got %lu\n", m->nr, aslr_space__nr_ranges(m->space));
		return TEST_FAIL;
	}
	if (aslr_space__nr_pages(m->space) != m->nr_pages) {
		pr_debug("wanted %u pages, got %lu\n", m->nr_pages,
			 aslr_space__nr_pages(m->space));
		return TEST_FAIL;
	}
	return TEST_OK;
}

static int model__fork(struct model *m, const struct model *parent)
{
	aslr_space__delete(m->space);
	m->space = aslr_space__fork(parent->space);
	TEST_ASSERT_VAL("fork", m->space);
	m->nr = parent->nr;
	memcpy(m->ranges, parent->ranges, sizeof(m->ranges));
	m->nr_pages = 0;
	return TEST_OK;
}

static u64 random_addr(void)
{
	static const u64 regions[] = {
		0, 0x400000, 0x56550000, 0xf7c00000, 0xfffe0000, HEAP, LIB, 0x7ffd2c9f0000ULL,
		0xffff888012300000ULL, ASLR_VSYSCALL - 0x8000, -0x40000ULL,
	};

	return regions[model_random(ARRAY_SIZE(regions))] +
	       (model_random(64) << ASLR_PAGE_SHIFT);
}

static int run_ops(struct model *models, u64 *sum)
{
	for (unsigned int op = 0; op < OPS; op++) {
		unsigned int which = model_random(MODELS);
		struct model *m = &models[which], *parent;
		u64 addr = random_addr(), len = (1 + model_random(8)) << ASLR_PAGE_SHIFT, image;
		u64 last = addr + len - 1 < addr ? -1ULL : addr + len - 1;
		int ret;

		switch (model_random(64)) {
		case 0:
			parent = &models[model_random(MODELS)];
			ret = parent == m ? TEST_OK : model__fork(m, parent);
			break;
		case 1 ... 7:
			if (last >= ASLR_VSYSCALL && addr <= ASLR_VSYSCALL + ~ASLR_PAGE_MASK)
				continue;
			ret = model__add(m, addr, last);
			break;
		case 8 ... 11:
			addr += model_random(64) * 16;
			if ((addr & ASLR_PAGE_MASK) == ASLR_VSYSCALL)
				continue;
			ret = model__symbol(m, addr, addr + model_random(1024));
			break;
		case 12 ... 15:
			addr += model_random(64) * 16;
			ret = model__remove_symbol(m, addr, addr + model_random(1024));
			break;
		case 16 ... 19:
			ret = model__remove_symbol(m, addr, last);
			break;
		default:
			ret = model__translate(m, addr + model_random(ASLR_PAGE_SIZE)) ?:
			      model__translate(m, addr);
			if (!ret && !aslr_space__translate(m->space, addr, &image))
				*sum = *sum * 31 + image;
		}
		ret = ret ?: model__check(m);
		if (ret) {
			pr_debug("operation %u, space %u\n", op, which);
			return ret;
		}
	}
	return TEST_OK;
}

static int run_models(u64 *sum)
{
	struct model *models = calloc(MODELS, sizeof(*models));
	struct aslr_known *known = aslr_known__new();
	int ret = models && known ? TEST_OK : TEST_FAIL;

	for (unsigned int i = 0; !ret && i < MODELS; i++) {
		models[i].space = aslr_space__new(ASLR_SPACE__USER, known);
		ret = models[i].space ? TEST_OK : TEST_FAIL;
	}
	model_seed = 0x2545f4914f6cdd1dULL;
	ret = ret ?: run_ops(models, sum);

	for (unsigned int i = 0; models && i < MODELS; i++)
		aslr_space__delete(models[i].space);
	aslr_known__delete(known);
	free(models);
	return ret;
}

/* A mapping that grows up to another's image, and one that grows out of its arena. */
static int test__aslr_guard(struct test_suite *t __maybe_unused, int subtest __maybe_unused)
{
	static const struct {
		const char	*name;
		/* How far from the other's image the one that grows ends. */
		s64		left;
		bool		near;
	} guards[] = {
		{ "over it", -SZ_64K, false },
		{ "up to it", 0, false },
		{ "up to its page", ASLR_PAGE_SIZE / 2, false },
		{ "a byte too far", ASLR_PAGE_SIZE - 1, false },
		{ "a page away", ASLR_PAGE_SIZE, true },
	};
	int ret = TEST_OK;

	for (unsigned int i = 0; i < 2 * ARRAY_SIZE(guards); i++) {
		bool down = i & 1;
		u64 a = 0x20000000, b = 0x40000000, a_image = 0, b_image = 0, image = 0, len;
		struct aslr_known *known = aslr_known__new();
		struct aslr_space *space = aslr_space__new(ASLR_SPACE__USER, known);
		bool is_near;
		u64 wanted;

		TEST_ASSERT_VAL("out of memory", known && space);
		TEST_ASSERT_VAL("map", !aslr_space__add(space, a, a + 0xfff, &a_image) &&
				!aslr_space__add(space, b, b + 0xfff, &b_image));
		TEST_ASSERT_VAL("upwards", b_image > a_image + 0x2000);
		len = b_image - a_image - 0x1000 - guards[i / 2].left;
		if (down) {
			TEST_ASSERT_VAL("map", !aslr_space__add(space, b - len, b - 1, &image));
			wanted = b_image - len;
		} else {
			TEST_ASSERT_VAL("map", !aslr_space__add(space, a + 0x1000, a + 0xfff + len,
								&image));
			wanted = a_image + 0x1000;
		}
		is_near = image == wanted;
		if (is_near != guards[i / 2].near ||
		    !in_arena(image, image + len - 1, /*pages=*/false)) {
			pr_debug("%s, %s: wanted %#" PRIx64 "%s, got %#" PRIx64 "\n",
				 down ? "down" : "up", guards[i / 2].name, wanted,
				 guards[i / 2].near ? "" : " not", image);
			ret = TEST_FAIL;
		}

		/* Below the first there are images of pages. */
		len = (a_image & (SZ_16M - 1)) + ASLR_PAGE_SIZE;
		TEST_ASSERT_VAL("map", !aslr_space__add(space, a - len, a - 1, &image));
		if (!in_arena(image, image + len - 1, /*pages=*/false)) {
			pr_debug("%#" PRIx64 " is no place for a range\n", image);
			ret = TEST_FAIL;
		}
		aslr_space__delete(space);
		aslr_known__delete(known);
	}
	return ret;
}

/* What is near to something, and what is so only by what need not be an address. */
static int test__aslr_near(struct test_suite *t __maybe_unused, int subtest __maybe_unused)
{
	const u64 tib = 1ULL << 40, map = 0x1234560000, page = 96 * tib + 0x10000;
	struct aslr_known *known = aslr_known__new();
	struct aslr_space *space = aslr_space__new(ASLR_SPACE__USER, known), *child;
	u64 image, again;

	TEST_ASSERT_VAL("out of memory", known && space);
	TEST_ASSERT_VAL("nothing is known", aslr_space__is_near(space, page));
	TEST_ASSERT_VAL("known everywhere", aslr_known__has(known, 0x55 * tib) &&
			aslr_known__has(known, 0x7f * tib) && !aslr_known__has(known, page));

	TEST_ASSERT_VAL("range", !aslr_space__add(space, map, map + 0xfff, &image));
	TEST_ASSERT_VAL("terabyte", aslr_space__is_near(space, 0) &&
			aslr_space__is_near(space, tib - 1));
	TEST_ASSERT_VAL("another one", !aslr_space__is_near(space, tib) &&
			!aslr_space__is_near(space, page) &&
			aslr_space__is_near(space, 128 * tib));
	TEST_ASSERT_VAL("where a program usually is", aslr_space__is_near(space, 0x55 * tib) &&
			aslr_space__is_near(space, 0x57 * tib - 1) &&
			!aslr_space__is_near(space, 0x55 * tib - 1) &&
			!aslr_space__is_near(space, 0x57 * tib));
	TEST_ASSERT_VAL("where stacks are", aslr_space__is_near(space, 0x7e * tib) &&
			!aslr_space__is_near(space, 0x7e * tib - 1));
	TEST_ASSERT_VAL("two terabytes",
			!aslr_space__add(space, 3 * tib - 0x1000, 4 * tib + 0xfff, &image) &&
			!aslr_space__is_near(space, 2 * tib - 1) &&
			aslr_space__is_near(space, 2 * tib) &&
			aslr_space__is_near(space, 5 * tib - 1) &&
			!aslr_space__is_near(space, 5 * tib));

	TEST_ASSERT_VAL("number", !aslr_space__translate_unsure(space, page + 5, &image));
	TEST_ASSERT_VAL("is no address", !aslr_space__has_page(space, page) &&
			!aslr_space__is_near(space, page) && !aslr_known__has(known, page));
	TEST_ASSERT_VAL("same image", !aslr_space__translate_unsure(space, page + 7, &again) &&
			again == image + 2);
	TEST_ASSERT_VAL("address", !aslr_space__translate(space, page + 7, &again) &&
			again == image + 2);
	TEST_ASSERT_VAL("is one", aslr_space__has_page(space, page) &&
			aslr_space__is_near(space, page) && aslr_known__has(known, page));
	TEST_ASSERT_VAL("and stays one", !aslr_space__translate_unsure(space, page, &again) &&
			again == image - 5 && aslr_space__has_page(space, page));
	TEST_ASSERT_VAL("count", aslr_space__nr_pages(space) == 1);
	TEST_ASSERT_VAL("number in a range",
			!aslr_space__translate_unsure(space, map + 5, &image) &&
			!aslr_space__translate(space, map + 5, &again) && image == again);

	child = aslr_space__fork(space);
	TEST_ASSERT_VAL("child", child && aslr_space__is_near(child, map) &&
			aslr_space__is_near(child, page) && !aslr_space__has_page(child, page));
	aslr_space__exec(child);
	TEST_ASSERT_VAL("the new program's are lost", aslr_space__is_near(child, 9 * tib));
	TEST_ASSERT_VAL("stack", !aslr_space__add(child, map, map + 0xfff, &image) &&
			aslr_space__is_near(child, 9 * tib));
	aslr_space__set_file(child, map + 0x1fff);
	TEST_ASSERT_VAL("program", !aslr_space__is_near(child, 9 * tib));
	aslr_space__delete(child);
	aslr_space__delete(space);
	aslr_known__delete(known);
	return TEST_OK;
}

/* Where the heap may be of a program at a fixed address. */
static int test__aslr_heap(struct test_suite *t __maybe_unused, int subtest __maybe_unused)
{
	const u64 exe = 0x401000, end = 0x402000, low = 0x40000000, brk = 0x168e3000;
	struct aslr_known *known = aslr_known__new();
	struct aslr_space *space = aslr_space__new(ASLR_SPACE__USER, known);
	u64 image;

	TEST_ASSERT_VAL("out of memory", known && space);
	TEST_ASSERT_VAL("no program", !aslr_space__may_be_heap(space, brk) &&
			!aslr_space__may_be_heap(space, 0));
	aslr_space__set_file(space, end - 1);
	TEST_ASSERT_VAL("program", !aslr_space__add(space, exe, end - 1, &image));
	TEST_ASSERT_VAL("32-bit task", !aslr_space__may_be_heap(space, brk));
	aslr_space__set_file(space, LIB + 0xfff);
	TEST_ASSERT_VAL("library", !aslr_space__add(space, LIB, LIB + 0xfff, &image) &&
			!aslr_space__add(space, low, low + 0xfff, &image));
	TEST_ASSERT_VAL("behind the program", !aslr_space__may_be_heap(space, end - 1) &&
			aslr_space__may_be_heap(space, end) &&
			aslr_space__may_be_heap(space, end - 1 + 3ULL * SZ_512M) &&
			!aslr_space__may_be_heap(space, end + 3ULL * SZ_512M));
	/* It may have begun before. */
	aslr_space__set_brk(space, brk);
	TEST_ASSERT_VAL("found running", aslr_space__may_be_heap(space, end) &&
			aslr_space__may_be_heap(space, brk));

	aslr_space__exec(space);
	aslr_space__set_file(space, end - 1);
	TEST_ASSERT_VAL("exec", !aslr_space__may_be_heap(space, brk));
	TEST_ASSERT_VAL("program and library", !aslr_space__add(space, exe, end - 1, &image) &&
			!aslr_space__add(space, LIB, LIB + 0xfff, &image));
	aslr_space__set_brk(space, 0x1000);
	aslr_space__set_brk(space, LIB);
	TEST_ASSERT_VAL("no heap there", aslr_space__may_be_heap(space, end));
	aslr_space__set_brk(space, brk);
	TEST_ASSERT_VAL("what came before may be lost", aslr_space__may_be_heap(space, end) &&
			aslr_space__may_be_heap(space, brk - 1) &&
			aslr_space__may_be_heap(space, end + 3ULL * SZ_512M - 1));
	aslr_space__set_brk(space, end + 3ULL * SZ_512M + 0x1000);
	aslr_space__set_brk(space, brk);
	TEST_ASSERT_VAL("growth",
			aslr_space__may_be_heap(space, end + 3ULL * SZ_512M + 0x1000) &&
			!aslr_space__may_be_heap(space, end + 3ULL * SZ_512M + 0x2000));

	aslr_space__exec(space);
	aslr_space__set_file(space, HEAP + 0xfff);
	TEST_ASSERT_VAL("program that is relocated",
			!aslr_space__add(space, HEAP, HEAP + 0xfff, &image) &&
			!aslr_space__add(space, low, low + 0xfff, &image));
	aslr_space__set_brk(space, brk);
	TEST_ASSERT_VAL("no low heap", !aslr_space__may_be_heap(space, brk));
	aslr_space__delete(space);
	aslr_known__delete(known);
	return TEST_OK;
}

/* A view of one record after the other sees what each sees by itself. */
static int test__aslr_views(struct test_suite *t __maybe_unused, int subtest __maybe_unused)
{
	static const struct {
		const char	*name;
		/* What happens: a process is made, of @pid, or its only thread exits. */
		s32		add;
		s32		fork;
		s32		exit;
		/* Who is looked at then. */
		s32		machine;
		s32		pid;
	} steps[] = {
		{ .name = "stray",		.machine = HOST, .pid = 7 },
		{ .name = "known now",		.add = 7, .machine = HOST, .pid = 7 },
		{ .name = "another one",	.machine = HOST, .pid = 8 },
		{ .name = "the first again",	.machine = HOST, .pid = 7 },
		{ .name = "in a guest",		.machine = GUEST, .pid = 7 },
		{ .name = "and not",		.machine = HOST, .pid = 7 },
		{ .name = "number used again",	.fork = 7, .machine = HOST, .pid = 7 },
		{ .name = "child",		.fork = 8, .machine = HOST, .pid = 8 },
		{ .name = "gone",		.exit = 8, .machine = HOST, .pid = 8 },
		{ .name = "another is gone",	.exit = 7, .machine = HOST, .pid = 7 },
	};
	struct aslr_spaces *spaces = aslr_spaces__new();
	struct aslr_view view = { .spaces = spaces };

	TEST_ASSERT_VAL("out of memory", spaces);
	for (unsigned int i = 0; i < ARRAY_SIZE(steps); i++) {
		s32 machine = steps[i].machine, guest = machine == HOST ? 0 : machine;

		if (steps[i].add)
			aslr_spaces__new_process(spaces, machine, steps[i].add);
		if (steps[i].fork && aslr_spaces__fork(spaces, machine, 1, steps[i].fork,
						       steps[i].fork, /*inherit=*/true))
			return TEST_FAIL;
		if (steps[i].exit)
			aslr_spaces__exit(spaces, machine, steps[i].exit, steps[i].exit);

		aslr_view__set(&view, machine, guest, steps[i].pid, PERF_RECORD_MISC_USER);
		for (u8 mode = 0; mode <= PERF_RECORD_MISC_CPUMODE_MASK; mode++) {
			struct aslr_view alone = {
				.spaces = spaces, .machine = machine, .guest = guest,
				.pid = steps[i].pid,
			};

			if (aslr_view__space(&view, mode) != aslr_view__space(&alone, mode)) {
				pr_debug("%s: another space in mode %u\n", steps[i].name, mode);
				return TEST_FAIL;
			}
		}
	}
	aslr_spaces__delete(spaces);
	return TEST_OK;
}

/* A range with the page that stays where it is in it: the last module's, of old perf. */
static int test__aslr_vsyscall(struct test_suite *t __maybe_unused, int subtest __maybe_unused)
{
	const u64 vsyscall = 0xffffffffff600000ULL, module = 0xffffffffc0a00000ULL;
	const u64 addrs[] = { module + 8, vsyscall + 8, 0, module + 16, 0 };
	struct aslr_known *known = aslr_known__new();
	struct aslr_space *space = aslr_space__new(ASLR_SPACE__KERNEL, known);
	u64 images[ARRAY_SIZE(addrs)], image, nr_changed = 0;

	TEST_ASSERT_VAL("out of memory", known && space);
	TEST_ASSERT_VAL("nothing yet", aslr_space__translate_all(space, addrs + 2, 1, images,
								 &nr_changed) == 1 && !nr_changed);
	TEST_ASSERT_VAL("module", !aslr_space__add(space, module, -1ULL, &image));
	TEST_ASSERT_VAL("all of them", aslr_space__translate_all(space, addrs, ARRAY_SIZE(addrs),
								 images, &nr_changed) ==
			ARRAY_SIZE(addrs));
	TEST_ASSERT_VAL("images", images[0] == image + 8 && images[1] == addrs[1] &&
			!images[2] && images[3] == image + 16 && !images[4]);
	TEST_ASSERT_VAL("count", nr_changed == 2);
	aslr_space__delete(space);
	aslr_known__delete(known);
	return TEST_OK;
}

/* Call chain entries up to one that may be of another space, also in one range with it. */
static int test__aslr_runs(struct test_suite *t __maybe_unused, int subtest __maybe_unused)
{
	const u64 half = 1ULL << 63, marker = PERF_CONTEXT_MAX;
	const struct {
		u64		addrs[4];
		unsigned int	nr;
	} runs[] = {
		{ { half - 8, half - 16, 0, half + 8 },			3 },
		{ { half - 8, half - 16, half + 8, half - 16 },		2 },
		{ { half + 8, half + 16, half - 8, half + 16 },		2 },
		{ { 0, half - 8, half - 16, half + 8 },			3 },
		{ { 0, half + 8, half + 16, half + 24 },		1 },
		{ { marker - 8, marker - 1, 0, marker - 2 },		4 },
		{ { marker - 8, marker, marker - 1, marker - 2 },	1 },
		{ { marker - 8, PERF_CONTEXT_USER, half, half },	1 },
	};
	struct aslr_known *known = aslr_known__new();
	struct aslr_space *space = aslr_space__new(ASLR_SPACE__KERNEL, known);
	u64 images[4], image, expected, nr_changed;

	TEST_ASSERT_VAL("out of memory", known && space);
	TEST_ASSERT_VAL("ranges", !aslr_space__add(space, half - 4096, half + 4095, &image) &&
			!aslr_space__add(space, marker - 4096, marker + 4000, &image));
	for (unsigned int i = 0; i < ARRAY_SIZE(runs); i++) {
		/* The first time and again, when the range was the last. */
		for (unsigned int j = 0; j < 2; j++) {
			s64 nr;

			nr_changed = 0;
			nr = aslr_space__translate_all(space, runs[i].addrs, ARRAY_SIZE(images),
						       images, &nr_changed);
			TEST_ASSERT_EQUAL("number", (int)nr, (int)runs[i].nr);
			for (unsigned int k = 0; k < nr; k++) {
				TEST_ASSERT_VAL("image",
						!aslr_space__translate(space, runs[i].addrs[k],
								       &expected) &&
						images[k] == expected);
				nr_changed -= images[k] != runs[i].addrs[k];
			}
			TEST_ASSERT_VAL("count", !nr_changed);
		}
	}
	aslr_space__delete(space);
	aslr_known__delete(known);
	return TEST_OK;
}

/* A range that is where it goes to, as all are in what was rewritten before. */
static int test__aslr_again(struct test_suite *t __maybe_unused, int subtest __maybe_unused)
{
	struct aslr_known *known = aslr_known__new();
	struct aslr_space *space = aslr_space__new(ASLR_SPACE__USER, known);
	u64 image, other, images[4], nr_changed = 0;

	TEST_ASSERT_VAL("out of memory", known && space);
	TEST_ASSERT_VAL("first", !aslr_space__add(space, LIB, LIB + 4095, &image));
	aslr_space__delete(space);

	space = aslr_space__new(ASLR_SPACE__USER, known);
	TEST_ASSERT_VAL("out of memory", space);
	TEST_ASSERT_VAL("first", !aslr_space__add(space, image, image + 4095, &other));
	TEST_ASSERT_VAL("there", other == image);
	TEST_ASSERT_VAL("other", !aslr_space__add(space, LIB, LIB + 4095, &other));
	for (unsigned int i = 0; i < 3; i++) {
		const u64 addrs[] = { image + 8, LIB + 8, image + 16, LIB + 16 };

		TEST_ASSERT_VAL("number", aslr_space__translate_all(space, addrs, 4, images,
								    &nr_changed) == 4);
		TEST_ASSERT_VAL("images", images[0] == addrs[0] && images[1] == other + 8 &&
				images[2] == addrs[2] && images[3] == other + 16);
		TEST_ASSERT_VAL("count", nr_changed == 2 * (i + 1));
	}
	aslr_space__delete(space);
	aslr_known__delete(known);
	return TEST_OK;
}

/* What is taken for a heap, or a 32-bit task, if it isn't sure which the program is. */
static int test__aslr_lost(struct test_suite *t __maybe_unused, int subtest __maybe_unused)
{
	static const struct {
		/* The ends of files, before and after records are lost, 0 for none. */
		u64	before;
		u64	after;
		/* Something else is mapped, at least. */
		u64	other;
		bool	exec;
		/* What is in what may be a heap, and which tasks may have 32 bits. */
		bool	low_heap;
		bool	heap;
		bool	narrow;
	} tasks[] = {
		/* Nothing is known. */
		{ .heap = true, .narrow = true },
		{ .before = LIB, .other = LIB, .exec = true, .heap = true, .narrow = true },
		/* No program, but a stack. */
		{ .other = LIB, .heap = true },
		/* Known before, or a program below 4 GiB. */
		{ .before = 0x555555554000, .other = LIB },
		{ .before = 0x555555554000, .after = LIB, .other = LIB },
		{ .after = 0x555555554000, .other = LIB },
		/* It may have been one as well: that records were lost is told later. */
		{ .before = LIB, .other = LIB, .heap = true },
		{ .before = 0x500000, .other = LIB, .low_heap = true, .heap = true },
		{ .after = 0x500000, .other = LIB, .low_heap = true, .heap = true },
		{ .after = 0x500000, .other = 0x500000, .low_heap = true, .heap = true,
		  .narrow = true },
		/* It may be a library. */
		{ .after = LIB, .other = LIB, .heap = true },
		/* It runs another one now. */
		{ .before = LIB, .after = 0x500000, .other = LIB, .heap = true },
		{ .before = 0x555555554000, .after = 0x500000, .other = LIB, .heap = true },
	};
	const u64 low_heap = 0x600000, heap = 0x168e3000;
	int ret = TEST_OK;

	for (unsigned int i = 0; i < ARRAY_SIZE(tasks); i++) {
		struct aslr_known *known = aslr_known__new();
		struct aslr_space *space = aslr_space__new(ASLR_SPACE__USER, known);
		u64 other = tasks[i].other, image;

		TEST_ASSERT_VAL("out of memory", known && space);
		TEST_ASSERT_VAL("not lost", !aslr_space__may_be_heap(space, heap) &&
				!aslr_space__may_be_narrow(space));
		if (tasks[i].before)
			aslr_space__set_file(space, tasks[i].before);
		if (other)
			TEST_ASSERT_VAL("map", !aslr_space__add(space, other & ~0xfffULL,
								other | 0xfff, &image));
		if (tasks[i].exec)
			aslr_space__exec(space);
		aslr_known__lose(known);
		if (tasks[i].after)
			aslr_space__set_file(space, tasks[i].after);
		if (aslr_space__may_be_heap(space, low_heap) != tasks[i].low_heap ||
		    aslr_space__may_be_heap(space, heap) != tasks[i].heap ||
		    aslr_space__may_be_narrow(space) != tasks[i].narrow) {
			pr_debug("task %u: heap %d and %d, narrow %d\n", i,
				 aslr_space__may_be_heap(space, low_heap),
				 aslr_space__may_be_heap(space, heap),
				 aslr_space__may_be_narrow(space));
			ret = TEST_FAIL;
		}
		TEST_ASSERT_VAL("error", !aslr_space__may_be_heap(space, -22U) &&
				!aslr_space__may_be_heap(space, 0));
		aslr_space__delete(space);
		aslr_known__delete(known);
	}
	return ret;
}

static int test__aslr_random(struct test_suite *t __maybe_unused, int subtest __maybe_unused)
{
	u64 first = 0, second = 0;

	if (run_models(&first) || run_models(&second))
		return TEST_FAIL;
	TEST_ASSERT_VAL("the same calls have the same images", first == second);
	return TEST_OK;
}

static struct test_case tests__aslr_space[] = {
	TEST_CASE("aslr mappings, tasks, symbols", aslr_scenarios),
	TEST_CASE("aslr kernel text", aslr_text),
	TEST_CASE("aslr full spaces", aslr_exhaust),
	TEST_CASE("aslr spaces of data addresses", aslr_view),
	TEST_CASE("aslr views of one record after the other", aslr_views),
	TEST_CASE("aslr known addresses", aslr_know),
	TEST_CASE("aslr shared ranges", aslr_shared),
	TEST_CASE("aslr guard pages", aslr_guard),
	TEST_CASE("aslr near addresses", aslr_near),
	TEST_CASE("aslr heaps", aslr_heap),
	TEST_CASE("aslr lost records", aslr_lost),
	TEST_CASE("aslr vsyscall page", aslr_vsyscall),
	TEST_CASE("aslr runs of call chain entries", aslr_runs),
	TEST_CASE("aslr ranges that stay", aslr_again),
	TEST_CASE("aslr random calls", aslr_random),
	{ .name = NULL, }
};

struct test_suite suite__aslr_space = {
	.desc = "aslr address spaces",
	.test_cases = tests__aslr_space,
};
