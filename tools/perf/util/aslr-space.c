// SPDX-License-Identifier: GPL-2.0
/*
 * Address spaces of a profile and where their addresses go, see aslr-space.h.
 */
#include "aslr-space.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <linux/bitmap.h>
#include <linux/bitops.h>
#include <linux/bits.h>
#include <linux/compiler.h>
#include <linux/kernel.h>
#include <linux/perf_event.h>
#include <linux/sizes.h>
#include <linux/zalloc.h>
#include "aslr-pages.h"
#include "aslr-ranges.h"

/* Addresses that all move by the same distance. */
struct aslr_hit {
	u64	start;
	u64	size;
	u64	delta;
};

static __always_inline bool aslr_hit__has(const struct aslr_hit *hit, u64 addr)
{
	return addr - hit->start < hit->size;
}

/* Has no address, and a delta unlike that of those which stay where they are. */
static const struct aslr_hit no_hit = { .delta = 1 };

/* Terabytes that may be near to something or not, see aslr_space__is_near(). */
#define ASLR_NEAR_TIBS	128

/*
 * Where Linux maps programs (and their heaps) at random, and libraries and stacks, if
 * user space has 47 bits: from two thirds of it on, and up to its end.
 */
#define PROGRAM_TIB	0x55

static const u8 usual_tibs[] = { PROGRAM_TIB, PROGRAM_TIB + 1, 0x7e, 0x7f };

struct aslr_space {
	/* The last two ranges that were looked up, if in the same half, in the order to try. */
	struct aslr_hit		hits[2];
	const struct aslr_zone	*zones;
	struct aslr_ranges	*ranges;
	struct aslr_pages	pages;
	struct aslr_cursor	page_cursors[ASLR_ZONES];
	/* The terabytes that ever had a range or a page, of the first 128, and the usual ones. */
	DECLARE_BITMAP(near, ASLR_NEAR_TIBS);
	/* Since the last exec: a mapping below 4 GiB, and one above. */
	bool			low;
	bool			wide;
	/* How many exec() were seen. */
	u32			nr_execs;
	/*
	 * The end of the first file since the last exec, which is the program if no records
	 * were lost.  0 before there is one, NO_PROGRAM if it can't be that.
	 */
	u64			program_last;
	/* The end of the last page that brk() told of. */
	u64			brk_last;
	/* The text with a place of its own: its start as recorded, and what was given out. */
	u64			text_start;
	struct aslr_text	text;
	/* Images for scattered ranges. */
	struct aslr_arena	scatter;
	struct aslr_known	*known;
};

#define ASLR_USER_TIBS	256
/* How far behind the end of a program its heap may end: 1 GiB at random, and its size. */
#define HEAP_DISTANCE	((u64)3 * SZ_512M)

#define NO_PROGRAM	-1ULL

struct aslr_known {
	/* Pages below 4 GiB that a space has, or had. */
	DECLARE_BITMAP(low_pages, SZ_4G >> ASLR_PAGE_SHIFT);
	/* And the terabytes of what is above, of the first 256. */
	DECLARE_BITMAP(tibs, ASLR_USER_TIBS);
	/* Some records. */
	bool	lost;
};

struct aslr_known *aslr_known__new(void)
{
	struct aslr_known *known = zalloc(sizeof(*known));

	for (unsigned int i = 0; known && i < ARRAY_SIZE(usual_tibs); i++)
		__set_bit(usual_tibs[i], known->tibs);
	return known;
}

void aslr_known__delete(struct aslr_known *known)
{
	free(known);
}

bool aslr_known__has(const struct aslr_known *known, u64 addr)
{
	u64 tib = addr >> 40;

	if (addr < SZ_4G)
		return test_bit(addr >> ASLR_PAGE_SHIFT, known->low_pages);
	return tib >= ASLR_USER_TIBS || test_bit(tib, known->tibs);
}

void aslr_known__lose(struct aslr_known *known)
{
	known->lost = true;
}

