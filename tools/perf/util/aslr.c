// SPDX-License-Identifier: GPL-2.0
/*
 * The tool that rewrites the addresses of a profile, see aslr.h.
 */
#include "aslr.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <linux/bitmap.h>
#include <linux/kernel.h>
#include <linux/zalloc.h>
#include <internal/lib.h>
#include "aslr-header.h"
#include "aslr-record.h"
#include "aslr-sample.h"
#include "aslr-spaces.h"
#include "data.h"
#include "debug.h"
#include "event.h"
#include "evlist.h"
#include "evsel.h"
#include "header.h"
#include "machine.h"
#include "ordered-events.h"
#include "sample.h"
#include "session.h"
#include "tool.h"
#include "trace-event.h"

struct aslr {
	struct perf_tool		tool;
	struct perf_session		*session;
	const struct perf_tool		*next;
	aslr_tracing_fn			tracing;
	void				*tracing_arg;
	struct aslr_spaces		*spaces;
	struct aslr_header		header;
	/* By evsel->core.idx. Without fields where no sample was seen. */
	struct aslr_format		*formats;
	int				nr_formats;
	/* The record that is passed on, of up to PERF_SAMPLE_MAX_SIZE bytes. */
	union perf_event		*event;
	struct aslr_sample_stats	stats;
	u64				nr_dropped[PERF_RECORD_HEADER_MAX];
	DECLARE_BITMAP(dropped_feats, HEADER_FEAT_BITS);
};

/* Where the addresses of a record are. Guests are machines named by their pid. */
static struct aslr_view aslr__view(struct aslr *aslr, const union perf_event *event,
				   const struct perf_sample *sample)
{
	s32 guest = sample->machine_pid;

	if (!guest && (event->header.type == PERF_RECORD_MMAP ||
		       event->header.type == PERF_RECORD_MMAP2))
		guest = event->mmap.pid;
	else if (!guest && aslr_spaces__has_guest(aslr->spaces, sample->pid))
		guest = sample->pid;

	return (struct aslr_view) {
		.spaces		= aslr->spaces,
		.machine	= sample->machine_pid ? (s32)sample->machine_pid : HOST_KERNEL_ID,
		.guest		= guest,
		.pid		= sample->pid,
		.cpumode	= sample->cpumode,
	};
}

static struct aslr_format *aslr__format(struct aslr *aslr, const struct evsel *evsel)
{
	int idx = evsel->core.idx;
	struct aslr_format *format;

	if (idx >= aslr->nr_formats) {
		struct aslr_format *formats = realloc(aslr->formats, (idx + 1) * sizeof(*formats));

		if (!formats)
			return NULL;
		memset(formats + aslr->nr_formats, 0,
		       (idx + 1 - aslr->nr_formats) * sizeof(*formats));
		aslr->formats = formats;
		aslr->nr_formats = idx + 1;
	}
	format = &aslr->formats[idx];
	if (format->nr_fields)
		return format;

	if (aslr_format__init(format, &evsel->core.attr)) {
		pr_err("%s: samples with fields that this perf doesn't know\n",
		       evsel__name((struct evsel *)evsel));
		return NULL;
	}
	/* evsel__parse_sample(), which was here before, knows whether one in the group asks. */
	format->branch_sample_type &= ~(u64)PERF_SAMPLE_BRANCH_COUNTERS;
	if (evsel__leader(evsel)->br_cntr_nr > 0)
		format->branch_sample_type |= PERF_SAMPLE_BRANCH_COUNTERS;
	return format;
}

static int aslr__sample(const struct perf_tool *tool, union perf_event *event,
			struct perf_sample *sample, struct evsel *evsel, struct machine *machine)
{
	struct aslr *aslr = container_of(tool, struct aslr, tool);
	struct aslr_view view = aslr__view(aslr, event, sample);
	const struct aslr_format *format = aslr__format(aslr, evsel);
	int err;

	if (!format)
		return -EINVAL;

