/* SPDX-License-Identifier: GPL-2.0 */
#ifndef __PERF_ASLR_TRACING_H
#define __PERF_ASLR_TRACING_H

#include <stddef.h>

struct aslr_attrs;

/* What takes the parts of tracing data, with what else there is to know of them. */
struct aslr_tracing_reader {
	/* The format of a page of events, and the sizes of long and of pages in bytes. Or NULL. */
	void	(*header_page)(void *arg, char *text, size_t size, int long_size, int page_size);
	/* The format of an event of @system, which may be changed in place. Or NULL. */
	void	(*format)(void *arg, const char *system, char *text, size_t size);
};

/*
 * Give @reader, with @arg, the parts of tracing data, @size bytes at @buf, in
 * their order.  It may get some and then nothing: -EINVAL, if it isn't tracing
 * data of this byte order, or 0.
 */
int aslr_tracing__read(const struct aslr_tracing_reader *reader, void *arg, const void *buf,
		       size_t size);

/* Is it all there?  0, or what aslr_tracing__rewrite() would say to it: -EINVAL. */
int aslr_tracing__check(const void *buf, size_t size);

/*
 * Rewrite tracing data, @buf of *@size bytes as trace_report() reads it, in
 * place: the formats of events stay but for addresses in their names, kernel
 * symbols go, printk formats get the new addresses of their strings, by which
 * payloads name them, and text loses its addresses.  *@size gets less
 * accordingly.  0, -EINVAL if it isn't tracing data of this byte order, or an
 * error of aslr_space__translate().
 */
int aslr_tracing__rewrite(struct aslr_attrs *attrs, void *buf, size_t *size);

#endif /* __PERF_ASLR_TRACING_H */