/* Those that [@start, @last] is in, of the first @nr. */
static void set_tibs(unsigned long *tibs, unsigned int nr, u64 start, u64 last)
{
	for (u64 tib = start >> 40; tib <= last >> 40 && tib < nr; tib++)
		__set_bit(tib, tibs);
}

static void aslr_known__learn(struct aslr_known *known, u64 start, u64 last)
{
	unsigned int page = start >> ASLR_PAGE_SHIFT;
	unsigned int end = (min_t(u64, last, SZ_4G - 1) >> ASLR_PAGE_SHIFT) + 1;

	set_tibs(known->tibs, ASLR_USER_TIBS, start, last);
	if (start >= SZ_4G)
		return;
	while (page < end) {
		if (page % BITS_PER_LONG || end - page < BITS_PER_LONG) {
			__set_bit(page++, known->low_pages);
		} else {
			known->low_pages[BIT_WORD(page)] = -1UL;
			page += BITS_PER_LONG;
		}
	}
}

struct aslr_space *aslr_space__new(enum aslr_space_type type, struct aslr_known *known)
{
	struct aslr_space *space = zalloc(sizeof(*space));

	if (!space)
		return NULL;

	space->zones = aslr_zones[type];
	space->known = known;
	space->ranges = aslr_ranges__new(space->zones);
	if (!space->ranges) {
		free(space);
		return NULL;
	}
	for (unsigned int i = 0; i < ASLR_ZONES; i++)
		space->page_cursors[i].next = space->zones[i].pages[0].first;
	for (unsigned int i = 0; type == ASLR_SPACE__USER && i < ARRAY_SIZE(usual_tibs); i++)
		__set_bit(usual_tibs[i], space->near);
	return space;
}

struct aslr_space *aslr_space__fork(const struct aslr_space *parent)
{
	struct aslr_space *space = zalloc(sizeof(*space));

	if (!space)
		return NULL;

	*space = *parent;
	space->ranges = aslr_ranges__get(parent->ranges);
	space->pages = (struct aslr_pages) {};
	for (unsigned int i = 0; i < ASLR_ZONES; i++) {
		space->page_cursors[i].arena = 0;
		space->page_cursors[i].next = space->zones[i].pages[0].first;
	}
	return space;
}

void aslr_space__delete(struct aslr_space *space)
{
	if (!space)
		return;
	aslr_pages__exit(&space->pages);
	aslr_ranges__put(space->ranges);
	free(space);
}

/* There is something at [@start, @last]. */
static void aslr_space__learn(struct aslr_space *space, u64 start, u64 last)
{
	set_tibs(space->near, ASLR_NEAR_TIBS, start, last);
	aslr_known__learn(space->known, start, last);
}

bool aslr_space__is_narrow(const struct aslr_space *space)
{
	return space->low && !space->wide;
}

/*
 * Isn't it sure which program runs?  No library is below 4 GiB unless the program is, nor
 * where programs usually are.
 */
static bool aslr_space__is_lost(const struct aslr_space *space)
{
	u64 last = space->program_last, tib = last >> 40;

	if (space->zones != aslr_zones[ASLR_SPACE__USER])
		return false;
	if (!last)
		return space->nr_execs || space->known->lost;
	return space->known->lost && last >= SZ_4G && tib != PROGRAM_TIB &&
	       tib != PROGRAM_TIB + 1;
}

bool aslr_space__may_be_narrow(const struct aslr_space *space)
{
	return !space->wide && (space->low || aslr_space__is_lost(space));
}

void aslr_space__exec(struct aslr_space *space)
{
	space->low = false;
	space->wide = false;
	space->nr_execs++;
	space->program_last = 0;
	space->brk_last = 0;
}

void aslr_space__set_file(struct aslr_space *space, u64 last)
{
	if (!space->program_last)
		space->program_last = last;
	else if (last < SZ_4G && space->program_last >= SZ_4G)
		space->program_last = NO_PROGRAM;
}

