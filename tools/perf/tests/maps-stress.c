// SPDX-License-Identifier: GPL-2.0
/*
 * Look up what is mapped at all times, in several threads, while another one
 * moves, inserts, removes and loads maps: no search may miss. What the searches
 * can't tell, a build with -fsanitize=thread does.
 */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <linux/compiler.h>
#include <linux/kernel.h>
#include <internal/lib.h> // writen
#include "debug.h"
#include "dso.h"
#include "event.h"
#include "sample.h"
#include "machine.h"
#include "map.h"
#include "maps.h"
#include "symbol.h"
#include "symbol_conf.h"
#include "tests.h"
#include "util.h"

#define NR_THREADS	3
/* Each round starts with a kernel that isn't loaded, and ends after as many of both. */
#define NR_ROUNDS	10
#define NR_MOVES	500
#define NR_PASSES	200

/*
 * Where kallsyms puts the kernel, between modules, and a part of it far behind
 * these. The ends of the kernel's map move, what is between them doesn't.
 */
#define KERNEL_START	0xffffffffb0001000ULL
#define KERNEL_ADDR	0xffffffffb0002000ULL
#define KERNEL_END	0xffffffffb0004000ULL

static const char kallsyms[] =
	"ffffffffa0000000 t low_0_function\t[low_0]\n"
	"ffffffffa1000000 t low_1_function\t[low_1]\n"
	"ffffffffa2000000 t low_2_function\t[low_2]\n"
	"ffffffffb0001000 T _stext\n"
	"ffffffffb0002000 T kernel_function\n"
	"ffffffffb0003000 T kernel_end\n"
	"ffffffffc0000000 t high_0_function\t[high_0]\n"
	"ffffffffc1000000 t high_1_function\t[high_1]\n"
	"ffffffffc2000000 t high_2_function\t[high_2]\n"
	"ffffffffe0000000 T far_kernel_function\n";

struct module {
	const char *name;
	u64 start;
	u64 end;
};

/* The maps that no one moves. */
static const struct module modules[] = {
	{ "[low_0]",  0xffffffffa0000000, 0xffffffffa0001000 },
	{ "[low_1]",  0xffffffffa1000000, 0xffffffffa1001000 },
	{ "[low_2]",  0xffffffffa2000000, 0xffffffffa2001000 },
	{ "[high_0]", 0xffffffffc0000000, 0xffffffffc0001000 },
	{ "[high_1]", 0xffffffffc1000000, 0xffffffffc1001000 },
	{ "[high_2]", 0xffffffffc2000000, 0xffffffffc2001000 },
};

/* One that goes from one side of the others to the other one and back. */
static const struct module roaming = {
	"[roaming]", 0xffffffff90000000, 0xffffffff90001000
};

/* One of which others take the start, the end or the middle. */
static const struct module shrinking = {
	"[shrinking]", 0xffffffffd0000000, 0xffffffffd0010000
};

static struct map *add_map(struct machine *machine, const struct module *module, bool is_kmod)
{
	struct dso *dso = machine__findnew_dso(machine, module->name);
	struct map *map;

	if (!dso)
		return NULL;

	dso__set_kernel(dso, DSO_SPACE__KERNEL);
	if (is_kmod)
		dso__set_is_kmod(dso);
	map = map__new2(module->start, dso);
	dso__put(dso);
	if (!map)
		return NULL;

	map__set_end(map, module->end);
	if (!is_kmod)
		map__set_mapping_type(map, MAPPING_TYPE__IDENTITY);
	if (!maps__insert(machine__kernel_maps(machine), map))
		return map;

	map__put(map);
	return NULL;
}

struct searcher {
	struct machine *machine;
	pthread_t thread;
	bool *stop;
	unsigned int passes;
	unsigned long searches;
	unsigned long missed_addr;
	unsigned long missed_name;
	unsigned long missed_symbol;
};

static bool map__is_of(const struct map *map, const char *name)
{
	return map && !strcmp(dso__name(map__dso(map)), name);
}

