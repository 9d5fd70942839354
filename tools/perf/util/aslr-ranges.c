// SPDX-License-Identifier: GPL-2.0
/*
 * The ranges of an address space and the places of their images, see aslr-ranges.h.
 */
#include "aslr-ranges.h"

#include <errno.h>
#include <stdlib.h>
#include <linux/kernel.h>
#include <linux/log2.h>
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

/* Who isn't told of guests takes their kernels' maps for modules of the host. */
#define ZONE_GUEST_TEXT		0xe0008000b0000000ULL
#define ZONE_GUEST_RANGES	{ { 0xe000801000000000ULL, 0xe000bfffffffffffULL } }
#define ZONE_GUEST_PAGES	{ { 0xe000c000b0000000ULL, 0xe000cfffffffffffULL } }

/* 32-bit kernels have their text near 0x80000000 or 0xc0000000. */
#define ZONE_LOW_KERNEL {							\
	.last	= ZONE_LOW_LAST,						\
	.text	= 0xe0000000,							\
	.text_size = SZ_128M,							\
	.ranges	= { { 0xf0000000, 0xffefffff }, { 0x90000000, 0xafffffff } },	\
	.pages	= { { 0xd0000000, 0xdfffffff }, { 0xc0000000, 0xcfffffff },	\
		    { 0xb0000000, 0xbfffffff }, { 0x10000000, 0x8fffffff } },	\
}

