# SPDX-License-Identifier: GPL-2.0
"""perf inject --aslr of profiles that are large enough for a thread that rewrites them.

    PERF=/path/to/perf aslr_deferred_test.py

What comes out is the same as without the thread, which pipes do without: their events
are gone when the next ones are read.  Of several errors it is always the same one that is
told, which isn't up to how far the thread has come.
"""
import os
import resource
import shutil
import signal
import struct
import subprocess
import tempfile
import unittest

from aslr_lib_test import ORIG
from perf_data import TYPE, PerfData
from perf_data_gen import KERNEL, PerfDataGen

PERF = os.environ.get('PERF') or shutil.which('perf')
ROUNDS, CPUS, SAMPLES = 60, 2, 300      # so many of each CPU in each round
PERF_CONTEXT_USER = -512
SAMPLE_TYPE = 'IP TID TIME CALLCHAIN IDENTIFIER'
TIMES = 5                               # that what may depend on threads is tried
FRAMES = 12


def profile():
    """Each round has what one CPU after the other recorded, and a process of its own"""
    gen = PerfDataGen()
    attr = gen.attr('cycles', ids=[7], sample_id_all=1, sample_type=SAMPLE_TYPE)
    gen.attr('faults', type=1, config=2, ids=[8], sample_id_all=1, sample_type=SAMPLE_TYPE)
    gen.mmap(misc=KERNEL, pid=-1, start=ORIG['kernel'], len=0x1200000, pgoff=ORIG['kernel'],
             filename='[kernel.kallsyms]_text', sample_id={'time': 0, 'identifier': 7})
    for number in range(ROUNDS):
        start, pid = (number + 1) * 1000000, 1000 + number
        exe, stack = ORIG['exe'] + (number << 24), ORIG['stack'] + (number << 24)
        ident = {'pid': pid, 'tid': pid, 'time': start, 'identifier': 7}
        gen.fork(pid=pid, ppid=1, tid=pid, ptid=1, time=start, sample_id=ident)
        gen.mmap2(pid=pid, tid=pid, start=exe, len=0x2000, pgoff=0x1000, filename='/opt/prog',
                  sample_id=ident)
        for cpu in range(CPUS):
            for i in range(SAMPLES):
                chain = [exe + 8 * j for j in range(FRAMES)] + [stack + 0x1000 * i]
                gen.sample(attr, ip=chain[0], pid=pid, tid=pid, time=start + 1 + CPUS * i + cpu,
                           callchain=[PERF_CONTEXT_USER, *chain])
        gen.event('EXIT', pid=pid, ppid=1, tid=pid, ptid=1, time=start + 900000, sample_id=ident)
        # These don't wait for the end of the round.
        if number % 2:
            gen.mmap2(pid=pid, tid=pid, start=ORIG['lib'] + (number << 24), len=0x2000, pgoff=0,
                      filename='/opt/a.so', sample_id={**ident, 'time': 0})
        else:
            gen.event('THREAD_MAP', numbers=gen.u64s([1, pid]) + b'prog'.ljust(16, b'\0'))
        gen.event('FINISHED_ROUND', misc=0)
    return gen


def samples(data):
    """The offsets of samples by round and CPU"""
    offsets = [rec.offset for rec in data.records if rec.name == 'SAMPLE']
    return [[offsets[(number * CPUS + cpu) * SAMPLES:][:SAMPLES] for cpu in range(CPUS)]
            for number in range(ROUNDS)]


