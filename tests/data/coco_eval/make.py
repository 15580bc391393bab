#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Makes the fixture of test coco-eval: made-up ground truths and detections,
and what pycocotools says of them. Needs pycocotools (2.0.11 made the files
here) and numpy; always gives the same annotations and results.

    python3 make.py      writes annotations.json, results.json, expected.json
"""
import contextlib
import io
import json
import math
import random

import numpy as np
from pycocotools import mask as mask_util
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

FIGURES = ["AP", "AP50", "AP75", "APs", "APm", "APl",
           "AR1", "AR10", "AR100", "ARs", "ARm", "ARl"]
SIZES = [(320, 240), (213, 321), (97, 301), (400, 400), (64, 48), (255, 255),
         (300, 180), (180, 300), (33, 20), (350, 333)]
CATEGORIES = [{"id": 1, "name": "person"}, {"id": 3, "name": "car"},
              {"id": 17, "name": "cat"}, {"id": 18, "name": "dog"},
              {"id": 90, "name": "nobody"}]
rng = random.Random(20240607)


def blob(w, h, cx, cy, radius, n):
    """A wobbly outline; it may leave the picture."""
    points = []
    for i in range(n):
        r = radius * rng.uniform(0.6, 1.2)
        a = 2 * math.pi * i / n
        points += [round(cx + r * math.cos(a), 2),
                   round(cy + 0.8 * r * math.sin(a), 1)]
    return points


def to_mask(segmentation, w, h):
    if isinstance(segmentation, list):
        rle = mask_util.merge(mask_util.frPyObjects(segmentation, h, w))
    elif isinstance(segmentation["counts"], list):
        rle = mask_util.frPyObjects(segmentation, h, w)
    else:
        rle = segmentation
    return mask_util.decode(rle)


def to_rle(mask, compressed):
    if compressed:
        rle = mask_util.encode(np.asfortranarray(mask))
        return {"size": list(rle["size"]), "counts": rle["counts"].decode()}
    flat, counts, last, n = mask.flatten(order="F"), [], 0, 0
    for value in flat:
        if value != last:
            counts.append(n)
            n, last = 0, value
        n += 1
    return {"size": list(mask.shape), "counts": counts + [n]}


def to_box(mask):
    rle = mask_util.encode(np.asfortranarray(mask))
    return [float(v) for v in mask_util.toBbox(rle)]


def shifted(mask, dx, dy):
    h, w = mask.shape
    out = np.zeros_like(mask)
    y0, y1, x0, x1 = max(dy, 0), min(h, h + dy), max(dx, 0), min(w, w + dx)
    if y1 > y0 and x1 > x0:
        out[y0:y1, x0:x1] = mask[y0 - dy:y1 - dy, x0 - dx:x1 - dx]
    return out


def make_truths():
    images, annotations = [], []
    for i, (w, h) in enumerate(SIZES):
        # Ids neither sorted nor dense.
        image = {"id": (i * 7) % 10 * 10 + 3, "file_name": f"{i}.png",
                 "width": w, "height": h}
        images.append(image)
        if i == 5:              # nothing annotated here
            continue
        for k in range(rng.randint(4, 9)):
            radius = rng.choice([4, 9, 14, 25, 45, 80, 140])
            cx, cy = rng.uniform(-5, w + 5), rng.uniform(-5, h + 5)
            n = rng.choice([3, 4, 7, 12])
            kind = rng.choice(["polygon", "polygon", "two", "hole", "packed"])
            segmentation = [blob(w, h, cx, cy, radius, n)]
            if kind == "two":
                segmentation.append(blob(w, h, cx + radius, cy, radius / 2, 5))
            mask = to_mask(segmentation, w, h)
            crowd = kind in ("hole", "packed") and rng.random() < 0.35
            if kind == "hole":
                inner = [blob(w, h, cx, cy, radius / 3, 6)]
                mask = mask & (1 - to_mask(inner, w, h))
                segmentation = to_rle(mask, False)
            elif kind == "packed":
                segmentation = to_rle(mask, True)
            if not mask.any():
                continue
            annotations.append({
                "id": 1000 - len(annotations), "image_id": image["id"],
                "category_id": 1 if i == 4 else rng.choice([1, 1, 3, 3, 17]),
                "segmentation": segmentation, "bbox": to_box(mask),
                # COCO's areas are not those of the rasterised masks.
                "area": round(float(mask.sum()) * rng.uniform(0.9, 1.1), 2),
                "iscrowd": int(crowd)})
    return {"images": images, "annotations": annotations,
            "categories": CATEGORIES}


def make_results(truths):
    results = []

    def add(image, category, mask, score, jitter):
        box = [round(v + rng.uniform(-jitter, jitter), 2) for v in to_box(mask)]
        box[2:] = [max(v, 0.5) for v in box[2:]]
        results.append({
            "image_id": image["id"], "category_id": category, "bbox": box,
            # Few levels, so that there are ties in and between pictures.
            "score": round(score * 20) / 20,
            "segmentation": to_rle(mask, True)})

    for image in truths["images"]:
        w, h = image["width"], image["height"]
        for a in truths["annotations"]:
            if (a["image_id"] != image["id"] or rng.random() < 0.12
                    or image is truths["images"][4]):
                continue
            mask = to_mask(a["segmentation"], w, h)
            for _ in range(rng.choice([1, 1, 2, 3])):
                s = rng.choice([0, 0, 1, 2, 5])
                moved = shifted(mask, rng.randint(-s, s), rng.randint(-s, s))
                category = a["category_id"]
                if rng.random() < 0.08:
                    category = rng.choice([1, 3, 17, 18])
                add(image, category, moved, rng.uniform(0.3, 1), s)
        for _ in range(rng.randint(0, 5)):
            mask = to_mask([blob(w, h, rng.uniform(0, w), rng.uniform(0, h),
                                 rng.choice([5, 20, 60]), 8)], w, h)
            add(image, rng.choice([1, 3, 17]), mask, rng.uniform(0, 0.9), 1)
    # More than 100 of one class in one picture, the right ones with the best
    # and with the worst scores.
    image = truths["images"][4]
    w, h = image["width"], image["height"]
    for i in range(130):
        mask = np.zeros((h, w), np.uint8)
        x, y = rng.randrange(w - 4), rng.randrange(h - 4)
        mask[y:y + rng.randint(2, 9), x:x + rng.randint(2, 9)] = 1
        add(image, 1, mask, rng.uniform(0.05, 1), 0.5)
    for a in truths["annotations"]:
        if a["image_id"] == image["id"]:
            add(image, 1, to_mask(a["segmentation"], w, h),
                rng.choice([0.05, 0.5, 0.6, 1]), 0)
    # An empty mask, and a category without any object.
    add(truths["images"][0], 1, np.zeros((240, 320), np.uint8), 0.6, 0)
    mask = np.zeros((240, 320), np.uint8)
    mask[10:60, 20:50] = 1
    add(truths["images"][0], 18, mask, 0.7, 0)
    rng.shuffle(results)
    return results


def evaluate(coco, results, kind, categories):
    if kind == "segm":          # as detectron2 does: areas are the masks'
        results = [{k: v for k, v in r.items() if k != "bbox"}
                   for r in results]
    run = COCOeval(coco, coco.loadRes(json.loads(json.dumps(results))), kind)
    if categories:
        run.params.catIds = categories
    run.evaluate()
    run.accumulate()
    run.summarize()
    return dict(zip(FIGURES, (float(v) for v in run.stats)))


def make_masks():
    """Polygons with the masks that pycocotools makes of them."""
    polygons = [
        ([2, 2, 10, 2, 10, 8, 2, 8], 12, 10),
        ([2.5, 2.5, 9.5, 2.5, 9.5, 7.5, 2.5, 7.5], 12, 10),
        ([0, 0, 12, 0, 12, 10, 0, 10], 12, 10),
        ([-5.3, -7.1, 30.2, 4, 6, 40], 12, 10),
        ([1, 1, 9, 9, 9, 1, 1, 9], 12, 10),             # crosses itself
        ([3, 3, 3, 3, 3, 3], 12, 10),                   # a point
        ([1.2, 4.4, 10.9, 4.4, 5, 4.4], 12, 10),        # a line
        ([5, 1, 5, 9], 12, 10),
        ([4.1, 0, 4.9, 0, 4.9, 10, 4.1, 10], 12, 10),   # thinner than a pixel
        ([100, 100, 120, 100, 120, 130], 12, 10),       # outside
        ([0, 0, 1, 0, 1, 1, 0, 1], 1, 1),
    ]
    polygons += [(blob(w, h, rng.uniform(0, w), rng.uniform(0, h), r, n), w, h)
                 for w, h, r, n in [(40, 30, 12, 9), (31, 57, 30, 14),
                                    (64, 64, 50, 40), (100, 7, 9, 5)]]
    out, others = [], []
    for points, w, h in polygons:
        # (frPyObjects takes four numbers for a box, so write that one anew.)
        given = points if len(points) > 4 else points + points[:2]
        rle = mask_util.frPyObjects([given], h, w)[0]
        out.append({"polygon": given, "width": w, "height": h,
                    "counts": rle["counts"].decode(),
                    "area": int(mask_util.area(rle)),
                    "bbox": [float(v) for v in mask_util.toBbox(rle)]})
        others.append(rle)
    ious = [[float(mask_util.iou([a], [b], [c])[0][0]) for c in (0, 1)]
            for a, b in zip(others[:9], others[1:9])]
    return {"polygons": out, "ious_with_next": ious}


def main():
    truths = make_truths()
    results = make_results(truths)
    coco = COCO()
    coco.dataset = json.loads(json.dumps(truths))
    with contextlib.redirect_stdout(io.StringIO()):
        coco.createIndex()
        expected = {kind: evaluate(coco, results, kind, None)
                    for kind in ("bbox", "segm")}
        expected["per_class"] = {
            c["name"]: {kind: evaluate(coco, results, kind, [c["id"]])
                        for kind in ("bbox", "segm")} for c in CATEGORIES}
    expected.update(make_masks())
    for name, value in (("annotations", truths), ("results", results),
                        ("expected", expected)):
        with open(name + ".json", "w") as f:
            json.dump(value, f, separators=(",", ":"))
            f.write("\n")
    print(len(truths["annotations"]), "objects,", len(results), "detections")
    print(expected["bbox"])
    print(expected["segm"])


if __name__ == "__main__":
    main()
