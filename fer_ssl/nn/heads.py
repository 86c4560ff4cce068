"""Heads that turn features into logits and embeddings."""

from torch import Tensor, nn
from torch.nn.functional import linear, normalize

from fer_ssl.errors import ConfigError
from fer_ssl.types import Output


def projector(features: int, hidden: int, dimensions: int, norm: bool) -> nn.Module:
    """Return the two-layer projection that contrastive learning works on (SimCLR, Chen et al. 2020).

    With `norm` both layers end in batch norm, as in the code that its authors released.
    """
    first, second = nn.Linear(features, hidden, bias=not norm), nn.Linear(hidden, dimensions, bias=not norm)
    if not norm:
        return nn.Sequential(first, nn.ReLU(inplace=True), second)
    return nn.Sequential(first, nn.BatchNorm1d(hidden), nn.ReLU(inplace=True), second, nn.BatchNorm1d(dimensions))


class LinearHead(nn.Module):
    """A linear classifier; embeddings are the projected features, or the features where `projection` is None.

    Raises ConfigError for a `norm` without a projection.
    """

    def __init__(
        self, features: int, classes: int, projection: int | None = 128, hidden: int = 512, norm: bool = False
    ) -> None:
        super().__init__()
        if norm and projection is None:
            raise ConfigError("head.norm=true is for a projection, of which there is none; set head.projection=128")
        self.classifier = nn.Linear(features, classes)
        self.projector = nn.Identity() if projection is None else projector(features, hidden, projection, norm)

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


class CosineHead(nn.Module):
    """Logits are `scale` times the cosines between features and class weights; unit features are the embeddings.

    Raises ConfigError unless scale > 0.
    """

    def __init__(self, features: int, classes: int, scale: float = 30.0) -> None:
        super().__init__()
        if scale <= 0:
            raise ConfigError(f"cosines times head.scale={scale} tell no class from another; set head.scale above 0")
        self.classifier = CosineClassifier(features, classes, scale)

    def forward(self, features: Tensor) -> Output:
        return Output(self.classifier(features), normalize(features.float(), dim=1))


class CosineClassifier(nn.Linear):
    """Compare directions only. Source: the classifier of LDAM (NeurIPS 2019)."""

    def __init__(self, features: int, classes: int, scale: float) -> None:
        super().__init__(features, classes, bias=False)
        self.scale = scale

    def forward(self, features: Tensor) -> Tensor:
        return self.scale * linear(normalize(features.float(), dim=1), normalize(self.weight.float(), dim=1))
