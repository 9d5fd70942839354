# SPDX-License-Identifier: GPL-2.0
"""Crafted user stacks: perf inject --aslr neither crashes nor hangs, loses no sample and
leaks nothing.  PERF is the perf to test."""
import os
import platform
import random
import shutil
import struct
import subprocess
import sys
import tempfile
import unittest
import unittest.mock

from perf_data import PerfData
from perf_data_gen import PerfDataGen

PERF = os.environ.get('PERF') or shutil.which('perf')
LIB = os.path.dirname(os.path.abspath(__file__))

# x86's AX BX CX DX SI DI BP SP IP FLAGS CS SS R8 .. R15
MASK, NR_REGS, SP, IP = 0xff0fff, 20, 7, 8
STACK = 0x7ffc12340000
FIELDS = 'IP TID TIME CALLCHAIN REGS_USER STACK_USER'
EXCLUDE_CALLCHAIN_USER = 1 << 22
KERNEL_MARK, USER_MARK = -128, -512
TEXT = 0xffffffff96600000
TIMEOUT = 60


def text_of_libc():
    """Where this process has the code of a library: (start, end, offset, path)"""
    with open('/proc/self/maps', encoding='ascii') as maps:
        for line in maps:
            fields = line.split()
            if 'x' in fields[1] and 'libc' in fields[-1]:
                start, end = (int(number, 16) for number in fields[0].split('-'))
                return start, end, int(fields[2], 16), fields[-1]
    return None


