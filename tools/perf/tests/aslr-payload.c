// SPDX-License-Identifier: GPL-2.0
/*
 * Rewriting of the payloads of tracepoints, see util/aslr-payload.h.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <linux/compiler.h>
#include <linux/kernel.h>
#include <linux/perf_event.h>
#include <linux/string.h>
#include <traceevent/event-parse.h>
#include "aslr-payload.h"
#include "aslr-spaces.h"
#include "debug.h"
#include "machine.h"
#include "tests.h"

#define PID		42
#define ID		77
/* Mappings of the process: a library, a program that isn't relocated. */
#define LIB		0x7f1234560000ULL
#define EXE		0x400000ULL
#define MAP_SIZE	0x800000ULL
/* Where the heap of the program isn't any more, and its module of the kernel. */
#define HEAP_END	0x70000000ULL
#define MODULE		0xffffffffc0123456ULL
/* Near the library, and far from both. */
#define HEAP		0x7f9876543210ULL
#define FAR		0x234567891230ULL
#define TEXT		0xffffffff96600000ULL
#define VMALLOC		0xffffc90000123450ULL
#define DIRECT_MAP	0xffff888123456780ULL

/* What has to become of a number. */
enum want {
	KEEP,
	USER,
	KERNEL,
	PHYS,
	PFN,
	ZERO,
};

struct payload_test {
	struct tep_handle	*tep;
	struct tep_event	*event;
	struct aslr_payload	*payload;
	struct aslr_view	view;
	u64			nr_addrs;
};

static void payload_test__exit(struct payload_test *pt)
{
	aslr_payload__delete(pt->payload);
	tep_free(pt->tep);
	aslr_spaces__delete(pt->view.spaces);
}

#define COMMON		NAMED("test")
#define NAMED(_name)							\
	"name: " _name "\nID: 77\nformat:\n"				\
	"\tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;\n"	\
	"\tfield:unsigned char common_flags;\toffset:2;\tsize:1;\tsigned:0;\n"	\
	"\tfield:unsigned char common_preempt_count;\toffset:3;\tsize:1;\tsigned:0;\n"	\
	"\tfield:int common_pid;\toffset:4;\tsize:4;\tsigned:1;\n\n"

#define FIELD(_decl, _offset, _size)				\
	"\tfield:" _decl ";\toffset:" #_offset ";\tsize:" #_size ";\tsigned:0;\n"

/* The table for an event, from the text of its format. */
static int payload_test__init(struct payload_test *pt, const char *system, const char *format,
			      int long_size)
{
	struct aslr_space *user, *kernel;
	u64 image;

	memset(pt, 0, sizeof(*pt));
	pt->tep = tep_alloc();
	pt->view = (struct aslr_view) {
		.spaces = aslr_spaces__new(), .machine = HOST_KERNEL_ID, .pid = PID,
		.cpumode = PERF_RECORD_MISC_KERNEL,
	};
	TEST_ASSERT_VAL("out of memory", pt->tep && pt->view.spaces);
	tep_set_long_size(pt->tep, long_size);
	tep_parse_format(pt->tep, &pt->event, format, strlen(format), system);
	TEST_ASSERT_VAL("format", pt->event);
	pt->payload = aslr_payload__new(pt->event, "x86_64");

	user = aslr_spaces__new_process(pt->view.spaces, HOST_KERNEL_ID, PID);
	kernel = aslr_spaces__kernel(pt->view.spaces, HOST_KERNEL_ID);
	TEST_ASSERT_VAL("spaces", user && kernel);
	aslr_space__set_file(user, EXE + MAP_SIZE - 1);
	TEST_ASSERT_VAL("mappings",
			!aslr_space__add(user, EXE, EXE + MAP_SIZE - 1, &image) &&
			!aslr_space__add(user, LIB, LIB + MAP_SIZE - 1, &image) &&
			!aslr_space__add(kernel, TEXT, TEXT + MAP_SIZE - 1, &image));
	return TEST_OK;
}

/* What @value has to become. */
static u64 payload_test__want(struct payload_test *pt, enum want want, u64 value)
{
	struct aslr_spaces *spaces = pt->view.spaces;
	unsigned int shift = want == PFN ? 12 : 0;
	struct aslr_space *space = NULL;
	u64 image = 0;

	if (want == KEEP)
		return value;
	if (want == ZERO)
		return 0;
	if (want == USER)
		space = aslr_spaces__process(spaces, HOST_KERNEL_ID, PID);
	else if (want == KERNEL)
		space = aslr_spaces__kernel(spaces, HOST_KERNEL_ID);
	else
		space = aslr_spaces__phys(spaces, HOST_KERNEL_ID);
	if (aslr_space__translate(space, value << shift, &image) || image >> shift == value)
		pr_debug("%#" PRIx64 " has no image\n", value);
	return image >> shift;
}

/* Rewrite @size bytes at an odd address, at the end of a buffer. */
static int payload_test__rewrite(struct payload_test *pt, void *data, u32 size)
{
	void *buf = malloc(size + 1);
	int err;

	if (!buf)
		return -ENOMEM;
	memcpy(buf + 1, data, size);
	pt->nr_addrs = 0;
	err = aslr_payload__rewrite(pt->payload, &pt->view, buf + 1, size, &pt->nr_addrs);
	memcpy(data, buf + 1, size);
	free(buf);
	return err;
}

