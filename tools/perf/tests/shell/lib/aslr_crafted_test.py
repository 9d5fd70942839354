# SPDX-License-Identifier: GPL-2.0
"""perf inject --aslr on profiles that can't be recorded everywhere.

    PERF=/path/to/perf aslr_crafted_test.py

Each profile is made by perf_data_gen.py, goes through perf inject --aslr as a file
and as a pipe, and through the auditor and the function check.
"""
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import unittest

from aslr_lib_test import ORIG, craft
from perf_data import PerfData
from perf_data_gen import KERNEL, PerfDataGen

PERF = os.environ.get('PERF') or shutil.which('perf')
LIB = os.path.dirname(os.path.abspath(__file__))


def group(leader, member, count, value):
    """A group whose second event samples; value(i) is what it has counted by then"""
    gen = PerfDataGen()
    gen.attr('leader', type=1, ids=[7], sample_id_all=1, read_format=4 | 8, sample_type=leader)
    attr = gen.attr('member', type=1, config=2, ids=[8], sample_id_all=1, read_format=4 | 8,
                    sample_type=member)
    ident = {'pid': 100, 'tid': 100, 'time': 1, 'identifier': 7}
    gen.mmap2(pid=100, tid=100, start=ORIG['exe'], len=0x2000, pgoff=0x1000,
              filename='/opt/prog', sample_id=ident)
    for i in range(count):
        gen.sample(attr, ip=ORIG['exe'] + i, pid=100, tid=100, time=2000 + i, identifier=8,
                   addr=ORIG['stack'] + 0x1000 * i, values=[2, 5, 7, value(i), 8])
    return gen


def two_events(sample_types, branch_sample_types=(0, 0), read_formats=(0, 0), samples=(0, 1),
               **fields):
    """Samples of two events in turn; `samples` tells which of them have any"""
    gen = PerfDataGen()
    attrs = [gen.attr('ab'[i], ids=[7 + i], sample_id_all=1, sample_type=sample_types[i],
                      branch_sample_type=branch_sample_types[i], read_format=read_formats[i])
             for i in range(2)]
    ident = {'pid': 100, 'tid': 100, 'time': 1, 'identifier': 7, 'id': 7}
    gen.mmap(misc=KERNEL, pid=-1, start=ORIG['kernel'], len=0x1200000, pgoff=ORIG['kernel'],
             filename='[kernel.kallsyms]_text', sample_id=ident)
    gen.mmap2(pid=100, tid=100, start=ORIG['exe'], len=0x2000, pgoff=0x1000,
              filename='/opt/prog', sample_id=ident)
    for i in range(3):
        for j in samples:
            gen.sample(attrs[j], ip=ORIG['exe'] + i, pid=100, tid=100, time=2000 + 2 * i + j,
                       branches=[(ORIG['exe'] + 1, ORIG['exe'] + 9, 1)], counters=[3], **fields)
    return gen


