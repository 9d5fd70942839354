/* SPDX-License-Identifier: GPL-2.0 */
#ifndef __PERF_ASLR_BPF_H
#define __PERF_ASLR_BPF_H

#include <stddef.h>

struct aslr_space;

/*
 * Rewrite what a header says of BPF programs, @buf of @size bytes as
 * process_bpf_prog_info() reads it, in place: where their code is gets rewritten
 * in @kernel, the code itself goes, and what else isn't known to be without
 * addresses.  0, -EINVAL if it isn't such a section, or an error of
 * aslr_space__translate().
 */
int aslr_bpf__rewrite_prog_info(struct aslr_space *kernel, void *buf, size_t size);

#endif /* __PERF_ASLR_BPF_H */
