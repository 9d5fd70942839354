# SPDX-License-Identifier: GPL-2.0
"""Every row of the tables of perf inject --aslr, by what it does to bytes.

    PERF=/path/to/perf aslr_rows_test.py

Each case below is a record, a field of samples, an attribute or a header feature with
what has to become of its fields.  A field that isn't named stays as it is, to the byte.
The profiles made of them go through perf inject --aslr as a file and as a pipe, and
the outputs through the auditor and the function check.  What the cases hold is compared
with the rows of the tables in the C sources, where these are at hand: a row that no case
holds, or with another action than the case wants, fails.
"""
import ctypes
import os
import re
import shutil
import struct
import subprocess
import tempfile
import unittest
from itertools import combinations

import aslr_tables
from aslr_audit import audit
from aslr_compare import compare
from aslr_function import Checker
from perf_data import CONTEXT_MAX, FEATURE_ID, TYPE, USER_TYPES, PerfData
from perf_data_fields import ATTR_FIELDS
from perf_data_gen import (COMM_EXEC, GUEST_KERNEL, GUEST_USER, KERNEL, MMAP_BUILD_ID, USER,
                           PerfDataGen, SAMPLE_BIT, padded)

PERF = os.environ.get('PERF') or shutil.which('perf')

TEXT, MODULE, SYMBOL = 0xffffffff9a200000, 0xffffffffc0a31000, 0xffffffffc0f01040
EXE, LIB, VDSO, HEAP = 0x55d3a0001000, 0x7f1231000000, 0x7ffd10389000, 0x55d3a1234000
STACK, NONPIE, BAR, PHYS = 0x7ffd10203000, 0x401000, 0xfed00000, 0x3e23456000
GTEXT, GEXE = 0xffffffff8b400000, 0x5612c0de1000
# What is no address though it looks like one
BIG = 0x3000000
PID, GUEST = 100, 300
HALF, LOW = 1 << 63, 0x10000

# What becomes of a field: an address of ...
KERN, PROC, PHYSICAL, GKERN, GPROC = 'kernel', 'process', 'physical', 'guest kernel', 'guest'
# An address that is rewritten before the records of mappings, which wait for their turn
EARLY = 'before the mappings'
ZERO, GONE = 'zero', 'gone'
# ... and of a record
DROPPED = 'dropped'


class Spaces:
    """What addresses became, in each address space: a function of pages, and back"""

    def __init__(self):
        self.pages, self.back = {}, {}

    def check(self, space, old, new):
        """What is wrong with new for old, or None"""
        if old < LOW or old >= CONTEXT_MAX or old >> 12 == 0xffffffffff600:
            return None if new == old else 'must stay'
        if new in (old, 0) or (new ^ old) & 0xfff:
            return 'no new address with the old offset in the page'
        if space != PHYSICAL and (new ^ old) & HALF:
            return 'in the other half'
        known = self.pages.setdefault((space, old >> 12), new >> 12)
        if known != new >> 12 or self.back.setdefault((space, known), old >> 12) != old >> 12:
            return 'two pages are mixed up'
        return None


def split(data, rec):
    """[(name, bytes)] of a record without its header's size"""
    return [(name, bytes(rec.stream.buf[offset:offset + size]))
            for name, offset, size, _ in data.fields(rec) if name != 'header'] + \
        [('misc', struct.pack('<H', rec.misc))]


def apply(fields, got, want, spaces):
    """What is wrong with the fields that a record got: a list"""
    wrong, pos, want = [], 0, dict(want)
    for name, old in fields:
        wanted = want.get(name)
        if wanted == GONE:
            continue
        if pos == len(got) or got[pos][0] != name or \
                len(got[pos][1]) != len(old):
            return wrong + [f'{name}: got {got[pos] if pos < len(got) else "nothing"}']
        new = got[pos][1]
        pos += 1
        if isinstance(wanted, bytes):
            if new != wanted:
                wrong.append(f'{name}: got {new}, wanted {wanted}')
            continue
        if wanted is None or wanted == ZERO:
            if new != (bytes(len(old)) if wanted else old):
                wrong.append(f'{name}: got {new.hex()} for {old.hex()}')
            continue
        olds, news = (struct.unpack(f'<{len(value) // 8}Q', value) for value in (old, new))
        where = [wanted] * len(olds) if isinstance(wanted, str) else wanted
        for space, before, after in zip(where, olds, news):
            why = spaces.check(space, before, after) if space else \
                after != before and 'must stay'
            if why:
                wrong.append(f'{name}: got {after:#x} for {before:#x}: {why}')
    if pos < len(got):
        wrong.append(f'more than there was: {got[pos:]}')
    return wrong + [f'{name}: no such field' for name in want if name not in dict(fields)]


class Case:
    """A record with its fields, or its payload, and what they become"""

    def __init__(self, kind, fields, want=None, **more):
        self.kind, self.fields, self.want = kind, fields, want or {}
        self.payload = more.pop('payload', None)
        self.misc = more.pop('misc', USER)
        self.extra = more.pop('extra', b'')

    @property
    def action(self):
        if self.want == DROPPED:
            return 'DROP'
        return 'REWRITE' if self.want else 'KEEP'

    def add(self, gen, number):
        ident = {'pid': PID, 'tid': PID, 'time': 1000 + number, 'identifier': 7, 'id': 7,
                 'stream_id': 7, 'cpu': 1}
        if self.payload is None:
            gen.event(self.kind, misc=self.misc, sample_id=ident, **self.fields)
        else:
            payload = padded(self.payload) if self.payload else b''
            if TYPE[self.kind] < USER_TYPES:
                payload += gen.trailer(ident)
            gen.record(self.kind, payload, self.misc)
        if self.extra:          # AUXTRACE: the data behind it
            gen.records[-1] += self.extra


def u16s(*values):
    return struct.pack(f'<{len(values)}H', *values)


def u32s(*values):
    return struct.pack(f'<{len(values)}I', *values)


def u64s(*values):
    return struct.pack(f'<{len(values)}Q', *values)


def mapping(start, filename, pgoff=0, want=PROC, pgoff_want=None, **more):
    """The same as an MMAP and, with another process, as an MMAP2"""
    pid, only = more.pop('pid', PID), more.pop('only', None)
    flags = more.pop('flags', MAP_PRIVATE)
    want = {'start': want, **({'pgoff': pgoff_want} if pgoff_want else {})}
    fields = {'pid': pid, 'tid': pid, 'start': start, 'len': more.pop('len', 0x2000),
              'pgoff': pgoff, 'filename': filename}
    if not only:
        yield Case('MMAP', fields, want, **more)
    if pid == PID:
        yield Case('MMAP2', {**fields, 'prot': 5, 'flags': flags,
                             'inode': u32s(8, 1) + u64s(4711, 1)}, want, **more)


MMAP_DATA, MAP_SHARED, MAP_PRIVATE = 1 << 13, 1, 2
KERNEL_MAP = {'misc': KERNEL, 'pid': 0xffffffff}
GUEST_MAP = {'misc': GUEST_KERNEL, 'pid': GUEST}
BUILD_ID = bytes(range(20))
NS_LINKS = u64s(*(value for i in range(7) for value in (4, 0xf0000000 + i)))
CPU_LIST, CPU_MASK, CPU_RANGE = 0, 1, 2