static void search(struct searcher *s)
{
	struct maps *kmaps = machine__kernel_maps(s->machine);
	struct symbol *sym;
	struct map *map;

	for (size_t i = 0; i < ARRAY_SIZE(modules); i++) {
		map = maps__find(kmaps, modules[i].start + i);
		s->missed_addr += !map__is_of(map, modules[i].name);
		map__put(map);

		map = maps__find_by_name(kmaps, modules[i].name);
		s->missed_name += !map__is_of(map, modules[i].name);
		map__put(map);

		/* Has a symbol only if the kernel was loaded first. */
		maps__find_symbol(kmaps, modules[i].start, &map);
		s->missed_addr += !map__is_of(map, modules[i].name);
		map__put(map);
	}

	map = maps__find(kmaps, KERNEL_ADDR);
	s->missed_addr += !map__is_of(map, s->machine->mmap_name);
	map__put(map);

	/* The first one to do so loads the kernel. */
	sym = maps__find_symbol(kmaps, KERNEL_ADDR, &map);
	s->missed_symbol += !sym || strcmp(sym->name, "kernel_function");
	map__put(map);

	s->searches += 3 * ARRAY_SIZE(modules) + 2;
	__atomic_store_n(&s->passes, s->passes + 1, __ATOMIC_RELAXED);
}

static unsigned int min_passes(const struct searcher *searchers)
{
	unsigned int least = UINT_MAX;

	for (int i = 0; i < NR_THREADS; i++)
		least = min(least, __atomic_load_n(&searchers[i].passes, __ATOMIC_RELAXED));
	return least;
}

static void *search_thread(void *data)
{
	struct searcher *s = data;

	while (!__atomic_load_n(s->stop, __ATOMIC_RELAXED))
		search(s);
	return NULL;
}

static int move_cb(struct map *map, void *data)
{
	const struct module *to = data;

	map__set_start(map, to->start);
	map__set_end(map, to->end);
	return 0;
}

/* Both ends, one after the other and together. */
static int move_kernel(struct machine *machine, unsigned int i)
{
	struct module to = {
		.start = KERNEL_START - (i & 1) * 0x1000,
		.end   = KERNEL_END + (i & 2) * 0x1000,
	};

	return maps__mutate_mapping(machine__kernel_maps(machine),
				    machine__kernel_map(machine), move_cb, &to);
}

static int move_roaming(struct machine *machine, struct map *map, unsigned int i)
{
	const u64 distance = (i & 1) * 0x60000000ULL;
	struct module to = {
		.start = roaming.start + distance,
		.end   = roaming.end + distance,
	};

	return maps__mutate_mapping(machine__kernel_maps(machine), map, move_cb, &to);
}

/* A BPF program comes and goes, once below and once above the kernel. */
static int load_unload_program(struct machine *machine, unsigned int i)
{
	struct perf_sample sample = { .cpumode = PERF_RECORD_MISC_KERNEL, };
	union perf_event event = {
		.ksymbol = {
			.header = { .type = PERF_RECORD_KSYMBOL, },
			.addr = i & 1 ? 0xffffffffa8000000 : 0xffffffffb8000000,
			.len = 0x100,
			.ksym_type = PERF_RECORD_KSYMBOL_TYPE_BPF,
			.name = "bpf_prog_1234",
		},
	};
	int err = machine__process_ksymbol(machine, &event, &sample);

	event.ksymbol.flags = PERF_RECORD_KSYMBOL_FLAGS_UNREGISTER;
	return err ?: machine__process_ksymbol(machine, &event, &sample);
}

static bool remove_shrinking(struct map *map, void *data __maybe_unused)
{
	return map__start(map) >= shrinking.start && map__end(map) <= shrinking.end;
}

static int shrink(struct machine *machine, unsigned int i)
{
	const u64 start = shrinking.start + (i & 3) * 0x4000;
	const struct module part = { "[part]", start, start + 0x4000 };
	struct map *map = add_map(machine, &shrinking, /*is_kmod=*/true);
	struct map *part_map = add_map(machine, &part, /*is_kmod=*/true);
	int err = map && part_map ? 0 : -1;

	map__put(part_map);
	map__put(map);
	maps__remove_maps(machine__kernel_maps(machine), remove_shrinking, NULL);
	return err;
}

