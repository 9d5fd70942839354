// SPDX-License-Identifier: GPL-2.0
/*
 * Benchmark of what perf inject --aslr does for each address and each sample,
 * on address spaces made for it.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <linux/kernel.h>
#include <linux/perf_event.h>
#include <linux/time64.h>
#include <linux/zalloc.h>
#include <subcmd/parse-options.h>
#include "bench.h"
#include "util/aslr-sample.h"
#include "util/aslr-spaces.h"
#include "util/event.h"
#include "util/machine.h"
#include "util/stat.h"

#define PID	1
#define CHAIN	20
#define STEP	0x4000ULL
#define SIZE	0x2000ULL
#define LIBS	0x7f0000000000ULL
#define HEAP	0x550000000000ULL

static unsigned int iterations = 5;
static unsigned int nr_lookups = 1000000;
static unsigned int nr_pages = 1000000;

static const struct option options[] = {
	OPT_UINTEGER('i', "iterations", &iterations,
		     "Number of iterations used to compute averages"),
	OPT_UINTEGER('l', "lookups", &nr_lookups, "Number of addresses looked up in an iteration"),
	OPT_UINTEGER('p', "pages", &nr_pages, "Number of pages outside of mappings"),
	OPT_END()
};

static const char *const bench_usage[] = {
	"perf bench internals aslr <options>",
	NULL
};

/* Of this thread: what else the machine does costs nothing. */
static u64 cpu_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return now.tv_sec * 1000000000ULL + now.tv_nsec;
}

/* The same numbers each time. */
static u64 next_random(u64 *state)
{
	*state = *state * 6364136223846793005ULL + 1442695040888963407ULL;
	return *state >> 33;
}

static struct aslr_spaces *new_spaces(unsigned int nr_mappings)
{
	struct aslr_spaces *spaces = aslr_spaces__new();
	struct aslr_space *space;
	u64 image;

	space = spaces ? aslr_spaces__new_process(spaces, HOST_KERNEL_ID, PID) : NULL;
	if (!space)
		goto out_delete;
	for (unsigned int i = 0; i < nr_mappings; i++) {
		u64 start = LIBS + i * STEP;

		if (aslr_space__add(space, start, start + SIZE - 1, &image))
			goto out_delete;
	}
	return spaces;

out_delete:
	aslr_spaces__delete(spaces);
	return NULL;
}

static u64 random_addr(u64 *state, unsigned int nr_mappings)
{
	return LIBS + next_random(state) % nr_mappings * STEP + next_random(state) % SIZE;
}

static void print_stats(const char *what, unsigned int nr, const char *of, const char *each,
			struct stats *stats)
{
	printf("  %-12s %7u %-8s %8.1f ns (+- %.1f ns) per %s\n", what, nr, of,
	       avg_stats(stats) / 1000, stddev_stats(stats) / 1000, each);
}

/* Addresses of @nr_mappings mappings, in random order. */
static int bench_lookup(unsigned int nr_mappings)
{
	struct aslr_spaces *spaces = new_spaces(nr_mappings);
	u64 *addrs = calloc(nr_lookups, sizeof(*addrs));
	struct aslr_space *space;
	u64 state = 1, image;
	struct stats stats;
	int err = -ENOMEM;

	if (!spaces || !addrs)
		goto out_free;

	init_stats(&stats);
	space = aslr_spaces__process(spaces, HOST_KERNEL_ID, PID);
	for (unsigned int i = 0; i < nr_lookups; i++)
		addrs[i] = random_addr(&state, nr_mappings);
	for (unsigned int n = 0; n < iterations; n++) {
		u64 start = cpu_ns();

		for (unsigned int i = 0; i < nr_lookups; i++) {
			err = aslr_space__translate(space, addrs[i], &image);
			if (err)
				goto out_free;
		}
		update_stats(&stats, (cpu_ns() - start) * 1000 / nr_lookups);
	}
	print_stats("lookup", nr_mappings, "mappings", "address", &stats);
	err = 0;
out_free:
	free(addrs);
	aslr_spaces__delete(spaces);
	return err;
}

