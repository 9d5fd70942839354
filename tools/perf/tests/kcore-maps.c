// SPDX-License-Identifier: GPL-2.0
/*
 * The maps that the kernel gets from a kcore: an ELF core next to kallsyms and
 * modules in a directory of the test. Only its headers are looked at, so it needs
 * no contents.
 */
#include <elf.h>
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <internal/lib.h> // page_size
#include <linux/kernel.h>
#include <linux/zalloc.h>
#include "debug.h"
#include "dso.h"
#include "event.h"
#include "machine.h"
#include "map.h"
#include "maps.h"
#include "sample.h"
#include "symbol.h"
#include "tests.h"
#include "util.h"

#define MAX_SEGMENTS	32

struct segment {
	u64 start;
	u64 end;
	u64 pgoff;
};

/* Where the parts of a kernel are. */
struct layout {
	u64 stext;
	u64 module;
	u64 bpf;
	const struct segment *segments;
	size_t nr;
};

static const struct segment arm64_segments[] = {
	{ 0xffff000000000000, 0xffff00001ac00000, 0x1000 },
	{ 0xffff00001ad88000, 0xffff000032000000, 0x1ad89000 },
	{ 0xffff000032101000, 0xffff00003e000000, 0x32102000 },
	{ 0xffff000040000000, 0xffff000089b80000, 0x40001000 },
	{ 0xffff000089cc0000, 0xffff0000b9ab0000, 0x89cc1000 },
	{ 0xffff0000b9ad0000, 0xffff0000b9bb0000, 0xb9ad1000 },
	{ 0xffff0000b9c50000, 0xffff0000b9d50000, 0xb9c51000 },
	{ 0xffff0000ba114000, 0xffff0000bf130000, 0xba115000 },
	{ 0xffff0000bf180000, 0xffff0000e0000000, 0xbf181000 },
	{ 0xffff000200000000, 0xffff000220000000, 0x200001000 },
	{ 0xffff800000000000, 0xffff800080000000, 0x800000001000 },
	{ 0xffff800080000000, 0xffff8000822f0000, 0x800080001000 },	/* text */
	{ 0xffff800080000000, 0xfffffdffbf800000, 0x800080001000 },	/* vmalloc */
	{ 0xfffffdffc0000000, 0xfffffdffc06b0000, 0xfdffc0001000 },
	{ 0xfffffdffc06b6000, 0xfffffdffc0c80000, 0xfdffc06b7000 },
	{ 0xfffffdffc0c84000, 0xfffffdffc0f80000, 0xfdffc0c85000 },
	{ 0xfffffdffc1000000, 0xfffffdffc226e000, 0xfdffc1001000 },
	{ 0xfffffdffc2273000, 0xfffffdffc2e6b000, 0xfdffc2274000 },
	{ 0xfffffdffc2e6b000, 0xfffffdffc2e6f000, 0xfdffc2e6c000 },
	{ 0xfffffdffc2e71000, 0xfffffdffc2e76000, 0xfdffc2e72000 },
	{ 0xfffffdffc2e84000, 0xfffffdffc2fc5000, 0xfdffc2e85000 },
	{ 0xfffffdffc2fc6000, 0xfffffdffc3800000, 0xfdffc2fc7000 },
	{ 0xfffffdffc8000000, 0xfffffdffc8800000, 0xfdffc8001000 },
};

static const char arm64_maps[] =
	"ffff000000000000-ffff00001ac00000 1000 kcore\n"
	"ffff00001ad88000-ffff000032000000 1ad89000 kcore\n"
	"ffff000032101000-ffff00003e000000 32102000 kcore\n"
	"ffff000040000000-ffff000089b80000 40001000 kcore\n"
	"ffff000089cc0000-ffff0000b9ab0000 89cc1000 kcore\n"
	"ffff0000b9ad0000-ffff0000b9bb0000 b9ad1000 kcore\n"
	"ffff0000b9c50000-ffff0000b9d50000 b9c51000 kcore\n"
	"ffff0000ba114000-ffff0000bf130000 ba115000 kcore\n"
	"ffff0000bf180000-ffff0000e0000000 bf181000 kcore\n"
	"ffff000200000000-ffff000220000000 200001000 kcore\n"
	"ffff800000000000-ffff800080000000 800000001000 kcore\n"
	"ffff800080000000-ffff8000822f0000 800080001000 kernel\n"
	"ffff8000822f0000-ffff8000a0000000 8000822f1000 kcore\n"
	"ffff8000a0000000-ffff8000a0001000 0 bpf_prog_1\n"
	"ffff8000a0001000-fffffdffbf800000 8000a0002000 kcore\n"
	"fffffdffc0000000-fffffdffc06b0000 fdffc0001000 kcore\n"
	"fffffdffc06b6000-fffffdffc0c80000 fdffc06b7000 kcore\n"
	"fffffdffc0c84000-fffffdffc0f80000 fdffc0c85000 kcore\n"
	"fffffdffc1000000-fffffdffc226e000 fdffc1001000 kcore\n"
	"fffffdffc2273000-fffffdffc2e6b000 fdffc2274000 kcore\n"
	"fffffdffc2e6b000-fffffdffc2e6f000 fdffc2e6c000 kcore\n"
	"fffffdffc2e71000-fffffdffc2e76000 fdffc2e72000 kcore\n"
	"fffffdffc2e84000-fffffdffc2fc5000 fdffc2e85000 kcore\n"
	"fffffdffc2fc6000-fffffdffc3800000 fdffc2fc7000 kcore\n"
	"fffffdffc8000000-fffffdffc8800000 fdffc8001000 kcore\n";

