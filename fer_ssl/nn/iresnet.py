"""The improved residual network of face recognition, under the names of public InsightFace weights."""

from torch import Tensor, nn

from fer_ssl.errors import ConfigError

DEPTHS = {
    "iresnet18": (2, 2, 2, 2),
    "iresnet34": (3, 4, 6, 3),
    "iresnet50": (3, 4, 14, 3),
    "iresnet100": (3, 13, 30, 3),
}
WIDTHS = (64, 128, 256, 512)


class Block(nn.Module):
    """Batch norm first, two 3x3 convolutions with a PReLU between, and a shortcut without activation after it."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(inputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.prelu = nn.PReLU(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, stride, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.downsample = nn.Identity() if stride == 1 else shortcut(inputs, outputs, stride)

    def forward(self, features: Tensor) -> Tensor:
        inner = self.prelu(self.bn2(self.conv1(self.bn1(features))))
        total: Tensor = self.bn3(self.conv2(inner)) + self.downsample(features)
        return total


def shortcut(inputs: int, outputs: int, stride: int) -> nn.Module:
    """Return the 1x1 convolution that brings a block's input to the shape of its output."""
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))


def layer(inputs: int, outputs: int, depth: int) -> nn.Module:
    """Return `depth` blocks, the first of which halves the resolution."""
    return nn.Sequential(Block(inputs, outputs, 2), *(Block(outputs, outputs, 1) for _ in range(depth - 1)))


class IResNet(nn.Module):
    """Faces [B, 3, S, S] to embeddings [B, features]; S is `image_size`, 112 for the weights that people have.

    `name` is one of iresnet18, iresnet34, iresnet50, iresnet100. Raises ConfigError for another name. Source: Duta et
    al. 2020, as ArcFace (Deng et al. 2019) uses it.
    """

    together = ("fc.", "features.")

    def __init__(
        self, name: str = "iresnet50", image_size: int = 112, features: int = 512, drop_rate: float = 0.0
    ) -> None:
        super().__init__()
        if name not in DEPTHS:
            raise ConfigError(
                f"there is no improved residual network {name!r}; set backbone.name to {', '.join(DEPTHS)}"
            )
        self.conv1 = nn.Conv2d(3, WIDTHS[0], 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(WIDTHS[0])
        self.prelu = nn.PReLU(WIDTHS[0])
        inputs = (WIDTHS[0], *WIDTHS[:-1])
        self.layer1, self.layer2, self.layer3, self.layer4 = map(layer, inputs, WIDTHS, DEPTHS[name])
        self.bn2 = nn.BatchNorm2d(WIDTHS[-1])
        self.dropout = nn.Dropout(drop_rate)
        side = -(-image_size // 16)  # four halvings, each rounded up
        self.fc = nn.Linear(WIDTHS[-1] * side**2, features)
        self.features = nn.BatchNorm1d(features)
        self.features.weight.requires_grad_(False)  # the scale of an embedding is without meaning
        self.image_size, self.num_features = image_size, features

    def forward(self, faces: Tensor) -> Tensor:
        """Return the embeddings, normalised over the batch, not to unit length."""
        maps = self.prelu(self.bn1(self.conv1(faces)))
        maps = self.layer4(self.layer3(self.layer2(self.layer1(maps))))
        embeddings: Tensor = self.features(self.fc(self.dropout(self.bn2(maps)).flatten(1)))
        return embeddings
