"""The metadata library as Python sees it through introspection.

SPDX-License-Identifier: LGPL-2.1-or-later
"""
import sys

try:
    import gi
    gi.require_version('Gst', '1.0')
    gi.require_version('GstVideo', '1.0')
    from gi.repository import Gst, GstVideo, GLib
    gi.require_version('GstInstanceMask', '1.0')
    from gi.repository import GstInstanceMask
except (ImportError, ValueError) as e:
    print('skipped:', e)
    sys.exit(77)

Gst.init(None)

buffer = Gst.Buffer.new_allocate(None, 16, None)
assert GstInstanceMask.buffer_get_instance_mask_meta(buffer) is None
meta = GstInstanceMask.buffer_add_instance_mask_meta(buffer, 'seg', 64, 48)
assert meta.get_n_instances() == 0
assert meta.matches(64, 48) and not meta.matches(32, 48)

for i, label in enumerate(['person', 'cat', 'person']):
    mask = GstInstanceMask.InstanceMask.new()
    mask.id = i
    mask.class_id = 15
    mask.score = 0.5
    mask.set_label(label)
    mask.x0, mask.y0, mask.x1, mask.y1 = 8, 4, 24, 12
    assert mask.set_grid(GLib.Bytes.new(bytes([255, 0, 0, 255])), 0, 2, 2, 2)
    mask.offset_x, mask.offset_y, mask.scale_x, mask.scale_y = 8, 4, 8, 4
    assert meta.add(mask) == i
del mask

# Counting objects: what README.md shows.
meta = GstInstanceMask.buffer_get_instance_mask_meta(buffer)
objects = [meta.get_instance(i) for i in range(meta.get_n_instances())]
people = sum(o.get_label() == 'person' for o in objects)
assert people == 2, people
assert meta.get_source() == 'seg'
assert meta.get_instance(3) is None

# A mask's pixels.
o = objects[1]
assert o.get_extents() == (True, 8, 4, 16, 8)
pixels = o.render_bytes(8, 4, 16, 8, 128).get_data()
assert len(pixels) == 16 * 8
assert pixels[0] == 255 and pixels[15] == 0
assert pixels[7 * 16] == 0 and pixels[7 * 16 + 15] == 255
area = sum(p == 255 for p in pixels)
assert o.get_area(64, 48, 128) == area
soft = o.render_bytes(8, 4, 16, 8, 0).get_data()
assert 0 < soft[7] < 255

counts = o.to_rle(64, 48, 128)
assert sum(counts) == 64 * 48 and sum(counts[1::2]) == area
string = o.to_rle_string(64, 48, 128)
assert GstInstanceMask.InstanceMask.rle_from_string(string) == counts
assert GstInstanceMask.InstanceMask.rle_to_string(counts) == string

rings = o.to_polygons(128, 0.5)
assert rings and not rings[0].is_hole
points = rings[0].get_points()
assert len(points) == 2 * rings[0].n_points
assert all(8 <= x <= 24 for x in points[0::2])
assert all(4 <= y <= 12 for y in points[1::2])
assert o.iou(objects[0], 128) == 1

# Geometry and bytes.
meta.crop(16, 0, 48, 48)
assert meta.frame_width == 48
assert meta.get_instance(0).x0 == 0 and meta.get_instance(0).x1 == 8
assert meta.get_instance(0).flags & GstInstanceMask.InstanceMaskFlags.TRUNCATED
data = meta.to_bytes()
other = Gst.Buffer.new()
again = GstInstanceMask.buffer_add_instance_mask_meta_from_bytes(other, data)
assert again.get_n_instances() == 3
assert again.get_instance(1).get_label() == 'cat'
try:
    GstInstanceMask.buffer_add_instance_mask_meta_from_bytes(
        Gst.Buffer.new(), GLib.Bytes.new(b'rubbish'))
    raise AssertionError('rubbish was taken')
except GLib.Error as e:
    assert 'header' in e.message, e.message

copy = objects[0].copy()
del objects, meta, buffer, o
assert copy.get_label() == 'person'
print('counted', people, 'people')
