// SPDX-License-Identifier: GPL-2.0
/*
 * Rewriting of tracing data, see aslr-tracing.h.
 */
#include "aslr-tracing.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <asm/byteorder.h>
#include <linux/types.h>
#include "aslr-header.h"

#ifdef __LITTLE_ENDIAN
#define HOST_BIGENDIAN	0
#else
#define HOST_BIGENDIAN	1
#endif

/* Tracing data being read; once something doesn't fit, nothing does. */
struct tracing {
	char	*pos;
	char	*end;
	bool	bad;
};

static void *take(struct tracing *t, u64 size)
{
	void *pos = t->pos;

	if (t->bad || size > (u64)(t->end - t->pos)) {
		t->bad = true;
		return NULL;
	}
	t->pos += size;
	return pos;
}

static void expect(struct tracing *t, const char *bytes, size_t size)
{
	const void *pos = take(t, size);

	t->bad = t->bad || memcmp(pos, bytes, size);
}

static const char *take_string(struct tracing *t)
{
	const char *str = t->pos;
	const char *nul = t->bad ? NULL : memchr(t->pos, '\0', t->end - t->pos);

	if (!nul) {
		t->bad = true;
		return "";
	}
	t->pos += nul + 1 - str;
	return str;
}

static u32 take_u32(struct tracing *t)
{
	const void *pos = take(t, sizeof(u32));
	u32 value = 0;

	if (pos)
		memcpy(&value, pos, sizeof(value));
	return value;
}

static u64 take_u64(struct tracing *t)
{
	const void *pos = take(t, sizeof(u64));
	u64 value = 0;

	if (pos)
		memcpy(&value, pos, sizeof(value));
	return value;
}

static void skip_files(struct tracing *t)
{
	for (u32 nr = take_u32(t); nr && !t->bad; nr--)
		take(t, take_u64(t));
}

/* Remove what has its size in the u32 before it. */
static void remove_u32(struct tracing *t)
{
	char *start = t->pos;

	take(t, take_u32(t));
	if (t->bad)
		return;
	memset(start, 0, sizeof(u32));
	memmove(start + sizeof(u32), t->pos, t->end - t->pos);
	t->end -= t->pos - (start + sizeof(u32));
	t->pos = start + sizeof(u32);
}

int aslr_tracing__rewrite(struct aslr_header *header, void *buf, size_t *size)
{
	struct tracing t = { .pos = buf, .end = buf + *size };
	const char *version, *bigendian;
	void *text;
	u64 len;

	expect(&t, "\027\010Dtracing", 10);
	version = take_string(&t);
	bigendian = take(&t, 1);
	if (!bigendian || *bigendian != HOST_BIGENDIAN)
		return -EINVAL;
	/* size of long, size of a page */
	take(&t, 1 + sizeof(u32));
	expect(&t, "header_page", sizeof("header_page"));
	take(&t, take_u64(&t));
	expect(&t, "header_event", sizeof("header_event"));
	take(&t, take_u64(&t));
	/* formats of ftrace events, and of the events of each system */
	skip_files(&t);
	for (u32 nr = take_u32(&t); nr && !t.bad; nr--) {
		take_string(&t);
		skip_files(&t);
	}
	/* kernel symbols, printk formats */
	remove_u32(&t);
	remove_u32(&t);
	/* names of tasks */
	if (atof(version) >= 0.6) {
		len = take_u64(&t);
		text = take(&t, len);
		if (text)
			aslr_header__rewrite_text(header, text, len);
	}
	if (t.bad)
		return -EINVAL;
	*size = t.pos - (char *)buf;
	return 0;
}
