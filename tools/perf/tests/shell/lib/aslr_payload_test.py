# SPDX-License-Identifier: GPL-2.0
"""perf inject --aslr on payloads of tracepoints that can't be recorded everywhere.

    PERF=/path/to/perf aslr_payload_test.py

The formats of the events come with the test: ftrace's own, of which some kernels
give perf no samples, probes, system calls of other architectures, and payloads that
aren't as their format says.
"""
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import unittest

from perf_data import PerfData
from perf_data_gen import COMM_EXEC, KERNEL, USER, PerfDataGen

PERF = os.environ.get('PERF') or shutil.which('perf')
LIB = os.path.dirname(os.path.abspath(__file__))

TEXT, MODULE, DIRECT = 0xffffffff9a000000, 0xffffffffc0a31000, 0xffff9c3d81234560
EXE, LIBC, HEAP = 0x55d3a0001000, 0x7f1231000000, 0x55d3a1b0c2a0
LOW_EXE, LOW_HEAP, LOW_STACK = 0x401000, 0x28a0b2a0, 0xff869eb0
PID, LOW_PID, NARROW_PID = 100, 200, 300

COMMON = '''\
	field:unsigned short common_type;	offset:0;	size:2;	signed:0;
	field:unsigned char common_flags;	offset:2;	size:1;	signed:0;
	field:unsigned char common_preempt_count;	offset:3;	size:1;	signed:0;
	field:int common_pid;	offset:4;	size:4;	signed:1;

'''
HEADER_PAGE = '''\
	field: u64 timestamp;	offset:0;	size:8;	signed:0;
	field: local_t commit;	offset:8;	size:8;	signed:1;
	field: int overwrite;	offset:8;	size:1;	signed:1;
	field: char data;	offset:16;	size:4080;	signed:1;
'''


def event_format(name, number, fields, fmt):
    """As tracefs has it; fields of (declaration, offset, size)"""
    return f'name: {name}\nID: {number}\nformat:\n{COMMON}' + ''.join(
        f'\tfield:{decl};\toffset:{offset};\tsize:{size};\tsigned:0;\n'
        for decl, offset, size in fields) + f'\nprint fmt: {fmt}\n'


IP = ('unsigned long ip', 8, 8)
PROBE_IP = ('unsigned long __probe_ip', 8, 8)
FORMATS = {
    'ftrace': {
        'print': (5, [IP, ('char buf[]', 16, 0)], '"%ps: %s", (void *)REC->ip, REC->buf'),
        'bprint': (6, [IP, ('const char * fmt', 16, 8), ('u32 buf[]', 24, 0)],
                   '"%ps: %s", (void *)REC->ip, REC->fmt'),
        'bputs': (15, [IP, ('const char * str', 16, 8)],
                  '"%ps: %s", (void *)REC->ip, REC->str'),
    },
    'test': {
        'data': (20, [('unsigned long addr', 8, 8), ('__data_loc char[] name', 16, 4),
                      ('__data_loc u64[] ids', 20, 4)],
                 '"%lx %s", REC->addr, __get_str(name)'),
        'overlap': (21, [('u64 a', 8, 8), ('u64 b', 12, 8)], '"%llx", REC->a'),
        'pair': (22, [('u32 a', 8, 4), ('u32 b', 12, 4)], '"%u %u", REC->a, REC->b'),
        'bytes': (23, [('u8 x[24]', 8, 24)], '""'),
    },
    'probes': {
        'arg': (30, [PROBE_IP, ('u32 x', 16, 4)], '"(%lx) x=%u", REC->__probe_ip, REC->x'),
        'array': (31, [PROBE_IP, ('u8 x[56]', 16, 56)], '"(%lx)", REC->__probe_ip'),
    },
    'raw_syscalls': {
        'sys_enter': (40, [('long id', 8, 8), ('unsigned long args[6]', 16, 48)],
                      '"NR %ld (%lx)", REC->id, REC->args[0]'),
        'sys_exit': (41, [('long id', 8, 8), ('long ret', 16, 8)],
                     '"NR %ld = %ld", REC->id, REC->ret'),
    },
}
PRINTK = {TEXT + 0x1200010: 'at %lx, %d', TEXT + 0x1200020: 'put there'}


def number_of(event):
    system, name = event.split(':')
    return FORMATS[system][name][0]


