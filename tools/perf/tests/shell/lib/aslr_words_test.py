# SPDX-License-Identifier: GPL-2.0
"""perf inject --aslr with an address in each word of each part of a profile.

    PERF=/path/to/perf aslr_words_test.py

Takes the cases of aslr_rows_test.py.  Each 8 bytes of each record, sample, attribute
and header feature in turn, and 8 bytes more at its end and before the sample_id, become
an address, of a process and of the kernel, that is mapped or just looks like one.  The
tables KEPT_IN_* say where such bytes stay, and why there they are no address; from
everywhere else they must be gone, or the profile be refused.
"""
import os
import re
import struct
import subprocess
import unittest

from aslr_rows_test import (ATTRS, BASE, COMMON, FEATURES, FIELDS, PERF, PID, PMUS, RECORDS,
                            TEXT, Crafted, field_sample, mappings, profile)
from perf_data import FEATURE_ID, TYPE, USER_TYPES, PerfData
from perf_data_gen import ATTR_SIZE

# What an address looks like, with room for one page of each word
WIDE = 0x7f1240000000
LOOKS = {'mapped': WIDE, 'unmapped': 0x7f9a00000000, 'text': TEXT + 0x100000,
         'kernel': 0xffff888100000000}
OFFSET = 0x118


class Word:
    """Bytes at offset `at` of a part of a profile that are a page of their own"""

    def __init__(self, look, number, label):
        self.look, self.label = look, label
        self.value = LOOKS[look] + (number << 12) + OFFSET
        self.bytes = struct.pack('<Q', self.value)

    def stays(self, buf):
        """Does the page stay anywhere in buf?"""
        at = buf.find(self.bytes[2:])
        while at > 0:
            if buf[at - 1] >> 4 == self.bytes[1] >> 4:
                return True
            at = buf.find(self.bytes[2:], at + 1)
        return False


class Words(Crafted):
    maxDiff = None

    def setUp(self):
        super().setUp()
        self.kept = {}

    def check_kept(self, reasons):
        """What was kept is what there are reasons for, and nothing is missing of that"""
        used, wrong = set(), []
        for (what, where), looks in self.kept.items():
            for look in sorted(set(looks)):
                row = next((row for row in reasons
                            if re.fullmatch(row, f'{what} {where}: {look}')), None)
                used.add(row)
                if row is None:
                    wrong.append(f'{what} {where}: {look} address stays')
        self.assertEqual(wrong, [])
        self.assertEqual(reasons.keys() - used, set(), 'nothing of that is kept')

    def run_inject(self, gen, pipe):
        """The output, or None and the line that refuses"""
        gen.write(self.orig, pipe)
        if os.path.exists(self.safe):
            os.unlink(self.safe)
        done = subprocess.run([PERF, 'inject', '--aslr', '--no-unwind', '-i', self.orig,
                               '-o', self.safe], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
                              timeout=60)
        said = done.stdout.decode(errors='replace')
        self.assertIn(done.returncode, (0, 182, 234, 242, 255), said)
        self.assertNotIn('Sanitizer', said)
        if done.returncode:
            return None, said
        with open(self.safe, 'rb') as file:
            return file.read(), said

    def base(self, **more):
        gen, _ = profile(**more)
        gen.mmap(pid=PID, tid=PID, start=WIDE, len=0x4000000, filename='/opt/wide')
        mappings(gen)
        return gen


def fields_of(data, rec):
    return [(name, start - rec.offset, size) for name, start, size, _ in data.fields(rec)]


def label(fields, at, base):
    """The fields that have a part of the 8 bytes at `at`"""
    names = []
    for name, start, size in fields:
        if start < at + 8 and at < start + size:
            more = f'+{at - start}' if size > 8 and at > start else ''
            names.append(name + more)
    return ', '.join(names) or base


