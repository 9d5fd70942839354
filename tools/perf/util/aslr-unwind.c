// SPDX-License-Identifier: GPL-2.0
/*
 * Unwinding of user stacks, see aslr-unwind.h.
 */
#include "aslr-unwind.h"

#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <linux/bitops.h>
#include <linux/build_bug.h>
#include <linux/err.h>
#include <linux/kernel.h>
#include <linux/zalloc.h>
#include "aslr-sample.h"
#include "build-id.h"
#include "callchain.h"
#include "debug.h"
#include "dso.h"
#include "env.h"
#include "event.h"
#include "hashmap.h"
#include "machine.h"
#include "map.h"
#include "namespaces.h"
#include "path.h"
#include "perf_regs.h"
#include "sample.h"
#include "symbol.h"
#include "thread.h"
#include "unwind.h"
#include "vdso.h"

/* How many binaries are told by name. */
#define MAX_NAMES	5

/* What was found out about the file of a DSO. */
struct binary {
	struct dso	*dso;
	bool		usable;
	bool		missing;
	/* Samples with frames that ended here. */
	u64		nr_cut;
};

struct aslr_unwind {
	struct machine			machine;
	/* struct binary of each DSO that a frame was in. */
	struct hashmap			*binaries;
	/* The last one that wasn't usable, since that was NULL. */
	struct binary			*refused;
	/* Is there no unwinder for the profile here? Known once checked. */
	bool				checked;
	bool				impossible;
	struct aslr_unwind_stats	stats;
	unsigned int			nr_ips;
	unsigned int			max_ips;
	u64				ips[ASLR_MAX_FRAMES];
};

bool aslr_unwind__needs(const struct perf_event_attr *attr)
{
	const u64 needed = PERF_SAMPLE_TID | PERF_SAMPLE_CALLCHAIN | PERF_SAMPLE_REGS_USER |
			   PERF_SAMPLE_STACK_USER;

	return (attr->sample_type & needed) == needed;
}

/* There are names of memory without a file, and for code that has no unwind information. */
static bool is_file(const char *name)
{
	return name[0] == '/' && !is_anon_memory(name) && !is_no_dso_memory(name) &&
	       !is_perf_pid_map_name(name);
}

static bool is_cached(struct dso *dso)
{
	char path[PATH_MAX];

	return dso__build_id_filename(dso, path, sizeof(path), /*is_debug=*/false) &&
	       is_regular_file(path);
}

/* Look at what the unwinder would read. */
static void binary__check(struct binary *binary)
{
	struct dso *dso = binary->dso;
	bool known = dso__has_build_id(dso);
	struct build_id bid = {};
	struct nscookie nsc;
	char path[PATH_MAX];
	int err;

	binary->usable = true;
	if (is_cached(dso))
		return;
	if (!is_file(dso__long_name(dso))) {
		/* Once the profile has its build-id, only the cache is asked for it. */
		binary->missing = dso__is_vdso(dso);
		binary->usable = !binary->missing;
		return;
	}

	__symbol__join_symfs(path, sizeof(path), dso__long_name(dso));
	nsinfo__mountns_enter(dso__nsinfo(dso), &nsc);
	binary->missing = !is_regular_file(path);
	err = binary->missing ? -1 : filename__read_build_id(path, &bid);
	nsinfo__mountns_exit(&nsc);

	/* A file of nothing, or a 32-bit one, which readers give the build-id of the other. */
	if (dso__is_vdso(dso)) {
		binary->missing = err < 0;
		known = known && !dso__header_build_id(dso);
	}
	if (binary->missing || (known && (err < 0 || !dso__build_id_equal(dso, &bid))))
		binary->usable = false;
}

static struct binary *aslr_unwind__binary(struct aslr_unwind *unwind, struct dso *dso)
{
	struct binary *binary;
	long key = (long)RC_CHK_ACCESS(dso);

	if (hashmap__find(unwind->binaries, key, &binary))
		return binary;

	binary = zalloc(sizeof(*binary));
	if (!binary)
		return NULL;
	binary->dso = dso__get(dso);
	if (hashmap__add(unwind->binaries, key, binary)) {
		dso__put(binary->dso);
		free(binary);
		return NULL;
	}
	binary__check(binary);
	return binary;
}

