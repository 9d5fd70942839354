// SPDX-License-Identifier: GPL-2.0
/*
 * That all references are put once is tested by running perf in a build with
 * -fsanitize=address. Here is the test of that test: make each mistake in a child
 * and expect the report of the sanitizer.
 */
#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>
#include <sys/wait.h>
#include <linux/compiler.h>
#include <linux/kernel.h>
#include "debug.h"
#include "dso.h"
#include "map.h"
#include "maps.h"
#include "tests.h"

/* Not REFCNT_CHECKING, the lack of which is to be noticed. */
#if defined(__SANITIZE_ADDRESS__)
#define ADDRESS_IS_SANITIZED
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ADDRESS_IS_SANITIZED
#endif
#endif

#ifdef ADDRESS_IS_SANITIZED
#include <sanitizer/common_interface_defs.h>
#include <sanitizer/lsan_interface.h>

static void map__no_mistake(struct map *map)
{
	struct map *copy = map__get(map);

	map__start(copy);
	map__put(copy);
}

static void map__miss_put(struct map *map)
{
	map__get(map);
}

static void map__put_twice(struct map *map)
{
	struct map *copy = map__get(map);

	map__put(copy);
	map__put(copy);
}

static void map__use_after_put(struct map *map)
{
	struct map *copy = map__get(map);

	map__put(copy);
	map__start(copy);
}

static void maps__no_mistake(struct maps *maps)
{
	struct maps *copy = maps__get(maps);

	maps__empty(copy);
	maps__put(copy);
}

static void maps__miss_put(struct maps *maps)
{
	maps__get(maps);
}

static void maps__put_twice(struct maps *maps)
{
	struct maps *copy = maps__get(maps);

	maps__put(copy);
	maps__put(copy);
}

static void maps__use_after_put(struct maps *maps)
{
	struct maps *copy = maps__get(maps);

	maps__put(copy);
	maps__empty(copy);
}

static const struct mistake {
	const char *what;
	void (*map)(struct map *map);
	void (*maps)(struct maps *maps);
	/* What the report has in it, NULL for no report. */
	const char *report;
} mistakes[] = {
	{ "no mistake",    map__no_mistake,    maps__no_mistake,    NULL },
	{ "missed put",    map__miss_put,      maps__miss_put,      "detected memory leaks" },
	{ "double put",    map__put_twice,     maps__put_twice,     "heap-use-after-free" },
	{ "use after put", map__use_after_put, maps__use_after_put, "heap-use-after-free" },
};

static noinline void make_map_mistake(const struct mistake *mistake)
{
	struct map *map = dso__new_map("mistake");

	mistake->map(map);
	map__put(map);
}

static noinline void make_maps_mistake(const struct mistake *mistake)
{
	struct maps *maps = maps__new(NULL);

	mistake->maps(maps);
	maps__put(maps);
}

/* A pointer that a function left behind on the stack would be a reference to LeakSanitizer. */
static noinline void clear_stack(void)
{
	char stack[16384];

	memset(stack, 0, sizeof(stack));
	OPTIMIZER_HIDE_VAR(stack[0]);
}

/* In a child: its report goes to fd, wherever the options say that reports go. */
static void __noreturn make_mistake(const struct mistake *mistake,
				    void (*make)(const struct mistake *mistake), int fd)
{
	signal(SIGABRT, SIG_DFL);
	signal(SIGSEGV, SIG_DFL);
	__sanitizer_set_report_fd((void *)(uintptr_t)fd);
	make(mistake);
	clear_stack();
	_exit(__lsan_do_recoverable_leak_check() ? 1 : 0);
}

static void read_report(int fd, char *report, size_t size)
{
	size_t len = 0;

	while (true) {
		char rest[512];
		ssize_t n = len < size - 1 ? read(fd, report + len, size - 1 - len)
					   : read(fd, rest, sizeof(rest));

		if (n <= 0)
			break;
		if (len < size - 1)
			len += n;
	}
	report[len] = '\0';
}

static int check_mistake(const struct mistake *mistake,
			 void (*make)(const struct mistake *mistake))
{
	char report[8192];
	int fds[2], status;
	pid_t pid;

	TEST_ASSERT_VAL("failed to create a pipe", !pipe(fds));
	pid = fork();
	TEST_ASSERT_VAL("failed to fork", pid >= 0);
	if (!pid)
		make_mistake(mistake, make, fds[1]);

	close(fds[1]);
	read_report(fds[0], report, sizeof(report));
	close(fds[0]);
	TEST_ASSERT_VAL("failed to wait", waitpid(pid, &status, 0) == pid);
	pr_debug("%s: status %#x\n%s\n", mistake->what, status, report);

	/* As in a debugger, or in a container that doesn't let it trace. */
	if (strstr(report, "LeakSanitizer has encountered a fatal error"))
		return TEST_SKIP;

	if (!mistake->report)
		return !status && !report[0] ? TEST_OK : TEST_FAIL;

	return status && strstr(report, mistake->report) ? TEST_OK : TEST_FAIL;
}

static int check_mistakes(void (*make)(const struct mistake *mistake))
{
	for (size_t i = 0; i < ARRAY_SIZE(mistakes); i++) {
		int ret = check_mistake(&mistakes[i], make);

		if (ret != TEST_OK) {
			pr_debug("%s: %s\n", mistakes[i].what,
				 ret == TEST_SKIP ? "no leak checking" : "wrong report");
			return ret;
		}
	}
	return TEST_OK;
}

static int test__refcnt_map(struct test_suite *t __maybe_unused, int subtest __maybe_unused)
{
	return check_mistakes(make_map_mistake);
}

static int test__refcnt_maps(struct test_suite *t __maybe_unused, int subtest __maybe_unused)
{
	return check_mistakes(make_maps_mistake);
}
#else
static int test__refcnt_map(struct test_suite *t __maybe_unused, int subtest __maybe_unused)
{
	return TEST_SKIP;
}

static int test__refcnt_maps(struct test_suite *t __maybe_unused, int subtest __maybe_unused)
{
	return TEST_SKIP;
}
#endif

#define REASON	"no reference count checking, build with -fsanitize=address"

static struct test_case tests__maps_refcnt[] = {
	TEST_CASE_REASON("maps, mistakes with references to a map are noticed", refcnt_map, REASON),
	TEST_CASE_REASON("maps, mistakes with references to maps are noticed", refcnt_maps, REASON),
	{	.name = NULL, }
};

struct test_suite suite__maps_refcnt = {
	.desc = "maps, reference count checking",
	.test_cases = tests__maps_refcnt,
};
