# SPDX-License-Identifier: GPL-2.0
"""Is the way from the addresses of ORIG to those of SAFE a function?

    aslr_function.py [--max N] ORIG SAFE

Pairs the samples and mappings of both files and goes through them in the order
of time.  For every address space, that is the kernel of the machine, the user
space of each process, and the same of guests, it checks:

    - inside a mapping, every address moves by as much as the mapping did;
    - the same in a child for what it has from its parent, which may be elsewhere;
    - outside of all mappings, pages map one to one, for as long as nothing new is
      mapped there and the process does not exec;
    - no two mappings that live at the same time overlap in SAFE; neighbours (with
      less than a page between them) stay as far apart as they were, one of two that
      were not neighbours of each other is enough; all others have at least a page
      between them; no stray page is inside a mapping;
    - the page offset stays, zero stays zero and nothing else becomes zero;
    - user addresses stay below 2^63 and kernel addresses at or above it; what was
      below 4 GiB in a 32-bit machine or task stays below 4 GiB;
    - everything that is no address (time, period, pid, cpu, ids ...) is unchanged.

A register set, user stack, AUX sample or raw payload may be blanked; a call chain
may get longer (a stack that was unwound).  A payload's 8-byte members may stay as
they are.  Samples are paired by time, pid, tid, cpu and id; those that have all of
these in common, by their order.

Old kernels' map of themselves, from 0 or with a length over 1 TiB, is no mapping
here: nothing can keep its neighbours apart.
"""
import argparse
import struct
import sys
from bisect import bisect_right, insort
from collections import defaultdict

from perf_data import (ADDRESS, CHAIN, CONTEXT_MAX, CPUMODE_GUEST_KERNEL, CPUMODE_KERNEL,
                       CPUMODE_MASK, FEATURE_ID, KEPT, TYPE, WORDS, Damaged, PerfData)

PAGE, GIB4, HALF, TIB = 1 << 12, 1 << 32, 1 << 63, 1 << 40
# PERF_CONTEXT_* markers: the cpumode of what follows
MARKERS = {(1 << 64) - number: mode for number, mode in
           ((128, 1), (512, 2), (2048, 5), (2176, 4), (2560, 5))}
BLANKED = ('regs_user.abi', 'regs_intr.abi', 'stack.size', 'stack.dyn_size', 'aux.size',
           'raw.size', 'callchain.nr', 'header')
COMM_EXEC = FORK_EXEC = 1 << 13
KSYMBOL_UNREGISTER = 1
GUEST = {CPUMODE_GUEST_KERNEL: CPUMODE_KERNEL, 5: 2}
KERNELS = {CPUMODE_KERNEL: 'kernel', CPUMODE_GUEST_KERNEL: 'guest kernel'}


