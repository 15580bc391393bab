#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Times the networks in PyTorch on a GPU, with a model's weights: halves in
channels_last, eager and torch.compile with CUDA graphs.

Also measures what the GPU can do in the same run (a matrix product, a copy),
and from these what each layer takes at least: the larger of its products' time
and of the time to move its input, weights and output once, activations and
additions joined to the convolution before. Needs torch and nothing else; R-50's
file comes from `condinst import random:condinst-r50 -o FILE`. Prints JSON, all
times in ms; compiled networks come last, as long as --seconds are not over.
"""
import argparse
import json
import pathlib
import platform
import statistics
import sys
import time
import warnings

import torch
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

PEERS = pathlib.Path(__file__).resolve().parent / "peers"
sys.path.insert(0, str(PEERS))
import networks  # noqa: E402  (which makes the next one importable)
import weights  # noqa: E402

EPSILON = 1e-5
# name: network, width, height, batch; those that matter most first
CASES = {
    "r50-1344x800": ("r50", 1344, 800, 1),
    "light-512x288": ("light", 512, 288, 1),
    "r50-550x550": ("r50", 576, 576, 1),  # 550 in whole 32s
    "r50-1344x800-b8": ("r50", 1344, 800, 8),
    "r50-550x550-b8": ("r50", 576, 576, 8),
    "light-512x288-b8": ("light", 512, 288, 8),
}
CLASSES = {"r50": networks.CondInstR50, "light": networks.CondInstLight}
MASK_INSTANCES = 100


# ---- weights --------------------------------------------------------------

def upstream_name(name):
    """Of a module of CondInstR50: the names in checkpoints of its convolution
    and of the batch norm behind it, or None."""
    head, _, rest = name.partition(".")
    if head == "stem":
        conv = "backbone.bottom_up.stem.conv1"
        return conv, conv + ".norm"
    if head == "stages":
        stage, block, part = rest.split(".")
        conv = f"backbone.bottom_up.res{int(stage) + 2}.{block}.{part}"
        return conv, conv + ".norm"
    if head in ("lateral", "output"):
        return f"backbone.fpn_{head}{int(rest) + 3}", None
    if head in ("p6", "p7"):
        return f"backbone.top_block.{head}", None
    if name == "mask_tower.8":
        return "mask_branch.tower.4", None
    if head in ("refine", "mask_tower"):
        prefix = (f"mask_branch.refine.{rest}" if head == "refine"
                  else f"mask_branch.tower.{int(rest) // 2}")
        return prefix + ".0", prefix + ".1"
    return "proposal_generator.fcos_head." + name, None


def load_r50(arrays):
    """CondInstR50 with the tensors of a file, batch norms folded."""
    network = networks.CondInstR50().eval()
    tensors = {name: torch.from_numpy(array.astype("float32"))
               for name, array in arrays.items()}
    state = {}
    for name, module in network.named_modules():
        if not isinstance(module, (torch.nn.Conv2d, torch.nn.GroupNorm)):
            continue
        conv, norm = upstream_name(name)
        weight = tensors[conv + ".weight"]
        if norm:
            mean, var, gamma, beta = (
                tensors[f"{norm}.{part}"] for part in
                ("running_mean", "running_var", "weight", "bias"))
            scale = gamma / (var + EPSILON).sqrt()
            weight = weight * scale[:, None, None, None]
            bias = beta - mean * scale
        else:
            bias = tensors[conv + ".bias"]
        state[name + ".weight"], state[name + ".bias"] = weight, bias
    state["scales"] = torch.cat([
        tensors[f"proposal_generator.fcos_head.scales.{i}.scale"]
        for i in range(5)])
    network.load_state_dict(state)
    return network


def load(kind, path):
    if kind == "r50":
        return load_r50(weights.read_safetensors(path)[0])
    network = networks.CondInstLight().eval()
    network.net.load_state_dict({
        name: torch.from_numpy(array.astype("float32")) for name, array in
        weights.read_safetensors(path)[0].items()})
    return network


# ---- the roofline ---------------------------------------------------------

class Layers(TorchDispatchMode):
    """What a network computes and moves, one entry per layer."""

    MOVES = ("native_group_norm", "max_pool2d_with_indices",
             "upsample_nearest2d", "upsample_bilinear2d")

    def __init__(self, element_bytes):
        super().__init__()
        self.element_bytes = element_bytes
        self.found = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        first = out[0] if isinstance(out, tuple) else out
        if name == "convolution":
            source, weight = args[:2]
            self.found.append({
                "op": name, "weight": list(weight.shape),
                "out": list(out.shape),
                "flop": 2 * out.numel() * weight[0].numel(),
                "bytes": self.element_bytes * (
                    source.numel() + weight.numel() + out.numel())})
        elif name in self.MOVES:
            self.found.append({
                "op": name, "out": list(first.shape), "flop": 0,
                "bytes": self.element_bytes * (
                    args[0].numel() + first.numel())})
        elif name == "add" and args[0].dim() == 4:
            # of the convolution before; the other operand is read
            self.found.append({
                "op": name, "out": list(out.shape), "flop": 0,
                "bytes": self.element_bytes * args[1].numel()})
        return out


def list_layers(kind, width, height, batch):
    """Without computing anything; of halves."""
    with torch.device("meta"), torch.no_grad():
        network = CLASSES[kind]().eval()
        layers = Layers(2)
        pixels = torch.empty(batch, 3, height, width)
        with layers:
            network(pixels)
    return layers.found


def roofline(layers, ceilings):
    """ms, of which by products and by bytes alone."""
    flops, speed = ceilings["matmul_tflops"] * 1e9, ceilings["copy_gbs"] * 1e6
    return {
        "gflop": sum(layer["flop"] for layer in layers) / 1e9,
        "gbytes": sum(layer["bytes"] for layer in layers) / 1e9,
        "products_ms": sum(layer["flop"] for layer in layers) / flops,
        "bytes_ms": sum(layer["bytes"] for layer in layers) / speed,
        "layers": len(layers),
        "ms": sum(max(layer["flop"] / flops, layer["bytes"] / speed)
                  for layer in layers)}


# ---- measuring ------------------------------------------------------------

class Clock:
    """Times calls on the device: by its own events on a GPU."""

    def __init__(self, device, runs):
        self.cuda, self.runs = device == "cuda", runs

    def sync(self):
        if self.cuda:
            torch.cuda.synchronize()

    def one(self, run):
        if not self.cuda:
            start = time.perf_counter()
            run()
            return (time.perf_counter() - start) * 1e3
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        run()
        end.record()
        end.synchronize()
        return begin.elapsed_time(end)

    def many(self, run, warm_up=10):
        for _ in range(min(warm_up, self.runs)):
            run()
        self.sync()
        ms = sorted(self.one(run) for _ in range(self.runs))
        return {"median": statistics.median(ms), "min": ms[0],
                "p99": ms[min(int(len(ms) * 0.99), len(ms) - 1)],
                "runs": len(ms)}


def measure_ceilings(clock, device, small):
    n = 256 if small else 8192
    kind = torch.float16 if device == "cuda" else torch.float32
    a, b = (torch.randn(n, n, device=device, dtype=kind) for _ in range(2))
    out = torch.empty_like(a)
    short = Clock(device, 20)
    product = short.many(lambda: torch.mm(a, b, out=out), 3)["min"]
    source = torch.empty(n * n * 32, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    copy = short.many(lambda: target.copy_(source), 3)["min"]
    return {"matmul_size": n, "matmul_tflops": 2 * n ** 3 / product / 1e9,
            "copy_bytes": source.numel(),
            "copy_gbs": 2 * source.numel() / copy / 1e6}


def mask_head(device, kind):
    """The official one: grouped convolutions over the whole map, of 100
    instances at 800x1344, and the enlargement to stride 4."""
    n, c, h, w = MASK_INSTANCES, 8, 100, 168
    features = torch.randn(1, 8, h, w, device=device, dtype=kind)
    places = torch.rand(n, 2, 1, 1, device=device, dtype=kind)
    grid = torch.stack(torch.meshgrid(
        torch.linspace(0, 1, w, device=device, dtype=kind),
        torch.linspace(0, 1, h, device=device, dtype=kind), indexing="xy"))
    sizes = [(n * c, 10), (n * c, c), (n, c)]
    kernels = [torch.randn(o, i, 1, 1, device=device, dtype=kind)
               for o, i in sizes]
    biases = [torch.randn(o, device=device, dtype=kind) for o, _ in sizes]

    def run():
        x = torch.cat((places - grid, features.expand(n, -1, -1, -1)), 1)
        x = x.reshape(1, n * 10, h, w)
        for i in range(3):
            x = F.conv2d(x, kernels[i], biases[i], groups=n)
            x = x.relu() if i < 2 else x
        return networks.aligned_bilinear(x.reshape(n, 1, h, w), 2).sigmoid()
    return run


def time_compiled(clock, network, pixels, mode):
    """Kernels made for the shape; both modes launch them as CUDA graphs."""
    begin = time.monotonic()
    torch._dynamo.reset()
    try:
        found = timed_case(clock, torch.compile(network, mode=mode,
                                                dynamic=False), pixels)
    except Exception as error:  # whatever its compilers run into
        return {"error": str(error)[:500]}
    return {**found, "compile_s": time.monotonic() - begin}


def timed_case(clock, network, pixels):
    with torch.inference_mode():
        return clock.many(lambda: network(pixels))


def describe(device):
    found = {"torch": torch.__version__, "machine": platform.machine()}
    if device == "cuda":
        found.update(gpu=torch.cuda.get_device_name(),
                     cuda=torch.version.cuda,
                     cudnn=torch.backends.cudnn.version())
    return found


def parse_arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--r50", metavar="FILE",
                        help="condinst-r50 as safetensors")
    parser.add_argument("--light", metavar="FILE", default=str(
        networks.TRAIN.parent / "weights" / "condinst-light.safetensors"))
    parser.add_argument("--cases", default=",".join(CASES),
                        help="of " + ", ".join(CASES))
    parser.add_argument("--device", default="cuda", choices=("cuda", "cpu"))
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=240,
                        help="no further network is compiled after these")
    parser.add_argument("--modes", default="reduce-overhead,max-autotune",
                        help="of torch.compile, one after the other")
    parser.add_argument("--tiny", action="store_true",
                        help="an eighth of each side: a try on a CPU")
    parser.add_argument("--output", metavar="FILE",
                        help="write JSON there after each step, too")
    return parser.parse_args()


def main():
    started = time.monotonic()
    args = parse_arguments()
    warnings.filterwarnings("ignore")
    if args.device == "cuda" and not torch.cuda.is_available():
        sys.exit("peer_torch.py: PyTorch sees no GPU here")
    torch.backends.cudnn.benchmark = True
    kind = torch.float16 if args.device == "cuda" else torch.float32
    clock = Clock(args.device, args.runs)
    result = {**describe(args.device),
              "ceilings": measure_ceilings(clock, args.device, args.tiny),
              "cases": {}, "left_out": []}

    def save():
        if args.output:
            pathlib.Path(args.output).write_text(
                json.dumps(result, indent=1) + "\n")

    def make_input(batch, width, height):
        return torch.randn(batch, 3, height, width).to(
            args.device, kind, memory_format=torch.channels_last)

    prepared = {}
    for name in args.cases.split(","):
        model, width, height, batch = CASES[name]
        path = getattr(args, model)
        if not path:
            print(f"{name} left out: no --{model}", file=sys.stderr)
            continue
        if args.tiny:
            width, height = (max(n // 8 // 32, 4) * 32 for n in (width,
                                                                 height))
        if model not in prepared:
            prepared[model] = load(model, path).to(
                args.device, kind, memory_format=torch.channels_last)
        pixels = make_input(batch, width, height)
        result["cases"][name] = {
            "input": [width, height], "batch": batch,
            "roofline": roofline(list_layers(model, width, height, batch),
                                 result["ceilings"]),
            "eager": timed_case(clock, prepared[model], pixels)}
        print(name, result["cases"][name], file=sys.stderr)
        save()
    with torch.inference_mode():
        result["mask_head"] = {"instances": MASK_INSTANCES, "eager":
                               clock.many(mask_head(args.device, kind))}
    save()
    for mode in args.modes.split(",") if args.modes else ():
        for name, case in result["cases"].items():
            if time.monotonic() - started > args.seconds:
                result["left_out"].append(f"{name} {mode}")
                continue
            width, height = case["input"]
            pixels = make_input(case["batch"], width, height)
            case[mode] = time_compiled(
                clock, prepared[CASES[name][0]], pixels, mode)
            print(name, mode, case[mode], file=sys.stderr)
            save()
    result["seconds"] = time.monotonic() - started
    save()
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