def tracing_data(printk):
    """As trace-event-info.c writes it"""
    def file(text, size='<Q'):
        return struct.pack(size, len(text)) + text.encode()

    def formats(system):
        return struct.pack('<I', len(FORMATS[system])) + b''.join(
            file(event_format(name, *what)) for name, what in FORMATS[system].items())
    others = [system for system in FORMATS if system != 'ftrace']
    return b'\x17\x08\x44tracing0.6\0\0\x08' + struct.pack('<I', 4096) + \
        b'header_page\0' + file(HEADER_PAGE) + b'header_event\0' + file('') + \
        formats('ftrace') + struct.pack('<I', len(others)) + \
        b''.join(system.encode() + b'\0' + formats(system) for system in others) + \
        struct.pack('<I', 0) + \
        file(''.join(f'{addr:#x} : "{text}"\n' for addr, text in printk.items()), '<I') + \
        file(f'{PID} prog\n')


class Trace:
    """A profile of tracepoints, of three processes: one, one at a fixed address, one of 32 bits"""

    def __init__(self, arch='x86_64'):
        self.gen, self.attrs, self.nr = PerfDataGen(), {}, 0
        gen = self.gen
        for system, events in FORMATS.items():
            for name, (number, _, _) in events.items():
                self.attrs[f'{system}:{name}'] = gen.attr(
                    f'{system}:{name}', type=2, config=number, ids=[number], sample_id_all=1,
                    sample_period=1, sample_type='IDENTIFIER IP TID TIME CPU PERIOD RAW')
        ident = {'time': 1000, 'identifier': 5}
        gen.mmap(misc=KERNEL, pid=-1, start=TEXT, len=0x1200000, pgoff=TEXT,
                 filename='[kernel.kallsyms]_text', sample_id=ident)
        for pid, maps in ((PID, (EXE, LIBC)), (LOW_PID, (LOW_EXE, LIBC)),
                          (NARROW_PID, (0x56556000, 0xf7c21000))):
            ident.update(pid=pid, tid=pid)
            gen.comm(pid=pid, tid=pid, comm=f'prog{pid}', misc=COMM_EXEC | USER, sample_id=ident)
            for start in maps:
                gen.mmap2(pid=pid, tid=pid, start=start, len=0x1000, pgoff=0x1000,
                          filename='/opt/prog', sample_id=ident)
        if arch:
            gen.feature('ARCH', gen.string(arch))
        gen.feature('EVENT_DESC', gen.event_desc())
        gen.feature('TRACING_DATA', tracing_data(PRINTK))

    def add(self, event, payload, pid=PID, number=None):
        """A sample, with what is behind the common fields of its payload"""
        number = number_of(event) if number is None else number
        self.nr += 1
        self.gen.sample(self.attrs[event], misc=KERNEL, ip=TEXT + 0x100 * self.nr, pid=pid, tid=pid,
                        time=2000 + self.nr, period=1, identifier=self.attrs[event]['ids'][0],
                        raw=struct.pack('<HBBi', number, 0, 0, pid) + payload)


def u64s(*values):
    return struct.pack(f'<{len(values)}Q', *values)