# What a process has, and the kernel, comes first: then what refers to it.
RECORDS = [
    *mapping(TEXT, '[kernel.kallsyms]_text', TEXT, KERN, KERN, len=0x1200000, **KERNEL_MAP),
    *mapping(MODULE, '/lib/modules/6.12/a.ko', 0, KERN, len=0x8000, **KERNEL_MAP),
    *mapping(0xfffffe000000d000, '__entry_SYSCALL_64_trampoline', TEXT + 0x1234, KERN, KERN,
             len=0x1000, **KERNEL_MAP),
    *mapping(GTEXT, '[guest.kernel.kallsyms.300]_text', GTEXT, GKERN, GKERN, len=0x1200000,
             **GUEST_MAP),
    *mapping(MODULE + 0x10000, '[guest_module]', 0, GKERN, len=0x8000, **GUEST_MAP),
    *mapping(GEXE, '/opt/guest', 0x1000, GPROC, misc=GUEST_USER, pid=GUEST),
    Case('COMM', {'pid': PID, 'tid': PID, 'comm': 'prog'}, misc=COMM_EXEC | USER),
    *mapping(EXE, '/opt/prog', 0x1000),
    *mapping(NONPIE, '/opt/static', 0x1000),
    *mapping(LIB, '/opt/a.so', 0x28000, len=0x158000),
    *mapping(LIB + 0x1000000, '/opt/big', 0x500000000),
    *mapping(LIB + 0x2000000, '/opt/sparse', LIB + 0x1000, pgoff_want=PROC),
    # Nothing is mapped there yet.
    *mapping(LIB + 0x2800000, '/opt/sparser', LIB + 0x3400000, pgoff_want=PROC),
    *mapping(LIB + 0x33ff000, '/opt/later', len=0x100000),
    *mapping(VDSO, '[vdso]'),
    *mapping(VDSO + 0x4000, '[vdso]', VDSO + 0x4000, pgoff_want=PROC),
    *mapping(HEAP, '[heap]', HEAP, pgoff_want=PROC, len=0x21000),
    *mapping(LIB + 0x4000000, '//anon', LIB + 0x4000000, pgoff_want=PROC, len=0x200000),
    *mapping(LIB + 0x4800000, '', LIB + 0x4800000, pgoff_want=PROC),
    *mapping(0xf7c00000, '//anon', 0xf7c00000, pgoff_want=PROC),
    *mapping(LIB + 0x5000000, '/dev/mem', BAR, pgoff_want=PHYSICAL, len=0x1000),
    *mapping(LIB + 0x5001000, '/srv/root/dev/mem', BAR + 0x1000, pgoff_want=PHYSICAL, len=0x1000),
    *mapping(LIB + 0x5002000, '/sys/devices/pci0000:00/0000:00:02.0/resource0', 0xe0000000,
             pgoff_want=PHYSICAL, len=0x1000),
    *mapping(LIB + 0x5003000, '/proc/bus/pci/00/02.0', 0xe1000000, pgoff_want=PHYSICAL,
             len=0x1000),
    *mapping(LIB + 0x5004000, 'anon_inode:[vfio-device]', 0xe2000000, pgoff_want=PROC,
             len=0x1000),
    *mapping(LIB + 0x5005000, '/dev/shm/a', 0x123000, len=0x1000),
    *mapping(LIB + 0x5006000, '/memfd:a (deleted)', 0x123000, len=0x1000),
    *(case for i, (name, pgoff, want) in enumerate((
        # Names that regular files, or what is as them, can have: an offset stays ...
        ('/dmabuf:', 0x123000, None), ('/SYSV0000abcd (deleted)', 0x123000, None),
        ('/i915 (deleted)', 0x123000, None), ('/anon_hugepage (deleted)', 0x400000, None),
        ('/dev/hugepages/a', 0x400000, None), ('/home/a/dev/b.so', 0x123000, None),
        # ... but not where it can't be one
        ('/opt/a', 0xffff888123456000, PROC), ('/memfd:a (deleted)', LIB + 0x2000, PROC),
        # Devices and what has no file
        ('/dev/dri/card0', 0x100123000, PHYSICAL), ('/dev/zero', EXE, PHYSICAL),
        ('/dev/uio0', 0x1000, PHYSICAL), ('/sys/class/x', BAR, PHYSICAL),
        ('socket:[123]', 0xe2100000, PROC), ('[anon:malloc]', HEAP + 0x1000, PROC),
        ('anon_inode:[io_uring]', 0x10000000, PROC), ('[uprobes]', LIB + 0x7000, PROC),
        ('(unreachable)/dev/a', BAR, PROC), ('pipe:[1]', BAR, PROC)))
      for case in mapping(LIB + 0x7000000 + 0x10000 * i, name, pgoff, pgoff_want=want, len=0x1000)),
    *(case for i, name in enumerate((
        '/srv/root/dev/nvidia0', '/srv/root/sys/devices/pci0000:00/resource0',
        '/srv/root/proc/bus/pci/00/02.0'))
      for case in mapping(LIB + 0x7800000 + 0x10000 * i, name, BAR + 0x100000, len=0x1000,
                          pgoff_want=PHYSICAL, misc=USER | MMAP_DATA, flags=MAP_SHARED)),
    *mapping(LIB + 0x7900000, '/srv/dev/lib.so', BAR, misc=USER | MMAP_DATA, only='MMAP2'),
    *mapping(0xffffffffff600000, '[vsyscall]', len=0x1000),
    Case('MMAP2', {'pid': PID, 'tid': PID, 'start': LIB + 0x6000000, 'len': 0x3000,
                   'pgoff': 0x1000, 'inode': bytes([20, 0, 0, 0]) + BUILD_ID, 'prot': 5,
                   'flags': 2, 'filename': '/opt/with-build-id'}, {'start': PROC},
         misc=USER | MMAP_BUILD_ID),
    Case('KSYMBOL', {'addr': SYMBOL, 'len': 0x80, 'type': 1, 'name': 'bpf_prog_1'},
         {'addr': KERN}),
    Case('KSYMBOL', {'addr': MODULE + 0x1000080, 'len': 0x1000, 'type': 2,
                     'name': 'ftrace_trampoline'}, {'addr': KERN}),
    Case('KSYMBOL', {'addr': SYMBOL, 'len': 0x80, 'type': 1, 'flags': 1, 'name': 'bpf_prog_1'},
         {'addr': KERN}),
    Case('KSYMBOL', {'addr': 0, 'len': 0x80, 'type': 1, 'name': 'hidden'}, {'addr': KERN}),
    Case('BPF_EVENT', {'type': 1, 'id': 42, 'tag': BUILD_ID[:8]}),
    Case('BPF_EVENT', {'type': 2, 'id': 42, 'tag': BUILD_ID[:8]}),
    Case('TEXT_POKE', {'addr': TEXT + 0x10, 'old_len': 5, 'new_len': 5,
                       'bytes': bytes(5) + b'\xe9' + u32s(0x1234)}, DROPPED),
    Case('FORK', {'pid': PID + 1, 'ppid': PID, 'tid': PID + 1, 'ptid': PID, 'time': 1}, misc=0),
    Case('EXIT', {'pid': PID + 1, 'ppid': PID, 'tid': PID + 1, 'ptid': PID, 'time': 2}, misc=0),
    Case('LOST', {'id': 7, 'lost': BIG}),
    Case('LOST_SAMPLES', {'lost': BIG}),
    Case('LOST_SAMPLES', {'lost': BIG}, misc=1 << 15),
    Case('THROTTLE', {'time': BIG, 'id': 7, 'stream_id': BIG}),
    Case('UNTHROTTLE', {'time': BIG, 'id': 7, 'stream_id': BIG}),
    Case('READ', {}, payload=u32s(PID, PID) + u64s(BIG, BIG, BIG, 7, BIG)),
    Case('ITRACE_START', {'pid': PID, 'tid': PID}),
    Case('SWITCH', {}), Case('SWITCH', {}, misc=1 << 13 | USER),
    Case('SWITCH', {}, misc=3 << 13 | USER),
    Case('SWITCH_CPU_WIDE', {'pid': PID, 'tid': PID}),
    Case('SWITCH_CPU_WIDE', {'pid': PID, 'tid': PID}, misc=1 << 13 | KERNEL),
    Case('NAMESPACES', {}, payload=u32s(PID, PID) + u64s(7) + NS_LINKS),
    Case('CGROUP', {'id': BIG, 'path': '/system.slice/a.service'}),
    Case('AUX', {'aux_offset': 0, 'aux_size': 64, 'flags': 1}, DROPPED),
    Case('AUX_OUTPUT_HW_ID', {'hw_id': BIG}),
    Case('FINISHED_ROUND', {}, misc=0),
    Case('HEADER_BUILD_ID', {'pid': 0xffffffff, 'build_id': BUILD_ID + bytes([20, 0, 0, 0]),
                             'filename': '/opt/a.so'}, misc=USER | 1 << 15),
    Case('ID_INDEX', {}, misc=0, payload=u64s(2, 7, 0, 0, PID, 8, 1, 1, PID)),
    Case('ID_INDEX', {}, misc=0, payload=u64s(1, 7, 0, 0, PID, 0, 0)),
    Case('AUXTRACE_INFO', {'type': 99, 'priv': u64s(EXE, TEXT)}, DROPPED, misc=0),
    Case('AUXTRACE', {'size': 16, 'idx': 1, 'tid': PID}, DROPPED, misc=0,
         extra=u64s(EXE, TEXT)),
    Case('AUXTRACE_ERROR', {}, {'ip': EARLY, 'msg': b'lost at 000000000000'.ljust(24, b'\0')},
         misc=0,
         payload=u32s(1, 2, 3, PID, PID, 0) + u64s(EXE) +
         f'lost at {EXE:x}'.encode().ljust(24, b'\0')),
    Case('THREAD_MAP', {}, misc=0,
         payload=u64s(2, PID) + b'prog'.ljust(16, b'\0') + u64s(PID + 1) + bytes(16)),
    Case('CPU_MAP', {}, misc=0, payload=u16s(CPU_LIST, 3, 0, 1, 5, 0, 0, 0)),
    Case('CPU_MAP', {}, misc=0, payload=u16s(CPU_MASK, 1, 4) + u32s(0x83) + bytes(6)),
    Case('CPU_MAP', {}, misc=0, payload=u16s(CPU_MASK, 1, 8) + bytes(4) + u64s(0x83) + bytes(6)),
    Case('CPU_MAP', {}, misc=0, payload=u16s(CPU_RANGE, 0, 0, 7)),
    Case('STAT_CONFIG', {}, misc=0, payload=u64s(2, 0, BIG, 1, BIG)),
    Case('STAT', {}, misc=0, payload=u64s(7) + u32s(0, 1) + u64s(BIG, BIG, BIG)),
    Case('STAT_ROUND', {}, misc=0, payload=u64s(0, BIG)),
    Case('TIME_CONV', {}, misc=0, payload=u64s(31, 1 << 30, BIG, 1, 1 << 56) + bytes([1, 1] + [0] * 6)),
    Case('TIME_CONV', {}, misc=0, payload=u64s(31, 1 << 30, BIG)),
    Case('EVENT_UPDATE', {}, misc=0, payload=u64s(0, 7) + b'Joules\0'),
    Case('EVENT_UPDATE', {}, misc=0, payload=u64s(1, 7) + struct.pack('<d', 2.5)),
    Case('EVENT_UPDATE', {}, misc=0, payload=u64s(2, 7) + b'cycles:u\0'),
    Case('EVENT_UPDATE', {}, misc=0, payload=u64s(3, 7) + u16s(CPU_LIST, 1, 0, 0)),
    Case('FINISHED_INIT', {}, misc=0),
]
# Not in a file, old pipes only
EVENT_TYPE = Case('HEADER_EVENT_TYPE', {'event_id': 0, 'name': 'cycles'}, DROPPED, misc=0)

