// SPDX-License-Identifier: GPL-2.0
/*
 * The ranges of an address space and the places of their images, see aslr-ranges.h.
 */
#include "aslr-ranges.h"

#include <errno.h>
#include <stdlib.h>
#include <linux/kernel.h>
#include <linux/sizes.h>
#include <linux/string.h>
#include <linux/zalloc.h>

#define ZONE_LOW_LAST	0xffffffffULL
#define ZONE_MID_LAST	0x7fffffffffffffffULL
#define ZONE_HIGH_LAST	0xffffffffffffffffULL

/*
 * 64-bit processes have their executable, libraries, heap and stack at random
 * far above and far below these, up to 64 GiB and from 80 TiB on.
 *
 * Neither the upper nor the lower half of an image is a small number, here and
 * below: else bytes of one and of the next together could look like an address
 * that is one, though of chance.
 */
#define ZONE_MID_RANGES	{ { 0x1b0000000000ULL, 0x3fffffffffffULL } }
#define ZONE_MID_PAGES	{ { 0x4b00b0000000ULL, 0x4fffffffffffULL } }

/*
 * Kernels put linear mappings, text and modules at the top of the address
 * space, or below 0xd0..., and no architecture uses anything at 0xe0...
 */
#define ZONE_HIGH_TEXT		0xe0000000b0000000ULL
#define ZONE_HIGH_RANGES	{ { 0xe000001000000000ULL, 0xe0003fffffffffffULL } }
#define ZONE_HIGH_PAGES		{ { 0xe0004000b0000000ULL, 0xe0004fffffffffffULL } }

const struct aslr_zone aslr_zones[][ASLR_ZONES] = {
	/*
	 * 32-bit processes have their executable in the lower half, at random on
	 * some architectures, and what they map below 3 or 4 GiB.  The other
	 * arenas are for who needs more.
	 */
	[ASLR_SPACE__USER] = {
		{
			.last	= ZONE_LOW_LAST,
			.ranges	= { { 0x98000000, 0xafffffff }, { 0x30000000, 0x7effffff },
				    { 0xc0000000, 0xffefffff } },
			.pages	= { { 0x88000000, 0x97ffffff }, { 0x18000000, 0x2fffffff },
				    { 0xb0000000, 0xbfffffff }, { 0x01000000, 0x07ffffff } },
		}, {
			.last	= ZONE_MID_LAST,
			.ranges	= ZONE_MID_RANGES,
			.pages	= ZONE_MID_PAGES,
		}, {
			.last	= ZONE_HIGH_LAST,
			.ranges	= ZONE_HIGH_RANGES,
			.pages	= ZONE_HIGH_PAGES,
		},
	},
	/* 32-bit kernels have their text near 0x80000000 or 0xc0000000. */
	[ASLR_SPACE__KERNEL] = {
		{
			.last	= ZONE_LOW_LAST,
			.text	= 0xe0000000,
			.text_size = SZ_128M,
			.ranges	= { { 0xf0000000, 0xffefffff }, { 0x90000000, 0xafffffff } },
			.pages	= { { 0xd0000000, 0xdfffffff }, { 0xc0000000, 0xcfffffff },
				    { 0xb0000000, 0xbfffffff }, { 0x10000000, 0x8fffffff } },
		}, {
			.last	= ZONE_MID_LAST,
			.text	= 0x8b0000000ULL,
			.text_size = SZ_512M,
			.ranges	= ZONE_MID_RANGES,
			.pages	= ZONE_MID_PAGES,
		}, {
			.last	= ZONE_HIGH_LAST,
			.text	= ZONE_HIGH_TEXT,
			.text_size = SZ_512M,
			.ranges	= ZONE_HIGH_RANGES,
			.pages	= ZONE_HIGH_PAGES,
		},
	},
	/* Memory and devices are far below 4 PiB. */
	[ASLR_SPACE__PHYS] = {
		{ .last = ZONE_LOW_LAST,
		  .pages = { { 0x100000b0000000ULL, 0x10ffffffffffffULL } } },
		{ .last = ZONE_MID_LAST,
		  .pages = { { 0x110000b0000000ULL, 0x11ffffffffffffULL } } },
		{ .last = ZONE_HIGH_LAST, .pages = ZONE_HIGH_PAGES },
	},
};

