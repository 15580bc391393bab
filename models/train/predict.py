# SPDX-License-Identifier: LGPL-2.1-or-later
"""CondInst inference in plain PyTorch: the model the C engine follows.

Run as a program, it writes the network's input and outputs for one picture,
by which an engine can be checked.
"""
import argparse
import collections

import numpy as np
import torch
from PIL import Image
from torch.nn import functional as F

import weights
from network import (MASK_STRIDE, SIZE_DIVISOR, STRIDES, aligned_bilinear,
                     level_locations, levels_soi, normalise)

Detection = collections.namedtuple("Detection", "label score box mask")


def preprocess(image, min_size, max_size):
    """Input tensor of an RGB picture, and the resized size (w, h) in it."""
    width, height = image.size
    scale = min_size / min(width, height)
    if scale * max(width, height) > max_size:
        scale = max_size / max(width, height)
    w, h = int(width * scale + 0.5), int(height * scale + 0.5)
    pixels = np.array(image.resize((w, h), Image.BILINEAR))
    x = normalise(torch.from_numpy(pixels).permute(2, 0, 1)[None])
    x = F.pad(x, (0, -w % SIZE_DIVISOR, 0, -h % SIZE_DIVISOR))
    return x, (w, h)


def nms(boxes, scores, labels, threshold):
    """Greedy, class by class; indices kept, by descending score."""
    order = np.argsort(-scores, kind="stable")
    kept = []
    while len(order):
        best, order = order[0], order[1:]
        kept.append(best)
        a, b = boxes[best], boxes[order]
        side = np.minimum(a[2:], b[:, 2:]) - np.maximum(a[:2], b[:, :2])
        inter = side.clip(min=0).prod(1)
        union = ((a[2:] - a[:2]).prod()
                 + (b[:, 2:] - b[:, :2]).prod(1) - inter)
        order = order[(inter <= threshold * union)
                      | (labels[order] != labels[best])]
    return kept


@torch.no_grad()
def detect(network, x, settings):
    """Boxes in input pixels, scores, labels and mask logits at MASK_STRIDE
    of one picture; settings: the `inference` part of the description."""
    logits, reg, ctr, tower, features = network(x)
    found = collections.defaultdict(list)
    for level, stride in enumerate(STRIDES):
        height, width = logits[level].shape[2:]
        value = (torch.sigmoid(logits[level]) * torch.sigmoid(ctr[level]))
        value = value[0].flatten(1).t()
        cell, label = torch.nonzero(
            value > settings["inference_threshold"], as_tuple=True)
        value = value[cell, label]
        best = torch.argsort(value, descending=True)
        best = best[:settings["pre_nms_top_k"]]
        cell, label, value = cell[best], label[best], value[best]
        xy = level_locations(height, width, stride, x.device)[cell]
        ltrb = reg[level][0].flatten(1).t()[cell] * stride
        found["boxes"].append(torch.cat((xy - ltrb[:, :2],
                                         xy + ltrb[:, 2:]), 1))
        found["scores"].append(torch.sqrt(value))
        found["labels"].append(label)
        found["xy"].append(xy)
        found["soi"].append(torch.full((len(cell),),
                                       float(levels_soi()[level])))
        found["parameters"].append(network.mask_parameters(
            tower[level], torch.zeros_like(cell), cell, width))
    found = {k: torch.cat(v) for k, v in found.items()}
    kept = nms(found["boxes"].numpy(), found["scores"].numpy(),
               found["labels"].numpy(), settings["nms_threshold"])
    kept = torch.tensor(kept[:settings["post_nms_top_k"]], dtype=torch.long)
    found = {k: v[kept] for k, v in found.items()}
    masks = network.masks(features, torch.zeros_like(kept),
                          found["parameters"], found["xy"], found["soi"])
    return found["boxes"], found["scores"], found["labels"], masks


def predict(network, image, min_size, max_size, settings):
    """Detections in an RGB picture, by descending score; their masks have the
    picture's size."""
    x, (w, h) = preprocess(image, min_size, max_size)
    boxes, scores, labels, masks = detect(network, x, settings)
    width, height = image.size
    boxes = boxes * torch.tensor([width / w, height / h] * 2)
    limit = torch.tensor([width, height] * 2, dtype=torch.float32)
    boxes = torch.minimum(boxes.clamp(min=0), limit)
    detections = []
    for box, score, label, mask in zip(boxes, scores, labels, masks):
        if box[2] <= box[0] or box[3] <= box[1]:
            continue
        prob = aligned_bilinear(torch.sigmoid(mask)[None, None], MASK_STRIDE)
        prob = F.interpolate(prob[:, :, :h, :w], size=(height, width),
                             mode="bilinear", align_corners=False)
        detections.append(Detection(label.item(), score.item(), box.numpy(),
                                    (prob[0, 0] > 0.5).numpy()))
    return detections


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("weights", help="exported safetensors file")
    parser.add_argument("picture")
    parser.add_argument("output", help="safetensors file to write")
    args = parser.parse_args()
    network, info = weights.load(args.weights)
    image = Image.open(args.picture).convert("RGB")
    x, _ = preprocess(image, info["input"]["min_size"],
                      info["input"]["max_size"])
    with torch.no_grad():
        logits, reg, ctr, _, features = network(x)
    arrays = {"input": x, "mask.feats": features}
    for level in range(len(STRIDES)):
        arrays.update({f"head.{level}.logits": logits[level],
                       f"head.{level}.reg": reg[level],
                       f"head.{level}.ctr": ctr[level]})
    weights.write_safetensors(args.output,
                              {k: v.numpy() for k, v in arrays.items()})


if __name__ == "__main__":
    main()
