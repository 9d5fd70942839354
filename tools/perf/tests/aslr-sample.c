// SPDX-License-Identifier: GPL-2.0
/*
 * Rewriting of samples, see util/aslr-sample.h.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <linux/compiler.h>
#include <linux/kernel.h>
#include <linux/perf_event.h>
#include "aslr-sample.h"
#include "aslr-spaces.h"
#include "debug.h"
#include "event.h"
#include "machine.h"
#include "tests.h"

#define PID		42
#define LIB		0x7f1234560000ULL
#define TEXT		0xffffffff96600000ULL
#define GUEST_LIB	0x7f9876540000ULL
#define GUEST_TEXT	0xffffffff8a000000ULL

/* What has to become of a word of a sample. */
enum kind {
	/* There are no more. */
	END,
	KEEP,
	/* An address of that space. */
	USER,
	KERNEL,
	GUEST_USER,
	GUEST_KERNEL,
	HYPERVISOR,
	PHYS,
	/* 0 in its place. */
	ZERO,
	/* Nothing in its place. */
	GONE,
};

struct word {
	enum kind	kind;
	u64		value;
};

#define MAX_WORDS	20

/* A field, and what its attributes say of it. */
struct field {
	const char	*name;
	u64		bit;
	u64		read_format;
	u64		branch_sample_type;
	u64		regs;
	bool		guest;
	/* 1 + PERF_SYNTH_*, of events that are synthesized from trace data. */
	u64		synth;
	/* That it was blanked has to be counted. */
	bool		blanked;
	struct word	words[MAX_WORDS];
};

#define READ_TIMES	(PERF_FORMAT_TOTAL_TIME_ENABLED | PERF_FORMAT_TOTAL_TIME_RUNNING)
#define RAW_WORD(_size, _high)	((_size) | (u64)(_high) << 32)

/*
 * In the order that include/uapi/linux/perf_event.h has at PERF_RECORD_SAMPLE.
 * Where a bit has several, any of them may be in a sample with other fields.
 */
