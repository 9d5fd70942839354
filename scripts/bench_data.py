#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Makes the inputs of the benchmark, which needs no hardware: larger ones of a recording,
and those that ask the most of address spaces.

    bench_data.py scale IN OUT BYTES            the records of IN over and over, at later times
    bench_data.py forks OUT PROCESSES MAPPINGS  each forks, maps, is sampled and exits
    bench_data.py stays OUT PROCESSES MAPPINGS  the same records of processes that stay, eight
    bench_data.py jit OUT MAPPINGS LOOKUPS      a process that maps so much
    bench_data.py pages OUT PAGES               as many pages in no mapping
"""
import array
import os
import random
import struct
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..',
                                'tools/perf/tests/shell/lib'))
from perf_data import SAMPLE_HEAD, TYPE, USER_TYPES, PerfData    # noqa: E402
from perf_data_gen import PerfDataGen                            # noqa: E402

DATA_SECTION = 40               # of the header: where the records are, and how many bytes
PAGE = 0x1000
TASK = 1000                     # the first pid
CHAIN = 20                      # addresses of a sample
ROUND = 500                     # records between two FINISHED_ROUND
USER_CONTEXT = -512 & (1 << 64) - 1


def time_offset(data, rec):
    """Where the time of a record is, None if it has none"""
    attr = data.attr_of(rec)
    if not attr:
        return None
    if rec.type == TYPE['SAMPLE']:
        names = [name for name, _ in attr.head]
        return rec.offset + 8 + 8 * names.index('time') if 'time' in names else None
    if 'time' not in attr.trailer:
        return None
    return rec.offset + rec.size - 8 * (len(attr.trailer) - attr.trailer.index('time'))


def scale(source, out, size):
    """The file source with its records repeated until it has size bytes"""
    data = PerfData(source)
    buf = data.buf
    start, length = struct.unpack_from('<QQ', buf, DATA_SECTION)
    # Those of perf's own come once, but for the ends of rounds.
    again, times, pos = bytearray(), [], 0
    for rec in data.records:
        if rec.type >= USER_TYPES and rec.name != 'FINISHED_ROUND':
            continue
        at = time_offset(data, rec)
        if at is not None:
            time, = struct.unpack_from('<Q', buf, at)
            if time and time != (1 << 64) - 1:
                times.append((pos + at - rec.offset, time))
        elif rec.type < USER_TYPES:
            continue
        again += buf[rec.offset:rec.offset + rec.size]
        pos += rec.size
    first, last = min(t for _, t in times), max(t for _, t in times)
    pack = struct.Struct('<Q').pack_into
    new_length = length
    with open(out, 'wb') as file:
        file.write(buf[:start + length])
        for n in range(1, 1 + max(0, size - len(buf)) // len(again)):
            shift = n * (last - first + 1000)
            for at, time in times:
                pack(again, at, time + shift)
            file.write(again)
            new_length += len(again)
        # The table of the features, and they, are behind the records.
        table = len(data.features) * 16
        rest = bytearray(buf[start + length:])
        for at in range(0, table, 16):
            offset, = struct.unpack_from('<Q', rest, at)
            pack(rest, at, offset + new_length - length)
        file.write(rest)
        file.seek(DATA_SECTION + 8)
        file.write(struct.pack('<Q', new_length))


class Writer:
    """A profile of one event, with call chains, that is written as it is made"""

    def __init__(self, out):
        self.gen = PerfDataGen()
        self.attr = self.gen.attr(type=1, config=0, ids=[1], sample_id_all=1, mmap=1, mmap2=1,
                                  comm=1, task=1, name='cpu-clock',
                                  sample_type='IP TID TIME CALLCHAIN IDENTIFIER')
        head = self.gen.file_bytes()
        self.file = open(out, 'wb')
        self.file.write(head)
        self.start = len(head)
        self.parts = []
        self.time = 1
        self.round = 0

    def add(self, data):
        self.parts.append(bytes(data))
        self.round += 1
        if self.round >= ROUND:
            self.end_round()

    def end_round(self):
        self.parts.append(struct.pack('<IHH', TYPE['FINISHED_ROUND'], 0, 8))
        self.file.write(b''.join(self.parts))
        self.parts, self.round = [], 0

    def close(self):
        self.end_round()
        size = self.file.tell() - self.start
        self.file.seek(DATA_SECTION + 8)
        self.file.write(struct.pack('<Q', size))
        self.file.close()

    def now(self):
        self.time += 1
        return self.time

    def id(self, pid):
        return {'pid': pid, 'tid': pid, 'time': self.now(), 'identifier': 1}

    def made(self):
        """What was made last, to be added by who asked for it"""
        data = self.gen.records[-1]
        self.gen.records = []
        return data

    def mmap2(self, pid, start, length):
        self.gen.mmap2(pid=pid, tid=pid, start=start, len=length, filename='/usr/lib/libbench.so',
                       sample_id=self.id(pid))
        return self.made()

    def task(self, kind, pid, ppid):
        self.gen.event(kind, misc=0, pid=pid, tid=pid, ppid=ppid, ptid=ppid, time=self.time,
                       sample_id=self.id(pid))
        return self.made()

    def comm(self, pid):
        self.gen.comm(pid=pid, tid=pid, comm='bench', sample_id=self.id(pid))
        return self.made()

    def sample(self, pid, addrs):
        """addrs: an array, of which the first is the ip, too"""
        head = struct.pack('<IHHQQIIQQQ', TYPE['SAMPLE'], 2, 8 * (7 + len(addrs)), 1, addrs[0],
                           pid, pid, self.now(), 1 + len(addrs), USER_CONTEXT)
        return head + addrs.tobytes()


def mapping(number):
    """Where a mapping is: none touches another"""
    return 0x7f0000000000 + number * 4 * PAGE


def chain(rng, mappings):
    return array.array('Q', [mapping(rng.randrange(mappings)) + rng.randrange(2 * PAGE)
                             for _ in range(CHAIN)])


def processes(out, number, mappings, living):
    """Each process: 2 + mappings records, 10 samples and an exit"""
    writer, rng = Writer(out), random.Random(1)
    chains = [chain(rng, mappings) for _ in range(200)]
    # The same for each but for the pid and the times: in words, patched with strides.
    pid_tid = struct.Struct('<II')
    made = [writer.task('FORK', TASK, 1), writer.comm(TASK)]
    made += [writer.mmap2(TASK, mapping(i), 2 * PAGE) for i in range(mappings)]
    offsets, pos = [], 0
    for data in made:
        offsets.append((pos, len(data)))
        pos += len(data)
    block = bytearray(b''.join(made))
    for i in range(number):
        pid = TASK + 1 + (i % living if living else i % 4000000)
        for at, size in offsets:
            # pid first in the record, then in its trailer: TID, TIME, IDENTIFIER
            pid_tid.pack_into(block, at + 8, pid, pid)
            pid_tid.pack_into(block, at + size - 24, pid, pid)
            struct.pack_into('<Q', block, at + size - 16, writer.now())
        # fork: pid, ppid, tid, ptid, time
        if living and i >= living:
            # These live on: their mappings are told of again.
            writer.add(block[offsets[1][0]:])
        else:
            struct.pack_into('<IIII', block, 8, pid, 1, pid, 1)
            writer.add(block)
        for j in range(10):
            writer.add(writer.sample(pid, chains[(i * 10 + j) % len(chains)]))
        if not living:
            writer.add(writer.task('EXIT', pid, 1))
    writer.close()


def jit(out, mappings, lookups):
    writer, rng = Writer(out), random.Random(1)
    writer.add(writer.task('FORK', TASK, 1))
    writer.add(writer.comm(TASK))
    for i in range(mappings):
        writer.add(writer.mmap2(TASK, mapping(i), 2 * PAGE))
    for _ in range(lookups // CHAIN):
        writer.add(writer.sample(TASK, chain(rng, mappings)))
    writer.close()


def pages(out, number):
    writer, rng = Writer(out), random.Random(1)
    order = list(range(number))
    rng.shuffle(order)
    writer.add(writer.task('FORK', TASK, 1))
    writer.add(writer.comm(TASK))
    for i in range(0, number, CHAIN):
        writer.add(writer.sample(TASK, array.array('Q', [
            0x550000000000 + n * 16 * PAGE + 8 for n in order[i:i + CHAIN]])))
    writer.close()


def main(kind, *args):
    if kind == 'scale':
        scale(args[0], args[1], int(args[2]))
    elif kind in ('forks', 'stays'):
        processes(args[0], int(args[1]), int(args[2]), 8 if kind == 'stays' else 0)
    elif kind == 'jit':
        jit(args[0], int(args[1]), int(args[2]))
    elif kind == 'pages':
        pages(args[0], int(args[1]))
    else:
        sys.exit(__doc__)


if __name__ == '__main__':
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
