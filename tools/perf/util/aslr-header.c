// SPDX-License-Identifier: GPL-2.0
/*
 * Rewriting of event attributes and header features, see aslr-header.h.
 */
#include "aslr-header.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <linux/build_bug.h>
#include <linux/kernel.h>
#include <linux/perf_event.h>
#include <linux/string.h>
#include "aslr-bpf.h"
#include "aslr-spaces.h"
#include "aslr-tracing.h"
#include "header.h"
#include "machine.h"

/* Fewer digits are no address, more are no number. */
#define MIN_DIGITS	5
#define MAX_DIGITS	16

/* What @value in an attribute became, or 0. */
static u64 attr_addr(const struct aslr_header *header, u64 value)
{
	for (unsigned int i = 0; i < header->nr_attr_addrs; i++) {
		if (header->attr_addrs[i].old == value)
			return header->attr_addrs[i].new;
	}
	return 0;
}

/* An address of the kernel, or one that means something in a process: it's not known in which. */
static u64 rewrite_addr(struct aslr_header *header, u64 addr, int *err)
{
	struct aslr_view view = {
		.spaces		= header->spaces,
		.machine	= HOST_KERNEL_ID,
		.pid		= -1,
		.cpumode	= PERF_RECORD_MISC_USER,
	};
	struct aslr_space *space = aslr_view__space_of(&view, addr);
	u64 image = 0;

	*err = space ? aslr_space__translate(space, addr, &image) : -ENOMEM;
	if (image != addr && !attr_addr(header, addr) &&
	    header->nr_attr_addrs < ASLR_MAX_ATTR_ADDRS) {
		header->attr_addrs[header->nr_attr_addrs].old = addr;
		header->attr_addrs[header->nr_attr_addrs++].new = image;
	}
	return image;
}

/* The name of an event type that the kernel numbers anew at each boot, or NULL. */
static const char *pmu_name(const struct aslr_header *header, u32 type)
{
	const char *pos = header->pmu_mappings;

	for (int i = 0; pos && i < header->nr_pmu_mappings; i++) {
		char *name;

		if (strtoul(pos, &name, 10) == type && *name == ':')
			return name + 1;
		pos += strlen(pos) + 1;
	}
	return NULL;
}

/* Nothing that is counted is configured with an address of the kernel. */
static void clear_addresses(struct perf_event_attr *attr)
{
	if (attr->config1 >> 63)
		attr->config1 = 0;
	if (attr->config2 >> 63)
		attr->config2 = 0;
	if (attr->config3 >> 63)
		attr->config3 = 0;
}

int aslr_header__rewrite_attr(struct aslr_header *header, struct perf_event_attr *attr)
{
	const char *name = NULL;
	int err;

	/* Another size means that there are other fields: look at them first. */
	BUILD_BUG_ON(sizeof(*attr) != PERF_ATTR_SIZE_VER8);

	/* Whatever the program left there, for its own signal handler. */
	attr->sig_data = 0;

	switch (attr->type) {
	case PERF_TYPE_HARDWARE:
	case PERF_TYPE_HW_CACHE:
	case PERF_TYPE_RAW:
		/* More bits of what to count. */
		clear_addresses(attr);
		return 0;
	case PERF_TYPE_BREAKPOINT:
		/* config1 is bp_addr, config2 is bp_len */
		attr->bp_addr = rewrite_addr(header, attr->bp_addr, &err);
		return err;
	case PERF_TYPE_SOFTWARE:
	case PERF_TYPE_TRACEPOINT:
		break;
	default:
		name = pmu_name(header, attr->type);
	}

	if (name && !strcmp(name, "kprobe") && !attr->kprobe_func) {
		/* Without the name of a function it is an address. */
		attr->kprobe_addr = rewrite_addr(header, attr->kprobe_addr, &err);
		return err;
	}
	if (name && (!strcmp(name, "kprobe") || !strcmp(name, "uprobe"))) {
		/* A pointer of perf record's to a name; the offset in what is so named stays. */
		attr->config1 = 0;
		return 0;
	}
	if (name) {
		clear_addresses(attr);
		return 0;
	}
	attr->config1 = 0;
	attr->config2 = 0;
	attr->config3 = 0;
	return 0;
}

/* Is the number @value, which is @nr digits at @text, an address? */
static bool is_address(const struct aslr_header *header, const char *text, size_t nr, bool prefix,
		       u64 value)
{
	if (value >= BIT_ULL(32))
		return true;
	/* A pid, a count: decimal. */
	if (!prefix && strspn(text, "0123456789") >= nr)
		return false;
	return aslr_spaces__know(header->spaces, value);
}