static const struct field fields[] = {
	{ .name = "identifier", .bit = PERF_SAMPLE_IDENTIFIER, .words = { { KEEP, LIB } } },
	{ .name = "ip", .bit = PERF_SAMPLE_IP, .words = { { USER, LIB + 0x123 } } },
	{ .name = "tid", .bit = PERF_SAMPLE_TID, .words = { { KEEP, LIB } } },
	{ .name = "time", .bit = PERF_SAMPLE_TIME, .words = { { KEEP, LIB } } },
	{ .name = "addr", .bit = PERF_SAMPLE_ADDR, .words = { { USER, LIB + 0x777 } } },
	{ .name = "addr of the kernel", .bit = PERF_SAMPLE_ADDR,
	  .words = { { KERNEL, TEXT + 0x777 } } },
	{ .name = "addr, 0", .bit = PERF_SAMPLE_ADDR, .words = { { KEEP, 0 } } },
	{ .name = "addr of a guest", .bit = PERF_SAMPLE_ADDR, .guest = true,
	  .words = { { GUEST_KERNEL, GUEST_TEXT + 0x777 } } },
	{ .name = "id", .bit = PERF_SAMPLE_ID, .words = { { KEEP, LIB } } },
	{ .name = "stream id", .bit = PERF_SAMPLE_STREAM_ID, .words = { { KEEP, LIB } } },
	{ .name = "cpu", .bit = PERF_SAMPLE_CPU, .words = { { KEEP, RAW_WORD(3, 0) } } },
	{ .name = "cpu, reserved", .bit = PERF_SAMPLE_CPU,
	  .words = { { ZERO, RAW_WORD(0, 0x7f12) } } },
	{ .name = "period", .bit = PERF_SAMPLE_PERIOD, .words = { { KEEP, LIB } } },
	{ .name = "read", .bit = PERF_SAMPLE_READ, .words = { { KEEP, LIB } } },
	{ .name = "read, id", .bit = PERF_SAMPLE_READ, .read_format = PERF_FORMAT_ID,
	  .words = { { KEEP, LIB }, { KEEP, 1 } } },
	{ .name = "read, lost", .bit = PERF_SAMPLE_READ, .read_format = PERF_FORMAT_LOST,
	  .words = { { KEEP, LIB }, { KEEP, 2 } } },
	{ .name = "read, enabled", .bit = PERF_SAMPLE_READ,
	  .read_format = PERF_FORMAT_TOTAL_TIME_ENABLED, .words = { { KEEP, 5 }, { KEEP, 6 } } },
	{ .name = "read, running", .bit = PERF_SAMPLE_READ,
	  .read_format = PERF_FORMAT_TOTAL_TIME_RUNNING, .words = { { KEEP, 5 }, { KEEP, 6 } } },
	{ .name = "read, all but group", .bit = PERF_SAMPLE_READ,
	  .read_format = READ_TIMES | PERF_FORMAT_ID | PERF_FORMAT_LOST,
	  .words = { { KEEP, LIB }, { KEEP, 1 }, { KEEP, 2 }, { KEEP, 3 }, { KEEP, 4 } } },
	{ .name = "read, group", .bit = PERF_SAMPLE_READ, .read_format = PERF_FORMAT_GROUP,
	  .words = { { KEEP, 2 }, { KEEP, LIB }, { KEEP, TEXT } } },
	{ .name = "read, empty group", .bit = PERF_SAMPLE_READ,
	  .read_format = PERF_FORMAT_GROUP | READ_TIMES | PERF_FORMAT_ID,
	  .words = { { KEEP, 0 }, { KEEP, LIB }, { KEEP, TEXT } } },
	{ .name = "read, group and id", .bit = PERF_SAMPLE_READ,
	  .read_format = PERF_FORMAT_GROUP | PERF_FORMAT_ID,
	  .words = { { KEEP, 2 }, { KEEP, 3 }, { KEEP, 4 }, { KEEP, 5 }, { KEEP, 6 } } },
	{ .name = "read, all", .bit = PERF_SAMPLE_READ,
	  .read_format = PERF_FORMAT_GROUP | READ_TIMES | PERF_FORMAT_ID | PERF_FORMAT_LOST,
	  .words = { { KEEP, 2 }, { KEEP, 8 }, { KEEP, 9 }, { KEEP, 3 }, { KEEP, 4 }, { KEEP, 5 },
		     { KEEP, 3 }, { KEEP, 4 }, { KEEP, 5 } } },
	{ .name = "empty callchain", .bit = PERF_SAMPLE_CALLCHAIN, .words = { { KEEP, 0 } } },
	{ .name = "callchain without markers", .bit = PERF_SAMPLE_CALLCHAIN,
	  .words = { { KEEP, 3 }, { KERNEL, TEXT + 5 }, { USER, LIB + 7 }, { KERNEL, TEXT } } },
	{ .name = "callchain of a guest without markers", .bit = PERF_SAMPLE_CALLCHAIN,
	  .guest = true,
	  .words = { { KEEP, 2 }, { GUEST_KERNEL, GUEST_TEXT }, { GUEST_USER, GUEST_LIB } } },
	{ .name = "callchain", .bit = PERF_SAMPLE_CALLCHAIN,
	  .words = { { KEEP, 16 }, { KEEP, PERF_CONTEXT_HV }, { HYPERVISOR, TEXT + 0x100 },
		     { KEEP, PERF_CONTEXT_KERNEL }, { KERNEL, TEXT + 0x100 }, { KERNEL, LIB },
		     { KEEP, PERF_CONTEXT_USER }, { USER, LIB + 0x100 }, { KERNEL, TEXT },
		     { KEEP, PERF_CONTEXT_GUEST_KERNEL }, { GUEST_KERNEL, GUEST_TEXT + 1 },
		     { KEEP, PERF_CONTEXT_GUEST_USER }, { GUEST_USER, GUEST_LIB },
		     { KEEP, PERF_CONTEXT_GUEST }, { KEEP, 0 },
		     { KEEP, PERF_CONTEXT_KERNEL }, { KEEP, 0 } } },
	{ .name = "empty raw", .bit = PERF_SAMPLE_RAW, .blanked = true,
	  .words = { { KEEP, RAW_WORD(4, 0) } } },
	{ .name = "raw", .bit = PERF_SAMPLE_RAW, .blanked = true,
	  .words = { { KEEP, RAW_WORD(20, 0) }, { ZERO, TEXT }, { ZERO, LIB } } },
	{ .name = "raw, frequency", .bit = PERF_SAMPLE_RAW, .synth = 1 + PERF_SYNTH_INTEL_CBR,
	  .words = { { KEEP, RAW_WORD(12, 0x1f) }, { KEEP, 3200 } } },
	{ .name = "raw, frequency and more", .bit = PERF_SAMPLE_RAW, .blanked = true,
	  .synth = 1 + PERF_SYNTH_INTEL_CBR,
	  .words = { { KEEP, RAW_WORD(20, 0) }, { ZERO, 3200 }, { ZERO, LIB } } },
	{ .name = "raw, value of a program", .bit = PERF_SAMPLE_RAW, .blanked = true,
	  .synth = 1 + PERF_SYNTH_INTEL_PTWRITE,
	  .words = { { KEEP, RAW_WORD(12, 0) }, { ZERO, LIB } } },
	{ .name = "raw, event", .bit = PERF_SAMPLE_RAW, .blanked = true,
	  .synth = 1 + PERF_SYNTH_INTEL_EVT,
	  .words = { { KEEP, RAW_WORD(20, 0) }, { ZERO, 0 }, { ZERO, LIB } } },
	{ .name = "raw, branch of an interrupt flag", .bit = PERF_SAMPLE_RAW, .blanked = true,
	  .synth = 1 + PERF_SYNTH_INTEL_IFLAG_CHG,
	  .words = { { KEEP, RAW_WORD(12, 0) }, { ZERO, LIB } } },
	{ .name = "empty branch stack", .bit = PERF_SAMPLE_BRANCH_STACK, .words = { { KEEP, 0 } } },
	{ .name = "branch stack", .bit = PERF_SAMPLE_BRANCH_STACK,
	  .words = { { KEEP, 2 }, { USER, LIB + 1 }, { KERNEL, TEXT + 1 }, { KEEP, LIB },
		     { KERNEL, TEXT + 2 }, { USER, LIB + 2 }, { KEEP, TEXT } } },
	{ .name = "branch stack, hw_idx", .bit = PERF_SAMPLE_BRANCH_STACK,
	  .branch_sample_type = PERF_SAMPLE_BRANCH_HW_INDEX,
	  .words = { { KEEP, 1 }, { KEEP, -1ULL }, { USER, LIB + 1 }, { USER, LIB + 9 },
		     { KEEP, LIB } } },
	{ .name = "branch stack, counters", .bit = PERF_SAMPLE_BRANCH_STACK,
	  .branch_sample_type = PERF_SAMPLE_BRANCH_COUNTERS,
	  .words = { { KEEP, 1 }, { USER, LIB + 1 }, { USER, LIB + 9 }, { KEEP, LIB },
		     { KEEP, TEXT } } },
	{ .name = "branch stack, hw_idx and counters", .bit = PERF_SAMPLE_BRANCH_STACK,
	  .branch_sample_type = PERF_SAMPLE_BRANCH_HW_INDEX | PERF_SAMPLE_BRANCH_COUNTERS,
	  .words = { { KEEP, 2 }, { KEEP, 7 }, { USER, LIB + 1 }, { USER, LIB + 9 }, { KEEP, LIB },
		     { USER, LIB + 3 }, { KERNEL, TEXT + 3 }, { KEEP, 5 }, { KEEP, 6 },
		     { KEEP, TEXT } } },
	{ .name = "no user registers", .bit = PERF_SAMPLE_REGS_USER, .regs = 0x1f,
	  .words = { { KEEP, 0 } } },
	{ .name = "user registers", .bit = PERF_SAMPLE_REGS_USER, .regs = 0x80000000000000a1ULL,
	  .blanked = true,
	  .words = { { ZERO, 2 }, { GONE, LIB }, { GONE, 1 }, { GONE, 0 }, { GONE, TEXT } } },
	{ .name = "no user stack", .bit = PERF_SAMPLE_STACK_USER, .words = { { KEEP, 0 } } },
	{ .name = "user stack", .bit = PERF_SAMPLE_STACK_USER, .blanked = true,
	  .words = { { ZERO, 16 }, { GONE, LIB }, { GONE, 1 }, { GONE, 16 } } },
	{ .name = "weight", .bit = PERF_SAMPLE_WEIGHT, .words = { { KEEP, LIB } } },
	{ .name = "data src", .bit = PERF_SAMPLE_DATA_SRC, .words = { { KEEP, LIB } } },
	{ .name = "transaction", .bit = PERF_SAMPLE_TRANSACTION, .words = { { KEEP, LIB } } },
	{ .name = "no registers", .bit = PERF_SAMPLE_REGS_INTR, .regs = 0x1f,
	  .words = { { KEEP, 0 } } },
	{ .name = "registers", .bit = PERF_SAMPLE_REGS_INTR, .regs = 0x6, .blanked = true,
	  .words = { { ZERO, 1 }, { GONE, LIB }, { GONE, TEXT } } },
	{ .name = "phys addr", .bit = PERF_SAMPLE_PHYS_ADDR,
	  .words = { { PHYS, 0x123456789ULL } } },
	{ .name = "cgroup", .bit = PERF_SAMPLE_CGROUP, .words = { { KEEP, LIB } } },
	{ .name = "data page size", .bit = PERF_SAMPLE_DATA_PAGE_SIZE, .words = { { KEEP, LIB } } },
	{ .name = "code page size", .bit = PERF_SAMPLE_CODE_PAGE_SIZE, .words = { { KEEP, LIB } } },
	{ .name = "no aux", .bit = PERF_SAMPLE_AUX, .words = { { KEEP, 0 } } },
	{ .name = "aux", .bit = PERF_SAMPLE_AUX, .blanked = true,
	  .words = { { ZERO, 16 }, { GONE, LIB }, { GONE, TEXT } } },
};