/* One field, how it is printed, and what has to become of values of it. */
static const struct {
	const char	*decl;
	const char	*print;
	const char	*system;
	struct {
		u64		value;
		enum want	want;
	}		values[9];
} fields[] = {
	{ "void * x", "%p\", REC->x", "", {
		{ 0, KEEP }, { 0xffff, KEEP }, { 0x168e3000, USER }, { EXE, USER }, { LIB, USER },
		{ FAR, USER }, { DIRECT_MAP, KERNEL }, { TEXT, KERNEL }, { -4095ULL, KEEP } } },
	{ "const char * x", "%s\", REC->x", "", { { LIB + 5, USER }, { TEXT + 5, KERNEL } } },
	{ "unsigned long x", "%pS\", (void *)REC->x", "", {
		{ 0x168e3000, USER }, { FAR, USER }, { TEXT, KERNEL } } },
	{ "unsigned long x", "%d %ps\", 1, REC->x ? (void *)REC->x : 0", "", {
		{ 0x168e3000, USER } } },
	{ "unsigned long x", "%s\", __print_symbolic(REC->x, { 0xffffffff81000000, \"a\" })", "", {
		{ 0x168e3000, USER } } },
	/* Printed in hexadecimal, or not at all. */
	{ "unsigned long x", "0x%lx\", REC->x", "", {
		{ 0xffff, KEEP }, { HEAP_END, KEEP }, { EXE + 5, USER }, { FAR, USER },
		{ LIB, USER }, { VMALLOC, KERNEL }, { TEXT, KERNEL }, { -4095ULL, KEEP },
		{ 0x7fffffffc0000000ULL, KEEP } } },
	/* The heap of a program that isn't relocated. */
	{ "unsigned long x", "0x%lx\", REC->x", "", { { 0x168e3000, USER } } },
	{ "unsigned long x", "\"", "", { { EXE + 5, USER }, { FAR, USER } } },
	{ "unsigned long x", "%s\", no_such_function(REC->x)", "", {
		{ EXE + 5, USER }, { FAR, USER }, { 0x12345, KEEP } } },
	{ "unsigned long x", "%d\", REC->x ? 1 : 0", "", { { FAR, USER } } },
	{ "unsigned long x", "%*d %lx\", 3, 4, REC->x", "", { { FAR, USER } } },
	{ "long x", "%lx\", REC->x", "", { { -100ULL, KEEP }, { FAR, USER } } },
	/* Names of what is a number, or an address. */
	{ "unsigned long gfp_flags", "%lx\", REC->gfp_flags", "", {
		{ EXE + 0xcc0, KEEP }, { LIB, USER }, { TEXT, KERNEL } } },
	{ "unsigned long i_ino", "%lx\", REC->i_ino", "", { { EXE + 5, KEEP } } },
	{ "unsigned long call_site", "%lu\", REC->call_site", "", { { 0x168e3000, USER } } },
	{ "unsigned int ip", "%x\", REC->ip", "", { { 0x168e3000, KEEP } } },
	/* Decimal */
	{ "unsigned long x", "%lu\", REC->x", "", {
		{ EXE + 5, KEEP }, { FAR, KEEP }, { HEAP, KEEP }, { LIB + 5, USER },
		{ DIRECT_MAP, KERNEL }, { -5000000ULL, KEEP }, { TEXT + 5, KERNEL } } },
	{ "unsigned long x", "%s\", __print_flags(REC->x, \"|\", { 1, \"a\" })", "", {
		{ EXE + 5, KEEP }, { LIB + 5, USER } } },
	{ "s64 x", "%lld\", REC->x", "", {
		{ -123456789ULL, KEEP }, { HEAP, KEEP }, { LIB + 5, USER } } },
	{ "size_t x", "%zu\", REC->x", "", { { EXE + 5, KEEP }, { LIB + 5, USER } } },
	{ "size_t x", "%lx\", ((unsigned long)(REC->x))", "", { { EXE + 5, KEEP } } },
	/* What mmap() returns. */
	{ "long ret", "%ld\", REC->ret", "raw_syscalls", {
		{ FAR, USER }, { EXE, USER }, { -11ULL, KEEP }, { 0x123456, KEEP } } },
	{ "long ret", "%ld\", REC->ret", "", { { FAR, KEEP } } },
	/* Pointers behind a typedef. */
	{ "cap_user_header_t header", "0x%08lx\", ((unsigned long)(REC->header))", "syscalls", {
		{ FAR, USER }, { HEAP, USER }, { EXE + 5, USER }, { 0x12345, KEEP } } },
	{ "size_t len", "0x%08lx\", ((unsigned long)(REC->len))", "syscalls", {
		{ EXE + 5, KEEP } } },
	/* 64 bits in hexadecimal: a cookie, or an address. */
	{ "u64 x", "%llx\", REC->x", "", {
		{ FAR, KEEP }, { HEAP, USER }, { LIB, USER }, { EXE, USER }, { TEXT, KERNEL },
		{ 0x8234567890abcdefULL, KEEP }, { 0x0234567890abcdefULL, KEEP },
		{ -123456789ULL, KERNEL }, { 0xffffffff12345678ULL, KEEP } } },
	{ "u64 x", "%llu\", REC->x", "", { { HEAP, KEEP }, { LIB, USER }, { EXE, KEEP } } },
	/* Memory */
	{ "unsigned long pfn", "%lx\", REC->pfn", "", {
		{ 0x12345, PFN }, { -1ULL, KEEP }, { 0, KEEP }, { 0x400, PFN } } },
	{ "unsigned long start_pfn", "%lx\", REC->start_pfn", "", { { 0x12345, PFN } } },
	{ "u64 paddr", "%llx\", REC->paddr", "", { { 0x12345678, PHYS }, { 0xfff, KEEP } } },
	{ "phys_addr_t x", "%llx\", REC->x", "", { { 0x12345678, PHYS } } },
};

