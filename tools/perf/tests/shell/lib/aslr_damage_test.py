# SPDX-License-Identifier: GPL-2.0
"""perf inject --aslr on damaged profiles.

    PERF=/path/to/perf aslr_damage_test.py [--all] [FILE...]

Whatever is wrong with a profile, there is either a whole output without an address
of the input, or no output, one line that names the file and an offset in it, and an
exit status that isn't 0.  Each header field, record header, word of a record or of a
header section of a small profile is set to what hurts most, one at a time, and the
profile is cut at many places, as a file and as a pipe.  Without --all it is every
so many of these, and always the same ones.  FILEs are profiles to damage besides.
"""
import argparse
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile

from aslr_audit import audit, collect, search
from aslr_lib_test import ORIG, craft
from perf_data import TYPE, Damaged, PerfData, Stream

PERF = os.environ.get('PERF') or shutil.which('perf')
SECONDS = 30
EVERY = 101                             # of the cases that there are with --all

# A warning: what is dropped or missing, while the rest is read on
WARNING = re.compile(r'^\[ perf inject: |^record type \d+ is not known|^more record types |'
                     r'not known to this perf, dropped|^WARNING: |Please update perf tool|^Warning:$|^Was the .perf record|'
                     r'samples with id not present in the header$|^$|'
                     r'trace errors$|^Failed to process auxtrace index$|AUX errors$|out of order events recorded|cut off in an event at 0x[0-9a-f]+, read up to')
# No round numbers, which could be found where a part of another one is
U64S = (0, 1, 8, (1 << 31) - 1, 0x123456789, 0x4123456789abcde8, 0x8123456789abcde8,
        (1 << 64) - 8, (1 << 64) - 1)
U32S = (0, 1, 0x7fffffff, 0x87654321, 0xffffffff)
# What has numbers by its type may have others than it says: an address where the format has a
# count, a time or the number of an event can't be told from one.  That excuses no type which
# keeps nothing of what a record holds: those that are dropped, not known, or just a header.
LIE = 'called a record of type'
LIES = re.compile(LIE + r' (\d+)|EVENT_DESC')
NOTHING_KEPT = {TYPE[name] for name in (
    'AUX', 'TEXT_POKE', 'HEADER_EVENT_TYPE', 'FINISHED_ROUND', 'AUXTRACE_INFO', 'AUXTRACE',
    'FINISHED_INIT', 'COMPRESSED', 'COMPRESSED2')} | {0, 22, 23, 40, 63, 84, 1000, 0xffffffff}
TYPES = (*range(0, 24), 40, *range(63, 85), 1000, 0xffffffff)


