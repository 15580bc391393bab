# SPDX-License-Identifier: LGPL-2.1-or-later
"""Targets and losses of FCOS and CondInst.

Focal loss: Lin et al., ICCV 2017.  GIoU: Rezatofighi et al., CVPR 2019.  Dice
loss: Milletari et al., 3DV 2016.  Assignment with centre sampling as in
FCOS (TPAMI version), masks as in CondInst.
"""
import torch
from torch.nn import functional as F

from network import STRIDES, SIZES_OF_INTEREST, level_locations, levels_soi

CENTRE_RADIUS = 1.5
MASKS_PER_PICTURE = 24
FOCAL_ALPHA, FOCAL_GAMMA = 0.25, 2.0


class Locations:
    """All cells of all levels for one input size."""

    def __init__(self, shapes, device):
        per_level = [level_locations(h, w, s, device)
                     for (h, w), s in zip(shapes, STRIDES)]
        counts = [len(p) for p in per_level]
        bounds = (-1.0,) + tuple(map(float, SIZES_OF_INTEREST)) + (1e8,)

        def spread(values):
            return torch.cat([torch.full((n,), float(v), device=device)
                              for n, v in zip(counts, values)])

        self.xy = torch.cat(per_level)
        self.stride = spread(STRIDES)
        self.low, self.high = spread(bounds[:-1]), spread(bounds[1:])
        self.soi = spread(levels_soi())
        self.level_start = [sum(counts[:i]) for i in range(len(counts) + 1)]
        # the cell of the stride-8 map of labelled classes
        self.cell = torch.div(self.xy, STRIDES[0],
                              rounding_mode="floor").long()


def assign(loc, boxes):
    """FCOS assignment for one picture: per location the index of its box (-1:
    none) and the distances l, t, r, b to it in pixels."""
    none = torch.full((len(loc.xy),), -1, device=boxes.device)
    if len(boxes) == 0:
        return none, boxes.new_zeros(len(loc.xy), 4)
    xy = loc.xy[:, None]
    ltrb = torch.cat((xy - boxes[None, :, :2], boxes[None, :, 2:] - xy), 2)
    centre = (boxes[:, :2] + boxes[:, 2:])[None] / 2
    reach = (CENTRE_RADIUS * loc.stride)[:, None, None]
    near = ((xy - centre).abs() < reach).all(2)
    inside = ltrb.min(2).values > 0
    size = ltrb.max(2).values
    fits = (size >= loc.low[:, None]) & (size <= loc.high[:, None])
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    cost = area[None].repeat(len(loc.xy), 1)
    cost[~(near & inside & fits)] = float("inf")
    smallest, index = cost.min(1)
    picked = ltrb[torch.arange(len(index), device=index.device), index]
    return torch.where(smallest < float("inf"), index, none), picked


def focal_loss(logits, targets):
    """Element-wise sigmoid focal loss."""
    p = torch.sigmoid(logits)
    ce = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    miss = p + targets - 2 * p * targets
    alpha = 1 - FOCAL_ALPHA + (2 * FOCAL_ALPHA - 1) * targets
    return alpha * miss ** FOCAL_GAMMA * ce


def giou_loss(pred, target):
    """Per location, for distances l, t, r, b; + 1 as in AdelaiDet."""
    def area(d):
        return (d[:, 0] + d[:, 2]) * (d[:, 1] + d[:, 3])

    inner, outer = torch.min(pred, target), torch.max(pred, target)
    inter = area(inner)
    union = area(pred) + area(target) - inter
    hull = area(outer)
    giou = (inter + 1) / (union + 1) - (hull - union) / (hull + 1)
    return 1 - giou


def centreness(ltrb):
    lr, tb = ltrb[:, 0::2], ltrb[:, 1::2]
    return torch.sqrt(lr.min(1).values / lr.max(1).values
                      * tb.min(1).values / tb.max(1).values)


def dice_loss(prob, target):
    prob, target = prob.flatten(1), target.flatten(1)
    inter = (prob * target).sum(1)
    union = (prob ** 2).sum(1) + (target ** 2).sum(1)
    return 1 - 2 * inter / (union + 1e-5)


def sample_masks(owner):
    """Positive locations whose masks are trained: spread evenly over the
    objects of the picture, at random within each."""
    positive = torch.nonzero(owner >= 0)[:, 0]
    positive = positive[torch.randperm(len(positive), device=owner.device)]
    order = torch.argsort(owner[positive])
    positive = positive[order]
    objects, counts = torch.unique_consecutive(owner[positive],
                                               return_counts=True)
    if len(objects) == 0:
        return positive
    first = torch.repeat_interleave(counts.cumsum(0) - counts, counts)
    rank = torch.arange(len(positive), device=owner.device) - first
    quota = max(MASKS_PER_PICTURE // len(objects), 1)
    return positive[rank < quota]


def flatten_levels(levels):
    """List of N x C x h x w to N x locations x C."""
    return torch.cat([x.flatten(2) for x in levels], 2).transpose(1, 2)


def condinst_losses(model, outputs, batch, loc):
    """The four losses as a dict of scalars.  @batch: lists of boxes, classes,
    masks (at MASK_STRIDE) per picture and `labelled`, N x classes x H/8 x W/8,
    the places where a class is annotated completely."""
    logits, reg, ctr, tower, features = outputs
    logits_flat = flatten_levels(logits)
    assigned = [assign(loc, boxes) for boxes in batch["boxes"]]
    owner = torch.stack([a[0] for a in assigned])
    positive = owner >= 0
    count = positive.sum().clamp(min=1).float()

    target = torch.zeros_like(logits_flat)
    image, place = torch.nonzero(positive, as_tuple=True)
    classes = torch.cat([c[o[o >= 0]]
                         for c, o in zip(batch["classes"], owner)])
    target[image, place, classes] = 1
    known = batch["labelled"][:, :, loc.cell[:, 1], loc.cell[:, 0]]
    known = known.transpose(1, 2) | (target > 0)
    cls_loss = (focal_loss(logits_flat, target) * known).sum() / count

    distance = torch.stack([a[1] for a in assigned])[positive]
    weight = centreness(distance)
    distance = distance / loc.stride[place][:, None]
    box_loss = (giou_loss(flatten_levels(reg)[positive], distance)
                * weight).sum() / weight.sum().clamp(min=1e-6)
    ctr_loss = F.binary_cross_entropy_with_logits(
        flatten_levels(ctr)[positive][:, 0], weight, reduction="sum") / count

    picks = [sample_masks(o) for o in owner]
    image = torch.repeat_interleave(
        torch.arange(len(picks), device=owner.device),
        torch.tensor([len(p) for p in picks], device=owner.device))
    place = torch.cat(picks)
    parameters, order = [], []
    for level, x in enumerate(tower):
        start, end = loc.level_start[level:level + 2]
        here = torch.nonzero((place >= start) & (place < end))[:, 0]
        parameters.append(model.mask_parameters(
            x, image[here], place[here] - start, x.shape[3]))
        order.append(here)
    order = torch.cat(order)
    image, place = image[order], place[order]
    prob = torch.sigmoid(model.masks(features, image, torch.cat(parameters),
                                     loc.xy[place], loc.soi[place]))
    truth = [batch["masks"][i][owner[i, p]]
             for i, p in zip(image.tolist(), place.tolist())]
    mask_loss = (dice_loss(prob, torch.stack(truth).float()).mean()
                 if truth else prob.sum())
    return {"cls": cls_loss, "box": box_loss, "ctr": ctr_loss,
            "mask": mask_loss}
