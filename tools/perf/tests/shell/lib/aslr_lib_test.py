# SPDX-License-Identifier: GPL-2.0
"""Do the tools of this directory find what they are there to find?

    python3 aslr_lib_test.py            # PERF=/path/of/perf for the tests of aslr_compare

Crafts a profile twice, at two sets of addresses: the one is the original, the
other what a flawless `perf inject --aslr` could have made of it.  Then spoils the
second one in every way that matters.
"""
import os
import shutil
import struct
import tempfile
import unittest

from aslr_audit import audit
from aslr_compare import compare
from aslr_function import Checker
from perf_data import TYPE, Damaged, PerfData
from perf_data_gen import COMM_EXEC, KERNEL, USER, PerfDataGen

PERF = os.environ.get('PERF') or shutil.which('perf')

ORIG = {'kernel': 0xffffffff9a000000, 'module': 0xffffffffc0a31000, 'exe': 0x55d3a0001000,
        'lib': 0x7f1231000000, 'stack': 0x7ffd10203000, 'nonpie': 0x401000,
        'phys': 0x3e23456000}
SAFE = {'kernel': 0xffff800000100000, 'module': 0xffff800010000000, 'exe': 0x100001000,
        'lib': 0x110000000, 'stack': 0x600000000000, 'nonpie': 0x10001000,
        'phys': 0x7fff00000000000}
SAMPLES = 40


def craft(at, cmdline='record', payload=b'', period=4000, count=SAMPLES, lib_of=None,
          trace=b'', endian='<'):
    """The profile, with its parts mapped at the addresses of the dict `at`"""
    gen = PerfDataGen(endian)
    attr = gen.attr('cycles', ids=[7], sample_id_all=1, mmap=1, comm=1, branch_sample_type=8,
                    sample_regs_user=0x180, sample_type='IDENTIFIER IP TID TIME ADDR CPU PERIOD '
                    'CALLCHAIN RAW BRANCH_STACK REGS_USER PHYS_ADDR')
    watch = gen.attr('mem:x', ids=[8], type=5, config1=at['exe'] + 0x10, bp_type=4,
                     sample_id_all=1, branch_sample_type=8, sample_regs_user=0x180,
                     sample_type=attr['sample_type'])
    ident = {'pid': 100, 'tid': 100, 'time': 1000, 'identifier': 7}
    gen.mmap(misc=KERNEL, pid=-1, start=at['kernel'], len=0x1200000, pgoff=at['kernel'],
             filename='[kernel.kallsyms]_text')
    gen.mmap(misc=KERNEL, pid=-1, start=at['module'], len=0x8000, filename='/lib/modules/a.ko')
    gen.comm(pid=100, tid=100, comm='prog', misc=COMM_EXEC | USER, sample_id=ident)
    for start, size, name in ((at['exe'], 0x2000, '/opt/prog'), (at['lib'], 0x8000, '/opt/a.so'),
                              (at['lib'] + 0x8000, 0x4000, '/opt/b.so')):
        gen.mmap2(pid=100, tid=100, start=start, len=size, pgoff=0x1000, filename=name,
                  sample_id=ident)
    gen.comm(pid=200, tid=200, comm='static', misc=COMM_EXEC | USER,
             sample_id={**ident, 'pid': 200})
    gen.mmap2(pid=200, tid=200, start=at['nonpie'], len=0x4000, pgoff=0x1000,
              filename='/opt/static', sample_id={**ident, 'pid': 200})
    gen.fork(pid=101, ppid=100, tid=101, ptid=100, time=1100, sample_id=ident)
    for i in range(count):
        lib = lib_of(i) if lib_of else at['lib'] + 0x8 * i
        pid = 100 + i % 2
        gen.sample(attr, ip=at['exe'] + i, pid=pid, tid=pid, time=2000 + i, cpu=i % 2,
                   addr=at['stack'] + 0x1000 * (i % 8) + 8, period=period, raw=payload,
                   callchain=[(1 << 64) - 128, at['kernel'] + 64 * i, at['module'] + i,
                              (1 << 64) - 512, at['exe'] + i, lib, 0x100000000 if i == 3 else lib],
                   branches=[(at['lib'] + 1, at['lib'] + 0x9000, 1)],
                   regs_user=[at['stack'] + 0x100, at['exe'] + i] if at is ORIG else [],
                   phys_addr=at['phys'] + i)
        gen.sample(attr, ip=at['nonpie'] + i, pid=200, tid=200, time=3000 + i,
                   addr=0, period=period, phys_addr=at['phys'] + 0x1000 + i, callchain=[0])
    gen.sample(watch, ip=at['exe'] + 0x10, pid=100, tid=100, time=4000, period=1,
               phys_addr=at['phys'])
    if trace:
        gen.auxtrace(trace)
    gen.feature('CMDLINE', gen.strings(['perf', cmdline]))
    gen.feature('HOSTNAME', gen.string('host'))
    gen.feature('ARCH', gen.string('x86_64'))
    gen.feature('EVENT_DESC', gen.event_desc())
    gen.feature('PMU_MAPPINGS', gen.pmu_mappings({5: 'breakpoint'}))
    gen.feature('BPF_PROG_INFO', gen.bpf_prog_info(
        [at['module'] + 0x100], b'' if at is SAFE else b'\x48\xb8' + gen.u64s([at['kernel'] + 64])))
    return gen


