# SPDX-License-Identifier: GPL-2.0
"""perf inject --aslr with options, on profiles that can't be recorded everywhere.

    PERF=/path/to/perf aslr_options_test.py

Traces of Intel BTS and ARM SPE decode on any machine: in them are addresses.  For
those of Intel PT, which only tell where indirect branches go and whether others
are taken, there is a program.
"""
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import unittest
from collections import Counter

from perf_data import PerfData
from perf_data_gen import COMM_EXEC, KERNEL, USER, PerfDataGen

PERF = os.environ.get('PERF') or shutil.which('perf')
LIB = os.path.dirname(os.path.abspath(__file__))

EXE, LIBC, PLUGIN, HEAP = 0x55d3a0001000, 0x7f1231000000, 0x7f1232000000, 0x55d3b1230000
TEXT, MODULE, PHYS = 0xffffffff9a000000, 0xffffffffc0a31000, 0x3e23456000
BTS_PMU, SPE_PMU, PT_PMU = 9, 11, 13
PARENT, CHILD = 100, 101
ADDRESS = re.compile(r'\b(0x)?[0-9a-f]{3,13}([0-9a-f]{3})\b')

SYMBOL = re.compile(r'(main|function)\+0x[0-9a-f]')


def profile(pmu, name, sample_type, prog='/opt/prog', **more):
    """Events of a trace and another one, and a parent and a child that has its mappings"""
    gen = PerfDataGen()
    common = {'sample_id_all': 1, 'mmap': 1, 'comm': 1, 'sample_type': sample_type}
    clock = gen.attr('cpu-clock', type=1, ids=[7], **common)
    gen.attr(name, type=pmu, ids=[9], **common, **more)
    watch = gen.attr(f'mem:{EXE + 0x10:#x}:x', type=5, config1=EXE + 0x10, bp_type=4, ids=[8],
                     **common)
    gen.mmap(misc=KERNEL, pid=-1, start=TEXT, len=0x1200000, pgoff=TEXT,
             filename='[kernel.kallsyms]_text', sample_id={'identifier': 7})
    gen.mmap(misc=KERNEL, pid=-1, start=MODULE, len=0x8000, filename='/lib/modules/a.ko',
             sample_id={'identifier': 7})
    gen.comm(pid=PARENT, tid=PARENT, comm='parent', misc=COMM_EXEC | USER, sample_id=ident(1000))
    for start, file in ((EXE, prog), (LIBC, '/opt/libc.so')):
        gen.mmap2(pid=PARENT, tid=PARENT, start=start, len=0x8000, pgoff=0x1000, filename=file,
                  sample_id=ident(1000))
    gen.fork(pid=CHILD, ppid=PARENT, tid=CHILD, ptid=PARENT, time=1100, sample_id=ident(1100))
    gen.sample(clock, ip=EXE + 8, pid=PARENT, tid=PARENT, time=1200, period=1)
    gen.sample(watch, ip=EXE + 16, pid=PARENT, tid=PARENT, time=1300, period=1)
    gen.feature('EVENT_DESC', gen.event_desc())
    gen.feature('ARCH', gen.string('x86_64'))
    gen.feature('CPUID', gen.string('0x00000000410fd0c0'))
    gen.feature('PMU_MAPPINGS', gen.pmu_mappings({5: 'breakpoint', pmu: name.rstrip('/')}))
    gen.feature('CMDLINE', gen.strings(['perf', 'record']))
    return gen


def ident(time, pid=PARENT):
    return {'pid': pid, 'tid': pid, 'time': time, 'identifier': 7}


def leave(gen, pid, time):
    """The end of a task; what is behind it isn't of the task any more"""
    gen.event('EXIT', misc=0, pid=pid, ppid=1, tid=pid, ptid=1, time=time,
              sample_id=ident(time, pid))


def bts(branches):
    """Branches, from and to, and one that the decoder leaves out at the end"""
    return b''.join(struct.pack('<3Q', source, target, 0x10)
                    for source, target in [*branches, (1, 1)])


