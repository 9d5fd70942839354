/* SPDX-License-Identifier: GPL-2.0 */
#ifndef __PERF_ASLR_PAYLOAD_H
#define __PERF_ASLR_PAYLOAD_H

#include <stddef.h>
#include <linux/types.h>

/*
 * Rewriting of the raw payloads of tracepoints.
 *
 * What an event's format says of its fields, their types and how they are
 * printed, becomes once a table of what to do with each; by that table payloads
 * are rewritten in place.  Which numbers are taken for addresses:
 *
 *  - A pointer is one, and so is an integer that is printed as a pointer or as a
 *    symbol, or that has the name of an address.
 *  - An unsigned long that isn't printed as a decimal number or as flags is one
 *    in the kernel's half, from 4 GiB on, and where it names something known: a
 *    mapping of the task, or a page that an address was on before.  Below 4 GiB it
 *    is one as well from 16 MiB on in a 32-bit task, or one that may be so as its
 *    records are lost, and where the heap of a program at a fixed address may be.
 *  - A 64-bit number that is printed in hexadecimal is one in the kernel's half,
 *    near to something known (see aslr_space__is_near()), and where it names that.
 *  - Any other 64-bit number (decimal, size_t, flags) is one in the kernel's half,
 *    and from 4 GiB on if it names something known.
 *
 * The kernel's half is without its last 2 MiB and the 2 GiB from 4 GiB before its
 * end: there is nothing, but negative numbers are.  Decimal ones are taken for
 * numbers in the last 2 GiB, too, if they don't name anything known.  Elements of
 * arrays are judged like fields.  Numbers of pages, and addresses of memory and
 * devices, are told by names and types.
 *
 * Numbers of 4 bytes are addresses in kernels of 32 bits by the same rules.  In
 * others they are none, but for the arguments of probes: in a task that has 32 bits or
 * may have, and there from 16 MiB on.
 *
 * Arrays of smaller elements are memory, in which addresses are at any offset: 8
 * bytes in the kernel's half, near to something known, or, in arguments of probes,
 * below 4 GiB as an unsigned long is; and 4 bytes where a long has as many, or the
 * task of a probe.  It is rewritten if no other bytes that overlap could be one as
 * well: what is in a mapping goes before what is on a multiple of 8, that before all
 * else, and what few kernels have comes last.  An array for which that decides nothing
 * becomes zeros, and so does what is left of an address at the edges of memory that a
 * probe read.
 *
 * In strings, and in such arrays, hexadecimal numbers by which something known could
 * be found become zeros.  What no field covers becomes zeros.  At last no 8 bytes at
 * any offset may name something known: if some do, those of them that are memory, as
 * the rest of an address at the edge of an array, become zeros, and if that isn't
 * enough the payload is refused.
 *
 * No locks, see aslr-space.h.
 */

struct aslr_payload;
struct aslr_payloads;
struct aslr_view;
struct tep_event;

/*
 * The table for payloads of @event, which isn't needed any more afterwards.  @arch,
 * as uname() has it, tells the numbers of system calls; it may be NULL.  NULL
 * when out of memory, or if the format is none that can be followed (fields that
 * overlap, no common_type, a long that isn't of 4 or 8 bytes).
 */
struct aslr_payload *aslr_payload__new(const struct tep_event *event, const char *arch);
void aslr_payload__delete(struct aslr_payload *payload);

/* An aslr_payload_fn, see aslr-sample.h.  @data needs no alignment. */
int aslr_payload__rewrite(const struct aslr_payload *payload, struct aslr_view *view, void *data,
			  u32 size, u64 *nr_addrs);

/*
 * The tables for all formats in tracing data, @size bytes at @buf, that was recorded
 * on @arch, as for aslr_payload__new().  A format that
 * can't be parsed is left out; so are all that follow what isn't tracing data.
 * NULL when out of memory.
 */
struct aslr_payloads *aslr_payloads__new(const void *buf, size_t size, const char *arch);
void aslr_payloads__delete(struct aslr_payloads *payloads);

/* The table for events of the number @id, owned by @payloads, which may be NULL.  Or NULL. */
const struct aslr_payload *aslr_payloads__find(const struct aslr_payloads *payloads, u64 id);

#endif /* __PERF_ASLR_PAYLOAD_H */
