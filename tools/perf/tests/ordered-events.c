// SPDX-License-Identifier: GPL-2.0
/*
 * The queue that puts events in the order of time: what comes out of it, and when.
 */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <linux/compiler.h>
#include <linux/kernel.h>
#include <linux/types.h>
#include "debug.h"
#include "event.h"
#include "ordered-events.h"
#include "tests.h"

#define NR_EVENTS	5000

struct test_event {
	struct perf_event_header	header;
	/* Counted as they are queued */
	u32				number;
	u64				timestamp;
	bool				delivered;
};

struct test_queue {
	struct ordered_events	oe;
	struct test_event	*events;
	unsigned int		nr_queued;
	unsigned int		nr_delivered;
	/* How many are delivered before one fails */
	unsigned int		nr_left;
	/* The last one */
	u64			timestamp;
	u32			number;
	bool			failed;
	/* Some are queued late. */
	bool			any_order;
};

/* Any numbers, but the same ones each time */
static u32 any_number(u32 *state)
{
	*state = *state * 1664525 + 1013904223;
	return *state >> 8;
}

static bool check(struct test_queue *queue, bool ok, const char *what,
		  const struct ordered_event *event)
{
	if (!ok) {
		pr_debug("%s: event at %" PRIu64 "\n", what, event->timestamp);
		queue->failed = true;
	}
	return ok;
}

static int deliver(struct ordered_events *oe, struct ordered_event *event)
{
	struct test_queue *queue = container_of(oe, struct test_queue, oe);
	const struct test_event *copy = (void *)event->event;
	u32 number = copy->number;
	bool first = !queue->nr_delivered;

	if (!queue->nr_left)
		return -EIO;
	queue->nr_left--;
	if (!check(queue, number < queue->nr_queued && !queue->events[number].delivered, "which",
		   event))
		return 0;
	check(queue, event->timestamp == queue->events[number].timestamp, "time", event);
	check(queue, event->file_offset == number && event->file_path == (void *)copy->timestamp,
	      "where", event);
	check(queue, queue->any_order || first || event->timestamp > queue->timestamp ||
	      (event->timestamp == queue->timestamp && number > queue->number), "order", event);
	check(queue, event->timestamp <= oe->next_flush, "too early", event);
	queue->timestamp = event->timestamp;
	queue->number = number;
	queue->events[number].delivered = true;
	queue->nr_delivered++;
	return 0;
}

static int queue__init(struct test_queue *queue)
{
	*queue = (struct test_queue) { .nr_left = UINT_MAX };
	queue->events = calloc(NR_EVENTS, sizeof(*queue->events));
	ordered_events__init(&queue->oe, deliver, NULL);
	return queue->events ? 0 : -ENOMEM;
}

static void queue__exit(struct test_queue *queue)
{
	ordered_events__free(&queue->oe);
	free(queue->events);
}

static int queue__add(struct test_queue *queue, u64 timestamp)
{
	u32 number = queue->nr_queued++;
	struct test_event *event = &queue->events[number];

	*event = (struct test_event) {
		.header.size	= sizeof(*event),
		.number		= number,
		.timestamp	= timestamp,
	};
	return ordered_events__queue(&queue->oe, (union perf_event *)event, timestamp, number,
				     (void *)timestamp);
}

/* Deliver those up to @limit, and no others. */
static int queue__flush(struct test_queue *queue, enum oe_flush how, u64 limit)
{
	unsigned int nr = queue->nr_delivered;
	int err;

	for (unsigned int i = 0; i < queue->nr_queued; i++)
		nr += !queue->events[i].delivered && queue->events[i].timestamp <= limit;

	if (how == OE_FLUSH__TIME)
		err = ordered_events__flush_time(&queue->oe, limit);
	else
		err = ordered_events__flush(&queue->oe, how);
	if (err || queue->failed)
		return -1;
	if (queue->nr_delivered != nr || queue->oe.nr_events != queue->nr_queued - nr) {
		pr_debug("%u delivered, %u expected, %u left of %u\n", queue->nr_delivered, nr,
			 queue->oe.nr_events, queue->nr_queued);
		return -1;
	}
	return 0;
}

static u64 ascending(u32 i, u32 *state __maybe_unused)
{
	return 1 + i;
}

static u64 descending(u32 i, u32 *state __maybe_unused)
{
	return NR_EVENTS - i;
}

static u64 all_equal(u32 i __maybe_unused, u32 *state __maybe_unused)
{
	return 1000;
}

static u64 random_times(u32 i __maybe_unused, u32 *state)
{
	return 1 + any_number(state) % NR_EVENTS;
}

/* Many of each */
static u64 few_times(u32 i __maybe_unused, u32 *state)
{
	return 1 + any_number(state) % 10;
}

/* What each of 7 CPUs recorded of a round of 140 events, which may be at the same time */
static u64 cpus(u32 i, u32 *state __maybe_unused)
{
	u32 cpu = i % 140 / 20;

	return 1 + i / 140 * 200 + i % 20 * 10 + cpu / 2 * 3;
}

