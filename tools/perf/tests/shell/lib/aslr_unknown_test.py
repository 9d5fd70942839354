# SPDX-License-Identifier: GPL-2.0
"""perf inject --aslr on what a later perf or kernel may have recorded.

    PERF=/path/to/perf aslr_unknown_test.py

A record, a bit or a header feature that this perf doesn't know is dropped, and it
is said which.
"""
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import unittest

from aslr_audit import audit
from aslr_lib_test import ORIG, craft
from perf_data import PerfData
from perf_data_gen import PerfDataGen

PERF = os.environ.get('PERF') or shutil.which('perf')
UNKNOWN = 'not known to this perf, dropped'


class Unknown(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.TemporaryDirectory()
        self.orig, self.safe = (os.path.join(self.dir.name, name) for name in ('orig', 'safe'))

    def tearDown(self):
        self.dir.cleanup()

    def inject(self, buf):
        with open(self.orig, 'wb') as file:
            file.write(buf)
        result = subprocess.run([PERF, 'inject', '--aslr', '-i', self.orig, '-o', self.safe],
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                check=False)
        return result.returncode, result.stdout

    def check(self, buf, *says):
        """It is dropped and said, nothing leaks; returns what is in the output"""
        status, said = self.inject(buf)
        self.assertEqual(status, 0, said)
        for what in says:
            self.assertIn(what, said)
        finds, _, _ = audit(self.orig, self.safe)
        self.assertEqual([str(find) for find in finds], [])
        return PerfData(self.safe)

    def both(self, gen):
        yield gen().file_bytes()
        yield gen().pipe_bytes()

    def test_records(self):
        def gen():
            gen = craft(ORIG, count=3)
            for kind in 40, 90, 90, 90:
                gen.record(kind, struct.pack('<QQ', ORIG['kernel'], ORIG['stack']))
            return gen
        for buf in self.both(gen):
            data = self.check(buf, f'record type 40 is {UNKNOWN} (1)\n',
                              f'record type 90 is {UNKNOWN} (3)\n')
            self.assertEqual([rec.type for rec in data.records if rec.type in (40, 90)], [])
            self.assertEqual(sum(rec.name == 'SAMPLE' for rec in data.records), 7)

    def test_many_types(self):
        gen = craft(ORIG, count=1)
        for kind in range(1000, 1030):
            gen.record(kind, struct.pack('<Q', ORIG['kernel']))
        self.check(gen.file_bytes(), f'record type 1007 is {UNKNOWN} (1)\n',
                   f'more record types are {UNKNOWN} (22)\n')

    def test_compressed2(self):
        """It holds samples: they aren't dropped"""
        gen = craft(ORIG, count=1)
        at = len(gen.file_bytes()) - sum(map(len, gen.features.values())) - 16 * len(gen.features)
        gen.record(83, bytes(16))
        status, said = self.inject(gen.file_bytes())
        self.assertNotEqual(status, 0)
        self.assertEqual(said.count('\n'), 1, said)
        self.assertIn(f'{self.orig}: {at:#x} ', said)
        self.assertIn('type: 83', said)
        self.assertEqual(os.listdir(self.dir.name), ['orig'])

    def test_feature(self):
        gen = craft(ORIG, count=1)
        gen.features[40] = struct.pack('<Q', ORIG['kernel'])
        for buf in gen.file_bytes(), gen.pipe_bytes():
            data = self.check(buf, 'unknown header feature (40)')
            self.assertNotIn(40, [number for number, _, _ in data.features])

    def test_sample_bit(self):
        """Samples of the one event go, those of the other stay"""
        def gen():
            gen = PerfDataGen()
            known = gen.attr('known', type=1, ids=[7], sample_id_all=1,
                             sample_type='IDENTIFIER IP TID TIME')
            gen.attr('later', type=1, ids=[8], sample_id_all=1,
                     sample_type=known['sample_type'] | 1 << 30)
            for i in range(3):
                gen.sample(known, ip=ORIG['exe'] + i, pid=1, tid=1, time=i)
                gen.record('SAMPLE', gen.u64s([8, ORIG['exe'], 1, i, ORIG['stack']]), 2)
            return gen
        for buf in self.both(gen):
            data = self.check(buf, ': sample_type 0x40010007, ', UNKNOWN, 'SAMPLE (3)')
            self.assertEqual(sum(rec.name == 'SAMPLE' for rec in data.records), 3)

    def test_attribute_bits(self):
        def gen():
            gen = PerfDataGen()
            attr = gen.attr('bits', type=1, ids=[7], sample_id_all=1, flags=1 << 63,
                            sample_type='IDENTIFIER IP TID TIME')
            gen.sample(attr, ip=ORIG['exe'], pid=1, tid=1, time=1)
            return gen
        for buf in self.both(gen):
            data = self.check(buf, 'attribute bits 0x', UNKNOWN)
            self.assertFalse(data.attrs[0].flags >> 63)

    def test_longer_attribute(self):
        """With a field of a later kernel behind those that are known"""
        gen = craft(ORIG, count=1)
        buf = gen.file_bytes()
        at, size = struct.unpack_from('<QQ', buf, 24)
        entries = b''
        for pos in range(at, at + size, 152):
            attr = bytearray(buf[pos:pos + 136])
            struct.pack_into('<I', attr, 4, 144)
            entries += bytes(attr) + struct.pack('<Q', ORIG['kernel']) + buf[pos + 136:pos + 152]
        out = bytearray(buf + entries)
        struct.pack_into('<QQQ', out, 16, 160, len(buf), len(entries))
        self.check(bytes(out), f"8 bytes of an event's attributes are {UNKNOWN}")


if __name__ == '__main__':
    unittest.main()
