// SPDX-License-Identifier: GPL-2.0
/*
 * Rewriting of the raw payloads of tracepoints, see aslr-payload.h.
 */
#include "aslr-payload.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <linux/bitmap.h>
#include <linux/bitops.h>
#include <linux/bits.h>
#include <linux/kernel.h>
#include <linux/sizes.h>
#include <linux/string.h>
#include <linux/zalloc.h>
#include <traceevent/event-parse.h>
#include "aslr-hex.h"
#include "aslr-spaces.h"
#include "aslr-tracing.h"
#include "trace-event.h"

/* Addresses below tell nothing. */
#define LOW_END		SZ_64K
/* From here on are the kernel's addresses, but for some architectures whose pointers are less. */
#define KERNEL_HALF	0xff00000000000000ULL
/* Those of x86_64 are, and most of others. */
#define CANONICAL_START	0xffff800000000000ULL
/* And those of arm64 with 48 bits, but for what is before an IPv4 address in an IPv6 one. */
#define IPV4_START	0xffff000000000000ULL
#define UPPER_START	0xffff000000010000ULL
/* Those of x86_64 with 57 bits. */
#define WIDER_START	0xff10000000000000ULL
/* Numbers up to here are negative 32-bit ones behind which something else is. */
#define UNUSED_START	(-4ULL * SZ_1G)
#define UNUSED_END	(-2ULL * SZ_1G)
/* No addresses from here on, but small negative numbers. */
#define NEGATIVE_START	(-2ULL * SZ_1M)
/* User space that all processes have. */
#define USER_END	BIT_ULL(47)
#define FOUR_GIB	BIT_ULL(32)
#define TIB		BIT_ULL(40)

#define PFN_SHIFT	12

enum kind {
	/* What all events have, and what can't hold an address by itself. */
	KEEP,
	/* What no field is. */
	GAP,
	ADDRESS,
	/* An unsigned long, which the kernel has for addresses and for numbers. */
	LONG,
	/* A 64-bit number in hexadecimal. */
	WIDE,
	NUMBER,
	/* 32 bits that a task of 32 bits gave. */
	NARROW,
	/* What a system call returns, or its arguments. */
	SYSCALL,
	/* What brk() returns. */
	BRK,
	PHYS,
	PFN,
	TEXT,
	BYTES,
	/* What printk() is given, numbers of 4 and 8 bytes and strings, each on a multiple of 4. */
	ARGS,
};

/* What is taken for an address that isn't known. */
#define ANY		BIT(0)
#define KERNEL		BIT(1)
/* In the kernel's last 2 GiB, too. */
#define KERNEL_TOP	BIT(2)
/* From 4 GiB on. */
#define USER		BIT(3)
#define USER_NEAR	BIT(4)
/* What is in a mapping below 4 GiB, and where 32-bit tasks and heaps are. */
#define LOW		BIT(5)
/* Nothing in other tasks than those of 32 bits. */
#define NARROW_ONLY	BIT(6)
/* In the kernel's half, if it has as many bits set as most of its addresses have. */
#define UPPER		BIT(7)
/* Or as those of x86_64 with 57 bits. */
#define WIDER		BIT(8)

static const u16 rules[] = {
	[ADDRESS]	= ANY,
	[LONG]		= KERNEL | KERNEL_TOP | USER | LOW,
	[WIDE]		= KERNEL | KERNEL_TOP | USER_NEAR | LOW,
	[NUMBER]	= KERNEL,
	[NARROW]	= LOW | NARROW_ONLY,
	[SYSCALL]	= KERNEL | KERNEL_TOP | USER | LOW,
	[BRK]		= ANY,
	[BYTES]		= WIDER | UPPER | KERNEL_TOP | USER_NEAR,
	[ARGS]		= KERNEL | KERNEL_TOP | USER_NEAR,
};

/* Of bytes that aren't where an address usually is. */
#define ODD_BYTES	(UPPER | KERNEL_TOP | USER_NEAR)

/* Where a field is. */
enum place {
	/* Where its offset says. */
	FIXED,
	/* Where numbers at its offset say, from the start or from behind them. */
	DATA_LOC,
	REL_LOC,
	/* From its offset to the end. */
	REST,
};

struct row {
	u32		offset;
	u32		size;
	/* Bytes of an element, which is judged as a whole. */
	u8		element;
	u8		kind;
	u8		place;
};

struct aslr_payload {
	struct aslr_payload	*next;
	u64			id;
	/* Where the number of the event is in a payload. */
	u32			type_offset;
	/* Where fixed fields end. */
	u32			fixed_end;
	/* Of a system call: where its number is, and which of them there are. */
	u32			nr_offset;
	const struct syscalls	*syscalls;
	/* What it has is of a task's memory and registers. */
	bool			probe;
	u8			long_size;
	unsigned int		nr_rows;
	/* By offset, without holes up to fixed_end. */
	struct row		rows[];
};

struct aslr_payloads {
	struct tep_handle	*tep;
	const char		*arch;
	struct aslr_payload	*first;
};

/*
 * System calls whose first argument, or what they return, is an address in the
 * task.  Where that is below 4 GiB nothing else tells it from a number.
 */
