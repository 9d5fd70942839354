/* SPDX-License-Identifier: GPL-2.0 */
#ifndef __PERF_ASLR_ATTR_H
#define __PERF_ASLR_ATTR_H

#include <stdbool.h>
#include <stddef.h>
#include <linux/types.h>
#include "aslr-policy.h"

struct aslr_spaces;
struct perf_event_attr;

/*
 * What happens to the attributes of events, struct perf_event_attr of
 * include/uapi/linux/perf_event.h, wherever a profile has them.
 */

/* The most addresses, and other values, in attributes that the names of events may have, too. */
#define ASLR_MAX_ATTR_ADDRS	64

/* What is known of the events of a profile where their attributes are rewritten. */
struct aslr_attrs {
	struct aslr_spaces	*spaces;
	/* Not all that is mapped is in the spaces yet, as in a pipe: numbers may be addresses. */
	bool			mappings_to_come;
	/* Addresses in attributes, before and after. */
	struct {
		u64		old;
		u64		new;
	}			addrs[ASLR_MAX_ATTR_ADDRS];
	unsigned int		nr_addrs;
	/* What stays of the configuration of events: in their names it is no address, either. */
	u64			kept[ASLR_MAX_ATTR_ADDRS];
	unsigned int		nr_kept;
	/* As in struct perf_env: "type:name", NUL, as often as there are mappings. */
	const char		*pmu_mappings;
	int			nr_pmu_mappings;
	/* Of the machine, as soon as its header feature was there. */
	u32			nr_cpus;
};

/* What happens to a field of struct perf_event_attr. */
struct aslr_attr_field {
	const char	*name;
	enum aslr_action action;
	/* Why it is safe, in words for the documentation. */
	const char	*why;
	/* Where it is, in bytes. */
	size_t		offset;
	size_t		size;
	/* Which of config, config1, config2 and config3 it is, if it is rewritten. */
	unsigned int	config;
};

#define ASLR_NR_ATTR_FIELDS	23

/* All fields, in the order that they have in struct perf_event_attr. */
extern const struct aslr_attr_field aslr_attr_fields[ASLR_NR_ATTR_FIELDS];

/*
 * Rewrite what holds an address in @attr.  What isn't known to hold none, by the
 * type or by the name that @attrs has for it, is 0 afterwards, and so are flags
 * that aren't known, of which the user is warned.  0 or -ENOMEM.
 */
int aslr_attr__rewrite(struct aslr_attrs *attrs, struct perf_event_attr *attr);

/* What the address @old of an attribute has become, or 0. */
u64 aslr_attrs__new_addr(const struct aslr_attrs *attrs, u64 old);

/* Is @value in an attribute and no address? */
bool aslr_attrs__keep(const struct aslr_attrs *attrs, u64 value);

#endif /* __PERF_ASLR_ATTR_H */
