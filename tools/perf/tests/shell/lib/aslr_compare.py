# SPDX-License-Identifier: GPL-2.0
"""Does SAFE read the same as ORIG?

    aslr_compare.py --perf PERF [--ignore FIELD]... ORIG SAFE

Runs `perf script`, `perf report` and `perf buildid-list` on both and compares
what they print line by line, addresses aside: of an address only the last three
digits, the page offset, are compared, and whether it is 0.  perf script is run
once per group of fields, so that only columns which hold addresses are touched;
times, periods, pids, symbols, offsets and DSOs have to be the same to the letter.
A symbol that perf can't
resolve reads [unknown] in both; its place in the DSO is compared as well.

--ignore leaves out a field of perf script (addr, trace, phys_addr, uregs ...)
or one of the words report, buildid-list.

Exit status: 0 all the same; 1 not, with the head of a diff; 2 perf failed.
"""
import argparse
import difflib
import re
import subprocess
import sys

from perf_data import TYPE, Damaged, PerfData
from perf_data_fields import TYPE_TRACEPOINT

# Where perf prints addresses, per group of fields
COLUMN = re.compile(rb'(?<![^\s(])(?!0+[\s:])[0-9a-f]{1,13}([0-9a-f]{3})(?=[ \t\n:]|$)')
AFTER_TIME = re.compile(rb'^(\s*-?\d+\s+\d+\.\d+: )(.*)$')
PREFIXED = re.compile(rb'(?:0x(?!0*[0-9a-f]{1,4}\b)[0-9a-f]{2,13}|'
                      rb'\b(?!0+\b)[0-9a-f]{9,13})([0-9a-f]{3})\b')
REPORTED = re.compile(rb'0x[0-9a-f]{5,13}([0-9a-f]{3})\b')
KERNEL_OFFSET = re.compile(rb'(\[[^]]*\])\+0x[0-9a-f]+|\+0x[0-9a-f]{9,16}\b')
# perf extracts the vdso to a file of a new name each time
BLANKS = re.compile(rb'\s+')
VDSO_FILE = re.compile(rb'/tmp/perf-vdso\w*\.so-\w{6}')
TRACE_ERROR = re.compile(rb'( error type .* ip )0x[0-9a-f]*([0-9a-f]{3} code )')


def nothing(line):
    return line


def cleaned(lines, clean):
    """Addresses out, and the blanks that align them"""
    return [BLANKS.sub(b' ', clean(TRACE_ERROR.sub(rb'\1ADDR\2', VDSO_FILE.sub(b'[vdso]', line))))
            for line in lines]


def column(line):
    """Addresses are in columns of their own, behind `tid time:` or at the start"""
    head = AFTER_TIME.match(line)
    return head.group(1) + COLUMN.sub(rb'ADDR\1', head.group(2)) if head else \
        COLUMN.sub(rb'ADDR\1', line)


def chain(line):
    return KERNEL_OFFSET.sub(rb'\1+ADDR', column(line))


def chain_lines(line):
    """perf prints the call chains of a pipe whether wanted or not"""
    return chain(line) if line.startswith(b'\t') else line


def prefixed(line):
    return PREFIXED.sub(rb'ADDR\1', line)


def reported(line):
    return REPORTED.sub(rb'ADDR\1', line)


BRANCH_STACK = 1 << 11
ALWAYS = -1
TRACE = 0

# The runs of perf script: what for, fields, how to take the addresses out, and
# for which PERF_SAMPLE_* bits (TRACE: if there are tracepoints)
RUNS = (
    ('samples', 'comm pid tid cpu time event period', chain_lines, ALWAYS),
    ('chains', 'tid time ip sym symoff dso dsoff', chain, ALWAYS),
    ('data', 'tid time addr ip sym symoff dso', column, 1 << 3),
    ('details', 'tid time data_src weight ins_lat retire_lat cgroup data_page_size '
     'code_page_size', chain_lines, 1 << 14 | 1 << 15 | 1 << 21 | 1 << 22 | 1 << 23 | 1 << 24),
    ('physical', 'tid time phys_addr', column, 1 << 19),
    ('registers', 'tid time uregs iregs', prefixed, 1 << 12 | 1 << 18),
    ('branches', 'tid time brstacksym', prefixed, BRANCH_STACK),
    ('traces', 'comm tid time event trace', prefixed, TRACE))
REFUSED = re.compile(r"Cannot print '(\w+)' field|(\w+) attribute set")


