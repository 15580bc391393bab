#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""opencv_dnn.py NETWORK.onnx WIDTH HEIGHT THREADS FRAMES: the best ms of a
frame in OpenCV's DNN module; apart from peers.py, as Debian's OpenCV belongs
to the system's Python and NumPy."""
import sys
import time

import cv2
import numpy


def main():
    path = sys.argv[1]
    width, height, threads, frames = map(int, sys.argv[2:])
    cv2.setNumThreads(threads)
    net = cv2.dnn.readNetFromONNX(path)
    names = net.getUnconnectedOutLayersNames()
    pixels = numpy.random.default_rng(0).random((1, 3, height, width),
                                                numpy.float32)
    best = float("inf")
    for _ in range(frames + 1):  # the first one prepares, too
        start = time.perf_counter()
        net.setInput(pixels)
        net.forward(names)
        best = min(best, time.perf_counter() - start)
    print(best * 1e3)


if __name__ == "__main__":
    main()