static const struct syscalls {
	/* As uname() has it. */
	const char	*arch;
	u16		brk;
	/* mmap, mprotect, munmap, mremap, madvise */
	u16		others[5];
} syscalls[] = {
	{ "x86_64",	12,	{ 9, 10, 11, 25, 28 } },
	{ "aarch64",	214,	{ 222, 226, 215, 216, 233 } },
	{ "riscv64",	214,	{ 222, 226, 215, 216, 233 } },
	{ "loongarch64", 214,	{ 222, 226, 215, 216, 233 } },
	{ "ppc64le",	45,	{ 90, 125, 91, 163, 205 } },
	{ "ppc64",	45,	{ 90, 125, 91, 163, 205 } },
	{ "s390x",	45,	{ 90, 125, 91, 163, 219 } },
	{ "mips64",	5012,	{ 5009, 5010, 5011, 5024, 5027 } },
};

/* How a field is printed. */
#define AS_POINTER	BIT(0)
#define AS_HEX		BIT(1)
#define AS_DECIMAL	BIT(2)
#define AS_MASK		BIT(3)

/* How the field is printed whose @name appears in @arg, if @arg is printed as @as. */
static unsigned int arg__printed(const struct tep_print_arg *arg, const char *name,
				 unsigned int as)
{
	const struct tep_print_flag_sym *sym;

	if (!arg)
		return 0;

	switch ((int)arg->type) {
	case TEP_PRINT_FIELD:
		return strcmp(arg->field.name, name) ? 0 : as;
	case TEP_PRINT_TYPE:
		if (strchr(arg->typecast.type, '*') && as == AS_HEX)
			as = AS_POINTER;
		return arg__printed(arg->typecast.item, name, as);
	case TEP_PRINT_OP:
		/* A condition isn't printed. */
		return (strcmp(arg->op.op, "?") ? arg__printed(arg->op.left, name, as) : 0) |
		       arg__printed(arg->op.right, name, as);
	case TEP_PRINT_FLAGS:
		return arg__printed(arg->flags.field, name, AS_DECIMAL);
	case TEP_PRINT_SYMBOL:
		as = AS_DECIMAL;
		for (sym = arg->symbol.symbols; sym; sym = sym->next) {
			if (strtoull(sym->value, NULL, 0) >= FOUR_GIB &&
			    strtoull(sym->value, NULL, 0) < NEGATIVE_START)
				as = AS_POINTER;
		}
		return arg__printed(arg->symbol.field, name, as);
	case TEP_PRINT_BITMASK:
		return strcmp(arg->bitmask.bitmask, name) ? 0 : AS_MASK;
	default:
		return 0;
	}
}

/* How the field of @name is printed, in all places where it is. */
static unsigned int event__printed(const struct tep_event *event, const char *name)
{
	const struct tep_print_arg *arg = event->print_fmt.args;
	const char *fmt = event->print_fmt.format ?: "";
	unsigned int all = 0;

	if (event->flags & TEP_EVENT_FL_FAILED)
		return 0;

	while (arg && (fmt = strchr(fmt, '%'))) {
		unsigned int as = 0;

		for (fmt++; *fmt && strchr("-+ #0123456789.*hlLqjzt", *fmt); fmt++) {
			if (*fmt == '*' && arg)
				arg = arg->next;
		}
		if (!*fmt)
			break;
		if (*fmt == 'p')
			as = AS_POINTER;
		else if (strchr("xXo", *fmt))
			as = AS_HEX;
		else if (strchr("diuc", *fmt))
			as = AS_DECIMAL;
		if (*fmt++ == '%' || !arg)
			continue;
		all |= arg__printed(arg, name, as);
		arg = arg->next;
	}
	return all;
}

/* What is told by the last word of a field's name, if it can hold an address. */
static const struct {
	const char	*word;
	enum kind	kind;
} names[] = {
	{ "pfn",	PFN },
	{ "gfn",	PFN },
	{ "paddr",	PHYS },
	{ "phys",	PHYS },
	{ "gpa",	PHYS },
	{ "hpa",	PHYS },
	{ "iova",	PHYS },
	{ "flags",	NUMBER },
	{ "ino",	NUMBER },
	{ "len",	NUMBER },
	{ "size",	NUMBER },
	{ "off",	NUMBER },
	{ "ip",		ADDRESS },
	{ "rip",	ADDRESS },
	{ "func",	ADDRESS },
	{ "addr",	ADDRESS },
	{ "address",	ADDRESS },
	{ "site",	ADDRESS },
	{ "brk",	ADDRESS },
};

static const char *const phys_types[] = { "phys_addr_t", "dma_addr_t", "resource_size_t" };

static bool is_probe(const struct tep_event *event)
{
	for (const struct tep_format_field *f = event->format.fields; f; f = f->next) {
		if (strstarts(f->name, "__probe_"))
			return true;
	}
	return false;
}

static bool returns_address(const struct tep_event *event)
{
	static const char *const events[] = {
		"sys_exit_brk", "sys_exit_mmap", "sys_exit_mremap", "sys_exit_shmat",
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(events); i++) {
		if (!strcmp(event->name, events[i]))
			return !strcmp(event->system, "syscalls");
	}
	return false;
}

static bool is_64bit(const char *type)
{
	return strstr(type, "64") || strstr(type, "long long");
}

static bool is_raw_syscall(const struct tep_event *event)
{
	return !strcmp(event->system, "raw_syscalls");
}

