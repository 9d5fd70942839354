// SPDX-License-Identifier: GPL-2.0
/*
 * Rewriting of records other than samples, see aslr-record.h.
 */
#include "aslr-record.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <linux/bitops.h>
#include <linux/bits.h>
#include <linux/build_bug.h>
#include <linux/kernel.h>
#include <linux/perf_event.h>
#include <linux/sizes.h>
#include <linux/string.h>
#include "aslr-spaces.h"
#include "build-id.h"
#include "cpumap.h"
#include "debug.h"
#include "event.h"

/* Longer than any module: who recorded the last one didn't know where it ends. */
#define MODULE_MAX	SZ_64M

/* File offsets beyond that aren't believed if something is mapped there. */
#define FILE_OFFSET_MAX	BIT_ULL(32)

/* From here on processes of 64 bits have their mappings: no offset is believed. */
#define RANDOM_MIN	BIT_ULL(37)

#define TEXT(_member, _text)	offsetof(union perf_event, _member._text)

/* What a record says of a mapping. */
struct mapping {
	s32		pid;
	const char	*filename;
	u64		start;
	u64		len;
	u64		pgoff;
	/* Not of code, and not of a process' own data, which programs and libraries have. */
	bool		shared_data;
};

/* As perf's readers tell the kernel's text from modules. */
static bool is_kernel_text(const char *filename)
{
	return strstarts(filename, "[kernel.kallsyms") ||
	       strstarts(filename, "[guest.kernel.kallsyms");
}

static bool ends_with(const char *filename, const char *end)
{
	size_t len = strlen(filename), end_len = strlen(end);

	return len >= end_len && !strcmp(filename + len - end_len, end);
}

/*
 * Drivers put the physical address there: /dev/mem, resources of PCI devices in /sys
 * and /proc; wherever the root is, but for programs and libraries that just have
 * such a name.
 */
static bool is_device(const struct mapping *mapping)
{
	const char *filename = mapping->filename;

	if (strstarts(filename, "/dev/shm/") || strstarts(filename, "/dev/hugepages/"))
		return false;
	if (strstarts(filename, "/dev/") || strstarts(filename, "/sys/") ||
	    strstarts(filename, "/proc/") || ends_with(filename, "/dev/mem"))
		return true;
	return mapping->shared_data && (strstr(filename, "/dev/") ||
					strstr(filename, "/sys/devices/") ||
					strstr(filename, "/proc/bus/"));
}

/* Memory without one is called [stack], //anon and the like. */
static bool is_file(const struct mapping *mapping)
{
	return mapping->filename[0] == '/' && !strstarts(mapping->filename, "//anon");
}

/*
 * What pgoff of a process' mapping is an address of: NULL if it is an offset in
 * a file.  Memory without a file has its own address there.
 */
static struct aslr_space *pgoff_space(struct aslr_view *view, s32 machine,
				      struct aslr_space *process, const struct mapping *mapping)
{
	u64 pgoff = mapping->pgoff;

	if (is_device(mapping))
		return aslr_spaces__phys(view->spaces, machine);
	if (!is_file(mapping))
		return process;
	if (pgoff < FILE_OFFSET_MAX)
		return NULL;
	return pgoff >= RANDOM_MIN || aslr_space__contains(process, pgoff) ? process : NULL;
}

/* Where @len bytes from @start end, at the latest at the top. @len isn't 0. */
static u64 last_of(u64 start, u64 len)
{
	return len - 1 <= -1ULL - start ? start + (len - 1) : -1ULL;
}

static int rewrite_kernel_mapping(struct aslr_view *view, s32 machine, struct mapping *mapping)
{
	struct aslr_space *space = aslr_spaces__kernel(view->spaces, machine);
	struct aslr_text text;
	int err;

	if (!space)
		return -ENOMEM;

	if (is_kernel_text(mapping->filename)) {
		err = aslr_spaces__add_text(view->spaces, machine, mapping->start, mapping->len,
					    mapping->pgoff, &text);
		mapping->start = text.start;
		mapping->len = text.len;
	} else {
		u64 start = mapping->start;

		mapping->len = min_t(u64, mapping->len, MODULE_MAX);
		err = mapping->len ? aslr_space__add(space, start, last_of(start, mapping->len),
						     &mapping->start) :
				     aslr_space__translate(space, start, &mapping->start);
	}
	return err ?: aslr_space__translate(space, mapping->pgoff, &mapping->pgoff);
}