class PerfFailed(Exception):
    pass


def run(command):
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    return done.returncode, done.stdout, done.stderr.decode('utf-8', 'replace')


def perf_lines(perf, args, path):
    code, out, err = run([perf, *args, '-i', path])
    if code:
        last = (err.strip().splitlines() or ['no message'])[-1]
        raise PerfFailed(f'perf {args[0]} -i {path}: exit status {code}: {last}')
    return out.split(b'\n')


def script_lines(perf, fields, path):
    """perf script's lines.  A field that some event of the file does not have is refused by
    perf: do without it."""
    fields = list(fields)
    while True:
        try:
            return perf_lines(perf, ['script', '-F', ','.join(fields)], path), fields
        except PerfFailed:
            _, _, err = run([perf, 'script', '-F', ','.join(fields), '-i', path])
            refused = [name for pair in REFUSED.findall(err) for name in pair
                       if name.lower() in fields]
            if not refused:
                raise
            fields.remove(refused[0].lower())


class Report:
    """What was compared and how much of it differs"""

    def __init__(self):
        self.lines = self.same = self.samples = 0
        self.diffs = []

    def compare(self, what, orig, safe):
        self.lines += max(len(orig), len(safe))
        if orig == safe:
            self.same += len(orig)
            return
        pairs = [a == b for a, b in zip(orig, safe)]
        self.same += sum(pairs)
        first = pairs.index(False) if False in pairs else len(pairs)
        near = slice(max(first - 3, 0), first + 20)
        diff = difflib.unified_diff([decoded(line) for line in orig[near]],
                                    [decoded(line) for line in safe[near]],
                                    f'orig {what}', f'safe {what}', lineterm='')
        self.diffs.append(f'{what}: first difference in line {first + 1} of {len(orig)} and '
                          f'{len(safe)}\n' + '\n'.join(diff))


def decoded(line):
    return line.decode('utf-8', 'replace')


def compare(perf, orig, safe, ignore=()):
    """Compare by all the means above, return a Report"""
    report = Report()
    data = PerfData(orig)
    report.samples, after = (sum(rec.type == TYPE['SAMPLE'] for rec in parsed.records)
                             for parsed in (data, PerfData(safe)))
    report.compare('count', [b'%d samples' % report.samples], [b'%d samples' % after])
    bits = TRACE
    for attr in data.attrs:
        bits |= attr.sample_type
    traces = any(attr.type == TYPE_TRACEPOINT for attr in data.attrs)
    for what, fields, clean, needed in RUNS:
        fields = [field for field in fields.split() if field not in ignore]
        wanted = traces if needed == TRACE else bits & needed
        if not wanted or set(fields) <= {'comm', 'tid', 'time', 'event'}:
            continue
        before, fields = script_lines(perf, fields, orig)
        after = perf_lines(perf, ['script', '-F', ','.join(fields)], safe)
        report.compare(f'perf script -F {",".join(fields)}', cleaned(before, clean),
                       cleaned(after, clean))
    others = (('report', ['report', '--stdio', '--no-children', '-g', 'none', '-s',
                          'comm,dso,sym'], reported),
              ('buildid-list', ['buildid-list'], nothing))
    for what, args, clean in others:
        if what not in ignore:
            before, after = (sorted(cleaned(perf_lines(perf, args, path), clean))
                             for path in (orig, safe))
            report.compare('perf ' + what, before, after)
    return report


def main():
    parser = argparse.ArgumentParser(description='Compare what perf prints of ORIG and SAFE.')
    parser.add_argument('--perf', default='perf', help='the perf to run')
    parser.add_argument('--ignore', action='append', default=[], metavar='FIELD',
                        help='leave out this field of perf script, or report, or buildid-list')
    parser.add_argument('orig')
    parser.add_argument('safe')
    args = parser.parse_args()
    try:
        report = compare(args.perf, args.orig, args.safe, args.ignore)
    except (PerfFailed, Damaged, OSError) as error:
        print(f'compare: {error}', file=sys.stderr)
        return 2
    for diff in report.diffs:
        print(diff)
    percent = 100 * report.same / report.lines if report.lines else 100
    if report.diffs:
        percent = min(percent, 99.99)
    print(f'compare: {report.samples} samples, {report.lines} lines, {percent:.2f} % agree')
    return 1 if report.diffs else 0


if __name__ == '__main__':
    sys.exit(main())