/* The kind of an integer of @size bytes. */
static enum kind integer_kind(const struct tep_format_field *field, unsigned int size)
{
	const struct tep_event *event = field->event;
	size_t long_size = tep_get_long_size(event->tep);
	bool is_long = strstr(field->type, "long") && !is_64bit(field->type);
	const char *word = strrchr(field->name, '_');
	unsigned int as = event__printed(event, field->name);

	word = word ? word + 1 : field->name;
	if (size == sizeof(u32) && size != long_size && is_probe(event))
		return NARROW;
	if (size != sizeof(u64) && size != long_size)
		return KEEP;
	for (unsigned int i = 0; i < ARRAY_SIZE(phys_types); i++) {
		if (strstr(field->type, phys_types[i]))
			return PHYS;
	}
	if (as & AS_MASK)
		return KEEP;
	if (strchr(field->type, '*'))
		return ADDRESS;
	/* Whoever made a probe chose the names of its arguments, and how they are printed. */
	if (is_probe(event) && !strstarts(field->name, "__probe_"))
		return LONG;
	for (unsigned int i = 0; i < ARRAY_SIZE(names) && (is_long || is_64bit(field->type)); i++) {
		if (!strcmp(word, names[i].word) || !strcmp(field->name, names[i].word))
			return size == sizeof(u64) || names[i].kind == ADDRESS ?
			       names[i].kind : KEEP;
	}
	if (as & AS_POINTER)
		return ADDRESS;
	/* It is an address for mmap() and brk(), although a number for most. */
	if (is_raw_syscall(event) && !strcmp(field->name, "ret"))
		return SYSCALL;
	if (!strcmp(field->name, "ret") && returns_address(event))
		return strcmp(event->name, "sys_exit_brk") ? ADDRESS : BRK;
	if (!(as & AS_HEX) && as & AS_DECIMAL)
		return size == sizeof(u64) ? NUMBER : KEEP;
	/* Pointers to user space are typedefs of all kinds. */
	if (is_long || (!strcmp(event->system, "syscalls") && !strstr(field->type, "size_t") &&
			!strstr(field->type, "off_t")))
		return LONG;
	if (size != sizeof(u64))
		return KEEP;
	return is_64bit(field->type) ? WIDE : NUMBER;
}

static void row__set(struct row *row, enum kind kind, unsigned int element)
{
	row->kind = kind;
	row->element = element;
}

/* What the elements of an array are, and their size. */
static void row__init_array(struct row *row, const struct tep_format_field *field)
{
	const char *type = field->type;
	unsigned int long_size = tep_get_long_size(field->event->tep);

	row__set(row, KEEP, 1);
	if (strstr(type, "cpumask") || event__printed(field->event, field->name) & AS_MASK)
		return;
	if (strstr(type, "char") && !strstr(type, "unsigned char") && !strchr(type, '*'))
		row->kind = TEXT;
	else if (field->event->flags & TEP_EVENT_FL_ISBPRINT)
		row->kind = ARGS;
	else if (strchr(type, '*'))
		row__set(row, ADDRESS, long_size);
	else if (is_64bit(type))
		row__set(row, WIDE, sizeof(u64));
	else if (strstr(type, "long"))
		row__set(row, is_raw_syscall(field->event) ? SYSCALL : LONG, long_size);
	else
		row->kind = BYTES;
	/* What isn't of whole elements is of bytes. */
	if (row->place == FIXED && row->size % row->element)
		row__set(row, BYTES, 1);
}

static void row__init(struct row *row, const struct tep_format_field *field)
{
	unsigned int size = field->size;

	*row = (struct row) { .offset = field->offset, .size = size };

	if (field->flags & TEP_FIELD_IS_DYNAMIC)
		row->place = field->flags & TEP_FIELD_IS_RELATIVE ? REL_LOC : DATA_LOC;
	else if (!size)
		row->place = REST;

	if (row->place != FIXED || field->flags & TEP_FIELD_IS_ARRAY)
		row__init_array(row, field);
	else if (size == 1 || size == 2 || size == 4 || size == 8)
		row__set(row, integer_kind(field, size), size);
	else
		row__set(row, BYTES, 1);
}

static int row__cmp(const void *a, const void *b)
{
	const struct row *row_a = a, *row_b = b;

	return row_a->offset < row_b->offset ? -1 : row_a->offset > row_b->offset;
}

/* Put rows between those that don't touch.  There is room for them. */
static int aslr_payload__fill_gaps(struct aslr_payload *payload)
{
	unsigned int nr = payload->nr_rows;

	for (unsigned int i = 0; i < nr; i++) {
		const struct row *row = &payload->rows[i];

		/* Only the last one may have no end. */
		if (row->offset < payload->fixed_end || (row->place == REST && i + 1 < nr))
			return -EINVAL;
		if (row->offset > payload->fixed_end)
			payload->rows[payload->nr_rows++] = (struct row) {
				.offset	= payload->fixed_end,
				.size	= row->offset - payload->fixed_end,
				.kind	= GAP,
			};
		payload->fixed_end = row->offset + row->size;
	}
	qsort(payload->rows, payload->nr_rows, sizeof(payload->rows[0]), row__cmp);
	return 0;
}

