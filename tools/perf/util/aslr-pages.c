// SPDX-License-Identifier: GPL-2.0
/*
 * Pages outside of ranges, see aslr-pages.h.
 */
#include "aslr-pages.h"

#include <errno.h>
#include <stdlib.h>
#include <linux/hash.h>
#include <linux/kernel.h>

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

void aslr_pages__exit(struct aslr_pages *pages)
{
	free(pages->table);
}
