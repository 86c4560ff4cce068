"""Which views of a step share a pass of the student, and with it the statistics of batch norm."""

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from fer_ssl.types import Output

Passes = Literal["one", "two", "each"]
Outputs = dict[str, Output]
CLEAN = {"weak", "weak2", "labeled"}  # views like the faces that are evaluated


def forward_passes(network: nn.Module, images: Mapping[str, Tensor], passes: Passes, shown: Collection[str]) -> Outputs:
    """Run `network` over all views, each of images [B, channels, H, W], and return its output for each.

    `one` pass takes all views together; `two` take the clean ones, then the others, which running statistics do not
    follow, so that these are of such faces as are evaluated, unless no view is clean of all that are `shown` in a step,
    in this call or another; `each` view has a pass of its own, in the order given.
    Source of `two`: the auxiliary batch norm of AdvProp (Xie et al., CVPR 2020), here without weights of its own.
    """
    if passes == "each":
        return {name: network(view) for name, view in images.items()}
    if passes == "one" or CLEAN.isdisjoint(shown):
        return forward_views(network, images)
    clean = {name: view for name, view in images.items() if name in CLEAN}
    outputs = forward_views(network, clean)
    with running_statistics_kept(network):
        return outputs | forward_views(network, {name: view for name, view in images.items() if name not in clean})


def forward_views(network: Callable[[Tensor], Output], images: Mapping[str, Tensor]) -> Outputs:
    """Run `network` once over all views and return its output for each."""
    if len(images) <= 1:
        return {name: network(view) for name, view in images.items()}
    output = network(torch.cat(list(images.values())))
    sizes = [len(view) for view in images.values()]
    parts = zip(output.logits.split(sizes), output.embeddings.split(sizes), strict=True)
    return {name: Output(*part) for name, part in zip(images, parts, strict=True)}


@contextmanager
def running_statistics_kept(network: nn.Module) -> Iterator[None]:
    """Leave the running statistics of `network`'s batch norms as they are meanwhile."""
    norms = [module for module in network.modules() if isinstance(module, _BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
