# SPDX-License-Identifier: LGPL-2.1-or-later
"""The exported form of a network: one safetensors file."""
import json
import pathlib
import struct

import numpy as np
import torch

from network import (CLASSES, FPN_CHANNELS, MASK_BRANCH_CHANNELS,
                     MASK_FEATURES, MASK_HEAD_CHANNELS, MASK_STRIDE,
                     PIXEL_MEAN, PIXEL_STD, SIZE_DIVISOR, SIZES_OF_INTEREST,
                     STRIDES, CondInst)

DTYPES = {"F16": np.float16, "F32": np.float32}
NAMES = {np.dtype(v): k for k, v in DTYPES.items()}


def description(score_threshold):
    """What the engine has to know besides the weights."""
    return {
        "format_version": 1,
        "name": "condinst-light",
        "architecture": "condinst",
        "input": {"channel_order": "RGB", "pixel_mean": PIXEL_MEAN,
                  "pixel_std": PIXEL_STD, "min_size": 288, "max_size": 512,
                  "size_divisor": SIZE_DIVISOR},
        "backbone": {"type": "mobilenet_v2", "width_mult": 1.0},
        "fpn": {"out_channels": FPN_CHANNELS, "output_convs": False,
                "top_levels": 1},
        "fcos": {"strides": STRIDES, "num_share_convs": 0,
                 "num_cls_convs": 2, "num_box_convs": 2, "norm": "none",
                 "prediction_kernel": 1, "use_scale": True,
                 "sizes_of_interest": SIZES_OF_INTEREST,
                 "thresh_with_ctr": True},
        "condinst": {
            "mask_branch": {"channels": MASK_BRANCH_CHANNELS,
                            "num_convs": 2, "out_channels": MASK_FEATURES},
            "mask_head": {"channels": MASK_HEAD_CHANNELS, "num_layers": 3},
            "mask_out_stride": MASK_STRIDE},
        "inference": {"inference_threshold": 0.05, "nms_threshold": 0.5,
                      "cross_class_threshold": 0.8,
                      "pre_nms_top_k": 1000, "post_nms_top_k": 100,
                      "score_threshold": score_threshold},
        "classes": CLASSES}


def write_safetensors(path, arrays, metadata=None):
    """Writes numpy arrays by name; the data starts 8-byte aligned."""
    header, offset = {}, 0
    if metadata:
        header["__metadata__"] = metadata
    for name, array in arrays.items():
        header[name] = {"dtype": NAMES[array.dtype],
                        "shape": list(array.shape),
                        "data_offsets": [offset, offset + array.nbytes]}
        offset += array.nbytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for array in arrays.values():
            file.write(np.ascontiguousarray(array).tobytes())


def read_safetensors(path):
    """Arrays by name, and the metadata."""
    content = pathlib.Path(path).read_bytes()
    length, = struct.unpack_from("<Q", content)
    header = json.loads(content[8:8 + length])
    metadata = header.pop("__metadata__", {})
    arrays = {}
    for name, entry in header.items():
        begin, end = (8 + length + o for o in entry["data_offsets"])
        arrays[name] = np.frombuffer(
            content[begin:end], DTYPES[entry["dtype"]]).reshape(
                entry["shape"])
    return arrays, metadata


def export(network, path, score_threshold):
    """Writes a folded network, its weights rounded to F16."""
    arrays = {name: tensor.detach().numpy().astype(np.float16)
              for name, tensor in network.state_dict().items()}
    write_safetensors(
        path, arrays,
        {"condinst": json.dumps(description(score_threshold),
                                separators=(",", ":"))})


def load(path):
    """The network of an exported file and its description."""
    arrays, metadata = read_safetensors(path)
    network = CondInst(norm=False).eval()
    network.load_state_dict({
        name: torch.from_numpy(array.astype(np.float32))
        for name, array in arrays.items()})
    return network, json.loads(metadata["condinst"])
