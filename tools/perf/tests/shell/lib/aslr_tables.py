# SPDX-License-Identifier: GPL-2.0
"""The tables that say what perf inject --aslr does with each part of a profile.

    aslr_tables.py                      # one row per line: table name action why
    aslr_tables.py --man                # the lists of the man page
    aslr_tables.py --check-man FILE     # does FILE have these lists, and no other?

Reads them from the C sources, util/aslr*.c: a table is an array "aslr_...[] = {" whose
rows have .name, .action and .why, be it by themselves or by a macro of the same file.
Of rows with an #else the first counts, which is the one of a perf with all libraries.

In the man page a row is one line, "- NAME, kept: why", and the rows of a table follow
each other.
"""
import argparse
import glob
import os
import re
import sys
from collections import namedtuple

Row = namedtuple('Row', 'table name action why')

UTIL = os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..', '..', 'util')
DONE = {'DROP': 'dropped', 'KEEP': 'kept', 'REWRITE': 'rewritten', 'BLANK': 'blanked'}

STRING = r'"(?:[^"\\]|\\.)*"'
COMMENT = re.compile(r'/\*.*?\*/', re.S)
ELSE = re.compile(r'^#\s*else\b.*?(?=^#\s*endif\b)', re.M | re.S)
MACRO = re.compile(r'^#\s*define\s+(\w+)\(([^)]*)\)(.*)$', re.M)
TABLE = re.compile(r'^(?:static )?const struct \w+ (aslr_\w+)\[[^\]]*\] = \{\n(.*?)^\};',
                   re.M | re.S)
MEMBER = {name: re.compile(rf'\.{name}\s*=\s*(#?\s*[\w#]+|{STRING}(?:\s*{STRING})*)')
          for name in ('name', 'action', 'why')}
MAN_ROW = re.compile(r'^- \w+, (?:%s): ' % '|'.join(DONE.values()))


def closing(text, pos):
    """The position of the bracket that closes the one at pos"""
    depth = 0
    for found in re.compile(STRING + r'|[({\[]|[)}\]]').finditer(text, pos):
        depth += found[0] in '({[' or -(found[0] in ')}]')
        if not depth:
            return found.start()
    raise ValueError(f'no end of {text[pos:pos + 60]!r}')


def arguments(text):
    """Split at the commas outside of brackets and strings"""
    out, start, pos = [], 0, 0
    while pos < len(text):
        string = re.compile(STRING).match(text, pos)
        if string:
            pos = string.end()
        elif text[pos] in '({[':
            pos = closing(text, pos) + 1
        else:
            if text[pos] == ',':
                out.append(text[start:pos].strip())
                start = pos + 1
            pos += 1
    return out + [text[start:].strip()]


def row_macros(source):
    """{name: (parameters, {member: value})} of the macros that make rows"""
    macros = {}
    for name, parameters, body in MACRO.findall(source.replace('\\\n', ' ')):
        members = {member: found[1] for member, pattern in MEMBER.items()
                   for found in [pattern.search(body)] if found}
        if 'action' in members:
            macros[name] = [arg.strip() for arg in parameters.split(',')], members
    return macros


def literal(value):
    """The text of C strings, or the word itself"""
    strings = re.findall(STRING, value)
    return ''.join(string[1:-1] for string in strings) if strings else value


def table_rows(table, text, macros):
    """The rows of a table, in their order"""
    pos = 0
    row = re.compile(STRING + r'|[{\[]|\b(\w+)\s*\(')
    while True:
        found = row.search(text, pos)
        if not found:
            return
        pos = found.end()
        if found[0][0] == '"':
            continue
        end = closing(text, pos - 1)
        inner, pos = text[found.end():end], end + 1
        if found[1] in macros:
            parameters, members = macros[found[1]]
            given = dict(zip(parameters, arguments(inner)))
        elif found[0] == '{':
            given = {}
            members = {member: match[1] for member, pattern in MEMBER.items()
                       for match in [pattern.search(inner)] if match}
        else:
            continue
        values = {member: ''.join(given.get(part, part) for part in
                                  re.split(r'\s*#+\s*', value))
                  for member, value in members.items()}
        values = {member: literal(value) for member, value in values.items()}
        yield Row(table, values['name'], values['action'].replace('ASLR_', ''),
                  values.get('why', ''))


def rows(util=UTIL):
    """All rows of all tables"""
    out = []
    for path in sorted(glob.glob(os.path.join(util, 'aslr*.c'))):
        with open(path, encoding='utf-8') as file:
            source = ELSE.sub('', COMMENT.sub('', file.read()))
        macros = row_macros(source)
        for table, text in TABLE.findall(source):
            if any(f'{name}(' in text for name in macros) or '.action' in text:
                out += table_rows(table, text, macros)
    return out


def man_lists(all_rows):
    """{table: lines of the man page}"""
    lists = {}
    for row in all_rows:
        lists.setdefault(row.table, []).append(f'- {row.name}, {DONE[row.action]}: {row.why}')
    return lists


def check_man(all_rows, text):
    """What is wrong with the lists in the text of the man page: a list of lines"""
    got = []
    for line in text.split('\n') + ['']:
        if MAN_ROW.match(line):
            got.append(line)
        elif got and got[-1]:
            got.append('')
    lists = '\n'.join(got).strip('\n').split('\n\n') if got else []
    wanted = {table: '\n'.join(lines) for table, lines in man_lists(all_rows).items()}
    wrong = []
    for table, want in wanted.items():
        if lists.count(want) == 1:
            continue
        best = max(lists, key=lambda have: len({*have.split('\n')} & {*want.split('\n')}),
                   default='')
        wrong.append(f'{table}: not as in the sources')
        wrong += [f'  + {line}' for line in want.split('\n') if line not in best.split('\n')]
        wrong += [f'  - {line}' for line in best.split('\n') if line not in want.split('\n')]
    if not wrong and len(lists) > len(wanted):
        wrong.append('lists of no table')
    return wrong


def main():
    parser = argparse.ArgumentParser(description='Show the tables of perf inject --aslr.')
    parser.add_argument('--util', default=UTIL, help='the directory with the sources')
    parser.add_argument('--man', action='store_true', help='as lists for the man page')
    parser.add_argument('--check-man', metavar='FILE', help='compare with those in FILE')
    args = parser.parse_args()
    all_rows = rows(args.util)
    if not all_rows:
        sys.exit(f'{args.util}: no tables')
    if args.check_man:
        with open(args.check_man, encoding='utf-8') as file:
            wrong = check_man(all_rows, file.read())
        for line in wrong:
            print(line)
        return 1 if wrong else 0
    if args.man:
        print('\n\n'.join('\n'.join(lines) for lines in man_lists(all_rows).values()))
        return 0
    for row in all_rows:
        print(*row)
    return 0


if __name__ == '__main__':
    sys.exit(main())