/* The system calls of an event of theirs. */
static void aslr_payload__init_syscalls(struct aslr_payload *payload,
					const struct tep_event *event, const char *arch)
{
	for (const struct tep_format_field *f = event->format.fields; f; f = f->next) {
		if (strcmp(f->name, "id") || f->size != payload->long_size || !arch ||
		    !is_raw_syscall(event))
			continue;
		payload->nr_offset = f->offset;
		for (unsigned int i = 0; i < ARRAY_SIZE(syscalls); i++) {
			if (!strcmp(syscalls[i].arch, arch))
				payload->syscalls = &syscalls[i];
		}
	}
}

struct aslr_payload *aslr_payload__new(const struct tep_event *event, const char *arch)
{
	struct tep_format_field *const lists[] = {
		event->format.common_fields, event->format.fields,
	};
	const struct tep_format_field *type = NULL;
	struct aslr_payload *payload;
	unsigned int nr = 0;

	for (unsigned int i = 0; i < ARRAY_SIZE(lists); i++) {
		for (const struct tep_format_field *f = lists[i]; f; f = f->next) {
			/* The size of a record is a u16. */
			if (f->offset < 0 || f->size < 0 || f->offset > USHRT_MAX ||
			    f->size > USHRT_MAX)
				return NULL;
			if (!strcmp(f->name, "common_type") && f->size == sizeof(u16))
				type = f;
			nr++;
		}
	}
	if (!type || (tep_get_long_size(event->tep) != sizeof(u32) &&
		      tep_get_long_size(event->tep) != sizeof(u64)))
		return NULL;

	payload = zalloc(sizeof(*payload) + 2 * nr * sizeof(payload->rows[0]));
	if (!payload)
		return NULL;
	payload->id = event->id;
	payload->type_offset = type->offset;
	payload->probe = is_probe(event);
	payload->long_size = tep_get_long_size(event->tep);
	aslr_payload__init_syscalls(payload, event, arch);
	for (unsigned int i = 0; i < ARRAY_SIZE(lists); i++) {
		for (const struct tep_format_field *f = lists[i]; f; f = f->next) {
			struct row *row = &payload->rows[payload->nr_rows++];

			row__init(row, f);
			if (lists[i] == event->format.common_fields)
				row->kind = KEEP;
		}
	}
	qsort(payload->rows, nr, sizeof(payload->rows[0]), row__cmp);
	if (aslr_payload__fill_gaps(payload))
		zfree(&payload);
	return payload;
}

void aslr_payload__delete(struct aslr_payload *payload)
{
	free(payload);
}

/* One payload on its way. */
struct rewrite {
	const struct aslr_payload	*payload;
	struct aslr_view		*view;
	/* The spaces of addresses in the two halves. */
	struct aslr_space		*user;
	struct aslr_space		*kernel;
	u8				*data;
	u32				size;
	/* Where what is known of the data behind the fixed fields ends. */
	u32				pos;
	u64				nr_addrs;
	/* Not all of it could be rewritten. */
	bool				blanked;
};

static u64 read_number(const void *pos, unsigned int size)
{
	u64 wide;
	u32 narrow;

	if (size == sizeof(wide)) {
		memcpy(&wide, pos, sizeof(wide));
		return wide;
	}
	memcpy(&narrow, pos, sizeof(narrow));
	return narrow;
}

static void write_number(void *pos, unsigned int size, u64 value)
{
	u32 narrow = value;

	if (size == sizeof(value))
		memcpy(pos, &value, sizeof(value));
	else
		memcpy(pos, &narrow, sizeof(narrow));
}

static bool space__knows(const struct aslr_space *space, u64 addr)
{
	return aslr_space__is_near(space, addr) &&
	       (aslr_space__contains(space, addr) || aslr_space__has_page(space, addr));
}

/* May @value, below 4 GiB, be an address in @space? */
static bool is_low_address(const struct aslr_space *space, u64 value)
{
	return space__knows(space, value) || aslr_space__may_be_heap(space, value) ||
	       (value >= ASLR_NARROW_START && value < ASLR_NARROW_END &&
		aslr_space__is_narrow(space));
}

/* Is @value, a number of @size bytes, an address by @rule in @space? */
static bool is_address(const struct rewrite *rw, const struct aslr_space *space, u16 rule,
		       u64 value, unsigned int size)
{
	if (value < LOW_END || value >= NEGATIVE_START)
		return false;
	if (rule & ANY)
		return true;
	if (size == sizeof(u32) && space == aslr_view__space(rw->view, PERF_RECORD_MISC_KERNEL))
		return value < (u32)NEGATIVE_START;
	if (rule & NARROW_ONLY && !aslr_space__may_be_narrow(space))
		return false;
	if (value < FOUR_GIB)
		return rule & LOW && is_low_address(space, value);
	if (value >= UPPER_START && value < UNUSED_START && rule & UPPER)
		return true;
	if (value >= WIDER_START && value < IPV4_START && rule & WIDER)
		return true;
	if (value >= KERNEL_HALF && value < UNUSED_START && rule & KERNEL)
		return true;
	if (value >= UNUSED_END && rule & KERNEL_TOP)
		return true;
	/* The largest sizes and offsets there are. */
	if (rule & USER && value < UNUSED_START && value >> 48 != 0x7fff)
		return true;
	if (rule & USER_NEAR && value >= TIB && value < USER_END &&
	    aslr_space__is_near(space, value))
		return true;
	return space__knows(space, value);
}

/*
 * Does @value name something known?  Small numbers side by side look like pages
 * below 1 TiB, and what was taken for an address may have had such a one: there it
 * has to be in a mapping.
 */