void aslr_header__rewrite_text(struct aslr_header *header, char *text, size_t size)
{
	size_t len = strnlen(text, size), nr;

	for (size_t i = 0; i < len; i += nr + 1) {
		bool prefix = i >= 2 && text[i - 2] == '0' && tolower(text[i - 1]) == 'x';
		char digits[MAX_DIGITS + 1] = "";
		size_t new_nr = 0;
		u64 value, new;

		while (i < len && text[i] == '0' && i + 1 < len && isxdigit(text[i + 1]))
			i++;
		for (nr = 0; i + nr < len && isxdigit(text[i + nr]); nr++)
			;
		if (nr < MIN_DIGITS || nr > MAX_DIGITS)
			continue;

		memcpy(digits, text + i, nr);
		value = strtoull(digits, NULL, 16);
		new = attr_addr(header, value);
		if (new)
			new_nr = snprintf(digits, sizeof(digits), "%" PRIx64, new);

		if (new && (new_nr <= nr || len - nr + new_nr < size)) {
			memmove(text + i + new_nr, text + i + nr, len - i - nr);
			memcpy(text + i, digits, new_nr);
			len = len - nr + new_nr;
			memset(text + len, 0, size - len);
			nr = new_nr;
		} else if (new || is_address(header, text + i, nr, prefix, value)) {
			memset(text + i, '0', nr);
		}
	}
}

/* A size and so many bytes of a string, and nothing behind it. */
static int cut_string(struct aslr_header *header __maybe_unused, void *buf, size_t *size)
{
	u32 len;

	if (*size < sizeof(len))
		return -EINVAL;
	memcpy(&len, buf, sizeof(len));
	if (len > *size - sizeof(len))
		return -EINVAL;
	*size = sizeof(len) + len;
	return 0;
}

/* A number of strings, each a size and so many bytes. */
static int rewrite_cmdline(struct aslr_header *header, void *buf, size_t *size)
{
	size_t pos = sizeof(u32);
	u32 nr, len;

	if (*size < pos)
		return -EINVAL;
	memcpy(&nr, buf, sizeof(nr));
	while (nr--) {
		if (*size - pos < sizeof(len))
			return -EINVAL;
		memcpy(&len, buf + pos, sizeof(len));
		pos += sizeof(len);
		if (len > *size - pos)
			return -EINVAL;
		aslr_header__rewrite_text(header, buf + pos, len);
		pos += len;
	}
	*size = pos;
	return 0;
}

/*
 * The number of events and the size of struct perf_event_attr; for each event
 * that struct, the number of ids, its name with a size before it, and the ids.
 */
static int rewrite_event_desc(struct aslr_header *header, void *buf, size_t *size)
{
	u32 nr, attr_size, nr_ids, len;
	size_t pos = 2 * sizeof(u32);

	if (*size < pos)
		return -EINVAL;
	memcpy(&nr, buf, sizeof(nr));
	memcpy(&attr_size, buf + sizeof(nr), sizeof(attr_size));

	while (nr--) {
		struct perf_event_attr attr = {};
		int err;

		if (attr_size > *size - pos ||
		    *size - pos - attr_size < sizeof(nr_ids) + sizeof(len))
			return -EINVAL;
		memcpy(&attr, buf + pos, min_t(size_t, attr_size, sizeof(attr)));
		err = aslr_header__rewrite_attr(header, &attr);
		if (err)
			return err;
		/* Fields of a newer one aren't known. */
		memset(buf + pos, 0, attr_size);
		memcpy(buf + pos, &attr, min_t(size_t, attr_size, sizeof(attr)));
		pos += attr_size;

		memcpy(&nr_ids, buf + pos, sizeof(nr_ids));
		pos += sizeof(nr_ids);
		memcpy(&len, buf + pos, sizeof(len));
		pos += sizeof(len);
		if (len > *size - pos || nr_ids > (*size - pos - len) / sizeof(u64))
			return -EINVAL;
		aslr_header__rewrite_text(header, buf + pos, len);
		pos += len + nr_ids * sizeof(u64);
	}
	*size = pos;
	return 0;
}

