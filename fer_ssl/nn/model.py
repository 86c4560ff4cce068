"""The network that is trained: normalisation, backbone, head."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from fer_ssl.types import Output
from fer_ssl.views.normalize import Normalize


class FaceModel(nn.Module):
    """Faces, uint8 or float in [0, 255], [B, 1 or 3, H, W], to logits and embeddings."""

    def __init__(
        self,
        backbone: nn.Module,
        head: Callable[..., nn.Module],
        classes: int,
        mean: float = 0.5,
        std: float = 0.5,
    ) -> None:
        super().__init__()
        self.normalize = Normalize(mean, std, channels_last=True)
        self.backbone = backbone.to(memory_format=torch.channels_last)
        self.head = head(features=backbone.num_features, classes=classes)

    def freeze_projector(self) -> None:
        """Take the projector out of training, for runs in which no loss reads embeddings."""
        if hasattr(self.head, "projector"):
            self.head.projector.requires_grad_(False)

    def forward(self, images: Tensor) -> Output:
        output: Output = self.head(self.backbone(self.normalize(images)))
        return output