static int change_maps(struct machine *machine, struct map *roaming_map,
		       const struct searcher *searchers)
{
	int err = maps__load_maps(machine__kernel_maps(machine));

	/* The kernel has symbols, the modules have no files to load. */
	if (err == -ENOENT)
		err = 0;

	for (unsigned int i = 0; !err && (i < NR_MOVES || min_passes(searchers) < NR_PASSES); i++) {
		err = move_kernel(machine, i) ?:
		      move_roaming(machine, roaming_map, i) ?:
		      load_unload_program(machine, i) ?:
		      shrink(machine, i);
	}
	return err;
}

/* A kernel that isn't loaded yet, searched and changed at the same time. */
static int stress(struct machine *machine, struct searcher *total)
{
	const struct module kernel = { machine->mmap_name, KERNEL_START, KERNEL_END };
	struct searcher searchers[NR_THREADS] = {};
	struct map *roaming_map;
	bool stop = false;
	int nr_started, err;

	machine->vmlinux_map = add_map(machine, &kernel, /*is_kmod=*/false);
	TEST_ASSERT_VAL("failed to add the kernel", machine->vmlinux_map);
	for (size_t i = 0; i < ARRAY_SIZE(modules); i++) {
		struct map *map = add_map(machine, &modules[i], /*is_kmod=*/true);

		TEST_ASSERT_VAL("failed to add a module", map);
		map__put(map);
	}
	roaming_map = add_map(machine, &roaming, /*is_kmod=*/true);
	TEST_ASSERT_VAL("failed to add the roaming map", roaming_map);

	for (nr_started = 0; nr_started < NR_THREADS; nr_started++) {
		struct searcher *s = &searchers[nr_started];

		s->machine = machine;
		s->stop = &stop;
		if (pthread_create(&s->thread, NULL, search_thread, s))
			break;
	}
	err = nr_started == NR_THREADS ? change_maps(machine, roaming_map, searchers) : 0;
	__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
	for (int i = 0; i < nr_started; i++) {
		pthread_join(searchers[i].thread, NULL);
		total->searches += searchers[i].searches;
		total->missed_addr += searchers[i].missed_addr;
		total->missed_name += searchers[i].missed_name;
		total->missed_symbol += searchers[i].missed_symbol;
	}
	map__put(roaming_map);
	TEST_ASSERT_EQUAL("failed to start threads", nr_started, NR_THREADS);
	TEST_ASSERT_EQUAL("failed to change maps", err, 0);
	return TEST_OK;
}

static int stress_rounds(struct searcher *total)
{
	int ret = TEST_OK;

	for (int i = 0; i < NR_ROUNDS && ret == TEST_OK; i++) {
		struct machine machine;

		machine__init(&machine, "", HOST_KERNEL_ID);
		ret = stress(&machine, total);
		machine__exit(&machine);
	}
	return ret;
}

static int test__maps_stress(struct test_suite *t __maybe_unused, int subtest __maybe_unused)
{
	char path[] = "/tmp/perf-test-maps-stress-XXXXXX";
	const char *kallsyms_name = symbol_conf.kallsyms_name;
	struct searcher total = {};
	int fd = mkstemp(path);
	int ret = TEST_FAIL;

	TEST_ASSERT_VAL("failed to create a kallsyms file", fd >= 0);
	if (writen(fd, (void *)kallsyms, strlen(kallsyms)) > 0) {
		symbol_conf.kallsyms_name = path;
		perf_set_multithreaded();
		ret = stress_rounds(&total);
		perf_set_singlethreaded();
		symbol_conf.kallsyms_name = kallsyms_name;
	}
	close(fd);
	unlink(path);

	pr_debug("%lu searches missed %lu addresses, %lu names and %lu symbols\n", total.searches,
		 total.missed_addr, total.missed_name, total.missed_symbol);
	if (total.missed_addr || total.missed_name || total.missed_symbol)
		ret = TEST_FAIL;
	return ret;
}

DEFINE_SUITE("maps, searches while they change", maps_stress);