struct sample_test {
	struct aslr_view		view;
	struct perf_event_attr		attr;
	struct aslr_sample_stats	stats;
	unsigned int			nr_fields;
	unsigned int			nr_in;
	unsigned int			nr_out;
	u64				in[256];
	u64				out[256];
	char				name[64];
};

static struct aslr_space *kind_space(struct aslr_spaces *spaces, enum kind kind)
{
	switch ((int)kind) {
	case USER:
		return aslr_spaces__process(spaces, HOST_KERNEL_ID, PID);
	case KERNEL:
		return aslr_spaces__kernel(spaces, HOST_KERNEL_ID);
	case GUEST_USER:
		return aslr_spaces__process(spaces, PID, PID);
	case GUEST_KERNEL:
		return aslr_spaces__kernel(spaces, PID);
	case HYPERVISOR:
		return aslr_spaces__hypervisor(spaces, HOST_KERNEL_ID);
	case PHYS:
		return aslr_spaces__phys(spaces, HOST_KERNEL_ID);
	default:
		return NULL;
	}
}

static int add_field(struct sample_test *st, const struct field *field)
{
	st->attr.sample_type |= field->bit;
	st->attr.read_format |= field->read_format;
	st->attr.branch_sample_type |= field->branch_sample_type;
	if (field->bit == PERF_SAMPLE_REGS_USER)
		st->attr.sample_regs_user = field->regs;
	else if (field->bit == PERF_SAMPLE_REGS_INTR)
		st->attr.sample_regs_intr = field->regs;
	if (field->synth) {
		st->attr.type = PERF_TYPE_SYNTH;
		st->attr.config = field->synth - 1;
	}
	if (field->guest)
		st->view.cpumode = PERF_RECORD_MISC_GUEST_KERNEL;
	st->nr_fields++;
	scnprintf(st->name, sizeof(st->name), "%s%s", st->nr_fields > 1 ? "all, with " : "",
		  field->name);

	for (const struct word *word = field->words; word->kind != END; word++) {
		struct aslr_space *space = kind_space(st->view.spaces, word->kind);
		u64 value = word->kind == ZERO ? 0 : word->value;

		st->in[st->nr_in++] = word->value;
		if (word->kind == GONE)
			continue;
		if (space && aslr_space__translate(space, word->value, &value))
			return TEST_FAIL;
		if (space && value == word->value) {
			pr_debug("%s: %#" PRIx64 " stays\n", st->name, value);
			return TEST_FAIL;
		}
		st->out[st->nr_out++] = value;
	}
	return TEST_OK;
}

/* Give @size bytes of the sample to what rewrites it, in a buffer that ends there. */
static int rewrite(struct sample_test *st, size_t size, union perf_event **out)
{
	struct perf_event_header header = {
		.type = PERF_RECORD_SAMPLE, .misc = 0x4002, .size = size,
	};
	struct aslr_format format;
	union perf_event *in = malloc(size);
	int err = aslr_format__init(&format, &st->attr);

	/* It is never larger. */
	*out = malloc(sizeof(header) + sizeof(st->in[0]) * st->nr_in);
	if (!err && in && *out) {
		memcpy(in, &header, sizeof(header));
		memcpy((void *)in + sizeof(header), st->in, size - sizeof(header));
		memset(&st->stats, 0, sizeof(st->stats));
		err = aslr_sample__rewrite(&format, &st->view, in, *out, NULL, &st->stats);
	}
	free(in);
	return err;
}

