// SPDX-License-Identifier: GPL-2.0
/*
 * Rewriting of tracing data, see aslr-tracing.h.
 */
#include "aslr-tracing.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <asm/byteorder.h>
#include <linux/types.h>
#include "aslr-attr.h"
#include "aslr-header.h"
#include "aslr-spaces.h"
#include "machine.h"

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

static void read_files(struct tracing *t, const struct aslr_tracing_reader *reader, void *arg,
		       const char *system)
{
	for (u32 nr = take_u32(t); nr && !t->bad; nr--) {
		u64 size = take_u64(t);
		char *text = take(t, size);

		if (text && reader)
			reader->format(arg, system, text, size);
	}
}

/* What is before kernel symbols.  Returns the version. */
static double read_formats(struct tracing *t, const struct aslr_tracing_reader *reader, void *arg)
{
	const char *version, *bigendian, *long_size;
	u32 page_size;
	char *text;
	u64 size;

	expect(t, "\027\010Dtracing", 10);
	version = take_string(t);
	bigendian = take(t, 1);
	if (bigendian && *bigendian != HOST_BIGENDIAN)
		t->bad = true;
	long_size = take(t, 1);
	page_size = take_u32(t);
	expect(t, "header_page", sizeof("header_page"));
	size = take_u64(t);
	text = take(t, size);
	if (text && reader)
		reader->header_page(arg, text, size, *long_size, page_size);
	expect(t, "header_event", sizeof("header_event"));
	take(t, take_u64(t));
	/* formats of ftrace events, and of the events of each system */
	read_files(t, reader, arg, "ftrace");
	for (u32 nr = take_u32(t); nr && !t->bad; nr--) {
		const char *system = take_string(t);

		read_files(t, reader, arg, system);
	}
	return atof(version);
}

int aslr_tracing__read(const struct aslr_tracing_reader *reader, void *arg, const void *buf,
		       size_t size)
{
	struct tracing t = { .pos = (void *)buf, .end = (void *)buf + size };

	read_formats(&t, reader, arg);
	return t.bad ? -EINVAL : 0;
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

/* A line of printk formats, "0xADDRESS : FORMAT", of @size bytes: the address in as many digits. */
static int rewrite_printk_line(struct aslr_attrs *attrs, char *line, size_t size)
{
	struct aslr_space *kernel = aslr_spaces__kernel(attrs->spaces, HOST_KERNEL_ID);
	size_t start = size > 2 && !strncmp(line, "0x", 2) ? 2 : 0, nr = 0;
	char digits[17];
	u64 image;
	int err;

	if (!kernel)
		return -ENOMEM;

	while (start + nr < size && isxdigit(line[start + nr]))
		nr++;
	if (nr && nr < sizeof(digits)) {
		memcpy(digits, line + start, nr);
		digits[nr] = '\0';
		err = aslr_space__translate(kernel, strtoull(digits, NULL, 16), &image);
		if (err)
			return err;
		for (size_t i = nr; i; i--, image >>= 4)
			line[start + i - 1] = "0123456789abcdef"[image & 0xf];
		/* It doesn't fit: nothing will find it. */
		if (image)
			memset(line + start, '0', nr);
		start += nr;
	}
	aslr_header__rewrite_text(attrs, line + start, size - start);
	return 0;
}

static int rewrite_printk(struct aslr_attrs *attrs, struct tracing *t)
{
	u32 size = take_u32(t);
	char *pos = take(t, size), *end = pos + size;
	int err = 0;

	while (pos && pos < end && !err) {
		char *newline = memchr(pos, '\n', end - pos) ?: end;

		err = rewrite_printk_line(attrs, pos, newline - pos);
		pos = newline + 1;
	}
	return err;
}

int aslr_tracing__rewrite(struct aslr_attrs *attrs, void *buf, size_t *size)
{
	struct tracing t = { .pos = buf, .end = buf + *size };
	double version = read_formats(&t, /*reader=*/NULL, /*arg=*/NULL);
	void *text;
	u64 len;
	int err;

	/* kernel symbols */
	remove_u32(&t);
	err = rewrite_printk(attrs, &t);
	if (err)
		return err;
	/* names of tasks */
	if (version >= 0.6) {
		len = take_u64(&t);
		text = take(&t, len);
		if (text)
			aslr_header__rewrite_text(attrs, text, len);
	}
	if (t.bad)
		return -EINVAL;
	*size = t.pos - (char *)buf;
	return 0;
}
