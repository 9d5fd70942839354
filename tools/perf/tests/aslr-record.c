// SPDX-License-Identifier: GPL-2.0
/*
 * Rewriting of records, attributes, header features and tracing data, see
 * util/aslr-record.h, util/aslr-header.h and util/aslr-tracing.h.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <linux/bitops.h>
#include <linux/compiler.h>
#include <linux/kernel.h>
#include <linux/perf_event.h>
#include <linux/string.h>
#include "aslr-attr.h"
#include "aslr-header.h"
#include "aslr-record.h"
#include "aslr-spaces.h"
#include "aslr-tracing.h"
#include "build-id.h"
#include "debug.h"
#include "event.h"
#include "header.h"
#include "machine.h"
#include "tests.h"
#include "util.h"

#define PID		42
#define GUEST		77
#define LIB		0x7f1234560000ULL
#define EXE		0x401000ULL
#define MODULE		0xffffffffc0123000ULL
#define TEXT		0xffffffff96600000ULL
#define SYMBOL		0xffffffffc0f01040ULL
#define ID_SIZE		16

/* Where an address of a record is, and what it has to be looked up in. */
enum where {
	/* Nowhere, it stays. */
	SAME,
	USER,
	KERNEL,
	GUEST_USER,
	GUEST_KERNEL,
	PHYS,
};

static struct aslr_space *where_space(struct aslr_spaces *spaces, enum where where)
{
	switch ((int)where) {
	case USER:
		return aslr_spaces__process(spaces, HOST_KERNEL_ID, PID);
	case KERNEL:
		return aslr_spaces__kernel(spaces, HOST_KERNEL_ID);
	case GUEST_USER:
		return aslr_spaces__process(spaces, GUEST, PID);
	case GUEST_KERNEL:
		return aslr_spaces__kernel(spaces, GUEST);
	case PHYS:
		return aslr_spaces__phys(spaces, HOST_KERNEL_ID);
	default:
		return NULL;
	}
}

static bool is_image(struct aslr_spaces *spaces, enum where where, u64 addr, u64 got)
{
	struct aslr_space *space = where_space(spaces, where);
	u64 image = addr;

	if (space && aslr_space__translate(space, addr, &image))
		return false;
	if (space && addr >= 0x10000 && image == addr)
		return false;
	if (image != got)
		pr_debug("wanted %#" PRIx64 " for %#" PRIx64 ", got %#" PRIx64 "\n", image,
			 addr, got);
	return image == got;
}

static struct aslr_view new_view(void)
{
	return (struct aslr_view) {
		.spaces = aslr_spaces__new(), .machine = HOST_KERNEL_ID, .guest = GUEST, .pid = PID,
		.cpumode = PERF_RECORD_MISC_USER,
	};
}

static const struct map_case {
	const char	*name;
	u16		misc;
	const char	*filename;
	u64		start;
	u64		len;
	u64		pgoff;
	enum where	where;
	enum where	pgoff_where;
	/* 0: the same. */
	u64		want_len;
	/* Whether the address is in a mapping then. */
	bool		is_range;
	/* In which the length must not be what was recorded. */
	bool		open;
} map_cases[] = {
	{ .name = "file", .misc = PERF_RECORD_MISC_USER, .filename = "/usr/lib/libc.so.6",
	  .start = LIB, .len = 0x158000, .pgoff = 0x28000, .where = USER, .is_range = true },
	{ .name = "large file", .misc = PERF_RECORD_MISC_USER, .filename = "/big",
	  .start = LIB, .len = 0x1000, .pgoff = 0x500000000ULL, .where = USER, .is_range = true },
	{ .name = "file whose offset can't be one", .misc = PERF_RECORD_MISC_USER,
	  .filename = "/big", .start = LIB, .len = 0x2000, .pgoff = LIB + 0x1000, .where = USER,
	  .pgoff_where = USER, .is_range = true },
	{ .name = "file whose offset may be of what comes", .misc = PERF_RECORD_MISC_USER,
	  .filename = "/big", .start = LIB, .len = 0x2000, .pgoff = LIB + 0x1000000, .where = USER,
	  .pgoff_where = USER, .is_range = true },
	{ .name = "executable", .misc = PERF_RECORD_MISC_USER, .filename = "/bin/a",
	  .start = EXE, .len = 0x1000, .pgoff = 0x1000, .where = USER, .is_range = true },
	{ .name = "vdso", .misc = PERF_RECORD_MISC_USER, .filename = "[vdso]", .start = LIB,
	  .len = 0x2000, .pgoff = 0, .where = USER, .is_range = true },
	{ .name = "old vdso", .misc = PERF_RECORD_MISC_USER, .filename = "[vdso]", .start = LIB,
	  .len = 0x2000, .pgoff = LIB, .where = USER, .pgoff_where = USER, .is_range = true },
	{ .name = "heap", .misc = PERF_RECORD_MISC_USER, .filename = "[heap]",
	  .start = 0x55d0c0de0000ULL, .len = 0x21000, .pgoff = 0x55d0c0de0000ULL, .where = USER,
	  .pgoff_where = USER, .is_range = true },
	{ .name = "stack", .misc = PERF_RECORD_MISC_USER, .filename = "[stack]",
	  .start = 0x7ffc1000, .len = 0x21000, .pgoff = 0x7ffffffde000ULL, .where = USER,
	  .pgoff_where = USER, .is_range = true },
	{ .name = "anon", .misc = PERF_RECORD_MISC_USER, .filename = "//anon", .start = LIB,
	  .len = 0x21000, .pgoff = LIB, .where = USER, .pgoff_where = USER, .is_range = true },
	{ .name = "memory of 32 bits", .misc = PERF_RECORD_MISC_USER, .filename = "//anon",
	  .start = 0xf7c00000, .len = 0x21000, .pgoff = 0xf7c00000, .where = USER,
	  .pgoff_where = USER, .is_range = true },
	{ .name = "/dev/mem", .misc = PERF_RECORD_MISC_USER, .filename = "/dev/mem", .start = LIB,
	  .len = 0x1000, .pgoff = 0xfed00000, .where = USER, .pgoff_where = PHYS,
	  .is_range = true },
	{ .name = "/dev/mem below another root", .misc = PERF_RECORD_MISC_USER,
	  .filename = "/srv/root/dev/mem", .start = LIB, .len = 0x1000, .pgoff = 0xfed00000,
	  .where = USER, .pgoff_where = PHYS, .is_range = true },
	{ .name = "device in /proc", .misc = PERF_RECORD_MISC_USER,
	  .filename = "/proc/bus/pci/00/02.0", .start = LIB, .len = 0x1000, .pgoff = 0xfed00000,
	  .where = USER, .pgoff_where = PHYS, .is_range = true },
	{ .name = "/dev/zero", .misc = PERF_RECORD_MISC_USER, .filename = "/dev/zero (deleted)",
	  .start = LIB, .len = 0x1000, .pgoff = 0x3000, .where = USER, .is_range = true },
	{ .name = "vsyscall", .misc = PERF_RECORD_MISC_USER, .filename = "[vsyscall]",
	  .start = 0xffffffffff600000ULL, .len = 0x1000, .pgoff = 0 },
	{ .name = "no length", .misc = PERF_RECORD_MISC_USER, .filename = "/bin/a", .start = LIB,
	  .len = 0, .where = USER },
	{ .name = "to the top and beyond", .misc = PERF_RECORD_MISC_USER, .filename = "/bin/a",
	  .start = -0x1000ULL, .len = 0x3000, .where = USER, .is_range = true },
	{ .name = "unknown mode", .filename = "/bin/a", .start = LIB, .len = 0x3000, .where = USER,
	  .is_range = true },
	{ .name = "guest's file", .misc = PERF_RECORD_MISC_GUEST_USER, .filename = "/bin/a",
	  .start = LIB, .len = 0x3000, .where = GUEST_USER, .is_range = true },
	{ .name = "kernel", .misc = PERF_RECORD_MISC_KERNEL, .filename = "[kernel.kallsyms]_text",
	  .start = TEXT, .len = 0x1001e27, .pgoff = TEXT, .where = KERNEL, .pgoff_where = KERNEL,
	  .is_range = true },
	{ .name = "kernel whose end tells", .misc = PERF_RECORD_MISC_KERNEL,
	  .filename = "[kernel.kallsyms]_text", .start = TEXT, .len = 0x699fffff, .pgoff = TEXT,
	  .where = KERNEL, .pgoff_where = KERNEL, .is_range = true, .open = true },
	{ .name = "guest kernel", .misc = PERF_RECORD_MISC_GUEST_KERNEL,
	  .filename = "[guest.kernel.kallsyms.77]_stext", .start = TEXT, .len = 0x1001e27,
	  .pgoff = TEXT, .where = GUEST_KERNEL, .pgoff_where = GUEST_KERNEL, .is_range = true },
	{ .name = "module", .misc = PERF_RECORD_MISC_KERNEL, .filename = "/lib/modules/6.1/a.ko",
	  .start = MODULE, .len = 0x4000, .where = KERNEL, .is_range = true },
	{ .name = "last module", .misc = PERF_RECORD_MISC_KERNEL, .filename = "[a]",
	  .start = MODULE, .len = -MODULE - 1, .where = KERNEL, .want_len = 64 << 20,
	  .is_range = true },
	{ .name = "guest's module", .misc = PERF_RECORD_MISC_GUEST_KERNEL, .filename = "[a]",
	  .start = MODULE, .len = 0x4000, .where = GUEST_KERNEL, .is_range = true },
	{ .name = "trampoline", .misc = PERF_RECORD_MISC_KERNEL,
	  .filename = "__entry_SYSCALL_64_trampoline", .start = 0xfffffe000000d000ULL,
	  .len = 0x1000,
	  .pgoff = TEXT + 0x1234, .where = KERNEL, .pgoff_where = KERNEL, .is_range = true },
	{ .name = "module of no length", .misc = PERF_RECORD_MISC_KERNEL, .filename = "[a]",
	  .start = MODULE, .len = 0, .where = KERNEL },
};

