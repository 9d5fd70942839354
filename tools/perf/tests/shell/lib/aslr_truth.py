# SPDX-License-Identifier: GPL-2.0
"""Does SAFE say where anything was mapped that was there while ORIG was recorded?

    aslr_truth.py --snapshot TRUTH              # add the maps of all that runs now
    aslr_truth.py [--expect KINDS] [--numbers FILE] TRUTH ORIG SAFE

aslr_audit.py learns what to search for from ORIG, by knowing its format.  This
one knows nothing of the format: TRUTH has lines of /proc/PID/maps, which the
profiled processes wrote themselves, and those of the kernel are from
/proc/kallsyms and /proc/modules.  Only where the kernel tells nobody its
addresses (heap, stacks, direct map) they are taken from ORIG: whatever its
bytes hold that can be nothing else.

Searched for in SAFE, at every byte offset but where another is told:

    user        6 bytes with the lower 48 bits of an address of a process
    page        8-byte numbers of its pages, at multiples of 4
    low         8-byte addresses below 4 GiB, at multiples of 4, for programs that aren't
                where small numbers are
    kernel      6 bytes with the lower 48 bits of an address of the kernel
    half        the lower 32 bits of addresses that are in ORIG, at multiples of 4
    hex         hexadecimal text of any of them, also as a part of longer numbers
    decimal     decimal text of any of them

With --expect ORIG has to have some of each of these KINDS ("user,kernel,hex"),
else the search has proved nothing; that is an error, too.  And each kind is
hidden in a copy of SAFE, where it has to be found.

What has the bytes of an address and is none:
  - times.  TRUTH has lines "time NANOSECONDS"; what is near one of these, at a
    multiple of 4, is no address, nor are bytes of it together with others.
  - two process numbers side by side are like an address in the first 4 MiB
    above a multiple of 4 GiB.  These aren't searched for.
  - letters of a text; they can be bytes of an address.
  - random numbers that files have, the numbers and generations of inodes.  What
    is alone in a line of --numbers FILE is no address.
  - halves of images, which are followed by the other half; and as half of all
    random numbers there are look like something, one or two finds of kind
    "half" are none.
Images of --aslr lie where neither the kernel nor a program is.

Exit status: 0 nothing found, 1 something found, 2 the search has proved nothing.
"""
import argparse
import glob
import os
import re
import sys
import time
from array import array
from bisect import bisect_right

GIB = 1 << 30
LOW_48 = (1 << 48) - 1
FIRST = 0x10000                         # below that nothing is secret
KERNEL_HALF = 0xffff000000000000
# Where kernels have memory and text: not the areas of entries and fixed maps between and
# behind, as which small negative numbers look together with their neighbours.
KERNEL_LOOKS = ((0xffff800000000000, 0xfffffe0000000000),
                (0xffffffff80000000, 0xffffffffff000000))
# The upper halves of images, see aslr-ranges.c.
IMAGE_TOPS = ((0x1b00, 0x5000), (0x100000, 0x120000), (0xe0000000, 0xe000d000))
TIMES = 60 * 10 ** 9                    # as near as that to a time
TASK_NUMBERS = 4 << 20

MAPS_LINE = re.compile(r'^([0-9a-f]+)-([0-9a-f]+) .... .*?(\S*)$')
HEX = re.compile(rb'[0-9a-fA-F]{5,}')
DECIMAL = re.compile(rb'\d{8,}')
LETTERS = re.compile(rb'[\0\t\n\x20-\x7e]*')


class Ranges:
    """Addresses from `start` up to, but not, `end`"""

    def __init__(self, ranges):
        self.starts, self.ends = [], []
        for start, end in sorted(ranges):
            if self.ends and start <= self.ends[-1]:
                self.ends[-1] = max(self.ends[-1], end)
            elif start < end:
                self.starts.append(start)
                self.ends.append(end)

    def __contains__(self, value):
        i = bisect_right(self.starts, value) - 1
        return i >= 0 and value < self.ends[i]

    def __iter__(self):
        return zip(self.starts, self.ends)

    def tops(self, shift):
        """The numbers that the values have above `shift` bits"""
        return {top for start, end in self
                for top in range(start >> shift, (end - 1 >> shift) + 1)}


def snapshot(truth):
    """Add the maps of all processes"""
    with open(truth, 'a', encoding='utf-8') as out:
        print('time', time.monotonic_ns(), file=out)
        for name in glob.glob('/proc/[0-9]*/maps'):
            try:
                with open(name, encoding='utf-8', errors='replace') as maps:
                    for line in maps:
                        match = MAPS_LINE.match(line.rstrip('\n'))
                        start, end = int(match[1], 16), int(match[2], 16)
                        # Anybody may have small addresses, and reserve half the address space.
                        if start >= 1 << 40 and end - start <= GIB:
                            out.write(line)
            except OSError:             # gone, or not ours
                pass