def bts_profile():
    gen = profile(BTS_PMU, 'intel_bts//', 'IDENTIFIER IP TID ADDR PERIOD')
    gen.record('AUXTRACE_INFO', gen.pack('II', 2, 0) + gen.u64s([BTS_PMU, 0, 1, 0, 1, 0]))
    for i, pid in enumerate((PARENT, CHILD)):
        where = LIBC if pid == PARENT else PLUGIN
        gen.auxtrace(bts([(EXE + 0x100 * pid, where + 0x20), (where + 0x40, EXE + 0x100),
                          (EXE + 0x108, TEXT + 0x1000), (TEXT + 0x1010, MODULE + 0x30),
                          (0, EXE + 0x200), (HEAP + 0x10, EXE + 0x300)]),
                     reference=1500, idx=i, tid=pid, cpu=-1)
    # The parent's mappings and this one
    gen.mmap2(pid=CHILD, tid=CHILD, start=PLUGIN, len=0x8000, filename='/opt/plugin.so',
              sample_id=ident(2000, CHILD))
    leave(gen, CHILD, 3000)
    leave(gen, PARENT, 3100)
    return gen


def spe(ip, addr, phys, time):
    """One load that missed the cache: event, kind, addresses, time"""
    return struct.pack('<BHBBBQBQBQBHBQ', 0x52, 0x2 | 0x8, 0x49, 0, 0xb0, ip, 0xb2, addr,
                       0xb3, phys, 0x99, 70, 0x71, time)


def spe_profile():
    """The child maps another library over that of its parent, between two of its samples"""
    gen = profile(SPE_PMU, 'arm_spe_0//', 'IDENTIFIER IP TID TIME ADDR CPU PERIOD PHYS_ADDR')
    gen.feature('ARCH', gen.string('aarch64'))
    gen.record('TIME_CONV', gen.u64s([0, 1, 0]))
    gen.record('AUXTRACE_INFO', gen.pack('II', 4, 0) + gen.u64s([SPE_PMU, 0]))
    for i, pid in enumerate((PARENT, CHILD)):
        trace = b''.join(spe(LIBC + 0x10 * n, EXE + 0x100 * n + pid, PHYS + 0x1000 * (n % 3), time)
                         for n, time in enumerate((1500, 1600, 2500, 2600)))
        trace += spe(EXE + 0x40, HEAP + 8, PHYS, 2700)
        gen.auxtrace(trace, reference=1500, idx=i, tid=pid, cpu=-1)
    gen.mmap2(pid=CHILD, tid=CHILD, start=LIBC, len=0x8000, filename='/opt/plugin.so',
              sample_id=ident(2000, CHILD))
    leave(gen, CHILD, 3000)
    leave(gen, PARENT, 3100)
    return gen


# main: call *%rax twice, jne main, jmp *%rax; at 0x10 function: nop, ret
CODE = bytes.fromhex('ffd0 ffd0 75fa ffe0').ljust(16, b'\xcc') + b'\x90\xc3'
FUNCTION = 0x10


def program():
    """An ELF file with CODE at 0x1000"""
    strings = b'\0main\0function\0'
    names = b'\0.text\0.symtab\0.strtab\0.shstrtab\0'
    symbols = bytes(24) + b''.join(struct.pack('<IBBHQQ', name, 0x12, 0, 1, addr, size)
                                   for name, addr, size in ((1, 0x1000, 8), (6, 0x1010, 2)))
    at, sections, body = 0x1000, bytes(64), b''
    for name, kind, flags, addr, content, link, info, entry in (
            (1, 1, 6, 0x1000, CODE, 0, 0, 0), (7, 2, 0, 0, symbols, 3, 1, 24),
            (15, 3, 0, 0, strings, 0, 0, 0), (23, 3, 0, 0, names, 0, 0, 0)):
        sections += struct.pack('<IIQQQQIIQQ', name, kind, flags, addr, at + len(body),
                                len(content), link, info, 8, entry)
        body += content + bytes(-len(content) % 8)
    header = b'\x7fELF\2\1\1'.ljust(16, b'\0') + struct.pack(
        '<HHIQQQIHHHHHH', 3, 62, 1, 0x1000, 64, at + len(body), 0, 64, 56, 1, 64, 5, 4)
    load = struct.pack('<IIQQQQQQ', 1, 5, 0x1000, 0x1000, 0x1000, len(CODE), len(CODE), 0x1000)
    return (header + load).ljust(at, b'\0') + body + sections