/* Of whose events the records have a sample_id of ID_SIZE. */
static const struct perf_event_attr id_attr = {
	.sample_type	= PERF_SAMPLE_IP | PERF_SAMPLE_TID | PERF_SAMPLE_TIME,
	.sample_id_all	= 1,
};

/* A record of @size bytes, at the end of a buffer. */
static noinline union perf_event *new_event(u32 type, u16 misc, size_t size)
{
	struct perf_event_header *header = calloc(1, size);

	if (header) {
		header->type = type;
		header->misc = misc;
		header->size = size;
	}
	return (void *)header;
}

/* Put @text in @event, with garbage behind it up to the end. */
static void put_text(union perf_event *event, size_t pos, const char *text)
{
	memset((void *)event + pos, 0xff, event->header.size - pos);
	memcpy((void *)event + pos, text, strlen(text) + 1);
}

static bool check_text(const union perf_event *event, size_t pos, const char *text)
{
	const char *got = (const void *)event + pos;
	size_t size = event->header.size;

	if (strcmp(got, text)) {
		pr_debug("wanted name %s, got %s\n", text, got);
		return false;
	}
	for (size_t i = pos + strlen(text); i < size; i++) {
		u8 want = i < size - ID_SIZE ? 0 : 0xff;

		if (*((const u8 *)event + i) != want) {
			pr_debug("wanted %#x at %zu of %zu, got %#x\n", want, i, size,
				 *((const u8 *)event + i));
			return false;
		}
	}
	return true;
}

static int check_map(const struct map_case *c, bool mmap2, size_t padding)
{
	size_t pos = mmap2 ? offsetof(union perf_event, mmap2.filename) :
			     offsetof(union perf_event, mmap.filename);
	union perf_event *event = new_event(mmap2 ? PERF_RECORD_MMAP2 : PERF_RECORD_MMAP, c->misc,
					    pos + strlen(c->filename) + 1 + padding + ID_SIZE);
	struct aslr_view view = new_view();
	struct aslr_space *space;
	u64 start, len, pgoff;
	int ret = TEST_FAIL;

	TEST_ASSERT_VAL("out of memory", event && view.spaces);
	put_text(event, pos, c->filename);
	if (mmap2) {
		event->mmap2.pid = PID;
		event->mmap2.start = c->start;
		event->mmap2.len = c->len;
		event->mmap2.pgoff = c->pgoff;
	} else {
		event->mmap.pid = PID;
		event->mmap.start = c->start;
		event->mmap.len = c->len;
		event->mmap.pgoff = c->pgoff;
	}
	if (aslr_record__rewrite(&view, event, &id_attr)) {
		pr_debug("error\n");
		goto out;
	}
	start = mmap2 ? event->mmap2.start : event->mmap.start;
	len = mmap2 ? event->mmap2.len : event->mmap.len;
	pgoff = mmap2 ? event->mmap2.pgoff : event->mmap.pgoff;

	space = where_space(view.spaces, c->where);
	if (!is_image(view.spaces, c->where, c->start, start) ||
	    !is_image(view.spaces, c->pgoff_where, c->pgoff, pgoff) ||
	    !check_text(event, pos, c->filename))
		goto out;
	if (space && aslr_space__contains(space, c->start) != c->is_range) {
		pr_debug("%sin a mapping\n", c->is_range ? "not " : "");
		goto out;
	}
	if (c->open ? len == c->len : len != (c->want_len ?: c->len)) {
		pr_debug("length %#" PRIx64 "\n", len);
		goto out;
	}
	ret = TEST_OK;
out:
	if (ret)
		pr_debug("%s, %s, padding %zu\n", c->name, mmap2 ? "MMAP2" : "MMAP", padding);
	aslr_spaces__delete(view.spaces);
	free(event);
	return ret;
}

static int test__aslr_record_maps(struct test_suite *t __maybe_unused, int subtest __maybe_unused)
{
	int ret = TEST_OK;

	for (unsigned int i = 0; i < ARRAY_SIZE(map_cases); i++) {
		for (size_t padding = 0; padding < 8; padding++) {
			if (check_map(&map_cases[i], false, padding) ||
			    check_map(&map_cases[i], true, padding))
				ret = TEST_FAIL;
		}
	}
	return ret;
}

/* A record of a mapping of a process, of a page. */
static int map_page(struct aslr_view *view, u64 start, const char *filename)
{
	size_t pos = offsetof(union perf_event, mmap.filename);
	union perf_event *event = new_event(PERF_RECORD_MMAP, PERF_RECORD_MISC_USER,
					    pos + strlen(filename) + 1 + ID_SIZE);
	int err;

	if (!event)
		return -ENOMEM;
	put_text(event, pos, filename);
	event->mmap.pid = PID;
	event->mmap.start = start;
	event->mmap.len = 0x1000;
	err = aslr_record__rewrite(view, event, &id_attr);
	free(event);
	return err;
}

/* What tells which the program is, and that it isn't sure. */
static int test__aslr_record_lost(struct test_suite *t __maybe_unused, int subtest __maybe_unused)
{
	const u64 heap = 0x168e3000;
	struct aslr_view view = new_view();
	union perf_event *event = new_event(PERF_RECORD_LOST, 0, sizeof(event->lost));
	struct aslr_space *space;

	TEST_ASSERT_VAL("out of memory", event && view.spaces);
	space = aslr_spaces__new_process(view.spaces, HOST_KERNEL_ID, PID);
	TEST_ASSERT_VAL("out of memory", space);
	aslr_space__exec(space);
	TEST_ASSERT_VAL("no file", !map_page(&view, LIB, "[stack]") &&
			!map_page(&view, LIB + 0x1000, "//anon") &&
			aslr_space__may_be_heap(space, heap));
	TEST_ASSERT_VAL("program", !map_page(&view, LIB + 0x2000, "/usr/bin/x") &&
			!aslr_space__may_be_heap(space, heap));
	aslr_space__exec(space);
	TEST_ASSERT_VAL("lost", !aslr_record__rewrite(&view, event, NULL) &&
			!map_page(&view, LIB, "/usr/lib/x.so") &&
			aslr_space__may_be_heap(space, heap));
	aslr_spaces__delete(view.spaces);
	free(event);
	return TEST_OK;
}