def kernel_image():
    """What /proc tells of the kernel's text and of modules: ranges, as far as it does"""
    ranges, places = [], {}
    try:
        with open('/proc/kallsyms', encoding='utf-8') as symbols:
            for line in symbols:
                value, _, name = line.split()[:3]
                if name in ('_stext', '_text', '_end', '__bss_stop'):
                    places[name] = int(value, 16)
        with open('/proc/modules', encoding='utf-8') as modules:
            for line in modules:
                words = line.split()
                start = int(words[5], 16)
                ranges.append((start, start + int(words[1])))
    except OSError:
        pass
    if places:
        ranges.append((min(places.values()), max(places.values())))
    return [(start, end) for start, end in ranges if start >= KERNEL_HALF]


class Truth:
    """What to search for"""

    def __init__(self, name):
        ranges, self.times = [], []
        with open(name, encoding='utf-8', errors='replace') as lines:
            for line in lines:
                if line.startswith('time '):
                    now = int(line.split()[1])
                    self.times.append((now - TIMES, now + TIMES))
                    continue
                match = MAPS_LINE.match(line.rstrip('\n'))
                if match and match[3] != '[vsyscall]':
                    ranges.append((int(match[1], 16), int(match[2], 16)))
        self.times = Ranges(self.times)
        all_user = Ranges((max(start, FIRST), end) for start, end in ranges)
        self.low = Ranges((start, min(end, 4 * GIB)) for start, end in all_user)
        self.user = Ranges(self.clean(all_user))
        self.page = Ranges((start >> 12, end >> 12) for start, end in self.user)
        self.kernel_ranges = kernel_image()
        self.halves = set()

    def clean(self, ranges):
        """Ranges from 4 GiB on, without what times and process numbers look like"""
        for start, end in ranges:
            start = max(start, 4 * GIB)
            while start < end:
                base = start // (4 * GIB) * 4 * GIB
                first, last = max(start, base + TASK_NUMBERS), min(end, base + 4 * GIB)
                if first < last and not any(begin < last and first < stop
                                            for begin, stop in self.times):
                    yield first, last
                start = base + 4 * GIB

    def learn(self, buf):
        """Take from the original what the kernel doesn't tell"""
        ranges = list(self.kernel_ranges)
        for base in range(0, 8, 4):
            for value in set(words(buf, 'Q', base)):
                if value & 0xffffffff < FIRST:  # a negative number before or behind zeroes
                    continue
                if any(start <= value < end for start, end in KERNEL_LOOKS):
                    ranges.append((value >> 12 << 12, (value >> 12) + 1 << 12))
                elif value not in self.user and value not in self.low:
                    continue
                if value & 0xffffffff >= 1 << 24:
                    self.halves.add(value & 0xffffffff)
        self.kernel = Ranges((start & LOW_48, end - 1 & LOW_48) for start, end in ranges)
        return self


def words(buf, fmt, base=0):
    """The numbers in the buffer, one after another from `base` on"""
    result = array(fmt)
    size = (len(buf) - base) // result.itemsize * result.itemsize
    result.frombytes(bytes(buf[base:base + max(size, 0)]))
    return result


def with_top(buf, tops, size):
    """Offsets of the numbers of `size` bytes that have one of these uppermost bytes"""
    if tops:
        chars = b''.join(b'\\x%02x' % top for top in tops)
        for match in re.finditer(b'[' + chars + b']', buf):
            if match.start() >= size - 1:
                yield match.start() - size + 1