static int test__aslr_payload_fields(struct test_suite *t __maybe_unused,
				     int subtest __maybe_unused)
{
	int ret = TEST_OK;

	for (unsigned int i = 0; i < ARRAY_SIZE(fields); i++) {
		bool narrow = !strncmp(fields[i].decl, "unsigned int", 12);
		unsigned int size = narrow ? 4 : 8;
		struct payload_test pt;
		char format[1024];

		snprintf(format, sizeof(format), COMMON
			 "\tfield:%s;\toffset:8;\tsize:%u;\tsigned:0;\n\nprint fmt: \"%s\n",
			 fields[i].decl, size, fields[i].print);
		if (payload_test__init(&pt, fields[i].system, format, 8) || !pt.payload) {
			pr_debug("no table for %s\n", format);
			ret = TEST_FAIL;
			continue;
		}
		for (unsigned int j = 0; j < ARRAY_SIZE(fields[i].values); j++) {
			u64 value = fields[i].values[j].value;
			u64 data[] = { ID | (u64)PID << 32, value };
			u64 want = payload_test__want(&pt, fields[i].values[j].want, value);
			int err = payload_test__rewrite(&pt, data, 8 + size);
			bool changed = want != value;

			if (err || data[0] != (ID | (u64)PID << 32) || data[1] != want ||
			    pt.nr_addrs != changed) {
				pr_debug("%s, \"%s: %#" PRIx64 ": wanted %#" PRIx64 ", got %#"
					 PRIx64 ", error %d\n", fields[i].decl, fields[i].print,
					 value, want, data[1], err);
				ret = TEST_FAIL;
			}
		}
		payload_test__exit(&pt);
	}
	return ret;
}

/* Words of an event that is known for what it has there. */
static int test__aslr_payload_events(struct test_suite *t __maybe_unused,
				     int subtest __maybe_unused)
{
	static const struct {
		const char	*system;
		const char	*format;
		u64		values[3];
		enum want	wants[3];
	} events[] = {
		{ "uprobes", COMMON FIELD("unsigned long __probe_ip", 8, 8) FIELD("u64 size", 16, 8)
		  "\nprint fmt: \"(%lx) size=%llu\", REC->__probe_ip, REC->size\n",
		  { EXE + 5, FAR }, { USER, USER } },
		{ "syscalls", NAMED("sys_exit_brk") FIELD("long nr", 8, 8) FIELD("long ret", 16, 8)
		  "\nprint fmt: \"0x%lx\", REC->ret\n", { 12, 0x168e3000 }, { KEEP, USER } },
		{ "syscalls", NAMED("sys_exit_read") FIELD("long nr", 8, 8) FIELD("long ret", 16, 8)
		  "\nprint fmt: \"0x%lx\", REC->ret\n", { 0, HEAP_END }, { KEEP, KEEP } },
		/* By the number of the system call. */
		{ "raw_syscalls", NAMED("sys_exit") FIELD("long id", 8, 8) FIELD("long ret", 16, 8)
		  "\nprint fmt: \"NR %ld = %ld\", REC->id, REC->ret\n",
		  { 12, HEAP_END }, { KEEP, USER } },
		{ "raw_syscalls", NAMED("sys_exit") FIELD("long id", 8, 8) FIELD("long ret", 16, 8)
		  "\nprint fmt: \"NR %ld = %ld\", REC->id, REC->ret\n",
		  { 0, HEAP_END }, { KEEP, KEEP } },
		{ "raw_syscalls", NAMED("sys_enter") FIELD("long id", 8, 8)
		  FIELD("unsigned long args[2]", 16, 16) "\nprint fmt: \"NR %ld\", REC->id\n",
		  { 11, HEAP_END, HEAP_END + 0x1000 }, { KEEP, USER, KEEP } },
		{ "raw_syscalls", NAMED("sys_enter") FIELD("long id", 8, 8)
		  FIELD("unsigned long args[2]", 16, 16) "\nprint fmt: \"NR %ld\", REC->id\n",
		  { 1, 0x168e3000, HEAP_END }, { KEEP, USER, KEEP } },
	};
	int ret = TEST_OK;

	for (unsigned int i = 0; i < ARRAY_SIZE(events); i++) {
		u64 data[] = {
			ID | (u64)PID << 32, events[i].values[0], events[i].values[1],
			events[i].values[2],
		};
		struct payload_test pt;
		int err;

		if (payload_test__init(&pt, events[i].system, events[i].format, 8) || !pt.payload)
			return TEST_FAIL;
		err = payload_test__rewrite(&pt, data, sizeof(data));
		for (unsigned int j = 0; j < ARRAY_SIZE(events[i].values); j++) {
			u64 want = payload_test__want(&pt, events[i].wants[j],
						      events[i].values[j]);

			if (err || data[1 + j] != want) {
				pr_debug("event %u: wanted %#" PRIx64 ", got %#" PRIx64
					 ", error %d\n", i, want, data[1 + j], err);
				ret = TEST_FAIL;
			}
		}
		payload_test__exit(&pt);
	}
	return ret;
}

/* A 32-bit task of a 64-bit kernel has its stack and heap where others have small numbers. */
static int test__aslr_payload_narrow(struct test_suite *t __maybe_unused,
				     int subtest __maybe_unused)
{
	static const struct {
		u64		value;
		enum want	want;
	} values[] = {
		{ 0xff869eb0, USER }, { 0x57a3b1a0, USER }, { 0x123456, KEEP },
		{ 0xfffff001, KEEP },
	};
	struct aslr_space *user;
	struct payload_test pt;
	u64 image;

	TEST_ASSERT_VAL("format",
			!payload_test__init(&pt, "", COMMON FIELD("unsigned long x", 8, 8)
					    "\nprint fmt: \"%lx\", REC->x\n", 8) && pt.payload);
	user = aslr_spaces__process(pt.view.spaces, HOST_KERNEL_ID, PID);
	aslr_space__exec(user);
	aslr_space__set_file(user, EXE + MAP_SIZE - 1);
	TEST_ASSERT_VAL("mapping", !aslr_space__add(user, EXE, EXE + MAP_SIZE - 1, &image));

	for (unsigned int i = 0; i < ARRAY_SIZE(values); i++) {
		u64 data[] = { ID | (u64)PID << 32, values[i].value };
		u64 want = payload_test__want(&pt, values[i].want, values[i].value);

		TEST_ASSERT_VAL("value", !payload_test__rewrite(&pt, data, sizeof(data)) &&
				data[1] == want);
	}
	payload_test__exit(&pt);
	return TEST_OK;
}

