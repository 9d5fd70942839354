# SPDX-License-Identifier: GPL-2.0
"""Reader for perf.data: the file format, the pipe format and directories, of
perf 3.x to 6.12, of either byte order, compressed or not.

    data = PerfData(path)               # or PerfData.from_bytes(bytes)
    for rec in data.records:
        for name, offset, size, kind in data.fields(rec):
            ...

It reads the bytes itself and shares no code with perf.  What a field is, and
the kinds there are, is said in perf_data_fields.py.

A stream is a run of bytes with records in it: the file, what its COMPRESSED
records decompress to, and the other files of a directory.  Offsets count from
the start of the stream.  data.records is in the order of the file; decompressed
records follow the COMPRESSED record that completed them.

Damage is reported by the exception Damaged, with the offset.
"""
import ctypes
import os
import struct
import sys

from perf_data_fields import (ADDRESS, CHAIN, CONTEXT_MAX, FEATURE_ID, FEATURES, KEPT, MIXED,
                              NUMBERS, OPAQUE, TEXT, TYPE_TRACEPOINT, WORDS, Attr, Cursor,
                              Damaged, attr_fields, feature_fields, payload_fields, pmu_mappings,
                              tracepoint_formats)

__all__ = ['ADDRESS', 'CHAIN', 'CONTEXT_MAX', 'Damaged', 'FEATURES', 'FEATURE_ID', 'KEPT',
           'MIXED', 'NUMBERS', 'OPAQUE', 'PerfData', 'Record', 'TEXT', 'TYPE', 'TYPES', 'WORDS']

TYPES = {
    1: 'MMAP', 2: 'LOST', 3: 'COMM', 4: 'EXIT', 5: 'THROTTLE', 6: 'UNTHROTTLE', 7: 'FORK',
    8: 'READ', 9: 'SAMPLE', 10: 'MMAP2', 11: 'AUX', 12: 'ITRACE_START', 13: 'LOST_SAMPLES',
    14: 'SWITCH', 15: 'SWITCH_CPU_WIDE', 16: 'NAMESPACES', 17: 'KSYMBOL', 18: 'BPF_EVENT',
    19: 'CGROUP', 20: 'TEXT_POKE', 21: 'AUX_OUTPUT_HW_ID',
    64: 'HEADER_ATTR', 65: 'HEADER_EVENT_TYPE', 66: 'HEADER_TRACING_DATA', 67: 'HEADER_BUILD_ID',
    68: 'FINISHED_ROUND', 69: 'ID_INDEX', 70: 'AUXTRACE_INFO', 71: 'AUXTRACE',
    72: 'AUXTRACE_ERROR', 73: 'THREAD_MAP', 74: 'CPU_MAP', 75: 'STAT_CONFIG', 76: 'STAT',
    77: 'STAT_ROUND', 78: 'EVENT_UPDATE', 79: 'TIME_CONV', 80: 'HEADER_FEATURE',
    81: 'COMPRESSED', 82: 'FINISHED_INIT', 83: 'COMPRESSED2'}
TYPE = {name: number for number, name in TYPES.items()}
USER_TYPES = 64                         # from here on perf's own, without a sample_id trailer

# The layout of each record after its header: (name, bytes, kind).  Bytes 0: all that is left.
PID_TID = (('pid', 4, KEPT), ('tid', 4, KEPT))
MAPPING = PID_TID + (('start', 8, ADDRESS), ('len', 8, KEPT), ('pgoff', 8, KEPT))
TASK = (('pid', 4, KEPT), ('ppid', 4, KEPT), ('tid', 4, KEPT), ('ptid', 4, KEPT),
        ('time', 8, KEPT))
