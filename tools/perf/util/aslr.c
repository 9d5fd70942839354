// SPDX-License-Identifier: GPL-2.0
/*
 * The tool that rewrites the addresses of a profile, see aslr.h.
 */
#include "aslr.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <linux/bitmap.h>
#include <linux/kernel.h>
#include <linux/string.h>
#include <linux/zalloc.h>
#include <internal/lib.h>
#include "aslr-attr.h"
#include "aslr-header.h"
#include "aslr-payload.h"
#include "aslr-record.h"
#include "aslr-sample.h"
#include "aslr-spaces.h"
#include "aslr-tracing.h"
#include "aslr-unwind.h"
#include "auxtrace.h"
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

/* What the name of an event may grow by, a multiple of 8. */
#define EVENT_NAME_ROOM		16

struct aslr {
	/* Apart from what changes with each event, as events may be deferred meanwhile. */
	const struct perf_tool		*next;
	struct perf_tool		tool;
	struct perf_session		*session;
	aslr_tracing_fn			tracing;
	aslr_room_fn			room;
	void				*arg;
	struct aslr_spaces		*spaces;
	/* Of the last record. */
	struct aslr_view		view;
	struct aslr_attrs		attrs;
	/* By evsel->core.idx. Without fields where no sample was seen. */
	struct aslr_format		*formats;
	int				nr_formats;
	/* Of user stacks. NULL as long as no event has any, or if it isn't wanted. */
	struct aslr_unwind		*unwind;
	bool				no_unwind;
	/* Trace data becomes samples, see aslr__decode_traces(). */
	bool				decode;
	/* NULL without tracepoints. */
	struct aslr_payloads		*payloads;
	/* Of or for a pipe, see aslr__hold_tracing_data(). */
	void				*tracing_data;
	size_t				tracing_data_size;
	/* The record that is passed on, of up to PERF_SAMPLE_MAX_SIZE bytes. */
	union perf_event		*event;
	struct aslr_sample_stats	stats;
	u64				nr_dropped[PERF_RECORD_HEADER_MAX];
	DECLARE_BITMAP(dropped_feats, HEADER_FEAT_BITS);
	DECLARE_BITMAP(rewritten_feats, HEADER_FEAT_BITS);
};

/* Where the addresses of a record are, until the next is asked for.  Guests are machines. */
static struct aslr_view *aslr__view(struct aslr *aslr, const union perf_event *event,
				    u32 machine_pid, s32 pid, u8 cpumode)
{
	s32 guest = machine_pid;

	if (!guest && (event->header.type == PERF_RECORD_MMAP ||
		       event->header.type == PERF_RECORD_MMAP2))
		guest = event->mmap.pid;
	else if (!guest && aslr_spaces__has_guest(aslr->spaces, pid))
		guest = pid;

	aslr_view__set(&aslr->view, machine_pid ? (s32)machine_pid : HOST_KERNEL_ID, guest, pid,
		       cpumode);
	return &aslr->view;
}

#ifdef HAVE_LIBTRACEEVENT
static void aslr__exit_payloads(struct aslr *aslr)
{
	aslr_payloads__delete(aslr->payloads);
}

static int aslr__init_payloads(struct aslr *aslr, const void *buf, size_t size)
{
	/* Those that there are may be in use. */
	if (aslr->payloads)
		return 0;
	aslr->payloads = aslr_payloads__new(buf, size, aslr->session->header.env.arch);
	return aslr->payloads ? 0 : -ENOMEM;
}

static void aslr__set_payload(struct aslr *aslr, struct aslr_format *format,
			      const struct perf_event_attr *attr)
{
	if (attr->type != PERF_TYPE_TRACEPOINT)
		return;
	format->payload = aslr_payloads__find(aslr->payloads, attr->config);
	if (format->payload)
		format->rewrite_payload = aslr_payload__rewrite;
}
#else
static int aslr__init_payloads(struct aslr *aslr __maybe_unused, const void *buf __maybe_unused,
			       size_t size __maybe_unused)
{
	pr_warning("perf without libtraceevent blanks the payloads of tracepoints\n");
	return 0;
}