/* Numbers in strings. */
static int test__aslr_payload_text(struct test_suite *t __maybe_unused,
				   int subtest __maybe_unused)
{
	static const struct {
		const char	*text;
		const char	*want;
	} texts[] = {
		{ "0x7f1234560123", "0x000000000000" },
		{ "ffffffff97012345", "0000000000000000" },
		/* A terabyte in which there is nothing. */
		{ "a1b2c3d4e5f6", "a1b2c3d4e5f6" },
		/* Several numbers of fixed width, and what is more than a number. */
		{ "00007f1234560123ffffc90000123450", "00000000000000000000000000000000" },
		{ "7f12345601237f1234560123", "000000000000000000000000" },
		{ "0x168e3000 168e3 0x70000000", "0x00000000 168e3 0x70000000" },
		{ "4a5a9b0affb66c437abcd455d2738af879985fa9",
		  "4a5a9b0affb66c437abcd455d2738af879985fa9" },
	};
	int ret = TEST_OK;

	for (unsigned int i = 0; i < ARRAY_SIZE(texts); i++) {
		struct {
			u64	common;
			char	text[48];
		} data = { .common = ID | (u64)PID << 32 };
		struct payload_test pt;

		scnprintf(data.text, sizeof(data.text), "%s", texts[i].text);
		if (payload_test__init(&pt, "", COMMON FIELD("char x[48]", 8, 48)
				       "\nprint fmt: \"%s\", REC->x\n", 8) || !pt.payload)
			return TEST_FAIL;
		if (payload_test__rewrite(&pt, &data, sizeof(data)) ||
		    strcmp(data.text, texts[i].want)) {
			pr_debug("%s: wanted %s, got %s\n", texts[i].text, texts[i].want,
				 data.text);
			ret = TEST_FAIL;
		}
		payload_test__exit(&pt);
	}
	return ret;
}

/* Arrays of all kinds, what is between fields, and what is behind them. */
static const char arrays[] = COMMON
	FIELD("int count", 8, 4)
	FIELD("unsigned long caller[2]", 16, 16)
	FIELD("char comm[16]", 32, 16)
	FIELD("u8 mac[6]", 48, 6)
	FIELD("__data_loc char[] name", 56, 4)
	FIELD("__data_loc unsigned long[] stack", 60, 4)
	FIELD("__rel_loc u64[] ids", 64, 4)
	FIELD("__data_loc u8[] bytes", 68, 4)
	"\nprint fmt: \"%s\", REC->comm\n";

#define LOC(_offset, _size)	((_offset) | (_size) << 16)

struct arrays {
	u16	type;
	u16	flags;
	u32	pid;
	u32	count;
	u32	gap;
	u64	caller[2];
	char	comm[16];
	u8	mac[6];
	u8	gap2[2];
	u32	name;
	u32	stack;
	u32	ids;
	u32	bytes;
	char	name_data[40];
	u64	stack_data[2];
	u64	ids_data[2];
	u8	bytes_data[16];
	u32	tail;
} __packed;

static const struct arrays arrays_in = {
	.type		= ID,
	.pid		= PID,
	.count		= 2,
	.gap		= 0x12345678,
	.caller		= { DIRECT_MAP, LIB + 0x123 },
	.comm		= "kworker/1:1-eve",
	.mac		= { 1, 2, 3, 4, 5, 6 },
	.gap2		= { 7, 8 },
	.name		= LOC(72, 40),
	.stack		= LOC(112, 16),
	.ids		= LOC(128 - 68, 16),
	.bytes		= LOC(144, 16),
	.name_data	= "0x7f1234560123 ffffc90000123450 cafe12",
	.stack_data	= { VMALLOC, FAR },
	.ids_data	= { HEAP, 0x0234567890abcdefULL },
	.tail		= 0x12345678,
};

static int test__aslr_payload_arrays(struct test_suite *t __maybe_unused,
				     int subtest __maybe_unused)
{
	struct arrays data = arrays_in, want = arrays_in;
	u64 addr = TEXT + 0x10, image;
	struct payload_test pt;

	BUILD_BUG_ON(offsetof(struct arrays, name_data) != 72);
	BUILD_BUG_ON(offsetof(struct arrays, bytes_data) != 144);
	TEST_ASSERT_VAL("init", !payload_test__init(&pt, "", arrays, 8) && pt.payload);

	memcpy(data.bytes_data, &addr, sizeof(addr));
	want.gap = 0;
	want.tail = 0;
	memset(want.gap2, 0, sizeof(want.gap2));
	want.caller[0] = payload_test__want(&pt, KERNEL, DIRECT_MAP);
	want.caller[1] = payload_test__want(&pt, USER, LIB + 0x123);
	scnprintf(want.name_data, sizeof(want.name_data),
		  "0x000000000000 0000000000000000 cafe12");
	want.stack_data[0] = payload_test__want(&pt, KERNEL, VMALLOC);
	want.stack_data[1] = payload_test__want(&pt, USER, FAR);
	want.ids_data[0] = payload_test__want(&pt, USER, HEAP);
	image = payload_test__want(&pt, KERNEL, addr);
	memcpy(want.bytes_data, &image, sizeof(image));

	TEST_ASSERT_EQUAL("arrays", payload_test__rewrite(&pt, &data, sizeof(data)), 0);
	for (unsigned int i = 0; i < sizeof(data); i++) {
		if (((u8 *)&data)[i] != ((u8 *)&want)[i]) {
			pr_debug("byte %u: wanted %#x, got %#x\n", i, ((u8 *)&want)[i],
				 ((u8 *)&data)[i]);
			return TEST_FAIL;
		}
	}
	TEST_ASSERT_EQUAL("addresses", (int)pt.nr_addrs, 6);
	payload_test__exit(&pt);
	return TEST_OK;
}