THROTTLE = (('time', 8, KEPT), ('id', 8, KEPT), ('stream_id', 8, KEPT))
ALL_KEPT = (('numbers', 0, KEPT),)
LAYOUT = {
    'MMAP': MAPPING + (('filename', 0, KEPT),),
    'MMAP2': MAPPING + (('inode', 24, KEPT), ('prot', 4, KEPT), ('flags', 4, KEPT),
                        ('filename', 0, KEPT)),
    'LOST': (('id', 8, KEPT), ('lost', 8, KEPT)),
    'COMM': PID_TID + (('comm', 0, KEPT),),
    'EXIT': TASK, 'FORK': TASK, 'THROTTLE': THROTTLE, 'UNTHROTTLE': THROTTLE,
    'READ': PID_TID + (('values', 0, KEPT),),
    'AUX': (('aux_offset', 8, KEPT), ('aux_size', 8, KEPT), ('flags', 8, KEPT)),
    'ITRACE_START': PID_TID,
    'LOST_SAMPLES': (('lost', 8, KEPT),),
    'SWITCH': (),
    'SWITCH_CPU_WIDE': PID_TID,
    'NAMESPACES': PID_TID + (('namespaces', 0, KEPT),),
    'KSYMBOL': (('addr', 8, ADDRESS), ('len', 4, KEPT), ('type', 2, KEPT), ('flags', 2, KEPT),
                ('name', 0, KEPT)),
    'BPF_EVENT': (('type', 2, KEPT), ('flags', 2, KEPT), ('id', 4, KEPT), ('tag', 8, KEPT)),
    'CGROUP': (('id', 8, KEPT), ('path', 0, KEPT)),
    'TEXT_POKE': (('addr', 8, ADDRESS), ('old_len', 2, KEPT), ('new_len', 2, KEPT),
                  ('bytes', 0, OPAQUE)),
    'AUX_OUTPUT_HW_ID': (('hw_id', 8, KEPT),),
    'HEADER_EVENT_TYPE': (('event_id', 8, KEPT), ('name', 0, TEXT)),
    'HEADER_TRACING_DATA': (('size', 4, KEPT), ('pad', 0, KEPT)),
    'HEADER_BUILD_ID': (('pid', 4, KEPT), ('build_id', 24, KEPT), ('filename', 0, KEPT)),
    'FINISHED_ROUND': ALL_KEPT, 'ID_INDEX': ALL_KEPT, 'THREAD_MAP': ALL_KEPT, 'CPU_MAP': ALL_KEPT,
    'STAT_CONFIG': ALL_KEPT, 'STAT': ALL_KEPT, 'STAT_ROUND': ALL_KEPT, 'TIME_CONV': ALL_KEPT,
    'FINISHED_INIT': ALL_KEPT,
    'AUXTRACE_INFO': (('type', 4, KEPT), ('reserved', 4, KEPT), ('priv', 0, KEPT)),
    'AUXTRACE': (('size', 8, KEPT), ('offset', 8, KEPT), ('reference', 8, KEPT),
                 ('idx', 4, KEPT), ('tid', 4, KEPT), ('cpu', 4, KEPT), ('reserved', 4, KEPT)),
    'AUXTRACE_ERROR': (('type', 4, KEPT), ('code', 4, KEPT), ('cpu', 4, KEPT), ('pid', 4, KEPT),
                       ('tid', 4, KEPT), ('fmt', 4, KEPT), ('ip', 8, ADDRESS),
                       ('msg', 0, TEXT)),
    'EVENT_UPDATE': (('type', 8, KEPT), ('id', 8, KEPT), ('update', 0, TEXT)),
    'COMPRESSED': (('compressed', 0, OPAQUE),),
    'COMPRESSED2': (('data_size', 8, KEPT), ('compressed', 0, OPAQUE)),
}

# PERF_SAMPLE_* in the order of the fields in the record: bit, name, kind
SAMPLE_HEAD = (
    (16, 'identifier', KEPT), (0, 'ip', ADDRESS), (1, 'pid_tid', KEPT), (2, 'time', KEPT),
    (3, 'addr', ADDRESS), (6, 'id', KEPT), (9, 'stream_id', KEPT), (7, 'cpu', KEPT),
    (8, 'period', KEPT))