static u64 child_image(struct aslr_view *view)
{
	u64 image = 0;

	aslr_space__translate(aslr_spaces__process(view->spaces, HOST_KERNEL_ID, 43), LIB, &image);
	return image;
}

/* Records in a row, and what comes of their addresses. */
static int test__aslr_record_tasks(struct test_suite *t __maybe_unused, int subtest __maybe_unused)
{
	struct aslr_view view = new_view();
	union perf_event *event = new_event(0, 0, sizeof(*event));
	struct aslr_space *space;
	u64 image, child, first;

	TEST_ASSERT_VAL("out of memory", event && view.spaces);
	space = aslr_spaces__new_process(view.spaces, HOST_KERNEL_ID, PID);
	TEST_ASSERT_VAL("map", space && !aslr_space__add(space, LIB, LIB + 0xfff, &image));
	event->header.type = PERF_RECORD_FORK;
	event->header.size = sizeof(event->fork);
	event->fork.ppid = PID;
	event->fork.ptid = PID;
	event->fork.pid = 43;
	event->fork.tid = 43;
	TEST_ASSERT_VAL("fork", !aslr_record__rewrite(&view, event, NULL) &&
			child_image(&view) == image);

	event->header.misc = PERF_RECORD_MISC_FORK_EXEC;
	TEST_ASSERT_VAL("task found running", !aslr_record__rewrite(&view, event, NULL) &&
			child_image(&view) != image);

	event->header.misc = 0;
	TEST_ASSERT_VAL("fork", !aslr_record__rewrite(&view, event, NULL) &&
			child_image(&view) == image);

	event->header.type = PERF_RECORD_EXIT;
	TEST_ASSERT_VAL("exit", !aslr_record__rewrite(&view, event, NULL) &&
			child_image(&view) != image);
	child = child_image(&view);

	/* A name makes a process of a stray pid. */
	event->header.type = PERF_RECORD_COMM;
	event->header.size = offsetof(union perf_event, comm.comm) + 8 + ID_SIZE;
	event->comm.pid = 44;
	event->comm.tid = 44;
	put_text(event, offsetof(union perf_event, comm.comm), "sh");
	TEST_ASSERT_VAL("comm", !aslr_record__rewrite(&view, event, &id_attr) &&
			check_text(event, offsetof(union perf_event, comm.comm), "sh"));
	TEST_ASSERT_VAL("process", aslr_spaces__process(view.spaces, HOST_KERNEL_ID, 44) !=
			aslr_spaces__process(view.spaces, HOST_KERNEL_ID, 43));
	TEST_ASSERT_VAL("stray", child_image(&view) == child);

	event->header.type = PERF_RECORD_CGROUP;
	event->header.size = offsetof(union perf_event, cgroup.path) + 8 + ID_SIZE;
	put_text(event, offsetof(union perf_event, cgroup.path), "/a");
	TEST_ASSERT_VAL("cgroup", !aslr_record__rewrite(&view, event, &id_attr) &&
			check_text(event, offsetof(union perf_event, cgroup.path), "/a"));

	event->header.type = PERF_RECORD_KSYMBOL;
	event->header.size = offsetof(union perf_event, ksymbol.name) + 16 + ID_SIZE;
	event->ksymbol.addr = SYMBOL;
	event->ksymbol.len = 0x80;
	event->ksymbol.flags = 0;
	put_text(event, offsetof(union perf_event, ksymbol.name), "bpf_prog_1");
	TEST_ASSERT_VAL("ksymbol", !aslr_record__rewrite(&view, event, &id_attr) &&
			is_image(view.spaces, KERNEL, SYMBOL, event->ksymbol.addr) &&
			check_text(event, offsetof(union perf_event, ksymbol.name), "bpf_prog_1") &&
			aslr_space__contains(where_space(view.spaces, KERNEL), SYMBOL + 0x7f));
	first = event->ksymbol.addr;

	event->ksymbol.addr = SYMBOL;
	event->ksymbol.flags = PERF_RECORD_KSYMBOL_FLAGS_UNREGISTER;
	TEST_ASSERT_VAL("ksymbol goes", !aslr_record__rewrite(&view, event, &id_attr) &&
			event->ksymbol.addr == first &&
			!aslr_space__contains(where_space(view.spaces, KERNEL), SYMBOL));

	/* What doesn't fit is dropped. */
	event->header.type = PERF_RECORD_MMAP;
	event->header.misc = PERF_RECORD_MISC_USER;
	event->header.size = offsetof(union perf_event, mmap.filename) + 8;
	event->mmap.pid = PID;
	event->mmap.start = 0x10000;
	event->mmap.len = -0x20000ULL;
	put_text(event, offsetof(union perf_event, mmap.filename), "//anon");
	TEST_ASSERT_VAL("too large a map", aslr_record__rewrite(&view, event, NULL) == 1);

	free(event);
	aslr_spaces__delete(view.spaces);
	return TEST_OK;
}

/* Each format, of the host and of a guest, whatever was looked at before. */
static int test__aslr_record_auxtrace_error(struct test_suite *t __maybe_unused,
					    int subtest __maybe_unused)
{
	static const struct {
		u32		fmt;
		size_t		text;
		size_t		size;
		u32		machine_pid;
		u64		ip;
		enum where	where;
	} rows[] = {
		{ 0, offsetof(union perf_event, auxtrace_error.time), 64, 0, LIB + 1, USER },
		{ 1, offsetof(union perf_event, auxtrace_error.msg), 72, 0, TEXT + 1, KERNEL },
		{ 2, offsetof(union perf_event, auxtrace_error.msg),
		  sizeof(struct perf_record_auxtrace_error), GUEST, LIB + 1, GUEST_USER },
		{ 2, offsetof(union perf_event, auxtrace_error.msg),
		  sizeof(struct perf_record_auxtrace_error), 0, LIB + 1, USER },
		{ 2, offsetof(union perf_event, auxtrace_error.msg),
		  sizeof(struct perf_record_auxtrace_error), 0, TEXT + 1, KERNEL },
		{ 3, offsetof(union perf_event, auxtrace_error.msg),
		  sizeof(struct perf_record_auxtrace_error), 0, TEXT + 1, KERNEL },
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(rows); i++) {
		size_t text = rows[i].text, size = rows[i].size;
		union perf_event *event = new_event(PERF_RECORD_AUXTRACE_ERROR, 0, size);
		struct perf_record_auxtrace_error *error = &event->auxtrace_error;
		struct aslr_view view = { .spaces = aslr_spaces__new() };
		int err;

		TEST_ASSERT_VAL("out of memory", event && view.spaces &&
				aslr_spaces__new_process(view.spaces, HOST_KERNEL_ID, PID) &&
				aslr_spaces__new_process(view.spaces, GUEST, PID));
		aslr_view__set(&view, HOST_KERNEL_ID, /*guest=*/0, /*pid=*/-1, /*cpumode=*/0);
		for (u8 mode = 0; mode <= PERF_RECORD_MISC_CPUMODE_MASK; mode++)
			aslr_view__space(&view, mode);
		put_text(event, text, "Overflow");
		error->pid = PID;
		error->fmt = rows[i].fmt;
		error->ip = rows[i].ip;
		if (rows[i].fmt > 1)
			error->machine_pid = rows[i].machine_pid;
		err = aslr_record__rewrite(&view, event, NULL);
		if (rows[i].fmt > 2) {
			TEST_ASSERT_VAL("unknown format", err == 1);
		} else {
			TEST_ASSERT_VAL("rewrite", !err && event->header.size == size &&
					is_image(view.spaces, rows[i].where, rows[i].ip,
						 error->ip));
			TEST_ASSERT_VAL("padding", !strcmp((void *)event + text, "Overflow") &&
					!*((char *)event + text + sizeof("Overflow")) &&
					!*((char *)event + min(size, text + 64) - 1));
			TEST_ASSERT_VAL("guest", rows[i].fmt < 2 ||
					(error->machine_pid == rows[i].machine_pid &&
					 error->vcpu == -1U));
			aslr_view__set(&view, HOST_KERNEL_ID, /*guest=*/0, PID, /*cpumode=*/0);
			TEST_ASSERT_VAL("the next record's",
					aslr_view__space(&view, PERF_RECORD_MISC_USER) ==
					where_space(view.spaces, USER));
			event->header.size = size - 8;
			TEST_ASSERT_VAL("guest cut off", rows[i].fmt < 2 ||
					aslr_record__rewrite(&view, event, NULL) == -EINVAL);
			event->header.size = size;
			memset((void *)event + text, 'a', size - text);
			TEST_ASSERT_VAL("text without end",
					aslr_record__rewrite(&view, event, NULL) == -EINVAL);
		}
		aslr_spaces__delete(view.spaces);
		free(event);
	}
	return TEST_OK;
}