static const struct layout arm64 = {
	.stext = 0xffff800080010000,
	.module = 0xffff80007a000000,
	.bpf = 0xffff8000a0000000,
	.segments = arm64_segments,
	.nr = ARRAY_SIZE(arm64_segments),
};

static const struct segment x86_64_segments[] = {
	{ 0xffffffffff600000, 0xffffffffff601000, 0x7fffff606000 },	/* vsyscall */
	{ 0xffffffff81000000, 0xffffffff83800000, 0x7fff81006000 },	/* text */
	{ 0xffffc90000000000, 0xffffe90000000000, 0x490000006000 },	/* vmalloc */
	/* Entry trampolines of PTI: the same page of the text everywhere */
	{ 0xfffffe0000006000, 0xfffffe0000007000, 0x7fff81a06000 },
	{ 0xfffffe0000032000, 0xfffffe0000033000, 0x7fff81a06000 },
	{ 0xffffffffc0000000, 0xffffffffff000000, 0x7fffc0006000 },	/* modules */
	{ 0xffff888000001000, 0xffff88800009f000, 0x88000007000 },	/* direct map */
	{ 0xffffea0000000000, 0xffffea0000003000, 0x6a0000006000 },	/* vmemmap */
	{ 0xffff888000100000, 0xffff8880bffda000, 0x88000106000 },
	{ 0xffffea0000004000, 0xffffea0003000000, 0x6a000000a000 },
	{ 0xffff888100000000, 0xffff888240000000, 0x88100006000 },
	{ 0xffffea0004000000, 0xffffea0009000000, 0x6a0004006000 },
};

static const char x86_64_maps[] =
	"ffff888000001000-ffff88800009f000 88000007000 kcore\n"
	"ffff888000100000-ffff8880bffda000 88000106000 kcore\n"
	"ffff888100000000-ffff888240000000 88100006000 kcore\n"
	"ffffc90000000000-ffffe90000000000 490000006000 kcore\n"
	"ffffea0000000000-ffffea0000003000 6a0000006000 kcore\n"
	"ffffea0000004000-ffffea0003000000 6a000000a000 kcore\n"
	"ffffea0004000000-ffffea0009000000 6a0004006000 kcore\n"
	"fffffe0000006000-fffffe0000007000 7fff81a06000 kcore\n"
	"fffffe0000032000-fffffe0000033000 7fff81a06000 kcore\n"
	"ffffffff81000000-ffffffff83800000 7fff81006000 kernel\n"
	"ffffffffc0000000-ffffffffc0200000 7fffc0006000 kcore\n"
	"ffffffffc0200000-ffffffffc0201000 0 bpf_prog_1\n"
	"ffffffffc0201000-ffffffffff000000 7fffc0207000 kcore\n"
	"ffffffffff600000-ffffffffff601000 7fffff606000 kcore\n";

static const struct layout x86_64 = {
	.stext = 0xffffffff81000000,
	.module = 0xffffffffc0000000,
	.bpf = 0xffffffffc0200000,
	.segments = x86_64_segments,
	.nr = ARRAY_SIZE(x86_64_segments),
};

/* A directory with kallsyms, modules and kcore, and a machine that loads them. */
struct kcore_test {
	char dir[64];
	char kallsyms[PATH_MAX];
	struct machine machine;
	const struct layout *layout;
};

static int write_file(const struct kcore_test *test, const char *name, const void *data,
		      size_t size)
{
	char path[PATH_MAX];
	FILE *file;
	size_t written;

	scnprintf(path, sizeof(path), "%s/%s", test->dir, name);
	file = fopen(path, "w");
	TEST_ASSERT_VAL("failed to create a file", file);
	written = fwrite(data, 1, size, file);
	TEST_ASSERT_VAL("failed to write a file", !fclose(file) && written == size);
	return TEST_OK;
}

static int kcore_test__init(struct kcore_test *test, const struct layout *layout)
{
	char kallsyms[512], modules[128];

	test->layout = layout;
	scnprintf(test->dir, sizeof(test->dir), "/tmp/perf-test-kcore-maps-XXXXXX");
	TEST_ASSERT_VAL("failed to create a directory", mkdtemp(test->dir));
	scnprintf(test->kallsyms, sizeof(test->kallsyms), "%s/kallsyms", test->dir);

	scnprintf(kallsyms, sizeof(kallsyms),
		  "%" PRIx64 " T _stext\n"
		  "%" PRIx64 " T kernel_function\n"
		  "%" PRIx64 " t module_function\t[module]\n"
		  "%" PRIx64 " t bpf_prog_1\t[bpf]\n",
		  layout->stext, layout->stext + 0x100, layout->module + 0x10, layout->bpf);
	scnprintf(modules, sizeof(modules), "module 16384 0 - Live 0x%" PRIx64 "\n",
		  layout->module);
	if (write_file(test, "kallsyms", kallsyms, strlen(kallsyms)))
		return TEST_FAIL;
	return write_file(test, "modules", modules, strlen(modules));
}

