# SPDX-License-Identifier: LGPL-2.1-or-later
"""Pictures with instance masks: decoding, augmentation, batches.

Everything is decoded once and kept in memory (about 1.5 GB), masks as crops
of their boxes; augmentation then costs a few milliseconds a picture.

Mosaic as in YOLOv4 (Bochkovskiy et al., 2020); copy-paste as in Ghiasi et
al., CVPR 2021.
"""
import collections
import io
import json
import pathlib
import tarfile

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageEnhance

from network import CLASSES, MASK_STRIDE, PIXEL_MEAN, STRIDES

# How often a picture is drawn, relative to the others: by source, and for
# pictures with one of the rare classes.
SOURCE_WEIGHTS = {"coco-full": 2.0, "coco-part": 1.0, "cats": 1.0,
                  "ccp": 0.5, "pennfudan": 1.0, "pelota": 0.8}
RARE_CLASSES = ("car", "bicycle", "motorcycle")
RARE_WEIGHT = 3.5
# range of a picture's short side in a mosaic, in units of its window's
MOSAIC_RANGE = (1.2, 2.6)
MIN_PIXELS = 12       # smaller rests of an object are ignored, not learnt
MIN_VISIBLE = 0.1     # so are objects of which less than this is left
CELL = STRIDES[0]     # resolution of the map of labelled classes

# One object: class index, picture position of its box, mask cropped to it.
Instance = collections.namedtuple("Instance", "label x y mask crowd")


class Picture:
    """Decoded picture, its instances, and per class whether all objects of
    that class are annotated."""

    def __init__(self, record, pixels, instances):
        self.source = record["source"]
        self.pixels = pixels
        self.instances = instances
        labelled = record["labelled"]
        self.labelled = np.array([labelled == "all" or name in labelled
                                  for name in CLASSES])

    def weight(self):
        rare = {CLASSES.index(name) for name in RARE_CLASSES}
        if any(i.label in rare for i in self.instances):
            return RARE_WEIGHT
        return SOURCE_WEIGHTS[self.source]


def decode_mask(segmentation, width, height):
    """Mask of a COCO annotation: polygons, or an uncompressed RLE."""
    if isinstance(segmentation, dict):
        counts = np.asarray(segmentation["counts"])
        values = np.arange(len(counts)) % 2
        flat = np.repeat(values, counts).astype(bool)
        return flat.reshape(width, height).T
    canvas = Image.new("1", (width, height))
    draw = ImageDraw.Draw(canvas)
    for polygon in segmentation:
        # the drawing's coordinates are those of pixel centres
        draw.polygon([v - 0.5 for v in polygon], fill=1)
    return np.asarray(canvas)


def load_pictures(data, split):
    """All pictures of `instances_<split>.json` in the folder @data."""
    data = pathlib.Path(data)
    index = json.loads((data / f"instances_{split}.json").read_text())
    names = {c["id"]: c["name"] for c in index["categories"]}
    annotations = collections.defaultdict(list)
    for annotation in index["annotations"]:
        if names[annotation["category_id"]] in CLASSES:
            annotations[annotation["image_id"]].append(annotation)
    by_tar = collections.defaultdict(list)
    for record in index["images"]:
        by_tar[record["tar"]].append(record)
    pictures = []
    for tar, records in sorted(by_tar.items()):
        with tarfile.open(data / tar) as archive:
            for record in records:
                jpeg = archive.extractfile(record["file_name"]).read()
                image = Image.open(io.BytesIO(jpeg)).convert("RGB")
                instances = []
                for a in annotations[record["id"]]:
                    mask = decode_mask(a["segmentation"], *image.size)
                    label = CLASSES.index(names[a["category_id"]])
                    instances += crop_instance(label, 0, 0, mask,
                                               bool(a["iscrowd"]))
                pictures.append(Picture(record, np.array(image), instances))
    return pictures


def crop_instance(label, x, y, mask, crowd):
    """The instance with its mask cut down to its pixels, in a list; an empty
    list when it has none."""
    cols = np.flatnonzero(mask.any(0))
    if len(cols) == 0:
        return []
    rows = np.flatnonzero(mask.any(1))
    tight = mask[rows[0]:rows[-1] + 1, cols[0]:cols[-1] + 1].copy()
    return [Instance(label, x + int(cols[0]), y + int(rows[0]), tight, crowd)]