def pt_target(kind, addr):
    """TIP and its like, with all bytes of the address"""
    return struct.pack('<BQ', kind | 6 << 5, addr)


def pt_trace(start, time, pointer):
    """Two rounds of the loop, and a value that the program has put in the trace"""
    call = pt_target(0x0d, start + FUNCTION)
    return b'\x02\x82' * 8 + b'\x19' + time.to_bytes(7, 'little') + b'\x99\x01' + \
        b'\x02\x03\x20\0' + b'\x02\x23' + pt_target(0x11, start) + call + b'\x06' + call + \
        b'\x0e' + b'\x02\x32' + struct.pack('<Q', pointer) + call + b'\x06' + call + b'\x0c' + \
        b'\x01'


def pt_profile(prog):
    """The child maps the program another time, and goes on there"""
    gen = profile(PT_PMU, 'intel_pt//', 'IDENTIFIER IP TID TIME CPU', config=0x3400, prog=prog)
    gen.record('AUXTRACE_INFO', gen.pack('II', 1, 0) +
               gen.u64s([PT_PMU, 0, 1, 0, 1, 0x400, 0x800, 0, 0, 0, 0, 0, 0, 0, 0, 32, 0]))
    for i, pid in enumerate((PARENT, CHILD)):
        trace = pt_trace(EXE, 1500, HEAP)
        if pid == CHILD:
            trace += pt_trace(LIBC, 2500, HEAP)
        gen.auxtrace(trace, reference=1500, idx=i, tid=pid, cpu=-1)
    gen.mmap2(pid=CHILD, tid=CHILD, start=LIBC, len=0x1000, pgoff=0x1000, filename=prog,
              sample_id=ident(2000, CHILD))
    leave(gen, CHILD, 3000)
    leave(gen, PARENT, 3100)
    return gen


JIT = 0x7f1240000000
CLOCK_MONOTONIC = 1


def jitdump(time):
    """What a runtime that compiles two functions leaves for perf inject --jit"""
    out = struct.pack('<6IQQ', 0x4a695444, 1, 40, 62, 0, PARENT, time, 0)
    for i, name in enumerate((b'jitted_one\0', b'jitted_two\0')):
        addr = JIT + 0x2000 * i
        load = struct.pack('<IIQQQQ', PARENT, PARENT, addr, addr, len(CODE), i + 1) + name + CODE
        out += struct.pack('<IIQ', 0, 16 + len(load), time + 1 + i) + load
    return out + struct.pack('<IIQ', 3, 16, time + 9)


def jit_profile(dump):
    gen = PerfDataGen()
    clock = gen.attr('cpu-clock', type=1, ids=[7], sample_id_all=1, mmap=1, comm=1,
                     flags=1 << 25, clockid=CLOCK_MONOTONIC,
                     sample_type='IDENTIFIER IP TID TIME PERIOD')
    gen.comm(pid=PARENT, tid=PARENT, comm='parent', misc=COMM_EXEC | USER, sample_id=ident(1000))
    gen.mmap2(pid=PARENT, tid=PARENT, start=EXE, len=0x8000, filename='/opt/prog',
              sample_id=ident(1000))
    gen.mmap2(pid=PARENT, tid=PARENT, start=HEAP, len=0x1000, filename=dump,
              sample_id=ident(1000))
    for i, ip in enumerate((EXE + 8, JIT, JIT + 4, JIT + 0x2006)):
        gen.sample(clock, ip=ip, pid=PARENT, tid=PARENT, time=2000 + i, period=1)
    leave(gen, PARENT, 3100)
    gen.feature('ARCH', gen.string('x86_64'))
    gen.feature('EVENT_DESC', gen.event_desc())
    return gen


