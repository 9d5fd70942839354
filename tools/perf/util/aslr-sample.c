// SPDX-License-Identifier: GPL-2.0
/*
 * Rewriting of samples, see aslr-sample.h.
 */
#include "aslr-sample.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <linux/bitops.h>
#include <linux/bits.h>
#include <linux/build_bug.h>
#include <linux/compiler.h>
#include <linux/kernel.h>
#include <linux/string.h>
#include "aslr-spaces.h"
#include "branch.h"
#include "event.h"

/* One sample on its way. */
struct aslr_rewrite {
	const struct aslr_format	*format;
	struct aslr_view		*view;
	const struct aslr_frames	*frames;
	struct aslr_sample_stats	*stats;
	/* What is left to read, and where to write. */
	const u64			*in;
	const u64			*end;
	u64				*out;
	/* The field that is being rewritten, and its copy if it is of one word. */
	unsigned int			field;
	u64				*word;
};

static bool has(const struct aslr_rewrite *rw, u64 nr)
{
	return nr <= (u64)(rw->end - rw->in);
}

static int keep(struct aslr_rewrite *rw, u64 nr)
{
	if (!has(rw, nr))
		return -EINVAL;
	memcpy(rw->out, rw->in, nr * sizeof(u64));
	rw->in += nr;
	rw->out += nr;
	return 0;
}

/* Fields of one word each: too few for a call, or for what compilers make of such a loop. */
static int keep_words(struct aslr_rewrite *rw, unsigned int nr)
{
	const u64 *in = rw->in, *end = in + nr;
	u64 *out = rw->out;

	if (!has(rw, nr))
		return -EINVAL;
	if (nr & 1)
		*out++ = *in++;
	for (; in < end; in += 2, out += 2) {
		memcpy(out, in, 2 * sizeof(*in));
		barrier();
	}
	rw->in = in;
	rw->out = out;
	return 0;
}

/* What is behind its 4 bytes is reserved. */
static int clear_cpu_reserved(struct aslr_rewrite *rw)
{
	((u32 *)rw->word)[1] = 0;
	return 0;
}

static int put_addr(struct aslr_rewrite *rw, struct aslr_space *space, u64 addr, u64 *image)
{
	int err;

	if (!space)
		return -ENOMEM;
	err = aslr_space__translate(space, addr, image);
	rw->stats->nr_addrs += addr != *image;
	return err;
}

/* Write 0 for a field that begins with its size or ABI, and go on after it. */
static int blank(struct aslr_rewrite *rw, u64 nr)
{
	if (!has(rw, nr))
		return -EINVAL;
	rw->stats->nr_blanked[rw->field] += *rw->in != 0;
	rw->in += nr;
	*rw->out++ = 0;
	return 0;
}

static struct aslr_space *mode_space(struct aslr_rewrite *rw, u8 mode, u64 addr)
{
	if (mode == PERF_RECORD_MISC_CPUMODE_UNKNOWN)
		return aslr_view__space_of(rw->view, addr);
	return aslr_view__space_in(rw->view, mode, addr);
}

static int rewrite_ip(struct aslr_rewrite *rw)
{
	return put_addr(rw, mode_space(rw, rw->view->cpumode, *rw->word), *rw->word, rw->word);
}

static int rewrite_addr(struct aslr_rewrite *rw)
{
	return put_addr(rw, aslr_view__space_of(rw->view, *rw->word), *rw->word, rw->word);
}

static int rewrite_phys_addr(struct aslr_rewrite *rw)
{
	return put_addr(rw, aslr_spaces__phys(rw->view->spaces, rw->view->machine), *rw->word,
			rw->word);
}

