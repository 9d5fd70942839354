/* SPDX-License-Identifier: GPL-2.0 */
#ifndef __PERF_ASLR_SAMPLE_H
#define __PERF_ASLR_SAMPLE_H

#include <stdbool.h>
#include <linux/perf_event.h>
#include <linux/types.h>
#include "aslr-policy.h"

struct aslr_payload;
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
	/* It has one word, of which there is a copy when it is rewritten. */
	bool		is_word;
	/* NULL for a word that stays as it is. */
	int		(*rewrite)(struct aslr_rewrite *rewrite);
};

#define ASLR_NR_FIELDS	24

/* All fields, in the order that they have in a sample. */
extern const struct aslr_field aslr_fields[ASLR_NR_FIELDS];

/*
 * Rewrite a raw payload, @size bytes at @data, in place, and add to *@nr_addrs how
 * many addresses have a new value.  0, 1 if a part of it became zeros because nothing
 * else could, -EINVAL if it isn't as @payload says, or an error of
 * aslr_space__translate(); @data is anything then.
 */
typedef int (*aslr_payload_fn)(const struct aslr_payload *payload, struct aslr_view *view,
			       void *data, u32 size, u64 *nr_addrs);

/* A field that is rewritten, or with which fields of one word each begin. */
struct aslr_step {
	/* Of aslr_fields[field]. */
	int	(*rewrite)(struct aslr_rewrite *rewrite);
	u8	field;
	/* How many words begin here, 0 if none do. */
	u8	nr_words;
	/* Which of those that began last is this field's. */
	u8	word;
};

/* The fields that samples of an event have. */
struct aslr_format {
	u64			read_format;
	u64			branch_sample_type;
	u64			regs_user;
	u64			regs_intr;
	/* How to rewrite raw payloads, NULL where that isn't known. */
	aslr_payload_fn		rewrite_payload;
	const struct aslr_payload *payload;
	/* Of a raw field without addresses, 0 if it may have some. */
	u32			kept_raw_size;
	/* The word of the process' number, none if it is negative. */
	int			pid_word;
	/* For who finds that samples have fields that aren't known. */
	bool			unknown;
	unsigned int		nr_steps;
	struct aslr_step	steps[ASLR_NR_FIELDS];
};

/* Original addresses of the user's frames, the innermost first. */
struct aslr_frames {
	const u64	*ips;
	unsigned int	nr;
};

/* What was done to samples. */
struct aslr_sample_stats {
	u64	nr_samples;
	/* Addresses that have a new value. */
	u64	nr_addrs;
	/* Fields that were there and are empty now, by their index in aslr_fields. */
	u64	nr_blanked[ASLR_NR_FIELDS];
	/* User stacks of a size that can't be, or less of it than is said to be used. */
	u64	nr_bad_stacks;
};

/*
 * Learn from @attr what its samples look like.  0, or -EINVAL if it has a
 * PERF_SAMPLE_* or PERF_FORMAT_* or branch format bit that is not known, so that
 * a field could not be found.  How to rewrite payloads is for others to say.
 */
int aslr_format__init(struct aslr_format *format, const struct perf_event_attr *attr);

/* The process that @event, a sample, is of, or -1 if it doesn't say. */
s32 aslr_format__pid(const struct aslr_format *format, const union perf_event *event);

/*
 * Write to @out the sample @in with all addresses rewritten as @view says, and
 * @frames, if that isn't NULL, behind the rest of its call chain.  @out is never
 * larger than @in, but needs that much room more which the frames and a marker
 * take.  0, -EINVAL if @in is not as @format says, -E2BIG if what is blanked
 * makes no room for the frames, or an error of aslr_space__translate().
 */
int aslr_sample__rewrite(const struct aslr_format *format, struct aslr_view *view,
			 const union perf_event *in, union perf_event *out,
			 const struct aslr_frames *frames, struct aslr_sample_stats *stats);

#endif /* __PERF_ASLR_SAMPLE_H */