class Space:
    """One address space: its live mappings, and the pages outside of them"""

    def __init__(self):
        self.starts = []                # sorted
        self.ranges = {}                # start: (end, new start or None, has neighbours)
        self.pages = {}                 # old page: new page
        self.reverse = {}

    def find(self, addr):
        """(start, end, new start) of the mapping with addr in it, or None"""
        i = bisect_right(self.starts, addr) - 1
        if i >= 0 and addr < self.ranges[self.starts[i]][0]:
            return self.starts[i], *self.ranges[self.starts[i]][:2]
        return None

    def inherit(self, parent):
        """A fork: the same mappings; where they are now is told by the first address in them"""
        self.starts = list(parent.starts)
        self.ranges = {start: (end, None, False) for start, (end, _, _) in parent.ranges.items()}

    def cut(self, start, end):
        """Something new is mapped there: forget what was"""
        i = max(bisect_right(self.starts, start) - 1, 0)
        hit = []
        while i < len(self.starts) and self.starts[i] < end:
            if self.ranges[self.starts[i]][0] > start:
                hit.append(self.starts[i])
            i += 1
        for old in hit:
            old_end, new, near = self.ranges.pop(old)
            self.starts.remove(old)
            if old < start:
                self.put(old, start, new, near)
            if end < old_end:
                self.put(end, old_end, None if new is None else new + end - old, near)
        inside = range(start // PAGE, (end + PAGE - 1) // PAGE) if end - start < TIB else ()
        gone = [page for page in self.pages if page in inside] if self.pages else ()
        for page in gone:
            self.reverse.pop(self.pages.pop(page), None)

    def put(self, start, end, new, near):
        insort(self.starts, start)
        self.ranges[start] = end, new, near


class Checker:
    """Goes through both files and notes what is wrong"""

    def __init__(self, orig, safe):
        self.orig, self.safe = orig, safe
        self.spaces = defaultdict(Space)
        self.violations, self.addresses = [], 0
        self.label = ''
        arch = b''.join(bytes(orig.buf[offset + 4:offset + size]) for number, offset, size
                        in orig.features if number == FEATURE_ID['ARCH']).rstrip(b'\0')
        self.narrow = arch.startswith((b'i386', b'i486', b'i586', b'i686', b'arm')) \
            and not arch.startswith(b'arm64')
        self.floor, self.wide_tasks = self.survey()

    def survey(self):
        """(where the kernel begins, pids that have mappings from 4 GiB on)"""
        kernel, wide = [], set()
        for rec in self.orig.records:
            if rec.type in (TYPE['MMAP'], TYPE['MMAP2']):
                pid, _, start, size = struct.unpack_from(self.orig.endian + 'IIQQ',
                                                         rec.stream.buf, rec.offset + 8)
                if rec.misc & CPUMODE_MASK == CPUMODE_KERNEL and start >= 1 << 16:
                    kernel.append(start)
                elif start + size > GIB4:
                    wide.add(pid)
        return (min(kernel) if self.narrow and kernel else HALF), wide

    def wrong(self, what):
        self.violations.append(f'{self.label}: {what}')

    def space(self, addr, mode, pid):
        """By the value, as a user's pointer may be a kernel address and the other way round"""
        guest = mode in GUEST
        if addr >= self.floor:
            return self.spaces['guest kernel' if guest else 'kernel']
        return self.spaces['guest' if guest else 'user', pid]

    # ------------------------------------------------------------- addresses

    def address(self, name, old, new, mode, pid, space=None):
        self.addresses += 1
        if old == 0 or new == 0:
            if old != new:
                self.wrong(f'{name} {old:#x} became {new:#x}')
            return
        if old % PAGE != new % PAGE:
            self.wrong(f'{name} {old:#x} became {new:#x}: another page offset')
        if space is None:
            self.half(name, old, new, pid)
            space = self.space(old, mode, pid)
        mapping = space.find(old)
        if mapping:
            start, end, new_start = mapping
            if new_start is None:
                space.ranges[start] = end, new - (old - start), False
            elif new - new_start != old - start:
                self.wrong(f'{name} {old:#x} became {new:#x}, but the mapping at {start:#x} '
                           f'is at {new_start:#x} now')
            return
        page, to = old // PAGE, new // PAGE
        if space.pages.setdefault(page, to) != to:
            self.wrong(f'{name} {old:#x} became {new:#x}, before its page became '
                       f'{space.pages[page] * PAGE:#x}')
        if space.reverse.setdefault(to, page) != page:
            self.wrong(f'{name} {old:#x} became {new:#x}, as did the page '
                       f'{space.reverse[to] * PAGE:#x}')

    def half(self, name, old, new, pid):
        if (old >= HALF) != (new >= HALF):
            self.wrong(f'{name} {old:#x} became {new:#x}: user and kernel changed')
        task32 = self.narrow or pid not in self.wide_tasks and ('user', pid) in self.spaces
        if task32 and old < GIB4 <= new:
            self.wrong(f'{name} {old:#x} became {new:#x}: no 32-bit address')

    # -------------------------------------------------------------- mappings

    def map(self, space, start, end, new, near=True):
        """A new mapping replaces what was there; near: look at its neighbours"""
        space.cut(start, end)
        # Between two that are where they are it may be that only one can be touched.
        touched, missed = False, None
        for other in space.starts:
            other_end, other_new, other_near = space.ranges[other]
            if other_new is None:
                continue
            gap = start - other_end if other < start else other - end
            new_gap = new - (other_new + other_end - other) if other_new <= new else \
                other_new - (new + end - start)
            after = (other < start) == (other_new <= new)
            if new_gap < 0:
                self.wrong(f'mapping {start:#x} is at {new:#x} now, and overlaps {other:#x} '
                           f'at {other_new:#x}')
            elif near and other_near and gap < PAGE and new_gap == gap and after:
                touched = True
            elif near and other_near and (gap < PAGE or new_gap < PAGE):
                missed = (f'mapping {start:#x} is {gap:#x} away from {other:#x}, '
                          f'now {new_gap:#x}')
                if gap >= PAGE:
                    self.wrong(missed)
                    missed = None
        if missed and not touched:
            self.wrong(missed)
        first, last = new // PAGE, (new + end - start - 1) // PAGE
        if near and last - first < GIB4 and len(space.reverse) < last - first:
            stray = [page for page in space.reverse if first <= page <= last]
        else:
            stray = [page for page in range(first, last + 1) if page in space.reverse] if near \
                else []
        if stray:
            self.wrong(f'mapping {start:#x} is at {new:#x} now, over the page '
                       f'{space.reverse[stray[0]] * PAGE:#x} outside of all mappings')
        space.put(start, end, new, near)

    def mmap(self, rec, other):
        old, new = self.orig.values(rec), self.safe.values(other)
        for name in old:
            if name not in ('start', 'pgoff', 'header') and old[name] != new.get(name):
                self.wrong(f'{name} changed')
        start, size = old['start'], old['len']
        if start < 1 << 16 or size > TIB or size == 0:
            return
        mode, pid = rec.misc & CPUMODE_MASK, old['pid']
        if (start >= HALF) != (new['start'] >= HALF):
            self.wrong(f'start {start:#x} became {new["start"]:#x}: user and kernel changed')
        if start % PAGE != new['start'] % PAGE:
            self.wrong(f'start {start:#x} became {new["start"]:#x}: another page offset')
        self.map(self.space(start, mode, pid), start, start + size, new['start'])
        if pid not in self.wide_tasks and new['start'] + size > GIB4 and start < self.floor:
            self.wrong(f'start {start:#x} became {new["start"]:#x}: no 32-bit address')
        if mode in (CPUMODE_KERNEL, CPUMODE_GUEST_KERNEL) and old['pgoff']:
            self.address('pgoff', old['pgoff'], new['pgoff'], mode, pid)

    def ksymbol(self, rec, other):
        old, new = self.orig.values(rec), self.safe.values(other)
        space = self.spaces['kernel']
        self.address('addr', old['addr'], new['addr'], CPUMODE_KERNEL, -1)
        if old['flags'] & KSYMBOL_UNREGISTER:
            space.cut(old['addr'], old['addr'] + old['len'])
        elif old['len'] and not space.find(old['addr']):
            self.map(space, old['addr'], old['addr'] + old['len'], new['addr'], near=False)

    # --------------------------------------------------------------- samples

    def sample(self, rec, other):
        mode, pid = rec.misc & CPUMODE_MASK, self.pid_of(self.orig, rec)
        new_fields = defaultdict(list)
        for name, offset, size, _ in self.safe.fields(other):
            new_fields[name].append((offset, size))
        if rec.misc != other.misc:
            self.wrong(f'misc {rec.misc:#x} became {other.misc:#x}')
        for name, offset, size, kind in self.orig.fields(rec):
            match = new_fields[name].pop(0) if new_fields[name] else None
            if match is None:
                if kind == KEPT and name not in BLANKED and not name.startswith('raw') or \
                        kind in (ADDRESS, CHAIN):
                    self.wrong(f'{name} is gone')
                continue
            old = bytes(rec.stream.buf[offset:offset + size])
            new = bytes(other.stream.buf[match[0]:match[0] + match[1]])
            if kind == KEPT:
                if old != new and name not in BLANKED:
                    self.wrong(f'{name} changed from {old.hex()} to {new.hex()}')
            elif kind in (ADDRESS, CHAIN) or kind == WORDS and name.startswith('raw.'):
                self.words(name, kind, old, new, mode, pid)

    def words(self, name, kind, old, new, mode, pid):
        if len(new) < len(old):
            self.wrong(f'{name}: {len(old) // 8} entries became {len(new) // 8}')
            return
        before = struct.unpack(f'{self.orig.endian}{len(old) // 8}Q', old)
        after = struct.unpack_from(f'{self.safe.endian}{len(old) // 8}Q', new)
        marked = None
        for a, b in zip(before, after):
            if a >= CONTEXT_MAX:
                marked = MARKERS.get(a)
                mode = MARKERS.get(a, mode)
                # What is none of them is nonsense, and may become other nonsense.
                if a != b and (a in MARKERS or b in MARKERS or b < CONTEXT_MAX):
                    self.wrong(f'{name}: marker {a:#x} became {b:#x}')
            elif kind == WORDS and a == b:
                continue
            elif name == 'phys_addr':
                self.address(name, a, b, mode, pid, self.spaces['physical'])
            elif marked in KERNELS and a < self.floor:
                # By the marker, though nonsense may be one: what is behind it is as well.
                self.address(name, a, b, mode, pid, self.spaces[KERNELS[marked]])
            else:
                self.address(name, a, b, mode, pid)

    # ----------------------------------------------------------------- order

    @staticmethod
    def pid_of(data, rec):
        for name, offset, _, _ in data.fields(rec):
            if name == 'pid_tid':
                return struct.unpack_from(data.endian + 'I', rec.stream.buf, offset)[0]
        return 0

    @staticmethod
    def key(data, rec):
        """What a record is known by in both files"""
        wanted = ('time', 'pid_tid', 'cpu', 'id', 'identifier') if rec.type == TYPE['SAMPLE'] \
            else ('id.time', 'pid', 'tid', 'len', 'filename', 'name')
        found = data.values(rec)
        return tuple(found.get(name, 0) for name in wanted)

    def pair(self, types):
        """{record of ORIG: record of SAFE}"""
        lists = []
        for data in (self.orig, self.safe):
            keyed = [(self.key(data, rec), rec) for rec in data.records if rec.type in types]
            lists.append(sorted(keyed, key=lambda entry: entry[0]))
        if len(lists[0]) != len(lists[1]):
            self.wrong(f'{len(lists[0])} records became {len(lists[1])}')
        pairs = {}
        for (key, rec), (other_key, other) in zip(*lists):
            if key != other_key:
                self.wrong(f'{rec.name} #{rec.index} {key} has no partner, the next is {other_key}')
                break
            pairs[rec] = other
        return pairs

    def timeline(self):
        """All records of ORIG that matter, by time; those without one stay where they are"""
        wanted = {TYPE[name] for name in 'SAMPLE MMAP MMAP2 KSYMBOL COMM FORK EXIT'.split()}
        events, now = [], 0
        for rec in self.orig.records:
            if rec.type in wanted:
                # Tasks come and go with a time of their own: the last one is that of the record.
                times = [struct.unpack_from(self.orig.endian + 'Q', rec.stream.buf, offset)[0]
                         for name, offset, _, _ in self.orig.fields(rec)
                         if name in ('time', 'id.time')]
                time = times[-1] if times else 0
                now = max(now, time)
                events.append((time or now, rec))
        return [rec for _, rec in sorted(events, key=lambda event: event[0])]

    def check(self):
        pairs = {}
        for types in (('SAMPLE',), ('MMAP', 'MMAP2'), ('KSYMBOL',)):
            self.label = '/'.join(types)
            pairs.update(self.pair({TYPE[name] for name in types}))
        steps = {'SAMPLE': self.sample, 'MMAP': self.mmap, 'MMAP2': self.mmap,
                 'KSYMBOL': self.ksymbol}
        for rec in self.timeline():
            self.label = f'{rec.name} #{rec.index}'
            if rec.name in steps and rec in pairs:
                steps[rec.name](rec, pairs[rec])
            elif rec.name == 'COMM' and rec.misc & COMM_EXEC or rec.name == 'FORK':
                self.new_process(rec)
            elif rec.name == 'EXIT':
                self.exit(rec)
        return self.violations

    def exit(self, rec):
        """What comes of a process afterwards is looked up without its mappings"""
        values = self.orig.values(rec)
        if values['pid'] == values['tid']:
            self.spaces.pop(('user', values['pid']), None)

    def new_process(self, rec):
        values = self.orig.values(rec)
        if rec.name == 'FORK' and values['pid'] == values['ppid']:
            return                      # a thread
        self.spaces.pop(('user', values['pid']), None)
        if values.get('ppid') in self.wide_tasks:
            self.wide_tasks.add(values['pid'])
        parent = self.spaces.get(('user', values.get('ppid')))
        if rec.name == 'FORK' and not rec.misc & FORK_EXEC and parent:
            self.spaces['user', values['pid']].inherit(parent)


def main():
    parser = argparse.ArgumentParser(description='Check the mapping from ORIG to SAFE.')
    parser.add_argument('--max', type=int, default=20, help='print that many violations at most')
    parser.add_argument('orig')
    parser.add_argument('safe')
    args = parser.parse_args()
    try:
        checker = Checker(PerfData(args.orig), PerfData(args.safe))
        violations = checker.check()
    except (Damaged, OSError) as error:
        print(f'function: {error}', file=sys.stderr)
        return 2
    for violation in violations[:args.max]:
        print(violation)
    if len(violations) > args.max:
        print(f'... and {len(violations) - args.max} more')
    print(f'function: {checker.addresses} addresses, {len(violations)} violations')
    return 1 if violations else 0


if __name__ == '__main__':
    sys.exit(main())
