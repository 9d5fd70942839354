# SPDX-License-Identifier: GPL-2.0
"""The parts of a perf.data file that are not records: attributes, header
features, tracing data, BPF program info.  The lower half of perf_data.py.

Everything is parsed into fields.  A field is a tuple

    (name, offset, size, kind)

with the byte offset in the stream (see perf_data.py) it was read from.  Fields
of one record come in the order of their offsets and do not overlap.  A field
may hold an array: all entries of a call chain are one CHAIN field.

Kinds:
    ADDRESS  8-byte addresses.  Values >= CONTEXT_MAX are PERF_CONTEXT_* markers.
    CHAIN    the same of a call chain: unwinding by frame pointers yields nonsense at times
    WORDS    8-byte values which may be addresses or anything else (registers)
    NUMBERS  8-byte values of a type that is not for addresses, but can have one (u64)
    OPAQUE   bytes of which the format says nothing (stacks, raw payloads)
    TEXT     text which may have addresses in it (command line, event names)
    MIXED    the like with many small numbers: formats of events, arrays of less than 8 bytes each
    KEPT     everything else: times, periods, ids, sizes, flags, names
"""
import re
import struct

ADDRESS, CHAIN, WORDS, NUMBERS, OPAQUE, TEXT, MIXED, KEPT = (
    'address', 'chain', 'words', 'numbers', 'opaque', 'text', 'mixed', 'kept')

CONTEXT_MAX = (1 << 64) - 4095

FEATURES = (
    'RESERVED TRACING_DATA BUILD_ID HOSTNAME OSRELEASE VERSION ARCH NRCPUS CPUDESC '
    'CPUID TOTAL_MEM CMDLINE EVENT_DESC CPU_TOPOLOGY NUMA_TOPOLOGY BRANCH_STACK '
    'PMU_MAPPINGS GROUP_DESC AUXTRACE STAT CACHE SAMPLE_TIME MEM_TOPOLOGY CLOCKID '
    'DIR_FORMAT BPF_PROG_INFO BPF_BTF COMPRESSED CPU_PMU_CAPS CLOCK_DATA '
    'HYBRID_TOPOLOGY PMU_CAPS').split()
FEATURE_ID = {name: number for number, name in enumerate(FEATURES)}


class Damaged(Exception):
    """The input is not what the format says it should be."""


class Cursor:
    """Reads fields one after another and never beyond the end."""

    def __init__(self, buf, pos, end, endian, what):
        if end > len(buf) or pos > end:
            raise Damaged(f'{what} at offset {pos:#x} ends beyond the end of the file')
        self.buf, self.pos, self.end = buf, pos, end
        self.endian, self.what, self.out = endian, what, []

    def span(self, name, size, kind):
        """Add a field of size bytes, return its offset."""
        start = self.pos
        if size > self.end - start:
            raise Damaged(f'{self.what}: field {name} at offset {start:#x} needs {size} bytes, '
                          f'{self.end - start} are left')
        self.pos = start + size
        if size:
            self.out.append((name, start, size, kind))
        return start

    def u64(self, name, kind=KEPT):
        return struct.unpack_from(self.endian + 'Q', self.buf, self.span(name, 8, kind))[0]

    def u32(self, name, kind=KEPT):
        return struct.unpack_from(self.endian + 'I', self.buf, self.span(name, 4, kind))[0]

    def rest(self, name, kind):
        self.span(name, self.end - self.pos, kind)

    def string(self, name, kind):
        """struct perf_header_string"""
        self.span(name, self.u32(name + '.len'), kind)


# ---------------------------------------------------------------- attributes

# struct perf_event_attr: name, offset, format
ATTR_FIELDS = (
    ('type', 0, 'I'), ('size', 4, 'I'), ('config', 8, 'Q'), ('sample_period', 16, 'Q'),
    ('sample_type', 24, 'Q'), ('read_format', 32, 'Q'), ('flags', 40, 'Q'),
    ('wakeup_events', 48, 'I'), ('bp_type', 52, 'I'), ('config1', 56, 'Q'),
    ('config2', 64, 'Q'), ('branch_sample_type', 72, 'Q'), ('sample_regs_user', 80, 'Q'),
    ('sample_stack_user', 88, 'I'), ('clockid', 92, 'i'), ('sample_regs_intr', 96, 'Q'),
    ('aux_watermark', 104, 'I'), ('sample_max_stack', 108, 'H'), ('reserved_2', 110, 'H'),
    ('aux_sample_size', 112, 'I'), ('aux_action', 116, 'I'), ('sig_data', 120, 'Q'),
    ('config3', 128, 'Q'))