static bool unwind_dso(struct machine *machine, struct dso *dso)
{
	struct aslr_unwind *unwind = container_of(machine, struct aslr_unwind, machine);
	struct binary *binary = aslr_unwind__binary(unwind, dso);

	if (!binary)
		return false;
	if (!binary->usable)
		unwind->refused = binary;
	return binary->usable;
}

static size_t dso_hash(long key, void *ctx __maybe_unused)
{
	return key;
}

static bool dso_equal(long key1, long key2, void *ctx __maybe_unused)
{
	return key1 == key2;
}

struct aslr_unwind *aslr_unwind__new(struct perf_env *env)
{
	struct aslr_unwind *unwind = zalloc(sizeof(*unwind));

	BUILD_BUG_ON(ASLR_MAX_FRAMES != PERF_MAX_STACK_DEPTH);

	if (!unwind)
		return NULL;

	unwind->binaries = hashmap__new(dso_hash, dso_equal, NULL);
	if (IS_ERR(unwind->binaries)) {
		free(unwind);
		return NULL;
	}
	if (machine__init(&unwind->machine, "", HOST_KERNEL_ID)) {
		hashmap__free(unwind->binaries);
		free(unwind);
		return NULL;
	}
	unwind->machine.env = env;
	unwind->machine.unwind_dso = unwind_dso;
	/* For libunwind, which is prepared with the first map. */
	dwarf_callchain_users = true;
	/* Whatever the configuration says: so they are in a sample. */
	callchain_param.order = ORDER_CALLEE;
	return unwind;
}

void aslr_unwind__delete(struct aslr_unwind *unwind)
{
	struct hashmap_entry *entry;
	size_t bkt;

	if (!unwind)
		return;

	hashmap__for_each_entry(unwind->binaries, entry, bkt) {
		struct binary *binary = entry->pvalue;

		dso__put(binary->dso);
		free(binary);
	}
	hashmap__free(unwind->binaries);
	machine__delete_threads(&unwind->machine);
	machine__exit(&unwind->machine);
	free(unwind);
}

static void add_build_id(struct aslr_unwind *unwind, const char *name, struct build_id *bid)
{
	struct dso *dso = machine__findnew_dso(&unwind->machine, name);

	if (dso) {
		dso__set_build_id(dso, bid);
		/* As readers do, which may give it to another DSO: a 32-bit [vdso]. */
		dso__set_header_build_id(dso, true);
	}
	dso__put(dso);
}

static int copy_build_id(struct dso *dso, struct machine *machine __maybe_unused, void *priv)
{
	if (!dso__kernel(dso) && dso__has_build_id(dso))
		add_build_id(priv, dso__long_name(dso), dso__bid(dso));
	return 0;
}

void aslr_unwind__add_build_ids(struct aslr_unwind *unwind, struct machine *machine)
{
	machine__for_each_dso(machine, copy_build_id, unwind);
}

/* Is there an end to a text that begins at @text? */
static bool has_end(const union perf_event *event, const char *text)
{
	const char *end = (const char *)event + event->header.size;

	return text < end && memchr(text, '\0', end - text);
}

static int process_build_id(struct machine *machine, union perf_event *event,
			    struct perf_sample *sample __maybe_unused)
{
	struct aslr_unwind *unwind = container_of(machine, struct aslr_unwind, machine);
	const struct perf_record_header_build_id *record = &event->build_id;
	size_t size = BUILD_ID_SIZE;
	struct build_id bid;

	if (event->header.misc & PERF_RECORD_MISC_BUILD_ID_SIZE)
		size = record->size;
	if (size > BUILD_ID_SIZE || !has_end(event, record->filename) ||
	    (event->header.misc & PERF_RECORD_MISC_CPUMODE_MASK) != PERF_RECORD_MISC_USER)
		return 0;

	build_id__init(&bid, record->data, size);
	add_build_id(unwind, record->filename, &bid);
	return 0;
}

/* Maps that can't be would break the order of others. */
static bool is_range(u64 start, u64 len)
{
	return len && start + len > start;
}

