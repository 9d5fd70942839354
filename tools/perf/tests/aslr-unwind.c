// SPDX-License-Identifier: GPL-2.0
/*
 * Unwinding of user stacks, see util/aslr-unwind.h: of this process' own.
 */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <linux/bitops.h>
#include <linux/compiler.h>
#include <linux/kernel.h>
#include <linux/perf_event.h>
#include <linux/string.h>
#include <linux/zalloc.h>
#include "aslr-sample.h"
#include "aslr-unwind.h"
#include "build-id.h"
#include "debug.h"
#include "dso.h"
#include "env.h"
#include "event.h"
#include "machine.h"
#include "sample.h"
#include "symbol.h"
#include "synthetic-events.h"
#include "tests.h"

/* Where there is a way to take a sample of this process. */
#if defined(HAVE_DWARF_UNWIND_SUPPORT) && \
	(defined(__x86_64__) || defined(__i386__) || defined(__aarch64__) || \
	 defined(__arm__) || defined(__powerpc__))

#include "perf_regs.h"
#include "util/perf_regs.h"

#define DEPTH		300
#define STACK_WORDS	1024
#define CHILD		1000000000

static const struct perf_event_attr attr = {
	.sample_type = PERF_SAMPLE_IP | PERF_SAMPLE_TID | PERF_SAMPLE_CALLCHAIN |
		       PERF_SAMPLE_REGS_USER | PERF_SAMPLE_STACK_USER,
	.exclude_callchain_user = 1,
};

/* What is told of the mappings of perf itself. */
enum self {
	AS_IT_IS,
	MISSING,
	DIFFERS,
};

static struct unwind_test {
	/* For what tells of its maps. */
	struct machine		machine;
	struct perf_env		env;
	struct aslr_unwind	*unwind;
	enum self		self;
	char			exe[PATH_MAX];
	u64			stack_end;
	struct perf_sample	sample;
	u64			regs[PERF_REGS_MAX];
	u64			stack[STACK_WORDS];
	/* Where the functions return to, the innermost first. */
	void			*returns[DEPTH + 1];
	unsigned int		nr_returns;
} *ut;

static int map_handler(const struct perf_tool *tool __maybe_unused, union perf_event *event,
		       struct perf_sample *sample, struct machine *machine __maybe_unused)
{
	if (!strcmp(event->mmap2.filename, "[stack]"))
		ut->stack_end = event->mmap2.start + event->mmap2.len;
	if (!strcmp(event->mmap2.filename, ut->exe)) {
		if (ut->self == MISSING) {
			memcpy(event->mmap2.filename, "/-", sizeof("/-"));
		} else if (ut->self == DIFFERS) {
			event->header.misc |= PERF_RECORD_MISC_MMAP_BUILD_ID;
			event->mmap2.build_id_size = BUILD_ID_SIZE;
			memset(event->mmap2.build_id, 0x5a, BUILD_ID_SIZE);
		}
	}
	aslr_unwind__record(ut->unwind, event, sample);
	return 0;
}

/* Begin with the maps of this process, and what was told of build-ids before them. */
static int unwind_test__maps(enum self self)
{
	union perf_event *event = zalloc(sizeof(*event));
	pid_t pid = getpid();
	int err;

	TEST_ASSERT_VAL("out of memory", event);
	ut->self = self;
	err = perf_event__synthesize_mmap_events(NULL, event, pid, pid, map_handler,
						 &ut->machine, true);
	free(event);
	TEST_ASSERT_EQUAL("maps", err, 0);
	return TEST_OK;
}

static int unwind_test__init(void)
{
	ssize_t len;

	ut = zalloc(sizeof(*ut));
	TEST_ASSERT_VAL("out of memory", ut);
	len = readlink("/proc/self/exe", ut->exe, sizeof(ut->exe) - 1);
	TEST_ASSERT_VAL("/proc/self/exe", len > 0);
	symbol__init(NULL);
	machine__init(&ut->machine, "", HOST_KERNEL_ID);
	ut->unwind = aslr_unwind__new(&ut->env);
	TEST_ASSERT_VAL("out of memory", ut->unwind);
	return TEST_OK;
}

static void unwind_test__exit(void)
{
	aslr_unwind__delete(ut->unwind);
	machine__exit(&ut->machine);
	zfree(&ut->env.arch);
	zfree(&ut);
}