class Files(unittest.TestCase):
    """Keeps crafted files in a directory of its own"""

    def setUp(self):
        self.dir = tempfile.TemporaryDirectory()
        self.orig, self.safe = self.path('orig'), self.path('safe')
        craft(ORIG).write(self.orig)

    def tearDown(self):
        self.dir.cleanup()

    def path(self, name):
        return os.path.join(self.dir.name, name)

    def spoil(self, what, offset, value):
        """Write SAFE with an address over the bytes at `offset` of its first record of a type"""
        gen = craft(SAFE)
        record = next(i for i, data in enumerate(gen.records)
                      if struct.unpack_from('<I', data)[0] == TYPE[what])
        data = bytearray(gen.records[record])
        data[offset:offset + 8] = struct.pack('<Q', value)
        gen.records[record] = bytes(data)
        gen.write(self.safe)


class AuditTest(Files):
    def finds(self, gen=None, pipe=False):
        if gen:
            gen.write(self.safe, pipe)
        return audit(self.orig, self.safe)[0]

    def test_clean(self):
        self.assertEqual(self.finds(craft(SAFE)), [])
        self.assertEqual(self.finds(craft(SAFE), pipe=True), [])

    def test_original(self):
        self.assertGreater(len(self.finds(craft(ORIG))), 10 * SAMPLES)
        self.assertGreater(len(self.finds(craft(ORIG), pipe=True)), 10 * SAMPLES)

    def test_every_place(self):
        for name, address in ORIG.items():
            with self.subTest(name):
                at = {**SAFE, name: address}
                self.assertTrue(self.finds(craft(at)))

    def test_odd_offset_in_a_name(self):
        self.spoil('MMAP', 43, ORIG['lib'] + 0x4010)
        found = self.finds()
        self.assertEqual(len(found), 1)
        self.assertIn('filename', str(found[0]))

    def test_in_time(self):
        self.spoil('COMM', 24, ORIG['stack'] + 5)
        self.assertEqual(len(self.finds()), 1)

    def test_task_numbers(self):
        """One may be as the upper half of an address, in its own field"""
        numbers = 0x7f44 << 32 | 0x7f44
        for what, offset, finds in (('COMM', 8, 0), ('FORK', 8, 0), ('FORK', 16, 0),
                                    ('COMM', 9, 1), ('COMM', 12, 1), ('COMM', 16, 1)):
            self.orig = self.path('arena')
            gen = craft(ORIG)
            gen.mmap2(pid=100, tid=100, start=0x7f4400000000, len=0x21000, filename='//anon')
            gen.write(self.orig)
            self.spoil(what, offset, numbers)
            self.assertEqual(bool(self.finds()), bool(finds), (what, offset))

    def test_before_a_task_number(self):
        """The end of a header is no lower half of an address, but all of it is one elsewhere"""
        self.spoil('COMM', 8, 100 << 32 | 0x7f44)
        safe = PerfData(self.safe)
        start = next(rec.offset for rec in safe.records if rec.name == 'COMM')
        value, = struct.unpack_from('<Q', safe.buf, start + 4)
        gen = craft(ORIG)
        gen.mmap2(pid=100, tid=100, start=value & -4096, len=0x1000, filename='/lib/a.so')
        gen.write(self.orig)
        self.assertEqual(value >> 32, 0x7f44)
        self.assertEqual(self.finds(), [])
        self.spoil('COMM', 16, value)
        self.assertEqual(len(self.finds()), 1)

    def test_text_in_cmdline(self):
        for text in ('mem:0x7f1231004010', '7F1231004010:x', '-e probe+0x00000000000401abc',
                     'beef00007f1231004010dead'):
            self.assertEqual(len(self.finds(craft(SAFE, cmdline=text))), 1)

    def test_raw_payload(self):
        for before in range(8):
            payload = bytes(before) + struct.pack('<Q', ORIG['kernel'] + 0x123)
            self.assertEqual(len(self.finds(craft(SAFE, payload=payload))), SAMPLES)

    def test_by_its_look(self):
        """A heap pointer in a payload counts in the terabyte of a mapping, a pid does not"""
        for word, finds in ((ORIG['exe'] + 0x7654321, SAMPLES), (31337 << 32 | 0x2f, 0)):
            payload = struct.pack('<Q', word)
            craft(ORIG, payload=payload).write(self.orig)
            self.assertEqual(len(self.finds(craft(SAFE, payload=payload))), finds)

    def tracepoint(self, at, array, constant):
        """A profile of a tracepoint that has an array of small numbers"""
        text = b'name: b\nID: 10\nformat:\n\tfield:u32 array[10];\toffset:0;\tsize:40;\n' \
            b'print fmt: "%%d", REC->array[0] == 0x%x' % constant
        gen = PerfDataGen()
        attr = gen.attr('a:b', ids=[7], type=2, config=10, sample_type='IP TID RAW')
        for name in ('lib', 'nonpie'):
            gen.mmap2(pid=100, tid=100, start=at[name], len=0x4000, pgoff=0, filename='/a')
        gen.sample(attr, ip=at['lib'], pid=100, tid=100, raw=array)
        gen.feature('TRACING_DATA', b'\x17\x08\x44tracing0.5\0\0\x08' + gen.pack('I', 4096) +
                    b'header_page\0' + gen.u64s([0]) + b'header_event\0' + gen.u64s([0]) +
                    gen.pack('II', 0, 1) + b'a\0' + gen.pack('I', 1) + gen.u64s([len(text)]) +
                    text + gen.pack('II', 0, 0))
        return gen

    def test_tracepoints(self):
        """What looks like an address, in arrays of small numbers and in formats"""
        for value, found in ((ORIG['lib'] + 0x2123, True), (ORIG['module'] + 0x123, True),
                             (ORIG['lib'] + 0x87654321, True), (ORIG['nonpie'] + 0x123, False)):
            mapped = value != ORIG['lib'] + 0x87654321
            for before in range(8):
                array = bytes(8 + before) + struct.pack('<Q', value) + bytes(24 - before)
                self.tracepoint(ORIG, array, 1).write(self.orig)
                self.assertEqual(self.finds(self.tracepoint(SAFE, bytes(40), 1)), [])
                self.assertEqual(bool(self.finds(self.tracepoint(SAFE, array, 1))),
                                 found and (mapped or not before))
            self.tracepoint(ORIG, bytes(40), value).write(self.orig)
            self.assertEqual(bool(self.finds(self.tracepoint(SAFE, bytes(40), value))), found)

    def test_low_pages_in_kept_fields(self):
        period = ORIG['nonpie'] + 0x123
        self.assertEqual(self.finds(craft(SAFE, period=period)), [])
        payload = struct.pack('<Q', period)
        self.assertEqual(len(self.finds(craft(SAFE, payload=payload))), SAMPLES)

    def test_hardware_trace(self):
        self.assertEqual(len(self.finds(craft(SAFE, trace=b'\x02\x82' * 32))), 1)

    def test_other_byte_order(self):
        craft(ORIG, endian='>').write(self.orig)
        self.assertEqual(self.finds(craft(SAFE, endian='>')), [])
        self.assertGreater(len(self.finds(craft(ORIG, endian='>'))), 10 * SAMPLES)

    def test_directory(self):
        os.mkdir(self.path('dir'))
        craft(SAFE).write(self.path('dir/data'))
        self.safe = self.path('dir')
        self.assertEqual(self.finds(), [])
        os.mkdir(self.path('dir/kcore_dir'))
        with open(self.path('dir/kcore_dir/kallsyms'), 'w', encoding='ascii') as file:
            file.write(f'{ORIG["kernel"]:x} T _text\n')
        self.assertEqual(len(self.finds()), 1)