static int process_mmap(struct machine *machine, union perf_event *event,
			struct perf_sample *sample)
{
	if (!is_range(event->mmap.start, event->mmap.len) ||
	    !has_end(event, event->mmap.filename))
		return 0;
	return machine__process_mmap_event(machine, event, sample);
}

static int process_mmap2(struct machine *machine, union perf_event *event,
			 struct perf_sample *sample)
{
	if (!is_range(event->mmap2.start, event->mmap2.len) ||
	    !has_end(event, event->mmap2.filename) ||
	    (event->header.misc & PERF_RECORD_MISC_MMAP_BUILD_ID &&
	     event->mmap2.build_id_size > BUILD_ID_SIZE))
		return 0;
	return machine__process_mmap2_event(machine, event, sample);
}

static int process_comm(struct machine *machine, union perf_event *event,
			struct perf_sample *sample)
{
	return has_end(event, event->comm.comm) ?
		machine__process_comm_event(machine, event, sample) : 0;
}

/* What records tell of threads and maps. */
static int (*const records[PERF_RECORD_HEADER_MAX])(struct machine *machine,
						    union perf_event *event,
						    struct perf_sample *sample) = {
	[PERF_RECORD_MMAP]		= process_mmap,
	[PERF_RECORD_MMAP2]		= process_mmap2,
	[PERF_RECORD_COMM]		= process_comm,
	[PERF_RECORD_FORK]		= machine__process_fork_event,
	[PERF_RECORD_EXIT]		= machine__process_exit_event,
	[PERF_RECORD_HEADER_BUILD_ID]	= process_build_id,
};

/* Of user space on the machine that was recorded: not of its kernel or a guest? */
static bool is_host_user(const struct perf_sample *sample)
{
	return !sample->machine_pid && (sample->cpumode == PERF_RECORD_MISC_CPUMODE_UNKNOWN ||
					sample->cpumode == PERF_RECORD_MISC_USER);
}

/* The unwinder tells of each word that it reads, too much for those who ask for numbers. */
static int less_verbose(void)
{
	int old = verbose;

	if (verbose > 0)
		verbose--;
	return old;
}

void aslr_unwind__record(struct aslr_unwind *unwind, const union perf_event *event,
			 const struct perf_sample *sample)
{
	u32 type = event->header.type;
	int old_verbose;

	if (type >= PERF_RECORD_HEADER_MAX || !records[type] || !is_host_user(sample))
		return;

	old_verbose = less_verbose();
	/* What goes wrong with a record costs frames, nothing else. */
	records[type](&unwind->machine, (union perf_event *)event, (struct perf_sample *)sample);
	verbose = old_verbose;
}

static int add_frame(struct unwind_entry *entry, void *arg)
{
	struct aslr_unwind *unwind = arg;
	struct dso *dso = entry->ms.map ? map__dso(entry->ms.map) : NULL;

	if (unwind->nr_ips == unwind->max_ips)
		return -1;
	unwind->ips[unwind->nr_ips++] = entry->ip;
	/* libunwind goes on with a guess. */
	return dso && !unwind_dso(&unwind->machine, dso) ? -1 : 0;
}

/* libunwind doesn't begin in a process of which it knows no binary. */
static void aslr_unwind__check_first(struct aslr_unwind *unwind, struct thread *thread,
				     struct perf_sample *sample)
{
	const char *arch = perf_env__arch(unwind->machine.env);
	struct addr_location al;
	u64 ip;

	if (perf_reg_value(&ip, &sample->user_regs, perf_arch_reg_ip(arch)))
		return;
	addr_location__init(&al);
	if (thread__find_map(thread, PERF_RECORD_MISC_USER, ip, &al))
		unwind_dso(&unwind->machine, map__dso(al.map));
	addr_location__exit(&al);
}