/* Unwind for @pid, from the registers and the stack that were sampled. */
static unsigned int frames_of(pid_t pid, struct aslr_frames *frames)
{
	ut->sample.pid = pid;
	ut->sample.tid = pid;
	ut->sample.cpumode = PERF_RECORD_MISC_USER;
	ut->sample.user_regs.cache_mask = 0;
	aslr_unwind__sample(ut->unwind, &attr, &ut->sample, frames);
	return frames->nr;
}

/* There is more on a stack than what a sanitizer lets programs see. */
static noinline __attribute__((no_sanitize_address)) void copy_stack(u64 sp, u64 size)
{
	const u64 *from = (const u64 *)(unsigned long)sp;

	for (u64 i = 0; i < size / sizeof(u64); i++) {
		ut->stack[i] = from[i];
		/* No memcpy(), which is checked. */
		barrier();
	}
}

static noinline int aslr_test__sample(void)
{
	struct perf_sample *sample = &ut->sample;
	u64 sp;

	ut->returns[ut->nr_returns++] = __builtin_return_address(0);
	perf_regs_load(ut->regs);
	sample->user_regs.abi = PERF_SAMPLE_REGS_ABI;
	sample->user_regs.regs = ut->regs;
	sample->user_regs.mask = PERF_REGS_MASK;
	if (perf_reg_value(&sp, &sample->user_regs, perf_arch_reg_sp(perf_env__arch(NULL))) ||
	    sp >= ut->stack_end)
		return TEST_FAIL;
	sample->user_stack.data = (char *)ut->stack;
	sample->user_stack.size = min_t(u64, sizeof(ut->stack), ut->stack_end - sp) & ~7ULL;
	copy_stack(sp, sample->user_stack.size);
	return TEST_OK;
}

static noinline int aslr_test__recurse(int depth)
{
	int err = depth ? aslr_test__recurse(depth - 1) : aslr_test__sample();

	/* Not before the callees', as they are in the chain. */
	ut->returns[ut->nr_returns++] = __builtin_return_address(0);
	/* No tail call. */
	barrier();
	return err;
}

/* A sample that is @depth calls deep. */
static int take_sample(int depth)
{
	memset(&ut->sample, 0, sizeof(ut->sample));
	ut->nr_returns = 0;
	TEST_ASSERT_EQUAL("sample", aslr_test__recurse(depth), 0);
	return TEST_OK;
}

/* The last byte of a call. */
static u64 call_before(unsigned int i)
{
	return (unsigned long)ut->returns[i] - 1;
}

/* Each frame is the call before where its callee returns to. */
static int check_frames(const struct aslr_frames *frames, unsigned int nr)
{
	unsigned int first = 0;

	while (first < frames->nr && frames->ips[first] != call_before(0))
		first++;
	for (unsigned int i = 0; i < nr; i++) {
		if (first + i >= frames->nr) {
			pr_debug("wanted %u frames, got %u\n", first + nr, frames->nr);
			return TEST_FAIL;
		}
		if (frames->ips[first + i] != call_before(i)) {
			pr_debug("frame %u: wanted %#" PRIx64 ", got %#" PRIx64 "\n", first + i,
				 call_before(i), frames->ips[first + i]);
			return TEST_FAIL;
		}
	}
	return TEST_OK;
}

static int test__aslr_unwind_frames(struct test_suite *t __maybe_unused,
				    int subtest __maybe_unused)
{
	const struct aslr_unwind_stats *stats;
	struct perf_event_attr no_stack = attr;
	struct aslr_frames frames;
	int ret;

	if (unwind_test__init() || unwind_test__maps(AS_IT_IS) || take_sample(5))
		return TEST_FAIL;

	frames_of(getpid(), &frames);
	ret = check_frames(&frames, 6);
	stats = aslr_unwind__stats(ut->unwind);
	TEST_ASSERT_EQUAL("samples", (int)stats->nr_samples, 1);
	TEST_ASSERT_EQUAL("frames", (unsigned int)stats->nr_frames, frames.nr);
	TEST_ASSERT_EQUAL("cut", (int)stats->nr_cut, 0);

	/* Not of events that don't have it all, and not of the kernel of a guest. */
	no_stack.sample_type &= ~PERF_SAMPLE_CALLCHAIN;
	aslr_unwind__sample(ut->unwind, &no_stack, &ut->sample, &frames);
	TEST_ASSERT_EQUAL("without call chain", (int)frames.nr, 0);
	ut->sample.cpumode = PERF_RECORD_MISC_GUEST_KERNEL;
	aslr_unwind__sample(ut->unwind, &attr, &ut->sample, &frames);
	TEST_ASSERT_EQUAL("of a guest", (int)frames.nr, 0);
	ut->sample.cpumode = PERF_RECORD_MISC_USER;
	ut->sample.user_stack.size = 0;
	aslr_unwind__sample(ut->unwind, &attr, &ut->sample, &frames);
	TEST_ASSERT_EQUAL("without stack", (int)frames.nr, 0);
	unwind_test__exit();
	return ret;
}