class FunctionTest(Files):
    def violations(self, gen):
        gen.write(self.safe)
        return Checker(PerfData(self.orig), PerfData(self.safe)).check()

    def test_clean(self):
        self.assertEqual(self.violations(craft(SAFE)), [])

    def test_moved_page(self):
        found = self.violations(
            craft(SAFE, lib_of=lambda i: SAFE['lib'] + 8 * i + 0x1000 * (i == 5)))
        self.assertTrue(found)
        self.assertIn('the mapping at', found[0])

    def test_other_page_offset(self):
        found = self.violations(craft({**SAFE, 'stack': SAFE['stack'] + 8}))
        self.assertIn('page offset', found[0])

    def test_swapped_pages(self):
        def swapped(gen):
            data = bytearray(b''.join(gen.records))
            first, second = (struct.pack('<Q', SAFE['stack'] + 8 + page)
                             for page in (0x1000, 0x2000))
            at = data.index(first)
            data[at:at + 8] = second
            gen.records = [bytes(data)]
            return gen
        self.assertTrue(self.violations(swapped(craft(SAFE))))

    def test_halves_and_zero(self):
        self.assertTrue(self.violations(craft({**SAFE, 'module': 0x20000000000})))
        self.assertTrue(self.violations(craft(SAFE, lib_of=lambda i: 0)))

    def test_mappings(self):
        for exe in (SAFE['lib'] + 0x8000, SAFE['lib'] + 0xc000, SAFE['lib'] - 0x2000):
            self.assertTrue(self.violations(craft({**SAFE, 'exe': exe})))

    def test_lost_and_changed(self):
        self.assertTrue(self.violations(craft(SAFE, count=SAMPLES - 1)))
        self.assertTrue(self.violations(craft(SAFE, period=4001)))


