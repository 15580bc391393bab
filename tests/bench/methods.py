#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Times the methods beside each other, as their papers do: the same input, the
same machine, network and masks apart, masks of 1, 10 and 100 objects. Networks
have made-up weights, which cost what trained ones cost.

Each round times every network once, so that whatever else the machine does hits
all alike; the best round counts. With --torchvision, Mask R-CNN of the
torchvision that this Python has is timed in the same rounds, with weights that
let as many proposals and objects through. Prints JSON, all times in ms."""
import argparse
import json
import subprocess
import sys
import time

MODELS = ("condinst-r50,blendmask-r50,yolact-r50,yolact-plus-r50,maskrcnn-r50,"
          "pointrend-r50,solo-r50,decoupled-solo-r50,solov2-r50")
STAGES = ("preprocess", "network", "decode", "masks", "overlay")


def parse_arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--condinst", required=True,
                        help="the command line of the build to measure")
    parser.add_argument("--models", default=MODELS)
    parser.add_argument("--size", default="544x544",
                        help="of the network's input; own: each model's")
    parser.add_argument("--frame", default="720x720",
                        help="a square: YOLACT stretches others")
    parser.add_argument("--instances", default="1,10,100")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--iterations", type=int, default=3)
    parser.add_argument("--execution-provider", default="cpu")
    parser.add_argument("--torchvision", action="store_true")
    return parser.parse_args()


def bench(args, model, instances):
    """Best times of the stages, objects, and the size of the input."""
    command = [args.condinst, "bench", "random:" + model, "--frame",
               args.frame, "--instances", str(instances), "--iterations",
               str(args.iterations), "--threads", str(args.threads),
               "--execution-provider", args.execution_provider, "--json"]
    if args.size != "own":
        command += ["--size", args.size]
    run = subprocess.run(command, capture_output=True, text=True)
    if run.returncode:
        sys.exit(f"{model}: {run.stderr.strip()}")
    found = json.loads(run.stdout)
    best = {s: found["stages_min"][s + "_ms"] for s in STAGES}
    return best, {"instances": found["instances"], "input": found["input"],
                  "gflop": found["gflop"]}


class Torchvision:
    """Mask R-CNN (ResNet-50) with random weights, but for biases of scores."""

    def __init__(self, args):
        import torch
        import torchvision
        torch.manual_seed(1)
        if args.threads:
            torch.set_num_threads(args.threads)
        self.torch = torch
        width, height = map(int, args.size.split("x"))
        self.pixels = [torch.rand(3, height, width)]
        self.model = torchvision.models.detection.maskrcnn_resnet50_fpn(
            weights=None, weights_backbone=None, min_size=min(width, height),
            max_size=max(width, height)).eval()
        # objects everywhere, so that the wanted number is found
        self.model.roi_heads.score_thresh = 0
        self.heads = self.model.roi_heads
        self.spent = 0.0
        for part in (self.heads.mask_roi_pool, self.heads.mask_head,
                     self.heads.mask_predictor):
            self.watch(part)

    def watch(self, part):
        """Adds up the time of what makes masks."""
        forward = part.forward

        def timed(*values, **named):
            start = time.perf_counter()
            result = forward(*values, **named)
            self.spent += time.perf_counter() - start
            return result
        part.forward = timed

    def run(self, instances):
        self.heads.detections_per_img = instances
        best = (float("inf"), 0.0, 0)
        with self.torch.inference_mode():
            for _ in range(2):
                self.spent = 0.0
                start = time.perf_counter()
                found = self.model(self.pixels)[0]
                whole = time.perf_counter() - start
                best = min(best, (whole, self.spent, len(found["boxes"])))
        return {"frame": best[0] * 1e3, "masks": best[1] * 1e3,
                "instances": best[2]}


def main():
    args = parse_arguments()
    counts = [int(n) for n in args.instances.split(",")]
    models = args.models.split(",")
    peer = Torchvision(args) if args.torchvision else None
    table = {}
    for _ in range(args.rounds):
        for n in counts:
            for model in models:
                times, about = bench(args, model, n)
                entry = table.setdefault((model, n), {**about, **times})
                for stage in STAGES:
                    entry[stage] = min(entry[stage], times[stage])
            if peer:
                times = peer.run(n)
                entry = table.setdefault(("torchvision maskrcnn-r50", n),
                                         times)
                if times["frame"] < entry["frame"]:
                    entry.update(times)
    for (model, n), entry in sorted(table.items()):
        print(model, n, entry, file=sys.stderr)
    json.dump([{"model": model, "wanted": n, **entry}
               for (model, n), entry in sorted(table.items())],
              sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
