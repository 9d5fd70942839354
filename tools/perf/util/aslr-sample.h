/* SPDX-License-Identifier: GPL-2.0 */
#ifndef __PERF_ASLR_SAMPLE_H
#define __PERF_ASLR_SAMPLE_H

#include <linux/perf_event.h>
#include <linux/types.h>
#include "aslr-policy.h"

struct aslr_view;
union perf_event;

/*
 * Rewriting of samples: from the attributes of an event, the raw sample and the
 * address spaces that it speaks of to the sample's new bytes, in one pass.  The
 * format is the one that include/uapi/linux/perf_event.h describes at
 * PERF_RECORD_SAMPLE.
 */

struct aslr_rewrite;

/* What happens to a field of a sample. There is one for each PERF_SAMPLE_* bit. */
struct aslr_field {
	/* A PERF_SAMPLE_* bit, or two that have the same place. */
	u64		bit;
	const char	*name;
	enum aslr_action action;
	/* Why it is safe, in words for the documentation. */
	const char	*why;
	int		(*rewrite)(struct aslr_rewrite *rewrite);
};

#define ASLR_NR_FIELDS	24

/* All fields, in the order that they have in a sample. */
extern const struct aslr_field aslr_fields[ASLR_NR_FIELDS];

/* The fields that samples of an event have. */
struct aslr_format {
	u64			read_format;
	u64			branch_sample_type;
	u64			regs_user;
	u64			regs_intr;
	unsigned int		nr_fields;
	u8			fields[ASLR_NR_FIELDS];
};

/* What was done to samples. */
struct aslr_sample_stats {
	u64	nr_samples;
	/* Addresses that have a new value. */
	u64	nr_addrs;
	/* Fields that were there and are empty now, by their index in aslr_fields. */
	u64	nr_blanked[ASLR_NR_FIELDS];
};

/*
 * Learn from @attr what its samples look like.  0, or -EINVAL if it has a
 * PERF_SAMPLE_* or PERF_FORMAT_* or branch format bit that is not known, so that
 * a field could not be found.
 */
int aslr_format__init(struct aslr_format *format, const struct perf_event_attr *attr);

/*
 * Write to @out, which has the room of the largest event, the sample @in with
 * all addresses rewritten as @view says.  It is never larger than @in.  0,
 * -EINVAL if @in is not as @format says, or an error of aslr_space__translate().
 */
int aslr_sample__rewrite(const struct aslr_format *format, struct aslr_view *view,
			 const union perf_event *in, union perf_event *out,
			 struct aslr_sample_stats *stats);

#endif /* __PERF_ASLR_SAMPLE_H */