ID_HEAD = (16, 0, 1, 2, 3, 6)           # the same up to ID
SAMPLE_ID = ((1, 'pid_tid'), (2, 'time'), (6, 'id'), (9, 'stream_id'), (7, 'cpu'),
             (16, 'identifier'))
SAMPLE_BITS = (1 << 25) - 1

TRACING_DATA, PMU_MAPPINGS = FEATURE_ID['TRACING_DATA'], FEATURE_ID['PMU_MAPPINGS']
CPUMODE_MASK, CPUMODE_KERNEL, CPUMODE_GUEST_KERNEL = 7, 1, 4


# Each reads one variable part of a sample.

def read_values(cur, attr, _):
    """struct read_format"""
    fmt = attr.read_format
    per_value = 1 + bool(fmt & 4) + bool(fmt & 16)
    times = bool(fmt & 1) + bool(fmt & 2)
    if fmt & 8:
        count = cur.u64('read.nr')
        cur.span('read.times', 8 * times, KEPT)
        cur.span('read.values', 8 * per_value * count, KEPT)
    else:
        cur.span('read.values', 8 * (per_value + times), KEPT)


def callchain(cur, _attr, _):
    cur.span('callchain', 8 * cur.u64('callchain.nr'), CHAIN)


def raw(cur, attr, formats):
    size = cur.u32('raw.size')
    if attr.type == TYPE_TRACEPOINT and attr.config in formats and size <= cur.end - cur.pos:
        payload_fields(cur, size, formats[attr.config])
    else:
        cur.span('raw', size, OPAQUE)


def branch_stack(cur, attr, _):
    count = cur.u64('branch.nr')
    if attr.branch_sample_type >> 17 & 1:
        cur.u64('branch.hw_idx')
    if count > (cur.end - cur.pos) // 24:
        cur.span('branch', 24 * count, ADDRESS)         # raises
    for _i in range(count):
        cur.span('branch.from_to', 16, ADDRESS)
        cur.span('branch.flags', 8, KEPT)
    if attr.branch_sample_type >> 19 & 1:
        cur.span('branch.counters', 8 * count, KEPT)


def registers(name, mask):
    def read(cur, attr, _):
        if cur.u64(name + '.abi'):
            cur.span(name, 8 * bin(getattr(attr, mask)).count('1'), WORDS)
    return read


def user_stack(cur, attr, _):
    size = cur.u64('stack.size')
    left = cur.end - cur.pos
    # One that lies is all that is left, if nothing would have to be found behind it.
    if size and attr.sample_type & ~(1 << 16) < 1 << 14 and (size % 8 or size > left - 8):
        cur.span('stack', left, OPAQUE)
    elif size:
        cur.span('stack', size, OPAQUE)
        cur.u64('stack.dyn_size')


def aux_sample(cur, _attr, _):
    cur.span('aux', cur.u64('aux.size'), OPAQUE)


def word(name, kind=KEPT):
    return lambda cur, _attr, _: cur.u64(name, kind)


SAMPLE_TAIL = (
    (1 << 4, read_values), (1 << 5, callchain), (1 << 10, raw), (1 << 11, branch_stack),
    (1 << 12, registers('regs_user', 'sample_regs_user')), (1 << 13, user_stack),
    (1 << 14 | 1 << 24, word('weight')), (1 << 15, word('data_src')),
    (1 << 17, word('transaction')), (1 << 18, registers('regs_intr', 'sample_regs_intr')),
    (1 << 19, word('phys_addr', ADDRESS)), (1 << 21, word('cgroup')),
    (1 << 22, word('data_page_size')), (1 << 23, word('code_page_size')), (1 << 20, aux_sample))


class Stream:
    """Bytes with records in them.  name is '' for the file itself."""

    def __init__(self, name, buf):
        self.name, self.buf, self.records = name, buf, []