class RecordWords(Words):
    def variants(self, kind, data, fields, trailer):
        """(label, function of 8 bytes that gives a record)"""
        for at in range(8, len(data) - 7, 8):
            yield label(fields, at, 'payload'), \
                lambda word, at=at: data[:at] + word + data[at + 8:]

        def longer(at):
            return lambda word: data[:6] + struct.pack('<H', len(data) + 8) + \
                data[8:at] + word + data[at:]
        yield 'behind', longer(len(data))
        if trailer:
            yield 'before the sample_id', longer(len(data) - trailer)

    def try_case(self, kind, data, fields, trailer, gen, pipe=False):
        """Everything that stays of a record: {label: looks}"""
        words, start = [], len(gen.records)
        for name, make in self.variants(kind, data, fields, trailer):
            for look in ('mapped', 'kernel') if pipe else LOOKS:
                word = Word(look, len(words), name)
                words.append((word, make(word.bytes)))
        while True:
            gen.records[start:] = [data for _, data in words]
            out, said = self.run_inject(gen, pipe)
            if out is not None:
                break
            at = re.search(r'(?:: |at )(0x[0-9a-f]+)', said)
            self.assertTrue(at, f'{kind}: {said}')
            pos = len(gen.file_bytes()) - sum(map(len, gen.records)) if not pipe else \
                len(gen.pipe_bytes()) - sum(map(len, gen.records))
            if not pipe:
                pos -= sum(map(len, gen.features.values())) + 16 * len(gen.features)
            pos, bad = pos + sum(map(len, gen.records[:start])), None
            for i, (_, record) in enumerate(words):
                if pos <= int(at[1], 16) < pos + len(record):
                    bad = i
                pos += len(record)
            self.assertIsNotNone(bad, f'{kind}: {said}')
            del words[bad]
        for word, _ in words:
            if word.stays(out):
                self.kept.setdefault((kind, word.label), []).append(word.look)

    def check_records(self, pipe):
        for case in RECORDS:
            gen = self.base()
            case.add(gen, 1000)
            parsed = PerfData.from_bytes(gen.file_bytes())
            if case.extra:              # AUXTRACE: the trace data behind it
                continue
            trailer = 0 if TYPE[case.kind] >= USER_TYPES else len(gen.trailer({}))
            fields = fields_of(parsed, parsed.records[-1])
            self.try_case(case.kind, gen.records.pop(), fields, trailer, gen, pipe)

    def test_records(self):
        for pipe in False, True:
            self.check_records(pipe)
        self.check_kept(KEPT_IN_RECORDS)

    def test_samples(self):
        for number, (name, attr, values, _) in enumerate(FIELDS):
            gen = self.base()
            field_sample(gen, number, name, attr, values)
            parsed = PerfData.from_bytes(gen.file_bytes())
            fields = fields_of(parsed, parsed.records[-1])
            self.try_case('SAMPLE', gen.records.pop(), fields, 0, gen)
        self.check_kept(KEPT_IN_SAMPLES)


