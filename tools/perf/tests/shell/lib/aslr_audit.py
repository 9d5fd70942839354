# SPDX-License-Identifier: GPL-2.0
"""Does SAFE say where anything in ORIG was mapped?

    aslr_audit.py [--max N] ORIG SAFE

Collects the page of every address in ORIG, then looks at every byte of SAFE for
an 8-byte value, or hexadecimal text, that names one of them.  Exit status: 0
nothing found, 1 something found, 2 an input can't be read.  It uses nothing of
perf: only the reader in perf_data.py.

What counts as an address in ORIG
    for sure    all ADDRESS fields (ip, addr, branches, phys_addr, start, end and,
                when no file offset, pgoff of mappings, ksymbols, text pokes,
                breakpoints, JITed BPF code; members of tracepoint payloads that are
                pointers or printed as such), and kallsyms, printk formats and
                modules in text.  Of mappings and ksymbols up to 1 GiB the whole
                range counts, of longer ones the first and last page.  A mapping
                that starts below 64 KiB (old kernels' map of themselves, from 0)
                ends at its size, which is no secret.
    by its look call chains (frame pointers lead astray: 0x100000000 is often in
                them, and in every second record by chance), registers, other 8-byte
                members of tracepoint payloads, 8-byte words of user stacks and
                other opaque bytes, at any offset in those of payloads, immediates of
                JITed code, hex text in the command line, in event names and in their
                formats.  They count when the page is one
                known for sure or in a known mapping, when the value is in the
                kernel half, or when it is a user address within the terabyte
                (below 1 TiB: the gigabyte) of a mapping or an ip.  Two small
                numbers side by side, a time or a pid in the upper half of a word
                do not look like that; a pointer to a heap or a stack does.
                Not like kernel addresses look the 2 GiB from 0xffffffff00000000
                and the last 2 MiB: nothing is mapped there, and small negative
                numbers are there.  Ranges end before the last 32 MiB likewise:
                old perf lets the last module's map extend to the end, and every
                PERF_CONTEXT_USER with zeroes before it is 0xfffffffffe000000.
Not secret: below 64 KiB, PERF_CONTEXT_* markers, the vsyscall page.

What counts as a find in SAFE
    Sure and from 4 GiB on    every hit, at any byte offset, in whatever it is.
                But process and thread numbers: one of some 32,600 with any 4 bytes before
                it may name a page at 0x7fXXxxxxxxxx, of which there are many.
    All others  Below 4 GiB a non-PIE program at 0x400000 has the pages of ordinary
                lengths, periods, ids and file offsets.  And what is an address by
                its look only, in no known mapping, may be nonsense: low-entropy bytes
                that come about elsewhere too.  So such a hit is none when it lies in
                a KEPT or NUMBERS field, which the contract leaves as it is; when its
                bytes belong to two fields or two elements of an array, so that it
                was the neighbour's zeroes that made it an address; when the 8-byte
                value is letters of a text; or when a payload has it as a number, and
                no mapping of its process is there, or of one that forked that.  In MIXED
                fields, which are full of small numbers, it counts from 4 GiB on.  Everywhere
                else (address fields, opaque bytes, texts in which an address may be) it counts.
Bytes of a payload that are no multiple of 8 behind its start count if something
of the process is mapped there, or if they look like the kernel's.
Of more than 16 hexadecimal digits in a row each 16 are looked at.
Hardware trace data count as a find as such: the addresses in there are packed.

Limits: 32-bit pointers in 4 bytes are not searched for in opaque bytes, nor
decimal text.  Pages of physical memory are as small numbers as times shortly
after boot, and finds in time fields can then be coincidences.
"""
import argparse
import os
import re
import struct
import sys
from array import array
from bisect import bisect_right
from itertools import compress, repeat
from operator import rshift

from perf_data import (ADDRESS, CHAIN, KEPT, MIXED, NUMBERS, OPAQUE, TEXT, TYPES, WORDS, Damaged,
                       PerfData, Stream, open_bytes)
from perf_data_fields import attr_fields, feature_fields

GIB, TIB = 1 << 30, 1 << 40
KERNEL_HALF = 0xffff800000000000
FIRST_PAGE, LAST_PAGE = 16, (1 << 52) - 2       # 64 KiB; below the page of the markers
LAST_MAPPED = 0xfffffffffdfff
VSYSCALL_PAGE = 0xffffffffff600
# At odd offsets these are negative numbers with the end of what is before them.
NEGATIVE = ((0xfffff00000000000, 0xffffffff80000000), (0xfffffffff0000000, 1 << 64))
UNUSED = ((0xffffffff00000000, 0xffffffff80000000), (0xffffffffffe00000, 1 << 64))
CHUNK = 16 << 20
PID_MAX = 1 << 22
TASK_NUMBERS = ('pid', 'ppid', 'tid', 'ptid', 'pid_tid', 'id.pid_tid')

