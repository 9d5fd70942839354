// SPDX-License-Identifier: GPL-2.0
/*
 * Events that are delivered by another thread: which ones, in which order, and what is
 * seen of it by who adds them.
 */
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>
#include <linux/compiler.h>
#include <linux/kernel.h>
#include <linux/types.h>
#include "debug.h"
#include "deferred-events.h"
#include "ordered-events.h"
#include "tests.h"

/* More than wait to be delivered at any time. */
#define MANY	50000
/* Fewer than are worth a thread. */
#define FEW	100
/* If nobody wakes who waits there is no other end. */
#define HANGS	60

struct test_deferred {
	struct deferred_events	*de;
	pthread_t		adder;
	u64			nr_added;
	/* Of who delivers, or who has waited for it */
	u64			nr_delivered;
	/* Those of them that the thread that added them didn't deliver itself */
	u64			nr_elsewhere;
	/* The number of the one that fails, 0 if none does */
	u64			failing;
	bool			bad;
	/* Deliver nothing until the adder was asked for help */
	bool			wait;
	/* By the adder */
	atomic_bool		helped;
	/* How often there is something to help with */
	atomic_int		nr_help;
};

static int deliver(void *arg, const struct ordered_event *event)
{
	struct test_deferred *test = arg;
	u64 nr = ++test->nr_delivered;

	while (test->wait && !test->helped)
		usleep(100);
	if (!pthread_equal(pthread_self(), test->adder))
		test->nr_elsewhere++;
	if (event->timestamp != nr || event->file_offset != 2 * nr ||
	    event->event != (void *)test || event->file_path != (void *)&test->adder) {
		pr_debug("event %" PRIu64 " is delivered as %" PRIu64 "\n", event->timestamp, nr);
		test->bad = true;
	}
	return nr == test->failing ? -EBADMSG : 0;
}

static bool help(void *arg)
{
	struct test_deferred *test = arg;

	if (pthread_equal(pthread_self(), test->adder))
		test->helped = true;
	return test->nr_help > 0 && test->nr_help-- > 0;
}

static int test_deferred__init(struct test_deferred *test)
{
	*test = (struct test_deferred) { .adder = pthread_self() };
	test->de = deferred_events__new(deliver, help, test);
	alarm(HANGS);
	return test->de ? 0 : -ENOMEM;
}

static void test_deferred__exit(struct test_deferred *test)
{
	deferred_events__delete(test->de);
	alarm(0);
}

/* Returns the first error. */
static int test_deferred__add(struct test_deferred *test, u64 nr)
{
	int err = 0;

	for (u64 i = 0; i < nr && !err; i++) {
		struct ordered_event event = {
			.timestamp	= ++test->nr_added,
			.file_offset	= 2 * test->nr_added,
			.event		= (void *)test,
			.file_path	= (void *)&test->adder,
		};

		err = deferred_events__add(test->de, &event);
		/* What was added is a copy. */
		event = (struct ordered_event) { .timestamp = 0 };
		barrier();
	}
	return err;
}

/* All, in the order that they were added in, by the thread. */
static int test__order(struct test_suite *t __maybe_unused, int subtest __maybe_unused)
{
	struct test_deferred test;

	TEST_ASSERT_VAL("out of memory", !test_deferred__init(&test));
	for (u64 nr = 1; nr < MANY; nr *= 3) {
		test.nr_help = nr % 5;
		TEST_ASSERT_VAL("add", !test_deferred__add(&test, MANY / nr));
		TEST_ASSERT_VAL("sync", !deferred_events__sync(test.de));
		TEST_ASSERT_VAL("all", test.nr_delivered == test.nr_added);
		TEST_ASSERT_VAL("sync again", !deferred_events__sync(test.de));
	}
	TEST_ASSERT_VAL("order", !test.bad);
	TEST_ASSERT_VAL("thread", test.nr_elsewhere > MANY / 2);
	test_deferred__exit(&test);
	return TEST_OK;
}

