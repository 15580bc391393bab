#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Times the same networks in this engine and in others, in one run.

Each round times every engine once, best of a few frames, so that whatever else
the machine does hits all alike; the best round counts. Engines that are not
installed are left out: onnxruntime, openvino, torch (TorchScript, frozen and
optimised), cv2. Needs torch and onnx to make the networks. Prints JSON: ms per
frame, and the ratio of this engine's time to each.
"""
import argparse
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


def opencv_engine(path, pixels, threads):
    import cv2
    net = cv2.dnn.readNetFromONNX(path)
    names = net.getUnconnectedOutLayersNames()

    def run():
        net.setInput(pixels.numpy())
        net.forward(names)

    def measure():
        cv2.setNumThreads(threads)
        return best_of(run)
    return measure


def make_engines(args, name, threads, folder):
    import torch
    import networks
    _, model, width, height = networks.NETWORKS[name]
    network, pixels = networks.make(name)
    path = str(folder / f"{name}.onnx")
    if not os.path.exists(path):
        torch.onnx.export(network, (pixels,), path, opset_version=17,
                          dynamo=False)
    makers = {
        "onnxruntime": lambda: onnxruntime_engine(path, pixels, threads),
        "openvino": lambda: openvino_engine(path, pixels, threads),
        "torch": lambda: torchscript_engine(network, pixels, threads),
        "cv2": lambda: opencv_engine(path, pixels, threads)}
    engines = {"condinst": ours(args.condinst, model, width, height, threads)}
    for module, maker in makers.items():
        if not importlib.util.find_spec(module):
            continue
        try:
            engines[module] = maker()
        except Exception as error:  # an engine that cannot load the network
            print(f"{module} on {name}: {error}", file=sys.stderr)
    return engines


def version(module):
    if module == "condinst":
        return None
    return __import__(module).__version__


def main():
    args = parse_arguments()
    warnings.filterwarnings("ignore")
    threads = [int(n) for n in args.threads.split(",")]
    os.environ["OMP_WAIT_POLICY"] = "passive"
    sys.path.insert(0, str(pathlib.Path(__file__).parent))
    results, versions = [], {}
    with tempfile.TemporaryDirectory() as folder:
        for name in args.networks.split(","):
            for n in threads:
                engines = make_engines(args, name, n, pathlib.Path(folder))
                best = dict.fromkeys(engines, float("inf"))
                for _ in range(args.rounds):
                    for engine, measure in engines.items():
                        best[engine] = min(best[engine], measure())
                versions |= {e: version(e) for e in engines}
                results.append({
                    "network": name, "threads": n,
                    "ms": {e: round(v, 2) for e, v in best.items()},
                    "ratio": {e: round(best["condinst"] / v, 3)
                              for e, v in best.items() if e != "condinst"}})
                print(results[-1], file=sys.stderr)
    print(json.dumps({"machine": platform.processor() or platform.machine(),
                      "load": os.getloadavg()[0], "versions": versions,
                      "results": results}, indent=1))


if __name__ == "__main__":
    main()
