"""What batch norm takes for the mean and variance of faces."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


@torch.no_grad()
def estimate_statistics(model: nn.Module, batches: Iterable[Tensor]) -> None:
    """Make the running statistics of `model` the means of those of `batches` of images [B, channels, H, W].

    Batch norms normalise by the batch meanwhile, everything else is in eval mode; weights stay as they are. Source:
    Wu and Johnson, Rethinking "Batch" in BatchNorm (2021), precise batch norm.
    """
    # torch's update_bn trains dropout too, whose draws no seed of the run decides
    norms = [module for module in model.eval().modules() if isinstance(module, _BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the mean of all batches alike
        norm.train()
    device = next(model.parameters()).device
    for images in batches:
        model.forward(images.to(device))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
        norm.eval()
