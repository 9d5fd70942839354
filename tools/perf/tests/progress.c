// SPDX-License-Identifier: GPL-2.0
#include <linux/kernel.h>
#include <linux/time64.h>
#include <string.h>
#include "debug.h"
#include "tests.h"
#include "../ui/progress.h"

static int test__stdio_progress(struct test_suite *test __maybe_unused,
				int subtest __maybe_unused)
{
	static const struct {
		struct ui_progress	p;
		u64			ns;
		const char		*line;
	} cases[] = {
		{
			{ .title = "T", .curr = 25 << 20, .total = 100 << 20, .size = true },
			5ULL * NSEC_PER_SEC, "T  25%, 25M of 100M, 5M/s, 15 s left",
		}, {
			{ .title = "T", .curr = 100 << 20, .total = 100 << 20, .size = true },
			NSEC_PER_SEC / 2, "T 100%, 100M of 100M, 200M/s, 0 s left",
		}, {
			{ .title = "T", .curr = 10, .total = 1000 },
			NSEC_PER_SEC, "T   1%, 10 of 1000, 10/s, 1 min 39 s left",
		}, {
			/* Some tell of more than there was to be, or of nothing yet. */
			{ .title = "T", .curr = 11, .total = 10 }, NSEC_PER_SEC, "T",
		}, {
			{ .title = "T", .curr = 0, .total = 10 }, NSEC_PER_SEC, "T",
		}, {
			{ .title = "T", .curr = 1, .total = 10 }, 0, "T",
		}, {
			{ .title = "T", .curr = 1, .total = 0 }, NSEC_PER_SEC, "T",
		}, {
			{ .title = "A title that is longer than all the room there is",
			  .curr = 1, .total = 2 },
			NSEC_PER_SEC,
			"A title that is longer than all the room there is  50%, 1 of 2",
		},
	};
	int ret = TEST_OK;

	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		char buf[63];
		int len = stdio_progress__scnprintf(&cases[i].p, cases[i].ns, buf, sizeof(buf));

		if (strcmp(buf, cases[i].line) || len != (int)strlen(buf)) {
			pr_debug("wanted '%s', got '%s'\n", cases[i].line, buf);
			ret = TEST_FAIL;
		}
	}
	return ret;
}

DEFINE_SUITE("Progress on a line", stdio_progress);