static void kcore_test__exit(struct kcore_test *test)
{
	rm_rf(test->dir);
}

/* The headers of a core with the given segments. */
struct kcore_file {
	Elf64_Ehdr ehdr;
	Elf64_Phdr phdr[MAX_SEGMENTS];
};

static void kcore_file__init(struct kcore_file *file, const struct segment *segments, size_t nr)
{
	memset(file, 0, sizeof(*file));
	memcpy(file->ehdr.e_ident, ELFMAG, SELFMAG);
	file->ehdr.e_ident[EI_CLASS] = ELFCLASS64;
	file->ehdr.e_ident[EI_DATA] = host_is_bigendian() ? ELFDATA2MSB : ELFDATA2LSB;
	file->ehdr.e_ident[EI_VERSION] = EV_CURRENT;
	file->ehdr.e_type = ET_CORE;
	file->ehdr.e_version = EV_CURRENT;
	file->ehdr.e_ehsize = sizeof(Elf64_Ehdr);
	file->ehdr.e_phoff = offsetof(struct kcore_file, phdr);
	file->ehdr.e_phentsize = sizeof(Elf64_Phdr);
	file->ehdr.e_phnum = nr;
	for (size_t i = 0; i < nr; i++) {
		file->phdr[i] = (Elf64_Phdr) {
			.p_type = PT_LOAD,
			.p_flags = PF_R | PF_W | PF_X,
			.p_offset = segments[i].pgoff,
			.p_vaddr = segments[i].start,
			.p_filesz = segments[i].end - segments[i].start,
			.p_memsz = segments[i].end - segments[i].start,
			.p_align = page_size,
		};
	}
}

static int write_kcore(const struct kcore_test *test, const struct segment *segments, size_t nr)
{
	struct kcore_file file;

	kcore_file__init(&file, segments, nr);
	return write_file(test, "kcore", &file, offsetof(struct kcore_file, phdr[nr]));
}

static struct map *insert_map(struct machine *machine, const char *name, u64 start, u64 end)
{
	struct dso *dso = machine__findnew_dso(machine, name);
	struct map *map;

	if (!dso)
		return NULL;
	dso__set_kernel(dso, DSO_SPACE__KERNEL);
	if (strcmp(name, machine->mmap_name))
		dso__set_is_kmod(dso);

	map = map__new2(start, dso);
	dso__put(dso);
	if (!map)
		return NULL;
	map__set_end(map, end);
	if (maps__insert(machine__kernel_maps(machine), map))
		map__zput(map);
	return map;
}

static int insert_bpf(struct machine *machine, u64 addr)
{
	struct perf_sample sample = { .ip = 0, };
	union perf_event event = {
		.ksymbol = {
			.addr = addr,
			.len = 0x1000,
			.ksym_type = PERF_RECORD_KSYMBOL_TYPE_BPF,
			.name = "bpf_prog_1",
		},
	};

	return machine__process_ksymbol(machine, &event, &sample);
}

/* Until kcore tells better the kernel is two pages long. */
static int create_machine(struct kcore_test *test)
{
	const struct layout *layout = test->layout;
	struct machine *machine = &test->machine;
	struct map *map;

	machine__init(machine, "", HOST_KERNEL_ID);
	map = insert_map(machine, machine->mmap_name, layout->stext, layout->stext + 0x2000);
	TEST_ASSERT_VAL("failed to insert the kernel", map);
	map__set_mapping_type(map, MAPPING_TYPE__IDENTITY);
	machine->vmlinux_map = map;

	map = insert_map(machine, "[module]", layout->module, layout->module + 0x4000);
	TEST_ASSERT_VAL("failed to insert a module", map);
	map__put(map);
	TEST_ASSERT_VAL("failed to insert a BPF program", !insert_bpf(machine, layout->bpf));
	return TEST_OK;
}

static int load_kernel(struct kcore_test *test)
{
	const char *kallsyms_name = symbol_conf.kallsyms_name;
	int ret;

	symbol_conf.kallsyms_name = test->kallsyms;
	ret = map__load(machine__kernel_map(&test->machine));
	symbol_conf.kallsyms_name = kallsyms_name;
	return ret;
}

struct print_map_args {
	FILE *file;
	struct map *kernel;
};