static int rewrite_user_mapping(struct aslr_view *view, s32 machine, struct mapping *mapping)
{
	struct aslr_space *space = aslr_spaces__new_process(view->spaces, machine, mapping->pid);
	u64 start = mapping->start;
	int err;

	if (!space)
		return -ENOMEM;

	if (mapping->len && is_file(mapping))
		aslr_space__set_file(space, last_of(start, mapping->len));
	err = mapping->len ? aslr_space__add(space, start, last_of(start, mapping->len),
					     &mapping->start) :
			     aslr_space__translate(space, start, &mapping->start);
	if (err)
		return err;
	space = pgoff_space(view, machine, space, mapping);
	return space ? aslr_space__translate(space, mapping->pgoff, &mapping->pgoff) : 0;
}

static int rewrite_mapping(struct aslr_view *view, u16 misc, struct mapping *mapping)
{
	int err;

	switch (misc & PERF_RECORD_MISC_CPUMODE_MASK) {
	case PERF_RECORD_MISC_KERNEL:
		err = rewrite_kernel_mapping(view, view->machine, mapping);
		break;
	case PERF_RECORD_MISC_GUEST_KERNEL:
		err = rewrite_kernel_mapping(view, view->guest, mapping);
		break;
	case PERF_RECORD_MISC_GUEST_USER:
		err = rewrite_user_mapping(view, view->guest, mapping);
		break;
	default:
		err = rewrite_user_mapping(view, view->machine, mapping);
	}
	return err == -ENOSPC ? 1 : err;
}

/* There is room for the longest build-id. */
static void clear_behind(u8 *build_id, size_t size)
{
	if (size < BUILD_ID_SIZE)
		memset(build_id + size, 0, BUILD_ID_SIZE - size);
}

/* The fields that MMAP and MMAP2 have at the same place, and what they have not. */
static int rewrite_mapping_record(struct aslr_view *view, struct perf_record_mmap *record,
				  const char *filename, bool shared)
{
	struct mapping mapping = {
		.pid		= record->pid,
		.filename	= filename,
		.start		= record->start,
		.len		= record->len,
		.pgoff		= record->pgoff,
		.shared_data	= shared && record->header.misc & PERF_RECORD_MISC_MMAP_DATA,
	};
	int err = rewrite_mapping(view, record->header.misc, &mapping);

	record->start = mapping.start;
	record->len = mapping.len;
	record->pgoff = mapping.pgoff;
	return err;
}

static int rewrite_mmap(struct aslr_view *view, union perf_event *event)
{
	return rewrite_mapping_record(view, &event->mmap, event->mmap.filename, /*shared=*/true);
}

static int rewrite_mmap2(struct aslr_view *view, union perf_event *event)
{
	struct perf_record_mmap2 *mmap2 = &event->mmap2;

	BUILD_BUG_ON(offsetof(struct perf_record_mmap, pgoff) !=
		     offsetof(struct perf_record_mmap2, pgoff));

	if (event->header.misc & PERF_RECORD_MISC_MMAP_BUILD_ID) {
		clear_behind(mmap2->build_id, mmap2->build_id_size);
		mmap2->__reserved_1 = 0;
		mmap2->__reserved_2 = 0;
	}
	return rewrite_mapping_record(view, &event->mmap, mmap2->filename,
				      mmap2->flags & MAP_SHARED);
}

static int rewrite_ksymbol(struct aslr_view *view, union perf_event *event)
{
	struct perf_record_ksymbol *ksymbol = &event->ksymbol;
	struct aslr_space *space = aslr_spaces__kernel(view->spaces, view->machine);
	u64 addr = ksymbol->addr, image;
	int err;

	if (!addr)
		return 0;
	if (!space)
		return -ENOMEM;

	if (ksymbol->flags & PERF_RECORD_KSYMBOL_FLAGS_UNREGISTER)
		err = aslr_space__translate(space, addr, &image) ?:
		      aslr_space__remove_symbol(space, addr, ksymbol->len);
	else
		err = aslr_space__add_symbol(space, addr, ksymbol->len, &image);
	ksymbol->addr = image;
	return err == -ENOSPC ? 1 : err;
}