static int keep_read(struct aslr_rewrite *rw)
{
	u64 format = rw->format->read_format;
	u64 times = !!(format & PERF_FORMAT_TOTAL_TIME_ENABLED) +
		    !!(format & PERF_FORMAT_TOTAL_TIME_RUNNING);
	u64 per_value = 1 + !!(format & PERF_FORMAT_ID) + !!(format & PERF_FORMAT_LOST);

	if (!(format & PERF_FORMAT_GROUP))
		return keep(rw, times + per_value);
	/* The number of values is the first. */
	if (!has(rw, 1) || *rw->in > (u64)(rw->end - rw->in))
		return -EINVAL;
	return keep(rw, 1 + times + *rw->in * per_value);
}

static u8 context_mode(u64 context)
{
	switch (context) {
	case PERF_CONTEXT_HV:
		return PERF_RECORD_MISC_HYPERVISOR;
	case PERF_CONTEXT_KERNEL:
		return PERF_RECORD_MISC_KERNEL;
	case PERF_CONTEXT_USER:
		return PERF_RECORD_MISC_USER;
	case PERF_CONTEXT_GUEST_KERNEL:
		return PERF_RECORD_MISC_GUEST_KERNEL;
	case PERF_CONTEXT_GUEST_USER:
		return PERF_RECORD_MISC_GUEST_USER;
	default:
		return PERF_RECORD_MISC_CPUMODE_UNKNOWN;
	}
}

/* As a user call chain of the kernel's would be. @nr is where its entries are counted. */
static int append_frames(struct aslr_rewrite *rw, u64 *nr)
{
	const struct aslr_frames *frames = rw->frames;
	int err;

	if (!frames || !frames->nr)
		return 0;

	*nr += 1 + frames->nr;
	*rw->out++ = PERF_CONTEXT_USER;
	for (unsigned int i = 0; i < frames->nr; i++) {
		u64 ip = frames->ips[i];

		err = put_addr(rw, mode_space(rw, PERF_RECORD_MISC_USER, ip), ip, rw->out++);
		if (err)
			return err;
	}
	return 0;
}

static int rewrite_callchain(struct aslr_rewrite *rw)
{
	u8 mode = PERF_RECORD_MISC_CPUMODE_UNKNOWN;
	const u64 *in = rw->in, *end;
	u64 *out = rw->out, *nr_out = out;

	if (!has(rw, 1) || *in > (u64)(rw->end - in - 1))
		return -EINVAL;

	end = in + 1 + *in;
	*out++ = *in++;
	while (in < end) {
		struct aslr_space *space;
		s64 nr;

		if (*in >= PERF_CONTEXT_MAX) {
			u64 context = *in++;

			mode = context_mode(context);
			/* Readers give such a chain up, whatever it is that is no marker. */
			if (mode == PERF_RECORD_MISC_CPUMODE_UNKNOWN &&
			    context != PERF_CONTEXT_GUEST)
				context = PERF_CONTEXT_MAX;
			*out++ = context;
			continue;
		}
		space = mode_space(rw, mode, *in);
		if (!space)
			return -ENOMEM;
		/* Without a mode each is of a space of its own. */
		nr = mode == PERF_RECORD_MISC_CPUMODE_UNKNOWN ? 1 : end - in;
		nr = aslr_space__translate_all(space, in, nr, out, &rw->stats->nr_addrs);
		if (nr < 0)
			return nr;
		in += nr;
		out += nr;
	}
	rw->in = in;
	rw->out = out;
	return append_frames(rw, nr_out);
}

/* The sizes of what is synthesized from a trace and holds no address. */
static u32 kept_raw_size(const struct perf_event_attr *attr)
{
	static const u32 sizes[] = {
		[PERF_SYNTH_INTEL_MWAIT]  = perf_synth__raw_size(struct perf_synth_intel_mwait),
		[PERF_SYNTH_INTEL_PWRE]	  = perf_synth__raw_size(struct perf_synth_intel_pwre),
		[PERF_SYNTH_INTEL_EXSTOP] = perf_synth__raw_size(struct perf_synth_intel_exstop),
		[PERF_SYNTH_INTEL_PWRX]	  = perf_synth__raw_size(struct perf_synth_intel_pwrx),
		[PERF_SYNTH_INTEL_CBR]	  = perf_synth__raw_size(struct perf_synth_intel_cbr),
		[PERF_SYNTH_INTEL_PSB]	  = perf_synth__raw_size(struct perf_synth_intel_psb),
	};

	if (attr->type != PERF_TYPE_SYNTH || attr->config >= ARRAY_SIZE(sizes))
		return 0;
	return sizes[attr->config];
}