static bool is_known(const struct rewrite *rw, u64 value)
{
	const struct aslr_space *space = value >= BIT_ULL(63) ? rw->kernel : rw->user;

	if (value < FOUR_GIB || (value >= USER_END && value < KERNEL_HALF) ||
	    value >= NEGATIVE_START)
		return false;
	return aslr_space__is_near(space, value) &&
	       (aslr_space__contains(space, value) ||
		(value >= TIB && aslr_space__has_page(space, value)));
}

/* Where mappings of processes, or of the kernel, are. */
static bool is_plausible(const struct aslr_space *space, u64 value)
{
	return value >= KERNEL_HALF || (value < USER_END && aslr_space__is_near(space, value));
}

/* An address @value at @pos, in @space. */
static int translate_number(struct rewrite *rw, struct aslr_space *space, u8 kind, void *pos,
			    unsigned int size, u64 value)
{
	u64 image;
	int err;

	if (rules[kind] & ANY || is_plausible(space, value))
		err = aslr_space__translate(space, value, &image);
	else
		err = aslr_space__translate_unsure(space, value, &image);
	if (err)
		return err;
	rw->nr_addrs += image != value;
	write_number(pos, size, image);
	return 0;
}

/* Returns 1 if it is an address and was rewritten. */
static int rewrite_number(struct rewrite *rw, u8 kind, void *pos, unsigned int size)
{
	u64 value = read_number(pos, size);
	struct aslr_space *space = aslr_view__space_of(rw->view, value);

	if (!space)
		return -ENOMEM;
	if (!is_address(rw, space, rules[kind], value, size))
		return 0;
	return translate_number(rw, space, kind, pos, size, value) ?: 1;
}

static int rewrite_numbers(struct rewrite *rw, const struct row *row, void *data, u32 size)
{
	for (u32 i = 0; i + row->element <= size; i += row->element) {
		int ret = rewrite_number(rw, row->kind, data + i, row->element);

		if (ret < 0)
			return ret;
	}
	/* What is left is none. */
	memset(data + size - size % row->element, 0, size % row->element);
	return 0;
}

static void learn_brk(struct rewrite *rw, u64 value)
{
	struct aslr_space *space = aslr_view__space_of(rw->view, value);

	if (space)
		aslr_space__set_brk(space, value);
}

static int rewrite_brk(struct rewrite *rw, const struct row *row, void *data, u32 size)
{
	learn_brk(rw, read_number(data, size));
	return rewrite_numbers(rw, row, data, size);
}

/* The arguments, or what is returned, of the system call whose number is in the payload. */
static int rewrite_syscall(struct rewrite *rw, const struct row *row, void *data, u32 size)
{
	const struct aslr_payload *payload = rw->payload;
	const struct syscalls *nrs = payload->syscalls;
	struct row first = *row;
	bool is_addr = false;
	u64 nr;

	/* Those of 32-bit tasks are other ones. */
	if (!nrs || aslr_space__is_narrow(rw->user))
		return rewrite_numbers(rw, row, data, size);

	nr = read_number(rw->data + payload->nr_offset, payload->long_size);
	for (unsigned int i = 0; i < ARRAY_SIZE(nrs->others); i++)
		is_addr |= nr == nrs->others[i];
	if (nr == nrs->brk && size == payload->long_size)
		learn_brk(rw, read_number(data, size));
	if (nr == nrs->brk || is_addr)
		first.kind = ADDRESS;
	return rewrite_numbers(rw, &first, data, row->element) ?:
	       rewrite_numbers(rw, row, data + row->element, size - row->element);
}

/* An address, or the number of a page, of memory. */
static int rewrite_phys(struct rewrite *rw, const struct row *row, void *data, u32 size)
{
	unsigned int shift = row->kind == PFN ? PFN_SHIFT : 0;
	struct aslr_space *space = aslr_spaces__phys(rw->view->spaces, rw->view->machine);
	u64 value = read_number(data, size), image;
	int err;

	if (!space)
		return -ENOMEM;
	/* None */
	if (value >= NEGATIVE_START >> shift)
		return 0;
	err = aslr_space__translate(space, value << shift, &image);
	if (err)
		return err;
	rw->nr_addrs += image >> shift != value;
	write_number(data, size, image >> shift);
	return 0;
}

/* Could something known be found by a number in a text? */
static bool is_text_address(struct rewrite *rw, const struct aslr_hex *hex)
{
	u64 value = hex->value;
	struct aslr_space *space;

	/* A pid, a count: decimal. */
	if (value < FOUR_GIB && !hex->prefix && !hex->part &&
	    strspn(hex->digits, "0123456789") >= hex->nr)
		return false;
	if (value >= NEGATIVE_START)
		return false;
	if (value >= KERNEL_HALF)
		return true;
	space = aslr_view__space_of(rw->view, value);
	if (!space)
		return true;
	if (hex->part && hex->nr < ASLR_HEX_DIGITS)
		return space__knows(space, value);
	if (value < FOUR_GIB && hex->prefix && is_low_address(space, value))
		return true;
	return (hex->prefix && value >= TIB && value < USER_END &&
		aslr_space__is_near(space, value)) ||
	       aslr_spaces__know(rw->view->spaces, value);
}