#define PROBE_IP	FIELD("unsigned long __probe_ip", 8, 8)
#define BYTES_SIZE	40

/* Arrays of bytes, and of what isn't as large as an address: it may be anywhere in them. */
static const struct {
	const char	*decl;
	/* Of a probe, in a task of 32 bits. */
	bool		probe;
	bool		narrow;
	struct {
		u32		at;
		u32		size;
		u64		value;
		enum want	want;
	}		parts[4];
	/* Nothing is left. */
	bool		blanked;
} bytes[] = {
	{ "u8 x[40]", .parts = { { 3, 8, LIB + 0x123, USER }, { 11, 8, HEAP, USER },
				 { 20, 8, VMALLOC, KERNEL }, { 30, 8, FAR, KEEP } } },
	{ "u16 x[20]", .parts = { { 2, 8, LIB + 0x123, USER }, { 16, 8, HEAP, USER } } },
	{ "unsigned int x[10]", .parts = { { 4, 8, LIB + 0x123, USER },
					   { 12, 4, 0x12345678, KEEP } } },
	{ "int x[10]", .parts = { { 0, 8, -1ULL, KEEP }, { 8, 4, 5, KEEP }, { 12, 4, 7, KEEP },
				  { 16, 8, TEXT + 0x123, KERNEL } } },
	/* Its upper bytes and what is before them would do as well, but are in no mapping. */
	{ "u8 x[40]", .parts = { { 3, 8, TEXT + 0x123, KERNEL }, { 11, 4, 0x12345678, KEEP } } },
	{ "u8 x[40]", .parts = { { 8, 8, MODULE, KERNEL } } },
	{ "u8 x[40]", .parts = { { 3, 8, MODULE, ZERO }, { 20, 4, 0x12345678, ZERO } },
	  .blanked = true },
	/* 10.1.2.3 */
	{ "u8 x[40]", .parts = { { 10, 2, 0xffff, KEEP }, { 12, 4, 0x0302010a, KEEP } } },
	/* Small numbers are what is in the memory of tasks. */
	{ "u8 x[40]", .parts = { { 8, 8, EXE + 0x123, KEEP }, { 17, 8, EXE + 0x123, KEEP } } },
	{ "u8 x[40]", .probe = true, .parts = {
		{ 4, 8, EXE + 0x123, USER }, { 12, 8, 0x168e3000, USER },
		{ 21, 8, 0x168e3000, KEEP }, { 32, 8, HEAP_END, KEEP } } },
	/* It could be on a word, too, and in the heap. */
	{ "u8 x[40]", .probe = true, .parts = { { 1, 8, EXE + 0x123, ZERO } }, .blanked = true },
	/* The rest of an address, with zeros before it. */
	{ "u8 x[40]", .parts = { { 0, 6, LIB >> 16, ZERO }, { 8, 8, 7, KEEP } }, .blanked = true },
	/* The same without any, and the beginning of one. */
	{ "u8 x[40]", .probe = true, .parts = {
		{ 0, 6, HEAP >> 16, ZERO }, { 8, 8, 7, KEEP }, { 24, 8, HEAP, USER } },
	  .blanked = true },
	{ "u8 x[40]", .probe = true, .parts = { { 16, 8, 7, KEEP }, { 34, 6, HEAP, ZERO } },
	  .blanked = true },
	{ "u8 x[40]", .probe = true, .parts = { { 0, 8, HEAP, USER }, { 32, 8, HEAP, USER } } },
	{ "u8 x[40]", .probe = true, .narrow = true, .parts = {
		{ 4, 4, EXE + 0x123, USER }, { 8, 4, 0xff869eb0, USER },
		{ 20, 4, 0xf7a3b1a0, USER }, { 32, 4, 0x123456, KEEP } } },
	{ "u8 x[40]", .narrow = true, .parts = {
		{ 1, 4, EXE + 0x123, KEEP }, { 12, 4, 0x57a3b1a0, KEEP } } },
};