static void aslr__set_payload(struct aslr *aslr __maybe_unused,
			      struct aslr_format *format __maybe_unused,
			      const struct perf_event_attr *attr __maybe_unused)
{
}

static void aslr__exit_payloads(struct aslr *aslr __maybe_unused)
{
}
#endif

/* Of a file: learn the formats of tracepoints before there are samples. */
static int aslr__read_tracing_data(struct perf_file_section *section,
				   struct perf_header *header __maybe_unused, int feat, int fd,
				   void *data)
{
	struct aslr *aslr = data;
	size_t size = section->size;
	void *buf;
	int err = 0;

	/* Whoever writes the section finds out what is wrong with it. */
	if (feat != HEADER_TRACING_DATA || size > aslr->session->data->file.size)
		return 0;
	buf = malloc(size ?: 1);
	if (!buf)
		return -ENOMEM;
	if (pread(fd, buf, size, section->offset) == (ssize_t)size)
		err = aslr__init_payloads(aslr, buf, size);
	free(buf);
	return err;
}

int aslr__hold_tracing_data(struct aslr *aslr, void *buf, size_t size)
{
	int err = aslr_tracing__check(buf, size) ?: aslr__finish(aslr);

	if (err) {
		free(buf);
		return err;
	}
	aslr->tracing_data = buf;
	aslr->tracing_data_size = size;
	return 0;
}

/* What was held goes out, before what comes after it. */
static noinline int aslr__pass_tracing_data(struct aslr *aslr)
{
	void *buf = aslr->tracing_data;
	int ret;

	aslr->tracing_data = NULL;
	ret = aslr__rewrite_feature(aslr, HEADER_TRACING_DATA, buf, &aslr->tracing_data_size) ?:
	      aslr->tracing(aslr->arg, buf, aslr->tracing_data_size);
	free(buf);
	return min(ret, 0);
}

int aslr__finish(struct aslr *aslr)
{
	return aslr->tracing_data ? aslr__pass_tracing_data(aslr) : 0;
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
	if (format->nr_steps || format->unknown)
		return format;

	if (aslr_format__init(format, &evsel->core.attr)) {
		/* Nobody knows where in the sample they are, and so where the others are. */
		pr_warning("%s: sample_type %#llx, read_format %#llx, branches %#llx not known to this perf, dropped\n",
			   evsel__name((struct evsel *)evsel), evsel->core.attr.sample_type,
			   evsel->core.attr.read_format, evsel->core.attr.branch_sample_type);
		format->unknown = true;
		return format;
	}
	/* That they are there says one event, for all in its group. */
	if (evsel->evlist->nr_br_cntr < 0 &&
	    evsel->core.attr.sample_type & PERF_SAMPLE_BRANCH_STACK)
		evlist__update_br_cntr(evsel->evlist);
	format->branch_sample_type &= ~(u64)PERF_SAMPLE_BRANCH_COUNTERS;
	if (evsel__leader(evsel)->br_cntr_nr > 0)
		format->branch_sample_type |= PERF_SAMPLE_BRANCH_COUNTERS;
	aslr__set_payload(aslr, format, &evsel->core.attr);
	return format;
}

/* Leaves in @out what becomes of a sample.  Returns 1 if it is dropped. */
static int aslr__rewrite_sample(struct aslr *aslr, const union perf_event *event,
				const struct evsel *evsel, struct aslr_view *view,
				const struct aslr_format *format,
				const struct aslr_frames *frames, union perf_event *out)
{
	int err;

	if (format->unknown) {
		aslr->nr_dropped[PERF_RECORD_SAMPLE]++;
		return 1;
	}
	err = aslr_sample__rewrite(format, view, event, out, frames, &aslr->stats);
	if (err)
		pr_debug("%s: sample doesn't fit its format\n",
			 evsel__name((struct evsel *)evsel));
	return err;
}

