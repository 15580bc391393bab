#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Compiles all kernels for all GPUs, warnings as errors, and compares what each
takes (registers of a thread; stack, spills and shared memory in bytes) with the
table in resources.txt. Fails where a kernel takes a quarter more registers than
there, or more stack, spills or shared memory, or is not in it.

BUILD is a folder that meson has set up with -Dgpu-archs=all; nothing is built
in it."""
import argparse
import concurrent.futures
import os
import pathlib
import re
import shlex
import subprocess
import sys
import tempfile

TABLE = pathlib.Path(__file__).with_name("resources.txt")
HOW_TO_ACCEPT = "tools/check --only cuda --accept-resources"
ENTRY = re.compile(r"Compiling entry function '(\S+)' for 'sm_(\d+)'")
PROPERTIES = re.compile(r"Function properties for (\S+)")
STACK = re.compile(r"(\d+) bytes stack frame, (\d+) bytes spill stores, "
                   r"(\d+) bytes spill loads")
USED = re.compile(r"Used (\d+) registers")
SHARED = re.compile(r"(\d+) bytes smem")


def nvcc_commands(build):
    """(command without an architecture, options of one), for each pair."""
    lines = subprocess.run(
        ["ninja", "-C", build, "-t", "commands",
         "kernels/cuda/condinst-cuda.so"],
        check=True, capture_output=True, text=True).stdout.splitlines()
    for line in lines:
        words = shlex.split(line)
        if not words or pathlib.Path(words[0]).name != "nvcc":
            continue
        rest, archs = [], []
        words = iter(words)
        for word in words:
            if word == "-gencode":
                arch = next(words)
                if "code=sm_" in arch:
                    archs.append(arch)
            elif word in ("--threads", "-MF", "-MT", "-o"):
                next(words)
            elif word not in ("-MMD", "-c"):
                rest.append(word)
        for arch in archs:
            yield rest, arch


def compile_one(build, command, arch):
    """What nvcc says."""
    with tempfile.TemporaryDirectory() as folder:
        run = subprocess.run(
            [*command, "-gencode", arch, "-Xptxas", "-v", "-cubin", "-o",
             os.path.join(folder, "out.cubin")],
            cwd=build, capture_output=True, text=True)
    said = run.stdout + run.stderr
    if run.returncode:
        sys.exit(f"{shlex.join(command)} -gencode {arch}\n{said}")
    return said


def kernel_name(mangled):
    found = re.match(r"_Z(\d+)(\w+)", mangled)
    name = found[2][:int(found[1])] if found else mangled
    return name.removeprefix("run_")


def parse(said):
    """{(kernel, architecture): (registers, stack, spills, shared)}"""
    found, key, function, stack, spills = {}, None, None, 0, 0
    for line in said.splitlines():
        if entry := ENTRY.search(line):
            function, key = entry[1], (kernel_name(entry[1]), int(entry[2]))
            stack = spills = 0
            current = function
        elif properties := PROPERTIES.search(line):
            current = properties[1]
        elif key and (sizes := STACK.search(line)):
            # functions that are called: the stack of a kernel includes theirs
            if current == function:
                stack = int(sizes[1])
            spills += int(sizes[2]) + int(sizes[3])
        elif key and (used := USED.search(line)):
            shared = SHARED.search(line)
            found[key] = (int(used[1]), stack, spills,
                          int(shared[1]) if shared else 0)
            key = None
    return found


def measure(build):
    found = {}
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        jobs = [pool.submit(compile_one, build, *job)
                for job in nvcc_commands(build)]
        for job in jobs:
            found.update(parse(job.result()))
    return found


def write_table(found, release):
    archs = sorted({arch for _, arch in found})
    rows = [["kernel", "shared", *(f"sm_{arch}" for arch in archs)]]
    for name in sorted({name for name, _ in found}):
        cells = [found.get((name, arch)) for arch in archs]
        rows.append([name, str(max(c[3] for c in cells if c))] + [
            "-" if not c else f"{c[0]}+{c[1]}/{c[2]}" if c[1] or c[2]
            else str(c[0]) for c in cells])
    widths = [max(map(len, column)) for column in zip(*rows)]
    lines = [f"# nvcc {release}; bytes of shared memory, and of each "
             "architecture: registers,",
             "# or registers+stack/spills in bytes. To take over what is: "
             f"{HOW_TO_ACCEPT}"]
    lines += ["  ".join(cell.ljust(width) for cell, width in
                        zip(row, widths)).rstrip() for row in rows]
    TABLE.write_text("\n".join(lines) + "\n")


def read_table():
    """The table as parse() gives it, and the release of nvcc that made it."""
    if not TABLE.exists():
        return {}, None
    lines = TABLE.read_text().splitlines()
    release = re.search(r"nvcc ([\d.]+)", lines[0])[1]
    rows = [line.split() for line in lines if not line.startswith("#")]
    known = {}
    for name, shared, *cells in rows[1:]:
        for arch, cell in zip(rows[0][2:], cells):
            if cell != "-":
                registers, stack, spills = map(
                    int, (re.split(r"[+/]", cell) + ["0", "0"])[:3])
                known[name, int(arch.removeprefix("sm_"))] = (
                    registers, stack, spills, int(shared))
    return known, release


def compare(found, known):
    """Complaints, one per kernel."""
    worse = {}
    for (name, arch), now in sorted(found.items()):
        if (name, arch) not in known:
            worse.setdefault(name, f"{name} is not in {TABLE.name}")
            continue
        before = known[name, arch]
        more = [f"{what} {a} -> {b}" for what, a, b, limit in (
            ("registers", before[0], now[0], before[0] * 1.25),
            ("stack", before[1], now[1], before[1]),
            ("spills", before[2], now[2], before[2]),
            ("shared memory", before[3], now[3], before[3])) if b > limit]
        if more:
            worse.setdefault(name, f"{name} on sm_{arch}: {', '.join(more)}")
    for name in sorted({n for n, _ in known} - {n for n, _ in found}):
        worse[name] = f"{name} is in {TABLE.name} and nowhere else"
    return list(worse.values())


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("build", metavar="BUILD")
    parser.add_argument("--accept", action="store_true",
                        help="write the table")
    args = parser.parse_args()
    found = measure(args.build)
    if not found:
        sys.exit("ptxas said nothing of any kernel")
    command = next(nvcc_commands(args.build))[0]
    said = subprocess.run([command[0], "--version"], check=True,
                          capture_output=True, text=True).stdout
    release = re.search(r"release ([\d.]+)", said)[1]
    known, known_release = read_table()
    print(f"{len(found)} kernels and architectures, nvcc {release}")
    if args.accept:
        write_table(found, release)
        return
    if known_release not in (None, release):
        print(f"not compared: {TABLE.name} is of nvcc {known_release}")
        return
    complaints = compare(found, known)
    for complaint in complaints:
        print(complaint)
    if complaints:
        sys.exit(f"If that has to be: {HOW_TO_ACCEPT}")


if __name__ == "__main__":
    main()
