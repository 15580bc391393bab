# SPDX-License-Identifier: LGPL-2.1-or-later
"""The light CondInst network.

CondInst: Tian, Shen, Chen, "Conditional Convolutions for Instance
Segmentation", ECCV 2020.  FCOS: Tian et al., "FCOS: Fully Convolutional
One-Stage Object Detection", ICCV 2019.  MobileNetV2: Sandler et al., CVPR
2018.  FPN: Lin et al., CVPR 2017.

Modules are named so that the state dict carries the names of AdelaiDet's
checkpoints.  With norm=True the heads have batch norm (training); with
norm=False it is folded into the convolutions (the exported form).  The
backbone never has it: it starts from an ImageNet network that is folded.
"""
import copy
import math

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

CLASSES = ("person", "cat", "car", "bicycle", "motorcycle")
PIXEL_MEAN = (123.675, 116.28, 103.53)
PIXEL_STD = (58.395, 57.12, 57.375)
SIZE_DIVISOR = 32
STRIDES = (8, 16, 32, 64)
SIZES_OF_INTEREST = (48, 96, 192)
FPN_CHANNELS = 96
MASK_BRANCH_CHANNELS = 64
MASK_FEATURES = 8
MASK_HEAD_CHANNELS = 8
MASK_STRIDE = 4
# weights of the three layers of the mask head, then their biases
MASK_HEAD_SIZES = (MASK_HEAD_CHANNELS * (MASK_FEATURES + 2),
                   MASK_HEAD_CHANNELS * MASK_HEAD_CHANNELS,
                   MASK_HEAD_CHANNELS,
                   MASK_HEAD_CHANNELS, MASK_HEAD_CHANNELS, 1)
# expansion, channels, repeats, stride
MOBILENET_BLOCKS = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2),
                    (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2),
                    (6, 320, 1, 1))
# outputs of these features are C3, C4, C5
MOBILENET_TAPS = {6: 32, 13: 96, 17: 320}
# features.0 .. features.3 (to stride 4) stay as ImageNet left them
FROZEN_FEATURES = 4


