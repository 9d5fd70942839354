// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <internal/lib.h> // page_size
#include <linux/kernel.h>
#include <linux/zalloc.h>
#include <tools/libc_compat.h> // reallocarray
#include "debug.h"
#include "kcore-segments.h"
#include "symbol.h"

struct read_segment_args {
	struct kcore_segments *segments;
	const char *name;
	u64 file_size;
};

static int kcore_segments__add(struct kcore_segments *segments, u64 start, u64 end, u64 pgoff)
{
	if (segments->nr == segments->nr_allocated) {
		size_t nr = segments->nr_allocated ? segments->nr_allocated * 2 : 32;
		struct kcore_segment *entries = reallocarray(segments->entries, nr,
							     sizeof(*entries));

		if (!entries)
			return -ENOMEM;
		segments->entries = entries;
		segments->nr_allocated = nr;
	}
	segments->entries[segments->nr++] = (struct kcore_segment) {
		.start = start,
		.end = end,
		.pgoff = pgoff,
	};
	return 0;
}

/*
 * The first page is that of the headers. A segment that is behind the end of the
 * file isn't cut off: there are kcores with offsets that no read() gets to, like
 * what is below PAGE_OFFSET on riscv, and its other segments are fine.
 */
static bool is_cut_off(u64 len, u64 pgoff, u64 file_size)
{
	return pgoff >= page_size && pgoff < file_size && len > file_size - pgoff;
}

static int read_segment(u64 start, u64 len, u64 pgoff, void *data)
{
	struct read_segment_args *args = data;
	const char *what = NULL;

	if (!len)
		what = "is empty";
	else if (start + len <= start)
		what = "wraps around";
	else if (is_cut_off(len, pgoff, args->file_size))
		what = "is cut off by the end of the file";

	if (what) {
		pr_warning("Not using %s: the segment at %#" PRIx64 ", of %#" PRIx64
			   " bytes at offset %#" PRIx64 ", %s\n",
			   args->name, start, len, pgoff, what);
		return -EINVAL;
	}
	return kcore_segments__add(args->segments, start, start + len, pgoff);
}

static int kcore_segment__cmp(const void *va, const void *vb)
{
	const struct kcore_segment *a = va, *b = vb;

	if (a->start != b->start)
		return a->start < b->start ? -1 : 1;
	if (a->end != b->end)
		return a->end < b->end ? -1 : 1;
	return 0;
}

/* Do all that overlap have the same distance between address and offset? */
static int kcore_segments__check_overlaps(const struct kcore_segments *segments, const char *name)
{
	const struct kcore_segment *last = &segments->entries[0];

	for (size_t i = 1; i < segments->nr; i++) {
		const struct kcore_segment *pos = &segments->entries[i];

		if (pos->start < last->end &&
		    pos->start - pos->pgoff != last->start - last->pgoff) {
			pr_warning("Not using %s: the segments %#" PRIx64 "-%#" PRIx64
				   " at offset %#" PRIx64 " and %#" PRIx64 "-%#" PRIx64
				   " at offset %#" PRIx64 " overlap inconsistently\n", name,
				   last->start, last->end, last->pgoff,
				   pos->start, pos->end, pos->pgoff);
			return -EINVAL;
		}
		if (pos->end > last->end)
			last = pos;
	}
	return 0;
}

static const struct kcore_segment *
kcore_segments__find_smallest(const struct kcore_segments *segments, u64 addr)
{
	const struct kcore_segment *smallest = NULL;

	for (size_t i = 0; i < segments->nr; i++) {
		const struct kcore_segment *pos = &segments->entries[i];

		if (addr < pos->start || addr >= pos->end)
			continue;
		if (!smallest || pos->end - pos->start < smallest->end - smallest->start)
			smallest = pos;
	}
	return smallest;
}

/* Add what is left of segment without the part that is cut out of it. */
static int kcore_segments__add_without(struct kcore_segments *segments,
				       const struct kcore_segment *segment,
				       const struct kcore_segment *cut)
{
	u64 before_end = min(segment->end, cut->start);
	u64 after_start = max(segment->start, cut->end);
	int err = 0;

	if (segment->start < before_end)
		err = kcore_segments__add(segments, segment->start, before_end, segment->pgoff);
	if (!err && after_start < segment->end) {
		err = kcore_segments__add(segments, after_start, segment->end,
					  segment->pgoff + (after_start - segment->start));
	}
	return err;
}

/* Add what the segments in from make up, without overlaps, to segments. */
static int kcore_segments__merge(struct kcore_segments *segments,
				 const struct kcore_segments *from,
				 const struct kcore_segment *text)
{
	int err = kcore_segments__add(segments, text->start, text->end, text->pgoff);
	size_t i = 0;

	while (!err && i < from->nr) {
		struct kcore_segment merged = from->entries[i++];

		for (; i < from->nr && from->entries[i].start < merged.end; i++)
			merged.end = max(merged.end, from->entries[i].end);
		err = kcore_segments__add_without(segments, &merged, text);
	}
	if (!err) {
		qsort(segments->entries, segments->nr, sizeof(*segments->entries),
		      kcore_segment__cmp);
	}
	return err;
}

int kcore_segments__read(struct kcore_segments *segments, int fd, const char *name,
			 bool exe, u64 text, bool *is_64_bit)
{
	struct kcore_segments raw = { .nr = 0, };
	struct read_segment_args args = { .segments = &raw, .name = name, };
	const struct kcore_segment *text_segment;
	struct stat st;
	int err;

	memset(segments, 0, sizeof(*segments));
	if (!fstat(fd, &st))
		args.file_size = st.st_size;

	err = file__read_maps(fd, exe, read_segment, &args, is_64_bit);
	if (err == -ENOEXEC || (!err && !raw.nr)) {
		pr_warning("Not using %s: it has no program headers that can be read\n", name);
		err = -EINVAL;
	}
	if (err)
		goto out;

	qsort(raw.entries, raw.nr, sizeof(*raw.entries), kcore_segment__cmp);
	err = kcore_segments__check_overlaps(&raw, name);
	if (err)
		goto out;

	text_segment = kcore_segments__find_smallest(&raw, text);
	if (!text_segment) {
		pr_warning("Not using %s: the kernel at %#" PRIx64 " is in none of its segments\n",
			   name, text);
		err = -EINVAL;
		goto out;
	}

	err = kcore_segments__merge(segments, &raw, text_segment);
	if (err)
		kcore_segments__exit(segments);
out:
	kcore_segments__exit(&raw);
	return err;
}

void kcore_segments__exit(struct kcore_segments *segments)
{
	zfree(&segments->entries);
	segments->nr = 0;
	segments->nr_allocated = 0;
}
