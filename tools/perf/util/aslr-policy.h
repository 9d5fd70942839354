/* SPDX-License-Identifier: GPL-2.0 */
#ifndef __PERF_ASLR_POLICY_H
#define __PERF_ASLR_POLICY_H

/*
 * What happens to a part of a profile.  There is a table with a row for each
 * kind of part (record types, fields of samples, header features), and what has
 * no row does not get through.
 */
enum aslr_action {
	/* Dropped: an unknown part, too. */
	ASLR_DROP,
	/* Kept as it is, it holds no address. */
	ASLR_KEEP,
	/* Kept, each address in it is rewritten. */
	ASLR_REWRITE,
	/* There, but empty. */
	ASLR_BLANK,
};

#endif /* __PERF_ASLR_POLICY_H */
