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
#include <linux/types.h>
#include "aslr-attr.h"
#include "aslr-bytes.h"
#include "aslr-header.h"
#include "aslr-spaces.h"
#include "machine.h"
#include "util.h"

static void expect(struct aslr_bytes *t, const char *bytes, size_t size)
{
	const void *pos = aslr_bytes__take(t, size);

	t->bad = t->bad || memcmp(pos, bytes, size);
}

static const char *take_string(struct aslr_bytes *t)
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

static void read_files(struct aslr_bytes *t, const struct aslr_tracing_reader *reader, void *arg,
		       const char *system)
{
	for (u32 nr = aslr_bytes__take_u32(t); nr && !t->bad; nr--) {
		u64 size = aslr_bytes__take_u64(t);
		char *text = aslr_bytes__take(t, size);

		if (text && reader->format)
			reader->format(arg, system, text, size);
	}
}

/* What is before kernel symbols.  Returns the version. */
static double read_formats(struct aslr_bytes *t, const struct aslr_tracing_reader *reader,
			   void *arg)
{
	const char *version, *bigendian, *long_size;
	u32 page_size;
	char *text;
	u64 size;

	expect(t, "\027\010Dtracing", 10);
	version = take_string(t);
	bigendian = aslr_bytes__take(t, 1);
	if (bigendian && *bigendian != host_is_bigendian())
		t->bad = true;
	long_size = aslr_bytes__take(t, 1);
	page_size = aslr_bytes__take_u32(t);
	expect(t, "header_page", sizeof("header_page"));
	size = aslr_bytes__take_u64(t);
	text = aslr_bytes__take(t, size);
	if (text && reader->header_page)
		reader->header_page(arg, text, size, *long_size, page_size);
	expect(t, "header_event", sizeof("header_event"));
	aslr_bytes__take(t, aslr_bytes__take_u64(t));
	/* formats of ftrace events, and of the events of each system */
	read_files(t, reader, arg, "ftrace");
	for (u32 nr = aslr_bytes__take_u32(t); nr && !t->bad; nr--) {
		const char *system = take_string(t);

		read_files(t, reader, arg, system);
	}
	return atof(version);
}

int aslr_tracing__read(const struct aslr_tracing_reader *reader, void *arg, const void *buf,
		       size_t size)
{
	struct aslr_bytes t = { .pos = (void *)buf, .end = (void *)buf + size };

	read_formats(&t, reader, arg);
	return t.bad ? -EINVAL : 0;
}

int aslr_tracing__check(const void *buf, size_t size)
{
	static const struct aslr_tracing_reader reader;
	struct aslr_bytes t = { .pos = (void *)buf, .end = (void *)buf + size };
	double version = read_formats(&t, &reader, NULL);

	/* kernel symbols, printk formats, and names of tasks */
	aslr_bytes__take(&t, aslr_bytes__take_u32(&t));
	aslr_bytes__take(&t, aslr_bytes__take_u32(&t));
	if (version >= 0.6)
		aslr_bytes__take(&t, aslr_bytes__take_u64(&t));
	return t.bad ? -EINVAL : 0;
}

/* Remove what has its size in the u32 before it. */
static void remove_u32(struct aslr_bytes *t)
{
	char *start = t->pos;

	aslr_bytes__take(t, aslr_bytes__take_u32(t));
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

static int rewrite_printk(struct aslr_attrs *attrs, struct aslr_bytes *t)
{
	u32 size = aslr_bytes__take_u32(t);
	char *pos = aslr_bytes__take(t, size), *end = pos + size;
	int err = 0;

	while (pos && pos < end && !err) {
		char *newline = memchr(pos, '\n', end - pos) ?: end;

		err = rewrite_printk_line(attrs, pos, newline - pos);
		pos = newline + 1;
	}
	return err;
}

/* The name of an event, in the first line: that of a probe may spell its address. */
static void rewrite_format(void *arg, const char *system __maybe_unused, char *text, size_t size)
{
	char *newline = memchr(text, '\n', size);

	if (newline)
		aslr_header__rewrite_text(arg, text, newline - text);
}

int aslr_tracing__rewrite(struct aslr_attrs *attrs, void *buf, size_t *size)
{
	static const struct aslr_tracing_reader reader = { .format = rewrite_format };
	struct aslr_bytes t = { .pos = buf, .end = buf + *size };
	double version = read_formats(&t, &reader, attrs);
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
		len = aslr_bytes__take_u64(&t);
		text = aslr_bytes__take(&t, len);
		if (text)
			aslr_header__rewrite_text(attrs, text, len);
	}
	if (t.bad)
		return -EINVAL;
	*size = t.pos - (char *)buf;
	return 0;
}