unsigned int aslr_zones__index(const struct aslr_zone *zones, u64 addr)
{
	unsigned int i = 0;

	while (addr > zones[i].last)
		i++;
	return i;
}

static struct aslr_range *old_entry(struct rb_node *node)
{
	return rb_entry_safe(node, struct aslr_range, old_node);
}

static struct aslr_range *new_entry(struct rb_node *node)
{
	return rb_entry_safe(node, struct aslr_range, new_node);
}

static u64 range__image_last(const struct aslr_range *range)
{
	return range->image + (range->last - range->start);
}

struct aslr_ranges *aslr_ranges__new(const struct aslr_zone *zones)
{
	struct aslr_ranges *result;
	RC_STRUCT(aslr_ranges) *ranges = zalloc(sizeof(*ranges));

	if (ADD_RC_CHK(result, ranges)) {
		refcount_set(&ranges->refcnt, 1);
		for (unsigned int i = 0; i < ASLR_ZONES; i++)
			ranges->cursors[i].next = zones[i].ranges[0].first;
	}
	return result;
}

struct aslr_ranges *aslr_ranges__get(struct aslr_ranges *ranges)
{
	struct aslr_ranges *result;

	if (RC_CHK_GET(result, ranges))
		refcount_inc(&RC_CHK_ACCESS(ranges)->refcnt);
	return result;
}

void aslr_ranges__put(struct aslr_ranges *ranges)
{
	struct aslr_range *range, *next;

	if (!ranges)
		return;
	if (!refcount_dec_and_test(&RC_CHK_ACCESS(ranges)->refcnt)) {
		RC_CHK_PUT(ranges);
		return;
	}
	rbtree_postorder_for_each_entry_safe(range, next, &RC_CHK_ACCESS(ranges)->old, old_node)
		free(range);
	RC_CHK_FREE(ranges);
}

static bool old_less(struct rb_node *a, const struct rb_node *b)
{
	return rb_entry(a, struct aslr_range, old_node)->start <
	       rb_entry(b, struct aslr_range, old_node)->start;
}

static bool new_less(struct rb_node *a, const struct rb_node *b)
{
	return rb_entry(a, struct aslr_range, new_node)->image <
	       rb_entry(b, struct aslr_range, new_node)->image;
}

static void aslr_ranges__link(struct aslr_ranges *ranges, struct aslr_range *range)
{
	rb_add(&range->old_node, &RC_CHK_ACCESS(ranges)->old, old_less);
	if (!range->scattered)
		rb_add(&range->new_node, &RC_CHK_ACCESS(ranges)->new, new_less);
	RC_CHK_ACCESS(ranges)->nr++;
}

static void aslr_ranges__unlink(struct aslr_ranges *ranges, struct aslr_range *range)
{
	rb_erase(&range->old_node, &RC_CHK_ACCESS(ranges)->old);
	if (!range->scattered)
		rb_erase(&range->new_node, &RC_CHK_ACCESS(ranges)->new);
	RC_CHK_ACCESS(ranges)->nr--;
}

struct aslr_range *aslr_ranges__first_from(const struct aslr_ranges *ranges, u64 addr)
{
	struct rb_node *node = RC_CHK_ACCESS(ranges)->old.rb_node;
	struct aslr_range *first = NULL;

	while (node) {
		struct aslr_range *range = old_entry(node);

		if (range->last >= addr) {
			first = range;
			node = node->rb_left;
		} else {
			node = node->rb_right;
		}
	}
	return first;
}