static int learn_lost(struct aslr_view *view, union perf_event *event __maybe_unused)
{
	aslr_spaces__lose(view->spaces);
	return 0;
}

static int learn_comm(struct aslr_view *view, union perf_event *event)
{
	s32 pid = event->comm.pid;
	struct aslr_space *space = aslr_spaces__new_process(view->spaces, view->machine, pid);

	if (!space)
		return -ENOMEM;
	if (event->header.misc & PERF_RECORD_MISC_COMM_EXEC)
		aslr_space__exec(space);
	return 0;
}

static int learn_fork(struct aslr_view *view, union perf_event *event)
{
	const struct perf_record_fork *fork = &event->fork;

	return aslr_spaces__fork(view->spaces, view->machine, fork->ppid, fork->pid, fork->tid,
				 !(fork->header.misc & PERF_RECORD_MISC_FORK_EXEC));
}

static int learn_exit(struct aslr_view *view, union perf_event *event)
{
	aslr_spaces__exit(view->spaces, view->machine, event->fork.pid, event->fork.tid);
	return 0;
}

/* What a decoder of trace data couldn't do, and where. */
static int rewrite_auxtrace_error(struct aslr_view *view, union perf_event *event)
{
	struct perf_record_auxtrace_error *error = &event->auxtrace_error;
	/* The first format has no time, the last one tells of a guest behind the message. */
	size_t text = error->fmt ? TEXT(auxtrace_error, msg) : TEXT(auxtrace_error, time);
	size_t end = min_t(size_t, error->header.size, text + MAX_AUXTRACE_ERROR_MSG);
	size_t size = error->fmt == 2 ? sizeof(*error) : end;
	struct aslr_space *space;
	s32 machine = view->machine;
	u64 ip = error->ip;
	char *pos;
	int err;

	if (error->fmt > 2)
		return 1;
	if (error->header.size < size || end <= text)
		return -EINVAL;
	pos = memchr((void *)error + text, '\0', end - text);
	if (!pos)
		return -EINVAL;

	memset(pos, 0, (char *)error + end - pos);
	error->header.size = size;
	if (error->fmt == 2 && error->machine_pid)
		machine = error->machine_pid;
	aslr_view__set(view, machine, view->guest, error->pid, view->cpumode);
	space = aslr_view__space_of(view, ip);
	err = space ? aslr_space__translate(space, ip, &ip) : -ENOMEM;
	error->ip = ip;
	return err;
}

/* What has more bits in a record than readers take from it: an int, of which -1 means none. */
static u64 as_int(u64 value)
{
	return (s32)value == -1 ? -1ULL : (u32)value;
}

/* There is a short and a long form. */
static int rewrite_time_conv(struct aslr_view *view __maybe_unused, union perf_event *event)
{
	struct perf_record_time_conv *time_conv = &event->time_conv;

	time_conv->time_shift = (u16)time_conv->time_shift;
	time_conv->time_mult = (u32)time_conv->time_mult;
	if (event->header.size < sizeof(*time_conv)) {
		event->header.size = offsetof(struct perf_record_time_conv, time_cycles);
		return 0;
	}
	event->header.size = sizeof(*time_conv);
	memset(time_conv->reserved, 0, sizeof(time_conv->reserved));
	return 0;
}

static int rewrite_build_id(struct aslr_view *view __maybe_unused, union perf_event *event)
{
	aslr_record__clear_build_id(&event->build_id);
	return 0;
}

void aslr_record__clear_build_id(struct perf_record_header_build_id *build_id)
{
	/* Else it may be so old that the name begins where the size is now. */
	if (!(build_id->header.misc & PERF_RECORD_MISC_BUILD_ID_SIZE))
		return;
	clear_behind(build_id->data, build_id->size);
	build_id->reserved1__ = 0;
	build_id->reserved2__ = 0;
}