static const struct {
	const char	*name;
	u64		(*timestamp)(u32 i, u32 *state);
	/* How many are of a round, 0 if some would come too late */
	u32		round;
} patterns[] = {
	{ "ascending",	ascending,	100 },
	{ "descending",	descending,	0 },
	{ "equal",	all_equal,	0 },
	{ "random",	random_times,	0 },
	{ "few",	few_times,	0 },
	{ "cpus",	cpus,		140 },
};

/* All at once at the end */
static int test__final(struct test_suite *t __maybe_unused, int subtest __maybe_unused)
{
	struct test_queue queue;

	for (unsigned int i = 0; i < ARRAY_SIZE(patterns); i++) {
		u64 first = ULLONG_MAX, last = 0;
		u32 state = 1;

		TEST_ASSERT_VAL("out of memory", !queue__init(&queue));
		TEST_ASSERT_VAL("nothing yet", !ordered_events__first_time(&queue.oe));
		for (unsigned int j = 0; j < NR_EVENTS; j++) {
			u64 timestamp = patterns[i].timestamp(j, &state);

			TEST_ASSERT_VAL(patterns[i].name, !queue__add(&queue, timestamp));
			first = min(first, timestamp);
			last = max(last, timestamp);
			TEST_ASSERT_VAL(patterns[i].name,
					ordered_events__first_time(&queue.oe) == first);
			TEST_ASSERT_VAL(patterns[i].name, queue.oe.max_timestamp == last);
		}
		TEST_ASSERT_VAL(patterns[i].name,
				!queue__flush(&queue, OE_FLUSH__FINAL, ULLONG_MAX));
		TEST_ASSERT_VAL(patterns[i].name, queue.nr_delivered == NR_EVENTS &&
				!queue.oe.nr_unordered_events && !queue.oe.last);
		queue__exit(&queue);
	}
	return TEST_OK;
}

/* At the end of a round, what came before the end of the one before it */
static int test__rounds(struct test_suite *t __maybe_unused, int subtest __maybe_unused)
{
	struct test_queue queue;

	for (unsigned int i = 0; i < ARRAY_SIZE(patterns); i++) {
		u32 state = 1;

		if (!patterns[i].round)
			continue;
		TEST_ASSERT_VAL("out of memory", !queue__init(&queue));
		for (unsigned int j = 0; j < NR_EVENTS; j++) {
			u64 limit = queue.oe.next_flush;

			TEST_ASSERT_VAL(patterns[i].name,
					!queue__add(&queue, patterns[i].timestamp(j, &state)));
			if ((j + 1) % patterns[i].round)
				continue;
			TEST_ASSERT_VAL(patterns[i].name,
					!queue__flush(&queue, OE_FLUSH__ROUND, limit));
			TEST_ASSERT_VAL(patterns[i].name,
					queue.oe.next_flush == queue.oe.max_timestamp);
			TEST_ASSERT_VAL(patterns[i].name, queue.nr_delivered ||
					j < 2 * patterns[i].round);
		}
		TEST_ASSERT_VAL(patterns[i].name,
				!queue__flush(&queue, OE_FLUSH__FINAL, ULLONG_MAX));
		TEST_ASSERT_VAL(patterns[i].name, queue.nr_delivered == NR_EVENTS &&
				!queue.oe.nr_unordered_events);
		queue__exit(&queue);
	}
	return TEST_OK;
}

/* Up to any time, and what comes after that in any order */
static int test__times(struct test_suite *t __maybe_unused, int subtest __maybe_unused)
{
	struct test_queue queue;
	u32 state = 1;
	u64 limit = 0;

	TEST_ASSERT_VAL("out of memory", !queue__init(&queue));
	for (unsigned int i = 0; i < NR_EVENTS; i++) {
		TEST_ASSERT_VAL("queue", !queue__add(&queue, limit + 1 + any_number(&state) % 100));
		if (any_number(&state) % 20)
			continue;
		limit += any_number(&state) % 60;
		TEST_ASSERT_VAL("flush", !queue__flush(&queue, OE_FLUSH__TIME, limit));
		TEST_ASSERT_VAL("last", !queue.oe.nr_events == !queue.oe.last);
	}
	TEST_ASSERT_VAL("flush", !queue__flush(&queue, OE_FLUSH__FINAL, ULLONG_MAX));
	TEST_ASSERT_VAL("all", queue.nr_delivered == NR_EVENTS && !queue.oe.nr_unordered_events);

	/* Only too late ones are counted. */
	TEST_ASSERT_VAL("no time", ordered_events__queue(&queue.oe, NULL, 0, 0, NULL) == -ETIME);
	TEST_ASSERT_VAL("no time",
			ordered_events__queue(&queue.oe, NULL, ~0ULL, 0, NULL) == -ETIME);
	TEST_ASSERT_VAL("none", !queue.oe.nr_events && !queue.oe.nr_unordered_events);
	queue.nr_queued = 0;
	TEST_ASSERT_VAL("late", !queue__add(&queue, 1) && queue.oe.nr_unordered_events == 1);
	queue__exit(&queue);
	return TEST_OK;
}