static int print_map_cb(struct map *map, void *data)
{
	struct print_map_args *args = data;
	const char *name = dso__short_name(map__dso(map));

	if (RC_CHK_EQUAL(map, args->kernel))
		name = "kernel";
	else if (RC_CHK_EQUAL(map__dso(map), map__dso(args->kernel)))
		name = "kcore";
	fprintf(args->file, "%" PRIx64 "-%" PRIx64 " %" PRIx64 " %s\n",
		map__start(map), map__end(map), map__pgoff(map), name);
	return 0;
}

/* All maps of the kernel as text, for the caller to free. */
static char *print_maps(struct machine *machine)
{
	struct print_map_args args = { .kernel = machine__kernel_map(machine), };
	char *text = NULL;
	size_t size;

	args.file = open_memstream(&text, &size);
	if (!args.file)
		return NULL;
	maps__for_each_map(machine__kernel_maps(machine), print_map_cb, &args);
	fclose(args.file);
	return text;
}

static int check_symbol(struct machine *machine, u64 addr, const char *name)
{
	struct map *map = NULL;
	struct symbol *sym = maps__find_symbol(machine__kernel_maps(machine), addr, &map);

	map__put(map);
	TEST_ASSERT_VAL(name, sym && !strcmp(sym->name, name));
	return TEST_OK;
}

/* A BPF program has the symbol of its event, and not that of kallsyms as well. */
static int check_one_symbol(struct machine *machine, u64 addr)
{
	struct map *map = maps__find(machine__kernel_maps(machine), addr);
	struct symbol *sym = map ? dso__first_symbol(map__dso(map)) : NULL;
	bool one = sym && !dso__next_symbol(sym);

	map__put(map);
	TEST_ASSERT_VAL("one symbol", one);
	return TEST_OK;
}

static int check_maps(struct machine *machine, const char *expected)
{
	char *maps = print_maps(machine);
	bool same = maps && !strcmp(maps, expected);

	if (!same)
		pr_debug("Expected:\n%sGot:\n%s", expected, maps ?: "");
	free(maps);
	TEST_ASSERT_VAL("maps", same);
	return TEST_OK;
}

/* Load a kcore with the segments in this order, and compare the maps. */
static int check_kcore(struct kcore_test *test, const struct segment *segments, size_t nr,
		       const char *expected)
{
	const struct layout *layout = test->layout;
	struct machine *machine = &test->machine;
	int ret;

	TEST_ASSERT_VAL("kcore", !write_kcore(test, segments, nr));
	TEST_ASSERT_VAL("machine", !create_machine(test));
	ret = load_kernel(test) ? TEST_FAIL : TEST_OK;
	if (ret == TEST_OK && !dso__is_kcore(map__dso(machine__kernel_map(machine))))
		ret = TEST_FAIL;
	if (ret == TEST_OK)
		ret = check_maps(machine, expected);
	if (ret == TEST_OK)
		ret = check_symbol(machine, layout->stext + 0x100, "kernel_function");
	if (ret == TEST_OK)
		ret = check_symbol(machine, layout->module + 0x10, "module_function");
	if (ret == TEST_OK)
		ret = check_symbol(machine, layout->bpf, "bpf_prog_1");
	if (ret == TEST_OK)
		ret = check_one_symbol(machine, layout->bpf);
	machine__exit(machine);
	return ret;
}

/* The same numbers everywhere. */
static unsigned int next_random(u64 *state)
{
	*state = *state * 6364136223846793005ULL + 1442695040888963407ULL;
	return *state >> 33;
}

static void shuffle(struct segment *segments, size_t nr, u64 *state)
{
	for (size_t i = nr - 1; i > 0; i--) {
		size_t other = next_random(state) % (i + 1);
		struct segment segment = segments[other];

		segments[other] = segments[i];
		segments[i] = segment;
	}
}

static int check_layout(const struct layout *layout, const char *expected)
{
	struct segment segments[MAX_SEGMENTS];
	struct kcore_test test = {};
	u64 state = 1;
	int ret;

	ret = kcore_test__init(&test, layout);
	if (ret == TEST_OK)
		ret = check_kcore(&test, layout->segments, layout->nr, expected);

	for (size_t i = 0; i < layout->nr; i++)
		segments[i] = layout->segments[layout->nr - 1 - i];
	if (ret == TEST_OK)
		ret = check_kcore(&test, segments, layout->nr, expected);

	for (int i = 0; i < 1000 && ret == TEST_OK; i++) {
		shuffle(segments, layout->nr, &state);
		ret = check_kcore(&test, segments, layout->nr, expected);
	}
	kcore_test__exit(&test);
	return ret;
}

static int skip_without_libelf(void)
{
#ifdef HAVE_LIBELF_SUPPORT
	return TEST_OK;
#else
	return TEST_SKIP;
#endif
}

static int test__kcore_maps__arm64(struct test_suite *t __maybe_unused,
				   int subtest __maybe_unused)
{
	return skip_without_libelf() ?: check_layout(&arm64, arm64_maps);
}

static int test__kcore_maps__x86_64(struct test_suite *t __maybe_unused,
				    int subtest __maybe_unused)
{
	return skip_without_libelf() ?: check_layout(&x86_64, x86_64_maps);
}

