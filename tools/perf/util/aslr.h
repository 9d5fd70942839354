/* SPDX-License-Identifier: GPL-2.0 */
#ifndef __PERF_ASLR_H
#define __PERF_ASLR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

struct aslr;
struct perf_session;
struct perf_tool;

/*
 * The tool behind "perf inject --aslr": it sits between the session, whose tool
 * it is, and another tool, to which it passes each record on with addresses
 * rewritten, blanked or not at all, as the tables in aslr-record.c, aslr-sample.c
 * and aslr-header.c say.
 */

/*
 * Takes the tracing data of a pipe, @size bytes in @buf, which has room for as many
 * as make @size a multiple of 8.  0 or a negative error.
 */
typedef int (*aslr_tracing_fn)(void *arg, void *buf, size_t size);

/*
 * Where a record of up to @size bytes may be made that is passed on next, so that
 * nobody has to copy it.  NULL if there is no such place, or after an error.
 */
typedef void *(*aslr_room_fn)(void *arg, size_t size);

/*
 * @next gets what is passed on, but for tracing data, which doesn't fit in a record
 * and goes to @tracing.  Both that and @room get @arg.  User stacks become call
 * chains if @unwind, for which the binaries are read.  NULL when out of memory.
 */
struct aslr *aslr__new(const struct perf_tool *next, aslr_tracing_fn tracing, aslr_room_fn room,
		       void *arg, bool unwind);
void aslr__delete(struct aslr *aslr);

/*
 * Before the session is there: let it decode trace data, which is dropped otherwise,
 * to samples.  Its machines then know the original addresses, and @next must not
 * tell them of what it gets.
 */
void aslr__decode_traces(struct aslr *aslr);

/* The tool for the session. */
struct perf_tool *aslr__tool(struct aslr *aslr);

/*
 * With the header of the input read: rewrite the attributes of its events, and
 * forget the features that are dropped.  0 or a negative error.
 */
int aslr__rewrite_header(struct aslr *aslr, struct perf_session *session);

/*
 * Rewrite the section of a header feature, @buf of *@size bytes, in place.
 * Returns 0, 1 if it has to be dropped, or a negative error.
 */
int aslr__rewrite_feature(struct aslr *aslr, unsigned int feat, void *buf, size_t *size);

/*
 * Tracing data of or for a pipe, @size bytes in @buf, which is freed and has room for as
 * many as make @size a multiple of 8: it comes before the mappings that its
 * addresses are in, so it is rewritten and goes on when a sample comes or at the
 * end.  0, -EINVAL if it isn't tracing data, or an error of aslr__finish().
 */
int aslr__hold_tracing_data(struct aslr *aslr, void *buf, size_t size);

/* All events were there: let go of what is held.  0 or a negative error. */
int aslr__finish(struct aslr *aslr);

/* Tell the user, in a line, what was blanked or dropped, and all of it if verbose. */
void aslr__report(const struct aslr *aslr, const struct perf_session *session);

#endif /* __PERF_ASLR_H */
