"""A training step on views that are ready: ours, the bare loop, the peers' cost models, and the share of the EMA."""

from collections.abc import Iterator

import torch
from loops import adacm_step, bare_step, networks, our_step, ready, usb_step
from measuring import Measurement, Options, in_turns

from fer_ssl.nn.ema import update_ema


def measure_step(options: Options) -> Iterator[Measurement]:
    """Yield our step against the best bare loop."""
    for labeled, unlabeled in options.batches:
        data = ready(labeled, unlabeled)
        pairs = in_turns(our_step(data, options.backbone), bare_step(data, options.backbone), options.repeats)
        yield pairs.seconds(f"step {labeled}+{unlabeled}", "bare loop", "<= 1.03")


def measure_peers(options: Options) -> Iterator[Measurement]:
    """Yield our step against the peers' cost models."""
    for labeled, unlabeled in options.batches:
        data = ready(labeled, unlabeled)
        ours = our_step(data, options.backbone)
        for against, peer in (("USB's FixMatch step", usb_step), ("Ada-CM's step", adacm_step)):
            pairs = in_turns(ours, peer(data, options.backbone), options.repeats)
            yield pairs.seconds(f"step {labeled}+{unlabeled}", against)


def measure_ema(options: Options) -> Iterator[Measurement]:
    """Yield the average's update against the whole bare step."""
    for labeled, unlabeled in options.batches:
        student, average = networks(options.backbone, "cpu", torch.channels_last)
        step = bare_step(ready(labeled, unlabeled), options.backbone)
        pairs = in_turns(lambda: update_ema(average, student, 0.99, "average"), step, options.repeats, calls=(10, 1))  # noqa: B023
        yield pairs.seconds(f"EMA beside a step {labeled}+{unlabeled}", "bare loop", "<= 0.01")