bool aslr_space__may_be_heap(const struct aslr_space *space, u64 addr)
{
	u64 last = space->program_last;

	if (aslr_space__is_lost(space))
		return addr >= ASLR_NARROW_START && addr < ASLR_NARROW_END;
	return last && last < SZ_4G && (space->wide || space->known->lost) &&
	       addr > last && addr <= max(last + HEAP_DISTANCE, space->brk_last);
}

void aslr_space__set_brk(struct aslr_space *space, u64 addr)
{
	if (!space->program_last || addr <= space->program_last || addr >= SZ_4G)
		return;
	/* No less than before: what it returned earlier may be lost, or wasn't recorded. */
	addr |= ~ASLR_PAGE_MASK;
	space->brk_last = max(space->brk_last, addr);
}

bool aslr_space__is_near(const struct aslr_space *space, u64 addr)
{
	u64 tib = addr >> 40;

	/* Of a process of which nothing is known, as its records are lost, all may be. */
	return tib >= ASLR_NEAR_TIBS || test_bit(tib, space->near) ||
	       !aslr_space__nr_ranges(space) || aslr_space__is_lost(space);
}

/* Before a change: ranges that no other space sees. */
static int aslr_space__unshare(struct aslr_space *space)
{
	struct aslr_ranges *clone;

	space->hits[0] = no_hit;
	space->hits[1] = no_hit;
	if (refcount_read(&RC_CHK_ACCESS(space->ranges)->refcnt) == 1)
		return 0;

	clone = aslr_ranges__clone(space->ranges, space->zones);
	if (!clone)
		return -ENOMEM;
	aslr_ranges__put(space->ranges);
	space->ranges = clone;
	return 0;
}

/* Lay a range over what is there.  Its place is *@image, or is looked for if that is 0. */
static int aslr_space__lay(struct aslr_space *space, u64 start, u64 last, u64 *image)
{
	struct aslr_range range = {
		.start		= start,
		.last		= last,
		.image		= *image,
		.nr_execs	= space->nr_execs,
	};
	int err = aslr_space__unshare(space) ?:
		  aslr_ranges__lay(space->ranges, space->zones, &range);

	*image = range.image;
	if (!err)
		aslr_space__learn(space, start, last);
	return err;
}

int aslr_space__add(struct aslr_space *space, u64 start, u64 last, u64 *image)
{
	const struct aslr_range *range;

	*image = start;
	if (last < start)
		return -EINVAL;
	if ((start & ASLR_PAGE_MASK) == ASLR_VSYSCALL)
		return 0;

	if (last < SZ_4G)
		space->low = true;
	else
		space->wide = true;
	range = aslr_ranges__find(space->ranges, start);
	if (range && !aslr_range__scattered(range) && range->last >= last &&
	    range->nr_execs == space->nr_execs) {
		*image = start + aslr_range__delta(range);
		return 0;
	}
	*image = 0;
	return aslr_space__lay(space, start, last, image);
}

/*
 * Make ranges of what no range covers in [@start, @last], as if @start had its
 * image at @image, or scattered if that is 0.
 */
static int aslr_space__fill(struct aslr_space *space, u64 start, u64 last, u64 image)
{
	const struct aslr_range *next = aslr_ranges__first_from(space->ranges, start);
	u64 pos = start;

	for (;;) {
		u64 end = next && next->start <= last ? next->start - 1 : last;
		/* Of it and what is inserted may become one. */
		u64 next_last = next ? next->last : last;

		if (!next || pos < next->start) {
			struct aslr_range range = {
				.start		= pos,
				.last		= end,
				.image		= image ? image + (pos - start) : 0,
				.nr_execs	= space->nr_execs,
			};
			int err = aslr_ranges__insert(space->ranges, range);

			if (err)
				return err;
			aslr_space__learn(space, pos, end);
		}
		if (next_last >= last)
			return 0;
		pos = next_last + 1;
		next = aslr_ranges__first_from(space->ranges, pos);
	}
}

