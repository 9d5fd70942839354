// SPDX-License-Identifier: GPL-2.0
/*
 * Hexadecimal numbers in texts, see aslr-hex.h.
 */
#include "aslr-hex.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <linux/bits.h>

/* Fewer digits are no address. */
#define MIN_DIGITS	5
/* Those of a process' address. */
#define USER_DIGITS	12

/* User space that all 64-bit processes have, less where small numbers are, and most kernels. */
#define TIB		BIT_ULL(40)
#define USER_END	BIT_ULL(47)
#define CANONICAL_START	0xffff800000000000ULL

static void aslr_hex__found(struct aslr_hex *hex, char *pos, unsigned int nr)
{
	memcpy(hex->digits, pos, nr);
	hex->digits[nr] = '\0';
	hex->at = pos;
	hex->nr = nr;
	hex->value = strtoull(hex->digits, NULL, 16);
}

static bool aslr_hex__next_part(struct aslr_hex *hex)
{
	hex->part = true;
	while (hex->width) {
		if (hex->run_end - hex->pos < hex->width) {
			hex->width = hex->width == ASLR_HEX_DIGITS ? USER_DIGITS : 0;
			hex->pos = hex->width ? hex->run : hex->run_end;
			continue;
		}
		aslr_hex__found(hex, hex->pos++, hex->width);
		hex->usual = hex->value >= CANONICAL_START ||
			     (hex->value >= TIB && hex->value < USER_END);
		if (hex->usual || hex->anywhere)
			return true;
	}
	hex->part = false;
	return false;
}

bool aslr_hex__next(struct aslr_hex *hex)
{
	char *pos, *end;

	if (aslr_hex__next_part(hex))
		return true;
	for (pos = hex->pos; pos < hex->end; pos = end + 1) {
		for (end = pos; end < hex->end && isxdigit(*end); end++)
			;
		hex->prefix = pos - hex->text >= 2 && pos[-2] == '0' && tolower(pos[-1]) == 'x';
		hex->run = pos;
		while (end - pos > 1 && *pos == '0')
			pos++;
		hex->pos = end;
		if (end - pos > ASLR_HEX_DIGITS) {
			hex->pos = hex->run;
			hex->run_end = end;
			hex->width = ASLR_HEX_DIGITS;
			if (aslr_hex__next_part(hex))
				return true;
		} else if (end - pos >= MIN_DIGITS) {
			aslr_hex__found(hex, pos, end - pos);
			return true;
		}
	}
	return false;
}