class Record:
    """Where a record is, nothing more: PerfData.fields() reads it."""
    __slots__ = ('stream', 'index', 'offset', 'type', 'misc', 'size', 'trailing')

    def __init__(self, stream, index, offset, header, trailing=0):
        self.stream, self.index, self.offset = stream, index, offset
        self.type, self.misc, self.size = header
        self.trailing = trailing        # bytes behind it which header.size does not count

    @property
    def name(self):
        return TYPES.get(self.type, f'type {self.type}')


class Zstd:
    """One zstd stream, by way of libzstd"""

    class Buffer(ctypes.Structure):
        _fields_ = [('ptr', ctypes.c_void_p), ('size', ctypes.c_size_t),
                    ('pos', ctypes.c_size_t)]

    def __init__(self):
        try:
            self.lib = ctypes.CDLL('libzstd.so.1')
        except OSError as err:
            raise Damaged(f'the data are compressed and libzstd cannot be loaded: {err}') from err
        self.lib.ZSTD_createDStream.restype = ctypes.c_void_p
        self.lib.ZSTD_decompressStream.restype = ctypes.c_size_t
        self.lib.ZSTD_decompressStream.argtypes = [ctypes.c_void_p] * 3
        self.lib.ZSTD_freeDStream.argtypes = [ctypes.c_void_p]
        self.stream = self.lib.ZSTD_createDStream()
        self.room = ctypes.create_string_buffer(1 << 17)

    def decompress(self, data, offset):
        source = ctypes.create_string_buffer(data, len(data))
        src = self.Buffer(ctypes.addressof(source), len(data), 0)
        out = bytearray()
        while True:
            dst = self.Buffer(ctypes.addressof(self.room), len(self.room), 0)
            left = self.lib.ZSTD_decompressStream(self.stream, ctypes.byref(dst),
                                                  ctypes.byref(src))
            if left > 1 << 63:
                raise Damaged(f'compressed data of the record at offset {offset:#x} are damaged')
            out += self.room.raw[:dst.pos]
            if src.pos == src.size and dst.pos < dst.size:
                return out

    def __del__(self):
        if getattr(self, 'stream', None):
            self.lib.ZSTD_freeDStream(self.stream)


