#!/usr/bin/env python3
# Writes the small checkpoints of data/ with torch and numpy, and what they
# hold, as these libraries see it, as data/expected.json. Run by hand, with
# torch >= 2.3 and numpy >= 2:
#   python3 tests/check/models/make_checkpoints.py
#
# SPDX-License-Identifier: LGPL-2.1-or-later
import collections
import copy
import io
import json
import pathlib
import pickle
import struct

import numpy as np
import torch

DATA = pathlib.Path(__file__).parent / "data"

DTYPES = {
    torch.float32: "F32", torch.float64: "F64", torch.float16: "F16",
    torch.bfloat16: "BF16", torch.int64: "I64", torch.int32: "I32",
    torch.int16: "I16", torch.int8: "I8", torch.uint8: "U8",
    torch.bool: "BOOL", torch.uint16: "U16", torch.complex64: "C64",
}
NUMPY_DTYPES = {
    "f4": "F32", "f8": "F64", "f2": "F16", "i8": "I64", "i4": "I32",
    "i2": "I16", "i1": "I8", "u1": "U8", "b1": "BOOL", "u2": "U16",
    "c8": "C64",
}

# file -> {tensor: [description, values]}, or the file that holds the same
expected = {}


def describe(dtype, shape):
    text = "x".join(str(n) for n in shape[:5])
    if len(shape) > 5:
        text += f"x... ({len(shape)} dimensions)"
    return dtype + (" " + text if shape else "")


def expect(file, tensors):
    for other, known in expected.items():
        if known == tensors:
            tensors = other
            break
    expected[file] = tensors


def expect_torch(file, tensors, stored=None):
    """Values are null where the reader has none to give; @stored tells the
    dtypes in the file if others than those of @tensors."""
    values_of = {}
    for name, tensor in tensors.items():
        shape = list(tensor.shape)
        dtype = DTYPES[(stored or tensors)[name].dtype]
        values = None
        if dtype not in ("U16", "C64") and len(shape) <= 5:
            wide = tensor.detach().to(
                torch.float64 if tensor.is_floating_point() else torch.int64)
            values = wide.reshape(-1).tolist()
        values_of[name] = [describe(dtype, shape), values]
    expect(file, values_of)


def expect_numpy(file, arrays):
    values_of = {}
    for name, array in arrays.items():
        array = np.asarray(array)
        dtype = NUMPY_DTYPES[array.dtype.str[1:]]
        values = None
        if dtype not in ("U16", "C64"):
            wide = array.astype(np.float64 if array.dtype.kind == "f"
                                else np.int64)
            values = wide.reshape(-1).tolist()
        values_of[name] = [describe(dtype, list(array.shape)), values]
    expect(file, values_of)


def save(obj, file, legacy=False, **kwargs):
    torch.save(obj, DATA / file, _use_new_zipfile_serialization=not legacy,
               **kwargs)


def tensors():
    base = torch.arange(48, dtype=torch.float32) * 0.37 - 3
    images = torch.randn(2, 3, 4, 5)
    state = collections.OrderedDict()
    for dtype in DTYPES:
        name = "dtype." + DTYPES[dtype]
        if dtype == torch.uint16:
            state[name] = torch.tensor([1, 65535], dtype=dtype)
        elif dtype == torch.bool:
            state[name] = torch.tensor([True, False, True])
        else:
            signed = dtype != torch.uint8
            state[name] = torch.tensor([3, -100 if signed else 200, 0],
                                       dtype=torch.float64).to(dtype)
    state["shared.all"] = base
    state["shared.rows"] = base.reshape(6, 8)[2:5]
    state["shared.columns"] = base.reshape(6, 8)[:, 3:6]
    state["shared.transposed"] = base.reshape(6, 8).t()
    state["shared.steps"] = base[1::5]
    state["shared.expanded"] = base[7:11].reshape(4, 1, 1).expand(4, 3, 2)
    state["shared.odd"] = base.reshape(2, 2, 2, 6)[1:, :, 1:, ::2]
    state["shared.scalar"] = base[9]
    state["nhwc"] = images.contiguous(memory_format=torch.channels_last)
    state["ones"] = torch.arange(4.).reshape(1, 4, 1, 1)[:, :, :, 0]
    state["empty"] = torch.zeros(0, 4)
    state["scalar"] = torch.tensor(2.5)
    state["rank5"] = torch.randn(2, 1, 2, 1, 3).permute(4, 1, 2, 3, 0)
    state["rank6"] = torch.zeros(1, 2, 1, 1, 2, 1)
    state["half.transposed"] = torch.randn(3, 4).bfloat16().t()
    state["parameter"] = torch.nn.Parameter(torch.randn(3))
    state["\u00e4\u03b2.weight"] = torch.ones(1)
    return state