/* Some overlaps: the BPF program is at 0x3000, the kernel starts at 0x5100. */
static const struct {
	struct segment segments[MAX_SEGMENTS];
	const char *maps;
} overlaps[] = {
	/* Twice the same */
	{ { { 0x1000, 0x9000, 0x1000 }, { 0x1000, 0x9000, 0x1000 }, },
	  "1000-3000 1000 kcore\n"
	  "3000-4000 0 bpf_prog_1\n"
	  "4000-9000 4000 kernel\n" },
	/* A chain of overlaps, with the kernel at the end of one and the start of another */
	{ { { 0x1000, 0x5800, 0x11000 }, { 0x5000, 0x7000, 0x15000 },
	    { 0x6000, 0x8000, 0x16000 }, { 0x7000, 0x9000, 0x17000 }, },
	  "1000-3000 11000 kcore\n"
	  "3000-4000 0 bpf_prog_1\n"
	  "4000-5000 14000 kcore\n"
	  "5000-7000 15000 kernel\n"
	  "7000-9000 17000 kcore\n" },
	/* The kernel in three segments, one in the other */
	{ { { 0x1000, 0xa000, 0x2000 }, { 0x4800, 0x8000, 0x5800 }, { 0x5000, 0x6000, 0x6000 }, },
	  "1000-3000 2000 kcore\n"
	  "3000-4000 0 bpf_prog_1\n"
	  "4000-5000 5000 kcore\n"
	  "5000-6000 6000 kernel\n"
	  "6000-a000 7000 kcore\n" },
	/* Next to each other isn't an overlap: the offsets don't have to agree. */
	{ { { 0x2000, 0x5000, 0x8000 }, { 0x5000, 0x6000, 0x7000 }, { 0x6000, 0x7000, 0x9000 }, },
	  "2000-3000 8000 kcore\n"
	  "3000-4000 0 bpf_prog_1\n"
	  "4000-5000 a000 kcore\n"
	  "5000-6000 7000 kernel\n"
	  "6000-7000 9000 kcore\n" },
	/* Merged, though the last one that overlaps isn't the longest one */
	{ { { 0x5000, 0x6000, 0x1000 }, { 0x1000, 0x4000, 0x1000 }, { 0x2000, 0x2800, 0x2000 },
	    { 0x3800, 0x4800, 0x3800 }, },
	  "1000-3000 1000 kcore\n"
	  "3000-4000 0 bpf_prog_1\n"
	  "4000-4800 4000 kcore\n"
	  "5000-6000 1000 kernel\n" },
};

static const struct layout low = { .stext = 0x5100, .module = 0x4000, .bpf = 0x3000, };

static int test__kcore_maps__overlap(struct test_suite *t __maybe_unused,
				     int subtest __maybe_unused)
{
	struct kcore_test test = {};
	u64 state = 1;
	int ret = skip_without_libelf() ?: kcore_test__init(&test, &low);

	for (size_t i = 0; i < ARRAY_SIZE(overlaps) && ret == TEST_OK; i++) {
		struct segment segments[MAX_SEGMENTS];
		size_t nr = 0;

		while (overlaps[i].segments[nr].end)
			nr++;
		memcpy(segments, overlaps[i].segments, sizeof(segments));
		for (int order = 0; order < 20 && ret == TEST_OK; order++) {
			ret = check_kcore(&test, segments, nr, overlaps[i].maps);
			shuffle(segments, nr, &state);
		}
	}
	kcore_test__exit(&test);
	return ret;
}

static void set_size(Elf64_Phdr *phdr, u64 size)
{
	phdr->p_filesz = size;
	phdr->p_memsz = size;
}

/* Ways to spoil a kcore. */
static void inconsistent(struct kcore_file *file)
{
	file->phdr[12].p_offset += page_size;
}

static void inconsistent_at_end(struct kcore_file *file)
{
	file->phdr[22].p_vaddr = file->phdr[21].p_vaddr + 1;
}

/* The last but one of the segments that overlap goes farther than the last one. */
static void inconsistent_by_far(struct kcore_file *file)
{
	file->phdr[13].p_vaddr = 0xffff800090000000;
	file->phdr[14].p_vaddr = 0xffff8000f0000000;
	file->phdr[13].p_offset = file->phdr[13].p_vaddr - 0xffff000000000000 + 0x1000;
	file->phdr[14].p_offset = file->phdr[14].p_vaddr - 0xffff000000000000 + 0x2000;
}

static void same_address(struct kcore_file *file)
{
	file->phdr[1] = file->phdr[0];
	file->phdr[1].p_offset++;
}

static void zero_length(struct kcore_file *file)
{
	set_size(&file->phdr[3], 0);
}

static void no_file_size(struct kcore_file *file)
{
	file->phdr[11].p_filesz = 0;
}

static void wraps(struct kcore_file *file)
{
	set_size(&file->phdr[22], -file->phdr[22].p_vaddr + 1);
}

static void wraps_to_zero(struct kcore_file *file)
{
	set_size(&file->phdr[22], -file->phdr[22].p_vaddr);
}