static int test__aslr_payload_bytes(struct test_suite *t __maybe_unused,
				    int subtest __maybe_unused)
{
	int ret = TEST_OK;

	for (unsigned int i = 0; i < ARRAY_SIZE(bytes); i++) {
		u8 data[16 + BYTES_SIZE] = { ID & 0xff, ID >> 8 }, want[sizeof(data)];
		struct aslr_space *user;
		struct payload_test pt;
		char format[1024];
		u64 image;
		int err;

		snprintf(format, sizeof(format), "%s\tfield:%s;\toffset:16;\tsize:%u;\tsigned:0;\n"
			 "\nprint fmt: \"\"\n",
			 bytes[i].probe ? COMMON PROBE_IP : COMMON FIELD("unsigned long nr", 8, 8),
			 bytes[i].decl, BYTES_SIZE);
		if (payload_test__init(&pt, "", format, 8) || !pt.payload)
			return TEST_FAIL;
		user = aslr_spaces__process(pt.view.spaces, HOST_KERNEL_ID, PID);
		if (bytes[i].narrow) {
			aslr_space__exec(user);
			aslr_space__set_file(user, EXE + MAP_SIZE - 1);
			TEST_ASSERT_VAL("map", !aslr_space__add(user, EXE, EXE + MAP_SIZE - 1,
								&image));
		}
		for (unsigned int j = 0; j < ARRAY_SIZE(bytes[i].parts); j++)
			memcpy(data + 16 + bytes[i].parts[j].at, &bytes[i].parts[j].value,
			       bytes[i].parts[j].size);
		memcpy(want, data, sizeof(want));
		err = payload_test__rewrite(&pt, data, sizeof(data));
		for (unsigned int j = 0; j < ARRAY_SIZE(bytes[i].parts); j++) {
			image = payload_test__want(&pt, bytes[i].parts[j].want,
						   bytes[i].parts[j].value);
			memcpy(want + 16 + bytes[i].parts[j].at, &image, bytes[i].parts[j].size);
		}
		if (err != bytes[i].blanked || memcmp(data, want, sizeof(data))) {
			pr_debug("bytes %u: error %d\n", i, err);
			for (unsigned int j = 16; j < sizeof(data); j++) {
				if (data[j] != want[j])
					pr_debug("byte %u: wanted %#x, got %#x\n", j - 16,
						 want[j], data[j]);
			}
			ret = TEST_FAIL;
		}
		payload_test__exit(&pt);
	}
	return ret;
}

/* What is text in an array of bytes, behind a zero, too. */
static int test__aslr_payload_byte_text(struct test_suite *t __maybe_unused,
					int subtest __maybe_unused)
{
	struct {
		u64	common;
		char	text[40];
	} data = { ID, "name\0at 7f1234560123, cafe12" };
	struct payload_test pt;

	TEST_ASSERT_VAL("init",
			!payload_test__init(&pt, "", COMMON FIELD("u8 x[40]", 8, 40)
					    "\nprint fmt: \"\"\n", 8) && pt.payload);
	TEST_ASSERT_EQUAL("rewrite", payload_test__rewrite(&pt, &data, sizeof(data)), 0);
	TEST_ASSERT_VAL("text", !memcmp(data.text, "name\0at 000000000000, cafe12", 28));
	payload_test__exit(&pt);
	return TEST_OK;
}

/* 32 bits of a probe are an address in a task of 32 bits only. */
static int test__aslr_payload_probe32(struct test_suite *t __maybe_unused,
				      int subtest __maybe_unused)
{
	static const char probe[] = COMMON PROBE_IP FIELD("u32 x", 16, 4) "\nprint fmt: \"\"\n";
	static const char other[] = COMMON FIELD("unsigned long nr", 8, 8) FIELD("u32 x", 16, 4)
		"\nprint fmt: \"\"\n";
	static const struct {
		const char	*format;
		bool		narrow;
		u32		value;
		enum want	want;
	} values[] = {
		{ probe, true, EXE + 5, USER }, { probe, true, 0xff869eb0, USER },
		{ probe, true, 0x1234, KEEP }, { probe, true, -22U, KEEP },
		{ probe, true, 0x123456, KEEP }, { probe, false, EXE + 5, KEEP },
		{ probe, false, 0xff869eb0, KEEP }, { other, true, 0xff869eb0, KEEP },
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(values); i++) {
		u64 data[] = { ID, 0, values[i].value }, want, image;
		struct aslr_space *user;
		struct payload_test pt;

		TEST_ASSERT_VAL("init", !payload_test__init(&pt, "", values[i].format, 8) &&
				pt.payload);
		user = aslr_spaces__process(pt.view.spaces, HOST_KERNEL_ID, PID);
		if (values[i].narrow) {
			aslr_space__exec(user);
			aslr_space__set_file(user, EXE + MAP_SIZE - 1);
			TEST_ASSERT_VAL("map", !aslr_space__add(user, EXE, EXE + MAP_SIZE - 1,
								&image));
		}
		TEST_ASSERT_EQUAL("rewrite", payload_test__rewrite(&pt, data, 20), 0);
		want = payload_test__want(&pt, values[i].want, values[i].value);
		if (data[2] != want) {
			pr_debug("value %u: wanted %#" PRIx64 ", got %#" PRIx64 "\n", i, want,
				 data[2]);
			return TEST_FAIL;
		}
		payload_test__exit(&pt);
	}
	return TEST_OK;
}

/* Of a task whose mappings are lost nobody knows whether it has 32 bits, or what is where. */
static int test__aslr_payload_lost(struct test_suite *t __maybe_unused,
				   int subtest __maybe_unused)
{
	static const char format[] = COMMON PROBE_IP FIELD("u64 x", 16, 8) FIELD("u32 y", 24, 4)
		FIELD("u8 z[20]", 28, 20) "\nprint fmt: \"\"\n";
	static const u64 stack = 0x7ffd10203048;
	struct {
		u64	common;
		u64	ip;
		u64	x;
		u32	y;
		u8	z[20];
	} data = { ID, FAR, 0x168e3000, 0xf7123456, {} };
	struct aslr_space *user;
	struct payload_test pt;
	u64 image;

	TEST_ASSERT_VAL("init", !payload_test__init(&pt, "", format, 8) && pt.payload);
	user = aslr_spaces__process(pt.view.spaces, HOST_KERNEL_ID, PID);
	aslr_space__exec(user);
	memcpy(data.z, &data.y, sizeof(data.y));
	data.z[4] = 1;
	memcpy(data.z + 8, &stack, sizeof(stack));
	TEST_ASSERT_EQUAL("rewrite", payload_test__rewrite(&pt, &data, sizeof(data)), 0);
	TEST_ASSERT_VAL("heap", data.x == payload_test__want(&pt, USER, 0x168e3000));
	TEST_ASSERT_VAL("32 bits", data.y == payload_test__want(&pt, USER, 0xf7123456));
	TEST_ASSERT_VAL("32 bits in bytes", !memcmp(data.z, &data.y, sizeof(data.y)));
	memcpy(&image, data.z + 8, sizeof(image));
	TEST_ASSERT_VAL("stack", image == payload_test__want(&pt, USER, stack));
	payload_test__exit(&pt);
	return TEST_OK;
}