/* The numbers in text of @len bytes. */
static void rewrite_hex(struct rewrite *rw, void *text, size_t len)
{
	struct aslr_hex hex = { .text = text, .pos = text, .end = text + len };

	while (aslr_hex__next(&hex)) {
		if (!is_text_address(rw, &hex))
			continue;
		memset(hex.at, '0', hex.nr);
		hex.pos = hex.at + hex.nr;
	}
}

/* A string, and what was there before it. */
static int rewrite_text(struct rewrite *rw, const struct row *row __maybe_unused, void *data,
			u32 size)
{
	size_t len = strnlen(data, size);

	memset(data + len, 0, size - len);
	rewrite_hex(rw, data, len);
	return 0;
}

/* What printk() was given: words, of which two are a number of 8 bytes, and strings. */
static int rewrite_args(struct rewrite *rw, const struct row *row, void *data, u32 size)
{
	rewrite_hex(rw, data, size);
	for (u32 i = 0; size - i >= sizeof(u64) && i < size; ) {
		int ret = rewrite_number(rw, row->kind, data + i, sizeof(u64));

		if (ret < 0)
			return ret;
		i += ret ? sizeof(u64) : sizeof(u32);
	}
	return 0;
}

/* How sure it is that bytes are an address. */
enum rank {
	NOTHING,
	/* In the kernel's half, but where most kernels have nothing. */
	DOUBTFUL,
	ODD,
	ALIGNED,
	MAPPED,
};

/* Of addresses below 4 GiB, of which numbers at odd places look like one often. */
static enum rank rank_low(const struct rewrite *rw, const struct aslr_space *space, u64 value,
			  u32 pos)
{
	bool word = !(pos % sizeof(u32));

	if (value < LOW_END)
		return NOTHING;
	if (aslr_space__contains(space, value))
		return word ? MAPPED : ODD;
	return rw->payload->probe && word && is_low_address(space, value) ? ODD : NOTHING;
}

/* How sure it is that 8 bytes at @pos are an address. */
static enum rank rank_wide(struct rewrite *rw, const void *data, u32 pos, bool narrow)
{
	const struct aslr_payload *payload = rw->payload;
	u64 value = read_number(data + pos, sizeof(value));
	struct aslr_space *space = aslr_view__space_of(rw->view, value);
	bool aligned = !(pos % sizeof(u64));

	if (value < FOUR_GIB)
		return payload->probe ? rank_low(rw, space, value, pos) : NOTHING;
	if (!is_address(rw, space, aligned && !narrow ? rules[BYTES] : ODD_BYTES, value,
			sizeof(value)))
		return NOTHING;
	if (aslr_space__contains(space, value))
		return MAPPED;
	if (value >= KERNEL_HALF && value < CANONICAL_START)
		return DOUBTFUL;
	return aligned ? ALIGNED : ODD;
}

/* The same of 4 bytes, in a task or kernel that has such addresses. */
static enum rank rank_narrow(struct rewrite *rw, const void *data, u32 pos)
{
	u64 value = read_number(data + pos, sizeof(u32));
	struct aslr_space *space = aslr_view__space_of(rw->view, value);

	return rank_low(rw, space, value, pos);
}

/* What can be an address of what is in memory at @pos, and its size. */
static enum rank rank_bytes(struct rewrite *rw, const void *data, u32 size, u32 pos,
			    unsigned int *addr_size)
{
	const struct aslr_payload *payload = rw->payload;
	bool narrow = payload->long_size == sizeof(u32) ||
		      (payload->probe && aslr_space__may_be_narrow(rw->user));
	enum rank rank = NOTHING;

	*addr_size = sizeof(u64);
	if (size - pos >= sizeof(u64))
		rank = rank_wide(rw, data, pos, narrow);
	if (!rank && narrow && size - pos >= sizeof(u32)) {
		*addr_size = sizeof(u32);
		rank = rank_narrow(rw, data, pos);
	}
	return rank;
}

/* An address of what is in memory from @*pos on: 0 if it is sure that it's there, or -EINVAL. */
static int find_in_bytes(struct rewrite *rw, const void *data, u32 size, u32 *pos,
			 unsigned int *addr_size)
{
	u32 last = *pos + *addr_size - 1;
	enum rank best = NOTHING;
	bool two = false;

	for (u32 i = *pos; i <= last && i < size; i++) {
		unsigned int i_size;
		enum rank rank = rank_bytes(rw, data, size, i, &i_size);

		two = rank == best ? two || rank : rank < best && two;
		if (rank <= best)
			continue;
		best = rank;
		*pos = i;
		*addr_size = i_size;
	}
	return two ? -EINVAL : 0;
}

/* Blank @nr bytes that are an address as @value, if no image is there. */
static void blank_part(struct rewrite *rw, void *data, u32 first, u32 nr,
		       const unsigned long *images, u64 value)
{
	const struct aslr_space *space = aslr_view__space_of(rw->view, value);
	u32 from = first < sizeof(u64) ? 0 : first - sizeof(u64) + 1;

	if (find_next_bit(images, first + nr, from) < first + nr ||
	    !is_address(rw, space, ODD_BYTES, value, sizeof(value)))
		return;
	memset(data + first, 0, nr);
	rw->blanked = true;
}

/*
 * Memory of a task may begin with the upper bytes of an address, and end with the
 * lower ones of which only zeros are missing.
 */