def seed():
    """A small profile with as many kinds of records and header features as possible"""
    gen = craft(ORIG, count=2, payload=struct.pack('<IQ', 12, ORIG['stack']))
    ident = {'pid': 100, 'tid': 100, 'time': 5000, 'identifier': 7}
    gen.event('KSYMBOL', addr=ORIG['module'] + 0x100, len=64, type=1, name='bpf_prog',
              sample_id=ident)
    gen.event('BPF_EVENT', type=1, id=42, tag=1, sample_id=ident)
    gen.event('NAMESPACES', pid=100, tid=100, namespaces=gen.u64s([1, 3, 4]), sample_id=ident)
    gen.event('CGROUP', id=1, path='/group', sample_id=ident)
    gen.event('LOST', id=7, lost=1, sample_id=ident)
    gen.event('THROTTLE', time=1, id=7, stream_id=7, sample_id=ident)
    gen.event('SWITCH_CPU_WIDE', pid=1, tid=1, sample_id=ident)
    gen.event('TEXT_POKE', addr=ORIG['kernel'], old_len=1, new_len=1, bytes=b'\x90\xcc',
              sample_id=ident)
    gen.event('AUX', aux_offset=0, aux_size=16, flags=0, sample_id=ident)
    gen.event('ID_INDEX', numbers=gen.u64s([1, 7, 0, 0, 100]))
    gen.event('THREAD_MAP', numbers=gen.u64s([1, 100]) + b'prog'.ljust(16, b'\0'))
    gen.event('CPU_MAP', numbers=gen.pack('HHHH', 0, 2, 0, 1))
    gen.event('STAT_CONFIG', numbers=gen.u64s([1, 1, 0]))
    gen.event('TIME_CONV', numbers=gen.u64s([1, 1, 1]))
    gen.event('EVENT_UPDATE', misc=0, type=3, id=7, update=gen.pack('HHHH', 0, 2, 0, 1))
    gen.event('EVENT_UPDATE', misc=0, type=2, id=7, update=struct.pack('<d', 1.5))
    gen.event('EVENT_UPDATE', misc=0, type=0, id=7, update='ms')
    gen.event('FINISHED_ROUND', misc=0)
    gen.event('AUXTRACE_INFO', type=1, priv=gen.u64s([1] * 20))
    gen.auxtrace(gen.u64s([ORIG['exe'], ORIG['kernel']]))
    gen.event('EXIT', pid=100, ppid=1, tid=100, time=6000, sample_id=ident)

    gen.feature('BUILD_ID', gen.build_ids([(100, bytes(range(20)), '/opt/prog', 2),
                                           (100, bytes(range(20)), '/opt/a.so', 2)]))
    gen.feature('NRCPUS', gen.pack('II', 2, 2))
    gen.feature('CPU_TOPOLOGY', gen.strings(['0-1']) + gen.strings(['0', '1']) +
                gen.pack('IIII', 0, 0, 1, 0) + gen.strings(['0-1']) + gen.pack('II', 0, 0))
    gen.feature('NUMA_TOPOLOGY', gen.pack('IIQQ', 1, 0, 1000, 500) + gen.string('0-1'))
    gen.feature('GROUP_DESC', gen.pack('I', 1) + gen.string('group') + gen.pack('II', 0, 2))
    gen.feature('CACHE', gen.pack('IIIIII', 1, 1, 1, 64, 64, 8) + gen.string('Data') +
                gen.string('32K') + gen.string('0-1'))
    gen.feature('SAMPLE_TIME', gen.u64s([1000, 6000]))
    gen.feature('MEM_TOPOLOGY', gen.u64s([1, 1 << 27, 1, 0, 2, 64, 3]))
    gen.feature('CLOCK_DATA', gen.pack('IIQQ', 1, 1, 5, 5))
    gen.feature('HYBRID_TOPOLOGY', gen.pack('I', 1) + gen.string('cpu_core') + gen.string('0-1'))
    gen.feature('BPF_BTF', gen.pack('III', 1, 3, 8) + bytes(8))
    gen.feature('CPU_PMU_CAPS', gen.pack('I', 1) + gen.string('branches') + gen.string('32'))
    gen.feature('PMU_CAPS', gen.pack('II', 1, 1) + gen.string('a') + gen.string('b') +
                gen.string('cpu'))
    return gen


def is_excused(what, wrong):
    """Whether a leak is of numbers that a record of that type has"""
    lie = LIES.search(f'{what}: {wrong}')
    return wrong.startswith('leaks') and lie and \
        not (lie[1] and int(lie[1]) in NOTHING_KEPT)


def set_bytes(buf, offset, fmt, value):
    out = bytearray(buf)
    struct.pack_into(fmt, out, offset, value)
    return bytes(out)


def words(buf, start, end):
    """Everything from start to end set to something else, as u64 and as u32"""
    for at in range(start, end - 7, 8):
        old, = struct.unpack_from('<Q', buf, at)
        for value in (*U64S, old + 8, old - 8, old ^ 0x8765432100000000):
            yield f'u64 at {at:#x} = {value % (1 << 64):#x}', \
                set_bytes(buf, at, '<Q', value % (1 << 64))
    for at in range(start, end - 3, 4):
        old, = struct.unpack_from('<I', buf, at)
        for value in (*U32S, old + 1, old - 1, old + 0x51):
            yield f'u32 at {at:#x} = {value % (1 << 32):#x}', \
                set_bytes(buf, at, '<I', value % (1 << 32))