/* No more than readers show, and than there is room for. */
static int test__aslr_unwind_limits(struct test_suite *t __maybe_unused,
				    int subtest __maybe_unused)
{
	struct aslr_frames frames;
	unsigned int all;
	int ret;

	if (unwind_test__init() || unwind_test__maps(AS_IT_IS) || take_sample(DEPTH - 1))
		return TEST_FAIL;

	all = frames_of(getpid(), &frames);
	pr_debug("%u frames\n", all);
	TEST_ASSERT_VAL("too many", all <= ASLR_MAX_FRAMES);
	TEST_ASSERT_VAL("too few", all > 20);
	/* The first is in what takes the sample. */
	ret = check_frames(&frames, all - 1);

	for (u64 size = ut->sample.user_stack.size; size; size = size / 2 & ~7ULL) {
		ut->sample.user_stack.size = size;
		frames_of(getpid(), &frames);
		if (frames.nr > all ||
		    frames.nr > hweight64(ut->sample.user_regs.mask) + size / sizeof(u64)) {
			pr_debug("%u frames in %" PRIu64 " bytes\n", frames.nr, size);
			ret = TEST_FAIL;
		}
		all = frames.nr;
	}
	TEST_ASSERT_VAL("as many in nothing", all < 20);
	unwind_test__exit();
	return ret;
}

/* A record of the build-id of perf itself, which differs from the file's if @wrong. */
static int tell_build_id(bool wrong)
{
	union perf_event *event = zalloc(sizeof(*event));
	struct perf_sample none = { .cpumode = PERF_RECORD_MISC_CPUMODE_UNKNOWN };
	struct build_id bid;

	TEST_ASSERT_VAL("out of memory", event);
	if (filename__read_build_id(ut->exe, &bid) <= 0) {
		free(event);
		return TEST_SKIP;
	}
	event->header.type = PERF_RECORD_HEADER_BUILD_ID;
	event->header.misc = PERF_RECORD_MISC_USER | PERF_RECORD_MISC_BUILD_ID_SIZE;
	event->header.size = sizeof(event->build_id) + strlen(ut->exe) + 1;
	event->build_id.size = bid.size;
	memcpy(event->build_id.data, bid.data, bid.size);
	event->build_id.data[0] ^= wrong;
	memcpy(event->build_id.filename, ut->exe, strlen(ut->exe) + 1);
	aslr_unwind__record(ut->unwind, event, &none);
	free(event);
	return TEST_OK;
}

