#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Measures perf inject --aslr against perf inject of the base and cp, and its growth.

Each input's commands run in turn, several times; a ratio is the median of those of each turn.
What is timed is whole processes.  The host of a virtual machine takes memory back that is
free for a second or two, and then it is slow to write to: so that none gets what the one
before it has left, those that write much start after a pause.  Peak anonymous memory, which
leaves out the mapped input, is looked up while a run goes on that isn't timed.  All results
are in the directory of --dir: runs.csv, table.md (for README.md), table.txt (for the cover
letter), and the plot bench.svg.
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

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(HERE)
MB = 1000000


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split('\n', maxsplit=1)[0])
    parser.add_argument('--quick', action='store_true', help='small inputs, some two minutes')
    parser.add_argument('--runs', type=int, help='turns of each input [5, quick 3]')
    parser.add_argument('--sizes', help='MB of the recordings, each four times the one before '
                                        '[12,49,196,783; quick 10,40]')
    parser.add_argument('--pause', type=float,
                        help='seconds before each run on a recording [3, quick 0]')
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

    def __init__(self, name, size, turn, wall, usage):
        self.name, self.size, self.turn, self.wall = name, size, turn, wall
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

    def command(self, what, name):
        return {'cp': ['cp', self.path(name), self.out],
                'base': [self.args.base, 'inject', '-i', self.path(name), '-o', self.out],
                'plain': [self.args.perf, 'inject', '-i', self.path(name), '-o', self.out],
                'aslr': [self.args.perf, 'inject', '--aslr', '-i', self.path(name),
                         '-o', self.out]}[what]

    def prepare(self, pause=0.0):
        if os.path.exists(self.out):
            os.unlink(self.out)
        time.sleep(pause)

    def start(self, what, name):
        return subprocess.Popen(self.command(what, name), stdin=subprocess.DEVNULL,
                                stderr=subprocess.DEVNULL)

    def time(self, what, name, turn, pause=0.0):
        self.prepare(pause)
        start = time.monotonic()
        child = self.start(what, name)
        _, status, usage = os.wait4(child.pid, 0)
        wall = time.monotonic() - start
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode:
            sys.exit(f'{" ".join(self.command(what, name))}: exit status {child.returncode}')
        return Run(f'{what} {name}', os.path.getsize(self.path(name)), turn, wall, usage)

    def turns(self, names, whats, pause=0.0):
        """Run the commands on the inputs in turn"""
        each = [(what, name) for name in names for what in whats]
        for what, name in each:
            self.time(what, name, 0)
        for turn in range(1, self.args.runs + 1):
            for what, name in each:
                self.runs.append(self.time(what, name, turn, pause))
        for what, name in each:
            walls = self.walls(what, name)
            print(f'{what:6} {name:14} {os.path.getsize(self.path(name)) / MB:8.1f} MB  '
                  f'median {statistics.median(walls):8.3f} s  '
                  f'min {min(walls):8.3f}  max {max(walls):8.3f}  '
                  f'cpu {self.cpu(what, name):8.3f} s', flush=True)

    def peak_anon(self, what, name):
        """In bytes"""
        self.prepare()
        child = self.start(what, name)
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

    def of(self, what, name):
        return [run for run in self.runs if run.name == f'{what} {name}']

    def walls(self, what, name):
        return [run.wall for run in self.of(what, name)]

    def wall(self, what, name):
        return statistics.median(self.walls(what, name))

    def cpu(self, what, name):
        return statistics.median(run.user + run.sys for run in self.of(what, name))

    def user(self, what, name):
        return statistics.median(run.user for run in self.of(what, name))

    def ratio(self, what, name, other, other_name=None):
        return statistics.median(a / b for a, b in zip(
            self.walls(what, name), self.walls(other, other_name or name)))

    def drop(self, name):
        os.unlink(self.path(name))

    def write_csv(self):
        with open(f'{self.args.dir}/runs.csv', 'w', newline='', encoding='utf-8') as file:
            out = csv.writer(file)
            out.writerow(['command', 'input', 'bytes', 'turn', 'seconds', 'user', 'system',
                          'peak_anonymous_bytes'])
            for run in self.runs:
                what, name = run.name.split()
                out.writerow([what, name, run.size, run.turn, f'{run.wall:.4f}',
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


def recordings(bench):
    """Rows of the recordings, which are one, scaled up"""
    args, rows = bench.args, []
    record(bench)
    names = []
    for size in args.sizes:
        name = f'{size}MB'
        bench.make(name, 'scale', bench.path('recorded'), size * MB)
        names.append(name)
    bench.turns(names, ['cp', 'base', 'plain', 'aslr'], args.pause)
    for name in names:
        bench.peak_anon('aslr', name)
        bench.drop(name)
    large = names[-1]
    for title, what, other, goal in (
            ('--aslr against unpatched perf inject', 'aslr', 'base', 0.5),
            ('--aslr against cp', 'aslr', 'cp', 2.0),
            ('patched perf inject against unpatched', 'plain', 'base', 0.5)):
        value = bench.ratio(what, large, other)
        rows.append((title, f'{goal:.1f} x', f'{value:.2f} x', value <= goal))
    if len(names) > 1:
        small = names[-2]
        grown = bench.of('aslr', large)[0].size / bench.of('aslr', small)[0].size
        value, goal = bench.ratio('aslr', large, 'aslr', small), 1.05 * grown
        rows.append((f'time for {grown:.1f} times the input', f'{goal:.1f} x', f'{value:.2f} x',
                     value <= goal))
        value = bench.ratio('cp', large, 'cp', small)
        rows.append((f'time of cp for {grown:.1f} times the input', '', f'{value:.2f} x', True))
        value = bench.user('aslr', large) / bench.user('aslr', small)
        rows.append((f'user time for {grown:.1f} times the input', f'{goal:.1f} x',
                     f'{value:.2f} x', value <= goal))
        value = bench.anon['aslr', large] / bench.anon['aslr', small]
        rows.append((f'memory for {grown:.1f} times the input', '1.0 x', f'{value:.2f} x',
                     value <= 1.05))
    value = bench.anon['aslr', large] / MB
    rows.append(('peak anonymous memory, the same', '64 MB', f'{value:.1f} MB', value <= 64))
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
        # The system's time is that of the output's pages.
        took[count] = bench.user('aslr', name)
        bench.drop(name)
    # perf itself has to start: what more processes take.
    value = (took[nr] - took[few]) / (nr - few) / ((took[few] - took[1]) / (few - 1))
    return [(f'user time per process, {nr} against {few}', '1.0 x', f'{value:.2f} x',
             value <= 1.05),
            (f'memory, {nr} processes against {few}', '1.0 x', f'{anon[nr] / anon[few]:.2f} x',
             anon[nr] <= 1.05 * anon[few])]


def many_mappings(bench):
    lookups = bench.args.lookups
    one, some, many = 1, 12500, 50000
    each = {}
    for nr in (one, some, many):
        # The mappings themselves don't count: what more lookups take.
        less, more = f'{nr}-mappings-less', f'{nr}-mappings'
        bench.make(less, 'jit', nr, lookups // 10)
        bench.make(more, 'jit', nr, lookups)
        bench.turns([less, more], ['aslr'])
        each[nr] = (bench.cpu('aslr', more) - bench.cpu('aslr', less)) / (lookups * 0.9)
        if nr == many:
            bench.peak_anon('aslr', more)
        bench.drop(less)
        bench.drop(more)
    rows = []
    # A search takes so many steps; what a step takes depends on the CPU's caches.
    for nr, goal in (some, 1.5), (one, math.log2(many)):
        value = each[many] / each[nr]
        rows.append((f'CPU time per lookup, {many} mappings against {nr}', f'{goal:.1f} x',
                     f'{value:.2f} x', value <= goal))
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
    start = bench.cpu('aslr', '1-pages')
    value = ((bench.cpu('aslr', f'{large}-pages') - start) /
             (bench.cpu('aslr', f'{small}-pages') - start) / (large / small))
    goal = 1.5
    return [(f'memory for each of {large} unmapped pages', '64 bytes', f'{each:.0f} bytes',
             each <= 64),
            (f'CPU time for each of {large} unmapped pages against {small}', f'{goal:.1f} x',
             f'{value:.2f} x', value <= goal)]


def plot(bench, names):
    """Time and memory over the size of the input"""
    whats = ['cp', 'base', 'plain', 'aslr']
    titles = ['cp', 'perf inject, unpatched', 'perf inject', 'perf inject --aslr']
    data = f'{bench.args.dir}/sizes.dat'
    with open(data, 'w', encoding='utf-8') as file:
        for name in names:
            size = bench.of('aslr', name)[0].size / MB
            print(size, *(f'{bench.wall(what, name):.4f}' for what in whats),
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
    with open(f'{bench.args.dir}/table.md', 'w', encoding='utf-8') as file:
        print('| what | goal | measured |\n|---|---|---|', file=file)
        for title, goal, value, _ in rows:
            print(f'| {title} | {goal} | {value} |', file=file)
        print(f'\n{machine}', file=file)
    with open(f'{bench.args.dir}/table.txt', 'w', encoding='utf-8') as file:
        for title, goal, value, _ in rows:
            print(f'  {title:51} {goal:>9} {value:>10}', file=file)


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
    print(f'\n{"what":58} {"goal at most":>12} {"measured":>10}')
    for title, goal, value, met in rows:
        print(f'{title:58} {goal:>12} {value:>10}{"" if met else "  missed"}')
    if os.path.exists(bench.out):
        os.unlink(bench.out)
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(f'\n{time.monotonic() - start:.0f} s, {children.ru_utime + children.ru_stime:.0f} s '
          f'of CPU; {bench.args.dir}/runs.csv, table.md, table.txt, bench.svg')


if __name__ == '__main__':
    main()
