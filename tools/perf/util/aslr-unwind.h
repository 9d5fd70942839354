/* SPDX-License-Identifier: GPL-2.0 */
#ifndef __PERF_ASLR_UNWIND_H
#define __PERF_ASLR_UNWIND_H

#include <stdbool.h>
#include <stdio.h>
#include <linux/types.h>

struct aslr_frames;
struct machine;
struct perf_env;
struct perf_event_attr;
struct perf_sample;
union perf_event;

/*
 * Unwinding of the user stacks that samples hold, by perf's own unwinder and to
 * the frames that its readers show: for that, it has a machine of its own, with
 * the threads and maps that the original records tell of.
 *
 * It is the one part that reads more than the profile: the binaries.  Where one is
 * missing, or isn't the one that the profile has a build-id of, frames end.
 *
 * No locks: records and samples come one after the other, in the order of time.
 */

struct aslr_unwind;

/* What was done. */
struct aslr_unwind_stats {
	/* Samples with a stack. */
	u64	nr_samples;
	u64	nr_frames;
	/* Samples with frames that end where a binary is missing or another. */
	u64	nr_cut;
};

/* Do samples of an event with @attr have all that unwinding needs? */
bool aslr_unwind__needs(const struct perf_event_attr *attr);

/*
 * @env is that of the profile, and has to live as long; what it says of the
 * architecture is looked at with the first sample.  NULL when out of memory.
 */
struct aslr_unwind *aslr_unwind__new(struct perf_env *env);
void aslr_unwind__delete(struct aslr_unwind *unwind);

/* Learn the build-ids that @machine's user binaries have. */
void aslr_unwind__add_build_ids(struct aslr_unwind *unwind, struct machine *machine);

/* Learn what an original record tells of threads, maps and build-ids, if anything. */
void aslr_unwind__record(struct aslr_unwind *unwind, const union perf_event *event,
			 const struct perf_sample *sample);

/* Frames that a sample can have at most, as perf report and script show by default. */
#define ASLR_MAX_FRAMES	127

/*
 * The frames of an original sample of an event with @attr: at most ASLR_MAX_FRAMES,
 * and no more than that with a marker they take less room than the registers and
 * the stack.  None if the sample has no stack.  They are valid until the next call.
 */
void aslr_unwind__sample(struct aslr_unwind *unwind, const struct perf_event_attr *attr,
			 struct perf_sample *sample, struct aslr_frames *frames);

const struct aslr_unwind_stats *aslr_unwind__stats(const struct aslr_unwind *unwind);

/* Tell in a line which binaries frames ended at, if they did. */
void aslr_unwind__report(const struct aslr_unwind *unwind, FILE *fp);

#endif /* __PERF_ASLR_UNWIND_H */