/* The numbers behind its own are of 32 bits, and so are those of guests' entries. */
static int rewrite_id_index(struct aslr_view *view __maybe_unused, union perf_event *event)
{
	struct perf_record_id_index *index = &event->id_index;
	struct id_index_entry_2 *guest = (void *)&index->entries[index->nr];
	size_t size = (void *)guest - (void *)index;

	for (u64 i = 0; i < index->nr; i++) {
		struct id_index_entry *entry = &index->entries[i];

		entry->idx = as_int(entry->idx);
		entry->cpu = as_int(entry->cpu);
		entry->tid = as_int(entry->tid);
	}
	for (u64 i = 0; i < index->nr && size + index->nr * sizeof(*guest) <= index->header.size;
	     i++) {
		guest[i].machine_pid = as_int(guest[i].machine_pid);
		guest[i].vcpu = as_int(guest[i].vcpu);
	}
	return 0;
}

static int rewrite_thread_map(struct aslr_view *view __maybe_unused, union perf_event *event)
{
	struct perf_record_thread_map *threads = &event->thread_map;

	for (u64 i = 0; i < threads->nr; i++) {
		struct perf_record_thread_map_entry *entry = &threads->entries[i];
		size_t len = strnlen(entry->comm, sizeof(entry->comm));

		entry->pid = as_int(entry->pid);
		memset(entry->comm + len, 0, sizeof(entry->comm) - len);
	}
	return 0;
}

/* What to configure, and to which number of 32 bits: what isn't known goes. */
static int rewrite_stat_config(struct aslr_view *view __maybe_unused, union perf_event *event)
{
	struct perf_record_stat_config *config = &event->stat_config;
	u64 nr = 0;

	for (u64 i = 0; i < config->nr; i++) {
		struct perf_record_stat_config_entry entry = config->data[i];

		memset(&config->data[i], 0, sizeof(entry));
		if (entry.tag >= PERF_STAT_CONFIG_TERM__MAX) {
			pr_warning_once("stat config term %#" PRI_lx64
					" not known to this perf, dropped\n", entry.tag);
			continue;
		}
		entry.val = as_int(entry.val);
		config->data[nr++] = entry;
	}
	config->nr = nr;
	return 0;
}

static int check_stat_round(struct aslr_view *view __maybe_unused, union perf_event *event)
{
	return event->stat_round.type > PERF_STAT_ROUND_TYPE__FINAL;
}

static void clear_padding_of_cpus(struct perf_record_cpu_map_data *data)
{
	if (data->type == PERF_CPU_MAP__RANGE_CPUS)
		data->range_cpu_data.__pad = 0;
	else if (data->type == PERF_CPU_MAP__MASK && data->mask64_data.long_size == sizeof(u64))
		memset(data->mask64_data.__pad, 0, sizeof(data->mask64_data.__pad));
}

static int rewrite_cpu_map(struct aslr_view *view __maybe_unused, union perf_event *event)
{
	clear_padding_of_cpus(&event->cpu_map.data);
	return 0;
}

/* A scale is a number: the bytes of any address are none, or nearly nothing. */
static int rewrite_event_update(struct aslr_view *view __maybe_unused, union perf_event *event)
{
	struct perf_record_event_update *update = &event->event_update;

	if (update->type == PERF_EVENT_UPDATE__CPUS)
		clear_padding_of_cpus(&update->cpus.cpus);
	else if (update->type == PERF_EVENT_UPDATE__SCALE && !isnormal(update->scale.scale))
		update->scale.scale = 0;
	return 0;
}

/* The size of a record with a number at @pos and so many entries behind it. */
static size_t array_size(const union perf_event *event, size_t pos, size_t entry)
{
	size_t left = event->header.size - pos - sizeof(u64);
	u64 nr = *(const u64 *)((const void *)event + pos);

	return nr > left / entry ? SIZE_MAX : pos + sizeof(nr) + nr * entry;
}

/* The values of one event or of its group, as perf_output_read() of the kernel writes them. */
static size_t read_size(const union perf_event *event, const struct perf_event_attr *attr)
{
	size_t pos = offsetof(union perf_event, read.value);
	size_t times, value, size;

	if (!attr || attr->read_format & ~(PERF_FORMAT_MAX - 1ULL))
		return 0;

	times = hweight64(attr->read_format & (PERF_FORMAT_TOTAL_TIME_ENABLED |
					       PERF_FORMAT_TOTAL_TIME_RUNNING)) * sizeof(u64);
	value = (1 + hweight64(attr->read_format & (PERF_FORMAT_ID | PERF_FORMAT_LOST))) *
		sizeof(u64);
	if (!(attr->read_format & PERF_FORMAT_GROUP))
		return pos + times + value;
	if (event->header.size - pos < sizeof(u64) + times)
		return SIZE_MAX;
	size = array_size(event, pos, value);
	return size != SIZE_MAX ? times + size : size;
}