CONTEXT = {name: (1 << 64) - value for name, value in
           (('HV', 32), ('KERNEL', 128), ('USER', 512), ('GUEST', 2048),
            ('GUEST_KERNEL', 2176), ('GUEST_USER', 2560))}
CHAIN = [CONTEXT['KERNEL'], TEXT + 0x40, MODULE + 8, CONTEXT['USER'], EXE + 4, LIB + 0x18,
         STACK + 0x3000, NONPIE, 0, CONTEXT['HV'], 0x1000]
CHAIN_WANT = [None, KERN, KERN, None, *[PROC] * 5, None, None]
GUEST_CHAIN = [CONTEXT['GUEST'], CONTEXT['GUEST_KERNEL'], GTEXT + 0x18, MODULE + 0x10008,
               CONTEXT['GUEST_USER'], GEXE + 4]
GUEST_CHAIN_WANT = [None, None, GKERN, GKERN, None, GPROC]
BRANCHES = [(EXE + 4, LIB + 8, 1), (LIB + 8, TEXT + 8, 1 << 63 | 2), (0, MODULE, 0)]
BRANCHES_WANT = {'branch.from_to': [(PROC, PROC), (PROC, KERN), (PROC, KERN)]}
REGS_GONE = {'regs_user.abi': ZERO, 'regs_user': GONE}
IREGS_GONE = {'regs_intr.abi': ZERO, 'regs_intr': GONE}

