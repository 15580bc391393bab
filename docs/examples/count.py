#!/usr/bin/python3
"""Counts the objects in a video and prints a line for each second.

Usage: count.py VIDEO [PROPERTY=VALUE of condinstseg]...

SPDX-License-Identifier: LGPL-2.1-or-later
"""
import collections
import sys

import gi
gi.require_version('Gst', '1.0')
gi.require_version('GstVideo', '1.0')
gi.require_version('GstInstanceMask', '1.0')
from gi.repository import Gst, GstInstanceMask, GstVideo


def count(pad, info, seen):
    buffer = info.get_buffer()
    meta = GstInstanceMask.buffer_get_instance_mask_meta(buffer)
    if meta:
        objects = [meta.get_instance(i)
                   for i in range(meta.get_n_instances())]
        counts = collections.Counter(o.get_label() for o in objects)
        second = buffer.pts // Gst.SECOND
        if second != seen.get('second'):
            seen['second'] = second
            print(f'{second:5d} s ', ', '.join(
                f'{n} {label}' for label, n in sorted(counts.items())))
    return Gst.PadProbeReturn.OK


Gst.init(None)
if len(sys.argv) < 2:
    sys.exit(__doc__)
pipeline = Gst.parse_launch(
    'filesrc name=file ! decodebin ! videoconvert '
    '! condinstseg name=seg ' + ' '.join(sys.argv[2:]) + ' ! fakesink')
pipeline.get_by_name('file').props.location = sys.argv[1]
pad = pipeline.get_by_name('seg').get_static_pad('src')
pad.add_probe(Gst.PadProbeType.BUFFER, count, {})

pipeline.set_state(Gst.State.PLAYING)
message = pipeline.get_bus().timed_pop_filtered(
    Gst.CLOCK_TIME_NONE, Gst.MessageType.EOS | Gst.MessageType.ERROR)
pipeline.set_state(Gst.State.NULL)
if message.type == Gst.MessageType.ERROR:
    sys.exit(f'{message.src.name}: {message.parse_error()[0].message}')