#define ZONE_MID_KERNEL {							\
	.last	= ZONE_MID_LAST,						\
	.text	= 0x8b0000000ULL,						\
	.text_size = SZ_512M,							\
	.ranges	= ZONE_MID_RANGES,						\
	.pages	= ZONE_MID_PAGES,						\
}

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
	[ASLR_SPACE__KERNEL] = {
		ZONE_LOW_KERNEL,
		ZONE_MID_KERNEL,
		{
			.last	= ZONE_HIGH_LAST,
			.text	= ZONE_HIGH_TEXT,
			.text_size = SZ_512M,
			.ranges	= ZONE_HIGH_RANGES,
			.pages	= ZONE_HIGH_PAGES,
		},
	},
	[ASLR_SPACE__GUEST_KERNEL] = {
		ZONE_LOW_KERNEL,
		ZONE_MID_KERNEL,
		{
			.last	= ZONE_HIGH_LAST,
			.text	= ZONE_GUEST_TEXT,
			.text_size = SZ_512M,
			.ranges	= ZONE_GUEST_RANGES,
			.pages	= ZONE_GUEST_PAGES,
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

static u64 range__image_last(const struct aslr_range *range)
{
	return range->image + (range->last - range->start);
}

/* Where images may begin that come after that of @range, less their offset in a page. */
static u64 range__next_image(const struct aslr_range *range)
{
	return (range__image_last(range) & ASLR_PAGE_MASK) + 2 * ASLR_PAGE_SIZE;
}

/* How far that is from the image of the next range, which is @next. */
static u64 range__gap(const struct aslr_range *range, const struct aslr_range *next)
{
	u64 image = range__next_image(range);

	return next->image > image ? next->image - image : 0;
}

#define MIN_CHUNK	8
#define MAX_CHUNK	64

/* Of which the gaps are not known. */
#define UNKNOWN_GAP	-1ULL

/* No ranges, room for @nr or more, one reference.  NULL when out of memory. */
static struct aslr_chunk *aslr_chunk__new(unsigned int nr)
{
	struct aslr_chunk *result;
	RC_STRUCT(aslr_chunk) *chunk;

	nr = clamp(roundup_pow_of_two(nr), 1UL * MIN_CHUNK, 1UL * MAX_CHUNK);
	chunk = malloc(sizeof(*chunk) + nr * sizeof(chunk->ranges[0]));
	if (ADD_RC_CHK(result, chunk)) {
		refcount_set(&chunk->refcnt, 1);
		chunk->nr = 0;
		chunk->max_nr = nr;
		chunk->max_gap = UNKNOWN_GAP;
	}
	return result;
}

static struct aslr_chunk *aslr_chunk__get(struct aslr_chunk *chunk)
{
	struct aslr_chunk *result;

	if (RC_CHK_GET(result, chunk))
		refcount_inc(&RC_CHK_ACCESS(chunk)->refcnt);
	return result;
}

static void aslr_chunk__put(struct aslr_chunk *chunk)
{
	if (chunk && refcount_dec_and_test(&RC_CHK_ACCESS(chunk)->refcnt))
		RC_CHK_FREE(chunk);
	else
		RC_CHK_PUT(chunk);
}

static u64 aslr_chunk__max_gap(struct aslr_chunk *chunk)
{
	RC_STRUCT(aslr_chunk) *c = RC_CHK_ACCESS(chunk);

	if (c->max_gap == UNKNOWN_GAP) {
		c->max_gap = 0;
		for (unsigned int i = 1; i < c->nr; i++)
			c->max_gap = max(c->max_gap, range__gap(&c->ranges[i - 1], &c->ranges[i]));
	}
	return c->max_gap;
}

/* The place of a range in a list. */
struct aslr_pos {
	unsigned int	chunk;
	unsigned int	range;
};

static u64 aslr_list__first(const struct aslr_list *list, const struct aslr_range *range)
{
	return list->by_image ? range->image : range->start;
}

static u64 aslr_list__last(const struct aslr_list *list, const struct aslr_range *range)
{
	return list->by_image ? range__image_last(range) : range->last;
}

static RC_STRUCT(aslr_chunk) *aslr_list__chunk(const struct aslr_list *list, unsigned int i)
{
	return RC_CHK_ACCESS(list->slots[i].chunk);
}

/* NULL behind the end of the list. */
static const struct aslr_range *aslr_list__at(const struct aslr_list *list, struct aslr_pos pos)
{
	if (pos.chunk >= list->nr_slots)
		return NULL;
	return &aslr_list__chunk(list, pos.chunk)->ranges[pos.range];
}

/* No chunk is empty. */
static const struct aslr_range *aslr_list__next(const struct aslr_list *list, struct aslr_pos *pos)
{
	if (++pos->range == aslr_list__chunk(list, pos->chunk)->nr) {
		pos->chunk++;
		pos->range = 0;
	}
	return aslr_list__at(list, *pos);
}

static const struct aslr_range *aslr_list__prev(const struct aslr_list *list, struct aslr_pos pos)
{
	if (pos.range) {
		pos.range--;
	} else {
		if (!pos.chunk)
			return NULL;
		pos.chunk--;
		pos.range = aslr_list__chunk(list, pos.chunk)->nr - 1;
	}
	return aslr_list__at(list, pos);
}

/*
 * The first range that ends at or after @addr.  A CPU can't guess which half it is
 * in, so there is no branch to guess: [low, low + nr] has it.
 */
static struct aslr_pos aslr_list__find(const struct aslr_list *list, u64 addr)
{
	unsigned int low = 0, nr = list->nr_slots;
	const RC_STRUCT(aslr_chunk) *chunk;
	struct aslr_pos pos = {};

	while (nr) {
		unsigned int half = (nr + 1) / 2;

		low += half * (list->slots[low + half - 1].last < addr);
		nr -= half;
	}
	pos.chunk = low;
	if (low == list->nr_slots)
		return pos;

	chunk = aslr_list__chunk(list, pos.chunk);
	low = 0;
	nr = chunk->nr - 1;
	while (nr) {
		unsigned int half = (nr + 1) / 2;

		low += half * (aslr_list__last(list, &chunk->ranges[low + half - 1]) < addr);
		nr -= half;
	}
	pos.range = low;
	return pos;
}

static void aslr_list__free(struct aslr_list *list)
{
	for (unsigned int i = 0; i < list->nr_slots; i++)
		aslr_chunk__put(list->slots[i].chunk);
	free(list->slots);
}

/* Make @list, which is empty, one of the same ranges as @from. */
static int aslr_list__copy(struct aslr_list *list, const struct aslr_list *from)
{
	if (!from->nr_slots)
		return 0;
	list->slots = memdup(from->slots, from->nr_slots * sizeof(*list->slots));
	if (!list->slots)
		return -ENOMEM;
	list->nr_slots = from->nr_slots;
	list->max_slots = from->nr_slots;
	for (unsigned int i = 0; i < list->nr_slots; i++)
		list->slots[i].chunk = aslr_chunk__get(from->slots[i].chunk);
	return 0;
}

/* Make room for a chunk in front of the one at @i. */
static int aslr_list__insert_chunk(struct aslr_list *list, unsigned int i, struct aslr_chunk *chunk)
{
	if (list->nr_slots == list->max_slots) {
		unsigned int max_slots = list->max_slots + list->max_slots / 2 + 1;
		void *slots = realloc(list->slots, max_slots * sizeof(*list->slots));

		if (!slots)
			return -ENOMEM;
		list->slots = slots;
		list->max_slots = max_slots;
	}
	memmove(&list->slots[i + 1], &list->slots[i],
		(list->nr_slots++ - i) * sizeof(*list->slots));
	list->slots[i].chunk = chunk;
	return 0;
}

/* The chunk at @i has changed. */
static void aslr_list__update(struct aslr_list *list, unsigned int i)
{
	const RC_STRUCT(aslr_chunk) *chunk = aslr_list__chunk(list, i);

	list->slots[i].last = aslr_list__last(list, &chunk->ranges[chunk->nr - 1]);
}

/* Let the chunk at @i be one that may change, with room for @nr ranges. */
static int aslr_list__unshare(struct aslr_list *list, unsigned int i, unsigned int nr)
{
	RC_STRUCT(aslr_chunk) *old = aslr_list__chunk(list, i);
	struct aslr_chunk *chunk;

	old->max_gap = UNKNOWN_GAP;
	if (old->max_nr >= nr && refcount_read(&old->refcnt) == 1)
		return 0;

	chunk = aslr_chunk__new(nr);
	if (!chunk)
		return -ENOMEM;
	memcpy(RC_CHK_ACCESS(chunk)->ranges, old->ranges, old->nr * sizeof(old->ranges[0]));
	RC_CHK_ACCESS(chunk)->nr = old->nr;
	aslr_chunk__put(list->slots[i].chunk);
	list->slots[i].chunk = chunk;
	return 0;
}

/* Make two chunks of the full one at @pos, and let @pos be where it was. */
static int aslr_list__split(struct aslr_list *list, struct aslr_pos *pos)
{
	RC_STRUCT(aslr_chunk) *old;
	struct aslr_chunk *chunk;
	/* What grows at its end will do so again. */
	unsigned int keep = pos->range == MAX_CHUNK ? MAX_CHUNK : MAX_CHUNK / 2;
	unsigned int nr = MAX_CHUNK - keep;
	int err = aslr_list__unshare(list, pos->chunk, MAX_CHUNK);

	if (err)
		return err;
	chunk = aslr_chunk__new(nr + 1);
	if (!chunk)
		return -ENOMEM;
	err = aslr_list__insert_chunk(list, pos->chunk + 1, chunk);
	if (err) {
		aslr_chunk__put(chunk);
		return err;
	}
	old = aslr_list__chunk(list, pos->chunk);
	memcpy(RC_CHK_ACCESS(chunk)->ranges, &old->ranges[keep], nr * sizeof(old->ranges[0]));
	RC_CHK_ACCESS(chunk)->nr = nr;
	old->nr = keep;
	aslr_list__update(list, pos->chunk);
	if (nr)
		aslr_list__update(list, pos->chunk + 1);
	if (pos->range >= keep) {
		pos->chunk++;
		pos->range -= keep;
	}
	return 0;
}

static int aslr_list__insert(struct aslr_list *list, const struct aslr_range *range)
{
	struct aslr_pos pos = aslr_list__find(list, aslr_list__first(list, range));
	RC_STRUCT(aslr_chunk) *chunk;
	int err = 0;

	if (!list->nr_slots) {
		struct aslr_chunk *first = aslr_chunk__new(1);

		err = first ? aslr_list__insert_chunk(list, 0, first) : -ENOMEM;
		if (err) {
			aslr_chunk__put(first);
			return err;
		}
	} else if (pos.chunk == list->nr_slots) {
		pos.chunk--;
		pos.range = aslr_list__chunk(list, pos.chunk)->nr;
	}
	if (aslr_list__chunk(list, pos.chunk)->nr == MAX_CHUNK)
		err = aslr_list__split(list, &pos);
	if (!err)
		err = aslr_list__unshare(list, pos.chunk,
					 aslr_list__chunk(list, pos.chunk)->nr + 1);
	if (err)
		return err;

	chunk = aslr_list__chunk(list, pos.chunk);
	memmove(&chunk->ranges[pos.range + 1], &chunk->ranges[pos.range],
		(chunk->nr++ - pos.range) * sizeof(*range));
	chunk->ranges[pos.range] = *range;
	aslr_list__update(list, pos.chunk);
	return 0;
}

static int aslr_list__erase(struct aslr_list *list, const struct aslr_range *range)
{
	struct aslr_pos pos = aslr_list__find(list, aslr_list__first(list, range));
	RC_STRUCT(aslr_chunk) *chunk = aslr_list__chunk(list, pos.chunk);
	int err;

	if (chunk->nr == 1) {
		aslr_chunk__put(list->slots[pos.chunk].chunk);
		memmove(&list->slots[pos.chunk], &list->slots[pos.chunk + 1],
			(--list->nr_slots - pos.chunk) * sizeof(*list->slots));
		return 0;
	}
	err = aslr_list__unshare(list, pos.chunk, chunk->nr);
	if (err)
		return err;
	chunk = aslr_list__chunk(list, pos.chunk);
	memmove(&chunk->ranges[pos.range], &chunk->ranges[pos.range + 1],
		(--chunk->nr - pos.range) * sizeof(*range));
	aslr_list__update(list, pos.chunk);
	return 0;
}

/* The first range from @pos on with a gap of more than @need behind it, or else the last. */
static const struct aslr_range *aslr_list__first_gap(const struct aslr_list *list,
						     struct aslr_pos pos, u64 need)
{
	for (;; pos.chunk++, pos.range = 0) {
		const RC_STRUCT(aslr_chunk) *chunk = aslr_list__chunk(list, pos.chunk);
		const struct aslr_range *last = &chunk->ranges[chunk->nr - 1];

		if (aslr_chunk__max_gap(list->slots[pos.chunk].chunk) > need) {
			for (unsigned int i = pos.range; i + 1 < chunk->nr; i++) {
				if (range__gap(&chunk->ranges[i], &chunk->ranges[i + 1]) > need)
					return &chunk->ranges[i];
			}
		}
		if (pos.chunk + 1 == list->nr_slots ||
		    range__gap(last, &aslr_list__chunk(list, pos.chunk + 1)->ranges[0]) > need)
			return last;
	}
}

struct aslr_ranges *aslr_ranges__new(const struct aslr_zone *zones)
{
	struct aslr_ranges *result;
	RC_STRUCT(aslr_ranges) *ranges = zalloc(sizeof(*ranges));

	if (ADD_RC_CHK(result, ranges)) {
		refcount_set(&ranges->refcnt, 1);
		ranges->new.by_image = true;
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
	if (!ranges)
		return;
	if (!refcount_dec_and_test(&RC_CHK_ACCESS(ranges)->refcnt)) {
		RC_CHK_PUT(ranges);
		return;
	}
	aslr_list__free(&RC_CHK_ACCESS(ranges)->old);
	aslr_list__free(&RC_CHK_ACCESS(ranges)->new);
	RC_CHK_FREE(ranges);
}

static int aslr_ranges__link(struct aslr_ranges *ranges, const struct aslr_range *range)
{
	int err = aslr_list__insert(&RC_CHK_ACCESS(ranges)->old, range);

	if (!err && !aslr_range__scattered(range))
		err = aslr_list__insert(&RC_CHK_ACCESS(ranges)->new, range);
	RC_CHK_ACCESS(ranges)->nr++;
	return err;
}

static int aslr_ranges__unlink(struct aslr_ranges *ranges, const struct aslr_range *range)
{
	int err = aslr_list__erase(&RC_CHK_ACCESS(ranges)->old, range);

	if (!err && !aslr_range__scattered(range))
		err = aslr_list__erase(&RC_CHK_ACCESS(ranges)->new, range);
	RC_CHK_ACCESS(ranges)->nr--;
	return err;
}

const struct aslr_range *aslr_ranges__first_from(const struct aslr_ranges *ranges, u64 addr)
{
	const struct aslr_list *list = &RC_CHK_ACCESS(ranges)->old;

	return aslr_list__at(list, aslr_list__find(list, addr));
}

const struct aslr_range *aslr_ranges__find(const struct aslr_ranges *ranges, u64 addr)
{
	const struct aslr_range *range = aslr_ranges__first_from(ranges, addr);

	return range && range->start <= addr ? range : NULL;
}

struct aslr_ranges *aslr_ranges__clone(const struct aslr_ranges *ranges,
				       const struct aslr_zone *zones)
{
	struct aslr_ranges *clone = aslr_ranges__new(zones);

	if (!clone)
		return NULL;

	if (aslr_list__copy(&RC_CHK_ACCESS(clone)->old, &RC_CHK_ACCESS(ranges)->old) ||
	    aslr_list__copy(&RC_CHK_ACCESS(clone)->new, &RC_CHK_ACCESS(ranges)->new)) {
		aslr_ranges__put(clone);
		return NULL;
	}
	RC_CHK_ACCESS(clone)->nr = RC_CHK_ACCESS(ranges)->nr;
	for (unsigned int i = 0; i < ASLR_ZONES; i++)
		RC_CHK_ACCESS(clone)->cursors[i] = RC_CHK_ACCESS(ranges)->cursors[i];
	return clone;
}

/* Cut [@start, @last] out of the ranges. A cut in the middle of one makes two of it. */
static int aslr_ranges__cut(struct aslr_ranges *ranges, u64 start, u64 last)
{
	const struct aslr_range *first;
	int err = 0;

	while (!err && (first = aslr_ranges__first_from(ranges, start)) && first->start <= last) {
		struct aslr_range before = *first, after = *first;

		err = aslr_ranges__unlink(ranges, &before);
		if (!err && after.last > last) {
			if (!aslr_range__scattered(&after))
				after.image += last + 1 - after.start;
			after.start = last + 1;
			err = aslr_ranges__link(ranges, &after);
		}
		if (!err && before.start < start) {
			before.last = start - 1;
			err = aslr_ranges__link(ranges, &before);
		}
	}
	return err;
}

/*
 * May [@start, @last] have its image at @image?  Not if another image is there,
 * or within a page of it without touching both ways.
 */
static bool aslr_ranges__has_room(const struct aslr_ranges *ranges, u64 start, u64 last, u64 image)
{
	const struct aslr_list *list = &RC_CHK_ACCESS(ranges)->new;
	u64 image_last = image + (last - start);
	const struct aslr_range *range;
	struct aslr_pos pos;

	if (image_last < image || image < ASLR_LOW_END || image_last > -1ULL - ASLR_PAGE_SIZE)
		return false;

	pos = aslr_list__find(list, image - ASLR_PAGE_SIZE);
	range = aslr_list__at(list, pos);
	while (range && range->image <= image_last + ASLR_PAGE_SIZE) {
		/* What keeps its distance was once, or will be, one with this. */
		if (aslr_range__delta(range) != image - start)
			return false;
		range = aslr_list__next(list, &pos);
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
	const struct aslr_list *list = &RC_CHK_ACCESS(ranges)->new;
	u64 offset = start & ~ASLR_PAGE_MASK, need = offset + (last - start) + ASLR_PAGE_SIZE;
	struct aslr_pos pos = aslr_list__find(list, arena->first);
	const struct aslr_range *range = aslr_list__at(list, pos);

	if (last - start > arena->last - arena->first)
		return false;
	*image = arena->first + ASLR_PAGE_SIZE + offset;
	if (range && range->image <= *image + (last - start) + ASLR_PAGE_SIZE)
		*image = range__next_image(aslr_list__first_gap(list, pos, need)) + offset;
	return *image <= arena->last && last - start <= arena->last - *image &&
	       aslr_ranges__has_room(ranges, start, last, *image);
}

/* So many ranges in the way, one after the other, and the rest of the arena is for gaps. */
#define MAX_TRIES	64

/*
 * A place for [@start, @last] away from all others.  Some room stays free on
 * both sides, less when there are many ranges, so that what gets mapped beside
 * it later finds its place there.
 */
static bool aslr_ranges__try_fresh(struct aslr_ranges *ranges, const struct aslr_zone *zone,
				   unsigned int index, u64 start, u64 last, u64 *image)
{
	struct aslr_cursor *cursor = &RC_CHK_ACCESS(ranges)->cursors[index];
	const struct aslr_list *list = &RC_CHK_ACCESS(ranges)->new;
	const struct aslr_arena *arenas = zone->ranges;
	const struct aslr_range *range;
	struct aslr_cursor next = *cursor;
	unsigned int tries = 0;

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
			range = aslr_list__at(list, aslr_list__find(list,
								    *image - ASLR_PAGE_SIZE));
			next.next = range__image_last(range) + 1;
			if (++tries < MAX_TRIES)
				continue;
		}
		tries = 0;
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
	if (below->last + 1 != above->start || below->nr_execs != above->nr_execs)
		return false;
	if (aslr_range__scattered(below) || aslr_range__scattered(above))
		return aslr_range__scattered(below) && aslr_range__scattered(above);
	return aslr_range__delta(below) == aslr_range__delta(above);
}

int aslr_ranges__insert(struct aslr_ranges *ranges, struct aslr_range range)
{
	const struct aslr_list *list = &RC_CHK_ACCESS(ranges)->old;
	struct aslr_pos pos = aslr_list__find(list, range.start);
	const struct aslr_range *below = aslr_list__prev(list, pos);
	const struct aslr_range *above = aslr_list__at(list, pos);
	struct aslr_range gone[2];
	unsigned int nr = 0;
	int err = 0;

	if (above && aslr_range__is_one_with(&range, above)) {
		gone[nr++] = *above;
		range.last = above->last;
	}
	if (below && aslr_range__is_one_with(below, &range)) {
		gone[nr++] = *below;
		range.start = below->start;
		range.image = below->image;
	}
	while (!err && nr)
		err = aslr_ranges__unlink(ranges, &gone[--nr]);
	return err ?: aslr_ranges__link(ranges, &range);
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
	u32			nr_execs;
};

static void add_neighbour(struct aslr_neighbours *near, const struct aslr_range *range, bool is)
{
	if (range && is && !aslr_range__scattered(range) && range->nr_execs == near->nr_execs)
		near->ranges[near->nr++] = *range;
}

static void aslr_ranges__neighbours(const struct aslr_ranges *ranges,
				    const struct aslr_range *range, struct aslr_neighbours *near)
{
	const struct aslr_list *list = &RC_CHK_ACCESS(ranges)->old;
	u64 start = range->start, last = range->last;
	struct aslr_pos pos = aslr_list__find(list, start);
	const struct aslr_range *first = aslr_list__at(list, pos), *above;
	const struct aslr_range *below = aslr_list__prev(list, pos);
	bool overlapped = first && first->start <= last;

	above = last + 1 ? aslr_ranges__first_from(ranges, last + 1) : NULL;

	near->nr = 0;
	near->nr_execs = range->nr_execs;
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
		     struct aslr_range *range)
{
	struct aslr_neighbours near;
	int err;

	aslr_ranges__neighbours(ranges, range, &near);
	err = aslr_ranges__cut(ranges, range->start, range->last);
	if (err)
		return err;
	if (!range->image && !aslr_ranges__place(ranges, zones, &near, range->start, range->last,
						 &range->image)) {
		range->image = 0;
		return -ENOSPC;
	}
	return aslr_ranges__insert(ranges, *range);
}

int aslr_ranges__remove(struct aslr_ranges *ranges, u64 start, u64 last)
{
	return aslr_ranges__cut(ranges, start, last);
}
