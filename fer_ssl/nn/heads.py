"""Heads that turn features into logits and embeddings."""

from torch import Tensor, nn
from torch.nn.functional import normalize

from fer_ssl.types import Output


def projector(features: int, hidden: int, dimensions: int) -> nn.Module:
    """Return the two-layer projection that contrastive learning works on (SimCLR, Chen et al. 2020)."""
    return nn.Sequential(nn.Linear(features, hidden), nn.ReLU(inplace=True), nn.Linear(hidden, dimensions))


class LinearHead(nn.Module):
    """A linear classifier; embeddings are the projected features, or the features where `projection` is None."""

    def __init__(self, features: int, classes: int, projection: int | None = 128, hidden: int = 512) -> None:
        super().__init__()
        self.classifier = nn.Linear(features, classes)
        self.projector = nn.Identity() if projection is None else projector(features, hidden, projection)

    def forward(self, features: Tensor) -> Output:
        return Output(self.classifier(features), normalize(self.projector(features).float(), dim=1))


class NormalizedHead(nn.Module):
    """Ada-CM's head: features of unit norm are both the embeddings and what the classifier sees."""

    def __init__(self, features: int, classes: int) -> None:
        super().__init__()
        self.classifier = nn.Linear(features, classes)

    def forward(self, features: Tensor) -> Output:
        embeddings = normalize(features.float(), dim=1)
        return Output(self.classifier(embeddings), embeddings)
