"""The network that is trained: normalisation, backbone, head."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from fer_ssl.nn.small_maps import dense_on_small_maps
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
        self.backbone = dense_on_small_maps(backbone).to(memory_format=torch.channels_last)
        self.num_features: int = backbone.num_features  # type: ignore[assignment]
        self.head = head(features=self.num_features, classes=classes)

    def freeze_unread(self, logits: bool, embeddings: bool) -> None:
        """Take out of training what only leads to outputs that no loss reads: the classifier, the projector."""
        for read, name in ((logits, "classifier"), (embeddings, "projector")):
            if not read and hasattr(self.head, name):
                getattr(self.head, name).requires_grad_(False)

    @torch.no_grad()
    def embedding_width(self) -> int:
        """Return how many numbers an embedding has."""
        training = self.head.training
        output: Output = self.head.eval()(torch.zeros(1, self.num_features))
        self.head.train(training)
        return output.embeddings.shape[1]

    def forward(self, images: Tensor) -> Output:
        output: Output = self.head(self.backbone(self.normalize(images)))
        return output
