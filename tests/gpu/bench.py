#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Joins what `condinst bench` measures on a GPU with what
tests/bench/peer_torch.py measured there (--peer), and compares with the aims of
docs/performance.md. With --zoo, measures the other methods' networks instead,
at several numbers of objects. Prints a table, writes JSON; all times in ms."""
import argparse
import json
import pathlib
import subprocess
import sys

# case of peer_torch.py: model, size of the input, frames in a batch, and the
# aims: ms of a batch, and the part of the roofline
CASES = {
    "r50-1344x800": ("random:condinst-r50", "1344x800", 1,
                     {"ms": 2.0, "of_roofline": 0.40, "eager": 2.0,
                      "compile": 1.3, "p99/p50": 1.2}),
    "r50-550x550": ("random:condinst-r50", "550x550", 1,
                    {"ms": 0.9, "eager": 2.0, "compile": 1.3,
                     "p99/p50": 1.2}),
    "light-512x288": ("condinst-light", "512x288", 1,
                      {"ms": 0.35, "eager": 2.0, "compile": 1.3,
                       "p99/p50": 1.2}),
    "r50-1344x800-b8": ("random:condinst-r50", "1344x800", 8,
                        {"of_roofline": 0.55}),
    "r50-550x550-b8": ("random:condinst-r50", "550x550", 8, {}),
    "light-512x288-b8": ("condinst-light", "512x288", 8, {}),
}
INSTANCES = 10
MASK_HEAD_CASE, MASK_HEAD_MS = "r50-1344x800", 0.1
MODES = ("reduce-overhead", "max-autotune")

# networks of --zoo, at their own size: those that differ most come first, since
# there may be no time for all
ZOO = ("maskrcnn-r50", "solov2-r50", "yolact-r50", "pointrend-r50", "solo-r50",
       "solov2-light-448-r18", "yolact-plus-r50", "yolact-darknet53",
       "yolact-r101")
ZOO_INSTANCES = (1, 10, 100)
ABSENT = "not in this build"
ZOO_STAGES = ("preprocess_ms", "network_ms", "decode_ms", "masks_ms",
              "frame_ms")


def parse_arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--condinst", required=True,
                        help="the command line of the build to measure")
    parser.add_argument("--peer", metavar="FILE",
                        help="JSON of peer_torch.py from the same machine")
    parser.add_argument("--output", metavar="FILE", help="JSON to write")
    parser.add_argument("--zoo", action="store_true",
                        help="measure the other methods' networks")
    parser.add_argument("--iterations", type=int, default=500)
    parser.add_argument("--provider", default="cuda")
    parser.add_argument("--precision", default="fp16")
    return parser.parse_args()


def bench(args, model, size, batch, instances):
    """What `condinst bench` says, or its complaint. size None: the model's."""
    command = [args.condinst, "bench", model, "--instances", str(instances),
               "--batch", str(batch), "--iterations",
               str(args.iterations if args.zoo else
                   max(args.iterations // batch, 100)),
               "--execution-provider", args.provider, "--precision",
               args.precision, "--json"] + (["--size", size] if size else [])
    run = subprocess.run(command, capture_output=True, text=True)
    if f"there is no model {model}" in run.stderr:
        return {"error": ABSENT}
    if run.returncode:
        return {"error": run.stderr.strip()[-500:] or f"rc {run.returncode}"}
    return json.loads(run.stdout)


def fastest_compiled(peer):
    times = [peer[mode]["median"] for mode in MODES
             if "median" in peer.get(mode, {})]
    return min(times) if times else None


def compare(ours, peer, aims):
    """The figures that aims are for, as far as there are any."""
    batch = ours.get("batch", 1)
    found = {"ms": batch * ours["network_ms_median"]}
    if "network_ms_p99" in ours:
        found["p99/p50"] = (ours["network_ms_p99"]
                            / ours["network_ms_median"])
    if peer:
        found["roofline_ms"] = peer["roofline"]["ms"]
        found["of_roofline"] = peer["roofline"]["ms"] / found["ms"]
        found["eager"] = peer["eager"]["median"] / found["ms"]
        compiled = fastest_compiled(peer)
        if compiled:
            found["compile"] = compiled / found["ms"]
    at_most = ("ms", "p99/p50")
    missed = [name for name, aim in aims.items() if name in found and
              (found[name] > aim if name in at_most else found[name] < aim)]
    return {**found, "missed": missed,
            "not_measured": [name for name in aims if name not in found]}


def measure_mask_head(args):
    """What the masks of 100 objects add to a frame that has none."""
    model, size = CASES[MASK_HEAD_CASE][:2]
    none, many = (bench(args, model, size, 1, n) for n in (0, 100))
    if "error" in none or "error" in many:
        return {"error": none.get("error", many.get("error"))}
    found = {"instances": many["instances"],
             "ms": many["stages"]["masks_ms"] - none["stages"]["masks_ms"]}
    return {**found, "missed": ["ms"] if found["ms"] > MASK_HEAD_MS else []}


def write(args, result):
    if args.output:
        pathlib.Path(args.output).write_text(json.dumps(result, indent=1)
                                             + "\n")


def table_cell(value):
    return f"{value:.3g}" if isinstance(value, float) else "-"


def print_table(result):
    columns = ("ms", "p99/p50", "roofline_ms", "of_roofline", "eager",
               "compile")
    print("| network | " + " | ".join(columns) + " | missed |")
    print("| --- " * (len(columns) + 2) + "|")
    for name, case in result["cases"].items():
        figures = case.get("compared")
        if figures is None:
            print(f"| {name} | {case['ours']['error']} |")
            continue
        print(f"| {name} | " + " | ".join(
            table_cell(figures.get(c)) for c in columns)
            + f" | {', '.join(figures['missed'])} |")
    head = result["mask_head"]
    print("mask head:", head.get("error") or
          f"{head['ms']:.3f} ms for {head['instances']} objects")
    if result.get("ceilings"):
        print("ceilings:", ", ".join(
            f"{result['ceilings'][k]:.0f} {unit}" for k, unit in
            (("matmul_tflops", "TFLOP/s"), ("copy_gbs", "GB/s"))))


def measure_zoo(args):
    """All networks of ZOO; one that this build does not have is no failure."""
    result = {"zoo": {}}
    failed = []
    print("| network | objects | " + " | ".join(ZOO_STAGES) + " |")
    print("| --- " * (len(ZOO_STAGES) + 2) + "|", flush=True)
    for name in ZOO:
        rows = result["zoo"][name] = []
        for n in ZOO_INSTANCES:
            ours = bench(args, f"random:{name}", None, 1, n)
            rows.append(ours)
            write(args, result)  # there may be no time for the next one
            if "error" in ours:
                print(f"| {name} | {n} | {ours['error']} |", flush=True)
                if ours["error"] != ABSENT:
                    failed.append(name)
                break
            stages = {**ours["stages"], "frame_ms": ours["frame_ms"]}
            print(f"| {name} | {ours['instances']} | " + " | ".join(
                table_cell(stages[s]) for s in ZOO_STAGES) + " |", flush=True)
    if failed:
        sys.exit(f"not measured: {', '.join(failed)}")


def main():
    args = parse_arguments()
    if args.zoo:
        measure_zoo(args)
        return
    peer = json.loads(pathlib.Path(args.peer).read_text()) if args.peer else {}
    result = {"ceilings": peer.get("ceilings"), "cases": {}}
    for name, (model, size, batch, aims) in CASES.items():
        ours = bench(args, model, size, batch, INSTANCES)
        case = result["cases"][name] = {"ours": ours}
        if "error" not in ours:
            case["compared"] = compare(
                ours, peer.get("cases", {}).get(name), aims)
        write(args, result)  # there may be no time for the next one
    result["mask_head"] = measure_mask_head(args)
    if "mask_head" in peer:
        result["mask_head"]["torch_ms"] = peer["mask_head"]["eager"]["median"]
    result["peer"] = peer
    write(args, result)
    print_table(result)
    failed = [n for n, c in result["cases"].items() if "error" in c["ours"]]
    if failed or "error" in result["mask_head"]:
        sys.exit(f"not measured: {', '.join(failed) or 'mask head'}")


if __name__ == "__main__":
    main()