/* The unwinder has the registers of this machine. */
static bool aslr_unwind__is_impossible(struct aslr_unwind *unwind)
{
	const char *here = perf_env__arch(NULL);
	const char *there = perf_env__arch(unwind->machine.env);

	if (unwind->checked)
		return unwind->impossible;

	unwind->checked = true;
#ifndef HAVE_DWARF_UNWIND_SUPPORT
	pr_warning("User stacks are not unwound: this perf is built without an unwinder\n");
	unwind->impossible = true;
#endif
	if (!unwind->impossible && (!here || !there || strcmp(here, there))) {
		pr_warning("User stacks are not unwound: they are of %s, and this is %s\n",
			   there ?: "an unknown architecture", here ?: "unknown");
		unwind->impossible = true;
	}
	return unwind->impossible;
}

void aslr_unwind__sample(struct aslr_unwind *unwind, const struct perf_event_attr *attr,
			 struct perf_sample *sample, struct aslr_frames *frames)
{
	struct thread *thread;
	int old_verbose;
	u64 room;

	frames->nr = 0;
	/* As the readers': nothing was captured. */
	if (!aslr_unwind__needs(attr) || !sample->user_regs.regs || !sample->user_stack.size)
		return;

	unwind->stats.nr_samples++;
	if (aslr_unwind__is_impossible(unwind) || sample->machine_pid ||
	    sample->cpumode == PERF_RECORD_MISC_GUEST_KERNEL ||
	    sample->cpumode == PERF_RECORD_MISC_GUEST_USER)
		return;

	thread = machine__findnew_thread(&unwind->machine, sample->pid, sample->tid);
	if (!thread)
		return;

	room = hweight64(sample->user_regs.mask) + sample->user_stack.size / sizeof(u64);
	unwind->max_ips = min_t(u64, room, ASLR_MAX_FRAMES);
	unwind->nr_ips = 0;
	unwind->refused = NULL;
	old_verbose = less_verbose();
	unwind__get_entries(add_frame, unwind, thread, sample, ASLR_MAX_FRAMES,
			    /*best_effort=*/true);
	if (!unwind->nr_ips)
		aslr_unwind__check_first(unwind, thread, sample);
	verbose = old_verbose;
	thread__put(thread);

	if (unwind->refused) {
		unwind->refused->nr_cut++;
		unwind->stats.nr_cut++;
	}
	unwind->stats.nr_frames += unwind->nr_ips;
	frames->ips = unwind->ips;
	frames->nr = unwind->nr_ips;
}

const struct aslr_unwind_stats *aslr_unwind__stats(const struct aslr_unwind *unwind)
{
	return &unwind->stats;
}

/* A [vdso] is in a temporary file. */
static const char *binary__name(const struct binary *binary)
{
	return dso__is_vdso(binary->dso) ? dso__short_name(binary->dso) :
					   dso__long_name(binary->dso);
}

/* Those that cost most come first, by name where they cost the same. */
static int cmp_cut(const void *a, const void *b)
{
	const struct binary *l = *(const struct binary **)a, *r = *(const struct binary **)b;

	if (l->nr_cut != r->nr_cut)
		return l->nr_cut < r->nr_cut ? 1 : -1;
	return strcmp(binary__name(l), binary__name(r));
}

void aslr_unwind__report(const struct aslr_unwind *unwind, FILE *fp)
{
	struct binary **cut = calloc(hashmap__size(unwind->binaries) + 1, sizeof(*cut));
	struct hashmap_entry *entry;
	size_t bkt, nr = 0;

	if (!cut)
		return;

	hashmap__for_each_entry(unwind->binaries, entry, bkt) {
		struct binary *binary = entry->pvalue;

		if (binary->nr_cut)
			cut[nr++] = binary;
	}
	qsort(cut, nr, sizeof(*cut), cmp_cut);

	if (nr)
		fprintf(fp, "[ perf inject: user stacks of %" PRIu64 " of %" PRIu64
			" samples end at binaries: ", unwind->stats.nr_cut,
			unwind->stats.nr_samples);
	for (size_t i = 0; i < nr && i < MAX_NAMES; i++)
		fprintf(fp, "%s%s %s (%" PRIu64 ")", i ? ", " : "", binary__name(cut[i]),
			cut[i]->missing ? "missing" : "differs", cut[i]->nr_cut);
	if (nr > MAX_NAMES)
		fprintf(fp, ", and %zu more", nr - MAX_NAMES);
	if (nr)
		fprintf(fp, " ]\n");
	free(cut);
}