/* Where x86 and MIPS have modules, whose distance from the text tells where that is. */
#define MODULES_START	0xffffffffc0000000ULL

/*
 * Readers take symbols behind the recorded end of the text for its own, up to
 * the last one there is: of code for boot, data and what else is in the image.
 */
#define IMAGE_SIZE	SZ_128M

/* The last address that keeps its distance from the text that begins at @base. */
static u64 text_window_last(u64 base, u64 last, u64 size)
{
	u64 window = base + (size - 1);

	if (window < base)
		window = -1ULL;
	if (base < MODULES_START)
		window = min_t(u64, window, MODULES_START - 1);
	return min(last, window);
}

/* No kernel is that large, but for those with everything to find bugs. */
#define TEXT_SIZE	SZ_64M

/* Does the map of the text end where something else begins, on a page boundary? */
static bool is_open_text(u64 start, u64 last, u64 max_size)
{
	bool aligned = !((last + 1) & ~ASLR_PAGE_MASK) || !((last + 2) & ~ASLR_PAGE_MASK);

	return last - start >= max_size ||
	       (aligned && (last - start >= TEXT_SIZE || last + 1 >= MODULES_START || !(last + 1)));
}

int aslr_space__add_text(struct aslr_space *space, u64 start, u64 len, u64 ref,
			 struct aslr_text *text)
{
	u64 last = len && len - 1 <= -1ULL - start ? start + len - 1 : -1ULL;
	unsigned int index = aslr_zones__index(space->zones, ref ?: start ?: last);
	const struct aslr_zone *zone = &space->zones[index];
	u64 base = start, size = zone->text_size, window;
	bool open = is_open_text(start, last, size);
	int err;

	if (space->text.len) {
		*text = space->text;
		if (start == space->text_start)
			return 0;
		return aslr_space__translate(space, start, &text->start);
	}

	err = aslr_space__unshare(space);
	if (err)
		return err;

	/* The first 2 MiB of a kernel hold the symbol, if they don't begin at it. */
	if (ref > start && ref <= last && ref - start >= SZ_2M)
		base = ref & ~(SZ_2M - 1ULL);
	base = max(base, start);

	text->start = zone->text + (base & ~ASLR_PAGE_MASK);
	text->len = open ? 2 * size - (base & ~ASLR_PAGE_MASK) : len;

	if (open)
		window = text_window_last(base, last, size);
	else
		window = max(last, text_window_last(base, zone->last, IMAGE_SIZE));
	err = aslr_space__fill(space, base, window, text->start);
	if (!err && base > start)
		err = aslr_space__fill(space, start, base - 1, /*image=*/0);
	if (!err && open && window < last)
		err = aslr_space__fill(space, window + 1, last, /*image=*/0);
	if (err)
		return err;

	space->scatter.first = zone->text + size + 2 * ASLR_PAGE_SIZE;
	space->scatter.last = zone->text + 2 * size - 1;
	if (!start) {
		text->len += text->start;
		text->start = 0;
	}
	space->text_start = start;
	space->text = *text;
	return 0;
}

int aslr_space__add_symbol(struct aslr_space *space, u64 addr, u64 len, u64 *image)
{
	const struct aslr_range *range = aslr_ranges__find(space->ranges, addr);
	u64 last = len ? addr + len - 1 : addr;

	if (last < addr)
		last = -1ULL;
	if (!range)
		return aslr_space__add(space, addr, last, image);
	if (!aslr_range__scattered(range))
		return aslr_space__translate(space, addr, image);

	last = min(last, range->last);
	*image = space->scatter.first + (addr & ~ASLR_PAGE_MASK);
	if (*image >= space->scatter.last || last - addr >= space->scatter.last - *image)
		return aslr_space__translate(space, addr, image);
	space->scatter.first = ((*image + (last - addr)) & ASLR_PAGE_MASK) + 2 * ASLR_PAGE_SIZE;
	return aslr_space__lay(space, addr, last, image);
}