static void blank_edges(struct rewrite *rw, void *data, u32 size, const unsigned long *images)
{
	for (u32 nr = sizeof(u64) - 1; nr >= sizeof(u32) && nr <= size; nr--) {
		u64 head = 0, tail = 0;

		memcpy((void *)&head + sizeof(head) - nr, data, nr);
		blank_part(rw, data, 0, nr, images, head);
		memcpy(&tail, data + size - nr, nr);
		blank_part(rw, data, size - nr, nr, images, tail);
	}
}

/* Is something known at @pos, other than at a place where an image was written? */
static bool bytes_leak(const struct rewrite *rw, const void *data, u32 size,
		       const unsigned long *images)
{
	for (u32 i = 0; i + sizeof(u64) <= size; i++) {
		if (!test_bit(i, images) && is_known(rw, read_number(data + i, sizeof(u64))))
			return true;
	}
	return false;
}

/*
 * What is in memory: an address may be at any place, and in text.  Where it isn't
 * sure which of some bytes are one, because those at several places could be, or
 * the image and what is beside it are, nothing stays.
 */
static int rewrite_bytes(struct rewrite *rw, const struct row *row __maybe_unused, void *data,
			 u32 size)
{
	DECLARE_BITMAP(images, USHRT_MAX + 1);
	unsigned int addr_size;

	bitmap_zero(images, size);
	rewrite_hex(rw, data, size);

	for (u32 i = 0; i < size; ) {
		u64 value;
		int err;

		if (!rank_bytes(rw, data, size, i, &addr_size)) {
			i++;
			continue;
		}
		if (find_in_bytes(rw, data, size, &i, &addr_size))
			goto blank;
		value = read_number(data + i, addr_size);
		err = translate_number(rw, aslr_view__space_of(rw->view, value), BYTES, data + i,
				       addr_size, value);
		if (err)
			return err;
		__set_bit(i, images);
		i += addr_size;
	}
	if (rw->payload->probe)
		blank_edges(rw, data, size, images);
	if (!bytes_leak(rw, data, size, images))
		return 0;
blank:
	memset(data, 0, size);
	rw->blanked = true;
	return 0;
}

static int clear(struct rewrite *rw __maybe_unused, const struct row *row __maybe_unused,
		 void *data, u32 size)
{
	memset(data, 0, size);
	return 0;
}

static int (*const rewriters[])(struct rewrite *rw, const struct row *row, void *data,
				u32 size) = {
	[GAP]		= clear,
	[ADDRESS]	= rewrite_numbers,
	[LONG]		= rewrite_numbers,
	[WIDE]		= rewrite_numbers,
	[NUMBER]	= rewrite_numbers,
	[NARROW]	= rewrite_numbers,
	[SYSCALL]	= rewrite_syscall,
	[BRK]		= rewrite_brk,
	[PHYS]		= rewrite_phys,
	[PFN]		= rewrite_phys,
	[TEXT]		= rewrite_text,
	[BYTES]		= rewrite_bytes,
	[ARGS]		= rewrite_args,
};

/* The data of @row's @i-th number: 0, 1 if there are none, or -EINVAL if they aren't inside. */
static int row__data(const struct row *row, const void *payload, u32 payload_size, u32 i,
		     u32 *start, u32 *size)
{
	u32 offset = row->offset + i * sizeof(u32);
	u32 loc = read_number(payload + offset, sizeof(loc));

	*size = loc >> 16;
	*start = (loc & 0xffff) + (row->place == REL_LOC ? offset + sizeof(loc) : 0);
	if (!*size)
		return 1;
	return *start <= payload_size && *size <= payload_size - *start ? 0 : -EINVAL;
}

/* Data behind the fixed fields.  They come in the order of their fields. */
static int rewrite_data(struct rewrite *rw, const struct row *row, u32 start, u32 size)
{
	if (start < rw->pos)
		return -EINVAL;
	memset(rw->data + rw->pos, 0, start - rw->pos);
	rw->pos = start + size;
	return row->kind ? rewriters[row->kind](rw, row, rw->data + start, size) : 0;
}

static int rewrite_row(struct rewrite *rw, const struct row *row)
{
	u32 start, size;
	int ret = 0;

	if (row->place == FIXED)
		return row->kind ? rewriters[row->kind](rw, row, rw->data + row->offset,
							row->size) : 0;
	if (row->place == REST)
		return rewrite_data(rw, row, row->offset, rw->size - row->offset);

	for (u32 i = 0; i < row->size / sizeof(u32) && ret >= 0; i++) {
		ret = row__data(row, rw->data, rw->size, i, &start, &size);
		if (!ret)
			ret = rewrite_data(rw, row, start, size);
	}
	return min(ret, 0);
}

/* Is there an element at @offset in @row's data, which was judged as a whole? */
static bool has_element(struct rewrite *rw __maybe_unused, const struct row *row, u32 start,
			u32 size, u32 offset)
{
	u32 step = row->kind == ARGS ? sizeof(u32) : row->element;

	if (row->kind == BYTES)
		return offset >= start && offset + sizeof(u64) <= start + size;
	return row->kind && row->kind != TEXT && row->kind != GAP && offset >= start &&
	       offset < start + size && !((offset - start) % step);
}