# Each field of samples: PERF_SAMPLE_* bit, attribute, values, what they become
BASE = 'IDENTIFIER IP TID TIME'
FIELDS = (
    ('IDENTIFIER', {}, {}, {}),
    ('IP', {}, {'ip': EXE + 0x10}, {'ip': PROC}),
    ('IP', {}, {'ip': TEXT + 0x10, 'misc': KERNEL}, {'ip': KERN}),
    ('IP', {}, {'ip': GTEXT + 0x10, 'misc': GUEST_KERNEL, 'pid': GUEST}, {'ip': GKERN}),
    ('IP', {}, {'ip': GEXE + 0x10, 'misc': GUEST_USER, 'pid': GUEST}, {'ip': GPROC}),
    ('TID', {}, {'tid': PID + 2}, {}),
    ('TIME', {}, {}, {}),
    ('ADDR', {}, {'addr': STACK + 8}, {'addr': PROC}),
    ('ADDR', {}, {'addr': MODULE + 8}, {'addr': KERN}),
    ('ADDR', {}, {'addr': 0}, {'addr': PROC}),
    ('ADDR', {}, {'addr': 0xfff8}, {'addr': PROC}),
    ('ADDR', {}, {'addr': 0xffffffffff600400}, {'addr': KERN}),
    ('ID', {}, {}, {}),
    ('STREAM_ID', {}, {'stream_id': BIG + 99}, {}),
    ('CPU', {}, {'cpu': BIG + 3}, {}),
    ('PERIOD', {}, {'period': NONPIE}, {}),
    ('CALLCHAIN', {}, {'callchain': CHAIN}, {'callchain': CHAIN_WANT}),
    ('CALLCHAIN', {}, {'callchain': GUEST_CHAIN, 'ip': GTEXT + 0x10, 'misc': GUEST_KERNEL,
                       'pid': GUEST}, {'callchain': GUEST_CHAIN_WANT, 'ip': GKERN}),
    ('CALLCHAIN', {}, {'callchain': []}, {}),
    ('RAW', {'type': 1, 'config': 10}, {'raw': u64s(STACK, TEXT) + u32s(1)}, {'raw': ZERO}),
    ('BRANCH_STACK', {'branch_sample_type': 8}, {'branches': BRANCHES}, BRANCHES_WANT),
    ('BRANCH_STACK', {'branch_sample_type': 8 | 1 << 17}, {'branches': BRANCHES, 'hw_idx': 5},
     BRANCHES_WANT),
    ('BRANCH_STACK', {'branch_sample_type': 8}, {'branches': []}, {}),
    ('REGS_USER', {'sample_regs_user': 0x180}, {'regs_user': [STACK, EXE]}, REGS_GONE),
    ('REGS_USER', {'sample_regs_user': 0x180}, {'regs_user': [BAR, 1], 'regs_user_abi': 1},
     REGS_GONE),
    ('REGS_USER', {'sample_regs_user': 0x180}, {'regs_user': []}, {}),
    ('STACK_USER', {'sample_stack_user': 64}, {'stack': u64s(STACK, EXE, TEXT)},
     {'stack.size': ZERO, 'stack': GONE, 'stack.dyn_size': GONE}),
    ('STACK_USER', {'sample_stack_user': 64}, {}, {}),
    ('WEIGHT', {}, {'weight': BIG + 1234}, {}),
    ('WEIGHT_STRUCT', {}, {'weight': 0x000300020000007b}, {}),
    ('DATA_SRC', {}, {'data_src': 0x68100142}, {}),
    ('TRANSACTION', {}, {'transaction': 0x1200000041}, {}),
    ('REGS_INTR', {'sample_regs_intr': 0x181}, {'regs_intr': [STACK, EXE, TEXT]}, IREGS_GONE),
    ('PHYS_ADDR', {}, {'phys_addr': PHYS + 0x18}, {'phys_addr': PHYSICAL}),
    ('PHYS_ADDR', {}, {'phys_addr': PHYS + 0x1018}, {'phys_addr': PHYSICAL}),
    ('PHYS_ADDR', {}, {'phys_addr': BAR + 0x20}, {'phys_addr': PHYSICAL}),
    ('PHYS_ADDR', {}, {'phys_addr': 0}, {'phys_addr': PHYSICAL}),
    ('CGROUP', {}, {'cgroup': BIG + 4711}, {}),
    ('DATA_PAGE_SIZE', {}, {'data_page_size': 1 << 21}, {}),
    ('CODE_PAGE_SIZE', {}, {'code_page_size': 1 << 21}, {}),
    ('AUX', {'aux_sample_size': 64}, {'aux': u64s(EXE, TEXT)}, {'aux.size': ZERO, 'aux': GONE}),
    ('AUX', {'aux_sample_size': 64}, {}, {}),
) + tuple(
    ('READ', {'read_format': fmt}, {'values': list(range(
        BIG, BIG + (1 + bin(fmt & 3).count('1') + 3 * (1 + bin(fmt & 20).count('1')) if fmt & 8 else
                1 + bin(fmt & 23).count('1')))), 'nr': 3}, {})
    for fmt in range(32) if fmt & 4)       # which perf wants of all that samples read
EVERYTHING = {name: value for _, attr, values, _ in FIELDS for name, value in values.items()
              if value and name not in ('misc', 'nr', 'values', 'regs_user_abi', 'pid', 'tid')}
EVERYTHING.update(ip=EXE + 0x10, addr=STACK + 8, regs_user=[STACK, EXE],
                  weight=0x000300020000007b, callchain=CHAIN, branches=BRANCHES)


def field_sample(gen, number, name, attr, values):
    """A sample with the field, of an event of its own"""
    event = gen.attr(f'{name} {number}', ids=[100 + number], sample_id_all=1,
                     sample_type=f'{BASE} {name}', **attr)
    values = {'pid': PID, 'tid': PID, 'ip': EXE, **values}
    misc = values.pop('misc', USER)
    if event['read_format'] & 8:
        values['values'] = [values['nr']] + values['values'][1:]
    gen.sample(event, misc, time=2000 + number, **values)


def field_action(want):
    if not want:
        return 'KEEP'
    return 'BLANK' if ZERO in want.values() else 'REWRITE'


# ----------------------------------------------------------------- attributes

TYPE_SOFTWARE, TYPE_TRACEPOINT, TYPE_RAW, TYPE_BREAKPOINT = 1, 2, 4, 5
PMUS = {4: 'cpu', 5: 'breakpoint', 6: 'kprobe', 7: 'uprobe', 28: 'msr', 31: 'arm_spe_0'}
ANY = 0x1122334455667788

# Name, what the attribute has, what becomes of its fields.  sig_data is 0 always.
ATTRS = (
    (f'mem:{TEXT + 0x10:#x}:w', {'type': 5, 'bp_type': 2, 'config1': TEXT + 0x10, 'config2': 8},
     {'config1': KERN}),
    (f'mem:{STACK + 0x10:#x}/4:rw', {'type': 5, 'bp_type': 3, 'config1': STACK + 0x10,
                                     'config2': 4}, {'config1': PROC}),
    (f'mem:{NONPIE + 0x10:#x}:x', {'type': 5, 'bp_type': 4, 'config1': NONPIE + 0x10,
                                   'config2': 8}, {'config1': PROC}),
    ('probe', {'type': 6, 'config2': MODULE + 0x44}, {'config2': KERN}),
    ('probe:name', {'type': 6, 'config': 1, 'config1': HEAP, 'config2': 0x44},
     {'config1': ZERO}),
    ('uprobe', {'type': 7, 'config1': HEAP, 'config2': 0x1136}, {'config1': ZERO}),
    ('r1a8010001c0', {'type': 4, 'config': 0x1a8010001c0}, {}),
    ('cpu/event=0xb7,offcore_rsp=0x3fbfc00001/', {'type': 4, 'config': 0x5300b7,
                                                  'config1': 0x3fbfc00001}, {}),
    ('r1c2', {'type': 4, 'config': 0x1c2, 'config1': 0x3c, 'config2': 1, 'config3': 2}, {}),
    ('spoilt', {'type': 4, 'config': TEXT, 'config1': TEXT, 'config2': TEXT, 'config3': TEXT},
     dict.fromkeys(('config', 'config1', 'config2', 'config3'), ZERO)),
    ('cycles', {'type': 0}, {}),
    ('L1-dcache-loads', {'type': 3, 'config': 0x10000}, {}),
    ('cpu-clock', {'type': 1, 'config1': HEAP, 'config2': HEAP, 'config3': HEAP},
     dict.fromkeys(('config1', 'config2', 'config3'), ZERO)),
    ('msr/tsc/', {'type': 28, 'config': 0}, {}),
    ('arm_spe_0//', {'type': 31, 'config': 0x100010001, 'config1': 2, 'config2': 30}, {}),
    ('spoilt pmu', {'type': 28, 'config': TEXT, 'config1': MODULE, 'config2': TEXT,
                    'config3': TEXT},
     dict.fromkeys(('config', 'config1', 'config2', 'config3'), ZERO)),
    ('unknown', {'type': 29, 'config': 3, 'config1': ANY, 'config2': HEAP, 'config3': TEXT},
     dict.fromkeys(('config1', 'config2', 'config3'), ZERO)),
)
COMMON = {'sample_period': NONPIE, 'wakeup_events': 1, 'clockid': 4, 'aux_watermark': 4096,
          'sample_max_stack': 127, 'aux_sample_size': 64, 'sample_stack_user': 8192,
          'sample_regs_user': 0x180, 'sample_regs_intr': 0x180, 'branch_sample_type': 8,
          'sig_data': STACK + 0x18}