struct aslr_range *aslr_ranges__find(const struct aslr_ranges *ranges, u64 addr)
{
	struct aslr_range *range = aslr_ranges__first_from(ranges, addr);

	return range && range->start <= addr ? range : NULL;
}

/* The first range whose image ends at or after @image. */
static struct aslr_range *aslr_ranges__first_image_from(const struct aslr_ranges *ranges, u64 image)
{
	struct rb_node *node = RC_CHK_ACCESS(ranges)->new.rb_node;
	struct aslr_range *first = NULL;

	while (node) {
		struct aslr_range *range = new_entry(node);

		if (range__image_last(range) >= image) {
			first = range;
			node = node->rb_left;
		} else {
			node = node->rb_right;
		}
	}
	return first;
}

struct aslr_ranges *aslr_ranges__clone(const struct aslr_ranges *ranges,
				       const struct aslr_zone *zones)
{
	struct aslr_ranges *clone = aslr_ranges__new(zones);
	struct rb_node *node;

	if (!clone)
		return NULL;

	for (unsigned int i = 0; i < ASLR_ZONES; i++)
		RC_CHK_ACCESS(clone)->cursors[i] = RC_CHK_ACCESS(ranges)->cursors[i];

	for (node = rb_first(&RC_CHK_ACCESS(ranges)->old); node; node = rb_next(node)) {
		struct aslr_range *range = memdup(old_entry(node), sizeof(*range));

		if (!range) {
			aslr_ranges__put(clone);
			return NULL;
		}
		aslr_ranges__link(clone, range);
	}
	return clone;
}

/*
 * Cut [@start, @last] out of the ranges.  A cut in the middle of one makes two
 * of it: the second is the caller's @spare.  Returns @spare if it was not used.
 */
static struct aslr_range *aslr_ranges__cut(struct aslr_ranges *ranges, u64 start, u64 last,
					   struct aslr_range *spare)
{
	struct aslr_range *range = aslr_ranges__first_from(ranges, start);

	while (range && range->start <= last) {
		struct aslr_range *next = old_entry(rb_next(&range->old_node));
		bool before = range->start < start;
		struct aslr_range *after = NULL;

		aslr_ranges__unlink(ranges, range);
		if (range->last > last) {
			after = range;
			if (before) {
				after = spare;
				spare = NULL;
				*after = *range;
			}
			after->image += last + 1 - after->start;
			after->start = last + 1;
			aslr_ranges__link(ranges, after);
		}
		if (before) {
			range->last = start - 1;
			aslr_ranges__link(ranges, range);
		} else if (!after) {
			free(range);
		}
		range = next;
	}
	return spare;
}

/*
 * May [@start, @last] have its image at @image?  Not if another image is there,
 * or within a page of it without touching both ways.
 */
static bool aslr_ranges__has_room(const struct aslr_ranges *ranges, u64 start, u64 last, u64 image)
{
	u64 image_last = image + (last - start);
	struct aslr_range *range;

	if (image_last < image || image < ASLR_LOW_END || image_last > -1ULL - ASLR_PAGE_SIZE)
		return false;

	range = aslr_ranges__first_image_from(ranges, image - ASLR_PAGE_SIZE);
	while (range && range->image <= image_last + ASLR_PAGE_SIZE) {
		/* What keeps its distance was once, or will be, one with this. */
		if (aslr_range__delta(range) != image - start)
			return false;
		range = new_entry(rb_next(&range->new_node));
	}
	return true;
}

static const struct aslr_arena *zone__find_arena(const struct aslr_zone *zone, u64 image)
{
	for (unsigned int i = 0; i < ASLR_ARENAS; i++) {
		if (image >= zone->ranges[i].first && image <= zone->ranges[i].last)
			return &zone->ranges[i];
	}
	return NULL;
}