ATTR_SIZE_VER0 = 64
SAMPLE_ID_ALL = 1 << 18
TYPE_SOFTWARE, TYPE_TRACEPOINT, TYPE_BREAKPOINT = 1, 2, 5

# Which attribute fields hold addresses, by the name of the PMU.
ATTR_ADDRESSES = {
    'breakpoint': {'config1'},              # bp_addr
    'kprobe': {'config1', 'config2'},       # pointer to the function's name, kprobe_addr
    'uprobe': {'config1'},                  # pointer to the path (config2: offset in the file)
}


class Attr:
    """One struct perf_event_attr: every field is an attribute of this object."""

    def __init__(self, buf, offset, endian, room):
        if room < ATTR_SIZE_VER0 or offset + ATTR_SIZE_VER0 > len(buf):
            raise Damaged(f'attr at offset {offset:#x}: too short')
        self.offset, self.ids = offset, []
        size = struct.unpack_from(endian + 'I', buf, offset + 4)[0] or ATTR_SIZE_VER0
        if not ATTR_SIZE_VER0 <= size <= room:
            raise Damaged(f'attr at offset {offset:#x}: size {size}, room for {room}')
        for name, pos, fmt in ATTR_FIELDS:
            inside = pos + struct.calcsize(fmt) <= size
            setattr(self, name, struct.unpack_from(endian + fmt, buf, offset + pos)[0]
                    if inside else 0)
        self.size = size
        if endian == '>':       # bit fields are numbered from the other end
            self.flags = int(f'{self.flags:064b}'[::-1], 2)
        self.sample_id_all = bool(self.flags & SAMPLE_ID_ALL)


def attr_fields(attr, pmu_names, what='attr'):
    """The fields of an attribute.  pmu_names: from HEADER_PMU_MAPPINGS."""
    pmu = 'breakpoint' if attr.type == TYPE_BREAKPOINT else pmu_names.get(attr.type)
    addresses = ATTR_ADDRESSES.get(pmu, ())
    known = [(f'{what}.{name}', attr.offset + pos, struct.calcsize(fmt),
              ADDRESS if name in addresses else KEPT)
             for name, pos, fmt in ATTR_FIELDS if pos + struct.calcsize(fmt) <= attr.size]
    last = known[-1][1] + known[-1][2]
    if last < attr.offset + attr.size:
        known.append((f'{what}.newer', last, attr.offset + attr.size - last, OPAQUE))
    return known


# ------------------------------------------------------------------ features

def cmdline_fields(cur, _):
    for i in range(cur.u32('CMDLINE.nr')):
        cur.string(f'CMDLINE[{i}]', TEXT)


def event_desc_fields(cur, pmu_names):
    count, size = cur.u32('EVENT_DESC.nr'), cur.u32('EVENT_DESC.attr_size')
    for i in range(count):
        attr = Attr(cur.buf, cur.pos, cur.endian, min(size, cur.end - cur.pos))
        attr.size = size
        cur.span('attr', size, KEPT)
        cur.out[-1:] = attr_fields(attr, pmu_names, f'EVENT_DESC[{i}]')
        ids = cur.u32(f'EVENT_DESC[{i}].nr_ids')
        cur.string(f'EVENT_DESC[{i}].name', TEXT)
        cur.span(f'EVENT_DESC[{i}].ids', 8 * ids, KEPT)


# The arrays behind struct bpf_prog_info: name, offset of the u64 that says where
# in the data, offset of the u32 count, offset of the u32 element size or the size
# itself (negative), kind
BPF_ARRAYS = (
    ('jited_insns', 24, 16, -1, OPAQUE), ('xlated_insns', 32, 20, -1, KEPT),
    ('map_ids', 56, 52, -4, KEPT), ('jited_ksyms', 112, 104, -8, ADDRESS),
    ('jited_func_lens', 120, 108, -4, KEPT), ('func_info', 136, 144, 132, KEPT),
    ('line_info', 152, 148, 172, KEPT), ('jited_line_info', 160, 168, 176, ADDRESS),
    ('prog_tags', 184, 180, -8, KEPT))


