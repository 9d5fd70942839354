/* SPDX-License-Identifier: GPL-2.0 */
#ifndef __PERF_ASLR_RANGES_H
#define __PERF_ASLR_RANGES_H

#include <stdbool.h>
#include <linux/bits.h>
#include <linux/refcount.h>
#include <linux/types.h>
#include <internal/rc_check.h>
#include "aslr-space.h"

/*
 * The ranges of an address space and the places of their images, the part of
 * aslr-space.c that fork() shares.  All bounds are inclusive.
 */

/*
 * Page offsets are kept: the smallest page size there is.  A profile may come
 * from a machine with another one than this machine's.
 */
#define ASLR_PAGE_SHIFT	12
#define ASLR_PAGE_SIZE	BIT_ULL(ASLR_PAGE_SHIFT)
#define ASLR_PAGE_MASK	(~(ASLR_PAGE_SIZE - 1))

/* Addresses that tell nothing: NULL and its fields, error codes, small numbers. */
#define ASLR_LOW_END	0x10000ULL

/* The page that x86 has at the same place in all processes. */
#define ASLR_VSYSCALL	0xffffffffff600000ULL

#define ASLR_ARENAS	4

struct aslr_arena {
	u64	first;
	u64	last;
};

/*
 * A part of a space that addresses don't leave: its originals end at @last, and
 * begin after the zone before.  Images are given out upwards from the start of
 * an arena, arena after arena.
 */
struct aslr_zone {
	u64			last;
	/* The first text of a kernel, and how much of it. */
	u64			text;
	u64			text_size;
	/* Images of ranges. */
	struct aslr_arena	ranges[ASLR_ARENAS];
	/* Images of pages outside of ranges. */
	struct aslr_arena	pages[ASLR_ARENAS];
};

#define ASLR_ZONES	3

extern const struct aslr_zone aslr_zones[][ASLR_ZONES];

/* A range of original addresses. */
struct aslr_range {
	u64	start;
	u64	last;
	/*
	 * The new address of @start, 0 if it is scattered: then its pages have their
	 * images one by one, beside those of the text.
	 */
	u64	image;
	/*
	 * How often the process had called exec() when it was laid.  Those of other
	 * programs stay for samples that come late, but nothing gets a place by them:
	 * it would keep the distance of two mappings that were placed at random.
	 */
	u32	nr_execs;
};

/* How far an arena list is used. */
struct aslr_cursor {
	unsigned int	arena;
	u64		next;
};

/* Some ranges that are neighbours.  Lists share them, to be changed by none then. */
DECLARE_RC_STRUCT(aslr_chunk) {
	refcount_t		refcnt;
	unsigned int		nr;
	unsigned int		max_nr;
	/* In a list by image: the largest gap between two of them, see range__gap(). */
	u64			max_gap;
	struct aslr_range	ranges[];
};

struct aslr_slot {
	/* Where the last range, or image, of the chunk ends: a search needs no more of it. */
	u64			last;
	struct aslr_chunk	*chunk;
};

/* Ranges without overlaps, by @start or by @image. */
struct aslr_list {
	bool			by_image;
	unsigned int		nr_slots;
	unsigned int		max_slots;
	struct aslr_slot	*slots;
};

/*
 * The ranges of a space.  Spaces share them after a fork, until one of them
 * changes its own; even then they share the chunks that are the same.
 */
DECLARE_RC_STRUCT(aslr_ranges) {
	refcount_t		refcnt;
	/* All ranges, by @start. */
	struct aslr_list	old;
	/* The same, less scattered ones, by @image. */
	struct aslr_list	new;
	unsigned long		nr;
	struct aslr_cursor	cursors[ASLR_ZONES];
};

/* The zone of @addr in @zones. */
unsigned int aslr_zones__index(const struct aslr_zone *zones, u64 addr);

/* No ranges, one reference.  NULL when out of memory. */
struct aslr_ranges *aslr_ranges__new(const struct aslr_zone *zones);
struct aslr_ranges *aslr_ranges__get(struct aslr_ranges *ranges);
void aslr_ranges__put(struct aslr_ranges *ranges);

/* The same ranges at the same images, one reference.  NULL when out of memory. */
struct aslr_ranges *aslr_ranges__clone(const struct aslr_ranges *ranges,
				       const struct aslr_zone *zones);

/*
 * The first range that ends at or after @addr, NULL if there is none.  What this
 * and others return is valid until the next change.
 */
const struct aslr_range *aslr_ranges__first_from(const struct aslr_ranges *ranges, u64 addr);

/* The range that @addr is in, NULL if there is none. */
const struct aslr_range *aslr_ranges__find(const struct aslr_ranges *ranges, u64 addr);

/*
 * Lay @range over what is there, which is cut or goes.  If its image is 0 then a
 * place is found for it in @zones, and put there.  Returns 0, -ENOMEM, or -ENOSPC
 * when there is no place; the ranges may be cut all the same then.
 */
int aslr_ranges__lay(struct aslr_ranges *ranges, const struct aslr_zone *zones,
		     struct aslr_range *range);

/*
 * Add @range where no other is, and make one of it and those that it touches on
 * both sides.  0 or -ENOMEM.
 */
int aslr_ranges__insert(struct aslr_ranges *ranges, struct aslr_range range);

/* Make [@start, @last] free of ranges.  0 or -ENOMEM. */
int aslr_ranges__remove(struct aslr_ranges *ranges, u64 start, u64 last);

static inline bool aslr_range__scattered(const struct aslr_range *range)
{
	return !range->image;
}

static inline u64 aslr_range__delta(const struct aslr_range *range)
{
	return range->image - range->start;
}

#endif /* __PERF_ASLR_RANGES_H */
