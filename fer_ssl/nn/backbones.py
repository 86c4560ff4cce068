"""Backbones that turn faces into features."""

from collections.abc import Sequence
from itertools import pairwise

import timm
import torch
from torch import nn

from fer_ssl.errors import ConfigError


def timm_backbone(name: str, pretrained: bool = False, drop_rate: float = 0.0) -> nn.Module:
    """Return a timm model without its classifier; `num_features` says how wide its features are.

    It starts from timm's `pretrained` weights. Raises ConfigError for a name or a tag timm does not know and for
    pretrained weights that cannot be had.
    """
    _require_known(name)
    try:
        backbone: nn.Module = timm.create_model(name, pretrained=pretrained, num_classes=0, drop_rate=drop_rate)
    except (OSError, RuntimeError, ValueError) as error:
        if not pretrained:
            raise
        reason = str(error).partition("\n")[0]
        raise ConfigError(
            f"timm's weights of {name!r} cannot be had ({reason}); go online once, or set backbone.pretrained=false "
            "and backbone.init=<a file of its weights>"
        ) from None
    backbone.num_features = getattr(backbone, "head_hidden_size", backbone.num_features)  # what a last layer widens to
    return backbone


def _require_known(name: str) -> None:
    arch = name.partition(".")[0]
    tagged = timm.list_models(f"{arch}.*", include_tags=True)
    if timm.is_model(name) and name in (arch, *tagged):
        return
    near = ", ".join((tagged or timm.list_models(f"*{arch}*"))[:6]) or "see timm.list_models()"
    raise ConfigError(f"timm has no model {name!r}; set backbone.name to one it has ({near})")


def require_size(backbone: nn.Module, image_size: int) -> None:
    """Raise ConfigError where a network that tells its size, as timm's do, takes no faces of `image_size` px.

    Only a face tells, for networks that name no fixed size fail on maps smaller than their kernels as well.
    """
    of_timm = getattr(backbone, "default_cfg", {}).get("input_size", (image_size,))[-1]
    own = getattr(backbone, "image_size", of_timm)
    if own == image_size:
        return
    training = backbone.training
    try:
        with torch.no_grad():
            backbone.eval()(torch.zeros(1, 3, image_size, image_size))
    except (AssertionError, RuntimeError) as error:
        reason = str(error).partition("\n")[0].rstrip(".")
        raise ConfigError(f"the backbone takes no faces of {image_size} px ({reason}); set image_size={own}") from None
    backbone.train(training)


class SmallConvNet(nn.Sequential):
    """Six 3x3 convolutions with batch norm, for faces of about 48 px on a CPU; a fifth of resnet10t's cost.

    `widths` are the channels of the layers, of which the first, second, fourth and last halve the resolution.
    """

    def __init__(self, widths: Sequence[int] = (24, 48, 48, 64, 96, 128)) -> None:
        layers: list[nn.Module] = []
        for layer, (before, width) in enumerate(pairwise((3, *widths))):
            stride = 2 if layer in (0, 1, 3, len(widths) - 1) else 1
            layers += [nn.Conv2d(before, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
        super().__init__(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.num_features = widths[-1]