def bpf_prog_info_fields(cur, _):
    for i in range(cur.u32('BPF_PROG_INFO.nr')):
        info_len = cur.u32(f'bpf[{i}].info_len')
        data_len = cur.u32(f'bpf[{i}].data_len')
        arrays = cur.u64(f'bpf[{i}].arrays')
        info = cur.span(f'bpf[{i}].info', info_len, KEPT)
        data = Cursor(cur.buf, cur.pos, cur.pos + data_len, cur.endian, f'bpf[{i}].data') \
            if data_len <= cur.end - cur.pos else cur
        spans = []
        for bit, (name, where, count, element, kind) in enumerate(BPF_ARRAYS):
            if not arrays >> bit & 1 or max(where + 8, element + 4) > info_len:
                continue
            start, = struct.unpack_from(cur.endian + 'Q', cur.buf, info + where)
            size, = struct.unpack_from(cur.endian + 'I', cur.buf, info + count)
            size *= -element if element < 0 else struct.unpack_from(
                cur.endian + 'I', cur.buf, info + element)[0]
            spans.append((start, start + size, name, kind))
        for start, end, name, kind in sorted(spans):
            if start < data.pos - cur.pos or end > data_len:
                raise Damaged(f'bpf[{i}].{name} at {start:#x}-{end:#x} of {data_len:#x} bytes')
            data.span(f'bpf[{i}].gap', cur.pos + start - data.pos, OPAQUE)
            data.span(f'bpf[{i}].{name}', end - start, kind)
        cur.span(f'bpf[{i}].data', data_len, KEPT)
        if data is not cur:
            data.rest(f'bpf[{i}].gap', OPAQUE)
            cur.out[-1:] = data.out if data_len else cur.out[-1:]


def tracing_data_fields(cur, _):
    """What trace-event-info.c writes: files with their sizes before them."""
    if bytes(cur.buf[cur.pos:cur.pos + 10]) != b'\x17\x08\x44tracing':
        cur.rest('TRACING_DATA', OPAQUE)
        return
    cur.span('tracing.magic', 10, KEPT)

    def cstring(name):
        end = bytes(cur.buf[cur.pos:cur.end]).find(b'\0')
        start = cur.span(name, end + 1 if end >= 0 else cur.end - cur.pos, KEPT)
        return bytes(cur.buf[start:cur.pos]).rstrip(b'\0').decode('latin-1')

    def number(size):
        pos = cur.span('tracing.size', size, KEPT)
        return int.from_bytes(cur.buf[pos:pos + size], order)

    version = cstring('tracing.version')
    flags = cur.span('tracing.endian_long_page', 6, KEPT)
    order = 'big' if cur.buf[flags] else 'little'
    for name, length in (('header_page', 12), ('header_event', 13)):
        cur.span('tracing.' + name, length, KEPT)
        cur.span('tracing.' + name, number(8), KEPT)
    for _i in range(number(4)):
        cur.span('tracing.format.ftrace', number(8), MIXED)
    for _i in range(number(4)):
        system = cstring('tracing.system')
        for _j in range(number(4)):
            cur.span(f'tracing.format.{system}', number(8), MIXED)
    cur.span('tracing.kallsyms', number(4), TEXT)
    cur.span('tracing.printk', number(4), TEXT)
    if version >= '0.6':
        cur.span('tracing.cmdlines', number(8), TEXT)


# Features that need a look inside.  All others hold numbers and names only.
FEATURE_FIELDS = {
    'CMDLINE': cmdline_fields,
    'EVENT_DESC': event_desc_fields,
    'BPF_PROG_INFO': bpf_prog_info_fields,
    'TRACING_DATA': tracing_data_fields,
}


def feature_fields(number, buf, offset, size, endian, pmu_names):
    name = FEATURES[number] if number < len(FEATURES) else None
    cur = Cursor(buf, offset, offset + size, endian, f'feature {name or number}')
    if name in FEATURE_FIELDS:
        FEATURE_FIELDS[name](cur, pmu_names)
        cur.rest(f'{name}.rest', OPAQUE)
    else:
        cur.rest(name or f'feature_{number}', KEPT if name else OPAQUE)
    return cur.out


def pmu_mappings(buf, offset, size, endian):
    """HEADER_PMU_MAPPINGS as {type: name}"""
    cur = Cursor(buf, offset, offset + size, endian, 'PMU_MAPPINGS')
    names = {}
    for _i in range(cur.u32('nr')):
        number = cur.u32('type')
        cur.string('name', KEPT)
        names[number] = bytes(buf[cur.out[-1][1]:cur.pos]).split(b'\0')[0].decode('latin-1')
    return names


# --------------------------------------------------------------- tracepoints