static int aslr__sample(const struct perf_tool *tool, union perf_event *event,
			struct perf_sample *sample, struct evsel *evsel, struct machine *machine)
{
	struct aslr *aslr = container_of(tool, struct aslr, tool);
	struct aslr_view *view = aslr__view(aslr, event, sample->machine_pid, sample->pid,
					    sample->cpumode);
	const struct aslr_format *format = aslr__format(aslr, evsel);
	struct aslr_frames frames = {};
	int ret;

	if (!format)
		return -ENOMEM;
	if (aslr->unwind && !format->unknown)
		aslr_unwind__sample(aslr->unwind, &evsel->core.attr, sample, &frames);
	ret = aslr__finish(aslr) ?:
	      aslr__rewrite_sample(aslr, event, evsel, view, format, &frames, aslr->event);
	if (ret)
		return min(ret, 0);
	return aslr->next->sample(aslr->next, aslr->event, sample, evsel, machine);
}

static int aslr__raw_sample(const struct perf_tool *tool, union perf_event *event,
			    struct evsel *evsel)
{
	struct aslr *aslr = container_of(tool, struct aslr, tool);
	const struct aslr_format *format = aslr__format(aslr, evsel);
	struct aslr_view *view;
	union perf_event *out;
	int ret;

	if (!format)
		return -ENOMEM;
	if (aslr->unwind || !aslr->next->raw_sample)
		return 1;

	view = aslr__view(aslr, event, /*machine_pid=*/0, aslr_format__pid(format, event),
			  event->header.misc & PERF_RECORD_MISC_CPUMODE_MASK);
	ret = aslr__finish(aslr);
	if (ret)
		return ret;
	/* Without frames it doesn't grow. */
	out = aslr->room(aslr->arg, event->header.size) ?: aslr->event;
	ret = aslr__rewrite_sample(aslr, event, evsel, view, format, /*frames=*/NULL, out);
	if (ret)
		return min(ret, 0);
	return aslr->next->raw_sample(aslr->next, out, evsel);
}

/* What a decoder has to say of an address. The first format has no time. */
static void aslr__rewrite_message(struct aslr *aslr, struct perf_record_auxtrace_error *error)
{
	char *msg = error->fmt ? error->msg : (char *)&error->time;
	size_t size = error->header.size - (msg - (char *)error);

	aslr_header__rewrite_text(&aslr->attrs, msg, min_t(size_t, size, MAX_AUXTRACE_ERROR_MSG));
}

/* Leaves in aslr->event what becomes of a record. Returns 1 if it is dropped. */
static int aslr__rewrite(struct aslr *aslr, const union perf_event *event,
			 const struct perf_sample *sample, const struct perf_event_attr *attr)
{
	unsigned int type = event->header.type;
	const struct aslr_record *record = aslr_record__find(type);
	struct aslr_view *view = aslr__view(aslr, event, sample->machine_pid, sample->pid,
					    sample->cpumode);
	int err = 1;

	/* The header of a file is written at the end, events of a pipe come before. */
	if ((type == PERF_RECORD_MMAP || type == PERF_RECORD_MMAP2) &&
	    !perf_data__is_pipe(aslr->session->data))
		aslr->attrs.mappings_to_come = false;
	if (record->action != ASLR_DROP) {
		memcpy(aslr->event, event, event->header.size);
		err = aslr_record__rewrite(view, aslr->event, attr);
		if (err < 0)
			pr_debug("PERF_RECORD_%s doesn't fit its format\n", record->name);
	}
	if (err > 0)
		aslr->nr_dropped[type]++;
	if (!err && type == PERF_RECORD_AUXTRACE_ERROR)
		aslr__rewrite_message(aslr, &aslr->event->auxtrace_error);
	if (!err && aslr->unwind)
		aslr_unwind__record(aslr->unwind, event, sample);
	return err;
}

/* Those of the event that a record of the kernel's is of, NULL if it isn't known. */
static const struct perf_event_attr *attr_of(struct aslr *aslr, union perf_event *event)
{
	const struct evsel *evsel = evlist__event2evsel(aslr->session->evlist, event);

	return evsel ? &evsel->core.attr : NULL;
}