/*
 * A size in bytes and as many bytes, which together end on a u64.  Where nothing
 * in it can be told from an address: zeros of the same size.
 */
static int rewrite_raw(struct aslr_rewrite *rw)
{
	const struct aslr_format *format = rw->format;
	void *data = (void *)rw->out + sizeof(u32);
	int err = -EINVAL;
	u64 nr, nr_addrs = 0;
	u32 size;

	if (!has(rw, 1))
		return -EINVAL;
	memcpy(&size, rw->in, sizeof(size));
	if ((sizeof(size) + size) % sizeof(u64))
		return -EINVAL;
	nr = (sizeof(size) + size) / sizeof(u64);
	if (!nr || !has(rw, nr))
		return -EINVAL;

	keep(rw, nr);
	if (size == format->kept_raw_size)
		return 0;
	if (format->rewrite_payload)
		err = format->rewrite_payload(format->payload, rw->view, data, size, &nr_addrs);
	if (err == -EINVAL) {
		rw->stats->nr_blanked[rw->field]++;
		memset(data, 0, size);
		return 0;
	}
	rw->stats->nr_addrs += nr_addrs;
	rw->stats->nr_blanked[rw->field] += err > 0;
	return min(err, 0);
}

static int put_branch_end(struct aslr_rewrite *rw)
{
	u64 addr = *rw->in++;

	return put_addr(rw, aslr_view__space_of(rw->view, addr), addr, rw->out++);
}

static int rewrite_branch_stack(struct aslr_rewrite *rw)
{
	bool hw_idx = rw->format->branch_sample_type & PERF_SAMPLE_BRANCH_HW_INDEX;
	bool counters = rw->format->branch_sample_type & PERF_SAMPLE_BRANCH_COUNTERS;
	u64 nr, left;
	int err;

	if (!has(rw, 1 + hw_idx))
		return -EINVAL;
	nr = *rw->in;
	keep(rw, 1 + hw_idx);
	left = rw->end - rw->in;
	if (nr > left || nr * (sizeof(struct branch_entry) / sizeof(u64) + counters) > left)
		return -EINVAL;

	for (u64 i = 0; i < nr; i++) {
		/* Each end of a branch may be of the kernel or of the process. */
		err = put_branch_end(rw) ?: put_branch_end(rw) ?: keep(rw, 1);
		if (err)
			return err;
	}
	return counters ? keep(rw, nr) : 0;
}

/* An ABI, 0 for none, and as many registers as the mask has bits. */
static int blank_regs(struct aslr_rewrite *rw, u64 mask)
{
	if (!has(rw, 1))
		return -EINVAL;
	return blank(rw, *rw->in ? 1 + hweight64(mask) : 1);
}

static int blank_regs_user(struct aslr_rewrite *rw)
{
	return blank_regs(rw, rw->format->regs_user);
}

static int blank_regs_intr(struct aslr_rewrite *rw)
{
	return blank_regs(rw, rw->format->regs_intr);
}

/* The u64 words of a field that begins with its size in bytes, 0 if that is no size. */
static u64 sized_words(const struct aslr_rewrite *rw, bool dyn_size)
{
	u64 size;

	if (!has(rw, 1))
		return 0;
	size = *rw->in;
	if (size % sizeof(u64) || size / sizeof(u64) > (u64)(rw->end - rw->in))
		return 0;
	return 1 + size / sizeof(u64) + (size && dyn_size);
}

/*
 * A size, so many bytes, and how many of them are used, which isn't there if size is 0.
 * If nothing is behind it, it is all that is left, whatever it says.
 */