static int test__aslr_unwind_binaries(struct test_suite *t __maybe_unused,
				      int subtest __maybe_unused)
{
	static const struct {
		const char	*name;
		enum self	self;
		/* Tell the build-id that it has, or another. */
		bool		right;
		bool		wrong;
		/* Of the binary, NULL for nothing. */
		const char	*told;
	} rows[] = {
		{ .name = "right build-id", .right = true },
		{ .name = "wrong build-id", .wrong = true, .told = "differs (1)" },
		{ .name = "wrong build-id of a map", .self = DIFFERS, .told = "differs (1)" },
		{ .name = "missing", .self = MISSING, .told = "missing (1)" },
	};
	int ret = TEST_OK;

	for (unsigned int i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct aslr_unwind_stats *stats;
		struct aslr_frames frames;
		char *text = NULL;
		char told[PATH_MAX + 32];
		size_t size;
		FILE *fp;

		if (unwind_test__init())
			return TEST_FAIL;
		if ((rows[i].right || rows[i].wrong) &&
		    tell_build_id(rows[i].wrong) == TEST_SKIP) {
			pr_debug("%s has no build-id\n", ut->exe);
			unwind_test__exit();
			continue;
		}
		if (unwind_test__maps(rows[i].self) || take_sample(5))
			return TEST_FAIL;

		frames_of(getpid(), &frames);
		stats = aslr_unwind__stats(ut->unwind);
		/* libunwind has the address that the sample is of in any case. */
		if ((rows[i].told ? frames.nr > 1 : !frames.nr) ||
		    !rows[i].told != !stats->nr_cut) {
			pr_debug("%s: %u frames, %" PRIu64 " cut\n", rows[i].name, frames.nr,
				 stats->nr_cut);
			ret = TEST_FAIL;
		}

		fp = open_memstream(&text, &size);
		TEST_ASSERT_VAL("out of memory", fp);
		aslr_unwind__report(ut->unwind, fp);
		fclose(fp);
		scnprintf(told, sizeof(told), "%s %s",
			  rows[i].self == MISSING ? "/-" : ut->exe, rows[i].told ?: "");
		if (rows[i].told ? !strstr(text, told) : *text) {
			pr_debug("%s: told '%s'\n", rows[i].name, text);
			ret = TEST_FAIL;
		}
		free(text);
		unwind_test__exit();
	}
	return ret;
}

static void tell_task(u32 type, pid_t pid, pid_t ppid)
{
	struct perf_sample none = { .cpumode = PERF_RECORD_MISC_CPUMODE_UNKNOWN };
	union perf_event event = {
		.fork = {
			.header = { .type = type, .size = sizeof(event.fork) },
			.pid = pid, .tid = pid, .ppid = ppid, .ptid = ppid,
		},
	};

	aslr_unwind__record(ut->unwind, &event, &none);
}

static int test__aslr_unwind_tasks(struct test_suite *t __maybe_unused,
				   int subtest __maybe_unused)
{
	struct aslr_frames frames;

	if (unwind_test__init() || unwind_test__maps(AS_IT_IS) || take_sample(5))
		return TEST_FAIL;

	TEST_ASSERT_EQUAL("who is that", (int)frames_of(CHILD, &frames), 0);
	tell_task(PERF_RECORD_FORK, CHILD, getpid());
	frames_of(CHILD, &frames);
	TEST_ASSERT_EQUAL("child", check_frames(&frames, 6), TEST_OK);
	tell_task(PERF_RECORD_EXIT, CHILD, getpid());
	TEST_ASSERT_EQUAL("child that is gone", (int)frames_of(CHILD, &frames), 0);
	frames_of(getpid(), &frames);
	TEST_ASSERT_EQUAL("parent", check_frames(&frames, 6), TEST_OK);
	unwind_test__exit();
	return TEST_OK;
}

static int test__aslr_unwind_arch(struct test_suite *t __maybe_unused, int subtest __maybe_unused)
{
	static const char * const archs[] = { "s390x", "mips", "no arch" };
	struct aslr_frames frames;

	for (unsigned int i = 0; i < ARRAY_SIZE(archs); i++) {
		if (unwind_test__init() || unwind_test__maps(AS_IT_IS) || take_sample(5))
			return TEST_FAIL;
		ut->env.arch = strdup(archs[i]);
		TEST_ASSERT_VAL(archs[i], !frames_of(getpid(), &frames));
		unwind_test__exit();
	}
	return TEST_OK;
}