	err = aslr_sample__rewrite(format, &view, event, aslr->event, &aslr->stats);
	if (err) {
		pr_err("%s: sample doesn't fit its format\n", evsel__name(evsel));
		return err;
	}
	return aslr->next->sample(aslr->next, aslr->event, sample, evsel, machine);
}

/* Leaves in aslr->event what becomes of a record. Returns 1 if it is dropped. */
static int aslr__rewrite(struct aslr *aslr, const union perf_event *event,
			 const struct perf_sample *sample, size_t id_size)
{
	unsigned int type = event->header.type;
	const struct aslr_record *record = aslr_record__find(type);
	struct aslr_view view = aslr__view(aslr, event, sample);
	int err = 1;

	if (record->action != ASLR_DROP) {
		memcpy(aslr->event, event, event->header.size);
		err = aslr_record__rewrite(&view, aslr->event, id_size);
		if (err < 0)
			pr_err("PERF_RECORD_%s doesn't fit its format\n", record->name);
	}
	if (err > 0)
		aslr->nr_dropped[type]++;
	return err;
}

/* The size of the sample_id at the end of a record, which depends on its event. */
static size_t id_size(struct aslr *aslr, union perf_event *event)
{
	const struct evsel *evsel = evlist__event2evsel(aslr->session->evlist, event);

	return evsel && evsel->core.attr.sample_id_all ? evsel__id_hdr_size(evsel) : 0;
}

#define ASLR_OP(_op)								\
static int aslr__##_op(const struct perf_tool *tool, union perf_event *event,	\
		       struct perf_sample *sample, struct machine *machine)	\
{										\
	struct aslr *aslr = container_of(tool, struct aslr, tool);		\
	int ret = aslr__rewrite(aslr, event, sample, id_size(aslr, event));	\
										\
	if (ret)								\
		return ret > 0 ? 0 : ret;					\
	return aslr->next->_op(aslr->next, aslr->event, sample, machine);	\
}

ASLR_OP(mmap)
ASLR_OP(mmap2)
ASLR_OP(comm)
ASLR_OP(namespaces)
ASLR_OP(cgroup)
ASLR_OP(fork)
ASLR_OP(exit)
ASLR_OP(lost)
ASLR_OP(lost_samples)
ASLR_OP(aux)
ASLR_OP(itrace_start)
ASLR_OP(aux_output_hw_id)
ASLR_OP(context_switch)
ASLR_OP(throttle)
ASLR_OP(unthrottle)
ASLR_OP(ksymbol)
ASLR_OP(bpf)
ASLR_OP(text_poke)

static int aslr__read(const struct perf_tool *tool, union perf_event *event,
		      struct perf_sample *sample, struct evsel *evsel, struct machine *machine)
{
	struct aslr *aslr = container_of(tool, struct aslr, tool);
	int ret = aslr__rewrite(aslr, event, sample, id_size(aslr, event));

	if (ret)
		return ret > 0 ? 0 : ret;
	return aslr->next->read(aslr->next, aslr->event, sample, evsel, machine);
}

/* Records of perf's own have no sample. */
static int aslr__rewrite_user(struct aslr *aslr, const union perf_event *event)
{
	struct perf_sample sample = { .pid = -1 };

	return aslr__rewrite(aslr, event, &sample, 0);
}

/* Those that take a session take their tool from it, too. */
#define ASLR_OP2(_op)								\
static int aslr__##_op(struct perf_session *session, union perf_event *event)	\
{										\
	struct aslr *aslr = container_of(session->tool, struct aslr, tool);	\
	int ret = aslr__rewrite_user(aslr, event);				\
										\
	if (ret)								\
		return ret > 0 ? 0 : ret;					\
	session->tool = aslr->next;						\
	ret = aslr->next->_op(session, aslr->event);				\
	session->tool = &aslr->tool;						\
	return ret;								\
}

