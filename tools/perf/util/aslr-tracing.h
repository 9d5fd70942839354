/* SPDX-License-Identifier: GPL-2.0 */
#ifndef __PERF_ASLR_TRACING_H
#define __PERF_ASLR_TRACING_H

#include <stddef.h>

struct aslr_header;

/*
 * Rewrite tracing data, @buf of *@size bytes as trace_report() reads it, in
 * place: the formats of events stay, kernel symbols and printk formats, which
 * begin with their addresses, go, and text loses its addresses.  *@size gets
 * less accordingly.  0, or -EINVAL if it isn't tracing data of this byte order.
 */
int aslr_tracing__rewrite(struct aslr_header *header, void *buf, size_t *size);

#endif /* __PERF_ASLR_TRACING_H */
