# SPDX-License-Identifier: GPL-2.0
"""Writes perf.data files with whatever is wanted in them, for tests of what can't
be recorded on the machine at hand: branch stacks, user stacks, hardware trace,
physical addresses, breakpoints, guests, text pokes, BPF programs.

    gen = PerfDataGen()
    cycles = gen.attr(type=0, config=0, sample_type='IP TID TIME', sample_id_all=1, ids=[7])
    gen.mmap2(pid=1, tid=1, start=0x5555..., len=0x1000, pgoff=0, filename='/bin/true')
    gen.sample(cycles, ip=0x5555..., pid=1, tid=1, time=1000)
    gen.feature('HOSTNAME', string('host'))
    gen.write('perf.data')                      # or gen.file_bytes(), gen.pipe_bytes()

Attribute and record fields have the names of perf_data_fields.py and
perf_data.py; what isn't given is 0.  Records get their sample_id trailer from `attr`,
which is the first one if not given.
"""
import re
import struct

from perf_data import FEATURE_ID, LAYOUT, SAMPLE_HEAD, SAMPLE_ID, TYPE, USER_TYPES
from perf_data_fields import ATTR_FIELDS

SAMPLE_BIT = {name: 1 << bit for bit, name in enumerate(
    'IP TID TIME ADDR READ CALLCHAIN ID CPU PERIOD STREAM_ID RAW BRANCH_STACK REGS_USER '
    'STACK_USER WEIGHT DATA_SRC IDENTIFIER TRANSACTION REGS_INTR PHYS_ADDR AUX CGROUP '
    'DATA_PAGE_SIZE CODE_PAGE_SIZE WEIGHT_STRUCT'.split())}

# Bits of attr.flags that make a difference to a reader
ATTR_FLAG = {'disabled': 0, 'inherit': 1, 'exclude_kernel': 5, 'mmap': 8, 'comm': 9, 'freq': 10,
             'task': 13, 'mmap_data': 17, 'sample_id_all': 18, 'exclude_host': 19,
             'exclude_guest': 20, 'mmap2': 23, 'comm_exec': 24, 'context_switch': 26,
             'ksymbol': 29, 'bpf_event': 30, 'cgroup': 32, 'text_poke': 33, 'build_id': 34}
ATTR_SIZE = 136

USER, KERNEL, GUEST_KERNEL, GUEST_USER = 2, 1, 4, 5
MMAP_BUILD_ID = 1 << 14
COMM_EXEC = 1 << 13


def bits(names):
    return sum(SAMPLE_BIT[name] for name in {*names.split()}) if isinstance(names, str) else names


def padded(data, to=8):
    """bytes, or text with its terminating zero, filled up with zeroes"""
    data = data if isinstance(data, (bytes, bytearray)) else data.encode() + b'\0'
    return bytes(data) + bytes(-len(data) % to)