static int blank_stack_user(struct aslr_rewrite *rw)
{
	const struct aslr_format *format = rw->format;
	u64 nr = sized_words(rw, /*dyn_size=*/true);
	u64 left = rw->end - rw->in;

	if (!nr || nr > left) {
		if (!left || format->steps[format->nr_steps - 1].field != rw->field)
			return -EINVAL;
		rw->stats->nr_bad_stacks++;
		nr = left;
	} else if (nr > 1 && rw->in[nr - 1] > *rw->in) {
		rw->stats->nr_bad_stacks++;
	}
	return blank(rw, nr);
}

static int blank_aux(struct aslr_rewrite *rw)
{
	u64 nr = sized_words(rw, /*dyn_size=*/false);

	return nr ? blank(rw, nr) : -EINVAL;
}

#define FIELD(_name, _action, _rewrite, _why) {	\
	.bit		= PERF_SAMPLE_##_name,	\
	.name		= #_name,		\
	.action		= ASLR_##_action,	\
	.rewrite	= _rewrite,		\
	.why		= _why,			\
}

/* Of one word. It stays as it is if @_rewrite is NULL. */
#define WORD(_name, _action, _rewrite, _why) {	\
	.bit		= PERF_SAMPLE_##_name,	\
	.name		= #_name,		\
	.action		= ASLR_##_action,	\
	.is_word	= true,			\
	.rewrite	= _rewrite,		\
	.why		= _why,			\
}

const struct aslr_field aslr_fields[ASLR_NR_FIELDS] = {
	WORD(IDENTIFIER, KEEP, NULL, "number of the event"),
	WORD(IP, REWRITE, rewrite_ip, "in the address space that the CPU was in"),
	WORD(TID, KEEP, NULL, "process and thread number"),
	WORD(TIME, KEEP, NULL, "timestamp"),
	WORD(ADDR, REWRITE, rewrite_addr, "in the kernel's or the process' address space"),
	WORD(ID, KEEP, NULL, "number of the event"),
	WORD(STREAM_ID, KEEP, NULL, "number of the event"),
	WORD(CPU, KEEP, clear_cpu_reserved, "CPU number"),
	WORD(PERIOD, KEEP, NULL, "count"),
	FIELD(READ, KEEP, keep_read, "counts, times and numbers of events"),
	FIELD(CALLCHAIN, REWRITE, rewrite_callchain,
	      "each entry in the address space of its context marker"),
	FIELD(RAW, REWRITE, rewrite_raw,
	      "by the format of its tracepoint; without one it is zeros of the same size"),
	FIELD(BRANCH_STACK, REWRITE, rewrite_branch_stack,
	      "each end of a branch in its own address space; flags and counters stay"),
	FIELD(REGS_USER, BLANK, blank_regs_user, "registers hold addresses: ABI none"),
	FIELD(STACK_USER, BLANK, blank_stack_user, "a stack holds addresses: size 0"),
	{
		.bit = PERF_SAMPLE_WEIGHT | PERF_SAMPLE_WEIGHT_STRUCT,
		.name = "WEIGHT",
		.action = ASLR_KEEP,
		.is_word = true,
		.why = "latencies",
	},
	WORD(DATA_SRC, KEEP, NULL, "kind of access"),
	WORD(TRANSACTION, KEEP, NULL, "abort reason"),
	FIELD(REGS_INTR, BLANK, blank_regs_intr, "registers hold addresses: ABI none"),
	WORD(PHYS_ADDR, REWRITE, rewrite_phys_addr, "a page of its own for each page"),
	WORD(CGROUP, KEEP, NULL, "number of the cgroup"),
	WORD(DATA_PAGE_SIZE, KEEP, NULL, "size"),
	WORD(CODE_PAGE_SIZE, KEEP, NULL, "size"),
	FIELD(AUX, BLANK, blank_aux, "trace data holds addresses: size 0"),
};

