// SPDX-License-Identifier: GPL-2.0
/*
 * Rewriting of header features, see aslr-header.h.
 */
#include "aslr-header.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <linux/build_bug.h>
#include <linux/kernel.h>
#include <linux/perf_event.h>
#include <linux/sizes.h>
#include <linux/string.h>
#include "aslr-attr.h"
#include "aslr-bpf.h"
#include "aslr-bytes.h"
#include "aslr-hex.h"
#include "aslr-record.h"
#include "aslr-spaces.h"
#include "aslr-tracing.h"
#include "debug.h"
#include "event.h"
#include "header.h"
#include "machine.h"

/* Is the number @value, as it is written at @hex, an address? */
static bool is_address(const struct aslr_attrs *attrs, const struct aslr_hex *hex)
{
	u64 value = hex->value;

	if (aslr_attrs__keep(attrs, value))
		return false;
	/* Of a hash or identifier, of which any 12 digits could be an address. */
	if (hex->part)
		return hex->usual && hex->nr == ASLR_HEX_DIGITS &&
		       (attrs->mappings_to_come || aslr_spaces__know(attrs->spaces, value));
	if (value >= BIT_ULL(32))
		return true;
	/* A pid, a count: decimal. */
	if (!hex->prefix && strspn(hex->digits, "0123456789") >= hex->nr)
		return false;
	/* It may be one later, if it isn't a word. */
	if (attrs->mappings_to_come &&
	    (hex->prefix || strcspn(hex->digits, "0123456789") < hex->nr))
		return value >= SZ_64K;
	return aslr_spaces__know(attrs->spaces, value);
}

/* What is behind the end of a string isn't known. Returns its length. */
static size_t clear_behind(char *string, size_t size)
{
	size_t len = strnlen(string, size);

	memset(string + len, 0, size - len);
	return len;
}

void aslr_header__rewrite_text(struct aslr_attrs *attrs, char *text, size_t size)
{
	size_t len = clear_behind(text, size);
	struct aslr_hex hex = { .text = text, .pos = text, .end = text + len,
				.anywhere = attrs->nr_addrs };

	while (aslr_hex__next(&hex)) {
		u64 new = aslr_attrs__new_addr(attrs, hex.value);
		char digits[ASLR_HEX_DIGITS + 1];
		unsigned int nr = 0;

		if (new && !hex.part)
			nr = snprintf(digits, sizeof(digits), "%" PRIx64, new);

		if (nr && (nr <= hex.nr || len - hex.nr + nr < size)) {
			memmove(hex.at + nr, hex.pos, hex.end - hex.pos);
			memcpy(hex.at, digits, nr);
			len = len - hex.nr + nr;
			memset(text + len, 0, size - len);
			hex.pos = hex.at + nr;
			hex.end = text + len;
		} else if (new || is_address(attrs, &hex)) {
			memset(hex.at, '0', hex.nr);
			hex.pos = hex.at + hex.nr;
		}
	}
}

static void take_string(struct aslr_bytes *section)
{
	u64 size = aslr_bytes__take_u32(section);
	char *string = aslr_bytes__take(section, size);

	if (string)
		clear_behind(string, size);
}

static void take_text(struct aslr_bytes *section, struct aslr_attrs *attrs)
{
	u64 size = aslr_bytes__take_u32(section);
	char *text = aslr_bytes__take(section, size);

	if (text)
		aslr_header__rewrite_text(attrs, text, size);
}

/* The ] that belongs to the [ before @layout. */
static const char *closing(const char *layout)
{
	for (int depth = 1;; layout++) {
		depth += (*layout == '[') - (*layout == ']');
		if (!depth)
			return layout;
	}
}