static size_t namespaces_size(const union perf_event *event,
			      const struct perf_event_attr *attr __maybe_unused)
{
	return array_size(event, offsetof(struct perf_record_namespaces, nr_namespaces),
			  sizeof(struct perf_ns_link_info));
}

/* Those of guests have another entry for each. */
static size_t id_index_size(const union perf_event *event,
			    const struct perf_event_attr *attr __maybe_unused)
{
	size_t pos = offsetof(struct perf_record_id_index, nr);
	size_t size = array_size(event, pos,
				 sizeof(struct id_index_entry) + sizeof(struct id_index_entry_2));

	return size != SIZE_MAX ? size : array_size(event, pos, sizeof(struct id_index_entry));
}

static size_t thread_map_size(const union perf_event *event,
			      const struct perf_event_attr *attr __maybe_unused)
{
	return array_size(event, offsetof(struct perf_record_thread_map, nr),
			  sizeof(struct perf_record_thread_map_entry));
}

static size_t stat_config_size(const union perf_event *event,
			       const struct perf_event_attr *attr __maybe_unused)
{
	return array_size(event, offsetof(struct perf_record_stat_config, nr),
			  sizeof(struct perf_record_stat_config_entry));
}

/* Where the CPUs end that @data, in the record, tells of. */
static size_t cpus_end(const union perf_event *event, const struct perf_record_cpu_map_data *data)
{
	size_t pos = (const void *)data - (const void *)event;
	size_t size = cpu_map__data_size(data, event->header.size - pos);

	return size ? pos + size : SIZE_MAX;
}

static size_t cpu_map_size(const union perf_event *event,
			   const struct perf_event_attr *attr __maybe_unused)
{
	return cpus_end(event, &event->cpu_map.data);
}

static size_t event_update_size(const union perf_event *event,
				const struct perf_event_attr *attr __maybe_unused)
{
	size_t pos = offsetof(union perf_event, event_update.name);
	size_t left = event->header.size - pos;

	switch (event->event_update.type) {
	case PERF_EVENT_UPDATE__UNIT:
	case PERF_EVENT_UPDATE__NAME:
		left = strnlen(event->event_update.name, left);
		return pos + left + 1;
	case PERF_EVENT_UPDATE__SCALE:
		return pos + sizeof(event->event_update.scale);
	case PERF_EVENT_UPDATE__CPUS:
		return cpus_end(event, &event->event_update.cpus.cpus);
	default:
		pr_warning_once("event update of type %#" PRI_lx64
				" not known to this perf, dropped\n", event->event_update.type);
		return 0;
	}
}

#define ROW(_type, _action, _min_size, _why)					\
	[PERF_RECORD_##_type] = {						\
		.name = #_type, .action = ASLR_##_action, .why = _why,		\
		.min_size = _min_size,						\
	}

#define ROW_EXACT(_type, _size, _rewrite, _why)					\
	[PERF_RECORD_##_type] = {						\
		.name = #_type, .action = ASLR_KEEP, .why = _why,		\
		.min_size = _size, .exact = true, .rewrite = _rewrite,		\
	}

#define ROW_SIZE(_type, _action, _min_size, _record_size, _rewrite, _why)	\
	[PERF_RECORD_##_type] = {						\
		.name = #_type, .action = ASLR_##_action, .why = _why,		\
		.min_size = _min_size, .record_size = _record_size,		\
		.rewrite = _rewrite,						\
	}

#define ROW_FN(_type, _action, _min_size, _text, _rewrite, _why)		\
	[PERF_RECORD_##_type] = {						\
		.name = #_type, .action = ASLR_##_action, .why = _why,		\
		.min_size = _min_size, .text = _text, .rewrite = _rewrite,	\
	}