/* What no recorder would write, but a file can hold. */
static int test__aslr_unwind_lies(struct test_suite *t __maybe_unused, int subtest __maybe_unused)
{
	struct perf_sample none = { .cpumode = PERF_RECORD_MISC_USER };
	u64 *regs, *stack, good_mask, nr_regs, nr_words;
	union perf_event *event = zalloc(sizeof(*event));
	u64 some_regs[64], *some_stack;
	struct aslr_frames frames;
	int ret = TEST_OK;

	TEST_ASSERT_VAL("out of memory", event);
	if (unwind_test__init() || unwind_test__maps(AS_IT_IS) || take_sample(50))
		return TEST_FAIL;
	regs = ut->sample.user_regs.regs;
	stack = (u64 *)ut->sample.user_stack.data;
	good_mask = ut->sample.user_regs.mask;
	nr_regs = hweight64(good_mask);
	nr_words = ut->sample.user_stack.size / sizeof(u64);
	some_stack = malloc(nr_words * sizeof(u64));
	TEST_ASSERT_VAL("out of memory", some_stack);
	srand(1);

	for (unsigned int i = 0; i < 400; i++) {
		for (unsigned int r = 0; r < ARRAY_SIZE(some_regs); r++)
			some_regs[r] = r < nr_regs ? regs[r] : (u64)rand() << 32 | rand();
		memcpy(some_stack, stack, nr_words * sizeof(u64));
		/* A few words that point anywhere, often to where others do. */
		for (unsigned int n = rand() % 20; n; n--) {
			u64 word = rand() % 2 ? stack[rand() % nr_words] + rand() % 16 :
						(u64)rand() << (rand() % 34);

			if (rand() % 3)
				some_stack[rand() % nr_words] = word;
			else
				some_regs[rand() % nr_regs] = word;
		}
		ut->sample.user_regs.regs = some_regs;
		ut->sample.user_regs.mask = rand() % 4 ? good_mask :
					    good_mask ^ (1ULL << rand() % 64);
		ut->sample.user_regs.abi = rand() % 4;
		ut->sample.user_stack.data = (char *)some_stack;
		ut->sample.user_stack.size = rand() % 4 ? nr_words * sizeof(u64) :
					     rand() % (nr_words * sizeof(u64));
		if (frames_of(getpid(), &frames) > ASLR_MAX_FRAMES)
			ret = TEST_FAIL;
	}
	ut->sample.user_regs.regs = regs;
	ut->sample.user_stack.data = (char *)stack;
	free(some_stack);

	/* Maps that end before they begin, or have more build-id than there is. */
	event->mmap2 = (struct perf_record_mmap2) {
		.header = { .type = PERF_RECORD_MMAP2, .misc = PERF_RECORD_MISC_USER,
			    .size = sizeof(event->mmap2) },
		.pid = CHILD, .tid = CHILD, .start = -4096ULL, .len = 8192, .filename = "/x",
	};
	aslr_unwind__record(ut->unwind, event, &none);
	event->mmap2.len = 0;
	aslr_unwind__record(ut->unwind, event, &none);
	event->mmap2.start = 4096;
	event->mmap2.len = 4096;
	event->mmap2.build_id_size = 255;
	event->header.misc |= PERF_RECORD_MISC_MMAP_BUILD_ID;
	aslr_unwind__record(ut->unwind, event, &none);
	memset(event->mmap2.filename, 'x', sizeof(event->mmap2.filename));
	event->mmap2.build_id_size = 20;
	aslr_unwind__record(ut->unwind, event, &none);
	free(event);
	unwind_test__exit();
	return ret;
}
#else
#define SKIPPED(_name)								\
static int test__##_name(struct test_suite *t __maybe_unused, int subtest __maybe_unused) \
{										\
	return TEST_SKIP;							\
}

SKIPPED(aslr_unwind_frames)
SKIPPED(aslr_unwind_limits)
SKIPPED(aslr_unwind_binaries)
SKIPPED(aslr_unwind_tasks)
SKIPPED(aslr_unwind_arch)
SKIPPED(aslr_unwind_lies)
#endif

static struct test_case tests__aslr_unwind[] = {
	TEST_CASE_REASON("aslr frames of a user stack", aslr_unwind_frames, "no unwinder"),
	TEST_CASE_REASON("aslr limits of frames", aslr_unwind_limits, "no unwinder"),
	TEST_CASE_REASON("aslr binaries of frames", aslr_unwind_binaries, "no unwinder"),
	TEST_CASE_REASON("aslr tasks of user stacks", aslr_unwind_tasks, "no unwinder"),
	TEST_CASE_REASON("aslr user stacks elsewhere", aslr_unwind_arch, "no unwinder"),
	TEST_CASE_REASON("aslr user stacks that lie", aslr_unwind_lies, "no unwinder"),
	{ .name = NULL, }
};

struct test_suite suite__aslr_unwind = {
	.desc = "aslr user stacks",
	.test_cases = tests__aslr_unwind,
};