def damages(buf, most):
    """(what, bytes) of each damage to the profile in buf, of `most` records at most"""
    data = PerfData.from_bytes(buf)
    yield from words(buf, 0, 16 if data.is_pipe else 104)
    for offset, size, what in data.regions:
        if what != 'data':
            for how, bad in words(buf, offset, offset + min(size, 2000)):
                yield f'{what}: {how}', bad
    if not data.is_pipe:
        table = sum(next(region for region in data.regions if region[2] == 'data')[:2])
        yield from words(buf, table, table + 16 * len(data.features))
    step = max(1, len(data.records) // most)
    for rec in data.records[::step]:
        at, size = rec.offset, rec.size
        for value in TYPES:
            yield f'{rec.name} at {at:#x}: {LIE} {value}', set_bytes(buf, at, '<I', value)
        for value in (0, 4, 7, 8, 12, 16, 24, size - 8, size - 1, size + 1, size + 8, 0xfff8,
                      0xffff):
            yield f'{rec.name} at {at:#x}: size {value}', \
                set_bytes(buf, at + 6, '<H', max(0, value))
        # Shorter or longer with what comes behind it where it belongs
        for cut in range(8, min(size, 200), 8):
            whole = buf[:at] + struct.pack('<IHH', rec.type, rec.misc, cut) + buf[at + 8:at + cut]
            yield f'{rec.name} at {at:#x}: shortened to {cut}', whole + buf[at + size:]
        for how, bad in words(buf, at + 8, at + min(size, 300)):
            yield f'{rec.name}: {how}', bad
    for at in sorted({*range(0, len(buf), max(1, len(buf) // 150)),
                      *(rec.offset + more for rec in data.records[::step] for more in (0, 3, 9))}):
        yield f'cut at {at:#x}', buf[:at]
    for more in (bytes(3), bytes(8), bytes(64), b'\xff' * 64):
        yield f'{len(more)} bytes more', buf + more


class Run:
    """One perf inject --aslr"""

    def __init__(self, path):
        self.dir = path
        self.orig, self.safe = (os.path.join(path, name) for name in ('orig', 'safe'))
        self.whole = b''

    def wrong(self, buf):
        """What is wrong with what perf inject makes of a profile, or None"""
        for name in os.listdir(self.dir):
            os.unlink(os.path.join(self.dir, name))
        with open(self.orig, 'wb') as file:
            file.write(buf)
        with open(self.safe, 'w', encoding='ascii') as file:
            file.write('old')
        try:
            result = subprocess.run([PERF, 'inject', '--aslr', '-i', self.orig, '-o', self.safe],
                                    stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                    stderr=subprocess.PIPE, timeout=SECONDS, check=False)
        except subprocess.TimeoutExpired:
            return 'takes too long'
        said = result.stderr.decode(errors='replace')
        if result.stdout or sorted(os.listdir(self.dir)) != ['orig', 'safe']:
            return f'leaves something: {os.listdir(self.dir)}, {result.stdout[:200]}'
        if result.returncode < 0 or 'Sanitizer' in said or 'runtime error' in said:
            return f'status {result.returncode}: {said}'
        errors = [line for line in said.splitlines() if not WARNING.search(line)]
        if result.returncode:
            return self.wrong_failure(errors)
        if errors:
            return f'success, but {errors}'
        return self.wrong_success()

    def wrong_failure(self, errors):
        with open(self.safe, 'rb') as file:
            if file.read() != b'old':
                return 'fails, but there is a new output'
        if len(errors) != 1 or self.orig not in errors[0] or \
                not re.search(r'\b0x[0-9a-f]+|\b0\b|size', errors[0]):
            return f'not one line with file and offset: {errors}'
        return None

    def search(self):
        """Finds in the output, whatever its format"""
        secrets = collect(PerfData(self.orig))
        secrets.finish()
        with open(self.safe, 'rb') as file:
            return list(search(secrets, Stream('', file.read()), '<', None))

    def wrong_success(self):
        try:
            finds, _, _ = audit(self.orig, self.safe)
        except Damaged:
            # The auditor doesn't read on: then it is all that was there before the damage.
            with open(self.orig, 'wb') as file:
                file.write(self.whole)
            finds = self.search()
        # What is nearly all zeros or ones is found across others.
        finds = [find for find in finds
                 if not find.size or len(set(struct.pack('<Q', find.value))) > 3]
        return f'leaks: {finds[0]}' if finds else None


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('--all', action='store_true')
    parser.add_argument('--every', type=int, default=EVERY)
    parser.add_argument('--first', type=int, default=0)
    parser.add_argument('--match', default='')
    parser.add_argument('files', nargs='*')
    args = parser.parse_args()
    gen = seed()
    profiles = {'file': gen.file_bytes(), 'pipe': seed().pipe_bytes()}
    for path in args.files:
        with open(path, 'rb') as file:
            profiles[path] = file.read()
    every, bad, nr = 1 if args.all else args.every, 0, 0
    with tempfile.TemporaryDirectory() as path:
        run = Run(path)
        for name, buf in profiles.items():
            run.whole = buf
            wrong = run.wrong(buf)
            if wrong:
                print(f'{name}: not damaged: {wrong}')
                bad += 1
            for i, (what, damaged) in enumerate(damages(buf, 40)):
                if i % every != args.first or args.match not in what:
                    continue
                nr += 1
                wrong = run.wrong(damaged)
                if wrong and not is_excused(what, wrong):
                    print(f'{name}: {what}: {wrong}', flush=True)
                    bad += 1
    print(f'{nr} damaged profiles, {bad} failures')
    return bool(bad)


if __name__ == '__main__':
    sys.exit(main())