static int test__aslr_record_table(struct test_suite *t __maybe_unused, int subtest __maybe_unused)
{
	int ret = TEST_OK;

	for (unsigned int type = 1; type < PERF_RECORD_HEADER_MAX + 3; type++) {
		const struct aslr_record *record = aslr_record__find(type);
		bool known = type < PERF_RECORD_MAX || (type >= PERF_RECORD_USER_TYPE_START &&
							type < PERF_RECORD_HEADER_MAX);

		if (!known ? record->name || record->action != ASLR_DROP || record->rewrite :
			     !record->name || !*record->name || !record->why || !*record->why) {
			pr_debug("record type %u: %s\n", type, record->name ?: "no row");
			ret = TEST_FAIL;
		}
		if (known && record->action != ASLR_DROP &&
		    (record->min_size < sizeof(struct perf_event_header) ||
		     (record->text && record->min_size != record->text + 1))) {
			pr_debug("record %s: least size %zu, text at %zu\n", record->name,
				 record->min_size, record->text);
			ret = TEST_FAIL;
		}
	}
	TEST_ASSERT_VAL("no such type", aslr_record__find(-1U)->action == ASLR_DROP &&
			aslr_record__find(0)->action == ASLR_DROP);

	for (unsigned int feat = HEADER_FIRST_FEATURE; feat < HEADER_LAST_FEATURE + 3; feat++) {
		const struct aslr_feature *feature = aslr_feature__find(feat);

		if (feat >= HEADER_LAST_FEATURE ?
			    feature->name || feature->action != ASLR_DROP :
			    !feature->name || !*feature->name || !feature->why || !*feature->why ||
			    (feature->action == ASLR_REWRITE && !feature->rewrite &&
			     !feature->layout)) {
			pr_debug("header feature %u: %s\n", feat, feature->name ?: "no row");
			ret = TEST_FAIL;
		}
	}
	TEST_ASSERT_VAL("no such feature", aslr_feature__find(-1U)->action == ASLR_DROP &&
			aslr_feature__find(0)->action == ASLR_DROP);
	return ret;
}

/* Each kind of record at each size up to the largest of its fixed parts. */
static int test__aslr_record_short(struct test_suite *t __maybe_unused, int subtest __maybe_unused)
{
	int ret = TEST_OK;

	for (unsigned int type = 0; type < PERF_RECORD_HEADER_MAX; type++) {
		const struct aslr_record *record = aslr_record__find(type);

		if (record->action == ASLR_DROP)
			continue;
		for (size_t size = sizeof(struct perf_event_header); size < 128; size++) {
			union perf_event *event = new_event(type, PERF_RECORD_MISC_USER, size);
			struct aslr_view view = new_view();
			size_t id_size = record->text ? ID_SIZE : 0;
			const struct perf_event_attr *attr = id_size ? &id_attr : NULL;
			bool fits = size >= record->min_size + id_size;
			int err, fits_err = 0;

			TEST_ASSERT_VAL("out of memory", event && view.spaces);
			/* The values of an event that isn't known. */
			if (type == PERF_RECORD_READ && fits)
				fits_err = 1;
			/* The ids aren't text. */
			if (id_size && size >= id_size + sizeof(struct perf_event_header))
				memset((void *)event + size - id_size, 0, id_size);
			err = aslr_record__rewrite(&view, event, attr);
			if (err != (fits ? fits_err : -EINVAL)) {
				pr_debug("%s of %zu bytes: got %d\n", record->name, size, err);
				ret = TEST_FAIL;
			}
			/* Text that doesn't end. */
			if (record->text && fits) {
				memset((void *)event + record->text, 'a', size - record->text);
				if (aslr_record__rewrite(&view, event, attr) != -EINVAL) {
					pr_debug("%s of %zu bytes: text without end\n",
						 record->name, size);
					ret = TEST_FAIL;
				}
			}
			aslr_spaces__delete(view.spaces);
			free(event);
		}
	}
	return ret;
}

/* The rows of the attributes are all of them, without a gap. */
static int test__aslr_attr_table(struct test_suite *t __maybe_unused, int subtest __maybe_unused)
{
	struct perf_event_attr attr;
	size_t end = 0;
	u64 flags;

	for (unsigned int i = 0; i < ASLR_NR_ATTR_FIELDS; i++) {
		const struct aslr_attr_field *field = &aslr_attr_fields[i];

		if (!field->name || !*field->name || !field->why || !*field->why ||
		    field->offset != end || !field->size || field->action == ASLR_DROP) {
			pr_debug("field %u of the attributes, %s: %zu bytes at %zu, wanted at %zu\n",
				 i, field->name ?: "no row", field->size, field->offset, end);
			return TEST_FAIL;
		}
		end = field->offset + field->size;
	}
	TEST_ASSERT_EQUAL("end of the attributes", (int)end, (int)sizeof(attr));

	/* A flag that the row of them doesn't know is one bit less of what is reserved. */
	memset(&attr, 0xff, sizeof(attr));
	attr.__reserved_1 = 0;
	memcpy(&flags, &attr.read_format + 1, sizeof(flags));
	TEST_ASSERT_EQUAL("number of flags", (int)hweight64(flags), 38);
	return TEST_OK;
}

