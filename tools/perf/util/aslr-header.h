/* SPDX-License-Identifier: GPL-2.0 */
#ifndef __PERF_ASLR_HEADER_H
#define __PERF_ASLR_HEADER_H

#include <stdbool.h>
#include <stddef.h>
#include <linux/types.h>
#include "aslr-policy.h"

struct aslr_attrs;

/*
 * What happens to the feature sections of the header.  The formats are those of
 * Documentation/perf.data-file-format.txt.
 */

struct aslr_feature {
	const char	*name;
	enum aslr_action action;
	/* Why it is safe, or what is lost with it, in words for the documentation. */
	const char	*why;
	/*
	 * Rewrite the section in place, and make *@size less if it gets shorter.
	 * 0, -EINVAL if the section isn't what it should be, or -ENOMEM.
	 */
	int		(*rewrite)(struct aslr_attrs *attrs, void *buf, size_t *size);
	/*
	 * What a section holds that has no @rewrite, nothing is known of what is behind it:
	 * numbers of 4 and of 8 bytes, s a string with its size before it, t the same but without
	 * addresses, b a bitmap with its number of bits before it, d bytes with their number
	 * before them, [] as often as the number before says.  C is the number of CPUs, 4 bytes,
	 * and c that number again, which takes none; where it isn't known nothing is behind it.
	 * In old profiles the section ends at a ?.
	 */
	const char	*layout;
};

/*
 * The row of a header feature, HEADER_*.  A feature that isn't known has a row
 * without a name, which says to drop it.
 */
const struct aslr_feature *aslr_feature__find(unsigned int feat);

/*
 * Rewrite the section of a feature that isn't dropped, @buf of *@size bytes, in place, and
 * make *@size less if it gets shorter.  0, -EINVAL if it isn't what it should be, or -ENOMEM.
 */
int aslr_feature__rewrite(const struct aslr_feature *feature, struct aslr_attrs *attrs,
			  void *buf, size_t *size);

/*
 * Rewrite hexadecimal numbers in text that may be addresses: those of attributes
 * become what they became there, if the @size bytes have room for it, others
 * that a space knows or that are above 4 GiB become zeros, and all from 64 KiB on
 * if the mappings are to come.  @text ends with a NUL or at @size, what is behind the NUL
 * becomes zeros.
 */
void aslr_header__rewrite_text(struct aslr_attrs *attrs, char *text, size_t size);

#endif /* __PERF_ASLR_HEADER_H */