/* Is the place of [@start, @last] that @neighbour suggests to be had? */
static bool aslr_ranges__try_near(const struct aslr_ranges *ranges, const struct aslr_zone *zones,
				  const struct aslr_range *neighbour, u64 start, u64 last,
				  u64 *image)
{
	const struct aslr_zone *zone = &zones[aslr_zones__index(zones, last)];
	const struct aslr_arena *arena;

	arena = zone__find_arena(zone, neighbour->image);
	*image = start + aslr_range__delta(neighbour);
	return arena && zone__find_arena(zone, *image) == arena &&
	       last - start <= arena->last - *image &&
	       aslr_ranges__has_room(ranges, start, last, *image);
}

/* Images are handed out again where none is: for who maps and unmaps without end. */
static bool aslr_ranges__try_gap(const struct aslr_ranges *ranges, const struct aslr_arena *arena,
				 u64 start, u64 last, u64 *image)
{
	u64 next = arena->first + ASLR_PAGE_SIZE;
	struct aslr_range *range = aslr_ranges__first_image_from(ranges, arena->first);

	for (;;) {
		*image = next + (start & ~ASLR_PAGE_MASK);
		if (*image > arena->last || last - start > arena->last - *image)
			return false;
		if (!range || range->image > *image + (last - start) + ASLR_PAGE_SIZE)
			return aslr_ranges__has_room(ranges, start, last, *image);
		next = (range__image_last(range) & ASLR_PAGE_MASK) + 2 * ASLR_PAGE_SIZE;
		range = new_entry(rb_next(&range->new_node));
	}
}

/*
 * A place for [@start, @last] away from all others.  Some room stays free on
 * both sides, less when there are many ranges, so that what gets mapped beside
 * it later finds its place there.
 */
static bool aslr_ranges__try_fresh(struct aslr_ranges *ranges, const struct aslr_zone *zone,
				   unsigned int index, u64 start, u64 last, u64 *image)
{
	struct aslr_cursor *cursor = &RC_CHK_ACCESS(ranges)->cursors[index];
	const struct aslr_arena *arenas = zone->ranges;
	const struct aslr_range *range;
	struct aslr_cursor next = *cursor;

	while (next.arena < ASLR_ARENAS && arenas[next.arena].last) {
		u64 arena_last = arenas[next.arena].last;
		u64 room = arena_last - min(next.next, arena_last);
		u64 slack = room / (16 * (RC_CHK_ACCESS(ranges)->nr + 64));

		slack = max(slack & ASLR_PAGE_MASK, ASLR_PAGE_SIZE);
		*image = ((next.next + slack + ~ASLR_PAGE_MASK) & ASLR_PAGE_MASK) +
			 (start & ~ASLR_PAGE_MASK);
		if (*image < arena_last && last - start < arena_last - *image) {
			if (aslr_ranges__has_room(ranges, start, last, *image)) {
				next.next = *image + (last - start) + 1;
				*cursor = next;
				return true;
			}
			/* A range that grew is in the way. */
			range = aslr_ranges__first_image_from(ranges, *image - ASLR_PAGE_SIZE);
			next.next = range__image_last(range) + 1;
			continue;
		}
		if (++next.arena < ASLR_ARENAS)
			next.next = arenas[next.arena].first;
	}
	for (unsigned int i = 0; i < ASLR_ARENAS && arenas[i].last; i++) {
		if (aslr_ranges__try_gap(ranges, &arenas[i], start, last, image))
			return true;
	}
	return false;
}

/* Is @above the rest of @below? */
static bool aslr_range__is_one_with(const struct aslr_range *below, const struct aslr_range *above)
{
	return below && above && below->last + 1 == above->start &&
	       below->scattered == above->scattered &&
	       (below->scattered || aslr_range__delta(below) == aslr_range__delta(above));
}