/* Records of a size that they tell themselves: what is behind it becomes zeros. */
static int test__aslr_record_sizes(struct test_suite *t __maybe_unused, int subtest __maybe_unused)
{
	static const struct {
		const char	*name;
		u32		type;
		/* What it has in words of 16 bits, behind the header. */
		u16		words[40];
		/* In bytes, with the header; 0: it doesn't fit in a record with 8 bytes more. */
		size_t		size;
	} records[] = {
		{ "NAMESPACES", PERF_RECORD_NAMESPACES, { [4] = 2 }, 24 + 2 * 16 },
		{ "too many NAMESPACES", PERF_RECORD_NAMESPACES, { [4] = 7 }, 0 },
		{ "ID_INDEX", PERF_RECORD_ID_INDEX, { 2 }, 16 + 2 * 32 },
		{ "ID_INDEX of a guest", PERF_RECORD_ID_INDEX, { 1 }, 16 + 48 },
		{ "too large an ID_INDEX", PERF_RECORD_ID_INDEX, { 1, 0, 0, 0x8000 }, 0 },
		{ "THREAD_MAP", PERF_RECORD_THREAD_MAP, { 2 }, 16 + 2 * 24 },
		{ "STAT_CONFIG", PERF_RECORD_STAT_CONFIG, { 3 }, 16 + 3 * 16 },
		{ "CPU_MAP of CPUs", PERF_RECORD_CPU_MAP, { PERF_CPU_MAP__CPUS, 4 }, 12 + 4 * 2 },
		{ "CPU_MAP of a mask", PERF_RECORD_CPU_MAP, { PERF_CPU_MAP__MASK, 2, 4 }, 14 + 8 },
		{ "CPU_MAP of a wide mask", PERF_RECORD_CPU_MAP, { PERF_CPU_MAP__MASK, 1, 8 },
		  18 + 8 },
		{ "CPU_MAP of a range", PERF_RECORD_CPU_MAP, { PERF_CPU_MAP__RANGE_CPUS, 0, 0, 7 },
		  16 },
		{ "CPU_MAP of another kind", PERF_RECORD_CPU_MAP, { 9 }, 0 },
		{ "EVENT_UPDATE of a unit", PERF_RECORD_EVENT_UPDATE,
		  { PERF_EVENT_UPDATE__UNIT, [8] = 0x4141, 0x41 }, 24 + 4 },
		{ "EVENT_UPDATE of a scale", PERF_RECORD_EVENT_UPDATE,
		  { PERF_EVENT_UPDATE__SCALE }, 24 + 8 },
		{ "EVENT_UPDATE of CPUs", PERF_RECORD_EVENT_UPDATE,
		  { PERF_EVENT_UPDATE__CPUS, [8] = PERF_CPU_MAP__CPUS, 1 }, 24 + 6 },
	};
	int ret = TEST_OK;

	for (unsigned int i = 0; i < ARRAY_SIZE(records); i++) {
		size_t known = records[i].size, size = (known ?: 48) + 8;
		size_t id_size = records[i].type == PERF_RECORD_NAMESPACES ? ID_SIZE : 0;
		union perf_event *event = new_event(records[i].type, 0, size + id_size);
		struct aslr_view view = new_view();
		int err;

		TEST_ASSERT_VAL("out of memory", event && view.spaces);
		memcpy((void *)event + 8, records[i].words,
		       min(size - 8, sizeof(records[i].words)));
		if (known)
			memset((void *)event + known, 0xff, 8);
		memset((void *)event + size, 0xff, id_size);
		err = aslr_record__rewrite(&view, event, id_size ? &id_attr : NULL);
		for (size_t pos = size - 8; !err && pos < size + id_size; pos++) {
			if (((u8 *)event)[pos] != (pos < size ? 0 : 0xff))
				err = pos;
		}
		if (known ? err || memcmp((void *)event + 8, records[i].words,
					  min(known - 8, sizeof(records[i].words))) :
			    err != -EINVAL) {
			pr_debug("%s: %d\n", records[i].name, err);
			ret = TEST_FAIL;
		}
		aslr_spaces__delete(view.spaces);
		free(event);
	}
	return ret;
}

/* The values of each format, what is behind them, and the sample_id. */
static int test__aslr_record_read(struct test_suite *t __maybe_unused, int subtest __maybe_unused)
{
	int ret = TEST_OK;

	for (u64 format = 0; format < 2 * PERF_FORMAT_MAX; format++) {
		struct perf_event_attr attr = {
			.read_format	= format,
			.sample_type	= PERF_SAMPLE_TIME | PERF_SAMPLE_CPU |
					  PERF_SAMPLE_IDENTIFIER,
			.sample_id_all	= 1,
		};
		const bool group = format & PERF_FORMAT_GROUP;
		const size_t times = hweight64(format & (PERF_FORMAT_TOTAL_TIME_ENABLED |
							 PERF_FORMAT_TOTAL_TIME_RUNNING));
		const size_t value = 1 + hweight64(format & (PERF_FORMAT_ID | PERF_FORMAT_LOST));
		const size_t nr = times + (group ? 1 + 3 * value : value);
		const size_t pos = offsetof(union perf_event, read.value);
		union perf_event *event = new_event(PERF_RECORD_READ, 0, pos + (nr + 1 + 3) * 8);
		u64 *values = (void *)event + pos, *id = values + nr + 1;
		struct aslr_view view = new_view();
		int err, bad;

		TEST_ASSERT_VAL("out of memory", event && view.spaces);
		memset(values, 0xff, (nr + 1 + 3) * 8);
		if (group)
			*values = 3;
		err = aslr_record__rewrite(&view, event, &attr);
		if (format >= PERF_FORMAT_MAX) {
			bad = err != 1;
		} else {
			bad = err || values[nr - 1] != -1ULL || values[nr] || id[0] != -1ULL ||
			      ((u32 *)id)[2] != -1U || ((u32 *)id)[3] || id[2] != -1ULL;
			/* More than there are, a count that can't be, and no room for it */
			if (group) {
				*values = 5;
				bad |= aslr_record__rewrite(&view, event, &attr) != -EINVAL;
				*values = -1ULL / 8 / value;
				bad |= aslr_record__rewrite(&view, event, &attr) != -EINVAL;
			}
			event->header.size = pos + 4;
			bad |= aslr_record__rewrite(&view, event, &attr) != -EINVAL;
		}
		if (bad) {
			pr_debug("read format %#" PRIx64 ": %d\n", format, err);
			ret = TEST_FAIL;
		}
		aslr_spaces__delete(view.spaces);
		free(event);
	}
	return ret;
}

/* What isn't of a build-id where that is shorter than it could be */
static int test__aslr_record_build_ids(struct test_suite *t __maybe_unused,
				       int subtest __maybe_unused)
{
	static const size_t sizes[] = { 0, 8, 16, 20, 255 };

	for (unsigned int i = 0; i < ARRAY_SIZE(sizes); i++) {
		const size_t size = min_t(size_t, sizes[i], BUILD_ID_SIZE);
		struct aslr_view view = new_view();
		union perf_event *event = new_event(PERF_RECORD_MMAP2, PERF_RECORD_MISC_USER |
						    PERF_RECORD_MISC_MMAP_BUILD_ID,
						    sizeof(struct perf_record_mmap2));
		struct perf_record_header_build_id *build_id;
		const u8 *data;

		TEST_ASSERT_VAL("out of memory", event && view.spaces);
		event->mmap2.len = 0x1000;
		event->mmap2.start = LIB;
		memset(&event->mmap2.build_id_size, 0xff, 24);
		event->mmap2.build_id_size = sizes[i];
		TEST_ASSERT_VAL("mmap2", !aslr_record__rewrite(&view, event, NULL));
		data = event->mmap2.build_id;
		TEST_ASSERT_VAL("reserved", !event->mmap2.__reserved_1 &&
				!event->mmap2.__reserved_2 &&
				event->mmap2.build_id_size == sizes[i]);
		TEST_ASSERT_VAL("build-id of mmap2", (!size || data[size - 1] == 0xff) &&
				(size == BUILD_ID_SIZE || !data[size]) &&
				data[BUILD_ID_SIZE - 1] == (size == BUILD_ID_SIZE ? 0xff : 0));
		free(event);

		event = new_event(PERF_RECORD_HEADER_BUILD_ID, PERF_RECORD_MISC_BUILD_ID_SIZE,
				  sizeof(*build_id) + 8);
		TEST_ASSERT_VAL("out of memory", event);
		build_id = &event->build_id;
		memset(build_id->data, 0xff, 24);
		build_id->size = sizes[i];
		TEST_ASSERT_VAL("build-id", !aslr_record__rewrite(&view, event, NULL) &&
				build_id->size == sizes[i] && !build_id->reserved2__ &&
				(!size || build_id->data[size - 1] == 0xff) &&
				(size == BUILD_ID_SIZE || !build_id->data[size]));
		free(event);
		aslr_spaces__delete(view.spaces);
	}
	return TEST_OK;
}

#define MAPPINGS	"4:cpu\0006:kprobe\0007:uprobe\00028:msr"
#define ANYTHING	0x1122334455667788ULL