static int check_sample(struct sample_test *st)
{
	size_t size = sizeof(struct perf_event_header) + st->nr_in * sizeof(u64);
	size_t out_size = sizeof(struct perf_event_header) + st->nr_out * sizeof(u64);
	union perf_event *out = NULL;
	int ret = TEST_FAIL, err = rewrite(st, size, &out);

	if (err) {
		pr_debug("%s: got error %d\n", st->name, err);
	} else if (out->header.type != PERF_RECORD_SAMPLE || out->header.misc != 0x4002 ||
		   out->header.size != out_size) {
		pr_debug("%s: wanted size %zu, got %u\n", st->name, out_size, out->header.size);
	} else if (memcmp(out->sample.array, st->out, st->nr_out * sizeof(u64))) {
		for (unsigned int i = 0; i < st->nr_out; i++)
			pr_debug("%s: word %u: wanted %#" PRIx64 ", got %#" PRIx64 "\n",
				 st->name, i, st->out[i], (u64)out->sample.array[i]);
	} else {
		ret = TEST_OK;
	}
	free(out);

	/* A stack at the end is what there is. */
	if (st->attr.sample_type == PERF_SAMPLE_STACK_USER)
		size = sizeof(struct perf_event_header) + sizeof(u64);

	/* Cut off anywhere, it is refused. */
	for (size_t cut = sizeof(struct perf_event_header); !ret && cut < size; cut++) {
		err = rewrite(st, cut, &out);
		free(out);
		if (err != -EINVAL || st->stats.nr_samples) {
			pr_debug("%s: wanted error %d for %zu of %zu bytes, got %d\n", st->name,
				 -EINVAL, cut, size, err);
			ret = TEST_FAIL;
		}
	}
	return ret;
}

static int sample_test__init(struct sample_test *st)
{
	struct aslr_spaces *spaces = aslr_spaces__new();
	u64 image;

	TEST_ASSERT_VAL("out of memory", spaces);
	memset(st, 0, sizeof(*st));
	st->view = (struct aslr_view) {
		.spaces = spaces, .machine = HOST_KERNEL_ID, .guest = PID, .pid = PID,
		.cpumode = PERF_RECORD_MISC_USER,
	};
	TEST_ASSERT_VAL("process", aslr_spaces__new_process(spaces, HOST_KERNEL_ID, PID) &&
			aslr_spaces__new_process(spaces, PID, PID));
	/* Not the first, so that no two spaces have the same images. */
	for (enum kind kind = USER; kind < PHYS; kind++) {
		struct aslr_space *space = kind_space(spaces, kind);

		for (u64 i = 0; i < kind; i++) {
			if (aslr_space__add(space, 0x10000000 + i * 0x10000,
					    0x10000000 + i * 0x10000 + 0xfff, &image) ||
			    aslr_space__translate(space, 0x20000000 + i * 0x10000, &image))
				return TEST_FAIL;
		}
		for (u64 i = 0; i < kind; i++) {
			if (aslr_space__translate(space, LIB * 2 + i * 0x10000, &image) ||
			    aslr_space__translate(space, TEXT + 0x10000000 + i * 0x10000, &image))
				return TEST_FAIL;
		}
	}
	return TEST_OK;
}

static int test__aslr_sample_fields(struct test_suite *t __maybe_unused,
				    int subtest __maybe_unused)
{
	int ret = TEST_OK;

	for (unsigned int i = 0; i < ARRAY_SIZE(fields); i++) {
		union perf_event *out = NULL;
		struct sample_test st;
		size_t size;

		if (sample_test__init(&st))
			return TEST_FAIL;
		if (add_field(&st, &fields[i]) || check_sample(&st))
			ret = TEST_FAIL;
		size = sizeof(struct perf_event_header) + st.nr_in * sizeof(u64);
		rewrite(&st, size, &out);
		free(out);
		for (unsigned int row = 0; row < ASLR_NR_FIELDS; row++) {
			bool blanked = fields[i].blanked && aslr_fields[row].bit == fields[i].bit;

			if (st.stats.nr_blanked[row] != blanked) {
				pr_debug("%s: wanted %d blanked in row %u, got %" PRIu64 "\n",
					 fields[i].name, blanked, row, st.stats.nr_blanked[row]);
				ret = TEST_FAIL;
			}
		}
		aslr_spaces__delete(st.view.spaces);
	}
	return ret;
}

/* Each of the fields together with the first there is of all others. */
static int test__aslr_sample_all(struct test_suite *t __maybe_unused, int subtest __maybe_unused)
{
	int ret = TEST_OK;

	for (unsigned int i = 0; i < ARRAY_SIZE(fields); i++) {
		struct sample_test st;
		u64 done = 0;

		if (fields[i].guest)
			continue;
		if (sample_test__init(&st))
			return TEST_FAIL;
		for (unsigned int j = 0; j < ARRAY_SIZE(fields); j++) {
			u64 bit = fields[j].bit;

			if (j != i && (bit == fields[i].bit || done & bit))
				continue;
			done |= bit;
			if (add_field(&st, &fields[j]))
				ret = TEST_FAIL;
		}
		scnprintf(st.name, sizeof(st.name), "all, with %s", fields[i].name);
		if (check_sample(&st))
			ret = TEST_FAIL;
		aslr_spaces__delete(st.view.spaces);
	}
	return ret;
}