class Search:
    """A file, and what of it can't be an address"""

    def __init__(self, truth, buf, numbers=()):
        self.truth, self.buf, self.numbers = truth, buf, set(numbers)
        # Both halves of a time at the same place in two arrays.
        self.times = set()
        if truth.times.starts:
            tops = truth.times.tops(32)
            halves = words(buf, 'I')
            for i, half in enumerate(halves[1:]):
                if half in tops and half << 32 | halves[i] in truth.times:
                    self.times.update((i, i + 1))
        for base in range(0, 8, 4):
            for i, value in enumerate(words(buf, 'Q', base)):
                if value in self.numbers:
                    self.times.update((2 * i + base // 4, 2 * i + base // 4 + 1))

    def is_other(self, offset, size):
        """Whether bytes are, or are together with, those of a time, or are letters"""
        return any(i in self.times for i in range(offset // 4, (offset + size - 1) // 4 + 1)) or \
            LETTERS.fullmatch(self.buf, offset, offset + size) is not None

    def fragments(self, ranges):
        """Numbers of 6 bytes"""
        for offset in with_top(self.buf, ranges.tops(40), 6):
            value = int.from_bytes(self.buf[offset:offset + 6], 'little')
            if value in ranges and not self.is_other(offset, 6):
                yield offset, value

    def user(self):
        yield from self.fragments(self.truth.user)

    def kernel(self):
        yield from self.fragments(self.truth.kernel)

    def wide(self, ranges, step):
        """Numbers of 8 bytes with the upper half 0, or few bits in it"""
        for top in sorted(ranges.tops(32)):
            for match in re.finditer(re.escape(top.to_bytes(4, 'little')), self.buf):
                offset = match.start() - 4
                if offset < 0 or offset % step:
                    continue
                value = int.from_bytes(self.buf[offset:offset + 8], 'little')
                if value in ranges and not self.is_other(offset, 8):
                    yield offset, value

    def page(self):
        yield from self.wide(self.truth.page, 4)

    def low(self):
        halves = words(self.buf, 'I')
        for i, value in enumerate(halves[:-1]):
            if value in self.truth.low and not halves[i + 1] and not self.is_other(4 * i, 4):
                yield 4 * i, value

    def half(self):
        halves = words(self.buf, 'I')
        for i, value in enumerate(halves):
            if value not in self.truth.halves or self.is_other(4 * i, 4):
                continue
            after = halves[i + 1] if i + 1 < len(halves) else 0
            if not any(start <= after < end for start, end in IMAGE_TOPS):
                yield 4 * i, value

    def hex(self):
        truth = self.truth
        for match in HEX.finditer(self.buf):
            text, where = match[0], match.start()
            for ranges, digits in ((truth.user, 12), (truth.kernel, 12), (truth.low, 8)):
                for i in range(max(len(text) - digits + 1, 0)):
                    if int(text[i:i + digits], 16) in ranges:
                        yield where + i, int(text[i:i + digits], 16)
            value = int(text, 16)
            if any(value in ranges for ranges in (truth.user, truth.low, truth.page)):
                yield where, value

    def decimal(self):
        truth = self.truth
        for match in DECIMAL.finditer(self.buf):
            value = int(match[0])
            if value in truth.user or value in truth.low or \
                    (value >= KERNEL_HALF and value & LOW_48 in truth.kernel):
                yield match.start(), value


KINDS = ('user', 'page', 'low', 'kernel', 'half', 'hex', 'decimal')


def finds_of(search, kind):
    """Offsets and values"""
    finds = list(getattr(search, kind)())
    return finds if kind != 'half' or len({value for _, value in finds}) > 2 else []


def hidden(truth, kind):
    """The bytes of an address of this kind, or None if there is none"""
    ranges = {'hex': truth.user, 'decimal': truth.user}.get(kind) or getattr(truth, kind, None)
    values = [start + (end - start) // 2 + 1 for start, end in ranges or ()
              if end - start > 1] or [0]
    value = max(values)
    if kind == 'half':
        halves = [half.to_bytes(4, 'little') for half in sorted(truth.halves)]
        halves = [half for half in halves if not LETTERS.fullmatch(half)][:3]
        return b''.join(halves) if len(halves) > 2 else None
    if not value:
        return None
    if kind == 'hex':
        return b'DEAD%X0123456789ABCDEF' % value
    if kind == 'decimal':
        return b'at %d' % value
    return value.to_bytes(6 if kind in ('user', 'kernel') else 8, 'little')


def read(name):
    """A file, or all files of a directory"""
    names = [name]
    if os.path.isdir(name):
        names = sorted(os.path.join(name, part) for part in os.listdir(name))
    result = b''
    for part in names:
        with open(part, 'rb') as file:
            result += file.read()
        result += bytes(-len(result) % 8)
    return result


def main():
    parser = argparse.ArgumentParser(description='Search SAFE for what TRUTH says.')
    parser.add_argument('--snapshot', action='store_true', help='add all maps to TRUTH')
    parser.add_argument('--expect', default='', help='kinds that ORIG must have')
    parser.add_argument('--numbers', help='file with numbers that are no addresses')
    parser.add_argument('truth')
    parser.add_argument('orig', nargs='?')
    parser.add_argument('safe', nargs='?')
    args = parser.parse_args()
    if args.snapshot:
        snapshot(args.truth)
        return 0

    orig, safe = read(args.orig), read(args.safe)
    truth = Truth(args.truth).learn(orig)
    numbers = set()
    if args.numbers:
        with open(args.numbers, encoding='utf-8') as lines:
            numbers = {int(line, 0) for line in lines}

    status, counts = 0, []
    control = Search(truth, orig, numbers)
    search = Search(truth, safe, numbers)
    for kind in KINDS:
        in_orig, finds = finds_of(control, kind), finds_of(search, kind)
        counts.append(f'{kind} {len(in_orig)}')
        if kind in args.expect.split(',') and not in_orig:
            print(f'truth: the original has nothing of kind "{kind}"')
            status = status or 2
        for offset, value in finds[:10]:
            print(f'truth: {kind}: {value:#x} at offset {offset:#x}')
        if finds:
            print(f'truth: {kind}: {len(finds)} finds')
            status = 1
        secret = hidden(truth, kind)
        if secret:
            base = (len(safe) + 7) // 8 * 8
            if kind in ('user', 'kernel'):
                base += 3               # these are searched for at any offset
            spoiled = safe + b'\xfe' * (base - len(safe)) + secret + b'\0' * 16
            if len(finds_of(Search(truth, spoiled, numbers), kind)) <= len(finds):
                print(f'truth: {kind}: {secret.hex()} is hidden and not found')
                status = status or 2
    print(f'truth: {"ok" if not status else "FAILED"} (in the original: {", ".join(counts)})')
    return status


if __name__ == '__main__':
    sys.exit(main())