class Canvas:
    """A training picture in the making."""

    def __init__(self, size):
        self.pixels = np.empty((size, size, 3), np.uint8)
        # zero after normalisation, but for rounding
        self.pixels[:] = np.round(PIXEL_MEAN).astype(np.uint8)
        self.labelled = np.ones((len(CLASSES), size // CELL, size // CELL),
                                bool)
        self.instances = []

    def ignore(self, label, x, y, mask):
        """Nothing is to be learnt about @label where @mask is set."""
        rows, cols = np.nonzero(mask)
        self.labelled[label, (rows + y) // CELL, (cols + x) // CELL] = False

    def keep(self, label, x, y, mask, full_area):
        """Adds what is left of an instance if that is enough to learn."""
        area = np.count_nonzero(mask)
        if area < max(MIN_PIXELS, MIN_VISIBLE * full_area):
            self.ignore(label, x, y, mask)
        else:
            self.instances += crop_instance(label, x, y, mask, False)

    def place(self, picture, window, scale, origin, flip, rng):
        """Draws the part of @picture from @origin (its pixels) into @window
        (x0, y0, x1, y1 of the canvas), enlarged by @scale."""
        x0, y0, x1, y1 = window
        height, width = picture.pixels.shape[:2]
        w = min(x1 - x0, int((width - origin[0]) * scale))
        h = min(y1 - y0, int((height - origin[1]) * scale))
        box = (origin[0], origin[1],
               min(origin[0] + w / scale, width),
               min(origin[1] + h / scale, height))
        image = Image.fromarray(picture.pixels).resize(
            (w, h), Image.BILINEAR, box)
        image = np.asarray(jitter_colour(image, rng))
        self.pixels[y0:y0 + h, x0:x0 + w] = image[:, ::-1] if flip else image
        cells = np.s_[:, y0 // CELL:-(-(y0 + h) // CELL),
                      x0 // CELL:-(-(x0 + w) // CELL)]
        self.labelled[cells] = picture.labelled[:, None, None]
        # picture pixel under each canvas pixel's centre
        cols = ((np.arange(w) + 0.5) / scale + origin[0]).astype(int)
        rows = ((np.arange(h) + 0.5) / scale + origin[1]).astype(int)
        for instance in picture.instances:
            mh, mw = instance.mask.shape
            left, right = np.searchsorted(cols, (instance.x,
                                                 instance.x + mw))
            top, bottom = np.searchsorted(rows, (instance.y,
                                                 instance.y + mh))
            if left == right or top == bottom:
                continue
            mask = instance.mask[np.ix_(rows[top:bottom] - instance.y,
                                        cols[left:right] - instance.x)]
            if flip:
                mask, left = mask[:, ::-1], w - right
            if instance.crowd:
                self.ignore(instance.label, x0 + left, y0 + top, mask)
            else:
                full = np.count_nonzero(instance.mask) * scale * scale
                self.keep(instance.label, x0 + left, y0 + top, mask, full)

    def paste(self, picture, instance, height, flip, rng):
        """Pastes one instance of @picture, resized to @height, anywhere; it
        hides what is under it."""
        mh, mw = instance.mask.shape
        size = len(self.pixels)
        h = max(min(height, size - 1), 4)
        w = max(min(round(mw * h / mh), size - 1), 4)
        box = (instance.x, instance.y, instance.x + mw, instance.y + mh)
        image = Image.fromarray(picture.pixels).resize(
            (w, h), Image.BILINEAR, box)
        image = np.asarray(jitter_colour(image, rng), np.float32)
        alpha = np.asarray(Image.fromarray(
            instance.mask.astype(np.uint8) * 255).resize(
                (w, h), Image.BILINEAR), np.float32) / 255
        if flip:
            image, alpha = image[:, ::-1], alpha[:, ::-1]
        x, y = rng.integers(size - w), rng.integers(size - h)
        under = self.pixels[y:y + h, x:x + w]
        under[:] = np.round(under + (image - under) * alpha[:, :, None])
        mask = alpha > 0.5
        covered = np.zeros((size, size), bool)
        covered[y:y + h, x:x + w] = mask
        before, self.instances = self.instances, []
        for old in before:
            oh, ow = old.mask.shape
            rest = old.mask & ~covered[old.y:old.y + oh, old.x:old.x + ow]
            self.keep(old.label, old.x, old.y, rest,
                      np.count_nonzero(old.mask))
        self.keep(instance.label, int(x), int(y), mask, 0)

    def sample(self):
        """Tensors: pixels, boxes, classes, masks at MASK_STRIDE (sampled at
        the centres of its cells), labelled."""
        size = len(self.pixels)
        count = len(self.instances)
        boxes = np.zeros((count, 4), np.float32)
        masks = np.zeros((count, size, size), bool)
        for k, i in enumerate(self.instances):
            h, w = i.mask.shape
            boxes[k] = i.x, i.y, i.x + w, i.y + h
            masks[k, i.y:i.y + h, i.x:i.x + w] = i.mask
        half = MASK_STRIDE // 2
        masks = masks[:, half::MASK_STRIDE, half::MASK_STRIDE]
        return {
            "pixels": torch.from_numpy(
                np.ascontiguousarray(self.pixels.transpose(2, 0, 1))),
            "boxes": torch.from_numpy(boxes),
            "classes": torch.tensor([i.label for i in self.instances],
                                    dtype=torch.long),
            "masks": torch.from_numpy(np.ascontiguousarray(masks)),
            "labelled": torch.from_numpy(self.labelled)}


def jitter_colour(image, rng):
    for enhance in (ImageEnhance.Brightness, ImageEnhance.Contrast,
                    ImageEnhance.Color):
        if rng.random() < 0.5:
            image = enhance(image).enhance(rng.uniform(0.65, 1.4))
    return image


class TrainingSet(torch.utils.data.Dataset):
    """One epoch of @length augmented samples, each drawn independently.
    @low and @high: range of a picture's short side in units of @size."""

    def __init__(self, pictures, length, seed, size, mosaic, paste, low,
                 high):
        self.pictures = pictures
        weights = np.array([p.weight() for p in pictures])
        self.probability = weights / weights.sum()
        donors = [(p, i) for p in pictures for i in p.instances
                  if not i.crowd and np.count_nonzero(i.mask) >= 400]
        self.donors = [[d for d in donors if d[1].label == c]
                       for c in range(len(CLASSES))]
        self.length, self.size, self.seed = length, size, seed
        self.mosaic, self.paste = mosaic, paste
        self.low, self.high = low, high

    def __len__(self):
        return self.length

    def draw(self, rng):
        return self.pictures[rng.choice(len(self.pictures),
                                        p=self.probability)]

    def place(self, canvas, window, low, high, rng):
        """Places a random picture: its short side becomes @low to @high times
        the window's, the part shown lies around one of its objects."""
        picture = self.draw(rng)
        x0, y0, x1, y1 = window
        height, width = picture.pixels.shape[:2]
        target = np.exp(rng.uniform(np.log(low), np.log(high)))
        scale = target * min(x1 - x0, y1 - y0) / min(height, width)
        reach = np.array([(x1 - x0) / scale, (y1 - y0) / scale])
        room = np.maximum(np.array([width, height]) - reach, 0)
        origin = rng.random(2) * room
        if picture.instances and rng.random() < 0.7:
            i = picture.instances[rng.integers(len(picture.instances))]
            mh, mw = i.mask.shape
            centre = np.array([i.x + mw * rng.random(),
                               i.y + mh * rng.random()])
            origin = np.clip(centre - reach * rng.random(2), 0, room)
        canvas.place(picture, window, scale, origin, rng.random() < 0.5, rng)

    def __getitem__(self, index):
        rng = np.random.default_rng((self.seed, index))
        size = self.size
        canvas = Canvas(size)
        if rng.random() < self.mosaic:
            cells = size // CELL
            cx, cy = rng.integers(cells // 3, cells - cells // 3,
                                  2) * CELL
            for window in ((0, 0, cx, cy), (cx, 0, size, cy),
                           (0, cy, cx, size), (cx, cy, size, size)):
                self.place(canvas, window, *MOSAIC_RANGE, rng)
        else:
            self.place(canvas, (0, 0, size, size), self.low, self.high,
                       rng)
        if rng.random() < self.paste:
            for _ in range(rng.integers(1, 4)):
                donors = self.donors[rng.choice(
                    len(CLASSES), p=(0.2, 0.15, 0.35, 0.15, 0.15))]
                picture, instance = donors[rng.integers(len(donors))]
                height = size * np.exp(rng.uniform(np.log(0.07),
                                                   np.log(0.45)))
                canvas.paste(picture, instance, round(height),
                             rng.random() < 0.5, rng)
        return canvas.sample()


def collate(samples):
    """Batch: stacked tensors, and lists where the count differs."""
    batch = {k: [s[k] for s in samples] for k in samples[0]}
    for key in ("pixels", "labelled"):
        batch[key] = torch.stack(batch[key])
    return batch