/* In which space the ip is. */
static int test__aslr_sample_ip(struct test_suite *t __maybe_unused, int subtest __maybe_unused)
{
	static const struct {
		u8		cpumode;
		struct word	word;
	} ips[] = {
		{ PERF_RECORD_MISC_USER, { USER, LIB } },
		/* No process has that. */
		{ PERF_RECORD_MISC_USER, { KERNEL, TEXT } },
		{ PERF_RECORD_MISC_GUEST_USER, { GUEST_KERNEL, TEXT } },
		{ PERF_RECORD_MISC_KERNEL, { KERNEL, TEXT } },
		{ PERF_RECORD_MISC_KERNEL, { KERNEL, LIB } },
		{ PERF_RECORD_MISC_HYPERVISOR, { HYPERVISOR, TEXT } },
		{ PERF_RECORD_MISC_GUEST_USER, { GUEST_USER, LIB } },
		{ PERF_RECORD_MISC_GUEST_KERNEL, { GUEST_KERNEL, TEXT } },
		{ PERF_RECORD_MISC_CPUMODE_UNKNOWN, { USER, LIB } },
		{ PERF_RECORD_MISC_CPUMODE_UNKNOWN, { KERNEL, TEXT } },
		/* What stays. */
		{ PERF_RECORD_MISC_USER, { KEEP, 0 } },
		{ PERF_RECORD_MISC_KERNEL, { KEEP, 0xffff } },
		{ PERF_RECORD_MISC_USER, { KEEP, 0xffffffffff600123ULL } },
	};
	int ret = TEST_OK;

	for (unsigned int i = 0; i < ARRAY_SIZE(ips); i++) {
		struct field field = { .name = "ip", .bit = PERF_SAMPLE_IP,
				       .words = { ips[i].word } };
		struct sample_test st;

		if (sample_test__init(&st))
			return TEST_FAIL;
		st.view.cpumode = ips[i].cpumode;
		if (add_field(&st, &field) || check_sample(&st)) {
			pr_debug("cpumode %u\n", ips[i].cpumode);
			ret = TEST_FAIL;
		}
		aslr_spaces__delete(st.view.spaces);
	}
	return ret;
}

/* Sizes and counts that can't be. */
static int test__aslr_sample_lies(struct test_suite *t __maybe_unused, int subtest __maybe_unused)
{
	static const struct field lies[] = {
		{ .name = "read, nr", .bit = PERF_SAMPLE_READ, .read_format = PERF_FORMAT_GROUP,
		  .words = { { KEEP, -1ULL }, { KEEP, 1 } } },
		{ .name = "read, nr that overflows", .bit = PERF_SAMPLE_READ,
		  .read_format = PERF_FORMAT_GROUP | PERF_FORMAT_ID,
		  .words = { { KEEP, 1ULL << 63 }, { KEEP, 1 } } },
		{ .name = "callchain, nr", .bit = PERF_SAMPLE_CALLCHAIN,
		  .words = { { KEEP, 3 }, { KEEP, 1 }, { KEEP, 2 } } },
		{ .name = "callchain, huge nr", .bit = PERF_SAMPLE_CALLCHAIN,
		  .words = { { KEEP, -1ULL }, { KEEP, 1 } } },
		{ .name = "callchain, nr that overflows", .bit = PERF_SAMPLE_CALLCHAIN,
		  .words = { { KEEP, 1ULL << 61 }, { KEEP, 1 } } },
		{ .name = "raw, size", .bit = PERF_SAMPLE_RAW,
		  .words = { { KEEP, RAW_WORD(12, 0) } } },
		{ .name = "raw, size not of words", .bit = PERF_SAMPLE_RAW,
		  .words = { { KEEP, RAW_WORD(5, 0) }, { KEEP, 1 } } },
		{ .name = "raw, size 0", .bit = PERF_SAMPLE_RAW,
		  .words = { { KEEP, 0 }, { KEEP, 1 } } },
		{ .name = "raw, huge size", .bit = PERF_SAMPLE_RAW,
		  .words = { { KEEP, RAW_WORD(0xfffffffc, 0) }, { KEEP, 1 } } },
		{ .name = "branch stack, nr", .bit = PERF_SAMPLE_BRANCH_STACK,
		  .words = { { KEEP, 2 }, { KEEP, 1 }, { KEEP, 1 }, { KEEP, 1 } } },
		{ .name = "branch stack, huge nr", .bit = PERF_SAMPLE_BRANCH_STACK,
		  .words = { { KEEP, -1ULL }, { KEEP, 1 }, { KEEP, 1 }, { KEEP, 1 } } },
		{ .name = "branch stack, nr that overflows", .bit = PERF_SAMPLE_BRANCH_STACK,
		  .words = { { KEEP, 0x5555555555555556ULL }, { KEEP, 1 }, { KEEP, 1 },
			     { KEEP, 1 } } },
		{ .name = "branch stack, nr that overflows with counters",
		  .bit = PERF_SAMPLE_BRANCH_STACK,
		  .branch_sample_type = PERF_SAMPLE_BRANCH_COUNTERS,
		  .words = { { KEEP, 1ULL << 62 }, { KEEP, 1 }, { KEEP, 1 }, { KEEP, 1 } } },
		{ .name = "user registers", .bit = PERF_SAMPLE_REGS_USER, .regs = -1ULL,
		  .words = { { KEEP, 1 }, { KEEP, 1 } } },
		{ .name = "registers", .bit = PERF_SAMPLE_REGS_INTR, .regs = -1ULL,
		  .words = { { KEEP, 1 }, { KEEP, 1 } } },
		{ .name = "stack, size", .bit = PERF_SAMPLE_STACK_USER | PERF_SAMPLE_WEIGHT,
		  .words = { { KEEP, 16 }, { KEEP, 1 }, { KEEP, 1 } } },
		{ .name = "stack, huge size", .bit = PERF_SAMPLE_STACK_USER | PERF_SAMPLE_WEIGHT,
		  .words = { { KEEP, -8ULL }, { KEEP, 1 }, { KEEP, 1 } } },
		{ .name = "stack, huger size", .bit = PERF_SAMPLE_STACK_USER | PERF_SAMPLE_WEIGHT,
		  .words = { { KEEP, -16ULL }, { KEEP, 1 }, { KEEP, 1 } } },
		{ .name = "stack, size not of words",
		  .bit = PERF_SAMPLE_STACK_USER | PERF_SAMPLE_WEIGHT,
		  .words = { { KEEP, 7 }, { KEEP, 1 }, { KEEP, 1 } } },
		{ .name = "aux, size", .bit = PERF_SAMPLE_AUX,
		  .words = { { KEEP, 24 }, { KEEP, 1 }, { KEEP, 1 } } },
		{ .name = "aux, huge size", .bit = PERF_SAMPLE_AUX,
		  .words = { { KEEP, -8ULL }, { KEEP, 1 }, { KEEP, 1 } } },
		{ .name = "aux, size not of words", .bit = PERF_SAMPLE_AUX,
		  .words = { { KEEP, 9 }, { KEEP, 1 }, { KEEP, 1 } } },
	};
	int ret = TEST_OK;

	for (unsigned int i = 0; i < ARRAY_SIZE(lies); i++) {
		union perf_event *out = NULL;
		struct sample_test st;
		int err;

		if (sample_test__init(&st))
			return TEST_FAIL;
		if (add_field(&st, &lies[i]))
			return TEST_FAIL;
		err = rewrite(&st, sizeof(struct perf_event_header) + st.nr_in * sizeof(u64), &out);
		free(out);
		if (err != -EINVAL) {
			pr_debug("%s: wanted error %d, got %d\n", lies[i].name, -EINVAL, err);
			ret = TEST_FAIL;
		}
		aslr_spaces__delete(st.view.spaces);
	}

	/* Shorter than its own header. */
	for (u16 size = 0; size < sizeof(struct perf_event_header); size++) {
		union perf_event *in = calloc(1, sizeof(*in)), out;
		struct perf_event_attr attr = { .sample_type = PERF_SAMPLE_IP };
		struct aslr_sample_stats stats = {};
		struct aslr_format format;
		struct sample_test st;
		int err;

		if (!in || sample_test__init(&st) || aslr_format__init(&format, &attr))
			return TEST_FAIL;
		in->header.size = size;
		err = aslr_sample__rewrite(&format, &st.view, in, &out, NULL, &stats);
		if (err != -EINVAL) {
			pr_debug("size %u: wanted error %d, got %d\n", size, -EINVAL, err);
			ret = TEST_FAIL;
		}
		free(in);
		aslr_spaces__delete(st.view.spaces);
	}
	return ret;
}