void aslr_ranges__insert(struct aslr_ranges *ranges, struct aslr_range *range)
{
	struct aslr_range *below, *above;

	aslr_ranges__link(ranges, range);

	below = old_entry(rb_prev(&range->old_node));
	above = old_entry(rb_next(&range->old_node));
	if (aslr_range__is_one_with(range, above)) {
		aslr_ranges__unlink(ranges, above);
		range->last = above->last;
		free(above);
	}
	if (aslr_range__is_one_with(below, range)) {
		aslr_ranges__unlink(ranges, range);
		below->last = range->last;
		free(range);
	}
}

/*
 * Holes of up to that size are kept.  They get filled later: [vvar] comes in two
 * pieces after [vdso], and stacks have guard pages.  Nothing is placed at random
 * so near to something else.
 */
#define NEAR	SZ_64K

/* Ranges that an added one may have its image beside, the best first, as they were before. */
struct aslr_neighbours {
	/* One that is overlapped, and twice those below and above. */
	struct aslr_range	ranges[5];
	unsigned int		nr;
};

static void add_neighbour(struct aslr_neighbours *near, const struct aslr_range *range, bool is)
{
	if (range && is && !range->scattered)
		near->ranges[near->nr++] = *range;
}

static void aslr_ranges__neighbours(const struct aslr_ranges *ranges, u64 start, u64 last,
				    struct aslr_neighbours *near)
{
	const struct aslr_range *first = aslr_ranges__first_from(ranges, start), *below, *above;
	bool overlapped = first && first->start <= last;

	below = old_entry(first ? rb_prev(&first->old_node) :
				  rb_last(&RC_CHK_ACCESS(ranges)->old));
	above = last + 1 ? aslr_ranges__first_from(ranges, last + 1) : NULL;

	near->nr = 0;
	/* What was here before, and grows, or goes on below or above. */
	add_neighbour(near, first, overlapped && first->start <= start);
	add_neighbour(near, below, below && below->last + 1 == start);
	add_neighbour(near, above, above && above->start <= last + 1);
	/* What is overlapped otherwise, and what isn't far away. */
	add_neighbour(near, first, overlapped && first->start > start);
	add_neighbour(near, below, below && start - below->last <= NEAR);
	add_neighbour(near, above, above && above->start > last && above->start - last <= NEAR);
}

static bool aslr_ranges__place(struct aslr_ranges *ranges, const struct aslr_zone *zones,
			       const struct aslr_neighbours *near, u64 start, u64 last, u64 *image)
{
	for (unsigned int i = 0; i < near->nr; i++) {
		if (aslr_ranges__try_near(ranges, zones, &near->ranges[i], start, last, image))
			return true;
	}
	/* Who has no room left below 4 GiB gets it above, but not in the other half. */
	for (unsigned int i = aslr_zones__index(zones, last); i < ASLR_ZONES; i++) {
		if (aslr_ranges__try_fresh(ranges, &zones[i], i, start, last, image))
			return true;
		if (zones[i].last == ZONE_MID_LAST)
			break;
	}
	return false;
}

int aslr_ranges__lay(struct aslr_ranges *ranges, const struct aslr_zone *zones,
		     struct aslr_range *range, u64 *image)
{
	struct aslr_range *spare = zalloc(sizeof(*spare));
	struct aslr_neighbours near;

	if (!spare) {
		free(range);
		return -ENOMEM;
	}

	aslr_ranges__neighbours(ranges, range->start, range->last, &near);
	free(aslr_ranges__cut(ranges, range->start, range->last, spare));
	if (!range->image && !aslr_ranges__place(ranges, zones, &near, range->start, range->last,
						 &range->image)) {
		free(range);
		return -ENOSPC;
	}
	*image = range->image;
	aslr_ranges__insert(ranges, range);
	return 0;
}

int aslr_ranges__remove(struct aslr_ranges *ranges, u64 start, u64 last)
{
	struct aslr_range *spare = zalloc(sizeof(*spare));

	if (!spare)
		return -ENOMEM;
	free(aslr_ranges__cut(ranges, start, last, spare));
	return 0;
}