/* What is behind the program may be its heap, and what brk() returned is in it anywhere. */
static int test__aslr_payload_brk(struct test_suite *t __maybe_unused,
				  int subtest __maybe_unused)
{
	static const char format[] = NAMED("sys_exit") FIELD("long id", 8, 8)
		FIELD("long ret", 16, 8) "\nprint fmt: \"NR %ld = %ld\", REC->id, REC->ret\n";
	static const struct {
		u64		id;
		u64		ret;
		enum want	want;
	} values[] = {
		{ 0, 0x4000000, USER }, { 12, 0x168e3000, USER }, { 0, 0x5000000, USER },
		{ 0, 0x168e5000, USER }, { 0, 0x300000, KEEP }, { 0, 0xc0000000, KEEP },
	};
	struct aslr_space *user;
	struct payload_test pt;
	u64 image;

	TEST_ASSERT_VAL("init", !payload_test__init(&pt, "raw_syscalls", format, 8) && pt.payload);
	user = aslr_spaces__process(pt.view.spaces, HOST_KERNEL_ID, PID);
	aslr_space__exec(user);
	aslr_space__set_file(user, EXE + MAP_SIZE - 1);
	TEST_ASSERT_VAL("maps", !aslr_space__add(user, EXE, EXE + MAP_SIZE - 1, &image) &&
			!aslr_space__add(user, LIB, LIB + MAP_SIZE - 1, &image));
	for (unsigned int i = 0; i < ARRAY_SIZE(values); i++) {
		u64 data[] = { ID, values[i].id, values[i].ret };

		TEST_ASSERT_EQUAL("rewrite", payload_test__rewrite(&pt, data, sizeof(data)), 0);
		if (data[2] != payload_test__want(&pt, values[i].want, values[i].ret)) {
			pr_debug("value %u: got %#" PRIx64 "\n", i, data[2]);
			return TEST_FAIL;
		}
	}
	payload_test__exit(&pt);
	return TEST_OK;
}

/* Payloads that can't be what the format says. */
static int test__aslr_payload_bad(struct test_suite *t __maybe_unused, int subtest __maybe_unused)
{
	struct arrays bad[] = {
		arrays_in, arrays_in, arrays_in, arrays_in, arrays_in, arrays_in, arrays_in,
	};
	struct arrays data = arrays_in;
	struct payload_test pt;

	TEST_ASSERT_VAL("init", !payload_test__init(&pt, "", arrays, 8) && pt.payload);

	/* That of another event, data outside, in a field, and in other data. */
	bad[0].type = ID + 1;
	bad[1].name = LOC(0xffff, 1);
	bad[2].name = LOC(72, 0xffff);
	bad[3].name = LOC(16, 16);
	bad[4].stack = LOC(72, 16);
	bad[5].ids = LOC(0xffff, 0xffff);
	/* Bytes of two fields. */
	bad[6].pid = (u32)(LIB + 0x100);
	bad[6].count = LIB >> 32;
	for (unsigned int i = 0; i < ARRAY_SIZE(bad); i++) {
		int err = payload_test__rewrite(&pt, &bad[i], sizeof(bad[i]));

		if (err != -EINVAL) {
			pr_debug("bad payload %u: wanted error %d, got %d\n", i, -EINVAL, err);
			return TEST_FAIL;
		}
	}
	for (u32 size = 0; size < sizeof(data) - sizeof(data.tail); size++) {
		int err = payload_test__rewrite(&pt, &data, size);

		data = arrays_in;
		if (err != -EINVAL) {
			pr_debug("size %u: wanted error %d, got %d\n", size, -EINVAL, err);
			return TEST_FAIL;
		}
	}
	payload_test__exit(&pt);
	return TEST_OK;
}

/* Formats that are none. */
static int test__aslr_payload_formats(struct test_suite *t __maybe_unused,
				      int subtest __maybe_unused)
{
	static const char * const formats[] = {
		COMMON FIELD("u64 a", 8, 8) FIELD("u64 b", 12, 8) "\nprint fmt: \"\"\n",
		COMMON FIELD("u64 a", 4, 8) "\nprint fmt: \"\"\n",
		COMMON FIELD("u64 a", 65536, 8) "\nprint fmt: \"\"\n",
		COMMON FIELD("u64 a", 8, 2147483647) "\nprint fmt: \"\"\n",
		COMMON FIELD("char a[]", 8, 0) FIELD("u64 b", 16, 8) "\nprint fmt: \"\"\n",
		"name: test\nID: 77\nformat:\n" FIELD("u64 a", 8, 8) "\nprint fmt: \"\"\n",
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(formats); i++) {
		struct payload_test pt;

		if (payload_test__init(&pt, "", formats[i], 8))
			return TEST_FAIL;
		if (pt.payload) {
			pr_debug("a table for format %u\n", i);
			return TEST_FAIL;
		}
		payload_test__exit(&pt);
	}
	for (int long_size = -1; long_size <= 256; long_size++) {
		struct payload_test pt;

		if (payload_test__init(&pt, "", arrays, long_size))
			return TEST_FAIL;
		TEST_ASSERT_VAL("size of long", !pt.payload == (long_size != 4 && long_size != 8));
		payload_test__exit(&pt);
	}
	return TEST_OK;
}