ASLR_OP2(build_id)
ASLR_OP2(id_index)
ASLR_OP2(auxtrace_info)
ASLR_OP2(auxtrace_error)
ASLR_OP2(time_conv)
ASLR_OP2(thread_map)
ASLR_OP2(cpu_map)
ASLR_OP2(stat_config)
ASLR_OP2(stat)
ASLR_OP2(stat_round)
ASLR_OP2(finished_init)

static int aslr__attr(const struct perf_tool *tool, union perf_event *event,
		      struct evlist **pevlist)
{
	struct aslr *aslr = container_of(tool, struct aslr, tool);
	struct perf_event_attr attr = {};
	size_t size;
	int ret = aslr__rewrite_user(aslr, event);

	if (ret)
		return ret > 0 ? 0 : ret;

	size = event->attr.attr.size;
	if (size < PERF_ATTR_SIZE_VER0 || size > sizeof(attr) ||
	    size > event->header.size - sizeof(event->header)) {
		pr_err("event attributes of an unknown size, %zu\n", size);
		return -EINVAL;
	}
	memcpy(&attr, &event->attr.attr, size);
	ret = aslr_header__rewrite_attr(&aslr->header, &attr);
	if (ret)
		return ret;
	memcpy(&aslr->event->attr.attr, &attr, size);
	return aslr->next->attr(aslr->next, aslr->event, pevlist);
}

static int aslr__event_update(const struct perf_tool *tool, union perf_event *event,
			      struct evlist **pevlist)
{
	struct aslr *aslr = container_of(tool, struct aslr, tool);
	int ret = aslr__rewrite_user(aslr, event);

	if (ret)
		return ret > 0 ? 0 : ret;
	if (event->event_update.type == PERF_EVENT_UPDATE__NAME)
		aslr_header__rewrite_text(&aslr->header, aslr->event->event_update.name,
					  event->header.size -
					  offsetof(union perf_event, event_update.name));
	return aslr->next->event_update(aslr->next, aslr->event, pevlist);
}

/* The data follows the record. */
static int aslr__tracing_data(struct perf_session *session, union perf_event *event)
{
	struct aslr *aslr = container_of(session->tool, struct aslr, tool);
	int fd = perf_data__fd(session->data);
	ssize_t size = event->tracing_data.size;
	size_t new_size = size;
	void *buf;
	int ret;

	if (event->header.size < sizeof(event->tracing_data))
		return -EINVAL;

	/* With room for the padding behind it. */
	buf = malloc(size + sizeof(u64));
	if (!buf)
		return -ENOMEM;

	if (perf_data__is_pipe(session->data)) {
		ret = perf_data__read(session->data, buf, size) == size ? 0 : -EINVAL;
	} else {
		lseek(fd, event->header.size, SEEK_CUR);
		ret = readn(fd, buf, size) == size ? 0 : -EINVAL;
	}
	if (!ret)
		ret = aslr__rewrite_feature(aslr, HEADER_TRACING_DATA, buf, &new_size);
	if (ret < 0) {
		pr_err("tracing data doesn't fit its format\n");
	} else if (ret > 0) {
		aslr->nr_dropped[event->header.type]++;
		ret = 0;
	} else {
		ret = aslr->tracing(aslr->tracing_arg, buf, new_size);
	}
	free(buf);
	return ret ?: size;
}

static int aslr__feature(struct perf_session *session, union perf_event *event)
{
	struct aslr *aslr = container_of(session->tool, struct aslr, tool);
	size_t size = event->header.size - sizeof(event->feat);
	int ret = aslr__rewrite_user(aslr, event);

	if (ret)
		return ret > 0 ? 0 : ret;

	/* The mark at the end of them has no data. */
	if (size)
		ret = aslr__rewrite_feature(aslr, event->feat.feat_id, aslr->event->feat.data,
					    &size);
	else
		aslr->event->feat.feat_id = HEADER_LAST_FEATURE;
	/* Dropped, but it says how to read the records that come. */
	if (ret > 0 && event->feat.feat_id == HEADER_COMPRESSED)
		return perf_event__process_feature(session, event);
	if (ret)
		return ret > 0 ? 0 : ret;

	aslr->event->header.size = sizeof(event->feat) + size;
	session->tool = aslr->next;
	ret = aslr->next->feature(session, aslr->event);
	session->tool = &aslr->tool;
	return ret;
}

