// SPDX-License-Identifier: GPL-2.0
/*
 * Progress on a line of the terminal that stderr is, for who has no other user
 * interface.
 */
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <unistd.h>
#include <linux/kernel.h>
#include <linux/time64.h>
#include "../progress.h"
#include "../../util/debug.h"
#include "../../util/time-utils.h"
#include "../../util/units.h"

/* Short runs show nothing, and others don't flicker. */
#define FIRST_NS	(1 * NSEC_PER_SEC)
#define NEXT_NS		(NSEC_PER_SEC / 5)

static u64 start_ns;
static u64 next_ns;
/* How long the line is that is on the screen. */
static int shown;

static void scnprintf_nr(const struct ui_progress *p, u64 nr, char *buf, size_t size)
{
	if (p->size)
		unit_number__scnprintf(buf, size, nr);
	else
		scnprintf(buf, size, "%" PRIu64, nr);
}

int stdio_progress__scnprintf(const struct ui_progress *p, u64 ns, char *buf, size_t size)
{
	double rate = ns ? p->curr * (double)NSEC_PER_SEC / ns : 0;
	char curr[24], total[24], speed[24];
	u64 left;
	int ret;

	if (!p->total || !p->curr || p->curr > p->total || rate < 1)
		return scnprintf(buf, size, "%s", p->title);

	scnprintf_nr(p, p->curr, curr, sizeof(curr));
	scnprintf_nr(p, p->total, total, sizeof(total));
	scnprintf_nr(p, rate, speed, sizeof(speed));
	left = (p->total - p->curr) / rate + 0.5;

	ret = scnprintf(buf, size, "%s %3d%%, %s of %s, %s/s, ", p->title,
			(int)(100.0 * p->curr / p->total), curr, total, speed);
	if (left >= 60)
		ret += scnprintf(buf + ret, size - ret, "%" PRIu64 " min ", left / 60);
	return ret + scnprintf(buf + ret, size - ret, "%" PRIu64 " s left", left % 60);
}

static void stdio_progress__start(struct ui_progress *p)
{
	start_ns = rdclock();
	next_ns = start_ns + FIRST_NS;
	p->step = p->total / 1000 ?: 1;
	p->next = p->step;
}

/* The cursor is left at the start of the line, for what else is printed. */
static void stdio_progress__update(struct ui_progress *p)
{
	u64 now = rdclock();
	char buf[80];
	int len;

	if (now < next_ns)
		return;
	next_ns = now + NEXT_NS;
	len = stdio_progress__scnprintf(p, now - start_ns, buf, sizeof(buf));
	fprintf(stderr, "%s%*s\r", buf, max(shown - len, 0), "");
	fflush(stderr);
	shown = len;
}

static void stdio_progress__finish(void)
{
	if (!shown)
		return;
	fprintf(stderr, "%*s\r", shown, "");
	fflush(stderr);
	shown = 0;
}

static struct ui_progress_ops stdio_progress__ops = {
	.init   = stdio_progress__start,
	.update = stdio_progress__update,
	.finish = stdio_progress__finish,
};

void stdio_progress__init(void)
{
	/* Among messages a line can't be kept, and not on what has no lines to rewrite. */
	if (isatty(STDERR_FILENO) && verbose <= 0 && !quiet && !dump_trace)
		ui_progress__ops = &stdio_progress__ops;
}