/* Go through what @layout, or the part of it up to a ], says of the section. */
static void walk(struct aslr_bytes *section, const char *layout, struct aslr_attrs *attrs)
{
	u64 nr = 0;

	for (; *layout && *layout != ']'; layout++) {
		switch (*layout) {
		case '4':
			nr = aslr_bytes__take_u32(section);
			break;
		case '8':
			nr = aslr_bytes__take_u64(section);
			break;
		case 'C':
			attrs->nr_cpus = aslr_bytes__take_u32(section);
			break;
		case 'c':
			nr = attrs->nr_cpus;
			if (!nr)
				return;
			break;
		case '?':
			/* But for padding */
			if (section->end - section->pos < (ssize_t)sizeof(u64))
				return;
			break;
		case 's':
			take_string(section);
			break;
		case 't':
			take_text(section, attrs);
			break;
		case 'd':
			aslr_bytes__take(section, aslr_bytes__take_u32(section));
			break;
		case 'b':
			nr = aslr_bytes__take_u64(section);
			aslr_bytes__take(section, (nr / 64 + !!(nr % 64)) * sizeof(u64));
			break;
		default: /* '[' */
			while (nr-- && !section->bad)
				walk(section, layout + 1, attrs);
			layout = closing(layout + 1);
		}
	}
}

/* A sequence of records with a name at the end. */
static int rewrite_build_ids(struct aslr_attrs *attrs __maybe_unused, void *buf, size_t *size)
{
	struct perf_record_header_build_id *entry;
	/* There was no pid once. */
	const size_t fixed = sizeof(*entry) - sizeof(entry->pid);

	for (size_t pos = 0; pos < *size; pos += entry->header.size) {
		entry = buf + pos;
		if (*size - pos <= fixed || entry->header.size <= fixed ||
		    entry->header.size > *size - pos ||
		    !memchr((const void *)entry + fixed, '\0', entry->header.size - fixed))
			return -EINVAL;
		if (entry->header.size <= sizeof(*entry))
			continue;
		aslr_record__clear_build_id(entry);
		clear_behind(entry->filename, entry->header.size - sizeof(*entry));
	}
	return 0;
}

/*
 * The number of events and the size of struct perf_event_attr; for each event
 * that struct, the number of ids, its name with a size before it, and the ids.
 */
static int rewrite_event_desc(struct aslr_attrs *attrs, void *buf, size_t *size)
{
	u32 nr, attr_size, nr_ids, len;
	size_t pos = 2 * sizeof(u32);

	if (*size < pos)
		return -EINVAL;
	memcpy(&nr, buf, sizeof(nr));
	memcpy(&attr_size, buf + sizeof(nr), sizeof(attr_size));
	if (attr_size < PERF_ATTR_SIZE_VER0)
		return -EINVAL;

	while (nr--) {
		struct perf_event_attr attr = {};
		int err;

		if (attr_size > *size - pos ||
		    *size - pos - attr_size < sizeof(nr_ids) + sizeof(len))
			return -EINVAL;
		memcpy(&attr, buf + pos, min_t(size_t, attr_size, sizeof(attr)));
		if (attr.size && (attr.size < PERF_ATTR_SIZE_VER0 || attr.size > attr_size))
			return -EINVAL;
		err = aslr_attr__rewrite(attrs, &attr);
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
		aslr_header__rewrite_text(attrs, buf + pos, len);
		pos += len + nr_ids * sizeof(u64);
	}
	*size = pos;
	return 0;
}

static int rewrite_tracing_data(struct aslr_attrs *attrs, void *buf, size_t *size)
{
	return aslr_tracing__rewrite(attrs, buf, size);
}

#ifdef HAVE_LIBBPF_SUPPORT
static int rewrite_bpf_prog_info(struct aslr_attrs *attrs, void *buf, size_t *size)
{
	struct aslr_space *kernel = aslr_spaces__kernel(attrs->spaces, HOST_KERNEL_ID);

	return kernel ? aslr_bpf__rewrite_prog_info(kernel, buf, *size) : -ENOMEM;
}
#endif

