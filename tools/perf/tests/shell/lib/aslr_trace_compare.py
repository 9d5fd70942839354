# SPDX-License-Identifier: GPL-2.0
"""Do the tracepoints of SAFE say what those of ORIG say, addresses aside?

    aslr_trace_compare.py --perf PERF ORIG SAFE

Compares what perf script prints of each payload word by word.  Words that differ
have to be numbers with the same page offset, and of pages the mapping has to be a
function: in the kernel and the physical memory equal pages are equal afterwards,
and distinct ones distinct.  So an allocation's pointer still matches its free.  A
process maps other things at the same place with time, in which equal ones have to
be equal in a payload only; for its mappings there is aslr_function.py.  Words that are equal in both and would be addresses of the
kernel count as a difference, too.

Exit status: 0 all agree; 1 some don't, with the first of them; 2 perf failed.
"""
import argparse
import re
import subprocess
import sys

WORD = re.compile(r'[0-9A-Za-z_]+|[^0-9A-Za-z_]+')
NUMBER = re.compile(r'(0x)?[0-9a-f]+$')
LINE = re.compile(r'\s*(-?\d+)/(-?\d+)\s+\[(\d+)\]\s+([\d.]+):\s+(\S+?):\s(.*)')
KERNEL_HALF = 1 << 63


def traces(perf, path):
    """[(time, cpu, tid, event, pid, payload)], in an order that doesn't depend on the file's"""
    done = subprocess.run([perf, 'script', '--ns', '-F', 'pid,tid,cpu,time,event,trace', '-i',
                           path], capture_output=True, check=False, text=True,
                          errors='replace')
    if done.returncode:
        sys.exit(2)
    lines = []
    for line in done.stdout.split('\n'):
        match = LINE.match(line)
        if match:
            pid, tid, cpu, time, event, trace = match.groups()
            lines.append((float(time), cpu, tid, event, pid, trace))
    return sorted(lines, key=lambda entry: entry[:4])


def values(old, new, decimal):
    """Both words as numbers of the same page offset, or None"""
    for base in (10, 16) if decimal else (16, 10):
        try:
            pair = int(old, base), int(new, base)
        except ValueError:
            continue
        if (pair[0] ^ pair[1]) & 0xfff == 0:
            return pair
    return None


class Pages:
    """The mapping of the pages of each space, both ways"""

    def __init__(self):
        self.forth, self.back = {}, {}

    def agree(self, space, old, new):
        return self.forth.setdefault((space, old), new) == new and \
            self.back.setdefault((space, new), old) == old


def differs(pages, event, old, new):
    """What is wrong between two payloads, or None"""
    old, new = WORD.findall(old), WORD.findall(new)
    if len(old) != len(new):
        return 'another number of words'
    before, user = '', Pages()
    for a, b in zip(old, new):
        if a == b:
            if re.match(r'(0x)?ffff[89a-e][0-9a-f]{11}$', a):
                return f'{a} is still there'
        elif not NUMBER.match(a) or not NUMBER.match(b):
            return f'{a} became {b}'
        elif before in ('pfn', 'page') and 'mm_' in event:
            if not pages.agree('pfn', int(a, 16), int(b, 16)):
                return f'page {a} became {b}, which is no function'
        else:
            pair = values(a, b, event.endswith('sys_exit'))
            if not pair:
                return f'{a} became {b}'
            known = pages if pair[0] >= KERNEL_HALF else user
            if not known.agree('addresses', pair[0] >> 12, pair[1] >> 12):
                return f'{a} became {b}, which is no function'
        if a.strip(' =:'):
            before = a
    return None


def main():
    parser = argparse.ArgumentParser(description='Compare the tracepoints of ORIG and SAFE.')
    parser.add_argument('--perf', default='perf', help='the perf to run')
    parser.add_argument('orig')
    parser.add_argument('safe')
    args = parser.parse_args()
    orig, safe = traces(args.perf, args.orig), traces(args.perf, args.safe)
    pages, wrong = Pages(), []
    if [entry[:5] for entry in orig] != [entry[:5] for entry in safe]:
        wrong.append(f'{len(orig)} samples, and other ones: {len(safe)}')
    for old, new in zip(orig, safe):
        why = differs(pages, old[3], old[5], new[5])
        if why:
            wrong.append(f'{old[3]}: {why}:\n\t{old[5]}\n\t{new[5]}')
    for why in wrong[:10]:
        print(why)
    print(f'trace compare: {len(orig)} payloads, {len(pages.forth)} pages, {len(wrong)} differ')
    return 1 if wrong or not orig else 0


if __name__ == '__main__':
    sys.exit(main())