/* Trace data is dropped, and what tells of it, too. It follows the record. */
static s64 aslr__auxtrace(struct perf_session *session, union perf_event *event)
{
	struct aslr *aslr = container_of(session->tool, struct aslr, tool);
	char buf[4096];

	aslr->nr_dropped[event->header.type]++;
	for (u64 left = event->auxtrace.size; perf_data__is_pipe(session->data) && left; ) {
		ssize_t n = perf_data__read(session->data, buf, min_t(u64, left, sizeof(buf)));

		if (n <= 0)
			return -EINVAL;
		left -= n;
	}
	return event->auxtrace.size;
}

static int aslr__finished_round(const struct perf_tool *tool, union perf_event *event,
				struct ordered_events *oe)
{
	struct aslr *aslr = container_of(tool, struct aslr, tool);
	int err = perf_event__process_finished_round(tool, event, oe);

	return err ?: aslr->next->finished_round(aslr->next, event, oe);
}

struct aslr *aslr__new(const struct perf_tool *next, aslr_tracing_fn tracing, void *arg)
{
	struct aslr *aslr = zalloc(sizeof(*aslr));

	if (!aslr)
		return NULL;

	aslr->next = next;
	aslr->tracing = tracing;
	aslr->tracing_arg = arg;
	aslr->spaces = aslr_spaces__new();
	aslr->event = malloc(PERF_SAMPLE_MAX_SIZE);
	if (!aslr->spaces || !aslr->event) {
		aslr__delete(aslr);
		return NULL;
	}
	aslr->header.spaces = aslr->spaces;

	/* Addresses mean what was mapped at their time. */
	perf_tool__init(&aslr->tool, /*ordered_events=*/true);
	aslr->tool.ordering_requires_timestamps = true;
	aslr->tool.dont_split_sample_group = true;
	aslr->tool.sample		= aslr__sample;
	aslr->tool.read			= aslr__read;
	aslr->tool.mmap			= aslr__mmap;
	aslr->tool.mmap2		= aslr__mmap2;
	aslr->tool.comm			= aslr__comm;
	aslr->tool.namespaces		= aslr__namespaces;
	aslr->tool.cgroup		= aslr__cgroup;
	aslr->tool.fork			= aslr__fork;
	aslr->tool.exit			= aslr__exit;
	aslr->tool.lost			= aslr__lost;
	aslr->tool.lost_samples		= aslr__lost_samples;
	aslr->tool.aux			= aslr__aux;
	aslr->tool.itrace_start		= aslr__itrace_start;
	aslr->tool.aux_output_hw_id	= aslr__aux_output_hw_id;
	aslr->tool.context_switch	= aslr__context_switch;
	aslr->tool.throttle		= aslr__throttle;
	aslr->tool.unthrottle		= aslr__unthrottle;
	aslr->tool.ksymbol		= aslr__ksymbol;
	aslr->tool.bpf			= aslr__bpf;
	aslr->tool.text_poke		= aslr__text_poke;
	aslr->tool.attr			= aslr__attr;
	aslr->tool.event_update		= aslr__event_update;
	aslr->tool.tracing_data		= aslr__tracing_data;
	aslr->tool.finished_round	= aslr__finished_round;
	aslr->tool.build_id		= aslr__build_id;
	aslr->tool.id_index		= aslr__id_index;
	aslr->tool.auxtrace_info	= aslr__auxtrace_info;
	aslr->tool.auxtrace_error	= aslr__auxtrace_error;
	aslr->tool.time_conv		= aslr__time_conv;
	aslr->tool.thread_map		= aslr__thread_map;
	aslr->tool.cpu_map		= aslr__cpu_map;
	aslr->tool.stat_config		= aslr__stat_config;
	aslr->tool.stat			= aslr__stat;
	aslr->tool.stat_round		= aslr__stat_round;
	aslr->tool.feature		= aslr__feature;
	aslr->tool.finished_init	= aslr__finished_init;
	aslr->tool.auxtrace		= aslr__auxtrace;
	return aslr;
}