def surroundings():
    """What else stands in checkpoints."""
    weight = torch.nn.Parameter(torch.ones(2))
    adam = torch.optim.AdamW([weight], lr=1e-4)
    weight.sum().backward()
    adam.step()
    tagged = torch.nn.Parameter(torch.ones(1))
    tagged.note = "attribute"
    nested = collections.defaultdict(list)
    nested["losses"].append(np.float64(0.25))
    loop = []
    loop.append((loop, loop, loop, loop))
    loop_of_tuples = loop[0]
    return {
        "optimizer": adam.state_dict(),
        "scheduler": {
            "milestones": collections.Counter({60000: 1, 80000: 1}),
            "gamma": 0.1, "last_epoch": 89999, "verbose": False,
        },
        "iteration": 89999, "best": np.float32(0.5), "none": None,
        "history": nested, "size": torch.Size([1, 2]), "tagged": tagged,
        "device": torch.device("cpu"), "dtype": torch.float16,
        "big": 1 << 70, "negative": -(1 << 40), "set": {1, 2},
        "frozen": frozenset([3]), "bytes": b"\x00\xff", "nothing": b"",
        "bytearray": bytearray(b"abc"), "loop": loop_of_tuples,
    }


def write_torch():
    state = tensors()
    for file, legacy in (("torch_zip.pth", False), ("torch_legacy.pth", True)):
        save({"model": state, **surroundings()}, file, legacy)
        expect_torch(file, state)
    save({**surroundings(), "model": state}, "protocol5.pth",
         pickle_protocol=5)
    expect_torch("protocol5.pth", state)
    save({"model": state}, "torch_legacy_4.pth", legacy=True,
         pickle_protocol=4)
    expect_torch("torch_legacy_4.pth", state)

    # where the state dict may be
    small = {"a.weight": torch.randn(2, 2), "a.bias": torch.randn(2)}
    for key in ("state_dict", "model_state", "model_state_dict"):
        save({key: small, "epoch": 3}, key + ".pth")
        expect_torch(key + ".pth", small)
    save({**small, "epoch": 3}, "bare.pth")
    expect_torch("bare.pth", small)
    save({"model": {"module." + k: v for k, v in small.items()}},
         "module_prefix.pth")
    expect_torch("module_prefix.pth", small)
    mixed = {"module.a": small["a.bias"], "b": small["a.weight"]}
    save(mixed, "module_mixed.pth")
    expect_torch("module_mixed.pth", mixed)
    arrays = {"a.weight": np.arange(6, dtype="f4").reshape(2, 3)}
    save({"model": arrays}, "numpy_in_torch.pth")
    expect_numpy("numpy_in_torch.pth", arrays)


class FrozenBN(torch.nn.Module):
    """The buffers and the rule of detectron2's FrozenBatchNorm2d, which has
    these buffers from version 2 on; those of version 1 are torchvision's."""

    def __init__(self, n, version, dtype=torch.float32):
        super().__init__()
        self._version = version
        for name in ("weight", "bias", "running_mean", "running_var"):
            self.register_buffer(name, torch.rand(n, dtype=dtype) + 0.1)


class Network(torch.nn.Module):
    def __init__(self):
        super().__init__()
        for version in (1, 2, 3):
            setattr(self, f"frozen{version}", FrozenBN(3, version))
        self.wide = FrozenBN(2, 2, torch.float64)
        self.shared = FrozenBN(4, 2)
        whole = torch.rand(10) + 0.1
        self.shared.running_mean = whole[:4]
        self.shared.running_var = whole[3:7]
        self.trained = torch.nn.BatchNorm2d(3)
        self.trained.running_var.fill_(0.3)


def write_frozen_bn():
    network = Network()
    state = network.state_dict()
    upgraded = {}
    for name, tensor in state.items():
        module, _, buffer = name.rpartition(".")
        version = state._metadata[module]["version"]
        upgraded[name] = tensor.clone()
        if buffer == "running_var" and module != "trained" and version == 2:
            upgraded[name] -= 1e-5
    save({"model": state}, "frozen_bn.pth")
    expect_torch("frozen_bn.pth", upgraded)
    save({"model": state}, "frozen_bn_legacy.pth", legacy=True)
    expect_torch("frozen_bn_legacy.pth", upgraded)
    parallel = torch.nn.DataParallel(network)
    save({"model": parallel.state_dict()}, "frozen_bn_module.pth")
    expect_torch("frozen_bn_module.pth", upgraded)
    save({"model": dict(state)}, "frozen_bn_plain.pth")
    expect_torch("frozen_bn_plain.pth", state)

    # eps would be lost in most of such variances
    halves = copy.deepcopy(network).half().state_dict()
    upgraded = {
        name: tensor.float() - 1e-5 if name.endswith(".running_var")
        and not name.startswith(("trained", "frozen1", "frozen3")) else tensor
        for name, tensor in halves.items()}
    save({"model": halves}, "frozen_bn_half.pth")
    expect_torch("frozen_bn_half.pth", upgraded, halves)