/* What can't be delivered stays, and so does what is behind it. */
static int test__errors(struct test_suite *t __maybe_unused, int subtest __maybe_unused)
{
	struct test_queue queue;
	u32 state = 1;

	TEST_ASSERT_VAL("out of memory", !queue__init(&queue));
	for (unsigned int i = 0; i < NR_EVENTS; i++)
		TEST_ASSERT_VAL("queue", !queue__add(&queue, random_times(i, &state)));
	for (unsigned int i = 0; i < NR_EVENTS; i += 100) {
		queue.nr_left = 100;
		TEST_ASSERT_VAL("flush", ordered_events__flush(&queue.oe, OE_FLUSH__FINAL) ==
				(i + 100 < NR_EVENTS ? -EIO : 0));
		TEST_ASSERT_VAL("delivered", !queue.failed && queue.nr_delivered == i + 100 &&
				queue.oe.nr_events == NR_EVENTS - i - 100);
	}
	queue__exit(&queue);
	return TEST_OK;
}

/* Events that aren't there any more when they are delivered, and some that never are */
static int test__copies(struct test_suite *t __maybe_unused, int subtest __maybe_unused)
{
	struct test_queue queue;
	u32 state = 1;

	TEST_ASSERT_VAL("out of memory", !queue__init(&queue));
	for (unsigned int turn = 0; turn < 2; turn++) {
		ordered_events__set_copy_on_queue(&queue.oe, true);
		queue.nr_queued = 0;
		queue.nr_delivered = 0;
		for (unsigned int i = 0; i < NR_EVENTS; i++) {
			TEST_ASSERT_VAL("queue", !queue__add(&queue, random_times(i, &state)));
			queue.events[i].number = UINT_MAX;
		}
		TEST_ASSERT_VAL("flush", !queue__flush(&queue, OE_FLUSH__TIME, NR_EVENTS / 2));
		TEST_ASSERT_VAL("some", queue.nr_delivered && queue.oe.nr_events);
		ordered_events__reinit(&queue.oe);
		TEST_ASSERT_VAL("none", !queue.oe.nr_events && !queue.oe.cur_alloc_size &&
				!ordered_events__first_time(&queue.oe));
	}
	queue__exit(&queue);
	return TEST_OK;
}

/* With little memory some are delivered early, and then others come too late. */
static int test__limit(struct test_suite *t __maybe_unused, int subtest __maybe_unused)
{
	const u64 limit = 100 * 1024;
	struct test_queue queue;

	for (unsigned int i = 0; i < ARRAY_SIZE(patterns); i++) {
		u32 state = 1;

		TEST_ASSERT_VAL("out of memory", !queue__init(&queue));
		queue.any_order = patterns[i].timestamp != ascending;
		ordered_events__set_alloc_size(&queue.oe, limit);
		for (unsigned int j = 0; j < NR_EVENTS; j++) {
			TEST_ASSERT_VAL(patterns[i].name,
					!queue__add(&queue, patterns[i].timestamp(j, &state)));
			TEST_ASSERT_VAL("size", queue.oe.cur_alloc_size <= limit);
		}
		TEST_ASSERT_VAL(patterns[i].name, queue.nr_delivered &&
				queue.oe.last_flush_type == OE_FLUSH__HALF);
		TEST_ASSERT_VAL(patterns[i].name,
				!queue__flush(&queue, OE_FLUSH__FINAL, ULLONG_MAX));
		TEST_ASSERT_VAL(patterns[i].name,
				queue.nr_delivered == NR_EVENTS && !queue.failed);
		queue__exit(&queue);
	}

	TEST_ASSERT_VAL("out of memory", !queue__init(&queue));
	ordered_events__set_alloc_size(&queue.oe, 1000);
	TEST_ASSERT_VAL("no room", queue__add(&queue, 1) == -ENOMEM);
	ordered_events__set_copy_on_queue(&queue.oe, true);
	TEST_ASSERT_VAL("no room", queue__add(&queue, 1) == -ENOMEM && !queue.oe.cur_alloc_size);
	queue__exit(&queue);
	return TEST_OK;
}

static struct test_case tests__ordered_events[] = {
	TEST_CASE("ordered events, all at the end", final),
	TEST_CASE("ordered events, at the end of rounds", rounds),
	TEST_CASE("ordered events, up to a time", times),
	TEST_CASE("ordered events, until one fails", errors),
	TEST_CASE("ordered events, copies", copies),
	TEST_CASE("ordered events, little memory", limit),
	{ .name = NULL, }
};

struct test_suite suite__ordered_events = {
	.desc		= "Ordered events",
	.test_cases	= tests__ordered_events,
};
