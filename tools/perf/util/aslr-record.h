/* SPDX-License-Identifier: GPL-2.0 */
#ifndef __PERF_ASLR_RECORD_H
#define __PERF_ASLR_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <linux/types.h>
#include "aslr-policy.h"

struct aslr_view;
struct perf_event_attr;
struct perf_record_header_build_id;
union perf_event;

/*
 * What happens to the records of a profile, and the rewriting of those that say
 * what is mapped where.  Samples have their own, see aslr-sample.h.
 */
struct aslr_record {
	const char	*name;
	enum aslr_action action;
	/* Why it is safe, or what is lost with it, in words for the documentation. */
	const char	*why;
	/* The size of the smallest such record. */
	size_t		min_size;
	/* All have that size: what is behind, but for the sample_id, isn't known. */
	bool		exact;
	/*
	 * Where what a record of at least min_size has ends, by what it says itself or the
	 * attributes of its event, if it has one: what is between that and the sample_id
	 * becomes zeros.  0: it isn't known, and the record is dropped; SIZE_MAX: it can't be.
	 * NULL: everything is known.
	 */
	size_t		(*record_size)(const union perf_event *event,
				       const struct perf_event_attr *attr);
	/* The text that ends with a NUL, and maybe padding, at the record's end; 0: none. */
	size_t		text;
	/* Rewrite a copy of the record; NULL: there is nothing to do. */
	int		(*rewrite)(struct aslr_view *view, union perf_event *event);
};

/*
 * The row of a record type, PERF_RECORD_*.  A type that isn't known has a row
 * without a name, which says to drop it.
 */
const struct aslr_record *aslr_record__find(unsigned int type);

/*
 * Make of @event, a copy of a record that isn't dropped, what the row for its
 * type says, and learn from it who lives in which address space.  @attr is that
 * of its event, which says what the sample_id at its end looks like; NULL for records
 * of perf's own, which have none.
 *
 * Returns 0, 1 if the record must be dropped after all: it maps more than fits,
 * or nobody knows what is in it; -EINVAL if it is too short for what it holds,
 * or -ENOMEM.
 */
int aslr_record__rewrite(struct aslr_view *view, union perf_event *event,
			 const struct perf_event_attr *attr);

/* Clear what isn't of the build-id where it would be if that was longer. */
void aslr_record__clear_build_id(struct perf_record_header_build_id *build_id);

#endif /* __PERF_ASLR_RECORD_H */