class OldPickler(pickle.Pickler):
    """Storages as torch 0.3 wrote them: parts of others are views."""

    def persistent_id(self, obj):
        if not isinstance(obj, tuple) or obj[:1] != ("STORAGE",):
            return None
        _, key, size, view = obj
        return ("storage", torch.FloatStorage, key, "cuda:1", size, view)


class Rebuilt:
    def __init__(self, *args):
        self.args = args

    def __reduce__(self):
        return torch._utils._rebuild_tensor, self.args


def write_views():
    out = io.BytesIO()
    values = np.arange(12, dtype="<f4") / 4
    whole = ("STORAGE", "root", 12, None)
    part = ("STORAGE", "root", 12, ("part", 5, 6))
    state = {"whole": Rebuilt(whole, 1, (2, 5), (5, 1)),
             "part": Rebuilt(part, 1, (2, 2), (1, 3))}
    system = {"protocol_version": 1001, "little_endian": True,
              "type_sizes": {"short": 2, "int": 4, "long": 4}}
    for obj in (0x1950a86a20f9469cfc6c, 1001, system):
        pickle.dump(obj, out, protocol=2)
    OldPickler(out, protocol=2).dump(state)
    pickle.dump(["root"], out, protocol=2)
    out.write(struct.pack("<q", 12) + values.tobytes())
    (DATA / "legacy_views.pth").write_bytes(out.getvalue())
    out.seek(0)
    # torch itself reads it
    read = torch.load(out, map_location="cpu", weights_only=False)
    expect_torch("legacy_views.pth", read)


def write_numpy():
    rng = np.random.default_rng(1)
    arrays = {"dtype." + NUMPY_DTYPES[name]:
              (np.array([1, 0, 1]) if name[0] in "bu" else
               np.array([3, -100, 0])).astype(name) for name in NUMPY_DTYPES}
    arrays.update({
        "rows": rng.standard_normal((3, 4)).astype("f4"),
        "fortran": np.asfortranarray(rng.standard_normal((2, 3, 4), "f4")),
        "permuted": rng.standard_normal((2, 3, 4)).astype("f4").transpose(
            1, 2, 0),
        "big": rng.standard_normal((2, 3)).astype(">f4"),
        "big.fortran": np.asfortranarray(
            rng.standard_normal((3, 2)).astype(">f8")),
        "big.int": np.array([[1, -2], [70000, 4]], dtype=">i4"),
        "rank0": np.array(1.25, dtype="f4"),
        "scalar": np.float32(0.75),
        "empty": np.zeros((0, 3), dtype="f4"),
        "bytes": np.arange(256, dtype="u1"),
        "one": np.ones((1, 1, 4, 1), dtype="f4"),
    })
    others = {"strings": np.array(["a", "bc"]), "text": "no tensor",
              "objects": np.array([1, None], dtype=object),
              "structs": np.zeros(2, dtype=[("a", "f4"), ("b", "i4")])}
    for protocol in (2, 3, 4, 5):
        file = f"numpy_{protocol}.pkl"
        with open(DATA / file, "wb") as out:
            pickle.dump({"model": {**arrays, **others},
                         "__author__": "CondInst",
                         "matching_heuristics": True}, out, protocol=protocol)
        expect_numpy(file, arrays)


torch.manual_seed(1)
DATA.mkdir(exist_ok=True)
write_torch()
write_frozen_bn()
write_views()
write_numpy()
with open(DATA / "expected.json", "w", encoding="utf-8") as out:
    parts = []
    for file, names in expected.items():
        text = json.dumps(names)
        if isinstance(names, dict):
            text = "{\n" + ",\n".join(
                f"  {json.dumps(name)}: {json.dumps(value)}"
                for name, value in names.items()) + "\n}"
        parts.append(f"{json.dumps(file)}: {text}")
    out.write("{\n" + ",\n".join(parts) + "\n}\n")