class Deferred(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        gen = profile()
        cls.file, cls.pipe = gen.file_bytes(), gen.pipe_bytes()
        cls.samples = samples(PerfData.from_bytes(cls.file))

    def setUp(self):
        self.dir = tempfile.mkdtemp()
        self.orig, self.safe = (os.path.join(self.dir, name) for name in ('orig', 'safe'))

    def tearDown(self):
        shutil.rmtree(self.dir)

    def inject(self, buf, limit=None):
        """What is said of it, and the exit status. No file may have more than `limit` bytes."""
        def set_limit():
            signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

        with open(self.orig, 'wb') as file:
            file.write(buf)
        result = subprocess.run([PERF, 'inject', '--aslr', '-i', self.orig, '-o', self.safe],
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                preexec_fn=set_limit if limit else None, check=False)
        return result.stdout, result.returncode

    def records(self, buf):
        """Those of the profile, as they come out"""
        said, status = self.inject(buf)
        self.assertEqual(status, 0, said)
        with open(self.safe, 'rb') as file:
            out = file.read()
        return [out[rec.offset:rec.offset + rec.size] for rec in PerfData(self.safe).records
                if rec.type < TYPE['HEADER_ATTR'] or
                rec.name in ('FINISHED_ROUND', 'THREAD_MAP')]

    def damaged(self, changes):
        """The profile with a u32 changed at some of its offsets"""
        buf = bytearray(self.file)
        for offset, value in changes:
            struct.pack_into('<I', buf, offset, value)
        return bytes(buf)

    def refused(self, buf, *texts, limit=None):
        """One line that has one of the texts, and no output"""
        for _ in range(TIMES):
            said, status = self.inject(buf, limit)
            self.assertNotIn(status, (0, None), said)
            self.assertGreater(status, 0, said)
            self.assertEqual(len(said.splitlines()), 1, said)
            self.assertTrue(any(text in said for text in texts), said)
            self.assertEqual(os.listdir(self.dir), ['orig'], said)

    def long_chain(self, *place):
        """The change that makes the call chain of a sample longer than the sample"""
        number, cpu, i = place
        # Behind the header, IDENTIFIER, IP, TID and TIME
        return self.samples[number][cpu][i] + 8 + 4 * 8, 0x10000

    def bad_type(self, *place):
        """The change that makes a sample what no record can be"""
        number, cpu, i = place
        return self.samples[number][cpu][i], 0

    def told(self, change):
        """Where a changed sample is said to be"""
        offset = max(at for cpus in self.samples for cpu in cpus for at in cpu
                     if at <= change[0])
        return f'{self.orig}: {offset:#x} '

    def test_same_as_without(self):
        without = self.records(self.pipe)
        self.assertEqual(len(without), 1 + ROUNDS * (CPUS * SAMPLES + 5))
        for _ in range(TIMES):
            self.assertEqual(self.records(self.file), without)

    def test_bad_sample(self):
        for place in ((0, 0, 0), (1, 1, 7), (ROUNDS // 2, 1, SAMPLES - 1),
                      (ROUNDS - 1, 1, SAMPLES - 1)):
            bad = self.long_chain(*place)
            self.refused(self.damaged([bad]), self.told(bad))

    def test_first_of_bad_samples(self):
        """In the order of time, which isn't that of the file"""
        first = self.long_chain(ROUNDS // 3, 1, 10)
        others = [self.long_chain(*place) for place in (
            (ROUNDS // 3, 0, 11), (ROUNDS // 3, 1, 11), (ROUNDS // 2, 0, 0), (ROUNDS - 1, 0, 0))]
        self.refused(self.damaged([first, *others]), self.told(first))

    def test_bad_sample_before_bad_record(self):
        """What is read wrong is told only if all was well that came before it"""
        sample = self.long_chain(5, 0, 0)
        for place in ((7, 0, 1), (8, 1, 0), (20, 0, 9), (ROUNDS - 1, 1, SAMPLES - 1)):
            self.refused(self.damaged([sample, self.bad_type(*place)]), self.told(sample))
        self.refused(self.damaged([self.long_chain(20, 0, 0), self.bad_type(5, 0, 0)]),
                     self.told(self.bad_type(5, 0, 0)))

    def test_no_warnings_of_what_is_behind(self):
        """How much of that was read by then isn't known"""
        bad = self.long_chain(5, 0, 0)
        behind = [(rec.offset, 40) for rec in PerfData.from_bytes(self.file).records
                  if rec.name == 'THREAD_MAP' and rec.offset > bad[0]]
        late = [(self.samples[number][0][0] + 8 + 3 * 8, 1) for number in range(7, ROUNDS)]
        self.refused(self.damaged([bad, *behind, *late]), self.told(bad))

    def test_disk_full(self):
        """Wherever that is, and whichever of the threads writes"""
        said, status = self.inject(self.file)
        self.assertEqual(status, 0, said)
        size = os.path.getsize(self.safe)
        os.unlink(self.safe)
        self.assertGreater(size, 5 << 20)
        for limit in (4096, 1 << 20, (1 << 20) + 4096, 5 << 19, size - 100000, size - 8192):
            self.refused(self.file, 'Failed to write the output', limit=limit)
            # Either of two that have nothing to do with each other
            bad = self.long_chain(ROUNDS // 2, 1, 1)
            self.refused(self.damaged([bad]), 'Failed to write the output', self.told(bad),
                         limit=limit)


if __name__ == '__main__':
    unittest.main()
