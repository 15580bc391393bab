# SPDX-License-Identifier: LGPL-2.1-or-later
"""The networks of the benchmark in PyTorch, with made-up weights: CondInst
without the controller and what follows detection, batch norms folded."""
import pathlib
import sys

import torch
from torch import nn
from torch.nn import functional as F

TRAIN = pathlib.Path(__file__).resolve().parents[3] / "models" / "train"
sys.path.insert(0, str(TRAIN))
from network import CondInst, aligned_bilinear  # noqa: E402


class Bottleneck(nn.Module):
    """detectron2's, the stride on the first 1x1 convolution."""

    def __init__(self, c_in, width, c_out, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(c_in, width, 1, stride)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1)
        self.conv3 = nn.Conv2d(width, c_out, 1)
        self.shortcut = (nn.Conv2d(c_in, c_out, 1, stride)
                         if c_in != c_out else None)

    def forward(self, x):
        y = self.conv3(self.conv2(self.conv1(x).relu()).relu())
        return (y + (self.shortcut(x) if self.shortcut else x)).relu()


class CondInstR50(nn.Module):
    """CondInst/MS_R_50_3x."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 64, 7, 2, 3)
        self.stages = nn.ModuleList()
        c_in = 64
        for i, blocks in enumerate((3, 4, 6, 3)):
            width, c_out = 64 << i, 256 << i
            self.stages.append(nn.Sequential(*(
                Bottleneck(c_in if b == 0 else c_out, width, c_out,
                           2 if b == 0 and i else 1)
                for b in range(blocks))))
            c_in = c_out
        self.lateral = nn.ModuleList(nn.Conv2d(c, 256, 1)
                                     for c in (512, 1024, 2048))
        self.output = nn.ModuleList(nn.Conv2d(256, 256, 3, 1, 1)
                                    for _ in range(3))
        self.p6 = nn.Conv2d(256, 256, 3, 2, 1)
        self.p7 = nn.Conv2d(256, 256, 3, 2, 1)

        def tower():
            return nn.Sequential(*(m for _ in range(4) for m in (
                nn.Conv2d(256, 256, 3, 1, 1), nn.GroupNorm(32, 256),
                nn.ReLU())))

        self.cls_tower, self.bbox_tower = tower(), tower()
        self.cls_logits = nn.Conv2d(256, 80, 3, 1, 1)
        self.bbox_pred = nn.Conv2d(256, 4, 3, 1, 1)
        self.ctrness = nn.Conv2d(256, 1, 3, 1, 1)
        self.scales = nn.Parameter(torch.ones(5))
        self.refine = nn.ModuleList(nn.Conv2d(256, 128, 3, 1, 1)
                                    for _ in range(3))
        self.mask_tower = nn.Sequential(*(m for _ in range(4) for m in (
            nn.Conv2d(128, 128, 3, 1, 1), nn.ReLU())),
            nn.Conv2d(128, 8, 1))

    def forward(self, x):
        x = F.max_pool2d(self.stem(x).relu(), 3, 2, 1)
        maps = []
        for i, stage in enumerate(self.stages):
            x = stage(x)
            if i:
                maps.append(x)
        levels, above = [], None
        for i in (2, 1, 0):
            m = self.lateral[i](maps[i])
            if above is not None:
                m = m + F.interpolate(above, scale_factor=2.0)
            above = m
            levels.insert(0, self.output[i](m))
        levels.append(self.p6(levels[2]))
        levels.append(self.p7(levels[3].relu()))
        out = []
        for i, level in enumerate(levels):
            box = self.bbox_tower(level)
            out += [self.cls_logits(self.cls_tower(level)),
                    (self.bbox_pred(box) * self.scales[i]).relu(),
                    self.ctrness(box)]
        y = self.refine[0](levels[0]).relu()
        y = y + aligned_bilinear(self.refine[1](levels[1]).relu(), 2)
        y = y + aligned_bilinear(self.refine[2](levels[2]).relu(), 4)
        return [*out, self.mask_tower(y)]


class CondInstLight(nn.Module):
    """models/weights/condinst-light."""

    def __init__(self):
        super().__init__()
        self.net = CondInst(norm=False)

    def forward(self, x):
        logits, reg, ctr, _, features = self.net(x)
        return [*logits, *reg, *ctr, features]


# name: class, model for condinst bench, width, height
NETWORKS = {
    "r50-320": (CondInstR50, "random:condinst-r50", 320, 320),
    "r50-416": (CondInstR50, "random:condinst-r50", 416, 416),
    "light-512x288": (CondInstLight, "random:condinst-light", 512, 288),
}


def make(name):
    """The network in inference mode, and an input for it."""
    cls, _, width, height = NETWORKS[name]
    torch.manual_seed(0)
    return cls().eval(), torch.rand(1, 3, height, width)
