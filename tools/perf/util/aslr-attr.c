// SPDX-License-Identifier: GPL-2.0
/*
 * Rewriting of event attributes, see aslr-attr.h.
 */
#include "aslr-attr.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <linux/build_bug.h>
#include <linux/kernel.h>
#include <linux/perf_event.h>
#include "aslr-spaces.h"
#include "debug.h"
#include "machine.h"

u64 aslr_attrs__new_addr(const struct aslr_attrs *attrs, u64 old)
{
	for (unsigned int i = 0; i < attrs->nr_addrs; i++) {
		if (attrs->addrs[i].old == old)
			return attrs->addrs[i].new;
	}
	return 0;
}

bool aslr_attrs__keep(const struct aslr_attrs *attrs, u64 value)
{
	for (unsigned int i = 0; i < attrs->nr_kept; i++) {
		if (attrs->kept[i] == value)
			return true;
	}
	return false;
}

/* An address of the kernel, or one that means something in a process: it's not known in which. */
static int rewrite_addr(struct aslr_attrs *attrs, u64 *value)
{
	struct aslr_view view = {
		.spaces		= attrs->spaces,
		.machine	= HOST_KERNEL_ID,
		.pid		= -1,
		.cpumode	= PERF_RECORD_MISC_USER,
	};
	u64 old = *value;
	struct aslr_space *space = aslr_view__space_of(&view, old);
	int err;

	/* The same wherever an event is described, whatever got mapped since. */
	*value = aslr_attrs__new_addr(attrs, old);
	if (*value)
		return 0;

	err = space ? aslr_space__translate(space, old, value) : -ENOMEM;
	if (err) {
		*value = 0;
		return err;
	}
	if (*value != old && attrs->nr_addrs < ASLR_MAX_ATTR_ADDRS) {
		attrs->addrs[attrs->nr_addrs].old = old;
		attrs->addrs[attrs->nr_addrs++].new = *value;
	}
	return 0;
}

/* The name of an event type that the kernel numbers anew at each boot, or "". */
static const char *pmu_name(const struct aslr_attrs *attrs, u32 type)
{
	const char *pos = attrs->pmu_mappings;

	for (int i = 0; pos && i < attrs->nr_pmu_mappings; i++) {
		char *name;

		if (strtoul(pos, &name, 10) == type && *name == ':')
			return name + 1;
		pos += strlen(pos) + 1;
	}
	return "";
}

/* What one of config, config1, config2 and config3 is. */
enum config_use {
	/* A pointer of perf record's, or nothing. */
	CONFIG_NONE,
	/* What to count. Nothing that is counted is configured with an address of the kernel. */
	CONFIG_BITS,
	CONFIG_ADDR,
};

/* What events of a type are configured with. */
struct config_type {
	/* PERF_TYPE_*, or PERF_TYPE_MAX: a PMU of that name. */
	u32			type;
	const char		*pmu;
	/* Only if config1, the pointer to a name, is there. */
	bool			named;
	enum config_use		uses[4];
};

#define USES(_config, _config1, _config2, _config3)				\
	{ CONFIG_##_config, CONFIG_##_config1, CONFIG_##_config2, CONFIG_##_config3 }

/* The first that fits counts. */
static const struct config_type config_types[] = {
	{ PERF_TYPE_HARDWARE,	.uses = USES(BITS, BITS, BITS, BITS) },
	{ PERF_TYPE_HW_CACHE,	.uses = USES(BITS, BITS, BITS, BITS) },
	{ PERF_TYPE_RAW,	.uses = USES(BITS, BITS, BITS, BITS) },
	{ PERF_TYPE_SOFTWARE,	.uses = USES(BITS, NONE, NONE, NONE) },
	{ PERF_TYPE_TRACEPOINT,	.uses = USES(BITS, NONE, NONE, NONE) },
	/* bp_addr and bp_len */
	{ PERF_TYPE_BREAKPOINT,	.uses = USES(NONE, ADDR, BITS, NONE) },
	/* kprobe_func or uprobe_path and probe_offset; without a name it is kprobe_addr */
	{ PERF_TYPE_MAX, "kprobe", true,	USES(BITS, NONE, BITS, NONE) },
	{ PERF_TYPE_MAX, "kprobe", false,	USES(BITS, NONE, ADDR, NONE) },
	{ PERF_TYPE_MAX, "uprobe", false,	USES(BITS, NONE, BITS, NONE) },
	/* PMUs that aren't named in the profile, and those that are */
	{ PERF_TYPE_MAX, "",	.uses = USES(BITS, NONE, NONE, NONE) },
	{ PERF_TYPE_MAX, NULL,	.uses = USES(BITS, BITS, BITS, BITS) },
};

static bool config_type__fits(const struct config_type *type, const struct perf_event_attr *attr,
			      const char *pmu)
{
	if (type->type != PERF_TYPE_MAX)
		return type->type == attr->type;
	return (!type->pmu || !strcmp(type->pmu, pmu)) && (!type->named || attr->config1);
}

#define FIELD(_field, _action, _config, _why) {					\
	.name	= #_field,							\
	.action	= ASLR_##_action,						\
	.why	= _why,								\
	.offset	= offsetof(struct perf_event_attr, _field),			\
	.size	= sizeof(((struct perf_event_attr *)NULL)->_field),		\
	.config	= _config,							\
}

