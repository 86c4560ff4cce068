"""A backbone whose convolutions of small maps are matrix products against the same with plain ones."""

import copy
from collections.abc import Iterator

import timm
import torch
from loops import autocast, prepared, ready
from measuring import Measurement, Options, Run, in_turns
from torch import nn

from fer_ssl.nn.small_maps import dense_on_small_maps


def forward_and_backward(network: nn.Module, images: torch.Tensor) -> Run:
    """Return a pass over `images` with the gradients of all weights."""

    def run() -> None:
        with autocast("cpu"):
            features = network(images)
        features.float().square().mean().backward()
        network.zero_grad()

    return run


def measure_small_maps(options: Options) -> Iterator[Measurement]:
    """Yield forward and backward of backbones at 48 px, small maps as products against plain convolutions."""
    for backbone in ("test_resnet",) if options.quick else ("resnet10t", "resnet18"):
        for count in (16,) if options.quick else (64, 320):
            plain = timm.create_model(backbone, num_classes=0).to(memory_format=torch.channels_last)
            dense = dense_on_small_maps(copy.deepcopy(plain))
            images = prepared(ready(count, 0).labeled, torch.channels_last)
            sides = (forward_and_backward(network, images) for network in (dense, plain))
            yield in_turns(*sides, options.repeats).seconds(f"{backbone}, {count} faces", "plain convolutions", "< 1")