class Options(unittest.TestCase):
    fields = 'comm,pid,tid,event,ip,sym,dso,dsoff,addr'

    def setUp(self):
        self.dir = tempfile.mkdtemp()
        self.orig, self.plain, self.safe = (os.path.join(self.dir, name)
                                            for name in ('orig', 'plain', 'safe'))

    def tearDown(self):
        shutil.rmtree(self.dir)

    def run_command(self, *args):
        result = subprocess.run(args, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT, check=False, cwd=self.dir)
        out = result.stdout.decode('utf-8', 'replace')
        self.assertEqual(result.returncode, 0, out)
        return out

    def inject(self, *options):
        """The same with and without --aslr. Returns what is said of the first."""
        self.run_command(PERF, 'inject', *options, '-i', self.orig, '-o', self.plain)
        return self.run_command(PERF, 'inject', '--aslr', *options, '-i', self.orig,
                                '-o', self.safe)

    def tool(self, name, *files):
        return self.run_command(sys.executable, os.path.join(LIB, name), *files)

    def listed(self, *command):
        """What perf lists, with no more of an address than its offset in the page"""
        out = subprocess.run([PERF, *command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                             stderr=subprocess.DEVNULL, text=True, check=True).stdout
        return [' '.join(ADDRESS.sub(r'ADDR\2', line).split()) for line in out.splitlines()]

    def script(self, path, *options):
        return self.listed('script', *options, '-i', path, '-F', self.fields)

    def check(self, samples, *options):
        said = self.inject(*options)
        self.assertNotIn('dropped:', said)
        self.tool('aslr_audit.py', self.orig, self.safe)
        # That has all addresses of the trace, where they can be read
        self.tool('aslr_audit.py', self.plain, self.safe)
        self.tool('aslr_function.py', self.plain, self.safe)
        counts = [sum(rec.name == 'SAMPLE' for rec in PerfData(path).records)
                  for path in (self.plain, self.safe)]
        self.assertEqual(counts, [samples or counts[0]] * 2)
        self.assertEqual(self.listed('evlist', '-i', self.plain),
                         self.listed('evlist', '-i', self.safe))
        lines = self.script(self.safe)
        self.assertEqual(self.script(self.plain), lines)
        return lines

    def test_bts(self):
        bts_profile().write(self.orig)
        lines = self.check(2 + 12, '--itrace=b')
        # Mapped by the child only, and inherited by it
        self.assertTrue(any('/opt/plugin.so' in line for line in lines))
        self.assertTrue(any(f'{CHILD}/{CHILD}' in line and '/opt/prog' in line for line in lines))

    def test_bts_strip(self):
        bts_profile().write(self.orig)
        self.check(12, '--itrace=b', '--strip')

    def test_bts_errors(self):
        """Each says where it is that there are no instructions"""
        bts_profile().write(self.orig)
        self.check(2 + 12, '--itrace=be')
        errors = [[rec for rec in PerfData(path).records if rec.name == 'AUXTRACE_ERROR']
                  for path in (self.plain, self.safe)]
        self.assertGreater(len(errors[1]), 5)
        self.assertEqual(len(errors[0]), len(errors[1]))

    def test_pipes(self):
        for pipe in False, True:
            spe_profile().write(self.orig, pipe=pipe)
            with open(self.orig, 'rb') as orig, open(self.safe, 'wb') as safe:
                subprocess.run([PERF, 'inject', '--aslr', '--itrace=i1iM', '-i',
                                '-' if pipe else self.orig, '-o', '-'], stdin=orig, stdout=safe,
                               stderr=subprocess.DEVNULL, check=True)
            self.tool('aslr_audit.py', self.orig, self.safe)
            names = [rec.name for rec in PerfData(self.safe).records]
            self.assertEqual(names.count('SAMPLE'), 2 + 2 * 10)

    def test_spe(self):
        spe_profile().write(self.orig)
        lines = self.check(2 + 2 * 10, '--itrace=i1iM')
        # Before and after the child mapped it
        for name in '/opt/libc.so', '/opt/plugin.so':
            self.assertTrue(any(f'{CHILD}/{CHILD}' in line and name in line for line in lines))
        self.assertEqual(sorted(self.script(self.orig, '--itrace=i1iM')), sorted(lines))

    def test_spe_strip(self):
        spe_profile().write(self.orig)
        self.check(2 * 10, '--itrace=i1iM', '--strip')

    def test_pt(self):
        """What is decoded needs the program, at the addresses of its time"""
        prog = os.path.join(self.dir, 'prog')
        with open(prog, 'wb') as file:
            file.write(program())
        pt_profile(prog).write(self.orig)
        # As often as the loop goes round, in each trace
        instructions = {'main+0x0': 2, 'function+0x0': 4, 'function+0x1': 4, 'main+0x2': 2,
                        'main+0x4': 2, 'main+0x6': 1}
        for options, fields in (('b', 'comm,tid,time,event,ip,sym,dso'),
                                ('i1ig', 'comm,tid,time,event,ip,sym,symoff,dso'),
                                ('i1il', 'hw:comm,tid,time,event,ip,sym,symoff,brstacksym')):
            with self.subTest(options):
                self.fields = fields
                lines = self.check(None if options == 'b' else 2 + 3 * 15, f'--itrace={options}')
                if options == 'i1il':
                    found = Counter(SYMBOL.search(line)[0] for line in lines
                                    if 'instructions' in line)
                    self.assertEqual(sorted(found.items()),
                                     sorted((name, 3 * nr) for name, nr in instructions.items()))
                    self.assertTrue(any('function+0x1/main+0x4/' in line for line in lines))

    def test_pt_payloads(self):
        """Of what isn't a sample of the code only a frequency and the like is kept"""
        prog = os.path.join(self.dir, 'prog')
        with open(prog, 'wb') as file:
            file.write(program())
        pt_profile(prog).write(self.orig)
        self.assertIn('blanked: RAW (3)', self.inject('--itrace=wp'))
        self.tool('aslr_audit.py', self.orig, self.safe)
        for event, same in ('ptwrite', False), ('cbr', True), ('psb', True):
            before, after = ([line for line in self.listed('script', '-i', path, '-F',
                                                           'event,synth') if event in line]
                             for path in (self.plain, self.safe))
            self.assertEqual(len(before), len(after))
            self.assertTrue(before)
            self.assertEqual(before == after, same, (before, after))

    def test_jit(self):
        """--jit first, and --aslr on what that made"""
        dump = os.path.join(self.dir, f'jit-{PARENT}.dump')
        with open(dump, 'wb') as file:
            file.write(jitdump(1500))
        jit_profile(dump).write(self.orig)
        self.run_command(PERF, 'inject', '--jit', '-i', self.orig, '-o', self.plain)
        self.run_command(PERF, 'inject', '--aslr', '-i', self.plain, '-o', self.safe)
        for orig in self.orig, self.plain:
            self.tool('aslr_audit.py', orig, self.safe)
        self.tool('aslr_function.py', self.plain, self.safe)
        self.fields = 'comm,tid,time,event,ip,sym,symoff,dso'
        lines = self.script(self.safe)
        self.assertEqual(self.script(self.plain), lines)
        for where in 'jitted_one+0x0', 'jitted_one+0x4', 'jitted_two+0x6':
            self.assertTrue(any(where in line for line in lines), lines)

    def test_after_itrace(self):
        """--itrace first, and --aslr on what that made: as both at once"""
        bts_profile().write(self.orig)
        self.run_command(PERF, 'inject', '--itrace=b', '-i', self.orig, '-o', self.plain)
        self.run_command(PERF, 'inject', '--aslr', '-i', self.plain, '-o', self.safe)
        for orig in self.orig, self.plain:
            self.tool('aslr_audit.py', orig, self.safe)
        self.tool('aslr_function.py', self.plain, self.safe)
        self.assertEqual(self.script(self.plain), self.script(self.safe))

    def test_without_itrace(self):
        spe_profile().write(self.orig)
        said = self.run_command(PERF, 'inject', '--aslr', '-i', self.orig, '-o', self.safe)
        self.assertIn('AUXTRACE', said)
        self.tool('aslr_audit.py', self.orig, self.safe)

    def test_cut_trace(self):
        """Trace data that goes on behind the end of the file"""
        gen = spe_profile()
        index = next(i for i, data in enumerate(gen.records) if data[0] == 71)
        data = bytearray(gen.records[index])
        data[8:16] = struct.pack('<Q', 1 << 40)
        gen.records[index] = bytes(data)
        gen.write(self.orig)
        result = subprocess.run([PERF, 'inject', '--aslr', '--itrace', '-i', self.orig,
                                 '-o', self.safe], stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                check=False)
        self.assertGreater(result.returncode, 0, result.stdout)
        self.assertIn('in its trace data', result.stdout)
        self.assertEqual(os.listdir(self.dir), ['orig'])


if __name__ == '__main__':
    unittest.main()