@unittest.skipUnless(platform.machine() == 'x86_64' and text_of_libc(), 'registers are of x86-64')
class Stacks(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.mkdtemp()
        self.orig, self.safe = (os.path.join(self.dir, name) for name in ('orig', 'safe'))
        self.start, self.end, offset, path = text_of_libc()
        self.random = random.Random(1)
        self.gen = PerfDataGen()
        self.gen.features[6] = self.gen.string('x86_64')
        self.mapped = {'pid': 100, 'tid': 100, 'start': self.start, 'len': self.end - self.start,
                       'pgoff': offset, 'filename': path}

    def tearDown(self):
        shutil.rmtree(self.dir)

    def attr(self, fields=FIELDS, mask=MASK, flags=EXCLUDE_CALLCHAIN_USER, **more):
        attr = self.gen.attr(type=1, sample_type=fields, sample_regs_user=mask, flags=flags,
                             sample_stack_user=8192, sample_id_all=1, **more)
        self.gen.mmap2(sample_id={'pid': 100, 'tid': 100, 'time': 1}, **self.mapped)
        return attr

    def code(self):
        return self.random.randrange(self.start, self.end)

    def registers(self, number=NR_REGS):
        regs = [self.random.choice((self.code(), STACK + self.random.randrange(8192), 0, 1 << 63))
                for _ in range(number)]
        if number > IP:
            regs[SP], regs[IP] = STACK, self.code()
        return regs

    def stack(self, size=8192):
        return b''.join(struct.pack('<Q', self.random.choice(
            (self.code(), STACK + self.random.randrange(size + 16), 0,
             self.random.getrandbits(64)))) for _ in range(size // 8))

    def sample(self, attr, **fields):
        fields = {'regs_user': self.registers(), 'stack': self.stack(), **fields}
        return self.gen.sample(attr, ip=self.code(), pid=100, tid=100,
                               time=1000 + len(self.gen.records), **fields)

    def inject(self):
        self.gen.write(self.orig)
        result = subprocess.run([PERF, 'inject', '--aslr', '-i', self.orig, '-o', self.safe],
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                check=False, timeout=TIMEOUT)
        self.assertGreaterEqual(result.returncode, 0, result.stdout)
        self.assertNotIn('Sanitizer', result.stdout)
        return result

    def tool(self, name, *args):
        result = subprocess.run([sys.executable, os.path.join(LIB, name), *args, self.orig,
                                 self.safe], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                text=True, check=False)
        self.assertEqual(result.returncode, 0, result.stdout)

    def check(self):
        """Nothing leaks, no sample is lost, none grows"""
        result = self.inject()
        self.assertEqual(result.returncode, 0, result.stdout)
        self.tool('aslr_audit.py')
        self.tool('aslr_function.py')
        sizes = [[rec.size for rec in PerfData(path).records if rec.name == 'SAMPLE']
                 for path in (self.orig, self.safe)]
        self.assertEqual(*map(len, sizes))
        self.assertTrue(all(after <= before for before, after in zip(*sizes)))
        return result.stdout

    def check_or_refuse(self):
        """A file that lies about a size may be refused, but then there is no output"""
        result = self.inject()
        if result.returncode:
            self.assertEqual(os.listdir(self.dir), ['orig'])
        else:
            self.tool('aslr_audit.py')

    def patch(self, position, value):
        """A u64 of the last sample"""
        data = bytearray(self.gen.records[-1])
        position %= len(data)
        data[position:position + 8] = struct.pack('<Q', value)
        self.gen.records[-1] = bytes(data)

    def agree(self):
        self.tool('aslr_compare.py', '--perf', PERF, '--ignore', 'uregs')

    def test_garbage(self):
        attr = self.attr()
        for _ in range(100):
            self.sample(attr, callchain=[KERNEL_MARK, TEXT, TEXT + 0x1234])
        self.check()
        self.agree()

    def test_stack_of_any_size(self):
        attr = self.attr()
        for size in (0, 8, 16, 64, 1024, 65200):
            self.sample(attr, stack=self.stack(size))
        self.check()

    def test_less_stack_than_room(self):
        attr = self.attr()
        for size in (0, 1, 7, 8, 17, 4096, 8191, 8192):
            self.sample(attr)
            self.patch(-8, size)
        self.check()
        self.agree()

    def told_of_sizes(self, number):
        self.assertIn(f"STACK_USER of a size that can't be ({number})", self.check())
        self.agree()

    def test_more_stack_than_room(self):
        attr = self.attr()
        for size in (8193, 8200, 1 << 32, 1 << 63, (1 << 64) - 1):
            self.sample(attr)
            self.sample(attr)
            self.patch(-8, size)
        self.told_of_sizes(5)

    def test_size_of_stack(self):
        attr = self.attr()
        for size in (8191, 8200, 1 << 32, 1 << 63, (1 << 64) - 8):
            self.sample(attr)
            self.sample(attr)
            self.patch(-8 - 8192 - 8, size)
        self.told_of_sizes(5)

    def test_size_of_stack_before_a_field(self):
        """What is behind it can't be found"""
        attr = self.attr(FIELDS + ' WEIGHT')
        self.sample(attr, weight=7)
        self.patch(-8 - 8, 8200)
        self.told_of_sizes(1)
        self.patch(-8 - 8 - 8192 - 8, 8208)
        os.remove(self.safe)
        self.assertNotEqual(self.inject().returncode, 0)
        self.assertNotIn('safe', os.listdir(self.dir))

    def test_masks(self):
        for mask in (1, 1 << IP, 1 << SP | 1 << IP, MASK & ~(1 << SP), 1 << 63, (1 << 64) - 1):
            with self.subTest(mask=mask):
                self.gen = PerfDataGen()
                self.sample(self.attr(mask=mask), regs_user=self.registers(bin(mask).count('1')))
                self.check()

    def test_fewer_registers_than_mask(self):
        self.sample(self.attr(mask=(1 << 64) - 1), stack=b'')
        self.check_or_refuse()

    def test_abi(self):
        attr = self.attr()
        for abi in 1, 2, 3, 77, (1 << 64) - 1:
            self.sample(attr, regs_user_abi=abi)
        self.sample(attr, regs_user=[])
        self.check()

    def test_no_call_chain(self):
        self.sample(self.attr('IP TID TIME REGS_USER STACK_USER'))
        self.check()
        with open(self.safe, 'rb') as file:
            self.assertNotIn(struct.pack('<q', USER_MARK), file.read())

    def test_long_call_chain(self):
        attr = self.attr()
        for _ in range(20):
            self.sample(attr, callchain=[KERNEL_MARK] + [TEXT + 16 * i for i in range(120)])
        self.check()
        self.agree()

    def test_user_call_chain_of_the_kernel(self):
        attr = self.attr(flags=0)
        for _ in range(20):
            self.sample(attr, callchain=[KERNEL_MARK, TEXT, USER_MARK, self.code(), self.code()])
        self.check()
        self.agree()

    def test_lbr_call_stack(self):
        """Branches of perf record --call-graph lbr are the user's part of the chain"""
        call_stack = 1 << 0 | 1 << 11
        attr = self.gen.attr(type=1, sample_type='IP TID TIME CALLCHAIN BRANCH_STACK',
                             branch_sample_type=call_stack, flags=EXCLUDE_CALLCHAIN_USER,
                             sample_id_all=1)
        self.gen.mmap2(sample_id={'pid': 100, 'tid': 100, 'time': 1}, **self.mapped)
        for _ in range(20):
            self.gen.sample(attr, ip=self.code(), pid=100, tid=100, time=1000,
                            callchain=[USER_MARK, self.code()],
                            branches=[(self.code(), self.code(), 0) for _ in range(8)])
        self.assertNotIn('blanked', self.check())
        self.agree()
        with open(self.orig, 'rb') as orig, open(self.safe, 'rb') as safe:
            self.assertEqual(len(orig.read()), len(safe.read()))

    def test_no_call_chain_of_a_guest(self):
        self.sample(self.attr(), misc=5)
        self.check()

    def test_other_architecture(self):
        for arch in 'aarch64', 'armv7l', 's390x', 'ppc64le', 'riscv64':
            with self.subTest(arch=arch):
                self.gen = PerfDataGen()
                self.gen.features[6] = self.gen.string(arch)
                self.sample(self.attr(), callchain=[KERNEL_MARK, TEXT])
                told = self.check()
                self.assertIn('not unwound', told)
                self.assertIn('STACK_USER (1)', told)
                with open(self.safe, 'rb') as file:
                    self.assertNotIn(struct.pack('<q', USER_MARK), file.read())

    def test_pipe_for_a_binary(self):
        self.mapped['filename'] = os.path.join(self.dir, 'fifo')
        os.mkfifo(self.mapped['filename'])
        self.sample(self.attr())
        self.assertIn('fifo missing (1)', self.check())

    def vdso(self):
        """Its build-id is in the profile"""
        self.mapped['filename'] = '[vdso]'
        self.gen.features[2] = self.gen.build_ids([(-1, bytes(range(20)), '[vdso]', 2)])
        return self.attr()

    def test_vdso_of_another_kernel(self):
        self.sample(self.vdso())
        self.assertIn('end at binaries: [vdso] missing (1)', self.check())

    def test_vdso_of_a_32_bit_program(self):
        """perf takes the build-id of [vdso] for that of [vdso32], and so the cached file"""
        program, path = os.path.join(self.dir, 'program'), self.mapped['filename']
        with open(program, 'wb') as file:
            file.write(b'\x7fELF\x01\x01\x01'.ljust(16, b'\0') + struct.pack(
                '<HHIIIIIHHHHHH', 2, 3, 1, 0, 0, 0, 0, 52, 32, 0, 40, 0, 0))
        attr = self.vdso()
        self.gen.mmap2(sample_id={'pid': 100, 'tid': 100, 'time': 0}, pid=100, tid=100,
                       start=0x1000000, len=4096, filename=program)
        self.sample(attr)
        cached = os.path.join(self.dir, '.debug', '.build-id', '00', bytes(range(1, 20)).hex())
        os.makedirs(cached)
        shutil.copy(path, os.path.join(cached, 'vdso'))
        with unittest.mock.patch.dict(os.environ, HOME=self.dir):
            self.assertNotIn('end at binaries', self.check())
            self.agree()
        with open(self.safe, 'rb') as file:
            self.assertIn(struct.pack('<q', USER_MARK), file.read())

    def test_maps(self):
        for change in ({'len': 0}, {'start': -4096, 'len': 1 << 20}, {'len': (1 << 64) - 1},
                       {'filename': '/dev/zero'}, {'filename': '/proc/self/mem'},
                       {'filename': '/dev/null'}, {'filename': '/tmp'}, {'filename': ''},
                       {'filename': '/etc/passwd'}, {'filename': '[vdso]'},
                       {'filename': '/tmp/perf-100.map'}, {'pgoff': -1}):
            with self.subTest(change=change):
                self.gen = PerfDataGen()
                self.mapped.update(change)
                attr = self.attr()
                for _ in range(5):
                    self.sample(attr)
                self.check_or_refuse()
                self.mapped.update(zip(('start', 'len', 'pgoff', 'filename'), (
                    self.start, self.end - self.start, *text_of_libc()[2:])))


if __name__ == '__main__':
    unittest.main()