/* A stack is blanked whatever it says of its size, if nothing has to be found behind it. */
static int test__aslr_sample_bad_stacks(struct test_suite *t __maybe_unused,
					int subtest __maybe_unused)
{
	static const struct {
		struct field	field;
		unsigned int	nr_bad;
		unsigned int	nr_out;
	} rows[] = {
		{ { .words = { { KEEP, 16 }, { KEEP, 1 }, { KEEP, 1 }, { KEEP, 16 } } }, 0, 1 },
		{ { .words = { { KEEP, 16 }, { KEEP, 1 }, { KEEP, 1 }, { KEEP, 17 } } }, 1, 1 },
		{ { .words = { { KEEP, 16 }, { KEEP, 1 }, { KEEP, 1 }, { KEEP, -1ULL } } }, 1, 1 },
		{ { .words = { { KEEP, 16 }, { KEEP, 1 }, { KEEP, 1 } } }, 1, 1 },
		{ { .words = { { KEEP, 15 }, { KEEP, 1 }, { KEEP, 1 }, { KEEP, 1 } } }, 1, 1 },
		{ { .words = { { KEEP, -8ULL }, { KEEP, 1 }, { KEEP, 1 } } }, 1, 1 },
		{ { .words = { { KEEP, 8 } } }, 1, 1 },
		{ { .words = { { KEEP, 0 } } }, 0, 1 },
		/* What is behind it is found. */
		{ { .bit = PERF_SAMPLE_WEIGHT,
		    .words = { { KEEP, 8 }, { KEEP, 1 }, { KEEP, 9 }, { KEEP, 5 } } }, 1, 2 },
	};
	int ret = TEST_OK;

	for (unsigned int i = 0; i < ARRAY_SIZE(rows); i++) {
		struct field field = rows[i].field;
		union perf_event *out = NULL;
		struct sample_test st;
		int err;

		field.bit |= PERF_SAMPLE_STACK_USER;
		field.name = "stack";
		if (sample_test__init(&st) || add_field(&st, &field))
			return TEST_FAIL;
		err = rewrite(&st, sizeof(struct perf_event_header) + st.nr_in * sizeof(u64), &out);
		if (err || st.stats.nr_bad_stacks != rows[i].nr_bad || out->sample.array[0] ||
		    out->header.size != sizeof(out->header) + rows[i].nr_out * sizeof(u64)) {
			pr_debug("stack %u: error %d, %" PRIu64 " bad\n", i, err,
				 st.stats.nr_bad_stacks);
			ret = TEST_FAIL;
		}
		free(out);
		aslr_spaces__delete(st.view.spaces);
	}
	return ret;
}

