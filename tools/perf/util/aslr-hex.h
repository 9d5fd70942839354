/* SPDX-License-Identifier: GPL-2.0 */
#ifndef __PERF_ASLR_HEX_H
#define __PERF_ASLR_HEX_H

#include <stdbool.h>
#include <linux/types.h>

/* The most digits that a number has. */
#define ASLR_HEX_DIGITS		16

/*
 * Hexadecimal numbers in a text that could be addresses: those of 5 to 16 digits
 * without leading zeros.  More digits in a row are a hash or an identifier, or
 * several numbers without a space between them: then any 16 of them, and any 12,
 * are a number, for so many have addresses of the kernel and of processes, if it is
 * where these are, or anywhere is asked for.
 */
struct aslr_hex {
	char		*text;
	/* Where to go on, and the end.  Who changes the length of the text adjusts both. */
	char		*pos;
	char		*end;
	/* What was found and where: so many digits without leading zeros, and what they say. */
	char		*at;
	unsigned int	nr;
	char		digits[ASLR_HEX_DIGITS + 1];
	u64		value;
	/* There is 0x before them. */
	bool		prefix;
	/* They are of more than 16 in a row, and where processes or kernels usually are. */
	bool		part;
	bool		usual;
	/* Parts that aren't there are numbers as well: an address that is known can be any. */
	bool		anywhere;
	/* More than 16 digits, and how many of them at a time are a number, or 0. */
	char		*run;
	char		*run_end;
	unsigned int	width;
};

/*
 * Find the next number, false if there is none.  All but the text, pos at its
 * beginning, its end and anywhere are 0 at first.  It goes on behind the number, or one digit
 * later if that is a part, unless pos is changed: who replaces the digits goes on
 * behind them.
 */
bool aslr_hex__next(struct aslr_hex *hex);

#endif /* __PERF_ASLR_HEX_H */