def aligned_bilinear(x, factor):
    """Upsamples so that source cell i lands on output i * factor + factor / 2
    (AdelaiDet's function of that name)."""
    h, w = x.shape[2:]
    x = F.pad(x, (0, 1, 0, 1), mode="replicate")
    x = F.interpolate(x, size=(factor * h + 1, factor * w + 1),
                      mode="bilinear", align_corners=True)
    x = F.pad(x, (factor // 2, 0, factor // 2, 0), mode="replicate")
    return x[:, :, :factor * h, :factor * w]


def level_locations(height, width, stride, device):
    """Centres (x, y) of the cells of one level, row-major, in pixels."""
    y, x = torch.meshgrid(
        torch.arange(height, dtype=torch.float32, device=device),
        torch.arange(width, dtype=torch.float32, device=device),
        indexing="ij")
    return torch.stack((x.flatten(), y.flatten()), 1) * stride + stride // 2


class InvertedResidual(nn.Module):
    """MobileNetV2 block; the identities stand where AdelaiDet has norms."""

    def __init__(self, c_in, c_out, stride, expand):
        super().__init__()
        hidden = c_in * expand
        layers = []
        if expand != 1:
            layers += [nn.Conv2d(c_in, hidden, 1), nn.Identity(),
                       nn.ReLU6(inplace=True)]
        layers += [nn.Conv2d(hidden, hidden, 3, stride, 1, groups=hidden),
                   nn.Identity(), nn.ReLU6(inplace=True),
                   nn.Conv2d(hidden, c_out, 1)]
        self.conv = nn.Sequential(*layers)
        self.residual = stride == 1 and c_in == c_out

    def forward(self, x):
        return x + self.conv(x) if self.residual else self.conv(x)


class MobileNetV2(nn.Module):
    def __init__(self):
        super().__init__()
        features = [nn.Sequential(nn.Conv2d(3, 32, 3, 2, 1),
                                  nn.ReLU6(inplace=True))]
        c_in = 32
        for expand, c_out, repeats, stride in MOBILENET_BLOCKS:
            for i in range(repeats):
                features.append(InvertedResidual(
                    c_in, c_out, stride if i == 0 else 1, expand))
                c_in = c_out
        self.features = nn.Sequential(*features)
        for p in self.features[:FROZEN_FEATURES].parameters():
            p.requires_grad_(False)

    def forward(self, x):
        taps = []
        for i, block in enumerate(self.features):
            x = block(x)
            if i in MOBILENET_TAPS:
                taps.append(x)
        return taps

    def load_imagenet(self, path):
        """Reads the folded 8-bit ImageNet weights (convKK_w, _scale, _zero,
        _bias in execution order; the classifier's last 1x1 is left out)."""
        arrays = np.load(path)
        convs = [m for m in self.modules() if isinstance(m, nn.Conv2d)]
        for k, conv in enumerate(convs):
            key = "conv%02d_" % k
            weight = (arrays[key + "w"].astype(np.float32)
                      - float(arrays[key + "zero"])) * arrays[key + "scale"]
            conv.weight.data.copy_(torch.from_numpy(weight))
            conv.bias.data.copy_(torch.from_numpy(arrays[key + "bias"]))


class Backbone(nn.Module):
    """MobileNetV2 and an FPN without output convolutions, P3 to P6."""

    def __init__(self):
        super().__init__()
        self.bottom_up = MobileNetV2()
        for level, channels in zip((3, 4, 5), MOBILENET_TAPS.values()):
            self.add_module("fpn_lateral%d" % level,
                            nn.Conv2d(channels, FPN_CHANNELS, 1))
        self.top_block = nn.Module()
        self.top_block.p6 = nn.Conv2d(FPN_CHANNELS, FPN_CHANNELS, 3, 2, 1)

    def forward(self, x):
        c3, c4, c5 = self.bottom_up(x)
        p5 = self.fpn_lateral5(c5)
        p4 = self.fpn_lateral4(c4) + F.interpolate(p5, scale_factor=2.0)
        p3 = self.fpn_lateral3(c3) + F.interpolate(p4, scale_factor=2.0)
        return [p3, p4, p5, self.top_block.p6(p5)]


def conv_block(c_in, c_out, norm):
    return [nn.Conv2d(c_in, c_out, 3, 1, 1, bias=not norm),
            nn.BatchNorm2d(c_out, momentum=0.03) if norm else nn.Identity(),
            nn.ReLU(inplace=True)]


def run_tower(tower, levels):
    """Runs a tower shared by all levels.  Norm statistics are taken over the
    levels together, so that one folded weight serves them all."""
    for layer in tower:
        if isinstance(layer, nn.Conv2d):
            levels = [layer(x) for x in levels]
        else:
            flat = layer(torch.cat([x.flatten(2) for x in levels], 2)
                         .unsqueeze(3)).squeeze(3)
            parts = flat.split([x[0, 0].numel() for x in levels], 2)
            levels = [p.reshape(x.shape) for p, x in zip(parts, levels)]
    return levels


class Scale(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, x):
        return x * self.scale


class FCOSHead(nn.Module):
    def __init__(self, norm):
        super().__init__()
        c = FPN_CHANNELS
        self.cls_tower = nn.Sequential(*conv_block(c, c, norm),
                                       *conv_block(c, c, norm))
        self.bbox_tower = nn.Sequential(*conv_block(c, c, norm),
                                        *conv_block(c, c, norm))
        self.cls_logits = nn.Conv2d(c, len(CLASSES), 1)
        self.bbox_pred = nn.Conv2d(c, 4, 1)
        self.ctrness = nn.Conv2d(c, 1, 1)
        self.scales = nn.ModuleList(Scale() for _ in STRIDES)
        for m in (self.cls_logits, self.bbox_pred, self.ctrness):
            nn.init.normal_(m.weight, std=0.01)
            nn.init.zeros_(m.bias)
        # focal loss wants a low prior (RetinaNet's 0.01); the ReLU behind the
        # boxes wants to start alive
        nn.init.constant_(self.cls_logits.bias, -math.log(99.0))
        nn.init.constant_(self.bbox_pred.bias, 2.0)

    def forward(self, levels):
        cls = run_tower(self.cls_tower, levels)
        box = run_tower(self.bbox_tower, levels)
        logits = [self.cls_logits(x) for x in cls]
        reg = [F.relu(scale(self.bbox_pred(x)))
               for scale, x in zip(self.scales, box)]
        ctr = [self.ctrness(x) for x in box]
        return logits, reg, ctr, box


class MaskBranch(nn.Module):
    def __init__(self, norm):
        super().__init__()
        c = MASK_BRANCH_CHANNELS
        self.refine = nn.ModuleList(
            nn.Sequential(*conv_block(FPN_CHANNELS, c, norm))
            for _ in range(3))
        self.tower = nn.Sequential(
            nn.Sequential(*conv_block(c, c, norm)),
            nn.Sequential(*conv_block(c, c, norm)),
            nn.Conv2d(c, MASK_FEATURES, 1))

    def forward(self, levels):
        x = self.refine[0](levels[0])
        x = x + aligned_bilinear(self.refine[1](levels[1]), 2)
        x = x + aligned_bilinear(self.refine[2](levels[2]), 4)
        return self.tower(x)


class CondInst(nn.Module):
    """Input: N x 3 x H x W, 8-bit RGB values normalised by normalise(); H and
    W multiples of SIZE_DIVISOR."""

    def __init__(self, norm=True):
        super().__init__()
        self.backbone = Backbone()
        self.proposal_generator = nn.Module()
        self.proposal_generator.fcos_head = FCOSHead(norm)
        self.controller = nn.Conv2d(FPN_CHANNELS, sum(MASK_HEAD_SIZES), 3,
                                    1, 1)
        nn.init.normal_(self.controller.weight, std=0.01)
        nn.init.zeros_(self.controller.bias)
        self.mask_branch = MaskBranch(norm)

    def forward(self, x):
        """Returns per level lists logits, reg (in strides), ctr, the box
        tower's output, and the mask features at stride 8."""
        levels = self.backbone(x)
        return (*self.proposal_generator.fcos_head(levels),
                self.mask_branch(levels[:3]))

    def mask_parameters(self, box_features, image, index, width):
        """The controller at single cells of one level: cell index[k] (row
        major, rows of @width) of picture image[k].  Same values as running
        the convolution everywhere, at a fraction of the cost."""
        y, x = torch.div(index, width, rounding_mode="floor"), index % width
        padded = F.pad(box_features, (1, 1, 1, 1))
        taps = torch.arange(3, device=index.device)
        rows = (y[:, None] + taps)[:, :, None]
        cols = (x[:, None] + taps)[:, None, :]
        patches = padded[image[:, None, None], :, rows, cols]
        weight = self.controller.weight.permute(0, 2, 3, 1).flatten(1)
        return F.linear(patches.flatten(1), weight, self.controller.bias)

    def masks(self, features, image, parameters, locations, soi):
        """Mask logits at MASK_STRIDE of K instances: features N x 8 x h x w,
        instance k in picture image[k] at pixel locations[k] on a level whose
        size of interest is soi[k]."""
        h, w = features.shape[2:]
        grid = level_locations(h, w, STRIDES[0], features.device)
        rel = (locations[:, :, None] - grid.t()[None]) / soi[:, None, None]
        x = torch.cat((rel, features.flatten(2)[image]), 1)
        w0, w1, w2, b0, b1, b2 = parameters.split(MASK_HEAD_SIZES, 1)
        k, c = len(parameters), MASK_HEAD_CHANNELS
        x = torch.baddbmm(b0[:, :, None], w0.reshape(k, c, -1), x).relu()
        x = torch.baddbmm(b1[:, :, None], w1.reshape(k, c, c), x).relu()
        x = torch.baddbmm(b2[:, :, None], w2.reshape(k, 1, c), x)
        return aligned_bilinear(x.reshape(k, 1, h, w),
                                STRIDES[0] // MASK_STRIDE)[:, 0]


def normalise(pixels):
    """uint8 N x 3 x H x W to the network's input."""
    mean = torch.tensor(PIXEL_MEAN, device=pixels.device).view(3, 1, 1)
    std = torch.tensor(PIXEL_STD, device=pixels.device).view(3, 1, 1)
    return (pixels.float() - mean) / std


def levels_soi():
    """Size of interest per level: the last one doubled closes the list."""
    return SIZES_OF_INTEREST + (2 * SIZES_OF_INTEREST[-1],)


def folded(model):
    """The same network with its batch norms folded into the convolutions."""
    source = copy.deepcopy(model).cpu().eval()
    modules = dict(source.named_modules())
    state = {}
    for name, tensor in source.state_dict().items():
        parent = name.rpartition(".")[0]
        if isinstance(modules[parent], nn.BatchNorm2d):
            continue
        state[name] = tensor
    for name, norm in modules.items():
        if not isinstance(norm, nn.BatchNorm2d):
            continue
        head, _, position = name.rpartition(".")
        conv = "%s.%d" % (head, int(position) - 1)
        gain = norm.weight / torch.sqrt(norm.running_var + norm.eps)
        state[conv + ".weight"] = (modules[conv].weight
                                   * gain[:, None, None, None])
        state[conv + ".bias"] = norm.bias - norm.running_mean * gain
    result = CondInst(norm=False).eval()
    result.load_state_dict(state)
    return result
