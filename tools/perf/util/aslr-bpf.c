// SPDX-License-Identifier: GPL-2.0
/*
 * Rewriting of what a header says of BPF programs, see aslr-bpf.h.
 */
#include "aslr-bpf.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <linux/bits.h>
#include <linux/kernel.h>
#include <linux/string.h>
#include <linux/zalloc.h>
#include "aslr-policy.h"
#include "aslr-space.h"
#include "bpf-utils.h"

/* An array that may be behind struct bpf_prog_info, and what happens to it. */
struct bpf_array {
	enum aslr_action	action;
	/* In struct bpf_prog_info: where it is, its entries, and their size. */
	size_t			array;
	size_t			count;
	size_t			rec_size;
	/* The size if it is always the same, then there is no @rec_size. */
	u32			size;
};

#define INFO(_member)	offsetof(struct bpf_prog_info, _member)

static const struct bpf_array bpf_arrays[] = {
	[PERF_BPIL_JITED_INSNS] = {
		ASLR_DROP, INFO(jited_prog_insns), INFO(jited_prog_len), 0, 1 },
	[PERF_BPIL_XLATED_INSNS] = {
		ASLR_DROP, INFO(xlated_prog_insns), INFO(xlated_prog_len), 0, 1 },
	[PERF_BPIL_MAP_IDS] = {
		ASLR_KEEP, INFO(map_ids), INFO(nr_map_ids), 0, sizeof(u32) },
	[PERF_BPIL_JITED_KSYMS] = {
		ASLR_REWRITE, INFO(jited_ksyms), INFO(nr_jited_ksyms), 0, sizeof(u64) },
	[PERF_BPIL_JITED_FUNC_LENS] = {
		ASLR_KEEP, INFO(jited_func_lens), INFO(nr_jited_func_lens), 0, sizeof(u32) },
	[PERF_BPIL_FUNC_INFO] = {
		ASLR_KEEP, INFO(func_info), INFO(nr_func_info), INFO(func_info_rec_size), 0 },
	[PERF_BPIL_LINE_INFO] = {
		ASLR_KEEP, INFO(line_info), INFO(nr_line_info), INFO(line_info_rec_size), 0 },
	[PERF_BPIL_JITED_LINE_INFO] = {
		ASLR_REWRITE, INFO(jited_line_info), INFO(nr_jited_line_info),
		INFO(jited_line_info_rec_size), 0 },
	[PERF_BPIL_PROG_TAGS] = {
		ASLR_KEEP, INFO(prog_tags), INFO(nr_prog_tags), 0, BPF_TAG_SIZE },
};

static u32 info_u32(const struct bpf_prog_info *info, size_t offset)
{
	u32 value;

	memcpy(&value, (const void *)info + offset, sizeof(value));
	return value;
}

/* Nothing of an array stays, nor whatever is where its offset would be. */
static void drop_array(struct bpf_prog_info *info, const struct bpf_array *array)
{
	memset((void *)info + array->array, 0, sizeof(u64));
	memset((void *)info + array->count, 0, sizeof(u32));
}

static int rewrite_addrs(struct aslr_space *kernel, const void *from, void *to, u64 size)
{
	u64 addr;
	int err;

	for (; size >= sizeof(addr); size -= sizeof(addr)) {
		memcpy(&addr, from, sizeof(addr));
		err = aslr_space__translate(kernel, addr, &addr);
		if (err)
			return err;
		memcpy(to, &addr, sizeof(addr));
		from += sizeof(addr);
		to += sizeof(addr);
	}
	return 0;
}

/* Copy the @arrays with @action from @from, of @len bytes, to @to. */
static int copy_arrays(struct aslr_space *kernel, const struct bpf_prog_info *info, u64 arrays,
		       enum aslr_action action, const void *from, void *to, u32 len)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(bpf_arrays); i++) {
		const struct bpf_array *array = &bpf_arrays[i];
		u64 size = array->size ?: info_u32(info, array->rec_size), offset;
		int err = 0;

		if (array->action != action || !(arrays & BIT_ULL(i)))
			continue;
		memcpy(&offset, (const void *)info + array->array, sizeof(offset));
		size *= info_u32(info, array->count);
		if (offset > len || size > len - offset)
			return -EINVAL;
		if (action == ASLR_KEEP)
			memcpy(to + offset, from + offset, size);
		else
			err = rewrite_addrs(kernel, from + offset, to + offset, size);
		if (err)
			return err;
	}
	return 0;
}

/* @data, of @len bytes, is behind @info in the file, and offsets in it are in @info. */
static int rewrite_prog(struct aslr_space *kernel, struct bpf_prog_info *info, u64 *arrays,
			void *data, u32 len)
{
	void *new = zalloc(len ?: 1);
	int err;

	if (!new)
		return -ENOMEM;

	/* One that isn't known isn't there. */
	*arrays &= BIT_ULL(PERF_BPIL_LAST_ARRAY) - 1;
	for (unsigned int i = 0; i < ARRAY_SIZE(bpf_arrays); i++) {
		if (bpf_arrays[i].action == ASLR_DROP)
			*arrays &= ~BIT_ULL(i);
		if (!(*arrays & BIT_ULL(i)))
			drop_array(info, &bpf_arrays[i]);
	}
	/* What is rewritten comes last: it counts if arrays overlap. */
	err = copy_arrays(kernel, info, *arrays, ASLR_KEEP, data, new, len) ?:
	      copy_arrays(kernel, info, *arrays, ASLR_REWRITE, data, new, len);

	memcpy(data, new, len);
	free(new);
	return err;
}

int aslr_bpf__rewrite_prog_info(struct aslr_space *kernel, void *buf, size_t size)
{
	void *pos = buf + sizeof(u32), *end = buf + size;
	u32 count;

	if (size < sizeof(count))
		return -EINVAL;
	memcpy(&count, buf, sizeof(count));

	while (count--) {
		struct bpf_prog_info info = {};
		struct {
			u32	info_len;
			u32	data_len;
			u64	arrays;
		} header;
		void *data;
		int err;

		if ((size_t)(end - pos) < sizeof(header))
			return -EINVAL;
		memcpy(&header, pos, sizeof(header));
		data = pos + sizeof(header) + header.info_len;
		if (header.info_len > sizeof(info) ||
		    (u64)header.info_len + header.data_len > (u64)(end - pos) - sizeof(header))
			return -EINVAL;

		memcpy(&info, pos + sizeof(header), header.info_len);
		err = rewrite_prog(kernel, &info, &header.arrays, data, header.data_len);
		if (err)
			return err;
		memcpy(pos, &header, sizeof(header));
		memcpy(pos + sizeof(header), &info, header.info_len);
		pos = data + header.data_len;
	}
	/* Nothing is behind the last program. */
	memset(pos, 0, end - pos);
	return 0;
}