class HeaderWords(Words):
    """One word of each feature, or of each attribute, at a time"""

    def sections(self, attrs=ATTRS[:1]):
        gen = self.base()
        for name, content, *_ in FEATURES:
            gen.feature(name, content)
        for number, (name, attr, _) in enumerate(attrs):
            gen.attr(name, ids=[100 + number], sample_id_all=1,
                     **{**COMMON, **attr, 'sample_type': BASE})
        gen.feature('PMU_MAPPINGS', gen.pmu_mappings(PMUS))
        gen.feature('EVENT_DESC', gen.event_desc())
        return gen

    def test_features(self):
        plain = self.sections().features
        names = {number: name for name, number in FEATURE_ID.items()}
        for look in 'mapped', 'kernel':
            for i in range(max(map(len, plain.values())) // 8 + 1):
                gen, words = self.sections(), {}
                for feature, content in plain.items():
                    if 8 * i <= len(content):       # or behind it
                        word = Word(look, len(words) + 1, f'+{8 * i}')
                        words[feature] = word
                        gen.features[feature] = content[:8 * i] + word.bytes + content[8 * i + 8:]
                while True:
                    out, said = self.run_inject(gen, False)
                    if out is not None:
                        break
                    number = re.search(r'header section (\d+) at 0x', said)
                    self.assertTrue(number, said)
                    bad = int(number[1])
                    if bad not in words:    # which counts what NRCPUS says
                        bad = FEATURE_ID['NRCPUS']
                    del words[bad]
                    gen.features[bad] = plain[bad]
                for feature, word in words.items():
                    if word.stays(out):
                        self.kept.setdefault((names[feature], word.label), []).append(look)
        self.check_kept(KEPT_IN_FEATURES)

    def test_attributes(self):
        for look in LOOKS:
            for at in range(0, ATTR_SIZE, 8):
                gen, words = self.sections(ATTRS), []
                plain = gen.attr_bytes
                gen.attr_bytes = lambda attr: plain(attr)[:at] + words[-1].bytes + \
                    plain(attr)[at + 8:] if add(attr) else b''

                def add(attr):
                    words.append(Word(look, len(words), attr['name']))
                    return True
                out, said = self.run_inject(gen, False)
                # The size; a field that isn't known, behind which nothing can be found
                self.assertEqual(out is None, at in (0, 24), said)
                for word in words if out is not None else ():
                    if word.stays(out):
                        self.kept.setdefault((f'attr+{at}', word.label), []).append(look)
        self.check_kept(KEPT_IN_ATTRIBUTES)


# What stays, by regular expression: part, word of it, kind of address; and why it is none
ANY = r'(\+\d+)?: \w+'
KEPT_IN_RECORDS = {
    r'\w+ (id\.)?[pt]id(, (tid|ppid|ptid)|_tid): \w+': 'numbers of processes and threads',
    r'\w+ (id\.)?time: \w+': 'time',
    r'\w+ (id\.identifier|behind): \w+':
        'number of the event, by which the record was found: the last word of the sample_id',
    rf'MMAP2? filename{ANY}': 'name, up to its end',
    rf'(CGROUP path|KSYMBOL name|AUXTRACE_ERROR msg){ANY}': 'name, up to its end',
    rf'HEADER_BUILD_ID filename{ANY}': 'name, up to its end',
    r'EVENT_UPDATE update: text': 'name, up to its end',
    r'THREAD_MAP numbers\+(16|40): \w+': 'name, up to its end',
    r'MMAP2? len: \w+': 'size',
    rf'MMAP2 inode{ANY}': 'numbers of a file, or its build-id',
    r'MMAP2 prot, flags: \w+': 'how it is mapped, in bits',
    r'KSYMBOL len, type, flags: \w+': 'size and bits',
    r'BPF_EVENT type, flags, id: \w+': 'number of a program',
    r'BPF_EVENT tag: \w+': 'hash of a program',
    r'LOST id: \w+': 'number of the event',
    r'LOST(_SAMPLES)? lost: \w+': 'count',
    r'(UN)?THROTTLE (stream_)?id: \w+': 'numbers of the event',
    rf'READ values{ANY}': 'counts, times and numbers of events',
    r'NAMESPACES namespaces\+\d+: \w+': 'numbers of devices and inodes',
    r'CGROUP id: \w+': 'number of the cgroup',
    r'AUX_OUTPUT_HW_ID hw_id: \w+': 'number of the event',
    r'HEADER_BUILD_ID (pid, build_id|build_id\+\d+): \w+': 'build-id',
    r'ID_INDEX numbers\+(8|40): \w+': 'number of the event',
    r'AUXTRACE_ERROR (type, code|cpu, pid): \w+': 'numbers of 32 bits',
    rf'STAT numbers{ANY}': 'number of the event, CPU, thread and counts',
    r'STAT_ROUND numbers\+8: \w+': 'time',
    r'TIME_CONV numbers\+(16|24|32): \w+': 'counts of clocks',
    r'EVENT_UPDATE id: \w+': 'number of the event',
}
KEPT_IN_SAMPLES = {
    r'SAMPLE pid_tid: \w+': 'numbers of the process and thread',
    r'SAMPLE time: \w+': 'time',
    r'SAMPLE stream_id: \w+': 'number of the event',
    r'SAMPLE (period|weight): \w+': 'counts',
    rf'SAMPLE read\.(values|times){ANY}': 'counts, times and numbers of events',
    r'SAMPLE branch\.(flags|hw_idx): \w+': 'bits, cycles, number of an entry',
    r'SAMPLE (data_src|transaction): \w+': 'bits',
    r'SAMPLE cgroup: \w+': 'number of the cgroup',
    r'SAMPLE (data|code)_page_size: \w+': 'size',
}
KEPT_IN_FEATURES = {
    r'TOTAL_MEM \+0: \w+': 'size',
    r'SAMPLE_TIME \+(0|8): \w+': 'times',
    r'MEM_TOPOLOGY \+(0|8|24|32|48): \w+': 'version, size of blocks, and of each node which it has',
    r'CLOCKID \+0: \w+': 'resolution',
    r'CLOCK_DATA \+(0|8|16): \w+': 'version and clock, times',
    r'BUILD_ID \+(8|16|24): \w+': 'process number and build-id',
    r'NUMA_TOPOLOGY \+(8|16): \w+': 'sizes',
    r'CACHE \+(8|16): \w+': 'numbers of 32 bits',
    r'(CPU_PMU_CAPS|HYBRID_TOPOLOGY) \+(8|16): mapped': 'name, up to its end',
    r'PMU_CAPS \+(16|80): mapped': 'name, up to its end',
    r'PMU_MAPPINGS \+88: mapped': 'name, up to its end',
    r'BPF_PROG_INFO \+24: \w+': 'number and tag of a program',
    r'BPF_PROG_INFO \+64: \w+': 'who loaded it',
    r'BPF_PROG_INFO \+(88|96): \w+': 'name of the program',
    r'BPF_PROG_INFO \+(104|112): \w+': 'device and inode of a namespace',
    r'BPF_PROG_INFO \+(216|224|232|240): \w+': 'times and counts',
    r'GROUP_DESC \+72: \w+': 'numbers of 32 bits',
    r'CPU_TOPOLOGY \+216: \w+': 'numbers of 32 bits: core and socket of a CPU',
    r'EVENT_DESC \+\d+: \w+': 'attributes, see there, and numbers of events',
}
KEPT_IN_ATTRIBUTES = {
    r'attr\+(8|56|64|128) .*: (un)?mapped':
        'what to count; nothing is counted by an address of a process, but for breakpoints',
    r'attr\+16 .*: \w+': 'period or frequency',
    r'attr\+(32|72) .*: \w+': 'bits; of events with one that is not known, no sample stays',
    r'attr\+48 .*: \w+': 'numbers of 32 bits',
    r'attr\+(80|96) .*: \w+': 'one bit for each register',
    r'attr\+88 .*: \w+': 'size of stacks, number of the clock',
    r'attr\+104 .*: (un)?mapped': 'sizes of 32 and 16 bits; what is behind them goes',
}

if __name__ == '__main__':
    unittest.main()