# Names of the same fields in tables
ALIASES = {'bp_addr': 'config1', 'kprobe_func': 'config1', 'uprobe_path': 'config1',
           'bp_len': 'config2', 'kprobe_addr': 'config2', 'probe_offset': 'config2',
           'sample_freq': 'sample_period', 'wakeup_watermark': 'wakeup_events',
           '__reserved_2': 'reserved_2', '__reserved_3': 'aux_action'}


# ------------------------------------------------------------------- features

def string(text):
    data = padded(text, 64)
    return u32s(len(data)) + data


def strings(*texts):
    return u32s(len(texts)) + b''.join(map(string, texts))


GARBAGE = u64s(TEXT + 0x18, EXE + 0x18)
CAPS = strings('branches', '32')[4:]
TRACING = (b'\x17\x08\x44tracing0.6\0\0\x08' + u32s(4096) +
           b''.join(name + b'\0' + u64s(4) + b'a: b' for name in (b'header_page', b'header_event')) +
           u32s(0, 0))
KALLSYMS, PRINTK = f'{TEXT:016x} T _text\n'.encode(), f'0x{TEXT + 64:x} : "RCU"\n'.encode()
# Where it is depends on whether the kernel is mapped yet.
PRINTK_WANT = f'0xNEW{TEXT + 64 & 0xfff:03x} : "RCU"\n'.encode()
SAVED = b'1 init\n'
# Each header feature: what it holds and what it becomes, the same if not said
FEATURES = (
    ('BUILD_ID', PerfDataGen().build_ids([(0xffffffff, BUILD_ID, '/opt/prog', USER)])),
    ('HOSTNAME', string('host') + GARBAGE, string('host')),
    ('OSRELEASE', string('6.12') + GARBAGE, string('6.12')),
    ('VERSION', string('6.12') + GARBAGE, string('6.12')),
    ('ARCH', string('x86_64') + GARBAGE, string('x86_64')),
    ('NRCPUS', u32s(2, 2)),
    ('CPUDESC', string('A CPU @ 2 GHz') + GARBAGE, string('A CPU @ 2 GHz')),
    ('CPUID', string('GenuineIntel,6,85,7') + GARBAGE, string('GenuineIntel,6,85,7')),
    ('TOTAL_MEM', u64s(4 << 20)),
    ('CMDLINE', strings('perf', 'record', f'--filter={EXE + 8:#x}', f'{NONPIE:#x}', '4000') +
     GARBAGE, strings('perf', 'record', '--filter=0x' + '0' * 12, '0x' + '0' * 6, '4000')),
    ('CPU_TOPOLOGY', strings('0-1') + strings('0', '1') + u32s(0, 0, 1, 0) + strings('0-1') +
     u32s(0, 0)),
    ('NUMA_TOPOLOGY', u32s(1, 0) + u64s(4 << 20, 2 << 20) + string('0-1')),
    ('BRANCH_STACK', b''),
    ('GROUP_DESC', u32s(1) + string(f'{{a,mem:{TEXT + 8:x}}}') + u32s(0, 2) + GARBAGE,
     u32s(1) + string('{a,mem:' + '0' * 16 + '}') + u32s(0, 2)),
    ('AUXTRACE', u64s(0), DROPPED),
    ('STAT', b''),
    ('CACHE', u32s(1, 1, 1, 64, 64, 8) + string('Data') + string('32K') + string('0-1')),
    ('SAMPLE_TIME', u64s(1000, 2000)),
    ('MEM_TOPOLOGY', u64s(1, 1 << 27, 1, 0, 8, 8, 0xff)),
    ('CLOCKID', u64s(1)),
    ('DIR_FORMAT', u64s(1), DROPPED),
    ('BPF_PROG_INFO', PerfDataGen().bpf_prog_info([SYMBOL], b'\x48\xb8' + u64s(TEXT + 64),
                                                  [SYMBOL + 8]), KERN),
    ('BPF_BTF', u32s(1, 5, 8) + b'\x9f\xeb\x01\0\0\0\0\0'),
    ('COMPRESSED', u32s(1, 1, 1, 2, 1 << 20), DROPPED),
    ('CPU_PMU_CAPS', u32s(1) + CAPS),
    ('CLOCK_DATA', u32s(1, 4) + u64s(1700000000, 1000)),
    ('HYBRID_TOPOLOGY', u32s(1) + string('cpu_core') + string('0-1')),
    ('PMU_CAPS', u32s(1, 1) + CAPS + string('cpu_core')),
    ('TRACING_DATA',
     TRACING + u32s(len(KALLSYMS)) + KALLSYMS + u32s(len(PRINTK)) + PRINTK +
     u64s(len(SAVED)) + SAVED,
     TRACING + u32s(0, len(PRINTK)) + PRINTK_WANT + u64s(len(SAVED)) + SAVED),
)
REWRITTEN = ('CMDLINE', 'GROUP_DESC', 'BPF_PROG_INFO', 'TRACING_DATA')

# Rows that tests below hold by other means than the cases above.
BY_TEST = {
    'aslr_records': {
        'SAMPLE': 'REWRITE',                    # Fields
        'HEADER_ATTR': 'REWRITE',               # Attributes
        'HEADER_FEATURE': 'REWRITE',            # Features, in a pipe
        'HEADER_TRACING_DATA': 'REWRITE',
        'EVENT_UPDATE': 'REWRITE',
        'COMPRESSED': 'REWRITE',                # Records.test_compressed
    },
    'aslr_features': {
        'EVENT_DESC': 'REWRITE',                # Attributes
        'PMU_MAPPINGS': 'KEEP',
    },
}


def feature_action(name, want):
    if want == DROPPED:
        return 'DROP'
    return 'REWRITE' if name in REWRITTEN else 'KEEP'


def held():
    """{table: {row: action}} of what the cases hold"""
    rows = {table: dict(by_test) for table, by_test in BY_TEST.items()}
    rows['aslr_fields'] = {'RAW': 'REWRITE'}    # by inject_aslr_tracepoint.sh
    for case in (*RECORDS, EVENT_TYPE):
        if case.want or case.kind not in rows['aslr_records']:
            rows['aslr_records'][case.kind] = case.action
    for name, _, _, want in FIELDS:
        name = name.replace('_STRUCT', '')
        if (want or name not in rows['aslr_fields']) and name != 'RAW':
            rows['aslr_fields'][name] = field_action(want)
    for name, _, *want in FEATURES:
        rows['aslr_features'][name] = feature_action(name, want and want[0])
    return rows


