# SPDX-License-Identifier: GPL-2.0
"""Spoil a safe profile: put one address of the original back.

    aslr_put_back.py ORIG SAFE OUT

Writes to OUT what SAFE has, but for 8 bytes at an odd offset in its last sample,
which are the start of ORIG's last mapping of a process.  The auditor must find it.
"""
import struct
import sys

from perf_data import CPUMODE_KERNEL, CPUMODE_MASK, PerfData


def records(path, name):
    """All records of that name, of a profile that is one file"""
    data = PerfData(path)
    return data, [rec for rec in data.records if rec.name == name]


def main():
    orig, safe, out = sys.argv[1:]
    data, mappings = records(orig, 'MMAP2')
    mapping = [rec for rec in mappings if rec.misc & CPUMODE_MASK != CPUMODE_KERNEL][-1]
    start = data.values(mapping)['start']
    _, samples = records(safe, 'SAMPLE')
    with open(safe, 'rb') as file:
        spoiled = bytearray(file.read())
    struct.pack_into('<Q', spoiled, samples[-1].offset + 9, start)
    with open(out, 'wb') as file:
        file.write(spoiled)


if __name__ == '__main__':
    main()
