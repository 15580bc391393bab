# SPDX-License-Identifier: LGPL-2.1-or-later
"""Trains the light CondInst network.

Ends after --steps, or at a time of day with --until: the learning rate then
follows the clock, so that it reaches its end whatever the speed.
"""
import argparse
import copy
import datetime
import math
import pathlib
import time

import torch

from data import TrainingSet, collate, load_pictures
from losses import Locations, condinst_losses
from network import CondInst, normalise

# progress at which it starts, crop size, share of mosaics, of pasted objects,
# range of a picture's short side in crops
STAGES = ((0.0, 256, 0.35, 0.3, 0.9, 1.8),
          (0.55, 320, 0.25, 0.3, 0.8, 1.5),
          (0.85, 320, 0.0, 0.1, 0.8, 1.4))
LR_HEADS, LR_BACKBONE = 1e-3, 1.5e-4
WEIGHT_DECAY = 0.02
WARMUP_STEPS = 200
CLIP_NORM = 5.0
EMA_DECAY = 0.998


class Schedule:
    """Progress from 0 to 1, by steps or by the clock."""

    def __init__(self, steps, until):
        self.steps = steps
        self.seconds = None
        if until:
            end = datetime.datetime.combine(
                datetime.date.today(), datetime.time.fromisoformat(until))
            if end < datetime.datetime.now():
                end += datetime.timedelta(days=1)
            self.seconds = (end - datetime.datetime.now()).total_seconds()
        self.start = time.monotonic()
        self.resumed_at = 0.0

    def progress(self, step):
        if self.steps:
            return min(step / self.steps, 1.0)
        share = (time.monotonic() - self.start) / self.seconds
        return min(self.resumed_at + (1 - self.resumed_at) * share, 1.0)


class Average:
    """Exponential moving average of the network, norm statistics included."""

    def __init__(self, model):
        self.model = copy.deepcopy(model).eval()

    @torch.no_grad()
    def update(self, model, step):
        decay = min(EMA_DECAY, (1 + step) / (10 + step))
        for mean, value in zip(self.model.state_dict().values(),
                               model.state_dict().values()):
            if mean.is_floating_point():
                mean.lerp_(value, 1 - decay)
            else:
                mean.copy_(value)


def parameter_groups(model):
    groups = {}
    for name, p in model.named_parameters():
        if not p.requires_grad:
            continue
        lr = LR_BACKBONE if ".bottom_up." in name else LR_HEADS
        decay = WEIGHT_DECAY if p.dim() > 1 else 0.0
        groups.setdefault((lr, decay), []).append(p)
    return [{"params": params, "lr": lr, "peak": lr, "weight_decay": decay}
            for (lr, decay), params in groups.items()]


def set_learning_rate(optimiser, step, progress, peak):
    factor = peak * 0.5 * (1 + math.cos(math.pi * progress))
    factor *= min((step + 1) / WARMUP_STEPS, 1.0)
    for group in optimiser.param_groups:
        group["lr"] = group["peak"] * factor


def to_device(batch, device):
    return {k: ([t.to(device) for t in v] if isinstance(v, list)
                else v.to(device)) for k, v in batch.items()}


def train_step(model, optimiser, batch):
    pixels = normalise(batch["pixels"]).contiguous(
        memory_format=torch.channels_last)
    outputs = model(pixels)
    loc = Locations([x.shape[2:] for x in outputs[0]], pixels.device)
    losses = condinst_losses(model, outputs, batch, loc)
    optimiser.zero_grad()
    sum(losses.values()).backward()
    norm = torch.nn.utils.clip_grad_norm_(
        [p for p in model.parameters() if p.requires_grad], CLIP_NORM)
    if torch.isfinite(norm):
        optimiser.step()
    return {k: v.item() for k, v in losses.items()}


def save(path, model, average, optimiser, step, pictures, progress):
    state = {"model": model.state_dict(),
             "average": average.model.state_dict(),
             "optimiser": optimiser.state_dict(),
             "step": step, "pictures": pictures, "progress": progress}
    partial = path.with_suffix(".part")
    torch.save(state, partial)
    partial.replace(path)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True,
                        help="folder with instances_train.json and images/")
    parser.add_argument("--backbone", required=True,
                        help="mobilenet_v2_imagenet.npz")
    parser.add_argument("--output", required=True, type=pathlib.Path,
                        help="folder for checkpoint.pt")
    length = parser.add_mutually_exclusive_group(required=True)
    length.add_argument("--steps", type=int)
    length.add_argument("--until", metavar="HH:MM", help="local time")
    parser.add_argument("--resume", action="store_true",
                        help="go on from the checkpoint in --output")
    parser.add_argument("--start", metavar="CHECKPOINT",
                        help="start from the averaged weights of another run")
    parser.add_argument("--peak", type=float, default=1.0,
                        help="factor on the learning rates")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--epoch", type=int, default=800,
                        help="pictures between two checkpoints")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()

    torch.manual_seed(args.seed)
    torch.set_flush_denormal(True)
    torch.backends.cudnn.benchmark = True
    args.output.mkdir(parents=True, exist_ok=True)
    checkpoint = args.output / "checkpoint.pt"

    model = CondInst()
    model.backbone.bottom_up.load_imagenet(args.backbone)
    if args.start:
        state = torch.load(args.start, map_location="cpu")
        model.load_state_dict(state["average"])
    model = model.to(args.device, memory_format=torch.channels_last).train()
    average = Average(model)
    optimiser = torch.optim.AdamW(parameter_groups(model))
    schedule = Schedule(args.steps, args.until)
    step = seen = 0
    if args.resume:
        state = torch.load(checkpoint, map_location=args.device)
        model.load_state_dict(state["model"])
        average.model.load_state_dict(state["average"])
        optimiser.load_state_dict(state["optimiser"])
        step, seen = state["step"], state["pictures"]
        schedule.resumed_at = state["progress"]

    pictures = load_pictures(args.data, "train")
    print(f"{len(pictures)} pictures", flush=True)
    progress = schedule.progress(step)
    while progress < 1:
        stage = [s[1:] for s in STAGES if s[0] <= progress][-1]
        loader = torch.utils.data.DataLoader(
            TrainingSet(pictures, args.epoch, args.seed + step, *stage),
            batch_size=args.batch, num_workers=args.workers,
            collate_fn=collate, drop_last=True)
        began, sums, steps = time.monotonic(), {}, 0
        for batch in loader:
            set_learning_rate(optimiser, step, progress, args.peak)
            losses = train_step(model, optimiser,
                                to_device(batch, args.device))
            step, seen, steps = step + 1, seen + args.batch, steps + 1
            average.update(model, step)
            for key, value in losses.items():
                sums[key] = sums.get(key, 0.0) + value
            progress = schedule.progress(step)
            if progress >= 1:
                break
        save(checkpoint, model, average, optimiser, step, seen, progress)
        rate = steps * args.batch / (time.monotonic() - began)
        print(f"step {step}  pictures {seen}  progress {progress:.3f}"
              f"  size {stage[0]}  {rate:.1f}/s  "
              + "  ".join(f"{k} {v / steps:.3f}"
                          for k, v in sums.items()), flush=True)


if __name__ == "__main__":
    main()