static int test__aslr_attrs(struct test_suite *t __maybe_unused, int subtest __maybe_unused)
{
	/* What of config, config1, 2 and 3 stays: one bit each. */
	static const struct {
		const char	*name;
		u32		type;
		u64		config1;
		u64		config2;
		u8		stays;
		enum where	where;
		bool		config2_where;
	} types[] = {
		{ "hardware", PERF_TYPE_HARDWARE, ANYTHING, ANYTHING, 15, SAME, false },
		{ "cache", PERF_TYPE_HW_CACHE, ANYTHING, ANYTHING, 15, SAME, false },
		{ "raw", PERF_TYPE_RAW, ANYTHING, ANYTHING, 15, SAME, false },
		{ "raw, address", PERF_TYPE_RAW, TEXT, ANYTHING, 13, SAME, false },
		{ "software", PERF_TYPE_SOFTWARE, ANYTHING, ANYTHING, 1, SAME, false },
		{ "tracepoint", PERF_TYPE_TRACEPOINT, ANYTHING, ANYTHING, 1, SAME, false },
		{ "breakpoint, process", PERF_TYPE_BREAKPOINT, EXE, 8, 4, USER, false },
		{ "breakpoint, kernel", PERF_TYPE_BREAKPOINT, TEXT, 8, 4, KERNEL, false },
		{ "cpu", 4, ANYTHING, ANYTHING, 15, SAME, false },
		{ "cpu, address", 4, ANYTHING, TEXT, 11, SAME, false },
		{ "kprobe, address", 6, 0, TEXT + 5, 1, KERNEL, true },
		{ "kprobe, function", 6, LIB, 0x10, 5, SAME, false },
		{ "uprobe", 7, LIB, 0x1136, 5, SAME, false },
		{ "msr", 28, 1, 2, 15, SAME, false },
		{ "unknown", 29, ANYTHING, ANYTHING, 1, SAME, false },
		{ "a part of a number", 2, ANYTHING, ANYTHING, 1, SAME, false },
	};
	int ret = TEST_OK;

	for (unsigned int i = 0; i < ARRAY_SIZE(types); i++) {
		struct aslr_view view = new_view();
		struct aslr_attrs attrs = {
			.spaces = view.spaces, .pmu_mappings = MAPPINGS, .nr_pmu_mappings = 4,
		};
		struct perf_event_attr old = {
			.type = types[i].type, .size = sizeof(old), .config = 5ULL << 61 * (i & 1),
			.sample_type = PERF_SAMPLE_IP, .sig_data = LIB, .config1 = types[i].config1,
			.config2 = types[i].config2, .config3 = ANYTHING,
		}, attr = old, want = old;
		u64 old_addr = types[i].config2_where ? old.config2 : old.config1;
		u64 addr = old_addr;
		struct aslr_space *space = types[i].where == USER ?
			aslr_spaces__process(view.spaces, HOST_KERNEL_ID, -1) :
			where_space(view.spaces, types[i].where);
		int err = aslr_attr__rewrite(&attrs, &attr);

		want.sig_data = 0;
		want.config = types[i].stays & 1 && !(i & 1) ? want.config : 0;
		want.config1 = types[i].stays & 2 ? want.config1 : 0;
		want.config2 = types[i].stays & 4 ? want.config2 : 0;
		want.config3 = types[i].stays & 8 ? want.config3 : 0;
		if (space && aslr_space__translate(space, old_addr, &addr))
			err = -1;
		if (space && types[i].config2_where)
			want.config2 = addr;
		else if (space)
			want.config1 = addr;
		if (err || memcmp(&attr, &want, sizeof(attr)) || (space && addr == old_addr)) {
			pr_debug("attribute %s: error %d, got %" PRIx64 " %" PRIx64 " %" PRIx64
				 ", wanted %" PRIx64 " %" PRIx64 " %" PRIx64 "\n", types[i].name,
				 err, (u64)attr.config1, (u64)attr.config2, (u64)attr.config3,
				 (u64)want.config1, (u64)want.config2, (u64)want.config3);
			ret = TEST_FAIL;
		}
		/* A mapping that comes changes nothing. */
		if (space && (aslr_space__add(space, old_addr & ~0xfffULL, old_addr | 0xfff,
					      &addr) ||
			      aslr_attr__rewrite(&attrs, &old) ||
			      memcmp(&old, &want, sizeof(old)))) {
			pr_debug("attribute %s: another address\n", types[i].name);
			ret = TEST_FAIL;
		}
		aslr_spaces__delete(view.spaces);
	}
	return ret;
}

static int test__aslr_text_numbers(struct test_suite *t __maybe_unused, int subtest __maybe_unused)
{
	static const struct {
		const char	*text;
		/* %s: what the breakpoint's address has become. */
		const char	*want;
		bool		to_come;
	} texts[] = {
		{ "", "", false },
		{ "cycles:u", "cycles:u", false },
		{ "mem:0x404040/8:rw", "mem:0x%s/8:rw", false },
		{ "404040", "%s", false },
		{ "x404040-404040", "x%s-%s", false },
		{ "mem:0x404041:x", "mem:0x000000:x", false },
		{ "mem:0x604040:x", "mem:0x604040:x", false },
		{ "0x402123", "0x402123", false },
		{ "0x401123", "0x000000", false },
		{ "0x7f1234560010", "0x000000000000", false },
		{ "7F1234560010,", "000000000000,", false },
		{ "0xffffffff96600000", "0x0000000000000000", false },
		{ "-F 4000 -g fff", "-F 4000 -g fff", false },
		{ "fffff", "fffff", false },
		{ "0123456789abcdef0123456789abcdef01234567",
		  "0123456789abcdef0123456789abcdef01234567", false },
		/* Several numbers without a space between them. */
		{ "00007f1234560010ffffffff97012345", "00000000000000000000000000000000", true },
		{ "00001f1234560010ffffffff97012345", "00001f12345600100000000000000000", false },
		{ "00000000004040400000000000404040", "00000000000000000000000000000000", false },
		{ "404040404040404040404040", "404040404040404040404040", false },
		{ "0x0000000000000000000000404040", "0x0000000000000000000000%s", false },
		{ "100000000", "000000000", false },
		{ "ffffffff", "ffffffff", false },
		{ "cpu/config=0x1a8010001c0/", "cpu/config=0x1a8010001c0/", true },
		{ "mem:0x404040:x", "mem:0x%s:x", true },
		{ "0x604040 604040", "0x000000 604040", true },
		{ "6040ff facade 0x0ffff", "000000 facade 0x0ffff", true },
		{ "1234567", "1234567", true },
		/* As an event is configured: it has the number itself. */
		{ "r10043c", "r10043c", true },
		{ "cpu/config1=0x401777/", "cpu/config1=0x401777/", true },
		{ "cpu/config1=0x401777/", "cpu/config1=0x401777/", false },
	};
	int ret = TEST_OK;

	for (unsigned int i = 0; i < ARRAY_SIZE(texts); i++) {
		struct aslr_view view = new_view();
		struct aslr_attrs attrs = {
			.spaces = view.spaces, .mappings_to_come = texts[i].to_come,
		};
		struct perf_event_attr attr = { .type = PERF_TYPE_BREAKPOINT, .bp_addr = 0x404040 };
		struct perf_event_attr raw = {
			.type = PERF_TYPE_RAW, .config = 0x10043c, .config1 = 0x401777,
			.config2 = 0x1a8010001c0,
		};
		char want[128], addr[32];
		size_t size = 128;
		char *text = malloc(size);
		struct aslr_space *space;
		u64 image;

		TEST_ASSERT_VAL("out of memory", text && view.spaces);
		space = aslr_spaces__new_process(view.spaces, HOST_KERNEL_ID, PID);
		TEST_ASSERT_VAL("addresses", !aslr_attr__rewrite(&attrs, &attr) && space &&
				!aslr_attr__rewrite(&attrs, &raw) &&
				!aslr_space__add(space, EXE, EXE + 0xfff, &image));
		scnprintf(addr, sizeof(addr), "%" PRIx64, (u64)attr.bp_addr);
		memset(text, 0, size);
		memcpy(text, texts[i].text, strlen(texts[i].text));
		memcpy(text + strlen(text) + 1, "ffffffff97012345", 16);
		want[0] = '\0';
		for (const char *pos = texts[i].want; *pos; pos++) {
			size_t len = strlen(want);

			if (*pos == '%')
				scnprintf(want + len, sizeof(want) - len, "%s", addr);
			else
				scnprintf(want + len, sizeof(want) - len, "%c", *pos);
			pos += *pos == '%';
		}
		aslr_header__rewrite_text(&attrs, text, size);
		if (strcmp(text, want) || memchr_inv(text + strlen(text), 0, size - strlen(text))) {
			pr_debug("%s: wanted %s, got %s\n", texts[i].text, want, text);
			ret = TEST_FAIL;
		}
		free(text);

		/* Text that fills all there is: no NUL, and nothing is written behind it. */
		size = strlen(texts[i].text);
		text = malloc(size ?: 1);
		TEST_ASSERT_VAL("out of memory", text);
		memcpy(text, texts[i].text, size);
		aslr_header__rewrite_text(&attrs, text, size);
		for (size_t j = 0; j < size && ret == TEST_OK; j++) {
			if (text[j] != texts[i].text[j] && text[j] != '0' &&
			    !strchr(addr, text[j])) {
				pr_debug("%s: got %.*s\n", texts[i].text, (int)size, text);
				ret = TEST_FAIL;
			}
		}
		free(text);
		aslr_spaces__delete(view.spaces);
	}
	return ret;
}