const struct aslr_attr_field aslr_attr_fields[ASLR_NR_ATTR_FIELDS] = {
	FIELD(type, KEEP, 0, "number of the kind of event"),
	FIELD(size, KEEP, 0, "size of the attributes"),
	FIELD(config, REWRITE, 0, "what to count; 0 where it would be an address"),
	FIELD(sample_period, KEEP, 0, "count or frequency"),
	FIELD(sample_type, KEEP, 0, "which fields samples have"),
	FIELD(read_format, KEEP, 0, "which fields counts have"),
	{
		.name	= "flags",
		.action	= ASLR_KEEP,
		.why	= "what to record; those that aren't known are cleared",
		.offset	= offsetof(struct perf_event_attr, read_format) + sizeof(u64),
		.size	= sizeof(u64),
	},
	FIELD(wakeup_events, KEEP, 0, "count or size"),
	FIELD(bp_type, KEEP, 0, "kinds of access"),
	FIELD(config1, REWRITE, 1,
	      "addresses of breakpoints are rewritten; 0 where it is a pointer or not known"),
	FIELD(config2, REWRITE, 2, "addresses of kprobes are rewritten; 0 where it is not known"),
	FIELD(branch_sample_type, KEEP, 0, "which branches to record"),
	FIELD(sample_regs_user, KEEP, 0, "which registers samples have"),
	FIELD(sample_stack_user, KEEP, 0, "size"),
	FIELD(clockid, KEEP, 0, "number of the clock"),
	FIELD(sample_regs_intr, KEEP, 0, "which registers samples have"),
	FIELD(aux_watermark, KEEP, 0, "size"),
	FIELD(sample_max_stack, KEEP, 0, "count"),
	FIELD(__reserved_2, BLANK, 0, "not known"),
	FIELD(aux_sample_size, KEEP, 0, "size"),
	FIELD(__reserved_3, BLANK, 0, "not known"),
	FIELD(sig_data, BLANK, 0, "a pointer of the program for its signal handler"),
	FIELD(config3, REWRITE, 3, "what to count; 0 where it is not known"),
};

static int rewrite_config(struct aslr_attrs *attrs, enum config_use use, u64 *value)
{
	if (use == CONFIG_ADDR)
		return rewrite_addr(attrs, value);
	if (use == CONFIG_NONE || *value >> 63)
		*value = 0;
	else if (*value && !aslr_attrs__keep(attrs, *value) && attrs->nr_kept < ASLR_MAX_ATTR_ADDRS)
		attrs->kept[attrs->nr_kept++] = *value;
	return 0;
}

int aslr_attr__rewrite(struct aslr_attrs *attrs, struct perf_event_attr *attr)
{
	const struct config_type *type = config_types;
	const char *pmu = pmu_name(attrs, attr->type);

	/* Another size means that there are other fields: give them a row first. */
	BUILD_BUG_ON(sizeof(*attr) != PERF_ATTR_SIZE_VER8);

	while (!config_type__fits(type, attr, pmu))
		type++;

	if (attr->__reserved_1 || attr->__reserved_2 || attr->__reserved_3)
		pr_warning_once("attribute bits %#llx, %#x, %#x not known to this perf, dropped\n",
				(unsigned long long)attr->__reserved_1, attr->__reserved_2,
				attr->__reserved_3);
	attr->__reserved_1 = 0;
	for (unsigned int i = 0; i < ASLR_NR_ATTR_FIELDS; i++) {
		const struct aslr_attr_field *field = &aslr_attr_fields[i];
		void *value = (void *)attr + field->offset;
		int err = 0;

		if (field->action == ASLR_BLANK)
			memset(value, 0, field->size);
		else if (field->action == ASLR_REWRITE)
			err = rewrite_config(attrs, type->uses[field->config], value);
		if (err)
			return err;
	}
	return 0;
}
