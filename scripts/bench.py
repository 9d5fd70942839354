#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Measures perf inject --aslr against perf inject of the base and cp, and its growth.

Each input's commands run in turn, several times; a ratio is the median of those of each turn.
What is timed is whole processes.  The host of a virtual machine may take memory back that is
free for a second or two, and then it is slow to write to.  So that none gets what the one
before it has left, those that write much start either right after a copy of the input was
written and deleted ("used" memory), or after a pause ("fresh").  Where only what the run itself
takes counts, the output goes to /dev/null.  Peak anonymous memory, which leaves out the mapped
input, is looked up while a run goes on that isn't timed.  All results are in the directory of
--dir: runs.csv, table.md (for README.md), table.txt (for the cover letter), and the plot
bench.svg.
"""
import argparse
import csv
import math
import os
import platform
import resource
import shutil
import statistics
import subprocess
import sys
import time

# What memory the output of a run gets, see above, or that it goes to /dev/null
USED, FRESH, NONE = 'used', 'fresh', 'none'

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(HERE)
MB = 1000000


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split('\n', maxsplit=1)[0])
    parser.add_argument('--quick', action='store_true', help='small inputs, half a minute')
    parser.add_argument('--runs', type=int, help='turns of each input [5, quick 3]')
    parser.add_argument('--sizes', help='MB of the recordings, each four times the one before '
                                        '[12,49,196,783; quick 10,40]')
    parser.add_argument('--pause', type=float,
                        help='seconds before each run on fresh memory, 0: no such runs '
                             '[3, quick 0]')
    parser.add_argument('--processes', type=int, help='[100000, quick 10000]')
    parser.add_argument('--lookups', type=int, help='[10000000, quick 1000000]')
    parser.add_argument('--pages', type=int, help='[1000000, quick 200000]')
    parser.add_argument('--perf', default=f'{TOP}/build/perf')
    parser.add_argument('--base', default=f'{TOP}/build/perf-base', help='perf without the series')
    parser.add_argument('--dir', default=f'{TOP}/build/bench')
    parser.add_argument('--input', help='a recording to scale up, instead of one made here')
    args = parser.parse_args()
    quick = args.quick
    args.runs = args.runs or (3 if quick else 5)
    args.sizes = [int(n) for n in (args.sizes or ('10,40' if quick else '12,49,196,783')).split(',')]
    args.pause = (0 if quick else 3) if args.pause is None else args.pause
    args.processes = args.processes or (10000 if quick else 100000)
    args.lookups = args.lookups or (1000000 if quick else 10000000)
    args.pages = args.pages or (200000 if quick else 1000000)
    return args


def facts():
    cpu = next((line.split(':')[1].strip() for line in open('/proc/cpuinfo', encoding='utf-8')
                if line.startswith('model name')), platform.machine())
    memory = os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2 ** 30
    return (f'{len(os.sched_getaffinity(0))} CPUs ({cpu}), {memory:.0f} GiB, '
            f'Linux {platform.release()}')


class Run:
    """What a run took"""

    def __init__(self, name, memory, size, turn, wall, usage):
        self.name, self.memory, self.size = name, memory, size
        self.turn, self.wall = turn, wall
        self.user, self.sys = usage.ru_utime, usage.ru_stime


class Bench:
    def __init__(self, args):
        self.args, self.runs, self.anon = args, [], {}
        self.out = f'{args.dir}/out.data'
        os.makedirs(args.dir, exist_ok=True)

    def path(self, name):
        return f'{self.args.dir}/{name}.data'

    def make(self, name, kind, *params):
        """An input"""
        source = [params[0]] if kind == 'scale' else []
        rest = params[1:] if kind == 'scale' else params
        subprocess.run([sys.executable, f'{HERE}/bench_data.py', kind, *source, self.path(name),
                        *map(str, rest)], check=True)
        return os.path.getsize(self.path(name))

    def command(self, what, name, memory=USED):
        out = '/dev/null' if memory == NONE else self.out
        return {'cp': ['cp', self.path(name), out],
                'base': [self.args.base, 'inject', '-i', self.path(name), '-o', out],
                'plain': [self.args.perf, 'inject', '-i', self.path(name), '-o', out],
                'aslr': [self.args.perf, 'inject', '--aslr', '-i', self.path(name),
                         '-o', out]}[what]

    def memories(self):
        return [USED, FRESH] if self.args.pause else [USED]

    def prepare(self, name, memory):
        if os.path.exists(self.out):
            os.unlink(self.out)
        if memory == USED:
            subprocess.run(self.command('cp', name), check=True)
            os.unlink(self.out)
        elif memory == FRESH:
            time.sleep(self.args.pause)

    def start(self, what, name, memory):
        return subprocess.Popen(self.command(what, name, memory), stdin=subprocess.DEVNULL,
                                stderr=subprocess.DEVNULL)

    def time(self, what, name, turn, memory):
        self.prepare(name, memory)
        start = time.monotonic()
        child = self.start(what, name, memory)
        _, status, usage = os.wait4(child.pid, 0)
        wall = time.monotonic() - start
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode:
            sys.exit(f'{" ".join(self.command(what, name, memory))}: '
                     f'exit status {child.returncode}')
        return Run(f'{what} {name}', memory, os.path.getsize(self.path(name)), turn, wall, usage)

    def turns(self, names, whats, memory=NONE):
        """Run the commands on the inputs in turn"""
        each = [(what, name) for name in names for what in whats]
        for what, name in each:
            self.time(what, name, 0, NONE)
        for turn in range(1, self.args.runs + 1):
            for what, name in each:
                self.runs.append(self.time(what, name, turn, memory))
        for what, name in each:
            walls = self.walls(what, name, memory)
            print(f'{what:6} {name:14} {os.path.getsize(self.path(name)) / MB:8.1f} MB  '
                  f'{memory:5}  median {statistics.median(walls):8.3f} s  '
                  f'min {min(walls):8.3f}  max {max(walls):8.3f}  '
                  f'cpu {self.cpu(what, name, memory):8.3f} s', flush=True)

    def peak_anon(self, what, name):
        """In bytes"""
        self.prepare(name, NONE)
        child = self.start(what, name, USED)
        peak = 0
        while child.poll() is None:
            try:
                with open(f'/proc/{child.pid}/status', encoding='utf-8') as file:
                    for line in file:
                        if line.startswith('RssAnon:'):
                            peak = max(peak, int(line.split()[1]) * 1024)
            except OSError:
                pass
            time.sleep(0.001)
        self.anon[what, name] = peak
        print(f'{what:6} {name:14} peak anonymous memory {peak / MB:.1f} MB', flush=True)
        return peak

    def of(self, what, name, memory=NONE):
        return [run for run in self.runs if run.name == f'{what} {name}' and
                run.memory == memory]

    def walls(self, what, name, memory=NONE):
        return [run.wall for run in self.of(what, name, memory)]

    def wall(self, what, name, memory=NONE):
        return statistics.median(self.walls(what, name, memory))

    def cpu(self, what, name, memory=NONE):
        return statistics.median(run.user + run.sys for run in self.of(what, name, memory))

    def ratio(self, memory, what, name, other, other_name=None):
        return statistics.median(a / b for a, b in zip(
            self.walls(what, name, memory), self.walls(other, other_name or name, memory)))

    def drop(self, name):
        os.unlink(self.path(name))

    def write_csv(self):
        with open(f'{self.args.dir}/runs.csv', 'w', newline='', encoding='utf-8') as file:
            out = csv.writer(file)
            out.writerow(['command', 'input', 'bytes', 'memory', 'turn', 'seconds', 'user',
                          'system', 'peak_anonymous_bytes'])
            for run in self.runs:
                what, name = run.name.split()
                out.writerow([what, name, run.size, run.memory, run.turn, f'{run.wall:.4f}',
                              f'{run.user:.4f}', f'{run.sys:.4f}',
                              self.anon.get((what, name), '')])


def record(bench):
    """A recording of this machine at work, with call chains; no PMU is needed"""
    args = bench.args
    if args.input:
        shutil.copyfile(args.input, bench.path('recorded'))
        return
    # Chains of some 20 addresses, as where much is compiled with frame pointers: those of the
    # kernel between two processes, and of perf.
    work = ('import hashlib, json, os, subprocess, sys, time, zlib\n'
            'end = time.time() + 4\n'
            'for n in range(os.cpu_count()):\n'
            '    if os.fork() == 0:\n'
            '        while time.time() < end:\n'
            '            subprocess.run([sys.argv[1], "bench", "sched", "messaging", "-g", "1", '
            '"-l", "500"], stdout=subprocess.DEVNULL)\n'
            '            subprocess.run(["find", "/proc/self", "-name", "x"], '
            'stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)\n'
            '            zlib.compress(json.dumps(list(range(5000))).encode())\n'
            '            hashlib.sha256(bytes(100000)).hexdigest()\n'
            '        os._exit(0)\n'
            'for n in range(os.cpu_count()):\n'
            '    os.wait()\n')
    # Some megabytes, whatever the number of CPUs
    frequency = max(100, 10000 // os.cpu_count())
    subprocess.run([args.base, 'record', '-q', '-a', '-g', '-F', str(frequency), '-e', 'cpu-clock',
                    '-o', bench.path('recorded'), '--', sys.executable, '-c', work, args.base],
                   check=True)


class Row:
    """What was measured, on each kind of memory where that matters"""

    def __init__(self, title, goal, values, unit='x', digits=2, slack=0.0):
        self.title = title
        self.goal = f'{goal:.2g} {unit}' if goal else ''
        self.values = [f'{value:.{digits}f} {unit}' for value in values]
        self.missed = [bool(goal) and value > goal + slack for value in values]


def recordings(bench):
    """Rows of the recordings, which are one, scaled up"""
    args, rows = bench.args, []
    record(bench)
    names = []
    for size in args.sizes:
        name = f'{size}MB'
        bench.make(name, 'scale', bench.path('recorded'), size * MB)
        names.append(name)
    for memory in bench.memories():
        bench.turns(names, ['cp', 'base', 'plain', 'aslr'], memory)
    for name in names:
        bench.peak_anon('aslr', name)
        bench.drop(name)
    large = names[-1]
    for title, what, other, goal in (
            ('--aslr against unpatched perf inject', 'aslr', 'base', 0.5),
            ('--aslr against cp', 'aslr', 'cp', 2.0),
            ('patched perf inject against unpatched', 'plain', 'base', 0.5),
            ('cp against unpatched perf inject', 'cp', 'base', None)):
        rows.append(Row(title, goal, [bench.ratio(memory, what, large, other)
                                      for memory in bench.memories()]))
    if len(names) > 1:
        small = names[-2]
        grown = (bench.of('aslr', large, USED)[0].size /
                 bench.of('aslr', small, USED)[0].size)
        for title, what, goal in (('time', 'aslr', 1.05 * grown), ('time of cp', 'cp', None)):
            rows.append(Row(f'{title} for {grown:.1f} times the input', goal,
                            [bench.ratio(memory, what, large, what, small)
                             for memory in bench.memories()]))
        rows.append(Row(f'memory for {grown:.1f} times the input', 1,
                        [bench.anon['aslr', large] / bench.anon['aslr', small]], slack=0.05))
    rows.append(Row('peak anonymous memory, the same', 64, [bench.anon['aslr', large] / MB],
                    'MB', 1))
    plot(bench, names)
    return rows


def many_processes(bench):
    nr, few, mappings = bench.args.processes, bench.args.processes // 20, 50
    took, anon = {}, {}
    for count in (1, few, nr):
        name = f'{count}-forks'
        bench.make(name, 'forks', count, mappings)
        bench.turns([name], ['aslr'])
        anon[count] = bench.peak_anon('aslr', name)
        took[count] = bench.wall('aslr', name)
        bench.drop(name)
    # perf itself has to start: what more processes take.
    value = (took[nr] - took[few]) / (nr - few) / ((took[few] - took[1]) / (few - 1))
    return [Row(f'time per process, {nr} against {few}', 1, [value], slack=0.05),
            Row(f'memory, {nr} processes against {few}', 1, [anon[nr] / anon[few]],
                slack=0.05)]


def many_mappings(bench):
    lookups = bench.args.lookups
    # As many as a small program has, which is when all of them are searched.
    few, some, many = 16, 12500, 50000
    each = {}
    for nr in (few, some, many):
        # The mappings themselves don't count: what more lookups take.
        less, more = f'{nr}-mappings-less', f'{nr}-mappings'
        bench.make(less, 'jit', nr, lookups // 10)
        bench.make(more, 'jit', nr, lookups)
        bench.turns([less, more], ['aslr'])
        each[nr] = (bench.wall('aslr', more) - bench.wall('aslr', less)) / (lookups * 0.9)
        if nr == many:
            bench.peak_anon('aslr', more)
        bench.drop(less)
        bench.drop(more)
    rows = []
    # A search takes so many steps; what a step takes depends on the CPU's caches.
    for nr, goal in (some, 1.5), (few, math.log2(many) / math.log2(few)):
        rows.append(Row(f'time per lookup, {many} mappings against {nr}', goal,
                        [each[many] / each[nr]]))
    return rows


def many_pages(bench):
    large = bench.args.pages
    small = large // 4
    anon = {}
    bench.make('1-pages', 'pages', 1)
    bench.turns(['1-pages'], ['aslr'])
    bench.drop('1-pages')
    for nr in (small, large):
        name = f'{nr}-pages'
        bench.make(name, 'pages', nr)
        bench.turns([name], ['aslr'])
        anon[nr] = bench.peak_anon('aslr', name)
        bench.drop(name)
    each = (anon[large] - anon[small]) / (large - small)
    start = bench.wall('aslr', '1-pages')
    value = ((bench.wall('aslr', f'{large}-pages') - start) /
             (bench.wall('aslr', f'{small}-pages') - start) / (large / small))
    return [Row(f'memory for each of {large} unmapped pages', 64, [each], 'bytes', 0),
            Row(f'time per unmapped page, {large} against {small}', 1.5, [value])]


def plot(bench, names):
    """Time and memory over the size of the input"""
    whats = ['cp', 'base', 'plain', 'aslr']
    titles = ['cp', 'perf inject, unpatched', 'perf inject', 'perf inject --aslr']
    data = f'{bench.args.dir}/sizes.dat'
    with open(data, 'w', encoding='utf-8') as file:
        for name in names:
            size = bench.of('aslr', name, USED)[0].size / MB
            print(size, *(f'{bench.wall(what, name, USED):.4f}' for what in whats),
                  f'{bench.anon["aslr", name] / MB:.2f}', file=file)
    if not shutil.which('gnuplot'):
        print('no gnuplot, no plot')
        return
    times = ', '.join(f'"{data}" using 1:{i + 2} with linespoints title "{title}"'
                      for i, title in enumerate(titles))
    script = (f'set terminal svg size 900,400 background "white"\n'
              f'set output "{bench.args.dir}/bench.svg"\n'
              f'set multiplot layout 1,2\nset key top left\nset grid\n'
              f'set xlabel "input [MB]"\nset yrange [0:*]\n'
              f'set ylabel "time [s]"\nplot {times}\n'
              f'set ylabel "peak anonymous memory [MB]"\n'
              f'plot "{data}" using 1:6 with linespoints title "perf inject --aslr"\n')
    subprocess.run(['gnuplot'], input=script, text=True, check=True)


def write_tables(bench, rows, machine):
    memories = bench.memories()
    heads = ['measured'] if len(memories) == 1 else [f'{memory} memory' for memory in memories]
    with open(f'{bench.args.dir}/table.md', 'w', encoding='utf-8') as file:
        print('|', ' | '.join(['what', 'goal', *heads]), '|', file=file)
        print('|' + '---|' * (2 + len(heads)), file=file)
        for row in rows:
            values = row.values + [''] * (len(heads) - len(row.values))
            print('|', ' | '.join([row.title, row.goal, *values]), '|', file=file)
        print(f'\n{machine}', file=file)
    with open(f'{bench.args.dir}/table.txt', 'w', encoding='utf-8') as file:
        print(f'  {"":50} {"goal":>9}', ' '.join(f'{head.split()[0]:>9}' for head in heads),
              file=file)
        for row in rows:
            values = ' '.join(f'{value:>9}' for value in row.values)
            print(f'  {row.title:50} {row.goal:>9} {values}', file=file)


def main():
    bench = Bench(arguments())
    start = time.monotonic()
    machine = facts()
    print(machine)
    rows = []
    for part in (recordings, many_processes, many_mappings, many_pages):
        rows += part(bench)
    bench.write_csv()
    write_tables(bench, rows, machine)
    print(f'\n{"what":52} {"goal at most":>12}',
          ' '.join(f'{memory:>17}' for memory in bench.memories()))
    for row in rows:
        print(f'{row.title:52} {row.goal:>12}', ' '.join(
            f'{value:>10}{"missed" if missed else "":>7}'
            for value, missed in zip(row.values, row.missed)))
    if os.path.exists(bench.out):
        os.unlink(bench.out)
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(f'\n{time.monotonic() - start:.0f} s, {children.ru_utime + children.ru_stime:.0f} s '
          f'of CPU; {bench.args.dir}/runs.csv, table.md, table.txt, bench.svg')


if __name__ == '__main__':
    main()