HEX_RUN = re.compile(rb'[0-9a-fA-F]{5,}')
HEX_LINE = re.compile(rb'^(?:0x)?([0-9a-fA-F]{8,16})\b|\b0x([0-9a-fA-F]{8,16})$', re.M)
MOVABS = re.compile(rb'[\x48\x49][\xb8-\xbf](.{8})', re.S)


def is_in(value, ranges):
    return any(start <= value < end for start, end in ranges)


def native(buf, fmt, endian):
    """buf as an array of numbers"""
    numbers = array(fmt, bytes(buf[:len(buf) // struct.calcsize(fmt) * struct.calcsize(fmt)]))
    if (endian == '<') != (sys.byteorder == 'little'):
        numbers.byteswap()
    return numbers


def hex_value(digits):
    digits = digits.lstrip(b'0')
    return int(digits, 16) if 0 < len(digits) <= 16 else 0


def hex_values(digits):
    """The numbers in a run of digits: one, or when that is too long, all of 16 digits"""
    if len(digits.lstrip(b'0')) <= 16:
        return [hex_value(digits)]
    return [int(digits[i:i + 16], 16) for i in range(len(digits) - 15)]


class Secrets:
    """The pages to search for, each with the place in ORIG that names it first"""

    def __init__(self):
        self.pages = {}                 # page: label
        self.ranges = []                # (first page, last page, label), secret as a whole
        self.huge = []                  # the same, known as mappings only
        self.weak = {}                  # page: label, of values that may be addresses
        self.odd = {}                   # the same of those that are if they are mapped
        self.doubtful = set()           # pages of these that neither are sure nor mapped
        self.zones = set()              # terabytes (negative: gigabytes) with user addresses
        self.low_of = {}                # pid: (first page, last page) of mappings below 4 GiB
        self.parents = {}               # pid: pids that forked it

    def add(self, value, label, zone=False):
        page = value >> 12
        if zone and FIRST_PAGE <= page and value < KERNEL_HALF:
            self.zones.add(self.zone(value))
        if page in self.pages or not FIRST_PAGE <= page <= LAST_PAGE or page == VSYSCALL_PAGE:
            return
        self.pages[page] = label

    @staticmethod
    def zone(value):
        return value // TIB if value >= TIB else -(value // GIB)

    def add_range(self, start, size, label):
        end = min(start + size, 1 << 64) - 1
        if end < start:
            return
        first, last = max(start >> 12, FIRST_PAGE), min(end >> 12, LAST_MAPPED)
        if size <= GIB and first <= last:
            self.ranges.append((first, last, label))
        elif start:
            self.huge.append((first, last, label))
        self.add(start, label + ' start', zone=True)
        if start >> 12 >= FIRST_PAGE:
            self.add(end, label + ' end', zone=True)

    def add_mapping(self, pid, start, size):
        """What the process has below 4 GiB"""
        if start < 4 * GIB:
            self.low_of.setdefault(pid, []).append((start >> 12, start + size - 1 >> 12))

    def is_low_of(self, pid, page):
        """Whether a page is of a mapping of the process, or of those that forked it"""
        seen, todo = set(), [pid]
        while todo:
            pid = todo.pop()
            if any(first <= page <= last for first, last in self.low_of.get(pid, ())):
                return True
            seen.add(pid)
            todo += self.parents.get(pid, set()) - seen
        return False

    def add_weak(self, values, label):
        for page in set(map(rshift, values, repeat(12))):
            if page not in self.weak:
                self.weak[page] = label

    def add_odd(self, values, label):
        """Values at odd offsets, of which numbers side by side make up many"""
        self.add_weak([value for value in values
                       if value >= KERNEL_HALF and not is_in(value, NEGATIVE)], label)
        for page in set(map(rshift, values, repeat(12))):
            if page not in self.odd:
                self.odd[page] = label

    def finish(self):
        """Decide which of the weak ones are addresses, prepare for the search"""
        mapped = Ranges(self.ranges + self.huge)
        for page, label in self.weak.items():
            if page in self.pages:
                continue
            if page in mapped:
                self.add(page << 12, label)
            elif self.looks(page << 12):
                self.add(page << 12, label)
                self.doubtful.add(page)
        for page, label in self.odd.items():
            if page in mapped:
                self.add(page << 12, label)
        self.search = Ranges(self.ranges)
        self.tops = {page >> 20 for page in self.pages} - {0}
        self.low = {page for page in self.pages if page < 1 << 20}
        for first, last in zip(self.search.first, self.search.last):
            self.tops.update(range(max(first >> 20, 1), (last >> 20) + 1))
            self.low.update(range(first, min(last + 1, 1 << 20)))
        return self

    def looks(self, value):
        """Whether a page looks like one of an address"""
        if value >= KERNEL_HALF:
            return not is_in(value, UNUSED)
        return value >= 4 * GIB and self.zone(value) in self.zones

    def __contains__(self, page):
        return page in self.pages or page in self.search and page != VSYSCALL_PAGE

    def __len__(self):
        ranges = self.search
        return sum(last + 1 - first for first, last in zip(ranges.first, ranges.last)) + \
            sum(page not in ranges for page in self.pages)

    def label(self, page):
        return self.pages.get(page) or next(label for first, last, label in self.ranges
                                            if first <= page <= last)


class Ranges:
    """A set of pages, by ranges"""

    def __init__(self, ranges):
        self.first, self.last = [], []
        for first, last, _ in sorted(ranges):
            if self.last and first <= self.last[-1] + 1:
                self.last[-1] = max(self.last[-1], last)
            else:
                self.first.append(first)
                self.last.append(last)

    def __contains__(self, page):
        i = bisect_right(self.first, page) - 1
        return i >= 0 and page <= self.last[i]


# ------------------------------------------------------------------- collect

def collect_field(secrets, buf, endian, field, label):
    name, offset, size, kind = field
    if kind == KEPT:
        return
    data = bytes(buf[offset:offset + size])
    if kind == ADDRESS:
        for value in native(data, 'Q', endian):
            if value >> 12 not in secrets.pages:
                secrets.add(value, f'{label} {name}', zone=name == 'ip')
    elif kind in (CHAIN, WORDS, NUMBERS, OPAQUE) or kind == MIXED and name.startswith('raw.'):
        values = native(data, 'Q', endian)
        if name.endswith('jited_insns'):
            values = [struct.unpack(endian + 'Q', code)[0] for code in MOVABS.findall(data)]
        secrets.add_weak(values, f'{label} {name}')
        if kind in (MIXED, OPAQUE) and name.startswith('raw.'):
            for start in range(1, 8):   # an array of bytes may have them anywhere
                secrets.add_odd(native(data[start:], 'Q', endian), f'{label} {name}')
    elif name in ('tracing.kallsyms', 'tracing.printk'):
        for groups in HEX_LINE.findall(data):
            secrets.add(hex_value(b''.join(groups)), name)
    else:
        secrets.add_weak([value for run in HEX_RUN.findall(data) for value in hex_values(run)],
                         f'{label} {name}')


def collect(data):
    """All addresses in a PerfData"""
    secrets = Secrets()
    for name, offset, size, kind in header_fields(data):
        collect_field(secrets, data.buf, data.endian, (name, offset, size, kind), 'header')
    for rec in data.records:
        buf, label = rec.stream.buf, f'{rec.name} #{rec.index}'
        for field in data.fields(rec):
            if field[3] != KEPT:
                collect_field(secrets, buf, data.endian, field, label)
        if rec.name in ('MMAP', 'MMAP2'):
            start, size = struct.unpack_from(data.endian + 'QQ', buf, rec.offset + 16)
            secrets.add_range(start, size, label)
            secrets.add_mapping(struct.unpack_from(data.endian + 'I', buf, rec.offset + 8)[0],
                                start, size)
        elif rec.name == 'FORK' and rec.size >= 16:
            pid, ppid = struct.unpack_from(data.endian + 'II', buf, rec.offset + 8)
            secrets.parents.setdefault(pid, set()).add(ppid)
        elif rec.name == 'KSYMBOL':
            start, size = struct.unpack_from(data.endian + 'QI', buf, rec.offset + 8)
            secrets.add_range(start, size, label)
    return secrets


def collect_directory(secrets, path):
    """What perf record --kcore leaves beside the data"""
    for file in files_of(path):
        if os.path.basename(file) in ('kallsyms', 'modules'):
            for groups in HEX_LINE.findall(open_bytes(file)):
                secrets.add(hex_value(b''.join(groups)), file)


def files_of(path):
    return sorted(os.path.join(top, name) for top, _, names in os.walk(path) for name in names)


def header_fields(data):
    """The fields of a file outside of the records, sorted by offset"""
    if data.is_pipe:
        return [('header', 0, 16, KEPT)]
    fields = [('header', 0, struct.unpack_from(data.endian + 'Q', data.buf, 8)[0], KEPT)]
    for i, attr in enumerate(data.attrs):
        fields += attr_fields(attr, data.pmu_names, f'attr[{i}]')
        fields.append((f'attr[{i}].ids section', attr.offset + attr.size, 16, KEPT))
    fields += [(name, offset, size, KEPT) for offset, size, name in data.regions
               if name.endswith('.ids') or name == 'event_types']
    table = max(offset + size for offset, size, name in data.regions if name == 'data')
    fields.append(('feature table', table, 16 * len(data.features), KEPT))
    for number, offset, size in data.features:
        fields += feature_fields(number, data.buf, offset, size, data.endian, data.pmu_names)
    return sorted(fields, key=lambda field: field[1])


# -------------------------------------------------------------------- search

def binary_hits(buf, endian, secrets):
    """Offsets and values of all 8-byte values that name a page"""
    for base in range(0, len(buf), CHUNK):
        part = bytes(buf[base:base + CHUNK + 7])
        for shift in range(4):
            words = native(part[shift:], 'I', endian)
            tops = set(compress(range(len(words)), map(secrets.tops.__contains__, words)))
            if endian == '<':           # by the index of the half that comes first
                tops = {i - 1 for i in tops if i}
            if secrets.low:
                low = compress(range(len(words)),
                               map(secrets.low.__contains__, map(rshift, words, repeat(12))))
                one = 1 if endian == '<' else -1
                tops.update(i if one > 0 else i - 1 for i in low
                            if 0 <= i + one < len(words) and not words[i + one])
            for i in sorted(tops):
                if i + 1 >= len(words) or i * 4 + shift >= CHUNK:
                    continue
                value = words[i] | words[i + 1] << 32 if endian == '<' else \
                    words[i] << 32 | words[i + 1]
                if value >> 12 in secrets:
                    yield base + shift + 4 * i, value, 8


def text_hits(buf, secrets):
    """The same of hexadecimal text"""
    for run in HEX_RUN.finditer(buf):
        for value in hex_values(run.group()):
            if value >> 12 in secrets:
                yield run.start(), value, len(run.group())


class Places:
    """Tells what is at an offset of a stream"""

    def __init__(self, data, stream):
        self.data, self.stream = data, stream
        self.starts = [rec.offset for rec in stream.records]
        self.header = header_fields(data) if data and stream is data.streams[0] else []
        self.header_starts = [field[1] for field in self.header]
        self.last = None, None

    def at(self, offset, size):
        """(what it is in, field or None when it's in no single one)"""
        i = bisect_right(self.starts, offset) - 1
        rec = self.stream.records[i] if i >= 0 else None
        if rec and offset < rec.offset + rec.size + rec.trailing:
            if self.last[0] is not rec:
                self.last = rec, self.data.fields(rec)
            label, fields = f'{rec.name} #{rec.index}', self.last[1]
            i = bisect_right([field[1] for field in fields], offset) - 1
        else:
            label, fields = 'header', self.header
            i = bisect_right(self.header_starts, offset) - 1
            if i < 0 or offset >= fields[i][1] + fields[i][2]:
                return 'no record', self.gap(offset, size)
        name, start, length, kind = fields[i]
        if offset + size > start + length:
            return f'{label} {name} and beyond', None
        return f'{label} {name}', (name, start, length, kind)

    def gap(self, offset, size):
        for starts in (self.starts, self.header_starts):
            i = bisect_right(starts, offset)
            if i < len(starts) and starts[i] < offset + size:
                return None
        return 'gap', offset, size, OPAQUE


def is_task_number(places, offset, value, size):
    """Whether the upper half of a hit is a process or thread number, and the lower one if it may"""
    places.at(offset, size)
    numbers = {pos for name, start, length, _ in places.last[1] or () if name in TASK_NUMBERS
               for pos in range(start, start + length, 4)}
    lower, upper = offset, offset + 4
    if places.data and places.data.endian == '>':
        lower, upper = upper, lower
    return upper in numbers and value >> 32 <= PID_MAX and \
        (lower not in numbers or value & (1 << 32) - 1 <= PID_MAX)


def counts(field, offset, value, size, buf, is_text):
    """Whether a hit is in a place for addresses: see the top of the file"""
    if not field or field[3] in (KEPT, NUMBERS) or field[3] == MIXED and value < 4 * GIB:
        return False
    _, start, _, kind = field
    if is_text:
        return kind in (TEXT, MIXED, OPAQUE)
    if kind in (ADDRESS, CHAIN, WORDS):
        return (offset - start) % 8 == 0
    letters = bytes(buf[offset:offset + size]).rstrip(b'\0')
    return kind in (MIXED, OPAQUE) or not all(0x20 <= char < 0x7f for char in letters)


def other_task(secrets, places, offset, value):
    """Whether a small number in a payload is an address in other processes only"""
    field = places.at(offset, 8)[1]
    if value >= 4 * GIB or not field or field[3] != WORDS or not field[0].startswith('raw.'):
        return False
    pid = places.data.values(places.last[0]).get('pid_tid')
    return pid is not None and not secrets.is_low_of(pid & 0xffffffff, value >> 12)


class Find:
    """One hit that counts; what it is in is looked up when it is printed"""
    __slots__ = ('secrets', 'places', 'offset', 'value', 'size', 'is_text')

    def __init__(self, *values):
        self.secrets, self.places, self.offset, self.value, self.size, self.is_text = values

    def __str__(self):
        label, _ = self.places.at(self.offset, self.size)
        where = self.places.stream.name and self.places.stream.name + ' '
        what = f'{"text " if self.is_text else ""}{self.value:#x}, the page of ' \
            f'{self.secrets.label(self.value >> 12)}' if self.size else 'hardware trace'
        return f'{where}offset {self.offset:#x}: {label}: {what}'


def search(secrets, stream, endian, data):
    """Yield the finds in a stream"""
    places = Places(data, stream)
    for is_text, hits in ((False, binary_hits(stream.buf, endian, secrets)),
                          (True, text_hits(stream.buf, secrets))):
        for offset, value, size in hits:
            sure = value >= 4 * GIB and value >> 12 not in secrets.doubtful
            sure = sure and (is_text or not is_task_number(places, offset, value, size))
            if sure or (counts(places.at(offset, size)[1], offset, value, size, stream.buf,
                               is_text) and not other_task(secrets, places, offset, value)):
                yield Find(secrets, places, offset, value, size, is_text)
    for rec in stream.records:
        trace = rec.trailing if rec.name == 'AUXTRACE' else 0
        if rec.name == 'SAMPLE' and data.attr_of(rec) and data.attr_of(rec).sample_type >> 20 & 1:
            trace = sum(size for name, _, size, _ in data.fields(rec) if name == 'aux')
        if trace:
            yield Find(secrets, places, rec.offset, 0, 0, False)


def safe_streams(safe):
    """All there is to search: (stream, PerfData or None)"""
    data = PerfData(safe)
    streams = [(stream, data) for stream in data.streams]
    if os.path.isdir(safe):
        known = {stream.name for stream in data.streams} | {'data'}
        streams += [(Stream(name, open_bytes(os.path.join(safe, name))), None)
                    for name in (os.path.relpath(file, safe) for file in files_of(safe))
                    if name not in known]
    return data.endian, streams


def audit(orig, safe):
    """(list of Find, number of pages searched for, number of bytes searched)"""
    data = PerfData(orig)
    secrets = collect(data)
    if os.path.isdir(orig):
        collect_directory(secrets, orig)
    secrets.finish()
    unknown = {rec.type for rec in data.records} - TYPES.keys()
    if unknown:
        print(f'audit: note: {orig} has records of unknown type {sorted(unknown)}, searched as '
              'bytes', file=sys.stderr)
    endian, streams = safe_streams(safe)
    finds = [find for stream, parsed in streams
             for find in search(secrets, stream, endian, parsed)]
    return finds, len(secrets), sum(len(stream.buf) for stream, _ in streams)


def main():
    parser = argparse.ArgumentParser(description='Search SAFE for addresses of ORIG.')
    parser.add_argument('--max', type=int, default=20, help='print that many finds at most')
    parser.add_argument('orig')
    parser.add_argument('safe')
    args = parser.parse_args()
    try:
        finds, pages, size = audit(args.orig, args.safe)
    except (Damaged, OSError) as error:
        print(f'audit: {error}', file=sys.stderr)
        return 2
    for find in finds[:args.max]:
        print(find)
    if len(finds) > args.max:
        print(f'... and {len(finds) - args.max} more')
    print(f'audit: {len(finds)} finds ({pages} pages searched for, {size} bytes)')
    return 1 if finds else 0


if __name__ == '__main__':
    sys.exit(main())