static void longest(struct kcore_file *file)
{
	set_size(&file->phdr[22], ~0ULL);
}

static void no_text(struct kcore_file *file)
{
	file->phdr[11].p_type = PT_NOTE;
	file->phdr[12].p_type = PT_NOTE;
}

static void no_segments(struct kcore_file *file)
{
	file->ehdr.e_phnum = 0;
}

static void not_loaded(struct kcore_file *file)
{
	for (size_t i = 0; i < ARRAY_SIZE(file->phdr); i++)
		file->phdr[i].p_type = PT_NOTE;
}

static void too_many(struct kcore_file *file)
{
	file->ehdr.e_phnum = PN_XNUM - 1;
}

/* The number of segments is said to be in a section header that isn't there. */
static void extended(struct kcore_file *file)
{
	file->ehdr.e_phnum = PN_XNUM;
}

static void extended_outside(struct kcore_file *file)
{
	file->ehdr.e_phnum = PN_XNUM;
	file->ehdr.e_shoff = ~0ULL - 8;
	file->ehdr.e_shentsize = sizeof(Elf64_Shdr);
	file->ehdr.e_shnum = 1;
}

static void headers_behind_end(struct kcore_file *file)
{
	file->ehdr.e_phoff = 0x100000;
}

static void headers_wrap(struct kcore_file *file)
{
	file->ehdr.e_phoff = -sizeof(Elf64_Phdr);
}

static void not_elf(struct kcore_file *file)
{
	file->ehdr.e_ident[0] = 0;
}

static void no_class(struct kcore_file *file)
{
	file->ehdr.e_ident[EI_CLASS] = ELFCLASSNONE;
}

static void unchanged(struct kcore_file *file __maybe_unused)
{
}

/* Text at an offset in the file, which ends in it. */
static void cut_off(struct kcore_file *file)
{
	file->phdr[11].p_offset = page_size;
	file->phdr[12].p_offset = page_size;
}

#define WHOLE sizeof(struct kcore_file)

static const struct {
	const char *name;
	void (*spoil)(struct kcore_file *file);
	const char *message;
	size_t size;
} bad_kcores[] = {
	{ "inconsistent", inconsistent, "overlap inconsistently", WHOLE },
	{ "inconsistent at the end", inconsistent_at_end, "overlap inconsistently", WHOLE },
	{ "inconsistent by far", inconsistent_by_far, "overlap inconsistently", WHOLE },
	{ "same address", same_address, "overlap inconsistently", WHOLE },
	{ "zero length", zero_length, "is empty", WHOLE },
	{ "no file size", no_file_size, "is empty", WHOLE },
	{ "wraps", wraps, "wraps around", WHOLE },
	{ "wraps to zero", wraps_to_zero, "wraps around", WHOLE },
	{ "longest", longest, "wraps around", WHOLE },
	{ "no text", no_text, "in none of its segments", WHOLE },
	{ "no segments", no_segments, "no program headers", WHOLE },
	{ "segments not loaded", not_loaded, "no program headers", WHOLE },
	{ "too many segments", too_many, "no program headers", WHOLE },
	{ "extended number", extended, "no program headers", WHOLE },
	{ "extended number outside", extended_outside, "no program headers", WHOLE },
	{ "headers behind the end", headers_behind_end, "no program headers", WHOLE },
	{ "headers wrap", headers_wrap, "no program headers", WHOLE },
	{ "not ELF", not_elf, "no program headers", WHOLE },
	{ "no class", no_class, "no program headers", WHOLE },
	{ "empty file", unchanged, "no program headers", 0 },
	{ "file is an ident", unchanged, "no program headers", EI_NIDENT },
	{ "file is an ELF header", unchanged, "no program headers",
	  sizeof(Elf64_Ehdr) },
	{ "file ends in the headers", unchanged, "no program headers",
	  offsetof(struct kcore_file, phdr[12]) + 8 },
	{ "file ends in a segment", cut_off, "cut off", 0x40000 },
};

/* Load the kernel, return what perf says about it for the caller to free. */
static char *load_kernel_messages(struct kcore_test *test, int *err)
{
	FILE *file = debug_file();
	int old_verbose = verbose;
	char *text = NULL;
	FILE *messages;
	size_t size;

	messages = open_memstream(&text, &size);
	if (!messages)
		return NULL;
	debug_set_file(messages);
	verbose = 0;
	*err = load_kernel(test);
	verbose = old_verbose;
	debug_set_file(file);
	fclose(messages);
	return text;
}

/* Is that one line, with this in it? */
static int check_message(const char *messages, const char *expected)
{
	const char *end = strchr(messages, '\n');

	pr_debug("%s", messages);
	TEST_ASSERT_VAL("message", strstr(messages, expected));
	TEST_ASSERT_VAL("one line", end && !end[1]);
	return TEST_OK;
}

