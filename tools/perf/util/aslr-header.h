/* SPDX-License-Identifier: GPL-2.0 */
#ifndef __PERF_ASLR_HEADER_H
#define __PERF_ASLR_HEADER_H

#include <stddef.h>
#include <linux/types.h>
#include "aslr-policy.h"

struct aslr_spaces;
struct perf_event_attr;

/*
 * What happens to the attributes of events and to the feature sections of the
 * header.  The formats are those of Documentation/perf.data-file-format.txt.
 */

/* The most attributes with an address whose names are rewritten to the new one. */
#define ASLR_MAX_ATTR_ADDRS	16

/* What is known of the profile where its header is rewritten. */
struct aslr_header {
	struct aslr_spaces	*spaces;
	/* Addresses in attributes, before and after. */
	struct {
		u64		old;
		u64		new;
	}			attr_addrs[ASLR_MAX_ATTR_ADDRS];
	unsigned int		nr_attr_addrs;
	/* As in struct perf_env: "type:name", NUL, as often as there are mappings. */
	const char		*pmu_mappings;
	int			nr_pmu_mappings;
};

struct aslr_feature {
	const char	*name;
	enum aslr_action action;
	/* Why it is safe, or what is lost with it, in words for the documentation. */
	const char	*why;
	/*
	 * Rewrite the section in place, and make *@size less if it gets shorter.
	 * 0, -EINVAL if the section isn't what it should be, or -ENOMEM.
	 */
	int		(*rewrite)(struct aslr_header *header, void *buf, size_t *size);
};

/*
 * The row of a header feature, HEADER_*.  A feature that isn't known has a row
 * without a name, which says to drop it.
 */
const struct aslr_feature *aslr_feature__find(unsigned int feat);

/*
 * Rewrite what holds an address in @attr.  What no row knows, by the type or by
 * the name that @header has for it, is 0 afterwards.  0 or -ENOMEM.
 */
int aslr_header__rewrite_attr(struct aslr_header *header, struct perf_event_attr *attr);

/*
 * Rewrite hexadecimal numbers in text that may be addresses: those of attributes
 * become what they became there, if the @size bytes have room for it, others
 * that a space knows or that are above 4 GiB become zeros.  @text ends with a
 * NUL or at @size.
 */
void aslr_header__rewrite_text(struct aslr_header *header, char *text, size_t size);

#endif /* __PERF_ASLR_HEADER_H */