class Crafted(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.mkdtemp()
        self.orig, self.safe = (os.path.join(self.dir, name) for name in ('orig', 'safe'))

    def tearDown(self):
        shutil.rmtree(self.dir)

    def inject(self, *options):
        return subprocess.run([PERF, 'inject', '--aslr', *options, '-i', self.orig,
                               '-o', self.safe],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              check=False)

    def tool(self, name):
        result = subprocess.run([sys.executable, os.path.join(LIB, name), self.orig, self.safe],
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                check=False)
        self.assertEqual(result.returncode, 0, result.stdout)

    def check(self, gen, pipe=False):
        """Nothing leaks, no sample is lost"""
        gen.write(self.orig, pipe=pipe)
        result = self.inject()
        self.assertEqual(result.returncode, 0, result.stdout)
        self.tool('aslr_audit.py')
        self.tool('aslr_function.py')
        counts = [sum(rec.name == 'SAMPLE' for rec in PerfData(path).records)
                  for path in (self.orig, self.safe)]
        self.assertEqual(counts[0], counts[1])
        return result.stdout

    def test_all_kinds_of_fields(self):
        for pipe in False, True:
            with self.subTest(pipe=pipe):
                said = self.check(craft(ORIG, payload=struct.pack('<IQ', 12, ORIG['stack'])),
                                  pipe)
                self.assertIn('REGS_USER', said)
                self.assertIn('RAW', said)

    def test_text(self):
        self.check(craft(ORIG, cmdline=f'-e mem:{ORIG["exe"] + 16:#x} -x {ORIG["kernel"]:x}'))

    def test_group_that_counts_nothing(self):
        self.check(group('IP TID TIME READ IDENTIFIER', 'IP TID TIME READ IDENTIFIER', 10,
                         lambda i: 5))

    def test_group_of_other_formats(self):
        self.check(group('IP TID TIME PERIOD READ IDENTIFIER', 'IP TID TIME ADDR READ IDENTIFIER',
                         4, lambda i: 10 * i))

    def test_branch_counters(self):
        """For all events of a group if one asks, but only of those with branches"""
        plain = 'IDENTIFIER IP TID TIME'
        both = plain + ' BRANCH_STACK'
        for types in (plain, plain), (plain, both), (both, plain), (both, both):
            for names in False, True:
                for pipe in False, True:
                    with self.subTest(types=types, names=names, pipe=pipe):
                        gen = two_events(types, (8 | 1 << 19,) * 2)
                        if names:
                            gen.feature('EVENT_DESC', gen.event_desc())
                        self.check(gen, pipe)
                        sizes = [[rec.size for rec in PerfData(path).records
                                  if rec.name == 'SAMPLE'] for path in (self.orig, self.safe)]
                        self.assertEqual(*sizes)

    def test_read_without_id(self):
        """perf record asks for the number of the event, and readers rely on it"""
        types = ('IDENTIFIER IP TID TIME READ CALLCHAIN',) * 2
        for formats in (0, 0), (4, 0):
            with self.subTest(formats=formats):
                two_events(types, read_formats=formats, samples=(1,), values=[5],
                           callchain=[-512, ORIG['exe'] + 5]).write(self.orig, pipe=True)
                result = self.inject()
                self.assertNotEqual(result.returncode, 0)
                self.assertIn('failed to process type: 9', result.stdout)
                self.assertEqual(os.listdir(self.dir), ['orig'])

    def test_numbers_elsewhere(self):
        """What is found by another word than the number of its event is of no event"""
        two_events(('IP TID TIME ID', 'IP TID TIME ADDR ID'), samples=(1,), addr=8,
                   id=99).write(self.orig, pipe=True)
        result = self.inject()
        self.assertEqual(result.returncode, 0)
        self.assertIn('samples of unknown events', result.stdout)

    def test_build_ids_of_bad_profiles(self):
        """User mappings of the kernel, and LBR call stacks without branches"""
        gen = two_events(('IP TID TIME IDENTIFIER CALLCHAIN',) * 2, (8 | 1 << 11,) * 2,
                         callchain=[-128, ORIG['kernel'] + 64, -512, ORIG['exe'] + 5])
        ident = {'pid': 100, 'tid': 100, 'time': 1, 'identifier': 7}
        gen.mmap2(pid=100, tid=100, start=ORIG['exe'] + 0x10000, len=0x2000, pgoff=0,
                  filename='[kernel.kallsyms]', sample_id=ident)
        gen.write(self.orig)
        for options in ('-b',), ('--mmap2-buildids',), ('--mmap2-buildid-all',):
            with self.subTest(options=options):
                self.assertEqual(self.inject(*options).returncode, 0)

    def test_pmus_of_this_machine(self):
        """They say nothing of a profile that names none"""
        path = '/sys/bus/event_source/devices/uprobe/type'
        if not os.path.exists(path):
            self.skipTest(f'no {path}')
        with open(path, encoding='ascii') as file:
            pmu = int(file.read())
        for pipe in False, True:
            with self.subTest(pipe=pipe):
                gen = PerfDataGen()
                attr = gen.attr('event', type=pmu, config2=0x113611361136, ids=[7],
                                sample_type='IP TID TIME IDENTIFIER', sample_id_all=1)
                gen.feature('CPUID', gen.string('AuthenticAMD,25,17,1'))
                gen.feature('ARCH', gen.string('x86_64'))
                gen.sample(attr, ip=ORIG['exe'], pid=100, tid=100, time=2000, identifier=7)
                gen.write(self.orig, pipe=pipe)
                self.assertEqual(self.inject().returncode, 0)
                with open(self.safe, 'rb') as file:
                    self.assertNotIn(struct.pack('<Q', 0x113611361136), file.read())

    def test_thread_of_others(self):
        """A thread that is told of as one of this and that process"""
        gen = two_events(('IP TID TIME IDENTIFIER',) * 2)
        for time, pid in enumerate((101, 102, 101)):
            gen.event('FORK', misc=0, pid=pid, ppid=pid, tid=102, ptid=pid, time=time + 2,
                      sample_id={'pid': pid, 'tid': 102, 'time': time + 2, 'identifier': 7})
        gen.write(self.orig)
        for options in ('-b',), ('-s',):
            with self.subTest(options=options):
                self.assertEqual(self.inject(*options).returncode, 0)

    def test_trace_data(self):
        gen = craft(ORIG, trace=struct.pack('<QQ', ORIG['exe'], ORIG['kernel']))
        gen.write(self.orig)
        if self.inject().returncode == 0:
            self.tool('aslr_audit.py')

    def test_cut_pipe(self):
        craft(ORIG).write(self.orig, pipe=True)
        with open(self.orig, 'rb') as file:
            whole = file.read()
        with open(self.orig, 'wb') as file:
            file.write(whole[:-20])
        last = max(rec.offset for rec in PerfData.from_bytes(whole).records)
        result = self.inject()
        self.assertEqual(result.returncode, 0, result.stdout)
        self.assertIn(f'{self.orig}: cut off in an event at {last:#x}', result.stdout)
        with open(self.orig, 'wb') as file:
            file.write(whole)
        self.tool('aslr_audit.py')

    def test_last_record_too_long(self):
        craft(ORIG).write(self.orig)
        data = PerfData(self.orig)
        last = data.records[-1]
        with open(self.orig, 'r+b') as file:
            file.seek(last.offset + 6)
            file.write(struct.pack('<H', last.size + 8))
        result = self.inject()
        self.assertNotEqual(result.returncode, 0)
        self.assertIn('cut off', result.stdout)
        self.assertEqual(os.listdir(self.dir), ['orig'])


if __name__ == '__main__':
    unittest.main()