class PerfDataGen:
    """A perf.data file in the making"""

    def __init__(self, endian='<'):
        self.endian, self.attrs, self.records, self.features = endian, [], [], {}

    def pack(self, fmt, *values):
        return struct.pack(self.endian + fmt, *(
            value & (1 << 64) - 1 if code == 'Q' else value
            for code, value in zip(re.sub(r'(\d+)(\w)', lambda m: m[2] * int(m[1]), fmt), values)))

    def u64s(self, values):
        return self.pack(f'{len(values)}Q', *values)

    # ------------------------------------------------------------ attributes

    def attr(self, name='cycles', ids=(), **fields):
        """Add an attribute; returns it for sample()"""
        flags = fields.pop('flags', 0)
        for flag, bit in ATTR_FLAG.items():
            flags |= bool(fields.pop(flag, 0)) << bit
        attr = {field: 0 for field, _, _ in ATTR_FIELDS}
        attr.update(fields, size=ATTR_SIZE, flags=flags,
                    sample_type=bits(fields.get('sample_type', 0)))
        if len(attr) > len(ATTR_FIELDS):
            raise ValueError(f'unknown attr fields {fields}')
        attr.update(ids=list(ids), name=name)
        self.attrs.append(attr)
        return attr

    def attr_bytes(self, attr):
        data = bytearray(ATTR_SIZE)
        for name, offset, fmt in ATTR_FIELDS:
            value = attr[name]
            if name == 'flags' and self.endian == '>':
                value = int(f'{value:064b}'[::-1], 2)
            data[offset:offset + struct.calcsize(fmt)] = self.pack(fmt, value)
        return bytes(data)

    # --------------------------------------------------------------- records

    def record(self, kind, payload=b'', misc=0, trailing=b''):
        """Any record, of a type by name or number"""
        number = TYPE.get(kind, kind)
        data = self.pack('IHH', number, misc, 8 + len(payload)) + payload + trailing
        self.records.append(data)
        return data

    def trailer(self, sample_id, attr=None):
        """struct sample_id, from {'pid':, 'tid':, 'time':, ...}"""
        attr = attr or (self.attrs or [None])[0]
        if not attr or not attr['flags'] >> ATTR_FLAG['sample_id_all'] & 1:
            return b''
        have = attr['sample_type']
        return b''.join(self.head_word(name, sample_id)
                        for bit, name in SAMPLE_ID if have >> bit & 1)

    def head_word(self, name, fields):
        if name == 'pid_tid':
            return self.pack('II', fields.get('pid', 0), fields.get('tid', 0))
        if name == 'cpu':
            return self.pack('II', fields.get('cpu', 0), 0)
        return self.pack('Q', fields.get(name, 0))

    def event(self, kind, misc=USER, sample_id=None, attr=None, **fields):
        """A record by its layout in perf_data.LAYOUT; text and bytes are padded to 8"""
        payload = b''
        for name, size, _ in LAYOUT[kind]:
            value = fields.pop(name, 0)
            if isinstance(value, int) and size in (2, 4, 8):
                payload += self.pack({2: 'H', 4: 'I', 8: 'Q'}[size],
                                     value & (1 << 8 * size) - 1)
            elif isinstance(value, int):
                payload += bytes(size)
            else:
                payload += value.ljust(size, b'\0') if size else padded(value, 1)
                payload += bytes(0 if size else -len(payload) % 8)
        if fields:
            raise ValueError(f'{kind} has no fields {sorted(fields)}')
        if TYPE[kind] < USER_TYPES:
            payload += self.trailer(sample_id or {}, attr)
        return self.record(kind, payload, misc)

    def mmap(self, **fields):
        return self.event('MMAP', **fields)

    def mmap2(self, **fields):
        return self.event('MMAP2', **{'prot': 5, 'flags': 2, **fields})

    def comm(self, **fields):
        return self.event('COMM', **fields)

    def fork(self, **fields):
        return self.event('FORK', **{'misc': 0, **fields})

    def auxtrace(self, data, **fields):
        """An AUXTRACE record with its data behind it"""
        self.event('AUXTRACE', misc=0, size=len(data), **fields)
        self.records[-1] += data

    def sample(self, attr, misc=USER, **fields):
        """A sample with the fields that attr's sample_type asks for.

        callchain: list; raw: bytes; branches: list of (from, to, flags), hw_idx, counters: list;
        regs_user, regs_intr: list, [] for ABI none; stack: bytes; aux: bytes;
        values: list of all u64 of the read format
        """
        have = attr['sample_type']
        fields.setdefault('identifier', attr['ids'][0] if attr['ids'] else 0)
        fields.setdefault('id', fields['identifier'])
        data = b''.join(self.head_word(name, fields)
                        for bit, name, _ in SAMPLE_HEAD if have >> bit & 1)
        for bit, encode in SAMPLE_TAIL:
            if have & bits(bit):
                data += encode(self, attr, fields)
        return self.record('SAMPLE', data, misc)

    # -------------------------------------------------------------- features

    def feature(self, name, data):
        # A table of build-ids has nothing behind it.
        self.features[FEATURE_ID[name]] = data if name == 'BUILD_ID' else padded(data)

    def string(self, text):
        """struct perf_header_string"""
        data = padded(text, 64)
        return self.pack('I', len(data)) + data

    def strings(self, texts):
        return self.pack('I', len(texts)) + b''.join(map(self.string, texts))

    def event_desc(self):
        """HEADER_EVENT_DESC of all attributes"""
        return self.pack('II', len(self.attrs), ATTR_SIZE) + b''.join(
            self.attr_bytes(attr) + self.pack('I', len(attr['ids'])) + self.string(attr['name']) +
            self.u64s(attr['ids']) for attr in self.attrs)

    def pmu_mappings(self, names):
        """HEADER_PMU_MAPPINGS of {type: name}"""
        return self.pack('I', len(names)) + b''.join(
            self.pack('I', number) + self.string(name) for number, name in names.items())

    def build_ids(self, entries):
        """HEADER_BUILD_ID of (pid, build id, file name, cpumode)"""
        out = b''
        for pid, build_id, filename, misc in entries:
            size = len(build_id)
            body = self.pack('I', pid & 0xffffffff) + build_id.ljust(20, b'\0') + \
                bytes([size, 0, 0, 0]) + padded(filename, 64)
            out += self.pack('IHH', 67, misc | 1 << 15, 8 + len(body)) + body
        return out

    def bpf_prog_info(self, ksyms, jited=b'', line_info=()):
        """HEADER_BPF_PROG_INFO of one program: addresses and code of its JITed functions"""
        data, info = bytearray(), bytearray(232)
        for bit, where, count, content, element in (
                (0, 24, 16, padded(jited), 1), (3, 112, 104, self.u64s(ksyms), 8),
                (7, 160, 168, self.u64s(line_info), 8)):
            info[where:where + 8] = self.pack('Q', len(data))
            info[count:count + 4] = self.pack('I', len(content) // element)
            data += content
        info[0:8] = self.pack('II', 1, 42)
        info[176:180] = self.pack('I', 8)
        return self.pack('IIIQ', 1, len(info), len(data), 1 << 0 | 1 << 3 | 1 << 7) + info + data

    # ---------------------------------------------------------------- output

    def file_bytes(self):
        """As perf record -o FILE writes it"""
        magic = b'PERFILE2' if self.endian == '<' else b'2ELIFREP'
        ids = b''.join(self.u64s(attr['ids']) for attr in self.attrs)
        attrs_at, ids_at, entries = 104 + len(ids), 104, b''
        for attr in self.attrs:
            entries += self.attr_bytes(attr) + self.pack('QQ', ids_at, 8 * len(attr['ids']))
            ids_at += 8 * len(attr['ids'])
        data_at, data = attrs_at + len(entries), b''.join(self.records)
        at, table, sections = data_at + len(data) + 16 * len(self.features), b'', b''
        feature_bits = [0] * 4
        for number, content in sorted(self.features.items()):
            feature_bits[number // 64] |= 1 << number % 64
            table += self.pack('QQ', at + len(sections), len(content))
            sections += content
        header = magic + self.pack('8Q', 104, ATTR_SIZE + 16, attrs_at, len(entries), data_at,
                                   len(data), 0, 0) + self.u64s(feature_bits)
        return header + ids + entries + data + table + sections

    def pipe_bytes(self):
        """As perf record -o - writes it"""
        magic = b'PERFILE2' if self.endian == '<' else b'2ELIFREP'
        rest, self.records = self.records, []
        tracing = b''
        for attr in self.attrs:
            self.record('HEADER_ATTR', self.attr_bytes(attr) + self.u64s(attr['ids']))
        for number, content in sorted(self.features.items()):
            if number == FEATURE_ID['TRACING_DATA']:
                tracing = content
            else:
                self.record('HEADER_FEATURE', self.pack('Q', number) + content)
        if tracing:
            self.record('HEADER_TRACING_DATA', self.pack('II', len(tracing), 0), 0, tracing)
        head, self.records = self.records, rest
        return magic + self.pack('Q', 16) + b''.join(head + rest)

    def write(self, path, pipe=False):
        with open(path, 'wb') as file:
            file.write(self.pipe_bytes() if pipe else self.file_bytes())


def counted(name):
    def encode(gen, _attr, fields):
        values = fields.get(name, ())
        return gen.u64s([len(values), *values])
    return encode


def encode_branches(gen, attr, fields):
    entries = fields.get('branches', ())
    out = gen.u64s([len(entries)])
    if attr['branch_sample_type'] >> 17 & 1:
        out += gen.u64s([fields.get('hw_idx', -1)])
    out += b''.join(map(gen.u64s, entries))
    if attr['branch_sample_type'] >> 19 & 1:
        out += gen.u64s(fields.get('counters', [0] * len(entries)))
    return out


def encode_registers(name):
    def encode(gen, _attr, fields):
        values = fields.get(name, ())
        return gen.u64s([fields.get(name + '_abi', 2), *values] if values else [0])
    return encode


def encode_stack(gen, _attr, fields):
    stack = padded(fields.get('stack', b''))
    return gen.u64s([len(stack)]) + (stack + gen.u64s([len(stack)]) if stack else b'')


def encode_raw(gen, _attr, fields):
    raw = fields.get('raw', b'')
    raw += bytes(-(len(raw) + 4) % 8)
    return gen.pack('I', len(raw)) + raw


def encode_aux(gen, _attr, fields):
    aux = padded(fields.get('aux', b''))
    return gen.u64s([len(aux)]) + aux


def encode_word(name):
    return lambda gen, _attr, fields: gen.u64s([fields.get(name, 0)])


SAMPLE_TAIL = (
    ('READ', lambda gen, _attr, fields: gen.u64s(fields.get('values', ()))),
    ('CALLCHAIN', counted('callchain')), ('RAW', encode_raw),
    ('BRANCH_STACK', encode_branches), ('REGS_USER', encode_registers('regs_user')),
    ('STACK_USER', encode_stack), ('WEIGHT WEIGHT_STRUCT', encode_word('weight')),
    ('DATA_SRC', encode_word('data_src')), ('TRANSACTION', encode_word('transaction')),
    ('REGS_INTR', encode_registers('regs_intr')), ('PHYS_ADDR', encode_word('phys_addr')),
    ('CGROUP', encode_word('cgroup')), ('DATA_PAGE_SIZE', encode_word('data_page_size')),
    ('CODE_PAGE_SIZE', encode_word('code_page_size')), ('AUX', encode_aux))
