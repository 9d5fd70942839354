/* SPDX-License-Identifier: GPL-2.0 */
#ifndef __PERF_ASLR_PAGES_H
#define __PERF_ASLR_PAGES_H

#include <linux/types.h>
#include "aslr-ranges.h"

/*
 * The pages of an address space that are, or were, outside of its ranges and
 * their images, a part of aslr-space.c.  A hash table: one has millions of
 * them, in no order, and many have some and don't live long.  Pages and images
 * are addresses.
 */

/* An address space has no image for its page at 0: that is a free entry. */
struct aslr_page {
	u64	page;
	/* The number of the page that is its image. */
	u64	image_nr : 64 - ASLR_PAGE_SHIFT;
	/* Nothing but numbers were on it, see aslr_space__translate_unsure(). */
	u64	unsure : 1;
};

/* All zeros is one without pages. */
struct aslr_pages {
	struct aslr_page	*table;
	/* log2 of how many entries the table has, if there is one. */
	unsigned int		bits;
	unsigned long		nr;
};

static inline u64 aslr_page__image(const struct aslr_page *page)
{
	return (u64)page->image_nr << ASLR_PAGE_SHIFT;
}

/* NULL if @page has no image.  Valid until a page is added. */
struct aslr_page *aslr_pages__find(const struct aslr_pages *pages, u64 page);

/* Give @page, which isn't 0 and has none, an image, and be unsure of it.  NULL without memory. */
struct aslr_page *aslr_pages__add(struct aslr_pages *pages, u64 page, u64 image);

void aslr_pages__exit(struct aslr_pages *pages);

#endif /* __PERF_ASLR_PAGES_H */