#define ASLR_OP(_op)								\
static int aslr__##_op(const struct perf_tool *tool, union perf_event *event,	\
		       struct perf_sample *sample, struct machine *machine)	\
{										\
	struct aslr *aslr = container_of(tool, struct aslr, tool);		\
	int ret = aslr__rewrite(aslr, event, sample, attr_of(aslr, event));	\
										\
	if (ret)								\
		return ret > 0 ? 0 : ret;					\
	return aslr->next->_op(aslr->next, aslr->event, sample, machine);	\
}

ASLR_OP(cgroup)
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

/*
 * Tell the session of a task or a mapping as it was recorded, for who looks up
 * original addresses there.  In that case nobody may tell it of the rewritten ones.
 */
static int aslr__learn(struct aslr *aslr, event_op process, union perf_event *event,
		       struct perf_sample *sample, struct machine *machine)
{
	if (!aslr->decode || !machine)
		return 0;
	return process(&aslr->tool, event, sample, machine);
}

#define ASLR_LEARN_OP(_op)							\
static int aslr__##_op(const struct perf_tool *tool, union perf_event *event,	\
		       struct perf_sample *sample, struct machine *machine)	\
{										\
	struct aslr *aslr = container_of(tool, struct aslr, tool);		\
	int ret = aslr__learn(aslr, perf_event__process_##_op, event, sample,	\
			      machine) ?:					\
		  aslr__rewrite(aslr, event, sample, attr_of(aslr, event));	\
										\
	if (ret)								\
		return ret > 0 ? 0 : ret;					\
	return aslr->next->_op(aslr->next, aslr->event, sample, machine);	\
}

ASLR_LEARN_OP(mmap)
ASLR_LEARN_OP(mmap2)
ASLR_LEARN_OP(comm)
ASLR_LEARN_OP(namespaces)
ASLR_LEARN_OP(fork)
ASLR_LEARN_OP(exit)

static int aslr__read(const struct perf_tool *tool, union perf_event *event,
		      struct perf_sample *sample, struct evsel *evsel, struct machine *machine)
{
	struct aslr *aslr = container_of(tool, struct aslr, tool);
	int ret = aslr__rewrite(aslr, event, sample, attr_of(aslr, event));

	if (ret)
		return ret > 0 ? 0 : ret;
	return aslr->next->read(aslr->next, aslr->event, sample, evsel, machine);
}