FORMAT_FIELD = re.compile(rb'^\s*field:(.*?)\s*;\s*offset:(\d+);\s*size:(\d+);', re.M)
FORMAT_ID = re.compile(rb'^ID: (\d+)', re.M)
FORMAT_PRINT = re.compile(rb'^print fmt: ((?:\s*"(?:[^"\\]|\\.)*")+)(.*)$', re.M)
CONVERSION = re.compile(rb'%[-+ #0]*(\*|\d+)?(?:\.(\*|\d+))?(?:hh|h|ll|l|L|q|j|z|t)?([a-zA-Z%])')
TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|[(\[{]|[)\]}]|,|[^"(\[{)\]},]+')
# Longs of these names are no addresses, although printed in hexadecimal
NUMBER_NAMES = re.compile(rb'(?:^|_)(?:flags|ino|len|size|off|pfn|gfn)$')


def print_args(text):
    """The arguments of a print format, from behind its string: split at the outer commas"""
    args, depth = [b''], 0
    for token in TOKEN.findall(text):
        depth += (token in b'([{') - (token in b')]}')
        if token == b',' and not depth:
            args.append(b'')
        else:
            args[-1] += token
    return args[1:]


def printed(text):
    """[(conversion, argument)] of an event's format"""
    match = FORMAT_PRINT.search(text)
    if not match:
        return []
    args, out = print_args(match.group(2)), []
    for width, precision, conversion in CONVERSION.findall(match.group(1)):
        if conversion == b'%':
            continue
        for star in (width, precision):
            if star == b'*':
                args[:1] = []
        out += [(conversion, arg) for arg in args[:1]]
        args[:1] = []
    return out


def member_conversions(name, conversions):
    """How a member is printed: a set of x (hexadecimal), p (pointer), d (number)"""
    word, out = re.compile(rb'REC->' + re.escape(name) + rb'\b'), set()
    for conversion, arg in conversions:
        if word.search(arg.split(b' ? ')[-1]):
            if b'__print_flags' in arg or b'__print_symbolic' in arg or conversion in b'diuc':
                out.add('d')
            elif conversion in b'xXp':
                out.add(conversion.decode().lower())
    return out


def member_kind(decl, length, conversions):
    """What a payload's member is, by its C declaration and how it is printed"""
    for prefix in (b'__data_loc', b'__rel_loc'):
        if decl.startswith(prefix):
            return prefix.decode() + array_kind(decl)
    name = re.search(rb'(\w+)(\[[^]]*\])?$', decl)
    if not length:
        return array_kind(decl)
    if b'[' in decl:
        kind = array_kind(decl) if length >= 8 else KEPT
        return MIXED if kind == OPAQUE else kind
    if length % 8:
        return KEPT
    how = member_conversions(name.group(1), conversions) if name else set()
    if name and NUMBER_NAMES.search(name.group(1)) and b'*' not in decl:
        return NUMBERS
    if b'*' in decl or 'p' in how:
        return ADDRESS
    return WORDS if re.search(rb'ptr|\blong (?!long)', decl) and how != {'d'} else NUMBERS


def array_kind(decl):
    if re.search(rb'\bchar\b', decl) and b'unsigned' not in decl and b'*' not in decl:
        return TEXT
    if b'*' in decl or re.search(rb'\blong\b(?! long)', decl):
        return WORDS
    return NUMBERS if b'64' in decl or b'long long' in decl else OPAQUE


def tracepoint_formats(buf, fields):
    """{event id: [(name, offset, size, kind)]} from the fields of TRACING_DATA"""
    formats = {}
    for name, offset, size, _kind in fields:
        if not name.startswith('tracing.format.'):
            continue
        text = bytes(buf[offset:offset + size])
        number = FORMAT_ID.search(text)
        if not number:
            continue
        members, conversions = [], printed(text)
        for decl, pos, length in FORMAT_FIELD.findall(text):
            member = re.search(rb'(\w+)(\[[^]]*\])?$', decl)
            what = member_kind(decl, int(length), conversions)
            members.append((member.group(1).decode('latin-1') if member else '?',
                            int(pos), int(length), what))
        formats[int(number.group(1))] = sorted(members, key=lambda m: m[1])
    return formats


def payload_fields(cur, size, members):
    """A tracepoint's payload of size bytes at the cursor, by its format"""
    base, end = cur.pos, cur.pos + size
    spans, order = [], 'little' if cur.endian == '<' else 'big'
    for name, offset, length, kind in members:
        pos = base + offset
        if pos + length > end:
            continue
        length = length or end - pos    # an array without an end
        if kind.startswith('__'):       # where the data are, and how many bytes
            loc = int.from_bytes(cur.buf[pos:pos + 4], order)
            start = (pos + 4 if kind.startswith('__rel_loc') else base) + (loc & 0xffff)
            if base <= start and start + (loc >> 16) <= end:
                spans.append((start, loc >> 16, name + '.data', kind.split('_loc')[1]))
            kind = KEPT
        spans.append((pos, length, name, kind))
    for pos, length, name, kind in sorted(spans):
        if pos < cur.pos or not length:
            continue
        cur.span('raw.gap', pos - cur.pos, OPAQUE)
        cur.span('raw.' + name, length, kind)
    cur.span('raw.rest', end - cur.pos, OPAQUE)