class Rows(unittest.TestCase):
    maxDiff = None
    """The tables have these rows, and no other"""

    def setUp(self):
        self.rows = aslr_tables.rows()
        if not self.rows:
            self.skipTest('without the sources')

    def test_rows(self):
        attr_fields = {name for name, _, _ in ATTR_FIELDS} | ALIASES.keys()
        wanted = held()
        for table, rows in wanted.items():
            got = {row.name: row.action for row in self.rows if row.table == table}
            self.assertEqual(got, rows, table)
        for row in self.rows:
            if row.table not in wanted and row.name.lower() not in attr_fields:
                self.fail(f'{row.table} {row.name}: no case holds it')

    def test_reasons(self):
        for row in self.rows:
            self.assertTrue(row.why, row)

    def test_man_page(self):
        page = os.path.join(aslr_tables.UTIL, '..', 'Documentation', 'perf-inject.txt')
        with open(page, encoding='utf-8') as file:
            text = file.read()
        if not any(aslr_tables.MAN_ROW.match(line) for line in text.split('\n')):
            self.skipTest('the man page has no lists')
        self.assertEqual(aslr_tables.check_man(self.rows, text), [])


# ---------------------------------------------------------------------- tests

class Crafted(unittest.TestCase):
    """Keeps a profile and what perf inject --aslr makes of it"""

    def setUp(self):
        self.dir = tempfile.TemporaryDirectory()
        self.orig, self.safe = (os.path.join(self.dir.name, name) for name in ('orig', 'safe'))
        self.spaces, self.said = Spaces(), ''

    def tearDown(self):
        self.dir.cleanup()

    def inject(self, gen, pipe=False):
        """Write the profile, inject, audit; returns both as PerfData"""
        gen.write(self.orig, pipe)
        if os.path.exists(self.safe):
            os.unlink(self.safe)
        done = subprocess.run([PERF, 'inject', '--aslr', '--no-unwind',
                               '-i', self.orig, '-o', self.safe],
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, check=False)
        self.said = done.stdout
        self.assertEqual(done.returncode, 0, self.said)
        finds, _, _ = audit(self.orig, self.safe)
        self.assertEqual([str(find) for find in finds], [])
        return PerfData(self.orig), PerfData(self.safe)

    def summary(self, blanked=(), dropped=()):
        """The line on stderr tells of these, and of nothing else"""
        def listed(counts):
            return ', '.join(f'{name} ({count})' for name, count in counts)
        wanted = []
        if blanked:
            wanted.append(f'blanked: {listed(blanked)}')
        if dropped:
            wanted.append(f'dropped: {listed(dropped)}')
        line = f'[ perf inject: {"; ".join(wanted)} ]\n' if wanted else ''
        said = [said for said in self.said.split('\n') if said.startswith('[')]
        self.assertEqual('\n'.join(said + ['']) if said else '', line)

    def function(self, orig, safe):
        self.assertEqual(Checker(orig, safe).check(), [])

    def same(self, what, orig, safe, before, after, want):
        """The fields of a record are what is wanted"""
        wrong = apply(split(orig, before), split(safe, after), want, self.spaces)
        self.assertEqual(wrong, [], f'{what} at {before.offset:#x}, {after.offset:#x}')


def by_kind(data):
    """{type: records in the order of the file}, as the order of types changes"""
    out = {}
    for rec in data.records:
        out.setdefault(rec.name, []).append(rec)
    return out


def profile(sample_type='IDENTIFIER IP TID TIME CPU', **fields):
    gen = PerfDataGen()
    attr = gen.attr('cycles', ids=[7], sample_id_all=1, read_format=0x17,
                    sample_type=sample_type, **fields)
    return gen, attr


def mappings(gen):
    """What the addresses above are mapped to"""
    for number, case in enumerate(RECORDS):
        if case.kind in ('MMAP', 'COMM'):
            case.add(gen, number)


class Records(Crafted):
    """Each record of its own type"""

    def check_records(self, gen, pipe, cases):
        orig, safe = self.inject(gen, pipe)
        before, after = by_kind(orig), by_kind(safe)
        kept = {}
        for case in cases:
            rec = before[case.kind].pop(0)
            if case.want != DROPPED:
                kept.setdefault(case.kind, []).append((case, rec))
        for kind, wanted in kept.items():
            got = after.pop(kind, [])
            self.assertEqual(len(got), len(wanted), kind)
            for (case, rec), new in zip(wanted, got):
                with self.subTest(kind=kind, pipe=pipe):
                    self.same(kind, orig, safe, rec, new, case.want)
        return orig, safe, after

    def dropped(self, cases, features=()):
        order = list(TYPE)
        names = [case.kind for case in cases if case.want == DROPPED and case is not EVENT_TYPE]
        return [(name, names.count(name))
                for name in sorted(set(names), key=order.index)] + [(name, 1) for name in features]

    def test_records(self):
        for pipe in False, True:
            gen, _ = profile()
            cases = list(RECORDS) + [EVENT_TYPE] * pipe
            for number, case in enumerate(cases):
                case.add(gen, number)
            orig, safe, more = self.check_records(gen, pipe, cases)
            self.assertEqual(more.keys() - {'HEADER_ATTR', 'HEADER_FEATURE'}, set())
            self.function(orig, safe)
            self.summary(dropped=self.dropped(cases))

    def test_read_alike(self):
        gen, attr = profile()
        mappings(gen)
        for number, case in enumerate(RECORDS):
            if case.kind in ('KSYMBOL', 'BPF_EVENT', 'CGROUP', 'NAMESPACES', 'LOST'):
                case.add(gen, number)
        for i in range(4):
            gen.sample(attr, ip=EXE + i, pid=PID, tid=PID, time=5000 + i)
        self.inject(gen)
        self.assertEqual(compare(PERF, self.orig, self.safe).diffs, [])

    def test_id_trailers(self):
        """Each combination of what records have at their end"""
        names = ('TID', 'TIME', 'ID', 'STREAM_ID', 'CPU', 'IDENTIFIER')
        cases = [Case(*case) for case in (
            ('LOST', {'id': 7, 'lost': BIG}),
            ('COMM', {'pid': PID, 'tid': PID, 'comm': 'prog'}),
            ('MMAP2', {'pid': PID, 'tid': PID, 'start': EXE, 'len': 0x1000, 'filename': '/a'},
             {'start': PROC}),
            ('NAMESPACES', {}), ('READ', {}), ('CGROUP', {'id': 1, 'path': '/a'}))]
        cases[3].payload = u32s(PID, PID) + u64s(7) + NS_LINKS
        cases[4].payload = u32s(PID, PID) + u64s(BIG, BIG, BIG, 7, BIG)
        for count in range(len(names) + 1):
            for chosen in combinations(names, count):
                with self.subTest(chosen=chosen):
                    self.spaces = Spaces()
                    gen, _ = profile(' '.join(('IP',) + chosen))
                    for number, case in enumerate(cases):
                        case.add(gen, number)
                    self.check_records(gen, False, cases)

    def test_no_trailers(self):
        gen = PerfDataGen()
        gen.attr('cycles', ids=[7], read_format=0x17, sample_type='IP TID TIME')
        for number, case in enumerate(RECORDS):
            case.add(gen, number)
        self.check_records(gen, False, RECORDS)

    def test_garbage(self):
        """What is behind the end of what a record says it has doesn't stay"""
        for case in RECORDS:
            if TYPE[case.kind] < USER_TYPES or case.want == DROPPED:
                continue
            with self.subTest(case.kind, payload=case.payload):
                gen, _ = profile()
                mappings(gen)
                case.add(gen, 1000)
                data = gen.records.pop() + GARBAGE
                gen.records.append(data[:6] + u16s(len(data)) + data[8:])
                self.inject(gen)

    def test_compressed(self):
        try:
            zstd = ctypes.CDLL('libzstd.so.1')
        except OSError:
            self.skipTest('no libzstd')
        for pipe in False, True:
            gen, attr = profile()
            mappings(gen)
            for i in range(4):
                gen.sample(attr, ip=LIB + 0x1000 * i, pid=PID, tid=PID, time=5000 + i)
            plain = b''.join(gen.records)
            zstd.ZSTD_compressBound.restype = zstd.ZSTD_compress.restype = ctypes.c_size_t
            room = ctypes.create_string_buffer(1 << 16)
            size = zstd.ZSTD_compress(room, ctypes.c_size_t(len(room)), plain,
                                      ctypes.c_size_t(len(plain)), 1)
            gen.records = []
            gen.record('COMPRESSED', room.raw[:size])
            gen.feature('COMPRESSED', u32s(1, 1, 1, 2, 1 << 20))
            orig, safe = self.inject(gen, pipe)
            kinds = {kind: len(recs) for kind, recs in by_kind(safe).items()}
            wanted = {kind: len(recs) for kind, recs in by_kind(orig).items()
                      if kind not in ('COMPRESSED', 'HEADER_FEATURE', 'HEADER_ATTR')}
            self.assertEqual({kind: kinds.get(kind) for kind in wanted}, wanted)
            self.assertNotIn('COMPRESSED', kinds)
            self.assertNotIn(FEATURE_ID['COMPRESSED'], [feat for feat, _, _ in safe.features])
            self.function(orig, safe)
            self.summary(dropped=[('header feature COMPRESSED', 1)])


