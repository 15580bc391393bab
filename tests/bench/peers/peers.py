#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Times the same networks in this engine and in others, in one run.

Each round times every engine once, best of a few frames, so that whatever else
the machine does hits all alike; the best round counts. Engines that are not
installed are left out: onnxruntime, openvino, torch (TorchScript, frozen and
optimised), cv2 (OpenCV's DNN module, which may belong to another Python).
Needs torch and onnx to make the networks. Prints JSON: ms per frame, and the
ratio of this engine's time to each.
"""
import argparse
import datetime
import importlib.util
import json
import os
import pathlib
import platform
import subprocess
import sys
import tempfile
import time
import warnings

FRAMES = 5


def parse_arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--condinst", required=True,
                        help="the command line of the build to measure")
    parser.add_argument("--opencv", default="/usr/bin/python3",
                        metavar="PYTHON",
                        help="the Python that has cv2 (default: Debian's)")
    parser.add_argument("--networks", default="light-512x288,r50-320,r50-416")
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--rounds", type=int, default=5)
    return parser.parse_args()


def best_of(run, frames=FRAMES):
    best = float("inf")
    for _ in range(frames):
        start = time.perf_counter()
        run()
        best = min(best, time.perf_counter() - start)
    return best * 1e3


def ours(condinst, model, width, height, threads):
    def measure():
        out = subprocess.run(
            [condinst, "bench", model, "--size", f"{width}x{height}",
             "--threads", str(threads), "--iterations", str(FRAMES),
             "--json"], check=True, capture_output=True).stdout
        return json.loads(out)["network_ms_min"]
    return measure


def onnxruntime_engine(path, pixels, threads):
    import onnxruntime
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(
        path, options, providers=["CPUExecutionProvider"])
    feed = {session.get_inputs()[0].name: pixels.numpy()}
    return lambda: best_of(lambda: session.run(None, feed))


def openvino_engine(path, pixels, threads):
    import openvino
    compiled = openvino.Core().compile_model(path, "CPU", {
        "INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1,
        "PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"})
    request = compiled.create_infer_request()
    return lambda: best_of(lambda: request.infer([pixels.numpy()]))


def torchscript_engine(network, pixels, threads):
    import torch
    with torch.no_grad():
        script = torch.jit.freeze(torch.jit.trace(network, pixels))
        script = torch.jit.optimize_for_inference(script)

    def run():
        with torch.no_grad():
            script(pixels)

    def measure():
        torch.set_num_threads(threads)
        return best_of(run)
    return measure


def rewrite_for_opencv(path):
    """OpenCV 4.6 takes no Identity of a constant, and the limits of Clip only
    as attributes, as they were before opset 11."""
    import onnx
    model = onnx.load(path)
    nodes = model.graph.node
    source = {n.output[0]: n.input[0] for n in nodes
              if n.op_type == "Identity"}
    constant = {n.output[0]: n.attribute[0].t for n in nodes
                if n.op_type == "Constant"}
    kept = [n for n in nodes if n.op_type != "Identity"]
    for node in kept:
        for i, name in enumerate(node.input):
            while name in source:
                name = source[name]
            node.input[i] = name
        if node.op_type == "Clip":
            for limit, name in zip(("min", "max"), node.input[1:]):
                value = onnx.numpy_helper.to_array(constant[name])
                node.attribute.append(
                    onnx.helper.make_attribute(limit, float(value)))
            del node.input[1:]
    del nodes[:]
    nodes.extend(kept)
    path = path.replace(".onnx", "-opencv.onnx")
    onnx.save(model, path)
    return path


def opencv_engine(python, path, pixels, threads):
    path = rewrite_for_opencv(path)
    height, width = pixels.shape[2:]
    script = pathlib.Path(__file__).parent / "opencv_dnn.py"

    def measure():
        run = subprocess.run(
            [python, script, path, str(width), str(height), str(threads),
             str(FRAMES)], capture_output=True, text=True)
        if run.returncode:
            raise RuntimeError(run.stderr.strip())
        return float(run.stdout)
    measure()
    return measure


def find_versions(opencv_python):
    """Of the engines that are installed."""
    found = {name: __import__(name).__version__
             for name in ("onnxruntime", "openvino", "torch")
             if importlib.util.find_spec(name)}
    try:
        found["cv2"] = subprocess.run(
            [opencv_python, "-c", "import cv2; print(cv2.__version__)"],
            check=True, capture_output=True, text=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        pass
    return found


def make_engines(args, versions, name, threads, folder):
    import torch
    import networks
    _, model, width, height = networks.NETWORKS[name]
    network, pixels = networks.make(name)
    path = str(folder / f"{name}.onnx")
    if not os.path.exists(path):
        torch.onnx.export(network, (pixels,), path, opset_version=12,
                          dynamo=False)
    makers = {
        "onnxruntime": lambda: onnxruntime_engine(path, pixels, threads),
        "openvino": lambda: openvino_engine(path, pixels, threads),
        "torch": lambda: torchscript_engine(network, pixels, threads),
        "cv2": lambda: opencv_engine(args.opencv, path, pixels, threads)}
    engines = {"condinst": ours(args.condinst, model, width, height, threads)}
    for module in versions:
        try:
            engines[module] = makers[module]()
        except Exception as error:  # an engine that cannot load the network
            print(f"{module} on {name}: {error}", file=sys.stderr)
    return engines


def main():
    args = parse_arguments()
    warnings.filterwarnings("ignore")
    threads = [int(n) for n in args.threads.split(",")]
    os.environ["OMP_WAIT_POLICY"] = "passive"
    sys.path.insert(0, str(pathlib.Path(__file__).parent))
    start = {"date": datetime.datetime.now(datetime.timezone.utc).isoformat(
                 timespec="seconds"),
             "machine": platform.processor() or platform.machine(),
             "load": os.getloadavg()[0],
             "versions": find_versions(args.opencv)}
    results = []
    with tempfile.TemporaryDirectory() as folder:
        for name in args.networks.split(","):
            for n in threads:
                engines = make_engines(args, start["versions"], name, n,
                                       pathlib.Path(folder))
                best = dict.fromkeys(engines, float("inf"))
                for _ in range(args.rounds):
                    for engine, measure in engines.items():
                        best[engine] = min(best[engine], measure())
                results.append({
                    "network": name, "threads": n,
                    "ms": {e: round(v, 2) for e, v in best.items()},
                    "ratio": {e: round(best["condinst"] / v, 3)
                              for e, v in best.items() if e != "condinst"}})
                print(results[-1], file=sys.stderr)
    print(json.dumps({**start, "results": results}, indent=1))


if __name__ == "__main__":
    main()
