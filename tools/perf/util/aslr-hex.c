// SPDX-License-Identifier: GPL-2.0
/*
 * Hexadecimal numbers in texts, see aslr-hex.h.
 */
#include "aslr-hex.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

/* Fewer digits are no address. */
#define MIN_DIGITS	5
/* Those of a process' address. */
#define USER_DIGITS	12

static bool aslr_hex__found(struct aslr_hex *hex, char *pos, unsigned int nr)
{
	memcpy(hex->digits, pos, nr);
	hex->digits[nr] = '\0';
	hex->at = pos;
	hex->nr = nr;
	hex->value = strtoull(hex->digits, NULL, 16);
	return true;
}

static bool aslr_hex__next_part(struct aslr_hex *hex)
{
	hex->part = true;
	if (hex->run_end - hex->pos < hex->width) {
		hex->width = hex->width == ASLR_HEX_DIGITS ? USER_DIGITS : 0;
		hex->pos = hex->width ? hex->run : hex->run_end;
	}
	return hex->width && aslr_hex__found(hex, hex->pos++, hex->width);
}

bool aslr_hex__next(struct aslr_hex *hex)
{
	char *pos, *end;

	if (hex->width && aslr_hex__next_part(hex))
		return true;
	hex->part = false;
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
			return aslr_hex__next_part(hex);
		}
		if (end - pos >= MIN_DIGITS)
			return aslr_hex__found(hex, pos, end - pos);
	}
	return false;
}