int aslr_space__remove_symbol(struct aslr_space *space, u64 addr, u64 len)
{
	const struct aslr_range *range = aslr_ranges__find(space->ranges, addr);
	const struct aslr_zone *zone = &space->zones[aslr_zones__index(space->zones, addr)];
	u64 last = addr + len - 1;
	bool in_map;
	int err;

	if (!len || last < addr || !range || aslr_range__scattered(range) || range->last < last)
		return 0;
	/* The kernel's own text stays, in its first half. */
	in_map = range->image - zone->text < 2 * zone->text_size;
	if (in_map && range->image - zone->text <= zone->text_size)
		return 0;

	err = aslr_space__unshare(space) ?: aslr_ranges__remove(space->ranges, addr, last);
	return err || !in_map ? err : aslr_space__fill(space, addr, last, /*image=*/0);
}

bool aslr_space__contains(const struct aslr_space *space, u64 addr)
{
	return aslr_ranges__find(space->ranges, addr);
}

bool aslr_space__has_page(const struct aslr_space *space, u64 addr)
{
	const struct aslr_page *page = aslr_pages__find(&space->pages, addr & ASLR_PAGE_MASK);

	return page && !page->unsure;
}

/* The next free page in @arenas, 0 if there is none. */
static u64 aslr_cursor__next_page(struct aslr_cursor *cursor, const struct aslr_arena *arenas)
{
	while (cursor->arena < ASLR_ARENAS && arenas[cursor->arena].last) {
		u64 image = cursor->next;

		if (image < arenas[cursor->arena].last) {
			cursor->next += ASLR_PAGE_SIZE;
			return image;
		}
		if (++cursor->arena < ASLR_ARENAS)
			cursor->next = arenas[cursor->arena].first;
	}
	return 0;
}

static u64 aslr_space__next_page(struct aslr_space *space, u64 page, bool scattered)
{
	if (scattered && space->scatter.first < space->scatter.last) {
		u64 image = space->scatter.first & ASLR_PAGE_MASK;

		space->scatter.first = image + ASLR_PAGE_SIZE;
		return image;
	}
	for (unsigned int i = aslr_zones__index(space->zones, page); i < ASLR_ZONES; i++) {
		u64 image = aslr_cursor__next_page(&space->page_cursors[i], space->zones[i].pages);

		if (image)
			return image;
		/* User addresses don't become the kernel's. */
		if (space->zones[i].last >> 62 == 1)
			break;
	}
	return 0;
}

/* Others are told to be addresses by @page. */
static void aslr_space__be_sure(struct aslr_space *space, struct aslr_page *page)
{
	page->unsure = false;
	aslr_space__learn(space, page->page, page->page);
}

/* The image of a page outside of ranges, or in a scattered one. */
static int aslr_space__translate_page(struct aslr_space *space, u64 page, bool scattered,
				      bool sure, u64 *image)
{
	struct aslr_page *pos = aslr_pages__find(&space->pages, page);

	*image = 0;
	if (!pos) {
		u64 new = aslr_space__next_page(space, page, scattered);

		if (!new)
			return -ENOSPC;
		pos = aslr_pages__add(&space->pages, page, new);
		if (!pos)
			return -ENOMEM;
	}
	if (sure && pos->unsure)
		aslr_space__be_sure(space, pos);
	*image = aslr_page__image(pos);
	return 0;
}

/*
 * Let @range be what is tried first for the next addresses.  Not if an address in it is
 * an exception or a marker of call chains, or if it is in both halves of the 64-bit space.
 */