/* The number of groups; for each its name, and where its events are. */
static int rewrite_group_desc(struct aslr_header *header, void *buf, size_t *size)
{
	size_t pos = sizeof(u32);
	u32 nr, len;

	if (*size < pos)
		return -EINVAL;
	memcpy(&nr, buf, sizeof(nr));
	while (nr--) {
		if (*size - pos < 3 * sizeof(len))
			return -EINVAL;
		memcpy(&len, buf + pos, sizeof(len));
		pos += sizeof(len);
		if (len > *size - pos || *size - pos - len < 2 * sizeof(u32))
			return -EINVAL;
		aslr_header__rewrite_text(header, buf + pos, len);
		pos += len + 2 * sizeof(u32);
	}
	*size = pos;
	return 0;
}

static int rewrite_tracing_data(struct aslr_header *header, void *buf, size_t *size)
{
	return aslr_tracing__rewrite(header, buf, size);
}

#ifdef HAVE_LIBBPF_SUPPORT
static int rewrite_bpf_prog_info(struct aslr_header *header, void *buf, size_t *size)
{
	struct aslr_space *kernel = aslr_spaces__kernel(header->spaces, HOST_KERNEL_ID);

	return kernel ? aslr_bpf__rewrite_prog_info(kernel, buf, *size) : -ENOMEM;
}
#endif

#define ROW(_feat, _action, _why)						\
	[HEADER_##_feat] = { .name = #_feat, .action = ASLR_##_action, .why = _why }

#define ROW_FN(_feat, _action, _rewrite, _why)					\
	[HEADER_##_feat] = {							\
		.name = #_feat, .action = ASLR_##_action, .why = _why,		\
		.rewrite = _rewrite,						\
	}

static const struct aslr_feature aslr_features[HEADER_LAST_FEATURE] = {
	ROW_FN(TRACING_DATA, REWRITE, rewrite_tracing_data,
	       "formats of tracepoints stay, kernel symbols and printk formats go"),
	ROW(BUILD_ID, KEEP, "build-ids and file names"),
	ROW_FN(HOSTNAME, KEEP, cut_string, "name"),
	ROW_FN(OSRELEASE, KEEP, cut_string, "version"),
	ROW_FN(VERSION, KEEP, cut_string, "version"),
	ROW_FN(ARCH, KEEP, cut_string, "name"),
	ROW(NRCPUS, KEEP, "count"),
	ROW_FN(CPUDESC, KEEP, cut_string, "name"),
	ROW_FN(CPUID, KEEP, cut_string, "name"),
	ROW(TOTAL_MEM, KEEP, "size"),
	ROW_FN(CMDLINE, REWRITE, rewrite_cmdline, "without addresses"),
	ROW_FN(EVENT_DESC, REWRITE, rewrite_event_desc, "attributes, names and ids of events"),
	ROW(CPU_TOPOLOGY, KEEP, "CPU numbers"),
	ROW(NUMA_TOPOLOGY, KEEP, "node and CPU numbers, sizes"),
	ROW(BRANCH_STACK, KEEP, "nothing in it"),
	ROW(PMU_MAPPINGS, KEEP, "names and types of PMUs"),
	ROW_FN(GROUP_DESC, REWRITE, rewrite_group_desc, "names and numbers of events"),
	ROW(AUXTRACE, DROP, "index of the trace data, which is dropped"),
	ROW(STAT, KEEP, "nothing in it"),
	ROW(CACHE, KEEP, "sizes"),
	ROW(SAMPLE_TIME, KEEP, "times"),
	ROW(MEM_TOPOLOGY, KEEP, "which memory blocks each node has"),
	ROW(CLOCKID, KEEP, "resolution"),
	ROW(DIR_FORMAT, DROP, "the output is one file"),
#ifdef HAVE_LIBBPF_SUPPORT
	ROW_FN(BPF_PROG_INFO, REWRITE, rewrite_bpf_prog_info,
	       "addresses of code are rewritten, the code goes"),
#else
	ROW(BPF_PROG_INFO, DROP, "perf without libbpf can't read it"),
#endif
	ROW(BPF_BTF, KEEP, "types"),
	ROW(COMPRESSED, DROP, "the output isn't compressed"),
	ROW(CPU_PMU_CAPS, KEEP, "names and numbers"),
	ROW(CLOCK_DATA, KEEP, "times"),
	ROW(HYBRID_TOPOLOGY, KEEP, "names and CPU numbers"),
	ROW(PMU_CAPS, KEEP, "names and numbers"),
};

const struct aslr_feature *aslr_feature__find(unsigned int feat)
{
	static const struct aslr_feature unknown = { .action = ASLR_DROP };

	return feat < ARRAY_SIZE(aslr_features) ? &aslr_features[feat] : &unknown;
}
