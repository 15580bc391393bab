# SPDX-License-Identifier: LGPL-2.1-or-later
"""COCO figures per class of an exported network, and the score threshold
with the best F1 (needs pycocotools).

The figures are plain COCO: a find of a class that is not annotated in a
picture counts as wrong.  The threshold is chosen on the pictures in which a
class is annotated.
"""
import argparse
import contextlib
import io
import pathlib
import tarfile

import numpy as np
import torch
from PIL import Image
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

import weights
from predict import predict


def load_annotations(path):
    with contextlib.redirect_stdout(io.StringIO()):
        return COCO(str(path))


def run_network(network, info, coco, data, min_size, max_size):
    """Detections of all pictures as COCO results."""
    category = {c["name"]: c["id"] for c in coco.dataset["categories"]}
    archives, results = {}, []
    for record in coco.dataset["images"]:
        if record["tar"] not in archives:
            archives[record["tar"]] = tarfile.open(data / record["tar"])
        jpeg = archives[record["tar"]].extractfile(record["file_name"])
        image = Image.open(io.BytesIO(jpeg.read())).convert("RGB")
        for d in predict(network, image, min_size, max_size,
                         info["inference"]):
            rle = coco_mask.encode(np.asfortranarray(d.mask, np.uint8))
            x0, y0, x1, y1 = map(float, d.box)
            results.append({
                "image_id": record["id"], "score": d.score,
                "category_id": category[info["classes"][d.label]],
                "bbox": [x0, y0, x1 - x0, y1 - y0], "segmentation": rle})
    return results


def coco_eval(coco, results, kind, category, pictures=None):
    with contextlib.redirect_stdout(io.StringIO()):
        # loadRes writes into the results it is given
        found = coco.loadRes([dict(r) for r in results])
        evaluation = COCOeval(coco, found, kind)
        evaluation.params.catIds = [category]
        if pictures is not None:
            evaluation.params.imgIds = pictures
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation


def precision_recall(coco, results, category, name, thresholds):
    """At mask IoU 0.5, per score threshold, on the pictures in which the
    class is annotated."""
    pictures = [r["id"] for r in coco.dataset["images"]
                if r["labelled"] == "all" or name in r["labelled"]]
    evaluation = coco_eval(coco, results, "segm", category, pictures)
    scores, correct, objects = [], [], 0
    everything = evaluation.params.areaRng[0]
    for entry in evaluation.evalImgs:
        if entry is None or entry["aRng"] != everything:
            continue
        valid = ~entry["dtIgnore"][0].astype(bool)
        scores += np.asarray(entry["dtScores"])[valid].tolist()
        correct += (entry["dtMatches"][0] > 0)[valid].tolist()
        objects += int((np.asarray(entry["gtIgnore"]) == 0).sum())
    scores, correct = np.array(scores), np.array(correct, bool)
    hits = np.array([(correct & (scores >= t)).sum() for t in thresholds])
    finds = np.array([(scores >= t).sum() for t in thresholds])
    return hits / np.maximum(finds, 1), hits / max(objects, 1)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("weights", help="exported safetensors file")
    parser.add_argument("--data", required=True, type=pathlib.Path,
                        help="folder with instances_val.json and images/")
    parser.add_argument("--split", default="val")
    parser.add_argument("--size", type=int, nargs=2, metavar=("MIN", "MAX"),
                        help="short and longest side (default: the model's)")
    args = parser.parse_args()
    torch.set_flush_denormal(True)

    network, info = weights.load(args.weights)
    size = args.size or (info["input"]["min_size"], info["input"]["max_size"])
    coco = load_annotations(args.data / f"instances_{args.split}.json")
    results = run_network(network, info, coco, args.data, *size)
    category = {c["name"]: c["id"] for c in coco.dataset["categories"]}

    shown = info["inference"]["score_threshold"]
    print(f"short side {size[0]}, longest {size[1]}, in %; precision and "
          f"recall at score {shown}\n")
    print("| class | box AP50 | mask AP | mask AP50 | small | medium | large "
          "| precision | recall |")
    print("| --- " * 9 + "|")
    thresholds = np.append(np.arange(0.25, 0.9, 0.01), shown)
    f1 = {}
    for name in info["classes"]:
        box = coco_eval(coco, results, "bbox", category[name]).stats
        mask = coco_eval(coco, results, "segm", category[name]).stats
        precision, recall = precision_recall(coco, results, category[name],
                                             name, thresholds)
        row = [100 * v for v in (box[1], mask[0], mask[1], *mask[3:6],
                                 precision[-1], recall[-1])]
        print(f"| {name} | "
              + " | ".join(f"{v:.1f}" if v >= 0 else "-" for v in row)
              + " |")
        f1[name] = (2 * precision * recall
                    / np.maximum(precision + recall, 1e-9))
    f1["mean"] = np.mean(list(f1.values()), 0)
    print("\nscore with the best F1 (F1 there, at the shown score):")
    for name, curve in f1.items():
        best = int(np.argmax(curve))
        print(f"  {name}: {thresholds[best]:.2f} ({100 * curve[best]:.1f}, "
              f"{100 * curve[-1]:.1f})")


if __name__ == "__main__":
    main()