static void aslr_space__set_hit(struct aslr_space *space, const struct aslr_range *range)
{
	if (!range->start || (range->start <= ASLR_VSYSCALL + ~ASLR_PAGE_MASK &&
			      range->last >= ASLR_VSYSCALL) ||
	    range->last >= PERF_CONTEXT_MAX || (range->start ^ range->last) >> 63)
		return;
	if ((space->hits[0].start ^ range->start) >> 63)
		space->hits[0].size = 0;
	space->hits[1] = space->hits[0];
	space->hits[0] = (struct aslr_hit) {
		.start	= range->start,
		.size	= range->last - range->start + 1,
		.delta	= aslr_range__delta(range),
	};
}

/* Outside of the ranges that were last looked up. */
static noinline int aslr_space__translate_miss(struct aslr_space *space, u64 addr, bool sure,
					       u64 *image)
{
	u64 page = addr & ASLR_PAGE_MASK;
	const struct aslr_range *range;
	int err;

	*image = addr;
	if (!addr || page == ASLR_VSYSCALL)
		return 0;
	range = aslr_ranges__find(space->ranges, addr);
	if (range && !aslr_range__scattered(range)) {
		*image = addr + aslr_range__delta(range);
		aslr_space__set_hit(space, range);
		return 0;
	}
	if (addr < ASLR_LOW_END)
		return 0;

	err = aslr_space__translate_page(space, page, range, sure, image);
	if (!err)
		*image += addr - page;
	return err;
}

static __always_inline int __aslr_space__translate(struct aslr_space *space, u64 addr, bool sure,
						   u64 *image)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(space->hits); i++) {
		if (aslr_hit__has(&space->hits[i], addr)) {
			*image = addr + space->hits[i].delta;
			return 0;
		}
	}
	return aslr_space__translate_miss(space, addr, sure, image);
}

int aslr_space__translate(struct aslr_space *space, u64 addr, u64 *image)
{
	return __aslr_space__translate(space, addr, /*sure=*/true, image);
}

s64 aslr_space__translate_all(struct aslr_space *space, const u64 *addrs, u64 nr, u64 *images,
			      u64 *nr_changed)
{
	/* For all of them to be in registers. */
	struct aslr_hit hit = space->hits[0], other = space->hits[1], tmp;
	u64 i, nr_same = 0;
	bool stays = false;

	if ((hit.start ^ *addrs) >> 63) {
		hit.size = 0;
		other.size = 0;
	}
	for (i = 0; i < nr; i++) {
		u64 addr = addrs[i];
		int err;

		if (likely(aslr_hit__has(&hit, addr))) {
			images[i] = addr + hit.delta;
			continue;
		}
		if (likely(aslr_hit__has(&other, addr))) {
			images[i] = addr + other.delta;
			tmp = hit;
			hit = other;
			other = tmp;
			continue;
		}
		/* Many call chains end with zeros. */
		if (!addr) {
			images[i] = 0;
			nr_same++;
			continue;
		}
		if ((addr ^ *addrs) >> 63 || addr >= PERF_CONTEXT_MAX)
			break;
		err = aslr_space__translate_miss(space, addr, /*sure=*/true, &images[i]);
		if (err)
			return err;
		nr_same += images[i] == addr;
		if (aslr_hit__has(&space->hits[0], addr)) {
			stays |= !other.delta;
			other = hit;
			hit = space->hits[0];
		}
	}
	if (hit.size) {
		space->hits[0] = hit;
		space->hits[1] = other;
	}
	/* Some do if the profile was rewritten before. */
	if (stays || !hit.delta || !other.delta) {
		nr_same = 0;
		for (u64 j = 0; j < i; j++)
			nr_same += images[j] == addrs[j];
	}
	*nr_changed += i - nr_same;
	return i;
}

int aslr_space__translate_unsure(struct aslr_space *space, u64 addr, u64 *image)
{
	return __aslr_space__translate(space, addr, /*sure=*/false, image);
}

unsigned long aslr_space__nr_pages(const struct aslr_space *space)
{
	return space->pages.nr;
}

unsigned long aslr_space__nr_ranges(const struct aslr_space *space)
{
	return RC_CHK_ACCESS(space->ranges)->nr;
}