#define SIZE(_record)		sizeof(struct perf_record_##_record)
#define HEADER			sizeof(struct perf_event_header)

static const struct aslr_record aslr_records[PERF_RECORD_HEADER_MAX] = {
	/* include/uapi/linux/perf_event.h */
	ROW_FN(MMAP, REWRITE, TEXT(mmap, filename) + 1, TEXT(mmap, filename), rewrite_mmap,
	       "start, and pgoff where it isn't an offset in a file"),
	ROW_EXACT(LOST, SIZE(lost), learn_lost, "count"),
	ROW_FN(COMM, KEEP, TEXT(comm, comm) + 1, TEXT(comm, comm), learn_comm,
	       "name of a task"),
	ROW_EXACT(EXIT, SIZE(fork), learn_exit, "process and thread numbers"),
	ROW_EXACT(THROTTLE, SIZE(throttle), NULL, "numbers of the event"),
	ROW_EXACT(UNTHROTTLE, SIZE(throttle), NULL, "numbers of the event"),
	ROW_EXACT(FORK, SIZE(fork), learn_fork, "process and thread numbers"),
	ROW_SIZE(READ, KEEP, HEADER + sizeof(u64), read_size, NULL,
		 "counts, times and numbers of events"),
	ROW(SAMPLE, REWRITE, HEADER, "see the fields of samples"),
	ROW_FN(MMAP2, REWRITE, TEXT(mmap2, filename) + 1, TEXT(mmap2, filename), rewrite_mmap2,
	       "start, and pgoff where it isn't an offset in a file"),
	ROW(AUX, DROP, 0, "goes with the trace data that it tells of"),
	ROW_EXACT(ITRACE_START, SIZE(itrace_start), NULL, "process and thread numbers"),
	ROW_EXACT(LOST_SAMPLES, SIZE(lost_samples), NULL, "count"),
	ROW_EXACT(SWITCH, HEADER, NULL, "times only"),
	ROW_EXACT(SWITCH_CPU_WIDE, SIZE(switch), NULL, "process and thread numbers"),
	ROW_SIZE(NAMESPACES, KEEP, TEXT(namespaces, link_info), namespaces_size, NULL,
		 "process and thread numbers, device and inode numbers"),
	ROW_FN(KSYMBOL, REWRITE, TEXT(ksymbol, name) + 1, TEXT(ksymbol, name), rewrite_ksymbol,
	       "addr"),
	ROW_EXACT(BPF_EVENT, SIZE(bpf_event), NULL, "number and tag of a program"),
	ROW_FN(CGROUP, KEEP, TEXT(cgroup, path) + 1, TEXT(cgroup, path), NULL,
	       "number and path"),
	ROW(TEXT_POKE, DROP, 0, "kernel code, with addresses in it"),
	ROW_EXACT(AUX_OUTPUT_HW_ID, SIZE(aux_output_hw_id), NULL, "number of the event"),

	/* tools/lib/perf/include/perf/event.h */
	ROW(HEADER_ATTR, REWRITE, HEADER + PERF_ATTR_SIZE_VER0, "see the attributes"),
	ROW(HEADER_EVENT_TYPE, DROP, 0, "an event's name, from long ago"),
	ROW(HEADER_TRACING_DATA, REWRITE, SIZE(header_tracing_data),
	    "see the header feature of that name"),
	ROW_FN(HEADER_BUILD_ID, KEEP, TEXT(build_id, filename) + 1, TEXT(build_id, filename),
	       rewrite_build_id, "build-id and file name"),
	ROW_EXACT(FINISHED_ROUND, HEADER, NULL, "nothing in it"),
	ROW_SIZE(ID_INDEX, KEEP, HEADER + sizeof(u64), id_index_size,
		 rewrite_id_index, "numbers of events, CPUs and threads"),
	ROW(AUXTRACE_INFO, DROP, 0, "goes with the trace data that it describes"),
	ROW(AUXTRACE, DROP, 0, "trace data holds addresses"),
	ROW_FN(AUXTRACE_ERROR, REWRITE, TEXT(auxtrace_error, time) + 1, 0, rewrite_auxtrace_error,
	       "ip, and addresses in the message; numbers and time stay"),
	ROW_SIZE(THREAD_MAP, KEEP, HEADER + sizeof(u64), thread_map_size,
		 rewrite_thread_map, "thread numbers and names of tasks"),
	ROW_SIZE(CPU_MAP, KEEP, HEADER + sizeof(u32), cpu_map_size, rewrite_cpu_map,
		 "CPU numbers"),
	ROW_SIZE(STAT_CONFIG, KEEP, HEADER + sizeof(u64), stat_config_size,
		 rewrite_stat_config, "how perf stat was set up"),
	ROW_EXACT(STAT, SIZE(stat), NULL, "counts and times"),
	ROW_EXACT(STAT_ROUND, SIZE(stat_round), check_stat_round, "times"),
	ROW_SIZE(EVENT_UPDATE, REWRITE, TEXT(event_update, name) + 1, event_update_size,
		 rewrite_event_update, "the name of an event; its unit, scale and CPUs stay"),
	ROW_FN(TIME_CONV, KEEP, HEADER + 3 * sizeof(u64), 0, rewrite_time_conv, "clock parameters"),
	ROW(HEADER_FEATURE, REWRITE, HEADER + sizeof(u64), "see the header features"),
	ROW(COMPRESSED, REWRITE, HEADER, "its records are written uncompressed"),
	ROW_EXACT(FINISHED_INIT, HEADER, NULL, "nothing in it"),
};

