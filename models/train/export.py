# SPDX-License-Identifier: LGPL-2.1-or-later
"""Exports the averaged weights of a checkpoint, batch norms folded."""
import argparse

import torch

import weights
from network import CondInst, folded


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", help="checkpoint.pt of train.py")
    parser.add_argument("output", help="safetensors file")
    parser.add_argument("--score-threshold", type=float, default=0.5,
                        help="from which score showing an object makes sense "
                        "(evaluate.py proposes one)")
    args = parser.parse_args()
    model = CondInst()
    model.load_state_dict(
        torch.load(args.checkpoint, map_location="cpu")["average"])
    weights.export(folded(model), args.output, args.score_threshold)


if __name__ == "__main__":
    main()