/* See struct aslr_format.  The fields before it are of one word each. */
static int pid_word(const struct perf_event_attr *attr)
{
	u64 before = attr->sample_type & (PERF_SAMPLE_IDENTIFIER | PERF_SAMPLE_IP);

	return attr->sample_type & PERF_SAMPLE_TID ? (int)hweight64(before) : -1;
}

int aslr_format__init(struct aslr_format *format, const struct perf_event_attr *attr)
{
	/* With which the fields of one word each began that go on here. */
	struct aslr_step *run = NULL;

	/* A new bit needs a row above, or a place in the field that it changes. */
	BUILD_BUG_ON(PERF_SAMPLE_MAX != 1U << 25);
	BUILD_BUG_ON(PERF_FORMAT_MAX != 1U << 5);
	BUILD_BUG_ON(PERF_SAMPLE_BRANCH_MAX_SHIFT != 20);

	if (attr->sample_type & ~(PERF_SAMPLE_MAX - 1ULL) ||
	    attr->read_format & ~(PERF_FORMAT_MAX - 1ULL) ||
	    attr->branch_sample_type & ~(PERF_SAMPLE_BRANCH_MAX - 1ULL))
		return -EINVAL;

	*format = (struct aslr_format) {
		.read_format		= attr->read_format,
		.branch_sample_type	= attr->branch_sample_type,
		.regs_user		= attr->sample_regs_user,
		.regs_intr		= attr->sample_regs_intr,
		.kept_raw_size		= kept_raw_size(attr),
		.pid_word		= pid_word(attr),
	};
	for (unsigned int i = 0; i < ASLR_NR_FIELDS; i++) {
		const struct aslr_field *field = &aslr_fields[i];
		struct aslr_step step = { .rewrite = field->rewrite, .field = i };

		if (!(attr->sample_type & field->bit))
			continue;
		if (!field->is_word) {
			run = NULL;
		} else if (!run) {
			run = &format->steps[format->nr_steps];
			step.nr_words = 1;
		} else {
			step.word = run->nr_words++;
			if (!field->rewrite)
				continue;
		}
		format->steps[format->nr_steps++] = step;
	}
	return 0;
}

s32 aslr_format__pid(const struct aslr_format *format, const union perf_event *event)
{
	const u64 *word = (const u64 *)event->sample.array + format->pid_word;
	s32 pid;

	if (format->pid_word < 0 || (void *)(word + 1) > (void *)event + event->header.size)
		return -1;
	/* The thread's is behind it. */
	memcpy(&pid, word, sizeof(pid));
	return pid;
}

int aslr_sample__rewrite(const struct aslr_format *format, struct aslr_view *view,
			 const union perf_event *in, union perf_event *out,
			 const struct aslr_frames *frames, struct aslr_sample_stats *stats)
{
	const u64 *array = (const void *)in->sample.array;
	size_t size = max_t(size_t, in->header.size, sizeof(in->header)) - sizeof(in->header);
	struct aslr_rewrite rw = {
		.format	= format,
		.view	= view,
		.frames	= frames,
		.stats	= stats,
		.in	= array,
		.end	= array + size / sizeof(u64),
		.out	= (void *)out->sample.array,
	};
	const struct aslr_step *step = format->steps, *end = step + format->nr_steps;
	u64 *run = rw.out;
	int err;

	for (; step < end; step++) {
		if (step->nr_words) {
			run = rw.out;
			err = keep_words(&rw, step->nr_words);
			if (err)
				return err;
		}
		if (!step->rewrite)
			continue;
		rw.field = step->field;
		rw.word = run + step->word;
		err = step->rewrite(&rw);
		if (err)
			return err;
	}
	/* The rest of the sample has to make room for the frames, the size is of 16 bits. */
	if ((void *)rw.out - (void *)out > in->header.size)
		return -E2BIG;

	out->header = in->header;
	out->header.size = (void *)rw.out - (void *)out;
	stats->nr_samples++;
	return 0;
}
