/* SPDX-License-Identifier: GPL-2.0 */
#ifndef __PERF_KCORE_SEGMENTS_H
#define __PERF_KCORE_SEGMENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <linux/types.h>

/* A range of kernel addresses, end is exclusive, and where it is in the file. */
struct kcore_segment {
	u64 start;
	u64 end;
	u64 pgoff;
};

/* What kcore has: sorted by address, without overlaps. */
struct kcore_segments {
	struct kcore_segment *entries;
	size_t nr;
	size_t nr_allocated;
};

/*
 * Read the segments of the kcore that fd is open for, those with code only if exe.
 * name is what messages call it. The smallest segment that contains the address
 * text is there as it is in the file. The others are merged where they overlap,
 * and cut where they overlap that one, so the order in the file doesn't matter.
 *
 * Segments that overlap must agree on where in the file an address is. If two
 * don't, or if a segment is empty, wraps around or is cut off by the end of the
 * file, or if none contains text, there is one warning and an error.
 *
 * Returns 0, and what kcore_segments__exit() frees, or a negative error code and
 * nothing to free: -EINVAL for a file as above, -ENOMEM, or -EOPNOTSUPP, without a
 * warning, if perf was built without libelf.
 */
int kcore_segments__read(struct kcore_segments *segments, int fd, const char *name,
			 bool exe, u64 text, bool *is_64_bit);
void kcore_segments__exit(struct kcore_segments *segments);

#endif /* __PERF_KCORE_SEGMENTS_H */
