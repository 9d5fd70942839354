# SPDX-License-Identifier: GPL-2.0
"""Lose records of a profile that say where processes have what.

    aslr_lose.py WHICH ORIG OUT

Writes to OUT what ORIG, a profile that is one file, has; but LOST records of the same
size are in the place of

    mappings    all records of mappings of processes
    others      those of all files but the program, which is mapped first
    program     those of all files but the first library
    tasks       all of mappings, COMM and FORK
    seconds     each second one of mappings
    late        those of mappings in the second half of all records
"""
import struct
import sys

from perf_data import CPUMODE_KERNEL, CPUMODE_MASK, TYPE, PerfData

MAPPINGS = ('MMAP', 'MMAP2')
TASKS = ('COMM', 'FORK')
LOST = struct.Struct('<IHHQQ')


def name_of(data, rec):
    return data.values(rec)['filename']


def others(data, mappings):
    names = [name_of(data, rec) for rec in mappings]
    first = next(name for name in names if name.startswith(b'/') and not name.startswith(b'//'))
    return [rec for rec, name in zip(mappings, names) if name != first]


def program(data, mappings):
    library = next((name_of(data, rec) for rec in mappings if b'.so' in name_of(data, rec)), None)
    return [rec for rec in mappings if name_of(data, rec) != library]


# Of the data, and the records of mappings: those that are lost.
WHICH = {
    'mappings': lambda data, mappings: mappings,
    'others': others,
    'program': program,
    'tasks': lambda data, mappings: mappings + [rec for rec in data.records if rec.name in TASKS],
    'seconds': lambda data, mappings: mappings[1::2],
    'late': lambda data, mappings: [rec for rec in mappings
                                    if rec.index >= len(data.records) // 2],
}


def main():
    which, orig, out = sys.argv[1:]
    data = PerfData(orig)
    mappings = [rec for rec in data.records if rec.name in MAPPINGS and
                rec.misc & CPUMODE_MASK != CPUMODE_KERNEL]
    lost = WHICH[which](data, mappings)
    if not lost:
        sys.exit(f'{sys.argv[0]}: nothing to lose')
    buf = bytearray(data.buf)
    for rec in lost:
        end = rec.offset + rec.size
        trailer = 8 * len(data.attr_of(rec).trailer)
        buf[rec.offset:end - trailer] = bytes(rec.size - trailer)
        LOST.pack_into(buf, rec.offset, TYPE['LOST'], 0, rec.size, 0, 1)
    with open(out, 'wb') as file:
        file.write(buf)


if __name__ == '__main__':
    main()