/* The process of a sample, which may have other fields before it, or end too early. */
static int test__aslr_sample_pid(struct test_suite *t __maybe_unused, int subtest __maybe_unused)
{
	const u64 id = PERF_SAMPLE_IDENTIFIER, ip = PERF_SAMPLE_IP, tid = PERF_SAMPLE_TID;
	const u64 behind = PERF_SAMPLE_TIME | PERF_SAMPLE_ADDR | PERF_SAMPLE_ID | PERF_SAMPLE_CPU;
	const struct {
		u64		sample_type;
		unsigned int	nr;
		s32		pid;
	} rows[] = {
		{ tid | behind, 5, 100 },
		{ ip | tid, 2, 101 },
		{ id | tid | behind, 6, 101 },
		{ id | ip | tid | behind, 7, 102 },
		{ id | ip | tid, 3, 102 },
		{ id | ip | tid, 2, -1 },
		{ tid, 0, -1 },
		{ id | ip | behind, 6, -1 },
		{ 0, 0, -1 },
	};
	union perf_event *event = malloc(sizeof(*event));

	TEST_ASSERT_VAL("out of memory", event);
	for (unsigned int i = 0; i < 8; i++) {
		const u32 ids[] = { 100 + i, 200 };

		memcpy((void *)&event->sample.array[i], ids, sizeof(ids));
	}
	for (unsigned int i = 0; i < ARRAY_SIZE(rows); i++) {
		struct perf_event_attr attr = { .sample_type = rows[i].sample_type };
		struct aslr_format format;

		event->header.size = sizeof(event->header) + rows[i].nr * sizeof(u64);
		TEST_ASSERT_VAL("format", !aslr_format__init(&format, &attr));
		TEST_ASSERT_EQUAL("pid", aslr_format__pid(&format, event), rows[i].pid);
	}
	free(event);
	return TEST_OK;
}

#define MAX_FRAMES	3

/* Frames go behind the call chain, if there is room where the stack was. */
static int test__aslr_sample_frames(struct test_suite *t __maybe_unused,
				    int subtest __maybe_unused)
{
	static const u64 ips[MAX_FRAMES] = { LIB + 0x123, -1ULL, LIB + 0x4000 };
	static const struct {
		unsigned int	nr;
		u64		stack;
		int		err;
	} rows[] = {
		{ .nr = 0, .stack = 0 },
		{ .nr = 0, .stack = 32 },
		{ .nr = MAX_FRAMES, .stack = 32 },
		/* A marker, 3 frames. They have the places of 2 registers and 8 * 2 + 8 bytes. */
		{ .nr = MAX_FRAMES, .stack = 8 },
		{ .nr = MAX_FRAMES, .stack = 0, .err = -E2BIG },
	};
	int ret = TEST_OK;

	for (unsigned int i = 0; i < ARRAY_SIZE(rows); i++) {
		u64 words = rows[i].stack / sizeof(u64);
		struct aslr_frames frames = { .ips = ips, .nr = rows[i].nr };
		struct perf_event_attr attr = {
			.sample_type = PERF_SAMPLE_CALLCHAIN | PERF_SAMPLE_REGS_USER |
				       PERF_SAMPLE_STACK_USER | PERF_SAMPLE_WEIGHT,
			.sample_regs_user = 3,
		};
		struct aslr_format format;
		struct sample_test st;
		union perf_event *in, *out;
		u64 *want = st.out, image;
		size_t size;
		int err;

		if (sample_test__init(&st) || aslr_format__init(&format, &attr))
			return TEST_FAIL;
		st.in[st.nr_in++] = 2;
		st.in[st.nr_in++] = PERF_CONTEXT_KERNEL;
		st.in[st.nr_in++] = TEXT + 5;
		st.in[st.nr_in++] = PERF_SAMPLE_REGS_ABI_64;
		st.in[st.nr_in++] = LIB;
		st.in[st.nr_in++] = LIB;
		st.in[st.nr_in++] = rows[i].stack;
		for (u64 word = 0; word < words + !!words; word++)
			st.in[st.nr_in++] = word;
		st.in[st.nr_in++] = 77;

		*want++ = 2 + (rows[i].nr ? 1 + rows[i].nr : 0);
		*want++ = PERF_CONTEXT_KERNEL;
		if (aslr_space__translate(kind_space(st.view.spaces, KERNEL), TEXT + 5, want++))
			return TEST_FAIL;
		if (rows[i].nr)
			*want++ = PERF_CONTEXT_USER;
		for (unsigned int j = 0; j < rows[i].nr; j++) {
			enum kind kind = ips[j] == -1ULL ? KERNEL : USER;

			if (aslr_space__translate(kind_space(st.view.spaces, kind), ips[j], &image))
				return TEST_FAIL;
			/* No marker, whatever it was. */
			if (image == ips[j] || image >= PERF_CONTEXT_MAX)
				ret = TEST_FAIL;
			*want++ = image;
		}
		*want++ = 0;
		*want++ = 0;
		*want++ = 77;
		st.nr_out = want - st.out;

		size = sizeof(struct perf_event_header) + st.nr_in * sizeof(u64);
		in = malloc(size);
		out = malloc(size + (1 + rows[i].nr) * sizeof(u64));
		if (!in || !out)
			return TEST_FAIL;
		in->header = (struct perf_event_header) {
			.type = PERF_RECORD_SAMPLE, .size = size,
		};
		memcpy((void *)in + sizeof(in->header), st.in, st.nr_in * sizeof(u64));
		err = aslr_sample__rewrite(&format, &st.view, in, out, &frames, &st.stats);
		size = sizeof(struct perf_event_header) + st.nr_out * sizeof(u64);
		if (err != rows[i].err || (!err && out->header.size != size) ||
		    (!err && memcmp(out->sample.array, st.out, st.nr_out * sizeof(u64)))) {
			pr_debug("row %u: got error %d, size %u\n", i, err, out->header.size);
			ret = TEST_FAIL;
		}
		free(in);
		free(out);
		aslr_spaces__delete(st.view.spaces);
	}
	return ret;
}

