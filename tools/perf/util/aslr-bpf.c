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

/* Copy what may stay of an array from @from to @to, which is all zeros. */
static int rewrite_array(struct aslr_space *kernel, const struct bpf_array *array,
			 const void *from, void *to, u64 size)
{
	u64 addr;
	int err;

	if (array->action == ASLR_KEEP)
		memcpy(to, from, size);
	if (array->action != ASLR_REWRITE)
		return 0;

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

/* @data, of @len bytes, is behind @info in the file, and offsets in it are in @info. */
static int rewrite_prog(struct aslr_space *kernel, struct bpf_prog_info *info, u64 *arrays,
			void *data, u32 len)
{
	void *new = zalloc(len ?: 1);
	int err = 0;

	if (!new)
		return -ENOMEM;

	/* What is rewritten comes last: it counts if arrays overlap. */
	for (unsigned int n = 0; !err && n < 2 * ARRAY_SIZE(bpf_arrays); n++) {
		unsigned int i = n % ARRAY_SIZE(bpf_arrays);
		const struct bpf_array *array = &bpf_arrays[i];
		bool last = n >= ARRAY_SIZE(bpf_arrays);
		u64 size = array->size ?: info_u32(info, array->rec_size), offset;

		memcpy(&offset, (void *)info + array->array, sizeof(offset));
		size *= info_u32(info, array->count);
		if (!(*arrays & BIT_ULL(i)) || array->action == ASLR_DROP) {
			/* Whatever is where the offset would be. */
			memset((void *)info + array->array, 0, sizeof(offset));
			memset((void *)info + array->count, 0, sizeof(u32));
			*arrays &= ~BIT_ULL(i);
			continue;
		}
		if (last && array->action != ASLR_REWRITE)
			continue;
		if (!last && array->action == ASLR_REWRITE)
			continue;
		if (offset > len || size > len - offset)
			err = -EINVAL;
		else
			err = rewrite_array(kernel, array, data + offset, new + offset, size);
	}
	/* An array that isn't known. */
	*arrays &= BIT_ULL(PERF_BPIL_LAST_ARRAY) - 1;

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