/* Blank what is memory of the 8 bytes at @offset. Was there anything? */
static bool blank_memory(struct rewrite *rw, const struct row *row, u32 start, u32 size,
			 u32 offset)
{
	u32 first = max(offset, start), end = offset + (u32)sizeof(u64);

	end = min(end, start + size);
	if (row->kind != BYTES || first >= end || !memchr_inv(rw->data + first, 0, end - first))
		return false;
	memset(rw->data + first, 0, end - first);
	rw->blanked = true;
	return true;
}

/* Is it so of the data of any row, and @offset? */
static bool any_data(struct rewrite *rw, u32 offset,
		     bool (*is_so)(struct rewrite *rw, const struct row *row, u32 start, u32 size,
				   u32 offset))
{
	const struct aslr_payload *payload = rw->payload;
	u32 start, size;

	for (unsigned int i = 0; i < payload->nr_rows; i++) {
		const struct row *row = &payload->rows[i];
		u32 nr = row->place == DATA_LOC || row->place == REL_LOC ?
			 row->size / sizeof(u32) : 0;

		if (!nr && is_so(rw, row, row->offset, row->place == REST ?
				 rw->size - row->offset : row->size, offset))
			return true;
		for (u32 j = 0; j < nr; j++) {
			if (!row__data(row, rw->data, rw->size, j, &start, &size) &&
			    is_so(rw, row, start, size, offset))
				return true;
		}
	}
	return false;
}

/*
 * Do bytes of several fields name something known?  Memory may begin or end with a
 * part of an address, which goes then.
 */
static bool leaks(struct rewrite *rw)
{
	for (u32 i = 0; i + sizeof(u64) <= rw->size; i++) {
		while (is_known(rw, read_number(rw->data + i, sizeof(u64))) &&
		       !any_data(rw, i, has_element)) {
			if (!any_data(rw, i, blank_memory))
				return true;
		}
	}
	return false;
}

int aslr_payload__rewrite(const struct aslr_payload *payload, struct aslr_view *view, void *data,
			  u32 size, u64 *nr_addrs)
{
	struct rewrite rw = {
		.payload = payload, .view = view, .data = data, .size = size,
		.pos = payload->fixed_end,
	};
	u16 type;
	int err;

	rw.user = aslr_view__space_of(view, LOW_END);
	rw.kernel = aslr_view__space_of(view, NEGATIVE_START);
	if (!rw.user || !rw.kernel)
		return -ENOMEM;
	if (size < payload->fixed_end)
		return -EINVAL;
	memcpy(&type, data + payload->type_offset, sizeof(type));
	if (type != payload->id)
		return -EINVAL;

	for (unsigned int i = 0; i < payload->nr_rows; i++) {
		err = rewrite_row(&rw, &payload->rows[i]);
		if (err)
			return err;
	}
	memset(rw.data + rw.pos, 0, size - rw.pos);
	if (leaks(&rw))
		return -EINVAL;
	*nr_addrs += rw.nr_addrs;
	return rw.blanked;
}

static void parse_header_page(void *arg, char *text, size_t size, int long_size, int page_size)
{
	struct aslr_payloads *payloads = arg;

	tep_set_long_size(payloads->tep, long_size);
	tep_set_page_size(payloads->tep, page_size);
	/* It has the long of the kernel, not that of the recorder. */
	if (!tep_parse_header_page(payloads->tep, text, size, long_size))
		tep_set_long_size(payloads->tep, tep_get_header_page_size(payloads->tep));
}

static void parse_format(void *arg, const char *system, char *text, size_t size)
{
	struct aslr_payloads *payloads = arg;
	struct aslr_payload *payload;
	struct tep_event *event = NULL;

	if (!trace_event__can_parse(text, size))
		return;
	/* An error is one of how it is printed, if there is an event. */
	tep_parse_format(payloads->tep, &event, text, size, system);
	if (!event)
		return;
	payload = aslr_payload__new(event, payloads->arch);
	if (payload) {
		payload->next = payloads->first;
		payloads->first = payload;
	}
}

struct aslr_payloads *aslr_payloads__new(const void *buf, size_t size, const char *arch)
{
	static const struct aslr_tracing_reader reader = {
		.header_page	= parse_header_page,
		.format		= parse_format,
	};
	struct aslr_payloads *payloads = zalloc(sizeof(*payloads));

	if (!payloads)
		return NULL;

	payloads->arch = arch;
	/* One of its own, without plugins: the output depends on the input only. */
	payloads->tep = tep_alloc();
	if (!payloads->tep) {
		free(payloads);
		return NULL;
	}
	tep_set_local_bigendian(payloads->tep, tep_is_bigendian());
	tep_set_file_bigendian(payloads->tep, tep_is_bigendian());
	aslr_tracing__read(&reader, payloads, buf, size);
	tep_free(payloads->tep);
	payloads->tep = NULL;
	payloads->arch = NULL;
	return payloads;
}

void aslr_payloads__delete(struct aslr_payloads *payloads)
{
	struct aslr_payload *payload;

	if (!payloads)
		return;
	while ((payload = payloads->first)) {
		payloads->first = payload->next;
		aslr_payload__delete(payload);
	}
	free(payloads);
}

const struct aslr_payload *aslr_payloads__find(const struct aslr_payloads *payloads, u64 id)
{
	const struct aslr_payload *payload = payloads ? payloads->first : NULL;

	while (payload && payload->id != id)
		payload = payload->next;
	return payload;
}