/* Each bit has a row, and what has none is refused. */
static int test__aslr_sample_table(struct test_suite *t __maybe_unused, int subtest __maybe_unused)
{
	struct aslr_format format;
	u64 tested = 0;
	int ret = TEST_OK;

	for (u64 bit = 1; bit < PERF_SAMPLE_MAX; bit <<= 1) {
		unsigned int nr = 0;

		for (unsigned int i = 0; i < ASLR_NR_FIELDS; i++)
			nr += !!(aslr_fields[i].bit & bit);
		if (nr != 1) {
			pr_debug("wanted one row for %#" PRIx64 ", got %u\n", bit, nr);
			ret = TEST_FAIL;
		}
	}
	for (unsigned int i = 0; i < ASLR_NR_FIELDS; i++) {
		const struct aslr_field *field = &aslr_fields[i];

		if (!field->name || !*field->name || !field->why || !*field->why ||
		    (!field->rewrite && (!field->is_word || field->action != ASLR_KEEP)) ||
		    field->action == ASLR_DROP ||
		    field->bit & ~(PERF_SAMPLE_MAX - 1ULL)) {
			pr_debug("row %u, %s, isn't complete\n", i, field->name ?: "?");
			ret = TEST_FAIL;
		}
	}
	for (unsigned int i = 0; i < ARRAY_SIZE(fields); i++)
		tested |= fields[i].bit;
	TEST_ASSERT_VAL("a test for each bit",
			(tested | PERF_SAMPLE_WEIGHT_STRUCT) == PERF_SAMPLE_MAX - 1);

	for (unsigned int i = 0; i < 64; i++) {
		struct perf_event_attr type = { .sample_type = 1ULL << i };
		struct perf_event_attr read = { .read_format = 1ULL << i };
		struct perf_event_attr branch = { .branch_sample_type = 1ULL << i };

		TEST_ASSERT_VAL("sample type", !aslr_format__init(&format, &type) ==
				(1ULL << i < PERF_SAMPLE_MAX));
		TEST_ASSERT_VAL("read format", !aslr_format__init(&format, &read) ==
				(1ULL << i < PERF_FORMAT_MAX));
		TEST_ASSERT_VAL("branch type", !aslr_format__init(&format, &branch) ==
				(1ULL << i < PERF_SAMPLE_BRANCH_MAX));
	}
	return ret;
}

/* Something to find out what a payload is rewritten with. */
struct aslr_payload {
	int	ret;
	u32	size;
};

static int flip_payload(const struct aslr_payload *payload, struct aslr_view *view __maybe_unused,
			void *data, u32 size, u64 *nr_addrs)
{
	u8 *byte = data;

	if (size != payload->size)
		return -ENOSPC;
	for (u32 i = 0; i < size; i++)
		byte[i] ^= 0xff;
	*nr_addrs += 7;
	return payload->ret;
}

/* A payload is what it is rewritten to, zeros if it is bad, and an error stays one. */
static int test__aslr_sample_payload(struct test_suite *t __maybe_unused,
				     int subtest __maybe_unused)
{
	static const struct {
		int	ret;
		int	want;
		u32	first;
		u64	last;
	} cases[] = {
		{ .first = ~1U, .last = ~LIB },
		{ .ret = -EINVAL },
		{ .ret = -ENOMEM, .want = -ENOMEM },
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		struct aslr_payload payload = { .ret = cases[i].ret, .size = 12 };
		struct perf_event_attr attr = { .sample_type = PERF_SAMPLE_RAW };
		struct aslr_sample_stats stats = {};
		const u64 words[] = { RAW_WORD(12, 1), LIB };
		union perf_event *in = malloc(sizeof(*in)), *out = malloc(sizeof(*out));
		struct aslr_format format;
		struct sample_test st;
		bool blanked = cases[i].ret == -EINVAL;
		u64 got[ARRAY_SIZE(words)];
		int err;

		if (!in || !out || sample_test__init(&st) || aslr_format__init(&format, &attr))
			return TEST_FAIL;
		in->header.type = PERF_RECORD_SAMPLE;
		in->header.size = sizeof(in->header) + sizeof(words);
		memcpy((void *)in->sample.array, words, sizeof(words));
		format.rewrite_payload = flip_payload;
		format.payload = &payload;
		err = aslr_sample__rewrite(&format, &st.view, in, out, NULL, &stats);
		aslr_spaces__delete(st.view.spaces);

		TEST_ASSERT_EQUAL("error", err, cases[i].want);
		if (!err)
			TEST_ASSERT_EQUAL("size", out->header.size, in->header.size);
		memcpy(got, out->sample.array, sizeof(got));
		free(in);
		free(out);
		if (err)
			continue;
		TEST_ASSERT_VAL("payload", got[0] == RAW_WORD(12, cases[i].first) &&
				got[1] == cases[i].last);
		TEST_ASSERT_VAL("blanked", stats.nr_blanked[11] == blanked);
		TEST_ASSERT_VAL("row of payloads", aslr_fields[11].bit == PERF_SAMPLE_RAW);
		TEST_ASSERT_VAL("addresses", stats.nr_addrs == (blanked ? 0 : 7));
	}
	return TEST_OK;
}

static struct test_case tests__aslr_sample[] = {
	TEST_CASE("aslr fields of samples", aslr_sample_fields),
	TEST_CASE("aslr all fields of samples", aslr_sample_all),
	TEST_CASE("aslr spaces of samples", aslr_sample_ip),
	TEST_CASE("aslr samples that lie", aslr_sample_lies),
	TEST_CASE("aslr stacks of samples", aslr_sample_bad_stacks),
	TEST_CASE("aslr process of samples", aslr_sample_pid),
	TEST_CASE("aslr frames of samples", aslr_sample_frames),
	TEST_CASE("aslr payloads of samples", aslr_sample_payload),
	TEST_CASE("aslr table of fields", aslr_sample_table),
	{ .name = NULL, }
};

struct test_suite suite__aslr_sample = {
	.desc = "aslr samples",
	.test_cases = tests__aslr_sample,
};