/* By who waits for them. */
static int test__few(struct test_suite *t __maybe_unused, int subtest __maybe_unused)
{
	struct test_deferred test;

	TEST_ASSERT_VAL("out of memory", !test_deferred__init(&test));
	TEST_ASSERT_VAL("none", !deferred_events__sync(test.de) && !test.nr_delivered);
	for (unsigned int i = 0; i < FEW; i++) {
		TEST_ASSERT_VAL("add", !test_deferred__add(&test, FEW));
		TEST_ASSERT_VAL("later", test.nr_delivered == i * FEW);
		TEST_ASSERT_VAL("sync", !deferred_events__sync(test.de));
		TEST_ASSERT_VAL("all", test.nr_delivered == test.nr_added);
	}
	TEST_ASSERT_VAL("order", !test.bad);
	TEST_ASSERT_VAL("no thread", !test.nr_elsewhere);
	test_deferred__exit(&test);
	return TEST_OK;
}

/* The error is seen in the end, and nothing is delivered after it. */
static int test__errors(struct test_suite *t __maybe_unused, int subtest __maybe_unused)
{
	static const u64 failing[] = { 1, FEW, MANY / 3, MANY - 1, MANY };

	for (unsigned int i = 0; i < ARRAY_SIZE(failing); i++) {
		struct test_deferred test;
		int err;

		TEST_ASSERT_VAL("out of memory", !test_deferred__init(&test));
		test.failing = failing[i];
		err = test_deferred__add(&test, MANY);
		TEST_ASSERT_VAL("add", !err || err == -EBADMSG);
		/* Not all of them wait to be delivered. */
		TEST_ASSERT_VAL("add", err || failing[i] > MANY / 3);
		TEST_ASSERT_VAL("sync", deferred_events__sync(test.de) == -EBADMSG);
		TEST_ASSERT_VAL("first", test.nr_delivered == failing[i] && !test.bad);
		test_deferred__add(&test, MANY);
		TEST_ASSERT_VAL("again", deferred_events__sync(test.de) == -EBADMSG);
		TEST_ASSERT_VAL("no more", test.nr_delivered == failing[i]);
		test_deferred__exit(&test);
	}
	return TEST_OK;
}

/* Who can't add any more is asked to help, and so is who waits for the end. */
static int test__help(struct test_suite *t __maybe_unused, int subtest __maybe_unused)
{
	struct test_deferred test;

	TEST_ASSERT_VAL("out of memory", !test_deferred__init(&test));
	test.wait = true;
	test.nr_help = 3;
	TEST_ASSERT_VAL("add", !test_deferred__add(&test, MANY) && test.helped);
	TEST_ASSERT_VAL("sync", !deferred_events__sync(test.de));

	test.helped = false;
	TEST_ASSERT_VAL("add", !test_deferred__add(&test, MANY / 20));
	TEST_ASSERT_VAL("sync", !deferred_events__sync(test.de) && test.helped);
	TEST_ASSERT_VAL("all", test.nr_delivered == test.nr_added && !test.bad);
	test_deferred__exit(&test);
	return TEST_OK;
}

/* Whatever is left. */
static int test__delete(struct test_suite *t __maybe_unused, int subtest __maybe_unused)
{
	for (u64 nr = 0; nr < MANY; nr = 3 * nr + 1) {
		struct test_deferred test;

		TEST_ASSERT_VAL("out of memory", !test_deferred__init(&test));
		TEST_ASSERT_VAL("add", !test_deferred__add(&test, nr));
		test_deferred__exit(&test);
		TEST_ASSERT_VAL("order", !test.bad);
	}
	deferred_events__delete(NULL);
	return TEST_OK;
}

static struct test_case tests__deferred_events[] = {
	TEST_CASE("deferred events, order", order),
	TEST_CASE("deferred events, few", few),
	TEST_CASE("deferred events, until one fails", errors),
	TEST_CASE("deferred events, help", help),
	TEST_CASE("deferred events, left behind", delete),
	{ .name = NULL, }
};

struct test_suite suite__deferred_events = {
	.desc		= "Deferred events",
	.test_cases	= tests__deferred_events,
};
