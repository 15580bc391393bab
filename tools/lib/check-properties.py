"""Compares the tables of properties in README.md with the elements.

SPDX-License-Identifier: LGPL-2.1-or-later
"""
import re
import sys

import gi
gi.require_version('Gst', '1.0')
from gi.repository import GObject, Gst

ELEMENTS = ('condinstseg', 'maskoverlay')
# Of any element, or without effect in ours
COMMON = {'name', 'parent'}

Gst.init(None)
text = open(sys.argv[1], encoding='utf-8').read()
wrong = 0
for element in ELEMENTS:
    made = Gst.ElementFactory.make(element)
    if not made:
        sys.exit(f'{element} cannot be made')
    real = {p.name: p for p in made.list_properties()}
    section = re.search(rf'^### `{element}`$(.*?)(?=^##|\Z)', text,
                        re.M | re.S)
    if not section:
        sys.exit(f'{sys.argv[1]} has no section about {element}')
    told = set()
    for row in re.findall(r'^\| `.*$', section[1], re.M):
        names, value = row.split('|')[1:3]
        names = re.findall(r'`([a-z0-9-]+)`', names)
        told.update(names)
        values = {v for v in re.findall(r'`([^`]*)`', value)}
        for name in set(names) & set(real):
            default = made.get_property(name)
            if isinstance(default, GObject.GEnum):
                default = default.value_nick
            elif isinstance(default, bool):
                default = str(default).lower()
            elif isinstance(default, (int, float)):
                default = f'{default:g}'
            if isinstance(default, str) and values and default not in values:
                print(f'{element} {name}: the default is {default}, not '
                      f'{", ".join(values)}')
                wrong += 1
    for name in sorted(told - set(real)):
        print(f'{element} has no property {name}')
        wrong += 1
    for name in sorted(set(real) - told - COMMON):
        print(f'{element} {name} is missing in {sys.argv[1]}')
        wrong += 1
    # Recipes
    for line in re.findall(rf'{element}((?: [a-z-]+=[^ !\\]+)+)', text):
        for name in re.findall(r'([a-z-]+)=', line):
            if name not in real:
                print(f'{element} has no property {name}:{line}')
                wrong += 1
sys.exit(wrong > 0)