class Fields(Crafted):
    """Each field of samples"""

    def test_fields(self):
        for pipe in False, True:
            self.spaces = Spaces()
            gen, _ = profile()
            mappings(gen)
            blanked = {}
            for number, (name, attr, values, want) in enumerate(FIELDS):
                field_sample(gen, number, name, attr, values)
                if field_action(want) == 'BLANK':
                    blanked[name] = blanked.get(name, 0) + 1
            orig, safe = self.inject(gen, pipe)
            before, after = by_kind(orig)['SAMPLE'], by_kind(safe)['SAMPLE']
            self.assertEqual(len(before), len(after))
            for rec, new, (name, attr, values, want) in zip(before, after, FIELDS):
                want = dict(want)
                if 'ip' not in want:
                    want['ip'] = PROC
                with self.subTest(name, attr=attr, values=values, pipe=pipe):
                    self.same_sample(name, (orig, rec), (safe, new), want)
            self.function(orig, safe)
            order = ['RAW', 'REGS_USER', 'STACK_USER', 'REGS_INTR', 'AUX']
            self.summary([(name, blanked[name]) for name in order])

    def same_sample(self, name, before, after, want):
        """Branches are several fields by the same name"""
        ends = want.pop('branch.from_to', None)
        (orig, rec), (safe, new) = before, after
        fields, got = split(orig, rec), split(safe, new)
        if ends:
            number = [f'branch.from_to{i}' for i in range(len(ends))]
            want.update(zip(number, ends))
            for list_of in fields, got:
                names = iter(number)
                list_of[:] = [(next(names) if field == 'branch.from_to' else field, data)
                              for field, data in list_of]
        self.assertEqual(apply(fields, got, want, self.spaces), [],
                         f'{name} at {rec.offset:#x}, {new.offset:#x}')

    def test_all_of_them(self):
        """A sample that has all fields"""
        sample_type = ' '.join(name for name in SAMPLE_BIT if name != 'WEIGHT')
        want = {'ip': PROC, 'addr': PROC, 'phys_addr': PHYSICAL, 'raw': ZERO,
                'callchain': CHAIN_WANT, **BRANCHES_WANT, **REGS_GONE, **IREGS_GONE,
                'stack.size': ZERO, 'stack': GONE, 'stack.dyn_size': GONE, 'aux.size': ZERO,
                'aux': GONE}
        for pipe in False, True:
            self.spaces = Spaces()
            gen, attr = profile(sample_type, branch_sample_type=8 | 1 << 17 | 1 << 19,
                                sample_regs_user=0x180, sample_regs_intr=0x181,
                                sample_stack_user=64, aux_sample_size=64)
            attr['read_format'] = 4
            mappings(gen)
            for i in range(6):
                gen.sample(attr, **{**EVERYTHING, 'pid': PID, 'tid': PID, 'time': 3000 + i,
                                    'counters': [1, 2, 3], 'phys_addr': PHYS + 0x800 * i,
                                    'values': [1 + i, 7]})
            orig, safe = self.inject(gen, pipe)
            before, after = by_kind(orig)['SAMPLE'], by_kind(safe)['SAMPLE']
            self.assertEqual(len(before), len(after))
            for rec, new in zip(before, after):
                self.same_sample('all', (orig, rec), (safe, new), dict(want))
            self.summary([(name, 6) for name in
                          ('RAW', 'REGS_USER', 'STACK_USER', 'REGS_INTR', 'AUX')])
        gen.write(self.orig)
        self.inject(gen)
        self.assertEqual(compare(PERF, self.orig, self.safe,
                                 ['uregs', 'iregs', 'trace']).diffs, [])
        self.assertEqual(self.phys_pages(self.orig), self.phys_pages(self.safe))

    def phys_pages(self, path):
        """Offsets in pages, and the number of pages, as perf mem report --phys-data has them"""
        done = subprocess.run([PERF, 'report', '--mem-mode', '--stdio', '-s', 'phys_daddr', '-g',
                               'none', '-i', path], stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, check=False)
        addrs = {int(addr, 16) for addr in re.findall(r'0x([0-9a-f]{16})', done.stdout)}
        self.assertEqual(len(addrs), 6, done.stderr)
        return sorted(addr & 0xfff for addr in addrs), len({addr >> 12 for addr in addrs})


