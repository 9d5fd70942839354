// SPDX-License-Identifier: GPL-2.0
/*
 * Pages outside of ranges, see aslr-pages.h.
 */
#include "aslr-pages.h"

#include <errno.h>
#include <stdlib.h>
#include <linux/hash.h>
#include <linux/kernel.h>
#include "aslr-ranges.h"

#define MIN_BITS	4

static unsigned long aslr_pages__mask(const struct aslr_pages *pages)
{
	return (1UL << pages->bits) - 1;
}

/* Where @page is to be looked for, and behind that up to the next free entry. */
static unsigned long aslr_pages__home(const struct aslr_pages *pages, u64 page)
{
	return hash_64(page >> ASLR_PAGE_SHIFT, pages->bits);
}

/* The entry of @page, or the free one where it belongs.  There is always one. */
static struct aslr_page *aslr_pages__entry(const struct aslr_pages *pages, u64 page)
{
	unsigned long i = aslr_pages__home(pages, page);

	while (pages->table[i].page && pages->table[i].page != page)
		i = (i + 1) & aslr_pages__mask(pages);
	return &pages->table[i];
}

struct aslr_page *aslr_pages__find(const struct aslr_pages *pages, u64 page)
{
	struct aslr_page *entry = pages->nr ? aslr_pages__entry(pages, page) : NULL;

	return entry && entry->page ? entry : NULL;
}

/* At most 3 of 4 entries get used. */
static int aslr_pages__grow(struct aslr_pages *pages)
{
	struct aslr_pages old = *pages;

	pages->bits = old.table ? old.bits + 1 : MIN_BITS;
	pages->table = calloc(1UL << pages->bits, sizeof(*pages->table));
	if (!pages->table) {
		*pages = old;
		return -ENOMEM;
	}
	for (unsigned long i = 0; old.table && i <= aslr_pages__mask(&old); i++) {
		if (old.table[i].page)
			*aslr_pages__entry(pages, old.table[i].page) = old.table[i];
	}
	free(old.table);
	return 0;
}

struct aslr_page *aslr_pages__add(struct aslr_pages *pages, u64 page, u64 image)
{
	struct aslr_page *entry;

	if ((!pages->table || pages->nr > aslr_pages__mask(pages) / 4 * 3) &&
	    aslr_pages__grow(pages))
		return NULL;
	entry = aslr_pages__entry(pages, page);
	entry->page = page;
	entry->image_nr = image >> ASLR_PAGE_SHIFT;
	entry->unsure = true;
	pages->nr++;
	return entry;
}

/* Those behind it that belong further to the front move up, so that they are found. */
static void aslr_pages__remove_entry(struct aslr_pages *pages, unsigned long i)
{
	unsigned long mask = aslr_pages__mask(pages), free = i;

	while (pages->table[i = (i + 1) & mask].page) {
		unsigned long home = aslr_pages__home(pages, pages->table[i].page);

		if (((i - home) & mask) < ((i - free) & mask))
			continue;
		pages->table[free] = pages->table[i];
		free = i;
	}
	pages->table[free] = (struct aslr_page) {};
	pages->nr--;
}

void aslr_pages__remove(struct aslr_pages *pages, u64 start, u64 last)
{
	u64 first = (start + ~ASLR_PAGE_MASK) & ASLR_PAGE_MASK;
	/* How many pages: the last one may end at the very top. */
	u64 nr = ((last >> ASLR_PAGE_SHIFT) + !(~last & ~ASLR_PAGE_MASK)) -
		 (first >> ASLR_PAGE_SHIFT);

	if (!pages->nr || first < start || (s64)nr <= 0)
		return;

	if (nr <= aslr_pages__mask(pages)) {
		for (u64 i = 0; i < nr; i++) {
			struct aslr_page *entry;

			entry = aslr_pages__entry(pages, first + (i << ASLR_PAGE_SHIFT));
			if (entry->page)
				aslr_pages__remove_entry(pages, entry - pages->table);
		}
		return;
	}
	for (unsigned long i = 0; i <= aslr_pages__mask(pages); ) {
		u64 page = pages->table[i].page;

		/* Another one may have moved up to there. */
		if (page && (page - first) >> ASLR_PAGE_SHIFT < nr)
			aslr_pages__remove_entry(pages, i);
		else
			i++;
	}
}

void aslr_pages__exit(struct aslr_pages *pages)
{
	free(pages->table);
}