struct bytes {
	size_t	size;
	char	data[1024];
};

static void put(struct bytes *b, const void *data, size_t size)
{
	memcpy(b->data + b->size, data, size);
	b->size += size;
}

static void put_u32(struct bytes *b, u32 value)
{
	put(b, &value, sizeof(value));
}

static void put_u64(struct bytes *b, u64 value)
{
	put(b, &value, sizeof(value));
}

static void put_string(struct bytes *b, const char *str)
{
	put(b, str, strlen(str) + 1);
}

static void put_file(struct bytes *b, const char *str)
{
	put_u64(b, strlen(str));
	put(b, str, strlen(str));
}

/* An address in as many digits as had the one that was there. */
static void put_printk_format(struct bytes *b, const char *fmt, u64 addr)
{
	char line[64];

	put(b, line, scnprintf(line, sizeof(line), fmt, addr));
}

static const u64 printk_addrs[] = {
	0xffffffff97012345ULL, 0xc0123456, 0xffffffff97012399ULL,
};

/* Tracing data as trace_report() reads it, with kernel symbols if @addrs are the original ones. */
static void put_tracing(struct bytes *b, const char *version, const u64 *addrs)
{
	char bigendian = host_is_bigendian();
	static const char symbols[] = "ffffffff96600000 T _text\n";
	size_t symbols_size = addrs == printk_addrs ? sizeof(symbols) - 1 : 0;
	struct bytes formats = {};

	put_printk_format(&formats, "0x%016" PRIx64 " : \"RCU 42 %%p\"\n", addrs[0]);
	put_printk_format(&formats, "%08" PRIx64 " : \"deadbeef is a number\"\n", addrs[1]);
	put_printk_format(&formats, "no address\n", 0);
	put_printk_format(&formats, "0x%016" PRIx64, addrs[2]);

	put(b, "\027\010\104tracing", 10);
	put_string(b, version);
	put(b, &bigendian, 1);
	put(b, "\010", 1);
	put_u32(b, 4096);
	put_string(b, "header_page");
	put_file(b, "\tfield: u64 timestamp;\n");
	put_string(b, "header_event");
	put_file(b, "# compressed entry header\n");
	put_u32(b, 1);
	put_file(b, addrs == printk_addrs ? "name: abs_ffffffff96600123\n" :
					    "name: abs_0000000000000000\n");
	put_u32(b, 2);
	put_string(b, "sched");
	put_u32(b, 2);
	put_file(b, "name: sched_switch\nprint fmt: \"%p ffffffff81000000\"\n");
	put_file(b, "");
	put_string(b, "raw_syscalls");
	put_u32(b, 0);
	put_u32(b, symbols_size);
	put(b, symbols, symbols_size);
	put_u32(b, formats.size);
	put(b, formats.data, formats.size);
	if (strcmp(version, "0.5"))
		put_file(b, "1 init\n4321 sh\n");
}

static int rewrite_tracing(const struct bytes *in, size_t size, struct bytes *out)
{
	struct aslr_attrs attrs = { .spaces = aslr_spaces__new() };
	/* At the end of a buffer. */
	void *buf = malloc(size ?: 1);
	int err = -ENOMEM;

	if (buf && attrs.spaces) {
		memcpy(buf, in->data, size);
		out->size = size;
		err = aslr_tracing__rewrite(&attrs, buf, &out->size);
		if (!err)
			memcpy(out->data, buf, out->size);
	}
	aslr_spaces__delete(attrs.spaces);
	free(buf);
	return err;
}

struct tracing_parts {
	unsigned int	nr_pages;
	unsigned int	nr_formats;
};

static void count_header_page(void *arg, char *text, size_t size, int long_size, int page_size)
{
	struct tracing_parts *parts = arg;

	parts->nr_pages += size && strstarts(text, "\tfield: u64") && long_size == 8 &&
			   page_size == 4096;
}

static void count_format(void *arg, const char *system, char *text, size_t size)
{
	struct tracing_parts *parts = arg;

	if (!strcmp(system, "ftrace"))
		parts->nr_formats += size && strstarts(text, "name: abs_");
	else if (size)
		parts->nr_formats += !strcmp(system, "sched") &&
				     strstarts(text, "name: sched_switch\n");
	else
		parts->nr_formats += !strcmp(system, "sched");
}

static const struct aslr_tracing_reader tracing_reader = {
	.header_page	= count_header_page,
	.format		= count_format,
};

static int test__aslr_tracing(struct test_suite *t __maybe_unused, int subtest __maybe_unused)
{
	static const char * const versions[] = { "0.5", "0.6" };
	struct aslr_spaces *spaces = aslr_spaces__new();
	u64 images[ARRAY_SIZE(printk_addrs)];
	struct aslr_space *kernel;

	TEST_ASSERT_VAL("out of memory", spaces);
	kernel = aslr_spaces__kernel(spaces, HOST_KERNEL_ID);
	TEST_ASSERT_VAL("out of memory", kernel);
	for (unsigned int i = 0; i < ARRAY_SIZE(images); i++)
		TEST_ASSERT_VAL("image",
				!aslr_space__translate(kernel, printk_addrs[i], &images[i]) &&
				images[i] != printk_addrs[i]);
	aslr_spaces__delete(spaces);

	for (unsigned int i = 0; i < ARRAY_SIZE(versions); i++) {
		struct bytes in = {}, want = {}, got = {};
		struct tracing_parts parts = {};
		int err;

		put_tracing(&in, versions[i], printk_addrs);
		put_tracing(&want, versions[i], images);
		err = aslr_tracing__read(&tracing_reader, &parts, in.data, in.size);
		TEST_ASSERT_VAL("reading", !err && parts.nr_pages == 1 && parts.nr_formats == 3);
		err = rewrite_tracing(&in, in.size, &got);
		if (err || got.size != want.size || memcmp(got.data, want.data, want.size)) {
			pr_debug("version %s: wanted %zu bytes, got %zu, error %d\n", versions[i],
				 want.size, got.size, err);
			return TEST_FAIL;
		}
		for (size_t size = 0; size < in.size; size++) {
			aslr_tracing__read(&tracing_reader, &parts, in.data, size);
			err = rewrite_tracing(&in, size, &got);
			if (err != -EINVAL) {
				pr_debug("version %s: wanted error %d for %zu of %zu bytes, got %d\n",
					 versions[i], -EINVAL, size, in.size, err);
				return TEST_FAIL;
			}
		}
		/* Every byte as all ones: what isn't a size may be anything. */
		for (size_t pos = 0; pos < in.size; pos++) {
			char old = in.data[pos];

			in.data[pos] = 0xff;
			rewrite_tracing(&in, in.size, &got);
			in.data[pos] = old;
		}
		/* A page size, and garbage behind the end. */
		put(&in, "ffffffff96600000", 16);
		TEST_ASSERT_VAL("more than there should be",
				!rewrite_tracing(&in, in.size, &got) && got.size == want.size);
		in.data[10 + 4] ^= 1;
		TEST_ASSERT_VAL("other byte order", rewrite_tracing(&in, in.size, &got) == -EINVAL);
	}
	return TEST_OK;
}