@unittest.skipUnless(PERF, 'no perf to run')
class CompareTest(Files):
    """aslr_compare.py"""

    def differences(self, gen):
        gen.write(self.safe)
        return compare(PERF, self.orig, self.safe, ['uregs']).diffs

    def test_same(self):
        self.assertEqual(self.differences(craft(SAFE)), [])

    def test_period(self):
        self.assertTrue(self.differences(craft(SAFE, period=4001)))

    def test_lost_sample(self):
        self.assertTrue(self.differences(craft(SAFE, count=SAMPLES - 1)))

    def test_other_dso(self):
        self.assertTrue(self.differences(
            craft(SAFE, lib_of=lambda i: SAFE['lib'] + 8 * i + 0x8000 * (i == 5))))

    def test_other_offset(self):
        self.assertTrue(self.differences(
            craft(SAFE, lib_of=lambda i: SAFE['lib'] + 8 * i + 0x1000 * (i == 5))))


class ReaderTest(unittest.TestCase):
    def test_fields_cover_records(self):
        for endian in '<>':
            gen = craft(ORIG, endian=endian)
            data = PerfData.from_bytes(gen.file_bytes())
            for rec in data.records:
                pos = rec.offset
                for _, offset, size, _ in data.fields(rec):
                    self.assertEqual(offset, pos, (endian, rec.name))
                    pos += size
                self.assertEqual(pos, rec.offset + rec.size)

    def test_truncated(self):
        whole = craft(ORIG, count=2).file_bytes()
        for size in range(0, len(whole) - 8, 5):
            with self.assertRaises(Damaged, msg=f'{size} bytes'):
                PerfData.from_bytes(whole[:size])

    def test_damaged(self):
        """Whatever a byte is changed to, nothing but Damaged may come of it"""
        for whole in (craft(ORIG, count=1).file_bytes(), craft(ORIG, count=1).pipe_bytes()):
            for at in range(0, len(whole), 3):
                bad = bytearray(whole)
                bad[at] ^= 0xff
                try:
                    data = PerfData.from_bytes(bytes(bad))
                    for rec in data.records:
                        data.fields(rec)
                except Damaged:
                    pass


if __name__ == '__main__':
    unittest.main()