#define ROW(_feat, _action, _why)						\
	[HEADER_##_feat] = { .name = #_feat, .action = ASLR_##_action, .why = _why }

#define ROW_LAYOUT(_feat, _action, _layout, _why)				\
	[HEADER_##_feat] = {							\
		.name = #_feat, .action = ASLR_##_action, .why = _why,		\
		.layout = _layout,						\
	}

#define ROW_FN(_feat, _action, _rewrite, _why)					\
	[HEADER_##_feat] = {							\
		.name = #_feat, .action = ASLR_##_action, .why = _why,		\
		.rewrite = _rewrite,						\
	}

static const struct aslr_feature aslr_features[HEADER_LAST_FEATURE] = {
	ROW_FN(TRACING_DATA, REWRITE, rewrite_tracing_data,
	       "formats of tracepoints and of printk stay, kernel symbols go"),
	ROW_FN(BUILD_ID, KEEP, rewrite_build_ids, "build-ids and file names"),
	ROW_LAYOUT(HOSTNAME, KEEP, "s", "name"),
	ROW_LAYOUT(OSRELEASE, KEEP, "s", "version"),
	ROW_LAYOUT(VERSION, KEEP, "s", "version"),
	ROW_LAYOUT(ARCH, KEEP, "s", "name"),
	ROW_LAYOUT(NRCPUS, KEEP, "C4", "count"),
	ROW_LAYOUT(CPUDESC, KEEP, "s", "name"),
	ROW_LAYOUT(CPUID, KEEP, "s", "name"),
	ROW_LAYOUT(TOTAL_MEM, KEEP, "8", "size"),
	ROW_LAYOUT(CMDLINE, REWRITE, "4[t]", "without addresses"),
	ROW_FN(EVENT_DESC, REWRITE, rewrite_event_desc, "attributes, names and ids of events"),
	ROW_LAYOUT(CPU_TOPOLOGY, KEEP, "4[s]4[s]?c[44]?4[s]c[4]", "CPU numbers"),
	ROW_LAYOUT(NUMA_TOPOLOGY, KEEP, "4[488s]", "node and CPU numbers, sizes"),
	ROW_LAYOUT(BRANCH_STACK, KEEP, "", "nothing in it"),
	ROW_LAYOUT(PMU_MAPPINGS, KEEP, "4[4s]", "names and types of PMUs"),
	ROW_LAYOUT(GROUP_DESC, REWRITE, "4[t44]", "names and numbers of events"),
	ROW(AUXTRACE, DROP, "index of the trace data, which is dropped"),
	ROW_LAYOUT(STAT, KEEP, "", "nothing in it"),
	ROW_LAYOUT(CACHE, KEEP, "44[4444sss]", "sizes"),
	ROW_LAYOUT(SAMPLE_TIME, KEEP, "88", "times"),
	ROW_LAYOUT(MEM_TOPOLOGY, KEEP, "888[88b]", "which memory blocks each node has"),
	ROW_LAYOUT(CLOCKID, KEEP, "8", "resolution"),
	ROW(DIR_FORMAT, DROP, "the output is one file"),
#ifdef HAVE_LIBBPF_SUPPORT
	ROW_FN(BPF_PROG_INFO, REWRITE, rewrite_bpf_prog_info,
	       "addresses of code are rewritten, the code goes"),
#else
	ROW(BPF_PROG_INFO, DROP, "perf without libbpf can't read it"),
#endif
	ROW_LAYOUT(BPF_BTF, KEEP, "4[4d]", "types"),
	ROW(COMPRESSED, DROP, "the output isn't compressed"),
	ROW_LAYOUT(CPU_PMU_CAPS, KEEP, "4[ss]", "names and numbers"),
	ROW_LAYOUT(CLOCK_DATA, KEEP, "4488", "times"),
	ROW_LAYOUT(HYBRID_TOPOLOGY, KEEP, "4[ss]", "names and CPU numbers"),
	ROW_LAYOUT(PMU_CAPS, KEEP, "4[4[ss]s]", "names and numbers"),
};

const struct aslr_feature *aslr_feature__find(unsigned int feat)
{
	static const struct aslr_feature unknown = { .action = ASLR_DROP };

	return feat < ARRAY_SIZE(aslr_features) ? &aslr_features[feat] : &unknown;
}

int aslr_feature__rewrite(const struct aslr_feature *feature, struct aslr_attrs *attrs,
			  void *buf, size_t *size)
{
	struct aslr_bytes section = { .pos = buf, .end = buf + *size };

	if (feature->rewrite)
		return feature->rewrite(attrs, buf, size);
	if (!feature->layout)
		return 0;
	walk(&section, feature->layout, attrs);
	*size = section.pos - (char *)buf;
	return section.bad ? -EINVAL : 0;
}