const struct aslr_record *aslr_record__find(unsigned int type)
{
	static const struct aslr_record unknown = { .action = ASLR_DROP };

	return type < ARRAY_SIZE(aslr_records) ? &aslr_records[type] : &unknown;
}

/*
 * The text has to end in the record; what is behind its end is not its
 * recorder's to tell.
 */
static int clear_padding(union perf_event *event, size_t text, size_t id_size)
{
	char *start = (char *)event + text, *end;
	size_t size = event->header.size;

	if (size < id_size || size - id_size <= text)
		return -EINVAL;
	end = memchr(start, '\0', size - id_size - text);
	if (!end)
		return -EINVAL;
	memset(end, 0, (char *)event + size - id_size - end);
	return 0;
}

/* The size of the sample_id of an event's records, see perf_event_attr::sample_id_all. */
static size_t sample_id_size(const struct perf_event_attr *attr)
{
	if (!attr || !attr->sample_id_all)
		return 0;
	return hweight64(attr->sample_type & (PERF_SAMPLE_TID | PERF_SAMPLE_TIME | PERF_SAMPLE_ID |
					      PERF_SAMPLE_STREAM_ID | PERF_SAMPLE_CPU |
					      PERF_SAMPLE_IDENTIFIER)) * sizeof(u64);
}

/* The upper half of the CPU, which only the identifier is behind, is reserved. */
static void clear_sample_id(union perf_event *event, u64 sample_type)
{
	u32 *end = (void *)event + event->header.size;

	if (sample_type & PERF_SAMPLE_CPU)
		end[sample_type & PERF_SAMPLE_IDENTIFIER ? -3 : -1] = 0;
}

int aslr_record__rewrite(struct aslr_view *view, union perf_event *event,
			 const struct perf_event_attr *attr)
{
	const struct aslr_record *record = aslr_record__find(event->header.type);
	size_t id_size = sample_id_size(attr);
	int err;

	if (event->header.size < record->min_size)
		return -EINVAL;
	/* Those that perf itself adds may have none. */
	if (id_size && event->header.size >= record->min_size + id_size)
		clear_sample_id(event, attr->sample_type);

	if (record->exact && event->header.size > record->min_size + id_size) {
		/* Close the gap before the sample_id. */
		memmove((void *)event + record->min_size,
			(void *)event + event->header.size - id_size, id_size);
		event->header.size = record->min_size + id_size;
	}
	if (record->record_size) {
		size_t size = record->record_size(event, attr);

		if (!size)
			return 1;
		if (size > event->header.size - min_t(size_t, id_size, event->header.size))
			return -EINVAL;
		memset((void *)event + size, 0, event->header.size - id_size - size);
	}
	if (record->text) {
		err = clear_padding(event, record->text, id_size);
		if (err)
			return err;
	}
	return record->rewrite ? record->rewrite(view, event) : 0;
}