/* Whatever is wrong with kcore, the maps and symbols are as without one. */
static int check_refused(struct kcore_test *test, const char *without_kcore, const char *message)
{
	struct machine *machine = &test->machine;
	u64 stext = test->layout->stext;
	char *messages;
	int ret, err;

	TEST_ASSERT_VAL("machine", !create_machine(test));
	messages = load_kernel_messages(test, &err);
	ret = messages && !err ? TEST_OK : TEST_FAIL;
	if (ret == TEST_OK && dso__is_kcore(map__dso(machine__kernel_map(machine))))
		ret = TEST_FAIL;
	if (ret == TEST_OK)
		ret = check_maps(machine, without_kcore);
	if (ret == TEST_OK)
		ret = check_symbol(machine, stext + 0x100, "kernel_function");
	if (ret == TEST_OK)
		ret = check_message(messages, message);
	free(messages);
	machine__exit(machine);
	return ret;
}

static char *load_without_kcore(struct kcore_test *test)
{
	char path[PATH_MAX];
	char *maps = NULL;

	scnprintf(path, sizeof(path), "%s/kcore", test->dir);
	unlink(path);
	if (!create_machine(test) && !load_kernel(test))
		maps = print_maps(&test->machine);
	machine__exit(&test->machine);
	return maps;
}

static int test__kcore_maps__refused(struct test_suite *t __maybe_unused,
				     int subtest __maybe_unused)
{
	int ret = skip_without_libelf();
	struct kcore_test test = {};
	struct kcore_file *file;
	char *without_kcore;

	if (ret)
		return ret;
	file = calloc(1, 0x40000);
	TEST_ASSERT_VAL("memory", file);
	TEST_ASSERT_VAL("init", !kcore_test__init(&test, &arm64));
	without_kcore = load_without_kcore(&test);
	TEST_ASSERT_VAL("without kcore", without_kcore);

	for (size_t i = 0; i < ARRAY_SIZE(bad_kcores) && ret == TEST_OK; i++) {
		kcore_file__init(file, arm64_segments, ARRAY_SIZE(arm64_segments));
		bad_kcores[i].spoil(file);
		ret = write_file(&test, "kcore", file, bad_kcores[i].size);
		if (ret == TEST_OK)
			ret = check_refused(&test, without_kcore, bad_kcores[i].message);
		if (ret != TEST_OK)
			pr_debug("kcore: %s\n", bad_kcores[i].name);
	}
	free(without_kcore);
	free(file);
	kcore_test__exit(&test);
	return ret;
}

/* A BPF program in the segment of the kernel splits it, or has its start. */
static int test__kcore_maps__bpf(struct test_suite *t __maybe_unused,
				 int subtest __maybe_unused)
{
	const struct segment segment = { 0x1000, 0x9000, 0x1000 };
	const struct layout behind = { .stext = 0x1100, .module = 0x7000, .bpf = 0x4000, };
	int ret = skip_without_libelf();
	struct kcore_test test = {};
	char *without_kcore;
	char kallsyms[64];

	if (ret)
		return ret;
	TEST_ASSERT_VAL("init", !kcore_test__init(&test, &behind));
	ret = check_kcore(&test, &segment, 1,
			  "1000-4000 1000 kernel\n"
			  "4000-5000 0 bpf_prog_1\n"
			  "5000-9000 5000 kcore\n");

	/* From here on kallsyms says that the kernel starts where the program is. */
	scnprintf(kallsyms, sizeof(kallsyms), "4100 T _stext\n1200 T kernel_function\n");
	if (ret == TEST_OK)
		ret = write_file(&test, "kallsyms", kallsyms, strlen(kallsyms));
	without_kcore = load_without_kcore(&test);
	if (ret == TEST_OK)
		ret = write_kcore(&test, &segment, 1);
	if (ret == TEST_OK)
		ret = check_refused(&test, without_kcore, "BPF program is where the kernel starts");
	free(without_kcore);
	kcore_test__exit(&test);
	return ret;
}

/* What a copy has of a kernel between modules: the kernel is part of two segments. */
static const struct layout around = { .stext = 0x50000, .module = 0x20000, .bpf = 0x90000, };

static const char around_kallsyms[] =
	"20010 t module_function\t[module]\n"
	"50000 T _stext\n"
	"50100 T kernel_function\n"
	"60000 T _etext\n"
	"80000 t other_function\t[other]\n";

static int check_copy(struct kcore_test *test, const char *to_dir)
{
	const struct segment segment = { 0x10000, 0x81000, page_size };
	const size_t size = page_size + segment.end - segment.start;
	struct kcore_file *file = calloc(1, size);
	struct kcore_test copy = *test;
	char expected[256];
	int ret;

	TEST_ASSERT_VAL("memory", file);
	kcore_file__init(file, &segment, 1);
	ret = write_file(test, "kcore", file, size);
	free(file);
	TEST_ASSERT_VAL("kcore", ret == TEST_OK);
	TEST_ASSERT_VAL("kallsyms", !write_file(test, "kallsyms", around_kallsyms,
						strlen(around_kallsyms)));
	TEST_ASSERT_VAL("copy", !kcore_copy(test->dir, to_dir));

	scnprintf(copy.dir, sizeof(copy.dir), "%s", to_dir);
	scnprintf(copy.kallsyms, sizeof(copy.kallsyms), "%s/kallsyms", to_dir);
	scnprintf(expected, sizeof(expected),
		  "20000-50000 %x kcore\n"
		  "50000-60000 %x kernel\n"
		  "60000-81000 %x kcore\n"
		  "90000-91000 0 bpf_prog_1\n",
		  page_size, page_size + 0x30000, page_size + 0x40000);
	TEST_ASSERT_VAL("machine", !create_machine(&copy));
	ret = load_kernel(&copy) ? TEST_FAIL : check_maps(&copy.machine, expected);
	machine__exit(&copy.machine);
	return ret;
}

