/* SPDX-License-Identifier: GPL-2.0 */
#ifndef __PERF_DEFERRED_EVENTS_H
#define __PERF_DEFERRED_EVENTS_H

#include <stdbool.h>

struct deferred_events;
struct ordered_event;

/*
 * Events on their way to a thread, which delivers them while the thread that adds them,
 * the only one to call what is below, goes on.  The thread is there from the time on
 * that enough of them have come to be worth it.
 */

/*
 * Deliver an event: those that were added, one after the other in that order.  After
 * an error, a negative one, there are no more.
 */
typedef int (*deferred_events__deliver_t)(void *arg, const struct ordered_event *event);

/*
 * Do a part of what else there is to do, false if there is nothing.  Called by each of
 * the two threads when it would have to wait for the other one, maybe by both at once.
 */
typedef bool (*deferred_events__help_t)(void *arg);

/* Both @deliver and @help get @arg.  NULL when out of memory. */
struct deferred_events *deferred_events__new(deferred_events__deliver_t deliver,
					     deferred_events__help_t help, void *arg);

/* What was not waited for is not delivered.  @de may be NULL. */
void deferred_events__delete(struct deferred_events *de);

/* Add a copy of @event.  0, or the error of an earlier one, but not each at once. */
int deferred_events__add(struct deferred_events *de, const struct ordered_event *event);

/*
 * Wait until all that were added are delivered, so that until the next is added all that
 * @deliver uses is the caller's.  0, or the first error that there ever was.
 */
int deferred_events__sync(struct deferred_events *de);

#endif /* __PERF_DEFERRED_EVENTS_H */
