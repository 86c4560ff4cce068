"""Backbones that turn faces into features."""

import timm
from torch import nn

from fer_ssl.errors import ConfigError


def timm_backbone(name: str, pretrained: bool = False, drop_rate: float = 0.0) -> nn.Module:
    """Return a timm model without its classifier; `num_features` says how wide its features are.

    Raises ConfigError for a name timm does not know.
    """
    if not timm.is_model(name):
        near = ", ".join(timm.list_models(f"*{name.split('.')[0]}*")[:6]) or "see timm.list_models()"
        raise ConfigError(f"timm has no model {name!r}; set backbone.name to one it has ({near})")
    backbone: nn.Module = timm.create_model(name, pretrained=pretrained, num_classes=0, drop_rate=drop_rate)
    return backbone