class Attributes(Crafted):
    """Attributes of events, and their names"""

    def craft(self):
        gen, _ = profile()
        mappings(gen)
        for number, (name, attr, _) in enumerate(ATTRS):
            gen.attr(name, ids=[100 + number], sample_id_all=1, inherit=1, mmap=1, freq=1,
                     **{**COMMON, **attr, 'sample_type': BASE})
        gen.feature('PMU_MAPPINGS', gen.pmu_mappings(PMUS))
        gen.feature('EVENT_DESC', gen.event_desc())
        gen.feature('CMDLINE', gen.strings(['perf', 'record'] + [name for name, _, _ in ATTRS]))
        return gen

    def names(self, data):
        """Those in EVENT_DESC and in CMDLINE"""
        texts = {'EVENT_DESC': [], 'CMDLINE': []}
        for number, offset, size in data.features:
            kind = next(name for name, feat in FEATURE_ID.items() if feat == number)
            if kind not in texts:
                continue
            fields = aslr_fields(data, number, offset, size)
            texts[kind] = [text.split(b'\0')[0].decode() for name, text in fields
                           if name.endswith('.name') or name.startswith('CMDLINE[') and
                           name.endswith(']')]
        return texts['EVENT_DESC'], texts['CMDLINE'][2:]

    def test_attributes(self):
        for pipe in False, True:
            self.spaces = Spaces()
            orig, safe = self.inject(self.craft(), pipe)
            self.assertEqual(len(safe.attrs), len(orig.attrs))
            descs = []
            for number, offset, size in safe.features:
                if number == FEATURE_ID['EVENT_DESC']:
                    descs = [(name.split('].')[1], data) for name, data in
                             aslr_fields(safe, number, offset, size) if '].' in name]
            described = iter([data for name, data in descs if name in ATTR_NAMES])
            names, cmdline = self.names(safe)
            for i, (old, new) in enumerate(zip(orig.attrs, safe.attrs)):
                name, _, want = ATTRS[i - 1] if i else ('cycles', {}, {})
                want = {**want, **({'sig_data': ZERO} if i else {})}
                if pipe and old.type > TYPE_BREAKPOINT:     # whose name comes too late
                    want.update(dict.fromkeys(('config1', 'config2', 'config3'), ZERO))
                wanted = name
                for field, _, fmt in ATTR_FIELDS:
                    before, after = getattr(old, field), getattr(new, field)
                    action = want.get(field)
                    why = None
                    if action == ZERO:
                        why = after and 'must be 0'
                    elif action:
                        why = self.spaces.check(action, before, after)
                        wanted = wanted.replace(f'{before:#x}', f'{after:#x}')
                    elif after != before:
                        why = 'must stay'
                    self.assertFalse(why, f'{name} {field}: got {after:#x} for {before:#x}')
                    there = int.from_bytes(next(described), 'little')
                    mask = (1 << 8 * struct.calcsize(fmt)) - 1
                    self.assertEqual(there, after & mask, f'{name} {field} in EVENT_DESC')
                self.assertEqual(new.ids, old.ids)
                self.assertEqual(names[i], wanted)
                if i:
                    self.assertEqual(cmdline[i - 1].lstrip('0') if pipe else cmdline[i - 1],
                                     wanted)

    def test_event_update(self):
        """Names in a pipe come as records of their own, too"""
        gen = self.craft()
        for number, (name, _, _) in enumerate(ATTRS):
            gen.record('EVENT_UPDATE', u64s(2, 100 + number) + padded(name))
        _, safe = self.inject(gen, True)
        got = [split(safe, rec)[2][1].split(b'\0')[0].decode()
               for rec in by_kind(safe)['EVENT_UPDATE']]
        new = {attr.ids[0]: attr for attr in safe.attrs}
        for number, (name, attr, want) in enumerate(ATTRS):
            for field, action in want.items():
                if action != ZERO:
                    name = name.replace(f'{attr[field]:#x}',
                                        f'{getattr(new[100 + number], field):#x}')
            self.assertEqual(got[number], name)


ATTR_NAMES = {name for name, _, _ in ATTR_FIELDS}


def aslr_fields(data, number, offset, size):
    """[(name, bytes)] of a feature"""
    from perf_data_fields import feature_fields
    return [(name, bytes(data.buf[start:start + length])) for name, start, length, _ in
            feature_fields(number, data.buf, offset, size, data.endian, data.pmu_names)]


class Features(Crafted):
    """Each section of the header"""

    def sections(self, data):
        return {number: bytes(data.buf[offset:offset + size])
                for number, offset, size in data.features}

    def test_features(self):
        for pipe in False, True:
            gen, attr = profile()
            mappings(gen)
            gen.sample(attr, ip=EXE, pid=PID, tid=PID, time=5000)
            dropped = []
            for name, content, *want in FEATURES:
                # Flags have no section; in a pipe, build-ids and trace data aren't features
                if pipe and (not content or name in ('BUILD_ID', 'AUXTRACE', 'DIR_FORMAT')):
                    continue
                if not want and name != 'BUILD_ID':
                    content += GARBAGE
                gen.feature(name, content)
                dropped += [name] * (want == [DROPPED])
            orig, safe = self.inject(gen, pipe)
            before, after = self.sections(orig), self.sections(safe)
            for name, content, *want in FEATURES:
                number = FEATURE_ID[name]
                if number not in before:
                    continue
                with self.subTest(name, pipe=pipe):
                    if want == [DROPPED]:
                        self.assertNotIn(number, after)
                        continue
                    self.assertIn(number, after)
                    wanted = want[0] if want else content
                    if wanted == KERN:
                        self.check_bpf(orig, safe)
                    else:
                        got = re.sub(rb'0xe000[0-9a-f]{9}', b'0xNEW', after[number])
                        self.assertEqual(got[:len(wanted)], wanted)
                        self.assertFalse(got[len(wanted):].strip(b'\0'))
            self.summary(dropped=[(f'header feature {name}', 1) for name in dropped])

    def check_bpf(self, orig, safe):
        """Where code is was rewritten, the code is gone"""
        infos = []
        for data in orig, safe:
            number = FEATURE_ID['BPF_PROG_INFO']
            offset, size = next((offset, size) for feat, offset, size in data.features
                                if feat == number)
            infos.append(dict(aslr_fields(data, number, offset, size)))
        for name in 'jited_ksyms', 'jited_line_info':
            old, new = (struct.unpack('<Q', info[f'bpf[0].{name}'])[0] for info in infos)
            self.assertIsNone(self.spaces.check(KERN, old, new))
        self.assertFalse(infos[1].get('bpf[0].jited_insns', b'').strip(b'\0'))

    def test_old_topology(self):
        """Without what later versions have at its end, and with padding there"""
        for content in (strings('0-1') + strings('0', '1'),
                        strings('0-1') + strings('0', '1') + u32s(0, 0, 1, 0)):
            gen, attr = profile()
            gen.sample(attr, ip=EXE, pid=PID, tid=PID, time=5000)
            gen.feature('NRCPUS', u32s(2, 2))
            gen.feature('CPU_TOPOLOGY', content)
            _, safe = self.inject(gen)
            self.assertEqual(self.sections(safe)[FEATURE_ID['CPU_TOPOLOGY']], content)

    def test_gaps(self):
        """What is in no section, or in one that isn't read"""
        gen, attr = profile()
        mappings(gen)
        gen.sample(attr, ip=EXE, pid=PID, tid=PID, time=5000)
        gen.feature('HOSTNAME', string('host'))
        buf = bytearray(gen.file_bytes())
        struct.pack_into('<QQ', buf, 56, len(buf), len(GARBAGE))       # event_types
        table = sum(struct.unpack_from('<QQ', buf, 40))
        start, size = struct.unpack_from('<QQ', buf, table)
        struct.pack_into('<Q', buf, table, len(buf) + len(GARBAGE))
        section = buf[start:start + size]
        buf[start:start + size] = (GARBAGE * size)[:size]
        buf += GARBAGE + section + GARBAGE
        gen.file_bytes = lambda: bytes(buf)
        _, safe = self.inject(gen)
        self.assertEqual(self.sections(safe)[FEATURE_ID['HOSTNAME']], string('host'))

    def test_unknown(self):
        """A feature that nobody knows is dropped, and named"""
        gen, attr = profile()
        mappings(gen)
        gen.sample(attr, ip=EXE, pid=PID, tid=PID, time=5000)
        gen.features[40] = GARBAGE
        for pipe in False, True:
            _, safe = self.inject(gen, pipe)
            self.assertNotIn(40, self.sections(safe))
            self.assertIn('unknown header feature (40)', self.said)


if __name__ == '__main__':
    unittest.main()