class Payloads(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.mkdtemp()
        self.orig, self.safe = (os.path.join(self.dir, name) for name in ('orig', 'safe'))

    def tearDown(self):
        shutil.rmtree(self.dir)

    def run_tool(self, *argv):
        result = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                errors='replace', check=False)
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
        return result

    def inject(self, trace, pipe=False):
        """Nothing leaks, no sample is lost.  Returns what was said, and the payloads"""
        trace.gen.write(self.orig, pipe=pipe)
        said = self.run_tool(PERF, 'inject', '--aslr', '-i', self.orig, '-o', self.safe).stderr
        self.run_tool(sys.executable, os.path.join(LIB, 'aslr_audit.py'), self.orig, self.safe)
        payloads = self.payloads()
        self.assertEqual(len(payloads), trace.nr)
        return said, payloads

    def payloads(self):
        """What is behind the common fields"""
        data, out = PerfData(self.safe), []
        for rec in data.records:
            for name, offset, _, _ in data.fields(rec):
                if rec.name == 'SAMPLE' and name == 'raw.size':
                    size, = struct.unpack_from('<I', rec.stream.buf, offset)
                    out.append(bytes(rec.stream.buf[offset + 12:offset + 4 + size]))
        return out

    def script(self, path):
        """What perf script prints of the payloads, its addresses as ADDR"""
        done = self.run_tool(PERF, 'script', '--kallsyms', '/dev/null', '-i', path,
                             '-F', 'comm,tid,time,event,trace')
        words = [line.split() for line in done.stdout.splitlines()]
        return [' '.join('ADDR' if len(word.strip(':,')) > 10 and
                         not set(word.strip(':,')) - set('0123456789abcdefx') else word
                         for word in line) for line in words]

    def test_ftrace(self):
        for pipe in False, True:
            with self.subTest(pipe=pipe):
                trace = Trace()
                trace.add('ftrace:print', u64s(TEXT + 0x1234) +
                          f'4711 deadbeef at {LIBC + 0x123:#x}, {DIRECT:x}\n\0'.encode())
                trace.add('ftrace:print', u64s(TEXT + 0x1234) + b'nothing\n\0')
                # In a pipe the printk formats come before the mapping that they are in.
                trace.add('ftrace:bprint', u64s(TEXT + 0x1300, TEXT + 0x1200010, HEAP) +
                          struct.pack('<I', 4711))
                trace.add('ftrace:bputs', u64s(TEXT + 0x1300, TEXT + 0x1200020))
                said, payloads = self.inject(trace, pipe)
                self.assertNotIn('blanked', said)
                lines = self.script(self.safe)
                self.assertEqual(lines, self.script(self.orig))
                for what in ('ADDR 4711 deadbeef at ADDR ADDR', 'ADDR nothing',
                             'ADDR at ADDR 4711', 'ADDR put there'):
                    self.assertTrue(any(line.endswith(what) for line in lines), lines)
                ip, = struct.unpack_from('<Q', payloads[0])
                self.assertEqual(ip & 0xfff, 0x234)
                self.assertIn(b' 0x' + b'0' * 12 + b', ' + b'0' * 16 + b'\n', payloads[0])

    def test_bad_payloads(self):
        """Blanked and counted; what is beside them stays"""
        fine = u64s(LIBC + 0x123) + struct.pack('<II', 24 | 8 << 16, 32 | 8 << 16) + \
            b'name\0\0\0\0' + u64s(5)
        bad = (
            ('test:data', fine, 20 + 1),                                # of another event
            ('test:data', fine[:8], None),                              # too short
            ('test:data', b'', None),
            ('test:data', u64s(0) + struct.pack('<II', 0xffff | 8 << 16, 0), None),
            ('test:data', u64s(0) + struct.pack('<II', 24 | 0xffff << 16, 0), None),
            ('test:data', u64s(0) + struct.pack('<II', 8 | 8 << 16, 0), None),
            ('test:data', u64s(0) + struct.pack('<II', 24 | 8 << 16, 24 | 8 << 16) + u64s(5), None),
            ('test:overlap', u64s(LIBC, LIBC), None),                   # no such format
            ('test:pair', u64s(LIBC + 0x123), None),                    # an address of two fields
        )
        for pipe in False, True:
            with self.subTest(pipe=pipe):
                trace = Trace()
                for event, payload, number in bad:
                    trace.add(event, payload, number=number)
                    trace.add('test:data', fine)
                said, payloads = self.inject(trace, pipe)
                self.assertIn(f'RAW ({len(bad)})', said)
                for i, payload in enumerate(payloads[::2]):
                    self.assertFalse(payload.strip(b'\0'), bad[i])
                for payload in payloads[1::2]:
                    self.assertEqual(struct.unpack_from('<Q', payload)[0] & 0xfff, 0x123)
                    self.assertEqual(payload[8:len(fine)], fine[8:])

    def test_bad_formats(self):
        """Refused in one line, or left out"""
        damages = ((b'buf[]', b'buf[\0'), (b'args[6]', b'args[6\xff'), (b'args[6]', b'args[6 '),
                   (b'x[24]', b'x[24['), (b'raw_syscalls\0\2', b'raw_syscalls\0\x7f'))
        for pipe in False, True:
            for old, new in damages:
                with self.subTest(pipe=pipe, new=new):
                    trace = Trace()
                    trace.add('raw_syscalls:sys_enter', u64s(0, LIBC, 0, 0, 0, 0, 0))
                    trace.gen.write(self.orig, pipe=pipe)
                    with open(self.orig, 'rb') as file:
                        buf = file.read()
                    self.assertIn(old, buf)
                    with open(self.orig, 'wb') as file:
                        file.write(buf.replace(old, new))
                    done = subprocess.run([PERF, 'inject', '--aslr', '-i', self.orig,
                                           '-o', self.safe], stderr=subprocess.PIPE, text=True,
                                          errors='replace', check=False)
                    self.assertGreaterEqual(done.returncode, 0, done.stderr)
                    if done.returncode:
                        self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)
                    else:
                        self.run_tool(sys.executable, os.path.join(LIB, 'aslr_audit.py'),
                                      self.orig, self.safe)

    def test_bytes(self):
        """Memory: addresses at any place"""
        trace = Trace()
        for at in range(17):
            for addr in LIBC + 0x123, HEAP, TEXT + 0x123, DIRECT:
                memory = bytearray(range(0x40, 0x58))
                memory[at:at + 8] = u64s(addr)
                trace.add('test:bytes', bytes(memory))
        said, payloads = self.inject(trace)
        self.assertNotIn('blanked', said)
        for i, payload in enumerate(payloads):
            at = i // 4
            self.assertEqual(payload[:at] + payload[at + 8:24],
                             bytes([*range(0x40, 0x40 + at), *range(0x48 + at, 0x58)]))
        # Which bytes are the address of a module isn't known, if that isn't.
        trace = Trace()
        trace.add('test:bytes', bytes(range(0x40, 0x45)) + u64s(MODULE) + bytes(range(0x40, 0x4b)))
        said, payloads = self.inject(trace)
        self.assertIn('RAW (1)', said)
        self.assertEqual(payloads[0].strip(b'\0'), b'')

    def test_narrow(self):
        """Addresses of 4 bytes, in a 32-bit task only"""
        trace = Trace()
        for pid in NARROW_PID, PID:
            trace.add('probes:arg', u64s(LIBC) + struct.pack('<II', LOW_STACK, 0), pid)
        trace.add('probes:array', u64s(LIBC) + struct.pack('<14I', LOW_STACK, 5, LOW_STACK, 7,
                                                           *[0] * 10), NARROW_PID)
        said, payloads = self.inject(trace)
        self.assertNotIn('blanked', said)
        narrow, wide = (struct.unpack_from('<I', payload, 8)[0] for payload in payloads[:2])
        self.assertEqual(wide, LOW_STACK)
        self.assertNotEqual(narrow, LOW_STACK)
        self.assertEqual(narrow & 0xfff, LOW_STACK & 0xfff)
        self.assertEqual(struct.unpack_from('<5I', payloads[2], 8), (narrow, 5, narrow, 7, 0))

    def test_heap(self):
        """Of a program at a fixed address: below 4 GiB, told by brk() only"""
        for arch, brk, mmap in (('x86_64', 12, 9), ('aarch64', 214, 222), ('unheard-of', 1, 2),
                                (None, 1, 2)):
            trace = Trace(arch)

            def enter(nr, *args):
                trace.add('raw_syscalls:sys_enter', u64s(nr, *args, *[0] * (6 - len(args))),
                          LOW_PID)

            def leave(nr, ret):
                trace.add('raw_syscalls:sys_exit', u64s(nr, ret), LOW_PID)
            heap = LOW_HEAP & ~0xfff
            enter(brk, 0)
            leave(brk, heap)
            enter(brk, heap + 0x21000)
            leave(brk, heap + 0x21000)
            enter(600, 3, LOW_HEAP, 0x2000000)
            enter(mmap, 0, 0x2000000)
            enter(600, 0xc0046401)
            _, payloads = self.inject(trace)
            values = [struct.unpack(f'<{len(payload) // 8}Q', payload[:len(payload) & ~7])[1:]
                      for payload in payloads]
            with self.subTest(arch=arch):
                for i, j, old in ((1, 0, heap), (2, 0, heap + 0x21000), (3, 0, heap + 0x21000),
                                  (4, 1, LOW_HEAP)):
                    self.assertNotEqual(values[i][j], old)
                    self.assertEqual(values[i][j] & 0xfff, old & 0xfff)
                self.assertEqual(values[2][0], values[3][0])
                self.assertEqual(values[6][0], 0xc0046401)


if __name__ == '__main__':
    unittest.main()