static int test__kcore_maps__copy(struct test_suite *t __maybe_unused,
				  int subtest __maybe_unused)
{
	char to_dir[] = "/tmp/perf-test-kcore-maps-XXXXXX";
	int ret = skip_without_libelf();
	struct kcore_test test = {};

	if (ret)
		return ret;
	TEST_ASSERT_VAL("init", !kcore_test__init(&test, &around));
	TEST_ASSERT_VAL("directory", mkdtemp(to_dir));
	ret = check_copy(&test, to_dir);
	rm_rf(to_dir);
	kcore_test__exit(&test);
	return ret;
}

/* Threads that search addresses that have a map with and without kcore. */
struct search {
	const struct kcore_test *test;
	struct maps *maps;
	bool stop;
	unsigned int missed;
};

static void *search_thread(void *arg)
{
	struct search *search = arg;
	const struct layout *layout = search->test->layout;
	const u64 addrs[] = { layout->stext + 0x100, layout->module + 0x10, layout->bpf, };

	while (!__atomic_load_n(&search->stop, __ATOMIC_RELAXED)) {
		for (size_t i = 0; i < ARRAY_SIZE(addrs); i++) {
			struct map *map = maps__find(search->maps, addrs[i]);

			if (!map)
				__atomic_fetch_add(&search->missed, 1, __ATOMIC_RELAXED);
			map__put(map);
		}
		/* This one has its symbol before and after. */
		if (!maps__find_symbol(search->maps, layout->bpf, NULL))
			__atomic_fetch_add(&search->missed, 1, __ATOMIC_RELAXED);
	}
	return NULL;
}

static int search_while_loading(struct kcore_test *test, unsigned int *missed)
{
	struct search search = { .test = test, };
	pthread_t thread;
	int ret;

	TEST_ASSERT_VAL("machine", !create_machine(test));
	search.maps = machine__kernel_maps(&test->machine);
	ret = pthread_create(&thread, NULL, search_thread, &search) ? TEST_FAIL : TEST_OK;
	if (ret == TEST_OK) {
		ret = load_kernel(test) ? TEST_FAIL : TEST_OK;
		__atomic_store_n(&search.stop, true, __ATOMIC_RELAXED);
		pthread_join(thread, NULL);
	}
	*missed += search.missed;
	machine__exit(&test->machine);
	return ret;
}

static int test__kcore_maps__search(struct test_suite *t __maybe_unused,
				    int subtest __maybe_unused)
{
	int ret = skip_without_libelf();
	unsigned int missed = 0;
	struct kcore_test test = {};

	if (ret)
		return ret;
	TEST_ASSERT_VAL("init", !kcore_test__init(&test, &arm64));
	ret = write_kcore(&test, arm64_segments, ARRAY_SIZE(arm64_segments));
	perf_set_multithreaded();
	for (int i = 0; i < 200 && ret == TEST_OK; i++)
		ret = search_while_loading(&test, &missed);
	perf_set_singlethreaded();
	kcore_test__exit(&test);
	TEST_ASSERT_VAL("load", ret == TEST_OK);
	TEST_ASSERT_EQUAL("searches without a result", missed, 0u);
	return TEST_OK;
}

static struct test_case tests__kcore_maps[] = {
	TEST_CASE_REASON("kcore maps, arm64 layout in any order",
			 kcore_maps__arm64, "no libelf"),
	TEST_CASE_REASON("kcore maps, x86_64 layout in any order",
			 kcore_maps__x86_64, "no libelf"),
	TEST_CASE_REASON("kcore maps, segments that overlap",
			 kcore_maps__overlap, "no libelf"),
	TEST_CASE_REASON("kcore maps, BPF programs stay",
			 kcore_maps__bpf, "no libelf"),
	TEST_CASE_REASON("kcore maps, a copy with modules around the kernel",
			 kcore_maps__copy, "no libelf"),
	TEST_CASE_REASON("kcore maps, a bad kcore changes nothing",
			 kcore_maps__refused, "no libelf"),
	TEST_CASE_REASON("kcore maps, searches while kcore is loaded",
			 kcore_maps__search, "no libelf"),
	{	.name = NULL, }
};

struct test_suite suite__kcore_maps = {
	.desc = "kcore maps",
	.test_cases = tests__kcore_maps,
};
