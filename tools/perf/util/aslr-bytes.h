/* SPDX-License-Identifier: GPL-2.0 */
#ifndef __PERF_ASLR_BYTES_H
#define __PERF_ASLR_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <linux/types.h>

/* Bytes on the way to their end; once something doesn't fit, nothing does. */
struct aslr_bytes {
	char	*pos;
	char	*end;
	/* They ended too early. */
	bool	bad;
};

/* The next @size bytes, NULL if there are not so many. */
static inline void *aslr_bytes__take(struct aslr_bytes *bytes, u64 size)
{
	void *pos = bytes->pos;

	if (bytes->bad || size > (u64)(bytes->end - bytes->pos)) {
		bytes->bad = true;
		return NULL;
	}
	bytes->pos += size;
	return pos;
}

/* A number of the size that the name says, 0 if there is none. */
static inline u32 aslr_bytes__take_u32(struct aslr_bytes *bytes)
{
	const void *pos = aslr_bytes__take(bytes, sizeof(u32));
	u32 value = 0;

	if (pos)
		memcpy(&value, pos, sizeof(value));
	return value;
}

static inline u64 aslr_bytes__take_u64(struct aslr_bytes *bytes)
{
	const void *pos = aslr_bytes__take(bytes, sizeof(u64));
	u64 value = 0;

	if (pos)
		memcpy(&value, pos, sizeof(value));
	return value;
}

#endif /* __PERF_ASLR_BYTES_H */