class PerfData:
    """A perf.data file, pipe or directory, read and indexed."""

    def __init__(self, path):
        if os.path.isdir(path):
            names = sorted(n for n in os.listdir(path) if n.startswith('data.'))
            self._read(open_bytes(os.path.join(path, 'data')),
                       [Stream(n, open_bytes(os.path.join(path, n))) for n in names])
        else:
            self._read(open_bytes(path), [])

    @classmethod
    def from_bytes(cls, buf):
        self = cls.__new__(cls)
        self._read(buf, [])
        return self

    def _read(self, buf, others):
        self.buf = buf
        self.records, self.attrs, self.features, self.by_id = [], [], [], {}
        self.pmu_names, self.formats, self.layouts = {}, {}, {}
        self.regions = []               # (offset, size, name) of what the header points to
        self.streams = [Stream('', buf)]
        magic = bytes(buf[:8])
        if magic not in (b'PERFILE2', b'2ELIFREP') or len(buf) < 16:
            raise Damaged('no perf.data: it does not begin with PERFILE2')
        self.endian = '<' if magic == b'PERFILE2' else '>'
        size, = struct.unpack_from(self.endian + 'Q', buf, 8)
        self.is_pipe = size == 16
        if self.is_pipe:
            self._read_records(self.streams[0], 16, len(buf))
        elif size < 104 or len(buf) < 104:
            raise Damaged(f'header size {size}, file size {len(buf)}: not a perf.data header')
        else:
            self._read_file()
        for stream in others:
            self.streams.append(stream)
            self._read_records(stream, 0, len(stream.buf))

    def _section(self, pos, what):
        """A struct perf_file_section"""
        offset, size = struct.unpack_from(self.endian + 'QQ', self.buf, pos)
        if offset + size > len(self.buf):
            raise Damaged(f'section {what} at {offset:#x}, {size} bytes, ends beyond the end of '
                          f'the file ({len(self.buf)} bytes)')
        self.regions.append((offset, size, what))
        return offset, size

    def _read_file(self):
        buf = self.buf
        attr_size, = struct.unpack_from(self.endian + 'Q', buf, 16)
        attrs, attrs_size = self._section(24, 'attrs')
        data, data_size = self._section(40, 'data')
        if attr_size < 80:
            raise Damaged(f'attr_size {attr_size} in the header')
        if bytes(buf[56:72]).strip(b'\0'):
            self._section(56, 'event_types')
        for i in range(attrs_size // attr_size):
            pos = attrs + i * attr_size
            attr = Attr(buf, pos, self.endian, attr_size - 16)
            where, size = self._section(pos + attr_size - 16, f'attr[{i}].ids')
            self._add_attr(attr, where, size // 8)
        bits = struct.unpack_from(self.endian + '4Q', buf, 72)
        numbers = [i for i in range(256) if bits[i // 64] >> i % 64 & 1]
        if data_size and data + data_size + 16 * len(numbers) > len(buf):
            raise Damaged(f'the table of feature sections at offset {data + data_size:#x} ends '
                          'beyond the end of the file')
        for i, number in enumerate(numbers if data_size else []):
            what = FEATURES[number] if number < len(FEATURES) else f'feature {number}'
            offset, size = self._section(data + data_size + 16 * i, what)
            self._add_feature(number, offset, size)
        self._read_records(self.streams[0], data, data + data_size if data_size else len(buf))

    def _add_attr(self, attr, ids, count):
        if ids + 8 * count > len(self.buf):
            raise Damaged(f'ids of the attr at offset {attr.offset:#x} end beyond the file')
        attr.ids = list(struct.unpack_from(f'{self.endian}{count}Q', self.buf, ids))
        attr.head = [(name, kind) for bit, name, kind in SAMPLE_HEAD if attr.sample_type >> bit & 1]
        attr.tail = [step for bits, step in SAMPLE_TAIL if attr.sample_type & bits]
        attr.trailer = [name for bit, name in SAMPLE_ID
                        if attr.sample_id_all and attr.sample_type >> bit & 1]
        self.attrs.append(attr)
        self.by_id.update((i, attr) for i in attr.ids)

    def _add_feature(self, number, offset, size):
        self.features.append((number, offset, size))
        if number == PMU_MAPPINGS:
            self.pmu_names = pmu_mappings(self.buf, offset, size, self.endian)
        elif number == TRACING_DATA:
            fields = feature_fields(number, self.buf, offset, size, self.endian, {})
            self.formats.update(tracepoint_formats(self.buf, fields))

    def _read_records(self, stream, pos, end):
        """Index the records; return where they end: an incomplete one is left over only in
        decompressed data, elsewhere it is damage."""
        buf, unpack = stream.buf, struct.Struct(self.endian + 'IHH').unpack_from
        zstd = partial = None
        while pos < end:
            if end - pos < 8 and stream.name != 'decompressed':
                raise Damaged(f'{end - pos} bytes at offset {pos:#x} are no record')
            header = unpack(buf, pos) if end - pos >= 8 else None
            if not header or pos + header[2] > end:
                if stream.name == 'decompressed':
                    return pos
                raise Damaged(f'record of type {header[0]} at offset {pos:#x}, size {header[2]}, '
                              f'ends beyond the end of the data at {end:#x}')
            kind, _misc, size = header
            if size < 8:
                raise Damaged(f'record of type {kind} at offset {pos:#x} has size {size}')
            rec = Record(stream, len(self.records), pos, header)
            self.records.append(rec)
            stream.records.append(rec)
            if kind == TYPE['AUXTRACE'] and size >= 16:
                rec.trailing, = struct.unpack_from(self.endian + 'Q', buf, pos + 8)
            elif kind == TYPE['HEADER_TRACING_DATA'] and size >= 12:
                rec.trailing = struct.unpack_from(self.endian + 'I', buf, pos + 8)[0] + 7 & ~7
                self._need(rec, end)
                self._add_feature(TRACING_DATA, pos + size, rec.trailing)
            elif kind == TYPE['HEADER_ATTR'] and stream is self.streams[0]:
                attr = Attr(buf, pos + 8, self.endian, size - 8)
                self._add_attr(attr, pos + 8 + attr.size, (size - 8 - attr.size) // 8)
            elif kind == TYPE['HEADER_FEATURE'] and size >= 16 and stream is self.streams[0]:
                number, = struct.unpack_from(self.endian + 'Q', buf, pos + 8)
                self._add_feature(number, pos + 16, size - 16)
            elif kind in (TYPE['COMPRESSED'], TYPE['COMPRESSED2']):
                if not zstd:
                    zstd, partial = Zstd(), Stream('decompressed', bytearray())
                    self.streams.append(partial)
                    done = 0
                start, length = self._compressed(rec)
                partial.buf += zstd.decompress(bytes(buf[start:start + length]), pos)
                done = self._read_records(partial, done, len(partial.buf))
            self._need(rec, end)
            pos += size + rec.trailing
        if partial and done != len(partial.buf):
            raise Damaged(f'{len(partial.buf) - done} decompressed bytes are no whole record')
        return pos

    def _need(self, rec, end):
        if rec.offset + rec.size + rec.trailing > end:
            raise Damaged(f'{rec.name} at offset {rec.offset:#x}: {rec.trailing} bytes of data '
                          'behind it end beyond the end of the file')

    def _compressed(self, rec):
        if rec.type == TYPE['COMPRESSED']:
            return rec.offset + 8, rec.size - 8
        size, = struct.unpack_from(self.endian + 'Q', rec.stream.buf, rec.offset + 8)
        if rec.size < 16 or size > rec.size - 16:
            raise Damaged(f'COMPRESSED2 at offset {rec.offset:#x} holds {size} bytes of {rec.size}')
        return rec.offset + 16, size

    def attr_of(self, rec):
        """The attribute of the event a kernel record belongs to; None if its id is unknown"""
        if not self.attrs or rec.type >= USER_TYPES:
            return None
        first = self.attrs[0]
        if len(self.attrs) == 1:
            return first
        have = first.sample_type
        if rec.type == TYPE['SAMPLE']:
            if have >> 16 & 1:
                pos = 8
            elif have >> 6 & 1:
                pos = 8 + 8 * sum(have >> bit & 1 for bit in ID_HEAD[1:-1])
            else:
                return first
        elif not first.sample_id_all or not have & (1 << 16 | 1 << 6):
            return first
        else:
            pos = rec.size - (8 if have >> 16 & 1 else
                              8 * (1 + (have >> 9 & 1) + (have >> 7 & 1)))
        if not 8 <= pos <= rec.size - 8:
            return None
        number, = struct.unpack_from(self.endian + 'Q', rec.stream.buf, rec.offset + pos)
        return self.by_id.get(number) if number else first

    def fields(self, rec):
        """All of a record as fields, its trailing data included"""
        end = rec.offset + rec.size
        cur = Cursor(rec.stream.buf, rec.offset, end, self.endian,
                     f'{rec.name} record at offset {rec.offset:#x}')
        cur.span('header', 8, KEPT)
        if rec.type == TYPE['SAMPLE']:
            self._sample(cur, self.attr_of(rec))
        elif rec.type == TYPE['HEADER_ATTR']:
            attr = Attr(cur.buf, cur.pos, self.endian, end - cur.pos)
            cur.span('attr', attr.size, KEPT)
            cur.out[-1:] = attr_fields(attr, self.pmu_names)
            cur.rest('ids', KEPT)
        elif rec.type == TYPE['HEADER_FEATURE']:
            number = cur.u64('feat_id')
            cur.out += feature_fields(number, cur.buf, cur.pos, end - cur.pos, self.endian,
                                      self.pmu_names)
        else:
            self._by_layout(cur, rec)
        if rec.trailing and rec.type == TYPE['HEADER_TRACING_DATA']:
            cur.out += feature_fields(TRACING_DATA, cur.buf, end, rec.trailing, self.endian, {})
        elif rec.trailing:
            cur.out.append(('trace', end, rec.trailing, OPAQUE))
        return cur.out

    def _sample(self, cur, attr):
        if attr is None:
            cur.rest('sample of an unknown event', OPAQUE)
            return
        for name, kind in attr.head:
            cur.span(name, 8, kind)
        for step in attr.tail:
            step(cur, attr, self.formats)
        cur.rest('newer' if attr.sample_type & ~SAMPLE_BITS else 'rest', OPAQUE)

    def _by_layout(self, cur, rec):
        attr = self.attr_of(rec)
        trailer = attr.trailer if attr else ()
        end, layout = cur.end, LAYOUT.get(rec.name)
        if layout is None:
            cur.rest('payload', OPAQUE)
            return
        if end - cur.pos >= sum(size for _, size, _ in layout) + 8 * len(trailer):
            cur.end -= 8 * len(trailer)
        else:
            trailer = ()
        for name, size, kind in layout:
            cur.span(name, size or cur.end - cur.pos, kind)
        if rec.type in (TYPE['MMAP'], TYPE['MMAP2']) and self._pgoff_is_address(cur, rec):
            at = [field[0] for field in cur.out].index('pgoff')
            cur.out[at] = cur.out[at][:3] + (ADDRESS,)
        cur.rest('rest', OPAQUE)
        cur.end = end
        for name in trailer:
            cur.span('id.' + name, 8, KEPT)

    @staticmethod
    def _pgoff_is_address(cur, rec):
        """Whether pgoff is no offset in a file: the kernel's own maps say where _text is,
        anonymous memory has the address it was first mapped at, /dev/mem the physical one."""
        at = [field[0] for field in cur.out].index('filename')
        _, offset, size, _ = cur.out[at]
        name = bytes(cur.buf[offset:offset + size]).split(b'\0')[0]
        return rec.misc & CPUMODE_MASK in (CPUMODE_KERNEL, CPUMODE_GUEST_KERNEL) or not name or \
            name.startswith((b'[', b'//anon', b'/dev/mem'))

    def values(self, rec):
        """{name: int, or bytes when it is no number} of a record's fields; of fields by the
        same name the last"""
        order, out = 'little' if self.endian == '<' else 'big', {}
        for name, offset, size, _ in self.fields(rec):
            data = bytes(rec.stream.buf[offset:offset + size])
            if name in ('comm', 'filename', 'name'):
                # What is behind the end is no part of it.
                out[name] = data.split(b'\0')[0]
            elif size in (2, 4, 8) and name not in ('callchain', 'raw'):
                out[name] = int.from_bytes(data, order)
            else:
                out[name] = data
        return out


def open_bytes(path):
    if path == '-':
        return sys.stdin.buffer.read()
    with open(path, 'rb') as file:
        return file.read()


def main():
    """perf_data.py FILE: print all records and their fields"""
    data = PerfData(sys.argv[1])
    for rec in data.records:
        print(f'{rec.stream.name}{rec.offset:#x} {rec.name} misc {rec.misc:#x} size {rec.size}')
        for name, offset, size, kind in data.fields(rec):
            print(f'    {name:<20} {kind:<8}', bytes(rec.stream.buf[offset:offset + min(size, 64)])
                  .hex(' ', 8))


if __name__ == '__main__':
    try:
        main()
    except (Damaged, OSError) as error:
        sys.exit(f'{sys.argv[0]}: {error}')