static int rewrite_feature(unsigned int feat, const struct bytes *in, size_t size,
			   struct bytes *out)
{
	const struct aslr_feature *feature = aslr_feature__find(feat);
	struct aslr_attrs attrs = { .spaces = aslr_spaces__new() };
	void *buf = malloc(size ?: 1);
	int err = -ENOMEM;

	if (buf && attrs.spaces) {
		memcpy(buf, in->data, size);
		out->size = size;
		err = aslr_feature__rewrite(feature, &attrs, buf, &out->size);
		if (!err)
			memcpy(out->data, buf, out->size);
	}
	aslr_spaces__delete(attrs.spaces);
	free(buf);
	return err;
}

static int test__aslr_features(struct test_suite *t __maybe_unused, int subtest __maybe_unused)
{
	static const struct perf_event_attr attr = {
		.type = PERF_TYPE_BREAKPOINT, .size = sizeof(attr), .bp_addr = LIB, .bp_len = 8,
	};
	struct bytes in = {}, got = {};
	struct perf_event_attr new;
	char name[32];

	/* Strings have room behind their NUL. */
	put_u32(&in, 2);
	put_u32(&in, 8);
	put(&in, "perf\0\0\0", 8);
	put_u32(&in, 24);
	put(&in, "mem:0x7f1234560000\0\0\0\0\0", 24);
	TEST_ASSERT_VAL("command line", !rewrite_feature(HEADER_CMDLINE, &in, in.size, &got) &&
			got.size == in.size && !strcmp(got.data + 8, "perf") &&
			!strcmp(got.data + 20, "mem:0x000000000000"));
	for (size_t size = 0; size < in.size; size++)
		TEST_ASSERT_VAL("cut off command line",
				rewrite_feature(HEADER_CMDLINE, &in, size, &got) == -EINVAL);

	in.size = 0;
	put_u32(&in, 2);
	put_u32(&in, sizeof(attr));
	for (unsigned int i = 0; i < 2; i++) {
		put(&in, &attr, sizeof(attr));
		put_u32(&in, 1);
		put_u32(&in, 24);
		put(&in, "mem:0x7f1234560000\0\0\0\0\0", 24);
		put_u64(&in, 5);
	}
	TEST_ASSERT_VAL("events", !rewrite_feature(HEADER_EVENT_DESC, &in, in.size, &got) &&
			got.size == in.size);
	memcpy(&new, got.data + 8, sizeof(new));
	TEST_ASSERT_VAL("address of an event", new.bp_addr != LIB && new.bp_addr &&
			new.bp_len == 8);
	scnprintf(name, sizeof(name), "mem:0x%" PRIx64, (u64)new.bp_addr);
	TEST_ASSERT_VAL("name of an event", !strcmp(got.data + 8 + sizeof(new) + 8, name));
	for (size_t size = 0; size < in.size; size++)
		TEST_ASSERT_VAL("cut off events",
				rewrite_feature(HEADER_EVENT_DESC, &in, size, &got) == -EINVAL);
	for (size_t pos = 0; pos < in.size; pos++) {
		char old = in.data[pos];

		in.data[pos] = 0xff;
		rewrite_feature(HEADER_EVENT_DESC, &in, in.size, &got);
		in.data[pos] = old;
	}
	return TEST_OK;
}

/* Sections that stay: what is behind the end of them, and of strings in them, goes. */
static int test__aslr_layouts(struct test_suite *t __maybe_unused, int subtest __maybe_unused)
{
	static const struct {
		unsigned int	feat;
		/* 4n and 8n are numbers of so many bytes with the value n, s is a string. */
		const char	*what;
	} sections[] = {
		{ HEADER_HOSTNAME, "s" },
		{ HEADER_NRCPUS, "42 42" },
		{ HEADER_TOTAL_MEM, "89" },
		{ HEADER_NUMA_TOPOLOGY, "42 41 89 89 s 42 89 89 s" },
		{ HEADER_BRANCH_STACK, "" },
		{ HEADER_PMU_MAPPINGS, "42 44 s 45 s" },
		{ HEADER_CACHE, "41 41 41 42 43 44 s s s" },
		{ HEADER_MEM_TOPOLOGY, "81 82 81 83 84 89 81" },
		{ HEADER_CLOCK_DATA, "41 41 82 83" },
		{ HEADER_BPF_BTF, "41 45 48 89" },
		{ HEADER_PMU_CAPS, "42 42 s s s s s 41 s s s" },
		{ HEADER_HYBRID_TOPOLOGY, "41 s s" },
	};
	int ret = TEST_OK;

	for (unsigned int i = 0; i < ARRAY_SIZE(sections); i++) {
		struct bytes in = {}, want = {}, got = {};
		int err;

		for (const char *pos = sections[i].what; *pos; pos++) {
			if (*pos == ' ')
				continue;
			if (*pos == 's') {
				put_u32(&in, 8);
				put(&in, "text\0\xff\xff\xff", 8);
				put_u32(&want, 8);
				put(&want, "text\0\0\0\0", 8);
				continue;
			}
			if (*pos++ == '4') {
				put_u32(&in, *pos - '0');
				put_u32(&want, *pos - '0');
			} else {
				put_u64(&in, *pos - '0');
				put_u64(&want, *pos - '0');
			}
		}
		for (size_t size = 0; size < in.size; size++) {
			err = rewrite_feature(sections[i].feat, &in, size, &got);
			if (err != -EINVAL) {
				pr_debug("section %u: error %d for %zu of %zu bytes\n",
					 sections[i].feat, err, size, in.size);
				ret = TEST_FAIL;
			}
		}
		put_u64(&in, LIB);
		err = rewrite_feature(sections[i].feat, &in, in.size, &got);
		if (err || got.size != want.size || memcmp(got.data, want.data, want.size)) {
			pr_debug("section %u: wanted %zu bytes, got %zu, error %d\n",
				 sections[i].feat, want.size, got.size, err);
			ret = TEST_FAIL;
		}
		for (size_t pos = 0; pos < in.size; pos++) {
			char old = in.data[pos];

			in.data[pos] = 0xff;
			rewrite_feature(sections[i].feat, &in, in.size, &got);
			in.data[pos] = old;
		}
	}
	return ret;
}

static struct test_case tests__aslr_record[] = {
	TEST_CASE("aslr records of mappings", aslr_record_maps),
	TEST_CASE("aslr lost records of tasks", aslr_record_lost),
	TEST_CASE("aslr records of tasks and symbols", aslr_record_tasks),
	TEST_CASE("aslr errors of trace decoders", aslr_record_auxtrace_error),
	TEST_CASE("aslr tables of records and header features", aslr_record_table),
	TEST_CASE("aslr short records", aslr_record_short),
	TEST_CASE("aslr table of event attributes", aslr_attr_table),
	TEST_CASE("aslr records of any size", aslr_record_sizes),
	TEST_CASE("aslr counts that are read", aslr_record_read),
	TEST_CASE("aslr build-ids in records", aslr_record_build_ids),
	TEST_CASE("aslr event attributes", aslr_attrs),
	TEST_CASE("aslr numbers in text", aslr_text_numbers),
	TEST_CASE("aslr tracing data", aslr_tracing),
	TEST_CASE("aslr header features", aslr_features),
	TEST_CASE("aslr header features that stay", aslr_layouts),
	{ .name = NULL, }
};

struct test_suite suite__aslr_record = {
	.desc = "aslr records",
	.test_cases = tests__aslr_record,
};