/* What user space wrote, and what printk() was given. */
static int test__aslr_payload_ftrace(struct test_suite *t __maybe_unused,
				     int subtest __maybe_unused)
{
	static const char print[] = COMMON
		FIELD("unsigned long ip", 8, 8) FIELD("char buf[]", 16, 0)
		"\nprint fmt: \"%ps: %s\", (void *)REC->ip, REC->buf\n";
	static const char bprint[] =
		"name: bprint\nID: 77\nformat:\n"
		FIELD("unsigned short common_type", 0, 2) FIELD("int common_pid", 4, 4) "\n"
		FIELD("unsigned long ip", 8, 8) FIELD("const char * fmt", 16, 8)
		FIELD("u32 buf[]", 24, 0)
		"\nprint fmt: \"%ps: %s\", (void *)REC->ip, REC->fmt\n";
	struct {
		u64	common;
		u64	ip;
		char	buf[24];
	} text = { ID, TEXT + 1, "at 0x7f1234560010, 4711\n" };
	u64 data[] = { ID, TEXT + 1, TEXT + 9, 5 | DIRECT_MAP << 32, DIRECT_MAP >> 32 | HEAP << 32,
		       HEAP >> 32 | 0x1234500000000ULL };
	struct payload_test pt;
	u64 want, heap;

	TEST_ASSERT_VAL("init", !payload_test__init(&pt, "ftrace", print, 8) && pt.payload);
	TEST_ASSERT_EQUAL("print", payload_test__rewrite(&pt, &text, sizeof(text)), 0);
	TEST_ASSERT_VAL("ip", text.ip == payload_test__want(&pt, KERNEL, TEXT + 1));
	TEST_ASSERT_VAL("buf", !memcmp(text.buf, "at 0x000000000000, 4711\n", 24));
	payload_test__exit(&pt);

	TEST_ASSERT_VAL("init", !payload_test__init(&pt, "ftrace", bprint, 8) && pt.payload);
	TEST_ASSERT_EQUAL("bprint", payload_test__rewrite(&pt, data, sizeof(data)), 0);
	TEST_ASSERT_VAL("fmt", data[2] == payload_test__want(&pt, KERNEL, TEXT + 9));
	want = payload_test__want(&pt, KERNEL, DIRECT_MAP);
	heap = payload_test__want(&pt, USER, HEAP);
	TEST_ASSERT_VAL("args", data[3] == (5 | want << 32) &&
			data[4] == (want >> 32 | heap << 32) &&
			data[5] == (heap >> 32 | 0x1234500000000ULL));
	payload_test__exit(&pt);
	return TEST_OK;
}

/* 4 bytes are an address where long has as many. */
static int test__aslr_payload_32bit(struct test_suite *t __maybe_unused,
				    int subtest __maybe_unused)
{
	static const char format[] = COMMON
		FIELD("void * ptr", 8, 4) FIELD("unsigned long addr", 12, 4)
		FIELD("unsigned long hex", 16, 4) FIELD("unsigned long dec", 20, 4)
		FIELD("unsigned long hex2", 24, 4) FIELD("unsigned long hex3", 28, 4)
		"\nprint fmt: \"%lx %lu %lx %lx\", REC->hex, REC->dec, REC->hex2, REC->hex3\n";
	struct {
		u64	common;
		u32	values[6];
	} data = { ID, { 0xb7001000, 0xb7002000, EXE + 0x3000, EXE + 0x3000, 0xc1234567, -11U } };
	static const enum want wants[] = { USER, USER, USER, KEEP, KERNEL, KEEP };
	u32 orig[ARRAY_SIZE(wants)];
	struct aslr_text text;
	struct payload_test pt;

	TEST_ASSERT_VAL("init", !payload_test__init(&pt, "", format, 4) && pt.payload);
	TEST_ASSERT_VAL("kernel",
			!aslr_spaces__add_text(pt.view.spaces, HOST_KERNEL_ID, 0xc1000000,
					       0x800000, 0xc1000000, &text));
	memcpy(orig, data.values, sizeof(orig));
	TEST_ASSERT_EQUAL("rewrite", payload_test__rewrite(&pt, &data, sizeof(data)), 0);
	for (unsigned int i = 0; i < ARRAY_SIZE(wants); i++) {
		u64 want = payload_test__want(&pt, wants[i], orig[i]);

		if (data.values[i] != want) {
			pr_debug("value %u: wanted %#" PRIx64 ", got %#x\n", i, want,
				 data.values[i]);
			return TEST_FAIL;
		}
	}
	payload_test__exit(&pt);
	return TEST_OK;
}

static struct test_case tests__aslr_payload[] = {
	TEST_CASE("aslr fields of payloads", aslr_payload_fields),
	TEST_CASE("aslr payloads of events", aslr_payload_events),
	TEST_CASE("aslr payloads of 32-bit tasks", aslr_payload_narrow),
	TEST_CASE("aslr strings in payloads", aslr_payload_text),
	TEST_CASE("aslr arrays in payloads", aslr_payload_arrays),
	TEST_CASE("aslr bytes in payloads", aslr_payload_bytes),
	TEST_CASE("aslr text in bytes of payloads", aslr_payload_byte_text),
	TEST_CASE("aslr payloads of probes in 32-bit tasks", aslr_payload_probe32),
	TEST_CASE("aslr payloads of lost tasks", aslr_payload_lost),
	TEST_CASE("aslr heaps in payloads", aslr_payload_brk),
	TEST_CASE("aslr bad payloads", aslr_payload_bad),
	TEST_CASE("aslr bad formats of payloads", aslr_payload_formats),
	TEST_CASE("aslr payloads of ftrace", aslr_payload_ftrace),
	TEST_CASE("aslr payloads of 32 bits", aslr_payload_32bit),
	{ .name = NULL, }
};

struct test_suite suite__aslr_payload = {
	.desc = "aslr payloads",
	.test_cases = tests__aslr_payload,
};