void aslr__delete(struct aslr *aslr)
{
	if (!aslr)
		return;
	aslr_spaces__delete(aslr->spaces);
	free(aslr->formats);
	free(aslr->event);
	free(aslr);
}

struct perf_tool *aslr__tool(struct aslr *aslr)
{
	return &aslr->tool;
}

int aslr__rewrite_header(struct aslr *aslr, struct perf_session *session)
{
	struct perf_header *header = &session->header;
	struct evsel *evsel;
	int feat, err;

	aslr->session = session;
	aslr->header.pmu_mappings = header->env.pmu_mappings;
	aslr->header.nr_pmu_mappings = header->env.nr_pmu_mappings;

	evlist__for_each_entry(session->evlist, evsel) {
		err = aslr_header__rewrite_attr(&aslr->header, &evsel->core.attr);
		if (err)
			return err;
	}
	for_each_set_bit(feat, header->adds_features, HEADER_FEAT_BITS) {
		if (aslr_feature__find(feat)->action == ASLR_DROP) {
			perf_header__clear_feat(header, feat);
			__set_bit(feat, aslr->dropped_feats);
		}
	}
	return 0;
}

int aslr__rewrite_feature(struct aslr *aslr, unsigned int feat, void *buf, size_t *size)
{
	const struct aslr_feature *feature = aslr_feature__find(feat);

	if (feature->action == ASLR_DROP) {
		if (feat < HEADER_FEAT_BITS)
			__set_bit(feat, aslr->dropped_feats);
		return 1;
	}
	return feature->rewrite ? feature->rewrite(&aslr->header, buf, size) : 0;
}

/* A list, "name (number), ...", of what happened to so many. */
struct report {
	const char	*what;
	unsigned int	nr;
};

static void report(struct report *report, const char *name, u64 nr)
{
	if (!nr)
		return;
	fprintf(stderr, "%s%s (%" PRIu64 ")", report->nr++ ? ", " : report->what, name, nr);
}

void aslr__report(const struct aslr *aslr, const struct perf_session *session)
{
	struct report blanked = { .what = "[ perf inject: blanked: " };
	struct report dropped = { .what = "[ perf inject: dropped: " };
	int feat;

	for (unsigned int i = 0; i < ASLR_NR_FIELDS; i++)
		report(&blanked, aslr_fields[i].name, aslr->stats.nr_blanked[i]);
	if (blanked.nr) {
		fputs("; ", stderr);
		dropped.what = "dropped: ";
	}
	for (unsigned int i = 0; i < PERF_RECORD_HEADER_MAX; i++)
		report(&dropped, aslr_record__find(i)->name, aslr->nr_dropped[i]);
	for_each_set_bit(feat, aslr->dropped_feats, HEADER_FEAT_BITS) {
		const char *name = aslr_feature__find(feat)->name;

		report(&dropped, name ?: "unknown header feature", name ? 1 : feat);
	}
	report(&dropped, "samples of unknown events", session->evlist->stats.nr_unknown_id);
	if (blanked.nr || dropped.nr)
		fprintf(stderr, "%s ]\n", dropped.nr ? "" : "nothing dropped");

	if (verbose > 0) {
		fprintf(stderr, "[ perf inject: %" PRIu64 " samples, ", aslr->stats.nr_samples);
		fprintf(stderr, "%" PRIu64 " addresses rewritten, ", aslr->stats.nr_addrs);
		fprintf(stderr, "%lu pages outside of mappings ]\n",
			aslr_spaces__nr_pages(aslr->spaces));
	}
}