/* Each page outside of mappings once, for which it gets an image, or once more. */
static int bench_pages(void)
{
	struct stats first, again;
	int err = -ENOMEM;

	init_stats(&first);
	init_stats(&again);
	for (unsigned int n = 0; n < iterations; n++) {
		struct aslr_spaces *spaces = new_spaces(50);

		for (int pass = 0; spaces && pass < 2; pass++) {
			struct aslr_space *space;
			u64 start = cpu_ns(), image;

			space = aslr_spaces__process(spaces, HOST_KERNEL_ID, PID);
			err = 0;
			for (unsigned int i = 0; !err && i < nr_pages; i++) {
				/* Far from the one before. */
				u64 page = i * 0x9e3779b1ULL % nr_pages;

				err = aslr_space__translate(space, HEAP + page * STEP, &image);
			}
			update_stats(pass ? &again : &first, (cpu_ns() - start) * 1000 / nr_pages);
		}
		aslr_spaces__delete(spaces);
		if (!spaces || err)
			return err;
	}
	print_stats("first lookup", nr_pages, "pages", "address", &first);
	print_stats("next lookup", nr_pages, "pages", "address", &again);
	return 0;
}

/* Samples with call chains into @nr_mappings mappings. */
static int bench_sample(unsigned int nr_mappings)
{
	struct perf_event_attr attr = {
		.sample_type = PERF_SAMPLE_IDENTIFIER | PERF_SAMPLE_IP | PERF_SAMPLE_TID |
			       PERF_SAMPLE_TIME | PERF_SAMPLE_CPU | PERF_SAMPLE_PERIOD |
			       PERF_SAMPLE_CALLCHAIN,
	};
	/* Of these 6 words, 2 of the chain's head, and the chain. */
	const unsigned int nr_words = 6 + 2 + CHAIN, nr_samples = nr_lookups / CHAIN ?: 1;
	const size_t size = sizeof(struct perf_event_header) + nr_words * sizeof(u64);
	struct aslr_spaces *spaces = new_spaces(nr_mappings);
	union perf_event *out = malloc(PERF_SAMPLE_MAX_SIZE);
	void *samples = calloc(nr_samples, size);
	struct aslr_sample_stats sample_stats = {};
	struct aslr_format format;
	struct stats stats;
	u64 state = 1;
	int err = -ENOMEM;

	if (!spaces || !samples || !out)
		goto out_free;

	init_stats(&stats);
	for (unsigned int i = 0; i < nr_samples; i++) {
		union perf_event *event = samples + i * size;
		u64 *words = (void *)event->sample.array;

		event->header.type = PERF_RECORD_SAMPLE;
		event->header.misc = PERF_RECORD_MISC_USER;
		event->header.size = size;
		words[1] = random_addr(&state, nr_mappings);
		words[6] = 1 + CHAIN;
		words[7] = PERF_CONTEXT_USER;
		for (unsigned int j = 0; j < CHAIN; j++)
			words[8 + j] = random_addr(&state, nr_mappings);
	}
	err = aslr_format__init(&format, &attr);
	for (unsigned int n = 0; !err && n < iterations; n++) {
		u64 start = cpu_ns();

		for (unsigned int i = 0; !err && i < nr_samples; i++) {
			struct aslr_view view = {
				.spaces		= spaces,
				.machine	= HOST_KERNEL_ID,
				.pid		= PID,
				.cpumode	= PERF_RECORD_MISC_USER,
			};

			err = aslr_sample__rewrite(&format, &view, samples + i * size, out,
						   NULL, &sample_stats);
		}
		update_stats(&stats, (cpu_ns() - start) * 1000 / nr_samples);
	}
	if (!err)
		print_stats("rewriting", nr_mappings, "mappings", "sample", &stats);
out_free:
	free(samples);
	free(out);
	aslr_spaces__delete(spaces);
	return err;
}

int bench_aslr(int argc, const char **argv)
{
	static const unsigned int nr_mappings[] = { 50, 5000, 50000 };
	int err = 0;

	argc = parse_options(argc, argv, options, bench_usage, 0);
	if (argc || !iterations || !nr_lookups || !nr_pages) {
		usage_with_options(bench_usage, options);
		exit(EXIT_FAILURE);
	}

	for (unsigned int i = 0; !err && i < ARRAY_SIZE(nr_mappings); i++)
		err = bench_lookup(nr_mappings[i]);
	err = err ?: bench_pages();
	for (unsigned int i = 0; !err && i < ARRAY_SIZE(nr_mappings); i++)
		err = bench_sample(nr_mappings[i]);
	if (err)
		fprintf(stderr, "perf bench internals aslr: error %d\n", err);
	return err;
}