/* Records of perf's own have no sample. */
static int aslr__rewrite_user(struct aslr *aslr, const union perf_event *event)
{
	struct perf_sample sample = { .pid = -1 };

	return aslr__rewrite(aslr, event, &sample, NULL);
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

/* Unwinding needs all records from the first, if there is something to unwind. */
static int aslr__prepare_unwind(struct aslr *aslr, const struct perf_event_attr *attr)
{
	if (aslr->unwind || aslr->no_unwind || !aslr_unwind__needs(attr))
		return 0;
	aslr->unwind = aslr_unwind__new(&aslr->session->header.env);
	if (!aslr->unwind)
		return -ENOMEM;
	aslr_unwind__add_build_ids(aslr->unwind, &aslr->session->machines.host);
	return 0;
}

static int aslr__attr(const struct perf_tool *tool, union perf_event *event,
		      struct evlist **pevlist)
{
	struct aslr *aslr = container_of(tool, struct aslr, tool);
	struct perf_event_attr attr = {};
	size_t size, known;
	int ret = aslr__rewrite_user(aslr, event);

	if (ret)
		return ret > 0 ? 0 : ret;

	size = event->attr.attr.size;
	if (size < PERF_ATTR_SIZE_VER0 || size > event->header.size - sizeof(event->header))
		return -EINVAL;

	known = min_t(size_t, size, sizeof(attr));
	memcpy(&attr, &event->attr.attr, known);
	ret = aslr__prepare_unwind(aslr, &attr) ?:
	      aslr_attr__rewrite(&aslr->attrs, &attr);
	if (ret)
		return ret;
	memcpy(&aslr->event->attr.attr, &attr, known);
	if (memchr_inv((void *)&event->attr.attr + known, 0, size - known))
		pr_warning("%zu bytes of an event's attributes are not known to this perf, dropped\n",
			   size - known);
	memset((void *)&aslr->event->attr.attr + known, 0, size - known);
	return aslr->next->attr(aslr->next, aslr->event, pevlist);
}

/* A number in it may get longer. */
static int aslr__rewrite_name(struct aslr *aslr, struct perf_record_event_update *update)
{
	size_t pos = offsetof(struct perf_record_event_update, name);
	size_t size = update->header.size;

	memset((void *)update + size, 0, EVENT_NAME_ROOM);
	aslr_header__rewrite_text(&aslr->attrs, update->name, size - pos + EVENT_NAME_ROOM);
	size = max_t(size_t, size, PERF_ALIGN(pos + strlen(update->name) + 1, sizeof(u64)));
	if (size > USHRT_MAX)
		return -EINVAL;
	update->header.size = size;
	return 0;
}

static int aslr__event_update(const struct perf_tool *tool, union perf_event *event,
			      struct evlist **pevlist)
{
	struct aslr *aslr = container_of(tool, struct aslr, tool);
	int ret = aslr__rewrite_user(aslr, event);

	if (ret)
		return ret > 0 ? 0 : ret;
	if (event->event_update.type == PERF_EVENT_UPDATE__NAME)
		ret = aslr__rewrite_name(aslr, &aslr->event->event_update);
	if (ret)
		return ret;
	return aslr->next->event_update(aslr->next, aslr->event, pevlist);
}

/* The data follows the record. */
static int aslr__tracing_data(struct perf_session *session, union perf_event *event)
{
	struct aslr *aslr = container_of(session->tool, struct aslr, tool);
	int fd = perf_data__fd(session->data);
	ssize_t size = event->tracing_data.size;
	void *buf;
	int ret;

	if (event->header.size < sizeof(event->tracing_data) || event->tracing_data.size > INT_MAX)
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
		ret = aslr__init_payloads(aslr, buf, size);
	if (ret) {
		free(buf);
		return ret;
	}
	return aslr__hold_tracing_data(aslr, buf, size) ?: size;
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
	/* Kept, and it says how to unwind. */
	if (!ret && event->feat.feat_id == HEADER_ARCH)
		ret = perf_event__process_feature(session, event);
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

	if (event->header.size < sizeof(event->auxtrace) || event->auxtrace.size >> 63)
		return -EINVAL;

	aslr->nr_dropped[event->header.type]++;
	for (u64 left = event->auxtrace.size; perf_data__is_pipe(session->data) && left; ) {
		ssize_t n = perf_data__read(session->data, buf, min_t(u64, left, sizeof(buf)));

		if (n <= 0)
			return -EINVAL;
		left -= n;
	}
	return event->auxtrace.size;
}

/* The decoder maps the data when it comes to it, so that has to be there. */
static s64 aslr__decode(struct perf_session *session, union perf_event *event)
{
	struct perf_data *data = session->data;
	u64 offset, size = event->auxtrace.size;

	if (!perf_data__is_pipe(data)) {
		offset = lseek(perf_data__fd(data), 0, SEEK_CUR);
		if (offset > (u64)data->file.size || size > data->file.size - offset) {
			pr_err("%s: cut off in its trace data of %#" PRIx64 " bytes at %#"
			       PRIx64 "\n", data->path, size, offset);
			return -EINVAL;
		}
	}
	return perf_event__process_auxtrace(session, event);
}

static int aslr__finished_round(const struct perf_tool *tool, union perf_event *event,
				struct ordered_events *oe)
{
	struct aslr *aslr = container_of(tool, struct aslr, tool);
	int ret = oe ? perf_event__process_finished_round(tool, event, oe) : 0;

	if (!ret)
		ret = aslr__rewrite_user(aslr, event);
	if (ret)
		return ret > 0 ? 0 : ret;
	return aslr->next->finished_round(aslr->next, aslr->event, oe);
}

static int aslr__defer(const struct perf_tool *tool, const struct ordered_event *event)
{
	struct aslr *aslr = container_of(tool, struct aslr, tool);

	return aslr->next->defer(aslr->next, event);
}

static int aslr__sync(const struct perf_tool *tool)
{
	struct aslr *aslr = container_of(tool, struct aslr, tool);

	return aslr->next->sync(aslr->next);
}

struct aslr *aslr__new(const struct perf_tool *next, aslr_tracing_fn tracing, aslr_room_fn room,
		       void *arg, bool unwind)
{
	struct aslr *aslr = zalloc(sizeof(*aslr));

	if (!aslr)
		return NULL;

	aslr->next = next;
	aslr->tracing = tracing;
	aslr->room = room;
	aslr->arg = arg;
	aslr->no_unwind = !unwind;
	aslr->spaces = aslr_spaces__new();
	/* Frames are there before what makes room for them isn't any more. */
	aslr->event = malloc(PERF_SAMPLE_MAX_SIZE + (1 + ASLR_MAX_FRAMES) * sizeof(u64));
	if (!aslr->spaces || !aslr->event) {
		aslr__delete(aslr);
		return NULL;
	}
	aslr->view.spaces = aslr->spaces;
	aslr->attrs.spaces = aslr->spaces;
	aslr->attrs.mappings_to_come = true;

	/* Addresses mean what was mapped at their time. */
	perf_tool__init(&aslr->tool, /*ordered_events=*/true);
	aslr->tool.ordering_requires_timestamps = true;
	aslr->tool.dont_split_sample_group = true;
	aslr->tool.sample		= aslr__sample;
	aslr->tool.raw_sample		= aslr__raw_sample;
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
	aslr_unwind__delete(aslr->unwind);
	free(aslr->formats);
	free(aslr->tracing_data);
	aslr__exit_payloads(aslr);
	free(aslr->event);
	free(aslr);
}

void aslr__decode_traces(struct aslr *aslr)
{
	aslr->decode = true;
	/* These make the session's decoder, which delivers its samples and their events to us. */
	aslr->tool.auxtrace_info	= perf_event__process_auxtrace_info;
	aslr->tool.auxtrace		= aslr__decode;
	aslr->tool.aux			= perf_event__process_aux;
	/* A sample may be decoded after the end of the round that it is of. */
	aslr->tool.finished_round	= perf_event__process_finished_round;
}

struct perf_tool *aslr__tool(struct aslr *aslr)
{
	return &aslr->tool;
}

/* EVENT_DESC is written anew if there are events of a decoder to add. */
static int aslr__rewrite_evsel_name(struct aslr *aslr, struct evsel *evsel)
{
	/* An address may become longer. */
	const size_t room = sizeof("ffffffffffffffff");
	size_t len = evsel->name ? strlen(evsel->name) : 0, size = len + room;
	char *name;

	if (!len)
		return 0;

	name = zalloc(size);
	if (!name)
		return -ENOMEM;

	memcpy(name, evsel->name, len);
	aslr_header__rewrite_text(&aslr->attrs, name, size);
	free(evsel->name);
	evsel->name = name;
	return 0;
}

int aslr__rewrite_header(struct aslr *aslr, struct perf_session *session)
{
	struct perf_header *header = &session->header;
	struct evsel *evsel;
	int feat, err;

	aslr->session = session;
	if (aslr->next->defer) {
		aslr->tool.defer = aslr__defer;
		aslr->tool.sync	 = aslr__sync;
	}
	/* Else they may be those of this machine, which perf asks for them on AMD's CPUs. */
	if (perf_header__has_feat(header, HEADER_PMU_MAPPINGS)) {
		aslr->attrs.pmu_mappings = header->env.pmu_mappings;
		aslr->attrs.nr_pmu_mappings = header->env.nr_pmu_mappings;
	}

	evlist__for_each_entry(session->evlist, evsel) {
		err = aslr__prepare_unwind(aslr, &evsel->core.attr) ?:
		      aslr_attr__rewrite(&aslr->attrs, &evsel->core.attr) ?:
		      aslr__rewrite_evsel_name(aslr, evsel);
		if (err)
			return err;
	}
	for_each_set_bit(feat, header->adds_features, HEADER_FEAT_BITS) {
		if (aslr_feature__find(feat)->action == ASLR_DROP) {
			perf_header__clear_feat(header, feat);
			if (feat != HEADER_AUXTRACE || !aslr->decode)
				__set_bit(feat, aslr->dropped_feats);
		}
	}
	if (!perf_header__has_feat(header, HEADER_TRACING_DATA) ||
	    perf_data__is_pipe(session->data))
		return 0;
	return perf_header__process_sections(header, perf_data__fd(session->data), aslr,
					     aslr__read_tracing_data);
}

int aslr__rewrite_feature(struct aslr *aslr, unsigned int feat, void *buf, size_t *size)
{
	const struct aslr_feature *feature = aslr_feature__find(feat);

	if (feature->action == ASLR_DROP) {
		if (feat < HEADER_FEAT_BITS)
			__set_bit(feat, aslr->dropped_feats);
		return 1;
	}
	if (feature->action == ASLR_REWRITE)
		__set_bit(feat, aslr->rewritten_feats);
	return aslr_feature__rewrite(feature, &aslr->attrs, buf, size);
}

/* A list, "what: name (number), ...", in a line of its own unless it is empty. */
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

static void report__end(const struct report *report)
{
	if (report->nr)
		fputs(" ]\n", stderr);
}

static void aslr__report_loss(const struct aslr *aslr, const struct perf_session *session)
{
	struct report loss = { .what = "[ perf inject: blanked: " };
	unsigned int nr_blanked;
	int feat;

	for (unsigned int i = 0; i < ASLR_NR_FIELDS; i++)
		report(&loss, aslr_fields[i].name, aslr->stats.nr_blanked[i]);
	report(&loss, "of them STACK_USER of a size that can't be", aslr->stats.nr_bad_stacks);

	nr_blanked = loss.nr;
	loss.nr = 0;
	loss.what = nr_blanked ? "; dropped: " : "[ perf inject: dropped: ";
	for (unsigned int i = 0; i < PERF_RECORD_HEADER_MAX; i++)
		report(&loss, aslr_record__find(i)->name, aslr->nr_dropped[i]);
	for_each_set_bit(feat, aslr->dropped_feats, HEADER_FEAT_BITS) {
		const char *name = aslr_feature__find(feat)->name;
		char section[64];

		/* Records may have the same name. */
		scnprintf(section, sizeof(section), "header feature %s", name ?: "");
		report(&loss, name ? section : "unknown header feature", name ? 1 : feat);
	}
	report(&loss, "samples of unknown events", session->evlist->stats.nr_unknown_id);

	loss.nr += nr_blanked;
	report__end(&loss);
}

static void aslr__report_all(const struct aslr *aslr)
{
	struct report counts = { .what = "[ perf inject: " };
	struct report sections = { .what = "[ perf inject: rewritten in the header: " };
	int feat;

	report(&counts, "samples kept", aslr->stats.nr_samples);
	report(&counts, "addresses rewritten", aslr->stats.nr_addrs);
	report(&counts, "pages outside of mappings", aslr_spaces__nr_pages(aslr->spaces));
	if (aslr->unwind) {
		const struct aslr_unwind_stats *stats = aslr_unwind__stats(aslr->unwind);

		report(&counts, "user stacks unwound", stats->nr_samples);
		report(&counts, "frames of them", stats->nr_frames);
	}
	report__end(&counts);

	for_each_set_bit(feat, aslr->rewritten_feats, HEADER_FEAT_BITS)
		report(&sections, aslr_feature__find(feat)->name, 1);
	report__end(&sections);
}

void aslr__report(const struct aslr *aslr, const struct perf_session *session)
{
	if (quiet)
		return;
	aslr__report_loss(aslr, session);
	if (aslr->unwind)
		aslr_unwind__report(aslr->unwind, stderr);
	if (verbose > 0)
		aslr__report_all(aslr);
}
